#include "runtime/step_cpu.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/fpmode.h"
#include "runtime/pages.h"
#include "tests/unit/fake_model.h"
#include "tests/unit/unit.h"

enum { T_MAX = 16, R_MAX = 6, VOCAB = 272 };

/* One sequence's step over hand-made tables, without sessions. */
typedef struct bench {
    fake *f;
    rt_tables tables;
    rt_executor *x;
    fake_memory memory;
    uint8_t *block;
    float *logits; /* [R_MAX][VOCAB] */
    int32_t ids[T_MAX], pos[T_MAX], seq[T_MAX], rows[R_MAX];
    uint8_t *blocks[1];
    rt_seq seqs[1];
    rt_step step;
} bench;

static bench *open_bench(int n_threads) {
    bench *const b = calloc(1, sizeof *b);
    if (!b) abort();
    b->f = fake_new(fake_default_options());
    const rt_model_source source = fake_source(b->f);
    const p4c_alloc hooks = fake_alloc(&b->memory);
    const rt_alloc mem = {hooks.alloc, hooks.free, hooks.ctx};
    p4c_error error;
    if (rt_load_tables(&source, &b->tables, &error) != P4C_OK) abort();
    if (rt_exec_open(&mem, &b->tables, &p4c_image.variants[0], n_threads, &b->x, &error) != P4C_OK)
        abort();
    b->block = rt_pages_get(FAKE_KV_BLOCK_BYTES);
    b->logits = rt_pages_get(R_MAX * VOCAB * sizeof(float));
    if (!b->block || !b->logits) abort();
    b->blocks[0] = b->block;
    return b;
}

static void close_bench(bench *b) {
    rt_exec_close(b->x);
    CU_ASSERT_EQUAL(b->memory.n_live, 0);
    rt_pages_put(b->block, FAKE_KV_BLOCK_BYTES);
    rt_pages_put(b->logits, R_MAX * VOCAB * sizeof(float));
    fake_free(b->f);
    free(b);
}

/* T tokens behind n_past, the last R wanted. */
static rt_step_run prepare(bench *b, int64_t n_past, int64_t T, int64_t R) {
    for (int64_t t = 0; t < T; t++) {
        b->pos[t] = (int32_t)(n_past + t);
        b->seq[t] = 0;
        if (t >= T - R) b->rows[t - (T - R)] = (int32_t)t;
    }
    b->seqs[0] = (rt_seq){0, T, n_past, b->blocks};
    b->step = (rt_step){.T = T,
                        .R = R,
                        .ids = b->ids,
                        .rows = b->rows,
                        .pos = b->pos,
                        .seq = b->seq,
                        .seqs = b->seqs,
                        .n_seqs = 1};
    return (rt_step_run){.step = &b->step, .logits = R ? b->logits : NULL};
}

static void a_step_gives_the_same_with_any_number_of_threads(void) {
    atomic_store(&fake_faults, 0);
    for (int n_threads = 1; n_threads <= 5; n_threads++) {
        bench *const b = open_bench(n_threads);
        float want[T_MAX * VOCAB];
        fake_random_ids(3, VOCAB, b->ids, T_MAX);
        fake_logits(b->f, b->ids, T_MAX, want);
        const rt_step_run run = prepare(b, 0, T_MAX, R_MAX);
        CU_ASSERT(rt_exec_run(b->x, &run));
        CU_ASSERT_EQUAL(
            memcmp(b->logits, want + (T_MAX - R_MAX) * VOCAB, R_MAX * VOCAB * sizeof(float)), 0);
        close_bench(b);
    }
    CU_ASSERT_EQUAL(fake_faults, 0);
}

/* Threads take pieces as they come: every unit is computed once, and sooner or later both take
 * some. */
static void threads_share_the_work(void) {
    enum { A_STEP = 5 * T_MAX + R_MAX + 17, MANY = 100000 };
    bench *const b = open_bench(2);
    fake_random_ids(3, VOCAB, b->ids, T_MAX);
    uint64_t units[2] = {0};
    int n = 0;
    while (n < MANY && (!n || !units[0] || !units[1])) {
        const rt_step_run run = prepare(b, 0, T_MAX, R_MAX);
        CU_ASSERT_FATAL(rt_exec_run(b->x, &run));
        rt_exec_units(b->x, units, 2);
        CU_ASSERT_EQUAL_FATAL(units[0] + units[1], (uint64_t)++n * A_STEP);
    }
    CU_ASSERT(units[0] && units[1]);
    CU_ASSERT_EQUAL(rt_exec_threads(b->x), 2);
    close_bench(b);
}

