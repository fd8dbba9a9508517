/* lb_vec.c - vector operations, and the only place that knows an instruction of an instruction set.
 */
#include "codegen/cpu/lb_vec.h"

#include <assert.h>
#include <string.h>

/* ---- helpers ---- */

static lbv call(lb *b, const char *name, lbt *overload, unsigned n_overload, lbv *arg, unsigned n) {
    const unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    assert(id && "an intrinsic that LLVM 19 does not know");
    lbv f = LLVMGetIntrinsicDeclaration(b->mod, id, overload, n_overload);
    return LLVMBuildCall2(b->at, LLVMIntrinsicGetType(b->cx, id, overload, n_overload), f, arg, n,
                          "");
}

static lbv call_typed(lb *b, const char *name, lbv *arg, unsigned n) {
    lbt t = LLVMTypeOf(arg[0]);
    return call(b, name, &t, 1, arg, n);
}

static lbv const_lanes(lb *b, const int *v, int n) {
    lbv lane[64];
    for (int i = 0; i < n; i++) lane[i] = LLVMConstInt(b->i32, (unsigned long long)v[i], 1);
    return LLVMConstVector(lane, (unsigned)n);
}

/* lanes from .. from + n of v */
static lbv part(lb *b, lbv v, int from, int n) {
    int pick[LB_LANES];
    for (int i = 0; i < n; i++) pick[i] = from + i;
    return LLVMBuildShuffleVector(b->at, v, LLVMGetUndef(LLVMTypeOf(v)), const_lanes(b, pick, n),
                                  "");
}

static lbv join(lb *b, lbv low, lbv high) {
    int pick[LB_LANES];
    const int n = 2 * (int)LLVMGetVectorSize(LLVMTypeOf(low));
    for (int i = 0; i < n; i++) pick[i] = i;
    return LLVMBuildShuffleVector(b->at, low, high, const_lanes(b, pick, n), "");
}

static lbv bits(lb *b, lbv v, lbt to) { return LLVMBuildBitCast(b->at, v, to, ""); }

/* ---- f32 ---- */

lbv lb_f(lb *b, float v) { return LLVMConstReal(b->f32, (double)v); }
lbv lb_fadd(lb *b, lbv x, lbv y) { return LLVMBuildFAdd(b->at, x, y, ""); }
lbv lb_fsub(lb *b, lbv x, lbv y) { return LLVMBuildFSub(b->at, x, y, ""); }
lbv lb_fmul(lb *b, lbv x, lbv y) { return LLVMBuildFMul(b->at, x, y, ""); }
lbv lb_fdiv(lb *b, lbv x, lbv y) { return LLVMBuildFDiv(b->at, x, y, ""); }
lbv lb_fneg(lb *b, lbv x) { return LLVMBuildFNeg(b->at, x, ""); }
lbv lb_fabs(lb *b, lbv x) { return call_typed(b, "llvm.fabs", (lbv[]){x}, 1); }
lbv lb_fma(lb *b, lbv x, lbv y, lbv acc) {
    return call_typed(b, "llvm.fma", (lbv[]){x, y, acc}, 3);
}
lbv lb_fgt(lb *b, lbv x, lbv y) { return LLVMBuildFCmp(b->at, LLVMRealOGT, x, y, ""); }
lbv lb_fmax(lb *b, lbv x, lbv y) { return lb_select(b, lb_fgt(b, x, y), x, y); }
lbv lb_fmin(lb *b, lbv x, lbv y) { return lb_select(b, lb_fgt(b, y, x), x, y); }
lbv lb_fsqrt(lb *b, lbv x) { return call_typed(b, "llvm.sqrt", (lbv[]){x}, 1); }
lbv lb_fround(lb *b, lbv x) { return call_typed(b, "llvm.roundeven", (lbv[]){x}, 1); }

/* ---- lanes ---- */

lbv lb_vzero(lb *b) { return LLVMConstNull(b->vf); }
lbv lb_vizero(lb *b) { return LLVMConstNull(b->vi); }

