/* compiled.h - compiles a planned graph and runs it in this process, without artifact or runtime:
 * for tests of passes and kernels against the interpreter. */
#ifndef P4C_TESTS_SUPPORT_COMPILED_H
#define P4C_TESTS_SUPPORT_COMPILED_H

#include "codegen/codegen.h"

typedef struct compiled {
    const cg_program *program;
    const rt_image *image;
    void *library;
    uint8_t *arena, *weights, *scratch; /* 64-byte aligned */
} compiled;

/* Compiles for the variants of `o`, links with ld.lld into a temporary shared object and loads it.
 * False: reported. */
bool compiled_open(const cg_program *p, const cpu_options *o, arena *mem, diag *d, compiled *out);
void compiled_close(compiled *c);

/* Weights as the artifact holds them. */
void compiled_fill_weights(const cg_program *p, arena *scratch, diag *d, uint8_t *out);

/* Runs one step of image variant `v`.  Each launch's units are computed in two calls, split at a
 * place that `split` decides, to show that units do not depend on each other. */
void compiled_run(const compiled *c, unsigned v, const rt_step *step, float *logits,
                  uint64_t split);

#endif
