/* lb.c - scalars, memory, loops and locals over the LLVM C API. */
#include "codegen/cpu/lb.h"

#include <stddef.h>
#include <string.h>

#include "runtime/abi.h"

void lb_open(lb *b, LLVMContextRef cx, LLVMModuleRef mod, lb_isa isa) {
    *b = (lb){.cx = cx, .mod = mod, .isa = isa, .at = LLVMCreateBuilderInContext(cx)};
    b->i1 = LLVMInt1TypeInContext(cx);
    b->i8 = LLVMInt8TypeInContext(cx);
    b->i16 = LLVMInt16TypeInContext(cx);
    b->i32 = LLVMInt32TypeInContext(cx);
    b->i64 = LLVMInt64TypeInContext(cx);
    b->f32 = LLVMFloatTypeInContext(cx);
    b->ptr = LLVMPointerTypeInContext(cx, 0);
    b->vf = LLVMVectorType(b->f32, LB_LANES);
    b->vi = LLVMVectorType(b->i32, LB_LANES);
    b->vi16 = LLVMVectorType(b->i16, LB_LANES);
    b->vi8 = LLVMVectorType(b->i8, LB_LANES);
}

void lb_close(lb *b) {
    if (b->at) LLVMDisposeBuilder(b->at);
    b->at = NULL;
}

static void add_attribute(lb *b, unsigned index, const char *name) {
    const unsigned kind = LLVMGetEnumAttributeKindForName(name, strlen(name));
    LLVMAddAttributeAtIndex(b->fn, index, LLVMCreateEnumAttribute(b->cx, kind, 0));
}

void lb_begin_kernel(lb *b, const char *name) {
    lbt arg[] = {b->ptr, b->ptr, b->i64, b->i64, b->i64, b->ptr};
    b->fn =
        LLVMAddFunction(b->mod, name, LLVMFunctionType(LLVMVoidTypeInContext(b->cx), arg, 6, 0));
    LLVMSetVisibility(b->fn, LLVMHiddenVisibility);
    add_attribute(b, LLVMAttributeFunctionIndex, "nounwind");
    /* else the optimizer makes calls of memset and the like from loops */
    LLVMAddAttributeAtIndex(b->fn, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
                            LLVMCreateStringAttribute(b->cx, "no-builtins", 11, "", 0));
    LLVMPositionBuilderAtEnd(b->at, LLVMAppendBasicBlockInContext(b->cx, b->fn, "entry"));
}

void lb_end_kernel(lb *b) { LLVMBuildRetVoid(b->at); }

lbv lb_arg(lb *b, unsigned i) { return LLVMGetParam(b->fn, i); }

lbv lb_operand(lb *b, int i) { return lb_load_ptr(b, lb_arg(b, ARG_operand), lb_int(b, i)); }

lbv lb_operand_i64(lb *b, int i) {
    return lb_load_i64(b, lb_arg(b, ARG_operand), i * (int64_t)sizeof(void *));
}

lbv lb_int(lb *b, int64_t v) { return LLVMConstInt(b->i64, (unsigned long long)v, 1); }
lbv lb_add(lb *b, lbv x, lbv y) { return LLVMBuildNSWAdd(b->at, x, y, ""); }
lbv lb_sub(lb *b, lbv x, lbv y) { return LLVMBuildNSWSub(b->at, x, y, ""); }
lbv lb_mul(lb *b, lbv x, lbv y) { return LLVMBuildNSWMul(b->at, x, y, ""); }
lbv lb_div(lb *b, lbv x, lbv y) { return LLVMBuildUDiv(b->at, x, y, ""); }
lbv lb_rem(lb *b, lbv x, lbv y) { return LLVMBuildURem(b->at, x, y, ""); }
lbv lb_addi(lb *b, lbv x, int64_t y) { return lb_add(b, x, lb_int(b, y)); }
lbv lb_muli(lb *b, lbv x, int64_t y) { return lb_mul(b, x, lb_int(b, y)); }
lbv lb_divi(lb *b, lbv x, int64_t y) { return lb_div(b, x, lb_int(b, y)); }
lbv lb_remi(lb *b, lbv x, int64_t y) { return lb_rem(b, x, lb_int(b, y)); }
lbv lb_lt(lb *b, lbv x, lbv y) { return LLVMBuildICmp(b->at, LLVMIntSLT, x, y, ""); }
lbv lb_eq(lb *b, lbv x, lbv y) { return LLVMBuildICmp(b->at, LLVMIntEQ, x, y, ""); }
lbv lb_and_i1(lb *b, lbv x, lbv y) { return LLVMBuildAnd(b->at, x, y, ""); }
lbv lb_select(lb *b, lbv c, lbv x, lbv y) { return LLVMBuildSelect(b->at, c, x, y, ""); }
lbv lb_min(lb *b, lbv x, lbv y) { return lb_select(b, lb_lt(b, x, y), x, y); }
lbv lb_max(lb *b, lbv x, lbv y) { return lb_select(b, lb_lt(b, x, y), y, x); }
lbv lb_sext(lb *b, lbv x) { return LLVMBuildSExt(b->at, x, b->i64, ""); }
lbv lb_trunc(lb *b, lbv x, lbt to) { return LLVMBuildTrunc(b->at, x, to, ""); }

