/* arena.h - bump allocation with one lifetime per arena.
 *
 * Memory comes zeroed, aligned and never NULL: when the system has none left, or a size does not
 * fit in size_t, the out-of-memory handler runs and does not return (the compiler prints one line
 * and exits 6; tests may longjmp from it).  Freed ranges are poisoned under AddressSanitizer. An
 * arena belongs to one thread at a time.
 */
#ifndef P4C_BASE_ARENA_H
#define P4C_BASE_ARENA_H

#include <stdarg.h>
#include <stddef.h>

typedef struct arena arena;

/* A position to rewind to.  Only valid on the arena it came from, until an earlier mark is rewound.
 */
typedef struct arena_pos {
    void *chunk;
    size_t used;
} arena_pos;

arena *arena_open(void);
void arena_close(arena *a); /* frees everything; a may be NULL */

/* `size` zeroed bytes aligned to `align` (a power of two). */
void *arena_get(arena *a, size_t size, size_t align);
/* n * size zeroed bytes; an overflowing product is out of memory. */
void *arena_get_array(arena *a, size_t n, size_t size, size_t align);
/* A copy of n bytes at p with a terminating NUL behind it. */
char *arena_copy(arena *a, const void *p, size_t n);
char *arena_strdup(arena *a, const char *s);
char *arena_printf(arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
char *arena_vprintf(arena *a, const char *fmt, va_list ap);

arena_pos arena_mark(const arena *a);
void arena_rewind(arena *a, arena_pos pos);
size_t arena_used(const arena *a); /* bytes handed out, for --time-passes */

#define arena_new(a, T) ((T *)arena_get((a), sizeof(T), _Alignof(T)))
#define arena_array(a, T, n) ((T *)arena_get_array((a), (size_t)(n), sizeof(T), _Alignof(T)))

/* Called when memory ends; must not return.  Set once, by main, before any arena is opened.
 * The default prints "p4c: out of memory" and exits with status 6. */
typedef void arena_oom_fn(size_t wanted);
void arena_set_oom(arena_oom_fn *fn);
/* Runs it: for foreign libraries whose allocation failed. */
_Noreturn void arena_out_of_memory(size_t wanted);

#endif
