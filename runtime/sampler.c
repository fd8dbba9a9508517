/* sampler.c - cuts and draws.  Only as much is sorted as the cuts look at: top_k finds its limit
 * over a heap of k, top_p over a histogram, of which one bucket is sorted. */
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

static void make_heap(candidate *at, int64_t n) {
    for (int64_t i = n / 2; i-- > 0;) sift_down(at, n, i);
}

/* Moves the top behind the n - 1 that stay a heap. */
static void pop(candidate *heap, int64_t n) {
    const candidate top = heap[0];
    heap[0] = heap[n - 1];
    heap[n - 1] = top;
    sift_down(heap, n - 1, 0);
}

/* ---- top_k ---- */

/* The k-th largest of logits[n], k < n, over a heap of k with the smallest on top. */
static float kth_largest(const float *logits, int64_t n, float *heap, int64_t k) {
    for (int64_t i = 0; i < n; i++) {
        if (i >= k && logits[i] <= heap[0]) continue;
        int64_t at;
        if (i < k) { /* a new leaf rises */
            for (at = i; at > 0 && heap[(at - 1) / 2] > logits[i]; at = (at - 1) / 2)
                heap[at] = heap[(at - 1) / 2];
        } else { /* the smallest goes, the hole sinks */
            int64_t child;
            for (at = 0; (child = 2 * at + 1) < k; at = child) {
                if (child + 1 < k && heap[child + 1] < heap[child]) child++;
                if (heap[child] >= logits[i]) break;
                heap[at] = heap[child];
            }
        }
        heap[at] = logits[i];
    }
    return heap[0];
}

/* ---- cuts ---- */

/* at[0 .. n): candidates, by id until top_p moves them.  `sum` is that of p, which is relative to
 * the largest. */
typedef struct pool {
    candidate *at;
    int64_t n;
    double sum;
} pool;

static bool any_nan_or_none(const float *logits, int64_t n, float *largest) {
    bool bad = false;
    *largest = -INFINITY;
    for (int64_t i = 0; i < n; i++) {
        bad |= !(logits[i] < INFINITY);
        *largest = logits[i] > *largest ? logits[i] : *largest;
    }
    return bad;
}

/* Those that top_k leaves, with their p.  false: memory ended. */
static bool fill_pool(const rt_sample_input *in, const float *logits, float largest,
                      const rt_alloc *mem, pool *out) {
    const float t = in->settings->temperature;
    const int64_t k = in->settings->top_k, n = in->n;
    const bool cuts = k > 0 && k < n;
    float least = -INFINITY;
    if (cuts) {
        float *const heap = rt_get(mem, (size_t)k, sizeof *heap);
        if (!heap) return false;
        least = kth_largest(logits, n, heap, k) / t; /* what ties with it stays */
        rt_release(mem, heap);
    }
    int64_t n_left = 0;
    for (int64_t i = 0; i < n; i++) n_left += logits[i] / t >= least;
    candidate *const at = rt_get(mem, (size_t)n_left, sizeof *at);
    if (!at) return false;
    *out = (pool){.at = at};
    for (int64_t i = 0; i < n; i++) {
        if (!(logits[i] / t >= least)) continue;
        const double p = exp((double)(logits[i] / t) - (double)(largest / t));
        at[out->n++] = (candidate){.logit = logits[i], .id = (int32_t)i, .p = p};
        out->sum += p;
    }
    return true;
}

enum { BUCKETS_PER_OCTAVE_LOG2 = 6, N_BUCKETS = 64 << BUCKETS_PER_OCTAVE_LOG2 };

/* Buckets of p, 0 < p <= 1 in descending order; the last takes what is too unlikely to matter. */
static int64_t bucket_of(double p) {
    const double one = 1;
    uint64_t top, bits;
    memcpy(&top, &one, sizeof top);
    memcpy(&bits, &p, sizeof bits);
    const uint64_t b = (top - bits) >> (52 - BUCKETS_PER_OCTAVE_LOG2);
    return b < N_BUCKETS ? (int64_t)b : N_BUCKETS - 1;
}

