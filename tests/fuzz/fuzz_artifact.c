/* fuzz_artifact.c - a whole artifact with some bytes changed, its checksums made right again or
 * left wrong: as a file it is refused or read inside its bounds; loaded, it is refused or serves
 * text. Its kernels never run: machine code is what a loaded artifact is trusted for.
 *
 * Input: flags (1: checksums are made right), length of the file (i16, added to the right one),
 * then edits: place (u16), number of bytes (u8, below 32), bytes.  Places from 0 are in the ELF
 * headers, from HEAD_BYTES in the data segment.
 */
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "runtime/artifact_file.h"
#include "runtime/model.h"
#include "tests/unit/fake_model.h"

enum { HEAD_BYTES = 1024, EDITABLE_BYTES = HEAD_BYTES + (24 << 10), SEAL = 1 };

static uint8_t file[RT_DATA_ALIGN + FAKE_DATA_BYTES];
static uint8_t head[HEAD_BYTES], data_start[EDITABLE_BYTES]; /* as they were */
static fake *model;

static void build_head(void) {
    const Elf64_Ehdr eh = {
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_DYN,
        .e_phoff = sizeof eh,
        .e_phnum = 1,
        .e_phentsize = sizeof(Elf64_Phdr),
        .e_shoff = HEAD_BYTES / 2,
        .e_shnum = 2,
        .e_shentsize = sizeof(Elf64_Shdr)};
    const Elf64_Phdr ph = {.p_type = PT_LOAD,
                           .p_flags = PF_R,
                           .p_offset = RT_DATA_ALIGN,
                           .p_vaddr = RT_DATA_ALIGN,
                           .p_filesz = model->n_bytes,
                           .p_memsz = model->n_bytes};
    memcpy(head, &eh, sizeof eh);
    memcpy(head + sizeof eh, &ph, sizeof ph);
}

static void set_up(void) {
    model = fake_new(fake_default_options());
    build_head();
    memcpy(data_start, model->data, sizeof data_start);
    memcpy(file + RT_DATA_ALIGN, model->data, model->n_bytes);
}

/* Both forms, in the state before any edit, then with the edits. */
static void apply(const uint8_t *p, size_t n) {
    memcpy(file, head, sizeof head);
    memcpy(model->data, data_start, sizeof data_start);
    while (n >= 3) {
        const uint32_t place = (uint32_t)(p[0] | p[1] << 8) % EDITABLE_BYTES;
        size_t count = p[2] % 32;
        p += 3;
        n -= 3;
        if (count > n) count = n;
        for (size_t i = 0; i < count; i++) {
            const size_t at = place + i;
            if (at < HEAD_BYTES) file[at] = p[i];
            else model->data[at - HEAD_BYTES] = p[i];
        }
        p += count;
        n -= count;
    }
}

static void read_as_data(uint64_t n_bytes) {
    rt_file f;
    rt_damage why = {0};
    char line[200];
    memcpy(file + RT_DATA_ALIGN, model->data, sizeof data_start);
    if (!rt_file_open_bytes(&f, file, n_bytes, &why)) {
        if (why.kind == DAMAGE_none) abort();
        rt_damage_text(&why, line, sizeof line);
        if (!line[0]) abort();
        return;
    }
    uint64_t end = 0;
    for (uint32_t i = 0; i < f.header.n_sections; i++) {
        const rt_section *s = &f.header.section[i];
        const uint64_t at = rt_file_offset(&f, s);
        uint8_t last;
        if (i && at != end && i > 1) abort();
        end = at + s->bytes;
        if (end > n_bytes && i) abort();
        if (i && s->bytes && !rt_file_read(&f, s, s->bytes - 1, &last, 1, &why)) abort();
    }
}

static void use(p4c_model *m) {
    static const char TEXT[] = "hello stops <|end|>\xe2\x82\xac 123";
    static const char CHAT[] = "[{\"role\": \"user\", \"content\": \"hello\"}]";
    int32_t *ids = NULL;
    size_t n_ids = 0, n_text;
    char *text = NULL;
    p4c_chat chat = {0};
    if (p4c_tokenize(m, TEXT, sizeof TEXT - 1, P4C_PARSE_SPECIAL, &ids, &n_ids, NULL) == P4C_OK) {
        if (p4c_detokenize(m, ids, n_ids, 0, &text, &n_text, NULL) == P4C_OK) p4c_free(m, text);
        p4c_free(m, ids);
    }
    if (p4c_render_chat(m, CHAT, sizeof CHAT - 1, &chat, NULL) == P4C_OK) {
        p4c_free(m, chat.text);
        p4c_free(m, chat.ids);
    }
}

static void load(void) {
    const rt_model_source source = fake_source(model);
    p4c_open_params params = p4c_default_open_params();
    params.n_threads = 1;
    p4c_model *m = NULL;
    p4c_error error = {0};
    const p4c_status s = rt_model_open(&source, p4c_get_api(P4C_API_VERSION), &params, &m, &error);
    if ((s == P4C_OK) != (m != NULL) || (s != P4C_OK && !error.text[0])) abort();
    if (s != P4C_OK) return;
    use(m);
    p4c_close(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!model) set_up();
    if (size < 3) return 0;
    int16_t more;
    memcpy(&more, data + 1, sizeof more);
    apply(data + 3, size - 3);
    if (data[0] & SEAL) fake_seal(model);
    const int64_t n = RT_DATA_ALIGN + (int64_t)model->n_bytes + more;
    read_as_data((uint64_t)min_i64(n, (int64_t)sizeof file));
    load();
    return 0;
}
