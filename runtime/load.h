/* load.h - the artifact's tables, checked before anything else reads them.
 *
 * Nothing in the data segment is trusted: bounds, counts, enumerations and cross references are
 * checked, and the checksums of all sections that are read at load (all but the weights, the IR and
 * the ELF part, which `inspect --check` reads).  What is left to trust is the machine code itself.
 */
#ifndef P4C_RUNTIME_LOAD_H
#define P4C_RUNTIME_LOAD_H

#include <stdint.h>

#include "runtime/abi.h"
#include "runtime/p4c.h"

/* rt_model_source.n_bytes of a segment that the dynamic loader has mapped: it ends where its
 * section "end" says. */
#define RT_MAPPED UINT64_MAX

/* Where a model comes from: the artifact this code is part of, or tables made by hand. */
typedef struct rt_model_source {
    const rt_image *image;
    const uint8_t *data; /* rt_header; aligned to RT_SECTION_ALIGN; outlives the model */
    uint64_t n_bytes;    /* of data that may be read, or RT_MAPPED */
} rt_model_source;

typedef struct rt_span {
    const uint8_t *at;
    uint64_t n_bytes; /* 0: there is no such section, or it is empty */
} rt_span;

typedef struct rt_tables {
    const rt_header *header;
    const rt_meta *meta;
    const rt_plan *plan;
    const rt_launch *launch; /* [plan->n_launches] */
    const uint8_t *weights;  /* NULL: to be made up as `dummy` says */
    uint64_t weights_bytes;
    const rt_dummy *dummy; /* [n_dummy] */
    uint64_t n_dummy;
    rt_span tokenizer, chat_template;
} rt_tables;

/* ERR_BAD_ARTIFACT. */
p4c_status rt_load_tables(const rt_model_source *source, rt_tables *out, p4c_error *error);
/* Of a checked header, by name; all zero where there is none or it is empty. */
rt_span rt_find_span(const rt_header *header, const char *name);

/* The last variant whose needs are among `bits` (cpu_features()), or the one called `name` (not
 * NULL).  ERR_NO_CPU; ERR_ARGUMENT: no such name; ERR_BAD_ARTIFACT: the image is not one of this
 * ABI. */
p4c_status rt_pick_variant(const rt_image *image, uint64_t bits, const char *name,
                           const rt_variant **out, p4c_error *error);
/* The kernels that the plan names are there and have a size.  ERR_BAD_ARTIFACT. */
p4c_status rt_check_kernels(const rt_variant *variant, const rt_tables *tables, p4c_error *error);

#endif
