/* compiled_golden.c - case folders, compiled by the CPU back end and run in this process, against
 * their reference logits: each scheme asked for, with all passes and with each optional pass left
 * out.
 *
 *     compiled_golden f32|auto DIR...
 * f32: bound (i) of tests/golden/README.md, all greedy tokens equal.  auto: mean KL at most 1.2
 * times that of Hugging Face's own bf16 run of the same case (measured in cases.json) + 1e-5.  With
 * every pass left out the plan must differ from the full one. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "frontend/frontend.h"
#include "passes/pass.h"
#include "tests/golden/golden.h"
#include "tests/support/compiled.h"

static const double MAX_ABS = 2e-3, MEAN_KL = 1e-7, MARGIN = 4e-3;
enum { STEP_TOKENS = 64 };

/* mean KL of Hugging Face's 16-bit run; the f16 case has its own. */
static bool measured_kl(const char *dir, arena *mem, diag *d, double *out) {
    char *path = path_join(mem, dir, "golden/cases.json");
    str source;
    json j;
    if (!file_read(path, 64 << 20, mem, d, &source) || !json_parse(source, path, mem, d, &j))
        return false;
    const cJSON *measured = json_member(j.root, "measured");
    bool ok = false;
    for (const cJSON *m = measured ? measured->child : NULL; m && !ok; m = m->next)
        if (strncmp(m->string, "hf_bf16", 7) == 0)
            ok = json_get_f64(m, "mean_kl", 0, 100, path, d, out);
    json_free(&j);
    return ok;
}

typedef struct build {
    arena *mem;
    fe_model model;
    cg_program program;
    compiled code;
} build;

static bool open_build(const char *dir, bool f32, uint32_t disabled, diag *d, build *b) {
    b->mem = arena_open();
    if (!fe_load(dir, &(fe_options){0}, b->mem, d, &b->model)) return false;
    arena *scratch = arena_open();
    pass_options o = pass_default_options();
    o.scheme = f32 ? (scheme){.id = SCHEME_f32, .kv_dtype = DT_f32} : scheme_auto(b->model.graph);
    o.max_tokens = o.max_rows = STEP_TOKENS;
    o.disabled = disabled;
    pass_ctx px = {.diag = d, .mem = b->mem, .scratch = scratch, .options = &o};
    const bool ok =
        pass_run_all(b->model.graph, &px, HAS_DENSE_OPS) &&
        cg_build_program(b->model.graph, px.arena_bytes, STEP_TOKENS, STEP_TOKENS, b->mem, d,
                         &b->program) &&
        compiled_open(&b->program, &(cpu_options){.triple = "x86_64-linux-gnu", .variants = 1},
                      b->mem, d, &b->code);
    arena_close(scratch);
    if (!ok) fe_close(&b->model);
    return ok;
}

static void close_build(build *b) {
    compiled_close(&b->code);
    fe_close(&b->model);
    arena_close(b->mem);
}

static void run(const build *b, const golden_prompt *p, arena *mem, float *got) {
    const int64_t n_blocks = ceil_div(p->n_tokens, RT_KV_BLOCK_TOK);
    uint8_t **block = arena_array(mem, uint8_t *, n_blocks);
    for (int64_t i = 0; i < n_blocks; i++) block[i] = arena_get(mem, b->program.kv_block_bytes, 64);
    for (int64_t at = 0; at < p->n_tokens; at += STEP_TOKENS) {
        int32_t rows[STEP_TOKENS], pos[STEP_TOKENS], seq[STEP_TOKENS] = {0};
        const int64_t T = min_i64(STEP_TOKENS, p->n_tokens - at);
        int64_t R = 0;
        for (int64_t t = 0; t < T; t++) {
            pos[t] = (int32_t)(at + t);
            if (at + t >= p->first_row) rows[R++] = (int32_t)t;
        }
        const rt_seq s = {0, T, at, block};
        const rt_step step = {T, R, p->ids + at, rows, pos, seq, &s, 1};
        compiled_run(&b->code, 0, &step, got, (uint64_t)at * 7 + 3);
        got += R * p->V;
    }
}

