/* cpuinfo.h - what this processor and this process have: instruction sets that kernels are built
 * for, and CPUs to run on.  Compiled into the runtime too: no allocation, no printing.
 */
#ifndef P4C_BASE_CPUINFO_H
#define P4C_BASE_CPUINFO_H

#include <stdbool.h>
#include <stdint.h>

/* Each bit promises the instructions and that the operating system saves their registers. */
enum {
    CPU_X86_64_V3 = 1 << 0,   /* avx avx2 bmi1 bmi2 f16c fma lzcnt movbe */
    CPU_AVX_VNNI = 1 << 1,    /* on top of v3 */
    CPU_AVX512 = 1 << 2,      /* avx512 f, bw, cd, dq, vl; on top of v3: x86-64-v4 */
    CPU_AVX512_VNNI = 1 << 3, /* on top of AVX512 */
    CPU_AVX512_BF16 = 1 << 4, /* on top of AVX512 */
};

/* The cpuid registers and XCR0 from which the bits are derived; zero where a leaf is not there.
 * Source: Intel SDM volume 2A (CPUID), volume 1 section 13.3; x86-64 psABI, table 3.1. */
typedef struct cpu_registers {
    uint32_t leaf1_ecx;
    uint32_t leaf7_ebx, leaf7_ecx, leaf7_1_eax; /* leaf 7, subleaves 0 and 1 */
    uint32_t ext1_ecx;                          /* leaf 0x80000001 */
    uint64_t xcr0;                              /* 0 where OSXSAVE is off */
} cpu_registers;

uint32_t cpu_features_of(const cpu_registers *r);
/* Of this processor; 0 on other architectures. */
uint32_t cpu_features(void);

/* CPUs this process may use, at least 1: its affinity mask, and a cgroup quota rounded up. */
int cpu_count(void);
/* The cgroup quota alone, in CPUs rounded up; 0 where there is none.  `root` is put before /proc
 * and /sys ("" outside of tests).  cgroup v2 and v1, and the limits of all groups above. */
int cpu_quota(const char *root);

#endif
