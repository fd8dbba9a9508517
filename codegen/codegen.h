/* codegen.h - scheduled graph -> plan and machine code -> artifact.
 *
 *     cg_program p;                     kernels wanted, plan bytes, order of the packed weights
 *     cg_build_program(g, ..., &p);
 *     cpu_compile(&p, ..., &objects);   LLVM: one object for each variant, one for the image table
 *     art_write(...);                   lld, data segment, weights streamed
 * (codegen/artifact/artifact.h)
 */
#ifndef P4C_CODEGEN_CODEGEN_H
#define P4C_CODEGEN_CODEGEN_H

#include "codegen/catalog.h"
#include "ir/ir.h"
#include "runtime/abi.h"

/* Everything a kernel's code depends on: equal specs share one function.  Which fields matter is
 * the family's business; the rest stay 0. */
typedef struct cg_kernel_spec {
    kernel_id family;
    int tclass;    /* 0: 1 token, 1: 2..8, 2: 9 and more; -1: one function for all */
    op_kind op;    /* generic families */
    int64_t n, k;  /* linear: outputs, inputs; row-wise: k columns */
    int64_t group; /* packed group; 0: none */
    int64_t n_groups;
    bool zeros, perm, norm;
    ir_dtype weight, act, kv; /* element types */
    int epilogue;             /* cg_epilogue */
    int64_t heads, kv_heads, head_dim, rot, window;
    int64_t begin, size; /* slice */
    double eps, by;
    int64_t kv_block_bytes;
} cg_kernel_spec;

typedef enum cg_epilogue {
    EPILOGUE_none,
    EPILOGUE_add,
    EPILOGUE_swiglu,
    EPILOGUE_rope_kv
} cg_epilogue;

typedef struct cg_weight {
    const ir_op *op;        /* constant: packed weight, or plain (embedding, norm, rope table) */
    uint64_t offset, bytes; /* in section "weights"; multiples of 64 */
    /* offset of the i32 column order of a perm weight, bytes 0 where there is none */
    uint64_t perm_offset, perm_bytes;
} cg_weight;

typedef struct cg_program {
    cg_kernel_spec *kernel; /* [n_kernels] in the order of the kernel tables */
    const char **kernel_name;
    int n_kernels;
    rt_plan plan;
    rt_launch *launch; /* [plan.n_launches] */
    cg_weight *weight;
    int n_weights;
    uint64_t weights_bytes;
    uint64_t kv_block_bytes;
    uint64_t weight_bytes_per_token, mac_per_token, head_mac;
} cg_program;

/* g has HAS_PLAN.  False: reported. */
P4C_CHECKED bool cg_build_program(const ir_graph *g, uint64_t arena_bytes, int64_t max_tokens,
                                  int64_t max_rows, arena *mem, diag *d, cg_program *out);

/* Element type in which a plain constant is stored: vectors (norm weights) always f32. */
ir_dtype cg_stored_dtype(const ir_op *op);

typedef struct cg_object {
    const char *name; /* "kernels-avx512vnni.o" */
    const uint8_t *at;
    size_t n_bytes;
} cg_object;

typedef enum cg_emit { EMIT_obj, EMIT_llvm, EMIT_asm } cg_emit;

typedef struct cpu_options {
    const char *triple; /* "x86_64-linux-gnu" */
    uint64_t variants;  /* bit i: variant i of variants.def; 0: all of the target */
    bool soft_isa;      /* special vector operations in plain IR, compiled for the lowest variant */
    cg_emit emit;
    bool verbose;
} cpu_options;

enum { CG_MAX_OBJECTS = 16 };
typedef struct cg_objects {
    cg_object object[CG_MAX_OBJECTS];
    int n;
} cg_objects;

/* Compiles every kernel for every variant and the table p4c_image.  EMIT_llvm and EMIT_asm give
 * text instead. */
P4C_CHECKED bool cpu_compile(const cg_program *p, const cpu_options *o, arena *mem, diag *d,
                             cg_objects *out);

/* From here on LLVM's running out of memory is arena_out_of_memory, and its other fatal errors are
 * one line and EXIT_BUG.  For programs, once; allowed before any constructor has run. */
void cpu_catch_llvm_errors(void);

/* Scratch memory that a kernel wants for each thread. */
int64_t cpu_scratch_bytes(const cg_kernel_spec *s);
int cpu_n_variants(void);
const char *cpu_variant_name(int i); /* "avx512vnni" */

#endif
