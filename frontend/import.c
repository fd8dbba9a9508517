/* import.c - plain tensors, and which way a matrix is stored. */
#include "frontend/import.h"

#include "base/seedgen.h"
#include "base/str.h"

static const fe_tensor *find(const fe_importer *im, const char *module, fe_part part) {
    return fe_find_tensor(im->shards, fe_part_name(module, part, im->mem));
}

static void add_shape(text *t, int rank, const int64_t *dim) {
    text_putc(t, '[');
    for (int i = 0; i < rank; i++) text_printf(t, "%s%lld", i ? ", " : "", (long long)dim[i]);
    text_putc(t, ']');
}

const fe_tensor *fe_take_tensor(fe_importer *im, const char *name, const char *missing, int rank,
                                const int64_t *dim) {
    fe_tensor *t = fe_find_tensor(im->shards, name);
    if (!t) {
        diag_error(im->d, DIAG_TENSOR_MISSING, (diag_loc){.file = im->shards->path, .tensor = name},
                   "it is missing%s%s", missing ? ": " : "", missing ? missing : "");
        return NULL;
    }
    bool same = t->st->rank == rank;
    for (int i = 0; same && i < rank; i++) same = t->st->dim[i] == dim[i];
    if (!same) {
        text found = {.mem = im->mem}, want = {.mem = im->mem};
        add_shape(&found, t->st->rank, t->st->dim);
        add_shape(&want, rank, dim);
        diag_error(im->d, DIAG_TENSOR_SHAPE, (diag_loc){.file = t->path, .tensor = name},
                   "its shape does not fit config.json (found %s, expected %s)", found.buf.at,
                   want.buf.at);
        return NULL;
    }
    t->used = true;
    return t;
}

bool fe_wrong_dtype(const fe_importer *im, const fe_tensor *t, const char *want) {
    return diag_error(im->d, DIAG_TENSOR_DTYPE, (diag_loc){.file = t->path, .tensor = t->st->name},
                      "its dtype does not fit (found %s, expected %s)", t->st->dtype_name, want);
}

/* The model has no biases; some tools store zeros. */
static bool check_bias(fe_importer *im, const char *module) {
    fe_tensor *t = fe_find_tensor(im->shards, fe_part_name(module, PART_bias, im->mem));
    if (!t) return true;
    t->used = true;
    if (t->st->dtype == DT_COUNT || !ir_is_float(t->st->dtype))
        return fe_wrong_dtype(im, t, "floating point");
    const uint8_t *p = fe_tensor_bytes(im->shards, t);
    const uint64_t size = (uint64_t)ir_dtype_info[t->st->dtype].bits / 8;
    for (uint64_t i = 0; i < t->range.bytes; i++)
        if (p[i] & (i % size == size - 1 ? 0x7f : 0xff)) /* the sign of a zero does not matter */
            return diag_error(im->d, DIAG_TENSOR_VALUE,
                              (diag_loc){.file = t->path, .tensor = t->st->name},
                              "a bias that is not zero is not supported");
    return true;
}

static ir_op *make_up(fe_importer *im, const char *name, ir_type type) {
    const ir_source source = {.kind = SOURCE_seed,
                              .seed = seedgen_hash(im->seed, SEEDGEN_VALUES, im->n_made++)};
    return ir_add_weight(im->g, name, type, source);
}

static ir_op *import_plain(fe_importer *im, const char *module, const char *missing, int rank,
                           const int64_t *dim) {
    const char *name = fe_part_name(module, PART_weight, im->mem);
    if (!im->shards) return make_up(im, name, ir_type_of(im->made_dtype, rank, dim));
    const fe_tensor *t = fe_take_tensor(im, name, missing, rank, dim);
    if (!t || !check_bias(im, module)) return NULL;
    if (t->st->dtype == DT_COUNT || !ir_is_float(t->st->dtype))
        return fe_wrong_dtype(im, t, "F32, F16, BF16 or F64"), NULL;
    const ir_source source = {.kind = SOURCE_file, .file = im->file, .data = t->range};
    return ir_add_weight(im->g, name, ir_type_of(t->st->dtype, rank, dim), source);
}

ir_op *fe_import_vector(fe_importer *im, fe_role role, int64_t layer, int64_t n) {
    return import_plain(im, fe_module_name(role, layer, im->mem), NULL, 1, &n);
}

bool fe_has_matrix(const fe_importer *im, fe_role role, int64_t layer) {
    if (!im->shards) return true;
    const char *module = fe_module_name(role, layer, im->mem);
    return find(im, module, PART_weight) || find(im, module, PART_qweight);
}

/* The layers' matrices are packed unless the configuration leaves them out; embedding and head
 * where they are. */
static bool is_packed(const fe_importer *im, fe_role role, const char *module) {
    if (!im->quant->packed) return false;
    const bool of_layer = role != ROLE_embed && role != ROLE_head;
    if (!im->shards) return of_layer;
    if (find(im, module, PART_qweight)) return true;
    return of_layer && !(find(im, module, PART_weight) && fe_quant_leaves_plain(im->quant, module));
}

ir_op *fe_import_matrix(fe_importer *im, fe_role role, int64_t layer, int64_t n, int64_t k) {
    const char *module = fe_module_name(role, layer, im->mem);
    if (!is_packed(im, role, module)) {
        const bool packed = im->shards && find(im, module, PART_qweight);
        return import_plain(im, module,
                            packed ? "the file has it packed, but no quantization_config says how"
                                   : NULL,
                            2, (int64_t[]){n, k});
    }
    ir_op *w;
    if (im->shards) {
        w = check_bias(im, module) ? fe_import_gptq(im, module, n, k) : NULL;
    } else {
        ir_type type = IR_TYPE(DT_i4, n, k);
        type.group = im->quant->group;
        w = make_up(im, fe_part_name(module, PART_qweight, im->mem), type);
    }
    return ir_add(im->g, OP_dequant, 1, &w, 0, NULL);
}

void fe_warn_unused(const fe_importer *im) {
    if (!im->shards) return;
    const fe_tensor *first = NULL;
    size_t n = 0;
    for (size_t i = 0; i < im->shards->n_tensors; i++) {
        const fe_tensor *t = &im->shards->tensor[i];
        /* a table that old checkpoints carry; it is computed anew */
        if (t->used || str_ends(str_of(t->st->name), ".rotary_emb.inv_freq")) continue;
        if (!n++) first = t;
    }
    if (n)
        diag_warn(im->d, DIAG_TENSOR_UNUSED,
                  (diag_loc){.file = first->path, .tensor = first->st->name},
                  n == 1 ? "it is not part of the model and not used"
                         : "it and %zu other tensors are not part of the model and not used",
                  n - 1);
}
