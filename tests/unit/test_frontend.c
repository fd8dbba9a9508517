/* fe_load on small checkpoints made here: how weights are found, what the graph is, what is
 * refused.
 */
#include "frontend/frontend.h"

#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/half.h"
#include "frontend/shards.h"
#include "ir/const.h"
#include "tests/support/st_writer.h"
#include "tests/unit/unit.h"

enum { D = 16, F = 24, H = 2, G = 1, E = 8, V = 11, QKV = (H + 2 * G) * E };

typedef struct fixture {
    char dir[40];
    arena *mem;
    diag d;
    st_writer w[2]; /* shards */
    uint32_t random;
    fe_model m;
} fixture;

static fixture set_up(void) {
    fixture f = {.dir = "/tmp/p4c-frontend-XXXXXX", .mem = arena_open(), .random = 12345};
    CU_ASSERT_FATAL(mkdtemp(f.dir) != NULL);
    f.d.mem = f.mem;
    for (int i = 0; i < 2; i++) f.w[i] = st_writer_new(f.mem);
    return f;
}

static void tear_down(fixture *f) {
    char command[100];
    fe_close(&f->m);
    snprintf(command, sizeof command, "rm -rf '%s'", f->dir);
    CU_ASSERT_EQUAL(system(command), 0);
    arena_close(f->mem);
}

static const char *in(fixture *f, const char *name) { return path_join(f->mem, f->dir, name); }

static uint32_t next_random(fixture *f) {
    f->random = f->random * 1664525u + 1013904223u;
    return f->random >> 8;
}

/* config.json; extra: more members, beginning with a comma. */
static void put_config(fixture *f, const char *extra) {
    put_file(
        in(f, "config.json"),
        str_of(arena_printf(f->mem,
                            "{\"model_type\":\"phi3\",\"hidden_size\":%d,\"intermediate_size\":%d,"
                            "\"num_hidden_layers\":1,\"num_attention_heads\":%d,"
                            "\"num_key_value_heads\":%d,\"vocab_size\":%d,"
                            "\"max_position_embeddings\":64%s}",
                            D, F, H, G, V, extra)));
}

static void add_f32(fixture *f, int shard, const char *name, int rank, int64_t n, int64_t k) {
    const int64_t dim[] = {n, k}, count = rank == 2 ? n * k : n;
    float *x = arena_array(f->mem, float, count);
    for (int64_t i = 0; i < count; i++) x[i] = (float)(next_random(f) % 1000) / 500 - 1;
    st_writer_add(&f->w[shard], name, "F32", rank, dim, x, (size_t)count * sizeof *x);
}

#define LAYER "model.layers.0."

static void add_outside(fixture *f) {
    add_f32(f, 0, "model.embed_tokens.weight", 2, V, D);
    add_f32(f, 0, "model.norm.weight", 1, D, 0);
    add_f32(f, 0, "lm_head.weight", 2, V, D);
    add_f32(f, 0, LAYER "input_layernorm.weight", 1, D, 0);
    add_f32(f, 0, LAYER "post_attention_layernorm.weight", 1, D, 0);
}

static void add_dense(fixture *f) {
    add_outside(f);
    add_f32(f, 0, LAYER "self_attn.qkv_proj.weight", 2, QKV, D);
    add_f32(f, 0, LAYER "self_attn.o_proj.weight", 2, D, H * E);
    add_f32(f, 0, LAYER "mlp.gate_up_proj.weight", 2, 2 * F, D);
    add_f32(f, 0, LAYER "mlp.down_proj.weight", 2, D, F);
}

static void put_weights(fixture *f) {
    put_file(in(f, "model.safetensors"), st_writer_done(&f->w[0]));
}

static bool load(fixture *f) { return fe_load(f->dir, &(fe_options){0}, f->mem, &f->d, &f->m); }

