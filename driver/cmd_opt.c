/* cmd_opt.c - `p4c opt`: passes on textual IR. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/run.h"
#include "base/file.h"
#include "driver/compile.h"
#include "ir/ir.h"

enum { MAX_PASSES = 64, MAX_IR_BYTES = 256 << 20 };

static bool list_passes(const options *o, arena *mem, diag *d) {
    text t = {.mem = mem};
    if (o->json.v) text_cat(&t, "[");
    for (int i = 0; i < PASS_COUNT; i++) {
        const pass_info *p = &pass_table[i];
        if (!o->json.v) {
            text_printf(&t, "%-18s %-9s %s\n", p->name, p->optional ? "optional" : "", p->meaning);
            continue;
        }
        text_printf(&t, "%s{\"name\":\"%s\",\"optional\":%s,\"meaning\":", i ? "," : "", p->name,
                    p->optional ? "true" : "false");
        app_json_string(&t, str_of(p->meaning));
        text_cat(&t, "}");
    }
    if (o->json.v) text_cat(&t, "]\n");
    return app_print(&t, d);
}

static bool unknown_pass(compile *c, str name) {
    diag_error(c->d, DIAG_OPTION_VALUE, (diag_loc){0},
               "option --passes: no pass is called '" STR_FMT "'", STR_ARG(name));
    diag_note(c->d, (diag_loc){0}, "'p4c opt --list-passes' lists them");
    return false;
}

static bool read_list(compile *c, pass_id *list, int *n) {
    const char *at = c->o->passes.given ? c->o->passes.v : "";
    for (*n = 0; *at; at += *at == ',') {
        const size_t len = strcspn(at, ",");
        if (*n == MAX_PASSES || !pass_find((str){at, len}, &list[*n]))
            return unknown_pass(c, (str){at, len});
        ++*n;
        at += len;
    }
    return true;
}

static bool print_text(const options *o, const text *t, arena *mem, diag *d) {
    if (!o->json.v) return app_print(t, d);
    text json = {.mem = mem};
    text_cat(&json, "{\"text\":");
    app_json_string(&json, text_str(t));
    text_cat(&json, "}\n");
    return app_print(&json, d);
}

static bool list_ops(const options *o, arena *mem, diag *d) {
    text t = {.mem = mem};
    ir_list_ops(&t);
    return print_text(o, &t, mem, d);
}

static bool print_graph(compile *c, const ir_graph *g) {
    text t = {.mem = c->mem};
    ir_print(g, &t);
    if (c->o->json.v || !c->o->output.given) return print_text(c->o, &t, c->mem, c->d);
    file_writer *w = file_create(c->o->output.v, 0666, c->mem, c->d);
    if (!w) return false;
    if (file_write(w, t.buf.at, t.buf.n)) return file_commit(w);
    file_abandon(w);
    return false;
}

static bool read_ir(compile *c, const char *path, str *out) {
    if (strcmp(path, "-") != 0) return file_read(path, MAX_IR_BYTES, c->mem, c->d, out);
    return app_read_text(path, c->mem, c->d, out);
}

static bool run_opt(compile *c) {
    const options *o = c->o;
    pass_id list[MAX_PASSES];
    int n;
    str source;
    if (!o->n_operands)
        return diag_error(c->d, DIAG_OPERANDS, (diag_loc){0}, "missing argument: p4c opt IN.p4ir");
    const char *path = o->operand[0];
    c->max_tokens = o->max_step.given ? o->max_step.v : 512;
    if (!compile_read_pass_options(c) || !read_list(c, list, &n) || !read_ir(c, path, &source))
        return false;
    ir_graph *g = ir_parse(source, path, c->mem, c->d);
    if (!g) return false;
    c->model.graph = g;
    if (!ir_verify(g) || !compile_set_scheme(c)) return false;
    c->px = (pass_ctx){.diag = c->d, .mem = c->mem, .scratch = c->scratch, .options = &c->passes};
    return pass_run_list(g, &c->px, list, n) && print_graph(c, g);
}

int cmd_opt(const options *o, arena *mem, diag *d) {
    if (o->list_passes.v) return list_passes(o, mem, d) ? EXIT_DONE : EXIT_BUG;
    if (o->list_ops.v) return list_ops(o, mem, d) ? EXIT_DONE : EXIT_BUG;
    compile c = {.o = o, .mem = mem, .scratch = arena_open(), .d = d};
    const bool ok = run_opt(&c);
    arena_close(c.scratch);
    return ok ? EXIT_DONE : EXIT_BUG;
}
