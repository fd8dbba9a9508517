/* step_cpu.c - the plan walker. */
#include "runtime/step_cpu.h"

#include <sched.h>
#include <stdatomic.h>

#include "runtime/dummy.h"
#include "runtime/fail.h"
#include "runtime/fpmode.h"
#include "runtime/pages.h"
#include "runtime/threads.h"

/* A launch with everything looked up that does not change from step to step. */
typedef struct bound_launch {
    const rt_kernel_entry *kernel[RT_N_CLASSES];
    void *operand[RT_MAX_OPERANDS];
    const rt_launch *launch;
} bound_launch;

/* A place in bound_launch.operand that holds the step's logits. */
typedef void **logits_place;

/* Where a launch stands in the step at hand.  Threads take its units in pieces and count what they
 * finished: a barrier waits for the work, not for the threads, so one that the system has put aside
 * holds up nobody. */
typedef struct progress {
    atomic_llong next, done; /* units handed out (more than there are: none left), units finished */
    char pad[64 - 2 * sizeof(atomic_llong)];
} progress;
enum { PIECES_PER_THREAD = 4, SPINS = 2000 };

typedef struct thread_units {
    atomic_ullong n;
    char pad[64 - sizeof(atomic_ullong)];
} thread_units;

struct rt_executor {
    rt_alloc mem;
    const rt_tables *tables;
    rt_pool *pool;
    bound_launch *launch; /* [n_launches] */
    logits_place *place;  /* [n_places] */
    uint32_t n_launches, n_places;
    uint8_t *arena, *scratch, *made_up;
    uint64_t arena_bytes, scratch_bytes, scratch_stride, made_up_bytes;
    thread_units *units; /* [threads] */
    /* the step at hand */
    const rt_step_run *run;
    progress *progress; /* [n_launches] */
    atomic_bool stop;
};

/* ---- opening ---- */

static uint64_t round_up(uint64_t n, uint64_t to) { return (n + to - 1) / to * to; }

static void *place_of(rt_executor *x, const uint8_t *weights, const rt_operand *o) {
    switch (o->space) {
    case RT_SPACE_arena:
        return x->arena + o->offset;
    case RT_SPACE_weights:
        return (void *)(uintptr_t)(weights + o->offset); /* kernels only read */
    case RT_SPACE_number:
        return (void *)(uintptr_t)o->offset;
    default:
        return NULL;
    }
}

static bool bind(rt_executor *x, const rt_variant *variant, const uint8_t *weights) {
    const rt_tables *const t = x->tables;
    size_t n_places = 0;
    for (uint32_t i = 0; i < x->n_launches; i++)
        for (uint32_t o = 0; o < t->launch[i].n_operands; o++)
            n_places += t->launch[i].operand[o].space == RT_SPACE_logits;
    x->launch = rt_get(&x->mem, (size_t)x->n_launches + 1, sizeof *x->launch);
    x->place = rt_get(&x->mem, n_places + 1, sizeof *x->place);
    if (!x->launch || !x->place) return false;
    for (uint32_t i = 0; i < x->n_launches; i++) {
        const rt_launch *const l = &t->launch[i];
        bound_launch *const b = &x->launch[i];
        *b = (bound_launch){.launch = l};
        for (int c = 0; c < RT_N_CLASSES; c++) b->kernel[c] = &variant->kernels[l->kernel[c]];
        for (uint32_t o = 0; o < l->n_operands; o++) {
            b->operand[o] = place_of(x, weights, &l->operand[o]);
            if (l->operand[o].space == RT_SPACE_logits) x->place[x->n_places++] = &b->operand[o];
        }
    }
    return true;
}

/* Entries are handed out in turn: they are many, and the large ones stand apart. */
static void make_up(void *context, int thread) {
    rt_executor *const x = context;
    const uint64_t step = (uint64_t)rt_pool_size(x->pool);
    for (uint64_t i = (uint64_t)thread; i < x->tables->n_dummy; i += step)
        rt_dummy_fill(&x->tables->dummy[i], x->tables->meta->dummy_seed, x->made_up);
}

