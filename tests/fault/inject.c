/* inject.c - an object for LD_PRELOAD that makes chosen calls of a program fail; see inject.h.
 *
 * Names of libc are defined here and so come first; the work is done by libc's inner names or by
 * the system call itself, because looking up the next definition allocates.
 */
#include "inject.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t n);
extern void *__libc_memalign(size_t align, size_t n);
extern void __libc_free(void *p);

#define CALLER __builtin_return_address(0)

static const int ERRORS[CALL_COUNT] = {
#define CALL(name, kind, error) [CALL_##name] = error,
#include "inject.def"
#undef CALL
};

static inject_page *page; /* NULL: not looked for yet, or nothing to do */
static bool looked;
static int64_t n_stop; /* calls of page->stop since the last stop */

static inject_page *find_page(void) {
    if (looked) return page;
    looked = true;
    const char *path = getenv("P4C_INJECT");
    if (!path) return NULL;
    const int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
    if (fd < 0) return NULL;
    void *p =
        (void *)syscall(SYS_mmap, NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0L);
    syscall(SYS_close, fd);
    return page = p == MAP_FAILED ? NULL : p;
}

static void wait_for_test(void) {
    while (sem_wait(&page->go_on) != 0) {
    }
}

static void limit(int resource, int64_t to) {
    const struct rlimit limits = {(rlim_t)to, (rlim_t)to};
    if (to) setrlimit((__rlimit_resource_t)resource, &limits);
}

/* Copies of the program begin here, until the test lets the program itself go on. */
static void serve(void) {
    for (;;) {
        sem_post(&page->stopped);
        wait_for_test();
        n_stop = 0;
        if (page->command == INJECT_go) return;
        const pid_t copy = fork();
        if (!copy) {
            page->n_seen = page->n_failed = 0;
            page->stop_at = 0;
            limit(RLIMIT_FSIZE, page->max_file);
            limit(RLIMIT_AS, page->max_memory);
            return;
        }
        page->copy = copy;
        page->status = -1;
        int status;
        if (copy > 0 && syscall(SYS_wait4, copy, &status, 0, NULL) == copy) page->status = status;
    }
}

/* 0: the call is to work; else errno. */
static int note(inject_call call) {
    inject_page *p = find_page();
    if (!p) return 0;
    if (p->stop_at && p->stop >> call & 1 && ++n_stop == p->stop_at) serve();
    if (!(p->counted >> call & 1)) return 0;
    const int64_t n = __atomic_add_fetch(&p->n_seen, 1, __ATOMIC_RELAXED);
    if (!p->from || n < p->from || n > p->to) return 0;
    p->last = call;
    __atomic_add_fetch(&p->n_failed, 1, __ATOMIC_RELAXED);
    if (!p->signal) return p->error ? p->error : ERRORS[call];
    raise(p->signal);
    return 0;
}

static bool fails(inject_call call) {
    const int error = note(call);
    if (error) errno = error;
    return error != 0;
}

/* ---- what is left at the end ---- */

enum { N_KEPT = 1 << 16, MAX_FILES = 256 };

/* Blocks and mappings that the program's own code made: a table with open addressing. */
static struct {
    uintptr_t at;
    void *caller;
    size_t n_bytes; /* of mappings; 0: a block */
} kept[N_KEPT];
static pthread_mutex_t kept_lock = PTHREAD_MUTEX_INITIALIZER;
static bool is_tracking;
static bool was_open[MAX_FILES];

/* Whether the code at `caller` is the program's: not of a library, but for cJSON's trees. */
static bool is_ours(void *caller) {
    struct dl_find_object found;
    if (_dl_find_object(caller, &found) != 0) return false;
    const char *path = found.dlfo_link_map->l_name, *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    return (strncmp(name, "lib", 3) != 0 && strncmp(name, "ld-", 3) != 0) ||
           strncmp(name, "libcjson", 8) == 0;
}

static size_t place_of(uintptr_t at) { return (at >> 4) * 0x9e3779b97f4a7c15u >> 48; }

static void keep(void *p, void *caller, size_t n_bytes) {
    if (!is_tracking || !p || !is_ours(caller)) return;
    pthread_mutex_lock(&kept_lock);
    size_t i = place_of((uintptr_t)p);
    for (size_t tries = 0; kept[i].at && tries < N_KEPT; tries++) i = (i + 1) % N_KEPT;
    if (!kept[i].at) {
        kept[i].at = (uintptr_t)p;
        kept[i].caller = caller;
        kept[i].n_bytes = n_bytes;
    }
    pthread_mutex_unlock(&kept_lock);
}

