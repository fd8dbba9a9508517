/* config.json, generation_config.json and quantization settings: what is read, what is refused. */
#include "frontend/config.h"

#include <string.h>

#include "base/json.h"
#include "tests/unit/unit.h"

static const char BASE[] =
    "{\"architectures\":[\"Phi3ForCausalLM\"],\"bos_token_id\":3,\"eos_token_id\":[4,5,4],"
    "\"hidden_act\":\"silu\",\"hidden_size\":32,\"intermediate_size\":48,"
    "\"max_position_embeddings\":256,\"model_type\":\"phi3\",\"num_attention_heads\":4,"
    "\"num_hidden_layers\":2,\"num_key_value_heads\":2,\"pad_token_id\":-1,\"rms_norm_eps\":1e-06,"
    "\"rope_scaling\":null,\"rope_theta\":250000,\"sliding_window\":null,"
    "\"tie_word_embeddings\":true,\"torch_dtype\":\"float16\",\"vocab_size\":100}";

/* BASE with members replaced by those of `patch`; a member "-" is taken out. */
static cJSON *patched(const char *patch) {
    cJSON *root = cJSON_Parse(BASE), *p = cJSON_Parse(patch), *e;
    CU_ASSERT_FATAL(root && p);
    cJSON_ArrayForEach(e, p) {
        cJSON_DeleteItemFromObjectCaseSensitive(root, e->string);
        if (!cJSON_IsString(e) || strcmp(e->valuestring, "-") != 0)
            cJSON_AddItemToObject(root, e->string, cJSON_Duplicate(e, 1));
    }
    cJSON_Delete(p);
    return root;
}

static bool read(const char *patch, arena *mem, diag *d, model_config *c) {
    cJSON *root = patched(patch);
    const bool ok = fe_config_from_json(root, "config.json", mem, d, c);
    cJSON_Delete(root);
    return ok;
}

static void fields_are_read(void) {
    arena *mem = arena_open();
    diag d = {.mem = mem};
    model_config c;
    CU_ASSERT_FATAL(read("{}", mem, &d, &c));
    CU_ASSERT_STRING_EQUAL(c.model_type, "phi3");
    CU_ASSERT(c.hidden_size == 32 && c.intermediate_size == 48 && c.num_hidden_layers == 2);
    CU_ASSERT(c.num_attention_heads == 4 && c.num_key_value_heads == 2 && c.head_dim == 8);
    CU_ASSERT(c.vocab_size == 100 && c.max_position_embeddings == 256 && c.sliding_window == 0);
    CU_ASSERT(c.rms_norm_eps == 1e-6 && c.rope_theta == 250000 && c.rot == 8);
    CU_ASSERT(c.tied && c.dtype == DT_f16 && c.bos == 3);
    CU_ASSERT(c.eos.n == 2 && c.eos.at[0] == 4 && c.eos.at[1] == 5);
    arena_close(mem);
}

static void absent_fields_have_the_family_s_defaults(void) {
    arena *mem = arena_open();
    diag d = {.mem = mem};
    model_config c;
    CU_ASSERT_FATAL(
        read("{\"num_key_value_heads\":\"-\",\"rms_norm_eps\":\"-\",\"rope_theta\":\"-\","
             "\"tie_word_embeddings\":\"-\",\"torch_dtype\":\"-\",\"bos_token_id\":null,"
             "\"eos_token_id\":\"-\",\"architectures\":\"-\",\"hidden_act\":\"-\","
             "\"max_position_embeddings\":\"-\",\"head_dim\":null}",
             mem, &d, &c));
    CU_ASSERT(c.num_key_value_heads == 4 && c.rms_norm_eps == 1e-5 && c.rope_theta == 10000);
    CU_ASSERT(!c.tied && c.dtype == DT_COUNT && c.bos == -1 && c.eos.n == 0);
    CU_ASSERT_EQUAL(c.max_position_embeddings, 4096);
    arena_close(mem);
}

