/* const_i4.c - 4-bit constants: codes, scales and zeros from wherever they are, and packed groups.
 *
 * Behind packs and concats every row comes from one leaf: a weight in gptq or r16k8 layout, a
 * weight made from a seed, or a quant of dense values.  A leaf kind is a row of LEAVES; all but
 * r16k8, whose columns are in packed order already, are read in logical columns, a tile of rows at
 * a time.
 */
#include "ir/const_read.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/half.h"
#include "base/seedgen.h"
#include "ir/const.h"
#include "ir/layout.h"
#include "ir/shape.h"

enum { TILE_ROWS = 64, TILE_COLS = 128, NO_ZEROS = 8, MAX_CODE = 15 };

/* Rows of one leaf, and scale and zero of each for the group at hand. */
typedef struct tile {
    const ir_op *leaf;
    int64_t row0, n_rows; /* at most TILE_ROWS */
    int64_t group;        /* -1: none yet */
    float scale[TILE_ROWS];
    uint8_t zero[TILE_ROWS];
} tile;

typedef struct leaf_kind {
    /* group of column k; a hostile g_idx may give anything */
    int64_t (*group_of)(const ir_op *leaf, int64_t k);
    /* sets scale and zero of t->group */
    void (*params)(tile *t);
    /* codes of columns k0 .. + n <= TILE_COLS, all of t->group: code[i * step + j] */
    void (*codes)(const tile *t, int64_t k0, int64_t n, int64_t step, uint8_t *code);
    /* dword[i] of r16k8 from 8 columns, all of t->group or padding; NULL: made from codes */
    void (*dwords)(const tile *t, const int32_t *column, uint32_t *dword);
} leaf_kind;

static int64_t group_by_place(const ir_op *op, int64_t k) {
    return op->type.group < 0 ? 0 : k / op->type.group;
}

/* ---- gptq ---- */

static int64_t gptq_group_of(const ir_op *w, int64_t k) {
    if (!w->type.perm) return group_by_place(w, k);
    return (int32_t)load_u32(const_bytes(w, &w->source.perm) + k * (int64_t)sizeof(int32_t));
}

static float load_scale(ir_dtype dtype, const uint8_t *p) {
    if (dtype == DT_f32) return f32_from_bits(load_u32(p));
    return dtype == DT_bf16 ? bf16_to_f32(load_u16(p)) : f16_to_f32(load_u16(p));
}

static void gptq_params(tile *t) {
    const ir_op *w = t->leaf;
    const int64_t N = w->type.dim[0], scale_bytes = ir_dtype_info[w->source.scales_dtype].bits / 8;
    const uint8_t *scales =
        const_bytes(w, &w->source.scales) + (t->group * N + t->row0) * scale_bytes;
    for (int64_t i = 0; i < t->n_rows; i++)
        t->scale[i] = load_scale(w->source.scales_dtype, scales + i * scale_bytes);
    memset(t->zero, NO_ZEROS, sizeof t->zero);
    if (!w->type.zeros) return;
    const uint8_t *zeros = const_bytes(w, &w->source.zeros) + t->group * (N / 2);
    for (int64_t i = 0; i < t->n_rows; i++) {
        const int64_t n =
            t->row0 + i; /* two nibbles a byte, in order: the words are little endian */
        t->zero[i] = (uint8_t)((zeros[n / 2] >> 4 * (n % 2) & 15) + 1);
    }
}

static void gptq_codes(const tile *t, int64_t k0, int64_t n, int64_t step, uint8_t *code) {
    const ir_op *w = t->leaf;
    const int64_t N = w->type.dim[0];
    const uint8_t *data = const_bytes(w, &w->source.data);
    for (int64_t j = 0; j < n; j++) {
        const int64_t k = k0 + j, in_byte = 4 * (k % 2);
        /* eight codes a word: the byte with code k of row row0 + i is 4 bytes from that of the next
         * row */
        const uint8_t *byte = data + ((k / 8) * N + t->row0) * 4 + k % 8 / 2;
        for (int64_t i = 0; i < t->n_rows; i++) code[i * step + j] = byte[4 * i] >> in_byte & 15;
    }
}

