/* load.c - checks of header, meta and plan; choice of the instruction set. */
#include "runtime/load.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/cpuinfo.h"
#include "base/digest.h"
#include "runtime/artifact_file.h"
#include "runtime/dummy.h"
#include "runtime/fail.h"

static p4c_status bad(p4c_error *error, const char *what) {
    return rt_fail(error, P4C_ERR_BAD_ARTIFACT, "the artifact is damaged: %s", what);
}

static bool terminated(const char *s, size_t n) { return memchr(s, 0, n) != NULL; }

/* ---- header ---- */

static p4c_status damaged(p4c_error *error, const rt_damage *why) {
    char text[200];
    rt_damage_text(why, text, sizeof text);
    return bad(error, text);
}

static p4c_status check_header(const rt_model_source *source, p4c_error *error) {
    rt_damage why = {0};
    if ((uintptr_t)source->data % RT_SECTION_ALIGN)
        return bad(error, "the data segment is not aligned");
    if (source->n_bytes < RT_HEADER_BYTES) return bad(error, "the header is cut off");
    if (source->n_bytes != RT_MAPPED) {
        /* the end lies where the header says: look there only if that is within bounds */
        if (!rt_header_check(source->data, &why)) return damaged(error, &why);
        rt_header h;
        memcpy(&h, source->data, sizeof h);
        if (h.data_bytes > source->n_bytes) return bad(error, "the data is cut off");
    }
    if (!rt_data_check(source->data, &why)) return damaged(error, &why);
    return P4C_OK;
}

rt_span rt_find_span(const rt_header *h, const char *name) {
    const rt_section *const s = rt_section_find(h, name);
    /* "elf" lies before the data segment: its offset is one of the file */
    if (!s || !s->bytes || s == &h->section[0]) return (rt_span){0};
    return (rt_span){(const uint8_t *)h + s->offset, s->bytes};
}

static p4c_status check_sum(const rt_header *h, const char *name, p4c_error *error) {
    const rt_section *const s = rt_section_find(h, name);
    if (!s) return P4C_OK;
    uint8_t sum[DIGEST_BYTES];
    digest g;
    digest_init(&g);
    digest_update(&g, (const uint8_t *)h + s->offset, s->bytes);
    digest_final(&g, sum);
    if (memcmp(sum, s->blake3, sizeof sum) == 0) return P4C_OK;
    rt_damage why = {.kind = DAMAGE_sum};
    memcpy(why.section, s->name, sizeof why.section);
    return damaged(error, &why);
}

/* ---- meta ---- */

static const struct {
    size_t offset;
    uint32_t lo, hi;
    const char *name;
} META_LIMITS[] = {
#define LIMIT(field, lo, hi) {offsetof(rt_meta, field), lo, hi, "meta: " #field}
    LIMIT(n_layers, 1, 1 << 16),    LIMIT(n_heads, 1, 1 << 16),
    LIMIT(n_kv_heads, 1, 1 << 16),  LIMIT(head_dim, 1, 1 << 16),
    LIMIT(hidden, 1, 1 << 24),      LIMIT(ffn, 1, 1 << 24),
    LIMIT(vocab, 1, 1 << 24),       LIMIT(kv_dtype, 0, 1),
    LIMIT(max_seq_tok, 1, 1 << 24), LIMIT(model_max_tok, 1, 1u << 31),
    LIMIT(max_batch, 1, 1 << 16),   LIMIT(n_stops, 0, RT_MAX_STOPS),
    LIMIT(do_sample, 0, 1),         LIMIT(dummy, 0, 1),
#undef LIMIT
};

/* Bytes of a KV block as runtime/abi.h lays it out; 0 where that is beyond 2^40. */
static uint64_t kv_block_bytes(const rt_meta *m) {
    const uint64_t lanes = ((uint64_t)m->head_dim + RT_LANES - 1) / RT_LANES * RT_LANES;
    const uint64_t position = lanes * m->n_kv_heads * 2 * (m->kv_dtype ? 4 : 2);
    const uint64_t bytes = position * RT_KV_BLOCK_TOK * m->n_layers; /* < 2^60 by the limits */
    return bytes <= (uint64_t)1 << 40 ? bytes : 0;
}

