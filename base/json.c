/* json.c - a strict scan of the whole text, then cJSON builds the tree.
 *
 * The scan is one loop over a stack of open arrays and objects.  Keys of each object stand in a
 * hash set of 8 bytes a slot (where the key begins in the source, and half of its keyed hash), so
 * that 200,000 keys cost a few megabytes and hostile keys cannot be made to collide.
 */
#include "base/json.h"

#include <math.h>
#include <string.h>

#include "base/map.h"

/* Keys of one object.  A slot whose `at` is 0 is free: a key's first character is never at 0. */
typedef struct key_slot {
    uint32_t at, tag;
} key_slot;

typedef struct frame {
    bool object;
    arena_pos mark; /* the set is dropped with the object */
    key_slot *slot;
    size_t n_keys, cap;
} frame;

typedef struct scanner {
    const char *at, *end, *begin;
    arena *mem;
    const char *error;
    hash_key key;
    int depth;
    size_t n_values;
    frame open[JSON_MAX_DEPTH];
} scanner;

static const char DUPLICATE[] = "a duplicate key: it occurs twice in one object";

static bool fail(scanner *s, const char *message) {
    if (!s->error) s->error = message;
    return false;
}

static void skip_blanks(scanner *s) {
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\n' || *s->at == '\r' || *s->at == '\t'))
        s->at++;
}

/* Whether one of 8 bytes is a quote, a backslash, a control character or not ASCII. */
static inline bool has_special(uint64_t w) {
    const uint64_t ones = 0x0101010101010101u, high = ones << 7;
    const uint64_t quote = w ^ ones * '"', back = w ^ ones * '\\';
    return ((w | (w - ones * 0x20) | (quote - ones) | (back - ones)) & high) != 0;
}

/* A multi-byte UTF-8 character at s->at.  Source: RFC 3629 section 4. */
static bool scan_utf8(scanner *s) {
    const unsigned char *p = (const unsigned char *)s->at;
    const ptrdiff_t left = s->end - s->at;
    const unsigned c = p[0];
    const int n = c >= 0xc2 && c <= 0xdf   ? 2
                  : c >= 0xe0 && c <= 0xef ? 3
                  : c >= 0xf0 && c <= 0xf4 ? 4
                                           : 0;
    if (!n || left < n) return fail(s, "bytes that are not UTF-8");
    const unsigned lo = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
    const unsigned hi = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
    if (p[1] < lo || p[1] > hi) return fail(s, "bytes that are not UTF-8");
    for (int i = 2; i < n; i++)
        if (p[i] < 0x80 || p[i] > 0xbf) return fail(s, "bytes that are not UTF-8");
    s->at += n;
    return true;
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* The four hex digits at p; -1 where there are not four. */
static int hex4(const char *p, const char *end) {
    if (end - p < 4) return -1;
    int v = 0;
    for (int i = 0; i < 4; i++) {
        const int digit = hex_digit(p[i]);
        if (digit < 0) return -1;
        v = v * 16 + digit;
    }
    return v;
}

/* An escape whose backslash is at s->at. */
static bool scan_escape(scanner *s) {
    if (s->end - s->at < 2) return fail(s, "a string without its closing quote");
    const char c = s->at[1];
    if (c != 'u') {
        if (!c || !strchr("\"\\/bfnrt", c)) return fail(s, "an unknown escape in a string");
        s->at += 2;
        return true;
    }
    const int code = hex4(s->at + 2, s->end);
    if (code < 0) return fail(s, "a \\u escape without four hex digits");
    if (code == 0) return fail(s, "a NUL character in a string");
    if (code >= 0xdc00 && code <= 0xdfff) return fail(s, "a lone surrogate escape");
    if (code >= 0xd800 && code <= 0xdbff) {
        const char *low = s->at + 6;
        const bool is_pair = s->end - low >= 2 && low[0] == '\\' && low[1] == 'u';
        const int code2 = is_pair ? hex4(low + 2, s->end) : -1;
        if (code2 < 0xdc00 || code2 > 0xdfff) return fail(s, "a lone surrogate escape");
        s->at += 6;
    }
    s->at += 6;
    return true;
}

/* A string whose quote is at s->at.  *body gets what stands between the quotes. */
static bool scan_string(scanner *s, str *body, bool *escaped) {
    const char *first = ++s->at;
    *escaped = false;
    for (;;) {
        uint64_t w;
        while (s->end - s->at >= 8 && (memcpy(&w, s->at, 8), !has_special(w))) s->at += 8;
        if (s->at == s->end) return fail(s, "a string without its closing quote");
        const unsigned char c = (unsigned char)*s->at;
        if (c == '"') break;
        if (c < 0x20)
            return fail(s, c ? "a control character in a string" : "a NUL character in a string");
        if (c == '\\') {
            *escaped = true;
            if (!scan_escape(s)) return false;
        } else if (c >= 0x80) {
            if (!scan_utf8(s)) return false;
        } else {
            s->at++;
        }
    }
    *body = (str){first, (size_t)(s->at - first)};
    s->at++;
    return true;
}

static size_t put_utf8(char *out, uint32_t c) {
    if (c < 0x80) return out[0] = (char)c, 1;
    if (c < 0x800) return out[0] = (char)(0xc0 | c >> 6), out[1] = (char)(0x80 | (c & 63)), 2;
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 63));
        out[2] = (char)(0x80 | (c & 63));
        return 3;
    }
    out[0] = (char)(0xf0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 63));
    out[2] = (char)(0x80 | (c >> 6 & 63));
    out[3] = (char)(0x80 | (c & 63));
    return 4;
}

