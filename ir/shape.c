/* shape.c - shape_<op>(): which operands and attributes an op takes, and the type of its value. */
#include "ir/shape.h"

#include <math.h>
#include <string.h>

#include "ir/attrs.h"
#include "ir/layout.h"

static shape_fn *const SHAPE[OP_COUNT] = {
#define OP(name, n_in, traits, attrs, meaning) [OP_##name] = shape_##name,
#include "ir/ops.def"
#undef OP
};

const char *ir_type_text(const ir_op *op, const ir_type *t) {
    text out = {.mem = op->graph->mem};
    ir_print_type(t, &out);
    return out.buf.at;
}

/* ---- what every op is checked for ---- */

static const char *wrong_with_value(const ir_attr *a) {
    switch (ir_attr_info[a->key].kind) {
    case ATTR_KIND_i64:
        return NULL;
    case ATTR_KIND_f64:
        return isfinite(a->f64) ? NULL : "is not finite";
    case ATTR_KIND_str:
        return a->str ? NULL : "has no value";
    case ATTR_KIND_dtype:
        return a->i64 >= 0 && a->i64 < DT_COUNT ? NULL : "is no element type";
    case ATTR_KIND_layout:
        return a->i64 >= 0 && a->i64 < LAYOUT_COUNT ? NULL : "is no layout";
    case ATTR_KIND_f64s:
        break;
    }
    if (a->f64s.n < 0 || (a->f64s.n && !a->f64s.at)) return "has no value";
    for (int64_t i = 0; i < a->f64s.n; i++)
        if (!isfinite(a->f64s.at[i])) return "holds a number that is not finite";
    return NULL;
}

static bool check_attrs(const ir_op *op) {
    const uint32_t allowed = ir_op_info[op->kind].attrs | IR_COMMON_ATTRS;
    uint32_t seen = 0;
    for (int i = 0; i < op->n_attrs; i++) {
        const ir_attr *a = &op->attrs[i];
        if (a->key >= ATTR_COUNT) return OP_ERROR(op, IR_ATTR, "no such attribute");
        const uint32_t bit = 1u << a->key;
        const char *name = ir_attr_name[a->key];
        if (!(allowed & bit)) return OP_ERROR(op, IR_ATTR, "takes no attribute %s", name);
        if (seen & bit) return OP_ERROR(op, IR_ATTR, "attribute %s is given twice", name);
        seen |= bit;
        const char *why = wrong_with_value(a);
        if (why) return OP_ERROR(op, IR_ATTR, "attribute %s %s", name, why);
    }
    return true;
}

bool ir_infer(const ir_op *op, ir_type *out) {
    if (op->kind >= OP_COUNT) return OP_ERROR(op, IR_INVARIANT, "no such op");
    const op_info *info = &ir_op_info[op->kind];
    if (op->n_in > IR_MAX_OPERANDS)
        return OP_ERROR(op, IR_LIMIT, "%d operands, at most %d", op->n_in, IR_MAX_OPERANDS);
    if (info->n_in >= 0 && op->n_in != info->n_in)
        return OP_ERROR(op, IR_OPERANDS, "%d operands, takes %d", op->n_in, info->n_in);
    if (!check_attrs(op)) return false;
    for (int i = 0; i < op->n_in && (info->traits & CONST); i++)
        if (!ir_is_const(op->in[i]))
            return OP_ERROR(op, IR_OPERANDS, "operand %d is not a constant", i + 1);
    if (op->const_depth > IR_MAX_DEPTH)
        return OP_ERROR(op, IR_LIMIT, "a chain of more than %d ops on a constant", IR_MAX_DEPTH);
    return SHAPE[op->kind](op, out);
}

/* ---- helpers of the rules ---- */

static const ir_type *in_type(const ir_op *op, int i) { return &op->in[i]->type; }

