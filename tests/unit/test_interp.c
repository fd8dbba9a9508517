/* The interpreter against formulas written out here, in float64. */
#include <math.h>
#include <string.h>

#include "base/half.h"
#include "ir/const.h"
#include "ir/interp.h"
#include "tests/unit/unit.h"

/* A graph read from text, and what its runs need. */
typedef struct bench {
    arena *mem, *scratch;
    diag d;
    ir_graph *g;
    interp_state *state;
} bench;

static bench *open_bench(const char *source) {
    arena *mem = arena_open();
    bench *b = arena_new(mem, bench);
    b->mem = b->d.mem = mem;
    b->scratch = arena_open();
    b->g = ir_parse(str_of(source), "test", mem, &b->d);
    if (!b->g) diag_print(&b->d, stdout);
    CU_ASSERT_PTR_NOT_NULL_FATAL(b->g);
    b->state = interp_state_new(mem, 4);
    return b;
}

static void close_bench(bench *b) {
    arena_close(b->scratch);
    arena_close(b->mem);
}

static float *numbers(bench *b, int64_t n, uint32_t seed) { /* in (-2, 2) */
    float *x = arena_array(b->mem, float, n);
    uint32_t s = seed * 2654435761u + 12345u;
    for (int64_t i = 0; i < n; i++) {
        s = s * 1664525u + 1013904223u;
        x[i] = (float)(int32_t)s * 0x1p-30f;
    }
    return x;
}

static bool run(bench *b, const interp_step *step, float *out) {
    const bool ok = interp_run(b->g, b->state, step, b->scratch, NULL, NULL,
                               (float *[]){out, NULL, NULL, NULL});
    if (!ok) diag_print(&b->d, stdout);
    return ok;
}

/* Runs a graph whose inputs are x f32[T, K] and maybe y, without sequences. */
static bool run_plain(bench *b, int64_t T, const float *x, const float *y, float *out) {
    const char *names[] = {"x", "y"};
    const float *values[] = {x, y};
    return run(b, &(interp_step){.T = T, .n_named = 2, .name = names, .value = values}, out);
}

static bool near(float got, double want) { return fabs(got - want) <= 2e-7 * fmax(1, fabs(want)); }

/* ---- ops on rows ---- */

enum { ROWS = 3, COLS = 6 };

static void check_rows(const char *line,
                       double (*want)(const float *x, const float *y, int64_t i)) {
    text t = {.mem = arena_open()};
    text_printf(&t,
                "%%0 = input {role=\"x\"} : f32[T,%d]\n%%1 = input {role=\"y\"} : f32[T,%d]\n"
                "%%2 = weight {seed=1} : bf16[%d]\n%s\nreturn %%9\n",
                COLS, COLS, COLS, line);
    bench *b = open_bench(t.buf.at);
    const float *x = numbers(b, ROWS * COLS, 1), *y = numbers(b, ROWS * COLS, 2);
    float out[ROWS * COLS];
    CU_ASSERT(run_plain(b, ROWS, x, y, out));
    const int64_t n = b->g->out[0]->type.dim[1];
    for (int64_t i = 0; i < ROWS * n; i++) {
        const double w = want(x + i / n * COLS, y + i / n * COLS, i % n);
        CU_ASSERT(near(out[i], w));
    }
    close_bench(b);
    arena_close(t.mem);
}

static double silu(double x) { return x / (1 + exp(-x)); }
static double want_add(const float *x, const float *y, int64_t i) { return (double)x[i] + y[i]; }
static double want_mul(const float *x, const float *y, int64_t i) { return (double)x[i] * y[i]; }
static double want_scale(const float *x, const float *y, int64_t i) { return (void)y, -2.5 * x[i]; }
static double want_silu(const float *x, const float *y, int64_t i) { return (void)y, silu(x[i]); }
static double want_slice(const float *x, const float *y, int64_t i) { return (void)y, x[i + 2]; }
static double want_swiglu(const float *x, const float *y, int64_t i) {
    return (void)y, silu(x[i]) * x[i + COLS / 2];
}
static double want_softmax(const float *x, const float *y, int64_t i) {
    double sum = 0;
    for (int k = 0; k < COLS; k++) sum += exp(x[k]);
    return (void)y, exp(x[i]) / sum;
}
static double want_rmsnorm(const float *x, const float *y, int64_t i) {
    float w[COLS];
    double sum = 0;
    /* the weights that seed 1 gives, read as the graph does */
    bench *b = open_bench("%0 = weight {seed=1} : bf16[6]");
    ir_const_rows(b->g->first, 0, 1, w);
    close_bench(b);
    for (int k = 0; k < COLS; k++) sum += (double)x[k] * x[k];
    return (void)y, w[i] * x[i] / sqrt(sum / COLS + 0.125);
}

