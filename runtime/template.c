/* template.c - opening a table; what a template is given; rendering. */
#include "runtime/template.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "runtime/fail.h"
#include "runtime/json_value.h"
#include "runtime/template_vm.h"
#include "runtime/utf8.h"

/* ---- opening ---- */

enum operand {
    O_none,
    O_any,
    O_text,
    O_constant,
    O_slot,
    O_outer,
    O_depth,
    O_jump,
    O_count,
    O_fn,
    O_fn1,
    O_filter,
    O_test,
    O_args
};

typedef struct op_shape {
    uint8_t x, a, b;
} op_shape;

static const op_shape SHAPES[RT_TOP_COUNT] = {
#define TOP(name, x, a, b, stack, meaning) {O_##x, O_##a, O_##b},
#include "runtime/template_ops.def"
#undef TOP
};

typedef struct check {
    const rt_template *t;
    uint32_t fn;
    const rt_tpl_ins *ins;
} check;

static bool is_text(const rt_template *t, uint32_t i) {
    return i < t->head->n_consts && t->consts[i].kind == RT_TCONST_text;
}

/* The function `depth` levels around fn. */
static bool outer_fn(const rt_template *t, uint32_t fn, uint32_t depth, uint32_t *out) {
    for (; depth; depth--) {
        if (fn == 0) return false;
        fn = t->fns[fn].parent;
    }
    *out = fn;
    return true;
}

static bool is_inner_fn(const check *c, uint32_t fn, bool one_argument) {
    return fn < c->t->head->n_fns && fn > c->fn && c->t->fns[fn].parent == c->fn &&
           (!one_argument || c->t->fns[fn].n_params == 1);
}

static bool operand_ok(const check *c, uint8_t shape, uint32_t v) {
    const rt_template *t = c->t;
    const rt_tpl_fn *f = &t->fns[c->fn];
    uint32_t outer;
    switch (shape) {
    case O_none:
        return v == 0;
    case O_text:
        return is_text(t, v);
    case O_constant:
        return v < t->head->n_consts;
    case O_slot:
        return v < f->n_slots;
    case O_outer:
        return outer_fn(t, c->fn, c->ins->x, &outer) && v < t->fns[outer].n_slots;
    case O_jump:
        return v <= f->n_ins;
    case O_count:
        return v <= RT_TPL_MAX_COUNT;
    case O_fn: /* recurse hands over one argument, a macro may have any number */
        return is_inner_fn(c, v, c->ins->op == RT_TOP_recurse);
    case O_fn1:
        return v == 0 || is_inner_fn(c, v - 1, true);
    case O_filter:
        return v < RT_TFILTER_COUNT;
    case O_test:
        return v < tv_n_tests;
    case O_args:
        return (v & 0xffff) <= RT_TPL_MAX_ARGS && v >> 16 <= RT_TPL_MAX_ARGS + 1;
    default: /* O_any, O_depth: looked at with the operand that they belong to, or where they run */
        return true;
    }
}

static bool code_ok(const rt_template *t, uint32_t fn) {
    const rt_tpl_fn *f = &t->fns[fn];
    for (uint32_t i = 0; i < f->n_ins; i++) {
        const check c = {t, fn, &t->ins[f->first_ins + i]};
        if (c.ins->op >= RT_TOP_COUNT) return false;
        const op_shape *s = &SHAPES[c.ins->op];
        if (!operand_ok(&c, s->x, c.ins->x) || !operand_ok(&c, s->a, c.ins->a) ||
            !operand_ok(&c, s->b, c.ins->b))
            return false;
    }
    return true;
}

static bool const_ok(const rt_template *t, const rt_tpl_const *k) {
    if (k->kind >= RT_TCONST_COUNT) return false;
    if (k->kind != RT_TCONST_text && k->kind != RT_TCONST_big) return true;
    if (k->a > t->head->n_text || k->b > t->head->n_text - k->a) return false;
    if (k->kind == RT_TCONST_text) return true;
    if (k->b < 2 || k->b > RT_VALUE_BIG_DIGITS) return false;
    for (uint32_t i = 0; i < k->b; i++)
        if (t->text[k->a + i] < '0' || t->text[k->a + i] > '9') return false;
    return true;
}

