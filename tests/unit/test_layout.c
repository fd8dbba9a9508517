/* Types and bytes: formulas of docs/IR.md with the numbers worked out by hand. */
#include <string.h>

#include "ir/const.h"
#include "ir/layout.h"
#include "tests/unit/unit.h"

/* The type of a weight, from text. */
static ir_type type_of(const char *s) {
    arena *mem = arena_open();
    diag d = {.mem = mem};
    text t = {.mem = mem};
    ir_type out = {0};
    text_printf(&t, "%%0 = weight {seed=1} : %s", s);
    ir_graph *g = ir_parse(text_str(&t), s, mem, &d);
    if (g) out = g->first->type;
    arena_close(mem);
    return out;
}

static ir_type make(ir_dtype dtype, ir_layout layout, int64_t rows, int64_t k, int64_t group,
                    bool perm) {
    ir_type t = IR_TYPE(dtype, rows, k);
    t.layout = layout;
    t.group = group;
    t.perm = perm;
    return t;
}

static void test_bytes(void) {
    static const struct {
        const char *type;
        int64_t bytes;
    } WEIGHTS[] = {
        {"f32[7]", 28},
        {"bf16[10,6]", 120},
        {"f64[3,3]", 72},
        {"f16[17,5]@r16k1", 2 * 16 * 5 * 2},
        {"f32[16,5]@r16k1", 16 * 5 * 4},
        {"bf16[16,5]@r16k2", 16 * 6 * 2}, /* an odd column is padded */
        {"i4<g128>[16,256]@r16k8", 2 * (16 * 64 + 32)},
        {"i4<g128,zp>[17,256]@r16k8", 2 * 2 * (16 * 64 + 32 + 16)},
        {"i4<g20,zp>[16,100]@r16k8", 5 * (16 * 12 + 32 + 16)},    /* 20 -> 24 columns */
        {"i4<g-1>[16,160]@r16k8", 2 * (16 * 64 + 32)},            /* 160 = 128 + 32, padded */
        {"i4<g200>[16,512]@r16k8", (2 + 2 + 1) * (16 * 64 + 32)}, /* 200 + 200 + 112 */
        {"i4<g1000>[16,40]@r16k8", 1 * (16 * 20 + 32)}, /* no more columns than there are */
        {"i4<g32>[16,64]@gptq", 16 * 32 + 2 * 16 * 2},
        {"i4<g32,zp,perm>[16,64]@gptq", 16 * 32 + 2 * 16 * 2 + 2 * 16 / 2 + 64 * 4},
    };
    for (size_t i = 0; i < COUNT_OF(WEIGHTS); i++) {
        const ir_type t = type_of(WEIGHTS[i].type);
        CU_ASSERT_FATAL(t.rank > 0);
        CU_ASSERT_EQUAL(ir_type_bytes(&t, 3, 2), WEIGHTS[i].bytes);
    }
    ir_type t = IR_TYPE(DT_f32, DIM_T, 10);
    CU_ASSERT_EQUAL(ir_type_bytes(&t, 3, 2), 120);
    t = IR_TYPE(DT_f32, DIM_R, 10);
    CU_ASSERT_EQUAL(ir_type_bytes(&t, 3, 2), 80);
    t = IR_TYPE(DT_i32, DIM_T);
    CU_ASSERT_EQUAL(ir_type_bytes(&t, 3, 2), 12);
    t = IR_TYPE(DT_f32, DIM_T, 4, DIM_S);
    CU_ASSERT_EQUAL(ir_type_bytes(&t, 3, 2), 0);
    t = (ir_type){.dtype = DT_seqs};
    CU_ASSERT_EQUAL(ir_type_bytes(&t, 3, 2), 0);
    t = IR_TYPE(DT_bf16, 2, 2, 8);
    t.layout = LAYOUT_kv;
    CU_ASSERT_EQUAL(ir_type_bytes(&t, 3, 2), 0);
}

/* runtime/abi.h: one token's bytes, rounded up to 64 */
static void test_act_bytes(void) {
    ir_type t = make(DT_f32, LAYOUT_act, DIM_T, 20, 0, false);
    CU_ASSERT_EQUAL(ir_type_bytes(&t, 3, 1), 3 * 128);
    t = make(DT_bf16, LAYOUT_act, DIM_T, 20, 0, false);
    CU_ASSERT_EQUAL(ir_type_bytes(&t, 3, 1), 3 * 64);
    t = make(DT_i16, LAYOUT_act, DIM_T, 256, 128, false);
    CU_ASSERT_EQUAL(ir_type_bytes(&t, 3, 1), 3 * (512 + 2 * 4 + 2 * 4 + 48));
    t = make(DT_i16, LAYOUT_act, DIM_R, 160, -1, false);
    CU_ASSERT_EQUAL(ir_type_bytes(&t, 3, 1), 512 + 16 + 48);
    t = make(DT_f32, LAYOUT_act, DIM_T, 100, 20, false);
    CU_ASSERT_EQUAL(ir_type_bytes(&t, 1, 1), 5 * 24 * 4 + 32);
    /* act-order: each of 4 groups of the 64 columns may need a packed group more than its share */
    t = make(DT_i16, LAYOUT_act, DIM_T, 64, 16, true);
    CU_ASSERT_EQUAL(ir_max_packed_groups(&t), 4 + 60 / 16);
}

