/* interp_ops.h - what the interpreter's ops work on, and the arithmetic that plain and fused ops
 * share. */
#ifndef P4C_IR_INTERP_OPS_H
#define P4C_IR_INTERP_OPS_H

#include "ir/interp.h"

/* Keys and values of one layer of one sequence: [n][width] each, width = G * E. */
typedef struct interp_history {
    float *k, *v;
    int64_t n, cap, width;
} interp_history;

typedef struct interp_histories { /* of one sequence */
    interp_history *layer;
    int64_t n_layers;
} interp_histories;

struct interp_state {
    arena *mem;
    int n_histories;
    interp_histories *of; /* [n_histories] */
};

/* One run of a graph. */
typedef struct interp_ctx {
    const ir_graph *g;
    interp_state *state;
    const interp_step *step;
    arena *scratch;         /* rewound after each op */
    const interp_seq **seq; /* [T] of each token */
    int64_t S;              /* keys visible to the sequence that has most */
    const float **value;    /* by id; NULL: state, constants, integers */
} interp_ctx;

/* Computes op's value into out (NULL where it has none).  False: reported. */
typedef bool interp_fn(interp_ctx *c, const ir_op *op, float *out);
#define OP(name, n_in, traits, attrs, meaning) interp_fn interp_##name;
#include "ir/ops.def"
#undef OP

int64_t interp_count(const interp_ctx *c, const ir_type *t); /* elements in this step */
/* The layer's history with `room` positions at least.  NULL: reported. */
interp_history *interp_history_of(interp_ctx *c, const ir_op *op, const interp_seq *s,
                                  int64_t layer, int64_t width, int64_t room);

/* ---- helpers; rows: all but the last dimension ---- */

int64_t interp_rows(const interp_ctx *c, const ir_type *t);
/* Value of operand i; a constant's is read into scratch memory. */
const float *interp_in(interp_ctx *c, const ir_op *op, int i);
/* y[i * ldy + j] = sum over k < K of x[i * ldx + k] * w[j * ldw + k]; n_x rows of x, n_w rows of w.
 */
void interp_dots(arena *scratch, const float *x, int64_t n_x, int64_t ldx, const float *w,
                 int64_t n_w, int64_t ldw, int64_t K, float *y, int64_t ldy);
/* In place: y[i] = by * y[i]; softmax of a row of n. */
void interp_scale_row(double by, int64_t n, float *y);
void interp_softmax_row(int64_t n, float *y);

/* Turns `heads` heads of every token of x in place; false: a position beyond the table, reported.
 */
P4C_CHECKED bool interp_turn(interp_ctx *c, const ir_op *op, const ir_op *table, int64_t heads,
                             int64_t head_dim, int64_t rot, float *x, int64_t ldx);
/* Appends rows of k and v, ldk and ldv apart, to the histories of a layer of a kv value of type kv.
 */
P4C_CHECKED bool interp_append(interp_ctx *c, const ir_op *op, const ir_type *kv, const float *k,
                               int64_t ldk, const float *v, int64_t ldv);

#endif
