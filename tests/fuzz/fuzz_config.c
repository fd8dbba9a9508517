/* fuzz_config.c - any text as config.json, and as generation_config.json; what is accepted keeps
 * the promises that the rest of the compiler relies on. */
#include <math.h>
#include <stdlib.h>

#include "base/json.h"
#include "frontend/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const model_config *c) {
    const int64_t H = c->num_attention_heads, G = c->num_key_value_heads, E = c->head_dim;
    if (H < 1 || G < 1 || H % G || E < 2 || E % 2 || c->rot > E || c->rot < 2) abort();
    if (c->hidden_size < 1 || c->intermediate_size < 1 || c->vocab_size < 1) abort();
    if (c->num_hidden_layers < 1 || c->max_position_embeddings < 1) abort();
    if (!isfinite(c->rope_theta) || c->rope_theta <= 0 || !(c->rms_norm_eps >= 0)) abort();
    for (int i = 0; i < c->eos.n; i++)
        if (c->eos.at[i] < 0 || c->eos.at[i] >= c->vocab_size) abort();
    if (c->bos < -1 || c->bos >= c->vocab_size) abort();
    if (!(c->generation.temperature > 0)) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    arena *mem = arena_open();
    diag d = {.mem = mem};
    json j;
    quant_config q;
    model_config c = {.vocab_size = 100};
    if (json_parse((str){(const char *)data, size}, "config.json", mem, &d, &j)) {
        const fe_generation defaults = {.temperature = 1, .top_p = 1, .repetition_penalty = 1};
        bool ok = fe_config_from_json(j.root, "config.json", mem, &d, &c) &&
                  fe_detect_quant("/nowhere", j.root, "config.json", mem, &d, &q);
        c.generation = defaults;
        if (ok) check(&c);
        else c = (model_config){.vocab_size = 100, .generation = defaults};
        if (ok == (d.n_errors > 0)) abort();
        diag_clear(&d);
        ok = fe_generation_from_json(j.root, "generation_config.json", &d, &c);
        if (ok == (d.n_errors > 0)) abort();
        json_free(&j);
    } else if (!d.n_errors) {
        abort();
    }
    arena_close(mem);
    return 0;
}
