/* template_compile_emit.c - statements and scopes to instructions, by jinja2's compiler.py.
 *
 * Scopes of one function share its slots; macros, `call` and `generation` bodies, loop conditions
 * and recursive loops are functions, whose code reaches the variables around them by depth.
 */
#include <assert.h>
#include <string.h>

#include "frontend/template_compile_emit.h"
#include "frontend/template_compile_gen.h"

/* ---- functions and code ---- */

static tc_fn *open_fn(tc_gen *g, tc_fn *parent, str name) {
    tc_table *t = g->table;
    tc_fn *f = arena_new(g->mem, tc_fn);
    f->index = (uint32_t)t->fns.n;
    f->parent = parent;
    f->row.parent = parent ? parent->index : 0;
    f->row.name = tc_const_text(t, name);
    vec_push(g->mem, &t->fns, f);
    assert(t->fns.n <= RT_TPL_MAX_FNS); /* a template of 64 KiB has no room for more */
    return f;
}

/* Code goes to `f` until the function that was current is put back. */
static tc_body enter_fn(tc_gen *g, tc_fn *f) {
    const tc_body was = g->body;
    g->body = (tc_body){.fn = f};
    return was;
}

static tc_scope *open_scope(tc_gen *g, tc_fn *f, tc_scope *parent) {
    return tc_scope_open(g->mem, parent, f, &f->row.n_slots);
}

/* What runs where a scope begins. */
static void begin_scope(tc_gen *g, const tc_scope *s, uint32_t line) {
    for (size_t i = 0; i < s->symbols.n; i++) {
        const tc_symbol *y = s->symbols.at[i];
        if (y->begin == TC_BEGIN_resolve)
            tcg_emit(g, line, RT_TOP_resolve, 0, y->slot, tc_const_text(g->table, y->name));
        else if (y->begin == TC_BEGIN_unset) tcg_emit(g, line, RT_TOP_unset, 0, y->slot, 0);
        else if (y->begin == TC_BEGIN_alias)
            tcg_emit(g, line, RT_TOP_alias, tcg_depth(g, y->outer), y->slot, y->outer->slot);
    }
    assert(s->fn->row.n_slots <= RT_TPL_MAX_SLOTS);
}

/* A slot without a name. */
static uint32_t hidden_slot(tc_gen *g) { return g->body.fn->row.n_slots++; }

static void emit_bool(tc_gen *g, uint32_t line, bool v) {
    const tc_node n = {.kind = TE_bool, .flag = v};
    tcg_emit(g, line, RT_TOP_constant, 0, tc_const_node(g->table, &n), 0);
}

/* ---- assignment ---- */

static void emit_assign(tc_gen *g, tc_scope *s, const tc_node *target) {
    if (target->kind == TE_tuple) {
        tcg_emit(g, target->line, RT_TOP_unpack, 0, target->n, 0);
        for (uint32_t i = 0; i < target->n; i++) emit_assign(g, s, target->kid[i]);
    } else if (target->kind == TE_ns) {
        tcg_load(g, s, target->name, target->line);
        tcg_emit(g, target->line, RT_TOP_set_attr, 0, tc_const_text(g->table, target->text), 0);
    } else {
        tcg_emit(g, target->line, RT_TOP_store, 0, tc_scope_find(s, target->name)->slot, 0);
    }
}

static void check_namespaces(tc_gen *g, tc_scope *s, const tc_node *target) {
    if (target->kind == TE_ns) {
        const tc_symbol *y = tc_scope_find(s, target->name);
        tcg_emit(g, target->line, RT_TOP_check_ns, tcg_depth(g, y), y->slot, 0);
    }
    for (uint32_t i = 0; i < target->n; i++) check_namespaces(g, s, target->kid[i]);
}

static void emit_set(tc_gen *g, tc_scope *s, const tc_node *n) {
    check_namespaces(g, s, n->kid[0]);
    tcg_expression(g, s, n->kid[1]);
    emit_assign(g, s, n->kid[0]);
}

static void emit_statement(tc_gen *g, tc_scope *s, const tc_node *n);

static void emit_body(tc_gen *g, tc_scope *s, const tc_node *body) {
    for (uint32_t i = 0; body && i < body->n; i++) emit_statement(g, s, body->kid[i]);
}

/* Leaves the output of a body, through filters, on the stack. */
static void emit_captured(tc_gen *g, tc_scope *inner, const tc_node *body, const tc_node *filter) {
    tcg_emit(g, body->line, RT_TOP_capture, 0, 0, 0);
    g->body.captures++;
    emit_body(g, inner, body);
    g->body.captures--;
    tcg_emit(g, body->line, RT_TOP_captured, 0, 0, 0);
    if (filter) tcg_expression(g, inner, filter);
}

