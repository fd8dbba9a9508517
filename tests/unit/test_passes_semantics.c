/* test_passes_semantics.c - passes change speed, not meaning: the interpreter says the same of a
 * graph before and after each pass, and with each optional pass left out. */
#include "passes/pass.h"

#include <math.h>

#include "tests/support/graph_run.h"
#include "tests/support/random_graph.h"
#include "tests/support/tiny_phi.h"
#include "unit.h"

static const double BOUND = 1e-5; /* of the largest number */
/* Rounded activations and KV entries: a last bit that differs before the rounding may move a value
 * by a step. */
static const double ROUNDED_BOUND = 2e-2;

typedef ir_graph *make_graph(const void *how, arena *mem, diag *d);

static ir_graph *make_phi(const void *how, arena *mem, diag *d) {
    return tiny_phi_build(how, mem, d);
}

static ir_graph *make_random(const void *how, arena *mem, diag *d) {
    return random_graph_make(*(const uint64_t *)how, mem, d).g;
}

typedef struct subject {
    make_graph *make;
    const void *how;
    const char *scheme;
    char name[64];
} subject;

typedef struct run {
    arena *mem, *scratch;
    diag d;
    ir_graph *g;
    pass_options options;
    pass_ctx px;
} run;

static void open_run(run *r, const subject *s) {
    *r = (run){.mem = arena_open(), .scratch = arena_open(), .options = pass_default_options()};
    r->d.mem = r->mem;
    r->g = s->make(s->how, r->mem, &r->d);
    CU_ASSERT_PTR_NOT_NULL_FATAL(r->g);
    r->options.max_tokens = r->options.max_rows = 8;
    bool is_auto;
    CU_ASSERT_FATAL(scheme_parse(str_of(s->scheme), &r->options.scheme, &is_auto));
    if (is_auto) r->options.scheme = scheme_auto(r->g);
    r->px = (pass_ctx){.diag = &r->d, .mem = r->mem, .scratch = r->scratch, .options = &r->options};
}

static void close_run(run *r) {
    arena_close(r->scratch);
    arena_close(r->mem);
}

static graph_result result_of(run *r, arena *mem) {
    graph_result out;
    const bool ok = graph_run(r->g, 5, mem, &out);
    if (!ok) diag_print(&r->d, stderr);
    CU_ASSERT_FATAL(ok);
    return out;
}

static void check(const subject *s, const char *what, const graph_result *a, const graph_result *b,
                  double bound) {
    const double distance = graph_distance(a, b);
    CU_ASSERT(distance <= bound);
    if (!(distance <= bound))
        printf("\n%s (%s), %s: %g, bound %g\n", s->name, s->scheme, what, distance, bound);
}

/* After each pass what was before.  Only quantize, and the rounding of activations that
 * fuse-dequant-gemm brings, may change numbers, and under f32 not even they. */
static void check_each_pass(const subject *s) {
    run r;
    open_run(&r, s);
    const bool exact = r.options.scheme.id == SCHEME_f32;
    arena *mem = arena_open();
    graph_result before = result_of(&r, mem);
    for (pass_id p = 0; p < PASS_COUNT; p++) {
        const bool ok = pass_run_list(r.g, &r.px, &p, 1);
        if (!ok) diag_print(&r.d, stderr);
        CU_ASSERT_FATAL(ok);
        const graph_result after = result_of(&r, mem);
        const bool rounds = p == PASS_quantize || p == PASS_fuse_dequant_gemm;
        if (exact || !rounds)
            check(s, pass_table[p].name, &before, &after, exact ? BOUND : ROUNDED_BOUND);
        before = after;
    }
    arena_close(mem);
    close_run(&r);
}

/* Every optional pass off, one at a time and all together, against the plain graph or, where
 * activations are rounded, against the whole pipeline. */
