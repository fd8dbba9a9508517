/* Section "weights": every window of it holds what ir/const.h says, whichever way it is cut. */
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "codegen/artifact/weights.h"
#include "ir/const.h"
#include "ir/layout.h"
#include "runtime/dummy.h"
#include "tests/unit/unit.h"

enum { MAX_WEIGHTS = 16, ALIGN = 64 };

typedef struct setup {
    arena *mem;
    diag d;
    ir_graph *g;
    cg_program p;
    cg_weight weight[MAX_WEIGHTS];
} setup;

static const uint8_t shard[1024] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};

static uint64_t aligned(uint64_t n) { return (uint64_t)round_up((int64_t)n, ALIGN); }

/* As codegen/plan.c places them. */
static void add_weight(setup *s, const ir_op *op) {
    CU_ASSERT_PTR_NOT_NULL_FATAL(op);
    cg_weight *w = &s->weight[s->p.n_weights++];
    ir_type stored = op->type;
    stored.dtype = cg_stored_dtype(op);
    const bool packed = ir_layout_is_packed(op->type.layout);
    *w = (cg_weight){.op = op, .offset = s->p.weights_bytes};
    w->bytes = packed ? (uint64_t)(ir_packed_rows(op) / 16 * ir_packed_block_bytes(op))
                      : (uint64_t)ir_type_bytes(&stored, 0, 0);
    w->perm_offset = aligned(w->offset + w->bytes);
    ir_groups groups = {0};
    if (op->type.dtype == DT_i4) CU_ASSERT_TRUE(ir_const_groups(op, s->mem, &s->d, &groups));
    if (groups.column) w->perm_bytes = (uint64_t)(groups.n_groups * groups.group) * 4;
    s->p.weights_bytes = aligned(w->perm_offset + w->perm_bytes);
}

static ir_op *made_up(setup *s, ir_type t) {
    static uint64_t seed = 1;
    return ir_add_weight(s->g, "w", t,
                         (ir_source){.kind = SOURCE_seed, .seed = seed++, .scales_dtype = DT_f16});
}

static ir_type i4_type(int64_t n, int64_t k, int64_t group, bool zeros, bool perm) {
    ir_type t = IR_TYPE(DT_i4, n, k);
    t.layout = LAYOUT_gptq;
    t.group = group;
    t.zeros = zeros;
    t.perm = perm;
    return t;
}

static ir_op *packed(setup *s, ir_op *w, ir_layout layout) {
    return ir_add(s->g, OP_pack, 1, &w, 1, (ir_attr[]){IR_I64(layout, layout)});
}

static void open_setup(setup *s) {
    *s = (setup){.mem = arena_open()};
    s->d.mem = s->mem;
    s->g = ir_new(s->mem, &s->d, "test");
    s->p.weight = s->weight;
}

static void close_setup(setup *s) {
    CU_ASSERT_EQUAL(s->d.n_errors, 0);
    diag_print(&s->d, stdout);
    arena_close(s->mem);
}

/* One of each kind, all small, with odd sizes. */
static void add_all_kinds(setup *s) {
    const int file = ir_add_file(s->g, "shard", shard, sizeof shard);
    ir_op *half = ir_add_weight(s->g, "f", IR_TYPE(DT_f16, 7, 5),
                                (ir_source){.kind = SOURCE_file, .file = file, .data = {100, 70}});
    ir_op *wide = made_up(s, IR_TYPE(DT_f32, 30, 9));
    add_weight(s, made_up(s, IR_TYPE(DT_bf16, 13, 24)));
    add_weight(s, made_up(s, IR_TYPE(DT_bf16, 35))); /* a norm's: stored as f32 */
    add_weight(s, half);
    add_weight(s, ir_add(s->g, OP_cast, 1, &wide, 1, (ir_attr[]){IR_I64(to, DT_f16)}));
    add_weight(s, ir_add_rope_table(s->g, 21, 2, (ir_attr[]){IR_F64(theta, 1e4), IR_I64(rot, 6)}));
    add_weight(s, packed(s, made_up(s, IR_TYPE(DT_f32, 33, 20)), LAYOUT_r16k1));
    add_weight(s, packed(s, made_up(s, IR_TYPE(DT_bf16, 50, 17)), LAYOUT_r16k2));
    add_weight(s, packed(s, made_up(s, i4_type(48, 96, 32, true, false)), LAYOUT_r16k8));
    add_weight(s, packed(s, made_up(s, i4_type(24, 64, 16, false, true)), LAYOUT_r16k8));
}

