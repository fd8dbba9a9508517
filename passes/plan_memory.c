/* plan_memory.c - a place in one arena for every value of a step.
 *
 * Launches between two barriers run at the same time, and a barrier is only certain where an op
 * reads what an earlier one wrote.  So time is counted in epochs: an op that reads a value of the
 * current epoch begins the next one.  A value lives from the epoch that makes it to the last one
 * that reads it, both included; values whose epochs meet get different bytes.  Dependences through
 * the KV state are not counted, since layers do not share it: fewer barriers than there are is the
 * safe side.
 *
 * The result of linear {epilogue="add"} takes its residual's place where nothing else needs that
 * any more: each element is read by the thread that writes it, right before.
 *
 * Placing: buffers by size, largest first, each at the lowest gap that is free in all its epochs.
 * Source: greedy by size, Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net
 * Inference", 2020.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "passes/pass.h"
#include "passes/rewrite.h"

enum { ALIGN_BYTES = 64 };
static const uint64_t MAX_ARENA_BYTES = (uint64_t)1 << 46;

/* Bytes that one value, or a chain of values each in the place of the one before, occupies. */
typedef struct buffer {
    int first, last; /* epochs */
    uint64_t bytes, offset;
    int index; /* for a total order */
} buffer;

typedef struct slot { /* of an op */
    rw_info use;      /* first: rw_info_of works */
    int epoch;
    buffer *buffer; /* NULL: not in the arena */
} slot;

static slot *slot_of(const ir_op *op) { return op->note; }

/* Replaces rw_index's notes by ones with room for more. */
static void make_slots(ir_graph *g, arena *scratch) {
    rw_index(g, scratch);
    for (ir_op *op = g->first; op; op = op->next) {
        slot *const s = arena_new(scratch, slot);
        s->use = *rw_info_of(op);
        op->note = s;
    }
}

static void count_epochs(const ir_graph *g) {
    int now = 1;
    for (ir_op *op = g->first; op; op = op->next) {
        if (!pass_op_runs(op)) continue; /* epoch 0: there before the step */
        for (int i = 0; i < op->n_in; i++)
            if (pass_op_runs(op->in[i]) && slot_of(op->in[i])->epoch == now) {
                now++;
                break;
            }
        slot_of(op)->epoch = now;
    }
}

static bool is_output(const ir_graph *g, const ir_op *op) {
    for (int i = 0; i < g->n_out; i++)
        if (g->out[i] == op) return true;
    return false;
}

static int last_epoch(const ir_graph *g, const ir_op *op) {
    if (is_output(g, op)) return INT32_MAX;
    const slot *s = slot_of(op);
    int last = s->epoch;
    for (int i = 0; i < s->use.n_users; i++) {
        const int epoch = slot_of(s->use.user[i])->epoch;
        if (epoch > last) last = epoch;
    }
    return last;
}

/* The value whose place op's result may take, NULL: none. */
static ir_op *dying_residual(const ir_graph *g, const ir_op *op) {
    if (op->kind != OP_linear || strcmp(ir_str_or(op, ATTR_epilogue, "none"), "add") != 0)
        return NULL;
    ir_op *const residual = op->in[2];
    if (!slot_of(residual)->buffer || is_output(g, residual)) return NULL;
    if (!ir_type_eq(&residual->type, &op->type)) return NULL;
    const slot *s = slot_of(residual);
    for (int i = 0, n_here = 0; i < s->use.n_users; i++) {
        const ir_op *user = s->use.user[i];
        if (user == op ? ++n_here > 1 : slot_of(user)->epoch >= slot_of(op)->epoch) return NULL;
    }
    return residual;
}

static int by_size(const void *a, const void *b) {
    const buffer *x = *(buffer *const *)a, *y = *(buffer *const *)b;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? 1 : -1;
    return x->index - y->index;
}

/* Puts b at the lowest gap among `placed`, which is sorted by offset, and into that list. */
static void place(buffer *b, buffer **placed, int n) {
    uint64_t at = 0;
    for (int i = 0; i < n; i++) {
        const buffer *other = placed[i];
        if (other->last < b->first || other->first > b->last) continue;
        if (other->offset >= at + b->bytes) break;
        if (other->offset + other->bytes > at) at = other->offset + other->bytes;
    }
    b->offset = at;
    int i = n;
    for (; i > 0 && placed[i - 1]->offset > at; i--) placed[i] = placed[i - 1];
    placed[i] = b;
}

/* One buffer for each chain of values, in program order; how many.  -1: reported. */
static int make_buffers(ir_graph *g, pass_ctx *px, buffer **list) {
    uint64_t total = 0;
    int n = 0;
    for (ir_op *op = g->first; op; op = op->next) {
        if (!pass_in_arena(g, op)) continue;
        const int last = last_epoch(g, op);
        const ir_op *residual = dying_residual(g, op);
        if (residual) {
            slot_of(op)->buffer = slot_of(residual)->buffer;
            slot_of(op)->buffer->last = last;
            continue;
        }
        const int64_t bytes =
            ir_type_bytes(&op->type, px->options->max_tokens, px->options->max_rows);
        assert(bytes > 0);
        buffer *const b = arena_new(px->scratch, buffer);
        *b = (buffer){.first = slot_of(op)->epoch,
                      .last = last,
                      .bytes = (uint64_t)round_up(bytes, ALIGN_BYTES),
                      .index = n};
        total += b->bytes; /* at most 2^20 values below the bound */
        if (b->bytes > MAX_ARENA_BYTES || total > MAX_ARENA_BYTES) {
            diag_error(
                g->diag, DIAG_PASS_ARENA, ir_loc(op), "a step of %lld tokens needs over %llu TiB",
                (long long)px->options->max_tokens, (unsigned long long)(MAX_ARENA_BYTES >> 40));
            return -1;
        }
        slot_of(op)->buffer = list[n++] = b;
    }
    return n;
}

bool pass_plan_memory(ir_graph *g, pass_ctx *px) {
    make_slots(g, px->scratch);
    count_epochs(g);
    const int n_ops = ir_count(g);
    buffer **list = arena_array(px->scratch, buffer *, n_ops);
    buffer **placed = arena_array(px->scratch, buffer *, n_ops);
    const int n = make_buffers(g, px, list);
    if (n < 0) return false;
    if (n) qsort(list, (size_t)n, sizeof *list, by_size);
    px->arena_bytes = 0;
    for (int i = 0; i < n; i++) {
        place(list[i], placed, i);
        const uint64_t end = list[i]->offset + list[i]->bytes;
        if (end > px->arena_bytes) px->arena_bytes = end;
    }
    for (ir_op *op = g->first; op; op = op->next) {
        if (!slot_of(op)->buffer) continue;
        ir_set_attr(g, op, IR_I64(at, (int64_t)slot_of(op)->buffer->offset));
        px->n_changed++;
    }
#ifndef NDEBUG
    const ir_op *a, *b;
    assert(
        pass_plan_is_sound(g, px->options->max_tokens, px->options->max_rows, px->scratch, &a, &b));
#endif
    return true;
}
