/* template_strings.c - Python's str operations that filters and methods share. */
#include <string.h>

#include "runtime/template_unicode.h"
#include "runtime/template_vm.h"
#include "runtime/utf8.h"
#include "runtime/value_number.h"

/* ---- strip, replace, pad ---- */

static bool is_in_set(tvm *vm, const rt_text *set, const char *c, size_t n) {
    if (!set) {
        uint32_t cp;
        (void)rt_utf8_next((const uint8_t *)c, n, &cp);
        return rt_uni_is_space(cp);
    }
    uint32_t cp;
    if (!tv_work(vm, set->n)) return false;
    for (size_t i = 0, k; i < set->n; i += k) {
        k = tv_next_char(set, i, &cp);
        if (k == n && !memcmp(set->at + i, c, n)) return true;
    }
    return false;
}

/* Start of the character before byte i. */
static size_t char_before(const rt_text *t, size_t i) {
    size_t k = i - 1;
    while (k > 0 && i - k < 4 && ((uint8_t)t->at[k] & 0xc0) == 0x80) k--;
    return k;
}

rt_value tv_strip(tvm *vm, const rt_text *t, rt_value chars, bool left, bool right) {
    if (chars.kind == TV_undefined) return tv_undefined_error(vm, chars);
    if (chars.kind != RT_KIND_text && chars.kind != RT_KIND_none && chars.kind != RT_KIND_missing)
        return tv_fail(vm, "strip arg must be None or str");
    const rt_text *set = chars.kind == RT_KIND_text ? chars.text : NULL;
    size_t from = 0, to = t->n;
    uint32_t cp;
    while (left && from < to && !vm->failed) {
        const size_t n = tv_next_char(t, from, &cp);
        if (!is_in_set(vm, set, t->at + from, n)) break;
        from += n;
    }
    while (right && from < to && !vm->failed) {
        const size_t at = char_before(t, to);
        if (!is_in_set(vm, set, t->at + at, to - at)) break;
        to = at;
    }
    if (!tv_work(vm, t->n - (to - from))) return rt_missing();
    return tv_part(vm, t, from, to);
}

/* `by` before each of the first `count` characters, and at the end. */
static rt_value insert_between(tvm *vm, const rt_text *t, const rt_text *by, int64_t count) {
    tv_text b;
    tv_text_begin(vm, &b);
    size_t i = 0;
    for (;;) {
        if (count > 0) {
            tv_add_text(&b, by);
            count--;
        }
        if (i == t->n || count == 0 || !tv_steps(vm, 1)) break;
        uint32_t cp;
        const size_t n = tv_next_char(t, i, &cp);
        tv_add_part(&b, t, i, i + n);
        i += n;
    }
    tv_add_part(&b, t, i, t->n);
    return tv_text_end(&b);
}

rt_value tv_replace(tvm *vm, const rt_text *t, const rt_text *old, const rt_text *by,
                    int64_t count) {
    if (count < 0) count = INT64_MAX;
    if (!old->n) return insert_between(vm, t, by, count);
    tv_text b;
    tv_text_begin(vm, &b);
    size_t i = 0;
    while (count > 0 && tv_work(vm, 16)) {
        const char *found = memmem(t->at + i, t->n - i, old->at, old->n);
        if (!found) break;
        const size_t at = (size_t)(found - t->at);
        tv_add_part(&b, t, i, at);
        tv_add_text(&b, by);
        i = at + old->n;
        count--;
    }
    tv_add_part(&b, t, i, t->n);
    return tv_text_end(&b);
}

static void add_fill(tv_text *b, int64_t n, const rt_text *fill) {
    static const rt_text SPACE = {.at = " ", .n = 1};
    if (n > 0 && !tv_text_fits(b, (uint64_t)n)) return;
    for (; n > 0 && tv_work(b->vm, 1); n--) tv_add_text(b, fill ? fill : &SPACE);
}

rt_value tv_pad(tvm *vm, const rt_text *t, int64_t left, int64_t right, const rt_text *fill) {
    tv_text b;
    tv_text_begin(vm, &b);
    add_fill(&b, left, fill);
    tv_add_text(&b, t);
    add_fill(&b, right, fill);
    rt_value v = tv_text_end(&b);
    if (v.kind == RT_KIND_text) v.text->markup = t->markup;
    return v;
}

rt_value tv_center(tvm *vm, rt_text *t, int64_t width, const rt_text *fill) {
    const int64_t pad = width - tv_chars(vm, t);
    const int64_t left = pad / 2 + (pad & width & 1);
    return pad <= 0 ? tv_literal(t) : tv_pad(vm, t, left, pad - left, fill);
}

