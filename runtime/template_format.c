/* template_format.c - `text % values`, text.format(...) and strftime. */
#include <string.h>

#include "runtime/template_unicode.h"
#include "runtime/template_vm.h"
#include "runtime/value_number.h"

/* ---- one value by a specification ---- */

typedef struct spec {
    const rt_text *fill; /* NULL: a space */
    char align;          /* < > ^ =, 0: as the type has it */
    char sign;           /* + or space; 0: minus only */
    bool has_sign;
    bool alternate, zero, group;
    int64_t width, precision; /* precision -1: none */
    char type;                /* 0: as the value has it */
} spec;

enum { MAX_WIDTH = 100000 };

static void add_times(tv_text *b, const rt_text *fill, int64_t n) {
    static const rt_text SPACE = {.at = " ", .n = 1};
    for (; n > 0 && tv_work(b->vm, 1); n--) tv_add_text(b, fill ? fill : &SPACE);
}

static void add_aligned(tv_text *b, rt_text *t, const spec *s, char align) {
    const int64_t pad = s->width - tv_chars(b->vm, t);
    const int64_t left = pad <= 0 ? 0 : align == '>' ? pad : align == '^' ? pad / 2 : 0;
    add_times(b, s->fill, left);
    tv_add_text(b, t);
    add_times(b, s->fill, pad - left);
}

/* Cut to `precision` characters. */
static rt_text *cut_text(tvm *vm, rt_text *t, int64_t precision) {
    if (precision < 0 || precision >= tv_chars(vm, t)) return t;
    const rt_value v = tv_part(vm, t, 0, tv_offset(vm, t, precision));
    return vm->failed ? t : v.text;
}

/* sign, digits with an optional fraction, padding between them for '='. */
static void add_number(tv_text *b, bool minus, const char *prefix, const char *digits, size_t n,
                       const spec *s) {
    tvm *vm = b->vm;
    static const rt_text ZERO = {.at = "0", .n = 1};
    tv_text body;
    tv_text_begin(vm, &body);
    const char sign[2] = {minus ? '-' : s->sign, 0};
    const size_t n_sign = sign[0] != 0;
    size_t whole = 0;
    while (whole < n && digits[whole] >= '0' && digits[whole] <= '9') whole++;
    for (size_t i = 0; i < n; i++) {
        if (s->group && i && i < whole && (whole - i) % 3 == 0) tv_add(&body, ",");
        tv_add_bytes(&body, digits + i, 1, RT_FROM_TEMPLATE);
    }
    const char align = s->align ? s->align : s->zero ? '=' : '>';
    const rt_text *fill = s->fill ? s->fill : s->zero ? &ZERO : NULL;
    const int64_t pad = s->width - (int64_t)(body.n + n_sign + strlen(prefix));
    if (s->group && s->zero && pad > 0) tv_fail(vm, "zeros and commas together are not supported");
    const int64_t left = pad <= 0 ? 0 : align == '>' ? pad : align == '^' ? pad / 2 : 0;
    add_times(b, fill, left);
    tv_add_bytes(b, sign, n_sign, RT_FROM_TEMPLATE);
    tv_add(b, prefix);
    if (align == '=') add_times(b, fill, pad);
    const rt_value text = tv_text_end(&body);
    if (!vm->failed) tv_add_text(b, text.text);
    if (align == '<' || align == '^') add_times(b, fill, pad - left);
}

