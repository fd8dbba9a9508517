/* test_app.c - the program of `run` and `bench` on a made-up model: what it prints where, exit
 * statuses, signals.
 *
 * The model's tokens are bytes.  A chat renders as "<system|S><user|U>..."; generating gives the
 * prompt back in brackets, piece by piece.  Prompts that begin with "WAIT" go on until they are
 * cancelled, with "FILL" they write without end.
 */
#include "app/app.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/progress.h"
#include "tests/unit/unit.h"

enum { VOCAB = 300, MAX_SEQ = 64, STEP = 16 };

/* ---- the model ---- */

struct p4c_model {
    const p4c_api *api;
    p4c_open_params params;
};
struct p4c_session {
    const p4c_api *api;
    int32_t ids[MAX_SEQ];
    int64_t n;
    p4c_sampling sampling;
    volatile sig_atomic_t cancelled;
};

static const p4c_api API;

static p4c_status fail(p4c_error *error, p4c_status status, const char *what) {
    if (error) {
        error->status = status;
        snprintf(error->text, sizeof error->text, "%s", what);
    }
    return status;
}

static p4c_status fake_open(const p4c_open_params *p, p4c_model **m, p4c_error *e) {
    if (p->kv_bytes == 1) return fail(e, P4C_ERR_NO_MEMORY, "no memory for the KV blocks");
    if (p->cpu && strcmp(p->cpu, "fake") != 0) return fail(e, P4C_ERR_ARGUMENT, "no such variant");
    *m = calloc(1, sizeof **m);
    **m = (p4c_model){&API, *p};
    return P4C_OK;
}
static void fake_close(p4c_model *m) { free(m); }
static p4c_status fake_info(const p4c_model *m, p4c_info *i, p4c_error *e) {
    (void)e;
    *i = (p4c_info){.size = i->size,
                    .n_layers = 1,
                    .n_heads = 1,
                    .head_dim = 4,
                    .vocab = VOCAB,
                    .max_seq_tok = MAX_SEQ,
                    .max_batch = 4,
                    .max_step_tok = STEP,
                    .max_step_rows = STEP,
                    .has_tokenizer = 1,
                    .has_template = 1,
                    .n_threads = m->params.n_threads ? m->params.n_threads : 2,
                    .kv_block_bytes = 256 * 16,
                    .weight_bytes_per_token = 1 << 20,
                    .mac_per_token = 1 << 20,
                    .name = "fake",
                    .quant = "f32",
                    .cpu = "fake"};
    return P4C_OK;
}
static p4c_status fake_section(const p4c_model *m, const char *name, const void **at, size_t *n,
                               p4c_error *e) {
    (void)m;
    static const char IR[] = "%7 = linear %1, %2 : f32[T,4]\n  %71 = add %7, %7 : f32[T,4]\n";
    if (strcmp(name, "ir") != 0) return fail(e, P4C_ERR_NOT_THERE, "no such section");
    *at = IR;
    *n = sizeof IR - 1;
    return P4C_OK;
}
static void fake_free(const p4c_model *m, void *p) {
    (void)m;
    free(p);
}
static p4c_status fake_tokenize(const p4c_model *m, const char *s, size_t n, unsigned flags,
                                int32_t **ids, size_t *n_ids, p4c_error *e) {
    (void)m, (void)e, (void)flags;
    *ids = malloc((n + 1) * sizeof **ids);
    for (size_t i = 0; i < n; i++) (*ids)[i] = (unsigned char)s[i];
    *n_ids = n;
    return P4C_OK;
}
/* The JSON stands in the chat as it is: what the program built can be seen in the answer. */
static p4c_status fake_render(const p4c_model *m, const char *s, size_t n, p4c_chat *chat,
                              p4c_error *e) {
    chat->text = malloc(n + 1);
    memcpy(chat->text, s, n);
    chat->text[n] = 0;
    chat->n_bytes = n;
    return fake_tokenize(m, s, n, 0, &chat->ids, &chat->n_ids, e);
}
static p4c_status fake_session_open(p4c_model *m, p4c_session **s, p4c_error *e) {
    (void)m, (void)e;
    *s = calloc(1, sizeof **s);
    (*s)->api = &API;
    return P4C_OK;
}
static p4c_status fake_truncate(p4c_session *s, int64_t n, p4c_error *e) {
    if (n > s->n) return fail(e, P4C_ERR_ARGUMENT, "truncate");
    s->n = n;
    return P4C_OK;
}
static const int32_t *fake_ids(const p4c_session *s, int64_t *n) {
    if (n) *n = s->n;
    return s->ids;
}
static void fake_session_close(p4c_session *s) { free(s); }
static void fake_cancel(p4c_session *s) { s->cancelled = 1; }
static void fake_clear(p4c_session *s) { s->cancelled = 0; }
static p4c_status fake_eval(p4c_model *m, const p4c_item *items, size_t n, p4c_error *e) {
    (void)m;
    for (size_t i = 0; i < n; i++) {
        p4c_session *s = items[i].session;
        if (s->n + items[i].n_ids > MAX_SEQ) return fail(e, P4C_ERR_TOO_LONG, "too long");
        const bool all = items[i].logits == P4C_LOGITS_ALL;
        for (int64_t t = 0; t < items[i].n_ids; t++) {
            if (items[i].ids[t] < 0 || items[i].ids[t] >= VOCAB)
                return fail(e, P4C_ERR_ARGUMENT, "no such token");
            s->ids[s->n++] = items[i].ids[t];
            if (all) /* row p: its first logit is the position, the second the token */
                for (int v = 0; v < VOCAB; v++)
                    items[i].out[t * VOCAB + v] =
                        v == 0 ? (float)(s->n - 1) : (float)items[i].ids[t];
        }
    }
    return P4C_OK;
}
static p4c_status fake_default_sampling(const p4c_model *m, p4c_sampling *s) {
    (void)m;
    *s = (p4c_sampling){.temperature = 1, .top_p = 1, .repetition_penalty = 1};
    return P4C_OK;
}
static p4c_status fake_set_sampling(p4c_session *s, const p4c_sampling *x, p4c_error *e) {
    (void)e;
    s->sampling = *x;
    return P4C_OK;
}
static p4c_status fake_sample(p4c_session *s, const float *l, int64_t n, int32_t *id,
                              p4c_error *e) {
    (void)s, (void)l, (void)n, (void)e;
    *id = 1;
    return P4C_OK;
}
static p4c_status say(const p4c_generate_params *p, const char *s, size_t n, int32_t id,
                      bool *stop) {
    const p4c_piece piece = {id, s, n};
    *stop = p->on_piece && p->on_piece(p->context, &piece);
    return P4C_OK;
}
static p4c_status fake_generate(p4c_session *s, const int32_t *ids, int64_t n,
                                const p4c_generate_params *p, p4c_generated *g, p4c_error *e) {
    p4c_item item = {.session = s, .ids = ids, .n_ids = n};
    const p4c_status status = fake_eval(NULL, &item, 1, e);
    if (status != P4C_OK) return status;
    *g = (p4c_generated){.n_prompt = n,
                         .n_new = 2,
                         .prompt_ns = 1000,
                         .new_ns = 1000,
                         .stop_id = -1,
                         .stop_string = -1,
                         .finish = P4C_FINISH_MAX_TOKENS};
    char echo[MAX_SEQ + 64];
    size_t k = 0;
    for (int64_t i = 0; i < s->n; i++) echo[k++] = (char)s->ids[i];
    bool stop = false;
    say(p, "[", 1, 91, &stop);
    if (k > 4 && memmem(echo, k, "WAIT", 4)) {
        while (!s->cancelled) sched_yield();
        s->cancelled = 0;
        return fail(e, P4C_ERR_CANCELLED, "cancelled");
    }
    while (!stop && memmem(echo, k, "FILL", 4)) say(p, echo, k, 1, &stop);
    if (!stop) say(p, echo, k, 1, &stop);
    k = (size_t)snprintf(echo, sizeof echo, "|%s max %lld stops %zu eos %u]",
                         s->sampling.do_sample ? "drawn" : "greedy", (long long)p->max_tokens,
                         p->n_stop, p->ignore_eos);
    if (!stop) say(p, echo, k, -1, &stop);
    return P4C_OK;
}
static p4c_status fake_stats(const p4c_model *m, p4c_stats *s, p4c_error *e) {
    (void)m, (void)s, (void)e;
    return P4C_OK;
}
static p4c_watch_fn *watching;
static void *watch_context;
static p4c_status fake_watch(p4c_model *m, p4c_watch_fn *w, void *context, p4c_error *e) {
    (void)m, (void)e;
    if (!w && watching) {
        const p4c_launch a = {.op = 7, .kernel = 1, .ns = 100},
                         b = {.op = 71, .kernel = 2, .ns = 300};
        watching(watch_context, &a);
        watching(watch_context, &b);
        watching(watch_context, &a);
    }
    watching = w;
    watch_context = context;
    return P4C_OK;
}