rt_value tv_lines(tvm *vm, const rt_text *t, bool keep_ends) {
    const rt_value l = tv_list(vm);
    size_t from = 0;
    uint32_t cp;
    for (size_t i = 0, n; i < t->n && !vm->failed;) {
        n = tv_next_char(t, i, &cp);
        if (!rt_uni_is_line_end(cp)) {
            i += n;
            continue;
        }
        size_t end = i + n;
        if (cp == '\r' && end < t->n && t->at[end] == '\n') end++;
        if (!tv_steps(vm, 1) || !tv_push(vm, l, tv_part(vm, t, from, keep_ends ? end : i)))
            return rt_missing();
        from = i = end;
    }
    if (from < t->n && !tv_push(vm, l, tv_part(vm, t, from, t->n))) return rt_missing();
    return vm->failed ? rt_missing() : l;
}

/* ---- letter case ---- */

static bool is_cased(uint32_t cp) {
    return rt_uni_is_lower(cp) || rt_uni_is_upper(cp) || rt_uni_is_title(cp);
}

/* What may stand inside a word without ending it, for the final sigma; the common part of
 * Unicode's Case_Ignorable. */
static bool is_skipped(uint32_t cp) {
    return cp == '\'' || cp == '.' || cp == ':' || cp == '^' || cp == '`' || cp == 0xa8 ||
           cp == 0xad || cp == 0xb7 || cp == 0x2019 || rt_uni_is_mark(cp);
}

/* Capital sigma at byte i: is it the last letter of its word?  The word starts at `from` or later.
 */
static bool is_final_sigma(tvm *vm, const rt_text *t, size_t from, size_t i) {
    uint32_t cp = 0;
    bool before = false;
    for (size_t k = i; k > from && tv_work(vm, 1);) {
        k = char_before(t, k);
        (void)tv_next_char(t, k, &cp);
        if (is_skipped(cp)) continue;
        before = is_cased(cp);
        break;
    }
    if (!before) return false;
    for (size_t k = i + 2; k < t->n && tv_work(vm, 1);) {
        k += tv_next_char(t, k, &cp);
        if (!is_skipped(cp)) return !is_cased(cp);
    }
    return true;
}

static bool parts_words(uint32_t cp) {
    return cp == '-' || cp == '(' || cp == '{' || cp == '[' || cp == '<' || rt_uni_is_space(cp);
}

rt_value tv_convert(tvm *vm, const rt_text *t, tv_case to) {
    tv_text b;
    tv_text_begin(vm, &b);
    bool first = true; /* of the text or the word */
    size_t word = 0;   /* where the part starts that lower() would be called on */
    for (size_t i = 0, n; i < t->n && !vm->failed; i += n) {
        uint32_t cp, out[RT_UNI_MAX_CASE];
        n = tv_next_char(t, i, &cp);
        if (cp == RT_UTF8_BAD) {
            tv_add_part(&b, t, i, i + n);
            continue;
        }
        rt_uni_case c = to == TV_CASEFOLD ? RT_UNI_TO_FOLD : RT_UNI_TO_LOWER;
        if (to == TV_UPPER || (to == TV_WORD_TITLE && first) ||
            (to == TV_SWAPCASE && rt_uni_is_lower(cp)))
            c = RT_UNI_TO_UPPER;
        else if ((to == TV_CAPITALIZE || to == TV_TITLE) && first) c = RT_UNI_TO_TITLE;
        else if (to == TV_SWAPCASE && !rt_uni_is_upper(cp)) {
            tv_add_part(&b, t, i, i + n);
            continue;
        }
        size_t k = rt_uni_convert(cp, c, out);
        if (cp == 0x3a3 && c == RT_UNI_TO_LOWER && is_final_sigma(vm, t, word, i)) out[0] = 0x3c2;
        for (size_t j = 0; j < k; j++) tv_add_char(&b, out[j], tv_taint(t, i));
        if (to == TV_WORD_TITLE) {
            if (first) word = i + n;
            first = parts_words(cp);
        } else {
            first = to == TV_TITLE && !is_cased(cp);
        }
    }
    rt_value v = tv_text_end(&b);
    if (v.kind == RT_KIND_text) v.text->markup = t->markup && to != TV_WORD_TITLE;
    return v;
}

/* ---- numbers ---- */

/* ASCII copy of a number's text: white space stripped, underscores between digits gone, digits of
 * all scripts as 0..9.  false: holds something that no number has. */
static bool plain_number(const rt_text *t, char *out, size_t cap, size_t *n) {
    size_t from = 0, to = t->n;
    uint32_t cp;
    while (from < to) {
        const size_t k = tv_next_char(t, from, &cp);
        if (!rt_uni_is_space(cp)) break;
        from += k;
    }
    while (from < to) {
        const size_t at = char_before(t, to);
        (void)tv_next_char(t, at, &cp);
        if (!rt_uni_is_space(cp)) break;
        to = at;
    }
    *n = 0;
    while (from < to) {
        const size_t k = tv_next_char(t, from, &cp);
        const int digit = rt_uni_decimal(cp);
        if (*n + 1 >= cap || (cp >= 0x80 && digit < 0)) return false;
        out[(*n)++] = digit >= 0 ? (char)('0' + digit) : (char)cp;
        from += k;
    }
    return true;
}

