/* template_vm.c - the stack machine: one small function for each instruction, and calls.
 *
 * Operands were checked when the table was opened; the stack is checked here, so that a table whose
 * instructions do not fit together ends in an error. */
#include "runtime/template_vm.h"

#include <string.h>

static bool damaged(tvm *vm, const char *what) {
    (void)tv_bad_table(vm, what);
    return false;
}

static bool no_memory(tvm *vm) {
    (void)tv_no_memory(vm);
    return false;
}

/* ---- stack ---- */

static bool push(tvm *vm, rt_value v) {
    if (vm->failed || v.kind == RT_KIND_missing) {
        if (!vm->failed) tv_bad_table(vm, "a value is missing");
        return false;
    }
    if (vm->sp == vm->cap) {
        if (vm->cap >= RT_TPL_MAX_STACK) {
            tv_fail(vm, "an expression has too many parts");
            return false;
        }
        rt_value *bigger = rt_region_grown(&vm->r, vm->stack, vm->sp, &vm->cap, sizeof *bigger);
        if (!bigger) {
            tv_no_memory(vm);
            return false;
        }
        vm->stack = bigger;
    }
    vm->stack[vm->sp++] = v;
    return true;
}

/* The last n values, taken off; valid until the next push.  NULL: failed. */
static const rt_value *take(tvm *vm, size_t n) {
    static const rt_value NOTHING;
    if (vm->sp - vm->base < n) {
        tv_bad_table(vm, "the stack is empty");
        return NULL;
    }
    vm->sp -= n;
    return n ? vm->stack + vm->sp : &NOTHING;
}

/* ---- functions ---- */

tv_frame *tv_frame_new(tvm *vm, uint32_t fn, tv_frame *parent) {
    const uint32_t n = vm->t->fns[fn].n_slots;
    tv_frame *f = rt_region_get(&vm->r, sizeof *f);
    rt_value *slot = rt_region_array(&vm->r, n, sizeof *slot);
    if (!f || !slot) {
        tv_no_memory(vm);
        return NULL;
    }
    for (uint32_t i = 0; i < n; i++) slot[i] = rt_missing();
    *f = (tv_frame){.parent = parent, .fn = fn, .slot = slot};
    return f;
}

/* Where a function is. */
typedef struct run {
    tv_frame *frame;
    const rt_tpl_fn *fn;
    uint32_t pc;
    size_t captures; /* open ones */
    rt_value given;
    bool done;
} run;

typedef bool op_fn(tvm *vm, run *r, const rt_tpl_ins *i);
#define TOP(name, x, a, b, stack, meaning) static op_fn op_##name;
#include "runtime/template_ops.def"
#undef TOP
static op_fn *const OPS[RT_TOP_COUNT] = {
#define TOP(name, x, a, b, stack, meaning) op_##name,
#include "runtime/template_ops.def"
#undef TOP
};

static bool run_code(tvm *vm, run *r) {
    while (r->pc < r->fn->n_ins && !r->done) {
        const rt_tpl_ins *i = &vm->t->ins[r->fn->first_ins + r->pc++];
        vm->line = i->line;
        if (!tv_steps(vm, 1) || !OPS[i->op](vm, r, i) || vm->failed) return false;
    }
    return true;
}

rt_value tv_run(tvm *vm, uint32_t fn, tv_frame *frame) {
    if (vm->n_calls == RT_TPL_MAX_CALLS)
        return tv_fail(vm, "macros call each other too deeply (limit %d)", RT_TPL_MAX_CALLS);
    run r = {.frame = frame, .fn = &vm->t->fns[fn], .given = rt_none()};
    const size_t base = vm->base;
    const uint32_t line = vm->line;
    vm->n_calls++;
    vm->base = vm->sp;
    const bool ok = run_code(vm, &r);
    if (!ok) {
        if (!vm->failed) tv_bad_table(vm, "an instruction failed");
        return rt_missing();
    }
    if (r.captures) return tv_bad_table(vm, "an output buffer is left open");
    vm->sp = vm->base;
    vm->base = base;
    vm->line = line;
    vm->n_calls--;
    return r.given;
}