static void add_formatted_int(tv_text *b, rt_value v, const spec *s) {
    tvm *vm = b->vm;
    char digits[72];
    size_t at = sizeof digits;
    const int base = s->type == 'x' || s->type == 'X' ? 16
                     : s->type == 'o'                 ? 8
                     : s->type == 'b'                 ? 2
                                                      : 10;
    if (v.kind == RT_KIND_big) {
        const bool minus = v.text->at[0] == '-';
        if (base != 10) tv_fail(vm, "integers beyond 64 bits are written in base 10 only");
        add_number(b, minus, "", v.text->at + minus, v.text->n - minus, s);
        return;
    }
    const int64_t i = tv_integer(v);
    uint64_t u = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
    do {
        const char *d = s->type == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
        digits[--at] = d[u % (unsigned)base];
        u /= (unsigned)base;
    } while (u);
    while (at > 0 && (int64_t)(sizeof digits - at) < s->precision) digits[--at] = '0';
    if (s->precision > (int64_t)sizeof digits) tv_fail(vm, "an integer with too many digits");
    const char *prefix = !s->alternate || base == 10 ? ""
                         : base == 8                 ? "0o"
                         : base == 2                 ? "0b"
                         : s->type == 'X'            ? "0X"
                                                     : "0x";
    add_number(b, i < 0, prefix, digits + at, sizeof digits - at, s);
}

static void add_formatted_real(tv_text *b, double v, const spec *s) {
    char out[RT_NUMBER_TEXT_BYTES + 8];
    const char type = s->type ? (char)(s->type | 0x20) : 0;
    const bool minus = v < 0 || (v == 0 && 1 / v < 0), upper = s->type >= 'A' && s->type <= 'Z';
    int places = s->precision < 0 ? 6 : (int)s->precision;
    size_t n;
    if (type == 0 && (s->precision >= 0 || s->alternate)) {
        tv_fail(b->vm, "a precision or '#' without a type is not supported for numbers");
        return;
    }
    if (places > RT_NUMBER_MAX_PLACES) {
        tv_fail(b->vm, "a number with more than %d digits behind the point", RT_NUMBER_MAX_PLACES);
        return;
    }
    if (v != v || v - v != 0) {
        memcpy(out, v != v ? "nan" : "inf", 3);
        n = 3;
        if (type == '%') out[n++] = '%';
    } else {
        if (minus) v = -v;
        if (type == 'e') n = rt_number_scientific(v, places, out);
        else if (type == 'f') n = rt_number_fixed(v, places, out);
        else if (type == '%') {
            n = rt_number_fixed(v * 100, places, out);
            out[n++] = '%';
        } else if (type == 0 && s->precision < 0) n = rt_number_repr(v, out);
        else n = rt_number_general(v, places ? places : 1, s->alternate, out);
    }
    if (s->alternate && v == v && v - v == 0 && !memchr(out, '.', n)) { /* "1." */
        const char *e = memchr(out, 'e', n);
        const size_t at = e ? (size_t)(e - out) : type == '%' ? n - 1 : n;
        memmove(out + at + 1, out + at, n - at);
        out[at] = '.';
        n++;
    }
    for (size_t i = 0; upper && i < n; i++)
        if (out[i] >= 'a' && out[i] <= 'z') out[i] = (char)(out[i] & ~0x20);
    add_number(b, minus && v == v, "", out, n, s);
}

static double real_of(rt_value v) {
    double d = 0;
    if (v.kind == RT_KIND_big) (void)rt_number_parse(v.text->at, v.text->n, &d);
    else d = v.kind == RT_KIND_float ? v.real : (double)tv_integer(v);
    return d;
}

/* ---- % ---- */

/* Where the arguments of % come from. */
typedef struct percent {
    tvm *vm;
    const rt_text *f;
    size_t i; /* behind the % that is read */
    rt_value args;
    bool single; /* args is the one value, no tuple */
    size_t next;
    tv_text out;
} percent;

static rt_value next_argument(percent *p) {
    const size_t n = p->single ? 1 : p->args.list->n;
    if (p->next >= n) return tv_fail(p->vm, "not enough arguments for format string");
    p->next++;
    return p->single ? p->args : p->args.list->at[p->next - 1];
}

static char peek(const percent *p) { return p->i < p->f->n ? p->f->at[p->i] : 0; }

