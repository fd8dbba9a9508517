/* cmd_compile.c - `p4c compile`: checkpoint -> graph -> passes -> machine code -> artifact. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "app/machine.h"
#include "app/progress.h"
#include "base/cpuinfo.h"
#include "base/file.h"
#include "codegen/artifact/payload.h"
#include "driver/compile.h"
#include "frontend/template_compile.h"
#include "frontend/tokenizer_import.h"

enum { DEFAULT_MAX_BATCH = 16, DEFAULT_MAX_STEP = 512, MAX_CONFIG_BYTES = 4 << 20 };

/* ---- stages, for --time-passes and the memory figure ---- */

static void watch_memory(compile *c) {
    const uint64_t now = machine_anon_bytes();
    if (now > c->anon_bytes) c->anon_bytes = now;
}

static void end_stage(compile *c, const char *name) {
    watch_memory(c);
    const uint64_t now = machine_ns();
    if (c->n_stages < COMPILE_MAX_STAGES)
        c->stage[c->n_stages++] = (compile_stage){name, (double)(now - c->stage_begin_ns) * 1e-9};
    c->stage_begin_ns = now;
}

static void print_times(const compile *c) {
    for (int i = 0; i < c->n_stages; i++) {
        fprintf(stderr, "%9.3f s  %s\n", c->stage[i].seconds, c->stage[i].name);
        if (strcmp(c->stage[i].name, "passes") != 0) continue;
        for (int p = 0; p < PASS_COUNT; p++)
            if (c->px.seconds[p] > 0)
                fprintf(stderr, "%9.3f s    %s\n", c->px.seconds[p], pass_table[p].name);
    }
}

/* ---- output that is not an artifact ---- */

static bool write_bytes(compile *c, const char *path, const void *p, size_t n) {
    file_writer *w = file_create(path, 0666, c->mem, c->d);
    if (!w) return false;
    if (file_write(w, p, n)) return file_commit(w);
    file_abandon(w);
    return false;
}

static bool make_dir(compile *c, const char *dir) {
    struct stat st;
    if (mkdir(dir, 0777) == 0 || (errno == EEXIST && stat(dir, &st) == 0 && S_ISDIR(st.st_mode)))
        return true;
    return diag_error(c->d, DIAG_OUTPUT_WRITE, (diag_loc){.file = dir},
                      "cannot make the folder (%s)", strerror(errno));
}

static bool emit_text(compile *c, const text *t) {
    if (c->o->output.given) return write_bytes(c, c->o->output.v, t->buf.at, t->buf.n);
    return app_print(t, c->d);
}

static bool emit_graph(compile *c) {
    text t = {.mem = c->mem};
    ir_print(c->model.graph, &t);
    return emit_text(c, &t);
}

static bool compile_objects(compile *c, cg_emit emit, cg_objects *out) {
    const cpu_options o = {.triple = c->target,
                           .soft_isa = c->o->soft_isa.v,
                           .emit = emit,
                           .verbose = c->o->verbose.v > 1};
    return cpu_compile(&c->program, &o, c->mem, c->d, out);
}

static bool write_objects(compile *c, const char *dir, const cg_objects *objects) {
    if (!make_dir(c, dir)) return false;
    for (int i = 0; i < objects->n; i++) {
        const cg_object *x = &objects->object[i];
        if (!write_bytes(c, path_join(c->mem, dir, x->name), x->at, x->n_bytes)) return false;
    }
    return true;
}

static bool emit_code(compile *c) {
    const cg_emit emit = c->o->emit.v == EMIT_WORD_llvm  ? EMIT_llvm
                         : c->o->emit.v == EMIT_WORD_asm ? EMIT_asm
                                                         : EMIT_obj;
    cg_objects objects = {0};
    if (!compile_objects(c, emit, &objects)) return false;
    if (emit == EMIT_obj) return write_objects(c, c->o->output.v, &objects);
    text t = {.mem = c->mem};
    for (int i = 0; i < objects.n; i++) {
        text_printf(&t, "%c ---- %s ----\n", emit == EMIT_llvm ? ';' : '#', objects.object[i].name);
        text_add(&t, (str){(const char *)objects.object[i].at, objects.object[i].n_bytes});
    }
    return emit_text(c, &t);
}

