/* template_compile_gen.c - expressions to instructions. */
#include "frontend/template_compile_gen.h"

#include <string.h>

void tcg_fail(tc_gen *g, uint32_t line, const char *fmt, ...) {
    if (g->failed) return;
    va_list ap;
    va_start(ap, fmt);
    const char *what = arena_vprintf(g->mem, fmt, ap);
    va_end(ap);
    g->failed = true;
    (void)tc_fail(g->table->c, DIAG_TEMPLATE_SYNTAX, line, "%s", what);
}

size_t tcg_emit(tc_gen *g, uint32_t line, rt_tpl_op op, uint32_t x, uint32_t a, uint32_t b) {
    tc_fn *f = g->body.fn;
    vec_push(
        g->mem, &f->code,
        (rt_tpl_ins){.op = (uint8_t)op, .x = (uint8_t)x, .line = (uint16_t)line, .a = a, .b = b});
    return f->code.n - 1;
}

void tcg_land(tc_gen *g, size_t at) {
    rt_tpl_ins *i = &g->body.fn->code.at[at];
    const uint32_t to = (uint32_t)g->body.fn->code.n;
    if (i->op == RT_TOP_next || i->op == RT_TOP_if_set) i->b = to;
    else i->a = to;
}

uint32_t tcg_depth(tc_gen *g, const tc_symbol *y) {
    uint32_t depth = 0;
    for (const tc_fn *f = g->body.fn; f != y->scope->fn; f = f->parent) depth++;
    return depth;
}

void tcg_load(tc_gen *g, const tc_scope *s, str name, uint32_t line) {
    const tc_symbol *y = tc_scope_find(s, name);
    tcg_emit(g, line, RT_TOP_load, tcg_depth(g, y), y->slot, tc_const_text(g->table, name));
}

static uint32_t fresh_text(tc_table *t, str s) {
    const rt_tpl_const c = {RT_TCONST_text, (uint32_t)t->texts.buf.n, (uint32_t)s.n};
    text_add(&t->texts, s);
    vec_push(t->c->mem, &t->consts, c);
    return (uint32_t)t->consts.n - 1;
}

uint32_t tcg_name_list(tc_gen *g, const tc_node *names) {
    const uint32_t first = (uint32_t)g->table->consts.n;
    for (uint32_t i = 0; i < names->n; i++) (void)fresh_text(g->table, names->kid[i]->name);
    return names->n ? first : 0;
}

/* ---- constants ---- */

/* Looks up kind and bytes; *fresh: the caller has to add it under the next index. */
static uint32_t intern(tc_table *t, rt_tpl_const_kind kind, str s, bool *fresh) {
    char *key = arena_get(t->c->mem, s.n + 1, 1);
    key[0] = (char)kind;
    if (s.n) memcpy(key + 1, s.at, s.n);
    const str k = {key, s.n + 1};
    const int64_t *found = map_find(&t->const_index, k);
    *fresh = !found;
    if (found) return (uint32_t)*found;
    (void)map_add(&t->const_index, k, (int64_t)t->consts.n);
    return (uint32_t)t->consts.n;
}

static uint32_t const_bytes(tc_table *t, rt_tpl_const_kind kind, str s) {
    bool fresh;
    const uint32_t i = intern(t, kind, s, &fresh);
    if (fresh) {
        (void)fresh_text(t, s);
        t->consts.at[i].kind = (uint32_t)kind;
    }
    return i;
}

static uint32_t const_bits(tc_table *t, rt_tpl_const_kind kind, uint64_t bits) {
    bool fresh;
    const uint32_t i = intern(t, kind, (str){(const char *)&bits, sizeof bits}, &fresh);
    if (fresh) {
        const rt_tpl_const c = {(uint32_t)kind, (uint32_t)bits, (uint32_t)(bits >> 32)};
        vec_push(t->c->mem, &t->consts, c);
    }
    return i;
}

uint32_t tc_const_text(tc_table *t, str s) { return const_bytes(t, RT_TCONST_text, s); }

uint32_t tc_const_node(tc_table *t, const tc_node *n) {
    int64_t v = 0;
    uint64_t bits = 0;
    switch (n->kind) {
    case TE_bool:
        return const_bits(t, RT_TCONST_bool, n->flag);
    case TE_text:
        return tc_const_text(t, n->text);
    case TE_integer:
        if (str_to_i64(n->text, &v)) return const_bits(t, RT_TCONST_int, (uint64_t)v);
        return const_bytes(t, RT_TCONST_big, n->text);
    case TE_float:
        memcpy(&bits, &n->real, sizeof bits);
        return const_bits(t, RT_TCONST_float, bits);
    default:
        return const_bits(t, RT_TCONST_none, 0);
    }
}

