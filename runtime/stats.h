/* stats.h - counters of a model since it was opened; read from any thread. */
#ifndef P4C_RUNTIME_STATS_H
#define P4C_RUNTIME_STATS_H

#include <stdatomic.h>
#include <stdint.h>

typedef struct rt_counters {
    atomic_ullong n_evals, n_steps, n_tokens, n_rows, eval_ns, n_sessions;
} rt_counters;

static inline void rt_count(atomic_ullong *counter, uint64_t n) {
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

#endif
