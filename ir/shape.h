/* shape.h - what graph.c, parse.c and verify.c share: making an op whole, and the rule that gives
 * its type. */
#ifndef P4C_IR_SHAPE_H
#define P4C_IR_SHAPE_H

#include "ir/ir.h"

/* One for each op.  *out holds op->type on entry; rules of ops whose type comes from outside
 * (input, weight, rope_table) check it, all others set it.  Only operands' types, attributes and
 * sources are looked at, never bytes of files.  False: reported. */
typedef bool shape_fn(const ir_op *op, ir_type *out);
#define OP(name, n_in, traits, attrs, meaning) shape_fn shape_##name;
#include "ir/ops.def"
#undef OP

/* Operand count, attributes, constness and the op's own rule. */
P4C_CHECKED bool ir_infer(const ir_op *op, ir_type *out);

/* What ir_add cannot say: type, source and name of input, weight and rope_table. */
typedef struct ir_leaf {
    ir_type type;
    ir_source source;
    const char *name;
} ir_leaf;
/* ir_add, with leaf NULL where the type follows from the operands. */
ir_op *ir_make(ir_graph *g, op_kind kind, int n_in, ir_op *const *in, int n_attrs,
               const ir_attr *attrs, const ir_leaf *leaf);
int ir_depth_of(const ir_op *op); /* from the operands' const_depth */

/* Reports an error at an op; gives false. */
#define OP_ERROR(op, code, ...) diag_error((op)->graph->diag, DIAG_##code, ir_loc(op), __VA_ARGS__)
/* A type as text, for messages; lives with the graph. */
const char *ir_type_text(const ir_op *op, const ir_type *t);

#endif
