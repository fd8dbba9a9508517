/* template_compile_parse.c - tokens to the syntax tree, by jinja2's parser.py.
 *
 * Recursion is bounded by RT_TPL_MAX_NESTING; chains (a + b + c, a.b.c) grow the tree to the left
 * without recursion, up to TC_MAX_TREE.
 */
#include <assert.h>
#include <string.h>

#include "frontend/template_compile_parse.h"
#include "runtime/template_abi.h"

static const char *describe(const tc_parser *p, const tc_token *t) {
    switch (t->kind) {
    case TK_eof:
        return "end of the template";
    case TK_data:
        return "text";
    case TK_block_begin:
        return "'{%'";
    case TK_block_end:
        return "'%}'";
    case TK_print_begin:
        return "'{{'";
    case TK_print_end:
        return "'}}'";
    case TK_string:
        return "a string";
    default:
        return arena_printf(p->c->mem, "'" STR_FMT "'", (int)(t->text.n < 40 ? t->text.n : 40),
                            t->text.at);
    }
}

tc_node *tcp_fail(tc_parser *p, uint32_t line, const char *fmt, ...) {
    if (p->failed) return NULL;
    va_list ap;
    va_start(ap, fmt);
    const char *what = arena_vprintf(p->c->mem, fmt, ap);
    va_end(ap);
    p->failed = true;
    (void)tc_fail(p->c, DIAG_TEMPLATE_SYNTAX, line, "%s", what);
    return NULL;
}
tc_node *tcp_fail_limit(tc_parser *p, const char *what, int limit) {
    if (!p->failed)
        (void)tc_fail(p->c, DIAG_TEMPLATE_LIMIT, tcp_now(p)->line, "%s (limit %d)", what, limit);
    p->failed = true;
    return NULL;
}
tc_node *tcp_fail_expected(tc_parser *p, const char *what) {
    return tcp_fail(p, tcp_now(p)->line, "expected %s, found %s", what, describe(p, tcp_now(p)));
}

bool tcp_expect_op(tc_parser *p, const char *op) {
    if (tcp_skip_op(p, op)) return true;
    (void)tcp_fail(p, tcp_now(p)->line, "expected '%s', found %s", op, describe(p, tcp_now(p)));
    return false;
}
bool tcp_expect(tc_parser *p, tc_token_kind kind, const char *what) {
    if (tcp_now(p)->kind == kind) {
        tcp_next(p);
        return true;
    }
    (void)tcp_fail_expected(p, what);
    return false;
}

bool tcp_enter(tc_parser *p) {
    if (++p->nesting <= RT_TPL_MAX_NESTING) return true;
    (void)tcp_fail_limit(p, "the template is nested too deeply", RT_TPL_MAX_NESTING);
    return false;
}
void tcp_leave(tc_parser *p) { p->nesting--; }

/* ---- nodes ---- */

tc_node *tcp_new_node(tc_parser *p, tc_kind kind, uint32_t line) {
    tc_node *n = arena_new(p->c->mem, tc_node);
    n->kind = kind;
    n->line = line;
    return n;
}

tc_node *tcp_set_kids(tc_parser *p, tc_node *n, tc_node *const *kid, size_t n_kids) {
    n->kid = arena_array(p->c->mem, tc_node *, n_kids);
    if (n_kids) memcpy(n->kid, kid, n_kids * sizeof *kid);
    n->n = (uint32_t)n_kids;
    for (size_t i = 0; i < n_kids; i++)
        if (kid[i] && kid[i]->depth >= n->depth) n->depth = kid[i]->depth + 1;
    if (n->depth > TC_MAX_TREE) return tcp_fail_limit(p, "an expression is too long", TC_MAX_TREE);
    return n;
}

tc_node *tcp_from_list(tc_parser *p, tc_kind kind, uint32_t line, const tc_node_list *l) {
    assert(l->n <= RT_TPL_MAX_COUNT); /* a template of 64 KiB has no room for more */
    return tcp_set_kids(p, tcp_new_node(p, kind, line), l->at, l->n);
}

/* ---- expressions ---- */

