/* digest.c - BLAKE3: a binary tree over chunks of 1024 bytes.
 * A finished chunk's value is merged with its left neighbours as soon as their subtrees are equally
 * large, so the stack holds one value per bit set in n_chunks.  The newest chunk stays open until
 * more input comes, because the root is compressed with a flag of its own.  Runs of LANES whole
 * chunks are hashed side by side, one chunk a lane, in loops that the compiler turns into vectors.
 */
#include "base/digest.h"

#include <string.h>

#include "base/cpuinfo.h"

enum {
    CHUNK_BYTES = 1024,
    BLOCK_BYTES = 64,
    CHUNK_START = 1,
    CHUNK_END = 2,
    PARENT = 4,
    ROOT = 8,
    ROUNDS = 7,
    LANES = 8,
};

static const uint32_t IV[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                               0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

/* which message words a round takes: the permutation of section 2.2, applied again and again */
static const uint8_t SCHEDULE[ROUNDS][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8},
    {3, 4, 10, 12, 13, 2, 7, 14, 6, 5, 9, 0, 11, 15, 8, 1},
    {10, 7, 12, 9, 14, 3, 13, 15, 4, 0, 11, 2, 5, 8, 1, 6},
    {12, 13, 9, 11, 15, 10, 14, 8, 7, 2, 5, 3, 0, 1, 6, 4},
    {9, 14, 11, 5, 8, 12, 15, 1, 13, 3, 0, 10, 2, 6, 4, 7},
    {11, 15, 5, 0, 1, 9, 8, 6, 14, 10, 2, 12, 3, 4, 7, 13},
};

static inline uint32_t load32(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}
static inline void store32(uint8_t *p, uint32_t v) {
    for (int i = 0; i < 4; i++) p[i] = (uint8_t)(v >> 8 * i);
}
#define ROTR(v, n) ((v) >> (n) | (v) << (32 - (n)))

#define MIX(a, b, c, d, x, y)                                                                      \
    do {                                                                                           \
        (a) += (b) + (x);                                                                          \
        (d) = ROTR((d) ^ (a), 16);                                                                 \
        (c) += (d);                                                                                \
        (b) = ROTR((b) ^ (c), 12);                                                                 \
        (a) += (b) + (y);                                                                          \
        (d) = ROTR((d) ^ (a), 8);                                                                  \
        (c) += (d);                                                                                \
        (b) = ROTR((b) ^ (c), 7);                                                                  \
    } while (0)

/* All rounds on the state v[16] with message m[16]; words or vectors of them. */
#define ROUNDS_OF(v, m)                                                                            \
    for (int r = 0; r < ROUNDS; r++) {                                                             \
        const uint8_t *s = SCHEDULE[r];                                                            \
        MIX(v[0], v[4], v[8], v[12], m[s[0]], m[s[1]]);                                            \
        MIX(v[1], v[5], v[9], v[13], m[s[2]], m[s[3]]);                                            \
        MIX(v[2], v[6], v[10], v[14], m[s[4]], m[s[5]]);                                           \
        MIX(v[3], v[7], v[11], v[15], m[s[6]], m[s[7]]);                                           \
        MIX(v[0], v[5], v[10], v[15], m[s[8]], m[s[9]]);                                           \
        MIX(v[1], v[6], v[11], v[12], m[s[10]], m[s[11]]);                                         \
        MIX(v[2], v[7], v[8], v[13], m[s[12]], m[s[13]]);                                          \
        MIX(v[3], v[4], v[9], v[14], m[s[14]], m[s[15]]);                                          \
    }

static void compress(uint32_t chain[8], const uint8_t block[BLOCK_BYTES], uint32_t n_bytes,
                     uint64_t counter, uint32_t flags) {
    uint32_t m[16], v[16];
    for (int i = 0; i < 16; i++) m[i] = load32(block + 4 * i);
    for (int i = 0; i < 8; i++) v[i] = chain[i];
    for (int i = 0; i < 4; i++) v[8 + i] = IV[i];
    v[12] = (uint32_t)counter;
    v[13] = (uint32_t)(counter >> 32);
    v[14] = n_bytes;
    v[15] = flags;
    ROUNDS_OF(v, m);
    for (int i = 0; i < 8; i++) chain[i] = v[i] ^ v[i + 8];
}

/* One word of LANES chunks at once; the compiler makes it one or two vector registers. */
typedef uint32_t lanes __attribute__((vector_size(4 * LANES)));

/* LANES consecutive whole chunks at p; out[l] = the value of chunk `first + l`.  None is the root.
 */