static void both_spellings_are_read(void) {
    arena *mem = arena_open();
    diag d = {.mem = mem};
    model_config c;
    CU_ASSERT(read(
        "{\"rope_theta\":\"-\",\"rope_scaling\":\"-\",\"torch_dtype\":\"-\",\"dtype\":\"bfloat16\","
        "\"rope_parameters\":{\"partial_rotary_factor\":1.0,\"rope_theta\":5e5,\"rope_type\":"
        "\"default\"}}",
        mem, &d, &c));
    CU_ASSERT(c.rope_theta == 5e5 && c.dtype == DT_bf16);
    CU_ASSERT(
        read("{\"rope_scaling\":{\"type\":\"default\"},\"partial_rotary_factor\":1}", mem, &d, &c));
    CU_ASSERT_EQUAL(c.rope_theta, 250000);
    CU_ASSERT(
        read("{\"rope_parameters\":{\"rope_theta\":7}}", mem, &d, &c)); /* the newer one wins */
    CU_ASSERT_EQUAL(c.rope_theta, 7);
    CU_ASSERT(read("{\"head_dim\":16}", mem, &d, &c) && c.head_dim == 16 && c.rot == 16);
    CU_ASSERT(read("{\"eos_token_id\":7}", mem, &d, &c) && c.eos.n == 1 && c.eos.at[0] == 7);
    CU_ASSERT(read("{\"sliding_window\":262144}", mem, &d, &c) && c.sliding_window == 262144);
    CU_ASSERT(read("{\"full_attn_mod\":1,\"anything\":{\"a\":[1]}}", mem, &d, &c)); /* ignored */
    CU_ASSERT(read("{\"hidden_act\":\"swish\",\"hidden_size\":32.0}", mem, &d, &c));
    CU_ASSERT_EQUAL(d.n_errors, 0);
    arena_close(mem);
}