p4c_status rt_exec_open(const rt_alloc *mem, const rt_tables *tables, const rt_variant *variant,
                        int n_threads, rt_executor **out, p4c_error *error) {
    rt_executor *const x = rt_get(mem, 1, sizeof *x);
    if (!x) return rt_fail_memory(error, "the plan");
    memset(x, 0, sizeof *x);
    x->mem = *mem;
    x->tables = tables;
    x->n_launches = tables->plan->n_launches;
    x->arena_bytes = round_up(tables->plan->arena_bytes + 1, 64);
    x->scratch_stride = round_up(tables->plan->scratch_bytes + 1, 4096); /* no shared lines */
    x->scratch_bytes = x->scratch_stride * (uint64_t)n_threads;
    const uint8_t *weights = tables->weights;
    if (tables->n_dummy) {
        x->made_up_bytes = tables->weights_bytes;
        x->made_up = rt_pages_get(x->made_up_bytes);
        weights = x->made_up;
    }
    x->arena = rt_pages_get(x->arena_bytes);
    x->scratch = rt_pages_get(x->scratch_bytes);
    x->units = rt_get(mem, (size_t)n_threads, sizeof *x->units);
    x->progress = rt_get(mem, (size_t)x->n_launches + 1, sizeof *x->progress);
    p4c_status s = P4C_OK;
    if (!x->arena || !x->scratch || !x->units || !x->progress || (tables->n_dummy && !weights) ||
        !bind(x, variant, weights))
        s = rt_fail_memory(error, "the plan");
    else s = rt_pool_open(mem, n_threads, &x->pool, error);
    if (s != P4C_OK) {
        rt_exec_close(x);
        return s;
    }
    for (int i = 0; i < n_threads; i++) atomic_init(&x->units[i].n, 0);
    if (tables->n_dummy) rt_pool_run(x->pool, make_up, x);
    *out = x;
    return P4C_OK;
}

void rt_exec_close(rt_executor *x) {
    if (!x) return;
    rt_pool_close(x->pool);
    rt_pages_put(x->arena, x->arena_bytes);
    rt_pages_put(x->scratch, x->scratch_bytes);
    rt_pages_put(x->made_up, x->made_up_bytes);
    rt_release(&x->mem, x->units);
    rt_release(&x->mem, x->progress);
    rt_release(&x->mem, x->place);
    rt_release(&x->mem, x->launch);
    const rt_alloc mem = x->mem;
    rt_release(&mem, x);
}

int rt_exec_threads(const rt_executor *x) { return rt_pool_size(x->pool); }

void rt_exec_units(const rt_executor *x, uint64_t *units, uint32_t n) {
    const uint32_t n_threads = (uint32_t)rt_pool_size(x->pool);
    for (uint32_t i = 0; i < n && i < n_threads; i++)
        units[i] = atomic_load_explicit(&x->units[i].n, memory_order_relaxed);
}

/* ---- running ---- */

/* Tokens or rows that a launch covers in this step. */
static int64_t extent(const rt_executor *x, const rt_launch *l) {
    return l->n_is_rows ? x->run->step->R : x->run->step->T;
}

static const rt_kernel_entry *kernel_for(const bound_launch *b, int64_t n) {
    return b->kernel[n == 1 ? 0 : n <= 8 ? 1 : 2];
}

static int64_t units_of(const rt_kernel_entry *k, int64_t n) {
    return k->per_token ? k->units * n : k->units;
}

/* Takes pieces of a launch until none is left; returns this thread's work units. */
static uint64_t run_share(rt_executor *x, uint32_t index, int thread, int n_threads) {
    const bound_launch *const b = &x->launch[index];
    const int64_t n = extent(x, b->launch);
    if (!n) return 0;
    const rt_kernel_entry *const k = kernel_for(b, n);
    progress *const p = &x->progress[index];
    const int64_t units = units_of(k, n), pieces = (int64_t)n_threads * PIECES_PER_THREAD;
    const int64_t piece = n_threads == 1 ? units : (units + pieces - 1) / pieces;
    uint64_t taken = 0;
    while (atomic_load_explicit(&p->next, memory_order_relaxed) < units) {
        const int64_t begin = atomic_fetch_add_explicit(&p->next, piece, memory_order_relaxed);
        if (begin >= units) break;
        const int64_t end = begin + piece < units ? begin + piece : units;
        k->fn(x->run->step, b->operand, n, begin, end,
              x->scratch + x->scratch_stride * (uint64_t)thread);
        atomic_fetch_add_explicit(&p->done, end - begin, memory_order_release);
        taken += (uint64_t)(end - begin);
    }
    return taken;
}

