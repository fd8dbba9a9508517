/* template_ops.c - Python's operators on the renderer's values, and jinja2's look-ups. */
#include <string.h>

#include "runtime/template_vm.h"
#include "runtime/utf8.h"
#include "runtime/value_number.h"

/* ---- what a value is ---- */

const char *tv_type_name(rt_value v) {
    static const char *const NAMES[TV_KIND_COUNT] = {
        [RT_KIND_missing] = "NoneType",
        [RT_KIND_none] = "NoneType",
        [RT_KIND_bool] = "bool",
        [RT_KIND_int] = "int",
        [RT_KIND_big] = "int",
        [RT_KIND_float] = "float",
        [RT_KIND_text] = "str",
        [RT_KIND_list] = "list",
        [RT_KIND_tuple] = "tuple",
        [RT_KIND_map] = "dict",
        [TV_undefined] = "Undefined",
        [TV_range] = "range",
        [TV_iter] = "generator",
        [TV_namespace] = "Namespace",
        [TV_loop] = "LoopContext",
        [TV_macro] = "Macro",
        [TV_method] = "builtin_function_or_method",
        [TV_global] = "function",
        [TV_joiner] = "Joiner",
        [TV_cycler] = "Cycler",
    };
    static const char *const VIEWS[] = {"dict_keys", "dict_values", "dict_items"};
    if (v.kind == TV_view) return VIEWS[v.sub];
    return v.kind == RT_KIND_text && v.text->markup ? "Markup" : NAMES[v.kind];
}

bool tv_is_integer(rt_value v) { return v.kind == RT_KIND_bool || v.kind == RT_KIND_int; }
int64_t tv_integer(rt_value v) { return v.kind == RT_KIND_bool ? v.boolean : v.integer; }

bool tv_truth(tvm *vm, rt_value v) {
    int64_t n = 0;
    switch (v.kind) {
    case RT_KIND_missing:
    case RT_KIND_none:
    case TV_undefined:
        return false;
    case RT_KIND_bool:
        return v.boolean;
    case RT_KIND_int:
        return v.integer != 0;
    case RT_KIND_float:
        return v.real != 0;
    case RT_KIND_text:
        return v.text->n != 0;
    case RT_KIND_list:
    case RT_KIND_tuple:
        return v.list->n != 0;
    case RT_KIND_map:
    case TV_view:
        return v.map->n != 0;
    case TV_range:
        return ((const tv_range *)v.other)->n != 0;
    case TV_loop:
        return tv_loop_length(vm, v.other, &n) && n != 0;
    default:
        return true;
    }
}

bool tv_hashable(rt_value v) {
    if (v.kind == RT_KIND_list || v.kind == RT_KIND_map || v.kind == TV_view) return false;
    if (v.kind != RT_KIND_tuple) return true;
    for (size_t i = 0; i < v.list->n; i++)
        if (!tv_hashable(v.list->at[i])) return false;
    return true;
}

bool tv_length(tvm *vm, rt_value v, int64_t *n) {
    switch (v.kind) {
    case RT_KIND_text:
        *n = tv_chars(vm, v.text);
        return !vm->failed;
    case RT_KIND_list:
    case RT_KIND_tuple:
        *n = (int64_t)v.list->n;
        return true;
    case RT_KIND_map:
    case TV_view:
        *n = (int64_t)v.map->n;
        return true;
    case TV_range:
        *n = ((const tv_range *)v.other)->n;
        return true;
    case TV_undefined:
        *n = 0;
        return true;
    case TV_loop:
        return tv_loop_length(vm, v.other, n);
    default:
        tv_fail(vm, "object of type '%s' has no len()", tv_type_name(v));
        return false;
    }
}

/* ---- containers made here ---- */

rt_value tv_list(tvm *vm) {
    const rt_value l = rt_list_new(&vm->r);
    return l.kind == RT_KIND_missing ? tv_no_memory(vm) : l;
}

rt_value tv_map(tvm *vm) {
    const rt_value m = rt_map_new(&vm->r);
    return m.kind == RT_KIND_missing ? tv_no_memory(vm) : m;
}

static bool too_deep(tvm *vm, rt_value v) {
    if (rt_value_depth(v) < RT_VALUE_DEPTH) return false;
    tv_fail(vm, "values are nested too deeply");
    return true;
}

bool tv_push(tvm *vm, rt_value list, rt_value v) {
    if (vm->failed || v.kind == RT_KIND_missing || too_deep(vm, v)) return false;
    if (rt_list_add(&vm->r, list, v)) return true;
    tv_no_memory(vm);
    return false;
}

