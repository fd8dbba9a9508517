/* interp.c - runs a graph op by op: checks the step, hands out buffers, keeps the sequences'
 * histories. */
#include "ir/interp.h"

#include <assert.h>
#include <string.h>

#include "ir/const.h"
#include "ir/interp_ops.h"
#include "ir/shape.h"

static interp_fn *const INTERP[OP_COUNT] = {
#define OP(name, n_in, traits, attrs, meaning) [OP_##name] = interp_##name,
#include "ir/ops.def"
#undef OP
};

/* ---- histories ---- */

interp_state *interp_state_new(arena *mem, int n_histories) {
    interp_state *s = arena_new(mem, interp_state);
    s->mem = mem;
    s->n_histories = n_histories;
    s->of = arena_get_array(mem, (size_t)n_histories, sizeof *s->of, _Alignof(max_align_t));
    return s;
}

static float *grown(arena *mem, const float *old, int64_t n_old, int64_t n_new) {
    float *bigger = arena_array(mem, float, n_new);
    if (n_old) memcpy(bigger, old, (size_t)n_old * sizeof *bigger);
    return bigger;
}

interp_history *interp_history_of(interp_ctx *c, const ir_op *op, const interp_seq *s,
                                  int64_t layer, int64_t width, int64_t room) {
    interp_state *state = c->state;
    if (layer >= state->of[s->id].n_layers) {
        interp_history *more = arena_array(state->mem, interp_history, layer + 1);
        if (state->of[s->id].n_layers)
            memcpy(more, state->of[s->id].layer, (size_t)state->of[s->id].n_layers * sizeof *more);
        state->of[s->id].layer = more;
        state->of[s->id].n_layers = layer + 1;
    }
    interp_history *h = &state->of[s->id].layer[layer];
    if (!h->width) h->width = width;
    if (h->width != width) {
        OP_ERROR(op, IR_STEP, "%lld numbers a key, the history has %lld", (long long)width,
                 (long long)h->width);
        return NULL;
    }
    if (h->cap < room) {
        const int64_t cap = max_i64(room, 2 * h->cap);
        h->k = grown(state->mem, h->k, h->n * width, cap * width);
        h->v = grown(state->mem, h->v, h->n * width, cap * width);
        h->cap = cap;
    }
    return h;
}

/* ---- the step ---- */

static bool bad_step(const ir_graph *g, const char *what, int64_t i) {
    return diag_error(g->diag, DIAG_IR_STEP, (diag_loc){.file = g->path}, "%s %lld", what,
                      (long long)i);
}

/* The sequences cover the tokens in order of first_row, each token once; no history twice. */
static bool place_tokens(interp_ctx *c) {
    const interp_step *st = c->step;
    bool *used = arena_array(c->scratch, bool, c->state->n_histories);
    for (int64_t i = 0; i < st->n_seqs; i++) {
        const interp_seq *s = &st->seqs[i];
        if (s->id < 0 || s->id >= c->state->n_histories || used[s->id])
            return bad_step(c->g, "history out of range or used twice in sequence", i);
        used[s->id] = true;
        if (s->n_new < 1 || s->n_new > st->T || s->first_row < 0 ||
            s->first_row > st->T - s->n_new || s->n_past < 0 || s->n_past > INT32_MAX)
            return bad_step(c->g, "rows or positions out of range in sequence", i);
        for (int64_t t = s->first_row; t < s->first_row + s->n_new; t++) {
            if (c->seq[t]) return bad_step(c->g, "two sequences have token", t);
            c->seq[t] = s;
        }
        c->S = max_i64(c->S, s->n_past + s->n_new);
    }
    for (int64_t t = 0; t < st->T; t++)
        if (!c->seq[t]) return bad_step(c->g, "no sequence has token", t);
    return true;
}

