/* kill.c - signals while p4c compiles and artifacts run. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "tests/fault/harness.h"

static const int SIGNALS[] = {SIGKILL, SIGTERM, SIGINT, SIGHUP};

/* Anywhere in LLVM's million allocations.  files.c has the moments of writing. */
static void kill_inside(fault *f) {
    enum { STRIDE = 60000 };
    const fault_run compile = {.argv = {f->p4c, "compile", f->checkpoint, "-o", f->artifact}};
    const inject_set memory = fault_set(INJECT_memory);
    uint64_t random = 2;
    int n_stops = 0;
    fault_end end;
    fault_lay(f, FILE_old);
    fault_wish_none(f);
    bool stopped = fault_session(f, &compile, memory, 3500, &end);
    for (; stopped; n_stops++) {
        for (size_t i = 0; i < COUNT_OF(SIGNALS); i++) {
            fault_wish(f, memory, 1, 1);
            f->page->signal = SIGNALS[i];
            const fault_end e = fault_copy(f);
            const char *what = arena_printf(f->mem, "signal %d at stop %d", SIGNALS[i], n_stops);
            fault_check_signal(f, what, &e, SIGNALS[i], FILE_old);
        }
        stopped = fault_go(f, memory, 1 + fault_random(&random) % (2 * STRIDE), &end);
    }
    fault_expect(f, n_stops >= 10, "kill", "too few moments");
    fault_check(f, "compile", &end, "0", FILE_old);
    printf("%d moments\n", n_stops);
}

/* At times that nothing in the program chooses. */
static void kill_from_outside(fault *f) {
    const fault_run compile = {.argv = {f->p4c, "compile", f->checkpoint, "-o", f->artifact},
                               .plain = true};
    uint64_t random = 3;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    for (size_t i = 0; i < 2 * COUNT_OF(SIGNALS); i++) {
        const int signal = SIGNALS[i % COUNT_OF(SIGNALS)];
        const long ms = 20 + fault_random(&random) % 900;
        fault_lay(f, FILE_old);
        const pid_t pid = fault_start(f, &compile);
        const struct timespec t = {.tv_nsec = ms * 1000000};
        const bool early = sigtimedwait(&set, NULL, &t) == SIGCHLD; /* it has ended by itself */
        if (!early) kill(pid, signal);
        const fault_end e = fault_wait(f, pid);
        const char *what = arena_printf(f->mem, "signal %d after %ld ms", signal, ms);
        if (e.status == 0) fault_check(f, what, &e, "0", FILE_old);
        else fault_check_signal(f, what, &e, signal, FILE_old);
    }
}

/* A run is told to end while it writes its answer: what is written stays, and the exit status says
 * why it is not more. */
static void interrupt_run(fault *f, const char *what, fault_run r, int signal) {
    int ends[2];
    char c;
    if (pipe2(ends, O_CLOEXEC) != 0) return;
    r.out_fd = ends[1];
    fault_wish_none(f);
    const pid_t pid = fault_start(f, &r);
    close(ends[1]);
    const bool some = read(ends[0], &c, 1) == 1; /* it is in the middle of its answer */
    kill(pid, signal);
    while (read(ends[0], &c, 1) == 1) {
    }
    close(ends[0]);
    const fault_end e = fault_wait(f, pid);
    what = arena_printf(f->mem, "%s, signal %d", what, signal);
    fault_expect(f, some, what, "no text");
    fault_check_signal(f, what, &e, signal, FILE_whole);
    fault_expect(f, !f->page->n_left, what, f->page->left);
}

/* A signal before each call of a run that writes a file: that is whole or not there. */
static void interrupt_file(fault *f, int signal) {
    const char *logits = path_join(f->mem, f->out, "logits");
    const fault_run r = {
        .argv = {f->artifact, "--ids", "1,2,3", "-n", "2", "--greedy", "--logits-out", logits}};
    int64_t n = 1;
    str right, now;
    fault_wish_none(f);
    fault_end e = fault_do(f, &r);
    if (!fault_expect(f, file_read(logits, 1 << 20, f->mem, f->d, &right), "--logits-out",
                      "no file"))
        return;
    for (;; n++) {
        unlink(logits);
        fault_wish(f, fault_set(INJECT_files), n, n);
        f->page->signal = signal;
        e = fault_do(f, &r);
        if (!f->page->n_failed) break;
        const char *what = arena_printf(f->mem, "--logits-out, signal %d before call %lld (%s)",
                                        signal, (long long)n, fault_call_name(f->page->last));
        if (file_exists(logits)) {
            const bool same = file_read(logits, 1 << 20, f->mem, f->d, &now) && str_eq(now, right);
            fault_expect(f, same, what, "half a file");
            unlink(logits);
        }
        if (e.status == 0) fault_check(f, what, &e, "0", FILE_whole);
        else fault_check_signal(f, what, &e, signal, FILE_whole);
    }
    unlink(logits);
    fault_expect(f, n > 10, "--logits-out", "too few calls seen");
}

void fault_kill(fault *f) {
    const fault_run own = {.argv = {f->artifact, "--ids", "1,2,3", "-n", "1000", "--ignore-eos"}};
    const fault_run loaded = {
        .argv = {f->p4c, "run", f->artifact, "--ids", "1,2,3", "-n", "1000", "--ignore-eos"}};
    interrupt_run(f, "artifact", own, SIGINT);
    interrupt_run(f, "artifact", own, SIGTERM);
    interrupt_run(f, "p4c run", loaded, SIGINT);
    interrupt_run(f, "p4c run", loaded, SIGTERM);
    interrupt_file(f, SIGINT);
    interrupt_file(f, SIGTERM);
    kill_inside(f);
    kill_from_outside(f);
}