/* escapes of one letter, and what they stand for; the quote and the two slashes are themselves */
static const char ESCAPE_NAME[] = "bfnrt", ESCAPE_CHAR[] = "\b\f\n\r\t";

/* The characters of a scanned string body, never more bytes than the source has. */
static str unescape(str body, arena *mem) {
    char *out = arena_get(mem, body.n + 1, 1);
    size_t n = 0;
    for (size_t i = 0; i < body.n;) {
        if (body.at[i] != '\\') {
            out[n++] = body.at[i++];
            continue;
        }
        const char c = body.at[i + 1];
        i += 2;
        if (c != 'u') {
            const char *f = strchr(ESCAPE_NAME, c);
            out[n++] = f ? ESCAPE_CHAR[f - ESCAPE_NAME] : c;
            continue;
        }
        const char *end = body.at + body.n;
        uint32_t code = (uint32_t)hex4(body.at + i, end);
        i += 4;
        if (code >= 0xd800 && code <= 0xdbff) {
            code =
                0x10000 + ((code - 0xd800) << 10) + ((uint32_t)hex4(body.at + i + 2, end) - 0xdc00);
            i += 6;
        }
        n += put_utf8(out + n, code);
    }
    return (str){out, n};
}

/* The key that was scanned at `at`: up to its closing quote, unescaped where it has escapes. */
static str key_at(const scanner *s, uint32_t at) {
    const char *first = s->begin + at, *p = first;
    bool escaped = false;
    for (; *p != '"'; p++)
        if (*p == '\\') escaped = true, p++;
    const str body = {first, (size_t)(p - first)};
    return escaped ? unescape(body, s->mem) : body;
}

static void grow_keys(scanner *s, frame *f) {
    const size_t cap = f->cap ? f->cap * 2 : 8;
    key_slot *bigger = arena_array(s->mem, key_slot, cap);
    for (size_t i = 0; i < f->cap; i++) {
        if (!f->slot[i].at) continue;
        size_t j = f->slot[i].tag & (cap - 1);
        while (bigger[j].at) j = (j + 1) & (cap - 1);
        bigger[j] = f->slot[i];
    }
    f->slot = bigger;
    f->cap = cap;
}

