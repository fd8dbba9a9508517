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

/* Rows of a block are neighbours: the first one, and how many before the padding. */
static int64_t rows_of_block(const ir_op *pack, int64_t block, int64_t *first) {
    int64_t n = 0;
    *first = ir_packed_row(pack, block * IR_BLOCK_ROWS);
    while (n < IR_BLOCK_ROWS && ir_packed_row(pack, block * IR_BLOCK_ROWS + n) >= 0) n++;
    assert(n == 0 || ir_packed_row(pack, block * IR_BLOCK_ROWS + n - 1) == *first + n - 1);
    return n;
}

static void store_u16(uint8_t *p, uint16_t v) {
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static void store_u32(uint8_t *p, uint32_t v) {
    store_u16(p, (uint16_t)v);
    store_u16(p + 2, (uint16_t)(v >> 16));
}

/* [K / pair][16][pair] of values f32[n_rows, K]; `out` is zero where nothing is stored */
static void pack_dense_block(const ir_type *t, const float *value, int64_t n_rows, uint8_t *out) {
    const int64_t K = t->dim[1], pair = t->layout == LAYOUT_r16k2 ? 2 : 1;
    for (int64_t k = 0; k < K; k++)
        for (int64_t i = 0; i < n_rows; i++) {
            const int64_t at = (k / pair * IR_BLOCK_ROWS + i) * pair + k % pair;
            const float v = value[i * K + k];
            if (t->dtype == DT_f32) store_u32(out + at * 4, f32_bits(v));
            else store_u16(out + at * 2, t->dtype == DT_bf16 ? f32_to_bf16(v) : f32_to_f16(v));
        }
}

/* Byte b = code[b] | code[4 + b] << 4. */
static uint32_t dword_of(const uint8_t *code) {
    uint32_t w = 0;
    for (int b = 0; b < 4; b++) w |= (uint32_t)(code[b] | code[4 + b] << 4) << 8 * b;
    return w;
}

/* Buffers of one block of 16 rows. */
typedef struct i4_rows {
    uint8_t *code, *zero;
    float *scale;
} i4_rows;

static i4_rows new_i4_rows(arena *mem, const ir_groups *g) {
    return (i4_rows){
        .code = arena_array(mem, uint8_t, IR_BLOCK_ROWS * g->n_groups * g->group),
        .zero = arena_array(mem, uint8_t, IR_BLOCK_ROWS * g->n_groups),
        .scale = arena_array(mem, float, IR_BLOCK_ROWS * g->n_groups),
    };
}

/* [group]{dwords[group / 8][16]; f16 scale[16]; u8 zero[16] with zeros} of n_rows rows */
static void pack_i4_block(const ir_type *t, const ir_groups *g, const i4_rows *rows, int64_t n_rows,
                          uint8_t *out) {
    const int64_t group_bytes = ir_block_bytes(t, 1), dwords = g->group / 8;
    for (int64_t p = 0; p < g->n_groups; p++) {
        uint8_t *scale = out + p * group_bytes + dwords * IR_BLOCK_ROWS * 4;
        uint8_t *zero = scale + IR_BLOCK_ROWS * 2;
        for (int64_t i = 0; i < n_rows; i++) {
            const uint8_t *code = rows->code + (i * g->n_groups + p) * g->group;
            for (int64_t c = 0; c < dwords; c++)
                store_u32(out + p * group_bytes + (c * IR_BLOCK_ROWS + i) * 4,
                          dword_of(code + 8 * c));
            store_u16(scale + 2 * i, f32_to_f16(rows->scale[i * g->n_groups + p]));
            if (t->zeros) zero[i] = rows->zero[i * g->n_groups + p];
        }
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
    i4_rows rows = {0};
    float *value = NULL;
    if (t->dtype == DT_i4) {
        /* ir_verify has checked what this would report */
        if (!ir_const_groups(pack, scratch, pack->graph->diag, &g))
            UNREACHABLE("columns of a packed weight");
        rows = new_i4_rows(scratch, &g);
    } else {
        value = arena_array(scratch, float, IR_BLOCK_ROWS * t->dim[1]);
    }
    memset(out, 0, (size_t)(n_blocks * block_bytes));
    for (int64_t b = 0; b < n_blocks; b++, out += block_bytes) {
        int64_t first;
        const int64_t n = rows_of_block(pack, block0 + b, &first);
        if (!n) continue;
        if (t->dtype == DT_i4) {
            ir_const_codes(pack, &g, first, n, rows.code, rows.scale, rows.zero);
            pack_i4_block(t, &g, &rows, n, out);
        } else {
            ir_const_rows(pack, first, n, value);
            pack_dense_block(t, value, n, out);
        }
    }
    arena_rewind(scratch, mark);
}
