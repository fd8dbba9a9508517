/* tokenizer_split.c - hand-written matchers of the three split patterns.
 *
 * Each takes the first alternative that matches, as a backtracking matcher would:
 *
 *   gpt2    's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 *   cl100k  (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|
 * ?[^\s\p{L}\p{N}]+[\r\n]*|
 *           \s*[\r\n]+|\s+(?!\S)|\s+
 *   o200k
 * [^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|
 *           [^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|
 *           \p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+
 *
 * Source: the published tokenizer.json files; tests compare with PCRE2.
 */
#include "runtime/tokenizer_split.h"

#include <stdbool.h>

#include "runtime/unicode_tables.h"
#include "runtime/utf8.h"

enum {
    L = RT_UC_LETTER,
    N = RT_UC_NUMBER,
    S = RT_UC_SPACE,
    U = RT_UC_UPPER,
    W = RT_UC_LOWER,
    NL = RT_UC_NEWLINE,
    FAR = 128, /* not ASCII: the class takes decoding */
};

/* Class bits by first byte. */
#define TWO(c, v) [c] = (v), [(c) + 1] = (v)
#define EIGHT(c, v) TWO(c, v), TWO((c) + 2, v), TWO((c) + 4, v), TWO((c) + 6, v)
#define ALPHABET(c, v) EIGHT(c, v), EIGHT((c) + 8, v), EIGHT((c) + 16, v), TWO((c) + 24, v)
#define SIXTY_FOUR(c, v)                                                                           \
    EIGHT(c, v), EIGHT((c) + 8, v), EIGHT((c) + 16, v), EIGHT((c) + 24, v), EIGHT((c) + 32, v),    \
        EIGHT((c) + 40, v), EIGHT((c) + 48, v), EIGHT((c) + 56, v)
static const uint8_t FIRST[256] = {
    ['\t'] = S,           ['\n'] = S | NL,      ['\v'] = S,
    ['\f'] = S,           ['\r'] = S | NL,      [' '] = S,
    EIGHT('0', N),        TWO('8', N),          ALPHABET('A', L | U),
    ALPHABET('a', L | W), SIXTY_FOUR(128, FAR), SIXTY_FOUR(192, FAR),
};

typedef struct text {
    const uint8_t *p;
    size_t n;
} text;

typedef struct character {
    uint32_t bits; /* RT_UC_*; 0 behind the end of the text too */
    uint32_t n;    /* bytes; 0: the end */
} character;

static character far_char(text t, size_t at) {
    uint32_t cp;
    const size_t n = rt_utf8_next(t.p + at, t.n - at, &cp);
    return (character){rt_unicode_class(cp), (uint32_t)n};
}

static inline character char_at(text t, size_t at) {
    if (at >= t.n) return (character){0, 0};
    const uint8_t bits = FIRST[t.p[at]];
    return bits & FAR ? far_char(t, at) : (character){bits, 1};
}

/* End of the run, from `at` on, of characters that have one of the bits. */
static inline size_t run_of(text t, size_t at, uint32_t bits) {
    for (;;) {
        while (at < t.n && FIRST[t.p[at]] & bits) at++;
        if (at >= t.n || t.p[at] < 0x80) return at;
        const character c = far_char(t, at);
        if (!(c.bits & bits)) return at;
        at += c.n;
    }
}

/* End of the run of characters that are neither white space, letter nor number. */
static size_t run_of_others(text t, size_t at) {
    for (;;) {
        while (at < t.n && !FIRST[t.p[at]]) at++;
        if (at >= t.n || t.p[at] < 0x80) return at;
        const character c = far_char(t, at);
        if (c.bits & (S | L | N)) return at;
        at += c.n;
    }
}

static inline bool is_other(character c) { return c.n && !(c.bits & (S | L | N)); }

/* Bytes of s, t, re, ve, m, ll or d at `at`, behind an apostrophe; 0 where none of them stands
 * there. With `fold` in any case, which takes the long s (U+017F) for an s too. */
static size_t contraction(text t, size_t at, bool fold) {
    uint8_t c[2] = {0, 0};
    for (size_t i = 0; i < 2 && at + i < t.n; i++) {
        c[i] = t.p[at + i];
        if (fold && c[i] >= 'A' && c[i] <= 'Z') c[i] |= 0x20;
    }
    if (c[0] == 's' || c[0] == 't' || c[0] == 'm' || c[0] == 'd') return 1;
    if ((c[0] == 'r' || c[0] == 'v') && c[1] == 'e') return 2;
    if (c[0] == 'l' && c[1] == 'l') return 2;
    return fold && c[0] == 0xc5 && c[1] == 0xbf ? 2 : 0;
}

