/* template_filters.c - filters of single values: jinja2's filters.py. */
#include <math.h>
#include <string.h>

#include "runtime/template_unicode.h"
#include "runtime/template_vm.h"
#include "runtime/value_number.h"

const tv_row tv_filters[RT_TFILTER_COUNT] = {
#define TFILTER(name, function) {#name, rt_tplf_##function},
#include "runtime/template_filters.def"
#undef TFILTER
};

int64_t tv_find_filter(const rt_text *name) {
    for (uint32_t i = 0; i < RT_TFILTER_COUNT; i++)
        if (name->n == strlen(tv_filters[i].name) && !memcmp(name->at, tv_filters[i].name, name->n))
            return i;
    return -1;
}

/* str(in), markup kept, of a filter without arguments. */
static rt_value only_text(tvm *vm, const tv_args *a, const char *what) {
    return tv_bind(vm, a, what, "", 0, NULL) ? tv_str(vm, a->in) : rt_missing();
}

static rt_value convert(tvm *vm, const tv_args *a, const char *what, tv_case to) {
    const rt_value v = only_text(vm, a, what);
    return vm->failed ? rt_missing() : tv_convert(vm, v.text, to);
}
rt_value rt_tplf_upper(tvm *vm, const tv_args *a) { return convert(vm, a, "upper", TV_UPPER); }
rt_value rt_tplf_lower(tvm *vm, const tv_args *a) { return convert(vm, a, "lower", TV_LOWER); }
rt_value rt_tplf_title(tvm *vm, const tv_args *a) { return convert(vm, a, "title", TV_WORD_TITLE); }
rt_value rt_tplf_capitalize(tvm *vm, const tv_args *a) {
    return convert(vm, a, "capitalize", TV_CAPITALIZE);
}

rt_value rt_tplf_string(tvm *vm, const tv_args *a) { return only_text(vm, a, "string"); }

rt_value rt_tplf_safe(tvm *vm, const tv_args *a) {
    const rt_value v = only_text(vm, a, "safe");
    if (vm->failed) return rt_missing();
    rt_value out = tv_part(vm, v.text, 0, v.text->n);
    if (out.kind == RT_KIND_text) out.text->markup = 1;
    return out;
}

rt_value rt_tplf_escape(tvm *vm, const tv_args *a) {
    return tv_bind(vm, a, "escape", "", 0, NULL) ? tv_escape(vm, a->in) : rt_missing();
}
rt_value rt_tplf_forceescape(tvm *vm, const tv_args *a) {
    if (!tv_bind(vm, a, "forceescape", "", 0, NULL)) return rt_missing();
    return tv_escape(vm, tv_plain(vm, a->in));
}

rt_value rt_tplf_trim(tvm *vm, const tv_args *a) {
    rt_value chars;
    if (!tv_bind(vm, a, "trim", "chars", 0, &chars)) return rt_missing();
    const rt_value v = tv_str(vm, a->in);
    return vm->failed ? rt_missing() : tv_strip(vm, v.text, chars, true, true);
}

/* An integer argument; `other` where it was not given. */
static bool int_argument(tvm *vm, rt_value v, int64_t other, int64_t *out) {
    *out = other;
    if (v.kind == RT_KIND_missing) return true;
    if (v.kind == TV_undefined) return tv_undefined_error(vm, v).kind != RT_KIND_missing;
    if (!tv_is_integer(v)) {
        tv_fail(vm, "'%s' object cannot be interpreted as an integer", tv_type_name(v));
        return false;
    }
    *out = tv_integer(v);
    return true;
}

rt_value rt_tplf_replace(tvm *vm, const tv_args *a) {
    rt_value v[3];
    int64_t count;
    if (!tv_bind(vm, a, "replace", "old new count", 2, v)) return rt_missing();
    if (v[2].kind == RT_KIND_none) v[2] = rt_missing();
    if (!int_argument(vm, v[2], -1, &count)) return rt_missing();
    const rt_value s = tv_plain(vm, a->in), old = tv_plain(vm, v[0]), by = tv_plain(vm, v[1]);
    return vm->failed ? rt_missing() : tv_replace(vm, s.text, old.text, by.text, count);
}

rt_value rt_tplf_center(tvm *vm, const tv_args *a) {
    rt_value width;
    int64_t w;
    if (!tv_bind(vm, a, "center", "width", 0, &width) || !int_argument(vm, width, 80, &w))
        return rt_missing();
    const rt_value v = tv_str(vm, a->in);
    return vm->failed ? rt_missing() : tv_center(vm, v.text, w, NULL);
}

