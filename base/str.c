/* str.c - numbers from and to text without the locale, text building. */
#include "base/str.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

bool str_to_i64(str s, int64_t *out) {
    size_t i = 0;
    const bool minus = s.n && s.at[0] == '-';
    if (minus) i++;
    if (i == s.n) return false;
    int64_t v = 0;
    for (; i < s.n; i++) {
        if (s.at[i] < '0' || s.at[i] > '9') return false;
        const int digit = s.at[i] - '0';
        if (__builtin_mul_overflow(v, 10, &v)) return false;
        if (minus ? __builtin_sub_overflow(v, digit, &v) : __builtin_add_overflow(v, digit, &v))
            return false;
    }
    *out = v;
    return true;
}

/* strtod and printf follow LC_NUMERIC; an application that links an artifact may have set it. */
static locale_t use_c_locale(void) {
    static locale_t c_locale;
    locale_t c = __atomic_load_n(&c_locale, __ATOMIC_ACQUIRE);
    if (!c) {
        c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
        __atomic_store_n(&c_locale, c, __ATOMIC_RELEASE);
    }
    return uselocale(c);
}

bool str_to_f64(str s, double *out) {
    char small[128];
    if (s.n == 0 || s.n >= sizeof small) return false;
    for (size_t i = 0; i < s.n; i++) {
        const char c = s.at[i];
        if (!((c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E'))
            return false;
    }
    memcpy(small, s.at, s.n);
    small[s.n] = 0;
    const locale_t was = use_c_locale();
    char *end = NULL;
    const double v = strtod(small, &end);
    uselocale(was);
    if (end != small + s.n || !isfinite(v)) return false;
    *out = v;
    return true;
}

void text_add(text *t, str s) {
    vec_reserve(t->mem, &t->buf, s.n + 1);
    if (s.n) memcpy(t->buf.at + t->buf.n, s.at, s.n);
    t->buf.n += s.n;
    t->buf.at[t->buf.n] = 0;
}

void text_cat(text *t, const char *s) { text_add(t, str_of(s)); }

void text_putc(text *t, char c) { text_add(t, (str){&c, 1}); }

void text_printf(text *t, const char *fmt, ...) {
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    const locale_t was = use_c_locale();
    const int n = vsnprintf(NULL, 0, fmt, ap);
    vec_reserve(t->mem, &t->buf, (size_t)n + 1);
    vsnprintf(t->buf.at + t->buf.n, (size_t)n + 1, fmt, again);
    uselocale(was);
    t->buf.n += (size_t)n;
    va_end(again);
    va_end(ap);
}

static bool add_special(text *t, double v) {
    if (isfinite(v)) return false;
    text_cat(t, isnan(v) ? "nan" : v < 0 ? "-inf" : "inf");
    return true;
}

void text_f64(text *t, double v) {
    if (add_special(t, v)) return;
    char digits[40];
    const locale_t was = use_c_locale();
    for (int p = 1; p <= 17; p++) {
        snprintf(digits, sizeof digits, "%.*g", p, v);
        if (strtod(digits, NULL) == v) break;
    }
    uselocale(was);
    text_cat(t, digits);
}

void text_f32(text *t, float v) {
    if (add_special(t, (double)v)) return;
    char digits[40];
    const locale_t was = use_c_locale();
    for (int p = 1; p <= 9; p++) {
        snprintf(digits, sizeof digits, "%.*g", p, (double)v);
        if (strtof(digits, NULL) == v) break;
    }
    uselocale(was);
    text_cat(t, digits);
}
