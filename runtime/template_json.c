/* template_json.c - the filter `tojson`: Python's json.dumps. */
#include <string.h>

#include "runtime/template_unicode.h"
#include "runtime/template_vm.h"
#include "runtime/utf8.h"
#include "runtime/value_number.h"

typedef struct writer {
    tvm *vm;
    tv_text out;
    bool ascii, sort;
    bool lines;            /* an indent was given */
    const rt_text *indent; /* of one level */
    rt_value item, key;    /* separators */
} writer;

static void write_value(writer *w, rt_value v, int depth);

static void add_escape(writer *w, uint32_t unit, uint8_t taint) {
    static const char HEX[] = "0123456789abcdef";
    const char out[6] = {
        '\\', 'u', HEX[unit >> 12 & 15], HEX[unit >> 8 & 15], HEX[unit >> 4 & 15], HEX[unit & 15]};
    tv_add_bytes(&w->out, out, 6, taint);
}

static void write_text(writer *w, const rt_text *t) {
    static const char FROM[] = "\"\\\n\r\t\f\b", TO[] = "\"\\nrtfb";
    tv_add(&w->out, "\"");
    for (size_t i = 0, n; i < t->n && !w->vm->failed; i += n) {
        uint32_t cp;
        n = tv_next_char(t, i, &cp);
        const uint8_t taint = tv_taint(t, i);
        const char *named = cp && cp < 0x80 ? strchr(FROM, (int)cp) : NULL;
        if (named) {
            const char out[2] = {'\\', TO[named - FROM]};
            tv_add_bytes(&w->out, out, 2, taint);
        } else if (cp < 0x20 || (w->ascii && cp >= 0x7f && cp < 0x10000)) {
            add_escape(w, cp, taint);
        } else if (w->ascii && cp >= 0x10000 && cp != RT_UTF8_BAD) {
            add_escape(w, 0xd800 + ((cp - 0x10000) >> 10), taint);
            add_escape(w, 0xdc00 + ((cp - 0x10000) & 0x3ff), taint);
        } else {
            tv_add_part(&w->out, t, i, i + n);
        }
    }
    tv_add(&w->out, "\"");
}

static void write_real(writer *w, double d) {
    char out[RT_NUMBER_REPR_BYTES];
    if (d != d) tv_add(&w->out, "NaN");
    else if (d - d != 0) tv_add(&w->out, d > 0 ? "Infinity" : "-Infinity");
    else tv_add_bytes(&w->out, out, rt_number_repr(d, out), RT_FROM_TEMPLATE);
}

static void new_line(writer *w, int depth) {
    if (!w->lines) return;
    tv_add(&w->out, "\n");
    for (int k = 0; k < depth && !w->vm->failed; k++) tv_add_text(&w->out, w->indent);
}

static void write_list(writer *w, const rt_list *l, int depth) {
    tv_add(&w->out, "[");
    for (size_t i = 0; i < l->n && !w->vm->failed; i++) {
        if (i) tv_add_text(&w->out, w->item.text);
        new_line(w, depth + 1);
        write_value(w, l->at[i], depth + 1);
    }
    if (l->n) new_line(w, depth);
    tv_add(&w->out, "]");
}

static void write_key(writer *w, rt_value key) {
    if (key.kind == RT_KIND_text) {
        write_text(w, key.text);
        return;
    }
    if (!rt_is_number(key) && key.kind != RT_KIND_none) {
        tv_fail(w->vm, "keys must be str, int, float, bool or None, not %s", tv_type_name(key));
        return;
    }
    tv_add(&w->out, "\"");
    write_value(w, key, 0);
    tv_add(&w->out, "\"");
}

/* Positions of the keys in the order to write them; NULL: failed. */
static uint32_t *key_order(writer *w, const rt_map *m) {
    uint32_t *order = rt_region_array(&w->vm->r, m->n, sizeof *order);
    if (!order) {
        tv_no_memory(w->vm);
        return NULL;
    }
    for (size_t i = 0; i < m->n; i++) {
        size_t k = i;
        for (; w->sort && k > 0; k--) {
            const int c = tv_compare(w->vm, m->keys[i], m->keys[order[k - 1]], "<");
            if (w->vm->failed) return NULL;
            if (c != -1) break;
            order[k] = order[k - 1];
        }
        order[k] = (uint32_t)i;
    }
    return order;
}

static void write_map(writer *w, const rt_map *m, int depth) {
    const uint32_t *order = key_order(w, m);
    tv_add(&w->out, "{");
    for (size_t i = 0; order && i < m->n && !w->vm->failed; i++) {
        if (i) tv_add_text(&w->out, w->item.text);
        new_line(w, depth + 1);
        write_key(w, m->keys[order[i]]);
        tv_add_text(&w->out, w->key.text);
        write_value(w, m->values[order[i]], depth + 1);
    }
    if (m->n) new_line(w, depth);
    tv_add(&w->out, "}");
}

/* Depth is that of the value, at most RT_VALUE_DEPTH. */
static void write_value(writer *w, rt_value v, int depth) {
    if (!tv_steps(w->vm, 1)) return;
    switch (v.kind) {
    case RT_KIND_none:
        tv_add(&w->out, "null");
        return;
    case RT_KIND_bool:
        tv_add(&w->out, v.boolean ? "true" : "false");
        return;
    case RT_KIND_int:
    case RT_KIND_big:
        tv_add_repr(&w->out, v);
        return;
    case RT_KIND_float:
        write_real(w, v.real);
        return;
    case RT_KIND_text:
        write_text(w, v.text);
        return;
    case RT_KIND_list:
    case RT_KIND_tuple:
        write_list(w, v.list, depth);
        return;
    case RT_KIND_map:
        write_map(w, v.map, depth);
        return;
    default:
        tv_fail(w->vm, "Object of type %s is not JSON serializable", tv_type_name(v));
    }
}

static bool set_separators(writer *w, rt_value v) {
    w->item = tv_text_of(w->vm, w->lines ? "," : ", ");
    w->key = tv_text_of(w->vm, ": ");
    if (v.kind == RT_KIND_missing || v.kind == RT_KIND_none) return !w->vm->failed;
    const rt_list *l = tv_items(w->vm, v);
    if (!l || l->n != 2 || l->at[0].kind != RT_KIND_text || l->at[1].kind != RT_KIND_text) {
        tv_fail(w->vm, "tojson: separators are two texts");
        return false;
    }
    w->item = l->at[0];
    w->key = l->at[1];
    return true;
}

static bool set_indent(writer *w, rt_value v) {
    if (v.kind == RT_KIND_missing || v.kind == RT_KIND_none) return true;
    w->lines = true;
    rt_value one = tv_text_of(w->vm, " ");
    if (v.kind == RT_KIND_text) one = v;
    else if (tv_is_integer(v)) one = tv_arithmetic(w->vm, RT_TOP_mul, one, v);
    else tv_fail(w->vm, "tojson: indent is a number or a text");
    w->indent = one.text;
    return !w->vm->failed;
}

rt_value rt_tplf_tojson(tvm *vm, const tv_args *a) {
    rt_value v[4];
    writer w = {.vm = vm};
    if (!tv_bind(vm, a, "tojson", "ensure_ascii indent separators sort_keys", 0, v))
        return rt_missing();
    w.ascii = tv_truth(vm, v[0]);
    w.sort = tv_truth(vm, v[3]);
    tv_text_begin(vm, &w.out);
    if (!set_indent(&w, v[1]) || !set_separators(&w, v[2])) return rt_missing();
    write_value(&w, a->in, 0);
    return tv_text_end(&w.out);
}
