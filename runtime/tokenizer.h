/* tokenizer.h - text to token ids and back, over the table of an artifact (tokenizer_abi.h).
 *
 * An rt_tokenizer is read only once opened: any number of threads may use one.  Bytes come in as
 * they are: text that is not UTF-8 is encoded byte for byte, each ill-formed sequence counting as
 * one symbol where text is cut into pieces. The only failure of encoding and decoding is that
 * memory ends.
 */
#ifndef P4C_RUNTIME_TOKENIZER_H
#define P4C_RUNTIME_TOKENIZER_H

#include "runtime/alloc.h"
#include "runtime/tokenizer_abi.h"
#include "runtime/utf8.h"

#define RT_TOK_CHECKED __attribute__((warn_unused_result))

typedef struct rt_tokenizer { /* points into the blob */
    const rt_tok_header *head;
    const uint32_t *text_at;
    const uint8_t *text, *id_flags;
    const rt_tok_word *words;
    const uint64_t *pairs;
    const uint32_t *merged;
    const rt_tok_added *added;
    const rt_tok_node *trie[RT_TOK_N_TRIES]; /* NULL where there are no such tokens */
    uint32_t word_mask, pair_mask, n_added;
} rt_tokenizer;

/* Checks every offset, count and index of the table once; false: it is damaged or of another
 * version. The blob must start at a multiple of 8 and outlive *t.  Damage that keeps to the bounds
 * may give other ids, but nothing worse. */
RT_TOK_CHECKED bool rt_tokenizer_open(rt_tokenizer *t, const void *blob, size_t n);

/* ---- encoding ---- */

typedef struct rt_encode_input {
    const char *text;
    size_t n;             /* at most RT_ENCODE_MAX */
    bool parse_special;   /* look for added tokens ("<|im_end|>"), special or not */
    const uint8_t *plain; /* NULL, or n bytes: non-zero for a byte that no added token may contain.
                           * The white space that a token takes in (lstrip, rstrip) may be plain;
                           * nothing else changes. */
} rt_encode_input;

#define RT_ENCODE_MAX ((size_t)1 << 31)

/* Appends the ids to *out.  False: no memory, or the text is too long; *out then holds only some of
 * them. */
RT_TOK_CHECKED bool rt_encode(const rt_tokenizer *t, const rt_alloc *mem, rt_encode_input in,
                              rt_ids *out);

/* The added token of exactly this text; -1 where there is none. */
int32_t rt_tokenizer_find_added(const rt_tokenizer *t, const char *text, size_t n);

/* ---- decoding ---- */

/* What `id` stands for: bytes, not always whole characters; *n is 0 for an id without a token. */
const char *rt_token_bytes(const rt_tokenizer *t, int32_t id, size_t *n);
/* RT_TOK_IS_* bits; 0 for an id without a token. */
unsigned rt_token_flags(const rt_tokenizer *t, int32_t id);

/* Ids one at a time, whole characters out.  An incomplete character waits for its other bytes; what
 * cannot become one gives U+FFFD. */
typedef struct rt_decoder {
    const rt_tokenizer *t;
    bool skip_special;
    rt_utf8 utf8;
} rt_decoder;

static inline rt_decoder rt_decode_start(const rt_tokenizer *t, bool skip_special) {
    return (rt_decoder){.t = t, .skip_special = skip_special};
}
/* Appends the text that `id` completes.  False: no memory; the decoder is as it was. */
RT_TOK_CHECKED bool rt_decode_id(rt_decoder *d, const rt_alloc *mem, int32_t id, rt_bytes *out);
/* No more ids: U+FFFD for a character left incomplete. */
RT_TOK_CHECKED bool rt_decode_end(rt_decoder *d, const rt_alloc *mem, rt_bytes *out);
/* All at once. */
RT_TOK_CHECKED bool rt_decode(const rt_tokenizer *t, const rt_alloc *mem, const int32_t *ids,
                              size_t n, bool skip_special, rt_bytes *out);

#endif
