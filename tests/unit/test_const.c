/* Values of constants against decoders written here from the formats' descriptions. */
#include <math.h>
#include <string.h>

#include "base/half.h"
#include "base/seedgen.h"
#include "ir/const.h"
#include "ir/layout.h"
#include "tests/unit/unit.h"

/* One graph with one file in memory that tests append to. */
typedef struct bench {
    arena *mem;
    diag d;
    ir_graph *g;
    uint8_t *file;
    uint64_t n;
    uint32_t random;
} bench;

enum { FILE_BYTES = 1 << 20 };

static bench *open_bench(void) {
    arena *mem = arena_open();
    bench *b = arena_new(mem, bench);
    b->mem = b->d.mem = mem;
    b->g = ir_new(mem, &b->d, "test");
    b->file = arena_array(mem, uint8_t, FILE_BYTES);
    b->n = 3; /* nothing in a file is aligned */
    ir_add_file(b->g, "memory", b->file, FILE_BYTES);
    return b;
}

static ir_range put(bench *b, const void *p, size_t bytes) {
    const ir_range r = {b->n, bytes};
    memcpy(b->file + b->n, p, bytes);
    b->n += bytes;
    if (b->n > FILE_BYTES) UNREACHABLE("file of the test");
    return r;
}

static uint32_t random_u32(bench *b) {
    b->random = b->random * 1664525u + 1013904223u;
    return b->random >> 8;
}

/* ---- an i4 tensor as codes, scales and zeros, and the gptq file made of it ---- */

typedef struct quantised {
    int64_t N, K, group, n_groups;
    bool zeros, perm;
    uint8_t *code; /* [N][K] */
    float *scale;  /* [groups][N], f16 values */
    int *zero;     /* [groups][N], 1..16 */
    int32_t *g_idx;
} quantised;

static quantised random_quantised(bench *b, int64_t N, int64_t K, int64_t group, bool zeros,
                                  bool perm) {
    quantised q = {.N = N, .K = K, .group = group, .zeros = zeros, .perm = perm};
    q.n_groups = group < 0 ? 1 : (K + group - 1) / group;
    q.code = arena_array(b->mem, uint8_t, N *K);
    q.scale = arena_array(b->mem, float, q.n_groups *N);
    q.zero = arena_array(b->mem, int, q.n_groups *N);
    q.g_idx = arena_array(b->mem, int32_t, K);
    for (int64_t i = 0; i < N * K; i++) q.code[i] = random_u32(b) & 15;
    for (int64_t i = 0; i < q.n_groups * N; i++) {
        const float s = (float)(random_u32(b) % 2001) / 1000.0f - 1.0f; /* half of them negative */
        q.scale[i] = f16_to_f32(f32_to_f16(s));
        q.zero[i] = zeros ? 1 + (int)(random_u32(b) % 16) : 8;
    }
    for (int64_t k = 0; k < K; k++) /* act-order: any map into the groups, of unequal sizes */
        q.g_idx[k] = (int32_t)(perm        ? random_u32(b) % (uint32_t)q.n_groups
                               : group < 0 ? 0
                                           : k / group);
    return q;
}

static float value_of(const quantised *q, int64_t n, int64_t k) {
    const int64_t g = q->g_idx[k] * q->N + n;
    return (float)(q->code[n * q->K + k] - q->zero[g]) * q->scale[g];
}

static ir_op *gptq_weight(bench *b, const quantised *q, ir_dtype scales_dtype) {
    const int64_t N = q->N, K = q->K;
    uint32_t *qweight = arena_array(b->mem, uint32_t, K / 8 * N);
    uint32_t *qzeros = arena_array(b->mem, uint32_t, q->n_groups *((N + 7) / 8));
    uint8_t *scales = arena_array(b->mem, uint8_t, q->n_groups *N * 4);
    for (int64_t n = 0; n < N; n++)
        for (int64_t k = 0; k < K; k++)
            qweight[k / 8 * N + n] |= (uint32_t)q->code[n * K + k] << 4 * (k % 8);
    for (int64_t g = 0; g < q->n_groups; g++)
        for (int64_t n = 0; n < N; n++) {
            if (q->zeros)
                qzeros[g * (N / 8) + n / 8] |= (uint32_t)(q->zero[g * N + n] - 1) << 4 * (n % 8);
            const float s = q->scale[g * N + n];
            const uint16_t half = scales_dtype == DT_f16 ? f32_to_f16(s) : f32_to_bf16(s);
            if (scales_dtype == DT_f32) memcpy(scales + (g * N + n) * 4, &s, 4);
            else memcpy(scales + (g * N + n) * 2, &half, 2);
        }
    ir_type t = IR_TYPE(DT_i4, N, K);
    t.layout = LAYOUT_gptq;
    t.group = q->group;
    t.zeros = q->zeros;
    t.perm = q->perm;
    ir_source s = {.kind = SOURCE_file, .scales_dtype = scales_dtype};
    s.data = put(b, qweight, (size_t)(K / 8 * N * 4));
    s.scales = put(b, scales, (size_t)(q->n_groups * N * (scales_dtype == DT_f32 ? 4 : 2)));
    if (q->zeros) s.zeros = put(b, qzeros, (size_t)(q->n_groups * N / 8 * 4));
    if (q->perm) s.perm = put(b, q->g_idx, (size_t)K * 4);
    ir_op *w = ir_add_weight(b->g, "w", t, s);
    if (!w) diag_print(&b->d, stdout);
    return w;
}