static tc_node *parse_or(tc_parser *p);
static tc_node *parse_unary(tc_parser *p, bool with_filter);
static tc_node *parse_primary(tc_parser *p, bool with_ns);
static tc_node *parse_postfix(tc_parser *p, tc_node *v);

static bool at_tuple_end(const tc_parser *p, tc_tuple_end end) {
    const tc_token_kind k = tcp_now(p)->kind;
    if (k == TK_print_end || k == TK_block_end || k == TK_eof || tcp_is_op(p, ")")) return true;
    return (end == TC_END_IN && tcp_is_name(p, "in")) ||
           (end == TC_END_RECURSIVE && tcp_is_name(p, "recursive"));
}

tc_node *tcp_parse_tuple(tc_parser *p, tc_tuple_items items, tc_tuple_end end, bool in_brackets) {
    const uint32_t line = tcp_now(p)->line;
    tc_node_list l = {0};
    bool is_tuple = false;
    for (;;) {
        if (l.n && !tcp_expect_op(p, ",")) return NULL;
        if (at_tuple_end(p, end)) break;
        tc_node *v = items == TC_ITEM_TARGET         ? parse_primary(p, true)
                     : items == TC_ITEM_NO_CONDITION ? parse_or(p)
                                                     : tcp_parse_expression(p);
        if (!v) return NULL;
        vec_push(p->c->mem, &l, v);
        if (!tcp_is_op(p, ",")) break;
        is_tuple = true;
    }
    if (!is_tuple && l.n) return l.at[0];
    if (!is_tuple && !in_brackets) return tcp_fail_expected(p, "an expression");
    return tcp_from_list(p, TE_tuple, line, &l);
}

static tc_node *parse_list(tc_parser *p) {
    const uint32_t line = tcp_next(p)->line;
    tc_node_list l = {0};
    while (!tcp_is_op(p, "]")) {
        if (l.n && !tcp_expect_op(p, ",")) return NULL;
        if (tcp_is_op(p, "]")) break;
        tc_node *v = tcp_parse_expression(p);
        if (!v) return NULL;
        vec_push(p->c->mem, &l, v);
    }
    tcp_next(p);
    return tcp_from_list(p, TE_list, line, &l);
}

static tc_node *parse_dict(tc_parser *p) {
    const uint32_t line = tcp_next(p)->line;
    tc_node_list l = {0};
    while (!tcp_is_op(p, "}")) {
        if (l.n && !tcp_expect_op(p, ",")) return NULL;
        if (tcp_is_op(p, "}")) break;
        tc_node *key = tcp_parse_expression(p);
        if (!key || !tcp_expect_op(p, ":")) return NULL;
        tc_node *v = tcp_parse_expression(p);
        if (!v) return NULL;
        vec_push(p->c->mem, &l, key);
        vec_push(p->c->mem, &l, v);
    }
    tcp_next(p);
    return tcp_from_list(p, TE_dict, line, &l);
}

static tc_node *parse_name(tc_parser *p, bool with_ns) {
    const tc_token *t = tcp_next(p);
    const bool is_true = str_is(t->text, "true") || str_is(t->text, "True");
    if (is_true || str_is(t->text, "false") || str_is(t->text, "False")) {
        tc_node *n = tcp_new_node(p, TE_bool, t->line);
        n->flag = is_true;
        return n;
    }
    if (str_is(t->text, "none") || str_is(t->text, "None"))
        return tcp_new_node(p, TE_none, t->line);
    tc_node *n = tcp_new_node(p, TE_name, t->line);
    n->name = t->text;
    if (with_ns && tcp_skip_op(p, ".")) {
        if (tcp_now(p)->kind != TK_name) return tcp_fail_expected(p, "a name");
        n->kind = TE_ns;
        n->text = tcp_next(p)->text;
    }
    return n;
}

static tc_node *parse_text(tc_parser *p) {
    tc_node *n = tcp_new_node(p, TE_text, tcp_now(p)->line);
    text t = {.mem = p->c->mem};
    while (tcp_now(p)->kind == TK_string) text_add(&t, tcp_next(p)->text);
    n->text = text_str(&t);
    return n;
}