/* A failed load left one error with this code and text. */
static bool refused(fixture *f, bool loaded, diag_code code, const char *said) {
    const diag_item *i = f->d.first;
    while (i && i->level != DIAG_LEVEL_error) i = i->next;
    const bool ok = !loaded && f->d.n_errors == 1 && i->code == code && strstr(i->text, said);
    if (!ok && i) printf("\n    got: %s\n", i->text);
    diag_clear(&f->d);
    return ok;
}

static int count(const ir_graph *g, op_kind kind) {
    int n = 0;
    for (const ir_op *op = g->first; op; op = op->next) n += op->kind == kind;
    return n;
}

static const ir_op *weight(const ir_graph *g, const char *name) {
    for (const ir_op *op = g->first; op; op = op->next)
        if (op->kind == OP_weight && strcmp(op->name, name) == 0) return op;
    return NULL;
}

static void a_joined_checkpoint_gives_slices(void) {
    fixture f = set_up();
    put_config(&f, "");
    add_dense(&f);
    put_weights(&f);
    CU_ASSERT_FATAL(load(&f));
    const ir_graph *g = f.m.graph;
    CU_ASSERT(ir_verify(g) && f.d.n_errors == 0 && f.d.n_warnings == 0);
    CU_ASSERT(count(g, OP_matmul) == 5 && count(g, OP_slice) == 5 && count(g, OP_rope) == 2);
    CU_ASSERT(g->n_out == 2 && g->out[0]->type.dim[0] == DIM_R && g->out[0]->type.dim[1] == V);
    CU_ASSERT(g->out[1]->type.layout == LAYOUT_kv && f.m.capacity == 64);
    const ir_op *w = weight(g, LAYER "mlp.down_proj.weight");
    CU_ASSERT(w && w->type.dtype == DT_f32 && w->type.dim[0] == D && w->type.dim[1] == F);
    float *row = arena_array(f.mem, float, F);
    ir_const_rows(w, 3, 1, row);
    const fe_tensor *t = fe_find_tensor(f.m.shards, LAYER "mlp.down_proj.weight");
    CU_ASSERT(t && !memcmp(row, fe_tensor_bytes(f.m.shards, t) + 3 * F * 4, F * 4));
    tear_down(&f);
}

static void matrices_may_stand_apart(void) {
    fixture f = set_up();
    put_config(&f, "");
    add_outside(&f);
    add_f32(&f, 0, LAYER "self_attn.q_proj.weight", 2, H * E, D);
    add_f32(&f, 0, LAYER "self_attn.k_proj.weight", 2, G * E, D);
    add_f32(&f, 0, LAYER "self_attn.v_proj.weight", 2, G * E, D);
    add_f32(&f, 0, LAYER "self_attn.o_proj.weight", 2, D, H * E);
    add_f32(&f, 0, LAYER "mlp.gate_proj.weight", 2, F, D);
    add_f32(&f, 0, LAYER "mlp.up_proj.weight", 2, F, D);
    add_f32(&f, 0, LAYER "mlp.down_proj.weight", 2, D, F);
    put_weights(&f);
    CU_ASSERT_FATAL(load(&f));
    CU_ASSERT(count(f.m.graph, OP_matmul) == 8 && count(f.m.graph, OP_slice) == 0);
    tear_down(&f);
}

static void one_missing_part_is_named(void) {
    fixture f = set_up();
    put_config(&f, "");
    add_outside(&f);
    add_f32(&f, 0, LAYER "self_attn.q_proj.weight", 2, H * E, D);
    add_f32(&f, 0, LAYER "self_attn.k_proj.weight", 2, G * E, D);
    put_weights(&f);
    CU_ASSERT(refused(&f, load(&f), DIAG_TENSOR_MISSING, "v_proj.weight': it is missing"));
    tear_down(&f);
}

