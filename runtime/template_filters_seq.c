/* template_filters_seq.c - filters of lists and maps: jinja2's filters.py.
 *
 * What is a generator there is made whole here and can be walked once. */
#include <string.h>

#include "runtime/template_vm.h"

/* ---- attributes ---- */

/* How an item is looked at: path of keys, then perhaps letter case ignored. */
typedef struct getter {
    rt_value *part; /* texts and ints */
    size_t n, cap;
    rt_value other; /* where a part is undefined; kind missing: stays undefined */
    bool ignore_case;
} getter;

static bool add_path_part(tvm *vm, getter *g, const rt_text *t, size_t from, size_t to) {
    rt_value v = tv_part(vm, t, from, to);
    bool digits = to > from;
    for (size_t i = from; i < to; i++) digits = digits && t->at[i] >= '0' && t->at[i] <= '9';
    if (digits && !vm->failed) v = tv_int_of_text(vm, v.text, 10);
    if (vm->failed) return false;
    rt_value *at = rt_region_grown(&vm->r, g->part, g->n, &g->cap, sizeof *at);
    if (!at) return tv_no_memory(vm).kind != RT_KIND_missing;
    g->part = at;
    at[g->n++] = v;
    return true;
}

/* "a.0.b", an index, or none for the item itself. */
static bool make_getter(tvm *vm, rt_value attribute, getter *g) {
    g->part = NULL;
    g->n = g->cap = 0;
    if (attribute.kind == RT_KIND_missing || attribute.kind == RT_KIND_none) return true;
    if (attribute.kind == RT_KIND_text) {
        const rt_text *t = attribute.text;
        size_t from = 0;
        for (size_t i = 0; i <= t->n; i++) {
            if (i < t->n && t->at[i] != '.') continue;
            if (!add_path_part(vm, g, t, from, i)) return false;
            from = i + 1;
        }
        return true;
    }
    rt_value *at = rt_region_grown(&vm->r, g->part, g->n, &g->cap, sizeof *at);
    if (!at) return tv_no_memory(vm).kind != RT_KIND_missing;
    g->part = at;
    at[g->n++] = attribute;
    return true;
}

static rt_value get(tvm *vm, const getter *g, rt_value item) {
    for (size_t i = 0; i < g->n && !vm->failed; i++) {
        item = tv_item(vm, item, g->part[i]);
        if (item.kind == TV_undefined && g->other.kind != RT_KIND_missing &&
            g->other.kind != RT_KIND_none)
            item = g->other;
    }
    if (vm->failed) return rt_missing();
    if (g->ignore_case && item.kind == RT_KIND_text) return tv_convert(vm, item.text, TV_LOWER);
    return item;
}

/* ---- sorting ---- */

typedef struct sorted {
    rt_value *key, *item;
    size_t n;
} sorted;

static bool goes_first(tvm *vm, const sorted *s, size_t a, size_t b, bool reverse) {
    return tv_compare(vm, s->key[a], s->key[b], "<") == (reverse ? 1 : -1);
}

/* Stable merge of runs; in `order` stand indices. */
static bool merge_sort(tvm *vm, const sorted *s, uint32_t *order, uint32_t *spare, bool reverse) {
    for (size_t width = 1; width < s->n; width *= 2) {
        for (size_t lo = 0; lo < s->n; lo += 2 * width) {
            const size_t mid = lo + width < s->n ? lo + width : s->n;
            const size_t hi = mid + width < s->n ? mid + width : s->n;
            size_t a = lo, b = mid;
            for (size_t w = lo; w < hi; w++) {
                const bool right =
                    b < hi && (a == mid || goes_first(vm, s, order[b], order[a], reverse));
                spare[w] = order[right ? b++ : a++];
                if (vm->failed) return false;
            }
        }
        memcpy(order, spare, s->n * sizeof *order);
    }
    return true;
}