static tc_node *parse_number(tc_parser *p) {
    const tc_token *t = tcp_next(p);
    tc_node *n = tcp_new_node(p, t->kind == TK_integer ? TE_integer : TE_float, t->line);
    n->text = t->text;
    if (t->kind == TK_float && !str_to_f64(t->text, &n->real))
        return tcp_fail(p, t->line, "a number that is too large or too long");
    return n;
}

static tc_node *parse_primary(tc_parser *p, bool with_ns) {
    const tc_token *t = tcp_now(p);
    tc_node *n;
    if (t->kind == TK_name) {
        n = parse_name(p, with_ns);
    } else if (t->kind == TK_string) {
        n = parse_text(p);
    } else if (t->kind == TK_integer || t->kind == TK_float) {
        n = parse_number(p);
    } else if (tcp_skip_op(p, "(")) {
        n = tcp_parse_tuple(p, TC_ITEM_ANY, TC_END_NONE, true);
        if (n && !tcp_expect_op(p, ")")) n = NULL;
    } else if (tcp_is_op(p, "[")) {
        n = parse_list(p);
    } else if (tcp_is_op(p, "{")) {
        n = parse_dict(p);
    } else {
        n = tcp_fail(p, t->line, "unexpected %s", describe(p, t));
    }
    return n;
}

static tc_node *slice_part(tc_parser *p, bool *ok) {
    if (tcp_is_op(p, ":") || tcp_is_op(p, "]") || tcp_is_op(p, ",")) return NULL;
    tc_node *n = tcp_parse_expression(p);
    *ok = *ok && n;
    return n;
}

static tc_node *parse_subscribed(tc_parser *p) {
    const uint32_t line = tcp_now(p)->line;
    tc_node *part[3] = {NULL, NULL, NULL};
    bool ok = true;
    if (!tcp_is_op(p, ":")) {
        part[0] = tcp_parse_expression(p);
        if (!part[0] || !tcp_is_op(p, ":")) return part[0];
    }
    tcp_next(p);
    part[1] = slice_part(p, &ok);
    if (ok && tcp_skip_op(p, ":")) part[2] = slice_part(p, &ok);
    return ok ? tcp_set_kids(p, tcp_new_node(p, TE_slice, line), part, 3) : NULL;
}

static tc_node *parse_subscript(tc_parser *p, tc_node *v) {
    const tc_token *t = tcp_next(p);
    if (str_is(t->text, ".")) {
        const tc_token *a = tcp_next(p);
        if (a->kind == TK_name) {
            tc_node *n = TCP_NODE(p, TE_attr, t->line, v);
            if (n) n->name = a->text;
            return n;
        }
        if (a->kind != TK_integer) return tcp_fail(p, a->line, "expected a name or a number");
        tc_node *index = tcp_new_node(p, TE_integer, a->line);
        index->text = a->text;
        return TCP_NODE(p, TE_item, t->line, v, index);
    }
    tc_node_list l = {0};
    while (!tcp_is_op(p, "]")) {
        if (l.n && !tcp_expect_op(p, ",")) return NULL;
        tc_node *n = parse_subscribed(p);
        if (!n) return NULL;
        if (l.n && (n->kind == TE_slice || l.at[0]->kind == TE_slice))
            return tcp_fail(p, n->line, "a slice among several indices");
        vec_push(p->c->mem, &l, n);
    }
    tcp_next(p);
    tc_node *index = l.n == 1 ? l.at[0] : tcp_from_list(p, TE_tuple, t->line, &l);
    return index ? TCP_NODE(p, TE_item, t->line, v, index) : NULL;
}

typedef struct call_args {
    tc_node_list pos, values;
    vec(str) keys;
    tc_node *list, *map;
} call_args;

