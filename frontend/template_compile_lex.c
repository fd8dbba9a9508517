/* template_compile_lex.c - a template's text to tokens, by the rules of jinja2's lexer.py with
 * trim_blocks and lstrip_blocks set and keep_trailing_newline not.
 *
 * A block's end eats the newline behind it; white space between the start of a line and a block or
 * comment goes, unless `+` stands in the tag; `-` strips all white space on its side.
 */
#include <string.h>

#include "frontend/template_compile_ast.h"

typedef struct lexer {
    const tc_ctx *c;
    str s;
    size_t i;
    uint32_t line;
    bool line_starting; /* the last token ended with a newline, or there was none */
    vec(char) open;     /* brackets that wait for their end */
    tc_tokens *out;
} lexer;

static str sub(const lexer *x, size_t from, size_t to) { return (str){x->s.at + from, to - from}; }

static bool fail(const lexer *x, const char *what) {
    return tc_fail(x->c, DIAG_TEMPLATE_SYNTAX, x->line, "%s", what);
}

static void push(lexer *x, tc_token_kind kind, uint32_t line, str value) {
    vec_push(x->c->mem, x->out, (tc_token){.kind = kind, .line = line, .text = value});
}

static void count_lines(lexer *x, str s) {
    for (size_t k = 0; k < s.n; k++) x->line += s.at[k] == '\n';
}

static bool at_text(const lexer *x, size_t i, const char *t) {
    const size_t n = strlen(t);
    return x->s.n - i >= n && !memcmp(x->s.at + i, t, n);
}

/* Length of the white-space character at i, as Python's \s sees it; 0: another character. */
static size_t space_at(str s, size_t i) {
    static const char *const WIDE[] = {
        "\xc2\x85",     "\xc2\xa0",     "\xe1\x9a\x80", "\xe2\x80\xa8",
        "\xe2\x80\xa9", "\xe2\x80\xaf", "\xe2\x81\x9f", "\xe3\x80\x80",
    };
    if (i >= s.n) return 0;
    const uint8_t c = (uint8_t)s.at[i];
    if (c < 0x80) return c == ' ' || (c >= 9 && c <= 13) || (c >= 0x1c && c <= 0x1f);
    for (size_t k = 0; k < COUNT_OF(WIDE); k++) {
        const size_t n = strlen(WIDE[k]);
        if (s.n - i >= n && !memcmp(s.at + i, WIDE[k], n)) return n;
    }
    /* U+2000 .. U+200A */
    if (s.n - i >= 3 && !memcmp(s.at + i, "\xe2\x80", 2) && (uint8_t)s.at[i + 2] <= 0x8a) return 3;
    return 0;
}

static size_t skip_space(str s, size_t i) {
    for (size_t n; (n = space_at(s, i)) > 0;) i += n;
    return i;
}

/* End of s without the white space behind. */
static size_t stripped_end(str s) {
    size_t end = 0;
    for (size_t i = 0; i < s.n;) {
        const size_t n = space_at(s, i);
        i += n ? n : 1;
        if (!n) end = i;
    }
    return end;
}

/* The text before a tag, with the white space gone that the tag takes. */
static str before_tag(const lexer *x, str before, char sign, bool print) {
    if (sign == '-') return (str){before.at, stripped_end(before)};
    if (sign == '+' || print) return before;
    size_t line = before.n;
    while (line > 0 && before.at[line - 1] != '\n') line--;
    if (line == 0 && !x->line_starting) return before;
    return line < before.n && skip_space(before, line) == before.n ? (str){before.at, line}
                                                                   : before;
}

static void push_data(lexer *x, str whole, str kept) {
    if (kept.n) push(x, TK_data, x->line, kept);
    count_lines(x, whole);
}

/* What ends a tag at i: [+-]% } and what it eats behind it.  0: the tag does not end here. */
static size_t tag_end(const lexer *x, size_t i, const char *end, bool plus, bool trim) {
    const size_t n = strlen(end);
    if (i < x->s.n && x->s.at[i] == '-' && at_text(x, i + 1, end))
        return skip_space(x->s, i + 1 + n) - i;
    if (plus && i < x->s.n && x->s.at[i] == '+' && at_text(x, i + 1, end)) return 1 + n;
    if (!at_text(x, i, end)) return 0;
    return trim && i + n < x->s.n && x->s.at[i + n] == '\n' ? n + 1 : n;
}

static void advance(lexer *x, size_t to) {
    count_lines(x, sub(x, x->i, to));
    if (to > x->i) x->line_starting = x->s.at[to - 1] == '\n';
    x->i = to;
}

/* ---- raw and comments ---- */

