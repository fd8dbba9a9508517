/* diag.h - errors, warnings and notes with a code and a place, in the user's terms.
 *
 * A diag collects messages; the program prints them (diag_print) and takes its exit status from the
 * first error (diag_exit_status).  One error is reported once, where the fact is known; callers may
 * only add notes.  Text of errno, LLVM or CUDA goes verbatim into a note.
 */
#ifndef P4C_BASE_DIAG_H
#define P4C_BASE_DIAG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/arena.h"

typedef enum diag_code {
#define DIAG(name, number, exit_status, hint) DIAG_##name = number,
#include "base/diag.def"
#undef DIAG
} diag_code;

/* Exit statuses of every p4c program (DESIGN.md section 6). */
typedef enum exit_status {
    EXIT_DONE = 0,
    EXIT_CHECK_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_BAD_INPUT = 3,
    EXIT_BAD_ARTIFACT = 4,
    EXIT_MISSING = 5, /* target, tool or device */
    EXIT_RESOURCES = 6,
    EXIT_BUG = 7,
} exit_status;

typedef struct diag_loc { /* unknown fields stay zero; only what is set is printed */
    const char *file;     /* path of a shard, config.json, .p4ir or artifact */
    uint64_t line;        /* text files: line, from 1 */
    uint64_t offset;      /* binary files: byte offset; printed where line is 0 and offset is not */
    const char *tensor;   /* checkpoint tensor name */
    const char *op;       /* IR op as printed, e.g. "%12 = matmul" */
} diag_loc;

typedef enum diag_level { DIAG_LEVEL_error, DIAG_LEVEL_warning, DIAG_LEVEL_note } diag_level;

typedef struct diag_item diag_item;
struct diag_item {
    diag_level level;
    diag_code code;   /* of errors and warnings */
    const char *text; /* whole line without "p4c: " and without the code */
    diag_item *next;
};

typedef struct diag {
    arena *mem; /* messages live here */
    diag_item *first, *last;
    int n_errors, n_warnings;
} diag;

/* Record one message.  Strings are copied.  diag_error always returns false, so that callers write
 * `return diag_error(...)`. */
bool diag_error(diag *d, diag_code code, diag_loc at, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void diag_warn(diag *d, diag_code code, diag_loc at, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void diag_note(diag *d, diag_loc at, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Prints all messages in order: "p4c: FILE: text [E0112]" and "  hint: ..." where the code has one.
 */
void diag_print(const diag *d, FILE *out);
/* Drops the messages printed or not wanted; the counts go back to zero. */
void diag_clear(diag *d);
/* The status of the first error; EXIT_DONE where there is none. */
exit_status diag_exit_status(const diag *d);

const char *diag_name(diag_code code); /* "SHAPE_MISMATCH" */
const char *diag_hint(diag_code code); /* "" where there is none */

#endif