rt_value rt_tplf_format(tvm *vm, const tv_args *a) {
    const rt_value v = tv_str(vm, a->in);
    if (vm->failed) return rt_missing();
    if (a->n_pos && a->n_named)
        return tv_fail(vm, "can't handle positional and keyword arguments at the same time");
    rt_value args = a->n_named ? tv_map(vm) : tv_list(vm);
    for (uint32_t k = 0; k < a->n_named; k++)
        if (!tv_set(vm, args, a->named[2 * k], a->named[2 * k + 1])) return rt_missing();
    for (uint32_t k = 0; k < a->n_pos; k++)
        if (!tv_push(vm, args, a->pos[k])) return rt_missing();
    if (!a->n_named) args.kind = RT_KIND_tuple;
    return vm->failed ? rt_missing() : tv_format_percent(vm, v.text, args);
}

rt_value rt_tplf_indent(tvm *vm, const tv_args *a) {
    rt_value v[3];
    int64_t width = 4;
    if (!tv_bind(vm, a, "indent", "width first blank", 0, v)) return rt_missing();
    if (a->in.kind == TV_undefined) return tv_undefined_error(vm, a->in);
    if (a->in.kind != RT_KIND_text)
        return tv_fail(vm, "indent wants a text, not %s", tv_type_name(a->in));
    rt_text spaces = {.at = " ", .n = 1};
    const rt_value by = v[0].kind == RT_KIND_text ? v[0] : tv_literal(&spaces);
    if (v[0].kind != RT_KIND_text && !int_argument(vm, v[0], 4, &width)) return rt_missing();
    const int64_t times = v[0].kind == RT_KIND_text ? 1 : width;
    const bool first = tv_truth(vm, v[1]), blank = tv_truth(vm, v[2]);
    const rt_value lines = tv_lines(vm, a->in.text, false);
    tv_text b;
    tv_text_begin(vm, &b);
    if (vm->failed) return rt_missing();
    /* a newline is appended before the lines are split, so a text that ends with one keeps it, and
     * an empty text is one line */
    size_t n = lines.list->n;
    uint32_t cp = 0;
    bool ends = a->in.text->n == 0;
    for (size_t i = 0; i < a->in.text->n;) i += tv_next_char(a->in.text, i, &cp);
    ends |= rt_uni_is_line_end(cp) && cp != '\r'; /* \r and the newline are one line end */
    for (size_t i = 0; i < n + ends; i++) {
        const rt_text *line = i < n ? lines.list->at[i].text : NULL;
        const bool filled = line && line->n;
        if (i) tv_add(&b, "\n");
        if (i ? blank || filled : first)
            for (int64_t k = 0; k < times && tv_work(vm, 1); k++) tv_add_text(&b, by.text);
        if (line) tv_add_text(&b, line);
    }
    rt_value out = tv_text_end(&b);
    if (out.kind == RT_KIND_text) out.text->markup = a->in.text->markup;
    return out;
}

/* The text up to its last space. */
static rt_value drop_last_word(tvm *vm, rt_value v) {
    for (size_t i = v.text->n; i-- > 0;)
        if (v.text->at[i] == ' ') return tv_part(vm, v.text, 0, i);
    return v;
}

rt_value rt_tplf_truncate(tvm *vm, const tv_args *a) {
    rt_value v[4];
    int64_t length, leeway;
    if (!tv_bind(vm, a, "truncate", "length killwords end leeway", 0, v)) return rt_missing();
    if (v[3].kind == RT_KIND_none) v[3] = rt_missing();
    if (!int_argument(vm, v[0], 255, &length) || !int_argument(vm, v[3], 5, &leeway))
        return rt_missing();
    const rt_value end = v[2].kind == RT_KIND_missing ? tv_text_of(vm, "...") : v[2];
    int64_t n;
    if (end.kind != RT_KIND_text) return tv_fail(vm, "truncate: the end is no text");
    const int64_t n_end = tv_chars(vm, end.text);
    if (length < n_end || leeway < 0) return tv_fail(vm, "truncate: the length is too small");
    if (leeway > INT64_MAX - length) leeway = INT64_MAX - length;
    if (!tv_length(vm, a->in, &n)) return rt_missing();
    if (n <= length + leeway) return a->in;
    if (a->in.kind != RT_KIND_text) return tv_fail(vm, "truncate wants a text");
    rt_value cut = tv_part(vm, a->in.text, 0, tv_offset(vm, a->in.text, length - n_end));
    if (!vm->failed && !tv_truth(vm, v[1])) cut = drop_last_word(vm, cut);
    return vm->failed ? rt_missing() : tv_add_values(vm, cut, end);
}

rt_value rt_tplf_wordcount(tvm *vm, const tv_args *a) {
    const rt_value v = only_text(vm, a, "wordcount");
    int64_t n = 0;
    bool inside = false;
    if (vm->failed || !tv_work(vm, v.text->n)) return rt_missing();
    for (size_t i = 0; i < v.text->n;) {
        uint32_t cp;
        i += tv_next_char(v.text, i, &cp);
        const bool word = cp == '_' || rt_uni_is_alpha(cp) || rt_uni_is_numeric(cp);
        n += word && !inside;
        inside = word;
    }
    return rt_int(n);
}

