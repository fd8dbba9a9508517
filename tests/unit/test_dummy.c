/* Made-up weights: the same for the same seed, and numbers that a kernel can take. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "runtime/dummy.h"
#include "tests/unit/unit.h"

enum {
    GROUP = 24,
    GROUP_BYTES = GROUP * 8 + 32 + 16,
    N_GROUPS = 8,
    TOTAL = 4096,
};

static const rt_dummy TABLE[] = {
    {.offset = 0, .bytes = 400, .fill = RT_FILL_f32, .scale = 0.5f},
    {.offset = 448, .bytes = 100, .fill = RT_FILL_bf16, .scale = 2},
    {.offset = 576, .bytes = 62, .fill = RT_FILL_f16, .scale = 0.25f},
    {.offset = 640, .bytes = 64, .fill = RT_FILL_ones},
    {.offset = 704,
     .bytes = GROUP_BYTES * N_GROUPS,
     .fill = RT_FILL_i4,
     .group = GROUP,
     .zeros = 1,
     .scale = 0.125f},
    {.offset = 2688, .bytes = 40, .fill = RT_FILL_order, .group = 7},
};

static uint8_t weights[2][TOTAL] __attribute__((aligned(64)));

static void fill(int i, uint64_t seed) {
    memset(weights[i], 0, TOTAL);
    for (size_t e = 0; e < COUNT_OF(TABLE); e++) rt_dummy_fill(&TABLE[e], seed, weights[i]);
}

static void test_same_seed(void) {
    fill(0, 7);
    memset(weights[1], 0, TOTAL);
    for (size_t e = COUNT_OF(TABLE); e-- > 0;) rt_dummy_fill(&TABLE[e], 7, weights[1]);
    CU_ASSERT_EQUAL(memcmp(weights[0], weights[1], TOTAL), 0);
    fill(1, 8);
    CU_ASSERT_NOT_EQUAL(memcmp(weights[0], weights[1], TOTAL), 0);
    CU_ASSERT_NOT_EQUAL(memcmp(weights[0], weights[1], 400), 0);
    CU_ASSERT_NOT_EQUAL(memcmp(weights[0] + 704, weights[1] + 704, GROUP_BYTES), 0);
}

/* Largest size, and whether both signs occur. */
static float largest(const float *v, int n, bool *both) {
    float most = 0;
    bool above = false, below = false;
    for (int i = 0; i < n; i++) {
        if (fabsf(v[i]) > most) most = fabsf(v[i]);
        above |= v[i] > 0;
        below |= v[i] < 0;
    }
    *both = above && below;
    return most;
}

static void test_values(void) {
    float v[100];
    bool both;
    fill(0, 1);
    memcpy(v, weights[0], 400);
    const float f32 = largest(v, 100, &both);
    CU_ASSERT_TRUE(both && f32 <= 0.5f && f32 > 0.4f);
    for (int i = 0; i < 50; i++) {
        uint16_t h;
        memcpy(&h, weights[0] + 448 + 2 * i, 2);
        v[i] = bf16_to_f32(h);
    }
    const float bf16 = largest(v, 50, &both);
    CU_ASSERT_TRUE(both && bf16 <= 2 && bf16 > 1.5f);
    for (int i = 0; i < 31; i++) {
        uint16_t h;
        memcpy(&h, weights[0] + 576 + 2 * i, 2);
        v[i] = f16_to_f32(h);
    }
    const float f16 = largest(v, 31, &both);
    CU_ASSERT_TRUE(both && f16 <= 0.25f && f16 > 0.18f);
    memcpy(v, weights[0] + 640, 64);
    for (int i = 0; i < 16; i++) CU_ASSERT_TRUE(v[i] >= 0.875f && v[i] <= 1.125f);
}

/* 16 scales of the size asked for and 16 zero points in each group, where the layout has them. */
static void test_groups(void) {
    int codes[16] = {0};
    fill(0, 1);
    for (int g = 0; g < N_GROUPS; g++) {
        const uint8_t *p = weights[0] + 704 + g * GROUP_BYTES;
        for (int i = 0; i < GROUP * 8; i++) codes[p[i] & 15]++, codes[p[i] >> 4]++;
        for (int i = 0; i < 16; i++) {
            uint16_t h;
            memcpy(&h, p + GROUP * 8 + 2 * i, 2);
            const float scale = f16_to_f32(h);
            CU_ASSERT_TRUE(scale >= 0.0624f && scale <= 0.1251f);
            CU_ASSERT_TRUE(p[GROUP * 8 + 32 + i] >= 7 && p[GROUP * 8 + 32 + i] <= 10);
        }
    }
    for (int i = 0; i < 16; i++) CU_ASSERT_TRUE(codes[i] > GROUP * 16 * N_GROUPS / 16 / 2);
    int32_t order[10];
    memcpy(order, weights[0] + 2688, sizeof order);
    for (int i = 0; i < 10; i++) CU_ASSERT_EQUAL(order[i], i < 7 ? i : -1);
}

/* Nothing is written between or behind the ranges. */
static void test_ranges(void) {
    static const int GAPS[][2] = {{400, 448}, {548, 576}, {638, 640}, {2624, 2688}, {2728, TOTAL}};
    fill(0, 3);
    for (size_t g = 0; g < COUNT_OF(GAPS); g++)
        for (int i = GAPS[g][0]; i < GAPS[g][1]; i++) CU_ASSERT_EQUAL(weights[0][i], 0);
}

static void test_table(void) {
    CU_ASSERT_EQUAL(rt_dummy_bytes(TABLE, COUNT_OF(TABLE)), 2728);
    CU_ASSERT_EQUAL(rt_dummy_bytes(TABLE, 0), 0);
    static const rt_dummy BAD[] = {
        {.offset = 64, .bytes = 4, .fill = RT_FILL_order + 1},
        {.offset = 64, .bytes = 6, .fill = RT_FILL_f32},
        {.offset = 64, .bytes = 3, .fill = RT_FILL_f16},
        {.offset = 64, .bytes = 0, .fill = RT_FILL_f32},
        {.offset = 68, .bytes = 4, .fill = RT_FILL_f32},
        {.offset = 0, .bytes = 64, .fill = RT_FILL_f32}, /* over the one before */
        {.offset = UINT64_MAX - 63, .bytes = 64, .fill = RT_FILL_f32},
        {.offset = 64, .bytes = UINT64_MAX - 63, .fill = RT_FILL_f32},
        {.offset = 64, .bytes = 224, .fill = RT_FILL_i4, .group = 12},
        {.offset = 64, .bytes = 224, .fill = RT_FILL_i4, .group = 0},
        {.offset = 64, .bytes = 224, .fill = RT_FILL_i4, .group = 0xfffffff8},
        {.offset = 64, .bytes = 225, .fill = RT_FILL_i4, .group = 24},
    };
    for (size_t i = 0; i < COUNT_OF(BAD); i++) {
        const rt_dummy table[] = {{.offset = 0, .bytes = 64, .fill = RT_FILL_f32}, BAD[i]};
        CU_ASSERT_EQUAL(rt_dummy_bytes(table, 2), 0);
    }
}

UNIT_MAIN("dummy", {"same seed, same bytes", test_same_seed}, {"sizes of numbers", test_values},
          {"4-bit groups and column order", test_groups}, {"only the ranges", test_ranges},
          {"wrong tables are refused", test_table})
