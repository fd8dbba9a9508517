/* const.h - values of constants: what a chain of weight, quant, cast, concat_rows, dequant, pack ops holds.
 *
 * One place reads every layout: the interpreter, the artifact writer and the tests go through here.
 * All functions work on any op for which ir_is_const() holds; weights in files must be mapped.
 */
#ifndef P4C_IR_CONST_H
#define P4C_IR_CONST_H

#include "ir/ir.h"

/* out[i, k] = logical value of row row0 + i as float32: n_rows * K floats (K = last dim; rank 1 tensors are one
 * row).  Quantised values as (code - zero) * scale in float32.  Columns in logical order even where packed
 * reordered. */
void ir_const_rows(const ir_op *op, int64_t row0, int64_t n_rows, float *out);

/* Quantised constants in terms of their "packed groups": columns sorted by group, each group split or padded
 * to `group` columns (rounded up to 8), so that act-order needs no index at run time but a permutation of the input.
 *   n_groups      packed groups of the tensor
 *   group         columns of one (multiple of 8)
 *   column[j]     logical input column at packed place j, -1 = padding (code = zero there); n_groups * group entries */
typedef struct ir_groups {
    int64_t n_groups, group;
    const int32_t *column; /* NULL: identity up to K, then padding, and group divides K */
} ir_groups;
bool ir_const_groups(const ir_op *op, arena *mem, diag *d, ir_groups *out);

/* Codes, scales and zeros of rows row0 .. row0 + n_rows, in packed column order:
 * code u8[n_rows, n_groups * group], scale f32[n_rows, n_groups] (exactly the stored values), zero u8[n_rows, n_groups]. */
void ir_const_codes(const ir_op *op, const ir_groups *g, int64_t row0, int64_t n_rows,
                    uint8_t *code, float *scale, uint8_t *zero);

/* Row that a packed weight holds at place i (0 .. rows padded), -1 = padding; `order` as ATTR_order. */
int64_t ir_packed_row(const ir_op *pack, int64_t i);
/* Rows including padding, a multiple of 16, of a packed weight. */
int64_t ir_packed_rows(const ir_op *pack);
/* Bytes of n consecutive 16-row blocks of a packed weight, and their content: out gets blocks block0 .. +n. */
int64_t ir_packed_block_bytes(const ir_op *pack);
void ir_pack_blocks(const ir_op *pack, int64_t block0, int64_t n_blocks, arena *scratch, uint8_t *out);

#endif
