/* tokenizer_import_model.h - what the three parts of the tokenizer's import hand to each other. */
#ifndef P4C_FRONTEND_TOKENIZER_IMPORT_MODEL_H
#define P4C_FRONTEND_TOKENIZER_IMPORT_MODEL_H

#include "base/json.h"
#include "frontend/tokenizer_import.h"
#include "runtime/tokenizer_abi.h"

typedef struct fe_tok_merge { /* ids; made = the joined text's */
    int32_t left, right, made;
} fe_tok_merge;

typedef struct fe_tok_added {
    str text;
    int32_t id;
    bool special, lstrip, rstrip, normalized;
} fe_tok_added;

/* A tokenizer read and checked: ids are in [0, n_ids), merges name tokens, each byte has a token.
 * Strings point into the JSON tree. */
typedef struct fe_tok_model {
    const char *file; /* for messages */
    rt_tok_pattern pattern;
    bool ignore_merges; /* a whole piece that is in the vocabulary is not merged */
    int32_t n_ids;
    str *token;     /* [n_ids] as the file spells it; at is NULL: no token */
    bool *in_vocab; /* [n_ids] of the model's vocabulary, in the byte alphabet; not only added */
    fe_tok_merge *merge; /* in order of rank */
    uint32_t n_merges;
    fe_tok_added *added;
    uint32_t n_added;
    int32_t bos, eos, pad, unk; /* -1: none */
} fe_tok_model;

/* A string for a message: quoted, escaped, cut where it is long.  Lives in mem. */
const char *fe_tok_quote(arena *mem, str s);

/* tokenizer_import_settings.c: every setting of tokenizer.json but vocabulary, merges and added
 * tokens. */
P4C_CHECKED bool fe_tok_read_settings(const cJSON *root, arena *mem, diag *d, fe_tok_model *m);

/* tokenizer_import_table.c */
enum { FE_TOK_LONGEST_CHAR = 3 }; /* bytes of a character of the byte alphabet, with room */
/* The bytes that a token's text stands for, in the alphabet where every byte is a visible character
 * (as GPT-2's bytes_to_unicode); false where a character is not of the alphabet.  out has room for
 * s.n bytes. */
bool fe_tok_from_alphabet(str s, uint8_t *out, size_t *n);
/* The alphabet's character for a byte, as UTF-8; returns its length. */
size_t fe_tok_to_alphabet(uint8_t byte, char out[FE_TOK_LONGEST_CHAR]);

P4C_CHECKED bool fe_tok_build_table(const fe_tok_model *m, arena *scratch, arena *mem, diag *d,
                                    fe_blob *out);

#endif
