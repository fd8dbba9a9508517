/* k_row.c - kernels that treat each row for itself: embed, select_rows, slice, rmsnorm, swiglu, and
 * the generic loop nest over any elementwise op. */
#include <assert.h>

#include "codegen/cpu/kernel.h"
#include "codegen/cpu/lb_vec.h"

typedef struct rows {
    const cg_kernel_spec *s;
    lbv y, a, c, factor;
} rows;

static void copy_row(lb *b, lbv at, lbv mask, void *context) {
    const rows *r = context;
    cpu_store_f32(b, cpu_load_as_f32(b, r->s->weight, r->a, at, mask), r->y, at, mask);
}

void cpu_emit_embed(lb *b, const cg_kernel_spec *s, cpu_tile tile) {
    (void)tile;
    const lbv y = lb_operand(b, 0), w = lb_operand(b, 1);
    LB_FOR (b, t, lb_arg(b, ARG_begin), lb_arg(b, ARG_end), lb_int(b, 1)) {
        const lbv id = lb_load_i32(b, lb_step_ids(b), t.i);
        rows r = {.s = s,
                  .y = cpu_row_ptr(b, y, t.i, s->k * 4),
                  .a = cpu_row_ptr(b, w, id, s->k * (s->weight == DT_f32 ? 4 : 2))};
        cpu_row(b, s->k, copy_row, &r);
    }
}

static void copy_f32_row(lb *b, lbv at, lbv mask, void *context) {
    const rows *r = context;
    cpu_store_f32(b, cpu_load_f32(b, r->a, at, mask), r->y, at, mask);
}

void cpu_emit_select_rows(lb *b, const cg_kernel_spec *s, cpu_tile tile) {
    (void)tile;
    const lbv y = lb_operand(b, 0), x = lb_operand(b, 1);
    LB_FOR (b, r, lb_arg(b, ARG_begin), lb_arg(b, ARG_end), lb_int(b, 1)) {
        const lbv row = lb_load_i32(b, lb_step_rows(b), r.i);
        rows c = {
            .s = s, .y = cpu_row_ptr(b, y, r.i, s->k * 4), .a = cpu_row_ptr(b, x, row, s->k * 4)};
        cpu_row(b, s->k, copy_f32_row, &c);
    }
}

void cpu_emit_slice(lb *b, const cg_kernel_spec *s, cpu_tile tile) {
    (void)tile;
    const lbv y = lb_operand(b, 0), x = lb_operand(b, 1);
    LB_FOR (b, t, lb_arg(b, ARG_begin), lb_arg(b, ARG_end), lb_int(b, 1)) {
        rows c = {.s = s,
                  .y = cpu_row_ptr(b, y, t.i, s->size * 4),
                  .a = lb_ati(b, cpu_row_ptr(b, x, t.i, s->k * 4), s->begin * 4)};
        cpu_row(b, s->size, copy_f32_row, &c);
    }
}

static void norm_row(lb *b, lbv at, lbv mask, void *context) {
    const rows *r = context;
    const lbv x = lb_fmul(b, cpu_load_f32(b, r->a, at, mask), r->factor);
    cpu_store_f32(b, lb_fmul(b, cpu_load_f32(b, r->c, at, mask), x), r->y, at, mask);
}

void cpu_emit_rmsnorm(lb *b, const cg_kernel_spec *s, cpu_tile tile) {
    (void)tile;
    const lbv y = lb_operand(b, 0), x = lb_operand(b, 1), w = lb_operand(b, 2);
    LB_FOR (b, t, lb_arg(b, ARG_begin), lb_arg(b, ARG_end), lb_int(b, 1)) {
        const lbv row = cpu_row_ptr(b, x, t.i, s->k * 4);
        rows c = {.s = s,
                  .y = cpu_row_ptr(b, y, t.i, s->k * 4),
                  .a = row,
                  .c = w,
                  .factor = lb_splat(b, cpu_rms_factor(b, row, s->k, s->eps))};
        cpu_row(b, s->k, norm_row, &c);
    }
}

static void swiglu_row(lb *b, lbv at, lbv mask, void *context) {
    const rows *r = context;
    const lbv up = cpu_load_f32(b, r->a, lb_addi(b, at, r->s->k), mask);
    cpu_store_f32(b, lb_fmul(b, lb_silu(b, cpu_load_f32(b, r->a, at, mask)), up), r->y, at, mask);
}

void cpu_emit_swiglu(lb *b, const cg_kernel_spec *s, cpu_tile tile) {
    (void)tile;
    const lbv y = lb_operand(b, 0), x = lb_operand(b, 1);
    LB_FOR (b, t, lb_arg(b, ARG_begin), lb_arg(b, ARG_end), lb_int(b, 1)) {
        rows c = {
            .s = s, .y = cpu_row_ptr(b, y, t.i, s->k * 4), .a = cpu_row_ptr(b, x, t.i, s->k * 8)};
        cpu_row(b, s->k, swiglu_row, &c);
    }
}

