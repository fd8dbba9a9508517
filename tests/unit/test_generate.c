#include "runtime/generate.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/stops.h"
#include "tests/unit/fake_model.h"
#include "tests/unit/unit.h"

/* ---- what a generation gives ---- */

typedef struct seen {
    char text[1024];
    int32_t ids[512];
    int n_ids, n_pieces, n_flushed;
    int end_after;         /* pieces; 0: never */
    p4c_session *cancel;   /* NULL: no */
    bool pieces_are_whole; /* every piece is whole UTF-8 */
} seen;

static bool is_whole_utf8(const char *s, size_t n) {
    size_t i = 0;
    while (i < n) {
        const uint8_t b = (uint8_t)s[i];
        const size_t len = b < 0x80 ? 1 : b >= 0xf0 ? 4 : b >= 0xe0 ? 3 : b >= 0xc0 ? 2 : 0;
        if (!len || len > n - i) return false;
        for (size_t k = 1; k < len; k++)
            if (((uint8_t)s[i + k] & 0xc0) != 0x80) return false;
        i += len;
    }
    return true;
}

static int on_piece(void *context, const p4c_piece *piece) {
    seen *const s = context;
    const size_t n = strlen(s->text);
    if (n + piece->n_bytes >= sizeof s->text) abort();
    memcpy(s->text + n, piece->text, piece->n_bytes);
    s->text[n + piece->n_bytes] = 0;
    s->pieces_are_whole &= is_whole_utf8(piece->text, piece->n_bytes);
    s->n_pieces++;
    if (piece->id >= 0) s->ids[s->n_ids++] = piece->id;
    else s->n_flushed++;
    if (s->cancel && s->n_pieces == 2) p4c_cancel(s->cancel);
    return s->n_pieces == s->end_after;
}

typedef struct world {
    fake *f;
    p4c_model *m;
    p4c_session *s;
    p4c_generate_params params;
    p4c_generated out;
    p4c_error error;
    seen seen;
} world;

enum { PROMPT = 5 };
static const int32_t prompt[PROMPT] = {'w', 'h', 'a', 't', '?'};

static world *open_world(fake_options o) {
    world *const w = calloc(1, sizeof *w);
    if (!w) abort();
    w->f = fake_new(o);
    w->m = fake_open(w->f, 1);
    if (p4c_session_open(w->m, &w->s, NULL) != P4C_OK) abort();
    w->params = p4c_default_generate_params();
    w->params.on_piece = on_piece;
    w->params.context = &w->seen;
    w->seen.pieces_are_whole = true;
    atomic_store(&fake_faults, 0);
    return w;
}

static void close_world(world *w) {
    CU_ASSERT_EQUAL(fake_faults, 0);
    CU_ASSERT(w->seen.pieces_are_whole);
    p4c_session_close(w->s);
    p4c_close(w->m);
    fake_free(w->f);
    free(w);
}

/* The model answers the prompt with these ids; then with anything. */
static void script(world *w, const int32_t *ids, int n) {
    for (int i = 0; i < n; i++) w->f->script[PROMPT - 1 + i] = ids[i];
}
#define SCRIPT(w, ...)                                                                             \
    script((w), (const int32_t[]){__VA_ARGS__}, (int)COUNT_OF(((const int32_t[]){__VA_ARGS__})))

static p4c_status generate(world *w) {
    return p4c_generate(w->s, prompt, PROMPT, &w->params, &w->out, &w->error);
}

static int64_t session_length(const world *w) {
    int64_t n;
    p4c_session_ids(w->s, &n);
    return n;
}

static void text_streams_until_an_end_token(void) {
    world *const w = open_world(fake_default_options());
    SCRIPT(w, FAKE_ID_HELLO, ',', ' ', 'y', FAKE_ID_TAG, 'o', 'u', FAKE_ID_END, 'x');
    CU_ASSERT_EQUAL_FATAL(generate(w), P4C_OK);
    CU_ASSERT_STRING_EQUAL(w->seen.text, "hello, you"); /* the tag is special: no text */
    CU_ASSERT_EQUAL(w->out.finish, P4C_FINISH_STOP_TOKEN);
    CU_ASSERT_EQUAL(w->out.stop_id, FAKE_ID_END);
    CU_ASSERT_EQUAL(w->out.stop_string, -1);
    CU_ASSERT_EQUAL(w->out.n_prompt, PROMPT);
    CU_ASSERT_EQUAL(w->out.n_new, 7);
    CU_ASSERT(w->out.prompt_ns > 0 && w->out.new_ns > 0);
    CU_ASSERT_EQUAL(w->seen.n_ids, 7);
    CU_ASSERT_EQUAL(w->seen.ids[4], FAKE_ID_TAG);
    CU_ASSERT_EQUAL(w->seen.n_flushed, 0);
    CU_ASSERT_EQUAL(session_length(w), PROMPT + 7); /* all but the end token, drawn last */
    CU_ASSERT_EQUAL(p4c_session_ids(w->s, NULL)[PROMPT], FAKE_ID_HELLO);
    close_world(w);
}

