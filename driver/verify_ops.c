/* verify_ops.c - `p4c verify --per-op`: finds the first step of the plan that is wrong.
 *
 * The artifact evaluates some tokens with a watch on every launch, the interpreter the same tokens
 * on the graph in section "ir", whose weights are the artifact's own bytes.  A launch and the op
 * that it computes have the same number.  Both go through the whole graph, so that small errors add
 * up; the bounds allow for that, and a wrong kernel is far beyond them.  Steps of 1, 5 and 17
 * tokens use the kernels of all three classes.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/half.h"
#include "driver/verify.h"
#include "ir/const.h"
#include "ir/interp.h"
#include "ir/ir.h"

/* Relative to the root mean square of what is right. */
typedef struct op_bounds {
    double rms, max;
} op_bounds;
static const op_bounds BOUNDS_F32 = {1e-3, 1e-2}, BOUNDS_16 = {0.1, 1.0};

typedef struct op_result {
    const ir_op *op; /* NULL: no launch computes it */
    float *got;      /* this step's, [n], or NULL: not compared */
    int64_t n;
    double rms, max_abs, mean_abs; /* of the worst step; rms relative */
    int64_t worst;                 /* index of the largest difference */
    float got_there, want_there;
    int64_t step_tokens; /* T of that step */
    bool compared, bad;
} op_result;

typedef struct per_op {
    verify *v;
    ir_graph *g;
    arena *step_mem;   /* rewound after each step */
    op_result *result; /* by op id */
    uint32_t n_results;
    op_bounds bounds;
    int64_t T;
} per_op;

/* ---- values of launches as floats ---- */

static float load(ir_dtype t, const uint8_t *p) {
    uint16_t h;
    float f;
    if (t == DT_f32) return memcpy(&f, p, 4), f;
    memcpy(&h, p, 2);
    return t == DT_bf16 ? bf16_to_f32(h) : f16_to_f32(h);
}

/* One token's activations as linear reads them (runtime/abi.h), K packed columns in n_groups
 * groups. */
static void load_act(ir_dtype t, const uint8_t *p, int64_t K, int64_t n_groups, float *out) {
    if (t != DT_i16) {
        for (int64_t k = 0; k < K; k++) out[k] = load(t, p + k * (t == DT_f32 ? 4 : 2));
        return;
    }
    const int64_t group = K / n_groups;
    const uint8_t *scales = p + 2 * K;
    for (int64_t k = 0; k < K; k++) {
        /* chunks of 8: {hi[0..3], hi[4..7], lo[0..3], lo[4..7]} */
        const uint8_t *chunk = p + k / 8 * 16;
        const int hi = (int8_t)chunk[k % 8], lo = (int8_t)chunk[8 + k % 8];
        out[k] = load(DT_f32, scales + k / group * 4) * (float)(256 * hi + lo);
    }
}

/* The i4 weight whose packed columns these activations follow; NULL: none. */
static const ir_op *packed_weight(const per_op *x, const ir_op *act) {
    for (const ir_op *op = x->g->first; op; op = op->next)
        if (op->kind == OP_linear && op->in[0] == act && op->in[1]->type.dtype == DT_i4)
            return op->in[1];
    return NULL;
}

static bool take_act(per_op *x, const ir_op *op, const uint8_t *at, int64_t n_tokens, float *out) {
    const int64_t K = op->type.dim[op->type.rank - 1];
    const ir_op *w = packed_weight(x, op);
    ir_groups groups = {.n_groups = 1, .group = K};
    if (w && !ir_const_groups(w, x->step_mem, x->g->diag, &groups)) return false;
    const int64_t packed = groups.n_groups * groups.group;
    const int64_t bytes =
        round_up(op->type.dtype == DT_i16 ? 2 * packed + 8 * groups.n_groups
                                          : packed * (op->type.dtype == DT_f32 ? 4 : 2),
                 64);
    float *row = arena_array(x->step_mem, float, packed);
    for (int64_t t = 0; t < n_tokens; t++) {
        load_act(op->type.dtype, at + t * bytes, packed, groups.n_groups, row);
        for (int64_t j = 0; j < packed; j++) {
            const int64_t k = groups.column ? groups.column[j] : j;
            if (k >= 0) out[t * K + k] = row[j];
        }
    }
    return true;
}

