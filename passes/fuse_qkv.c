/* fuse_qkv.c - projections of the same activations become one.
 *   linear(a, w1), linear(a, w2), ...
 *       ->  y = linear(a, concat_rows(w1, w2, ...)); slice(y, 0, N1), slice(y, N1, N2), ...
 * Why: one launch instead of several, and the epilogues of the passes behind this one want q, k, v
 * (gate, up) in one product.  Only weights of one element type and one grouping can lie below each
 * other.
 */
#include "ir/const.h"
#include "passes/pass.h"
#include "passes/rewrite.h"

static bool fits(const ir_op *first, const ir_op *other) {
    const ir_type *s = &first->in[1]->type, *t = &other->in[1]->type;
    if (s->dtype != t->dtype) return false;
    return s->dtype != DT_i4 || ir_same_columns(first->in[1], other->in[1]);
}

static bool can_join(const ir_op *op, const ir_op *act) {
    if (!rw_is_bare_linear(op) || op->in[0] != act) return false;
    const ir_layout layout = op->in[1]->type.layout;
    return layout == LAYOUT_plain || layout == LAYOUT_gptq;
}

/* The members that go with the first one left, moved out of `list`; how many. */
static int take_group(ir_op **list, int *n, ir_op **group) {
    int n_group = 0, n_left = 0;
    for (int i = 0; i < *n; i++) {
        if (n_group < IR_MAX_OPERANDS && (i == 0 || fits(group[0], list[i])))
            group[n_group++] = list[i];
        else list[n_left++] = list[i];
    }
    *n = n_left;
    return n_group;
}

static bool join(ir_graph *g, ir_op *act, ir_op **linear, int n) {
    ir_op *weight[IR_MAX_OPERANDS];
    for (int i = 0; i < n; i++) weight[i] = linear[i]->in[1];
    g->at = rw_first_computed(g);
    ir_op *const w = ir_add(g, OP_concat_rows, n, weight, 0, NULL);
    g->at = linear[0];
    ir_op *const y = ir_add(g, OP_linear, 2, (ir_op *[]){act, w}, 0, NULL);
    if (!y) return false;
    int64_t begin = 0;
    ir_op *part[IR_MAX_OPERANDS];
    for (int i = 0; i < n; i++) {
        const int64_t size = weight[i]->type.dim[0];
        part[i] = ir_add(g, OP_slice, 1, (ir_op *[]){y}, 2,
                         (ir_attr[]){IR_I64(begin, begin), IR_I64(size, size)});
        if (!part[i]) return false;
        begin += size;
    }
    const int order = rw_order_operand(act);
    for (int i = 0; i < n; i++) {
        if (order && act->in[order] == weight[i]) ir_set_in(act, order, w);
        ir_replace(g, linear[i], part[i]);
        ir_erase(g, linear[i]);
    }
    return true;
}

bool pass_fuse_qkv(ir_graph *g, pass_ctx *px) {
    rw_index(g, px->scratch);
    bool sorted = false;
    for (ir_op *act = g->first; act; act = act->next) {
        if (act->kind != OP_act || act->n_use < 2) continue;
        const rw_info *info = rw_info_of(act);
        ir_op **list = arena_array(px->scratch, ir_op *, info->n_users);
        int n = 0;
        for (int i = 0; i < info->n_users; i++)
            if (can_join(info->user[i], act)) list[n++] = info->user[i];
        while (n > 1) {
            ir_op *group[IR_MAX_OPERANDS] = {list[0]};
            const int n_group = take_group(list, &n, group);
            if (n_group < 2) continue;
            if (!sorted) rw_constants_first(g);
            sorted = true;
            if (!join(g, act, group, n_group)) return false;
            px->n_changed += n_group;
        }
    }
    return true;
}
