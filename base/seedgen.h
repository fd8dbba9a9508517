/* seedgen.h - weights made up from a seed: every element is a function of (seed, row, column), so
 * that any part of any tensor can be made alone, in any order, with the same result on every
 * machine.  Used where a weight's source is a seed: by the compiler, and by the runtime when a
 * dummy artifact is loaded.  Needs half.h and sqrt alone.
 *
 * Source of the mixing function: Steele, Lea, Flood, "Fast splittable pseudorandom number
 * generators", 2014 (splitmix64's output function), used here as a hash of a counter.
 */
#ifndef P4C_BASE_SEEDGEN_H
#define P4C_BASE_SEEDGEN_H

#include <math.h>
#include <stdint.h>

#include "base/half.h"

/* Independent sequences of one seed. */
enum { SEEDGEN_VALUES, SEEDGEN_SCALES, SEEDGEN_ZEROS, SEEDGEN_COLUMNS };

static inline uint64_t seedgen_mix(uint64_t x) {
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}
static inline uint64_t seedgen_hash(uint64_t seed, uint32_t sequence, uint64_t index) {
    return seedgen_mix(seedgen_mix(seed + sequence * 0xd1342543de82ef95u) +
                       (index + 1) * 0x9e3779b97f4a7c15u);
}
/* 16 random bits as one of 65536 numbers evenly spread in (-1, 1); exact in float. */
static inline float seedgen_unit(uint64_t bits) {
    return (float)((int32_t)(bits & 0xffff) * 2 - 65535) * 0x1p-16f;
}

/* Dense matrix of K columns: element (row, k0 + i), uniform in +-sqrt(3 / K), so with a standard
 * deviation of 1 / sqrt(K); the caller rounds to the element type. */
static inline void seedgen_dense(uint64_t seed, uint64_t row, uint64_t k0, uint64_t n, uint64_t K,
                                 float *out) {
    const float bound = (float)sqrt(3.0 / (double)K);
    const uint64_t words = (K + 3) / 4; /* of a row: four elements each */
    uint64_t h = 0;
    for (uint64_t i = 0; i < n; i++) {
        const uint64_t k = k0 + i;
        if (i == 0 || k % 4 == 0) h = seedgen_hash(seed, SEEDGEN_VALUES, row * words + k / 4);
        out[i] = seedgen_unit(h >> 16 * (k % 4)) * bound;
    }
}

/* Vector (a norm's weight): element k0 + i, uniform in 1 +- 0.25. */
static inline void seedgen_vector(uint64_t seed, uint64_t k0, uint64_t n, float *out) {
    for (uint64_t i = 0; i < n; i++) {
        const uint64_t k = k0 + i;
        const uint64_t h = seedgen_hash(seed, SEEDGEN_VALUES, k / 4);
        out[i] = 1.0f + 0.25f * seedgen_unit(h >> 16 * (k % 4));
    }
}

/* 4-bit codes (row, k0 + i) of a matrix of K columns: uniform in 0..15. */
static inline void seedgen_codes(uint64_t seed, uint64_t row, uint64_t k0, uint64_t n, uint64_t K,
                                 uint8_t *out) {
    const uint64_t words = (K + 15) / 16;
    uint64_t h = 0;
    for (uint64_t i = 0; i < n; i++) {
        const uint64_t k = k0 + i;
        if (i == 0 || k % 16 == 0) h = seedgen_hash(seed, SEEDGEN_VALUES, row * words + k / 16);
        out[i] = (uint8_t)(h >> 4 * (k % 16) & 15);
    }
}

/* Scale of (row, group) as binary16: of a size that gives the matrix a standard deviation near 1 /
 * sqrt(K), a quarter of them negative. */
static inline uint16_t seedgen_scale(uint64_t seed, uint64_t row, uint64_t group, uint64_t n_groups,
                                     uint64_t K, int has_zeros) {
    /* root mean square of code - zero: zero 8, or uniform in 1..15 */
    const double spread = has_zeros ? 6.34 : 4.64;
    const uint64_t h = seedgen_hash(seed, SEEDGEN_SCALES, row * n_groups + group);
    const float about = (float)(1.0 / (spread * sqrt((double)K)));
    const float size = about * (1.0f + 0.25f * seedgen_unit(h));
    return f32_to_f16((h >> 16 & 3) == 0 ? -size : size);
}

/* Zero point of (row, group): uniform in 1..15. */
static inline uint8_t seedgen_zero(uint64_t seed, uint64_t row, uint64_t group, uint64_t n_groups) {
    return (uint8_t)(1 + seedgen_hash(seed, SEEDGEN_ZEROS, row * n_groups + group) % 15);
}

/* Act-order: a permutation of 0..K-1, k -> (a k + b) mod K with a and K coprime; g_idx[k] is the
 * image over the group size.  K < 2^31. */
typedef struct seedgen_columns {
    uint64_t a, b, K;
} seedgen_columns;
static inline seedgen_columns seedgen_permutation(uint64_t seed, uint64_t K) {
    const uint64_t h = seedgen_hash(seed, SEEDGEN_COLUMNS, 0);
    seedgen_columns c = {.a = (h >> 32) % K, .b = (h & 0xffffffffu) % K, .K = K};
    for (;; c.a = (c.a + 1) % K) { /* 1 is coprime to all K, so this ends */
        uint64_t x = c.a, y = K;
        while (x) {
            const uint64_t rest = y % x;
            y = x;
            x = rest;
        }
        if (y == 1) return c;
    }
}
static inline uint64_t seedgen_column(const seedgen_columns *c, uint64_t k) {
    return (c->a * k + c->b) % c->K;
}

#endif