/* The section as a whole, made weight by weight straight from ir/const.h. */
static uint8_t *expected(setup *s) {
    uint8_t *out = arena_get(s->mem, s->p.weights_bytes, ALIGN);
    for (int i = 0; i < s->p.n_weights; i++) {
        const cg_weight *w = &s->weight[i];
        const ir_type *t = &w->op->type;
        if (ir_layout_is_packed(t->layout)) {
            ir_pack_blocks(w->op, 0, ir_packed_rows(w->op) / 16, s->mem, out + w->offset);
            if (!w->perm_bytes) continue;
            ir_groups g;
            CU_ASSERT_TRUE_FATAL(ir_const_groups(w->op, s->mem, &s->d, &g));
            memcpy(out + w->perm_offset, g.column, w->perm_bytes);
            continue;
        }
        const int64_t columns = t->dim[t->rank - 1], rows = t->rank == 1 ? 1 : t->dim[0];
        float *v = arena_array(s->mem, float, rows *columns);
        ir_const_rows(w->op, 0, rows, v);
        for (int64_t k = 0; k < rows * columns; k++) {
            const uint16_t h = t->dtype == DT_f16 ? f32_to_f16(v[k]) : f32_to_bf16(v[k]);
            if (t->rank == 1 || t->dtype == DT_f32) memcpy(out + w->offset + 4 * k, &v[k], 4);
            else memcpy(out + w->offset + 2 * k, &h, 2);
        }
    }
    return out;
}

static void test_kinds(void) {
    setup s;
    open_setup(&s);
    add_all_kinds(&s);
    const uint8_t *want = expected(&s);
    art_weights *w = art_weights_prepare(&s.p, s.mem, &s.d);
    CU_ASSERT_PTR_NOT_NULL_FATAL(w);
    uint8_t *got = arena_get(s.mem, s.p.weights_bytes, ALIGN);
    memset(got, 0xee, s.p.weights_bytes);
    art_weights_fill(w, 0, s.p.weights_bytes, s.mem, got);
    CU_ASSERT_EQUAL(memcmp(got, want, s.p.weights_bytes), 0);
    CU_ASSERT_EQUAL(memcmp(got + s.weight[2].offset, shard + 100, 70), 0);
    close_setup(&s);
}

static void test_windows(void) {
    static const uint64_t STEPS[] = {1, 7, 64, 333, 1000, 4096};
    setup s;
    open_setup(&s);
    add_all_kinds(&s);
    const uint8_t *want = expected(&s);
    art_weights *w = art_weights_prepare(&s.p, s.mem, &s.d);
    CU_ASSERT_PTR_NOT_NULL_FATAL(w);
    uint8_t *got = arena_get(s.mem, s.p.weights_bytes, ALIGN);
    for (size_t i = 0; i < COUNT_OF(STEPS); i++) {
        memset(got, 0xee, s.p.weights_bytes);
        for (uint64_t at = 0; at < s.p.weights_bytes; at += STEPS[i]) {
            const uint64_t left = s.p.weights_bytes - at;
            art_weights_fill(w, at, at + (left < STEPS[i] ? left : STEPS[i]), s.mem, got + at);
        }
        CU_ASSERT_EQUAL(memcmp(got, want, s.p.weights_bytes), 0);
    }
    close_setup(&s);
}

/* ---- several windows, several threads ---- */

typedef struct sink {
    const uint8_t *want;
    uint64_t n, stop_at;
    int n_windows;
    bool same;
} sink;

