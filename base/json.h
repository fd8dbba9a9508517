/* json.h - JSON from strangers: strict scan first, then built by cJSON.
 *
 * The scan enforces RFC 8259 grammar, UTF-8, depth <= 64, no NUL (raw or as \u0000: cJSON's strings
 * end there), no lone surrogate escapes, no duplicate keys in an object, no byte-order mark,
 * nothing behind the value, numbers of at most 63 characters (cJSON cuts longer ones) and at most
 * JSON_MAX_VALUES values (cJSON takes 80 bytes for each).  Getters report through diag where the
 * value is missing or has the wrong type; `file` is used in messages.
 */
#ifndef P4C_BASE_JSON_H
#define P4C_BASE_JSON_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/diag.h"
#include "base/str.h"
#include "base/util.h"

enum { JSON_MAX_DEPTH = 64, JSON_MAX_VALUES = 4 << 20 };

typedef struct json {
    cJSON *root;
    const char *file;
} json;

/* Scans and parses `source`; file is used in messages.  Release with json_free. */
P4C_CHECKED bool json_parse(str source, const char *file, arena *scratch, diag *d, json *out);
/* Only the scan.  *error_offset is set where it returns a message; NULL: the text is fine. */
const char *json_scan(str source, arena *scratch, uint64_t *error_offset);
void json_free(json *j);

/* Typed access to a member of object `o`.  Absent and null are alike: get_* report JSON_MISSING;
 * opt_* leave *out as it was and return true.  A member of another type, a fraction for an integer,
 * or a value outside [lo, hi] is reported.  Integers beyond 2^53 - 1 are out of range whatever lo
 * and hi say: cJSON holds doubles.  Strings point into the tree. */
P4C_CHECKED bool json_get_i64(const cJSON *o, const char *key, int64_t lo, int64_t hi,
                              const char *file, diag *d, int64_t *out);
P4C_CHECKED bool json_opt_i64(const cJSON *o, const char *key, int64_t lo, int64_t hi,
                              const char *file, diag *d, int64_t *out);
P4C_CHECKED bool json_get_f64(const cJSON *o, const char *key, double lo, double hi,
                              const char *file, diag *d, double *out);
P4C_CHECKED bool json_opt_f64(const cJSON *o, const char *key, double lo, double hi,
                              const char *file, diag *d, double *out);
P4C_CHECKED bool json_opt_bool(const cJSON *o, const char *key, const char *file, diag *d,
                               bool *out);
P4C_CHECKED bool json_get_str(const cJSON *o, const char *key, const char *file, diag *d,
                              const char **out);
P4C_CHECKED bool json_opt_str(const cJSON *o, const char *key, const char *file, diag *d,
                              const char **out);
/* The member, NULL where absent or null. */
const cJSON *json_member(const cJSON *o, const char *key);

/* Writes s as a JSON string with quotes; bytes that are not UTF-8 become U+FFFD. */
void json_add_string(text *t, str s);

#endif
