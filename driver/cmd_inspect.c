/* cmd_inspect.c - `p4c inspect`: what is inside an artifact or a checkpoint, read as data; nothing
 * of it runs. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "app/progress.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/json.h"
#include "driver/driver.h"
#include "driver/read_artifact.h"
#include "frontend/frontend.h"
#include "frontend/shards.h"

typedef struct inspected {
    const options *o;
    arena *mem;
    diag *d;
    const char *path;
    rt_file *file;
    rt_meta meta;
    rt_plan plan;
    str config, settings; /* JSON texts */
    progress bar;
} inspected;

/* ---- checking ---- */

static bool on_progress(void *context, uint64_t done, uint64_t total) {
    inspected *x = context;
    if (!x->bar.total)
        progress_start(&x->bar, "checking", total, PROGRESS_BYTES,
                       x->o->progress.v && !x->o->quiet.v);
    progress_set(&x->bar, done);
    return true;
}

static bool damaged(const inspected *x, const rt_damage *why) {
    char what[256];
    rt_damage_text(why, what, sizeof what);
    return diag_error(x->d, DIAG_ARTIFACT_OPEN, (diag_loc){.file = x->path}, "%s", what);
}

static bool check(inspected *x) {
    rt_damage why;
    const bool ok = rt_file_check(x->file, on_progress, x, &why);
    progress_end(&x->bar);
    return ok || damaged(x, &why);
}

/* A section that begins with a struct of n bytes. */
static bool read_struct(const inspected *x, const char *name, void *out, size_t n) {
    const rt_section *s = rt_section_find(&x->file->header, name);
    rt_damage why;
    if (!s || s->bytes < n)
        return diag_error(x->d, DIAG_ARTIFACT_OPEN, (diag_loc){.file = x->path},
                          "section %s is missing or too short", name);
    return rt_file_read(x->file, s, 0, out, n, &why) || damaged(x, &why);
}

/* Texts of a file that nobody has checked: bounded, ended, without control characters. */
static void add_name(text *t, const char *at, size_t n) {
    app_json_string(t, (str){at, strnlen(at, n)});
}

/* ---- memory ---- */

typedef struct memory_use {
    uint64_t weights, arena, scratch_per_thread, kv_block, kv_full;
} memory_use;

static memory_use memory_of(const inspected *x) {
    const rt_section *w = rt_section_find(&x->file->header, "weights");
    const uint64_t blocks = ((uint64_t)x->meta.max_seq_tok + RT_KV_BLOCK_TOK - 1) / RT_KV_BLOCK_TOK;
    return (memory_use){.weights = w ? w->bytes : 0,
                        .arena = x->plan.arena_bytes,
                        .scratch_per_thread = x->plan.scratch_bytes,
                        .kv_block = x->meta.kv_block_bytes,
                        .kv_full = blocks * x->meta.kv_block_bytes};
}

/* ---- output ---- */

static void json_sections(const inspected *x, text *t) {
    const rt_header *h = &x->file->header;
    text_cat(t, "\"sections\":[");
    for (uint32_t i = 0; i < h->n_sections; i++) {
        const rt_section *s = &h->section[i];
        char hex[2 * DIGEST_BYTES + 1];
        digest_hex(s->blake3, hex);
        text_cat(t, i ? ",{\"name\":" : "{\"name\":");
        add_name(t, s->name, sizeof s->name);
        text_printf(t, ",\"offset\":%llu,\"bytes\":%llu,\"blake3\":\"%s\"}",
                    (unsigned long long)rt_file_offset(x->file, s), (unsigned long long)s->bytes,
                    hex);
    }
    text_cat(t, "]");
}

