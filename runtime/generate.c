/* generate.c - prompt in, text out: evaluate, draw, decode, look for an end, hand over. */
#include "runtime/generate.h"

#include "runtime/eval.h"
#include "runtime/fail.h"
#include "runtime/model.h"
#include "runtime/session.h"
#include "runtime/stops.h"
#include "runtime/threads.h"

typedef struct generation {
    p4c_session *session;
    p4c_model *model;
    p4c_generate_params params;
    int64_t limit; /* new tokens at most */
    int64_t total; /* tokens of the session if it gets that far */
    void *memory;  /* of the logits */
    float *logits; /* [vocab], aligned as kernels want it */
    rt_decoder decoder;
    rt_stops stops;
    int32_t last; /* drawn last */
    p4c_generated out;
} generation;

static bool take_params(const p4c_generate_params *in, p4c_generate_params *out) {
    *out = p4c_default_generate_params();
    if (!in) return true;
    if (in->size < sizeof in->size + sizeof in->ignore_eos) return false;
    memcpy(out, in, in->size < sizeof *out ? in->size : sizeof *out);
    return out->max_tokens >= -1;
}

static p4c_status start(generation *g, p4c_session *s, int64_t n_ids,
                        const p4c_generate_params *params, p4c_error *error) {
    p4c_model *const m = s->model;
    const int64_t capacity = m->tables.meta->max_seq_tok;
    *g = (generation){.session = s, .model = m};
    g->out = (p4c_generated){.stop_id = -1, .stop_string = -1, .n_prompt = n_ids};
    if (!take_params(params, &g->params))
        return rt_fail(error, P4C_ERR_ARGUMENT, "params.size or params.max_tokens");
    if (!rt_stops_start(&g->stops, g->params.stop, g->params.n_stop))
        return rt_fail(error, P4C_ERR_ARGUMENT,
                       "stop strings: at most %d, none empty, each whole UTF-8 of at most %d bytes",
                       RT_MAX_STOP_STRINGS, RT_MAX_STOP_BYTES);
    if (g->params.n_stop && !m->language.has_tokenizer)
        return rt_fail(error, P4C_ERR_NO_TOKENIZER, "stop strings need a tokenizer");
    g->decoder = rt_decode_start(&m->language.tokenizer, true);
    /* a prompt that is too long is refused by its evaluation; then no number here matters */
    const int64_t room = n_ids < capacity ? capacity - (int64_t)s->ids.n - n_ids : 0;
    g->limit = g->params.max_tokens;
    if (g->limit < 0 || g->limit > room) g->limit = room > 0 ? room : 0;
    g->total = (int64_t)s->ids.n + (n_ids < capacity ? n_ids : capacity) + g->limit;
    g->memory = rt_get(&m->mem, m->tables.meta->vocab + 16, sizeof(float));
    if (!g->memory) return rt_fail_memory(error, "the logits");
    g->logits = (float *)(((uintptr_t)g->memory + 63) & ~(uintptr_t)63);
    return P4C_OK;
}

static p4c_status advance(generation *g, const int32_t *ids, int64_t n_ids, p4c_error *error) {
    const p4c_item item = {
        .session = g->session,
        .ids = ids,
        .n_ids = n_ids,
        .logits = P4C_LOGITS_LAST,
        .out = g->logits,
        .n_out = g->model->tables.meta->vocab,
        .expected_total = g->total,
    };
    return rt_eval(g->model, &item, 1, error);
}

static bool is_end_token(const rt_meta *meta, int32_t id) {
    for (uint32_t i = 0; i < meta->n_stops; i++)
        if (meta->stop[i] == id) return true;
    return false;
}

/* Gives the callback what may go; true: it wants an end. */
static bool hand_over(generation *g, int32_t id) {
    const p4c_piece piece = {id, g->stops.n_out ? g->stops.held.at : "", g->stops.n_out};
    const bool end = g->params.on_piece && g->params.on_piece(g->params.context, &piece);
    rt_stops_taken(&g->stops);
    return end;
}

/* A token was drawn that is part of the answer.  *end: it was the last, g->out says why. */
static p4c_status take_token(generation *g, bool *end, p4c_error *error) {
    if (g->model->language.has_tokenizer &&
        !rt_decode_id(&g->decoder, &g->model->mem, g->last, &g->stops.held))
        return rt_fail_memory(error, "the text");
    rt_stops_scan(&g->stops);
    if (g->stops.found >= 0) {
        g->out.finish = P4C_FINISH_STOP_STRING;
        g->out.stop_string = g->stops.found;
        *end = true;
    }
    if (hand_over(g, g->last) && !*end) {
        g->out.finish = P4C_FINISH_CALLBACK;
        *end = true;
    }
    return P4C_OK;
}

/* Text that waited for more bytes of a character or of a stop string. */
static p4c_status flush(generation *g, p4c_error *error) {
    if (g->out.finish == P4C_FINISH_CALLBACK || g->out.finish == P4C_FINISH_STOP_STRING)
        return P4C_OK;
    if (g->model->language.has_tokenizer &&
        !rt_decode_end(&g->decoder, &g->model->mem, &g->stops.held))
        return rt_fail_memory(error, "the text");
    rt_stops_flush(&g->stops);
    if (g->stops.n_out) hand_over(g, -1);
    return P4C_OK;
}

static p4c_status run(generation *g, const int32_t *ids, int64_t n_ids, p4c_error *error) {
    const uint64_t start_ns = rt_now_ns();
    uint64_t first_ns = 0;
    bool end = false;
    p4c_status s = advance(g, ids, n_ids, error);
    while (s == P4C_OK && !end && g->out.n_new < g->limit) {
        if (g->out.n_new) s = advance(g, &g->last, 1, error);
        if (s == P4C_OK)
            s = rt_session_sample(g->session, g->logits, g->model->tables.meta->vocab, &g->last,
                                  error);
        if (s != P4C_OK) break;
        if (!first_ns) first_ns = rt_now_ns();
        if (!g->params.ignore_eos && is_end_token(g->model->tables.meta, g->last)) {
            g->out.finish = P4C_FINISH_STOP_TOKEN;
            g->out.stop_id = g->last;
            end = true;
        } else {
            g->out.n_new++;
            s = take_token(g, &end, error);
        }
    }
    if (s != P4C_OK) return s;
    if (!end)
        g->out.finish =
            g->out.n_new == g->params.max_tokens ? P4C_FINISH_MAX_TOKENS : P4C_FINISH_CAPACITY;
    if (!first_ns) first_ns = rt_now_ns();
    s = flush(g, error);
    g->out.prompt_ns = first_ns - start_ns;
    g->out.new_ns = rt_now_ns() - first_ns;
    return s;
}

p4c_status rt_generate(p4c_session *session, const int32_t *ids, int64_t n_ids,
                       const p4c_generate_params *params, p4c_generated *out, p4c_error *error) {
    if (!ids || n_ids < 1) return rt_fail(error, P4C_ERR_ARGUMENT, "no prompt tokens");
    generation g;
    p4c_status s = start(&g, session, n_ids, params, error);
    if (s == P4C_OK) s = run(&g, ids, n_ids, error);
    if (s == P4C_OK && out) *out = g.out;
    rt_release(&g.model->mem, g.memory);
    rt_release(&g.model->mem, g.stops.held.at);
    return s;
}
