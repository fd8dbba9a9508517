/* test_tokenizer.c - encoding and decoding over imported tables; damaged tables. */
#include "runtime/tokenizer.h"

#include "base/file.h"
#include "base/json.h"
#include "tests/support/tokenizer_fixture.h"
#include "tests/unit/unit.h"

static const char BASE_DIR[] = P4C_TESTS "/golden/malformed/valid-base";

static void open_or_stop(tok_fixture *f, const char *dir) {
    const bool ok = tok_fixture_dir(f, dir, 0);
    if (!ok) diag_print(&f->d, stdout);
    CU_ASSERT_FATAL(ok);
}

static void encode(tok_fixture *f, const char *s) { tok_encode(f, str_of(s), true, NULL); }

static bool ids_are(const tok_fixture *f, const int32_t *want, size_t n) {
    return f->ids.n == n && (!n || !memcmp(f->ids.at, want, n * sizeof *want));
}
#define IDS_ARE(f, ...)                                                                            \
    ids_are(f, (const int32_t[]){__VA_ARGS__}, sizeof((const int32_t[]){__VA_ARGS__}) / 4)

static bool bytes_are(const tok_fixture *f, str want) {
    return f->bytes.n == want.n && (!want.n || !memcmp(f->bytes.at, want.at, want.n));
}

/* ---- the full-size tokenizers ---- */

/* Id by id: what comes out is whole characters at every step, and all in all the same text. */
static bool streams_alike(tok_fixture *f, bool skip_special, str want) {
    rt_decoder d = rt_decode_start(&f->t, skip_special);
    rt_bytes out = {0};
    bool ok = true;
    for (size_t i = 0; i < f->ids.n && ok; i++) {
        const size_t from = out.n;
        ok = rt_decode_id(&d, &f->alloc, f->ids.at[i], &out);
        for (size_t at = from, step; at < out.n; at += step) {
            uint32_t cp;
            step = rt_utf8_next((uint8_t *)out.at + at, out.n - at, &cp);
            ok &= cp != RT_UTF8_BAD;
        }
    }
    ok = ok && rt_decode_end(&d, &f->alloc, &out);
    ok = ok && out.n == want.n && !memcmp(out.at, want.at ? want.at : "", want.n);
    rt_release(&f->alloc, out.at);
    return ok;
}

static bool golden_line(tok_fixture *f, arena *mem, str line) {
    rt_ids want, plain;
    const str source = jsonl_str(mem, line, "text");
    str decoded = jsonl_str(mem, line, "decoded");
    str skipped = jsonl_str(mem, line, "decoded_skip_special");
    if (!decoded.at) decoded = source;
    if (!skipped.at) skipped = source;
    if (!jsonl_ids(mem, line, "ids", &want)) return false;
    bool ok = true;
    if (jsonl_ids(mem, line, "tiktoken_ids_no_special", &plain)) {
        tok_encode(f, source, false, NULL);
        ok &= ids_are(f, plain.at, plain.n) && tok_ids_spell(f, source);
    }
    tok_encode(f, source, true, NULL);
    ok &= ids_are(f, want.at, want.n);
    tok_decode(f, false);
    ok &= bytes_are(f, decoded);
    tok_decode(f, true);
    ok &= bytes_are(f, skipped);
    return ok && streams_alike(f, false, decoded) && streams_alike(f, true, skipped);
}

static void golden(const char *name) {
    tok_fixture f;
    arena *mem = arena_open();
    open_or_stop(&f, path_join(mem, P4C_GOLDEN_TOKENIZERS, name));
    const char *folder = path_join(mem, P4C_TESTS "/golden", name);
    str rest = tok_file(mem, folder, "encode.jsonl"), line;
    int n_lines = 0, n_wrong = 0;
    while (next_line(&rest, &line)) {
        const arena_pos mark = arena_mark(mem);
        n_lines++;
        if (!golden_line(&f, mem, line)) {
            printf("\n    %s line %d: " STR_FMT " ", name, n_lines,
                   (int)(line.n < 120 ? line.n : 120), line.at);
            n_wrong++;
        }
        arena_rewind(mem, mark);
    }
    CU_ASSERT_EQUAL(n_lines, 720);
    CU_ASSERT_EQUAL(n_wrong, 0);
    tok_fixture_close(&f);
    CU_ASSERT_EQUAL(f.count.live, 2); /* ids and bytes, which the fixture freed itself */
    arena_close(mem);
}

