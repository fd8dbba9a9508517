/* tokenizer.c - finds added tokens, hands what is between them to splitting and merging; decodes.
 *
 * Follows the tokenizers library (added_vocabulary.rs): leftmost-longest matches first of the
 * tokens that are not "normalized", then of the others in what is left; a token with lstrip or
 * rstrip takes in the white space beside it.
 */
#include "runtime/tokenizer.h"

#include "runtime/tokenizer_bpe.h"
#include "runtime/tokenizer_split.h"
#include "runtime/unicode_tables.h"

/* ---- added tokens ---- */

static const rt_tok_node *child_of(const rt_tok_node *trie, const rt_tok_node *node, uint8_t byte) {
    uint32_t lo = node->child, hi = lo + node->n_children;
    while (lo < hi) {
        const uint32_t mid = lo + (hi - lo) / 2;
        if (trie[mid].byte == byte) return &trie[mid];
        if (trie[mid].byte < byte) lo = mid + 1;
        else hi = mid;
    }
    return NULL;
}

typedef struct match {
    const rt_tok_added *token; /* NULL: none */
    size_t start, end;
} match;

/* The first and longest added token of a trie in p[at .. n), using no byte that is plain. */
static match find_added(const rt_tokenizer *t, int trie, const uint8_t *p, size_t n, size_t at,
                        const uint8_t *plain) {
    const rt_tok_node *nodes = t->trie[trie];
    const uint8_t *first = t->head->first_byte[trie];
    match m = {NULL, n, n};
    for (; at < n && !m.token; at++) {
        if (!(first[p[at] >> 3] >> (p[at] & 7) & 1)) continue;
        const rt_tok_node *node = nodes;
        for (size_t i = at; i < n && !(plain && plain[i]); i++) {
            node = child_of(nodes, node, p[i]);
            if (!node) break;
            if (node->added >= 0) m = (match){&t->added[node->added], at, i + 1};
        }
    }
    return m;
}

int32_t rt_tokenizer_find_added(const rt_tokenizer *t, const char *text, size_t n) {
    for (int trie = 0; trie < RT_TOK_N_TRIES; trie++) {
        const rt_tok_node *node = t->trie[trie];
        for (size_t i = 0; node && i < n; i++)
            node = child_of(t->trie[trie], node, (uint8_t)text[i]);
        if (node && node->added >= 0) return t->added[node->added].id;
    }
    return -1;
}

/* Start of the white space that ends at `end`, not before `from`. */
static size_t space_before(const uint8_t *p, size_t from, size_t end) {
    for (;;) {
        size_t start = end;
        while (start > from && end - start < 3 && (start == end || (p[start] & 0xc0) == 0x80))
            start--;
        uint32_t cp;
        if (start == end || rt_utf8_next(p + start, end - start, &cp) != end - start) return end;
        if (!(rt_unicode_class(cp) & RT_UC_SPACE)) return end;
        end = start;
    }
}

static size_t space_behind(const uint8_t *p, size_t at, size_t n) {
    while (at < n) {
        uint32_t cp;
        const size_t len = rt_utf8_next(p + at, n - at, &cp);
        if (!(rt_unicode_class(cp) & RT_UC_SPACE)) break;
        at += len;
    }
    return at;
}

/* ---- encoding ---- */

typedef struct encoder {
    rt_bpe bpe;
    rt_ids *out;
} encoder;

static bool encode_text(encoder *e, const uint8_t *p, size_t n) {
    const rt_tok_pattern pattern = (rt_tok_pattern)e->bpe.t->head->pattern;
    for (size_t at = 0, end; at < n; at = end) {
        end = rt_split_next(pattern, p, n, at);
        if (!rt_bpe_piece(&e->bpe, p + at, end - at, e->out)) return false;
    }
    return true;
}

/* Looks for the added tokens of tries `trie` and above.  Where a token's text begins with white
 * space that the token before it took in, the library's arithmetic holds: the later token keeps
 * that space for itself, unless it has lstrip; and one that would be left with nothing is dropped.
 */