static bool save_temps(compile *c) {
    const char *dir = c->o->save_temps.v;
    text t = {.mem = c->mem};
    ir_print(c->model.graph, &t);
    cg_objects llvm = {0}, assembly = {0};
    return make_dir(c, dir) &&
           write_bytes(c, path_join(c->mem, dir, "graph.p4ir"), t.buf.at, t.buf.n) &&
           write_bytes(c, path_join(c->mem, dir, "artifact.p4ir"), c->ir.buf.at, c->ir.buf.n) &&
           compile_objects(c, EMIT_llvm, &llvm) && write_objects(c, dir, &llvm) &&
           compile_objects(c, EMIT_asm, &assembly) && write_objects(c, dir, &assembly) &&
           write_objects(c, dir, &c->objects);
}

/* ---- the way through ---- */

static bool check_options(compile *c) {
    const options *o = c->o;
    const bool to_stdout = (o->emit.given && o->emit.v != EMIT_WORD_obj) || o->stop_after.given;
    if (!o->output.given && !to_stdout)
        return diag_error(c->d, DIAG_OPERANDS, (diag_loc){0}, "missing: -o OUT");
    c->max_tokens = o->max_step.given ? o->max_step.v : DEFAULT_MAX_STEP;
    c->max_batch = o->max_batch.given ? o->max_batch.v : min_i64(DEFAULT_MAX_BATCH, c->max_tokens);
    if (c->max_batch > c->max_tokens)
        return diag_error(c->d, DIAG_OPTION_CONFLICT, (diag_loc){0},
                          "--max-batch %lld is more than --max-step-tokens %lld",
                          (long long)c->max_batch, (long long)c->max_tokens);
    c->target = o->target.given ? o->target.v : art_payload_default();
    art_bytes payload;
    if (!art_payload_find(c->target, &payload))
        return diag_error(c->d, DIAG_TARGET_UNKNOWN, (diag_loc){0},
                          "unknown target '%s' (expected %s)", c->target, art_payload_default());
    return compile_read_pass_options(c);
}

/* Says at once, not after the work, where the output cannot be written. */
static bool check_output(compile *c) {
    const options *o = c->o;
    if (!o->output.given || (o->emit.given && o->emit.v == EMIT_WORD_obj)) return true;
    file_writer *w = file_create(o->output.v, 0666, c->mem, c->d);
    file_abandon(w);
    return w != NULL;
}

/* A folder with a tokenizer has tokenizer.json or says by its other files that it means to. */
static bool load_language(compile *c) {
    fe_template_source source = {0};
    const bool has_tokenizer = file_exists(path_join(c->mem, c->dir, "tokenizer.json"));
    if (!has_tokenizer) {
        diag_warn(c->d, DIAG_NO_TOKENIZER, (diag_loc){.file = c->dir},
                  "no tokenizer.json: the artifact takes and gives token ids only");
        return true;
    }
    if (!fe_import_tokenizer(c->dir, c->model.config.vocab_size, c->mem, c->d, &c->tokenizer) ||
        !fe_find_template(c->dir, c->mem, c->d, &source))
        return false;
    return !source.text.at || fe_compile_template_source(&source, c->mem, c->d, &c->chat_template);
}

static bool load(compile *c) {
    const options *o = c->o;
    const fe_options fo = {.capacity = o->max_seq_len.v,
                           .dummy = o->load_format.v == LOAD_WORD_dummy,
                           .seed = (uint64_t)o->fixed_seed.v};
    if (!fe_load(c->dir, &fo, c->mem, c->d, &c->model)) return false;
    end_stage(c, "load");
    if (!file_read(path_join(c->mem, c->dir, "config.json"), MAX_CONFIG_BYTES, c->mem, c->d,
                   &c->config) ||
        !load_language(c))
        return false;
    end_stage(c, "tokenizer, template");
    return true;
}

static bool run_passes(compile *c) {
    if (!compile_set_scheme(c)) return false;
    c->px = (pass_ctx){.diag = c->d, .mem = c->mem, .scratch = c->scratch, .options = &c->passes};
    if (!pass_run_all(c->model.graph, &c->px, HAS_DENSE_OPS)) return false;
    end_stage(c, "passes");
    return true;
}

static bool plan(compile *c) {
    if (!cg_build_program(c->model.graph, c->px.arena_bytes, c->max_tokens, c->max_tokens, c->mem,
                          c->d, &c->program))
        return false;
    if (c->o->verbose.v) compile_print_kernels(c);
    if (!compile_make_meta(c) || !compile_make_ir(c)) return false;
    end_stage(c, "plan");
    return true;
}

