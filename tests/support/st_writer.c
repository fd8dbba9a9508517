/* st_writer.c - builds safetensors files in memory. */
#include "tests/support/st_writer.h"

#include <stdio.h>
#include <stdlib.h>

st_writer st_writer_new(arena *mem) { return (st_writer){mem, {.mem = mem}, {.mem = mem}}; }

void st_writer_add(st_writer *w, const char *name, const char *dtype, int rank, const int64_t *dim,
                   const void *p, size_t n_bytes) {
    text_printf(&w->header, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[", w->header.buf.n ? "," : "{",
                name, dtype);
    for (int i = 0; i < rank; i++)
        text_printf(&w->header, "%s%lld", i ? "," : "", (long long)dim[i]);
    text_printf(&w->header, "],\"data_offsets\":[%zu,%zu]}", w->data.buf.n,
                w->data.buf.n + n_bytes);
    text_add(&w->data, (str){p, n_bytes});
}

static void add_length(text *t, uint64_t n) {
    for (int i = 0; i < 8; i++) text_putc(t, (char)(n >> 8 * i));
}

str st_writer_done(st_writer *w) {
    text out = {.mem = w->mem};
    text_cat(&w->header, w->header.buf.n ? "}" : "{}");
    add_length(&out, w->header.buf.n);
    text_add(&out, text_str(&w->header));
    text_add(&out, text_str(&w->data));
    return text_str(&out);
}

str st_file_of(arena *mem, const char *header, size_t n_data) {
    text out = {.mem = mem};
    add_length(&out, strlen(header));
    text_cat(&out, header);
    for (size_t i = 0; i < n_data; i++) text_putc(&out, (char)i);
    return text_str(&out);
}

void put_file(const char *path, str content) {
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(content.at, 1, content.n, f) != content.n || fclose(f) != 0) {
        perror(path);
        abort();
    }
}