static void a_tied_head_is_the_embedding(void) {
    fixture f = set_up();
    put_config(&f, ",\"tie_word_embeddings\":true");
    add_dense(&f);
    put_weights(&f);
    CU_ASSERT_FATAL(load(&f));
    const ir_op *embed = weight(f.m.graph, "model.embed_tokens.weight");
    CU_ASSERT(embed && embed->n_use == 2 && f.m.graph->out[0]->in[1] == embed);
    CU_ASSERT_EQUAL(f.d.n_warnings, 1); /* lm_head.weight is there, and not used */
    CU_ASSERT(f.d.first && strstr(f.d.first->text, "'lm_head.weight': it is not part"));
    tear_down(&f);
}

static void extra_tensors_are_mentioned_once(void) {
    fixture f = set_up();
    put_config(&f, "");
    add_dense(&f);
    add_f32(&f, 0, LAYER "self_attn.rotary_emb.inv_freq", 1, 4, 0); /* old files have it */
    add_f32(&f, 0, "extra.a", 1, 4, 0);
    add_f32(&f, 0, "extra.b", 1, 4, 0);
    put_weights(&f);
    CU_ASSERT_FATAL(load(&f));
    CU_ASSERT(f.d.n_warnings == 1 && strstr(f.d.first->text, "'extra.a': it and 1 other"));
    tear_down(&f);
}

static void biases_must_be_zero(void) {
    for (int bad = 0; bad < 2; bad++) {
        fixture f = set_up();
        float zero[D] = {0, -0.0f};
        zero[D - 1] = bad ? 1e-30f : 0;
        put_config(&f, "");
        add_dense(&f);
        st_writer_add(&f.w[0], LAYER "mlp.down_proj.bias", "F32", 1, (int64_t[]){D}, zero,
                      sizeof zero);
        put_weights(&f);
        if (bad) {
            CU_ASSERT(refused(&f, load(&f), DIAG_TENSOR_VALUE, "bias that is not zero"));
        } else {
            CU_ASSERT(load(&f) && f.d.n_warnings == 0);
        }
        tear_down(&f);
    }
}

/* ---- packed weights ---- */

typedef struct packing {
    int64_t group;
    int zeros;          /* 0: all 7, 1: random with 15 among them */
    int g_idx;          /* 0: none, 1: k / group, 2: any map */
    const char *scales; /* dtype */
    int n_shards;       /* 2: parts of each matrix are spread */
} packing;

typedef struct packed {
    int64_t n, k, groups;
    uint32_t *qweight, *qzeros;
    uint8_t *scales;
    int32_t *g_idx;
    const packing *p;
} packed;

static float scale_at(const packed *m, int64_t i) {
    uint16_t h;
    float x;
    if (!strcmp(m->p->scales, "F32")) return memcpy(&x, m->scales + 4 * i, 4), x;
    memcpy(&h, m->scales + 2 * i, 2);
    return !strcmp(m->p->scales, "F16") ? f16_to_f32(h) : bf16_to_f32(h);
}

static void put_scale(const packed *m, int64_t i, float x) {
    const uint16_t h = !strcmp(m->p->scales, "F16") ? f32_to_f16(x) : f32_to_bf16(x);
    if (!strcmp(m->p->scales, "F32")) memcpy(m->scales + 4 * i, &x, 4);
    else memcpy(m->scales + 2 * i, &h, 2);
}

