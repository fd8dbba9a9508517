/* layout.c - the packed order of every weight that a linear reads.
 *   linear(act(x [, w]), w)  ->  linear(act(x [, p]), p), p = pack(w) {layout, order}
 * Layout by element type (ir/layouts.def), order by epilogue: swiglu and rope_kv want the rows that
 * are combined in one register side by side.  Linears of one weight in one order share the pack. An
 * act that follows the columns of an act-order weight follows the packed one from here on.
 */
#include "ir/layout.h"

#include "ir/const.h"

#include <string.h>

#include "passes/pass.h"
#include "passes/rewrite.h"

static const struct {
    ir_dtype weight;
    ir_layout layout;
} LAYOUTS[] = {
    {DT_f32, LAYOUT_r16k1}, {DT_f16, LAYOUT_r16k1}, {DT_bf16, LAYOUT_r16k2}, {DT_i4, LAYOUT_r16k8}};

static const struct {
    const char *epilogue, *order;
} ORDERS[] = {{"none", "natural"}, {"add", "natural"}, {"swiglu", "swiglu"}, {"rope_kv", "rope"}};

/* Attributes of the pack that this linear wants; how many.  0: no kernel takes such a weight. */
static int pack_attrs(const ir_op *linear, ir_attr *out) {
    int n = 0;
    for (size_t i = 0; i < COUNT_OF(LAYOUTS); i++)
        if (LAYOUTS[i].weight == linear->in[1]->type.dtype)
            out[n++] = IR_I64(layout, LAYOUTS[i].layout);
    if (!n) return 0;
    const char *epilogue = ir_str_or(linear, ATTR_epilogue, "none");
    const char *order = NULL;
    for (size_t i = 0; i < COUNT_OF(ORDERS); i++)
        if (strcmp(epilogue, ORDERS[i].epilogue) == 0) order = ORDERS[i].order;
    out[n++] = IR_STR(order, order);
    static const attr_key SIZES[] = {ATTR_heads, ATTR_kv_heads, ATTR_head_dim, ATTR_rot};
    for (size_t i = 0; i < COUNT_OF(SIZES) && strcmp(order, "rope") == 0; i++)
        out[n++] = (ir_attr){.key = SIZES[i], .i64 = ir_i64(linear, SIZES[i])};
    return n;
}

static bool same_attrs(const ir_op *pack, const ir_attr *attrs, int n) {
    for (int i = 0; i < n; i++) {
        const ir_attr *a = ir_find_attr(pack, attrs[i].key);
        if (!a) return false;
        if (a->key == ATTR_order ? strcmp(a->str, attrs[i].str) != 0 : a->i64 != attrs[i].i64)
            return false;
    }
    return pack->n_attrs == n;
}

/* Packs of a weight are a list through the notes of the weight and of its packs. */
static ir_op *packed(ir_graph *g, pass_ctx *px, const ir_op *linear) {
    ir_op *const w = linear->in[1];
    ir_attr attrs[6];
    const int n = pack_attrs(linear, attrs);
    if (!n) {
        diag_error(g->diag, DIAG_PASS_NO_KERNEL, ir_loc(linear),
                   "no kernel takes weights of type %s", ir_dtype_info[w->type.dtype].name);
        return NULL;
    }
    for (ir_op *p = w->note; p; p = p->note)
        if (same_attrs(p, attrs, n)) return p;
    ir_op *const pack = ir_add(g, OP_pack, 1, (ir_op *[]){w}, n, attrs);
    if (!pack) return NULL;
    pack->note = w->note;
    w->note = pack;
    px->n_changed++;
    return pack;
}

/* The linear's act brings the columns in the order that its act-order weight has. */
static bool follows(ir_graph *g, ir_op *act, const ir_op *w) {
    if (!w->type.perm || act->kind != OP_act) return true;
    const int order = rw_order_operand(act);
    if (order && ir_same_columns(act->in[order], w)) return true;
    return diag_error(
        g->diag, DIAG_PASS_COLUMNS, ir_loc(act),
        "these activations do not follow the column order of the weight that takes them");
}

bool pass_layout(ir_graph *g, pass_ctx *px) {
    rw_constants_first(g);
    g->at = rw_first_computed(g);
    for (ir_op *op = g->first; op; op = op->next) op->note = NULL;
    for (ir_op *op = g->first; op; op = op->next) {
        if (op->kind != OP_linear) continue;
        ir_op *const w = op->in[1], *const act = op->in[0];
        if (ir_layout_is_packed(w->type.layout)) continue;
        if (!follows(g, act, w)) return false;
        ir_op *const pack = packed(g, px, op);
        if (!pack) return false;
        ir_set_in(op, 1, pack);
        const int order = act->kind == OP_act ? rw_order_operand(act) : 0;
        if (order && act->in[order] == w) ir_set_in(act, order, pack);
    }
    return true;
}
