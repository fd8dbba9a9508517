/* file.c - mapped and whole-file reads; writes that appear complete or not at all.
 *
 * Two small tables are shared with the SIGBUS handler, which may only touch memory that is always
 * there: the mapped ranges, and the names of temporary files.  Both are published with release
 * stores; entries are claimed by one thread at a time (the compiler maps and creates from one).
 */
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_MAPPED = 2048, MAX_TEMPORARIES = 16, READ_ONLY = O_RDONLY | O_CLOEXEC | O_NONBLOCK };

static struct {
    const uint8_t *at;
    uint64_t n_bytes;
    const char *path;
} mapped[MAX_MAPPED];

static const char *temporary[MAX_TEMPORARIES];

void file_remove_temporaries(void) {
    for (int i = 0; i < MAX_TEMPORARIES; i++) {
        const char *name = __atomic_load_n(&temporary[i], __ATOMIC_ACQUIRE);
        if (name) unlink(name);
    }
}

static void put_err(const char *s) {
    if (write(STDERR_FILENO, s, strlen(s)) < 0) return; /* nothing left to tell it to */
}

static void on_bus_error(int signal_number, siginfo_t *info, void *context) {
    (void)context;
    const uint8_t *const at = info->si_addr;
    for (int i = 0; i < MAX_MAPPED; i++) {
        const uint8_t *first = __atomic_load_n(&mapped[i].at, __ATOMIC_ACQUIRE);
        if (!first || at < first || (uint64_t)(at - first) >= mapped[i].n_bytes) continue;
        put_err("p4c: ");
        put_err(mapped[i].path);
        put_err(": cannot be read: it became shorter, or its disk failed [E0002]\n");
        file_remove_temporaries();
        _exit(EXIT_BAD_INPUT);
    }
    signal(signal_number, SIG_DFL); /* not ours: the access is repeated and ends the process */
}

static bool register_map(const mapped_file *f) {
    static bool installed;
    if (!installed) {
        struct sigaction sa = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO};
        sigemptyset(&sa.sa_mask);
        sigaction(SIGBUS, &sa, NULL);
        installed = true;
    }
    for (int i = 0; i < MAX_MAPPED; i++) {
        if (mapped[i].at) continue;
        mapped[i].n_bytes = f->n_bytes;
        mapped[i].path = f->path;
        __atomic_store_n(&mapped[i].at, f->at, __ATOMIC_RELEASE);
        return true;
    }
    return false;
}

static void unregister_map(const mapped_file *f) {
    if (!f->n_bytes) return;
    for (int i = 0; i < MAX_MAPPED; i++)
        if (mapped[i].at == f->at) __atomic_store_n(&mapped[i].at, NULL, __ATOMIC_RELEASE);
}

static bool is_resource(int error) {
    return error == ENOMEM || error == EMFILE || error == ENFILE || error == ENOBUFS;
}

static bool read_error(diag *d, const char *path, const char *what, int error) {
    return diag_error(d, is_resource(error) ? DIAG_FILE_RESOURCES : DIAG_FILE_OPEN,
                      (diag_loc){.file = path}, "%s (%s)", what, strerror(error));
}

/* Checks an open descriptor; closes it where it is no regular file. */
static bool check_regular(int fd, const char *path, diag *d, uint64_t *n_bytes) {
    struct stat st;
    if (fstat(fd, &st) != 0) {
        const int error = errno;
        close(fd);
        return read_error(d, path, "cannot open the file", error);
    }
    if (!S_ISREG(st.st_mode)) {
        close(fd);
        return diag_error(d, DIAG_FILE_NOT_REGULAR, (diag_loc){.file = path},
                          "not a regular file (found %s)",
                          S_ISDIR(st.st_mode) ? "a folder" : "a device, pipe or socket");
    }
    *n_bytes = (uint64_t)st.st_size;
    return true;
}

