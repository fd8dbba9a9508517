/* fail_malloc.c - preloaded into a program, lets one call of an allocating function fail.
 *
 *     FAIL_AT=n       the n-th call fails, from 1; FAIL_ALL=1: and all behind it
 *     FAIL_COUNT=FILE at exit the number of calls is written there
 * Calls count where they come from the program itself or from libcjson: others' libraries have
 * their own ways of running out of memory.
 */
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_RANGES = 8 };

static struct range {
    uintptr_t begin, end;
} ranges[MAX_RANGES];
static int n_ranges;
static long fail_at, n_calls;
static bool fail_all;

static void *(*real_malloc)(size_t);
static void (*real_free)(void *);
static void *(*real_calloc)(size_t, size_t);
static void *(*real_realloc)(void *, size_t);
static int (*real_posix_memalign)(void **, size_t, size_t);
static void *(*real_aligned_alloc)(size_t, size_t);

void *malloc(size_t n);
void free(void *p);
void *calloc(size_t n, size_t size);
void *realloc(void *p, size_t n);
int posix_memalign(void **p, size_t align, size_t n);
void *aligned_alloc(size_t align, size_t n);

static int add_object(struct dl_phdr_info *info, size_t size, void *first) {
    (void)size;
    bool *is_first = first;
    if (*is_first || strstr(info->dlpi_name, "libcjson"))
        for (int i = 0; i < info->dlpi_phnum && n_ranges < MAX_RANGES; i++) {
            const ElfW(Phdr) *p = &info->dlpi_phdr[i];
            if (p->p_type == PT_LOAD && p->p_flags & PF_X)
                ranges[n_ranges++] = (struct range){info->dlpi_addr + p->p_vaddr,
                                                    info->dlpi_addr + p->p_vaddr + p->p_memsz};
        }
    *is_first = false;
    return 0;
}

static void look_up(const char *name, void *function) {
    void *const symbol = dlsym(RTLD_NEXT, name);
    memcpy(function, &symbol, sizeof symbol);
}

static void find_real(void) {
    if (real_malloc) return;
    look_up("malloc", &real_malloc);
    look_up("free", &real_free);
    look_up("realloc", &real_realloc);
    look_up("posix_memalign", &real_posix_memalign);
    look_up("aligned_alloc", &real_aligned_alloc);
}

__attribute__((constructor)) static void start(void) {
    bool first = true;
    find_real();
    const char *at = getenv("FAIL_AT");
    fail_at = at ? atol(at) : 0;
    fail_all = getenv("FAIL_ALL") != NULL;
    dl_iterate_phdr(add_object, &first);
}

__attribute__((destructor)) static void report(void) {
    const char *path = getenv("FAIL_COUNT");
    FILE *f = path ? fopen(path, "w") : NULL;
    if (!f) return;
    fprintf(f, "%ld\n", n_calls);
    fclose(f);
}

static bool fails(const void *caller) {
    const uintptr_t at = (uintptr_t)caller;
    for (int i = 0; i < n_ranges; i++) {
        if (at < ranges[i].begin || at >= ranges[i].end) continue;
        const long n = __atomic_add_fetch(&n_calls, 1, __ATOMIC_RELAXED);
        if (!fail_at || n < fail_at || (n > fail_at && !fail_all)) return false;
        errno = ENOMEM;
        return true;
    }
    return false;
}

void *malloc(size_t n) {
    find_real();
    return fails(__builtin_return_address(0)) ? NULL : real_malloc(n);
}

/* What calloc gives before the real one is found: dlsym itself calls it. */
static _Alignas(16) char early[4096];

void free(void *p) {
    find_real();
    if ((char *)p < early || (char *)p >= early + sizeof early) real_free(p);
}

void *calloc(size_t n, size_t size) {
    static size_t used;
    static bool looking;
    if (!real_calloc && !looking) {
        looking = true;
        look_up("calloc", &real_calloc);
        looking = false;
    }
    if (!real_calloc) {
        const size_t bytes = (n * size + 15) & ~(size_t)15;
        if (used + bytes > sizeof early) return NULL;
        used += bytes;
        return early + used - bytes;
    }
    return fails(__builtin_return_address(0)) ? NULL : real_calloc(n, size);
}

void *realloc(void *p, size_t n) {
    find_real();
    return fails(__builtin_return_address(0)) ? NULL : real_realloc(p, n);
}

int posix_memalign(void **p, size_t align, size_t n) {
    find_real();
    return fails(__builtin_return_address(0)) ? ENOMEM : real_posix_memalign(p, align, n);
}

void *aligned_alloc(size_t align, size_t n) {
    find_real();
    return fails(__builtin_return_address(0)) ? NULL : real_aligned_alloc(align, n);
}