/* Operand i does not fit. */
static bool bad_operand(const ir_op *op, int i, const char *want) {
    return OP_ERROR(op, IR_TYPE, "operand %d is %s, want %s", i + 1,
                    ir_type_text(op, in_type(op, i)), want);
}

static bool need_operands(const ir_op *op, int lo, int hi) {
    if (op->n_in >= lo && op->n_in <= hi) return true;
    return OP_ERROR(op, IR_OPERANDS, "%d operands, takes %d to %d", op->n_in, lo, hi);
}

static bool need_attr(const ir_op *op, attr_key key) {
    return ir_find_attr(op, key) || OP_ERROR(op, IR_ATTR, "needs attribute %s", ir_attr_name[key]);
}

static bool need_i64(const ir_op *op, attr_key key, int64_t lo, int64_t hi) {
    if (!need_attr(op, key)) return false;
    const int64_t v = ir_i64(op, key);
    return (v >= lo && v <= hi) ||
           OP_ERROR(op, IR_ATTR, "attribute %s is %lld, want %lld to %lld", ir_attr_name[key],
                    (long long)v, (long long)lo, (long long)hi);
}

static bool opt_i64(const ir_op *op, attr_key key, int64_t lo, int64_t hi) {
    return !ir_find_attr(op, key) || need_i64(op, key, lo, hi);
}

static bool need_positive(const ir_op *op, attr_key key) {
    if (!need_attr(op, key)) return false;
    return ir_f64(op, key) > 0 ||
           OP_ERROR(op, IR_ATTR, "attribute %s must be positive", ir_attr_name[key]);
}

static bool need_eps(const ir_op *op) {
    if (!need_attr(op, ATTR_eps)) return false;
    return ir_f64(op, ATTR_eps) >= 0 || OP_ERROR(op, IR_ATTR, "attribute eps is negative");
}

static bool need_group(const ir_op *op) {
    if (!need_attr(op, ATTR_group)) return false;
    const int64_t group = ir_i64(op, ATTR_group);
    return group == -1 || (group > 0 && group <= IR_MAX_DIM) ||
           OP_ERROR(op, IR_ATTR, "attribute group is %lld, want a positive number or -1",
                    (long long)group);
}

/* Heads and sizes as the packed order rope and the epilogue rope_kv use them; rows: of the
 * projection. */
static bool need_heads(const ir_op *op, int64_t rows) {
    if (!need_i64(op, ATTR_heads, 1, IR_MAX_DIM) || !need_i64(op, ATTR_kv_heads, 1, IR_MAX_DIM) ||
        !need_i64(op, ATTR_head_dim, 2, IR_MAX_DIM) ||
        !need_i64(op, ATTR_rot, 2, ir_i64(op, ATTR_head_dim)))
        return false;
    if (ir_i64(op, ATTR_rot) % 2) return OP_ERROR(op, IR_ATTR, "attribute rot is odd");
    const int64_t h = ir_i64(op, ATTR_heads), g = ir_i64(op, ATTR_kv_heads);
    if (h % g)
        return OP_ERROR(op, IR_ATTR, "%lld heads do not divide among %lld", (long long)h,
                        (long long)g);
    if ((h + 2 * g) * ir_i64(op, ATTR_head_dim) != rows)
        return OP_ERROR(op, IR_TYPE, "%lld rows do not make %lld + 2 * %lld heads of %lld",
                        (long long)rows, (long long)h, (long long)g,
                        (long long)ir_i64(op, ATTR_head_dim));
    return true;
}

static bool is_seqs(const ir_op *op, int i) {
    return in_type(op, i)->dtype == DT_seqs || bad_operand(op, i, "seqs");
}

static bool is_rows(const ir_op *op, int i) {
    const ir_type *t = in_type(op, i);
    return (ir_type_is_plain_f32(t) && t->rank == 2) || bad_operand(op, i, "f32[rows, columns]");
}

