/* import.h - tensors of a checkpoint -> constants of a graph, each checked against the shape that
 * config.json calls for.
 *
 * A matrix is an OP_weight where it is stored plain, or OP_dequant of a packed OP_weight.  Nothing
 * is copied: sources are ranges of the mapped files.
 */
#ifndef P4C_FRONTEND_IMPORT_H
#define P4C_FRONTEND_IMPORT_H

#include "frontend/names.h"
#include "frontend/quant.h"
#include "frontend/shards.h"
#include "ir/ir.h"

typedef struct fe_importer {
    fe_shards *shards; /* NULL: weights are made up */
    const quant_config *quant;
    ir_graph *g;
    int file; /* of g: the mapped set */
    /* made-up weights: element type of plain ones, seed, and how many there are so far */
    ir_dtype made_dtype;
    uint64_t seed;
    uint32_t n_made;
    arena *mem;
    diag *d;
} fe_importer;

/* Whether the checkpoint has this matrix, plain or packed; true where weights are made up. */
bool fe_has_matrix(const fe_importer *im, fe_role role, int64_t layer);
/* [n, k] as matmul takes it; NULL: reported. */
ir_op *fe_import_matrix(fe_importer *im, fe_role role, int64_t layer, int64_t n, int64_t k);
/* [n]; NULL: reported. */
ir_op *fe_import_vector(fe_importer *im, fe_role role, int64_t layer, int64_t n);
/* One warning for tensors that no call has taken. */
void fe_warn_unused(const fe_importer *im);

/* import_gptq.c: the packed weight [n, k] itself; NULL: reported. */
ir_op *fe_import_gptq(fe_importer *im, const char *module, int64_t n, int64_t k);

/* Helpers of the schemes.  Takes tensor `name`, checks its shape and marks it used; NULL: reported.
 * `missing` says more where it is not there, or is NULL. */
const fe_tensor *fe_take_tensor(fe_importer *im, const char *name, const char *missing, int rank,
                                const int64_t *dim);
bool fe_wrong_dtype(const fe_importer *im, const fe_tensor *t, const char *want);

#endif
