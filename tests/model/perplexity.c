/* perplexity.c - perplexity of a text by the protocol of phi-tiny's stories.json: windows of 512
 * tokens, stride 512, no bos, a last short window dropped, tokens 2..512 of each scored.
 *
 *     perplexity ARTIFACT TEXT REFERENCE.json PERCENT
 * fails where the result is off the reference's float32 figure by more than PERCENT. */
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/model/loaded.h"

enum { WINDOW = 512 };

static double nll_of(const float *logits, int64_t n, int32_t id) {
    double max = -INFINITY, sum = 0;
    for (int64_t i = 0; i < n; i++) max = logits[i] > max ? logits[i] : max;
    for (int64_t i = 0; i < n; i++) sum += exp((double)logits[i] - max);
    return log(sum) + max - (double)logits[id];
}

static double window_nll(const loaded *l, const int32_t *ids, float *logits) {
    p4c_error error = {0};
    p4c_session *s;
    must(p4c_session_open(l->model, &s, &error), &error, "session");
    const p4c_item item = {.session = s,
                           .ids = ids,
                           .n_ids = WINDOW,
                           .logits = P4C_LOGITS_ALL,
                           .out = logits,
                           .n_out = (int64_t)WINDOW * l->info.vocab};
    must(p4c_eval(l->model, &item, 1, &error), &error, "eval");
    p4c_session_close(s);
    double nll = 0;
    for (int i = 0; i + 1 < WINDOW; i++)
        nll += nll_of(logits + (int64_t)i * l->info.vocab, l->info.vocab, ids[i + 1]);
    return nll;
}

static double number(const cJSON *o, const char *key) {
    const cJSON *v = cJSON_GetObjectItem(o, key);
    if (!cJSON_IsNumber(v)) {
        fprintf(stderr, "the reference has no %s\n", key);
        exit(1);
    }
    return v->valuedouble;
}

int main(int argc, char **argv) {
    if (argc != 5) return 2;
    loaded l;
    if (loaded_open(argv[1], 0, NULL, &l)) return 1;
    size_t n_bytes, n_json;
    char *text = read_text(argv[2], &n_bytes), *source = read_text(argv[3], &n_json);
    cJSON *reference = cJSON_Parse(source);
    const cJSON *facts =
        cJSON_GetObjectItem(reference, "text") ? cJSON_GetObjectItem(reference, "text") : reference;
    p4c_error error = {0};
    int32_t *ids;
    size_t n_ids;
    must(p4c_tokenize(l.model, text, n_bytes, 0, &ids, &n_ids, &error), &error, "tokenize");
    float *logits = malloc((size_t)WINDOW * l.info.vocab * sizeof *logits);
    const int64_t n_windows = (int64_t)n_ids / WINDOW;
    double nll = 0;
    for (int64_t w = 0; w < n_windows; w++) nll += window_nll(&l, ids + w * WINDOW, logits);
    const double scored = (double)(n_windows * (WINDOW - 1)), ppl = exp(nll / scored);
    const double want = number(cJSON_GetObjectItem(reference, "float32"), "perplexity");
    const double off = 100 * (ppl / want - 1);
    printf("%s %s: %zu tokens, %lld windows, perplexity %.6f, reference %.6f, off by %+.4f %%, "
           "allowed %s %%\n",
           l.info.quant, l.info.cpu, n_ids, (long long)n_windows, ppl, want, off, argv[4]);
    const bool same_text =
        (double)n_ids == number(facts, "tokens") && scored == number(facts, "scored_tokens");
    if (!same_text) fprintf(stderr, "the text has other tokens than the reference says\n");
    p4c_free(l.model, ids);
    free(logits);
    free(text);
    free(source);
    cJSON_Delete(reference);
    loaded_close(&l);
    return same_text && fabs(off) <= strtod(argv[4], NULL) ? 0 : 1;
}