typedef struct ticker {
    compile *c;
    progress bar;
} ticker;

static void on_progress(void *context, uint64_t done, uint64_t total) {
    ticker *t = context;
    if (!t->bar.total) {
        const options *o = t->c->o;
        progress_start(&t->bar, "writing", total, PROGRESS_BYTES, o->progress.v && !o->quiet.v);
    }
    watch_memory(t->c);
    progress_set(&t->bar, done);
}

static bool write_artifact(compile *c) {
    ticker t = {.c = c};
    art_input in = {.path = c->o->output.v,
                    .triple = c->target,
                    .name = c->o->name.v,
                    .version = P4C_VERSION,
                    .objects = &c->objects,
                    .program = &c->program,
                    .meta = &c->meta,
                    .tokenizer = {c->tokenizer.at, c->tokenizer.n},
                    .template = {c->chat_template.at, c->chat_template.n},
                    .config = {c->config.at, c->config.n},
                    .options = {c->settings.buf.at, c->settings.buf.n},
                    .ir = {c->ir.buf.at, c->ir.buf.n},
                    .n_threads = cpu_count(),
                    .mem = c->mem,
                    .progress = on_progress,
                    .progress_context = &t};
    if (!art_payload_find(c->target, &in.runtime)) UNREACHABLE("target without a runtime");
    const bool ok = art_write(&in, c->d);
    progress_end(&t.bar);
    if (ok) end_stage(c, "write");
    return ok;
}

static bool report(compile *c, uint64_t begin_ns) {
    const options *o = c->o;
    const double seconds = (double)(machine_ns() - begin_ns) * 1e-9;
    struct stat st;
    const double bytes = stat(o->output.v, &st) == 0 ? (double)st.st_size : 0;
    if (o->time_passes.v) print_times(c);
    if (!o->json.v) {
        if (!o->quiet.v)
            fprintf(stderr,
                    "%s: %.*f %s, %s, %u steps, %d kernels; %.1f s, %.0f MiB anonymous memory\n",
                    o->output.v, bytes < 1e9 ? 1 : 2, bytes * (bytes < 1e9 ? 1e-6 : 1e-9),
                    bytes < 1e9 ? "MB" : "GB", c->meta.quant, c->program.plan.n_launches,
                    c->program.n_kernels, seconds, (double)c->anon_bytes / 0x1p20);
        return true;
    }
    text t = {.mem = c->mem};
    text_cat(&t, "{\"output\":");
    app_json_string(&t, str_of(o->output.v));
    text_printf(&t,
                ",\"bytes\":%.0f,\"quant\":\"%s\",\"launches\":%u,\"kernels\":%d,\"seconds\":%.3f,"
                "\"peak_anon_bytes\":%llu,\"stages\":{",
                bytes, c->meta.quant, c->program.plan.n_launches, c->program.n_kernels, seconds,
                (unsigned long long)c->anon_bytes);
    for (int i = 0; i < c->n_stages; i++)
        text_printf(&t, "%s\"%s\":%.3f", i ? "," : "", c->stage[i].name, c->stage[i].seconds);
    text_cat(&t, "}}\n");
    return app_print(&t, c->d);
}

static bool run_compile(compile *c) {
    const options *o = c->o;
    const uint64_t begin = machine_ns();
    c->stage_begin_ns = begin;
    if (!check_options(c) || !check_output(c) || !load(c) || !run_passes(c)) return false;
    if (o->stop_after.given || (o->emit.given && o->emit.v == EMIT_WORD_ir)) return emit_graph(c);
    if (!plan(c)) return false;
    if (o->emit.given) return emit_code(c);
    if (!compile_objects(c, EMIT_obj, &c->objects)) return false;
    end_stage(c, "code");
    if (o->save_temps.given && !save_temps(c)) return false;
    return write_artifact(c) && report(c, begin);
}

int cmd_compile(const options *o, arena *mem, diag *d) {
    compile c = {.o = o, .mem = mem, .scratch = arena_open(), .d = d, .dir = o->operand[0]};
    const bool ok = run_compile(&c);
    fe_close(&c.model);
    arena_close(c.scratch);
    if (ok && o->quiet.v) diag_clear(d); /* warnings */
    return ok ? EXIT_DONE : EXIT_BUG;
}
