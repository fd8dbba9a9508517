#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/template_compile.h"
#include "runtime/p4c.h"
#include "tests/unit/fake_model.h"
#include "tests/unit/unit.h"

/* Only what p4c.h declares; the artifact is this program (p4c_image, p4c_data). */

static const p4c_api *api(void) { return p4c_get_api(P4C_API_VERSION); }

static fake *installed; /* what p4c_data holds */

static p4c_model *open_own(uint32_t n_threads) {
    if (!installed) {
        installed = fake_new(fake_default_options());
        fake_install(installed);
    }
    p4c_open_params params = p4c_default_open_params();
    params.n_threads = n_threads;
    p4c_model *m = NULL;
    p4c_error error = {0};
    if (p4c_open(api(), &params, &m, &error) != P4C_OK) {
        fprintf(stderr, "open: %s\n", error.text);
        abort();
    }
    return m;
}

/* First: nothing is installed yet. */
static void an_artifact_without_data_is_refused(void) {
    p4c_model *m = NULL;
    p4c_error error = {0};
    CU_ASSERT_EQUAL(p4c_open(api(), NULL, &m, &error), P4C_ERR_BAD_ARTIFACT);
    CU_ASSERT_PTR_NULL(m);
    CU_ASSERT_EQUAL(error.status, P4C_ERR_BAD_ARTIFACT);
    CU_ASSERT(strlen(error.text) > 10);
}

static void the_table_is_complete_and_versioned(void) {
    CU_ASSERT_PTR_NULL(p4c_get_api(0));
    CU_ASSERT_PTR_NULL(p4c_get_api(P4C_API_VERSION + 1));
    CU_ASSERT_PTR_NOT_NULL_FATAL(api());
    CU_ASSERT_EQUAL(api()->version, P4C_API_VERSION);
    CU_ASSERT_EQUAL(api()->size, sizeof(p4c_api));
    void (*entry[(sizeof(p4c_api) - offsetof(p4c_api, open)) / sizeof(void (*)(void))])(void);
    memcpy(entry, (const char *)api() + offsetof(p4c_api, open), sizeof entry);
    for (size_t i = 0; i < COUNT_OF(entry); i++)
        CU_ASSERT_PTR_NOT_NULL((void *)(uintptr_t)entry[i]);
}

static void statuses_have_texts_and_exit_statuses(void) {
    CU_ASSERT_STRING_EQUAL(p4c_status_text(P4C_ERR_NO_MEMORY), "out of memory");
    CU_ASSERT_STRING_EQUAL(p4c_status_text((p4c_status)999), "unknown status");
    CU_ASSERT_EQUAL(p4c_status_exit(P4C_OK), 0);
    CU_ASSERT_EQUAL(p4c_status_exit(P4C_ERR_BAD_ARTIFACT), 4);
    CU_ASSERT_EQUAL(p4c_status_exit(P4C_ERR_NO_CPU), 5);
    CU_ASSERT_EQUAL(p4c_status_exit(P4C_ERR_NO_MEMORY), 6);
    CU_ASSERT_EQUAL(p4c_status_exit((p4c_status)999), 7);
}

