/* fuzz_index.c - any text as model.safetensors.index.json of a folder with two shards, of one
 * tensor each, and a secret beside the folder that no index may reach. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "frontend/shards.h"
#include "tests/support/st_writer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char root[] = "/tmp/p4c-fuzz-index-XXXXXX";
static char dir[64];

static void remove_root(void) {
    char command[100];
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    if (system(command) != 0) perror(root);
}

static void put_shard(arena *mem, const char *path, const char *tensor) {
    st_writer w = st_writer_new(mem);
    st_writer_add(&w, tensor, "F32", 1, (int64_t[]){1}, "abcd", 4);
    put_file(path, st_writer_done(&w));
}

static void make_folder(arena *mem) {
    if (!mkdtemp(root)) abort();
    atexit(remove_root);
    snprintf(dir, sizeof dir, "%s/m", root);
    if (mkdir(dir, 0700) != 0) abort();
    put_shard(mem, path_join(mem, dir, "a.safetensors"), "x");
    put_shard(mem, path_join(mem, dir, "b.safetensors"), "y");
    put_shard(mem, path_join(mem, root, "secret.safetensors"), "secret");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    arena *mem = arena_open();
    diag d = {.mem = mem};
    if (!dir[0]) make_folder(mem);
    fe_shards *s = fe_open_indexed(dir, "index.json", (str){(const char *)data, size}, mem, &d);
    if ((s != NULL) == (d.n_errors > 0)) abort();
    if (s && fe_find_tensor(s, "secret")) abort();
    fe_close_shards(s);
    arena_close(mem);
    return 0;
}