static void test_rows(void) {
    check_rows("%9 = add %0, %1", want_add);
    check_rows("%9 = mul %0, %1", want_mul);
    check_rows("%9 = scale %0 {by=-2.5}", want_scale);
    check_rows("%9 = silu %0", want_silu);
    check_rows("%9 = slice %0 {begin=2, size=3}", want_slice);
    check_rows("%9 = swiglu %0", want_swiglu);
    check_rows("%9 = softmax %0", want_softmax);
    check_rows("%9 = rmsnorm %0, %2 {eps=0.125}", want_rmsnorm);
    check_rows("%9 = act %0, %2 {act=bf16, eps=0.125}", want_rmsnorm);
    check_rows("%3 = act %0 {act=i16, group=4}\n%9 = add %0, %1", want_add);
}

/* Large and small numbers: silu and softmax neither overflow nor lose the sign. */
static void test_extremes(void) {
    bench *b = open_bench(
        "%0 = input {role=\"x\"} : f32[T,4]\n%1 = silu %0\n%2 = softmax %0\nreturn %1, %2");
    const float x[4] = {1000, -1000, 0, 999};
    float y[4], p[4];
    const char *names[] = {"x"};
    const float *values[] = {x};
    CU_ASSERT(interp_run(b->g, b->state,
                         &(interp_step){.T = 1, .n_named = 1, .name = names, .value = values},
                         b->scratch, NULL, NULL, (float *[]){y, p}));
    CU_ASSERT(y[0] == 1000 && y[1] == 0 && y[2] == 0 && y[3] == 999);
    CU_ASSERT(near(p[0], 1 / (1 + exp(-1))) && p[1] == 0 && p[2] == 0 &&
              near(p[3], 1 / (1 + exp(1))));
    close_bench(b);
}

/* ---- matrices ---- */

static void test_matmul(void) {
    const int64_t sizes[][3] = {{1, 1, 1}, {3, 17, 5}, {70, 130, 33}, {5, 8, 300}};
    for (size_t c = 0; c < COUNT_OF(sizes); c++) {
        const int64_t T = sizes[c][0], N = sizes[c][1], K = sizes[c][2];
        text t = {.mem = arena_open()};
        text_printf(
            &t,
            "%%0 = input {role=\"x\"} : f32[T,%lld]\n%%1 = weight {seed=3} : f16[%lld,%lld]\n"
            "%%2 = matmul %%0, %%1\n%%3 = linear %%0, %%1\n%%4 = linear %%0, %%1, %%2 "
            "{epilogue=\"add\"}\n"
            "return %%2, %%3, %%4",
            (long long)K, (long long)N, (long long)K);
        bench *b = open_bench(t.buf.at);
        const float *x = numbers(b, T * K, 7);
        float *w = arena_array(b->mem, float, N *K), *y[3];
        for (int i = 0; i < 3; i++) y[i] = arena_array(b->mem, float, T *N);
        ir_const_rows(b->g->first->next, 0, N, w);
        const char *names[] = {"x"};
        CU_ASSERT(interp_run(b->g, b->state,
                             &(interp_step){.T = T, .n_named = 1, .name = names, .value = &x},
                             b->scratch, NULL, NULL, y));
        for (int64_t i = 0; i < T * N; i++) {
            double sum = 0;
            for (int64_t k = 0; k < K; k++) sum += (double)x[i / N * K + k] * w[i % N * K + k];
            CU_ASSERT(y[0][i] == (float)sum);
            CU_ASSERT(y[1][i] == (float)sum);
            CU_ASSERT(y[2][i] == (float)sum + (float)sum);
        }
        close_bench(b);
        arena_close(t.mem);
    }
}

