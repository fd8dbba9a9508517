/* columns.c - compares the packed columns that two g_idx give. */
#include "passes/columns.h"

#include <string.h>

#include "ir/const.h"

int pass_order_operand(const ir_op *act) {
    const int last = act->n_in - 1;
    return last > 0 && act->in[last]->type.dtype == DT_i4 ? last : 0;
}

static bool is_readable(const ir_op *w) {
    if (w->kind == OP_concat_rows) w = w->in[0]; /* all its parts have one g_idx */
    if (w->kind != OP_weight) return false;
    const ir_source *s = &w->source;
    return s->kind == SOURCE_seed || (s->kind == SOURCE_file && w->graph->file[s->file].at);
}

static bool is_same_range(const ir_op *a, const ir_op *b) {
    if (a->kind != OP_weight || b->kind != OP_weight) return false;
    const ir_source *s = &a->source, *t = &b->source;
    return s->kind == SOURCE_file && t->kind == SOURCE_file && s->file == t->file &&
           s->perm.offset == t->perm.offset;
}

bool pass_same_columns(const ir_op *a, const ir_op *b, arena *scratch) {
    const ir_type *s = &a->type, *t = &b->type;
    if (a == b) return true;
    if (s->dtype != t->dtype || s->dim[1] != t->dim[1] || s->group != t->group ||
        s->perm != t->perm)
        return false;
    if (!s->perm || is_same_range(a, b)) return true;
    if (!is_readable(a) || !is_readable(b)) return false;
    const arena_pos mark = arena_mark(scratch);
    ir_groups p, q;
    diag ignored = {.mem = scratch}; /* what cannot be read is reported where it is packed */
    const bool same =
        ir_const_groups(a, scratch, &ignored, &p) && ir_const_groups(b, scratch, &ignored, &q) &&
        p.n_groups == q.n_groups && p.group == q.group && !p.column == !q.column &&
        (!p.column ||
         !memcmp(p.column, q.column, (size_t)(p.n_groups * p.group) * sizeof *p.column));
    arena_rewind(scratch, mark);
    return same;
}
