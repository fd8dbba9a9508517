/* test_sampler.c - distributions against transformers (tests/golden/sampling), draws, greedy,
 * refusals. */
#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "frontend/safetensors.h"
#include "runtime/sampler.h"
#include "tests/unit/unit.h"

static void *libc_alloc(void *ctx, size_t n) { return (void)ctx, malloc(n); }
static void libc_free(void *ctx, void *p) { (void)ctx, free(p); }
static const rt_alloc MEM = {libc_alloc, libc_free, NULL};

static p4c_sampling defaults(void) {
    return (p4c_sampling){.do_sample = 1, .temperature = 1, .top_p = 1, .repetition_penalty = 1};
}

typedef struct golden {
    arena *mem;
    diag d;
    mapped_file file;
    st_file st;
    json cases;
} golden;

static void open_golden(golden *g) {
    *g = (golden){.mem = arena_open()};
    g->d.mem = g->mem;
    str source;
    CU_ASSERT_FATAL(
        file_map(P4C_TESTS "/golden/sampling/sampling.safetensors", g->mem, &g->d, &g->file));
    CU_ASSERT_FATAL(st_read(g->file.at, g->file.n_bytes, "sampling", g->mem, &g->d, &g->st));
    CU_ASSERT_FATAL(
        file_read(P4C_TESTS "/golden/sampling/cases.json", 1 << 20, g->mem, &g->d, &source));
    CU_ASSERT_FATAL(json_parse(source, "cases.json", g->mem, &g->d, &g->cases));
}

static void close_golden(golden *g) {
    json_free(&g->cases);
    file_unmap(&g->file);
    arena_close(g->mem);
}

static const float *tensor(const golden *g, const char *name, int64_t *n) {
    for (size_t i = 0; i < g->st.n_tensors; i++) {
        const st_tensor *t = &g->st.tensor[i];
        if (strcmp(t->name, name) != 0) continue;
        CU_ASSERT_FATAL(t->dtype == DT_f32 && t->rank == 1);
        *n = t->dim[0];
        return (const float *)(const void *)(g->file.at + t->range.offset);
    }
    CU_FAIL_FATAL("no such tensor");
    return NULL;
}

static double setting(const cJSON *settings, const char *key, double otherwise) {
    const cJSON *v = json_member(settings, key);
    return v ? v->valuedouble : otherwise;
}

static void check_case(const golden *g, const cJSON *c) {
    int64_t n = 0, n_probs = 0;
    const float *logits = tensor(g, json_member(c, "logits")->valuestring, &n);
    const float *want = tensor(g, json_member(c, "probs")->valuestring, &n_probs);
    CU_ASSERT_EQUAL_FATAL(n, n_probs);
    const cJSON *settings = json_member(c, "settings"), *list = json_member(c, "history");
    p4c_sampling s = defaults();
    s.temperature = (float)setting(settings, "temperature", 1);
    s.top_k = (uint32_t)setting(settings, "top_k", 0);
    s.top_p = (float)setting(settings, "top_p", 1);
    s.min_p = (float)setting(settings, "min_p", 0);
    s.repetition_penalty = (float)setting(settings, "repetition_penalty", 1);
    int32_t *history = arena_array(g->mem, int32_t, cJSON_GetArraySize(list) + 1);
    int64_t n_history = 0, kept = -1;
    for (const cJSON *i = list->child; i; i = i->next) history[n_history++] = (int32_t)i->valueint;
    const rt_sample_input in = {&s, history, n_history, logits, n};
    float *probs = arena_array(g->mem, float, n);
    CU_ASSERT_EQUAL_FATAL(rt_sampler_probs(&in, &MEM, probs, &kept, NULL), P4C_OK);
    double worst = 0;
    for (int64_t i = 0; i < n; i++) worst = fmax(worst, fabs((double)probs[i] - (double)want[i]));
    CU_ASSERT(worst <= 1e-5);
    CU_ASSERT_EQUAL(kept, json_member(c, "kept")->valueint);
    if (!(worst <= 1e-5) || kept != json_member(c, "kept")->valueint)
        printf("  %s: off by %g, kept %lld of %d\n", json_member(c, "probs")->valuestring, worst,
               (long long)kept, json_member(c, "kept")->valueint);
    s.do_sample = 0;
    rt_sampler draw;
    rt_sampler_start(&draw, 1);
    int32_t id = -1;
    CU_ASSERT_EQUAL(rt_sample(&draw, &in, &MEM, &id, NULL), P4C_OK);
    CU_ASSERT_EQUAL(id, json_member(c, "argmax")->valueint);
}

static void distributions_equal_transformers(void) {
    golden g;
    open_golden(&g);
    int n = 0;
    for (const cJSON *c = json_member(g.cases.root, "cases")->child; c; c = c->next, n++)
        check_case(&g, c);
    CU_ASSERT_EQUAL(n, 84);
    close_golden(&g);
}

