/* attrs.c - typed attributes of ops. */
#include "ir/attrs.h"

#include <assert.h>
#include <string.h>

const ir_attr *ir_find_attr(const ir_op *op, attr_key key) {
    for (int i = 0; i < op->n_attrs; i++)
        if (op->attrs[i].key == key) return &op->attrs[i];
    return NULL;
}

static const ir_attr *must_find(const ir_op *op, attr_key key) {
    const ir_attr *a = ir_find_attr(op, key);
    if (!a) UNREACHABLE("an op without an attribute that its shape rule asks for");
    return a;
}

int64_t ir_i64(const ir_op *op, attr_key key) {
    assert(ir_attr_info[key].kind == ATTR_KIND_i64 || ir_attr_info[key].kind == ATTR_KIND_dtype ||
           ir_attr_info[key].kind == ATTR_KIND_layout);
    return must_find(op, key)->i64;
}

double ir_f64(const ir_op *op, attr_key key) {
    assert(ir_attr_info[key].kind == ATTR_KIND_f64);
    return must_find(op, key)->f64;
}

const char *ir_str(const ir_op *op, attr_key key) {
    assert(ir_attr_info[key].kind == ATTR_KIND_str);
    return must_find(op, key)->str;
}

int64_t ir_i64_or(const ir_op *op, attr_key key, int64_t otherwise) {
    return ir_find_attr(op, key) ? ir_i64(op, key) : otherwise;
}

const char *ir_str_or(const ir_op *op, attr_key key, const char *otherwise) {
    return ir_find_attr(op, key) ? ir_str(op, key) : otherwise;
}

bool ir_attr_eq(const ir_attr *a, const ir_attr *b) {
    if (a->key != b->key) return false;
    switch (ir_attr_info[a->key].kind) {
    case ATTR_KIND_i64:
    case ATTR_KIND_dtype:
    case ATTR_KIND_layout:
        return a->i64 == b->i64;
    case ATTR_KIND_f64:
        return a->f64 == b->f64;
    case ATTR_KIND_str:
        return strcmp(a->str, b->str) == 0;
    case ATTR_KIND_f64s:
        break;
    }
    if (a->f64s.n != b->f64s.n) return false;
    for (int64_t i = 0; i < a->f64s.n; i++)
        if (a->f64s.at[i] != b->f64s.at[i]) return false;
    return true;
}

ir_attr ir_attr_copy(arena *mem, const ir_attr *a) {
    ir_attr copy = *a;
    const attr_kind kind = ir_attr_info[a->key].kind;
    if (kind == ATTR_KIND_str && a->str) copy.str = arena_strdup(mem, a->str);
    if (kind == ATTR_KIND_f64s && a->f64s.n > 0) {
        double *at = arena_array(mem, double, a->f64s.n);
        memcpy(at, a->f64s.at, (size_t)a->f64s.n * sizeof *at);
        copy.f64s.at = at;
    }
    return copy;
}

void ir_set_attr(ir_graph *g, ir_op *op, ir_attr attr) {
    attr = ir_attr_copy(g->mem, &attr);
    for (int i = 0; i < op->n_attrs; i++)
        if (op->attrs[i].key == attr.key) {
            op->attrs[i] = attr;
            return;
        }
    ir_attr *more = arena_array(g->mem, ir_attr, op->n_attrs + 1);
    if (op->n_attrs) memcpy(more, op->attrs, (size_t)op->n_attrs * sizeof *more);
    more[op->n_attrs++] = attr;
    op->attrs = more;
}