static void test_phi4(void) { golden("tokenizer-phi4"); }
static void test_phi4_mini(void) { golden("tokenizer-phi4-mini"); }

/* ---- sets of added tokens, against the tokenizers library ---- */

/* The base with the members of `set` in place; model members one by one. */
static str changed_base(arena *mem, const cJSON *base, const cJSON *set) {
    cJSON *root = cJSON_Duplicate(base, true);
    for (const cJSON *m = set->child; m; m = m->next) {
        if (strcmp(m->string, "model")) {
            cJSON_ReplaceItemInObjectCaseSensitive(root, m->string, cJSON_Duplicate(m, true));
            continue;
        }
        cJSON *model = cJSON_GetObjectItemCaseSensitive(root, "model");
        for (const cJSON *v = m->child; v; v = v->next)
            cJSON_ReplaceItemInObjectCaseSensitive(model, v->string, cJSON_Duplicate(v, true));
    }
    char *printed = cJSON_PrintUnformatted(root);
    const str s = {arena_strdup(mem, printed), strlen(printed)};
    cJSON_free(printed);
    cJSON_Delete(root);
    return s;
}

static bool added_text(tok_fixture *f, const cJSON *one) {
    const cJSON *ids = one->child->next, *decoded = ids->next;
    encode(f, one->child->valuestring);
    size_t n = 0;
    for (const cJSON *id = ids->child; id; id = id->next, n++)
        if (n >= f->ids.n || f->ids.at[n] != id->valueint) return false;
    if (n != f->ids.n) return false;
    tok_decode(f, false);
    if (!bytes_are(f, str_of(decoded->valuestring))) return false;
    tok_decode(f, true);
    return bytes_are(f, str_of(decoded->next->valuestring));
}

static void test_added(void) {
    arena *mem = arena_open();
    diag d = {.mem = mem};
    json base = {0}, one = {0};
    CU_ASSERT_FATAL(json_parse(tok_file(mem, BASE_DIR, "tokenizer.json"), "", mem, &d, &base));
    str rest = tok_file(mem, P4C_TESTS "/golden/tokenizer-added", "cases.jsonl"), line;
    int n_texts = 0, n_wrong = 0;
    while (next_line(&rest, &line)) {
        CU_ASSERT_FATAL(json_parse(line, "", mem, &d, &one));
        tok_fixture f;
        CU_ASSERT_FATAL(
            tok_fixture_json(&f, changed_base(mem, base.root, json_member(one.root, "set")), 0));
        const cJSON *v = json_member(one.root, "texts")->child;
        for (; v; v = v->next, n_texts++) n_wrong += !added_text(&f, v);
        tok_fixture_close(&f);
        json_free(&one);
    }
    json_free(&base);
    arena_close(mem);
    CU_ASSERT(n_texts > 700);
    CU_ASSERT_EQUAL(n_wrong, 0);
}

/* Where the library gives up, because a token took in more than the whole of the next one: that one
 * is dropped. */
static void test_swallowed(void) {
    tok_fixture f;
    arena *mem = arena_open();
    const char *some =
        "\"content\":\"<|im_end|>\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false";
    const char *other = "\"content\":\"<|pad|>\",\"single_word\":false,\"lstrip\":false";
    str s = tok_file(mem, BASE_DIR, "tokenizer.json");
    s = tok_replace(mem, s, some, "\"content\":\"<|im_end|>\",\"lstrip\":false,\"rstrip\":true");
    s = tok_replace(mem, s, other, "\"content\":\" \",\"lstrip\":true");
    CU_ASSERT_FATAL(tok_fixture_json(&f, s, 0));
    encode(&f, "<|im_end|>   b");
    CU_ASSERT(IDS_ARE(&f, 271, 65));
    encode(&f, "a b");
    CU_ASSERT(IDS_ARE(&f, 64, 272, 65));
    tok_fixture_close(&f);
    arena_close(mem);
}

/* ---- masks ---- */