static void emit_set_body(tc_gen *g, tc_scope *s, const tc_node *n) {
    tc_scope *inner = open_scope(g, g->body.fn, s);
    tc_scope_visit(inner, n->kid[2]);
    /* the filter's names belong to the inner scope too */
    tc_scope_visit(inner, n->kid[1]);
    begin_scope(g, inner, n->line);
    emit_captured(g, inner, n->kid[2], n->kid[1]);
    emit_assign(g, s, n->kid[0]);
}

static void emit_filter_block(tc_gen *g, tc_scope *s, const tc_node *n) {
    tc_scope *inner = open_scope(g, g->body.fn, s);
    tc_scope_visit(inner, n->kid[1]);
    tc_scope_visit(inner, n->kid[0]);
    begin_scope(g, inner, n->line);
    emit_captured(g, inner, n->kid[1], n->kid[0]);
    tcg_emit(g, n->line, RT_TOP_out, 1, 0, 0);
}

static void emit_with(tc_gen *g, tc_scope *s, const tc_node *n) {
    tc_scope *inner = open_scope(g, g->body.fn, s);
    for (uint32_t i = 0; i < n->kid[0]->n; i++) tc_scope_visit_params(inner, n->kid[0]->kid[i]);
    tc_scope_visit(inner, n->kid[2]);
    begin_scope(g, inner, n->line);
    for (uint32_t i = 0; i < n->kid[0]->n; i++) {
        tcg_expression(g, s, n->kid[1]->kid[i]);
        emit_assign(g, inner, n->kid[0]->kid[i]);
    }
    emit_body(g, inner, n->kid[2]);
}

/* ---- if and for ---- */

static void emit_if(tc_gen *g, tc_scope *s, const tc_node *n) {
    tc_jumps end = {0};
    const tc_scope *was = g->soft;
    g->soft = s;
    for (uint32_t i = 0; i <= n->kid[2]->n; i++) {
        const tc_node *part = i ? n->kid[2]->kid[i - 1] : n;
        tcg_expression(g, s, part->kid[0]);
        const size_t skip = tcg_emit(g, part->line, RT_TOP_if_false, 0, 0, 0);
        emit_body(g, s, part->kid[1]);
        vec_push(g->mem, &end, tcg_emit(g, part->line, RT_TOP_jump, 0, 0, 0));
        tcg_land(g, skip);
    }
    emit_body(g, s, n->kid[3]);
    for (size_t i = 0; i < end.n; i++) tcg_land(g, end.at[i]);
    g->soft = was;
}

/* The loop's condition as a function of the item. */
static tc_fn *emit_condition(tc_gen *g, tc_scope *s, const tc_node *n) {
    tc_fn *f = open_fn(g, g->body.fn, STR("if"));
    const tc_body was = enter_fn(g, f);
    f->row.n_params = 1;
    f->row.n_slots = 1;
    f->row.first_param = f->row.name;
    tc_scope *inner = open_scope(g, f, s);
    tc_scope_visit_params(inner, n->kid[0]);
    tc_scope_visit(inner, n->kid[2]);
    begin_scope(g, inner, n->line);
    tcg_emit(g, n->line, RT_TOP_load, 0, 0, f->row.name);
    emit_assign(g, inner, n->kid[0]);
    tcg_expression(g, inner, n->kid[2]);
    tcg_emit(g, n->line, RT_TOP_give, 0, 0, 0);
    g->body = was;
    return f;
}

