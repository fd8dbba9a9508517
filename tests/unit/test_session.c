#include "runtime/session.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/model.h"
#include "tests/unit/fake_model.h"
#include "tests/unit/unit.h"

enum { VOCAB = 272, LONG = 600 };

/* ---- helpers ---- */

static p4c_session *new_session(p4c_model *m) {
    p4c_session *s = NULL;
    if (p4c_session_open(m, &s, NULL) != P4C_OK) abort();
    return s;
}

static p4c_item item(p4c_session *s, const int32_t *ids, int64_t n) {
    return (p4c_item){.session = s, .ids = ids, .n_ids = n};
}
static p4c_item item_last(p4c_session *s, const int32_t *ids, int64_t n, float *out) {
    return (p4c_item){s, ids, n, P4C_LOGITS_LAST, out, VOCAB, 0};
}
static p4c_item item_all(p4c_session *s, const int32_t *ids, int64_t n, float *out) {
    return (p4c_item){s, ids, n, P4C_LOGITS_ALL, out, n * VOCAB, 0};
}

static void must_eval(p4c_model *m, const p4c_item *items, size_t n) {
    p4c_error error = {0};
    if (p4c_eval(m, items, n, &error) == P4C_OK) return;
    fprintf(stderr, "eval: %s\n", error.text);
    CU_FAIL("an evaluation failed");
}

static bool same(const float *a, const float *b, int64_t n) {
    return memcmp(a, b, (size_t)n * sizeof *a) == 0;
}

static uint64_t blocks_used(const p4c_model *m) {
    p4c_stats stats = {.size = sizeof stats};
    p4c_get_stats(m, &stats, NULL);
    return stats.kv_blocks_used;
}

/* What every test needs: a model, and a sequence with all its logits. */
typedef struct world {
    fake *f;
    p4c_model *m;
    int32_t ids[LONG];
    float *want; /* [LONG][VOCAB] */
    float *got;  /* as much room */
} world;

static world open_world(fake_options o, uint32_t n_threads) {
    world w = {.f = fake_new(o)};
    w.m = fake_open(w.f, n_threads);
    w.want = malloc(LONG * VOCAB * sizeof(float));
    w.got = aligned_alloc(64, LONG * VOCAB * sizeof(float));
    if (!w.want || !w.got) abort();
    fake_random_ids(42, VOCAB, w.ids, LONG);
    fake_logits(w.f, w.ids, LONG, w.want);
    memset(w.got, 0, LONG * VOCAB * sizeof(float));
    atomic_store(&fake_faults, 0);
    return w;
}

static void close_world(world *w) {
    CU_ASSERT_EQUAL(fake_faults, 0);
    CU_ASSERT_EQUAL(blocks_used(w->m), 0);
    p4c_close(w->m);
    fake_free(w->f);
    free(w->want);
    free(w->got);
}

/* ---- results ---- */

static void logits_are_the_same_however_a_sequence_is_cut(void) {
    static const int64_t CHUNKS[] = {LONG, 1, 2, 7, 8, 9, 16, 17, 100, 256, 257};
    world w = open_world(fake_default_options(), 2);
    for (size_t c = 0; c < COUNT_OF(CHUNKS); c++) {
        p4c_session *const s = new_session(w.m);
        for (int64_t at = 0; at < LONG; at += CHUNKS[c]) {
            const int64_t n = min_i64(CHUNKS[c], LONG - at);
            const p4c_item it = item_all(s, w.ids + at, n, w.got + at * VOCAB);
            must_eval(w.m, &it, 1);
        }
        CU_ASSERT(same(w.got, w.want, LONG * VOCAB));
        memset(w.got, 0, LONG * VOCAB * sizeof(float));
        int64_t n_ids;
        const int32_t *const ids = p4c_session_ids(s, &n_ids);
        CU_ASSERT_EQUAL(n_ids, LONG);
        CU_ASSERT_EQUAL(memcmp(ids, w.ids, sizeof w.ids), 0);
        CU_ASSERT_EQUAL(blocks_used(w.m), 3);
        p4c_session_close(s);
    }
    close_world(&w);
}