bool tv_set(tvm *vm, rt_value map, rt_value key, rt_value v) {
    if (vm->failed || v.kind == RT_KIND_missing || key.kind == RT_KIND_missing) return false;
    if (!tv_hashable(key)) {
        tv_fail(vm, "unhashable type: '%s'", tv_type_name(key));
        return false;
    }
    if (too_deep(vm, v) || too_deep(vm, key)) return false;
    if (rt_map_set(&vm->r, map, key, v)) return true;
    tv_no_memory(vm);
    return false;
}

rt_value tv_iter_over(tvm *vm, rt_value list) {
    if (list.kind == RT_KIND_missing) return list;
    tv_iter *it = rt_region_get(&vm->r, sizeof *it);
    if (!it) return tv_no_memory(vm);
    *it = (tv_iter){.items = list.list};
    return (rt_value){.kind = TV_iter, .other = it};
}

/* ---- iteration ---- */

static const rt_list *text_items(tvm *vm, const rt_text *t) {
    const rt_value l = tv_list(vm);
    uint32_t cp;
    for (size_t i = 0, n; i < t->n && !vm->failed; i += n) {
        n = tv_next_char(t, i, &cp);
        rt_value c = tv_part(vm, t, i, i + n);
        if (!tv_steps(vm, 1) || !tv_push(vm, l, c)) return NULL;
        c.text->markup = 0;
        c.text->n_chars = 1;
    }
    return vm->failed ? NULL : l.list;
}

static const rt_list *range_items(tvm *vm, const tv_range *r) {
    const rt_value l = tv_list(vm);
    for (int64_t i = 0; i < r->n; i++)
        if (!tv_steps(vm, 1) || !tv_push(vm, l, rt_int(r->start + i * r->step))) return NULL;
    return vm->failed ? NULL : l.list;
}

static const rt_list *map_items(tvm *vm, const rt_map *m, tv_view_of what) {
    const rt_value l = tv_list(vm);
    for (size_t i = 0; i < m->n && !vm->failed; i++) {
        rt_value v = what == TV_KEYS ? m->keys[i] : m->values[i];
        if (what == TV_ITEMS) {
            v = tv_list(vm);
            if (!tv_push(vm, v, m->keys[i]) || !tv_push(vm, v, m->values[i])) return NULL;
            v.kind = RT_KIND_tuple;
        }
        if (!tv_steps(vm, 1) || !tv_push(vm, l, v)) return NULL;
    }
    return vm->failed ? NULL : l.list;
}

static const rt_list *rest_of_iter(tvm *vm, tv_iter *it) {
    const rt_value l = tv_list(vm);
    while (it->next < it->items->n)
        if (!tv_push(vm, l, it->items->at[it->next++])) return NULL;
    return vm->failed ? NULL : l.list;
}

const rt_list *tv_items(tvm *vm, rt_value v) {
    static const rt_list NONE = {.depth = 1};
    switch (v.kind) {
    case RT_KIND_list:
    case RT_KIND_tuple:
        return v.list;
    case RT_KIND_map:
        return map_items(vm, v.map, TV_KEYS);
    case TV_view:
        return map_items(vm, v.map, (tv_view_of)v.sub);
    case RT_KIND_text:
        return text_items(vm, v.text);
    case TV_range:
        return range_items(vm, v.other);
    case TV_iter:
        return rest_of_iter(vm, v.other);
    case TV_undefined:
        return &NONE;
    default:
        tv_fail(vm, "'%s' object is not iterable", tv_type_name(v));
        return NULL;
    }
}

/* ---- comparison ---- */

static bool lists_equal(tvm *vm, const rt_list *a, const rt_list *b) {
    if (a->n != b->n) return false;
    for (size_t i = 0; i < a->n; i++)
        if (!tv_equal(vm, a->at[i], b->at[i])) return false;
    return true;
}

static bool maps_equal(tvm *vm, const rt_map *a, const rt_map *b) {
    if (a->n != b->n) return false;
    for (size_t i = 0; i < a->n; i++) {
        const int64_t k = rt_map_find(b, a->keys[i]);
        if (k < 0 || !tv_equal(vm, a->values[i], b->values[k])) return false;
    }
    return true;
}

static bool ranges_equal(const tv_range *a, const tv_range *b) {
    if (a->n != b->n) return false;
    return a->n == 0 || (a->start == b->start && (a->n == 1 || a->step == b->step));
}

