/* artifact_file.c - the checks, from the outside in: ELF headers, data segment's header, sections,
 * checksums.  Every number from the file is compared with what has been established before it is
 * used; sums are formed only of numbers known to be below LIMIT.
 */
#include "runtime/artifact_file.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/digest.h"

enum { MAX_PROGRAM_HEADERS = 64, PIECE_BYTES = 1 << 17, REPORT_BYTES = 1 << 20 };
static const uint64_t LIMIT = (uint64_t)1
                              << 56; /* no file is as large; sums of a few do not wrap */

_Static_assert(sizeof(rt_header) <= RT_HEADER_BYTES, "the header has outgrown its section");
_Static_assert(sizeof(rt_section) == 64 && sizeof(rt_end) == 64, "tables without padding");

void rt_damage_text(const rt_damage *why, char *out, size_t n_out) {
    static const char *const TEXT[] = {
#define DAMAGE(name, text) [DAMAGE_##name] = text,
#include "runtime/damage.def"
#undef DAMAGE
    };
    const bool of_section = why->section[0] != 0;
    const char *before = of_section ? "section " : "", *colon = of_section ? ": " : "";
    const char *text = TEXT[why->kind];
    if (why->kind == DAMAGE_read)
        snprintf(out, n_out, "%s%.16s%s%s (%s)", before, why->section, colon, text,
                 strerror((int)why->found));
    else if (why->found == why->expected)
        snprintf(out, n_out, "%s%.16s%s%s", before, why->section, colon, text);
    else
        snprintf(out, n_out, "%s%.16s%s%s (found %llu, expected %llu)", before, why->section, colon,
                 text, (unsigned long long)why->found, (unsigned long long)why->expected);
}

static bool fail(rt_damage *why, rt_damage_kind kind, const char *section, uint64_t found,
                 uint64_t expected) {
    *why = (rt_damage){.kind = kind, .found = found, .expected = expected};
    for (size_t i = 0; i < sizeof why->section - 1 && section[i]; i++) /* names from files may be */
        why->section[i] = (char)(section[i] > ' ' && section[i] < 127 ? section[i] : '?');
    return false;
}

/* ---- reading ---- */

static bool read_at(const rt_file *f, uint64_t offset, void *out, size_t n, rt_damage *why) {
    if (offset > f->n_bytes || n > f->n_bytes - offset)
        return fail(why, DAMAGE_truncated, "", f->n_bytes, offset + n);
    if (f->at) {
        memcpy(out, f->at + offset, n);
        return true;
    }
    uint8_t *to = out;
    while (n) {
        const ssize_t got = pread(f->fd, to, n, (off_t)offset);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return fail(why, DAMAGE_read, "", (uint64_t)errno, 0);
        if (!got) return fail(why, DAMAGE_truncated, "", offset, offset + n);
        to += got;
        offset += (uint64_t)got;
        n -= (size_t)got;
    }
    return true;
}

/* Checksums of ranges, with progress; the DIGEST_BYTES at `blank` count as zeros. */
typedef struct sum_job {
    const rt_file *f;
    uint64_t blank, total, done, told;
    rt_progress_fn *progress;
    void *context;
} sum_job;

/* The next n bytes, where they are or copied to `piece`.  NULL: reported. */
static const uint8_t *get_piece(const sum_job *job, uint64_t offset, size_t n, uint8_t *piece,
                                rt_damage *why) {
    const rt_file *f = job->f;
    const bool has_blank = job->blank >= offset && job->blank - offset < n; /* never cut in two */
    if (f->at && !has_blank && offset <= f->n_bytes && n <= f->n_bytes - offset)
        return f->at + offset;
    if (!read_at(f, offset, piece, n, why)) return NULL;
    if (has_blank) memset(piece + (job->blank - offset), 0, DIGEST_BYTES);
    return piece;
}

static bool sum_range(sum_job *job, uint64_t offset, uint64_t n, uint8_t out[DIGEST_BYTES],
                      rt_damage *why) {
    uint8_t piece[PIECE_BYTES];
    digest g;
    digest_init(&g);
    while (n) {
        const size_t take = n < PIECE_BYTES ? (size_t)n : PIECE_BYTES;
        const uint8_t *p = get_piece(job, offset, take, piece, why);
        if (!p) return false;
        digest_update(&g, p, take);
        offset += take;
        n -= take;
        job->done += take;
        if (job->progress && (job->done - job->told >= REPORT_BYTES || job->done == job->total)) {
            job->told = job->done;
            if (!job->progress(job->context, job->done, job->total))
                return fail(why, DAMAGE_read, "", EINTR, 0);
        }
    }
    digest_final(&g, out);
    return true;
}

