/* layout.h - facts about types and packed layouts that follow from types and attributes alone. */
#ifndef P4C_IR_LAYOUT_H
#define P4C_IR_LAYOUT_H

#include "ir/ir.h"

enum { IR_BLOCK_ROWS = 16 };

/* Rank, dims, and what dtype, layout, group, zeros and perm allow together; *why says what is
 * wrong. */
bool ir_type_ok(const ir_type *t, const char **why);
/* Values that row-wise and elementwise ops compute with. */
bool ir_type_is_plain_f32(const ir_type *t);

bool ir_layout_is_packed(ir_layout layout); /* r16k1 r16k2 r16k8 */

/* Packed groups of an i4 tensor or of activations that follow one.  Exact without perm; with perm
 * the most that any g_idx can need (ir_const_groups tells how many it is). */
int64_t ir_max_packed_groups(const ir_type *t);
/* Bytes of one 16-row block in a packed layout; n_groups: packed groups, i4 only. */
int64_t ir_block_bytes(const ir_type *t, int64_t n_groups);

/* Row orders of packed weights.  Rows of every block are consecutive rows of the tensor, then
 * padding. */
typedef enum ir_order { ORDER_natural, ORDER_swiglu, ORDER_rope } ir_order;
bool ir_find_order(const char *name, ir_order *out);
/* Place of row n among the packed rows: the inverse of ir_packed_row. */
int64_t ir_packed_place(const ir_op *pack, int64_t n);

/* Bytes that each range of a weight with SOURCE_file must have; 0: must be absent. */
typedef struct ir_source_bytes {
    uint64_t data, scales, zeros, perm;
} ir_source_bytes;
/* False: perm of a packed weight is not a whole number of packed groups. */
bool ir_source_needs(const ir_op *weight, ir_source_bytes *out);

#endif