static bool add_key(scanner *s, str body, bool escaped) {
    frame *f = &s->open[s->depth - 1];
    if (f->n_keys * 2 >= f->cap) grow_keys(s, f);
    const arena_pos mark = arena_mark(s->mem);
    const str key = escaped ? unescape(body, s->mem) : body;
    const uint32_t tag = (uint32_t)hash_bytes(s->key, key);
    size_t i = tag & (f->cap - 1);
    for (; f->slot[i].at; i = (i + 1) & (f->cap - 1))
        if (f->slot[i].tag == tag && str_eq(key_at(s, f->slot[i].at), key)) {
            s->at = body.at;
            return fail(s, DUPLICATE);
        }
    arena_rewind(s->mem, mark);
    f->slot[i] = (key_slot){(uint32_t)(body.at - s->begin), tag};
    f->n_keys++;
    return true;
}

static bool is_digit(const scanner *s) { return s->at < s->end && *s->at >= '0' && *s->at <= '9'; }

static bool scan_digits(scanner *s) {
    if (!is_digit(s)) return fail(s, "a number without digits where they belong");
    while (is_digit(s)) s->at++;
    return true;
}

static bool scan_number(scanner *s) {
    const char *first = s->at;
    if (*s->at == '-') s->at++;
    if (s->at < s->end && *s->at == '0') s->at++;
    else if (!scan_digits(s)) return false;
    if (s->at < s->end && *s->at == '.') {
        s->at++;
        if (!scan_digits(s)) return false;
    }
    if (s->at < s->end && (*s->at == 'e' || *s->at == 'E')) {
        s->at++;
        if (s->at < s->end && (*s->at == '+' || *s->at == '-')) s->at++;
        if (!scan_digits(s)) return false;
    }
    if (s->at - first > 63) return fail(s, "a number of more than 63 characters");
    return true;
}

static bool scan_word(scanner *s, const char *word) {
    const size_t n = strlen(word);
    if ((size_t)(s->end - s->at) < n || memcmp(s->at, word, n))
        return fail(s, "something that is no JSON value (NaN and Infinity are none)");
    s->at += n;
    return true;
}

/* A key and its colon. */
static bool scan_key(scanner *s) {
    str body;
    bool escaped;
    skip_blanks(s);
    if (s->at == s->end) return fail(s, "the end of the file where a key belongs");
    if (*s->at != '"') return fail(s, "no quoted key where one belongs");
    if (!scan_string(s, &body, &escaped) || !add_key(s, body, escaped)) return false;
    skip_blanks(s);
    if (s->at == s->end || *s->at != ':') return fail(s, "no colon behind a key");
    s->at++;
    return true;
}

static bool open_frame(scanner *s, bool object) {
    if (s->depth == JSON_MAX_DEPTH) return fail(s, "values nested more than 64 deep");
    s->open[s->depth++] = (frame){.object = object, .mark = arena_mark(s->mem)};
    s->at++;
    return true;
}

static void close_frame(scanner *s) {
    s->at++;
    arena_rewind(s->mem, s->open[--s->depth].mark);
}

static bool is_at(scanner *s, char c) {
    skip_blanks(s);
    return s->at < s->end && *s->at == c;
}

/* One value, or the opening of one that holds others; *opened says which. */
static bool scan_value(scanner *s, bool *opened) {
    str body;
    bool escaped;
    *opened = false;
    skip_blanks(s);
    if (s->at == s->end) return fail(s, "the end of the file where a value belongs");
    if (++s->n_values > JSON_MAX_VALUES) return fail(s, "more than four million values");
    switch (*s->at) {
    case '{':
    case '[': {
        const bool object = *s->at == '{';
        if (!open_frame(s, object)) return false;
        if (is_at(s, object ? '}' : ']')) {
            close_frame(s);
            return true;
        }
        *opened = true;
        return !object || scan_key(s);
    }
    case '"':
        return scan_string(s, &body, &escaped);
    case 't':
        return scan_word(s, "true");
    case 'f':
        return scan_word(s, "false");
    case 'n':
        return scan_word(s, "null");
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9':
        return scan_number(s);
    default:
        return fail(s, "something that is no JSON value (NaN and Infinity are none)");
    }
}

