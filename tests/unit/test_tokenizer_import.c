/* test_tokenizer_import.c - tokenizer.json -> table: what is read, what is refused and how it is
 * said. */
#include <dirent.h>

#include "base/file.h"
#include "base/json.h"
#include "tests/support/tokenizer_fixture.h"
#include "tests/unit/unit.h"

static const char MALFORMED[] = P4C_TESTS "/golden/malformed";
static const char BASE_DIR[] = P4C_TESTS "/golden/malformed/valid-base";

/* The text of the first message; "" where there is none. */
static const char *message(const tok_fixture *f) { return f->d.first ? f->d.first->text : ""; }

static void expect_error(const tok_fixture *f, bool ok, diag_code code, const char *mention) {
    CU_ASSERT_FALSE(ok);
    const bool right = f->d.n_errors == 1 && f->d.first && f->d.first->code == code &&
                       strcasestr(message(f), mention) && diag_exit_status(&f->d) == EXIT_BAD_INPUT;
    if (!right) printf("\n    wanted %s with '%s', got: %s ", diag_name(code), mention, message(f));
    CU_ASSERT(right);
}

/* ---- the corrupt inputs of the reference data ---- */

/* The case's tokenizer.json over valid-base's other files. */
static bool import_case(tok_fixture *f, arena *mem, const char *name, int64_t vocab_size) {
    const fe_tokenizer_text in = {
        .tokenizer = tok_file(mem, path_join(mem, MALFORMED, name), "tokenizer.json"),
        .config = tok_file(mem, BASE_DIR, "tokenizer_config.json"),
        .special_map = tok_file(mem, BASE_DIR, "special_tokens_map.json"),
        .tokenizer_file = "tokenizer.json",
        .config_file = "tokenizer_config.json",
        .special_map_file = "special_tokens_map.json",
    };
    tok_fixture_begin(f);
    return fe_import_tokenizer_text(&in, vocab_size, f->mem, &f->d, &f->blob);
}

static bool mentions_any(const cJSON *words, const char *s) {
    for (const cJSON *w = words->child; w; w = w->next)
        if (strcasestr(s, w->valuestring)) return true;
    return false;
}

static void test_malformed(void) {
    arena *mem = arena_open();
    diag d = {.mem = mem};
    json expected = {0};
    int n_cases = 0;
    CU_ASSERT_FATAL(json_parse(tok_file(mem, MALFORMED, "expected.json"), "", mem, &d, &expected));
    for (const cJSON *c = json_member(expected.root, "cases")->child; c; c = c->next) {
        const bool is_base = !strcmp(c->string, "valid-base");
        if (strncmp(c->string, "tok-", 4) && !is_base) continue;
        tok_fixture f;
        const bool ok = import_case(&f, mem, c->string, 288); /* the base's vocab_size */
        const bool accept = !strcmp(json_member(c, "expect")->valuestring, "accept");
        CU_ASSERT_EQUAL(ok, accept);
        if (!accept) {
            const cJSON *words = json_member(c, "message_mentions_any_of");
            CU_ASSERT_EQUAL(diag_exit_status(&f.d), EXIT_BAD_INPUT);
            CU_ASSERT_EQUAL(f.d.n_errors, 1);
            CU_ASSERT(mentions_any(words, message(&f)));
        }
        n_cases++;
        tok_fixture_close(&f);
    }
    CU_ASSERT_EQUAL(n_cases, 13);
    json_free(&expected);
    arena_close(mem);
}

/* ---- settings ---- */

#define SPLIT "\"behavior\":\"Isolated\",\"invert\":false"
#define BYTES                                                                                      \
    "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":"      \
    "false}"
#define DECODER                                                                                    \
    "\"decoder\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"trim_offsets\":true,"         \
    "\"use_regex\":true}"
#define POST                                                                                       \
    "\"post_processor\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"trim_offsets\":false," \
    "\"use_regex\":true}"
#define PRE_BEGIN "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":["