/* Does `{% raw %}` (word raw) stand at i, behind its sign?  Returns where the word's tag goes on,
 * 0 if not. */
static size_t word_in_tag(const lexer *x, size_t i, const char *word) {
    i = skip_space(x->s, i);
    if (!at_text(x, i, word)) return 0;
    return skip_space(x->s, i + strlen(word));
}

static bool lex_raw(lexer *x, size_t body) {
    advance(x, body);
    for (size_t i = body; i < x->s.n; i++) {
        if (!at_text(x, i, "{%")) continue;
        size_t k = i + 2;
        const char sign = k < x->s.n && (x->s.at[k] == '-' || x->s.at[k] == '+') ? x->s.at[k] : 0;
        if (sign) k++;
        k = word_in_tag(x, k, "endraw");
        const size_t n = k ? tag_end(x, k, "%}", true, true) : 0;
        if (!n) continue;
        const str inside = sub(x, body, i);
        push_data(x, inside, before_tag(x, inside, sign, false));
        x->i = i;
        advance(x, k + n);
        return true;
    }
    return fail(x, "{% raw %} without {% endraw %}");
}

static bool lex_comment(lexer *x, size_t body) {
    for (size_t i = body; i < x->s.n; i++) {
        const size_t n = tag_end(x, i, "#}", true, true);
        if (!n) continue;
        advance(x, i + n);
        return true;
    }
    return fail(x, "a comment without end");
}

