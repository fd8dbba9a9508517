/* template_unicode.c - look-ups in the tables of template_tables.c and unicode_tables.c. */
#include "runtime/template_unicode.h"

#include "runtime/unicode_tables.h"

static bool in_runs(const rt_uni_run *run, size_t n, uint32_t cp) {
    size_t lo = 0, hi = n; /* the last run that starts at or before cp is below hi */
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        if (run[mid].first <= cp) lo = mid + 1;
        else hi = mid;
    }
    return lo && cp <= run[lo - 1].last && (cp - run[lo - 1].first) % run[lo - 1].stride == 0;
}

bool rt_uni_is_space(uint32_t cp) {
    return (cp >= 0x1c && cp <= 0x1f) || (rt_unicode_class(cp) & RT_UC_SPACE) != 0;
}
bool rt_uni_is_line_end(uint32_t cp) {
    return (cp >= 0x0a && cp <= 0x0d) || (cp >= 0x1c && cp <= 0x1e) || cp == 0x85 || cp == 0x2028 ||
           cp == 0x2029;
}
bool rt_uni_is_alpha(uint32_t cp) { return (rt_unicode_class(cp) & RT_UC_LETTER) != 0; }
bool rt_uni_is_numeric(uint32_t cp) { return (rt_unicode_class(cp) & RT_UC_NUMBER) != 0; }
bool rt_uni_is_mark(uint32_t cp) {
    return (rt_unicode_class(cp) & (RT_UC_LETTER | RT_UC_UPPER | RT_UC_LOWER)) ==
           (RT_UC_UPPER | RT_UC_LOWER);
}

int rt_uni_decimal(uint32_t cp) {
    size_t lo = 0, hi = rt_uni_zero_n;
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        if (rt_uni_zero[mid] <= cp) lo = mid + 1;
        else hi = mid;
    }
    return lo && cp - rt_uni_zero[lo - 1] <= 9 ? (int)(cp - rt_uni_zero[lo - 1]) : -1;
}

bool rt_uni_is_digit(uint32_t cp) {
    return rt_uni_decimal(cp) >= 0 || in_runs(rt_uni_digit, rt_uni_digit_n, cp);
}
bool rt_uni_is_lower(uint32_t cp) { return in_runs(rt_uni_lower, rt_uni_lower_n, cp); }
bool rt_uni_is_upper(uint32_t cp) { return in_runs(rt_uni_upper, rt_uni_upper_n, cp); }
bool rt_uni_is_title(uint32_t cp) { return in_runs(rt_uni_title, rt_uni_title_n, cp); }
bool rt_uni_is_printable(uint32_t cp) {
    if (cp < 0x7f) return cp >= 0x20;
    return !in_runs(rt_uni_hidden, rt_uni_hidden_n, cp);
}

static size_t find_special(const rt_uni_special *row, size_t n, uint32_t cp, uint32_t *out) {
    for (size_t i = 0; i < n && row[i].from <= cp; i++) {
        if (row[i].from != cp) continue;
        size_t k = 0;
        for (; k < RT_UNI_MAX_CASE && row[i].to[k]; k++) out[k] = row[i].to[k];
        return k;
    }
    return 0;
}

static bool find_move(const rt_uni_move *row, size_t n, uint32_t cp, uint32_t *out) {
    size_t lo = 0, hi = n;
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        if (row[mid].first <= cp) lo = mid + 1;
        else hi = mid;
    }
    if (!lo || cp > row[lo - 1].last || (cp - row[lo - 1].first) % row[lo - 1].stride) return false;
    *out = (uint32_t)((int32_t)cp + row[lo - 1].distance);
    return true;
}

size_t rt_uni_convert(uint32_t cp, rt_uni_case to, uint32_t out[RT_UNI_MAX_CASE]) {
    out[0] = cp;
    if (cp < 0x80) {
        if (to == RT_UNI_TO_LOWER || to == RT_UNI_TO_FOLD ? cp >= 'A' && cp <= 'Z'
                                                          : cp >= 'a' && cp <= 'z')
            out[0] = cp ^ 0x20;
        return 1;
    }
    size_t n;
    if (to == RT_UNI_TO_FOLD) {
        n = find_special(rt_uni_to_fold_special, rt_uni_to_fold_special_n, cp, out);
        if (n) return n;
    }
    if (to == RT_UNI_TO_LOWER || to == RT_UNI_TO_FOLD) {
        n = find_special(rt_uni_to_lower_special, rt_uni_to_lower_special_n, cp, out);
        if (!n) (void)find_move(rt_uni_to_lower, rt_uni_to_lower_n, cp, out);
        return n ? n : 1;
    }
    if (to == RT_UNI_TO_TITLE) {
        n = find_special(rt_uni_to_title_special, rt_uni_to_title_special_n, cp, out);
        if (n) return n;
        if (find_move(rt_uni_to_title, rt_uni_to_title_n, cp, out)) return 1;
    }
    n = find_special(rt_uni_to_upper_special, rt_uni_to_upper_special_n, cp, out);
    if (!n) (void)find_move(rt_uni_to_upper, rt_uni_to_upper_n, cp, out);
    return n ? n : 1;
}

size_t rt_uni_encode(uint32_t cp, char out[4]) {
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
