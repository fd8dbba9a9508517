/* run_main.c - `run`: prompt in, new text out. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/app.h"
#include "app/machine.h"
#include "app/progress.h"
#include "app/run.h"

enum { MAX_PROMPT_BYTES = 256 << 20 };

/* ---- the prompt ---- */

static bool read_failed(const char *path, diag *d) {
    return diag_error(d, DIAG_INPUT_READ, (diag_loc){.file = path}, "cannot be read (%s)",
                      strerror(errno));
}

bool app_read_text(const char *path, arena *mem, diag *d, str *out) {
    const bool is_stdin = !strcmp(path, "-");
    const char *name = is_stdin ? "stdin" : path;
    const int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return read_failed(name, d);
    text all = {.mem = mem};
    char piece[65536];
    ssize_t n;
    while ((n = read(fd, piece, sizeof piece)) != 0 && all.buf.n <= MAX_PROMPT_BYTES) {
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) break;
        text_add(&all, (str){piece, (size_t)n});
    }
    const int error = errno;
    if (!is_stdin) close(fd);
    errno = error;
    if (n < 0) return read_failed(name, d);
    if (all.buf.n > MAX_PROMPT_BYTES)
        return diag_error(d, DIAG_INPUT_READ, (diag_loc){.file = name}, "more than %d bytes",
                          MAX_PROMPT_BYTES);
    *out = text_str(&all);
    /* the newline that editors and echo leave behind is not part of a prompt */
    if (out->n && out->at[out->n - 1] == '\n') out->n--;
    return true;
}

typedef enum prompt_kind { PROMPT_TEXT, PROMPT_IDS, PROMPT_INTERACTIVE } prompt_kind;

static bool find_prompt(const app *a, prompt_kind *kind, str *out) {
    const options *o = a->o;
    const int place = o->is_artifact ? 0 : 1; /* of the operand "-" */
    const bool dash = o->n_operands > place;
    if (dash && strcmp(o->operand[place], "-") != 0)
        return options_unexpected(o, o->operand[place], a->d);
    if (dash && (o->prompt.given || o->file.given || o->ids.given || o->interactive.v))
        return diag_error(a->d, DIAG_OPTION_CONFLICT, (diag_loc){0},
                          "'-' does not go together with another prompt");
    *kind = o->ids.given ? PROMPT_IDS : PROMPT_TEXT;
    if (o->ids.given) return true;
    if (o->prompt.given) return *out = str_of(o->prompt.v), true;
    if (o->file.given) return app_read_text(o->file.v, a->mem, a->d, out);
    if (!dash && (o->interactive.v || isatty(STDIN_FILENO))) {
        *kind = PROMPT_INTERACTIVE;
        if (!o->raw.v && !o->logits_out.given && !o->json.v) return true;
        return diag_error(a->d, DIAG_PROMPT_MISSING, (diag_loc){0}, "there is no prompt");
    }
    if (!app_read_text("-", a->mem, a->d, out)) return false;
    if (out->n) return true;
    return diag_error(a->d, DIAG_PROMPT_MISSING, (diag_loc){0},
                      "there is no prompt (stdin is empty)");
}

void app_add_message(text *list, const char *role, str content) {
    text_printf(list, "%s{\"role\":\"%s\",\"content\":", list->buf.n > 1 ? "," : "", role);
    app_json_string(list, content);
    text_cat(list, "}");
}

/* Ids of the prompt, in the arena. */
static bool encode_prompt(run *r, prompt_kind kind, str prompt) {
    const options *o = r->a->o;
    p4c_error error = {0};
    if (kind == PROMPT_IDS) {
        r->n_ids = o->ids.n;
        r->ids = arena_array(r->a->mem, int32_t, o->ids.n);
        for (int i = 0; i < o->ids.n; i++) r->ids[i] = (int32_t)o->ids.v[i];
        return true;
    }
    const bool chat = o->chat.v || o->system.given || (r->info.has_template && !o->raw.v);
    if (chat) {
        text messages = {.mem = r->a->mem};
        text_putc(&messages, '[');
        if (o->system.given) app_add_message(&messages, "system", str_of(o->system.v));
        app_add_message(&messages, "user", prompt);
        text_putc(&messages, ']');
        return run_encode_chat(r, text_str(&messages));
    }
    int32_t *ids;
    size_t n;
    if (p4c_tokenize(r->model, prompt.at, prompt.n, P4C_PARSE_SPECIAL, &ids, &n, &error) != P4C_OK)
        return app_fail(r->a, &error);
    run_take_ids(r, ids, n);
    if (r->n_ids) return true;
    return diag_error(r->a->d, DIAG_PROMPT_MISSING, (diag_loc){0}, "the prompt is empty");
}

