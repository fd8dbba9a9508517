/* cmd_synth.c - `p4c synth`: a checkpoint of full shape with random weights, for tests of size and
 * speed. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "app/machine.h"
#include "app/progress.h"
#include "base/file.h"
#include "driver/driver.h"
#include "driver/synth.h"

/* As the hub's uploads are cut. */
#define SHARD_BYTES 5000000000u

typedef struct synth {
    const synth_family *family;
    int64_t n_layers;
    bool gptq;
    uint64_t seed;
    const char *dir;
    arena *mem;
    diag *d;
    synth_tensors tensors;
    uint64_t bytes, bytes_before; /* of all tensors; of the files written */
    progress bar;
} synth;

static void add_tensor(synth *s, const char *name, const char *dtype, synth_fill fill, int64_t rows,
                       int64_t columns) {
    synth_tensor t = {.name = arena_strdup(s->mem, name), .dtype = dtype, .fill = fill};
    t.dim[0] = rows;
    t.dim[1] = columns;
    t.rank = columns ? 2 : 1;
    const int item = !strcmp(dtype, "I32") ? 4 : 2;
    t.bytes = (uint64_t)rows * (uint64_t)(columns ? columns : 1) * (uint64_t)item;
    /* any two tensors and any two seeds are far apart in the counter's period */
    t.seed = (s->seed * 0xd1342543de82ef95u + s->tensors.n + 1) * 0xda942042e4dd58b5u;
    s->bytes += t.bytes;
    vec_push(s->mem, &s->tensors, t);
}

/* A matrix of a layer: [outputs, inputs]. */
static void add_matrix(synth *s, const char *prefix, int64_t n, int64_t k) {
    if (!s->gptq) {
        add_tensor(s, arena_printf(s->mem, "%s.weight", prefix), "BF16", FILL_NORMAL, n, k);
        return;
    }
    const int64_t groups = k / SYNTH_GROUP;
    add_tensor(s, arena_printf(s->mem, "%s.g_idx", prefix), "I32", FILL_G_IDX, k, 0);
    add_tensor(s, arena_printf(s->mem, "%s.qweight", prefix), "I32", FILL_NIBBLES, k / 8, n);
    add_tensor(s, arena_printf(s->mem, "%s.qzeros", prefix), "I32", FILL_ZEROS, groups, n / 8);
    add_tensor(s, arena_printf(s->mem, "%s.scales", prefix), "F16", FILL_SCALES, groups, n);
}

static void list_tensors(synth *s) {
    const synth_family *f = s->family;
    add_tensor(s, "model.embed_tokens.weight", "BF16", FILL_NORMAL, f->vocab, f->hidden);
    for (int64_t i = 0; i < s->n_layers; i++) {
        const char *p = arena_printf(s->mem, "model.layers.%lld", (long long)i);
        add_tensor(s, arena_printf(s->mem, "%s.input_layernorm.weight", p), "BF16", FILL_NORM,
                   f->hidden, 0);
        add_matrix(s, arena_printf(s->mem, "%s.mlp.down_proj", p), f->hidden, f->ffn);
        add_matrix(s, arena_printf(s->mem, "%s.mlp.gate_up_proj", p), 2 * f->ffn, f->hidden);
        add_tensor(s, arena_printf(s->mem, "%s.post_attention_layernorm.weight", p), "BF16",
                   FILL_NORM, f->hidden, 0);
        add_matrix(s, arena_printf(s->mem, "%s.self_attn.o_proj", p), f->hidden,
                   f->heads * f->head_dim);
        add_matrix(s, arena_printf(s->mem, "%s.self_attn.qkv_proj", p),
                   (f->heads + 2 * f->kv_heads) * f->head_dim, f->hidden);
    }
    add_tensor(s, "model.norm.weight", "BF16", FILL_NORM, f->hidden, 0);
    if (!f->tied) add_tensor(s, "lm_head.weight", "BF16", FILL_NORMAL, f->vocab, f->hidden);
}

/* ---- json files ---- */

static void add_rope(const synth_family *f, text *t) {
    text_printf(t, "  \"rope_theta\": %.1f,\n", f->rope_theta);
    if (f->partial_rotary != 1)
        text_printf(t, "  \"partial_rotary_factor\": %.2f,\n", f->partial_rotary);
    if (!f->longrope) {
        text_cat(t, "  \"rope_scaling\": null,\n");
        return;
    }
    const int n = (int)((double)f->head_dim * f->partial_rotary) / 2;
    text_cat(t, "  \"rope_scaling\": {\n    \"type\": \"longrope\",\n    \"long_factor\": [");
    /* low frequencies are stretched to the longer context, high ones left alone, as in published
     * ones */
    double factor = 1;
    for (int i = 0; i < n; i++) {
        text_printf(t, "%s%.6f", i ? ", " : "", factor);
        factor = factor * 1.1183 < 32 ? factor * 1.1183 : 32;
    }
    text_cat(t, "],\n    \"short_factor\": [");
    for (int i = 0; i < n; i++) text_printf(t, "%s1.0", i ? ", " : "");
    text_cat(t, "]\n  },\n");
}

