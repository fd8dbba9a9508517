/* text.h - the text side of a model: tokenizer, chat template, streams. */
#ifndef P4C_RUNTIME_TEXT_H
#define P4C_RUNTIME_TEXT_H

#include <stdbool.h>

#include "runtime/alloc.h"
#include "runtime/load.h"
#include "runtime/p4c.h"
#include "runtime/template.h"
#include "runtime/tokenizer.h"

typedef struct rt_language {
    bool has_tokenizer, has_template;
    rt_tokenizer tokenizer;
    rt_template chat;
} rt_language;

/* ERR_BAD_ARTIFACT.  A model without tokenizer or template opens too. */
p4c_status rt_language_open(const rt_tables *tables, rt_language *out, p4c_error *error);

p4c_status rt_model_tokenize(const p4c_model *m, const char *text, size_t n_bytes, unsigned flags,
                             int32_t **ids, size_t *n_ids, p4c_error *error);
p4c_status rt_model_detokenize(const p4c_model *m, const int32_t *ids, size_t n_ids, unsigned flags,
                               char **text, size_t *n_bytes, p4c_error *error);
p4c_status rt_model_render_chat(const p4c_model *m, const char *json, size_t n_bytes,
                                p4c_chat *chat, p4c_error *error);
void rt_model_free(const p4c_model *m, void *p);

p4c_status rt_stream_open(const p4c_model *m, unsigned flags, p4c_stream **out, p4c_error *error);
p4c_status rt_stream_add(p4c_stream *s, int32_t id, const char **text, size_t *n_bytes,
                         p4c_error *error);
p4c_status rt_stream_end(p4c_stream *s, const char **text, size_t *n_bytes, p4c_error *error);
void rt_stream_close(p4c_stream *s);

#endif
