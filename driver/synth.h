/* synth.h - the parts of `p4c synth`: a checkpoint of a family's full shape with random weights. */
#ifndef P4C_DRIVER_SYNTH_H
#define P4C_DRIVER_SYNTH_H

#include "base/arena.h"
#include "base/diag.h"
#include "base/str.h"
#include "base/util.h"
#include "base/vec.h"

/* An added token of a family. */
typedef struct synth_token {
    int32_t id;
    const char *text; /* NULL: <|dummy_N|>, numbered as they come */
    bool lstrip, rstrip, special;
} synth_token;

typedef struct synth_family {
    const char *name; /* "phi-4" */
    int64_t n_layers, hidden, ffn, heads, kv_heads, head_dim, vocab;
    int64_t max_tok, original_max_tok;
    double rope_theta, partial_rotary;
    bool longrope, tied;
    int64_t sliding_window; /* 0: null */
    /* tokenizer: 256 bytes, then n_merges tokens; the added ones have their own ids */
    int64_t n_merges;
    bool o200k;        /* split pattern: o200k, else cl100k */
    bool merges_pairs; /* merges as pairs, ignore_merges true */
    const synth_token *token;
    int n_tokens;
    int32_t bos, eos, pad;
    int32_t stop[4]; /* of generation_config */
    int n_stops;
    const char *bos_text, *eos_text, *pad_text;
    const char *chat_template;
} synth_family;

/* NULL: no such family. */
const synth_family *synth_find_family(const char *name);

/* How a tensor's bytes are made. */
typedef enum synth_fill {
    FILL_NORMAL,  /* bf16, normal with deviation 0.02 */
    FILL_NORM,    /* bf16, 1 + normal with deviation 0.1 */
    FILL_NIBBLES, /* uniform bits */
    FILL_ZEROS,   /* every nibble 7: zero point 8 as stored by GPTQ v1 */
    FILL_SCALES,  /* f16 of either sign, so that uniform nibbles give deviation 0.02 */
    FILL_G_IDX,   /* i32: k / 128 */
} synth_fill;

enum { SYNTH_GROUP = 128 };

typedef struct synth_tensor {
    const char *name, *dtype; /* as safetensors spell it */
    int64_t dim[2];
    int rank;
    synth_fill fill;
    uint64_t bytes; /* a multiple of 8 */
    uint64_t seed;  /* its own */
} synth_tensor;
typedef vec(synth_tensor) synth_tensors;

/* Bytes offset .. offset + n of the tensor, both multiples of 8; a function of the seed and the
 * place alone. */
typedef struct synth_source synth_source;
synth_source *synth_source_new(arena *mem);
void synth_make(const synth_source *s, const synth_tensor *t, uint64_t offset, uint64_t n,
                void *out);

/* Writes one safetensors file of these tensors, with n_threads; *done counts bytes for the progress
 * bar, which `tick` (may be NULL) is called for. */
typedef void synth_tick(void *context, uint64_t n_bytes);
P4C_CHECKED bool synth_write_file(const char *path, const synth_source *s, const synth_tensor *t,
                                  size_t n, synth_tick *tick, void *context, arena *mem, diag *d);

/* tokenizer.json, tokenizer_config.json, special_tokens_map.json. */
void synth_tokenizer(const synth_family *f, text *out);
void synth_tokenizer_config(const synth_family *f, text *out);
void synth_special_tokens(const synth_family *f, text *out);

#endif