/* A chat whose message holds special tokens: only the template's are recognised. */
static void test_mask(void) {
    tok_fixture f;
    open_or_stop(&f, BASE_DIR);
    static const char HEAD[] = "<|im_start|>user<|im_sep|>", BODY[] = "the <|im_end|> or <|pad|>er",
                      TAIL[] = "<|im_end|>";
    char s[sizeof HEAD + sizeof BODY + sizeof TAIL];
    uint8_t plain[sizeof s] = {0};
    snprintf(s, sizeof s, "%s%s%s", HEAD, BODY, TAIL);
    memset(plain + strlen(HEAD), 1, strlen(BODY));
    int32_t want[100];
    size_t n = 0;
    const struct {
        const char *text;
        bool special;
    } PARTS[] = {{HEAD, true}, {BODY, false}, {TAIL, true}};
    for (int i = 0; i < 3; i++) {
        tok_encode(&f, str_of(PARTS[i].text), PARTS[i].special, NULL);
        memcpy(want + n, f.ids.at, f.ids.n * sizeof *want);
        n += f.ids.n;
    }
    tok_encode(&f, str_of(s), true, plain);
    CU_ASSERT(ids_are(&f, want, n));
    CU_ASSERT_EQUAL(f.ids.at[0], 273);
    CU_ASSERT_EQUAL(f.ids.at[f.ids.n - 1], 271);
    /* one masked byte is enough, wherever it stands in the token */
    for (size_t i = 0; i < strlen(TAIL); i++) {
        uint8_t one[sizeof TAIL] = {0};
        one[i] = 1;
        tok_encode(&f, str_of(TAIL), true, one);
        CU_ASSERT(f.ids.n > 1 && tok_ids_spell(&f, str_of(TAIL)));
    }
    /* a token half from the template, half from the message, is none */
    memset(plain, 0, sizeof plain);
    memset(plain + 4, 1, 3);
    tok_encode(&f, STR("<|im_end|>"), true, plain);
    CU_ASSERT(tok_ids_spell(&f, STR("<|im_end|>")) && f.ids.n > 1);
    tok_fixture_close(&f);
}

/* Where no added token stands, a mask changes nothing: pieces go across its edges. */
static void test_mask_is_no_border(void) {
    tok_fixture f;
    arena *mem = arena_open();
    open_or_stop(&f, P4C_GOLDEN_TOKENIZERS "/tokenizer-phi4-mini");
    str rest = tok_file(mem, P4C_TESTS "/golden/tokenizer-phi4-mini", "encode.jsonl"), line;
    uint32_t seed = 7;
    int n_wrong = 0, n_tried = 0;
    while (next_line(&rest, &line)) {
        const str source = jsonl_str(mem, line, "text");
        if (memmem(source.at, source.n, "<|", 2) || source.n > 400) continue;
        uint8_t plain[400];
        for (size_t i = 0; i < source.n; i++)
            plain[i] = (seed = seed * 1664525u + 1013904223u) >> 31;
        rt_ids want;
        n_wrong += !jsonl_ids(mem, line, "ids", &want);
        tok_encode(&f, source, true, plain);
        n_wrong += !ids_are(&f, want.at, want.n);
        n_tried++;
    }
    CU_ASSERT(n_tried > 500);
    CU_ASSERT_EQUAL(n_wrong, 0);
    /* the white space that a token takes in may be plain */
    static const uint8_t BEHIND[12] = {[8] = 1, 1, 1, 1};
    tok_encode(&f, STR("<|user|> \n a"), true, BEHIND);
    CU_ASSERT(IDS_ARE(&f, 200021, 64));
    tok_fixture_close(&f);
    arena_close(mem);
}

/* ---- bytes, lengths ---- */

/* Byte for byte what went in, whatever the bytes are. */
static void test_any_bytes(void) {
    tok_fixture f;
    open_or_stop(&f, P4C_GOLDEN_TOKENIZERS "/tokenizer-phi4");
    uint32_t seed = 99;
    int n_wrong = 0;
    for (int round = 0; round < 3000; round++) {
        char s[200];
        const size_t n = (seed >> 8) % sizeof s;
        for (size_t i = 0; i < n; i++) {
            seed = seed * 1664525u + 1013904223u;
            s[i] = (char)(seed >> 30 ? seed >> 22 : 'a' + (seed >> 24) % 3);
        }
        tok_encode(&f, (str){s, n}, false, NULL);
        n_wrong += !tok_ids_spell(&f, (str){s, n});
    }
    CU_ASSERT_EQUAL(n_wrong, 0);
    encode(&f, "\xe4\xb8");
    tok_decode(&f, false);
    CU_ASSERT(bytes_are(&f, STR("\xef\xbf\xbd")));
    tok_encode(&f, (str){NULL, 0}, true, NULL);
    CU_ASSERT_EQUAL(f.ids.n, 0);
    tok_fixture_close(&f);
}

/* Merging as the definition says it, quadratic: the lowest rank of all neighbours, leftmost first.
 */
