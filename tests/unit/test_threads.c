#include "runtime/threads.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#include "tests/unit/fake_model.h"
#include "tests/unit/unit.h"

/* Linked with --wrap=pthread_create: the call fails once *create_left reaches 0. */
static int create_left = -1;
int __real_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *), void *arg);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *), void *arg);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *), void *arg) {
    if (create_left == 0) return EAGAIN;
    if (create_left > 0) create_left--;
    return __real_pthread_create(t, a, fn, arg);
}

static const int SIZES[] = {1, 2, 3, 9};
enum { MAX_THREADS = 9 };

static rt_pool *open_pool(fake_memory *memory, int n_threads) {
    const p4c_alloc hooks = fake_alloc(memory);
    const rt_alloc mem = {hooks.alloc, hooks.free, hooks.ctx};
    rt_pool *pool = NULL;
    CU_ASSERT_EQUAL_FATAL(rt_pool_open(&mem, n_threads, &pool, NULL), P4C_OK);
    CU_ASSERT_EQUAL(rt_pool_size(pool), n_threads);
    return pool;
}

static void count_run(void *context, int thread) {
    int *const runs = context; /* each thread has its own place: TSan would see a double run */
    runs[thread]++;
}

static void every_thread_runs_each_job_once(void) {
    for (size_t i = 0; i < COUNT_OF(SIZES); i++) {
        fake_memory memory = {0};
        rt_pool *const pool = open_pool(&memory, SIZES[i]);
        int runs[MAX_THREADS] = {0};
        enum { JOBS = 300 };
        for (int j = 0; j < JOBS; j++) rt_pool_run(pool, count_run, runs);
        for (int t = 0; t < MAX_THREADS; t++) CU_ASSERT_EQUAL(runs[t], t < SIZES[i] ? JOBS : 0);
        rt_pool_close(pool);
        CU_ASSERT_EQUAL(memory.n_live, 0);
    }
}

static void jobs_start_on_sleeping_threads(void) {
    fake_memory memory = {0};
    rt_pool *const pool = open_pool(&memory, 2);
    int runs[MAX_THREADS] = {0};
    for (int j = 0; j < 20; j++) {
        const uint64_t start = rt_now_ns();
        while (rt_now_ns() - start < 4 * RT_SPIN_NS) continue;
        rt_pool_run(pool, count_run, runs);
    }
    CU_ASSERT_EQUAL(runs[0], 20);
    CU_ASSERT_EQUAL(runs[1], 20);
    rt_pool_close(pool);
}

typedef struct rounds {
    rt_pool *pool;
    int n_threads, n_rounds;
    int at[MAX_THREADS]; /* plain: only the barrier makes this safe */
    int n_serial;
    atomic_int n_wrong;
} rounds;

static void serial(void *context) {
    rounds *const r = context;
    for (int t = 0; t < r->n_threads; t++)
        if (r->at[t] != r->n_serial) atomic_fetch_add(&r->n_wrong, 1);
    r->n_serial++;
}

static void go_round(void *context, int thread) {
    rounds *const r = context;
    for (int i = 0; i < r->n_rounds; i++) {
        r->at[thread] = i;
        rt_pool_barrier(r->pool, serial, r);
        if (r->n_serial != i + 1) atomic_fetch_add(&r->n_wrong, 1);
        for (int t = 0; t < r->n_threads; t++)
            if (r->at[t] != i) atomic_fetch_add(&r->n_wrong, 1);
        rt_pool_barrier(r->pool, NULL, NULL);
    }
}

static void a_barrier_waits_for_all_and_runs_its_serial_part_once(void) {
    for (size_t i = 0; i < COUNT_OF(SIZES); i++) {
        fake_memory memory = {0};
        rt_pool *const pool = open_pool(&memory, SIZES[i]);
        rounds r = {.pool = pool, .n_threads = SIZES[i], .n_rounds = 500};
        rt_pool_run(pool, go_round, &r);
        CU_ASSERT_EQUAL(r.n_wrong, 0);
        CU_ASSERT_EQUAL(r.n_serial, 500);
        rt_pool_close(pool);
    }
}

static void check_mask(void *context, int thread) {
    atomic_int *const n_open = context;
    sigset_t mask;
    pthread_sigmask(SIG_BLOCK, NULL, &mask);
    if (thread && !sigismember(&mask, SIGINT)) atomic_fetch_add(n_open, 1);
}

static void signals_are_left_to_the_application(void) {
    fake_memory memory = {0};
    rt_pool *const pool = open_pool(&memory, 3);
    atomic_int n_open = 0;
    rt_pool_run(pool, check_mask, &n_open);
    CU_ASSERT_EQUAL(n_open, 0);
    sigset_t mask;
    pthread_sigmask(SIG_BLOCK, NULL, &mask);
    CU_ASSERT(!sigismember(&mask, SIGINT)); /* ours is as before */
    rt_pool_close(pool);
}

static void a_refused_thread_is_reported_and_the_others_end(void) {
    for (int n = 0; n < 3; n++) {
        fake_memory memory = {0};
        const p4c_alloc hooks = fake_alloc(&memory);
        const rt_alloc mem = {hooks.alloc, hooks.free, hooks.ctx};
        rt_pool *pool = NULL;
        p4c_error error = {0};
        create_left = n;
        CU_ASSERT_EQUAL(rt_pool_open(&mem, 4, &pool, &error), P4C_ERR_SYSTEM);
        create_left = -1;
        char want[64];
        snprintf(want, sizeof want, "cannot start thread %d of 4", n + 2);
        CU_ASSERT_STRING_EQUAL(error.text, want);
        CU_ASSERT_PTR_NULL(pool);
        CU_ASSERT_EQUAL(memory.n_live, 0);
    }
}

static void failing_memory_is_reported(void) {
    for (long n = 1; n <= 2; n++) {
        fake_memory memory = {.fail_at = n};
        const p4c_alloc hooks = fake_alloc(&memory);
        const rt_alloc mem = {hooks.alloc, hooks.free, hooks.ctx};
        rt_pool *pool = NULL;
        CU_ASSERT_EQUAL(rt_pool_open(&mem, 4, &pool, NULL), P4C_ERR_NO_MEMORY);
        CU_ASSERT_EQUAL(memory.n_live, 0);
    }
    rt_pool_close(NULL);
}

UNIT_MAIN("threads", {"every thread runs each job once", every_thread_runs_each_job_once},
          {"jobs start on sleeping threads", jobs_start_on_sleeping_threads},
          {"a barrier waits for all", a_barrier_waits_for_all_and_runs_its_serial_part_once},
          {"signals are left to the application", signals_are_left_to_the_application},
          {"a refused thread is reported", a_refused_thread_is_reported_and_the_others_end},
          {"failing memory is reported", failing_memory_is_reported})
