/* eval.c - p4c_eval: check, take blocks, run steps, then let all sessions grow at once.
 *
 * A session changes only when the whole call has succeeded: until then its new blocks stand behind
 * those it had, and n_done counts what went through.  A step is filled in the order of the items:
 * as many tokens as fit, of as many sessions as fit, and no more rows of logits than fit.  Where
 * an evaluation is cut does not change its results (DESIGN.md section 5).
 */
#include "runtime/eval.h"

#include "runtime/fail.h"
#include "runtime/pages.h"
#include "runtime/session.h"
#include "runtime/threads.h"

/* What one item contributes to a step. */
typedef struct rt_share {
    const p4c_item *item;
    int64_t n_new, n_rows;
} rt_share;

/* ---- room ---- */

static uint64_t logits_bytes(const rt_tables *t) {
    return (uint64_t)t->plan->max_rows * t->meta->vocab * sizeof(float);
}

p4c_status rt_step_room_open(const rt_alloc *mem, const rt_tables *t, rt_step_room *out,
                             p4c_error *error) {
    const size_t T = t->plan->max_tokens, R = t->plan->max_rows, S = t->meta->max_batch;
    rt_step_room r = {
        .ids = rt_get(mem, T, sizeof *r.ids),
        .pos = rt_get(mem, T, sizeof *r.pos),
        .seq = rt_get(mem, T, sizeof *r.seq),
        .rows = rt_get(mem, R, sizeof *r.rows),
        .seqs = rt_get(mem, S, sizeof *r.seqs),
        .share = rt_get(mem, S, sizeof *r.share),
        .blocks = rt_get(mem, S * rt_kv_blocks_for(t->meta->max_seq_tok), sizeof *r.blocks),
    };
    *out = r;
    if (r.ids && r.pos && r.seq && r.rows && r.seqs && r.share && r.blocks) return P4C_OK;
    rt_step_room_close(mem, t, out);
    return rt_fail_memory(error, "the tables of a step");
}

void rt_step_room_close(const rt_alloc *mem, const rt_tables *t, rt_step_room *r) {
    rt_release(mem, r->ids);
    rt_release(mem, r->pos);
    rt_release(mem, r->seq);
    rt_release(mem, r->rows);
    rt_release(mem, r->seqs);
    rt_release(mem, r->share);
    rt_release(mem, r->blocks);
    rt_pages_put(r->logits, logits_bytes(t));
    *r = (rt_step_room){0};
}

/* ---- checks ---- */

static p4c_status check_item(const p4c_model *m, const p4c_item *it, size_t i, p4c_error *error) {
    const rt_meta *const meta = m->tables.meta;
    const unsigned long long at = i;
    if (!it->session || it->session->model != m)
        return rt_fail(error, P4C_ERR_ARGUMENT, "item %llu: no session of this model", at);
    if (!it->ids || it->n_ids < 1)
        return rt_fail(error, P4C_ERR_ARGUMENT, "item %llu: no tokens", at);
    const int64_t n = (int64_t)it->session->ids.n, limit = meta->max_seq_tok;
    if (it->n_ids > limit - n) {
        const int64_t total = it->n_ids > INT64_MAX - n ? INT64_MAX : n + it->n_ids;
        return rt_fail_numbers(error, P4C_ERR_TOO_LONG, total, limit,
                               "the sequence would have %lld tokens, the artifact's limit is %lld",
                               (long long)total, (long long)limit);
    }
    for (int64_t t = 0; t < it->n_ids; t++)
        if (it->ids[t] < 0 || (uint32_t)it->ids[t] >= meta->vocab)
            return rt_fail(error, P4C_ERR_ARGUMENT,
                           "item %llu: token %lld is %d, the model has ids 0 to %u", at,
                           (long long)t, it->ids[t], meta->vocab - 1);
    int64_t want = 0; /* n_ids and vocab are at most 2^24 */
    if (it->logits == P4C_LOGITS_LAST) want = meta->vocab;
    else if (it->logits == P4C_LOGITS_ALL) want = it->n_ids * (int64_t)meta->vocab;
    else if (it->logits != P4C_LOGITS_NONE)
        return rt_fail(error, P4C_ERR_ARGUMENT, "item %llu: which logits", at);
    if (want && (!it->out || it->n_out < want))
        return rt_fail(error, P4C_ERR_ARGUMENT,
                       "item %llu: no room for %lld logits (n_out is %lld)", at, (long long)want,
                       (long long)(it->out ? it->n_out : 0));
    if (it->expected_total < 0)
        return rt_fail(error, P4C_ERR_ARGUMENT, "item %llu: expected_total", at);
    return P4C_OK;
}

