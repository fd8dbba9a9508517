/* template_compile_parse.h - what the two halves of the template parser share. */
#ifndef P4C_FRONTEND_TEMPLATE_COMPILE_PARSE_H
#define P4C_FRONTEND_TEMPLATE_COMPILE_PARSE_H

#include "frontend/template_compile_ast.h"

typedef struct tc_parser {
    const tc_ctx *c;
    const tc_token *at; /* ends with TK_eof */
    size_t i;
    int nesting;
    bool failed;
} tc_parser;

/* ---- tokens ---- */

static inline const tc_token *tcp_now(const tc_parser *p) { return &p->at[p->i]; }
static inline const tc_token *tcp_next(tc_parser *p) {
    const tc_token *t = tcp_now(p);
    if (t->kind != TK_eof) p->i++;
    return t;
}
static inline bool tcp_is_op(const tc_parser *p, const char *op) {
    return tcp_now(p)->kind == TK_operator && str_is(tcp_now(p)->text, op);
}
static inline bool tcp_is_name(const tc_parser *p, const char *name) {
    return tcp_now(p)->kind == TK_name && str_is(tcp_now(p)->text, name);
}
static inline bool tcp_name_follows(const tc_parser *p, const char *name) {
    return tcp_now(p)->kind != TK_eof && p->at[p->i + 1].kind == TK_name &&
           str_is(p->at[p->i + 1].text, name);
}
static inline bool tcp_skip_op(tc_parser *p, const char *op) {
    const bool is = tcp_is_op(p, op);
    if (is) p->i++;
    return is;
}
static inline bool tcp_skip_name(tc_parser *p, const char *name) {
    const bool is = tcp_is_name(p, name);
    if (is) p->i++;
    return is;
}

/* Reports the first failure; NULL, so that callers write `return tcp_fail(...)`. */
tc_node *tcp_fail(tc_parser *p, uint32_t line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
tc_node *tcp_fail_limit(tc_parser *p, const char *what, int limit);
tc_node *tcp_fail_expected(tc_parser *p, const char *what);
/* False: reported. */
bool tcp_expect_op(tc_parser *p, const char *op);
bool tcp_expect(tc_parser *p, tc_token_kind kind, const char *what);
/* One level deeper; false, and reported, where that is too deep. */
bool tcp_enter(tc_parser *p);
void tcp_leave(tc_parser *p);

typedef vec(tc_node *) tc_node_list;

tc_node *tcp_new_node(tc_parser *p, tc_kind kind, uint32_t line);
/* n, or NULL where the tree gets too deep. */
tc_node *tcp_set_kids(tc_parser *p, tc_node *n, tc_node *const *kid, size_t n_kids);
tc_node *tcp_from_list(tc_parser *p, tc_kind kind, uint32_t line, const tc_node_list *l);
#define TCP_NODE(p, kind, line, ...)                                                               \
    tcp_set_kids((p), tcp_new_node((p), (kind), (line)), (tc_node *[]){__VA_ARGS__},               \
                 sizeof((tc_node *[]){__VA_ARGS__}) / sizeof(tc_node *))

/* What ends a tuple without brackets; what its items may be. */
typedef enum tc_tuple_end { TC_END_NONE, TC_END_IN, TC_END_RECURSIVE } tc_tuple_end;
typedef enum tc_tuple_items { TC_ITEM_ANY, TC_ITEM_NO_CONDITION, TC_ITEM_TARGET } tc_tuple_items;

/* All return NULL after a failure, which they have reported. */
tc_node *tcp_parse_expression(tc_parser *p);
tc_node *tcp_parse_tuple(tc_parser *p, tc_tuple_items items, tc_tuple_end end, bool in_brackets);
/* `| a | b(c)`; v NULL: filters of captured text.  first: the first stands without a bar. */
tc_node *tcp_parse_filter(tc_parser *p, tc_node *v, bool first);

#endif