static float *rows_of(bench *b, const ir_op *op) {
    const ir_type *t = &op->type;
    float *out = arena_array(b->mem, float, t->dim[0] * t->dim[1]);
    ir_const_rows(op, 0, t->dim[0], out);
    return out;
}

static bool same(const float *a, const float *b, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (f32_bits(a[i]) != f32_bits(b[i])) return false;
    return true;
}

static bool has_values(bench *b, const ir_op *op, const quantised *q) {
    const float *got = rows_of(b, op);
    for (int64_t n = 0; n < q->N; n++)
        for (int64_t k = 0; k < q->K; k++)
            if (got[n * q->K + k] != value_of(q, n, k)) return false;
    return true;
}

/* ---- r16k8, decoded from its description in layouts.def ---- */

static bool packed_has_values(bench *b, const ir_op *pack, const uint8_t *bytes,
                              const quantised *q) {
    ir_groups g;
    if (!ir_const_groups(pack, b->mem, &b->d, &g)) return false;
    const int64_t group_bytes = g.group / 8 * 64 + 32 + (q->zeros ? 16 : 0);
    const int64_t n_rows = ir_packed_rows(pack);
    if (ir_packed_block_bytes(pack) != g.n_groups * group_bytes || n_rows % 16) return false;
    int64_t n_seen = 0;
    for (int64_t i = 0; i < n_rows; i++)
        for (int64_t p = 0; p < g.n_groups; p++) {
            const uint8_t *at = bytes + (i / 16 * g.n_groups + p) * group_bytes;
            uint16_t scale_bits;
            memcpy(&scale_bits, at + g.group / 8 * 64 + i % 16 * 2, 2);
            const float scale = f16_to_f32(scale_bits);
            const int zero = q->zeros ? at[g.group / 8 * 64 + 32 + i % 16] : 8;
            const int64_t n = ir_packed_row(pack, i);
            if (n < 0 && (scale != 0 || (q->zeros && zero))) return false; /* padding is zeros */
            for (int64_t j = 0; j < g.group; j++) {
                const uint8_t byte = at[(j / 8 * 16 + i % 16) * 4 + j % 4];
                const int code = j % 8 < 4 ? byte & 15 : byte >> 4;
                const int64_t place = p * g.group + j, k = g.column ? g.column[place] : place;
                if (n < 0) {
                    if (code) return false;
                } else if (k < 0) {
                    if (code != (zero == 16 ? 15 : zero)) return false;
                } else {
                    if ((float)(code - zero) * scale != value_of(q, n, k)) return false;
                    n_seen++;
                }
            }
        }
    return n_seen == q->N * q->K;
}

static ir_op *add_pack(bench *b, ir_op *w, ir_layout layout, const char *order) {
    const ir_attr attrs[] = {IR_I64(layout, layout), IR_STR(order, order), IR_I64(heads, 4),
                             IR_I64(kv_heads, 2),    IR_I64(head_dim, 40), IR_I64(rot, 20)};
    ir_op *p = ir_add(b->g, OP_pack, 1, &w, strcmp(order, "rope") == 0 ? 6 : 2, attrs);
    if (!p) diag_print(&b->d, stdout);
    return p;
}

static uint8_t *packed_bytes(bench *b, const ir_op *pack) {
    const int64_t n_blocks = ir_packed_rows(pack) / 16, bytes = ir_packed_block_bytes(pack);
    uint8_t *out = arena_array(b->mem, uint8_t, n_blocks *bytes);
    arena *scratch = arena_open();
    memset(out, 0xee, (size_t)(n_blocks * bytes)); /* every byte must be written */
    ir_pack_blocks(pack, 0, n_blocks / 2, scratch, out);
    ir_pack_blocks(pack, n_blocks / 2, n_blocks - n_blocks / 2, scratch,
                   out + n_blocks / 2 * bytes);
    arena_close(scratch);
    return out;
}

