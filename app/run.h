/* run.h - the state of one `run`, shared by run_main.c and run_chat.c. */
#ifndef P4C_APP_RUN_H
#define P4C_APP_RUN_H

#include "app/app.h"
#include "base/vec.h"

typedef struct run {
    app *a;
    p4c_model *model;
    p4c_info info;
    p4c_session *session;
    p4c_sampling sampling;
    uint64_t load_ns;
    int32_t *ids; /* prompt, in the arena */
    int64_t n_ids;
    int64_t n_done; /* of ids that the session holds already */
    bool keep_text; /* collect the new text */
    text text;
    vec(int32_t) new_ids;
    int written, write_errno; /* result of the last app_write, its errno */
    bool ends_line;           /* the text so far ends in a newline */
    p4c_generated generated;
    int signal; /* exit status of the signal that ended it, 0: none */
} run;

/* Turns a JSON list of messages into r->ids. */
P4C_CHECKED bool run_encode_chat(run *r, str messages);
/* Copies ids that the model's API gave to r->ids and releases them. */
void run_take_ids(run *r, int32_t *ids, size_t n);
/* Evaluates r->ids behind n_done but for the last step's worth, with a progress bar. */
P4C_CHECKED bool run_feed_prompt(run *r);
/* Feeds the prompt and generates; text goes to stdout as it comes. */
P4C_CHECKED bool run_generate(run *r);
/* Reports, or notes that a signal ended it; always false. */
bool run_failed(run *r, const p4c_error *error);
/* Question and answer until the input ends. */
P4C_CHECKED bool run_chat(run *r);

/* Appends a message to a JSON list that starts with '['. */
void app_add_message(text *list, const char *role, str content);
/* A text file, or stdin for "-"; its last newline is dropped.  The result is in the arena. */
P4C_CHECKED bool app_read_text(const char *path, arena *mem, diag *d, str *out);

#endif
