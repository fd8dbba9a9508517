/* tokenizer_bpe.c - of all neighbours that may merge, the pair of lowest rank does, the leftmost
 * first, until none is left (Sennrich et al., Neural Machine Translation of Rare Words with Subword
 * Units, 2016).
 *
 * A piece that is in the word table takes one look-up: the importer lists only words that merging
 * would reach.  Short pieces scan for the lowest rank; long ones keep the ranks in a heap, O(n log
 * n).
 */
#include "runtime/tokenizer_bpe.h"

enum {
    SHORT_BYTES = 64,         /* above this the heap is faster */
    NO_RANK = RT_TOK_MAX_IDS, /* the pair does not merge */
};

static inline uint32_t rank_of(const rt_tokenizer *t, int32_t left, int32_t right) {
    return rt_tok_pair_rank(t->pairs, t->pair_mask, t->head->pair_seed, t->head->pair_probe, left,
                            right);
}

static int32_t find_word(const rt_tokenizer *t, const uint8_t *p, size_t n) {
    const uint64_t hash = rt_tok_hash(p, n, t->head->word_seed);
    const uint32_t tag = (uint32_t)(hash >> 32), probe = t->head->word_probe;
    uint32_t at = (uint32_t)hash & t->word_mask;
    for (uint32_t i = 0; i < probe; i++, at = (at + 1) & t->word_mask) {
        const rt_tok_word w = t->words[at];
        if (w.id < 0) break;
        if (w.tag != tag) continue;
        const uint32_t from = t->text_at[w.id];
        if (t->text_at[w.id + 1] - from == n && !memcmp(t->text + from, p, n)) return w.id;
    }
    return -1;
}

/* out has room for n ids. */
static size_t merge_short(const rt_tokenizer *t, const uint8_t *p, size_t n, int32_t *id) {
    uint32_t rank[SHORT_BYTES]; /* of the pair (i, i + 1) */
    for (size_t i = 0; i < n; i++) id[i] = t->head->byte_id[p[i]];
    for (size_t i = 0; i + 1 < n; i++) rank[i] = rank_of(t, id[i], id[i + 1]);
    rank[n - 1] = NO_RANK;
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++) best = rank[i] < rank[best] ? i : best;
        if (rank[best] == NO_RANK) break;
        id[best] = (int32_t)t->merged[rank[best]];
        n--;
        memmove(id + best + 1, id + best + 2, (n - best - 1) * sizeof *id);
        memmove(rank + best, rank + best + 1, (n - best) * sizeof *rank);
        if (best + 1 < n) rank[best] = rank_of(t, id[best], id[best + 1]);
        if (best > 0) rank[best - 1] = rank_of(t, id[best - 1], id[best]);
    }
    return n;
}

/* A symbol of a long piece, in a linked list. */
typedef struct symbol {
    uint32_t prev, next; /* the number of bytes n: none */
    int32_t id;
    uint32_t rank; /* of the pair (this, next); NO_RANK too where this one was merged away */
} symbol;

/* Binary min-heap of rank << 32 | position.  An entry counts only while its position still has that
 * rank. */
typedef struct heap {
    uint64_t *at;
    size_t n;
} heap;

static void sift_down(heap *h, size_t i) {
    const uint64_t v = h->at[i];
    for (size_t child; (child = 2 * i + 1) < h->n; i = child) {
        if (child + 1 < h->n && h->at[child + 1] < h->at[child]) child++;
        if (v <= h->at[child]) break;
        h->at[i] = h->at[child];
    }
    h->at[i] = v;
}

static void push(heap *h, uint32_t rank, uint32_t pos) {
    const uint64_t v = (uint64_t)rank << 32 | pos;
    size_t i = h->n++;
    for (; i > 0 && h->at[(i - 1) / 2] > v; i = (i - 1) / 2) h->at[i] = h->at[(i - 1) / 2];
    h->at[i] = v;
}

static uint64_t pop(heap *h) {
    const uint64_t top = h->at[0];
    h->at[0] = h->at[--h->n];
    sift_down(h, 0);
    return top;
}

/* Sets the rank of the pair that starts at `pos`, whose neighbour changed. */
static void rank_pair(const rt_tokenizer *t, symbol *s, uint32_t pos, uint32_t n, heap *h) {
    s[pos].rank = s[pos].next < n ? rank_of(t, s[pos].id, s[s[pos].next].id) : NO_RANK;
    if (s[pos].rank != NO_RANK) push(h, s[pos].rank, pos);
}

/* Each merge takes an entry off the heap and puts back two at most, so it never holds 2 n. */
static void merge_long(const rt_tokenizer *t, const uint8_t *p, uint32_t n, symbol *s, heap *h) {
    for (uint32_t i = 0; i < n; i++)
        s[i] = (symbol){i ? i - 1 : n, i + 1, t->head->byte_id[p[i]], NO_RANK};
    for (uint32_t i = 0; i + 1 < n; i++) {
        s[i].rank = rank_of(t, s[i].id, s[i + 1].id);
        if (s[i].rank != NO_RANK) h->at[h->n++] = (uint64_t)s[i].rank << 32 | i;
    }
    for (size_t i = h->n / 2; i-- > 0;) sift_down(h, i);
    while (h->n) {
        const uint64_t top = pop(h);
        const uint32_t pos = (uint32_t)top, rank = (uint32_t)(top >> 32);
        if (s[pos].rank != rank) continue;
        const uint32_t gone = s[pos].next;
        s[pos].id = (int32_t)t->merged[rank];
        s[pos].next = s[gone].next;
        s[gone].rank = NO_RANK;
        if (s[pos].next < n) s[s[pos].next].prev = pos;
        rank_pair(t, s, pos, n, h);
        if (s[pos].prev < n) rank_pair(t, s, s[pos].prev, n, h);
    }
}

static bool long_piece(rt_bpe *b, const uint8_t *p, size_t n, rt_ids *out) {
    const size_t want = n * (sizeof(symbol) + 2 * sizeof(uint64_t));
    if (want > b->scratch_bytes) {
        rt_bpe_end(b);
        b->scratch = rt_get(b->mem, want, 1);
        if (!b->scratch) return false;
        b->scratch_bytes = want;
    }
    symbol *s = b->scratch;
    heap h = {(uint64_t *)(s + n), 0};
    merge_long(b->t, p, (uint32_t)n, s, &h);
    for (size_t i = 0; i < n; i = s[i].next)
        if (!rt_ids_add(b->mem, out, s[i].id)) return false;
    return true;
}

bool rt_bpe_piece(rt_bpe *b, const uint8_t *p, size_t n, rt_ids *out) {
    const rt_tokenizer *t = b->t;
    if (n == 1) return rt_ids_add(b->mem, out, t->head->byte_id[p[0]]);
    if (n <= t->head->max_token_bytes) {
        const int32_t id = find_word(t, p, n);
        if (id >= 0) return rt_ids_add(b->mem, out, id);
    }
    if (n > SHORT_BYTES) return long_piece(b, p, n, out);
    if (!rt_ids_reserve(b->mem, out, n)) return false;
    out->n += merge_short(t, p, n, out->at + out->n);
    return true;
}

void rt_bpe_end(rt_bpe *b) {
    rt_release(b->mem, b->scratch);
    b->scratch = NULL;
    b->scratch_bytes = 0;
}