static p4c_status check_meta(const rt_meta *m, p4c_error *error) {
    for (size_t i = 0; i < sizeof META_LIMITS / sizeof *META_LIMITS; i++) {
        uint32_t v;
        memcpy(&v, (const char *)m + META_LIMITS[i].offset, sizeof v);
        if (v < META_LIMITS[i].lo || v > META_LIMITS[i].hi) return bad(error, META_LIMITS[i].name);
    }
    if (m->n_heads % m->n_kv_heads) return bad(error, "meta: n_heads");
    if (!m->kv_block_bytes || m->kv_block_bytes != kv_block_bytes(m))
        return bad(error, "meta: kv_block_bytes");
    /* the step's table of blocks, a pointer each */
    const uint64_t per_seq = ((uint64_t)m->max_seq_tok + RT_KV_BLOCK_TOK - 1) / RT_KV_BLOCK_TOK;
    if (per_seq * m->max_batch > (uint64_t)1 << 24) return bad(error, "meta: max_batch");
    /* comparisons that NaN fails */
    if (!(m->temperature > 0 && m->temperature < 1e30f)) return bad(error, "meta: temperature");
    if (!(m->top_p > 0 && m->top_p < 1e30f)) return bad(error, "meta: top_p");
    if (!(m->min_p >= 0 && m->min_p <= 1)) return bad(error, "meta: min_p");
    if (!(m->repetition_penalty > 0 && m->repetition_penalty < 1e30f))
        return bad(error, "meta: repetition_penalty");
    if (!terminated(m->model_type, sizeof m->model_type) || !terminated(m->name, sizeof m->name) ||
        !terminated(m->quant, sizeof m->quant))
        return bad(error, "meta: a name");
    return P4C_OK;
}

/* ---- plan ---- */

static bool operand_ok(const rt_operand *o, const rt_tables *t) {
    const uint64_t layer_bytes = t->meta->kv_block_bytes / t->meta->n_layers;
    switch (o->space) {
    case RT_SPACE_none:
        return true;
    case RT_SPACE_arena:
        return o->offset < t->plan->arena_bytes;
    case RT_SPACE_weights:
        return o->offset < t->weights_bytes;
    case RT_SPACE_logits:
        return o->offset == 0;
    case RT_SPACE_number:
        return o->offset <= t->meta->kv_block_bytes - layer_bytes;
    default:
        return false;
    }
}

static p4c_status check_plan(const rt_tables *t, uint64_t n_bytes, p4c_error *error) {
    const rt_plan *const p = t->plan;
    if (p->n_launches > 1 << 20 || p->n_kernels > 1 << 20 ||
        n_bytes != sizeof *p + (uint64_t)p->n_launches * sizeof(rt_launch))
        return bad(error, "plan: number of launches");
    if (p->max_tokens < 1 || p->max_tokens > 1 << 20) return bad(error, "plan: max_tokens");
    if (p->max_rows < 1 || p->max_rows > p->max_tokens) return bad(error, "plan: max_rows");
    if (p->arena_bytes > (uint64_t)1 << 40) return bad(error, "plan: arena_bytes");
    if (p->scratch_bytes > 1 << 30) return bad(error, "plan: scratch_bytes");
    for (uint32_t i = 0; i < p->n_launches; i++) {
        const rt_launch *const l = &t->launch[i];
        for (int c = 0; c < RT_N_CLASSES; c++)
            if (l->kernel[c] >= p->n_kernels) return bad(error, "plan: a kernel");
        if (l->n_is_rows > 1 || l->barrier > 1) return bad(error, "plan: a flag");
        if (l->n_operands > RT_MAX_OPERANDS ||
            (l->result >= l->n_operands && l->result != RT_MAX_OPERANDS))
            return bad(error, "plan: number of operands");
        for (uint32_t o = 0; o < l->n_operands; o++)
            if (!operand_ok(&l->operand[o], t)) return bad(error, "plan: an operand");
    }
    return P4C_OK;
}

