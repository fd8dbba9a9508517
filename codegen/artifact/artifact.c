/* artifact.c - the order of things in the file: program, header, small sections, weights, end. */
#include "codegen/artifact/artifact.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/digest.h"
#include "base/file.h"
#include "codegen/artifact/link.h"
#include "codegen/artifact/weights.h"

/* What a section holds; `at` NULL: written by code of its own. */
typedef struct art_part {
    const char *name;
    const void *at;
    uint64_t n, align;
} art_part;

enum { MAX_PARTS = 12, MODE = 0755, MAX_NAME = 100, ELF_SECTION = 0, HEADER_SECTION = 1 };

typedef struct art_writer {
    const art_input *in;
    diag *d;
    file_writer *file;
    rt_header header;
    digest sum; /* of the section being written */
    art_part part[MAX_PARTS];
    int n_parts;
    uint64_t done; /* bytes of the data segment */
} art_writer;

static diag_loc at(const art_input *in) { return (diag_loc){.file = in->path}; }

/* ---- what goes where ---- */

static void add_section(rt_header *h, const char *name, uint64_t offset, uint64_t n) {
    if (h->n_sections == RT_MAX_SECTIONS) UNREACHABLE("more sections than the header holds");
    rt_section *s = &h->section[h->n_sections++];
    snprintf(s->name, sizeof s->name, "%s", name);
    s->offset = offset;
    s->bytes = n;
}

/* Sections for all parts, with pads between them so that nothing is left uncovered. */
static void place_parts(art_writer *w) {
    uint64_t end = 0;
    int n_pads = 0;
    for (int i = 0; i < w->n_parts; i++) {
        const art_part *p = &w->part[i];
        const uint64_t begin = (uint64_t)round_up((int64_t)end, (int64_t)p->align);
        if (begin > end) {
            char name[16];
            snprintf(name, sizeof name, "pad%d", n_pads++);
            add_section(&w->header, name, end, begin - end);
        }
        add_section(&w->header, p->name, begin, p->n);
        end = begin + p->n;
    }
    w->header.data_bytes = end;
}

static void add_part(art_writer *w, const char *name, const void *p, uint64_t n, uint64_t align) {
    if (w->n_parts == MAX_PARTS) UNREACHABLE("more parts than the writer's table holds");
    w->part[w->n_parts++] = (art_part){name, p, n, align};
}

static art_bytes plan_bytes(const cg_program *p, arena *mem) {
    const size_t n_launches = p->plan.n_launches, n = n_launches * sizeof *p->launch;
    char *out = arena_get(mem, sizeof p->plan + n, 64);
    memcpy(out, &p->plan, sizeof p->plan);
    if (n) memcpy(out + sizeof p->plan, p->launch, n);
    return (art_bytes){out, sizeof p->plan + n};
}

static void plan_parts(art_writer *w) {
    const art_input *in = w->in;
    const art_bytes plan = plan_bytes(in->program, in->mem);
    const struct {
        const char *name;
        art_bytes bytes;
    } blobs[] = {
        {"meta", {in->meta, sizeof *in->meta}},
        {"plan", plan},
        {"tokenizer", in->tokenizer},
        {"template", in->template},
        {"config", in->config},
        {"options", in->options},
        {"ir", in->ir},
    };
    add_part(w, "header", NULL, RT_HEADER_BYTES, RT_SECTION_ALIGN);
    for (size_t i = 0; i < COUNT_OF(blobs); i++)
        add_part(w, blobs[i].name, blobs[i].bytes.at, blobs[i].bytes.n, RT_SECTION_ALIGN);
    if (in->meta->dummy) {
        const art_bytes recipe = art_weights_recipe(in->program, in->mem);
        add_part(w, "dummy", recipe.at, recipe.n, RT_SECTION_ALIGN);
    }
    add_part(w, "weights", NULL, in->meta->dummy ? 0 : in->program->weights_bytes, RT_DATA_ALIGN);
    rt_end *end = arena_new(in->mem, rt_end);
    add_part(w, "end", end, sizeof *end, RT_SECTION_ALIGN);
    place_parts(w);
    end->data_bytes = w->header.data_bytes;
    memcpy(end->magic, RT_END_MAGIC, sizeof end->magic);
}

/* ---- writing ---- */

static bool put(art_writer *w, const void *p, size_t n) {
    digest_update(&w->sum, p, n);
    return file_write(w->file, p, n);
}

static bool put_zeros(art_writer *w, uint64_t n) {
    static const uint8_t zeros[1 << 16];
    while (n) {
        const size_t piece = n < sizeof zeros ? (size_t)n : sizeof zeros;
        if (!put(w, zeros, piece)) return false;
        n -= piece;
    }
    return true;
}

static bool put_window(void *context, const uint8_t *p, size_t n) {
    art_writer *w = context;
    if (!put(w, p, n)) return false;
    w->done += n;
    if (w->in->progress) w->in->progress(w->in->progress_context, w->done, w->header.data_bytes);
    return true;
}

