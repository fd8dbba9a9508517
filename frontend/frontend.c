/* frontend.c - fe_load: configuration, files, graph. */
#include "frontend/frontend.h"

#include "frontend/build_phi3.h"
#include "frontend/config.h"

/* How long sequences may be. */
static bool choose_capacity(const char *dir, const model_config *c, int64_t wanted, arena *mem,
                            diag *d, int64_t *out) {
    const char *file = path_join(mem, dir, "config.json");
    *out = wanted ? wanted : c->max_position_embeddings;
    if (*out < 1 || *out > c->max_position_embeddings)
        return diag_error(d, DIAG_CAPACITY, (diag_loc){.file = file},
                          "sequences of %lld tokens (the model takes 1 to %lld)", (long long)*out,
                          (long long)c->max_position_embeddings);
    if (c->sliding_window && c->sliding_window < *out)
        return diag_error(d, DIAG_WINDOW, (diag_loc){.file = file},
                          "'sliding_window' is not supported (found %lld, expected none, or at "
                          "least the %lld tokens of a sequence)",
                          (long long)c->sliding_window, (long long)*out);
    return true;
}

static bool build(fe_importer *im, const char *dir, fe_model *m) {
    m->graph = im->g = ir_new(im->mem, im->d, dir);
    if (im->shards) {
        const mapped_set *set = &im->shards->set;
        im->file = ir_add_file(im->g, im->shards->path, set->at, set->n_bytes);
        if (im->file < 0) return false;
    }
    if (!fe_build_phi3(im, &m->config, m->capacity)) return false;
    fe_warn_unused(im);
    return true;
}

bool fe_load(const char *dir, const fe_options *options, arena *mem, diag *d, fe_model *out) {
    fe_model m = {0};
    quant_config quant;
    *out = m;
    if (!fe_read_configs(dir, mem, d, &m.config, &quant) ||
        !choose_capacity(dir, &m.config, options->capacity, mem, d, &m.capacity))
        return false;
    if (!options->dummy && !(m.shards = fe_open_shards(dir, mem, d))) return false;
    fe_importer im = {.shards = m.shards,
                      .quant = &quant,
                      .made_dtype = m.config.dtype == DT_COUNT ? DT_bf16 : m.config.dtype,
                      .seed = options->seed,
                      .mem = mem,
                      .d = d};
    if (!build(&im, dir, &m)) {
        fe_close_shards(m.shards);
        return false;
    }
    *out = m;
    return true;
}

void fe_close(fe_model *m) {
    fe_close_shards(m->shards);
    *m = (fe_model){0};
}