static void a_model_tells_what_it_is(void) {
    p4c_model *const m = open_own(2);
    p4c_info info = {.size = sizeof info};
    CU_ASSERT_EQUAL(p4c_get_info(m, &info, NULL), P4C_OK);
    CU_ASSERT_EQUAL(info.size, sizeof info);
    CU_ASSERT_EQUAL(info.vocab, 272);
    CU_ASSERT_EQUAL(info.n_layers, 2);
    CU_ASSERT_EQUAL(info.max_seq_tok, 700);
    CU_ASSERT_EQUAL(info.max_step_tok, 16);
    CU_ASSERT_EQUAL(info.max_step_rows, 6);
    CU_ASSERT_EQUAL(info.max_batch, 4);
    CU_ASSERT_EQUAL(info.n_stops, 1);
    CU_ASSERT_EQUAL(info.stop[0], FAKE_ID_END);
    CU_ASSERT_EQUAL(info.bos, -1);
    CU_ASSERT_EQUAL(info.has_tokenizer, 1);
    CU_ASSERT_EQUAL(info.has_template, 0);
    CU_ASSERT_EQUAL(info.n_threads, 2);
    CU_ASSERT_EQUAL(info.kv_f32, 1);
    CU_ASSERT_EQUAL(info.n_launches, FAKE_LAUNCHES);
    CU_ASSERT_EQUAL(info.kv_block_bytes, FAKE_KV_BLOCK_BYTES);
    CU_ASSERT_EQUAL(info.kv_blocks, 4 * 3);
    CU_ASSERT_EQUAL(info.mac_per_token, 1000);
    CU_ASSERT_STRING_EQUAL(info.model_type, "fake");
    CU_ASSERT_STRING_EQUAL(info.name, "fake model");
    CU_ASSERT_STRING_EQUAL(info.quant, "hash");
    CU_ASSERT_STRING_EQUAL(info.cpu, "second"); /* the best of those that run */
    CU_ASSERT_STRING_EQUAL(info.version, "0.0-test");

    p4c_info older = {.size = offsetof(p4c_info, hidden)}; /* of an application built earlier */
    older.hidden = 12345;
    CU_ASSERT_EQUAL(p4c_get_info(m, &older, NULL), P4C_OK);
    CU_ASSERT_EQUAL(older.n_layers, 2);
    CU_ASSERT_EQUAL(older.hidden, 12345);
    older.size = 0;
    CU_ASSERT_EQUAL(p4c_get_info(m, &older, NULL), P4C_ERR_ARGUMENT);
    CU_ASSERT_EQUAL(p4c_get_info(m, NULL, NULL), P4C_ERR_ARGUMENT);

    p4c_sampling sampling;
    CU_ASSERT_EQUAL(p4c_default_sampling(m, &sampling), P4C_OK);
    CU_ASSERT_EQUAL(sampling.do_sample, 0);
    CU_ASSERT_EQUAL(sampling.temperature, 1);
    CU_ASSERT_EQUAL(p4c_default_sampling(m, NULL), P4C_ERR_ARGUMENT);
    p4c_close(m);
    p4c_close(NULL);
}

static void sections_can_be_read(void) {
    p4c_model *const m = open_own(1);
    const void *data = NULL;
    size_t n = 0;
    CU_ASSERT_EQUAL(p4c_get_section(m, "config", &data, &n, NULL), P4C_OK);
    CU_ASSERT_EQUAL(n, 22);
    CU_ASSERT_EQUAL(memcmp(data, "{\"model_type\": \"fake\"}", n), 0);
    p4c_error error = {0};
    CU_ASSERT_EQUAL(p4c_get_section(m, "ir", &data, &n, &error), P4C_ERR_NOT_THERE);
    CU_ASSERT_EQUAL(p4c_get_section(m, "elf", &data, &n, &error), P4C_ERR_NOT_THERE);
    CU_ASSERT_EQUAL(p4c_get_section(m, "a name that is longer than any", &data, &n, &error),
                    P4C_ERR_NOT_THERE);
    CU_ASSERT_EQUAL(p4c_get_section(m, NULL, &data, &n, &error), P4C_ERR_ARGUMENT);
    p4c_close(m);
}

static void *dud_alloc(void *ctx, size_t n) {
    (void)ctx;
    (void)n;
    return NULL;
}

static void opening_checks_its_parameters(void) {
    p4c_close(open_own(0)); /* as many threads as CPUs */
    p4c_model *m = NULL;
    p4c_error error = {0};
    p4c_open_params p = p4c_default_open_params();
    p.n_threads = 5000;
    CU_ASSERT_EQUAL(p4c_open(api(), &p, &m, &error), P4C_ERR_ARGUMENT);
    CU_ASSERT_STRING_EQUAL(error.text, "5000 threads are too many, at most 1024");
    p = p4c_default_open_params();
    p.alloc.alloc = dud_alloc;
    CU_ASSERT_EQUAL(p4c_open(api(), &p, &m, &error), P4C_ERR_ARGUMENT);
    p = p4c_default_open_params();
    p.cpu = "nothing";
    CU_ASSERT_EQUAL(p4c_open(api(), &p, &m, &error), P4C_ERR_ARGUMENT);
    p.cpu = "future";
    CU_ASSERT_EQUAL(p4c_open(api(), &p, &m, &error), P4C_ERR_NO_CPU);
    p.cpu = "plain";
    CU_ASSERT_EQUAL_FATAL(p4c_open(api(), &p, &m, &error), P4C_OK);
    p4c_info info = {.size = sizeof info};
    p4c_get_info(m, &info, NULL);
    CU_ASSERT_STRING_EQUAL(info.cpu, "plain");
    p4c_close(m);
    p.size = 3;
    CU_ASSERT_EQUAL(p4c_open(api(), &p, &m, &error), P4C_ERR_ARGUMENT);
    CU_ASSERT_EQUAL(p4c_open(api(), NULL, NULL, &error), P4C_ERR_ARGUMENT);
    p = p4c_default_open_params();
    p.size = offsetof(p4c_open_params, cpu); /* an older application's */
    p.n_threads = 1;
    p.cpu = "not looked at";
    CU_ASSERT_EQUAL_FATAL(p4c_open(api(), &p, &m, &error), P4C_OK);
    p4c_close(m);
}

