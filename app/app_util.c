/* app_util.c - what run, bench and the driver's commands share: opening, errors, signals, output.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "app/app.h"

void app_hold_streams(void) {
    int fd;
    do fd = open("/dev/null", O_RDONLY | O_CLOEXEC); /* writing to it still fails */
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0) close(fd);
}

int app_finish(diag *d, int status) {
    fflush(stdout);
    diag_print(d, stderr);
    return d->n_errors ? (int)diag_exit_status(d) : status;
}

/* Numbers 800 + status are the rows of diag.def for these (tests/unit/test_app.c compares). */
enum { FIRST_RUN_CODE = 800 };

bool app_fail(app *a, const p4c_error *error) {
    const char *what = error->text[0] ? error->text : p4c_status_text(error->status);
    return diag_error(a->d, (diag_code)(FIRST_RUN_CODE + (int)error->status),
                      (diag_loc){.file = a->path}, "%s", what);
}

/* ---- a file that changes under us ---- */

static const char *mapped_path; /* for the handler; set once */

static void put_err(const char *s) {
    if (write(STDERR_FILENO, s, strlen(s)) < 0) return; /* nothing left to tell it to */
}

static void on_bus_error(int number) {
    (void)number;
    put_err("p4c: ");
    put_err(mapped_path);
    put_err(": cannot be read: it became shorter, or its disk failed [E0807]\n");
    logits_remove_temporary();
    _exit(EXIT_BAD_ARTIFACT);
}

bool app_open(app *a, p4c_model **model, p4c_info *info) {
    mapped_path = arena_strdup(a->mem, a->path);
    struct sigaction sa = {.sa_handler = on_bus_error};
    sigemptyset(&sa.sa_mask);
    sigaction(SIGBUS, &sa, NULL);
    p4c_open_params p = p4c_default_open_params();
    p.n_threads = (uint32_t)a->o->threads.v;
    p.kv_bytes = (uint64_t)a->o->kv_bytes.v;
    p.cpu = getenv("P4C_CPU");
    if (p.cpu && !p.cpu[0]) p.cpu = NULL;
    p4c_error error = {0};
    *info = (p4c_info){.size = sizeof *info};
    if (p4c_open(a->api, &p, model, &error) != P4C_OK) return app_fail(a, &error);
    if (p4c_get_info(*model, info, &error) == P4C_OK) return true;
    p4c_close(*model);
    return app_fail(a, &error);
}

/* ---- signals ---- */

static p4c_session *volatile watched; /* what a signal cancels */
static volatile sig_atomic_t came;    /* the signal */

static void on_signal(int number) {
    if (came || !watched) {
        logits_remove_temporary();
        signal(number, SIG_DFL);
        raise(number);
        return;
    }
    came = number;
    p4c_cancel(watched);
}

void app_watch_signals(p4c_session *session) {
    watched = session;
    came = 0;
    struct sigaction sa = {.sa_handler = session ? on_signal : SIG_DFL, .sa_flags = SA_RESTART};
    sigemptyset(&sa.sa_mask);
    /* the second signal must get through while the first one's handler raises it anew */
    sa.sa_flags |= SA_NODEFER;
    static const int ENDS[] = {SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < COUNT_OF(ENDS); i++) {
        struct sigaction before;
        if (sigaction(ENDS[i], NULL, &before) == 0 && before.sa_handler == SIG_IGN)
            continue; /* nohup */
        sigaction(ENDS[i], &sa, NULL);
    }
    signal(SIGPIPE, SIG_IGN); /* a closed stdout is an error of write, told apart there */
}

int app_take_signal(void) {
    const int number = came;
    came = 0;
    return number ? 128 + number : 0;
}

/* ---- text out ---- */

int app_write(const char *s, size_t n) {
    while (n) {
        const ssize_t k = write(STDOUT_FILENO, s, n);
        if (k < 0 && errno == EINTR) continue;
        if (k < 0) return errno == EPIPE ? 0 : -1;
        s += k;
        n -= (size_t)k;
    }
    return 1;
}

bool app_print(const text *t, diag *d) {
    const str s = text_str(t);
    signal(SIGPIPE, SIG_IGN);
    if (app_write(s.at, s.n) >= 0) return true;
    return diag_error(d, DIAG_OUTPUT_WRITE, (diag_loc){0}, "cannot write to stdout (%s)",
                      strerror(errno));
}

/* Bytes of the well-formed UTF-8 character at s (RFC 3629), 0: none stands there. */
static size_t utf8_length(const char *at, size_t n) {
    const unsigned char *s = (const unsigned char *)at;
    if (s[0] < 0x80) return 1;
    const size_t len = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4 || len > n) return 0;
    for (size_t i = 1; i < len; i++)
        if ((s[i] & 0xc0) != 0x80) return 0;
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f)) return 0; /* surrogates */
    if ((s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f)) return 0;
    return len;
}

void app_json_string(text *out, str s) {
    text_putc(out, '"');
    for (size_t i = 0; i < s.n;) {
        const size_t len = utf8_length(s.at + i, s.n - i);
        const unsigned char c = (unsigned char)s.at[i];
        if (!len) text_cat(out, "\xef\xbf\xbd");
        else if (c == '"' || c == '\\') text_printf(out, "\\%c", c);
        else if (c == '\n') text_cat(out, "\\n");
        else if (c < 0x20 || c == 0x7f) text_printf(out, "\\u%04x", c);
        else text_add(out, (str){s.at + i, len});
        i += len ? len : 1;
    }
    text_putc(out, '"');
}