static void check_without(const subject *s) {
    arena *mem = arena_open();
    run r;
    open_run(&r, s);
    const bool exact = r.options.scheme.id == SCHEME_f32;
    if (!exact) CU_ASSERT_FATAL(pass_run_all(r.g, &r.px, HAS_DENSE_OPS));
    const graph_result want = result_of(&r, mem);
    close_run(&r);
    uint32_t all = 0;
    for (pass_id p = 0; p < PASS_COUNT; p++) all |= (uint32_t)pass_table[p].optional << p;
    for (uint32_t p = 0; p <= PASS_COUNT; p++) {
        if (p < PASS_COUNT && !pass_table[p].optional) continue;
        open_run(&r, s);
        r.options.disabled = p < PASS_COUNT ? 1u << p : all;
        CU_ASSERT_FATAL(pass_run_all(r.g, &r.px, HAS_DENSE_OPS));
        const graph_result got = result_of(&r, mem);
        check(s, p < PASS_COUNT ? pass_table[p].name : "all off", &want, &got,
              exact ? BOUND : ROUNDED_BOUND);
        close_run(&r);
    }
    arena_close(mem);
}

static void check_phi(const tiny_phi *p, const char *name) {
    static const char *const SCHEMES[] = {"f32", "auto"};
    for (size_t i = 0; i < COUNT_OF(SCHEMES); i++) {
        subject s = {make_phi, p, SCHEMES[i], {0}};
        snprintf(s.name, sizeof s.name, "%s", name);
        check_each_pass(&s);
        check_without(&s);
    }
}

static void test_dense(void) {
    for (int unfused = 0; unfused < 2; unfused++) {
        tiny_phi p = tiny_phi_default();
        p.unfused = unfused;
        check_phi(&p, "f32");
        p.weight = p.head = p.embed = DT_bf16;
        check_phi(&p, "bf16");
        p.weight = p.head = p.embed = DT_f16;
        p.tied = true;
        p.window = 3;
        check_phi(&p, "f16 tied");
    }
}

/* Sizes that are no multiples of anything, a rotation of part of each head. */
static void test_odd(void) {
    for (int unfused = 0; unfused < 2; unfused++) {
        tiny_phi p = tiny_phi_default();
        p.unfused = unfused;
        p.hidden = 45;
        p.ffn = 67;
        p.heads = 3;
        p.kv_heads = 1;
        p.head_dim = 14;
        p.rot = 10;
        p.vocab = 51;
        check_phi(&p, "odd f32");
        p.weight = DT_bf16;
        check_phi(&p, "odd bf16");
        p.weight = DT_i4;
        p.group = 20;
        p.zeros = true;
        check_phi(&p, "odd i4");
    }
}

static void test_packed(void) {
    for (int form = 0; form < 16; form++) {
        tiny_phi p = tiny_phi_default();
        p.weight = DT_i4;
        p.embed = p.head = DT_bf16;
        p.group = form & 8 ? -1 : 32;
        p.zeros = form & 1;
        p.perm = form & 2;
        p.unfused = form & 4;
        p.one_order = form & 1;
        check_phi(&p, "i4");
    }
}

static void test_quantized_here(void) {
    tiny_phi p = tiny_phi_default();
    p.unfused = true;
    static const char *const SCHEMES[] = {"w4a16-g16", "w4a16-g-1", "bf16", "f16"};
    for (size_t i = 0; i < COUNT_OF(SCHEMES); i++) {
        const subject s = {make_phi, &p, SCHEMES[i], "f32 checkpoint"};
        check_each_pass(&s);
        check_without(&s);
    }
}

static void test_random(void) {
    for (uint64_t seed = 0; seed < 40; seed++)
        for (int i = 0; i < 2; i++) {
            subject s = {make_random, &seed, i ? "auto" : "f32", {0}};
            snprintf(s.name, sizeof s.name, "random graph %d", (int)seed);
            check_each_pass(&s);
            check_without(&s);
        }
}

UNIT_MAIN("passes_semantics", {"dense models", test_dense}, {"odd sizes", test_odd},
          {"4-bit models", test_packed}, {"models quantised here", test_quantized_here},
          {"random graphs", test_random})