static bool fn_ok(const rt_template *t, uint32_t i, uint32_t *next_ins) {
    const rt_tpl_fn *f = &t->fns[i];
    const uint32_t special = (f->flags & 1) + (f->flags >> 1 & 1) + (f->flags >> 2 & 1);
    if (f->first_ins != *next_ins || f->n_ins > t->head->n_ins - *next_ins) return false;
    *next_ins += f->n_ins;
    if (i == 0 ? f->parent != 0 || f->n_params || f->flags : f->parent >= i) return false;
    if (f->n_slots > RT_TPL_MAX_SLOTS || f->n_params > RT_TPL_MAX_ARGS || f->flags > 7 ||
        f->n_params + special > f->n_slots || !is_text(t, f->name))
        return false;
    for (uint32_t k = 0; k < f->n_params; k++)
        if (f->first_param > UINT32_MAX - k || !is_text(t, f->first_param + k)) return false;
    return true;
}

static const char *parts_wrong(const rt_template *t) {
    uint32_t next_ins = 0;
    for (uint32_t i = 0; i < t->head->n_consts; i++)
        if (!const_ok(t, &t->consts[i])) return "a constant of the template's table is damaged";
    for (uint32_t i = 0; i < t->head->n_fns; i++)
        if (!fn_ok(t, i, &next_ins)) return "a function of the template's table is damaged";
    if (next_ins != t->head->n_ins) return "the template's table is damaged";
    for (uint32_t i = 0; i < t->head->n_fns; i++)
        if (!code_ok(t, i)) return "the code of the template's table is damaged";
    for (uint32_t i = 0; i < t->head->n_vars; i++)
        if (!is_text(t, t->vars[i].name) || t->vars[i].value >= t->head->n_consts)
            return "a variable of the template's table is damaged";
    return NULL;
}

bool rt_template_open(const void *table, size_t n_bytes, rt_template *out, const char **what) {
    const uint8_t *at = table;
    *what = "the template's table is damaged";
    if (n_bytes < sizeof(rt_tpl_header) || (uintptr_t)table % _Alignof(rt_tpl_header)) return false;
    const rt_tpl_header *h = table;
    if (memcmp(h->magic, RT_TPL_MAGIC, sizeof h->magic) != 0 || h->reserved) return false;
    if (h->version != RT_TPL_VERSION) {
        *what = "the template's table is of another version";
        return false;
    }
    const uint64_t n = sizeof *h + (uint64_t)h->n_consts * sizeof(rt_tpl_const) +
                       (uint64_t)h->n_fns * sizeof(rt_tpl_fn) +
                       (uint64_t)h->n_ins * sizeof(rt_tpl_ins) +
                       (uint64_t)h->n_vars * sizeof(rt_tpl_var) + h->n_text;
    if (n != n_bytes || n != h->n_bytes || h->n_fns == 0 || h->n_fns > RT_TPL_MAX_FNS) return false;
    rt_template t = {.head = h};
    at += sizeof *h;
    t.consts = (const rt_tpl_const *)(const void *)at;
    at += h->n_consts * sizeof *t.consts;
    t.fns = (const rt_tpl_fn *)(const void *)at;
    at += h->n_fns * sizeof *t.fns;
    t.ins = (const rt_tpl_ins *)(const void *)at;
    at += h->n_ins * sizeof *t.ins;
    t.vars = (const rt_tpl_var *)(const void *)at;
    at += h->n_vars * sizeof *t.vars;
    t.text = (const char *)at;
    const char *wrong = parts_wrong(&t);
    if (wrong) {
        *what = wrong;
        return false;
    }
    *out = t;
    return true;
}

/* ---- failing and counting ---- */

/* One line of UTF-8: what a template says about a chat may hold anything, and may be cut. */
static void tidy(char *s) {
    for (size_t n = strlen(s), i = 0, k; i < n; i += k) {
        uint32_t cp;
        k = rt_utf8_next((const uint8_t *)s + i, n - i, &cp);
        if (cp == RT_UTF8_BAD) memset(s + i, '?', k);
        else if (cp < 0x20 || cp == 0x7f) s[i] = ' ';
    }
}