/* Entries behind a removed one move up, so that a search may end at the first empty place. */
static void unkeep(void *p) {
    if (!is_tracking || !p) return;
    pthread_mutex_lock(&kept_lock);
    size_t i = place_of((uintptr_t)p), tries = 0;
    while (kept[i].at && kept[i].at != (uintptr_t)p && tries++ < N_KEPT) i = (i + 1) % N_KEPT;
    if (kept[i].at == (uintptr_t)p) {
        for (size_t j = (i + 1) % N_KEPT; kept[j].at; j = (j + 1) % N_KEPT) {
            const size_t home = place_of(kept[j].at);
            if ((j > i && (home <= i || home > j)) || (j < i && home <= i && home > j)) {
                kept[i] = kept[j];
                i = j;
            }
        }
        kept[i].at = 0;
    }
    pthread_mutex_unlock(&kept_lock);
}

static void say_left(const char *what, void *caller) {
    Dl_info info = {0};
    page->n_left++;
    if (page->n_left > 1) return;
    if (caller) dladdr(caller, &info);
    snprintf(page->left, sizeof page->left, "%s of %s+0x%zx (%s)", what,
             info.dli_fname ? info.dli_fname : "?",
             (size_t)((char *)caller - (char *)info.dli_fbase),
             info.dli_sname ? info.dli_sname : "?");
}

__attribute__((constructor)) static void begin(void) {
    if (!find_page() || !page->track) return;
    for (int i = 0; i < MAX_FILES; i++) was_open[i] = fcntl(i, F_GETFD) != -1;
    is_tracking = true;
}

__attribute__((destructor)) static void end(void) {
    if (!page) return;
    page->was_normal = 1;
    if (!is_tracking) return;
    is_tracking = false;
    for (size_t i = 0; i < N_KEPT; i++)
        if (kept[i].at) say_left(kept[i].n_bytes ? "mapping" : "block", kept[i].caller);
    for (int i = STDERR_FILENO + 1; i < MAX_FILES; i++)
        if (!was_open[i] && fcntl(i, F_GETFD) != -1) say_left("file", NULL);
}

/* ---- memory ---- */

void *malloc(size_t n) {
    if (fails(CALL_malloc)) return NULL;
    void *p = __libc_malloc(n);
    keep(p, CALLER, 0);
    return p;
}

void *calloc(size_t n, size_t size) {
    if (fails(CALL_calloc)) return NULL;
    void *p = __libc_calloc(n, size);
    keep(p, CALLER, 0);
    return p;
}

void *realloc(void *old, size_t n) {
    if (fails(CALL_realloc)) return NULL;
    unkeep(old);
    void *p = __libc_realloc(old, n);
    keep(p ? p : old, CALLER, 0);
    return p;
}

void free(void *p) {
    unkeep(p);
    __libc_free(p);
}

int posix_memalign(void **out, size_t align, size_t n) {
    const int error = note(CALL_posix_memalign);
    if (error) return error;
    void *p = __libc_memalign(align, n);
    if (!p) return ENOMEM;
    keep(p, CALLER, 0);
    *out = p;
    return 0;
}

void *aligned_alloc(size_t align, size_t n) {
    if (fails(CALL_aligned_alloc)) return NULL;
    void *p = __libc_memalign(align, n);
    keep(p, CALLER, 0);
    return p;
}

void *mmap(void *at, size_t n, int protection, int flags, int fd, off_t offset) {
    if (fails(flags & MAP_ANONYMOUS ? CALL_mmap_memory : CALL_mmap_file)) return MAP_FAILED;
    void *p = (void *)syscall(SYS_mmap, at, n, protection, flags, fd, offset);
    if (p != MAP_FAILED && !(flags & MAP_FIXED)) keep(p, CALLER, n); /* fixed: within another one */
    return p;
}

int munmap(void *p, size_t n) {
    unkeep(p);
    return (int)syscall(SYS_munmap, p, n);
}

/* ---- files ---- */

static bool open_fails(int flags) {
    if ((flags & O_TMPFILE) == O_TMPFILE && find_page() && page->no_unnamed)
        return errno = EOPNOTSUPP, true;
    return fails((flags & O_ACCMODE) == O_RDONLY ? CALL_open_read : CALL_open_write);
}

