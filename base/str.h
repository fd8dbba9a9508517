/* str.h - byte slices that need not end in NUL, and text built piece by piece. */
#ifndef P4C_BASE_STR_H
#define P4C_BASE_STR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/arena.h"
#include "base/vec.h"

/* A slice: never owns its bytes. */
typedef struct str {
    const char *at;
    size_t n;
} str;

#define STR(literal) ((str){"" literal, sizeof(literal) - 1})
#define STR_INIT(literal) {"" literal, sizeof(literal) - 1} /* in a static table */
#define STR_FMT "%.*s"
#define STR_ARG(s) (int)(s).n, (s).at

static inline str str_of(const char *nul_terminated) {
    return (str){nul_terminated, strlen(nul_terminated)};
}
static inline bool str_eq(str a, str b) { return a.n == b.n && (!a.n || !memcmp(a.at, b.at, a.n)); }
static inline bool str_is(str a, const char *b) { return str_eq(a, str_of(b)); }
static inline bool str_starts(str s, const char *prefix) {
    size_t n = strlen(prefix);
    return s.n >= n && !memcmp(s.at, prefix, n);
}
static inline bool str_ends(str s, const char *suffix) {
    size_t n = strlen(suffix);
    return s.n >= n && !memcmp(s.at + s.n - n, suffix, n);
}

/* A decimal integer with optional minus, nothing around it, fitting int64. */
bool str_to_i64(str s, int64_t *out);
/* A decimal floating-point number, correctly rounded, independent of the locale; inf and nan
 * refused. */
bool str_to_f64(str s, double *out);

/* Text under construction: always NUL-terminated once something was added. */
typedef struct text {
    arena *mem;
    vec(char) buf;
} text;

void text_add(text *t, str s);
void text_cat(text *t, const char *s);
void text_putc(text *t, char c);
/* Numbers in `fmt` print as in the C locale whatever the process has set. */
void text_printf(text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static inline str text_str(const text *t) { return (str){t->buf.at ? t->buf.at : "", t->buf.n}; }

/* Shortest decimal that reads back as the same double (float); "inf", "-inf" and "nan" for those.
 */
void text_f64(text *t, double v);
void text_f32(text *t, float v);

#endif
