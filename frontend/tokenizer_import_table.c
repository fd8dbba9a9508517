/* tokenizer_import_table.c - a checked tokenizer -> its binary table (runtime/tokenizer_abi.h).
 *
 * Each part is built in scratch memory, then all are laid out behind the header.  Hash tables are
 * filled with the first seed that keeps every entry within RT_TOK_MAX_PROBE slots of its home, so
 * that hostile vocabularies cannot make look-ups slow.
 */
#include "base/vec.h"
#include "frontend/tokenizer_import_model.h"

enum {
    N_SEEDS = 16,
    LONGEST_TESTED =
        128, /* bytes of a word for which it is worked out whether merging reaches it */
};

typedef struct builder {
    const fe_tok_model *m;
    arena *scratch;
    diag *d;
    rt_tok_header head;
    const void *part[RT_TOK_N_PARTS]; /* head.part[].n items each */
    uint8_t *text;
    uint32_t *text_at;
    bool *is_piece; /* by id: merging and whole-piece look-up may give this token */
    uint64_t *pairs;
    const uint32_t *merged;
} builder;

static void set_part(builder *b, rt_tok_part_kind kind, const void *at, uint32_t n) {
    b->part[kind] = at;
    b->head.part[kind].n = n;
}

/* ---- the byte alphabet ---- */

/* Bytes that stand for themselves; the others, in order, are U+0100 and following. */
static bool is_own_char(unsigned byte) {
    return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte != 0xad && byte <= 0xff);
}

size_t fe_tok_to_alphabet(uint8_t byte, char out[FE_TOK_LONGEST_CHAR]) {
    unsigned cp = byte;
    if (!is_own_char(byte)) {
        cp = 0x100;
        for (unsigned i = 0; i < byte; i++) cp += !is_own_char(i);
    }
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    out[0] = (char)(0xc0 | cp >> 6);
    out[1] = (char)(0x80 | (cp & 0x3f));
    return 2;
}

/* Inverse of fe_tok_to_alphabet by code point; -1 where there is no such character. */
static int byte_of(unsigned cp) {
    if (cp < 0x100) return is_own_char(cp) ? (int)cp : -1;
    if (cp <= 0x120) return (int)cp - 0x100;        /* 00..20 */
    if (cp <= 0x142) return (int)cp - 0x121 + 0x7f; /* 7f..a0 */
    return cp == 0x143 ? 0xad : -1;
}

bool fe_tok_from_alphabet(str s, uint8_t *out, size_t *n) {
    *n = 0;
    for (size_t i = 0; i < s.n; i++) {
        unsigned cp = (unsigned char)s.at[i];
        if (cp >= 0x80) { /* the JSON scan let only UTF-8 through */
            if (cp >= 0xe0 || i + 1 == s.n) return false;
            cp = (cp & 0x1f) << 6 | ((unsigned char)s.at[++i] & 0x3f);
        }
        const int byte = byte_of(cp);
        if (byte < 0) return false;
        out[(*n)++] = (uint8_t)byte;
    }
    return true;
}

/* ---- tokens and added tokens ---- */