static const p4c_api API = {
    .version = P4C_API_VERSION,
    .size = sizeof API,
    .open = fake_open,
    .close = fake_close,
    .get_info = fake_info,
    .get_section = fake_section,
    .free = fake_free,
    .tokenize = fake_tokenize,
    .render_chat = fake_render,
    .session_open = fake_session_open,
    .session_truncate = fake_truncate,
    .session_ids = fake_ids,
    .session_close = fake_session_close,
    .cancel = fake_cancel,
    .clear_cancel = fake_clear,
    .eval = fake_eval,
    .default_sampling = fake_default_sampling,
    .set_sampling = fake_set_sampling,
    .sample = fake_sample,
    .generate = fake_generate,
    .get_stats = fake_stats,
    .set_watch = fake_watch,
};

/* ---- running it ---- */

typedef struct outcome {
    char out[1 << 16], err[1 << 14];
    int status; /* exit status, 128 + signal */
} outcome;

typedef enum how { PLAIN, INTERRUPT, READER_GONE, DISK_FULL } how;

static void collect(int fd, char *to, size_t n) {
    size_t k = 0;
    ssize_t got;
    while (k + 1 < n && (got = read(fd, to + k, n - 1 - k)) > 0) k += (size_t)got;
    to[k] = 0;
}

