/* tokenizer_bpe.h - byte-pair merging of one piece. */
#ifndef P4C_RUNTIME_TOKENIZER_BPE_H
#define P4C_RUNTIME_TOKENIZER_BPE_H

#include "runtime/tokenizer.h"

/* Working memory of one rt_encode.  Start with all zero behind t and mem. */
typedef struct rt_bpe {
    const rt_tokenizer *t;
    const rt_alloc *mem;
    void *scratch; /* of long pieces; freed by rt_bpe_end */
    size_t scratch_bytes;
} rt_bpe;

/* Appends the ids of the piece p[n], n >= 1.  False: no memory. */
RT_TOK_CHECKED bool rt_bpe_piece(rt_bpe *b, const uint8_t *p, size_t n, rt_ids *out);
void rt_bpe_end(rt_bpe *b);

#endif