static uint8_t padding_code(uint8_t zero) { return zero < MAX_CODE ? zero : MAX_CODE; }

/* Eight nibbles in order of columns, as gptq has them, to byte b = n[b] | n[4 + b] << 4. */
static uint32_t spread(uint32_t w) {
    uint32_t low = w & 0xffff, high = w >> 16;
    low = (low | low << 8) & 0x00ff00ff;
    low = (low | low << 4) & 0x0f0f0f0f;
    high = (high | high << 8) & 0x00ff00ff;
    high = (high | high << 4) & 0x0f0f0f0f;
    return low | high << 4;
}

static bool is_one_word(const int32_t *column) {
    for (int j = 0; j < 8; j++)
        if (column[j] != column[0] + j) return false;
    return column[0] >= 0 && column[0] % 8 == 0;
}

static void gptq_dwords(const tile *t, const int32_t *column, uint32_t *dword) {
    const ir_op *w = t->leaf;
    const int64_t N = w->type.dim[0], n = t->n_rows;
    const uint8_t *data = const_bytes(w, &w->source.data) + t->row0 * 4;
    if (is_one_word(column)) {
        const uint8_t *word = data + column[0] / 8 * N * 4;
        for (int64_t i = 0; i < n; i++) dword[i] = spread(load_u32(word + 4 * i));
        return;
    }
    memset(dword, 0, (size_t)n * sizeof *dword);
    for (int j = 0; j < 8; j++) {
        const int to = j < 4 ? 8 * j : 8 * (j - 4) + 4, from = 4 * (column[j] & 7);
        const uint8_t *word = data + column[j] / 8 * N * 4;
        if (column[j] < 0)
            for (int64_t i = 0; i < n; i++) dword[i] |= (uint32_t)padding_code(t->zero[i]) << to;
        else
            for (int64_t i = 0; i < n; i++) dword[i] |= (load_u32(word + 4 * i) >> from & 15) << to;
    }
}

/* ---- seed ---- */

static int64_t seed_group_of(const ir_op *w, int64_t k) {
    if (!w->type.perm) return group_by_place(w, k);
    const seedgen_columns c = seedgen_permutation(w->source.seed, (uint64_t)w->type.dim[1]);
    return group_by_place(w, (int64_t)seedgen_column(&c, (uint64_t)k));
}

static void seed_params(tile *t) {
    const ir_type *type = &t->leaf->type;
    const uint64_t seed = t->leaf->source.seed, group = (uint64_t)t->group;
    const uint64_t n_groups = (uint64_t)ir_n_groups(type), K = (uint64_t)type->dim[1];
    for (int64_t i = 0; i < t->n_rows; i++) {
        const uint64_t row = (uint64_t)(t->row0 + i);
        t->scale[i] = f16_to_f32(seedgen_scale(seed, row, group, n_groups, K, type->zeros));
        t->zero[i] = type->zeros ? seedgen_zero(seed, row, group, n_groups) : NO_ZEROS;
    }
}

static void seed_codes(const tile *t, int64_t k0, int64_t n, int64_t step, uint8_t *code) {
    const uint64_t seed = t->leaf->source.seed, K = (uint64_t)t->leaf->type.dim[1];
    for (int64_t i = 0; i < t->n_rows; i++)
        seedgen_codes(seed, (uint64_t)(t->row0 + i), (uint64_t)k0, (uint64_t)n, K, code + i * step);
}

/* ---- quant: scale = m / -8 in f16 with m the value of largest magnitude, so that m gets the code
 * that reaches farthest, 0, and the other sign still has seven steps; code = round(w / scale) + 8
 * ---- */

