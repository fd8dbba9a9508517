/* template_compile.h - a checkpoint's chat template, compiled to the table that the runtime
 * renders (runtime/template_abi.h).
 *
 * The language is that of jinja2 3.1 in the environment of transformers
 * (ImmutableSandboxedEnvironment, trim_blocks, lstrip_blocks, loop controls, `generation`, its
 * `tojson`): all statements but block, extends, include, import, from and autoescape, all
 * expressions, the filters of runtime/template_filters.def.  Scopes follow jinja2's
 * idtracking.py.  Identifiers are ASCII.
 *
 * Sources of the rules: jinja2 3.1.6 lexer.py, parser.py, idtracking.py, compiler.py;
 * transformers 5.23 utils/chat_template_utils.py.
 */
#ifndef P4C_FRONTEND_TEMPLATE_COMPILE_H
#define P4C_FRONTEND_TEMPLATE_COMPILE_H

#include "base/arena.h"
#include "base/diag.h"
#include "base/str.h"
#include "base/util.h"
#include "frontend/blob.h"

/* A special token that the template knows by name: {"bos_token", "<s>"}. */
typedef struct fe_template_var {
    str name, value;
} fe_template_var;

typedef struct fe_template_source {
    str text;         /* at is NULL: the checkpoint has no template */
    const char *file; /* where it stands, for messages */
    const fe_template_var *vars;
    size_t n_vars;
} fe_template_source;

/* Looks in checkpoint folder `dir`: chat_template.jinja wins over tokenizer_config.json's
 * chat_template (a text, or a list of {name, template} of which "default" is taken).  The tokens
 * are those of tokenizer_config.json, then of special_tokens_map.json.  False: reported. */
P4C_CHECKED bool fe_find_template(const char *dir, arena *mem, diag *d, fe_template_source *out);

/* Compiles source->text (UTF-8, at most 64 KiB).  False: reported, with the template's line
 * (exit status 3).  The blob lives in mem. */
P4C_CHECKED bool fe_compile_template_source(const fe_template_source *source, arena *mem, diag *d,
                                            fe_blob *out);
/* The same without tokens. */
P4C_CHECKED bool fe_compile_template(str source, const char *file, arena *mem, diag *d,
                                     fe_blob *out);

#endif
