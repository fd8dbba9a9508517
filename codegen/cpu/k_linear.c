/* k_linear.c - the frame of every linear kernel: panels of rows, tiles of tokens, epilogues.
 *
 *   y[t, n] = epilogue(sum_k a[t, k] * w[n, k])
 *
 * A work unit is a panel of tile.nb blocks of 16 rows; a panel's weights are read once for each
 * tile of tokens, from the first level of cache that holds them.  Tokens beyond the last are
 * computed as copies of the last one and stored over it with the same value (residuals are loaded
 * before anything is stored). */
#include "codegen/cpu/k_linear.h"

#include <assert.h>

#include "codegen/cpu/k_rotate.h"
#include "codegen/cpu/lb_vec.h"

typedef struct frame {
    const cg_kernel_spec *s;
    const linear_format *f;
    int64_t n_blocks, block_bytes, x_bytes;
    int unroll;
    lbv y, x, w, extra, layer; /* extra: residual or rope table */
} frame;

/* The value tile that an epilogue sees. */
typedef struct result {
    int nb, nt;
    lbv block; /* first */
    lbv token[CPU_MAX_NT];
    lbv v[CPU_MAX_NB][CPU_MAX_NT];
} result;

/* NULL where all 16 rows from `row` exist whatever it is. */
static lbv row_mask(lb *b, int64_t n, lbv row) {
    return n % LB_LANES ? lb_mask_below(b, lb_sub(b, lb_int(b, n), row)) : NULL;
}

static void store_rows(lb *b, const frame *f, const result *r) {
    const cg_kernel_spec *s = f->s;
    lbv v[CPU_MAX_NB][CPU_MAX_NT];
    for (int i = 0; i < r->nb; i++) {
        const lbv row = lb_muli(b, lb_addi(b, r->block, i), LB_LANES);
        const lbv mask = row_mask(b, s->n, row);
        for (int j = 0; j < r->nt; j++) {
            v[i][j] = r->v[i][j];
            if (s->epilogue != EPILOGUE_add) continue;
            const lbv residual = cpu_row_ptr(b, f->extra, r->token[j], s->n * 4);
            v[i][j] = lb_fadd(b, cpu_load_f32(b, residual, row, mask), v[i][j]);
        }
    }
    for (int i = 0; i < r->nb; i++) {
        const lbv row = lb_muli(b, lb_addi(b, r->block, i), LB_LANES);
        const lbv mask = row_mask(b, s->n, row);
        for (int j = 0; j < r->nt; j++)
            cpu_store_f32(b, v[i][j], cpu_row_ptr(b, f->y, r->token[j], s->n * 4), row, mask);
    }
}

/* Blocks come in pairs: 16 gate rows, the 16 up rows that go with them. */
static void store_swiglu(lb *b, const frame *f, const result *r) {
    const int64_t n = f->s->n / 2;
    assert(r->nb % 2 == 0);
    for (int i = 0; i < r->nb; i += 2) {
        const lbv column = lb_muli(b, lb_addi(b, r->block, i), LB_LANES / 2);
        const lbv mask = row_mask(b, n, column);
        for (int j = 0; j < r->nt; j++)
            cpu_store_f32(b, lb_fmul(b, lb_silu(b, r->v[i][j]), r->v[i + 1][j]),
                          cpu_row_ptr(b, f->y, r->token[j], n * 4), column, mask);
    }
}

/* ---- rope_kv: heads of queries, keys (both in pairs of blocks that turn together) and values ----
 */

typedef struct heads {
    int64_t pairs, rest, per_head; /* blocks of a query or key head: 2 * pairs + rest */
    int64_t per_value_head;
    int64_t first_value; /* block */
} heads;

static heads heads_of(const cg_kernel_spec *s) {
    heads h = {.pairs = ceil_div(s->rot / 2, LB_LANES),
               .rest = ceil_div(s->head_dim - s->rot, LB_LANES)};
    h.per_head = 2 * h.pairs + h.rest;
    h.per_value_head = ceil_div(s->head_dim, LB_LANES);
    h.first_value = (s->heads + s->kv_heads) * h.per_head;
    return h;
}

/* Stores 16 lanes of a query (q) or key head from element e on; `valid` lanes are of this head's
 * part. */