static void test_embed_select(void) {
    bench *b =
        open_bench("%0 = input {role=\"ids\"} : i32[T]\n%1 = input {role=\"rows\"} : i32[R]\n"
                   "%2 = weight {seed=9} : bf16[50,7]\n%3 = embed %2, %0\n%4 = select_rows %3, %1\n"
                   "return %4, %3");
    const int32_t ids[] = {49, 0, 3, 3}, rows[] = {2, 0, 2};
    float out[3 * 7], all[4 * 7], w[50 * 7];
    ir_const_rows(b->g->first->next->next, 0, 50, w);
    const interp_step step = {.T = 4, .R = 3, .ids = ids, .rows = rows};
    CU_ASSERT(interp_run(b->g, b->state, &step, b->scratch, NULL, NULL, (float *[]){out, all}));
    for (int t = 0; t < 4; t++) CU_ASSERT(memcmp(all + t * 7, w + ids[t] * 7, 28) == 0);
    for (int r = 0; r < 3; r++) CU_ASSERT(memcmp(out + r * 7, all + rows[r] * 7, 28) == 0);
    close_bench(b);
}

/* Ops on constants give constants' values, and so do outputs that are constants. */
static void test_const_operands(void) {
    bench *b = open_bench(
        "%0 = weight {seed=9} : f32[5,4]\n%1 = cast %0 {to=bf16}\n%2 = cast %1 {to=f32}\n"
        "%3 = add %0, %2\n%4 = quant %0 {to=i4, group=-1}\n%5 = dequant %4\nreturn %3, %5");
    float w[20], sum[20], q[20], want[20];
    ir_const_rows(b->g->first, 0, 5, w);
    CU_ASSERT(interp_run(b->g, b->state, &(interp_step){.T = 1}, b->scratch, NULL, NULL,
                         (float *[]){sum, q}));
    ir_const_rows(b->g->last->prev, 0, 5, want);
    for (int i = 0; i < 20; i++)
        CU_ASSERT(sum[i] == w[i] + bf16_to_f32(f32_to_bf16(w[i])) && q[i] == want[i]);
    close_bench(b);
}

/* ---- rope ---- */

static void test_rope_table(void) {
    /* bits of theta 250000, and of theta 10000 with factors and by; computed apart, step by step in
     * float32 */
    static const struct {
        int64_t position, column;
        uint32_t plain, longrope;
    } WANT[] = {
        {0, 0, 0x3f800000, 0x3f9851ec},     {1, 1, 0x3f7fbe7a, 0x3f97fb4d},
        {4099, 0, 0xbf364785, 0xbf58e997},  {4099, 5, 0x3f6434cb, 0x3d7cb3d8},
        {16000, 2, 0x3f558faa, 0xbe068374}, {16000, 7, 0x3f7d816b, 0xbf94f3aa},
        {77, 3, 0x3f7ffe72, 0x3f9846fa},
    };
    bench *b = open_bench(
        "%0 = rope_table {theta=250000, rot=8} : f32[16384,8]\n"
        "%1 = rope_table {theta=10000, rot=8, factors=[1, 1.5, 2, 3.25], by=1.19} : f32[16384,8]");
    for (size_t i = 0; i < COUNT_OF(WANT); i++) {
        float row[8];
        ir_const_rows(b->g->first, WANT[i].position, 1, row);
        CU_ASSERT_EQUAL(f32_bits(row[WANT[i].column]), WANT[i].plain);
        ir_const_rows(b->g->last, WANT[i].position, 1, row);
        CU_ASSERT_EQUAL(f32_bits(row[WANT[i].column]), WANT[i].longrope);
    }
    close_bench(b);
}

