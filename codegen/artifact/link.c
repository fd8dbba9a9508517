/* link.c - the linker's process, and the edits to what it gives.
 *
 * All files that the linker reads and writes are anonymous (memfd_create) and reach it as
 * /proc/self/fd/N: nothing to clean up, whatever kills us, and no path gets into the output.
 */
#include "codegen/artifact/link.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/vec.h"

enum {
    MAX_FILES = CG_MAX_OBJECTS + ART_N_STUBS + 4, /* runtime, two scripts, one to spare */
    MAX_MESSAGE = 1 << 14,
    MAX_LINKED = 1 << 30,
};

typedef struct mem_file {
    const char *name;
    int fd;
    char path[32];
} mem_file;

typedef struct link_run {
    const art_link_job *job;
    arena *mem;
    diag *d;
    mem_file file[MAX_FILES];
    int n_files;
    text out; /* what the program wrote to its standard output */
    int err;  /* its messages: a file in memory */
    vec(char *) args;
} link_run;

static diag_loc at(const char *path) { return (diag_loc){.file = path}; }

static bool resource_error(link_run *r, const char *what, int error) {
    return diag_error(r->d, DIAG_FILE_RESOURCES, at(r->job->path), "%s (%s)", what,
                      strerror(error));
}

/* An empty anonymous file, its number above those of the standard streams; -1: errno. */
static int open_memory(const char *name) {
    const int fd = memfd_create(name, MFD_CLOEXEC);
    if (fd < 0 || fd > STDERR_FILENO) return fd;
    const int higher = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1), error = errno;
    close(fd);
    errno = error;
    return higher;
}

/* The new file's path as the linker sees it; NULL: reported. */
static char *add_file(link_run *r, const char *name, art_bytes bytes) {
    if (r->n_files == MAX_FILES) UNREACHABLE("more objects than the linker's table holds");
    mem_file *f = &r->file[r->n_files];
    f->name = name;
    f->fd = open_memory(name);
    if (f->fd < 0) {
        resource_error(r, "cannot make a file in memory for the linker", errno);
        return NULL;
    }
    r->n_files++;
    snprintf(f->path, sizeof f->path, "/proc/self/fd/%d", f->fd);
    for (size_t done = 0; done < bytes.n;) {
        const ssize_t n = write(f->fd, (const char *)bytes.at + done, bytes.n - done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            resource_error(r, "cannot fill a file in memory for the linker", n ? errno : ENOSPC);
            return NULL;
        }
        done += (size_t)n;
    }
    return f->path;
}

static void add_arg(link_run *r, const char *arg) {
    vec_push(r->mem, &r->args, arena_strdup(r->mem, arg));
}

/* What the program said, at most MAX_MESSAGE bytes of it. */
static char *read_messages(link_run *r) {
    char *s = arena_get(r->mem, MAX_MESSAGE + 1, 1);
    const ssize_t n = pread(r->err, s, MAX_MESSAGE, 0);
    s[n > 0 ? n : 0] = 0;
    return s;
}

