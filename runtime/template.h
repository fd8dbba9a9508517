/* template.h - renders a chat with a compiled chat template.
 *
 * The result is text and a mask: which bytes are the template's own and which the caller's
 * (contents of messages, tools, ...).  The tokenizer must not form a special token out of a byte
 * of the caller's, so no message can inject one (DESIGN.md section 8).  The mask is exact for each
 * byte through concatenation, slices, filters and methods.  Of a message, only a role that names a
 * speaker (system, user, assistant, tool, ...) counts as the template's, because templates build
 * special tokens out of it; any other role, all other texts and all variables given as JSON are the
 * caller's.
 *
 * What is rendered is what transformers' apply_chat_template renders: jinja2 3.1 in its sandbox
 * with Python's semantics.  Of messages, keys whose value is null are dropped and a reasoning text
 * is given as `thinking` and `reasoning_content`, as transformers 5.23 does.
 * Limits of this implementation: integers of 64 bits in arithmetic (longer ones can be printed and
 * compared), no attributes of numbers, no random.
 *
 * A render is bounded: RT_TPL_MAX_STEPS steps, 16 times the input + 64 KiB of output, and
 * proportional memory.  A damaged table is refused or ends in an error, never in a crash.
 */
#ifndef P4C_RUNTIME_TEMPLATE_H
#define P4C_RUNTIME_TEMPLATE_H

#include "runtime/p4c.h"
#include "runtime/template_abi.h"
#include "runtime/value.h"

/* An opened table; points into its bytes, which must outlive it. */
typedef struct rt_template {
    const rt_tpl_header *head;
    const rt_tpl_const *consts;
    const rt_tpl_fn *fns;
    const rt_tpl_ins *ins;
    const rt_tpl_var *vars;
    const char *text;
} rt_template;

/* Checks the whole table, which must be aligned to 4 bytes.  False: *what says what is wrong. */
bool rt_template_open(const void *table, size_t n_bytes, rt_template *out, const char **what);

/* Civil time where the caller is, for strftime_now. */
typedef struct rt_template_clock {
    int64_t local_s; /* seconds since 1970-01-01 00:00 of the local calendar */
} rt_template_clock;

typedef struct rt_template_input {
    rt_value messages;  /* list of maps */
    rt_value tools;     /* list; kind missing or none: none */
    rt_value documents; /* as tools */
    rt_value extra;     /* map of further variables, which win; kind missing: none */
    bool add_generation_prompt;
    const rt_template_clock *clock; /* NULL: strftime_now is an error */
} rt_template_input;

typedef struct rt_rendered {
    char *text;    /* n bytes and a NUL */
    uint8_t *mask; /* n bytes: 1 where the byte is the caller's */
    size_t n;
} rt_rendered;

/* Renders.  ERR_BAD_INPUT: the template refuses the chat, or a limit was reached (the message says
 * which and where); ERR_NO_MEMORY; ERR_BAD_ARTIFACT: the table is damaged.  error may be NULL. */
p4c_status rt_template_render(const rt_template *t, const rt_template_input *in,
                              const rt_alloc *mem, rt_rendered *out, p4c_error *error);
/* The same for {"messages": [...], "tools"?, "documents"?, "add_generation_prompt"? (default
 * true), further variables} or the list of messages alone, as JSON. */
p4c_status rt_template_render_json(const rt_template *t, const char *json, size_t n_bytes,
                                   const rt_template_clock *clock, const rt_alloc *mem,
                                   rt_rendered *out, p4c_error *error);
void rt_rendered_free(rt_rendered *r, const rt_alloc *mem);

#endif