static void end_tokens_can_be_ignored(void) {
    world *const w = open_world(fake_default_options());
    SCRIPT(w, 'a', FAKE_ID_END, 'b');
    w->params.ignore_eos = 1;
    w->params.max_tokens = 3;
    CU_ASSERT_EQUAL_FATAL(generate(w), P4C_OK);
    CU_ASSERT_STRING_EQUAL(w->seen.text, "ab");
    CU_ASSERT_EQUAL(w->out.finish, P4C_FINISH_MAX_TOKENS);
    CU_ASSERT_EQUAL(w->out.n_new, 3);
    CU_ASSERT_EQUAL(w->seen.ids[1], FAKE_ID_END);
    CU_ASSERT_EQUAL(session_length(w), PROMPT + 2); /* the last was not evaluated */
    close_world(w);
}

static void characters_are_never_split(void) {
    world *const w = open_world(fake_default_options());
    SCRIPT(w, 'a', FAKE_ID_EURO, 0xac, 0xc3, 0xa9, FAKE_ID_EURO, 'b', FAKE_ID_EURO);
    w->params.max_tokens = 8;
    CU_ASSERT_EQUAL_FATAL(generate(w), P4C_OK);
    /* a euro sign, an e with acute accent, then halves of euro signs */
    CU_ASSERT_STRING_EQUAL(w->seen.text, "a\xe2\x82\xac\xc3\xa9\xef\xbf\xbd"
                                         "b\xef\xbf\xbd");
    CU_ASSERT_EQUAL(w->seen.n_flushed, 1);
    close_world(w);
}

static void numbers_of_tokens_are_bounded(void) {
    static const int64_t MAX[] = {0, 1, 2, 100};
    for (size_t i = 0; i < COUNT_OF(MAX); i++) {
        world *const w = open_world(fake_default_options());
        for (int p = 0; p < FAKE_MAX_SCRIPT; p++) w->f->script[p] = 'z';
        w->params.max_tokens = MAX[i];
        CU_ASSERT_EQUAL_FATAL(generate(w), P4C_OK);
        CU_ASSERT_EQUAL(w->out.finish, P4C_FINISH_MAX_TOKENS);
        CU_ASSERT_EQUAL(w->out.n_new, MAX[i]);
        CU_ASSERT_EQUAL((int64_t)strlen(w->seen.text), MAX[i]);
        CU_ASSERT_EQUAL(session_length(w), PROMPT + max_i64(MAX[i] - 1, 0));
        close_world(w);
    }
}

static void a_full_sequence_ends_it(void) {
    fake_options o = fake_default_options();
    o.max_seq_tok = 20;
    world *const w = open_world(o);
    for (int p = 0; p < FAKE_MAX_SCRIPT; p++) w->f->script[p] = 'z';
    CU_ASSERT_EQUAL_FATAL(generate(w), P4C_OK);
    CU_ASSERT_EQUAL(w->out.finish, P4C_FINISH_CAPACITY);
    CU_ASSERT_EQUAL(w->out.n_new, 15); /* prompt and answer fill the sequence */
    CU_ASSERT_EQUAL(p4c_session_truncate(w->s, 15, NULL), P4C_OK);
    CU_ASSERT_EQUAL_FATAL(generate(w), P4C_OK); /* a prompt that fills it: nothing new */
    CU_ASSERT_EQUAL(w->out.finish, P4C_FINISH_CAPACITY);
    CU_ASSERT_EQUAL(w->out.n_new, 0);
    CU_ASSERT_EQUAL(session_length(w), 20);
    CU_ASSERT_EQUAL(generate(w), P4C_ERR_TOO_LONG);
    CU_ASSERT_EQUAL(w->error.found, 25);
    CU_ASSERT_EQUAL(w->error.limit, 20);
    CU_ASSERT_EQUAL(p4c_generate(w->s, prompt, INT64_MAX, &w->params, NULL, &w->error),
                    P4C_ERR_TOO_LONG);
    close_world(w);
}