static bool sort_items(tvm *vm, sorted *s, bool reverse) {
    uint32_t *order = rt_region_array(&vm->r, s->n, sizeof *order);
    uint32_t *spare = rt_region_array(&vm->r, s->n, sizeof *spare);
    rt_value *key = rt_region_array(&vm->r, s->n, sizeof *key);
    rt_value *item = rt_region_array(&vm->r, s->n, sizeof *item);
    if (!order || !spare || !key || !item) return tv_no_memory(vm).kind != RT_KIND_missing;
    for (size_t i = 0; i < s->n; i++) order[i] = (uint32_t)i;
    if (!merge_sort(vm, s, order, spare, reverse)) return false;
    for (size_t i = 0; i < s->n; i++) {
        key[i] = s->key[order[i]];
        item[i] = s->item[order[i]];
    }
    s->key = key;
    s->item = item;
    return true;
}

static bool start_sort(tvm *vm, const rt_list *l, sorted *s) {
    s->n = l->n;
    s->key = rt_region_array(&vm->r, l->n, sizeof *s->key);
    s->item = l->at;
    return (s->key && l->n < UINT32_MAX) || tv_no_memory(vm).kind != RT_KIND_missing;
}

static rt_value list_of(tvm *vm, const rt_value *at, size_t n) {
    const rt_value l = tv_list(vm);
    for (size_t i = 0; i < n; i++)
        if (!tv_push(vm, l, at[i])) return rt_missing();
    return l;
}

/* Keys of `sort`: the list of the attributes "a,b". */
static rt_value sort_key(tvm *vm, rt_value attribute, bool ignore_case, rt_value item) {
    const rt_value key = tv_list(vm);
    getter g = {.ignore_case = ignore_case};
    const rt_text *t = attribute.kind == RT_KIND_text ? attribute.text : NULL;
    size_t from = 0;
    for (size_t i = 0; !vm->failed && i <= (t ? t->n : 0); i++) {
        if (t && i < t->n && t->at[i] != ',') continue;
        const rt_value part = t ? tv_part(vm, t, from, i) : attribute;
        if (vm->failed || !make_getter(vm, part, &g) || !tv_push(vm, key, get(vm, &g, item)))
            return rt_missing();
        from = i + 1;
    }
    return vm->failed ? rt_missing() : key;
}

rt_value rt_tplf_sort(tvm *vm, const tv_args *a) {
    rt_value v[3];
    sorted s;
    if (!tv_bind(vm, a, "sort", "reverse case_sensitive attribute", 0, v)) return rt_missing();
    const rt_list *l = tv_items(vm, a->in);
    if (!l || !start_sort(vm, l, &s)) return rt_missing();
    for (size_t i = 0; i < l->n; i++) {
        s.key[i] = sort_key(vm, v[2], !tv_truth(vm, v[1]), l->at[i]);
        if (vm->failed || !tv_steps(vm, 1)) return rt_missing();
    }
    return sort_items(vm, &s, tv_truth(vm, v[0])) ? list_of(vm, s.item, s.n) : rt_missing();
}

rt_value rt_tplf_dictsort(tvm *vm, const tv_args *a) {
    rt_value v[3];
    sorted s;
    if (!tv_bind(vm, a, "dictsort", "case_sensitive by reverse", 0, v)) return rt_missing();
    bool by_value = false;
    if (v[1].kind != RT_KIND_missing) {
        const rt_text *t = v[1].kind == RT_KIND_text ? v[1].text : NULL;
        by_value = t && t->n == 5 && !memcmp(t->at, "value", 5);
        if (!by_value && !(t && t->n == 3 && !memcmp(t->at, "key", 3)))
            return tv_fail(vm, "You can only sort by either \"key\" or \"value\"");
    }
    if (a->in.kind == TV_undefined) return tv_undefined_error(vm, a->in);
    if (a->in.kind != RT_KIND_map)
        return tv_fail(vm, "'%s' object has no attribute 'items'", tv_type_name(a->in));
    const rt_list *l = tv_items(vm, (rt_value){.kind = TV_view, .sub = TV_ITEMS, .map = a->in.map});
    if (!l || !start_sort(vm, l, &s)) return rt_missing();
    const getter whole = {.ignore_case = !tv_truth(vm, v[0])};
    for (size_t i = 0; i < l->n; i++) s.key[i] = get(vm, &whole, l->at[i].list->at[by_value]);
    if (vm->failed || !sort_items(vm, &s, tv_truth(vm, v[2]))) return rt_missing();
    return list_of(vm, s.item, s.n);
}

