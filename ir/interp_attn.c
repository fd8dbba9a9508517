/* interp_attn.c - interp_<op>() of what knows sequences: rope, keys and values, attention. */
#include <math.h>
#include <string.h>

#include "ir/const.h"
#include "ir/const_read.h"
#include "ir/interp_ops.h"
#include "ir/shape.h"

static int64_t position(const interp_ctx *c, int64_t token) {
    const interp_seq *s = c->seq[token];
    return s->n_past + token - s->first_row;
}

/* ---- rope ---- */

static void turn_head(const float *table, int64_t rot,
                      float *x) { /* table: rot / 2 cosines, then sines */
    const int64_t half = rot / 2;
    for (int64_t j = 0; j < half; j++) {
        const double cosine = table[j], sine = table[half + j], a = x[j], b = x[half + j];
        x[j] = (float)(a * cosine - b * sine);
        x[half + j] = (float)(b * cosine + a * sine);
    }
}

bool interp_turn(interp_ctx *c, const ir_op *op, const ir_op *table, int64_t heads,
                 int64_t head_dim, int64_t rot, float *x, int64_t ldx) {
    float *row = arena_array(c->scratch, float, rot);
    for (int64_t t = 0; t < c->step->T; t++) {
        const int64_t p = position(c, t);
        if (p >= table->type.dim[0])
            return OP_ERROR(op, IR_STEP, "position %lld, the rope table has %lld", (long long)p,
                            (long long)table->type.dim[0]);
        ir_const_rows(table, p, 1, row);
        for (int64_t h = 0; h < heads; h++) turn_head(row, rot, x + t * ldx + h * head_dim);
    }
    return true;
}

bool interp_rope(interp_ctx *c, const ir_op *op, float *out) {
    const int64_t n = op->type.dim[1];
    memcpy(out, interp_in(c, op, 0), (size_t)(c->step->T * n) * sizeof *out);
    return interp_turn(c, op, op->in[1], ir_i64(op, ATTR_heads), ir_i64(op, ATTR_head_dim),
                       ir_i64(op, ATTR_rot), out, n);
}

/* ---- keys and values ---- */

bool interp_append(interp_ctx *c, const ir_op *op, const ir_type *kv, const float *k, int64_t ldk,
                   const float *v, int64_t ldv) {
    const int64_t width = kv->dim[1] * kv->dim[2], layer = ir_i64(op, ATTR_layer);
    for (int64_t i = 0; i < c->step->n_seqs; i++) {
        const interp_seq *s = &c->step->seqs[i];
        interp_history *h = interp_history_of(c, op, s, layer, width, s->n_past + s->n_new);
        if (!h) return false;
        if (s->n_past > h->n)
            return OP_ERROR(op, IR_STEP,
                            "sequence %lld starts at position %lld, its history has %lld",
                            (long long)i, (long long)s->n_past, (long long)h->n);
        for (int64_t j = 0; j < s->n_new; j++) {
            const int64_t token = s->first_row + j, at = (s->n_past + j) * width;
            memcpy(h->k + at, k + token * ldk, (size_t)width * sizeof *k);
            memcpy(h->v + at, v + token * ldv, (size_t)width * sizeof *v);
            const_round(kv->dtype, width, h->k + at);
            const_round(kv->dtype, width, h->v + at);
        }
        h->n = s->n_past + s->n_new;
    }
    return true;
}

bool interp_kv_append(interp_ctx *c, const ir_op *op, float *out) {
    (void)out; /* state */
    const int64_t width = op->in[1]->type.dim[1];
    return interp_append(c, op, &op->type, interp_in(c, op, 1), width, interp_in(c, op, 2), width);
}

/* ---- attention: each function does tokens begin .. end; scores and p are [end - begin][H][S] ----
 */

typedef struct heads {
    const ir_op *op;
    int64_t H, G, E, layer;
} heads;

static heads heads_of(const ir_op *op, int64_t H) {
    const ir_type *kv = &op->in[1]->type;
    return (heads){op, H, kv->dim[1], kv->dim[2], ir_i64(op, ATTR_layer)};
}

/* The history that a token sees; NULL: reported. */
static const interp_history *keys_of(interp_ctx *c, const heads *a, const interp_seq *s) {
    const interp_history *h = interp_history_of(c, a->op, s, a->layer, a->G * a->E, 0);
    if (!h || h->n >= s->n_past + s->n_new) return h;
    OP_ERROR(a->op, IR_STEP, "%lld keys wanted, the history has %lld",
             (long long)(s->n_past + s->n_new), (long long)h->n);
    return NULL;
}

