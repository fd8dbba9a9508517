/* fuse_dequant_gemm.c - every matrix product with a weight becomes what the kernels compute.
 *   matmul(x, dequant(w))  ->  linear(act(x), w)
 *   matmul(x, w)           ->  linear(act(x), w)
 * Why: the weight stays packed in memory and is unpacked in registers.  act is x in the element
 * type that goes with the weight's (schemes.def).  Products of the same x share one act where
 * type, groups and column order are the same.
 */
#include "ir/const.h"
#include "passes/rewrite.h"
#include "passes/scheme.h"

/* Acts made of a value, in a list that hangs on its note. */
typedef struct made {
    ir_op *act;
    const ir_op *w; /* made for this weight */
    struct made *next;
} made;

/* DT_COUNT: no kernel takes such weights. */
static ir_dtype act_dtype_for(ir_dtype weight) {
    for (scheme_id id = 0; id < SCHEME_COUNT; id++)
        if (scheme_table[id].weight == weight) return scheme_table[id].act;
    return DT_COUNT;
}

static bool serves(const made *m, const ir_op *w, ir_dtype act) {
    if (m->act->type.dtype != act) return false;
    if (w->type.dtype != DT_i4) return m->w->type.dtype != DT_i4;
    return m->w->type.dtype == DT_i4 && ir_same_columns(m->w, w);
}

static ir_op *act_for(ir_graph *g, pass_ctx *px, ir_op *x, ir_op *w) {
    const ir_dtype dtype = act_dtype_for(w->type.dtype);
    for (const made *m = x->note; m; m = m->next)
        if (serves(m, w, dtype)) return m->act;
    ir_op *const in[] = {x, w};
    const ir_attr attrs[] = {IR_I64(act, dtype), IR_I64(group, w->type.group)};
    ir_op *const act = ir_add(g, OP_act, w->type.perm ? 2 : 1, in, w->type.group ? 2 : 1, attrs);
    if (!act) return NULL;
    made *const m = arena_new(px->scratch, made);
    *m = (made){act, w, x->note};
    x->note = m;
    return act;
}

static bool make_linear(ir_graph *g, pass_ctx *px, ir_op *matmul) {
    ir_op *w = matmul->in[1];
    if (w->kind == OP_dequant) w = w->in[0];
    if (!ir_is_const(w) || act_dtype_for(w->type.dtype) == DT_COUNT)
        return diag_error(g->diag, DIAG_PASS_NO_KERNEL, ir_loc(matmul),
                          "no kernel multiplies by a matrix of this kind (%s%s)",
                          ir_is_const(w) ? "" : "computed, ", ir_dtype_info[w->type.dtype].name);
    g->at = matmul;
    ir_op *const act = act_for(g, px, matmul->in[0], w);
    ir_op *const linear = ir_add(g, OP_linear, 2, (ir_op *[]){act, w}, 0, NULL);
    if (!linear) return false;
    ir_replace(g, matmul, linear);
    rw_erase(g, matmul);
    px->n_changed++;
    return true;
}

bool pass_fuse_dequant_gemm(ir_graph *g, pass_ctx *px) {
    for (ir_op *op = g->first; op; op = op->next) op->note = NULL;
    for (ir_op *op = g->first, *next; op; op = next) {
        next = op->next;
        if (op->kind == OP_matmul && !make_linear(g, px, op)) return false;
    }
    return true;
}
