/* template_compile_emit.h - syntax tree to instructions; private to the template compiler. */
#ifndef P4C_FRONTEND_TEMPLATE_COMPILE_EMIT_H
#define P4C_FRONTEND_TEMPLATE_COMPILE_EMIT_H

#include "base/map.h"
#include "frontend/template_compile_scope.h"
#include "runtime/template_abi.h"

struct tc_fn {
    uint32_t index;
    tc_fn *parent;
    rt_tpl_fn row; /* first_ins is filled in when all are there */
    vec(rt_tpl_ins) code;
};

/* The table while it grows. */
typedef struct tc_table {
    const tc_ctx *c;
    vec(rt_tpl_const) consts;
    map const_index; /* kind and bytes -> constant */
    text texts;
    vec(tc_fn *) fns;
} tc_table;

/* Constants, each once. */
uint32_t tc_const_text(tc_table *t, str s);
uint32_t tc_const_node(tc_table *t, const tc_node *n); /* a literal */

P4C_CHECKED bool tc_emit(tc_table *t, const tc_node *body);

#endif
