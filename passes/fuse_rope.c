/* fuse_rope.c - rotation and KV append in the epilogue of the QKV projection.
 *   y = linear(a, w)                  rows: query heads, key heads, value heads
 *   q = rope(slice(y: query heads), table, seqs)
 *   k = rope(slice(y: key heads), table, seqs)
 *   v = slice(y: value heads)
 *   kv2 = kv_append(kv, k, v, seqs)
 *       ->  q = linear(a, w, table, seqs, kv) {epilogue="rope_kv"}; kv2 = second(q)
 * Only where y's slices are exactly these and nothing needs q before kv is known.
 */
#include "ir/layout.h"
#include "passes/pass.h"
#include "passes/rewrite.h"

enum { KV, TABLE, SEQS, A, W, Y, K_ROPE, K, V };

static bool is_slice(const ir_op *op, int64_t begin, int64_t size) {
    return op->kind == OP_slice && ir_i64(op, ATTR_begin) == begin && ir_i64(op, ATTR_size) == size;
}

/* The slice of y that is neither k nor v, if y has just these three users. */
static ir_op *third_slice(const rw_match *m) {
    const rw_info *info = rw_info_of(m->var[Y]);
    if (!info || info->n_users != 3 || m->var[Y]->n_use != 3) return NULL;
    ir_op *third = NULL;
    for (int i = 0; i < 3; i++)
        if (info->user[i] != m->var[K] && info->user[i] != m->var[V]) third = info->user[i];
    return third && third->kind == OP_slice && third->n_use == 1 ? third : NULL;
}

/* The rope that turns q as `k_rope` turns k; NULL: q is not used that way, or too early. */
static ir_op *rope_of(const ir_op *q, const ir_op *k_rope, const ir_op *append) {
    if (!rw_info_of(q) || rw_info_of(q)->n_users != 1) return NULL;
    ir_op *const rope = rw_info_of(q)->user[0];
    if (rope->kind != OP_rope || rope->in[0] != q || rope->in[1] != k_rope->in[1] ||
        rope->in[2] != k_rope->in[2] ||
        ir_i64(rope, ATTR_head_dim) != ir_i64(k_rope, ATTR_head_dim))
        return NULL; /* one table: one rot */
    const rw_info *info = rw_info_of(rope);
    for (int i = 0; i < info->n_users; i++) {
        const rw_info *user = rw_info_of(info->user[i]);
        if (!user || user->index < rw_info_of(append)->index) return NULL;
    }
    return rope;
}

static ir_op *build(ir_graph *g, const rw_match *m) {
    if (!rw_is_bare_linear(m->var[Y])) return NULL;
    ir_op *const q = third_slice(m);
    ir_op *const rope = q ? rope_of(q, m->var[K_ROPE], m->root) : NULL;
    if (!rope) return NULL;
    const int64_t heads = ir_i64(rope, ATTR_heads), kv_heads = ir_i64(m->var[K_ROPE], ATTR_heads);
    const int64_t head_dim = ir_i64(rope, ATTR_head_dim);
    const int64_t n_q = heads * head_dim, n_kv = kv_heads * head_dim;
    if (heads % kv_heads || m->var[Y]->type.dim[1] != n_q + 2 * n_kv || !is_slice(q, 0, n_q) ||
        !is_slice(m->var[K], n_q, n_kv) || !is_slice(m->var[V], n_q + n_kv, n_kv))
        return NULL;
    const ir_type *kv = &m->var[KV]->type;
    if (kv->dim[1] != kv_heads || kv->dim[2] != head_dim) return NULL;
    /* kernels take blocks of rows in pairs, so those that do not turn must be whole pairs */
    if ((head_dim - ir_i64(rope, ATTR_rot)) % (2 * IR_BLOCK_ROWS)) return NULL;
    ir_op *const in[] = {m->var[A], m->var[W], m->var[TABLE], m->var[SEQS], m->var[KV]};
    ir_op *const linear =
        ir_add(g, OP_linear, COUNT_OF(in), in, 6,
               (ir_attr[]){IR_STR(epilogue, "rope_kv"), IR_I64(layer, ir_i64(m->root, ATTR_layer)),
                           IR_I64(heads, heads), IR_I64(kv_heads, kv_heads),
                           IR_I64(head_dim, head_dim), IR_I64(rot, ir_i64(rope, ATTR_rot))});
    ir_op *const appended = ir_add(g, OP_second, 1, (ir_op *[]){linear}, 0, NULL);
    if (appended) ir_replace(g, rope, linear);
    return appended;
}

static const rw_rule RULES[] = {
    {"rope_kv",
     MATCH(kv_append, VAR(KV),
           BIND(K_ROPE, rope, BIND(K, slice, SHARED(Y, linear, VAR(A), VAR(W))), VAR(TABLE),
                VAR(SEQS)),
           BIND(V, slice, SHARED(Y, linear, VAR(A), VAR(W))), VAR(SEQS)),
     build},
};

bool pass_fuse_rope(ir_graph *g, pass_ctx *px) {
    rw_index(g, px->scratch);
    px->n_changed = rw_apply(g, RULES, COUNT_OF(RULES));
    ir_erase_dead(g);
    return true;
}