static bool compare(void *context, const uint8_t *p, size_t n) {
    sink *k = context;
    k->same &= memcmp(p, k->want + k->n, n) == 0;
    k->n += n;
    k->n_windows++;
    return k->n < k->stop_at;
}

static void test_stream(void) {
    setup s;
    open_setup(&s);
    add_all_kinds(&s);
    add_weight(&s, made_up(&s, IR_TYPE(DT_f32, 4099, 1024)));
    add_weight(&s, packed(&s, made_up(&s, IR_TYPE(DT_bf16, 9000, 1111)), LAYOUT_r16k2));
    const uint8_t *want = expected(&s);
    art_weights *w = art_weights_prepare(&s.p, s.mem, &s.d);
    CU_ASSERT_PTR_NOT_NULL_FATAL(w);
    const int n_windows = (int)ceil_div((int64_t)s.p.weights_bytes, ART_WINDOW_BYTES);
    CU_ASSERT_EQUAL(n_windows, 3);
    for (int n_threads = 1; n_threads <= 9; n_threads += 2) {
        sink k = {.want = want, .stop_at = UINT64_MAX, .same = true};
        CU_ASSERT_TRUE(art_weights_stream(w, n_threads, s.mem, &s.d, compare, &k));
        CU_ASSERT_TRUE(k.same);
        CU_ASSERT_EQUAL(k.n, s.p.weights_bytes);
        CU_ASSERT_EQUAL(k.n_windows, n_windows);
    }
    for (int stop = 1; stop < n_windows; stop++) {
        sink k = {.want = want, .stop_at = (uint64_t)stop * ART_WINDOW_BYTES, .same = true};
        CU_ASSERT_FALSE(art_weights_stream(w, 2, s.mem, &s.d, compare, &k));
        CU_ASSERT_EQUAL(k.n_windows, stop);
    }
    close_setup(&s);
}

static void test_nothing(void) {
    setup s;
    open_setup(&s);
    art_weights *w = art_weights_prepare(&s.p, s.mem, &s.d);
    sink k = {0};
    CU_ASSERT_PTR_NOT_NULL_FATAL(w);
    CU_ASSERT_TRUE(art_weights_stream(w, 2, s.mem, &s.d, compare, &k));
    CU_ASSERT_EQUAL(k.n_windows, 0);
    close_setup(&s);
}

/* The recipe covers just the ranges that the weights would have. */
static void test_recipe(void) {
    setup s;
    open_setup(&s);
    add_all_kinds(&s);
    const art_bytes b = art_weights_recipe(&s.p, s.mem);
    const rt_dummy *e = b.at;
    const size_t n = b.n / sizeof *e;
    CU_ASSERT_EQUAL_FATAL(n, (size_t)s.p.n_weights + 1); /* one has a column order */
    for (int i = 0; i < s.p.n_weights; i++) {
        CU_ASSERT_EQUAL(e[i].offset, s.weight[i].offset);
        CU_ASSERT_EQUAL(e[i].bytes, s.weight[i].bytes);
    }
    CU_ASSERT_EQUAL(e[1].fill, RT_FILL_ones);
    CU_ASSERT_EQUAL(e[7].fill, RT_FILL_i4);
    CU_ASSERT_EQUAL(e[7].group, 32);
    CU_ASSERT_EQUAL(e[7].zeros, 1);
    CU_ASSERT_EQUAL(e[9].fill, RT_FILL_order);
    CU_ASSERT_EQUAL(e[9].offset, s.weight[8].perm_offset);
    const uint64_t total = rt_dummy_bytes(e, n);
    CU_ASSERT_EQUAL(aligned(total), s.p.weights_bytes);
    close_setup(&s);
}

UNIT_MAIN("weights", {"each kind of constant", test_kinds}, {"any window", test_windows},
          {"streamed by threads", test_stream}, {"no weights", test_nothing},
          {"recipe for made-up weights", test_recipe})