/* One change to valid-base's tokenizer.json, and the error it gives. */
static const struct change {
    const char *find, *put;
    diag_code code;
    const char *mention;
} REFUSED[] = {
    {"\"version\":\"1.0\"", "\"version\":\"2.0\"", DIAG_TOK_SETTING, "\"2.0\""},
    {"\"version\":\"1.0\"", "\"version\":1.0", DIAG_JSON_TYPE, "version"},
    {"\"normalizer\":null", "\"normalizer\":{\"type\":\"NFC\"}", DIAG_TOK_SETTING,
     "normalizer of type \"NFC\""},
    {"\"normalizer\":null",
     "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Lowercase\"}]}",
     DIAG_TOK_SETTING, "Lowercase"},
    {"\"normalizer\":null", "\"normalizer\":7", DIAG_TOK_SETTING, "normalizer"},
    {SPLIT, "\"behavior\":\"Removed\",\"invert\":false", DIAG_TOK_SETTING, "\"Removed\""},
    {SPLIT, "\"behavior\":\"MergedWithNext\",\"invert\":true", DIAG_TOK_SETTING,
     "\"MergedWithNext\", inverted"},
    {SPLIT, "\"invert\":false", DIAG_JSON_MISSING, "behavior"},
    {"{\"Regex\":", "{\"String\":", DIAG_TOK_PATTERN, "regular expression"},
    {"\\\\p{N}{1,3}", "\\\\p{N}", DIAG_TOK_PATTERN, "pattern"},
    {"(?i:'s|'t", "(?i:'s|'t|'x", DIAG_TOK_PATTERN, "pattern"},
    {"\"type\":\"Split\"", "\"type\":\"Digits\"", DIAG_TOK_SETTING, "\"Digits\""},
    {"\"type\":\"Split\",", "", DIAG_TOK_SETTING, "pre_tokenizer"},
    {"," BYTES, "", DIAG_TOK_SETTING, "not byte-level"},
    {"," BYTES, ",{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":true}",
     DIAG_TOK_SETTING, "twice"},
    {"," BYTES, ",{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"use_regex\":false}",
     DIAG_TOK_SETTING, "add_prefix_space"},
    {"," BYTES, "," BYTES "," BYTES, DIAG_TOK_SETTING, "behind 'ByteLevel'"},
    {PRE_BEGIN, "\"pre_tokenizer\":" BYTES ",\"unused\":{\"x\":[", DIAG_TOK_SETTING, "no pattern"},
    {PRE_BEGIN, "\"pre_tokenizer\":null,\"unused\":{\"x\":[", DIAG_TOK_SETTING, "not byte-level"},
    {PRE_BEGIN, "\"pre_tokenizer\":[],\"unused\":{\"x\":[", DIAG_TOK_SETTING, "pre_tokenizer"},
    {DECODER, "\"decoder\":null", DIAG_TOK_SETTING, "decoder"},
    {DECODER, "\"decoder\":{\"type\":\"Metaspace\"}", DIAG_TOK_SETTING,
     "decoder of type \"Metaspace\""},
    {DECODER,
     "\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"ByteLevel\"},{\"type\":"
     "\"Strip\"}]}",
     DIAG_TOK_SETTING, "\"Strip\""},
    {POST, "\"post_processor\":{\"type\":\"RobertaProcessing\"}", DIAG_TOK_SETTING,
     "\"RobertaProcessing\""},
    {POST,
     "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<"
     "|pad|>\"}},"
     "{\"Sequence\":{\"id\":\"A\"}}]}",
     DIAG_TOK_SETTING, "post_processor that adds tokens"},
    {POST, "\"post_processor\":{\"type\":\"Sequence\",\"processors\":[{\"type\":\"Sequence\"}]}",
     DIAG_TOK_SETTING, "nested"},
    {POST,
     "\"post_processor\":{\"type\":\"Sequence\",\"processors\":[{\"type\":\"BertProcessing\"}]}",
     DIAG_TOK_SETTING, "BertProcessing"},
    {"\"type\":\"BPE\"", "\"type\":\"WordPiece\"", DIAG_TOK_MODEL, "\"WordPiece\""},
    {"\"type\":\"BPE\"", "\"type\":[]", DIAG_JSON_TYPE, "type"},
    {"\"model\":{", "\"model\":[],\"unused\":{", DIAG_TOK_MODEL, "model"},
    {"\"dropout\":null", "\"dropout\":0.1", DIAG_TOK_SETTING, "dropout"},
    {"\"continuing_subword_prefix\":null", "\"continuing_subword_prefix\":\"##\"", DIAG_TOK_SETTING,
     "continuing_subword_prefix"},
    {"\"end_of_word_suffix\":null", "\"end_of_word_suffix\":\"</w>\"", DIAG_TOK_SETTING,
     "end_of_word_suffix"},
    {"\"byte_fallback\":false", "\"byte_fallback\":true", DIAG_TOK_SETTING, "byte_fallback"},
    {"\"ignore_merges\":false", "\"ignore_merges\":0", DIAG_JSON_TYPE, "ignore_merges"},
    {"\"vocab\":{", "\"vocab\":[],\"unused\":{", DIAG_TOK_MODEL, "vocab"},
    {"\"merges\":[", "\"merges\":\"e r\",\"unused\":[", DIAG_TOK_MODEL, "merges"},
    /* vocabulary */
    {"\"!\":0", "\"!\":0.5", DIAG_TOK_VOCAB, "\"!\" is not an integer"},
    {"\"!\":0", "\"!\":\"0\"", DIAG_TOK_VOCAB, "\"!\" is not an integer"},
    {"\"!\":0", "\"!\":1e300", DIAG_TOK_VOCAB, "out of range"},
    {"\"!\":0", "\"!\":280", DIAG_TOK_VOCAB,
     "out of range (found 280, expected below 280, the model's vocab_size)"},
    {"\"!\":0", "\"!\":1", DIAG_TOK_VOCAB, "id 1 is used twice: by \"!\" and by \"\\\"\""},
    {"\"!\":0", "\"!!\":0", DIAG_TOK_VOCAB, "no token for byte 0x21"},
    /* merges */
    {"\"e r\"", "7", DIAG_TOK_MERGE, "merge 0 is neither a string nor a pair"},
    {"\"e r\"", "[\"e\"]", DIAG_TOK_MERGE, "merge 0"},
    {"\"e r\"", "[\"e\",\"r\",\"r\"]", DIAG_TOK_MERGE, "merge 0"},
    {"\"e r\"", "[\"e\",1]", DIAG_TOK_MERGE, "merge 0"},
    {"\"e r\"", "\"e r r\"", DIAG_TOK_MERGE, "one blank"},
    {"\"e r\"", "\"e q\"", DIAG_TOK_MERGE,
     "merge 0 has a token that the vocabulary has not: \"eq\""},
    {"\"e r\"", "\"<|pad|> r\"", DIAG_TOK_MERGE, "<|pad|>"},
    {"\"e r\"", "\"e \"", DIAG_TOK_MERGE, "merge 0"},
    /* added tokens */
    {"\"added_tokens\":[", "\"added_tokens\":{},\"unused\":[", DIAG_TOK_ADDED, "added_tokens"},
    {"\"added_tokens\":[", "\"added_tokens\":[5,", DIAG_JSON_MISSING, "content"},
    {"\"id\":270,", "", DIAG_TOK_VOCAB, "<|endoftext|>"},
    {"\"id\":270,", "\"id\":271,", DIAG_TOK_ADDED,
     "<|endoftext|>\" has id 271, but the next free id is 270"},
    {"\"id\":270,", "\"id\":269,", DIAG_TOK_VOCAB, "id 269 is used twice"},
    {"\"content\":\"<|pad|>\"", "\"content\":\"<|im_end|>\"", DIAG_TOK_ADDED,
     "<|im_end|>\" occurs twice"},
    {"\"content\":\"<|pad|>\"", "\"content\":\"the\"", DIAG_TOK_NAMED, "pad_token"},
    {"\"content\":\"<|pad|>\"", "\"content\":\"or\"", DIAG_TOK_ADDED,
     "\"or\" has id 272, but in the vocabulary it has 269"},
    {"\"content\":\"<|pad|>\"", "\"content\":\"\"", DIAG_TOK_ADDED, "0 bytes"},
    {"\"single_word\":false", "\"single_word\":true", DIAG_TOK_ADDED, "single_word"},
    {"\"lstrip\":false", "\"lstrip\":\"no\"", DIAG_JSON_TYPE, "lstrip"},
};