static void quant_params(tile *t) {
    const ir_op *q = t->leaf;
    const int64_t K = q->type.dim[1], first = q->type.group < 0 ? 0 : t->group * q->type.group;
    const int64_t end = q->type.group < 0 ? K : min_i64(K, first + q->type.group);
    float largest[TILE_ROWS] = {0}, w[TILE_ROWS * 32];
    for (int64_t k = first; k < end; k += 32) {
        const int64_t n = min_i64(32, end - k);
        const_rect(q->in[0], t->row0, t->n_rows, k, n, w);
        for (int64_t i = 0; i < t->n_rows; i++)
            for (int64_t j = 0; j < n; j++)
                if (fabsf(w[i * n + j]) > fabsf(largest[i])) largest[i] = w[i * n + j];
    }
    for (int64_t i = 0; i < t->n_rows; i++) {
        const float finite = fminf(fmaxf(largest[i] / -8.0f, -65504.0f), 65504.0f);
        t->scale[i] = f16_to_f32(f32_to_f16(finite));
        t->zero[i] = NO_ZEROS;
    }
}

static uint8_t quant_code(float w, float scale) {
    if (scale == 0) return NO_ZEROS;
    const float steps = rintf(w / scale) + NO_ZEROS;
    return steps >= 0 ? (uint8_t)(steps <= MAX_CODE ? steps : MAX_CODE) : 0; /* NaN gives 0 */
}

static void quant_codes(const tile *t, int64_t k0, int64_t n, int64_t step, uint8_t *code) {
    float w[TILE_ROWS * TILE_COLS];
    const_rect(t->leaf->in[0], t->row0, t->n_rows, k0, n, w);
    for (int64_t i = 0; i < t->n_rows; i++)
        for (int64_t j = 0; j < n; j++) code[i * step + j] = quant_code(w[i * n + j], t->scale[i]);
}

/* ---- leaves ---- */

static const leaf_kind GPTQ = {gptq_group_of, gptq_params, gptq_codes, gptq_dwords};
static const leaf_kind SEED = {seed_group_of, seed_params, seed_codes, NULL};
static const leaf_kind QUANT = {group_by_place, quant_params, quant_codes, NULL};

static bool is_packed_file(const ir_op *leaf) {
    return leaf->kind == OP_weight && leaf->source.kind == SOURCE_file &&
           leaf->type.layout == LAYOUT_r16k8;
}

static const leaf_kind *kind_of(const ir_op *leaf) {
    assert(!is_packed_file(leaf));
    if (leaf->kind == OP_quant) return &QUANT;
    if (leaf->kind != OP_weight || leaf->source.kind == SOURCE_none)
        UNREACHABLE("source of an i4 constant");
    return leaf->source.kind == SOURCE_seed ? &SEED : &GPTQ;
}

const ir_op *const_i4_leaf(const ir_op *op, int64_t *row, int64_t *n_rows) {
    while (op->kind == OP_pack || op->kind == OP_concat_rows)
        op = op->kind == OP_pack ? op->in[0] : const_part(op, row, n_rows);
    return op;
}

/* Scales are those of an r16k8 layout: f16. */
static bool has_f16_scales(const ir_op *op) { return op->kind == OP_pack; }

static tile tile_at(const ir_op *op, int64_t row, int64_t n_rows) {
    tile t = {.n_rows = min_i64(n_rows, TILE_ROWS), .group = -1};
    t.leaf = const_i4_leaf(op, &row, &t.n_rows);
    t.row0 = row;
    return t;
}

static void use_group(tile *t, const leaf_kind *kind, int64_t group, bool f16_scales) {
    if (t->group == group) return;
    t->group = group;
    kind->params(t);
    for (int64_t i = 0; i < t->n_rows && f16_scales; i++)
        t->scale[i] = f16_to_f32(f32_to_f16(t->scale[i]));
}

/* ---- places of packed columns ---- */

/* Column at place j of packed group p where groups are runs of columns; -1 = padding. */
static int64_t place_column(const ir_type *t, int64_t p, int64_t j) {
    const int64_t K = t->dim[1], packed = ir_packed_group(t);
    const int64_t whole = t->group < 0 ? K : min_i64(t->group, K), pieces = ceil_div(whole, packed);
    const int64_t first = p / pieces * whole, in_group = p % pieces * packed + j;
    return in_group < min_i64(whole, K - first) ? first + in_group : -1;
}

