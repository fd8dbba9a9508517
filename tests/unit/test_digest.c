/* Against LLVM's BLAKE3 at sizes around every boundary, in one piece and in odd pieces. */
#include "base/digest.h"

#include <llvm-c/blake3.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"

static void reference(const uint8_t *p, size_t n, uint8_t out[DIGEST_BYTES]) {
    llvm_blake3_hasher h;
    llvm_blake3_hasher_init(&h);
    llvm_blake3_hasher_update(&h, p, n);
    llvm_blake3_hasher_finalize(&h, out, DIGEST_BYTES);
}

static uint8_t *noise(size_t n) {
    uint8_t *p = malloc(n);
    uint64_t x = 88172645463325252u;
    for (size_t i = 0; i < n; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        p[i] = (uint8_t)x;
    }
    return p;
}

static const size_t SIZES[] = {0,
                               1,
                               63,
                               64,
                               65,
                               1023,
                               1024,
                               1025,
                               2047,
                               2048,
                               2049,
                               3072,
                               4096,
                               5000,
                               8191,
                               8192,
                               8193,
                               9216,
                               16384,
                               16385,
                               17408,
                               31744,
                               65536,
                               100000,
                               (1 << 20) - 1,
                               1 << 20,
                               (1 << 20) + 1,
                               (3 << 20) + 12345};

static void equals_the_reference_at_all_sizes(void) {
    uint8_t *p = noise(4 << 20), want[DIGEST_BYTES], got[DIGEST_BYTES];
    for (size_t i = 0; i < COUNT_OF(SIZES); i++)
        for (int plain = 0; plain < 2; plain++) {
            digest g;
            digest_init(&g);
            if (plain) g.wide = 0;
            digest_update(&g, p, SIZES[i]);
            digest_final(&g, got);
            reference(p, SIZES[i], want);
            CU_ASSERT(!memcmp(got, want, sizeof want));
        }
    free(p);
}

static void pieces_do_not_matter(void) {
    const size_t n = 300000;
    static const size_t STEPS[] = {1, 7, 64, 100, 1024, 1025, 8192, 8193, 10000, 65536};
    uint8_t *p = noise(n), want[DIGEST_BYTES], got[DIGEST_BYTES];
    reference(p, n, want);
    for (size_t s = 0; s < COUNT_OF(STEPS); s++) {
        digest g;
        digest_init(&g);
        for (size_t at = 0; at < n; at += STEPS[s]) {
            digest_update(&g, p + at, STEPS[s] < n - at ? STEPS[s] : n - at);
            if (at == 0) digest_final(&g, got); /* looking does not disturb */
        }
        digest_final(&g, got);
        CU_ASSERT(!memcmp(got, want, sizeof want));
    }
    free(p);
}

static void hex_is_lower_case(void) {
    digest g;
    uint8_t sum[DIGEST_BYTES];
    char hex[2 * DIGEST_BYTES + 1];
    digest_init(&g);
    digest_final(&g, sum);
    digest_hex(sum, hex);
    /* of no input: from the paper's test vectors */
    CU_ASSERT_STRING_EQUAL(hex, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262");
}

UNIT_MAIN("digest", {"equals the reference at all sizes", equals_the_reference_at_all_sizes},
          {"pieces do not matter", pieces_do_not_matter}, {"hex is lower case", hex_is_lower_case})
