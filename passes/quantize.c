/* quantize.c - the scheme's element type for every weight and for the KV cache.
 *   - Matrices of the layers: the scheme's type.  One stored otherwise goes through cast, or
 * through quant and (for now) dequant.  Under `auto` they stay as stored; float32 becomes bf16.
 *   - The head: the same, but a dense one stays 16-bit under 4-bit schemes.
 *   - The embedding table: as stored; float32 under f32.
 *   - Norm weights: float32, which is exact, and they are small.
 *
 * A packed matrix is never packed again: a scheme that wants another form of it contradicts the
 * checkpoint, except f32, which takes the dequantised values as they are.
 */
#include "passes/scheme.h"

#include <assert.h>

typedef struct wanted {
    ir_dtype dtype;
    int64_t group; /* DT_i4; 0: as stored */
} wanted;

static bool is_head(const ir_graph *g, const ir_op *matmul) {
    return matmul->type.dim[0] == DIM_R || (g->n_out > 0 && g->out[0] == matmul);
}

static wanted dense_form(const scheme *s, ir_dtype stored, bool head) {
    const ir_dtype kept = scheme_table[scheme_of_dtype(stored)].weight;
    const ir_dtype weight = scheme_table[s->id].weight;
    if (s->as_stored || (weight == DT_i4 && head)) return (wanted){.dtype = kept};
    return (wanted){.dtype = weight, .group = weight == DT_i4 ? s->group : 0};
}

static bool has_form(const ir_op *made, wanted form) {
    if (form.dtype == DT_i4) return made->kind == OP_dequant;
    return made->kind == OP_cast && made->type.dtype == form.dtype;
}

/* `w` behind a cast, or a quant and its dequant, or w itself where it has that form; made once for
 * all users of a weight. */
static ir_op *in_form(ir_graph *g, ir_op *w, wanted form, int *n_changed) {
    if (w->type.dtype == form.dtype && w->kind != OP_dequant) return w;
    ir_op *const before = w->note;
    if (before && has_form(before, form)) return before;
    g->at = w->next;
    ir_op *made;
    if (form.dtype == DT_i4) {
        made = ir_add(g, OP_quant, 1, &w, 2,
                      (ir_attr[]){IR_I64(to, DT_i4), IR_I64(group, form.group)});
        made = ir_add(g, OP_dequant, 1, &made, 0, NULL);
    } else {
        made = ir_add(g, OP_cast, 1, &w, 1, (ir_attr[]){IR_I64(to, form.dtype)});
    }
    g->at = NULL;
    w->note = made;
    (*n_changed)++;
    return made;
}

static const char *source_path(const ir_graph *g, const ir_op *w) {
    return w->kind == OP_weight && w->source.kind == SOURCE_file ? g->file[w->source.file].path
                                                                 : g->path;
}

/* Groups of a and of b inputs are the same groups in a matrix of k columns. */
static bool same_groups(int64_t a, int64_t b, int64_t k) {
    const bool a_is_all = a == -1 || a >= k, b_is_all = b == -1 || b >= k;
    return a == b || (a_is_all && b_is_all);
}

static bool contradiction(const ir_graph *g, const scheme *s, const ir_op *w) {
    text name = {.mem = g->mem};
    scheme_print(s, &name);
    return diag_error(
        g->diag, DIAG_QUANT_CONTRADICTS, (diag_loc){.file = source_path(g, w), .tensor = w->name},
        "the checkpoint's packing contradicts --quant %s (found 4-bit groups of %lld)", name.buf.at,
        (long long)w->type.group);
}

static bool quantize_matmul(ir_graph *g, pass_ctx *px, ir_op *op) {
    const scheme *s = &px->options->scheme;
    ir_op *const w = op->in[1];
    if (!ir_is_const(w)) return true; /* schedule says that this has no kernel */
    wanted form;
    if (w->kind != OP_dequant) {
        form = dense_form(s, w->type.dtype, is_head(g, op));
    } else if (s->id == SCHEME_f32) {
        form = (wanted){.dtype = DT_f32};
    } else {
        const ir_op *packed = w->in[0];
        const bool fits =
            s->id == SCHEME_w4a16 &&
            (s->group == 0 || same_groups(s->group, packed->type.group, packed->type.dim[1]));
        return fits || s->as_stored || contradiction(g, s, packed);
    }
    ir_op *const v = in_form(g, w, form, &px->n_changed);
    if (!v) return false;
    ir_set_in(op, 1, v);
    return true;
}

static bool cast_operand(ir_graph *g, pass_ctx *px, ir_op *op, int i) {
    if (!ir_is_const(op->in[i])) return true;
    ir_op *const v = in_form(g, op->in[i], (wanted){.dtype = DT_f32}, &px->n_changed);
    if (!v) return false;
    ir_set_in(op, i, v);
    return true;
}

bool pass_quantize(ir_graph *g, pass_ctx *px) {
    const scheme *s = &px->options->scheme;
    for (ir_op *op = g->first; op; op = op->next) op->note = NULL;
    for (ir_op *op = g->first; op; op = op->next) {
        bool ok = true;
        if (op->kind == OP_matmul) ok = quantize_matmul(g, px, op);
        if (op->kind == OP_rmsnorm) ok = cast_operand(g, px, op, 1);
        if (op->kind == OP_embed && s->id == SCHEME_f32) ok = cast_operand(g, px, op, 0);
        if (!ok) return false;
        if (op->type.layout == LAYOUT_kv && op->type.dtype != s->kv_dtype) {
            op->type.dtype = s->kv_dtype;
            px->n_changed++;
        }
    }
    return true;
}
