/* test_template_compile.c - what the template compiler refuses and where; limits; finding a
 * checkpoint's template.  What compiled templates do is in test_template.c. */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "frontend/template_compile.h"
#include "runtime/template_abi.h"
#include "tests/unit/unit.h"

typedef struct fixture {
    arena *mem;
    diag d;
    fe_blob blob;
} fixture;

static void begin(fixture *f) {
    *f = (fixture){.mem = arena_open()};
    f->d.mem = f->mem;
}

static bool compile(fixture *f, str source) {
    diag_clear(&f->d);
    return fe_compile_template(source, "T.jinja", f->mem, &f->d, &f->blob);
}

/* Refused with this code, at this line, in words that hold `what`; one message. */
static void refuses(fixture *f, str source, diag_code code, int line, const char *what) {
    const bool ok = compile(f, source);
    CU_ASSERT(!ok);
    if (ok) {
        printf("  taken: " STR_FMT "\n", STR_ARG(source));
        return;
    }
    const diag_item *e = f->d.first;
    char at[32];
    snprintf(at, sizeof at, line ? "T.jinja: line %d: " : "T.jinja: ", line);
    const bool right = e->code == code && strstr(e->text, what) &&
                       !strncmp(e->text, at, strlen(at)) && f->d.n_errors == 1 &&
                       diag_exit_status(&f->d) == EXIT_BAD_INPUT;
    CU_ASSERT(right);
    if (!right) printf("  " STR_FMT "\n    %s\n", STR_ARG(source), e->text);
}

static void syntax_errors_name_their_line(void) {
    static const struct {
        const char *source;
        int line;
        const char *what;
    } CASES[] = {
        {"a\n{{ }}", 2, "expected an expression, found '}}'"},
        {"{{ a", 1, "expected '}}', found end of the template"},
        {"\n\n{{ a b }}", 3, "expected '}}', found 'b'"},
        {"{% if a %}\nx", 2, "ends inside 'if' of line 1"},
        {"{% for x in y %}{% endif %}", 1, "unknown tag 'endif' inside 'for' of line 1"},
        {"x\n{% endfor %}", 2, "unknown tag 'endfor'"},
        {"{% nonsense %}", 1, "unknown tag 'nonsense'"},
        {"{% %}", 1, "expected the name of a tag"},
        {"{# never\nends", 1, "a comment without end"},
        {"{% raw %}\n{{ x }}", 1, "{% raw %} without {% endraw %}"},
        {"{{ 'abc }}", 1, "a string without end"},
        {"{{ '\\ud800' }}", 1, "no character"},
        {"{{ '\\x4' }}", 1, "too few digits"},
        {"{{ '\\N{DASH}' }}", 1, "\\N in a string"},
        {"{{ a ! b }}", 1, "unexpected character '!'"},
        {"{{ \x01 }}", 1, "byte 0x01"},
        {"{{ \xc3\xa9 }}", 1, "byte 0xc3"},
        {"{{ a) }}", 1, "unexpected ')'"},
        {"{{ (a] }}", 1, "unexpected ']', expected ')'"},
        {"{{ (a }}", 1, "unexpected '}', expected ')'"},
        {"{{ a. }}", 1, "expected a name or a number"},
        {"{{ a[ }}", 1, "unexpected '}'"},
        {"{{ a | }}", 1, "expected a name"},
        {"{{ f(a=1, 2) }}", 1, "invalid syntax for a call"},
        {"{{ f(a=1, a=2) }}", 1, "argument 'a' twice"},
        {"{{ f(**a, **b) }}", 1, "invalid syntax for a call"},
        {"{{ a is b is c }}", 1, "cannot be chained"},
        {"{{ 0xffffffffffffffffff }}", 1, "integer that is too large"},
        {"{{ 1e999 }}", 1, "too large or too long"},
        {"{% set 1 = 2 %}", 1, "cannot be assigned to"},
        {"{% set true = 2 %}", 1, "cannot be assigned to"},
        {"{% set a.b.c = 2 %}", 1, "'%}'"},
        {"{% for a.b in c %}{% endfor %}", 1, "cannot be assigned to"},
        {"{% for x y %}{% endfor %}", 1, "expected 'in'"},
        {"{% for x in y %}\n{% set loop = 1 %}{% endfor %}", 1, "'loop' cannot be assigned"},
        {"a\n{% break %}", 2, "'break' outside a loop"},
        {"{% for x in y %}{% macro m() %}\n{% continue %}{% endmacro %}{% endfor %}", 2,
         "'continue' outside a loop"},
        {"{% macro 1() %}{% endmacro %}", 1, "expected a name"},
        {"{% macro none() %}{% endmacro %}", 1, "'none' cannot be assigned"},
        {"{% macro m(a=1, b) %}{% endmacro %}", 1, "behind one with a default"},
        {"{% macro m(a, a) %}{% endmacro %}", 1, "parameter 'a' twice"},
        {"{% macro m(caller) %}{{ caller() }}{% endmacro %}", 1, "'caller' needs a default"},
        {"{% call 1 %}{% endcall %}", 1, "expected a call"},
        {"{% if a %}\n\n{{ x[1:2, 3] }}{% endif %}", 3, "a slice among several indices"},
        {"\n{{ a | nosuch }}", 2, "unknown filter 'nosuch'"},
        {"{{ a is nosuch }}", 1, "unknown test 'nosuch'"},
        {"{% if a %}{% for x in y %}{{ x | nosuch }}{% endfor %}{% endif %}", 1,
         "unknown filter 'nosuch'"},
        {"\xff", 1, "is not UTF-8"},
        {"a\nb\xed\xa0\x80", 2, "is not UTF-8"},
    };
    fixture f;
    begin(&f);
    for (size_t i = 0; i < COUNT_OF(CASES); i++)
        refuses(&f, str_of(CASES[i].source), DIAG_TEMPLATE_SYNTAX, CASES[i].line, CASES[i].what);
    /* jinja2 looks unknown filters up only when they run where an `if` is around them */
    CU_ASSERT(compile(&f, STR("{% if a %}{{ x | nosuch }}{% endif %}{{ (x | no) if y }}")));
    arena_close(f.mem);
}