static void on_launch(void *context, const p4c_launch *launch) {
    per_op *x = context;
    if (launch->op >= x->n_results || !x->result[launch->op].op || !launch->result) return;
    op_result *r = &x->result[launch->op];
    const ir_type *t = &r->op->type;
    if (t->layout != LAYOUT_plain && t->layout != LAYOUT_act) return;
    int64_t columns = 1;
    for (int i = 1; i < t->rank; i++) columns *= t->dim[i];
    float *got = arena_array(x->step_mem, float, launch->n *columns);
    if (t->layout == LAYOUT_act) {
        if (!take_act(x, r->op, launch->result, launch->n, got)) return;
    } else {
        const int64_t item = t->dtype == DT_f32 ? 4 : 2;
        for (int64_t i = 0; i < launch->n * columns; i++)
            got[i] = load(t->dtype, (const uint8_t *)launch->result + i * item);
    }
    r->got = got;
    r->n = launch->n * columns;
}

/* ---- comparing ---- */

static void on_value(void *context, const ir_op *op, const float *want, int64_t n) {
    per_op *x = context;
    progress_set(&x->v->bar, ++x->v->done);
    op_result *r = &x->result[op->id];
    if (!want || !r->got || r->n != n || n == 0) return;
    double sum = 0, diff = 0, abs_sum = 0, max = 0;
    int64_t worst = 0;
    for (int64_t i = 0; i < n; i++) {
        const double e = fabs((double)r->got[i] - want[i]);
        sum += (double)want[i] * want[i];
        diff += e * e;
        abs_sum += e;
        if (!(e <= max)) max = e, worst = i; /* nan too */
    }
    const double scale = sqrt(sum / (double)n),
                 relative = scale > 0 ? sqrt(diff / (double)n) / scale : max;
    r->compared = true;
    if (relative <= r->rms && r->step_tokens) return;
    r->rms = relative;
    r->max_abs = max;
    r->mean_abs = abs_sum / (double)n;
    r->worst = worst;
    r->got_there = r->got[worst];
    r->want_there = want[worst];
    r->step_tokens = x->T;
    const bool good = relative <= x->bounds.rms && max <= x->bounds.max * (scale > 0 ? scale : 1);
    r->bad = r->bad || !good;
}

static bool run_step(per_op *x, p4c_session *s, interp_state *state, const int32_t *ids, int64_t T,
                     int64_t n_past) {
    verify *v = x->v;
    const arena_pos pos = arena_mark(x->step_mem);
    for (uint32_t i = 0; i < x->n_results; i++) x->result[i].got = NULL;
    x->T = T;
    float *logits = arena_array(x->step_mem, float, T *(int64_t)v->info.vocab);
    const p4c_item item = {.session = s,
                           .ids = ids,
                           .n_ids = T,
                           .logits = P4C_LOGITS_ALL,
                           .out = logits,
                           .n_out = T * (int64_t)v->info.vocab};
    p4c_error error = {0};
    if (p4c_eval(v->model, &item, 1, &error) != P4C_OK) return app_fail(v->a, &error);
    int32_t *rows = arena_array(x->step_mem, int32_t, T);
    for (int64_t t = 0; t < T; t++) rows[t] = (int32_t)t;
    const interp_seq seq = {.n_new = T, .n_past = n_past};
    const interp_step step = {.T = T, .R = T, .ids = ids, .rows = rows, .seqs = &seq, .n_seqs = 1};
    arena *scratch = arena_open();
    const bool ok = interp_run(x->g, state, &step, scratch, on_value, x, NULL);
    arena_close(scratch);
    arena_rewind(x->step_mem, pos);
    return ok;
}

