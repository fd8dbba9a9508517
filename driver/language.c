/* language.c - see language.h. */
#include "driver/language.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The runtime would go on without; a compiler that does leaves a stop token out of an artifact. */
static void *get(void *context, size_t n_bytes) {
    (void)context;
    void *p = malloc(n_bytes);
    if (!p) arena_out_of_memory(n_bytes);
    return p;
}

static void put(void *context, void *p) {
    (void)context;
    free(p);
}

const rt_alloc language_alloc = {.alloc = get, .free = put};

bool language_open(str tokenizer, str chat_template, const char *path, diag_code damaged, diag *d,
                   language *out) {
    *out = (language){.path = path};
    if (!tokenizer.n)
        return diag_error(d, DIAG_RUN_NO_TOKENIZER, (diag_loc){.file = path},
                          "there is no tokenizer");
    if (!rt_tokenizer_open(&out->tokenizer, tokenizer.at, tokenizer.n))
        return diag_error(d, damaged, (diag_loc){.file = path}, "the tokenizer's table is damaged");
    const char *what;
    if (chat_template.n && !rt_template_open(chat_template.at, chat_template.n, &out->chat, &what))
        return diag_error(d, damaged, (diag_loc){.file = path},
                          "the chat template's table is damaged (%s)", what);
    out->has_template = chat_template.n > 0;
    return true;
}

static bool no_memory(const language *l, diag *d) {
    return diag_error(d, DIAG_RUN_NO_MEMORY, (diag_loc){.file = l->path}, "out of memory");
}

static bool encode(const language *l, rt_encode_input in, diag *d, rt_ids *ids) {
    if (in.n > RT_ENCODE_MAX)
        return diag_error(d, DIAG_INPUT_READ, (diag_loc){0},
                          "the text has %zu bytes, at most %zu are allowed", in.n, RT_ENCODE_MAX);
    return rt_encode(&l->tokenizer, &language_alloc, in, ids) || no_memory(l, d);
}

bool language_encode(const language *l, str s, bool parse_special, diag *d, rt_ids *ids) {
    return encode(l, (rt_encode_input){.text = s.at, .n = s.n, .parse_special = parse_special}, d,
                  ids);
}

static bool render(const language *l, str chat, rt_rendered *out, p4c_error *error) {
    const rt_template_clock now = {.local_s = (int64_t)time(NULL)};
    *error = (p4c_error){0};
    return rt_template_render_json(&l->chat, chat.at, chat.n, &now, &language_alloc, out, error) ==
           P4C_OK;
}

bool language_encode_chat(const language *l, str chat, const char *chat_path, diag *d,
                          text *rendered, rt_ids *ids) {
    rt_rendered r = {0};
    p4c_error error;
    if (!l->has_template)
        return diag_error(d, DIAG_RUN_NO_TEMPLATE, (diag_loc){.file = l->path},
                          "there is no chat template");
    if (!render(l, chat, &r, &error))
        return diag_error(d, DIAG_RUN_BAD_INPUT, (diag_loc){.file = chat_path}, "%s", error.text);
    const rt_encode_input in = {.text = r.text, .n = r.n, .parse_special = true, .plain = r.mask};
    const bool ok = encode(l, in, d, ids);
    if (rendered) text_add(rendered, (str){r.text, r.n});
    rt_rendered_free(&r, &language_alloc);
    return ok;
}

bool language_decode(const language *l, const int32_t *ids, size_t n, bool skip_special, diag *d,
                     text *out) {
    rt_bytes bytes = {0};
    const bool ok = rt_decode(&l->tokenizer, &language_alloc, ids, n, skip_special, &bytes);
    if (ok) text_add(out, (str){bytes.at, bytes.n});
    free(bytes.at);
    return ok || no_memory(l, d);
}

bool language_end_of_turn(const language *l, int32_t *id) {
    static const char ANSWER[] = "answer7391";
    const str chat = STR(
        "{\"messages\":[{\"role\":\"user\",\"content\":\"question\"},"
        "{\"role\":\"assistant\",\"content\":\"answer7391\"}],\"add_generation_prompt\":false}");
    rt_rendered r = {0};
    p4c_error error;
    if (!l->has_template || !render(l, chat, &r, &error)) return false;
    const char *at = strstr(r.text, ANSWER);
    bool found = false;
    if (at) {
        at += sizeof ANSWER - 1;
        at += strspn(at, " \t\r\n");
        /* the longest text that is an added token */
        for (size_t n = strnlen(at, RT_TOK_MAX_ADDED_BYTES); n && !found; n--) {
            const int32_t added = rt_tokenizer_find_added(&l->tokenizer, at, n);
            if (added < 0) continue;
            *id = added;
            found = true;
        }
    }
    rt_rendered_free(&r, &language_alloc);
    return found;
}
