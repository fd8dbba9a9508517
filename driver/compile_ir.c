/* compile_ir.c - the graph that goes into the artifact.
 *
 * It is the graph that the plan was made from, op by op and with the same %ids, but every constant
 * that a kernel reads is a weight in the form in which section "weights" holds it.  So what is in
 * the artifact is enough to run it in the interpreter (p4c verify --per-op), and no path of the
 * checkpoint gets into it. */
#include <assert.h>

#include "driver/compile.h"

typedef struct copier {
    compile *c;
    ir_graph *to;
} copier;

static const cg_weight *weight_of(const cg_program *p, const ir_op *op) {
    for (int i = 0; i < p->n_weights; i++)
        if (p->weight[i].op == op) return &p->weight[i];
    return NULL;
}

/* The name of the first weight that a constant is made of. */
static const char *name_of(const ir_op *op) {
    while (op->n_in && op->kind != OP_weight) op = op->in[0];
    return op->name ? op->name : ir_op_info[op->kind].name;
}

static ir_op *copy_weight(copier *k, const cg_weight *w) {
    const ir_op *op = w->op;
    ir_type type = op->type;
    if (type.layout == LAYOUT_plain) type.dtype = cg_stored_dtype(op);
    ir_source source = {
        .kind = SOURCE_file,
        .file = 0,
        .data = {.offset = w->offset, .bytes = w->bytes},
    };
    /* where the type says nothing of an order, what there is of one follows from the shape */
    if (type.perm) source.perm = (ir_range){.offset = w->perm_offset, .bytes = w->perm_bytes};
    /* how many bytes there must be depends on the row order: that first */
    ir_op *copy = ir_add_weight(k->to, name_of(op), type, (ir_source){0});
    static const attr_key ORDER[] = {ATTR_order, ATTR_heads, ATTR_kv_heads, ATTR_head_dim,
                                     ATTR_rot};
    for (size_t i = 0; copy && i < COUNT_OF(ORDER); i++) {
        const ir_attr *a = ir_find_attr(op, ORDER[i]);
        if (a && type.layout != LAYOUT_plain) ir_set_attr(k->to, copy, *a);
    }
    if (copy) copy->source = source;
    return copy;
}

static ir_op *copy_op(copier *k, const ir_op *op) {
    if (op->kind == OP_input) return ir_add_input(k->to, ir_str(op, ATTR_role), op->type);
    ir_op *in[IR_MAX_OPERANDS];
    for (int i = 0; i < op->n_in; i++) in[i] = op->in[i]->note;
    return ir_add(k->to, op->kind, op->n_in, in, op->n_attrs, op->attrs);
}

bool compile_make_ir(compile *c) {
    copier k = {.c = c, .to = ir_new(c->mem, c->d, "section ir")};
    ir_graph *g = c->model.graph;
    if (ir_add_file(k.to, "weights", NULL, c->program.weights_bytes) != 0) return false;
    for (ir_op *op = g->first; op; op = op->next) {
        op->note = NULL;
        ir_op *copy;
        if (ir_is_const(op)) {
            const cg_weight *w = weight_of(&c->program, op);
            if (!w) continue; /* part of another constant */
            copy = copy_weight(&k, w);
        } else {
            copy = copy_op(&k, op);
        }
        if (!copy) return false;
        copy->id = op->id;
        op->note = copy;
    }
    for (int i = 0; i < g->n_out; i++) ir_add_output(k.to, g->out[i]->note);
    k.to->next_id = g->next_id;
    c->ir = (text){.mem = c->mem};
    ir_print(k.to, &c->ir);
    for (ir_op *op = g->first; op; op = op->next) op->note = NULL;
    return ir_verify(k.to);
}
