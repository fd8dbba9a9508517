/* json_value.h - JSON text to a tree of values: chats, and what a caller hands to a template.
 *
 * Strict: RFC 8259 grammar, well-formed UTF-8, no byte-order mark, no lone surrogate escapes, no
 * key twice in an object, nesting at most RT_JSON_DEPTH, nothing but white space behind the value.
 * Integers are exact (RT_VALUE_BIG_DIGITS digits); a number with a fraction or an exponent is a
 * double, refused where it is too large.  Texts are the caller's (RT_FROM_CALLER).
 */
#ifndef P4C_RUNTIME_JSON_VALUE_H
#define P4C_RUNTIME_JSON_VALUE_H

#include "runtime/value.h"

enum { RT_JSON_DEPTH = 64 };

typedef struct rt_json_error {
    const char *what; /* "expected a value"; NULL: memory ended, see the region's state */
    size_t offset;    /* in the text */
} rt_json_error;

/* False: *error says why.  The text need not outlive the value. */
bool rt_json_parse(rt_region *r, const char *at, size_t n, rt_value *out, rt_json_error *error);

#endif
