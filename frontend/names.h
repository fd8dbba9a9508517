/* names.h - modules of the model by role, and the names of their tensors. */
#ifndef P4C_FRONTEND_NAMES_H
#define P4C_FRONTEND_NAMES_H

#include <stdint.h>

#include "base/arena.h"

typedef enum fe_role {
#define ROLE(name, pattern) ROLE_##name,
#include "frontend/names.def"
    ROLE_COUNT
} fe_role;

typedef enum fe_part {
#define PART(name, suffix) PART_##name,
#include "frontend/names.def"
    PART_COUNT
} fe_part;

/* "model.layers.7.mlp.down_proj"; roles outside of the layers ignore `layer`. */
const char *fe_module_name(fe_role role, int64_t layer, arena *mem);
/* "model.layers.7.mlp.down_proj.qweight" */
const char *fe_part_name(const char *module, fe_part part, arena *mem);

#endif