static void one_row_or_none_is_the_same_as_all(void) {
    world w = open_world(fake_default_options(), 1);
    float last[VOCAB + 1];
    for (int64_t n = 1; n < 40; n++) {
        p4c_session *const s = new_session(w.m);
        const p4c_item none = item(s, w.ids, n);
        /* odd addresses: copied; even ones: written in place */
        const p4c_item one = item_last(s, w.ids + n, 3, last + n % 2);
        must_eval(w.m, &none, 1);
        must_eval(w.m, &one, 1);
        CU_ASSERT(same(last + n % 2, w.want + (n + 2) * VOCAB, VOCAB));
        p4c_session_close(s);
    }
    close_world(&w);
}

/* Random sessions of random lengths, all kinds of logits, several calls. */
static void ragged_batches_equal_single_sequences(void) {
    enum { N = 11, ROUNDS = 12 };
    world w = open_world(fake_default_options(), 2);
    uint64_t random = 5;
    p4c_session *session[N];
    int64_t at[N] = {0};
    float *out[N];
    for (int i = 0; i < N; i++) {
        session[i] = new_session(w.m);
        out[i] = malloc(64 * VOCAB * sizeof(float));
    }
    for (int round = 0; round < ROUNDS; round++) {
        p4c_item items[N];
        size_t n = 0;
        int which[N];
        for (int i = 0; i < N; i++) {
            if (fake_random(&random) % 4 == 0) continue;
            const int64_t len = fake_random(&random) % 3 ? 1 : 1 + fake_random(&random) % 50;
            items[n] = item(session[i], w.ids + at[i], len);
            items[n].logits = (p4c_logits)(fake_random(&random) % 3);
            items[n].out = items[n].logits ? out[i] : NULL;
            items[n].n_out = 64 * VOCAB;
            at[i] += len;
            which[n++] = i;
        }
        if (!n) continue;
        must_eval(w.m, items, n);
        for (size_t k = 0; k < n; k++) {
            const int64_t end = at[which[k]], len = items[k].n_ids;
            if (items[k].logits == P4C_LOGITS_LAST)
                CU_ASSERT(same(items[k].out, w.want + (end - 1) * VOCAB, VOCAB));
            if (items[k].logits == P4C_LOGITS_ALL)
                CU_ASSERT(same(items[k].out, w.want + (end - len) * VOCAB, len * VOCAB));
        }
    }
    for (int i = 0; i < N; i++) {
        p4c_session_close(session[i]);
        free(out[i]);
    }
    close_world(&w);
}

static void odd_sizes_of_steps_give_the_same(void) {
    static const fake_options SHAPES[] = {
        {.vocab = 272, .max_seq_tok = 700, .max_batch = 1, .max_tokens = 1, .max_rows = 1},
        {.vocab = 272, .max_seq_tok = 700, .max_batch = 2, .max_tokens = 5, .max_rows = 1},
        {.vocab = 272, .max_seq_tok = 700, .max_batch = 9, .max_tokens = 512, .max_rows = 512},
    };
    for (size_t i = 0; i < COUNT_OF(SHAPES); i++) {
        world w = open_world(SHAPES[i], 2);
        p4c_session *const a = new_session(w.m), *const b = new_session(w.m);
        float *const second = malloc(70 * VOCAB * sizeof(float));
        const p4c_item items[] = {item_all(a, w.ids, 300, w.got), item_last(b, w.ids, 70, second)};
        must_eval(w.m, items, 2);
        CU_ASSERT(same(w.got, w.want, 300 * VOCAB));
        CU_ASSERT(same(second, w.want + 69 * VOCAB, VOCAB));
        p4c_session_close(a);
        p4c_session_close(b);
        free(second);
        close_world(&w);
    }
    fake_options odd = fake_default_options(); /* rows that are not aligned */
    odd.vocab = 37;
    fake *const f = fake_new(odd);
    p4c_model *const m = fake_open(f, 2);
    p4c_session *const s = new_session(m);
    int32_t ids[20];
    float want[20 * 37], *const got = aligned_alloc(64, 20 * 64 * sizeof(float));
    fake_random_ids(1, 37, ids, 20);
    fake_logits(f, ids, 20, want);
    const p4c_item it = {s, ids, 20, P4C_LOGITS_ALL, got, 20 * 37, 0};
    must_eval(m, &it, 1);
    CU_ASSERT(same(got, want, 20 * 37));
    free(got);
    p4c_session_close(s);
    p4c_close(m);
    fake_free(f);
}

