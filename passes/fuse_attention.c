/* fuse_attention.c - attention as one op that keeps a running maximum and sum per query, so that
 * the scores never reach memory.
 *   attn_mix(softmax(attn_mask(scale(attn_scores(q, kv, seqs)), seqs)), kv, seqs)
 *       ->  attention(q, kv, seqs)
 * A missing scale is a factor of one.  Scores in any other form have no kernel.
 */
#include "passes/pass.h"
#include "passes/rewrite.h"

enum { Q, KV, SEQS, SCORES, SCALE, MASK };

static ir_op *build(ir_graph *g, const rw_match *m) {
    const ir_op *scores = m->var[SCORES], *scale = m->var[SCALE], *mask = m->var[MASK];
    const int64_t layer = ir_i64(scores, ATTR_layer);
    if (ir_i64(m->root, ATTR_layer) != layer) return NULL;
    ir_attr attrs[4] = {IR_I64(layer, layer), IR_I64(heads, ir_i64(scores, ATTR_heads)),
                        IR_F64(by, scale ? ir_f64(scale, ATTR_by) : 1.0)};
    int n = 3;
    if (ir_find_attr(mask, ATTR_window)) attrs[n++] = IR_I64(window, ir_i64(mask, ATTR_window));
    return ir_add(g, OP_attention, 3, (ir_op *[]){m->var[Q], m->var[KV], m->var[SEQS]}, n, attrs);
}

#define SCORES_OF BIND(SCORES, attn_scores, VAR(Q), VAR(KV), VAR(SEQS))
#define MIX_OF(scaled)                                                                             \
    MATCH(attn_mix, MATCH(softmax, BIND(MASK, attn_mask, scaled, VAR(SEQS))), VAR(KV), VAR(SEQS))

static const rw_rule RULES[] = {
    {"attention", MIX_OF(BIND(SCALE, scale, SCORES_OF)), build},
    {"attention without scale", MIX_OF(SCORES_OF), build},
};

bool pass_fuse_attention(ir_graph *g, pass_ctx *px) {
    px->n_changed = rw_apply(g, RULES, COUNT_OF(RULES));
    for (const ir_op *op = g->first; op; op = op->next)
        if (op->kind == OP_attn_scores)
            return diag_error(
                g->diag, DIAG_PASS_ATTENTION, ir_loc(op),
                "scores that do not go through scale, attn_mask, softmax and attn_mix "
                "alone have no kernel");
    return true;
}
