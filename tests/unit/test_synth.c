/* test_synth.c - made-up checkpoints: tensors made in pieces, their distribution, tokenizers that
 * import. */
#include "driver/synth.h"

#include <math.h>
#include <string.h>

#include "base/half.h"
#include "frontend/tokenizer_import.h"
#include "runtime/tokenizer.h"
#include "tests/unit/unit.h"

enum { N_BYTES = 1 << 20 };

static synth_tensor tensor(synth_fill fill, uint64_t seed) {
    return (synth_tensor){.name = "t", .fill = fill, .bytes = N_BYTES, .seed = seed};
}

static void test_pieces(void) {
    static uint8_t whole[N_BYTES], pieces[N_BYTES], other[N_BYTES];
    arena *mem = arena_open();
    const synth_source *s = synth_source_new(mem);
    for (int fill = FILL_NORMAL; fill <= FILL_G_IDX; fill++) {
        const synth_tensor t = tensor((synth_fill)fill, 5), u = tensor((synth_fill)fill, 6);
        synth_make(s, &t, 0, N_BYTES, whole);
        uint64_t n = 8;
        for (uint64_t at = 0; at < N_BYTES; at += n) {
            n = min_i64((int64_t)(at % 4096 + 8), (int64_t)(N_BYTES - at));
            n -= n % 8;
            synth_make(s, &t, at, n, pieces + at);
        }
        CU_ASSERT_EQUAL(memcmp(whole, pieces, N_BYTES), 0);
        /* another seed gives other numbers, where there is chance in them */
        synth_make(s, &u, 0, N_BYTES, other);
        const bool chance = fill != FILL_ZEROS && fill != FILL_G_IDX;
        CU_ASSERT_EQUAL(memcmp(whole, other, N_BYTES) != 0, chance);
    }
    arena_close(mem);
}

typedef struct moments {
    double mean, deviation, kurtosis;
} moments;

static moments measure(const float *x, int n) {
    double sum = 0, squares = 0, fourth = 0;
    for (int i = 0; i < n; i++) sum += x[i];
    const double mean = sum / n;
    for (int i = 0; i < n; i++) {
        const double d = x[i] - mean;
        squares += d * d;
        fourth += d * d * d * d;
    }
    const double variance = squares / n;
    return (moments){mean, sqrt(variance), fourth / n / (variance * variance)};
}

static void test_distribution(void) {
    static uint16_t half[N_BYTES / 2];
    static float x[N_BYTES / 2];
    arena *mem = arena_open();
    const synth_source *s = synth_source_new(mem);
    synth_tensor t = tensor(FILL_NORMAL, 1);
    synth_make(s, &t, 0, N_BYTES, half);
    for (int i = 0; i < N_BYTES / 2; i++) x[i] = bf16_to_f32(half[i]);
    moments m = measure(x, N_BYTES / 2);
    CU_ASSERT_DOUBLE_EQUAL(m.mean, 0, 1e-4);
    CU_ASSERT_DOUBLE_EQUAL(m.deviation, 0.02, 1e-4);
    CU_ASSERT_DOUBLE_EQUAL(m.kurtosis, 3, 0.05);
    t = tensor(FILL_NORM, 1);
    synth_make(s, &t, 0, N_BYTES, half);
    for (int i = 0; i < N_BYTES / 2; i++) x[i] = bf16_to_f32(half[i]);
    m = measure(x, N_BYTES / 2);
    CU_ASSERT_DOUBLE_EQUAL(m.mean, 1, 1e-3);
    CU_ASSERT_DOUBLE_EQUAL(m.deviation, 0.1, 1e-3);
    /* nibbles of all scales together: as the plain weights */
    static uint8_t nibbles[N_BYTES];
    const synth_tensor q = tensor(FILL_NIBBLES, 2), scales = tensor(FILL_SCALES, 3);
    synth_make(s, &q, 0, N_BYTES, nibbles);
    synth_make(s, &scales, 0, N_BYTES, half);
    int n_negative = 0;
    for (int i = 0; i < N_BYTES / 2; i++) {
        const float scale = f16_to_f32(half[i]);
        n_negative += scale < 0;
        x[i] = scale * (float)((nibbles[i] & 15) - 8);
    }
    m = measure(x, N_BYTES / 2);
    CU_ASSERT_DOUBLE_EQUAL(m.mean, 0, 1e-4);
    CU_ASSERT_DOUBLE_EQUAL(m.deviation, 0.02, 3e-4);
    CU_ASSERT(n_negative > N_BYTES / 5 && n_negative < 3 * N_BYTES / 10);
    arena_close(mem);
}

static void test_tokenizers(void) {
    static const struct {
        const char *family, *special;
        int32_t special_id, n_ids; /* n_ids: largest id + 1 */
    } CASES[] = {
        {"phi-4", "<|im_end|>", 100265, 100352},
        {"phi-4", "<|dummy_87|>", 100351, 100352},
        {"phi-4-mini", "<|end|>", 200020, 200029},
        {"phi-3-mini", "<|user|>", 32010, 32011},
    };
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        arena *mem = arena_open();
        diag d = {.mem = mem};
        const synth_family *f = synth_find_family(CASES[i].family);
        CU_ASSERT_PTR_NOT_NULL_FATAL(f);
        text tokenizer = {.mem = mem}, config = {.mem = mem}, special = {.mem = mem};
        synth_tokenizer(f, &tokenizer);
        synth_tokenizer_config(f, &config);
        synth_special_tokens(f, &special);
        const fe_tokenizer_text in = {text_str(&tokenizer),    text_str(&config),
                                      text_str(&special),      "tokenizer.json",
                                      "tokenizer_config.json", "special_tokens_map.json"};
        fe_blob blob;
        const bool ok = fe_import_tokenizer_text(&in, f->vocab, mem, &d, &blob);
        diag_print(&d, stdout);
        CU_ASSERT_FATAL(ok);
        rt_tokenizer t;
        CU_ASSERT_FATAL(rt_tokenizer_open(&t, blob.at, blob.n));
        CU_ASSERT_EQUAL(t.head->n_ids, (uint32_t)CASES[i].n_ids);
        CU_ASSERT_EQUAL(rt_tokenizer_find_added(&t, CASES[i].special, strlen(CASES[i].special)),
                        CASES[i].special_id);
        CU_ASSERT_EQUAL(t.head->eos, f->eos);
        /* the last merge is a token of four letters */
        size_t n;
        rt_token_bytes(&t, (int32_t)(256 + f->n_merges - 1), &n);
        CU_ASSERT_EQUAL(n, 4);
        arena_close(mem);
    }
    CU_ASSERT_PTR_NULL(synth_find_family("phi-5"));
}

UNIT_MAIN("synth", {"tensors in pieces", test_pieces},
          {"distribution of weights", test_distribution}, {"tokenizers", test_tokenizers})
