/* A small artifact made by hand: every damage is seen, whatever depth it goes to. */
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/util.h"
#include "runtime/artifact_file.h"
#include "tests/unit/unit.h"

enum {
    ELF_BYTES = RT_DATA_ALIGN,
    WEIGHT_BYTES = 5000 * RT_SECTION_ALIGN,
    DATA_BYTES = RT_DATA_ALIGN + WEIGHT_BYTES + (int)sizeof(rt_end),
    FILE_BYTES = ELF_BYTES + DATA_BYTES,
    PAGE = 4096,
    N_SECTIONS = 13,
/* unoptimised checksums are slow: a sample of the pages then */
#ifdef __OPTIMIZE__
    PAGE_STEP = 1,
#else
    PAGE_STEP = 16,
#endif
};

static uint8_t image[FILE_BYTES + PAGE]; /* with room to grow */

static rt_header *header(void) { return (rt_header *)(void *)(image + ELF_BYTES); }

static void sum_of(const uint8_t *p, uint64_t n, uint8_t out[DIGEST_BYTES]) {
    digest g;
    digest_init(&g);
    digest_update(&g, p, n);
    digest_final(&g, out);
}

/* Makes the header's own checksum right, as an attacker would. */
static void seal_header(void) {
    rt_section *own = &header()->section[1];
    memset(own->blake3, 0, DIGEST_BYTES);
    uint8_t sum[DIGEST_BYTES];
    sum_of(image + ELF_BYTES, RT_HEADER_BYTES, sum);
    memcpy(own->blake3, sum, DIGEST_BYTES);
}

static void build_elf(void) {
    const Elf64_Ehdr eh = {
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_DYN,
        .e_phoff = sizeof eh,
        .e_phnum = 2,
        .e_phentsize = sizeof(Elf64_Phdr),
        .e_shoff = PAGE,
        .e_shnum = 3,
        .e_shentsize = sizeof(Elf64_Shdr)};
    const Elf64_Phdr ph[] = {
        {.p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_filesz = PAGE, .p_memsz = PAGE},
        {.p_type = PT_LOAD,
         .p_flags = PF_R,
         .p_offset = ELF_BYTES,
         .p_vaddr = RT_DATA_ALIGN,
         .p_filesz = DATA_BYTES,
         .p_memsz = DATA_BYTES},
    };
    memcpy(image, &eh, sizeof eh);
    memcpy(image + sizeof eh, ph, sizeof ph);
}

/* Contents: bytes that differ from page to page. */
static void build(void) {
    static const struct {
        const char *name;
        uint64_t bytes;
    } SECTIONS[N_SECTIONS - 1] = {
        {"header", RT_HEADER_BYTES},
        {"meta", sizeof(rt_meta)},
        {"pad0", 0},
        {"plan", 1024},
        {"tokenizer", 6400},
        {"template", 0},
        {"config", 192},
        {"options", 64},
        {"ir", 100},
        {"pad1", 0},
        {"weights", WEIGHT_BYTES},
        {"end", sizeof(rt_end)},
    };
    memset(image, 0, sizeof image);
    build_elf();
    rt_header *h = header();
    memcpy(h->magic, RT_MAGIC, sizeof h->magic);
    h->abi = RT_ABI;
    h->n_sections = N_SECTIONS;
    strcpy(h->version, "0.1.0");
    h->data_bytes = DATA_BYTES;
    strcpy(h->section[0].name, "elf");
    h->section[0].bytes = ELF_BYTES;
    uint64_t at = 0;
    for (int i = 1; i < N_SECTIONS; i++) {
        rt_section *s = &h->section[i];
        strcpy(s->name, SECTIONS[i - 1].name);
        s->offset = at;
        s->bytes = SECTIONS[i - 1].bytes;
        if (strcmp(s->name, "pad0") == 0) s->bytes = (uint64_t)round_up((int64_t)at, 64) - at;
        if (strcmp(s->name, "pad1") == 0) s->bytes = RT_DATA_ALIGN - at;
        at += s->bytes;
    }
    for (uint64_t i = RT_HEADER_BYTES; i < DATA_BYTES; i++)
        image[ELF_BYTES + i] = (uint8_t)(i * 7 + i / PAGE);
    const rt_end end = {.data_bytes = DATA_BYTES,
                        .magic = {"\nart\x1a"
                                  "p4c"}};
    memcpy(image + FILE_BYTES - sizeof end, &end, sizeof end);
    for (int i = 0; i < N_SECTIONS; i++)
        sum_of(image + (i ? ELF_BYTES : 0) + h->section[i].offset, h->section[i].bytes,
               h->section[i].blake3);
    seal_header();
}