rt_value tv_fail(tvm *vm, const char *fmt, ...) {
    if (vm->failed) return rt_missing();
    vm->failed = true;
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    if (vsnprintf(text, sizeof text, fmt, ap) < 0) text[0] = 0;
    va_end(ap);
    tidy(text);
    (void)rt_fail(vm->error, P4C_ERR_BAD_INPUT, "chat template, line %u: %s", vm->line, text);
    return rt_missing();
}

rt_value tv_bad_table(tvm *vm, const char *what) {
    if (!vm->failed)
        (void)rt_fail(vm->error, P4C_ERR_BAD_ARTIFACT, "the template's table is damaged: %s", what);
    vm->failed = true;
    return rt_missing();
}

rt_value tv_no_memory(tvm *vm) {
    if (vm->r.state == RT_REGION_limit)
        return tv_fail(vm, "it needs more than %llu MiB of memory",
                       (unsigned long long)(vm->r.limit >> 20));
    if (!vm->failed) (void)rt_fail_memory(vm->error, "rendering a chat");
    vm->failed = true;
    return rt_missing();
}

bool tv_steps(tvm *vm, uint64_t n) {
    vm->steps += n;
    if (vm->steps > RT_TPL_MAX_STEPS) tv_fail(vm, "it takes more than %d steps", RT_TPL_MAX_STEPS);
    return !vm->failed;
}

bool tv_work(tvm *vm, uint64_t n) {
    vm->work += n;
    if (vm->work > vm->max_work) tv_fail(vm, "it handles too much text");
    return !vm->failed;
}

/* ---- what a template is given ---- */

/* Texts and values below v, in bytes of JSON, roughly.  Depth is bounded by the value's own. */
static uint64_t count_input(rt_value v) {
    uint64_t n = 8;
    if (v.kind == RT_KIND_text || v.kind == RT_KIND_big) return n + v.text->n;
    if (v.kind == RT_KIND_list || v.kind == RT_KIND_tuple)
        for (size_t i = 0; i < v.list->n; i++) n += count_input(v.list->at[i]);
    if (v.kind == RT_KIND_map)
        for (size_t i = 0; i < v.map->n; i++)
            n += count_input(v.map->keys[i]) + count_input(v.map->values[i]);
    return n;
}

/* Roles stand inside special tokens of some templates ('<|' + role + '|>'), so they count as the
 * template's, but only those that name a speaker: any other text could close a turn. */
static bool is_known_role(const rt_text *t) {
    static const char *const ROLES[] = {"system",    "user",     "assistant",   "tool",
                                        "developer", "function", "tool_call",   "tool_response",
                                        "model",     "human",    "observation", "ipython"};
    for (size_t i = 0; i < sizeof ROLES / sizeof ROLES[0]; i++)
        if (t->n == strlen(ROLES[i]) && !memcmp(t->at, ROLES[i], t->n)) return true;
    return false;
}

static rt_value find_reasoning(const rt_map *m) {
    static const char *const NAMES[] = {"reasoning_content", "thinking", "reasoning"};
    for (size_t k = 0; k < 3; k++) {
        const int64_t i = rt_map_find_name(m, NAMES[k]);
        if (i >= 0 && m->values[i].kind != RT_KIND_none) return m->values[i];
    }
    return rt_missing();
}

static rt_value given_message(tvm *vm, const rt_map *m) {
    const rt_value out = tv_map(vm), reasoning = find_reasoning(m);
    if (vm->failed) return rt_missing();
    if (reasoning.kind != RT_KIND_missing &&
        !tv_set(vm, out, tv_text_of(vm, "thinking"), reasoning))
        return rt_missing();
    for (size_t i = 0; i < m->n; i++) {
        rt_value v = m->values[i];
        const rt_text *key = m->keys[i].kind == RT_KIND_text ? m->keys[i].text : NULL;
        if (v.kind == RT_KIND_none) continue;
        if (v.kind == RT_KIND_text && key && key->n == 4 && !memcmp(key->at, "role", 4) &&
            is_known_role(v.text)) {
            v = rt_text_ref(&vm->r, v.text->at, v.text->n, RT_FROM_TEMPLATE);
            if (v.kind == RT_KIND_missing) return tv_no_memory(vm);
        }
        if (!tv_set(vm, out, m->keys[i], v)) return rt_missing();
    }
    if (reasoning.kind != RT_KIND_missing &&
        !tv_set(vm, out, tv_text_of(vm, "reasoning_content"), reasoning))
        return rt_missing();
    return out;
}