/* The iterable is on the stack.  s: the scope around the loop. */
static void emit_loop(tc_gen *g, tc_scope *s, const tc_node *n) {
    tc_scope *inner = open_scope(g, g->body.fn, s), *other = NULL;
    const uint32_t slot = tc_scope_param(inner, STR("loop"))->slot;
    tc_scope_visit_params(inner, n->kid[0]);
    tc_scope_visit(inner, n->kid[3]);
    if (n->kid[4]) {
        other = open_scope(g, g->body.fn, s);
        tc_scope_visit(other, n->kid[4]);
    }
    uint32_t untouched = 0; /* true until an iteration came to its end: what `else` looks at */
    if (other) {
        untouched = hidden_slot(g);
        emit_bool(g, n->line, true);
        tcg_emit(g, n->line, RT_TOP_store, 0, untouched, 0);
    }
    const tc_fn *condition = n->kid[2] ? emit_condition(g, s, n) : NULL;
    tcg_emit(g, n->line, RT_TOP_loop, n->flag, slot, condition ? condition->index + 1 : 0);
    const size_t top = tcg_emit(g, n->line, RT_TOP_next, 0, slot, 0);
    const tc_loop was = g->body.loop;
    g->body.loop = (tc_loop){.open = true, .top = top, .captures = g->body.captures};
    emit_assign(g, inner, n->kid[0]);
    begin_scope(g, inner, n->line);
    emit_body(g, inner, n->kid[3]);
    if (other) {
        emit_bool(g, n->line, false);
        tcg_emit(g, n->line, RT_TOP_store, 0, untouched, 0);
    }
    tcg_emit(g, n->line, RT_TOP_jump, 0, (uint32_t)top, 0);
    tcg_land(g, top);
    for (size_t i = 0; i < g->body.loop.breaks.n; i++) tcg_land(g, g->body.loop.breaks.at[i]);
    g->body.loop = was;
    if (!other) return;
    tcg_emit(g, n->line, RT_TOP_load, 0, untouched, tc_const_text(g->table, STR("")));
    const size_t skip = tcg_emit(g, n->line, RT_TOP_if_false, 0, 0, 0);
    begin_scope(g, other, n->line);
    emit_body(g, other, n->kid[4]);
    tcg_land(g, skip);
}

static bool assigns_loop(const tc_node *n) {
    if (!n) return false;
    if (n->kind == TE_name && n->use == TC_STORE && str_is(n->name, "loop")) return true;
    for (uint32_t i = 0; i < n->n; i++)
        if (assigns_loop(n->kid[i])) return true;
    return false;
}

static void emit_for(tc_gen *g, tc_scope *s, const tc_node *n) {
    if (assigns_loop(n)) {
        tcg_fail(g, n->line, "the variable 'loop' cannot be assigned to in a loop");
        return;
    }
    if (!n->flag) {
        tcg_expression(g, s, n->kid[1]);
        emit_loop(g, s, n);
        return;
    }
    tc_fn *f = open_fn(g, g->body.fn, STR("loop"));
    const tc_body was = enter_fn(g, f);
    f->row.n_params = 1;
    f->row.n_slots = 1;
    f->row.first_param = f->row.name;
    tcg_emit(g, n->line, RT_TOP_load, 0, 0, f->row.name);
    emit_loop(g, s, n);
    g->body = was;
    tcg_expression(g, s, n->kid[1]);
    tcg_emit(g, n->line, RT_TOP_recurse, 0, f->index, 0);
    tcg_emit(g, n->line, RT_TOP_out, 0, 0, 0);
}

static void emit_leave_loop(tc_gen *g, const tc_node *n) {
    if (!g->body.loop.open) {
        tcg_fail(g, n->line, "'%s' outside a loop", n->kind == TN_break ? "break" : "continue");
        return;
    }
    const uint32_t captures = g->body.captures - g->body.loop.captures;
    if (captures) tcg_emit(g, n->line, RT_TOP_uncapture, 0, captures, 0);
    const size_t jump = tcg_emit(g, n->line, RT_TOP_jump, 0, (uint32_t)g->body.loop.top, 0);
    if (n->kind == TN_break) vec_push(g->mem, &g->body.loop.breaks, jump);
}

/* ---- macros ---- */

/* Slots behind the parameters for what the body reads without setting it. */
static void add_special(tc_gen *g, tc_fn *f, tc_scope *inner, const tc_node *params,
                        const tc_node *defaults, const tc_node *body) {
    static const struct {
        const char *name;
        uint32_t flag;
    } SPECIAL[] = {
        {"caller", RT_TFN_CALLER}, {"kwargs", RT_TFN_KWARGS}, {"varargs", RT_TFN_VARARGS}};
    for (size_t k = 0; k < COUNT_OF(SPECIAL); k++) {
        if (!tc_reads_name(body, str_of(SPECIAL[k].name))) continue;
        uint32_t own = params->n;
        for (uint32_t i = 0; i < params->n; i++)
            if (str_is(params->kid[i]->name, SPECIAL[k].name)) own = i;
        if (own == params->n) {
            (void)tc_scope_param(inner, str_of(SPECIAL[k].name));
            f->row.flags |= SPECIAL[k].flag;
        } else if (k == 0 && own < params->n - defaults->n) {
            tcg_fail(g, params->line, "a parameter 'caller' needs a default");
        }
    }
}