static p4c_status check_items(p4c_model *m, const p4c_item *items, size_t n, p4c_error *error) {
    m->eval_serial++;
    for (size_t i = 0; i < n; i++) {
        const p4c_status s = check_item(m, &items[i], i, error);
        if (s != P4C_OK) return s;
        p4c_session *const session = items[i].session;
        if (session->eval_serial == m->eval_serial)
            return rt_fail(error, P4C_ERR_ARGUMENT, "item %llu: its session is there twice",
                           (unsigned long long)i);
        session->eval_serial = m->eval_serial;
    }
    return P4C_OK;
}

/* ---- cancelling ---- */

typedef struct cancel_watch {
    p4c_model *model;
    const p4c_item *items;
    size_t n_items;
    unsigned seen; /* wishes that were looked at; changed by one thread at a time */
} cancel_watch;

static bool any_cancelled(const p4c_item *items, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (atomic_load(&items[i].session->cancel)) return true;
    return false;
}

/* The flag is set before n_cancels changes, so that a wish seen here is found there. */
static bool is_cancelled(void *context) {
    cancel_watch *const c = context;
    const unsigned now = atomic_load(&c->model->n_cancels);
    if (now == c->seen) return false;
    c->seen = now;
    return any_cancelled(c->items, c->n_items);
}

static p4c_status cancelled(const p4c_item *items, size_t n, p4c_error *error) {
    for (size_t i = 0; i < n; i++) atomic_store(&items[i].session->cancel, 0);
    return rt_fail(error, P4C_ERR_CANCELLED, "cancelled");
}

/* ---- blocks ---- */

/* Makes room for the item's tokens: ids, list of blocks, blocks; a shared block that will be
 * written to is copied.  The session is unchanged but for room. */
static p4c_status take_blocks(p4c_model *m, const p4c_item *it, p4c_error *error) {
    p4c_session *const s = it->session;
    const size_t n_old = s->n_blocks;
    const size_t n_all = rt_kv_blocks_for(s->ids.n + (uint64_t)it->n_ids);
    s->n_done = 0;
    s->n_kept = n_old;
    if (!rt_ids_reserve(&m->mem, &s->ids, (size_t)it->n_ids))
        return rt_fail_memory(error, "the tokens of a session");
    /* one place more, for the copy of a shared block */
    rt_kv_block **const list = rt_grown(&m->mem, s->block, n_old, &s->cap_blocks, n_all - n_old + 1,
                                        sizeof(rt_kv_block *));
    if (!list) return rt_fail_memory(error, "the tokens of a session");
    s->block = list;
    const bool partial = s->ids.n % RT_KV_BLOCK_TOK != 0;
    const bool copy = partial && rt_kv_is_shared(m->kv, list[n_old - 1]);
    const p4c_status status = rt_kv_take(m->kv, n_all - n_old + copy, list + n_old, error);
    if (status != P4C_OK) return status;
    s->n_blocks = n_all;
    if (copy) {
        rt_kv_block *const own = list[n_all], *const shared = list[n_old - 1];
        memcpy(own->data, shared->data, m->tables.meta->kv_block_bytes);
        list[n_old - 1] = own;
        rt_kv_drop(m->kv, &shared, 1);
    }
    return P4C_OK;
}

