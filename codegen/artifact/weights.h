/* weights.h - the bytes of section "weights": constants of the graph, packed as the program wants
 * them, in the program's order.
 *
 * Any window of the section can be computed on its own, so that threads work ahead of the one that
 * writes, and nothing but a few windows is ever in memory.  Values come from ir/const.h.
 */
#ifndef P4C_CODEGEN_ARTIFACT_WEIGHTS_H
#define P4C_CODEGEN_ARTIFACT_WEIGHTS_H

#include "codegen/artifact/artifact.h"

typedef struct art_weights art_weights; /* prepared once; read by all threads */

/* NULL: reported. */
art_weights *art_weights_prepare(const cg_program *program, arena *mem, diag *d);

/* out gets bytes begin .. end of the section; gaps between weights are zeros.  scratch is rewound.
 */
void art_weights_fill(const art_weights *w, uint64_t begin, uint64_t end, arena *scratch,
                      uint8_t *out);

/* Takes the section's bytes in order, in windows of ART_WINDOW_BYTES (the last one shorter); false
 * ends the stream. */
enum { ART_WINDOW_BYTES = 16 << 20 };
typedef bool art_sink_fn(void *context, const uint8_t *at, size_t n);

/* n_threads pack, this one feeds the sink.  False: the sink said so, or reported FILE_RESOURCES. */
P4C_CHECKED bool art_weights_stream(const art_weights *w, int n_threads, arena *mem, diag *d,
                                    art_sink_fn *sink, void *context);

/* The recipe for made-up weights: section "dummy". */
art_bytes art_weights_recipe(const cg_program *program, arena *mem);

#endif
