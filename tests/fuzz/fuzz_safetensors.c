/* fuzz_safetensors.c - any bytes as a .safetensors file: every tensor that is reported lies inside
 * it. */
#include <stdlib.h>

#include "frontend/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    arena *mem = arena_open();
    diag d = {.mem = mem};
    st_file f;
    const bool ok = st_read(data, size, "f", mem, &d, &f);
    if (ok == (d.n_errors > 0)) abort();
    uint64_t covered = 0;
    for (size_t i = 0; ok && i < f.n_tensors; i++) {
        const ir_range *r = &f.tensor[i].range;
        if (r->offset > size || r->bytes > size - r->offset) abort();
        covered += r->bytes;
    }
    if (ok && covered > size - 8) abort();
    arena_close(mem);
    return 0;
}
