/* tokenizer_speed.c - how fast the runtime's tokenizer encodes, on one thread.
 *
 *     tokenizer_speed TOKENIZER_DIR < names-of-text-files
 *
 * Reads one file name a line and answers each with a line: seconds of CPU time, ids, FNV-1a over
 * the ids (to compare with another tokenizer's).  bench_tokenizer.py drives it, so that the two
 * programs take turns.
 */
#include <stdlib.h>
#include <time.h>

#include "base/file.h"
#include "frontend/tokenizer_import.h"
#include "runtime/tokenizer.h"

static void *get(void *ctx, size_t n) {
    (void)ctx;
    return malloc(n);
}

static void put(void *ctx, void *p) {
    (void)ctx;
    free(p);
}

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool measure(const rt_tokenizer *t, str source) {
    const rt_alloc mem = {get, put, NULL};
    rt_ids ids = {0};
    const double start = seconds();
    if (!rt_encode(t, &mem, (rt_encode_input){source.at, source.n, false, NULL}, &ids))
        return false;
    const double took = seconds() - start;
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < ids.n; i++) hash = (hash ^ (uint32_t)ids.at[i]) * 0x100000001b3u;
    printf("%.9f %zu %llx\n", took, ids.n, (unsigned long long)hash);
    fflush(stdout);
    free(ids.at);
    return true;
}

int main(int argc, char **argv) {
    arena *mem = arena_open(), *scratch = arena_open();
    diag d = {.mem = mem};
    fe_blob blob;
    rt_tokenizer t;
    char name[4096];
    if (argc != 2) {
        fprintf(stderr, "usage: tokenizer_speed TOKENIZER_DIR\n");
        return EXIT_USAGE;
    }
    bool ok =
        fe_import_tokenizer(argv[1], 0, mem, &d, &blob) && rt_tokenizer_open(&t, blob.at, blob.n);
    while (ok && fgets(name, sizeof name, stdin)) {
        const arena_pos mark = arena_mark(scratch);
        str source;
        name[strcspn(name, "\n")] = 0;
        ok = file_read(name, 1u << 30, scratch, &d, &source) && measure(&t, source);
        arena_rewind(scratch, mark);
    }
    diag_print(&d, stderr);
    arena_close(scratch);
    arena_close(mem);
    return ok ? EXIT_DONE : EXIT_CHECK_FAILED;
}
