/* Artifacts of stand-ins, written, looked into, run, linked, loaded, stripped, cut and interrupted.
 */
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "codegen/artifact/weights.h"
#include "runtime/artifact_file.h"
#include "runtime/p4c.h"
#include "tests/support/artifact_kit.h"
#include "tests/unit/unit.h"

static void open_kit(kit *k) { kit_open(k, FAKE_RUNTIME, FAKE_IMAGE); }

static bool write_it(kit *k) {
    const bool ok = art_write(&k->in, &k->d);
    CU_ASSERT_TRUE(ok);
    if (!ok) diag_print(&k->d, stdout);
    return ok;
}

/* Code of the only error, 0 where there is none. */
static int code_of(const kit *k) {
    CU_ASSERT_TRUE(k->d.n_errors <= 1);
    for (const diag_item *i = k->d.first; i; i = i->next)
        if (i->level == DIAG_LEVEL_error) return (int)i->code;
    return 0;
}

static bool says(const kit *k, const char *part) {
    for (const diag_item *i = k->d.first; i; i = i->next)
        if (strstr(i->text, part)) return true;
    diag_print(&k->d, stdout);
    return false;
}

/* ---- what is inside ---- */

static void check_section(const rt_file *f, const char *name, const void *want, size_t n) {
    rt_damage why;
    const rt_section *s = rt_section_find(&f->header, name);
    CU_ASSERT_PTR_NOT_NULL_FATAL(s);
    CU_ASSERT_EQUAL_FATAL(s->bytes, n);
    char *got = malloc(n + 1);
    CU_ASSERT_TRUE(rt_file_read(f, s, 0, got, n, &why));
    CU_ASSERT_EQUAL(memcmp(got, want, n), 0);
    free(got);
}

static void test_contents(void) {
    kit k;
    rt_file f;
    rt_damage why;
    open_kit(&k);
    const mode_t old = umask(027);
    if (write_it(&k)) {
        const art_bytes file = kit_read(&k, k.in.path);
        CU_ASSERT_TRUE_FATAL(rt_file_open_bytes(&f, file.at, file.n, &why));
        CU_ASSERT_TRUE(rt_file_check(&f, NULL, NULL, &why));
        CU_ASSERT_STRING_EQUAL(f.header.version, "1.2.3-test");
        check_section(&f, "meta", &k.meta, sizeof k.meta);
        check_section(&f, "tokenizer", "tokens", 6);
        check_section(&f, "template", "", 0);
        check_section(&f, "config", "config of one", 13);
        check_section(&f, "options", "{}", 2);
        check_section(&f, "ir", "graph", 5);
        uint8_t plan[sizeof(rt_plan) + 2 * sizeof(rt_launch)];
        memcpy(plan, &k.program.plan, sizeof(rt_plan));
        memcpy(plan + sizeof(rt_plan), k.program.launch, 2 * sizeof(rt_launch));
        check_section(&f, "plan", plan, sizeof plan);
        uint8_t *weights = arena_get(k.mem, k.program.weights_bytes, 64);
        art_weights_fill(art_weights_prepare(&k.program, k.mem, &k.d), 0, k.program.weights_bytes,
                         k.mem, weights);
        check_section(&f, "weights", weights, k.program.weights_bytes);
        uint64_t covered = 0;
        for (uint32_t i = 0; i < f.header.n_sections; i++) covered += f.header.section[i].bytes;
        CU_ASSERT_EQUAL(covered, file.n);
        struct stat st;
        CU_ASSERT_EQUAL(stat(k.in.path, &st), 0);
        CU_ASSERT_EQUAL(st.st_mode & 07777, 0750);
        CU_ASSERT_STRING_EQUAL(kit_list(&k), "model.so");
    }
    umask(old);
    kit_close(&k);
}

