/* blob.h - bytes that one part of the frontend makes and the artifact writer stores. */
#ifndef P4C_FRONTEND_BLOB_H
#define P4C_FRONTEND_BLOB_H

#include <stddef.h>
#include <stdint.h>

typedef struct fe_blob {
    const uint8_t *at; /* in the arena given to the maker */
    size_t n;
} fe_blob;

#endif
