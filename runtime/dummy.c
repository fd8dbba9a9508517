/* dummy.c - see dummy.h.  Numbers come from splitmix64 (Steele, Lea, Flood: Fast splittable
 * pseudorandom number generators, 2014) started from the seed and the entry's offset.
 */
#include "runtime/dummy.h"

#include <string.h>

#include "base/half.h"

enum { LANES = RT_LANES, ELEMENT_MAX = 1 << 20 };

typedef struct splitmix {
    uint64_t state;
} splitmix;

static uint64_t next(splitmix *r) {
    uint64_t z = r->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* In -1 .. 1, a multiple of 2^-24: exact in binary32. */
static float next_unit(splitmix *r) {
    return (float)(int32_t)((next(r) >> 39) - (1 << 24)) * 0x1p-24f;
}

/* Bytes of a 16-row group of LAYOUT_r16k8. */
static uint64_t i4_group_bytes(const rt_dummy *e) {
    return (uint64_t)e->group * LANES / 2 + LANES * 2 + (e->zeros ? LANES : 0);
}

/* Bytes that an entry's range is a multiple of; 0: not a known kind. */
static uint64_t unit_bytes(const rt_dummy *e) {
    switch (e->fill) {
    case RT_FILL_f32:
    case RT_FILL_ones:
    case RT_FILL_order:
        return 4;
    case RT_FILL_f16:
    case RT_FILL_bf16:
        return 2;
    case RT_FILL_i4:
        if (e->group % 8 || !e->group || e->group > ELEMENT_MAX) return 0;
        return i4_group_bytes(e);
    default:
        return 0;
    }
}

uint64_t rt_dummy_bytes(const rt_dummy *table, size_t n) {
    uint64_t end = 0;
    for (size_t i = 0; i < n; i++) {
        const rt_dummy *e = &table[i];
        const uint64_t unit = unit_bytes(e);
        if (!unit || !e->bytes || e->bytes % unit || e->offset % RT_SECTION_ALIGN ||
            e->offset < end || e->offset >> 56 || e->bytes >> 56)
            return 0;
        end = e->offset + e->bytes;
    }
    return end;
}

static void fill_i4(const rt_dummy *e, splitmix *r, uint8_t *at) {
    const uint64_t codes = (uint64_t)e->group * LANES / 2; /* a multiple of 64 */
    for (uint64_t done = 0; done < e->bytes; done += i4_group_bytes(e)) {
        for (uint64_t i = 0; i < codes; i += 8, at += 8) {
            const uint64_t v = next(r);
            memcpy(at, &v, sizeof v);
        }
        for (int i = 0; i < LANES; i++, at += 2) {
            const uint16_t h = f32_to_f16(e->scale * (0.75f + 0.25f * next_unit(r)));
            memcpy(at, &h, sizeof h);
        }
        for (int i = 0; e->zeros && i < LANES; i++) *at++ = (uint8_t)(7 + (next(r) >> 62));
    }
}

void rt_dummy_fill(const rt_dummy *e, uint64_t seed, uint8_t *weights) {
    splitmix r = {seed ^ e->offset * 0xd6e8feb86659fd93u};
    uint8_t *at = weights + e->offset;
    if (e->fill == RT_FILL_i4) {
        fill_i4(e, &r, at);
        return;
    }
    const uint64_t unit = unit_bytes(e);
    for (uint64_t i = 0; i < e->bytes / unit; i++, at += unit) {
        const float v =
            e->fill == RT_FILL_ones ? 1 + 0.125f * next_unit(&r) : e->scale * next_unit(&r);
        const uint16_t half = e->fill == RT_FILL_f16 ? f32_to_f16(v) : f32_to_bf16(v);
        const int32_t order = i < e->group ? (int32_t)i : -1;
        if (e->fill == RT_FILL_order) memcpy(at, &order, sizeof order);
        else if (unit == sizeof half) memcpy(at, &half, sizeof half);
        else memcpy(at, &v, sizeof v);
    }
}
