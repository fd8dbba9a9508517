/* compile.h - the steps of `p4c compile` between the frontend and the artifact writer. */
#ifndef P4C_DRIVER_COMPILE_H
#define P4C_DRIVER_COMPILE_H

#include "codegen/artifact/artifact.h"
#include "codegen/codegen.h"
#include "driver/driver.h"
#include "frontend/blob.h"
#include "frontend/frontend.h"
#include "passes/pass.h"

typedef struct compile_stage {
    const char *name;
    double seconds;
} compile_stage;

enum { COMPILE_MAX_STAGES = 16 };

typedef struct compile {
    const options *o;
    arena *mem, *scratch;
    diag *d;
    const char *dir, *target;
    int64_t max_tokens, max_batch;
    fe_model model;
    fe_blob tokenizer, chat_template; /* n 0: the checkpoint has none */
    pass_options passes;
    pass_ctx px;
    cg_program program;
    cg_objects objects;
    rt_meta meta;
    text ir, settings;   /* sections "ir" and "options" */
    str config;          /* section "config" */
    uint64_t anon_bytes; /* most anonymous memory seen so far */
    compile_stage stage[COMPILE_MAX_STAGES];
    int n_stages;
    uint64_t stage_begin_ns;
} compile;

/* c->passes from the options; the scheme is set later, by compile_set_scheme. */
P4C_CHECKED bool compile_read_pass_options(compile *c);
/* The scheme asked for, or what the graph calls for. */
P4C_CHECKED bool compile_set_scheme(compile *c);
/* c->meta and c->settings, from the checkpoint and the program. */
P4C_CHECKED bool compile_make_meta(compile *c);
/* c->ir: the graph as the plan was made from it, its constants being ranges of section "weights".
 */
P4C_CHECKED bool compile_make_ir(compile *c);
/* Prints which kernel each matrix got. */
void compile_print_kernels(const compile *c);

#endif
