/* k_act.c - activations as linear reads them: optional RMSNorm, column order, then f32, bf16 or
 * int16 planes.
 *
 * The row is staged in packed column order as f32 (for act = f32 that is the result), then rounded
 * from there. */
#include <assert.h>

#include "codegen/cpu/kernel.h"
#include "codegen/cpu/lb_vec.h"

int64_t cg_act_bytes(ir_dtype act, int64_t k, int64_t group) {
    int64_t bytes = 0;
    if (act == DT_f32) bytes = 4 * k;
    if (act == DT_bf16) bytes = 2 * round_up(k, 2);
    if (act == DT_i16) bytes = 2 * k + 8 * (k / group);
    return round_up(bytes, 64);
}

typedef struct stage {
    const cg_kernel_spec *s;
    lbv x, norm, factor, column, to;
} stage;

static void stage_part(lb *b, lbv at, lbv mask, void *context) {
    const stage *c = context;
    lbv v = cpu_load_f32(b, c->x, at, mask);
    if (c->norm) v = lb_fmul(b, cpu_load_f32(b, c->norm, at, mask), lb_fmul(b, v, c->factor));
    cpu_store_f32(b, v, c->to, at, mask);
}

/* to[j] = x[column[j]] (normed), 0 where column[j] < 0; one by one: reordered columns have no
 * pattern */
static void stage_gathered(lb *b, const stage *c, int64_t k) {
    const lbv one = c->factor ? lb_lane(b, c->factor, 0) : NULL;
    LB_FOR (b, j, lb_int(b, 0), lb_int(b, k), lb_int(b, 1)) {
        const lbv from = lb_load_i32(b, c->column, j.i);
        const lbv padding = lb_lt(b, from, lb_int(b, 0));
        const lbv byte = lb_muli(b, lb_select(b, padding, lb_int(b, 0), from), 4);
        lbv v = lb_load(b, b->f32, lb_at(b, c->x, byte), 4);
        if (c->norm)
            v = lb_fmul(b, lb_load(b, b->f32, lb_at(b, c->norm, byte), 4), lb_fmul(b, v, one));
        lb_store(b, lb_select(b, padding, lb_f(b, 0), v), lb_at(b, c->to, lb_muli(b, j.i, 4)), 4);
    }
}

/* K: columns of the packed weight, of which the first s->k hold data where nothing is reordered. */
static int64_t packed_columns(const cg_kernel_spec *s) {
    if (s->act == DT_i16) return s->n_groups * s->group;
    return s->act == DT_bf16 ? round_up(s->k, 2) : s->k;
}

static void zero_from(lb *b, lbv p, int64_t from, int64_t to) {
    LB_FOR (b, j, lb_int(b, from), lb_int(b, to), lb_int(b, 1))
        lb_store(b, lb_f(b, 0), lb_at(b, p, lb_muli(b, j.i, 4)), 4);
}

static void stage_row(lb *b, const cg_kernel_spec *s, lbv token, lbv to) {
    stage c = {.s = s, .x = cpu_row_ptr(b, lb_operand(b, 1), token, s->k * 4), .to = to};
    const int64_t columns = packed_columns(s);
    if (s->norm) {
        c.norm = lb_operand(b, 2);
        c.factor = lb_splat(b, cpu_rms_factor(b, c.x, s->k, s->eps));
    }
    if (s->perm) {
        c.column = lb_operand(b, s->norm ? 3 : 2);
        stage_gathered(b, &c, columns);
        return;
    }
    cpu_row(b, s->k, stage_part, &c);
    if (columns > s->k) zero_from(b, to, s->k, columns);
}

void cpu_emit_act_f32(lb *b, const cg_kernel_spec *s, cpu_tile tile) {
    (void)tile;
    const lbv a = lb_operand(b, 0);
    LB_FOR (b, t, lb_arg(b, ARG_begin), lb_arg(b, ARG_end), lb_int(b, 1))
        stage_row(b, s, t.i, cpu_row_ptr(b, a, t.i, cg_act_bytes(DT_f32, s->k, 0)));
}

typedef struct narrow {
    lbv from, to;
} narrow;

