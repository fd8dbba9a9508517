/* tokenizer_abi.h - the tokenizer's table in an artifact: what the importer writes and the runtime
 * reads.
 *
 * One blob: rt_tok_header, then parts, each starting at a multiple of RT_TOK_ALIGN.  Little endian,
 * offsets instead of pointers, no padding left unwritten.  Any change raises RT_TOK_VERSION.
 *
 * Both hash tables are open: an entry stands in one of the first `probe` slots from its home on,
 * wrapping around; a free slot ends the search early.  The importer picks a seed that keeps `probe`
 * small.
 */
#ifndef P4C_RUNTIME_TOKENIZER_ABI_H
#define P4C_RUNTIME_TOKENIZER_ABI_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define RT_TOK_MAGIC "p4ctok\x1a\n"

enum {
    RT_TOK_VERSION = 1,
    RT_TOK_ALIGN = 64,
    RT_TOK_ID_BITS = 21, /* of ids and of merge ranks */
    RT_TOK_MAX_IDS = 1 << RT_TOK_ID_BITS,
    RT_TOK_MAX_ADDED_BYTES = 256, /* length of an added token's text */
    RT_TOK_MAX_PROBE = 64,
};

/* How text is cut into pieces before merging; the expressions stand in runtime/tokenizer_split.c.
 */
typedef enum rt_tok_pattern {
    RT_TOK_gpt2,
    RT_TOK_cl100k,
    RT_TOK_o200k,
    RT_TOK_N_PATTERNS,
} rt_tok_pattern;

typedef enum rt_tok_part_kind {
    RT_TOK_text_at, /* u32[n_ids + 1]: where the bytes of an id start in `text`; ascending */
    RT_TOK_text, /* u8[]: what each id decodes to; behind it added tokens that decode otherwise */
    RT_TOK_id_flags, /* u8[n_ids]: RT_TOK_IS_* */
    RT_TOK_words,    /* rt_tok_word[power of two]: bytes -> id, for whole pieces */
    RT_TOK_pairs,    /* u64[power of two]: (left, right) -> rank, see rt_tok_pair_key */
    RT_TOK_merged,   /* u32[n_merges]: id that the merge of this rank makes */
    RT_TOK_added,    /* rt_tok_added[] */
    RT_TOK_trie_0,   /* rt_tok_node[]: added tokens looked for first (normalized false) */
    RT_TOK_trie_1,   /* rt_tok_node[]: those looked for in what is left */
    RT_TOK_N_PARTS,
} rt_tok_part_kind;

enum { RT_TOK_N_TRIES = 2 };

/* Bits of id_flags. */
enum {
    RT_TOK_IS_TOKEN = 1,   /* there is a token with this id */
    RT_TOK_IS_ADDED = 2,   /* listed among the added tokens */
    RT_TOK_IS_SPECIAL = 4, /* of the added ones: dropped by decoding without special tokens */
};

typedef struct rt_tok_part {
    uint32_t offset, n; /* bytes from the blob's start; items, not bytes */
} rt_tok_part;

typedef struct rt_tok_word {
    uint32_t tag; /* high half of rt_tok_hash */
    int32_t id;   /* -1: free slot */
} rt_tok_word;

typedef struct rt_tok_added {
    int32_t id;
    uint32_t text, n; /* what is looked for: bytes in part `text` */
    uint8_t lstrip, rstrip, pad[2];
} rt_tok_added;

/* A node's children stand side by side in ascending order of byte, behind their parent. */
typedef struct rt_tok_node {
    uint32_t child; /* first child */
    uint16_t n_children;
    uint8_t byte, pad;
    int32_t added; /* index of the added token that ends here, or -1 */
} rt_tok_node;

