/* test_tokenizer_split.c - the hand-written splitters against PCRE2 with the published expressions.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "runtime/tokenizer_split.h"
#include "runtime/unicode_tables.h"
#include "runtime/utf8.h"
#include "tests/unit/unit.h"

static const struct {
    rt_tok_pattern pattern;
    const char *regex;
} PATTERNS[] = {
    {RT_TOK_gpt2,
     "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"},
    {RT_TOK_cl100k, "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|"
                    " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},
    {RT_TOK_o200k,
     "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+"
     "(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
     "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*"
     "(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
     "\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},
};

typedef struct regex {
    pcre2_code *code;
    pcre2_match_data *match;
} regex;

static regex regex_open(const char *text) {
    int error;
    size_t at;
    regex r = {pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP, &error,
                             &at, NULL),
               pcre2_match_data_create(1, NULL)};
    CU_ASSERT_FATAL(r.code != NULL && r.match != NULL);
    pcre2_jit_compile(r.code, PCRE2_JIT_COMPLETE); /* without JIT it is only slower */
    return r;
}

static void regex_close(regex *r) {
    pcre2_match_data_free(r->match);
    pcre2_code_free(r->code);
}

/* End of the match at `at`; `at` itself where nothing matches there. */
static size_t regex_end(regex *r, const uint8_t *p, size_t n, size_t at) {
    const int got =
        pcre2_match(r->code, p, n, at, PCRE2_ANCHORED | PCRE2_NO_UTF_CHECK, r->match, NULL);
    return got < 0 ? at : pcre2_get_ovector_pointer(r->match)[1];
}

static uint64_t state = 88172645463325252u;
static uint32_t rnd(uint32_t n) { /* xorshift64 */
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 33) % n;
}

static size_t put(uint32_t cp, uint8_t *p) {
    if (cp < 0x80) return p[0] = (uint8_t)cp, 1;
    if (cp < 0x800) return p[0] = (uint8_t)(0xc0 | cp >> 6), p[1] = (uint8_t)(0x80 | (cp & 63)), 2;
    const size_t n = cp < 0x10000 ? 3 : 4;
    p[0] = (uint8_t)(n == 3 ? 0xe0 | cp >> 12 : 0xf0 | cp >> 18);
    for (size_t i = 1; i < n; i++) p[i] = (uint8_t)(0x80 | (cp >> 6 * (n - 1 - i) & 63));
    return n;
}

/* Characters that PCRE2's Unicode knows: assigned there, so later versions gave them no other
 * meaning. */
static uint32_t known[0x110000];
static uint32_t n_known;

static void find_known(void) {
    regex assigned = regex_open("\\P{Cn}");
    n_known = 0;
    for (uint32_t cp = 0; cp < 0x110000; cp++) {
        uint8_t p[4];
        if (cp >= 0xd800 && cp < 0xe000) continue;
        if (cp == 0x180e) continue; /* PCRE2 keeps it as white space, which it was in Unicode 6 */
        const size_t n = put(cp, p);
        if (regex_end(&assigned, p, n, 0)) known[n_known++] = cp;
    }
    regex_close(&assigned);
    CU_ASSERT_FATAL(n_known > 280000); /* Unicode 14: 144762 and the private use areas */
}

static bool class_agrees(regex *r, uint32_t cp, uint32_t bits) {
    uint8_t p[4];
    const size_t n = put(cp, p);
    return (regex_end(r, p, n, 0) == n) == ((rt_unicode_class(cp) & bits) != 0);
}

/* The class table, one character at a time. */
static void test_classes(void) {
    static const struct {
        const char *regex;
        uint32_t bits;
    } CLASSES[] = {
        {"\\p{L}", RT_UC_LETTER},
        {"\\p{N}", RT_UC_NUMBER},
        {"\\s", RT_UC_SPACE},
        {"[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]", RT_UC_UPPER},
        {"[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]", RT_UC_LOWER},
        {"[\\r\\n]", RT_UC_NEWLINE},
    };
    find_known();
    for (size_t k = 0; k < COUNT_OF(CLASSES); k++) {
        regex r = regex_open(CLASSES[k].regex);
        uint32_t wrong = 0;
        for (uint32_t i = 0; i < n_known; i++)
            if (!class_agrees(&r, known[i], CLASSES[k].bits)) {
                if (!wrong++) printf("\n    %s differs at U+%04X ", CLASSES[k].regex, known[i]);
            }
        CU_ASSERT_EQUAL(wrong, 0);
        regex_close(&r);
    }
    CU_ASSERT_EQUAL(rt_unicode_class(0x110000), 0);
    CU_ASSERT_EQUAL(rt_unicode_class(UINT32_MAX), 0);
}

