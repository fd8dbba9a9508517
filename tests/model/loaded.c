/* loaded.c - dlopen, p4c_open, and errors that end a test program. */
#include "tests/model/loaded.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

void must(p4c_status status, const p4c_error *error, const char *what) {
    if (status == P4C_OK) return;
    fprintf(stderr, "%s: %s\n", what, error->text);
    exit(1);
}

p4c_status loaded_open(const char *path, uint32_t n_threads, const char *cpu, loaded *out) {
    *out = (loaded){.library = dlopen(path, RTLD_NOW | RTLD_LOCAL)};
    if (!out->library) {
        fprintf(stderr, "%s\n", dlerror());
        exit(1);
    }
    p4c_get_api_fn *get_api;
    *(void **)&get_api = dlsym(out->library, "p4c_get_api");
    p4c_open_params params = p4c_default_open_params();
    params.n_threads = n_threads;
    params.cpu = cpu;
    p4c_error error = {0};
    const p4c_status status = p4c_open(get_api(P4C_API_VERSION), &params, &out->model, &error);
    if (status == P4C_ERR_NO_CPU) return status;
    must(status, &error, path);
    out->info.size = sizeof out->info;
    must(p4c_get_info(out->model, &out->info, &error), &error, path);
    return P4C_OK;
}

void loaded_close(loaded *l) {
    p4c_close(l->model);
    dlclose(l->library);
    *l = (loaded){0};
}

char *read_text(const char *path, size_t *n_bytes) {
    FILE *f = fopen(path, "rb");
    char *text = NULL;
    if (f && fseek(f, 0, SEEK_END) == 0) {
        *n_bytes = (size_t)ftell(f);
        rewind(f);
        text = malloc(*n_bytes + 1);
        if (!text || fread(text, 1, *n_bytes, f) != *n_bytes) exit(1);
        text[*n_bytes] = 0;
        fclose(f);
        return text;
    }
    perror(path);
    exit(1);
}
