/* tokenizer_import.c - reads vocabulary, merges, added tokens and the names of bos, eos, pad, unk.
 *
 * Order matters: settings first (what is not supported is named before anything else), then the
 * vocabulary, which fixes the ids that merges and added tokens refer to.  Source: the tokenizers
 * library 0.23 (models/bpe, added_vocabulary.rs) and what transformers 4 and 5 take from
 * tokenizer_config.json.
 */
#include "frontend/tokenizer_import.h"

#include <math.h>

#include "base/file.h"
#include "base/map.h"
#include "base/vec.h"
#include "frontend/tokenizer_import_model.h"

enum {
    MAX_TOKENIZER_BYTES = 64 << 20,
    MAX_CONFIG_BYTES = 16 << 20,
    MAX_ADDED_BYTES = 1 << 20, /* of all added tokens together: the trie takes 12 bytes for each */
    QUOTED_CHARS = 60,
};

typedef struct reader {
    const fe_tokenizer_text *in;
    arena *mem; /* scratch */
    diag *d;
    int64_t id_limit, vocab_size; /* every id is below; of the model, 0: not known */
    fe_tok_model m;
    map id_of; /* text of a token -> id, the vocabulary's and the added ones */
} reader;

const char *fe_tok_quote(arena *mem, str s) {
    text t = {.mem = mem};
    size_t n = s.n;
    if (n > QUOTED_CHARS) {
        n = QUOTED_CHARS;
        while (n && ((unsigned char)s.at[n] & 0xc0) == 0x80) n--;
    }
    json_add_string(&t, (str){s.at, n});
    if (n < s.n) text_cat(&t, "...");
    return t.buf.at;
}

static const char *quote(reader *r, const char *s) { return fe_tok_quote(r->mem, str_of(s)); }

static diag_loc in_tokenizer(const reader *r) { return (diag_loc){.file = r->m.file}; }
static diag_loc in_config(const reader *r) { return (diag_loc){.file = r->in->config_file}; }

/* The id of a token, below the limit. */
static bool check_id(reader *r, const cJSON *v, const char *token, int32_t *id) {
    if (!cJSON_IsNumber(v) || v->valuedouble != floor(v->valuedouble))
        return diag_error(r->d, DIAG_TOK_VOCAB, in_tokenizer(r),
                          "the id of token %s is not an integer", quote(r, token));
    if (v->valuedouble < 0)
        return diag_error(r->d, DIAG_TOK_VOCAB, in_tokenizer(r),
                          "the id of token %s is negative (found %.0f)", quote(r, token),
                          v->valuedouble);
    if (v->valuedouble >= (double)r->id_limit)
        return diag_error(r->d, DIAG_TOK_VOCAB, in_tokenizer(r),
                          "the id of token %s is out of range (found %.0f, expected below %lld%s)",
                          quote(r, token), v->valuedouble, (long long)r->id_limit,
                          r->id_limit == r->vocab_size ? ", the model's vocab_size" : "");
    *id = (int32_t)v->valuedouble;
    return true;
}

/* ---- vocabulary ---- */

static bool used_twice(reader *r, int32_t id, str other) {
    return diag_error(r->d, DIAG_TOK_VOCAB, in_tokenizer(r), "id %d is used twice: by %s and by %s",
                      id, fe_tok_quote(r->mem, r->m.token[id]), fe_tok_quote(r->mem, other));
}

static bool find_bytes(reader *r) {
    for (int byte = 0; byte < 256; byte++) {
        char c[FE_TOK_LONGEST_CHAR];
        const size_t n = fe_tok_to_alphabet((uint8_t)byte, c);
        if (!map_find(&r->id_of, (str){c, n}))
            return diag_error(r->d, DIAG_TOK_VOCAB, in_tokenizer(r),
                              "the vocabulary has no token for byte 0x%02x; only byte-level BPE is "
                              "supported",
                              (unsigned)byte);
    }
    return true;
}