static size_t merge_plainly(const rt_tokenizer *t, const char *p, size_t n, int32_t *id) {
    for (size_t i = 0; i < n; i++) id[i] = t->head->byte_id[(uint8_t)p[i]];
    for (;;) {
        uint32_t low = RT_TOK_MAX_IDS;
        size_t at = 0;
        for (size_t i = 0; i + 1 < n; i++) {
            const uint32_t rank = rt_tok_pair_rank(t->pairs, t->pair_mask, t->head->pair_seed,
                                                   t->head->pair_probe, id[i], id[i + 1]);
            if (rank < low) low = rank, at = i;
        }
        if (low == RT_TOK_MAX_IDS) return n;
        id[at] = (int32_t)t->merged[low];
        n--;
        memmove(id + at + 1, id + at + 2, (n - at - 1) * sizeof *id);
    }
}

/* Words of letters, short and long: both ways of merging agree with the plain one. */
static void test_merging(void) {
    tok_fixture f;
    open_or_stop(&f, P4C_GOLDEN_TOKENIZERS "/tokenizer-phi4");
    uint32_t seed = 4;
    int n_wrong = 0;
    for (int round = 0; round < 1500; round++) {
        char s[400];
        int32_t want[sizeof s];
        const size_t n = 1 + (seed >> 8) % (round % 3 ? 80 : sizeof s);
        const uint32_t letters = 1 + (seed >> 3) % 26;
        for (size_t i = 0; i < n; i++) {
            seed = seed * 1664525u + 1013904223u;
            s[i] = (char)("etaoinshrdlucmfwypvbgkjqxz"[(seed >> 16) % letters]);
        }
        tok_encode(&f, (str){s, n}, false, NULL);
        n_wrong += !ids_are(&f, want, merge_plainly(&f.t, s, n, want));
    }
    CU_ASSERT_EQUAL(n_wrong, 0);
    tok_fixture_close(&f);
}

/* One piece of a megabyte: quadratic merging would not come back. */
static void test_long_piece(void) {
    tok_fixture f;
    open_or_stop(&f, P4C_GOLDEN_TOKENIZERS "/tokenizer-phi4");
    const size_t most = 1 << 20;
    static const char *const FILLS[] = {"a", "ab", " ", "\xe4\xb8\xad", "=", "\xff"};
    char *s = malloc(most);
    CU_ASSERT_FATAL(s != NULL);
    for (size_t k = 0; k < COUNT_OF(FILLS); k++) {
        const size_t n = k ? most / 8 : most;
        for (size_t i = 0; i < n; i++) s[i] = FILLS[k][i % strlen(FILLS[k])];
        tok_encode(&f, (str){s, n}, true, NULL);
        CU_ASSERT(tok_ids_spell(&f, (str){s, n}));
        CU_ASSERT(f.ids.n < n || k == COUNT_OF(FILLS) - 1);
    }
    free(s);
    CU_ASSERT_FALSE(
        rt_encode(&f.t, &f.alloc, (rt_encode_input){"", RT_ENCODE_MAX + 1, 0, NULL}, &f.ids));
    tok_fixture_close(&f);
}

/* Each allocation fails once: false, nothing leaks, the next call works. */
static void test_no_memory(void) {
    tok_fixture f;
    open_or_stop(&f, BASE_DIR);
    char s[300];
    memset(s, 'e', sizeof s);
    for (size_t i = 20; i < 100; i += 3) s[i] = ' ';
    bool ok = false;
    for (long at = 1; at < 30 && !ok; at++) {
        counted_alloc c = {.fail_at = at};
        const rt_alloc mem = counted_hooks(&c);
        rt_ids ids = {0};
        rt_bytes bytes = {0};
        ok = rt_encode(&f.t, &mem, (rt_encode_input){s, sizeof s, true, NULL}, &ids) &&
             rt_decode(&f.t, &mem, ids.at, ids.n, false, &bytes);
        CU_ASSERT(ok || at < 29);
        if (ok) CU_ASSERT(at > 4 && bytes.n == sizeof s);
        rt_release(&mem, ids.at);
        rt_release(&mem, bytes.at);
        CU_ASSERT_EQUAL(c.live, 0);
    }
    CU_ASSERT(ok);
    tok_fixture_close(&f);
}

/* ---- look-ups ---- */

