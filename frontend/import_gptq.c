/* import_gptq.c - 4-bit matrices in GPTQ's packing, version 1.
 *
 * Parts of module X, for W[n, k]:  qweight i32[k/8, n], qzeros i32[groups, n/8], scales [groups,
 * n], and g_idx i32[k], which may be absent.  Layout and arithmetic: ir/layouts.def, row gptq.
 * Sources: AutoGPTQ, nn_modules/qlinear; auto-round, export_to_autogptq.
 *
 * Two things are found by looking at the bytes: whether all zero points are 8, which kernels
 * exploit, and whether g_idx is anything but k / group, which calls for a reordering.
 */
#include <math.h>
#include <string.h>

#include "base/half.h"
#include "frontend/import.h"

static uint32_t load_u32(const uint8_t *p) {
    uint32_t v;
    memcpy(&v, p, sizeof v); /* tensors need not be aligned; both targets are little endian */
    return v;
}

static const fe_tensor *take_i32(fe_importer *im, const char *name, const char *missing, int rank,
                                 const int64_t *dim) {
    const fe_tensor *t = fe_take_tensor(im, name, missing, rank, dim);
    if (t && t->st->dtype != DT_i32) {
        fe_wrong_dtype(im, t, "I32");
        return NULL;
    }
    return t;
}

static float load_scale(ir_dtype dtype, const uint8_t *p) {
    if (dtype == DT_f32) return f32_from_bits(load_u32(p));
    uint16_t h;
    memcpy(&h, p, sizeof h);
    return dtype == DT_f16 ? f16_to_f32(h) : bf16_to_f32(h);
}

/* Kernels read scales in f16; from here on one rounds to infinity. */
static const float F16_OVERFLOW = 65520;

static const fe_tensor *take_scales(fe_importer *im, const char *name, int64_t groups, int64_t n) {
    const fe_tensor *t = fe_take_tensor(im, name, NULL, 2, (int64_t[]){groups, n});
    if (!t) return NULL;
    const ir_dtype dtype = t->st->dtype;
    if (dtype != DT_f16 && dtype != DT_bf16 && dtype != DT_f32) {
        fe_wrong_dtype(im, t, "F16, BF16 or F32");
        return NULL;
    }
    const uint8_t *p = fe_tensor_bytes(im->shards, t);
    const int64_t size = ir_dtype_info[dtype].bits / 8;
    for (int64_t i = 0; i < groups * n; i++) {
        const float scale = load_scale(dtype, p + i * size);
        if (fabsf(scale) < F16_OVERFLOW) continue;
        diag_error(im->d, DIAG_TENSOR_VALUE, (diag_loc){.file = t->path, .tensor = name},
                   isfinite(scale) ? "scale %lld is %.9g (expected at most 65504, as f16 holds)"
                                   : "scale %lld is infinite or no number",
                   (long long)i, (double)scale);
        return NULL;
    }
    return t;
}

/* Whether a stored zero is other than 7, which stands for 8. */
static bool has_zeros(const fe_importer *im, const fe_tensor *qzeros) {
    const uint8_t *p = fe_tensor_bytes(im->shards, qzeros);
    for (uint64_t i = 0; i < qzeros->range.bytes; i += sizeof(uint32_t))
        if (load_u32(p + i) != 0x77777777u) return true;
    return false;
}

/* *reordered: some input is not in group k / group. */
static bool check_g_idx(const fe_importer *im, const fe_tensor *t, int64_t k, int64_t group,
                        int64_t groups, bool *reordered) {
    const uint8_t *p = fe_tensor_bytes(im->shards, t);
    for (int64_t i = 0; i < k; i++) {
        const int32_t g = (int32_t)load_u32(p + i * (int64_t)sizeof(int32_t));
        if (g < 0 || g >= groups)
            return diag_error(im->d, DIAG_TENSOR_VALUE,
                              (diag_loc){.file = t->path, .tensor = t->st->name},
                              "g_idx of input %lld names no group (found %d, expected 0 to %lld)",
                              (long long)i, g, (long long)groups - 1);
        *reordered |= g != i / group;
    }
    return true;
}

ir_op *fe_import_gptq(fe_importer *im, const char *module, int64_t n, int64_t k) {
    const char *name[PART_COUNT];
    for (int part = 0; part < PART_COUNT; part++)
        name[part] = fe_part_name(module, (fe_part)part, im->mem);
    if (n % 8 || k % 8) {
        diag_error(im->d, DIAG_TENSOR_SHAPE,
                   (diag_loc){.file = im->shards->path, .tensor = name[PART_qweight]},
                   "a packed matrix of shape [%lld, %lld] (expected multiples of 8)", (long long)n,
                   (long long)k);
        return NULL;
    }
    ir_type type = IR_TYPE(DT_i4, n, k);
    type.layout = LAYOUT_gptq;
    type.group = im->quant->group;
    const int64_t groups = ir_n_groups(&type), group = type.group < 0 ? k : type.group;

    const char *why = arena_printf(im->mem, "%s says that the weights are packed", im->quant->file);
    const fe_tensor *qweight = take_i32(im, name[PART_qweight], why, 2, (int64_t[]){k / 8, n});
    const fe_tensor *scales = qweight ? take_scales(im, name[PART_scales], groups, n) : NULL;
    const fe_tensor *qzeros =
        scales ? take_i32(im, name[PART_qzeros], NULL, 2, (int64_t[]){groups, n / 8}) : NULL;
    if (!qzeros) return NULL;
    type.zeros = has_zeros(im, qzeros);

    const fe_tensor *g_idx = NULL;
    if ((im->quant->act_order && groups > 1) || fe_find_tensor(im->shards, name[PART_g_idx])) {
        g_idx =
            take_i32(im, name[PART_g_idx], "the weights are in the order of activations", 1, &k);
        if (!g_idx || !check_g_idx(im, g_idx, k, group, groups, &type.perm)) return NULL;
    }
    const ir_source source = {
        .kind = SOURCE_file,
        .file = im->file,
        .data = qweight->range,
        .scales = scales->range,
        .zeros = type.zeros ? qzeros->range : (ir_range){0},
        .perm = type.perm ? g_idx->range : (ir_range){0},
        .scales_dtype = scales->st->dtype,
    };
    return ir_add_weight(im->g, name[PART_qweight], type, source);
}
