/* run_expect.c - one folder of textual graphs: what goes into passes, and exactly what comes out.
 *
 *     ; run: simplify quantize          passes, in order; "all" is the whole pipeline
 *     ; quant: w4a16-g32                scheme (f32), or auto
 *     ; disable: fuse-qkv               passes left out on purpose
 *     ; max-tokens: 4                   of a step, and as many rows (8)
 *     %0 = input ...                    the graph
 *     ; expect:
 *     ; warning: E0522 ...              what is reported, or "; error: ..." and no graph
 *     %0 = input ...                    the result as it prints
 *
 * Every graph must print, parse and print to the same text.  P4C_BLESS=1 rewrites what is expected.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "passes/pass.h"

enum { MAX_FILES = 200, MAX_RUN = 32 };

typedef struct expect_case {
    const char *path;
    str input, expected; /* behind "; expect:\n" */
    pass_id run[MAX_RUN];
    int n_run;
    bool run_all, is_auto, has_expect;
    pass_options options;
} expect_case;

static bool next_word(str *s, str *word) {
    while (s->n && *s->at == ' ') s->at++, s->n--;
    *word = (str){s->at, 0};
    while (word->n < s->n && s->at[word->n] != ' ') word->n++;
    s->at += word->n;
    s->n -= word->n;
    return word->n > 0;
}

static str rest_after(str line, const char *prefix) {
    return (str){line.at + strlen(prefix), line.n - strlen(prefix)};
}

static bool complain(const expect_case *c, const char *what, str detail) {
    printf("%s: %s" STR_FMT "\n", c->path, what, STR_ARG(detail));
    return false;
}

static bool read_passes(expect_case *c, str list, bool disable) {
    for (str word; next_word(&list, &word);) {
        pass_id p;
        if (!disable && str_is(word, "all")) {
            c->run_all = true;
            continue;
        }
        if (!pass_find(word, &p)) return complain(c, "no such pass: ", word);
        if (disable) c->options.disabled |= 1u << p;
        else if (c->n_run < MAX_RUN) c->run[c->n_run++] = p;
    }
    return true;
}

static bool read_directive(expect_case *c, str line) {
    if (str_starts(line, "; run:")) return read_passes(c, rest_after(line, "; run:"), false);
    if (str_starts(line, "; disable:")) return read_passes(c, rest_after(line, "; disable:"), true);
    if (str_starts(line, "; quant: ")) {
        const str name = rest_after(line, "; quant: ");
        return scheme_parse(name, &c->options.scheme, &c->is_auto) ||
               complain(c, "no such scheme: ", name);
    }
    if (str_starts(line, "; max-tokens: ")) {
        const str n = rest_after(line, "; max-tokens: ");
        if (!str_to_i64(n, &c->options.max_tokens)) return complain(c, "not a number: ", n);
        c->options.max_rows = c->options.max_tokens;
    }
    return true;
}

static bool read_case(const char *path, arena *mem, diag *d, expect_case *c) {
    *c = (expect_case){.path = path, .options = pass_default_options()};
    c->options.max_tokens = c->options.max_rows = 8;
    str file;
    if (!file_read(path, 1 << 20, mem, d, &file)) return complain(c, "cannot be read", STR(""));
    c->input = file;
    for (size_t at = 0; at < file.n;) {
        str line = {file.at + at, 0};
        while (at + line.n < file.n && line.at[line.n] != '\n') line.n++;
        if (str_is(line, "; expect:")) {
            c->has_expect = true;
            c->input.n = at;
            at += line.n + 1;
            c->expected = at < file.n ? (str){file.at + at, file.n - at} : (str){"", 0};
            return true;
        }
        if (!read_directive(c, line)) return false;
        at += line.n + 1;
    }
    return true;
}

