/* map.c - open addressing with linear probing, at most 2/3 full. */
#include "base/map.h"

#include <sys/random.h>

hash_key hash_random_key(void) {
    hash_key key = {{0x736f6d6570736575u, 0x646f72616e646f6du}};
    /* without random bits (early boot) the map still works, and only hostile keys are slow */
    if (getrandom(&key, sizeof key, GRND_NONBLOCK) != sizeof key) key.k[0] ^= (uintptr_t)&key;
    return key;
}

static inline uint64_t rotl(uint64_t v, int n) { return v << n | v >> (64 - n); }

static inline void sip_round(uint64_t v[4]) {
    v[0] += v[1];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[0] = rotl(v[0], 32);
    v[2] += v[3];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[2] = rotl(v[2], 32);
}

uint64_t hash_bytes(hash_key key, str s) {
    uint64_t v[4] = {key.k[0] ^ 0x736f6d6570736575u, key.k[1] ^ 0x646f72616e646f6du,
                     key.k[0] ^ 0x6c7967656e657261u, key.k[1] ^ 0x7465646279746573u};
    size_t i = 0;
    for (; i + 8 <= s.n; i += 8) {
        uint64_t m;
        memcpy(&m, s.at + i, 8);
        v[3] ^= m;
        sip_round(v);
        v[0] ^= m;
    }
    uint64_t tail = (uint64_t)s.n << 56;
    for (int b = 0; i < s.n; i++, b += 8) tail |= (uint64_t)(unsigned char)s.at[i] << b;
    v[3] ^= tail;
    sip_round(v);
    v[0] ^= tail;
    v[2] ^= 0xff;
    for (int r = 0; r < 3; r++) sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static map_slot *slot_for(const map *m, str key, uint64_t hash) {
    size_t i = hash & (m->cap - 1);
    while (m->slot[i].key.at && !(m->slot[i].hash == hash && str_eq(m->slot[i].key, key)))
        i = (i + 1) & (m->cap - 1);
    return &m->slot[i];
}

static void grow(map *m) {
    const map old = *m;
    if (!old.cap) m->key = hash_random_key();
    m->cap = old.cap ? old.cap * 2 : 16;
    m->slot = arena_array(m->mem, map_slot, m->cap);
    for (size_t i = 0; i < old.cap; i++)
        if (old.slot[i].key.at) *slot_for(m, old.slot[i].key, old.slot[i].hash) = old.slot[i];
}

bool map_add(map *m, str key, int64_t value) {
    if ((m->n + 1) * 3 > m->cap * 2) grow(m);
    if (!key.at) key.at = "";
    const uint64_t hash = hash_bytes(m->key, key);
    map_slot *s = slot_for(m, key, hash);
    if (s->key.at) return false;
    *s = (map_slot){key, hash, value};
    m->n++;
    return true;
}

int64_t *map_find(const map *m, str key) {
    if (!m->cap) return NULL;
    map_slot *s = slot_for(m, key, hash_bytes(m->key, key));
    return s->key.at ? &s->value : NULL;
}
