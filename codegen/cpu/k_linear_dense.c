/* k_linear_dense.c - inner loops over f32, f16 (r16k1) and bf16 (r16k2) weights.
 *
 * Each output is one chain of fused multiply-adds in ascending k (bf16: pairs, odd element first),
 * so it does not depend on the tile. */
#include "codegen/cpu/k_linear.h"
#include "codegen/cpu/lb_vec.h"

static int unroll_of(int want, int64_t steps) {
    while (want > 1 && steps % want) want /= 2;
    return want;
}

static lbv load_f32(lb *b, lbv p) { return lb_vload(b, p); }
static lbv load_f16(lb *b, lbv p) { return lb_vload_half(b, false, p, NULL); }
static lbv splat_f32(lb *b, lbv p) { return lb_splat(b, lb_load(b, b->f32, p, 4)); }
static lbv splat_pair(lb *b, lbv p) { return lb_splat(b, lb_load(b, b->i32, p, 4)); }

/* One step: 16 rows of weights at w_bytes a step, 4 bytes of activations a step. */
typedef struct dense_step {
    int64_t w_bytes;
    lbv (*load_w)(lb *b, lbv p);
    lbv (*splat_x)(lb *b, lbv p);
    lbv (*multiply_add)(lb *b, lbv w, lbv x, lbv acc);
} dense_step;

static lbv pair_multiply_add(lb *b, lbv w, lbv x, lbv acc) { return lb_dot_bf16(b, acc, w, x); }

static void dot(lb *b, const linear_tile *t, int64_t steps, const dense_step *d) {
    const int unroll = unroll_of(t->unroll, steps);
    LB_FOR (b, k, lb_int(b, 0), lb_int(b, steps), lb_int(b, unroll)) {
        for (int u = 0; u < unroll; u++) {
            const lbv step = lb_addi(b, k.i, u);
            lbv w[CPU_MAX_NB];
            for (int i = 0; i < t->nb; i++)
                w[i] = d->load_w(b, lb_at(b, t->w[i], lb_muli(b, step, d->w_bytes)));
            for (int j = 0; j < t->nt; j++) {
                const lbv x = d->splat_x(b, lb_at(b, t->x[j], lb_muli(b, step, 4)));
                for (int i = 0; i < t->nb; i++)
                    lb_set(b, t->acc[i][j], d->multiply_add(b, w[i], x, lb_get(b, t->acc[i][j])));
            }
        }
    }
}

static void dot_f32(lb *b, const linear_tile *t) {
    dot(b, t, t->s->k, &(dense_step){64, load_f32, splat_f32, lb_fma});
}
static void dot_f16(lb *b, const linear_tile *t) {
    dot(b, t, t->s->k, &(dense_step){32, load_f16, splat_f32, lb_fma});
}
static void dot_bf16(lb *b, const linear_tile *t) {
    dot(b, t, ceil_div(t->s->k, 2), &(dense_step){64, lb_vload_i32, splat_pair, pair_multiply_add});
}

static int64_t block_bytes_f32(const cg_kernel_spec *s) { return s->k * 64; }
static int64_t block_bytes_f16(const cg_kernel_spec *s) { return s->k * 32; }
static int64_t block_bytes_bf16(const cg_kernel_spec *s) { return ceil_div(s->k, 2) * 64; }

const linear_format cpu_linear_f32 = {dot_f32, block_bytes_f32};
const linear_format cpu_linear_f16 = {dot_f16, block_bytes_f16};
const linear_format cpu_linear_bf16 = {dot_bf16, block_bytes_bf16};

void cpu_emit_linear_f32(lb *b, const cg_kernel_spec *s, cpu_tile tile) {
    cpu_emit_linear(b, s, tile, &cpu_linear_f32);
}
void cpu_emit_linear_f16(lb *b, const cg_kernel_spec *s, cpu_tile tile) {
    cpu_emit_linear(b, s, tile, &cpu_linear_f16);
}
void cpu_emit_linear_bf16(lb *b, const cg_kernel_spec *s, cpu_tile tile) {
    cpu_emit_linear(b, s, tile, &cpu_linear_bf16);
}