void run_take_ids(run *r, int32_t *ids, size_t n) {
    r->n_ids = (int64_t)n;
    r->ids = arena_array(r->a->mem, int32_t, n ? n : 1);
    if (n) memcpy(r->ids, ids, n * sizeof *ids);
    p4c_free(r->model, ids);
}

bool run_encode_chat(run *r, str messages) {
    p4c_error error = {0};
    p4c_chat chat;
    if (p4c_render_chat(r->model, messages.at, messages.n, &chat, &error) != P4C_OK)
        return app_fail(r->a, &error);
    if (r->a->o->verbose.v) fprintf(stderr, "%.*s\n", (int)chat.n_bytes, chat.text);
    p4c_free(r->model, chat.text);
    run_take_ids(r, chat.ids, chat.n_ids);
    return true;
}

/* ---- settings ---- */

static uint64_t random_seed(void) {
    /* differs from call to call; nothing secret hangs on it.  Steele et al., SplitMix, 2014 */
    uint64_t x = machine_ns() ^ ((uint64_t)getpid() << 40) ^ (uint64_t)(uintptr_t)&x;
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return (x ^ x >> 31) >> 16; /* short enough to be typed again */
}

static bool set_sampling(run *r) {
    const options *o = r->a->o;
    p4c_sampling s;
    p4c_default_sampling(r->model, &s);
    const bool asks =
        (o->temp.given && o->temp.v > 0) || o->top_k.given || o->top_p.given || o->min_p.given;
    if (asks) s.do_sample = 1;
    if (o->greedy.v || (o->temp.given && o->temp.v == 0)) s.do_sample = 0;
    if (o->temp.given && o->temp.v > 0) s.temperature = (float)o->temp.v;
    if (o->top_k.given) s.top_k = (uint32_t)o->top_k.v;
    if (o->top_p.given) s.top_p = o->top_p.v > 0 ? (float)o->top_p.v : 1e-30f; /* 0: the best one */
    if (o->min_p.given) s.min_p = (float)o->min_p.v;
    if (o->repeat_penalty.given) s.repetition_penalty = (float)o->repeat_penalty.v;
    s.seed = o->seed.given && o->seed.v >= 0 ? (uint64_t)o->seed.v : random_seed();
    r->sampling = s;
    p4c_error error = {0};
    return p4c_set_sampling(r->session, &s, &error) == P4C_OK || app_fail(r->a, &error);
}

/* ---- evaluation ---- */

/* Writes the logits of every prompt position, a few rows at a time; afterwards the session holds
 * all of the prompt but its last token. */
static bool write_logits(run *r) {
    const options *o = r->a->o;
    logits_file *f = logits_create(o->logits_out.v, r->n_ids, r->info.vocab, r->a->mem, r->a->d);
    if (!f) return false;
    const int64_t chunk = min_i64(r->info.max_step_tok, 64);
    float *rows = arena_array(r->a->mem, float, chunk *(int64_t)r->info.vocab);
    progress bar;
    progress_start(&bar, "prompt", (uint64_t)r->n_ids, PROGRESS_COUNT,
                   o->progress.v && !o->quiet.v);
    bool ok = true;
    for (int64_t i = 0; ok && i < r->n_ids; i += chunk) {
        const int64_t n = min_i64(chunk, r->n_ids - i);
        const p4c_item item = {.session = r->session,
                               .ids = r->ids + i,
                               .n_ids = n,
                               .logits = P4C_LOGITS_ALL,
                               .out = rows,
                               .n_out = n * (int64_t)r->info.vocab,
                               .expected_total = r->n_ids};
        p4c_error error = {0};
        if (p4c_eval(r->model, &item, 1, &error) != P4C_OK) ok = run_failed(r, &error);
        else ok = logits_add(f, rows, n);
        progress_set(&bar, (uint64_t)(i + n));
    }
    progress_end(&bar);
    p4c_error error = {0};
    if (ok && p4c_session_truncate(r->session, r->n_ids - 1, &error) != P4C_OK)
        ok = app_fail(r->a, &error);
    if (!ok) {
        logits_abandon(f);
        return false;
    }
    r->n_done = r->n_ids - 1;
    return logits_finish(f);
}

