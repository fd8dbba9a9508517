/* loaded.h - an artifact loaded by dlopen and opened, for tests of whole models. */
#ifndef P4C_TESTS_MODEL_LOADED_H
#define P4C_TESTS_MODEL_LOADED_H

#include <stdbool.h>

#include "runtime/p4c.h"

typedef struct loaded {
    void *library;
    p4c_model *model;
    p4c_info info;
} loaded;

/* cpu: name of a variant, NULL: the best.  *status tells a variant that this CPU lacks
 * (P4C_ERR_NO_CPU) from other failures, which are printed. */
p4c_status loaded_open(const char *path, uint32_t n_threads, const char *cpu, loaded *out);
void loaded_close(loaded *l);

/* Prints the error and exits with status 1 where status is not P4C_OK. */
void must(p4c_status status, const p4c_error *error, const char *what);

/* Whole file; exits where it cannot be read. */
char *read_text(const char *path, size_t *n_bytes);

#endif