/* f32[T, n]; n < 0: any */
static bool is_tokens(const ir_op *op, int i, int64_t n) {
    const ir_type *t = in_type(op, i);
    if (!is_rows(op, i)) return false;
    if (t->dim[0] != DIM_T) return bad_operand(op, i, "f32[T, columns]");
    if (n >= 0 && t->dim[1] != n)
        return OP_ERROR(op, IR_TYPE, "operand %d has %lld columns, want %lld", i + 1,
                        (long long)t->dim[1], (long long)n);
    return true;
}

static bool is_kv(const ir_op *op, int i) {
    return in_type(op, i)->layout == LAYOUT_kv ||
           bad_operand(op, i, "[layers, heads, head size]@kv");
}

static bool is_norm_weight(const ir_op *op, int i, int64_t n) {
    const ir_type *t = in_type(op, i);
    if (!ir_is_float(t->dtype) || t->layout != LAYOUT_plain || t->rank != 1 || t->dim[0] != n)
        return bad_operand(op, i, "one number for each column");
    return true;
}

/* Dense matrix [n, k] of known size; k < 0: any. */
static bool is_matrix(const ir_op *op, int i, int64_t k, bool packed_too) {
    const ir_type *t = in_type(op, i);
    if (!ir_is_float(t->dtype) || t->rank != 2 || t->dim[0] < 0 || t->dim[1] < 0)
        return bad_operand(op, i, "a floating-point matrix");
    if (t->layout != LAYOUT_plain && !(packed_too && ir_layout_is_packed(t->layout)))
        return bad_operand(op, i, "a matrix in plain layout");
    if (k >= 0 && t->dim[1] != k)
        return OP_ERROR(op, IR_TYPE, "operand %d has %lld columns, want %lld", i + 1,
                        (long long)t->dim[1], (long long)k);
    return true;
}

static bool same_as_operand(const ir_op *op, ir_type *out) {
    const ir_type *t = in_type(op, 0);
    if (!ir_type_is_plain_f32(t)) return bad_operand(op, 0, "f32");
    *out = *t;
    return true;
}

static bool binary(const ir_op *op, ir_type *out) {
    if (!same_as_operand(op, out)) return false;
    if (!ir_type_eq(in_type(op, 0), in_type(op, 1)))
        return bad_operand(op, 1, ir_type_text(op, out));
    return true;
}

/* ---- the boundary ---- */

static bool well_formed(const ir_op *op, const ir_type *t) {
    const char *why = NULL;
    return ir_type_ok(t, &why) || OP_ERROR(op, IR_TYPE, "%s: %s", ir_type_text(op, t), why);
}

bool shape_input(const ir_op *op, ir_type *out) {
    if (!need_attr(op, ATTR_role) || !well_formed(op, out)) return false;
    const char *role = ir_str(op, ATTR_role);
    const ir_type ids = IR_TYPE(DT_i32, DIM_T), rows = IR_TYPE(DT_i32, DIM_R);
    bool fits = ir_type_is_plain_f32(out) && !(out->rank == 3 && out->dim[2] == DIM_S);
    const char *want = "plain f32";
    if (strcmp(role, "ids") == 0) fits = ir_type_eq(out, &ids), want = "i32[T]";
    if (strcmp(role, "rows") == 0) fits = ir_type_eq(out, &rows), want = "i32[R]";
    if (strcmp(role, "seqs") == 0) fits = out->dtype == DT_seqs, want = "seqs";
    if (strcmp(role, "kv") == 0)
        fits = out->layout == LAYOUT_kv, want = "[layers, heads, head size]@kv";
    return fits ||
           OP_ERROR(op, IR_TYPE, "input \"%s\" is %s, want %s", role, ir_type_text(op, out), want);
}

static bool check_order(const ir_op *op, const ir_type *t) {
    ir_order order;
    const char *name = ir_str_or(op, ATTR_order, "natural");
    if (!ir_find_order(name, &order)) return OP_ERROR(op, IR_ATTR, "no row order \"%s\"", name);
    if (order == ORDER_swiglu && t->dim[0] % 2)
        return OP_ERROR(op, IR_TYPE, "order swiglu needs an even number of rows");
    return order != ORDER_rope || need_heads(op, t->dim[0]);
}