bool tv_equal(tvm *vm, rt_value a, rt_value b) {
    if (!tv_steps(vm, 1)) return false;
    if (a.kind == b.kind) {
        if (a.kind == RT_KIND_list || a.kind == RT_KIND_tuple)
            return lists_equal(vm, a.list, b.list);
        if (a.kind == RT_KIND_map) return maps_equal(vm, a.map, b.map);
        if (a.kind == TV_undefined) return true;
        if (a.kind == TV_range) return ranges_equal(a.other, b.other);
        if (a.kind == TV_global || a.kind == TV_view) return a.sub == b.sub && a.other == b.other;
        if (a.kind == RT_KIND_text && a.text->n == b.text->n && !tv_work(vm, a.text->n))
            return false;
    }
    return rt_key_equal(a, b);
}

static int compare_texts(tvm *vm, const rt_text *a, const rt_text *b) {
    const size_t n = a->n < b->n ? a->n : b->n;
    if (!tv_work(vm, n)) return 2;
    const int c = n ? memcmp(a->at, b->at, n) : 0; /* UTF-8 sorts as its characters do */
    if (c) return c < 0 ? -1 : 1;
    return a->n < b->n ? -1 : a->n > b->n;
}

int tv_compare(tvm *vm, rt_value a, rt_value b, const char *op) {
    if (!tv_steps(vm, 1)) return 2;
    if (rt_is_number(a) && rt_is_number(b)) return rt_number_compare(a, b);
    if (a.kind == RT_KIND_text && b.kind == RT_KIND_text) return compare_texts(vm, a.text, b.text);
    if (a.kind == b.kind && (a.kind == RT_KIND_list || a.kind == RT_KIND_tuple)) {
        for (size_t i = 0; i < a.list->n && i < b.list->n; i++)
            if (!tv_equal(vm, a.list->at[i], b.list->at[i]))
                return tv_compare(vm, a.list->at[i], b.list->at[i], op);
        return a.list->n < b.list->n ? -1 : a.list->n > b.list->n;
    }
    if (a.kind == TV_undefined || b.kind == TV_undefined)
        tv_undefined_error(vm, a.kind == TV_undefined ? a : b);
    else
        tv_fail(vm, "'%s' not supported between instances of '%s' and '%s'", op, tv_type_name(a),
                tv_type_name(b));
    return 2;
}

bool tv_in(tvm *vm, rt_value item, rt_value container) {
    if (container.kind == RT_KIND_text) {
        if (item.kind != RT_KIND_text) {
            tv_fail(vm, "'in <string>' requires string as left operand, not %s",
                    tv_type_name(item));
            return false;
        }
        const rt_text *h = container.text, *t = item.text;
        if (!tv_work(vm, h->n)) return false;
        return t->n == 0 || memmem(h->at, h->n, t->at, t->n) != NULL;
    }
    if (container.kind == RT_KIND_map || (container.kind == TV_view && container.sub == TV_KEYS)) {
        if (tv_hashable(item)) return rt_map_find(container.map, item) >= 0;
        tv_fail(vm, "unhashable type: '%s'", tv_type_name(item));
        return false;
    }
    const rt_list *l = container.kind == TV_namespace || container.kind == TV_loop
                           ? NULL
                           : tv_items(vm, container);
    if (!l) {
        tv_fail(vm, "argument of type '%s' is not iterable", tv_type_name(container));
        return false;
    }
    for (size_t i = 0; i < l->n && !vm->failed; i++)
        if (tv_equal(vm, l->at[i], item)) return true;
    return false;
}

/* ---- undefined ---- */

rt_value tv_undefined_new(tvm *vm, const char *hint, const char *owner, rt_value name) {
    tv_undefined *u = rt_region_get(&vm->r, sizeof *u);
    if (!u) return tv_no_memory(vm);
    *u = (tv_undefined){.hint = hint, .owner = owner, .name = name};
    return (rt_value){.kind = TV_undefined, .other = u};
}

rt_value tv_undefined_error(tvm *vm, rt_value v) {
    const tv_undefined *u = v.other;
    if (u->hint) return tv_fail(vm, "%s", u->hint);
    tv_text b;
    tv_text_begin(vm, &b);
    tv_add_repr(&b, u->name);
    tv_add_bytes(&b, "", 1, RT_FROM_TEMPLATE);
    const rt_value name = tv_text_end(&b);
    if (name.kind == RT_KIND_missing) return name;
    if (!u->owner) return tv_fail(vm, "%s is undefined", name.text->at);
    if (u->name.kind != RT_KIND_text)
        return tv_fail(vm, "%s has no element %s", u->owner, name.text->at);
    return tv_fail(vm, "'%s' has no attribute %s", u->owner, name.text->at);
}