/* With valid-base's other files, and 280 rows of embedding. */
static bool import_changed(tok_fixture *f, arena *mem, const char *find, const char *put) {
    const fe_tokenizer_text in = {
        .tokenizer = tok_replace(mem, tok_file(mem, BASE_DIR, "tokenizer.json"), find, put),
        .special_map = tok_file(mem, BASE_DIR, "special_tokens_map.json"),
        .tokenizer_file = "tokenizer.json",
        .config_file = "tokenizer_config.json",
        .special_map_file = "special_tokens_map.json",
    };
    tok_fixture_begin(f);
    return fe_import_tokenizer_text(&in, 280, f->mem, &f->d, &f->blob);
}

static void test_refused(void) {
    arena *mem = arena_open();
    for (size_t i = 0; i < COUNT_OF(REFUSED); i++) {
        tok_fixture f;
        const bool ok = import_changed(&f, mem, REFUSED[i].find, REFUSED[i].put);
        expect_error(&f, ok, REFUSED[i].code, REFUSED[i].mention);
        tok_fixture_close(&f);
    }
    char many[RT_TOK_MAX_ADDED_BYTES + 32] = "\"content\":\"";
    memset(many + 11, '|', RT_TOK_MAX_ADDED_BYTES + 1);
    strcat(many, "\"");
    tok_fixture f;
    const bool ok = import_changed(&f, mem, "\"content\":\"<|im_sep|>\"", many);
    expect_error(&f, ok, DIAG_TOK_ADDED, "257 bytes");
    tok_fixture_close(&f);
    arena_close(mem);
}

