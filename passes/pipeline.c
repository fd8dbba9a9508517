/* pipeline.c - runs passes in order, checks their contracts, times and prints them as the options
 * say. */
#include <assert.h>
#include <time.h>

#include "passes/pass.h"

const pass_info pass_table[PASS_COUNT] = {
#define PASS(name, text, optional, needs, gives, breaks, meaning)                                  \
    [PASS_##name] = {text, pass_##name, optional, needs, gives, breaks, meaning},
#include "passes/passes.def"
#undef PASS
};

pass_options pass_default_options(void) {
    return (pass_options){
        .scheme = {.id = SCHEME_f32, .kv_dtype = DT_f32},
        .max_tokens = 512,
        .max_rows = 512,
        .limit = -1,
        .stop_after = -1,
        .print_out = stderr,
    };
}

bool pass_find(str name, pass_id *out) {
    for (pass_id p = 0; p < PASS_COUNT; p++) {
        const char *want = pass_table[p].name;
        size_t i = 0;
        while (i < name.n && want[i] &&
               (name.at[i] == want[i] || (name.at[i] == '_' && want[i] == '-')))
            i++;
        if (i == name.n && !want[i]) return *out = p, true;
    }
    return false;
}

bool pass_op_runs(const ir_op *op) {
    return op->kind != OP_input && op->kind != OP_second && !ir_is_const(op);
}

bool pass_in_arena(const ir_graph *g, const ir_op *op) {
    const ir_layout layout = op->type.layout;
    return pass_op_runs(op) && op->type.dtype != DT_seqs && layout != LAYOUT_kv &&
           !(g->n_out > 0 && g->out[0] == op);
}

static bool is_packed(const ir_op *w) {
    return w->type.layout != LAYOUT_plain && w->type.layout != LAYOUT_gptq;
}

unsigned pass_facts(const ir_graph *g) {
    unsigned facts =
        HAS_DENSE_OPS | HAS_LINEAR | HAS_ATTENTION | HAS_LAYOUTS | HAS_KERNELS | HAS_PLAN;
    for (const ir_op *op = g->first; op; op = op->next) {
        unsigned broken = 0;
        if (op->kind == OP_matmul) broken |= HAS_LINEAR;
        if (op->kind == OP_linear) broken |= HAS_DENSE_OPS;
        if (op->kind == OP_attn_scores) broken |= HAS_ATTENTION;
        if (op->kind == OP_linear && !is_packed(op->in[1])) broken |= HAS_LAYOUTS;
        if (pass_op_runs(op) && !ir_find_attr(op, ATTR_kernel)) broken |= HAS_KERNELS;
        if (pass_in_arena(g, op) && !ir_find_attr(op, ATTR_at)) broken |= HAS_PLAN;
        facts &= ~broken;
    }
    return facts;
}

static double now_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool wants_verify(const pass_options *o) {
#ifdef NDEBUG
    return o->verify_each;
#else
    (void)o;
    return true;
#endif
}

static void print_graph(const ir_graph *g, pass_ctx *px, pass_id p) {
    text t = {.mem = px->scratch};
    ir_print(g, &t);
    fprintf(px->options->print_out, "; after %s\n" STR_FMT, pass_table[p].name,
            STR_ARG(text_str(&t)));
}

static bool run_one(ir_graph *g, pass_ctx *px, pass_id p) {
    const arena_pos mark = arena_mark(px->scratch);
    const double start = now_seconds();
    px->n_changed = 0;
    g->at = NULL;
    const bool ok = pass_table[p].run(g, px);
    px->seconds[p] += now_seconds() - start;
    g->at = NULL;
    if (ok && wants_verify(px->options) && !ir_verify(g)) {
        diag_print(px->diag, stderr);
        fprintf(stderr, "p4c: bug: the graph is broken after pass %s\n", pass_table[p].name);
        abort();
    }
    assert(!ok || (pass_table[p].gives & ~pass_facts(g)) == 0);
    if (ok && px->options->print_after >> p & 1) print_graph(g, px, p);
    arena_rewind(px->scratch, mark);
    return ok;
}

static bool check_disabled(const pass_ctx *px) {
    for (pass_id p = 0; p < PASS_COUNT; p++)
        if (px->options->disabled >> p & 1 && !pass_table[p].optional)
            return diag_error(px->diag, DIAG_PASS_MANDATORY, (diag_loc){0},
                              "pass %s cannot be left out", pass_table[p].name);
    return true;
}

bool pass_run_all(ir_graph *g, pass_ctx *px, unsigned have) {
    const pass_options *o = px->options;
    if (!check_disabled(px)) return false;
    if (wants_verify(o) && !ir_verify(g)) return false;
    int n_optional = 0;
    for (pass_id p = 0; p < PASS_COUNT; p++) {
        const pass_info *pass = &pass_table[p];
        const bool over_limit = pass->optional && o->limit >= 0 && n_optional++ >= o->limit;
        if (over_limit || o->disabled >> p & 1) continue;
        if (pass->needs & ~have) UNREACHABLE("a pass runs before one that it needs");
        if (!run_one(g, px, p)) return false;
        have = (have & ~pass->breaks) | pass->gives;
        if (o->stop_after == (int)p) return true;
    }
    return true;
}

static const char *const FACT_TEXT[] = {
    "plain ops only",       "a linear op for every matrix product",
    "fused attention",      "packed weights",
    "a kernel for each op", "a memory plan"};

bool pass_run_list(ir_graph *g, pass_ctx *px, const pass_id *list, int n) {
    if (wants_verify(px->options) && !ir_verify(g)) return false;
    for (int i = 0; i < n; i++) {
        const unsigned missing = pass_table[list[i]].needs & ~pass_facts(g);
        for (unsigned f = 0; f < COUNT_OF(FACT_TEXT); f++)
            if (missing >> f & 1)
                return diag_error(px->diag, DIAG_PASS_ORDER, (diag_loc){.file = g->path},
                                  "pass %s needs %s, which this graph does not have",
                                  pass_table[list[i]].name, FACT_TEXT[f]);
        if (!run_one(g, px, list[i])) return false;
        if (px->options->stop_after == (int)list[i]) return true;
    }
    return true;
}