static rt_damage_kind try_open(uint64_t n_bytes) {
    rt_file f;
    rt_damage why = {0};
    if (rt_file_open_bytes(&f, image, n_bytes, &why)) return DAMAGE_none;
    CU_ASSERT_NOT_EQUAL(why.kind, DAMAGE_none);
    return why.kind;
}

static rt_damage_kind try_check(rt_damage *why) {
    rt_file f;
    *why = (rt_damage){0};
    if (!rt_file_open_bytes(&f, image, FILE_BYTES, why)) return why->kind;
    return rt_file_check(&f, NULL, NULL, why) ? DAMAGE_none : why->kind;
}

static void test_whole(void) {
    rt_damage why;
    rt_file f;
    build();
    CU_ASSERT_EQUAL(try_check(&why), DAMAGE_none);
    CU_ASSERT_TRUE_FATAL(rt_file_open_bytes(&f, image, FILE_BYTES, &why));
    CU_ASSERT_EQUAL(f.data_offset, ELF_BYTES);
    CU_ASSERT_PTR_NULL(rt_section_find(&f.header, "weight"));
    CU_ASSERT_PTR_NULL(rt_section_find(&f.header, "weights of the model"));
    const rt_section *s = rt_section_find(&f.header, "tokenizer");
    CU_ASSERT_PTR_NOT_NULL_FATAL(s);
    uint8_t got[100];
    CU_ASSERT_TRUE(rt_file_read(&f, s, 300, got, sizeof got, &why));
    CU_ASSERT_EQUAL(memcmp(got, image + rt_file_offset(&f, s) + 300, sizeof got), 0);
    uint64_t covered = 0; /* sections lie end to end over the whole file */
    for (uint32_t i = 0; i < f.header.n_sections; i++) {
        CU_ASSERT_EQUAL(rt_file_offset(&f, &f.header.section[i]), covered);
        covered += f.header.section[i].bytes;
    }
    CU_ASSERT_EQUAL(covered, FILE_BYTES);
}

/* The same through a descriptor, and what a descriptor alone can do wrong. */
static void test_descriptor(void) {
    char path[] = "/tmp/p4c-test-XXXXXX";
    const int fd = mkstemp(path);
    CU_ASSERT_TRUE_FATAL(fd >= 0);
    unlink(path);
    build();
    CU_ASSERT_EQUAL(write(fd, image, FILE_BYTES), FILE_BYTES);
    rt_file f;
    rt_damage why;
    CU_ASSERT_TRUE(rt_file_open_fd(&f, fd, &why));
    CU_ASSERT_TRUE(rt_file_check(&f, NULL, NULL, &why));
    CU_ASSERT_EQUAL(ftruncate(fd, FILE_BYTES - 1), 0); /* shorter since it was opened */
    CU_ASSERT_FALSE(rt_file_check(&f, NULL, NULL, &why));
    CU_ASSERT_EQUAL(why.kind, DAMAGE_truncated);
    CU_ASSERT_FALSE(rt_file_open_fd(&f, fd, &why));
    CU_ASSERT_EQUAL(why.kind, DAMAGE_truncated);
    close(fd);
    int ends[2];
    CU_ASSERT_EQUAL_FATAL(pipe(ends), 0);
    CU_ASSERT_FALSE(rt_file_open_fd(&f, ends[0], &why));
    CU_ASSERT_EQUAL(why.kind, DAMAGE_read);
    CU_ASSERT_EQUAL(why.found, ESPIPE);
    close(ends[0]);
    close(ends[1]);
}

