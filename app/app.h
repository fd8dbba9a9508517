/* app.h - the programs `run` and `bench`, as p4c calls them after loading an artifact, and as an
 * artifact calls them itself when it is run as a program.  They know the model through
 * runtime/p4c.h alone.
 */
#ifndef P4C_APP_APP_H
#define P4C_APP_APP_H

#include "app/options.h"
#include "base/diag.h"
#include "runtime/p4c.h"

typedef struct app {
    const p4c_api *api;
    const char *path; /* of the artifact, for messages */
    uint64_t load_ns; /* the caller has spent on loading it */
    const options *o;
    arena *mem;
    diag *d; /* what is left in it is printed by the caller */
} app;

/* Each gives the exit status; where it is not EXIT_DONE, EXIT_CHECK_FAILED or 128 + a signal, an
 * error is in a->d. */
int app_run(app *a);
int app_bench(app *a);

/* The program that an artifact is: the options of `run`, or `bench` and its options.  Gives the
 * exit status. */
int app_main(const p4c_api *api, int argc, char **argv);

/* Opens the model with the options --threads and --kv-bytes and the variant that the environment
 * variable P4C_CPU names.  From here on a truncated artifact ends the process with one line and
 * status 4. */
P4C_CHECKED bool app_open(app *a, p4c_model **model, p4c_info *info);
/* Reports a failed call of the model's API; always false. */
bool app_fail(app *a, const p4c_error *error);
/* Where a program was started with closed standard streams: holds their numbers, so that no file
 * gets them and messages into it.  Call first. */
void app_hold_streams(void);
/* Prints what is in `d` and gives the exit status: of the first error, else `status`. */
int app_finish(diag *d, int status);

/* ---- signals: SIGINT, SIGTERM and SIGHUP cancel what the session does; a second one ends all ----
 */

/* NULL: from now on signals end the process at once.  One session at a time. */
void app_watch_signals(p4c_session *session);
/* 128 + the signal that came since app_watch_signals, 0: none.  Clears it. */
int app_take_signal(void);

/* ---- text out ---- */

/* Writes all of it to stdout.  1: done; 0: the reader is gone (no error); -1: failed, errno is set.
 */
int app_write(const char *s, size_t n);
/* s as a JSON string with quotes; what is not UTF-8 becomes U+FFFD. */
void app_json_string(text *out, str s);
/* Writes a whole text to stdout as the result of a command. */
P4C_CHECKED bool app_print(const text *t, diag *d);

/* A file that appears when it is complete: a float32 matrix `logits` in safetensors form, row by
 * row. */
typedef struct logits_file logits_file;
logits_file *logits_create(const char *path, int64_t n_rows, int64_t n_columns, arena *mem,
                           diag *d);
P4C_CHECKED bool logits_add(logits_file *f, const float *rows, int64_t n_rows);
P4C_CHECKED bool logits_finish(logits_file *f);
void logits_abandon(logits_file *f); /* NULL is allowed */
/* Removes the temporary file of what is not finished; for handlers that end the process. */
void logits_remove_temporary(void);

#endif
