/* graph.c - ops in their list: create, replace, erase, use counts. */
#include <assert.h>
#include <string.h>

#include "ir/attrs.h"
#include "ir/ir.h"
#include "ir/shape.h"

ir_graph *ir_new(arena *mem, diag *d, const char *path) {
    ir_graph *g = arena_new(mem, ir_graph);
    *g = (ir_graph){.mem = mem, .diag = d, .path = path ? arena_strdup(mem, path) : NULL};
    return g;
}

int ir_add_file(ir_graph *g, const char *path, const uint8_t *at, uint64_t n_bytes) {
    if (g->n_files >= IR_MAX_FILES) {
        diag_error(g->diag, DIAG_IR_LIMIT, (diag_loc){.file = g->path, .line = g->line},
                   "more than %d files", IR_MAX_FILES);
        return -1;
    }
    ir_file *more = arena_array(g->mem, ir_file, g->n_files + 1);
    if (g->n_files) memcpy(more, g->file, (size_t)g->n_files * sizeof *more);
    more[g->n_files] = (ir_file){arena_strdup(g->mem, path), at, n_bytes};
    g->file = more;
    return g->n_files++;
}

static void link_before(ir_graph *g, ir_op *op, ir_op *next) {
    op->next = next;
    op->prev = next ? next->prev : g->last;
    if (op->prev) op->prev->next = op;
    else g->first = op;
    if (next) next->prev = op;
    else g->last = op;
}

int ir_depth_of(const ir_op *op) {
    if (!ir_is_const(op)) return 0;
    int depth = 0;
    for (int i = 0; i < op->n_in; i++)
        if (op->in[i]->const_depth > depth) depth = op->in[i]->const_depth;
    return depth + 1;
}

/* Constants read only constants before them, so one sweep forward is enough. */
static void update_depths(ir_op *from) {
    for (ir_op *op = from; op; op = op->next) op->const_depth = ir_depth_of(op);
}

ir_op *ir_make(ir_graph *g, op_kind kind, int n_in, ir_op *const *in, int n_attrs,
               const ir_attr *attrs, const ir_leaf *leaf) {
    for (int i = 0; i < n_in; i++) {
        if (!in[i]) return NULL;
        assert(in[i]->graph == g);
    }
    ir_op *op = arena_new(g->mem, ir_op);
    *op = (ir_op){.graph = g, .kind = kind, .id = g->next_id, .line = g->line};
    if (g->next_id >= IR_MAX_OPS) {
        OP_ERROR(op, IR_LIMIT, "more than %d ops", IR_MAX_OPS);
        return NULL;
    }
    op->n_in = n_in;
    op->in = arena_array(g->mem, ir_op *, n_in);
    for (int i = 0; i < n_in; i++) op->in[i] = in[i];
    op->n_attrs = n_attrs;
    op->attrs = arena_array(g->mem, ir_attr, n_attrs);
    for (int i = 0; i < n_attrs; i++) op->attrs[i] = ir_attr_copy(g->mem, &attrs[i]);
    if (leaf) {
        op->type = leaf->type;
        op->source = leaf->source;
        op->name = leaf->name ? arena_strdup(g->mem, leaf->name) : NULL;
    }
    op->const_depth = ir_depth_of(op);
    ir_type type = op->type;
    if (!ir_infer(op, &type)) return NULL;
    op->type = type;
    for (int i = 0; i < n_in; i++) in[i]->n_use++;
    g->next_id++;
    link_before(g, op, g->at);
    return op;
}

ir_op *ir_add(ir_graph *g, op_kind kind, int n_in, ir_op *const *in, int n_attrs,
              const ir_attr *attrs) {
    return ir_make(g, kind, n_in, in, n_attrs, attrs, NULL);
}

ir_op *ir_add_input(ir_graph *g, const char *role, ir_type type) {
    return ir_make(g, OP_input, 0, NULL, 1, &IR_STR(role, role), &(ir_leaf){.type = type});
}

ir_op *ir_add_weight(ir_graph *g, const char *name, ir_type type, ir_source source) {
    return ir_make(g, OP_weight, 0, NULL, 0, NULL,
                   &(ir_leaf){.type = type, .source = source, .name = name});
}

ir_op *ir_add_rope_table(ir_graph *g, int64_t capacity, int n_attrs, const ir_attr *attrs) {
    int64_t rot = 0;
    for (int i = 0; i < n_attrs; i++)
        if (attrs[i].key == ATTR_rot) rot = attrs[i].i64;
    return ir_make(g, OP_rope_table, 0, NULL, n_attrs, attrs,
                   &(ir_leaf){.type = IR_TYPE(DT_f32, capacity, rot)});
}

void ir_set_in(ir_op *op, int i, ir_op *value) {
    assert(i >= 0 && i < op->n_in && value && value->graph == op->graph);
    op->in[i]->n_use--;
    value->n_use++;
    op->in[i] = value;
    if (ir_depth_of(op) != op->const_depth) update_depths(op);
}

void ir_replace(ir_graph *g, ir_op *old, ir_op *with) {
    assert(old->graph == g && with->graph == g);
    if (old == with) return;
    for (ir_op *op = g->first; op; op = op->next) {
        if (op == with) continue;
        for (int i = 0; i < op->n_in; i++)
            if (op->in[i] == old) ir_set_in(op, i, with);
    }
    for (int i = 0; i < g->n_out; i++) {
        if (g->out[i] != old) continue;
        g->out[i] = with;
        old->n_use--;
        with->n_use++;
    }
}

void ir_erase(ir_graph *g, ir_op *op) {
    assert(op->graph == g);
    if (op->n_use) UNREACHABLE("erasing an op that is still used");
    for (int i = 0; i < op->n_in; i++) op->in[i]->n_use--;
    if (g->at == op) g->at = op->next;
    if (op->prev) op->prev->next = op->next;
    else g->first = op->next;
    if (op->next) op->next->prev = op->prev;
    else g->last = op->prev;
    op->prev = op->next = NULL;
}

int ir_erase_dead(ir_graph *g) {
    int n = 0;
    /* backwards: an op's operands come before it, so one sweep finds whole dead trees */
    for (ir_op *op = g->last, *before; op; op = before) {
        before = op->prev;
        if (op->n_use || op->kind == OP_input) continue;
        ir_erase(g, op);
        n++;
    }
    return n;
}

void ir_add_output(ir_graph *g, ir_op *value) {
    if (!value) return; /* failed before, reported */
    if (g->n_out == IR_MAX_OUTPUTS) UNREACHABLE("too many outputs");
    g->out[g->n_out++] = value;
    value->n_use++;
}

int ir_count(const ir_graph *g) {
    int n = 0;
    for (const ir_op *op = g->first; op; op = op->next) n++;
    return n;
}

diag_loc ir_loc(const ir_op *op) {
    const ir_graph *g = op->graph;
    return (diag_loc){
        .file = g->path,
        .line = op->line,
        .op = arena_printf(g->mem, "%%%u = %s", op->id, ir_op_info[op->kind].name),
    };
}

bool ir_is_const(const ir_op *op) { return ir_op_info[op->kind].traits & CONST; }
