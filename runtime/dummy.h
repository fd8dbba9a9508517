/* dummy.h - weights made up where an artifact without weights is loaded (--load-format dummy), so
 * that its speed can be measured without a checkpoint.
 */
#ifndef P4C_RUNTIME_DUMMY_H
#define P4C_RUNTIME_DUMMY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/abi.h"

/* Bytes that section "weights" would have; 0: the table is damaged (ranges out of order or
 * overlapping, unknown kinds, sizes that do not fit their kind). */
uint64_t rt_dummy_bytes(const rt_dummy *table, size_t n);

/* Fills one entry's range of `weights`, which holds zeros and is aligned to 64 bytes.  The same
 * bytes for the same seed on every machine; entries may be filled by several threads in any order.
 */
void rt_dummy_fill(const rt_dummy *entry, uint64_t seed, uint8_t *weights);

#endif