static void test_dummy(void) {
    kit k;
    rt_file f;
    rt_damage why;
    open_kit(&k);
    k.meta.dummy = 1;
    k.meta.dummy_seed = 99;
    if (write_it(&k)) {
        const art_bytes file = kit_read(&k, k.in.path),
                        recipe = art_weights_recipe(&k.program, k.mem);
        CU_ASSERT_TRUE_FATAL(rt_file_open_bytes(&f, file.at, file.n, &why));
        check_section(&f, "weights", "", 0);
        check_section(&f, "dummy", recipe.at, recipe.n);
        check_section(&f, "meta", &k.meta, sizeof k.meta);
    }
    kit_close(&k);
}

/* Same inputs, same bytes: whatever folder, number of threads, environment and open descriptors. */
static void test_reproducible(void) {
    kit a, b;
    open_kit(&a);
    open_kit(&b);
    a.in.n_threads = 1;
    b.in.n_threads = 7;
    a.in.name = b.in.name = "twin";
    if (write_it(&a)) {
        const int held = dup(STDIN_FILENO);
        setenv("LLD_REPRODUCE", "/nonexistent/x.tar", 1);
        setenv("SOURCE_DATE_EPOCH", "1", 1);
        if (write_it(&b)) {
            const art_bytes x = kit_read(&a, a.in.path), y = kit_read(&b, b.in.path);
            CU_ASSERT_EQUAL_FATAL(x.n, y.n);
            CU_ASSERT_EQUAL(memcmp(x.at, y.at, x.n), 0);
            CU_ASSERT_PTR_NULL(memmem(x.at, x.n, "/tmp/", 5));
            CU_ASSERT_PTR_NULL(memmem(x.at, x.n, "/proc/self/fd", 13));
            CU_ASSERT_PTR_NULL(memmem(x.at, x.n, SOURCE_ROOT, strlen(SOURCE_ROOT)));
        }
        unsetenv("LLD_REPRODUCE");
        unsetenv("SOURCE_DATE_EPOCH");
        close(held);
    }
    kit_close(&a);
    kit_close(&b);
}

/* ---- run, linked, loaded ---- */

static void test_program(void) {
    kit k;
    char *out;
    open_kit(&k);
    if (write_it(&k)) {
        const char *p = k.in.path;
        CU_ASSERT_EQUAL(kit_run(&k, &out, "%s", p), 0);
        CU_ASSERT_STRING_EQUAL(out, "0 arguments, kernel says 7, version 1\n");
        CU_ASSERT_EQUAL(kit_run(&k, &out, "%s 3 x", p), 3);
        CU_ASSERT_STRING_EQUAL(out, "2 arguments, kernel says 7, version 1\n");
        CU_ASSERT_EQUAL(kit_run(&k, &out, "%s thread", p), 0);
        CU_ASSERT_STRING_EQUAL(out, "42 2.718\n");
        CU_ASSERT_EQUAL(kit_run(&k, &out, "%s data", p), 0);
        CU_ASSERT_STRING_EQUAL(out, "data is whole\n");
        /* buffered text is written and destructors run after main, and after pthread_exit */
        CU_ASSERT_EQUAL(kit_run(&k, &out, "FAKE_TALKS=1 %s 0", p), 0);
        CU_ASSERT_STRING_EQUAL(out, "1 arguments, kernel says 7, version 1\ndestructor\n");
        CU_ASSERT_EQUAL(kit_run(&k, &out, "FAKE_TALKS=1 %s pthread_exit", p), 0);
        CU_ASSERT_STRING_EQUAL(out, "main thread is gone\ndestructor\n");
        CU_ASSERT_EQUAL(kit_run(&k, &out, "cd / && PATH= LD_BIND_NOW=1 %s 5", p), 5);
    }
    kit_close(&k);
}

