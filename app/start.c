/* start.c - how an artifact starts when it is run as a program.  Only in artifacts, not in p4c.
 *
 * The kernel maps the file, finds the dynamic loader's name in .interp and starts that; the loader
 * maps the libraries and jumps to p4c_start, the ELF entry.  Handing over to __libc_start_main, as
 * any program's crt1.o does, gives stdio, destructors and pthread_exit their usual meaning; a plain
 * exit(main()) would not.  Constructors of a shared object that is run this way do not run
 * everywhere, so nothing linked into an artifact has any (a test).
 * Source: System V psABI for x86-64, section 3.4.1; ELF for the Arm 64-bit architecture.
 */
#include "app/app.h"

#if defined(__x86_64__)
#define LOADER "/lib64/ld-linux-x86-64.so.2"
#elif defined(__aarch64__)
#define LOADER "/lib/ld-linux-aarch64.so.1"
#else
#error "no artifacts for this processor"
#endif

static const char interp[] __attribute__((section(".interp"), used)) = LOADER;

static int program(int argc, char **argv, char **env) {
    (void)env;
    return app_main(p4c_get_api(P4C_API_VERSION), argc, argv);
}

typedef int main_fn(int argc, char **argv, char **env);
typedef void hook_fn(void);
extern int __libc_start_main(main_fn *main, int argc, char **argv, hook_fn *init, hook_fn *fini,
                             hook_fn *rtld_fini, void *stack_end);

/* stack: argc, argv[0 .. argc - 1], NULL, environment; rtld_fini: runs destructors of libraries. */
__attribute__((used, noreturn)) static void start_program(long *stack, hook_fn *rtld_fini) {
    __libc_start_main(program, (int)stack[0], (char **)(stack + 1), NULL, NULL, rtld_fini, stack);
    __builtin_unreachable();
}

#if defined(__x86_64__)
__asm__(".text\n"
        ".globl p4c_start\n"
        ".hidden p4c_start\n"
        ".type p4c_start, @function\n"
        "p4c_start:\n"
        "    .cfi_startproc\n"
        "    .cfi_undefined rip\n"
        "    xorl %ebp, %ebp\n"
        "    movq %rsp, %rdi\n"
        "    movq %rdx, %rsi\n"
        "    andq $-16, %rsp\n"
        "    call start_program\n"
        "    hlt\n"
        "    .cfi_endproc\n"
        ".size p4c_start, . - p4c_start\n");
#else
__asm__(".text\n"
        ".globl p4c_start\n"
        ".hidden p4c_start\n"
        ".type p4c_start, %function\n"
        "p4c_start:\n"
        "    .cfi_startproc\n"
        "    .cfi_undefined x30\n"
        "    mov x29, #0\n"
        "    mov x30, #0\n"
        "    mov x1, x0\n"
        "    mov x0, sp\n"
        "    bl start_program\n"
        "    brk #1\n"
        "    .cfi_endproc\n"
        ".size p4c_start, . - p4c_start\n");
#endif
