/* half.h - bfloat16 and IEEE binary16 to and from binary32; narrowing rounds to nearest, ties to
 * even. Exact for every bit pattern, infinities, subnormals and NaN (quiet, payload cut) included.
 */
#ifndef P4C_BASE_HALF_H
#define P4C_BASE_HALF_H

#include <stdint.h>
#include <string.h>

static inline uint32_t f32_bits(float f) {
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}
static inline float f32_from_bits(uint32_t u) {
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}
static inline float bf16_to_f32(uint16_t h) { return f32_from_bits((uint32_t)h << 16); }
static inline uint16_t f32_to_bf16(float f) {
    const uint32_t u = f32_bits(f);
    if ((u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(u >> 16 | 0x40);
    return (uint16_t)((u + 0x7fffu + (u >> 16 & 1)) >> 16);
}

static inline float f16_to_f32(uint16_t h) {
    const uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exp = h >> 10 & 31, man = h & 0x3ffu;
    if (exp == 31) return f32_from_bits(sign | 0x7f800000u | man << 13 | (man ? 0x400000u : 0));
    if (exp) return f32_from_bits(sign | (exp + 112) << 23 | man << 13);
    const float tiny = (float)man * 0x1p-24f;
    return sign ? -tiny : tiny;
}
static inline uint16_t f32_to_f16(float f) {
    const uint32_t u = f32_bits(f), a = u & 0x7fffffffu;
    const uint16_t sign = (uint16_t)(u >> 16 & 0x8000u);
    if (a > 0x7f800000u) return (uint16_t)(sign | 0x7e00u | (a >> 13 & 0x3ffu));
    if (a >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u); /* rounds to 65536 or more */
    if (a >= 0x38800000u)                                    /* a normal half */
        return (uint16_t)(sign | ((a + 0xfffu + (a >> 13 & 1)) - 0x38000000u) >> 13);
    /* subnormal: adding 0.5 puts the half's last place at the float's last place, rounding to even
     */
    return (uint16_t)(sign | (uint16_t)(f32_bits(f32_from_bits(a) + 0.5f) - 0x3f000000u));
}

#endif
