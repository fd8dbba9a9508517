/* test_template_golden.c - chat templates against transformers: 87 renders of 30 templates, and
 * every line of chat.jsonl: its text, and for the tokenizers at hand its ids, with no special token
 * out of a message. */
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "frontend/template_compile.h"
#include "runtime/template.h"
#include "tests/support/tokenizer_fixture.h"
#include "tests/unit/unit.h"

typedef struct templates {
    arena *mem;
    diag d;
    counted_alloc count;
    rt_alloc alloc;
} templates;

static void open_templates(templates *t) {
    *t = (templates){.mem = arena_open()};
    t->d.mem = t->mem;
    t->alloc = counted_hooks(&t->count);
}

static void close_templates(templates *t) {
    CU_ASSERT_EQUAL(t->count.live, 0);
    diag_print(&t->d, stderr);
    arena_close(t->mem);
}

static const cJSON *member(const cJSON *o, const char *key) {
    return cJSON_GetObjectItemCaseSensitive(o, key);
}

/* What the renderer takes, out of a line of the reference; release with cJSON_free. */
static char *request(const cJSON *line) {
    cJSON *o = cJSON_CreateObject();
    for (const cJSON *token = member(line, "tokens") ? member(line, "tokens")->child : NULL; token;
         token = token->next)
        cJSON_AddItemToObject(o, token->string, cJSON_Duplicate(token, 1));
    static const char *const KEYS[] = {"messages", "tools", "add_generation_prompt"};
    for (size_t i = 0; i < COUNT_OF(KEYS); i++)
        if (member(line, KEYS[i]) && !cJSON_IsNull(member(line, KEYS[i])))
            cJSON_AddItemToObject(o, KEYS[i], cJSON_Duplicate(member(line, KEYS[i]), 1));
    char *chat = cJSON_PrintUnformatted(o);
    cJSON_Delete(o);
    return chat;
}

static p4c_status render(templates *t, const fe_blob *blob, const char *chat, rt_rendered *out,
                         p4c_error *error) {
    rt_template tpl;
    const char *what = NULL;
    const rt_template_clock clock = {.local_s = 1700000000};
    CU_ASSERT_FATAL(rt_template_open(blob->at, blob->n, &tpl, &what));
    return rt_template_render_json(&tpl, chat, strlen(chat), &clock, &t->alloc, out, error);
}

static bool equals(const rt_rendered *r, const char *want) {
    return r->n == strlen(want) && !memcmp(r->text, want, r->n);
}

static void templates_render_as_transformers(void) {
    templates t;
    open_templates(&t);
    str rest = tok_file(t.mem, P4C_TESTS "/golden/templates", "cases.jsonl"), line;
    int n = 0, n_errors = 0;
    for (; next_line(&rest, &line); n++) {
        cJSON *c = cJSON_ParseWithLength(line.at, line.n);
        const char *name = member(c, "template")->valuestring;
        const str source = tok_file(t.mem, P4C_TESTS "/golden/templates", name);
        fe_blob blob;
        CU_ASSERT_FATAL(fe_compile_template(source, name, t.mem, &t.d, &blob));
        char *chat = request(c);
        rt_rendered r;
        p4c_error error = {0};
        const p4c_status status = render(&t, &blob, chat, &r, &error);
        if (cJSON_IsString(member(c, "text"))) {
            const bool ok = status == P4C_OK && equals(&r, member(c, "text")->valuestring);
            CU_ASSERT(ok);
            if (!ok)
                printf("  %s %d: %s\n", name, member(c, "n")->valueint,
                       status ? error.text : r.text);
        } else {
            CU_ASSERT_EQUAL(status, P4C_ERR_BAD_INPUT);
            n_errors++;
        }
        if (status == P4C_OK) rt_rendered_free(&r, &t.alloc);
        cJSON_free(chat);
        cJSON_Delete(c);
    }
    CU_ASSERT_EQUAL(n, 87);
    CU_ASSERT_EQUAL(n_errors, 6);
    close_templates(&t);
}

/* ---- chats ---- */

typedef struct family {
    const char *name, *dir;
    bool has_tokenizer;
    fe_blob blob;
    tok_fixture tok;
    int n, n_hostile;
} family;

static bool open_family(templates *t, family *f) {
    fe_template_source source = {0};
    if (!fe_find_template(f->dir, t->mem, &t->d, &source) ||
        !fe_compile_template_source(&source, t->mem, &t->d, &f->blob))
        return false;
    return !f->has_tokenizer || tok_fixture_dir(&f->tok, f->dir, 0);
}

