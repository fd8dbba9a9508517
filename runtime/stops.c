/* stops.c - see stops.h.  Looks at each byte once, comparing backwards from it with every stop
 * string: they are few and short, and bytes come at the pace of tokens. */
#include "runtime/stops.h"

bool rt_stops_start(rt_stops *s, const char *const *text, size_t n) {
    *s = (rt_stops){.text = text, .n = n, .found = -1};
    if (n > RT_MAX_STOP_STRINGS || (n && !text)) return false;
    for (size_t i = 0; i < n; i++) {
        s->len[i] = text[i] ? strlen(text[i]) : 0;
        if (!s->len[i] || s->len[i] > RT_MAX_STOP_BYTES) return false;
        if ((text[i][0] & 0xc0) == 0x80) return false; /* would cut a character in two */
    }
    return true;
}

/* Longest stop string that ends with byte `end` (exclusive) of the held text; -1: none. */
static int complete_at(const rt_stops *s, size_t end) {
    int best = -1;
    for (size_t i = 0; i < s->n; i++)
        if (s->len[i] <= end && (best < 0 || s->len[i] > s->len[best]) &&
            !memcmp(s->held.at + end - s->len[i], s->text[i], s->len[i]))
            best = (int)i;
    return best;
}

/* Bytes at the end of the held text that may be the beginning of a stop string. */
static size_t possible_beginning(const rt_stops *s) {
    size_t longest = 0;
    for (size_t i = 0; i < s->n; i++) {
        size_t n = s->len[i] - 1 < s->held.n ? s->len[i] - 1 : s->held.n;
        while (n > longest && memcmp(s->held.at + s->held.n - n, s->text[i], n)) n--;
        if (n > longest) longest = n;
    }
    return longest;
}

void rt_stops_scan(rt_stops *s) {
    while (s->found < 0 && s->n_seen < s->held.n) {
        s->found = complete_at(s, ++s->n_seen);
        if (s->found >= 0) {
            s->held.n = s->n_seen - s->len[s->found]; /* the rest is never seen */
            s->n_seen = s->n_out = s->held.n;
            return;
        }
    }
    if (s->found < 0) s->n_out = s->held.n - possible_beginning(s);
}

void rt_stops_taken(rt_stops *s) {
    s->held.n -= s->n_out;
    s->n_seen -= s->n_out;
    if (s->held.n) memmove(s->held.at, s->held.at + s->n_out, s->held.n);
    s->n_out = 0;
}

void rt_stops_flush(rt_stops *s) { s->n_out = s->held.n; }