/* Spellings that come to the same as the base, or to the same but for what the comment says. */
static void test_accepted(void) {
    static const char *const CHANGES[][2] = {
        {"\"version\":\"1.0\",", ""},
        {"\"normalizer\":null", "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[]}"},
        {SPLIT, "\"behavior\":\"Removed\",\"invert\":true"},
        {SPLIT, "\"behavior\":\"Isolated\""},
        {DECODER, "\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"ByteLevel\"}]}"},
        {POST, "\"post_processor\":null"},
        {POST,
         "\"post_processor\":{\"type\":\"Sequence\",\"processors\":[{\"type\":\"ByteLevel\"}]}"},
        {POST, "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"Sequence\":{"
               "\"id\":\"A\"}}]}"},
        {"\"type\":\"BPE\",", ""},
        {"\"dropout\":null", "\"dropout\":0.0"},
        {"\"continuing_subword_prefix\":null", "\"continuing_subword_prefix\":\"\""},
        {"\"merges\":[", "\"merges\":[\"#version: 0.2\","},
        {"\"e r\"", "[\"e\",\"r\"]"},
        {"\"truncation\":null", "\"truncation\":{\"max_length\":3},\"unknown\":[1,2]"},
        {"\"single_word\":false,\"lstrip\":false,\"rstrip\":false,\"normalized\":false,\"special\":"
         "true",
         "\"special\":true"},
    };
    arena *mem = arena_open();
    tok_fixture base, f;
    CU_ASSERT_FATAL(import_changed(&base, mem, "\"!\":0", "\"!\":0"));
    for (size_t i = 0; i < COUNT_OF(CHANGES); i++) {
        const bool ok = import_changed(&f, mem, CHANGES[i][0], CHANGES[i][1]);
        if (!ok) printf("\n    change %zu: %s ", i, message(&f));
        CU_ASSERT_FATAL(ok);
        CU_ASSERT(f.blob.n == base.blob.n && !memcmp(f.blob.at, base.blob.at, f.blob.n));
        tok_fixture_close(&f);
    }
    tok_fixture_close(&base);
    arena_close(mem);
}

/* ---- tokenizer_config.json and special_tokens_map.json ---- */

static bool import_config(tok_fixture *f, arena *mem, const char *config, const char *map_text) {
    const fe_tokenizer_text in = {
        .tokenizer = tok_file(mem, BASE_DIR, "tokenizer.json"),
        .config = config ? str_of(config) : (str){NULL, 0},
        .special_map = map_text ? str_of(map_text) : (str){NULL, 0},
        .tokenizer_file = "tokenizer.json",
        .config_file = "tokenizer_config.json",
        .special_map_file = "special_tokens_map.json",
    };
    tok_fixture_begin(f);
    return fe_import_tokenizer_text(&in, 0, f->mem, &f->d, &f->blob) &&
           rt_tokenizer_open(&f->t, f->blob.at, f->blob.n);
}

