/* rewrite.h - patterns over the graph, and the driver that applies rules until none matches.
 *
 *     enum { X, W, ROWS };
 *     static ir_op *build(ir_graph *g, const rw_match *m) { return ir_add(g, OP_..., ...); }
 *     static const rw_rule RULES[] = {
 *         {"norm", MATCH(act, BIND(ROWS, rmsnorm, VAR(X), VAR(W))), build},
 *     };
 *     px->n_changed = rw_apply(g, RULES, COUNT_OF(RULES));
 *
 * A pattern names all operands of an op; a variable used twice must bind the same value; ops with
 * the COMM trait match in both orders.  An op inside a pattern (not its root) that has other users
 * too does not match, since it would stay and be computed twice, unless it is a constant or the
 * pattern says SHARED. A rule never makes code worse, and each use of one leaves fewer ops that its
 * set can match: that is why rw_apply ends.
 */
#ifndef P4C_PASSES_REWRITE_H
#define P4C_PASSES_REWRITE_H

#include "base/arena.h"
#include "ir/ir.h"

enum { RW_MAX_VARS = 12, RW_MAX_IN = 5, RW_MAX_COMM = 4 };

typedef struct rw_pat rw_pat;
struct rw_pat {
    op_kind op;
    bool any;    /* any op: a variable alone */
    bool shared; /* may have users outside of the pattern */
    int var;     /* 1 + variable that is bound to this op; 0: none */
    const rw_pat *in[RW_MAX_IN];
};

/* All four are pointers to constants of file scope; a misspelt op does not compile. */
#define MATCH(name, ...) (&(const rw_pat){.op = OP_##name, .in = {__VA_ARGS__}})
#define BIND(v, name, ...) (&(const rw_pat){.op = OP_##name, .var = 1 + (v), .in = {__VA_ARGS__}})
#define SHARED(v, name, ...)                                                                       \
    (&(const rw_pat){.op = OP_##name, .var = 1 + (v), .shared = true, .in = {__VA_ARGS__}})
#define VAR(v) (&(const rw_pat){.any = true, .var = 1 + (v)})

typedef struct rw_match {
    ir_op *root;
    ir_op *var[RW_MAX_VARS];
} rw_match;

typedef struct rw_rule {
    const char *name;
    const rw_pat *pattern;
    /* The value that replaces the root: new ops go before the root.  NULL: the match does not hold
     * after all (then nothing has been added). */
    ir_op *(*build)(ir_graph *g, const rw_match *m);
} rw_rule;

/* Applies the rules in program order, first rule first, until none matches; how often one did. */
int rw_apply(ir_graph *g, const rw_rule *rules, size_t n_rules);

/* Erases an op without users and the operands that die with it; inputs stay. */
void rw_erase(ir_graph *g, ir_op *op);
/* Stable: inputs and constants to the front, so that a new constant can be used anywhere behind. */
void rw_constants_first(ir_graph *g);
/* First op that is neither input nor constant; NULL: none. */
ir_op *rw_first_computed(const ir_graph *g);

/* What an op's note points to after rw_index: its place and its users in program order (a user that
 * reads it twice is listed twice; outputs of the graph are not listed).  Ops added later have none.
 */
typedef struct rw_info {
    int index;
    int n_users;
    ir_op **user;
} rw_info;
void rw_index(ir_graph *g, arena *scratch);
static inline const rw_info *rw_info_of(const ir_op *op) { return op->note; }

/* The i4 weight whose column order an act follows: its place among the operands; 0: none. */
int rw_order_operand(const ir_op *act);
/* A linear that still can take an epilogue. */
bool rw_is_bare_linear(const ir_op *op);

#endif
