/* fake_model.h - an artifact made by hand, for tests of the runtime.
 *
 * Its kernels are C and compute hashes instead of a language model: a token's value depends on
 * every earlier token of its sequence, in order, through keys and values that live in KV blocks as
 * runtime/abi.h lays them out.  A wrong id, position, block, row or order changes the logits.  The
 * kernels also check what they are called with; fake_faults counts what was wrong.
 */
#ifndef P4C_TESTS_FAKE_MODEL_H
#define P4C_TESTS_FAKE_MODEL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "runtime/abi.h"
#include "runtime/load.h"
#include "runtime/p4c.h"

enum {
    FAKE_LAYERS = 2,
    FAKE_HEAD_DIM = 16,
    FAKE_LAYER_BYTES = 2 * RT_KV_BLOCK_TOK * FAKE_HEAD_DIM * 4,
    FAKE_KV_BLOCK_BYTES = FAKE_LAYERS * FAKE_LAYER_BYTES,
    FAKE_MAX_SCRIPT = 2048,
    FAKE_DATA_BYTES = (2 << 20) + (64 << 10),
    FAKE_LAUNCHES = 7,
    FAKE_KERNELS = 10, /* the first is there once for each class */
    /* ids of the tokenizer: 0..255 bytes, then */
    FAKE_ID_HELLO = 256, /* "hello" */
    FAKE_ID_STOPS,       /* " stops" */
    FAKE_ID_EURO,        /* the first two of the three bytes of U+20AC */
    FAKE_ID_END,         /* "<|end|>", special, an end token */
    FAKE_ID_TAG,         /* "<|tag|>", special */
    FAKE_N_IDS,
};

typedef struct fake_options {
    uint32_t vocab, max_seq_tok, max_batch, max_tokens, max_rows;
    bool no_tokenizer, dummy;
    const void *chat_template; /* section "template"; NULL: empty */
    uint64_t n_chat_template;
} fake_options;

/* vocab 272, 700 tokens, 4 sequences and 16 tokens a step, 6 rows. */
fake_options fake_default_options(void);

typedef struct fake {
    uint8_t *data;
    uint64_t n_bytes;
    rt_header *header;
    rt_meta *meta;
    rt_plan *plan;
    rt_launch *launch;
    int32_t *script; /* [FAKE_MAX_SCRIPT] by position: id that the logits there prefer; -1: none */
} fake;

/* dummy: weights 0 .. vocab, then -1s are made up at load, which serve as vocabulary and script. */

/* A model in memory of its own.  Fields may be changed before fake_seal, the script at any time. */
fake *fake_new(fake_options o);
void fake_seal(fake *f); /* computes the checksums */
void fake_free(fake *f);
/* With fake_new's and sealed: opened, table of the linked runtime, n_threads threads. */
p4c_model *fake_open(const fake *f, uint32_t n_threads);
rt_model_source fake_source(const fake *f);
/* Lays a sealed model out as this program's own artifact (p4c_image, p4c_data), for p4c_open. */
void fake_install(const fake *f);
uint8_t *fake_own_data(void); /* p4c_data, FAKE_DATA_BYTES, zero before fake_install */

/* What the model must answer, computed without steps or blocks: after each of the n tokens,
 * out[n][vocab]. */
void fake_logits(const fake *f, const int32_t *ids, int64_t n, float *out);

extern atomic_int fake_faults;
/* Called by the first kernel, on each thread; NULL: nothing. */
extern void (*_Atomic fake_hook)(void);
/* How often each class of the first kernel ran: 1 token, 2..8, 9 and more. */
extern atomic_int fake_class_runs[RT_N_CLASSES];

/* Deterministic numbers for tests. */
uint32_t fake_random(uint64_t *state);
void fake_random_ids(uint64_t seed, uint32_t vocab, int32_t *ids, int64_t n);

/* Memory hooks that fail at the n-th call (0: never) or from it on, and count what is not freed. */
typedef struct fake_memory {
    atomic_long n_calls, n_live;
    long fail_at;
    bool fail_ever_after;
} fake_memory;
p4c_alloc fake_alloc(fake_memory *m);

#endif
