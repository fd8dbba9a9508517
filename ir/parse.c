/* parse.c - the text form of docs/IR.md to a graph.  Text comes from strangers: every number is
 * checked, nothing recurses, and the first mistake ends the parse with file and line.
 *
 *   text    = { file } { op } [ return ]
 *   file    = "file" number string [ "{" "bytes" "=" number "}" ]
 *   op      = value "=" name [ string ] [ value { "," value } ] [ "{" entry { "," entry } "}" ] [
 * ":" type ] return  = "return" value { "," value }
 */
#include <string.h>

#include "ir/attrs.h"
#include "ir/ir.h"
#include "ir/shape.h"

/* ---- tokens ---- */

typedef enum token_kind {
    TOKEN_end,
    TOKEN_name,   /* [A-Za-z_][A-Za-z0-9_]* */
    TOKEN_number, /* -?digits[.digits][e[+-]digits] */
    TOKEN_string,
    TOKEN_mark, /* one of %=,{}[]<>:@+ */
    TOKEN_bad,
} token_kind;

typedef struct token {
    token_kind kind;
    str text; /* of a string: what is between the quotes, escapes as written */
    uint32_t line;
} token;

typedef vec(ir_attr) attr_vec;

typedef struct parser {
    str rest;
    uint32_t line;
    token next;
    ir_graph *g;
    vec(ir_op *) by_id; /* NULL: not defined */
    uint32_t n_ids;     /* one above the largest id so far */
} parser;

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* Bytes of the number at the start of s. */
static size_t number_length(str s) {
    size_t i = s.at[0] == '-';
    while (i < s.n && (is_digit(s.at[i]) || s.at[i] == '.')) i++;
    if (i < s.n && (s.at[i] == 'e' || s.at[i] == 'E')) {
        i++;
        if (i < s.n && (s.at[i] == '+' || s.at[i] == '-')) i++;
        while (i < s.n && is_digit(s.at[i])) i++;
    }
    return i;
}

static void skip_blanks(parser *p) {
    while (p->rest.n) {
        const char c = p->rest.at[0];
        size_t n = 1;
        if (c == ';')
            while (n < p->rest.n && p->rest.at[n] != '\n') n++;
        else if (c == '\n') p->line++;
        else if (c != ' ' && c != '\t' && c != '\r') return;
        p->rest = (str){p->rest.at + n, p->rest.n - n};
    }
}

static void take_text(parser *p, token_kind kind, size_t n) {
    p->next = (token){kind, {p->rest.at, n}, p->line};
    p->rest = (str){p->rest.at + n, p->rest.n - n};
}

static void read_token(parser *p) {
    skip_blanks(p);
    const str s = p->rest;
    if (!s.n) { /* where the last token was: the line that lacks something */
        p->next = (token){TOKEN_end, STR("the end"), p->next.line};
        return;
    }
    const char c = s.at[0];
    size_t n = 1;
    if (is_letter(c)) {
        while (n < s.n && (is_letter(s.at[n]) || is_digit(s.at[n]))) n++;
        take_text(p, TOKEN_name, n);
    } else if (is_digit(c) || c == '-') {
        take_text(p, TOKEN_number, number_length(s));
    } else if (c == '"') {
        while (n < s.n && s.at[n] != '"' && s.at[n] != '\n')
            n += s.at[n] == '\\' && n + 1 < s.n ? 2 : 1;
        if (n >= s.n || s.at[n] != '"') {
            take_text(p, TOKEN_bad, 1);
            return;
        }
        take_text(p, TOKEN_string, n + 1);
        p->next.text = (str){p->next.text.at + 1, n - 1};
    } else {
        take_text(p, memchr("%=,{}[]<>:@+", c, 12) ? TOKEN_mark : TOKEN_bad, 1);
    }
}

static bool fail(const parser *p, diag_code code, const char *what) {
    enum { SHOWN = 40 };
    const token *t = &p->next;
    const str shown = {t->text.at, t->text.n < SHOWN ? t->text.n : SHOWN};
    return diag_error(p->g->diag, code, (diag_loc){.file = p->g->path, .line = t->line},
                      "%s (found '" STR_FMT "')", what, STR_ARG(shown));
}

