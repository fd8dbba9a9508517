/* scheme.h - rows of schemes.def, for the passes that act on them. */
#ifndef P4C_PASSES_SCHEME_H
#define P4C_PASSES_SCHEME_H

#include "passes/pass.h"

typedef struct scheme_info {
    const char *name;
    ir_dtype weight, act, kv;
    const char *meaning;
} scheme_info;
extern const scheme_info scheme_table[SCHEME_COUNT];

/* How --quant auto treats a matrix stored in this type: 4-bit and 16-bit ones stay, wider ones
 * become bf16. */
scheme_id scheme_of_dtype(ir_dtype stored);

#endif
