#!/usr/bin/env python3
"""Writes runtime/unicode_tables.c and .h: the character classes that the tokenizers' split patterns know.

    scripts/make_unicode_tables.py unicode-16-classes.tsv runtime/

The input has lines `first<TAB>last<TAB>General_Category` (hexadecimal, both ends included) for every
assigned code point of one Unicode version.  The output is a two-stage table of class bits: code points
above the last one that has a bit need no entry, and the block size is the one that makes the table smallest.
"""
import sys

LETTER, NUMBER, SPACE, UPPER, LOWER, NEWLINE = 1, 2, 4, 8, 16, 32
CATEGORY_BITS = {
    "Lu": LETTER | UPPER,
    "Lt": LETTER | UPPER,
    "Ll": LETTER | LOWER,
    "Lm": LETTER | UPPER | LOWER,
    "Lo": LETTER | UPPER | LOWER,
    "Mn": UPPER | LOWER,
    "Mc": UPPER | LOWER,
    "Me": UPPER | LOWER,
    "Nd": NUMBER,
    "Nl": NUMBER,
    "No": NUMBER,
    "Zs": SPACE,
    "Zl": SPACE,
    "Zp": SPACE,
}
CONTROL_SPACES = [0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x85]

HEADER = """\
/* unicode_tables.h - class bits of every code point, for the tokenizers' split patterns.
 * Written by scripts/make_unicode_tables.py from Unicode 16.0's General_Category; do not edit. */
#ifndef P4C_RUNTIME_UNICODE_TABLES_H
#define P4C_RUNTIME_UNICODE_TABLES_H

#include <stdint.h>

enum {
    RT_UC_LETTER = 1,   /* \\p{L} */
    RT_UC_NUMBER = 2,   /* \\p{N} */
    RT_UC_SPACE = 4,    /* \\s: category Z, U+0009..000D, U+0085 */
    RT_UC_UPPER = 8,    /* Lu, Lt, Lm, Lo, M: the upper part of a word of o200k */
    RT_UC_LOWER = 16,   /* Ll, Lm, Lo, M: the lower part */
    RT_UC_NEWLINE = 32, /* U+000A, U+000D */
    RT_UC_BLOCK_BITS = @BITS@,
    RT_UC_END = @END@, /* from here on no code point has a bit */
};

/* Which block, by code point >> RT_UC_BLOCK_BITS; the different blocks, one after another. */
extern const uint8_t rt_uc_block[@N_BLOCKS@];
extern const uint8_t rt_uc_class[@N_CLASSES@];

/* The RT_UC_* bits of a code point; 0 for any number that is not assigned. */
static inline uint32_t rt_unicode_class(uint32_t cp) {
    if (cp >= RT_UC_END) return 0;
    return rt_uc_class[(uint32_t)rt_uc_block[cp >> RT_UC_BLOCK_BITS] << RT_UC_BLOCK_BITS |
                       (cp & ((1u << RT_UC_BLOCK_BITS) - 1))];
}

#endif
"""


def read_classes(path):
    bits = [0] * 0x110000
    for line in open(path, encoding="ascii"):
        first, last, category = line.split()
        for cp in range(int(first, 16), int(last, 16) + 1):
            bits[cp] = CATEGORY_BITS.get(category, 0)
    for cp in CONTROL_SPACES:
        bits[cp] |= SPACE
    for cp in (0x0A, 0x0D):
        bits[cp] |= NEWLINE
    return bits


def two_stages(bits, shift):
    """Returns (index of each block's first copy, the different blocks in order of appearance)."""
    size = 1 << shift
    end = max(cp for cp, b in enumerate(bits) if b) // size * size + size
    number, index = {}, []
    for at in range(0, end, size):
        index.append(number.setdefault(bytes(bits[at : at + size]), len(number)))
    return index, b"".join(number)


def c_array(name, values):
    lines, line = [], "   "
    for v in values:
        item = f" {v},"
        if len(line) + len(item) > 99:
            lines.append(line)
            line = "   "
        line += item
    lines.append(line)
    return f"const uint8_t {name}[{len(values)}] = {{\n" + "\n".join(lines) + "\n};\n"


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    bits = read_classes(sys.argv[1])
    sizes = {s: two_stages(bits, s) for s in range(4, 11)}
    sizes = {s: t for s, t in sizes.items() if max(t[0]) < 256}
    shift = min(sizes, key=lambda s: len(sizes[s][0]) + len(sizes[s][1]))
    index, blocks = sizes[shift]
    header = HEADER
    for key, value in {
        "BITS": shift,
        "END": hex(len(index) << shift),
        "N_BLOCKS": len(index),
        "N_CLASSES": len(blocks),
    }.items():
        header = header.replace(f"@{key}@", str(value))
    with open(sys.argv[2] + "/unicode_tables.h", "w", encoding="ascii") as f:
        f.write(header)
    with open(sys.argv[2] + "/unicode_tables.c", "w", encoding="ascii") as f:
        f.write("/* Written by scripts/make_unicode_tables.py; do not edit. */\n")
        f.write('#include "runtime/unicode_tables.h"\n\n/* clang-format off */\n')
        f.write(c_array("rt_uc_block", index) + "\n" + c_array("rt_uc_class", blocks))


main()
