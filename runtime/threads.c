/* threads.c - worker pool with a spinning, then sleeping barrier. */
#include "runtime/threads.h"

#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/cpuinfo.h"
#include "runtime/fail.h"
#include "runtime/fpmode.h"

/* A word that threads wait on to change; on cache lines of its own. */
typedef struct signal_word {
    char pad0[64];
    atomic_uint value, sleepers;
    char pad1[64];
} signal_word;

typedef struct worker {
    rt_pool *pool;
    int index;
    pthread_t thread;
} worker;

struct rt_pool {
    rt_alloc mem;
    int n_threads;
    uint32_t spin_ns;
    worker *worker; /* [n_threads - 1]; worker i is thread i + 1 */
    int n_started;
    bool closing; /* written before epoch changes */
    rt_job_fn *job;
    void *context;
    signal_word epoch; /* one more for each job */
    signal_word phase; /* one more for each barrier */
    atomic_uint arrived;
    char pad[64];
};

uint64_t rt_now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* atomic_uint and the kernel's u32 are the same object: lock-free and of equal size. */
_Static_assert(sizeof(atomic_uint) == 4, "futex words are 32 bits");
_Static_assert(ATOMIC_INT_LOCK_FREE == 2, "futex words are plain memory");

/* Sleepers count themselves before they look at the value a last time, and the changer changes the
 * value before it looks at the count: with sequential consistency one of them sees the other. */
static void wait_change(signal_word *w, unsigned old, uint32_t spin_ns) {
    if (spin_ns) {
        const uint64_t start = rt_now_ns();
        do {
            for (int i = 0; i < 32; i++) {
                if (atomic_load_explicit(&w->value, memory_order_acquire) != old) return;
                rt_cpu_pause();
            }
        } while (rt_now_ns() - start < spin_ns);
    }
    atomic_fetch_add(&w->sleepers, 1);
    while (atomic_load(&w->value) == old)
        syscall(SYS_futex, &w->value, FUTEX_WAIT_PRIVATE, old, NULL, NULL, 0);
    atomic_fetch_sub(&w->sleepers, 1);
}

static void change(signal_word *w) {
    atomic_fetch_add(&w->value, 1);
    if (atomic_load(&w->sleepers))
        syscall(SYS_futex, &w->value, FUTEX_WAKE_PRIVATE, RT_MAX_THREADS, NULL, NULL, 0);
}

void rt_pool_barrier(rt_pool *pool, rt_serial_fn *serial, void *context) {
    const unsigned phase = atomic_load_explicit(&pool->phase.value, memory_order_relaxed);
    const unsigned arrived = atomic_fetch_add_explicit(&pool->arrived, 1, memory_order_acq_rel);
    if (arrived + 1 == (unsigned)pool->n_threads) {
        if (serial) serial(context);
        atomic_store_explicit(&pool->arrived, 0, memory_order_relaxed);
        if (pool->n_threads > 1) change(&pool->phase);
    } else {
        wait_change(&pool->phase, phase, pool->spin_ns);
    }
}

static void *work(void *argument) {
    const worker *self = argument;
    rt_pool *const pool = self->pool;
    for (unsigned seen = 0;; seen++) {
        wait_change(&pool->epoch, seen, pool->spin_ns);
        if (pool->closing) return NULL;
        pool->job(pool->context, self->index);
        rt_pool_barrier(pool, NULL, NULL);
    }
}

void rt_pool_run(rt_pool *pool, rt_job_fn *job, void *context) {
    pool->job = job;
    pool->context = context;
    if (pool->n_threads > 1) change(&pool->epoch);
    job(context, 0);
    rt_pool_barrier(pool, NULL, NULL);
}

/* Signals are for the application's threads. */
static bool start(worker *w) {
    sigset_t all, before;
    sigfillset(&all);
    if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0) return false;
    const bool ok = pthread_create(&w->thread, NULL, work, w) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return ok;
}

p4c_status rt_pool_open(const rt_alloc *mem, int n_threads, rt_pool **out, p4c_error *error) {
    rt_pool *const pool = rt_get(mem, 1, sizeof *pool);
    if (!pool) return rt_fail_memory(error, "the thread pool");
    memset(pool, 0, sizeof *pool);
    pool->mem = *mem;
    pool->n_threads = n_threads;
    pool->spin_ns = n_threads > cpu_count() ? 0 : RT_SPIN_NS;
    if (n_threads > 1) {
        pool->worker = rt_get(mem, (size_t)n_threads - 1, sizeof *pool->worker);
        if (!pool->worker) {
            rt_pool_close(pool);
            return rt_fail_memory(error, "the thread pool");
        }
    }
    for (int i = 1; i < n_threads; i++) {
        worker *const w = &pool->worker[i - 1];
        *w = (worker){.pool = pool, .index = i};
        if (!start(w)) {
            rt_pool_close(pool);
            return rt_fail(error, P4C_ERR_SYSTEM, "cannot start thread %d of %d", i + 1, n_threads);
        }
        pool->n_started++;
    }
    *out = pool;
    return P4C_OK;
}

void rt_pool_close(rt_pool *pool) {
    if (!pool) return;
    pool->closing = true;
    if (pool->n_started) change(&pool->epoch);
    for (int i = 0; i < pool->n_started; i++) pthread_join(pool->worker[i].thread, NULL);
    rt_release(&pool->mem, pool->worker);
    const rt_alloc mem = pool->mem;
    rt_release(&mem, pool);
}

int rt_pool_size(const rt_pool *pool) { return pool->n_threads; }
