/* run_errors FOLDER - every *.p4ir there is wrong as it says itself: a line with "; error: E0412
 * some words" is where reading or verifying must report exactly one error, of that code and with
 * those words.  A line "; ----" begins another text.  All codes of the IR must occur but those that
 * no text alone can cause. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/ir.h"

/* Contents of files, broken graphs, steps: tests/unit. */
static const diag_code NOT_IN_TEXT[] = {DIAG_IR_PERM, DIAG_IR_INVARIANT, DIAG_IR_STEP};

enum { MAX_CODE = 1000 };

static str read_file(const char *path, arena *mem) {
    FILE *f = fopen(path, "rb");
    if (!f) {
        perror(path);
        exit(1);
    }
    text t = {.mem = mem};
    char piece[4096];
    for (size_t n; (n = fread(piece, 1, sizeof piece, f)) > 0;) text_add(&t, (str){piece, n});
    fclose(f);
    return text_str(&t);
}

typedef struct expected {
    int code, line;
    str words;
} expected;

static str line_at(str s, size_t at) {
    size_t n = 0;
    while (at + n < s.n && s.at[at + n] != '\n') n++;
    return (str){s.at + at, n};
}

/* The one mark of a text; false where there is none or more. */
static bool find_mark(str s, expected *out) {
    static const char MARK[] = "; error: E";
    int n_marks = 0, line = 0;
    for (size_t at = 0; at < s.n; at += line_at(s, at).n + 1) {
        const str l = line_at(s, at);
        line++;
        const char *mark = memmem(l.at, l.n, MARK, strlen(MARK));
        if (!mark) continue;
        n_marks++;
        const char *words = mark + strlen(MARK) + 5; /* "0412 " */
        out->code = atoi(mark + strlen(MARK));
        out->line = line;
        out->words = (str){words, (size_t)(l.at + l.n - words)};
    }
    return n_marks == 1;
}

static bool check(str source, const char *path, int number, bool seen[MAX_CODE]) {
    arena *mem = arena_open();
    diag d = {.mem = mem};
    expected want = {0};
    bool ok = find_mark(source, &want);
    if (!ok) printf("%s, text %d: want one line with \"; error: E0412 words\"\n", path, number);
    ir_graph *g = ir_parse(source, "text", mem, &d);
    const bool good = g && ir_verify(g);
    const char *got = d.first ? d.first->text : "no error";
    const char *at = arena_printf(mem, "text: line %d: ", want.line);
    if (ok &&
        (good || d.n_errors != 1 || (int)d.first->code != want.code ||
         !str_starts(str_of(got), at) || !memmem(got, strlen(got), want.words.at, want.words.n))) {
        printf("%s, text %d: got %s [E%04d], want %s... " STR_FMT " [E%04d]\n", path, number, got,
               d.first ? (int)d.first->code : 0, at, STR_ARG(want.words), want.code);
        ok = false;
    }
    if (d.first && (int)d.first->code < MAX_CODE) seen[d.first->code] = true;
    arena_close(mem);
    return ok;
}

static bool check_texts(str all, const char *path, int *n_texts, bool seen[MAX_CODE]) {
    static const char BETWEEN[] = "\n; ----\n";
    bool ok = true;
    for (int number = 1;; number++) {
        const char *end = memmem(all.at, all.n, BETWEEN, strlen(BETWEEN));
        const str one = {all.at, end ? (size_t)(end - all.at) + 1 : all.n};
        ok &= check(one, path, number, seen);
        ++*n_texts;
        if (!end) return ok;
        all = (str){end + strlen(BETWEEN), all.n - one.n - strlen(BETWEEN) + 1};
    }
}

static bool all_codes_seen(const bool seen[MAX_CODE]) {
    static const int CODES[] = {
#define DIAG(name, number, exit_status, hint) number,
#include "base/diag.def"
#undef DIAG
    };
    bool ok = true;
    for (size_t i = 0; i < COUNT_OF(CODES); i++) {
        if (CODES[i] < 400 || CODES[i] > 499 || seen[CODES[i]]) continue;
        bool elsewhere = false;
        for (size_t j = 0; j < COUNT_OF(NOT_IN_TEXT); j++)
            elsewhere |= (int)NOT_IN_TEXT[j] == CODES[i];
        if (!elsewhere) printf("no text causes E%04d\n", CODES[i]);
        ok &= elsewhere;
    }
    return ok;
}

int main(int argc, char **argv) {
    DIR *dir = argc == 2 ? opendir(argv[1]) : NULL;
    if (!dir) {
        fprintf(stderr, "usage: run_errors FOLDER\n");
        return 2;
    }
    arena *mem = arena_open();
    bool ok = true, seen[MAX_CODE] = {0};
    int n_files = 0, n_texts = 0;
    for (const struct dirent *e; (e = readdir(dir)) != NULL;) {
        if (!str_ends(str_of(e->d_name), ".p4ir")) continue;
        const char *path = arena_printf(mem, "%s/%s", argv[1], e->d_name);
        ok &= check_texts(read_file(path, mem), path, &n_texts, seen);
        n_files++;
    }
    closedir(dir);
    arena_close(mem);
    ok &= all_codes_seen(seen);
    printf("%d texts in %d files: %s\n", n_texts, n_files, ok ? "ok" : "FAILED");
    return ok && n_texts > 0 ? 0 : 1;
}
