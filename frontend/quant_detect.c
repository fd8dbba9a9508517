/* quant_detect.c - which packing a checkpoint has, from its configuration.
 *
 * Known: GPTQ as AutoGPTQ, optimum and GPTQModel write it (quant_method "gptq"), and AutoRound's
 * own format with the same packing (quant_method "auto-round", packing_format
 * "auto_round:auto_gptq").  A setting that would change the values is refused by name.
 */
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "frontend/quant.h"

enum { MAX_CONFIG_BYTES = 16 << 20 };

typedef struct reader {
    const cJSON *o;
    const char *file;
    arena *mem;
    diag *d;
    quant_config *out;
} reader;

static bool unsupported(const reader *r, const char *key, const char *found, const char *want) {
    return diag_error(r->d, DIAG_QUANT_SETTING, (diag_loc){.file = r->file},
                      "quantization setting '%s' is not supported (found %s, expected %s)", key,
                      found, want);
}

/* A string that may be absent, else must be `want`. */
static bool only_string(const reader *r, const char *key, const char *want) {
    const char *found = want;
    if (!json_opt_str(r->o, key, r->file, r->d, &found)) return false;
    return strcmp(found, want) == 0 || unsupported(r, key, found, want);
}

static bool only_false(const reader *r, const char *key) {
    bool found = false;
    if (!json_opt_bool(r->o, key, r->file, r->d, &found)) return false;
    return !found || unsupported(r, key, "true", "false");
}

/* An object or list that may be absent or empty. */
static bool only_empty(const reader *r, const char *key) {
    const cJSON *m = json_member(r->o, key);
    return !m || (!m->child && !cJSON_IsTrue(m)) ||
           unsupported(r, key, "values", "none: one setting for all matrices");
}

static bool read_bits(const reader *r, const cJSON *o, int64_t *out) {
    return json_get_i64(o, "bits", 1, 64, r->file, r->d, out);
}

static bool read_group(const reader *r) {
    if (!json_get_i64(r->o, "group_size", -1, 1 << 30, r->file, r->d, &r->out->group)) return false;
    return r->out->group != 0 || diag_error(r->d, DIAG_QUANT_SETTING, (diag_loc){.file = r->file},
                                            "'group_size' is 0 (expected a positive number or -1)");
}

static void add_names(const reader *r, const cJSON *list, bool plain) {
    const cJSON *e;
    cJSON_ArrayForEach(e, list) {
        if (!cJSON_IsString(e) || !*e->valuestring) continue;
        const char *name = arena_strdup(r->mem, e->valuestring);
        if (plain) vec_push(r->mem, &r->out->plain, name);
        else vec_push(r->mem, &r->out->only, name);
    }
}

/* AutoRound: {"model.layers.0.mlp.down_proj": {"bits": 16, ...}, ...} */
static bool read_extra_config(const reader *r) {
    const cJSON *extra = json_member(r->o, "extra_config"), *e;
    cJSON_ArrayForEach(e, extra) {
        int64_t bits = 4, group = r->out->group;
        if (!json_opt_i64(e, "bits", 1, 64, r->file, r->d, &bits) ||
            !json_opt_i64(e, "group_size", -1, 1 << 30, r->file, r->d, &group))
            return false;
        if (bits >= 16 && e->string)
            vec_push(r->mem, &r->out->plain, arena_strdup(r->mem, e->string));
        else if (bits != 4 || group != r->out->group)
            return unsupported(r, "extra_config", e->string ? e->string : "a list",
                               "16 bits, or the same for all matrices");
    }
    return true;
}

static bool read_modules(const reader *r) {
    const cJSON *e;
    add_names(r, json_member(r->o, "modules_to_not_convert"), true);
    const cJSON *only = json_member(r->o, "modules_in_block_to_quantize");
    cJSON_ArrayForEach(e, only) add_names(r, e, false); /* a list of lists */
    return read_extra_config(r);
}