/* Chi-square of 20000 draws over 4 cells: 3 degrees of freedom, 16.3 is the 0.1 % point; the seed
 * is fixed. */
static void draws_follow_the_distribution(void) {
    const float logits[] = {0, 1, 2, -1, -INFINITY};
    const p4c_sampling s = defaults();
    const rt_sample_input in = {&s, NULL, 0, logits, 5};
    float p[5];
    int64_t kept;
    CU_ASSERT_EQUAL_FATAL(rt_sampler_probs(&in, &MEM, p, &kept, NULL), P4C_OK);
    CU_ASSERT_EQUAL(kept, 4);
    enum { N = 20000 };
    int count[5] = {0};
    rt_sampler draw;
    rt_sampler_start(&draw, 42);
    for (int i = 0; i < N; i++) {
        int32_t id = 0;
        CU_ASSERT_EQUAL_FATAL(rt_sample(&draw, &in, &MEM, &id, NULL), P4C_OK);
        count[id]++;
    }
    double chi = 0;
    for (int i = 0; i < 4; i++) chi += pow(count[i] - N * (double)p[i], 2) / (N * (double)p[i]);
    CU_ASSERT(chi < 16.3);
    CU_ASSERT_EQUAL(count[4], 0);
}

/* Fixed for all time: artifacts of any version draw the same from the same seed. */
static void draws_are_the_published_sequence(void) {
    rt_sampler s;
    rt_sampler_start(&s, 0);
    CU_ASSERT_EQUAL(rt_sampler_next(&s),
                    (double)(0xe220a8397b1dcdafu >> 11) * 0x1p-53); /* splitmix64(0) */
    CU_ASSERT_EQUAL(rt_sampler_next(&s), (double)(0x6e789e6aa1b965f4u >> 11) * 0x1p-53);
}

static void greedy_takes_the_lowest_of_equals(void) {
    const float logits[] = {1, 3, 3, -INFINITY};
    p4c_sampling s = defaults();
    s.do_sample = 0;
    rt_sample_input in = {&s, NULL, 0, logits, 4};
    rt_sampler draw = {0};
    int32_t id = -1;
    CU_ASSERT_EQUAL(rt_sample(&draw, &in, &MEM, &id, NULL), P4C_OK);
    CU_ASSERT_EQUAL(id, 1);
    s.repetition_penalty = 2;
    in.history = (const int32_t[]){1, 1, 1};
    in.n_history = 3;
    CU_ASSERT_EQUAL(rt_sample(&draw, &in, &MEM, &id, NULL), P4C_OK);
    CU_ASSERT_EQUAL(id, 2);
}

static void what_is_no_distribution_is_refused(void) {
    const p4c_sampling s = defaults();
    rt_sampler draw = {0};
    int32_t id;
    const float bad[][2] = {{NAN, 1}, {INFINITY, 1}, {-INFINITY, -INFINITY}};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        const rt_sample_input in = {&s, NULL, 0, bad[i], 2};
        CU_ASSERT_EQUAL(rt_sample(&draw, &in, &MEM, &id, NULL), P4C_ERR_ARGUMENT);
    }
    const float large[] = {1e30f, 1};
    p4c_sampling cold = defaults();
    cold.temperature = 1e-20f;
    const rt_sample_input in = {&cold, NULL, 0, large, 2};
    CU_ASSERT_EQUAL(rt_sample(&draw, &in, &MEM, &id, NULL), P4C_ERR_ARGUMENT);
}

/* ---- against a plain sort ---- */

typedef struct plain {
    double p;
    float scaled;
    int32_t id;
} plain;

static int by_scaled(const void *a, const void *b) {
    const plain *x = a, *y = b;
    if (x->scaled != y->scaled) return x->scaled > y->scaled ? -1 : 1;
    return x->id < y->id ? -1 : 1;
}

/* The cuts as the header says them, everything sorted.  Returns how many stay, in order. */
static int64_t plain_cuts(const rt_sample_input *in, plain *all) {
    const p4c_sampling *s = in->settings;
    double sum = 0;
    for (int64_t i = 0; i < in->n; i++) {
        float l = in->logits[i];
        bool seen = false;
        for (int64_t k = 0; k < in->n_history; k++) seen |= in->history[k] == i;
        if (seen) l = l > 0 ? l / s->repetition_penalty : l * s->repetition_penalty;
        all[i] = (plain){.scaled = l / s->temperature, .id = (int32_t)i};
    }
    qsort(all, (size_t)in->n, sizeof *all, by_scaled);
    int64_t n = in->n;
    if (s->top_k && s->top_k < n)
        for (n = s->top_k; n < in->n && all[n].scaled == all[s->top_k - 1].scaled;) n++;
    for (int64_t i = 0; i < n; i++) {
        all[i].p = exp((double)all[i].scaled - (double)all[0].scaled);
        sum += all[i].p;
    }
    if (s->top_p < 1) {
        double before_it = all[0].p;
        int64_t k = 1;
        while (k < n && before_it < (double)s->top_p * sum) before_it += all[k++].p;
        n = k;
    }
    if (s->min_p > 0)
        for (int64_t k = n; k-- > 1;)
            if (all[k].p < (double)s->min_p) n = k;
    sum = 0;
    for (int64_t i = 0; i < n; i++) sum += all[i].p;
    for (int64_t i = 0; i < n; i++) all[i].p /= sum;
    return n;
}

