/* layout.c - types: which are well formed, how many bytes a value has; packed groups, blocks and
 * row orders. */
#include "ir/layout.h"

#include <assert.h>
#include <string.h>

#include "ir/const.h"

enum { MAX_PACKED_GROUP = 128, ACT_ALIGN_BYTES = 64, F16_BYTES = 2, ZERO_BYTES = 1 };
/* Packed groups of act-order are counted in columns x groups / 1024 steps: seconds at most, from
 * any file. */
enum { MAX_PERM_COLUMNS = 1 << 20 };
static const int64_t MAX_ELEMENTS = (int64_t)1 << 40;

ir_type ir_type_of(ir_dtype dtype, int rank, const int64_t *dim) {
    if (rank < 0 || rank > IR_MAX_RANK) UNREACHABLE("rank of a type");
    ir_type t = {.dtype = dtype, .rank = rank};
    for (int i = 0; i < rank; i++) t.dim[i] = dim[i];
    return t;
}

bool ir_type_eq(const ir_type *a, const ir_type *b) {
    if (a->dtype != b->dtype || a->layout != b->layout || a->rank != b->rank ||
        a->group != b->group || a->zeros != b->zeros || a->perm != b->perm)
        return false;
    for (int i = 0; i < a->rank; i++)
        if (a->dim[i] != b->dim[i]) return false;
    return true;
}

bool ir_is_float(ir_dtype dtype) {
    return dtype == DT_f32 || dtype == DT_f16 || dtype == DT_bf16 || dtype == DT_f64;
}

bool ir_type_is_plain_f32(const ir_type *t) {
    return t->dtype == DT_f32 && t->layout == LAYOUT_plain && t->rank >= 1;
}

/* Element types of each layout, as a bit set. */
static const uint32_t LAYOUT_DTYPES[LAYOUT_COUNT] = {
    [LAYOUT_plain] = ~0u,
    [LAYOUT_gptq] = 1u << DT_i4,
    [LAYOUT_r16k1] = 1u << DT_f32 | 1u << DT_f16,
    [LAYOUT_r16k2] = 1u << DT_bf16,
    [LAYOUT_r16k8] = 1u << DT_i4,
    [LAYOUT_kv] = 1u << DT_f32 | 1u << DT_bf16 | 1u << DT_f16,
    [LAYOUT_act] = 1u << DT_f32 | 1u << DT_bf16 | 1u << DT_i16,
};

static const char *wrong_with_dims(const ir_type *t) {
    int64_t n = 1;
    for (int i = 0; i < t->rank; i++) {
        const int64_t d = t->dim[i];
        if (d == DIM_T || d == DIM_R) {
            if (i != 0) return "T and R can only be the first dimension";
            continue;
        }
        if (d == DIM_S) {
            if (i != 2) return "S can only be the third dimension";
            continue;
        }
        if (d <= 0) return "dimensions must be positive";
        if (d > IR_MAX_DIM) return "a dimension is too large";
        if (n > MAX_ELEMENTS / d) return "too many elements";
        n *= d;
    }
    return NULL;
}

static bool is_static(const ir_type *t) {
    for (int i = 0; i < t->rank; i++)
        if (t->dim[i] < 0) return false;
    return true;
}