static bool at_mark(const parser *p, char c) {
    return p->next.kind == TOKEN_mark && p->next.text.at[0] == c;
}

static bool take_mark(parser *p, char c) {
    if (!at_mark(p, c)) return false;
    read_token(p);
    return true;
}

static bool want_mark(parser *p, char c) {
    char what[] = "want ' '";
    what[6] = c;
    return take_mark(p, c) || fail(p, DIAG_IR_SYNTAX, what);
}

static bool at_name(const parser *p, const char *name) {
    return p->next.kind == TOKEN_name && str_is(p->next.text, name);
}

/* ---- numbers, strings, names ---- */

static bool to_u64(str s, uint64_t *out) {
    *out = 0;
    for (size_t i = 0; i < s.n; i++)
        if (!is_digit(s.at[i]) || !checked_mul(*out, 10, out) ||
            !checked_add(*out, (uint64_t)(s.at[i] - '0'), out))
            return false;
    return s.n > 0;
}

static bool want_u64(parser *p, uint64_t most, uint64_t *out) {
    if (p->next.kind != TOKEN_number) return fail(p, DIAG_IR_SYNTAX, "want a number");
    if (!to_u64(p->next.text, out) || *out > most)
        return fail(p, DIAG_IR_NUMBER, "not a whole number in range");
    read_token(p);
    return true;
}

static bool want_i64(parser *p, int64_t *out) {
    if (p->next.kind != TOKEN_number) return fail(p, DIAG_IR_SYNTAX, "want a number");
    if (!str_to_i64(p->next.text, out))
        return fail(p, DIAG_IR_NUMBER, "not a whole number in range");
    read_token(p);
    return true;
}

static bool want_f64(parser *p, double *out) {
    if (p->next.kind != TOKEN_number) return fail(p, DIAG_IR_SYNTAX, "want a number");
    if (!str_to_f64(p->next.text, out)) return fail(p, DIAG_IR_NUMBER, "not a finite number");
    read_token(p);
    return true;
}

static int hex_value(char c) {
    if (is_digit(c)) return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* \" \\ and \xHH; the result holds no NUL. */
static bool want_string(parser *p, const char **out) {
    if (p->next.kind != TOKEN_string) return fail(p, DIAG_IR_SYNTAX, "want a string");
    const str s = p->next.text;
    char *to = arena_get(p->g->mem, s.n + 1, 1);
    *out = to;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.at[i];
        if (c == '\\') {
            c = ++i < s.n ? s.at[i] : 0;
            if (c == 'x' && i + 2 < s.n && hex_value(s.at[i + 1]) >= 0 &&
                hex_value(s.at[i + 2]) >= 0) {
                c = (char)(hex_value(s.at[i + 1]) * 16 + hex_value(s.at[i + 2]));
                i += 2;
            } else if (c != '"' && c != '\\') {
                return fail(p, DIAG_IR_SYNTAX, "unknown escape in a string");
            }
        }
        if (!c) return fail(p, DIAG_IR_SYNTAX, "a zero byte in a string");
        *to++ = c;
    }
    read_token(p);
    return true;
}

static bool want_dtype(parser *p, ir_dtype *out) {
    if (p->next.kind != TOKEN_name || !ir_find_dtype(p->next.text, out))
        return fail(p, DIAG_IR_UNKNOWN_NAME, "no such element type");
    read_token(p);
    return true;
}

static bool want_layout(parser *p, ir_layout *out) {
    if (p->next.kind != TOKEN_name || !ir_find_layout(p->next.text, out))
        return fail(p, DIAG_IR_UNKNOWN_NAME, "no such layout");
    read_token(p);
    return true;
}

/* ---- types: dtype [ "<" "g" number [ ",zp" ] [ ",perm" ] ">" ] [ "[" dim { "," dim } "]" ] [ "@"
 * layout ] ---- */