lbv lb_splat(lb *b, lbv scalar) {
    lbt t = LLVMVectorType(LLVMTypeOf(scalar), LB_LANES);
    lbv one =
        LLVMBuildInsertElement(b->at, LLVMGetUndef(t), scalar, LLVMConstInt(b->i32, 0, 0), "");
    lbv zeros = LLVMConstNull(LLVMVectorType(b->i32, LB_LANES));
    return LLVMBuildShuffleVector(b->at, one, LLVMGetUndef(t), zeros, "");
}

lbv lb_vf(lb *b, float v) { return lb_splat(b, lb_f(b, v)); }
lbv lb_vint(lb *b, int32_t v) {
    return lb_splat(b, LLVMConstInt(b->i32, (unsigned long long)v, 1));
}

lbv lb_lane_ids(lb *b) {
    int id[LB_LANES];
    for (int i = 0; i < LB_LANES; i++) id[i] = i;
    return const_lanes(b, id, LB_LANES);
}

lbv lb_lane(lb *b, lbv v, int lane) {
    return LLVMBuildExtractElement(b->at, v, LLVMConstInt(b->i32, (unsigned long long)lane, 0), "");
}

lbv lb_mask_below(lb *b, lbv n) {
    const lbv at_most = lb_min(b, n, lb_int(b, LB_LANES));
    return LLVMBuildICmp(b->at, LLVMIntSLT, lb_lane_ids(b),
                         lb_splat(b, lb_trunc(b, at_most, b->i32)), "");
}

static lbv reduce(lb *b, lbv v, lbv (*combine)(lb *, lbv, lbv)) {
    for (int n = LB_LANES / 2; n > 1; n /= 2) v = combine(b, part(b, v, 0, n), part(b, v, n, n));
    return combine(b, lb_lane(b, v, 0), lb_lane(b, v, 1));
}

lbv lb_hsum(lb *b, lbv v) { return reduce(b, v, lb_fadd); }
lbv lb_hmax(lb *b, lbv v) { return reduce(b, v, lb_fmax); }
lbv lb_hisum(lb *b, lbv v) { return reduce(b, v, lb_iadd); }

/* ---- memory ---- */

lbv lb_vload(lb *b, lbv p) { return lb_load(b, b->vf, p, 4); }
lbv lb_vload_i32(lb *b, lbv p) { return lb_load(b, b->vi, p, 4); }
void lb_vstore(lb *b, lbv v, lbv p) { lb_store(b, v, p, 4); }

void lb_vstore_masked(lb *b, lbv v, lbv p, lbv mask) {
    lbt overload[] = {LLVMTypeOf(v), b->ptr};
    lbv arg[] = {v, p, LLVMConstInt(b->i32, 4, 0), mask};
    call(b, "llvm.masked.store", overload, 2, arg, 4);
}

lbv lb_vload_masked(lb *b, lbv p, lbv mask) {
    lbt overload[] = {b->vf, b->ptr};
    lbv arg[] = {p, LLVMConstInt(b->i32, 4, 0), mask, lb_vzero(b)};
    return call(b, "llvm.masked.load", overload, 2, arg, 4);
}

lbv lb_vload_half(lb *b, bool bf16, lbv p, lbv mask) {
    lbv h;
    if (mask) {
        lbt overload[] = {b->vi16, b->ptr};
        lbv arg[] = {p, LLVMConstInt(b->i32, 2, 0), mask, LLVMConstNull(b->vi16)};
        h = call(b, "llvm.masked.load", overload, 2, arg, 4);
    } else {
        h = lb_load(b, b->vi16, p, 2);
    }
    if (bf16) return lb_bits_f(b, lb_ishl(b, LLVMBuildZExt(b->at, h, b->vi, ""), 16));
    const lbv half = bits(b, h, LLVMVectorType(LLVMHalfTypeInContext(b->cx), LB_LANES));
    return LLVMBuildFPExt(b->at, half, b->vf, "");
}

lbv lb_vload_u8(lb *b, lbv p) { return LLVMBuildZExt(b->at, lb_load(b, b->vi8, p, 1), b->vi, ""); }

/* ---- conversions ---- */

lbv lb_bits_f(lb *b, lbv i) { return bits(b, i, b->vf); }
lbv lb_bits_i(lb *b, lbv f) { return bits(b, f, b->vi); }