static void text_goes_to_ids_and_back(void) {
    static const char TEXT[] = "<|end|>a\0b";
    p4c_model *const m = open_own(1);
    int32_t *ids = NULL;
    size_t n = 99;
    char *piece = NULL;
    size_t n_text = 0;
    CU_ASSERT_EQUAL_FATAL(p4c_tokenize(m, TEXT, sizeof TEXT - 1, P4C_PARSE_SPECIAL, &ids, &n, NULL),
                          P4C_OK);
    CU_ASSERT_EQUAL(n, 4);
    CU_ASSERT_EQUAL(ids[0], FAKE_ID_END);
    CU_ASSERT_EQUAL(ids[2], 0);
    CU_ASSERT_EQUAL(p4c_detokenize(m, ids, n, 0, &piece, &n_text, NULL), P4C_OK);
    CU_ASSERT_EQUAL(n_text, sizeof TEXT - 1);
    CU_ASSERT_EQUAL(memcmp(piece, TEXT, sizeof TEXT), 0); /* the NUL too */
    p4c_free(m, piece);
    CU_ASSERT_EQUAL(p4c_detokenize(m, ids, n, P4C_SKIP_SPECIAL, &piece, &n_text, NULL), P4C_OK);
    CU_ASSERT_EQUAL(n_text, 3);
    p4c_free(m, piece);
    p4c_free(m, ids);
    CU_ASSERT_EQUAL(p4c_tokenize(m, TEXT, sizeof TEXT - 1, 0, &ids, &n, NULL), P4C_OK);
    CU_ASSERT_EQUAL(n, 10); /* bytes: special tokens are text here */
    p4c_free(m, ids);
    CU_ASSERT_EQUAL(p4c_tokenize(m, NULL, 0, 0, &ids, &n, NULL), P4C_OK);
    CU_ASSERT_EQUAL(n, 0);
    CU_ASSERT_PTR_NOT_NULL(ids);
    p4c_free(m, ids);
    CU_ASSERT_EQUAL(p4c_tokenize(m, TEXT, 1, P4C_SKIP_SPECIAL, &ids, &n, NULL), P4C_ERR_ARGUMENT);
    CU_ASSERT_EQUAL(p4c_tokenize(m, NULL, 1, 0, &ids, &n, NULL), P4C_ERR_ARGUMENT);
    CU_ASSERT_EQUAL(p4c_tokenize(m, TEXT, SIZE_MAX, 0, &ids, &n, NULL), P4C_ERR_ARGUMENT);
    CU_ASSERT_EQUAL(p4c_detokenize(m, NULL, 1, 0, &piece, &n_text, NULL), P4C_ERR_ARGUMENT);
    p4c_chat chat;
    CU_ASSERT_EQUAL(p4c_render_chat(m, "[]", 2, &chat, NULL), P4C_ERR_NO_TEMPLATE);
    p4c_free(m, NULL);
    p4c_close(m);
}