static bool parse_group(parser *p, ir_type *t) {
    const str s = p->next.text;
    if (p->next.kind != TOKEN_name || s.at[0] != 'g')
        return fail(p, DIAG_IR_SYNTAX, "want g and the group size");
    if (s.n == 1) { /* g-1 */
        read_token(p);
        if (!want_i64(p, &t->group)) return false;
    } else {
        if (!str_to_i64((str){s.at + 1, s.n - 1}, &t->group))
            return fail(p, DIAG_IR_NUMBER, "not a group size");
        read_token(p);
    }
    while (take_mark(p, ',')) {
        if (at_name(p, "zp")) t->zeros = true;
        else if (at_name(p, "perm")) t->perm = true;
        else return fail(p, DIAG_IR_SYNTAX, "want zp or perm");
        read_token(p);
    }
    return want_mark(p, '>');
}

static bool parse_dims(parser *p, ir_type *t) {
    static const struct {
        const char *name;
        int64_t dim;
    } NAMES[] = {{"T", DIM_T}, {"R", DIM_R}, {"S", DIM_S}};
    do {
        if (t->rank == IR_MAX_RANK) return fail(p, DIAG_IR_LIMIT, "too many dimensions");
        int64_t *d = &t->dim[t->rank++];
        *d = 0;
        for (size_t i = 0; i < COUNT_OF(NAMES); i++)
            if (at_name(p, NAMES[i].name)) *d = NAMES[i].dim;
        uint64_t n = 0;
        if (*d) read_token(p);
        else if (!want_u64(p, IR_MAX_DIM, &n)) return false;
        else *d = (int64_t)n;
    } while (take_mark(p, ','));
    return want_mark(p, ']');
}

static bool parse_type(parser *p, ir_type *t) {
    *t = (ir_type){0};
    return want_dtype(p, &t->dtype) && (!take_mark(p, '<') || parse_group(p, t)) &&
           (!take_mark(p, '[') || parse_dims(p, t)) &&
           (!take_mark(p, '@') || want_layout(p, &t->layout));
}

/* ---- entries in braces ---- */

static bool parse_list(parser *p, ir_attr *a) {
    enum { MOST = 1 << 16 };
    vec(double) list = {0};
    if (!want_mark(p, '[')) return false;
    while (!at_mark(p, ']')) {
        double v;
        if (list.n == MOST) return fail(p, DIAG_IR_LIMIT, "too many numbers in a list");
        if (!want_f64(p, &v)) return false;
        vec_push(p->g->mem, &list, v);
        if (!take_mark(p, ',')) break;
    }
    a->f64s.at = list.at;
    a->f64s.n = (int64_t)list.n;
    return want_mark(p, ']');
}

static bool parse_value(parser *p, ir_attr *a) {
    ir_dtype dtype;
    ir_layout layout;
    switch (ir_attr_info[a->key].kind) {
    case ATTR_KIND_i64:
        return want_i64(p, &a->i64);
    case ATTR_KIND_f64:
        return want_f64(p, &a->f64);
    case ATTR_KIND_str:
        return want_string(p, &a->str);
    case ATTR_KIND_f64s:
        return parse_list(p, a);
    case ATTR_KIND_dtype:
        if (!want_dtype(p, &dtype)) return false;
        a->i64 = dtype;
        return true;
    case ATTR_KIND_layout:
        break;
    }
    if (!want_layout(p, &layout)) return false;
    a->i64 = layout;
    return true;
}

static bool parse_range(parser *p, ir_range *out) {
    return want_u64(p, UINT64_MAX, &out->offset) && want_mark(p, '+') &&
           want_u64(p, UINT64_MAX, &out->bytes);
}

static bool set_kind(parser *p, ir_source *s, ir_source_kind kind) {
    if (s->kind != SOURCE_none) return fail(p, DIAG_IR_SOURCE, "a second source of a weight");
    s->kind = kind;
    return true;
}