/* Adds packed matrix `module`, random; what it holds is in *out. */
static void add_packed(fixture *f, const packing *p, const char *module, int64_t n, int64_t k,
                       packed *out) {
    const int64_t group = p->group < 0 ? k : p->group, groups = ceil_div(k, group);
    const size_t scale_bytes = strcmp(p->scales, "F32") ? 2 : 4;
    packed m = {.n = n, .k = k, .groups = groups, .p = p};
    m.qweight = arena_array(f->mem, uint32_t, k / 8 * n);
    m.qzeros = arena_array(f->mem, uint32_t, groups *n / 8);
    m.scales = arena_get(f->mem, (size_t)(groups * n) * scale_bytes, 8);
    m.g_idx = arena_array(f->mem, int32_t, k);
    for (int64_t i = 0; i < k / 8 * n; i++) m.qweight[i] = next_random(f) << 12 ^ next_random(f);
    for (int64_t i = 0; i < groups * n / 8; i++)
        m.qzeros[i] = p->zeros ? (next_random(f) << 12 ^ next_random(f)) | 0xf0 : 0x77777777;
    for (int64_t i = 0; i < groups * n; i++)
        put_scale(&m, i, ((float)(next_random(f) % 200) - 100) / 64); /* negative ones, too */
    for (int64_t i = 0; i < k; i++)
        m.g_idx[i] = (int32_t)(p->g_idx == 2 ? (int64_t)next_random(f) % groups : i / group);
    const int other = p->n_shards - 1;
    st_writer_add(&f->w[other], arena_printf(f->mem, "%s.qweight", module), "I32", 2,
                  (int64_t[]){k / 8, n}, m.qweight, (size_t)(k / 8 * n) * 4);
    st_writer_add(&f->w[0], arena_printf(f->mem, "%s.qzeros", module), "I32", 2,
                  (int64_t[]){groups, n / 8}, m.qzeros, (size_t)(groups * n / 8) * 4);
    st_writer_add(&f->w[other], arena_printf(f->mem, "%s.scales", module), p->scales, 2,
                  (int64_t[]){groups, n}, m.scales, (size_t)(groups * n) * scale_bytes);
    if (p->g_idx)
        st_writer_add(&f->w[0], arena_printf(f->mem, "%s.g_idx", module), "I32", 1, &k, m.g_idx,
                      (size_t)k * 4);
    if (out) *out = m;
}

/* golden/README.md section 4, element by element */
static float value_of(const packed *m, int64_t n, int64_t k) {
    const int64_t g = m->g_idx[k];
    const int q = (int)(m->qweight[k / 8 * m->n + n] >> 4 * (k % 8) & 15);
    const int zero = (int)(m->qzeros[g * (m->n / 8) + n / 8] >> 4 * (n % 8) & 15) + 1;
    return (float)(q - zero) * scale_at(m, g * m->n + n);
}

/* The matrices of the layer; *down gets what down_proj holds. */
static void add_packed_layer(fixture *f, const packing *p, packed *down) {
    add_outside(f);
    add_packed(f, p, LAYER "self_attn.qkv_proj", QKV, D, NULL);
    add_packed(f, p, LAYER "self_attn.o_proj", D, H * E, NULL);
    add_packed(f, p, LAYER "mlp.gate_up_proj", 2 * F, D, NULL);
    add_packed(f, p, LAYER "mlp.down_proj", D, F, down);
}

static const char *gptq_config(fixture *f, const packing *p, const char *more) {
    return arena_printf(f->mem,
                        ",\"quantization_config\":{\"quant_method\":\"gptq\",\"bits\":4,"
                        "\"group_size\":%lld%s}",
                        (long long)p->group, more);
}

/* An index that places each tensor where the writers have it. */
static void put_index(fixture *f) {
    static const char *const NAMES[] = {"a.safetensors", "b.safetensors"};
    text index = {.mem = f->mem};
    text_cat(&index, "{\"weight_map\":{");
    for (int i = 0; i < 2; i++) {
        const str content = st_writer_done(&f->w[i]);
        put_file(in(f, NAMES[i]), content);
        st_file s;
        CU_ASSERT_FATAL(
            st_read((const uint8_t *)content.at, content.n, NAMES[i], f->mem, &f->d, &s));
        for (size_t k = 0; k < s.n_tensors; k++)
            text_printf(&index, "%s\"%s\":\"%s\"", i + k ? "," : "", s.tensor[k].name, NAMES[i]);
    }
    text_cat(&index, "}}");
    put_file(in(f, "model.safetensors.index.json"), text_str(&index));
}