static void stop_strings_cross_tokens_and_do_not_leak(void) {
    static const char *const STOPS[] = {"xyz", "lo st"};
    world *const w = open_world(fake_default_options());
    SCRIPT(w, 'x', 'y', FAKE_ID_HELLO, FAKE_ID_STOPS, 'a');
    w->params.stop = STOPS;
    w->params.n_stop = 2;
    CU_ASSERT_EQUAL_FATAL(generate(w), P4C_OK);
    CU_ASSERT_STRING_EQUAL(w->seen.text, "xyhel");
    CU_ASSERT_EQUAL(w->out.finish, P4C_FINISH_STOP_STRING);
    CU_ASSERT_EQUAL(w->out.stop_string, 1);
    CU_ASSERT_EQUAL(w->out.stop_id, -1);
    CU_ASSERT_EQUAL(w->out.n_new, 4);
    CU_ASSERT_EQUAL(w->seen.n_flushed, 0);
    close_world(w);
}

static void what_was_held_back_comes_in_the_end(void) {
    static const char *const STOPS[] = {"hello you"};
    world *const w = open_world(fake_default_options());
    SCRIPT(w, 'a', FAKE_ID_HELLO, ' ', FAKE_ID_END);
    w->params.stop = STOPS;
    w->params.n_stop = 1;
    CU_ASSERT_EQUAL_FATAL(generate(w), P4C_OK);
    CU_ASSERT_STRING_EQUAL(w->seen.text, "ahello ");
    CU_ASSERT_EQUAL(w->out.finish, P4C_FINISH_STOP_TOKEN);
    CU_ASSERT_EQUAL(w->seen.n_flushed, 1);
    close_world(w);
}

static void the_callback_can_end_it(void) {
    world *const w = open_world(fake_default_options());
    SCRIPT(w, 'a', 'b', 'c', 'd');
    w->seen.end_after = 3;
    CU_ASSERT_EQUAL_FATAL(generate(w), P4C_OK);
    CU_ASSERT_STRING_EQUAL(w->seen.text, "abc");
    CU_ASSERT_EQUAL(w->out.finish, P4C_FINISH_CALLBACK);
    CU_ASSERT_EQUAL(w->out.n_new, 3);
    close_world(w);
}

static void a_generation_can_be_cancelled(void) {
    world *const w = open_world(fake_default_options());
    SCRIPT(w, 'a', 'b', 'c', 'd');
    w->seen.cancel = w->s; /* in its second piece */
    CU_ASSERT_EQUAL(generate(w), P4C_ERR_CANCELLED);
    CU_ASSERT_STRING_EQUAL(w->seen.text, "ab");
    CU_ASSERT_EQUAL(w->out.n_new, 0); /* a failed call sets nothing */
    CU_ASSERT_EQUAL(session_length(w), PROMPT + 1);
    close_world(w);
}

/* In two pieces or one: the session is what counts. */
static void a_generation_goes_on_where_the_session_stands(void) {
    world *const w = open_world(fake_default_options());
    world *const v = open_world(fake_default_options());
    w->params.max_tokens = v->params.max_tokens = 20;
    w->params.ignore_eos = v->params.ignore_eos = 1;
    CU_ASSERT_EQUAL_FATAL(generate(w), P4C_OK);
    v->params.max_tokens = 8;
    CU_ASSERT_EQUAL_FATAL(generate(v), P4C_OK);
    v->params.max_tokens = 12;
    const int32_t last = v->seen.ids[7];
    CU_ASSERT_EQUAL_FATAL(p4c_generate(v->s, &last, 1, &v->params, NULL, NULL), P4C_OK);
    CU_ASSERT_EQUAL(v->seen.n_ids, 20);
    CU_ASSERT_EQUAL(memcmp(v->seen.ids, w->seen.ids, 20 * sizeof(int32_t)), 0);
    close_world(w);
    close_world(v);
}

