/* files.c - every other call of `compile` and `run` that asks the system for something fails. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/fault/harness.h"

/* An errno that a call may give, and the statuses that are right then: 0 where p4c can do without
 * what it asked for, and then its result is the right one. */
typedef struct failure {
    int call, error;
    const char *may;
} failure;

static const failure READING[] = {
    {CALL_open_read, EMFILE, "06"},  {CALL_open_read, ENOMEM, "06"},
    {CALL_open_read, EACCES, "03"},  {CALL_open_read, EIO, "03"},
    {CALL_open_write, EACCES, "6"},  {CALL_open_write, EROFS, "6"},
    {CALL_opendir, EMFILE, "06"},    {CALL_opendir, EACCES, "03"},
    {CALL_read, EIO, "03"},          {CALL_pread, EIO, "034"},
    {CALL_lseek, EIO, "034"},        {CALL_close, EIO, "0"},
    {CALL_mmap_file, ENOMEM, "06"},  {CALL_mmap_file, EACCES, "03"},
    {CALL_madvise, EINVAL, "0"},     {CALL_write, ENOSPC, "6"},
    {CALL_write, EIO, "6"},          {CALL_pthread_create, EAGAIN, "06"},
    {CALL_mmap_memory, ENOMEM, "6"},
};

/* Once each; what was interrupted is done again. */
static const failure INTERRUPTED[] = {
    {CALL_read, EINTR, "0"},   {CALL_pread, EINTR, "0"},     {CALL_write, EINTR, "0"},
    {CALL_pwrite, EINTR, "0"}, {CALL_fallocate, EINTR, "0"}, {CALL_waitpid, EINTR, "0"},
};

static const failure WRITING[] = {
    {CALL_open_write, ENOSPC, "06"},
    {CALL_open_write, EACCES, "06"},
    {CALL_open_write, EROFS, "06"},
    {CALL_open_read, EMFILE, "06"},
    {CALL_read, EIO, "06"},
    {CALL_pread, EIO, "06"},
    {CALL_write, ENOSPC, "6"},
    {CALL_pwrite, ENOSPC, "6"},
    {CALL_pwrite, EDQUOT, "6"},
    {CALL_pwrite, EIO, "6"},
    {CALL_fallocate, ENOSPC, "6"},
    {CALL_fallocate, EDQUOT, "6"},
    {CALL_fallocate, EOPNOTSUPP, "0"},
    {CALL_ftruncate, EIO, "06"},
    {CALL_lseek, EIO, "06"},
    {CALL_fsync, EIO, "06"},
    {CALL_fsync, ENOSPC, "6"},
    {CALL_fsync, EDQUOT, "6"},
    {CALL_close, EIO, "06"},
    {CALL_linkat, ENOSPC, "6"},
    {CALL_linkat, EDQUOT, "6"},
    {CALL_rename, EDQUOT, "6"},
    {CALL_rename, EACCES, "6"},
    {CALL_memfd_create, EMFILE, "6"},
    {CALL_pipe2, EMFILE, "6"},
    {CALL_posix_spawnp, ENOMEM, "6"},
    {CALL_posix_spawnp, EAGAIN, "6"},
    {CALL_posix_spawnp, ENOENT, "05"},
    {CALL_waitpid, EIO, "6"},
    {CALL_pthread_create, EAGAIN, "06"},
    {CALL_mmap_file, ENOMEM, "06"},
    {CALL_mmap_memory, ENOMEM, "06"},
    {CALL_malloc, ENOMEM, "06"},
    {CALL_calloc, ENOMEM, "06"},
    {CALL_posix_memalign, ENOMEM, "6"},
};

static const char *name_of(fault *f, const char *what, const failure *x, int64_t n, bool ever) {
    return arena_printf(f->mem, "%s: %s %lld fails %s (%s)", what, fault_call_name(x->call),
                        (long long)n, ever ? "from there on" : "once", strerror(x->error));
}