static bool scan_text(scanner *s) {
    if (s->end - s->begin >= 3 && !memcmp(s->begin, "\xef\xbb\xbf", 3))
        return fail(s, "a byte-order mark");
    if ((uint64_t)(s->end - s->begin) >= UINT32_MAX) return fail(s, "a text of 4 GiB or more");
    skip_blanks(s);
    if (s->at == s->end) return fail(s, s->end == s->begin ? "an empty file" : "no value at all");
    for (;;) {
        bool opened;
        if (!scan_value(s, &opened)) return false;
        if (opened) continue;
        /* a value is complete: close what it completes, then go to the next one */
        for (;;) {
            if (!s->depth) {
                skip_blanks(s);
                return s->at == s->end || fail(s, "something behind the value");
            }
            const bool object = s->open[s->depth - 1].object;
            if (is_at(s, ',')) {
                s->at++;
                if (object && !scan_key(s)) return false;
                break;
            }
            if (!is_at(s, object ? '}' : ']'))
                return fail(s, s->at == s->end ? "the end of the file inside an array or object"
                                               : "no comma or closing bracket behind a value");
            close_frame(s);
        }
    }
}

const char *json_scan(str source, arena *scratch, uint64_t *error_offset) {
    scanner s = {.at = source.at, .begin = source.at, .mem = scratch, .key = hash_random_key()};
    if (!source.at) s.at = s.begin = "";
    s.end = s.begin + source.n;
    const arena_pos mark = arena_mark(scratch);
    const bool ok = scan_text(&s);
    arena_rewind(scratch, mark);
    if (ok) return NULL;
    *error_offset = (uint64_t)(s.at - s.begin);
    return s.error;
}

bool json_parse(str source, const char *file, arena *scratch, diag *d, json *out) {
    uint64_t at = 0;
    *out = (json){.file = file};
    const char *error = json_scan(source, scratch, &at);
    if (error) {
        uint64_t line = 1, line_at = 0, n_key = 0;
        for (uint64_t i = 0; i < at; i++)
            if (source.at[i] == '\n') line++, line_at = i + 1;
        if (error == DUPLICATE)
            while (n_key < 80 && source.at[at + n_key] != '"') n_key++;
        return diag_error(d, DIAG_JSON_SYNTAX, (diag_loc){.file = file, .line = line},
                          "not valid JSON (found %s at column %llu%s%.*s)", error,
                          (unsigned long long)(at - line_at + 1), n_key ? ", " : "", (int)n_key,
                          n_key ? source.at + at : "");
    }
    out->root = cJSON_ParseWithLength(source.at, source.n);
    if (!out->root) arena_out_of_memory(source.n); /* the scan refuses all else that cJSON does */
    return true;
}

void json_free(json *j) {
    cJSON_Delete(j->root);
    j->root = NULL;
}

const cJSON *json_member(const cJSON *o, const char *key) {
    const cJSON *m = cJSON_GetObjectItemCaseSensitive(o, key);
    return m && !cJSON_IsNull(m) ? m : NULL;
}

static const char *type_of(const cJSON *v) {
    if (cJSON_IsBool(v)) return "true or false";
    if (cJSON_IsNumber(v)) return "a number";
    if (cJSON_IsString(v)) return "a string";
    return cJSON_IsArray(v) ? "an array" : "an object";
}

static bool wrong_type(const cJSON *v, const char *key, const char *wanted, const char *file,
                       diag *d) {
    return diag_error(d, DIAG_JSON_TYPE, (diag_loc){.file = file},
                      "'%s' has the wrong type (found %s, expected %s)", key, type_of(v), wanted);
}

static bool missing(const char *key, const char *file, diag *d) {
    return diag_error(d, DIAG_JSON_MISSING, (diag_loc){.file = file}, "'%s' is missing", key);
}

