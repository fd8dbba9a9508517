/* fuse_norm.c - normalise where the activations are made ready for a linear.
 *   act(rmsnorm(x, w))  ->  act(x, w)
 * Where several acts take the same normed value, each norms for itself; where anything else reads
 * it, the rmsnorm stays, and they read it too.
 */
#include "passes/pass.h"
#include "passes/rewrite.h"

static bool only_acts_read(const ir_graph *g, const ir_op *norm) {
    const rw_info *info = rw_info_of(norm);
    for (int i = 0; i < g->n_out; i++)
        if (g->out[i] == norm) return false;
    for (int i = 0; i < info->n_users; i++) {
        const ir_op *user = info->user[i];
        if (user->kind != OP_act || ir_find_attr(user, ATTR_eps)) return false;
    }
    return info->n_users > 0;
}

static bool fuse(ir_graph *g, ir_op *norm, ir_op *act) {
    ir_op *in[3] = {norm->in[0], norm->in[1]};
    int n_in = 2, n_attrs = 0;
    const int order = rw_order_operand(act);
    if (order) in[n_in++] = act->in[order];
    ir_attr attrs[ATTR_COUNT];
    for (int i = 0; i < act->n_attrs; i++) attrs[n_attrs++] = act->attrs[i];
    attrs[n_attrs++] = IR_F64(eps, ir_f64(norm, ATTR_eps));
    g->at = act;
    ir_op *const with = ir_add(g, OP_act, n_in, in, n_attrs, attrs);
    if (!with) return false;
    ir_replace(g, act, with);
    ir_erase(g, act);
    return true;
}

bool pass_fuse_norm(ir_graph *g, pass_ctx *px) {
    rw_index(g, px->scratch);
    for (ir_op *op = g->first, *next; op; op = next) {
        next = op->next;
        if (op->kind != OP_rmsnorm || !only_acts_read(g, op)) continue;
        const rw_info *info = rw_info_of(op);
        for (int i = 0; i < info->n_users; i++)
            if (!fuse(g, op, info->user[i])) return false;
        next = op->next; /* was an act, perhaps */
        ir_erase(g, op);
        px->n_changed += info->n_users;
    }
    return true;
}