/* ---- the header ---- */

static bool is_pad(const rt_section *s) { return memcmp(s->name, "pad", 3) == 0; }

/* Printable, NUL-terminated, zeros behind. */
static bool name_is_clean(const char *name, size_t n) {
    size_t len = 0;
    while (len < n && name[len] > ' ' && name[len] < 127) len++;
    for (size_t i = len; i < n; i++)
        if (name[i]) return false;
    return len > 0 && len < n;
}

static bool all_zero(const void *p, size_t n) {
    const uint8_t *at = p;
    for (size_t i = 0; i < n; i++)
        if (at[i]) return false;
    return true;
}

const rt_section *rt_section_find(const rt_header *h, const char *name) {
    for (uint32_t i = 0; i < h->n_sections; i++)
        if (strncmp(h->section[i].name, name, sizeof h->section[i].name) == 0)
            return &h->section[i];
    return NULL;
}

/* One entry; *end is where the one before ended, in the data segment. */
static bool check_section(const rt_header *h, uint32_t i, uint64_t *end, rt_damage *why) {
    const rt_section *s = &h->section[i];
    if (!name_is_clean(s->name, sizeof s->name)) return fail(why, DAMAGE_table, "", 0, 0);
    if (s->bytes >= LIMIT || s->offset >= LIMIT)
        return fail(why, DAMAGE_table, s->name, s->bytes, h->data_bytes);
    if (i == 0) { /* the only one that is not in the data segment */
        if (strcmp(s->name, "elf") != 0 || s->offset || !s->bytes || s->bytes % RT_DATA_ALIGN)
            return fail(why, DAMAGE_table, s->name, s->bytes, 0);
        return true;
    }
    if (s->offset != *end) return fail(why, DAMAGE_table, s->name, s->offset, *end);
    if (!is_pad(s) && s->offset % RT_SECTION_ALIGN)
        return fail(why, DAMAGE_table, s->name, s->offset, 0);
    *end += s->bytes;
    if (*end > h->data_bytes) return fail(why, DAMAGE_table, s->name, *end, h->data_bytes);
    for (uint32_t j = 0; j < i; j++)
        if (strcmp(h->section[j].name, s->name) == 0) return fail(why, DAMAGE_table, s->name, 0, 0);
    return true;
}

/* Sections that every artifact has; bytes 0: of any size. */
static const struct {
    const char *name;
    uint64_t bytes, align;
} REQUIRED[] = {
    {"header", RT_HEADER_BYTES, RT_SECTION_ALIGN},
    {"meta", sizeof(rt_meta), RT_SECTION_ALIGN},
    {"plan", 0, RT_SECTION_ALIGN},
    {"tokenizer", 0, RT_SECTION_ALIGN},
    {"template", 0, RT_SECTION_ALIGN},
    {"config", 0, RT_SECTION_ALIGN},
    {"options", 0, RT_SECTION_ALIGN},
    {"ir", 0, RT_SECTION_ALIGN},
    {"weights", 0, RT_DATA_ALIGN},
    {"end", sizeof(rt_end), RT_SECTION_ALIGN},
};

enum { N_REQUIRED = sizeof REQUIRED / sizeof REQUIRED[0] };

static bool check_table(const rt_header *h, rt_damage *why) {
    uint64_t end = 0;
    for (uint32_t i = 0; i < h->n_sections; i++)
        if (!check_section(h, i, &end, why)) return false;
    if (end != h->data_bytes) return fail(why, DAMAGE_table, "", end, h->data_bytes);
    for (size_t i = 0; i < N_REQUIRED; i++) {
        const rt_section *s = rt_section_find(h, REQUIRED[i].name);
        if (!s) return fail(why, DAMAGE_missing, REQUIRED[i].name, 0, 0);
        if (REQUIRED[i].bytes && s->bytes != REQUIRED[i].bytes)
            return fail(why, DAMAGE_table, s->name, s->bytes, REQUIRED[i].bytes);
        if (s->offset % REQUIRED[i].align) return fail(why, DAMAGE_table, s->name, s->offset, 0);
    }
    if (h->section[1].offset || strcmp(h->section[1].name, "header") != 0)
        return fail(why, DAMAGE_table, h->section[1].name, 0, 0);
    if (strcmp(h->section[h->n_sections - 1].name, "end") != 0)
        return fail(why, DAMAGE_table, h->section[h->n_sections - 1].name, 0, 0);
    return true;
}