bool run_feed_prompt(run *r) {
    const options *o = r->a->o;
    const int64_t chunk = r->info.max_step_tok;
    progress bar;
    progress_start(&bar, "prompt", (uint64_t)r->n_ids, PROGRESS_COUNT,
                   o->progress.v && !o->quiet.v);
    bool ok = true;
    while (ok && r->n_ids - r->n_done > chunk) {
        const p4c_item item = {.session = r->session,
                               .ids = r->ids + r->n_done,
                               .n_ids = chunk,
                               .expected_total = r->n_ids};
        p4c_error error = {0};
        if (p4c_eval(r->model, &item, 1, &error) != P4C_OK) ok = run_failed(r, &error);
        r->n_done += chunk;
        progress_set(&bar, (uint64_t)r->n_done);
    }
    progress_end(&bar);
    return ok;
}

bool run_failed(run *r, const p4c_error *error) {
    if (error->status == P4C_ERR_CANCELLED && (r->signal = app_take_signal())) return false;
    return app_fail(r->a, error);
}

/* What a new piece of text goes to. */
static int on_piece(void *context, const p4c_piece *piece) {
    run *r = context;
    if (piece->id >= 0) vec_push(r->a->mem, &r->new_ids, piece->id);
    if (!r->info.has_tokenizer && piece->id >= 0 && !r->a->o->json.v) {
        /* ids in, ids out */
        char number[16];
        const int n =
            snprintf(number, sizeof number, "%s%d", r->new_ids.n > 1 ? "," : "", piece->id);
        r->ends_line = false;
        r->written = app_write(number, (size_t)n);
        if (r->written < 0) r->write_errno = errno;
        return r->written != 1;
    }
    if (r->keep_text) text_add(&r->text, (str){piece->text, piece->n_bytes});
    if (r->a->o->json.v || !piece->n_bytes) return 0;
    r->ends_line = piece->text[piece->n_bytes - 1] == '\n';
    r->written = app_write(piece->text, piece->n_bytes);
    if (r->written < 0) r->write_errno = errno;
    return r->written != 1;
}

bool run_generate(run *r) {
    const options *o = r->a->o;
    p4c_generate_params p = p4c_default_generate_params();
    p.ignore_eos = o->ignore_eos.v;
    p.max_tokens = o->max_tokens.given ? o->max_tokens.v : -1;
    p.stop = o->stop.v;
    p.n_stop = (size_t)o->stop.n;
    p.on_piece = on_piece;
    p.context = r;
    r->written = 1;
    r->ends_line = true;
    p4c_error error = {0};
    const uint64_t begin = machine_ns();
    if (!run_feed_prompt(r)) return false;
    const uint64_t fed = machine_ns();
    const p4c_status status = p4c_generate(r->session, r->ids + r->n_done, r->n_ids - r->n_done, &p,
                                           &r->generated, &error);
    r->generated.n_prompt = r->n_ids;
    r->generated.prompt_ns += fed - begin;
    if (r->written < 0) {
        errno = r->write_errno;
        return diag_error(r->a->d, DIAG_OUTPUT_WRITE, (diag_loc){0}, "cannot write to stdout (%s)",
                          strerror(errno));
    }
    if (!o->json.v && !r->ends_line && isatty(STDOUT_FILENO)) app_write("\n", 1);
    return status == P4C_OK || run_failed(r, &error);
}

/* ---- the end ---- */

static double per_second(int64_t n, uint64_t ns) { return ns ? (double)n * 1e9 / (double)ns : 0; }

/* Evaluations between the first new token and the end. */
static int64_t n_steps(const p4c_generated *g) {
    const int64_t n = g->n_new - (g->finish != P4C_FINISH_STOP_TOKEN);
    return n > 0 ? n : 0;
}

static const char *const FINISH[] = {
    [P4C_FINISH_STOP_TOKEN] = "stop_token", [P4C_FINISH_STOP_STRING] = "stop_string",
    [P4C_FINISH_MAX_TOKENS] = "max_tokens", [P4C_FINISH_CAPACITY] = "capacity",
    [P4C_FINISH_CALLBACK] = "closed",
};

static void print_stats(const run *r) {
    const p4c_generated *g = &r->generated;
    p4c_stats s = {.size = sizeof s};
    p4c_get_stats(r->model, &s, NULL);
    fprintf(stderr, "prompt     %7lld tokens %9.3f s %9.1f tok/s\n", (long long)g->n_prompt,
            (double)g->prompt_ns * 1e-9, per_second(g->n_prompt, g->prompt_ns));
    fprintf(stderr, "generated  %7lld tokens %9.3f s %9.1f tok/s, %s\n", (long long)g->n_new,
            (double)g->new_ns * 1e-9, per_second(n_steps(g), g->new_ns), FINISH[g->finish]);
    fprintf(stderr, "load       %9.3f s; %u threads, %s, %s\n", (double)r->load_ns * 1e-9,
            r->info.n_threads, r->info.cpu, r->info.quant);
    if (r->sampling.do_sample)
        fprintf(stderr, "seed       %llu\n", (unsigned long long)r->sampling.seed);
    fprintf(stderr, "memory     %.1f MiB anonymous, %.1f MiB resident at most; KV %.1f MiB\n",
            (double)machine_anon_bytes() / 0x1p20, (double)machine_peak_bytes() / 0x1p20,
            (double)(s.kv_blocks_peak * r->info.kv_block_bytes) / 0x1p20);
}

