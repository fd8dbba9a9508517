/* ir.h - the graph: SSA values of tensor type, in a list that is a valid order of execution.
 *
 * An op makes one value (its type is the value's); the few with two results give the second one
 * through an OP_second that reads them.  Ops live in the graph's arena and are never freed;
 * ir_erase unlinks.  No op aliases or mutates its inputs: the KV cache is a value, in and out of
 * kv_append.
 *
 * Building: ir_add checks operand counts and computes the type by shape_<op>(); a mistake there is
 * reported through g->diag and gives NULL, so text from users can be built with the same calls.
 * docs/IR.md is the reference.
 */
#ifndef P4C_IR_IR_H
#define P4C_IR_IR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/diag.h"
#include "base/str.h"
#include "base/util.h"

typedef enum ir_dtype {
#define DT(name, bits, meaning) DT_##name,
#include "ir/dtypes.def"
#undef DT
    DT_COUNT
} ir_dtype;

typedef enum ir_layout {
#define LAYOUT(name, meaning) LAYOUT_##name,
#include "ir/layouts.def"
#undef LAYOUT
    LAYOUT_COUNT
} ir_layout;

typedef enum attr_key {
#define ATTR(name, kind, meaning) ATTR_##name,
#include "ir/attrs.def"
#undef ATTR
    ATTR_COUNT
} attr_key;

typedef enum op_kind {
#define OP(name, n_in, traits, attrs, meaning) OP_##name,
#include "ir/ops.def"
#undef OP
    OP_COUNT
} op_kind;

enum { PURE = 1 << 0, EW = 1 << 1, ROW = 1 << 2, COMM = 1 << 3, CONST = 1 << 4, FUSED = 1 << 5 };

typedef struct op_info {
    const char *name;
    int n_in;
    unsigned traits;
    uint32_t attrs; /* bit 1u << ATTR_x */
    const char *meaning;
} op_info;
extern const op_info ir_op_info[OP_COUNT];

typedef struct dtype_info {
    const char *name;
    int bits;
    const char *meaning;
} dtype_info;
extern const dtype_info ir_dtype_info[DT_COUNT];
extern const char *const ir_layout_name[LAYOUT_COUNT];
extern const char *const ir_attr_name[ATTR_COUNT]; /* kinds and meanings: ir/attrs.h */

/* Schedule and plan-memory may put these on any op; the rows of ops.def do not list them. */
#define IR_COMMON_ATTRS ((1u << ATTR_kernel) | (1u << ATTR_at))

/* Dimensions known only when a step runs. */
enum { DIM_T = -1, DIM_R = -2, DIM_S = -3 };
enum { IR_MAX_RANK = 3 };

typedef struct ir_type {
    ir_dtype dtype;
    ir_layout layout;
    int rank;                 /* 0 for seqs */
    int64_t dim[IR_MAX_RANK]; /* > 0, or DIM_* */
    /* DT_i4, and LAYOUT_act values that follow the columns of an i4 weight (group and perm as that
     * weight's); all zero in other types */
    int64_t group; /* inputs a scale covers; -1 = all of K; the last one may be short */
    bool zeros;    /* has zero points (else 8) */
    bool perm; /* input k belongs to group g_idx[k] (act-order); packed: columns are reordered */
} ir_type;

/* Where the bytes of an OP_weight are. */
typedef enum ir_source_kind {
    SOURCE_none,
    SOURCE_file, /* ranges of g->file[file]: a mapped shard, or the data segment of an artifact */
    SOURCE_seed, /* made up from `seed` (base/seedgen.h): --load-format dummy, tests */
} ir_source_kind;
typedef struct ir_range {
    uint64_t offset, bytes; /* bytes 0: absent */
} ir_range;
typedef struct ir_source {
    ir_source_kind kind;
    int file;
    uint64_t seed;
    ir_range data, scales, zeros, perm; /* all but gptq: data alone (packed i4: perm too) */
    ir_dtype scales_dtype;              /* of a gptq layout's scales as stored: f16 bf16 f32 */
} ir_source;

typedef struct ir_file {
    const char *path;
    const uint8_t *at; /* mapped, n_bytes of them; NULL in a graph read from text */
    uint64_t n_bytes;  /* `at` NULL: may be 0, not known */
} ir_file;

typedef struct ir_attr {
    attr_key key;
    union {
        int64_t i64; /* also dtype, layout */
        double f64;
        const char *str;
        struct {
            const double *at;
            int64_t n;
        } f64s;
    };
} ir_attr;

typedef struct ir_graph ir_graph;
typedef struct ir_op ir_op;
struct ir_op {
    ir_graph *graph;
    op_kind kind;
    uint32_t id; /* %id in text; unique in a graph */
    ir_type type;
    int n_in, n_attrs;
    ir_op **in;
    ir_attr *attrs;
    ir_source source; /* OP_weight */
    const char *name; /* OP_weight: tensor name for messages; others: NULL */
    int n_use;        /* operands of other ops and outputs that are this value */
    int const_depth; /* 0: not a constant; else ops from here to the weight, at most IR_MAX_DEPTH */
    uint32_t line;   /* of the text this op was read from, 0 where it was built */
    ir_op *prev, *next;
    void *note; /* for the pass or backend at hand; no meaning between passes */
};

