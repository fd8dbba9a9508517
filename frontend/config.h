/* config.h - config.json and generation_config.json, every field checked.
 *
 * Keys that would change the result and are not supported are refused by name; keys unknown to the
 * model are ignored, as transformers does.  Both spellings are read: that of the hub (rope_theta,
 * rope_scaling, torch_dtype) and that of transformers 5 (rope_parameters, dtype).
 */
#ifndef P4C_FRONTEND_CONFIG_H
#define P4C_FRONTEND_CONFIG_H

#include <cjson/cJSON.h>

#include "frontend/frontend.h"
#include "frontend/quant.h"

/* Reads all three: config.json, generation_config.json, and what config.json or the files beside it
 * say about packed weights.  Strings live in mem. */
P4C_CHECKED bool fe_read_configs(const char *dir, arena *mem, diag *d, model_config *out,
                                 quant_config *quant);

/* config.json's own fields; root is the parsed file. */
P4C_CHECKED bool fe_config_from_json(const cJSON *root, const char *file, arena *mem, diag *d,
                                     model_config *out);
/* rope_theta and rot (rope_config.c); head_dim and max_position_embeddings must be there. */
P4C_CHECKED bool fe_rope_from_json(const cJSON *root, const char *file, diag *d, model_config *out);
/* generation defaults, bos and further eos (generation_config.c). */
P4C_CHECKED bool fe_generation_from_json(const cJSON *root, const char *file, diag *d,
                                         model_config *out);

/* Adds the id, or the ids of the list, under `key`; 0 <= id < vocab_size each. */
P4C_CHECKED bool fe_add_ids(const cJSON *root, const char *key, const char *file, diag *d,
                            int64_t vocab_size, fe_ids *out);

#endif