/* ---- results ---- */

static const op_result *first_bad(const per_op *x) {
    for (const ir_op *op = x->g->first; op; op = op->next)
        if (x->result[op->id].bad) return &x->result[op->id];
    return NULL;
}

static int64_t columns_of(const ir_op *op) {
    int64_t n = 1;
    for (int i = 1; i < op->type.rank; i++) n *= op->type.dim[i];
    return n;
}

static void print_json(const per_op *x, const op_result *bad, int64_t n_compared, text *t) {
    text_printf(t, "{\"pass\":%s,\"compared\":%lld,\"first\":", bad ? "false" : "true",
                (long long)n_compared);
    if (!bad) text_cat(t, "null");
    for (const ir_op *op = x->g->first; op; op = op->next) {
        const op_result *r = &x->result[op->id];
        if (r != bad) continue;
        text line = {.mem = t->mem};
        ir_print_op(op, &line);
        text_printf(t, "{\"id\":%u,\"op\":", op->id);
        app_json_string(t, text_str(&line));
        text_printf(t, ",\"tokens\":%lld,\"row\":%lld,\"column\":%lld,\"relative_rms\":",
                    (long long)r->step_tokens, (long long)(r->worst / columns_of(op)),
                    (long long)(r->worst % columns_of(op)));
        if (isfinite(r->rms)) text_f64(t, r->rms);
        else text_cat(t, "null");
        text_cat(t, "}");
    }
    text_cat(t, ",\"cases\":[]}\n");
}

static void print_row(const op_result *r, text *t) {
    text line = {.mem = t->mem};
    ir_print_op(r->op, &line);
    text_printf(t, "%10.3g %10.3g %10.3g  %s%.80s\n", r->rms, r->max_abs, r->mean_abs,
                r->bad ? "WRONG " : "", line.buf.at);
}

static void print_text(const per_op *x, const op_result *bad, int64_t n_compared, text *t) {
    if (x->v->a->o->verbose.v) {
        text_printf(t, "%10s %10s %10s  %s\n", "rel. rms", "max_abs", "mean_abs", "op");
        for (const ir_op *op = x->g->first; op; op = op->next)
            if (x->result[op->id].compared) print_row(&x->result[op->id], t);
    }
    text_printf(t, "%lld of %u steps compared, %s\n", (long long)n_compared, x->v->info.n_launches,
                bad ? "FAILED" : "all agree");
    if (!bad) return;
    text line = {.mem = t->mem};
    ir_print_op(bad->op, &line);
    text_printf(t,
                "first that differs: %s\n  row %lld, column %lld of a step of %lld tokens: found "
                "%.9g, expected "
                "%.9g\n  max_abs %.3g, mean_abs %.3g, relative rms %.3g (allowed %.3g)\n",
                line.buf.at, (long long)(bad->worst / columns_of(bad->op)),
                (long long)(bad->worst % columns_of(bad->op)), (long long)bad->step_tokens,
                (double)bad->got_there, (double)bad->want_there, bad->max_abs, bad->mean_abs,
                bad->rms, x->bounds.rms);
}

static int report(const per_op *x) {
    const op_result *bad = first_bad(x);
    int64_t n_compared = 0;
    for (uint32_t i = 0; i < x->n_results; i++) n_compared += x->result[i].compared;
    diag *d = x->v->a->d;
    if (!n_compared) {
        diag_error(d, DIAG_ARTIFACT_OPEN, (diag_loc){.file = x->v->a->path},
                   "no step of the plan has an op in the artifact's IR");
        return EXIT_BAD_ARTIFACT;
    }
    text t = {.mem = x->v->a->mem};
    if (x->v->a->o->json.v) print_json(x, bad, n_compared, &t);
    else print_text(x, bad, n_compared, &t);
    if (!app_print(&t, d)) return EXIT_RESOURCES;
    return bad ? EXIT_CHECK_FAILED : EXIT_DONE;
}

/* ---- the graph inside ---- */

