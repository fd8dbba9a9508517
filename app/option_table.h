/* option_table.h - the rows of options.def and commands.def as data, for options.c (reading),
 * option_help.c (printing) and the tests. */
#ifndef P4C_APP_OPTION_TABLE_H
#define P4C_APP_OPTION_TABLE_H

#include "app/options.h"

typedef enum option_kind {
    OPTION_flag,
    OPTION_on,
    OPTION_count,
    OPTION_int,
    OPTION_real,
    OPTION_text,
    OPTION_texts,
    OPTION_ints,
    OPTION_word,
} option_kind;

typedef enum option_id {
#define OPTION(kind, field, letter, name, argument, lo, hi, commands, help) OPT_##field,
#define ALIAS(field, spelling, value)
#define FOREIGN(spelling, why)
#include "app/options.def"
#undef OPTION
#undef ALIAS
#undef FOREIGN
    OPT_COUNT
} option_id;

typedef struct option_row {
    option_kind kind;
    char letter; /* 0: none */
    const char *name, *argument;
    double lo, hi;
    uint32_t commands; /* bit 1u << CMD_x */
    const char *help;
    size_t offset; /* of its field in struct options; the field begins with `bool given` */
} option_row;

typedef struct alias_row {
    option_id option;
    const char *spelling, *value;
} alias_row;

typedef struct command_row {
    const char *name, *operands;
    int min, max;
    const char *meaning;
} command_row;

extern const option_row option_rows[OPT_COUNT];
extern const alias_row option_aliases[];
extern const int option_n_aliases;
extern const command_row option_commands[CMD_COUNT];

#endif
