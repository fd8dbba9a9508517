/* tokenizer_import.h - tokenizer.json and its companions -> the tokenizer table of an artifact.
 *
 * Read: byte-level BPE (tokenizer.json of the tokenizers library, version 1.0) with the split
 * patterns of cl100k, o200k and GPT-2, added tokens with lstrip, rstrip and normalized.  Whatever
 * else would change an id or the decoded text is refused by name.  tokenizer.json decides;
 * tokenizer_config.json and special_tokens_map.json, where they are there, name bos, eos, pad and
 * unk and must not contradict it.
 */
#ifndef P4C_FRONTEND_TOKENIZER_IMPORT_H
#define P4C_FRONTEND_TOKENIZER_IMPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/diag.h"
#include "base/str.h"
#include "base/util.h"
#include "frontend/blob.h"

/* Makes the table (runtime/tokenizer_abi.h) of the tokenizer in folder `dir`; it lives in
 * mem, 64-byte aligned.
 * vocab_size: rows of the model's embedding, every id must be below it; 0: not known.  Same files,
 * same bytes. */
P4C_CHECKED bool fe_import_tokenizer(const char *dir, int64_t vocab_size, arena *mem, diag *d,
                                     fe_blob *out);

/* The same from the files' texts; `config` and `special_map` may be empty (at is NULL). */
typedef struct fe_tokenizer_text {
    str tokenizer, config, special_map;
    const char *tokenizer_file, *config_file, *special_map_file; /* for messages */
} fe_tokenizer_text;
P4C_CHECKED bool fe_import_tokenizer_text(const fe_tokenizer_text *in, int64_t vocab_size,
                                          arena *mem, diag *d, fe_blob *out);

#endif
