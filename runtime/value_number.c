/* value_number.c - see value_number.h. */
#include "runtime/value_number.h"

#include <string.h>

/* 0.d0 d1 d2 ... * 10^point.  767 digits are enough to write any double, and to read one when
 * `more` says that digits other than 0 were cut off. */
enum { MAX_DIGITS = 800, SPARE = 20, MAX_SHIFT = 59 };

typedef struct decimal {
    uint8_t d[MAX_DIGITS + SPARE];
    int n, point;
    bool more;
} decimal;

static void trim(decimal *x) {
    while (x->n > 0 && x->d[x->n - 1] == 0) x->n--;
    if (x->n == 0) x->point = 0;
}

/* x *= 2^k, 0 <= k <= MAX_SHIFT. */
static void shift_left(decimal *x, int k) {
    uint8_t high[SPARE]; /* digits that come in at the front, last first */
    int n_high = 0;
    uint64_t carry = 0;
    for (int i = x->n - 1; i >= 0; i--) {
        carry += (uint64_t)x->d[i] << k;
        x->d[i] = (uint8_t)(carry % 10);
        carry /= 10;
    }
    for (; carry; carry /= 10) high[n_high++] = (uint8_t)(carry % 10);
    memmove(x->d + n_high, x->d, (size_t)x->n);
    for (int i = 0; i < n_high; i++) x->d[i] = high[n_high - 1 - i];
    x->n += n_high;
    x->point += n_high;
    for (; x->n > MAX_DIGITS; x->n--) x->more |= x->d[x->n - 1] != 0;
    trim(x);
}

/* x /= 2^k, 0 <= k <= MAX_SHIFT. */
static void shift_right(decimal *x, int k) {
    uint64_t rest = 0;
    int r = 0, w = 0;
    while (r < x->n && !(rest >> k)) rest = rest * 10 + x->d[r++];
    if (!rest) {
        x->n = 0;
        return;
    }
    while (!(rest >> k)) { /* digits ran out */
        rest *= 10;
        r++;
    }
    x->point -= r - 1;
    const uint64_t mask = ((uint64_t)1 << k) - 1;
    while (r < x->n) {
        x->d[w++] = (uint8_t)(rest >> k);
        rest = (rest & mask) * 10 + x->d[r++];
    }
    while (rest) {
        const uint8_t digit = (uint8_t)(rest >> k);
        rest = (rest & mask) * 10;
        if (w < MAX_DIGITS) x->d[w++] = digit;
        else x->more |= digit != 0;
    }
    x->n = w;
    trim(x);
}

static void shift(decimal *x, int k) {
    for (; k > MAX_SHIFT; k -= MAX_SHIFT) shift_left(x, MAX_SHIFT);
    for (; k < -MAX_SHIFT; k += MAX_SHIFT) shift_right(x, MAX_SHIFT);
    if (k > 0) shift_left(x, k);
    if (k < 0) shift_right(x, -k);
}

/* Would cutting behind n digits round up?  Halves to even. */
static bool rounds_up(const decimal *x, int n) {
    if (n < 0 || n >= x->n) return false;
    if (x->d[n] == 5 && n + 1 == x->n && !x->more) return n > 0 && (x->d[n - 1] & 1);
    return x->d[n] >= 5;
}

static void cut(decimal *x, int n, bool up) {
    if (n < 0) {
        x->n = 0;
        x->point = 0;
        return;
    }
    if (n >= x->n) return;
    x->n = n;
    x->more = false;
    if (!up) {
        trim(x);
        return;
    }
    while (x->n > 0 && x->d[x->n - 1] == 9) x->n--;
    if (x->n == 0) {
        x->d[0] = 1;
        x->n = 1;
        x->point++;
    } else {
        x->d[x->n - 1]++;
    }
}

static void round_to(decimal *x, int n) { cut(x, n, rounds_up(x, n)); }

static uint64_t rounded_integer(const decimal *x) {
    if (x->point > 20) return UINT64_MAX;
    uint64_t v = 0;
    int i = 0;
    for (; i < x->point && i < x->n; i++) v = v * 10 + x->d[i];
    for (; i < x->point; i++) v *= 10;
    return v + rounds_up(x, x->point);
}

/* ---- decimal -> double ---- */

static double from_bits(uint64_t bits) {
    double d;
    memcpy(&d, &bits, sizeof d);
    return d;
}

static uint64_t to_bits(double d) {
    uint64_t bits;
    memcpy(&bits, &d, sizeof bits);
    return bits;
}

enum { BIAS = 1023, MANTISSA_BITS = 52 };
static const uint64_t INFINITE = (uint64_t)0x7ff << MANTISSA_BITS;

/* How many binary places move the point by at most i decimal ones. */
static int step_for(int places) {
    static const int8_t STEP[] = {1, 3, 6, 9, 13, 16, 19, 23, 26};
    return places < (int)sizeof STEP ? STEP[places] : 27;
}

