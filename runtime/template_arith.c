/* template_arith.c - Python's arithmetic on the renderer's values.  Integers have 64 bits; a result
 * that does not fit is an error. */
#include <math.h>

#include "runtime/template_vm.h"
#include "runtime/value_number.h"

static rt_value overflow(tvm *vm) {
    return tv_fail(vm, "arithmetic beyond 64-bit integers is not supported");
}

static rt_value no_operator(tvm *vm, const char *op, rt_value a, rt_value b) {
    if (a.kind == TV_undefined || b.kind == TV_undefined)
        return tv_undefined_error(vm, a.kind == TV_undefined ? a : b);
    return tv_fail(vm, "unsupported operand type(s) for %s: '%s' and '%s'", op, tv_type_name(a),
                   tv_type_name(b));
}

/* ---- texts and lists ---- */

static rt_value join_texts(tvm *vm, rt_value a, rt_value b) {
    const bool markup = a.text->markup || b.text->markup;
    if (markup) {
        a = tv_escape(vm, a);
        b = tv_escape(vm, b);
        if (vm->failed) return rt_missing();
    }
    if (!markup && !a.text->n) return b;
    if (!markup && !b.text->n) return a;
    tv_text t;
    tv_text_begin(vm, &t);
    tv_add_text(&t, a.text);
    tv_add_text(&t, b.text);
    const rt_value v = tv_text_end(&t);
    if (v.kind == RT_KIND_text) v.text->markup = markup;
    return v;
}

static bool push_all(tvm *vm, rt_value to, const rt_list *from) {
    for (size_t i = 0; i < from->n; i++)
        if (!tv_steps(vm, 1) || !tv_push(vm, to, from->at[i])) return false;
    return true;
}

static rt_value join_lists(tvm *vm, rt_value a, rt_value b) {
    const rt_value l = tv_list(vm);
    if (vm->failed || !push_all(vm, l, a.list) || !push_all(vm, l, b.list)) return rt_missing();
    return (rt_value){.kind = a.kind, .list = l.list};
}

static rt_value repeat(tvm *vm, rt_value v, int64_t times) {
    if (v.kind == RT_KIND_text) {
        tv_text t;
        tv_text_begin(vm, &t);
        if (v.text->n && times > 0 && !tv_text_fits(&t, (uint64_t)times)) return rt_missing();
        if (v.text->n)
            for (int64_t i = 0; i < times && tv_steps(vm, 1); i++) tv_add_text(&t, v.text);
        const rt_value text = tv_text_end(&t);
        if (text.kind == RT_KIND_text) text.text->markup = v.text->markup;
        return text;
    }
    const rt_value l = tv_list(vm);
    if (v.list->n)
        for (int64_t i = 0; i < times && !vm->failed; i++)
            if (!push_all(vm, l, v.list)) return rt_missing();
    return vm->failed ? rt_missing() : (rt_value){.kind = v.kind, .list = l.list};
}

static bool is_sequence(rt_value v) {
    return v.kind == RT_KIND_text || v.kind == RT_KIND_list || v.kind == RT_KIND_tuple;
}

/* ---- integers ---- */

static rt_value int_power(tvm *vm, int64_t a, int64_t b) {
    int64_t v = 1;
    while (b) {
        if ((b & 1) && __builtin_mul_overflow(v, a, &v)) return overflow(vm);
        b >>= 1;
        if (b && __builtin_mul_overflow(a, a, &a)) return overflow(vm);
    }
    return rt_int(v);
}

static rt_value int_floor(tvm *vm, int64_t a, int64_t b, bool want_rest) {
    if (b == 0) return tv_fail(vm, "integer division or modulo by zero");
    if (b == -1) { /* the one quotient that may overflow */
        int64_t q;
        if (want_rest) return rt_int(0);
        return __builtin_sub_overflow((int64_t)0, a, &q) ? overflow(vm) : rt_int(q);
    }
    int64_t q = a / b, rest = a % b;
    if (rest && (rest < 0) != (b < 0)) {
        q--;
        rest += b;
    }
    return rt_int(want_rest ? rest : q);
}

static rt_value int_arithmetic(tvm *vm, rt_tpl_op op, int64_t a, int64_t b) {
    int64_t v;
    bool bad;
    switch (op) {
    case RT_TOP_add:
        bad = __builtin_add_overflow(a, b, &v);
        break;
    case RT_TOP_sub:
        bad = __builtin_sub_overflow(a, b, &v);
        break;
    case RT_TOP_mul:
        bad = __builtin_mul_overflow(a, b, &v);
        break;
    case RT_TOP_floordiv:
        return int_floor(vm, a, b, false);
    default:
        return int_floor(vm, a, b, true);
    }
    return bad ? overflow(vm) : rt_int(v);
}

/* ---- doubles ---- */

/* Python's divmod: the quotient is a whole number, the rest has the divisor's sign. */
static rt_value real_floor(tvm *vm, double a, double b, bool want_rest) {
    if (b == 0) return tv_fail(vm, want_rest ? "float modulo" : "float floor division by zero");
    double rest = fmod(a, b), q = (a - rest) / b;
    if (rest != 0) {
        if ((b < 0) != (rest < 0)) {
            rest += b;
            q -= 1;
        }
    } else {
        rest = copysign(0, b);
    }
    if (want_rest) return rt_float(rest);
    if (q == 0) return rt_float(copysign(0, a / b));
    const double whole = floor(q);
    return rt_float(q - whole > 0.5 ? whole + 1 : whole);
}

