/* build_phi3.h - the graph of Phi3ForCausalLM. */
#ifndef P4C_FRONTEND_BUILD_PHI3_H
#define P4C_FRONTEND_BUILD_PHI3_H

#include "frontend/frontend.h"
#include "frontend/import.h"

/* Fills im->g with plain ops; outputs: logits f32[R, V], kv.  capacity: rows of the rope table. */
P4C_CHECKED bool fe_build_phi3(fe_importer *im, const model_config *c, int64_t capacity);

#endif