static void packed_values_are_those_of_the_format(void) {
    static const packing CASES[] = {
        {.group = 8, .zeros = 1, .g_idx = 2, .scales = "F16", .n_shards = 1},
        {.group = 8, .zeros = 0, .g_idx = 1, .scales = "F16", .n_shards = 1},
        {.group = 8, .zeros = 0, .g_idx = 0, .scales = "BF16", .n_shards = 1},
        {.group = -1, .zeros = 0, .g_idx = 1, .scales = "F16", .n_shards = 1},
        {.group = -1, .zeros = 1, .g_idx = 0, .scales = "F32", .n_shards = 1},
        {.group = 12,
         .zeros = 1,
         .g_idx = 1,
         .scales = "F16",
         .n_shards = 1}, /* K is no multiple */
        {.group = 16, .zeros = 0, .g_idx = 2, .scales = "F16", .n_shards = 1},
        {.group = 128, .zeros = 1, .g_idx = 0, .scales = "F16", .n_shards = 1}, /* larger than K */
        {.group = 8, .zeros = 1, .g_idx = 2, .scales = "F32", .n_shards = 2},
        {.group = 3, .zeros = 1, .g_idx = 1, .scales = "BF16", .n_shards = 2},
    };
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        const packing *p = &CASES[i];
        fixture f = set_up();
        packed down;
        put_config(&f, gptq_config(&f, p, ""));
        add_packed_layer(&f, p, &down);
        if (p->n_shards == 2) put_index(&f);
        else put_weights(&f);
        CU_ASSERT_FATAL(load(&f) && ir_verify(f.m.graph));
        const ir_op *w = weight(f.m.graph, LAYER "mlp.down_proj.qweight");
        CU_ASSERT_FATAL(w && w->type.dtype == DT_i4 && w->type.layout == LAYOUT_gptq);
        CU_ASSERT(w->type.zeros == (p->zeros == 1) && w->type.group == p->group);
        CU_ASSERT(w->type.perm == (p->g_idx == 2));
        CU_ASSERT_EQUAL(f.m.config.quant_group, p->group);
        float *got = arena_array(f.mem, float, D *F);
        ir_const_rows(w, 0, D, got);
        int wrong = 0;
        for (int n = 0; n < D; n++)
            for (int k = 0; k < F; k++) wrong += got[n * F + k] != value_of(&down, n, k);
        CU_ASSERT_EQUAL(wrong, 0);
        CU_ASSERT_EQUAL(count(f.m.graph, OP_dequant), 4);
        tear_down(&f);
    }
}

static const packing PLAIN_PACKING = {.group = 8, .scales = "F16", .n_shards = 1};

static void broken_packings_are_refused(void) {
    fixture f = set_up();
    packed down;
    add_packed_layer(&f, &PLAIN_PACKING, &down);
    put_weights(&f);
    put_config(&f, gptq_config(&f, &PLAIN_PACKING, ",\"desc_act\":true"));
    CU_ASSERT(refused(&f, load(&f), DIAG_TENSOR_MISSING, "g_idx': it is missing"));
    put_config(&f, "");
    CU_ASSERT(refused(&f, load(&f), DIAG_TENSOR_MISSING, "no quantization_config says how"));
    put_config(&f, gptq_config(&f, &(packing){.group = 4}, ""));
    CU_ASSERT(refused(&f, load(&f), DIAG_TENSOR_SHAPE, "scales': its shape"));
    put_config(&f, gptq_config(&f, &PLAIN_PACKING, ",\"modules_to_not_convert\":[\"down_proj\"]"));
    CU_ASSERT(load(&f)); /* what is there packed is packed */
    fe_close(&f.m);
    put_scale(&down, 5, INFINITY);
    f.w[0] = st_writer_new(f.mem);
    add_outside(&f);
    f.random = 1;
    add_packed(&f, &PLAIN_PACKING, LAYER "self_attn.qkv_proj", QKV, D, NULL);
    st_writer_add(&f.w[0], LAYER "self_attn.o_proj.qweight", "I32", 2, (int64_t[]){2, 16},
                  down.qweight, 2 * 16 * 4);
    st_writer_add(&f.w[0], LAYER "self_attn.o_proj.scales", "F16", 2, (int64_t[]){2, 16},
                  down.scales, 2 * 16 * 2);
    put_config(&f, gptq_config(&f, &PLAIN_PACKING, ""));
    put_weights(&f);
    CU_ASSERT(refused(&f, load(&f), DIAG_TENSOR_VALUE, "scale 5 is infinite"));
    tear_down(&f);
}