bool rt_header_check(const void *page, rt_damage *why) {
    enum { OWN_SUM = offsetof(rt_header, section[1].blake3) };
    rt_header h;
    memcpy(&h, page, sizeof h);
    if (memcmp(h.magic, RT_MAGIC, sizeof h.magic) != 0) return fail(why, DAMAGE_no_data, "", 0, 0);
    if (h.abi != RT_ABI) return fail(why, DAMAGE_abi, "", h.abi, RT_ABI);
    uint8_t copy[RT_HEADER_BYTES], sum[DIGEST_BYTES];
    memcpy(copy, page, sizeof copy);
    memset(copy + OWN_SUM, 0, DIGEST_BYTES);
    digest g;
    digest_init(&g);
    digest_update(&g, copy, sizeof copy);
    digest_final(&g, sum);
    if (memcmp(sum, h.section[1].blake3, DIGEST_BYTES) != 0)
        return fail(why, DAMAGE_header, "", 0, 0);
    /* From here on the bytes are what some writer meant, but not necessarily ours. */
    if (h.n_sections <= N_REQUIRED || h.n_sections > RT_MAX_SECTIONS)
        return fail(why, DAMAGE_table, "", h.n_sections, RT_MAX_SECTIONS);
    if (!name_is_clean(h.version, sizeof h.version) || h.data_bytes >= LIMIT ||
        !all_zero(&h.section[h.n_sections],
                  (RT_MAX_SECTIONS - h.n_sections) * sizeof(rt_section)) ||
        !all_zero(copy + sizeof h, sizeof copy - sizeof h))
        return fail(why, DAMAGE_header, "", 0, 0);
    return check_table(&h, why);
}

static bool check_end(const rt_end *e, const rt_header *h, rt_damage *why) {
    if (memcmp(e->magic, RT_END_MAGIC, sizeof e->magic) != 0 || e->data_bytes != h->data_bytes ||
        !all_zero(e->zero, sizeof e->zero))
        return fail(why, DAMAGE_truncated, "", 0, 0);
    return true;
}

/* A mapping beyond the end of its file raises SIGBUS when it is read.  The kernel reads the signal
 * set before it refuses the unknown `how`, so EFAULT says that these bytes cannot be read. */
static bool is_readable(const uint8_t *at) {
    const uintptr_t aligned = (uintptr_t)at & ~(uintptr_t)7;
    return syscall(SYS_rt_sigprocmask, ~0L, (const void *)aligned, NULL, 8L) == 0 ||
           errno != EFAULT;
}

bool rt_data_check(const void *data, rt_damage *why) {
    const uint8_t *at = data;
    if (!is_readable(at) || !is_readable(at + RT_HEADER_BYTES - 1))
        return fail(why, DAMAGE_truncated, "", 0, 0);
    if (!rt_header_check(data, why)) {
        /* it is an artifact, as its code is running; the page may hold zeros behind the file's end
         */
        if (why->kind == DAMAGE_no_data) why->kind = DAMAGE_header;
        return false;
    }
    rt_header h;
    memcpy(&h, data, sizeof h);
    const rt_section *s = rt_section_find(&h, "end");
    if (!is_readable(at + s->offset) || !is_readable(at + s->offset + sizeof(rt_end) - 1))
        return fail(why, DAMAGE_truncated, "", 0, 0);
    rt_end end;
    memcpy(&end, at + s->offset, sizeof end);
    return check_end(&end, &h, why);
}

/* ---- the file ---- */

/* Where the data segment is: the PT_LOAD with the highest address.  *end: of what the ELF headers
 * describe, the section table included, which strip puts behind everything else. */
