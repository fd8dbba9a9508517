/* safetensors.h - one .safetensors file: header read and checked, tensors as ranges of the file.
 *
 * Format: 8 bytes N (little endian), N bytes of JSON, data.  Rules enforced (those of the reference
 * reader, safetensors/src/tensor.rs, and of its README): N <= 100,000,000 and inside the file; the
 * header is a JSON object from the first byte, padded with blanks at most; no key twice;
 * __metadata__ maps strings to strings; every tensor has a dtype, a shape and offsets whose
 * difference is the product of the shape times the element size, all in 64 bits; in order of their
 * offsets the tensors cover the data without holes or overlaps, to the last byte of the file.
 */
#ifndef P4C_FRONTEND_SAFETENSORS_H
#define P4C_FRONTEND_SAFETENSORS_H

#include "base/arena.h"
#include "base/diag.h"
#include "base/str.h"
#include "base/util.h"
#include "ir/ir.h"

enum { ST_MAX_RANK = 8, ST_MAX_HEADER_BYTES = 100000000 };

typedef struct st_tensor {
    const char *name;       /* ends in NUL and holds no other */
    const char *dtype_name; /* as in the file */
    ir_dtype dtype;         /* DT_COUNT: of the format, but not of ours */
    int rank;
    int64_t dim[ST_MAX_RANK]; /* >= 0 */
    ir_range range;           /* of the file, not of the data */
} st_tensor;

typedef struct st_file {
    st_tensor *tensor; /* in order of their offsets; names end in NUL */
    size_t n_tensors;
} st_file;

/* Reads the header of the n_bytes at `at`; path is for messages.  Names live in mem. */
P4C_CHECKED bool st_read(const uint8_t *at, uint64_t n_bytes, const char *path, arena *mem, diag *d,
                         st_file *out);

#endif