rt_value tv_run_captured(tvm *vm, uint32_t fn, tv_frame *frame) {
    tv_text b;
    tv_text_begin(vm, &b);
    b.outer = vm->out;
    vm->out = &b;
    const rt_value given = tv_run(vm, fn, frame);
    vm->out = b.outer;
    return given.kind == RT_KIND_missing ? given : tv_text_end(&b);
}

/* ---- arguments ---- */

static bool name_is(rt_value v, const char *name, size_t n) {
    return v.kind == RT_KIND_text && v.text->n == n && !memcmp(v.text->at, name, n);
}

bool tv_bind(tvm *vm, const tv_args *a, const char *what, const char *names, uint32_t required,
             rt_value *out) {
    uint32_t n = 0, n_used = 0;
    for (const char *s = names; *s; n++) {
        const size_t len = strcspn(s, " ");
        out[n] = n < a->n_pos ? a->pos[n] : rt_missing();
        for (uint32_t k = 0; k < a->n_named; k++) {
            if (!name_is(a->named[2 * k], s, len)) continue;
            if (out[n].kind != RT_KIND_missing) {
                tv_fail(vm, "%s() got multiple values for argument '%.*s'", what, (int)len, s);
                return false;
            }
            out[n] = a->named[2 * k + 1];
            n_used++;
        }
        if (n < required && out[n].kind == RT_KIND_missing) {
            tv_fail(vm, "%s() is missing the argument '%.*s'", what, (int)len, s);
            return false;
        }
        s += len;
        while (*s == ' ') s++;
    }
    if (a->n_pos > n) {
        tv_fail(vm, "%s() takes at most %u arguments (%u given)", what, n, a->n_pos);
        return false;
    }
    if (n_used < a->n_named) {
        tv_fail(vm, "%s() got an unexpected keyword argument", what);
        return false;
    }
    return true;
}

/* The value named so, once; kind missing: none. */
static rt_value take_named(const tv_args *a, bool *used, rt_value name) {
    for (uint32_t k = 0; k < a->n_named; k++) {
        if (used[k] || !rt_key_equal(a->named[2 * k], name)) continue;
        used[k] = true;
        return a->named[2 * k + 1];
    }
    return rt_missing();
}

/* The slots behind the parameters: caller, kwargs, varargs. */
static bool bind_special(tvm *vm, const tv_args *a, const rt_tpl_fn *f, bool *used,
                         rt_value *slot) {
    if (f->flags & RT_TFN_CALLER) {
        *slot = take_named(a, used, tv_text_of(vm, "caller"));
        if (slot->kind == RT_KIND_missing)
            *slot = tv_undefined_new(vm, "No caller defined", NULL, rt_none());
        slot++;
    }
    if (f->flags & RT_TFN_KWARGS) {
        *slot = tv_map(vm);
        for (uint32_t k = 0; k < a->n_named; k++) {
            if (used[k]) continue;
            used[k] = true;
            if (!tv_set(vm, *slot, a->named[2 * k], a->named[2 * k + 1])) return false;
        }
        slot++;
    }
    if (f->flags & RT_TFN_VARARGS) {
        *slot = tv_list(vm);
        for (uint32_t k = f->n_params; k < a->n_pos; k++)
            if (!tv_push(vm, *slot, a->pos[k])) return false;
        slot->kind = vm->failed ? RT_KIND_missing : RT_KIND_tuple;
    }
    return !vm->failed;
}