static void test_type_ok(void) {
    static const struct {
        const char *name;
        bool ok;
        ir_type type;
    } TYPES[] = {
        {"matrix", true, {DT_bf16, LAYOUT_plain, 2, {4, 8}, 0, false, false}},
        {"rank 4", false, {DT_bf16, LAYOUT_plain, 4, {4, 8}, 0, false, false}},
        {"no rank", false, {DT_bf16, LAYOUT_plain, 0, {0}, 0, false, false}},
        {"zero", false, {DT_bf16, LAYOUT_plain, 2, {4, 0}, 0, false, false}},
        {"negative", false, {DT_bf16, LAYOUT_plain, 2, {4, -4}, 0, false, false}},
        {"T in front", true, {DT_f32, LAYOUT_plain, 2, {DIM_T, 8}, 0, false, false}},
        {"T behind", false, {DT_f32, LAYOUT_plain, 2, {8, DIM_T}, 0, false, false}},
        {"S third", true, {DT_f32, LAYOUT_plain, 3, {DIM_T, 8, DIM_S}, 0, false, false}},
        {"S second", false, {DT_f32, LAYOUT_plain, 2, {DIM_T, DIM_S}, 0, false, false}},
        {"large dim", false, {DT_f32, LAYOUT_plain, 1, {(int64_t)1 << 31}, 0, false, false}},
        {"largest", true, {DT_f32, LAYOUT_plain, 2, {1 << 20, 1 << 20}, 0, false, false}},
        {"too many", false, {DT_f32, LAYOUT_plain, 2, {1 << 21, 1 << 20}, 0, false, false}},
        {"overflow",
         false,
         {DT_f32, LAYOUT_plain, 3, {1 << 30, 1 << 30, 1 << 30}, 0, false, false}},
        {"seqs", true, {DT_seqs, LAYOUT_plain, 0, {0}, 0, false, false}},
        {"seqs with dims", false, {DT_seqs, LAYOUT_plain, 1, {4}, 0, false, false}},
        {"i4", true, {DT_i4, LAYOUT_plain, 2, {4, 8}, 3, true, true}},
        {"i4 without group", false, {DT_i4, LAYOUT_plain, 2, {4, 8}, 0, false, false}},
        {"i4 of T", false, {DT_i4, LAYOUT_plain, 2, {DIM_T, 8}, 8, false, false}},
        {"act-order", true, {DT_i4, LAYOUT_plain, 2, {4, 1 << 20}, 1, false, true}},
        {"wide act-order", false, {DT_i4, LAYOUT_plain, 2, {4, 1 << 21}, 1, false, true}},
        {"group -2", false, {DT_i4, LAYOUT_plain, 2, {4, 8}, -2, false, false}},
        {"group of f32", false, {DT_f32, LAYOUT_plain, 2, {4, 8}, 8, false, false}},
        {"zeros of f32", false, {DT_f32, LAYOUT_plain, 2, {4, 8}, 0, true, false}},
        {"gptq", true, {DT_i4, LAYOUT_gptq, 2, {8, 8}, 8, true, false}},
        {"gptq 12 columns", false, {DT_i4, LAYOUT_gptq, 2, {8, 12}, 8, false, false}},
        {"gptq 4 rows, zeros", false, {DT_i4, LAYOUT_gptq, 2, {4, 8}, 8, true, false}},
        {"gptq 4 rows", true, {DT_i4, LAYOUT_gptq, 2, {4, 8}, 8, false, false}},
        {"gptq of bf16", false, {DT_bf16, LAYOUT_gptq, 2, {8, 8}, 0, false, false}},
        {"r16k1 of bf16", false, {DT_bf16, LAYOUT_r16k1, 2, {8, 8}, 0, false, false}},
        {"r16k2 of f16", false, {DT_f16, LAYOUT_r16k2, 2, {8, 8}, 0, false, false}},
        {"r16k2 of a vector", false, {DT_bf16, LAYOUT_r16k2, 1, {8}, 0, false, false}},
        {"kv", true, {DT_bf16, LAYOUT_kv, 3, {2, 2, 8}, 0, false, false}},
        {"kv of rank 2", false, {DT_bf16, LAYOUT_kv, 2, {2, 2}, 0, false, false}},
        {"act i16", true, {DT_i16, LAYOUT_act, 2, {DIM_T, 8}, 8, false, true}},
        {"act i16 without group", false, {DT_i16, LAYOUT_act, 2, {DIM_T, 8}, 0, false, false}},
        {"act with zeros", false, {DT_i16, LAYOUT_act, 2, {DIM_T, 8}, 8, true, false}},
        {"act f16", false, {DT_f16, LAYOUT_act, 2, {DIM_T, 8}, 0, false, false}},
    };
    for (size_t i = 0; i < COUNT_OF(TYPES); i++) {
        const char *why = NULL;
        const bool ok = ir_type_ok(&TYPES[i].type, &why);
        CU_ASSERT_EQUAL(ok, TYPES[i].ok);
        CU_ASSERT(ok == !why);
        if (ok != TYPES[i].ok) printf("type '%s'\n", TYPES[i].name);
    }
}

