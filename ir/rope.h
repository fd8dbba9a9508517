/* rope.h - numbers of OP_rope_table. */
#ifndef P4C_IR_ROPE_H
#define P4C_IR_ROPE_H

#include "ir/ir.h"

/* Column k of row `position`: by * cos(angle[k]) for k < rot / 2, else by * sin(angle[k - rot /
 * 2]).  All in float32 steps, each correctly rounded, as transformers computes them: theta^(2j /
 * rot), times factors[j], its reciprocal, times the position, cos and sin, times by. */
float rope_table_at(const ir_op *table, int64_t position, int64_t k);

#endif
