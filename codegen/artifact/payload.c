/* payload.c - the table of embedded objects; cmake/embed.cmake makes the symbols. */
#include "codegen/artifact/payload.h"

#include <string.h>

extern const unsigned char art_payload[], art_payload_end[];

const char *art_payload_default(void) {
#if defined(__x86_64__)
    return "x86_64-linux-gnu";
#elif defined(__aarch64__)
    return "aarch64-linux-gnu";
#endif
}

bool art_payload_find(const char *triple, art_bytes *out) {
    if (strcmp(triple, art_payload_default()) != 0) return false;
    *out = (art_bytes){art_payload, (size_t)(art_payload_end - art_payload)};
    return true;
}
