/* fail.c - error messages into the caller's buffer. */
#include "runtime/fail.h"

#include <stdarg.h>
#include <stdio.h>

static void fill(p4c_error *error, p4c_status status, int64_t found, int64_t limit, const char *fmt,
                 va_list ap) {
    error->status = status;
    error->found = found;
    error->limit = limit;
    if (vsnprintf(error->text, sizeof error->text, fmt, ap) < 0) error->text[0] = 0;
}

p4c_status rt_fail(p4c_error *error, p4c_status status, const char *fmt, ...) {
    if (!error) return status;
    va_list ap;
    va_start(ap, fmt);
    fill(error, status, 0, 0, fmt, ap);
    va_end(ap);
    return status;
}

p4c_status rt_fail_numbers(p4c_error *error, p4c_status status, int64_t found, int64_t limit,
                           const char *fmt, ...) {
    if (!error) return status;
    va_list ap;
    va_start(ap, fmt);
    fill(error, status, found, limit, fmt, ap);
    va_end(ap);
    return status;
}

p4c_status rt_fail_memory(p4c_error *error, const char *what) {
    return rt_fail(error, P4C_ERR_NO_MEMORY, "out of memory for %s", what);
}
