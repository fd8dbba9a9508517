/* fail.h - how a call of the runtime says that it failed. */
#ifndef P4C_RUNTIME_FAIL_H
#define P4C_RUNTIME_FAIL_H

#include <stdint.h>

#include "runtime/p4c.h"

/* Fills *error (which may be NULL) and returns status: `return rt_fail(...)`.  fmt: %s, %d, %u,
 * %lld and %llu only, so that nothing depends on the locale. */
p4c_status rt_fail(p4c_error *error, p4c_status status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Same, with the two numbers that the message names. */
p4c_status rt_fail_numbers(p4c_error *error, p4c_status status, int64_t found, int64_t limit,
                           const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/* ERR_NO_MEMORY; what: "a session", ... */
p4c_status rt_fail_memory(p4c_error *error, const char *what);

#endif
