/* file.h - files in: mapped or read whole; files out: complete or not there at all. */
#ifndef P4C_BASE_FILE_H
#define P4C_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/diag.h"
#include "base/str.h"
#include "base/util.h"

/* A regular file mapped read-only.  Where the file becomes shorter, or its disk fails, while it is
 * read, the kernel raises SIGBUS; a handler that file_map installs prints one line that names the
 * file, removes temporary files and ends the process with status 3. */
typedef struct mapped_file {
    const char *path; /* in the arena given to file_map */
    const uint8_t *at;
    uint64_t n_bytes; /* 0: `at` is not NULL but must not be read */
    int fd;
} mapped_file;

/* Maps `path`.  Refuses what is not a regular file.  Release with file_unmap. */
P4C_CHECKED bool file_map(const char *path, arena *mem, diag *d, mapped_file *out);
/* Same for a plain name inside `dir`.  A symbolic link is followed to a plain name beside it, or
 * to ../../blobs/<hex digits> (the download cache of Hugging Face), and nowhere else. */
P4C_CHECKED bool file_map_in(const char *dir, const char *name, arena *mem, diag *d,
                             mapped_file *out);
void file_unmap(mapped_file *f);

/* Plain names inside `dir` (as file_map_in), mapped one behind the other in one range of addresses,
 * so that a place in any of them is one offset from `at`.  Each file begins at a multiple of
 * FILE_SET_ALIGN; what is between them must not be read. */
enum { FILE_SET_ALIGN = 1 << 16 };
typedef struct mapped_set {
    const uint8_t *at;
    uint64_t n_bytes;
    mapped_file *file; /* [n_files], in the order of the names */
    int n_files;
} mapped_set;
P4C_CHECKED bool file_map_set(const char *dir, const char *const *names, int n, arena *mem, diag *d,
                              mapped_set *out);
void file_unmap_set(mapped_set *s);

/* Reads a whole regular file of at most max_bytes into the arena; out->at ends in NUL. */
P4C_CHECKED bool file_read(const char *path, uint64_t max_bytes, arena *mem, diag *d, str *out);
/* Of any kind; also true of what cannot be looked at, so that opening it says why. */
bool file_exists(const char *path);

/* A file that appears under its name only when it is complete: written to an unnamed temporary file
 * in the same folder (a hidden name where the file system has no unnamed ones), synced, then
 * renamed over.  A process killed before file_commit leaves `path` as it was; a hidden file that it
 * left is removed by the next writer of the same path. */
typedef struct file_writer file_writer;

file_writer *file_create(const char *path, unsigned mode, arena *mem, diag *d); /* NULL: reported */
P4C_CHECKED bool file_write(file_writer *w, const void *p, size_t n);           /* at the end */
P4C_CHECKED bool file_write_at(file_writer *w, uint64_t offset, const void *p, size_t n);
uint64_t file_size(const file_writer *w);
int file_fd(const file_writer *w);            /* for reading back; the writer keeps it */
P4C_CHECKED bool file_commit(file_writer *w); /* sync, rename; the writer is gone either way */
void file_abandon(file_writer *w);            /* drops the temporary file; NULL is allowed */

/* Removes temporary files that have a name; for handlers of signals that end the process. */
void file_remove_temporaries(void);

/* "dir/name" in the arena. */
char *path_join(arena *mem, const char *dir, const char *name);
const char *path_base(const char *path); /* behind the last '/' */

#endif
