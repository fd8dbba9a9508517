/* session.h - one sequence: its ids, its KV blocks, its sampler. */
#ifndef P4C_RUNTIME_SESSION_H
#define P4C_RUNTIME_SESSION_H

#include <stdatomic.h>
#include <stdbool.h>

#include "runtime/alloc.h"
#include "runtime/kv.h"
#include "runtime/p4c.h"
#include "runtime/sampler.h"

struct p4c_session {
    const p4c_api *api; /* first: p4c_api_of() */
    p4c_model *model;
    rt_ids ids;                  /* evaluated: positions 0 .. ids.n - 1 are in the blocks */
    rt_kv_block **block;         /* [n_blocks] */
    size_t n_blocks, cap_blocks; /* enough for ids.n positions; more while an evaluation runs */
    p4c_sampling sampling;
    rt_sampler sampler;
    atomic_int cancel; /* a wish not yet obeyed */

    /* of the evaluation at hand; guarded by the model's eval_lock */
    uint64_t eval_serial; /* which one: tells a session named twice */
    int64_t n_done;       /* new tokens that went through a step */
    size_t n_kept;        /* blocks to go back to */
};

p4c_status rt_session_open(p4c_model *m, p4c_session **out, p4c_error *error);
p4c_status rt_session_fork(const p4c_session *s, p4c_session **out, p4c_error *error);
p4c_status rt_session_truncate(p4c_session *s, int64_t n_tokens, p4c_error *error);
const int32_t *rt_session_ids(const p4c_session *s, int64_t *n_ids);
void rt_session_close(p4c_session *s);
void rt_session_cancel(p4c_session *s);
void rt_session_clear_cancel(p4c_session *s);
p4c_status rt_session_set_sampling(p4c_session *s, const p4c_sampling *sampling, p4c_error *error);
p4c_status rt_session_sample(p4c_session *s, const float *logits, int64_t n_logits, int32_t *id,
                             p4c_error *error);
p4c_status rt_default_sampling(const p4c_model *m, p4c_sampling *sampling);

#endif
