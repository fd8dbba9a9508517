/* The stub libraries: well formed, with the versions that glibc gave these symbols, and accepted by
 * the host's own C library as its promise. */
#include <dlfcn.h>
#include <elf.h>
#include <string.h>

#include "codegen/artifact/stubs.h"
#include "tests/unit/unit.h"

static const char *const LOADED[ART_N_STUBS] = {"libc.so.6", "libm.so.6", "libpthread.so.0"};

typedef struct stub_view {
    const uint8_t *at;
    const Elf64_Shdr *dynsym, *dynstr, *versym, *verdef, *dynamic;
} stub_view;

static const char *string_at(const stub_view *v, uint64_t offset) {
    CU_ASSERT_TRUE_FATAL(offset < v->dynstr->sh_size);
    return (const char *)v->at + v->dynstr->sh_offset + offset;
}

static stub_view view(art_bytes b, uint16_t machine) {
    stub_view v = {.at = b.at};
    const Elf64_Ehdr *eh = b.at;
    CU_ASSERT_EQUAL(memcmp(eh->e_ident, ELFMAG, SELFMAG), 0);
    CU_ASSERT_EQUAL(eh->e_machine, machine);
    CU_ASSERT_EQUAL(eh->e_type, ET_DYN);
    CU_ASSERT_EQUAL_FATAL(eh->e_shoff + eh->e_shnum * sizeof(Elf64_Shdr), b.n);
    const Elf64_Shdr *sh = (const void *)(v.at + eh->e_shoff);
    for (int i = 1; i < eh->e_shnum; i++) {
        const char *name = (const char *)v.at + sh[eh->e_shstrndx].sh_offset + sh[i].sh_name;
        CU_ASSERT_TRUE_FATAL(sh[i].sh_offset + sh[i].sh_size <= b.n);
        if (strcmp(name, ".dynsym") == 0) v.dynsym = &sh[i];
        if (strcmp(name, ".dynstr") == 0) v.dynstr = &sh[i];
        if (strcmp(name, ".gnu.version") == 0) v.versym = &sh[i];
        if (strcmp(name, ".gnu.version_d") == 0) v.verdef = &sh[i];
        if (strcmp(name, ".dynamic") == 0) v.dynamic = &sh[i];
    }
    CU_ASSERT_TRUE_FATAL(v.dynsym && v.dynstr && v.versym && v.verdef && v.dynamic);
    return v;
}

/* Name of version `index`, "" where it is not defined. */
static const char *version_name(const stub_view *v, uint16_t index) {
    const uint8_t *p = v->at + v->verdef->sh_offset;
    for (uint32_t i = 0; i < v->verdef->sh_info; i++) {
        const Elf64_Verdef *def = (const void *)p;
        const Elf64_Verdaux *aux = (const void *)(p + def->vd_aux);
        if (def->vd_ndx == index) return string_at(v, aux->vda_name);
        CU_ASSERT_TRUE_FATAL(def->vd_next > 0 || i + 1 == v->verdef->sh_info);
        p += def->vd_next;
    }
    return "";
}

static int minor_of(const char *version) { /* GLIBC_2.x or GLIBC_2.x.y */
    int minor = -1;
    CU_ASSERT_EQUAL(sscanf(version, "GLIBC_2.%d", &minor), 1);
    return minor;
}

/* Every symbol of every stub has a version from 2.2.5 to 2.17 (aarch64: 2.17 alone). */
static void check_target(const char *triple, uint16_t machine, int oldest) {
    arena *mem = arena_open();
    const art_target *t = art_target_find(triple);
    CU_ASSERT_PTR_NOT_NULL_FATAL(t);
    for (int lib = 0; lib < ART_N_STUBS; lib++) {
        const stub_view v = view(art_stub_library(t, lib, mem), machine);
        const Elf64_Dyn *dyn = (const void *)(v.at + v.dynamic->sh_offset);
        CU_ASSERT_EQUAL(dyn->d_tag, DT_SONAME);
        CU_ASSERT_STRING_EQUAL(string_at(&v, dyn->d_un.d_val), art_stub_soname[lib]);
        const Elf64_Sym *sym = (const void *)(v.at + v.dynsym->sh_offset);
        const uint16_t *version = (const void *)(v.at + v.versym->sh_offset);
        const uint64_t n = v.dynsym->sh_size / sizeof *sym;
        CU_ASSERT_TRUE(n > 1);
        CU_ASSERT_EQUAL(v.versym->sh_size, n * sizeof *version);
        for (uint64_t i = 1; i < n; i++) {
            const int minor = minor_of(version_name(&v, version[i]));
            CU_ASSERT_TRUE(minor >= oldest && minor <= 17);
            CU_ASSERT_TRUE(art_stub_has(string_at(&v, sym[i].st_name)));
        }
    }
    arena_close(mem);
}

static void test_x86_64(void) { check_target("x86_64-linux-gnu", EM_X86_64, 2); }
static void test_aarch64(void) { check_target("aarch64-linux-gnu", EM_AARCH64, 17); }

/* Where the test runs on glibc: it has each symbol at just this version. */
static void test_host(void) {
#ifdef __x86_64__
    const char *triple = "x86_64-linux-gnu";
    const uint16_t machine = EM_X86_64;
#else
    const char *triple = "aarch64-linux-gnu";
    const uint16_t machine = EM_AARCH64;
#endif
    arena *mem = arena_open();
    for (int lib = 0; lib < ART_N_STUBS; lib++) {
        void *loaded = dlopen(LOADED[lib], RTLD_NOW);
        CU_ASSERT_PTR_NOT_NULL_FATAL(loaded);
        const stub_view v = view(art_stub_library(art_target_find(triple), lib, mem), machine);
        const Elf64_Sym *sym = (const void *)(v.at + v.dynsym->sh_offset);
        const uint16_t *version = (const void *)(v.at + v.versym->sh_offset);
        for (uint64_t i = 1; i < v.dynsym->sh_size / sizeof *sym; i++) {
            const char *name = string_at(&v, sym[i].st_name);
            const char *want = version_name(&v, version[i]);
            const bool there = dlvsym(loaded, name, want) != NULL;
            if (!there) printf("\n    %s has no %s@%s", LOADED[lib], name, want);
            CU_ASSERT_TRUE(there);
        }
        dlclose(loaded);
    }
    arena_close(mem);
}

static void test_unknown(void) {
    CU_ASSERT_PTR_NULL(art_target_find("riscv64-linux-gnu"));
    CU_ASSERT_PTR_NULL(art_target_find(""));
    CU_ASSERT_FALSE(art_stub_has("getrandom"));
    CU_ASSERT_FALSE(art_stub_has("fstat"));
}

UNIT_MAIN("stubs", {"x86-64", test_x86_64}, {"aarch64", test_aarch64},
          {"the host's C library has them", test_host}, {"what is not there", test_unknown})