static const char *wrong_with(const ir_type *t) {
    if (t->rank < 0 || t->rank > IR_MAX_RANK) return "too many dimensions";
    const char *dims = wrong_with_dims(t);
    if (dims) return dims;
    if (!(LAYOUT_DTYPES[t->layout] >> t->dtype & 1))
        return "the layout is not for this element type";
    if (t->dtype == DT_seqs) return t->rank ? "seqs has no dimensions" : NULL;
    if (t->rank == 0) return "only seqs has no dimensions";
    const bool grouped = t->dtype == DT_i4 || (t->layout == LAYOUT_act && t->group);
    if (!grouped && (t->group || t->zeros || t->perm)) return "only i4 has groups";
    if (grouped && !(t->group == -1 || (t->group > 0 && t->group <= IR_MAX_DIM)))
        return "the group must be positive, or -1";
    if (t->dtype == DT_i16 && t->layout == LAYOUT_act && !t->group)
        return "i16 activations need a group";
    if (t->dtype == DT_i4 && (t->rank != 2 || !is_static(t)))
        return "i4 is for matrices of known size";
    if (t->perm && t->dim[1] > MAX_PERM_COLUMNS) return "too many columns for act-order";
    if (t->layout == LAYOUT_act && t->zeros) return "activations have no zero points";
    if (t->layout == LAYOUT_kv)
        return t->rank == 3 && is_static(t) ? NULL : "kv is [layers, heads, head size]";
    if (t->layout == LAYOUT_act) return t->rank == 2 ? NULL : "activations are [rows, columns]";
    if (t->layout == LAYOUT_plain) return NULL;
    if (t->rank != 2 || !is_static(t)) return "packed layouts are for matrices of known size";
    if (t->layout != LAYOUT_gptq) return NULL;
    if (t->dim[1] % 8) return "gptq needs a multiple of 8 columns";
    if (t->zeros && t->dim[0] % 8) return "gptq with zeros needs a multiple of 8 rows";
    return NULL;
}

bool ir_type_ok(const ir_type *t, const char **why) {
    *why = wrong_with(t);
    return !*why;
}

int64_t ir_n_groups(const ir_type *t) {
    const int64_t k = t->dim[t->rank - 1];
    return t->group < 0 || t->group > k ? 1 : ceil_div(k, t->group);
}

int64_t ir_packed_group(const ir_type *t) {
    const int64_t k = t->dim[t->rank - 1];
    return round_up(min_i64(min_i64(t->group < 0 ? k : t->group, k), MAX_PACKED_GROUP), 8);
}

/* Columns of every logical group but the last. */
static int64_t whole_group(const ir_type *t) {
    const int64_t k = t->dim[t->rank - 1];
    return t->group < 0 ? k : min_i64(t->group, k);
}

int64_t ir_max_packed_groups(const ir_type *t) {
    const int64_t k = t->dim[t->rank - 1], n = ir_n_groups(t), packed = ir_packed_group(t);
    /* a group of c > 0 columns takes at most 1 + (c - 1) / packed packed groups */
    if (t->perm) return n + (k - n) / packed;
    const int64_t whole = whole_group(t), last = k - (n - 1) * whole;
    return (n - 1) * ceil_div(whole, packed) + ceil_div(last, packed);
}

bool ir_layout_is_packed(ir_layout layout) {
    return layout == LAYOUT_r16k1 || layout == LAYOUT_r16k2 || layout == LAYOUT_r16k8;
}

int64_t ir_block_bytes(const ir_type *t, int64_t n_groups) {
    const int64_t k = t->dim[1];
    if (t->layout == LAYOUT_r16k1) return IR_BLOCK_ROWS * k * ir_dtype_info[t->dtype].bits / 8;
    if (t->layout == LAYOUT_r16k2) return IR_BLOCK_ROWS * round_up(k, 2) * 2;
    assert(t->layout == LAYOUT_r16k8);
    const int64_t codes = ir_packed_group(t) / 2;
    return n_groups * IR_BLOCK_ROWS * (codes + F16_BYTES + (t->zeros ? ZERO_BYTES : 0));
}

/* One token's activations: as the table at runtime/abi.h, LAYOUT_act. */
static int64_t act_row_bytes(const ir_type *t) {
    const int64_t groups = t->group ? ir_max_packed_groups(t) : 0;
    const int64_t k = groups ? groups * ir_packed_group(t) : t->dim[1];
    int64_t bytes = k * ir_dtype_info[t->dtype].bits / 8;
    if (t->dtype == DT_i16) bytes += groups * (int64_t)(sizeof(float) + sizeof(int32_t));
    return round_up(bytes, ACT_ALIGN_BYTES);
}

