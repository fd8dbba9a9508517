/* fake_model.c - see fake_model.h. */
#include "tests/unit/fake_model.h"

#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "base/util.h"
#include "runtime/dummy.h"
#include "runtime/model.h"
#include "runtime/pages.h"
#include "runtime/tokenizer_abi.h"

atomic_int fake_faults;
void (*_Atomic fake_hook)(void);
atomic_int fake_class_runs[RT_N_CLASSES];

static void expect(bool ok) {
    if (!ok) atomic_fetch_add(&fake_faults, 1);
}

uint32_t fake_random(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

void fake_random_ids(uint64_t seed, uint32_t vocab, int32_t *ids, int64_t n) {
    for (int64_t i = 0; i < n; i++) ids[i] = (int32_t)(fake_random(&seed) % vocab);
}

/* ---- the arithmetic ---- */

static uint32_t mix(uint32_t a, uint32_t b) {
    uint32_t h = a * 0x9e3779b1u ^ (b + 0x7f4a7c15u) * 0x85ebca6bu;
    h ^= h >> 15;
    h *= 0xc2b2ae35u;
    return h ^ h >> 13;
}
static uint32_t key_of(uint32_t x, uint32_t layer, uint32_t pos) { return mix(x ^ layer, pos); }
static uint32_t value_of(uint32_t x, uint32_t layer) { return mix(x, layer + 77); }
static uint32_t attend(uint32_t h, uint32_t key, uint32_t value) { return mix(mix(h, key), value); }
static float logit_of(uint32_t y, int64_t v, int32_t wanted) {
    const float noise = (float)(mix(y, (uint32_t)v) >> 8) * 0x1p-24f;
    return v == wanted ? 100 + noise : noise;
}

/* ---- kernels; operands as in LAUNCHES ---- */

enum { KEY_LANE = 3, VALUE_LANE = 5, SCRATCH_BYTES = 100 };

static uint32_t load(const void *p) {
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static void check_call(const rt_step *s, int64_t n, int64_t units, int64_t begin, int64_t end,
                       uint8_t *scratch) {
    expect(n > 0 && 0 <= begin && begin < end && end <= units);
    expect((uintptr_t)scratch % 64 == 0);
    memset(scratch, (int)begin, SCRATCH_BYTES); /* another thread's would be seen by TSan */
    expect(s->T > 0 && s->R >= 0 && s->R <= s->T && s->n_seqs > 0);
}

/* The step's tables agree with each other; y[t] = hash of the id */
static void embed(const rt_step *s, void *const *operand, int64_t n, int64_t begin, int64_t end,
                  void *scratch, int class) {
    uint32_t *const x = operand[0];
    check_call(s, n, n, begin, end, scratch);
    expect(n == s->T && class == (n == 1 ? 0 : n <= 8 ? 1 : 2));
    if (!begin) atomic_fetch_add(&fake_class_runs[class], 1);
    void (*const hook)(void) = atomic_load(&fake_hook);
    if (hook) hook();
    for (int64_t t = begin; t < end; t++) {
        const rt_seq *const q = &s->seqs[s->seq[t]];
        expect(s->seq[t] >= 0 && s->seq[t] < s->n_seqs);
        expect(t >= q->first_row && t < q->first_row + q->n_new);
        expect(s->pos[t] == q->n_past + (t - q->first_row));
        x[t] = mix((uint32_t)s->ids[t], 1);
        volatile float tiny = 1e-39f; /* denormal: zero in a step's mode */
        expect(tiny * 1.0f == 0);
    }
}
static rt_kernel embed_1, embed_8, embed_many, append, mix_in, select_rows, head;
static void embed_1(const rt_step *s, void *const *o, int64_t n, int64_t b, int64_t e, void *p) {
    embed(s, o, n, b, e, p, 0);
}
static void embed_8(const rt_step *s, void *const *o, int64_t n, int64_t b, int64_t e, void *p) {
    embed(s, o, n, b, e, p, 1);
}
static void embed_many(const rt_step *s, void *const *o, int64_t n, int64_t b, int64_t e, void *p) {
    embed(s, o, n, b, e, p, 2);
}

/* K: [16 tiles][16 lanes][16 positions]; V: [256 positions][16 lanes]; both f32. */
static uint8_t *key_at(uint8_t *block, uint64_t layer_at, int64_t pos) {
    const int64_t p = pos % RT_KV_BLOCK_TOK;
    return block + layer_at + ((p / 16 * FAKE_HEAD_DIM + KEY_LANE) * 16 + p % 16) * 4;
}
static uint8_t *value_at(uint8_t *block, uint64_t layer_at, int64_t pos) {
    const int64_t p = pos % RT_KV_BLOCK_TOK;
    return block + layer_at + FAKE_LAYER_BYTES / 2 + (p * FAKE_HEAD_DIM + VALUE_LANE) * 4;
}

/* operands: x, layer's first byte in a block */
static void append(const rt_step *s, void *const *operand, int64_t n, int64_t begin, int64_t end,
                   void *scratch) {
    const uint32_t *const x = operand[0];
    const uint64_t layer_at = (uintptr_t)operand[1];
    const uint32_t layer = (uint32_t)(layer_at / FAKE_LAYER_BYTES);
    check_call(s, n, n, begin, end, scratch);
    for (int64_t t = begin; t < end; t++) {
        uint8_t *const block = s->seqs[s->seq[t]].blocks[s->pos[t] / RT_KV_BLOCK_TOK];
        const uint32_t key = key_of(x[t], layer, (uint32_t)s->pos[t]), v = value_of(x[t], layer);
        memcpy(key_at(block, layer_at, s->pos[t]), &key, 4);
        memcpy(value_at(block, layer_at, s->pos[t]), &v, 4);
    }
}

/* operands: x, layer's first byte, y.  y[t] = x[t] hashed with all keys and values up to t */
static void mix_in(const rt_step *s, void *const *operand, int64_t n, int64_t begin, int64_t end,
                   void *scratch) {
    const uint32_t *const x = operand[0];
    const uint64_t layer_at = (uintptr_t)operand[1];
    uint32_t *const y = operand[2];
    check_call(s, n, n, begin, end, scratch);
    for (int64_t t = begin; t < end; t++) {
        uint8_t *const *const blocks = s->seqs[s->seq[t]].blocks;
        uint32_t h = x[t];
        for (int64_t p = 0; p <= s->pos[t]; p++) {
            uint8_t *const block = blocks[p / RT_KV_BLOCK_TOK];
            h = attend(h, load(key_at(block, layer_at, p)), load(value_at(block, layer_at, p)));
        }
        y[t] = h;
    }
}

/* operands: y, z, place of the rows' positions */
static void select_rows(const rt_step *s, void *const *operand, int64_t n, int64_t begin,
                        int64_t end, void *scratch) {
    const uint32_t *const y = operand[0];
    uint32_t *const z = operand[1], *const pos = operand[2];
    check_call(s, n, n, begin, end, scratch);
    expect(n == s->R);
    for (int64_t r = begin; r < end; r++) {
        expect(s->rows[r] >= 0 && s->rows[r] < s->T && (!r || s->rows[r] > s->rows[r - 1]));
        z[r] = y[s->rows[r]];
        pos[r] = (uint32_t)s->pos[s->rows[r]];
    }
}

/* operands: z, positions, weights {vocab, script}, logits.  One unit: 16 columns of all rows */
static void head(const rt_step *s, void *const *operand, int64_t n, int64_t begin, int64_t end,
                 void *scratch) {
    const uint32_t *const z = operand[0], *const pos = operand[1];
    const int32_t *const weights = operand[2];
    float *const logits = operand[3];
    const int64_t vocab = weights[0];
    const int32_t *const script = weights + 1;
    check_call(s, n, (vocab + 15) / 16, begin, end, scratch);
    expect((uintptr_t)logits % 64 == 0);
    for (int64_t r = 0; r < n; r++)
        for (int64_t v = begin * 16; v < end * 16 && v < vocab; v++)
            logits[r * vocab + v] = logit_of(z[r], v, script[pos[r]]);
}

void fake_logits(const fake *f, const int32_t *ids, int64_t n, float *out) {
    const int64_t vocab = f->meta->vocab;
    uint32_t *const x = malloc((size_t)n * sizeof *x), *const y = malloc((size_t)n * sizeof *y);
    if (!x || !y) abort();
    for (int64_t t = 0; t < n; t++) x[t] = mix((uint32_t)ids[t], 1);
    for (uint32_t l = 0; l < FAKE_LAYERS; l++) {
        for (int64_t t = 0; t < n; t++) {
            y[t] = x[t];
            for (int64_t p = 0; p <= t; p++)
                y[t] = attend(y[t], key_of(x[p], l, (uint32_t)p), value_of(x[p], l));
        }
        memcpy(x, y, (size_t)n * sizeof *x);
    }
    for (int64_t t = 0; t < n; t++)
        for (int64_t v = 0; v < vocab; v++) out[t * vocab + v] = logit_of(x[t], v, f->script[t]);
    free(x);
    free(y);
}

/* ---- the image ---- */

enum { HEAD_KERNEL = 6, DUD_KERNEL = 9 };

/* The number of units of the head depends on the vocabulary: one entry for each that tests use. */
static const rt_kernel_entry KERNELS[FAKE_KERNELS] = {
    {embed_1, 1, 1},     {embed_8, 1, 1}, {embed_many, 1, 1}, {append, 1, 1}, {mix_in, 1, 1},
    {select_rows, 1, 1}, {head, 17, 0},   {head, 3, 0},       {head, 1, 0},   {NULL, 1, 1},
};
static const rt_variant VARIANTS[] = {
    {"plain", 0, KERNELS},
    {"second", 0, KERNELS},
    {"future", (uint64_t)1 << 63, NULL},
};
const rt_image p4c_image = {RT_ABI, COUNT_OF(VARIANTS), VARIANTS};

static uint32_t head_kernel(uint32_t vocab) {
    for (uint32_t k = HEAD_KERNEL; k < DUD_KERNEL; k++)
        if (KERNELS[k].units == (vocab + 15) / 16) return k;
    abort();
}

/* ---- the tokenizer: bytes, and a few tokens that only come out ---- */

static const struct {
    const char *text;
    uint8_t flags;
} EXTRA[] = {
    {"hello", RT_TOK_IS_TOKEN},
    {" stops", RT_TOK_IS_TOKEN},
    {"\xe2\x82", RT_TOK_IS_TOKEN},
    {"<|end|>", RT_TOK_IS_TOKEN | RT_TOK_IS_ADDED | RT_TOK_IS_SPECIAL},
    {"<|tag|>", RT_TOK_IS_TOKEN | RT_TOK_IS_ADDED | RT_TOK_IS_SPECIAL},
};
_Static_assert(COUNT_OF(EXTRA) == FAKE_N_IDS - 256, "a text for each id");

static void *add_part(uint8_t *blob, rt_tok_part_kind kind, uint32_t n) {
    rt_tok_header *const h = (rt_tok_header *)(void *)blob;
    h->part[kind] = (rt_tok_part){h->n_bytes, n};
    void *const at = blob + h->n_bytes;
    h->n_bytes += (uint32_t)round_up((int64_t)(n * rt_tok_item_bytes(kind)), RT_TOK_ALIGN);
    return at;
}

static uint32_t build_tokenizer(uint8_t *blob) {
    rt_tok_header *const h = (rt_tok_header *)(void *)blob;
    *h = (rt_tok_header){.version = RT_TOK_VERSION,
                         .n_ids = FAKE_N_IDS,
                         .bos = -1,
                         .eos = -1,
                         .pad = -1,
                         .unk = -1,
                         .max_token_bytes = 16,
                         .n_bytes = (uint32_t)round_up(sizeof *h, RT_TOK_ALIGN)};
    memcpy(h->magic, RT_TOK_MAGIC, sizeof h->magic);
    uint32_t *const text_at = add_part(blob, RT_TOK_text_at, FAKE_N_IDS + 1);
    char *const text = add_part(blob, RT_TOK_text, 512);
    uint8_t *const flags = add_part(blob, RT_TOK_id_flags, FAKE_N_IDS);
    uint32_t n_text = 0;
    for (uint32_t id = 0; id < FAKE_N_IDS; id++) {
        const bool byte = id < 256;
        const size_t n = byte ? 1 : strlen(EXTRA[id - 256].text);
        text_at[id] = n_text;
        flags[id] = byte ? RT_TOK_IS_TOKEN : EXTRA[id - 256].flags;
        if (byte) text[n_text] = (char)id;
        else memcpy(text + n_text, EXTRA[id - 256].text, n);
        n_text += (uint32_t)n;
    }
    text_at[FAKE_N_IDS] = n_text;
    for (int b = 0; b < 256; b++) h->byte_id[b] = b;
    ((rt_tok_word *)add_part(blob, RT_TOK_words, 1))->id = -1;
    *(uint64_t *)add_part(blob, RT_TOK_pairs, 1) = RT_TOK_NO_PAIR;
    add_part(blob, RT_TOK_merged, 0);
    rt_tok_added *const added = add_part(blob, RT_TOK_added, 2);
    for (uint32_t i = 0; i < 2; i++)
        added[i] = (rt_tok_added){
            .id = (int32_t)(FAKE_ID_END + i), .text = text_at[FAKE_ID_END + i], .n = 7};
    /* "<|end|>" and "<|tag|>": a root, "<", "|", then two branches of five bytes */
    enum { BRANCH = 5, N_NODES = 3 + 2 * BRANCH };
    rt_tok_node *const node = add_part(blob, RT_TOK_trie_0, N_NODES);
    node[0] = (rt_tok_node){.child = 1, .n_children = 1, .added = -1};
    node[1] = (rt_tok_node){.child = 2, .n_children = 1, .byte = '<', .added = -1};
    node[2] = (rt_tok_node){.child = 3, .n_children = 2, .byte = '|', .added = -1};
    for (uint32_t i = 0; i < BRANCH; i++)
        for (uint32_t which = 0; which < 2; which++)
            node[3 + 2 * i + which] =
                (rt_tok_node){.child = i + 1 < BRANCH ? 3 + 2 * (i + 1) + which : 0,
                              .n_children = i + 1 < BRANCH,
                              .byte = (uint8_t)EXTRA[3 + which].text[2 + i],
                              .added = i + 1 < BRANCH ? -1 : (int32_t)which};
    add_part(blob, RT_TOK_trie_1, 0);
    h->first_byte[0]['<' / 8] = 1 << '<' % 8;
    return h->n_bytes;
}

/* ---- the data segment ---- */

fake_options fake_default_options(void) {
    return (fake_options){
        .vocab = 272, .max_seq_tok = 700, .max_batch = 4, .max_tokens = 16, .max_rows = 6};
}

static rt_operand arena_at(uint64_t offset) { return (rt_operand){RT_SPACE_arena, 0, offset}; }
static rt_operand layer_at(uint64_t layer) {
    return (rt_operand){RT_SPACE_number, 0, layer * FAKE_LAYER_BYTES};
}

static void build_plan(fake *f, fake_options o) {
    const uint64_t row_bytes = (uint64_t)round_up(o.max_tokens * 4, 64);
    const rt_operand x = arena_at(0), y = arena_at(row_bytes), z = arena_at(2 * row_bytes),
                     pos = arena_at(3 * row_bytes),
                     weights = {RT_SPACE_weights, 0, o.dummy ? 4 * o.vocab : 0},
                     logits = {RT_SPACE_logits, 0, 0};
    *f->plan = (rt_plan){.n_launches = FAKE_LAUNCHES,
                         .n_kernels = FAKE_KERNELS - 1,
                         .max_tokens = o.max_tokens,
                         .max_rows = o.max_rows,
                         .arena_bytes = 4 * row_bytes,
                         .scratch_bytes = SCRATCH_BYTES};
    const uint32_t h = head_kernel(o.vocab);
    const rt_launch launches[FAKE_LAUNCHES] = {
        {.kernel = {0, 1, 2}, .op = 10, .n_operands = 1, .operand = {x}},
        {.kernel = {3, 3, 3},
         .op = 11,
         .barrier = 1,
         .n_operands = 2,
         .operand = {x, layer_at(0)},
         .result = RT_MAX_OPERANDS},
        {.kernel = {4, 4, 4},
         .op = 12,
         .barrier = 1,
         .n_operands = 3,
         .result = 2,
         .operand = {x, layer_at(0), y}},
        {.kernel = {3, 3, 3},
         .op = 13,
         .barrier = 1,
         .n_operands = 2,
         .operand = {y, layer_at(1)},
         .result = RT_MAX_OPERANDS},
        {.kernel = {4, 4, 4},
         .op = 14,
         .barrier = 1,
         .n_operands = 3,
         .result = 2,
         .operand = {y, layer_at(1), x}},
        {.kernel = {5, 5, 5},
         .op = 15,
         .barrier = 1,
         .n_operands = 3,
         .result = 1,
         .n_is_rows = 1,
         .operand = {x, z, pos}},
        {.kernel = {h, h, h},
         .op = 16,
         .barrier = 1,
         .n_operands = 4,
         .result = 3,
         .n_is_rows = 1,
         .operand = {z, pos, weights, logits}},
    };
    memcpy(f->launch, launches, sizeof launches);
}

static rt_meta build_meta(fake_options o) {
    rt_meta m = {.n_layers = FAKE_LAYERS,
                 .n_heads = 2,
                 .n_kv_heads = 1,
                 .head_dim = FAKE_HEAD_DIM,
                 .hidden = 32,
                 .ffn = 64,
                 .vocab = o.vocab,
                 .kv_dtype = 1,
                 .max_seq_tok = o.max_seq_tok,
                 .model_max_tok = 4096,
                 .max_batch = o.max_batch,
                 .n_stops = 1,
                 .stop = {FAKE_ID_END},
                 .bos = -1,
                 .kv_block_bytes = FAKE_KV_BLOCK_BYTES,
                 .mac_per_token = 1000,
                 .head_mac = 100,
                 .temperature = 1,
                 .top_p = 1,
                 .repetition_penalty = 1,
                 .dummy = o.dummy,
                 .dummy_seed = 7};
    memcpy(m.model_type, "fake", 5);
    memcpy(m.name, "fake model", 11);
    memcpy(m.quant, "hash", 5);
    return m;
}

static uint8_t *add_section(fake *f, const char *name, uint64_t bytes) {
    rt_header *const h = f->header;
    rt_section *const s = &h->section[h->n_sections++];
    strcpy(s->name, name);
    s->offset = h->data_bytes;
    s->bytes = bytes;
    h->data_bytes += bytes;
    return f->data + s->offset;
}

static void add_pad(fake *f, uint64_t align) {
    const uint64_t to = (uint64_t)round_up((int64_t)f->header->data_bytes, (int64_t)align);
    char name[16];
    snprintf(name, sizeof name, "pad%u", f->header->n_sections);
    if (to != f->header->data_bytes) add_section(f, name, to - f->header->data_bytes);
}

static uint8_t *add_aligned(fake *f, const char *name, uint64_t bytes) {
    add_pad(f, RT_SECTION_ALIGN);
    return add_section(f, name, bytes);
}

static const char CONFIG[] = "{\"model_type\": \"fake\"}";

enum { TOKENIZER_BYTES = 16 << 10 };

static void build(fake *f, fake_options o) {
    uint8_t blob[TOKENIZER_BYTES] __attribute__((aligned(64))) = {0};
    const uint32_t n_blob = o.no_tokenizer ? 0 : build_tokenizer(blob);
    if (n_blob > sizeof blob) abort();
    f->header = (rt_header *)(void *)f->data;
    memcpy(f->header->magic, RT_MAGIC, sizeof f->header->magic);
    memcpy(f->header->version, "0.0-test", 9);
    f->header->abi = RT_ABI;
    rt_section *const elf = &f->header->section[f->header->n_sections++];
    *elf = (rt_section){.name = "elf", .bytes = RT_DATA_ALIGN};
    add_section(f, "header", RT_HEADER_BYTES);
    f->meta = (rt_meta *)(void *)add_aligned(f, "meta", sizeof *f->meta);
    *f->meta = build_meta(o);
    f->plan = (rt_plan *)(void *)add_aligned(f, "plan",
                                             sizeof *f->plan + FAKE_LAUNCHES * sizeof *f->launch);
    f->launch = (rt_launch *)(void *)(f->plan + 1);
    build_plan(f, o);
    memcpy(add_aligned(f, "tokenizer", n_blob), blob, n_blob);
    uint8_t *const chat = add_aligned(f, "template", o.n_chat_template);
    if (o.n_chat_template) memcpy(chat, o.chat_template, o.n_chat_template);
    memcpy(add_aligned(f, "config", sizeof CONFIG - 1), CONFIG, sizeof CONFIG - 1);
    add_aligned(f, "options", 0);
    add_aligned(f, "ir", 0);
    const uint64_t n_weights = (FAKE_MAX_SCRIPT + 1 + o.vocab) * sizeof(int32_t);
    if (o.dummy) {
        const rt_dummy order = {0, n_weights, RT_FILL_order, o.vocab + 1, 0, 1};
        memcpy(add_aligned(f, "dummy", sizeof order), &order, sizeof order);
    }
    add_pad(f, RT_DATA_ALIGN);
    int32_t *const weights = (int32_t *)(void *)add_section(f, "weights", o.dummy ? 0 : n_weights);
    f->script = weights + 1;
    if (!o.dummy) {
        weights[0] = (int32_t)o.vocab;
        for (int i = 0; i < FAKE_MAX_SCRIPT; i++) f->script[i] = -1;
    }
    rt_end *const end = (rt_end *)(void *)add_aligned(f, "end", sizeof *end);
    end->data_bytes = f->header->data_bytes;
    memcpy(end->magic, RT_END_MAGIC, sizeof end->magic);
}

fake *fake_new(fake_options o) {
    fake *const f = calloc(1, sizeof *f);
    if (!f) abort();
    f->n_bytes = FAKE_DATA_BYTES;
    f->data = rt_pages_get(FAKE_DATA_BYTES);
    if (!f->data) abort();
    build(f, o);
    if (f->header->data_bytes > FAKE_DATA_BYTES) abort();
    f->n_bytes = f->header->data_bytes;
    fake_seal(f);
    return f;
}

void fake_seal(fake *f) {
    digest g;
    for (uint32_t i = 2; i < f->header->n_sections && i < RT_MAX_SECTIONS; i++) {
        rt_section *const s = &f->header->section[i];
        if (s->offset > f->n_bytes || s->bytes > f->n_bytes - s->offset) continue; /* damaged */
        if (!memcmp(s->name, "pad", 3)) continue; /* large, and not looked at by the runtime */
        digest_init(&g);
        digest_update(&g, f->data + s->offset, s->bytes);
        digest_final(&g, s->blake3);
    }
    uint8_t sum[DIGEST_BYTES];
    memset(f->header->section[1].blake3, 0, DIGEST_BYTES);
    digest_init(&g);
    digest_update(&g, f->data, RT_HEADER_BYTES);
    digest_final(&g, sum);
    memcpy(f->header->section[1].blake3, sum, sizeof sum);
}

void fake_free(fake *f) {
    rt_pages_put(f->data, FAKE_DATA_BYTES);
    free(f);
}

rt_model_source fake_source(const fake *f) {
    return (rt_model_source){&p4c_image, f->data, f->n_bytes};
}

p4c_model *fake_open(const fake *f, uint32_t n_threads) {
    const rt_model_source source = fake_source(f);
    p4c_open_params params = p4c_default_open_params();
    params.n_threads = n_threads;
    p4c_model *m = NULL;
    p4c_error error = {0};
    if (rt_model_open(&source, p4c_get_api(P4C_API_VERSION), &params, &m, &error) != P4C_OK) {
        fprintf(stderr, "fake_open: %s\n", error.text);
        abort();
    }
    return m;
}

void fake_install(const fake *f) { memcpy(fake_own_data(), f->data, f->n_bytes); }

/* ---- memory hooks ---- */

static void *counted_alloc(void *ctx, size_t n_bytes) {
    fake_memory *const m = ctx;
    const long call = atomic_fetch_add(&m->n_calls, 1) + 1;
    if (m->fail_at && (call == m->fail_at || (m->fail_ever_after && call > m->fail_at)))
        return NULL;
    void *const p = malloc(n_bytes);
    if (p) atomic_fetch_add(&m->n_live, 1);
    return p;
}
static void counted_free(void *ctx, void *p) {
    fake_memory *const m = ctx;
    atomic_fetch_sub(&m->n_live, 1);
    free(p);
}
p4c_alloc fake_alloc(fake_memory *m) { return (p4c_alloc){counted_alloc, counted_free, m}; }