p4c_status rt_load_tables(const rt_model_source *source, rt_tables *out, p4c_error *error) {
    static const char *const READ_AT_LOAD[] = {"meta",   "plan",    "tokenizer", "template",
                                               "config", "options", "dummy"};
    rt_tables t = {0};
    p4c_status s = check_header(source, error);
    if (s != P4C_OK) return s;
    t.header = (const rt_header *)(const void *)source->data;
    for (size_t i = 0; i < sizeof READ_AT_LOAD / sizeof *READ_AT_LOAD; i++)
        if ((s = check_sum(t.header, READ_AT_LOAD[i], error)) != P4C_OK) return s;

    t.meta = (const rt_meta *)(const void *)rt_find_span(t.header, "meta").at;
    if ((s = check_meta(t.meta, error)) != P4C_OK) return s;

    const rt_span dummy = rt_find_span(t.header, "dummy");
    const rt_span weights = rt_find_span(t.header, "weights");
    t.weights = weights.at;
    t.weights_bytes = weights.n_bytes;
    if (t.meta->dummy) {
        if (dummy.n_bytes % sizeof(rt_dummy)) return bad(error, "section dummy");
        t.dummy = (const rt_dummy *)(const void *)dummy.at;
        t.n_dummy = dummy.n_bytes / sizeof(rt_dummy);
        t.weights_bytes = rt_dummy_bytes(t.dummy, t.n_dummy);
        if (!t.weights_bytes || weights.n_bytes) return bad(error, "section dummy");
    }

    const rt_span plan = rt_find_span(t.header, "plan");
    if (plan.n_bytes < sizeof(rt_plan)) return bad(error, "section plan");
    t.plan = (const rt_plan *)(const void *)plan.at;
    t.launch = (const rt_launch *)(const void *)(t.plan + 1);
    if ((s = check_plan(&t, plan.n_bytes, error)) != P4C_OK) return s;
    t.tokenizer = rt_find_span(t.header, "tokenizer");
    t.chat_template = rt_find_span(t.header, "template");
    *out = t;
    return P4C_OK;
}

/* ---- code ---- */

static p4c_status no_variant(const rt_image *image, const char *name, p4c_error *error) {
    char known[256] = "";
    for (uint32_t i = 0; i < image->n_variants; i++) {
        const size_t n = strlen(known);
        snprintf(known + n, sizeof known - n, "%s%s", i ? ", " : "", image->variants[i].name);
    }
    return rt_fail(error, P4C_ERR_ARGUMENT, "the artifact has no variant %s (it has %s)", name,
                   known);
}

p4c_status rt_pick_variant(const rt_image *image, uint64_t bits, const char *name,
                           const rt_variant **out, p4c_error *error) {
    if (image->abi != RT_ABI || !image->n_variants) return bad(error, "its table of kernels");
    for (uint32_t i = image->n_variants; i-- > 0;) {
        const rt_variant *const v = &image->variants[i];
        if (name && strcmp(v->name, name) != 0) continue;
        if ((v->needs & ~bits) == 0) {
            *out = v;
            return P4C_OK;
        }
        if (name)
            return rt_fail(error, P4C_ERR_NO_CPU, "this processor cannot run the variant %s", name);
    }
    if (name) return no_variant(image, name, error);
    return rt_fail(error, P4C_ERR_NO_CPU,
                   "this processor is older than %s, the least that the "
                   "artifact was compiled for",
                   image->variants[0].name);
}

p4c_status rt_check_kernels(const rt_variant *variant, const rt_tables *t, p4c_error *error) {
    for (uint32_t i = 0; i < t->plan->n_launches; i++)
        for (int c = 0; c < RT_N_CLASSES; c++) {
            const rt_kernel_entry *const k = &variant->kernels[t->launch[i].kernel[c]];
            /* units * n * threads must fit an int64 */
            if (!k->fn || k->units < 0 || k->units > (int64_t)1 << 32 || k->per_token < 0 ||
                k->per_token > 1)
                return bad(error, "a kernel's work units");
        }
    return P4C_OK;
}