static void test_look_ups(void) {
    tok_fixture f;
    size_t n;
    open_or_stop(&f, BASE_DIR);
    const rt_tok_header *h = f.t.head;
    CU_ASSERT(h->bos == 270 && h->eos == 271 && h->pad == 272 && h->unk == -1);
    CU_ASSERT(h->n_ids == 275 && h->pattern == RT_TOK_cl100k);
    CU_ASSERT_EQUAL(rt_tokenizer_find_added(&f.t, "<|im_sep|>", 10), 274);
    CU_ASSERT_EQUAL(rt_tokenizer_find_added(&f.t, "<|im_sep|", 9), -1);
    CU_ASSERT_EQUAL(rt_tokenizer_find_added(&f.t, "the", 3), -1);
    CU_ASSERT_EQUAL(rt_tokenizer_find_added(&f.t, "", 0), -1);
    const char *p = rt_token_bytes(&f.t, 268, &n);
    CU_ASSERT(n == 4 && !memcmp(p, " the", 4));
    CU_ASSERT_EQUAL(rt_token_flags(&f.t, 268), RT_TOK_IS_TOKEN);
    CU_ASSERT_EQUAL(rt_token_flags(&f.t, 271),
                    RT_TOK_IS_TOKEN | RT_TOK_IS_ADDED | RT_TOK_IS_SPECIAL);
    static const int32_t OUTSIDE[] = {-1, 275, INT32_MIN, INT32_MAX};
    for (size_t i = 0; i < COUNT_OF(OUTSIDE); i++) {
        rt_token_bytes(&f.t, OUTSIDE[i], &n);
        CU_ASSERT(n == 0 && rt_token_flags(&f.t, OUTSIDE[i]) == 0);
    }
    rt_bytes out = {0};
    CU_ASSERT(rt_decode(&f.t, &f.alloc, (const int32_t[]){-5, 64, 900, 271, 65}, 5, true, &out));
    CU_ASSERT(out.n == 2 && !memcmp(out.at, "ab", 2));
    free(out.at);
    tok_fixture_close(&f);
}

/* ---- damaged tables ---- */

/* A table that opens is used in every way; the sanitizers watch. */
static bool use(const uint8_t *blob, size_t n) {
    rt_tokenizer t;
    if (!rt_tokenizer_open(&t, blob, n)) return false;
    counted_alloc c = {0};
    const rt_alloc mem = counted_hooks(&c);
    rt_ids ids = {0};
    rt_bytes bytes = {0};
    static const char S[] =
        "the <|im_end|> or\xff there, <|pad|>12345 <|im_"
        "erererererererererererererererererererererererererererererererererererer";
    if (rt_encode(&t, &mem, (rt_encode_input){S, sizeof S - 1, true, NULL}, &ids) &&
        rt_encode(&t, &mem, (rt_encode_input){S, sizeof S - 1, false, NULL}, &ids))
        if (!rt_decode(&t, &mem, ids.at, ids.n, true, &bytes)) bytes.n = 0;
    rt_tokenizer_find_added(&t, "<|pad|>", 7);
    rt_release(&mem, ids.at);
    rt_release(&mem, bytes.at);
    CU_ASSERT_EQUAL(c.live, 0);
    return true;
}

static void test_flipped_bits(void) {
    tok_fixture f;
    open_or_stop(&f, BASE_DIR);
    uint8_t *copy = arena_get(f.mem, f.blob.n, RT_TOK_ALIGN);
    uint32_t seed = 1;
    int n_opened = 0;
    for (int round = 0; round < 8000; round++) {
        memcpy(copy, f.blob.at, f.blob.n);
        for (int flips = round & 3; flips >= 0; flips--) {
            seed = seed * 1664525u + 1013904223u;
            const uint32_t bit = (seed >> 5) % (round & 4 ? sizeof(rt_tok_header) : f.blob.n);
            copy[bit] ^= (uint8_t)(1 << (seed & 7));
        }
        n_opened += use(copy, f.blob.n);
    }
    CU_ASSERT(n_opened > 400 && n_opened < 7600);
    for (size_t n = 0; n < f.blob.n; n++) CU_ASSERT_FALSE(use(f.blob.at, n));
    CU_ASSERT(use(f.blob.at, f.blob.n));
    memmove(copy, f.blob.at, f.blob.n - 1);
    CU_ASSERT_FALSE(use(copy + 1, f.blob.n - 1));
    tok_fixture_close(&f);
}

