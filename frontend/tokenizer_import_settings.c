/* tokenizer_import_settings.c - the parts of tokenizer.json that say how text is cut and joined.
 *
 * Only what leads to the runtime's three splitters and its byte-level decoder passes; the rest is
 * refused by name, for ignoring it would give other ids.  Source: the tokenizers library 0.23
 * (serialization of each part).
 */
#include "frontend/tokenizer_import_model.h"

/* Spellings of the split patterns that cut every text alike. */
static const struct pattern_spelling {
    rt_tok_pattern pattern;
    const char *text;
} PATTERNS[] = {
#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define SPACES "\\s+(?!\\S)|\\s+"
    {RT_TOK_cl100k, CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|"
                                 " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|" SPACES},
    /* tiktoken's own: the possessive marks change nothing, for what follows them never wants back
     */
    {RT_TOK_cl100k, "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}{1,3}|"
                    " ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|" SPACES},
    {RT_TOK_o200k, "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" CONTRACTIONS "?|"
                   "[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER "*" CONTRACTIONS "?|"
                   "\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|" SPACES},
    {RT_TOK_gpt2, "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|" SPACES},
    {RT_TOK_gpt2, "'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|" SPACES},
};

typedef struct reader {
    arena *mem;
    diag *d;
    fe_tok_model *m;
} reader;

static diag_loc at_file(const reader *r) { return (diag_loc){.file = r->m->file}; }

/* The "type" of a part, "" where it has none. */
static const char *type_of(const cJSON *part) {
    const cJSON *type = json_member(part, "type");
    return cJSON_IsString(type) ? type->valuestring : "";
}

static bool unsupported(const reader *r, const char *what, const char *type) {
    return diag_error(r->d, DIAG_TOK_SETTING, at_file(r), "%s of type %s is not supported", what,
                      fe_tok_quote(r->mem, str_of(type)));
}

static bool is_type(const cJSON *part, const char *type) { return !strcmp(type_of(part), type); }

static bool check_normalizer(const reader *r, const cJSON *part) {
    if (!part) return true;
    const cJSON *list = json_member(part, "normalizers");
    if (is_type(part, "Sequence") && cJSON_IsArray(list) && !list->child) return true;
    if (is_type(part, "Sequence") && cJSON_IsArray(list)) part = list->child;
    return unsupported(r, "a normalizer", type_of(part));
}

/* What the pre-tokenizers read so far do. */
typedef struct splitting {
    bool has_pattern, has_bytes;
} splitting;

static bool set_pattern(const reader *r, splitting *s, rt_tok_pattern pattern) {
    if (s->has_pattern)
        return diag_error(r->d, DIAG_TOK_SETTING, at_file(r),
                          "a pre_tokenizer that splits twice is not supported");
    s->has_pattern = true;
    r->m->pattern = pattern;
    return true;
}

static bool read_split(const reader *r, const cJSON *part, splitting *s) {
    const char *behavior = "", *regex = NULL;
    bool invert = false;
    if (!json_get_str(part, "behavior", r->m->file, r->d, &behavior) ||
        !json_opt_bool(part, "invert", r->m->file, r->d, &invert))
        return false;
    const cJSON *pattern = json_member(part, "pattern");
    if (!cJSON_IsObject(pattern) || !json_member(pattern, "Regex"))
        return diag_error(r->d, DIAG_TOK_PATTERN, at_file(r),
                          "the pre_tokenizer splits by no regular expression");
    if (!json_get_str(pattern, "Regex", r->m->file, r->d, &regex)) return false;
    /* the known patterns take every character, so these come to the same: pieces are the matches */
    if (strcmp(behavior, "Isolated") && !(invert && !strcmp(behavior, "Removed")))
        return diag_error(r->d, DIAG_TOK_SETTING, at_file(r),
                          "a pre_tokenizer 'Split' with behavior %s%s is not supported",
                          fe_tok_quote(r->mem, str_of(behavior)), invert ? ", inverted" : "");
    for (size_t i = 0; i < COUNT_OF(PATTERNS); i++)
        if (!strcmp(regex, PATTERNS[i].text)) return set_pattern(r, s, PATTERNS[i].pattern);
    return diag_error(r->d, DIAG_TOK_PATTERN, at_file(r),
                      "the pre_tokenizer's split pattern is not a known one (found %s)",
                      fe_tok_quote(r->mem, str_of(regex)));
}

static bool read_byte_level(const reader *r, const cJSON *part, splitting *s) {
    bool prefix = true, use_regex = true;
    if (!json_opt_bool(part, "add_prefix_space", r->m->file, r->d, &prefix) ||
        !json_opt_bool(part, "use_regex", r->m->file, r->d, &use_regex))
        return false;
    if (prefix)
        return diag_error(r->d, DIAG_TOK_SETTING, at_file(r),
                          "a pre_tokenizer 'ByteLevel' with add_prefix_space is not supported");
    s->has_bytes = true;
    return !use_regex || set_pattern(r, s, RT_TOK_gpt2);
}