static const struct {
    const char *patch;
    diag_code code;
    const char *said;
} BAD[] = {
    {"{\"model_type\":\"-\"}", DIAG_JSON_MISSING, "'model_type'"},
    {"{\"model_type\":\"llama\"}", DIAG_MODEL_TYPE, "'llama'"},
    {"{\"model_type\":\"phi3small\"}", DIAG_MODEL_TYPE, "'phi3small'"},
    {"{\"model_type\":7}", DIAG_JSON_TYPE, "'model_type'"},
    {"{\"architectures\":[\"Phi3ForSequenceClassification\"]}", DIAG_MODEL_TYPE,
     "SequenceClassification"},
    {"{\"hidden_size\":\"-\"}", DIAG_JSON_MISSING, "'hidden_size'"},
    {"{\"hidden_size\":0}", DIAG_JSON_RANGE, "'hidden_size'"},
    {"{\"hidden_size\":1e30}", DIAG_JSON_RANGE, "'hidden_size'"},
    {"{\"hidden_size\":32.5}", DIAG_JSON_TYPE, "not an integer"},
    {"{\"intermediate_size\":-1}", DIAG_JSON_RANGE, "'intermediate_size'"},
    {"{\"vocab_size\":null}", DIAG_JSON_MISSING, "'vocab_size'"},
    {"{\"num_hidden_layers\":5000}", DIAG_JSON_RANGE, "'num_hidden_layers'"},
    {"{\"num_attention_heads\":0}", DIAG_JSON_RANGE, "'num_attention_heads'"},
    {"{\"num_attention_heads\":5,\"num_key_value_heads\":5}", DIAG_CONFIG_VALUE,
     "hidden_size 32 is no multiple"},
    {"{\"num_key_value_heads\":3}", DIAG_CONFIG_VALUE, "num_key_value_heads 3"},
    {"{\"num_key_value_heads\":8}", DIAG_JSON_RANGE, "'num_key_value_heads'"},
    {"{\"hidden_size\":36}", DIAG_CONFIG_VALUE, "heads of 9"},
    {"{\"head_dim\":7}", DIAG_CONFIG_VALUE, "heads of 7"},
    {"{\"head_dim\":0}", DIAG_JSON_RANGE, "'head_dim'"},
    {"{\"hidden_size\":1048576}", DIAG_CONFIG_VALUE, "heads of 262144"},
    {"{\"max_position_embeddings\":0}", DIAG_JSON_RANGE, "'max_position_embeddings'"},
    {"{\"rms_norm_eps\":-1}", DIAG_JSON_RANGE, "'rms_norm_eps'"},
    {"{\"rms_norm_eps\":\"1e-5\"}", DIAG_JSON_TYPE, "'rms_norm_eps'"},
    {"{\"rope_theta\":0}", DIAG_JSON_RANGE, "'rope_theta'"},
    {"{\"rope_theta\":1e999}", DIAG_JSON_RANGE, "'rope_theta'"},
    {"{\"rope_scaling\":{\"type\":\"longrope\"}}", DIAG_CONFIG_UNSUPPORTED, "'longrope'"},
    {"{\"rope_scaling\":{\"rope_type\":\"yarn\"}}", DIAG_CONFIG_UNSUPPORTED, "'yarn'"},
    {"{\"rope_scaling\":{\"type\":\"su\"}}", DIAG_CONFIG_UNSUPPORTED, "'su'"},
    {"{\"rope_scaling\":[1]}", DIAG_JSON_TYPE, "'rope_scaling'"},
    {"{\"rope_parameters\":{\"rope_type\":\"linear\"}}", DIAG_CONFIG_UNSUPPORTED, "'linear'"},
    {"{\"rope_parameters\":{\"partial_rotary_factor\":0.75}}", DIAG_CONFIG_UNSUPPORTED,
     "'partial_rotary_factor'"},
    {"{\"partial_rotary_factor\":0.5}", DIAG_CONFIG_UNSUPPORTED, "'partial_rotary_factor'"},
    {"{\"attention_bias\":true}", DIAG_CONFIG_UNSUPPORTED, "'attention_bias'"},
    {"{\"mlp_bias\":true}", DIAG_CONFIG_UNSUPPORTED, "'mlp_bias'"},
    {"{\"lm_head_bias\":true}", DIAG_CONFIG_UNSUPPORTED, "'lm_head_bias'"},
    {"{\"attention_bias\":0}", DIAG_JSON_TYPE, "'attention_bias'"},
    {"{\"hidden_act\":\"gelu\"}", DIAG_CONFIG_UNSUPPORTED, "'hidden_act'"},
    {"{\"tie_word_embeddings\":1}", DIAG_JSON_TYPE, "'tie_word_embeddings'"},
    {"{\"sliding_window\":0}", DIAG_JSON_RANGE, "'sliding_window'"},
    {"{\"bos_token_id\":100}", DIAG_JSON_RANGE, "'bos_token_id'"},
    {"{\"eos_token_id\":100}", DIAG_CONFIG_VALUE, "'eos_token_id'"},
    {"{\"eos_token_id\":[1,-1]}", DIAG_CONFIG_VALUE, "'eos_token_id'"},
    {"{\"eos_token_id\":[1.5]}", DIAG_CONFIG_VALUE, "'eos_token_id'"},
    {"{\"eos_token_id\":\"x\"}", DIAG_CONFIG_VALUE, "'eos_token_id'"},
    {"{\"eos_token_id\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]}", DIAG_CONFIG_VALUE,
     "more than 16"},
};

static bool said(const diag *d, diag_code code, const char *what) {
    const bool ok = d->n_errors == 1 && d->first->code == code && strstr(d->first->text, what);
    if (!ok) printf("\n    got: %s\n", d->first ? d->first->text : "no error");
    return ok;
}