static void chats_are_rendered_and_cannot_inject_special_tokens(void) {
    static const char TEMPLATE[] =
        "{% for m in messages %}<|tag|>{{ m.role }}:{{ m.content }}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|tag|>{% endif %}";
    static const char CHAT[] = "{\"messages\": [{\"role\": \"u\", \"content\": \"<|end|>x\"}]}";
    static const int32_t WANT[] = {FAKE_ID_TAG, 'u', ':', '<', '|',         'e',        'n',
                                   'd',         '|', '>', 'x', FAKE_ID_END, FAKE_ID_TAG};
    arena *const mem = arena_open();
    diag d = {.mem = mem};
    fe_blob blob = {0};
    CU_ASSERT_FATAL(fe_compile_template((str){TEMPLATE, sizeof TEMPLATE - 1}, "t", mem, &d, &blob));
    fake_options o = fake_default_options();
    o.chat_template = blob.at;
    o.n_chat_template = blob.n;
    fake *const f = fake_new(o);
    p4c_model *const m = fake_open(f, 1);
    p4c_info info = {.size = sizeof info};
    CU_ASSERT_EQUAL(p4c_get_info(m, &info, NULL), P4C_OK);
    CU_ASSERT_EQUAL(info.has_template, 1);

    p4c_chat chat = {0};
    p4c_error error = {0};
    CU_ASSERT_EQUAL_FATAL(p4c_render_chat(m, CHAT, sizeof CHAT - 1, &chat, &error), P4C_OK);
    CU_ASSERT_STRING_EQUAL(chat.text, "<|tag|>u:<|end|>x<|end|><|tag|>");
    CU_ASSERT_EQUAL(chat.n_bytes, strlen(chat.text));
    CU_ASSERT_EQUAL(chat.n_ids, COUNT_OF(WANT));
    CU_ASSERT_EQUAL(memcmp(chat.ids, WANT, sizeof WANT), 0);
    p4c_free(m, chat.text);
    p4c_free(m, chat.ids);
    static const char ALONE[] = "[{\"role\": \"u\", \"content\": null}]";
    CU_ASSERT_EQUAL_FATAL(p4c_render_chat(m, ALONE, sizeof ALONE - 1, &chat, NULL), P4C_OK);
    CU_ASSERT_STRING_EQUAL(chat.text, "<|tag|>u:<|end|><|tag|>");
    p4c_free(m, chat.text);
    p4c_free(m, chat.ids);
    CU_ASSERT_EQUAL(p4c_render_chat(m, "[]", 2, &chat, &error), P4C_ERR_BAD_INPUT);
    CU_ASSERT_EQUAL(p4c_render_chat(m, "[{", 2, &chat, &error), P4C_ERR_BAD_INPUT);
    CU_ASSERT(strlen(error.text) > 5);
    CU_ASSERT_EQUAL(p4c_render_chat(m, NULL, 2, &chat, &error), P4C_ERR_ARGUMENT);
    p4c_close(m);
    fake_free(f);
    arena_close(mem);
}

static void a_stream_gives_whole_characters(void) {
    p4c_model *const m = open_own(1);
    p4c_stream *s = NULL;
    const char *piece = NULL;
    size_t n = 99;
    CU_ASSERT_EQUAL(p4c_stream_open(m, 64, &s, NULL), P4C_ERR_ARGUMENT);
    CU_ASSERT_EQUAL_FATAL(p4c_stream_open(m, P4C_SKIP_SPECIAL, &s, NULL), P4C_OK);
    p4c_close(m); /* the stream keeps the model */
    CU_ASSERT_EQUAL(p4c_stream_add(s, FAKE_ID_EURO, &piece, &n, NULL), P4C_OK);
    CU_ASSERT_EQUAL(n, 0);
    CU_ASSERT_EQUAL(p4c_stream_add(s, 0xac, &piece, &n, NULL), P4C_OK);
    CU_ASSERT_STRING_EQUAL(piece, "\xe2\x82\xac");
    CU_ASSERT_EQUAL(n, 3);
    CU_ASSERT_EQUAL(p4c_stream_add(s, FAKE_ID_TAG, &piece, &n, NULL), P4C_OK);
    CU_ASSERT_STRING_EQUAL(piece, "");
    CU_ASSERT_EQUAL(p4c_stream_add(s, FAKE_ID_EURO, &piece, &n, NULL), P4C_OK);
    CU_ASSERT_EQUAL(p4c_stream_end(s, &piece, &n, NULL), P4C_OK);
    CU_ASSERT_STRING_EQUAL(piece, "\xef\xbf\xbd");
    CU_ASSERT_EQUAL(p4c_stream_end(s, &piece, &n, NULL), P4C_OK);
    CU_ASSERT_EQUAL(n, 0);
    CU_ASSERT_EQUAL(p4c_stream_add(s, 123456, &piece, &n, NULL),
                    P4C_OK); /* no such token: no text */
    CU_ASSERT_EQUAL(p4c_stream_add(s, -3, &piece, &n, NULL), P4C_OK);
    CU_ASSERT_EQUAL(n, 0);
    CU_ASSERT_EQUAL(p4c_stream_add(s, 'a', NULL, &n, NULL), P4C_ERR_ARGUMENT);
    p4c_stream_close(s);
    p4c_stream_close(NULL);
}

