/* quant.h - what a checkpoint says about packed weights: quantization_config in config.json, else
 * quantize_config.json or quantization_config.json beside it.
 */
#ifndef P4C_FRONTEND_QUANT_H
#define P4C_FRONTEND_QUANT_H

#include <cjson/cJSON.h>

#include "base/arena.h"
#include "base/diag.h"
#include "base/util.h"
#include "base/vec.h"

/* GPTQ's packing in 4 bits (version 1: the stored zero is one less than the zero). */
typedef struct quant_config {
    bool packed;      /* false: all weights are plain */
    const char *file; /* that says so */
    int64_t group;    /* inputs that share a scale; -1: all */
    bool act_order;   /* desc_act: g_idx must be there */
    /* modules kept plain: those whose name holds one of `plain`; where `only` is not empty, all but
     * those whose name ends in one of it */
    vec(const char *) plain, only;
} quant_config;

/* root: config.json. */
P4C_CHECKED bool fe_detect_quant(const char *dir, const cJSON *root, const char *file, arena *mem,
                                 diag *d, quant_config *out);
/* Whether the config leaves matrix `module` ("model.layers.0.mlp.down_proj") plain. */
bool fe_quant_leaves_plain(const quant_config *q, const char *module);

#endif
