/* vec.h - typed growable arrays in an arena.
 *
 *     vec(int) v = {0};
 *     vec_push(mem, &v, 42);
 *     for (size_t i = 0; i < v.n; i++) use(v.at[i]);
 *
 * Growing copies into a new range of the arena, so pointers to elements do not survive a push.
 */
#ifndef P4C_BASE_VEC_H
#define P4C_BASE_VEC_H

#include <stddef.h>
#include <string.h>

#include "base/arena.h"

#define vec(T)                                                                                     \
    struct {                                                                                       \
        T *at;                                                                                     \
        size_t n, cap;                                                                             \
    }

/* Makes room for `more` elements behind the last one; they are not counted in n yet. */
#define vec_reserve(mem, v, more)                                                                  \
    ((v)->at = vec_grown((mem), (v)->at, (v)->n, &(v)->cap, (size_t)(more), sizeof *(v)->at))

#define vec_push(mem, v, ...) (vec_reserve((mem), (v), 1), (v)->at[(v)->n++] = (__VA_ARGS__))

static inline void *vec_grown(arena *mem, void *at, size_t n, size_t *cap, size_t more,
                              size_t item_bytes) {
    if (more <= *cap - n) return at;
    size_t want = *cap ? *cap * 2 : 8;
    if (want < n + more) want = n + more;
    void *bigger = arena_get_array(mem, want, item_bytes, 64);
    if (n) memcpy(bigger, at, n * item_bytes);
    *cap = want;
    return bigger;
}

#endif
