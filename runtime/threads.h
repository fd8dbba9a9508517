/* threads.h - a fixed pool of threads that run one job together.
 *
 * The thread that calls rt_pool_run is thread 0 of the job; threads 1 .. n-1 are the pool's.
 * Between jobs they spin for RT_SPIN_NS and then sleep, so that steps that follow each other start
 * within a microsecond and an idle model costs nothing.  Works, more slowly, with more threads than
 * CPUs: then nothing spins.  Waiting: spin on a word, then futex (Drepper, Futexes Are Tricky,
 * section 5).
 */
#ifndef P4C_RUNTIME_THREADS_H
#define P4C_RUNTIME_THREADS_H

#include <stdint.h>

#include "runtime/alloc.h"
#include "runtime/p4c.h"

enum {
    RT_SPIN_NS = 50000, /* a futex round trip costs 5 to 50 us */
    RT_MAX_THREADS = 1024,
};

typedef struct rt_pool rt_pool;
typedef void rt_job_fn(void *context, int thread);
typedef void rt_serial_fn(void *context);

/* n_threads 1 .. RT_MAX_THREADS.  *mem is copied.  ERR_NO_MEMORY, ERR_SYSTEM. */
p4c_status rt_pool_open(const rt_alloc *mem, int n_threads, rt_pool **out, p4c_error *error);
/* No job may be running.  NULL is allowed. */
void rt_pool_close(rt_pool *pool);
int rt_pool_size(const rt_pool *pool);

/* Runs job(context, thread) once on each thread and returns when all are done.  One job at a time:
 * callers take turns. */
void rt_pool_run(rt_pool *pool, rt_job_fn *job, void *context);

/* Inside a job, called by all threads alike: returns when all have arrived.  What any thread wrote
 * before is visible to all behind it.  serial (may be NULL) runs on the last thread to arrive,
 * before any thread returns. */
void rt_pool_barrier(rt_pool *pool, rt_serial_fn *serial, void *context);

/* Monotonic clock. */
uint64_t rt_now_ns(void);

#endif