/* ---- calls, filters, tests ---- */

typedef struct row_name {
    const char *name;
} row_name;

static const row_name FILTERS[] = {
#define TFILTER(name, function) {#name},
#include "runtime/template_filters.def"
#undef TFILTER
};
static const row_name TESTS[] = {
#define TTEST(name, function) {name},
#include "runtime/template_tests.def"
#undef TTEST
};

static int64_t find_row(const row_name *row, size_t n, str name) {
    for (size_t i = 0; i < n; i++)
        if (str_is(name, row[i].name)) return (int64_t)i;
    return -1;
}

/* Arguments after what is called; returns positional | keyword << 16. */
static uint32_t emit_args(tc_gen *g, const tc_scope *s, const tc_node *args, const tc_fn *caller) {
    uint32_t i = 0, n_keys = args->n_keys;
    for (; i < args->n_pos; i++) tcg_expression(g, s, args->kid[i]);
    for (uint32_t k = 0; k < args->n_keys; k++, i++) {
        tcg_emit(g, args->line, RT_TOP_constant, 0, tc_const_text(g->table, args->keys[k]), 0);
        tcg_expression(g, s, args->kid[i]);
    }
    if (caller) {
        tcg_emit(g, args->line, RT_TOP_constant, 0, tc_const_text(g->table, STR("caller")), 0);
        tcg_emit(g, args->line, RT_TOP_macro, 0, caller->index, 0);
        n_keys++;
    }
    for (; i < args->n; i++) tcg_expression(g, s, args->kid[i]);
    return args->n_pos | n_keys << 16;
}

void tcg_call(tc_gen *g, const tc_scope *s, const tc_node *n, const tc_fn *caller) {
    tcg_expression(g, s, n->kid[0]);
    const uint32_t packed = emit_args(g, s, n->kid[1], caller);
    tcg_emit(g, n->line, RT_TOP_call, n->kid[1]->flag, packed, 0);
}

/* Filters of jinja2 that are left out (see runtime/template_filters.def). */
static bool is_left_out(str name) {
    static const char *const NAMES[] = {"pprint",  "random",         "urlize",   "wordwrap",
                                        "xmlattr", "filesizeformat", "striptags"};
    for (size_t i = 0; i < COUNT_OF(NAMES); i++)
        if (str_is(name, NAMES[i])) return true;
    return false;
}

static void emit_unknown(tc_gen *g, const tc_scope *s, const tc_node *n, const char *what) {
    const str name = {n->name.at, n->name.n < 100 ? n->name.n : 100};
    if (g->soft != s) {
        tcg_fail(g, n->line, "unknown %s '" STR_FMT "'", what, STR_ARG(name));
        return;
    }
    const char *message =
        arena_printf(g->mem, "No %s named '" STR_FMT "' found.", what, STR_ARG(name));
    tcg_emit(g, n->line, RT_TOP_raise, 0, tc_const_text(g->table, str_of(message)), 0);
}

static void emit_filter(tc_gen *g, const tc_scope *s, const tc_node *n) {
    const int64_t row = find_row(FILTERS, COUNT_OF(FILTERS), n->name);
    if (row < 0 && is_left_out(n->name) && !g->failed) {
        g->failed = true;
        (void)tc_fail(g->table->c, DIAG_TEMPLATE_UNSUPPORTED, n->line,
                      "the filter '" STR_FMT "' is not supported in chat templates",
                      STR_ARG(n->name));
    }
    if (n->kid[0]) tcg_expression(g, s, n->kid[0]);
    if (row < 0) {
        emit_unknown(g, s, n, "filter");
        return;
    }
    const uint32_t packed = emit_args(g, s, n->kid[1], NULL);
    tcg_emit(g, n->line, RT_TOP_filter, n->kid[1]->flag, (uint32_t)row, packed);
}

static void emit_test(tc_gen *g, const tc_scope *s, const tc_node *n) {
    const int64_t row = find_row(TESTS, COUNT_OF(TESTS), n->name);
    tcg_expression(g, s, n->kid[0]);
    if (row < 0) {
        emit_unknown(g, s, n, "test");
        return;
    }
    const uint32_t packed = emit_args(g, s, n->kid[1], NULL);
    tcg_emit(g, n->line, RT_TOP_test, n->kid[1]->flag, (uint32_t)row, packed);
}

/* ---- expressions ---- */

static void emit_none(tc_gen *g, uint32_t line) {
    const tc_node none = {.kind = TE_none};
    tcg_emit(g, line, RT_TOP_constant, 0, tc_const_node(g->table, &none), 0);
}

