/* fault.c - p4c and artifacts when memory, disks, files or the user fail them: one line, the right
 * exit status, nothing half-written, nothing left.
 *
 *     fault TEST P4C OBJECT CHECKPOINT ARTIFACT
 * OBJECT is inject.c's, to be preloaded, or "none", which will do for make and plain; ARTIFACT is
 * where the test make puts a compiled CHECKPOINT for the others.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "tests/fault/harness.h"

static const struct {
    const char *name;
    fault_test *run;
    bool makes; /* the artifact */
} TESTS[] = {
    {"make", fault_make, true},
    {"plain", fault_plain, false},
    {"memory.start", fault_memory_start, false},
    {"memory.compile", fault_memory_compile, false},
    {"memory.run", fault_memory_run, false},
    {"files.read", fault_files_read, false},
    {"files.write", fault_files_write, false},
    {"files.run", fault_files_run, false},
    {"inputs", fault_inputs, false},
    {"limits", fault_limits, false},
    {"output", fault_output, false},
    {"kill", fault_kill, false},
};

static bool copy_file(fault *f, const char *from, const char *to) {
    if (!file_read(from, (uint64_t)1 << 30, f->mem, f->d, &f->whole)) return false;
    file_writer *w = file_create(to, 0777, f->mem, f->d);
    return w && file_write(w, f->whole.at, f->whole.n) && file_commit(w);
}

void fault_make(fault *f) {
    const fault_run compile = {.argv = {f->p4c, "compile", f->checkpoint, "-o", f->artifact}};
    fault_wish_none(f);
    const fault_end made = fault_do(f, &compile);
    fault_check(f, "compile", &made, "0", FILE_any);
    const fault_run check = {.argv = {f->p4c, "inspect", f->artifact, "--check"}};
    const fault_end checked = fault_do(f, &check);
    fault_check(f, "inspect --check", &checked, "0", FILE_any);
}

int main(int argc, char **argv) {
    fault f;
    sigset_t set;
    size_t i = 0;
    while (argc == 6 && i < COUNT_OF(TESTS) && strcmp(TESTS[i].name, argv[1]) != 0) i++;
    if (argc != 6 || i == COUNT_OF(TESTS)) return EXIT_USAGE;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    fault_open(&f, argv + 2);
    bool ok = TESTS[i].makes || copy_file(&f, argv[5], f.artifact);
    if (ok) TESTS[i].run(&f);
    if (ok && TESTS[i].makes) ok = f.n_wrong == 0 && copy_file(&f, f.artifact, argv[5]);
    diag_print(f.d, stderr);
    ok = ok && f.n_checks && !f.n_wrong;
    printf("%s: %d checks, %d wrong\n", argv[1], f.n_checks, f.n_wrong);
    fault_close(&f);
    return ok ? EXIT_DONE : EXIT_CHECK_FAILED;
}
