/* frontend.h - a Hugging Face folder -> the graph of its model.
 *
 * Reads config.json, generation_config.json and the *.safetensors files; the tokenizer and the chat
 * template are read by fe_import_tokenizer (tokenizer_import.h) and fe_compile_template. Everything
 * in the folder is taken to be hostile: whatever is wrong or not supported is reported through diag
 * and the call returns false.  Weights are not copied: the graph names ranges of mapped files, so
 * fe_close comes after the last use of the graph.
 *
 * Supported: model_type phi3 (Phi-4, Phi-3-mini within its window); weights f32, f16, bf16, f64 and
 * int4 in GPTQ's packing (AutoGPTQ, GPTQModel, AutoRound); qkv and gate_up joined or apart; tied
 * and untied heads.
 */
#ifndef P4C_FRONTEND_FRONTEND_H
#define P4C_FRONTEND_FRONTEND_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/diag.h"
#include "base/util.h"
#include "ir/ir.h"

enum { FE_MAX_STOPS = 16 };

/* Token ids without duplicates, in the order in which the files name them. */
typedef struct fe_ids {
    int n;
    int32_t at[FE_MAX_STOPS];
} fe_ids;

/* Defaults of generate() in transformers where generation_config.json says nothing. */
typedef struct fe_generation {
    bool do_sample;                                       /* false: greedy */
    double temperature, top_p, min_p, repetition_penalty; /* > 0, 0 < .. 1, 0 .. 1, > 0 */
    int64_t top_k;                                        /* 0: off */
    int64_t max_new_tokens;                               /* 0: not given */
} fe_generation;

typedef struct model_config {
    const char *model_type; /* "phi3" */
    int64_t hidden_size, intermediate_size, num_hidden_layers;
    int64_t num_attention_heads, num_key_value_heads, head_dim;
    int64_t vocab_size; /* rows of the embedding and of the head */
    int64_t max_position_embeddings;
    int64_t sliding_window; /* keys that a token sees, itself included; 0: all */
    double rms_norm_eps, rope_theta;
    int64_t rot;    /* lanes of each head that turn */
    bool tied;      /* the head is the embedding */
    ir_dtype dtype; /* dtype or torch_dtype: what the model was trained in; DT_COUNT: not given */
    int32_t bos;    /* -1: none */
    fe_ids eos;     /* of config.json and generation_config.json */
    fe_generation generation;
    int64_t quant_group; /* packed weights: group size, -1 = all inputs; 0: weights are plain */
} model_config;

typedef struct fe_options {
    int64_t capacity; /* tokens in a sequence at most: rows of the rope table; 0: what the model
                         allows */
    bool dummy;       /* read config.json alone and make the weights up from a seed */
    uint64_t seed;    /* of dummy */
} fe_options;

typedef struct fe_model {
    model_config config;
    int64_t capacity;
    ir_graph *graph; /* inputs ids, seqs, rows, kv; outputs logits f32[R, V] and kv */
    struct fe_shards *shards;
} fe_model;

/* Loads folder `dir`.  Graph, config and names live in mem.  On failure nothing is left to close.
 */
P4C_CHECKED bool fe_load(const char *dir, const fe_options *options, arena *mem, diag *d,
                         fe_model *out);
/* Unmaps the files; the graph's weights must not be read any more. */
void fe_close(fe_model *m);

/* config.json and generation_config.json alone. */
P4C_CHECKED bool fe_read_config(const char *dir, arena *mem, diag *d, model_config *out);

#endif