static void test_rope(void) {
    bench *b = open_bench("%0 = input {role=\"x\"} : f32[T,20]\n%1 = input {role=\"seqs\"} : seqs\n"
                          "%2 = rope_table {theta=100, rot=6} : f32[64,6]\n"
                          "%3 = rope %0, %2, %1 {heads=2, head_dim=10, rot=6}\nreturn %3");
    const float *x = numbers(b, 5 * 20, 4);
    const interp_seq seqs[] = {{2, 3, 50, 1}, {0, 2, 0, 0}}; /* in any order */
    const int64_t position[] = {0, 1, 50, 51, 52};
    const char *names[] = {"x"};
    float out[100];
    CU_ASSERT(run(
        b,
        &(interp_step){.T = 5, .seqs = seqs, .n_seqs = 2, .n_named = 1, .name = names, .value = &x},
        out));
    for (int i = 0; i < 100; i++) {
        const int t = i / 20, lane = i % 10, j = lane % 3;
        const double angle = (double)position[t] * pow(100, -2.0 * j / 6);
        double want = x[i];
        if (lane < 3) want = x[i] * cos(angle) - x[i + 3] * sin(angle);
        else if (lane < 6) want = x[i] * cos(angle) + x[i - 3] * sin(angle);
        CU_ASSERT(fabs(out[i] - want) < 1e-5);
    }
    close_bench(b);
}

/* ---- attention ---- */

enum { H = 4, G = 2, E = 6, WINDOW = 5 };

/* x f32[T, (H + 2G) E] -> attention over all that was appended */
static const char ATTENTION[] =
    "%0 = input {role=\"x\"} : f32[T,48]\n%1 = input {role=\"seqs\"} : seqs\n"
    "%2 = input {role=\"kv\"} : f32[2,2,6]@kv\n"
    "%3 = slice %0 {begin=0, size=24}\n%4 = slice %0 {begin=24, size=12}\n%5 = slice %0 {begin=36, "
    "size=12}\n"
    "%6 = kv_append %2, %4, %5, %1 {layer=1}\n"
    "%7 = attn_scores %3, %6, %1 {layer=1, heads=4}\n%8 = scale %7 {by=0.5}\n%9 = attn_mask %8, %1 "
    "{window=5}\n"
    "%10 = softmax %9\n%11 = attn_mix %10, %6, %1 {layer=1}\n"
    "%12 = attention %3, %6, %1 {layer=1, heads=4, by=0.5, window=5}\n"
    "%13 = attention %3, %6, %1 {layer=1, heads=4, by=0.5}\nreturn %11, %12, %13";

/* Output of one head of one query over keys begin .. end of all, rows of x. */
static double attend(const float *const *row, int64_t query, int64_t begin, int head, int lane) {
    const int kv = head / (H / G);
    double sum = 0, out = 0;
    for (int64_t key = begin; key <= query; key++) {
        double dot = 0;
        for (int e = 0; e < E; e++)
            dot += (double)row[query][head * E + e] * row[key][H * E + kv * E + e];
        sum += exp(0.5 * dot);
        out += exp(0.5 * dot) * row[key][(H + G) * E + kv * E + lane];
    }
    return out / sum;
}

