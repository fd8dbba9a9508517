/* harness.h - what the fault tests share: a work folder, programs that are started in it with or
 * without faults, and the checks that every end of a program must pass.
 */
#ifndef P4C_TESTS_FAULT_HARNESS_H
#define P4C_TESTS_FAULT_HARNESS_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/diag.h"
#include "base/str.h"
#include "base/util.h"
#include "tests/fault/inject.h"

enum { FAULT_MAX_ARGS = 24 };

/* What is under the output's name when a program has ended. */
typedef enum fault_file {
    FILE_any,    /* not looked at */
    FILE_absent, /* nothing */
    FILE_old,    /* the very file that was there before */
    FILE_whole,  /* all bytes of f->whole */
} fault_file;

typedef struct fault {
    const char *p4c, *object, *checkpoint; /* object: inject.c's, or NULL */
    const char *dir;                       /* the work folder; those below are in it */
    const char *out, *tmp;                 /* folders: of outputs; TMPDIR of programs */
    const char *artifact;                  /* out/x.so */
    str whole;                             /* its bytes when it is right */
    inject_page *page;
    pid_t program; /* of the session, 0: none */
    int n_checks, n_wrong;
    arena *mem;
    diag *d;
} fault;

/* A program to start. */
typedef struct fault_run {
    const char *argv[FAULT_MAX_ARGS]; /* NULL-terminated */
    bool plain;                       /* without the preloaded object */
    const char *in;                   /* file for stdin; NULL: /dev/null */
    int out_fd;                       /* its stdout; 0: a file, whose text is in the end */
    void (*prepare)(void *context);   /* called in the new process; may be NULL */
    void *context;
} fault_run;

/* How it ended. */
typedef struct fault_end {
    int status; /* exit status, or 128 + signal */
    bool by_signal;
    str out, err;
} fault_end;

void fault_open(fault *f, char **argv); /* argv: p4c, object, checkpoint */
void fault_close(fault *f);

/* Counts `ok`; where it is false says what is wrong with which run. */
bool fault_expect(fault *f, bool ok, const char *what, const char *wrong);

/* ---- one program ---- */

/* Nothing is counted, nothing fails. */
void fault_wish_none(fault *f);
/* The calls of `set` numbered from .. to fail. */
void fault_wish(fault *f, inject_set set, int64_t from, int64_t to);

pid_t fault_start(fault *f, const fault_run *r);
fault_end fault_wait(fault *f, pid_t pid);
fault_end fault_do(fault *f, const fault_run *r);

/* ---- a session: one program, stopped at chosen calls, and copies of it ---- */

/* Starts the program and waits for its first stop; false: it ended before, see *end. */
bool fault_session(fault *f, const fault_run *r, inject_set stop, int64_t at, fault_end *end);
/* Lets it go on to the `at`-th call of `stop` from here. */
bool fault_go(fault *f, inject_set stop, int64_t at, fault_end *end);
/* Kills it. */
void fault_stop(fault *f);
/* A copy of the stopped program, with the wishes that are in the page. */
fault_end fault_copy(fault *f);

/* ---- checks ---- */

/* Puts an older file under the artifact's name (FILE_old) or removes what is there. */
void fault_lay(fault *f, fault_file state);
/* The rules for every end: the status is one of `may` (digits); one line "p4c: ..." on stderr
 * where it is not 0, with hints and notes below it, none where it is 0; the artifact as it was
 * before, `before`, or whole where the status is 0; no other file left anywhere; nothing left in
 * memory after a normal end. */
bool fault_check(fault *f, const char *what, const fault_end *e, const char *may,
                 fault_file before);
/* Same for an end by a signal, with no line, or by the exit status 128 + signal. */
bool fault_check_signal(fault *f, const char *what, const fault_end *e, int signal,
                        fault_file before);
/* Whether the artifact is there and right. */
bool fault_has_whole(fault *f);
/* Whether there is a temporary file of the artifact. */
bool fault_left_temporary(fault *f);
/* The parts of fault_check. */
bool fault_check_text(fault *f, const char *what, const fault_end *e, const char *may);
bool fault_check_files(fault *f, const char *what, fault_file artifact);

const char *fault_call_name(int call);
inject_set fault_set(int kind); /* all calls of INJECT_memory or INJECT_files */
uint32_t fault_random(uint64_t *state);

/* ---- the tests (fault.c has their table) ---- */

typedef void fault_test(fault *f);
fault_test fault_make, fault_plain, fault_memory_start, fault_memory_compile, fault_memory_run,
    fault_files_read, fault_files_write, fault_files_run, fault_inputs, fault_limits, fault_output,
    fault_kill;

#endif