/* n_ids becomes the largest id of vocabulary and added tokens + 1. */
static bool read_vocab(reader *r, const cJSON *model, const cJSON *added) {
    fe_tok_model *m = &r->m;
    const cJSON *vocab = json_member(model, "vocab");
    if (!cJSON_IsObject(vocab))
        return diag_error(r->d, DIAG_TOK_MODEL, in_tokenizer(r),
                          "the model's 'vocab' is missing or no object");
    int32_t id;
    for (const cJSON *v = vocab->child; v; v = v->next) {
        if (!check_id(r, v, v->string, &id)) return false;
        if (id >= m->n_ids) m->n_ids = id + 1;
    }
    for (const cJSON *a = added ? added->child : NULL; a; a = a->next) {
        const char *content;
        if (!json_get_str(a, "content", m->file, r->d, &content) ||
            !check_id(r, json_member(a, "id"), content, &id))
            return false;
        if (id >= m->n_ids) m->n_ids = id + 1;
    }
    m->token = arena_array(r->mem, str, m->n_ids + 1);
    m->in_vocab = arena_array(r->mem, bool, m->n_ids + 1);
    for (const cJSON *v = vocab->child; v; v = v->next) {
        const str s = str_of(v->string);
        id = (int32_t)v->valuedouble;
        if (m->token[id].at) return used_twice(r, id, s);
        m->token[id] = s;
        m->in_vocab[id] = true;
        if (!map_add(&r->id_of, s, id)) /* the JSON scan has refused equal keys */
            return diag_error(r->d, DIAG_TOK_VOCAB, in_tokenizer(r), "token %s occurs twice",
                              fe_tok_quote(r->mem, s));
    }
    return find_bytes(r);
}

/* ---- merges ---- */

static bool bad_merge(reader *r, uint32_t rank, const char *what, const char *token) {
    return diag_error(r->d, DIAG_TOK_MERGE, in_tokenizer(r), "merge %u %s%s%s", rank, what,
                      token ? " " : "", token ? quote(r, token) : "");
}

/* The two halves of a merge: "a b", or ["a", "b"]. */
static bool read_halves(reader *r, const cJSON *v, uint32_t rank, str half[2]) {
    if (cJSON_IsString(v)) {
        const char *blank = strchr(v->valuestring, ' ');
        if (!blank || strchr(blank + 1, ' '))
            return bad_merge(r, rank,
                             "is not two tokens with one blank between them:", v->valuestring);
        half[0] = (str){v->valuestring, (size_t)(blank - v->valuestring)};
        half[1] = str_of(blank + 1);
        return true;
    }
    const cJSON *a = cJSON_IsArray(v) ? v->child : NULL, *b = a ? a->next : NULL;
    if (!cJSON_IsString(a) || !cJSON_IsString(b) || b->next)
        return bad_merge(r, rank, "is neither a string nor a pair of strings", NULL);
    half[0] = str_of(a->valuestring);
    half[1] = str_of(b->valuestring);
    return true;
}

static bool merge_token(reader *r, uint32_t rank, str token, int32_t *id) {
    const int64_t *found = map_find(&r->id_of, token);
    if (!found)
        return diag_error(r->d, DIAG_TOK_MERGE, in_tokenizer(r),
                          "merge %u has a token that the vocabulary has not: %s", rank,
                          fe_tok_quote(r->mem, token));
    *id = (int32_t)*found;
    return true;
}

/* Before the added tokens are read, so that a merge names tokens of the vocabulary alone. */
static bool read_merges(reader *r, const cJSON *model) {
    fe_tok_model *m = &r->m;
    const cJSON *merges = json_member(model, "merges");
    if (!cJSON_IsArray(merges))
        return diag_error(r->d, DIAG_TOK_MODEL, in_tokenizer(r),
                          "the model's 'merges' is missing or no array");
    const int n = cJSON_GetArraySize(merges);
    if (n >= RT_TOK_MAX_IDS)
        return diag_error(r->d, DIAG_TOK_LIMIT, in_tokenizer(r),
                          "too many merges (found %d, expected fewer than %d)", n, RT_TOK_MAX_IDS);
    m->merge = arena_array(r->mem, fe_tok_merge, n);
    for (const cJSON *v = merges->child; v; v = v->next) {
        str half[2];
        fe_tok_merge *merge = &m->merge[m->n_merges];
        /* a header line that old merges.txt files begin with */
        if (cJSON_IsString(v) && str_starts(str_of(v->valuestring), "#version")) continue;
        if (!read_halves(r, v, m->n_merges, half)) return false;
        const arena_pos mark = arena_mark(r->mem);
        char *joined = arena_get(r->mem, half[0].n + half[1].n + 1, 1);
        memcpy(joined, half[0].at, half[0].n);
        memcpy(joined + half[0].n, half[1].at, half[1].n);
        if (!merge_token(r, m->n_merges, half[0], &merge->left) ||
            !merge_token(r, m->n_merges, half[1], &merge->right) ||
            !merge_token(r, m->n_merges, (str){joined, half[0].n + half[1].n}, &merge->made))
            return false;
        arena_rewind(r->mem, mark);
        m->n_merges++;
    }
    return true;
}

