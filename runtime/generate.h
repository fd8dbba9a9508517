/* generate.h - from a prompt to text. */
#ifndef P4C_RUNTIME_GENERATE_H
#define P4C_RUNTIME_GENERATE_H

#include "runtime/p4c.h"

/* p4c_generate. */
p4c_status rt_generate(p4c_session *s, const int32_t *ids, int64_t n_ids,
                       const p4c_generate_params *params, p4c_generated *out, p4c_error *error);

#endif
