/* model.c - opening and closing a model; what it says about itself. */
#include "runtime/model.h"

#include <stdlib.h>
#include <string.h>

#include "base/cpuinfo.h"
#include "runtime/eval.h"
#include "runtime/fail.h"
#include "runtime/threads.h"

static void *libc_alloc(void *ctx, size_t n_bytes) {
    (void)ctx;
    return malloc(n_bytes);
}
static void libc_free(void *ctx, void *p) {
    (void)ctx;
    free(p);
}

/* Copies what the caller's struct has of ours; false where it is too small to be any version of it.
 */
static bool take_params(const p4c_open_params *in, p4c_open_params *out) {
    *out = p4c_default_open_params();
    if (!in) return true;
    if (in->size < sizeof in->size + sizeof in->n_threads) return false;
    memcpy(out, in, in->size < sizeof *out ? in->size : sizeof *out);
    out->size = (uint32_t)sizeof *out;
    return true;
}

static p4c_status check_params(p4c_open_params *p, p4c_error *error) {
    if (p->n_threads > RT_MAX_THREADS)
        return rt_fail(error, P4C_ERR_ARGUMENT, "%u threads are too many, at most %d", p->n_threads,
                       RT_MAX_THREADS);
    if (!p->alloc.alloc != !p->alloc.free)
        return rt_fail(error, P4C_ERR_ARGUMENT, "one of the two memory hooks is missing");
    if (!p->alloc.alloc) p->alloc = (p4c_alloc){libc_alloc, libc_free, NULL};
    if (!p->n_threads) {
        const int n = cpu_count();
        p->n_threads = n < RT_MAX_THREADS ? (uint32_t)n : RT_MAX_THREADS;
    }
    return P4C_OK;
}

/* Blocks under the caller's bound; 0 bytes: every sequence of a step may have full length. */
static p4c_status kv_limit(const rt_meta *meta, uint64_t kv_bytes, uint64_t *out,
                           p4c_error *error) {
    if (!kv_bytes) {
        *out = rt_kv_blocks_for(meta->max_seq_tok) * meta->max_batch;
        return P4C_OK;
    }
    *out = kv_bytes / meta->kv_block_bytes;
    if (*out) return P4C_OK;
    return rt_fail_numbers(
        error, P4C_ERR_ARGUMENT, (int64_t)kv_bytes, (int64_t)meta->kv_block_bytes,
        "kv_bytes is %llu, one block of %d positions takes %llu", (unsigned long long)kv_bytes,
        RT_KV_BLOCK_TOK, (unsigned long long)meta->kv_block_bytes);
}

static void model_free(p4c_model *m) {
    rt_exec_close(m->exec);
    rt_kv_close(m->kv);
    rt_step_room_close(&m->mem, &m->tables, &m->room);
    rt_release(&m->mem, m->counters);
    pthread_mutex_destroy(&m->eval_lock);
    const rt_alloc mem = m->mem;
    rt_release(&mem, m);
}

static p4c_status open_parts(p4c_model *m, const p4c_open_params *p, uint64_t kv_blocks,
                             p4c_error *error) {
    p4c_status s = P4C_OK;
    m->counters = rt_get(&m->mem, 1, sizeof *m->counters);
    if (!m->counters) return rt_fail_memory(error, "the model");
    memset(m->counters, 0, sizeof *m->counters);
    if (s == P4C_OK) s = rt_language_open(&m->tables, &m->language, error);
    if (s == P4C_OK) s = rt_step_room_open(&m->mem, &m->tables, &m->room, error);
    if (s == P4C_OK)
        s = rt_kv_open(&m->mem, m->tables.meta->kv_block_bytes, kv_blocks, &m->kv, error);
    if (s == P4C_OK)
        s = rt_exec_open(&m->mem, &m->tables, m->variant, (int)p->n_threads, &m->exec, error);
    return s;
}

p4c_status rt_model_open(const rt_model_source *source, const p4c_api *api,
                         const p4c_open_params *params, p4c_model **out, p4c_error *error) {
    p4c_open_params p;
    rt_tables tables;
    const rt_variant *variant = NULL;
    uint64_t kv_blocks = 0;
    if (!out) return rt_fail(error, P4C_ERR_ARGUMENT, "no place for the model");
    if (!take_params(params, &p)) return rt_fail(error, P4C_ERR_ARGUMENT, "params.size is not set");
    p4c_status s = check_params(&p, error);
    if (s == P4C_OK) s = rt_load_tables(source, &tables, error);
    if (s == P4C_OK) s = rt_pick_variant(source->image, cpu_features(), p.cpu, &variant, error);
    if (s == P4C_OK) s = rt_check_kernels(variant, &tables, error);
    if (s == P4C_OK) s = kv_limit(tables.meta, p.kv_bytes, &kv_blocks, error);
    if (s != P4C_OK) return s;

    const rt_alloc mem = {p.alloc.alloc, p.alloc.free, p.alloc.ctx};
    p4c_model *const m = rt_get(&mem, 1, sizeof *m);
    if (!m) return rt_fail_memory(error, "the model");
    memset(m, 0, sizeof *m);
    m->api = api;
    m->mem = mem;
    m->tables = tables;
    m->variant = variant;
    atomic_init(&m->refs, 1);
    atomic_init(&m->n_cancels, 0);
    if (pthread_mutex_init(&m->eval_lock, NULL) != 0) {
        rt_release(&mem, m);
        return rt_fail(error, P4C_ERR_SYSTEM, "cannot make a lock");
    }
    s = open_parts(m, &p, kv_blocks, error);
    if (s != P4C_OK) {
        model_free(m);
        return s;
    }
    *out = m;
    return P4C_OK;
}

