/* k_rope.c - RoPE and the KV append as kernels of their own, for graphs whose projection has no
 * rope_kv epilogue. Source: RoFormer (Su et al. 2021) section 3.4, with the halves of transformers'
 * modeling_phi3.py. */
#include "codegen/cpu/k_rotate.h"
#include "codegen/cpu/kernel.h"
#include "codegen/cpu/lb_vec.h"

void cpu_rotate(lb *b, lbv x1, lbv x2, lbv c, lbv s, lbv *low, lbv *high) {
    *low = lb_fma(b, x1, c, lb_fneg(b, lb_fmul(b, x2, s)));
    *high = lb_fma(b, x2, c, lb_fmul(b, x1, s));
}

typedef struct turn {
    const cg_kernel_spec *s;
    lbv x, y, table; /* of this token and head */
} turn;

static void turn_part(lb *b, lbv at, lbv mask, void *context) {
    const turn *c = context;
    const int64_t half = c->s->rot / 2;
    const lbv other = lb_addi(b, at, half);
    lbv low, high;
    cpu_rotate(b, cpu_load_f32(b, c->x, at, mask), cpu_load_f32(b, c->x, other, mask),
               cpu_load_f32(b, c->table, at, mask), cpu_load_f32(b, c->table, other, mask), &low,
               &high);
    cpu_store_f32(b, low, c->y, at, mask);
    cpu_store_f32(b, high, c->y, other, mask);
}

static void copy_part(lb *b, lbv at, lbv mask, void *context) {
    const turn *c = context;
    const lbv e = lb_addi(b, at, c->s->rot);
    cpu_store_f32(b, cpu_load_f32(b, c->x, e, mask), c->y, e, mask);
}

void cpu_emit_rope(lb *b, const cg_kernel_spec *s, cpu_tile tile) {
    (void)tile;
    const lbv y = lb_operand(b, 0), x = lb_operand(b, 1), table = lb_operand(b, 2);
    LB_FOR (b, t, lb_arg(b, ARG_begin), lb_arg(b, ARG_end), lb_int(b, 1)) {
        const lbv row = cpu_row_ptr(b, table, lb_token_pos(b, t.i), s->rot * 4);
        LB_FOR (b, h, lb_int(b, 0), lb_int(b, s->heads), lb_int(b, 1)) {
            const lbv head = lb_add(b, lb_muli(b, t.i, s->heads), h.i);
            turn c = {s, cpu_row_ptr(b, x, head, s->head_dim * 4),
                      cpu_row_ptr(b, y, head, s->head_dim * 4), row};
            cpu_row(b, s->rot / 2, turn_part, &c);
            if (s->head_dim > s->rot) cpu_row(b, s->head_dim - s->rot, copy_part, &c);
        }
    }
}

typedef struct append {
    const cg_kernel_spec *s;
    lbv k, v, k_head, v_head, pos;
} append;

static void append_part(lb *b, lbv at, lbv mask, void *context) {
    const append *c = context;
    const int valid = mask ? (int)(c->s->head_dim % LB_LANES) : LB_LANES;
    cpu_kv_put_k(b, c->s, c->k_head, c->pos, at, cpu_load_f32(b, c->k, at, mask), valid);
    cpu_kv_put_v(b, c->s, c->v_head, c->pos, at, cpu_load_f32(b, c->v, at, mask), valid);
}

void cpu_emit_kv_append(lb *b, const cg_kernel_spec *s, cpu_tile tile) {
    (void)tile;
    const lbv layer = lb_operand_i64(b, 0), k = lb_operand(b, 1), v = lb_operand(b, 2);
    LB_FOR (b, u, lb_arg(b, ARG_begin), lb_arg(b, ARG_end), lb_int(b, 1)) {
        const lbv t = lb_divi(b, u.i, s->kv_heads), g = lb_remi(b, u.i, s->kv_heads);
        const lbv pos = lb_token_pos(b, t), blocks = lb_token_blocks(b, t);
        const lbv index = lb_divi(b, pos, RT_KV_BLOCK_TOK);
        append c = {.s = s,
                    .k = cpu_row_ptr(b, k, u.i, s->head_dim * 4),
                    .v = cpu_row_ptr(b, v, u.i, s->head_dim * 4),
                    .k_head = cpu_kv_head(b, s, blocks, index, layer, g, false),
                    .v_head = cpu_kv_head(b, s, blocks, index, layer, g, true),
                    .pos = lb_remi(b, pos, RT_KV_BLOCK_TOK)};
        cpu_row(b, s->head_dim, append_part, &c);
    }
}
