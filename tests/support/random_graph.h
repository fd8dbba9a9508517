/* random_graph.h - small language-model-like graphs of plain ops, drawn at random from a seed:
 * every op the CPU back end knows, odd sizes, dense and 4-bit weights. */
#ifndef P4C_TESTS_SUPPORT_RANDOM_GRAPH_H
#define P4C_TESTS_SUPPORT_RANDOM_GRAPH_H

#include "ir/ir.h"

typedef struct random_source {
    uint64_t state;
} random_source;
uint64_t random_next(random_source *r);
int64_t random_range(random_source *r, int64_t lo, int64_t hi); /* both included */

typedef struct random_graph {
    ir_graph *g;
    int64_t vocab, capacity;
} random_graph;

/* Outputs: logits f32[R, V] and, where the graph has attention, kv. */
random_graph random_graph_make(uint64_t seed, arena *mem, diag *d);

#endif