static void emit_kids(tc_gen *g, const tc_scope *s, const tc_node *n) {
    for (uint32_t i = 0; i < n->n; i++) tcg_expression(g, s, n->kid[i]);
}

static void emit_item(tc_gen *g, const tc_scope *s, const tc_node *n) {
    const tc_node *index = n->kid[1];
    tcg_expression(g, s, n->kid[0]);
    if (index->kind != TE_slice) {
        tcg_expression(g, s, index);
        tcg_emit(g, n->line, RT_TOP_item, 0, 0, 0);
        return;
    }
    for (uint32_t i = 0; i < 3; i++) {
        if (index->kid[i]) tcg_expression(g, s, index->kid[i]);
        else emit_none(g, index->line);
    }
    tcg_emit(g, n->line, RT_TOP_slice, 0, 0, 0);
}

/* a < b < c: every operand once, the first comparison that is false is the value. */
static void emit_compare(tc_gen *g, const tc_scope *s, const tc_node *n) {
    tc_jumps out = {0};
    tcg_expression(g, s, n->kid[0]);
    for (uint32_t i = 1; i < n->n; i++) {
        tcg_expression(g, s, n->kid[i]);
        if (i + 1 == n->n) tcg_emit(g, n->line, (rt_tpl_op)n->ops[i - 1], 0, 0, 0);
        else vec_push(g->mem, &out, tcg_emit(g, n->line, RT_TOP_chain, n->ops[i - 1], 0, 0));
    }
    for (size_t i = 0; i < out.n; i++) tcg_land(g, out.at[i]);
}

static void emit_cond(tc_gen *g, const tc_scope *s, const tc_node *n) {
    const tc_scope *was = g->soft;
    g->soft = s;
    tcg_expression(g, s, n->kid[0]);
    const size_t skip = tcg_emit(g, n->line, RT_TOP_if_false, 0, 0, 0);
    tcg_expression(g, s, n->kid[1]);
    const size_t end = tcg_emit(g, n->line, RT_TOP_jump, 0, 0, 0);
    tcg_land(g, skip);
    if (n->kid[2]) {
        tcg_expression(g, s, n->kid[2]);
    } else {
        const char *what = arena_printf(g->mem,
                                        "the inline if-expression on line %u evaluated to false "
                                        "and no else section was defined.",
                                        n->line);
        tcg_emit(g, n->line, RT_TOP_undefined, 0, tc_const_text(g->table, str_of(what)), 0);
    }
    tcg_land(g, end);
    g->soft = was;
}

/* Kids, then one instruction that counts them. */
static void emit_counted(tc_gen *g, const tc_scope *s, const tc_node *n, rt_tpl_op op,
                         uint32_t count) {
    emit_kids(g, s, n);
    tcg_emit(g, n->line, op, 0, count, 0);
}

void tcg_expression(tc_gen *g, const tc_scope *s, const tc_node *n) {
    size_t jump;
    switch (n->kind) {
    case TE_name:
        tcg_load(g, s, n->name, n->line);
        break;
    case TE_none:
    case TE_bool:
    case TE_text:
    case TE_integer:
    case TE_float:
        tcg_emit(g, n->line, RT_TOP_constant, 0, tc_const_node(g->table, n), 0);
        break;
    case TE_tuple:
        emit_counted(g, s, n, RT_TOP_tuple, n->n);
        break;
    case TE_list:
        emit_counted(g, s, n, RT_TOP_list, n->n);
        break;
    case TE_dict:
        emit_counted(g, s, n, RT_TOP_map, n->n / 2);
        break;
    case TE_concat:
        emit_counted(g, s, n, RT_TOP_concat, n->n);
        break;
    case TE_attr:
        emit_counted(g, s, n, RT_TOP_attr, tc_const_text(g->table, n->name));
        break;
    case TE_unary:
    case TE_binary:
        emit_counted(g, s, n, (rt_tpl_op)n->op, 0);
        break;
    case TE_and:
    case TE_or:
        tcg_expression(g, s, n->kid[0]);
        jump = tcg_emit(g, n->line, (rt_tpl_op)n->op, 0, 0, 0);
        tcg_expression(g, s, n->kid[1]);
        tcg_land(g, jump);
        break;
    case TE_item:
        emit_item(g, s, n);
        break;
    case TE_call:
        tcg_call(g, s, n, NULL);
        break;
    case TE_filter:
        emit_filter(g, s, n);
        break;
    case TE_test:
        emit_test(g, s, n);
        break;
    case TE_compare:
        emit_compare(g, s, n);
        break;
    case TE_cond:
        emit_cond(g, s, n);
        break;
    default:
        UNREACHABLE("a statement among a template's expressions");
    }
}