/* Packed weights hold scales in f16. */
static void a_scale_beyond_f16_is_refused(void) {
    static const packing BF16_SCALES = {.group = 8, .scales = "BF16", .n_shards = 1};
    fixture f = set_up();
    packed down;
    add_packed_layer(&f, &BF16_SCALES, &down);
    put_scale(&down, 3, -1e5f);
    f.w[0] = st_writer_new(f.mem);
    add_outside(&f);
    add_packed(&f, &BF16_SCALES, LAYER "self_attn.qkv_proj", QKV, D, NULL);
    st_writer_add(&f.w[0], LAYER "self_attn.o_proj.qweight", "I32", 2, (int64_t[]){2, 16},
                  down.qweight, 2 * 16 * 4);
    st_writer_add(&f.w[0], LAYER "self_attn.o_proj.scales", "BF16", 2, (int64_t[]){2, 16},
                  down.scales, 2 * 16 * 2);
    put_config(&f, gptq_config(&f, &BF16_SCALES, ""));
    put_weights(&f);
    CU_ASSERT(refused(&f, load(&f), DIAG_TENSOR_VALUE, "scale 3 is -99840"));
    tear_down(&f);
}

static void a_matrix_left_plain_is_taken_plain(void) {
    fixture f = set_up();
    add_outside(&f);
    add_packed(&f, &PLAIN_PACKING, LAYER "self_attn.qkv_proj", QKV, D, NULL);
    add_packed(&f, &PLAIN_PACKING, LAYER "self_attn.o_proj", D, H * E, NULL);
    add_packed(&f, &PLAIN_PACKING, LAYER "mlp.gate_up_proj", 2 * F, D, NULL);
    add_f32(&f, 0, LAYER "mlp.down_proj.weight", 2, D, F);
    put_weights(&f);
    put_config(&f, gptq_config(&f, &PLAIN_PACKING, ""));
    CU_ASSERT(refused(&f, load(&f), DIAG_TENSOR_MISSING, "down_proj.qweight': it is missing"));
    put_config(&f, gptq_config(&f, &PLAIN_PACKING, ",\"modules_to_not_convert\":[\"down_proj\"]"));
    CU_ASSERT_FATAL(load(&f));
    CU_ASSERT_EQUAL(count(f.m.graph, OP_dequant), 3);
    tear_down(&f);
}

static void config_json_goes_before_other_files(void) {
    fixture f = set_up();
    add_packed_layer(&f, &PLAIN_PACKING, NULL);
    put_weights(&f);
    /* AutoGPTQ's first files do not name the method */
    put_config(&f, "");
    put_file(in(&f, "quantize_config.json"),
             STR("{\"bits\":4,\"group_size\":8,\"desc_act\":false}"));
    CU_ASSERT(load(&f) && f.m.config.quant_group == 8);
    fe_close(&f.m);
    put_file(in(&f, "quantize_config.json"), STR("{\"bits\":3,\"group_size\":8}"));
    CU_ASSERT(refused(&f, load(&f), DIAG_QUANT_SETTING, "quantize_config.json: 'bits' is 3"));
    put_config(&f, gptq_config(&f, &PLAIN_PACKING, ""));
    CU_ASSERT(load(&f));
    fe_close(&f.m);
    put_config(&f, "");
    unlink(in(&f, "quantize_config.json"));
    put_file(in(&f, "quantization_config.json"), STR("{\"bits\":4,\"group_size\":8}"));
    CU_ASSERT(refused(&f, load(&f), DIAG_JSON_MISSING, "'quant_method'"));
    tear_down(&f);
}

/* ---- options ---- */