/* The weight that names packed bytes, as an artifact's IR has it. */
static ir_op *packed_weight(bench *b, const ir_op *pack, const uint8_t *bytes) {
    ir_source s = {.kind = SOURCE_file};
    s.data = put(b, bytes, (size_t)(ir_packed_rows(pack) / 16 * ir_packed_block_bytes(pack)));
    if (pack->type.perm) {
        ir_groups g;
        if (!ir_const_groups(pack, b->mem, &b->d, &g)) return NULL;
        s.perm = put(b, g.column, (size_t)(g.n_groups * g.group) * 4);
    }
    text t = {.mem = b->mem};
    ir_op *w = NULL;
    ir_attr keep[ATTR_COUNT];
    int n = 0;
    for (int i = 0; i < pack->n_attrs; i++)
        if (pack->attrs[i].key != ATTR_layout) keep[n++] = pack->attrs[i];
    /* through text: ir_add_weight takes no attributes */
    text_printf(&t, "file 0 \"memory\" {bytes=%d}\n%%0 = weight \"p\" {file=0, data=%llu+%llu",
                FILE_BYTES, (unsigned long long)s.data.offset, (unsigned long long)s.data.bytes);
    if (s.perm.bytes)
        text_printf(&t, ", perm=%llu+%llu", (unsigned long long)s.perm.offset,
                    (unsigned long long)s.perm.bytes);
    for (int i = 0; i < n; i++)
        if (keep[i].key == ATTR_order) text_printf(&t, ", order=\"%s\"", keep[i].str);
        else text_printf(&t, ", %s=%lld", ir_attr_name[keep[i].key], (long long)keep[i].i64);
    text_cat(&t, "} : ");
    ir_print_type(&pack->type, &t);
    ir_graph *g = ir_parse(text_str(&t), "packed", b->mem, &b->d);
    if (!g) {
        diag_print(&b->d, stdout);
        return NULL;
    }
    g->file[0].at = b->file;
    w = g->first;
    if (!ir_verify(g)) diag_print(&b->d, stdout);
    return w;
}

static const struct quantised_case {
    int64_t N, K, group;
    bool zeros, perm;
    const char *order;
} TENSORS[] = {
    {16, 64, 32, false, false, "natural"}, {48, 256, 128, true, false, "natural"},
    {24, 160, -1, true, false, "natural"}, {40, 128, -1, false, false, "natural"},
    {56, 96, 20, true, false, "natural"},  {32, 104, 32, true, false, "swiglu"},
    {72, 512, 200, true, false, "swiglu"}, {72, 640, 256, false, false, "natural"},
    {64, 96, 32, true, true, "natural"},   {32, 128, 16, false, true, "swiglu"},
    {64, 400, 160, true, true, "natural"}, {320, 64, 32, true, false, "rope"},
    {320, 96, 32, true, true, "rope"},     {8, 8, 1, true, false, "natural"},
    {16, 384, 128, true, true, "natural"}, {8, 64, 1000, true, false, "natural"},
    {152, 72, 24, true, false, "natural"},
};

static void test_gptq(void) {
    for (size_t i = 0; i < COUNT_OF(TENSORS); i++) {
        bench *b = open_bench();
        b->random = (uint32_t)i;
        const quantised q = random_quantised(b, TENSORS[i].N, TENSORS[i].K, TENSORS[i].group,
                                             TENSORS[i].zeros, TENSORS[i].perm);
        ir_op *w = gptq_weight(b, &q, DT_f16);
        CU_ASSERT(has_values(b, w, &q));
        ir_op *dense = ir_add(b->g, OP_dequant, 1, &w, 0, NULL);
        CU_ASSERT(has_values(b, dense, &q));
        CU_ASSERT(ir_verify(b->g));
        /* part of the rows, starting anywhere */
        float *three = arena_array(b->mem, float, 3 * q.K);
        ir_const_rows(w, q.N - 3, 3, three);
        for (int64_t k = 0; k < 3 * q.K; k++)
            CU_ASSERT(three[k] == value_of(&q, q.N - 3 + k / q.K, k % q.K));
        arena_close(b->mem);
    }
}