/* The seed decides; a fork draws on where its origin stands. */
static void draws_can_be_repeated(void) {
    world *const w = open_world(fake_default_options());
    p4c_sampling sampling;
    p4c_default_sampling(w->m, &sampling);
    sampling.do_sample = 1;
    sampling.top_k = 50;
    w->params.ignore_eos = 1;
    w->params.max_tokens = 12;
    seen first = {0};
    for (int i = 0; i < 3; i++) {
        sampling.seed = i < 2 ? 77 : 78;
        CU_ASSERT_EQUAL(p4c_set_sampling(w->s, &sampling, NULL), P4C_OK);
        CU_ASSERT_EQUAL_FATAL(generate(w), P4C_OK);
        const bool equal = !memcmp(w->seen.ids, first.ids, sizeof first.ids);
        CU_ASSERT_EQUAL(equal, i == 1);
        if (!i) first = w->seen;
        memset(w->seen.ids, 0, sizeof w->seen.ids);
        w->seen.n_ids = 0;
        CU_ASSERT_EQUAL(p4c_session_truncate(w->s, 0, NULL), P4C_OK);
    }
    p4c_session *fork = NULL;
    float logits[272] = {0};
    CU_ASSERT_EQUAL_FATAL(p4c_session_fork(w->s, &fork, NULL), P4C_OK);
    bool all_equal = true;
    for (int i = 0; i < 8; i++) {
        int32_t a, b;
        CU_ASSERT_EQUAL(p4c_sample(w->s, logits, 272, &a, NULL), P4C_OK);
        CU_ASSERT_EQUAL(p4c_sample(fork, logits, 272, &b, NULL), P4C_OK);
        all_equal &= a == b;
    }
    CU_ASSERT(all_equal);
    p4c_session_close(fork);
    close_world(w);
}

/* Tokens of the sequence so far are punished, greedy or not. */
static void repetition_is_punished(void) {
    world *const w = open_world(fake_default_options());
    float logits[272] = {0};
    int32_t id;
    p4c_sampling sampling;
    p4c_default_sampling(w->m, &sampling);
    sampling.repetition_penalty = 2;
    CU_ASSERT_EQUAL(p4c_set_sampling(w->s, &sampling, NULL), P4C_OK);
    logits['w'] = 10;
    logits['x'] = 6;
    CU_ASSERT_EQUAL(p4c_sample(w->s, logits, 272, &id, NULL), P4C_OK);
    CU_ASSERT_EQUAL(id, 'w');
    const p4c_item it = {w->s, prompt, PROMPT, P4C_LOGITS_NONE, NULL, 0, 0};
    CU_ASSERT_EQUAL(p4c_eval(w->m, &it, 1, NULL), P4C_OK);
    CU_ASSERT_EQUAL(p4c_sample(w->s, logits, 272, &id, NULL), P4C_OK);
    CU_ASSERT_EQUAL(id, 'x');
    close_world(w);
}

static void parameters_are_checked(void) {
    static const char *const EMPTY[] = {"a", ""}, *const MISSING[] = {NULL};
    static const char *const INSIDE[] = {"\x82\xac"};
    world *const w = open_world(fake_default_options());
    CU_ASSERT_EQUAL(p4c_generate(w->s, prompt, 0, &w->params, NULL, NULL), P4C_ERR_ARGUMENT);
    CU_ASSERT_EQUAL(p4c_generate(w->s, NULL, 3, &w->params, NULL, NULL), P4C_ERR_ARGUMENT);
    w->params.max_tokens = -2;
    CU_ASSERT_EQUAL(generate(w), P4C_ERR_ARGUMENT);
    w->params.max_tokens = 1;
    w->params.size = 0;
    CU_ASSERT_EQUAL(generate(w), P4C_ERR_ARGUMENT);
    w->params.size = sizeof w->params;
    w->params.n_stop = 1;
    CU_ASSERT_EQUAL(generate(w), P4C_ERR_ARGUMENT); /* stop is NULL */
    w->params.stop = MISSING;
    CU_ASSERT_EQUAL(generate(w), P4C_ERR_ARGUMENT);
    w->params.stop = INSIDE;
    CU_ASSERT_EQUAL(generate(w), P4C_ERR_ARGUMENT);
    w->params.stop = EMPTY;
    w->params.n_stop = 2;
    CU_ASSERT_EQUAL(generate(w), P4C_ERR_ARGUMENT);
    w->params.n_stop = RT_MAX_STOP_STRINGS + 1;
    CU_ASSERT_EQUAL(generate(w), P4C_ERR_ARGUMENT);
    CU_ASSERT_EQUAL(session_length(w), 0);
    w->params.n_stop = 1;
    CU_ASSERT_EQUAL(generate(w), P4C_OK);
    CU_ASSERT_EQUAL(p4c_generate(w->s, prompt, 1, NULL, NULL, NULL), P4C_OK); /* defaults */
    close_world(w);
}

static void a_model_without_tokenizer_gives_ids(void) {
    static const char *const STOPS[] = {"a"};
    fake_options o = fake_default_options();
    o.no_tokenizer = true;
    world *const w = open_world(o);
    SCRIPT(w, 'a', 'b');
    w->params.max_tokens = 2;
    CU_ASSERT_EQUAL_FATAL(generate(w), P4C_OK);
    CU_ASSERT_EQUAL(w->seen.n_ids, 2);
    CU_ASSERT_EQUAL(w->seen.ids[1], 'b');
    CU_ASSERT_STRING_EQUAL(w->seen.text, "");
    w->params.stop = STOPS;
    w->params.n_stop = 1;
    CU_ASSERT_EQUAL(generate(w), P4C_ERR_NO_TOKENIZER);
    close_world(w);
}