static void test_attention(void) {
    bench *b = open_bench(ATTENTION);
    enum { N_SEQS = 3, STEPS = 4, WIDTH = (H + 2 * G) * E };
    /* new tokens of each sequence in each step: chunks, single tokens, pauses, more than 64 at once
     */
    const int64_t n_new[STEPS][N_SEQS] = {{3, 1, 0}, {1, 80, 7}, {0, 1, 1}, {9, 2, 0}};
    const float *row[N_SEQS][100]; /* every token's x so far */
    int64_t n_past[N_SEQS] = {0};
    for (int step = 0; step < STEPS; step++) {
        interp_seq seqs[N_SEQS];
        int64_t T = 0;
        int n_seqs = 0;
        for (int s = 0; s < N_SEQS; s++) {
            if (!n_new[step][s]) continue;
            seqs[n_seqs++] = (interp_seq){T, n_new[step][s], n_past[s], 3 - s};
            T += n_new[step][s];
        }
        const float *x = numbers(b, T * WIDTH, (uint32_t)step);
        float *out[3];
        for (int i = 0; i < 3; i++) out[i] = arena_array(b->mem, float, T *H *E);
        const char *names[] = {"x"};
        const interp_step st = {
            .T = T, .seqs = seqs, .n_seqs = n_seqs, .n_named = 1, .name = names, .value = &x};
        CU_ASSERT_FATAL(interp_run(b->g, b->state, &st, b->scratch, NULL, NULL, out));
        for (int i = 0; i < n_seqs; i++) {
            const int s = 3 - seqs[i].id;
            for (int64_t j = 0; j < seqs[i].n_new; j++)
                row[s][n_past[s] + j] = x + (seqs[i].first_row + j) * WIDTH;
            for (int64_t j = 0; j < seqs[i].n_new * H * E; j++) {
                const int64_t query = n_past[s] + j / (H * E), at = seqs[i].first_row * H * E + j;
                const int head = (int)(j / E % H), lane = (int)(j % E);
                const double all = attend(row[s], query, 0, head, lane);
                const double near_keys =
                    attend(row[s], query, query < WINDOW ? 0 : query - WINDOW + 1, head, lane);
                CU_ASSERT(fabs(out[0][at] - near_keys) < 2e-6);
                CU_ASSERT(out[1][at] == out[0][at]); /* fused: the same arithmetic */
                CU_ASSERT(fabs(out[2][at] - all) < 2e-6);
            }
            n_past[s] += seqs[i].n_new;
        }
    }
    close_bench(b);
}

/* A sequence that goes back overwrites what came after. */
static void test_truncate(void) {
    bench *b = open_bench(ATTENTION);
    const float *x = numbers(b, 8 * 48, 1), *other = numbers(b, 3 * 48, 2);
    const char *names[] = {"x"};
    float first[3][8 * 24], again[3][8 * 24];
    float *outs[] = {first[0], first[1], first[2]}, *outs2[] = {again[0], again[1], again[2]};
    interp_seq seq = {0, 8, 0, 0};
    interp_step st = {.T = 8, .seqs = &seq, .n_seqs = 1, .n_named = 1, .name = names, .value = &x};
    CU_ASSERT(interp_run(b->g, b->state, &st, b->scratch, NULL, NULL, outs));
    seq = (interp_seq){0, 3, 2, 0};
    st = (interp_step){
        .T = 3, .seqs = &seq, .n_seqs = 1, .n_named = 1, .name = names, .value = &other};
    CU_ASSERT(interp_run(b->g, b->state, &st, b->scratch, NULL, NULL, outs2));
    /* it ends at position 5 now: 6 would leave a gap */
    seq = (interp_seq){0, 1, 6, 0};
    st.T = 1;
    CU_ASSERT(!interp_run(b->g, b->state, &st, b->scratch, NULL, NULL, outs2));
    CU_ASSERT(b->d.n_errors == 1 && b->d.first->code == DIAG_IR_STEP);
    const float *tail = x + 2 * 48;
    seq = (interp_seq){0, 6, 2, 0};
    st = (interp_step){
        .T = 6, .seqs = &seq, .n_seqs = 1, .n_named = 1, .name = names, .value = &tail};
    CU_ASSERT(interp_run(b->g, b->state, &st, b->scratch, NULL, NULL, outs2));
    for (int i = 0; i < 3; i++)
        CU_ASSERT(memcmp(first[i] + 2 * 24, again[i], 6 * 24 * sizeof(float)) == 0);
    close_bench(b);
}

/* With one key the result is its value, rounded to the cache's element type. */
static void test_kv_dtype(void) {
    static const struct {
        const char *name;
        ir_dtype dtype;
    } TYPES[] = {{"f32", DT_f32}, {"bf16", DT_bf16}, {"f16", DT_f16}};
    for (size_t i = 0; i < COUNT_OF(TYPES); i++) {
        text t = {.mem = arena_open()};
        text_printf(&t,
                    "%%0 = input {role=\"x\"} : f32[T,8]\n%%1 = input {role=\"seqs\"} : seqs\n"
                    "%%2 = input {role=\"kv\"} : %s[1,2,4]@kv\n%%3 = kv_append %%2, %%0, %%0, %%1 "
                    "{layer=0}\n"
                    "%%4 = attention %%0, %%3, %%1 {layer=0, heads=2, by=1}\nreturn %%4, %%3",
                    TYPES[i].name);
        bench *b = open_bench(t.buf.at);
        const float *x = numbers(b, 8, 3);
        const char *names[] = {"x"};
        const interp_seq seq = {0, 1, 0, 0};
        float out[8];
        CU_ASSERT(
            run(b,
                &(interp_step){
                    .T = 1, .seqs = &seq, .n_seqs = 1, .n_named = 1, .name = names, .value = &x},
                out));
        for (int k = 0; k < 8; k++) {
            float want = x[k];
            if (TYPES[i].dtype == DT_bf16) want = bf16_to_f32(f32_to_bf16(want));
            if (TYPES[i].dtype == DT_f16) want = f16_to_f32(f32_to_f16(want));
            CU_ASSERT(out[k] == want);
        }
        close_bench(b);
        arena_close(t.mem);
    }
}

