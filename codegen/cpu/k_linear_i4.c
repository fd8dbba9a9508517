/* k_linear_i4.c - inner loop over 4-bit weights in groups (r16k8) and int16 activations in two int8
 * planes.
 *
 *   acc = fma(float(256 (q_hi . w) + q_lo . w - zero * sum q), w_scale * x_scale, acc)   group by
 * group
 *
 * The integer sums are exact: |256 hi + lo| <= 32512, codes <= 15, at most 128 inputs a group:
 * below 2^26. */
#include <assert.h>

#include "codegen/cpu/k_linear.h"
#include "codegen/cpu/lb_vec.h"

int64_t cg_i4_group_bytes(int64_t group, bool zeros) { return group * 8 + 32 + (zeros ? 16 : 0); }

static int64_t block_bytes(const cg_kernel_spec *s) {
    return s->n_groups * cg_i4_group_bytes(s->group, s->zeros);
}

static lbv splat_i32_at(lb *b, lbv p, int64_t byte) {
    return lb_splat(b, lb_load(b, b->i32, lb_ati(b, p, byte), 4));
}

typedef struct planes {
    lb_var high[CPU_MAX_NB][CPU_MAX_NT], low[CPU_MAX_NB][CPU_MAX_NT];
} planes;

/* Chunk of 8 inputs: w + 64 bytes for each block, x + 16 bytes for each token. */
static void dot_chunk(lb *b, const linear_tile *t, const planes *p, lbv w_byte, lbv x_byte) {
    lbv even[CPU_MAX_NB], odd[CPU_MAX_NB]; /* k 0..3 and 4..7 */
    for (int i = 0; i < t->nb; i++) {
        const lbv w = lb_vload_i32(b, lb_at(b, t->w[i], w_byte));
        even[i] = lb_iand(b, w, lb_vint(b, 0x0f0f0f0f));
        odd[i] = lb_iand(b, lb_ilshr(b, w, 4), lb_vint(b, 0x0f0f0f0f));
    }
    for (int j = 0; j < t->nt; j++) {
        const lbv x = lb_at(b, t->x[j], x_byte);
        const lbv h0 = splat_i32_at(b, x, 0), h1 = splat_i32_at(b, x, 4);
        const lbv l0 = splat_i32_at(b, x, 8), l1 = splat_i32_at(b, x, 12);
        for (int i = 0; i < t->nb; i++) {
            const lb_var high = p->high[i][j], low = p->low[i][j];
            lb_set(b, high, lb_dot2_u4i8(b, lb_get(b, high), even[i], h0, odd[i], h1));
            lb_set(b, low, lb_dot2_u4i8(b, lb_get(b, low), even[i], l0, odd[i], l1));
        }
    }
}

static void add_group(lb *b, const linear_tile *t, const planes *p, lbv scales_byte, lbv g) {
    const cg_kernel_spec *s = t->s;
    const int64_t k = s->n_groups * s->group;
    for (int i = 0; i < t->nb; i++) {
        const lbv at = lb_at(b, t->w[i], scales_byte);
        const lbv scale = lb_vload_half(b, false, at, NULL);
        const lbv zero = s->zeros ? lb_vload_u8(b, lb_ati(b, at, 32)) : lb_vint(b, 8);
        for (int j = 0; j < t->nt; j++) {
            const lbv x = lb_at(b, t->x[j], lb_muli(b, g, 4));
            const lbv x_scale = lb_splat(b, lb_load(b, b->f32, lb_ati(b, x, 2 * k), 4));
            const lbv x_sum = splat_i32_at(b, x, 2 * k + 4 * s->n_groups);
            const lbv dot =
                lb_iadd(b, lb_ishl(b, lb_get(b, p->high[i][j]), 8), lb_get(b, p->low[i][j]));
            const lbv part = lb_i_to_f(b, lb_isub(b, dot, lb_imul(b, zero, x_sum)));
            lb_set(b, t->acc[i][j],
                   lb_fma(b, part, lb_fmul(b, scale, x_scale), lb_get(b, t->acc[i][j])));
        }
    }
}

static void dot(lb *b, const linear_tile *t) {
    const cg_kernel_spec *s = t->s;
    assert(s->group % 8 == 0 && s->group <= 128);
    const int64_t group_bytes = cg_i4_group_bytes(s->group, s->zeros), chunks = s->group / 8;
    const int unroll = chunks % t->unroll ? 1 : t->unroll;
    LB_FOR (b, g, lb_int(b, 0), lb_int(b, s->n_groups), lb_int(b, 1)) {
        planes p;
        for (int i = 0; i < t->nb; i++)
            for (int j = 0; j < t->nt; j++) {
                p.high[i][j] = lb_local(b, lb_vizero(b));
                p.low[i][j] = lb_local(b, lb_vizero(b));
            }
        const lbv w_group = lb_muli(b, g.i, group_bytes), x_group = lb_muli(b, g.i, 2 * s->group);
        LB_FOR (b, c, lb_int(b, 0), lb_int(b, chunks), lb_int(b, unroll))
            for (int u = 0; u < unroll; u++) {
                const lbv chunk = lb_addi(b, c.i, u);
                dot_chunk(b, t, &p, lb_add(b, w_group, lb_muli(b, chunk, 64)),
                          lb_add(b, x_group, lb_muli(b, chunk, 16)));
            }
        add_group(b, t, &p, lb_addi(b, w_group, s->group * 8), g.i);
    }
}

const linear_format cpu_linear_i4 = {dot, block_bytes};

void cpu_emit_linear_i4(lb *b, const cg_kernel_spec *s, cpu_tile tile) {
    cpu_emit_linear(b, s, tile, &cpu_linear_i4);
}
