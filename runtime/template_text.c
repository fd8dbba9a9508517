/* template_text.c - texts of the template renderer: building, slicing, str and repr. */
#include <string.h>

#include "runtime/template_unicode.h"
#include "runtime/template_vm.h"
#include "runtime/utf8.h"
#include "runtime/value_number.h"

/* ---- building ---- */

void tv_text_begin(tvm *vm, tv_text *b) { *b = (tv_text){.vm = vm}; }

bool tv_text_fits(tv_text *b, uint64_t n) {
    if (b->vm->failed) return false;
    if (n <= b->vm->max_text - b->n) return true;
    tv_fail(b->vm, "a text or the output gets longer than %llu bytes",
            (unsigned long long)b->vm->max_text);
    return false;
}

static bool reserve(tv_text *b, size_t n) {
    if (b->vm->failed) return false;
    if (n <= b->cap - b->n && b->at) return true;
    if (!tv_text_fits(b, n)) return false;
    size_t cap = b->cap ? b->cap * 2 : 64;
    while (cap - b->n < n) cap *= 2;
    if (cap > b->vm->max_text) cap = b->vm->max_text; /* so that b->n never passes it */
    char *at = rt_region_get(&b->vm->r, cap);
    uint8_t *mask = rt_region_get(&b->vm->r, cap);
    if (!at || !mask) {
        tv_no_memory(b->vm);
        return false;
    }
    if (b->n) {
        memcpy(at, b->at, b->n);
        memcpy(mask, b->mask, b->n);
    }
    b->at = at;
    b->mask = mask;
    b->cap = cap;
    return true;
}

void tv_add_bytes(tv_text *b, const char *at, size_t n, uint8_t taint) {
    if (!tv_work(b->vm, n) || !reserve(b, n) || !n) return;
    memcpy(b->at + b->n, at, n);
    memset(b->mask + b->n, taint != 0, n);
    b->n += n;
    b->any |= taint != 0;
}

void tv_add(tv_text *b, const char *nul_terminated) {
    tv_add_bytes(b, nul_terminated, strlen(nul_terminated), RT_FROM_TEMPLATE);
}

void tv_add_part(tv_text *b, const rt_text *t, size_t from, size_t to) {
    if (!t->mask) {
        tv_add_bytes(b, t->at + from, to - from, t->taint);
        return;
    }
    if (!tv_work(b->vm, to - from) || !reserve(b, to - from)) return;
    for (size_t i = from; i < to; i++) {
        b->at[b->n] = t->at[i];
        b->mask[b->n++] = t->mask[i];
        b->any |= t->mask[i] != 0;
    }
}

void tv_add_text(tv_text *b, const rt_text *t) { tv_add_part(b, t, 0, t->n); }

void tv_add_char(tv_text *b, uint32_t cp, uint8_t taint) {
    char out[4];
    tv_add_bytes(b, out, rt_uni_encode(cp, out), taint);
}

rt_value tv_text_end(tv_text *b) {
    if (b->vm->failed) return rt_missing();
    rt_value v = rt_text_ref(&b->vm->r, b->at ? b->at : "", b->n, RT_FROM_TEMPLATE);
    if (v.kind == RT_KIND_missing) return tv_no_memory(b->vm);
    if (b->any) v.text->mask = b->mask;
    return v;
}

rt_value tv_text_of(tvm *vm, const char *nul_terminated) {
    rt_value v = rt_text_ref(&vm->r, nul_terminated, strlen(nul_terminated), RT_FROM_TEMPLATE);
    return v.kind == RT_KIND_missing ? tv_no_memory(vm) : v;
}

/* ---- taking apart ---- */

size_t tv_next_char(const rt_text *t, size_t i, uint32_t *cp) {
    return rt_utf8_next((const uint8_t *)t->at + i, t->n - i, cp);
}

uint8_t tv_taint(const rt_text *t, size_t byte) { return t->mask ? t->mask[byte] : t->taint; }

rt_value tv_part(tvm *vm, const rt_text *t, size_t from, size_t to) {
    rt_value v = rt_text_ref(&vm->r, t->at + from, to - from, (rt_origin)t->taint);
    if (v.kind == RT_KIND_missing) return tv_no_memory(vm);
    if (t->mask) v.text->mask = t->mask + from;
    v.text->markup = t->markup;
    return v;
}