static rt_value call_macro(tvm *vm, const tv_macro *m, const tv_args *a) {
    const rt_tpl_fn *f = &vm->t->fns[m->fn];
    const rt_value name = vm->constants[f->name];
    bool used[2 * RT_TPL_MAX_ARGS] = {false};
    tv_frame *frame = tv_frame_new(vm, m->fn, m->frame);
    if (!frame) return rt_missing();
    for (uint32_t k = 0; k < f->n_params; k++)
        frame->slot[k] =
            k < a->n_pos ? a->pos[k] : take_named(a, used, vm->constants[f->first_param + k]);
    if (!bind_special(vm, a, f, used, frame->slot + f->n_params)) return rt_missing();
    for (uint32_t k = 0; k < a->n_named; k++)
        if (!used[k])
            return tv_fail(vm, "macro '%.*s' takes no keyword argument '%.*s'", (int)name.text->n,
                           name.text->at, (int)a->named[2 * k].text->n, a->named[2 * k].text->at);
    if (a->n_pos > f->n_params && !(f->flags & RT_TFN_VARARGS))
        return tv_fail(vm, "macro '%.*s' takes not more than %u argument(s)", (int)name.text->n,
                       name.text->at, f->n_params);
    return tv_run_captured(vm, m->fn, frame);
}

static rt_value call_loop(tvm *vm, tv_loop *l, const tv_args *a) {
    rt_value over;
    if (!tv_bind(vm, a, "loop", "iterable", 1, &over)) return rt_missing();
    return tv_loop_recurse(vm, l, over);
}

static rt_value call_joiner(tvm *vm, tv_joiner *j) {
    if (j->used) return j->separator;
    j->used = true;
    return tv_text_of(vm, "");
}

rt_value tv_call(tvm *vm, rt_value callee, const tv_args *a) {
    tv_args with_self = *a;
    switch (callee.kind) {
    case TV_macro:
        return call_macro(vm, callee.other, a);
    case TV_method:
        with_self.in = *(const rt_value *)callee.other;
        return tv_call_method(vm, callee.sub, &with_self);
    case TV_global:
        return tv_call_global(vm, callee.sub, a);
    case TV_loop:
        return call_loop(vm, callee.other, a);
    case TV_joiner:
        return call_joiner(vm, callee.other);
    case TV_undefined:
        return tv_undefined_error(vm, callee);
    default:
        return tv_fail(vm, "'%s' object is not callable", tv_type_name(callee));
    }
}

/* ---- output ---- */

static bool op_text(tvm *vm, run *r, const rt_tpl_ins *i) {
    (void)r;
    tv_add_text(vm->out, vm->constants[i->a].text);
    return true;
}

static bool op_out(tvm *vm, run *r, const rt_tpl_ins *i) {
    (void)r;
    const rt_value *v = take(vm, 1);
    if (!v) return false;
    if ((i->x & 1) && v->kind != RT_KIND_text)
        tv_fail(vm, "a block gives %s, not a string", tv_type_name(*v));
    tv_add_str(vm->out, *v);
    return true;
}

static bool op_capture(tvm *vm, run *r, const rt_tpl_ins *i) {
    (void)i;
    tv_text *b = rt_region_get(&vm->r, sizeof *b);
    if (!b) return no_memory(vm);
    tv_text_begin(vm, b);
    b->outer = vm->out;
    vm->out = b;
    r->captures++;
    return true;
}

static bool op_captured(tvm *vm, run *r, const rt_tpl_ins *i) {
    (void)i;
    if (!r->captures) return damaged(vm, "no output buffer is open");
    r->captures--;
    tv_text *b = vm->out;
    vm->out = b->outer;
    return push(vm, tv_text_end(b));
}

static bool op_uncapture(tvm *vm, run *r, const rt_tpl_ins *i) {
    if (r->captures < i->a) return damaged(vm, "no output buffer is open");
    for (uint32_t k = 0; k < i->a; k++) vm->out = vm->out->outer;
    r->captures -= i->a;
    return true;
}

/* ---- variables ---- */

static rt_value *outer_slot(const run *r, uint32_t depth, uint32_t slot) {
    const tv_frame *f = r->frame;
    for (; depth; depth--) f = f->parent;
    return &f->slot[slot];
}

static bool op_constant(tvm *vm, run *r, const rt_tpl_ins *i) {
    (void)r;
    return push(vm, vm->constants[i->a]);
}

static bool op_load(tvm *vm, run *r, const rt_tpl_ins *i) {
    const rt_value v = *outer_slot(r, i->x, i->a);
    if (v.kind != RT_KIND_missing) return push(vm, v);
    return push(vm, tv_undefined_new(vm, NULL, NULL, vm->constants[i->b]));
}