/* ---- look-ups ---- */

static const char *owner_name(rt_value v) {
    static const char *const NAMES[TV_KIND_COUNT] = {
        [RT_KIND_none] = "None",
        [RT_KIND_bool] = "bool object",
        [RT_KIND_int] = "int object",
        [RT_KIND_big] = "int object",
        [RT_KIND_float] = "float object",
        [RT_KIND_text] = "str object",
        [RT_KIND_list] = "list object",
        [RT_KIND_tuple] = "tuple object",
        [RT_KIND_map] = "dict object",
        [TV_range] = "range object",
        [TV_iter] = "generator object",
        [TV_namespace] = "namespace object",
        [TV_loop] = "jinja2.runtime.LoopContext object",
        [TV_macro] = "jinja2.runtime.Macro object",
    };
    return NAMES[v.kind] ? NAMES[v.kind] : "object";
}

static rt_value not_there(tvm *vm, rt_value v, rt_value name) {
    return tv_undefined_new(vm, NULL, owner_name(v), name);
}

rt_value tv_own_attr(tvm *vm, rt_value v, const rt_text *name) {
    bool unsafe;
    const int64_t row = tv_find_method(v, name, &unsafe);
    if (unsafe)
        return tv_undefined_new(vm, "access to an attribute that changes the object is unsafe",
                                NULL, rt_none());
    if (row >= 0) {
        rt_value *self = rt_region_get(&vm->r, sizeof *self);
        if (!self) return tv_no_memory(vm);
        *self = v;
        return (rt_value){.kind = TV_method, .sub = (uint32_t)row, .other = self};
    }
    char small[16];
    if (name->n >= sizeof small) return rt_missing();
    memcpy(small, name->at, name->n);
    small[name->n] = 0;
    if (v.kind == RT_KIND_tuple && v.sub == TV_GROUP) {
        if (!strcmp(small, "grouper")) return v.list->at[0];
        if (!strcmp(small, "list")) return v.list->at[1];
    }
    if (v.kind == TV_loop) return tv_loop_attr(vm, v, small);
    if (v.kind == TV_cycler && !strcmp(small, "current")) {
        const tv_cycler *c = v.other;
        return c->items->at[c->next];
    }
    return rt_missing();
}

rt_value tv_attr(tvm *vm, rt_value v, rt_value name) {
    if (v.kind == TV_undefined) return tv_undefined_error(vm, v);
    const rt_value own = tv_own_attr(vm, v, name.text);
    if (own.kind != RT_KIND_missing || vm->failed) return own;
    if (v.kind == RT_KIND_map || v.kind == TV_namespace) {
        const int64_t i = rt_map_find(v.map, name);
        if (i >= 0) return v.map->values[i];
    }
    return not_there(vm, v, name);
}

/* Index from the front; false: out of range. */
static bool index_in(int64_t i, int64_t n, int64_t *out) {
    *out = i < 0 ? i + n : i;
    return *out >= 0 && *out < n;
}

static rt_value text_item(tvm *vm, rt_text *t, int64_t i) {
    if (!index_in(i, tv_chars(vm, t), &i) || vm->failed) return rt_missing();
    const size_t at = tv_offset(vm, t, i);
    uint32_t cp;
    return at < t->n ? tv_part(vm, t, at, at + tv_next_char(t, at, &cp)) : rt_missing();
}

/* v[key] in Python's sense; kind missing without failure: a TypeError or LookupError. */
static rt_value own_item(tvm *vm, rt_value v, rt_value key) {
    int64_t i;
    if (v.kind == RT_KIND_map) {
        const int64_t at = tv_hashable(key) ? rt_map_find(v.map, key) : -1;
        return at < 0 ? rt_missing() : v.map->values[at];
    }
    if (!tv_is_integer(key)) return rt_missing();
    if (v.kind == RT_KIND_list || v.kind == RT_KIND_tuple)
        return index_in(tv_integer(key), (int64_t)v.list->n, &i) ? v.list->at[i] : rt_missing();
    if (v.kind == RT_KIND_text) return text_item(vm, v.text, tv_integer(key));
    if (v.kind == TV_range) {
        const tv_range *r = v.other;
        return index_in(tv_integer(key), r->n, &i) ? rt_int(r->start + i * r->step) : rt_missing();
    }
    return rt_missing();
}