static void put_qk(lb *b, const frame *f, lbv token, lbv head, lbv e, lbv v, int valid, bool q) {
    const cg_kernel_spec *s = f->s;
    if (q) {
        const lbv y = cpu_row_ptr(b, f->y, token, s->heads * s->head_dim * 4);
        const lbv mask = valid < LB_LANES ? lb_mask_below(b, lb_int(b, valid)) : NULL;
        cpu_store_f32(b, v, y, lb_add(b, lb_muli(b, head, s->head_dim), e), mask);
        return;
    }
    const lbv pos = lb_token_pos(b, token);
    const lbv k = cpu_kv_head(b, s, lb_token_blocks(b, token), lb_divi(b, pos, RT_KV_BLOCK_TOK),
                              f->layer, head, false);
    cpu_kv_put_k(b, s, k, lb_remi(b, pos, RT_KV_BLOCK_TOK), e, v, valid);
}

/* A pair of blocks: lanes j and j + rot/2 of a head. */
static void put_pair(lb *b, const frame *f, const result *r, int i, lbv head, lbv pair, int valid,
                     bool q) {
    const cg_kernel_spec *s = f->s;
    const lbv mask = valid < LB_LANES ? lb_mask_below(b, lb_int(b, valid)) : NULL;
    const lbv e = lb_muli(b, pair, LB_LANES);
    for (int t = 0; t < r->nt; t++) {
        const lbv turn = cpu_row_ptr(b, f->extra, lb_token_pos(b, r->token[t]), s->rot * 4);
        const lbv c = cpu_load_f32(b, turn, e, mask);
        const lbv d = cpu_load_f32(b, turn, lb_addi(b, e, s->rot / 2), mask);
        lbv low, high;
        cpu_rotate(b, r->v[i][t], r->v[i + 1][t], c, d, &low, &high);
        put_qk(b, f, r->token[t], head, e, low, valid, q);
        put_qk(b, f, r->token[t], head, lb_addi(b, e, s->rot / 2), high, valid, q);
    }
}

/* Blocks i, i + 1 of the tile belong to query (q) or key head `head`, `within` blocks from its
 * start. */
static void put_head_pair(lb *b, const frame *f, const result *r, int i, const heads *h, lbv head,
                          lbv within, bool q) {
    const int64_t half = f->s->rot / 2;
    const int last = (int)(half - (h->pairs - 1) * LB_LANES); /* lanes of the last pair */
    const lbv pair = lb_divi(b, within, 2);
    const lbv whole = lb_int(b, 2 * (last < LB_LANES ? h->pairs - 1 : h->pairs));
    LB_IF (b, c, lb_lt(b, within, whole)) put_pair(b, f, r, i, head, pair, LB_LANES, q);
    if (last < LB_LANES)
        LB_IF (b, c, lb_eq(b, pair, lb_int(b, h->pairs - 1)))
            put_pair(b, f, r, i, head, pair, last, q);
    if (!h->rest) return;
    LB_IF (b, c, lb_lt(b, lb_int(b, 2 * h->pairs - 1), within))
        for (int k = 0; k < 2; k++) {
            const lbv part = lb_addi(b, within, k - 2 * h->pairs);
            const lbv e = lb_addi(b, lb_muli(b, part, LB_LANES), f->s->rot);
            for (int t = 0; t < r->nt; t++)
                put_qk(b, f, r->token[t], head, e, r->v[i + k][t], LB_LANES, q);
        }
}

static void put_value(lb *b, const frame *f, const result *r, int i, const heads *h) {
    const cg_kernel_spec *s = f->s;
    const lbv at = lb_addi(b, r->block, i - h->first_value);
    const lbv head = lb_divi(b, at, h->per_value_head);
    const lbv e = lb_muli(b, lb_remi(b, at, h->per_value_head), LB_LANES);
    for (int t = 0; t < r->nt; t++) {
        const lbv pos = lb_token_pos(b, r->token[t]);
        const lbv v = cpu_kv_head(b, s, lb_token_blocks(b, r->token[t]),
                                  lb_divi(b, pos, RT_KV_BLOCK_TOK), f->layer, head, true);
        cpu_kv_put_v(b, s, v, lb_remi(b, pos, RT_KV_BLOCK_TOK), e, r->v[i][t], LB_LANES);
    }
}

static void store_rope_kv(lb *b, const frame *f, const result *r) {
    const cg_kernel_spec *s = f->s;
    const heads h = heads_of(s);
    assert((s->head_dim - s->rot) % (2 * LB_LANES) == 0); /* fuse_rope.c */
    const lbv first_key = lb_int(b, s->heads * h.per_head), first_value = lb_int(b, h.first_value);
    for (int i = 0; i < r->nb; i += 2) {
        const lbv block = lb_addi(b, r->block, i);
        if (i + 1 < r->nb) {
            LB_IF (b, c, lb_lt(b, block, first_key))
                put_head_pair(b, f, r, i, &h, lb_divi(b, block, h.per_head),
                              lb_remi(b, block, h.per_head), true);
            const lbv of_keys = lb_sub(b, block, first_key);
            LB_IF (b, c,
                   lb_and_i1(b, lb_lt(b, block, first_value), lb_lt(b, lb_int(b, -1), of_keys)))
                put_head_pair(b, f, r, i, &h, lb_divi(b, of_keys, h.per_head),
                              lb_remi(b, of_keys, h.per_head), false);
        }
        LB_IF (b, c, lb_lt(b, lb_addi(b, first_value, -1), block)) {
            put_value(b, f, r, i, &h);
            if (i + 1 < r->nb) put_value(b, f, r, i + 1, &h);
        }
    }
}