static bool scores_of(interp_ctx *c, const heads *a, const float *q, int64_t begin, int64_t end,
                      float *scores) {
    const int64_t ldq = a->H * a->E, ldk = a->G * a->E, S = c->S;
    memset(scores, 0, (size_t)((end - begin) * a->H * S) * sizeof *scores);
    for (int64_t t = begin, n; t < end; t += n) {
        const interp_seq *s = c->seq[t];
        n = min_i64(end, s->first_row + s->n_new) - t; /* tokens of one sequence */
        const interp_history *past = keys_of(c, a, s);
        if (!past) return false;
        for (int64_t h = 0; h < a->H; h++)
            interp_dots(c->scratch, q + t * ldq + h * a->E, n, ldq,
                        past->k + h / (a->H / a->G) * a->E, s->n_past + s->n_new, ldk, a->E,
                        scores + ((t - begin) * a->H + h) * S, a->H * S);
    }
    return true;
}

static void mask_scores(const interp_ctx *c, int64_t H, int64_t window, int64_t begin, int64_t end,
                        float *scores) {
    for (int64_t t = begin; t < end; t++) {
        const int64_t p = position(c, t);
        for (int64_t h = 0; h < H; h++) {
            float *row = scores + ((t - begin) * H + h) * c->S;
            for (int64_t key = 0; key < c->S; key++)
                if (key > p || (window && key <= p - window)) row[key] = -INFINITY;
        }
    }
}

/* A key whose p is 0 does not count, whatever its value holds. */
static bool mix_values(interp_ctx *c, const heads *a, const float *p, int64_t begin, int64_t end,
                       float *out) {
    const int64_t E = a->E, ldv = a->G * E;
    double *sum = arena_array(c->scratch, double, E);
    for (int64_t t = begin; t < end; t++) {
        const interp_seq *s = c->seq[t];
        const interp_history *past = keys_of(c, a, s);
        if (!past) return false;
        for (int64_t h = 0; h < a->H; h++) {
            const float *row = p + ((t - begin) * a->H + h) * c->S;
            memset(sum, 0, (size_t)E * sizeof *sum);
            for (int64_t key = 0; key < s->n_past + s->n_new; key++) {
                const float *v = past->v + key * ldv + h / (a->H / a->G) * E;
                const double pk = row[key];
                if (pk == 0) continue;
                for (int64_t e = 0; e < E; e++) sum[e] += pk * v[e];
            }
            for (int64_t e = 0; e < E; e++) out[(t * a->H + h) * E + e] = (float)sum[e];
        }
    }
    return true;
}

bool interp_attn_scores(interp_ctx *c, const ir_op *op, float *out) {
    const heads a = heads_of(op, ir_i64(op, ATTR_heads));
    return scores_of(c, &a, interp_in(c, op, 0), 0, c->step->T, out);
}

bool interp_attn_mask(interp_ctx *c, const ir_op *op, float *out) {
    memcpy(out, interp_in(c, op, 0), (size_t)interp_count(c, &op->type) * sizeof *out);
    mask_scores(c, op->type.dim[1], ir_i64_or(op, ATTR_window, 0), 0, c->step->T, out);
    return true;
}

bool interp_attn_mix(interp_ctx *c, const ir_op *op, float *out) {
    const heads a = heads_of(op, op->in[0]->type.dim[1]);
    return mix_values(c, &a, interp_in(c, op, 0), 0, c->step->T, out);
}

bool interp_attention(interp_ctx *c, const ir_op *op, float *out) {
    enum { AT_ONCE = 64 }; /* tokens whose scores are in memory */
    const heads a = heads_of(op, ir_i64(op, ATTR_heads));
    const int64_t T = c->step->T;
    const float *q = interp_in(c, op, 0);
    float *scores = arena_array(c->scratch, float, min_i64(AT_ONCE, T) * a.H * c->S);
    for (int64_t begin = 0, end; begin < T; begin = end) {
        end = min_i64(T, begin + AT_ONCE);
        if (!scores_of(c, &a, q, begin, end, scores)) return false;
        interp_scale_row(ir_f64(op, ATTR_by), (end - begin) * a.H * c->S, scores);
        mask_scores(c, a.H, ir_i64_or(op, ATTR_window, 0), begin, end, scores);
        for (int64_t r = 0; r < (end - begin) * a.H; r++)
            interp_softmax_row(c->S, scores + r * c->S);
        if (!mix_values(c, &a, scores, begin, end, out)) return false;
    }
    return true;
}
