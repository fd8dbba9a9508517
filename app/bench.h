/* bench.h - the state of one `bench`, shared by bench_main.c and bench_ops.c. */
#ifndef P4C_APP_BENCH_H
#define P4C_APP_BENCH_H

#include "app/app.h"
#include "app/machine.h"
#include "app/progress.h"
#include "base/vec.h"

/* Time that all launches of one kernel took in one evaluation. */
typedef struct bench_op {
    uint32_t kernel;
    uint32_t op; /* %id of the first op that it computed */
    int64_t n_launches;
    uint64_t ns;
} bench_op;

typedef struct bench_test {
    bool is_prompt;
    int64_t tokens, depth; /* tokens: of the prompt, or steps to generate */
    int batch;
    double min, median, max; /* tokens a second, all sequences together */
    double bytes, mac;       /* of one token */
    double limit;            /* 0 .. 1 */
    bool read_binds;         /* reading binds, not arithmetic */
    vec(bench_op) ops;       /* --per-op, slowest first */
} bench_test;

typedef struct bench {
    app *a;
    p4c_model *model;
    p4c_info info;
    p4c_session **session;
    int n_sessions, repeats;
    int32_t *ids;
    float *logits;
    p4c_item *items;
    uint64_t load_ns, first_token_ns, anon_bytes, n_repeats_done;
    int64_t first_tokens;
    machine_limits limits;
    vec(bench_test) tests;
    progress bar;
    int signal;
} bench;

/* Evaluates the test once more with every launch timed; b's sessions are open and as the test wants
 * them. */
P4C_CHECKED bool bench_watch_ops(bench *b, bench_test *t,
                                 bool (*eval)(bench *, const bench_test *));
void bench_print_ops(const bench *b, const bench_test *t, text *out);
/* `,"ops":[...]`; nothing where they were not asked for. */
void bench_print_ops_json(const bench *b, const bench_test *t, text *out);

#endif
