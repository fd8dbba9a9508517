/* test_utf8.c - runtime/utf8.h: well-formed and ill-formed text, whole and byte by byte. */
#include "runtime/utf8.h"

#include <string.h>

#include "tests/unit/unit.h"

#define BAD "\xef\xbf\xbd"

/* Ill-formed text and what it reads as: Unicode 16, tables 3-8 to 3-11, and cut-off characters. */
static const struct {
    const char *in, *out;
} TEXTS[] = {
    {"abc", "abc"},
    {"\xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80", "\xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80"},
    {"\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41", BAD BAD BAD BAD BAD BAD BAD BAD "A"},
    {"\xed\xa0\x80\xed\xbf\xbf\xed\xaf\x41", BAD BAD BAD BAD BAD BAD BAD BAD "A"},
    {"\xf4\x91\x92\x93\xff\x41\x80\xbf\x42", BAD BAD BAD BAD BAD "A" BAD BAD "B"},
    {"\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41", BAD BAD BAD BAD "A"},
    {"\xe4\xb8", BAD},
    {"a\xf0\x9f\x98", "a" BAD},
    {"\xf0\x9f\x98\xc3\xa9", BAD "\xc3\xa9"},
    {"\xf5\x80\xc2", BAD BAD BAD},
};

static size_t push_all(const char *in, size_t n, char *out) {
    rt_utf8 u = {.n = 0};
    size_t len = 0;
    for (size_t i = 0; i < n; i++) {
        char piece[RT_UTF8_MAX_OUT];
        const size_t got = rt_utf8_push(&u, (uint8_t)in[i], piece);
        CU_ASSERT_FATAL(got <= RT_UTF8_MAX_OUT);
        memcpy(out + len, piece, got);
        len += got;
    }
    return len + rt_utf8_end(&u, out + len);
}

/* The same through rt_utf8_next. */
static size_t read_all(const char *in, size_t n, char *out) {
    size_t len = 0, step;
    for (size_t at = 0; at < n; at += step) {
        uint32_t cp;
        step = rt_utf8_next((const uint8_t *)in + at, n - at, &cp);
        CU_ASSERT_FATAL(step >= 1 && step <= 4 && step <= n - at);
        const size_t bytes = cp == RT_UTF8_BAD ? 3 : step;
        memcpy(out + len, cp == RT_UTF8_BAD ? BAD : in + at, bytes);
        len += bytes;
    }
    return len;
}

static void test_ill_formed(void) {
    char out[64];
    for (size_t i = 0; i < COUNT_OF(TEXTS); i++) {
        const size_t want = strlen(TEXTS[i].out), n = strlen(TEXTS[i].in);
        CU_ASSERT(push_all(TEXTS[i].in, n, out) == want && !memcmp(out, TEXTS[i].out, want));
        CU_ASSERT(read_all(TEXTS[i].in, n, out) == want && !memcmp(out, TEXTS[i].out, want));
    }
}

static size_t put(uint32_t cp, uint8_t *p) {
    if (cp < 0x80) return p[0] = (uint8_t)cp, 1;
    if (cp < 0x800) return p[0] = (uint8_t)(0xc0 | cp >> 6), p[1] = (uint8_t)(0x80 | (cp & 63)), 2;
    const size_t n = cp < 0x10000 ? 3 : 4;
    p[0] = (uint8_t)(n == 3 ? 0xe0 | cp >> 12 : 0xf0 | cp >> 18);
    for (size_t i = 1; i < n; i++) p[i] = (uint8_t)(0x80 | (cp >> 6 * (n - 1 - i) & 63));
    return n;
}

static void test_every_code_point(void) {
    uint32_t wrong = 0;
    for (uint32_t cp = 0; cp < 0x110000; cp++) {
        uint8_t p[4];
        char out[16];
        uint32_t got;
        const size_t n = put(cp, p), step = rt_utf8_next(p, n, &got);
        if (cp >= 0xd800 && cp < 0xe000) {
            wrong += got != RT_UTF8_BAD || step != 1;
            continue;
        }
        wrong += got != cp || step != n;
        wrong += push_all((char *)p, n, out) != n || memcmp(out, p, n);
        for (size_t cut = 1; cut < n; cut++)
            wrong += rt_utf8_next(p, cut, &got) != cut || got != RT_UTF8_BAD;
    }
    CU_ASSERT_EQUAL(wrong, 0);
}

/* Random bytes, most of them lead and continuation bytes: both ways of reading agree. */
static void test_random_bytes(void) {
    uint32_t seed = 12345;
    size_t wrong = 0;
    for (int round = 0; round < 200000; round++) {
        char in[12], a[64], b[64];
        const size_t n = (seed >> 16) % 12;
        for (size_t i = 0; i < n; i++) {
            seed = seed * 1664525u + 1013904223u;
            static const uint8_t SOME[] = {0x41, 0x80, 0x90, 0xa0, 0xbf, 0xc2, 0xe0, 0xe1,
                                           0xed, 0xef, 0xf0, 0xf1, 0xf4, 0xf5, 0xff, 0x8f};
            in[i] = (char)(seed >> 31 ? SOME[seed >> 20 & 15] : seed >> 12);
        }
        seed = seed * 1664525u + 1013904223u;
        const size_t len = push_all(in, n, a);
        wrong += read_all(in, n, b) != len || memcmp(a, b, len);
    }
    CU_ASSERT_EQUAL(wrong, 0);
}

UNIT_MAIN("utf8", {"ill-formed text gives U+FFFD for each maximal subpart", test_ill_formed},
          {"every code point reads back", test_every_code_point},
          {"byte by byte as all at once", test_random_bytes})