/* ---- added tokens ---- */

static bool read_added_flags(reader *r, const cJSON *v, fe_tok_added *a) {
    bool single_word = false;
    const char *file = r->m.file;
    if (!json_opt_bool(v, "special", file, r->d, &a->special)) return false;
    a->normalized = !a->special;
    if (!json_opt_bool(v, "lstrip", file, r->d, &a->lstrip) ||
        !json_opt_bool(v, "rstrip", file, r->d, &a->rstrip) ||
        !json_opt_bool(v, "normalized", file, r->d, &a->normalized) ||
        !json_opt_bool(v, "single_word", file, r->d, &single_word))
        return false;
    if (!single_word) return true;
    return diag_error(r->d, DIAG_TOK_ADDED, in_tokenizer(r),
                      "added token %s has single_word, which is not supported",
                      fe_tok_quote(r->mem, a->text));
}

/* Readers of the format give an added token the vocabulary's id, or the next free one: an id that
 * says otherwise would not be the one that the model was used with.  `next` is the next free one.
 */
static bool add_token(reader *r, const fe_tok_added *a, int64_t *next) {
    fe_tok_model *m = &r->m;
    const int64_t *known = map_find(&r->id_of, a->text);
    const int64_t expected = known ? *known : *next;
    if (known && !m->in_vocab[*known])
        return diag_error(r->d, DIAG_TOK_ADDED, in_tokenizer(r), "added token %s occurs twice",
                          fe_tok_quote(r->mem, a->text));
    if (!known && m->token[a->id].at) return used_twice(r, a->id, a->text);
    if (a->id != expected)
        return diag_error(r->d, DIAG_TOK_ADDED, in_tokenizer(r),
                          "added token %s has id %d, but %s %lld", fe_tok_quote(r->mem, a->text),
                          a->id, known ? "in the vocabulary it has" : "the next free id is",
                          (long long)expected);
    if (a->id >= *next) *next = a->id + 1;
    if (!known) {
        m->token[a->id] = a->text;
        if (!map_add(&r->id_of, a->text, a->id)) UNREACHABLE("token known and not known");
    }
    m->added[m->n_added++] = *a;
    return true;
}

static bool read_added(reader *r, const cJSON *list, const cJSON *vocab) {
    fe_tok_model *m = &r->m;
    if (!list) return true;
    if (!cJSON_IsArray(list))
        return diag_error(r->d, DIAG_TOK_ADDED, in_tokenizer(r), "'added_tokens' is no array");
    int64_t next = cJSON_GetArraySize(vocab);
    size_t n_bytes = 0;
    m->added = arena_array(r->mem, fe_tok_added, cJSON_GetArraySize(list));
    for (const cJSON *v = list->child; v; v = v->next) {
        fe_tok_added a = {.id = 0};
        const char *content;
        if (!json_get_str(v, "content", m->file, r->d, &content) ||
            !check_id(r, json_member(v, "id"), content, &a.id))
            return false;
        a.text = str_of(content);
        if (!a.text.n || a.text.n > RT_TOK_MAX_ADDED_BYTES)
            return diag_error(r->d, DIAG_TOK_ADDED, in_tokenizer(r),
                              "added token %s is %zu bytes long (expected 1 to %d)",
                              fe_tok_quote(r->mem, a.text), a.text.n, RT_TOK_MAX_ADDED_BYTES);
        if ((n_bytes += a.text.n) > MAX_ADDED_BYTES)
            return diag_error(r->d, DIAG_TOK_LIMIT, in_tokenizer(r),
                              "the added tokens are more than %d bytes of text", MAX_ADDED_BYTES);
        if (!read_added_flags(r, v, &a) || !add_token(r, &a, &next)) return false;
    }
    return true;
}

