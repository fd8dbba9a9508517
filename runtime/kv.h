/* kv.h - the pool of KV blocks: 256 positions of all layers each, shared by counting references.
 *
 * Blocks are taken and dropped between steps, never inside one.  Each is a mapping of its own, so
 * that parts nobody wrote cost no memory; a block that nobody refers to any more gives its memory
 * back to the system and keeps its place.  All functions may be called from any thread.
 */
#ifndef P4C_RUNTIME_KV_H
#define P4C_RUNTIME_KV_H

#include <stdint.h>

#include "runtime/alloc.h"
#include "runtime/p4c.h"

typedef struct rt_kv rt_kv;

typedef struct rt_kv_block {
    uint8_t *data;            /* block_bytes, aligned to a page; zero when taken */
    uint32_t refs;            /* guarded by the pool's lock */
    struct rt_kv_block *next; /* in the pool's list of all blocks */
    struct rt_kv_block *next_free;
} rt_kv_block;

typedef struct rt_kv_counts {
    uint64_t used, peak, limit; /* blocks */
} rt_kv_counts;

/* At most `limit` blocks.  *mem is copied. */
p4c_status rt_kv_open(const rt_alloc *mem, uint64_t block_bytes, uint64_t limit, rt_kv **out,
                      p4c_error *error);
/* Every block must have been dropped.  NULL is allowed. */
void rt_kv_close(rt_kv *kv);
rt_kv_counts rt_kv_count(rt_kv *kv);

/* n zeroed blocks, with one reference each, or none.  ERR_KV_FULL (with the numbers),
 * ERR_NO_MEMORY. */
p4c_status rt_kv_take(rt_kv *kv, uint64_t n, rt_kv_block **out, p4c_error *error);
/* One reference more (less) to each of n blocks. */
void rt_kv_share(rt_kv *kv, rt_kv_block *const *block, uint64_t n);
void rt_kv_drop(rt_kv *kv, rt_kv_block *const *block, uint64_t n);
/* Whether somebody else refers to the caller's block too. */
int rt_kv_is_shared(rt_kv *kv, const rt_kv_block *block);

#endif
