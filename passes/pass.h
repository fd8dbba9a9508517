/* pass.h - graph -> graph, one thing a pass; passes.def fixes order and contracts. */
#ifndef P4C_PASSES_PASS_H
#define P4C_PASSES_PASS_H

#include "base/diag.h"
#include "ir/ir.h"

/* What holds of a graph; the pipeline asserts a pass's needs, drops what it breaks, adds what it
 * gives. */
enum {
    HAS_DENSE_OPS = 1 << 0, /* plain ops as the frontend emits them */
    HAS_LINEAR = 1 << 1,    /* every matrix product with a weight is linear(act(x), w) */
    HAS_ATTENTION = 1 << 2, /* no attn_scores left */
    HAS_LAYOUTS = 1 << 3,   /* every weight that a kernel reads is in its packed layout */
    HAS_KERNELS = 1 << 4,   /* every op that runs has a kernel attribute */
    HAS_PLAN = 1 << 5,      /* every value that lives in the arena has an at attribute */
};

typedef enum pass_id {
#define PASS(name, text, optional, needs, gives, breaks, meaning) PASS_##name,
#include "passes/passes.def"
#undef PASS
    PASS_COUNT
} pass_id;

/* Quantisation schemes of this compiler.  SCHEME rows: passes/schemes.def. */
typedef enum scheme_id {
#define SCHEME(name, weight, act, kv, meaning) SCHEME_##name,
#include "passes/schemes.def"
#undef SCHEME
    SCHEME_COUNT
} scheme_id;

typedef struct scheme {
    scheme_id id;
    int64_t group;     /* w4a16: group size N or -1; 0: packed matrices of several group sizes (auto
                          only) */
    bool as_stored;    /* auto: every matrix keeps the form it has; float32 ones become bf16 */
    ir_dtype kv_dtype; /* bf16 or f32 */
} scheme;

typedef struct pass_options {
    scheme scheme;
    int64_t max_tokens, max_rows; /* of a step: sizes of the arena */
    uint32_t disabled;            /* bit 1u << PASS_x; mandatory passes cannot be disabled */
    int limit;            /* run only the first `limit` passes that may be left out; -1: all */
    int stop_after;       /* PASS_x, -1: run all */
    uint32_t print_after; /* bit set; text goes to print_out */
    bool verify_each;     /* always in debug builds */
    bool time_passes;
    FILE *print_out;
} pass_options;

typedef struct pass_ctx {
    diag *diag;
    arena *mem;     /* lives as long as the graph */
    arena *scratch; /* rewound after each pass */
    const pass_options *options;
    int n_changed;
    uint64_t arena_bytes; /* plan_memory: what a step needs */
    double seconds[PASS_COUNT];
} pass_ctx;

/* True: done, px->n_changed says how much; false: reported.  No pass keeps state between calls. */
typedef bool pass_fn(ir_graph *g, pass_ctx *px);
#define PASS(name, text, optional, needs, gives, breaks, meaning) pass_fn pass_##name;
#include "passes/passes.def"
#undef PASS

typedef struct pass_info {
    const char *name; /* user-visible: "fuse-qkv" */
    pass_fn *run;
    bool optional;
    unsigned needs, gives, breaks;
    const char *meaning;
} pass_info;
extern const pass_info pass_table[PASS_COUNT];

/* Scheme f32, steps of 512 tokens, all passes; print_out is stderr. */
pass_options pass_default_options(void);
/* All passes in order, as the options say; `have` = HAS_* that hold already.  A mandatory pass
 * among `disabled` is reported. */
P4C_CHECKED bool pass_run_all(ir_graph *g, pass_ctx *px, unsigned have);
/* Just these, in the order given (p4c opt); what a pass needs is looked up in the graph and
 * reported where it is missing. */
P4C_CHECKED bool pass_run_list(ir_graph *g, pass_ctx *px, const pass_id *list, int n);
bool pass_find(str name, pass_id *out); /* "fuse-qkv" or "fuse_qkv" */
/* HAS_* that the ops of g show: what the flags mean, and the check of every pass in debug builds.
 */
unsigned pass_facts(const ir_graph *g);

/* "w4a16-g128", "bf16", …; "auto" sets *is_auto and leaves *out to scheme_auto.  False: no such
 * scheme. */
bool scheme_parse(str name, scheme *out, bool *is_auto);
void scheme_print(const scheme *s, text *out);
/* What the matrices of g, as the frontend made it, call for. */
scheme scheme_auto(const ir_graph *g);

/* The op is one launch: not an input, a constant, or the second result of another. */
bool pass_op_runs(const ir_op *op);
/* Its value lives in the step's arena: it runs, has bytes, and is not g->out[0], which the caller
 * keeps. */
bool pass_in_arena(const ir_graph *g, const ir_op *op);
/* No two values that are needed at the same time share a byte of the plan; false: *a and *b do.
 * Independent of how plan_memory works; quadratic. */
bool pass_plan_is_sound(const ir_graph *g, int64_t T, int64_t R, arena *scratch, const ir_op **a,
                        const ir_op **b);

#endif