static void json_meta(const rt_meta *m, text *t) {
    text_cat(t, "\"model\":{\"name\":");
    add_name(t, m->name, sizeof m->name);
    text_cat(t, ",\"type\":");
    add_name(t, m->model_type, sizeof m->model_type);
    text_cat(t, ",\"quant\":");
    add_name(t, m->quant, sizeof m->quant);
    text_printf(t,
                ",\"layers\":%u,\"hidden\":%u,\"ffn\":%u,\"heads\":%u,\"kv_heads\":%u,"
                "\"head_dim\":%u,\"vocab\":%u,\"max_seq_tok\":%u,\"model_max_tok\":%u,"
                "\"max_batch\":%u,\"kv_cache_dtype\":\"%s\",\"bos\":%d,\"stop\":[",
                m->n_layers, m->hidden, m->ffn, m->n_heads, m->n_kv_heads, m->head_dim, m->vocab,
                m->max_seq_tok, m->model_max_tok, m->max_batch, m->kv_dtype ? "f32" : "bf16",
                m->bos);
    for (uint32_t i = 0; i < m->n_stops && i < RT_MAX_STOPS; i++)
        text_printf(t, "%s%d", i ? "," : "", m->stop[i]);
    text_printf(t,
                "],\"do_sample\":%s,\"top_k\":%u,\"temperature\":", m->do_sample ? "true" : "false",
                m->top_k);
    const float settings[] = {m->temperature, m->top_p, m->min_p, m->repetition_penalty};
    static const char *const BEHIND[] = {
        ",\"top_p\":", ",\"min_p\":", ",\"repetition_penalty\":", "}"};
    for (size_t i = 0; i < COUNT_OF(settings); i++) {
        if (settings[i] - settings[i] == 0) text_f32(t, settings[i]);
        else text_cat(t, "null"); /* not finite */
        text_cat(t, BEHIND[i]);
    }
}

/* The value of a member of the settings, as it stands there; "[]" where it is missing.  The text
 * has passed the scan of json_scan, so that brackets match. */
static str member(str all, const char *key) {
    const char *at = memmem(all.at, all.n, key, strlen(key));
    if (!at) return STR("[]");
    at += strlen(key);
    const char *end = all.at + all.n;
    int depth = 0;
    for (const char *p = at; p < end; p++) {
        depth += *p == '[' || *p == '{';
        depth -= *p == ']' || *p == '}';
        if (depth == 0) return (str){at, (size_t)(p + 1 - at)};
    }
    return STR("[]");
}

static bool print_json(inspected *x) {
    const memory_use m = memory_of(x);
    text t = {.mem = x->mem};
    text_cat(&t, "{\"file\":");
    app_json_string(&t, str_of(x->path));
    text_cat(&t, ",\"version\":");
    add_name(&t, x->file->header.version, sizeof x->file->header.version);
    text_printf(&t, ",\"abi\":%u,\"bytes\":%llu,\"checked\":%s,", x->file->header.abi,
                (unsigned long long)x->file->n_bytes, x->o->check.v ? "true" : "false");
    json_meta(&x->meta, &t);
    text_cat(&t, ",\"config\":");
    text_add(&t, x->config);
    text_cat(&t, ",\"options\":");
    text_add(&t, x->settings);
    text_cat(&t, ",\"targets\":");
    text_add(&t, member(x->settings, "\"targets\":"));
    text_cat(&t, ",\"gpu\":[],");
    json_sections(x, &t);
    text_printf(&t, ",\"plan\":{\"launches\":%u,\"kernels\":%u,\"max_step_tok\":%u}",
                x->plan.n_launches, x->plan.n_kernels, x->plan.max_tokens);
    text_printf(&t,
                ",\"memory\":{\"weights\":%llu,\"arena\":%llu,\"scratch_per_thread\":%llu,"
                "\"kv_block\":%llu,\"kv_full_sequence\":%llu}}\n",
                (unsigned long long)m.weights, (unsigned long long)m.arena,
                (unsigned long long)m.scratch_per_thread, (unsigned long long)m.kv_block,
                (unsigned long long)m.kv_full);
    return app_print(&t, x->d);
}

static void print_memory(const inspected *x, text *t) {
    const memory_use m = memory_of(x);
    text_printf(t, "\nmemory\n");
    text_printf(t, "  %10.1f MiB  weights, mapped from the file and shared between processes\n",
                (double)m.weights / 0x1p20);
    text_printf(t, "  %10.1f MiB  step of %u tokens\n", (double)m.arena / 0x1p20,
                x->plan.max_tokens);
    text_printf(t, "  %10.1f MiB  each thread\n", (double)m.scratch_per_thread / 0x1p20);
    text_printf(t, "  %10.1f MiB  keys and values of each %d tokens of a sequence\n",
                (double)m.kv_block / 0x1p20, RT_KV_BLOCK_TOK);
    text_printf(t, "  %10.1f MiB  keys and values of a sequence of %u tokens\n",
                (double)m.kv_full / 0x1p20, x->meta.max_seq_tok);
}

