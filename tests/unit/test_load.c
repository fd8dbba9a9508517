#include "base/cpuinfo.h"
#include "runtime/load.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/artifact_file.h"
#include "tests/unit/fake_model.h"
#include "tests/unit/unit.h"

static p4c_status load(const fake *f, p4c_error *error) {
    rt_tables t;
    const rt_model_source source = fake_source(f);
    memset(error, 0, sizeof *error);
    return rt_load_tables(&source, &t, error);
}

static void a_sound_artifact_is_read(void) {
    fake *const f = fake_new(fake_default_options());
    const rt_model_source source = fake_source(f);
    rt_tables t;
    p4c_error error = {0};
    CU_ASSERT_EQUAL_FATAL(rt_load_tables(&source, &t, &error), P4C_OK);
    CU_ASSERT_PTR_EQUAL(t.meta, f->meta);
    CU_ASSERT_PTR_EQUAL(t.plan, f->plan);
    CU_ASSERT_PTR_EQUAL(t.launch, f->launch);
    CU_ASSERT_PTR_EQUAL(t.weights, (uint8_t *)f->script - 4);
    CU_ASSERT(t.weights_bytes > 0 && t.tokenizer.n_bytes > 0);
    CU_ASSERT_EQUAL(t.chat_template.n_bytes, 0);
    CU_ASSERT_EQUAL(t.n_dummy, 0);
    const rt_span config = rt_find_span(t.header, "config");
    CU_ASSERT_EQUAL(config.n_bytes, 22);
    CU_ASSERT_EQUAL(rt_find_span(t.header, "elf").n_bytes, 0);
    CU_ASSERT_EQUAL(rt_find_span(t.header, "nothing").n_bytes, 0);
    fake_free(f);
}

/* One change, sealed again so that the checksums fit, and what must be said. */
typedef struct harm {
    const char *says;
    void (*change)(fake *f);
} harm;

#define HARM(name, statement)                                                                      \
    static void name(fake *f) { statement; }
HARM(magic, f->header->magic[0] = 'x')
HARM(abi, f->header->abi++)
HARM(no_layers, f->meta->n_layers = 0)
HARM(many_layers, f->meta->n_layers = 1 << 20)
HARM(head_size, f->meta->head_dim = 17)
HARM(kv_heads, f->meta->n_kv_heads = 3)
HARM(kv_type, f->meta->kv_dtype = 2)
HARM(block_bytes, f->meta->kv_block_bytes += 64)
HARM(batch, f->meta->max_batch = 0)
HARM(no_capacity, f->meta->max_seq_tok = 0)
HARM(huge_step, f->meta->max_batch = 1 << 16; f->meta->max_seq_tok = 1 << 24)
HARM(vocab, f->meta->vocab = 0)
HARM(stops, f->meta->n_stops = RT_MAX_STOPS + 1)
HARM(temperature, f->meta->temperature = 0)
HARM(nan_top_p, memset(&f->meta->top_p, 0xff, 4))
HARM(min_p, f->meta->min_p = 1.5f)
HARM(penalty, f->meta->repetition_penalty = -1)
HARM(open_name, memset(f->meta->name, 'x', sizeof f->meta->name))
HARM(dummy_without_table, f->meta->dummy = 1)
HARM(launches_more, f->plan->n_launches++)
HARM(launches_wrap, f->plan->n_launches = UINT32_MAX)
HARM(no_tokens, f->plan->max_tokens = 0)
HARM(rows, f->plan->max_rows = f->plan->max_tokens + 1)
HARM(arena, f->plan->arena_bytes = UINT64_MAX)
HARM(small_arena, f->plan->arena_bytes = 64)
HARM(scratch, f->plan->scratch_bytes = (uint64_t)1 << 40)
HARM(kernel, f->launch[3].kernel[2] = FAKE_KERNELS - 1)
HARM(flag, f->launch[2].barrier = 2)
HARM(operands, f->launch[1].n_operands = RT_MAX_OPERANDS + 1)
HARM(result, f->launch[1].result = 2)
HARM(space, f->launch[2].operand[0].space = 9)
HARM(arena_operand, f->launch[2].operand[0].offset = f->plan->arena_bytes)
HARM(weight_operand, f->launch[6].operand[2].offset = (uint64_t)1 << 40)
HARM(layer_operand, f->launch[3].operand[1].offset = FAKE_KV_BLOCK_BYTES)
HARM(logits_operand, f->launch[6].operand[3].offset = 4)

