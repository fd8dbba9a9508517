/* template_compile_statements.c - the statements of the template parser. */
#include <string.h>

#include "frontend/template_compile_parse.h"

/* A block that is being read: what ends its current part. */
typedef struct block {
    const char *name;
    uint32_t line;
    const char *const *ends; /* NULL at the end */
} block;

static tc_node *parse_statement(tc_parser *p, const block *in, bool *ended);

static bool is_end(const tc_parser *p, const block *in) {
    for (size_t i = 0; in && in->ends[i]; i++)
        if (tcp_is_name(p, in->ends[i])) return true;
    return false;
}

/* Statements up to one of the block's ends, whose name is the next token then; NULL as `in`: up to
 * the end of the template. */
static tc_node *parse_until(tc_parser *p, const block *in) {
    const uint32_t line = tcp_now(p)->line;
    tc_node_list l = {0};
    bool ended = false;
    while (!ended) {
        const tc_token *t = tcp_now(p);
        tc_node *n;
        if (t->kind == TK_eof) {
            if (in)
                return tcp_fail(p, t->line, "the template ends inside '%s' of line %u", in->name,
                                in->line);
            break;
        }
        tcp_next(p);
        if (t->kind == TK_data) {
            tc_node *data = tcp_new_node(p, TN_data, t->line);
            data->text = t->text;
            n = TCP_NODE(p, TN_output, t->line, data);
        } else if (t->kind == TK_print_begin) {
            tc_node *v = tcp_parse_tuple(p, TC_ITEM_ANY, TC_END_NONE, false);
            if (!v || !tcp_expect(p, TK_print_end, "'}}'")) return NULL;
            n = TCP_NODE(p, TN_output, t->line, v);
        } else {
            n = parse_statement(p, in, &ended);
            if (ended) break;
            if (n && !tcp_expect(p, TK_block_end, "'%}'")) return NULL;
        }
        if (!n) return NULL;
        vec_push(p->c->mem, &l, n);
    }
    return tcp_set_kids(p, tcp_new_node(p, TN_body, line), l.at, l.n);
}

/* The body of a statement: `%}`, then everything up to one of `ends`. */
static tc_node *parse_body(tc_parser *p, const char *name, uint32_t line, const char *const *ends) {
    tcp_skip_op(p, ":");
    if (!tcp_expect(p, TK_block_end, "'%}'") || !tcp_enter(p)) return NULL;
    tc_node *body = parse_until(p, &(block){name, line, ends});
    tcp_leave(p);
    return body;
}

/* The same for a body with one end, which is read too. */
static tc_node *parse_whole_body(tc_parser *p, const char *name, uint32_t line, const char *end) {
    tc_node *body = parse_body(p, name, line, (const char *const[]){end, NULL});
    if (body) tcp_next(p);
    return body;
}

/* ---- assignments ---- */

static bool can_assign(const tc_node *n) {
    if (n->kind != TE_tuple) return n->kind == TE_name || n->kind == TE_ns;
    for (uint32_t i = 0; i < n->n; i++)
        if (!can_assign(n->kid[i])) return false;
    return true;
}

static void set_use(tc_node *n, tc_use use) {
    n->use = use;
    for (uint32_t i = 0; i < n->n; i++) set_use(n->kid[i], use);
}

static bool has_ns(const tc_node *n) {
    for (uint32_t i = 0; i < n->n; i++)
        if (has_ns(n->kid[i])) return true;
    return n->kind == TE_ns;
}

static tc_node *parse_target(tc_parser *p, tc_tuple_end end, bool with_ns, tc_use use) {
    const uint32_t line = tcp_now(p)->line;
    tc_node *n = tcp_parse_tuple(p, TC_ITEM_TARGET, end, false);
    if (!n) return NULL;
    if (!can_assign(n) || (!with_ns && has_ns(n)))
        return tcp_fail(p, line, "this cannot be assigned to");
    set_use(n, use);
    return n;
}

static tc_node *parse_target_name(tc_parser *p, tc_use use) {
    const tc_token *t = tcp_now(p);
    static const char *const CONSTANTS[] = {"true", "True", "false", "False", "none", "None"};
    if (t->kind != TK_name) return tcp_fail_expected(p, "a name");
    for (size_t i = 0; i < COUNT_OF(CONSTANTS); i++)
        if (str_is(t->text, CONSTANTS[i]))
            return tcp_fail(p, t->line, "'%s' cannot be assigned to", CONSTANTS[i]);
    tcp_next(p);
    tc_node *n = tcp_new_node(p, TE_name, t->line);
    n->name = t->text;
    n->use = use;
    return n;
}