static bool parse_argument(tc_parser *p, call_args *a, uint32_t line) {
    bool ok = true;
    tc_node *v;
    if (tcp_skip_op(p, "*")) {
        ok = !a->list && !a->map;
        v = a->list = tcp_parse_expression(p);
    } else if (tcp_skip_op(p, "**")) {
        ok = !a->map;
        v = a->map = tcp_parse_expression(p);
    } else if (tcp_now(p)->kind == TK_name && p->at[p->i + 1].kind == TK_operator &&
               str_is(p->at[p->i + 1].text, "=")) {
        ok = !a->map;
        const str key = tcp_next(p)->text;
        for (size_t i = 0; i < a->keys.n; i++)
            if (str_eq(a->keys.at[i], key))
                return tcp_fail(p, line, "argument '" STR_FMT "' twice", STR_ARG(key));
        vec_push(p->c->mem, &a->keys, key);
        tcp_next(p);
        v = tcp_parse_expression(p);
        if (v) vec_push(p->c->mem, &a->values, v);
    } else {
        ok = !a->list && !a->map && !a->keys.n;
        v = tcp_parse_expression(p);
        if (v) vec_push(p->c->mem, &a->pos, v);
    }
    if (v && !ok) (void)tcp_fail(p, line, "invalid syntax for a call");
    return v && ok;
}

static tc_node *parse_args(tc_parser *p) {
    const uint32_t line = tcp_next(p)->line;
    call_args a = {0};
    bool comma = false;
    while (!tcp_is_op(p, ")")) {
        if (comma) {
            if (!tcp_expect_op(p, ",")) return NULL;
            if (tcp_is_op(p, ")")) break;
        }
        if (!parse_argument(p, &a, line)) return NULL;
        comma = true;
    }
    tcp_next(p);
    if (a.pos.n > RT_TPL_MAX_ARGS || a.keys.n > RT_TPL_MAX_ARGS)
        return tcp_fail_limit(p, "too many arguments", RT_TPL_MAX_ARGS);
    tc_node *n = tcp_new_node(p, TE_args, line);
    n->n_pos = (uint32_t)a.pos.n;
    n->n_keys = (uint32_t)a.keys.n;
    n->keys = a.keys.at;
    for (size_t i = 0; i < a.values.n; i++) vec_push(p->c->mem, &a.pos, a.values.at[i]);
    if (a.list) vec_push(p->c->mem, &a.pos, a.list);
    if (a.map) vec_push(p->c->mem, &a.pos, a.map);
    n->flag = (uint8_t)((a.list ? RT_TPL_CALL_LIST : 0) | (a.map ? RT_TPL_CALL_MAP : 0));
    return tcp_set_kids(p, n, a.pos.at, a.pos.n);
}

static tc_node *parse_call(tc_parser *p, tc_node *callee) {
    const uint32_t line = tcp_now(p)->line;
    tc_node *args = parse_args(p);
    return args ? TCP_NODE(p, TE_call, line, callee, args) : NULL;
}

static tc_node *parse_postfix(tc_parser *p, tc_node *v) {
    while (v) {
        if (tcp_is_op(p, ".") || tcp_is_op(p, "[")) v = parse_subscript(p, v);
        else if (tcp_is_op(p, "(")) v = parse_call(p, v);
        else break;
    }
    return v;
}

/* A name with dots, as filters and tests may have. */
static bool parse_dotted(tc_parser *p, str *out) {
    if (tcp_now(p)->kind != TK_name) {
        (void)tcp_fail_expected(p, "a name");
        return false;
    }
    *out = tcp_next(p)->text;
    while (tcp_skip_op(p, ".")) {
        if (tcp_now(p)->kind != TK_name) {
            (void)tcp_fail_expected(p, "a name");
            return false;
        }
        *out = str_of(
            arena_printf(p->c->mem, STR_FMT "." STR_FMT, STR_ARG(*out), STR_ARG(tcp_now(p)->text)));
        tcp_next(p);
    }
    return true;
}

/* `| a | b(c)`; v NULL: filters of captured text.  `first`: the first stands without a bar. */
tc_node *tcp_parse_filter(tc_parser *p, tc_node *v, bool first) {
    while (first || tcp_is_op(p, "|")) {
        if (!first) tcp_next(p);
        first = false;
        const uint32_t line = tcp_now(p)->line;
        str name;
        if (!parse_dotted(p, &name)) return NULL;
        tc_node *args = tcp_is_op(p, "(") ? parse_args(p) : tcp_new_node(p, TE_args, line);
        if (!args) return NULL;
        v = TCP_NODE(p, TE_filter, line, v, args);
        if (!v) return NULL;
        v->name = name;
    }
    return v;
}