lbv lb_bf16_bits(lb *b, lbv f) {
    const lbv u = lb_bits_i(b, f);
    const lbv odd = lb_iand(b, lb_ilshr(b, u, 16), lb_vint(b, 1));
    return lb_ilshr(b, lb_iadd(b, lb_iadd(b, u, lb_vint(b, 0x7fff)), odd), 16);
}

lbv lb_to_i16(lb *b, lbv i) { return LLVMBuildTrunc(b->at, i, b->vi16, ""); }
lbv lb_to_i8(lb *b, lbv i) { return LLVMBuildTrunc(b->at, i, b->vi8, ""); }
lbv lb_i_to_f(lb *b, lbv i) { return LLVMBuildSIToFP(b->at, i, b->vf, ""); }
lbv lb_f_to_i(lb *b, lbv f) { return LLVMBuildFPToSI(b->at, f, b->vi, ""); }

void lb_store_planes(lb *b, lbv high, lbv low, lbv p, int lanes) {
    int pick[2 * LB_LANES];
    for (int i = 0; i < 2 * lanes; i++) {
        const int of_eight = i / 16 * 8 + i % 8;
        pick[i] = i % 16 < 8 ? of_eight : LB_LANES + of_eight;
    }
    const lbv both = LLVMBuildShuffleVector(b->at, lb_to_i8(b, high), lb_to_i8(b, low),
                                            const_lanes(b, pick, 2 * lanes), "");
    lb_store(b, both, p, 16);
}

/* ---- i32 lanes ---- */

lbv lb_iadd(lb *b, lbv x, lbv y) { return LLVMBuildAdd(b->at, x, y, ""); }
lbv lb_isub(lb *b, lbv x, lbv y) { return LLVMBuildSub(b->at, x, y, ""); }
lbv lb_imul(lb *b, lbv x, lbv y) { return LLVMBuildMul(b->at, x, y, ""); }
lbv lb_iand(lb *b, lbv x, lbv y) { return LLVMBuildAnd(b->at, x, y, ""); }
lbv lb_ior(lb *b, lbv x, lbv y) { return LLVMBuildOr(b->at, x, y, ""); }
lbv lb_ishl(lb *b, lbv x, int n) { return LLVMBuildShl(b->at, x, lb_vint(b, n), ""); }
lbv lb_ilshr(lb *b, lbv x, int n) { return LLVMBuildLShr(b->at, x, lb_vint(b, n), ""); }
lbv lb_iashr(lb *b, lbv x, int n) { return LLVMBuildAShr(b->at, x, lb_vint(b, n), ""); }
lbv lb_vselect(lb *b, lbv mask, lbv x, lbv y) { return lb_select(b, mask, x, y); }

/* ---- dot products ---- */

static lbv dot_soft(lb *b, lbv acc, lbv w, lbv x) {
    for (int i = 0; i < 4; i++) {
        const lbv wb = lb_iand(b, lb_ilshr(b, w, 8 * i), lb_vint(b, 255));
        const lbv xb = lb_iashr(b, lb_ishl(b, x, 24 - 8 * i), 24);
        acc = lb_iadd(b, acc, lb_imul(b, wb, xb));
    }
    return acc;
}

static lbv dot_vnni512(lb *b, lbv acc, lbv w, lbv x) {
    return call(b, "llvm.x86.avx512.vpdpbusd.512", NULL, 0, (lbv[]){acc, w, x}, 3);
}

static lbv dot_vnni256(lb *b, lbv acc, lbv w, lbv x) {
    lbv half[2];
    for (int h = 0; h < 2; h++) {
        lbv arg[] = {part(b, acc, 8 * h, 8), part(b, w, 8 * h, 8), part(b, x, 8 * h, 8)};
        half[h] = call(b, "llvm.x86.avx512.vpdpbusd.256", NULL, 0, arg, 3);
    }
    return join(b, half[0], half[1]);
}