static int64_t perm_groups(const ir_op *weight) { /* packed groups of an r16k8 weight with perm */
    return (int64_t)(weight->source.perm.bytes / sizeof(int32_t)) / ir_packed_group(&weight->type);
}

static int32_t perm_column(const ir_op *weight, int64_t place) {
    return (int32_t)load_u32(const_bytes(weight, &weight->source.perm) +
                             place * (int64_t)sizeof(int32_t));
}

/* Packed groups of a constant with act-order, counted without memory: COUNTED groups of the type at
 * a time. */
static int64_t count_perm_groups(const ir_op *leaf) {
    enum { COUNTED = 1024 };
    const leaf_kind *kind = kind_of(leaf);
    const int64_t packed = ir_packed_group(&leaf->type), n_groups = ir_n_groups(&leaf->type);
    int64_t n = 0;
    for (int64_t first = 0; first < n_groups; first += COUNTED) {
        int32_t count[COUNTED] = {0};
        for (int64_t k = 0; k < leaf->type.dim[1]; k++) {
            const int64_t g = kind->group_of(leaf, k) - first;
            if (g >= 0 && g < COUNTED) count[g]++;
        }
        for (int i = 0; i < COUNTED; i++) n += ceil_div(count[i], packed);
    }
    return n;
}

static const ir_op *leaf_of_columns(const ir_op *op) {
    int64_t row = 0, n_rows = 1;
    return const_i4_leaf(op, &row, &n_rows);
}

int64_t const_n_packed_groups(const ir_op *op) {
    if (!op->type.perm) return ir_max_packed_groups(&op->type);
    const ir_op *leaf = leaf_of_columns(op);
    if (is_packed_file(leaf)) return perm_groups(leaf);
    if (leaf->source.kind != SOURCE_seed) return count_perm_groups(leaf);
    ir_type in_order = op->type; /* a permutation leaves groups as large as they were */
    in_order.perm = false;
    return ir_max_packed_groups(&in_order);
}

/* Columns by group, in each by number: a counting sort, every group padded to whole packed groups.
 */
static bool sort_columns(const ir_op *leaf, arena *mem, diag *d, int32_t *column) {
    const leaf_kind *kind = kind_of(leaf);
    const int64_t K = leaf->type.dim[1], n_groups = ir_n_groups(&leaf->type);
    const int64_t packed = ir_packed_group(&leaf->type);
    int64_t *next = arena_array(mem, int64_t, n_groups + 1); /* place of each group's next column */
    for (int64_t k = 0; k < K; k++) {
        const int64_t g = kind->group_of(leaf, k);
        if (g < 0 || g >= n_groups) {
            diag_loc at = ir_loc(leaf);
            at.tensor = leaf->name;
            return diag_error(d, DIAG_IR_PERM, at, "column %lld is in group %lld of %lld",
                              (long long)k, (long long)g, (long long)n_groups);
        }
        next[g + 1]++;
    }
    for (int64_t g = 0; g < n_groups; g++) next[g + 1] = next[g] + round_up(next[g + 1], packed);
    for (int64_t k = 0; k < K; k++) column[next[kind->group_of(leaf, k)]++] = (int32_t)k;
    return true;
}

bool ir_const_groups(const ir_op *op, arena *mem, diag *d, ir_groups *out) {
    const ir_type *t = &op->type;
    assert(ir_is_const(op) && t->dtype == DT_i4);
    *out = (ir_groups){.n_groups = const_n_packed_groups(op), .group = ir_packed_group(t)};
    const int64_t n_places = out->n_groups * out->group;
    if (!t->perm && n_places == t->dim[1]) return true;
    int32_t *column = arena_array(mem, int32_t, n_places);
    out->column = column;
    for (int64_t i = 0; i < n_places; i++)
        column[i] = t->perm ? -1 : (int32_t)place_column(t, i / out->group, i % out->group);
    if (!t->perm) return true;
    const ir_op *leaf = leaf_of_columns(op);
    if (!is_packed_file(leaf)) return sort_columns(leaf, mem, d, column);
    for (int64_t i = 0; i < n_places; i++) column[i] = perm_column(leaf, i);
    return true;
}

