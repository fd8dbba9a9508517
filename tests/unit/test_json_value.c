/* test_json_value.c - the runtime's JSON reader, its values, and numbers as text (against libc, in
 * the C locale). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/json_value.h"
#include "runtime/value_number.h"
#include "tests/unit/unit.h"

typedef struct counted {
    long calls, fail_at, live;
} counted;

static void *get(void *ctx, size_t n) {
    counted *c = ctx;
    if (++c->calls == c->fail_at) return NULL;
    c->live++;
    return malloc(n);
}
static void put(void *ctx, void *p) {
    counted *c = ctx;
    c->live--;
    free(p);
}

/* ---- reading ---- */

static rt_value read_ok(rt_region *r, const char *s) {
    rt_value v = rt_missing();
    rt_json_error e = {0};
    const bool ok = rt_json_parse(r, s, strlen(s), &v, &e);
    CU_ASSERT(ok);
    if (!ok) printf("  %s: %s at %zu\n", s, e.what, e.offset);
    return v;
}

static bool text_is(rt_value v, const char *want) {
    return v.kind == RT_KIND_text && v.text->n == strlen(want) &&
           memcmp(v.text->at, want, v.text->n) == 0;
}

static void values_are_read(void) {
    counted count = {0};
    const rt_alloc mem = {get, put, &count};
    rt_region r;
    rt_region_init(&r, &mem, RT_NO_LIMIT);
    CU_ASSERT(read_ok(&r, " null ").kind == RT_KIND_none);
    CU_ASSERT(read_ok(&r, "true").boolean && !read_ok(&r, "false").boolean);
    CU_ASSERT(read_ok(&r, "-0").kind == RT_KIND_int && read_ok(&r, "-0").integer == 0);
    CU_ASSERT(read_ok(&r, "9223372036854775807").integer == INT64_MAX);
    CU_ASSERT(read_ok(&r, "-9223372036854775808").integer == INT64_MIN);
    const rt_value big = read_ok(&r, "-9223372036854775809");
    CU_ASSERT(big.kind == RT_KIND_big && big.text->n == 20 && big.text->at[0] == '-');
    CU_ASSERT(read_ok(&r, "1.5e3").real == 1500 && read_ok(&r, "1E2").kind == RT_KIND_float);
    CU_ASSERT(text_is(read_ok(&r, "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), "\"\\/\b\f\n\r\t"));
    CU_ASSERT(text_is(read_ok(&r, "\"\\u00e9\\u4f60\\ud83d\\ude42x\""),
                      "\xc3\xa9\xe4\xbd\xa0\xf0\x9f\x99\x82x"));
    const rt_value nul = read_ok(&r, "\"a\\u0000b\"");
    CU_ASSERT(nul.text->n == 3 && nul.text->at[1] == 0 && nul.text->taint == RT_FROM_CALLER);
    const rt_value m = read_ok(&r, "{\"b\": [1, {\"c\": []}], \"a\" : {} }");
    CU_ASSERT_FATAL(m.kind == RT_KIND_map && m.map->n == 2);
    CU_ASSERT(text_is(m.map->keys[0], "b") && text_is(m.map->keys[1], "a"));
    CU_ASSERT(rt_value_depth(m) == 4 && rt_map_find_name(m.map, "a") == 1);
    CU_ASSERT(rt_map_find_name(m.map, "c") == -1);
    rt_region_free(&r);
    CU_ASSERT_EQUAL(count.live, 0);
}

static void bad_text_is_refused(void) {
    static const struct {
        const char *text, *what;
        size_t offset;
    } CASES[] = {
        {"", "the text ends", 0},
        {"{\"a\":1", "expected ','", 6},
        {"[1,]", "expected a value", 3},
        {"[1 2]", "expected ','", 3},
        {"{a:1}", "expected a key", 1},
        {"{\"a\" 1}", "expected ':'", 5},
        {"{\"a\":1,\"b\":2,\"a\":3}", "a key that was there before", 13},
        {"nul", "expected a value", 0},
        {"nulls", "behind the value", 4},
        {"1 2", "behind the value", 2},
        {"01", "starts with 0", 2},
        {"-", "expected a digit", 1},
        {"1.", "expected a digit", 2},
        {"1e+", "expected a digit", 3},
        {"1e400", "too large", 5},
        {"+1", "expected a value", 0},
        {"NaN", "expected a value", 0},
        {"\"abc", "without end", 1},
        {"\"\\", "without end", 1},
        {"\"\\x\"", "unknown escape", 2},
        {"\"\\u12g4\"", "four hexadecimal", 3},
        {"\"\\ud800\"", "surrogate", 7},
        {"\"\\udc00\"", "surrogate", 7},
        {"\"\\ud800\\u0041\"", "surrogate", 13},
        {"\"a\tb\"", "control character", 2},
        {"\"\xff\"", "no UTF-8", 1},
        {"\"\xed\xa0\x80\"", "no UTF-8", 1},
        {"\xef\xbb\xbf{}", "expected a value", 0},
        {"[\"a\": 1]", "expected ','", 4},
        {"// x", "expected a value", 0},
    };
    counted count = {0};
    const rt_alloc mem = {get, put, &count};
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        rt_region r;
        rt_value v;
        rt_json_error e = {0};
        rt_region_init(&r, &mem, RT_NO_LIMIT);
        const bool ok = rt_json_parse(&r, CASES[i].text, strlen(CASES[i].text), &v, &e);
        CU_ASSERT(!ok);
        const bool right =
            !ok && e.what && strstr(e.what, CASES[i].what) && e.offset == CASES[i].offset;
        CU_ASSERT(right);
        if (!right) printf("  %s: %s at %zu\n", CASES[i].text, ok ? "read" : e.what, e.offset);
        rt_region_free(&r);
    }
    CU_ASSERT_EQUAL(count.live, 0);
}

