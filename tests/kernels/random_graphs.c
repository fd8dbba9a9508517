/* random_graphs.c - random graphs, compiled by the CPU back end, against the interpreter on the
 * graph before any pass.
 *
 * For each seed: passes (a random set of optional ones off), machine code for each instruction set
 * this CPU has and for all under --soft-isa, then several ragged steps of three sequences.  All
 * instruction sets must agree bit for bit; the difference to the interpreter must be what the
 * scheme's activations explain. Usage: random_graphs [first seed] [how many] */
#include <math.h>
#include <string.h>

#include "base/cpuinfo.h"
#include "ir/interp.h"
#include "passes/pass.h"
#include "tests/support/compiled.h"
#include "tests/support/random_graph.h"

enum { N_SEQS = 3, MAX_T = 40, MAX_BLOCKS = 3 };

typedef struct world { /* the KV blocks of one way of running */
    uint8_t *block[N_SEQS][MAX_BLOCKS];
} world;

static void world_open(world *w, uint64_t bytes) {
    for (int s = 0; s < N_SEQS; s++)
        for (int b = 0; b < MAX_BLOCKS; b++)
            if (posix_memalign((void **)&w->block[s][b], 64, bytes + 64)) abort();
            else memset(w->block[s][b], 0, bytes + 64);
}

static void world_close(world *w) {
    for (int s = 0; s < N_SEQS; s++)
        for (int b = 0; b < MAX_BLOCKS; b++) free(w->block[s][b]);
}

typedef struct step_data {
    int32_t ids[MAX_T], pos[MAX_T], seq[MAX_T], rows[MAX_T];
    interp_seq iseq[N_SEQS];
    int64_t T, R;
    int n_seqs;
} step_data;

/* Each sequence gets 0 .. 13 new tokens (the first step of a test many for one). */
static void draw_step(random_source *r, const random_graph *g, int64_t *past, bool first,
                      step_data *s) {
    memset(s, 0, sizeof *s);
    for (int q = 0; q < N_SEQS; q++) {
        int64_t n = random_range(r, 0, 3) ? random_range(r, 0, 4) : random_range(r, 0, 13);
        if (first && q == 1) n = 13;
        if (s->T == 0 && q == N_SEQS - 1 && n == 0) n = 1;
        if (past[q] + n > g->capacity) n = 0;
        if (!n) continue;
        s->iseq[s->n_seqs] =
            (interp_seq){.first_row = s->T, .n_new = n, .n_past = past[q], .id = q};
        for (int64_t i = 0; i < n; i++, s->T++) {
            s->ids[s->T] = (int32_t)random_range(r, 0, g->vocab - 1);
            s->pos[s->T] = (int32_t)(past[q] + i);
            s->seq[s->T] = s->n_seqs;
            if (random_range(r, 0, 1)) s->rows[s->R++] = (int32_t)s->T;
        }
        past[q] += n;
        s->n_seqs++;
    }
    if (!s->R) s->rows[s->R++] = (int32_t)(s->T - 1);
}

static void run_compiled(const compiled *c, unsigned v, const step_data *s, world *w, float *logits,
                         uint64_t split) {
    rt_seq seqs[N_SEQS];
    for (int q = 0; q < s->n_seqs; q++)
        seqs[q] = (rt_seq){s->iseq[q].first_row, s->iseq[q].n_new, s->iseq[q].n_past,
                           w->block[s->iseq[q].id]};
    const rt_step step = {s->T, s->R, s->ids, s->rows, s->pos, s->seq, seqs, s->n_seqs};
    compiled_run(c, v, &step, logits, split);
}

static double difference(const float *a, const float *b, int64_t n, double *scale) {
    double worst = 0, sum = 0;
    for (int64_t i = 0; i < n; i++) {
        const double d = fabs((double)a[i] - (double)b[i]);
        if (!(d <= worst)) worst = d;
        sum += (double)b[i] * (double)b[i];
    }
    *scale = sqrt(sum / (double)n);
    return worst;
}

static bool runs_here(const rt_variant *v) { return (v->needs & ~(uint64_t)cpu_features()) == 0; }

/* What rounding activations (and the KV cache) may do to outputs of unit scale, several products
 * deep. */
static double bound(const scheme *s) { return s->id == SCHEME_f32 ? 2e-4 : 0.25; }