static void test_scale_types(void) {
    const ir_dtype types[] = {DT_f16, DT_bf16, DT_f32};
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        bench *b = open_bench();
        quantised q = random_quantised(b, 16, 64, 32, true, false);
        for (int64_t s = 0; s < q.n_groups * q.N; s++) { /* values that only this type holds */
            const float v = 0.1f * (float)(s + 1);
            q.scale[s] = types[i] == DT_f32   ? v
                         : types[i] == DT_f16 ? f16_to_f32(f32_to_f16(v))
                                              : bf16_to_f32(f32_to_bf16(v));
        }
        ir_op *w = gptq_weight(b, &q, types[i]), *pack = add_pack(b, w, LAYOUT_r16k8, "natural");
        CU_ASSERT(has_values(b, w, &q));
        /* packing rounds scales to f16, and the packed constant says so before it is written */
        for (int64_t s = 0; s < q.n_groups * q.N; s++)
            q.scale[s] = f16_to_f32(f32_to_f16(q.scale[s]));
        CU_ASSERT(has_values(b, pack, &q));
        CU_ASSERT(packed_has_values(b, pack, packed_bytes(b, pack), &q));
        arena_close(b->mem);
    }
}

static void test_pack_i4(void) {
    for (size_t i = 0; i < COUNT_OF(TENSORS); i++) {
        bench *b = open_bench();
        b->random = (uint32_t)(100 + i);
        const quantised q = random_quantised(b, TENSORS[i].N, TENSORS[i].K, TENSORS[i].group,
                                             TENSORS[i].zeros, TENSORS[i].perm);
        ir_op *w = gptq_weight(b, &q, DT_f16),
              *pack = add_pack(b, w, LAYOUT_r16k8, TENSORS[i].order);
        const uint8_t *bytes = packed_bytes(b, pack);
        CU_ASSERT(packed_has_values(b, pack, bytes, &q));
        CU_ASSERT(has_values(b, pack, &q));
        ir_op *back = packed_weight(b, pack, bytes);
        CU_ASSERT_PTR_NOT_NULL_FATAL(back);
        CU_ASSERT(has_values(b, back, &q));
        CU_ASSERT(memcmp(packed_bytes(b, back), bytes,
                         (size_t)(ir_packed_rows(pack) / 16 * ir_packed_block_bytes(pack))) == 0);
        arena_close(b->mem);
    }
}

/* ir_const_codes of a gptq weight, of its packed form in a file, and of what the packed bytes hold.
 */
static void test_codes(void) {
    for (size_t i = 0; i < COUNT_OF(TENSORS); i++) {
        bench *b = open_bench();
        b->random = (uint32_t)(200 + i);
        const quantised q = random_quantised(b, TENSORS[i].N, TENSORS[i].K, TENSORS[i].group,
                                             TENSORS[i].zeros, TENSORS[i].perm);
        ir_op *w = gptq_weight(b, &q, DT_f16),
              *pack = add_pack(b, w, LAYOUT_r16k8, TENSORS[i].order);
        ir_op *ops[] = {w, pack, packed_weight(b, pack, packed_bytes(b, pack))};
        for (size_t o = 0; o < COUNT_OF(ops); o++) {
            ir_groups g;
            CU_ASSERT_FATAL(ir_const_groups(ops[o], b->mem, &b->d, &g));
            CU_ASSERT(g.group % 8 == 0 && g.group == ir_packed_group(&w->type));
            CU_ASSERT(g.n_groups <= ir_max_packed_groups(&w->type));
            if (!q.perm) CU_ASSERT(g.n_groups == ir_max_packed_groups(&w->type));
            const int64_t width = g.n_groups * g.group, row0 = q.N / 3, n = q.N - row0;
            uint8_t *code = arena_array(b->mem, uint8_t, n *width),
                    *zero = arena_array(b->mem, uint8_t, n *width);
            float *scale = arena_array(b->mem, float, n *width);
            ir_const_codes(ops[o], &g, row0, n, code, scale, zero);
            int64_t n_seen = 0;
            for (int64_t j = 0; j < n * width; j++) {
                const int64_t k = g.column ? g.column[j % width] : j % width, p = j / g.group;
                if (k < 0) {
                    CU_ASSERT(code[j] == (zero[p] == 16 ? 15 : zero[p]));
                    continue;
                }
                const int64_t row = row0 + j / width, at = q.g_idx[k] * q.N + row;
                CU_ASSERT(code[j] == q.code[row * q.K + k]);
                CU_ASSERT(zero[p] == q.zero[at] && scale[p] == q.scale[at]);
                n_seen++;
            }
            CU_ASSERT(n_seen == n * q.K);
        }
        arena_close(b->mem);
    }
}