static void build_text(builder *b) {
    const fe_tok_model *m = b->m;
    size_t room = 0, n = 0;
    for (int32_t id = 0; id < m->n_ids; id++) room += m->token[id].n;
    for (uint32_t i = 0; i < m->n_added; i++) room += m->added[i].text.n;
    b->text = arena_array(b->scratch, uint8_t, room + 1);
    b->text_at = arena_array(b->scratch, uint32_t, m->n_ids + 1);
    b->is_piece = arena_array(b->scratch, bool, m->n_ids);
    uint8_t *flags = arena_array(b->scratch, uint8_t, m->n_ids);
    for (int32_t id = 0; id < m->n_ids; id++) {
        const str s = m->token[id];
        b->text_at[id] = (uint32_t)n;
        if (!s.at) continue;
        size_t len;
        const bool in_alphabet = fe_tok_from_alphabet(s, b->text + n, &len);
        if (!in_alphabet) memcpy(b->text + n, s.at, len = s.n);
        b->is_piece[id] = in_alphabet && m->in_vocab[id];
        n += len;
        flags[id] = RT_TOK_IS_TOKEN;
        if (len > b->head.max_token_bytes) b->head.max_token_bytes = (uint32_t)len;
    }
    b->text_at[m->n_ids] = (uint32_t)n;
    rt_tok_added *added = arena_array(b->scratch, rt_tok_added, m->n_added);
    for (uint32_t i = 0; i < m->n_added; i++) {
        const fe_tok_added *a = &m->added[i];
        flags[a->id] |= RT_TOK_IS_ADDED | (a->special ? RT_TOK_IS_SPECIAL : 0);
        const uint32_t from = b->text_at[a->id], len = b->text_at[a->id + 1] - from;
        const bool same = len == a->text.n && !memcmp(b->text + from, a->text.at, len);
        added[i] = (rt_tok_added){.id = a->id,
                                  .text = same ? from : (uint32_t)n,
                                  .n = (uint32_t)a->text.n,
                                  .lstrip = a->lstrip,
                                  .rstrip = a->rstrip};
        if (!same) {
            memcpy(b->text + n, a->text.at, a->text.n);
            n += a->text.n;
        }
    }
    set_part(b, RT_TOK_text_at, b->text_at, (uint32_t)m->n_ids + 1);
    set_part(b, RT_TOK_text, b->text, (uint32_t)n);
    set_part(b, RT_TOK_id_flags, flags, (uint32_t)m->n_ids);
    set_part(b, RT_TOK_added, added, m->n_added);
}

static void set_byte_ids(builder *b) {
    for (int32_t id = 0; id < b->m->n_ids; id++)
        if (b->is_piece[id] && b->text_at[id + 1] - b->text_at[id] == 1)
            b->head.byte_id[b->text[b->text_at[id]]] = id;
}

/* ---- the tries of added tokens ---- */

typedef struct sorted_added {
    str text;
    int32_t index;
} sorted_added;

static int by_text(const void *x, const void *y) {
    const str a = ((const sorted_added *)x)->text, b = ((const sorted_added *)y)->text;
    const int order = memcmp(a.at, b.at, a.n < b.n ? a.n : b.n);
    return order ? order : (a.n > b.n) - (a.n < b.n);
}

typedef struct trie_span { /* the sorted tokens below a node, and how many bytes lead to it */
    uint32_t lo, hi, depth;
} trie_span;

/* Nodes in breadth-first order: so children stand side by side and behind their parent. */
static void build_trie(builder *b, int trie) {
    const fe_tok_model *m = b->m;
    sorted_added *sorted = arena_array(b->scratch, sorted_added, m->n_added);
    uint32_t n = 0, n_nodes = 1;
    size_t room = 1;
    for (uint32_t i = 0; i < m->n_added; i++) {
        if (m->added[i].normalized != (trie == 1)) continue;
        sorted[n++] = (sorted_added){m->added[i].text, (int32_t)i};
        room += m->added[i].text.n;
    }
    if (!n) return;
    qsort(sorted, n, sizeof *sorted, by_text);
    rt_tok_node *node = arena_array(b->scratch, rt_tok_node, room);
    trie_span *span = arena_array(b->scratch, trie_span, room);
    span[0] = (trie_span){0, n, 0};
    for (uint32_t i = 0; i < n_nodes; i++) {
        const uint32_t hi = span[i].hi, depth = span[i].depth;
        uint32_t lo = span[i].lo;
        node[i].added = sorted[lo].text.n == depth ? sorted[lo++].index : -1;
        node[i].child = lo < hi ? n_nodes : 0;
        while (lo < hi) {
            const uint8_t byte = (uint8_t)sorted[lo].text.at[depth];
            const uint32_t first = lo;
            while (lo < hi && (uint8_t)sorted[lo].text.at[depth] == byte) lo++;
            node[n_nodes].byte = byte;
            span[n_nodes++] = (trie_span){first, lo, depth + 1};
            node[i].n_children++;
        }
    }
    for (uint32_t i = node[0].child; i < node[0].child + node[0].n_children; i++)
        b->head.first_byte[trie][node[i].byte >> 3] |= (uint8_t)(1 << (node[i].byte & 7));
    set_part(b, trie ? RT_TOK_trie_1 : RT_TOK_trie_0, node, n_nodes);
}