/* Runs the program with each failure at each of its calls. */
static int64_t sweep_calls(fault *f, const fault_run *r, const char *what, const failure *x,
                           const fault_end *right) {
    for (int64_t n = 1;; n++) {
        const arena_pos mark = arena_mark(f->mem);
        const int n_wrong = f->n_wrong;
        fault_wish(f, (inject_set)1 << x->call, n, n);
        f->page->error = x->error;
        const fault_end e = fault_do(f, r);
        if (!f->page->n_failed) return n - 1;
        const char *name = name_of(f, what, x, n, false);
        fault_check(f, name, &e, x->may, FILE_whole);
        const bool same = e.out.n <= right->out.n && !memcmp(e.out.at, right->out.at, e.out.n);
        fault_expect(f, same && (e.status || e.out.n == right->out.n), name, "another result");
        if (f->n_wrong == n_wrong) arena_rewind(f->mem, mark);
    }
}

static void sweep(fault *f, const fault_run *r, const char *what) {
    int64_t n_calls = 0;
    fault_wish_none(f);
    const fault_end right = fault_do(f, r);
    fault_check(f, what, &right, "0", FILE_whole);
    for (size_t i = 0; i < COUNT_OF(READING); i++)
        n_calls += sweep_calls(f, r, what, &READING[i], &right);
    for (size_t i = 0; i < COUNT_OF(INTERRUPTED); i++)
        n_calls += sweep_calls(f, r, what, &INTERRUPTED[i], &right);
    fault_expect(f, n_calls > 10, what, "too few calls seen");
    fault_wish_none(f);
    f->page->max_piece = 7;
    const fault_end e = fault_do(f, r);
    fault_check(f, what, &e, "0", FILE_whole);
    fault_expect(f, str_eq(e.out, right.out), what, "short reads and writes give another result");
    printf("%s: %lld calls\n", what, (long long)n_calls);
}

void fault_files_read(fault *f) {
    const fault_run compile = {.argv = {f->p4c, "compile", f->checkpoint, "--emit", "ir"}};
    sweep(f, &compile, "compile --emit ir");
    const fault_run tokenize = {.argv = {f->p4c, "tokenize", f->checkpoint, "-p", "Hello"}};
    sweep(f, &tokenize, "tokenize");
}

void fault_files_run(fault *f) {
    const fault_run run = {.argv = {f->artifact, "-p", "Hello", "-n", "4", "--greedy", "-t2"}};
    sweep(f, &run, "artifact");
    const fault_run loaded = {.argv = {f->p4c, "run", f->artifact, "--ids", "1,2,3", "-n", "4"}};
    sweep(f, &loaded, "p4c run");
    const fault_run inspect = {.argv = {f->p4c, "inspect", f->artifact, "--check"}};
    sweep(f, &inspect, "p4c inspect");
}

/* ---- the output ---- */

enum { DENSE = 8, STRIDE = 5 };

/* Each failure from the stop on: the first one of a call at all its numbers, others at the first.
 */
static int64_t fail_all(fault *f, const char *what, bool all, bool unnamed, fault_file before) {
    int64_t n_calls = 0;
    for (size_t i = 0; i < COUNT_OF(WRITING); i++) {
        const bool each = all && (!i || WRITING[i].call != WRITING[i - 1].call);
        for (int64_t n = 1; n == 1 || each; n += n < DENSE ? 1 : STRIDE) {
            const arena_pos mark = arena_mark(f->mem);
            const int n_wrong = f->n_wrong;
            const bool ever = n % 2;
            fault_lay(f, before);
            fault_wish(f, (inject_set)1 << WRITING[i].call, n, ever ? INJECT_EVER : n);
            f->page->error = WRITING[i].error;
            f->page->no_unnamed = !unnamed;
            const fault_end e = fault_copy(f);
            if (!f->page->n_failed) break;
            n_calls++;
            fault_check(f, name_of(f, what, &WRITING[i], n, ever), &e, WRITING[i].may, before);
            if (f->n_wrong == n_wrong) arena_rewind(f->mem, mark);
        }
    }
    return n_calls;
}