static void what_is_wrong_or_unknown_is_named(void) {
    for (size_t i = 0; i < COUNT_OF(BAD); i++) {
        arena *mem = arena_open();
        diag d = {.mem = mem};
        model_config c;
        CU_ASSERT(!read(BAD[i].patch, mem, &d, &c) && said(&d, BAD[i].code, BAD[i].said));
        arena_close(mem);
    }
    arena *mem = arena_open();
    diag d = {.mem = mem};
    model_config c;
    cJSON *list = cJSON_Parse("[]");
    CU_ASSERT(!fe_config_from_json(list, "f", mem, &d, &c) && said(&d, DIAG_JSON_TYPE, "object"));
    cJSON_Delete(list);
    arena_close(mem);
}

static bool read_generation(const char *source, arena *mem, diag *d, model_config *c) {
    if (!read("{}", mem, d, c)) return false;
    cJSON *root = cJSON_Parse(source);
    CU_ASSERT_FATAL(root != NULL);
    c->generation =
        (fe_generation){.temperature = 1, .top_p = 1, .repetition_penalty = 1, .top_k = 50};
    const bool ok = fe_generation_from_json(root, "generation_config.json", d, c);
    cJSON_Delete(root);
    return ok;
}

static void generation_settings_are_read(void) {
    arena *mem = arena_open();
    diag d = {.mem = mem};
    model_config c;
    CU_ASSERT(read_generation(
        "{\"do_sample\":true,\"temperature\":0.7,\"top_k\":20,\"top_p\":0.9,\"min_p\":0.05,"
        "\"repetition_penalty\":1.1,\"eos_token_id\":[5,9],\"bos_token_id\":8,"
        "\"max_new_tokens\":77,\"num_beams\":1,\"typical_p\":1.0,\"bad_words_ids\":null,"
        "\"suppress_tokens\":[],\"_from_model_config\":true}",
        mem, &d, &c));
    const fe_generation *g = &c.generation;
    CU_ASSERT(g->do_sample && g->temperature == 0.7 && g->top_k == 20 && g->top_p == 0.9);
    CU_ASSERT(g->min_p == 0.05 && g->repetition_penalty == 1.1 && g->max_new_tokens == 77);
    CU_ASSERT(c.bos == 8 && c.eos.n == 3 && c.eos.at[2] == 9); /* with those of config.json */
    CU_ASSERT(read_generation("{}", mem, &d, &c) && !g->do_sample && g->top_k == 50);
    CU_ASSERT(read_generation("{\"do_sample\":true,\"temperature\":0}", mem, &d, &c) &&
              !g->do_sample);
    CU_ASSERT(read_generation("{\"top_p\":0}", mem, &d, &c) && g->top_p > 0 && g->top_p < 1e-6);
    CU_ASSERT_EQUAL(d.n_errors, 0);
    arena_close(mem);
}

static const struct {
    const char *source;
    diag_code code;
    const char *said;
} BAD_GENERATION[] = {
    {"[]", DIAG_JSON_TYPE, "object"},
    {"{\"temperature\":-1}", DIAG_JSON_RANGE, "'temperature'"},
    {"{\"top_p\":1.5}", DIAG_JSON_RANGE, "'top_p'"},
    {"{\"top_k\":-1}", DIAG_JSON_RANGE, "'top_k'"},
    {"{\"top_k\":2.5}", DIAG_JSON_TYPE, "'top_k'"},
    {"{\"repetition_penalty\":0}", DIAG_JSON_RANGE, "'repetition_penalty'"},
    {"{\"do_sample\":\"yes\"}", DIAG_JSON_TYPE, "'do_sample'"},
    {"{\"eos_token_id\":[1000]}", DIAG_CONFIG_VALUE, "'eos_token_id'"},
    {"{\"num_beams\":4}", DIAG_CONFIG_UNSUPPORTED, "'num_beams'"},
    {"{\"no_repeat_ngram_size\":3}", DIAG_CONFIG_UNSUPPORTED, "'no_repeat_ngram_size'"},
    {"{\"penalty_alpha\":0.6}", DIAG_CONFIG_UNSUPPORTED, "'penalty_alpha'"},
    {"{\"suppress_tokens\":[1]}", DIAG_CONFIG_UNSUPPORTED, "'suppress_tokens'"},
    {"{\"forced_eos_token_id\":2}", DIAG_CONFIG_UNSUPPORTED, "'forced_eos_token_id'"},
};

