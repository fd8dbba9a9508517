/* template_vm.h - inside the template renderer: its state, the values that only it makes, and what
 * its files offer each other.  Private to runtime/template*.c.
 *
 * Failing: the first failure is kept in vm->failed and the caller's p4c_error; functions then
 * return a value of kind missing, false or NULL, and callers only pass that on.  Work is bounded by
 * vm->steps and vm->work, memory by the region's limit; none of it depends on recursion but calls
 * of macros (RT_TPL_MAX_CALLS) and nested values (RT_VALUE_DEPTH).
 */
#ifndef P4C_RUNTIME_TEMPLATE_VM_H
#define P4C_RUNTIME_TEMPLATE_VM_H

#include "runtime/p4c.h"
#include "runtime/template.h"
#include "runtime/template_abi.h"
#include "runtime/value.h"

/* ---- values ---- */

enum {
    TV_undefined = RT_KIND_vm, /* other: tv_undefined */
    TV_range,                  /* other: tv_range */
    TV_view,                   /* map; sub: tv_view_of */
    TV_iter,                   /* other: tv_iter; what Python calls a generator or an iterator */
    TV_namespace,              /* map */
    TV_loop,                   /* other: tv_loop */
    TV_macro,                  /* other: tv_macro */
    TV_method,                 /* other: the rt_value it belongs to; sub: row of the methods */
    TV_global,                 /* sub: row of the globals */
    TV_joiner,                 /* other: tv_joiner */
    TV_cycler,                 /* other: tv_cycler */
    TV_KIND_COUNT,
};

/* Using it in most ways is an error with this message. */
typedef struct tv_undefined {
    const char *hint;  /* whole message; NULL: made of what follows */
    const char *owner; /* "dict object"; NULL: a variable */
    rt_value name;     /* text, or the index that is not there */
} tv_undefined;

typedef struct tv_range {
    int64_t start, stop, step, n;
} tv_range;

typedef enum tv_view_of { TV_KEYS, TV_VALUES, TV_ITEMS } tv_view_of;

typedef struct tv_iter {
    const rt_list *items;
    size_t next; /* it can be walked once */
} tv_iter;

/* Variables of one function that runs or ran. */
typedef struct tv_frame tv_frame;
struct tv_frame {
    tv_frame *parent; /* of the function around it */
    uint32_t fn;
    rt_value *slot; /* [n_slots of fn]; kind missing: unset */
    int64_t depth0; /* of the recursive loop whose body this is */
};

typedef struct tv_macro {
    uint32_t fn;
    tv_frame *frame; /* around it */
} tv_macro;

typedef struct tv_loop {
    const rt_list *items;
    size_t next;        /* item that comes next */
    uint32_t condition; /* 1 + function that picks items, 0: all */
    tv_frame *frame;    /* around the condition */
    tv_frame *body;     /* of a recursive loop: frame of its body's function; else NULL */
    int64_t index0;     /* -1 before the first */
    int64_t length;     /* -1: not known yet */
    int64_t depth0;
    rt_value current, before, after; /* after: looked at already */
    rt_value changed;                /* list of what `changed` was called with */
} tv_loop;

typedef struct tv_joiner {
    rt_value separator;
    bool used;
} tv_joiner;

typedef struct tv_cycler {
    rt_list *items;
    size_t next;
} tv_cycler;

enum { TV_GROUP = 1 }; /* sub of a tuple made by groupby: (grouper, list) */

/* ---- the machine ---- */

enum {
    RT_TPL_MAX_STEPS = 1000000, /* instructions, and items that filters touch */
    RT_TPL_MAX_CALLS = 64,
    RT_TPL_MAX_STACK = 1 << 17,
    RT_TPL_MAX_RANGE = 100000, /* as jinja2's sandbox */
};

typedef struct tvm tvm;

/* Text being built, with the origin of each byte. */
typedef struct tv_text {
    tvm *vm;
    char *at;
    uint8_t *mask;
    size_t n, cap;
    bool any;              /* a byte of the caller's */
    struct tv_text *outer; /* where output went before */
} tv_text;

struct tvm {
    rt_region r;
    const rt_template *t;
    rt_value *constants; /* the table's, as values */
    rt_value vars;       /* map: variables of the caller and of the table */
    const rt_template_clock *clock;
    rt_value *stack;
    size_t sp, base, cap; /* base: of the function that runs */
    tv_text *out;
    uint32_t n_calls;
    uint64_t steps, work, max_work; /* work: bytes touched */
    size_t max_text;                /* bytes of one text */
    uint32_t line;
    bool failed;
    p4c_error *error; /* never NULL */
};

