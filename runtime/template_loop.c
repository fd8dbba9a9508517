/* template_loop.c - what `loop` is: jinja2's LoopContext.
 *
 * A loop with a condition picks its items one by one as they are asked for, so that the condition
 * sees what the body did to namespaces; looking ahead (last, length, nextitem) asks early. */
#include <string.h>

#include "runtime/template_vm.h"

rt_value tv_loop_new(tvm *vm, tv_frame *frame, rt_value over, uint32_t condition, bool recursive) {
    const rt_list *items = tv_items(vm, over);
    tv_loop *l = rt_region_get(&vm->r, sizeof *l);
    if (!items) return rt_missing();
    if (!l) return tv_no_memory(vm);
    *l = (tv_loop){.items = items,
                   .condition = condition,
                   .frame = frame,
                   .body = recursive ? frame : NULL,
                   .index0 = -1,
                   .length = condition ? -1 : (int64_t)items->n,
                   .depth0 = recursive ? frame->depth0 : 0};
    return (rt_value){.kind = TV_loop, .other = l};
}

/* 1: the condition holds, 0: not, -1: failed. */
static int picks(tvm *vm, const tv_loop *l, rt_value item) {
    if (!l->condition) return 1;
    tv_frame *f = tv_frame_new(vm, l->condition - 1, l->frame);
    if (!f) return -1;
    f->slot[0] = item;
    const rt_value v = tv_run(vm, l->condition - 1, f);
    if (v.kind == RT_KIND_missing) return -1;
    const bool truth = tv_truth(vm, v);
    return vm->failed ? -1 : truth;
}

/* The next item that the condition picks. */
static int pull(tvm *vm, tv_loop *l, rt_value *item) {
    while (l->next < l->items->n) {
        *item = l->items->at[l->next++];
        if (!tv_steps(vm, 1)) return -1;
        const int ok = picks(vm, l, *item);
        if (ok) return ok;
    }
    return 0;
}

/* Looks at the item after the current one; l->after stays missing where there is none. */
static bool look_ahead(tvm *vm, tv_loop *l) {
    rt_value item;
    if (l->after.kind != RT_KIND_missing) return true;
    const int got = pull(vm, l, &item);
    if (got == 1) l->after = item;
    return got >= 0;
}

int tv_loop_next(tvm *vm, tv_loop *l, rt_value *item) {
    if (l->after.kind != RT_KIND_missing) {
        *item = l->after;
        l->after = rt_missing();
    } else {
        const int got = pull(vm, l, item);
        if (got != 1) return got;
    }
    l->index0++;
    l->before = l->current;
    l->current = *item;
    return 1;
}

bool tv_loop_length(tvm *vm, tv_loop *l, int64_t *n) {
    if (l->length < 0) { /* picks all that are left */
        const rt_value rest = tv_list(vm);
        rt_value item;
        int got;
        while ((got = pull(vm, l, &item)) == 1)
            if (!tv_push(vm, rest, item)) return false;
        if (got < 0 || vm->failed) return false;
        l->items = rest.list;
        l->next = 0;
        l->condition = 0;
        l->length = (int64_t)rest.list->n + l->index0 + 1 + (l->after.kind != RT_KIND_missing);
    }
    *n = l->length;
    return true;
}

typedef enum loop_attr {
    A_index,
    A_index0,
    A_revindex,
    A_revindex0,
    A_first,
    A_last,
    A_length,
    A_previtem,
    A_nextitem,
    A_depth,
    A_depth0,
    A_COUNT
} loop_attr;

static int find_attr(const char *name) {
    static const char *const NAMES[A_COUNT] = {"index",    "index0", "revindex", "revindex0",
                                               "first",    "last",   "length",   "previtem",
                                               "nextitem", "depth",  "depth0"};
    for (int i = 0; i < A_COUNT; i++)
        if (!strcmp(name, NAMES[i])) return i;
    return -1;
}

static rt_value neighbour(tvm *vm, tv_loop *l, bool next) {
    if (!next)
        return l->index0 <= 0 ? tv_undefined_new(vm, "there is no previous item", NULL, rt_none())
                              : l->before;
    if (!look_ahead(vm, l)) return rt_missing();
    return l->after.kind == RT_KIND_missing
               ? tv_undefined_new(vm, "there is no next item", NULL, rt_none())
               : l->after;
}

rt_value tv_loop_attr(tvm *vm, rt_value loop, const char *name) {
    tv_loop *l = loop.other;
    int64_t n = 0;
    const int attr = find_attr(name);
    if ((attr == A_revindex || attr == A_revindex0 || attr == A_length) &&
        !tv_loop_length(vm, l, &n))
        return rt_missing();
    switch (attr) {
    case A_index:
        return rt_int(l->index0 + 1);
    case A_index0:
        return rt_int(l->index0);
    case A_revindex:
        return rt_int(n - l->index0);
    case A_revindex0:
        return rt_int(n - l->index0 - 1);
    case A_first:
        return rt_bool(l->index0 == 0);
    case A_last:
        return look_ahead(vm, l) ? rt_bool(l->after.kind == RT_KIND_missing) : rt_missing();
    case A_length:
        return rt_int(n);
    case A_previtem:
    case A_nextitem:
        return neighbour(vm, l, attr == A_nextitem);
    case A_depth:
        return rt_int(l->depth0 + 1);
    case A_depth0:
        return rt_int(l->depth0);
    default:
        return rt_missing();
    }
}

rt_value tv_loop_recurse(tvm *vm, tv_loop *l, rt_value over) {
    if (!l->body)
        return tv_fail(vm, "The loop must have the 'recursive' marker to be called recursively.");
    tv_frame *f = tv_frame_new(vm, l->body->fn, l->body->parent);
    if (!f) return rt_missing();
    f->slot[0] = over;
    f->depth0 = l->depth0 + 1;
    return tv_run_captured(vm, l->body->fn, f);
}