static void test_names(void) {
    static const struct {
        const char *config, *map;
        int32_t bos, eos, pad, unk;
    } GOOD[] = {
        {NULL, NULL, -1, -1, -1, -1},
        {"{}", "{\"eos_token\":\"<|im_end|>\"}", -1, 271, -1, -1},
        {"{\"bos_token\":{\"content\":\"<|endoftext|>\"},\"unk_token\":\"a\"}", NULL, 270, -1, -1,
         64},
        {"{\"eos_token\":\"<|pad|>\",\"pad_token\":null}",
         "{\"eos_token\":\"<|im_end|>\",\"pad_token\":{\"content\":\"<|pad|>\"}}", -1, 272, 272,
         -1},
        {"{\"add_bos_token\":false,\"add_prefix_space\":null,\"extra_special_tokens\":[\"<|pad|>\"]"
         "}",
         NULL, -1, -1, -1, -1},
    };
    static const struct {
        const char *config, *map;
        diag_code code;
        const char *mention;
    } BAD[] = {
        {"[", NULL, DIAG_JSON_SYNTAX, "tokenizer_config.json"},
        {NULL, "{]", DIAG_JSON_SYNTAX, "special_tokens_map.json"},
        {"{\"add_bos_token\":true}", NULL, DIAG_TOK_SETTING, "add_bos_token"},
        {"{\"add_eos_token\":true}", NULL, DIAG_TOK_SETTING, "add_eos_token"},
        {"{\"add_prefix_space\":true}", NULL, DIAG_TOK_SETTING, "add_prefix_space"},
        {"{\"split_special_tokens\":true}", NULL, DIAG_TOK_SETTING, "split_special_tokens"},
        {"{\"add_bos_token\":1}", NULL, DIAG_JSON_TYPE, "add_bos_token"},
        {"{\"eos_token\":5}", NULL, DIAG_TOK_NAMED, "eos_token"},
        {"{\"eos_token\":\"</s>\"}", NULL, DIAG_TOK_NAMED, "\"</s>\""},
        {NULL, "{\"mask_token\":\"<m>\"}", DIAG_TOK_NAMED, "special_tokens_map.json: 'mask_token'"},
        {"{\"additional_special_tokens\":[\"<|x|>\"]}", NULL, DIAG_TOK_NAMED, "\"<|x|>\""},
        {"{\"extra_special_tokens\":{\"image\":\"<|x|>\"}}", NULL, DIAG_TOK_NAMED, "\"<|x|>\""},
        {"{\"added_tokens_decoder\":{\"280\":{\"content\":\"<|x|>\"}}}", NULL, DIAG_TOK_NAMED,
         "\"<|x|>\""},
        {"{\"added_tokens_decoder\":{\"280\":{\"content\":\"<|pad|>\"}}}", NULL, DIAG_TOK_NAMED,
         "\"280\""},
        {"{\"added_tokens_decoder\":{\"x\":{\"content\":\"<|pad|>\"}}}", NULL, DIAG_TOK_NAMED,
         "\"x\""},
        {"{\"added_tokens_decoder\":{\"272\":7}}", NULL, DIAG_TOK_NAMED, "added_tokens_decoder"},
        {"{\"added_tokens_decoder\":{\"272\":{\"content\":\"<|pad|>\",\"lstrip\":1}}}", NULL,
         DIAG_JSON_TYPE, "lstrip"},
    };
    arena *mem = arena_open();
    tok_fixture f;
    for (size_t i = 0; i < COUNT_OF(GOOD); i++) {
        CU_ASSERT_FATAL(import_config(&f, mem, GOOD[i].config, GOOD[i].map));
        const rt_tok_header *h = f.t.head;
        CU_ASSERT(h->bos == GOOD[i].bos && h->eos == GOOD[i].eos);
        CU_ASSERT(h->pad == GOOD[i].pad && h->unk == GOOD[i].unk);
        CU_ASSERT(f.d.n_warnings == 0);
        tok_fixture_close(&f);
    }
    for (size_t i = 0; i < COUNT_OF(BAD); i++) {
        const bool ok = import_config(&f, mem, BAD[i].config, BAD[i].map);
        expect_error(&f, ok, BAD[i].code, BAD[i].mention);
        tok_fixture_close(&f);
    }
    arena_close(mem);
}

static void test_warnings(void) {
    static const char *const WARNED[][2] = {
        {"{\"clean_up_tokenization_spaces\":true}", "clean_up_tokenization_spaces"},
        {"{\"added_tokens_decoder\":{\"272\":{\"content\":\"<|pad|>\",\"lstrip\":true}}}",
         "other flags"},
        {"{\"added_tokens_decoder\":{\"64\":{\"content\":\"a\"}}}", "other flags"},
    };
    arena *mem = arena_open();
    for (size_t i = 0; i < COUNT_OF(WARNED); i++) {
        tok_fixture f;
        CU_ASSERT(import_config(&f, mem, WARNED[i][0], NULL));
        CU_ASSERT(f.d.n_warnings == 1 && f.d.n_errors == 0);
        CU_ASSERT(strstr(message(&f), WARNED[i][1]) != NULL);
        tok_fixture_close(&f);
    }
    arena_close(mem);
}