static void add_quoted(tv_text *b, const rt_text *t, bool query) {
    static const char HEX[] = "0123456789ABCDEF";
    for (size_t i = 0; i < t->n && !b->vm->failed; i++) {
        const uint8_t c = (uint8_t)t->at[i], taint = tv_taint(t, i);
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                           (c >= '0' && c <= '9') || (c && strchr("_.-~", c)) ||
                           (c == '/' && !query);
        const char out[3] = {'%', HEX[c >> 4], HEX[c & 15]};
        if (plain) tv_add_part(b, t, i, i + 1);
        else if (c == ' ' && query) tv_add_bytes(b, "+", 1, taint);
        else tv_add_bytes(b, out, 3, taint);
    }
}

static void add_query_part(tvm *vm, tv_text *b, rt_value v) {
    v = tv_plain(vm, v);
    if (!vm->failed) add_quoted(b, v.text, true);
}

rt_value rt_tplf_urlencode(tvm *vm, const tv_args *a) {
    if (!tv_bind(vm, a, "urlencode", "", 0, NULL)) return rt_missing();
    tv_text b;
    tv_text_begin(vm, &b);
    rt_value in = a->in;
    const bool many = in.kind == RT_KIND_map || in.kind == RT_KIND_list ||
                      in.kind == RT_KIND_tuple || in.kind == TV_iter || in.kind == TV_view ||
                      in.kind == TV_undefined;
    if (!many) {
        in = tv_plain(vm, in);
        if (!vm->failed) add_quoted(&b, in.text, false);
        return tv_text_end(&b);
    }
    if (in.kind == RT_KIND_map) in = (rt_value){.kind = TV_view, .sub = TV_ITEMS, .map = in.map};
    const rt_list *l = tv_items(vm, in);
    for (size_t i = 0; l && i < l->n && tv_steps(vm, 1); i++) {
        const rt_list *pair = tv_items(vm, l->at[i]);
        if (pair && pair->n != 2) tv_fail(vm, "urlencode wants pairs");
        if (!pair || vm->failed) break;
        if (i) tv_add(&b, "&");
        add_query_part(vm, &b, pair->at[0]);
        tv_add(&b, "=");
        add_query_part(vm, &b, pair->at[1]);
    }
    return tv_text_end(&b);
}

/* ---- numbers ---- */

rt_value rt_tplf_abs(tvm *vm, const tv_args *a) {
    if (!tv_bind(vm, a, "abs", "", 0, NULL)) return rt_missing();
    const rt_value v = a->in;
    if (v.kind == TV_undefined) return tv_undefined_error(vm, v);
    if (!rt_is_number(v)) return tv_fail(vm, "bad operand type for abs(): '%s'", tv_type_name(v));
    if (v.kind == RT_KIND_float) return rt_float(fabs(v.real));
    const bool minus = v.kind == RT_KIND_big ? v.text->at[0] == '-' : tv_integer(v) < 0;
    return tv_unary(vm, minus ? RT_TOP_neg : RT_TOP_pos, v);
}

/* int(v) of a double; kind missing without failure: it is not a number. */
static rt_value int_of_real(tvm *vm, double d) {
    if (isnan(d)) return rt_missing();
    if (isinf(d)) return tv_fail(vm, "cannot convert float infinity to integer");
    if (d >= 0x1p63 || d < -0x1p63)
        return tv_fail(vm, "arithmetic beyond 64-bit integers is not supported");
    return rt_int((int64_t)d);
}

rt_value rt_tplf_int(tvm *vm, const tv_args *a) {
    rt_value v[2];
    int64_t base;
    if (!tv_bind(vm, a, "int", "default base", 0, v) || !int_argument(vm, v[1], 10, &base))
        return rt_missing();
    const rt_value in = a->in, other = v[0].kind == RT_KIND_missing ? rt_int(0) : v[0];
    rt_value out = rt_missing();
    if (in.kind == TV_undefined) return tv_undefined_error(vm, in);
    if (tv_is_integer(in)) return rt_int(tv_integer(in));
    if (in.kind == RT_KIND_big) return in;
    if (in.kind == RT_KIND_float) {
        out = int_of_real(vm, in.real);
    } else if (in.kind == RT_KIND_text) {
        out = tv_int_of_text(vm, in.text, base);
        if (out.kind != RT_KIND_missing || vm->failed) return out;
        const rt_value d = tv_float_of_text(vm, in.text);
        if (d.kind == RT_KIND_float && !isinf(d.real)) out = int_of_real(vm, d.real);
    }
    return out.kind == RT_KIND_missing && !vm->failed ? other : out;
}

