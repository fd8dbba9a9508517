/* tokenizer_split.h - cuts text into the pieces that byte-pair merging works on. */
#ifndef P4C_RUNTIME_TOKENIZER_SPLIT_H
#define P4C_RUNTIME_TOKENIZER_SPLIT_H

#include "runtime/tokenizer_abi.h"

/* End of the piece that starts at byte `at` < n of the text p[n]; always behind `at`.  The pieces
 * cover the text.  An ill-formed byte sequence is one character that is neither letter, number nor
 * white space (utf8.h says what counts as one). Time linear in the text over a whole run of calls.
 */
size_t rt_split_next(rt_tok_pattern pattern, const uint8_t *p, size_t n, size_t at);

#endif
