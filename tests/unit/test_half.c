/* All 65536 patterns of both types, against arithmetic in double with ldexp. */
#include "base/half.h"

#include <math.h>

#include "tests/unit/unit.h"

/* The value of a pattern with n_exp exponent and n_man mantissa bits. */
static double value_of(uint16_t h, int n_exp, int n_man) {
    const int bias = (1 << (n_exp - 1)) - 1, exp = h >> n_man & ((1 << n_exp) - 1);
    const int man = h & ((1 << n_man) - 1);
    const double sign = h & 0x8000 ? -1 : 1;
    if (exp == (1 << n_exp) - 1) return man ? NAN : sign * INFINITY;
    if (exp == 0) return sign * ldexp(man, 1 - bias - n_man);
    return sign * ldexp((1 << n_man) + man, exp - bias - n_man);
}

static bool same(double a, double b) {
    return (isnan(a) && isnan(b)) || (a == b && signbit(a) == signbit(b));
}

static void widening_is_exact(void) {
    for (uint32_t u = 0; u < 65536; u++) {
        const uint16_t h = (uint16_t)u;
        if (!same((double)f16_to_f32(h), value_of(h, 5, 10))) CU_FAIL("f16");
        if (!same((double)bf16_to_f32(h), value_of(h, 8, 7))) CU_FAIL("bf16");
    }
    CU_PASS("all patterns");
}

static void narrowing_gives_the_pattern_back(void) {
    for (uint32_t u = 0; u < 65536; u++) {
        const uint16_t h = (uint16_t)u;
        const uint16_t quiet16 = (h & 0x7fff) > 0x7c00 ? 0x200 : 0; /* NaN becomes quiet */
        const uint16_t quiet_b = (h & 0x7fff) > 0x7f80 ? 0x40 : 0;
        if (f32_to_f16(f16_to_f32(h)) != (h | quiet16)) CU_FAIL("f16");
        if (f32_to_bf16(bf16_to_f32(h)) != (h | quiet_b)) CU_FAIL("bf16");
    }
    CU_PASS("all patterns");
}

/* Between neighbours a, b (b = a + 1 as patterns): below the middle gives a, above gives b, the
 * middle gives the even one. */
static void check_rounding(uint16_t (*narrow)(float), float (*widen)(uint16_t), uint32_t n_finite,
                           float beyond) {
    for (uint32_t sign = 0; sign <= 0x8000; sign += 0x8000)
        for (uint32_t u = 0; u < n_finite; u++) {
            const uint16_t a = (uint16_t)(u | sign), b = (uint16_t)(a + 1);
            const float fa = widen(a), fb = u + 1 < n_finite ? widen(b) : copysignf(beyond, fa);
            const double mid = ((double)fa + (double)fb) / 2;
            const float middle = (float)mid;
            if ((double)middle != mid) CU_FAIL("the middle is a float");
            if (narrow(middle) != (u & 1 ? b : a)) CU_FAIL("ties go to even");
            if (narrow(nextafterf(middle, fa)) != a) CU_FAIL("below the middle");
            if (narrow(nextafterf(middle, fb)) != b) CU_FAIL("above the middle");
        }
}

static void narrowing_rounds_to_nearest_even(void) {
    check_rounding(f32_to_f16, f16_to_f32, 0x7c00, 65536.0f);
    CU_ASSERT_EQUAL(f32_to_f16(1e30f), 0x7c00);
    CU_ASSERT_EQUAL(f32_to_f16(-1e30f), 0xfc00);
    CU_ASSERT_EQUAL(f32_to_f16(1e-30f), 0);
    /* bf16: the step above the largest value does not fit a float, so the last pattern is apart */
    for (uint32_t u = 0; u < 0x7f7f; u++) {
        const uint16_t a = (uint16_t)u;
        const uint32_t bits = u << 16;
        if (f32_to_bf16(f32_from_bits(bits | 0x7fff)) != a) CU_FAIL("below the middle");
        if (f32_to_bf16(f32_from_bits(bits | 0x8000)) != (a & 1 ? a + 1 : a)) CU_FAIL("tie");
        if (f32_to_bf16(f32_from_bits(bits | 0x8001)) != a + 1) CU_FAIL("above the middle");
        if (f32_to_bf16(f32_from_bits(bits | 0x80008001)) != ((a + 1) | 0x8000))
            CU_FAIL("negative");
    }
    CU_ASSERT_EQUAL(f32_to_bf16(f32_from_bits(0x7f7f7fff)), 0x7f7f);
    CU_ASSERT_EQUAL(f32_to_bf16(f32_from_bits(0x7f7f8000)), 0x7f80);
    CU_ASSERT_EQUAL(f32_to_bf16(INFINITY), 0x7f80);
}

UNIT_MAIN("half", {"widening is exact", widening_is_exact},
          {"narrowing gives the pattern back", narrowing_gives_the_pattern_back},
          {"narrowing rounds to nearest even", narrowing_rounds_to_nearest_even})