/* ---- forks and truncation ---- */

static void a_fork_shares_blocks_until_one_of_them_grows(void) {
    world w = open_world(fake_default_options(), 1);
    float last[VOCAB];
    p4c_session *const a = new_session(w.m), *b = NULL, *c = NULL;
    const p4c_item start = item(a, w.ids, 300);
    must_eval(w.m, &start, 1);
    CU_ASSERT_EQUAL_FATAL(p4c_session_fork(a, &b, NULL), P4C_OK);
    CU_ASSERT_EQUAL_FATAL(p4c_session_fork(b, &c, NULL), P4C_OK);
    CU_ASSERT_EQUAL(blocks_used(w.m), 2);

    /* b goes another way; a and c must not notice */
    int32_t other[320];
    float want[VOCAB], *const all = malloc(320 * VOCAB * sizeof(float));
    memcpy(other, w.ids, sizeof other);
    for (int i = 300; i < 320; i++) other[i] = (w.ids[i] + 1) % VOCAB;
    fake_logits(w.f, other, 320, all);
    memcpy(want, all + 319 * VOCAB, sizeof want);
    free(all);
    const p4c_item astray = item_last(b, other + 300, 20, last);
    must_eval(w.m, &astray, 1);
    CU_ASSERT(same(last, want, VOCAB));
    CU_ASSERT_EQUAL(blocks_used(w.m), 3); /* the second block was copied, the first is shared */

    /* both in one call: one of them copies, the other keeps the block */
    float last_c[VOCAB];
    const p4c_item both[] = {item_last(a, w.ids + 300, 5, last),
                             item_last(c, w.ids + 300, 5, last_c)};
    must_eval(w.m, both, 2);
    CU_ASSERT(same(last, w.want + 304 * VOCAB, VOCAB));
    CU_ASSERT(same(last_c, last, VOCAB));
    CU_ASSERT_EQUAL(blocks_used(w.m), 4);
    p4c_session_close(a);
    CU_ASSERT_EQUAL(blocks_used(w.m), 3);
    const p4c_item later = item_last(c, w.ids + 305, 1, last);
    must_eval(w.m, &later, 1);
    CU_ASSERT(same(last, w.want + 305 * VOCAB, VOCAB));
    p4c_session_close(b);
    p4c_session_close(c);
    close_world(&w);
}

static void a_fork_of_nothing_and_at_a_blocks_end(void) {
    world w = open_world(fake_default_options(), 1);
    p4c_session *const a = new_session(w.m), *b = NULL, *c = NULL;
    CU_ASSERT_EQUAL_FATAL(p4c_session_fork(a, &b, NULL), P4C_OK);
    int64_t n = -1;
    p4c_session_ids(b, &n);
    CU_ASSERT_EQUAL(n, 0);
    const p4c_item full = item(a, w.ids, 256);
    must_eval(w.m, &full, 1);
    CU_ASSERT_EQUAL_FATAL(p4c_session_fork(a, &c, NULL), P4C_OK);
    float last[VOCAB];
    const p4c_item next = item_last(c, w.ids + 256, 1, last);
    must_eval(w.m, &next, 1);
    CU_ASSERT(same(last, w.want + 256 * VOCAB, VOCAB));
    CU_ASSERT_EQUAL(blocks_used(w.m), 2); /* nothing to copy: a new block */
    p4c_session_close(a);
    p4c_session_close(b);
    p4c_session_close(c);
    close_world(&w);
}

