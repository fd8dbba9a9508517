/* chat.c - a talk of several turns.  Each turn renders the whole talk with the model's chat
 * template; the session keeps what it holds already, so that only new tokens are evaluated.
 *
 *     cc -Iruntime examples/chat.c ./phi-tiny.so -Wl,-rpath,'$ORIGIN' -o chat
 *     printf 'Hello!\nWhat is the opposite of hot?\n' | ./chat
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "p4c.h"

typedef struct buffer {
    char *at;
    size_t n, cap;
} buffer;

static void add(buffer *b, const char *s, size_t n) {
    if (b->n + n + 1 > b->cap) {
        b->cap = 2 * (b->n + n + 1);
        b->at = realloc(b->at, b->cap);
        if (!b->at) exit(6);
    }
    memcpy(b->at + b->n, s, n);
    b->n += n;
    b->at[b->n] = 0;
}

/* The talk is JSON: {"role": "user", "content": "..."}, ... */
static void add_message(buffer *talk, const char *role, const char *content, size_t n) {
    char head[64];
    snprintf(head, sizeof head, "%s{\"role\":\"%s\",\"content\":\"", talk->n ? "," : "", role);
    add(talk, head, strlen(head));
    for (size_t i = 0; i < n; i++) {
        char escaped[8];
        const unsigned char c = (unsigned char)content[i];
        if (c == '"' || c == '\\') snprintf(escaped, sizeof escaped, "\\%c", c);
        else if (c < 0x20) snprintf(escaped, sizeof escaped, "\\u%04x", c);
        else snprintf(escaped, sizeof escaped, "%c", c);
        add(talk, escaped, strlen(escaped));
    }
    add(talk, "\"}", 2);
}

static int on_piece(void *context, const p4c_piece *piece) {
    add(context, piece->text, piece->n_bytes);
    fwrite(piece->text, 1, piece->n_bytes, stdout);
    fflush(stdout);
    return 0;
}

/* Answers the talk so far; the answer goes to stdout and into *answer. */
static p4c_status answer_talk(p4c_model *model, p4c_session *session, const buffer *talk,
                              buffer *answer, p4c_error *error) {
    p4c_chat chat;
    buffer list = {0};
    add(&list, "[", 1);
    add(&list, talk->at, talk->n);
    add(&list, "]", 1);
    p4c_status status = p4c_render_chat(model, list.at, list.n, &chat, error);
    free(list.at);
    if (status != P4C_OK) return status;

    int64_t held, same = 0;
    const int32_t *ids = p4c_session_ids(session, &held);
    while (same < held && same < (int64_t)chat.n_ids - 1 && ids[same] == chat.ids[same]) same++;
    p4c_generate_params params = p4c_default_generate_params();
    params.on_piece = on_piece;
    params.context = answer;
    status = p4c_session_truncate(session, same, error);
    if (status == P4C_OK)
        status = p4c_generate(session, chat.ids + same, (int64_t)chat.n_ids - same, &params, NULL,
                              error);
    p4c_free(model, chat.text);
    p4c_free(model, chat.ids);
    return status;
}

int main(void) {
    const p4c_api *api = p4c_get_api(P4C_API_VERSION);
    if (!api) return fprintf(stderr, "the artifact does not know this version of p4c.h\n"), 1;
    p4c_error error;
    p4c_model *model = NULL;
    p4c_session *session = NULL;
    buffer talk = {0};
    char line[1024];
    const p4c_open_params open = p4c_default_open_params();
    p4c_status status = p4c_open(api, &open, &model, &error);
    if (status == P4C_OK) status = p4c_session_open(model, &session, &error);
    while (status == P4C_OK && fgets(line, sizeof line, stdin)) {
        buffer answer = {0};
        add_message(&talk, "user", line, strcspn(line, "\n"));
        status = answer_talk(model, session, &talk, &answer, &error);
        puts("");
        if (answer.at) add_message(&talk, "assistant", answer.at, answer.n);
        free(answer.at);
    }
    if (status != P4C_OK) fprintf(stderr, "chat: %s\n", error.text);
    free(talk.at);
    p4c_session_close(session);
    p4c_close(model);
    return p4c_status_exit(status);
}