/* Maps the n_bytes of f->fd, at address `at` where it is not NULL; closes the file where that
 * fails.
 */
static bool map_now(mapped_file *f, void *at, diag *d) {
    void *p = mmap(at, f->n_bytes, PROT_READ, MAP_PRIVATE | (at ? MAP_FIXED : 0), f->fd, 0);
    if (p == MAP_FAILED) {
        const int error = errno;
        close(f->fd);
        return read_error(d, f->path, "cannot map the file", error);
    }
    f->at = p;
    if (register_map(f)) return true;
    munmap(p, f->n_bytes);
    close(f->fd);
    return diag_error(d, DIAG_FILE_RESOURCES, (diag_loc){.file = f->path},
                      "too many files (expected at most %d)", MAX_MAPPED);
}

static const uint8_t NOTHING[1]; /* where an empty file is mapped */

static bool map_open(int fd, const char *path, arena *mem, diag *d, mapped_file *out) {
    *out = (mapped_file){.path = arena_strdup(mem, path), .at = NOTHING, .fd = fd};
    if (check_regular(fd, path, d, &out->n_bytes) && (!out->n_bytes || map_now(out, NULL, d)))
        return true;
    *out = (mapped_file){.fd = -1};
    return false;
}

bool file_map(const char *path, arena *mem, diag *d, mapped_file *out) {
    *out = (mapped_file){.fd = -1};
    const int fd = open(path, READ_ONLY);
    if (fd < 0) return read_error(d, path, "cannot open the file", errno);
    return map_open(fd, path, mem, d, out);
}

static bool is_plain_name(const char *name) {
    return name[0] && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static bool is_cache_link(const char *target) {
    static const char PREFIX[] = "../../blobs/";
    if (strncmp(target, PREFIX, sizeof PREFIX - 1) != 0) return false;
    const char *hex = target + sizeof PREFIX - 1;
    return *hex && hex[strspn(hex, "0123456789abcdef")] == 0;
}

/* Opens `name` beside dir_fd, following one link of the allowed kinds; errno is set where it fails.
 */
static int open_beside(int dir_fd, const char *name) {
    char target[512];
    const int fd = openat(dir_fd, name, READ_ONLY | O_NOFOLLOW);
    if (fd >= 0 || errno != ELOOP) return fd;
    const ssize_t n = readlinkat(dir_fd, name, target, sizeof target - 1);
    if (n < 0) return -1;
    target[n] = 0;
    errno = ELOOP;
    if (n == sizeof target - 1 || !(is_plain_name(target) || is_cache_link(target))) return -1;
    return openat(dir_fd, target, READ_ONLY | O_NOFOLLOW);
}

/* -1: reported. */
static int open_in(const char *dir, const char *name, const char *path, diag *d) {
    if (!is_plain_name(name)) {
        diag_error(d, DIAG_FILE_OPEN, (diag_loc){.file = path},
                   "a path that leads outside the folder (expected a plain file name)");
        return -1;
    }
    const int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0) {
        read_error(d, dir, "cannot open the folder", errno);
        return -1;
    }
    const int fd = open_beside(dir_fd, name), error = errno;
    close(dir_fd);
    if (fd >= 0) return fd;
    if (error == ELOOP)
        diag_error(d, DIAG_FILE_OPEN, (diag_loc){.file = path},
                   "a symbolic link that leads outside the folder");
    else read_error(d, path, "cannot open the file", error);
    return -1;
}

bool file_map_in(const char *dir, const char *name, arena *mem, diag *d, mapped_file *out) {
    *out = (mapped_file){.fd = -1};
    const char *path = path_join(mem, dir, name);
    const int fd = open_in(dir, name, path, d);
    return fd >= 0 && map_open(fd, path, mem, d, out);
}

