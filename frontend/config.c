/* config.c - config.json -> model_config. */
#include "frontend/config.h"

#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/json.h"

enum { MAX_CONFIG_BYTES = 16 << 20, NEEDED = -1 };

static bool unsupported(diag *d, const char *file, const char *key, const char *found,
                        const char *want) {
    return diag_error(d, DIAG_CONFIG_UNSUPPORTED, (diag_loc){.file = file},
                      "'%s' is not supported (found %s, expected %s)", key, found, want);
}

/* model_type and architectures: before all else, so that another family's config is named so. */
static bool check_model_type(const cJSON *root, const char *file, diag *d) {
    const char *type = NULL;
    if (!json_get_str(root, "model_type", file, d, &type)) return false;
    if (strcmp(type, "phi3") != 0)
        return diag_error(d, DIAG_MODEL_TYPE, (diag_loc){.file = file},
                          "model_type '%s' is not supported (expected phi3)", type);
    const cJSON *list = json_member(root, "architectures"), *e;
    const char *found = NULL;
    cJSON_ArrayForEach(e, list) {
        if (!cJSON_IsString(e)) continue;
        if (strcmp(e->valuestring, "Phi3ForCausalLM") == 0) return true;
        found = e->valuestring;
    }
    return !found ||
           diag_error(d, DIAG_MODEL_TYPE, (diag_loc){.file = file},
                      "architecture '%s' is not supported (expected Phi3ForCausalLM)", found);
}