static void test_every_page(void) {
    int missed = 0;
    build();
    for (uint64_t page = 0; page < FILE_BYTES; page += PAGE_STEP * PAGE) {
        rt_damage why;
        const uint64_t at = page + page / PAGE * 389 % PAGE; /* another place in each */
        if (at >= FILE_BYTES) break;
        image[at] ^= (uint8_t)(1 << page / PAGE % 8);
        missed += try_check(&why) == DAMAGE_none;
        image[at] ^= (uint8_t)(1 << page / PAGE % 8);
    }
    CU_ASSERT_EQUAL(missed, 0);
}

/* Opening alone sees any change in the header, the program headers and the end. */
static void test_every_byte_of_tables(void) {
    int missed = 0;
    build();
    for (int i = 0; i < RT_HEADER_BYTES; i++) {
        image[ELF_BYTES + i] ^= 0x40;
        missed += try_open(FILE_BYTES) == DAMAGE_none;
        image[ELF_BYTES + i] ^= 0x40;
    }
    CU_ASSERT_EQUAL(missed, 0);
    for (uint64_t i = FILE_BYTES - sizeof(rt_end); i < FILE_BYTES; i++) {
        image[i] ^= 1;
        missed += try_open(FILE_BYTES) == DAMAGE_none;
        image[i] ^= 1;
    }
    CU_ASSERT_EQUAL(missed, 0);
    CU_ASSERT_EQUAL(try_open(FILE_BYTES), DAMAGE_none);
}

static void test_length(void) {
    int missed = 0;
    build();
    for (uint64_t n = 0; n < FILE_BYTES; n += n < 2 * PAGE || n > FILE_BYTES - 2 * PAGE ? 1 : 1009)
        missed += try_open(n) == DAMAGE_none;
    CU_ASSERT_EQUAL(missed, 0);
    CU_ASSERT_EQUAL(try_open(FILE_BYTES - 1), DAMAGE_truncated);
    CU_ASSERT_EQUAL(try_open(FILE_BYTES + 1), DAMAGE_extended);
    CU_ASSERT_EQUAL(try_open(FILE_BYTES + PAGE), DAMAGE_extended);
    CU_ASSERT_EQUAL(try_open(0), DAMAGE_not_elf);
}

/* ---- tables that an attacker sealed ---- */

static rt_section *section(const char *name) {
    for (int i = 0; i < N_SECTIONS; i++)
        if (strcmp(header()->section[i].name, name) == 0) return &header()->section[i];
    abort();
}