static void what_is_left_out_is_named(void) {
    static const char *const TAGS[] = {"block x",         "extends 'a'",       "include 'a'",
                                       "import 'a' as b", "from 'a' import b", "autoescape true"};
    static const char *const FILTERS[] = {"pprint",  "random",         "urlize",   "wordwrap",
                                          "xmlattr", "filesizeformat", "striptags"};
    fixture f;
    begin(&f);
    for (size_t i = 0; i < COUNT_OF(TAGS); i++)
        refuses(&f, str_of(arena_printf(f.mem, "\n{%% %s %%}", TAGS[i])), DIAG_TEMPLATE_UNSUPPORTED,
                2, "is not supported in chat templates");
    for (size_t i = 0; i < COUNT_OF(FILTERS); i++)
        refuses(&f,
                str_of(arena_printf(f.mem, "{%% if a %%}{{ a | %s }}{%% endif %%}", FILTERS[i])),
                DIAG_TEMPLATE_UNSUPPORTED, 1, FILTERS[i]);
    arena_close(f.mem);
}

/* `head`, n times `open`, `middle`, n times `close` */
static str nested(arena *mem, const char *open, const char *middle, const char *close, int n) {
    text t = {.mem = mem};
    for (int i = 0; i < n; i++) text_cat(&t, open);
    text_cat(&t, middle);
    for (int i = 0; i < n; i++) text_cat(&t, close);
    return text_str(&t);
}

static str between(arena *mem, const char *before, str middle, const char *behind) {
    text t = {.mem = mem};
    text_cat(&t, before);
    text_add(&t, middle);
    text_cat(&t, behind);
    return text_str(&t);
}