static const outcome *run_as(how h, const char *input, int argc, char **argv) {
    static outcome o;
    int in[2], out[2], err[2];
    if (pipe(in) || pipe(out) || pipe(err)) abort();
    fflush(NULL);
    const pid_t pid = fork();
    if (pid == 0) {
        dup2(in[0], 0);
        dup2(h == DISK_FULL ? open("/dev/full", O_WRONLY) : out[1], 1);
        dup2(err[1], 2);
        for (int i = 0; i < 2; i++) close(in[i]), close(out[i]), close(err[i]);
        exit(app_main(&API, argc, argv));
    }
    close(in[0]), close(out[1]), close(err[1]);
    if (write(in[1], input, strlen(input)) < 0) abort();
    close(in[1]);
    char first;
    if (h == INTERRUPT && read(out[0], &first, 1) == 1) kill(pid, SIGINT);
    if (h == READER_GONE) close(out[0]);
    else collect(out[0], o.out, sizeof o.out);
    collect(err[0], o.err, sizeof o.err);
    if (h != READER_GONE) close(out[0]);
    close(err[0]);
    int status;
    waitpid(pid, &status, 0);
    o.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return &o;
}

static const outcome *run(how h, const char *input, const char *words) {
    static char copy[512];
    char *argv[32] = {"./fake.so"};
    int argc = 1;
    snprintf(copy, sizeof copy, "%s", words);
    for (char *w = strtok(copy, " "); w; w = strtok(NULL, " ")) argv[argc++] = w;
    return run_as(h, input, argc, argv);
}

static void gives(const char *input, const char *words, const char *want_out) {
    const outcome *o = run(PLAIN, input, words);
    CU_ASSERT_EQUAL(o->status, 0);
    CU_ASSERT_STRING_EQUAL(o->out, want_out);
    CU_ASSERT_STRING_EQUAL(o->err, "");
    if (strcmp(o->out, want_out)) printf("  '%s' gives '%s' '%s'\n", words, o->out, o->err);
}