/* ---- fused ops against the plain ops they stand for ---- */

static const char LAYER_INPUTS[] =
    "%0 = input {role=\"x\"} : f32[T,24]\n%1 = input {role=\"seqs\"} : seqs\n"
    "%2 = input {role=\"kv\"} : bf16[1,2,6]@kv\n%3 = rope_table {theta=10000, rot=4} : f32[64,4]\n"
    "%4 = weight {seed=1} : f32[24]\n"
    "%5 = weight {seed=2} : i4<g8,zp>[48,24]\n%6 = weight {seed=3} : bf16[24,24]\n"
    "%7 = weight {seed=4} : f32[20,24]\n%8 = weight {seed=5} : f16[24,10]\n";

static const char PLAIN_LAYER[] =
    "%10 = rmsnorm %0, %4 {eps=1e-05}\n%11 = dequant %5\n%12 = matmul %10, %11\n"
    "%13 = slice %12 {begin=0, size=24}\n%14 = slice %12 {begin=24, size=12}\n%15 = slice %12 "
    "{begin=36, size=12}\n"
    "%16 = rope %13, %3, %1 {heads=4, head_dim=6, rot=4}\n%17 = rope %14, %3, %1 {heads=2, "
    "head_dim=6, rot=4}\n"
    "%18 = kv_append %2, %17, %15, %1 {layer=0}\n%19 = attn_scores %16, %18, %1 {layer=0, "
    "heads=4}\n"
    "%20 = scale %19 {by=0.4}\n%21 = attn_mask %20, %1\n%22 = softmax %21\n%23 = attn_mix %22, "
    "%18, %1 {layer=0}\n"
    "%24 = matmul %23, %6\n%25 = add %0, %24\n"
    "%26 = matmul %25, %7\n%27 = slice %26 {begin=0, size=10}\n%28 = slice %26 {begin=10, "
    "size=10}\n"
    "%29 = silu %27\n%30 = mul %29, %28\n%31 = matmul %30, %8\n%32 = add %25, %31\nreturn %32, %18";

static const char FUSED_LAYER[] =
    "%10 = pack %5 {layout=r16k8, order=\"rope\", heads=4, kv_heads=2, head_dim=6, rot=4}\n"
    "%11 = act %0, %4, %10 {act=i16, eps=1e-05}\n"
    "%12 = linear %11, %10, %3, %1, %2 {epilogue=\"rope_kv\", layer=0, heads=4, kv_heads=2, "
    "head_dim=6, rot=4}\n"
    "%13 = second %12\n%14 = attention %12, %13, %1 {layer=0, heads=4, by=0.4}\n"
    "%15 = pack %6 {layout=r16k2}\n%16 = linear %14, %15, %0 {epilogue=\"add\"}\n"
    "%17 = pack %7 {layout=r16k1, order=\"swiglu\"}\n%18 = act %16 {act=f32}\n"
    "%19 = linear %18, %17 {epilogue=\"swiglu\"}\n"
    "%20 = pack %8 {layout=r16k1}\n%21 = linear %19, %20, %16 {epilogue=\"add\"}\nreturn %21, %13";