static void limits_hold(void) {
    fixture f;
    begin(&f);
    CU_ASSERT(compile(&f, nested(f.mem, "x", "", "", RT_TPL_MAX_SOURCE)));
    refuses(&f, nested(f.mem, "x", "", "", RT_TPL_MAX_SOURCE + 1), DIAG_TEMPLATE_LIMIT, 0,
            "has 65537 bytes (at most 65536 are allowed)");
    CU_ASSERT(compile(&f, nested(f.mem, "{% if a %}", "x", "{% endif %}", RT_TPL_MAX_NESTING)));
    refuses(&f, nested(f.mem, "{% if a %}", "x", "{% endif %}", RT_TPL_MAX_NESTING + 1),
            DIAG_TEMPLATE_LIMIT, 1, "nested too deeply (limit 64)");
    static const char *const OPEN[] = {"(",   "[", "-", "not ", "f(", "a[", "{1:", "b if c else ",
                                       "x|f("};
    static const char *const CLOSE[] = {")", "]", "", "", ")", "]", "}", "", ")"};
    for (size_t i = 0; i < COUNT_OF(OPEN); i++) {
        const str deep = nested(f.mem, OPEN[i], "1", CLOSE[i], 4000);
        refuses(&f, between(f.mem, "{{ ", deep, " }}"), DIAG_TEMPLATE_LIMIT, 1,
                "nested too deeply");
        const str flat = nested(f.mem, OPEN[i], "1", CLOSE[i], 60);
        if (i < 8) CU_ASSERT(compile(&f, between(f.mem, "{{ ", flat, " }}")));
    }
    static const char *const CHAIN[] = {"1+", "a.b ~ a and ", "1 == ", "1 * "};
    for (size_t i = 0; i < COUNT_OF(CHAIN); i++) { /* long chains: taken or refused, never worse */
        const str chain = nested(f.mem, CHAIN[i], "1", "", 900);
        CU_ASSERT(compile(&f, between(f.mem, "{{ ", chain, " }}")));
        (void)compile(&f, between(f.mem, "{{ ", nested(f.mem, CHAIN[i], "1", "", 5000), " }}"));
    }
    refuses(&f, between(f.mem, "{{ a", nested(f.mem, ".a", "", "", 20000), " }}"),
            DIAG_TEMPLATE_LIMIT, 1, "an expression is too long (limit 1000)");
    refuses(&f, between(f.mem, "{{ f(", nested(f.mem, "1,", "", "", 256), ") }}"),
            DIAG_TEMPLATE_LIMIT, 1, "too many arguments (limit 255)");
    CU_ASSERT(compile(&f, between(f.mem, "{{ f(", nested(f.mem, "1,", "", "", 255), ") }}")));
    refuses(&f, between(f.mem, "{{ ", nested(f.mem, "1", "", "", 4301), " }}"),
            DIAG_TEMPLATE_SYNTAX, 1, "an integer that is too large");
    arena_close(f.mem);
}

static void tables_are_reproducible(void) {
    const str source = STR("{% for m in messages %}{{ m.role ~ 1.5 ~ 10 }}{% endfor %}");
    fixture f, g;
    begin(&f);
    begin(&g);
    CU_ASSERT_FATAL(compile(&f, source) && compile(&g, source));
    CU_ASSERT(f.blob.n == g.blob.n && !memcmp(f.blob.at, g.blob.at, f.blob.n));
    CU_ASSERT(!memcmp(f.blob.at, RT_TPL_MAGIC, 8));
    arena_close(f.mem);
    arena_close(g.mem);
}

/* ---- finding it ---- */

static void put_file(const char *dir, const char *name, const char *content) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    if (!content) {
        (void)unlink(path);
        return;
    }
    FILE *out = fopen(path, "wb");
    CU_ASSERT_FATAL(out != NULL);
    fputs(content, out);
    fclose(out);
}

typedef struct folder {
    fixture f;
    char dir[64];
    fe_template_source source;
} folder;