__attribute__((always_inline)) static inline void hash_lanes(const uint8_t *p, uint64_t first,
                                                             uint32_t out[LANES][8]) {
    lanes h[8], m[16] = {0}, v[16] = {0};
    for (int i = 0; i < 8; i++) h[i] = (lanes){0} + IV[i];
    for (uint32_t b = 0; b < CHUNK_BYTES / BLOCK_BYTES; b++) {
        const uint32_t flags =
            (b == 0 ? CHUNK_START : 0) | (b == CHUNK_BYTES / BLOCK_BYTES - 1 ? CHUNK_END : 0);
        for (int l = 0; l < LANES; l++)
            for (int i = 0; i < 16; i++)
                m[i][l] = load32(p + l * CHUNK_BYTES + b * BLOCK_BYTES + 4 * (uint32_t)i);
        for (int i = 0; i < 8; i++) v[i] = h[i];
        for (int i = 0; i < 4; i++) v[8 + i] = (lanes){0} + IV[i];
        for (int l = 0; l < LANES; l++) {
            v[12][l] = (uint32_t)(first + (uint64_t)l);
            v[13][l] = (uint32_t)((first + (uint64_t)l) >> 32);
        }
        v[14] = (lanes){0} + BLOCK_BYTES;
        v[15] = (lanes){0} + flags;
        ROUNDS_OF(v, m);
        for (int i = 0; i < 8; i++) h[i] = v[i] ^ v[i + 8];
    }
    for (int l = 0; l < LANES; l++)
        for (int i = 0; i < 8; i++) out[l][i] = h[i][l];
}

static void hash_lanes_plain(const uint8_t *p, uint64_t first, uint32_t out[LANES][8]) {
    hash_lanes(p, first, out);
}
#if defined(__x86_64__)
__attribute__((target("avx2"))) static void hash_lanes_avx2(const uint8_t *p, uint64_t first,
                                                            uint32_t out[LANES][8]) {
    hash_lanes(p, first, out);
}
#else
#define hash_lanes_avx2 hash_lanes_plain
#endif

static void parent_of(const uint32_t left[8], const uint32_t right[8], uint32_t flags,
                      uint32_t out[8]) {
    uint8_t block[BLOCK_BYTES];
    uint32_t chain[8];
    for (int i = 0; i < 8; i++) {
        store32(block + 4 * i, left[i]);
        store32(block + 32 + 4 * i, right[i]);
    }
    memcpy(chain, IV, sizeof chain);
    compress(chain, block, BLOCK_BYTES, 0, PARENT | flags);
    memcpy(out, chain, sizeof chain);
}

/* Appends the value of the next finished chunk. */
static void push_chunk(digest *g, const uint32_t value[8]) {
    uint32_t v[8];
    memcpy(v, value, sizeof v);
    g->n_chunks++;
    for (uint64_t n = g->n_chunks; !(n & 1); n >>= 1) parent_of(g->stack[--g->n_stack], v, 0, v);
    memcpy(g->stack[g->n_stack++], v, sizeof v);
}

static void start_chunk(digest *g) {
    memcpy(g->chain, IV, sizeof g->chain);
    g->n_block = g->n_blocks = 0;
}

void digest_init(digest *g) {
    memset(g, 0, sizeof *g);
    start_chunk(g);
    g->wide = (cpu_features() & CPU_X86_64_V3) != 0;
}

static uint32_t start_flag(const digest *g) { return g->n_blocks == 0 ? CHUNK_START : 0; }

void digest_update(digest *g, const void *data, size_t n) {
    const uint8_t *p = data;
    while (n) {
        if (g->n_block == BLOCK_BYTES) { /* full, and more comes: it is not the last one */
            const uint32_t last = g->n_blocks == CHUNK_BYTES / BLOCK_BYTES - 1 ? CHUNK_END : 0;
            compress(g->chain, g->block, BLOCK_BYTES, g->n_chunks, start_flag(g) | last);
            g->n_block = 0;
            g->n_blocks++;
            if (last) {
                push_chunk(g, g->chain);
                start_chunk(g);
            }
        }
        while (!g->n_block && !g->n_blocks && n > LANES * CHUNK_BYTES) {
            uint32_t value[LANES][8];
            (g->wide ? hash_lanes_avx2 : hash_lanes_plain)(p, g->n_chunks, value);
            for (int l = 0; l < LANES; l++) push_chunk(g, value[l]);
            p += LANES * CHUNK_BYTES;
            n -= LANES * CHUNK_BYTES;
        }
        size_t take = BLOCK_BYTES - g->n_block;
        if (take > n) take = n;
        memcpy(g->block + g->n_block, p, take);
        g->n_block += (uint32_t)take;
        p += take;
        n -= take;
    }
}

void digest_final(const digest *g, uint8_t out[DIGEST_BYTES]) {
    uint8_t block[BLOCK_BYTES] = {0};
    uint32_t v[8];
    memcpy(block, g->block, g->n_block);
    memcpy(v, g->chain, sizeof v);
    compress(v, block, g->n_block, g->n_chunks,
             start_flag(g) | CHUNK_END | (g->n_stack ? 0 : ROOT));
    for (uint32_t i = g->n_stack; i > 0; i--) parent_of(g->stack[i - 1], v, i == 1 ? ROOT : 0, v);
    for (int i = 0; i < 8; i++) store32(out + 4 * i, v[i]);
}

void digest_hex(const uint8_t sum[DIGEST_BYTES], char out[2 * DIGEST_BYTES + 1]) {
    for (int i = 0; i < DIGEST_BYTES; i++) {
        out[2 * i] = "0123456789abcdef"[sum[i] >> 4];
        out[2 * i + 1] = "0123456789abcdef"[sum[i] & 15];
    }
    out[2 * DIGEST_BYTES] = 0;
}