/* Starts argv[0], found on PATH, with an empty environment so that it cannot change the output. */
static int spawn_program(link_run *r, char *const *argv, int out, pid_t *pid) {
    static char locale[] = "LC_ALL=C";
    char *const env[] = {locale, NULL};
    posix_spawn_file_actions_t fa;
    int error = posix_spawn_file_actions_init(&fa);
    if (error) return error;
    /* `out` may have any number, where we were started without standard streams: it goes first */
    error = posix_spawn_file_actions_adddup2(&fa, out, STDOUT_FILENO);
    if (!error) error = posix_spawn_file_actions_adddup2(&fa, r->err, STDERR_FILENO);
    if (!error)
        error = posix_spawn_file_actions_addopen(&fa, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    for (int i = 0; i < r->n_files && !error; i++) /* onto itself: stays open in the child */
        error = posix_spawn_file_actions_adddup2(&fa, r->file[i].fd, r->file[i].fd);
    if (!error) error = posix_spawnp(pid, argv[0], &fa, NULL, argv, env);
    posix_spawn_file_actions_destroy(&fa);
    return error;
}

/* Reads to the end; more than MAX_LINKED is dropped.  Returns an errno or 0. */
static int drain(link_run *r, int from) {
    enum { PIECE = 1 << 16 };
    char *piece = arena_get(r->mem, PIECE, 1);
    for (;;) {
        const ssize_t n = read(from, piece, PIECE);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return errno;
        if (n == 0) return 0;
        if (r->out.buf.n < MAX_LINKED) text_add(&r->out, (str){piece, (size_t)n});
    }
}

/* Runs a program to its end, its output in r->out: through a pipe, which no limit on the size of
 * files concerns.  Returns an errno where it could not be started or heard, else 0 and its wait
 * status. */
static int run_program(link_run *r, char *const *argv, int *status) {
    int ends[2];
    pid_t pid;
    r->out = (text){.mem = r->mem};
    if (ftruncate(r->err, 0) != 0 || lseek(r->err, 0, SEEK_SET) != 0) return errno;
    if (pipe2(ends, O_CLOEXEC) != 0) return errno;
    const int error = spawn_program(r, argv, ends[1], &pid);
    close(ends[1]);
    const int lost = error ? 0 : drain(r, ends[0]);
    close(ends[0]); /* a program that still writes ends by this */
    if (error) return error;
    while (waitpid(pid, status, 0) < 0)
        if (errno != EINTR) return errno;
    return lost;
}

/* The linker's words, with the names of our files instead of their numbers. */
static void note_messages(link_run *r) {
    const char *s = read_messages(r);
    text out = {.mem = r->mem};
    while (*s) {
        const mem_file *f = NULL;
        for (int i = 0; i < r->n_files && !f; i++) {
            const size_t n = strlen(r->file[i].path);
            if (strncmp(s, r->file[i].path, n) == 0 && !strchr("0123456789", s[n])) f = &r->file[i];
            else if (strcmp(s, r->file[i].path) == 0) f = &r->file[i];
        }
        if (f) text_cat(&out, f->name);
        else text_putc(&out, *s);
        s += f ? strlen(f->path) : 1;
    }
    while (out.buf.n && out.buf.at[out.buf.n - 1] == '\n') out.buf.at[--out.buf.n] = 0;
    if (out.buf.n) diag_note(r->d, (diag_loc){0}, STR_FMT, STR_ARG(text_str(&out)));
}

/* Whether a program failed because its memory ended: it or the dynamic loader says so. */
static bool lacked_memory(link_run *r, int status) {
    static const char *const WORDS[] = {"Cannot allocate memory", "out of memory",
                                        "failed to map segment", "No space left on device"};
    if (WIFSIGNALED(status)) return true; /* or the system ended it for lack of memory */
    const char *said = read_messages(r);
    for (size_t i = 0; i < COUNT_OF(WORDS); i++)
        if (WEXITSTATUS(status) && strstr(said, WORDS[i])) return true;
    return false;
}

static bool no_memory_error(link_run *r, const char *linker, int status) {
    if (WIFSIGNALED(status))
        return diag_error(r->d, DIAG_FILE_RESOURCES, at(r->job->path),
                          "the linker %s was killed by signal %d", linker, WTERMSIG(status));
    diag_error(r->d, DIAG_FILE_RESOURCES, at(r->job->path), "the linker %s ran out of memory",
               linker);
    note_messages(r);
    return false;
}

/* The first of `names` that can be started and is version 19. */
static bool find_linker(link_run *r, const char *const *names, const char **linker) {
    const char *other = NULL;
    for (; *names; names++) {
        char *const argv[] = {arena_strdup(r->mem, *names), "--version", NULL};
        int status;
        const int error = run_program(r, argv, &status);
        if (error == ENOENT || error == EACCES || error == ENOTDIR) continue;
        if (error) return resource_error(r, "cannot run the linker", error);
        if (lacked_memory(r, status)) return no_memory_error(r, *names, status);
        const str version = text_str(&r->out);
        if (memmem(version.at, version.n, "LLD 19.", 7)) {
            *linker = *names;
            return true;
        }
        other = arena_copy(r->mem, version.at, version.n);
    }
    diag_error(r->d, DIAG_LINKER_MISSING, (diag_loc){0},
               "the linker ld.lld 19 is not installed, or not on PATH");
    if (other) diag_note(r->d, (diag_loc){0}, "found %.*s", (int)strcspn(other, "\n"), other);
    return false;
}

/* The data segment comes last and in a segment of its own: the gap, which takes no bytes in the
 * file, keeps it from being joined with .data. */
static const char LAYOUT[] = "SECTIONS {\n"
                             "  .p4c.gap (NOLOAD) : { . += 8; }\n"
                             "  .p4c.data : ALIGN(0x200000) { HIDDEN(p4c_data = .); QUAD(0) }\n"
                             "} INSERT AFTER .bss;\n";

static bool set_up(link_run *r, const char *linker) {
    static const char *const OPTIONS[] = {
        "-shared",
        "-Bsymbolic",
        "-z",
        "defs",
        "-z",
        "now",
        "-z",
        "relro",
        "--strip-all",
        "--as-needed",
        "--build-id=none",
        "--hash-style=both",
        "--entry=p4c_start",
        "--threads=1",
        "--fatal-warnings",
        "-o",
        "-",
    };
    const art_link_job *job = r->job;
    const char *second = job->export ? arena_printf(r->mem, "%s_get_api; ", job->export) : "";
    const char *exports = arena_printf(r->mem, "{ global: p4c_get_api; %slocal: *; };\n", second);
    char *path = add_file(r, "exports", (art_bytes){exports, strlen(exports)});
    if (!path) return false;
    add_arg(r, linker);
    for (size_t i = 0; i < COUNT_OF(OPTIONS); i++) add_arg(r, OPTIONS[i]);
    add_arg(r, arena_printf(r->mem, "--soname=%s", path_base(job->path)));
    add_arg(r, arena_printf(r->mem, "--version-script=%s", path));
    if (job->export)
        add_arg(r, arena_printf(r->mem, "--defsym=%s_get_api=p4c_get_api", job->export));
    path = add_file(r, "layout", (art_bytes){LAYOUT, strlen(LAYOUT)});
    if (!path) return false;
    add_arg(r, arena_printf(r->mem, "--script=%s", path));
    for (int i = 0; i < job->n_objects; i++) {
        path = add_file(r, job->object[i].name, job->object[i].bytes);
        if (!path) return false;
        add_arg(r, path);
    }
    for (int i = 0; i < ART_N_STUBS; i++) {
        path = add_file(r, art_stub_soname[i], art_stub_library(job->target, i, r->mem));
        if (!path) return false;
        add_arg(r, path);
    }
    vec_push(r->mem, &r->args, NULL);
    return true;
}

static bool run_linker(link_run *r, art_bytes *out) {
    int status;
    const int error = run_program(r, r->args.at, &status);
    if (error) return resource_error(r, "cannot run the linker", error);
    if (lacked_memory(r, status)) return no_memory_error(r, r->args.at[0], status);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        diag_error(r->d, DIAG_LINKER_FAILED, at(r->job->path),
                   "the linker %s failed with status %d", r->args.at[0], WEXITSTATUS(status));
        note_messages(r);
        return false;
    }
    if (r->out.buf.n == 0 || r->out.buf.n > MAX_LINKED)
        return diag_error(r->d, DIAG_LINKER_FAILED, at(r->job->path),
                          "the linker %s wrote %zu bytes", r->args.at[0], r->out.buf.n);
    *out = (art_bytes){r->out.buf.at, r->out.buf.n};
    return true;
}

