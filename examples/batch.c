/* batch.c - several sequences of different lengths in one step: every weight is read once for all
 * of them.
 *
 *     cc -Iruntime examples/batch.c ./phi-tiny.so -Wl,-rpath,'$ORIGIN' -o batch
 *     ./batch "Once upon a time" "The day after Monday is" "A"
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "p4c.h"

enum { MAX_SEQUENCES = 16, NEW_TOKENS = 24 };

typedef struct sequence {
    p4c_session *session;
    int32_t *ids; /* prompt */
    size_t n_ids;
    int32_t next;
    int32_t out[NEW_TOKENS];
} sequence;

static p4c_status open_sequence(p4c_model *model, sequence *s, const char *prompt,
                                p4c_error *error) {
    const p4c_status status =
        p4c_tokenize(model, prompt, strlen(prompt), 0, &s->ids, &s->n_ids, error);
    return status == P4C_OK ? p4c_session_open(model, &s->session, error) : status;
}

/* One step: the prompts first, then one token for each sequence. */
static p4c_status step(p4c_model *model, sequence *s, int n, int t, float *logits, int64_t vocab,
                       p4c_error *error) {
    p4c_item items[MAX_SEQUENCES];
    for (int i = 0; i < n; i++)
        items[i] = (p4c_item){.session = s[i].session,
                              .ids = t ? &s[i].next : s[i].ids,
                              .n_ids = t ? 1 : (int64_t)s[i].n_ids,
                              .logits = P4C_LOGITS_LAST,
                              .out = logits + i * vocab,
                              .n_out = vocab};
    p4c_status status = p4c_eval(model, items, (size_t)n, error);
    for (int i = 0; status == P4C_OK && i < n; i++) {
        status = p4c_sample(s[i].session, items[i].out, vocab, &s[i].next, error);
        s[i].out[t] = s[i].next;
    }
    return status;
}

int main(int argc, char **argv) {
    const p4c_api *api = p4c_get_api(P4C_API_VERSION);
    if (!api) return fprintf(stderr, "the artifact does not know this version of p4c.h\n"), 1;
    const int n = argc - 1 < MAX_SEQUENCES ? argc - 1 : MAX_SEQUENCES;
    if (n < 1) return fprintf(stderr, "usage: batch PROMPT...\n"), 2;
    p4c_error error;
    p4c_model *model = NULL;
    p4c_info info = {.size = sizeof info};
    sequence s[MAX_SEQUENCES] = {0};
    const p4c_open_params open = p4c_default_open_params();
    p4c_status status = p4c_open(api, &open, &model, &error);
    if (status == P4C_OK) status = p4c_get_info(model, &info, &error);
    for (int i = 0; status == P4C_OK && i < n; i++)
        status = open_sequence(model, &s[i], argv[i + 1], &error);
    float *logits = malloc((size_t)n * (info.vocab ? info.vocab : 1) * sizeof *logits);
    if (!logits) return 6;
    for (int t = 0; status == P4C_OK && t < NEW_TOKENS; t++)
        status = step(model, s, n, t, logits, info.vocab, &error);
    for (int i = 0; status == P4C_OK && i < n; i++) {
        char *text;
        size_t n_bytes;
        status =
            p4c_detokenize(model, s[i].out, NEW_TOKENS, P4C_SKIP_SPECIAL, &text, &n_bytes, &error);
        if (status != P4C_OK) break;
        printf("%s%s\n", argv[i + 1], text);
        p4c_free(model, text);
    }
    if (status != P4C_OK) fprintf(stderr, "batch: %s\n", error.text);
    for (int i = 0; i < n; i++) {
        if (model) p4c_free(model, s[i].ids);
        p4c_session_close(s[i].session);
    }
    free(logits);
    p4c_close(model);
    return p4c_status_exit(status);
}