static tc_node *parse_set(tc_parser *p, uint32_t line) {
    tc_node *target = parse_target(p, TC_END_NONE, true, TC_STORE);
    if (!target) return NULL;
    if (tcp_skip_op(p, "=")) {
        tc_node *v = tcp_parse_tuple(p, TC_ITEM_ANY, TC_END_NONE, false);
        return v ? TCP_NODE(p, TN_set, line, target, v) : NULL;
    }
    tc_node *filter = NULL;
    if (tcp_is_op(p, "|")) {
        filter = tcp_parse_filter(p, NULL, false);
        if (!filter) return NULL;
    }
    tc_node *body = parse_whole_body(p, "set", line, "endset");
    return body ? TCP_NODE(p, TN_set_body, line, target, filter, body) : NULL;
}

static tc_node *parse_with(tc_parser *p, uint32_t line) {
    tc_node_list targets = {0}, values = {0};
    while (tcp_now(p)->kind != TK_block_end) {
        if (targets.n && !tcp_expect_op(p, ",")) return NULL;
        tc_node *t = parse_target(p, TC_END_NONE, false, TC_PARAM);
        if (!t) return NULL;
        if (!tcp_expect_op(p, "=")) return NULL;
        tc_node *v = tcp_parse_expression(p);
        if (!v) return NULL;
        vec_push(p->c->mem, &targets, t);
        vec_push(p->c->mem, &values, v);
    }
    tc_node *ts = tcp_from_list(p, TE_tuple, line, &targets);
    tc_node *vs = tcp_from_list(p, TE_tuple, line, &values);
    tc_node *body = ts && vs ? parse_whole_body(p, "with", line, "endwith") : NULL;
    return body ? TCP_NODE(p, TN_with, line, ts, vs, body) : NULL;
}

/* ---- control ---- */

static tc_node *parse_for(tc_parser *p, uint32_t line) {
    static const char *const ENDS[] = {"endfor", "else", NULL};
    tc_node *target = parse_target(p, TC_END_IN, false, TC_STORE);
    if (!target) return NULL;
    if (!tcp_skip_name(p, "in")) return tcp_fail_expected(p, "'in'");
    tc_node *iter = tcp_parse_tuple(p, TC_ITEM_NO_CONDITION, TC_END_RECURSIVE, false);
    if (!iter) return NULL;
    tc_node *test = NULL, *other = NULL;
    if (tcp_skip_name(p, "if")) {
        test = tcp_parse_expression(p);
        if (!test) return NULL;
    }
    const bool recursive = tcp_skip_name(p, "recursive");
    tc_node *body = parse_body(p, "for", line, ENDS);
    if (!body) return NULL;
    if (str_is(tcp_next(p)->text, "else")) {
        other = parse_whole_body(p, "for", line, "endfor");
        if (!other) return NULL;
    }
    tc_node *n = TCP_NODE(p, TN_for, line, target, iter, test, body, other);
    if (n) n->flag = recursive;
    return n;
}

static tc_node *parse_if(tc_parser *p, uint32_t line) {
    static const char *const ENDS[] = {"elif", "else", "endif", NULL};
    tc_node *test = NULL, *body = NULL, *other = NULL;
    tc_node_list elifs = {0};
    for (bool first = true;; first = false) {
        const uint32_t at = first ? line : tcp_now(p)->line;
        tc_node *t = tcp_parse_tuple(p, TC_ITEM_NO_CONDITION, TC_END_NONE, false);
        tc_node *b = t ? parse_body(p, "if", line, ENDS) : NULL;
        if (!b) return NULL;
        if (first) {
            test = t;
            body = b;
        } else {
            tc_node *n = TCP_NODE(p, TN_if, at, t, b, NULL, NULL);
            if (!n) return NULL;
            vec_push(p->c->mem, &elifs, n);
        }
        const tc_token *end = tcp_next(p);
        if (str_is(end->text, "elif")) continue;
        if (str_is(end->text, "else")) {
            other = parse_whole_body(p, "if", line, "endif");
            if (!other) return NULL;
        }
        break;
    }
    tc_node *chain = tcp_set_kids(p, tcp_new_node(p, TN_body, line), elifs.at, elifs.n);
    return chain ? TCP_NODE(p, TN_if, line, test, body, chain, other) : NULL;
}

/* ---- macros and blocks ---- */

static bool parse_signature(tc_parser *p, uint32_t line, tc_node **params, tc_node **defaults) {
    tc_node_list ps = {0}, ds = {0};
    if (!tcp_expect_op(p, "(")) return false;
    while (!tcp_is_op(p, ")")) {
        if (ps.n && !tcp_expect_op(p, ",")) return false;
        tc_node *a = parse_target_name(p, TC_PARAM);
        if (!a) return false;
        for (size_t i = 0; i < ps.n; i++)
            if (str_eq(ps.at[i]->name, a->name))
                return tcp_fail(p, a->line, "parameter '" STR_FMT "' twice", STR_ARG(a->name));
        if (tcp_skip_op(p, "=")) {
            tc_node *v = tcp_parse_expression(p);
            if (!v) return false;
            vec_push(p->c->mem, &ds, v);
        } else if (ds.n) {
            return tcp_fail(p, a->line, "a parameter without default behind one with a default");
        }
        vec_push(p->c->mem, &ps, a);
    }
    tcp_next(p);
    *params = tcp_from_list(p, TE_tuple, line, &ps);
    *defaults = tcp_from_list(p, TE_tuple, line, &ds);
    return *params && *defaults;
}

