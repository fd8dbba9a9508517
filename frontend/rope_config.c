/* rope_config.c - which lanes of a head turn, and how fast.
 *
 * Keys: rope_parameters {rope_type, rope_theta, partial_rotary_factor} (transformers 5), or
 * rope_theta, partial_rotary_factor and rope_scaling {type or rope_type, ...} (the hub's form).
 * Source: transformers, modeling_rope_utils.py and Phi3Config.
 */
#include <string.h>

#include "base/json.h"
#include "frontend/config.h"

static bool read_type(const cJSON *rope, const char *key, const char *file, diag *d) {
    const char *type = "default";
    if (!json_opt_str(rope, "type", file, d, &type) ||
        !json_opt_str(rope, "rope_type", file, d, &type))
        return false;
    return strcmp(type, "default") == 0 ||
           diag_error(d, DIAG_CONFIG_UNSUPPORTED, (diag_loc){.file = file},
                      "rope type '%s' in '%s' is not supported (expected default)", type, key);
}

/* The keys that both forms have, in `o`; those absent leave *theta and *partial as they are. */
static bool read_common(const cJSON *o, const char *file, diag *d, double *theta, double *partial) {
    return json_opt_f64(o, "rope_theta", 1e-3, 1e15, file, d, theta) &&
           json_opt_f64(o, "partial_rotary_factor", 0, 1, file, d, partial);
}

bool fe_rope_from_json(const cJSON *root, const char *file, diag *d, model_config *out) {
    static const char *const KEYS[] = {"rope_scaling", "rope_parameters"};
    double theta = 10000, partial = 1;
    if (!read_common(root, file, d, &theta, &partial)) return false;
    for (size_t i = 0; i < COUNT_OF(KEYS); i++) { /* the newer form, read last, wins */
        const cJSON *rope = json_member(root, KEYS[i]);
        if (!rope) continue;
        if (!cJSON_IsObject(rope))
            return diag_error(d, DIAG_JSON_TYPE, (diag_loc){.file = file}, "'%s' is no object",
                              KEYS[i]);
        if (!read_type(rope, KEYS[i], file, d) || !read_common(rope, file, d, &theta, &partial))
            return false;
    }
    if (partial != 1)
        return diag_error(d, DIAG_CONFIG_UNSUPPORTED, (diag_loc){.file = file},
                          "'partial_rotary_factor' is not supported (found %g, expected 1)",
                          partial);
    out->rope_theta = theta;
    out->rot = out->head_dim;
    return true;
}
