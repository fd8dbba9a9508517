/* artifact_kit.h - a folder of its own, an art_input made of stand-ins (tests/artifact), and ways
 * to run programs and look into ELF files; shared by the tests of the artifact's form.
 */
#ifndef P4C_TESTS_ARTIFACT_KIT_H
#define P4C_TESTS_ARTIFACT_KIT_H

#include <elf.h>

#include "codegen/artifact/artifact.h"

typedef struct kit {
    arena *mem;
    diag d;
    char dir[64]; /* emptied and removed by kit_close */
    art_input in; /* path: dir/model.so; small weights of several kinds */
    cg_program program;
    cg_weight weight[4];
    cg_objects objects;
    rt_meta meta;
} kit;

void kit_open(kit *k, const char *runtime_object, const char *image_object);
void kit_close(kit *k);
char *kit_path(kit *k, const char *name); /* dir/name */
/* Names in the folder but "." and "..", joined by blanks in order of the alphabet. */
char *kit_list(kit *k);
/* A file's bytes; n 0 where it cannot be read. */
art_bytes kit_read(kit *k, const char *path);
void kit_write(const char *path, const void *p, size_t n, unsigned mode);

/* Runs a shell command; gives its exit status (128 + signal) and what it printed to both streams.
 */
int kit_run(kit *k, char **output, const char *format, ...) __attribute__((format(printf, 3, 4)));

typedef struct kit_elf {
    art_bytes file;
    const Elf64_Ehdr *eh;
    const Elf64_Phdr *ph;
    const Elf64_Shdr *sh;
} kit_elf;
/* False: not an ELF file whose tables lie inside it. */
bool kit_elf_view(art_bytes file, kit_elf *out);
const Elf64_Shdr *kit_section(const kit_elf *v, const char *name); /* NULL: none */
/* Bytes of the string at an offset of a string table. */
const char *kit_string(const kit_elf *v, const Elf64_Shdr *table, uint64_t offset);
/* The value of a tag in .dynamic, UINT64_MAX where it is not there; skip: how many of it to skip.
 */
uint64_t kit_dynamic(const kit_elf *v, int64_t tag, int skip);

#endif