/* Opens the files and finds where each will be; the set has their sizes and no address yet. */
static bool open_set(const char *dir, const char *const *names, arena *mem, diag *d, int n,
                     mapped_set *s) {
    for (; s->n_files < n; s->n_files++) {
        mapped_file *f = &s->file[s->n_files];
        const char *path = path_join(mem, dir, names[s->n_files]);
        const int fd = open_in(dir, names[s->n_files], path, d);
        *f = (mapped_file){.path = path, .fd = fd};
        if (fd < 0 || !check_regular(fd, path, d, &f->n_bytes)) return false;
        if (!checked_add(s->n_bytes, f->n_bytes, &s->n_bytes) ||
            !checked_add(s->n_bytes, FILE_SET_ALIGN - 1, &s->n_bytes)) {
            close(fd);
            return read_error(d, path, "cannot map the file", ENOMEM);
        }
        s->n_bytes &= ~(uint64_t)(FILE_SET_ALIGN - 1);
    }
    return true;
}

bool file_map_set(const char *dir, const char *const *names, int n, arena *mem, diag *d,
                  mapped_set *out) {
    mapped_set s = {.file = arena_array(mem, mapped_file, n)};
    *out = (mapped_set){0};
    if (!open_set(dir, names, mem, d, n, &s)) {
        for (int i = 0; i < s.n_files; i++) close(s.file[i].fd);
        return false;
    }
    uint8_t *at = NULL;
    if (s.n_bytes) {
        at = mmap(NULL, s.n_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (at == MAP_FAILED) {
            const int error = errno;
            for (int i = 0; i < n; i++) close(s.file[i].fd);
            return read_error(d, dir, "cannot map the files", error);
        }
    }
    s.at = at ? at : NOTHING;
    for (int i = 0; i < n; i++) {
        mapped_file *f = &s.file[i];
        f->at = NOTHING;
        if (f->n_bytes && !map_now(f, at, d)) {
            for (int k = i + 1; k < n; k++) close(s.file[k].fd);
            s.n_files = i;
            file_unmap_set(&s);
            return false;
        }
        if (at) at += (f->n_bytes + FILE_SET_ALIGN - 1) & ~(uint64_t)(FILE_SET_ALIGN - 1);
    }
    *out = s;
    return true;
}

void file_unmap_set(mapped_set *s) {
    for (int i = 0; i < s->n_files; i++) {
        unregister_map(&s->file[i]);
        close(s->file[i].fd);
    }
    if (s->n_bytes)
        munmap((void *)(uintptr_t)s->at, s->n_bytes); /* the files and what is between */
    *s = (mapped_set){0};
}

void file_unmap(mapped_file *f) {
    if (f->n_bytes && f->at) {
        unregister_map(f);
        munmap((void *)(uintptr_t)f->at, f->n_bytes);
    }
    if (f->at && f->fd >= 0) close(f->fd);
    *f = (mapped_file){.fd = -1};
}

bool file_read(const char *path, uint64_t max_bytes, arena *mem, diag *d, str *out) {
    const int fd = open(path, READ_ONLY);
    uint64_t n_bytes;
    if (fd < 0) return read_error(d, path, "cannot open the file", errno);
    if (!check_regular(fd, path, d, &n_bytes)) return false;
    if (n_bytes > max_bytes) {
        close(fd);
        return diag_error(d, DIAG_FILE_TOO_LARGE, (diag_loc){.file = path},
                          "the file is too large (found %llu bytes, expected at most %llu)",
                          (unsigned long long)n_bytes, (unsigned long long)max_bytes);
    }
    char *at = arena_get(mem, n_bytes + 1, 1);
    uint64_t n = 0;
    int error = 0;
    while (n < n_bytes && !error) {
        const ssize_t got = read(fd, at + n, n_bytes - n);
        if (got > 0) n += (uint64_t)got;
        else if (got == 0) break; /* it became shorter: what is there is the file */
        else if (errno != EINTR) error = errno;
    }
    close(fd);
    if (error)
        return diag_error(d, DIAG_FILE_READ, (diag_loc){.file = path}, "cannot read the file (%s)",
                          strerror(error));
    at[n] = 0;
    *out = (str){at, n};
    return true;
}

bool file_exists(const char *path) {
    struct stat st;
    return lstat(path, &st) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

struct file_writer {
    const char *path, *dir; /* dir ends in a slash */
    char *name;             /* of the temporary file where it has one */
    int fd, slot;           /* slot: of `temporary`, -1 while there is no name */
    unsigned mode;
    uint64_t n_bytes;
    diag *d;
    arena *mem;
};

static bool write_error(file_writer *w, const char *what, int error) {
    return diag_error(w->d, DIAG_FILE_WRITE, (diag_loc){.file = w->path}, "%s (%s)", what,
                      strerror(error));
}

/* Makes a hidden name beside the output known to the signal handlers, then tries to take it. */
static bool name_temporary(file_writer *w, bool (*take)(file_writer *w)) {
    for (w->slot = 0; w->slot < MAX_TEMPORARIES && temporary[w->slot]; w->slot++) {
    }
    if (w->slot == MAX_TEMPORARIES) return errno = EMFILE, w->slot = -1, false;
    for (int i = 0; i < 100; i++) {
        w->name =
            arena_printf(w->mem, "%s.%s.%ld-%d.tmp", w->dir, path_base(w->path), (long)getpid(), i);
        if (take(w)) {
            __atomic_store_n(&temporary[w->slot], w->name, __ATOMIC_RELEASE);
            return true;
        }
        if (errno != EEXIST) break;
    }
    w->name = NULL;
    w->slot = -1;
    return false;
}

static void forget_temporary(file_writer *w) {
    if (w->slot >= 0) __atomic_store_n(&temporary[w->slot], NULL, __ATOMIC_RELEASE);
    w->slot = -1;
    w->name = NULL;
}

/* Marks the file as in use, for remove_stale of other processes; where locks do not work it is as
 * if they were all in use. */
static void lock_file(const file_writer *w) { (void)flock(w->fd, LOCK_EX | LOCK_NB); }

static bool take_by_open(file_writer *w) {
    struct stat st;
    w->fd = open(w->name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, w->mode);
    if (w->fd < 0) return false;
    lock_file(w);
    if (fstat(w->fd, &st) == 0 && st.st_nlink) return true;
    close(w->fd); /* removed as stale before it was locked */
    w->fd = -1;
    return errno = EEXIST, false;
}

/* Gives the unnamed file a name; needs /proc. */
static bool take_by_link(file_writer *w) {
    char self[64];
    snprintf(self, sizeof self, "/proc/self/fd/%d", w->fd);
    return linkat(AT_FDCWD, self, AT_FDCWD, w->name, AT_SYMLINK_FOLLOW) == 0;
}

/* ".NAME.PID-I.tmp" as name_temporary makes them. */
static bool is_temporary_of(const char *name, const char *base) {
    static const char DIGITS[] = "0123456789";
    const size_t n = strlen(base);
    if (name[0] != '.' || strncmp(name + 1, base, n) != 0 || name[n + 1] != '.') return false;
    const char *s = name + n + 2, *pid = s;
    s += strspn(s, DIGITS);
    if (s == pid || *s != '-') return false;
    const char *i = ++s;
    s += strspn(s, DIGITS);
    return s != i && strcmp(s, ".tmp") == 0;
}

/* Temporary files of this output whose writers were killed: nobody holds their lock. */
static void remove_stale(const file_writer *w) {
    DIR *dir = opendir(w->dir);
    if (!dir) return;
    for (const struct dirent *e; (e = readdir(dir));) {
        if (!is_temporary_of(e->d_name, path_base(w->path))) continue;
        const int fd = openat(dirfd(dir), e->d_name, READ_ONLY | O_NOFOLLOW);
        if (fd < 0) continue;
        if (flock(fd, LOCK_EX | LOCK_NB) == 0) unlinkat(dirfd(dir), e->d_name, 0);
        close(fd);
    }
    closedir(dir);
}

file_writer *file_create(const char *path, unsigned mode, arena *mem, diag *d) {
    file_writer *w = arena_new(mem, file_writer);
    *w = (file_writer){
        .path = arena_strdup(mem, path), .slot = -1, .fd = -1, .mode = mode, .d = d, .mem = mem};
    const char *base = path_base(w->path);
    w->dir = base == w->path ? "./" : arena_copy(mem, path, (size_t)(base - w->path));
    struct stat st;
    if (!*base || (stat(path, &st) == 0 && !S_ISREG(st.st_mode))) {
        diag_error(d, DIAG_FILE_WRITE, (diag_loc){.file = path},
                   "cannot be written: it is no regular file");
        return NULL;
    }
    signal(SIGXFSZ, SIG_IGN); /* beyond the size limit, write() fails with EFBIG instead */
    w->fd = open(w->dir, O_TMPFILE | O_RDWR | O_CLOEXEC, mode);
    if (w->fd >= 0) lock_file(w);
    /* file systems without unnamed files; access() because a name is needed in the end */
    if (w->fd < 0 || access("/proc/self/fd", X_OK) != 0) {
        if (w->fd >= 0) close(w->fd);
        if (!name_temporary(w, take_by_open)) {
            write_error(w, "cannot create the file", errno);
            return NULL;
        }
    }
    remove_stale(w);
    return w;
}

bool file_write_at(file_writer *w, uint64_t offset, const void *p, size_t n) {
    const uint8_t *at = p;
    while (n) {
        /* in pieces: one write() takes at most 2 GiB */
        const size_t piece = n < (size_t)1 << 30 ? n : (size_t)1 << 30;
        const ssize_t done = pwrite(w->fd, at, piece, (off_t)offset);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) return write_error(w, "cannot write the file", done ? errno : ENOSPC);
        at += done;
        offset += (uint64_t)done;
        n -= (size_t)done;
        if (offset > w->n_bytes) w->n_bytes = offset;
    }
    return true;
}

bool file_write(file_writer *w, const void *p, size_t n) {
    return file_write_at(w, w->n_bytes, p, n);
}

uint64_t file_size(const file_writer *w) { return w->n_bytes; }

int file_fd(const file_writer *w) { return w->fd; }

/* So that the new name survives a power cut; file systems that cannot are left alone. */
static void sync_dir(const char *dir) {
    const int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    fsync(fd);
    close(fd);
}

bool file_commit(file_writer *w) {
    if (fsync(w->fd) != 0 && errno != EINVAL && errno != EROFS) {
        write_error(w, "cannot write the file to the disk", errno);
        file_abandon(w);
        return false;
    }
    if (!w->name && !name_temporary(w, take_by_link)) {
        write_error(w, "cannot give the file its name", errno);
        file_abandon(w);
        return false;
    }
    const int closed = close(w->fd); /* before it has its name: some disks tell only now */
    w->fd = -1;
    if ((closed != 0 && errno != EINTR) || rename(w->name, w->path) != 0) {
        write_error(w, closed ? "cannot write the file" : "cannot give the file its name", errno);
        file_abandon(w);
        return false;
    }
    forget_temporary(w);
    sync_dir(w->dir);
    return true;
}

void file_abandon(file_writer *w) {
    if (!w) return;
    if (w->name) unlink(w->name);
    forget_temporary(w);
    if (w->fd >= 0) close(w->fd);
    w->fd = -1;
}

char *path_join(arena *mem, const char *dir, const char *name) {
    const size_t n = strlen(dir);
    return arena_printf(mem, "%s%s%s", dir, n && dir[n - 1] == '/' ? "" : "/", name);
}

const char *path_base(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}
