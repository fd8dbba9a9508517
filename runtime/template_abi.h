/* template_abi.h - a chat template's table in an artifact: what the compiler writes and the
 * renderer reads.  Data only.
 *
 * One blob: rt_tpl_header, then rt_tpl_const[n_consts], rt_tpl_fn[n_fns], rt_tpl_ins[n_ins],
 * rt_tpl_var[n_vars], then n_text bytes of UTF-8.  Little endian, indices and offsets instead of
 * pointers, no padding.  Any change here or in the three .def files raises RT_TPL_VERSION.
 *
 * The code is that of a stack machine (template_ops.def).  Function 0 is the template; macros, the
 * bodies of `call` and `generation`, the conditions of loops and recursive loops are functions of
 * their own, with the variables of the functions around them in reach.
 */
#ifndef P4C_RUNTIME_TEMPLATE_ABI_H
#define P4C_RUNTIME_TEMPLATE_ABI_H

#include <stdint.h>

#define RT_TPL_MAGIC "p4ctpl\x1a\n"

enum {
    RT_TPL_VERSION = 1,
    RT_TPL_MAX_SOURCE = 64 << 10, /* bytes of a template */
    RT_TPL_MAX_NESTING = 64,      /* blocks and brackets within each other */
    RT_TPL_MAX_FNS = 1 << 12,
    RT_TPL_MAX_SLOTS = 1 << 15,
    RT_TPL_MAX_COUNT = 1 << 16, /* items of one literal */
    RT_TPL_MAX_ARGS = 255,
};

typedef enum rt_tpl_op {
#define TOP(name, x, a, b, stack, meaning) RT_TOP_##name,
#include "runtime/template_ops.def"
#undef TOP
    RT_TOP_COUNT
} rt_tpl_op;

enum {
#define TFILTER(name, function) RT_TFILTER_##name,
#include "runtime/template_filters.def"
#undef TFILTER
    RT_TFILTER_COUNT
};

enum {
    RT_TPL_CALL_LIST = 1, /* x of call, filter, test: f(*list) */
    RT_TPL_CALL_MAP = 2,  /* f(**map) */
};

typedef enum rt_tpl_const_kind {
    RT_TCONST_none,
    RT_TCONST_bool,  /* a */
    RT_TCONST_int,   /* a low, b high 32 bits of an int64 */
    RT_TCONST_big,   /* digits: text at a, b bytes */
    RT_TCONST_float, /* a low, b high 32 bits of a double */
    RT_TCONST_text,  /* text at a, b bytes */
    RT_TCONST_COUNT
} rt_tpl_const_kind;

typedef struct rt_tpl_const {
    uint32_t kind, a, b;
} rt_tpl_const;

enum {
    RT_TFN_CALLER = 1,  /* after the parameters: slot for `caller` */
    RT_TFN_KWARGS = 2,  /* then one for `kwargs` */
    RT_TFN_VARARGS = 4, /* then one for `varargs` */
};

typedef struct rt_tpl_fn {
    uint32_t parent;           /* function around it, below its own index; of 0: 0 */
    uint32_t first_ins, n_ins; /* functions follow each other without gaps */
    uint32_t n_slots;
    uint32_t n_params;    /* slots 0 .. n_params - 1 */
    uint32_t first_param; /* constants (texts): the parameters' names, one after another */
    uint32_t flags;       /* RT_TFN_*; their slots follow the parameters */
    uint32_t name;        /* constant (text) */
} rt_tpl_fn;

typedef struct rt_tpl_ins {
    uint8_t op, x;
    uint16_t line; /* of the template */
    uint32_t a, b;
} rt_tpl_ins;

/* Variables that the checkpoint gives to its template: bos_token, eos_token, ... */
typedef struct rt_tpl_var {
    uint32_t name, value; /* constants; the name is a text */
} rt_tpl_var;

typedef struct rt_tpl_header {
    char magic[8];
    uint32_t version, n_bytes; /* of the whole table */
    uint32_t n_consts, n_fns, n_ins, n_vars, n_text;
    uint32_t reserved; /* 0 */
} rt_tpl_header;

#endif