static void truncation_goes_back_to_any_length(void) {
    static const int64_t KEEP[] = {599, 512, 511, 257, 256, 255, 17, 1, 0};
    world w = open_world(fake_default_options(), 2);
    p4c_session *const s = new_session(w.m);
    p4c_session *twin = NULL;
    const p4c_item all = item(s, w.ids, LONG);
    must_eval(w.m, &all, 1);
    CU_ASSERT_EQUAL_FATAL(p4c_session_fork(s, &twin, NULL), P4C_OK);
    for (size_t i = 0; i < COUNT_OF(KEEP); i++) {
        CU_ASSERT_EQUAL(p4c_session_truncate(s, KEEP[i], NULL), P4C_OK);
        int64_t n;
        p4c_session_ids(s, &n);
        CU_ASSERT_EQUAL(n, KEEP[i]);
        const p4c_item again = item_all(s, w.ids + KEEP[i], LONG - KEEP[i], w.got);
        must_eval(w.m, &again, 1);
        CU_ASSERT(same(w.got, w.want + KEEP[i] * VOCAB, (LONG - KEEP[i]) * VOCAB));
    }
    p4c_error error = {0};
    CU_ASSERT_EQUAL(p4c_session_truncate(s, LONG + 1, &error), P4C_ERR_ARGUMENT);
    CU_ASSERT_STRING_EQUAL(error.text, "cannot keep 601 of 600 tokens");
    CU_ASSERT_EQUAL(p4c_session_truncate(s, -1, &error), P4C_ERR_ARGUMENT);
    CU_ASSERT_EQUAL(p4c_session_truncate(s, 0, NULL), P4C_OK);
    CU_ASSERT_EQUAL(p4c_session_truncate(s, 0, NULL), P4C_OK);
    p4c_session_close(s);
    /* what the fork shared is as it was */
    float last[VOCAB];
    const int32_t more = 5;
    const p4c_item next = item_last(twin, &more, 1, last);
    int32_t ids[LONG + 1];
    float *const want = malloc((LONG + 1) * VOCAB * sizeof(float));
    memcpy(ids, w.ids, sizeof w.ids);
    ids[LONG] = more;
    fake_logits(w.f, ids, LONG + 1, want);
    must_eval(w.m, &next, 1);
    CU_ASSERT(same(last, want + LONG * VOCAB, VOCAB));
    free(want);
    p4c_session_close(twin);
    close_world(&w);
}

/* ---- refusals ---- */

static void a_sequence_that_is_too_long_is_refused_with_both_numbers(void) {
    world w = open_world(fake_default_options(), 1);
    p4c_session *const s = new_session(w.m), *const t = new_session(w.m);
    const p4c_item first = item(s, w.ids, 600), small = item(t, w.ids, 3);
    must_eval(w.m, &first, 1);
    const p4c_item both[] = {small, item(s, w.ids, 101)};
    p4c_error error = {0};
    CU_ASSERT_EQUAL(p4c_eval(w.m, both, 2, &error), P4C_ERR_TOO_LONG);
    CU_ASSERT_EQUAL(error.found, 701);
    CU_ASSERT_EQUAL(error.limit, 700);
    CU_ASSERT_STRING_EQUAL(error.text,
                           "the sequence would have 701 tokens, the artifact's limit is 700");
    int64_t n;
    p4c_session_ids(t, &n);
    CU_ASSERT_EQUAL(n, 0); /* the other item did not happen either */
    CU_ASSERT_EQUAL(blocks_used(w.m), 3);
    const p4c_item huge = item(t, w.ids, INT64_MAX);
    CU_ASSERT_EQUAL(p4c_eval(w.m, &huge, 1, &error), P4C_ERR_TOO_LONG);
    const p4c_item fits = item(s, w.ids, 100);
    must_eval(w.m, &fits, 1);
    const p4c_item one = item(s, w.ids, 1);
    CU_ASSERT_EQUAL(p4c_eval(w.m, &one, 1, &error), P4C_ERR_TOO_LONG);
    p4c_session_close(s);
    p4c_session_close(t);
    close_world(&w);
}

