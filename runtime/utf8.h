/* utf8.h - UTF-8 in, as the Unicode standard wants ill-formed text read.
 *
 * Ill-formed bytes count as one character for each maximal subpart (Unicode 16, section 3.9,
 * "U+FFFD Substitution of Maximal Subparts"): what Rust's from_utf8_lossy and browsers do.
 */
#ifndef P4C_RUNTIME_UTF8_H
#define P4C_RUNTIME_UTF8_H

#include <stddef.h>
#include <stdint.h>

enum {
    RT_UTF8_BAD = 0x110000, /* in place of a code point */
    RT_UTF8_MAX_OUT = 6,    /* bytes that rt_utf8_push writes at most */
};

/* Reads one character at p, n >= 1 bytes left.  Returns its length, 1..4 and at most n; *cp is
 * RT_UTF8_BAD for an ill-formed subpart, a character cut off at the end included. */
size_t rt_utf8_next(const uint8_t *p, size_t n, uint32_t *cp);

/* Bytes one at a time.  All zero is the start state. */
typedef struct rt_utf8 {
    uint8_t held[4]; /* a character's bytes so far */
    uint8_t n, need; /* how many are held; how long the character is */
    uint8_t lo, hi;  /* range of the next byte */
} rt_utf8;

/* Takes a byte and writes the characters that it completes, at most RT_UTF8_MAX_OUT bytes; U+FFFD
 * for each ill-formed subpart.  Returns how many bytes were written. */
size_t rt_utf8_push(rt_utf8 *u, uint8_t byte, char *out);
/* The text ends: U+FFFD for a character left incomplete.  The state is the start state again. */
size_t rt_utf8_end(rt_utf8 *u, char *out);

#endif