static bool check_range(const ir_op *op, const char *what, const ir_range *r, uint64_t want) {
    const ir_graph *g = op->graph;
    uint64_t end;
    if (r->bytes != want)
        return OP_ERROR(op, IR_SOURCE, "%s has %llu bytes, want %llu", what,
                        (unsigned long long)r->bytes, (unsigned long long)want);
    const ir_file *file = &g->file[op->source.file];
    const uint64_t size = file->n_bytes;
    const bool size_is_known = file->at || size;
    if (!checked_add(r->offset, r->bytes, &end) || (size_is_known && end > size))
        return OP_ERROR(op, IR_SOURCE, "%s is not inside file %d of %llu bytes", what,
                        op->source.file, (unsigned long long)size);
    return true;
}

static bool check_source(const ir_op *op) {
    const ir_source *s = &op->source;
    if (s->kind != SOURCE_file) return true;
    if (s->file < 0 || s->file >= op->graph->n_files)
        return OP_ERROR(op, IR_SOURCE, "no file %d", s->file);
    if (op->type.dtype == DT_i4 && op->type.layout == LAYOUT_plain)
        return OP_ERROR(op, IR_SOURCE, "i4 in a file needs a layout");
    if (op->type.layout == LAYOUT_gptq && s->scales_dtype != DT_f16 && s->scales_dtype != DT_bf16 &&
        s->scales_dtype != DT_f32)
        return OP_ERROR(op, IR_SOURCE, "scales must be f16, bf16 or f32");
    ir_source_bytes want;
    if (!ir_source_needs(op, &want))
        return OP_ERROR(op, IR_SOURCE, "perm has %llu bytes, want a whole number of packed groups",
                        (unsigned long long)s->perm.bytes);
    return check_range(op, "data", &s->data, want.data) &&
           check_range(op, "scales", &s->scales, want.scales) &&
           check_range(op, "zeros", &s->zeros, want.zeros) &&
           check_range(op, "perm", &s->perm, want.perm);
}

bool shape_weight(const ir_op *op, ir_type *out) {
    if (!well_formed(op, out)) return false;
    if ((!ir_is_float(out->dtype) && out->dtype != DT_i4) || out->layout == LAYOUT_kv ||
        out->layout == LAYOUT_act || out->rank > 2 || out->dim[0] < 0)
        return OP_ERROR(op, IR_TYPE, "%s, want floating point or i4 of known size",
                        ir_type_text(op, out));
    if (ir_layout_is_packed(out->layout)) {
        if (!check_order(op, out)) return false;
    } else {
        for (int i = 0; i < op->n_attrs; i++)
            if (ir_op_info[OP_weight].attrs >> op->attrs[i].key & 1)
                return OP_ERROR(op, IR_ATTR, "attribute %s is for packed layouts",
                                ir_attr_name[op->attrs[i].key]);
    }
    return check_source(op);
}

bool shape_rope_table(const ir_op *op, ir_type *out) {
    if (!well_formed(op, out)) return false;
    if (!ir_type_is_plain_f32(out) || out->rank != 2 || out->dim[0] < 0)
        return OP_ERROR(op, IR_TYPE, "%s, want f32[positions, rot]", ir_type_text(op, out));
    if (!need_positive(op, ATTR_theta) || !need_i64(op, ATTR_rot, 2, IR_MAX_DIM)) return false;
    const int64_t rot = ir_i64(op, ATTR_rot);
    if (rot % 2) return OP_ERROR(op, IR_ATTR, "attribute rot is odd");
    if (rot != out->dim[1])
        return OP_ERROR(op, IR_TYPE, "%s, want %lld columns", ir_type_text(op, out),
                        (long long)rot);
    const ir_attr *factors = ir_find_attr(op, ATTR_factors);
    if (!factors) return true;
    if (factors->f64s.n != rot / 2)
        return OP_ERROR(op, IR_ATTR, "%lld factors, want %lld", (long long)factors->f64s.n,
                        (long long)rot / 2);
    for (int64_t i = 0; i < rot / 2; i++)
        if (!(factors->f64s.at[i] > 0)) return OP_ERROR(op, IR_ATTR, "factors must be positive");
    return true;
}

