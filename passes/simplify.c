/* simplify.c - the graph without what it does not need.
 *   slice(slice(x, b1, n1), b2, n2)  ->  slice(x, b1 + b2, n2)
 *   slice(x, 0, all of it)           ->  x
 *   scale(x, 1)                      ->  x
 *   two ops that compute the same    ->  one
 *   ops without users                ->  nothing
 */
#include "base/map.h"
#include "passes/pass.h"
#include "passes/rewrite.h"

enum { X, INNER };

static int64_t columns(const ir_op *op) { return op->type.dim[op->type.rank - 1]; }

static ir_op *build_slice(ir_graph *g, const rw_match *m) {
    const int64_t begin = ir_i64(m->var[INNER], ATTR_begin) + ir_i64(m->root, ATTR_begin);
    return ir_add(g, OP_slice, 1, &m->var[X], 2,
                  (ir_attr[]){IR_I64(begin, begin), IR_I64(size, ir_i64(m->root, ATTR_size))});
}

static ir_op *build_whole(ir_graph *g, const rw_match *m) {
    (void)g;
    return columns(m->root) == columns(m->var[X]) ? m->var[X] : NULL;
}

static ir_op *build_by_one(ir_graph *g, const rw_match *m) {
    (void)g;
    return ir_f64(m->root, ATTR_by) == 1 ? m->var[X] : NULL;
}

static const rw_rule RULES[] = {
    {"slice of slice", MATCH(slice, SHARED(INNER, slice, VAR(X))), build_slice},
    {"whole slice", MATCH(slice, VAR(X)), build_whole},
    {"scale by one", MATCH(scale, VAR(X)), build_by_one},
};

/* Everything an op's value depends on, as text: the op without its number and name.  Empty where
 * the op must stay as it is: it has an effect, or nobody knows what it holds. */
static str value_key(const ir_op *op, arena *scratch) {
    const op_info *info = &ir_op_info[op->kind];
    if (!(info->traits & PURE)) return (str){0};
    if (op->kind == OP_weight && op->source.kind == SOURCE_none) return (str){0};
    ir_op plain = *op;
    plain.id = 0;
    plain.name = NULL;
    ir_op *const swapped[] = {op->n_in > 1 ? op->in[1] : NULL, op->n_in ? op->in[0] : NULL};
    if (info->traits & COMM && op->in[0]->id > op->in[1]->id) plain.in = (ir_op **)swapped;
    text t = {.mem = scratch};
    ir_print_op(&plain, &t);
    return text_str(&t);
}

static int merge_duplicates(ir_graph *g, arena *scratch) {
    map seen = {.mem = scratch};
    int n = 0;
    for (ir_op *op = g->first, *next; op; op = next) {
        next = op->next;
        const str key = value_key(op, scratch);
        if (!key.n || map_add(&seen, key, (int64_t)(intptr_t)op)) continue;
        ir_replace(g, op, (ir_op *)(intptr_t)*map_find(&seen, key));
        ir_erase(g, op);
        n++;
    }
    return n;
}

bool pass_simplify(ir_graph *g, pass_ctx *px) {
    px->n_changed = ir_erase_dead(g);
    px->n_changed += rw_apply(g, RULES, COUNT_OF(RULES));
    px->n_changed += merge_duplicates(g, px->scratch);
    return true;
}
