/* template_compile.c - finding a checkpoint's chat template; the stages of compiling it; the
 * table's bytes. */
#include "frontend/template_compile.h"

#include <assert.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "frontend/template_compile_emit.h"

bool tc_fail(const tc_ctx *c, diag_code code, uint32_t line, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    const char *what = arena_vprintf(c->mem, fmt, ap);
    va_end(ap);
    return diag_error(c->d, code, (diag_loc){.file = c->file, .line = line}, "%s", what);
}

/* ---- the table ---- */

static void append(uint8_t **at, const void *p, size_t n) {
    if (n) memcpy(*at, p, n);
    *at += n;
}

static void write_table(tc_table *t, const fe_template_source *source, fe_blob *out) {
    arena *mem = t->c->mem;
    vec(rt_tpl_var) vars = {0};
    for (size_t i = 0; i < source->n_vars; i++) {
        const rt_tpl_var v = {tc_const_text(t, source->vars[i].name),
                              tc_const_text(t, source->vars[i].value)};
        vec_push(mem, &vars, v);
    }
    rt_tpl_header h = {.version = RT_TPL_VERSION};
    memcpy(h.magic, RT_TPL_MAGIC, sizeof h.magic);
    uint64_t n_ins = 0;
    for (size_t i = 0; i < t->fns.n; i++) n_ins += t->fns.at[i]->code.n;
    const uint64_t n = sizeof h + t->consts.n * sizeof *t->consts.at +
                       t->fns.n * sizeof(rt_tpl_fn) + n_ins * sizeof(rt_tpl_ins) +
                       vars.n * sizeof *vars.at + t->texts.buf.n;
    assert(n <= INT32_MAX); /* 64 KiB of template make a few MB */
    h.n_bytes = (uint32_t)n;
    h.n_consts = (uint32_t)t->consts.n;
    h.n_fns = (uint32_t)t->fns.n;
    h.n_ins = (uint32_t)n_ins;
    h.n_vars = (uint32_t)vars.n;
    h.n_text = (uint32_t)t->texts.buf.n;
    uint8_t *bytes = arena_get(mem, n, 8), *at = bytes;
    append(&at, &h, sizeof h);
    append(&at, t->consts.at, t->consts.n * sizeof *t->consts.at);
    uint32_t first = 0;
    for (size_t i = 0; i < t->fns.n; i++) {
        rt_tpl_fn row = t->fns.at[i]->row;
        row.first_ins = first;
        row.n_ins = (uint32_t)t->fns.at[i]->code.n;
        first += row.n_ins;
        append(&at, &row, sizeof row);
    }
    for (size_t i = 0; i < t->fns.n; i++)
        append(&at, t->fns.at[i]->code.at, t->fns.at[i]->code.n * sizeof(rt_tpl_ins));
    append(&at, vars.at, vars.n * sizeof *vars.at);
    append(&at, t->texts.buf.at, t->texts.buf.n);
    *out = (fe_blob){bytes, n};
}

/* Well-formed UTF-8, by table 3-7 of the Unicode standard. */
static size_t first_bad_byte(str s) {
    for (size_t i = 0; i < s.n;) {
        const uint8_t b = (uint8_t)s.at[i];
        const size_t n = b < 0x80   ? 1
                         : b < 0xc2 ? 0
                         : b < 0xe0 ? 2
                         : b < 0xf0 ? 3
                         : b < 0xf5 ? 4
                                    : 0;
        if (!n || n > s.n - i) return i;
        for (size_t k = 1; k < n; k++) {
            const uint8_t c = (uint8_t)s.at[i + k];
            const uint8_t lo = k > 1 ? 0x80 : b == 0xe0 ? 0xa0 : b == 0xf0 ? 0x90 : 0x80;
            const uint8_t hi = k > 1 ? 0xbf : b == 0xed ? 0x9f : b == 0xf4 ? 0x8f : 0xbf;
            if (c < lo || c > hi) return i;
        }
        i += n;
    }
    return s.n;
}

bool fe_compile_template_source(const fe_template_source *source, arena *mem, diag *d,
                                fe_blob *out) {
    const tc_ctx c = {.mem = mem, .d = d, .file = source->file};
    if (source->text.n > RT_TPL_MAX_SOURCE)
        return tc_fail(&c, DIAG_TEMPLATE_LIMIT, 0,
                       "the chat template has %zu bytes (at most %d are allowed)", source->text.n,
                       RT_TPL_MAX_SOURCE);
    const size_t bad = first_bad_byte(source->text);
    if (bad < source->text.n) {
        uint32_t line = 1;
        for (size_t i = 0; i < bad; i++) line += source->text.at[i] == '\n';
        return tc_fail(&c, DIAG_TEMPLATE_SYNTAX, line, "the chat template is not UTF-8");
    }
    tc_tokens tokens = {0};
    tc_node *body;
    tc_table t = {.c = &c, .const_index = {.mem = mem}, .texts = {.mem = mem}};
    if (!tc_lex(&c, source->text, &tokens) || !tc_parse(&c, &tokens, &body) || !tc_emit(&t, body))
        return false;
    write_table(&t, source, out);
    return true;
}