bool const_columns_known(const ir_op *op) {
    const ir_op *leaf = leaf_of_columns(op);
    if (!op->type.perm) return true;
    return leaf->source.kind == SOURCE_seed ||
           (leaf->source.kind == SOURCE_file && leaf->graph->file[leaf->source.file].at);
}

bool ir_same_columns(const ir_op *a, const ir_op *b) {
    const ir_type *s = &a->type, *t = &b->type;
    if (s->dtype != DT_i4 || t->dtype != DT_i4 || s->dim[1] != t->dim[1] || s->group != t->group ||
        s->perm != t->perm)
        return false;
    const ir_op *la = leaf_of_columns(a), *lb = leaf_of_columns(b);
    if (!s->perm || la == lb) return true;
    if (!const_columns_known(a) || !const_columns_known(b))
        return la->source.kind == SOURCE_file && lb->source.kind == SOURCE_file &&
               la->source.file == lb->source.file &&
               la->source.perm.offset == lb->source.perm.offset;
    if (is_packed_file(la) || is_packed_file(lb)) return false;
    for (int64_t k = 0; k < s->dim[1]; k++)
        if (kind_of(la)->group_of(la, k) != kind_of(lb)->group_of(lb, k)) return false;
    return true;
}

/* ---- r16k8 in a file ---- */

/* One row of a packed weight: where its bytes of packed group p are. */
typedef struct packed_group {
    const uint8_t *dwords; /* of this row; the next 8 columns are 16 dwords on */
    float scale;
    uint8_t zero;
} packed_group;

static packed_group packed_group_at(const ir_op *w, int64_t row, int64_t p) {
    const ir_type *t = &w->type;
    const int64_t place = ir_packed_place(w, row), lane = place % IR_BLOCK_ROWS;
    const int64_t n_groups = const_n_packed_groups(w),
                  codes = IR_BLOCK_ROWS * ir_packed_group(t) / 2;
    const uint8_t *group = const_bytes(w, &w->source.data) +
                           place / IR_BLOCK_ROWS * ir_block_bytes(t, n_groups) +
                           p * ir_block_bytes(t, 1);
    return (packed_group){
        .dwords = group + lane * 4,
        .scale = f16_to_f32(load_u16(group + codes + lane * 2)),
        .zero = t->zeros ? group[codes + IR_BLOCK_ROWS * 2 + lane] : NO_ZEROS,
    };
}

static uint8_t packed_code(const packed_group *g, int64_t j) {
    return g->dwords[j / 8 * 4 * IR_BLOCK_ROWS + j % 4] >> (j % 8 < 4 ? 0 : 4) & 15;
}

static void packed_rect(const ir_op *w, int64_t row0, int64_t n_rows, int64_t k0, int64_t n,
                        float *out) {
    const ir_type *t = &w->type;
    const int64_t packed = ir_packed_group(t), n_groups = const_n_packed_groups(w);
    for (int64_t i = 0; i < n_rows; i++)
        for (int64_t p = 0; p < n_groups; p++) {
            const packed_group g = packed_group_at(w, row0 + i, p);
            for (int64_t j = 0; j < packed; j++) {
                const int64_t k = t->perm ? perm_column(w, p * packed + j) : place_column(t, p, j);
                if (k >= k0 && k < k0 + n)
                    out[i * n + k - k0] = (float)(packed_code(&g, j) - g.zero) * g.scale;
            }
        }
}