enum {
    IR_MAX_OUTPUTS = 4,
    IR_MAX_FILES = 1024,
    IR_MAX_OPS = 1 << 20, /* bound of ids, too */
    IR_MAX_OPERANDS = 64,
    IR_MAX_DEPTH = 16,      /* of a chain of CONST ops */
    IR_MAX_DIM = (1 << 30), /* each; the product of the known ones is at most 2^40 */
};

struct ir_graph {
    arena *mem;
    diag *diag;
    const char *path; /* for messages */
    ir_op *first, *last;
    uint32_t next_id;
    ir_op *out[IR_MAX_OUTPUTS]; /* a language model: logits f32[R, V], kv */
    int n_out;
    ir_file *file;
    int n_files;
    ir_op *at;     /* new ops go before this one; NULL: at the end */
    uint32_t line; /* given to new ops; set by the parser */
};

ir_graph *ir_new(arena *mem, diag *d, const char *path);
/* Number of the new entry of g->file; -1 where there are too many (reported).  `at` NULL: not
 * mapped; n_bytes 0: size not known.  path is copied. */
int ir_add_file(ir_graph *g, const char *path, const uint8_t *at, uint64_t n_bytes);

/* Adds an op before g->at.  `attrs` may be NULL (n_attrs 0); both arrays and the strings and lists
 * in attrs are copied.  An operand that is NULL (failed before, reported) gives NULL without
 * another message. NULL where operands or attributes do not fit the op (reported). */
ir_op *ir_add(ir_graph *g, op_kind kind, int n_in, ir_op *const *in, int n_attrs,
              const ir_attr *attrs);
/* A graph input and a weight carry their type and source from outside. */
ir_op *ir_add_input(ir_graph *g, const char *role, ir_type type);
ir_op *ir_add_weight(ir_graph *g, const char *name, ir_type type, ir_source source);
/* f32[capacity, rot]; attrs as OP_rope_table */
ir_op *ir_add_rope_table(ir_graph *g, int64_t capacity, int n_attrs, const ir_attr *attrs);

/* Every use of old, outputs too, becomes one of `with`; only what `with` itself reads stays. */
void ir_replace(ir_graph *g, ir_op *old, ir_op *with);
void ir_set_in(ir_op *op, int i, ir_op *value);
void ir_erase(ir_graph *g, ir_op *op); /* n_use must be 0 */
int ir_erase_dead(ir_graph *g);        /* ops without use, inputs excepted; how many */
void ir_add_output(ir_graph *g, ir_op *value);
int ir_count(const ir_graph *g); /* ops */
/* Where an op stands, for messages: file, line and "%12 = matmul". */
diag_loc ir_loc(const ir_op *op);

/* attributes */
const ir_attr *ir_find_attr(const ir_op *op, attr_key key); /* NULL where absent */
int64_t ir_i64(const ir_op *op, attr_key key);              /* must be there */
double ir_f64(const ir_op *op, attr_key key);
const char *ir_str(const ir_op *op, attr_key key);
int64_t ir_i64_or(const ir_op *op, attr_key key, int64_t otherwise);
const char *ir_str_or(const ir_op *op, attr_key key, const char *otherwise);
void ir_set_attr(ir_graph *g, ir_op *op, ir_attr attr); /* adds or replaces */
#define IR_I64(k, v) ((ir_attr){.key = ATTR_##k, .i64 = (v)})
#define IR_F64(k, v) ((ir_attr){.key = ATTR_##k, .f64 = (v)})
#define IR_STR(k, v) ((ir_attr){.key = ATTR_##k, .str = (v)})

/* types */
#define IR_TYPE(dt, ...)                                                                           \
    ir_type_of((dt), (int)COUNT_OF(((int64_t[]){__VA_ARGS__})), (int64_t[]){__VA_ARGS__})
ir_type ir_type_of(ir_dtype dtype, int rank, const int64_t *dim);
bool ir_type_eq(const ir_type *a, const ir_type *b);
/* Bytes of a value with DIM_T = T, DIM_R = R, in its layout; 0 for seqs, kv and what has DIM_S.  Of
 * packed layouts: rows in natural order, and with perm the most it can be (exact: ir/const.h). */
int64_t ir_type_bytes(const ir_type *t, int64_t T, int64_t R);
/* Scales of a row of an i4 tensor (or act that follows one): ceil(K / group). */
int64_t ir_n_groups(const ir_type *t);
/* Columns of one packed group: min(group, 128) rounded up to 8; longer groups are split, see
 * ir/const.h. */
int64_t ir_packed_group(const ir_type *t);
/* A function of weights alone.  Ops with the CONST trait take constants only, so the trait says it.
 */
bool ir_is_const(const ir_op *op);
bool ir_is_float(ir_dtype dtype); /* f32 f16 bf16 f64 */
/* Type of the second result; false where the op has none. */
bool ir_second_type(const ir_op *op, ir_type *out);

/* Invariants of docs/IR.md; false: reported. */
P4C_CHECKED bool ir_verify(const ir_graph *g);

/* Text.  ir_parse reports where the text is wrong (file, line); the result prints to the same text.
 */
void ir_print(const ir_graph *g, text *out);
void ir_print_op(const ir_op *op, text *out); /* one line, no newline */
void ir_print_type(const ir_type *type, text *out);
ir_graph *ir_parse(str source, const char *path, arena *mem, diag *d);
/* The table of docs/IR.md (p4c opt --list-ops). */
void ir_list_ops(text *out);

#endif