/* ---- plain ops ---- */

bool shape_embed(const ir_op *op, ir_type *out) {
    const ir_type ids = IR_TYPE(DT_i32, DIM_T);
    if (!is_matrix(op, 0, -1, true)) return false;
    if (!ir_type_eq(in_type(op, 1), &ids)) return bad_operand(op, 1, "i32[T]");
    *out = IR_TYPE(DT_f32, DIM_T, in_type(op, 0)->dim[1]);
    return true;
}

bool shape_rmsnorm(const ir_op *op, ir_type *out) {
    if (!need_eps(op) || !same_as_operand(op, out)) return false;
    return is_norm_weight(op, 1, out->dim[out->rank - 1]);
}

bool shape_matmul(const ir_op *op, ir_type *out) {
    if (!is_rows(op, 0) || !is_matrix(op, 1, in_type(op, 0)->dim[1], false)) return false;
    *out = IR_TYPE(DT_f32, in_type(op, 0)->dim[0], in_type(op, 1)->dim[0]);
    return true;
}

bool shape_dequant(const ir_op *op, ir_type *out) {
    const ir_type *t = in_type(op, 0);
    if (t->dtype != DT_i4) return bad_operand(op, 0, "i4");
    *out = IR_TYPE(DT_f32, t->dim[0], t->dim[1]);
    return true;
}

bool shape_slice(const ir_op *op, ir_type *out) {
    if (!same_as_operand(op, out)) return false;
    int64_t *last = &out->dim[out->rank - 1];
    if (*last < 0) return bad_operand(op, 0, "a last dimension of known size");
    if (!need_i64(op, ATTR_begin, 0, *last - 1) ||
        !need_i64(op, ATTR_size, 1, *last - ir_i64(op, ATTR_begin)))
        return false;
    *last = ir_i64(op, ATTR_size);
    return true;
}

static bool is_rope_table(const ir_op *op, int i, int64_t rot) {
    const ir_type *t = in_type(op, i);
    if (!ir_is_const(op->in[i]) || !ir_type_is_plain_f32(t) || t->rank != 2 || t->dim[1] != rot)
        return bad_operand(op, i, "a constant f32[positions, rot]");
    return true;
}

bool shape_rope(const ir_op *op, ir_type *out) {
    if (!need_i64(op, ATTR_heads, 1, IR_MAX_DIM) || !need_i64(op, ATTR_head_dim, 2, IR_MAX_DIM) ||
        !need_i64(op, ATTR_rot, 2, ir_i64(op, ATTR_head_dim)))
        return false;
    if (ir_i64(op, ATTR_rot) % 2) return OP_ERROR(op, IR_ATTR, "attribute rot is odd");
    if (!is_tokens(op, 0, ir_i64(op, ATTR_heads) * ir_i64(op, ATTR_head_dim)) ||
        !is_rope_table(op, 1, ir_i64(op, ATTR_rot)) || !is_seqs(op, 2))
        return false;
    *out = *in_type(op, 0);
    return true;
}

static bool need_layer(const ir_op *op, const ir_type *kv) {
    return need_i64(op, ATTR_layer, 0, kv->dim[0] - 1);
}

bool shape_kv_append(const ir_op *op, ir_type *out) {
    const ir_type *kv = in_type(op, 0);
    if (!is_kv(op, 0) || !need_layer(op, kv)) return false;
    const int64_t n = kv->dim[1] * kv->dim[2];
    if (!is_tokens(op, 1, n) || !is_tokens(op, 2, n) || !is_seqs(op, 3)) return false;
    *out = *kv;
    return true;
}

