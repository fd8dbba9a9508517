/* pages.h - memory straight from the system: zeroed, page-aligned, costing nothing until touched.
 */
#ifndef P4C_RUNTIME_PAGES_H
#define P4C_RUNTIME_PAGES_H

#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

/* n_bytes > 0; NULL: the system refused. */
static inline void *rt_pages_get(uint64_t n_bytes) {
    void *const p = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}
static inline void rt_pages_put(void *p, uint64_t n_bytes) {
    if (p) munmap(p, n_bytes);
}

#endif
