/* Linking for another processor than the host's: the object is made by LLVM from text. */
#include <llvm-c/Core.h>
#include <llvm-c/IRReader.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>
#include <string.h>

#include "codegen/artifact/link.h"
#include "tests/support/artifact_kit.h"
#include "tests/unit/unit.h"

static const char PROGRAM[] =
    "@p4c_data = external hidden constant [0 x i8]\n"
    "@counter = internal global i64 0\n"
    "@pointer = internal global ptr @counter\n"
    "declare double @exp(double)\n"
    "declare i32 @pthread_create(ptr, ptr, ptr, ptr)\n"
    "declare i64 @write(i32, ptr, i64)\n"
    "define hidden void @p4c_start() {\n"
    "  %n = call i64 @write(i32 1, ptr @p4c_data, i64 8)\n"
    "  %x = call double @exp(double 1.0)\n"
    "  %p = load ptr, ptr @pointer\n"
    "  store i64 %n, ptr %p\n"
    "  ret void\n"
    "}\n"
    "define ptr @p4c_get_api(i32 %version) {\n"
    "  %r = call i32 @pthread_create(ptr null, ptr null, ptr null, ptr null)\n"
    "  ret ptr @p4c_data\n"
    "}\n";

static art_bytes compile(const char *triple, const char *program, arena *mem) {
    LLVMInitializeAllTargetInfos();
    LLVMInitializeAllTargets();
    LLVMInitializeAllTargetMCs();
    LLVMInitializeAllAsmPrinters();
    LLVMContextRef c = LLVMContextCreate();
    LLVMModuleRef m = NULL;
    LLVMTargetRef target = NULL;
    LLVMMemoryBufferRef object = NULL;
    char *message = NULL;
    LLVMMemoryBufferRef source =
        LLVMCreateMemoryBufferWithMemoryRange(program, strlen(program), "text", 1);
    CU_ASSERT_EQUAL_FATAL(LLVMParseIRInContext(c, source, &m, &message), 0);
    CU_ASSERT_EQUAL_FATAL(LLVMGetTargetFromTriple(triple, &target, &message), 0);
    LLVMTargetMachineRef tm = LLVMCreateTargetMachine(
        target, triple, "generic", "", LLVMCodeGenLevelDefault, LLVMRelocPIC, LLVMCodeModelDefault);
    CU_ASSERT_EQUAL_FATAL(
        LLVMTargetMachineEmitToMemoryBuffer(tm, m, LLVMObjectFile, &message, &object), 0);
    const size_t n = LLVMGetBufferSize(object);
    const art_bytes out = {arena_copy(mem, LLVMGetBufferStart(object), n), n};
    LLVMDisposeMemoryBuffer(object);
    LLVMDisposeTargetMachine(tm);
    LLVMDisposeModule(m);
    LLVMContextDispose(c);
    return out;
}

/* Versions asked for, each followed by a blank. */
static char *versions_of(const kit_elf *v, arena *mem) {
    const Elf64_Shdr *s = kit_section(v, ".gnu.version_r");
    text t = {.mem = mem};
    CU_ASSERT_PTR_NOT_NULL_FATAL(s);
    const uint8_t *p = (const uint8_t *)v->file.at + s->sh_offset;
    for (uint32_t i = 0; i < s->sh_info; i++) {
        const Elf64_Verneed *need = (const void *)p;
        const Elf64_Vernaux *aux = (const void *)(p + need->vn_aux);
        CU_ASSERT_EQUAL(need->vn_cnt, 1);
        text_printf(&t, "%s:%s ", kit_string(v, &v->sh[s->sh_link], need->vn_file),
                    kit_string(v, &v->sh[s->sh_link], aux->vna_name));
        p += need->vn_next;
    }
    return arena_copy(mem, text_str(&t).at, text_str(&t).n);
}