static void test_fused(void) {
    float *result[2];
    bench *b[2];
    for (int i = 0; i < 2; i++) {
        text t = {.mem = arena_open()};
        text_cat(&t, LAYER_INPUTS);
        text_cat(&t, i ? FUSED_LAYER : PLAIN_LAYER);
        b[i] = open_bench(t.buf.at);
        arena_close(t.mem);
        const float *x = numbers(b[i], 7 * 24, 11), *y = numbers(b[i], 3 * 24, 12);
        result[i] = arena_array(b[i]->mem, float, 10 * 24);
        const char *names[] = {"x"};
        const interp_seq one[] = {{0, 5, 0, 0}, {5, 2, 0, 1}}, two[] = {{0, 1, 5, 0}, {1, 2, 2, 1}};
        CU_ASSERT(
            run(b[i],
                &(interp_step){
                    .T = 7, .seqs = one, .n_seqs = 2, .n_named = 1, .name = names, .value = &x},
                result[i]));
        CU_ASSERT(
            run(b[i],
                &(interp_step){
                    .T = 3, .seqs = two, .n_seqs = 2, .n_named = 1, .name = names, .value = &y},
                result[i] + 7 * 24));
    }
    CU_ASSERT(memcmp(result[0], result[1], 10 * 24 * sizeof(float)) == 0);
    CU_ASSERT(result[0][0] != result[0][1]);
    close_bench(b[0]);
    close_bench(b[1]);
}

/* ---- what it tells while running, and what it refuses ---- */

typedef struct seen {
    int n_ops, n_values;
    int64_t n_floats;
} seen;

static void count_ops(void *context, const ir_op *op, const float *value, int64_t n) {
    seen *s = context;
    s->n_ops++;
    s->n_values += value != NULL;
    s->n_floats += n;
    CU_ASSERT((value != NULL) == (n > 0));
    CU_ASSERT(!ir_is_const(op) || !value);
}

static void test_watch(void) {
    bench *b = open_bench(ATTENTION);
    const float *x = numbers(b, 2 * 48, 1);
    const char *names[] = {"x"};
    const interp_seq seq = {0, 2, 0, 0};
    seen s = {0};
    CU_ASSERT(interp_run(
        b->g, b->state,
        &(interp_step){.T = 2, .seqs = &seq, .n_seqs = 1, .n_named = 1, .name = names, .value = &x},
        b->scratch, count_ops, &s, NULL));
    CU_ASSERT_EQUAL(s.n_ops, 14);
    CU_ASSERT_EQUAL(s.n_values, 11); /* all but seqs and two kv values */
    CU_ASSERT_EQUAL(s.n_floats, 2 * (48 + 24 + 12 + 12 + 4 * 4 * 2 + 3 * 24));
    CU_ASSERT_EQUAL(arena_used(b->scratch), 0); /* given back */
    close_bench(b);
}

static const char WITH_IDS[] =
    "%0 = input {role=\"ids\"} : i32[T]\n%1 = input {role=\"rows\"} : i32[R]\n%2 = input "
    "{role=\"seqs\"} : seqs\n"
    "%3 = input {role=\"kv\"} : f32[1,1,4]@kv\n%4 = weight {seed=1} : f32[10,4]\n%5 = embed %4, "
    "%0\n"
    "%6 = rope_table {theta=10, rot=4} : f32[6,4]\n%7 = rope %5, %6, %2 {heads=1, head_dim=4, "
    "rot=4}\n"
    "%8 = kv_append %3, %7, %5, %2 {layer=0}\n%9 = attention %7, %8, %2 {layer=0, heads=1, by=1}\n"
    "%10 = select_rows %9, %1\nreturn %10, %8";

static bool refused(bench *b, const interp_step *step) {
    float out[64];
    diag_clear(&b->d);
    return !interp_run(b->g, b->state, step, b->scratch, NULL, NULL, (float *[]){out, NULL}) &&
           b->d.n_errors == 1 && b->d.first->code == DIAG_IR_STEP;
}