/* \s+(?!\S)|\s+ : a run of white space, but its last character goes to what follows. */
static size_t split_space(text t, size_t at) {
    size_t end = at, last = at;
    for (character c = char_at(t, at); c.bits & S; c = char_at(t, end)) {
        last = end;
        end += c.n;
    }
    return end < t.n && last > at ? last : end;
}

/* \s*[\r\n]+|\s+(?!\S)|\s+ : up to the last line end of the run, if it has one. */
static size_t split_lines(text t, size_t at) {
    size_t end = at, last = at, line_end = 0;
    for (character c = char_at(t, at); c.bits & S; c = char_at(t, end)) {
        last = end;
        end += c.n;
        if (c.bits & NL) line_end = end;
    }
    if (line_end) return line_end;
    return end < t.n && last > at ? last : end;
}

static size_t split_numbers(text t, size_t at) {
    for (int i = 0; i < 3; i++) {
        const character c = char_at(t, at);
        if (!(c.bits & N)) break;
        at += c.n;
    }
    return at;
}

/* The alternatives from \p{N}{1,3} on, alike in cl100k and o200k but for the slash behind symbols.
 */
static size_t split_rest(text t, size_t at, character c, bool slash) {
    if (c.bits & N) return split_numbers(t, at);
    const bool blank = t.p[at] == ' ' && is_other(char_at(t, at + 1));
    if (!blank && !is_other(c)) return split_lines(t, at);
    size_t end = run_of_others(t, at + blank);
    while (end < t.n && (FIRST[t.p[end]] & NL || (slash && t.p[end] == '/'))) end++;
    return end;
}

static size_t split_cl100k(text t, size_t at) {
    const character c = char_at(t, at);
    if (c.bits & L) return run_of(t, at + c.n, L);
    if (t.p[at] == '\'') {
        const size_t n = contraction(t, at + 1, true);
        if (n) return at + 1 + n;
    }
    if (!(c.bits & (N | NL))) {
        const character next = char_at(t, at + c.n);
        if (next.bits & L) return run_of(t, at + c.n + next.n, L);
    }
    return split_rest(t, at, c, false);
}

/* A word of o200k from `at` on, without what may stand before and behind it. */
typedef struct word {
    size_t lower; /* end of [upper]*[lower]+, 0 where that does not match */
    size_t upper; /* end of [upper]+[lower]*, 0 likewise; wanted only where `lower` is 0 */
} word;

static word word_at(text t, size_t at) {
    word w = {0, 0};
    size_t end = at;
    /* [upper]* takes the whole run; only where no lower follows it gives back, down to the last
     * character that is both, and [lower]+ then takes just that one: what stands behind it is upper
     * only */
    for (character c = char_at(t, at); c.bits & U; c = char_at(t, end)) {
        end += c.n;
        if (c.bits & W) w.lower = end;
    }
    const size_t lower = run_of(t, end, W);
    if (lower > end) w.lower = lower;
    if (end > at) w.upper = end;
    return w;
}

static size_t split_o200k(text t, size_t at) {
    const character c = char_at(t, at);
    size_t end = 0;
    if (c.bits & (L | U)) {
        /* a mark is no letter: it may also be the one character before a word */
        const bool mark = !(c.bits & L);
        const word behind = mark ? word_at(t, at + c.n) : (word){0, 0};
        const word here = behind.lower ? (word){0, 0} : word_at(t, at);
        end = behind.lower ? behind.lower : here.lower ? here.lower : here.upper;
    } else if (!(c.bits & (N | NL)) && char_at(t, at + c.n).bits & (L | U)) {
        const word behind = word_at(t, at + c.n);
        end = behind.lower ? behind.lower : behind.upper;
    }
    if (!end) return split_rest(t, at, c, true);
    if (end < t.n && t.p[end] == '\'') {
        const size_t n = contraction(t, end + 1, true);
        if (n) return end + 1 + n;
    }
    return end;
}

static size_t split_gpt2(text t, size_t at) {
    if (t.p[at] == '\'') {
        const size_t n = contraction(t, at + 1, false);
        if (n) return at + 1 + n;
    }
    const size_t from = at + (t.p[at] == ' ');
    const character c = char_at(t, from);
    if (c.bits & L) return run_of(t, from, L);
    if (c.bits & N) return run_of(t, from, N);
    if (is_other(c)) return run_of_others(t, from);
    return split_space(t, at);
}

size_t rt_split_next(rt_tok_pattern pattern, const uint8_t *p, size_t n, size_t at) {
    const text t = {p, n};
    if (pattern == RT_TOK_cl100k) return split_cl100k(t, at);
    if (pattern == RT_TOK_o200k) return split_o200k(t, at);
    return split_gpt2(t, at);
}