static void test_linked(void) {
    kit k;
    char *out;
    open_kit(&k);
    k.in.name = "one";
    k.in.path = kit_path(&k, "libone.so");
    if (write_it(&k)) {
        k.in.name = "two";
        k.in.path = kit_path(&k, "libtwo.so");
        k.in.config = (art_bytes){"config of two", 13};
        if (write_it(&k)) {
            CU_ASSERT_EQUAL(kit_run(&k, &out,
                                    "cd %s && %s -I%s -I%s/runtime %s/tests/artifact/linked_app.c "
                                    "libone.so libtwo.so -Wl,-rpath,'$ORIGIN' -o app && ./app",
                                    k.dir, HOST_CC, SOURCE_ROOT, SOURCE_ROOT, SOURCE_ROOT),
                            0);
            CU_ASSERT_STRING_EQUAL(out, "both answer\n");
            CU_ASSERT_EQUAL(kit_run(&k, &out,
                                    "mkdir %s/x && mv %s/*.so %s/app %s/x && %s/x/app; "
                                    "r=$?; mv %s/x/* %s; rmdir %s/x; exit $r",
                                    k.dir, k.dir, k.dir, k.dir, k.dir, k.dir, k.dir, k.dir),
                            0);
            CU_ASSERT_STRING_EQUAL(out, "both answer\n");
        }
    }
    kit_close(&k);
}

/* Loads an artifact, calls NAME_get_api, and gives its config. */
static char *config_by(kit *k, void **handle, const char *path, const char *symbol) {
    const void *data;
    size_t n;
    *handle = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
    if (!*handle) puts(dlerror());
    CU_ASSERT_PTR_NOT_NULL_FATAL(*handle);
    p4c_get_api_fn *get_api = (p4c_get_api_fn *)(uintptr_t)dlsym(*handle, symbol);
    CU_ASSERT_PTR_NOT_NULL_FATAL(get_api);
    CU_ASSERT_PTR_NULL(get_api(P4C_API_VERSION + 1));
    const p4c_api *api = get_api(P4C_API_VERSION);
    CU_ASSERT_EQUAL(api->get_section(NULL, "config", &data, &n, NULL), P4C_OK);
    return arena_copy(k->mem, data, n);
}

static void test_loaded(void) {
    kit k;
    void *one, *two, *again;
    open_kit(&k);
    k.in.path = kit_path(&k, "one.so");
    k.in.name = "one";
    if (write_it(&k)) {
        k.in.path = kit_path(&k, "two.so");
        k.in.name = "two";
        k.in.config = (art_bytes){"config of two", 13};
        if (write_it(&k)) {
            CU_ASSERT_STRING_EQUAL(config_by(&k, &one, kit_path(&k, "one.so"), "one_get_api"),
                                   "config of one");
            CU_ASSERT_STRING_EQUAL(config_by(&k, &two, k.in.path, "two_get_api"), "config of two");
            CU_ASSERT_STRING_EQUAL(config_by(&k, &again, k.in.path, "p4c_get_api"),
                                   "config of two");
            CU_ASSERT_PTR_NULL(dlsym(two, "app_main"));
            CU_ASSERT_PTR_NULL(dlsym(two, "p4c_start"));
            CU_ASSERT_PTR_NULL(dlsym(two, "p4c_data"));
            dlclose(again);
            dlclose(two);
            dlclose(one);
        }
    }
    kit_close(&k);
}

static void test_stripped(void) {
    kit k;
    char *out;
    rt_file f;
    rt_damage why;
    open_kit(&k);
    if (write_it(&k)) {
        CU_ASSERT_EQUAL(kit_run(&k, &out, "%s %s", HOST_STRIP, k.in.path), 0);
        CU_ASSERT_STRING_EQUAL(out, "");
        CU_ASSERT_EQUAL(kit_run(&k, &out, "%s thread && %s data", k.in.path, k.in.path), 0);
        CU_ASSERT_STRING_EQUAL(out, "42 2.718\ndata is whole\n");
        const art_bytes file = kit_read(&k, k.in.path);
        CU_ASSERT_TRUE_FATAL(rt_file_open_bytes(&f, file.at, file.n, &why));
        check_section(&f, "config", "config of one", 13);
        CU_ASSERT_EQUAL(rt_section_find(&f.header, "weights")->bytes, k.program.weights_bytes);
    }
    kit_close(&k);
}

