/* link.h - runs ld.lld 19 on files in memory and gives the shared object the form the artifact
 * needs.
 */
#ifndef P4C_CODEGEN_ARTIFACT_LINK_H
#define P4C_CODEGEN_ARTIFACT_LINK_H

#include "codegen/artifact/artifact.h"
#include "codegen/artifact/stubs.h"

typedef struct art_file {
    const char *name; /* in the linker's messages */
    art_bytes bytes;
} art_file;

typedef struct art_link_job {
    const char *path;   /* of the artifact, for messages; the soname is its base name */
    const char *export; /* second name of p4c_get_api, NULL: none */
    const art_file *object;
    int n_objects;
    const art_target *target;
    const char *const *linker; /* programs to try in turn, ends in NULL; NULL: ld.lld-19, then
                                  ld.lld where that is version 19 */
} art_link_job;

/* The linked object, with an empty data segment. */
P4C_CHECKED bool art_link(const art_link_job *job, arena *mem, diag *d, art_bytes *out);

/* Gives the data segment its final size and its place at the end of the file: *out holds everything
 * up to its first byte, a multiple of RT_DATA_ALIGN.  Drops what is not needed to load, link or
 * strip the object (the linker's comment).  `linked` of another shape: LINKER_FAILED. */
P4C_CHECKED bool art_place_data(const char *path, art_bytes linked, uint64_t data_bytes, arena *mem,
                                diag *d, art_bytes *out);

#endif