/* What GPTQ and AutoRound have in common. */
static bool read_packing(const reader *r) {
    int64_t bits = 0, act_bits = 16;
    if (!read_bits(r, r->o, &bits)) return false;
    if (bits != 4)
        return diag_error(r->d, DIAG_QUANT_SETTING, (diag_loc){.file = r->file},
                          "'bits' is %lld (expected 4)", (long long)bits);
    if (!json_opt_i64(r->o, "act_bits", 1, 64, r->file, r->d, &act_bits)) return false;
    if (act_bits < 16) return unsupported(r, "act_bits", "quantized activations", "16");
    return read_group(r) && json_opt_bool(r->o, "desc_act", r->file, r->d, &r->out->act_order) &&
           only_string(r, "pack_dtype", "int32") && only_string(r, "data_type", "int") &&
           only_empty(r, "dynamic") && only_empty(r, "super_bits") && read_modules(r);
}

static bool read_gptq(const reader *r) {
    return only_string(r, "checkpoint_format", "gptq") && only_string(r, "format", "gptq") &&
           only_false(r, "is_marlin_format") && read_packing(r);
}

static bool read_auto_round(const reader *r) {
    return only_string(r, "packing_format", "auto_round:auto_gptq") && read_packing(r);
}

static bool read_method(const reader *r, const char *otherwise) {
    static const struct {
        const char *name;
        bool (*read)(const reader *r);
    } METHODS[] = {
        {"gptq", read_gptq},
        {"auto-round", read_auto_round},
        {"intel/auto-round", read_auto_round},
    };
    const char *method = otherwise;
    if (!(otherwise ? json_opt_str(r->o, "quant_method", r->file, r->d, &method)
                    : json_get_str(r->o, "quant_method", r->file, r->d, &method)))
        return false;
    for (size_t i = 0; i < COUNT_OF(METHODS); i++)
        if (strcmp(METHODS[i].name, method) == 0) {
            r->out->packed = true;
            r->out->file = r->file;
            return METHODS[i].read(r);
        }
    return diag_error(r->d, DIAG_QUANT_METHOD, (diag_loc){.file = r->file},
                      "quant_method '%s' is not supported (expected gptq or auto-round)", method);
}

/* The file as a whole is a quantization config. */
static bool read_file(const char *path, const char *otherwise, arena *mem, diag *d,
                      quant_config *out) {
    str source;
    json j;
    if (!file_read(path, MAX_CONFIG_BYTES, mem, d, &source) ||
        !json_parse(source, path, mem, d, &j))
        return false;
    const reader r = {.o = j.root, .file = path, .mem = mem, .d = d, .out = out};
    const bool ok = cJSON_IsObject(j.root) ? read_method(&r, otherwise)
                                           : diag_error(d, DIAG_JSON_TYPE, (diag_loc){.file = path},
                                                        "not a JSON object");
    json_free(&j);
    return ok;
}

bool fe_detect_quant(const char *dir, const cJSON *root, const char *file, arena *mem, diag *d,
                     quant_config *out) {
    *out = (quant_config){0};
    const cJSON *own = json_member(root, "quantization_config");
    if (own) {
        const reader r = {.o = own, .file = file, .mem = mem, .d = d, .out = out};
        if (!cJSON_IsObject(own))
            return diag_error(d, DIAG_JSON_TYPE, (diag_loc){.file = file},
                              "'quantization_config' is no object");
        return read_method(&r, NULL);
    }
    /* AutoGPTQ's first files do not name their method */
    const char *gptq = path_join(mem, dir, "quantize_config.json");
    if (file_exists(gptq)) return read_file(gptq, "gptq", mem, d, out);
    const char *other = path_join(mem, dir, "quantization_config.json");
    return !file_exists(other) || read_file(other, NULL, mem, d, out);
}

bool fe_quant_leaves_plain(const quant_config *q, const char *module) {
    for (size_t i = 0; i < q->plain.n; i++)
        if (strstr(module, q->plain.at[i])) return true;
    for (size_t i = 0; i < q->only.n; i++)
        if (str_ends(str_of(module), q->only.at[i])) return false;
    return q->only.n > 0;
}
