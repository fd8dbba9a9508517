/* compile_meta.c - what an artifact knows about its model and about how it was made. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "driver/compile.h"
#include "driver/language.h"
#include "runtime/tokenizer.h"

static void copy_name(char *to, size_t n, const char *from) { snprintf(to, n, "%s", from); }

static bool add_stop(compile *c, int32_t id) {
    rt_meta *m = &c->meta;
    if (id < 0 || id >= (int64_t)m->vocab) return true;
    for (uint32_t i = 0; i < m->n_stops; i++)
        if (m->stop[i] == id) return true;
    if (m->n_stops == RT_MAX_STOPS)
        return diag_error(c->d, DIAG_STOP_TOKENS, (diag_loc){.file = c->dir},
                          "more than %d end tokens", RT_MAX_STOPS);
    m->stop[m->n_stops++] = id;
    return true;
}

/* Union of config.json, generation_config.json, tokenizer and chat template. */
static bool find_stops(compile *c) {
    const model_config *f = &c->model.config;
    for (int i = 0; i < f->eos.n; i++)
        if (!add_stop(c, f->eos.at[i])) return false;
    if (!c->tokenizer.n) return true;
    const rt_tok_header *head = (const rt_tok_header *)(const void *)c->tokenizer.at;
    if (!add_stop(c, head->eos)) return false;
    if (c->meta.bos < 0) c->meta.bos = head->bos;
    language l;
    const str tokenizer = {(const char *)c->tokenizer.at, c->tokenizer.n};
    const str chat = {(const char *)c->chat_template.at, c->chat_template.n};
    if (!language_open(tokenizer, chat, c->dir, DIAG_NO_TOKENIZER, c->d, &l)) return false;
    int32_t end;
    return !language_end_of_turn(&l, &end) || add_stop(c, end);
}

static const char *model_name(const compile *c) {
    /* "phi-4", "phi-4/", "." */
    char *full = realpath(c->dir, NULL);
    if (!full && errno == ENOMEM) arena_out_of_memory(0);
    const char *name = arena_strdup(c->mem, path_base(full ? full : c->dir));
    free(full);
    return name;
}

bool compile_make_meta(compile *c) {
    const model_config *f = &c->model.config;
    const cg_program *p = &c->program;
    rt_meta *m = &c->meta;
    *m = (rt_meta){
        .n_layers = (uint32_t)f->num_hidden_layers,
        .n_heads = (uint32_t)f->num_attention_heads,
        .n_kv_heads = (uint32_t)f->num_key_value_heads,
        .head_dim = (uint32_t)f->head_dim,
        .hidden = (uint32_t)f->hidden_size,
        .ffn = (uint32_t)f->intermediate_size,
        .vocab = (uint32_t)f->vocab_size,
        .kv_dtype = c->passes.scheme.kv_dtype == DT_f32,
        .max_seq_tok = (uint32_t)c->model.capacity,
        .model_max_tok = (uint32_t)f->max_position_embeddings,
        .max_batch = (uint32_t)c->max_batch,
        .bos = f->bos,
        .kv_block_bytes = p->kv_block_bytes,
        .weight_bytes_per_token = p->weight_bytes_per_token,
        .mac_per_token = p->mac_per_token,
        .head_mac = p->head_mac,
        .do_sample = f->generation.do_sample,
        .top_k = (uint32_t)f->generation.top_k,
        .temperature = (float)f->generation.temperature,
        .top_p = (float)f->generation.top_p,
        .min_p = (float)f->generation.min_p,
        .repetition_penalty = (float)f->generation.repetition_penalty,
        .dummy = c->o->load_format.v == LOAD_WORD_dummy,
        .dummy_seed = c->o->load_format.v == LOAD_WORD_dummy ? (uint64_t)c->o->fixed_seed.v : 0,
    };
    copy_name(m->model_type, sizeof m->model_type, f->model_type);
    copy_name(m->name, sizeof m->name, model_name(c));
    text scheme_text = {.mem = c->mem};
    scheme_print(&c->passes.scheme, &scheme_text);
    copy_name(m->quant, sizeof m->quant, scheme_text.buf.at);
    if (!find_stops(c)) return false;

    text *t = &c->settings;
    *t = (text){.mem = c->mem};
    text_cat(t, "{\"quant\":");
    app_json_string(t, text_str(&scheme_text));
    text_printf(
        t,
        ",\"kv_cache_dtype\":\"%s\",\"max_seq_len\":%lld,\"max_batch\":%lld,"
        "\"max_step_tokens\":%lld,\"soft_isa\":%s,\"targets\":[{\"triple\":\"%s\",\"cpus\":[",
        ir_dtype_info[c->passes.scheme.kv_dtype].name, (long long)c->model.capacity,
        (long long)c->max_batch, (long long)c->max_tokens, c->o->soft_isa.v ? "true" : "false",
        c->target);
    for (int i = 0; i < cpu_n_variants(); i++)
        text_printf(t, "%s\"%s\"", i ? "," : "", cpu_variant_name(i));
    text_cat(t, "]}],\"disabled_passes\":[");
    bool first = true;
    for (int i = 0; i < PASS_COUNT; i++)
        if (c->passes.disabled >> i & 1) {
            text_printf(t, "%s\"%s\"", first ? "" : ",", pass_table[i].name);
            first = false;
        }
    text_printf(t, "],\"pass_limit\":%d", c->passes.limit);
    if (c->o->name.given) {
        text_cat(t, ",\"name\":");
        app_json_string(t, str_of(c->o->name.v));
    }
    text_cat(t, "}");
    return true;
}

void compile_print_kernels(const compile *c) {
    const cg_program *p = &c->program;
    for (const ir_op *op = c->model.graph->first; op; op = op->next) {
        if (op->kind != OP_linear && op->kind != OP_embed) continue;
        const ir_op *w = op->kind == OP_linear ? op->in[1] : op->in[0];
        while (w->n_in && w->kind != OP_weight) w = w->in[0];
        for (uint32_t i = 0; i < p->plan.n_launches; i++) {
            if (p->launch[i].op != op->id) continue;
            fprintf(stderr, "%-48s %s\n", w->name ? w->name : "",
                    p->kernel_name[p->launch[i].kernel[0]]);
            break;
        }
    }
}
