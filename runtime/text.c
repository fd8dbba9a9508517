/* text.c - tokenizer and chat template behind the C API. */
#include "runtime/text.h"

#include <string.h>
#include <time.h>

#include "runtime/fail.h"
#include "runtime/model.h"

p4c_status rt_language_open(const rt_tables *t, rt_language *out, p4c_error *error) {
    *out = (rt_language){0};
    if (t->tokenizer.n_bytes) {
        if (!rt_tokenizer_open(&out->tokenizer, t->tokenizer.at, t->tokenizer.n_bytes))
            return rt_fail(error, P4C_ERR_BAD_ARTIFACT,
                           "the artifact is damaged: section tokenizer");
        out->has_tokenizer = true;
    }
    if (t->chat_template.n_bytes) {
        const char *what = "";
        if (!rt_template_open(t->chat_template.at, t->chat_template.n_bytes, &out->chat, &what))
            return rt_fail(error, P4C_ERR_BAD_ARTIFACT,
                           "the artifact is damaged: section template: %s", what);
        out->has_template = true;
    }
    return P4C_OK;
}

void rt_model_free(const p4c_model *m, void *p) { rt_release(&m->mem, p); }

static p4c_status need_tokenizer(const p4c_model *m, p4c_error *error) {
    if (m->language.has_tokenizer) return P4C_OK;
    return rt_fail(error, P4C_ERR_NO_TOKENIZER, "the model has no tokenizer");
}

/* ---- text to ids ---- */

/* As rt_encode; ids->at is never NULL on success.  The caller releases it either way. */
static p4c_status encode(const p4c_model *m, rt_encode_input in, rt_ids *ids, p4c_error *error) {
    if (in.n > RT_ENCODE_MAX)
        return rt_fail(error, P4C_ERR_ARGUMENT, "the text has %llu bytes, at most %llu are allowed",
                       (unsigned long long)in.n, (unsigned long long)RT_ENCODE_MAX);
    if (!rt_ids_reserve(&m->mem, ids, 1) || !rt_encode(&m->language.tokenizer, &m->mem, in, ids))
        return rt_fail_memory(error, "the tokens");
    return P4C_OK;
}

p4c_status rt_model_tokenize(const p4c_model *m, const char *text, size_t n_bytes, unsigned flags,
                             int32_t **ids, size_t *n_ids, p4c_error *error) {
    p4c_status s = need_tokenizer(m, error);
    if (s != P4C_OK) return s;
    if ((!text && n_bytes) || !ids || !n_ids || flags & ~(unsigned)P4C_PARSE_SPECIAL)
        return rt_fail(error, P4C_ERR_ARGUMENT, "tokenize: text, flags or place for the ids");
    const rt_encode_input in = {.text = text, .n = n_bytes, .parse_special = flags != 0};
    rt_ids out = {0};
    s = encode(m, in, &out, error);
    if (s != P4C_OK) {
        rt_release(&m->mem, out.at);
        return s;
    }
    *ids = out.at;
    *n_ids = out.n;
    return P4C_OK;
}

/* ---- ids to text ---- */

/* Adds the terminating NUL. */
static bool terminate(const p4c_model *m, rt_bytes *b) {
    if (!rt_bytes_reserve(&m->mem, b, 1)) return false;
    b->at[b->n] = 0;
    return true;
}

p4c_status rt_model_detokenize(const p4c_model *m, const int32_t *ids, size_t n_ids, unsigned flags,
                               char **text, size_t *n_bytes, p4c_error *error) {
    const p4c_status s = need_tokenizer(m, error);
    if (s != P4C_OK) return s;
    if ((!ids && n_ids) || !text || !n_bytes || flags & ~(unsigned)P4C_SKIP_SPECIAL)
        return rt_fail(error, P4C_ERR_ARGUMENT, "detokenize: ids, flags or place for the text");
    rt_bytes out = {0};
    if (!rt_decode(&m->language.tokenizer, &m->mem, ids, n_ids, flags != 0, &out) ||
        !terminate(m, &out)) {
        rt_release(&m->mem, out.at);
        return rt_fail_memory(error, "the text");
    }
    *text = out.at;
    *n_bytes = out.n;
    return P4C_OK;
}

/* ---- chats ---- */