static const art_part *part_of(const art_writer *w, const char *name) {
    for (int i = 0; i < w->n_parts; i++)
        if (strcmp(w->part[i].name, name) == 0) return &w->part[i];
    return NULL; /* a pad */
}

static bool put_section(art_writer *w, rt_section *s, const art_weights *weights) {
    const art_part *p = part_of(w, s->name);
    bool ok;
    digest_init(&w->sum);
    if (p && p->at) ok = put(w, p->at, s->bytes);
    else if (p && strcmp(s->name, "weights") == 0 && s->bytes)
        ok = art_weights_stream(weights, w->in->n_threads, w->in->mem, w->d, put_window, w);
    else ok = put_zeros(w, s->bytes); /* pads, the header's place, what is empty */
    digest_final(&w->sum, s->blake3);
    w->done = s->offset + s->bytes;
    return ok;
}

static bool put_header(art_writer *w, uint64_t offset) {
    uint8_t page[RT_HEADER_BYTES] = {0};
    rt_section *own = &w->header.section[HEADER_SECTION];
    memset(own->blake3, 0, sizeof own->blake3);
    memcpy(page, &w->header, sizeof w->header);
    digest_init(&w->sum);
    digest_update(&w->sum, page, sizeof page);
    digest_final(&w->sum, own->blake3);
    memcpy(page, &w->header, sizeof w->header);
    return file_write_at(w->file, offset, page, sizeof page);
}

/* A full disk is found before hours of work, not after.  File systems that cannot are left alone.
 */
static bool reserve(art_writer *w, uint64_t n_bytes) {
    if (fallocate(file_fd(w->file), 0, 0, (off_t)n_bytes) == 0) return true;
    if (errno != ENOSPC && errno != EDQUOT && errno != EFBIG) return true;
    return diag_error(w->d, DIAG_FILE_WRITE, at(w->in), "no room for the file's %llu bytes (%s)",
                      (unsigned long long)n_bytes, strerror(errno));
}

static bool write_all(art_writer *w, art_bytes image) {
    art_weights *weights = NULL;
    rt_section *elf = &w->header.section[ELF_SECTION];
    elf->bytes = image.n;
    if (!w->in->meta->dummy) {
        weights = art_weights_prepare(w->in->program, w->in->mem, w->d);
        if (!weights) return false;
    }
    if (!reserve(w, image.n + w->header.data_bytes)) return false;
    digest_init(&w->sum);
    if (!put(w, image.at, image.n)) return false;
    digest_final(&w->sum, elf->blake3);
    for (uint32_t i = HEADER_SECTION; i < w->header.n_sections; i++)
        if (!put_section(w, &w->header.section[i], weights)) return false;
    return put_header(w, image.n);
}

/* ---- the whole ---- */

static bool is_identifier(const char *s) {
    const size_t n = strlen(s);
    return n && n <= MAX_NAME && (*s < '0' || *s > '9') &&
           strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == n;
}

static bool link_program(art_writer *w, art_bytes *image) {
    const art_input *in = w->in;
    art_file object[CG_MAX_OBJECTS + 1] = {{"runtime.o", in->runtime}};
    int n = 1;
    for (int i = 0; i < in->objects->n; i++, n++)
        object[n] = (art_file){in->objects->object[i].name,
                               {in->objects->object[i].at, in->objects->object[i].n_bytes}};
    const bool has_own_name = in->name && strcmp(in->name, "p4c") != 0;
    const art_link_job job = {.path = in->path,
                              .export = has_own_name ? in->name : NULL,
                              .object = object,
                              .n_objects = n,
                              .target = art_target_find(in->triple)};
    art_bytes linked;
    return art_link(&job, in->mem, w->d, &linked) &&
           art_place_data(in->path, linked, w->header.data_bytes, in->mem, w->d, image);
}

bool art_write(const art_input *in, diag *d) {
    art_writer w = {.in = in, .d = d};
    art_bytes image;
    if (in->name && !is_identifier(in->name))
        return diag_error(d, DIAG_ARTIFACT_NAME, (diag_loc){0},
                          "the name '%s' cannot be part of a C function's name", in->name);
    if (!art_target_find(in->triple))
        return diag_error(d, DIAG_ARTIFACT_TARGET, (diag_loc){0},
                          "no artifacts can be made for target '%s'", in->triple);
    memcpy(w.header.magic, RT_MAGIC, sizeof w.header.magic);
    w.header.abi = RT_ABI;
    snprintf(w.header.version, sizeof w.header.version, "%s", in->version);
    add_section(&w.header, "elf", 0, 0);
    plan_parts(&w);
    w.file =
        file_create(in->path, MODE, in->mem, d); /* early: says so where it cannot be written */
    if (!w.file) return false;
    if (!link_program(&w, &image) || !write_all(&w, image)) {
        file_abandon(w.file);
        return false;
    }
    return file_commit(w.file);
}
