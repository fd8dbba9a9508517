/* const.h - values of constants: what a chain of weight, quant, cast, concat_rows, dequant, pack
 * ops holds.
 *
 * One place reads every layout: the interpreter, the artifact writer and the tests go through here.
 * All functions work on any op for which ir_is_const() holds, of a graph that ir_verify() accepted
 * with the files of its weights mapped: then no content of a file can make them read outside it.
 * Packed forms and row orders: docs/IR.md.
 */
#ifndef P4C_IR_CONST_H
#define P4C_IR_CONST_H

#include "ir/ir.h"

/* Whether every weight of the graph has bytes: a seed, or ranges of a mapped file.  False:
 * reported.
 */
P4C_CHECKED bool ir_weights_ready(const ir_graph *g);

/* out[i, k] = logical value of row row0 + i as float32: n_rows * K floats (K = last dim; rank 1
 * tensors are one row).  Quantised values as (code - zero) * scale in float32.  Columns in logical
 * order even where packed reordered, rows likewise. */
void ir_const_rows(const ir_op *op, int64_t row0, int64_t n_rows, float *out);

/* Quantised constants in terms of their packed groups: columns sorted by group, each group of the
 * type split and padded to pieces of `group` columns, so that act-order needs no index at run time
 * but a permutation of the input. */
typedef struct ir_groups {
    int64_t n_groups;      /* packed groups of the tensor */
    int64_t group;         /* columns of each: ir_packed_group() of the type, a multiple of 8 */
    const int32_t *column; /* [n_groups * group]: logical column at packed place j, -1 = padding.
                              NULL: place j holds column j and nothing is padding */
} ir_groups;
/* op: i4.  column lives in mem.  False: reported (a g_idx in the file that is out of range). */
P4C_CHECKED bool ir_const_groups(const ir_op *op, arena *mem, diag *d, ir_groups *out);

/* Codes, scales and zeros of rows row0 .. row0 + n_rows, in packed column order: code u8[n_rows,
 * n_groups * group], scale f32[n_rows, n_groups] (exactly the stored values), zero u8[n_rows,
 * n_groups], at most 16.  At padding the code is the zero (15 where the zero is 16: the activation
 * there is 0). */
void ir_const_codes(const ir_op *op, const ir_groups *g, int64_t row0, int64_t n_rows,
                    uint8_t *code, float *scale, uint8_t *zero);

/* Whether two i4 constants have every column in the same group, so that concat_rows may join them.
 * The shape rule of concat_rows compares types only; a pass that joins weights asks here first.
 * Weights of files that are not mapped: only the same range is the same. */
bool ir_same_columns(const ir_op *a, const ir_op *b);

/* Row that a packed weight (pack, or weight in a packed layout) holds at place i, 0 <= i <
 * ir_packed_rows; -1 = padding. */
int64_t ir_packed_row(const ir_op *pack, int64_t i);
/* Rows including padding, a multiple of 16, of a packed weight. */
int64_t ir_packed_rows(const ir_op *pack);
/* Bytes of a 16-row block of a packed weight; all blocks of a weight have the same. */
int64_t ir_packed_block_bytes(const ir_op *pack);
/* Writes blocks block0 .. block0 + n_blocks.  Scales are rounded to f16, as the layout holds them.
 */
void ir_pack_blocks(const ir_op *pack, int64_t block0, int64_t n_blocks, arena *scratch,
                    uint8_t *out);

#endif