bool art_link(const art_link_job *job, arena *mem, diag *d, art_bytes *out) {
    static const char *const LINKERS[] = {"ld.lld-19", "ld.lld", NULL};
    link_run r = {.job = job, .mem = mem, .d = d};
    const char *linker = NULL;
    bool ok = false;
    r.err = open_memory("messages");
    if (r.err < 0) resource_error(&r, "cannot make a file in memory for the linker", errno);
    else
        ok = find_linker(&r, job->linker ? job->linker : LINKERS, &linker) && set_up(&r, linker) &&
             run_linker(&r, out);
    for (int i = 0; i < r.n_files; i++) close(r.file[i].fd);
    if (r.err >= 0) close(r.err);
    return ok;
}

/* ---- the linked object ---- */

typedef struct elf_view {
    const uint8_t *at;
    size_t n;
    Elf64_Ehdr eh;
    Elf64_Shdr *section; /* copies */
    Elf64_Phdr *segment;
} elf_view;

static bool in_file(const elf_view *v, uint64_t offset, uint64_t n) {
    return offset <= v->n && n <= v->n - offset;
}

static const char *section_name(const elf_view *v, const Elf64_Shdr *s) {
    const Elf64_Shdr *names = &v->section[v->eh.e_shstrndx];
    if (s->sh_name >= names->sh_size) return "";
    return (const char *)v->at + names->sh_offset + s->sh_name;
}