/* ---- merges ---- */

static uint32_t table_size(uint32_t n_entries) {
    uint32_t size = 64;
    while (size < 2 * n_entries) size *= 2;
    return size;
}

/* Puts every merge in; false where one would stand too far from its home. */
static bool fill_pairs(builder *b, uint32_t size, uint32_t seed) {
    const uint32_t mask = size - 1;
    memset(b->pairs, 0xff, size * sizeof *b->pairs);
    b->head.pair_seed = seed;
    b->head.pair_probe = 1;
    for (uint32_t rank = 0; rank < b->m->n_merges; rank++) {
        const fe_tok_merge merge = b->m->merge[rank];
        const uint64_t key = rt_tok_pair_key(merge.left, merge.right);
        uint32_t at = rt_tok_pair_home(key, seed, mask), probe = 1;
        while (b->pairs[at] != RT_TOK_NO_PAIR && b->pairs[at] >> RT_TOK_ID_BITS != key) {
            at = (at + 1) & mask;
            if (++probe > RT_TOK_MAX_PROBE) return false;
        }
        b->pairs[at] = key << RT_TOK_ID_BITS | rank; /* of two equal merges the later one counts */
        if (probe > b->head.pair_probe) b->head.pair_probe = probe;
    }
    return true;
}

static bool too_many_collisions(const builder *b, const char *what) {
    return diag_error(b->d, DIAG_TOK_LIMIT, (diag_loc){.file = b->m->file},
                      "the %s collide in every hash table tried", what);
}

static bool build_pairs(builder *b) {
    const uint32_t size = table_size(b->m->n_merges);
    b->pairs = arena_array(b->scratch, uint64_t, size);
    uint32_t seed = 0;
    while (seed < N_SEEDS && !fill_pairs(b, size, seed)) seed++;
    if (seed == N_SEEDS) return too_many_collisions(b, "merges");
    uint32_t *merged = arena_array(b->scratch, uint32_t, b->m->n_merges);
    for (uint32_t i = 0; i < b->m->n_merges; i++) merged[i] = (uint32_t)b->m->merge[i].made;
    b->merged = merged;
    set_part(b, RT_TOK_pairs, b->pairs, size);
    set_part(b, RT_TOK_merged, merged, b->m->n_merges);
    return true;
}

static uint32_t rank_of(const builder *b, int32_t left, int32_t right) {
    return rt_tok_pair_rank(b->pairs, b->head.part[RT_TOK_pairs].n - 1, b->head.pair_seed,
                            b->head.pair_probe, left, right);
}

/* Whether merging the bytes of token `id` ends in that one token: then the runtime may look it up.
 */
static bool is_reached(const builder *b, int32_t id) {
    int32_t part[LONGEST_TESTED];
    uint32_t rank[LONGEST_TESTED];
    size_t n = b->text_at[id + 1] - b->text_at[id];
    const uint8_t *p = b->text + b->text_at[id];
    if (n > LONGEST_TESTED) return false;
    for (size_t i = 0; i < n; i++) part[i] = b->head.byte_id[p[i]];
    for (size_t i = 0; i + 1 < n; i++) rank[i] = rank_of(b, part[i], part[i + 1]);
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            if (rank[i] < rank[best]) best = i;
        if (rank[best] == RT_TOK_MAX_IDS) return false;
        part[best] = (int32_t)b->merged[rank[best]];
        n--;
        for (size_t i = best + 1; i < n; i++) {
            part[i] = part[i + 1];
            rank[i - 1] = rank[i];
        }
        if (best + 1 < n) rank[best] = rank_of(b, part[best], part[best + 1]);
        if (best > 0) rank[best - 1] = rank_of(b, part[best - 1], part[best]);
    }
    return part[0] == id;
}