static void arguments_are_checked(void) {
    world w = open_world(fake_default_options(), 1);
    p4c_model *const other = fake_open(w.f, 1);
    p4c_session *const s = new_session(w.m), *const stranger = new_session(other);
    const int32_t bad_ids[] = {5, VOCAB}, negative[] = {-1};
    float out[2 * VOCAB];
    const struct {
        p4c_item it;
        const char *says;
    } CASES[] = {
        {item(NULL, w.ids, 1), "item 0: no session"},
        {item(stranger, w.ids, 1), "item 0: no session"},
        {item(s, NULL, 1), "no tokens"},
        {item(s, w.ids, 0), "no tokens"},
        {item(s, w.ids, -5), "no tokens"},
        {item(s, bad_ids, 2), "token 1 is 272, the model has ids 0 to 271"},
        {item(s, negative, 1), "token 0 is -1"},
        {{s, w.ids, 1, (p4c_logits)7, out, VOCAB, 0}, "which logits"},
        {{s, w.ids, 1, P4C_LOGITS_LAST, NULL, VOCAB, 0}, "no room for 272 logits (n_out is 0)"},
        {{s, w.ids, 1, P4C_LOGITS_LAST, out, VOCAB - 1, 0}, "(n_out is 271)"},
        {{s, w.ids, 3, P4C_LOGITS_ALL, out, 2 * VOCAB, 0}, "no room for 816 logits"},
        {{s, w.ids, 1, P4C_LOGITS_NONE, NULL, 0, -1}, "expected_total"},
    };
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        p4c_error error = {0};
        CU_ASSERT_EQUAL(p4c_eval(w.m, &CASES[i].it, 1, &error), P4C_ERR_ARGUMENT);
        if (!strstr(error.text, CASES[i].says)) {
            fprintf(stderr, "%s\n", error.text);
            CU_FAIL("another message");
        }
    }
    const p4c_item twice[] = {item(s, w.ids, 1), item(s, w.ids, 1)};
    p4c_error error = {0};
    CU_ASSERT_EQUAL(p4c_eval(w.m, twice, 2, &error), P4C_ERR_ARGUMENT);
    CU_ASSERT_STRING_EQUAL(error.text, "item 1: its session is there twice");
    CU_ASSERT_EQUAL(p4c_eval(w.m, twice, 0, &error), P4C_ERR_ARGUMENT);
    CU_ASSERT_EQUAL(p4c_eval(w.m, NULL, 1, NULL), P4C_ERR_ARGUMENT);
    p4c_session_close(s);
    p4c_session_close(stranger);
    p4c_close(other);
    close_world(&w);
}

static void a_full_pool_leaves_every_session_as_it_was(void) {
    fake *const f = fake_new(fake_default_options());
    const rt_model_source source = fake_source(f);
    p4c_open_params params = p4c_default_open_params();
    params.n_threads = 1;
    params.kv_bytes = 3 * FAKE_KV_BLOCK_BYTES + 5;
    p4c_model *m = NULL;
    p4c_error error = {0};
    CU_ASSERT_EQUAL_FATAL(rt_model_open(&source, p4c_get_api(P4C_API_VERSION), &params, &m, &error),
                          P4C_OK);
    int32_t ids[700];
    fake_random_ids(42, VOCAB, ids, 700);
    p4c_session *const a = new_session(m), *const b = new_session(m);
    p4c_session *fork = NULL;
    const p4c_item start[] = {item(a, ids, 300), item(b, ids, 10)};
    must_eval(m, start, 2);
    const p4c_item grow[] = {item(b, ids, 5), item(a, ids, 250)};
    CU_ASSERT_EQUAL(p4c_eval(m, grow, 2, &error), P4C_ERR_KV_FULL);
    CU_ASSERT_EQUAL(error.found, 1);
    CU_ASSERT_EQUAL(error.limit, 0);
    int64_t n;
    p4c_session_ids(b, &n);
    CU_ASSERT_EQUAL(n, 10);
    CU_ASSERT_EQUAL(blocks_used(m), 3);
    /* a copy on write needs a block too */
    CU_ASSERT_EQUAL(p4c_session_fork(a, &fork, NULL), P4C_OK);
    const p4c_item copy = item(fork, ids, 1);
    CU_ASSERT_EQUAL(p4c_eval(m, &copy, 1, &error), P4C_ERR_KV_FULL);
    p4c_session_close(b);
    must_eval(m, &copy, 1);
    p4c_session_close(a);
    p4c_session_close(fork);
    CU_ASSERT_EQUAL(blocks_used(m), 0);
    p4c_close(m);
    params.kv_bytes = FAKE_KV_BLOCK_BYTES - 1;
    CU_ASSERT_EQUAL(rt_model_open(&source, p4c_get_api(P4C_API_VERSION), &params, &m, &error),
                    P4C_ERR_ARGUMENT);
    fake_free(f);
}

