/* run_chat.c - a chat on the terminal.  The whole talk is rendered anew for each question; what the
 * session holds of it already stays, so that only new tokens are evaluated. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/run.h"

/* One line from stdin without its newline, whatever bytes it has; false: end of input.  Byte by
 * byte: people type slowly, and nothing may be taken that belongs to the next line. */
static bool read_line(text *line) {
    char c;
    ssize_t n;
    text_cat(line, "");
    while ((n = read(STDIN_FILENO, &c, 1)) != 0) {
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) break;
        if (c == '\n') return true;
        text_putc(line, c);
    }
    return line->buf.n > 0;
}

/* Cuts the session back to the tokens that it has in common with r->ids, all but the last at most.
 */
static bool keep_common(run *r) {
    int64_t have;
    const int32_t *held = p4c_session_ids(r->session, &have);
    int64_t same = 0;
    while (same < have && same < r->n_ids - 1 && held[same] == r->ids[same]) same++;
    p4c_error error = {0};
    if (p4c_session_truncate(r->session, same, &error) != P4C_OK) return app_fail(r->a, &error);
    r->n_done = same;
    return true;
}

bool run_chat(run *r) {
    const options *o = r->a->o;
    text talk = {.mem = r->a->mem};
    text_putc(&talk, '[');
    if (o->system.given) app_add_message(&talk, "system", str_of(o->system.v));
    r->keep_text = true;
    if (isatty(STDIN_FILENO) && !o->quiet.v)
        fputs("Ctrl-C stops an answer, Ctrl-D ends the chat.\n", stderr);
    for (;;) {
        text line = {.mem = r->a->mem};
        /* waiting for input, signals end the process as usual */
        app_watch_signals(NULL);
        if (isatty(STDIN_FILENO)) fputs("> ", stderr);
        if (!read_line(&line)) break;
        app_watch_signals(r->session);
        p4c_clear_cancel(r->session);
        if (!line.buf.n) continue;
        app_add_message(&talk, "user", text_str(&line));
        text all = {.mem = r->a->mem};
        text_add(&all, text_str(&talk));
        text_putc(&all, ']');
        if (!run_encode_chat(r, text_str(&all)) || !keep_common(r)) return false;
        if (r->n_ids >= (int64_t)r->info.max_seq_tok)
            return diag_error(r->a->d, DIAG_RUN_TOO_LONG, (diag_loc){.file = r->a->path},
                              "the talk has %lld tokens, with room for %lld", (long long)r->n_ids,
                              (long long)r->info.max_seq_tok - 1);
        r->text = (text){.mem = r->a->mem};
        const bool done = run_generate(r);
        /* an interrupted answer stays in the talk, and the talk goes on */
        if (!done && r->signal != 128 + 2) return false;
        if (!r->written) return true;
        if (!r->ends_line && (!done || !isatty(STDOUT_FILENO))) app_write("\n", 1);
        r->signal = 0;
        app_add_message(&talk, "assistant", text_str(&r->text));
    }
    if (isatty(STDIN_FILENO)) fputs("\n", stderr);
    return true;
}