/* Digits, or * for an argument. */
static bool read_count(percent *p, int64_t *out) {
    if (peek(p) == '*') {
        p->i++;
        const rt_value v = next_argument(p);
        if (p->vm->failed) return false;
        if (!tv_is_integer(v)) {
            tv_fail(p->vm, "* wants int");
            return false;
        }
        *out = tv_integer(v);
    } else {
        for (*out = 0; peek(p) >= '0' && peek(p) <= '9' && *out <= MAX_WIDTH; p->i++)
            *out = *out * 10 + (peek(p) - '0');
    }
    if (*out > MAX_WIDTH || *out < -MAX_WIDTH) tv_fail(p->vm, "a width or precision is too large");
    return !p->vm->failed;
}

static bool read_key(percent *p, rt_value *value) {
    size_t depth = 1, from = ++p->i;
    for (; depth && p->i < p->f->n; p->i++) {
        if (p->f->at[p->i] == '(') depth++;
        if (p->f->at[p->i] == ')') depth--;
    }
    if (depth) {
        tv_fail(p->vm, "incomplete format key");
        return false;
    }
    const rt_value key = tv_part(p->vm, p->f, from, p->i - 1);
    if (p->vm->failed) return false;
    if (p->args.kind != RT_KIND_map) {
        tv_fail(p->vm, "format requires a mapping");
        return false;
    }
    const int64_t at = rt_map_find(p->args.map, key);
    if (at < 0) {
        tv_fail(p->vm, "a key of the format is not in the mapping");
        return false;
    }
    *value = p->args.map->values[at];
    return true;
}

static bool read_flags(percent *p, spec *s) {
    bool left = false;
    for (;; p->i++) {
        const char c = peek(p);
        if (c == '-') left = true;
        else if (c == '+') s->sign = '+';
        else if (c == ' ') s->sign = s->sign ? s->sign : ' ';
        else if (c == '#') s->alternate = true;
        else if (c == '0') s->zero = true;
        else break;
    }
    if (!read_count(p, &s->width)) return false;
    if (s->width < 0) {
        left = true;
        s->width = -s->width;
    }
    if (left) {
        s->align = '<';
        s->zero = false;
    }
    s->precision = -1;
    if (peek(p) == '.') {
        p->i++;
        if (!read_count(p, &s->precision)) return false;
        if (s->precision < 0) s->precision = 0;
    }
    while (peek(p) == 'l' || peek(p) == 'h' || peek(p) == 'L') p->i++;
    return true;
}

static void add_percent_int(percent *p, rt_value v, spec *s) {
    if (v.kind == RT_KIND_float && s->type == 'd') {
        if (!(v.real < 0x1p63 && v.real >= -0x1p63)) {
            tv_fail(p->vm, "cannot convert float to integer");
            return;
        }
        v = rt_int((int64_t)v.real);
    }
    if (!tv_is_integer(v) && v.kind != RT_KIND_big) {
        if (v.kind == TV_undefined) tv_undefined_error(p->vm, v);
        tv_fail(p->vm, "%%%c format: a number is required, not %s", s->type, tv_type_name(v));
        return;
    }
    add_formatted_int(&p->out, v, s);
}

static void add_percent_char(percent *p, rt_value v, const spec *s) {
    tv_text b;
    tv_text_begin(p->vm, &b);
    if (v.kind == RT_KIND_text && tv_chars(p->vm, v.text) == 1) {
        tv_add_text(&b, v.text);
    } else if (tv_is_integer(v) && tv_integer(v) >= 0 && tv_integer(v) < 0x110000 &&
               (tv_integer(v) < 0xd800 || tv_integer(v) > 0xdfff)) {
        tv_add_char(&b, (uint32_t)tv_integer(v), RT_FROM_CALLER); /* who knows whose number it is */
    } else {
        tv_fail(p->vm, "%%c requires int or char");
    }
    v = tv_text_end(&b);
    if (v.kind == RT_KIND_text) add_aligned(&p->out, v.text, s, s->align ? s->align : '>');
}