/* ---- cancelling ---- */

static p4c_session *_Atomic to_cancel;
static atomic_int hook_calls;

/* In the third step's first kernel. */
static void cancel_in_third_step(void) {
    if (atomic_fetch_add(&hook_calls, 1) == 2) p4c_cancel(to_cancel);
}

static void a_cancelled_call_leaves_every_session_as_it_was(void) {
    world w = open_world(fake_default_options(), 1);
    p4c_session *const a = new_session(w.m), *const b = new_session(w.m);
    const p4c_item start[] = {item(a, w.ids, 30), item(b, w.ids, 40)};
    must_eval(w.m, start, 2);
    const p4c_item more[] = {item_all(a, w.ids + 30, 300, w.got), item(b, w.ids + 40, 300)};
    atomic_store(&hook_calls, 0);
    atomic_store(&to_cancel, b);
    atomic_store(&fake_hook, cancel_in_third_step);
    p4c_error error = {0};
    CU_ASSERT_EQUAL(p4c_eval(w.m, more, 2, &error), P4C_ERR_CANCELLED);
    atomic_store(&fake_hook, NULL);
    CU_ASSERT_EQUAL(hook_calls, 3); /* and not one step more */
    CU_ASSERT_STRING_EQUAL(error.text, "cancelled");
    int64_t n_a, n_b;
    p4c_session_ids(a, &n_a);
    p4c_session_ids(b, &n_b);
    CU_ASSERT_EQUAL(n_a, 30);
    CU_ASSERT_EQUAL(n_b, 40);
    CU_ASSERT_EQUAL(blocks_used(w.m), 2);
    must_eval(w.m, more, 2); /* the wish is gone, and nothing is left of the first try */
    CU_ASSERT(same(w.got, w.want + 30 * VOCAB, 300 * VOCAB));
    p4c_session_close(a);
    p4c_session_close(b);
    close_world(&w);
}

static void a_wish_waits_for_the_next_call_unless_cleared(void) {
    world w = open_world(fake_default_options(), 2);
    p4c_session *const s = new_session(w.m), *const t = new_session(w.m);
    const p4c_item it = item(s, w.ids, 5), other = item(t, w.ids, 5);
    p4c_cancel(s);
    must_eval(w.m, &other, 1); /* not its business */
    CU_ASSERT_EQUAL(p4c_eval(w.m, &it, 1, NULL), P4C_ERR_CANCELLED);
    must_eval(w.m, &it, 1);
    p4c_cancel(s);
    p4c_clear_cancel(s);
    must_eval(w.m, &it, 1);
    p4c_session_close(s);
    p4c_session_close(t);
    close_world(&w);
}

/* ---- many threads ---- */

enum { N_CLIENTS = 4 };
typedef struct client {
    const world *w;
    int index;
    atomic_int *n_wrong;
} client;

static void *run_client(void *argument) {
    const client *const c = argument;
    const world *const w = c->w;
    float *const got = malloc(64 * VOCAB * sizeof(float));
    for (int round = 0; round < 4; round++) {
        p4c_session *const s = new_session(w->m);
        p4c_session *fork = NULL;
        int64_t at = 0;
        for (int k = 0; k < 6; k++) {
            const int64_t n = 1 + (c->index * 7 + round * 5 + k * 11) % 40;
            const p4c_item it = item_all(s, w->ids + at, n, got);
            if (p4c_eval(w->m, &it, 1, NULL) != P4C_OK ||
                !same(got, w->want + at * VOCAB, n * VOCAB))
                atomic_fetch_add(c->n_wrong, 1);
            at += n;
            if (k == 2 && p4c_session_fork(s, &fork, NULL) != P4C_OK) abort();
        }
        if (p4c_session_truncate(s, at / 2, NULL) != P4C_OK) abort();
        const p4c_item it = item_all(s, w->ids + at / 2, 3, got);
        if (p4c_eval(w->m, &it, 1, NULL) != P4C_OK ||
            !same(got, w->want + at / 2 * VOCAB, 3 * VOCAB))
            atomic_fetch_add(c->n_wrong, 1);
        p4c_cancel(fork);
        p4c_session_close(fork);
        p4c_session_close(s);
    }
    free(got);
    return NULL;
}