rt_value rt_tplf_float(tvm *vm, const tv_args *a) {
    rt_value other;
    if (!tv_bind(vm, a, "float", "default", 0, &other)) return rt_missing();
    const rt_value in = a->in;
    if (in.kind == TV_undefined) return tv_undefined_error(vm, in);
    if (in.kind == RT_KIND_float) return in;
    if (tv_is_integer(in)) return rt_float((double)tv_integer(in));
    if (in.kind == RT_KIND_text || in.kind == RT_KIND_big) {
        const rt_value v = tv_float_of_text(vm, in.text);
        if (v.kind != RT_KIND_missing || vm->failed) return v;
    }
    return other.kind == RT_KIND_missing ? rt_float(0) : other;
}

/* Halves to even, to a multiple of 10^-places, places < 0. */
static rt_value round_integer(tvm *vm, int64_t v, int64_t places) {
    int64_t unit = 1;
    for (; places < 0; places++)
        if (__builtin_mul_overflow(unit, 10, &unit)) return rt_int(0);
    const int64_t rest = v % unit, size = rest < 0 ? -rest : rest;
    int64_t down = v - rest;
    const bool up = size > unit - size || (size == unit - size && (down / unit) % 2 != 0);
    if (up && __builtin_add_overflow(down, rest < 0 ? -unit : unit, &down))
        return tv_fail(vm, "arithmetic beyond 64-bit integers is not supported");
    return rt_int(down);
}

rt_value rt_tplf_round(tvm *vm, const tv_args *a) {
    rt_value v[2];
    int64_t places;
    if (!tv_bind(vm, a, "round", "precision method", 0, v) || !int_argument(vm, v[0], 0, &places))
        return rt_missing();
    const rt_value in = a->in;
    if (in.kind == TV_undefined) return tv_undefined_error(vm, in);
    if (places > 400) places = 400;
    if (places < -400) places = -400;
    char method = 'c'; /* common, or ceil with a capital letter, or floor */
    if (v[1].kind == RT_KIND_text) {
        const rt_text *t = v[1].text;
        const bool known[] = {t->n == 6 && !memcmp(t->at, "common", 6),
                              t->n == 4 && !memcmp(t->at, "ceil", 4),
                              t->n == 5 && !memcmp(t->at, "floor", 5)};
        method = known[0] ? 'c' : known[1] ? 'C' : known[2] ? 'f' : 0;
    } else if (v[1].kind != RT_KIND_missing) {
        method = 0;
    }
    if (!method) return tv_fail(vm, "method must be common, ceil or floor");
    if (!tv_is_integer(in) && in.kind != RT_KIND_float)
        return tv_fail(vm, "type %s doesn't define __round__ method", tv_type_name(in));
    if (method == 'c') {
        if (in.kind == RT_KIND_float) return rt_float(rt_number_round(in.real, (int)places));
        return places >= 0 ? rt_int(tv_integer(in)) : round_integer(vm, tv_integer(in), places);
    }
    const double scale = pow(10, (double)places);
    const double x = (in.kind == RT_KIND_float ? in.real : (double)tv_integer(in)) * scale;
    if (!isfinite(x)) return tv_fail(vm, "cannot convert float to integer");
    return rt_float(((method == 'C' ? ceil(x) : floor(x)) + 0.0) /
                    scale); /* an integer has no -0 */
}

/* ---- any value ---- */

rt_value rt_tplf_length(tvm *vm, const tv_args *a) {
    int64_t n = 0;
    if (!tv_bind(vm, a, "length", "", 0, NULL) || !tv_length(vm, a->in, &n)) return rt_missing();
    return rt_int(n);
}

rt_value rt_tplf_default(tvm *vm, const tv_args *a) {
    rt_value v[2];
    if (!tv_bind(vm, a, "default", "default_value boolean", 0, v)) return rt_missing();
    const bool use = a->in.kind == TV_undefined || (tv_truth(vm, v[1]) && !tv_truth(vm, a->in));
    if (!use) return a->in;
    return v[0].kind == RT_KIND_missing ? tv_text_of(vm, "") : v[0];
}

rt_value rt_tplf_attr(tvm *vm, const tv_args *a) {
    rt_value name;
    if (!tv_bind(vm, a, "attr", "name", 1, &name)) return rt_missing();
    if (name.kind != RT_KIND_text) return tv_fail(vm, "attr wants a name");
    if (a->in.kind == TV_undefined) return tv_undefined_error(vm, a->in);
    if (a->in.kind == TV_namespace) return tv_attr(vm, a->in, name);
    const rt_value v = tv_own_attr(vm, a->in, name.text);
    if (v.kind != RT_KIND_missing || vm->failed) return v;
    return tv_undefined_new(vm, "there is no such attribute", NULL, rt_none());
}
