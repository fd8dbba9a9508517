/* kernel.h - what a kernel family offers: its code, its work units, its scratch memory.
 *
 * Operands of a launch, in order (result first; [x] only where the spec has it):
 *   embed        y f32[T, D]; w [V, D] plain                     unit: a token
 *   rmsnorm      y f32[T, D]; x f32[T, D]; w f32[D]              unit: a token
 *   act_*        a act[T, K]; x f32[T, D]; [norm w f32[D]]; [column i32[K]]   unit: a token
 *   linear_*     y f32[T, N']; a act[T, K]; w packed; then none | residual f32[T, N] | table f32[C,
 * rot], layer unit: a panel of tile.nb blocks of 16 rows rope         y f32[T, H E]; x f32[T, H E];
 * table f32[C, rot]  unit: a token kv_append    layer; k f32[T, G E]; v f32[T, G E] unit: a token
 * and KV head attention    y f32[T, H E]; q f32[T, H E]; layer             unit: a token and KV
 * head swiglu       y f32[T, F]; x f32[T, 2 F]                      unit: a token select_rows  y
 * f32[R, D]; x f32[T, D]                        unit: a row slice        y f32[T, size]; x f32[T,
 * K]                     unit: a token elementwise  y f32[T, K]; a; [b] unit: a token rowwise y
 * f32[T, K]; x f32[T, K]                        unit: a token "layer" is a number: the layer's
 * first byte in a KV block.  All f32 rows are contiguous; packed weights, activations and arena
 * values start 64-byte aligned. */
#ifndef P4C_CODEGEN_CPU_KERNEL_H
#define P4C_CODEGEN_CPU_KERNEL_H

#include "codegen/codegen.h"
#include "codegen/cpu/lb.h"

/* Register tile of a linear kernel: tile.nb blocks of 16 rows times tile.nt tokens, k unrolled by
 * `unroll`. */
typedef struct cpu_tile {
    int nb, nt, unroll;
} cpu_tile;
enum { CPU_MAX_NB = 8, CPU_MAX_NT = 8 };

typedef struct cpu_kernel {
    void (*emit)(lb *b, const cg_kernel_spec *s, cpu_tile tile);
    /* work units: a number, or for each token */
    void (*units)(const cg_kernel_spec *s, cpu_tile tile, rt_kernel_entry *out);
    int64_t (*scratch_bytes)(const cg_kernel_spec *s); /* NULL: none */
} cpu_kernel;

extern const cpu_kernel cpu_kernel_table[KERNEL_COUNT];
cpu_tile cpu_choose_tile(const cg_kernel_spec *s, lb_isa isa);

/* emit functions, one for each family (k_*.c) */
#define KERNEL(name, op, meaning)                                                                  \
    void cpu_emit_##name(lb *b, const cg_kernel_spec *s, cpu_tile tile);
#include "codegen/kernels.def"
#undef KERNEL

int64_t cpu_attention_scratch_bytes(const cg_kernel_spec *s);

/* ---- shapes that kernels, plan and runtime agree on ---- */
int64_t cg_act_bytes(ir_dtype act, int64_t k, int64_t group); /* one token's activations */
int64_t cg_kv_head_bytes(int64_t head_dim, ir_dtype kv);      /* K (or V) of one head in a block */
int64_t cg_kv_layer_bytes(int64_t kv_heads, int64_t head_dim, ir_dtype kv);
int64_t cg_i4_group_bytes(int64_t group, bool zeros);
int64_t cg_linear_blocks(const cg_kernel_spec *s); /* 16-row blocks of the packed weight */

/* ---- shared pieces of kernels (k_common.c) ---- */

/* Emits body for columns 0 .. n of a row in pieces of 16: `at` is the first column (i64), mask NULL
 * or the lanes of the last, partial piece. */
typedef void row_body(lb *b, lbv at, lbv mask, void *context);
void cpu_row(lb *b, int64_t n, row_body *body, void *context);

lbv cpu_load_f32(lb *b, lbv p, lbv column, lbv mask); /* p f32 */
void cpu_store_f32(lb *b, lbv v, lbv p, lbv column, lbv mask);
lbv cpu_load_as_f32(lb *b, ir_dtype dtype, lbv p, lbv column, lbv mask); /* f32, f16 or bf16 */
lbv cpu_row_ptr(lb *b, lbv p, lbv row, int64_t row_bytes);
/* 1 / sqrt(mean(x^2) + eps), a scalar; sums in 16 lanes, then the fixed tree */
lbv cpu_rms_factor(lb *b, lbv x, int64_t n, double eps);

/* KV block geometry */
typedef struct cpu_kv {
    int64_t ep; /* head size rounded up to 16 */
    int bytes;  /* of an element */
    ir_dtype dtype;
} cpu_kv;
cpu_kv cpu_kv_of(const cg_kernel_spec *s);
/* Start of K (v = false) or V of head g in the block that holds position pos. */
lbv cpu_kv_head(lb *b, const cg_kernel_spec *s, lbv blocks, lbv block_index, lbv layer, lbv g,
                bool v);
/* Writes 16 consecutive elements e .. of a key (a value) at a position; mask NULL or valid lanes as
 * a number n. */
void cpu_kv_put_k(lb *b, const cg_kernel_spec *s, lbv k_head, lbv pos_in_block, lbv e, lbv f,
                  int n_valid);
void cpu_kv_put_v(lb *b, const cg_kernel_spec *s, lbv v_head, lbv pos_in_block, lbv e, lbv f,
                  int n_valid);

#endif
