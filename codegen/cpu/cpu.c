/* cpu.c - kernels -> one LLVM module for each instruction set -> object code; and the table
 * p4c_image. */
#include <llvm-c/Analysis.h>
#include <llvm-c/Core.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <string.h>

#include "base/cpuinfo.h"
#include "base/str.h"
#include "codegen/codegen.h"
#include "codegen/cpu/kernel.h"

enum { MADDUBS = LB_DOT_MADDUBS, VNNI256 = LB_DOT_VNNI256, VNNI512 = LB_DOT_VNNI512 };

typedef struct variant {
    const char *id, *name, *cpu, *features;
    uint64_t needs;
    int dot;
    bool bf16;
} variant;

static const variant VARIANTS[] = {
#define VARIANT(id, name, cpu, features, needs, dot, bf16)                                         \
    {#id, name, cpu, features, needs, dot, bf16},
#include "codegen/cpu/variants.def"
#undef VARIANT
};

static lb_isa isa_of(const variant *v, bool soft) {
    return (lb_isa){
        .dot = (lb_dot)v->dot, .bf16 = v->bf16, .soft = soft, .wide = v->dot == VNNI512};
}

static const char *symbol_of(const cg_program *p, const variant *v, int kernel, arena *mem) {
    return arena_printf(mem, "p4k_%s_%s", v->id, p->kernel_name[kernel]);
}

static const char *table_of(const variant *v, arena *mem) {
    return arena_printf(mem, "p4c_kernels_%s", v->id);
}

/* ---- constants ---- */

typedef struct types {
    LLVMContextRef cx;
    LLVMTypeRef i32, i64, ptr, entry, variant, image;
} types;

static types types_of(LLVMContextRef cx) {
    types t = {.cx = cx,
               .i32 = LLVMInt32TypeInContext(cx),
               .i64 = LLVMInt64TypeInContext(cx),
               .ptr = LLVMPointerTypeInContext(cx, 0)};
    t.entry = LLVMStructTypeInContext(cx, (LLVMTypeRef[]){t.ptr, t.i64, t.i64}, 3, 0);
    t.variant = LLVMStructTypeInContext(cx, (LLVMTypeRef[]){t.ptr, t.i64, t.ptr}, 3, 0);
    t.image = LLVMStructTypeInContext(cx, (LLVMTypeRef[]){t.i32, t.i32, t.ptr}, 3, 0);
    return t;
}

static LLVMValueRef add_const(LLVMModuleRef m, const char *name, LLVMValueRef value, bool local) {
    LLVMValueRef g = LLVMAddGlobal(m, LLVMTypeOf(value), name);
    LLVMSetInitializer(g, value);
    LLVMSetGlobalConstant(g, 1);
    LLVMSetVisibility(g, local ? LLVMDefaultVisibility : LLVMHiddenVisibility);
    if (local) LLVMSetLinkage(g, LLVMPrivateLinkage);
    return g;
}

static LLVMValueRef number(LLVMTypeRef t, uint64_t v) { return LLVMConstInt(t, v, 0); }

/* ---- one instruction set ---- */

static void emit_kernels(LLVMModuleRef m, const cg_program *p, const variant *v, bool soft,
                         arena *mem) {
    const types t = types_of(LLVMGetModuleContext(m));
    LLVMValueRef *row = arena_array(mem, LLVMValueRef, p->n_kernels + 1);
    lb b;
    lb_open(&b, t.cx, m, isa_of(v, soft));
    for (int i = 0; i < p->n_kernels; i++) {
        const cg_kernel_spec *s = &p->kernel[i];
        const cpu_kernel *k = &cpu_kernel_table[s->family];
        const cpu_tile tile = cpu_choose_tile(s, b.isa);
        lb_begin_kernel(&b, symbol_of(p, v, i, mem));
        k->emit(&b, s, tile);
        lb_end_kernel(&b);
        rt_kernel_entry e = {0};
        k->units(s, tile, &e);
        row[i] = LLVMConstStructInContext(t.cx,
                                          (LLVMValueRef[]){b.fn, number(t.i64, (uint64_t)e.units),
                                                           number(t.i64, (uint64_t)e.per_token)},
                                          3, 0);
    }
    lb_close(&b);
    add_const(m, table_of(v, mem), LLVMConstArray(t.entry, row, (unsigned)p->n_kernels), false);
}

/* The table of all instruction sets: p4c_image. */
static void emit_image(LLVMModuleRef m, uint64_t chosen, bool soft, arena *mem) {
    const types t = types_of(LLVMGetModuleContext(m));
    LLVMValueRef row[COUNT_OF(VARIANTS)];
    unsigned n = 0;
    for (size_t i = 0; i < COUNT_OF(VARIANTS); i++) {
        if (!(chosen >> i & 1)) continue;
        const variant *v = &VARIANTS[i];
        LLVMValueRef name = add_const(
            m, "name", LLVMConstStringInContext(t.cx, v->name, (unsigned)strlen(v->name), 0), true);
        LLVMValueRef table = LLVMAddGlobal(m, t.entry, table_of(v, mem));
        LLVMSetVisibility(table, LLVMHiddenVisibility);
        const uint64_t needs = soft ? VARIANTS[0].needs : v->needs;
        row[n++] = LLVMConstStructInContext(
            t.cx, (LLVMValueRef[]){name, number(t.i64, needs), table}, 3, 0);
    }
    LLVMValueRef list = add_const(m, "variants", LLVMConstArray(t.variant, row, n), true);
    add_const(m, "p4c_image",
              LLVMConstStructInContext(
                  t.cx, (LLVMValueRef[]){number(t.i32, RT_ABI), number(t.i32, n), list}, 3, 0),
              false);
}

/* ---- module -> object, IR text or assembly ---- */

static bool llvm_failed(diag *d, const char *what, char *message) {
    diag_error(d, DIAG_LLVM, (diag_loc){0}, "%s", what);
    if (message) diag_note(d, (diag_loc){0}, "%s", message);
    LLVMDisposeMessage(message);
    return false;
}

static bool optimize(LLVMModuleRef m, LLVMTargetMachineRef tm, diag *d) {
    LLVMPassBuilderOptionsRef o = LLVMCreatePassBuilderOptions();
    /* kernels are vectorised and unrolled by hand: the order of sums is theirs */
    LLVMPassBuilderOptionsSetLoopVectorization(o, 0);
    LLVMPassBuilderOptionsSetSLPVectorization(o, 0);
    LLVMPassBuilderOptionsSetLoopUnrolling(o, 0);
    LLVMPassBuilderOptionsSetLoopInterleaving(o, 0);
    LLVMErrorRef e = LLVMRunPasses(m, "default<O2>", tm, o);
    LLVMDisposePassBuilderOptions(o);
    if (!e) return true;
    char *why = LLVMGetErrorMessage(e);
    diag_error(d, DIAG_LLVM, (diag_loc){0}, "the optimizer failed");
    diag_note(d, (diag_loc){0}, "%s", why);
    LLVMDisposeErrorMessage(why);
    return false;
}

static bool finish(LLVMModuleRef m, const variant *v, const cpu_options *o, const char *name,
                   arena *mem, diag *d, cg_object *out) {
    char *message = NULL;
    if (LLVMVerifyModule(m, LLVMReturnStatusAction, &message))
        UNREACHABLE(message ? message : "generated code that LLVM refuses");
    LLVMDisposeMessage(message);
    message = NULL;
    LLVMTargetRef target;
    if (LLVMGetTargetFromTriple(o->triple, &target, &message))
        return llvm_failed(d, "no such target", message);
    LLVMTargetMachineRef tm =
        LLVMCreateTargetMachine(target, o->triple, v->cpu, v->features, LLVMCodeGenLevelDefault,
                                LLVMRelocPIC, LLVMCodeModelDefault);
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(tm);
    LLVMSetModuleDataLayout(m, layout);
    LLVMSetTarget(m, o->triple);
    bool ok = optimize(m, tm, d);
    LLVMMemoryBufferRef buffer = NULL;
    if (ok && o->emit == EMIT_llvm) {
        char *ll = LLVMPrintModuleToString(m);
        *out = (cg_object){name, (const uint8_t *)arena_strdup(mem, ll), strlen(ll)};
        LLVMDisposeMessage(ll);
    } else if (ok) {
        const LLVMCodeGenFileType type = o->emit == EMIT_asm ? LLVMAssemblyFile : LLVMObjectFile;
        if (LLVMTargetMachineEmitToMemoryBuffer(tm, m, type, &message, &buffer))
            ok = llvm_failed(d, "code generation failed", message);
        else
            *out = (cg_object){name,
                               (const uint8_t *)arena_copy(mem, LLVMGetBufferStart(buffer),
                                                           LLVMGetBufferSize(buffer)),
                               LLVMGetBufferSize(buffer)};
    }
    if (buffer) LLVMDisposeMemoryBuffer(buffer);
    LLVMDisposeTargetData(layout);
    LLVMDisposeTargetMachine(tm);
    return ok;
}

static const char *object_name(const char *id, cg_emit emit, arena *mem) {
    static const char *const SUFFIX[] = {[EMIT_obj] = "o", [EMIT_llvm] = "ll", [EMIT_asm] = "s"};
    return arena_printf(mem, "kernels-%s.%s", id, SUFFIX[emit]);
}

bool cpu_compile(const cg_program *p, const cpu_options *o, arena *mem, diag *d, cg_objects *out) {
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
    *out = (cg_objects){0};
    const uint64_t all = (1u << COUNT_OF(VARIANTS)) - 1;
    const uint64_t chosen = o->variants ? o->variants & all : all;
    bool ok = true;
    for (size_t i = 0; ok && i <= COUNT_OF(VARIANTS); i++) {
        const bool image = i == COUNT_OF(VARIANTS);
        if (!image && !(chosen >> i & 1)) continue;
        const variant *v = image ? &VARIANTS[0] : &VARIANTS[i];
        const char *name = object_name(image ? "image" : v->name, o->emit, mem);
        LLVMContextRef cx = LLVMContextCreate();
        LLVMModuleRef m = LLVMModuleCreateWithNameInContext(name, cx);
        if (image) emit_image(m, chosen, o->soft_isa, mem);
        else emit_kernels(m, p, v, o->soft_isa, mem);
        ok = finish(m, o->soft_isa ? &VARIANTS[0] : v, o, name, mem, d, &out->object[out->n++]);
        LLVMDisposeModule(m);
        LLVMContextDispose(cx);
    }
    return ok;
}

int64_t cpu_scratch_bytes(const cg_kernel_spec *s) {
    const cpu_kernel *k = &cpu_kernel_table[s->family];
    return k->scratch_bytes ? k->scratch_bytes(s) : 0;
}

int cpu_n_variants(void) { return (int)COUNT_OF(VARIANTS); }
const char *cpu_variant_name(int i) { return VARIANTS[i].name; }