typedef struct rt_tok_header {
    char magic[8];
    uint32_t version, n_bytes;  /* of the whole blob */
    uint32_t pattern;           /* rt_tok_pattern */
    uint32_t n_ids;             /* largest id + 1; ids without a token occur */
    int32_t bos, eos, pad, unk; /* as tokenizer_config.json names them; -1: none */
    uint32_t max_token_bytes;   /* of what an id decodes to */
    uint32_t word_seed, word_probe;
    uint32_t pair_seed, pair_probe;
    uint32_t reserved; /* 0 */
    rt_tok_part part[RT_TOK_N_PARTS];
    uint8_t first_byte[RT_TOK_N_TRIES]
                      [32]; /* bit b: some added token of this trie starts with byte b */
    int32_t byte_id[256];   /* token of each single byte */
} rt_tok_header;

/* Bytes of one item of a part. */
static inline size_t rt_tok_item_bytes(rt_tok_part_kind kind) {
    static const uint8_t BYTES[RT_TOK_N_PARTS] = {
        [RT_TOK_text_at] = sizeof(uint32_t),
        [RT_TOK_text] = 1,
        [RT_TOK_id_flags] = 1,
        [RT_TOK_words] = sizeof(rt_tok_word),
        [RT_TOK_pairs] = sizeof(uint64_t),
        [RT_TOK_merged] = sizeof(uint32_t),
        [RT_TOK_added] = sizeof(rt_tok_added),
        [RT_TOK_trie_0] = sizeof(rt_tok_node),
        [RT_TOK_trie_1] = sizeof(rt_tok_node),
    };
    return BYTES[kind];
}

static inline uint64_t rt_tok_load(const uint8_t *p, size_t n) {
    uint64_t v = 0;
    memcpy(&v, p, n);
    return v;
}

/* Hash of a piece of n >= 1 bytes.  Multiply and fold, eight bytes at a time. */
static inline uint64_t rt_tok_hash(const uint8_t *p, size_t n, uint32_t seed) {
    const uint64_t k = 0x9e3779b97f4a7c15u;
    uint64_t h = (seed + n) * 0xd6e8feb86659fd93u, last;
    if (n >= 8) {
        for (size_t at = 0; at + 8 < n; at += 8) {
            h = (h ^ rt_tok_load(p + at, 8)) * k;
            h ^= h >> 32;
        }
        last = rt_tok_load(p + n - 8, 8);
    } else if (n >= 4) {
        last = rt_tok_load(p, 4) | rt_tok_load(p + n - 4, 4) << 32;
    } else {
        last = p[0] | (uint64_t)p[n / 2] << 8 | (uint64_t)p[n - 1] << 16;
    }
    h = (h ^ last) * k;
    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93u;
    return h ^ h >> 29;
}

/* A slot of `pairs`: left << 42 | right << 21 | rank; all ones is free (a left id is below 2^21).
 */
#define RT_TOK_NO_PAIR UINT64_MAX

static inline uint64_t rt_tok_pair_key(int32_t left, int32_t right) {
    return (uint64_t)(uint32_t)left << RT_TOK_ID_BITS | (uint32_t)right;
}
static inline uint32_t rt_tok_pair_home(uint64_t key, uint32_t seed, uint32_t mask) {
    const uint64_t h = (key ^ seed) * 0x9e3779b97f4a7c15u;
    return (uint32_t)(h >> 32 ^ h >> 12) & mask;
}

/* Rank of a pair, RT_TOK_MAX_IDS where the two do not merge. */
static inline uint32_t rt_tok_pair_rank(const uint64_t *pairs, uint32_t mask, uint32_t seed,
                                        uint32_t probe, int32_t left, int32_t right) {
    const uint64_t key = rt_tok_pair_key(left, right);
    uint32_t at = rt_tok_pair_home(key, seed, mask);
    for (uint32_t i = 0; i < probe; i++, at = (at + 1) & mask) {
        if (pairs[at] >> RT_TOK_ID_BITS == key) return (uint32_t)pairs[at] & (RT_TOK_MAX_IDS - 1);
        if (pairs[at] == RT_TOK_NO_PAIR) break;
    }
    return RT_TOK_MAX_IDS;
}

#endif
