/* stubs.h - shared libraries without code that the linker is given in place of the C library's, so
 * that an artifact asks for the oldest version of each symbol and nothing of the host leaks in.
 *
 * A stub is an ELF shared object with a dynamic symbol table, version definitions and a soname, and
 * nothing else: it can be linked against, never loaded.  Source: System V gABI chapter 4; Linux
 * Standard Base core specification 5.0, "Symbol versioning".
 */
#ifndef P4C_CODEGEN_ARTIFACT_STUBS_H
#define P4C_CODEGEN_ARTIFACT_STUBS_H

#include "codegen/artifact/artifact.h"

typedef struct art_target {
    const char *triple;
    uint16_t machine; /* EM_* */
    int column;       /* of versions in stubs.def */
} art_target;

/* NULL: not known. */
const art_target *art_target_find(const char *triple);

enum { ART_N_STUBS = 3 };
extern const char *const art_stub_soname[ART_N_STUBS]; /* "libc.so.6", ... */

/* The bytes of stub library i. */
art_bytes art_stub_library(const art_target *target, int i, arena *mem);
/* A symbol that artifacts may leave undefined. */
bool art_stub_has(const char *symbol);

#endif