/* Cut anywhere in the data, the program says so instead of dying of SIGBUS. */
static void test_cut(void) {
    kit k;
    char *out;
    open_kit(&k);
    if (write_it(&k)) {
        const art_bytes file = kit_read(&k, k.in.path);
        const char *cut = kit_path(&k, "cut");
        const size_t data = RT_DATA_ALIGN;
        const size_t lengths[] = {file.n - 1, file.n - 64,   file.n - 5000, file.n - 100000,
                                  2 * data,   data + 100000, data + 4096,   data + 4095,
                                  data + 1,   data};
        for (size_t i = 0; i < COUNT_OF(lengths); i++) {
            kit_write(cut, file.at, lengths[i], 0755);
            CU_ASSERT_EQUAL(kit_run(&k, &out, "%s data", cut), 4);
            CU_ASSERT_STRING_EQUAL(out, lengths[i] == data + 1 ? "the header is damaged\n"
                                                               : "the file is cut off\n");
        }
    }
    kit_close(&k);
}

/* ---- the ELF part ---- */

static int count_exports(const kit_elf *v, const char **second) {
    const Elf64_Shdr *s = kit_section(v, ".dynsym");
    CU_ASSERT_PTR_NOT_NULL_FATAL(s);
    const Elf64_Sym *sym = (const void *)((const uint8_t *)v->file.at + s->sh_offset);
    int n = 0;
    for (uint64_t i = 1; i < s->sh_size / sizeof *sym; i++) {
        if (sym[i].st_shndx == SHN_UNDEF) continue;
        const char *name = kit_string(v, &v->sh[s->sh_link], sym[i].st_name);
        CU_ASSERT_EQUAL(ELF64_ST_TYPE(sym[i].st_info), STT_FUNC);
        if (strcmp(name, "p4c_get_api") != 0) *second = name;
        n++;
    }
    return n;
}

