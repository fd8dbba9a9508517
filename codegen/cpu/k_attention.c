/* k_attention.c - streaming-softmax attention over KV blocks, the query heads of a KV head
 * together.
 *
 *   y[t, h] = sum_j softmax_j(by * q[t, h] . k[j]) v[j],  j over the positions that token t sees
 *
 * Keys are taken in absolute blocks of 256 positions; each block gives (max, sum, out), merged in
 * order of the blocks, so that the result depends on nothing but position: not on threads, chunks
 * or what else is in the step.  Within a block scores have keys in lanes and sum over the head in
 * order; the sum of the exponentials is 16 partial sums and the fixed tree; out sums over keys in
 * order. Source: online softmax (Milakov and Gimelshein 2018), FlashAttention (Dao et al. 2022)
 * algorithm 1. */
#include <assert.h>

#include "codegen/cpu/kernel.h"
#include "codegen/cpu/lb_vec.h"

enum {
    MAX_HEADS = 4,
    MAX_PARTS = 4
}; /* query heads, and parts of 16 elements, whose sums are in registers at once */

/* Per-thread memory, floats: scaled queries [heads][ep], scores [heads][256], out [heads][ep], max,
 * sum [heads][16]. */
typedef struct attention {
    const cg_kernel_spec *s;
    cpu_kv kv;
    int64_t n; /* query heads of a KV head */
    lbv q, score, out, max, sum;
    lbv k_head, v_head;       /* of the block at hand */
    lbv low, high;            /* visible positions of the block: low .. high */
    lbv block_max, block_sum; /* [heads][16]: scratch behind sum */
} attention;

static lbv floats(lb *b, lbv p, lbv index) { return lb_at(b, p, lb_muli(b, index, 4)); }
static lbv floats_at(lb *b, lbv p, int64_t index) { return lb_ati(b, p, index * 4); }
static lbv splat_at(lb *b, lbv p) { return lb_splat(b, lb_load(b, b->f32, p, 4)); }

static int64_t scratch_floats(const cg_kernel_spec *s) {
    const int64_t n = s->heads / s->kv_heads, ep = round_up(s->head_dim, LB_LANES);
    return n * (2 * ep + RT_KV_BLOCK_TOK + 4 * LB_LANES);
}

int64_t cpu_attention_scratch_bytes(const cg_kernel_spec *s) { return scratch_floats(s) * 4; }

/* Keys e (and e + 1 for bf16) of 16 positions as f32. */
static int load_keys(lb *b, const attention *a, lbv tile, lbv step, lbv key[2]) {
    if (a->kv.dtype == DT_f32) {
        key[0] = lb_vload(b, lb_at(b, tile, lb_muli(b, step, 64)));
        return 1;
    }
    const lbv pair = lb_vload_i32(b, lb_at(b, tile, lb_muli(b, step, 64)));
    key[0] = lb_bits_f(b, lb_ishl(b, pair, 16));
    key[1] = lb_bits_f(b, lb_iand(b, pair, lb_vint(b, (int32_t)0xffff0000)));
    return 2;
}

/* Scores of heads h0 .. h0 + n over the block's visible positions, -inf for the others of its
 * tiles; block_max. */
static void scores(lb *b, const attention *a, int64_t h0, int n) {
    const int per_step = a->kv.dtype == DT_f32 ? 1 : 2;
    lb_var max[MAX_HEADS];
    for (int h = 0; h < n; h++) max[h] = lb_local(b, lb_vf(b, -3e38f));
    const lbv first = lb_muli(b, lb_divi(b, a->low, LB_LANES), LB_LANES);
    LB_FOR (b, j, first, a->high, lb_int(b, LB_LANES)) {
        const lbv tile = lb_at(b, a->k_head, lb_muli(b, j.i, a->kv.ep * a->kv.bytes));
        lb_var acc[MAX_HEADS];
        for (int h = 0; h < n; h++) acc[h] = lb_local(b, lb_vzero(b));
        LB_FOR (b, e, lb_int(b, 0), lb_int(b, a->kv.ep / per_step), lb_int(b, 1)) {
            lbv key[2];
            load_keys(b, a, tile, e.i, key);
            for (int i = 0; i < per_step; i++)
                for (int h = 0; h < n; h++) {
                    const lbv at = lb_addi(b, lb_muli(b, e.i, per_step), (h0 + h) * a->kv.ep + i);
                    lb_set(b, acc[h],
                           lb_fma(b, key[i], splat_at(b, floats(b, a->q, at)), lb_get(b, acc[h])));
                }
        }
        const lbv below = lb_mask_below(b, lb_sub(b, a->high, j.i));
        const lbv early = lb_mask_below(b, lb_max(b, lb_sub(b, a->low, j.i), lb_int(b, 0)));
        for (int h = 0; h < n; h++) {
            lbv v = lb_vselect(b, below, lb_get(b, acc[h]), lb_vf(b, -3e38f));
            v = lb_vselect(b, early, lb_vf(b, -3e38f), v);
            lb_set(b, max[h], lb_fmax(b, v, lb_get(b, max[h])));
            lb_vstore(b, v, floats(b, a->score, lb_addi(b, j.i, (h0 + h) * RT_KV_BLOCK_TOK)));
        }
    }
    for (int h = 0; h < n; h++)
        lb_vstore(b, lb_splat(b, lb_hmax(b, lb_get(b, max[h]))),
                  floats_at(b, a->block_max, (h0 + h) * LB_LANES));
}