/* ---- the generic loop nest ---- */

typedef lbv elementwise_fn(lb *b, const cg_kernel_spec *s, lbv x, lbv y);
static lbv apply_silu(lb *b, const cg_kernel_spec *s, lbv x, lbv y) {
    return (void)s, (void)y, lb_silu(b, x);
}
static lbv apply_scale(lb *b, const cg_kernel_spec *s, lbv x, lbv y) {
    return (void)y, lb_fmul(b, x, lb_vf(b, (float)s->by));
}
static lbv apply_mul(lb *b, const cg_kernel_spec *s, lbv x, lbv y) {
    return (void)s, lb_fmul(b, x, y);
}
static lbv apply_add(lb *b, const cg_kernel_spec *s, lbv x, lbv y) {
    return (void)s, lb_fadd(b, x, y);
}

static elementwise_fn *const ELEMENTWISE[OP_COUNT] = {
    [OP_silu] = apply_silu, [OP_scale] = apply_scale, [OP_mul] = apply_mul, [OP_add] = apply_add};

static void elementwise_row(lb *b, lbv at, lbv mask, void *context) {
    const rows *r = context;
    const lbv x = cpu_load_f32(b, r->a, at, mask),
              y = r->c ? cpu_load_f32(b, r->c, at, mask) : NULL;
    cpu_store_f32(b, ELEMENTWISE[r->s->op](b, r->s, x, y), r->y, at, mask);
}

void cpu_emit_elementwise(lb *b, const cg_kernel_spec *s, cpu_tile tile) {
    (void)tile;
    assert(ELEMENTWISE[s->op] && "schedule gave this op a kernel that cannot compute it");
    const bool two = ir_op_info[s->op].n_in == 2;
    const lbv y = lb_operand(b, 0), x = lb_operand(b, 1), z = two ? lb_operand(b, 2) : NULL;
    LB_FOR (b, t, lb_arg(b, ARG_begin), lb_arg(b, ARG_end), lb_int(b, 1)) {
        rows c = {.s = s,
                  .y = cpu_row_ptr(b, y, t.i, s->k * 4),
                  .a = cpu_row_ptr(b, x, t.i, s->k * 4),
                  .c = two ? cpu_row_ptr(b, z, t.i, s->k * 4) : NULL};
        cpu_row(b, s->k, elementwise_row, &c);
    }
}

/* ---- row-wise: softmax ---- */

typedef struct soft {
    lbv x, y;
    lb_var max, sum;
} soft;

static lbv load_or_low(lb *b, lbv p, lbv at, lbv mask) {
    const lbv v = cpu_load_f32(b, p, at, mask);
    return mask ? lb_vselect(b, mask, v, lb_vf(b, -3e38f)) : v;
}

static void soft_max(lb *b, lbv at, lbv mask, void *context) {
    soft *c = context;
    lb_set(b, c->max, lb_fmax(b, load_or_low(b, c->x, at, mask), lb_get(b, c->max)));
}

static void soft_exp(lb *b, lbv at, lbv mask, void *context) {
    soft *c = context;
    const lbv e = lb_exp(b, lb_fsub(b, load_or_low(b, c->x, at, mask), lb_get(b, c->max)));
    lb_set(b, c->sum, lb_fadd(b, lb_get(b, c->sum), e));
    cpu_store_f32(b, e, c->y, at, mask);
}

static void soft_divide(lb *b, lbv at, lbv mask, void *context) {
    soft *c = context;
    cpu_store_f32(b, lb_fdiv(b, cpu_load_f32(b, c->y, at, mask), lb_get(b, c->sum)), c->y, at,
                  mask);
}

void cpu_emit_rowwise(lb *b, const cg_kernel_spec *s, cpu_tile tile) {
    (void)tile;
    assert(s->op == OP_softmax);
    const lbv y = lb_operand(b, 0), x = lb_operand(b, 1);
    LB_FOR (b, t, lb_arg(b, ARG_begin), lb_arg(b, ARG_end), lb_int(b, 1)) {
        soft c = {.x = cpu_row_ptr(b, x, t.i, s->k * 4),
                  .y = cpu_row_ptr(b, y, t.i, s->k * 4),
                  .max = lb_local(b, lb_vf(b, -3e38f)),
                  .sum = lb_local(b, lb_vzero(b))};
        cpu_row(b, s->k, soft_max, &c);
        lb_set(b, c.max, lb_splat(b, lb_hmax(b, lb_get(b, c.max))));
        cpu_row(b, s->k, soft_exp, &c);
        lb_set(b, c.sum, lb_splat(b, lb_hsum(b, lb_get(b, c.sum))));
        cpu_row(b, s->k, soft_divide, &c);
    }
}
