/* lb.h - the LLVM builder in the vocabulary of a kernel writer: scalars, loops, locals.  Vectors:
 * lb_vec.h.
 *
 * Only lb*.c may call LLVMBuild*; kernels use these.  LLVM builders cannot fail at run time (they
 * assert), so nothing here returns a status; cpu_finish runs LLVMVerifyModule once.  No fast-math
 * flags: the order of a sum is part of the contract (DESIGN.md section 5).
 */
#ifndef P4C_CODEGEN_CPU_LB_H
#define P4C_CODEGEN_CPU_LB_H

#include <llvm-c/Core.h>
#include <stdbool.h>
#include <stdint.h>

enum { LB_LANES = 16 }; /* rows of a block, lanes of every vector, on every instruction set */

typedef enum lb_dot { LB_DOT_MADDUBS, LB_DOT_VNNI256, LB_DOT_VNNI512 } lb_dot;

/* What the target can do beyond plain LLVM IR; --soft-isa clears it all. */
typedef struct lb_isa {
    lb_dot dot;
    bool bf16; /* VDPBF16PS */
    bool soft; /* every special operation in plain IR */
    bool wide; /* 32 vector registers of 16 floats; else 16 of 8 */
} lb_isa;

typedef LLVMValueRef lbv;
typedef LLVMTypeRef lbt;

typedef struct lb {
    LLVMContextRef cx;
    LLVMModuleRef mod;
    LLVMBuilderRef at;
    lbv fn;
    lb_isa isa;
    lbt i1, i8, i16, i32, i64, f32, ptr;
    lbt vf, vi, vi16, vi8; /* 16 lanes of f32, i32, i16, i8 */
} lb;

typedef struct lb_var { /* a mutable local; mem2reg removes it */
    lbt type;
    lbv slot;
} lb_var;

typedef struct lb_loop {
    lbv i;
    lb_var var;
    lbv step;
    LLVMBasicBlockRef head, done;
    bool open;
} lb_loop;

typedef struct lb_cond {
    LLVMBasicBlockRef done;
    bool open;
} lb_cond;

void lb_open(lb *b, LLVMContextRef cx, LLVMModuleRef mod, lb_isa isa);
void lb_close(lb *b);
/* Starts `name`, an rt_kernel with hidden visibility; lb_arg gives its parameters. */
void lb_begin_kernel(lb *b, const char *name);
void lb_end_kernel(lb *b); /* return */
enum { ARG_step, ARG_operand, ARG_n, ARG_begin, ARG_end, ARG_scratch };
lbv lb_arg(lb *b, unsigned i);
lbv lb_operand(lb *b, int i);     /* operand[i] as a pointer */
lbv lb_operand_i64(lb *b, int i); /* ... as a number */

/* 64-bit integers */
lbv lb_int(lb *b, int64_t v);
lbv lb_add(lb *b, lbv x, lbv y);
lbv lb_sub(lb *b, lbv x, lbv y);
lbv lb_mul(lb *b, lbv x, lbv y);
lbv lb_div(lb *b, lbv x, lbv y); /* unsigned */
lbv lb_rem(lb *b, lbv x, lbv y); /* unsigned */
lbv lb_addi(lb *b, lbv x, int64_t y);
lbv lb_muli(lb *b, lbv x, int64_t y);
lbv lb_divi(lb *b, lbv x, int64_t y);
lbv lb_remi(lb *b, lbv x, int64_t y);
lbv lb_min(lb *b, lbv x, lbv y); /* signed */
lbv lb_max(lb *b, lbv x, lbv y);
lbv lb_lt(lb *b, lbv x, lbv y); /* signed; gives i1 */
lbv lb_eq(lb *b, lbv x, lbv y);
lbv lb_and_i1(lb *b, lbv x, lbv y);
lbv lb_select(lb *b, lbv cond, lbv x, lbv y);
lbv lb_sext(lb *b, lbv x); /* i32 -> i64 */
lbv lb_trunc(lb *b, lbv x, lbt to);

/* memory: p + bytes */
lbv lb_at(lb *b, lbv p, lbv bytes);
lbv lb_ati(lb *b, lbv p, int64_t bytes);
lbv lb_load(lb *b, lbt t, lbv p, unsigned align);
void lb_store(lb *b, lbv v, lbv p, unsigned align);
lbv lb_load_i64(lb *b, lbv p, int64_t byte); /* fields of structs, entries of index arrays */
lbv lb_load_i32(lb *b, lbv p, lbv index);    /* p[index] widened to 64 bits */
lbv lb_load_ptr(lb *b, lbv p, lbv index);    /* p[index] */

/* control flow */
lb_var lb_local(lb *b, lbv init);
lbv lb_get(lb *b, lb_var v);
void lb_set(lb *b, lb_var v, lbv x);
lb_loop lb_for(lb *b, lbv from, lbv to, lbv step);
void lb_end_for(lb *b, lb_loop *l);
lb_cond lb_if(lb *b, lbv cond);
void lb_end_if(lb *b, lb_cond *c);
/* Emits the body once, inside a counted loop (from, to: lbv; step: lbv); k.i is the induction
 * value. No break or return inside. */
#define LB_FOR(b, k, from, to, step)                                                               \
    for (lb_loop k = lb_for((b), (from), (to), (step)); k.open; lb_end_for((b), &k))
/* Emits the body once, executed where cond (i1) holds. */
#define LB_IF(b, c, cond) for (lb_cond c = lb_if((b), (cond)); c.open; lb_end_if((b), &c))

/* the step that a kernel computes (runtime/abi.h) */
lbv lb_step_ids(lb *b);
lbv lb_step_rows(lb *b);
lbv lb_token_pos(lb *b, lbv t);    /* absolute position */
lbv lb_token_blocks(lb *b, lbv t); /* KV block list of the token's sequence */

#endif
