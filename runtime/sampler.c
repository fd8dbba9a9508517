/* sampler.c - cuts and draws over a heap of candidates: only as much is sorted as the cuts look at.
 */
#include "runtime/sampler.h"

#include <math.h>
#include <string.h>

#include "runtime/fail.h"

typedef struct candidate {
    float logit;
    int32_t id;
    double p; /* exp(logit - largest), then the share */
} candidate;

void rt_sampler_start(rt_sampler *s, uint64_t seed) { *s = (rt_sampler){.seed = seed}; }

double rt_sampler_next(rt_sampler *s) {
    uint64_t z = s->seed + ++s->n_drawn * 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (double)((z ^ z >> 31) >> 11) * 0x1p-53;
}

/* ---- repetition penalty ---- */

static bool has_penalty(const rt_sample_input *in) {
    return in->settings->repetition_penalty != 1 && in->n_history > 0;
}

static float penalized(float logit, float penalty) {
    return logit > 0 ? logit / penalty : logit * penalty;
}

/* Logits after the penalty; *own is what must be released (NULL: the caller's are used as they
 * are). */
static const float *apply_penalty(const rt_sample_input *in, const rt_alloc *mem, float **own) {
    *own = NULL;
    if (!has_penalty(in)) return in->logits;
    float *const copy = rt_get(mem, (size_t)in->n, sizeof *copy);
    if (!copy) return NULL;
    memcpy(copy, in->logits, (size_t)in->n * sizeof *copy);
    for (int64_t i = 0; i < in->n_history; i++) {
        const int32_t id = in->history[i]; /* from the original: once, however often it occurs */
        if (id >= 0 && id < in->n)
            copy[id] = penalized(in->logits[id], in->settings->repetition_penalty);
    }
    return *own = copy;
}

/* ---- a heap with the most probable candidate on top ---- */

static bool before(const candidate *a, const candidate *b) {
    return a->logit > b->logit || (a->logit == b->logit && a->id < b->id);
}

static void sift_down(candidate *heap, int64_t n, int64_t i) {
    const candidate moving = heap[i];
    for (int64_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && before(&heap[child + 1], &heap[child])) child++;
        if (!before(&heap[child], &moving)) break;
        heap[i] = heap[child];
    }
    heap[i] = moving;
}

/* Moves the top behind the n - 1 that stay a heap. */
static candidate pop(candidate *heap, int64_t n) {
    const candidate top = heap[0];
    heap[0] = heap[n - 1];
    heap[n - 1] = top;
    sift_down(heap, n - 1, 0);
    return top;
}

/* ---- cuts ---- */

/* All candidates, heap[0 .. n); the popped ones stand in descending order from the end. */
typedef struct pool {
    candidate *at;
    int64_t n_all, n_heap;
} pool;

static candidate *popped(const pool *p, int64_t i) { return &p->at[p->n_all - 1 - i]; }
static int64_t n_popped(const pool *p) { return p->n_all - p->n_heap; }

static const candidate *take(pool *p) {
    pop(p->at, p->n_heap--);
    return popped(p, n_popped(p) - 1);
}

/* The i-th of `kept` candidates that stay. */
static candidate *stays(const pool *p, int64_t kept, int64_t i) {
    return kept == p->n_all ? &p->at[i] : popped(p, i);
}

/* Number of candidates that stay.  Sets p of those to their share. */
static int64_t cut(pool *p, const p4c_sampling *s, float temperature) {
    const float largest = take(p)->logit;
    int64_t limit = p->n_all;
    if (s->top_k && s->top_k < p->n_all) {
        while (n_popped(p) < (int64_t)s->top_k) take(p);
        const float last = popped(p, n_popped(p) - 1)->logit;
        while (p->n_heap && p->at[0].logit / temperature >= last / temperature) take(p);
        limit = n_popped(p);
    }
    /* shares among what top_k left */
    double sum = 0;
    for (int64_t i = 0; i < p->n_all; i++) {
        candidate *const c = &p->at[i];
        const bool in = limit == p->n_all || i >= p->n_heap;
        c->p = in ? exp((double)(c->logit / temperature) - (double)(largest / temperature)) : 0;
        sum += c->p;
    }
    int64_t kept = limit;
    if (s->top_p < 1) {
        double before_it = 0;
        for (kept = 0; kept < limit; kept++) {
            if (kept && before_it >= (double)s->top_p * sum) break;
            if (kept >= n_popped(p)) take(p);
            before_it += popped(p, kept)->p;
        }
    }
    if (s->min_p > 0) {
        const double least = (double)s->min_p * popped(p, 0)->p;
        int64_t i = 0;
        for (; i < kept; i++) {
            if (i >= n_popped(p)) take(p);
            if (popped(p, i)->p < least) break;
        }
        kept = i > 0 ? i : 1;
    }
    /* nothing cut: no order is needed */
    while (kept < p->n_all && n_popped(p) < kept) take(p);
    sum = 0;
    for (int64_t i = 0; i < kept; i++) sum += stays(p, kept, i)->p;
    for (int64_t i = 0; i < kept; i++) stays(p, kept, i)->p /= sum;
    return kept;
}