static bool op_store(tvm *vm, run *r, const rt_tpl_ins *i) {
    const rt_value *v = take(vm, 1);
    if (v) r->frame->slot[i->a] = *v;
    return v != NULL;
}

static bool op_resolve(tvm *vm, run *r, const rt_tpl_ins *i) {
    const rt_value name = vm->constants[i->b];
    const int64_t at = rt_map_find(vm->vars.map, name);
    rt_value v = rt_missing();
    if (at >= 0) {
        v = vm->vars.map->values[at];
    } else {
        const int64_t row = tv_find_global(name.text);
        if (row >= 0) v = (rt_value){.kind = TV_global, .sub = (uint32_t)row};
    }
    r->frame->slot[i->a] = v;
    return true;
}

static bool op_alias(tvm *vm, run *r, const rt_tpl_ins *i) {
    (void)vm;
    r->frame->slot[i->a] = *outer_slot(r, i->x, i->b);
    return true;
}

static bool op_unset(tvm *vm, run *r, const rt_tpl_ins *i) {
    (void)vm;
    r->frame->slot[i->a] = rt_missing();
    return true;
}

static bool op_if_set(tvm *vm, run *r, const rt_tpl_ins *i) {
    (void)vm;
    if (r->frame->slot[i->a].kind != RT_KIND_missing) r->pc = i->b;
    return true;
}

static bool op_check_ns(tvm *vm, run *r, const rt_tpl_ins *i) {
    if (outer_slot(r, i->x, i->a)->kind == TV_namespace) return true;
    tv_fail(vm, "cannot assign attribute on non-namespace object");
    return false;
}

static bool op_set_attr(tvm *vm, run *r, const rt_tpl_ins *i) {
    (void)r;
    const rt_value *v = take(vm, 2);
    if (!v) return false;
    const rt_value name = vm->constants[i->a];
    if (v[1].kind != TV_namespace) tv_fail(vm, "cannot assign attribute on non-namespace object");
    else if (name.text->n && name.text->at[0] == '_')
        tv_fail(vm, "attributes of a namespace must not start with '_'");
    else (void)tv_set(vm, v[1], name, v[0]);
    return !vm->failed;
}

static bool op_undefined(tvm *vm, run *r, const rt_tpl_ins *i) {
    (void)r;
    const rt_text *t = vm->constants[i->a].text;
    char *hint = rt_region_get(&vm->r, t->n + 1);
    if (!hint) return no_memory(vm);
    memcpy(hint, t->at, t->n);
    hint[t->n] = 0;
    return push(vm, tv_undefined_new(vm, hint, NULL, rt_none()));
}

static bool op_raise(tvm *vm, run *r, const rt_tpl_ins *i) {
    (void)r;
    const rt_text *t = vm->constants[i->a].text;
    tv_fail(vm, "%.*s", (int)t->n, t->at);
    return false;
}

/* ---- expressions ---- */

static bool op_attr(tvm *vm, run *r, const rt_tpl_ins *i) {
    (void)r;
    const rt_value *v = take(vm, 1);
    return v && push(vm, tv_attr(vm, *v, vm->constants[i->a]));
}

static bool op_item(tvm *vm, run *r, const rt_tpl_ins *i) {
    (void)r, (void)i;
    const rt_value *v = take(vm, 2);
    return v && push(vm, tv_item(vm, v[0], v[1]));
}

static bool op_slice(tvm *vm, run *r, const rt_tpl_ins *i) {
    (void)r, (void)i;
    const rt_value *v = take(vm, 4);
    return v && push(vm, tv_slice(vm, v[0], v + 1));
}

/* Copies: the stack may move while the callee runs. */
typedef struct call_values {
    rt_value *at;
    size_t n, cap;
} call_values;

static bool add_value(tvm *vm, call_values *l, rt_value v) {
    rt_value *at = rt_region_grown(&vm->r, l->at, l->n, &l->cap, sizeof *at);
    if (!at) return no_memory(vm);
    l->at = at;
    at[l->n++] = v;
    return true;
}