/* ---- folders ---- */

static const struct {
    const char *dir, *text;
    int32_t first[8];
} FOLDERS[] = {
    {"phi4-bf16", "<|im_start|>system<|im_sep|>You are", {301, 82, 88, 275, 68, 76, 303, 56}},
    {"phi4-resized-vocab", "<|system|>Be brief.<|im_end|>", {320, 33, 68, 274, 81, 72, 68, 69}},
    {"tokenizer-mini-tiny", "<|system|>You are a helpful", {305, 56, 270, 263, 279, 263, 268, 68}},
};

static void test_folders(void) {
    arena *mem = arena_open();
    for (size_t i = 0; i < COUNT_OF(FOLDERS); i++) {
        tok_fixture f;
        CU_ASSERT_FATAL(
            tok_fixture_dir(&f, path_join(mem, P4C_TESTS "/golden", FOLDERS[i].dir), 0));
        tok_encode(&f, str_of(FOLDERS[i].text), true, NULL);
        CU_ASSERT(f.ids.n >= 8 && !memcmp(f.ids.at, FOLDERS[i].first, sizeof FOLDERS[i].first));
        CU_ASSERT(f.t.head->pattern == (i == 2 ? RT_TOK_o200k : RT_TOK_cl100k));
        tok_fixture_close(&f);
    }
    tok_fixture f;
    const bool ok = tok_fixture_dir(&f, P4C_TESTS "/golden/no-such-folder", 0);
    expect_error(&f, ok, DIAG_FILE_OPEN, "tokenizer.json");
    tok_fixture_close(&f);
    arena_close(mem);
}

/* Every checkpoint of the reference data that has a tokenizer: imports, and encodes its prompts as
 * it says. */
static void test_checkpoints(void) {
    arena *mem = arena_open();
    DIR *all = opendir(P4C_TESTS "/golden");
    CU_ASSERT_FATAL(all != NULL);
    int n_texts = 0;
    for (const struct dirent *e; (e = readdir(all));) {
        const char *dir = arena_printf(mem, P4C_TESTS "/golden/%s", e->d_name);
        if (strncmp(e->d_name, "phi4-", 5) || !file_exists(path_join(mem, dir, "tokenizer.json")))
            continue;
        tok_fixture f;
        json cases = {0};
        const bool opened = tok_fixture_dir(&f, dir, 0);
        if (!opened) printf("\n    %s ", message(&f));
        CU_ASSERT_FATAL(opened);
        CU_ASSERT_FATAL(json_parse(tok_file(mem, path_join(mem, dir, "golden"), "cases.json"), "",
                                   mem, &f.d, &cases));
        const cJSON *c = json_member(cases.root, "cases");
        for (c = c ? c->child : NULL; c; c = c->next) {
            const cJSON *source = json_member(c, "text"), *id = json_member(c, "input_ids")->child;
            if (!source) continue;
            tok_encode(&f, str_of(source->valuestring), true, NULL);
            size_t n = 0;
            for (; id; id = id->next, n++) CU_ASSERT(n < f.ids.n && f.ids.at[n] == id->valueint);
            CU_ASSERT_EQUAL(n, f.ids.n);
            n_texts++;
        }
        json_free(&cases);
        tok_fixture_close(&f);
    }
    CU_ASSERT(n_texts >= 3);
    closedir(all);
    arena_close(mem);
}

/* ---- the table itself ---- */