static const harm HARMS[] = {
    {"not an artifact", magic},
    {"another format", abi},
    {"meta: n_layers", no_layers},
    {"meta: n_layers", many_layers},
    {"meta: kv_block_bytes", head_size},
    {"meta: n_heads", kv_heads},
    {"meta: kv_dtype", kv_type},
    {"meta: kv_block_bytes", block_bytes},
    {"meta: max_batch", batch},
    {"meta: max_seq_tok", no_capacity},
    {"meta: max_batch", huge_step},
    {"meta: vocab", vocab},
    {"meta: n_stops", stops},
    {"meta: temperature", temperature},
    {"meta: top_p", nan_top_p},
    {"meta: min_p", min_p},
    {"meta: repetition_penalty", penalty},
    {"meta: a name", open_name},
    {"section dummy", dummy_without_table},
    {"plan: number of launches", launches_more},
    {"plan: number of launches", launches_wrap},
    {"plan: max_tokens", no_tokens},
    {"plan: max_rows", rows},
    {"plan: arena_bytes", arena},
    {"plan: an operand", small_arena},
    {"plan: scratch_bytes", scratch},
    {"plan: a kernel", kernel},
    {"plan: a flag", flag},
    {"plan: number of operands", operands},
    {"plan: number of operands", result},
    {"plan: an operand", space},
    {"plan: an operand", arena_operand},
    {"plan: an operand", weight_operand},
    {"plan: an operand", layer_operand},
    {"plan: an operand", logits_operand},
};

static void each_wrong_field_is_named(void) {
    for (size_t i = 0; i < COUNT_OF(HARMS); i++) {
        fake *const f = fake_new(fake_default_options());
        HARMS[i].change(f);
        fake_seal(f);
        p4c_error error;
        CU_ASSERT_EQUAL(load(f, &error), P4C_ERR_BAD_ARTIFACT);
        CU_ASSERT_EQUAL(error.status, P4C_ERR_BAD_ARTIFACT);
        if (!strstr(error.text, HARMS[i].says)) {
            fprintf(stderr, "harm %zu: \"%s\", not \"%s\"\n", i, error.text, HARMS[i].says);
            CU_FAIL("another message");
        }
        fake_free(f);
    }
}

static void checksums_tell_any_flipped_bit(void) {
    fake *const f = fake_new(fake_default_options());
    static const char *const SECTIONS[] = {"header", "meta", "plan", "tokenizer", "config"};
    p4c_error error;
    for (size_t i = 0; i < COUNT_OF(SECTIONS); i++) {
        const rt_section *const s = rt_section_find(f->header, SECTIONS[i]);
        CU_ASSERT_PTR_NOT_NULL_FATAL(s);
        const uint64_t offset = s->offset, bytes = s->bytes;
        for (uint64_t b = 0; b < bytes; b += 1 + bytes / 120) {
            f->data[offset + b] ^= (uint8_t)(1 << b % 8);
            if (load(f, &error) != P4C_ERR_BAD_ARTIFACT) CU_FAIL("a flipped bit was not seen");
            f->data[offset + b] ^= (uint8_t)(1 << b % 8);
        }
    }
    CU_ASSERT_EQUAL(load(f, &error), P4C_OK);
    fake_free(f);
}

/* Hostile tables have right checksums: whatever they hold, loading ends with a status. */
static void sealed_damage_never_crashes(void) {
    fake_options o = fake_default_options();
    o.no_tokenizer = true; /* fewer bytes to sum */
    fake *const f = fake_new(o);
    const uint64_t front = (uint64_t)((uint8_t *)(f->launch + FAKE_LAUNCHES) - f->data);
    const uint64_t n_bytes = f->n_bytes;
    uint8_t *const before = malloc(front);
    uint64_t random = 1;
    int n_ok = 0, n_bad = 0;
    if (!before) abort();
    memcpy(before, f->data, front);
    for (int i = 0; i < 600; i++) {
        const uint32_t n = 1 + fake_random(&random) % 3;
        for (uint32_t k = 0; k < n; k++) {
            const uint32_t at = fake_random(&random) % (uint32_t)front;
            f->data[at] ^= (uint8_t)(1 << fake_random(&random) % 8);
        }
        fake_seal(f);
        p4c_error error;
        const p4c_status s = load(f, &error);
        CU_ASSERT(s == P4C_OK || s == P4C_ERR_BAD_ARTIFACT);
        if (s == P4C_OK) n_ok++;
        else n_bad++;
        memcpy(f->data, before, front);
    }
    CU_ASSERT_EQUAL(f->n_bytes, n_bytes);
    CU_ASSERT(n_ok > 0 && n_bad > n_ok);
    free(before);
    fake_free(f);
}

static void data_that_is_cut_off_is_refused(void) {
    fake *const f = fake_new(fake_default_options());
    const uint64_t whole = f->n_bytes;
    p4c_error error;
    for (uint64_t n = 0; n < whole; n += n < 8192 ? 64 : 65536) {
        f->n_bytes = n;
        CU_ASSERT_EQUAL(load(f, &error), P4C_ERR_BAD_ARTIFACT);
    }
    f->n_bytes = whole - 1;
    CU_ASSERT_EQUAL(load(f, &error), P4C_ERR_BAD_ARTIFACT);
    f->n_bytes = whole;
    CU_ASSERT_EQUAL(load(f, &error), P4C_OK);
    rt_model_source source = fake_source(f);
    rt_tables t;
    source.data += 4;
    CU_ASSERT_EQUAL(rt_load_tables(&source, &t, &error), P4C_ERR_BAD_ARTIFACT);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "aligned"));
    fake_free(f);
}