static bool spread_list(tvm *vm, rt_value v, call_values *pos) {
    const rt_list *l = tv_items(vm, v);
    for (size_t k = 0; l && k < l->n; k++)
        if (!tv_steps(vm, 1) || !add_value(vm, pos, l->at[k])) return false;
    return l != NULL;
}

static bool spread_map(tvm *vm, rt_value v, call_values *named) {
    if (v.kind != RT_KIND_map) {
        tv_fail(vm, "the argument after ** must be a mapping, not %s", tv_type_name(v));
        return false;
    }
    for (size_t k = 0; k < v.map->n; k++) {
        if (v.map->keys[k].kind != RT_KIND_text) {
            tv_fail(vm, "keywords must be strings");
            return false;
        }
        for (size_t j = 0; j < named->n; j += 2)
            if (rt_key_equal(named->at[j], v.map->keys[k])) {
                tv_fail(vm, "a call got multiple values for a keyword argument");
                return false;
            }
        if (!tv_steps(vm, 1) || !add_value(vm, named, v.map->keys[k]) ||
            !add_value(vm, named, v.map->values[k]))
            return false;
    }
    return true;
}

/* Takes what is called and its arguments off the stack. */
static bool take_args(tvm *vm, const rt_tpl_ins *i, uint32_t packed, tv_args *a) {
    const uint32_t n_pos = packed & 0xffff, n_named = packed >> 16;
    const uint32_t extra = (i->x & RT_TPL_CALL_LIST ? 1u : 0) + (i->x & RT_TPL_CALL_MAP ? 1u : 0);
    const rt_value *v = take(vm, 1 + n_pos + 2 * (size_t)n_named + extra);
    call_values pos = {0}, named = {0};
    if (!v) return false;
    a->in = *v++;
    for (uint32_t k = 0; k < n_pos; k++)
        if (!add_value(vm, &pos, *v++)) return false;
    for (uint32_t k = 0; k < 2 * n_named; k++, v++) {
        if (k % 2 == 0 && v->kind != RT_KIND_text) return damaged(vm, "a keyword is no text");
        if (!add_value(vm, &named, *v)) return false;
    }
    const rt_value list = i->x & RT_TPL_CALL_LIST ? *v++ : rt_missing();
    const rt_value map = i->x & RT_TPL_CALL_MAP ? *v : rt_missing();
    if (list.kind != RT_KIND_missing && !spread_list(vm, list, &pos)) return false;
    if (map.kind != RT_KIND_missing && !spread_map(vm, map, &named)) return false;
    if (pos.n > RT_TPL_MAX_COUNT || named.n > 2 * RT_TPL_MAX_ARGS) {
        tv_fail(vm, "a call has too many arguments");
        return false;
    }
    a->pos = pos.at;
    a->n_pos = (uint32_t)pos.n;
    a->named = named.at;
    a->n_named = (uint32_t)named.n / 2;
    return true;
}

static bool op_call(tvm *vm, run *r, const rt_tpl_ins *i) {
    (void)r;
    tv_args a;
    return take_args(vm, i, i->a, &a) && push(vm, tv_call(vm, a.in, &a));
}

static bool op_filter(tvm *vm, run *r, const rt_tpl_ins *i) {
    (void)r;
    tv_args a;
    return take_args(vm, i, i->b, &a) && push(vm, tv_filters[i->a].fn(vm, &a));
}

static bool op_test(tvm *vm, run *r, const rt_tpl_ins *i) {
    (void)r;
    tv_args a;
    return take_args(vm, i, i->b, &a) && push(vm, tv_tests[i->a].fn(vm, &a));
}

static bool op_concat(tvm *vm, run *r, const rt_tpl_ins *i) {
    (void)r;
    const rt_value *v = take(vm, i->a);
    if (!v) return false;
    tv_text b;
    tv_text_begin(vm, &b);
    vm->sp += i->a; /* printing a loop may run its condition */
    for (uint32_t k = 0; k < i->a; k++) tv_add_str(&b, vm->stack[vm->sp - i->a + k]);
    vm->sp -= i->a;
    return push(vm, tv_text_end(&b));
}