/* First item, and those with an equal key behind it, as (grouper, list). */
static rt_value make_group(tvm *vm, const sorted *s, size_t from, size_t to, rt_value grouper) {
    rt_value group = tv_list(vm);
    if (vm->failed || !tv_push(vm, group, grouper) ||
        !tv_push(vm, group, list_of(vm, s->item + from, to - from)))
        return rt_missing();
    group.kind = RT_KIND_tuple;
    group.sub = TV_GROUP;
    return group;
}

rt_value rt_tplf_groupby(tvm *vm, const tv_args *a) {
    rt_value v[3];
    sorted s;
    getter g = {0};
    if (!tv_bind(vm, a, "groupby", "attribute default case_sensitive", 1, v)) return rt_missing();
    const rt_list *l = tv_items(vm, a->in);
    const bool case_sensitive = tv_truth(vm, v[2]);
    g.other = v[1];
    if (!l || !start_sort(vm, l, &s) || !make_getter(vm, v[0], &g)) return rt_missing();
    g.ignore_case = !case_sensitive;
    for (size_t i = 0; i < l->n; i++) {
        s.key[i] = get(vm, &g, l->at[i]);
        if (vm->failed || !tv_steps(vm, 1)) return rt_missing();
    }
    const rt_value groups = tv_list(vm);
    if (vm->failed || !sort_items(vm, &s, false)) return rt_missing();
    g.ignore_case = false; /* the group's name is as its first item has it */
    for (size_t i = 0, end; i < s.n; i = end) {
        for (end = i + 1; end < s.n && tv_equal(vm, s.key[i], s.key[end]);) end++;
        if (vm->failed || !tv_push(vm, groups, make_group(vm, &s, i, end, get(vm, &g, s.item[i]))))
            return rt_missing();
    }
    return groups;
}

/* ---- one of many ---- */

static rt_value extreme(tvm *vm, const tv_args *a, const char *what, int wanted) {
    rt_value v[2];
    getter g = {0};
    if (!tv_bind(vm, a, what, "case_sensitive attribute", 0, v)) return rt_missing();
    const rt_list *l = tv_items(vm, a->in);
    if (!l || !make_getter(vm, v[1], &g)) return rt_missing();
    if (!l->n)
        return tv_undefined_new(vm, "No aggregated item, sequence was empty.", NULL, rt_none());
    g.ignore_case = !tv_truth(vm, v[0]);
    rt_value best = l->at[0], best_key = get(vm, &g, best);
    for (size_t i = 1; i < l->n && !vm->failed; i++) {
        const rt_value key = get(vm, &g, l->at[i]);
        if (vm->failed || tv_compare(vm, key, best_key, wanted < 0 ? "<" : ">") != wanted) continue;
        best = l->at[i];
        best_key = key;
    }
    return vm->failed ? rt_missing() : best;
}
rt_value rt_tplf_min(tvm *vm, const tv_args *a) { return extreme(vm, a, "min", -1); }
rt_value rt_tplf_max(tvm *vm, const tv_args *a) { return extreme(vm, a, "max", 1); }

rt_value rt_tplf_first(tvm *vm, const tv_args *a) {
    if (!tv_bind(vm, a, "first", "", 0, NULL)) return rt_missing();
    if (a->in.kind == TV_iter) { /* takes one item and leaves the others */
        tv_iter *it = a->in.other;
        if (it->next < it->items->n) return it->items->at[it->next++];
    }
    if (a->in.kind == RT_KIND_text && a->in.text->n)
        return tv_item(vm, tv_plain(vm, a->in), rt_int(0));
    const rt_list *l = tv_items(vm, a->in);
    if (!l) return rt_missing();
    return l->n ? l->at[0]
                : tv_undefined_new(vm, "No first item, sequence was empty.", NULL, rt_none());
}

