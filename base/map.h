/* map.h - hash map from byte strings to a 64-bit value, in an arena.
 *
 * Keys are slices that must outlive the map (they are not copied).  The hash is keyed with a
 * constant: lookups stay correct for hostile keys; inserts are bounded by the arena. */
#ifndef P4C_BASE_MAP_H
#define P4C_BASE_MAP_H

#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"

typedef struct map_slot {
    str key; /* key.at is NULL in a free slot */
    uint64_t hash;
    int64_t value;
} map_slot;

typedef struct map {
    arena *mem;
    map_slot *slot;
    size_t n, cap; /* cap is 0 or a power of two */
} map;

/* Sets key to value; false where the key was there (its value is left as it was). */
bool map_add(map *m, str key, int64_t value);
/* The value's place, NULL where the key is not there.  Valid until the next map_add. */
int64_t *map_find(const map *m, str key);

#endif