/* ---- tokenizer_config.json, special_tokens_map.json ---- */

/* The text of a token that is given as a string or as an object with "content"; NULL: neither. */
static const char *token_text(const cJSON *v) {
    if (cJSON_IsObject(v)) v = json_member(v, "content");
    return cJSON_IsString(v) ? v->valuestring : NULL;
}

/* A token named beside tokenizer.json has to be in it: else readers would add it, with a new id. */
static bool named_id(reader *r, const cJSON *v, const char *key, const char *file, int32_t *id) {
    const char *token = token_text(v);
    if (!token)
        return diag_error(r->d, DIAG_TOK_NAMED, (diag_loc){.file = file},
                          "'%s' is neither a string nor an object with 'content'", key);
    const int64_t *found = map_find(&r->id_of, str_of(token));
    if (!found)
        return diag_error(r->d, DIAG_TOK_NAMED, (diag_loc){.file = file},
                          "'%s' names the token %s, which tokenizer.json has not", key,
                          quote(r, token));
    if (id) *id = (int32_t)*found;
    return true;
}

static bool read_names(reader *r, const cJSON *config, const cJSON *special_map) {
    const struct {
        const char *key;
        int32_t *id;
    } NAMES[] = {
        {"bos_token", &r->m.bos}, {"eos_token", &r->m.eos}, {"pad_token", &r->m.pad},
        {"unk_token", &r->m.unk}, {"sep_token", NULL},      {"cls_token", NULL},
        {"mask_token", NULL},
    };
    for (size_t i = 0; i < COUNT_OF(NAMES); i++) {
        const cJSON *v = json_member(config, NAMES[i].key);
        const char *file = r->in->config_file;
        if (!v) {
            v = json_member(special_map, NAMES[i].key);
            file = r->in->special_map_file;
        }
        if (v && !named_id(r, v, NAMES[i].key, file, NAMES[i].id)) return false;
    }
    static const char *const LISTS[] = {"additional_special_tokens", "extra_special_tokens"};
    for (size_t i = 0; i < COUNT_OF(LISTS); i++) {
        const cJSON *list = json_member(config, LISTS[i]);
        if (!cJSON_IsArray(list) && !cJSON_IsObject(list)) continue;
        for (const cJSON *v = list->child; v; v = v->next)
            if (!named_id(r, v, LISTS[i], r->in->config_file, NULL)) return false;
    }
    return true;
}

/* The list of added tokens in tokenizer_config.json: ids and texts have to agree, flags are
 * tokenizer.json's. */
static bool check_added_decoder(reader *r, const cJSON *config) {
    const cJSON *list = json_member(config, "added_tokens_decoder");
    bool warned = false;
    if (!cJSON_IsObject(list)) return true;
    const fe_tok_added **by_id = arena_array(r->mem, const fe_tok_added *, r->m.n_ids);
    for (uint32_t i = 0; i < r->m.n_added; i++) by_id[r->m.added[i].id] = &r->m.added[i];
    for (const cJSON *v = list->child; v; v = v->next) {
        int64_t id;
        int32_t known;
        if (!named_id(r, v, "added_tokens_decoder", r->in->config_file, &known)) return false;
        if (!str_to_i64(str_of(v->string), &id) || id != known)
            return diag_error(r->d, DIAG_TOK_NAMED, in_config(r),
                              "'added_tokens_decoder' gives %s the id %s, tokenizer.json %d",
                              quote(r, token_text(v)), quote(r, v->string), known);
        const fe_tok_added *a = by_id[known];
        bool lstrip = a && a->lstrip, rstrip = a && a->rstrip, special = a && a->special;
        if (!json_opt_bool(v, "lstrip", r->in->config_file, r->d, &lstrip) ||
            !json_opt_bool(v, "rstrip", r->in->config_file, r->d, &rstrip) ||
            !json_opt_bool(v, "special", r->in->config_file, r->d, &special))
            return false;
        if (!warned &&
            (!a || lstrip != a->lstrip || rstrip != a->rstrip || special != a->special)) {
            diag_warn(r->d, DIAG_TOK_NAMED, in_config(r),
                      "'added_tokens_decoder' gives %s other flags than tokenizer.json, which is "
                      "followed",
                      quote(r, token_text(v)));
            warned = true;
        }
    }
    return true;
}

