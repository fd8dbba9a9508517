/* graph_run.h - what a graph computes, by the interpreter, on made-up inputs: to compare graphs
 * that should agree. */
#ifndef P4C_TESTS_GRAPH_RUN_H
#define P4C_TESTS_GRAPH_RUN_H

#include "ir/ir.h"

/* Values of all outputs over two steps: 8 tokens of two sequences, then 3 more that continue them.
 */
typedef struct graph_result {
    float *at;
    int64_t n;
} graph_result;

/* Inputs follow from `seed` and from the shapes alone, so graphs with the same inputs get the same
 * numbers. False: the interpreter reported something through g->diag. */
bool graph_run(const ir_graph *g, uint64_t seed, arena *mem, graph_result *out);

/* Largest difference, as a share of the largest number (at least 1); infinity where the sizes
 * differ or something is not finite. */
double graph_distance(const graph_result *a, const graph_result *b);

#endif