/* Every rule of rt_tokenizer_open, broken alone. */
static void test_bad_fields(void) {
    tok_fixture f;
    open_or_stop(&f, BASE_DIR);
    uint8_t *copy = arena_get(f.mem, f.blob.n, RT_TOK_ALIGN);
    rt_tok_header *h = (rt_tok_header *)copy;
#define REFUSED(...)                                                                               \
    do {                                                                                           \
        memcpy(copy, f.blob.at, f.blob.n);                                                         \
        __VA_ARGS__;                                                                               \
        CU_ASSERT_FALSE(use(copy, f.blob.n));                                                      \
    } while (0)
#define PART(T, kind) ((T *)(copy + h->part[RT_TOK_##kind].offset))
    REFUSED(h->magic[7] ^= 1);
    REFUSED(h->version++);
    REFUSED(h->n_bytes--);
    REFUSED(h->pattern = RT_TOK_N_PATTERNS);
    REFUSED(h->n_ids = 0);
    REFUSED(h->n_ids = RT_TOK_MAX_IDS + 1);
    REFUSED(h->n_ids--);
    REFUSED(h->bos = (int32_t)h->n_ids);
    REFUSED(h->eos = -2);
    REFUSED(h->pad = INT32_MAX);
    REFUSED(h->unk = INT32_MIN);
    REFUSED(h->max_token_bytes = 1);
    REFUSED(h->word_probe = RT_TOK_MAX_PROBE + 1);
    REFUSED(h->pair_probe = UINT32_MAX);
    REFUSED(h->byte_id[255] = -1);
    REFUSED(h->byte_id[0] = (int32_t)h->n_ids);
    for (int k = 0; k < RT_TOK_N_PARTS; k++) {
        if (!h->part[k].n) continue;
        REFUSED(h->part[k].offset = (uint32_t)(f.blob.n + 63) / 64 * 64);
        REFUSED(h->part[k].offset += 4);
        REFUSED(h->part[k].offset = 0);
        REFUSED(h->part[k].n = UINT32_MAX);
        REFUSED(h->part[k].n = UINT32_MAX / 4 + 1);
    }
    REFUSED(h->part[RT_TOK_words].n--);
    REFUSED(h->part[RT_TOK_words].n = 0);
    REFUSED(h->part[RT_TOK_pairs].n--);
    REFUSED(h->part[RT_TOK_id_flags].n--);
    REFUSED(h->part[RT_TOK_text_at].n--);
    REFUSED(h->part[RT_TOK_text].n = 10);
    REFUSED(h->part[RT_TOK_merged].n--);
    REFUSED(h->part[RT_TOK_added].n--);
    REFUSED(PART(uint32_t, text_at)[5] = 0);
    REFUSED(PART(uint32_t, text_at)[h->n_ids] += 1u << 20);
    REFUSED(PART(rt_tok_word, words)[0].id = (int32_t)h->n_ids);
    REFUSED(PART(rt_tok_word, words)[0].id = -2);
    REFUSED(PART(uint64_t, pairs)[0] = h->part[RT_TOK_merged].n);
    REFUSED(PART(uint32_t, merged)[0] = h->n_ids);
    REFUSED(PART(rt_tok_added, added)[0].id = -1);
    REFUSED(PART(rt_tok_added, added)[0].id = (int32_t)h->n_ids);
    REFUSED(PART(rt_tok_added, added)[0].n = 0);
    REFUSED(PART(rt_tok_added, added)[0].n = RT_TOK_MAX_ADDED_BYTES + 1);
    REFUSED(PART(rt_tok_added, added)[0].text = UINT32_MAX);
    REFUSED(PART(rt_tok_node, trie_0)[0].child = 0);
    REFUSED(PART(rt_tok_node, trie_0)[0].n_children = UINT16_MAX);
    REFUSED(PART(rt_tok_node, trie_0)[1].child = UINT32_MAX);
    REFUSED(PART(rt_tok_node, trie_0)[1].added = -2);
    REFUSED(PART(rt_tok_node, trie_0)[1].added = (int32_t)h->part[RT_TOK_added].n);
    tok_fixture_close(&f);
}

UNIT_MAIN("tokenizer", {"Phi-4: every golden line", test_phi4},
          {"Phi-4-mini: every golden line", test_phi4_mini},
          {"sets of added tokens as the tokenizers library", test_added},
          {"a token taken in by the one before it is dropped", test_swallowed},
          {"a masked byte forms no added token", test_mask},
          {"a mask is no border between pieces", test_mask_is_no_border},
          {"any bytes come back", test_any_bytes}, {"merging as defined", test_merging},
          {"a piece of a megabyte", test_long_piece}, {"no memory", test_no_memory},
          {"look-ups", test_look_ups}, {"flipped bits never crash", test_flipped_bits},
          {"each rule of opening", test_bad_fields})
