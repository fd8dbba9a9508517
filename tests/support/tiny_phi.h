/* tiny_phi.h - the graph of a small Phi model, op by op as the frontend builds it, with weights
 * from seeds (act-order ones in GPTQ files in memory): for tests that need a whole model. */
#ifndef P4C_TESTS_TINY_PHI_H
#define P4C_TESTS_TINY_PHI_H

#include "ir/ir.h"

typedef struct tiny_phi {
    int64_t layers, hidden, ffn, heads, kv_heads, head_dim, rot, vocab, capacity;
    ir_dtype weight;      /* matrices of the layers: f32, f16, bf16 or i4 */
    int64_t group;        /* i4: inputs a scale covers, or -1 */
    bool zeros, perm;     /* i4: zero points; act-order */
    bool one_order;       /* act-order and unfused: q, k, v (gate, up) have one g_idx */
    ir_dtype embed, head; /* dense element types; tied: head is not looked at */
    bool unfused;         /* q, k, v and gate, up apart */
    bool tied;            /* the embedding is the head */
    int64_t window;       /* sliding window; 0: none */
    uint64_t seed;
} tiny_phi;

/* 2 layers of 64 with 4 heads over 2 of 16, ffn 96, vocabulary 50, all in f32. */
tiny_phi tiny_phi_default(void);
/* Outputs: logits f32[R, vocab], kv.  NULL: reported. */
ir_graph *tiny_phi_build(const tiny_phi *p, arena *mem, diag *d);

#endif
