/* const.c - values of dense constants; 4-bit ones are in const_i4.c. */
#include "ir/const.h"

#include <assert.h>
#include <string.h>

#include "base/half.h"
#include "base/seedgen.h"
#include "ir/const_read.h"
#include "ir/layout.h"
#include "ir/rope.h"
#include "ir/shape.h"

bool ir_weights_ready(const ir_graph *g) {
    for (const ir_op *op = g->first; op; op = op->next) {
        if (op->kind != OP_weight || op->source.kind == SOURCE_seed) continue;
        if (op->source.kind == SOURCE_none)
            return OP_ERROR(op, IR_SOURCE, "the weight has no value");
        const ir_file *file = &g->file[op->source.file];
        if (!file->at) return OP_ERROR(op, IR_SOURCE, "file \"%s\" is not mapped", file->path);
    }
    return true;
}

const uint8_t *const_bytes(const ir_op *weight, const ir_range *range) {
    return weight->graph->file[weight->source.file].at + range->offset;
}

const ir_op *const_part(const ir_op *concat, int64_t *row, int64_t *n_rows) {
    int i = 0;
    while (*row >= concat->in[i]->type.dim[0]) {
        *row -= concat->in[i++]->type.dim[0];
        assert(i < concat->n_in);
    }
    *n_rows = min_i64(*n_rows, concat->in[i]->type.dim[0] - *row);
    return concat->in[i];
}

/* n numbers of an element type, `step` bytes apart. */
static void load_floats(ir_dtype dtype, const uint8_t *p, int64_t step, int64_t n, float *out) {
    switch (dtype) {
    case DT_f32:
        for (int64_t i = 0; i < n; i++) out[i] = f32_from_bits(load_u32(p + i * step));
        return;
    case DT_f16:
        for (int64_t i = 0; i < n; i++) out[i] = f16_to_f32(load_u16(p + i * step));
        return;
    case DT_bf16:
        for (int64_t i = 0; i < n; i++) out[i] = bf16_to_f32(load_u16(p + i * step));
        return;
    case DT_f64:
        for (int64_t i = 0; i < n; i++) {
            double d;
            memcpy(&d, p + i * step, sizeof d);
            out[i] = (float)d;
        }
        return;
    default:
        UNREACHABLE("element type of a dense weight");
    }
}

void const_round(ir_dtype dtype, int64_t n, float *x) {
    if (dtype == DT_f16)
        for (int64_t i = 0; i < n; i++) x[i] = f16_to_f32(f32_to_f16(x[i]));
    if (dtype == DT_bf16)
        for (int64_t i = 0; i < n; i++) x[i] = bf16_to_f32(f32_to_bf16(x[i]));
}

/* ---- one function for each kind of dense constant: n columns from k0 of a row, or a rectangle
 * ---- */

static void seed_row(const ir_op *w, int64_t row, int64_t k0, int64_t n, float *out) {
    const ir_type *t = &w->type;
    const uint64_t seed = w->source.seed, K = (uint64_t)t->dim[t->rank - 1];
    if (t->rank == 1) seedgen_vector(seed, (uint64_t)k0, (uint64_t)n, out);
    else seedgen_dense(seed, (uint64_t)row, (uint64_t)k0, (uint64_t)n, K, out);
    const_round(t->dtype, n, out);
}

/* Row `place` of [N/16][K / pair][16][pair], columns k0 .. + n. */
static void packed_row(const ir_op *w, int64_t place, int64_t k0, int64_t n, float *out) {
    const ir_type *t = &w->type;
    const int64_t pair = t->layout == LAYOUT_r16k2 ? 2 : 1,
                  bytes = ir_dtype_info[t->dtype].bits / 8;
    const uint8_t *block =
        const_bytes(w, &w->source.data) + place / IR_BLOCK_ROWS * ir_block_bytes(t, 0);
    const int64_t lane = place % IR_BLOCK_ROWS;
    for (int64_t i = 0; i < n; i++) {
        const int64_t k = k0 + i;
        const int64_t at = (k / pair * IR_BLOCK_ROWS + lane) * pair + k % pair;
        load_floats(t->dtype, block + at * bytes, bytes, 1, &out[i]);
    }
}

static void weight_row(const ir_op *w, int64_t row, int64_t k0, int64_t n, float *out) {
    const ir_type *t = &w->type;
    assert(w->source.kind != SOURCE_none);
    if (w->source.kind == SOURCE_seed) {
        seed_row(w, row, k0, n, out);
    } else if (t->layout == LAYOUT_plain) {
        const int64_t bytes = ir_dtype_info[t->dtype].bits / 8, K = t->dim[t->rank - 1];
        load_floats(t->dtype, const_bytes(w, &w->source.data) + (row * K + k0) * bytes, bytes, n,
                    out);
    } else {
        packed_row(w, ir_packed_place(w, row), k0, n, out);
    }
}

typedef void rect_fn(const ir_op *op, int64_t row0, int64_t n_rows, int64_t k0, int64_t n,
                     float *out);

static void rect_weight(const ir_op *op, int64_t row0, int64_t n_rows, int64_t k0, int64_t n,
                        float *out) {
    for (int64_t i = 0; i < n_rows; i++) weight_row(op, row0 + i, k0, n, out + i * n);
}

static void rect_rope_table(const ir_op *op, int64_t row0, int64_t n_rows, int64_t k0, int64_t n,
                            float *out) {
    for (int64_t i = 0; i < n_rows; i++)
        for (int64_t k = 0; k < n; k++) out[i * n + k] = rope_table_at(op, row0 + i, k0 + k);
}

static void rect_operand(const ir_op *op, int64_t row0, int64_t n_rows, int64_t k0, int64_t n,
                         float *out) {
    const_rect(op->in[0], row0, n_rows, k0, n, out);
}

static void rect_cast(const ir_op *op, int64_t row0, int64_t n_rows, int64_t k0, int64_t n,
                      float *out) {
    const_rect(op->in[0], row0, n_rows, k0, n, out);
    const_round(op->type.dtype, n_rows * n, out);
}

static void rect_concat_rows(const ir_op *op, int64_t row0, int64_t n_rows, int64_t k0, int64_t n,
                             float *out) {
    for (int64_t done = 0; done < n_rows;) {
        int64_t row = row0 + done, here = n_rows - done;
        const ir_op *part = const_part(op, &row, &here);
        const_rect(part, row, here, k0, n, out + done * n);
        done += here;
    }
}

static rect_fn *const RECT[OP_COUNT] = {
    [OP_weight] = rect_weight, [OP_rope_table] = rect_rope_table,   [OP_dequant] = rect_operand,
    [OP_cast] = rect_cast,     [OP_concat_rows] = rect_concat_rows, [OP_pack] = rect_operand,
};

void const_rect(const ir_op *op, int64_t row0, int64_t n_rows, int64_t k0, int64_t n_cols,
                float *out) {
    if (op->type.dtype == DT_i4) {
        const_i4_rect(op, row0, n_rows, k0, n_cols, out);
        return;
    }
    if (!RECT[op->kind]) UNREACHABLE("value of a constant op");
    RECT[op->kind](op, row0, n_rows, k0, n_cols, out);
}

void ir_const_rows(const ir_op *op, int64_t row0, int64_t n_rows, float *out) {
    const ir_type *t = &op->type;
    assert(ir_is_const(op) && row0 >= 0 && row0 + n_rows <= (t->rank == 1 ? 1 : t->dim[0]));
    const_rect(op, row0, n_rows, 0, t->dim[t->rank - 1], out);
}
