/* shards.h - all tensors of a checkpoint: one model.safetensors, or the shards that
 * model.safetensors.index.json names.
 *
 * An index names plain files beside it; the tensors that it places in a shard are exactly those
 * that the shard has.  As transformers does, model.safetensors goes before an index.  Pickles are
 * refused with advice, never read.
 *
 * All files are mapped in one range of addresses, so that the parts of a packed matrix, which may
 * stand in different shards, are ranges of one source.
 */
#ifndef P4C_FRONTEND_SHARDS_H
#define P4C_FRONTEND_SHARDS_H

#include "base/file.h"
#include "base/map.h"
#include "frontend/safetensors.h"

typedef struct fe_tensor {
    const st_tensor *st;
    const char *path; /* of its file */
    ir_range range;   /* of the mapped set */
    bool used;
} fe_tensor;

typedef struct fe_shards {
    mapped_set set;
    const char *path;  /* model.safetensors or the index */
    fe_tensor *tensor; /* in order of files and offsets */
    size_t n_tensors;
    map by_name;
} fe_shards;

/* NULL: reported, and nothing is left open. */
fe_shards *fe_open_shards(const char *dir, arena *mem, diag *d);
/* The same with the text of an index at hand; index_path is for messages. */
fe_shards *fe_open_indexed(const char *dir, const char *index_path, str index, arena *mem, diag *d);
void fe_close_shards(fe_shards *s); /* NULL is allowed */

fe_tensor *fe_find_tensor(const fe_shards *s, const char *name); /* NULL: not there */
static inline const uint8_t *fe_tensor_bytes(const fe_shards *s, const fe_tensor *t) {
    return s->set.at + t->range.offset;
}

#endif