/* ---- literals ---- */

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_word(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* Behind digits that single underscores may part; i where there is no digit. */
static size_t skip_digits(str s, size_t i) {
    while (i < s.n && (is_digit(s.at[i]) || (s.at[i] == '_' && i > 0 && is_digit(s.at[i - 1]) &&
                                             i + 1 < s.n && is_digit(s.at[i + 1]))))
        i++;
    return i;
}

/* End of a number with a fraction or an exponent at i; i: there is none. */
static size_t float_end(str s, size_t i) {
    if (i > 0 && s.at[i - 1] == '.') return i;
    size_t k = skip_digits(s, i);
    bool real = false;
    if (k + 1 < s.n && s.at[k] == '.' && is_digit(s.at[k + 1])) {
        k = skip_digits(s, k + 1);
        real = true;
    }
    if (k < s.n && (s.at[k] == 'e' || s.at[k] == 'E')) {
        size_t e = k + 1;
        if (e < s.n && (s.at[e] == '+' || s.at[e] == '-')) e++;
        if (e < s.n && is_digit(s.at[e])) {
            k = skip_digits(s, e);
            real = true;
        }
    }
    return real ? k : i;
}

static str without_underscores(lexer *x, str s) {
    char *copy = arena_copy(x->c->mem, s.at, s.n);
    size_t n = 0;
    for (size_t k = 0; k < s.n; k++)
        if (s.at[k] != '_') copy[n++] = s.at[k];
    return (str){copy, n};
}

static int digit_value(char c) {
    if (is_digit(c)) return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : 99;
}

/* 0x, 0o, 0b at i; the value is below 2^63.  *end stays where there is none. */
static bool lex_based(lexer *x, size_t i, size_t *end, str *digits) {
    if (x->s.n - i < 3 || x->s.at[i] != '0') return true;
    const char p = x->s.at[i + 1] | 0x20;
    const int base = p == 'x' ? 16 : p == 'o' ? 8 : p == 'b' ? 2 : 0;
    if (!base) return true;
    uint64_t v = 0;
    size_t k = i + 2;
    for (; k < x->s.n; k++) {
        if (x->s.at[k] == '_' && k + 1 < x->s.n && digit_value(x->s.at[k + 1]) < base) continue;
        const int d = digit_value(x->s.at[k]);
        if (d >= base) break;
        if (v >> 59) return fail(x, "an integer that is too large");
        v = v * (uint64_t)base + (uint64_t)d;
    }
    if (k == i + 2 || x->s.at[k - 1] == '_') return true;
    *end = k;
    *digits = str_of(arena_printf(x->c->mem, "%llu", (unsigned long long)v));
    return true;
}

static bool lex_number(lexer *x) {
    size_t end = float_end(x->s, x->i);
    if (end > x->i) {
        push(x, TK_float, x->line, without_underscores(x, sub(x, x->i, end)));
        x->i = end;
        return true;
    }
    str digits = {0};
    if (!lex_based(x, x->i, &end, &digits)) return false;
    if (end == x->i) {
        end = skip_digits(x->s, x->i);
        if (x->s.at[x->i] == '0') { /* zeros alone: 0, 00, 0_0 */
            end = x->i + 1;
            while (end < x->s.n &&
                   (x->s.at[end] == '0' ||
                    (x->s.at[end] == '_' && end + 1 < x->s.n && x->s.at[end + 1] == '0')))
                end++;
        }
        digits = without_underscores(x, sub(x, x->i, end));
    }
    if (digits.n > 4300) return fail(x, "an integer that is too large");
    push(x, TK_integer, x->line, digits);
    x->i = end;
    return true;
}

static void add_char(text *t, uint32_t cp) {
    if (cp < 0x80) {
        text_putc(t, (char)cp);
        return;
    }
    if (cp < 0x800) {
        text_putc(t, (char)(0xc0 | cp >> 6));
    } else {
        if (cp < 0x10000) {
            text_putc(t, (char)(0xe0 | cp >> 12));
        } else {
            text_putc(t, (char)(0xf0 | cp >> 18));
            text_putc(t, (char)(0x80 | (cp >> 12 & 0x3f)));
        }
        text_putc(t, (char)(0x80 | (cp >> 6 & 0x3f)));
    }
    text_putc(t, (char)(0x80 | (cp & 0x3f)));
}

/* \xXX, \uXXXX, \UXXXXXXXX: `n` digits at *i. */
static bool read_hex(lexer *x, str s, size_t *i, size_t n, text *t) {
    uint64_t cp = 0;
    for (size_t k = 0; k < n; k++, (*i)++) {
        const int d = *i < s.n ? digit_value(s.at[*i]) : 99;
        if (d > 15) return fail(x, "an escape with too few digits in a string");
        cp = cp << 4 | (uint64_t)d;
    }
    if (cp > 0x10ffff || (cp >= 0xd800 && cp <= 0xdfff))
        return fail(x, "an escape in a string that is no character");
    add_char(t, (uint32_t)cp);
    return true;
}

static uint32_t decode(str s, size_t i, size_t *n) {
    const uint8_t c = (uint8_t)s.at[i];
    *n = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    uint32_t cp = c & (0x7fu >> *n);
    for (size_t k = 1; k < *n && i + k < s.n; k++) cp = cp << 6 | ((uint8_t)s.at[i + k] & 0x3fu);
    return cp;
}

/* s[*i] stands behind a backslash. */
static bool read_escape(lexer *x, str s, size_t *i, text *t) {
    static const char FROM[] = "\\'\"abfnrtv", TO[] = "\\'\"\a\b\f\n\r\t\v";
    const char c = s.at[*i];
    const char *simple = c ? strchr(FROM, c) : NULL;
    if (simple) {
        (*i)++;
        text_putc(t, TO[simple - FROM]);
        return true;
    }
    if (c >= '0' && c <= '7') {
        uint32_t v = 0;
        for (int k = 0; k < 3 && *i < s.n && s.at[*i] >= '0' && s.at[*i] <= '7'; k++, (*i)++)
            v = v * 8 + (uint32_t)(s.at[*i] - '0');
        add_char(t, v);
        return true;
    }
    if (c == 'x' || c == 'u' || c == 'U') {
        (*i)++;
        return read_hex(x, s, i, c == 'x' ? 2 : c == 'u' ? 4 : 8, t);
    }
    if (c == '\n') {
        (*i)++;
        return true;
    }
    if (c == 'N') return fail(x, "\\N in a string is not supported; write \\uXXXX");
    text_putc(t, '\\'); /* an unknown escape stays as it is */
    if ((uint8_t)c >= 0x80) {
        /* Python writes the character as an escape first, whose backslash this one then takes */
        size_t n;
        const uint32_t cp = decode(s, *i, &n);
        text_printf(t, cp < 0x100 ? "x%02x" : cp < 0x10000 ? "u%04x" : "U%08x", cp);
        *i += n;
    }
    return true;
}

static bool lex_string(lexer *x) {
    const char quote = x->s.at[x->i];
    size_t end = x->i + 1;
    while (end < x->s.n && x->s.at[end] != quote) end += x->s.at[end] == '\\' ? 2 : 1;
    if (end >= x->s.n) return fail(x, "a string without end");
    const str s = sub(x, x->i + 1, end);
    text t = {.mem = x->c->mem};
    vec_reserve(t.mem, &t.buf, s.n + 1);
    for (size_t i = 0; i < s.n;) {
        if (s.at[i] != '\\' || i + 1 == s.n) {
            text_putc(&t, s.at[i++]);
            continue;
        }
        i++;
        if (!read_escape(x, s, &i, &t)) return false;
    }
    push(x, TK_string, x->line, text_str(&t));
    advance(x, end + 1);
    return true;
}

/* ---- inside a tag ---- */

static bool lex_operator(lexer *x) {
    static const char *const TWO[] = {"//", "**", "==", "!=", ">=", "<="};
    size_t n = 0;
    for (size_t k = 0; k < COUNT_OF(TWO) && !n; k++)
        if (at_text(x, x->i, TWO[k])) n = 2;
    const char c = x->s.at[x->i];
    if (!n && c && strchr("+-/*%~[](){}><=.:|,;", c)) n = 1;
    if (!n)
        return tc_fail(x->c, DIAG_TEMPLATE_SYNTAX, x->line,
                       (uint8_t)c < 0x80 && (uint8_t)c >= 0x20
                           ? "unexpected character '%c'"
                           : "unexpected character, byte 0x%02x",
                       (uint8_t)c);
    if (n == 1 && strchr("([{", c)) {
        vec_push(x->c->mem, &x->open, c == '(' ? ')' : c == '[' ? ']' : '}');
    } else if (n == 1 && strchr(")]}", c)) {
        if (!x->open.n) return tc_fail(x->c, DIAG_TEMPLATE_SYNTAX, x->line, "unexpected '%c'", c);
        const char want = x->open.at[--x->open.n];
        if (want != c)
            return tc_fail(x->c, DIAG_TEMPLATE_SYNTAX, x->line, "unexpected '%c', expected '%c'", c,
                           want);
    }
    push(x, TK_operator, x->line, sub(x, x->i, x->i + n));
    x->i += n;
    return true;
}

static bool lex_tag(lexer *x, bool print) {
    x->open.n = 0;
    while (x->i < x->s.n) {
        const size_t n = x->open.n ? 0 : tag_end(x, x->i, print ? "}}" : "%}", !print, !print);
        if (n) {
            push(x, print ? TK_print_end : TK_block_end, x->line, (str){0});
            advance(x, x->i + n);
            return true;
        }
        const size_t space = skip_space(x->s, x->i);
        const char c = x->s.at[x->i];
        bool ok = true;
        if (space > x->i) {
            advance(x, space);
        } else if (is_digit(c)) {
            ok = lex_number(x);
        } else if (is_word(c)) {
            size_t end = x->i;
            while (end < x->s.n && is_word(x->s.at[end])) end++;
            push(x, TK_name, x->line, sub(x, x->i, end));
            x->i = end;
        } else if (c == '\'' || c == '"') {
            ok = lex_string(x);
        } else {
            ok = lex_operator(x);
        }
        if (!ok) return false;
    }
    return true; /* the parser meets the end of the text */
}

/* Text up to the next tag, and the tag. */
static bool lex_piece(lexer *x) {
    size_t i = x->i;
    while (i + 1 < x->s.n &&
           !(x->s.at[i] == '{' &&
             (x->s.at[i + 1] == '{' || x->s.at[i + 1] == '%' || x->s.at[i + 1] == '#')))
        i++;
    if (i + 1 >= x->s.n) {
        push_data(x, sub(x, x->i, x->s.n), sub(x, x->i, x->s.n));
        x->i = x->s.n;
        return true;
    }
    const char kind = x->s.at[i + 1];
    size_t k = i + 2;
    const char sign = k < x->s.n && (x->s.at[k] == '-' || x->s.at[k] == '+') ? x->s.at[k] : 0;
    if (sign) k++;
    const str before = sub(x, x->i, i);
    push_data(x, before, before_tag(x, before, sign, kind == '{'));
    x->i = i;
    if (kind == '#') return lex_comment(x, k);
    if (kind == '%') {
        const size_t raw = word_in_tag(x, k, "raw");
        const size_t n = raw ? tag_end(x, raw, "%}", false, false) : 0;
        if (n) return lex_raw(x, raw + n);
    }
    push(x, kind == '{' ? TK_print_begin : TK_block_begin, x->line, (str){0});
    x->line_starting = false;
    x->i = k;
    return lex_tag(x, kind == '{');
}

/* \r\n and \r become \n; one newline at the end goes. */
static str normalise(arena *mem, str s) {
    char *copy = arena_copy(mem, s.at, s.n);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.at[i] == '\r') {
            copy[n++] = '\n';
            if (i + 1 < s.n && s.at[i + 1] == '\n') i++;
        } else {
            copy[n++] = s.at[i];
        }
    }
    if (n && copy[n - 1] == '\n') n--;
    return (str){copy, n};
}

bool tc_lex(const tc_ctx *c, str source, tc_tokens *out) {
    lexer x = {
        .c = c, .s = normalise(c->mem, source), .line = 1, .line_starting = true, .out = out};
    while (x.i < x.s.n)
        if (!lex_piece(&x)) return false;
    push(&x, TK_eof, x.line, (str){0});
    return true;
}
