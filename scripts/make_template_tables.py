#!/usr/bin/env python3
"""Writes runtime/template_tables.c: what the string functions of chat templates know of characters.

    scripts/make_template_tables.py unicode-16-classes.tsv > runtime/template_tables.c

Which characters are printable comes from the table of General_Category (Unicode 16.0; see
make_unicode_tables.py); letter case, digits and digit values from the running Python's str, whose
behaviour the templates' strings have to show.
"""
import sys
import unicodedata

LAST = 0x110000


def chars():
    return (c for c in range(LAST) if not 0xD800 <= c <= 0xDFFF)


def ranges(member):
    """[first, last] of the runs of members; every second code point makes a run of stride 2."""
    runs = []
    points = [c for c in chars() if member(c)]
    i = 0
    while i < len(points):
        best, stride = i, 1
        for step in (1, 2):
            j = i
            while j + 1 < len(points) and points[j + 1] == points[j] + step:
                j += 1
            if j > best:
                best, stride = j, step
        runs.append((points[i], points[best], stride))
        i = best + 1
    return runs


def mapping(convert):
    """Runs of simple mappings with one distance, and the mappings to several characters."""
    simple, special = {}, []
    for c in chars():
        to = convert(chr(c))
        if len(to) == 1:
            if ord(to) != c:
                simple[c] = ord(to) - c
        else:
            special.append((c, [ord(x) for x in to] + [0] * (3 - len(to))))
    runs, points, i = [], sorted(simple), 0
    while i < len(points):
        best, stride = i, 1
        for step in (1, 2):
            j = i
            while (j + 1 < len(points) and points[j + 1] == points[j] + step
                   and simple[points[j + 1]] == simple[points[i]]):
                j += 1
            if j > best:
                best, stride = j, step
        runs.append((points[i], points[best], stride, simple[points[i]]))
        i = best + 1
    return runs, special


def emit(kind, name, rows, item):
    print(f"\nconst {kind} {name}[] = {{")
    line = "   "
    for row in rows:
        text = " " + item(row) + ","
        if len(line) + len(text) > 100:
            print(line)
            line = "   "
        line += text
    print(line)
    print("};")
    print(f"const size_t {name}_n = sizeof {name} / sizeof {name}[0];")


def emit_special(name, special):
    emit("rt_uni_special", "rt_uni_" + name + "_special", special,
         lambda s: "{0x%x, {%s}}" % (s[0], ", ".join("0x%x" % x for x in s[1])))


def main():
    category = {}
    for row in open(sys.argv[1], encoding="ascii"):
        first, last, name = row.split()
        for c in range(int(first, 16), int(last, 16) + 1):
            category[c] = name

    def hidden(c):
        name = category.get(c, "Cn")
        return name[0] in "CZ" and c != 0x20

    print("/* template_tables.c - written by scripts/make_template_tables.py from Unicode 16.0's "
          "General_Category\n * and Python's str (Unicode "
          f"{unicodedata.unidata_version}); do not edit. */")
    print('#include "runtime/template_unicode.h"')
    run = lambda r: "{0x%x, 0x%x, %d}" % r
    emit("rt_uni_run", "rt_uni_hidden", ranges(hidden), run)
    emit("rt_uni_run", "rt_uni_lower", ranges(lambda c: chr(c).islower()), run)
    emit("rt_uni_run", "rt_uni_upper", ranges(lambda c: chr(c).isupper()), run)
    emit("rt_uni_run", "rt_uni_title", ranges(lambda c: category.get(c) == "Lt"), run)
    emit("rt_uni_run", "rt_uni_digit",
         ranges(lambda c: chr(c).isdigit() and not chr(c).isdecimal()), run)
    zeros = [c for c in chars() if chr(c).isdecimal() and unicodedata.decimal(chr(c)) == 0]
    emit("uint32_t", "rt_uni_zero", zeros, lambda c: "0x%x" % c)
    for name, convert in (("to_lower", str.lower), ("to_upper", str.upper), ("to_title", str.title)):
        runs, special = mapping(convert)
        if name == "to_title":  # only where it is not the upper-case letter
            special = [s for s in special if [ord(x) for x in chr(s[0]).upper()] !=
                       [x for x in s[1] if x]]
            runs = [(c, c, 1, ord(chr(c).title()) - c) for c in chars()
                    if len(chr(c).title()) == 1 and chr(c).title() != chr(c).upper()]
        emit("rt_uni_move", "rt_uni_" + name, runs, lambda r: "{0x%x, 0x%x, %d, %d}" % r)
        if special:
            emit_special(name, special)
    emit_special("to_fold", [(c, [ord(x) for x in chr(c).casefold().ljust(3, "\0")])
                             for c in chars() if chr(c).casefold() != chr(c).lower()])


main()