static bool section(verify *v, const char *name, const void **at, size_t *n) {
    p4c_error error = {0};
    return p4c_get_section(v->model, name, at, n, &error) == P4C_OK || app_fail(v->a, &error);
}

static bool open_graph(per_op *x) {
    verify *v = x->v;
    const void *text_at, *weights;
    size_t n_text, n_weights;
    if (v->info.dummy)
        return diag_error(v->a->d, DIAG_OPERANDS, (diag_loc){.file = v->a->path},
                          "its weights are made up where it is loaded; --per-op needs stored ones");
    if (!section(v, "ir", &text_at, &n_text) || !section(v, "weights", &weights, &n_weights))
        return false;
    x->g = ir_parse((str){text_at, n_text}, "section ir", v->a->mem, v->a->d);
    if (!x->g) return false;
    if (x->g->n_files != 1 || x->g->file[0].n_bytes != n_weights)
        return diag_error(v->a->d, DIAG_ARTIFACT_OPEN, (diag_loc){.file = v->a->path},
                          "section ir does not fit section weights");
    x->g->file[0].at = weights;
    if (!ir_verify(x->g)) return false;
    x->n_results = x->g->next_id;
    x->result = arena_array(v->a->mem, op_result, x->n_results);
    for (const ir_op *op = x->g->first; op; op = op->next)
        if (!ir_is_const(op)) x->result[op->id].op = op;
    return true;
}

static bool run_steps(per_op *x, p4c_session *s) {
    verify *v = x->v;
    const options *o = v->a->o;
    const int64_t asked = o->ids.n;
    const int64_t own[] = {1, 5, 17}, *sizes = asked ? &asked : own;
    const int n_sizes = asked ? 1 : (int)COUNT_OF(own);
    int32_t ids[64];
    int32_t *list = asked ? arena_array(v->a->mem, int32_t, asked) : ids;
    const int64_t total = asked ? asked : 1 + 5 + 17;
    for (int64_t i = 0; i < total; i++)
        list[i] = asked ? (int32_t)o->ids.v[i]
                        : (int32_t)((uint64_t)(i + 1) * 2654435761u % v->info.vocab);
    interp_state *state = interp_state_new(v->a->mem, 1);
    progress_start(&v->bar, "interpreting", (uint64_t)(ir_count(x->g) * n_sizes), PROGRESS_COUNT,
                   o->progress.v && !o->quiet.v);
    int64_t past = 0;
    bool ok = true;
    for (int i = 0; ok && i < n_sizes && past + sizes[i] <= (int64_t)v->info.max_seq_tok; i++) {
        if (sizes[i] > (int64_t)v->info.max_step_tok || sizes[i] > (int64_t)v->info.max_step_rows) {
            if (!asked) continue;
            ok = diag_error(v->a->d, DIAG_RUN_TOO_LONG, (diag_loc){.file = v->a->path},
                            "%lld ids, one step takes at most %u", (long long)asked,
                            v->info.max_step_tok);
            break;
        }
        ok = run_step(x, s, state, list + past, sizes[i], past);
        past += sizes[i];
    }
    progress_end(&v->bar);
    return ok;
}

int verify_per_op(verify *v) {
    per_op x = {.v = v, .step_mem = arena_open()};
    x.bounds = !strcmp(v->info.quant, "f32") && v->info.kv_f32 ? BOUNDS_F32 : BOUNDS_16;
    p4c_session *s = NULL;
    p4c_error error = {0};
    bool ok = open_graph(&x);
    if (ok && (p4c_session_open(v->model, &s, &error) != P4C_OK ||
               p4c_set_watch(v->model, on_launch, &x, &error) != P4C_OK))
        ok = app_fail(v->a, &error);
    ok = ok && run_steps(&x, s);
    p4c_set_watch(v->model, NULL, NULL, NULL);
    p4c_session_close(s);
    const int status = ok ? report(&x) : EXIT_BUG;
    arena_close(x.step_mem);
    return status;
}
