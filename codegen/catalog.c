/* catalog.c - the table of kernel families and which of them computes an op. */
#include "codegen/catalog.h"

#include <stdio.h>
#include <string.h>

const kernel_info kernel_table[KERNEL_COUNT] = {
#define KERNEL(name, op, meaning) [KERNEL_##name] = {#name, op, meaning},
#include "codegen/kernels.def"
#undef KERNEL
};

bool catalog_find(const char *name, kernel_id *out) {
    for (kernel_id k = 0; k < KERNEL_COUNT; k++)
        if (strcmp(kernel_table[k].name, name) == 0) return *out = k, true;
    return false;
}

/* The element type that the rows of an op with several families are named after: that of linear's
 * weights, and the one act makes.  DT_COUNT: the op has one family. */
static ir_dtype family_dtype(const ir_op *op) {
    if (op->kind == OP_act) return op->type.dtype;
    if (op->kind == OP_linear) return op->in[1]->type.dtype;
    return DT_COUNT;
}

kernel_id catalog_kernel_for(const ir_op *op, bool *generic) {
    const op_info *info = &ir_op_info[op->kind];
    const ir_dtype dtype = family_dtype(op);
    char name[64];
    snprintf(name, sizeof name, "%s%s%s", info->name, dtype < DT_COUNT ? "_" : "",
             dtype < DT_COUNT ? ir_dtype_info[dtype].name : "");
    *generic = false;
    kernel_id k;
    if (catalog_find(name, &k) && strcmp(kernel_table[k].op, info->name) == 0) return k;
    if (!(info->traits & (EW | ROW)) || dtype < DT_COUNT) return KERNEL_COUNT;
    *generic = true;
    return info->traits & EW ? KERNEL_elementwise : KERNEL_rowwise;
}