static bool make_list(tvm *vm, uint32_t n, rt_kind kind) {
    const rt_value *v = take(vm, n);
    rt_value l = tv_list(vm);
    if (!v || vm->failed) return false;
    for (uint32_t k = 0; k < n; k++)
        if (!tv_push(vm, l, v[k])) return false;
    l.kind = kind;
    return push(vm, l);
}

static bool op_tuple(tvm *vm, run *r, const rt_tpl_ins *i) {
    (void)r;
    return make_list(vm, i->a, RT_KIND_tuple);
}

static bool op_list(tvm *vm, run *r, const rt_tpl_ins *i) {
    (void)r;
    return make_list(vm, i->a, RT_KIND_list);
}

static bool op_map(tvm *vm, run *r, const rt_tpl_ins *i) {
    (void)r;
    const rt_value *v = take(vm, 2 * (size_t)i->a);
    const rt_value m = tv_map(vm);
    if (!v || vm->failed) return false;
    for (uint32_t k = 0; k < i->a; k++)
        if (!tv_set(vm, m, v[2 * k], v[2 * k + 1])) return false;
    return push(vm, m);
}

static bool op_not(tvm *vm, run *r, const rt_tpl_ins *i) {
    (void)r, (void)i;
    const rt_value *v = take(vm, 1);
    return v && push(vm, rt_bool(!tv_truth(vm, *v)));
}

static bool unary(tvm *vm, rt_tpl_op op) {
    const rt_value *v = take(vm, 1);
    return v && push(vm, tv_unary(vm, op, *v));
}

static bool binary(tvm *vm, rt_tpl_op op) {
    const rt_value *v = take(vm, 2);
    if (!v) return false;
    return push(vm, op == RT_TOP_add ? tv_add_values(vm, v[0], v[1])
                                     : tv_arithmetic(vm, op, v[0], v[1]));
}

static rt_value compare(tvm *vm, uint32_t op, rt_value a, rt_value b) {
    int c;
    switch (op) {
    case RT_TOP_eq:
    case RT_TOP_ne:
        return rt_bool(tv_equal(vm, a, b) == (op == RT_TOP_eq));
    case RT_TOP_in:
    case RT_TOP_not_in:
        return rt_bool(tv_in(vm, a, b) == (op == RT_TOP_in));
    case RT_TOP_lt:
        return rt_bool(tv_compare(vm, a, b, "<") == -1);
    case RT_TOP_gt:
        return rt_bool(tv_compare(vm, a, b, ">") == 1);
    case RT_TOP_le:
        c = tv_compare(vm, a, b, "<=");
        return rt_bool(c == -1 || c == 0);
    case RT_TOP_ge:
        c = tv_compare(vm, a, b, ">=");
        return rt_bool(c == 1 || c == 0);
    default:
        return tv_bad_table(vm, "no comparison");
    }
}

static bool comparison(tvm *vm, uint32_t op) {
    const rt_value *v = take(vm, 2);
    return v && push(vm, compare(vm, op, v[0], v[1]));
}

#define SAME_SHAPE(name, how)                                                                      \
    static bool op_##name(tvm *vm, run *r, const rt_tpl_ins *i) {                                  \
        (void)r, (void)i;                                                                          \
        return how(vm, RT_TOP_##name);                                                             \
    }
SAME_SHAPE(neg, unary)
SAME_SHAPE(pos, unary)
SAME_SHAPE(add, binary)
SAME_SHAPE(sub, binary)
SAME_SHAPE(mul, binary)
SAME_SHAPE(div, binary)
SAME_SHAPE(floordiv, binary)
SAME_SHAPE(mod, binary)
SAME_SHAPE(pow, binary)
SAME_SHAPE(eq, comparison)
SAME_SHAPE(ne, comparison)
SAME_SHAPE(lt, comparison)
SAME_SHAPE(le, comparison)
SAME_SHAPE(gt, comparison)
SAME_SHAPE(ge, comparison)
SAME_SHAPE(in, comparison)
SAME_SHAPE(not_in, comparison)
#undef SAME_SHAPE