bool fe_compile_template(str source, const char *file, arena *mem, diag *d, fe_blob *out) {
    return fe_compile_template_source(&(fe_template_source){.text = source, .file = file}, mem, d,
                                      out);
}

/* ---- finding it ---- */

typedef vec(fe_template_var) var_list;

/* A token is a text, or an object with the text under `content`. */
static const char *token_text(const cJSON *v) {
    if (cJSON_IsObject(v)) v = json_member(v, "content");
    return cJSON_IsString(v) ? v->valuestring : NULL;
}

static void add_tokens(const cJSON *root, arena *mem, var_list *vars) {
    static const char *const NAMES[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                        "pad_token", "cls_token", "mask_token"};
    for (size_t i = 0; i < COUNT_OF(NAMES); i++) {
        const char *value = token_text(json_member(root, NAMES[i]));
        bool there = false;
        for (size_t k = 0; k < vars->n; k++) there |= str_is(vars->at[k].name, NAMES[i]);
        if (!value || there) continue;
        const fe_template_var v = {str_of(NAMES[i]), str_of(arena_strdup(mem, value))};
        vec_push(mem, vars, v);
    }
}

/* The template called "default" in a list of {name, template}. */
static const char *named_default(const cJSON *list, const char *file, diag *d) {
    const cJSON *item;
    cJSON_ArrayForEach(item, list) {
        const cJSON *name = json_member(item, "name"), *template = json_member(item, "template");
        if (cJSON_IsString(name) && cJSON_IsString(template) &&
            !strcmp(name->valuestring, "default"))
            return template->valuestring;
    }
    diag_warn(d, DIAG_TEMPLATE_NO_DEFAULT, (diag_loc){.file = file},
              "chat_template has %d templates, but none is called 'default'; none is used",
              cJSON_GetArraySize(list));
    return NULL;
}

static bool read_json(const char *dir, const char *name, arena *mem, diag *d, json *out,
                      const char **file) {
    enum { MAX_BYTES = 64 << 20 };
    str source;
    *file = path_join(mem, dir, name);
    *out = (json){0};
    if (!file_exists(*file)) return true;
    return file_read(*file, MAX_BYTES, mem, d, &source) && json_parse(source, *file, mem, d, out);
}

static bool from_config(const cJSON *root, const char *file, arena *mem, diag *d,
                        fe_template_source *out) {
    const cJSON *v = json_member(root, "chat_template");
    const char *found = NULL;
    if (cJSON_IsArray(v)) found = named_default(v, file, d);
    else if (cJSON_IsString(v)) found = v->valuestring;
    else if (v)
        return diag_error(d, DIAG_JSON_TYPE, (diag_loc){.file = file},
                          "chat_template is neither a text nor a list of templates");
    if (found) /* lines in messages are the template's own */
        *out = (fe_template_source){.text = str_of(arena_strdup(mem, found)),
                                    .file = arena_printf(mem, "%s (chat_template)", file)};
    return true;
}

bool fe_find_template(const char *dir, arena *mem, diag *d, fe_template_source *out) {
    const char *config_file, *map_file, *own = path_join(mem, dir, "chat_template.jinja");
    json config, special;
    *out = (fe_template_source){0};
    if (!read_json(dir, "tokenizer_config.json", mem, d, &config, &config_file)) return false;
    if (!read_json(dir, "special_tokens_map.json", mem, d, &special, &map_file)) {
        json_free(&config);
        return false;
    }
    bool ok = true;
    if (file_exists(own)) {
        ok = file_read(own, RT_TPL_MAX_SOURCE, mem, d, &out->text);
        out->file = own;
    } else if (config.root) {
        ok = from_config(config.root, config_file, mem, d, out);
    }
    var_list vars = {0};
    if (config.root) add_tokens(config.root, mem, &vars);
    if (special.root) add_tokens(special.root, mem, &vars);
    out->vars = vars.at;
    out->n_vars = vars.n;
    json_free(&config);
    json_free(&special);
    return ok;
}
