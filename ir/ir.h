/* ir.h - the graph: SSA values of tensor type, in a list that is a valid order of execution.
 *
 * An op makes one value (its type is the value's); the few with two results give the second one through an
 * OP_second that reads them.  Ops live in the graph's arena and are never freed; ir_erase unlinks.  No op
 * aliases or mutates its inputs: the KV cache is a value, in and out of kv_append.
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
extern const char *const ir_attr_name[ATTR_COUNT];

/* Dimensions known only when a step runs. */
enum { DIM_T = -1, DIM_R = -2, DIM_S = -3 };
enum { IR_MAX_RANK = 3 };

typedef struct ir_type {
    ir_dtype dtype;
    ir_layout layout;
    int rank;                 /* 0 for seqs */
    int64_t dim[IR_MAX_RANK]; /* > 0, or DIM_* */
    /* DT_i4 only (and DT_i16 activations: group) */
    int64_t group; /* inputs a scale covers; -1 = all of K */
    bool zeros;    /* has zero points (else 8) */
    bool perm;     /* input k belongs to group g_idx[k] (act-order); packed: columns are reordered */
} ir_type;

/* Where the bytes of an OP_weight are. */
typedef enum ir_source_kind {
    SOURCE_none,
    SOURCE_file,     /* ranges of g->file[file]: a mapped shard, or the data segment of an artifact */
    SOURCE_seed,     /* made up from `seed`: --load-format dummy, tests; the same on every machine */
} ir_source_kind;
typedef struct ir_range {
    uint64_t offset, bytes; /* bytes 0: absent */
} ir_range;
typedef struct ir_source {
    ir_source_kind kind;
    int file;
    uint64_t seed;
    ir_range data, scales, zeros, perm; /* plain and packed layouts: data alone (packed i4: perm too) */
    ir_dtype scales_dtype;              /* of a gptq layout's scales as stored */
} ir_source;

typedef struct ir_file {
    const char *path;
    const uint8_t *at; /* mapped; NULL in a graph read from text */
    uint64_t n_bytes;
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

typedef struct ir_op ir_op;
struct ir_op {
    op_kind kind;
    uint32_t id; /* %id in text; unique in a graph */
    ir_type type;
    int n_in, n_attrs;
    ir_op **in;
    ir_attr *attrs;
    ir_source source; /* OP_weight */
    const char *name; /* OP_weight: tensor name for messages; others: NULL */
    int n_use;        /* operands of other ops and outputs that are this value */
    ir_op *prev, *next;
    void *note; /* for the pass or backend at hand; no meaning between passes */
};

enum { IR_MAX_OUTPUTS = 4, IR_MAX_FILES = 1024 };

typedef struct ir_graph {
    arena *mem;
    diag *diag;
    const char *path; /* for messages */
    ir_op *first, *last;
    uint32_t next_id;
    ir_op *out[IR_MAX_OUTPUTS]; /* a language model: logits f32[R, V], kv */
    int n_out;
    ir_file *file;
    int n_files;
    ir_op *at; /* new ops go before this one; NULL: at the end */
} ir_graph;

ir_graph *ir_new(arena *mem, diag *d, const char *path);

/* Adds an op before g->at.  `attrs` may be NULL (n_attrs 0); both arrays are copied.  NULL where operands or
 * attributes do not fit the op (reported). */
ir_op *ir_add(ir_graph *g, op_kind kind, int n_in, ir_op *const *in, int n_attrs,
              const ir_attr *attrs);
/* A graph input and a weight carry their type and source from outside. */
ir_op *ir_add_input(ir_graph *g, const char *role, ir_type type);
ir_op *ir_add_weight(ir_graph *g, const char *name, ir_type type, ir_source source);
/* f32[capacity, rot]; attrs as OP_rope_table */
ir_op *ir_add_rope_table(ir_graph *g, int64_t capacity, int n_attrs, const ir_attr *attrs);

void ir_replace(ir_graph *g, ir_op *old, ir_op *with); /* every use of old, outputs too */
void ir_set_in(ir_op *op, int i, ir_op *value);
void ir_erase(ir_graph *g, ir_op *op); /* n_use must be 0 */
int ir_erase_dead(ir_graph *g);        /* ops without use, inputs excepted; how many */
void ir_add_output(ir_graph *g, ir_op *value);
int ir_count(const ir_graph *g); /* ops */

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
#define IR_TYPE(dt, ...) ir_type_of((dt), (int)COUNT_OF(((int64_t[]){__VA_ARGS__})), (int64_t[]){__VA_ARGS__})
ir_type ir_type_of(ir_dtype dtype, int rank, const int64_t *dim);
bool ir_type_eq(const ir_type *a, const ir_type *b);
/* Bytes of a value with DIM_T = t, DIM_R = r, in its layout; 0 for seqs and kv. */
int64_t ir_type_bytes(const ir_type *t, int64_t T, int64_t R);
bool ir_is_const(const ir_op *op); /* weight, or CONST op over constants */

/* Invariants of docs/IR.md; false: reported. */
P4C_CHECKED bool ir_verify(const ir_graph *g);

/* Text.  ir_parse reports where the text is wrong (file, line); the result prints to the same text. */
void ir_print(const ir_graph *g, text *out);
void ir_print_op(const ir_op *op, text *out); /* one line, no newline */
void ir_print_type(const ir_type *type, text *out);
ir_graph *ir_parse(str source, const char *path, arena *mem, diag *d);
/* The table of docs/IR.md (p4c opt --list-ops). */
void ir_list_ops(text *out);

#endif