/* q f32[T, H * E], kv, seqs and attributes layer, heads */
static bool is_query(const ir_op *op) {
    const ir_type *kv = in_type(op, 1);
    if (!is_kv(op, 1) || !need_layer(op, kv) || !need_i64(op, ATTR_heads, 1, IR_MAX_DIM))
        return false;
    const int64_t heads = ir_i64(op, ATTR_heads);
    if (heads % kv->dim[1])
        return OP_ERROR(op, IR_ATTR, "%lld heads do not divide among %lld", (long long)heads,
                        (long long)kv->dim[1]);
    return is_tokens(op, 0, heads * kv->dim[2]) && is_seqs(op, 2);
}

bool shape_attn_scores(const ir_op *op, ir_type *out) {
    if (!is_query(op)) return false;
    *out = IR_TYPE(DT_f32, DIM_T, ir_i64(op, ATTR_heads), DIM_S);
    return true;
}

bool shape_scale(const ir_op *op, ir_type *out) {
    return need_attr(op, ATTR_by) && same_as_operand(op, out);
}

static bool is_scores(const ir_op *op, int i) {
    const ir_type *t = in_type(op, i);
    return (ir_type_is_plain_f32(t) && t->rank == 3 && t->dim[0] == DIM_T && t->dim[1] > 0 &&
            t->dim[2] == DIM_S) ||
           bad_operand(op, i, "f32[T, heads, S]");
}

bool shape_attn_mask(const ir_op *op, ir_type *out) {
    if (!opt_i64(op, ATTR_window, 1, INT32_MAX)) return false;
    return is_scores(op, 0) && is_seqs(op, 1) && same_as_operand(op, out);
}

bool shape_softmax(const ir_op *op, ir_type *out) { return same_as_operand(op, out); }

bool shape_attn_mix(const ir_op *op, ir_type *out) {
    const ir_type *kv = in_type(op, 1);
    if (!is_scores(op, 0) || !is_kv(op, 1) || !need_layer(op, kv) || !is_seqs(op, 2)) return false;
    const int64_t heads = in_type(op, 0)->dim[1];
    if (heads % kv->dim[1])
        return OP_ERROR(op, IR_TYPE, "%lld heads do not divide among %lld", (long long)heads,
                        (long long)kv->dim[1]);
    *out = IR_TYPE(DT_f32, DIM_T, heads * kv->dim[2]);
    return true;
}

bool shape_silu(const ir_op *op, ir_type *out) { return same_as_operand(op, out); }

bool shape_mul(const ir_op *op, ir_type *out) { return binary(op, out); }

bool shape_add(const ir_op *op, ir_type *out) { return binary(op, out); }

bool shape_select_rows(const ir_op *op, ir_type *out) {
    const ir_type rows = IR_TYPE(DT_i32, DIM_R);
    if (!is_tokens(op, 0, -1)) return false;
    if (!ir_type_eq(in_type(op, 1), &rows)) return bad_operand(op, 1, "i32[R]");
    *out = IR_TYPE(DT_f32, DIM_R, in_type(op, 0)->dim[1]);
    return true;
}

/* ---- functions of constants ---- */

bool shape_quant(const ir_op *op, ir_type *out) {
    if (!is_matrix(op, 0, -1, false) || !need_attr(op, ATTR_to) || !need_group(op)) return false;
    if (ir_i64(op, ATTR_to) != DT_i4) return OP_ERROR(op, IR_ATTR, "attribute to: want i4");
    *out = IR_TYPE(DT_i4, in_type(op, 0)->dim[0], in_type(op, 0)->dim[1]);
    out->group = ir_i64(op, ATTR_group);
    return true;
}