static bool encode_added(encoder *e, int trie, const uint8_t *p, size_t n, const uint8_t *plain) {
    const rt_tokenizer *t = e->bpe.t;
    while (trie < RT_TOK_N_TRIES && !t->trie[trie]) trie++;
    if (trie == RT_TOK_N_TRIES) return encode_text(e, p, n);
    size_t done = 0;
    for (match m = find_added(t, trie, p, n, 0, plain); m.token;
         m = find_added(t, trie, p, n, m.end, plain)) {
        const size_t end = m.token->rstrip ? space_behind(p, m.end, n) : m.end;
        size_t start = m.start;
        if (m.token->lstrip) start = start > done ? space_before(p, done, start) : done;
        if (start >= end) continue;
        if (done < start &&
            !encode_added(e, trie + 1, p + done, start - done, plain ? plain + done : NULL))
            return false;
        if (!rt_ids_add(e->bpe.mem, e->out, m.token->id)) return false;
        done = end;
    }
    return done == n || encode_added(e, trie + 1, p + done, n - done, plain ? plain + done : NULL);
}

bool rt_encode(const rt_tokenizer *t, const rt_alloc *mem, rt_encode_input in, rt_ids *out) {
    if (in.n > RT_ENCODE_MAX) return false;
    encoder e = {.bpe = {.t = t, .mem = mem}, .out = out};
    const int trie = in.parse_special ? 0 : RT_TOK_N_TRIES;
    const bool ok = encode_added(&e, trie, (const uint8_t *)in.text, in.n, in.plain);
    rt_bpe_end(&e.bpe);
    return ok;
}

/* ---- decoding ---- */

const char *rt_token_bytes(const rt_tokenizer *t, int32_t id, size_t *n) {
    *n = 0;
    if (id < 0 || (uint32_t)id >= t->head->n_ids) return "";
    *n = t->text_at[id + 1] - t->text_at[id];
    return (const char *)t->text + t->text_at[id];
}

unsigned rt_token_flags(const rt_tokenizer *t, int32_t id) {
    return id < 0 || (uint32_t)id >= t->head->n_ids ? 0 : t->id_flags[id];
}

bool rt_decode_id(rt_decoder *d, const rt_alloc *mem, int32_t id, rt_bytes *out) {
    size_t n, done = 0;
    const char *p = rt_token_bytes(d->t, id, &n);
    if (d->skip_special && rt_token_flags(d->t, id) & RT_TOK_IS_SPECIAL) return true;
    /* a byte gives at most 3 bytes, one more U+FFFD may come for what was held */
    if (!rt_bytes_reserve(mem, out, 3 * n + RT_UTF8_MAX_OUT)) return false;
    char *to = out->at + out->n;
    while (done < n) {
        size_t ascii = 0;
        if (!d->utf8.n)
            while (done + ascii < n && (uint8_t)p[done + ascii] < 0x80) ascii++;
        memcpy(to, p + done, ascii);
        to += ascii;
        done += ascii;
        if (done < n) to += rt_utf8_push(&d->utf8, (uint8_t)p[done++], to);
    }
    out->n = (size_t)(to - out->at);
    return true;
}

bool rt_decode_end(rt_decoder *d, const rt_alloc *mem, rt_bytes *out) {
    if (!rt_bytes_reserve(mem, out, RT_UTF8_MAX_OUT)) return false;
    out->n += rt_utf8_end(&d->utf8, out->at + out->n);
    return true;
}

bool rt_decode(const rt_tokenizer *t, const rt_alloc *mem, const int32_t *ids, size_t n,
               bool skip_special, rt_bytes *out) {
    rt_decoder d = rt_decode_start(t, skip_special);
    for (size_t i = 0; i < n; i++)
        if (!rt_decode_id(&d, mem, ids[i], out)) return false;
    return rt_decode_end(&d, mem, out);
}