rt_value rt_tplf_last(tvm *vm, const tv_args *a) {
    if (!tv_bind(vm, a, "last", "", 0, NULL)) return rt_missing();
    if (a->in.kind == TV_iter) return tv_fail(vm, "'generator' object is not reversible");
    if (a->in.kind == RT_KIND_text && a->in.text->n)
        return tv_item(vm, tv_plain(vm, a->in), rt_int(-1));
    const rt_list *l = tv_items(vm, a->in);
    if (!l) return rt_missing();
    return l->n ? l->at[l->n - 1]
                : tv_undefined_new(vm, "No last item, sequence was empty.", NULL, rt_none());
}

rt_value rt_tplf_sum(tvm *vm, const tv_args *a) {
    rt_value v[2];
    getter g = {0};
    if (!tv_bind(vm, a, "sum", "attribute start", 0, v)) return rt_missing();
    const rt_list *l = tv_items(vm, a->in);
    if (!l || !make_getter(vm, v[0], &g)) return rt_missing();
    rt_value sum = v[1].kind == RT_KIND_missing ? rt_int(0) : v[1];
    if (sum.kind == RT_KIND_text)
        return tv_fail(vm, "sum() can't sum strings [use ''.join(seq) instead]");
    for (size_t i = 0; i < l->n && !vm->failed && tv_steps(vm, 1); i++) {
        const rt_value item = get(vm, &g, l->at[i]);
        if (!vm->failed) sum = tv_add_values(vm, sum, item);
    }
    return vm->failed ? rt_missing() : sum;
}

rt_value rt_tplf_join(tvm *vm, const tv_args *a) {
    rt_value v[2];
    getter g = {0};
    if (!tv_bind(vm, a, "join", "d attribute", 0, v)) return rt_missing();
    const rt_value d = v[0].kind == RT_KIND_missing ? tv_text_of(vm, "") : tv_str(vm, v[0]);
    const rt_list *l = tv_items(vm, a->in);
    tv_text b;
    tv_text_begin(vm, &b);
    if (!l || vm->failed || !make_getter(vm, v[1], &g)) return rt_missing();
    for (size_t i = 0; i < l->n && tv_steps(vm, 1); i++) {
        const rt_value item = get(vm, &g, l->at[i]);
        if (i) tv_add_text(&b, d.text);
        if (!vm->failed) tv_add_str(&b, item);
    }
    return tv_text_end(&b);
}

/* ---- lists from lists ---- */

rt_value rt_tplf_list(tvm *vm, const tv_args *a) {
    if (!tv_bind(vm, a, "list", "", 0, NULL)) return rt_missing();
    const rt_list *l = tv_items(vm, a->in);
    if (!l || !tv_steps(vm, l->n)) return rt_missing();
    return list_of(vm, l->at, l->n);
}

rt_value rt_tplf_items(tvm *vm, const tv_args *a) {
    if (!tv_bind(vm, a, "items", "", 0, NULL)) return rt_missing();
    rt_value in = a->in;
    if (in.kind == RT_KIND_map) in = (rt_value){.kind = TV_view, .sub = TV_ITEMS, .map = in.map};
    else if (in.kind != TV_undefined) return tv_fail(vm, "Can only get item pairs from a mapping.");
    const rt_list *l = tv_items(vm, in);
    return l ? tv_iter_over(vm, list_of(vm, l->at, l->n)) : rt_missing();
}

rt_value rt_tplf_reverse(tvm *vm, const tv_args *a) {
    if (!tv_bind(vm, a, "reverse", "", 0, NULL)) return rt_missing();
    if (a->in.kind == RT_KIND_text) {
        const rt_value back[3] = {rt_none(), rt_none(), rt_int(-1)};
        return tv_slice(vm, a->in, back);
    }
    const rt_list *l = tv_items(vm, a->in);
    const rt_value out = tv_list(vm);
    if (!l) return rt_missing();
    for (size_t i = l->n; i-- > 0;)
        if (!tv_steps(vm, 1) || !tv_push(vm, out, l->at[i])) return rt_missing();
    return a->in.kind == TV_iter || vm->failed ? out : tv_iter_over(vm, out);
}

