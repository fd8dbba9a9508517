/* fuzz_tokenizer_json.c - any text as tokenizer.json, or as tokenizer_config.json beside a sound
 * one (first byte
 * '#'): what is accepted opens, encodes and decodes. */
#include <stdlib.h>

#include "tests/support/tokenizer_fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(tok_fixture *f) {
    static const str TEXT = {"The 2 foxes' \xe4\xb8\xad <|im_end|> \xff\n\n", 31};
    for (int special = 0; special < 2; special++) {
        tok_encode(f, TEXT, special, NULL);
        tok_decode(f, special);
        for (size_t i = 0; i < f->ids.n; i++)
            if (!(rt_token_flags(&f->t, f->ids.at[i]) & RT_TOK_IS_TOKEN)) abort();
    }
    tok_encode(f, TEXT, false, NULL);
    if (!tok_ids_spell(f, TEXT)) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static arena *mem; /* lives as long as the program */
    static str base;
    if (!mem) mem = arena_open();
    if (!base.at) base = tok_file(mem, P4C_TESTS "/golden/malformed/valid-base", "tokenizer.json");
    const str input = {(const char *)data, size};
    const bool is_config = size && data[0] == '#';
    const fe_tokenizer_text in = {
        .tokenizer = is_config ? base : input,
        .config = is_config ? (str){input.at + 1, size - 1} : (str){NULL, 0},
        .tokenizer_file = "tokenizer.json",
        .config_file = "tokenizer_config.json",
        .special_map_file = "special_tokens_map.json",
    };
    tok_fixture f;
    tok_fixture_begin(&f);
    const bool ok = fe_import_tokenizer_text(&in, size & 1 ? 300 : 0, f.mem, &f.d, &f.blob);
    if (ok == (f.d.n_errors > 0)) abort();
    if (ok) {
        if (!rt_tokenizer_open(&f.t, f.blob.at, f.blob.n)) abort();
        use(&f);
    }
    tok_fixture_close(&f);
    return 0;
}
