/* bitwise.c - logits do not depend on threads, chunks, batch or forks: bit for bit, for each
 * instruction set.
 *
 *     bitwise TOKENS ARTIFACT...
 * The reference of each variant is one thread and one call; every other way must give the same
 * bytes.  All variants of all artifacts must agree too: give one compiled with --soft-isa beside
 * one without. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/model/loaded.h"

enum { N_BATCH = 7 };

typedef struct check {
    loaded l;
    const int32_t *ids;
    int64_t n;
    float *want, *got; /* [n, vocab] */
    int n_failed;
} check;

static p4c_session *session_of(check *c) {
    p4c_error error = {0};
    p4c_session *s;
    must(p4c_session_open(c->l.model, &s, &error), &error, "session");
    return s;
}

/* Appends tokens from .. to of the test's sequence and keeps their logits. */
static void append(check *c, p4c_session *s, int64_t from, int64_t to, float *out) {
    p4c_error error = {0};
    const int64_t vocab = c->l.info.vocab;
    const p4c_item item = {.session = s,
                           .ids = c->ids + from,
                           .n_ids = to - from,
                           .logits = P4C_LOGITS_ALL,
                           .out = out + from * vocab,
                           .n_out = (to - from) * vocab};
    must(p4c_eval(c->l.model, &item, 1, &error), &error, "eval");
}

static void compare(check *c, const char *what) {
    const int64_t vocab = c->l.info.vocab;
    for (int64_t t = 0; t < c->n; t++)
        if (memcmp(c->got + t * vocab, c->want + t * vocab, (size_t)vocab * sizeof(float)) != 0) {
            printf("  %s: NOT equal from position %lld on\n", what, (long long)t);
            c->n_failed++;
            return;
        }
    printf("  %s: equal\n", what);
    memset(c->got, 0xff, (size_t)(c->n * vocab) * sizeof(float));
}

static void in_chunks(check *c, const char *what, const int64_t *size, int n_sizes) {
    p4c_session *s = session_of(c);
    for (int64_t at = 0, i = 0; at < c->n; i++) {
        const int64_t left = c->n - at, n = size[i % n_sizes] < left ? size[i % n_sizes] : left;
        append(c, s, at, at + n, c->got);
        at += n;
    }
    p4c_session_close(s);
    compare(c, what);
}

/* The sequence among six others of other lengths, all in the same calls. */
static void in_batch(check *c) {
    p4c_error error = {0};
    const int64_t vocab = c->l.info.vocab, chunk = c->n / 5 + 1;
    p4c_session *s[N_BATCH];
    for (int i = 0; i < N_BATCH; i++) s[i] = session_of(c);
    for (int64_t at = 0; at < c->n; at += chunk) {
        const int64_t n = c->n - at < chunk ? c->n - at : chunk;
        p4c_item item[N_BATCH];
        for (int i = 0; i < N_BATCH; i++) {
            const int64_t other = 1 + (n * (i + 1)) % (chunk - 1); /* 1 .. chunk - 1 tokens */
            item[i] = (p4c_item){
                .session = s[i], .ids = c->ids + i, .n_ids = other < c->n - i ? other : 1};
        }
        item[3] = (p4c_item){.session = s[3],
                             .ids = c->ids + at,
                             .n_ids = n,
                             .logits = P4C_LOGITS_ALL,
                             .out = c->got + at * vocab,
                             .n_out = n * vocab};
        must(p4c_eval(c->l.model, item, N_BATCH, &error), &error, "eval");
    }
    for (int i = 0; i < N_BATCH; i++) p4c_session_close(s[i]);
    compare(c, "in a batch of 7");
}

/* Goes wrong half-way, truncates, goes on in a fork while the original goes elsewhere. */
static void forked(check *c) {
    p4c_error error = {0};
    p4c_session *s = session_of(c), *fork;
    const int64_t half = c->n / 2, wrong = half + 5 < c->n ? 5 : 1;
    append(c, s, 0, half, c->got);
    const p4c_item detour = {.session = s, .ids = c->ids, .n_ids = wrong};
    must(p4c_eval(c->l.model, &detour, 1, &error), &error, "eval");
    must(p4c_session_truncate(s, half, &error), &error, "truncate");
    must(p4c_session_fork(s, &fork, &error), &error, "fork");
    must(p4c_eval(c->l.model, &detour, 1, &error), &error, "eval");
    append(c, fork, half, c->n, c->got);
    p4c_session_close(s);
    p4c_session_close(fork);
    compare(c, "truncated and forked");
}

static void both_threads_worked(check *c) {
    uint64_t units[2] = {0};
    const uint32_t n = p4c_get_thread_units(c->l.model, units, 2);
    printf("  work units of the threads: %llu %llu\n", (unsigned long long)units[0],
           (unsigned long long)units[1]);
    if (n != 2 || !units[0] || !units[1]) c->n_failed++;
}

static void run_ways(check *c) {
    in_chunks(c, "in one chunk", (const int64_t[]){c->n}, 1);
    in_chunks(c, "in odd chunks", (const int64_t[]){7, 1, 33, 2, 9, 64, 3}, 7);
    in_chunks(c, "token by token", (const int64_t[]){1}, 1);
    in_batch(c);
    forked(c);
}

/* One variant of one artifact; *first: logits of the first variant of all, made here if NULL.
 * False: this CPU lacks it. */
static bool check_variant(check *c, const char *path, const char *cpu, float **first) {
    if (loaded_open(path, 1, cpu, &c->l) == P4C_ERR_NO_CPU) {
        printf("%s %s: not on this CPU, skipped\n", path, cpu);
        return false;
    }
    const size_t bytes = (size_t)c->n * c->l.info.vocab * sizeof(float);
    int32_t *ids = malloc((size_t)c->n * sizeof *ids);
    for (int64_t i = 0; i < c->n; i++)
        ids[i] = (int32_t)((uint64_t)(i + 11) * 2654435761u % c->l.info.vocab);
    c->ids = ids;
    c->want = malloc(bytes);
    c->got = malloc(bytes);
    p4c_session *s = session_of(c);
    append(c, s, 0, c->n, c->want);
    p4c_session_close(s);
    printf("%s %s, 1 thread\n", path, c->l.info.cpu);
    run_ways(c);
    loaded_close(&c->l);
    if (loaded_open(path, 2, cpu, &c->l)) exit(1);
    printf("%s %s, 2 threads\n", path, c->l.info.cpu);
    run_ways(c);
    both_threads_worked(c);
    if (!*first) {
        *first = malloc(bytes);
        memcpy(*first, c->want, bytes);
    }
    memcpy(c->got, *first, bytes);
    compare(c, "against the first variant");
    loaded_close(&c->l);
    free(ids);
    free(c->want);
    free(c->got);
    return true;
}

int main(int argc, char **argv) {
    static const char *const CPUS[] = {"x86-64-v3", "avxvnni", "avx512vnni", "avx512bf16"};
    if (argc < 3) return 2;
    check c = {.n = strtoll(argv[1], NULL, 10)};
    float *first = NULL;
    int n_run = 0;
    for (int i = 2; i < argc; i++)
        for (int v = 0; v < 4; v++) n_run += check_variant(&c, argv[i], CPUS[v], &first);
    printf("%d variants, %d failed\n", n_run, c.n_failed);
    free(first);
    return n_run && !c.n_failed ? 0 : 1;
}
