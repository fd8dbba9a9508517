/* options.c - reads the command line by the table; see options.h. */
#include "app/options.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "app/option_table.h"

const command_row option_commands[CMD_COUNT] = {
#define COMMAND(name, operands, min, max, meaning)                                                 \
    [CMD_##name] = {#name, operands, min, max, meaning},
#define EXAMPLE(command, arguments, what)
#include "app/commands.def"
#undef COMMAND
#undef EXAMPLE
};

const option_row option_rows[OPT_COUNT] = {
#define IN(command) (1u << CMD_##command)
#define IN_ALL ((1u << CMD_COUNT) - 1)
#define OPTION(kind, field, letter, name, argument, lo, hi, commands, help)                        \
    [OPT_##field] = {OPTION_##kind, letter,       name,                                            \
                     argument,      (double)(lo), (double)(hi),                                    \
                     commands,      help,         offsetof(options, field)},
#define ALIAS(field, spelling, value)
#define FOREIGN(spelling, why)
#include "app/options.def"
#undef OPTION
#undef ALIAS
#undef FOREIGN
};

const alias_row option_aliases[] = {
#define OPTION(kind, field, letter, name, argument, lo, hi, commands, help)
#define ALIAS(field, spelling, value) {OPT_##field, spelling, value},
#define FOREIGN(spelling, why)
#include "app/options.def"
#undef OPTION
#undef ALIAS
#undef FOREIGN
};
const int option_n_aliases = (int)COUNT_OF(option_aliases);

static const struct {
    const char *spelling, *why;
} FOREIGN_ROWS[] = {
#define OPTION(kind, field, letter, name, argument, lo, hi, commands, help)
#define ALIAS(field, spelling, value)
#define FOREIGN(spelling, why) {spelling, why},
#include "app/options.def"
#undef OPTION
#undef ALIAS
#undef FOREIGN
};

/* Options that cannot stand together. */
static const struct {
    option_id a, b;
} CONFLICTS[] = {
    {OPT_prompt, OPT_file},     {OPT_prompt, OPT_ids},       {OPT_file, OPT_ids},
    {OPT_chat, OPT_raw},        {OPT_chat, OPT_ids},         {OPT_raw, OPT_system},
    {OPT_raw, OPT_interactive}, {OPT_prompt, OPT_chat_file}, {OPT_file, OPT_chat_file},
    {OPT_prompt, OPT_decode},   {OPT_file, OPT_decode},      {OPT_chat_file, OPT_decode},
    {OPT_greedy, OPT_top_k},    {OPT_greedy, OPT_top_p},     {OPT_greedy, OPT_min_p},
    {OPT_greedy, OPT_temp},     {OPT_verbose, OPT_quiet},    {OPT_logits_out, OPT_interactive},
    {OPT_ids, OPT_interactive}, {OPT_ids, OPT_system},       {OPT_json, OPT_interactive},
};

/* ---- spellings ---- */

/* '_' as '-'. */
static char plain(char c) { return (char)(c == '_' ? '-' : c); }

static bool same(const char *known, const char *given) {
    while (*known && plain(*known) == plain(*given)) known++, given++;
    return !*known && !*given;
}

/* What an argument names. */
typedef struct spelled {
    const option_row *row; /* NULL: nothing */
    const char *value;     /* fixed by the spelling, or NULL */
    bool off;              /* --no-NAME */
} spelled;

/* An artifact run as a program has no --model: it is the model. */
static bool has_option(const options *o, option_id id) {
    return option_rows[id].commands >> o->command & 1 && !(o->is_artifact && id == OPT_model);
}

static spelled find_exact(const options *o, const char *name) {
    for (int i = 0; i < OPT_COUNT; i++) {
        const option_row *r = &option_rows[i];
        if (!has_option(o, (option_id)i)) continue;
        const bool is_letter = r->letter && name[0] == r->letter && !name[1];
        if (is_letter || same(r->name, name)) return (spelled){.row = r};
    }
    for (int i = 0; i < option_n_aliases; i++) {
        const option_id id = option_aliases[i].option;
        if (has_option(o, id) && same(option_aliases[i].spelling, name))
            return (spelled){.row = &option_rows[id], .value = option_aliases[i].value};
    }
    return (spelled){0};
}

static spelled find_spelling(const options *o, const char *name) {
    spelled s = find_exact(o, name);
    if (s.row || !(str_starts(str_of(name), "no-") || str_starts(str_of(name), "no_"))) return s;
    s = find_exact(o, name + 3);
    if (s.row && (s.row->kind == OPTION_flag || s.row->kind == OPTION_on)) {
        s.off = true;
        return s;
    }
    return (spelled){0};
}

/* ---- near misses ---- */

int options_distance(const char *a, const char *b, int limit) {
    enum { LONGEST = 64 };
    const int n = (int)strlen(a), m = (int)strlen(b);
    if (n > LONGEST || m > LONGEST || n - m > limit || m - n > limit) return limit + 1;
    int d[3][LONGEST + 1]; /* rows i - 2, i - 1, i in turn */
    for (int j = 0; j <= m; j++) d[0][j] = j;
    for (int i = 1; i <= n; i++) {
        int *now = d[i % 3], *before = d[(i + 2) % 3], *two_before = d[(i + 1) % 3];
        now[0] = i;
        for (int j = 1; j <= m; j++) {
            const int change = plain(a[i - 1]) != plain(b[j - 1]);
            int best = before[j - 1] + change;
            if (before[j] + 1 < best) best = before[j] + 1;
            if (now[j - 1] + 1 < best) best = now[j - 1] + 1;
            if (i > 1 && j > 1 && plain(a[i - 1]) == plain(b[j - 2]) &&
                plain(a[i - 2]) == plain(b[j - 1]) && two_before[j - 2] + 1 < best)
                best = two_before[j - 2] + 1;
            now[j] = best;
        }
    }
    const int dist = d[n % 3][m];
    return dist > limit ? limit + 1 : dist;
}

enum { FAR = 3, STEM = 4 }; /* distance that is too large; letters that say which word is meant */

static bool begins_with_stem(const char *word, const char *stem) {
    return strlen(stem) >= STEM && str_starts(str_of(word), stem);
}

/* Keeps the candidate if it is nearer than the best one so far.  One-letter names are near to
 * everything.  A word that goes on where the other ends (--quantize, --max-tok) comes last. */
static void consider(const char *given, const char *candidate, const char **best, int *best_dist) {
    if (!candidate[1] || !given[0] || !given[1]) return;
    int dist = options_distance(given, candidate, FAR - 1);
    if (dist >= FAR && (begins_with_stem(given, candidate) || begins_with_stem(candidate, given)))
        dist = FAR;
    else if (dist >= FAR || dist >= (int)strlen(candidate)) return;
    if (dist >= *best_dist) return;
    *best = candidate;
    *best_dist = dist;
}

static const char *nearest_option(const options *o, const char *name) {
    const char *best = NULL;
    int dist = FAR + 1;
    for (int i = 0; i < OPT_COUNT; i++)
        if (has_option(o, (option_id)i)) consider(name, option_rows[i].name, &best, &dist);
    for (int i = 0; i < option_n_aliases; i++)
        if (has_option(o, option_aliases[i].option))
            consider(name, option_aliases[i].spelling, &best, &dist);
    return best;
}

const char *options_nearest_command(const char *name) {
    const char *best = NULL;
    int dist = FAR + 1;
    for (int c = 0; c < CMD_COUNT; c++) consider(name, option_commands[c].name, &best, &dist);
    return best;
}

/* Says why there is no such option: another program's, another command's, a slip. */
static bool unknown_option(const options *o, const char *arg, const char *name, diag *d) {
    if (o->is_artifact && (same("model", name) || same("m", name)))
        return diag_error(d, DIAG_OPTION_FOREIGN, (diag_loc){0},
                          "no option %s: this program is its own model", arg);
    for (size_t i = 0; i < COUNT_OF(FOREIGN_ROWS); i++)
        if (same(FOREIGN_ROWS[i].spelling, name))
            return diag_error(d, DIAG_OPTION_FOREIGN, (diag_loc){0}, "no option %s: %s", arg,
                              FOREIGN_ROWS[i].why);
    diag_error(d, DIAG_OPTION_UNKNOWN, (diag_loc){0}, "unknown option %s", arg);
    const char *near = nearest_option(o, name);
    if (near) diag_note(d, (diag_loc){0}, "did you mean %s%s?", near[1] ? "--" : "-", near);
    for (int c = 0; c < CMD_COUNT && !near && !o->is_artifact; c++) {
        options other = {.command = (command_id)c};
        if (!find_spelling(&other, name).row) continue;
        diag_note(d, (diag_loc){0}, "it is an option of 'p4c %s'", option_commands[c].name);
        break;
    }
    diag_note(d, (diag_loc){0}, "'%s --help' lists the options", o->program);
    return false;
}

/* ---- values ---- */

bool options_size(str s, int64_t *out) {
    static const struct {
        const char *suffix;
        int64_t factor;
    } SUFFIXES[] = {
        {"", 1},
        {"k", 1000},
        {"kB", 1000},
        {"KB", 1000},
        {"m", 1000000},
        {"MB", 1000000},
        {"g", 1000000000},
        {"GB", 1000000000},
        {"K", 1ll << 10},
        {"KiB", 1ll << 10},
        {"Ki", 1ll << 10},
        {"M", 1ll << 20},
        {"MiB", 1ll << 20},
        {"Mi", 1ll << 20},
        {"G", 1ll << 30},
        {"GiB", 1ll << 30},
        {"Gi", 1ll << 30},
        {"TiB", 1ll << 40},
        {"T", 1ll << 40},
        {"TB", 1000000000000},
    };
    size_t n = 0;
    while (n < s.n && ((s.at[n] >= '0' && s.at[n] <= '9') || (n == 0 && s.at[n] == '-'))) n++;
    int64_t v;
    if (!str_to_i64((str){s.at, n}, &v)) return false;
    for (size_t i = 0; i < COUNT_OF(SUFFIXES); i++)
        if (str_is((str){s.at + n, s.n - n}, SUFFIXES[i].suffix))
            return !__builtin_mul_overflow(v, SUFFIXES[i].factor, out);
    return false;
}

typedef struct reader {
    options *o;
    arena *mem;
    diag *d;
    const char *spelling; /* of the option at hand, with its dashes */
} reader;

static bool bad_value(reader *r, const char *value, const char *want) {
    return diag_error(r->d, DIAG_OPTION_VALUE, (diag_loc){0}, "option %s: bad value '%s', want %s",
                      r->spelling, value, want);
}

static bool out_of_range(reader *r, const option_row *row, const char *value) {
    text want = {.mem = r->mem};
    text_printf(&want, "a number from %.10g to ", row->lo);
    if (row->hi >= 0x1p62) text_cat(&want, "2^63 - 1");
    else text_printf(&want, "%.10g", row->hi);
    return bad_value(r, value, want.buf.at);
}

static bool read_int(reader *r, const option_row *row, str s, const char *value, int64_t *out) {
    if (!options_size(s, out))
        return bad_value(r, value,
                         row->kind == OPTION_ints ? "whole numbers with commas between, as in 1,2,3"
                                                  : "a whole number such as 512, 16K or 2GiB");
    if ((double)*out < row->lo || (double)*out > row->hi) return out_of_range(r, row, value);
    return true;
}

static bool read_ints(reader *r, const option_row *row, const char *value, opt_ints *out) {
    vec(int64_t) v = {0};
    const char *at = value;
    do {
        const size_t n = strcspn(at, ",");
        int64_t one;
        if (!read_int(r, row, (str){at, n}, value, &one)) return false;
        vec_push(r->mem, &v, one);
        at += n;
    } while (*at++ == ',');
    *out = (opt_ints){.given = true, .n = (int)v.n, .v = v.at};
    return true;
}

static bool read_word(reader *r, const option_row *row, const char *value, int64_t *out) {
    const char *at = row->argument;
    for (*out = 0; *at; ++*out) {
        const size_t n = strcspn(at, "|");
        if (str_eq((str){at, n}, str_of(value))) return true;
        at += n + (at[n] == '|');
    }
    return bad_value(r, value, arena_printf(r->mem, "one of %s", row->argument));
}

static bool read_flag(reader *r, const char *value, bool off, bool *out) {
    static const char *const YES[] = {"1", "true", "on", "yes"};
    static const char *const NO[] = {"0", "false", "off", "no"};
    if (!value) return *out = !off, true;
    for (size_t i = 0; i < COUNT_OF(YES); i++) {
        if (!strcmp(value, YES[i])) return *out = !off, true;
        if (!strcmp(value, NO[i])) return *out = off, true;
    }
    return bad_value(r, value, "true or false");
}

static bool given_twice(reader *r) {
    return diag_error(r->d, DIAG_OPTION_CONFLICT, (diag_loc){0},
                      "option %s: given twice with different values", r->spelling);
}

/* Stores one option; value is NULL where a flag has none. */
static bool store(reader *r, const option_row *row, const char *value, bool off) {
    void *field = (char *)r->o + row->offset;
    switch (row->kind) {
    case OPTION_flag:
    case OPTION_on: {
        opt_flag *f = field, v = {.given = true};
        if (!read_flag(r, value, off, &v.v)) return false;
        if (f->given && f->v != v.v) return given_twice(r);
        *f = v;
        return true;
    }
    case OPTION_count: {
        opt_count *c = field;
        if (value) return bad_value(r, value, "none");
        c->given = true;
        c->v++;
        return true;
    }
    case OPTION_int:
    case OPTION_word: {
        opt_int *f = field, v = {.given = true};
        if (row->kind == OPTION_word ? !read_word(r, row, value, &v.v)
                                     : !read_int(r, row, str_of(value), value, &v.v))
            return false;
        if (f->given && f->v != v.v) return given_twice(r);
        *f = v;
        return true;
    }
    case OPTION_real: {
        opt_real *f = field, v = {.given = true};
        if (!str_to_f64(str_of(value), &v.v)) return bad_value(r, value, "a number such as 0.7");
        if (v.v < row->lo || v.v > row->hi) return out_of_range(r, row, value);
        if (f->given && f->v != v.v) return given_twice(r);
        *f = v;
        return true;
    }
    case OPTION_text: {
        opt_text *f = field;
        if (f->given && strcmp(f->v, value)) return given_twice(r);
        *f = (opt_text){.given = true, .v = value};
        return true;
    }
    case OPTION_texts: {
        opt_texts *f = field;
        const char **grown = arena_array(r->mem, const char *, f->n + 1);
        if (f->n) memcpy(grown, f->v, (size_t)f->n * sizeof *grown);
        grown[f->n] = value;
        *f = (opt_texts){.given = true, .n = f->n + 1, .v = grown};
        return true;
    }
    case OPTION_ints:
        if (((opt_ints *)field)->given) return given_twice(r);
        return read_ints(r, row, value, field);
    }
    UNREACHABLE("kind of option");
}

/* ---- arguments ---- */

static bool takes_value(option_kind k) {
    return k != OPTION_flag && k != OPTION_on && k != OPTION_count;
}

/* True where the argument is an option of this command, spelled in full. */
static bool is_option(const options *o, const char *arg, arena *mem) {
    if (arg[0] != '-' || !arg[1]) return false;
    const char *name = arg + 1 + (arg[1] == '-');
    const size_t n = strcspn(name, "=");
    return n && find_spelling(o, arena_copy(mem, name, n)).row;
}

/* -t8, -vv: a letter and its number, or a letter repeated.  False: not of this form. */
static bool split_letter(const options *o, const char *name, spelled *s, const char **value,
                         int *times) {
    const char letter[2] = {name[0], 0};
    *s = find_exact(o, letter);
    if (!s->row || s->row->letter != name[0]) return false;
    if (s->row->kind == OPTION_count) {
        *times = (int)strspn(name, letter);
        return !name[*times];
    }
    int64_t ignored;
    if (s->row->kind == OPTION_int && options_size(str_of(name + 1), &ignored)) {
        *value = name + 1;
        return true;
    }
    /* lists: digits and commas alone */
    if (s->row->kind == OPTION_ints && !name[1 + strspn(name + 1, "0123456789,")]) {
        *value = name + 1;
        return true;
    }
    return false;
}

/* One option that stands at argv[*i]; moves *i over its value. */
static bool read_option(reader *r, int argc, char *const *argv, int *i) {
    const char *arg = argv[*i];
    const bool two_dashes = arg[1] == '-';
    const char *name = arg + 1 + two_dashes, *value = NULL;
    const char *eq = strchr(name, '=');
    if (eq) {
        name = arena_copy(r->mem, name, (size_t)(eq - name));
        value = eq + 1;
    }
    int times = 1;
    spelled s = find_spelling(r->o, name);
    if (!s.row && (two_dashes || eq || !split_letter(r->o, name, &s, &value, &times)))
        return unknown_option(r->o, eq ? arena_copy(r->mem, arg, (size_t)(eq - arg)) : arg, name,
                              r->d);
    r->spelling = eq ? arena_copy(r->mem, arg, (size_t)(eq - arg)) : arg;
    if (s.value && value)
        return bad_value(r, value,
                         arena_printf(r->mem, "none (it means --%s %s)", s.row->name, s.value));
    if (s.value) value = s.value;
    if (takes_value(s.row->kind) && !value) {
        if (*i + 1 >= argc || is_option(r->o, argv[*i + 1], r->mem)) {
            diag_error(r->d, DIAG_OPTION_VALUE, (diag_loc){0}, "option %s: a value is missing",
                       r->spelling);
            if (*i + 1 < argc)
                diag_note(r->d, (diag_loc){0}, "if '%s' is the value, write %s=%s", argv[*i + 1],
                          r->spelling, argv[*i + 1]);
            return false;
        }
        value = argv[++*i];
    }
    for (int t = 0; t < times; t++)
        if (!store(r, s.row, value, s.off)) return false;
    return true;
}

static bool is_given(const options *o, option_id id) {
    /* every opt_ type begins with `given` */
    return *(const bool *)((const char *)o + option_rows[id].offset);
}

static bool check_conflicts(const options *o, diag *d) {
    for (size_t i = 0; i < COUNT_OF(CONFLICTS); i++) {
        const option_row *a = &option_rows[CONFLICTS[i].a], *b = &option_rows[CONFLICTS[i].b];
        if (!is_given(o, CONFLICTS[i].a) || !is_given(o, CONFLICTS[i].b)) continue;
        if (CONFLICTS[i].b == OPT_temp && o->temp.v == 0) continue; /* --temp 0 is --greedy */
        return diag_error(d, DIAG_OPTION_CONFLICT, (diag_loc){0},
                          "--%s and --%s do not go together", a->name, b->name);
    }
    return true;
}

bool options_unexpected(const options *o, const char *operand, diag *d) {
    diag_error(d, DIAG_OPERANDS, (diag_loc){0}, "unexpected argument '%s'", operand);
    command_id other;
    if (o->is_artifact && options_find_command(operand, &other))
        diag_note(d, (diag_loc){0}, "'p4c %s' is a command of the compiler, not of an artifact",
                  operand);
    else if (o->command == CMD_run || o->command == CMD_tokenize)
        diag_note(d, (diag_loc){0}, "text is given with -p: -p '%s'", operand);
    return false;
}

static bool check_operands(const options *o, diag *d) {
    const command_row *c = &option_commands[o->command];
    const int min = c->min - o->is_artifact, max = c->max - o->is_artifact;
    if (o->n_operands > max) return options_unexpected(o, o->operand[max], d);
    if (o->n_operands < min)
        return diag_error(d, DIAG_OPERANDS, (diag_loc){0}, "missing argument: %s %s", o->program,
                          c->operands);
    return true;
}

bool options_parse(options *o, int argc, char *const *argv, arena *mem, diag *d) {
    assert(o->command < CMD_COUNT && o->program);
    reader r = {.o = o, .mem = mem, .d = d};
    o->progress.v = true;
    bool only_operands = false;
    for (int i = 0; i < argc; i++) {
        const char *arg = argv[i];
        if (!only_operands && !strcmp(arg, "--")) {
            only_operands = true;
        } else if (!only_operands && arg[0] == '-' && arg[1]) {
            if (!read_option(&r, argc, argv, &i)) return false;
        } else if (o->n_operands == OPTIONS_MAX_OPERANDS) {
            return options_unexpected(o, arg, d);
        } else {
            o->operand[o->n_operands++] = arg;
        }
    }
    if (o->help.v || o->version.v) return true;
    if (o->model.given && !o->is_artifact && o->n_operands < OPTIONS_MAX_OPERANDS) {
        memmove(o->operand + 1, o->operand, sizeof o->operand - sizeof o->operand[0]);
        o->operand[0] = o->model.v;
        o->n_operands++;
    }
    return check_conflicts(o, d) && check_operands(o, d);
}

bool options_find_command(const char *name, command_id *out) {
    for (int c = 0; c < CMD_COUNT; c++)
        if (!strcmp(option_commands[c].name, name)) return *out = (command_id)c, true;
    return false;
}

const char *options_command_name(command_id c) { return option_commands[c].name; }