static void test_joined(void) {
    bench *b = open_bench();
    b->random = 7;
    /* three tensors, one without zeros, of sizes that put the seams inside tiles and blocks */
    const quantised q[] = {random_quantised(b, 24, 64, 32, true, false),
                           random_quantised(b, 8, 64, 32, false, false),
                           random_quantised(b, 72, 64, 32, true, false)};
    ir_op *w[3];
    for (int i = 0; i < 3; i++) w[i] = gptq_weight(b, &q[i], DT_f16);
    ir_op *all = ir_add(b->g, OP_concat_rows, 3, w, 0, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(all);
    CU_ASSERT(all->type.zeros && all->type.dim[0] == 104);
    quantised joined = random_quantised(b, 104, 64, 32, true, false);
    for (int64_t n = 0, i = 0, first = 0; n < 104; n++) {
        if (n == first + q[i].N) first += q[i++].N;
        memcpy(joined.code + n * 64, q[i].code + (n - first) * 64, 64);
        for (int64_t g = 0; g < 2; g++) {
            joined.scale[g * 104 + n] = q[i].scale[g * q[i].N + n - first];
            joined.zero[g * 104 + n] = q[i].zero[g * q[i].N + n - first];
        }
    }
    CU_ASSERT(has_values(b, all, &joined));
    ir_op *pack = add_pack(b, all, LAYOUT_r16k8, "swiglu");
    CU_ASSERT(packed_has_values(b, pack, packed_bytes(b, pack), &joined));
    CU_ASSERT(ir_same_columns(w[0], w[1]) && ir_same_columns(all, w[2]));
    arena_close(b->mem);
}

static void test_same_columns(void) {
    bench *b = open_bench();
    quantised q = random_quantised(b, 16, 64, 32, true, true);
    ir_op *w[] = {gptq_weight(b, &q, DT_f16), gptq_weight(b, &q, DT_f16), NULL};
    q.g_idx[5] ^= 1;
    w[2] = gptq_weight(b, &q, DT_f16);
    CU_ASSERT(ir_same_columns(w[0], w[1]));
    CU_ASSERT(!ir_same_columns(w[0], w[2]));
    ir_op *alike = ir_add(b->g, OP_concat_rows, 2, w, 0, NULL);
    CU_ASSERT(alike && ir_verify(b->g));
    CU_ASSERT(ir_same_columns(alike, w[1]));
    ir_op *unlike = ir_add(b->g, OP_concat_rows, 3, w, 0, NULL);
    CU_ASSERT(unlike && !ir_verify(b->g));
    CU_ASSERT(b->d.first && b->d.first->code == DIAG_IR_PERM);
    b->g->file[0].at = NULL; /* not mapped: only the same bytes are known to be the same */
    CU_ASSERT(ir_same_columns(w[0], w[0]) && !ir_same_columns(w[0], w[1]));
    arena_close(b->mem);
}

static void test_bad_g_idx(void) {
    const int32_t bad[] = {-1, 2, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        bench *b = open_bench();
        quantised q = random_quantised(b, 16, 64, 32, true, true);
        q.g_idx[63] = bad[i];
        ir_op *w = gptq_weight(b, &q, DT_f16);
        ir_groups g;
        CU_ASSERT(!ir_const_groups(w, b->mem, &b->d, &g));
        CU_ASSERT(!ir_verify(b->g));
        CU_ASSERT(b->d.n_errors == 2 && b->d.first->code == DIAG_IR_PERM);
        arena_close(b->mem);
    }
}

/* ---- dense ---- */

static const ir_dtype DENSE[] = {DT_f32, DT_f16, DT_bf16, DT_f64};

static float rounded(ir_dtype dtype, float v) {
    if (dtype == DT_f16) return f16_to_f32(f32_to_f16(v));
    return dtype == DT_bf16 ? bf16_to_f32(f32_to_bf16(v)) : v;
}

static ir_op *dense_weight(bench *b, ir_dtype dtype, int64_t N, int64_t K, float *value) {
    const size_t bytes = (size_t)ir_dtype_info[dtype].bits / 8;
    uint8_t *data = arena_array(b->mem, uint8_t, (size_t)(N * K) * bytes);
    for (int64_t i = 0; i < N * K; i++) {
        value[i] = rounded(dtype, ((float)random_u32(b) - 8388608.0f) / 4194304.0f);
        const double wide = value[i];
        const uint16_t half = dtype == DT_f16 ? f32_to_f16(value[i]) : f32_to_bf16(value[i]);
        memcpy(data + (size_t)i * bytes,
               bytes == 8   ? (const void *)&wide
               : bytes == 4 ? (void *)&value[i]
                            : (void *)&half,
               bytes);
    }
    const ir_source s = {.kind = SOURCE_file, .data = put(b, data, (size_t)(N * K) * bytes)};
    return ir_add_weight(b->g, "w", IR_TYPE(dtype, N, K), s);
}

static void test_dense(void) {
    for (size_t i = 0; i < COUNT_OF(DENSE); i++) {
        bench *b = open_bench();
        float *want = arena_array(b->mem, float, 37 * 83);
        ir_op *w = dense_weight(b, DENSE[i], 37, 83, want);
        CU_ASSERT(same(rows_of(b, w), want, 37 * 83));
        ir_op *cast = ir_add(b->g, OP_cast, 1, &w, 1, &IR_I64(to, DT_bf16));
        const float *narrow = rows_of(b, cast);
        for (int64_t j = 0; j < 37 * 83; j++) CU_ASSERT(narrow[j] == rounded(DT_bf16, want[j]));
        arena_close(b->mem);
    }
}

/* [N/16][K / pair][16][pair] from layouts.def, and reading back. */
static void test_pack_dense(void) {
    static const struct {
        ir_dtype dtype;
        ir_layout layout;
        int64_t pair, N, K;
        const char *order;
    } DENSE_CASES[] = {
        {DT_f32, LAYOUT_r16k1, 1, 20, 300, "natural"},
        {DT_f16, LAYOUT_r16k1, 1, 16, 7, "natural"},
        {DT_f16, LAYOUT_r16k1, 1, 320, 70, "rope"},
        {DT_bf16, LAYOUT_r16k2, 2, 33, 259, "natural"},
        {DT_bf16, LAYOUT_r16k2, 2, 134, 64, "swiglu"},
        {DT_bf16, LAYOUT_r16k2, 2, 320, 31, "rope"},
        {DT_f32, LAYOUT_r16k1, 1, 134, 320, "swiglu"},
    };
    for (size_t i = 0; i < COUNT_OF(DENSE_CASES); i++) {
        bench *b = open_bench();
        b->random = (uint32_t)i;
        const int64_t N = DENSE_CASES[i].N, K = DENSE_CASES[i].K, pair = DENSE_CASES[i].pair;
        const size_t bytes = (size_t)ir_dtype_info[DENSE_CASES[i].dtype].bits / 8;
        float *want = arena_array(b->mem, float, N *K);
        ir_op *w = dense_weight(b, DENSE_CASES[i].dtype, N, K, want);
        ir_op *pack = add_pack(b, w, DENSE_CASES[i].layout, DENSE_CASES[i].order);
        CU_ASSERT_PTR_NOT_NULL_FATAL(pack);
        const uint8_t *packed = packed_bytes(b, pack);
        const int64_t Kp = (K + pair - 1) / pair * pair;
        CU_ASSERT_EQUAL(ir_packed_block_bytes(pack), 16 * Kp * (int64_t)bytes);
        int64_t n_seen = 0;
        for (int64_t place = 0; place < ir_packed_rows(pack); place++)
            for (int64_t k = 0; k < Kp; k++) {
                const uint8_t *at =
                    packed +
                    (size_t)(((place / 16 * (Kp / pair) + k / pair) * 16 + place % 16) * pair +
                             k % pair) *
                        bytes;
                const int64_t n = ir_packed_row(pack, place);
                uint32_t bits = 0, want_bits = 0;
                memcpy(&bits, at, bytes);
                if (n >= 0 && k < K) {
                    const float v = want[n * K + k];
                    want_bits = bytes == 4  ? f32_bits(v)
                                : pair == 2 ? f32_to_bf16(v)
                                            : f32_to_f16(v);
                    n_seen++;
                }
                CU_ASSERT(bits == want_bits);
            }
        CU_ASSERT(n_seen == N * K);
        CU_ASSERT(same(rows_of(b, pack), want, N * K));
        CU_ASSERT(same(rows_of(b, packed_weight(b, pack, packed)), want, N * K));
        arena_close(b->mem);
    }
}

/* ---- quant ---- */

static void test_quant(void) {
    static const struct {
        int64_t K, group;
    } QUANT_CASES[] = {{64, 32}, {70, 32}, {160, -1}, {300, 200}, {8, 128}};
    for (size_t i = 0; i < COUNT_OF(QUANT_CASES); i++) {
        bench *b = open_bench();
        const int64_t N = 70, K = QUANT_CASES[i].K,
                      group = QUANT_CASES[i].group < 0 ? K : QUANT_CASES[i].group;
        float *w = arena_array(b->mem, float, N *K);
        ir_op *dense = dense_weight(b, DT_f32, N, K, w);
        ir_op *q = ir_add(b->g, OP_quant, 1, &dense, 2,
                          (ir_attr[]){IR_I64(to, DT_i4), IR_I64(group, QUANT_CASES[i].group)});
        CU_ASSERT_PTR_NOT_NULL_FATAL(q);
        const float *got = rows_of(b, q);
        for (int64_t n = 0; n < N; n++)
            for (int64_t first = 0; first < K; first += group) {
                float largest = 0;
                for (int64_t k = first; k < K && k < first + group; k++)
                    if (fabsf(w[n * K + k]) > fabsf(largest)) largest = w[n * K + k];
                const float scale = rounded(DT_f16, largest / -8);
                for (int64_t k = first; k < K && k < first + group; k++) {
                    float steps = nearbyintf(w[n * K + k] / scale); /* -8 .. 7 */
                    steps = steps < -8 ? -8 : steps > 7 ? 7 : steps;
                    CU_ASSERT(got[n * K + k] == steps * scale);
                    /* half a step, a whole one at the short end */
                    CU_ASSERT(fabsf(got[n * K + k] - w[n * K + k]) <= fabsf(scale) * 1.01f);
                }
            }
        ir_op *pack = add_pack(b, q, LAYOUT_r16k8, "natural");
        CU_ASSERT(same(rows_of(b, pack), got, N * K));
        ir_op *back = packed_weight(b, pack, packed_bytes(b, pack));
        CU_ASSERT(same(rows_of(b, back), got, N * K));
        arena_close(b->mem);
    }
}

static void test_quant_extremes(void) {
    bench *b = open_bench();
    const float w[3 * 32] = {[1] = 1e30f, [32] = NAN, [33] = 1, [64 + 5] = INFINITY};
    const ir_source s = {.kind = SOURCE_file, .data = put(b, w, sizeof w)};
    ir_op *dense = ir_add_weight(b->g, "w", IR_TYPE(DT_f32, 3, 32), s);
    ir_op *q =
        ir_add(b->g, OP_quant, 1, &dense, 2, (ir_attr[]){IR_I64(to, DT_i4), IR_I64(group, 32)});
    const float *got = rows_of(b, q);
    for (int i = 0; i < 96; i++) CU_ASSERT(isfinite(got[i]));
    CU_ASSERT(got[1] == 8 * 65504.0f && got[0] == 0);
    CU_ASSERT(got[33] == 1);
    arena_close(b->mem);
}

/* ---- seeds ---- */

/* bits of the first and last number, from a second implementation of seedgen.h */
static const uint32_t SEED42_FIRST = 0xbcfaf228, SEED42_LAST = 0xbc0cab39;

static void test_seed(void) {
    bench *b = open_bench();
    const ir_source s = {.kind = SOURCE_seed, .seed = 42};
    ir_op *w = ir_add_weight(b->g, "w", IR_TYPE(DT_f32, 64, 1000), s);
    ir_op *norm = ir_add_weight(b->g, "n", IR_TYPE(DT_bf16, 1000), s);
    const float *v = rows_of(b, w);
    double sum = 0, squares = 0;
    for (int i = 0; i < 64000; i++) sum += v[i], squares += (double)v[i] * v[i];
    CU_ASSERT_DOUBLE_EQUAL(sum / 64000, 0, 1e-3);
    CU_ASSERT_DOUBLE_EQUAL(sqrt(squares / 64000), 1 / sqrt(1000.0), 3e-4);
    /* the same on every machine: these bits may never change */
    CU_ASSERT_EQUAL(f32_bits(v[0]), SEED42_FIRST);
    CU_ASSERT_EQUAL(f32_bits(v[63999]), SEED42_LAST);
    float *n = arena_array(b->mem, float, 1000), row[1000];
    ir_const_rows(norm, 0, 1, n);
    for (int i = 0; i < 1000; i++)
        CU_ASSERT(n[i] >= 0.75f && n[i] <= 1.25f && n[i] == rounded(DT_bf16, n[i]));
    ir_const_rows(w, 17, 1, row);
    CU_ASSERT(same(row, v + 17000, 1000)); /* any row alone */
    arena_close(b->mem);
}

static void test_seed_i4(void) {
    for (int variant = 0; variant < 4; variant++) {
        bench *b = open_bench();
        ir_type t = IR_TYPE(DT_i4, 128, 1000);
        t.group = variant == 3 ? -1 : 32;
        t.zeros = variant & 1;
        t.perm = variant == 2;
        ir_op *w = ir_add_weight(b->g, "w", t, (ir_source){.kind = SOURCE_seed, .seed = 5});
        const float *v = rows_of(b, w);
        double squares = 0;
        for (int i = 0; i < 128000; i++) squares += (double)v[i] * v[i];
        CU_ASSERT_DOUBLE_EQUAL(sqrt(squares / 128000) * sqrt(1000), 1, 0.1);
        ir_groups g;
        CU_ASSERT_FATAL(ir_const_groups(w, b->mem, &b->d, &g));
        uint8_t *code = arena_array(b->mem, uint8_t, 128 * g.n_groups * g.group);
        uint8_t *zero = arena_array(b->mem, uint8_t, 128 * g.n_groups);
        float *scale = arena_array(b->mem, float, 128 * g.n_groups);
        ir_const_codes(w, &g, 0, 128, code, scale, zero);
        int n_negative = 0, n_code[16] = {0};
        for (int64_t i = 0; i < 128 * g.n_groups; i++) {
            n_negative += scale[i] < 0;
            CU_ASSERT(t.zeros ? zero[i] >= 1 && zero[i] <= 15 : zero[i] == 8);
        }
        CU_ASSERT(n_negative > 128 * g.n_groups / 8 && n_negative < 128 * g.n_groups / 2);
        for (int64_t i = 0; i < 128 * g.n_groups * g.group; i++) {
            const int64_t k = g.column ? g.column[i % (g.n_groups * g.group)] : i;
            if (k >= 0) n_code[code[i]]++;
        }
        for (int c = 0; c < 16; c++) CU_ASSERT(n_code[c] > 7000 && n_code[c] < 9000);
        ir_op *pack = add_pack(b, w, LAYOUT_r16k8, "natural");
        CU_ASSERT(same(rows_of(b, packed_weight(b, pack, packed_bytes(b, pack))), v, 128000));
        t.layout = LAYOUT_r16k8; /* packed by name alone: the same blocks */
        ir_op *made = ir_add_weight(b->g, "w", t, (ir_source){.kind = SOURCE_seed, .seed = 5});
        CU_ASSERT(memcmp(packed_bytes(b, made), packed_bytes(b, pack),
                         (size_t)(ir_packed_rows(pack) / 16 * ir_packed_block_bytes(pack))) == 0);
        CU_ASSERT(same(rows_of(b, made), v, 128000));
        if (t.perm) CU_ASSERT(g.column[0] != 0 || g.column[1] != 1);
        arena_close(b->mem);
    }
}

/* Every column once, for sizes with many divisors and for primes. */
static void test_seed_permutation(void) {
    const int64_t sizes[] = {1, 2, 8, 96, 127, 1000, 5120};
    for (size_t i = 0; i < COUNT_OF(sizes); i++)
        for (uint64_t seed = 0; seed < 20; seed++) {
            bool seen[5120] = {0};
            const seedgen_columns c = seedgen_permutation(seed, (uint64_t)sizes[i]);
            for (int64_t k = 0; k < sizes[i]; k++) {
                const uint64_t at = seedgen_column(&c, (uint64_t)k);
                CU_ASSERT_FATAL(at < (uint64_t)sizes[i] && !seen[at]);
                seen[at] = true;
            }
        }
}

/* One number of each kind, from a second implementation. */
static void test_seed_bits(void) {
    uint8_t code;
    seedgen_codes(5, 77, 345, 1, 1000, &code);
    CU_ASSERT_EQUAL(code, 8);
    CU_ASSERT_EQUAL(seedgen_scale(5, 77, 10, 32, 1000, 1), 0x1df0);
    CU_ASSERT_EQUAL(seedgen_zero(5, 77, 10, 32), 11);
    const seedgen_columns c = seedgen_permutation(5, 1000);
    CU_ASSERT_EQUAL(seedgen_column(&c, 345), 441);
}

static void test_not_ready(void) {
    bench *b = open_bench();
    CU_ASSERT(ir_weights_ready(b->g));
    ir_add_weight(b->g, "w", IR_TYPE(DT_f32, 1), (ir_source){.kind = SOURCE_file, .data = {0, 4}});
    CU_ASSERT(ir_weights_ready(b->g));
    b->g->file[0].at = NULL;
    CU_ASSERT(!ir_weights_ready(b->g));
    b->g->file[0].at = b->file;
    ir_add_weight(b->g, "v", IR_TYPE(DT_f32, 1), (ir_source){0});
    CU_ASSERT(!ir_weights_ready(b->g));
    CU_ASSERT(b->d.n_errors == 2 && b->d.last->code == DIAG_IR_SOURCE);
    arena_close(b->mem);
}

UNIT_MAIN("const", {"gptq", test_gptq}, {"scale types", test_scale_types},
          {"pack i4", test_pack_i4}, {"codes", test_codes}, {"joined", test_joined},
          {"same columns", test_same_columns}, {"bad g_idx", test_bad_g_idx}, {"dense", test_dense},
          {"pack dense", test_pack_dense}, {"quant", test_quant},
          {"quant of extremes", test_quant_extremes}, {"seed", test_seed},
          {"seed i4", test_seed_i4}, {"seed bits", test_seed_bits},
          {"seed permutation", test_seed_permutation}, {"not ready", test_not_ready})