static void nesting_is_bounded(void) {
    char text[2 * RT_JSON_DEPTH + 8];
    counted count = {0};
    const rt_alloc mem = {get, put, &count};
    for (int depth = RT_JSON_DEPTH; depth <= RT_JSON_DEPTH + 1; depth++) {
        rt_region r;
        rt_value v;
        rt_json_error e = {0};
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        rt_region_init(&r, &mem, RT_NO_LIMIT);
        CU_ASSERT_EQUAL(rt_json_parse(&r, text, 2 * (size_t)depth, &v, &e), depth == RT_JSON_DEPTH);
        if (depth > RT_JSON_DEPTH)
            CU_ASSERT(e.what && strstr(e.what, "too deeply") && e.offset == 64);
        rt_region_free(&r);
    }
}

static void every_allocation_may_fail(void) {
    static const char TEXT[] = "{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}, 1.5, "
                               "123456789012345678901234567890, [[], {}]]}";
    counted count = {0};
    const rt_alloc mem = {get, put, &count};
    bool ok = false;
    int n_failed = 0;
    for (long n = 1; !ok; n++) {
        rt_region r;
        rt_value v;
        rt_json_error e = {.what = "?"};
        count = (counted){.fail_at = n};
        rt_region_init(&r, &mem, RT_NO_LIMIT);
        ok = rt_json_parse(&r, TEXT, sizeof TEXT - 1, &v, &e);
        if (!ok) CU_ASSERT(e.what == NULL && r.state == RT_REGION_no_memory);
        n_failed += !ok;
        rt_region_free(&r);
        CU_ASSERT_EQUAL(count.live, 0);
    }
    CU_ASSERT(n_failed >= 1);
    /* and where the region has a limit */
    rt_region r;
    rt_value v;
    rt_json_error e = {.what = "?"};
    count = (counted){0};
    rt_region_init(&r, &mem, 64);
    CU_ASSERT(!rt_json_parse(&r, TEXT, sizeof TEXT - 1, &v, &e));
    CU_ASSERT(e.what == NULL && r.state == RT_REGION_limit);
    rt_region_free(&r);
    CU_ASSERT_EQUAL(count.live, 0);
}