static bool op_chain(tvm *vm, run *r, const rt_tpl_ins *i) {
    const rt_value *v = take(vm, 2);
    if (!v) return false;
    const rt_value b = v[1], result = compare(vm, i->x, v[0], v[1]);
    if (vm->failed) return false;
    if (result.boolean) return push(vm, b);
    r->pc = i->a;
    return push(vm, result);
}

/* ---- control ---- */

static bool op_jump(tvm *vm, run *r, const rt_tpl_ins *i) {
    (void)vm;
    r->pc = i->a;
    return true;
}

static bool op_if_false(tvm *vm, run *r, const rt_tpl_ins *i) {
    const rt_value *v = take(vm, 1);
    if (!v) return false;
    if (!tv_truth(vm, *v)) r->pc = i->a;
    return true;
}

static bool keep_if(tvm *vm, run *r, const rt_tpl_ins *i, bool truth) {
    const rt_value *at = take(vm, 1);
    if (!at) return false;
    const rt_value v = *at;
    if (tv_truth(vm, v) != truth) return true;
    r->pc = i->a;
    return push(vm, v);
}
static bool op_and(tvm *vm, run *r, const rt_tpl_ins *i) { return keep_if(vm, r, i, false); }
static bool op_or(tvm *vm, run *r, const rt_tpl_ins *i) { return keep_if(vm, r, i, true); }

static bool op_loop(tvm *vm, run *r, const rt_tpl_ins *i) {
    const rt_value *v = take(vm, 1);
    if (!v) return false;
    const rt_value l = tv_loop_new(vm, r->frame, *v, i->b, i->x & 1);
    r->frame->slot[i->a] = l;
    return l.kind != RT_KIND_missing;
}

static bool op_next(tvm *vm, run *r, const rt_tpl_ins *i) {
    const rt_value l = r->frame->slot[i->a];
    rt_value item;
    if (l.kind != TV_loop) return damaged(vm, "no loop");
    const int got = tv_loop_next(vm, l.other, &item);
    if (got == 1) return push(vm, item);
    r->pc = i->b;
    return got == 0;
}

static bool op_unpack(tvm *vm, run *r, const rt_tpl_ins *i) {
    (void)r;
    const rt_value *v = take(vm, 1);
    if (!v) return false;
    const bool iterable = !rt_is_number(*v) && v->kind != RT_KIND_none && v->kind != TV_namespace &&
                          v->kind != TV_macro && v->kind != TV_loop;
    if (!iterable) {
        tv_fail(vm, "cannot unpack non-iterable %s object", tv_type_name(*v));
        return false;
    }
    const rt_list *l = tv_items(vm, *v);
    if (!l) return false;
    if (l->n > i->a) tv_fail(vm, "too many values to unpack (expected %u)", i->a);
    if (l->n < i->a)
        tv_fail(vm, "not enough values to unpack (expected %u, got %llu)", i->a,
                (unsigned long long)l->n);
    for (uint32_t k = i->a; k-- > 0 && !vm->failed;)
        if (!push(vm, l->at[k])) return false;
    return !vm->failed;
}

static bool op_macro(tvm *vm, run *r, const rt_tpl_ins *i) {
    tv_macro *m = rt_region_get(&vm->r, sizeof *m);
    if (!m) return no_memory(vm);
    *m = (tv_macro){.fn = i->a, .frame = r->frame};
    return push(vm, (rt_value){.kind = TV_macro, .other = m});
}

static bool op_recurse(tvm *vm, run *r, const rt_tpl_ins *i) {
    const rt_value *v = take(vm, 1);
    if (!v) return false;
    const rt_value over = *v;
    tv_frame *f = tv_frame_new(vm, i->a, r->frame);
    if (!f) return false;
    f->slot[0] = over;
    return push(vm, tv_run_captured(vm, i->a, f));
}

static bool op_give(tvm *vm, run *r, const rt_tpl_ins *i) {
    (void)i;
    const rt_value *v = take(vm, 1);
    if (!v) return false;
    r->given = *v;
    r->done = true;
    return true;
}
