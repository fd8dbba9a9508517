/* bench_ops.c - `bench --per-op`: where the time of a step goes, by kernel. */
#include <stdlib.h>
#include <string.h>

#include "app/bench.h"

typedef struct watcher {
    bench_test *t;
    arena *mem;
} watcher;

static void on_launch(void *context, const p4c_launch *launch) {
    watcher *w = context;
    bench_op *found = NULL;
    for (size_t i = 0; i < w->t->ops.n && !found; i++)
        if (w->t->ops.at[i].kernel == launch->kernel) found = &w->t->ops.at[i];
    if (!found) {
        vec_push(w->mem, &w->t->ops, (bench_op){.kernel = launch->kernel, .op = launch->op});
        found = &w->t->ops.at[w->t->ops.n - 1];
    }
    found->n_launches++;
    found->ns += launch->ns;
}

static int slowest_first(const void *a, const void *b) {
    const bench_op *x = a, *y = b;
    return (x->ns < y->ns) - (x->ns > y->ns);
}

bool bench_watch_ops(bench *b, bench_test *t, bool (*eval)(bench *, const bench_test *)) {
    watcher w = {.t = t, .mem = b->a->mem};
    p4c_error error = {0};
    if (p4c_set_watch(b->model, on_launch, &w, &error) != P4C_OK) return app_fail(b->a, &error);
    bench_test once = *t;
    if (!t->is_prompt) once.tokens = 1;
    const bool ok = eval(b, &once);
    if (p4c_set_watch(b->model, NULL, NULL, &error) != P4C_OK) return app_fail(b->a, &error);
    if (t->ops.n) qsort(t->ops.at, t->ops.n, sizeof *t->ops.at, slowest_first);
    return ok;
}

/* The op's line in section "ir" from its name on, up to its operands: "linear", "attention". */
static str op_name(const bench *b, uint32_t op) {
    const void *data;
    size_t n;
    if (p4c_get_section(b->model, "ir", &data, &n, NULL) != P4C_OK) return STR("?");
    char start[32];
    const int len = snprintf(start, sizeof start, "%%%u = ", op);
    const char *at = data, *end = at + n;
    for (; at < end; at++) {
        /* a definition stands at the start of a line, behind blanks */
        const char *line = at;
        while (at < end && *at == ' ') at++;
        if (end - at > len && !memcmp(at, start, (size_t)len)) {
            const char *name = at + len, *stop = name;
            while (stop < end && *stop != ' ' && *stop != '(' && *stop != '\n') stop++;
            return (str){name, (size_t)(stop - name)};
        }
        at = memchr(line, '\n', (size_t)(end - line));
        if (!at) break;
    }
    return STR("?");
}

static uint64_t total_ns(const bench_test *t) {
    uint64_t ns = 0;
    for (size_t i = 0; i < t->ops.n; i++) ns += t->ops.at[i].ns;
    return ns ? ns : 1;
}

void bench_print_ops(const bench *b, const bench_test *t, text *out) {
    for (size_t i = 0; i < t->ops.n; i++) {
        const bench_op *x = &t->ops.at[i];
        const str name = op_name(b, x->op);
        text_printf(out,
                    "    %5.1f %%  %10.3f ms  %4lld launches  kernel %3u, first for %%%u = " STR_FMT
                    "\n",
                    100.0 * (double)x->ns / (double)total_ns(t), (double)x->ns * 1e-6,
                    (long long)x->n_launches, x->kernel, x->op, STR_ARG(name));
    }
}

void bench_print_ops_json(const bench *b, const bench_test *t, text *out) {
    if (!b->a->o->per_op.v) return;
    text_cat(out, ",\"ops\":[");
    for (size_t i = 0; i < t->ops.n; i++) {
        const bench_op *x = &t->ops.at[i];
        text_printf(out, "%s{\"kernel\":%u,\"op\":%u,\"name\":", i ? "," : "", x->kernel, x->op);
        app_json_string(out, op_name(b, x->op));
        text_printf(out, ",\"launches\":%lld,\"ms\":%.6f,\"share\":%.4f}", (long long)x->n_launches,
                    (double)x->ns * 1e-6, (double)x->ns / (double)total_ns(t));
    }
    text_cat(out, "]");
}