static bool read_view(art_bytes linked, arena *mem, elf_view *v) {
    *v = (elf_view){.at = linked.at, .n = linked.n};
    if (v->n < sizeof v->eh) return false;
    memcpy(&v->eh, v->at, sizeof v->eh);
    const Elf64_Ehdr *eh = &v->eh;
    if (memcmp(eh->e_ident, ELFMAG, SELFMAG) != 0 || eh->e_ident[EI_CLASS] != ELFCLASS64 ||
        !eh->e_entry || eh->e_shstrndx >= eh->e_shnum || eh->e_shstrndx == 0 ||
        !in_file(v, eh->e_shoff, eh->e_shnum * sizeof(Elf64_Shdr)) ||
        !in_file(v, eh->e_phoff, eh->e_phnum * sizeof(Elf64_Phdr)))
        return false;
    v->section = arena_array(mem, Elf64_Shdr, eh->e_shnum);
    v->segment = arena_array(mem, Elf64_Phdr, eh->e_phnum);
    memcpy(v->section, v->at + eh->e_shoff, eh->e_shnum * sizeof(Elf64_Shdr));
    memcpy(v->segment, v->at + eh->e_phoff, eh->e_phnum * sizeof(Elf64_Phdr));
    for (int i = 0; i < eh->e_shnum; i++)
        if (v->section[i].sh_type != SHT_NOBITS &&
            !in_file(v, v->section[i].sh_offset, v->section[i].sh_size))
            return false;
    const Elf64_Shdr *names = &v->section[eh->e_shstrndx];
    return names->sh_size && v->at[names->sh_offset + names->sh_size - 1] == 0;
}

/* The segment and section of the data: the highest in memory, and nothing else in them. */
static bool find_data(elf_view *v, Elf64_Phdr **segment, Elf64_Shdr **section) {
    *segment = NULL;
    *section = NULL;
    for (int i = 0; i < v->eh.e_phnum; i++)
        if (v->segment[i].p_type == PT_LOAD &&
            (!*segment || v->segment[i].p_vaddr > (*segment)->p_vaddr))
            *segment = &v->segment[i];
    for (int i = 0; i < v->eh.e_shnum; i++)
        if (strcmp(section_name(v, &v->section[i]), ".p4c.data") == 0) *section = &v->section[i];
    return *segment && *section && (*segment)->p_vaddr == (*section)->sh_addr &&
           (*segment)->p_vaddr % RT_DATA_ALIGN == 0 &&
           (*segment)->p_filesz == (*section)->sh_size &&
           (*segment)->p_memsz == (*section)->sh_size;
}

bool art_place_data(const char *path, art_bytes linked, uint64_t data_bytes, arena *mem, diag *d,
                    art_bytes *out) {
    elf_view v;
    Elf64_Phdr *segment;
    Elf64_Shdr *data;
    if (!read_view(linked, mem, &v) || !find_data(&v, &segment, &data))
        return diag_error(d, DIAG_LINKER_FAILED, at(path),
                          "the linker's output has an unexpected layout");
    uint64_t end = v.eh.e_phoff + v.eh.e_phnum * sizeof(Elf64_Phdr);
    int n_sections = 0;
    for (int i = 0; i < v.eh.e_shnum; i++) { /* loaded ones come first: their numbers stay */
        const Elf64_Shdr *s = &v.section[i];
        if (i && !(s->sh_flags & SHF_ALLOC)) break;
        n_sections = i + 1;
        if (s == data || s->sh_type == SHT_NOBITS) continue;
        if (s->sh_offset + s->sh_size > end) end = s->sh_offset + s->sh_size;
    }
    /* then the names, then the table itself, then zeros up to the data */
    Elf64_Shdr names = v.section[v.eh.e_shstrndx];
    const uint64_t names_from = names.sh_offset;
    names.sh_offset = end;
    const uint64_t table = (uint64_t)round_up((int64_t)(end + names.sh_size), 8);
    const uint64_t table_end = table + (uint64_t)(n_sections + 1) * sizeof(Elf64_Shdr);
    const uint64_t n_bytes = (uint64_t)round_up((int64_t)table_end, RT_DATA_ALIGN);

    segment->p_flags = PF_R;
    segment->p_align = RT_DATA_ALIGN;
    segment->p_offset = n_bytes;
    segment->p_filesz = segment->p_memsz = data_bytes;
    data->sh_flags = SHF_ALLOC;
    data->sh_offset = n_bytes; /* else strip cuts the data off */
    data->sh_size = data_bytes;
    v.eh.e_shoff = table;
    v.eh.e_shnum = (Elf64_Half)(n_sections + 1);
    v.eh.e_shstrndx = (Elf64_Half)n_sections;

    uint8_t *image = arena_get(mem, n_bytes, 64);
    memcpy(image, v.at, end);
    memcpy(image, &v.eh, sizeof v.eh);
    memcpy(image + v.eh.e_phoff, v.segment, v.eh.e_phnum * sizeof(Elf64_Phdr));
    memcpy(image + end, v.at + names_from, names.sh_size);
    memcpy(image + table, v.section, (size_t)n_sections * sizeof(Elf64_Shdr));
    memcpy(image + table + (size_t)n_sections * sizeof(Elf64_Shdr), &names, sizeof names);
    *out = (art_bytes){image, n_bytes};
    return true;
}