static void sessions_keep_their_model(void) {
    p4c_model *const m = open_own(2);
    p4c_session *s = NULL, *f = NULL;
    CU_ASSERT_EQUAL_FATAL(p4c_session_open(m, &s, NULL), P4C_OK);
    p4c_close(m);
    const int32_t ids[] = {1, 2, 3};
    float want[3 * 272];
    p4c_generated g;
    fake_logits(installed, ids, 3, want);
    CU_ASSERT_EQUAL(p4c_generate(s, ids, 3, NULL, &g, NULL), P4C_OK);
    CU_ASSERT_EQUAL_FATAL(p4c_session_fork(s, &f, NULL), P4C_OK);
    p4c_session_close(s);
    int64_t n = 0;
    CU_ASSERT_EQUAL(p4c_session_ids(f, &n)[2], 3);
    int32_t best = 0;
    for (int32_t v = 0; v < 272; v++)
        if (want[2 * 272 + v] > want[2 * 272 + best]) best = v;
    CU_ASSERT_EQUAL(n > 3 ? p4c_session_ids(f, NULL)[3] : g.stop_id, best); /* greedy by default */
    p4c_session_close(f);
    p4c_session_close(NULL);
}

static void work_is_counted(void) {
    p4c_model *const m = open_own(2);
    p4c_session *s = NULL;
    CU_ASSERT_EQUAL_FATAL(p4c_session_open(m, &s, NULL), P4C_OK);
    int32_t ids[100];
    fake_random_ids(1, 272, ids, 100);
    const p4c_item it = {s, ids, 100, P4C_LOGITS_NONE, NULL, 0, 0};
    CU_ASSERT_EQUAL(p4c_eval(m, &it, 1, NULL), P4C_OK);
    uint64_t units[3] = {0, 0, 77};
    CU_ASSERT_EQUAL(p4c_get_thread_units(m, units, 3), 2);
    CU_ASSERT_EQUAL(units[0] + units[1],
                    500); /* 100 tokens in five launches; who did how much is chance */
    CU_ASSERT_EQUAL(units[2], 77);
    CU_ASSERT_EQUAL(p4c_get_thread_units(m, NULL, 0), 2);
    p4c_stats stats = {.size = sizeof stats};
    CU_ASSERT_EQUAL(p4c_get_stats(m, &stats, NULL), P4C_OK);
    CU_ASSERT_EQUAL(stats.n_threads, 2);
    CU_ASSERT_EQUAL(stats.n_evals, 1);
    CU_ASSERT_EQUAL(stats.n_steps, 7);
    CU_ASSERT_EQUAL(stats.n_tokens, 100);
    CU_ASSERT_EQUAL(stats.n_rows, 0);
    CU_ASSERT_EQUAL(stats.kv_blocks_used, 1);
    CU_ASSERT_EQUAL(stats.n_sessions, 1);
    CU_ASSERT(stats.eval_ns > 0);
    stats.size = 1;
    CU_ASSERT_EQUAL(p4c_get_stats(m, &stats, NULL), P4C_ERR_ARGUMENT);
    p4c_session_close(s);
    p4c_close(m);
}

static void count_launch(void *context, const p4c_launch *launch) {
    uint32_t *const n = context;
    CU_ASSERT_EQUAL(launch->index, *n % (FAKE_LAUNCHES - 2)); /* no logits wanted */
    ++*n;
}