/* Scores become exp(score - block max); their sum goes to block_sum. */
static void exponentials(lb *b, const attention *a, lbv h) {
    const lbv lane = lb_muli(b, h, LB_LANES);
    const lbv max = lb_vload(b, floats(b, a->block_max, lane));
    const lb_var sum = lb_local(b, lb_vzero(b));
    const lbv first = lb_muli(b, lb_divi(b, a->low, LB_LANES), LB_LANES);
    LB_FOR (b, j, first, a->high, lb_int(b, LB_LANES)) {
        const lbv at = floats(b, a->score, lb_add(b, lb_muli(b, h, RT_KV_BLOCK_TOK), j.i));
        const lbv p = lb_exp(b, lb_fsub(b, lb_vload(b, at), max));
        lb_set(b, sum, lb_fadd(b, lb_get(b, sum), p));
        lb_vstore(b, p, at);
    }
    lb_vstore(b, lb_splat(b, lb_hsum(b, lb_get(b, sum))), floats(b, a->block_sum, lane));
}

static lbv load_values(lb *b, const attention *a, lbv row, int part) {
    const lbv p = lb_ati(b, row, (int64_t)part * LB_LANES * a->kv.bytes);
    return a->kv.dtype == DT_f32 ? lb_vload(b, p) : lb_vload_half(b, true, p, NULL);
}

/* out = out * exp(max - new max) + (sum_j p[j] v[j]) * exp(block max - new max), parts of 16
 * elements from `part0` on */
static void values(lb *b, const attention *a, int64_t h0, int n, lbv part0, int n_parts,
                   const lbv *keep, const lbv *take) {
    lb_var acc[MAX_HEADS][MAX_PARTS];
    for (int h = 0; h < n; h++)
        for (int p = 0; p < n_parts; p++) acc[h][p] = lb_local(b, lb_vzero(b));
    const lbv column = lb_muli(b, part0, LB_LANES);
    LB_FOR (b, j, a->low, a->high, lb_int(b, 1)) {
        const lbv row = lb_at(
            b, a->v_head, lb_muli(b, lb_add(b, lb_muli(b, j.i, a->kv.ep), column), a->kv.bytes));
        lbv v[MAX_PARTS];
        for (int p = 0; p < n_parts; p++) v[p] = load_values(b, a, row, p);
        for (int h = 0; h < n; h++) {
            const lbv weight =
                splat_at(b, floats(b, a->score, lb_addi(b, j.i, (h0 + h) * RT_KV_BLOCK_TOK)));
            for (int p = 0; p < n_parts; p++)
                lb_set(b, acc[h][p], lb_fma(b, weight, v[p], lb_get(b, acc[h][p])));
        }
    }
    for (int h = 0; h < n; h++)
        for (int p = 0; p < n_parts; p++) {
            const lbv at =
                floats(b, a->out, lb_addi(b, column, (h0 + h) * a->kv.ep + (int64_t)p * LB_LANES));
            const lbv fresh = lb_fmul(b, lb_get(b, acc[h][p]), take[h]);
            lb_vstore(b, lb_fma(b, lb_vload(b, at), keep[h], fresh), at);
        }
}

static void merge(lb *b, const attention *a, int64_t h0, int n) {
    lbv keep[MAX_HEADS], take[MAX_HEADS];
    for (int h = 0; h < n; h++) {
        const int64_t lane = (h0 + h) * LB_LANES;
        const lbv old = lb_vload(b, floats_at(b, a->max, lane));
        const lbv block = lb_vload(b, floats_at(b, a->block_max, lane));
        const lbv now = lb_fmax(b, old, block);
        keep[h] = lb_exp(b, lb_fsub(b, old, now));
        take[h] = lb_exp(b, lb_fsub(b, block, now));
        const lbv sum = lb_fmul(b, lb_vload(b, floats_at(b, a->block_sum, lane)), take[h]);
        const lbv sum_at = floats_at(b, a->sum, lane);
        lb_vstore(b, lb_fma(b, lb_vload(b, sum_at), keep[h], sum), sum_at);
        lb_vstore(b, now, floats_at(b, a->max, lane));
    }
    const int64_t parts = a->kv.ep / LB_LANES, at_once = b->isa.wide ? MAX_PARTS : 2;
    const int64_t whole = parts / at_once * at_once;
    LB_FOR (b, p, lb_int(b, 0), lb_int(b, whole), lb_int(b, at_once))
        values(b, a, h0, n, p.i, (int)at_once, keep, take);
    if (parts > whole) values(b, a, h0, n, lb_int(b, whole), (int)(parts - whole), keep, take);
}

typedef struct query_load {
    lbv from, to;
    lbv by;
} query_load;