static void packed_codes(const ir_op *w, const ir_groups *g, int64_t row0, int64_t n_rows,
                         uint8_t *code, float *scale, uint8_t *zero) {
    for (int64_t i = 0; i < n_rows * g->n_groups; i++) {
        const packed_group pg = packed_group_at(w, row0 + i / g->n_groups, i % g->n_groups);
        scale[i] = pg.scale;
        zero[i] = pg.zero;
        for (int64_t j = 0; j < g->group; j++) code[i * g->group + j] = packed_code(&pg, j);
    }
}

/* ---- values and codes ---- */

/* Columns from k on, at most `most`, that are in the group of k. */
static int64_t run_length(const tile *t, const leaf_kind *kind, int64_t k, int64_t most) {
    const int64_t group = kind->group_of(t->leaf, k);
    if (!t->leaf->type.perm) {
        const int64_t size = t->leaf->type.group;
        return size < 0 ? most : min_i64(most, (group + 1) * size - k);
    }
    int64_t n = 1;
    while (n < most && kind->group_of(t->leaf, k + n) == group) n++;
    return n;
}

void const_i4_rect(const ir_op *op, int64_t row0, int64_t n_rows, int64_t k0, int64_t n_cols,
                   float *out) {
    if (is_packed_file(op)) {
        packed_rect(op, row0, n_rows, k0, n_cols, out);
        return;
    }
    uint8_t code[TILE_ROWS * TILE_COLS];
    for (int64_t done = 0; done < n_rows;) {
        tile t = tile_at(op, row0 + done, n_rows - done);
        const leaf_kind *kind = kind_of(t.leaf);
        for (int64_t j = 0, n; j < n_cols; j += n) {
            n = run_length(&t, kind, k0 + j, min_i64(TILE_COLS, n_cols - j));
            use_group(&t, kind, kind->group_of(t.leaf, k0 + j), has_f16_scales(op));
            kind->codes(&t, k0 + j, n, n, code);
            for (int64_t i = 0; i < t.n_rows; i++)
                for (int64_t c = 0; c < n; c++)
                    out[(done + i) * n_cols + j + c] =
                        (float)(code[i * n + c] - t.zero[i]) * t.scale[i];
        }
        done += t.n_rows;
    }
}

/* Codes of packed group p, in runs of neighbouring columns. */
static void group_codes(const tile *t, const leaf_kind *kind, const int32_t *column, int64_t n,
                        int64_t step, uint8_t *code) {
    for (int64_t j = 0, run; j < n; j += run) {
        run = 1;
        if (column[j] < 0) {
            for (int64_t i = 0; i < t->n_rows; i++) code[i * step + j] = padding_code(t->zero[i]);
            continue;
        }
        while (j + run < n && column[j + run] == column[j] + run) run++;
        kind->codes(t, column[j], run, step, code + j);
    }
}

/* Columns of packed group p, made up in `natural` where there is no table. */
static const int32_t *columns_of(const ir_groups *g, int64_t p, int32_t natural[TILE_COLS]) {
    if (g->column) return g->column + p * g->group;
    for (int64_t j = 0; j < g->group; j++) natural[j] = (int32_t)(p * g->group + j);
    return natural;
}

void ir_const_codes(const ir_op *op, const ir_groups *g, int64_t row0, int64_t n_rows,
                    uint8_t *code, float *scale, uint8_t *zero) {
    assert(op->type.dtype == DT_i4 && g->group <= TILE_COLS);
    if (is_packed_file(op)) {
        packed_codes(op, g, row0, n_rows, code, scale, zero);
        return;
    }
    const int64_t width = g->n_groups * g->group;
    for (int64_t done = 0; done < n_rows;) {
        tile t = tile_at(op, row0 + done, n_rows - done);
        const leaf_kind *kind = kind_of(t.leaf);
        for (int64_t p = 0; p < g->n_groups; p++) {
            int32_t natural[TILE_COLS];
            const int32_t *column = columns_of(g, p, natural);
            use_group(&t, kind, kind->group_of(t.leaf, column[0]), has_f16_scales(op));
            group_codes(&t, kind, column, g->group, width, code + done * width + p * g->group);
            for (int64_t i = 0; i < t.n_rows; i++) {
                scale[(done + i) * g->n_groups + p] = t.scale[i];
                zero[(done + i) * g->n_groups + p] = t.zero[i];
            }
        }
        done += t.n_rows;
    }
}

