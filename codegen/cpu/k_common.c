/* k_common.c - pieces that several kernels share: rows in parts of 16 columns, the KV block
 * geometry. */
#include <assert.h>

#include "codegen/cpu/kernel.h"
#include "codegen/cpu/lb_vec.h"

void cpu_row(lb *b, int64_t n, row_body *body, void *context) {
    const int64_t whole = n / LB_LANES * LB_LANES;
    LB_FOR (b, i, lb_int(b, 0), lb_int(b, whole), lb_int(b, LB_LANES)) body(b, i.i, NULL, context);
    if (n > whole) body(b, lb_int(b, whole), lb_mask_below(b, lb_int(b, n - whole)), context);
}

lbv cpu_load_f32(lb *b, lbv p, lbv column, lbv mask) {
    const lbv at = lb_at(b, p, lb_muli(b, column, 4));
    return mask ? lb_vload_masked(b, at, mask) : lb_vload(b, at);
}

void cpu_store_f32(lb *b, lbv v, lbv p, lbv column, lbv mask) {
    const lbv at = lb_at(b, p, lb_muli(b, column, 4));
    if (mask) lb_vstore_masked(b, v, at, mask);
    else lb_vstore(b, v, at);
}

lbv cpu_load_as_f32(lb *b, ir_dtype dtype, lbv p, lbv column, lbv mask) {
    if (dtype == DT_f32) return cpu_load_f32(b, p, column, mask);
    return lb_vload_half(b, dtype == DT_bf16, lb_at(b, p, lb_muli(b, column, 2)), mask);
}

lbv cpu_row_ptr(lb *b, lbv p, lbv row, int64_t row_bytes) {
    return lb_at(b, p, lb_muli(b, row, row_bytes));
}

typedef struct square_sum {
    lbv x;
    lb_var sum;
} square_sum;

static void add_squares(lb *b, lbv at, lbv mask, void *context) {
    const square_sum *c = context;
    const lbv v = cpu_load_f32(b, c->x, at, mask);
    lb_set(b, c->sum, lb_fma(b, v, v, lb_get(b, c->sum)));
}

lbv cpu_rms_factor(lb *b, lbv x, int64_t n, double eps) {
    square_sum c = {x, lb_local(b, lb_vzero(b))};
    cpu_row(b, n, add_squares, &c);
    const lbv mean = lb_fdiv(b, lb_hsum(b, lb_get(b, c.sum)), lb_f(b, (float)n));
    return lb_fdiv(b, lb_f(b, 1.0f), lb_fsqrt(b, lb_fadd(b, mean, lb_f(b, (float)eps))));
}

cpu_kv cpu_kv_of(const cg_kernel_spec *s) {
    assert(s->kv == DT_bf16 || s->kv == DT_f32);
    return (cpu_kv){round_up(s->head_dim, LB_LANES), s->kv == DT_f32 ? 4 : 2, s->kv};
}

int64_t cg_kv_head_bytes(int64_t head_dim, ir_dtype kv) {
    return RT_KV_BLOCK_TOK * round_up(head_dim, LB_LANES) * (kv == DT_f32 ? 4 : 2);
}

int64_t cg_kv_layer_bytes(int64_t kv_heads, int64_t head_dim, ir_dtype kv) {
    return kv_heads * 2 * cg_kv_head_bytes(head_dim, kv);
}

lbv cpu_kv_head(lb *b, const cg_kernel_spec *s, lbv blocks, lbv block_index, lbv layer, lbv g,
                bool v) {
    const int64_t head_bytes = cg_kv_head_bytes(s->head_dim, s->kv);
    const lbv block = lb_load_ptr(b, blocks, block_index);
    const lbv head = lb_at(b, lb_at(b, block, layer), lb_muli(b, g, 2 * head_bytes));
    return v ? lb_ati(b, head, head_bytes) : head;
}

/* Lanes one by one: consecutive elements of a key lie a line apart (positions are the lanes there).
 */
void cpu_kv_put_k(lb *b, const cg_kernel_spec *s, lbv k_head, lbv pos, lbv e, lbv f, int n_valid) {
    const cpu_kv kv = cpu_kv_of(s);
    const lbv tile = lb_muli(b, lb_divi(b, pos, LB_LANES), LB_LANES * kv.ep * kv.bytes);
    const lbv lane = lb_remi(b, pos, LB_LANES);
    const lbv base = lb_at(b, lb_at(b, k_head, tile), lb_muli(b, lane, 4));
    const bool f32 = kv.dtype == DT_f32;
    const lbv bits = f32 ? f : lb_to_i16(b, lb_bf16_bits(b, f));
    for (int i = 0; i < n_valid; i++) {
        const lbv at = lb_addi(b, e, i);
        /* f32: [Ep][16]; bf16: [Ep/2][16][2] */
        const lbv byte =
            f32 ? lb_muli(b, at, 64)
                : lb_add(b, lb_muli(b, lb_divi(b, at, 2), 64), lb_muli(b, lb_remi(b, at, 2), 2));
        lb_store(b, lb_lane(b, bits, i), lb_at(b, base, byte), (unsigned)kv.bytes);
    }
}

void cpu_kv_put_v(lb *b, const cg_kernel_spec *s, lbv v_head, lbv pos, lbv e, lbv f, int n_valid) {
    const cpu_kv kv = cpu_kv_of(s);
    const lbv at = lb_at(b, v_head, lb_muli(b, lb_add(b, lb_muli(b, pos, kv.ep), e), kv.bytes));
    /* rows are padded to whole vectors, so lanes beyond the head may be written: zeros, always the
     * same */
    const lbv v = n_valid == LB_LANES
                      ? f
                      : lb_vselect(b, lb_mask_below(b, lb_int(b, n_valid)), f, lb_vzero(b));
    if (kv.dtype == DT_f32) lb_store(b, v, at, 4);
    else lb_store(b, lb_to_i16(b, lb_bf16_bits(b, v)), at, 2);
}