/* An entry of a weight's source; *known: it is one. */
static bool parse_source(parser *p, str key, ir_source *s, bool *known) {
    const struct {
        const char *name;
        ir_range *range;
    } RANGES[] = {
        {"data", &s->data}, {"scales", &s->scales}, {"zeros", &s->zeros}, {"perm", &s->perm}};
    *known = true;
    for (size_t i = 0; i < COUNT_OF(RANGES); i++) {
        if (!str_is(key, RANGES[i].name)) continue;
        if (s->kind != SOURCE_file || RANGES[i].range->bytes)
            return fail(p, DIAG_IR_SOURCE, "ranges come once, behind file");
        return parse_range(p, RANGES[i].range);
    }
    uint64_t n = 0;
    if (str_is(key, "file")) {
        if (!set_kind(p, s, SOURCE_file) || !want_u64(p, IR_MAX_FILES, &n)) return false;
        s->file = (int)n;
        return true;
    }
    if (str_is(key, "seed"))
        return set_kind(p, s, SOURCE_seed) && want_u64(p, UINT64_MAX, &s->seed);
    if (str_is(key, "scales_dtype")) return want_dtype(p, &s->scales_dtype);
    *known = false;
    return true;
}

static bool parse_braces(parser *p, bool has_source, attr_vec *attrs, ir_source *source) {
    do {
        ir_attr a = {.key = ATTR_COUNT};
        bool known = false;
        const token key = p->next;
        if (key.kind != TOKEN_name) return fail(p, DIAG_IR_SYNTAX, "want the name of an attribute");
        if (attrs->n > ATTR_COUNT) return fail(p, DIAG_IR_LIMIT, "too many attributes");
        if (!ir_find_attr_key(key.text, &a.key) && !has_source)
            return fail(p, DIAG_IR_UNKNOWN_NAME, "no such attribute");
        read_token(p);
        if (!want_mark(p, '=')) return false;
        if (has_source && !parse_source(p, key.text, source, &known)) return false;
        if (known) continue;
        if (a.key == ATTR_COUNT) {
            p->next = key;
            return fail(p, DIAG_IR_UNKNOWN_NAME, "no such attribute");
        }
        if (!parse_value(p, &a)) return false;
        vec_push(p->g->mem, attrs, a);
    } while (take_mark(p, ','));
    return want_mark(p, '}');
}

/* ---- ops ---- */

static bool want_id(parser *p, uint64_t *out) {
    return want_mark(p, '%') && want_u64(p, IR_MAX_OPS - 1, out);
}

static bool want_value(parser *p, ir_op **out) {
    uint64_t id = 0;
    const token at = p->next;
    if (!want_id(p, &id)) return false;
    *out = id < p->by_id.n ? p->by_id.at[id] : NULL;
    if (*out) return true;
    return diag_error(p->g->diag, DIAG_IR_UNDEFINED,
                      (diag_loc){.file = p->g->path, .line = at.line},
                      "%%%llu is not defined before", (unsigned long long)id);
}

static void define(parser *p, uint64_t id, ir_op *op) {
    while (p->by_id.n <= id) vec_push(p->g->mem, &p->by_id, NULL);
    p->by_id.at[id] = op;
    if (id >= p->n_ids) p->n_ids = (uint32_t)id + 1;
    p->g->next_id = p->n_ids;
}

typedef struct op_text {
    uint64_t id;
    uint32_t line;
    op_kind kind;
    const char *name;
    ir_op *in[IR_MAX_OPERANDS];
    int n_in;
    attr_vec attrs;
    ir_source source;
    bool has_type;
    ir_type type;
} op_text;

static bool parse_operands(parser *p, op_text *t) {
    do {
        if (t->n_in == IR_MAX_OPERANDS) return fail(p, DIAG_IR_LIMIT, "too many operands");
        if (!want_value(p, &t->in[t->n_in++])) return false;
    } while (take_mark(p, ','));
    return true;
}

