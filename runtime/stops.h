/* stops.h - stop strings in text that arrives in pieces.
 *
 * The text ends at the first byte with which some stop string is complete, however the text was cut
 * into pieces; of several complete there, the longest one counts.  Text is let through once no
 * stop string can begin in it any more, so that no part of one is ever let through.
 */
#ifndef P4C_RUNTIME_STOPS_H
#define P4C_RUNTIME_STOPS_H

#include <stdbool.h>

#include "runtime/alloc.h"

enum { RT_MAX_STOP_STRINGS = 64, RT_MAX_STOP_BYTES = 1 << 16 };

typedef struct rt_stops {
    const char *const *text; /* [n], none empty; stays in use */
    size_t n;
    size_t len[RT_MAX_STOP_STRINGS];
    rt_bytes held; /* text not let through; .n_out bytes in front may go now */
    size_t n_out;
    size_t n_seen; /* bytes of held that were looked at */
    int found;     /* index of the stop string met, -1: none yet */
} rt_stops;

/* All zero but text and n before; false: one is NULL, empty, too long or begins within a
 * character, or there are too many. */
bool rt_stops_start(rt_stops *s, const char *const *text, size_t n);
/* Call after bytes were added to s->held: sets n_out and found. */
void rt_stops_scan(rt_stops *s);
/* The first n_out bytes were taken. */
void rt_stops_taken(rt_stops *s);
/* No more text comes: all that is held may go. */
void rt_stops_flush(rt_stops *s);

#endif
