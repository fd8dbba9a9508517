/* template_compile_ast.h - tokens and syntax tree of a chat template; private to the compiler. */
#ifndef P4C_FRONTEND_TEMPLATE_COMPILE_AST_H
#define P4C_FRONTEND_TEMPLATE_COMPILE_AST_H

#include "base/arena.h"
#include "base/diag.h"
#include "base/str.h"
#include "base/util.h"

typedef enum tc_token_kind {
    TK_eof,
    TK_data, /* text of the template */
    TK_block_begin,
    TK_block_end,
    TK_print_begin,
    TK_print_end,
    TK_name,
    TK_string,  /* text: without quotes, escapes read */
    TK_integer, /* text: decimal digits */
    TK_float,   /* text: as written, without _ */
    TK_operator /* text: the operator */
} tc_token_kind;

typedef struct tc_token {
    tc_token_kind kind;
    uint32_t line;
    str text;
} tc_token;

typedef vec(tc_token) tc_tokens;

/* Where and how to report; shared by all stages. */
typedef struct tc_ctx {
    arena *mem;
    diag *d;
    const char *file;
} tc_ctx;

/* Always false. */
bool tc_fail(const tc_ctx *c, diag_code code, uint32_t line, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* ---- the tree ---- */

typedef enum tc_kind {
    /* statements; [..] are the kids, ? those that may be NULL */
    TN_body,       /* [statement...] */
    TN_data,       /* text */
    TN_output,     /* [expression or TN_data...] */
    TN_if,         /* [test, body, elifs: body of TN_if, else body] */
    TN_for,        /* [target, iter, test?, body, else?]; flag: recursive */
    TN_set,        /* [target, value] */
    TN_set_body,   /* [target, filter?, body] */
    TN_macro,      /* name [params: tuple of names, defaults: tuple, body] */
    TN_call,       /* [params, defaults, call, body] */
    TN_generation, /* [body] */
    TN_filter,     /* [filter, body] */
    TN_with,       /* [targets: tuple, values: tuple, body] */
    TN_break,
    TN_continue,
    /* expressions */
    TE_name, /* name, use */
    TE_ns,   /* name.attr as a target: name, text */
    TE_none,
    TE_bool,    /* flag */
    TE_text,    /* text */
    TE_integer, /* text: digits */
    TE_float,   /* real */
    TE_tuple,   /* [item...] */
    TE_list,    /* [item...] */
    TE_dict,    /* [key, value, ...] */
    TE_attr,    /* [value] name */
    TE_item,    /* [value, index or TE_slice] */
    TE_slice,   /* [start?, stop?, step?] */
    TE_call,    /* [callee, args] */
    TE_filter,  /* name [input?, args]; no input: the captured text */
    TE_test,    /* name [input, args] */
    TE_args,   /* [positional..., keyword values..., list?, map?]; keys, n_pos, n_keys, flag bits */
    TE_unary,  /* op [value] */
    TE_binary, /* op [left, right] */
    TE_and,    /* [left, right] */
    TE_or,     /* [left, right] */
    TE_concat, /* [value...] */
    TE_compare, /* [value, value...] ops */
    TE_cond,    /* [test, then, else?] */
} tc_kind;

typedef enum tc_use { TC_LOAD, TC_STORE, TC_PARAM } tc_use;

typedef struct tc_node tc_node;
struct tc_node {
    tc_kind kind;
    uint32_t line;
    uint32_t depth; /* of the tree below */
    uint8_t flag;   /* see tc_kind; of TE_args RT_TPL_CALL_* */
    uint8_t op;     /* rt_tpl_op */
    tc_use use;
    str name, text;
    double real;
    tc_node **kid;
    uint32_t n;
    uint32_t n_pos, n_keys;
    str *keys;
    uint8_t *ops; /* rt_tpl_op[n - 1] */
};

enum { TC_MAX_TREE = 1000 }; /* depth: what the walkers recurse to */

/* source: newlines normalised to \n here.  Tokens end with TK_eof. */
P4C_CHECKED bool tc_lex(const tc_ctx *c, str source, tc_tokens *out);
P4C_CHECKED bool tc_parse(const tc_ctx *c, const tc_tokens *tokens, tc_node **body);

#endif