rt_value tv_item(tvm *vm, rt_value v, rt_value key) {
    if (v.kind == TV_undefined) return tv_undefined_error(vm, v);
    const rt_value item = own_item(vm, v, key);
    if (item.kind != RT_KIND_missing || vm->failed) return item;
    if (key.kind == RT_KIND_text) {
        const rt_value own = tv_own_attr(vm, v, key.text);
        if (own.kind != RT_KIND_missing || vm->failed) return own;
        if (v.kind == TV_namespace) {
            const int64_t i = rt_map_find(v.map, key);
            if (i >= 0) return v.map->values[i];
        }
    }
    return not_there(vm, v, key);
}

/* Python's slice.indices: first index, step, and how many. */
static bool slice_range(tvm *vm, const rt_value part[3], int64_t n, tv_range *out) {
    int64_t v[3];
    for (int k = 0; k < 3; k++) {
        if (part[k].kind != RT_KIND_none && !tv_is_integer(part[k])) {
            tv_fail(vm, "slice indices must be integers or None or have an __index__ method");
            return false;
        }
        v[k] = part[k].kind == RT_KIND_none ? 0 : tv_integer(part[k]);
    }
    const int64_t step = part[2].kind == RT_KIND_none ? 1 : v[2];
    if (step == 0) {
        tv_fail(vm, "slice step cannot be zero");
        return false;
    }
    const int64_t lo = step < 0 ? -1 : 0, hi = step < 0 ? n - 1 : n;
    int64_t bound[2] = {step < 0 ? hi : lo, step < 0 ? lo : hi};
    for (int k = 0; k < 2; k++) {
        if (part[k].kind == RT_KIND_none) continue;
        int64_t i = v[k] < 0 ? v[k] + n : v[k];
        bound[k] = i < lo ? lo : i > hi ? hi : i;
    }
    *out = (tv_range){.start = bound[0], .stop = bound[1], .step = step};
    const int64_t span = step < 0 ? bound[0] - bound[1] : bound[1] - bound[0];
    const uint64_t stride = step < 0 ? 0 - (uint64_t)step : (uint64_t)step;
    if (span > 0) out->n = (int64_t)(((uint64_t)span - 1) / stride) + 1;
    return true;
}

static rt_value slice_text(tvm *vm, rt_text *t, const tv_range *s) {
    if (s->step == 1) {
        const size_t from = tv_offset(vm, t, s->start), to = tv_offset(vm, t, s->start + s->n);
        return tv_part(vm, t, from, to < from ? from : to);
    }
    const rt_list *chars = text_items(vm, t);
    if (!chars) return rt_missing();
    tv_text b;
    tv_text_begin(vm, &b);
    for (int64_t i = 0; i < s->n; i++) tv_add_text(&b, chars->at[s->start + i * s->step].text);
    rt_value v = tv_text_end(&b);
    if (v.kind == RT_KIND_text) v.text->markup = t->markup;
    return v;
}

rt_value tv_slice(tvm *vm, rt_value v, const rt_value part[3]) {
    int64_t n;
    tv_range s;
    if (v.kind == TV_undefined) return tv_undefined_error(vm, v);
    if (v.kind != RT_KIND_text && v.kind != RT_KIND_list && v.kind != RT_KIND_tuple &&
        v.kind != TV_range)
        return v.kind == RT_KIND_map
                   ? tv_fail(vm, "unhashable type: 'slice'")
                   : tv_fail(vm, "'%s' object is not subscriptable", tv_type_name(v));
    if (!tv_length(vm, v, &n) || !slice_range(vm, part, n, &s)) return rt_missing();
    if (v.kind == RT_KIND_text) return slice_text(vm, v.text, &s);
    if (v.kind == TV_range) {
        const tv_range *r = v.other;
        tv_range *part_of = rt_region_get(&vm->r, sizeof *part_of);
        if (!part_of) return tv_no_memory(vm);
        *part_of = (tv_range){.start = r->start + s.start * r->step,
                              .stop = r->start + s.stop * r->step,
                              .step = s.n > 1 ? r->step * s.step : r->step,
                              .n = s.n};
        return (rt_value){.kind = TV_range, .other = part_of};
    }
    const rt_value l = tv_list(vm);
    for (int64_t i = 0; i < s.n; i++)
        if (!tv_steps(vm, 1) || !tv_push(vm, l, v.list->at[s.start + i * s.step]))
            return rt_missing();
    return vm->failed ? rt_missing() : (rt_value){.kind = v.kind, .list = l.list};
}
