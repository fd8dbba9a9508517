/* artifact.h - writes the artifact: one ELF file that is a shared object, a program, and everything
 * the model needs.  docs/ARTIFACT.md describes the bytes.
 *
 * The code is linked by ld.lld 19 (a process of its own; its input and output stay in memory), then
 * the data segment is streamed behind it: header, small sections, packed weights.  The file appears
 * under its name only when it is complete.  Same inputs, same bytes.
 */
#ifndef P4C_CODEGEN_ARTIFACT_ARTIFACT_H
#define P4C_CODEGEN_ARTIFACT_ARTIFACT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codegen/codegen.h"
#include "runtime/abi.h"

typedef struct art_bytes {
    const void *at;
    size_t n;
} art_bytes;

/* Told from the calling thread while weights are written. */
typedef void art_progress_fn(void *context, uint64_t done_bytes, uint64_t total_bytes);

typedef struct art_input {
    const char *path;   /* the artifact; its base name is the soname */
    const char *triple; /* "x86_64-linux-gnu" */
    const char *name; /* also export NAME_get_api; NULL: no.  A C identifier, else ARTIFACT_NAME */
    const char *version; /* of p4c, without blanks, at most 31 characters */

    const cg_objects *objects;     /* of cpu_compile: kernels and p4c_image */
    art_bytes runtime;             /* relocatable object: runtime and app, see payload.h */
    const cg_program *program;     /* plan and order of the weights */
    const rt_meta *meta;           /* dummy, dummy_seed: weights are not written but a recipe */
    art_bytes tokenizer, template; /* n 0: the model has none */
    art_bytes config, options, ir; /* texts, stored without terminator */

    int n_threads; /* that pack weights, beside the calling one, which writes; at least 1 */
    arena *mem;
    art_progress_fn *progress; /* may be NULL */
    void *progress_context;
} art_input;

/* False: reported; the file that was there before is untouched.  LINKER_MISSING, LINKER_FAILED,
 * ARTIFACT_NAME, ARTIFACT_TARGET, FILE_WRITE, FILE_RESOURCES. */
P4C_CHECKED bool art_write(const art_input *in, diag *d);

#endif