static void add_config(const synth *s, text *t) {
    const synth_family *f = s->family;
    text_printf(t,
                "{\n  \"architectures\": [\"Phi3ForCausalLM\"],\n  \"attention_bias\": false,\n"
                "  \"attention_dropout\": 0.0,\n  \"bos_token_id\": %d,\n  \"embd_pdrop\": 0.0,\n"
                "  \"eos_token_id\": %d,\n  \"hidden_act\": \"silu\",\n  \"hidden_size\": %lld,\n"
                "  \"initializer_range\": 0.02,\n  \"intermediate_size\": %lld,\n"
                "  \"max_position_embeddings\": %lld,\n  \"model_type\": \"phi3\",\n",
                f->bos, f->eos, (long long)f->hidden, (long long)f->ffn, (long long)f->max_tok);
    text_printf(t,
                "  \"num_attention_heads\": %lld,\n  \"num_hidden_layers\": %lld,\n"
                "  \"num_key_value_heads\": %lld,\n  \"original_max_position_embeddings\": %lld,\n"
                "  \"pad_token_id\": %d,\n",
                (long long)f->heads, (long long)s->n_layers, (long long)f->kv_heads,
                (long long)f->original_max_tok, f->pad);
    if (s->gptq)
        text_printf(t,
                    "  \"quantization_config\": {\n    \"bits\": 4,\n    \"damp_percent\": 0.01,\n"
                    "    \"desc_act\": false,\n    \"group_size\": %d,\n    \"lm_head\": false,\n"
                    "    \"quant_method\": \"gptq\",\n    \"sym\": true,\n"
                    "    \"true_sequential\": false\n  },\n",
                    SYNTH_GROUP);
    text_cat(t, "  \"resid_pdrop\": 0.0,\n  \"rms_norm_eps\": 1e-05,\n");
    add_rope(f, t);
    if (f->sliding_window)
        text_printf(t, "  \"sliding_window\": %lld,\n", (long long)f->sliding_window);
    else text_cat(t, "  \"sliding_window\": null,\n");
    text_printf(
        t,
        "  \"tie_word_embeddings\": %s,\n  \"torch_dtype\": \"%s\",\n  \"use_cache\": true,\n"
        "  \"vocab_size\": %lld\n}\n",
        f->tied ? "true" : "false", s->gptq ? "float16" : "bfloat16", (long long)f->vocab);
}

static void add_generation_config(const synth *s, text *t) {
    const synth_family *f = s->family;
    text_printf(
        t, "{\n  \"_from_model_config\": true,\n  \"bos_token_id\": %d,\n  \"eos_token_id\": [",
        f->bos);
    for (int i = 0; i < f->n_stops; i++) text_printf(t, "%s%d", i ? ", " : "", f->stop[i]);
    text_printf(t, "],\n  \"pad_token_id\": %d\n}\n", f->pad);
}

static bool write_text(const synth *s, const char *name, const text *t) {
    file_writer *w = file_create(path_join(s->mem, s->dir, name), 0666, s->mem, s->d);
    if (!w) return false;
    if (file_write(w, t->buf.at, t->buf.n)) return file_commit(w);
    file_abandon(w);
    return false;
}

static bool write_texts(const synth *s) {
    text config = {.mem = s->mem}, generation = {.mem = s->mem}, tokenizer = {.mem = s->mem},
         settings = {.mem = s->mem}, special = {.mem = s->mem};
    add_config(s, &config);
    add_generation_config(s, &generation);
    synth_tokenizer(s->family, &tokenizer);
    synth_tokenizer_config(s->family, &settings);
    synth_special_tokens(s->family, &special);
    return write_text(s, "generation_config.json", &generation) &&
           write_text(s, "tokenizer.json", &tokenizer) &&
           write_text(s, "tokenizer_config.json", &settings) &&
           write_text(s, "special_tokens_map.json", &special) &&
           write_text(s, "config.json", &config);
}

/* ---- shards ---- */

static void on_tick(void *context, uint64_t n_bytes) {
    synth *s = context;
    progress_set(&s->bar, s->bytes_before + n_bytes);
}

