/* random_graph.c - draws graphs of plain ops. */
#include "tests/support/random_graph.h"

uint64_t random_next(random_source *r) { /* splitmix64 (Steele, Lea, Flood 2014) */
    uint64_t z = r->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

int64_t random_range(random_source *r, int64_t lo, int64_t hi) {
    return lo + (int64_t)(random_next(r) % (uint64_t)(hi - lo + 1));
}

typedef struct maker {
    ir_graph *g;
    random_source r;
    int64_t d, heads, kv_heads, head_dim, rot, capacity;
    ir_op *ids, *seqs, *rows, *kv, *table;
    int64_t layer;
} maker;

static ir_op *add(maker *m, op_kind kind, int n_in, ir_op *const *in) {
    return ir_add(m->g, kind, n_in, in, 0, NULL);
}

static ir_op *vector(maker *m, int64_t k) {
    return ir_add_weight(m->g, "norm", IR_TYPE(random_range(&m->r, 0, 1) ? DT_f32 : DT_bf16, k),
                         (ir_source){.kind = SOURCE_seed, .seed = random_next(&m->r)});
}

/* A matrix [n, k], behind a dequant where it is 4-bit. */
static ir_op *matrix(maker *m, int64_t n, int64_t k) {
    static const ir_dtype DENSE[] = {DT_f32, DT_bf16, DT_f16};
    const ir_source source = {
        .kind = SOURCE_seed, .seed = random_next(&m->r), .scales_dtype = DT_f16};
    if (random_range(&m->r, 0, 1))
        return ir_add_weight(m->g, "w", IR_TYPE(DENSE[random_range(&m->r, 0, 2)], n, k), source);
    static const int64_t GROUPS[] = {8, 16, 20, 32, 64, 128, -1};
    ir_type t = IR_TYPE(DT_i4, n, k);
    t.group = GROUPS[random_range(&m->r, 0, 6)];
    t.zeros = random_range(&m->r, 0, 1);
    t.perm = random_range(&m->r, 0, 3) == 0;
    ir_op *w = ir_add_weight(m->g, "q", t, source);
    return add(m, OP_dequant, 1, &w);
}

static ir_op *matmul(maker *m, ir_op *x, int64_t n) {
    return add(m, OP_matmul, 2, (ir_op *[]){x, matrix(m, n, x->type.dim[1])});
}

static ir_op *rmsnorm(maker *m, ir_op *x) {
    return ir_add(m->g, OP_rmsnorm, 2, (ir_op *[]){x, vector(m, x->type.dim[1])}, 1,
                  (ir_attr[]){IR_F64(eps, 1e-5)});
}

static ir_op *slice(maker *m, ir_op *x, int64_t begin, int64_t size) {
    return ir_add(m->g, OP_slice, 1, &x, 2, (ir_attr[]){IR_I64(begin, begin), IR_I64(size, size)});
}

static ir_op *rope(maker *m, ir_op *x, int64_t heads) {
    return ir_add(
        m->g, OP_rope, 3, (ir_op *[]){x, m->table, m->seqs}, 3,
        (ir_attr[]){IR_I64(heads, heads), IR_I64(head_dim, m->head_dim), IR_I64(rot, m->rot)});
}

static ir_op *attention(maker *m, ir_op *x) {
    const int64_t nq = m->heads * m->head_dim, nk = m->kv_heads * m->head_dim;
    ir_op *q, *k, *v;
    if (random_range(&m->r, 0, 1)) {
        ir_op *const y = matmul(m, x, nq + 2 * nk);
        q = slice(m, y, 0, nq);
        k = slice(m, y, nq, nk);
        v = slice(m, y, nq + nk, nk);
    } else {
        q = matmul(m, x, nq);
        k = matmul(m, x, nk);
        v = matmul(m, x, nk);
    }
    q = rope(m, q, m->heads);
    k = rope(m, k, m->kv_heads);
    const ir_attr layer = IR_I64(layer, m->layer++);
    m->kv = ir_add(m->g, OP_kv_append, 4, (ir_op *[]){m->kv, k, v, m->seqs}, 1, &layer);
    ir_op *s = ir_add(m->g, OP_attn_scores, 3, (ir_op *[]){q, m->kv, m->seqs}, 2,
                      (ir_attr[]){layer, IR_I64(heads, m->heads)});
    s = ir_add(m->g, OP_scale, 1, &s, 1, (ir_attr[]){IR_F64(by, 0.125)});
    const ir_attr window = IR_I64(window, random_range(&m->r, 1, 300));
    s = ir_add(m->g, OP_attn_mask, 2, (ir_op *[]){s, m->seqs}, random_range(&m->r, 0, 2) == 0,
               &window);
    s = add(m, OP_softmax, 1, &s);
    ir_op *o = ir_add(m->g, OP_attn_mix, 3, (ir_op *[]){s, m->kv, m->seqs}, 1, &layer);
    return matmul(m, o, m->d);
}

static ir_op *feed_forward(maker *m, ir_op *x) {
    const int64_t f = random_range(&m->r, 1, 90);
    ir_op *gate, *up;
    if (random_range(&m->r, 0, 1)) {
        ir_op *const y = matmul(m, x, 2 * f);
        gate = slice(m, y, 0, f);
        up = slice(m, y, f, f);
    } else {
        gate = matmul(m, x, f);
        up = matmul(m, x, f);
    }
    gate = add(m, OP_silu, 1, &gate);
    return matmul(m, add(m, OP_mul, 2, (ir_op *[]){gate, up}), m->d);
}

/* Something that no pass of the list fuses. */
static ir_op *odd_one(maker *m, ir_op *x) {
    ir_op *y = ir_add(m->g, OP_scale, 1, &x, 1, (ir_attr[]){IR_F64(by, -0.75)});
    if (random_range(&m->r, 0, 1)) y = add(m, OP_silu, 1, &y);
    if (random_range(&m->r, 0, 1)) y = add(m, OP_mul, 2, (ir_op *[]){y, x});
    if (random_range(&m->r, 0, 1)) y = add(m, OP_softmax, 1, &y);
    return y;
}

random_graph random_graph_make(uint64_t seed, arena *mem, diag *d) {
    maker m = {.g = ir_new(mem, d, "random"), .r = {seed}, .capacity = 700};
    const int64_t vocab = random_range(&m.r, 5, 120);
    m.d = random_range(&m.r, 1, 150);
    m.kv_heads = random_range(&m.r, 1, 3);
    m.heads = m.kv_heads * random_range(&m.r, 1, 5);
    m.head_dim = 2 * random_range(&m.r, 2, 40);
    /* all lanes turn; all but a pair of blocks, which the fused kernel takes; or any number */
    const int64_t turning = random_range(&m.r, 0, 2);
    m.rot = turning == 0                      ? m.head_dim
            : turning == 1 && m.head_dim > 32 ? m.head_dim - 32
                                              : 2 * random_range(&m.r, 1, m.head_dim / 2);
    m.ids = ir_add_input(m.g, "ids", IR_TYPE(DT_i32, DIM_T));
    m.seqs = ir_add_input(m.g, "seqs", (ir_type){.dtype = DT_seqs});
    m.rows = ir_add_input(m.g, "rows", IR_TYPE(DT_i32, DIM_R));
    const int64_t n_parts = random_range(&m.r, 1, 4);
    ir_type kv = IR_TYPE(DT_f32, n_parts, m.kv_heads, m.head_dim);
    kv.layout = LAYOUT_kv;
    m.kv = ir_add_input(m.g, "kv", kv);
    m.table = ir_add_rope_table(m.g, m.capacity, 2,
                                (ir_attr[]){IR_F64(theta, 10000), IR_I64(rot, m.rot)});
    ir_op *const embedding =
        ir_add_weight(m.g, "embedding", IR_TYPE(DT_bf16, vocab, m.d),
                      (ir_source){.kind = SOURCE_seed, .seed = random_next(&m.r)});
    ir_op *x = add(&m, OP_embed, 2, (ir_op *[]){embedding, m.ids});
    ir_op *const kv_in = m.kv;
    for (int64_t i = 0; i < n_parts; i++) {
        ir_op *y = random_range(&m.r, 0, 4) ? rmsnorm(&m, x) : x;
        static ir_op *(*const PART[])(maker *, ir_op *) = {attention, feed_forward, odd_one};
        y = PART[random_range(&m.r, 0, 2)](&m, y);
        x = add(&m, OP_add, 2, random_range(&m.r, 0, 1) ? (ir_op *[]){x, y} : (ir_op *[]){y, x});
    }
    x = add(&m, OP_select_rows, 2, (ir_op *[]){x, m.rows});
    ir_add_output(m.g, matmul(&m, rmsnorm(&m, x), vocab));
    if (m.kv != kv_in) ir_add_output(m.g, m.kv);
    return (random_graph){m.g, vocab, m.capacity};
}
