/* fuzz_template.c - chat templates from strangers: compiled, opened, rendered; tables with damage;
 * chats.
 *
 * The first byte chooses by its lowest two bits: 0 and 3, the rest is a template; 1, two bytes say
 * which byte of the table of a fixed template is changed to what the third says, again and again;
 * 2, the rest is a chat in JSON.  Rendering is bounded by the renderer itself. */
#include <stdlib.h>
#include <string.h>

#include "frontend/template_compile.h"
#include "runtime/template.h"

static void *get(void *ctx, size_t n) { return (void)ctx, malloc(n); }
static void put(void *ctx, void *p) { (void)ctx, free(p); }

static const char CHAT[] =
    "{\"messages\": [{\"role\": \"system\", \"content\": \"Be <b> & \\\"q\\\".\\n\", \"n\": 1.5},"
    "{\"role\": \"user\", \"content\": \" \\u00e9\\u4f60\\ud83d\\ude42 a,b \", \"l\": [1, [2], "
    "{\"k\": null}]},"
    "{\"role\": \"assistant\", \"content\": \"x\", \"tool_calls\": [{\"name\": \"f\", "
    "\"arguments\": {\"a\": 2}}]}],"
    "\"tools\": [{\"name\": \"t\", \"p\": {\"x\": true}}], \"k\": \"v\", \"big\": "
    "12345678901234567890}";

static void render(const void *table, size_t n, str chat) {
    rt_template t;
    const char *what = NULL;
    if (!rt_template_open(table, n, &t, &what)) {
        if (!what) abort();
        return;
    }
    const rt_alloc mem = {get, put, NULL};
    const rt_template_clock clock = {.local_s = 1700000000};
    rt_rendered out;
    p4c_error error;
    if (rt_template_render_json(&t, chat.at, chat.n, &clock, &mem, &out, &error) != P4C_OK) {
        if (!error.text[0] || strchr(error.text, '\n')) abort();
        return;
    }
    for (size_t i = 0; i < out.n; i++)
        if (out.mask[i] > 1) abort();
    rt_rendered_free(&out, &mem);
}

static const char FIXED[] =
    "{% macro m(a, b='d') %}<{{ a }}{{ b }}{{ varargs }}>{% endmacro %}{% set ns = namespace(n=0) "
    "%}"
    "{% for x in messages if x.role %}{{ loop.index ~ m(x.content|trim, b=loop.length) }}{% set "
    "ns.n = ns.n + 1 %}"
    "{% if ns.n > 2 %}{% break %}{% endif %}{% else %}none{% endfor %}{% call m(1) %}b{% endcall %}"
    "{% set s %}c{{ messages[0].content[1:3] }}{% endset %}{{ s|upper|list|join('-') }}{{ 1 < 2 < "
    "3 }}"
    "{% for x in [[1, [2]], [3]] recursive %}{{ loop(x) if x is iterable else x }}{% endfor %}"
    "{{ {'k': [1, (2,), none, true, 1.5]}|tojson }}{{ '%s' % 1 }}{{ nothing|default('d') or 'x' }}";

static void damage(const uint8_t *data, size_t n, fe_blob blob) {
    uint8_t *copy = malloc(blob.n); /* of its own, so that reading past it is seen */
    memcpy(copy, blob.at, blob.n);
    for (size_t i = 0; i + 3 <= n; i += 3)
        copy[(data[i] | data[i + 1] << 8) % blob.n] = data[i + 2];
    render(copy, blob.n, str_of(CHAT));
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    if (!n) return 0;
    arena *mem = arena_open();
    diag d = {.mem = mem};
    fe_blob blob;
    const int mode = data[0] & 3;
    const str rest = {(const char *)data + 1, n - 1};
    const bool fixed = mode == 1 || mode == 2;
    if (!fe_compile_template(fixed ? str_of(FIXED) : rest, "fuzz", mem, &d, &blob)) {
        if (d.n_errors != 1 || fixed) abort(); /* a refusal has one message */
    } else if (mode == 1) {
        damage(data + 1, n - 1, blob);
    } else {
        render(blob.at, blob.n, mode == 2 ? rest : str_of(CHAT));
    }
    arena_close(mem);
    return 0;
}