/* Print, parse, print: the same text. */
static bool round_trips(const expect_case *c, const ir_graph *g, arena *mem, text *printed) {
    diag d = {.mem = mem};
    *printed = (text){.mem = mem};
    ir_print(g, printed);
    const ir_graph *again = ir_parse(text_str(printed), c->path, mem, &d);
    if (!again) {
        diag_print(&d, stdout);
        return complain(c, "what is printed cannot be read:\n", text_str(printed));
    }
    text twice = {.mem = mem};
    ir_print(again, &twice);
    return str_eq(text_str(printed), text_str(&twice)) ||
           complain(c, "prints differently after it was read:\n", text_str(&twice));
}

/* Without the path, which is another on every machine. */
static const char *message_of(const expect_case *c, const diag_item *item) {
    const bool named = str_starts(str_of(item->text), c->path);
    return item->text + (named ? strlen(c->path) + strlen(": ") : 0);
}

/* The result of the passes, or the error, as the file should expect it. */
static bool run_case(expect_case *c, arena *mem, text *result) {
    diag d = {.mem = mem};
    ir_graph *g = ir_parse(c->input, c->path, mem, &d);
    if (!g) {
        diag_print(&d, stdout);
        return complain(c, "the input cannot be read", STR(""));
    }
    text printed;
    if (!round_trips(c, g, mem, &printed)) return false;
    if (c->is_auto) c->options.scheme = scheme_auto(g);
    pass_ctx px = {.diag = &d, .mem = mem, .scratch = arena_open(), .options = &c->options};
    const bool ok =
        c->run_all ? pass_run_all(g, &px, HAS_DENSE_OPS) : pass_run_list(g, &px, c->run, c->n_run);
    arena_close(px.scratch);
    for (const diag_item *i = d.first; i; i = i->next)
        if (i->level != DIAG_LEVEL_note)
            text_printf(result, "; %s: E%04d %s\n",
                        i->level == DIAG_LEVEL_error ? "error" : "warning", (int)i->code,
                        message_of(c, i));
    if (!ok) return true;
    if (!round_trips(c, g, mem, &printed)) return false;
    text_add(result, text_str(&printed));
    return true;
}

static bool bless(const expect_case *c, str result) {
    FILE *f = fopen(c->path, "w");
    if (!f) return complain(c, "cannot be written", STR(""));
    fprintf(f, STR_FMT "; expect:\n" STR_FMT, STR_ARG(c->input), STR_ARG(result));
    return fclose(f) == 0;
}

static bool check_file(const char *path) {
    arena *mem = arena_open();
    diag d = {.mem = mem};
    expect_case c;
    text result = {.mem = mem};
    bool ok = read_case(path, mem, &d, &c) && run_case(&c, mem, &result);
    if (ok && getenv("P4C_BLESS")) {
        ok = bless(&c, text_str(&result));
    } else if (ok && !(c.has_expect && str_eq(c.expected, text_str(&result)))) {
        complain(&c, "expected:\n", c.expected);
        printf("found:\n" STR_FMT "\n", STR_ARG(text_str(&result)));
        ok = false;
    }
    printf("%s %s\n", ok ? "ok  " : "FAIL", path);
    arena_close(mem);
    return ok;
}

static int is_graph(const struct dirent *e) { return str_ends(str_of(e->d_name), ".p4ir"); }

int main(int argc, char **argv) {
    if (argc != 2) return fprintf(stderr, "usage: run_expect FOLDER\n"), 2;
    struct dirent **list;
    const int n = scandir(argv[1], &list, is_graph, alphasort);
    if (n <= 0) return fprintf(stderr, "%s: no .p4ir files\n", argv[1]), 1;
    int n_failed = 0;
    for (int i = 0; i < n; i++) {
        char path[1024];
        snprintf(path, sizeof path, "%s/%s", argv[1], list[i]->d_name);
        n_failed += !check_file(path);
        free(list[i]);
    }
    free(list);
    printf("%d of %d failed\n", n_failed, n);
    return n_failed ? 1 : 0;
}