static void threads_can_use_one_model_at_once(void) {
    for (uint32_t n_threads = 1; n_threads <= 2; n_threads++) {
        world w = open_world(fake_default_options(), n_threads);
        atomic_int n_wrong = 0;
        client c[N_CLIENTS];
        pthread_t thread[N_CLIENTS];
        for (int i = 0; i < N_CLIENTS; i++) {
            c[i] = (client){&w, i, &n_wrong};
            CU_ASSERT_EQUAL_FATAL(pthread_create(&thread[i], NULL, run_client, &c[i]), 0);
        }
        for (int i = 0; i < N_CLIENTS; i++) pthread_join(thread[i], NULL);
        CU_ASSERT_EQUAL(n_wrong, 0);
        p4c_stats stats = {.size = sizeof stats};
        CU_ASSERT_EQUAL(p4c_get_stats(w.m, &stats, NULL), P4C_OK);
        CU_ASSERT_EQUAL(stats.n_sessions, 0);
        CU_ASSERT_EQUAL(stats.n_evals, N_CLIENTS * 4 * 7);
        close_world(&w);
    }
}

/* Another thread stops a long evaluation while it runs. */
static atomic_int started;
static void say_started(void) { atomic_store(&started, 1); }
static void *run_canceller(void *argument) {
    p4c_session *const s = argument;
    while (!atomic_load(&started)) continue;
    p4c_cancel(s);
    return NULL;
}

static void another_thread_can_cancel(void) {
    world w = open_world(fake_default_options(), 2);
    p4c_session *const s = new_session(w.m);
    const p4c_item it = item(s, w.ids, LONG);
    pthread_t thread;
    int n_cancelled = 0;
    atomic_store(&fake_hook, say_started);
    for (int i = 0; i < 10; i++) {
        atomic_store(&started, 0);
        CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, run_canceller, s), 0);
        const p4c_status status = p4c_eval(w.m, &it, 1, NULL);
        pthread_join(thread, NULL);
        int64_t n;
        p4c_session_ids(s, &n);
        CU_ASSERT(status == P4C_OK || status == P4C_ERR_CANCELLED);
        CU_ASSERT_EQUAL(n, status == P4C_OK ? LONG : 0);
        n_cancelled += status == P4C_ERR_CANCELLED;
        p4c_clear_cancel(s);
        p4c_session_truncate(s, 0, NULL);
    }
    atomic_store(&fake_hook, NULL);
    CU_ASSERT(n_cancelled > 0);
    p4c_session_close(s);
    close_world(&w);
}

UNIT_MAIN("session",
          {"logits are the same however a sequence is cut",
           logits_are_the_same_however_a_sequence_is_cut},
          {"one row or none is the same as all", one_row_or_none_is_the_same_as_all},
          {"ragged batches equal single sequences", ragged_batches_equal_single_sequences},
          {"odd sizes of steps give the same", odd_sizes_of_steps_give_the_same},
          {"a fork shares blocks until one of them grows",
           a_fork_shares_blocks_until_one_of_them_grows},
          {"a fork of nothing and at a block's end", a_fork_of_nothing_and_at_a_blocks_end},
          {"truncation goes back to any length", truncation_goes_back_to_any_length},
          {"too long is refused with both numbers",
           a_sequence_that_is_too_long_is_refused_with_both_numbers},
          {"arguments are checked", arguments_are_checked},
          {"a full pool leaves every session as it was",
           a_full_pool_leaves_every_session_as_it_was},
          {"a cancelled call leaves every session as it was",
           a_cancelled_call_leaves_every_session_as_it_was},
          {"a wish waits for the next call unless cleared",
           a_wish_waits_for_the_next_call_unless_cleared},
          {"threads can use one model at once", threads_can_use_one_model_at_once},
          {"another thread can cancel", another_thread_can_cancel})
