/* inject.h - what a test and the preloaded object (inject.c) tell each other: one page of memory
 * that both map, from the file that the environment variable P4C_INJECT names.
 *
 * The object counts the calls of inject.def that are in `counted`; those numbered from .. to fail
 * with their errno, or raise a signal instead.  It can also stop before a chosen call and serve the
 * test: each INJECT_fork makes a copy of the program at that point, which goes on with counting
 * begun anew, so that a thousand ways to end are tried in one run; INJECT_go lets the program go on
 * to its next stop.
 */
#ifndef P4C_TESTS_INJECT_H
#define P4C_TESTS_INJECT_H

#include <semaphore.h>
#include <stdint.h>

typedef enum inject_call {
#define CALL(name, kind, error) CALL_##name,
#include "inject.def"
#undef CALL
    CALL_COUNT
} inject_call;

typedef uint32_t inject_set; /* 1u << inject_call */
_Static_assert(CALL_COUNT <= 32, "a set of calls is 32 bits");

enum { INJECT_memory, INJECT_files, INJECT_KINDS };

#define INJECT_EVER INT64_MAX

typedef enum inject_command { INJECT_go, INJECT_fork } inject_command;

typedef struct inject_page {
    /* wishes of the test */
    inject_set counted;
    int64_t from, to;   /* counted calls are numbered from 1; from 0: none fails */
    int32_t error;      /* 0: each call's own */
    int32_t signal;     /* not 0: raised before the call, which then works */
    int32_t no_unnamed; /* open() refuses O_TMPFILE, as file systems without it do */
    int64_t max_piece;  /* bytes that one read or write moves at most; 0: no limit */
    int64_t max_memory; /* of copies: RLIMIT_AS; 0: no limit */
    int64_t max_file;   /* of copies: no file may grow beyond this; 0: no limit */
    int32_t track;      /* find memory, mappings and files that are left at a normal end */
    inject_set stop;    /* stop before ... */
    int64_t stop_at;    /* ... the stop_at-th call of this set from here on; 0: never */
    /* what the object has seen */
    int64_t n_seen;     /* counted calls */
    int64_t n_failed;   /* or signals raised */
    int32_t last;       /* inject_call that failed last */
    int64_t n_left;     /* blocks, mappings and files left */
    char left[200];     /* one of them, in words */
    int32_t was_normal; /* the end was exit() or a return from main */
    /* while stopped */
    sem_t stopped;                 /* posted by the object: it stopped, or a copy ended */
    sem_t go_on;                   /* posted by the test: a command is there */
    int32_t command, copy, status; /* copy: its process id; status: of wait */
} inject_page;

#endif
