/* option_help.c - the --help texts, from the same table that reads the command line. */
#include <string.h>

#include "app/option_table.h"

enum { WIDTH = 80, LEFT = 28 }; /* columns of a line; column where the explanations begin */

static const struct {
    command_id command;
    const char *arguments, *what;
} EXAMPLES[] = {
#define COMMAND(name, operands, min, max, meaning)
#define EXAMPLE(command, arguments, what) {CMD_##command, arguments, what},
#include "app/commands.def"
#undef COMMAND
#undef EXAMPLE
};

/* Appends `words` filled into columns indent .. WIDTH; the cursor stands at column `column`. */
static void fill(text *out, int column, int indent, const char *words) {
    while (*words) {
        const int n = (int)strcspn(words, " ");
        if (column > indent && column + 1 + n > WIDTH) {
            text_printf(out, "\n%*s", indent, "");
            column = indent;
        }
        if (column > indent) {
            text_putc(out, ' ');
            column++;
        }
        text_add(out, (str){words, (size_t)n});
        column += n;
        words += n + (words[n] == ' ');
    }
    text_putc(out, '\n');
}

static void add_spelling(text *out, bool first, const char *name) {
    text_printf(out, "%s%s%s", first ? "" : ", ", name[1] ? "--" : "-", name);
}

static void help_option(option_id id, text *out) {
    const option_row *r = &option_rows[id];
    text left = {.mem = out->mem}, right = {.mem = out->mem};
    text_cat(&left, "  ");
    if (r->letter) text_printf(&left, "-%c, ", r->letter);
    text_printf(&left, "--%s%s", r->kind == OPTION_on ? "no-" : "", r->name);
    if (r->argument[0]) text_printf(&left, " %s", r->argument);
    text_cat(&right, r->help);
    bool first = true;
    for (int i = 0; i < option_n_aliases; i++) {
        if (option_aliases[i].option != id) continue;
        text_cat(&right, first ? " (also " : "");
        add_spelling(&right, first, option_aliases[i].spelling);
        if (option_aliases[i].value) text_printf(&right, " = %s", option_aliases[i].value);
        first = false;
    }
    if (!first) text_putc(&right, ')');
    text_add(out, text_str(&left));
    int column = (int)left.buf.n;
    if (column + 2 > LEFT) {
        text_putc(out, '\n');
        column = 0;
    }
    text_printf(out, "%*s", LEFT - column, "");
    fill(out, LEFT, LEFT, right.buf.at);
}

static int n_commands(uint32_t set) {
    int n = 0;
    for (; set; set &= set - 1) n++;
    return n;
}

void options_help(const options *o, text *out) {
    const command_row *c = &option_commands[o->command];
    /* an artifact is the first operand itself */
    const char *operands = c->operands;
    if (o->is_artifact) {
        operands += strcspn(operands, " ");
        operands += *operands == ' ';
    }
    text_printf(out, "usage: %s%s%s [options]\n\n", o->program, *operands ? " " : "", operands);
    fill(out, 0, 0, c->meaning);
    text_cat(out, "\noptions:\n");
    for (int general = 0; general < 2; general++)
        for (int i = 0; i < OPT_COUNT; i++) {
            const bool everywhere = n_commands(option_rows[i].commands) == CMD_COUNT;
            if (!(option_rows[i].commands >> o->command & 1) || everywhere != (general == 1))
                continue;
            if (o->is_artifact && i == OPT_model) continue;
            help_option((option_id)i, out);
        }
    text_cat(out, "\nexamples:\n");
    const bool needs_artifact = o->command == CMD_run || o->command == CMD_bench;
    for (size_t i = 0; i < COUNT_OF(EXAMPLES); i++) {
        if (EXAMPLES[i].command != o->command) continue;
        text_printf(out, "  # %s\n  %s%s%s%s\n", EXAMPLES[i].what, o->program,
                    needs_artifact && !o->is_artifact ? " phi4.so" : "",
                    EXAMPLES[i].arguments[0] ? " " : "", EXAMPLES[i].arguments);
    }
    if (o->is_artifact && o->command == CMD_run)
        text_printf(out, "\n'%s bench --help' tells how to measure its speed.\n", o->program);
}

void options_list_commands(text *out) {
    text_cat(out, "usage: p4c COMMAND ...\n\n"
                  "Compiles Phi-class language models into one file each, and runs them.\n\n"
                  "commands:\n");
    for (int c = 0; c < CMD_COUNT; c++) {
        text_printf(out, "  %-12s", option_commands[c].name);
        fill(out, 14, 14, option_commands[c].meaning);
    }
    text_cat(out,
             "\n'p4c COMMAND --help' tells more.  Exit status: 0 done, 1 a check failed, 2 usage,\n"
             "3 bad input, 4 damaged artifact, 5 target or tool missing, 6 out of memory or\n"
             "disk, 7 a bug, 130 interrupted.\n");
}
