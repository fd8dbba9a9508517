/* tokenizer_fixture.c - see the header. */
#include "tests/support/tokenizer_fixture.h"

#include "base/file.h"

static void *counted_get(void *ctx, size_t n) {
    counted_alloc *c = ctx;
    if (c->fail_at && ++c->calls >= c->fail_at) return NULL;
    c->live++;
    return malloc(n);
}

static void counted_free(void *ctx, void *p) {
    counted_alloc *c = ctx;
    c->live--;
    free(p);
}

rt_alloc counted_hooks(counted_alloc *c) { return (rt_alloc){counted_get, counted_free, c}; }

void tok_fixture_begin(tok_fixture *f) {
    *f = (tok_fixture){.mem = arena_open()};
    f->d.mem = f->mem;
    f->alloc = counted_hooks(&f->count);
}

bool tok_fixture_dir(tok_fixture *f, const char *dir, int64_t vocab_size) {
    tok_fixture_begin(f);
    return fe_import_tokenizer(dir, vocab_size, f->mem, &f->d, &f->blob) &&
           rt_tokenizer_open(&f->t, f->blob.at, f->blob.n);
}

bool tok_fixture_json(tok_fixture *f, str tokenizer_json, int64_t vocab_size) {
    tok_fixture_begin(f);
    const fe_tokenizer_text in = {.tokenizer = tokenizer_json, .tokenizer_file = "tokenizer.json"};
    return fe_import_tokenizer_text(&in, vocab_size, f->mem, &f->d, &f->blob) &&
           rt_tokenizer_open(&f->t, f->blob.at, f->blob.n);
}

void tok_fixture_close(tok_fixture *f) {
    free(f->ids.at);
    free(f->bytes.at);
    arena_close(f->mem);
}

void tok_encode(tok_fixture *f, str s, bool parse_special, const uint8_t *plain) {
    f->ids.n = 0;
    const rt_encode_input in = {s.at, s.n, parse_special, plain};
    if (!rt_encode(&f->t, &f->alloc, in, &f->ids)) UNREACHABLE("rt_encode failed");
}

void tok_decode(tok_fixture *f, bool skip_special) {
    f->bytes.n = 0;
    if (!rt_decode(&f->t, &f->alloc, f->ids.at, f->ids.n, skip_special, &f->bytes))
        UNREACHABLE("rt_decode failed");
}

bool tok_ids_spell(const tok_fixture *f, str s) {
    size_t at = 0, n;
    for (size_t i = 0; i < f->ids.n; i++, at += n) {
        const char *p = rt_token_bytes(&f->t, f->ids.at[i], &n);
        if (n > s.n - at || memcmp(p, s.at + at, n)) return false;
    }
    return at == s.n;
}

str tok_file(arena *mem, const char *folder, const char *name) {
    diag d = {.mem = mem};
    str s;
    if (!file_read(path_join(mem, folder, name), 1u << 30, mem, &d, &s)) {
        diag_print(&d, stderr);
        UNREACHABLE("a fixture is missing");
    }
    return s;
}

str tok_replace(arena *mem, str source, const char *find, const char *put) {
    const char *at = memmem(source.at, source.n, find, strlen(find));
    if (!at) UNREACHABLE(find);
    text t = {.mem = mem};
    const size_t before = (size_t)(at - source.at), after = before + strlen(find);
    text_add(&t, (str){source.at, before});
    text_cat(&t, put);
    text_add(&t, (str){source.at + after, source.n - after});
    return text_str(&t);
}

/* Behind `"key": `; NULL where the line has no such member. */
static const char *member_at(arena *mem, str line, const char *key) {
    const char *quoted = arena_printf(mem, "\"%s\": ", key);
    const char *at = memmem(line.at, line.n, quoted, strlen(quoted));
    return at ? at + strlen(quoted) : NULL;
}

static void add_utf8(text *t, unsigned long cp) {
    if (cp < 0x80) text_putc(t, (char)cp);
    else {
        int more = cp < 0x800 ? 1 : cp < 0x10000 ? 2 : 3;
        static const unsigned char LEAD[] = {0, 0xc0, 0xe0, 0xf0};
        text_putc(t, (char)(LEAD[more] | cp >> 6 * more));
        while (more--) text_putc(t, (char)(0x80 | (cp >> 6 * more & 0x3f)));
    }
}

static unsigned long hex4(const char *p) {
    const char digits[5] = {p[0], p[1], p[2], p[3], 0};
    return strtoul(digits, NULL, 16);
}

str jsonl_str(arena *mem, str line, const char *key) {
    const char *p = member_at(mem, line, key);
    if (!p || *p != '"') return (str){NULL, 0};
    text t = {.mem = mem};
    for (p++; *p != '"'; p++) {
        if (*p != '\\') {
            text_putc(&t, *p);
            continue;
        }
        static const char NAME[] = "nrtbf\"\\/", CHAR[] = "\n\r\t\b\f\"\\/";
        p++;
        if (*p != 'u') {
            text_putc(&t, CHAR[strchr(NAME, *p) - NAME]);
            continue;
        }
        unsigned long cp = hex4(p + 1);
        p += 4;
        if (cp >= 0xd800 && cp < 0xdc00) {
            cp = 0x10000 + ((cp - 0xd800) << 10) + (hex4(p + 3) - 0xdc00);
            p += 6;
        }
        add_utf8(&t, cp);
    }
    return text_str(&t);
}

bool jsonl_ids(arena *mem, str line, const char *key, rt_ids *out) {
    const char *p = member_at(mem, line, key);
    vec(int32_t) ids = {0};
    if (!p || *p != '[') return false;
    for (p++; *p != ']';) {
        char *end;
        const long id = strtol(p, &end, 10);
        vec_push(mem, &ids, (int32_t)id);
        for (p = end; *p == ',' || *p == ' ';) p++;
    }
    *out = (rt_ids){ids.at, ids.n, ids.cap};
    return true;
}

bool next_line(str *rest, str *line) {
    if (!rest->n) return false;
    const char *end = memchr(rest->at, '\n', rest->n);
    line->at = rest->at;
    line->n = end ? (size_t)(end - rest->at) : rest->n;
    const size_t taken = line->n + (end != NULL);
    *rest = (str){rest->at + taken, rest->n - taken};
    return true;
}