/* The first failure counts.  Always a value of kind missing. */
rt_value tv_fail(tvm *vm, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
rt_value tv_bad_table(tvm *vm, const char *what);
/* After a region gave NULL or a list could not grow. */
rt_value tv_no_memory(tvm *vm);
/* Counts steps (bytes); false, and failed, when there were too many. */
bool tv_steps(tvm *vm, uint64_t n);
bool tv_work(tvm *vm, uint64_t n);

/* Runs function `fn` with its variables in `frame`; its output goes to vm->out.  What it gives, or
 * none.  Missing: failed. */
rt_value tv_run(tvm *vm, uint32_t fn, tv_frame *frame);
tv_frame *tv_frame_new(tvm *vm, uint32_t fn, tv_frame *parent);
/* The same with the output as a text. */
rt_value tv_run_captured(tvm *vm, uint32_t fn, tv_frame *frame);

/* ---- arguments ---- */

typedef struct tv_args {
    rt_value in; /* what a filter or test is applied to, or whose method it is */
    const rt_value *pos;
    uint32_t n_pos;
    const rt_value *named; /* (name, value) pairs */
    uint32_t n_named;
} tv_args;

typedef rt_value tv_fn(tvm *vm, const tv_args *a);

/* Puts arguments into out[n], kind missing where none was given.  names: "a b c", the first
 * `required` of which must be there.  False: failed. */
bool tv_bind(tvm *vm, const tv_args *a, const char *what, const char *names, uint32_t required,
             rt_value *out);
rt_value tv_call(tvm *vm, rt_value callee, const tv_args *a);

/* ---- template_text.c: texts ---- */

static inline rt_value tv_literal(rt_text *t) {
    return (rt_value){.kind = RT_KIND_text, .text = t};
}
rt_value tv_text_of(tvm *vm, const char *nul_terminated); /* the template's; not copied */
void tv_text_begin(tvm *vm, tv_text *b);
/* False, and failed, where n more bytes would be too many: said before a long loop starts. */
bool tv_text_fits(tv_text *b, uint64_t n);
void tv_add_bytes(tv_text *b, const char *at, size_t n, uint8_t taint);
void tv_add(tv_text *b, const char *nul_terminated); /* the template's */
/* Bytes from .. to of t, with their origin. */
void tv_add_part(tv_text *b, const rt_text *t, size_t from, size_t to);
void tv_add_text(tv_text *b, const rt_text *t);
void tv_add_char(tv_text *b, uint32_t cp, uint8_t taint);
rt_value tv_text_end(tv_text *b); /* missing: failed */

/* A slice of t that shares its bytes. */
rt_value tv_part(tvm *vm, const rt_text *t, size_t from, size_t to);
uint8_t tv_taint(const rt_text *t, size_t byte);
int64_t tv_chars(tvm *vm, rt_text *t);                /* length in characters */
size_t tv_offset(tvm *vm, rt_text *t, int64_t chars); /* byte offset of a character, 0 .. length */
/* Reads the character at byte i; returns its length.  Never reads past the end. */
size_t tv_next_char(const rt_text *t, size_t i, uint32_t *cp);

void tv_add_str(tv_text *b, rt_value v);  /* Python's str(v) */
void tv_add_repr(tv_text *b, rt_value v); /* Python's repr(v) */
rt_value tv_str(tvm *vm, rt_value v);     /* str(v); a text stays itself */
rt_value tv_plain(tvm *vm, rt_value v);   /* the same, no longer markup */

/* ---- template_ops.c: operators ---- */

const char *tv_type_name(rt_value v); /* "str" */
bool tv_truth(tvm *vm, rt_value v);
bool tv_is_integer(rt_value v); /* int or bool */
int64_t tv_integer(rt_value v); /* of such */
bool tv_hashable(rt_value v);
bool tv_equal(tvm *vm, rt_value a, rt_value b);
/* -1, 0, 1 for orders that exist; 2: not ordered, or failed. */
int tv_compare(tvm *vm, rt_value a, rt_value b, const char *op);
bool tv_in(tvm *vm, rt_value item, rt_value container);
rt_value tv_add_values(tvm *vm, rt_value a, rt_value b);
rt_value tv_arithmetic(tvm *vm, rt_tpl_op op, rt_value a, rt_value b);
rt_value tv_unary(tvm *vm, rt_tpl_op op, rt_value v);
rt_value tv_attr(tvm *vm, rt_value v, rt_value name);
rt_value tv_item(tvm *vm, rt_value v, rt_value key);
/* An attribute in Python's sense, methods included; kind missing without failure: there is none. */
rt_value tv_own_attr(tvm *vm, rt_value v, const rt_text *name);
rt_value tv_slice(tvm *vm, rt_value v, const rt_value part[3]);
/* All items; lists and tuples are not copied.  NULL: failed. */
const rt_list *tv_items(tvm *vm, rt_value v);
bool tv_length(tvm *vm, rt_value v, int64_t *n);

rt_value tv_undefined_new(tvm *vm, const char *hint, const char *owner, rt_value name);
rt_value tv_undefined_error(tvm *vm, rt_value v); /* fails with its message */

/* Lists built in the machine; false: failed. */
rt_value tv_list(tvm *vm);
bool tv_push(tvm *vm, rt_value list, rt_value v);
rt_value tv_iter_over(tvm *vm, rt_value list);
rt_value tv_map(tvm *vm);
bool tv_set(tvm *vm, rt_value map, rt_value key, rt_value v); /* a key must be hashable */

/* ---- template_loop.c ---- */

rt_value tv_loop_new(tvm *vm, tv_frame *frame, rt_value over, uint32_t condition, bool recursive);
/* 1: *item is the next one, 0: the loop is over, -1: failed. */
int tv_loop_next(tvm *vm, tv_loop *l, rt_value *item);
rt_value tv_loop_attr(tvm *vm, rt_value loop, const char *name); /* missing: there is none */
bool tv_loop_length(tvm *vm, tv_loop *l, int64_t *n);
rt_value tv_loop_recurse(tvm *vm, tv_loop *l, rt_value over);

/* ---- template_filters*.c, template_tests.c, template_methods.c, template_globals.c ---- */

typedef struct tv_row {
    const char *name;
    tv_fn *fn;
} tv_row;

extern const tv_row tv_filters[RT_TFILTER_COUNT], tv_tests[];
extern const uint32_t tv_n_tests;
#define TFILTER(name, function) tv_fn rt_tplf_##function;
#include "runtime/template_filters.def"
#undef TFILTER

int64_t tv_find_filter(const rt_text *name); /* row, -1: none */
int64_t tv_find_test(const rt_text *name);

/* Method row of this name for the kind; -1: none.  *unsafe: the sandbox forbids it. */
int64_t tv_find_method(rt_value v, const rt_text *name, bool *unsafe);
rt_value tv_call_method(tvm *vm, uint32_t row, const tv_args *a);
const char *tv_method_name(uint32_t row);

int64_t tv_find_global(const rt_text *name);
rt_value tv_call_global(tvm *vm, uint32_t row, const tv_args *a);

/* Shared by filters and methods of the same name. */
typedef enum tv_case {
    TV_UPPER,
    TV_LOWER,
    TV_CAPITALIZE,
    TV_TITLE,      /* str.title */
    TV_WORD_TITLE, /* the filter */
    TV_SWAPCASE,
    TV_CASEFOLD,
} tv_case;
/* chars: text, or none or missing for white space */
rt_value tv_strip(tvm *vm, const rt_text *t, rt_value chars, bool left, bool right);
/* count < 0: all */
rt_value tv_replace(tvm *vm, const rt_text *t, const rt_text *old, const rt_text *by,
                    int64_t count);
rt_value tv_convert(tvm *vm, const rt_text *t, tv_case to);
rt_value tv_lines(tvm *vm, const rt_text *t, bool keep_ends); /* list */
/* Spaces, or `fill`, in front and behind. */
rt_value tv_pad(tvm *vm, const rt_text *t, int64_t left, int64_t right, const rt_text *fill);
rt_value tv_center(tvm *vm, rt_text *t, int64_t width, const rt_text *fill);
rt_value tv_format_percent(tvm *vm, const rt_text *format, rt_value args);
rt_value tv_format_braces(tvm *vm, const rt_text *format, const tv_args *a);
rt_value tv_escape(tvm *vm, rt_value v); /* HTML; markup */
rt_value tv_strftime(tvm *vm, const rt_template_clock *clock, const rt_text *format);
/* Python's int(text, base) and float(text).  Kind missing, without failure: not a number. */
rt_value tv_int_of_text(tvm *vm, const rt_text *t, int64_t base);
rt_value tv_float_of_text(tvm *vm, const rt_text *t);

#endif