static bool print_json(run *r) {
    const p4c_generated *g = &r->generated;
    text t = {.mem = r->a->mem};
    text_cat(&t, "{\"text\":");
    app_json_string(&t, text_str(&r->text));
    text_cat(&t, ",\"ids\":[");
    for (size_t i = 0; i < r->new_ids.n; i++)
        text_printf(&t, "%s%d", i ? "," : "", r->new_ids.at[i]);
    text_printf(&t,
                "],\"finish\":\"%s\",\"stop_id\":%d,\"n_prompt\":%lld,\"n_new\":%lld,"
                "\"prompt_ms\":%.3f,\"new_ms\":%.3f,\"prompt_tok_s\":%.2f,\"new_tok_s\":%.2f,",
                FINISH[g->finish], g->stop_id, (long long)g->n_prompt, (long long)g->n_new,
                (double)g->prompt_ns * 1e-6, (double)g->new_ns * 1e-6,
                per_second(g->n_prompt, g->prompt_ns), per_second(n_steps(g), g->new_ns));
    if (r->sampling.do_sample)
        text_printf(&t, "\"seed\":%llu,", (unsigned long long)r->sampling.seed);
    text_printf(&t, "\"load_ms\":%.3f,\"threads\":%u,\"cpu\":\"%s\"}\n", (double)r->load_ns * 1e-6,
                r->info.n_threads, r->info.cpu);
    return app_print(&t, r->a->d);
}

/* Refuses what cannot fit before any work is done. */
static bool check_length(const run *r) {
    const options *o = r->a->o;
    const bool none_new = o->max_tokens.given && o->max_tokens.v == 0;
    const int64_t room = (int64_t)r->info.max_seq_tok - !none_new;
    if (r->n_ids <= room) return true;
    return diag_error(r->a->d, DIAG_RUN_TOO_LONG, (diag_loc){.file = r->a->path},
                      "the prompt has %lld tokens, with room for %lld", (long long)r->n_ids,
                      (long long)room);
}

static bool run_once(run *r, prompt_kind kind, str prompt) {
    const options *o = r->a->o;
    const bool none_new = o->max_tokens.given && o->max_tokens.v == 0;
    if (!encode_prompt(r, kind, prompt) || !check_length(r)) return false;
    r->keep_text = o->json.v;
    if (o->logits_out.given && !write_logits(r)) return false;
    r->generated =
        (p4c_generated){.finish = P4C_FINISH_MAX_TOKENS, .stop_id = -1, .stop_string = -1};
    r->generated.n_prompt = r->n_ids;
    if (!(none_new && o->logits_out.given) && !run_generate(r)) return false;
    if (o->stats.v) {
        /* both may go to one file; on a terminal the text has got its newline */
        if (!r->ends_line && !isatty(STDOUT_FILENO)) fputc('\n', stderr);
        print_stats(r);
    }
    return !o->json.v || print_json(r);
}

int app_run(app *a) {
    run r = {.a = a, .text = {.mem = a->mem}};
    prompt_kind kind = PROMPT_TEXT;
    str prompt = {"", 0};
    if (!find_prompt(a, &kind, &prompt)) return EXIT_USAGE;
    const uint64_t begin = machine_ns();
    if (!app_open(a, &r.model, &r.info)) return EXIT_BAD_ARTIFACT;
    r.load_ns = machine_ns() - begin + a->load_ns;
    p4c_error error = {0};
    bool ok = p4c_session_open(r.model, &r.session, &error) == P4C_OK || app_fail(a, &error);
    if (ok) {
        app_watch_signals(r.session);
        ok = set_sampling(&r) &&
             (kind == PROMPT_INTERACTIVE ? run_chat(&r) : run_once(&r, kind, prompt));
        app_watch_signals(NULL);
    }
    p4c_session_close(r.session);
    p4c_close(r.model);
    return ok ? EXIT_DONE : r.signal ? r.signal : EXIT_BUG;
}
