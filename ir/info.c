/* info.c - the tables of ir/ as arrays, lookup by name, and the op table of docs/IR.md. */
#include "ir/attrs.h"
#include "ir/ir.h"

#define A(name) (1u << ATTR_##name)
const op_info ir_op_info[OP_COUNT] = {
#define OP(name, n_in, traits, attrs, meaning) [OP_##name] = {#name, n_in, traits, attrs, meaning},
#include "ir/ops.def"
#undef OP
};
#undef A

const dtype_info ir_dtype_info[DT_COUNT] = {
#define DT(name, bits, meaning) [DT_##name] = {#name, bits, meaning},
#include "ir/dtypes.def"
#undef DT
};

const char *const ir_layout_name[LAYOUT_COUNT] = {
#define LAYOUT(name, meaning) [LAYOUT_##name] = #name,
#include "ir/layouts.def"
#undef LAYOUT
};

const char *const ir_attr_name[ATTR_COUNT] = {
#define ATTR(name, kind, meaning) [ATTR_##name] = #name,
#include "ir/attrs.def"
#undef ATTR
};

const attr_info ir_attr_info[ATTR_COUNT] = {
#define ATTR(name, kind, meaning) [ATTR_##name] = {ATTR_KIND_##kind, meaning},
#include "ir/attrs.def"
#undef ATTR
};

bool ir_find_op_kind(str name, op_kind *out) {
    for (op_kind k = 0; k < OP_COUNT; k++)
        if (str_is(name, ir_op_info[k].name)) return *out = k, true;
    return false;
}

bool ir_find_dtype(str name, ir_dtype *out) {
    for (ir_dtype d = 0; d < DT_COUNT; d++)
        if (str_is(name, ir_dtype_info[d].name)) return *out = d, true;
    return false;
}

bool ir_find_layout(str name, ir_layout *out) {
    for (ir_layout l = 0; l < LAYOUT_COUNT; l++)
        if (str_is(name, ir_layout_name[l])) return *out = l, true;
    return false;
}

bool ir_find_attr_key(str name, attr_key *out) {
    for (attr_key k = 0; k < ATTR_COUNT; k++)
        if (str_is(name, ir_attr_name[k])) return *out = k, true;
    return false;
}

static void list_traits(unsigned traits, text *out) {
    static const struct {
        unsigned bit;
        const char *name;
    } NAMES[] = {{PURE, "PURE"}, {EW, "EW"},       {ROW, "ROW"},
                 {COMM, "COMM"}, {CONST, "CONST"}, {FUSED, "FUSED"}};
    const char *between = "";
    for (size_t i = 0; i < COUNT_OF(NAMES); i++) {
        if (!(traits & NAMES[i].bit)) continue;
        text_printf(out, "%s%s", between, NAMES[i].name);
        between = " ";
    }
}

void ir_list_ops(text *out) {
    text_cat(out, "| op | operands | traits | attributes | meaning |\n");
    text_cat(out, "| --- | --- | --- | --- | --- |\n");
    for (op_kind k = 0; k < OP_COUNT; k++) {
        const op_info *o = &ir_op_info[k];
        text_printf(out, "| `%s` | ", o->name);
        if (o->n_in < 0) text_cat(out, "varies");
        else text_printf(out, "%d", o->n_in);
        text_cat(out, " | ");
        list_traits(o->traits, out);
        text_cat(out, " | ");
        const char *between = "";
        for (attr_key a = 0; a < ATTR_COUNT; a++) {
            if (!(o->attrs >> a & 1)) continue;
            text_printf(out, "%s%s", between, ir_attr_name[a]);
            between = " ";
        }
        text_printf(out, " | %s |\n", o->meaning);
    }
}
