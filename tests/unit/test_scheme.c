/* test_scheme.c - names of quantisation schemes; what auto makes of a graph. */
#include "passes/scheme.h"

#include "tests/support/tiny_phi.h"
#include "unit.h"

static void test_names(void) {
    static const struct {
        const char *name;
        scheme_id id;
        int64_t group;
        ir_dtype kv;
    } GOOD[] = {
        {"f32", SCHEME_f32, 0, DT_f32},           {"bf16", SCHEME_bf16, 0, DT_bf16},
        {"f16", SCHEME_f16, 0, DT_bf16},          {"w4a16-g128", SCHEME_w4a16, 128, DT_bf16},
        {"w4a16-g-1", SCHEME_w4a16, -1, DT_bf16}, {"w4a16-g1", SCHEME_w4a16, 1, DT_bf16}};
    for (size_t i = 0; i < COUNT_OF(GOOD); i++) {
        scheme s;
        bool is_auto = true;
        CU_ASSERT_FATAL(scheme_parse(str_of(GOOD[i].name), &s, &is_auto));
        CU_ASSERT(!is_auto && !s.as_stored);
        CU_ASSERT_EQUAL(s.id, GOOD[i].id);
        CU_ASSERT_EQUAL(s.group, GOOD[i].group);
        CU_ASSERT_EQUAL(s.kv_dtype, GOOD[i].kv);
        arena *mem = arena_open();
        text t = {.mem = mem};
        scheme_print(&s, &t);
        CU_ASSERT_STRING_EQUAL(t.buf.at, GOOD[i].name);
        arena_close(mem);
    }
}

static void test_not_names(void) {
    static const char *const BAD[] = {
        "",          "f",        "F32",       "f32 ",      "w4a16",     "w4a16-",
        "w4a16-g",   "w4a16-g0", "w4a16-g-2", "w4a16-g+4", "w4a16-g04", "w4a16-g1x",
        "w4a16g128", "w8a16",    "bf16-g128", "8da4w",     "autox",     "w4a16-g99999999999",
        "w4a16-g-01"};
    for (size_t i = 0; i < COUNT_OF(BAD); i++) {
        scheme s;
        bool is_auto;
        CU_ASSERT_FALSE(scheme_parse(str_of(BAD[i]), &s, &is_auto));
    }
    scheme s;
    bool is_auto = false;
    CU_ASSERT(scheme_parse(STR("auto"), &s, &is_auto) && is_auto);
}

static scheme auto_of(const tiny_phi *p) {
    arena *mem = arena_open();
    diag d = {.mem = mem};
    const scheme s = scheme_auto(tiny_phi_build(p, mem, &d));
    arena_close(mem);
    CU_ASSERT(s.as_stored);
    return s;
}

static void test_auto(void) {
    tiny_phi p = tiny_phi_default();
    CU_ASSERT_EQUAL(auto_of(&p).id, SCHEME_bf16); /* float32 weights */
    p.weight = p.head = DT_bf16;
    CU_ASSERT_EQUAL(auto_of(&p).id, SCHEME_bf16);
    CU_ASSERT_EQUAL(auto_of(&p).kv_dtype, DT_bf16);
    p.weight = DT_f16;
    CU_ASSERT_EQUAL(auto_of(&p).id, SCHEME_f16);
    p.weight = DT_i4;
    p.group = 32;
    CU_ASSERT_EQUAL(auto_of(&p).id, SCHEME_w4a16);
    CU_ASSERT_EQUAL(auto_of(&p).group, 32);
}

static void test_auto_mixed(void) {
    static const char TEXT[] = "%0 = input {role=\"x\"} : f32[T,64]\n"
                               "%1 = weight \"a\" {seed=1} : i4<g32>[8,64]\n"
                               "%2 = weight \"b\" {seed=2} : i4<g16>[64,8]\n"
                               "%3 = dequant %1\n%4 = dequant %2\n"
                               "%5 = matmul %0, %3\n%6 = matmul %5, %4\nreturn %6\n";
    arena *mem = arena_open();
    diag d = {.mem = mem};
    const ir_graph *g = ir_parse(str_of(TEXT), "test", mem, &d);
    CU_ASSERT_PTR_NOT_NULL_FATAL(g);
    const scheme s = scheme_auto(g);
    CU_ASSERT_EQUAL(s.id, SCHEME_w4a16);
    CU_ASSERT_EQUAL(s.group, 0);
    text t = {.mem = mem};
    scheme_print(&s, &t);
    CU_ASSERT_STRING_EQUAL(t.buf.at, "w4a16");
    arena_close(mem);
}

UNIT_MAIN("scheme", {"names parse and print", test_names}, {"what is no name", test_not_names},
          {"auto follows the matrices", test_auto},
          {"auto with several group sizes", test_auto_mixed})