bool json_opt_i64(const cJSON *o, const char *key, int64_t lo, int64_t hi, const char *file,
                  diag *d, int64_t *out) {
    const cJSON *v = json_member(o, key);
    if (!v) return true;
    if (!cJSON_IsNumber(v)) return wrong_type(v, key, "an integer", file, d);
    const double x = v->valuedouble, exact = 9007199254740991.0; /* 2^53 - 1 */
    if (isfinite(x) && x != floor(x))
        return diag_error(d, DIAG_JSON_TYPE, (diag_loc){.file = file},
                          "'%s' is not an integer (found %.17g)", key, x);
    if (!(x >= -exact && x <= exact) || (int64_t)x < lo || (int64_t)x > hi)
        return diag_error(d, DIAG_JSON_RANGE, (diag_loc){.file = file},
                          "'%s' is out of range (found %.17g, expected %lld to %lld)", key, x,
                          (long long)lo, (long long)hi);
    *out = (int64_t)x;
    return true;
}

bool json_get_i64(const cJSON *o, const char *key, int64_t lo, int64_t hi, const char *file,
                  diag *d, int64_t *out) {
    if (!json_member(o, key)) return missing(key, file, d);
    return json_opt_i64(o, key, lo, hi, file, d, out);
}

bool json_opt_f64(const cJSON *o, const char *key, double lo, double hi, const char *file, diag *d,
                  double *out) {
    const cJSON *v = json_member(o, key);
    if (!v) return true;
    if (!cJSON_IsNumber(v)) return wrong_type(v, key, "a number", file, d);
    const double x = v->valuedouble;
    if (!isfinite(x) || !(x >= lo && x <= hi))
        return diag_error(d, DIAG_JSON_RANGE, (diag_loc){.file = file},
                          "'%s' is out of range (found %g, expected %g to %g)", key, x, lo, hi);
    *out = x;
    return true;
}

bool json_get_f64(const cJSON *o, const char *key, double lo, double hi, const char *file, diag *d,
                  double *out) {
    if (!json_member(o, key)) return missing(key, file, d);
    return json_opt_f64(o, key, lo, hi, file, d, out);
}

bool json_opt_bool(const cJSON *o, const char *key, const char *file, diag *d, bool *out) {
    const cJSON *v = json_member(o, key);
    if (!v) return true;
    if (!cJSON_IsBool(v)) return wrong_type(v, key, "true or false", file, d);
    *out = cJSON_IsTrue(v);
    return true;
}

bool json_opt_str(const cJSON *o, const char *key, const char *file, diag *d, const char **out) {
    const cJSON *v = json_member(o, key);
    if (!v) return true;
    if (!cJSON_IsString(v)) return wrong_type(v, key, "a string", file, d);
    *out = v->valuestring;
    return true;
}

bool json_get_str(const cJSON *o, const char *key, const char *file, diag *d, const char **out) {
    if (!json_member(o, key)) return missing(key, file, d);
    return json_opt_str(o, key, file, d, out);
}

void json_add_string(text *t, str s) {
    if (!s.n) s.at = "";
    scanner u = {.at = s.at, .begin = s.at, .end = s.at + s.n};
    text_putc(t, '"');
    while (u.at < u.end) {
        const unsigned char c = (unsigned char)*u.at;
        const char *const was = u.at;
        if (c >= 0x80) {
            if (scan_utf8(&u)) {
                text_add(t, (str){was, (size_t)(u.at - was)});
            } else {
                text_cat(t, "\xef\xbf\xbd");
                u.at++;
            }
            continue;
        }
        u.at++;
        const char *const f = c ? strchr(ESCAPE_CHAR, c) : NULL;
        if (c == '"' || c == '\\') text_putc(t, '\\'), text_putc(t, (char)c);
        else if (f) text_putc(t, '\\'), text_putc(t, ESCAPE_NAME[f - ESCAPE_CHAR]);
        else if (c < 0x20 || c == 0x7f) text_printf(t, "\\u%04x", c);
        else text_putc(t, (char)c);
    }
    text_putc(t, '"');
}
