/* interp_golden.c - the interpreter on the graph as the frontend makes it, against the reference
 * logits of case folders: bound (i) of tests/golden/README.md.
 *
 *     interp_golden [--step N] DIR...
 * N: tokens of a step (default 512); a longer sequence is run in several steps over one history.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "frontend/frontend.h"
#include "ir/interp.h"
#include "tests/golden/golden.h"

static const double MAX_ABS = 2e-3, MEAN_KL = 1e-7, MARGIN = 4e-3;

/* got: [n_rows, V] of the prompt's rows.  The interpreter rewinds scratch, so what outlives a step
 * stands in mem. */
static bool run(const ir_graph *g, const golden_prompt *p, int64_t step_tokens, arena *mem,
                arena *scratch, float *got) {
    interp_state *state = interp_state_new(mem, 1);
    int32_t *rows = arena_array(mem, int32_t, step_tokens);
    for (int64_t at = 0; at < p->n_tokens; at += step_tokens) {
        const int64_t T = min_i64(step_tokens, p->n_tokens - at);
        int64_t R = 0;
        for (int64_t t = 0; t < T; t++)
            if (at + t >= p->first_row) rows[R++] = (int32_t)t;
        const interp_seq seq = {.n_new = T, .n_past = at};
        const interp_step step = {
            .T = T, .R = R, .ids = p->ids + at, .rows = rows, .seqs = &seq, .n_seqs = 1};
        float *out[IR_MAX_OUTPUTS] = {got};
        if (!interp_run(g, state, &step, scratch, NULL, NULL, out)) return false;
        got += R * p->V;
    }
    return true;
}

static bool check_case(const char *dir, int64_t step_tokens, arena *mem, diag *d) {
    golden_case c;
    fe_model m;
    if (!golden_open(dir, mem, d, &c)) return false;
    if (!fe_load(dir, &(fe_options){0}, mem, d, &m)) {
        golden_close(&c);
        return false;
    }
    golden_distance sum = {0};
    bool ok = c.n_prompts > 0;
    arena *of_prompt = arena_open(), *scratch = arena_open();
    for (int i = 0; ok && i < c.n_prompts; i++) {
        const golden_prompt *p = &c.prompt[i];
        const arena_pos mark = arena_mark(of_prompt);
        float *got = arena_array(of_prompt, float, p->n_rows * p->V);
        ok = p->V == m.config.vocab_size && run(m.graph, p, step_tokens, of_prompt, scratch, got);
        if (ok) golden_compare(p, got, MARGIN, &sum);
        arena_rewind(of_prompt, mark);
    }
    arena_close(of_prompt);
    arena_close(scratch);
    fe_close(&m);
    golden_close(&c);
    golden_finish(&sum);
    const bool pass = ok && sum.max_abs <= MAX_ABS && sum.mean_kl <= MEAN_KL &&
                      sum.n_argmax == sum.n_rows && sum.n_equal == sum.n_greedy;
    printf("%s: %s: max %.2e, mean KL %.2e, argmax %lld of %lld, greedy %lld of %lld\n",
           path_base(dir), pass ? "ok" : "FAILED", sum.max_abs, sum.mean_kl,
           (long long)sum.n_argmax, (long long)sum.n_rows, (long long)sum.n_equal,
           (long long)sum.n_greedy);
    return pass;
}

int main(int argc, char **argv) {
    int64_t step_tokens = 512;
    int first = 1, failed = 0;
    if (argc > 2 && strcmp(argv[1], "--step") == 0) {
        step_tokens = atoll(argv[2]);
        first = 3;
    }
    if (first >= argc || step_tokens < 1) return EXIT_USAGE;
    for (int i = first; i < argc; i++) {
        arena *mem = arena_open();
        diag d = {.mem = mem};
        failed += !check_case(argv[i], step_tokens, mem, &d);
        diag_print(&d, stderr);
        arena_close(mem);
    }
    return failed ? EXIT_CHECK_FAILED : EXIT_DONE;
}
