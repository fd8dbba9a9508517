/* machine.c - see machine.h.
 *
 * The peak loops are written in assembly with their registers named: a compiler that spills
 * accumulators, or moves a loop's invariant out, would measure something else.  32 independent
 * instructions a round hide the latency (4-5 cycles, at most two a cycle).
 */
#include "app/machine.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/cpuinfo.h"
#include "base/str.h"

uint64_t machine_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- /proc ---- */

/* The number in kB behind `key` in a file of "Key:   123 kB" lines, in bytes. */
static uint64_t proc_number(const char *path, const char *key) {
    char lines[8192];
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    const ssize_t n = read(fd, lines, sizeof lines - 1);
    close(fd);
    if (n <= 0) return 0;
    lines[n] = 0;
    const char *at = strstr(lines, key);
    if (!at) return 0;
    at += strlen(key);
    at += strspn(at, " \t");
    int64_t kb = 0;
    if (!str_to_i64((str){at, strspn(at, "0123456789")}, &kb)) return 0;
    return (uint64_t)kb * 1024;
}

uint64_t machine_anon_bytes(void) { return proc_number("/proc/self/status", "\nRssAnon:"); }
uint64_t machine_peak_bytes(void) { return proc_number("/proc/self/status", "\nVmHWM:"); }
uint64_t machine_available_bytes(void) { return proc_number("/proc/meminfo", "\nMemAvailable:"); }

/* ---- the loops ---- */

typedef struct dot_loop {
    const char *name;
    machine_dot kind;
    uint32_t needs; /* CPU_* */
    int mac; /* multiply-adds of one instruction, or of the group of them that does one step */
    void (*run)(uint64_t rounds);
} dot_loop;

enum { STEPS = 32 }; /* of one round of every loop */

static void read_slice(const uint8_t *from, uint64_t n_bytes,
                       uint32_t features); /* n_bytes: k * 1024 */

#if defined(__x86_64__)

#define CLOBBERED                                                                                  \
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",       \
        "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "cc", "memory"
#define EIGHT(I) I(0) I(1) I(2) I(3) I(4) I(5) I(6) I(7)
#define SIXTEEN(I) EIGHT(I) I(8) I(9) I(10) I(11) I(12) I(13) I(14) I(15)
#define TIMES_32_OF_16(I) SIXTEEN(I) SIXTEEN(I)
#define TIMES_32_OF_8(I) EIGHT(I) EIGHT(I) EIGHT(I) EIGHT(I)

/* A loop of `body`; registers 30, 31 (AVX-512) or 14, 15 are the zeroed inputs. */
#define LOOP(function, clear, body)                                                                \
    static void function(uint64_t rounds) {                                                        \
        __asm__ volatile(clear "1:\n" body "dec %0\n jnz 1b\n vzeroupper\n"                        \
                         : "+r"(rounds)                                                            \
                         :                                                                         \
                         : CLOBBERED);                                                             \
    }
/* sums start at zero too: what a register happens to hold may be slow numbers */
#define ZERO(i) "vpxor %%xmm" #i ",%%xmm" #i ",%%xmm" #i "\n"
#define CLEAR_Z SIXTEEN(ZERO) "vpxord %%zmm30,%%zmm30,%%zmm30\n vpxord %%zmm31,%%zmm31,%%zmm31\n"
#define CLEAR_Y SIXTEEN(ZERO)

#define VNNI_Z(i) "vpdpbusd %%zmm30,%%zmm31,%%zmm" #i "\n"
#define BF16_Z(i) "vdpbf16ps %%zmm30,%%zmm31,%%zmm" #i "\n"
#define FMA_Z(i) "vfmadd231ps %%zmm30,%%zmm31,%%zmm" #i "\n"
LOOP(run_vnni_z, CLEAR_Z, TIMES_32_OF_16(VNNI_Z))
LOOP(run_bf16_z, CLEAR_Z, TIMES_32_OF_16(BF16_Z))
LOOP(run_fma_z, CLEAR_Z, TIMES_32_OF_16(FMA_Z))

/* twelve accumulators; 32 instructions = 12 + 12 + 8 */
#define TWELVE(I) EIGHT(I) I(8) I(9) I(10) I(11)
#define VNNI_Y(i) "%{vex%} vpdpbusd %%ymm14,%%ymm15,%%ymm" #i "\n"
#define FMA_Y(i) "vfmadd231ps %%ymm14,%%ymm15,%%ymm" #i "\n"
LOOP(run_vnni_y, CLEAR_Y, TWELVE(VNNI_Y) TWELVE(VNNI_Y) EIGHT(VNNI_Y))
LOOP(run_fma_y, CLEAR_Y, TWELVE(FMA_Y) TWELVE(FMA_Y) EIGHT(FMA_Y))

