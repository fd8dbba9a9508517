/* util.h - the few macros that every module uses. */
#ifndef P4C_BASE_UTIL_H
#define P4C_BASE_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* Marks a function whose result says whether it worked. */
#define P4C_CHECKED __attribute__((warn_unused_result))

/* A broken invariant of ours: prints where and aborts, in release builds too. */
#define UNREACHABLE(what)                                                                          \
    do {                                                                                           \
        fprintf(stderr, "p4c: bug: %s at %s:%d\n", (what), __FILE__, __LINE__);                    \
        abort();                                                                                   \
    } while (0)

static inline int64_t min_i64(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t max_i64(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; } /* a >= 0, b > 0 */
static inline int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

/* *out = a * b (a + b); false where the result does not fit.  For sizes read from a file. */
static inline P4C_CHECKED bool checked_mul(uint64_t a, uint64_t b, uint64_t *out) {
    return !__builtin_mul_overflow(a, b, out);
}
static inline P4C_CHECKED bool checked_add(uint64_t a, uint64_t b, uint64_t *out) {
    return !__builtin_add_overflow(a, b, out);
}

#endif
