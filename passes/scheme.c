/* scheme.c - names of quantisation schemes, and the one that a checkpoint calls for. */
#include "passes/scheme.h"

const scheme_info scheme_table[SCHEME_COUNT] = {
#define SCHEME(name, weight, act, kv, meaning)                                                     \
    [SCHEME_##name] = {#name, DT_##weight, DT_##act, DT_##kv, meaning},
#include "passes/schemes.def"
#undef SCHEME
};

bool scheme_parse(str name, scheme *out, bool *is_auto) {
    *is_auto = str_is(name, "auto");
    if (*is_auto) return true;
    for (scheme_id id = 0; id < SCHEME_COUNT; id++) {
        const scheme_info *row = &scheme_table[id];
        const scheme found = {.id = id, .kv_dtype = row->kv};
        if (row->weight != DT_i4) {
            if (!str_is(name, row->name)) continue;
            *out = found;
            return true;
        }
        const size_t n = strlen(row->name);
        if (!str_starts(name, row->name) || name.n < n + 2 || memcmp(name.at + n, "-g", 2))
            continue;
        const str digits = {name.at + n + 2, name.n - n - 2};
        char only_spelling[24];
        int64_t group;
        if (!str_to_i64(digits, &group) || group < -1 || group == 0 || group > IR_MAX_DIM)
            return false;
        snprintf(only_spelling, sizeof only_spelling, "%lld", (long long)group);
        if (!str_is(digits, only_spelling)) return false;
        *out = found;
        out->group = group;
        return true;
    }
    return false;
}

void scheme_print(const scheme *s, text *out) {
    text_cat(out, scheme_table[s->id].name);
    if (s->group) text_printf(out, "-g%lld", (long long)s->group);
}

scheme_id scheme_of_dtype(ir_dtype stored) {
    return stored == DT_i4 ? SCHEME_w4a16 : stored == DT_f16 ? SCHEME_f16 : SCHEME_bf16;
}

/* Named after the 4-bit matrices where there are any, else after the form that most weights will
 * have. */
scheme scheme_auto(const ir_graph *g) {
    double elements[SCHEME_COUNT] = {0};
    scheme s = {.as_stored = true};
    bool mixed = false;
    for (const ir_op *op = g->first; op; op = op->next) {
        if (op->kind != OP_matmul) continue;
        const ir_op *w = op->in[1]->kind == OP_dequant ? op->in[1]->in[0] : op->in[1];
        const scheme_id id = scheme_of_dtype(w->type.dtype);
        elements[id] += (double)w->type.dim[0] * (double)w->type.dim[1];
        if (id != SCHEME_w4a16) continue;
        mixed |= s.group && s.group != w->type.group;
        s.group = w->type.group;
    }
    s.id = SCHEME_bf16;
    if (elements[SCHEME_f16] > elements[s.id]) s.id = SCHEME_f16;
    if (elements[SCHEME_w4a16] > 0) s.id = SCHEME_w4a16;
    if (mixed) s.group = 0;
    s.kv_dtype = scheme_table[s.id].kv;
    return s;
}