static void give_back(p4c_model *m, const p4c_item *items, size_t n) {
    for (size_t i = 0; i < n; i++) {
        p4c_session *const s = items[i].session;
        rt_kv_drop(m->kv, s->block + s->n_kept, s->n_blocks - s->n_kept);
        s->n_blocks = s->n_kept;
    }
}

static p4c_status take_all_blocks(p4c_model *m, const p4c_item *items, size_t n, p4c_error *error) {
    for (size_t i = 0; i < n; i++) {
        const p4c_status s = take_blocks(m, &items[i], error);
        if (s == P4C_OK) continue;
        give_back(m, items, i);
        return s;
    }
    return P4C_OK;
}

/* ---- steps ---- */

/* What fits of one item into a step that has T tokens and R rows left; n_new 0: nothing. */
static rt_share share_of(const p4c_item *it, int64_t T, int64_t R) {
    const int64_t left = it->n_ids - it->session->n_done;
    rt_share sh = {.item = it, .n_new = left < T ? left : T};
    if (it->logits == P4C_LOGITS_ALL) {
        if (sh.n_new > R) sh.n_new = R;
        sh.n_rows = sh.n_new;
    } else if (it->logits == P4C_LOGITS_LAST && sh.n_new == left) {
        if (R) sh.n_rows = 1;
        else sh.n_new--;
    }
    return sh;
}

/* Fills m->room with a step of the items from *first on, which moves behind finished ones. */
static size_t plan_step(p4c_model *m, const p4c_item *items, size_t n_items, size_t *first) {
    const rt_tables *const t = &m->tables;
    int64_t T = t->plan->max_tokens, R = t->plan->max_rows;
    size_t n = 0;
    while (*first < n_items && items[*first].session->n_done == items[*first].n_ids) ++*first;
    for (size_t i = *first; i < n_items && n < t->meta->max_batch && T; i++) {
        const rt_share sh = share_of(&items[i], T, R);
        if (!sh.n_new) break;
        m->room.share[n++] = sh;
        T -= sh.n_new;
        R -= sh.n_rows;
        if (items[i].session->n_done + sh.n_new < items[i].n_ids) break;
    }
    return n;
}

static rt_step build_step(p4c_model *m, size_t n_shares) {
    const rt_step_room *const room = &m->room;
    rt_step step = {.ids = room->ids,
                    .rows = room->rows,
                    .pos = room->pos,
                    .seq = room->seq,
                    .seqs = room->seqs,
                    .n_seqs = (int64_t)n_shares};
    uint8_t **blocks = room->blocks;
    for (size_t q = 0; q < n_shares; q++) {
        const rt_share *const sh = &room->share[q];
        const p4c_session *const s = sh->item->session;
        const int64_t n_past = (int64_t)s->ids.n + s->n_done;
        const size_t n_blocks = rt_kv_blocks_for((uint64_t)(n_past + sh->n_new));
        room->seqs[q] = (rt_seq){step.T, sh->n_new, n_past, blocks};
        for (size_t b = 0; b < n_blocks; b++) *blocks++ = s->block[b]->data;
        for (int64_t i = 0; i < sh->n_new; i++, step.T++) {
            room->ids[step.T] = sh->item->ids[s->n_done + i];
            room->pos[step.T] = (int32_t)(n_past + i);
            room->seq[step.T] = (int32_t)q;
            if (i >= sh->n_new - sh->n_rows) room->rows[step.R++] = (int32_t)step.T;
        }
    }
    return step;
}

/* Where a share's rows belong in its caller's memory. */
static float *rows_out(const rt_share *sh, uint32_t vocab) {
    if (sh->item->logits != P4C_LOGITS_ALL) return sh->item->out;
    return sh->item->out + sh->item->session->n_done * (int64_t)vocab;
}