/* ---- stop strings alone, against a plain search ---- */

static void *plain_alloc(void *ctx, size_t n) {
    (void)ctx;
    return malloc(n);
}
static void plain_free(void *ctx, void *p) {
    (void)ctx;
    free(p);
}

/* Where the text ends: the first place where some stop string is complete. */
static int naive(const char *text, const char *const *stop, size_t n, size_t *keep) {
    for (size_t end = 1; end <= strlen(text); end++) {
        int best = -1;
        for (size_t i = 0; i < n; i++) {
            const size_t len = strlen(stop[i]);
            if (len <= end && !memcmp(text + end - len, stop[i], len) &&
                (best < 0 || len > strlen(stop[best])))
                best = (int)i;
        }
        if (best < 0) continue;
        *keep = end - strlen(stop[best]);
        return best;
    }
    *keep = strlen(text);
    return -1;
}

static void fill_random(uint64_t *random, char *out, size_t n) {
    for (size_t i = 0; i < n; i++) out[i] = "ab"[fake_random(random) % 2];
    out[n] = 0;
}

static void stop_strings_do_not_depend_on_the_pieces(void) {
    const rt_alloc mem = {plain_alloc, plain_free, NULL};
    uint64_t random = 11;
    int n_found = 0;
    for (int round = 0; round < 4000; round++) {
        char text[31], stop_text[3][8];
        const char *stop[3];
        const size_t n_stops = 1 + fake_random(&random) % 3;
        fill_random(&random, text, fake_random(&random) % 30);
        for (size_t i = 0; i < n_stops; i++) {
            fill_random(&random, stop_text[i], 1 + fake_random(&random) % 7);
            stop[i] = stop_text[i];
        }
        size_t keep;
        const int want = naive(text, stop, n_stops, &keep);
        rt_stops s;
        char out[64] = "";
        size_t n_out = 0, at = 0;
        CU_ASSERT_FATAL(rt_stops_start(&s, stop, n_stops));
        while (at < strlen(text) && s.found < 0) {
            const size_t n =
                (size_t)min_i64(1 + fake_random(&random) % 5, (int64_t)(strlen(text) - at));
            CU_ASSERT_FATAL(rt_bytes_add(&mem, &s.held, text + at, n));
            at += n;
            rt_stops_scan(&s);
            if (s.n_out) memcpy(out + n_out, s.held.at, s.n_out);
            n_out += s.n_out;
            rt_stops_taken(&s);
            CU_ASSERT(n_out <= keep); /* nothing of a stop string was let through */
        }
        if (s.found < 0) {
            rt_stops_flush(&s);
            if (s.n_out) memcpy(out + n_out, s.held.at, s.n_out);
            n_out += s.n_out;
        }
        CU_ASSERT_EQUAL(n_out, keep);
        CU_ASSERT_EQUAL(memcmp(out, text, keep), 0);
        CU_ASSERT_EQUAL(s.found < 0, want < 0);
        if (want >= 0) CU_ASSERT_STRING_EQUAL(stop[s.found], stop[want]);
        n_found += want >= 0;
        rt_release(&mem, s.held.at);
    }
    CU_ASSERT(n_found > 1000 && n_found < 3999);
}

UNIT_MAIN("generate", {"text streams until an end token", text_streams_until_an_end_token},
          {"end tokens can be ignored", end_tokens_can_be_ignored},
          {"characters are never split", characters_are_never_split},
          {"numbers of tokens are bounded", numbers_of_tokens_are_bounded},
          {"a full sequence ends it", a_full_sequence_ends_it},
          {"stop strings cross tokens and do not leak", stop_strings_cross_tokens_and_do_not_leak},
          {"what was held back comes in the end", what_was_held_back_comes_in_the_end},
          {"the callback can end it", the_callback_can_end_it},
          {"a generation can be cancelled", a_generation_can_be_cancelled},
          {"a generation goes on where the session stands",
           a_generation_goes_on_where_the_session_stands},
          {"draws can be repeated", draws_can_be_repeated},
          {"repetition is punished", repetition_is_punished},
          {"parameters are checked", parameters_are_checked},
          {"a model without tokenizer gives ids", a_model_without_tokenizer_gives_ids},
          {"stop strings do not depend on the pieces", stop_strings_do_not_depend_on_the_pieces})
