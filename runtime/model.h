/* model.h - an opened artifact: checked tables, threads, KV pool, tokenizer. */
#ifndef P4C_RUNTIME_MODEL_H
#define P4C_RUNTIME_MODEL_H

#include <pthread.h>
#include <stdatomic.h>

#include "runtime/alloc.h"
#include "runtime/kv.h"
#include "runtime/load.h"
#include "runtime/p4c.h"
#include "runtime/stats.h"
#include "runtime/step_cpu.h"
#include "runtime/text.h"

/* Room for one step and its logits, used by whoever holds eval_lock. */
typedef struct rt_step_room {
    int32_t *ids, *pos, *seq; /* [max_tokens] */
    int32_t *rows;            /* [max_rows] */
    rt_seq *seqs;             /* [max_batch] */
    struct rt_share *share;   /* [max_batch] */
    uint8_t **blocks;         /* [max_batch * blocks of a full sequence] */
    float *logits;            /* [max_rows, vocab], pages; NULL until first needed */
} rt_step_room;

struct p4c_model {
    const p4c_api *api; /* first: p4c_api_of() */
    rt_alloc mem;
    atomic_uint refs; /* the handle, sessions, streams */
    rt_tables tables;
    const rt_variant *variant;
    rt_kv *kv;
    rt_executor *exec;
    rt_language language;
    atomic_uint n_cancels; /* wishes so far: sessions need not be asked while it stands still */
    rt_counters *counters;

    pthread_mutex_t eval_lock; /* one evaluation at a time; guards all below */
    rt_step_room room;
    uint64_t eval_serial;
    p4c_watch_fn *watch;
    void *watch_context;
};

/* Opens a model from tables anywhere; `api` is the table its objects point to.  params as p4c_open.
 */
p4c_status rt_model_open(const rt_model_source *source, const p4c_api *api,
                         const p4c_open_params *params, p4c_model **out, p4c_error *error);
void rt_model_hold(p4c_model *m);
void rt_model_drop(p4c_model *m); /* frees it with the last reference */

p4c_status rt_model_info(const p4c_model *m, p4c_info *info, p4c_error *error);
p4c_status rt_model_section(const p4c_model *m, const char *name, const void **data,
                            size_t *n_bytes, p4c_error *error);
p4c_status rt_model_stats(const p4c_model *m, p4c_stats *stats, p4c_error *error);
uint32_t rt_model_thread_units(const p4c_model *m, uint64_t *units, uint32_t n);
p4c_status rt_model_set_watch(p4c_model *m, p4c_watch_fn *watch, void *context, p4c_error *error);

/* KV blocks that n positions take. */
static inline uint64_t rt_kv_blocks_for(uint64_t n_positions) {
    return (n_positions + RT_KV_BLOCK_TOK - 1) / RT_KV_BLOCK_TOK;
}

#endif
