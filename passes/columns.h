/* columns.h - which 4-bit weights take their inputs in the same order. */
#ifndef P4C_PASSES_COLUMNS_H
#define P4C_PASSES_COLUMNS_H

#include "ir/ir.h"

/* Inputs in the groups and order of weight a serve weight b: same group size and, with act-order,
 * same g_idx (contents are compared; g_idx that is in no mapped file equals only itself). */
bool pass_same_columns(const ir_op *a, const ir_op *b, arena *scratch);
/* The i4 weight whose column order an act follows: place among its operands, 0: none. */
int pass_order_operand(const ir_op *act);

#endif