static bool check_config(reader *r, const cJSON *config) {
    static const char *const MUST_BE_FALSE[] = {"add_bos_token", "add_eos_token",
                                                "add_prefix_space", "split_special_tokens"};
    for (size_t i = 0; i < COUNT_OF(MUST_BE_FALSE); i++) {
        bool on = false;
        if (!json_opt_bool(config, MUST_BE_FALSE[i], r->in->config_file, r->d, &on)) return false;
        if (on)
            return diag_error(r->d, DIAG_TOK_SETTING, in_config(r), "'%s' is not supported",
                              MUST_BE_FALSE[i]);
    }
    bool clean_up = false;
    if (!json_opt_bool(config, "clean_up_tokenization_spaces", r->in->config_file, r->d, &clean_up))
        return false;
    if (clean_up)
        diag_warn(r->d, DIAG_TOK_SETTING, in_config(r),
                  "'clean_up_tokenization_spaces' is not applied: text comes as the tokens say");
    return true;
}

/* ---- all together ---- */

static bool read_tokenizer(reader *r, const cJSON *root) {
    const cJSON *model = json_member(root, "model"), *added = json_member(root, "added_tokens");
    return fe_tok_read_settings(root, r->mem, r->d, &r->m) && read_vocab(r, model, added) &&
           read_merges(r, model) && read_added(r, added, json_member(model, "vocab"));
}

/* An absent file reads as an empty object. */
static bool parse_optional(reader *r, str source, const char *file, json *out) {
    return json_parse(source.at ? source : STR("{}"), file, r->mem, r->d, out);
}

bool fe_import_tokenizer_text(const fe_tokenizer_text *in, int64_t vocab_size, arena *mem, diag *d,
                              fe_blob *out) {
    json file = {0}, config = {0}, special_map = {0};
    arena *scratch = arena_open();
    reader r = {.in = in, .mem = scratch, .d = d, .vocab_size = vocab_size};
    r.id_limit = vocab_size > 0 && vocab_size < RT_TOK_MAX_IDS ? vocab_size : RT_TOK_MAX_IDS;
    r.id_of.mem = scratch;
    r.m = (fe_tok_model){.file = in->tokenizer_file, .bos = -1, .eos = -1, .pad = -1, .unk = -1};
    const bool ok = json_parse(in->tokenizer, in->tokenizer_file, scratch, d, &file) &&
                    parse_optional(&r, in->config, in->config_file, &config) &&
                    parse_optional(&r, in->special_map, in->special_map_file, &special_map) &&
                    read_tokenizer(&r, file.root) && check_config(&r, config.root) &&
                    read_names(&r, config.root, special_map.root) &&
                    check_added_decoder(&r, config.root) &&
                    fe_tok_build_table(&r.m, scratch, mem, d, out);
    json_free(&file);
    json_free(&config);
    json_free(&special_map);
    arena_close(scratch);
    return ok;
}

static bool read_optional(const char *path, arena *mem, diag *d, str *out) {
    return !file_exists(path) || file_read(path, MAX_CONFIG_BYTES, mem, d, out);
}

bool fe_import_tokenizer(const char *dir, int64_t vocab_size, arena *mem, diag *d, fe_blob *out) {
    arena *scratch = arena_open();
    fe_tokenizer_text in = {
        .tokenizer_file = path_join(mem, dir, "tokenizer.json"),
        .config_file = path_join(mem, dir, "tokenizer_config.json"),
        .special_map_file = path_join(mem, dir, "special_tokens_map.json"),
    };
    const bool ok = file_read(in.tokenizer_file, MAX_TOKENIZER_BYTES, scratch, d, &in.tokenizer) &&
                    read_optional(in.config_file, scratch, d, &in.config) &&
                    read_optional(in.special_map_file, scratch, d, &in.special_map) &&
                    fe_import_tokenizer_text(&in, vocab_size, mem, d, out);
    arena_close(scratch);
    return ok;
}
