/* logits_out.c - writes one float32 tensor `logits` as a safetensors file: u64 header length, JSON
 * header padded with blanks to a multiple of 8, rows.  Format:
 * https://github.com/huggingface/safetensors#format */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "app/app.h"

struct logits_file {
    const char *path, *temporary;
    diag *d;
    int fd;
    int64_t n_rows, n_columns, n_done;
};

static const char *volatile temporary; /* the file that handlers of signals remove */

void logits_remove_temporary(void) {
    if (temporary) unlink(temporary);
}

/* stat() itself is no symbol of old libraries; on 64-bit systems its structure is the kernel's. */
static bool is_no_file(const char *path) {
    struct stat st;
    return syscall(SYS_newfstatat, AT_FDCWD, path, &st, 0) == 0 && !S_ISREG(st.st_mode);
}

static bool fail(const logits_file *f, const char *what) {
    return diag_error(f->d, DIAG_OUTPUT_WRITE, (diag_loc){.file = f->path}, "%s (%s)", what,
                      strerror(errno));
}

static bool put(const logits_file *f, const void *p, size_t n) {
    const char *at = p;
    while (n) {
        const ssize_t k = write(f->fd, at, n);
        if (k < 0 && errno == EINTR) continue;
        if (k < 0) return fail(f, "cannot write");
        at += k;
        n -= (size_t)k;
    }
    return true;
}

logits_file *logits_create(const char *path, int64_t n_rows, int64_t n_columns, arena *mem,
                           diag *d) {
    logits_file *f = arena_new(mem, logits_file);
    *f = (logits_file){.path = path, .d = d, .n_rows = n_rows, .n_columns = n_columns};
    f->temporary = arena_printf(mem, "%s.%ld.tmp", path, (long)getpid());
    if (is_no_file(path)) {
        diag_error(d, DIAG_OUTPUT_WRITE, (diag_loc){.file = path},
                   "cannot be written: it is no regular file");
        return NULL;
    }
    temporary = f->temporary; /* before it is there: another process's has another number */
    f->fd = open(f->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (f->fd < 0) {
        temporary = NULL;
        fail(f, "cannot create");
        return NULL;
    }
    text header = {.mem = mem};
    text_printf(&header,
                "{\"logits\":{\"dtype\":\"F32\",\"shape\":[%lld,%lld],\"data_offsets\":[0,%lld]}}",
                (long long)n_rows, (long long)n_columns, (long long)(n_rows * n_columns * 4));
    while (header.buf.n % 8) text_putc(&header, ' ');
    uint8_t length[8];
    for (int i = 0; i < 8; i++) length[i] = (uint8_t)((uint64_t)header.buf.n >> (8 * i));
    if (put(f, length, sizeof length) && put(f, header.buf.at, header.buf.n)) return f;
    logits_abandon(f);
    return NULL;
}

bool logits_add(logits_file *f, const float *rows, int64_t n_rows) {
    f->n_done += n_rows;
    return put(f, rows, (size_t)n_rows * (size_t)f->n_columns * sizeof *rows);
}

bool logits_finish(logits_file *f) {
    if (f->n_done != f->n_rows) UNREACHABLE("logits file without all its rows");
    const int closed = close(f->fd);
    f->fd = -1;
    if (closed != 0 || rename(f->temporary, f->path) != 0) {
        fail(f, "cannot write");
        logits_abandon(f);
        return false;
    }
    temporary = NULL;
    return true;
}

void logits_abandon(logits_file *f) {
    if (!f) return;
    if (f->fd >= 0) close(f->fd);
    f->fd = -1;
    unlink(f->temporary);
    temporary = NULL;
}