/* The zeros between sections have names of their own: pad0, pad1, ... */
static bool is_padding(const rt_section *s) { return !strncmp(s->name, "pad", 3); }

/* A string of the file as add_name writes it, without the quotes. */
static void add_plain(const inspected *x, const cJSON *string, text *t) {
    text quoted = {.mem = x->mem};
    app_json_string(&quoted, str_of(cJSON_IsString(string) ? string->valuestring : "?"));
    text_add(t, (str){quoted.buf.at + 1, quoted.buf.n - 2});
}

/* [{"triple": "...", "cpus": ["...", ...]}, ...], a line for each target. */
static bool text_targets(const inspected *x, text *t) {
    json j;
    if (!json_parse(x->settings, x->path, x->mem, x->d, &j)) return false;
    const cJSON *target, *cpu;
    cJSON_ArrayForEach(target, json_member(j.root, "targets")) {
        text_cat(t, "code for ");
        add_plain(x, json_member(target, "triple"), t);
        const char *between = ": ";
        cJSON_ArrayForEach(cpu, json_member(target, "cpus")) {
            text_cat(t, between);
            add_plain(x, cpu, t);
            between = ", ";
        }
        text_cat(t, "\n");
    }
    json_free(&j);
    return true;
}

static bool print_text(inspected *x) {
    const rt_meta *m = &x->meta;
    const rt_header *h = &x->file->header;
    text t = {.mem = x->mem}, name = {.mem = x->mem};
    add_name(&name, m->name, sizeof m->name);
    text_printf(&t, "%s: artifact of p4c %.32s, %llu bytes%s\n", x->path, h->version,
                (unsigned long long)x->file->n_bytes,
                x->o->check.v ? ", every byte is as written" : "");
    text_printf(&t, "model %s (%.32s), %.32s, KV cache %s\n", name.buf.at, m->model_type, m->quant,
                m->kv_dtype ? "f32" : "bf16");
    text_printf(&t,
                "  %u layers, hidden %u, ffn %u, heads %u:%u x %u, vocabulary %u\n"
                "  sequences of at most %u tokens (the model allows %u), %u at once\n"
                "  end tokens",
                m->n_layers, m->hidden, m->ffn, m->n_heads, m->n_kv_heads, m->head_dim, m->vocab,
                m->max_seq_tok, m->model_max_tok, m->max_batch);
    for (uint32_t i = 0; i < m->n_stops && i < RT_MAX_STOPS; i++)
        text_printf(&t, " %d", m->stop[i]);
    text_printf(&t, "\nplan %u steps, %u kernels\n", x->plan.n_launches, x->plan.n_kernels);
    if (!text_targets(x, &t)) return false;
    text_printf(&t, "\n%-16s %14s %14s  %s\n", "section", "offset", "bytes", "blake3");
    for (uint32_t i = 0; i < h->n_sections; i++) {
        const rt_section *s = &h->section[i];
        if (!x->o->verbose.v && is_padding(s)) continue;
        char hex[2 * DIGEST_BYTES + 1];
        digest_hex(s->blake3, hex);
        text_printf(&t, "%-16.16s %14llu %14llu  %.16s\n", s->name,
                    (unsigned long long)rt_file_offset(x->file, s), (unsigned long long)s->bytes,
                    hex);
    }
    if (x->o->memory.v) print_memory(x, &t);
    return app_print(&t, x->d);
}

/* JSON that is not whole would break the output; damaged texts become null. */
static str whole_json(str s, arena *mem) {
    uint64_t at;
    return s.n && !json_scan(s, mem, &at) ? s : STR("null");
}

static bool inspect_artifact(inspected *x) {
    if (!read_artifact(x->path, x->mem, x->d, &x->file)) return false;
    bool ok = (!x->o->check.v || check(x)) && read_struct(x, "meta", &x->meta, sizeof x->meta) &&
              read_struct(x, "plan", &x->plan, sizeof x->plan) &&
              read_section(x->file, x->path, "config", x->mem, x->d, &x->config) &&
              read_section(x->file, x->path, "options", x->mem, x->d, &x->settings);
    if (ok) {
        x->config = whole_json(x->config, x->mem);
        x->settings = whole_json(x->settings, x->mem);
        ok = x->o->json.v ? print_json(x) : print_text(x);
    }
    close_artifact(x->file);
    return ok;
}