static void store_u16(uint8_t *p, uint16_t v) {
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static void store_u32(uint8_t *p, uint32_t v) {
    store_u16(p, (uint16_t)v);
    store_u16(p + 2, (uint16_t)(v >> 16));
}

static uint32_t dword_of(const uint8_t *code) {
    uint32_t w = 0;
    for (int b = 0; b < 4; b++) w |= (uint32_t)(code[b] | code[4 + b] << 4) << 8 * b;
    return w;
}

/* Rows of one leaf on their way into a block. */
typedef struct piece {
    tile t;
    int64_t lane0; /* lanes of the block they are */
    uint8_t *block;
} piece;

/* Packed group p of a piece. */
static void pack_group(const piece *w, const leaf_kind *kind, const ir_type *type, int64_t p,
                       const int32_t *column) {
    const int64_t n_columns = ir_packed_group(type), n_rows = w->t.n_rows;
    uint8_t code[IR_BLOCK_ROWS * TILE_COLS];
    uint32_t dword[IR_BLOCK_ROWS];
    if (!kind->dwords) group_codes(&w->t, kind, column, n_columns, TILE_COLS, code);
    uint8_t *out = w->block + p * ir_block_bytes(type, 1);
    for (int64_t c = 0; c < n_columns / 8; c++) {
        uint8_t *to = out + (c * IR_BLOCK_ROWS + w->lane0) * 4;
        if (kind->dwords) kind->dwords(&w->t, column + 8 * c, dword);
        else
            for (int64_t i = 0; i < n_rows; i++) dword[i] = dword_of(code + i * TILE_COLS + 8 * c);
        for (int64_t i = 0; i < n_rows; i++) store_u32(to + 4 * i, dword[i]);
    }
    uint8_t *scale = out + n_columns / 8 * IR_BLOCK_ROWS * 4, *zero = scale + IR_BLOCK_ROWS * 2;
    for (int64_t i = 0; i < n_rows; i++) {
        store_u16(scale + 2 * (w->lane0 + i), f32_to_f16(w->t.scale[i]));
        if (type->zeros) zero[w->lane0 + i] = w->t.zero[i];
    }
}

/* Group by group, so that neighbouring blocks take the columns of a gptq weight while its pages are
 * at hand. */
static void pack_pieces(const ir_type *type, const ir_groups *g, piece *pieces, int n) {
    for (int64_t p = 0; p < g->n_groups; p++) {
        int32_t natural[TILE_COLS];
        const int32_t *column = columns_of(g, p, natural);
        for (int i = 0; i < n; i++) {
            const leaf_kind *kind = kind_of(pieces[i].t.leaf);
            use_group(&pieces[i].t, kind, kind->group_of(pieces[i].t.leaf, column[0]), true);
            pack_group(&pieces[i], kind, type, p, column);
        }
    }
}

void const_i4_blocks(const ir_op *pack, const ir_groups *g, int64_t block0, int64_t n_blocks,
                     uint8_t *out) {
    enum { AT_ONCE = 32 };
    piece pieces[AT_ONCE];
    int n_pieces = 0;
    assert(g->group <= TILE_COLS);
    for (int64_t b = 0; b < n_blocks; b++) {
        int64_t row;
        const int64_t n = const_block_rows(pack, block0 + b, &row);
        for (int64_t done = 0; done < n;) {
            pieces[n_pieces] = (piece){.t = tile_at(pack, row + done, n - done),
                                       .lane0 = done,
                                       .block = out + b * ir_block_bytes(&pack->type, g->n_groups)};
            done += pieces[n_pieces++].t.n_rows;
            if (n_pieces < AT_ONCE) continue;
            pack_pieces(&pack->type, g, pieces, n_pieces);
            n_pieces = 0;
        }
    }
    pack_pieces(&pack->type, g, pieces, n_pieces);
}
