/* json_value.c - one pass, recursion bounded by RT_JSON_DEPTH. */
#include "runtime/json_value.h"

#include <string.h>

#include "runtime/utf8.h"
#include "runtime/value_number.h"

typedef struct reader {
    rt_region *r;
    const char *at;
    size_t n, i;
    int depth;
    rt_json_error *error;
} reader;

static bool fail(reader *p, const char *what) {
    *p->error = (rt_json_error){.what = what, .offset = p->i};
    return false;
}

static void skip_space(reader *p) {
    while (p->i < p->n && (p->at[p->i] == ' ' || p->at[p->i] == '\t' || p->at[p->i] == '\n' ||
                           p->at[p->i] == '\r'))
        p->i++;
}

static int peek(const reader *p) { return p->i < p->n ? (uint8_t)p->at[p->i] : -1; }

static bool is_digit(int c) { return c >= '0' && c <= '9'; }

/* ---- strings ---- */

static int hex_digit(int c) {
    if (is_digit(c)) return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The four digits of \uXXXX; -1: not four. */
static int32_t read_hex(reader *p) {
    if (p->n - p->i < 4) return -1;
    int32_t v = 0;
    for (size_t k = 0; k < 4; k++) {
        const int h = hex_digit((uint8_t)p->at[p->i + k]);
        if (h < 0) return -1;
        v = v << 4 | h;
    }
    p->i += 4;
    return v;
}

static bool read_unicode(reader *p, uint32_t *cp) {
    const int32_t first = read_hex(p);
    if (first < 0) return fail(p, "\\u wants four hexadecimal digits");
    *cp = (uint32_t)first;
    if (first < 0xd800 || first > 0xdfff) return true;
    if (first > 0xdbff || p->n - p->i < 2 || p->at[p->i] != '\\' || p->at[p->i + 1] != 'u')
        return fail(p, "half of a surrogate pair");
    p->i += 2;
    const int32_t second = read_hex(p);
    if (second < 0xdc00 || second > 0xdfff) return fail(p, "half of a surrogate pair");
    *cp = 0x10000 + ((uint32_t)(first - 0xd800) << 10) + (uint32_t)(second - 0xdc00);
    return true;
}

static size_t put_utf8(uint32_t cp, char *out) {
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    if (cp < 0x800) {
        out[0] = (char)(0xc0 | cp >> 6);
        out[1] = (char)(0x80 | (cp & 0x3f));
        return 2;
    }
    if (cp < 0x10000) {
        out[0] = (char)(0xe0 | cp >> 12);
        out[1] = (char)(0x80 | (cp >> 6 & 0x3f));
        out[2] = (char)(0x80 | (cp & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | cp >> 18);
    out[1] = (char)(0x80 | (cp >> 12 & 0x3f));
    out[2] = (char)(0x80 | (cp >> 6 & 0x3f));
    out[3] = (char)(0x80 | (cp & 0x3f));
    return 4;
}

static bool read_escape(reader *p, char *out, size_t *n) {
    static const char FROM[] = "\"\\/bfnrt", TO[] = "\"\\/\b\f\n\r\t";
    const int c = peek(p);
    if (c == 'u') {
        uint32_t cp;
        p->i++;
        if (!read_unicode(p, &cp)) return false;
        *n += put_utf8(cp, out + *n);
        return true;
    }
    const char *found = c > 0 ? strchr(FROM, c) : NULL;
    if (!found) return fail(p, "unknown escape");
    out[(*n)++] = TO[found - FROM];
    p->i++;
    return true;
}

/* Bytes up to the closing quote; an escape never gets longer by being read. */
static bool string_span(reader *p, size_t *end) {
    size_t i = p->i;
    while (i < p->n && p->at[i] != '"') i += p->at[i] == '\\' ? 2 : 1;
    *end = i;
    return i < p->n || fail(p, "a string without end");
}

static bool read_string(reader *p, rt_value *out) {
    size_t end, n = 0;
    p->i++;
    if (!string_span(p, &end)) return false;
    char *copy = rt_region_get(p->r, end - p->i);
    if (!copy) return fail(p, NULL);
    while (p->at[p->i] != '"') {
        const uint8_t c = (uint8_t)p->at[p->i];
        if (c == '\\') {
            p->i++;
            if (!read_escape(p, copy, &n)) return false;
            continue;
        }
        if (c < 0x20) return fail(p, "a control character in a string");
        uint32_t cp;
        const size_t k = rt_utf8_next((const uint8_t *)p->at + p->i, p->n - p->i, &cp);
        if (cp == RT_UTF8_BAD) return fail(p, "bytes that are no UTF-8");
        memcpy(copy + n, p->at + p->i, k);
        n += k;
        p->i += k;
    }
    p->i++;
    *out = rt_text_ref(p->r, copy, n, RT_FROM_CALLER);
    return out->kind != RT_KIND_missing || fail(p, NULL);
}

/* ---- numbers and words ---- */

static bool read_number(reader *p, rt_value *out) {
    const size_t from = p->i;
    bool whole = true;
    if (peek(p) == '-') p->i++;
    if (!is_digit(peek(p))) return fail(p, "expected a digit");
    const size_t first = p->i;
    while (is_digit(peek(p))) p->i++;
    if (p->at[first] == '0' && p->i > first + 1) return fail(p, "a number that starts with 0");
    if (peek(p) == '.') {
        whole = false;
        p->i++;
        if (!is_digit(peek(p))) return fail(p, "expected a digit");
        while (is_digit(peek(p))) p->i++;
    }
    if (peek(p) == 'e' || peek(p) == 'E') {
        whole = false;
        p->i++;
        if (peek(p) == '+' || peek(p) == '-') p->i++;
        if (!is_digit(peek(p))) return fail(p, "expected a digit");
        while (is_digit(peek(p))) p->i++;
    }
    const size_t n = p->i - from;
    if (whole) {
        if (n > RT_VALUE_BIG_DIGITS) return fail(p, "a number with too many digits");
        *out = rt_integer_new(p->r, p->at + from, n);
        return out->kind != RT_KIND_missing || fail(p, NULL);
    }
    double d = 0;
    if (!rt_number_parse(p->at + from, n, &d) || d - d != 0)
        return fail(p, "a number that is too large");
    *out = rt_float(d);
    return true;
}

static bool read_word(reader *p, const char *word, rt_value v, rt_value *out) {
    const size_t n = strlen(word);
    if (p->n - p->i < n || memcmp(p->at + p->i, word, n) != 0) return fail(p, "expected a value");
    p->i += n;
    *out = v;
    return true;
}

/* ---- lists and objects ---- */

static bool read_value(reader *p, rt_value *out);

static bool read_list(reader *p, rt_value *out) {
    *out = rt_list_new(p->r);
    if (out->kind == RT_KIND_missing) return fail(p, NULL);
    p->i++;
    skip_space(p);
    if (peek(p) == ']') {
        p->i++;
        return true;
    }
    for (;;) {
        rt_value v;
        if (!read_value(p, &v)) return false;
        if (!rt_list_add(p->r, *out, v)) return fail(p, NULL);
        skip_space(p);
        const int c = peek(p);
        if (c != ',' && c != ']') return fail(p, "expected ',' or ']'");
        p->i++;
        if (c == ']') return true;
    }
}

static bool read_map(reader *p, rt_value *out) {
    *out = rt_map_new(p->r);
    if (out->kind == RT_KIND_missing) return fail(p, NULL);
    p->i++;
    skip_space(p);
    if (peek(p) == '}') {
        p->i++;
        return true;
    }
    for (;;) {
        rt_value key, v;
        skip_space(p);
        if (peek(p) != '"') return fail(p, "expected a key");
        const size_t at = p->i;
        if (!read_string(p, &key)) return false;
        if (rt_map_find(out->map, key) >= 0) {
            p->i = at;
            return fail(p, "a key that was there before");
        }
        skip_space(p);
        if (peek(p) != ':') return fail(p, "expected ':'");
        p->i++;
        if (!read_value(p, &v)) return false;
        if (!rt_map_set(p->r, *out, key, v)) return fail(p, NULL);
        skip_space(p);
        const int c = peek(p);
        if (c != ',' && c != '}') return fail(p, "expected ',' or '}'");
        p->i++;
        if (c == '}') return true;
    }
}

static bool read_value(reader *p, rt_value *out) {
    skip_space(p);
    const int c = peek(p);
    if (c == '[' || c == '{') {
        if (p->depth == RT_JSON_DEPTH) return fail(p, "nested too deeply");
        p->depth++;
        const bool ok = c == '[' ? read_list(p, out) : read_map(p, out);
        p->depth--;
        return ok;
    }
    if (c == '"') return read_string(p, out);
    if (c == '-' || is_digit(c)) return read_number(p, out);
    if (c == 't') return read_word(p, "true", rt_bool(true), out);
    if (c == 'f') return read_word(p, "false", rt_bool(false), out);
    if (c == 'n') return read_word(p, "null", rt_none(), out);
    return fail(p, c < 0 ? "the text ends where a value should stand" : "expected a value");
}

bool rt_json_parse(rt_region *r, const char *at, size_t n, rt_value *out, rt_json_error *error) {
    reader p = {.r = r, .at = at, .n = n, .error = error};
    if (!read_value(&p, out)) return false;
    skip_space(&p);
    return p.i == n || fail(&p, "something behind the value");
}