void rt_model_hold(p4c_model *m) { atomic_fetch_add(&m->refs, 1); }
void rt_model_drop(p4c_model *m) {
    if (atomic_fetch_sub(&m->refs, 1) == 1) model_free(m);
}

/* ---- what it says about itself ---- */

static void fill_info(const p4c_model *m, p4c_info *info) {
    const rt_meta *const meta = m->tables.meta;
    const rt_plan *const plan = m->tables.plan;
    *info = (p4c_info){
        .n_layers = meta->n_layers,
        .n_heads = meta->n_heads,
        .n_kv_heads = meta->n_kv_heads,
        .head_dim = meta->head_dim,
        .hidden = meta->hidden,
        .ffn = meta->ffn,
        .vocab = meta->vocab,
        .max_seq_tok = meta->max_seq_tok,
        .model_max_tok = meta->model_max_tok,
        .max_batch = meta->max_batch,
        .max_step_tok = plan->max_tokens,
        .max_step_rows = plan->max_rows,
        .n_stops = meta->n_stops,
        .bos = meta->bos,
        .has_tokenizer = m->language.has_tokenizer,
        .has_template = m->language.has_template,
        .dummy = meta->dummy,
        .n_threads = (uint32_t)rt_exec_threads(m->exec),
        .kv_f32 = meta->kv_dtype,
        .n_launches = plan->n_launches,
        .kv_block_bytes = meta->kv_block_bytes,
        .kv_blocks = rt_kv_count(m->kv).limit,
        .weight_bytes_per_token = meta->weight_bytes_per_token,
        .mac_per_token = meta->mac_per_token,
        .head_mac = meta->head_mac,
    };
    memcpy(info->stop, meta->stop, sizeof info->stop);
    memcpy(info->model_type, meta->model_type, sizeof info->model_type);
    memcpy(info->name, meta->name, sizeof info->name);
    memcpy(info->quant, meta->quant, sizeof info->quant);
    memcpy(info->version, m->tables.header->version, sizeof info->version);
    strncpy(info->cpu, m->variant->name, sizeof info->cpu - 1);
}

/* Copies as much of a struct as the caller's version of it has. */
static p4c_status copy_out(const void *from, uint32_t size, void *to, p4c_error *error) {
    uint32_t room;
    memcpy(&room, to, sizeof room);
    if (room < sizeof room) return rt_fail(error, P4C_ERR_ARGUMENT, "its size is not set");
    const uint32_t n = room < size ? room : size;
    memcpy((char *)to + sizeof room, (const char *)from + sizeof room, n - sizeof room);
    return P4C_OK;
}

p4c_status rt_model_info(const p4c_model *m, p4c_info *info, p4c_error *error) {
    p4c_info all;
    _Static_assert(sizeof all.stop == sizeof m->tables.meta->stop, "as many stop tokens");
    if (!info) return rt_fail(error, P4C_ERR_ARGUMENT, "no place for the info");
    fill_info(m, &all);
    return copy_out(&all, (uint32_t)sizeof all, info, error);
}

p4c_status rt_model_section(const p4c_model *m, const char *name, const void **data,
                            size_t *n_bytes, p4c_error *error) {
    if (!name || !data || !n_bytes) return rt_fail(error, P4C_ERR_ARGUMENT, "an argument is NULL");
    const rt_span span = rt_find_span(m->tables.header, name);
    if (!span.n_bytes) return rt_fail(error, P4C_ERR_NOT_THERE, "no section of this name");
    *data = span.at;
    *n_bytes = span.n_bytes;
    return P4C_OK;
}

p4c_status rt_model_stats(const p4c_model *m, p4c_stats *stats, p4c_error *error) {
    if (!stats) return rt_fail(error, P4C_ERR_ARGUMENT, "no place for the counters");
    const rt_counters *const c = m->counters;
    const rt_kv_counts kv = rt_kv_count(m->kv);
    const p4c_stats all = {
        .n_threads = (uint32_t)rt_exec_threads(m->exec),
        .n_evals = atomic_load(&c->n_evals),
        .n_steps = atomic_load(&c->n_steps),
        .n_tokens = atomic_load(&c->n_tokens),
        .n_rows = atomic_load(&c->n_rows),
        .eval_ns = atomic_load(&c->eval_ns),
        .kv_blocks_used = kv.used,
        .kv_blocks_peak = kv.peak,
        .n_sessions = atomic_load(&c->n_sessions),
    };
    return copy_out(&all, (uint32_t)sizeof all, stats, error);
}

uint32_t rt_model_thread_units(const p4c_model *m, uint64_t *units, uint32_t n) {
    if (units) rt_exec_units(m->exec, units, n);
    return (uint32_t)rt_exec_threads(m->exec);
}

p4c_status rt_model_set_watch(p4c_model *m, p4c_watch_fn *watch, void *context, p4c_error *error) {
    (void)error;
    pthread_mutex_lock(&m->eval_lock);
    m->watch = watch;
    m->watch_context = context;
    pthread_mutex_unlock(&m->eval_lock);
    return P4C_OK;
}
