/* tiny_phi.c - Phi3ForCausalLM in plain ops; golden/README.md section 2 has the formulas. */
#include "tests/support/tiny_phi.h"

#include <math.h>
#include <string.h>

#include "base/seedgen.h"

typedef struct maker {
    const tiny_phi *p;
    ir_graph *g;
    uint64_t n_weights;
    ir_op *ids, *seqs, *rows, *table, *kv;
} maker;

tiny_phi tiny_phi_default(void) {
    return (tiny_phi){
        .layers = 2,
        .hidden = 64,
        .ffn = 96,
        .heads = 4,
        .kv_heads = 2,
        .head_dim = 16,
        .rot = 16,
        .vocab = 50,
        .capacity = 64,
        .weight = DT_f32,
        .embed = DT_f32,
        .head = DT_f32,
        .seed = 1,
    };
}

static ir_op *weight(maker *m, const char *name, ir_type type, uint64_t number) {
    const ir_source source = {.kind = SOURCE_seed, .seed = m->p->seed * 1000 + number};
    return ir_add_weight(m->g, name, type, source);
}

static ir_op *norm(maker *m, ir_op *x, const char *name) {
    ir_op *const w = weight(m, name, IR_TYPE(m->p->embed, m->p->hidden), ++m->n_weights);
    return ir_add(m->g, OP_rmsnorm, 2, (ir_op *[]){x, w}, 1, (ir_attr[]){IR_F64(eps, 1e-5)});
}

static ir_op *dense(maker *m, ir_op *x, const char *name, int64_t n, ir_dtype dtype) {
    ir_op *const w = weight(m, name, IR_TYPE(dtype, n, x->type.dim[1]), ++m->n_weights);
    return ir_add(m->g, OP_matmul, 2, (ir_op *[]){x, w}, 0, NULL);
}

/* A GPTQ file in memory, made of seed `number`, with the g_idx of seed `order`. */
static ir_op *gptq_file(maker *m, const char *name, ir_type type, uint64_t number, uint64_t order) {
    const int64_t n = type.dim[0], k = type.dim[1], n_groups = ir_n_groups(&type);
    const ir_range data = {0, (uint64_t)(n * k / 2)};
    const ir_range scales = {data.bytes, (uint64_t)(2 * n_groups * n)};
    const ir_range zeros = {scales.offset + scales.bytes,
                            type.zeros ? (uint64_t)(n_groups * n / 2) : 0};
    const ir_range perm = {zeros.offset + zeros.bytes, (uint64_t)(4 * k)};
    const uint64_t n_bytes = perm.offset + perm.bytes;
    uint8_t *at = arena_array(m->g->mem, uint8_t, n_bytes);
    for (uint64_t i = 0; i < n_bytes; i++) at[i] = (uint8_t)seedgen_hash(number, 5, i);
    for (int64_t i = 0; i < n_groups * n; i++) {
        const uint16_t scale = seedgen_scale(number, (uint64_t)(i % n), (uint64_t)(i / n),
                                             (uint64_t)n_groups, (uint64_t)k, type.zeros);
        memcpy(at + scales.offset + 2 * i, &scale, sizeof scale);
    }
    const seedgen_columns columns = seedgen_permutation(order, (uint64_t)k);
    for (int64_t i = 0; i < k; i++) {
        const int64_t group = type.group < 0 ? k : type.group;
        const int32_t g = (int32_t)((int64_t)seedgen_column(&columns, (uint64_t)i) / group);
        memcpy(at + perm.offset + 4 * i, &g, sizeof g);
    }
    const ir_source source = {
        .kind = SOURCE_file,
        .file = ir_add_file(m->g, name, at, n_bytes),
        .data = data,
        .scales = scales,
        .zeros = zeros,
        .perm = perm,
        .scales_dtype = DT_f16,
    };
    return ir_add_weight(m->g, name, type, source);
}

/* A matrix of a layer in the model's element type, made of seed `number`; `order`: of its g_idx. */
static ir_op *project(maker *m, ir_op *x, const char *name, int64_t n, uint64_t number,
                      uint64_t order) {
    const int64_t k = x->type.dim[1];
    ir_type type = IR_TYPE(m->p->weight, n, k);
    if (m->p->weight == DT_i4) {
        type.group = m->p->group;
        type.zeros = m->p->zeros;
        type.perm = m->p->perm;
        type.layout = k % 8 == 0 && n % 8 == 0 ? LAYOUT_gptq : LAYOUT_plain;
    }
    ir_op *w = type.perm && type.layout == LAYOUT_gptq ? gptq_file(m, name, type, number, order)
                                                       : weight(m, name, type, number);
    if (m->p->weight == DT_i4) w = ir_add(m->g, OP_dequant, 1, &w, 0, NULL);
    return ir_add(m->g, OP_matmul, 2, (ir_op *[]){x, w}, 0, NULL);
}

/* A projection whose column order is its own. */
static ir_op *project_alone(maker *m, ir_op *x, const char *name, int64_t n) {
    const uint64_t number = ++m->n_weights;
    return project(m, x, name, n, number, number);
}

