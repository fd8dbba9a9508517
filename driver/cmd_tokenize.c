/* cmd_tokenize.c - `p4c tokenize`: text to ids and back, with the tokenizer of an artifact (read as
 * data) or of a checkpoint's folder, which may hold nothing else. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "app/run.h"
#include "driver/driver.h"
#include "driver/language.h"
#include "driver/read_artifact.h"
#include "frontend/template_compile.h"
#include "frontend/tokenizer_import.h"

static bool is_dir(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool open_dir(const char *path, bool wants_chat, arena *mem, diag *d, language *out) {
    fe_blob tokenizer, chat = {0};
    if (!fe_import_tokenizer(path, 0, mem, d, &tokenizer)) return false;
    fe_template_source source = {0};
    if (wants_chat && !fe_find_template(path, mem, d, &source)) return false;
    if (source.text.at && !fe_compile_template_source(&source, mem, d, &chat)) return false;
    return language_open((str){(const char *)tokenizer.at, tokenizer.n},
                         (str){(const char *)chat.at, chat.n}, path, DIAG_NO_TOKENIZER, d, out);
}

static bool open_sections(const char *path, arena *mem, diag *d, language *out) {
    rt_file *f;
    if (!read_artifact(path, mem, d, &f)) return false;
    str tokenizer, chat;
    const bool ok = read_section(f, path, "tokenizer", mem, d, &tokenizer) &&
                    read_section(f, path, "template", mem, d, &chat);
    close_artifact(f);
    return ok && language_open(tokenizer, chat, path, DIAG_ARTIFACT_OPEN, d, out);
}

static bool print_result(const options *o, const rt_ids *ids, const text *shown, arena *mem,
                         diag *d) {
    text t = {.mem = mem};
    if (o->json.v) {
        text_cat(&t, "{\"ids\":[");
        for (size_t i = 0; i < ids->n; i++) text_printf(&t, "%s%d", i ? "," : "", ids->at[i]);
        text_cat(&t, "],\"text\":");
        app_json_string(&t, text_str(shown));
        text_cat(&t, "}\n");
    } else if (o->decode.given) {
        text_add(&t, text_str(shown));
        text_putc(&t, '\n');
    } else {
        for (size_t i = 0; i < ids->n; i++) text_printf(&t, "%s%d", i ? "," : "", ids->at[i]);
        text_putc(&t, '\n');
    }
    return app_print(&t, d);
}

static bool decode_ids(const options *o, const language *l, arena *mem, diag *d, rt_ids *ids,
                       text *shown) {
    int32_t *list = arena_array(mem, int32_t, o->decode.n);
    for (int i = 0; i < o->decode.n; i++) {
        list[i] = (int32_t)o->decode.v[i];
        if (!rt_ids_add(&language_alloc, ids, list[i]))
            return diag_error(d, DIAG_RUN_NO_MEMORY, (diag_loc){0}, "out of memory");
        if (!rt_token_flags(&l->tokenizer, list[i]))
            return diag_error(d, DIAG_RUN_BAD_INPUT, (diag_loc){.file = l->path},
                              "there is no token %d", list[i]);
    }
    return language_decode(l, list, (size_t)o->decode.n, false, d, shown);
}

static bool encode_text(const options *o, const language *l, arena *mem, diag *d, rt_ids *ids,
                        text *shown) {
    str s;
    const bool dash = o->n_operands > 1;
    if (dash && strcmp(o->operand[1], "-") != 0) return options_unexpected(o, o->operand[1], d);
    if (o->prompt.given) s = str_of(o->prompt.v);
    else if (!app_read_text(o->file.given ? o->file.v : "-", mem, d, &s)) return false;
    text_add(shown, s);
    return language_encode(l, s, true, d, ids);
}

static bool tokenize(const options *o, arena *mem, diag *d, rt_ids *ids) {
    language l;
    const char *path = o->operand[0];
    if (is_dir(path) ? !open_dir(path, o->chat_file.given, mem, d, &l)
                     : !open_sections(path, mem, d, &l))
        return false;
    text shown = {.mem = mem};
    text_cat(&shown, "");
    bool ok;
    if (o->decode.given) {
        ok = decode_ids(o, &l, mem, d, ids, &shown);
    } else if (o->chat_file.given) {
        str json;
        ok = app_read_text(o->chat_file.v, mem, d, &json) &&
             language_encode_chat(&l, json, o->chat_file.v, d, &shown, ids);
    } else {
        ok = encode_text(o, &l, mem, d, ids, &shown);
    }
    return ok && print_result(o, ids, &shown, mem, d);
}

int cmd_tokenize(const options *o, arena *mem, diag *d) {
    rt_ids ids = {0};
    const bool ok = tokenize(o, mem, d, &ids);
    free(ids.at);
    return ok ? EXIT_DONE : EXIT_BUG;
}