static bool find_data(rt_file *f, uint64_t *n_data, uint64_t *end, rt_damage *why) {
    Elf64_Ehdr eh;
    if (f->n_bytes < sizeof eh || !read_at(f, 0, &eh, sizeof eh, why))
        return fail(why, DAMAGE_not_elf, "", 0, 0);
    if (memcmp(eh.e_ident, ELFMAG, SELFMAG) != 0 || eh.e_ident[EI_CLASS] != ELFCLASS64 ||
        eh.e_ident[EI_DATA] != ELFDATA2LSB || eh.e_type != ET_DYN)
        return fail(why, DAMAGE_not_elf, "", 0, 0);
    if (eh.e_phentsize != sizeof(Elf64_Phdr) || eh.e_phnum < 1 ||
        eh.e_phnum > MAX_PROGRAM_HEADERS || eh.e_phoff >= LIMIT || eh.e_shoff >= LIMIT ||
        eh.e_shentsize != sizeof(Elf64_Shdr))
        return fail(why, DAMAGE_elf, "", 0, 0);
    Elf64_Phdr data = {0};
    *end = eh.e_shoff + (uint64_t)eh.e_shnum * sizeof(Elf64_Shdr);
    for (uint32_t i = 0; i < eh.e_phnum; i++) {
        Elf64_Phdr p;
        if (!read_at(f, eh.e_phoff + i * sizeof p, &p, sizeof p, why)) return false;
        if (p.p_type != PT_LOAD) continue;
        if (p.p_offset >= LIMIT || p.p_filesz >= LIMIT) return fail(why, DAMAGE_elf, "", 0, 0);
        if (p.p_offset + p.p_filesz > *end) *end = p.p_offset + p.p_filesz;
        if (p.p_vaddr >= data.p_vaddr) data = p;
    }
    if (data.p_type != PT_LOAD || data.p_flags != PF_R || data.p_filesz < RT_HEADER_BYTES ||
        data.p_filesz != data.p_memsz || data.p_offset % RT_DATA_ALIGN)
        return fail(why, DAMAGE_no_data, "", 0, 0);
    f->data_offset = data.p_offset;
    *n_data = data.p_filesz;
    return true;
}

static bool file_open(rt_file *f, rt_damage *why) {
    uint64_t n_data = 0, end = 0; /* set anyway; gcc does not see it under its thread sanitizer */
    uint8_t page[RT_HEADER_BYTES];
    rt_end last;
    if (!find_data(f, &n_data, &end, why)) return false;
    if (f->n_bytes < end) return fail(why, DAMAGE_truncated, "", f->n_bytes, end);
    if (f->n_bytes > end) return fail(why, DAMAGE_extended, "", f->n_bytes, end);
    if (!read_at(f, f->data_offset, page, sizeof page, why) || !rt_header_check(page, why))
        return false;
    memcpy(&f->header, page, sizeof f->header);
    if (n_data != f->header.data_bytes)
        return fail(why, DAMAGE_elf, "", n_data, f->header.data_bytes);
    return rt_file_read(f, rt_section_find(&f->header, "end"), 0, &last, sizeof last, why) &&
           check_end(&last, &f->header, why);
}

bool rt_file_open_bytes(rt_file *f, const void *at, uint64_t n_bytes, rt_damage *why) {
    *f = (rt_file){.at = at, .fd = -1, .n_bytes = n_bytes};
    *why = (rt_damage){0};
    return file_open(f, why);
}

bool rt_file_open_fd(rt_file *f, int fd, rt_damage *why) {
    *f = (rt_file){.fd = fd};
    *why = (rt_damage){0};
    const off_t n = lseek(fd, 0, SEEK_END); /* fstat is too new a symbol for old distributions */
    if (n < 0) return fail(why, DAMAGE_read, "", (uint64_t)errno, 0);
    f->n_bytes = (uint64_t)n;
    return file_open(f, why);
}

uint64_t rt_file_offset(const rt_file *f, const rt_section *s) {
    return s == &f->header.section[0] ? 0 : f->data_offset + s->offset;
}

bool rt_file_read(const rt_file *f, const rt_section *s, uint64_t offset, void *out, size_t n,
                  rt_damage *why) {
    return read_at(f, rt_file_offset(f, s) + offset, out, n, why);
}

bool rt_file_check(const rt_file *f, rt_progress_fn *progress, void *context, rt_damage *why) {
    const rt_header *h = &f->header;
    sum_job job = {.f = f,
                   .blank = f->data_offset + offsetof(rt_header, section[1].blake3),
                   .total = h->section[0].bytes + h->data_bytes,
                   .progress = progress,
                   .context = context};
    if (h->section[0].bytes != f->data_offset || f->n_bytes != job.total)
        return fail(why, DAMAGE_moved, "", 0, 0);
    for (uint32_t i = 0; i < h->n_sections; i++) {
        uint8_t sum[DIGEST_BYTES];
        const rt_section *s = &h->section[i];
        if (!sum_range(&job, rt_file_offset(f, s), s->bytes, sum, why)) return false;
        if (memcmp(sum, s->blake3, DIGEST_BYTES) == 0) continue;
        return fail(why, DAMAGE_sum, s->name, 0, 0);
    }
    return true;
}
