/* const_pack.c - packed weights: 16-row blocks in the byte order that kernels read. */
#include <assert.h>
#include <string.h>

#include "base/half.h"
#include "ir/const.h"
#include "ir/const_read.h"
#include "ir/layout.h"

static int64_t n_groups_of(const ir_op *pack) {
    return pack->type.dtype == DT_i4 ? const_n_packed_groups(pack) : 0;
}

int64_t ir_packed_block_bytes(const ir_op *pack) {
    return ir_block_bytes(&pack->type, n_groups_of(pack));
}

int64_t const_block_rows(const ir_op *pack, int64_t block, int64_t *first) {
    int64_t n = 0;
    *first = ir_packed_row(pack, block * IR_BLOCK_ROWS);
    while (n < IR_BLOCK_ROWS && ir_packed_row(pack, block * IR_BLOCK_ROWS + n) >= 0) n++;
    assert(n == 0 || ir_packed_row(pack, block * IR_BLOCK_ROWS + n - 1) == *first + n - 1);
    return n;
}

enum {
    CHUNK = 256
}; /* columns packed at a time, so that the 16 rows stay in the first-level cache */

/* Stores columns k0 .. + n of value[16][CHUNK] in [K][16] 4-byte places. */
static void store_words(const float *value, int64_t k0, int64_t n, int64_t n_rows, uint8_t *out) {
    for (int64_t k = 0; k < n; k++)
        for (int64_t i = 0; i < n_rows; i++)
            memcpy(out + ((k0 + k) * IR_BLOCK_ROWS + i) * 4, &value[i * CHUNK + k], 4);
}

/* The same in [K / pair][16][pair] 2-byte places. */
static void store_halves(const ir_type *t, const float *value, int64_t k0, int64_t n,
                         int64_t n_rows, uint8_t *out) {
    const int64_t pair = t->layout == LAYOUT_r16k2 ? 2 : 1;
    uint16_t half[IR_BLOCK_ROWS][CHUNK];
    for (int64_t i = 0; i < n_rows; i++)
        for (int64_t k = 0; k < n; k++)
            half[i][k] = t->dtype == DT_bf16 ? f32_to_bf16(value[i * CHUNK + k])
                                             : f32_to_f16(value[i * CHUNK + k]);
    for (int64_t k = 0; k < n; k++)
        for (int64_t i = 0; i < n_rows; i++) {
            const int64_t at = ((k0 + k) / pair * IR_BLOCK_ROWS + i) * pair + k % pair;
            memcpy(out + at * 2, &half[i][k], 2);
        }
}

static void pack_dense_block(const ir_op *pack, int64_t row0, int64_t n_rows, uint8_t *out) {
    const int64_t K = pack->type.dim[1];
    float value[IR_BLOCK_ROWS * CHUNK];
    for (int64_t k = 0, n; k < K; k += n) {
        n = min_i64(CHUNK, K - k);
        for (int64_t i = 0; i < n_rows; i++) const_rect(pack, row0 + i, 1, k, n, value + i * CHUNK);
        if (pack->type.dtype == DT_f32) store_words(value, k, n, n_rows, out);
        else store_halves(&pack->type, value, k, n, n_rows, out);
    }
}

void ir_pack_blocks(const ir_op *pack, int64_t block0, int64_t n_blocks, arena *scratch,
                    uint8_t *out) {
    const ir_type *t = &pack->type;
    assert(ir_is_const(pack) && ir_layout_is_packed(t->layout));
    const int64_t block_bytes = ir_packed_block_bytes(pack);
    assert(block0 >= 0 && (block0 + n_blocks) * IR_BLOCK_ROWS <= ir_packed_rows(pack));
    if (pack->kind == OP_weight && pack->source.kind == SOURCE_file) {
        memcpy(out, const_bytes(pack, &pack->source.data) + block0 * block_bytes,
               (size_t)(n_blocks * block_bytes));
        return;
    }
    const arena_pos mark = arena_mark(scratch);
    ir_groups g = {0};
    /* ir_verify has checked what this would report */
    if (t->dtype == DT_i4 && !ir_const_groups(pack, scratch, pack->graph->diag, &g))
        UNREACHABLE("columns of a packed weight");
    memset(out, 0, (size_t)(n_blocks * block_bytes));
    if (t->dtype == DT_i4) const_i4_blocks(pack, &g, block0, n_blocks, out);
    for (int64_t b = 0; b < n_blocks && t->dtype != DT_i4; b++) {
        int64_t first;
        const int64_t n = const_block_rows(pack, block0 + b, &first);
        pack_dense_block(pack, first, n, out + b * block_bytes);
    }
    arena_rewind(scratch, mark);
}
