/* bench_main.c - `bench`: speed of prompts and of generation, beside the machine's limits in the
 * same run.
 *
 * The limit of a test is the time that it would take if only the slower of two things bound it:
 * reading its bytes (weights once a step, keys and values once a token) at the read bandwidth, or
 * its multiply-adds at the peak of the dot product that its scheme uses; `limit` is that time as a
 * share of the time measured.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/app.h"
#include "app/bench.h"
#include "app/machine.h"
#include "app/progress.h"
#include "base/vec.h"

enum { MAX_REPEATS = 1000, DEFAULT_REPEATS = 5, DEFAULT_GEN = 64 };

static bool failed(bench *b, const p4c_error *error) {
    if (error->status == P4C_ERR_CANCELLED && (b->signal = app_take_signal())) return false;
    return app_fail(b->a, error);
}

/* Ids that differ, the same in each run. */
static int32_t any_id(const bench *b, int64_t i) {
    return (int32_t)((((uint64_t)i * 2654435761u + 12345) >> 4) % b->info.vocab);
}

/* ---- sessions ---- */

static void close_sessions(bench *b) {
    app_watch_signals(NULL);
    for (int i = 0; i < b->n_sessions; i++) p4c_session_close(b->session[i]);
    b->n_sessions = 0;
}

/* n sessions that hold `depth` tokens each. */
static bool open_sessions(bench *b, int n, int64_t depth) {
    p4c_error error = {0};
    b->session = arena_array(b->a->mem, p4c_session *, n);
    for (; b->n_sessions < n; b->n_sessions++)
        if (p4c_session_open(b->model, &b->session[b->n_sessions], &error) != P4C_OK)
            return failed(b, &error);
    app_watch_signals(b->session[0]);
    if (!depth) return true;
    int32_t *ids = arena_array(b->a->mem, int32_t, depth);
    for (int64_t i = 0; i < depth; i++) ids[i] = any_id(b, i + 7);
    for (int i = 0; i < n; i++) {
        const p4c_item item = {.session = b->session[i], .ids = ids, .n_ids = depth};
        if (p4c_eval(b->model, &item, 1, &error) != P4C_OK) return failed(b, &error);
    }
    return true;
}

static bool cut_sessions(bench *b, int64_t depth) {
    p4c_error error = {0};
    for (int i = 0; i < b->n_sessions; i++)
        if (p4c_session_truncate(b->session[i], depth, &error) != P4C_OK) return failed(b, &error);
    return true;
}

/* ---- one repetition ---- */

static bool eval_prompt(bench *b, const bench_test *t) {
    p4c_error error = {0};
    const p4c_item item = {.session = b->session[0],
                           .ids = b->ids,
                           .n_ids = t->tokens,
                           .logits = P4C_LOGITS_LAST,
                           .out = b->logits,
                           .n_out = b->info.vocab,
                           .expected_total = t->depth + t->tokens};
    return p4c_eval(b->model, &item, 1, &error) == P4C_OK || failed(b, &error);
}

/* Draws each sequence's next token from the logits of the one before, as real generation does. */
static bool eval_steps(bench *b, const bench_test *t) {
    p4c_item *items = b->items;
    int32_t *next = b->ids;
    p4c_error error = {0};
    for (int i = 0; i < t->batch; i++) next[i] = any_id(b, i);
    for (int64_t s = 0; s < t->tokens; s++) {
        for (int i = 0; i < t->batch; i++)
            items[i] = (p4c_item){.session = b->session[i],
                                  .ids = &next[i],
                                  .n_ids = 1,
                                  .logits = P4C_LOGITS_LAST,
                                  .out = b->logits + (size_t)i * b->info.vocab,
                                  .n_out = b->info.vocab,
                                  .expected_total = t->depth + t->tokens};
        if (p4c_eval(b->model, items, (size_t)t->batch, &error) != P4C_OK) return failed(b, &error);
        for (int i = 0; i < t->batch; i++)
            if (p4c_sample(b->session[i], items[i].out, b->info.vocab, &next[i], &error) != P4C_OK)
                return failed(b, &error);
    }
    return true;
}