static void the_capacity_is_that_of_the_model_at_most(void) {
    fixture f = set_up();
    add_dense(&f);
    put_weights(&f);
    put_config(&f, ",\"sliding_window\":32");
    fe_options o = {.capacity = 65};
    CU_ASSERT(refused(&f, fe_load(f.dir, &o, f.mem, &f.d, &f.m), DIAG_CAPACITY,
                      "65 tokens (the model takes 1 to 64)"));
    o.capacity = -1;
    CU_ASSERT(refused(&f, fe_load(f.dir, &o, f.mem, &f.d, &f.m), DIAG_CAPACITY, "-1 tokens"));
    CU_ASSERT(refused(&f, load(&f), DIAG_WINDOW, "'sliding_window' is not supported (found 32"));
    o.capacity = 33;
    CU_ASSERT(refused(&f, fe_load(f.dir, &o, f.mem, &f.d, &f.m), DIAG_WINDOW, "33 tokens"));
    o.capacity = 32;
    CU_ASSERT_FATAL(fe_load(f.dir, &o, f.mem, &f.d, &f.m));
    CU_ASSERT_EQUAL(f.m.capacity, 32);
    for (const ir_op *op = f.m.graph->first; op; op = op->next)
        if (op->kind == OP_rope_table) CU_ASSERT_EQUAL(op->type.dim[0], 32);
    tear_down(&f);
}

static void dummy_weights_need_no_files(void) {
    fixture f = set_up();
    const fe_options o = {.dummy = true, .seed = 7};
    put_config(&f, ",\"torch_dtype\":\"float16\"");
    CU_ASSERT_FATAL(fe_load(f.dir, &o, f.mem, &f.d, &f.m));
    CU_ASSERT(ir_verify(f.m.graph) && count(f.m.graph, OP_matmul) == 5);
    const ir_op *w = weight(f.m.graph, LAYER "mlp.down_proj.weight");
    CU_ASSERT(w && w->source.kind == SOURCE_seed && w->type.dtype == DT_f16);
    for (const ir_op *op = f.m.graph->first; op; op = op->next)
        if (op->kind == OP_weight && op != w) CU_ASSERT(op->source.seed != w->source.seed);
    fe_close(&f.m);
    put_config(&f, gptq_config(&f, &PLAIN_PACKING, ""));
    CU_ASSERT_FATAL(fe_load(f.dir, &o, f.mem, &f.d, &f.m));
    CU_ASSERT(ir_verify(f.m.graph) && count(f.m.graph, OP_dequant) == 4);
    tear_down(&f);
}

/* ---- folders ---- */

static void other_formats_are_refused_with_advice(void) {
    fixture f = set_up();
    put_config(&f, "");
    CU_ASSERT(refused(&f, load(&f), DIAG_WEIGHTS_MISSING, "no model.safetensors and no"));
    put_file(in(&f, "pytorch_model.bin"), STR("\x80\x02"));
    CU_ASSERT(
        refused(&f, load(&f), DIAG_WEIGHTS_FORMAT, "found pytorch_model.bin, which is never read"));
    CU_ASSERT(strstr(diag_hint(DIAG_WEIGHTS_FORMAT), "safe_serialization") != NULL);
    CU_ASSERT(refused(&f, fe_load("/nonexistent", &(fe_options){0}, f.mem, &f.d, &f.m),
                      DIAG_WEIGHTS_MISSING, "no such folder"));
    tear_down(&f);
}

