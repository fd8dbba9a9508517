/* llvm_errors.c - what LLVM cannot do ends in one line of ours and not in its own.
 *
 * LLVM is C++ without exceptions: where memory ends, operator new calls the handler that is
 * installed, other allocations call LLVM's bad_alloc handler, and without these the process aborts
 * behind lines of LLVM's and of libstdc++'s.  The C API can install only the handler of other fatal
 * errors; the two for memory are public functions of libLLVM 19 (llvm/Support/ErrorHandling.h),
 * declared here by the names that the Itanium C++ ABI gives them.
 */
#include <llvm-c/ErrorHandling.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "codegen/codegen.h"

typedef void bad_alloc_handler(void *context, const char *reason, bool make_report);
/* llvm::install_bad_alloc_error_handler(bad_alloc_handler, context) */
void _ZN4llvm31install_bad_alloc_error_handlerEPFvPvPKcbES0_(bad_alloc_handler *handler,
                                                             void *context);
/* llvm::install_out_of_memory_new_handler(): operator new calls the handler above */
void _ZN4llvm33install_out_of_memory_new_handlerEv(void);

static void on_no_memory(void *context, const char *reason, bool make_report) {
    (void)context, (void)reason, (void)make_report;
    arena_out_of_memory(0);
}

/* Not through stdio or a diag: LLVM may be in any state. */
static void on_fatal(const char *reason) {
    char line[512];
    const size_t n =
        (size_t)snprintf(line, sizeof line, "p4c: LLVM: %.400s [E%04d]\n", reason, (int)DIAG_LLVM);
    for (size_t i = 0; i + 1 < n; i++)
        if ((unsigned char)line[i] < 0x20) line[i] = ' ';
    if (write(STDERR_FILENO, line, n) < 0) line[0] = 0; /* nothing left to tell it to */
    file_remove_temporaries();
    _exit(EXIT_BUG);
}

void cpu_catch_llvm_errors(void) {
    _ZN4llvm31install_bad_alloc_error_handlerEPFvPvPKcbES0_(on_no_memory, NULL);
    _ZN4llvm33install_out_of_memory_new_handlerEv();
    LLVMInstallFatalErrorHandler(on_fatal);
}