/* Interrupted calls, and calls that move less than was asked for. */
static int64_t interrupt_all(fault *f) {
    int64_t n_calls = 0;
    for (size_t i = 0; i < COUNT_OF(INTERRUPTED); i++) {
        const failure *x = &INTERRUPTED[i];
        for (int64_t n = 1;; n += n < DENSE ? 1 : STRIDE) {
            fault_lay(f, FILE_old);
            fault_wish(f, (inject_set)1 << x->call, n, n);
            f->page->error = x->error;
            const fault_end e = fault_copy(f);
            if (!f->page->n_failed) break;
            n_calls++;
            fault_check(f, name_of(f, "compile", x, n, false), &e, x->may, FILE_old);
        }
    }
    fault_lay(f, FILE_old);
    fault_wish_none(f);
    f->page->max_piece = 1000;
    const fault_end e = fault_copy(f);
    fault_check(f, "compile with short reads and writes", &e, "0", FILE_old);
    return n_calls;
}

/* Signals at each step-th call from the stop on.  Only a named file, and only SIGKILL, leaves
 * something behind, and that is gone after the next compile. */
static int64_t kill_all(fault *f, int signal, int64_t step, bool unnamed, fault_file before) {
    int64_t n_calls = 0;
    for (int64_t n = 1;; n += step) {
        const arena_pos mark = arena_mark(f->mem);
        const int n_wrong = f->n_wrong;
        fault_lay(f, before);
        fault_wish(f, fault_set(INJECT_files), n, n);
        f->page->signal = signal;
        f->page->no_unnamed = !unnamed;
        const fault_end e = fault_copy(f);
        if (!f->page->n_failed) break;
        n_calls++;
        const char *what = arena_printf(f->mem, "signal %d before call %lld (%s)", signal,
                                        (long long)n, fault_call_name(f->page->last));
        const bool was_left = signal == SIGKILL && fault_left_temporary(f);
        if (was_left) {
            fault_wish_none(f);
            const fault_end next = fault_copy(f);
            fault_check(f, "the compile behind a killed one", &next, "0", before);
            before = FILE_whole;
        }
        /* behind the rename the new file is there */
        fault_check_signal(f, what, &e, signal, fault_has_whole(f) ? FILE_whole : before);
        if (f->n_wrong == n_wrong) arena_rewind(f->mem, mark);
    }
    return n_calls;
}

void fault_files_write(fault *f) {
    const fault_run compile = {.argv = {f->p4c, "compile", f->checkpoint, "-o", f->artifact}};
    fault_end end;
    fault_lay(f, FILE_old);
    fault_wish_none(f);
    /* the second: the first one asks whether the output can be written */
    if (!fault_session(f, &compile, (inject_set)1 << CALL_open_write, 2, &end)) {
        fault_check(f, "compile", &end, "", FILE_old);
        return;
    }
    const int64_t n_calls = interrupt_all(f) + fail_all(f, "compile", true, true, FILE_old) +
                            fail_all(f, "first compile", false, true, FILE_absent) +
                            fail_all(f, "compile, named", false, false, FILE_old);
    fault_expect(f, n_calls > 50, "compile", "too few calls seen");
    const int64_t n_kills =
        kill_all(f, SIGKILL, 3, true, FILE_old) + kill_all(f, SIGKILL, 11, false, FILE_absent) +
        kill_all(f, SIGTERM, 5, true, FILE_old) + kill_all(f, SIGTERM, 5, false, FILE_absent) +
        kill_all(f, SIGINT, 7, false, FILE_old);
    fault_expect(f, n_kills > 50, "kill", "too few calls seen");
    fault_lay(f, FILE_old);
    const bool more = fault_go(f, 0, 0, &end);
    fault_expect(f, !more, "compile", "it stopped again");
    fault_check(f, "compile", &end, "0", FILE_old);
    printf("%lld calls, %lld signals\n", (long long)n_calls, (long long)n_kills);
}