bool shape_cast(const ir_op *op, ir_type *out) {
    const ir_type *t = in_type(op, 0);
    if (!ir_is_float(t->dtype) || t->layout != LAYOUT_plain)
        return bad_operand(op, 0, "plain floating point");
    if (!need_attr(op, ATTR_to)) return false;
    const ir_dtype to = (ir_dtype)ir_i64(op, ATTR_to);
    if (!ir_is_float(to) || to == DT_f64)
        return OP_ERROR(op, IR_ATTR, "attribute to: want f32, f16 or bf16");
    *out = *t;
    out->dtype = to;
    return true;
}

bool shape_concat_rows(const ir_op *op, ir_type *out) {
    if (!need_operands(op, 1, IR_MAX_OPERANDS)) return false;
    const ir_type *first = in_type(op, 0);
    *out = *first;
    out->layout = LAYOUT_plain;
    out->dim[0] = 0;
    for (int i = 0; i < op->n_in; i++) {
        const ir_type *t = in_type(op, i);
        if (t->rank != 2 || (t->layout != LAYOUT_plain && t->layout != LAYOUT_gptq))
            return bad_operand(op, i, "a matrix that is not packed");
        if (t->dtype != first->dtype || t->dim[1] != first->dim[1] || t->group != first->group ||
            t->perm != first->perm)
            return bad_operand(op, i, "the element type, columns and groups of operand 1");
        out->zeros |= t->zeros;
        out->dim[0] += t->dim[0]; /* at most 64 * 2^30 */
    }
    return well_formed(op, out);
}

bool shape_pack(const ir_op *op, ir_type *out) {
    const ir_type *t = in_type(op, 0);
    if (t->rank != 2 || (t->layout != LAYOUT_plain && t->layout != LAYOUT_gptq))
        return bad_operand(op, 0, "a matrix that is not packed");
    if (!need_attr(op, ATTR_layout)) return false;
    *out = *t;
    out->layout = (ir_layout)ir_i64(op, ATTR_layout);
    if (!ir_layout_is_packed(out->layout))
        return OP_ERROR(op, IR_ATTR, "attribute layout: want a packed one");
    return well_formed(op, out) && check_order(op, out);
}

/* ---- fused ops ---- */

/* (x [, norm weight] [, i4 weight whose columns it follows]) */
bool shape_act(const ir_op *op, ir_type *out) {
    if (!need_operands(op, 1, 3) || !is_rows(op, 0) || !need_attr(op, ATTR_act)) return false;
    const int64_t k = in_type(op, 0)->dim[1];
    int next = 1;
    if (next < op->n_in && in_type(op, next)->rank == 1) {
        if (!need_eps(op) || !is_norm_weight(op, next, k)) return false;
        next++;
    } else if (ir_find_attr(op, ATTR_eps)) {
        return OP_ERROR(op, IR_ATTR, "attribute eps without a norm weight");
    }
    *out = *in_type(op, 0);
    out->dtype = (ir_dtype)ir_i64(op, ATTR_act);
    out->layout = LAYOUT_act;
    if (ir_find_attr(op, ATTR_group)) {
        if (!need_group(op)) return false;
        out->group = ir_i64(op, ATTR_group);
    }
    if (next < op->n_in) {
        const ir_type *w = in_type(op, next);
        if (w->dtype != DT_i4 || w->dim[1] != k)
            return bad_operand(op, next, "an i4 weight with the columns of x");
        if (out->group && out->group != w->group)
            return OP_ERROR(op, IR_ATTR, "attribute group is %lld, the weight's is %lld",
                            (long long)out->group, (long long)w->group);
        out->group = w->group;
        out->perm = w->perm;
        next++;
    }
    if (next != op->n_in) return bad_operand(op, next, "nothing more");
    return well_formed(op, out);
}

