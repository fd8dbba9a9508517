/* sampler.h - the next token, drawn as Hugging Face's generate() draws it.
 *
 * Order: repetition penalty (each distinct token of the history once: a positive logit is divided,
 * a negative one multiplied), temperature, top_k (all logits >= the k-th stay, ties too), top_p (a
 * token stays if the sum of the more probable ones is below top_p; at least one stays), min_p
 * (stays if p >= min_p * max p over what is left), softmax. Source: transformers 5.23,
 * generation/logits_process.py.  Sums are in double.
 *
 * Random numbers: draw i of seed s is splitmix64's output function of s + (i + 1) * golden ratio
 * (Steele, Lea, Flood 2014), its upper 53 bits as a fraction; the same on every machine. */
#ifndef P4C_RUNTIME_SAMPLER_H
#define P4C_RUNTIME_SAMPLER_H

#include "runtime/alloc.h"
#include "runtime/p4c.h"

/* Random state of a session: copying it forks the sequence of draws. */
typedef struct rt_sampler {
    uint64_t seed, n_drawn;
} rt_sampler;

void rt_sampler_start(rt_sampler *s, uint64_t seed);
/* Uniform in [0, 1). */
double rt_sampler_next(rt_sampler *s);

/* What a draw looks at. */
typedef struct rt_sample_input {
    const p4c_sampling *settings;
    const int32_t *history; /* [n_history] tokens of the sequence so far, each 0 .. n - 1 */
    int64_t n_history;
    const float *logits; /* [n]; -inf is a token that cannot come */
    int64_t n;           /* 1 .. 2^31 - 1 */
} rt_sample_input;

/* The distribution: probs[n], of which *n_kept have a share (in double).  ERR_NO_MEMORY;
 * ERR_ARGUMENT: NaN or +inf among the logits, or nothing but -inf. */
p4c_status rt_sampler_probs(const rt_sample_input *in, const rt_alloc *mem, float *probs,
                            int64_t *n_kept, p4c_error *error);
/* Draws from it; without do_sample the token of the largest logit after the penalty, the lowest id
 * of equal ones. */
p4c_status rt_sample(rt_sampler *s, const rt_sample_input *in, const rt_alloc *mem, int32_t *id,
                     p4c_error *error);

#endif
