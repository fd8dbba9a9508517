/* build_phi3.c - the graph of Phi3ForCausalLM, in plain ops.
 *
 *   x = embed[ids]
 *   each layer:  x += o_proj(attention(rms(x, input_layernorm)))
 *                x += down_proj(silu(gate) * up),  [gate; up] of rms(x, post_attention_layernorm)
 *   logits = head(rms(x[rows], norm))
 *
 * Rows of qkv_proj: all query heads, then key heads, then value heads; of gate_up_proj: gate, then
 * up.  Both may be stored apart; then there are as many products as matrices.  Source:
 * transformers, models/phi3/modeling_phi3.py.
 */
#include "frontend/build_phi3.h"

#include <math.h>

typedef struct builder {
    fe_importer *im;
    ir_graph *g;
    const model_config *c;
    ir_op *ids, *seqs, *rows, *rope; /* of the whole graph */
    ir_op *kv;                       /* as the layers so far leave it */
} builder;

/* Every helper passes a NULL operand on: what failed is reported, and ir_add is silent about it. */
static ir_op *unary(builder *b, op_kind kind, ir_op *x, const ir_attr *attr) {
    return ir_add(b->g, kind, 1, &x, attr ? 1 : 0, attr);
}

static ir_op *binary(builder *b, op_kind kind, ir_op *x, ir_op *y) {
    return ir_add(b->g, kind, 2, (ir_op *[]){x, y}, 0, NULL);
}

static ir_op *project(builder *b, ir_op *x, fe_role role, int64_t layer, int64_t n, int64_t k) {
    return x ? binary(b, OP_matmul, x, fe_import_matrix(b->im, role, layer, n, k)) : NULL;
}

static ir_op *slice(builder *b, ir_op *x, int64_t begin, int64_t size) {
    return ir_add(b->g, OP_slice, 1, &x, 2, (ir_attr[]){IR_I64(begin, begin), IR_I64(size, size)});
}

static ir_op *norm(builder *b, ir_op *x, fe_role role, int64_t layer) {
    if (!x) return NULL;
    ir_op *w = fe_import_vector(b->im, role, layer, b->c->hidden_size);
    return ir_add(b->g, OP_rmsnorm, 2, (ir_op *[]){x, w}, 1, &IR_F64(eps, b->c->rms_norm_eps));
}

static ir_op *rope(builder *b, ir_op *x, int64_t heads) {
    const ir_attr attrs[] = {IR_I64(heads, heads), IR_I64(head_dim, b->c->head_dim),
                             IR_I64(rot, b->c->rot)};
    return ir_add(b->g, OP_rope, 3, (ir_op *[]){x, b->rope, b->seqs}, 3, attrs);
}

/* h: normed.  Returns what o_proj takes. */
static ir_op *attention(builder *b, ir_op *h, int64_t layer) {
    const model_config *c = b->c;
    const int64_t D = c->hidden_size, E = c->head_dim, H = c->num_attention_heads;
    const int64_t n_q = H * E, n_kv = c->num_key_value_heads * E;
    const ir_attr at = IR_I64(layer, layer), heads = IR_I64(heads, H);
    ir_op *q, *k, *v;
    if (fe_has_matrix(b->im, ROLE_qkv, layer) || !fe_has_matrix(b->im, ROLE_q, layer)) {
        ir_op *qkv = project(b, h, ROLE_qkv, layer, n_q + 2 * n_kv, D);
        q = slice(b, qkv, 0, n_q);
        k = slice(b, qkv, n_q, n_kv);
        v = slice(b, qkv, n_q + n_kv, n_kv);
    } else {
        q = project(b, h, ROLE_q, layer, n_q, D);
        k = q ? project(b, h, ROLE_k, layer, n_kv, D) : NULL;
        v = k ? project(b, h, ROLE_v, layer, n_kv, D) : NULL;
    }
    q = rope(b, q, H);
    k = rope(b, k, c->num_key_value_heads);
    b->kv = ir_add(b->g, OP_kv_append, 4, (ir_op *[]){b->kv, k, v, b->seqs}, 1, &at);
    ir_op *s =
        ir_add(b->g, OP_attn_scores, 3, (ir_op *[]){q, b->kv, b->seqs}, 2, (ir_attr[]){at, heads});
    s = unary(b, OP_scale, s, &IR_F64(by, 1 / sqrt((double)E)));
    s = binary(b, OP_attn_mask, s, b->seqs);
    s = unary(b, OP_softmax, s, NULL);
    return ir_add(b->g, OP_attn_mix, 3, (ir_op *[]){s, b->kv, b->seqs}, 1, &at);
}

static ir_op *mlp(builder *b, ir_op *h, int64_t layer) {
    const int64_t D = b->c->hidden_size, F = b->c->intermediate_size;
    ir_op *gate, *up;
    if (fe_has_matrix(b->im, ROLE_gate_up, layer) || !fe_has_matrix(b->im, ROLE_gate, layer)) {
        ir_op *both = project(b, h, ROLE_gate_up, layer, 2 * F, D);
        gate = slice(b, both, 0, F);
        up = slice(b, both, F, F);
    } else {
        gate = project(b, h, ROLE_gate, layer, F, D);
        up = gate ? project(b, h, ROLE_up, layer, F, D) : NULL;
    }
    return project(b, binary(b, OP_mul, unary(b, OP_silu, gate, NULL), up), ROLE_down, layer, D, F);
}

static ir_op *decoder_layer(builder *b, ir_op *x, int64_t layer) {
    const model_config *c = b->c;
    ir_op *a = attention(b, norm(b, x, ROLE_attn_norm, layer), layer);
    x = binary(b, OP_add, x,
               project(b, a, ROLE_o, layer, c->hidden_size, c->num_attention_heads * c->head_dim));
    return binary(b, OP_add, x, mlp(b, norm(b, x, ROLE_mlp_norm, layer), layer));
}

bool fe_build_phi3(fe_importer *im, const model_config *c, int64_t capacity) {
    ir_graph *g = im->g;
    ir_type kv = IR_TYPE(DT_f32, c->num_hidden_layers, c->num_key_value_heads, c->head_dim);
    kv.layout = LAYOUT_kv;
    builder b = {.im = im, .g = g, .c = c};
    b.ids = ir_add_input(g, "ids", IR_TYPE(DT_i32, DIM_T));
    b.rows = ir_add_input(g, "rows", IR_TYPE(DT_i32, DIM_R));
    b.seqs = ir_add_input(g, "seqs", (ir_type){.dtype = DT_seqs});
    b.kv = ir_add_input(g, "kv", kv);
    b.rope = ir_add_rope_table(g, capacity, 2,
                               (ir_attr[]){IR_F64(theta, c->rope_theta), IR_I64(rot, c->rot)});
    ir_op *embed = fe_import_matrix(im, ROLE_embed, 0, c->vocab_size, c->hidden_size);
    ir_op *x = binary(&b, OP_embed, embed, b.ids);
    for (int64_t layer = 0; x && layer < c->num_hidden_layers; layer++)
        x = decoder_layer(&b, x, layer);
    x = norm(&b, binary(&b, OP_select_rows, x, b.rows), ROLE_final_norm, 0);
    ir_op *logits = c->tied ? binary(&b, OP_matmul, x, embed)
                            : project(&b, x, ROLE_head, 0, c->vocab_size, c->hidden_size);
    if (!logits) return false;
    ir_add_output(g, logits);
    ir_add_output(g, b.kv);
    return true;
}
