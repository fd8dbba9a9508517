/* value_number.h - doubles from and to decimal text, exactly, without libc's locale.
 *
 * Reading rounds to nearest even; writing gives the shortest digits that read back as the same
 * double (Python's repr) or exactly rounded digits (Python's %f, %e and round).  Digits are held
 * in an array and scaled by powers of two: slow and plain ("simple decimal conversion", as in
 * K. Thompson's and N. Tao's descriptions).  A fast path takes numbers of at most 15 digits
 * (W. Clinger, "How to read floating point numbers accurately", 1990).
 */
#ifndef P4C_RUNTIME_VALUE_NUMBER_H
#define P4C_RUNTIME_VALUE_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    RT_NUMBER_REPR_BYTES = 32,  /* rt_number_repr writes at most */
    RT_NUMBER_MAX_PLACES = 100, /* digits behind the point that the writers below take */
    RT_NUMBER_TEXT_BYTES = 512, /* they write at most */
};

/* [+-] digits [. digits] [e [+-] digits], or . digits; at least one digit.  Overflow gives an
 * infinity, underflow 0.  False: not such a text. */
bool rt_number_parse(const char *at, size_t n, double *out);

/* As Python's repr: "1.0", "1e+20", "-0.0", "inf", "nan".  Returns the length. */
size_t rt_number_repr(double v, char out[RT_NUMBER_REPR_BYTES]);
/* As %.{places}f and %.{places}e; |v| finite, places 0 .. RT_NUMBER_MAX_PLACES. */
size_t rt_number_fixed(double v, int places, char out[RT_NUMBER_TEXT_BYTES]);
size_t rt_number_scientific(double v, int places, char out[RT_NUMBER_TEXT_BYTES]);
/* As %.{digits}g, digits >= 1; `keep` keeps trailing zeros. */
size_t rt_number_general(double v, int digits, bool keep, char out[RT_NUMBER_TEXT_BYTES]);
/* To `places` digits behind the point (negative: before it), halves to even as written exactly:
 * Python's round. */
double rt_number_round(double v, int places);

#endif