static void launches_can_be_watched(void) {
    p4c_model *const m = open_own(2);
    p4c_session *s = NULL;
    uint32_t n = 0;
    const int32_t ids[20] = {0};
    CU_ASSERT_EQUAL_FATAL(p4c_session_open(m, &s, NULL), P4C_OK);
    CU_ASSERT_EQUAL(p4c_set_watch(m, count_launch, &n, NULL), P4C_OK);
    const p4c_item it = {s, ids, 20, P4C_LOGITS_NONE, NULL, 0, 0};
    CU_ASSERT_EQUAL(p4c_eval(m, &it, 1, NULL), P4C_OK);
    CU_ASSERT_EQUAL(n, 2 * (FAKE_LAUNCHES - 2)); /* 20 tokens: two steps */
    CU_ASSERT_EQUAL(p4c_set_watch(m, NULL, NULL, NULL), P4C_OK);
    CU_ASSERT_EQUAL(p4c_eval(m, &it, 1, NULL), P4C_OK);
    CU_ASSERT_EQUAL(n, 2 * (FAKE_LAUNCHES - 2));
    p4c_session_close(s);
    p4c_close(m);
}

static void sampling_settings_are_checked(void) {
    p4c_model *const m = open_own(1);
    p4c_session *s = NULL;
    CU_ASSERT_EQUAL_FATAL(p4c_session_open(m, &s, NULL), P4C_OK);
    p4c_sampling good;
    p4c_default_sampling(m, &good);
    float nan;
    memset(&nan, 0xff, sizeof nan);
    const struct {
        size_t offset;
        float value;
    } BAD[] = {
        {offsetof(p4c_sampling, temperature), 0},
        {offsetof(p4c_sampling, temperature), -1},
        {offsetof(p4c_sampling, temperature), nan},
        {offsetof(p4c_sampling, top_p), 0},
        {offsetof(p4c_sampling, top_p), nan},
        {offsetof(p4c_sampling, min_p), -0.1f},
        {offsetof(p4c_sampling, min_p), 1.1f},
        {offsetof(p4c_sampling, min_p), nan},
        {offsetof(p4c_sampling, repetition_penalty), 0},
        {offsetof(p4c_sampling, repetition_penalty), nan},
    };
    for (size_t i = 0; i < COUNT_OF(BAD); i++) {
        p4c_sampling bad = good;
        memcpy((char *)&bad + BAD[i].offset, &BAD[i].value, sizeof(float));
        CU_ASSERT_EQUAL(p4c_set_sampling(s, &bad, NULL), P4C_ERR_ARGUMENT);
    }
    CU_ASSERT_EQUAL(p4c_set_sampling(s, NULL, NULL), P4C_ERR_ARGUMENT);
    CU_ASSERT_EQUAL(p4c_set_sampling(s, &good, NULL), P4C_OK);
    float logits[272] = {0};
    int32_t id = -1;
    logits[99] = 1;
    CU_ASSERT_EQUAL(p4c_sample(s, logits, 272, &id, NULL), P4C_OK);
    CU_ASSERT_EQUAL(id, 99);
    CU_ASSERT_EQUAL(p4c_sample(s, logits, 271, &id, NULL), P4C_ERR_ARGUMENT);
    CU_ASSERT_EQUAL(p4c_sample(s, NULL, 272, &id, NULL), P4C_ERR_ARGUMENT);
    p4c_session_close(s);
    p4c_close(m);
}

static void the_end(void) {
    fake_free(installed);
    installed = NULL;
}

UNIT_MAIN("api", {"an artifact without data is refused", an_artifact_without_data_is_refused},
          {"the table is complete and versioned", the_table_is_complete_and_versioned},
          {"statuses have texts and exit statuses", statuses_have_texts_and_exit_statuses},
          {"a model tells what it is", a_model_tells_what_it_is},
          {"sections can be read", sections_can_be_read},
          {"opening checks its parameters", opening_checks_its_parameters},
          {"text goes to ids and back", text_goes_to_ids_and_back},
          {"chats are rendered and cannot inject special tokens",
           chats_are_rendered_and_cannot_inject_special_tokens},
          {"a stream gives whole characters", a_stream_gives_whole_characters},
          {"sessions keep their model", sessions_keep_their_model},
          {"work is counted", work_is_counted},
          {"launches can be watched", launches_can_be_watched},
          {"sampling settings are checked", sampling_settings_are_checked},
          {"nothing is left", the_end})