static void test_refused(void) {
    bench *b = open_bench(WITH_IDS);
    const int32_t ids[] = {1, 2, 3}, rows[] = {0}, big[] = {1, 10, 3}, negative[] = {-1, 0, 0},
                  far[] = {3};
    const interp_seq one[] = {{0, 3, 0, 0}}, past[] = {{0, 3, 1, 0}},
                     twice[] = {{0, 1, 0, 0}, {1, 2, 0, 0}};
    const interp_seq gap[] = {{0, 1, 0, 0}, {2, 1, 0, 1}}, overlap[] = {{0, 2, 0, 0}, {1, 2, 0, 1}};
    const interp_seq id[] = {{0, 3, 0, 4}}, long_one[] = {{0, 4, 0, 0}}, minus[] = {{0, 3, -1, 0}};
    const interp_step good = {.T = 3, .R = 1, .ids = ids, .rows = rows, .seqs = one, .n_seqs = 1};
    interp_step s = good;
    CU_ASSERT((s.ids = big, refused(b, &s)));
    CU_ASSERT((s.ids = negative, refused(b, &s)));
    CU_ASSERT((s.ids = NULL, refused(b, &s)));
    s = good;
    CU_ASSERT((s.rows = far, refused(b, &s)));
    s = good;
    CU_ASSERT((s.n_seqs = 0, refused(b, &s)));
    const struct {
        const interp_seq *seqs;
        int64_t n;
    } BAD[] = {{past, 1}, {twice, 2}, {gap, 2}, {overlap, 2}, {id, 1}, {long_one, 1}, {minus, 1}};
    for (size_t i = 0; i < COUNT_OF(BAD); i++) {
        s.seqs = BAD[i].seqs;
        s.n_seqs = BAD[i].n;
        CU_ASSERT(refused(b, &s));
    }
    float out[4];
    CU_ASSERT(run(b, &good, out));
    /* positions 3, 4, 5 are the table's last ones */
    s = good;
    const interp_seq last[] = {{0, 3, 3, 0}}, beyond[] = {{0, 3, 6, 0}};
    CU_ASSERT((s.seqs = last, run(b, &s, out)));
    CU_ASSERT((s.seqs = beyond, refused(b, &s)));
    close_bench(b);

    b = open_bench("%0 = input {role=\"x\"} : f32[T,4]\n%1 = silu %0\nreturn %1");
    CU_ASSERT(refused(b, &(interp_step){.T = 1}));
    CU_ASSERT(refused(b, &(interp_step){.T = 0}));
    close_bench(b);

    b = open_bench("%0 = input {role=\"x\"} : f32[T,4]\n%1 = input {role=\"seqs\"} : seqs\n"
                   "%2 = input {role=\"kv\"} : f32[1,1,4]@kv\n%3 = attention %0, %2, %1 {layer=0, "
                   "heads=1, by=1}\nreturn %3");
    const float *x = numbers(b, 4, 1);
    const char *names[] = {"x"};
    const interp_seq seq = {0, 1, 0, 0}; /* its own key was never appended */
    CU_ASSERT(refused(
        b, &(interp_step){
               .T = 1, .seqs = &seq, .n_seqs = 1, .n_named = 1, .name = names, .value = &x}));
    close_bench(b);
}

static void test_no_bytes(void) {
    bench *b = open_bench("%0 = input {role=\"x\"} : f32[T,4]\n%1 = weight : f32[4,4]\n%2 = matmul "
                          "%0, %1\nreturn %2");
    const float x[4] = {0};
    float out[4];
    CU_ASSERT(!interp_run(
        b->g, b->state,
        &(interp_step){
            .T = 1, .n_named = 1, .name = (const char *[]){"x"}, .value = (const float *[]){x}},
        b->scratch, NULL, NULL, (float *[]){out}));
    CU_ASSERT(b->d.n_errors == 1 && b->d.first->code == DIAG_IR_SOURCE);
    close_bench(b);
}

UNIT_MAIN("interp", {"rows", test_rows}, {"extremes", test_extremes}, {"matmul", test_matmul},
          {"embed and select_rows", test_embed_select},
          {"constants as operands", test_const_operands}, {"rope table", test_rope_table},
          {"rope", test_rope}, {"attention", test_attention}, {"truncate", test_truncate},
          {"kv element types", test_kv_dtype}, {"fused", test_fused}, {"watch", test_watch},
          {"refused", test_refused}, {"no bytes", test_no_bytes})
