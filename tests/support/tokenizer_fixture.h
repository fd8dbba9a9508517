/* tokenizer_fixture.h - what the tokenizer's tests and fuzz targets share. */
#ifndef P4C_TESTS_TOKENIZER_FIXTURE_H
#define P4C_TESTS_TOKENIZER_FIXTURE_H

#include "frontend/tokenizer_import.h"
#include "runtime/tokenizer.h"

/* malloc and free; fails for good at call number fail_at (from 1; 0: never).  live: blocks not
 * freed. */
typedef struct counted_alloc {
    long calls, fail_at, live;
} counted_alloc;
rt_alloc counted_hooks(counted_alloc *c);

/* An imported and opened tokenizer. */
typedef struct tok_fixture {
    arena *mem;
    diag d;
    fe_blob blob;
    rt_tokenizer t;
    counted_alloc count;
    rt_alloc alloc;
    rt_ids ids;     /* of the last encode */
    rt_bytes bytes; /* of the last decode */
} tok_fixture;

/* Empty, to be filled by hand; tok_fixture_close still ends it. */
void tok_fixture_begin(tok_fixture *f);
/* Both return false where the import reports an error or the table does not open. */
bool tok_fixture_dir(tok_fixture *f, const char *dir, int64_t vocab_size);
bool tok_fixture_json(tok_fixture *f, str tokenizer_json, int64_t vocab_size);
void tok_fixture_close(tok_fixture *f);

/* Into f->ids, f->bytes; abort where memory ends. */
void tok_encode(tok_fixture *f, str s, bool parse_special, const uint8_t *plain);
void tok_decode(tok_fixture *f, bool skip_special); /* of f->ids */
/* The bytes of f->ids one after another equal s. */
bool tok_ids_spell(const tok_fixture *f, str s);

/* A file of the test folder, or of the unpacked archive of full-size tokenizers. */
str tok_file(arena *mem, const char *folder, const char *name);
/* `source` with the one place where `find` stands replaced; aborts where it does not stand. */
str tok_replace(arena *mem, str source, const char *find, const char *put);

/* A member of a line of JSON that json.dumps wrote, whose strings may hold NUL.  at is NULL for
 * null. */
str jsonl_str(arena *mem, str line, const char *key);
/* False for null. */
bool jsonl_ids(arena *mem, str line, const char *key, rt_ids *out);
/* Takes the next line off `rest`; false: there is none. */
bool next_line(str *rest, str *line);

#endif
