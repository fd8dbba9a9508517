#include "base/str.h"

#include <locale.h>
#include <math.h>

#include "tests/unit/unit.h"

static void slices_compare(void) {
    CU_ASSERT(str_eq(STR("abc"), str_of("abc")));
    CU_ASSERT(!str_eq(STR("abc"), STR("abd")));
    CU_ASSERT(!str_eq(STR("abc"), STR("ab")));
    CU_ASSERT(str_eq((str){NULL, 0}, STR("")));
    CU_ASSERT(str_is(STR("x"), "x") && !str_is(STR("x"), "xy"));
    CU_ASSERT(str_starts(STR("model.norm"), "model.") && !str_starts(STR("mod"), "model"));
    CU_ASSERT(str_ends(STR("a.weight"), ".weight") && !str_ends(STR("ght"), "weight"));
}

static void integers_are_exact_or_refused(void) {
    static const struct {
        const char *text;
        bool ok;
        int64_t value;
    } CASES[] = {
        {"0", true, 0},
        {"-0", true, 0},
        {"0012", true, 12},
        {"9223372036854775807", true, INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN},
        {"9223372036854775808", false, 0},
        {"-9223372036854775809", false, 0},
        {"99999999999999999999", false, 0},
        {"", false, 0},
        {"-", false, 0},
        {"+1", false, 0},
        {" 1", false, 0},
        {"1 ", false, 0},
        {"1.0", false, 0},
        {"0x1", false, 0},
    };
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        int64_t v = 0;
        CU_ASSERT_EQUAL(str_to_i64(str_of(CASES[i].text), &v), CASES[i].ok);
        CU_ASSERT_EQUAL(v, CASES[i].value);
    }
    int64_t v;
    CU_ASSERT(str_to_i64((str){"123", 2}, &v) && v == 12); /* not past the slice */
}

static void floats_do_not_follow_the_locale(void) {
    setlocale(LC_ALL, "de_DE.UTF-8"); /* may not be installed: then this is the C locale again */
    double v;
    CU_ASSERT(str_to_f64(STR("1.5"), &v) && v == 1.5);
    CU_ASSERT(str_to_f64(STR("-1e-5"), &v) && v == -1e-5);
    CU_ASSERT(!str_to_f64(STR("1,5"), &v));
    CU_ASSERT(!str_to_f64(STR("nan"), &v) && !str_to_f64(STR("inf"), &v));
    CU_ASSERT(!str_to_f64(STR("1e999"), &v) && !str_to_f64(STR("0x10"), &v));
    CU_ASSERT(!str_to_f64(STR(""), &v) && !str_to_f64(STR("1.5 "), &v));
    setlocale(LC_ALL, "C");
}

static void numbers_print_short_and_read_back(void) {
    arena *mem = arena_open();
    static const double VALUES[] = {0,      1,       0.1,    1e-5,
                                    250000, 1.0 / 3, 5e-324, 1.7976931348623157e308};
    for (size_t i = 0; i < COUNT_OF(VALUES); i++) {
        text t = {.mem = mem};
        double back = -1;
        text_f64(&t, VALUES[i]);
        CU_ASSERT(str_to_f64(text_str(&t), &back) && back == VALUES[i]);
        text f = {.mem = mem};
        text_f32(&f, (float)VALUES[i]);
        if (isfinite((float)VALUES[i]))
            CU_ASSERT(str_to_f64(text_str(&f), &back) && (float)back == (float)VALUES[i]);
    }
    text t = {.mem = mem};
    text_f32(&t, 0.1f);
    text_putc(&t, ' ');
    text_f64(&t, -INFINITY);
    text_putc(&t, ' ');
    text_f64(&t, NAN);
    text_printf(&t, " %d %s", 3, "x");
    CU_ASSERT_STRING_EQUAL(t.buf.at, "0.1 -inf nan 3 x");
    CU_ASSERT_EQUAL(text_str(&(text){.mem = mem}).n, 0);
    arena_close(mem);
}

static void vectors_grow_and_keep(void) {
    arena *mem = arena_open();
    vec(int) v = {0};
    for (int i = 0; i < 10000; i++) vec_push(mem, &v, i);
    CU_ASSERT_EQUAL(v.n, 10000);
    for (int i = 0; i < 10000; i++)
        if (v.at[i] != i) CU_FAIL_FATAL("an element changed");
    arena_close(mem);
}

UNIT_MAIN("str", {"slices compare", slices_compare},
          {"integers are exact or refused", integers_are_exact_or_refused},
          {"floats do not follow the locale", floats_do_not_follow_the_locale},
          {"numbers print short and read back", numbers_print_short_and_read_back},
          {"vectors grow and keep", vectors_grow_and_keep})