static int n_special(const tok_fixture *t) {
    int n = 0;
    for (size_t i = 0; i < t->ids.n; i++)
        n += (rt_token_flags(&t->t, t->ids.at[i]) & RT_TOK_IS_ADDED) != 0;
    return n;
}

/* Whether a content holds the text of a special token. */
static bool is_hostile(family *f, const cJSON *messages) {
    bool found = false;
    for (const cJSON *m = messages->child; m; m = m->next)
        for (const cJSON *v = m->child; v; v = v->next) {
            if (!cJSON_IsString(v) || strcmp(v->string, "role") == 0) continue;
            tok_encode(&f->tok, str_of(v->valuestring), true, NULL);
            found |= n_special(&f->tok) > 0;
        }
    return found;
}

/* Special tokens of the same chat with harmless contents. */
static int harmless_specials(templates *t, family *f, const cJSON *line) {
    cJSON *copy = cJSON_Duplicate(line, 1);
    for (cJSON *m = cJSON_GetObjectItem(copy, "messages")->child; m; m = m->next)
        for (cJSON *v = m->child; v; v = v->next)
            if (cJSON_IsString(v) && strcmp(v->string, "role") != 0)
                cJSON_SetValuestring(v, v->valuestring[0] ? "x" : "");
    char *chat = request(copy);
    rt_rendered r;
    CU_ASSERT_EQUAL_FATAL(render(t, &f->blob, chat, &r, NULL), P4C_OK);
    tok_encode(&f->tok, (str){r.text, r.n}, true, r.mask);
    rt_rendered_free(&r, &t->alloc);
    cJSON_free(chat);
    cJSON_Delete(copy);
    return n_special(&f->tok);
}

static void check_chat(templates *t, family *f, const cJSON *line) {
    char *chat = request(line);
    rt_rendered r;
    p4c_error error = {0};
    CU_ASSERT_EQUAL_FATAL(render(t, &f->blob, chat, &r, &error), P4C_OK);
    CU_ASSERT(equals(&r, member(line, "text")->valuestring));
    f->n++;
    if (f->has_tokenizer && is_hostile(f, member(line, "messages"))) {
        f->n_hostile++;
        const int want = harmless_specials(t, f, line);
        tok_encode(&f->tok, (str){r.text, r.n}, true, r.mask);
        CU_ASSERT_EQUAL(n_special(&f->tok), want);
    } else if (f->has_tokenizer) {
        tok_encode(&f->tok, (str){r.text, r.n}, true, r.mask);
        const cJSON *ids = member(line, "ids");
        CU_ASSERT_EQUAL(f->tok.ids.n, (size_t)cJSON_GetArraySize(ids));
        size_t i = 0;
        bool same = true;
        for (const cJSON *id = ids->child; id && i < f->tok.ids.n; id = id->next)
            same &= f->tok.ids.at[i++] == id->valueint;
        CU_ASSERT(same);
    }
    rt_rendered_free(&r, &t->alloc);
    cJSON_free(chat);
}

static void chats_render_and_encode_as_transformers(void) {
    templates t;
    open_templates(&t);
    family families[] = {
        {.name = "phi4", .dir = P4C_GOLDEN_TOKENIZERS "/tokenizer-phi4", .has_tokenizer = true},
        {.name = "phi4-mini",
         .dir = P4C_GOLDEN_TOKENIZERS "/tokenizer-phi4-mini",
         .has_tokenizer = true},
        {.name = "phi3", .dir = P4C_TESTS "/golden/chat/phi3"},
    };
    for (size_t i = 0; i < COUNT_OF(families); i++) CU_ASSERT_FATAL(open_family(&t, &families[i]));
    str rest = tok_file(t.mem, P4C_TESTS "/golden/chat", "chat.jsonl"), line;
    while (next_line(&rest, &line)) {
        cJSON *c = cJSON_ParseWithLength(line.at, line.n);
        for (size_t i = 0; i < COUNT_OF(families); i++)
            if (strcmp(families[i].name, member(c, "family")->valuestring) == 0)
                check_chat(&t, &families[i], c);
        cJSON_Delete(c);
    }
    CU_ASSERT_EQUAL(families[0].n, 80);
    CU_ASSERT_EQUAL(families[1].n, 82);
    CU_ASSERT_EQUAL(families[2].n, 80);
    for (size_t i = 0; i < 2; i++) {
        CU_ASSERT(families[i].n_hostile > 0);
        printf("  %s: %d chats, %d with special tokens in messages\n", families[i].name,
               families[i].n, families[i].n_hostile);
        tok_fixture_close(&families[i].tok);
    }
    close_templates(&t);
}

UNIT_MAIN("template_golden",
          {"templates render as transformers does", templates_render_as_transformers},
          {"chats render and encode as transformers does", chats_render_and_encode_as_transformers})
