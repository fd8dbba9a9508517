/* template_tests.c - `x is name`: jinja2's tests.py. */
#include <string.h>

#include "runtime/template_unicode.h"
#include "runtime/template_vm.h"

static tv_fn rt_tplt_odd, rt_tplt_even, rt_tplt_divisibleby, rt_tplt_defined, rt_tplt_undefined,
    rt_tplt_filter, rt_tplt_test, rt_tplt_none, rt_tplt_boolean, rt_tplt_false, rt_tplt_true,
    rt_tplt_integer, rt_tplt_float, rt_tplt_lower, rt_tplt_upper, rt_tplt_string, rt_tplt_mapping,
    rt_tplt_number, rt_tplt_sequence, rt_tplt_iterable, rt_tplt_callable, rt_tplt_sameas,
    rt_tplt_escaped, rt_tplt_in, rt_tplt_eq, rt_tplt_ne, rt_tplt_gt, rt_tplt_ge, rt_tplt_lt,
    rt_tplt_le;

const tv_row tv_tests[] = {
#define TTEST(name, function) {name, rt_tplt_##function},
#include "runtime/template_tests.def"
#undef TTEST
};
const uint32_t tv_n_tests = sizeof tv_tests / sizeof tv_tests[0];

static int64_t find_row(const tv_row *row, uint32_t n, const rt_text *name) {
    for (uint32_t i = 0; i < n; i++)
        if (name->n == strlen(row[i].name) && !memcmp(name->at, row[i].name, name->n)) return i;
    return -1;
}

int64_t tv_find_test(const rt_text *name) { return find_row(tv_tests, tv_n_tests, name); }

static bool no_arguments(tvm *vm, const tv_args *a) {
    return tv_bind(vm, a, "a test", "", 0, NULL);
}

static bool one_argument(tvm *vm, const tv_args *a, rt_value *v) {
    return tv_bind(vm, a, "a test", "other", 1, v);
}

/* A test that only looks at the kind. */
#define KIND_TEST(name, condition)                                                                 \
    static rt_value rt_tplt_##name(tvm *vm, const tv_args *a) {                                    \
        const rt_value v = a->in;                                                                  \
        return no_arguments(vm, a) ? rt_bool(condition) : rt_missing();                            \
    }
KIND_TEST(defined, v.kind != TV_undefined)
KIND_TEST(undefined, v.kind == TV_undefined)
KIND_TEST(none, v.kind == RT_KIND_none)
KIND_TEST(boolean, v.kind == RT_KIND_bool)
KIND_TEST(false, v.kind == RT_KIND_bool && !v.boolean)
KIND_TEST(true, v.kind == RT_KIND_bool && v.boolean)
KIND_TEST(integer, v.kind == RT_KIND_int || v.kind == RT_KIND_big)
KIND_TEST(float, v.kind == RT_KIND_float)
KIND_TEST(string, v.kind == RT_KIND_text)
KIND_TEST(mapping, v.kind == RT_KIND_map)
KIND_TEST(number, rt_is_number(v))
KIND_TEST(sequence, v.kind == RT_KIND_text || v.kind == RT_KIND_list || v.kind == RT_KIND_tuple ||
                        v.kind == RT_KIND_map || v.kind == TV_range || v.kind == TV_undefined)
KIND_TEST(iterable, v.kind == RT_KIND_text || v.kind == RT_KIND_list || v.kind == RT_KIND_tuple ||
                        v.kind == RT_KIND_map || v.kind == TV_range || v.kind == TV_view ||
                        v.kind == TV_iter || v.kind == TV_undefined || v.kind == TV_loop)
KIND_TEST(callable, v.kind == TV_macro || v.kind == TV_method || v.kind == TV_global ||
                        v.kind == TV_joiner || v.kind == TV_loop || v.kind == TV_undefined)
KIND_TEST(escaped, v.kind == RT_KIND_text && v.text->markup)
#undef KIND_TEST

static rt_value rest_is(tvm *vm, rt_value v, int64_t divisor, int64_t rest) {
    if (v.kind == RT_KIND_text)
        return tv_fail(vm, "not all arguments converted during string formatting");
    const rt_value r = tv_arithmetic(vm, RT_TOP_mod, v, rt_int(divisor));
    return vm->failed ? rt_missing() : rt_bool(tv_equal(vm, r, rt_int(rest)));
}

