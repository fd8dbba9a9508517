/* language.h - tokenizer and chat template tables as commands use them, without a model: from an
 * artifact's sections or fresh from a checkpoint's files. */
#ifndef P4C_DRIVER_LANGUAGE_H
#define P4C_DRIVER_LANGUAGE_H

#include "base/diag.h"
#include "base/str.h"
#include "base/util.h"
#include "runtime/template.h"
#include "runtime/tokenizer.h"

typedef struct language {
    const char *path; /* for messages */
    rt_tokenizer tokenizer;
    rt_template chat;
    bool has_template;
} language;

/* malloc and free, as the runtime's hooks. */
extern const rt_alloc language_alloc;

/* The tables must outlive *out; chat_template.n 0: there is none.  False: reported with `damaged`.
 */
P4C_CHECKED bool language_open(str tokenizer, str chat_template, const char *path,
                               diag_code damaged, diag *d, language *out);
/* Appends ids; *ids is released with free(ids->at). */
P4C_CHECKED bool language_encode(const language *l, str s, bool parse_special, diag *d,
                                 rt_ids *ids);
/* Renders a chat (JSON as p4c_render_chat takes it) and encodes it.  rendered may be NULL. */
P4C_CHECKED bool language_encode_chat(const language *l, str chat, const char *chat_path, diag *d,
                                      text *rendered, rt_ids *ids);
P4C_CHECKED bool language_decode(const language *l, const int32_t *ids, size_t n, bool skip_special,
                                 diag *d, text *out);

/* The added token that follows an assistant's answer when the template renders a chat: the end of
 * its turn. False: none does, or the template refuses such a chat. */
bool language_end_of_turn(const language *l, int32_t *id);

#endif