int64_t ir_type_bytes(const ir_type *t, int64_t T, int64_t R) {
    if (t->dtype == DT_seqs || t->layout == LAYOUT_kv) return 0;
    if (ir_layout_is_packed(t->layout))
        return ceil_div(t->dim[0], IR_BLOCK_ROWS) *
               ir_block_bytes(t, t->dtype == DT_i4 ? ir_max_packed_groups(t) : 0);
    int64_t rows = 1;
    for (int i = 0; i + 1 < t->rank; i++)
        rows *= t->dim[i] == DIM_T ? T : t->dim[i] == DIM_R ? R : t->dim[i];
    if (t->layout == LAYOUT_act) return rows * act_row_bytes(t);
    int64_t k = t->dim[t->rank - 1];
    if (k == DIM_T) k = T;
    if (k == DIM_R) k = R;
    if (k < 0) return 0; /* S: such values never live in memory of a known size */
    if (t->dtype != DT_i4) return rows * k * (ir_dtype_info[t->dtype].bits / 8);
    /* gptq; plain i4 has no bytes of its own and counts the same */
    const int64_t scales = ir_n_groups(t) * rows;
    return rows * k / 2 + scales * F16_BYTES + (t->zeros ? scales / 2 : 0) +
           (t->perm ? k * (int64_t)sizeof(int32_t) : 0);
}

/* ---- row orders ---- */

bool ir_find_order(const char *name, ir_order *out) {
    static const char *const NAMES[] = {
        [ORDER_natural] = "natural", [ORDER_swiglu] = "swiglu", [ORDER_rope] = "rope"};
    for (size_t i = 0; i < COUNT_OF(NAMES); i++)
        if (strcmp(name, NAMES[i]) == 0) return *out = (ir_order)i, true;
    return false;
}

static ir_order order_of(const ir_op *pack) {
    ir_order order = ORDER_natural;
    if (!ir_find_order(ir_str_or(pack, ATTR_order, "natural"), &order))
        UNREACHABLE("row order of a packed weight");
    return order;
}

/* Rows of one head in order rope.  A query or key head: blocks of 16 lanes of the rotation's first
 * half, each followed by the same lanes of the second half, then the lanes that do not turn.  A
 * value head: as they come. */
typedef struct rope_rows {
    int64_t head_dim, half, rest; /* rows: half + half + rest = head_dim */
    int64_t turning, head,
        value; /* packed rows: of both halves; of a query or key head; of a value head */
    int64_t n_turning_heads, n_heads;
} rope_rows;

static rope_rows rope_rows_of(const ir_op *pack) {
    rope_rows r = {.head_dim = ir_i64(pack, ATTR_head_dim), .half = ir_i64(pack, ATTR_rot) / 2};
    r.rest = r.head_dim - 2 * r.half;
    r.turning = 2 * round_up(r.half, IR_BLOCK_ROWS);
    r.head = r.turning + round_up(r.rest, IR_BLOCK_ROWS);
    r.value = round_up(r.head_dim, IR_BLOCK_ROWS);
    r.n_turning_heads = ir_i64(pack, ATTR_heads) + ir_i64(pack, ATTR_kv_heads);
    r.n_heads = r.n_turning_heads + ir_i64(pack, ATTR_kv_heads);
    return r;
}

int64_t ir_packed_rows(const ir_op *pack) {
    const int64_t n = pack->type.dim[0];
    const ir_order order = order_of(pack);
    if (order == ORDER_natural) return round_up(n, IR_BLOCK_ROWS);
    if (order == ORDER_swiglu) return 2 * round_up(n / 2, IR_BLOCK_ROWS);
    const rope_rows r = rope_rows_of(pack);
    return r.n_turning_heads * r.head + (r.n_heads - r.n_turning_heads) * r.value;
}

