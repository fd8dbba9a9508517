/* plan_check.c - is a memory plan sound?  Says so from the bytes alone, without buffers or
 * lifetimes:
 *   - no op between a value's maker and a reader of it writes any of its bytes,
 *   - launches that no certain barrier separates do not write what the others read or write.
 * The one exception is the result of an add epilogue right on its residual.
 */
#include <string.h>

#include "passes/pass.h"

typedef struct span {
    int64_t begin, end; /* begin == end: not in the arena */
} span;

static span span_of(const ir_graph *g, const ir_op *op, int64_t T, int64_t R) {
    if (!pass_in_arena(g, op)) return (span){0, 0};
    const int64_t at = ir_i64(op, ATTR_at);
    return (span){at, at + ir_type_bytes(&op->type, T, R)};
}

static bool meet(span a, span b) { return a.begin < b.end && b.begin < a.end; }

static bool reads(const ir_op *op, const ir_op *value) {
    for (int i = 0; i < op->n_in; i++)
        if (op->in[i] == value) return true;
    return false;
}

/* The writer replaces its own residual element by element, and reads it in no other role. */
static bool is_in_place(const ir_op *writer, const ir_op *value, span w, span v) {
    if (writer->kind != OP_linear || writer->n_in != 3 || writer->in[2] != value) return false;
    return writer->in[0] != value && writer->in[1] != value && w.begin == v.begin &&
           w.end == v.end && strcmp(ir_str_or(writer, ATTR_epilogue, "none"), "add") == 0;
}

typedef struct launch {
    const ir_op *op;
    span out;
    int last_reader; /* launch that reads it last; INT32_MAX: an output */
    int batch;       /* launches of one batch may run at the same time */
} launch;

static int find_launches(const ir_graph *g, launch *list, int64_t T, int64_t R) {
    int n = 0, batch = 0, batch_begin = 0;
    for (const ir_op *op = g->first; op; op = op->next) {
        if (!pass_op_runs(op)) continue;
        list[n] = (launch){.op = op, .out = span_of(g, op, T, R), .last_reader = n};
        bool waits = false;
        for (int i = 0; i < n; i++) {
            if (!reads(op, list[i].op)) continue;
            list[i].last_reader = n;
            waits |= i >= batch_begin;
        }
        if (waits) batch++, batch_begin = n;
        list[n].batch = batch;
        n++;
    }
    for (int i = 0; i < n; i++)
        for (int j = 0; j < g->n_out; j++)
            if (g->out[j] == list[i].op) list[i].last_reader = INT32_MAX;
    return n;
}

/* Launch j, behind i, writes bytes of i's value while somebody may still want them. */
static bool clash(const launch *list, int n, int i, int j) {
    const launch *v = &list[i], *w = &list[j];
    if (!meet(v->out, w->out)) return false;
    if (v->last_reader > j) return true;
    if (v->last_reader == j) return !is_in_place(w->op, v->op, w->out, v->out);
    for (int r = i + 1; r < n && list[r].batch <= w->batch; r++)
        if (r != j && list[r].batch == w->batch && reads(list[r].op, v->op)) return true;
    return false;
}

bool pass_plan_is_sound(const ir_graph *g, int64_t T, int64_t R, arena *scratch, const ir_op **a,
                        const ir_op **b) {
    launch *list = arena_array(scratch, launch, ir_count(g));
    const int n = find_launches(g, list, T, R);
    for (int i = 0; i < n; i++)
        for (int j = i + 1; j < n; j++)
            if (clash(list, n, i, j)) {
                *a = list[i].op;
                *b = list[j].op;
                return false;
            }
    return true;
}