static void load_query(lb *b, lbv at, lbv mask, void *context) {
    const query_load *c = context;
    const lbv v = lb_fmul(b, cpu_load_f32(b, c->from, at, mask), c->by);
    lb_vstore(b, v, floats(b, c->to, at)); /* padding lanes are zero */
}

static void start(lb *b, const attention *a, lbv q) {
    LB_FOR (b, h, lb_int(b, 0), lb_int(b, a->n), lb_int(b, 1)) {
        query_load c = {cpu_row_ptr(b, q, h.i, a->s->head_dim * 4),
                        cpu_row_ptr(b, a->q, h.i, a->kv.ep * 4), lb_vf(b, (float)a->s->by)};
        cpu_row(b, a->s->head_dim, load_query, &c);
        lb_vstore(b, lb_vf(b, -3e38f), cpu_row_ptr(b, a->max, h.i, LB_LANES * 4));
        lb_vstore(b, lb_vzero(b), cpu_row_ptr(b, a->sum, h.i, LB_LANES * 4));
    }
    LB_FOR (b, i, lb_int(b, 0), lb_int(b, a->n * a->kv.ep), lb_int(b, LB_LANES))
        lb_vstore(b, lb_vzero(b), floats(b, a->out, i.i));
}

typedef struct finish_row {
    lbv out, y, sum;
} finish_row;

static void finish_part(lb *b, lbv at, lbv mask, void *context) {
    const finish_row *c = context;
    cpu_store_f32(b, lb_fdiv(b, lb_vload(b, floats(b, c->out, at)), c->sum), c->y, at, mask);
}

/* One token and KV head: row of y and of q is n * head_dim floats. */
static void one(lb *b, attention *a, lbv token, lbv g, lbv layer, lbv y, lbv q) {
    const cg_kernel_spec *s = a->s;
    start(b, a, q);
    const lbv seen = lb_addi(b, lb_token_pos(b, token), 1), blocks = lb_token_blocks(b, token);
    const lbv from =
        s->window ? lb_max(b, lb_addi(b, seen, -s->window), lb_int(b, 0)) : lb_int(b, 0);
    const lbv end = lb_divi(b, lb_addi(b, seen, RT_KV_BLOCK_TOK - 1), RT_KV_BLOCK_TOK);
    LB_FOR (b, block, lb_divi(b, from, RT_KV_BLOCK_TOK), end, lb_int(b, 1)) {
        const lbv base = lb_muli(b, block.i, RT_KV_BLOCK_TOK);
        a->low = lb_max(b, lb_sub(b, from, base), lb_int(b, 0));
        a->high = lb_min(b, lb_sub(b, seen, base), lb_int(b, RT_KV_BLOCK_TOK));
        a->k_head = cpu_kv_head(b, s, blocks, block.i, layer, g, false);
        a->v_head = cpu_kv_head(b, s, blocks, block.i, layer, g, true);
        for (int64_t h = 0; h < a->n; h += MAX_HEADS)
            scores(b, a, h, (int)min_i64(MAX_HEADS, a->n - h));
        LB_FOR (b, h, lb_int(b, 0), lb_int(b, a->n), lb_int(b, 1)) exponentials(b, a, h.i);
        for (int64_t h = 0; h < a->n; h += MAX_HEADS)
            merge(b, a, h, (int)min_i64(MAX_HEADS, a->n - h));
    }
    LB_FOR (b, h, lb_int(b, 0), lb_int(b, a->n), lb_int(b, 1)) {
        finish_row c = {cpu_row_ptr(b, a->out, h.i, a->kv.ep * 4),
                        cpu_row_ptr(b, y, h.i, s->head_dim * 4),
                        lb_vload(b, cpu_row_ptr(b, a->sum, h.i, LB_LANES * 4))};
        cpu_row(b, s->head_dim, finish_part, &c);
    }
}

void cpu_emit_attention(lb *b, const cg_kernel_spec *s, cpu_tile tile) {
    (void)tile;
    assert(s->heads % s->kv_heads == 0);
    attention a = {
        .s = s, .kv = cpu_kv_of(s), .n = s->heads / s->kv_heads, .q = lb_arg(b, ARG_scratch)};
    a.score = floats_at(b, a.q, a.n * a.kv.ep);
    a.out = floats_at(b, a.score, a.n * RT_KV_BLOCK_TOK);
    a.max = floats_at(b, a.out, a.n * a.kv.ep);
    a.sum = floats_at(b, a.max, a.n * LB_LANES);
    a.block_max = floats_at(b, a.sum, a.n * LB_LANES);
    a.block_sum = floats_at(b, a.block_max, a.n * LB_LANES);
    const lbv y = lb_operand(b, 0), q = lb_operand(b, 1), layer = lb_operand_i64(b, 2);
    LB_FOR (b, u, lb_arg(b, ARG_begin), lb_arg(b, ARG_end), lb_int(b, 1)) {
        const lbv t = lb_divi(b, u.i, s->kv_heads), g = lb_remi(b, u.i, s->kv_heads);
        const int64_t bytes = a.n * s->head_dim * 4;
        one(b, &a, t, g, layer, cpu_row_ptr(b, y, u.i, bytes), cpu_row_ptr(b, q, u.i, bytes));
    }
}