static rt_value given_messages(tvm *vm, rt_value messages) {
    if (messages.kind != RT_KIND_list || !messages.list->n)
        return tv_fail(vm, "the messages are not a list with at least one message");
    const rt_value out = tv_list(vm);
    for (size_t i = 0; i < messages.list->n; i++) {
        const rt_value m = messages.list->at[i];
        if (m.kind != RT_KIND_map)
            return tv_fail(vm, "message %llu is no object", (unsigned long long)i + 1);
        if (!tv_push(vm, out, given_message(vm, m.map))) return rt_missing();
    }
    return out;
}

static rt_value table_constant(tvm *vm, uint32_t i) {
    const rt_tpl_const *k = &vm->t->consts[i];
    const uint64_t bits = (uint64_t)k->b << 32 | k->a;
    double real;
    rt_value v;
    switch (k->kind) {
    case RT_TCONST_bool:
        return rt_bool(k->a != 0);
    case RT_TCONST_int:
        return rt_int((int64_t)bits);
    case RT_TCONST_float:
        memcpy(&real, &bits, sizeof real);
        return rt_float(real);
    case RT_TCONST_text:
        v = rt_text_ref(&vm->r, vm->t->text + k->a, k->b, RT_FROM_TEMPLATE);
        return v.kind == RT_KIND_missing ? tv_no_memory(vm) : v;
    case RT_TCONST_big:
        v = rt_integer_new(&vm->r, vm->t->text + k->a, k->b);
        return v.kind == RT_KIND_missing ? tv_no_memory(vm) : v;
    default:
        return rt_none();
    }
}

static bool make_constants(tvm *vm) {
    vm->constants = rt_region_array(&vm->r, vm->t->head->n_consts, sizeof *vm->constants);
    if (!vm->constants) return tv_no_memory(vm).kind != RT_KIND_missing;
    for (uint32_t i = 0; i < vm->t->head->n_consts && !vm->failed; i++)
        vm->constants[i] = table_constant(vm, i);
    return !vm->failed;
}

static bool set_var(tvm *vm, const char *name, rt_value v) {
    if (v.kind == RT_KIND_missing) v = rt_none();
    return tv_set(vm, vm->vars, tv_text_of(vm, name), v);
}

static bool make_vars(tvm *vm, const rt_template_input *in) {
    vm->vars = tv_map(vm);
    if (vm->failed) return false;
    for (uint32_t i = 0; i < vm->t->head->n_vars; i++)
        if (!tv_set(vm, vm->vars, vm->constants[vm->t->vars[i].name],
                    vm->constants[vm->t->vars[i].value]))
            return false;
    const rt_value messages = given_messages(vm, in->messages);
    if (vm->failed || !set_var(vm, "messages", messages) || !set_var(vm, "tools", in->tools) ||
        !set_var(vm, "documents", in->documents) ||
        !set_var(vm, "add_generation_prompt", rt_bool(in->add_generation_prompt)))
        return false;
    if (in->extra.kind != RT_KIND_map) return true;
    for (size_t i = 0; i < in->extra.map->n; i++)
        if (!tv_set(vm, vm->vars, in->extra.map->keys[i], in->extra.map->values[i])) return false;
    return true;
}

/* ---- rendering ---- */

static p4c_status take_output(tvm *vm, const tv_text *b, const rt_alloc *mem, rt_rendered *out) {
    char *text = mem->alloc(mem->ctx, b->n + 1);
    uint8_t *mask = mem->alloc(mem->ctx, b->n + 1);
    if (!text || !mask) {
        rt_release(mem, text);
        rt_release(mem, mask);
        return rt_fail_memory(vm->error, "rendering a chat");
    }
    if (b->n) {
        memcpy(text, b->at, b->n);
        memcpy(mask, b->mask, b->n);
    }
    text[b->n] = 0;
    mask[b->n] = 0;
    *out = (rt_rendered){text, mask, b->n};
    return P4C_OK;
}