static uint64_t random_state = 1;
static double random_unit(void) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (double)(random_state >> 11) * 0x1p-53;
}

static void cuts_equal_a_plain_sort(void) {
    enum { MAX = 3000 };
    static float logits[MAX], probs[MAX];
    static plain all[MAX];
    for (int round = 0; round < 300; round++) {
        const int64_t n = 1 + (int64_t)(random_unit() * (round % 3 ? 40 : MAX - 1));
        const double spread = round % 5 ? 12 : 0.5;
        int32_t history[3];
        for (int64_t i = 0; i < n; i++) {
            logits[i] = (float)((random_unit() - 0.5) * spread);
            if (round % 4 == 0) logits[i] = (float)(int)(logits[i] * 2); /* ties */
            if (round % 7 == 0 && i && random_unit() < 0.3) logits[i] = -INFINITY;
        }
        for (int k = 0; k < 3; k++) history[k] = (int32_t)(random_unit() * (double)n);
        p4c_sampling s = defaults();
        s.temperature = (float)(0.3 + 2 * random_unit());
        if (round % 2) s.top_k = 1 + (uint32_t)(random_unit() * 60);
        if (round % 3) s.top_p = (float)random_unit();
        if (round % 5 == 1) s.min_p = (float)random_unit();
        if (round % 6 == 2) s.repetition_penalty = 1.3f;
        const rt_sample_input in = {&s, history, 3, logits, n};
        int64_t kept, want = plain_cuts(&in, all), n_possible = 0;
        CU_ASSERT_EQUAL_FATAL(rt_sampler_probs(&in, &MEM, probs, &kept, NULL), P4C_OK);
        double off = 0, total = 0;
        for (int64_t i = 0; i < want; i++) {
            n_possible += all[i].p > 0;
            off = fmax(off, fabs((double)probs[all[i].id] - all[i].p));
        }
        for (int64_t i = 0; i < n; i++) total += (double)probs[i];
        CU_ASSERT(kept == n_possible && off < 1e-6 && fabs(total - 1) < 1e-4);
        if (kept != n_possible)
            printf("  round %d: kept %lld, want %lld\n", round, (long long)kept,
                   (long long)n_possible);
    }
}

typedef struct counted {
    int calls, fail_at, live;
} counted;
static void *counted_get(void *ctx, size_t n) {
    counted *c = ctx;
    if (++c->calls == c->fail_at) return NULL;
    c->live++;
    return malloc(n);
}
static void counted_put(void *ctx, void *p) {
    counted *c = ctx;
    c->live--;
    free(p);
}

static void every_allocation_may_fail(void) {
    const float logits[] = {0, 1, 2, -1, 3};
    p4c_sampling s = defaults();
    s.top_k = 3;
    s.repetition_penalty = 1.1f;
    const rt_sample_input in = {&s, (const int32_t[]){1}, 1, logits, 5};
    for (uint32_t do_sample = 0; do_sample < 2; do_sample++) {
        p4c_status status = P4C_ERR_NO_MEMORY;
        s.do_sample = do_sample;
        int n = 0;
        while (status != P4C_OK) {
            counted c = {.fail_at = ++n};
            const rt_alloc mem = {counted_get, counted_put, &c};
            rt_sampler draw = {0};
            int32_t id = -1;
            status = rt_sample(&draw, &in, &mem, &id, NULL);
            CU_ASSERT(status == P4C_OK || (status == P4C_ERR_NO_MEMORY && id == -1));
            CU_ASSERT_EQUAL(c.live, 0);
        }
        CU_ASSERT_EQUAL(n, do_sample ? 4 : 2); /* penalty; and heap, candidates */
    }
}

UNIT_MAIN("sampler", {"distributions equal transformers'", distributions_equal_transformers},
          {"draws follow the distribution", draws_follow_the_distribution},
          {"draws are the published sequence", draws_are_the_published_sequence},
          {"greedy takes the lowest id of equal logits", greedy_takes_the_lowest_of_equals},
          {"what is no distribution is refused", what_is_no_distribution_is_refused},
          {"cuts equal a plain sort", cuts_equal_a_plain_sort},
          {"every allocation may fail", every_allocation_may_fail})
