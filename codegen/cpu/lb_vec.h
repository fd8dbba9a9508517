/* lb_vec.h - vectors of 16 lanes and the operations that differ between instruction sets.
 *
 * A kernel asks for the operation; lb_vec.c knows the instruction.  Every operation has one result
 * for every instruction set and under --soft-isa, bit for bit. */
#ifndef P4C_CODEGEN_CPU_LB_VEC_H
#define P4C_CODEGEN_CPU_LB_VEC_H

#include "codegen/cpu/lb.h"

/* f32, scalar or vector alike */
lbv lb_f(lb *b, float v);
lbv lb_fadd(lb *b, lbv x, lbv y);
lbv lb_fsub(lb *b, lbv x, lbv y);
lbv lb_fmul(lb *b, lbv x, lbv y);
lbv lb_fdiv(lb *b, lbv x, lbv y);
lbv lb_fneg(lb *b, lbv x);
lbv lb_fabs(lb *b, lbv x);
lbv lb_fma(lb *b, lbv x, lbv y, lbv acc); /* x * y + acc, rounded once */
lbv lb_fmax(lb *b, lbv x, lbv y);         /* y where x is NaN */
lbv lb_fmin(lb *b, lbv x, lbv y);
lbv lb_fsqrt(lb *b, lbv x);
lbv lb_fround(lb *b, lbv x); /* to nearest integer, ties to even */
lbv lb_fgt(lb *b, lbv x, lbv y);

/* 16 lanes */
lbv lb_vzero(lb *b);             /* f32 */
lbv lb_vizero(lb *b);            /* i32 */
lbv lb_splat(lb *b, lbv scalar); /* any scalar type */
lbv lb_vf(lb *b, float v);
lbv lb_vint(lb *b, int32_t v);
lbv lb_lane_ids(lb *b);              /* i32 0 .. 15 */
lbv lb_lane(lb *b, lbv v, int lane); /* one lane out */
lbv lb_mask_below(lb *b, lbv n);     /* i1 lanes: lane < n (i64) */
lbv lb_hsum(lb *b, lbv v);           /* fixed tree: lanes i and i + 8, then + 4, + 2, + 1 */
lbv lb_hmax(lb *b, lbv v);
lbv lb_hisum(lb *b, lbv v); /* i32 */

/* memory; p need only be aligned to the element unless said otherwise */
lbv lb_vload(lb *b, lbv p); /* f32[16] */
void lb_vstore(lb *b, lbv v, lbv p);
void lb_vstore_masked(lb *b, lbv v, lbv p, lbv mask);
lbv lb_vload_masked(lb *b, lbv p, lbv mask); /* other lanes 0 */
lbv lb_vload_half(lb *b, bool bf16, lbv p,
                  lbv mask);    /* u16[16] -> f32; mask NULL or the lanes wanted, others 0 */
lbv lb_vload_u8(lb *b, lbv p);  /* u8[16] -> i32 */
lbv lb_vload_i32(lb *b, lbv p); /* i32[16] */

/* conversions */
lbv lb_bf16_bits(lb *b,
                 lbv f);     /* f32 lanes -> i32 lanes holding the bf16, rounded to nearest even */
lbv lb_to_i16(lb *b, lbv i); /* i32 lanes -> i16 lanes */
lbv lb_to_i8(lb *b, lbv i);  /* i32 lanes -> i8 lanes */
lbv lb_i_to_f(lb *b, lbv i); /* i32 lanes -> f32 */
lbv lb_f_to_i(lb *b, lbv f); /* truncates; lanes must be in range */
lbv lb_bits_f(lb *b, lbv i); /* i32 lanes read as f32 */
lbv lb_bits_i(lb *b, lbv f);

/* Stores 8 or 16 lanes of two planes (i32 lanes within int8): for each 8, high[8] then low[8] as
 * bytes. */
void lb_store_planes(lb *b, lbv high, lbv low, lbv p, int lanes);

/* i32 lanes */
lbv lb_iadd(lb *b, lbv x, lbv y);
lbv lb_isub(lb *b, lbv x, lbv y);
lbv lb_imul(lb *b, lbv x, lbv y);
lbv lb_iand(lb *b, lbv x, lbv y);
lbv lb_ior(lb *b, lbv x, lbv y);
lbv lb_ishl(lb *b, lbv x, int n);
lbv lb_ilshr(lb *b, lbv x, int n);
lbv lb_iashr(lb *b, lbv x, int n);
lbv lb_vselect(lb *b, lbv mask, lbv x, lbv y);

/* acc (i32 lanes) + for each lane the dot products of four bytes: w0 . x0 + w1 . x1, w unsigned <=
 * 15, x signed, all held as i32 lanes.  |sum| must fit: |w . x| pairs stay below 2^15. */
lbv lb_dot2_u4i8(lb *b, lbv acc, lbv w0, lbv x0, lbv w1, lbv x1);
/* acc + w . x over pairs of bf16 (i32 lanes holding two): odd element first, then even, each one
 * fused multiply-add, denormals as zero. */
lbv lb_dot_bf16(lb *b, lbv acc, lbv w, lbv x);

/* exp(x), error < 2 ulp for -87 <= x <= 88; smaller x gives 0, larger is clamped.  Scheme: x = n ln
 * 2 + r, polynomial of degree 6 in r. */
lbv lb_exp(lb *b, lbv x);
/* x / (1 + exp(-x)) */
lbv lb_silu(lb *b, lbv x);

#endif
