/* kernel_table.c - families, work units, scratch memory and register tiles as data. */
#include "codegen/cpu/kernel.h"

static void units_linear(const cg_kernel_spec *s, cpu_tile tile, rt_kernel_entry *out) {
    out->units = ceil_div(cg_linear_blocks(s), tile.nb);
    out->per_token = 0;
}

static void units_token(const cg_kernel_spec *s, cpu_tile tile, rt_kernel_entry *out) {
    (void)s, (void)tile;
    out->units = 1;
    out->per_token = 1;
}

static void units_kv_head(const cg_kernel_spec *s, cpu_tile tile, rt_kernel_entry *out) {
    (void)tile;
    out->units = s->kv_heads;
    out->per_token = 1;
}

static int64_t scratch_row(const cg_kernel_spec *s) {
    return 4 * max_i64(s->k + 2, s->n_groups * s->group);
}

/* What is not said is: a unit is a token, no scratch memory. */
const cpu_kernel cpu_kernel_table[KERNEL_COUNT] = {
#define ROW(name, units, scratch) [KERNEL_##name] = {cpu_emit_##name, units, scratch}
    ROW(embed, units_token, NULL),
    ROW(rmsnorm, units_token, NULL),
    ROW(act_f32, units_token, NULL),
    ROW(act_bf16, units_token, scratch_row),
    ROW(act_i16, units_token, scratch_row),
    ROW(linear_f32, units_linear, NULL),
    ROW(linear_f16, units_linear, NULL),
    ROW(linear_bf16, units_linear, NULL),
    ROW(linear_i4, units_linear, NULL),
    ROW(rope, units_token, NULL),
    ROW(kv_append, units_kv_head, NULL),
    ROW(attention, units_kv_head, cpu_attention_scratch_bytes),
    ROW(swiglu, units_token, NULL),
    ROW(select_rows, units_token, NULL),
    ROW(slice, units_token, NULL),
    ROW(elementwise, units_token, NULL),
    ROW(rowwise, units_token, NULL),
#undef ROW
};

/* Register tiles by (weight element, wide registers, token class).  Chosen so that accumulators
 * stay in registers: 32 of 16 floats, or 16 of 8 (where a vector of 16 takes two).  nb is even for
 * epilogues that take pairs of blocks. */
typedef struct tile_row {
    kernel_id family;
    bool wide;
    cpu_tile tile[RT_N_CLASSES];
} tile_row;

static const tile_row TILES[] = {
    {KERNEL_linear_f32, true, {{8, 1, 4}, {4, 4, 2}, {4, 6, 1}}},
    {KERNEL_linear_f32, false, {{4, 1, 4}, {2, 2, 2}, {2, 3, 1}}},
    {KERNEL_linear_f16, true, {{8, 1, 4}, {4, 4, 2}, {4, 6, 1}}},
    {KERNEL_linear_f16, false, {{4, 1, 4}, {2, 2, 2}, {2, 3, 1}}},
    {KERNEL_linear_bf16, true, {{8, 1, 4}, {4, 4, 2}, {4, 6, 1}}},
    {KERNEL_linear_bf16, false, {{4, 1, 4}, {2, 2, 2}, {2, 2, 1}}},
    {KERNEL_linear_i4, true, {{4, 1, 2}, {2, 4, 1}, {2, 4, 1}}},
    {KERNEL_linear_i4, false, {{2, 1, 2}, {2, 1, 1}, {2, 1, 1}}},
};

cpu_tile cpu_choose_tile(const cg_kernel_spec *s, lb_isa isa) {
    for (size_t i = 0; i < COUNT_OF(TILES); i++)
        if (TILES[i].family == s->family && TILES[i].wide == isa.wide)
            return TILES[i].tile[s->tclass];
    return (cpu_tile){1, 1, 1};
}
