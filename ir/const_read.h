/* const_read.h - reading constants: what const.c, const_i4.c, const_pack.c and the interpreter
 * share. */
#ifndef P4C_IR_CONST_READ_H
#define P4C_IR_CONST_READ_H

#include "ir/const.h"
#include "ir/ir.h"

/* Values of rows row0 .. + n_rows, columns k0 .. + n_cols, row-major without gaps, as float32.  Any
 * constant. */
void const_rect(const ir_op *op, int64_t row0, int64_t n_rows, int64_t k0, int64_t n_cols,
                float *out);
/* The same for an i4 constant. */
void const_i4_rect(const ir_op *op, int64_t row0, int64_t n_rows, int64_t k0, int64_t n_cols,
                   float *out);

/* Rounds to an element type and back to float32. */
void const_round(ir_dtype dtype, int64_t n, float *x);

/* First byte of a range of a weight's file. */
const uint8_t *const_bytes(const ir_op *weight, const ir_range *range);
/* The operand of a concat_rows that holds row *row; *row becomes the row there, *n_rows at most the
 * rows from there to its end. */
const ir_op *const_part(const ir_op *concat, int64_t *row, int64_t *n_rows);
/* The weight or quant behind packs and concats that holds rows *row .. + *n_rows of an i4 constant,
 * likewise. */
const ir_op *const_i4_leaf(const ir_op *op, int64_t *row, int64_t *n_rows);

/* Packed groups of an i4 constant, exact with perm too. */
int64_t const_n_packed_groups(const ir_op *op);

/* Rows of a block of a packed weight are neighbours: the first one, and how many before padding. */
int64_t const_block_rows(const ir_op *pack, int64_t block, int64_t *first);
/* Blocks block0 .. + n_blocks of an i4 constant in layout r16k8; out zeroed before. */
void const_i4_blocks(const ir_op *pack, const ir_groups *g, int64_t block0, int64_t n_blocks,
                     uint8_t *out);

/* Whether ir_same_columns can look at the groups: a seed, a mapped file, or no act-order at all. */
bool const_columns_known(const ir_op *op);

/* Files hold little-endian numbers at any address. */
static inline uint32_t load_u32(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}
static inline uint16_t load_u16(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }

#endif