/* u8 * s8 pairs to i16, pairs of those to i32, added up: three instructions for 32 products */
#define MADD_Y(i)                                                                                  \
    "vpmaddubsw %%ymm14,%%ymm15,%%ymm8\n vpmaddwd %%ymm14,%%ymm8,%%ymm8\n"                         \
    " vpaddd %%ymm8,%%ymm" #i ",%%ymm" #i "\n"
LOOP(run_madd_y, CLEAR_Y, TIMES_32_OF_8(MADD_Y))

static const dot_loop LOOPS[] = {
    /* wider is not always faster: all that the CPU has are tried */
    {"vpdpbusd 512 bit", DOT_INT8, CPU_AVX512_VNNI, 64, run_vnni_z},
    {"vpdpbusd 256 bit", DOT_INT8, CPU_AVX_VNNI, 32, run_vnni_y},
    {"vpmaddubsw 256 bit", DOT_INT8, CPU_X86_64_V3, 32, run_madd_y},
    {"vdpbf16ps 512 bit", DOT_BF16, CPU_AVX512_BF16, 32, run_bf16_z},
    {"vfmadd231ps 512 bit", DOT_BF16, CPU_AVX512, 16, run_fma_z},
    {"vfmadd231ps 256 bit", DOT_BF16, CPU_X86_64_V3, 8, run_fma_y},
    {"vfmadd231ps 512 bit", DOT_F32, CPU_AVX512, 16, run_fma_z},
    {"vfmadd231ps 256 bit", DOT_F32, CPU_X86_64_V3, 8, run_fma_y},
};

#define ADD_Z(i) "vpaddq " #i "*64(%0),%%zmm" #i ",%%zmm" #i "\n"
#define ADD_Y(i) "vpaddq " #i "*32(%0),%%ymm" #i ",%%ymm" #i "\n"
static void read_slice(const uint8_t *from, uint64_t n_bytes, uint32_t features) {
    const uint8_t *end = from + n_bytes;
    if (features & CPU_AVX512)
        __asm__ volatile("1:\n" SIXTEEN(ADD_Z) "add $1024,%0\n cmp %1,%0\n jb 1b\n vzeroupper\n"
                         : "+r"(from)
                         : "r"(end)
                         : CLOBBERED);
    else
        __asm__ volatile("1:\n" SIXTEEN(ADD_Y) "add $512,%0\n cmp %1,%0\n jb 1b\n vzeroupper\n"
                         : "+r"(from)
                         : "r"(end)
                         : CLOBBERED);
}

#else /* other architectures: the compiler's vectors; no figure for dot products */

static const dot_loop LOOPS[] = {{"none", DOT_COUNT, 0, 0, NULL}};

static void read_slice(const uint8_t *from, uint64_t n_bytes, uint32_t features) {
    (void)features;
    const uint64_t *p = (const uint64_t *)(const void *)from;
    uint64_t sum[8] = {0};
    for (uint64_t i = 0; i < n_bytes / 8; i += 8)
        for (int j = 0; j < 8; j++) sum[j] += p[i + (uint64_t)j];
    __asm__ volatile("" : : "r"(sum) : "memory");
}

#endif

/* ---- threads ---- */

enum { MAX_THREADS = 256 };

typedef struct job {
    int cpu;             /* -1: not pinned */
    const dot_loop *dot; /* NULL: read */
    uint64_t rounds;     /* of the dot loop, or passes over the slice */
    const uint8_t *from;
    uint64_t n_bytes;
    uint32_t features;
    uint64_t begin_ns, end_ns;
} job;

static void *run_job(void *p) {
    job *j = p;
    if (j->cpu >= 0) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(j->cpu, &set);
        sched_setaffinity(0, sizeof set, &set);
    }
    j->begin_ns = machine_ns();
    if (j->dot) j->dot->run(j->rounds);
    else
        for (uint64_t i = 0; i < j->rounds; i++) read_slice(j->from, j->n_bytes, j->features);
    j->end_ns = machine_ns();
    return NULL;
}

/* Runs the jobs at the same time; the seconds from the first begin to the last end, 0: no threads.
 */
