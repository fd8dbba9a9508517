/* alloc.h - the runtime's memory: the caller's hooks, and arrays that grow through them.
 *
 * Nothing in runtime/ calls malloc.  alloc returns memory aligned for any type, or NULL when there
 * is none; free takes what alloc gave, never NULL.
 */
#ifndef P4C_RUNTIME_ALLOC_H
#define P4C_RUNTIME_ALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct rt_alloc {
    void *(*alloc)(void *ctx, size_t n);
    void (*free)(void *ctx, void *p);
    void *ctx;
} rt_alloc;

/* n items of `size` bytes, not zeroed; NULL where the product overflows, is 0 or memory ends. */
static inline void *rt_get(const rt_alloc *mem, size_t n, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes) || !bytes) return NULL;
    return mem->alloc(mem->ctx, bytes);
}
static inline void rt_release(const rt_alloc *mem, void *p) {
    if (p) mem->free(mem->ctx, p);
}

/* Makes room for `more` items of `size` bytes behind the n used ones; returns the array, or NULL,
 * with the old one left as it was, when memory ends. */
static inline void *rt_grown(const rt_alloc *mem, void *at, size_t n, size_t *cap, size_t more,
                             size_t size) {
    size_t want;
    if (at && more <= *cap - n) return at;
    if (__builtin_add_overflow(n, more, &want)) return NULL;
    if (want < *cap + *cap / 2) want = *cap + *cap / 2; /* cap is at most SIZE_MAX / 2 */
    if (want < 16) want = 16;
    void *bigger = rt_get(mem, want, size);
    if (!bigger) return NULL;
    if (n) memcpy(bigger, at, n * size);
    rt_release(mem, at);
    *cap = want;
    return bigger;
}

/* Growing bytes and token ids.  Start with all zero; the owner releases `at`. */
typedef struct rt_bytes {
    char *at;
    size_t n, cap;
} rt_bytes;

typedef struct rt_ids {
    int32_t *at;
    size_t n, cap;
} rt_ids;

static inline __attribute__((warn_unused_result)) bool rt_bytes_reserve(const rt_alloc *mem,
                                                                        rt_bytes *b, size_t more) {
    char *at = rt_grown(mem, b->at, b->n, &b->cap, more, 1);
    if (!at) return false;
    b->at = at;
    return true;
}
static inline __attribute__((warn_unused_result)) bool
rt_bytes_add(const rt_alloc *mem, rt_bytes *b, const void *p, size_t n) {
    if (!rt_bytes_reserve(mem, b, n)) return false;
    if (n) memcpy(b->at + b->n, p, n);
    b->n += n;
    return true;
}
static inline __attribute__((warn_unused_result)) bool rt_ids_reserve(const rt_alloc *mem,
                                                                      rt_ids *ids, size_t more) {
    int32_t *at = rt_grown(mem, ids->at, ids->n, &ids->cap, more, sizeof *ids->at);
    if (!at) return false;
    ids->at = at;
    return true;
}
static inline __attribute__((warn_unused_result)) bool rt_ids_add(const rt_alloc *mem, rt_ids *ids,
                                                                  int32_t id) {
    if (ids->n == ids->cap && !rt_ids_reserve(mem, ids, 1)) return false;
    ids->at[ids->n++] = id;
    return true;
}

#endif