/* What distinguishes plans: the kernels of their launches, by name. */
typedef struct signature {
    uint32_t n_launches;
    uint64_t hash;
} signature;

static signature sign(const cg_program *p) {
    signature s = {p->plan.n_launches, 0xcbf29ce484222325u};
    for (uint32_t l = 0; l < p->plan.n_launches; l++)
        for (const char *c = p->kernel_name[p->launch[l].kernel[0]]; *c; c++)
            s.hash = (s.hash ^ (unsigned char)*c) * 0x100000001b3u;
    return s;
}

static bool measure(const char *dir, bool f32, uint32_t disabled, diag *d, golden_distance *sum,
                    signature *plan) {
    arena *mem = arena_open();
    golden_case c;
    build b = {0};
    bool ok = golden_open(dir, mem, d, &c);
    if (ok && !open_build(dir, f32, disabled, d, &b)) {
        golden_close(&c);
        ok = false;
    }
    if (!ok) {
        arena_close(mem);
        arena_close(b.mem);
        return false;
    }
    *sum = (golden_distance){0};
    for (int i = 0; i < c.n_prompts; i++) {
        const golden_prompt *p = &c.prompt[i];
        const arena_pos mark = arena_mark(mem);
        float *got = arena_array(mem, float, p->n_rows * p->V);
        run(&b, p, mem, got);
        golden_compare(p, got, f32 ? MARGIN : 0.8, sum);
        arena_rewind(mem, mark);
    }
    golden_finish(sum);
    *plan = sign(&b.program);
    golden_close(&c);
    close_build(&b);
    arena_close(mem);
    return true;
}

/* Passes that every one of these models gives work to. */
static bool must_differ(int pass) {
    return pass == PASS_fuse_rope || pass == PASS_fuse_norm || pass == PASS_fuse_epilogue;
}

/* without: a pass left out, -1: none.  *full: plan of all passes, set by the first call. */
static bool check(const char *dir, bool f32, int without, signature *full) {
    arena *mem = arena_open();
    diag d = {.mem = mem};
    golden_distance s;
    signature plan;
    double kl = MEAN_KL;
    const uint32_t disabled = without < 0 ? 0 : 1u << without;
    bool ok = (f32 || measured_kl(dir, mem, &d, &kl)) && measure(dir, f32, disabled, &d, &s, &plan);
    if (ok) {
        if (!f32) kl = 1.2 * kl + 1e-5;
        if (without < 0) *full = plan;
        const bool same = plan.hash == full->hash;
        ok = s.mean_kl <= kl && s.n_argmax >= s.n_rows * (f32 ? 1 : 0.85) &&
             (!f32 || s.max_abs <= MAX_ABS) && (!f32 || s.n_equal == s.n_greedy) &&
             !(same && must_differ(without));
        printf("%s %s%s%s: %s: max %.2e, mean KL %.2e of %.2e, argmax %lld of %lld, greedy %lld of "
               "%lld, %u launches%s\n",
               path_base(dir), f32 ? "f32" : "auto", without < 0 ? "" : " without ",
               without < 0 ? "" : pass_table[without].name, ok ? "ok" : "FAILED", s.max_abs,
               s.mean_kl, kl, (long long)s.n_argmax, (long long)s.n_rows, (long long)s.n_equal,
               (long long)s.n_greedy, plan.n_launches,
               without >= 0 && same ? " (the same plan)" : "");
    }
    diag_print(&d, stderr);
    arena_close(mem);
    return ok;
}

int main(int argc, char **argv) {
    if (argc < 3) return EXIT_USAGE;
    const bool f32 = strcmp(argv[1], "f32") == 0;
    int failed = 0;
    for (int i = 2; i < argc; i++) {
        signature full;
        failed += !check(argv[i], f32, -1, &full);
        for (int p = 0; p < PASS_COUNT; p++)
            if (pass_table[p].optional) failed += !check(argv[i], f32, p, &full);
    }
    return failed ? EXIT_CHECK_FAILED : EXIT_DONE;
}