/* Products of x with n_rows[i] rows each: slices of one matrix, or matrices of their own. */
static void projections(maker *m, ir_op *x, const char *name, int n, const int64_t *n_rows,
                        ir_op **out) {
    if (m->p->unfused) {
        const uint64_t first = m->n_weights + 1;
        for (int i = 0; i < n; i++)
            out[i] = project(m, x, name, n_rows[i], first + (uint64_t)i,
                             first + (m->p->one_order ? 0 : (uint64_t)i));
        m->n_weights += (uint64_t)n;
        return;
    }
    int64_t total = 0, begin = 0;
    for (int i = 0; i < n; i++) total += n_rows[i];
    ir_op *const y = project_alone(m, x, name, total);
    for (int i = 0; i < n; begin += n_rows[i++])
        out[i] = ir_add(m->g, OP_slice, 1, (ir_op *[]){y}, 2,
                        (ir_attr[]){IR_I64(begin, begin), IR_I64(size, n_rows[i])});
}

static ir_op *rope(maker *m, ir_op *x, int64_t heads) {
    return ir_add(m->g, OP_rope, 3, (ir_op *[]){x, m->table, m->seqs}, 3,
                  (ir_attr[]){IR_I64(heads, heads), IR_I64(head_dim, m->p->head_dim),
                              IR_I64(rot, m->p->rot)});
}

static ir_op *attention(maker *m, ir_op *x, int64_t layer) {
    const tiny_phi *p = m->p;
    const int64_t n_q = p->heads * p->head_dim, n_kv = p->kv_heads * p->head_dim;
    ir_op *qkv[3];
    projections(m, x, "qkv_proj", 3, (int64_t[]){n_q, n_kv, n_kv}, qkv);
    ir_op *const q = rope(m, qkv[0], p->heads), *const k = rope(m, qkv[1], p->kv_heads);
    const ir_attr at_layer = IR_I64(layer, layer);
    m->kv = ir_add(m->g, OP_kv_append, 4, (ir_op *[]){m->kv, k, qkv[2], m->seqs}, 1, &at_layer);
    ir_op *s = ir_add(m->g, OP_attn_scores, 3, (ir_op *[]){q, m->kv, m->seqs}, 2,
                      (ir_attr[]){at_layer, IR_I64(heads, p->heads)});
    s = ir_add(m->g, OP_scale, 1, &s, 1, (ir_attr[]){IR_F64(by, 1 / sqrt((double)p->head_dim))});
    s = ir_add(m->g, OP_attn_mask, 2, (ir_op *[]){s, m->seqs}, p->window ? 1 : 0,
               (ir_attr[]){IR_I64(window, p->window)});
    s = ir_add(m->g, OP_softmax, 1, &s, 0, NULL);
    s = ir_add(m->g, OP_attn_mix, 3, (ir_op *[]){s, m->kv, m->seqs}, 1, &at_layer);
    return project_alone(m, s, "o_proj", p->hidden);
}

static ir_op *feed_forward(maker *m, ir_op *x) {
    ir_op *part[2];
    projections(m, x, "gate_up_proj", 2, (int64_t[]){m->p->ffn, m->p->ffn}, part);
    ir_op *const gate = ir_add(m->g, OP_silu, 1, &part[0], 0, NULL);
    ir_op *const y = ir_add(m->g, OP_mul, 2, (ir_op *[]){gate, part[1]}, 0, NULL);
    return project_alone(m, y, "down_proj", m->p->hidden);
}

ir_graph *tiny_phi_build(const tiny_phi *p, arena *mem, diag *d) {
    maker m = {.p = p, .g = ir_new(mem, d, "tiny_phi")};
    ir_graph *const g = m.g;
    m.ids = ir_add_input(g, "ids", IR_TYPE(DT_i32, DIM_T));
    m.seqs = ir_add_input(g, "seqs", (ir_type){.dtype = DT_seqs});
    m.rows = ir_add_input(g, "rows", IR_TYPE(DT_i32, DIM_R));
    ir_type kv = IR_TYPE(DT_f32, p->layers, p->kv_heads, p->head_dim);
    kv.layout = LAYOUT_kv;
    m.kv = ir_add_input(g, "kv", kv);
    m.table = ir_add_rope_table(g, p->capacity, 2,
                                (ir_attr[]){IR_F64(theta, 10000), IR_I64(rot, p->rot)});
    ir_op *const embed =
        weight(&m, "embed_tokens", IR_TYPE(p->embed, p->vocab, p->hidden), ++m.n_weights);
    ir_op *x = ir_add(g, OP_embed, 2, (ir_op *[]){embed, m.ids}, 0, NULL);
    for (int64_t layer = 0; layer < p->layers && x; layer++) {
        ir_op *const a = attention(&m, norm(&m, x, "input_layernorm"), layer);
        x = ir_add(g, OP_add, 2, (ir_op *[]){x, a}, 0, NULL);
        ir_op *const f = feed_forward(&m, norm(&m, x, "post_attention_layernorm"));
        x = ir_add(g, OP_add, 2, (ir_op *[]){x, f}, 0, NULL);
    }
    x = ir_add(g, OP_select_rows, 2, (ir_op *[]){x, m.rows}, 0, NULL);
    x = norm(&m, x, "norm");
    ir_op *const logits = p->tied ? ir_add(g, OP_matmul, 2, (ir_op *[]){x, embed}, 0, NULL)
                                  : dense(&m, x, "lm_head", p->vocab, p->head);
    ir_add_output(g, logits);
    ir_add_output(g, m.kv);
    return logits && m.kv ? g : NULL;
}
