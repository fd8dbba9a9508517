/* fpmode.h - the floating-point mode of a step (runtime/abi.h) and the spin-wait hint; the only
 * places in the runtime that name a processor. */
#ifndef P4C_RUNTIME_FPMODE_H
#define P4C_RUNTIME_FPMODE_H

#include <stdint.h>

#if defined(__x86_64__)
#include <xmmintrin.h>
/* MXCSR: all exceptions masked, to nearest even, FTZ (bit 15), DAZ (bit 6). */
enum { RT_FP_STEP = 0x1f80 | 1 << 15 | 1 << 6 };
static inline uint64_t rt_fp_get(void) { return _mm_getcsr(); }
static inline void rt_fp_set(uint64_t mode) { _mm_setcsr((uint32_t)mode); }
static inline void rt_cpu_pause(void) { _mm_pause(); }

#elif defined(__aarch64__)
/* FPCR: to nearest even, FZ (bit 24), no trapped exceptions.  No compiler builtin for it is common
 * to gcc 12 and clang 19. */
enum { RT_FP_STEP = 1 << 24 };
static inline uint64_t rt_fp_get(void) {
    uint64_t mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    return mode;
}
static inline void rt_fp_set(uint64_t mode) { __asm__ volatile("msr fpcr, %0" : : "r"(mode)); }
static inline void rt_cpu_pause(void) { __asm__ volatile("yield"); }

#else
#error "no floating-point mode known for this processor"
#endif

/* Returns the mode to go back to with rt_fp_set. */
static inline uint64_t rt_fp_enter(void) {
    const uint64_t before = rt_fp_get();
    rt_fp_set(RT_FP_STEP);
    return before;
}

#endif