static rt_value real_power(tvm *vm, double a, double b) {
    if (a == 0 && b < 0) return tv_fail(vm, "0.0 cannot be raised to a negative power");
    const double v = pow(a, b);
    if (isnan(v) && !isnan(a) && !isnan(b)) return tv_fail(vm, "the power is a complex number");
    if (isinf(v) && !isinf(a) && !isinf(b)) return tv_fail(vm, "the power is too large");
    return rt_float(v);
}

static rt_value real_arithmetic(tvm *vm, rt_tpl_op op, double a, double b) {
    switch (op) {
    case RT_TOP_add:
        return rt_float(a + b);
    case RT_TOP_sub:
        return rt_float(a - b);
    case RT_TOP_mul:
        return rt_float(a * b);
    case RT_TOP_div:
        return b == 0 ? tv_fail(vm, "division by zero") : rt_float(a / b);
    case RT_TOP_pow:
        return real_power(vm, a, b);
    default:
        return real_floor(vm, a, b, op == RT_TOP_mod);
    }
}

static double to_real(rt_value v) {
    double d = v.kind == RT_KIND_float ? v.real : 0;
    if (v.kind == RT_KIND_big) (void)rt_number_parse(v.text->at, v.text->n, &d);
    return tv_is_integer(v) ? (double)tv_integer(v) : d;
}

/* ---- operators ---- */

rt_value tv_add_values(tvm *vm, rt_value a, rt_value b) {
    if (a.kind == RT_KIND_text && b.kind == RT_KIND_text) return join_texts(vm, a, b);
    if (a.kind == b.kind && is_sequence(a)) return join_lists(vm, a, b);
    if (is_sequence(a) && b.kind != TV_undefined)
        return tv_fail(vm, "can only concatenate %s (not \"%s\") to %s", tv_type_name(a),
                       tv_type_name(b), tv_type_name(a));
    return tv_arithmetic(vm, RT_TOP_add, a, b);
}

rt_value tv_arithmetic(tvm *vm, rt_tpl_op op, rt_value a, rt_value b) {
    static const char *const SIGN[] = {
        [RT_TOP_add] = "+",          [RT_TOP_sub] = "-",       [RT_TOP_mul] = "*",
        [RT_TOP_div] = "/",          [RT_TOP_floordiv] = "//", [RT_TOP_mod] = "%",
        [RT_TOP_pow] = "** or pow()"};
    if (op == RT_TOP_mod && a.kind == RT_KIND_text) return tv_format_percent(vm, a.text, b);
    if (op == RT_TOP_mul && is_sequence(a) && tv_is_integer(b)) return repeat(vm, a, tv_integer(b));
    if (op == RT_TOP_mul && is_sequence(b) && tv_is_integer(a)) return repeat(vm, b, tv_integer(a));
    if (!rt_is_number(a) || !rt_is_number(b)) return no_operator(vm, SIGN[op], a, b);
    if (a.kind == RT_KIND_float || b.kind == RT_KIND_float)
        return real_arithmetic(vm, op, to_real(a), to_real(b));
    if (a.kind == RT_KIND_big || b.kind == RT_KIND_big) return overflow(vm);
    const int64_t x = tv_integer(a), y = tv_integer(b);
    if (op == RT_TOP_div || (op == RT_TOP_pow && y < 0))
        return real_arithmetic(vm, op, (double)x, (double)y);
    return op == RT_TOP_pow ? int_power(vm, x, y) : int_arithmetic(vm, op, x, y);
}

static rt_value negate_big(tvm *vm, rt_value v) {
    if (v.text->at[0] == '-') return rt_integer_new(&vm->r, v.text->at + 1, v.text->n - 1);
    tv_text b;
    tv_text_begin(vm, &b);
    tv_add(&b, "-");
    tv_add_text(&b, v.text);
    v = tv_text_end(&b);
    if (v.kind != RT_KIND_text) return v;
    v = rt_integer_new(&vm->r, v.text->at, v.text->n);
    return v.kind == RT_KIND_missing ? tv_no_memory(vm) : v;
}

rt_value tv_unary(tvm *vm, rt_tpl_op op, rt_value v) {
    if (v.kind == TV_undefined) return tv_undefined_error(vm, v);
    if (v.kind == RT_KIND_float) return rt_float(op == RT_TOP_neg ? -v.real : v.real);
    if (v.kind == RT_KIND_big) return op == RT_TOP_neg ? negate_big(vm, v) : v;
    if (!tv_is_integer(v))
        return tv_fail(vm, "bad operand type for unary %s: '%s'", op == RT_TOP_neg ? "-" : "+",
                       tv_type_name(v));
    int64_t i = tv_integer(v);
    if (op == RT_TOP_neg && __builtin_sub_overflow((int64_t)0, i, &i))
        return rt_integer_new(&vm->r, "9223372036854775808", 19);
    return rt_int(i);
}
