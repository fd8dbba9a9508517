/* print.c - the text form of docs/IR.md; ir_parse reads it back to an equal graph. */
#include "ir/attrs.h"
#include "ir/ir.h"

static void print_dim(int64_t d, text *out) {
    if (d == DIM_T) text_putc(out, 'T');
    else if (d == DIM_R) text_putc(out, 'R');
    else if (d == DIM_S) text_putc(out, 'S');
    else text_printf(out, "%lld", (long long)d);
}

void ir_print_type(const ir_type *type, text *out) {
    text_cat(out, ir_dtype_info[type->dtype].name);
    if (type->group) {
        text_printf(out, "<g%lld", (long long)type->group);
        if (type->zeros) text_cat(out, ",zp");
        if (type->perm) text_cat(out, ",perm");
        text_putc(out, '>');
    }
    if (type->rank) {
        text_putc(out, '[');
        for (int i = 0; i < type->rank; i++) {
            if (i) text_putc(out, ',');
            print_dim(type->dim[i], out);
        }
        text_putc(out, ']');
    }
    if (type->layout != LAYOUT_plain) text_printf(out, "@%s", ir_layout_name[type->layout]);
}

/* Bytes outside printable ASCII, quotes and backslashes as \xHH, so that a name cannot break the
 * line. */
static void print_string(const char *s, text *out) {
    text_putc(out, '"');
    for (; *s; s++) {
        const unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\') text_printf(out, "\\%c", c);
        else if (c < 0x20 || c > 0x7e) text_printf(out, "\\x%02x", c);
        else text_putc(out, *s);
    }
    text_putc(out, '"');
}

static void print_value(const ir_attr *a, text *out) {
    switch (ir_attr_info[a->key].kind) {
    case ATTR_KIND_i64:
        text_printf(out, "%lld", (long long)a->i64);
        return;
    case ATTR_KIND_f64:
        text_f64(out, a->f64);
        return;
    case ATTR_KIND_str:
        print_string(a->str, out);
        return;
    case ATTR_KIND_dtype:
        text_cat(out, ir_dtype_info[a->i64].name);
        return;
    case ATTR_KIND_layout:
        text_cat(out, ir_layout_name[a->i64]);
        return;
    case ATTR_KIND_f64s:
        break;
    }
    text_putc(out, '[');
    for (int64_t i = 0; i < a->f64s.n; i++) {
        if (i) text_cat(out, ", ");
        text_f64(out, a->f64s.at[i]);
    }
    text_putc(out, ']');
}

/* The braces of an op: opened by the first entry. */
typedef struct braces {
    text *out;
    int n;
} braces;

static text *next_entry(braces *b, const char *key) {
    text_cat(b->out, b->n++ ? ", " : " {");
    text_printf(b->out, "%s=", key);
    return b->out;
}

static void print_range(braces *b, const char *key, const ir_range *r) {
    if (!r->bytes) return;
    text_printf(next_entry(b, key), "%llu+%llu", (unsigned long long)r->offset,
                (unsigned long long)r->bytes);
}

static void print_source(const ir_source *s, braces *b) {
    if (s->kind == SOURCE_seed)
        text_printf(next_entry(b, "seed"), "%llu", (unsigned long long)s->seed);
    if (s->kind != SOURCE_file) return;
    text_printf(next_entry(b, "file"), "%d", s->file);
    print_range(b, "data", &s->data);
    print_range(b, "scales", &s->scales);
    if (s->scales.bytes)
        text_cat(next_entry(b, "scales_dtype"), ir_dtype_info[s->scales_dtype].name);
    print_range(b, "zeros", &s->zeros);
    print_range(b, "perm", &s->perm);
}

void ir_print_op(const ir_op *op, text *out) {
    text_printf(out, "%%%u = %s", op->id, ir_op_info[op->kind].name);
    if (op->name) {
        text_putc(out, ' ');
        print_string(op->name, out);
    }
    for (int i = 0; i < op->n_in; i++) text_printf(out, "%s%%%u", i ? ", " : " ", op->in[i]->id);
    braces b = {.out = out};
    print_source(&op->source, &b);
    for (int i = 0; i < op->n_attrs; i++) {
        next_entry(&b, ir_attr_name[op->attrs[i].key]);
        print_value(&op->attrs[i], out);
    }
    text_cat(out, b.n ? "} : " : " : ");
    ir_print_type(&op->type, out);
}

void ir_print(const ir_graph *g, text *out) {
    for (int i = 0; i < g->n_files; i++) {
        text_printf(out, "file %d ", i);
        print_string(g->file[i].path, out);
        if (g->file[i].n_bytes)
            text_printf(out, " {bytes=%llu}", (unsigned long long)g->file[i].n_bytes);
        text_putc(out, '\n');
    }
    for (const ir_op *op = g->first; op; op = op->next) {
        ir_print_op(op, out);
        text_putc(out, '\n');
    }
    for (int i = 0; i < g->n_out; i++)
        text_printf(out, "%s%%%u", i ? ", " : "return ", g->out[i]->id);
    if (g->n_out) text_putc(out, '\n');
}