/* ---- values ---- */

static void maps_keep_order(void) {
    counted count = {0};
    const rt_alloc mem = {get, put, &count};
    rt_region r;
    rt_region_init(&r, &mem, RT_NO_LIMIT);
    const rt_value m = rt_map_new(&r);
    for (int i = 0; i < 5000; i++) {
        char key[16];
        const int n = snprintf(key, sizeof key, "k%d", i * 7919 % 5000);
        CU_ASSERT(rt_map_set(&r, m, rt_text_new(&r, key, (size_t)n, RT_FROM_CALLER), rt_int(i)));
    }
    CU_ASSERT_EQUAL(m.map->n, 5000);
    CU_ASSERT(text_is(m.map->keys[1], "k2919") && m.map->values[4999].integer == 4999);
    CU_ASSERT(rt_map_put(&r, m, "k0", rt_none()) && m.map->n == 5000 &&
              m.map->values[0].kind == RT_KIND_none);
    CU_ASSERT_EQUAL(rt_map_find_name(m.map, "k2919"), 1);
    CU_ASSERT_EQUAL(rt_map_find_name(m.map, "k5000"), -1);
    /* Python's keys: 1, 1.0 and true are one; a text is another */
    const rt_value n = rt_map_new(&r);
    CU_ASSERT(rt_map_set(&r, n, rt_int(1), rt_none()) && rt_map_set(&r, n, rt_float(1), rt_none()));
    CU_ASSERT(rt_map_set(&r, n, rt_bool(true), rt_none()) && n.map->n == 1);
    CU_ASSERT(rt_map_put(&r, n, "1", rt_none()) && n.map->n == 2);
    const rt_value big = rt_integer_new(&r, "100000000000000000000", 21);
    CU_ASSERT(rt_map_set(&r, n, big, rt_none()) && rt_map_find(n.map, rt_float(1e20)) == 2);
    rt_region_free(&r);
    CU_ASSERT_EQUAL(count.live, 0);
}

static void values_have_limits(void) {
    counted count = {0};
    const rt_alloc mem = {get, put, &count};
    rt_region r;
    rt_region_init(&r, &mem, RT_NO_LIMIT);
    rt_value v = rt_int(1);
    for (int i = 0; i < RT_VALUE_DEPTH; i++) {
        const rt_value l = rt_list_new(&r);
        CU_ASSERT(rt_list_add(&r, l, v));
        v = l;
    }
    CU_ASSERT(!rt_list_add(&r, rt_list_new(&r), v));
    CU_ASSERT(!rt_map_put(&r, rt_map_new(&r), "a", v));
    CU_ASSERT(!rt_list_add(&r, rt_list_new(&r), rt_missing()));
    CU_ASSERT(rt_text_new(&r, "\xc3", 1, RT_FROM_CALLER).kind == RT_KIND_missing);
    CU_ASSERT(r.state == RT_REGION_ok);
    CU_ASSERT(rt_region_array(&r, SIZE_MAX / 2, 16) == NULL && r.state != RT_REGION_ok);
    CU_ASSERT(rt_region_get(&r, 1) == NULL); /* sticky */
    rt_region_free(&r);
    CU_ASSERT_EQUAL(count.live, 0);
}