static void an_index_and_its_shards_must_agree(void) {
    static const struct {
        const char *index;
        diag_code code;
        const char *said;
    } CASES[] = {
        {"[]", DIAG_INDEX, "'weight_map' is missing"},
        {"{}", DIAG_INDEX, "'weight_map' is missing"},
        {"{\"weight_map\":{\"x\":7}}", DIAG_INDEX, "no file name"},
        {"{\"weight_map\":{\"x\":\"\"}}", DIAG_INDEX, "outside"},
        {"{\"weight_map\":{\"x\":\"..\"}}", DIAG_INDEX, "outside"},
        {"{\"weight_map\":{\"x\":\"sub/a.safetensors\"}}", DIAG_INDEX, "outside"},
        {"{\"weight_map\":{\"x\":\"absent.safetensors\"}}", DIAG_FILE_OPEN, "absent.safetensors"},
        {"{\"weight_map\":{\"x\":\"a.safetensors\"}}", DIAG_INDEX_SHARD,
         "'x': it is not found in its shard"},
        {"{\"weight_map\":{\"x\":\"a.safetensors\",\"y\":\"b.safetensors\"}}", DIAG_INDEX_SHARD,
         "'y': model.safetensors.index.json does not place it"},
        {"{\"weight_map\":{}}", DIAG_TENSOR_MISSING, "embed_tokens"},
        {"{\"weight_map\":", DIAG_JSON_SYNTAX, "not valid JSON"},
    };
    fixture f = set_up();
    put_config(&f, "");
    add_f32(&f, 1, "y", 1, 2, 0); /* file a has y, and so has b */
    put_file(in(&f, "b.safetensors"), st_writer_done(&f.w[1]));
    f.w[0] = st_writer_new(f.mem);
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        const bool with_y = strstr(CASES[i].index, "\"y\"") != NULL;
        st_writer w = st_writer_new(f.mem);
        const float x[2] = {0};
        if (with_y) st_writer_add(&w, "x", "F32", 1, (int64_t[]){2}, x, 8);
        if (with_y) st_writer_add(&w, "y", "F32", 1, (int64_t[]){2}, x, 8);
        put_file(in(&f, "a.safetensors"), st_writer_done(&w));
        put_file(in(&f, "model.safetensors.index.json"), str_of(CASES[i].index));
        CU_ASSERT(refused(&f, load(&f), CASES[i].code, CASES[i].said));
    }
    tear_down(&f);
}

static void the_download_cache_s_links_are_followed(void) {
    fixture f = set_up();
    put_config(&f, "");
    add_dense(&f);
    CU_ASSERT_FATAL(mkdir(in(&f, "blobs"), 0700) == 0 && mkdir(in(&f, "snapshots"), 0700) == 0 &&
                    mkdir(in(&f, "snapshots/main"), 0700) == 0);
    CU_ASSERT_FATAL(rename(in(&f, "config.json"), in(&f, "blobs/c0ffee")) == 0);
    put_file(in(&f, "blobs/0123abc"), st_writer_done(&f.w[0]));
    CU_ASSERT(symlink("../../blobs/c0ffee", in(&f, "snapshots/main/config.json")) == 0);
    CU_ASSERT(symlink("../../blobs/0123abc", in(&f, "snapshots/main/model.safetensors")) == 0);
    CU_ASSERT(fe_load(in(&f, "snapshots/main"), &(fe_options){0}, f.mem, &f.d, &f.m));
    tear_down(&f);
}

UNIT_MAIN("frontend", {"a joined checkpoint gives slices", a_joined_checkpoint_gives_slices},
          {"matrices may stand apart", matrices_may_stand_apart},
          {"one missing part is named", one_missing_part_is_named},
          {"a tied head is the embedding", a_tied_head_is_the_embedding},
          {"extra tensors are mentioned once", extra_tensors_are_mentioned_once},
          {"biases must be zero", biases_must_be_zero},
          {"packed values are those of the format", packed_values_are_those_of_the_format},
          {"broken packings are refused", broken_packings_are_refused},
          {"a scale beyond f16 is refused", a_scale_beyond_f16_is_refused},
          {"a matrix left plain is taken plain", a_matrix_left_plain_is_taken_plain},
          {"config.json goes before other files", config_json_goes_before_other_files},
          {"the capacity is that of the model at most", the_capacity_is_that_of_the_model_at_most},
          {"dummy weights need no files", dummy_weights_need_no_files},
          {"other formats are refused with advice", other_formats_are_refused_with_advice},
          {"an index and its shards must agree", an_index_and_its_shards_must_agree},
          {"the download cache's links are followed", the_download_cache_s_links_are_followed})