static void fails(const char *input, const char *words, int status, const char *in_err) {
    const outcome *o = run(PLAIN, input, words);
    CU_ASSERT_EQUAL(o->status, status);
    CU_ASSERT_STRING_EQUAL(o->out, "");
    CU_ASSERT_PTR_NOT_NULL(strstr(o->err, in_err));
    if (!strstr(o->err, in_err) || o->status != status)
        printf("  '%s' gives %d '%s'\n", words, o->status, o->err);
}

/* ---- tests ---- */

static void test_prompts(void) {
    gives("", "--raw -p hello", "[hello|greedy max -1 stops 0 eos 0]");
    gives("from stdin\n", "--raw -", "[from stdin|greedy max -1 stops 0 eos 0]");
    gives("two\nlines\n\n", "--raw", "[two\nlines\n|greedy max -1 stops 0 eos 0]");
    gives("", "--ids 104,105", "[hi|greedy max -1 stops 0 eos 0]");
    gives("", "-p a\"b -n 5",
          "[[{\"role\":\"user\",\"content\":\"a\\\"b\"}]|greedy max 5 stops 0 eos 0]");
    gives("", "--system S -p x",
          "[[{\"role\":\"system\",\"content\":\"S\"},{\"role\":\"user\",\"content\":"
          "\"x\"}]|greedy max -1 stops 0 eos 0]");
    fails("", "", 2, "there is no prompt");
    fails("", "--raw -f /nonexistent/file", 3, "/nonexistent/file: cannot be read");
    fails("", "x", 2, "unexpected argument 'x'");
    fails("", "-p x -", 2, "'-' does not go together");
}

