/* interp.h - the reference interpreter: runs any graph, before or after any pass, in float32,
 * slowly and obviously.
 *
 * Dot products and sums accumulate in float64 and are rounded once.  Memory: one float32 buffer per
 * live value.  Constants are read through ir/const.h, so files must be mapped.  kv_append rounds
 * keys and values to the element type of the kv value. */
#ifndef P4C_IR_INTERP_H
#define P4C_IR_INTERP_H

#include "ir/ir.h"

/* One sequence's new tokens in a step: tokens first_row .. first_row + n_new of the step, positions
 * n_past .. */
typedef struct interp_seq {
    int64_t first_row, n_new, n_past;
    int id; /* which history: index below n_histories of the state */
} interp_seq;

/* Keys and values of every sequence so far, f32; grows as steps run. */
typedef struct interp_state interp_state;
interp_state *interp_state_new(arena *mem, int n_histories);

/* The sequences' tokens are the step's, each once.  A sequence may start at any n_past up to what
 * its history holds; later positions are overwritten. */

typedef struct interp_step {
    int64_t T, R;
    const int32_t *ids;  /* [T] */
    const int32_t *rows; /* [R] */
    const interp_seq *seqs;
    int64_t n_seqs;
    /* plain tensors for inputs of other roles: f32, by role name */
    int n_named;
    const char *const *name;
    const float *const *value;
} interp_step;

/* Called with each op's value right after it is computed: f32, n floats (state and constants: value
 * NULL). */
typedef void interp_watch(void *context, const ir_op *op, const float *value, int64_t n);

/* Runs one step.  out[i]: the caller's buffer for g->out[i] as f32, as many floats as its type has
 * with T and R of the step; NULL where not wanted (kv has no value); out may be NULL.  scratch is
 * rewound before it returns.  False: reported through g->diag (a graph that does not verify, a
 * weight without bytes, an input that is missing, a token, row or position out of range). */
P4C_CHECKED bool interp_run(const ir_graph *g, interp_state *state, const interp_step *step,
                            arena *scratch, interp_watch *watch, void *context, float **out);

#endif
