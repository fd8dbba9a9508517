/* fuse_epilogue.c - what is done to a product's result, while it is still in registers.
 *   mul(silu(slice(y: first half)), slice(y: second half))
 *                                ->  linear(a, w) {epilogue="swiglu"}   where y = linear(a, w)
 *                                ->  swiglu(y)                          where y is anything else
 *   add(linear(a, w), residual)  ->  linear(a, w, residual) {epilogue="add"}
 */
#include "passes/pass.h"
#include "passes/rewrite.h"

enum { A, W, Y, GATE, UP, RESIDUAL };

static bool are_halves(const rw_match *m) {
    const ir_op *y = m->var[Y];
    const int64_t n = y->type.dim[y->type.rank - 1];
    return ir_i64(m->var[GATE], ATTR_begin) == 0 && ir_i64(m->var[GATE], ATTR_size) * 2 == n &&
           ir_i64(m->var[UP], ATTR_begin) * 2 == n && ir_i64(m->var[UP], ATTR_size) * 2 == n;
}

static ir_op *build_swiglu_epilogue(ir_graph *g, const rw_match *m) {
    if (!are_halves(m) || m->var[Y]->n_use != 2 || !rw_is_bare_linear(m->var[Y])) return NULL;
    return ir_add(g, OP_linear, 2, (ir_op *[]){m->var[A], m->var[W]}, 1,
                  (ir_attr[]){IR_STR(epilogue, "swiglu")});
}

static ir_op *build_swiglu(ir_graph *g, const rw_match *m) {
    return are_halves(m) ? ir_add(g, OP_swiglu, 1, &m->var[Y], 0, NULL) : NULL;
}

static ir_op *build_add(ir_graph *g, const rw_match *m) {
    if (!rw_is_bare_linear(m->var[Y])) return NULL;
    return ir_add(g, OP_linear, 3, (ir_op *[]){m->var[A], m->var[W], m->var[RESIDUAL]}, 1,
                  (ir_attr[]){IR_STR(epilogue, "add")});
}

#define SWIGLU_OF(y) MATCH(mul, MATCH(silu, BIND(GATE, slice, y)), BIND(UP, slice, y))

static const rw_rule RULES[] = {
    {"swiglu epilogue", SWIGLU_OF(SHARED(Y, linear, VAR(A), VAR(W))), build_swiglu_epilogue},
    {"swiglu", SWIGLU_OF(VAR(Y)), build_swiglu},
    {"add epilogue", MATCH(add, BIND(Y, linear, VAR(A), VAR(W)), VAR(RESIDUAL)), build_add},
};

bool pass_fuse_epilogue(ir_graph *g, pass_ctx *px) {
    px->n_changed = rw_apply(g, RULES, COUNT_OF(RULES));
    return true;
}