static void narrow_part(lb *b, lbv at, lbv mask, void *context) {
    const narrow *c = context;
    const lbv v = lb_to_i16(b, lb_bf16_bits(b, cpu_load_f32(b, c->from, at, mask)));
    const lbv p = lb_at(b, c->to, lb_muli(b, at, 2));
    if (mask) lb_vstore_masked(b, v, p, mask);
    else lb_store(b, v, p, 2);
}

void cpu_emit_act_bf16(lb *b, const cg_kernel_spec *s, cpu_tile tile) {
    (void)tile;
    const lbv a = lb_operand(b, 0), row = lb_arg(b, ARG_scratch);
    LB_FOR (b, t, lb_arg(b, ARG_begin), lb_arg(b, ARG_end), lb_int(b, 1)) {
        stage_row(b, s, t.i, row);
        narrow c = {row, cpu_row_ptr(b, a, t.i, cg_act_bytes(DT_bf16, s->k, 0))};
        cpu_row(b, packed_columns(s), narrow_part, &c);
    }
}

/* ---- int16 in two planes ---- */

enum { I16_LARGEST = 127 * 256 }; /* so that both planes are int8 after rounding the low one */

typedef struct group_max {
    lbv x;
    lb_var max;
} group_max;

static void max_part(lb *b, lbv at, lbv mask, void *context) {
    const group_max *c = context;
    lb_set(b, c->max, lb_fmax(b, lb_fabs(b, cpu_load_f32(b, c->x, at, mask)), lb_get(b, c->max)));
}

static void quantize_group(lb *b, const cg_kernel_spec *s, lbv x, lbv planes, lbv scale_at,
                           lbv sum_at) {
    group_max m = {x, lb_local(b, lb_vzero(b))};
    cpu_row(b, s->group, max_part, &m);
    const lbv largest = lb_hmax(b, lb_get(b, m.max));
    const lbv tiny = lb_f(b, 1e-30f);
    const lbv inverse = lb_select(b, lb_fgt(b, largest, tiny),
                                  lb_fdiv(b, lb_f(b, I16_LARGEST), largest), lb_f(b, 0));
    lb_store(b, lb_fmul(b, largest, lb_f(b, 1.0f / I16_LARGEST)), scale_at, 4);

    const lb_var sum = lb_local(b, lb_vizero(b));
    const int lanes = s->group % LB_LANES ? 8 : LB_LANES;
    const lbv mask = lanes < LB_LANES ? lb_mask_below(b, lb_int(b, lanes)) : NULL;
    LB_FOR (b, k, lb_int(b, 0), lb_int(b, s->group), lb_int(b, lanes)) {
        const lbv v = lb_fmul(b, cpu_load_f32(b, x, k.i, mask), lb_splat(b, inverse));
        const lbv q = lb_f_to_i(b, lb_fround(b, v));
        const lbv high = lb_iashr(b, lb_iadd(b, q, lb_vint(b, 128)), 8);
        const lbv low = lb_isub(b, q, lb_ishl(b, high, 8));
        lb_set(b, sum, lb_iadd(b, lb_get(b, sum), q));
        lb_store_planes(b, high, low, lb_at(b, planes, lb_muli(b, k.i, 2)), lanes);
    }
    lb_store(b, lb_hisum(b, lb_get(b, sum)), sum_at, 4);
}

void cpu_emit_act_i16(lb *b, const cg_kernel_spec *s, cpu_tile tile) {
    (void)tile;
    assert(s->group % 8 == 0);
    const int64_t columns = packed_columns(s), scales = 2 * columns,
                  sums = scales + 4 * s->n_groups;
    const lbv a = lb_operand(b, 0), row = lb_arg(b, ARG_scratch);
    LB_FOR (b, t, lb_arg(b, ARG_begin), lb_arg(b, ARG_end), lb_int(b, 1)) {
        stage_row(b, s, t.i, row);
        const lbv to = cpu_row_ptr(b, a, t.i, cg_act_bytes(DT_i16, columns, s->group));
        LB_FOR (b, g, lb_int(b, 0), lb_int(b, s->n_groups), lb_int(b, 1)) {
            const lbv word = lb_muli(b, g.i, 4);
            quantize_group(b, s, lb_at(b, row, lb_muli(b, g.i, s->group * 4)),
                           lb_at(b, to, lb_muli(b, g.i, s->group * 2)),
                           lb_at(b, lb_ati(b, to, scales), word),
                           lb_at(b, lb_ati(b, to, sums), word));
        }
    }
}