static p4c_status make_pool(const rt_sample_input *in, const rt_alloc *mem, pool *out,
                            p4c_error *error) {
    float *own;
    const float *logits = apply_penalty(in, mem, &own);
    candidate *const at = logits ? rt_get(mem, (size_t)in->n, sizeof *at) : NULL;
    if (!at) {
        rt_release(mem, own);
        return rt_fail_memory(error, "sampling");
    }
    bool any = false, bad = false;
    for (int64_t i = 0; i < in->n; i++) {
        at[i] = (candidate){.logit = logits[i], .id = (int32_t)i};
        any |= logits[i] > -INFINITY;
        bad |= !(logits[i] < INFINITY);
    }
    rt_release(mem, own);
    if (bad || !any) {
        rt_release(mem, at);
        return rt_fail(error, P4C_ERR_ARGUMENT, "%s",
                       bad ? "a logit is not a number" : "no token can come");
    }
    *out = (pool){at, in->n, in->n};
    for (int64_t i = in->n / 2; i-- > 0;) sift_down(at, in->n, i);
    return P4C_OK;
}

p4c_status rt_sampler_probs(const rt_sample_input *in, const rt_alloc *mem, float *probs,
                            int64_t *n_kept, p4c_error *error) {
    pool p;
    const p4c_status status = make_pool(in, mem, &p, error);
    if (status != P4C_OK) return status;
    const int64_t n = cut(&p, in->settings, in->settings->temperature);
    memset(probs, 0, (size_t)in->n * sizeof *probs);
    *n_kept = 0;
    for (int64_t i = 0; i < n; i++) {
        const candidate *c = stays(&p, n, i);
        probs[c->id] = (float)c->p;
        *n_kept += c->p > 0; /* in double: few underflow */
    }
    rt_release(mem, p.at);
    return P4C_OK;
}

/* ---- draws ---- */

/* The largest logit after the penalty, without sorting anything. */
static p4c_status greedy(const rt_sample_input *in, const rt_alloc *mem, int32_t *id,
                         p4c_error *error) {
    float *own;
    const float *logits = apply_penalty(in, mem, &own);
    if (!logits) return rt_fail_memory(error, "sampling");
    int64_t best = 0;
    bool bad = false;
    for (int64_t i = 0; i < in->n; i++) {
        if (logits[i] > logits[best]) best = i;
        bad |= logits[i] != logits[i];
    }
    rt_release(mem, own);
    if (bad) return rt_fail(error, P4C_ERR_ARGUMENT, "a logit is not a number");
    *id = (int32_t)best;
    return P4C_OK;
}

p4c_status rt_sample(rt_sampler *s, const rt_sample_input *in, const rt_alloc *mem, int32_t *id,
                     p4c_error *error) {
    if (!in->settings->do_sample) return greedy(in, mem, id, error);
    pool p;
    const p4c_status status = make_pool(in, mem, &p, error);
    if (status != P4C_OK) return status;
    const int64_t n = cut(&p, in->settings, in->settings->temperature);
    const double wanted = rt_sampler_next(s);
    double sum = 0;
    for (int64_t i = 0; i < n && sum <= wanted; i++) {
        const candidate *c = stays(&p, n, i);
        sum += c->p;
        if (c->p > 0) *id = c->id; /* the last one where rounding leaves the sum below 1 */
    }
    rt_release(mem, p.at);
    return P4C_OK;
}
