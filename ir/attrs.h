/* attrs.h - what kind of value each attribute holds; ir.h has the accessors. */
#ifndef P4C_IR_ATTRS_H
#define P4C_IR_ATTRS_H

#include "ir/ir.h"

typedef enum attr_kind {
    ATTR_KIND_i64,
    ATTR_KIND_f64,
    ATTR_KIND_str,
    ATTR_KIND_dtype,  /* in ir_attr.i64 */
    ATTR_KIND_layout, /* in ir_attr.i64 */
    ATTR_KIND_f64s,
} attr_kind;

typedef struct attr_info {
    attr_kind kind;
    const char *meaning;
} attr_info;
extern const attr_info ir_attr_info[ATTR_COUNT];

bool ir_attr_eq(const ir_attr *a, const ir_attr *b);
/* A copy whose string or list lives in mem. */
ir_attr ir_attr_copy(arena *mem, const ir_attr *a);

/* Values by name; false: no such name. */
bool ir_find_op_kind(str name, op_kind *out);
bool ir_find_dtype(str name, ir_dtype *out);
bool ir_find_layout(str name, ir_layout *out);
bool ir_find_attr_key(str name, attr_key *out);

#endif