static void add_percent_text(percent *p, rt_value v, const spec *s) {
    tv_text b;
    tv_text_begin(p->vm, &b);
    if (s->type == 's') tv_add_str(&b, v);
    else tv_add_repr(&b, v);
    v = tv_text_end(&b);
    if (v.kind == RT_KIND_text)
        add_aligned(&p->out, cut_text(p->vm, v.text, s->precision), s, s->align ? s->align : '>');
}

static void add_directive(percent *p) {
    tvm *vm = p->vm;
    spec s = {0};
    rt_value v = rt_missing();
    p->i++;
    if (peek(p) == '(' && !read_key(p, &v)) return;
    if (!read_flags(p, &s)) return;
    s.type = peek(p);
    if (!s.type) {
        tv_fail(vm, "incomplete format");
        return;
    }
    p->i++;
    if (s.type == '%') {
        tv_add(&p->out, "%");
        return;
    }
    if (s.type == 'i' || s.type == 'u') s.type = 'd';
    if (!strchr("srdxXoceEfFgG", s.type)) {
        tv_fail(vm, "unsupported format character in a format string");
        return;
    }
    if (v.kind == RT_KIND_missing) v = next_argument(p);
    if (vm->failed) return;
    if (p->f->markup && (s.type == 's' || s.type == 'r')) v = tv_escape(vm, v);
    if (strchr("sr", s.type)) {
        add_percent_text(p, v, &s);
    } else if (s.type == 'c') {
        add_percent_char(p, v, &s);
    } else if (strchr("dxXo", s.type)) {
        add_percent_int(p, v, &s);
    } else if (!rt_is_number(v)) {
        tv_fail(vm, "must be real number, not %s", tv_type_name(v));
    } else {
        add_formatted_real(&p->out, real_of(v), &s);
    }
}

rt_value tv_format_percent(tvm *vm, const rt_text *format, rt_value args) {
    percent p = {.vm = vm, .f = format, .args = args, .single = args.kind != RT_KIND_tuple};
    tv_text_begin(vm, &p.out);
    size_t from = 0;
    while (p.i < format->n && !vm->failed) {
        if (format->at[p.i] != '%') {
            p.i++;
            continue;
        }
        tv_add_part(&p.out, format, from, p.i);
        if (tv_steps(vm, 1)) add_directive(&p);
        from = p.i;
    }
    if (vm->failed) return rt_missing();
    tv_add_part(&p.out, format, from, format->n);
    /* a single value that can be subscribed counts as a mapping, of which nothing need be used */
    const bool mapping = args.kind == RT_KIND_map || args.kind == RT_KIND_list ||
                         args.kind == TV_undefined || args.kind == TV_range;
    const bool all = p.single ? p.next || mapping : p.next == args.list->n;
    if (!all) return tv_fail(vm, "not all arguments converted during string formatting");
    rt_value v = tv_text_end(&p.out);
    if (v.kind == RT_KIND_text) v.text->markup = format->markup;
    return v;
}

/* ---- format ---- */

typedef struct braces {
    tvm *vm;
    const rt_text *f;
    const tv_args *a;
    size_t next; /* automatic numbering */
    bool automatic, manual;
    tv_text out;
} braces;

static rt_value find_field(braces *p, size_t from, size_t to) {
    int64_t index = 0;
    bool digits = true;
    for (size_t i = from; i < to; i++) {
        const char c = p->f->at[i];
        digits = digits && c >= '0' && c <= '9';
        if (digits && index < MAX_WIDTH) index = index * 10 + (c - '0');
    }
    if (digits) {
        if (from == to) {
            p->automatic = true;
            index = (int64_t)p->next++;
        } else {
            p->manual = true;
        }
        if (p->automatic && p->manual)
            return tv_fail(p->vm, "cannot switch between automatic and manual field numbering");
        if (index >= p->a->n_pos)
            return tv_fail(p->vm, "Replacement index %lld out of range for positional args tuple",
                           (long long)index);
        return p->a->pos[index];
    }
    const rt_value name = tv_part(p->vm, p->f, from, to);
    for (uint32_t k = 0; !p->vm->failed && k < p->a->n_named; k++)
        if (rt_key_equal(p->a->named[2 * k], name)) return p->a->named[2 * k + 1];
    return tv_fail(p->vm, "format: no argument has the name of a field");
}