static void made_up_weights_have_a_table(void) {
    fake_options o = fake_default_options();
    o.dummy = true;
    fake *const f = fake_new(o);
    const rt_model_source source = fake_source(f);
    rt_tables t;
    p4c_error error = {0};
    CU_ASSERT_EQUAL_FATAL(rt_load_tables(&source, &t, &error), P4C_OK);
    CU_ASSERT_PTR_NULL(t.weights);
    CU_ASSERT_EQUAL(t.n_dummy, 1);
    CU_ASSERT_EQUAL(t.weights_bytes, t.dummy[0].bytes);
    ((rt_dummy *)(uintptr_t)t.dummy)->fill = 99;
    fake_seal(f);
    CU_ASSERT_EQUAL(load(f, &error), P4C_ERR_BAD_ARTIFACT);
    fake_free(f);
}

/* ---- variants ---- */

enum { V3 = CPU_X86_64_V3, VNNI = CPU_AVX_VNNI, V4 = CPU_AVX512_VNNI, BF16 = CPU_AVX512_BF16 };
static const rt_variant VARIANTS[] = {
    {"x86-64-v3", V3, NULL},
    {"avxvnni", V3 | VNNI, NULL},
    {"avx512vnni", V3 | V4, NULL},
    {"avx512bf16", V3 | V4 | BF16, NULL},
};
static const rt_image IMAGE = {RT_ABI, COUNT_OF(VARIANTS), VARIANTS};

static const char *picked(uint64_t bits, const char *name, p4c_status want, p4c_error *error) {
    const rt_variant *v = NULL;
    CU_ASSERT_EQUAL(rt_pick_variant(&IMAGE, bits, name, &v, error), want);
    return v ? v->name : "";
}

static void the_best_variant_that_runs_is_picked(void) {
    p4c_error e = {0};
    CU_ASSERT_STRING_EQUAL(picked(V3, NULL, P4C_OK, &e), "x86-64-v3");
    CU_ASSERT_STRING_EQUAL(picked(V3 | VNNI, NULL, P4C_OK, &e), "avxvnni");
    CU_ASSERT_STRING_EQUAL(picked(V3 | V4, NULL, P4C_OK, &e), "avx512vnni");
    CU_ASSERT_STRING_EQUAL(picked(V3 | V4 | VNNI | BF16, NULL, P4C_OK, &e), "avx512bf16");
    CU_ASSERT_STRING_EQUAL(picked(V3 | BF16, NULL, P4C_OK, &e), "x86-64-v3");
    CU_ASSERT_STRING_EQUAL(picked(V3 | V4 | BF16, "x86-64-v3", P4C_OK, &e), "x86-64-v3");
    picked(0, NULL, P4C_ERR_NO_CPU, &e);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.text, "x86-64-v3"));
    picked(V3, "avx512bf16", P4C_ERR_NO_CPU, &e);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.text, "avx512bf16"));
    picked(V3, "pentium", P4C_ERR_ARGUMENT, &e);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.text, "pentium"));
    const rt_image other = {RT_ABI + 1, 1, VARIANTS};
    const rt_variant *v = NULL;
    CU_ASSERT_EQUAL(rt_pick_variant(&other, V3, NULL, &v, &e), P4C_ERR_BAD_ARTIFACT);
}

static void kernels_must_be_there(void) {
    fake *const f = fake_new(fake_default_options());
    const rt_model_source source = fake_source(f);
    rt_tables t;
    p4c_error error = {0};
    CU_ASSERT_EQUAL_FATAL(rt_load_tables(&source, &t, &error), P4C_OK);
    rt_kernel_entry kernels[FAKE_KERNELS];
    memcpy(kernels, p4c_image.variants[0].kernels, sizeof kernels);
    const rt_variant v = {"copy", 0, kernels};
    CU_ASSERT_EQUAL(rt_check_kernels(&v, &t, &error), P4C_OK);
    kernels[4].units = -1;
    CU_ASSERT_EQUAL(rt_check_kernels(&v, &t, &error), P4C_ERR_BAD_ARTIFACT);
    kernels[4].units = INT64_MAX;
    CU_ASSERT_EQUAL(rt_check_kernels(&v, &t, &error), P4C_ERR_BAD_ARTIFACT);
    kernels[4].units = 1;
    kernels[1].fn = NULL;
    CU_ASSERT_EQUAL(rt_check_kernels(&v, &t, &error), P4C_ERR_BAD_ARTIFACT);
    fake_free(f);
}

UNIT_MAIN("load", {"a sound artifact is read", a_sound_artifact_is_read},
          {"each wrong field is named", each_wrong_field_is_named},
          {"checksums tell any flipped bit", checksums_tell_any_flipped_bit},
          {"sealed damage never crashes", sealed_damage_never_crashes},
          {"data that is cut off is refused", data_that_is_cut_off_is_refused},
          {"made-up weights have a table", made_up_weights_have_a_table},
          {"the best variant that runs is picked", the_best_variant_that_runs_is_picked},
          {"kernels must be there", kernels_must_be_there})
