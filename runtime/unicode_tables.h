/* unicode_tables.h - class bits of every code point, for the tokenizers' split patterns.
 * Written by scripts/make_unicode_tables.py from Unicode 16.0's General_Category; do not edit. */
#ifndef P4C_RUNTIME_UNICODE_TABLES_H
#define P4C_RUNTIME_UNICODE_TABLES_H

#include <stdint.h>

enum {
    RT_UC_LETTER = 1,   /* \p{L} */
    RT_UC_NUMBER = 2,   /* \p{N} */
    RT_UC_SPACE = 4,    /* \s: category Z, U+0009..000D, U+0085 */
    RT_UC_UPPER = 8,    /* Lu, Lt, Lm, Lo, M: the upper part of a word of o200k */
    RT_UC_LOWER = 16,   /* Ll, Lm, Lo, M: the lower part */
    RT_UC_NEWLINE = 32, /* U+000A, U+000D */
    RT_UC_BLOCK_BITS = 7,
    RT_UC_END = 0xe0200, /* from here on no code point has a bit */
};

/* Which block, by code point >> RT_UC_BLOCK_BITS; the different blocks, one after another. */
extern const uint8_t rt_uc_block[7172];
extern const uint8_t rt_uc_class[29440];

/* The RT_UC_* bits of a code point; 0 for any number that is not assigned. */
static inline uint32_t rt_unicode_class(uint32_t cp) {
    if (cp >= RT_UC_END) return 0;
    return rt_uc_class[(uint32_t)rt_uc_block[cp >> RT_UC_BLOCK_BITS] << RT_UC_BLOCK_BITS |
                       (cp & ((1u << RT_UC_BLOCK_BITS) - 1))];
}

#endif