static bool read_sizes(const cJSON *root, const char *file, diag *d, model_config *out) {
#define SIZE(key, lo, hi, otherwise)                                                               \
    out->key = otherwise;                                                                          \
    if (!((otherwise) == NEEDED ? json_get_i64(root, #key, lo, hi, file, d, &out->key)             \
                                : json_opt_i64(root, #key, lo, hi, file, d, &out->key)))           \
        return false;
#include "frontend/config.def"
    return true;
}

static bool check_switches(const cJSON *root, const char *file, diag *d) {
#define FALSE_ONLY(key)                                                                            \
    {                                                                                              \
        bool on = false;                                                                           \
        if (!json_opt_bool(root, #key, file, d, &on)) return false;                                \
        if (on) return unsupported(d, file, #key, "true", "false");                                \
    }
#include "frontend/config.def"
    const char *act = "silu";
    if (!json_opt_str(root, "hidden_act", file, d, &act)) return false;
    return strcmp(act, "silu") == 0 || strcmp(act, "swish") == 0 ||
           unsupported(d, file, "hidden_act", act, "silu");
}

static bool read_heads(const cJSON *root, const char *file, diag *d, model_config *out) {
    const int64_t H = out->num_attention_heads;
    int64_t G = H, E = out->hidden_size % H ? 0 : out->hidden_size / H;
    if (!json_opt_i64(root, "num_key_value_heads", 1, H, file, d, &G) ||
        !json_opt_i64(root, "head_dim", 2, 4096, file, d, &E))
        return false;
    if (H % G)
        return diag_error(d, DIAG_CONFIG_VALUE, (diag_loc){.file = file},
                          "num_attention_heads %lld is no multiple of num_key_value_heads %lld",
                          (long long)H, (long long)G);
    if (!E)
        return diag_error(d, DIAG_CONFIG_VALUE, (diag_loc){.file = file},
                          "hidden_size %lld is no multiple of num_attention_heads %lld",
                          (long long)out->hidden_size, (long long)H);
    if (E < 2 || E > 4096 || E % 2)
        return diag_error(d, DIAG_CONFIG_VALUE, (diag_loc){.file = file},
                          "heads of %lld numbers (expected an even number up to 4096)",
                          (long long)E);
    out->num_key_value_heads = G;
    out->head_dim = E;
    return true;
}

/* The weights say their own types; this is a default for those that are made up. */
static bool read_dtype(const cJSON *root, const char *file, diag *d, model_config *out) {
    static const struct {
        const char *name;
        ir_dtype dtype;
    } NAMES[] = {{"bfloat16", DT_bf16}, {"float16", DT_f16}, {"float32", DT_f32}};
    const char *name = NULL;
    if (!json_opt_str(root, "torch_dtype", file, d, &name) ||
        !json_opt_str(root, "dtype", file, d, &name))
        return false;
    out->dtype = DT_COUNT;
    for (size_t i = 0; name && i < COUNT_OF(NAMES); i++)
        if (strcmp(name, NAMES[i].name) == 0) out->dtype = NAMES[i].dtype;
    return true;
}

static bool add_id(const cJSON *v, const char *key, const char *file, diag *d, int64_t vocab_size,
                   fe_ids *out) {
    const double x = cJSON_IsNumber(v) ? v->valuedouble : -1;
    if (!(x >= 0 && x < (double)vocab_size) || x != (double)(int64_t)x)
        return diag_error(d, DIAG_CONFIG_VALUE, (diag_loc){.file = file},
                          "'%s' holds no token id (expected integers from 0 to %lld)", key,
                          (long long)vocab_size - 1);
    for (int i = 0; i < out->n; i++)
        if (out->at[i] == (int32_t)x) return true;
    if (out->n == FE_MAX_STOPS)
        return diag_error(d, DIAG_CONFIG_VALUE, (diag_loc){.file = file},
                          "'%s': more than %d end tokens", key, FE_MAX_STOPS);
    out->at[out->n++] = (int32_t)x;
    return true;
}

bool fe_add_ids(const cJSON *root, const char *key, const char *file, diag *d, int64_t vocab_size,
                fe_ids *out) {
    const cJSON *v = json_member(root, key), *e;
    if (!v) return true;
    if (!cJSON_IsArray(v)) return add_id(v, key, file, d, vocab_size, out);
    cJSON_ArrayForEach(e, v) if (!add_id(e, key, file, d, vocab_size, out)) return false;
    return true;
}

bool fe_config_from_json(const cJSON *root, const char *file, arena *mem, diag *d,
                         model_config *out) {
    *out = (model_config){.bos = -1, .rms_norm_eps = 1e-5};
    if (!cJSON_IsObject(root))
        return diag_error(d, DIAG_JSON_TYPE, (diag_loc){.file = file}, "not a JSON object");
    int64_t bos = -1;
    if (!check_model_type(root, file, d) || !read_sizes(root, file, d, out) ||
        !read_heads(root, file, d, out) || !check_switches(root, file, d) ||
        !json_opt_f64(root, "rms_norm_eps", 0, 1, file, d, &out->rms_norm_eps) ||
        !json_opt_bool(root, "tie_word_embeddings", file, d, &out->tied) ||
        !json_opt_i64(root, "sliding_window", 1, 1 << 30, file, d, &out->sliding_window) ||
        !json_opt_i64(root, "bos_token_id", 0, out->vocab_size - 1, file, d, &bos) ||
        !fe_add_ids(root, "eos_token_id", file, d, out->vocab_size, &out->eos) ||
        !read_dtype(root, file, d, out) || !fe_rope_from_json(root, file, d, out))
        return false;
    out->model_type = arena_strdup(mem, "phi3");
    out->bos = (int32_t)bos;
    return true;
}

static bool parse_file(const char *path, arena *mem, diag *d, json *out) {
    str source;
    return file_read(path, MAX_CONFIG_BYTES, mem, d, &source) &&
           json_parse(source, path, mem, d, out);
}

bool fe_read_configs(const char *dir, arena *mem, diag *d, model_config *out, quant_config *quant) {
    const char *path = path_join(mem, dir, "config.json");
    json j;
    struct stat st;
    if (stat(dir, &st) != 0 || !S_ISDIR(st.st_mode))
        return diag_error(d, DIAG_WEIGHTS_MISSING, (diag_loc){.file = dir},
                          file_exists(dir) ? "not a folder" : "there is no such folder");
    if (!file_exists(path))
        return diag_error(d, DIAG_WEIGHTS_MISSING, (diag_loc){.file = dir},
                          "not a checkpoint: it holds no config.json");
    if (!parse_file(path, mem, d, &j)) return false;
    bool ok = fe_config_from_json(j.root, path, mem, d, out) &&
              fe_detect_quant(dir, j.root, path, mem, d, quant);
    json_free(&j);
    if (!ok) return false;
    out->quant_group = quant->packed ? quant->group : 0;

    out->generation =
        (fe_generation){.temperature = 1, .top_p = 1, .repetition_penalty = 1, .top_k = 50};
    path = path_join(mem, dir, "generation_config.json");
    if (!file_exists(path)) return true;
    if (!parse_file(path, mem, d, &j)) return false;
    ok = fe_generation_from_json(j.root, path, d, out);
    json_free(&j);
    return ok;
}

bool fe_read_config(const char *dir, arena *mem, diag *d, model_config *out) {
    quant_config quant;
    return fe_read_configs(dir, mem, d, out, &quant);
}