static void bad_abi(void) { header()->abi = RT_ABI + 1; }
static void bad_magic(void) { header()->magic[0] = 'q'; }
static void too_many(void) { header()->n_sections = RT_MAX_SECTIONS + 1; }
static void too_few(void) { header()->n_sections = 3; }
static void huge_count(void) { header()->n_sections = UINT32_MAX; }
static void bytes_behind_table(void) { header()->section[N_SECTIONS].bytes = 1; }
static void bytes_behind_header(void) { image[ELF_BYTES + RT_HEADER_BYTES - 1] = 1; }
static void endless_version(void) { memset(header()->version, 'v', sizeof header()->version); }
static void huge_data(void) { header()->data_bytes = UINT64_MAX; }
static void endless_name(void) { memset(section("ir")->name, 'n', 16); }
static void control_in_name(void) { section("ir")->name[0] = '\n'; }
static void bytes_behind_name(void) { section("ir")->name[10] = 'x'; }
static void no_name(void) { memset(section("ir")->name, 0, 16); }
static void twice(void) { strcpy(section("options")->name, "config"); }
static void lacks_weights(void) { strcpy(section("weights")->name, "heights"); }
static void lacks_meta(void) { strcpy(section("meta")->name, "beta"); }
static void short_meta(void) {
    section("meta")->bytes -= 4;
    section("pad0")->offset -= 4;
    section("pad0")->bytes += 4;
}
static void wrapping(void) { section("weights")->bytes = UINT64_MAX - 63; }
static void wrapping_offset(void) { section("weights")->offset = UINT64_MAX - 63; }
static void overlap(void) { section("plan")->offset -= 64; }
static void gap(void) { section("plan")->bytes -= 64; }
static void too_long(void) {
    section("weights")->bytes += 64;
    section("end")->offset += 64;
}
static void too_short(void) {
    section("weights")->bytes -= 64;
    section("end")->offset -= 64;
}
static void unaligned(void) {
    section("plan")->bytes -= 1;
    section("tokenizer")->offset -= 1;
    section("tokenizer")->bytes += 1;
}
static void weights_unaligned(void) {
    section("pad1")->bytes -= 64;
    section("weights")->offset -= 64;
    section("weights")->bytes += 64;
}
static void elf_elsewhere(void) { section("elf")->offset = 64; }
static void elf_odd(void) { section("elf")->bytes -= 1; }
static void elf_empty(void) { section("elf")->bytes = 0; }
static void header_not_first(void) {
    strcpy(section("header")->name, "other");
    strcpy(section("meta")->name, "header");
}
static void end_not_last(void) {
    strcpy(section("end")->name, "other");
    strcpy(section("options")->name, "end");
}

static void test_sealed_tables(void) {
    static const struct {
        void (*spoil)(void);
        rt_damage_kind kind;
        const char *section;
    } CASES[] = {
        {bad_abi, DAMAGE_abi, ""},
        {bad_magic, DAMAGE_no_data, ""},
        {too_many, DAMAGE_table, ""},
        {too_few, DAMAGE_table, ""},
        {huge_count, DAMAGE_table, ""},
        {bytes_behind_table, DAMAGE_header, ""},
        {bytes_behind_header, DAMAGE_header, ""},
        {endless_version, DAMAGE_header, ""},
        {huge_data, DAMAGE_header, ""},
        {endless_name, DAMAGE_table, ""},
        {control_in_name, DAMAGE_table, ""},
        {bytes_behind_name, DAMAGE_table, ""},
        {no_name, DAMAGE_table, ""},
        {twice, DAMAGE_table, "config"},
        {lacks_weights, DAMAGE_missing, "weights"},
        {lacks_meta, DAMAGE_missing, "meta"},
        {short_meta, DAMAGE_table, "meta"},
        {wrapping, DAMAGE_table, "weights"},
        {wrapping_offset, DAMAGE_table, "weights"},
        {overlap, DAMAGE_table, "plan"},
        {gap, DAMAGE_table, "tokenizer"},
        {too_long, DAMAGE_table, "end"},
        {too_short, DAMAGE_table, ""},
        {unaligned, DAMAGE_table, "tokenizer"},
        {weights_unaligned, DAMAGE_table, "weights"},
        {elf_elsewhere, DAMAGE_table, "elf"},
        {elf_odd, DAMAGE_table, "elf"},
        {elf_empty, DAMAGE_table, "elf"},
        {header_not_first, DAMAGE_table, ""},
        {end_not_last, DAMAGE_table, ""},
    };
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        rt_file f;
        rt_damage why = {0};
        build();
        CASES[i].spoil();
        seal_header();
        const bool opened = rt_file_open_bytes(&f, image, FILE_BYTES, &why);
        const bool named = !CASES[i].section[0] || strcmp(why.section, CASES[i].section) == 0;
        if (opened || why.kind != CASES[i].kind || !named)
            printf("\n    case %zu: kind %d, section '%s'", i, why.kind, why.section);
        CU_ASSERT_FALSE(opened);
        CU_ASSERT_EQUAL(why.kind, CASES[i].kind);
        CU_ASSERT_TRUE(named);
    }
}