/* Kernels write a step's rows in one piece.  A lone item whose memory is aligned takes them
 * directly, without a copy. */
static bool is_direct(const p4c_item *items, size_t n_items, uint32_t vocab) {
    return n_items == 1 && (uintptr_t)items->out % 64 == 0 &&
           (items->logits != P4C_LOGITS_ALL || vocab % 16 == 0);
}

static p4c_status take_logits(p4c_model *m, const p4c_item *items, size_t n, p4c_error *error) {
    bool wanted = false;
    for (size_t i = 0; i < n; i++) wanted |= items[i].logits != P4C_LOGITS_NONE;
    if (!wanted || m->room.logits || is_direct(items, n, m->tables.meta->vocab)) return P4C_OK;
    m->room.logits = rt_pages_get(logits_bytes(&m->tables));
    return m->room.logits ? P4C_OK : rt_fail_memory(error, "a step's logits");
}

static p4c_status run_steps(p4c_model *m, const p4c_item *items, size_t n_items, p4c_error *error) {
    const uint32_t vocab = m->tables.meta->vocab;
    const bool direct = is_direct(items, n_items, vocab);
    cancel_watch watch = {m, items, n_items, atomic_load(&m->n_cancels)};
    if (any_cancelled(items, n_items)) return cancelled(items, n_items, error);
    size_t first = 0, n;
    while ((n = plan_step(m, items, n_items, &first)) > 0) {
        const rt_share *const share = m->room.share;
        const rt_step step = build_step(m, n);
        float *const logits = !step.R ? NULL : direct ? rows_out(share, vocab) : m->room.logits;
        const rt_step_run run = {&step, logits, is_cancelled, &watch, m->watch, m->watch_context};
        if (is_cancelled(&watch) || !rt_exec_run(m->exec, &run))
            return cancelled(items, n_items, error);
        const float *from = logits;
        for (size_t q = 0; q < n; q++) {
            const size_t n_floats = (size_t)share[q].n_rows * vocab;
            if (n_floats && !direct)
                memcpy(rows_out(&share[q], vocab), from, n_floats * sizeof *from);
            from = n_floats ? from + n_floats : from;
            share[q].item->session->n_done += share[q].n_new;
        }
        rt_count(&m->counters->n_steps, 1);
        rt_count(&m->counters->n_tokens, (uint64_t)step.T);
        rt_count(&m->counters->n_rows, (uint64_t)step.R);
    }
    return P4C_OK;
}

static p4c_status eval_locked(p4c_model *m, const p4c_item *items, size_t n, p4c_error *error) {
    p4c_status s = check_items(m, items, n, error);
    if (s == P4C_OK) s = take_logits(m, items, n, error);
    if (s == P4C_OK) s = take_all_blocks(m, items, n, error);
    if (s != P4C_OK) return s;
    s = run_steps(m, items, n, error);
    if (s != P4C_OK) {
        give_back(m, items, n);
        return s;
    }
    for (size_t i = 0; i < n; i++) {
        rt_ids *const ids = &items[i].session->ids;
        memcpy(ids->at + ids->n, items[i].ids, (size_t)items[i].n_ids * sizeof *ids->at);
        ids->n += (size_t)items[i].n_ids;
    }
    return P4C_OK;
}

p4c_status rt_eval(p4c_model *m, const p4c_item *items, size_t n_items, p4c_error *error) {
    if (!items || !n_items) return rt_fail(error, P4C_ERR_ARGUMENT, "no items");
    pthread_mutex_lock(&m->eval_lock);
    const uint64_t start_ns = rt_now_ns();
    const p4c_status s = eval_locked(m, items, n_items, error);
    rt_count(&m->counters->n_evals, 1);
    rt_count(&m->counters->eval_ns, rt_now_ns() - start_ns);
    pthread_mutex_unlock(&m->eval_lock);
    return s;
}
