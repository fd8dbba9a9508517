/* st_writer.h - writes small .safetensors files for tests. */
#ifndef P4C_TESTS_ST_WRITER_H
#define P4C_TESTS_ST_WRITER_H

#include "base/arena.h"
#include "base/str.h"

typedef struct st_writer {
    arena *mem;
    text header, data;
} st_writer;

st_writer st_writer_new(arena *mem);
/* A tensor of element type `dtype` ("F32"); n_bytes at p. */
void st_writer_add(st_writer *w, const char *name, const char *dtype, int rank, const int64_t *dim,
                   const void *p, size_t n_bytes);
/* The whole file. */
str st_writer_done(st_writer *w);
/* Header text and data as a file: for headers that are wrong on purpose. */
str st_file_of(arena *mem, const char *header, size_t n_data);

void put_file(const char *path, str content); /* aborts where it cannot */

#endif
