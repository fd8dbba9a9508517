/* session.c - sessions: open, fork, truncate, sample. */
#include "runtime/session.h"

#include <string.h>

#include "runtime/fail.h"
#include "runtime/model.h"

/* ---- sampling ---- */

p4c_status rt_default_sampling(const p4c_model *m, p4c_sampling *sampling) {
    const rt_meta *const meta = m->tables.meta;
    if (!sampling) return P4C_ERR_ARGUMENT;
    *sampling = (p4c_sampling){
        .do_sample = meta->do_sample,
        .top_k = meta->top_k,
        .temperature = meta->temperature,
        .top_p = meta->top_p,
        .min_p = meta->min_p,
        .repetition_penalty = meta->repetition_penalty,
    };
    return P4C_OK;
}

/* Written so that NaN is refused. */
static p4c_status check_sampling(const p4c_sampling *s, p4c_error *error) {
    const char *what = NULL;
    if (s->do_sample > 1) what = "do_sample is 0 or 1";
    else if (!(s->temperature > 0 && s->temperature <= 1e30f)) what = "temperature is above 0";
    else if (!(s->top_p > 0 && s->top_p <= 1e30f)) what = "top_p is above 0";
    else if (!(s->min_p >= 0 && s->min_p <= 1)) what = "min_p is 0 to 1";
    else if (!(s->repetition_penalty > 0 && s->repetition_penalty <= 1e30f))
        what = "repetition_penalty is above 0";
    return what ? rt_fail(error, P4C_ERR_ARGUMENT, "%s", what) : P4C_OK;
}

p4c_status rt_session_set_sampling(p4c_session *s, const p4c_sampling *sampling, p4c_error *error) {
    if (!sampling) return rt_fail(error, P4C_ERR_ARGUMENT, "no sampling settings");
    const p4c_status status = check_sampling(sampling, error);
    if (status != P4C_OK) return status;
    s->sampling = *sampling;
    rt_sampler_start(&s->sampler, sampling->seed);
    return P4C_OK;
}

p4c_status rt_session_sample(p4c_session *s, const float *logits, int64_t n_logits, int32_t *id,
                             p4c_error *error) {
    const int64_t vocab = s->model->tables.meta->vocab;
    if (!logits || !id || n_logits != vocab)
        return rt_fail(error, P4C_ERR_ARGUMENT, "sample: %lld logits, the model has %lld",
                       (long long)n_logits, (long long)vocab);
    const rt_sample_input in = {.settings = &s->sampling,
                                .history = s->ids.at,
                                .n_history = (int64_t)s->ids.n,
                                .logits = logits,
                                .n = n_logits};
    return rt_sample(&s->sampler, &in, &s->model->mem, id, error);
}

/* ---- life ---- */

static p4c_session *new_session(p4c_model *m) {
    p4c_session *const s = rt_get(&m->mem, 1, sizeof *s);
    if (!s) return NULL;
    memset(s, 0, sizeof *s);
    s->api = m->api;
    s->model = m;
    atomic_init(&s->cancel, 0);
    rt_model_hold(m);
    rt_count(&m->counters->n_sessions, 1);
    return s;
}

void rt_session_close(p4c_session *s) {
    p4c_model *const m = s->model;
    rt_kv_drop(m->kv, s->block, s->n_blocks);
    rt_release(&m->mem, s->block);
    rt_release(&m->mem, s->ids.at);
    rt_release(&m->mem, s);
    atomic_fetch_sub_explicit(&m->counters->n_sessions, 1, memory_order_relaxed);
    rt_model_drop(m);
}

p4c_status rt_session_open(p4c_model *m, p4c_session **out, p4c_error *error) {
    if (!out) return rt_fail(error, P4C_ERR_ARGUMENT, "no place for the session");
    p4c_session *const s = new_session(m);
    if (!s) return rt_fail_memory(error, "a session");
    rt_default_sampling(m, &s->sampling);
    rt_sampler_start(&s->sampler, s->sampling.seed);
    *out = s;
    return P4C_OK;
}

p4c_status rt_session_fork(const p4c_session *s, p4c_session **out, p4c_error *error) {
    if (!out) return rt_fail(error, P4C_ERR_ARGUMENT, "no place for the session");
    p4c_model *const m = s->model;
    p4c_session *const f = new_session(m);
    if (!f) return rt_fail_memory(error, "a session");
    f->sampling = s->sampling;
    f->sampler = s->sampler;
    if (s->ids.n) {
        f->ids.at = rt_get(&m->mem, s->ids.n, sizeof *f->ids.at);
        f->block = rt_get(&m->mem, s->n_blocks, sizeof *f->block);
        if (!f->ids.at || !f->block) {
            rt_session_close(f);
            return rt_fail_memory(error, "a session");
        }
        memcpy(f->ids.at, s->ids.at, s->ids.n * sizeof *f->ids.at);
        memcpy(f->block, s->block, s->n_blocks * sizeof *f->block);
        f->ids.n = f->ids.cap = s->ids.n;
        f->n_blocks = f->cap_blocks = s->n_blocks;
        rt_kv_share(m->kv, f->block, f->n_blocks);
    }
    *out = f;
    return P4C_OK;
}

p4c_status rt_session_truncate(p4c_session *s, int64_t n_tokens, p4c_error *error) {
    const int64_t n = (int64_t)s->ids.n;
    if (n_tokens < 0 || n_tokens > n)
        return rt_fail_numbers(error, P4C_ERR_ARGUMENT, n_tokens, n,
                               "cannot keep %lld of %lld tokens", (long long)n_tokens,
                               (long long)n);
    const size_t keep = rt_kv_blocks_for((uint64_t)n_tokens);
    if (s->n_blocks > keep) rt_kv_drop(s->model->kv, s->block + keep, s->n_blocks - keep);
    s->n_blocks = keep;
    s->ids.n = (size_t)n_tokens;
    return P4C_OK;
}

const int32_t *rt_session_ids(const p4c_session *s, int64_t *n_ids) {
    if (n_ids) *n_ids = (int64_t)s->ids.n;
    return s->ids.at;
}

/* The wish first: who sees the count sees the wish. */
void rt_session_cancel(p4c_session *s) {
    atomic_store(&s->cancel, 1);
    atomic_fetch_add(&s->model->n_cancels, 1);
}

void rt_session_clear_cancel(p4c_session *s) { atomic_store(&s->cancel, 0); }