static bool starts_test_argument(const tc_parser *p) {
    if (tcp_is_name(p, "else") || tcp_is_name(p, "or") || tcp_is_name(p, "and")) return false;
    const tc_token_kind k = tcp_now(p)->kind;
    return k == TK_name || k == TK_string || k == TK_integer || k == TK_float ||
           tcp_is_op(p, "[") || tcp_is_op(p, "{");
}

static tc_node *parse_test(tc_parser *p, tc_node *v) {
    const uint32_t line = tcp_next(p)->line;
    const bool negated = tcp_skip_name(p, "not");
    str name;
    if (!parse_dotted(p, &name)) return NULL;
    tc_node *args;
    if (tcp_is_op(p, "(")) {
        args = parse_args(p);
    } else {
        args = tcp_new_node(p, TE_args, line);
        if (starts_test_argument(p)) {
            if (tcp_is_name(p, "is")) return tcp_fail(p, line, "tests with 'is' cannot be chained");
            tc_node *a = parse_postfix(p, parse_primary(p, false));
            if (!a) return NULL;
            args->n_pos = 1;
            args = tcp_set_kids(p, args, &a, 1);
        }
    }
    if (!args) return NULL;
    tc_node *n = TCP_NODE(p, TE_test, line, v, args);
    if (!n) return NULL;
    n->name = name;
    if (!negated) return n;
    n = TCP_NODE(p, TE_unary, line, n);
    if (n) n->op = RT_TOP_not;
    return n;
}

static tc_node *parse_filters_and_tests(tc_parser *p, tc_node *v) {
    while (v) {
        if (tcp_is_op(p, "|")) v = tcp_parse_filter(p, v, false);
        else if (tcp_is_name(p, "is")) v = parse_test(p, v);
        else if (tcp_is_op(p, "(")) v = parse_call(p, v);
        else break;
    }
    return v;
}

static tc_node *make_unary(tc_parser *p, rt_tpl_op op, uint32_t line, tc_node *v) {
    tc_node *n = v ? TCP_NODE(p, TE_unary, line, v) : NULL;
    if (n) n->op = (uint8_t)op;
    return n;
}

static tc_node *parse_unary(tc_parser *p, bool with_filter) {
    const uint32_t line = tcp_now(p)->line;
    const bool minus = tcp_is_op(p, "-");
    tc_node *n;
    if (minus || tcp_is_op(p, "+")) {
        tcp_next(p);
        if (!tcp_enter(p)) return NULL;
        n = make_unary(p, minus ? RT_TOP_neg : RT_TOP_pos, line, parse_unary(p, false));
        tcp_leave(p);
    } else {
        n = parse_primary(p, false);
    }
    n = parse_postfix(p, n);
    return with_filter ? parse_filters_and_tests(p, n) : n;
}

typedef struct binary_op {
    const char *text;
    rt_tpl_op op;
} binary_op;

static const binary_op *find_op(const tc_parser *p, const binary_op *op, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (tcp_is_op(p, op[i].text)) return &op[i];
    return NULL;
}

static tc_node *make_binary(tc_parser *p, tc_kind kind, rt_tpl_op op, uint32_t line, tc_node *a,
                            tc_node *b) {
    tc_node *n = b ? TCP_NODE(p, kind, line, a, b) : NULL;
    if (n) n->op = (uint8_t)op;
    return n;
}

static tc_node *parse_pow(tc_parser *p) {
    tc_node *n = parse_unary(p, true);
    while (n && tcp_is_op(p, "**")) {
        const uint32_t line = tcp_next(p)->line;
        n = make_binary(p, TE_binary, RT_TOP_pow, line, n, parse_unary(p, true));
    }
    return n;
}

static tc_node *parse_product(tc_parser *p) {
    static const binary_op OPS[] = {
        {"*", RT_TOP_mul}, {"/", RT_TOP_div}, {"//", RT_TOP_floordiv}, {"%", RT_TOP_mod}};
    tc_node *n = parse_pow(p);
    for (const binary_op *o; n && (o = find_op(p, OPS, COUNT_OF(OPS))) != NULL;) {
        const uint32_t line = tcp_next(p)->line;
        n = make_binary(p, TE_binary, o->op, line, n, parse_pow(p));
    }
    return n;
}

