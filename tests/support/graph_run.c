/* graph_run.c - made-up inputs, two steps in the interpreter, outputs end to end. */
#include "tests/support/graph_run.h"

#include <math.h>
#include <string.h>

#include "base/seedgen.h"
#include "ir/interp.h"

enum { MAX_T = 8, MAX_NAMED = 8 };

typedef struct shape_of_step {
    int64_t T, R;
    int32_t rows[MAX_T];
    interp_seq seqs[2];
} shape_of_step;

static const shape_of_step STEPS[] = {
    {8, 3, {1, 4, 7}, {{0, 5, 0, 0}, {5, 3, 0, 1}}},
    {3, 2, {0, 2}, {{0, 1, 5, 0}, {1, 2, 3, 1}}},
};

static uint64_t random_bits(uint64_t seed, uint64_t i) { return seedgen_hash(seed, 77, i); }

/* Token ids must be rows of every embedding table. */
static int64_t smallest_vocab(const ir_graph *g) {
    int64_t n = 1 << 20;
    for (const ir_op *op = g->first; op; op = op->next)
        if (op->kind == OP_embed) n = min_i64(n, op->in[0]->type.dim[0]);
    return n;
}

static int64_t n_elements(const ir_type *t, const shape_of_step *s) {
    int64_t n = 1;
    for (int i = 0; i < t->rank; i++)
        n *= t->dim[i] == DIM_T ? s->T : t->dim[i] == DIM_R ? s->R : t->dim[i];
    return n;
}

/* Inputs that are plain tensors. */
static int name_tensors(const ir_graph *g, const shape_of_step *s, uint64_t seed, arena *mem,
                        const char **name, const float **value) {
    int n = 0;
    for (const ir_op *op = g->first; op; op = op->next) {
        if (op->kind != OP_input || op->type.dtype != DT_f32 || op->type.layout != LAYOUT_plain)
            continue;
        if (n == MAX_NAMED) UNREACHABLE("too many inputs in a test");
        const int64_t size = n_elements(&op->type, s);
        float *x = arena_array(mem, float, size);
        for (int64_t i = 0; i < size; i++)
            x[i] = 2 * seedgen_unit(random_bits(seed + (uint64_t)n, (uint64_t)(i + s->T * 4096)));
        name[n] = ir_str(op, ATTR_role);
        value[n++] = x;
    }
    return n;
}

static bool run_step(const ir_graph *g, const shape_of_step *s, uint64_t seed, interp_state *state,
                     arena *mem, float **out) {
    int32_t ids[MAX_T];
    const uint64_t vocab = (uint64_t)smallest_vocab(g);
    for (int64_t t = 0; t < s->T; t++)
        ids[t] = (int32_t)(random_bits(seed, (uint64_t)(t + 100 * s->T)) % vocab);
    const char *name[MAX_NAMED];
    const float *value[MAX_NAMED];
    const interp_step step = {
        .T = s->T,
        .R = s->R,
        .ids = ids,
        .rows = s->rows,
        .seqs = s->seqs,
        .n_seqs = COUNT_OF(s->seqs),
        .n_named = name_tensors(g, s, seed, mem, name, value),
        .name = name,
        .value = value,
    };
    arena *scratch = arena_open();
    const bool ok = interp_run(g, state, &step, scratch, NULL, NULL, out);
    arena_close(scratch);
    return ok;
}

bool graph_run(const ir_graph *g, uint64_t seed, arena *mem, graph_result *out) {
    interp_state *state = interp_state_new(mem, 2);
    *out = (graph_result){0};
    for (size_t i = 0; i < COUNT_OF(STEPS); i++)
        for (int o = 0; o < g->n_out; o++)
            if (g->out[o]->type.layout != LAYOUT_kv)
                out->n += n_elements(&g->out[o]->type, &STEPS[i]);
    out->at = arena_array(mem, float, out->n);
    float *next = out->at;
    for (size_t i = 0; i < COUNT_OF(STEPS); i++) {
        float *value[IR_MAX_OUTPUTS] = {0};
        for (int o = 0; o < g->n_out; o++) {
            if (g->out[o]->type.layout == LAYOUT_kv) continue;
            value[o] = next;
            next += n_elements(&g->out[o]->type, &STEPS[i]);
        }
        if (!run_step(g, &STEPS[i], seed, state, mem, value)) return false;
    }
    return true;
}

double graph_distance(const graph_result *a, const graph_result *b) {
    if (a->n != b->n) return INFINITY;
    double largest = 1, worst = 0;
    for (int64_t i = 0; i < a->n; i++) {
        if (!isfinite(a->at[i]) || !isfinite(b->at[i])) return INFINITY;
        largest = fmax(largest, fabs((double)a->at[i]));
        worst = fmax(worst, fabs((double)a->at[i] - (double)b->at[i]));
    }
    return worst / largest;
}