static tc_fn *emit_macro_fn(tc_gen *g, tc_scope *s, const tc_node *n, str name,
                            const tc_node *params, const tc_node *defaults, const tc_node *body) {
    tc_fn *f = open_fn(g, g->body.fn, name);
    const tc_body was = enter_fn(g, f);
    tc_scope *inner = open_scope(g, f, s);
    f->row.n_params = params->n;
    f->row.first_param = tcg_name_list(g, params);
    for (uint32_t i = 0; i < params->n; i++) (void)tc_scope_param(inner, params->kid[i]->name);
    add_special(g, f, inner, params, defaults, body);
    tc_scope_visit(inner, defaults);
    tc_scope_visit(inner, body);
    begin_scope(g, inner, n->line);
    for (uint32_t i = 0; i < params->n; i++) {
        const uint32_t slot = tc_scope_find(inner, params->kid[i]->name)->slot;
        const size_t skip = tcg_emit(g, n->line, RT_TOP_if_set, 0, slot, 0);
        if (i + defaults->n >= params->n) {
            tcg_expression(g, inner, defaults->kid[i + defaults->n - params->n]);
        } else {
            const char *what = arena_printf(g->mem, "parameter '" STR_FMT "' was not provided",
                                            STR_ARG(params->kid[i]->name));
            tcg_emit(g, n->line, RT_TOP_undefined, 0, tc_const_text(g->table, str_of(what)), 0);
        }
        tcg_emit(g, n->line, RT_TOP_store, 0, slot, 0);
        tcg_land(g, skip);
    }
    emit_body(g, inner, body);
    g->body = was;
    return f;
}

static void emit_macro(tc_gen *g, tc_scope *s, const tc_node *n) {
    const tc_fn *f = emit_macro_fn(g, s, n, n->name, n->kid[0], n->kid[1], n->kid[2]);
    tcg_emit(g, n->line, RT_TOP_macro, 0, f->index, 0);
    tcg_emit(g, n->line, RT_TOP_store, 0, tc_scope_find(s, n->name)->slot, 0);
}

static void emit_call_block(tc_gen *g, tc_scope *s, const tc_node *n) {
    const tc_fn *f = emit_macro_fn(g, s, n, STR("caller"), n->kid[0], n->kid[1], n->kid[3]);
    tcg_call(g, s, n->kid[2], f);
    tcg_emit(g, n->line, RT_TOP_out, 1, 0, 0);
}

/* A no-op but for its scope: the reference calls its body as a macro. */
static void emit_generation(tc_gen *g, tc_scope *s, const tc_node *n) {
    const tc_node none = {.kind = TE_tuple};
    const tc_fn *f = emit_macro_fn(g, s, n, STR("generation"), &none, &none, n->kid[0]);
    tcg_emit(g, n->line, RT_TOP_macro, 0, f->index, 0);
    tcg_emit(g, n->line, RT_TOP_call, 0, 0, 0);
    tcg_emit(g, n->line, RT_TOP_out, 0, 0, 0);
}

/* ---- statements ---- */

static void emit_output(tc_gen *g, tc_scope *s, const tc_node *n) {
    for (uint32_t i = 0; i < n->n; i++) {
        const tc_node *v = n->kid[i];
        if (v->kind == TN_data) {
            tcg_emit(g, v->line, RT_TOP_text, 0, tc_const_text(g->table, v->text), 0);
        } else {
            tcg_expression(g, s, v);
            tcg_emit(g, v->line, RT_TOP_out, 0, 0, 0);
        }
    }
}

static void emit_statement(tc_gen *g, tc_scope *s, const tc_node *n) {
    switch (n->kind) {
    case TN_output:
        emit_output(g, s, n);
        break;
    case TN_if:
        emit_if(g, s, n);
        break;
    case TN_for:
        emit_for(g, s, n);
        break;
    case TN_set:
        emit_set(g, s, n);
        break;
    case TN_set_body:
        emit_set_body(g, s, n);
        break;
    case TN_macro:
        emit_macro(g, s, n);
        break;
    case TN_call:
        emit_call_block(g, s, n);
        break;
    case TN_generation:
        emit_generation(g, s, n);
        break;
    case TN_filter:
        emit_filter_block(g, s, n);
        break;
    case TN_with:
        emit_with(g, s, n);
        break;
    case TN_break:
    case TN_continue:
        emit_leave_loop(g, n);
        break;
    default:
        UNREACHABLE("an expression among a template's statements");
    }
}

bool tc_emit(tc_table *t, const tc_node *body) {
    tc_gen g = {.table = t, .mem = t->c->mem};
    tc_fn *root = open_fn(&g, NULL, STR("template"));
    (void)enter_fn(&g, root);
    tc_scope *s = open_scope(&g, root, NULL);
    tc_scope_visit(s, body);
    begin_scope(&g, s, 1);
    emit_body(&g, s, body);
    return !g.failed;
}