static bool eval_once(bench *b, const bench_test *t) {
    return t->is_prompt ? eval_prompt(b, t) : eval_steps(b, t);
}

/* ---- one test ---- */

static int by_size(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Bytes that one token reads, multiply-adds that it takes. */
static void count_work(const bench *b, bench_test *t) {
    const p4c_info *m = &b->info;
    const double T = (double)t->tokens, keys = (double)t->depth + T / 2;
    const double kv_bytes = (double)m->kv_block_bytes / 256; /* of one position */
    const double attention = 2.0 * m->n_layers * m->n_heads * m->head_dim * keys;
    double weights = (double)m->weight_bytes_per_token, kv = kv_bytes * keys;
    t->mac = (double)m->mac_per_token + attention;
    if (t->is_prompt) {
        const double steps = (double)ceil_div(t->tokens, m->max_step_tok);
        weights *= steps / T;
        kv *= steps / T;
        t->mac += (double)m->head_mac / T;
    } else {
        weights *= (double)ceil_div(t->batch, m->max_batch) / t->batch;
        t->mac += (double)m->head_mac;
    }
    t->bytes = weights + kv;
}

static bool run_test(bench *b, bench_test *t) {
    const int64_t n_ids = t->is_prompt ? t->tokens : t->batch;
    b->ids = arena_array(b->a->mem, int32_t, n_ids);
    for (int64_t i = 0; i < n_ids; i++) b->ids[i] = any_id(b, i);
    b->items = arena_array(b->a->mem, p4c_item, t->batch);
    b->logits = arena_array(b->a->mem, float, (int64_t)t->batch * b->info.vocab);
    double tok_s[MAX_REPEATS];
    bool ok = open_sessions(b, t->batch, t->depth);
    if (ok && !b->first_token_ns) {
        /* the first evaluation after loading touches every page; it counts for nothing else */
        const uint64_t begin = machine_ns();
        bench_test first = *t;
        if (!t->is_prompt) first.tokens = 1;
        ok = eval_once(b, &first) && cut_sessions(b, t->depth);
        b->first_token_ns = machine_ns() - begin;
        b->first_tokens = first.tokens;
    }
    for (int r = 0; ok && r < b->repeats; r++) {
        const uint64_t begin = machine_ns();
        ok = eval_once(b, t);
        tok_s[r] = (double)t->tokens * t->batch * 1e9 / (double)(machine_ns() - begin);
        ok = ok && cut_sessions(b, t->depth);
        progress_set(&b->bar, ++b->n_repeats_done);
    }
    if (machine_anon_bytes() > b->anon_bytes) b->anon_bytes = machine_anon_bytes();
    if (ok && b->a->o->per_op.v) ok = bench_watch_ops(b, t, eval_once);
    close_sessions(b);
    if (!ok) return false;
    qsort(tok_s, (size_t)b->repeats, sizeof *tok_s, by_size);
    t->min = tok_s[0];
    t->median = (tok_s[(b->repeats - 1) / 2] + tok_s[b->repeats / 2]) / 2;
    t->max = tok_s[b->repeats - 1];
    count_work(b, t);
    return true;
}

/* ---- limits ---- */

/* GMAC/s of the multiply-adds that this artifact's matrix products are made of, as whole products.
 */
static double dot_peak(const bench *b) {
    const char *scheme = b->info.quant;
    /* 16-bit integer activations are two int8 planes: two dot products for one */
    if (!strncmp(scheme, "w4a16", 5)) return b->limits.gmac_s[DOT_INT8] / 2;
    if (!strcmp(scheme, "bf16")) return b->limits.gmac_s[DOT_BF16];
    return b->limits.gmac_s[DOT_F32];
}

static void find_limit(const bench *b, bench_test *t) {
    const double peak = dot_peak(b);
    const double read_s = b->limits.read_gb_s > 0 ? t->bytes / (b->limits.read_gb_s * 1e9) : 0;
    const double dot_s = peak > 0 ? t->mac / (peak * 1e9) : 0;
    t->read_binds = read_s >= dot_s;
    t->limit = t->median * (t->read_binds ? read_s : dot_s);
}

/* ---- results ---- */

static bool print_json(bench *b) {
    text t = {.mem = b->a->mem};
    const machine_limits *l = &b->limits;
    text_printf(&t,
                "{\"machine\":{\"read_gb_s\":%.2f,\"int8_gmac_s\":%.1f,\"bf16_gmac_s\":%.1f,"
                "\"f32_gmac_s\":%.1f,\"read_bytes\":%llu},",
                l->read_gb_s, l->gmac_s[DOT_INT8], l->gmac_s[DOT_BF16], l->gmac_s[DOT_F32],
                (unsigned long long)l->read_bytes);
    text_cat(&t, "\"model\":");
    app_json_string(&t, str_of(b->info.name));
    text_printf(&t,
                ",\"quant\":\"%s\",\"cpu\":\"%s\",\"threads\":%u,\"load_ms\":%.3f,"
                "\"first_token_ms\":%.3f,\"peak_anon_bytes\":%llu,\"tests\":[",
                b->info.quant, b->info.cpu, b->info.n_threads, (double)b->load_ns * 1e-6,
                (double)b->first_token_ns * 1e-6, (unsigned long long)b->anon_bytes);
    for (size_t i = 0; i < b->tests.n; i++) {
        const bench_test *x = &b->tests.at[i];
        text_printf(&t,
                    "%s{\"kind\":\"%s\",\"tokens\":%lld,\"depth\":%lld,\"batch\":%d,"
                    "\"threads\":%u,\"tok_s\":{\"min\":%.3f,\"median\":%.3f,\"max\":%.3f},"
                    "\"bytes_per_token\":%.0f,\"mac_per_token\":%.0f,\"binds\":\"%s\","
                    "\"limit\":%.4f",
                    i ? "," : "", x->is_prompt ? "prompt" : "generate", (long long)x->tokens,
                    (long long)x->depth, x->batch, b->info.n_threads, x->min, x->median, x->max,
                    x->bytes, x->mac, x->read_binds ? "read" : "dot", x->limit);
        bench_print_ops_json(b, x, &t);
        text_cat(&t, "}");
    }
    text_cat(&t, "]}\n");
    return app_print(&t, b->a->d);
}

static bool print_table(bench *b) {
    text t = {.mem = b->a->mem};
    const machine_limits *l = &b->limits;
    text_printf(&t, "model    %s, %s; %s, %u threads\n", b->info.name, b->info.quant, b->info.cpu,
                b->info.n_threads);
    text_printf(&t,
                "machine  reads %.1f GB/s; multiply-adds a second: int8 %.0f G, bf16 %.0f G, "
                "f32 %.0f G\n",
                l->read_gb_s, l->gmac_s[DOT_INT8], l->gmac_s[DOT_BF16], l->gmac_s[DOT_F32]);
    text_printf(&t,
                "load     %.1f ms, then %.1f ms to the first token (%lld tokens); "
                "%.1f MiB anonymous memory\n\n",
                (double)b->load_ns * 1e-6, (double)b->first_token_ns * 1e-6,
                (long long)b->first_tokens, (double)b->anon_bytes / 0x1p20);
    text_printf(&t, "%-9s %6s %6s %6s  %10s  %-23s  %s\n", "test", "tokens", "depth", "batch",
                "tok/s", "min .. max", "of the limit");
    for (size_t i = 0; i < b->tests.n; i++) {
        const bench_test *x = &b->tests.at[i];
        char range[32];
        snprintf(range, sizeof range, "%.1f .. %.1f", x->min, x->max);
        text_printf(&t, "%-9s %6lld %6lld %6d  %10.1f  %-23s  %3.0f %% (%s)\n",
                    x->is_prompt ? "prompt" : "generate", (long long)x->tokens, (long long)x->depth,
                    x->batch, x->median, range, x->limit * 100,
                    x->read_binds ? "read" : "dot products");
        bench_print_ops(b, x, &t);
    }
    return app_print(&t, b->a->d);
}

/* ---- which tests ---- */

static opt_ints or_default(const opt_ints *o, opt_ints otherwise) {
    return o->given ? *o : otherwise;
}

static void add_test(bench *b, bool is_prompt, int64_t tokens, int64_t depth, int64_t batch,
                     bool asked) {
    if (!tokens) return;
    /* defaults give way to short models; what was asked for and does not fit is an error later */
    if (!asked && depth + tokens > (int64_t)b->info.max_seq_tok) return;
    vec_push(b->a->mem, &b->tests,
             (bench_test){
                 .is_prompt = is_prompt, .tokens = tokens, .depth = depth, .batch = (int)batch});
}

static void list_tests(bench *b) {
    const options *o = b->a->o;
    const opt_ints prompts =
        or_default(&o->n_prompt, (opt_ints){.n = 2, .v = (int64_t[]){128, 512}});
    const opt_ints gens = or_default(&o->n_gen, (opt_ints){.n = 1, .v = (int64_t[]){DEFAULT_GEN}});
    const opt_ints depths = or_default(&o->depth, (opt_ints){.n = 1, .v = (int64_t[]){0}});
    const opt_ints batches = or_default(&o->batch, (opt_ints){.n = 1, .v = (int64_t[]){1}});
    for (int d = 0; d < depths.n; d++) {
        for (int i = 0; i < prompts.n; i++)
            add_test(b, true, prompts.v[i], depths.v[d], 1, o->n_prompt.given || o->depth.given);
        for (int i = 0; i < gens.n; i++)
            for (int k = 0; k < batches.n; k++)
                add_test(b, false, gens.v[i], depths.v[d], batches.v[k],
                         o->n_gen.given || o->depth.given);
    }
}

static bool run_tests(bench *b) {
    const options *o = b->a->o;
    list_tests(b);
    b->repeats = o->repeats.given ? (int)o->repeats.v : DEFAULT_REPEATS;
    const int threads = (int)b->info.n_threads;
    const uint64_t read_bytes = b->info.weight_bytes_per_token;
    if (!machine_measure(threads, read_bytes, 1, &b->limits))
        return diag_error(b->a->d, DIAG_RUN_NO_MEMORY, (diag_loc){0},
                          "no memory or threads to measure the machine with");
    progress_start(&b->bar, "bench", b->tests.n * (uint64_t)b->repeats, PROGRESS_COUNT,
                   o->progress.v && !o->quiet.v);
    bool ok = true;
    for (size_t i = 0; ok && i < b->tests.n; i++) ok = run_test(b, &b->tests.at[i]);
    progress_end(&b->bar);
    if (!ok) return false;
    /* machines that are shared change within minutes: the better of before and after counts */
    if (!machine_measure(threads, read_bytes, 1, &b->limits))
        diag_warn(b->a->d, DIAG_RUN_NO_MEMORY, (diag_loc){0}, "the machine was measured only once");
    for (size_t i = 0; i < b->tests.n; i++) find_limit(b, &b->tests.at[i]);
    return o->json.v ? print_json(b) : print_table(b);
}

int app_bench(app *a) {
    bench b = {.a = a};
    const uint64_t begin = machine_ns();
    if (!app_open(a, &b.model, &b.info)) return EXIT_BAD_ARTIFACT;
    b.load_ns = machine_ns() - begin + a->load_ns;
    const bool ok = run_tests(&b);
    p4c_close(b.model);
    return ok ? EXIT_DONE : b.signal ? b.signal : EXIT_BUG;
}
