/* k_linear.h - between the frame of a linear kernel (panels, tokens, epilogues) and its inner
 * loops. */
#ifndef P4C_CODEGEN_CPU_K_LINEAR_H
#define P4C_CODEGEN_CPU_K_LINEAR_H

#include "codegen/cpu/kernel.h"

/* A register tile: nb blocks of 16 rows times nt tokens. */
typedef struct linear_tile {
    const cg_kernel_spec *s;
    int nb, nt, unroll;
    lbv w[CPU_MAX_NB];                  /* first byte of each block */
    lbv x[CPU_MAX_NT];                  /* first byte of each token's activations */
    lb_var acc[CPU_MAX_NB][CPU_MAX_NT]; /* f32, zero at the start */
} linear_tile;

/* Emits acc[i][j] += rows of block i . token j, k ascending. */
typedef void linear_dot(lb *b, const linear_tile *t);

typedef struct linear_format {
    linear_dot *dot;
    int64_t (*block_bytes)(const cg_kernel_spec *s);
} linear_format;

extern const linear_format cpu_linear_f32, cpu_linear_f16, cpu_linear_bf16, cpu_linear_i4;

void cpu_emit_linear(lb *b, const cg_kernel_spec *s, cpu_tile tile, const linear_format *f);

#endif
