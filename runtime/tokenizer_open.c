/* tokenizer_open.c - checks a tokenizer table, so that nothing else has to. */
#include "runtime/tokenizer.h"

/* The checked start of a part; NULL where it does not lie in the blob. */
static const void *part_at(const rt_tok_header *h, rt_tok_part_kind kind) {
    const rt_tok_part part = h->part[kind];
    const uint64_t end = part.offset + (uint64_t)part.n * rt_tok_item_bytes(kind);
    if (part.offset % RT_TOK_ALIGN || part.offset < sizeof *h || end > h->n_bytes) return NULL;
    return (const uint8_t *)h + part.offset;
}

static bool is_power_of_two(uint32_t n) { return n && !(n & (n - 1)); }

static bool id_or_none(const rt_tok_header *h, int32_t id) {
    return id >= -1 && id < (int32_t)h->n_ids;
}

static bool header_ok(const rt_tok_header *h, size_t n) {
    if (memcmp(h->magic, RT_TOK_MAGIC, sizeof h->magic) || h->version != RT_TOK_VERSION)
        return false;
    if (h->n_bytes != n || h->pattern >= RT_TOK_N_PATTERNS) return false;
    if (!h->n_ids || h->n_ids > RT_TOK_MAX_IDS) return false;
    if (!id_or_none(h, h->bos) || !id_or_none(h, h->eos)) return false;
    if (!id_or_none(h, h->pad) || !id_or_none(h, h->unk)) return false;
    if (h->word_probe > RT_TOK_MAX_PROBE || h->pair_probe > RT_TOK_MAX_PROBE) return false;
    for (size_t i = 0; i < 256; i++)
        if (h->byte_id[i] < 0 || !id_or_none(h, h->byte_id[i])) return false;
    return true;
}

static bool tokens_ok(const rt_tok_header *h, const uint32_t *text_at) {
    for (uint32_t i = 0; i < h->n_ids; i++)
        if (text_at[i] > text_at[i + 1] || text_at[i + 1] - text_at[i] > h->max_token_bytes)
            return false;
    return text_at[h->n_ids] <= h->part[RT_TOK_text].n;
}

static bool tables_ok(const rt_tok_header *h, const rt_tokenizer *t) {
    for (uint32_t i = 0; i < h->part[RT_TOK_words].n; i++)
        if (!id_or_none(h, t->words[i].id)) return false;
    for (uint32_t i = 0; i < h->part[RT_TOK_pairs].n; i++) {
        const uint32_t rank = (uint32_t)t->pairs[i] & (RT_TOK_MAX_IDS - 1);
        if (t->pairs[i] != RT_TOK_NO_PAIR && rank >= h->part[RT_TOK_merged].n) return false;
    }
    for (uint32_t i = 0; i < h->part[RT_TOK_merged].n; i++)
        if (t->merged[i] >= h->n_ids) return false;
    return true;
}

static bool added_ok(const rt_tok_header *h, const rt_tok_added *added) {
    for (uint32_t i = 0; i < h->part[RT_TOK_added].n; i++) {
        if (added[i].id < 0 || !id_or_none(h, added[i].id)) return false;
        if (!added[i].n || added[i].n > RT_TOK_MAX_ADDED_BYTES) return false;
        if ((uint64_t)added[i].text + added[i].n > h->part[RT_TOK_text].n) return false;
    }
    return true;
}

static bool trie_ok(const rt_tok_header *h, rt_tok_part_kind kind, const rt_tok_node *node) {
    const uint32_t n = h->part[kind].n;
    for (uint32_t i = 0; i < n; i++) {
        if (node[i].added < -1 || node[i].added >= (int64_t)h->part[RT_TOK_added].n) return false;
        if ((uint64_t)node[i].child + node[i].n_children > n) return false;
        if (node[i].n_children && node[i].child <= i) return false;
    }
    return true;
}

bool rt_tokenizer_open(rt_tokenizer *t, const void *blob, size_t n) {
    const rt_tok_header *h = blob;
    const void *at[RT_TOK_N_PARTS];
    if (n < sizeof *h || (uintptr_t)blob % _Alignof(uint64_t) || !header_ok(h, n)) return false;
    for (int k = 0; k < RT_TOK_N_PARTS; k++) {
        at[k] = part_at(h, (rt_tok_part_kind)k);
        if (!at[k]) return false;
    }
    if (h->part[RT_TOK_text_at].n != h->n_ids + 1 || h->part[RT_TOK_id_flags].n != h->n_ids)
        return false;
    if (!is_power_of_two(h->part[RT_TOK_words].n) || !is_power_of_two(h->part[RT_TOK_pairs].n))
        return false;
    *t = (rt_tokenizer){
        .head = h,
        .text_at = at[RT_TOK_text_at],
        .text = at[RT_TOK_text],
        .id_flags = at[RT_TOK_id_flags],
        .words = at[RT_TOK_words],
        .pairs = at[RT_TOK_pairs],
        .merged = at[RT_TOK_merged],
        .added = at[RT_TOK_added],
        .trie = {h->part[RT_TOK_trie_0].n ? at[RT_TOK_trie_0] : NULL,
                 h->part[RT_TOK_trie_1].n ? at[RT_TOK_trie_1] : NULL},
        .word_mask = h->part[RT_TOK_words].n - 1,
        .pair_mask = h->part[RT_TOK_pairs].n - 1,
        .n_added = h->part[RT_TOK_added].n,
    };
    return tokens_ok(h, t->text_at) && tables_ok(h, t) && added_ok(h, t->added) &&
           trie_ok(h, RT_TOK_trie_0, t->trie[0]) && trie_ok(h, RT_TOK_trie_1, t->trie[1]);
}
