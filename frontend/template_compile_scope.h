/* template_compile_scope.h - which variable a name means, by the rules of jinja2's idtracking.py.
 *
 * Each body that has variables of its own is a scope: the template, a loop's body, its `else`, its
 * condition, a macro, and the bodies of with, filter, set, call and generation.  All names of a
 * scope are looked at before its code is made: a name that it sets is its own everywhere in it.
 */
#ifndef P4C_FRONTEND_TEMPLATE_COMPILE_SCOPE_H
#define P4C_FRONTEND_TEMPLATE_COMPILE_SCOPE_H

#include "base/map.h"
#include "frontend/template_compile_ast.h"

/* How a variable gets its value where the scope begins. */
typedef enum tc_begin {
    TC_BEGIN_param,   /* set by whoever enters the scope */
    TC_BEGIN_resolve, /* from the caller's variables */
    TC_BEGIN_alias,   /* from the variable of the same name further out */
    TC_BEGIN_unset,
} tc_begin;

typedef struct tc_scope tc_scope;
typedef struct tc_fn tc_fn; /* a function of the table, made by the emitter */

typedef struct tc_symbol tc_symbol;
struct tc_symbol {
    str name;
    const tc_scope *scope;
    uint32_t slot; /* in the scope's function */
    tc_begin begin;
    const tc_symbol *outer; /* of TC_BEGIN_alias */
    bool stored;
};

struct tc_scope {
    tc_scope *parent;
    tc_fn *fn;
    uint32_t *n_slots; /* of fn; grows with every symbol */
    arena *mem;
    map names; /* -> index in symbols */
    vec(tc_symbol *) symbols;
    vec(tc_symbol *) newly_stored; /* in order; branches of an `if` look at its end */
};

tc_scope *tc_scope_open(arena *mem, tc_scope *parent, tc_fn *fn, uint32_t *n_slots);
/* The variable that `name` means here; NULL: none yet. */
tc_symbol *tc_scope_find(const tc_scope *s, str name);
/* A parameter of the scope; also makes one out of a symbol that is there. */
tc_symbol *tc_scope_param(tc_scope *s, str name);

/* Looks at what runs in the scope itself: a statement list, an expression, a target.  n may be
 * NULL. */
void tc_scope_visit(tc_scope *s, const tc_node *n);
/* Declares the names of a target as parameters. */
void tc_scope_visit_params(tc_scope *s, const tc_node *target);

/* Is `name` read somewhere below n before anything there is called so? */
bool tc_reads_name(const tc_node *n, str name);

#endif