static void numbers_compare_exactly(void) {
    counted count = {0};
    const rt_alloc mem = {get, put, &count};
    rt_region r;
    rt_region_init(&r, &mem, RT_NO_LIMIT);
    const rt_value big = rt_integer_new(&r, "9223372036854775808", 19);
    const rt_value low = rt_integer_new(&r, "-9223372036854775809", 20);
    CU_ASSERT_EQUAL(rt_number_compare(rt_int(INT64_MAX), rt_float(0x1p63)), -1);
    CU_ASSERT_EQUAL(rt_number_compare(rt_int(9007199254740993), rt_float(9007199254740992.0)), 1);
    CU_ASSERT_EQUAL(rt_number_compare(rt_float(2.5), rt_int(2)), 1);
    CU_ASSERT_EQUAL(rt_number_compare(rt_float(-2.5), rt_int(-2)), -1);
    CU_ASSERT_EQUAL(rt_number_compare(rt_bool(true), rt_int(1)), 0);
    CU_ASSERT_EQUAL(rt_number_compare(rt_float(NAN), rt_int(1)), 2);
    CU_ASSERT_EQUAL(rt_number_compare(rt_float(NAN), rt_float(NAN)), 2);
    CU_ASSERT_EQUAL(rt_number_compare(big, rt_int(INT64_MAX)), 1);
    CU_ASSERT_EQUAL(rt_number_compare(low, rt_int(INT64_MIN)), -1);
    CU_ASSERT_EQUAL(rt_number_compare(low, big), -1);
    CU_ASSERT_EQUAL(rt_number_compare(big, rt_float(0x1p63)), 0);
    CU_ASSERT_EQUAL(rt_number_compare(big, rt_float(INFINITY)), -1);
    rt_region_free(&r);
}

/* ---- numbers as text ---- */