/* Moves those of buckets below `end` to at[from ..]; returns where the others start. */
static int64_t move_buckets(const pool *p, int64_t from, int64_t end) {
    for (int64_t i = from; i < p->n; i++) {
        if (bucket_of(p->at[i].p) >= end) continue;
        const candidate c = p->at[i];
        p->at[i] = p->at[from];
        p->at[from++] = c;
    }
    return from;
}

/* Keeps the shortest run of the most probable that reaches `wanted`: whole buckets, then some of
 * the bucket that passes it, in descending order. */
static void cut_top_p(pool *p, double wanted) {
    double mass[N_BUCKETS] = {0}, before_it = 0;
    int64_t b = 0;
    for (int64_t i = 0; i < p->n; i++) mass[bucket_of(p->at[i].p)] += p->at[i].p;
    while (b < N_BUCKETS - 1 && before_it + mass[b] < wanted) before_it += mass[b++];
    const int64_t whole = move_buckets(p, 0, b), n = move_buckets(p, whole, b + 1) - whole;
    candidate *const at = p->at + whole;
    int64_t kept = 0;
    make_heap(at, n);
    while (kept < n && (whole + kept == 0 || before_it < wanted)) {
        pop(at, n - kept);
        before_it += at[n - ++kept].p;
    }
    for (int64_t i = 0, k = n - 1; i < kept && i < k; i++, k--) { /* from the end to the front */
        const candidate c = at[k];
        at[k] = at[i];
        at[i] = c;
    }
    p->n = whole + kept;
}

/* All cuts after top_k; sets p of those that stay to their share. */
static void cut(pool *p, const p4c_sampling *s) {
    if (s->top_p < 1) cut_top_p(p, (double)s->top_p * p->sum);
    if (s->min_p > 0) { /* the largest p is 1; it stays */
        int64_t kept = 0;
        for (int64_t i = 0; i < p->n; i++)
            if (p->at[i].p >= (s->min_p < 1 ? (double)s->min_p : 1)) p->at[kept++] = p->at[i];
        p->n = kept;
    }
    p->sum = 0;
    for (int64_t i = 0; i < p->n; i++) p->sum += p->at[i].p;
    for (int64_t i = 0; i < p->n; i++) p->at[i].p /= p->sum;
}

static p4c_status make_pool(const rt_sample_input *in, const rt_alloc *mem, pool *out,
                            p4c_error *error) {
    float *own, largest;
    const float *logits = apply_penalty(in, mem, &own);
    if (!logits) return rt_fail_memory(error, "sampling");
    const bool bad = any_nan_or_none(logits, in->n, &largest);
    if (bad || !(largest > -INFINITY)) {
        rt_release(mem, own);
        return rt_fail(error, P4C_ERR_ARGUMENT, "%s",
                       bad ? "a logit is not a number" : "no token can come");
    }
    if (!isfinite(largest / in->settings->temperature)) {
        rt_release(mem, own);
        return rt_fail(error, P4C_ERR_ARGUMENT, "the temperature is too small for these logits");
    }
    const bool filled = fill_pool(in, logits, largest, mem, out);
    rt_release(mem, own);
    if (!filled) return rt_fail_memory(error, "sampling");
    cut(out, in->settings);
    return P4C_OK;
}

p4c_status rt_sampler_probs(const rt_sample_input *in, const rt_alloc *mem, float *probs,
                            int64_t *n_kept, p4c_error *error) {
    pool p;
    const p4c_status status = make_pool(in, mem, &p, error);
    if (status != P4C_OK) return status;
    memset(probs, 0, (size_t)in->n * sizeof *probs);
    *n_kept = 0;
    for (int64_t i = 0; i < p.n; i++) {
        probs[p.at[i].id] = (float)p.at[i].p;
        *n_kept += p.at[i].p > 0; /* in double: few underflow */
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
    const double wanted = rt_sampler_next(s);
    double sum = 0;
    for (int64_t i = 0; i < p.n && sum <= wanted; i++) {
        sum += p.at[i].p;
        if (p.at[i].p > 0)
            *id = p.at[i].id; /* the last one where rounding leaves the sum below 1 */
    }
    rt_release(mem, p.at);
    return P4C_OK;
}
