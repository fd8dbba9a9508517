/* template_unicode.h - characters as Python's str methods see them. */
#ifndef P4C_RUNTIME_TEMPLATE_UNICODE_H
#define P4C_RUNTIME_TEMPLATE_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RT_UNI_MAX_CASE = 3 }; /* characters that one character becomes at most */

bool rt_uni_is_space(uint32_t cp);
bool rt_uni_is_line_end(uint32_t cp); /* of splitlines */
bool rt_uni_is_alpha(uint32_t cp);
bool rt_uni_is_numeric(uint32_t cp); /* category N */
bool rt_uni_is_digit(uint32_t cp);   /* decimal digits, superscripts and such */
int rt_uni_decimal(uint32_t cp);     /* 0..9, -1: no decimal digit */
bool rt_uni_is_lower(uint32_t cp);
bool rt_uni_is_upper(uint32_t cp);
bool rt_uni_is_title(uint32_t cp);     /* category Lt */
bool rt_uni_is_mark(uint32_t cp);      /* category M */
bool rt_uni_is_printable(uint32_t cp); /* repr shows it as it is */

typedef enum rt_uni_case {
    RT_UNI_TO_LOWER,
    RT_UNI_TO_UPPER,
    RT_UNI_TO_TITLE,
    RT_UNI_TO_FOLD,
} rt_uni_case;
/* Full case mapping of one character, without context (capital sigma becomes the inner sigma).
 * Returns how many characters out holds. */
size_t rt_uni_convert(uint32_t cp, rt_uni_case to, uint32_t out[RT_UNI_MAX_CASE]);

/* Writes cp (below 0x110000) as UTF-8; returns 1..4. */
size_t rt_uni_encode(uint32_t cp, char out[4]);

/* ---- tables, in order of first (template_tables.c) ---- */

typedef struct rt_uni_run {
    uint32_t first, last, stride; /* stride 2: every second one */
} rt_uni_run;
typedef struct rt_uni_move {
    uint32_t first, last, stride;
    int32_t distance;
} rt_uni_move;
typedef struct rt_uni_special {
    uint32_t from, to[RT_UNI_MAX_CASE]; /* 0 ends it */
} rt_uni_special;

extern const rt_uni_run rt_uni_hidden[], rt_uni_lower[], rt_uni_upper[], rt_uni_title[],
    rt_uni_digit[];
extern const size_t rt_uni_hidden_n, rt_uni_lower_n, rt_uni_upper_n, rt_uni_title_n, rt_uni_digit_n;
extern const uint32_t rt_uni_zero[]; /* the digits 0; 1..9 follow each */
extern const size_t rt_uni_zero_n;
extern const rt_uni_move rt_uni_to_lower[], rt_uni_to_upper[], rt_uni_to_title[];
extern const size_t rt_uni_to_lower_n, rt_uni_to_upper_n, rt_uni_to_title_n;
extern const rt_uni_special rt_uni_to_lower_special[], rt_uni_to_upper_special[],
    rt_uni_to_title_special[], rt_uni_to_fold_special[];
extern const size_t rt_uni_to_lower_special_n, rt_uni_to_upper_special_n, rt_uni_to_title_special_n,
    rt_uni_to_fold_special_n;

#endif