static tc_node *parse_macro(tc_parser *p, uint32_t line) {
    tc_node *name = parse_target_name(p, TC_STORE), *params, *defaults;
    if (!name || !parse_signature(p, line, &params, &defaults)) return NULL;
    tc_node *body = parse_whole_body(p, "macro", line, "endmacro");
    tc_node *n = body ? TCP_NODE(p, TN_macro, line, params, defaults, body) : NULL;
    if (n) n->name = name->name;
    return n;
}

static tc_node *parse_call_block(tc_parser *p, uint32_t line) {
    tc_node *params, *defaults;
    if (tcp_is_op(p, "(")) {
        if (!parse_signature(p, line, &params, &defaults)) return NULL;
    } else {
        params = tcp_new_node(p, TE_tuple, line);
        defaults = tcp_new_node(p, TE_tuple, line);
    }
    tc_node *call = tcp_parse_expression(p);
    if (!call) return NULL;
    if (call->kind != TE_call) return tcp_fail(p, line, "expected a call");
    tc_node *body = parse_whole_body(p, "call", line, "endcall");
    return body ? TCP_NODE(p, TN_call, line, params, defaults, call, body) : NULL;
}

static tc_node *parse_filter_block(tc_parser *p, uint32_t line) {
    tc_node *filter = tcp_parse_filter(p, NULL, true);
    tc_node *body = filter ? parse_whole_body(p, "filter", line, "endfilter") : NULL;
    return body ? TCP_NODE(p, TN_filter, line, filter, body) : NULL;
}

static tc_node *parse_generation(tc_parser *p, uint32_t line) {
    tc_node *body = parse_whole_body(p, "generation", line, "endgeneration");
    return body ? TCP_NODE(p, TN_generation, line, body) : NULL;
}

static tc_node *parse_print(tc_parser *p, uint32_t line) {
    tc_node_list l = {0};
    while (tcp_now(p)->kind != TK_block_end) {
        if (l.n && !tcp_expect_op(p, ",")) return NULL;
        tc_node *v = tcp_parse_expression(p);
        if (!v) return NULL;
        vec_push(p->c->mem, &l, v);
    }
    return tcp_set_kids(p, tcp_new_node(p, TN_output, line), l.at, l.n);
}

static tc_node *parse_break(tc_parser *p, uint32_t line) { return tcp_new_node(p, TN_break, line); }
static tc_node *parse_continue(tc_parser *p, uint32_t line) {
    return tcp_new_node(p, TN_continue, line);
}

typedef struct statement {
    const char *name;
    tc_node *(*parse)(tc_parser *p, uint32_t line); /* NULL: jinja2 has it, p4c does not */
} statement;

static const statement STATEMENTS[] = {
    {"for", parse_for},
    {"if", parse_if},
    {"set", parse_set},
    {"macro", parse_macro},
    {"call", parse_call_block},
    {"filter", parse_filter_block},
    {"with", parse_with},
    {"generation", parse_generation},
    {"print", parse_print},
    {"break", parse_break},
    {"continue", parse_continue},
    {"block", NULL},
    {"extends", NULL},
    {"include", NULL},
    {"import", NULL},
    {"from", NULL},
    {"autoescape", NULL},
};

/* Behind `{%`.  *ended: an end of `in` stands here, nothing was read. */
static tc_node *parse_statement(tc_parser *p, const block *in, bool *ended) {
    const tc_token *t = tcp_now(p);
    if (is_end(p, in)) {
        *ended = true;
        return NULL;
    }
    if (t->kind != TK_name) return tcp_fail_expected(p, "the name of a tag");
    for (size_t i = 0; i < COUNT_OF(STATEMENTS); i++) {
        if (!str_is(t->text, STATEMENTS[i].name)) continue;
        if (!STATEMENTS[i].parse) {
            if (!p->failed)
                (void)tc_fail(p->c, DIAG_TEMPLATE_UNSUPPORTED, t->line,
                              "the tag '%s' is not supported in chat templates",
                              STATEMENTS[i].name);
            p->failed = true;
            return NULL;
        }
        tcp_next(p);
        return STATEMENTS[i].parse(p, t->line);
    }
    const int n = (int)(t->text.n < 40 ? t->text.n : 40);
    if (in)
        return tcp_fail(p, t->line, "unknown tag '%.*s' inside '%s' of line %u", n, t->text.at,
                        in->name, in->line);
    return tcp_fail(p, t->line, "unknown tag '%.*s'", n, t->text.at);
}

bool tc_parse(const tc_ctx *c, const tc_tokens *tokens, tc_node **body) {
    tc_parser p = {.c = c, .at = tokens->at};
    *body = parse_until(&p, NULL);
    return *body != NULL;
}