static bool parse_op_text(parser *p, op_text *t) {
    *t = (op_text){.line = p->next.line, .source.scales_dtype = DT_f16};
    const token at = p->next;
    if (!want_id(p, &t->id)) return false;
    if (t->id < p->by_id.n && p->by_id.at[t->id])
        return diag_error(p->g->diag, DIAG_IR_REDEFINED,
                          (diag_loc){.file = p->g->path, .line = at.line},
                          "%%%llu is defined twice", (unsigned long long)t->id);
    if (!want_mark(p, '=')) return false;
    if (p->next.kind != TOKEN_name || !ir_find_op_kind(p->next.text, &t->kind))
        return fail(p, DIAG_IR_UNKNOWN_NAME, "no such op");
    read_token(p);
    if (t->kind == OP_weight && p->next.kind == TOKEN_string && !want_string(p, &t->name))
        return false;
    /* an op that ends here may be followed by the next one's %id: operands stand on the op's line
     */
    if (at_mark(p, '%') && p->next.line == t->line && !parse_operands(p, t)) return false;
    if (take_mark(p, '{') && !parse_braces(p, t->kind == OP_weight, &t->attrs, &t->source))
        return false;
    t->has_type = take_mark(p, ':');
    return !t->has_type || parse_type(p, &t->type);
}

static bool parse_op(parser *p) {
    op_text t;
    ir_graph *g = p->g;
    if (!parse_op_text(p, &t)) return false;
    const bool is_leaf = t.kind == OP_input || t.kind == OP_weight || t.kind == OP_rope_table;
    g->line = t.line;
    g->next_id = (uint32_t)t.id;
    const ir_leaf leaf = {t.type, t.source, t.name};
    if (is_leaf && !t.has_type)
        return diag_error(g->diag, DIAG_IR_SYNTAX, (diag_loc){.file = g->path, .line = t.line},
                          "%s needs a type", ir_op_info[t.kind].name);
    ir_op *op =
        ir_make(g, t.kind, t.n_in, t.in, (int)t.attrs.n, t.attrs.at, is_leaf ? &leaf : NULL);
    if (!op) return false;
    if (t.has_type && !ir_type_eq(&t.type, &op->type))
        return OP_ERROR(op, IR_TYPE_TEXT, "type %s, the op gives %s", ir_type_text(op, &t.type),
                        ir_type_text(op, &op->type));
    define(p, t.id, op);
    return true;
}

static bool parse_file(parser *p) {
    uint64_t index = 0, bytes = 0;
    const char *path = NULL;
    read_token(p);
    const token at = p->next;
    if (!want_u64(p, IR_MAX_FILES, &index)) return false;
    if (index != (uint64_t)p->g->n_files) {
        p->next = at;
        return fail(p, DIAG_IR_SYNTAX, "files are numbered in order from 0");
    }
    if (!want_string(p, &path)) return false;
    if (take_mark(p, '{')) {
        if (!at_name(p, "bytes")) return fail(p, DIAG_IR_SYNTAX, "want bytes");
        read_token(p);
        if (!want_mark(p, '=') || !want_u64(p, INT64_MAX, &bytes) || !want_mark(p, '}'))
            return false;
    }
    p->g->line = at.line;
    return ir_add_file(p->g, path, NULL, bytes) >= 0;
}

static bool parse_return(parser *p) {
    read_token(p);
    do {
        ir_op *value = NULL;
        if (p->g->n_out == IR_MAX_OUTPUTS) return fail(p, DIAG_IR_LIMIT, "too many outputs");
        if (!want_value(p, &value)) return false;
        ir_add_output(p->g, value);
    } while (take_mark(p, ','));
    return p->next.kind == TOKEN_end || fail(p, DIAG_IR_SYNTAX, "nothing may follow return");
}

static bool parse_graph(parser *p) {
    read_token(p);
    while (at_name(p, "file"))
        if (!parse_file(p)) return false;
    while (at_mark(p, '%'))
        if (!parse_op(p)) return false;
    if (at_name(p, "return")) return parse_return(p);
    return p->next.kind == TOKEN_end || fail(p, DIAG_IR_SYNTAX, "want an op or return");
}

ir_graph *ir_parse(str source, const char *path, arena *mem, diag *d) {
    parser p = {.rest = source, .line = 1, .g = ir_new(mem, d, path)};
    const bool ok = parse_graph(&p);
    p.g->line = 0;
    return ok ? p.g : NULL;
}