int open(const char *path, int flags, ...) {
    va_list ap;
    va_start(ap, flags);
    const int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, int) : 0;
    va_end(ap);
    return open_fails(flags) ? -1 : (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int openat(int dir, const char *path, int flags, ...) {
    va_list ap;
    va_start(ap, flags);
    const int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, int) : 0;
    va_end(ap);
    return open_fails(flags) ? -1 : (int)syscall(SYS_openat, dir, path, flags, mode);
}

/* libc's own definition, of what is no system call.  *out: a pointer to a function, which POSIX
 * lets one make of this and C does not. */
static void find_libc(const char *name, void *out) {
    void *symbol = dlsym(RTLD_NEXT, name);
    memcpy(out, &symbol, sizeof symbol);
}

DIR *opendir(const char *path) {
    DIR *(*real)(const char *path);
    if (fails(CALL_opendir)) return NULL;
    find_libc("opendir", &real);
    return real(path);
}

static size_t piece(size_t n) {
    const inject_page *p = find_page();
    return p && p->max_piece && n > (size_t)p->max_piece ? (size_t)p->max_piece : n;
}

ssize_t read(int fd, void *p, size_t n) {
    return fails(CALL_read) ? -1 : syscall(SYS_read, fd, p, piece(n));
}

ssize_t pread(int fd, void *p, size_t n, off_t offset) {
    return fails(CALL_pread) ? -1 : syscall(SYS_pread64, fd, p, piece(n), offset);
}

ssize_t write(int fd, const void *p, size_t n) {
    if (fd == STDERR_FILENO) return syscall(SYS_write, fd, p, n);
    return fails(CALL_write) ? -1 : syscall(SYS_write, fd, p, piece(n));
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t offset) {
    return fails(CALL_pwrite) ? -1 : syscall(SYS_pwrite64, fd, p, piece(n), offset);
}

int fallocate(int fd, int mode, off_t offset, off_t n) {
    return fails(CALL_fallocate) ? -1 : (int)syscall(SYS_fallocate, fd, mode, offset, n);
}

int posix_fallocate(int fd, off_t offset, off_t n) {
    const int error = note(CALL_fallocate);
    if (error) return error;
    return syscall(SYS_fallocate, fd, 0, offset, n) == 0 ? 0 : errno;
}

int ftruncate(int fd, off_t n) {
    return fails(CALL_ftruncate) ? -1 : (int)syscall(SYS_ftruncate, fd, n);
}

off_t lseek(int fd, off_t offset, int whence) {
    return fails(CALL_lseek) ? -1 : syscall(SYS_lseek, fd, offset, whence);
}

int fsync(int fd) { return fails(CALL_fsync) ? -1 : (int)syscall(SYS_fsync, fd); }

int close(int fd) {
    const int error = note(CALL_close), done = (int)syscall(SYS_close, fd);
    if (!error) return done;
    errno = error;
    return -1;
}

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags) {
    return fails(CALL_linkat) ? -1 : (int)syscall(SYS_linkat, from_dir, from, to_dir, to, flags);
}

int rename(const char *from, const char *to) {
    return fails(CALL_rename) ? -1 : (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int mkdir(const char *path, mode_t mode) {
    return fails(CALL_mkdir) ? -1 : (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}

int madvise(void *p, size_t n, int advice) {
    return fails(CALL_madvise) ? -1 : (int)syscall(SYS_madvise, p, n, advice);
}

int memfd_create(const char *name, unsigned flags) {
    return fails(CALL_memfd_create) ? -1 : (int)syscall(SYS_memfd_create, name, flags);
}

int pipe2(int ends[2], int flags) {
    return fails(CALL_pipe2) ? -1 : (int)syscall(SYS_pipe2, ends, flags);
}

pid_t waitpid(pid_t pid, int *status, int options) {
    return fails(CALL_waitpid) ? -1 : (pid_t)syscall(SYS_wait4, pid, status, options, NULL);
}

int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
                 const posix_spawnattr_t *attributes, char *const *argv, char *const *env) {
    int (*real)(pid_t *, const char *, const posix_spawn_file_actions_t *,
                const posix_spawnattr_t *, char *const *, char *const *);
    const int error = note(CALL_posix_spawnp);
    if (error) return error;
    find_libc("posix_spawnp", &real);
    return real(pid, file, actions, attributes, argv, env);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *),
                   void *context) {
    int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    const int error = note(CALL_pthread_create);
    if (error) return error;
    find_libc("pthread_create", &real);
    return real(thread, attributes, start, context);
}