static void generation_settings_without_support_are_named(void) {
    for (size_t i = 0; i < COUNT_OF(BAD_GENERATION); i++) {
        arena *mem = arena_open();
        diag d = {.mem = mem};
        model_config c;
        CU_ASSERT(!read_generation(BAD_GENERATION[i].source, mem, &d, &c) &&
                  said(&d, BAD_GENERATION[i].code, BAD_GENERATION[i].said));
        arena_close(mem);
    }
}

static bool detect(const char *source, arena *mem, diag *d, quant_config *q) {
    cJSON *root = cJSON_CreateObject();
    cJSON *own = cJSON_Parse(source);
    CU_ASSERT_FATAL(own != NULL);
    cJSON_AddItemToObject(root, "quantization_config", own);
    const bool ok = fe_detect_quant("/nowhere", root, "config.json", mem, d, q);
    cJSON_Delete(root);
    return ok;
}

#define GPTQ "\"quant_method\":\"gptq\",\"bits\":4,\"group_size\":32"
#define ROUND "\"quant_method\":\"auto-round\",\"bits\":4,\"group_size\":64,\"packing_format\":"

static void packings_are_recognised(void) {
    arena *mem = arena_open();
    diag d = {.mem = mem};
    quant_config q;
    CU_ASSERT(detect("null", mem, &d, &q) && !q.packed);
    CU_ASSERT(!fe_quant_leaves_plain(&q, "model.layers.0.mlp.down_proj"));
    CU_ASSERT(
        detect("{" GPTQ
               ",\"desc_act\":true,\"sym\":false,\"checkpoint_format\":\"gptq\",\"dynamic\":null}",
               mem, &d, &q));
    CU_ASSERT(q.packed && q.group == 32 && q.act_order);
    CU_ASSERT_STRING_EQUAL(q.file, "config.json");
    CU_ASSERT(detect("{\"quant_method\":\"gptq\",\"bits\":4,\"group_size\":-1,\"dynamic\":{}}", mem,
                     &d, &q));
    CU_ASSERT(q.group == -1 && !q.act_order);
    CU_ASSERT(detect("{" ROUND "\"auto_round:auto_gptq\",\"data_type\":\"int\",\"act_bits\":16,"
                     "\"extra_config\":{\"model.layers.1.mlp.down_proj\":{\"bits\":16}}}",
                     mem, &d, &q));
    CU_ASSERT(q.packed && q.group == 64);
    CU_ASSERT(fe_quant_leaves_plain(&q, "model.layers.1.mlp.down_proj"));
    CU_ASSERT(!fe_quant_leaves_plain(&q, "model.layers.0.mlp.down_proj"));
    CU_ASSERT(
        detect("{" GPTQ
               ",\"modules_in_block_to_quantize\":[[\"self_attn.qkv_proj\"],[\"mlp.down_proj\"]]}",
               mem, &d, &q));
    CU_ASSERT(fe_quant_leaves_plain(&q, "model.layers.1.self_attn.o_proj"));
    CU_ASSERT(!fe_quant_leaves_plain(&q, "model.layers.1.self_attn.qkv_proj"));
    CU_ASSERT(detect("{" GPTQ ",\"modules_to_not_convert\":[\"layers.0.\"]}", mem, &d, &q));
    CU_ASSERT(fe_quant_leaves_plain(&q, "model.layers.0.self_attn.o_proj"));
    CU_ASSERT_EQUAL(d.n_errors, 0);
    arena_close(mem);
}