static void the_number_of_tokens_chooses_the_kernel(void) {
    bench *const b = open_bench(1);
    static const struct {
        int64_t T;
        int class;
    } CASES[] = {{1, 0}, {2, 1}, {8, 1}, {9, 2}, {16, 2}};
    atomic_store(&fake_faults, 0);
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        for (int c = 0; c < RT_N_CLASSES; c++) atomic_store(&fake_class_runs[c], 0);
        const rt_step_run run = prepare(b, 0, CASES[i].T, 1);
        CU_ASSERT(rt_exec_run(b->x, &run));
        for (int c = 0; c < RT_N_CLASSES; c++)
            CU_ASSERT_EQUAL(fake_class_runs[c], c == CASES[i].class);
    }
    CU_ASSERT_EQUAL(fake_faults, 0);
    close_bench(b);
}

static void a_step_without_rows_computes_none(void) {
    bench *const b = open_bench(2);
    rt_step_run run = prepare(b, 0, T_MAX, 0);
    CU_ASSERT(rt_exec_run(b->x, &run));
    uint64_t units[2];
    rt_exec_units(b->x, units, 2);
    CU_ASSERT_EQUAL(units[0] + units[1], 5 * T_MAX);
    close_bench(b);
}

static void the_callers_floating_point_mode_is_restored(void) {
    bench *const b = open_bench(2);
    const uint64_t before = rt_fp_get();
    atomic_store(&fake_faults, 0); /* embed checks that denormals are zero in a step */
    const rt_step_run run = prepare(b, 0, T_MAX, 1);
    CU_ASSERT(rt_exec_run(b->x, &run));
    CU_ASSERT_EQUAL(fake_faults, 0);
    CU_ASSERT_EQUAL(rt_fp_get(), before);
    volatile float tiny = 1e-39f;
    CU_ASSERT(tiny * 1.0f != 0);
    close_bench(b);
}

/* ---- watching ---- */

typedef struct watched {
    p4c_launch launch[FAKE_LAUNCHES];
    uint32_t x_after_mix; /* first token, read while nothing else runs */
    float logit;
    int n;
} watched;

static void watch(void *context, const p4c_launch *launch) {
    watched *const w = context;
    if (w->n < FAKE_LAUNCHES) w->launch[w->n] = *launch;
    if (launch->index == 4) memcpy(&w->x_after_mix, launch->result, 4);
    if (launch->index == 6) memcpy(&w->logit, launch->result, 4);
    w->n++;
    volatile float tiny = 1e-39f;
    CU_ASSERT(tiny * 1.0f != 0); /* in the caller's mode */
}

static void every_launch_is_shown_when_it_is_done(void) {
    static const uint32_t OPS[FAKE_LAUNCHES] = {10, 11, 12, 13, 14, 15, 16};
    for (int n_threads = 1; n_threads <= 3; n_threads++) {
        bench *const b = open_bench(n_threads);
        fake_random_ids(9, VOCAB, b->ids, T_MAX);
        watched w = {0};
        rt_step_run run = prepare(b, 0, 7, 2);
        run.watch = watch;
        run.watch_context = &w;
        CU_ASSERT(rt_exec_run(b->x, &run));
        CU_ASSERT_EQUAL(w.n, FAKE_LAUNCHES);
        for (uint32_t i = 0; i < FAKE_LAUNCHES; i++) {
            const p4c_launch *const l = &w.launch[i];
            CU_ASSERT_EQUAL(l->index, i);
            CU_ASSERT_EQUAL(l->op, OPS[i]);
            CU_ASSERT_EQUAL(l->n, i < 5 ? 7 : 2);
            CU_ASSERT_EQUAL(l->n_units, i < 5 ? 7 : i == 5 ? 2 : 17);
            CU_ASSERT_EQUAL(l->result == NULL, i == 1 || i == 3); /* KV blocks */
        }
        CU_ASSERT_EQUAL(w.launch[0].kernel, 1);
        CU_ASSERT(w.x_after_mix != 0);
        CU_ASSERT_EQUAL(w.logit, b->logits[0]);
        w.n = 0;
        run = prepare(b, 7, 1, 0);
        run.watch = watch;
        run.watch_context = &w;
        CU_ASSERT(rt_exec_run(b->x, &run));
        CU_ASSERT_EQUAL(w.n, 5); /* launches over no rows do not run */
        close_bench(b);
    }
}