rt_value rt_tplf_unique(tvm *vm, const tv_args *a) {
    rt_value v[2];
    getter g = {0};
    if (!tv_bind(vm, a, "unique", "case_sensitive attribute", 0, v)) return rt_missing();
    const rt_list *l = tv_items(vm, a->in);
    const rt_value seen = tv_map(vm), out = tv_list(vm);
    if (!l || vm->failed || !make_getter(vm, v[1], &g)) return rt_missing();
    g.ignore_case = !tv_truth(vm, v[0]);
    bool undefined_seen = false; /* all undefined values are equal */
    for (size_t i = 0; i < l->n && tv_steps(vm, 1); i++) {
        const rt_value key = get(vm, &g, l->at[i]);
        if (vm->failed) return rt_missing();
        const bool undefined = key.kind == TV_undefined;
        const bool known =
            undefined ? undefined_seen : tv_hashable(key) && rt_map_find(seen.map, key) >= 0;
        if (known) continue;
        if (undefined) undefined_seen = true;
        else if (!tv_set(vm, seen, key, rt_none())) return rt_missing();
        if (!tv_push(vm, out, l->at[i])) return rt_missing();
    }
    return vm->failed ? rt_missing() : tv_iter_over(vm, out);
}

static bool count_argument(tvm *vm, rt_value v, int64_t *n) {
    if (!tv_is_integer(v)) {
        tv_fail(vm, "'%s' object cannot be interpreted as an integer", tv_type_name(v));
        return false;
    }
    *n = tv_integer(v);
    return true;
}

rt_value rt_tplf_batch(tvm *vm, const tv_args *a) {
    rt_value v[2];
    int64_t n;
    if (!tv_bind(vm, a, "batch", "linecount fill_with", 1, v) || !count_argument(vm, v[0], &n))
        return rt_missing();
    const rt_list *l = tv_items(vm, a->in);
    const rt_value out = tv_list(vm);
    if (!l || vm->failed) return rt_missing();
    rt_value row = tv_list(vm);
    for (size_t i = 0; i < l->n && tv_steps(vm, 1); i++) {
        if ((int64_t)row.list->n == n) {
            if (!tv_push(vm, out, row)) return rt_missing();
            row = tv_list(vm);
        }
        if (vm->failed || !tv_push(vm, row, l->at[i])) return rt_missing();
    }
    if (vm->failed) return rt_missing();
    const bool fill = v[1].kind != RT_KIND_missing && v[1].kind != RT_KIND_none;
    while (row.list->n && fill && (int64_t)row.list->n < n)
        if (!tv_steps(vm, 1) || !tv_push(vm, row, v[1])) return rt_missing();
    if (row.list->n && !tv_push(vm, out, row)) return rt_missing();
    return tv_iter_over(vm, out);
}

rt_value rt_tplf_slice(tvm *vm, const tv_args *a) {
    rt_value v[2];
    int64_t n;
    if (!tv_bind(vm, a, "slice", "slices fill_with", 1, v) || !count_argument(vm, v[0], &n))
        return rt_missing();
    const rt_list *l = tv_items(vm, a->in);
    const rt_value out = tv_list(vm);
    if (!l || vm->failed) return rt_missing();
    if (n == 0) return tv_fail(vm, "integer division or modulo by zero");
    const bool fill = v[1].kind != RT_KIND_missing && v[1].kind != RT_KIND_none;
    const int64_t each = (int64_t)l->n / n, extra = (int64_t)l->n % n;
    size_t at = 0;
    for (int64_t k = 0; k < n && tv_steps(vm, 1); k++) {
        const size_t count = (size_t)each + (k < extra);
        const rt_value part = list_of(vm, l->at + at, count);
        at += count;
        if (vm->failed || (fill && k >= extra && !tv_push(vm, part, v[1])) ||
            !tv_push(vm, out, part))
            return rt_missing();
    }
    return vm->failed ? rt_missing() : tv_iter_over(vm, out);
}

/* ---- map, select, reject ---- */

