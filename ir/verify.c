/* verify.c - the invariants of docs/IR.md, one function a rule.  The first broken one is reported.
 */
#include <string.h>

#include "base/map.h"
#include "ir/attrs.h"
#include "ir/const.h"
#include "ir/const_read.h"
#include "ir/layout.h"
#include "ir/shape.h"

/* What rules learn on the way through the list, by id. */
typedef struct checker {
    const ir_graph *g;
    arena *mem;
    const ir_op **defined; /* NULL: not seen yet */
    int *uses;
    bool *appended_to; /* a kv value that has a successor */
    const ir_op **second;
} checker;

/* The list is whole, ids are unique, operands come before their users. */
static bool check_order(checker *c) {
    const ir_op *before = NULL;
    for (const ir_op *op = c->g->first; op; before = op, op = op->next) {
        if (op->graph != c->g || op->prev != before)
            return OP_ERROR(op, IR_INVARIANT, "a broken list");
        if (op->id >= c->g->next_id)
            return OP_ERROR(op, IR_INVARIANT, "an id that was never given");
        if (c->defined[op->id]) return OP_ERROR(op, IR_INVARIANT, "an id that is given twice");
        c->defined[op->id] = op;
        for (int i = 0; i < op->n_in; i++) {
            const ir_op *in = op->in[i];
            if (!in || in->id >= c->g->next_id || c->defined[in->id] != in || in == op)
                return OP_ERROR(op, IR_INVARIANT, "operand %d is not computed before", i + 1);
            c->uses[in->id]++;
        }
    }
    return before == c->g->last || diag_error(c->g->diag, DIAG_IR_INVARIANT,
                                              (diag_loc){.file = c->g->path}, "a broken list");
}

static bool check_outputs(checker *c) {
    for (int i = 0; i < c->g->n_out; i++) {
        const ir_op *out = c->g->out[i];
        if (!out || out->id >= c->g->next_id || c->defined[out->id] != out)
            return diag_error(c->g->diag, DIAG_IR_INVARIANT, (diag_loc){.file = c->g->path},
                              "output %d is not in the graph", i + 1);
        c->uses[out->id]++;
    }
    return true;
}

static bool check_uses(checker *c) {
    for (const ir_op *op = c->g->first; op; op = op->next)
        if (op->n_use != c->uses[op->id])
            return OP_ERROR(op, IR_INVARIANT, "%d uses counted, %d found", op->n_use,
                            c->uses[op->id]);
    return true;
}

/* Attributes, operands and types are what ops.def and the shape rules say. */
static bool check_types(checker *c) {
    for (const ir_op *op = c->g->first; op; op = op->next) {
        if (op->const_depth != ir_depth_of(op))
            return OP_ERROR(op, IR_INVARIANT, "depth of a constant");
        ir_type type = op->type;
        if (!ir_infer(op, &type)) return false;
        if (!ir_type_eq(&type, &op->type))
            return OP_ERROR(op, IR_INVARIANT, "type %s, the op gives %s",
                            ir_type_text(op, &op->type), ir_type_text(op, &type));
    }
    return true;
}

/* No two inputs with one role. */
static bool check_roles(checker *c) {
    map roles = {.mem = c->mem};
    for (const ir_op *op = c->g->first; op; op = op->next)
        if (op->kind == OP_input && !map_add(&roles, str_of(ir_str(op, ATTR_role)), 0))
            return OP_ERROR(op, IR_REDEFINED, "a second input \"%s\"", ir_str(op, ATTR_role));
    return true;
}

static int
appends_to(const ir_op *op) { /* operand that is a kv value and gets a successor; -1: none */
    ir_type second;
    if (op->kind == OP_kv_append) return 0;
    return ir_second_type(op, &second) ? 4 : -1;
}

/* The state is one history: a kv value that was appended to is gone. */
static bool check_state(checker *c) {
    for (const ir_op *op = c->g->first; op; op = op->next) {
        for (int i = 0; i < op->n_in; i++)
            if (c->appended_to[op->in[i]->id])
                return OP_ERROR(op, IR_KV, "operand %d has been appended to before", i + 1);
        const int kv = appends_to(op);
        if (kv >= 0) c->appended_to[op->in[kv]->id] = true;
        if (op->kind != OP_second) continue;
        const ir_op **second = &c->second[op->in[0]->id];
        if (*second) return OP_ERROR(op, IR_KV, "%%%u is the second result already", (*second)->id);
        *second = op;
    }
    for (int i = 0; i < c->g->n_out; i++)
        if (c->appended_to[c->g->out[i]->id])
            return OP_ERROR(c->g->out[i], IR_KV, "an output that has been appended to");
    return true;
}

static bool is_mapped(const ir_op *weight) {
    return weight->source.kind == SOURCE_file && weight->graph->file[weight->source.file].at;
}

/* Every column stands at one place. */
static bool check_places(checker *c, const ir_op *w) {
    const int64_t K = w->type.dim[1];
    const int64_t n_places = (int64_t)(w->source.perm.bytes / sizeof(int32_t));
    const uint8_t *places = const_bytes(w, &w->source.perm);
    bool *seen = arena_array(c->mem, bool, K);
    int64_t n_seen = 0;
    for (int64_t i = 0; i < n_places; i++) {
        const int32_t k = (int32_t)load_u32(places + 4 * i);
        if (k == -1) continue;
        if (k < 0 || k >= K || seen[k])
            return OP_ERROR(w, IR_PERM, "column %d at place %lld", k, (long long)i);
        seen[k] = true;
        n_seen++;
    }
    return n_seen == K ||
           OP_ERROR(w, IR_PERM, "%lld columns, want %lld", (long long)n_seen, (long long)K);
}

/* Column orders in mapped files lead nowhere outside; joined weights have the same one. */
static bool check_columns(checker *c) {
    for (const ir_op *op = c->g->first; op; op = op->next) {
        if (!op->type.perm || op->type.dtype != DT_i4) continue;
        if (op->kind == OP_weight && is_mapped(op)) {
            ir_groups groups;
            if (op->type.layout == LAYOUT_gptq ? !ir_const_groups(op, c->mem, c->g->diag, &groups)
                                               : !check_places(c, op))
                return false;
        }
        for (int i = 1; i < op->n_in && op->kind == OP_concat_rows; i++)
            if (const_columns_known(op->in[0]) && const_columns_known(op->in[i]) &&
                !ir_same_columns(op->in[0], op->in[i]))
                return OP_ERROR(op, IR_PERM,
                                "operand %d has its columns in other groups than operand 1", i + 1);
    }
    return true;
}

bool ir_verify(const ir_graph *g) {
    static bool (*const RULES[])(checker *) = {check_order,  check_outputs, check_uses,
                                               check_types,  check_roles,   check_state,
                                               check_columns};
    arena *mem = arena_open();
    checker c = {
        .g = g,
        .mem = mem,
        .defined = arena_array(mem, const ir_op *, g->next_id),
        .uses = arena_array(mem, int, g->next_id),
        .appended_to = arena_array(mem, bool, g->next_id),
        .second = arena_array(mem, const ir_op *, g->next_id),
    };
    bool ok = g->next_id <= IR_MAX_OPS && g->n_out <= IR_MAX_OUTPUTS;
    if (!ok)
        diag_error(g->diag, DIAG_IR_INVARIANT, (diag_loc){.file = g->path}, "counts out of range");
    for (size_t i = 0; ok && i < COUNT_OF(RULES); i++) ok = RULES[i](&c);
    arena_close(mem);
    return ok;
}