static const struct {
    const char *source;
    diag_code code;
    const char *said;
} BAD_QUANT[] = {
    {"[]", DIAG_JSON_TYPE, "'quantization_config'"},
    {"{\"bits\":4,\"group_size\":32}", DIAG_JSON_MISSING, "'quant_method'"},
    {"{\"quant_method\":\"awq\",\"bits\":4}", DIAG_QUANT_METHOD, "'awq'"},
    {"{\"quant_method\":\"torchao\"}", DIAG_QUANT_METHOD, "'torchao'"},
    {"{\"quant_method\":\"gptq\",\"group_size\":32}", DIAG_JSON_MISSING, "'bits'"},
    {"{\"quant_method\":\"gptq\",\"bits\":8,\"group_size\":32}", DIAG_QUANT_SETTING, "'bits' is 8"},
    {"{\"quant_method\":\"gptq\",\"bits\":4}", DIAG_JSON_MISSING, "'group_size'"},
    {"{\"quant_method\":\"gptq\",\"bits\":4,\"group_size\":0}", DIAG_QUANT_SETTING,
     "'group_size' is 0"},
    {"{\"quant_method\":\"gptq\",\"bits\":4,\"group_size\":-2}", DIAG_JSON_RANGE, "'group_size'"},
    {"{" GPTQ ",\"desc_act\":1}", DIAG_JSON_TYPE, "'desc_act'"},
    {"{" GPTQ ",\"checkpoint_format\":\"gptq_v2\"}", DIAG_QUANT_SETTING, "gptq_v2"},
    {"{" GPTQ ",\"checkpoint_format\":\"marlin\"}", DIAG_QUANT_SETTING, "marlin"},
    {"{" GPTQ ",\"is_marlin_format\":true}", DIAG_QUANT_SETTING, "is_marlin_format"},
    {"{" GPTQ ",\"pack_dtype\":\"int8\"}", DIAG_QUANT_SETTING, "pack_dtype"},
    {"{" GPTQ ",\"dynamic\":{\"+:.*\":{\"bits\":8}}}", DIAG_QUANT_SETTING, "dynamic"},
    {"{" ROUND "\"auto_round:auto_awq\"}", DIAG_QUANT_SETTING, "auto_awq"},
    {"{" ROUND "\"auto_round:auto_gptq\",\"data_type\":\"mx_fp\"}", DIAG_QUANT_SETTING,
     "data_type"},
    {"{" ROUND "\"auto_round:auto_gptq\",\"act_bits\":8}", DIAG_QUANT_SETTING, "act_bits"},
    {"{" ROUND "\"auto_round:auto_gptq\",\"extra_config\":{\"a\":{\"bits\":8}}}",
     DIAG_QUANT_SETTING, "extra_config"},
    {"{" ROUND "\"auto_round:auto_gptq\",\"extra_config\":{\"a\":{\"group_size\":32}}}",
     DIAG_QUANT_SETTING, "extra_config"},
};

static void other_packings_are_refused(void) {
    for (size_t i = 0; i < COUNT_OF(BAD_QUANT); i++) {
        arena *mem = arena_open();
        diag d = {.mem = mem};
        quant_config q;
        CU_ASSERT(!detect(BAD_QUANT[i].source, mem, &d, &q) &&
                  said(&d, BAD_QUANT[i].code, BAD_QUANT[i].said));
        arena_close(mem);
    }
}

UNIT_MAIN("config", {"fields are read", fields_are_read},
          {"absent fields have the family's defaults", absent_fields_have_the_family_s_defaults},
          {"both spellings are read", both_spellings_are_read},
          {"what is wrong or unknown is named", what_is_wrong_or_unknown_is_named},
          {"generation settings are read", generation_settings_are_read},
          {"generation settings without support are named",
           generation_settings_without_support_are_named},
          {"packings are recognised", packings_are_recognised},
          {"other packings are refused", other_packings_are_refused})