/* A filter or test called by its name, with the arguments behind it. */
static rt_value call_row(tvm *vm, const tv_row *row, rt_value item, const tv_args *a,
                         uint32_t skip) {
    const tv_args inner = {.in = item,
                           .pos = a->pos + skip,
                           .n_pos = a->n_pos - skip,
                           .named = a->named,
                           .n_named = a->n_named};
    if (vm->n_calls == RT_TPL_MAX_CALLS)
        return tv_fail(vm, "filters call each other too deeply (limit %d)", RT_TPL_MAX_CALLS);
    vm->n_calls++;
    const rt_value v = row->fn(vm, &inner);
    vm->n_calls--;
    return v;
}

static const tv_row *named_row(tvm *vm, rt_value name, bool filter) {
    const int64_t i = name.kind != RT_KIND_text ? -1
                      : filter                  ? tv_find_filter(name.text)
                                                : tv_find_test(name.text);
    if (i >= 0) return filter ? &tv_filters[i] : &tv_tests[i];
    const rt_value shown = tv_str(vm, name);
    if (!vm->failed)
        tv_fail(vm, "No %s named '%.*s'.", filter ? "filter" : "test",
                (int)(shown.text->n < 100 ? shown.text->n : 100), shown.text->at);
    return NULL;
}

rt_value rt_tplf_map(tvm *vm, const tv_args *a) {
    const rt_value out = tv_list(vm);
    if (!tv_truth(vm, a->in)) return vm->failed ? rt_missing() : tv_iter_over(vm, out);
    getter g = {0};
    const tv_row *row = NULL;
    if (!a->n_pos && a->n_named) {
        rt_value v[2];
        if (!tv_bind(vm, a, "map", "attribute default", 1, v) || !make_getter(vm, v[0], &g))
            return rt_missing();
        g.other = v[1];
    } else if (a->n_pos) {
        row = named_row(vm, a->pos[0], true);
        if (!row) return rt_missing();
    } else {
        return tv_fail(vm, "map requires a filter argument");
    }
    const rt_list *l = tv_items(vm, a->in);
    for (size_t i = 0; l && i < l->n && tv_steps(vm, 1); i++) {
        const rt_value v = row ? call_row(vm, row, l->at[i], a, 1) : get(vm, &g, l->at[i]);
        if (!tv_push(vm, out, v)) return rt_missing();
    }
    return !l || vm->failed ? rt_missing() : tv_iter_over(vm, out);
}

static rt_value pick(tvm *vm, const tv_args *a, bool wanted, bool by_attribute) {
    const rt_value out = tv_list(vm);
    if (!tv_truth(vm, a->in)) return vm->failed ? rt_missing() : tv_iter_over(vm, out);
    getter g = {0};
    const uint32_t skip = by_attribute ? 1 : 0;
    const tv_row *row = NULL;
    if (a->n_pos < skip) return tv_fail(vm, "Missing parameter for attribute name");
    if (by_attribute && !make_getter(vm, a->pos[0], &g)) return rt_missing();
    if (a->n_pos > skip) {
        row = named_row(vm, a->pos[skip], false);
        if (!row) return rt_missing();
    }
    const rt_list *l = tv_items(vm, a->in);
    for (size_t i = 0; l && i < l->n && tv_steps(vm, 1); i++) {
        rt_value v = get(vm, &g, l->at[i]);
        if (row && !vm->failed) v = call_row(vm, row, v, a, skip + 1);
        if (vm->failed) return rt_missing();
        if (tv_truth(vm, v) == wanted && !tv_push(vm, out, l->at[i])) return rt_missing();
    }
    return !l || vm->failed ? rt_missing() : tv_iter_over(vm, out);
}
rt_value rt_tplf_select(tvm *vm, const tv_args *a) { return pick(vm, a, true, false); }
rt_value rt_tplf_reject(tvm *vm, const tv_args *a) { return pick(vm, a, false, false); }
rt_value rt_tplf_selectattr(tvm *vm, const tv_args *a) { return pick(vm, a, true, true); }
rt_value rt_tplf_rejectattr(tvm *vm, const tv_args *a) { return pick(vm, a, false, true); }
