/* fuzz_encode.c - any bytes as text, as ids, and as damage to a table.
 *
 * First byte: which tokenizer (low 2 bits), damage (bit 2).  Then text; its bytes also are the mask
 * and the ids.
 */
#include <stdlib.h>

#include "tests/support/tokenizer_fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { N_TOKENIZERS = 3 };

/* cl100k, o200k and GPT-2 patterns, with few merges and with added tokens of all kinds. */
static tok_fixture *tokenizers(void) {
    static tok_fixture f[N_TOKENIZERS];
    if (f[0].mem) return f;
    static arena *mem; /* lives as long as the program */
    mem = arena_open();
    const str base = tok_file(mem, P4C_TESTS "/golden/malformed/valid-base", "tokenizer.json");
    const char *const plain = "\"content\":\"<|pad|>\",\"single_word\":false,\"lstrip\":false,"
                              "\"rstrip\":false,\"normalized\":false";
    str gpt2 =
        tok_replace(mem, base, plain, "\"content\":\"<|a\",\"lstrip\":true,\"normalized\":true");
    gpt2 = tok_replace(
        mem, gpt2,
        "\"content\":\"<|im_end|>\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false",
        "\"content\":\" b\\n\",\"rstrip\":true");
    gpt2 = tok_replace(
        mem, gpt2, "\"pre_tokenizer\":{",
        "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},\"unused\":{");
    if (!tok_fixture_json(&f[0], base, 0) || !tok_fixture_json(&f[2], gpt2, 0) ||
        !tok_fixture_dir(&f[1], P4C_TESTS "/golden/tokenizer-mini-tiny", 0))
        abort();
    return f;
}

static bool same_ids(const rt_ids *a, const rt_ids *b) {
    return a->n == b->n && (!a->n || !memcmp(a->at, b->at, a->n * sizeof *a->at));
}

static void encode(tok_fixture *f, str s, arena *mem) {
    uint8_t *all = arena_array(mem, uint8_t, s.n + 1);
    memset(all, 1, s.n);
    tok_encode(f, s, false, NULL);
    if (!tok_ids_spell(f, s)) abort();
    rt_ids plain = {.n = f->ids.n};
    if (plain.n) plain.at = (int32_t *)arena_copy(mem, f->ids.at, plain.n * sizeof *plain.at);
    tok_encode(f, s, true, all); /* all masked: as without special tokens */
    if (!same_ids(&f->ids, &plain)) abort();
    tok_encode(f, s, true, (const uint8_t *)s.at);
    tok_encode(f, s, true, NULL);
    tok_decode(f, true);
}

/* Any numbers as ids; then what was decoded is text, encodes and comes back. */
static void decode(tok_fixture *f, str s) {
    f->ids.n = 0;
    for (size_t i = 0; i + 1 < s.n; i += 2) {
        int16_t id;
        memcpy(&id, s.at + i, sizeof id);
        if (!rt_ids_add(&f->alloc, &f->ids, id % 400)) abort();
    }
    tok_decode(f, false);
    for (size_t at = 0, step; at < f->bytes.n; at += step) {
        uint32_t cp;
        step = rt_utf8_next((uint8_t *)f->bytes.at + at, f->bytes.n - at, &cp);
        if (cp == RT_UTF8_BAD) abort();
    }
}

/* Flips bits where the input says; what still opens is used. */
static void damage(const tok_fixture *f, str s, arena *mem) {
    tok_fixture hurt = *f;
    uint8_t *copy = arena_get(mem, f->blob.n, RT_TOK_ALIGN);
    memcpy(copy, f->blob.at, f->blob.n);
    for (size_t i = 0; i + 2 < s.n && i < 30; i += 3) {
        uint16_t where;
        memcpy(&where, s.at + i, sizeof where);
        copy[where % f->blob.n] ^= (uint8_t)s.at[i + 2];
    }
    if (!rt_tokenizer_open(&hurt.t, copy, f->blob.n)) return;
    hurt.ids = (rt_ids){0};
    hurt.bytes = (rt_bytes){0};
    for (int special = 0; special < 2; special++) {
        tok_encode(&hurt, s, special, NULL);
        tok_decode(&hurt, special);
    }
    free(hurt.ids.at);
    free(hurt.bytes.at);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!size) return 0;
    tok_fixture *f = &tokenizers()[(data[0] & 3) % N_TOKENIZERS];
    const str s = {(const char *)data + 1, size - 1};
    arena *mem = arena_open();
    if (data[0] & 4) {
        damage(f, s, mem);
    } else {
        encode(f, s, mem);
        decode(f, s);
    }
    arena_close(mem);
    return 0;
}