static bool test_seed(uint64_t seed) {
    arena *mem = arena_open(), *scratch = arena_open();
    diag d = {.mem = mem};
    random_source r = {seed * 77 + 1};
    const random_graph plain = random_graph_make(seed, mem, &d);
    const random_graph fused = random_graph_make(seed, mem, &d);
    pass_options o = pass_default_options();
    o.scheme = random_range(&r, 0, 2) ? (scheme){.id = SCHEME_f32, .kv_dtype = DT_f32}
                                      : scheme_auto(fused.g);
    o.max_tokens = o.max_rows = MAX_T;
    for (int p = 0; p < PASS_COUNT; p++)
        if (pass_table[p].optional && random_range(&r, 0, 3) == 0) o.disabled |= 1u << p;
    pass_ctx px = {.diag = &d, .mem = mem, .scratch = scratch, .options = &o};
    cg_program program;
    compiled c[2] = {0};
    bool ok = d.n_errors == 0 && ir_verify(plain.g) && pass_run_all(fused.g, &px, HAS_DENSE_OPS) &&
              cg_build_program(fused.g, px.arena_bytes, MAX_T, MAX_T, mem, &d, &program);
    for (int soft = 0; soft < 2 && ok; soft++)
        ok = compiled_open(&program, &(cpu_options){.triple = "x86_64-linux-gnu", .soft_isa = soft},
                           mem, &d, &c[soft]);
    const unsigned n_variants = ok ? c[0].image->n_variants : 0;
    world w[2][8];
    for (unsigned v = 0; v < 2 * n_variants; v++)
        world_open(&w[v / n_variants][v % n_variants], program.kv_block_bytes);
    interp_state *state = interp_state_new(mem, N_SEQS);
    int64_t past[N_SEQS] = {0, random_range(&r, 0, 1) * 0, 0};
    float *want = arena_array(mem, float, MAX_T *plain.vocab),
          *first = arena_array(mem, float, MAX_T *plain.vocab);
    float *got = arena_array(mem, float, MAX_T *plain.vocab);
    const int n_steps = random_range(&r, 0, 4) ? 3 : 60; /* 60: past the first KV block */
    for (int i = 0; ok && i < n_steps; i++) {
        step_data s;
        draw_step(&r, &plain, past, i == 0, &s);
        const interp_step step = {
            .T = s.T, .R = s.R, .ids = s.ids, .rows = s.rows, .seqs = s.iseq, .n_seqs = s.n_seqs};
        ok = interp_run(plain.g, state, &step, scratch, NULL, NULL, (float *[]){want, NULL});
        bool have_first = false;
        const int64_t n = s.R * plain.vocab;
        for (unsigned k = 0; ok && k < 2 * n_variants; k++) {
            const bool soft = k >= n_variants;
            const unsigned v = k % n_variants;
            if (!runs_here(&c[soft].image->variants[v])) continue;
            memset(got, 0xff, (size_t)n * 4);
            run_compiled(&c[soft], v, &s, &w[soft][v], got, random_next(&r));
            double scale;
            const double worst = difference(got, want, n, &scale);
            if (!(worst <= bound(&o.scheme) * (scale + 1e-3))) {
                fprintf(stderr, "seed %llu step %d %s%s: differs by %g (rms %g)\n",
                        (unsigned long long)seed, i, c[soft].image->variants[v].name,
                        soft ? " soft" : "", worst, scale);
                ok = false;
            }
            if (have_first && memcmp(got, first, (size_t)n * 4) != 0) {
                fprintf(stderr,
                        "seed %llu step %d: %s%s is not bitwise equal to the first variant\n",
                        (unsigned long long)seed, i, c[soft].image->variants[v].name,
                        soft ? " soft" : "");
                ok = false;
            }
            if (!have_first) memcpy(first, got, (size_t)n * 4);
            have_first = true;
        }
    }
    for (unsigned v = 0; v < 2 * n_variants; v++) world_close(&w[v / n_variants][v % n_variants]);
    for (int soft = 0; soft < 2; soft++) compiled_close(&c[soft]);
    diag_print(&d, stderr);
    arena_close(scratch);
    arena_close(mem);
    return ok;
}

int main(int argc, char **argv) {
    const uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    const uint64_t n = argc > 2 ? strtoull(argv[2], NULL, 10) : 20;
    int failed = 0;
    for (uint64_t seed = first; seed < first + n; seed++)
        if (!test_seed(seed)) {
            fprintf(stderr, "seed %llu failed\n", (unsigned long long)seed);
            failed++;
        }
    printf("%llu graphs, %d failed\n", (unsigned long long)n, failed);
    return failed ? 1 : 0;
}
