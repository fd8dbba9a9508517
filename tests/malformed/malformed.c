/* malformed.c - corrupt checkpoints end as expected.json says: refused with a message that names
 * the reason, or accepted; each within a second.
 *
 *     malformed FOLDER
 * FOLDER holds the cases as overlays; the folders are built in a temporary place.  lora-* cases are
 * no checkpoints; in tok-* the model itself is sound and must load.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "frontend/frontend.h"
#include "ir/ir.h"

typedef struct maker {
    const char *from, *to; /* the overlays; the built folders */
    const cJSON *cases;
    arena *mem;
    diag *d;
} maker;

static bool copy_file(const maker *m, const char *from, const char *to) {
    str content;
    if (!file_read(from, 1 << 24, m->mem, m->d, &content)) return false;
    FILE *f = fopen(to, "wb");
    if (!f) return false;
    const bool ok = fwrite(content.at, 1, content.n, f) == content.n;
    return fclose(f) == 0 && ok;
}

static bool copy_folder(const maker *m, const char *from, const char *to) {
    DIR *dir = opendir(from);
    bool ok = true;
    if (!dir) return true; /* a case that only removes files has no folder */
    for (struct dirent *e; ok && (e = readdir(dir));)
        if (e->d_name[0] != '.')
            ok = copy_file(m, path_join(m->mem, from, e->d_name), path_join(m->mem, to, e->d_name));
    closedir(dir);
    return ok;
}

/* Lays case `name` and what it is based on into folder `to`. */
static bool lay(const maker *m, const char *name, const char *to) {
    const cJSON *c = json_member(m->cases, name), *e;
    const char *base = NULL;
    if (!c || !json_opt_str(c, "base", "expected.json", m->d, &base)) return false;
    if (base && !lay(m, base, to)) return false;
    cJSON_ArrayForEach(e, json_member(c, "removes")) unlink(path_join(m->mem, to, e->valuestring));
    return copy_folder(m, path_join(m->mem, m->from, name), to);
}

static bool contains(const char *hay, const char *needle) {
    const size_t n = strlen(needle);
    for (; *hay; hay++)
        if (strncasecmp(hay, needle, n) == 0) return true;
    return false;
}

/* The message without the folder's path, whose name gives the reason away. */
static char *without_path(arena *mem, const char *message, const char *path) {
    char *s = arena_strdup(mem, message);
    const size_t n = strlen(path);
    for (char *at; (at = strstr(s, path));) memmove(at, at + n, strlen(at + n) + 1);
    return s;
}

static bool mentions(const cJSON *c, const char *message) {
    const cJSON *e;
    cJSON_ArrayForEach(
        e, json_member(c, "message_mentions_any_of")) if (contains(message,
                                                                   e->valuestring)) return true;
    return false;
}

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* NULL where the case ends as it should. */
static const char *wrong_with(const maker *m, const cJSON *c, const char *dir, arena *mem,
                              diag *d) {
    const bool refuse = strcmp(json_member(c, "expect")->valuestring, "refuse") == 0 &&
                        strncmp(c->string, "tok-", 4) != 0;
    fe_model model;
    const double begin = seconds();
    const bool loaded = fe_load(dir, &(fe_options){0}, mem, d, &model);
    const double took = seconds() - begin;
    if (loaded) {
        const bool verified = ir_verify(model.graph);
        fe_close(&model);
        if (!verified) return "the graph does not verify";
    }
    if (took > 1) return arena_printf(mem, "took %.1f seconds", took);
    if (loaded && refuse) return "it was accepted";
    if (!refuse) return loaded && !d->n_errors ? NULL : "it was refused";
    if (d->n_errors != 1 || diag_exit_status(d) != EXIT_BAD_INPUT) return "not one error, status 3";
    const char *said = without_path(mem, d->first->text, m->to);
    said = without_path(mem, said, c->string);
    return mentions(c, said) ? NULL : "the message does not say why";
}

static int run_cases(maker *m) {
    int n = 0, failed = 0;
    const cJSON *c;
    cJSON_ArrayForEach(c, m->cases) {
        if (strncmp(c->string, "lora-", 5) == 0) continue;
        mkdir(path_join(m->mem, m->to, c->string), 0700);
        if (!lay(m, c->string, path_join(m->mem, m->to, c->string))) return -1;
    }
    cJSON_ArrayForEach(c, m->cases) {
        if (strncmp(c->string, "lora-", 5) == 0) continue;
        arena *mem = arena_open();
        diag d = {.mem = mem};
        const char *wrong = wrong_with(m, c, path_join(mem, m->to, c->string), mem, &d);
        printf("%s: %s%s\n    %s\n", c->string, wrong ? "FAILED: " : "ok", wrong ? wrong : "",
               d.first ? d.first->text : "(no message)");
        n++;
        failed += wrong != NULL;
        arena_close(mem);
    }
    printf("%d cases, %d failed\n", n, failed);
    return n ? failed : -1;
}

int main(int argc, char **argv) {
    char dir[] = "/tmp/p4c-malformed-XXXXXX";
    if (argc != 2 || !mkdtemp(dir)) return EXIT_USAGE;
    arena *mem = arena_open();
    diag d = {.mem = mem};
    str source;
    json j;
    int failed = -1;
    const char *expected = path_join(mem, argv[1], "expected.json");
    if (file_read(expected, 1 << 20, mem, &d, &source) &&
        json_parse(source, expected, mem, &d, &j)) {
        maker m = {.from = argv[1], .to = dir, .mem = mem, .d = &d};
        m.cases = json_member(j.root, "cases");
        failed = run_cases(&m);
        json_free(&j);
    }
    diag_print(&d, stderr);
    if (system(arena_printf(mem, "rm -rf '%s'", dir)) != 0) failed = -1;
    arena_close(mem);
    return failed ? EXIT_CHECK_FAILED : EXIT_DONE;
}