lbv lb_at(lb *b, lbv p, lbv bytes) { return LLVMBuildInBoundsGEP2(b->at, b->i8, p, &bytes, 1, ""); }

lbv lb_ati(lb *b, lbv p, int64_t bytes) { return lb_at(b, p, lb_int(b, bytes)); }

lbv lb_load(lb *b, lbt t, lbv p, unsigned align) {
    lbv v = LLVMBuildLoad2(b->at, t, p, "");
    LLVMSetAlignment(v, align);
    return v;
}

void lb_store(lb *b, lbv v, lbv p, unsigned align) {
    LLVMSetAlignment(LLVMBuildStore(b->at, v, p), align);
}

lbv lb_load_i64(lb *b, lbv p, int64_t byte) { return lb_load(b, b->i64, lb_ati(b, p, byte), 8); }

lbv lb_load_i32(lb *b, lbv p, lbv index) {
    return lb_sext(b, lb_load(b, b->i32, lb_at(b, p, lb_muli(b, index, 4)), 4));
}

lbv lb_load_ptr(lb *b, lbv p, lbv index) {
    return lb_load(b, b->ptr, lb_at(b, p, lb_muli(b, index, sizeof(void *))), 8);
}

lb_var lb_local(lb *b, lbv init) {
    LLVMBuilderRef top = LLVMCreateBuilderInContext(b->cx);
    LLVMBasicBlockRef entry = LLVMGetEntryBasicBlock(b->fn);
    lbv first = LLVMGetFirstInstruction(entry);
    if (first) LLVMPositionBuilderBefore(top, first);
    else LLVMPositionBuilderAtEnd(top, entry);
    const lb_var v = {LLVMTypeOf(init), LLVMBuildAlloca(top, LLVMTypeOf(init), "")};
    LLVMDisposeBuilder(top);
    lb_set(b, v, init);
    return v;
}

lbv lb_get(lb *b, lb_var v) { return LLVMBuildLoad2(b->at, v.type, v.slot, ""); }
void lb_set(lb *b, lb_var v, lbv x) { LLVMBuildStore(b->at, x, v.slot); }

static LLVMBasicBlockRef block(lb *b, const char *name) {
    return LLVMAppendBasicBlockInContext(b->cx, b->fn, name);
}

lb_loop lb_for(lb *b, lbv from, lbv to, lbv step) {
    lb_loop l = {.var = lb_local(b, from), .step = step, .open = true};
    l.head = block(b, "for");
    LLVMBasicBlockRef body = block(b, "do");
    l.done = block(b, "done");
    LLVMBuildBr(b->at, l.head);
    LLVMPositionBuilderAtEnd(b->at, l.head);
    l.i = lb_get(b, l.var);
    LLVMBuildCondBr(b->at, lb_lt(b, l.i, to), body, l.done);
    LLVMPositionBuilderAtEnd(b->at, body);
    return l;
}

void lb_end_for(lb *b, lb_loop *l) {
    lb_set(b, l->var, lb_add(b, l->i, l->step));
    LLVMBuildBr(b->at, l->head);
    LLVMPositionBuilderAtEnd(b->at, l->done);
    l->open = false;
}

lb_cond lb_if(lb *b, lbv cond) {
    LLVMBasicBlockRef then = block(b, "then");
    const lb_cond c = {.done = block(b, "endif"), .open = true};
    LLVMBuildCondBr(b->at, cond, then, c.done);
    LLVMPositionBuilderAtEnd(b->at, then);
    return c;
}

void lb_end_if(lb *b, lb_cond *c) {
    LLVMBuildBr(b->at, c->done);
    LLVMPositionBuilderAtEnd(b->at, c->done);
    c->open = false;
}

static lbv step_ptr(lb *b, int64_t field) {
    return lb_load(b, b->ptr, lb_ati(b, lb_arg(b, ARG_step), field), 8);
}

lbv lb_step_ids(lb *b) { return step_ptr(b, offsetof(rt_step, ids)); }
lbv lb_step_rows(lb *b) { return step_ptr(b, offsetof(rt_step, rows)); }

lbv lb_token_pos(lb *b, lbv t) { return lb_load_i32(b, step_ptr(b, offsetof(rt_step, pos)), t); }

lbv lb_token_blocks(lb *b, lbv t) {
    const lbv s = lb_load_i32(b, step_ptr(b, offsetof(rt_step, seq)), t);
    const lbv seq = lb_at(b, step_ptr(b, offsetof(rt_step, seqs)), lb_muli(b, s, sizeof(rt_seq)));
    return lb_load(b, b->ptr, lb_ati(b, seq, offsetof(rt_seq, blocks)), 8);
}