/* name.attr[item]... between from and to. */
static rt_value field_value(braces *p, size_t from, size_t to) {
    size_t i = from;
    while (i < to && p->f->at[i] != '.' && p->f->at[i] != '[') i++;
    rt_value v = find_field(p, from, i);
    while (i < to && !p->vm->failed) {
        const bool item = p->f->at[i] == '[';
        const size_t start = ++i;
        while (i < to && (item ? p->f->at[i] != ']' : p->f->at[i] != '.' && p->f->at[i] != '['))
            i++;
        if (i == start || (item && i == to))
            return tv_fail(p->vm, "Empty attribute in format string");
        rt_value key = tv_part(p->vm, p->f, start, i);
        if (p->vm->failed) return rt_missing();
        if (item) {
            const rt_value index = tv_int_of_text(p->vm, key.text, 10);
            if (index.kind != RT_KIND_missing) key = index;
            i++;
        }
        if (!p->vm->failed) v = item ? tv_item(p->vm, v, key) : tv_attr(p->vm, v, key);
    }
    return p->vm->failed ? rt_missing() : v;
}

static bool is_align(char c) { return c == '<' || c == '>' || c == '^' || c == '='; }

static bool read_digits(tvm *vm, const rt_text *t, size_t *i, int64_t *out) {
    for (*out = 0; *i < t->n && t->at[*i] >= '0' && t->at[*i] <= '9' && *out <= MAX_WIDTH; (*i)++)
        *out = *out * 10 + (t->at[*i] - '0');
    if (*out > MAX_WIDTH) tv_fail(vm, "a width or precision is too large");
    return !vm->failed;
}

/* [[fill]align][sign][#][0][width][,][.precision][type] */
static bool read_spec(tvm *vm, const rt_text *t, spec *s) {
    uint32_t cp;
    size_t i = 0;
    const size_t first = t->n ? tv_next_char(t, 0, &cp) : 0;
    s->precision = -1;
    if (first && first < t->n && is_align(t->at[first])) {
        const rt_value fill = tv_part(vm, t, 0, first);
        if (vm->failed) return false;
        s->fill = fill.text;
        s->align = t->at[first];
        i = first + 1;
    } else if (t->n && is_align(t->at[0])) {
        s->align = t->at[0];
        i = 1;
    }
    if (i < t->n && strchr("+- ", t->at[i])) {
        s->has_sign = true;
        s->sign = t->at[i] == '-' ? 0 : t->at[i];
        i++;
    }
    if (i < t->n && t->at[i] == '#') s->alternate = ++i;
    if (i < t->n && t->at[i] == '0') s->zero = ++i;
    if (!read_digits(vm, t, &i, &s->width)) return false;
    if (i < t->n && t->at[i] == ',') s->group = ++i;
    if (i < t->n && t->at[i] == '.') {
        const size_t start = ++i;
        if (!read_digits(vm, t, &i, &s->precision)) return false;
        if (i == start) {
            tv_fail(vm, "Format specifier missing precision");
            return false;
        }
    }
    if (i < t->n) s->type = t->at[i++];
    if (i == t->n && (!s->type || strchr("sdxXobeEfFgG%", s->type))) return true;
    tv_fail(vm, "Invalid format specifier");
    return false;
}