/* pmaddubsw: pairs of products summed in i16; two of them still fit (4 * 15 * 128 < 2^15) */
static lbv dot2_maddubs(lb *b, lbv acc, lbv w0, lbv x0, lbv w1, lbv x1) {
    lbt bytes = LLVMVectorType(b->i8, 32);
    lbv half[2];
    for (int h = 0; h < 2; h++) {
        const lbv in[4] = {w0, x0, w1, x1};
        lbv v[4];
        for (int i = 0; i < 4; i++) v[i] = bits(b, part(b, in[i], 8 * h, 8), bytes);
        const lbv p = call(b, "llvm.x86.avx2.pmadd.ub.sw", NULL, 0, &v[0], 2);
        const lbv q = call(b, "llvm.x86.avx2.pmadd.ub.sw", NULL, 0, &v[2], 2);
        const lbv ones = lb_splat(b, LLVMConstInt(b->i16, 1, 0));
        half[h] = call(b, "llvm.x86.avx2.pmadd.wd", NULL, 0, (lbv[]){lb_iadd(b, p, q), ones}, 2);
    }
    return lb_iadd(b, acc, join(b, half[0], half[1]));
}

lbv lb_dot2_u4i8(lb *b, lbv acc, lbv w0, lbv x0, lbv w1, lbv x1) {
    if (b->isa.soft) return dot_soft(b, dot_soft(b, acc, w0, x0), w1, x1);
    switch (b->isa.dot) {
    case LB_DOT_MADDUBS:
        return dot2_maddubs(b, acc, w0, x0, w1, x1);
    case LB_DOT_VNNI256:
        return dot_vnni256(b, dot_vnni256(b, acc, w0, x0), w1, x1);
    case LB_DOT_VNNI512:
        return dot_vnni512(b, dot_vnni512(b, acc, w0, x0), w1, x1);
    }
    return acc;
}

lbv lb_dot_bf16(lb *b, lbv acc, lbv w, lbv x) {
    if (b->isa.bf16 && !b->isa.soft) {
        lbt pairs = LLVMVectorType(LLVMBFloatTypeInContext(b->cx), 2 * LB_LANES);
        lbv arg[] = {acc, bits(b, w, pairs), bits(b, x, pairs)};
        return call(b, "llvm.x86.avx512bf16.dpbf16ps.512", NULL, 0, arg, 3);
    }
    const lbv high = lb_vint(b, (int32_t)0xffff0000);
    acc = lb_fma(b, lb_bits_f(b, lb_iand(b, w, high)), lb_bits_f(b, lb_iand(b, x, high)), acc);
    return lb_fma(b, lb_bits_f(b, lb_ishl(b, w, 16)), lb_bits_f(b, lb_ishl(b, x, 16)), acc);
}

/* ---- functions ---- */

/* Coefficients: Cephes expf (S. L. Moshier), exp(r) = 1 + r + r^2 P(r) on |r| <= ln 2 / 2. */
lbv lb_exp(lb *b, lbv x) {
    static const float P[] = {1.9875691500e-4f, 1.3981999507e-3f, 8.3334519073e-3f,
                              4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f};
    const lbv y = lb_fmax(b, lb_fmin(b, x, lb_vf(b, 88.0f)), lb_vf(b, -87.0f));
    const lbv n = lb_fround(b, lb_fmul(b, y, lb_vf(b, 1.44269504088896341f)));
    lbv r = lb_fma(b, n, lb_vf(b, -0.693359375f), y);
    r = lb_fma(b, n, lb_vf(b, 2.12194440e-4f), r);
    lbv p = lb_vf(b, P[0]);
    for (unsigned i = 1; i < sizeof P / sizeof P[0]; i++) p = lb_fma(b, p, r, lb_vf(b, P[i]));
    p = lb_fma(b, lb_fmul(b, r, r), p, r);
    p = lb_fadd(b, p, lb_vf(b, 1.0f));
    const lbv power = lb_ishl(b, lb_iadd(b, lb_f_to_i(b, n), lb_vint(b, 127)), 23);
    const lbv e = lb_fmul(b, p, lb_bits_f(b, power));
    return lb_vselect(b, lb_fgt(b, lb_vf(b, -87.0f), x), lb_vzero(b), e);
}

lbv lb_silu(lb *b, lbv x) {
    return lb_fdiv(b, x, lb_fadd(b, lb_vf(b, 1.0f), lb_exp(b, lb_fneg(b, x))));
}
