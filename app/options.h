/* options.h - the command line of every p4c program, from one table (options.def, commands.def).
 *
 * Long names take one or two dashes, '-' and '_' are alike, values stand behind '=' or in the next
 * argument,
 * --no-NAME switches a flag off, numbers take k K kB KiB M MiB G GiB ... (16k = 16000, 16K = 16KiB
 * = 16384) and never depend on the locale.  `-t8` is `-t 8`; "--" ends the options; "-" alone is an
 * operand.  A single-valued option given twice with different values is an error, as are options
 * that contradict each other.
 */
#ifndef P4C_APP_OPTIONS_H
#define P4C_APP_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/diag.h"
#include "base/str.h"
#include "base/util.h"

typedef enum command_id {
#define COMMAND(name, operands, min, max, meaning) CMD_##name,
#define EXAMPLE(command, arguments, what)
#include "app/commands.def"
#undef COMMAND
#undef EXAMPLE
    CMD_COUNT
} command_id;

/* One type a kind.  `given`: it stood on the command line; all else is zero then. */
typedef struct opt_flag {
    bool given, v;
} opt_flag;
typedef opt_flag opt_on; /* v is true unless --no-NAME was given */
typedef struct opt_count {
    bool given;
    int v;
} opt_count;
typedef struct opt_int {
    bool given;
    int64_t v;
} opt_int;
typedef opt_int opt_word; /* place of the word in the table's list, from 0 */
typedef struct opt_real {
    bool given;
    double v;
} opt_real;
typedef struct opt_text {
    bool given;
    const char *v;
} opt_text;
typedef struct opt_texts {
    bool given;
    int n;
    const char **v;
} opt_texts;
typedef struct opt_ints {
    bool given;
    int n;
    int64_t *v;
} opt_ints;

/* Values of the words, in the order of the table (tests/unit/test_options.c compares). */
enum { KV_WORD_bf16, KV_WORD_f32 };
enum { LOAD_WORD_auto, LOAD_WORD_dummy };
enum { EMIT_WORD_ir, EMIT_WORD_llvm, EMIT_WORD_asm, EMIT_WORD_obj };
enum { FORMAT_WORD_bf16, FORMAT_WORD_gptq };

enum { OPTIONS_MAX_OPERANDS = 4 };

typedef struct options {
    command_id command;
    const char *program; /* as the user calls it: "p4c run", "./phi4.so" */
    bool is_artifact;    /* the program is the artifact: one operand less */
    const char *operand[OPTIONS_MAX_OPERANDS];
    int n_operands;
#define OPTION(kind, field, letter, name, argument, lo, hi, commands, help) opt_##kind field;
#define ALIAS(field, spelling, value)
#define FOREIGN(spelling, why)
#include "app/options.def"
#undef OPTION
#undef ALIAS
#undef FOREIGN
} options;

/* Reads the arguments behind the command's name.  o->command, program and is_artifact are set by
 * the caller; the rest is filled in.  False: reported (exit status 2).  With --help or --version
 * nothing else is required. */
P4C_CHECKED bool options_parse(options *o, int argc, char *const *argv, arena *mem, diag *d);

/* Reports an operand that the command does not take, and what may have been meant.  False. */
bool options_unexpected(const options *o, const char *operand, diag *d);

/* The --help text: at most 80 columns, every option of the command with all its spellings. */
void options_help(const options *o, text *out);
/* The list of commands, for `p4c --help`. */
void options_list_commands(text *out);

/* "run" -> CMD_run; false: no such command. */
bool options_find_command(const char *name, command_id *out);
const char *options_command_name(command_id c);
/* The known command nearest to `name`: within two edits, or one word begins with the other.  NULL
 * where there is none. */
const char *options_nearest_command(const char *name);

/* A whole number with an optional suffix: "512", "16k" (16000), "16K" (16384), "2GiB". */
bool options_size(str s, int64_t *out);
/* Edits (insert, delete, replace, swap neighbours) between a and b, at most `limit` + 1.
 * Source: Damerau, 1964; the restricted (optimal string alignment) form. */
int options_distance(const char *a, const char *b, int limit);

#endif