/* Takes out single underscores between digits of the base; false: others are there. */
static bool drop_underscores(char *s, size_t *n, bool hex) {
    size_t w = 0;
    for (size_t i = 0; i < *n; i++) {
        const char before = i ? s[i - 1] : 0, behind = i + 1 < *n ? s[i + 1] : 0;
        if (s[i] != '_') {
            s[w++] = s[i];
            continue;
        }
#define IS_DIGIT(c)                                                                                \
    (((c) >= '0' && (c) <= '9') || (hex && ((c) | 0x20) >= 'a' && ((c) | 0x20) <= 'f'))
        if (!IS_DIGIT(before) || !IS_DIGIT(behind)) return false;
#undef IS_DIGIT
    }
    *n = w;
    return true;
}

static int digit_of(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'z' ? c - 'a' + 10 : 99;
}

/* Base of the prefix 0x, 0o, 0b; 0: there is none. */
static int64_t prefix_base(const char *s, size_t n) {
    if (n < 2 || s[0] != '0') return 0;
    const char c = s[1] | 0x20;
    return c == 'x' ? 16 : c == 'o' ? 8 : c == 'b' ? 2 : 0;
}

static rt_value int_in_base(tvm *vm, const char *s, size_t n, int64_t base, bool minus) {
    int64_t v = 0;
    for (size_t k = 0; k < n; k++) {
        const int d = digit_of(s[k]);
        if (d >= base) return rt_missing();
        if (__builtin_mul_overflow(v, base, &v) ||
            (minus ? __builtin_sub_overflow(v, d, &v) : __builtin_add_overflow(v, d, &v)))
            return tv_fail(vm, "integers beyond 64 bits are read in base 10 only");
    }
    return rt_int(v);
}

rt_value tv_int_of_text(tvm *vm, const rt_text *t, int64_t base) {
    char s[RT_VALUE_BIG_DIGITS + 8];
    size_t n, i = 0;
    if (base != 0 && (base < 2 || base > 36)) return rt_missing();
    if (!tv_work(vm, t->n) || !plain_number(t, s, sizeof s, &n)) return rt_missing();
    const bool minus = n && s[0] == '-';
    if (n && (s[0] == '-' || s[0] == '+')) i++;
    const int64_t prefix = prefix_base(s + i, n - i);
    if (prefix && (base == 0 || base == prefix)) {
        i += 2;
        if (i < n && s[i] == '_') i++;
        base = prefix;
    } else if (base == 0) {
        base = 10;
        if (n - i > 1 && s[i] == '0') return rt_missing();
    }
    n -= i;
    if (!n || !drop_underscores(s + i, &n, base > 10)) return rt_missing();
    if (base != 10) return int_in_base(vm, s + i, n, base, minus);
    for (size_t k = i; k < i + n; k++)
        if (digit_of(s[k]) > 9) return rt_missing();
    if (n > RT_VALUE_BIG_DIGITS) return rt_missing();
    if (minus) s[i - 1] = '-';
    const rt_value v = rt_integer_new(&vm->r, s + i - minus, n + minus);
    return v.kind == RT_KIND_missing ? tv_no_memory(vm) : v;
}

static bool is_word(const char *s, size_t n, const char *word) {
    if (n != strlen(word)) return false;
    for (size_t k = 0; k < n; k++)
        if ((s[k] | 0x20) != word[k]) return false;
    return true;
}

rt_value tv_float_of_text(tvm *vm, const rt_text *t) {
    char s[4400];
    size_t n;
    double v;
    if (!tv_work(vm, t->n) || !plain_number(t, s, sizeof s, &n)) return rt_missing();
    const size_t i = n && (s[0] == '-' || s[0] == '+');
    const double sign = i && s[0] == '-' ? -1 : 1;
    if (is_word(s + i, n - i, "inf") || is_word(s + i, n - i, "infinity"))
        return rt_float(sign * __builtin_inf());
    if (is_word(s + i, n - i, "nan")) return rt_float(__builtin_nan(""));
    if (!drop_underscores(s, &n, false) || !rt_number_parse(s, n, &v)) return rt_missing();
    return rt_float(v);
}

/* ---- HTML ---- */

rt_value tv_escape(tvm *vm, rt_value v) {
    v = tv_str(vm, v);
    if (v.kind != RT_KIND_text || v.text->markup) return v;
    tv_text b;
    tv_text_begin(vm, &b);
    const rt_text *t = v.text;
    size_t from = 0;
    for (size_t i = 0; i < t->n; i++) {
        const char *to = t->at[i] == '&'    ? "&amp;"
                         : t->at[i] == '<'  ? "&lt;"
                         : t->at[i] == '>'  ? "&gt;"
                         : t->at[i] == '\'' ? "&#39;"
                         : t->at[i] == '"'  ? "&#34;"
                                            : NULL;
        if (!to) continue;
        tv_add_part(&b, t, from, i);
        tv_add_bytes(&b, to, strlen(to), tv_taint(t, i));
        from = i + 1;
    }
    tv_add_part(&b, t, from, t->n);
    v = tv_text_end(&b);
    if (v.kind == RT_KIND_text) v.text->markup = 1;
    return v;
}