/* x and w of a linear */
static bool is_linear(const ir_op *op) {
    const ir_type *x = in_type(op, 0), *w = in_type(op, 1);
    if (x->layout != LAYOUT_act && !is_rows(op, 0)) return false;
    if (w->dtype == DT_i4) {
        if (w->dim[1] != x->dim[1]) return bad_operand(op, 1, "as many columns as operand 1");
        const bool follows = x->group == w->group && x->perm == w->perm;
        if (w->layout == LAYOUT_r16k8 && x->layout == LAYOUT_act && !follows)
            return bad_operand(op, 0, "activations in the groups of the weight");
    } else if (!is_matrix(op, 1, x->dim[1], true)) {
        return false;
    }
    return true;
}

static bool linear_none(const ir_op *op, ir_type *out) {
    (void)out; /* as it is */
    return need_operands(op, 2, 2);
}

static bool linear_add(const ir_op *op, ir_type *out) {
    if (!need_operands(op, 3, 3)) return false;
    return ir_type_eq(in_type(op, 2), out) || bad_operand(op, 2, ir_type_text(op, out));
}

static bool linear_swiglu(const ir_op *op, ir_type *out) {
    if (!need_operands(op, 2, 2)) return false;
    if (out->dim[1] % 2) return bad_operand(op, 1, "an even number of rows");
    out->dim[1] /= 2;
    return true;
}

static bool linear_rope_kv(const ir_op *op, ir_type *out) {
    if (!need_operands(op, 5, 5) || !need_heads(op, out->dim[1])) return false;
    const ir_type *kv = in_type(op, 4);
    if (!is_rope_table(op, 2, ir_i64(op, ATTR_rot)) || !is_seqs(op, 3) || !is_kv(op, 4) ||
        !need_layer(op, kv))
        return false;
    if (out->dim[0] != DIM_T) return bad_operand(op, 0, "[T, columns]");
    if (kv->dim[1] != ir_i64(op, ATTR_kv_heads) || kv->dim[2] != ir_i64(op, ATTR_head_dim))
        return bad_operand(op, 4, "kv_heads heads of head_dim");
    out->dim[1] = ir_i64(op, ATTR_heads) * ir_i64(op, ATTR_head_dim);
    return true;
}

static const struct {
    const char *name;
    shape_fn *shape; /* *out: f32[rows, N] on entry */
} EPILOGUES[] = {{"none", linear_none},
                 {"add", linear_add},
                 {"swiglu", linear_swiglu},
                 {"rope_kv", linear_rope_kv}};

bool shape_linear(const ir_op *op, ir_type *out) {
    if (op->n_in < 2) return need_operands(op, 2, 5);
    if (!is_linear(op)) return false;
    *out = IR_TYPE(DT_f32, in_type(op, 0)->dim[0], in_type(op, 1)->dim[0]);
    const char *name = ir_str_or(op, ATTR_epilogue, "none");
    for (size_t i = 0; i < COUNT_OF(EPILOGUES); i++)
        if (strcmp(name, EPILOGUES[i].name) == 0) return EPILOGUES[i].shape(op, out);
    return OP_ERROR(op, IR_ATTR, "no epilogue \"%s\"", name);
}

bool shape_attention(const ir_op *op, ir_type *out) {
    if (!need_attr(op, ATTR_by) || !opt_i64(op, ATTR_window, 1, INT32_MAX)) return false;
    if (!is_query(op)) return false;
    *out = *in_type(op, 0);
    return true;
}

bool shape_swiglu(const ir_op *op, ir_type *out) {
    if (!same_as_operand(op, out)) return false;
    int64_t *last = &out->dim[out->rank - 1];
    if (*last < 0 || *last % 2) return bad_operand(op, 0, "an even number of columns");
    *last /= 2;
    return true;
}

bool ir_second_type(const ir_op *op, ir_type *out) {
    if (op->kind != OP_linear || strcmp(ir_str_or(op, ATTR_epilogue, "none"), "rope_kv") != 0)
        return false;
    *out = in_type(op, 4)[0];
    return true;
}

bool shape_second(const ir_op *op, ir_type *out) {
    return ir_second_type(op->in[0], out) ||
           OP_ERROR(op, IR_OPERANDS, "%%%u has no second result", op->in[0]->id);
}