/* ---- cancelling ---- */

static bool after_two(void *context) {
    atomic_int *const asked = context;
    return atomic_fetch_add(asked, 1) >= 2;
}

static void a_step_ends_between_launches(void) {
    for (int n_threads = 1; n_threads <= 3; n_threads++) {
        bench *const b = open_bench(n_threads);
        atomic_int asked = 0;
        rt_step_run run = prepare(b, 0, T_MAX, 1);
        run.is_cancelled = after_two;
        run.context = &asked;
        CU_ASSERT(!rt_exec_run(b->x, &run));
        CU_ASSERT_EQUAL(asked, 3);
        uint64_t units[3] = {0}, sum = 0;
        rt_exec_units(b->x, units, 3);
        for (int t = 0; t < n_threads; t++) sum += units[t];
        /* the launches before the third barrier, and what other threads did meanwhile */
        CU_ASSERT(sum >= 3 * T_MAX);
        if (n_threads == 1) CU_ASSERT_EQUAL(sum, 3 * T_MAX);
        run = prepare(b, 0, T_MAX, 1);
        CU_ASSERT(rt_exec_run(b->x, &run)); /* the next step is a new one */
        close_bench(b);
    }
}

/* ---- opening ---- */

static void made_up_weights_are_there_for_kernels(void) {
    fake_options o = fake_default_options();
    o.dummy = true;
    bench *const b = open_bench(1);
    fake *const f = fake_new(o);
    const rt_model_source source = fake_source(f);
    rt_tables tables;
    rt_executor *x;
    p4c_error error;
    const p4c_alloc hooks = fake_alloc(&b->memory);
    const rt_alloc mem = {hooks.alloc, hooks.free, hooks.ctx};
    CU_ASSERT_EQUAL_FATAL(rt_load_tables(&source, &tables, &error), P4C_OK);
    CU_ASSERT_EQUAL_FATAL(rt_exec_open(&mem, &tables, &p4c_image.variants[0], 3, &x, &error),
                          P4C_OK);
    float want[VOCAB];
    fake_random_ids(3, VOCAB, b->ids, 1);
    fake_logits(b->f, b->ids, 1, want); /* the head reads: 272, then -1s */
    const rt_step_run run = prepare(b, 0, 1, 1);
    CU_ASSERT(rt_exec_run(x, &run));
    CU_ASSERT_EQUAL(memcmp(b->logits, want, sizeof want), 0);
    rt_exec_close(x);
    fake_free(f);
    close_bench(b);
}

static void failing_memory_is_reported(void) {
    fake *const f = fake_new(fake_default_options());
    const rt_model_source source = fake_source(f);
    rt_tables tables;
    p4c_error error;
    CU_ASSERT_EQUAL_FATAL(rt_load_tables(&source, &tables, &error), P4C_OK);
    long n = 1;
    for (p4c_status s = P4C_ERR_NO_MEMORY; s != P4C_OK; n++) {
        fake_memory memory = {.fail_at = n};
        const p4c_alloc hooks = fake_alloc(&memory);
        const rt_alloc mem = {hooks.alloc, hooks.free, hooks.ctx};
        rt_executor *x = NULL;
        s = rt_exec_open(&mem, &tables, &p4c_image.variants[0], 2, &x, &error);
        CU_ASSERT(s == P4C_OK || s == P4C_ERR_NO_MEMORY);
        rt_exec_close(x);
        CU_ASSERT_EQUAL(memory.n_live, 0);
    }
    CU_ASSERT(n > 5);
    fake_free(f);
}

UNIT_MAIN("step",
          {"a step gives the same with any number of threads",
           a_step_gives_the_same_with_any_number_of_threads},
          {"threads share the work", threads_share_the_work},
          {"the number of tokens chooses the kernel", the_number_of_tokens_chooses_the_kernel},
          {"a step without rows computes none", a_step_without_rows_computes_none},
          {"the caller's floating-point mode is restored",
           the_callers_floating_point_mode_is_restored},
          {"every launch is shown when it is done", every_launch_is_shown_when_it_is_done},
          {"a step ends between launches", a_step_ends_between_launches},
          {"made-up weights are there for kernels", made_up_weights_are_there_for_kernels},
          {"failing memory is reported", failing_memory_is_reported})
