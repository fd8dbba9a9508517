/* template_compile_gen.h - the emitter's state, instructions and expressions. */
#ifndef P4C_FRONTEND_TEMPLATE_COMPILE_GEN_H
#define P4C_FRONTEND_TEMPLATE_COMPILE_GEN_H

#include "frontend/template_compile_emit.h"

typedef vec(size_t) tc_jumps;

/* The innermost loop of the function. */
typedef struct tc_loop {
    bool open;
    size_t top; /* its `next` */
    uint32_t captures;
    tc_jumps breaks;
} tc_loop;

typedef struct tc_body {
    tc_fn *fn;
    uint32_t captures; /* open ones */
    tc_loop loop;
} tc_body;

typedef struct tc_gen {
    tc_table *table;
    arena *mem;
    tc_body body;
    const tc_scope *soft; /* scope inside an `if`: unknown filters are an error when they run */
    bool failed;
} tc_gen;

/* Reports the first failure. */
void tcg_fail(tc_gen *g, uint32_t line, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Appends an instruction; returns its index in the function. */
size_t tcg_emit(tc_gen *g, uint32_t line, rt_tpl_op op, uint32_t x, uint32_t a, uint32_t b);
/* Makes the jump at `at` go to the next instruction. */
void tcg_land(tc_gen *g, size_t at);
/* How many functions around the current one the variable's function is. */
uint32_t tcg_depth(tc_gen *g, const tc_symbol *y);
void tcg_load(tc_gen *g, const tc_scope *s, str name, uint32_t line);
/* Constants of the names, one after another; returns the first. */
uint32_t tcg_name_list(tc_gen *g, const tc_node *names);

/* Leaves the value on the stack. */
void tcg_expression(tc_gen *g, const tc_scope *s, const tc_node *n);
/* A TE_call; caller NULL, or the function handed over as argument `caller`. */
void tcg_call(tc_gen *g, const tc_scope *s, const tc_node *n, const tc_fn *caller);

#endif
