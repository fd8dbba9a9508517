/* memory.c - every allocation of `compile` and `run` fails, once and from there on. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "tests/fault/harness.h"

/* The stopped program's next allocation fails, and then all from there on.  How often it did
 * without what it asked for. */
static int fail_here(fault *f, const char *what, int64_t n, fault_file before) {
    static const char *const HOW[] = {"once", "from there on"};
    const inject_set memory = fault_set(INJECT_memory);
    int n_absorbed = 0;
    for (int ever = 0; ever < 2; ever++) {
        const arena_pos mark = arena_mark(f->mem);
        const int n_wrong = f->n_wrong;
        fault_wish(f, memory, 1, ever ? INJECT_EVER : 1);
        const fault_end e = fault_copy(f);
        const char *name = arena_printf(f->mem, "%s: allocation %lld (%s) fails %s", what,
                                        (long long)n, fault_call_name(f->page->last), HOW[ever]);
        fault_check(f, name, &e, "06", before);
        n_absorbed += e.status == 0;
        if (e.status == 0 && before != FILE_any) fault_lay(f, before);
        if (f->n_wrong == n_wrong) arena_rewind(f->mem, mark);
    }
    return n_absorbed;
}

/* All that happens before main: libraries that LLVM needs, and its tables of options. */
void fault_memory_start(fault *f) {
    const fault_run help = {.argv = {f->p4c, "--version"}};
    fault_end end;
    int64_t n = 1;
    fault_wish_none(f);
    bool stopped = fault_session(f, &help, fault_set(INJECT_memory), 1, &end);
    for (; stopped; n++) {
        fail_here(f, "start", n, FILE_any);
        stopped = fault_go(f, fault_set(INJECT_memory), 1, &end);
    }
    fault_check(f, "start", &end, "0", FILE_any);
    fault_expect(f, n > 10, "start", "no allocation seen");
    printf("%lld allocations\n", (long long)n);
}

/* Allocations before p4c's own first one, which is of its arena. */
static int64_t count_before_main(fault *f) {
    const fault_run version = {.argv = {f->p4c, "--version"}};
    fault_end end;
    int64_t n = 0;
    fault_wish(f, fault_set(INJECT_memory), 0, 0);
    if (!fault_session(f, &version, 1u << CALL_posix_memalign, 1, &end)) return -1;
    n = f->page->n_seen;
    fault_go(f, 0, 0, &end);
    return n;
}

/* All of p4c's and of cJSON's allocations up to code generation, then samples of LLVM's million.
 * files.c does what comes behind. */
void fault_memory_compile(fault *f) {
    enum { STRIDE = 4000 };
    const fault_run front = {.argv = {f->p4c, "compile", f->checkpoint, "--emit", "ir"}};
    const fault_run compile = {.argv = {f->p4c, "compile", f->checkpoint, "-o", f->artifact}};
    const inject_set memory = fault_set(INJECT_memory);
    uint64_t random = 1;
    int64_t n = count_before_main(f), n_stops = 0;
    int n_absorbed = 0;
    fault_end end;
    if (!fault_expect(f, n >= 0, "compile", "p4c has no arena")) return;
    n = n > 2 ? n - 2 : 1;
    fault_wish(f, memory, 0, 0);
    end = fault_do(f, &front);
    fault_check(f, "compile --emit ir", &end, "0", FILE_whole);
    const int64_t dense = f->page->n_seen + 200; /* LLVM's first ones, too */
    fault_lay(f, FILE_old);
    fault_wish_none(f);
    bool stopped = fault_session(f, &compile, memory, n, &end);
    for (; stopped; n_stops++) {
        n_absorbed += fail_here(f, "compile", n, FILE_old);
        const int64_t step = n < dense ? 1 : 1 + fault_random(&random) % (2 * STRIDE);
        stopped = fault_go(f, memory, step, &end);
        n += step;
    }
    fault_check(f, "compile", &end, "0", FILE_old);
    /* the search for what killed compiles left may fail */
    fault_expect(f, n_absorbed <= 1, "compile", "a lack of memory is ignored");
    fault_expect(f, n > 100 * dense, "compile", "too few allocations seen");
    printf("%lld allocations, %lld made to fail\n", (long long)n, (long long)n_stops);
}

static const char *logits_path(const fault *f) { return path_join(f->mem, f->out, "logits"); }

/* The file that --logits-out names is right, or not there: not there only where the run failed. */
static void check_rows(fault *f, const char *what, const fault_end *e, str want) {
    str rows = {"", 0};
    if (file_exists(logits_path(f)) && !file_read(logits_path(f), 1 << 20, f->mem, f->d, &rows))
        fault_expect(f, false, what, "the logits cannot be read");
    if (rows.n || e->status == 0) fault_expect(f, str_eq(rows, want), what, "the logits differ");
    unlink(logits_path(f));
}

/* Runs the program again and again, with call n = first, first + 1, ... failing, until it has no
 * n-th call. */
static void sweep_run(fault *f, const fault_run *r, const char *what, bool ever, int64_t first) {
    const inject_set memory = fault_set(INJECT_memory);
    int64_t n = first;
    fault_wish_none(f);
    const fault_end right = fault_do(f, r);
    str rows = {"", 0};
    if (file_exists(logits_path(f)) && !file_read(logits_path(f), 1 << 20, f->mem, f->d, &rows))
        return;
    unlink(logits_path(f));
    fault_check(f, what, &right, "0", FILE_whole);
    fault_expect(f, right.out.n > 0, what, "no text");
    for (;; n++) {
        const arena_pos mark = arena_mark(f->mem);
        const int n_wrong = f->n_wrong;
        fault_wish(f, memory, n, ever ? INJECT_EVER : n);
        const fault_end e = fault_do(f, r);
        check_rows(f, what, &e, rows);
        if (!f->page->n_failed) break;
        const char *name =
            arena_printf(f->mem, "%s: allocation %lld (%s) fails %s", what, (long long)n,
                         fault_call_name(f->page->last), ever ? "from there on" : "once");
        fault_check(f, name, &e, "06", FILE_whole);
        const bool same = e.out.n <= right.out.n && memcmp(e.out.at, right.out.at, e.out.n) == 0;
        fault_expect(f, same && (e.status || e.out.n == right.out.n), name, "another text");
        if (f->n_wrong == n_wrong) arena_rewind(f->mem, mark);
    }
    fault_expect(f, n > first, what, "no allocation seen");
    printf("%s: %lld allocations\n", what, (long long)(n - first));
}

void fault_memory_run(fault *f) {
    const int64_t before = count_before_main(f);
    const fault_run ids = {.argv = {f->artifact, "--ids", "1,2,3", "-n", "4", "--greedy"}};
    const fault_run chat = {
        .argv = {f->artifact, "-p", "Hello, you", "--seed", "3", "-n", "4", "-t2"}};
    const fault_run loaded = {
        .argv = {f->p4c, "run", f->artifact, "--ids", "1,2,3", "-n", "4", "--greedy"}};
    const fault_run rows = {.argv = {f->artifact, "--ids", "1,2,3", "-n", "1", "--greedy",
                                     "--logits-out", logits_path(f)}};
    for (int ever = 0; ever < 2; ever++) {
        sweep_run(f, &ids, "artifact --ids", ever, 1);
        sweep_run(f, &chat, "artifact -p", ever, 1);
        sweep_run(f, &rows, "artifact --logits-out", ever, 1);
        sweep_run(f, &loaded, "p4c run", ever, before + 1);
    }
}
