/* digest.h - BLAKE3, 256 bits, unkeyed.  Source: the BLAKE3 specification (O'Connor, Aumasson,
 * Neves, Wilcox-O'Hearn, 2020), section 2.  Compiled into the runtime too: no allocation, no libc
 * beyond memcpy. Same result as llvm-c/blake3.h (a test).  digest_update may be called with pieces
 * of any size. */
#ifndef P4C_BASE_DIGEST_H
#define P4C_BASE_DIGEST_H

#include <stddef.h>
#include <stdint.h>

enum { DIGEST_BYTES = 32 };

typedef struct digest {
    uint32_t chain[8]; /* of the chunk being read */
    uint64_t n_chunks; /* finished chunks */
    uint8_t block[64];
    uint32_t n_block, n_blocks; /* bytes in block; blocks compressed in this chunk */
    uint32_t stack[54][8];      /* finished subtrees, largest first */
    uint32_t n_stack;
    uint32_t wide; /* this CPU has 256-bit integer vectors */
} digest;

void digest_init(digest *g);
void digest_update(digest *g, const void *p, size_t n);
void digest_final(const digest *g, uint8_t out[DIGEST_BYTES]);
void digest_hex(const uint8_t sum[DIGEST_BYTES], char out[2 * DIGEST_BYTES + 1]);

#endif