static uint64_t state = 88172645463325252u;
static uint64_t next_random(void) {
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

static double from_bits(uint64_t b) {
    double d;
    memcpy(&d, &b, sizeof d);
    return d;
}

static bool same_bits(double a, double b) { return memcmp(&a, &b, sizeof a) == 0; }

static void check_number(double v) {
    char out[RT_NUMBER_TEXT_BYTES + 1], want[RT_NUMBER_TEXT_BYTES + 1];
    double back = 0;
    size_t n = rt_number_repr(v, out);
    out[n] = 0;
    bool ok =
        rt_number_parse(out, n, &back) && same_bits(back, v) && same_bits(strtod(out, NULL), v);
    /* no shorter text reads back as v */
    int digits = 0;
    for (size_t i = 0; i < n && out[i] != 'e'; i++) digits += out[i] >= '0' && out[i] <= '9';
    for (int p = 1; p < 17; p++) {
        snprintf(want, sizeof want, "%.*e", p - 1, v);
        if (!same_bits(strtod(want, NULL), v)) continue;
        ok =
            ok && (digits <= p || out[n - 1] == '0' || fabs(v) < 1); /* zeros around do not count */
        break;
    }
    CU_ASSERT(ok);
    if (!ok) printf("  %s %a\n", out, v);
    out[rt_number_fixed(v, 3, out)] = 0;
    snprintf(want, sizeof want, "%.3f", v);
    CU_ASSERT_STRING_EQUAL(out, want);
    out[rt_number_scientific(v, 8, out)] = 0;
    snprintf(want, sizeof want, "%.8e", v);
    CU_ASSERT_STRING_EQUAL(out, want);
    out[rt_number_general(v, 6, false, out)] = 0;
    snprintf(want, sizeof want, "%.6g", v);
    CU_ASSERT_STRING_EQUAL(out, want);
}

static void numbers_print_as_libc_and_python(void) {
    static const struct {
        double v;
        const char *repr; /* of Python */
    } REPR[] = {
        {0, "0.0"},
        {-0.0, "-0.0"},
        {1, "1.0"},
        {0.1, "0.1"},
        {1e16, "1e+16"},
        {1e15, "1000000000000000.0"},
        {1e-4, "0.0001"},
        {1e-5, "1e-05"},
        {0.1 + 0.2, "0.30000000000000004"},
        {1e22, "1e+22"},
        {5e-324, "5e-324"},
        {0x1p-44, "5.684341886080802e-14"},
        {INFINITY, "inf"},
        {-INFINITY, "-inf"},
        {NAN, "nan"},
        {1.7976931348623157e308, "1.7976931348623157e+308"},
        {123456789012345680.0, "1.2345678901234568e+17"},
        {9007199254740993.0, "9007199254740992.0"},
    };
    char out[RT_NUMBER_REPR_BYTES + 1];
    for (size_t i = 0; i < COUNT_OF(REPR); i++) {
        out[rt_number_repr(REPR[i].v, out)] = 0;
        CU_ASSERT_STRING_EQUAL(out, REPR[i].repr);
    }
    for (int i = 0; i < 3000; i++) {
        const double v = from_bits(next_random());
        if (v == v && fabs(v) <= 1.7976931348623157e308) check_number(v);
        check_number((double)(int64_t)(next_random() % 2000000) / 1000 - 1000);
    }
    for (int e = -1074; e < 1024; e += 3) check_number(ldexp(1, e));
}

static void numbers_read_as_libc(void) {
    static const char *const NO[] = {"",    ".",  "-",  "e5",   "1e",  "1e+", "0x1",
                                     "1_0", " 1", "1 ", "1..2", "inf", "nan", "1,5"};
    double v;
    for (size_t i = 0; i < COUNT_OF(NO); i++) CU_ASSERT(!rt_number_parse(NO[i], strlen(NO[i]), &v));
    char text[900];
    for (int i = 0; i < 4000; i++) {
        const int n = 1 + (int)(next_random() % 40), point = (int)(next_random() % 60);
        int w = 0;
        for (int k = 0; k < n; k++) {
            if (k == point) text[w++] = '.';
            text[w++] = (char)('0' + next_random() % 10);
        }
        if (next_random() % 2) w += snprintf(text + w, 8, "e%d", (int)(next_random() % 660) - 330);
        text[w] = 0;
        CU_ASSERT(rt_number_parse(text, (size_t)w, &v) && same_bits(v, strtod(text, NULL)));
    }
    for (int i = 0; i < 500; i++) { /* halfway between two doubles, and just above */
        const uint64_t bits = next_random() % ((uint64_t)0x7fe << 52);
        const double a = from_bits(bits), b = from_bits(bits + 1);
        const int w = snprintf(text, sizeof text, "%.780Le", ((long double)a + (long double)b) / 2);
        CU_ASSERT(rt_number_parse(text, (size_t)w, &v) && same_bits(v, strtod(text, NULL)));
        char *e = strchr(text, 'e');
        e[-1] = '1';
        CU_ASSERT(rt_number_parse(text, (size_t)w, &v) && same_bits(v, strtod(text, NULL)));
    }
}

static void numbers_round_as_written(void) {
    CU_ASSERT(rt_number_round(2.675, 2) == 2.67); /* 2.67499999... */
    CU_ASSERT(rt_number_round(0.5, 0) == 0 && rt_number_round(1.5, 0) == 2 &&
              rt_number_round(2.5, 0) == 2);
    CU_ASSERT(rt_number_round(-1234.5, -2) == -1200 && rt_number_round(150, -2) == 200);
    CU_ASSERT(same_bits(rt_number_round(-0.4, 0), -0.0) && rt_number_round(1e300, 5) == 1e300);
    CU_ASSERT(rt_number_round(INFINITY, 1) == INFINITY && rt_number_round(5, -400) == 0);
}

UNIT_MAIN("json_value", {"values are read", values_are_read},
          {"bad text is refused where it is bad", bad_text_is_refused},
          {"nesting is bounded", nesting_is_bounded},
          {"every allocation may fail", every_allocation_may_fail},
          {"maps keep their order and find their keys", maps_keep_order},
          {"values have limits", values_have_limits},
          {"numbers compare exactly", numbers_compare_exactly},
          {"numbers print as in libc and Python", numbers_print_as_libc_and_python},
          {"numbers are read as by libc", numbers_read_as_libc},
          {"numbers round as they are written", numbers_round_as_written})
