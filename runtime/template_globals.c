/* template_globals.c - functions that templates can call by name: jinja2's and transformers'. */
#include <string.h>

#include "runtime/template_vm.h"

/* ---- range ---- */

static rt_value call_range(tvm *vm, const tv_args *a) {
    int64_t v[3] = {0, 0, 1};
    if (a->n_named) return tv_fail(vm, "range() takes no keyword arguments");
    if (a->n_pos < 1 || a->n_pos > 3)
        return tv_fail(vm, "range expected 1 to 3 arguments, got %u", a->n_pos);
    for (uint32_t k = 0; k < a->n_pos; k++) {
        if (a->pos[k].kind == TV_undefined) return tv_undefined_error(vm, a->pos[k]);
        if (!tv_is_integer(a->pos[k]))
            return tv_fail(vm, "'%s' object cannot be interpreted as an integer",
                           tv_type_name(a->pos[k]));
        v[a->n_pos == 1 ? 1 : k] = tv_integer(a->pos[k]);
    }
    if (v[2] == 0) return tv_fail(vm, "range() arg 3 must not be zero");
    tv_range *r = rt_region_get(&vm->r, sizeof *r);
    if (!r) return tv_no_memory(vm);
    *r = (tv_range){.start = v[0], .stop = v[1], .step = v[2]};
    if (v[2] > 0 ? v[0] < v[1] : v[0] > v[1]) {
        const uint64_t span =
            v[2] > 0 ? (uint64_t)v[1] - (uint64_t)v[0] : (uint64_t)v[0] - (uint64_t)v[1];
        const uint64_t stride = v[2] > 0 ? (uint64_t)v[2] : 0 - (uint64_t)v[2];
        const uint64_t n = (span - 1) / stride + 1;
        if (n > RT_TPL_MAX_RANGE)
            return tv_fail(vm,
                           "Range too big. The sandbox blocks ranges larger than MAX_RANGE (%d).",
                           RT_TPL_MAX_RANGE);
        r->n = (int64_t)n;
    }
    return (rt_value){.kind = TV_range, .other = r};
}

/* ---- dict and namespace ---- */

static bool add_pairs(tvm *vm, rt_value map, rt_value from) {
    if (from.kind == RT_KIND_map || from.kind == TV_namespace) {
        for (size_t i = 0; i < from.map->n; i++)
            if (!tv_steps(vm, 1) || !tv_set(vm, map, from.map->keys[i], from.map->values[i]))
                return false;
        return true;
    }
    const rt_list *l = tv_items(vm, from);
    for (size_t i = 0; l && i < l->n; i++) {
        const rt_list *pair = tv_items(vm, l->at[i]);
        if (!pair) return false;
        if (pair->n != 2) {
            tv_fail(vm, "dictionary update sequence element has length %llu; 2 is required",
                    (unsigned long long)pair->n);
            return false;
        }
        if (!tv_steps(vm, 1) || !tv_set(vm, map, pair->at[0], pair->at[1])) return false;
    }
    return l != NULL;
}

static rt_value make_map(tvm *vm, const tv_args *a, const char *what) {
    const rt_value m = tv_map(vm);
    if (a->n_pos > 1) return tv_fail(vm, "%s expected at most 1 argument, got %u", what, a->n_pos);
    if (vm->failed || (a->n_pos && !add_pairs(vm, m, a->pos[0]))) return rt_missing();
    for (uint32_t k = 0; k < a->n_named; k++)
        if (!tv_set(vm, m, a->named[2 * k], a->named[2 * k + 1])) return rt_missing();
    return m;
}

static rt_value call_dict(tvm *vm, const tv_args *a) { return make_map(vm, a, "dict"); }

static rt_value call_namespace(tvm *vm, const tv_args *a) {
    rt_value m = make_map(vm, a, "namespace");
    if (m.kind == RT_KIND_missing) return m;
    for (size_t i = 0; i < m.map->n; i++)
        if (m.map->keys[i].kind == RT_KIND_text && m.map->keys[i].text->n &&
            m.map->keys[i].text->at[0] == '_')
            return tv_fail(vm, "attributes of a namespace must not start with '_'");
    m.kind = TV_namespace;
    return m;
}

/* ---- the others ---- */

static rt_value call_raise(tvm *vm, const tv_args *a) {
    rt_value message;
    if (!tv_bind(vm, a, "raise_exception", "message", 1, &message)) return rt_missing();
    message = tv_str(vm, message);
    if (vm->failed) return rt_missing();
    const size_t n = message.text->n < 300 ? message.text->n : 300;
    return tv_fail(vm, "%.*s", (int)n, message.text->at);
}

static rt_value call_strftime(tvm *vm, const tv_args *a) {
    rt_value format;
    if (!tv_bind(vm, a, "strftime_now", "format", 1, &format)) return rt_missing();
    if (format.kind != RT_KIND_text) return tv_fail(vm, "strftime_now wants a text");
    if (!vm->clock) return tv_fail(vm, "the template asks for the time, and none was given");
    return tv_strftime(vm, vm->clock, format.text);
}

static rt_value call_joiner_new(tvm *vm, const tv_args *a) {
    rt_value separator;
    if (!tv_bind(vm, a, "joiner", "sep", 0, &separator)) return rt_missing();
    tv_joiner *j = rt_region_get(&vm->r, sizeof *j);
    if (!j) return tv_no_memory(vm);
    if (separator.kind == RT_KIND_missing) separator = tv_text_of(vm, ", ");
    *j = (tv_joiner){.separator = separator};
    return (rt_value){.kind = TV_joiner, .other = j};
}

static rt_value call_cycler_new(tvm *vm, const tv_args *a) {
    const rt_value l = tv_list(vm);
    if (a->n_named) return tv_fail(vm, "cycler() takes no keyword arguments");
    if (!a->n_pos) return tv_fail(vm, "at least one item has to be provided");
    for (uint32_t k = 0; k < a->n_pos; k++)
        if (!tv_push(vm, l, a->pos[k])) return rt_missing();
    tv_cycler *c = rt_region_get(&vm->r, sizeof *c);
    if (!c) return tv_no_memory(vm);
    *c = (tv_cycler){.items = l.list};
    return (rt_value){.kind = TV_cycler, .other = c};
}

static const tv_row GLOBALS[] = {
    {"range", call_range},           {"dict", call_dict},
    {"namespace", call_namespace},   {"raise_exception", call_raise},
    {"strftime_now", call_strftime}, {"joiner", call_joiner_new},
    {"cycler", call_cycler_new},
};
enum { N_GLOBALS = sizeof GLOBALS / sizeof GLOBALS[0] };

int64_t tv_find_global(const rt_text *name) {
    for (int64_t i = 0; i < N_GLOBALS; i++)
        if (name->n == strlen(GLOBALS[i].name) && !memcmp(name->at, GLOBALS[i].name, name->n))
            return i;
    return -1;
}

rt_value tv_call_global(tvm *vm, uint32_t row, const tv_args *a) { return GLOBALS[row].fn(vm, a); }