p4c_status rt_template_render(const rt_template *t, const rt_template_input *in,
                              const rt_alloc *mem, rt_rendered *out, p4c_error *error) {
    enum { SPARE_MEMORY = 32 << 20, SPARE_TEXT = 64 << 10 };
    p4c_error dropped = {0};
    tvm vm = {.t = t, .clock = in->clock, .error = error ? error : &dropped, .line = 1};
    const uint64_t n = count_input(in->messages) + count_input(in->tools) +
                       count_input(in->documents) + count_input(in->extra);
    vm.max_text = 16 * n + SPARE_TEXT;
    vm.max_work = 256 * n + SPARE_MEMORY;
    rt_region_init(&vm.r, mem, 128 * n + SPARE_MEMORY);
    p4c_status status = P4C_ERR_BAD_INPUT;
    tv_text text;
    tv_text_begin(&vm, &text);
    vm.out = &text;
    if (make_constants(&vm) && make_vars(&vm, in)) {
        tv_frame *f = tv_frame_new(&vm, 0, NULL);
        if (f && tv_run(&vm, 0, f).kind != RT_KIND_missing && !vm.failed)
            status = take_output(&vm, &text, mem, out);
    }
    if (vm.failed) status = vm.error->status;
    rt_region_free(&vm.r);
    return status;
}

/* Takes the members of the request apart; what is left is for `extra`. */
static bool read_request(rt_region *r, rt_value v, rt_template_input *in, p4c_error *error) {
    in->add_generation_prompt = true;
    if (v.kind == RT_KIND_list) {
        in->messages = v;
        return true;
    }
    if (v.kind != RT_KIND_map) {
        (void)rt_fail(error, P4C_ERR_BAD_INPUT, "a chat is an object with messages, or a list");
        return false;
    }
    in->extra = rt_map_new(r);
    for (size_t i = 0; i < v.map->n; i++) {
        const rt_text *key = v.map->keys[i].text;
        const rt_value value = v.map->values[i];
        static const struct {
            const char *name;
            size_t at;
        } PARTS[] = {{"messages", offsetof(rt_template_input, messages)},
                     {"tools", offsetof(rt_template_input, tools)},
                     {"documents", offsetof(rt_template_input, documents)}};
        bool known = false;
        for (size_t k = 0; k < 3 && !known; k++) {
            known = key->n == strlen(PARTS[k].name) && !memcmp(key->at, PARTS[k].name, key->n);
            if (known) memcpy((char *)in + PARTS[k].at, &value, sizeof value);
        }
        if (!known && key->n == 21 && !memcmp(key->at, "add_generation_prompt", 21)) {
            if (value.kind != RT_KIND_bool) {
                (void)rt_fail(error, P4C_ERR_BAD_INPUT,
                              "add_generation_prompt is not true or false");
                return false;
            }
            in->add_generation_prompt = value.boolean;
            known = true;
        }
        if (!known && !rt_map_set(r, in->extra, v.map->keys[i], value)) {
            (void)rt_fail_memory(error, "a chat");
            return false;
        }
    }
    return true;
}

p4c_status rt_template_render_json(const rt_template *t, const char *json, size_t n_bytes,
                                   const rt_template_clock *clock, const rt_alloc *mem,
                                   rt_rendered *out, p4c_error *error) {
    p4c_error dropped = {0};
    if (!error) error = &dropped;
    rt_region r;
    rt_region_init(&r, mem, RT_NO_LIMIT);
    rt_template_input in = {.clock = clock};
    rt_json_error wrong = {0};
    rt_value v;
    p4c_status status;
    if (!rt_json_parse(&r, json, n_bytes, &v, &wrong)) {
        status = wrong.what
                     ? rt_fail(error, P4C_ERR_BAD_INPUT, "the chat is not JSON: byte %llu: %s",
                               (unsigned long long)wrong.offset, wrong.what)
                     : rt_fail_memory(error, "a chat");
    } else if (read_request(&r, v, &in, error)) {
        status = rt_template_render(t, &in, mem, out, error);
    } else {
        status = error->status;
    }
    rt_region_free(&r);
    return status;
}

void rt_rendered_free(rt_rendered *r, const rt_alloc *mem) {
    rt_release(mem, r->text);
    rt_release(mem, r->mask);
    *r = (rt_rendered){0};
}