static tc_node *parse_concat(tc_parser *p) {
    const uint32_t line = tcp_now(p)->line;
    tc_node *n = parse_product(p);
    if (!n || !tcp_is_op(p, "~")) return n;
    tc_node_list l = {0};
    vec_push(p->c->mem, &l, n);
    while (tcp_skip_op(p, "~")) {
        n = parse_product(p);
        if (!n) return NULL;
        vec_push(p->c->mem, &l, n);
    }
    return tcp_from_list(p, TE_concat, line, &l);
}

static tc_node *parse_sum(tc_parser *p) {
    static const binary_op OPS[] = {{"+", RT_TOP_add}, {"-", RT_TOP_sub}};
    tc_node *n = parse_concat(p);
    for (const binary_op *o; n && (o = find_op(p, OPS, COUNT_OF(OPS))) != NULL;) {
        const uint32_t line = tcp_next(p)->line;
        n = make_binary(p, TE_binary, o->op, line, n, parse_concat(p));
    }
    return n;
}

static bool parse_comparison(tc_parser *p, rt_tpl_op *op) {
    static const binary_op OPS[] = {{"==", RT_TOP_eq}, {"!=", RT_TOP_ne}, {"<", RT_TOP_lt},
                                    {"<=", RT_TOP_le}, {">", RT_TOP_gt},  {">=", RT_TOP_ge}};
    const binary_op *o = find_op(p, OPS, COUNT_OF(OPS));
    if (o) {
        tcp_next(p);
        *op = o->op;
        return true;
    }
    if (tcp_skip_name(p, "in")) {
        *op = RT_TOP_in;
        return true;
    }
    if (!tcp_is_name(p, "not") || !tcp_name_follows(p, "in")) return false;
    p->i += 2;
    *op = RT_TOP_not_in;
    return true;
}

static tc_node *parse_compare(tc_parser *p) {
    const uint32_t line = tcp_now(p)->line;
    tc_node *n = parse_sum(p);
    tc_node_list l = {0};
    vec(uint8_t) ops = {0};
    rt_tpl_op op;
    while (n && parse_comparison(p, &op)) {
        if (!l.n) vec_push(p->c->mem, &l, n);
        n = parse_sum(p);
        if (!n) return NULL;
        vec_push(p->c->mem, &l, n);
        vec_push(p->c->mem, &ops, (uint8_t)op);
    }
    if (!n || !l.n) return n;
    n = tcp_from_list(p, TE_compare, line, &l);
    if (n) n->ops = ops.at;
    return n;
}

static tc_node *parse_not(tc_parser *p) {
    if (!tcp_is_name(p, "not")) return parse_compare(p);
    if (!tcp_enter(p)) return NULL;
    const uint32_t line = tcp_next(p)->line;
    tc_node *n = make_unary(p, RT_TOP_not, line, parse_not(p));
    tcp_leave(p);
    return n;
}

static tc_node *parse_and(tc_parser *p) {
    tc_node *n = parse_not(p);
    while (n && tcp_is_name(p, "and")) {
        const uint32_t line = tcp_next(p)->line;
        n = make_binary(p, TE_and, RT_TOP_and, line, n, parse_not(p));
    }
    return n;
}

static tc_node *parse_or(tc_parser *p) {
    tc_node *n = parse_and(p);
    while (n && tcp_is_name(p, "or")) {
        const uint32_t line = tcp_next(p)->line;
        n = make_binary(p, TE_or, RT_TOP_or, line, n, parse_and(p));
    }
    return n;
}

tc_node *tcp_parse_expression(tc_parser *p) {
    if (!tcp_enter(p)) return NULL;
    uint32_t line = tcp_now(p)->line;
    tc_node *n = parse_or(p);
    while (n && tcp_skip_name(p, "if")) {
        tc_node *test = parse_or(p), *other = NULL;
        if (!test) {
            n = NULL;
            break;
        }
        if (tcp_skip_name(p, "else")) {
            other = tcp_parse_expression(p);
            if (!other) {
                n = NULL;
                break;
            }
        }
        n = TCP_NODE(p, TE_cond, line, test, n, other);
        line = tcp_now(p)->line;
    }
    tcp_leave(p);
    return n;
}