static bool read_pre_tokenizer(const reader *r, const cJSON *part) {
    splitting s = {false, false};
    const bool sequence = part && is_type(part, "Sequence");
    const cJSON *list = sequence ? json_member(part, "pretokenizers") : NULL;
    for (const cJSON *p = sequence ? list ? list->child : NULL : part; p;
         p = sequence ? p->next : NULL) {
        if (s.has_bytes)
            return diag_error(r->d, DIAG_TOK_SETTING, at_file(r),
                              "a pre_tokenizer of type %s behind 'ByteLevel' is not supported",
                              fe_tok_quote(r->mem, str_of(type_of(p))));
        if (is_type(p, "Split")) {
            if (!read_split(r, p, &s)) return false;
        } else if (is_type(p, "ByteLevel")) {
            if (!read_byte_level(r, p, &s)) return false;
        } else {
            return unsupported(r, "a pre_tokenizer", type_of(p));
        }
    }
    if (s.has_bytes && s.has_pattern) return true;
    return diag_error(r->d, DIAG_TOK_SETTING, at_file(r),
                      "the pre_tokenizer %s; only byte-level BPE with a split pattern is supported",
                      s.has_bytes ? "splits by no pattern" : "is not byte-level");
}

static bool check_decoder(const reader *r, const cJSON *part) {
    if (!part)
        return diag_error(r->d, DIAG_TOK_SETTING, at_file(r),
                          "there is no decoder (expected 'ByteLevel')");
    if (is_type(part, "Sequence")) {
        const cJSON *list = json_member(part, "decoders");
        const cJSON *only = cJSON_IsArray(list) ? list->child : NULL;
        if (only && !only->next && is_type(only, "ByteLevel")) return true;
        while (only && is_type(only, "ByteLevel")) only = only->next;
        return unsupported(r, "a decoder", type_of(only ? only : part));
    }
    return is_type(part, "ByteLevel") || unsupported(r, "a decoder", type_of(part));
}

/* Only post-processors that add no token. */
static bool check_post_processor(const reader *r, const cJSON *part) {
    if (!part || is_type(part, "ByteLevel")) return true;
    if (is_type(part, "Sequence")) {
        const cJSON *list = json_member(part, "processors");
        for (const cJSON *p = list ? list->child : NULL; p; p = p->next) {
            if (is_type(p, "Sequence"))
                return unsupported(r, "a nested post_processor", "Sequence");
            if (!check_post_processor(r, p)) return false;
        }
        return true;
    }
    if (!is_type(part, "TemplateProcessing"))
        return unsupported(r, "a post_processor", type_of(part));
    const cJSON *list = json_member(part, "single");
    const cJSON *only = cJSON_IsArray(list) ? list->child : NULL;
    if (only && !only->next && json_member(only, "Sequence")) return true;
    return diag_error(r->d, DIAG_TOK_SETTING, at_file(r),
                      "a post_processor that adds tokens to every text is not supported");
}

static bool is_empty(const cJSON *v) {
    return !v || (cJSON_IsString(v) && !v->valuestring[0]) ||
           (cJSON_IsNumber(v) && v->valuedouble == 0) || cJSON_IsFalse(v);
}

static bool check_model(const reader *r, const cJSON *model) {
    static const char *const MUST_BE_EMPTY[] = {"dropout", "continuing_subword_prefix",
                                                "end_of_word_suffix", "byte_fallback"};
    if (!cJSON_IsObject(model))
        return diag_error(r->d, DIAG_TOK_MODEL, at_file(r), "'model' is missing or no object");
    const char *type = "BPE"; /* old files do not say it */
    if (!json_opt_str(model, "type", r->m->file, r->d, &type)) return false;
    if (strcmp(type, "BPE"))
        return diag_error(r->d, DIAG_TOK_MODEL, at_file(r),
                          "a tokenizer model of type %s is not supported (expected \"BPE\")",
                          fe_tok_quote(r->mem, str_of(type)));
    for (size_t i = 0; i < COUNT_OF(MUST_BE_EMPTY); i++)
        if (!is_empty(json_member(model, MUST_BE_EMPTY[i])))
            return diag_error(r->d, DIAG_TOK_SETTING, at_file(r),
                              "a BPE model with '%s' is not supported", MUST_BE_EMPTY[i]);
    return json_opt_bool(model, "ignore_merges", r->m->file, r->d, &r->m->ignore_merges);
}

bool fe_tok_read_settings(const cJSON *root, arena *mem, diag *d, fe_tok_model *m) {
    const reader r = {mem, d, m};
    const char *version = "1.0";
    if (!json_opt_str(root, "version", m->file, d, &version)) return false;
    if (strcmp(version, "1.0"))
        return diag_error(d, DIAG_TOK_SETTING, at_file(&r),
                          "the tokenizer's version is not supported (found %s, expected \"1.0\")",
                          fe_tok_quote(mem, str_of(version)));
    return check_model(&r, json_member(root, "model")) &&
           check_normalizer(&r, json_member(root, "normalizer")) &&
           read_pre_tokenizer(&r, json_member(root, "pre_tokenizer")) &&
           check_decoder(&r, json_member(root, "decoder")) &&
           check_post_processor(&r, json_member(root, "post_processor"));
}