static bool check_step(interp_ctx *c) {
    const interp_step *st = c->step;
    if (st->T < 1 || st->R < 0) return bad_step(c->g, "tokens of a step:", st->T);
    for (int64_t i = 0; i < st->R; i++)
        if (!st->rows || st->rows[i] < 0 || st->rows[i] >= st->T)
            return bad_step(c->g, "no such row: entry", i);
    c->seq = arena_array(c->scratch, const interp_seq *, st->T);
    /* a graph without sequences takes any tokens */
    bool has_seqs = false;
    for (const ir_op *op = c->g->first; op; op = op->next) {
        has_seqs |= op->type.dtype == DT_seqs;
        if (op->kind == OP_input && strcmp(ir_str(op, ATTR_role), "ids") == 0 && !st->ids)
            return OP_ERROR(op, IR_STEP, "the step has no ids");
    }
    return !has_seqs || place_tokens(c);
}

/* ---- buffers ---- */

typedef struct buffer buffer;
struct buffer {
    float *at;
    int64_t n;
    bool free;
    buffer *next;
};

int64_t interp_count(const interp_ctx *c, const ir_type *t) {
    int64_t n = 1;
    for (int i = 0; i < t->rank; i++) {
        const int64_t d = t->dim[i];
        n *= d == DIM_T ? c->step->T : d == DIM_R ? c->step->R : d == DIM_S ? c->S : d;
    }
    return n;
}

/* The smallest free buffer that fits and is not wasted, else a new one. */
static buffer *take_buffer(arena *mem, buffer **all, int64_t n) {
    buffer *best = NULL;
    for (buffer *b = *all; b; b = b->next)
        if (b->free && b->n >= n && b->n / 2 <= n && (!best || b->n < best->n)) best = b;
    if (!best) {
        best = arena_new(mem, buffer);
        *best = (buffer){.at = arena_array(mem, float, n), .n = n, .next = *all};
        *all = best;
    }
    best->free = false;
    return best;
}

static bool has_value(const ir_op *op) {
    const ir_dtype d = op->type.dtype;
    return !ir_is_const(op) && d != DT_seqs && d != DT_i32 && op->type.layout != LAYOUT_kv;
}

static void copy_outputs(const interp_ctx *c, float **out) {
    for (int i = 0; i < c->g->n_out && out; i++) {
        const ir_op *op = c->g->out[i];
        if (!out[i]) continue;
        if (ir_is_const(op)) ir_const_rows(op, 0, op->type.rank == 1 ? 1 : op->type.dim[0], out[i]);
        else if (has_value(op))
            memcpy(out[i], c->value[op->id], (size_t)interp_count(c, &op->type) * sizeof(float));
    }
}

static bool run_ops(interp_ctx *c, interp_watch *watch, void *context) {
    const uint32_t n_ids = c->g->next_id;
    buffer *all = NULL, **holds = arena_array(c->scratch, buffer *, n_ids);
    int *uses_left = arena_array(c->scratch, int, n_ids);
    for (const ir_op *op = c->g->first; op; op = op->next) {
        const int64_t n = has_value(op) ? interp_count(c, &op->type) : 0;
        if (has_value(op)) holds[op->id] = take_buffer(c->scratch, &all, n);
        float *out = holds[op->id] ? holds[op->id]->at : NULL;
        const arena_pos mark = arena_mark(c->scratch);
        if (!INTERP[op->kind](c, op, out)) return false;
        arena_rewind(c->scratch, mark);
        c->value[op->id] = out;
        uses_left[op->id] = op->n_use;
        if (watch) watch(context, op, out, n);
        for (int i = 0; i < op->n_in; i++)
            if (--uses_left[op->in[i]->id] == 0 && holds[op->in[i]->id])
                holds[op->in[i]->id]->free = true;
        if (!op->n_use && holds[op->id]) holds[op->id]->free = true;
    }
    return true;
}

bool interp_run(const ir_graph *g, interp_state *state, const interp_step *step, arena *scratch,
                interp_watch *watch, void *context, float **out) {
    if (!ir_verify(g) || !ir_weights_ready(g)) return false;
    const arena_pos mark = arena_mark(scratch);
    interp_ctx c = {.g = g, .state = state, .step = step, .scratch = scratch};
    c.value = arena_array(scratch, const float *, g->next_id);
    const bool ok = check_step(&c) && run_ops(&c, watch, context);
    if (ok) copy_outputs(&c, out);
    arena_rewind(scratch, mark);
    return ok;
}