static double run_jobs(job *jobs, int n) {
    pthread_t thread[MAX_THREADS];
    int started = 0;
    while (started < n && !pthread_create(&thread[started], NULL, run_job, &jobs[started]))
        started++;
    uint64_t begin = UINT64_MAX, end = 0;
    for (int i = 0; i < started; i++) {
        pthread_join(thread[i], NULL);
        if (jobs[i].begin_ns < begin) begin = jobs[i].begin_ns;
        if (jobs[i].end_ns > end) end = jobs[i].end_ns;
    }
    return started == n && end > begin ? (double)(end - begin) * 1e-9 : 0;
}

static void pin_jobs(job *jobs, int n) {
    cpu_set_t set;
    CPU_ZERO(&set);
    const bool known = sched_getaffinity(0, sizeof set, &set) == 0;
    const int have = known ? CPU_COUNT(&set) : 0;
    for (int i = 0, cpu = 0; i < n; i++) {
        jobs[i].cpu = -1;
        if (have < n) continue; /* more threads than CPUs: leave them to the scheduler */
        while (!CPU_ISSET(cpu, &set)) cpu++;
        jobs[i].cpu = cpu++;
    }
}

/* ---- measuring ---- */

enum { ROUND_NS = 30000000 };

static bool measure_dot(const dot_loop *loop, int n_threads, int rounds, machine_limits *limits) {
    job jobs[MAX_THREADS];
    memset(jobs, 0, sizeof jobs);
    pin_jobs(jobs, n_threads);
    uint64_t n = 10000;
    for (int r = -1; r < rounds * 4; r++) { /* the first one only tells how many make a round */
        for (int i = 0; i < n_threads; i++) {
            jobs[i].dot = loop;
            jobs[i].rounds = n;
        }
        const double seconds = run_jobs(jobs, n_threads);
        if (seconds <= 0) return false;
        const double rate = (double)n_threads * (double)n * STEPS * loop->mac / seconds * 1e-9;
        if (r < 0) {
            n = (uint64_t)((double)n * (ROUND_NS * 1e-9) / seconds) + 1;
            continue;
        }
        if (rate <= limits->gmac_s[loop->kind]) continue;
        limits->gmac_s[loop->kind] = rate;
        limits->name[loop->kind] = loop->name;
    }
    return true;
}

static bool measure_read(int n_threads, uint64_t read_bytes, int rounds, uint32_t features,
                         machine_limits *limits) {
    const uint64_t room = machine_available_bytes() / 4, step = 1024u * (uint64_t)n_threads;
    if (room && read_bytes > room) read_bytes = room;
    if (read_bytes > (uint64_t)4 << 30) read_bytes = (uint64_t)4 << 30;
    read_bytes -= read_bytes % step;
    if (read_bytes < step) read_bytes = step;
    uint8_t *buffer =
        mmap(NULL, read_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (buffer == MAP_FAILED) return false;
    madvise(buffer, read_bytes, MADV_HUGEPAGE);
    memset(buffer, 1, read_bytes);
    job jobs[MAX_THREADS];
    memset(jobs, 0, sizeof jobs);
    pin_jobs(jobs, n_threads);
    const uint64_t slice = read_bytes / (uint64_t)n_threads;
    /* a small buffer is read several times, so that starting the threads does not count */
    uint64_t passes = ((uint64_t)512 << 20) / read_bytes;
    if (!passes) passes = 1;
    bool ok = true;
    for (int r = 0; r < rounds * 3 && ok; r++) {
        for (int i = 0; i < n_threads; i++) {
            jobs[i].from = buffer + slice * (uint64_t)i;
            jobs[i].n_bytes = slice;
            jobs[i].rounds = passes;
            jobs[i].features = features;
        }
        const double seconds = run_jobs(jobs, n_threads);
        ok = seconds > 0;
        const double rate = ok ? (double)read_bytes * (double)passes / seconds * 1e-9 : 0;
        if (rate > limits->read_gb_s) limits->read_gb_s = rate;
    }
    limits->read_bytes = read_bytes;
    munmap(buffer, read_bytes);
    return ok;
}

bool machine_measure(int n_threads, uint64_t read_bytes, int rounds, machine_limits *limits) {
    if (n_threads > MAX_THREADS) n_threads = MAX_THREADS;
    const uint32_t features = cpu_features();
    for (size_t i = 0; i < sizeof LOOPS / sizeof LOOPS[0]; i++) {
        const dot_loop *l = &LOOPS[i];
        if (!l->run || (features & l->needs) != l->needs) continue;
        if (!measure_dot(l, n_threads, rounds, limits)) return false;
    }
    return measure_read(n_threads, read_bytes, rounds, features, limits);
}