int64_t tv_chars(tvm *vm, rt_text *t) {
    if (t->n_chars >= 0) return t->n_chars;
    if (!tv_work(vm, t->n)) return 0;
    int64_t n = 0;
    uint32_t cp;
    for (size_t i = 0; i < t->n; i += tv_next_char(t, i, &cp)) n++;
    t->n_chars = n;
    return n;
}

size_t tv_offset(tvm *vm, rt_text *t, int64_t chars) {
    if ((size_t)tv_chars(vm, t) == t->n) return (size_t)chars; /* ASCII */
    size_t i = 0;
    uint32_t cp;
    for (; chars > 0 && i < t->n; chars--) i += tv_next_char(t, i, &cp);
    (void)tv_work(vm, i);
    return i;
}

/* ---- str and repr ---- */

static void add_integer(tv_text *b, int64_t v) {
    char digits[24];
    size_t at = sizeof digits;
    uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    do {
        digits[--at] = (char)('0' + u % 10);
        u /= 10;
    } while (u);
    if (v < 0) digits[--at] = '-';
    tv_add_bytes(b, digits + at, sizeof digits - at, RT_FROM_TEMPLATE);
}

static void add_hex(tv_text *b, uint32_t cp, uint8_t taint) {
    static const char DIGITS[] = "0123456789abcdef";
    const int n = cp < 0x100 ? 2 : cp < 0x10000 ? 4 : 8;
    char out[10] = {'\\', n == 2 ? 'x' : n == 4 ? 'u' : 'U'};
    for (int k = 0; k < n; k++) out[2 + k] = DIGITS[cp >> 4 * (n - 1 - k) & 15];
    tv_add_bytes(b, out, (size_t)n + 2, taint);
}

static void add_text_repr(tv_text *b, const rt_text *t) {
    const bool single = t->n && memchr(t->at, '\'', t->n) && !memchr(t->at, '"', t->n);
    const char quote = single ? '"' : '\'';
    if (t->markup) tv_add(b, "Markup(");
    tv_add_bytes(b, &quote, 1, RT_FROM_TEMPLATE);
    for (size_t i = 0; i < t->n && !b->vm->failed;) {
        uint32_t cp;
        const size_t n = tv_next_char(t, i, &cp);
        const uint8_t taint = tv_taint(t, i);
        const char *named = cp == '\n' ? "\\n" : cp == '\r' ? "\\r" : cp == '\t' ? "\\t" : NULL;
        if (named) {
            tv_add_bytes(b, named, 2, taint);
        } else if (cp == '\\' || cp == (uint32_t)quote) {
            const char out[2] = {'\\', (char)cp};
            tv_add_bytes(b, out, 2, taint);
        } else if (cp != RT_UTF8_BAD && !rt_uni_is_printable(cp)) {
            add_hex(b, cp, taint);
        } else {
            tv_add_part(b, t, i, i + n);
        }
        i += n;
    }
    tv_add_bytes(b, &quote, 1, RT_FROM_TEMPLATE);
    if (t->markup) tv_add(b, ")");
}

static void add_repr(tv_text *b, rt_value v, int depth);

static void add_items_repr(tv_text *b, const rt_list *l, const char *open, const char *close,
                           int depth) {
    tv_add(b, open);
    for (size_t i = 0; i < l->n && !b->vm->failed; i++) {
        if (i) tv_add(b, ", ");
        add_repr(b, l->at[i], depth);
    }
    tv_add(b, close);
}

static void add_map_repr(tv_text *b, const rt_map *m, int depth) {
    tv_add(b, "{");
    for (size_t i = 0; i < m->n && !b->vm->failed; i++) {
        if (i) tv_add(b, ", ");
        add_repr(b, m->keys[i], depth);
        tv_add(b, ": ");
        add_repr(b, m->values[i], depth);
    }
    tv_add(b, "}");
}

static void add_range_repr(tv_text *b, const tv_range *r) {
    tv_add(b, "range(");
    add_integer(b, r->start);
    tv_add(b, ", ");
    add_integer(b, r->stop);
    if (r->step != 1) {
        tv_add(b, ", ");
        add_integer(b, r->step);
    }
    tv_add(b, ")");
}