static bool is_done(const rt_executor *x, uint32_t index) {
    const int64_t n = extent(x, x->launch[index].launch);
    return !n || atomic_load_explicit(&x->progress[index].done, memory_order_acquire) ==
                     units_of(kernel_for(&x->launch[index], n), n);
}

/* Returns when launches from .. to are complete; false: the step is to stop. */
static bool wait_for(rt_executor *x, uint32_t from, uint32_t to, int thread) {
    if (!thread && x->run->is_cancelled && x->run->is_cancelled(x->run->context))
        atomic_store(&x->stop, true);
    for (uint32_t i = from; i < to; i++)
        for (int spins = 0; !is_done(x, i); spins++) {
            if (atomic_load_explicit(&x->stop, memory_order_relaxed)) return false;
            if (spins < SPINS) rt_cpu_pause();
            else sched_yield();
        }
    return !atomic_load_explicit(&x->stop, memory_order_relaxed);
}

static void walk(void *context, int thread) {
    rt_executor *const x = context;
    const int n_threads = rt_pool_size(x->pool);
    const uint64_t mode = rt_fp_enter();
    uint64_t units = 0;
    uint32_t complete = 0; /* launches that this thread knows to be */
    for (uint32_t i = 0; i < x->n_launches; i++) {
        if (x->launch[i].launch->barrier) {
            if (!wait_for(x, complete, i, thread)) break;
            complete = i;
        }
        units += run_share(x, i, thread, n_threads);
    }
    rt_fp_set(mode);
    atomic_fetch_add_explicit(&x->units[thread].n, units, memory_order_relaxed);
}

static void report(rt_executor *x, uint32_t index, uint64_t ns) {
    const bound_launch *const b = &x->launch[index];
    const rt_launch *const l = b->launch;
    const int64_t n = extent(x, l);
    if (!n) return;
    const rt_kernel_entry *const k = kernel_for(b, n);
    const bool has_result = l->result < l->n_operands;
    const uint32_t space = has_result ? l->operand[l->result].space : RT_SPACE_none;
    const bool has_place = space == RT_SPACE_arena || space == RT_SPACE_logits;
    const p4c_launch launch = {
        .index = index,
        .op = l->op,
        .operand = l->result,
        .kernel = l->kernel[n == 1   ? 0
                            : n <= 8 ? 1
                                     : 2],
        .n = n,
        .n_units = units_of(k, n),
        .ns = ns,
        .result = has_place ? b->operand[l->result] : NULL,
    };
    x->run->watch(x->run->watch_context, &launch);
}

static void ask_cancelled(void *context) {
    rt_executor *const x = context;
    if (x->run->is_cancelled && x->run->is_cancelled(x->run->context)) atomic_store(&x->stop, true);
}

/* The same with all threads waiting before and behind each launch. */
static void walk_watched(void *context, int thread) {
    rt_executor *const x = context;
    const int n_threads = rt_pool_size(x->pool);
    const uint64_t mode = rt_fp_get();
    uint64_t units = 0;
    for (uint32_t i = 0; i < x->n_launches; i++) {
        rt_pool_barrier(x->pool, ask_cancelled, x);
        if (atomic_load(&x->stop)) break;
        const uint64_t start_ns = thread ? 0 : rt_now_ns();
        rt_fp_set(RT_FP_STEP);
        units += run_share(x, i, thread, n_threads);
        rt_fp_set(mode);
        rt_pool_barrier(x->pool, NULL, NULL);
        if (!thread) report(x, i, rt_now_ns() - start_ns);
    }
    atomic_fetch_add_explicit(&x->units[thread].n, units, memory_order_relaxed);
}

bool rt_exec_run(rt_executor *x, const rt_step_run *run) {
    x->run = run;
    atomic_store(&x->stop, false);
    for (uint32_t i = 0; i < x->n_launches; i++) {
        atomic_store_explicit(&x->progress[i].next, 0, memory_order_relaxed);
        atomic_store_explicit(&x->progress[i].done, 0, memory_order_relaxed);
    }
    for (uint32_t i = 0; i < x->n_places; i++) *x->place[i] = run->logits;
    rt_pool_run(x->pool, run->watch ? walk_watched : walk, x);
    return !atomic_load(&x->stop);
}