/* Every version asked for is 2.2.5 .. 2.17; gives how many. */
static int check_versions(const kit_elf *v, int oldest) {
    const Elf64_Shdr *s = kit_section(v, ".gnu.version_r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(s);
    const uint8_t *p = (const uint8_t *)v->file.at + s->sh_offset;
    int n = 0;
    for (uint32_t i = 0; i < s->sh_info; i++) {
        const Elf64_Verneed *need = (const void *)p;
        const uint8_t *q = p + need->vn_aux;
        for (int j = 0; j < need->vn_cnt; j++, n++) {
            const Elf64_Vernaux *aux = (const void *)q;
            int minor = -1;
            const char *name = kit_string(v, &v->sh[s->sh_link], aux->vna_name);
            CU_ASSERT_EQUAL(sscanf(name, "GLIBC_2.%d", &minor), 1);
            CU_ASSERT_TRUE(minor >= oldest && minor <= 17);
            q += aux->vna_next;
        }
        p += need->vn_next;
    }
    return n;
}

static void check_segments(const kit_elf *v, uint64_t file_bytes) {
    uint64_t last_address = 0, highest = 0;
    for (int i = 0; i < v->eh->e_phnum; i++) {
        const Elf64_Phdr *p = &v->ph[i];
        CU_ASSERT_FALSE((p->p_flags & PF_W) && (p->p_flags & PF_X));
        if (p->p_type != PT_LOAD || p->p_vaddr < last_address) continue;
        last_address = p->p_vaddr;
        highest = (uint64_t)i;
    }
    const Elf64_Phdr *data = &v->ph[highest];
    CU_ASSERT_EQUAL(data->p_flags, PF_R);
    CU_ASSERT_EQUAL(data->p_align, RT_DATA_ALIGN);
    CU_ASSERT_EQUAL(data->p_vaddr % RT_DATA_ALIGN, 0);
    CU_ASSERT_EQUAL(data->p_offset % RT_DATA_ALIGN, 0);
    CU_ASSERT_EQUAL(data->p_offset + data->p_filesz, file_bytes);
    const Elf64_Shdr *s = kit_section(v, ".p4c.data");
    CU_ASSERT_PTR_NOT_NULL_FATAL(s);
    CU_ASSERT_EQUAL(s->sh_offset, data->p_offset);
    CU_ASSERT_EQUAL(s->sh_size, data->p_filesz);
    CU_ASSERT_EQUAL(s->sh_addr, data->p_vaddr);
    CU_ASSERT_EQUAL(s->sh_flags, SHF_ALLOC);
}

static void test_elf(void) {
    kit k;
    kit_elf v;
    const char *second = "";
    open_kit(&k);
    k.in.name = "my_model";
    if (write_it(&k)) {
        const art_bytes file = kit_read(&k, k.in.path);
        CU_ASSERT_TRUE_FATAL(kit_elf_view(file, &v));
        CU_ASSERT_EQUAL(v.eh->e_machine, EM_X86_64);
        check_segments(&v, file.n);
        CU_ASSERT_EQUAL(count_exports(&v, &second), 2);
        CU_ASSERT_STRING_EQUAL(second, "my_model_get_api");
        CU_ASSERT_TRUE(check_versions(&v, 2) >= 3);
        static const char *const ABSENT[] = {
            ".init_array", ".preinit_array",    ".ctors", ".init", ".comment",
            ".symtab",     ".note.gnu.build-id"};
        for (size_t i = 0; i < COUNT_OF(ABSENT); i++)
            CU_ASSERT_PTR_NULL(kit_section(&v, ABSENT[i]));
        const Elf64_Shdr *strings = kit_section(&v, ".dynstr"),
                         *interp = kit_section(&v, ".interp");
        CU_ASSERT_STRING_EQUAL(kit_string(&v, strings, kit_dynamic(&v, DT_SONAME, 0)), "model.so");
        CU_ASSERT_STRING_EQUAL(kit_string(&v, interp, 0), "/lib64/ld-linux-x86-64.so.2");
        for (int i = 0; i < 3; i++) {
            static const char *const NEEDED[] = {"libc.so.6", "libm.so.6", "libpthread.so.0"};
            const uint64_t at = kit_dynamic(&v, DT_NEEDED, i);
            CU_ASSERT_NOT_EQUAL_FATAL(at, UINT64_MAX);
            CU_ASSERT_STRING_EQUAL(kit_string(&v, strings, at), NEEDED[i]);
        }
        CU_ASSERT_EQUAL(kit_dynamic(&v, DT_NEEDED, 3), UINT64_MAX);
        CU_ASSERT_EQUAL(kit_dynamic(&v, DT_RPATH, 0), UINT64_MAX);
        CU_ASSERT_EQUAL(kit_dynamic(&v, DT_RUNPATH, 0), UINT64_MAX);
        CU_ASSERT_EQUAL(kit_dynamic(&v, DT_TEXTREL, 0), UINT64_MAX);
        CU_ASSERT_NOT_EQUAL(kit_dynamic(&v, DT_GNU_HASH, 0), UINT64_MAX);
        CU_ASSERT_NOT_EQUAL(kit_dynamic(&v, DT_HASH, 0), UINT64_MAX);
        k.in.name = "p4c"; /* what it has anyway */
        if (write_it(&k) && kit_elf_view(kit_read(&k, k.in.path), &v))
            CU_ASSERT_EQUAL(count_exports(&v, &second), 1);
    }
    kit_close(&k);
}

/* ---- what can go wrong ---- */

static void expect_error(kit *k, int code) {
    CU_ASSERT_FALSE(art_write(&k->in, &k->d));
    CU_ASSERT_EQUAL(code_of(k), code);
}

static void test_arguments(void) {
    static const char *const BAD[] = {"", "1st", "a-b", "a b", "a;}", "\xc3\xa4"};
    kit k;
    open_kit(&k);
    for (size_t i = 0; i < COUNT_OF(BAD); i++) {
        k.in.name = BAD[i];
        expect_error(&k, DIAG_ARTIFACT_NAME);
        diag_clear(&k.d);
    }
    char *longest = arena_get(k.mem, 102, 1);
    memset(longest, 'n', 101);
    k.in.name = longest;
    expect_error(&k, DIAG_ARTIFACT_NAME);
    CU_ASSERT_EQUAL(diag_exit_status(&k.d), EXIT_USAGE);
    diag_clear(&k.d);
    longest[100] = 0;
    write_it(&k);
    k.in.triple = "riscv64-linux-gnu";
    expect_error(&k, DIAG_ARTIFACT_TARGET);
    CU_ASSERT_EQUAL(diag_exit_status(&k.d), EXIT_MISSING);
    diag_clear(&k.d);
    k.in.triple = "x86_64-linux-gnu";
    k.in.path = kit_path(&k, "no/such/folder.so");
    expect_error(&k, DIAG_FILE_WRITE);
    CU_ASSERT_EQUAL(diag_exit_status(&k.d), EXIT_RESOURCES);
    kit_close(&k);
}

static int count_descriptors(void) {
    int n = 0;
    for (int fd = 0; fd < 256; fd++) {
        struct stat st;
        n += fstat(fd, &st) == 0;
    }
    return n;
}

/* Runs art_write with a PATH that holds only what the test puts there. */
static void with_linker(const char *script, int code, exit_status status, const char *part) {
    kit k;
    open_kit(&k);
    const int before = count_descriptors();
    char *path = arena_strdup(k.mem, getenv("PATH"));
    if (script) kit_write(kit_path(&k, "ld.lld"), script, strlen(script), 0755);
    setenv("PATH", k.dir, 1);
    expect_error(&k, code);
    CU_ASSERT_EQUAL(diag_exit_status(&k.d), status);
    CU_ASSERT_TRUE(says(&k, part));
    setenv("PATH", path, 1);
    CU_ASSERT_EQUAL(count_descriptors(), before);
    CU_ASSERT_STRING_EQUAL(kit_list(&k), script ? "ld.lld" : "");
    kit_close(&k);
}

static void test_linker(void) {
#define VERSION "#!/bin/sh\n[ \"$1\" = --version ] && echo LLD 19.1.7 && exit\n"
    with_linker(NULL, DIAG_LINKER_MISSING, EXIT_MISSING, "ld.lld 19 is not installed");
    with_linker("#!/bin/sh\necho LLD 14.0.6\n", DIAG_LINKER_MISSING, EXIT_MISSING,
                "found LLD 14.0.6");
    with_linker(VERSION "echo out of luck >&2; exit 3\n", DIAG_LINKER_FAILED, EXIT_BUG,
                "out of luck");
    with_linker("#!/bin/sh\necho libLLVM.so: failed to map segment >&2; exit 127\n",
                DIAG_FILE_RESOURCES, EXIT_RESOURCES, "ran out of memory");
    with_linker(VERSION "echo a.o: Cannot allocate memory >&2; exit 1\n", DIAG_FILE_RESOURCES,
                EXIT_RESOURCES, "ran out of memory");
    with_linker(VERSION "kill -9 $$\n", DIAG_FILE_RESOURCES, EXIT_RESOURCES, "signal 9");
    with_linker(VERSION "exit 0\n", DIAG_LINKER_FAILED, EXIT_BUG, "wrote 0 bytes");
    with_linker(VERSION "echo This is not what a linker writes, however long it may be.\n",
                DIAG_LINKER_FAILED, EXIT_BUG, "unexpected layout");
#undef VERSION
}

/* A symbol that no stub library has: the linker's words, with the object's name. */
static void test_undefined(void) {
    kit k;
    open_kit(&k);
    char *object = arena_copy(k.mem, k.in.runtime.at, k.in.runtime.n);
    for (;;) { /* every mention in the string table */
        char *p = memmem(object, k.in.runtime.n, "pthread_join", 12);
        if (!p) break;
        memcpy(p, "pthread_nope", 12);
    }
    k.in.runtime.at = object;
    expect_error(&k, DIAG_LINKER_FAILED);
    CU_ASSERT_TRUE(says(&k, "undefined symbol: pthread_nope"));
    CU_ASSERT_TRUE(says(&k, "runtime.o"));
    CU_ASSERT_STRING_EQUAL(kit_list(&k), "");
    kit_close(&k);
}

static void kill_in_the_middle(void *context, uint64_t done, uint64_t total) {
    (void)context, (void)done, (void)total;
    raise(SIGKILL);
}

/* Writes in a child: its status, as kit_run gives it. */
static int write_in_child(kit *k, uint64_t file_limit) {
    const pid_t pid = fork();
    if (pid == 0) {
        const struct rlimit limit = {file_limit, file_limit};
        if (file_limit) setrlimit(RLIMIT_FSIZE, &limit);
        _exit(art_write(&k->in, &k->d) ? 0 : (int)diag_exit_status(&k->d));
    }
    int status = 0;
    CU_ASSERT_EQUAL_FATAL(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void check_old_file(kit *k) {
    const art_bytes file = kit_read(k, k->in.path);
    CU_ASSERT_EQUAL_FATAL(file.n, 8);
    CU_ASSERT_EQUAL(memcmp(file.at, "older...", 8), 0);
    CU_ASSERT_STRING_EQUAL(kit_list(k), "model.so");
}

static void test_interrupted(void) {
    kit k;
    open_kit(&k);
    kit_write(k.in.path, "older...", 8, 0644);
    k.in.progress = kill_in_the_middle;
    CU_ASSERT_EQUAL(write_in_child(&k, 0), 128 + SIGKILL);
    check_old_file(&k);
    k.in.progress = NULL;
    /* no room for the linker's input, for its output, for the file */
    static const uint64_t LIMITS[] = {4096, 64 << 10, RT_DATA_ALIGN + 4096, 2 * RT_DATA_ALIGN};
    for (size_t i = 0; i < COUNT_OF(LIMITS); i++) {
        CU_ASSERT_EQUAL(write_in_child(&k, LIMITS[i]), EXIT_RESOURCES);
        check_old_file(&k);
    }
    CU_ASSERT_EQUAL(write_in_child(&k, 0), 0); /* and replaced where all goes well */
    CU_ASSERT_TRUE(kit_read(&k, k.in.path).n > 8);
    CU_ASSERT_STRING_EQUAL(kit_list(&k), "model.so");
    kit_close(&k);
}

typedef struct told {
    uint64_t done, total;
    int n;
} told;
static void note_progress(void *context, uint64_t done, uint64_t total) {
    told *t = context;
    CU_ASSERT_TRUE(done > t->done && done <= total);
    *t = (told){done, total, t->n + 1};
}

static void test_progress(void) {
    kit k;
    told t = {0};
    open_kit(&k);
    const int before = count_descriptors();
    k.in.progress = note_progress;
    k.in.progress_context = &t;
    write_it(&k);
    CU_ASSERT_EQUAL(t.n, 1); /* one window */
    CU_ASSERT_EQUAL(t.done + sizeof(rt_end), t.total);
    CU_ASSERT_EQUAL(count_descriptors(), before);
    kit_close(&k);
}

UNIT_MAIN("artifact", {"sections hold what was given", test_contents},
          {"made-up weights", test_dummy}, {"same inputs, same bytes", test_reproducible},
          {"runs as a program", test_program}, {"two linked into a program", test_linked},
          {"two loaded into one process", test_loaded}, {"runs when stripped", test_stripped},
          {"cut files say so", test_cut}, {"headers, exports, versions", test_elf},
          {"wrong arguments", test_arguments}, {"no linker, wrong linker", test_linker},
          {"undefined symbols", test_undefined}, {"killed, or the disk is full", test_interrupted},
          {"progress", test_progress})