static rt_value rt_tplt_odd(tvm *vm, const tv_args *a) {
    return no_arguments(vm, a) ? rest_is(vm, a->in, 2, 1) : rt_missing();
}
static rt_value rt_tplt_even(tvm *vm, const tv_args *a) {
    return no_arguments(vm, a) ? rest_is(vm, a->in, 2, 0) : rt_missing();
}
static rt_value rt_tplt_divisibleby(tvm *vm, const tv_args *a) {
    rt_value num;
    if (!tv_bind(vm, a, "divisibleby", "num", 1, &num)) return rt_missing();
    const rt_value r = tv_arithmetic(vm, RT_TOP_mod, a->in, num);
    return vm->failed ? rt_missing() : rt_bool(tv_equal(vm, r, rt_int(0)));
}

static bool want_hashable(tvm *vm, rt_value v) {
    if (!tv_hashable(v)) tv_fail(vm, "unhashable type: '%s'", tv_type_name(v));
    return !vm->failed;
}

static rt_value rt_tplt_filter(tvm *vm, const tv_args *a) {
    if (!no_arguments(vm, a) || !want_hashable(vm, a->in)) return rt_missing();
    return rt_bool(a->in.kind == RT_KIND_text && tv_find_filter(a->in.text) >= 0);
}
static rt_value rt_tplt_test(tvm *vm, const tv_args *a) {
    if (!no_arguments(vm, a) || !want_hashable(vm, a->in)) return rt_missing();
    return rt_bool(a->in.kind == RT_KIND_text && tv_find_test(a->in.text) >= 0);
}

/* islower, isupper: a cased character, and none of the other case. */
static rt_value case_is(tvm *vm, const tv_args *a, bool upper) {
    if (!no_arguments(vm, a)) return rt_missing();
    const rt_value v = tv_str(vm, a->in);
    bool cased = false;
    if (vm->failed || !tv_work(vm, v.text->n)) return rt_missing();
    for (size_t i = 0; i < v.text->n;) {
        uint32_t cp;
        i += tv_next_char(v.text, i, &cp);
        if (rt_uni_is_title(cp) || (upper ? rt_uni_is_lower(cp) : rt_uni_is_upper(cp)))
            return rt_bool(false);
        cased |= upper ? rt_uni_is_upper(cp) : rt_uni_is_lower(cp);
    }
    return rt_bool(cased);
}
static rt_value rt_tplt_lower(tvm *vm, const tv_args *a) { return case_is(vm, a, false); }
static rt_value rt_tplt_upper(tvm *vm, const tv_args *a) { return case_is(vm, a, true); }

static rt_value rt_tplt_sameas(tvm *vm, const tv_args *a) {
    rt_value other;
    if (!one_argument(vm, a, &other)) return rt_missing();
    if (a->in.kind != other.kind) return rt_bool(false);
    if (other.kind == RT_KIND_text) return rt_bool(a->in.text == other.text);
    return rt_bool(rt_key_equal(a->in, other));
}

static rt_value rt_tplt_in(tvm *vm, const tv_args *a) {
    rt_value other;
    if (!tv_bind(vm, a, "in", "seq", 1, &other)) return rt_missing();
    const bool in = tv_in(vm, a->in, other);
    return vm->failed ? rt_missing() : rt_bool(in);
}

static rt_value rt_tplt_eq(tvm *vm, const tv_args *a) {
    rt_value other;
    return one_argument(vm, a, &other) ? rt_bool(tv_equal(vm, a->in, other)) : rt_missing();
}
static rt_value rt_tplt_ne(tvm *vm, const tv_args *a) {
    rt_value other;
    return one_argument(vm, a, &other) ? rt_bool(!tv_equal(vm, a->in, other)) : rt_missing();
}

static rt_value order_is(tvm *vm, const tv_args *a, const char *op, int first, int second) {
    rt_value other;
    if (!one_argument(vm, a, &other)) return rt_missing();
    const int c = tv_compare(vm, a->in, other, op);
    return vm->failed ? rt_missing() : rt_bool(c == first || c == second);
}
static rt_value rt_tplt_gt(tvm *vm, const tv_args *a) { return order_is(vm, a, ">", 1, 1); }
static rt_value rt_tplt_ge(tvm *vm, const tv_args *a) { return order_is(vm, a, ">=", 1, 0); }
static rt_value rt_tplt_lt(tvm *vm, const tv_args *a) { return order_is(vm, a, "<", -1, -1); }
static rt_value rt_tplt_le(tvm *vm, const tv_args *a) { return order_is(vm, a, "<=", -1, 0); }