int64_t cg_linear_blocks(const cg_kernel_spec *s) {
    if (s->epilogue == EPILOGUE_swiglu) return 2 * ceil_div(s->n / 2, LB_LANES);
    if (s->epilogue != EPILOGUE_rope_kv) return ceil_div(s->n, LB_LANES);
    const heads h = heads_of(s);
    return h.first_value + s->kv_heads * h.per_value_head;
}

/* ---- tiles and panels ---- */

static void emit_tile(lb *b, const frame *f, int nb, int nt, lbv block, lbv first_token, lbv n) {
    linear_tile t = {.s = f->s, .nb = nb, .nt = nt, .unroll = f->unroll};
    result r = {.nb = nb, .nt = nt, .block = block};
    const lbv last = lb_addi(b, n, -1);
    for (int j = 0; j < nt; j++) {
        r.token[j] = nt == 1 ? first_token : lb_min(b, lb_addi(b, first_token, j), last);
        t.x[j] = cpu_row_ptr(b, f->x, r.token[j], f->x_bytes);
    }
    for (int i = 0; i < nb; i++) {
        t.w[i] = cpu_row_ptr(b, f->w, lb_addi(b, block, i), f->block_bytes);
        for (int j = 0; j < nt; j++) t.acc[i][j] = lb_local(b, lb_vzero(b));
    }
    f->f->dot(b, &t);
    for (int i = 0; i < nb; i++)
        for (int j = 0; j < nt; j++) r.v[i][j] = lb_get(b, t.acc[i][j]);
    switch ((cg_epilogue)f->s->epilogue) {
    case EPILOGUE_none:
    case EPILOGUE_add:
        store_rows(b, f, &r);
        break;
    case EPILOGUE_swiglu:
        store_swiglu(b, f, &r);
        break;
    case EPILOGUE_rope_kv:
        store_rope_kv(b, f, &r);
        break;
    }
}

static void emit_panel(lb *b, const frame *f, int nb, int nt, lbv block) {
    const lbv n = lb_arg(b, ARG_n);
    if (f->s->tclass == 0) {
        emit_tile(b, f, nb, 1, block, lb_int(b, 0), n);
        return;
    }
    LB_FOR (b, t, lb_int(b, 0), n, lb_int(b, nt)) emit_tile(b, f, nb, nt, block, t.i, n);
}

void cpu_emit_linear(lb *b, const cg_kernel_spec *s, cpu_tile tile, const linear_format *format) {
    frame f = {.s = s,
               .f = format,
               .n_blocks = cg_linear_blocks(s),
               .block_bytes = format->block_bytes(s),
               .x_bytes = cg_act_bytes(s->act, s->k, s->group),
               .unroll = tile.unroll};
    assert(s->epilogue == EPILOGUE_none || s->epilogue == EPILOGUE_add || tile.nb % 2 == 0);
    if (s->group) f.x_bytes = cg_act_bytes(s->act, s->n_groups * s->group, s->group);
    f.y = lb_operand(b, 0);
    f.x = lb_operand(b, 1);
    f.w = lb_operand(b, 2);
    if (s->epilogue == EPILOGUE_add || s->epilogue == EPILOGUE_rope_kv) f.extra = lb_operand(b, 3);
    if (s->epilogue == EPILOGUE_rope_kv) f.layer = lb_operand_i64(b, 4);

    const int tail = (int)(f.n_blocks % tile.nb);
    const lbv whole = lb_int(b, f.n_blocks / tile.nb);
    LB_FOR (b, u, lb_arg(b, ARG_begin), lb_min(b, lb_arg(b, ARG_end), whole), lb_int(b, 1))
        emit_panel(b, &f, tile.nb, tile.nt, lb_muli(b, u.i, tile.nb));
    if (!tail) return;
    const lbv begun = lb_lt(b, lb_addi(b, lb_arg(b, ARG_begin), -1), whole);
    LB_IF (b, c, lb_and_i1(b, begun, lb_lt(b, whole, lb_arg(b, ARG_end))))
        emit_panel(b, &f, tail, tile.nt, lb_muli(b, whole, tile.nb));
}