static int64_t rope_row(const rope_rows *r, int64_t i) {
    const int64_t turning_rows = r->n_turning_heads * r->head;
    if (i >= turning_rows) {
        const int64_t head = r->n_turning_heads + (i - turning_rows) / r->value;
        const int64_t lane = (i - turning_rows) % r->value;
        return lane < r->head_dim ? head * r->head_dim + lane : -1;
    }
    const int64_t first = i / r->head * r->head_dim, place = i % r->head;
    if (place >= r->turning) {
        const int64_t lane = place - r->turning;
        return lane < r->rest ? first + 2 * r->half + lane : -1;
    }
    const int64_t block = place / IR_BLOCK_ROWS, second = block % 2;
    const int64_t lane = block / 2 * IR_BLOCK_ROWS + place % IR_BLOCK_ROWS;
    return lane < r->half ? first + second * r->half + lane : -1;
}

static int64_t rope_place(const rope_rows *r, int64_t n) {
    const int64_t head = n / r->head_dim;
    int64_t lane = n % r->head_dim;
    if (head >= r->n_turning_heads)
        return r->n_turning_heads * r->head + (head - r->n_turning_heads) * r->value + lane;
    if (lane >= 2 * r->half) return head * r->head + r->turning + lane - 2 * r->half;
    const int64_t second = lane >= r->half;
    lane -= second * r->half;
    return head * r->head + (lane / IR_BLOCK_ROWS * 2 + second) * IR_BLOCK_ROWS +
           lane % IR_BLOCK_ROWS;
}

int64_t ir_packed_row(const ir_op *pack, int64_t i) {
    const int64_t n = pack->type.dim[0];
    const ir_order order = order_of(pack);
    if (order == ORDER_natural) return i < n ? i : -1;
    if (order == ORDER_rope) {
        const rope_rows r = rope_rows_of(pack);
        return rope_row(&r, i);
    }
    const int64_t block = i / IR_BLOCK_ROWS, up = block % 2;
    const int64_t row = block / 2 * IR_BLOCK_ROWS + i % IR_BLOCK_ROWS;
    return row < n / 2 ? up * (n / 2) + row : -1;
}

int64_t ir_packed_place(const ir_op *pack, int64_t n) {
    const ir_order order = order_of(pack);
    if (order == ORDER_natural) return n;
    if (order == ORDER_rope) {
        const rope_rows r = rope_rows_of(pack);
        return rope_place(&r, n);
    }
    const int64_t half = pack->type.dim[0] / 2, up = n >= half, row = n - up * half;
    return (row / IR_BLOCK_ROWS * 2 + up) * IR_BLOCK_ROWS + row % IR_BLOCK_ROWS;
}

/* ---- bytes in files ---- */

bool ir_source_needs(const ir_op *weight, ir_source_bytes *out) {
    const ir_type *t = &weight->type;
    *out = (ir_source_bytes){0};
    if (t->layout == LAYOUT_gptq) {
        const uint64_t n = (uint64_t)t->dim[0], k = (uint64_t)t->dim[1];
        const uint64_t groups = (uint64_t)ir_n_groups(t);
        out->data = n * k / 2;
        out->scales = groups * n * (uint64_t)ir_dtype_info[weight->source.scales_dtype].bits / 8;
        out->zeros = t->zeros ? groups * n / 2 : 0;
        out->perm = t->perm ? k * sizeof(int32_t) : 0;
        return true;
    }
    if (!ir_layout_is_packed(t->layout)) {
        out->data = (uint64_t)ir_type_bytes(t, 0, 0);
        return true;
    }
    int64_t groups = t->dtype == DT_i4 ? ir_max_packed_groups(t) : 0;
    if (t->perm) {
        const uint64_t group_bytes = (uint64_t)ir_packed_group(t) * sizeof(int32_t);
        const uint64_t found = weight->source.perm.bytes / group_bytes;
        if (!found || found > (uint64_t)groups || weight->source.perm.bytes % group_bytes)
            return false;
        groups = (int64_t)found;
        out->perm = weight->source.perm.bytes;
    }
    out->data = (uint64_t)(ir_packed_rows(weight) / IR_BLOCK_ROWS * ir_block_bytes(t, groups));
    return true;
}
