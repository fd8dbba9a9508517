/* map.h - hash map from byte strings to a 64-bit value, in an arena.
 *
 * Keys are slices that must outlive the map (they are not copied).  The hash is keyed with random
 * bits, so that hostile keys cannot be chosen to collide; never walk the slots, their order differs
 * from run to run.
 */
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

typedef struct hash_key {
    uint64_t k[2];
} hash_key;

typedef struct map {
    arena *mem; /* set before the first map_add; all else zero */
    map_slot *slot;
    size_t n, cap; /* cap is 0 or a power of two */
    hash_key key;
} map;

/* Sets key to value; false where the key was there (its value is left as it was). */
bool map_add(map *m, str key, int64_t value);
/* The value's place, NULL where the key is not there.  Valid until the next map_add. */
int64_t *map_find(const map *m, str key);

/* SipHash-1-3 (Aumasson, Bernstein: SipHash: a fast short-input PRF, 2012). */
uint64_t hash_bytes(hash_key key, str s);
hash_key hash_random_key(void);

#endif
