/* progress.h - one line on stderr that tells how far a long job is: only on a terminal, only for
 * what takes more than a second, redrawn at most ten times a second, and gone when the job is done.
 */
#ifndef P4C_APP_PROGRESS_H
#define P4C_APP_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef enum progress_unit { PROGRESS_COUNT, PROGRESS_BYTES } progress_unit;

typedef struct progress {
    const char *what; /* NULL: switched off */
    progress_unit unit;
    uint64_t total;
    uint64_t start_ns, drawn_ns; /* drawn_ns 0: nothing on the screen */
} progress;

/* `wanted` false (--no-progress, --quiet) or stderr no terminal: all calls do nothing. */
void progress_start(progress *p, const char *what, uint64_t total, progress_unit unit, bool wanted);
void progress_set(progress *p, uint64_t done);
void progress_end(progress *p);

/* The line for `done` of p->total after `ns`, at most 79 columns; n is the size of `out`. */
void progress_line(const progress *p, uint64_t done, uint64_t ns, char *out, int n);

#endif