static Elf64_Ehdr *ehdr(void) { return (Elf64_Ehdr *)(void *)image; }
static Elf64_Phdr *data_phdr(void) {
    return (Elf64_Phdr *)(void *)(image + sizeof(Elf64_Ehdr)) + 1;
}
static void elf_class(void) { image[EI_CLASS] = ELFCLASS32; }
static void elf_endian(void) { image[EI_DATA] = ELFDATA2MSB; }
static void elf_type(void) { ehdr()->e_type = ET_EXEC; }
static void elf_no_segments(void) { ehdr()->e_phnum = 0; }
static void elf_many_segments(void) { ehdr()->e_phnum = UINT16_MAX; }
static void elf_segments_far(void) { ehdr()->e_phoff = UINT64_MAX - 7; }
static void elf_segments_outside(void) { ehdr()->e_phoff = FILE_BYTES - 8; }
static void elf_sections_far(void) { ehdr()->e_shoff = UINT64_MAX - 7; }
static void elf_sections_outside(void) { ehdr()->e_shoff = FILE_BYTES; }
static void data_writable(void) { data_phdr()->p_flags |= PF_W; }
static void data_executable(void) { data_phdr()->p_flags |= PF_X; }
static void data_far(void) { data_phdr()->p_offset = UINT64_MAX - 4095; }
static void data_huge(void) { data_phdr()->p_filesz = data_phdr()->p_memsz = UINT64_MAX / 2; }
static void data_short(void) { data_phdr()->p_filesz = data_phdr()->p_memsz -= 64; }
static void data_has_bss(void) { data_phdr()->p_memsz += 64; }
static void data_tiny(void) { data_phdr()->p_filesz = data_phdr()->p_memsz = 64; }
static void data_unaligned(void) { data_phdr()->p_offset += 4096; }
static void data_elsewhere(void) { data_phdr()->p_offset = 0; }
static void data_lower(void) { data_phdr()->p_vaddr = 0, ((data_phdr())-1)->p_vaddr = 4096; }

static void test_elf_headers(void) {
    static const struct {
        void (*spoil)(void);
        rt_damage_kind kind;
    } CASES[] = {
        {elf_class, DAMAGE_not_elf},
        {elf_endian, DAMAGE_not_elf},
        {elf_type, DAMAGE_not_elf},
        {elf_no_segments, DAMAGE_elf},
        {elf_many_segments, DAMAGE_elf},
        {elf_segments_far, DAMAGE_elf},
        {elf_segments_outside, DAMAGE_truncated},
        {elf_sections_far, DAMAGE_elf},
        {elf_sections_outside, DAMAGE_truncated},
        {data_writable, DAMAGE_no_data},
        {data_executable, DAMAGE_no_data},
        {data_far, DAMAGE_elf},
        {data_huge, DAMAGE_elf},
        {data_short, DAMAGE_extended},
        {data_has_bss, DAMAGE_no_data},
        {data_tiny, DAMAGE_no_data},
        {data_unaligned, DAMAGE_no_data},
        {data_elsewhere, DAMAGE_extended},
        {data_lower, DAMAGE_no_data},
    };
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        build();
        CASES[i].spoil();
        const rt_damage_kind kind = try_open(FILE_BYTES);
        if (kind != CASES[i].kind) printf("\n    case %zu: kind %d", i, kind);
        CU_ASSERT_EQUAL(kind, CASES[i].kind);
    }
}

/* As strip leaves it: the section headers behind everything.  Still an artifact, and still told
 * from the file that was written. */
static void test_moved(void) {
    rt_file f;
    rt_damage why;
    build();
    ehdr()->e_shoff = FILE_BYTES;
    const uint64_t n = FILE_BYTES + 3 * sizeof(Elf64_Shdr);
    CU_ASSERT_TRUE_FATAL(rt_file_open_bytes(&f, image, n, &why));
    CU_ASSERT_FALSE(rt_file_check(&f, NULL, NULL, &why));
    CU_ASSERT_EQUAL(why.kind, DAMAGE_moved);
    CU_ASSERT_EQUAL(try_open(n + 1), DAMAGE_extended);
    CU_ASSERT_EQUAL(try_open(n - 1), DAMAGE_truncated);
}