/* ---- whole words ---- */

static bool fill_words(builder *b, rt_tok_word *words, uint32_t size, uint32_t seed,
                       const int32_t *ids, uint32_t n) {
    const uint32_t mask = size - 1;
    memset(words, 0xff, size * sizeof *words);
    b->head.word_seed = seed;
    b->head.word_probe = 1;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t from = b->text_at[ids[i]];
        const uint64_t hash = rt_tok_hash(b->text + from, b->text_at[ids[i] + 1] - from, seed);
        uint32_t at = (uint32_t)hash & mask, probe = 1;
        while (words[at].id >= 0) {
            at = (at + 1) & mask;
            if (++probe > RT_TOK_MAX_PROBE) return false;
        }
        words[at] = (rt_tok_word){(uint32_t)(hash >> 32), ids[i]};
        if (probe > b->head.word_probe) b->head.word_probe = probe;
    }
    return true;
}

static bool build_words(builder *b) {
    const fe_tok_model *m = b->m;
    int32_t *ids = arena_array(b->scratch, int32_t, m->n_ids);
    uint32_t n = 0;
    for (int32_t id = 0; id < m->n_ids; id++) {
        if (!b->is_piece[id] || b->text_at[id + 1] - b->text_at[id] < 2) continue;
        if (m->ignore_merges || is_reached(b, id)) ids[n++] = id;
    }
    const uint32_t size = table_size(n);
    rt_tok_word *words = arena_array(b->scratch, rt_tok_word, size);
    for (uint32_t seed = 0; seed < N_SEEDS; seed++) {
        if (!fill_words(b, words, size, seed, ids, n)) continue;
        set_part(b, RT_TOK_words, words, size);
        return true;
    }
    return too_many_collisions(b, "tokens");
}

/* ---- layout ---- */

static bool lay_out(builder *b, arena *mem, fe_blob *out) {
    uint64_t size = sizeof b->head;
    for (int k = 0; k < RT_TOK_N_PARTS; k++) {
        rt_tok_part *part = &b->head.part[k];
        size = (size + RT_TOK_ALIGN - 1) / RT_TOK_ALIGN * RT_TOK_ALIGN;
        part->offset = (uint32_t)size;
        size += part->n * (uint64_t)rt_tok_item_bytes((rt_tok_part_kind)k);
        if (size > INT32_MAX)
            return diag_error(b->d, DIAG_TOK_LIMIT, (diag_loc){.file = b->m->file},
                              "the tokenizer's table would take more than 2 GiB");
    }
    b->head.n_bytes = (uint32_t)size;
    uint8_t *at = arena_get(mem, size, RT_TOK_ALIGN);
    memcpy(at, &b->head, sizeof b->head);
    for (int k = 0; k < RT_TOK_N_PARTS; k++) {
        const size_t bytes = b->head.part[k].n * rt_tok_item_bytes((rt_tok_part_kind)k);
        if (bytes) memcpy(at + b->head.part[k].offset, b->part[k], bytes);
    }
    *out = (fe_blob){at, size};
    return true;
}

bool fe_tok_build_table(const fe_tok_model *m, arena *scratch, arena *mem, diag *d, fe_blob *out) {
    builder b = {.m = m, .scratch = scratch, .d = d};
    memcpy(b.head.magic, RT_TOK_MAGIC, sizeof b.head.magic);
    b.head.version = RT_TOK_VERSION;
    b.head.pattern = m->pattern;
    b.head.n_ids = (uint32_t)m->n_ids;
    b.head.bos = m->bos;
    b.head.eos = m->eos;
    b.head.pad = m->pad;
    b.head.unk = m->unk;
    build_text(&b);
    set_byte_ids(&b);
    for (int trie = 0; trie < RT_TOK_N_TRIES; trie++) build_trie(&b, trie);
    return build_pairs(&b) && build_words(&b) && lay_out(&b, mem, out);
}
