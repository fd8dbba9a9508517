/* artifact_kit.c - see artifact_kit.h. */
#include "tests/support/artifact_kit.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void must(bool ok, const char *what) {
    if (ok) return;
    perror(what);
    exit(2);
}

static const ir_op *made_up(ir_graph *g, ir_type t) {
    const ir_op *op = ir_add_weight(g, "w", t, (ir_source){.kind = SOURCE_seed, .seed = 5});
    must(op != NULL, "weight of the test");
    return op;
}

static void add_weights(kit *k) {
    ir_graph *g = ir_new(k->mem, &k->d, "test");
    const ir_op *const ops[] = {made_up(g, IR_TYPE(DT_f32, 200, 100)),
                                made_up(g, IR_TYPE(DT_bf16, 33)),
                                made_up(g, IR_TYPE(DT_bf16, 120, 65))};
    uint64_t at = 0;
    for (size_t i = 0; i < COUNT_OF(ops); i++) {
        ir_type stored = ops[i]->type;
        stored.dtype = cg_stored_dtype(ops[i]);
        k->weight[i] = (cg_weight){
            .op = ops[i], .offset = at, .bytes = (uint64_t)ir_type_bytes(&stored, 0, 0)};
        at = (uint64_t)round_up((int64_t)(at + k->weight[i].bytes), 64);
    }
    k->program = (cg_program){.plan = {.n_launches = 2, .n_kernels = 1},
                              .launch = arena_array(k->mem, rt_launch, 2),
                              .weight = k->weight,
                              .n_weights = COUNT_OF(ops),
                              .weights_bytes = at};
    k->program.launch[1].op = 12;
}

static void add_text(art_bytes *out, const char *s) { *out = (art_bytes){s, strlen(s)}; }

void kit_open(kit *k, const char *runtime_object, const char *image_object) {
    *k = (kit){.mem = arena_open(), .dir = "/tmp/p4c-test-XXXXXX"};
    k->d.mem = k->mem;
    must(mkdtemp(k->dir) != NULL, "mkdtemp");
    add_weights(k);
    const art_bytes image = kit_read(k, image_object);
    k->objects = (cg_objects){.object = {{"image.o", image.at, image.n}}, .n = 1};
    k->meta = (rt_meta){.n_layers = 1, .name = "kit"};
    k->in = (art_input){.path = kit_path(k, "model.so"),
                        .triple = "x86_64-linux-gnu",
                        .version = "1.2.3-test",
                        .objects = &k->objects,
                        .runtime = kit_read(k, runtime_object),
                        .program = &k->program,
                        .meta = &k->meta,
                        .n_threads = 2,
                        .mem = k->mem};
    add_text(&k->in.tokenizer, "tokens");
    add_text(&k->in.config, "config of one");
    add_text(&k->in.options, "{}");
    add_text(&k->in.ir, "graph");
}

static void empty_folder(const char *dir) {
    DIR *d = opendir(dir);
    for (const struct dirent *e; d && (e = readdir(d));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            unlinkat(dirfd(d), e->d_name, 0);
    if (d) closedir(d);
}

void kit_close(kit *k) {
    empty_folder(k->dir);
    must(rmdir(k->dir) == 0, k->dir);
    arena_close(k->mem);
}

char *kit_path(kit *k, const char *name) { return arena_printf(k->mem, "%s/%s", k->dir, name); }

static int by_name(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

char *kit_list(kit *k) {
    enum { MAX = 64 };
    char *name[MAX];
    int n = 0;
    DIR *d = opendir(k->dir);
    must(d != NULL, k->dir);
    for (const struct dirent *e; n < MAX && (e = readdir(d));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            name[n++] = arena_strdup(k->mem, e->d_name);
    closedir(d);
    qsort(name, (size_t)n, sizeof *name, by_name);
    text t = {.mem = k->mem};
    text_cat(&t, "");
    for (int i = 0; i < n; i++) text_printf(&t, "%s%s", i ? " " : "", name[i]);
    return arena_printf(k->mem, STR_FMT, STR_ARG(text_str(&t)));
}

art_bytes kit_read(kit *k, const char *path) {
    FILE *f = fopen(path, "rb");
    if (!f) return (art_bytes){"", 0};
    fseek(f, 0, SEEK_END);
    const size_t n = (size_t)ftell(f);
    rewind(f);
    char *p = arena_get(k->mem, n + 1, 64);
    must(fread(p, 1, n, f) == n, path);
    fclose(f);
    return (art_bytes){p, n};
}

void kit_write(const char *path, const void *p, size_t n, unsigned mode) {
    unlink(path);
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    must(fd >= 0, path);
    must(write(fd, p, n) == (ssize_t)n && fchmod(fd, mode) == 0 && close(fd) == 0, path);
}

int kit_run(kit *k, char **output, const char *format, ...) {
    char line[4096];
    va_list ap;
    va_start(ap, format);
    char *command = arena_vprintf(k->mem, format, ap);
    va_end(ap);
    FILE *p = popen(arena_printf(k->mem, "( %s ) 2>&1", command), "r");
    must(p != NULL, "popen");
    text t = {.mem = k->mem};
    text_cat(&t, "");
    for (size_t n; (n = fread(line, 1, sizeof line, p)) > 0;) text_add(&t, (str){line, n});
    const int status = pclose(p);
    if (output) *output = arena_copy(k->mem, text_str(&t).at, text_str(&t).n);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

bool kit_elf_view(art_bytes file, kit_elf *out) {
    *out = (kit_elf){.file = file, .eh = file.at};
    const uint8_t *at = file.at;
    if (file.n < sizeof(Elf64_Ehdr) || memcmp(at, ELFMAG, SELFMAG) != 0) return false;
    const Elf64_Ehdr *eh = out->eh;
    if (eh->e_phoff + eh->e_phnum * sizeof(Elf64_Phdr) > file.n ||
        eh->e_shoff + eh->e_shnum * sizeof(Elf64_Shdr) > file.n)
        return false;
    out->ph = (const void *)(at + eh->e_phoff);
    out->sh = (const void *)(at + eh->e_shoff);
    return true;
}

const char *kit_string(const kit_elf *v, const Elf64_Shdr *table, uint64_t offset) {
    must(offset < table->sh_size, "offset in a string table");
    return (const char *)v->file.at + table->sh_offset + offset;
}

const Elf64_Shdr *kit_section(const kit_elf *v, const char *name) {
    for (int i = 1; i < v->eh->e_shnum; i++)
        if (strcmp(kit_string(v, &v->sh[v->eh->e_shstrndx], v->sh[i].sh_name), name) == 0)
            return &v->sh[i];
    return NULL;
}

uint64_t kit_dynamic(const kit_elf *v, int64_t tag, int skip) {
    const Elf64_Shdr *s = kit_section(v, ".dynamic");
    must(s != NULL, ".dynamic");
    const Elf64_Dyn *d = (const void *)((const uint8_t *)v->file.at + s->sh_offset);
    for (uint64_t i = 0; i < s->sh_size / sizeof *d; i++)
        if (d[i].d_tag == tag && skip-- == 0) return d[i].d_un.d_val;
    return UINT64_MAX;
}