static void link_for(const char *triple, uint16_t machine, const char *versions) {
    arena *mem = arena_open();
    diag d = {.mem = mem};
    const art_file object = {"kernels.o", compile(triple, PROGRAM, mem)};
    const art_link_job job = {.path = "/some/where/model.so",
                              .object = &object,
                              .n_objects = 1,
                              .target = art_target_find(triple)};
    art_bytes linked, image;
    kit_elf v;
    const bool ok = art_link(&job, mem, &d, &linked) &&
                    art_place_data(job.path, linked, 12345 * 64, mem, &d, &image);
    diag_print(&d, stdout);
    CU_ASSERT_TRUE_FATAL(ok);
    CU_ASSERT_EQUAL(image.n, RT_DATA_ALIGN);
    CU_ASSERT_TRUE_FATAL(kit_elf_view(image, &v));
    CU_ASSERT_EQUAL(v.eh->e_machine, machine);
    CU_ASSERT_STRING_EQUAL(versions_of(&v, mem), versions);
    const Elf64_Shdr *data = kit_section(&v, ".p4c.data");
    CU_ASSERT_PTR_NOT_NULL_FATAL(data);
    CU_ASSERT_EQUAL(data->sh_offset, image.n);
    CU_ASSERT_EQUAL(data->sh_size, 12345 * 64);
    CU_ASSERT_STRING_EQUAL(
        kit_string(&v, kit_section(&v, ".dynstr"), kit_dynamic(&v, DT_SONAME, 0)), "model.so");
    arena_close(mem);
}

static void test_aarch64(void) {
    link_for("aarch64-linux-gnu", EM_AARCH64,
             "libc.so.6:GLIBC_2.17 libm.so.6:GLIBC_2.17 libpthread.so.0:GLIBC_2.17 ");
}

static void test_x86_64(void) {
    link_for("x86_64-linux-gnu", EM_X86_64,
             "libc.so.6:GLIBC_2.2.5 libm.so.6:GLIBC_2.2.5 libpthread.so.0:GLIBC_2.2.5 ");
}

/* Objects of two processors, and a symbol that is nowhere. */
static void test_refused(void) {
    arena *mem = arena_open();
    diag d = {.mem = mem};
    const art_file object[] = {
        {"kernels.o", compile("aarch64-linux-gnu", PROGRAM, mem)},
        {"other.o", compile("x86_64-linux-gnu", "define void @f() { ret void }", mem)},
    };
    art_link_job job = {.path = "model.so",
                        .object = object,
                        .n_objects = 2,
                        .target = art_target_find("aarch64-linux-gnu")};
    art_bytes linked;
    CU_ASSERT_FALSE(art_link(&job, mem, &d, &linked));
    CU_ASSERT_EQUAL(d.first->code, DIAG_LINKER_FAILED);
    CU_ASSERT_PTR_NOT_NULL(strstr(d.last->text, "other.o is incompatible with"));
    diag_clear(&d);
    job.n_objects = 1;
    job.export = "a";
    CU_ASSERT_TRUE(art_link(&job, mem, &d, &linked));
    job.target = art_target_find("x86_64-linux-gnu"); /* stubs of the wrong processor */
    CU_ASSERT_FALSE(art_link(&job, mem, &d, &linked));
    arena_close(mem);
}

/* What a linker that ran out of room may leave: refused, and nothing outside it is read. */
static void test_odd_objects(void) {
    arena *mem = arena_open();
    diag d = {.mem = mem};
    const art_file object = {"kernels.o", compile("x86_64-linux-gnu", PROGRAM, mem)};
    const art_link_job job = {.path = "model.so",
                              .object = &object,
                              .n_objects = 1,
                              .target = art_target_find("x86_64-linux-gnu")};
    art_bytes linked, image;
    CU_ASSERT_TRUE_FATAL(art_link(&job, mem, &d, &linked));
    int refused = 0, tried = 0;
    arena *scratch = arena_open();
    for (size_t n = 0; n < 4096; n += 61, tried++) { /* the section table is at the end */
        char *copy = arena_copy(scratch, linked.at, n);
        refused += !art_place_data("m", (art_bytes){copy, n}, 64, scratch, &d, &image);
    }
    CU_ASSERT_EQUAL(refused, tried);
    arena_close(scratch);
    arena_close(mem);
}

UNIT_MAIN("link", {"for aarch64", test_aarch64}, {"for x86-64", test_x86_64},
          {"what does not fit together", test_refused},
          {"linked objects that are cut off", test_odd_objects})