/* ---- a checkpoint's folder ---- */

static void add_shape(const st_tensor *s, text *t) {
    text_putc(t, '[');
    for (int i = 0; i < s->rank; i++) text_printf(t, "%s%lld", i ? "," : "", (long long)s->dim[i]);
    text_putc(t, ']');
}

static void checkpoint_json(const inspected *x, const fe_shards *s, uint64_t bytes, text *t) {
    text_cat(t, "{\"file\":");
    app_json_string(t, str_of(x->path));
    text_cat(t, ",\"config\":");
    text_add(t, whole_json(x->config, x->mem));
    text_printf(t, ",\"bytes\":%llu,\"tensors\":[", (unsigned long long)bytes);
    for (size_t i = 0; i < s->n_tensors; i++) {
        const fe_tensor *f = &s->tensor[i];
        text_cat(t, i ? ",{\"name\":" : "{\"name\":");
        app_json_string(t, str_of(f->st->name));
        text_cat(t, ",\"dtype\":");
        app_json_string(t, str_of(f->st->dtype_name));
        text_cat(t, ",\"shape\":");
        add_shape(f->st, t);
        text_printf(t, ",\"bytes\":%llu,\"file\":", (unsigned long long)f->range.bytes);
        app_json_string(t, str_of(path_base(f->path)));
        text_cat(t, "}");
    }
    text_cat(t, "]}\n");
}

static void checkpoint_text(const inspected *x, const fe_shards *s, const model_config *m,
                            uint64_t bytes, text *t) {
    text_printf(t, "%s: checkpoint of %s, %zu tensors, %llu bytes\n", x->path, m->model_type,
                s->n_tensors, (unsigned long long)bytes);
    text_printf(
        t, "  %lld layers, hidden %lld, ffn %lld, heads %lld:%lld x %lld, vocabulary %lld\n",
        (long long)m->num_hidden_layers, (long long)m->hidden_size, (long long)m->intermediate_size,
        (long long)m->num_attention_heads, (long long)m->num_key_value_heads,
        (long long)m->head_dim, (long long)m->vocab_size);
    text_printf(t, "  at most %lld tokens; %s%s\n", (long long)m->max_position_embeddings,
                m->quant_group ? "packed int4 weights" : "plain weights",
                m->tied ? "; the head is the embedding" : "");
    if (x->o->memory.v) text_printf(t, "  weights %.1f MiB as stored\n", (double)bytes / 0x1p20);
    if (!x->o->verbose.v) return;
    for (size_t i = 0; i < s->n_tensors; i++) {
        const st_tensor *f = s->tensor[i].st;
        text name = {.mem = x->mem};
        app_json_string(&name, str_of(f->name));
        text_printf(t, "%-60s %-5s ", name.buf.at, f->dtype_name);
        add_shape(f, t);
        text_putc(t, '\n');
    }
}

static bool inspect_checkpoint(inspected *x) {
    model_config m;
    if (x->o->check.v)
        return diag_error(x->d, DIAG_OPTION_CONFLICT, (diag_loc){.file = x->path},
                          "a checkpoint has no checksums; --check is for artifacts");
    if (!fe_read_config(x->path, x->mem, x->d, &m) ||
        !file_read(path_join(x->mem, x->path, "config.json"), 4 << 20, x->mem, x->d, &x->config))
        return false;
    fe_shards *s = fe_open_shards(x->path, x->mem, x->d);
    if (!s) return false;
    uint64_t bytes = 0;
    for (size_t i = 0; i < s->n_tensors; i++) bytes += s->tensor[i].range.bytes;
    text t = {.mem = x->mem};
    if (x->o->json.v) checkpoint_json(x, s, bytes, &t);
    else checkpoint_text(x, s, &m, bytes, &t);
    fe_close_shards(s);
    return app_print(&t, x->d);
}

int cmd_inspect(const options *o, arena *mem, diag *d) {
    inspected x = {.o = o, .mem = mem, .d = d, .path = o->operand[0]};
    struct stat st;
    const bool is_dir = stat(x.path, &st) == 0 && S_ISDIR(st.st_mode);
    return (is_dir ? inspect_checkpoint(&x) : inspect_artifact(&x)) ? EXIT_DONE : EXIT_BUG;
}