static void test_settings(void) {
    gives("", "--raw -p x --temp 0.5 --ignore-eos --stop a --stop b",
          "[x|drawn max -1 stops 2 eos 1]");
    gives("", "--raw -p x --temp 0", "[x|greedy max -1 stops 0 eos 0]");
    gives("", "--raw -p x --top-k 3", "[x|drawn max -1 stops 0 eos 0]");
    gives("", "--raw -p x --seed 3", "[x|greedy max -1 stops 0 eos 0]");
    const outcome *o = run(PLAIN, "", "--raw -p x --stats -t 7 --temp 1 --seed 42");
    CU_ASSERT_EQUAL(o->status, 0);
    CU_ASSERT_STRING_EQUAL(o->out, "[x|drawn max -1 stops 0 eos 0]");
    CU_ASSERT_PTR_NOT_NULL(strstr(o->err, "seed       42\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(o->err, "7 threads, fake, f32"));
    o = run(PLAIN, "", "--raw -p x --json -n 0");
    CU_ASSERT_EQUAL(o->status, 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(
        o->out,
        "{\"text\":\"[x|greedy max 0 stops 0 eos 0]\",\"ids\":[91,1],\"finish\":\"max_tokens\""));
}

static void test_errors(void) {
    fails("", "-p x --kv-bytes 1", 6, "./fake.so: no memory for the KV blocks [E0804]");
    setenv("P4C_CPU", "other", 1);
    fails("", "-p x", 2, "no such variant [E0801]");
    setenv("P4C_CPU", "fake", 1);
    gives("", "--raw -p x", "[x|greedy max -1 stops 0 eos 0]");
    setenv("P4C_CPU", "", 1);
    gives("", "--raw -p x", "[x|greedy max -1 stops 0 eos 0]");
    unsetenv("P4C_CPU");
    fails("", "--bogus", 2, "unknown option --bogus [E0700]");
    /* 64 tokens fit, one of them new */
    char words[256];
    snprintf(words, sizeof words, "--raw -p %064d", 1);
    fails("", words, 2, "the prompt has 64 tokens, with room for 63 [E0802]");
    snprintf(words, sizeof words, "--raw -p %063d", 1);
    CU_ASSERT_EQUAL(run(PLAIN, "", words)->status, 0);
    const outcome *o = run(DISK_FULL, "", "--raw -p x");
    CU_ASSERT_EQUAL(o->status, 6);
    CU_ASSERT_PTR_NOT_NULL(strstr(o->err, "cannot write to stdout"));
    o = run(DISK_FULL, "", "--help");
    CU_ASSERT_EQUAL(o->status, 6);
}

static void test_signals(void) {
    const outcome *o = run(INTERRUPT, "", "--raw -p WAITING");
    CU_ASSERT_EQUAL(o->status, 130);
    CU_ASSERT_STRING_EQUAL(o->err, "");
    o = run(READER_GONE, "", "--raw -p FILL");
    CU_ASSERT_EQUAL(o->status, 0);
    CU_ASSERT_STRING_EQUAL(o->err, "");
}

static void test_logits(void) {
    char path[] = "/tmp/p4c-test-logits-XXXXXX", words[128];
    const int fd = mkstemp(path);
    CU_ASSERT_FATAL(fd >= 0);
    close(fd);
    snprintf(words, sizeof words, "--ids 5,6,7 --logits-out %s", path);
    gives("", words, "[\5\6\7|greedy max -1 stops 0 eos 0]");
    FILE *f = fopen(path, "rb");
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    unsigned char n_bytes[8];
    char header[256] = "";
    static float rows[3 * VOCAB];
    CU_ASSERT_EQUAL(fread(n_bytes, 1, 8, f), 8);
    CU_ASSERT_EQUAL(n_bytes[0] % 8, 0);
    CU_ASSERT_EQUAL(fread(header, 1, n_bytes[0], f), n_bytes[0]);
    CU_ASSERT_PTR_NOT_NULL(strstr(
        header, "{\"logits\":{\"dtype\":\"F32\",\"shape\":[3,300],\"data_offsets\":[0,3600]}}"));
    CU_ASSERT_EQUAL(fread(rows, 1, sizeof rows, f), sizeof rows);
    CU_ASSERT_EQUAL(fgetc(f), EOF);
    fclose(f);
    for (int t = 0; t < 3; t++) {
        CU_ASSERT_EQUAL(rows[t * VOCAB], (float)t);
        CU_ASSERT_EQUAL(rows[t * VOCAB + 1], (float)(5 + t));
    }
    /* -n 0: logits alone */
    snprintf(words, sizeof words, "--ids 5,6,7 --logits-out %s -n 0", path);
    gives("", words, "");
    unlink(path);
    fails("", "--ids 5 --logits-out /nonexistent/x", 6, "/nonexistent/x: cannot create");
}

static void test_help(void) {
    const outcome *o = run(PLAIN, "", "--help");
    CU_ASSERT_EQUAL(o->status, 0);
    CU_ASSERT_EQUAL(strncmp(o->out, "usage: ./fake.so [-p TEXT | -f FILE | -] [options]", 50), 0);
    o = run(PLAIN, "", "bench --help");
    CU_ASSERT_EQUAL(strncmp(o->out, "usage: ./fake.so bench [options]", 32), 0);
    o = run(PLAIN, "", "--version");
    CU_ASSERT_STRING_EQUAL(o->out, "p4c " P4C_VERSION "\n");
}

static void test_bench(void) {
    const outcome *o = run(PLAIN, "", "bench -p 48 -n 4 -d 2 -b 1,3 -r 2 -t 1 --json --per-op");
    CU_ASSERT_EQUAL(o->status, 0);
    CU_ASSERT_STRING_EQUAL(o->err, "");
    static const char *const WANT[] = {
        "{\"machine\":{\"read_gb_s\":",
        "\"int8_gmac_s\":",
        "\"bf16_gmac_s\":",
        "\"load_ms\":",
        "\"first_token_ms\":",
        "\"peak_anon_bytes\":",
        "\"tests\":[{\"kind\":\"prompt\",\"tokens\":48,\"depth\":2,\"batch\":1,\"threads\":1,\"tok_"
        "s\":{\"min\":",
        "{\"kind\":\"generate\",\"tokens\":4,\"depth\":2,\"batch\":1,",
        "{\"kind\":\"generate\",\"tokens\":4,\"depth\":2,\"batch\":3,",
        /* f32, batch of 3: a third of the weights, and the keys of 2 + 4 / 2 positions */
        "\"bytes_per_token\":349589,",
        "\"limit\":",
        "\"ops\":[{\"kernel\":2,\"op\":71,\"name\":\"add\",\"launches\":1,\"ms\":0.000300,"
        "\"share\":0.6000},"
        "{\"kernel\":1,\"op\":7,\"name\":\"linear\",\"launches\":2,\"ms\":0.000200,\"share\":0."
        "4000}]",
    };
    for (size_t i = 0; i < COUNT_OF(WANT); i++) {
        CU_ASSERT_PTR_NOT_NULL(strstr(o->out, WANT[i]));
        if (!strstr(o->out, WANT[i])) printf("  no %s in %s\n", WANT[i], o->out);
    }
    fails("", "bench -p 100 -r 1 -n 0 --no-progress", 2, "too long");
}

static void test_json_strings(void) {
    static const struct {
        const char *in, *want;
    } CASES[] = {
        {"plain", "\"plain\""},
        {"a\"b\\c\n\t\x7f", "\"a\\\"b\\\\c\\n\\u0009\\u007f\""},
        {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""},
        {"\xff", "\"\xef\xbf\xbd\""},
        {"\xc3", "\"\xef\xbf\xbd\""},
        {"\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""}, /* a surrogate */
        {"\xc0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\""},                 /* overlong */
        {"\xf4\x90\x80\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
    };
    arena *mem = arena_open();
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        text t = {.mem = mem};
        app_json_string(&t, str_of(CASES[i].in));
        CU_ASSERT_STRING_EQUAL(t.buf.at, CASES[i].want);
    }
    arena_close(mem);
}

/* Each status of the API has its row in diag.def, with the same exit status. */
static void test_statuses(void) {
    arena *mem = arena_open();
#define STATUS(name, number, exit_number, general)                                                 \
    if (number) {                                                                                  \
        diag d = {.mem = mem};                                                                     \
        app a = {.path = "x.so", .mem = mem, .d = &d};                                             \
        const p4c_error e = {.status = P4C_##name};                                                \
        CU_ASSERT_FALSE(app_fail(&a, &e));                                                         \
        CU_ASSERT_EQUAL(diag_exit_status(&d), exit_number);                                        \
        CU_ASSERT_STRING_EQUAL(diag_name(d.first->code) + 4, &#name[4]);                           \
        CU_ASSERT_STRING_EQUAL(d.first->text, "x.so: " general);                                   \
    }
#include "runtime/status.def"
#undef STATUS
    arena_close(mem);
}

static void test_progress(void) {
    char line[100];
    progress p = {.what = "writing", .unit = PROGRESS_BYTES, .total = 2000000000};
    progress_line(&p, 500000000, 2000000000, line, sizeof line);
    CU_ASSERT_STRING_EQUAL(line,
                           "writing [#######.......................]  25% 250 MB/s 0:06 left");
    progress_line(&p, 3000000000, 2000000000, line, sizeof line);
    CU_ASSERT_STRING_EQUAL(line,
                           "writing [##############################] 100% 1.0 GB/s 0:00 left");
    p = (progress){.what = "a name that is much too long for it", .total = 3};
    progress_line(&p, 0, 1, line, sizeof line);
    CU_ASSERT_STRING_EQUAL(line, "a name that is muc [..............................]   0% 0 /s ");
    progress_line(&p, 2, 3000000000, line, 10);
    CU_ASSERT_EQUAL(strlen(line), 9);
    /* no terminal: nothing happens */
    progress_start(&p, "x", 10, PROGRESS_COUNT, true);
    CU_ASSERT_PTR_NULL(p.what);
    progress_set(&p, 5);
    progress_end(&p);
}

UNIT_MAIN("app", {"where the prompt comes from", test_prompts}, {"settings", test_settings},
          {"errors and exit statuses", test_errors}, {"signals and closed pipes", test_signals},
          {"logits in a file", test_logits}, {"help and version", test_help}, {"bench", test_bench},
          {"JSON strings", test_json_strings}, {"status codes", test_statuses},
          {"progress bar", test_progress})
