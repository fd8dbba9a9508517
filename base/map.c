/* map.c - open addressing with linear probing, at most 2/3 full.  Hash: FNV-1a with a final mix. */
#include "base/map.h"

static uint64_t hash_of(str key) {
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < key.n; i++) h = (h ^ (unsigned char)key.at[i]) * 0x100000001b3u;
    h ^= h >> 32;
    h *= 0x9e3779b97f4a7c15u;
    return h ^ h >> 29;
}

static map_slot *slot_for(const map *m, str key, uint64_t hash) {
    size_t i = hash & (m->cap - 1);
    while (m->slot[i].key.at && !(m->slot[i].hash == hash && str_eq(m->slot[i].key, key)))
        i = (i + 1) & (m->cap - 1);
    return &m->slot[i];
}

static void grow(map *m) {
    const map old = *m;
    m->cap = old.cap ? old.cap * 2 : 16;
    m->slot = arena_array(m->mem, map_slot, m->cap);
    for (size_t i = 0; i < old.cap; i++)
        if (old.slot[i].key.at) *slot_for(m, old.slot[i].key, old.slot[i].hash) = old.slot[i];
}

bool map_add(map *m, str key, int64_t value) {
    if ((m->n + 1) * 3 > m->cap * 2) grow(m);
    if (!key.at) key.at = "";
    const uint64_t hash = hash_of(key);
    map_slot *s = slot_for(m, key, hash);
    if (s->key.at) return false;
    *s = (map_slot){key, hash, value};
    m->n++;
    return true;
}

int64_t *map_find(const map *m, str key) {
    if (!m->cap) return NULL;
    map_slot *s = slot_for(m, key, hash_of(key));
    return s->key.at ? &s->value : NULL;
}
