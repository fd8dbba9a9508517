/* The object that p4c links into every artifact: what it asks of the system, and what it must not
 * hold. */
#include <string.h>

#include "codegen/artifact/payload.h"
#include "codegen/artifact/stubs.h"
#include "tests/support/artifact_kit.h"
#include "tests/unit/unit.h"

static kit_elf payload(void) {
    kit_elf v;
    art_bytes b;
    CU_ASSERT_TRUE_FATAL(art_payload_find(art_payload_default(), &b));
    CU_ASSERT_TRUE_FATAL(kit_elf_view(b, &v));
    CU_ASSERT_EQUAL(v.eh->e_type, ET_REL);
    CU_ASSERT_EQUAL(v.eh->e_machine, art_target_find(art_payload_default())->machine);
    return v;
}

static const Elf64_Sym *symbols(const kit_elf *v, uint64_t *n, const Elf64_Shdr **names) {
    const Elf64_Shdr *s = kit_section(v, ".symtab");
    CU_ASSERT_PTR_NOT_NULL_FATAL(s);
    *n = s->sh_size / sizeof(Elf64_Sym);
    *names = &v->sh[s->sh_link];
    return (const void *)((const uint8_t *)v->file.at + s->sh_offset);
}

/* What the rest of an artifact gives: the image is in the kernels' object, the data in the layout.
 */
static bool is_given(const char *name) {
    return strcmp(name, "p4c_image") == 0 || strcmp(name, "p4c_data") == 0 ||
           strcmp(name, "_GLOBAL_OFFSET_TABLE_") == 0;
}

static void test_undefined(void) {
    uint64_t n;
    const Elf64_Shdr *names;
    const kit_elf v = payload();
    const Elf64_Sym *s = symbols(&v, &n, &names);
    for (uint64_t i = 1; i < n; i++) {
        const char *name = kit_string(&v, names, s[i].st_name);
        if (s[i].st_shndx != SHN_UNDEF) continue;
        const bool known = is_given(name) || art_stub_has(name);
        if (!known) printf("\n    %s is not in stubs.def", name);
        CU_ASSERT_TRUE(known);
    }
}

static void test_entries(void) {
    static const char *const WANTED[] = {"p4c_start", "p4c_get_api", "app_main"};
    uint64_t n;
    const Elf64_Shdr *names;
    const kit_elf v = payload();
    const Elf64_Sym *s = symbols(&v, &n, &names);
    int found = 0;
    for (uint64_t i = 1; i < n; i++) {
        const char *name = kit_string(&v, names, s[i].st_name);
        if (s[i].st_shndx == SHN_UNDEF || ELF64_ST_BIND(s[i].st_info) == STB_LOCAL) continue;
        for (size_t w = 0; w < COUNT_OF(WANTED); w++) found += strcmp(name, WANTED[w]) == 0;
        const bool exported = ELF64_ST_VISIBILITY(s[i].st_other) == STV_DEFAULT;
        if (exported && strcmp(name, "p4c_get_api") != 0) printf("\n    %s is not hidden", name);
        CU_ASSERT_TRUE(!exported || strcmp(name, "p4c_get_api") == 0);
    }
    CU_ASSERT_EQUAL(found, (int)COUNT_OF(WANTED));
}

/* Constructors would not run in a program; kernels come from LLVM, for the processor at hand. */
static void test_absent(void) {
    static const char *const SECTIONS[] = {".init_array", ".ctors", ".init", ".preinit_array"};
    static const char *const WORDS[] = {"matmul", "gemm", "gemv", "linear", "matvec", "kernel_"};
    uint64_t n;
    const Elf64_Shdr *names;
    const kit_elf v = payload();
    for (int i = 1; i < v.eh->e_shnum; i++) {
        const char *name = kit_string(&v, &v.sh[v.eh->e_shstrndx], v.sh[i].sh_name);
        for (size_t w = 0; w < COUNT_OF(SECTIONS); w++)
            CU_ASSERT_NOT_EQUAL(strncmp(name, SECTIONS[w], strlen(SECTIONS[w])), 0);
    }
    const Elf64_Sym *s = symbols(&v, &n, &names);
    for (uint64_t i = 1; i < n; i++) {
        const char *name = kit_string(&v, names, s[i].st_name);
        for (size_t w = 0; w < COUNT_OF(WORDS); w++) {
            if (strstr(name, WORDS[w])) printf("\n    %s", name);
            CU_ASSERT_PTR_NULL(strstr(name, WORDS[w]));
        }
    }
    CU_ASSERT_PTR_NULL(memmem(v.file.at, v.file.n, SOURCE_ROOT, strlen(SOURCE_ROOT)));
    CU_ASSERT_PTR_NULL(memmem(v.file.at, v.file.n, BUILD_ROOT, strlen(BUILD_ROOT)));
    CU_ASSERT_TRUE(v.file.n < 4 << 20);
}

static void test_other_targets(void) {
    art_bytes b;
    CU_ASSERT_FALSE(art_payload_find("riscv64-linux-gnu", &b));
    CU_ASSERT_FALSE(art_payload_find("", &b));
}

UNIT_MAIN("payload", {"asks the system for what is in stubs.def", test_undefined},
          {"has its entries, and hides the rest", test_entries},
          {"no constructors, kernels, paths", test_absent},
          {"targets that are not there", test_other_targets})