/* Text that goes often through the corners of the patterns, else through all of Unicode. */
static size_t random_text(uint8_t *p, size_t room) {
    static const char *const BITS[] = {
        "'s",
        "'S",
        "'\xc5\xbf",
        "'ll",
        "'Ll",
        "'rE",
        "'ve",
        "'T",
        "'d",
        "'m",
        "'",
        "I'm",
        "a",
        "Ab",
        "ABC",
        "z",
        "Z",
        "1",
        "123",
        "4567",
        "/",
        "//",
        "\r",
        "\n",
        " ",
        "  ",
        "\t",
        "!",
        "?!",
        "_",
        "\xc7\x85" /* Lt */,
        "\xca\xb0" /* Lm */,
        "\xe4\xb8\xad" /* Lo */,
        "\xcc\x81" /* Mn */,
        "\xc2\xa0",
        "\xe2\x80\xa8",
        "\xc2\x85",
        "\xe3\x80\x80",
        "\xd9\xa3" /* Nd */,
        "\xe2\x85\xa7" /* Nl */,
    };
    size_t n = 0;
    for (uint32_t parts = rnd(30); parts && n + 8 < room; parts--) {
        if (rnd(10) < 7) {
            const char *s = BITS[rnd(COUNT_OF(BITS))];
            memcpy(p + n, s, strlen(s));
            n += strlen(s);
        } else {
            n += put(rnd(4) ? known[rnd(rnd(2) ? 3000 : n_known)] : 32 + rnd(95), p + n);
        }
    }
    return n;
}

static void test_pieces(void) {
    find_known();
    for (size_t k = 0; k < COUNT_OF(PATTERNS); k++) {
        regex r = regex_open(PATTERNS[k].regex);
        uint32_t wrong = 0;
        for (int round = 0; round < 30000; round++) {
            uint8_t p[300];
            const size_t n = random_text(p, sizeof p);
            for (size_t at = 0, end; at < n && !wrong; at = end) {
                end = rt_split_next(PATTERNS[k].pattern, p, n, at);
                const size_t want = regex_end(&r, p, n, at);
                if (end == want && end > at) continue;
                printf("\n    at %zu: ends at %zu, expected %zu, in ", at, end, want);
                for (size_t i = 0; i < n; i++) printf("%02x ", p[i]);
                wrong++;
                end = n;
            }
        }
        CU_ASSERT_EQUAL(wrong, 0);
        regex_close(&r);
    }
}

/* Bytes that are no text: the pieces still cover them, and never cut a well-formed character. */
static void test_ill_formed(void) {
    uint32_t wrong = 0;
    for (int round = 0; round < 100000; round++) {
        uint8_t p[24];
        const size_t n = 1 + rnd(sizeof p);
        bool starts[sizeof p + 1] = {false};
        for (size_t i = 0; i < n; i++) p[i] = (uint8_t)(rnd(2) ? 0x80 + rnd(128) : rnd(256));
        for (size_t at = 0; at < n;) {
            uint32_t cp;
            starts[at] = true;
            at += rt_utf8_next(p + at, n - at, &cp);
        }
        starts[n] = true;
        for (int k = 0; k < RT_TOK_N_PATTERNS; k++)
            for (size_t at = 0, end; at < n; at = end) {
                end = rt_split_next((rt_tok_pattern)k, p, n, at);
                if (end > at && end <= n && starts[end]) continue;
                wrong++;
                break;
            }
    }
    CU_ASSERT_EQUAL(wrong, 0);
}

UNIT_MAIN("tokenizer_split", {"classes agree with PCRE2", test_classes},
          {"pieces of random text agree with PCRE2", test_pieces},
          {"ill-formed text is covered by pieces", test_ill_formed})
