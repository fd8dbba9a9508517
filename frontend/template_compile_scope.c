/* template_compile_scope.c - see template_compile_scope.h. */
#include "frontend/template_compile_scope.h"

tc_scope *tc_scope_open(arena *mem, tc_scope *parent, tc_fn *fn, uint32_t *n_slots) {
    tc_scope *s = arena_new(mem, tc_scope);
    s->parent = parent;
    s->fn = fn;
    s->n_slots = n_slots;
    s->mem = mem;
    s->names.mem = mem;
    return s;
}

static tc_symbol *find_own(const tc_scope *s, str name) {
    const int64_t *i = map_find(&s->names, name);
    return i ? s->symbols.at[*i] : NULL;
}

tc_symbol *tc_scope_find(const tc_scope *s, str name) {
    for (; s; s = s->parent) {
        tc_symbol *y = find_own(s, name);
        if (y) return y;
    }
    return NULL;
}

static tc_symbol *define(tc_scope *s, str name, tc_begin begin, const tc_symbol *outer) {
    tc_symbol *y = arena_new(s->mem, tc_symbol);
    *y = (tc_symbol){
        .name = name, .scope = s, .slot = (*s->n_slots)++, .begin = begin, .outer = outer};
    (void)map_add(&s->names, name, (int64_t)s->symbols.n);
    vec_push(s->mem, &s->symbols, y);
    return y;
}

tc_symbol *tc_scope_param(tc_scope *s, str name) {
    tc_symbol *y = find_own(s, name);
    if (!y) y = define(s, name, TC_BEGIN_param, NULL);
    y->begin = TC_BEGIN_param;
    y->stored = true;
    return y;
}

static void store(tc_scope *s, str name) {
    tc_symbol *y = find_own(s, name);
    if (!y) {
        const tc_symbol *outer = tc_scope_find(s->parent, name);
        y = define(s, name, outer ? TC_BEGIN_alias : TC_BEGIN_unset, outer);
    }
    if (!y->stored) vec_push(s->mem, &s->newly_stored, y);
    y->stored = true;
}

static void load(tc_scope *s, str name) {
    if (!tc_scope_find(s, name)) (void)define(s, name, TC_BEGIN_resolve, NULL);
}

/* A name that only some branches set keeps its outer value in the others: whatever was stored since
 * `from` begins as what it means further out. */
static void end_branches(tc_scope *s, size_t from) {
    for (size_t i = from; i < s->newly_stored.n; i++) {
        tc_symbol *y = s->newly_stored.at[i];
        y->outer = tc_scope_find(s->parent, y->name);
        y->begin = y->outer ? TC_BEGIN_alias : TC_BEGIN_resolve;
    }
}

static void visit_kids(tc_scope *s, const tc_node *n) {
    for (uint32_t i = 0; i < n->n; i++) tc_scope_visit(s, n->kid[i]);
}

void tc_scope_visit(tc_scope *s, const tc_node *n) {
    if (!n) return;
    switch (n->kind) {
    case TE_name:
        if (n->use == TC_PARAM) (void)tc_scope_param(s, n->name);
        else if (n->use == TC_STORE) store(s, n->name);
        else load(s, n->name);
        return;
    case TE_ns:
        load(s, n->name);
        return;
    case TN_set: /* the value before the target */
        tc_scope_visit(s, n->kid[1]);
        tc_scope_visit(s, n->kid[0]);
        return;
    case TN_if: {
        tc_scope_visit(s, n->kid[0]);
        const size_t from = s->newly_stored.n;
        for (uint32_t i = 1; i < n->n; i++) tc_scope_visit(s, n->kid[i]);
        end_branches(s, from);
        return;
    }
    case TN_macro:
        store(s, n->name);
        return;
    case TN_for: /* statements with a scope of their own: only what is evaluated out here */
        tc_scope_visit(s, n->kid[1]);
        return;
    case TN_set_body:
    case TN_filter:
        tc_scope_visit(s, n->kid[0]);
        return;
    case TN_call:
        tc_scope_visit(s, n->kid[2]);
        return;
    case TN_with:
        tc_scope_visit(s, n->kid[1]);
        return;
    case TN_generation:
        return;
    default:
        visit_kids(s, n);
    }
}

void tc_scope_visit_params(tc_scope *s, const tc_node *target) {
    if (target->kind == TE_name) (void)tc_scope_param(s, target->name);
    for (uint32_t i = 0; i < target->n; i++) tc_scope_visit_params(s, target->kid[i]);
}

/* In order of the text: 1 read first, -1 set first, 0 neither. */
static int first_use(const tc_node *n, str name) {
    if (!n) return 0;
    if (n->kind == TE_name && str_eq(n->name, name)) return n->use == TC_LOAD ? 1 : -1;
    for (uint32_t i = 0; i < n->n; i++) {
        const int use = first_use(n->kid[i], name);
        if (use) return use;
    }
    return 0;
}

bool tc_reads_name(const tc_node *n, str name) { return first_use(n, name) > 0; }
