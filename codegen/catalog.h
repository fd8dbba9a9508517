/* catalog.h - which kernels exist and with which parameters; plain data, no LLVM, no CUDA. */
#ifndef P4C_CODEGEN_CATALOG_H
#define P4C_CODEGEN_CATALOG_H

#include <stdbool.h>
#include <stdint.h>

#include "ir/ir.h"

/* Kernel families: one row of kernels.def each. */
typedef enum kernel_id {
#define KERNEL(name, op, meaning) KERNEL_##name,
#include "codegen/kernels.def"
#undef KERNEL
    KERNEL_COUNT
} kernel_id;

typedef struct kernel_info {
    const char *name; /* ATTR_kernel */
    const char *op;
    const char *meaning;
} kernel_info;
extern const kernel_info kernel_table[KERNEL_COUNT];

/* The family that computes this op in its present form; KERNEL_COUNT: none.  *generic: it is the
 * loop-nest fallback (schedule warns). */
kernel_id catalog_kernel_for(const ir_op *op, bool *generic);
bool catalog_find(const char *name, kernel_id *out);

#endif