/* The files are those given; NULL: not there. */
static bool find(folder *o, const char *config, const char *jinja, const char *special) {
    put_file(o->dir, "tokenizer_config.json", config);
    put_file(o->dir, "chat_template.jinja", jinja);
    put_file(o->dir, "special_tokens_map.json", special);
    diag_clear(&o->f.d);
    return fe_find_template(o->dir, o->f.mem, &o->f.d, &o->source);
}

static bool has_var(const folder *o, const char *name, const char *value) {
    for (size_t i = 0; i < o->source.n_vars; i++)
        if (str_is(o->source.vars[i].name, name)) return str_is(o->source.vars[i].value, value);
    return false;
}

static void templates_are_found(void) {
    folder o = {.dir = "/tmp/p4c-template-XXXXXX"};
    begin(&o.f);
    CU_ASSERT_FATAL(mkdtemp(o.dir) != NULL);
    CU_ASSERT(find(&o, NULL, NULL, NULL) && !o.source.text.at && !o.source.n_vars);
    CU_ASSERT(find(&o, "{\"chat_template\": \"A\", \"bos_token\": \"<s>\"}", NULL, NULL));
    CU_ASSERT(str_is(o.source.text, "A") && strstr(o.source.file, "tokenizer_config.json"));
    CU_ASSERT(o.source.n_vars == 1 && has_var(&o, "bos_token", "<s>"));
    CU_ASSERT(find(&o, "{\"chat_template\": \"A\"}", "B\n", NULL)); /* the file wins */
    CU_ASSERT(str_is(o.source.text, "B\n") && strstr(o.source.file, "chat_template.jinja"));
    CU_ASSERT(find(&o, NULL, "B", NULL) && str_is(o.source.text, "B"));
    CU_ASSERT(find(&o, "{\"chat_template\": null}", NULL, NULL) && !o.source.text.at);
    CU_ASSERT(
        find(&o,
             "{\"chat_template\": [{\"name\": \"tool_use\", \"template\": \"T\"},"
             "{\"name\": \"default\", \"template\": \"D\"}],"
             "\"eos_token\": {\"content\": \"</s>\", \"lstrip\": false}, \"pad_token\": null}",
             NULL, "{\"eos_token\": \"other\", \"unk_token\": {\"content\": \"<unk>\"}}"));
    CU_ASSERT(str_is(o.source.text, "D") && o.source.n_vars == 2);
    CU_ASSERT(has_var(&o, "eos_token", "</s>") && has_var(&o, "unk_token", "<unk>"));
    CU_ASSERT(
        find(&o, "{\"chat_template\": [{\"name\": \"x\", \"template\": \"T\"}]}", NULL, NULL));
    CU_ASSERT(!o.source.text.at && o.f.d.n_warnings == 1);
    CU_ASSERT(o.f.d.first && o.f.d.first->code == DIAG_TEMPLATE_NO_DEFAULT);
    CU_ASSERT(!find(&o, "{\"chat_template\": 7}", NULL, NULL) &&
              o.f.d.first->code == DIAG_JSON_TYPE);
    CU_ASSERT(!find(&o, "{", NULL, NULL) && o.f.d.first->code == DIAG_JSON_SYNTAX);
    CU_ASSERT(!find(&o, NULL, NULL, "[") && o.f.d.first->code == DIAG_JSON_SYNTAX);
    char *large = arena_get(o.f.mem, RT_TPL_MAX_SOURCE + 2, 1);
    memset(large, 'x', RT_TPL_MAX_SOURCE + 1);
    CU_ASSERT(!find(&o, NULL, large, NULL) && o.f.d.first->code == DIAG_FILE_TOO_LARGE);
    (void)find(&o, NULL, NULL, NULL);
    CU_ASSERT_EQUAL(rmdir(o.dir), 0);
    arena_close(o.f.mem);
}

UNIT_MAIN("template_compile", {"syntax errors name their line", syntax_errors_name_their_line},
          {"what is left out is named", what_is_left_out_is_named}, {"limits hold", limits_hold},
          {"tables are reproducible", tables_are_reproducible},
          {"templates are found", templates_are_found})
