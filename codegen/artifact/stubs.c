/* stubs.c - writes the stub libraries of stubs.def. */
#include "codegen/artifact/stubs.h"

#include <elf.h>
#include <string.h>

typedef enum stub_library {
    LIB_libc,
    LIB_libm,
    LIB_libpthread,
} stub_library;

const char *const art_stub_soname[ART_N_STUBS] = {
    [LIB_libc] = "libc.so.6",
    [LIB_libm] = "libm.so.6",
    [LIB_libpthread] = "libpthread.so.0",
};

typedef enum stub_kind { KIND_func = STT_FUNC, KIND_object = STT_OBJECT } stub_kind;

static const struct {
    const char *name;
    stub_library library;
    stub_kind kind;
    const char *version[2]; /* with '_' for '.'; column of art_target */
} STUBS[] = {
#define STUB(name, library, kind, x86_64, aarch64)                                                 \
    {#name, LIB_##library, KIND_##kind, {#x86_64, #aarch64}},
#include "codegen/artifact/stubs.def"
#undef STUB
};

static const art_target TARGETS[] = {
    {"x86_64-linux-gnu", EM_X86_64, 0},
    {"aarch64-linux-gnu", EM_AARCH64, 1},
};

const art_target *art_target_find(const char *triple) {
    for (size_t i = 0; i < COUNT_OF(TARGETS); i++)
        if (strcmp(TARGETS[i].triple, triple) == 0) return &TARGETS[i];
    return NULL;
}

bool art_stub_has(const char *symbol) {
    for (size_t i = 0; i < COUNT_OF(STUBS); i++)
        if (strcmp(STUBS[i].name, symbol) == 0) return true;
    return false;
}

/* Section numbers, in file order. */
enum { S_null, S_dynsym, S_dynstr, S_versym, S_verdef, S_dynamic, S_shstrtab, S_COUNT };
static const char SECTION_NAMES[] =
    "\0.dynsym\0.dynstr\0.gnu.version\0.gnu.version_d\0.dynamic\0.shstrtab";
enum { MAX_VERSIONS = 32, FIRST_VERSION = 2 /* 0 local, 1 the library itself */ };

typedef struct stub_writer {
    text dynsym, strings, versym, verdef, dynamic;
    const char *version[MAX_VERSIONS];
    int n_versions;
    uint32_t n_symbols;
} stub_writer;

static void put(text *t, const void *p, size_t n) { text_add(t, (str){p, n}); }

/* Offset of a string in .dynstr. */
static uint32_t put_string(stub_writer *w, const char *s) {
    const uint32_t at = (uint32_t)text_str(&w->strings).n;
    put(&w->strings, s, strlen(s) + 1);
    return at;
}

/* "GLIBC_2_2_5" -> "GLIBC_2.2.5" */
static char *version_name(const char *spelling, arena *mem) {
    char *s = arena_strdup(mem, spelling);
    for (char *p = strchr(s, '_') + 1; *p; p++)
        if (*p == '_') *p = '.';
    return s;
}

static uint16_t version_index(stub_writer *w, const char *spelling) {
    int i = 0;
    while (i < w->n_versions && strcmp(w->version[i], spelling) != 0) i++;
    if (i == MAX_VERSIONS) UNREACHABLE("too many versions in stubs.def");
    if (i == w->n_versions) w->version[w->n_versions++] = spelling;
    return (uint16_t)(FIRST_VERSION + i);
}

/* The ELF hash function (gABI chapter 5). */
static uint32_t elf_hash(const char *s) {
    uint32_t h = 0;
    for (; *s; s++) {
        h = (h << 4) + (uint8_t)*s;
        h = (h ^ (h & 0xf0000000u) >> 24) & 0x0fffffffu;
    }
    return h;
}

static void put_verdef(stub_writer *w, const char *name, int index, int flags, bool last) {
    const Elf64_Verdef def = {.vd_version = VER_DEF_CURRENT,
                              .vd_flags = (Elf64_Half)flags,
                              .vd_ndx = (Elf64_Half)index,
                              .vd_cnt = 1,
                              .vd_hash = elf_hash(name),
                              .vd_aux = sizeof(Elf64_Verdef),
                              .vd_next = last ? 0 : sizeof(Elf64_Verdef) + sizeof(Elf64_Verdaux)};
    const Elf64_Verdaux aux = {.vda_name = put_string(w, name)};
    put(&w->verdef, &def, sizeof def);
    put(&w->verdef, &aux, sizeof aux);
}

static void put_symbols(stub_writer *w, const art_target *target, int library) {
    const Elf64_Sym none = {0};
    const uint16_t local = VER_NDX_LOCAL;
    put(&w->dynsym, &none, sizeof none);
    put(&w->versym, &local, sizeof local);
    w->n_symbols = 1;
    for (size_t i = 0; i < COUNT_OF(STUBS); i++) {
        if ((int)STUBS[i].library != library) continue;
        const Elf64_Sym sym = {.st_name = put_string(w, STUBS[i].name),
                               .st_info = ELF64_ST_INFO(STB_GLOBAL, STUBS[i].kind),
                               .st_shndx = SHN_ABS,
                               .st_size = STUBS[i].kind == KIND_object ? sizeof(void *) : 0};
        const uint16_t version = version_index(w, STUBS[i].version[target->column]);
        put(&w->dynsym, &sym, sizeof sym);
        put(&w->versym, &version, sizeof version);
        w->n_symbols++;
    }
}

art_bytes art_stub_library(const art_target *target, int library, arena *mem) {
    stub_writer w = {.dynsym.mem = mem,
                     .strings.mem = mem,
                     .versym.mem = mem,
                     .verdef.mem = mem,
                     .dynamic.mem = mem};
    const char *soname = art_stub_soname[library];
    put(&w.strings, "", 1);
    const uint32_t soname_at = put_string(&w, soname);
    put_symbols(&w, target, library);
    put_verdef(&w, soname, 1, VER_FLG_BASE, w.n_versions == 0);
    for (int i = 0; i < w.n_versions; i++)
        put_verdef(&w, version_name(w.version[i], mem), FIRST_VERSION + i, 0,
                   i == w.n_versions - 1);
    const Elf64_Dyn dynamic[] = {{.d_tag = DT_SONAME, .d_un.d_val = soname_at}, {.d_tag = DT_NULL}};
    put(&w.dynamic, dynamic, sizeof dynamic);

    const struct {
        str bytes;
        uint32_t type, link, info, entry;
    } section[S_COUNT] = {
        [S_dynsym] = {text_str(&w.dynsym), SHT_DYNSYM, S_dynstr, 1, sizeof(Elf64_Sym)},
        [S_dynstr] = {text_str(&w.strings), SHT_STRTAB, 0, 0, 0},
        [S_versym] = {text_str(&w.versym), SHT_GNU_versym, S_dynsym, 0, 2},
        [S_verdef] = {text_str(&w.verdef), SHT_GNU_verdef, S_dynstr, (uint32_t)w.n_versions + 1, 0},
        [S_dynamic] = {text_str(&w.dynamic), SHT_DYNAMIC, S_dynstr, 0, sizeof(Elf64_Dyn)},
        [S_shstrtab] = {{SECTION_NAMES, sizeof SECTION_NAMES}, SHT_STRTAB, 0, 0, 0},
    };
    text out = {.mem = mem};
    Elf64_Shdr header[S_COUNT] = {0};
    Elf64_Ehdr eh = {
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_DYN,
        .e_machine = target->machine,
        .e_version = EV_CURRENT,
        .e_ehsize = sizeof eh,
        .e_shentsize = sizeof header[0],
        .e_shnum = S_COUNT,
        .e_shstrndx = S_shstrtab};
    put(&out, &eh, sizeof eh);
    const char *name = SECTION_NAMES;
    for (int i = S_null + 1; i < S_COUNT; i++) {
        while (text_str(&out).n % 8) text_putc(&out, 0);
        name += strlen(name) + 1;
        header[i] = (Elf64_Shdr){.sh_name = (uint32_t)(name - SECTION_NAMES),
                                 .sh_type = section[i].type,
                                 .sh_flags = i == S_shstrtab ? 0 : SHF_ALLOC,
                                 .sh_offset = text_str(&out).n,
                                 .sh_size = section[i].bytes.n,
                                 .sh_link = section[i].link,
                                 .sh_info = section[i].info,
                                 .sh_addralign = 8,
                                 .sh_entsize = section[i].entry};
        text_add(&out, section[i].bytes);
    }
    while (text_str(&out).n % 8) text_putc(&out, 0);
    eh.e_shoff = text_str(&out).n;
    put(&out, header, sizeof header);
    memcpy(out.buf.at, &eh, sizeof eh);
    return (art_bytes){out.buf.at, out.buf.n};
}