/* Without the time zone, which only the environment knows. */
static rt_template_clock utc_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (rt_template_clock){.local_s = t.tv_sec};
}

p4c_status rt_model_render_chat(const p4c_model *m, const char *json, size_t n_bytes,
                                p4c_chat *chat, p4c_error *error) {
    p4c_status s = need_tokenizer(m, error);
    if (s != P4C_OK) return s;
    if (!m->language.has_template)
        return rt_fail(error, P4C_ERR_NO_TEMPLATE, "the model has no chat template");
    if (!json || !chat) return rt_fail(error, P4C_ERR_ARGUMENT, "render_chat: no JSON or no place");
    const rt_template_clock now = utc_now();
    rt_rendered r = {0};
    rt_ids ids = {0};
    s = rt_template_render_json(&m->language.chat, json, n_bytes, &now, &m->mem, &r, error);
    if (s == P4C_OK) {
        const rt_encode_input in = {
            .text = r.text, .n = r.n, .parse_special = true, .plain = r.mask};
        s = encode(m, in, &ids, error);
    }
    if (s == P4C_OK) {
        *chat = (p4c_chat){r.text, r.n, ids.at, ids.n};
        r.text = NULL; /* the caller's now */
    } else {
        rt_release(&m->mem, ids.at);
    }
    rt_rendered_free(&r, &m->mem);
    return s;
}

/* ---- streams ---- */

struct p4c_stream {
    const p4c_api *api; /* first: p4c_api_of() */
    p4c_model *model;
    rt_decoder decoder;
    rt_bytes text; /* of the last call */
};

p4c_status rt_stream_open(const p4c_model *model, unsigned flags, p4c_stream **out,
                          p4c_error *error) {
    /* streams keep the model alive: its count of references is the one thing they change */
    p4c_model *const m = (p4c_model *)(uintptr_t)model;
    const p4c_status status = need_tokenizer(m, error);
    if (status != P4C_OK) return status;
    if (!out || flags & ~(unsigned)P4C_SKIP_SPECIAL)
        return rt_fail(error, P4C_ERR_ARGUMENT, "stream: flags or place for the stream");
    p4c_stream *const s = rt_get(&m->mem, 1, sizeof *s);
    if (!s) return rt_fail_memory(error, "a stream");
    *s = (p4c_stream){.api = m->api, .model = m};
    s->decoder = rt_decode_start(&m->language.tokenizer, flags != 0);
    rt_model_hold(m);
    *out = s;
    return P4C_OK;
}

static p4c_status stream_out(p4c_stream *s, const char **text, size_t *n_bytes, p4c_error *error) {
    if (!terminate(s->model, &s->text)) return rt_fail_memory(error, "the text");
    *text = s->text.at;
    *n_bytes = s->text.n;
    return P4C_OK;
}

p4c_status rt_stream_add(p4c_stream *s, int32_t id, const char **text, size_t *n_bytes,
                         p4c_error *error) {
    if (!text || !n_bytes) return rt_fail(error, P4C_ERR_ARGUMENT, "no place for the text");
    const rt_decoder before = s->decoder;
    s->text.n = 0;
    p4c_status status = P4C_ERR_NO_MEMORY;
    if (rt_decode_id(&s->decoder, &s->model->mem, id, &s->text))
        status = stream_out(s, text, n_bytes, error);
    else rt_fail_memory(error, "the text");
    if (status != P4C_OK) s->decoder = before;
    return status;
}

p4c_status rt_stream_end(p4c_stream *s, const char **text, size_t *n_bytes, p4c_error *error) {
    if (!text || !n_bytes) return rt_fail(error, P4C_ERR_ARGUMENT, "no place for the text");
    const rt_decoder before = s->decoder;
    s->text.n = 0;
    p4c_status status = P4C_ERR_NO_MEMORY;
    if (rt_decode_end(&s->decoder, &s->model->mem, &s->text))
        status = stream_out(s, text, n_bytes, error);
    else rt_fail_memory(error, "the text");
    if (status != P4C_OK) s->decoder = before;
    return status;
}

void rt_stream_close(p4c_stream *s) {
    p4c_model *const m = s->model;
    rt_release(&m->mem, s->text.at);
    rt_release(&m->mem, s);
    rt_model_drop(m);
}