static double to_double(decimal *x, bool minus) {
    const uint64_t sign = (uint64_t)minus << 63;
    trim(x);
    if (x->n == 0 || x->point < -330) return from_bits(sign);
    if (x->point > 310) return from_bits(sign | INFINITE);
    int exponent = 0; /* x * 2^exponent stays the value; brings x into [1/2, 1) */
    while (x->point > 0) {
        const int k = step_for(x->point);
        shift(x, -k);
        exponent += k;
    }
    while (x->point < 0 || (x->point == 0 && x->d[0] < 5)) {
        const int k = step_for(-x->point);
        shift(x, k);
        exponent -= k;
    }
    exponent--; /* now of the form 1.f */
    if (exponent < 1 - BIAS) {
        shift(x, exponent - (1 - BIAS));
        exponent = 1 - BIAS;
    }
    if (exponent > BIAS) return from_bits(sign | INFINITE);
    shift(x, 1 + MANTISSA_BITS);
    uint64_t mantissa = rounded_integer(x);
    const uint64_t one = (uint64_t)1 << MANTISSA_BITS;
    if (mantissa == 2 * one) {
        mantissa = one;
        exponent++;
        if (exponent > BIAS) return from_bits(sign | INFINITE);
    }
    if (mantissa < one) return from_bits(sign | mantissa); /* subnormal */
    return from_bits(sign | (uint64_t)(exponent + BIAS) << MANTISSA_BITS | (mantissa - one));
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static void push_digit(decimal *x, int digit) {
    if (x->n < MAX_DIGITS) x->d[x->n++] = (uint8_t)digit;
    else x->more |= digit != 0;
}

/* Up to 15 digits and a power of ten up to 10^22 are exact doubles, so one operation rounds once.
 */
static bool convert_small(const decimal *x, bool minus, double *out) {
    static const double POWER[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                   1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                   1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    if (x->n > 15) return false;
    int64_t v = 0;
    for (int i = 0; i < x->n; i++) v = v * 10 + x->d[i];
    const int e = x->point - x->n;
    if (v != 0 && (e < -22 || e > 22)) return false;
    double d = (double)v;
    if (v != 0) d = e < 0 ? d / POWER[-e] : d * POWER[e];
    *out = minus ? -d : d;
    return true;
}

bool rt_number_parse(const char *at, size_t n, double *out) {
    decimal x;
    x.n = x.point = 0;
    x.more = false;
    size_t i = 0;
    const bool minus = n && at[0] == '-';
    if (n && (at[0] == '-' || at[0] == '+')) i++;
    bool any = false;
    int64_t point = 0, exponent = 0;
    for (; i < n && is_digit(at[i]); i++) {
        any = true;
        if (x.n == 0 && at[i] == '0') continue;
        push_digit(&x, at[i] - '0');
        point++;
    }
    if (i < n && at[i] == '.') {
        for (i++; i < n && is_digit(at[i]); i++) {
            any = true;
            if (x.n == 0 && at[i] == '0') point--;
            else push_digit(&x, at[i] - '0');
        }
    }
    if (!any) return false;
    if (i < n && (at[i] == 'e' || at[i] == 'E')) {
        i++;
        const bool below = i < n && at[i] == '-';
        if (i < n && (at[i] == '-' || at[i] == '+')) i++;
        if (i == n) return false;
        for (; i < n && is_digit(at[i]); i++)
            if (exponent < 1000000) exponent = exponent * 10 + (at[i] - '0');
        if (below) exponent = -exponent;
    }
    if (i != n) return false;
    point += exponent;
    x.point = point > 100000 ? 100000 : point < -100000 ? -100000 : (int)point;
    if (!convert_small(&x, minus, out)) *out = to_double(&x, minus);
    return true;
}

/* ---- double -> decimal ---- */

static void set_decimal(decimal *x, uint64_t mantissa, int exponent) {
    uint8_t back[20];
    int n = 0;
    for (; mantissa; mantissa /= 10) back[n++] = (uint8_t)(mantissa % 10);
    for (int i = 0; i < n; i++) x->d[i] = back[n - 1 - i];
    x->n = x->point = n;
    x->more = false;
    trim(x);
    shift(x, exponent);
}

/* |v| = mantissa * 2^exponent, exactly. */
static void split(double v, uint64_t *mantissa, int *exponent) {
    const uint64_t bits = to_bits(v);
    const int e = (int)(bits >> MANTISSA_BITS & 0x7ff);
    *mantissa = bits & (((uint64_t)1 << MANTISSA_BITS) - 1);
    if (e) *mantissa |= (uint64_t)1 << MANTISSA_BITS;
    *exponent = (e ? e : 1) - BIAS - MANTISSA_BITS;
}

static void exact(double v, decimal *x) {
    uint64_t mantissa;
    int exponent;
    split(v, &mantissa, &exponent);
    set_decimal(x, mantissa, exponent);
}

/* Does cutting exact x to n digits, up or down, read back as v?  Then x is that. */
static bool cut_reads_back(decimal *x, int n, bool up, double v) {
    decimal c = *x, again;
    cut(&c, n, up);
    double d;
    again = c;
    if (!convert_small(&again, false, &d)) d = to_double(&again, false);
    if (d != v) return false;
    *x = c;
    return true;
}

/* Cuts x, exactly v > 0, to the fewest digits that read back as v.  Of two such the nearer one is
 * tried first; the other may be the only one, as the numbers that read as a power of two reach
 * further up than down. */
static void shortest(double v, decimal *x) {
    for (int n = 1; n < 17 && n < x->n; n++) {
        const bool up = rounds_up(x, n);
        if (cut_reads_back(x, n, up, v) || cut_reads_back(x, n, !up, v)) return;
    }
    round_to(x, 17);
}

static size_t put_text(char *out, const char *s) {
    const size_t n = strlen(s);
    memcpy(out, s, n);
    return n;
}

static char digit_char(const decimal *x, int i) {
    return (char)('0' + (i >= 0 && i < x->n ? x->d[i] : 0));
}

/* d.ddde+XX with `n` digits */
static size_t put_scientific(const decimal *x, int n, char *out) {
    size_t w = 0;
    out[w++] = digit_char(x, 0);
    if (n > 1) out[w++] = '.';
    for (int i = 1; i < n; i++) out[w++] = digit_char(x, i);
    int e = x->n ? x->point - 1 : 0;
    out[w++] = 'e';
    out[w++] = e < 0 ? '-' : '+';
    if (e < 0) e = -e;
    if (e >= 100) out[w++] = (char)('0' + e / 100);
    out[w++] = (char)('0' + e / 10 % 10);
    out[w++] = (char)('0' + e % 10);
    return w;
}

/* ddd.ddd with `places` digits behind the point */
static size_t put_fixed(const decimal *x, int places, char *out) {
    size_t w = 0;
    if (x->point <= 0) out[w++] = '0';
    for (int i = 0; i < x->point; i++) out[w++] = digit_char(x, i);
    if (places > 0) out[w++] = '.';
    for (int i = 0; i < places; i++) out[w++] = digit_char(x, x->point + i);
    return w;
}

size_t rt_number_repr(double v, char out[RT_NUMBER_REPR_BYTES]) {
    size_t w = 0;
    if (v != v) return put_text(out, "nan");
    if (to_bits(v) >> 63) out[w++] = '-';
    v = from_bits(to_bits(v) & ~((uint64_t)1 << 63));
    if (to_bits(v) == INFINITE) return w + put_text(out + w, "inf");
    decimal x;
    exact(v, &x);
    shortest(v, &x);
    if (x.n && (x.point <= -4 || x.point > 16)) return w + put_scientific(&x, x.n, out + w);
    const int behind = x.n - x.point;
    return w + put_fixed(&x, behind > 1 ? behind : 1, out + w);
}

static void exact_positive(double v, decimal *x, char *out, size_t *w) {
    if (to_bits(v) >> 63) out[(*w)++] = '-';
    exact(from_bits(to_bits(v) & ~((uint64_t)1 << 63)), x);
}

size_t rt_number_fixed(double v, int places, char out[RT_NUMBER_TEXT_BYTES]) {
    decimal x;
    size_t w = 0;
    exact_positive(v, &x, out, &w);
    round_to(&x, x.point + places);
    return w + put_fixed(&x, places, out + w);
}

size_t rt_number_scientific(double v, int places, char out[RT_NUMBER_TEXT_BYTES]) {
    decimal x;
    size_t w = 0;
    exact_positive(v, &x, out, &w);
    round_to(&x, places + 1);
    return w + put_scientific(&x, places + 1, out + w);
}

size_t rt_number_general(double v, int digits, bool keep, char out[RT_NUMBER_TEXT_BYTES]) {
    decimal x;
    size_t w = 0;
    exact_positive(v, &x, out, &w);
    round_to(&x, digits);
    const int n = keep ? digits : x.n ? x.n : 1;
    const int e = x.n ? x.point - 1 : 0;
    if (e < -4 || e >= digits) return w + put_scientific(&x, n, out + w);
    const int places = (x.n ? n - x.point : n - 1);
    return w + put_fixed(&x, places > 0 ? places : 0, out + w);
}

double rt_number_round(double v, int places) {
    if (v == 0 || v - v != 0 || places > 400) return v; /* 0, infinite, nan, nothing to cut */
    const bool minus = to_bits(v) >> 63;
    decimal x;
    exact(minus ? -v : v, &x);
    if (places < -400) return minus ? -0.0 : 0.0;
    round_to(&x, x.point + places);
    return to_double(&x, minus);
}
