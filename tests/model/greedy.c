/* greedy.c - greedy continuations of phi-tiny's reference.json.
 *
 *     greedy ARTIFACT REFERENCE.json MARGIN
 * Each continuation whose least margin between the two best tokens is above MARGIN must be equal to
 * the float32 reference; at least one must be above it. */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/model/loaded.h"

typedef struct collected {
    int32_t id[512];
    int n;
} collected;

static int collect(void *context, const p4c_piece *piece) {
    collected *c = context;
    if (piece->id >= 0 && c->n < 512) c->id[c->n++] = piece->id;
    return 0;
}

static int ids_of(const cJSON *list, int32_t *out, int max) {
    int n = 0;
    for (const cJSON *i = list ? list->child : NULL; i && n < max; i = i->next)
        out[n++] = (int32_t)i->valueint;
    return n;
}

static bool is_stop(const cJSON *stops, int32_t id) {
    for (const cJSON *s = stops->child; s; s = s->next)
        if (s->valueint == id) return true;
    return false;
}

/* Tokens that agree before the first difference; *n_want: tokens of the reference without its end
 * token. */
static int agree(const loaded *l, const cJSON *item, const cJSON *stops, int64_t max_tokens,
                 int *n_want) {
    int32_t prompt[512], want[512];
    const cJSON *reference = cJSON_GetObjectItem(item, "float32");
    const int n_prompt = ids_of(cJSON_GetObjectItem(item, "prompt_ids"), prompt, 512);
    *n_want = ids_of(cJSON_GetObjectItem(reference, "ids"), want, 512);
    if (*n_want && is_stop(stops, want[*n_want - 1])) --*n_want;
    p4c_error error = {0};
    p4c_session *s;
    must(p4c_session_open(l->model, &s, &error), &error, "session");
    p4c_sampling sampling;
    p4c_default_sampling(l->model, &sampling);
    sampling.do_sample = 0;
    must(p4c_set_sampling(s, &sampling, &error), &error, "sampling");
    collected got = {.n = 0};
    p4c_generate_params params = p4c_default_generate_params();
    params.max_tokens = max_tokens;
    params.on_piece = collect;
    params.context = &got;
    must(p4c_generate(s, prompt, n_prompt, &params, NULL, &error), &error, "generate");
    p4c_session_close(s);
    int n = 0;
    while (n < *n_want && n < got.n && got.id[n] == want[n]) n++;
    return n == *n_want && got.n != *n_want ? n - 1 : n;
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    loaded l;
    if (loaded_open(argv[1], 0, NULL, &l)) return 1;
    size_t n_bytes;
    char *source = read_text(argv[2], &n_bytes);
    cJSON *reference = cJSON_Parse(source);
    const cJSON *greedy = cJSON_GetObjectItem(reference, "greedy"),
                *stops = cJSON_GetObjectItem(greedy, "stop");
    const int64_t max_tokens = cJSON_GetObjectItem(greedy, "max_new_tokens")->valueint;
    const double allowed = strtod(argv[3], NULL);
    int n_items = 0, n_counted = 0, n_equal = 0, failed = 0;
    for (const cJSON *item = cJSON_GetObjectItem(greedy, "items")->child; item; item = item->next) {
        const double margin =
            cJSON_GetObjectItem(cJSON_GetObjectItem(item, "float32"), "least_margin")->valuedouble;
        int n_want;
        const int n = agree(&l, item, stops, max_tokens, &n_want);
        const bool counted = margin > allowed;
        printf("least margin %.5f: %d of %d tokens%s\n", margin, n, n_want,
               counted ? "" : " (not counted)");
        n_items++;
        n_counted += counted;
        n_equal += n == n_want;
        failed += counted && n != n_want;
    }
    printf("%s %s: %d of %d continuations equal, %d must be, %d failed\n", l.info.quant, l.info.cpu,
           n_equal, n_items, n_counted, failed);
    cJSON_Delete(reference);
    free(source);
    loaded_close(&l);
    return failed || !n_counted ? 1 : 0;
}