static bool write_shards(synth *s) {
    size_t cut[64] = {0}; /* first tensor of each shard */
    int n_shards = 1;
    uint64_t room = SHARD_BYTES;
    for (size_t i = 0; i < s->tensors.n; i++) {
        if (s->tensors.at[i].bytes > room && i > cut[n_shards - 1] &&
            n_shards < (int)COUNT_OF(cut)) {
            cut[n_shards++] = i;
            room = SHARD_BYTES;
        }
        room -= s->tensors.at[i].bytes < room ? s->tensors.at[i].bytes : room;
    }
    const synth_source *source = synth_source_new(s->mem);
    text index = {.mem = s->mem};
    text_printf(&index, "{\n  \"metadata\": {\"total_size\": %llu},\n  \"weight_map\": {",
                (unsigned long long)s->bytes);
    for (int i = 0; i < n_shards; i++) {
        const size_t end = i + 1 < n_shards ? cut[i + 1] : s->tensors.n;
        const char *name = arena_printf(s->mem, "model-%05d-of-%05d.safetensors", i + 1, n_shards);
        if (!synth_write_file(path_join(s->mem, s->dir, name), source, s->tensors.at + cut[i],
                              end - cut[i], on_tick, s, s->mem, s->d))
            return false;
        for (size_t k = cut[i]; k < end; k++) {
            text_printf(&index, "%s\n    \"%s\": \"%s\"", k ? "," : "", s->tensors.at[k].name,
                        name);
            s->bytes_before += s->tensors.at[k].bytes;
        }
    }
    text_cat(&index, "\n  }\n}\n");
    return write_text(s, "model.safetensors.index.json", &index);
}

static bool make_dir(const synth *s) {
    if (mkdir(s->dir, 0777) == 0) return true;
    struct stat st;
    if (errno == EEXIST && stat(s->dir, &st) == 0 && S_ISDIR(st.st_mode)) return true;
    return diag_error(s->d, DIAG_OUTPUT_WRITE, (diag_loc){.file = s->dir},
                      "cannot make the folder (%s)", strerror(errno));
}

/* Somebody's checkpoint is not overwritten: config.json is written last here, so that a folder
 * whose writing was interrupted can be given again. */
static bool check_dir(const synth *s) {
    const char *config = path_join(s->mem, s->dir, "config.json");
    if (!file_exists(config)) return true;
    return diag_error(s->d, DIAG_OUTPUT_WRITE, (diag_loc){.file = s->dir},
                      "holds a checkpoint already; remove it, or give another folder");
}

static bool run_synth(synth *s, const options *o) {
    s->family = synth_find_family(o->operand[0]);
    if (!s->family)
        return diag_error(s->d, DIAG_OPERANDS, (diag_loc){0},
                          "unknown model '%s' (expected phi-4, phi-4-mini or phi-3-mini)",
                          o->operand[0]);
    if (!o->output.given) return diag_error(s->d, DIAG_OPERANDS, (diag_loc){0}, "missing: -o DIR");
    s->dir = o->output.v;
    s->n_layers = o->layers.given ? o->layers.v : s->family->n_layers;
    s->gptq = o->format.given && o->format.v == FORMAT_WORD_gptq;
    s->seed = (uint64_t)o->fixed_seed.v;
    const uint64_t begin = machine_ns();
    list_tensors(s);
    if (!make_dir(s) || !check_dir(s)) return false;
    progress_start(&s->bar, "writing", s->bytes, PROGRESS_BYTES, o->progress.v && !o->quiet.v);
    const bool ok = write_shards(s) && write_texts(s);
    progress_end(&s->bar);
    if (!ok) return false;
    const double seconds = (double)(machine_ns() - begin) * 1e-9;
    text t = {.mem = s->mem};
    if (o->json.v) {
        text_cat(&t, "{\"output\":");
        app_json_string(&t, str_of(s->dir));
        text_printf(&t, ",\"layers\":%lld,\"bytes\":%llu,\"seconds\":%.3f}\n",
                    (long long)s->n_layers, (unsigned long long)s->bytes, seconds);
        return app_print(&t, s->d);
    }
    if (!o->quiet.v)
        fprintf(stderr, "%s: %lld layer%s, %.2f GB in %.1f s (%.2f GB/s)\n", s->dir,
                (long long)s->n_layers, s->n_layers == 1 ? "" : "s", (double)s->bytes * 1e-9,
                seconds, (double)s->bytes * 1e-9 / seconds);
    return true;
}

int cmd_synth(const options *o, arena *mem, diag *d) {
    synth s = {.mem = mem, .d = d};
    return run_synth(&s, o) ? EXIT_DONE : EXIT_BUG;
}