static void add_view_repr(tv_text *b, rt_value v, int depth) {
    static const char *const OPEN[] = {"dict_keys(", "dict_values(", "dict_items("};
    tv_add(b, OPEN[v.sub]);
    tv_add(b, "[");
    for (size_t i = 0; i < v.map->n && !b->vm->failed; i++) {
        if (i) tv_add(b, ", ");
        if (v.sub == TV_ITEMS) tv_add(b, "(");
        if (v.sub != TV_VALUES) add_repr(b, v.map->keys[i], depth);
        if (v.sub == TV_ITEMS) tv_add(b, ", ");
        if (v.sub != TV_KEYS) add_repr(b, v.map->values[i], depth);
        if (v.sub == TV_ITEMS) tv_add(b, ")");
    }
    tv_add(b, "])");
}

static void add_loop_repr(tv_text *b, tv_loop *l) {
    int64_t n = 0;
    if (!tv_loop_length(b->vm, l, &n)) return;
    tv_add(b, "<LoopContext ");
    add_integer(b, l->index0 + 1);
    tv_add(b, "/");
    add_integer(b, n);
    tv_add(b, ">");
}

/* Objects whose repr names an address in Python show their type alone. */
static void add_object_repr(tv_text *b, rt_value v, int depth) {
    switch (v.kind) {
    case TV_undefined:
        tv_add(b, "Undefined");
        return;
    case TV_range:
        add_range_repr(b, v.other);
        return;
    case TV_view:
        add_view_repr(b, v, depth);
        return;
    case TV_namespace:
        tv_add(b, "<Namespace ");
        add_map_repr(b, v.map, depth);
        tv_add(b, ">");
        return;
    case TV_loop:
        add_loop_repr(b, v.other);
        return;
    default:
        tv_add(b, "<");
        tv_add(b, tv_type_name(v));
        tv_add(b, ">");
    }
}

static void add_repr(tv_text *b, rt_value v, int depth) {
    char number[RT_NUMBER_REPR_BYTES];
    if (depth > RT_VALUE_DEPTH) {
        tv_fail(b->vm, "a value is nested too deeply to be printed");
        return;
    }
    if (!tv_steps(b->vm, 1)) return;
    switch (v.kind) {
    case RT_KIND_missing:
    case RT_KIND_none:
        tv_add(b, "None");
        return;
    case RT_KIND_bool:
        tv_add(b, v.boolean ? "True" : "False");
        return;
    case RT_KIND_int:
        add_integer(b, v.integer);
        return;
    case RT_KIND_big:
        tv_add_text(b, v.text);
        return;
    case RT_KIND_float:
        tv_add_bytes(b, number, rt_number_repr(v.real, number), RT_FROM_TEMPLATE);
        return;
    case RT_KIND_text:
        add_text_repr(b, v.text);
        return;
    case RT_KIND_list:
        add_items_repr(b, v.list, "[", "]", depth + 1);
        return;
    case RT_KIND_tuple:
        add_items_repr(b, v.list, "(", v.list->n == 1 ? ",)" : ")", depth + 1);
        return;
    case RT_KIND_map:
        add_map_repr(b, v.map, depth + 1);
        return;
    default:
        add_object_repr(b, v, depth + 1);
    }
}

void tv_add_repr(tv_text *b, rt_value v) { add_repr(b, v, 0); }

void tv_add_str(tv_text *b, rt_value v) {
    if (v.kind == RT_KIND_text) tv_add_text(b, v.text);
    else if (v.kind != TV_undefined) add_repr(b, v, 0);
}

rt_value tv_str(tvm *vm, rt_value v) {
    if (v.kind == RT_KIND_text || v.kind == RT_KIND_missing) return v;
    tv_text b;
    tv_text_begin(vm, &b);
    tv_add_str(&b, v);
    return tv_text_end(&b);
}

rt_value tv_plain(tvm *vm, rt_value v) {
    v = tv_str(vm, v);
    if (v.kind != RT_KIND_text || !v.text->markup) return v;
    v = tv_part(vm, v.text, 0, v.text->n);
    if (v.kind == RT_KIND_text) v.text->markup = 0;
    return v;
}
