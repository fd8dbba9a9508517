/* generation_config.c - defaults of sampling, and further end tokens.
 *
 * Settings that p4c does not have are refused where they are on, because the text would be another;
 * their neutral values, which some files spell out, are accepted.  Source: transformers,
 * generation/configuration_utils.py.
 */
#include "base/json.h"
#include "frontend/config.h"

/* Numbers that must have their neutral value. */
static const struct {
    const char *key;
    double neutral;
} NEUTRAL[] = {
    {"num_beams", 1},
    {"num_beam_groups", 1},
    {"typical_p", 1},
    {"epsilon_cutoff", 0},
    {"eta_cutoff", 0},
    {"diversity_penalty", 0},
    {"encoder_repetition_penalty", 1},
    {"no_repeat_ngram_size", 0},
    {"encoder_no_repeat_ngram_size", 0},
    {"penalty_alpha", 0},
    {"guidance_scale", 1},
    {"min_length", 0},
    {"min_new_tokens", 0},
};

/* Of any type; only null, false and empty lists are neutral. */
static const char *const ABSENT[] = {
    "bad_words_ids",       "suppress_tokens",          "begin_suppress_tokens",
    "forced_bos_token_id", "forced_eos_token_id",      "sequence_bias",
    "watermarking_config", "force_words_ids",          "constraints",
    "stop_strings",        "prompt_lookup_num_tokens", "exponential_decay_length_penalty",
};

static bool refuse(const char *key, const char *file, diag *d) {
    return diag_error(d, DIAG_CONFIG_UNSUPPORTED, (diag_loc){.file = file},
                      "'%s' is not supported (expected it to be absent)", key);
}

static bool check_rest(const cJSON *root, const char *file, diag *d) {
    for (size_t i = 0; i < COUNT_OF(NEUTRAL); i++) {
        double x = NEUTRAL[i].neutral;
        if (!json_opt_f64(root, NEUTRAL[i].key, -1e9, 1e9, file, d, &x)) return false;
        if (x != NEUTRAL[i].neutral) return refuse(NEUTRAL[i].key, file, d);
    }
    for (size_t i = 0; i < COUNT_OF(ABSENT); i++) {
        const cJSON *v = json_member(root, ABSENT[i]);
        if (v && !cJSON_IsFalse(v) && !(cJSON_IsArray(v) && !v->child))
            return refuse(ABSENT[i], file, d);
    }
    return true;
}

bool fe_generation_from_json(const cJSON *root, const char *file, diag *d, model_config *out) {
    fe_generation *g = &out->generation;
    if (!cJSON_IsObject(root))
        return diag_error(d, DIAG_JSON_TYPE, (diag_loc){.file = file}, "not a JSON object");
    int64_t bos = out->bos;
    if (!json_opt_i64(root, "bos_token_id", 0, out->vocab_size - 1, file, d, &bos) ||
        !fe_add_ids(root, "eos_token_id", file, d, out->vocab_size, &out->eos) ||
        !json_opt_bool(root, "do_sample", file, d, &g->do_sample) ||
        !json_opt_f64(root, "temperature", 0, 1e6, file, d, &g->temperature) ||
        !json_opt_f64(root, "top_p", 0, 1, file, d, &g->top_p) ||
        !json_opt_f64(root, "min_p", 0, 1, file, d, &g->min_p) ||
        !json_opt_f64(root, "repetition_penalty", 1e-3, 1e3, file, d, &g->repetition_penalty) ||
        !json_opt_i64(root, "top_k", 0, 1 << 30, file, d, &g->top_k) ||
        !json_opt_i64(root, "max_new_tokens", 0, 1 << 30, file, d, &g->max_new_tokens) ||
        !check_rest(root, file, d))
        return false;
    if (g->temperature == 0) { /* what users who write 0 mean; transformers refuses it */
        g->do_sample = false;
        g->temperature = 1;
    }
    if (g->top_p == 0)
        g->top_p = 1e-9; /* the most probable token alone, in a form that is not "off" */
    out->bos = (int32_t)bos;
    return true;
}
