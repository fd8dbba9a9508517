/* schedule.c - a kernel for each op that runs, in the order of the graph.
 *   act(x) that changes nothing  ->  x
 * that is: float32, without a norm, in rows that are as linear wants them.  An op left over from a
 * pass that did not fire falls back to a generic loop nest, which is said aloud unless passes were
 * left out on purpose.
 */
#include "codegen/catalog.h"
#include "passes/pass.h"
#include "passes/rewrite.h"

/* LAYOUT_act rounds each row up to 64 bytes, so plain rows must have that size already. */
enum { ROW_FLOATS = 16 };

static bool changes_nothing(const ir_op *op) {
    return op->kind == OP_act && op->n_in == 1 && op->type.dtype == DT_f32 && !op->type.group &&
           op->type.dim[1] % ROW_FLOATS == 0;
}

static bool only_linears_read(const ir_op *act) {
    const rw_info *info = rw_info_of(act);
    if (info->n_users != act->n_use) return false; /* an output of the graph */
    for (int i = 0; i < info->n_users; i++)
        if (info->user[i]->kind != OP_linear || info->user[i]->in[0] != act) return false;
    return true;
}

/* Kernels compute rows: one for each token of the step, or for each row of logits. */
static bool computes_rows(const ir_op *op) {
    const ir_type *t = &op->type;
    return t->layout == LAYOUT_kv || (t->rank == 2 && (t->dim[0] == DIM_T || t->dim[0] == DIM_R));
}

static bool choose_kernel(ir_graph *g, pass_ctx *px, ir_op *op, bool *generic) {
    const kernel_id kernel = catalog_kernel_for(op, generic);
    if (kernel == KERNEL_COUNT || !computes_rows(op))
        return diag_error(g->diag, DIAG_PASS_NO_KERNEL, ir_loc(op), "no kernel computes this op");
    ir_set_attr(g, op, IR_STR(kernel, kernel_table[kernel].name));
    px->n_changed++;
    return true;
}

/* Ops of a kind that fell back to a generic loop nest; a model has as many as layers, so they share
 * a warning. */
typedef struct fallback {
    const ir_op *first;
    int n;
} fallback;

static void warn_of(const ir_graph *g, const fallback *f) {
    static const char WHY[] = "no pass could fuse it with its neighbours";
    if (f->n == 1)
        diag_warn(g->diag, DIAG_PASS_SLOW_KERNEL, ir_loc(f->first),
                  "runs in a generic loop nest: %s", WHY);
    if (f->n > 1)
        diag_warn(g->diag, DIAG_PASS_SLOW_KERNEL, ir_loc(f->first),
                  "it and %d more of its kind run in a generic loop nest: %s", f->n - 1, WHY);
}

bool pass_schedule(ir_graph *g, pass_ctx *px) {
    ir_erase_dead(g);
    rw_index(g, px->scratch);
    for (ir_op *op = g->first, *next; op; op = next) {
        next = op->next;
        if (!changes_nothing(op) || !only_linears_read(op)) continue;
        ir_replace(g, op, op->in[0]);
        ir_erase(g, op);
        px->n_changed++;
    }
    fallback of_kind[OP_COUNT] = {0};
    for (ir_op *op = g->first; op; op = op->next) {
        bool generic = false;
        if (!pass_op_runs(op)) continue;
        if (!choose_kernel(g, px, op, &generic)) return false;
        fallback *f = &of_kind[op->kind];
        if (generic && !f->n++) f->first = op;
    }
    const pass_options *o = px->options;
    for (int kind = 0; kind < OP_COUNT && !o->disabled && o->limit < 0; kind++)
        warn_of(g, &of_kind[kind]);
    return true;
}