/* A mapping whose file ends early: no SIGBUS, at whatever page it ends. */
static void test_mapped(void) {
    char path[] = "/tmp/p4c-test-XXXXXX";
    const int fd = mkstemp(path);
    CU_ASSERT_TRUE_FATAL(fd >= 0);
    unlink(path);
    build();
    rt_damage why = {0};
    CU_ASSERT_TRUE(rt_data_check(image + ELF_BYTES, &why));
    CU_ASSERT_EQUAL_FATAL(write(fd, image + ELF_BYTES, DATA_BYTES), DATA_BYTES);
    void *p = mmap(NULL, DATA_BYTES, PROT_READ, MAP_PRIVATE, fd, 0);
    CU_ASSERT_PTR_NOT_EQUAL_FATAL(p, MAP_FAILED);
    CU_ASSERT_TRUE(rt_data_check(p, &why));
    int missed = 0;
    CU_ASSERT_EQUAL(ftruncate(fd, DATA_BYTES - 1), 0); /* inside the last page */
    missed += rt_data_check(p, &why);
    for (int64_t n = DATA_BYTES / PAGE * PAGE; n >= 0; n -= PAGE) {
        CU_ASSERT_EQUAL(ftruncate(fd, n), 0);
        missed += rt_data_check(p, &why);
        CU_ASSERT_EQUAL(why.kind, DAMAGE_truncated);
    }
    CU_ASSERT_EQUAL(missed, 0);
    munmap(p, DATA_BYTES);
    close(fd);
}

static bool count_progress(void *context, uint64_t done, uint64_t total) {
    uint64_t *last = context;
    CU_ASSERT_TRUE(done > *last);
    CU_ASSERT_EQUAL(total, FILE_BYTES);
    *last = done;
    return true;
}
static bool stop_at_once(void *context, uint64_t done, uint64_t total) {
    (void)context, (void)done, (void)total;
    return false;
}

static void test_progress(void) {
    uint64_t last = 0;
    rt_file f;
    rt_damage why;
    build();
    CU_ASSERT_TRUE_FATAL(rt_file_open_bytes(&f, image, FILE_BYTES, &why));
    CU_ASSERT_TRUE(rt_file_check(&f, count_progress, &last, &why));
    CU_ASSERT_EQUAL(last, FILE_BYTES);
    CU_ASSERT_FALSE(rt_file_check(&f, stop_at_once, NULL, &why));
    CU_ASSERT_EQUAL(why.kind, DAMAGE_read);
    CU_ASSERT_EQUAL(why.found, EINTR);
}

static void test_text(void) {
    static const struct {
        rt_damage why;
        const char *text;
    } CASES[] = {
        {{.kind = DAMAGE_sum, .section = "weights"}, "section weights: the checksum differs"},
        {{.kind = DAMAGE_truncated, .found = 10, .expected = 20},
         "the file is cut off (found 10, expected 20)"},
        {{.kind = DAMAGE_read, .found = EIO}, "cannot be read (Input/output error)"},
    };
    char line[200], small[8];
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        rt_damage_text(&CASES[i].why, line, sizeof line);
        CU_ASSERT_STRING_EQUAL(line, CASES[i].text);
        rt_damage_text(&CASES[i].why, small, sizeof small);
        CU_ASSERT_EQUAL(strlen(small), sizeof small - 1);
    }
}

UNIT_MAIN("artifact_file", {"a whole file opens and checks", test_whole},
          {"a descriptor gives the same", test_descriptor},
          {"a bit in any page is seen", test_every_page},
          {"any byte of the tables is seen when opening", test_every_byte_of_tables},
          {"any other length is seen", test_length},
          {"sealed but wrong tables are refused", test_sealed_tables},
          {"wrong ELF headers are refused", test_elf_headers},
          {"a stripped file opens and is told apart", test_moved},
          {"a mapping cut off is seen without SIGBUS", test_mapped},
          {"progress is told and can stop", test_progress}, {"messages", test_text})