/* ---- row orders ---- */

static const ir_op *packed(arena *mem, diag *d, int64_t rows, const char *attrs) {
    text t = {.mem = mem};
    text_printf(&t, "%%0 = weight {seed=1, %s} : bf16[%lld,8]@r16k2", attrs, (long long)rows);
    ir_graph *g = ir_parse(text_str(&t), "order", mem, d);
    if (!g) diag_print(d, stdout);
    CU_ASSERT_PTR_NOT_NULL_FATAL(g);
    return g->first;
}

/* Every row has one place, and each block holds neighbours, then padding. */
static void check_order(const ir_op *w) {
    const int64_t n = w->type.dim[0], places = ir_packed_rows(w);
    int64_t n_rows = 0;
    CU_ASSERT(places % 16 == 0);
    for (int64_t i = 0; i < places; i++) {
        const int64_t row = ir_packed_row(w, i);
        CU_ASSERT_FATAL(row >= -1 && row < n);
        if (i % 16 && row >= 0) CU_ASSERT(ir_packed_row(w, i - 1) == row - 1);
        if (row < 0) continue;
        CU_ASSERT_EQUAL(ir_packed_place(w, row), i);
        n_rows++;
    }
    CU_ASSERT_EQUAL(n_rows, n);
}

static void test_orders(void) {
    arena *mem = arena_open();
    diag d = {.mem = mem};
    const int64_t rows[] = {1, 15, 16, 17, 320};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const ir_op *w = packed(mem, &d, rows[i], "order=\"natural\"");
        check_order(w);
        CU_ASSERT(ir_packed_row(w, 0) == 0 && ir_packed_rows(w) == round_up(rows[i], 16));
        w = packed(mem, &d, 2 * rows[i], "order=\"swiglu\"");
        check_order(w);
        CU_ASSERT(ir_packed_row(w, 16) == rows[i] &&
                  ir_packed_rows(w) == 2 * round_up(rows[i], 16));
        if (rows[i] > 16) CU_ASSERT_EQUAL(ir_packed_row(w, 32), 16);
    }
    arena_close(mem);
}

static void test_rope_order(void) {
    arena *mem = arena_open();
    diag d = {.mem = mem};
    static const struct {
        int64_t heads, kv_heads, head_dim, rot, places;
    } SHAPES[] = {
        {2, 1, 128, 128, 4 * 128},             /* no padding at all */
        {2, 1, 128, 96, 4 * 128},              /* halves of 48, 32 lanes do not turn */
        {4, 2, 80, 80, 6 * 96 + 2 * 80},       /* halves of 40 -> 48 */
        {2, 2, 20, 10, 4 * (32 + 16) + 2 * 32} /* halves of 5, 10 lanes do not turn */
    };
    for (size_t i = 0; i < COUNT_OF(SHAPES); i++) {
        text t = {.mem = mem};
        text_printf(&t, "order=\"rope\", heads=%lld, kv_heads=%lld, head_dim=%lld, rot=%lld",
                    (long long)SHAPES[i].heads, (long long)SHAPES[i].kv_heads,
                    (long long)SHAPES[i].head_dim, (long long)SHAPES[i].rot);
        const int64_t E = SHAPES[i].head_dim, half = SHAPES[i].rot / 2;
        const ir_op *w = packed(mem, &d, (SHAPES[i].heads + 2 * SHAPES[i].kv_heads) * E, t.buf.at);
        check_order(w);
        CU_ASSERT_EQUAL(ir_packed_rows(w), SHAPES[i].places);
        /* lanes that turn together stand in neighbouring blocks at the same place */
        for (int64_t head = 0; head < SHAPES[i].heads + SHAPES[i].kv_heads; head++)
            for (int64_t j = 0; j < half; j++)
                CU_ASSERT_EQUAL(ir_packed_place(w, head * E + half + j),
                                ir_packed_place(w, head * E + j) + 16);
    }
    arena_close(mem);
}

UNIT_MAIN("layout", {"bytes", test_bytes}, {"bytes of activations", test_act_bytes},
          {"well-formed types", test_type_ok}, {"row orders", test_orders},
          {"row order rope", test_rope_order})
