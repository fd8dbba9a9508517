/* What fails when the system refuses memory or a mapping, at any call: the call at hand, with
 * a status, and nothing else.  Linked with --wrap=mmap. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "runtime/model.h"
#include "tests/unit/fake_model.h"
#include "tests/unit/unit.h"

enum { VOCAB = 272, N = 300 };

static long map_calls, map_fail_at;
void *__real_mmap(void *at, size_t n, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t n, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t n, int prot, int flags, int fd, off_t offset) {
    if (++map_calls == map_fail_at) return MAP_FAILED;
    return __real_mmap(at, n, prot, flags, fd, offset);
}

typedef struct work {
    const fake *f;
    const int32_t *ids;
    const float *want;
    fake_memory *memory;
    bool wrong; /* a result that is neither right nor an error */
} work;

/* Counts a failure that is allowed; any other is wrong. */
static bool failed(work *w, p4c_status s, const p4c_error *error) {
    if (s == P4C_OK) return false;
    w->wrong |= s != P4C_ERR_NO_MEMORY || error->status != s || !strlen(error->text);
    return true;
}

static void try_eval(work *w, p4c_model *m, p4c_session *a, p4c_session *b, float *out) {
    p4c_error error;
    int64_t before, after;
    p4c_session_ids(a, &before);
    const p4c_item items[] = {
        {a, w->ids + before, N, P4C_LOGITS_ALL, out, N * VOCAB, 0},
        {b, w->ids, 10, P4C_LOGITS_NONE, NULL, 0, 0},
    };
    const bool bad = failed(w, p4c_eval(m, items, 2, &error), &error);
    p4c_session_ids(a, &after);
    w->wrong |= after != (bad ? before : before + N);
    if (!bad && memcmp(out, w->want + before * VOCAB, N * VOCAB * sizeof(float))) w->wrong = true;
    p4c_session_ids(b, &after);
    w->wrong |= after != (bad ? 0 : 10);
}

static void try_text(work *w, const p4c_model *m) {
    p4c_error error;
    int32_t *ids = NULL;
    size_t n = 0;
    if (!failed(w, p4c_tokenize(m, "abc<|end|>", 10, P4C_PARSE_SPECIAL, &ids, &n, &error),
                &error)) {
        char *text = NULL;
        w->wrong |= n != 4;
        if (!failed(w, p4c_detokenize(m, ids, n, 0, &text, &n, &error), &error)) {
            w->wrong |= strcmp(text, "abc<|end|>") != 0;
            p4c_free(m, text);
        }
        p4c_free(m, ids);
    }
    p4c_stream *s = NULL;
    const char *piece;
    if (failed(w, p4c_stream_open(m, 0, &s, &error), &error)) return;
    if (failed(w, p4c_stream_add(s, FAKE_ID_HELLO, &piece, &n, &error), &error)) {
        /* the same id can be given again */
        if (!failed(w, p4c_stream_add(s, FAKE_ID_HELLO, &piece, &n, &error), &error))
            w->wrong |= strcmp(piece, "hello") != 0;
    }
    failed(w, p4c_stream_end(s, &piece, &n, &error), &error);
    p4c_stream_close(s);
}

static void try_generate(work *w, p4c_session *s) {
    static const char *const STOP[] = {"never"};
    p4c_generate_params params = p4c_default_generate_params();
    p4c_error error;
    params.max_tokens = 5;
    params.stop = STOP;
    params.n_stop = 1;
    failed(w, p4c_generate(s, w->ids, 7, &params, NULL, &error), &error);
}

/* Everything a program does with a model. */
static void run_all(work *w) {
    const rt_model_source source = fake_source(w->f);
    p4c_open_params params = p4c_default_open_params();
    p4c_model *m = NULL;
    p4c_session *a = NULL, *b = NULL, *f = NULL;
    p4c_error error;
    params.n_threads = 2;
    params.alloc = fake_alloc(w->memory);
    if (failed(w, rt_model_open(&source, p4c_get_api(1), &params, &m, &error), &error)) return;
    float *const out = malloc(N * VOCAB * sizeof(float) + 4);
    if (!out) abort();
    const bool have_a = !failed(w, p4c_session_open(m, &a, &error), &error);
    const bool have_b = !failed(w, p4c_session_open(m, &b, &error), &error);
    if (have_a && have_b) {
        try_eval(w, m, a, b, out);
        if (!failed(w, p4c_session_fork(a, &f, &error), &error)) {
            p4c_session_truncate(b, 0, NULL);
            try_eval(w, m, a, b, out); /* with a copied block */
            try_generate(w, f);
        }
    }
    try_text(w, m);
    p4c_session_close(f);
    p4c_session_close(b);
    p4c_session_close(a);
    p4c_close(m);
    free(out);
}

typedef enum failing { FAIL_ONCE, FAIL_ALWAYS, FAIL_MAP } failing;

static void sweep(failing how) {
    fake *const f = fake_new(fake_default_options());
    int32_t ids[2 * N];
    float *const want = malloc(2 * N * VOCAB * sizeof(float));
    if (!want) abort();
    fake_random_ids(4, VOCAB, ids, 2 * N);
    fake_logits(f, ids, 2 * N, want);
    long n = 0, n_calls = 0;
    do {
        n++;
        fake_memory memory = {.fail_at = how == FAIL_MAP ? 0 : n,
                              .fail_ever_after = how == FAIL_ALWAYS};
        work w = {.f = f, .ids = ids, .want = want, .memory = &memory};
        map_calls = 0;
        map_fail_at = how == FAIL_MAP ? n : 0;
        run_all(&w);
        n_calls = how == FAIL_MAP ? map_calls : memory.n_calls;
        map_fail_at = 0;
        CU_ASSERT(!w.wrong);
        CU_ASSERT_EQUAL(memory.n_live, 0);
    } while (n <= n_calls);
    CU_ASSERT(n > (how == FAIL_MAP ? 6 : 25));
    free(want);
    fake_free(f);
}

static void one_allocation_fails(void) { sweep(FAIL_ONCE); }
static void all_allocations_fail_from_one_on(void) { sweep(FAIL_ALWAYS); }
static void one_mapping_fails(void) { sweep(FAIL_MAP); }

UNIT_MAIN("runtime_fault", {"one allocation fails", one_allocation_fails},
          {"all allocations fail from one on", all_allocations_fail_from_one_on},
          {"one mapping fails", one_mapping_fails})