static void add_field(braces *p, rt_value v, const rt_text *spec_text) {
    tvm *vm = p->vm;
    spec s = {0};
    if (p->f->markup) v = tv_escape(vm, v);
    if (vm->failed) return;
    if (!spec_text->n) {
        tv_add_str(&p->out, v);
        return;
    }
    if (!read_spec(vm, spec_text, &s)) return;
    if (v.kind == RT_KIND_text) {
        static const rt_text ZERO = {.at = "0", .n = 1};
        if ((s.type && s.type != 's') || s.has_sign || s.alternate || s.group || s.align == '=')
            tv_fail(vm, "a format specification that is not for a string");
        if (s.zero && !s.fill) s.fill = &ZERO;
        if (!vm->failed)
            add_aligned(&p->out, cut_text(vm, v.text, s.precision), &s, s.align ? s.align : '<');
    } else if (tv_is_integer(v) || v.kind == RT_KIND_big) {
        if (s.type && strchr("eEfFgG%", s.type)) add_formatted_real(&p->out, real_of(v), &s);
        else if (s.type == 's' || s.precision >= 0 || (s.group && s.type && s.type != 'd'))
            tv_fail(vm, "a format specification that is not for an integer");
        else add_formatted_int(&p->out, v, &s);
    } else if (v.kind == RT_KIND_float) {
        if (s.type && strchr("sdxXob", s.type))
            tv_fail(vm, "Unknown format code for object of type 'float'");
        add_formatted_real(&p->out, v.real, &s);
    } else {
        tv_fail(vm, "unsupported format string passed to %s.__format__", tv_type_name(v));
    }
}

/* Behind the { at *i. */
static void add_replacement(braces *p, size_t *i) {
    tvm *vm = p->vm;
    const rt_text *f = p->f;
    const size_t from = *i;
    size_t name_end = from, brackets = 0;
    while (name_end < f->n && (brackets || !strchr(":!}{", f->at[name_end]))) {
        if (f->at[name_end] == '[') brackets = 1;
        if (f->at[name_end] == ']') brackets = 0;
        if (!f->at[name_end]) break;
        name_end++;
    }
    rt_value v = field_value(p, from, name_end);
    size_t k = name_end;
    char convert = 0;
    if (k + 1 < f->n && f->at[k] == '!') {
        convert = f->at[k + 1];
        k += 2;
    }
    size_t spec_from = k;
    if (k < f->n && f->at[k] == ':') {
        spec_from = ++k;
        while (k < f->n && f->at[k] != '}' && f->at[k] != '{') k++;
    }
    if (vm->failed) return;
    if (k >= f->n || f->at[k] != '}') {
        tv_fail(vm, k < f->n && f->at[k] == '{' ? "nested fields in a format are not supported"
                                                : "expected '}' before end of string");
        return;
    }
    if (convert && convert != 's' && convert != 'r') {
        tv_fail(vm, "Unknown conversion specifier");
        return;
    }
    if (convert == 'r') {
        tv_text b;
        tv_text_begin(vm, &b);
        tv_add_repr(&b, v);
        v = tv_text_end(&b);
    } else if (convert == 's') {
        v = tv_str(vm, v);
    }
    const rt_value spec_text = tv_part(vm, f, spec_from, k);
    if (!vm->failed) add_field(p, v, spec_text.text);
    *i = k + 1;
}

rt_value tv_format_braces(tvm *vm, const rt_text *format, const tv_args *a) {
    braces p = {.vm = vm, .f = format, .a = a};
    tv_text_begin(vm, &p.out);
    size_t from = 0, i = 0;
    while (i < format->n && !vm->failed) {
        const char c = format->at[i];
        if (c != '{' && c != '}') {
            i++;
            continue;
        }
        const bool twice = i + 1 < format->n && format->at[i + 1] == c;
        tv_add_part(&p.out, format, from, i + twice);
        if (!tv_steps(vm, 1)) break;
        if (twice) {
            i += 2;
        } else if (c == '}') {
            tv_fail(vm, "Single '}' encountered in format string");
        } else {
            i++;
            add_replacement(&p, &i);
        }
        from = i;
    }
    if (vm->failed) return rt_missing();
    tv_add_part(&p.out, format, from, format->n);
    rt_value v = tv_text_end(&p.out);
    if (v.kind == RT_KIND_text) v.text->markup = format->markup;
    return v;
}
