/* arena.c - bump allocation in a chain of chunks, each at least twice as large as the one before.
 */
#include "base/arena.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#define HAVE_ASAN 1
#elif defined(__has_feature) /* clang has no macro for it */
#define HAVE_ASAN __has_feature(address_sanitizer)
#else
#define HAVE_ASAN 0
#endif
#if HAVE_ASAN
#include <sanitizer/asan_interface.h>
#define POISON(p, n) ASAN_POISON_MEMORY_REGION((p), (n))
#define UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION((p), (n))
#else
#define POISON(p, n) ((void)(p), (void)(n))
#define UNPOISON(p, n) ((void)(p), (void)(n))
#endif

enum { FIRST_CHUNK_BYTES = 64 << 10, LARGEST_STEP_BYTES = 16 << 20 };

typedef struct chunk chunk;
struct chunk {
    chunk *before;
    size_t used, size; /* bytes behind this header */
    _Alignas(64) unsigned char data[];
};

struct arena {
    chunk *last;
    size_t used_before; /* bytes used in all chunks but the last */
};

static void default_oom(size_t wanted) {
    fprintf(stderr, "p4c: out of memory (%zu bytes wanted)\n", wanted);
    exit(6);
}

static arena_oom_fn *out_of_memory = default_oom;

void arena_set_oom(arena_oom_fn *fn) { out_of_memory = fn; }

_Noreturn void arena_out_of_memory(size_t wanted) {
    out_of_memory(wanted);
    abort(); /* the handler must not return */
}

static void *must_have(void *p, size_t wanted) {
    if (!p) arena_out_of_memory(wanted);
    return p;
}

arena *arena_open(void) { return must_have(calloc(1, sizeof(arena)), sizeof(arena)); }

void arena_close(arena *a) {
    if (!a) return;
    arena_rewind(a, (arena_pos){0});
    free(a);
}

static void push_chunk(arena *a, size_t need) {
    size_t size = a->last ? a->last->size * 2 : FIRST_CHUNK_BYTES;
    if (size > LARGEST_STEP_BYTES) size = LARGEST_STEP_BYTES;
    if (size < need) size = need;
    size_t bytes;
    if (__builtin_add_overflow(size, sizeof(chunk), &bytes)) arena_out_of_memory(need);
    chunk *c = NULL;
    if (posix_memalign((void **)&c, _Alignof(chunk), bytes) != 0) c = NULL;
    must_have(c, bytes);
    *c = (chunk){.before = a->last, .size = size};
    POISON(c->data, size);
    if (a->last) a->used_before += a->last->used;
    a->last = c;
}

void *arena_get(arena *a, size_t size, size_t align) {
    assert(align && (align & (align - 1)) == 0 && align <= 64);
    if (size > SIZE_MAX / 2) arena_out_of_memory(size);
    size_t at = a->last ? (a->last->used + align - 1) & ~(align - 1) : 0;
    if (!a->last || at > a->last->size || size > a->last->size - at) {
        push_chunk(a, size);
        at = 0;
    }
    a->last->used = at + size;
    UNPOISON(a->last->data + at, size);
    return memset(a->last->data + at, 0, size);
}

void *arena_get_array(arena *a, size_t n, size_t size, size_t align) {
    size_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes)) arena_out_of_memory(SIZE_MAX);
    return arena_get(a, bytes, align);
}

char *arena_copy(arena *a, const void *p, size_t n) {
    char *s = arena_get(a, n + 1, 1);
    if (n) memcpy(s, p, n);
    return s;
}

char *arena_strdup(arena *a, const char *s) { return arena_copy(a, s, strlen(s)); }

char *arena_vprintf(arena *a, const char *fmt, va_list ap) {
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    assert(n >= 0);
    char *s = arena_get(a, (size_t)n + 1, 1);
    vsnprintf(s, (size_t)n + 1, fmt, again);
    va_end(again);
    return s;
}

char *arena_printf(arena *a, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    char *s = arena_vprintf(a, fmt, ap);
    va_end(ap);
    return s;
}

arena_pos arena_mark(const arena *a) { return (arena_pos){a->last, a->last ? a->last->used : 0}; }

void arena_rewind(arena *a, arena_pos pos) {
    while (a->last != pos.chunk) {
        chunk *c = a->last;
        assert(c && "the mark belongs to another arena");
        a->last = c->before;
        if (a->last) a->used_before -= a->last->used;
        UNPOISON(c->data, c->size);
        free(c);
    }
    if (!a->last) return;
    assert(pos.used <= a->last->used);
    POISON(a->last->data + pos.used, a->last->used - pos.used);
    a->last->used = pos.used;
}

size_t arena_used(const arena *a) { return a->used_before + (a->last ? a->last->used : 0); }