static void test_same_bytes(void) {
    tok_fixture a, b;
    arena *mem = arena_open();
    const char *dir = P4C_GOLDEN_TOKENIZERS "/tokenizer-phi4";
    CU_ASSERT_FATAL(tok_fixture_dir(&a, dir, 100352) && tok_fixture_dir(&b, dir, 0));
    CU_ASSERT(a.blob.n == b.blob.n && !memcmp(a.blob.at, b.blob.at, a.blob.n));
    CU_ASSERT_EQUAL((uintptr_t)a.blob.at % RT_TOK_ALIGN, 0);
    for (int k = 0; k < RT_TOK_N_PARTS; k++)
        CU_ASSERT_EQUAL(a.t.head->part[k].offset % RT_TOK_ALIGN, 0);
    CU_ASSERT(a.t.head->word_probe <= RT_TOK_MAX_PROBE && a.t.head->pair_probe <= RT_TOK_MAX_PROBE);
    /* ids are dense here, each with a token that spells something, and 96 of them are special */
    int n_special = 0, n_empty = 0;
    for (int32_t id = 0; id < (int32_t)a.t.head->n_ids; id++) {
        size_t n;
        rt_token_bytes(&a.t, id, &n);
        n_empty += n == 0;
        n_special += (rt_token_flags(&a.t, id) & RT_TOK_IS_SPECIAL) != 0;
    }
    CU_ASSERT(a.t.head->n_ids == 100352 && n_special == 96 && n_empty == 0);
    tok_fixture_close(&a);
    tok_fixture_close(&b);
    CU_ASSERT_FALSE(tok_fixture_dir(&a, dir, 100351)); /* one row too few */
    expect_error(&a, false, DIAG_TOK_VOCAB, "100351");
    tok_fixture_close(&a);
    arena_close(mem);
}

/* A token that merging cannot reach stands for itself only where merges are ignored. */
static void test_unreachable_word(void) {
    arena *mem = arena_open();
    tok_fixture f;
    const str source = tok_file(mem, BASE_DIR, "tokenizer.json");
    const str with = tok_replace(mem, source, "\"!\":0", "\"!\":0,\"xyz\":275");
    CU_ASSERT_FATAL(tok_fixture_json(&f, with, 0) == false); /* the added tokens' ids move by one */
    tok_fixture_close(&f);
    const str bare =
        tok_replace(mem, with, "\"added_tokens\":[", "\"added_tokens\":[],\"unused\":[");
    CU_ASSERT_FATAL(tok_fixture_json(&f, bare, 0));
    tok_encode(&f, STR("xyz xyz"), true, NULL);
    CU_ASSERT(f.ids.n == 7 && tok_ids_spell(&f, STR("xyz xyz")));
    tok_fixture_close(&f);
    const str ignore = tok_replace(mem, bare, "\"ignore_merges\":false", "\"ignore_merges\":true");
    CU_ASSERT_FATAL(tok_fixture_json(&f, ignore, 0));
    tok_encode(&f, STR("xyz xyz"), true, NULL);
    CU_ASSERT(f.ids.n == 5 && f.ids.at[0] == 275);
    tok_fixture_close(&f);
    arena_close(mem);
}

static void test_too_many_merges(void) {
    arena *mem = arena_open();
    text t = {.mem = mem};
    vec_reserve(mem, &t.buf, 6 * RT_TOK_MAX_IDS + 64);
    text_cat(&t, "\"merges\":[");
    for (int i = 1; i < RT_TOK_MAX_IDS; i++) text_cat(&t, "\"e r\",");
    tok_fixture f;
    const bool ok = import_changed(&f, mem, "\"merges\":[", t.buf.at);
    expect_error(&f, ok, DIAG_TOK_LIMIT, "merges");
    tok_fixture_close(&f);
    arena_close(mem);
}

static void test_too_many_added(void) {
    arena *mem = arena_open();
    text t = {.mem = mem};
    text_cat(&t, "\"added_tokens\":[");
    const int n = (1 << 20) / 128 + 1;
    for (int i = 0; i < n; i++)
        text_printf(&t, "{\"id\":%d,\"content\":\"%0128d\"}%c", 270 + i, i, i < n - 1 ? ',' : ']');
    text_cat(&t, ",\"unused\":[");
    tok_fixture f;
    const str base = tok_file(mem, BASE_DIR, "tokenizer.json");
    const bool ok = tok_fixture_json(&f, tok_replace(mem, base, "\"added_tokens\":[", t.buf.at), 0);
    expect_error(&f, ok, DIAG_TOK_LIMIT, "1048576 bytes");
    tok_fixture_close(&f);
    arena_close(mem);
}

UNIT_MAIN("tokenizer_import", {"corrupt files are refused as expected", test_malformed},
          {"what is not supported is refused by name", test_refused},
          {"spellings that mean the same", test_accepted},
          {"names of bos, eos, pad, unk", test_names}, {"warnings", test_warnings},
          {"folders", test_folders}, {"checkpoints of the reference data", test_checkpoints},
          {"same files, same bytes", test_same_bytes},
          {"words that merging does not reach", test_unreachable_word},
          {"too many merges", test_too_many_merges},
          {"too much text of added tokens", test_too_many_added})
