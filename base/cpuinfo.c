/* cpuinfo.c - cpuid and XCR0 to feature bits; affinity and cgroup files to a number of CPUs. */
#include "base/cpuinfo.h"

#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

static bool has(uint32_t reg, uint32_t bits) { return (reg & bits) == bits; }

uint32_t cpu_features_of(const cpu_registers *r) {
    enum {
        FMA = 1 << 12,
        MOVBE = 1 << 22,
        OSXSAVE = 1 << 27,
        AVX = 1 << 28,
        F16C = 1 << 29,      /* leaf 1 ecx */
        LZCNT = 1 << 5,      /* leaf 0x80000001 ecx */
        AVX_VNNI = 1 << 4,   /* leaf 7.1 eax */
        AVX512BF16 = 1 << 5, /* leaf 7.1 eax */
        AVX512VNNI = 1 << 11 /* leaf 7.0 ecx */
    };
    const uint32_t leaf7_v3 = 1u << 3 | 1u << 5 | 1u << 8; /* bmi1 avx2 bmi2 */
    const uint32_t leaf7_v4 =
        1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31; /* f dq cd bw vl */
    const uint64_t ymm_state = 0x6, zmm_state = 0xe6; /* sse, avx; opmask, two halves of zmm */

    if (!has(r->leaf1_ecx, FMA | MOVBE | OSXSAVE | AVX | F16C) || !has(r->ext1_ecx, LZCNT) ||
        !has(r->leaf7_ebx, leaf7_v3) || (r->xcr0 & ymm_state) != ymm_state)
        return 0;
    uint32_t f = CPU_X86_64_V3;
    if (has(r->leaf7_1_eax, AVX_VNNI)) f |= CPU_AVX_VNNI;
    if (!has(r->leaf7_ebx, leaf7_v4) || (r->xcr0 & zmm_state) != zmm_state) return f;
    f |= CPU_AVX512;
    if (has(r->leaf7_ecx, AVX512VNNI)) f |= CPU_AVX512_VNNI;
    if (has(r->leaf7_1_eax, AVX512BF16)) f |= CPU_AVX512_BF16;
    return f;
}

#if defined(__x86_64__)
__attribute__((target("xsave"))) static uint64_t read_xcr0(void) { return (uint64_t)_xgetbv(0); }

uint32_t cpu_features(void) {
    cpu_registers r = {0};
    uint32_t a, b, c, d;
    if (__get_cpuid(1, &a, &b, &c, &d)) r.leaf1_ecx = c;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
        r.leaf7_ebx = b;
        r.leaf7_ecx = c;
        if (a >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d)) r.leaf7_1_eax = a;
    }
    if (__get_cpuid(0x80000001, &a, &b, &c, &d)) r.ext1_ecx = c;
    if (r.leaf1_ecx & 1u << 27) r.xcr0 = read_xcr0(); /* OSXSAVE: else xgetbv is undefined */
    return cpu_features_of(&r);
}
#else
uint32_t cpu_features(void) { return 0; }
#endif

enum { PATH_BYTES = 4096, TEXT_BYTES = 4096 };

/* Appends s to the NUL-terminated path; false where it does not fit. */
static bool append(char path[PATH_BYTES], const char *s, size_t n) {
    const size_t at = strlen(path);
    if (n >= PATH_BYTES - at) return false;
    memcpy(path + at, s, n);
    path[at + n] = 0;
    return true;
}

static bool read_text(const char *path, char out[TEXT_BYTES]) {
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    const ssize_t n = read(fd, out, TEXT_BYTES - 1);
    close(fd);
    if (n <= 0) return false;
    out[n] = 0;
    return true;
}

/* A decimal at *s, which moves behind it and behind one blank; -1 where there is none ("max"). */
static int64_t take_number(const char **s) {
    int64_t v = 0;
    const char *p = *s;
    if (*p < '0' || *p > '9') return -1;
    for (; *p >= '0' && *p <= '9'; p++)
        if (v < INT64_MAX / 16) v = v * 10 + (*p - '0');
    *s = *p == ' ' ? p + 1 : p;
    return v;
}

static int cpus_of(int64_t quota, int64_t period) {
    if (quota <= 0 || period <= 0) return 0;
    const int64_t n = (quota - 1) / period + 1;
    return n > 1 << 20 ? 1 << 20 : (int)n;
}

/* The quota of one group: v2 has "quota period" in one file, v1 a file each. */
static int group_quota(const char *dir, bool v2) {
    char path[PATH_BYTES] = "", quota[TEXT_BYTES], period[TEXT_BYTES];
    const char *q = quota, *p = period;
    if (!append(path, dir, strlen(dir))) return 0;
    const size_t n = strlen(path);
    const char *const file = v2 ? "/cpu.max" : "/cpu.cfs_quota_us";
    if (!append(path, file, strlen(file)) || !read_text(path, quota)) return 0;
    const int64_t limit = take_number(&q);
    if (v2) return cpus_of(limit, take_number(&q));
    path[n] = 0;
    if (!append(path, "/cpu.cfs_period_us", 18) || !read_text(path, period)) return 0;
    return cpus_of(limit, take_number(&p));
}

/* The smallest quota of the group and of those above it, up to the mount. */
static int tightest(const char *mount, const char *group, size_t n_group, bool v2) {
    char dir[PATH_BYTES] = "";
    if (!append(dir, mount, strlen(mount))) return 0;
    const size_t n_mount = strlen(dir);
    if (!append(dir, group, n_group)) return 0;
    int best = 0;
    for (size_t n = strlen(dir);;) {
        dir[n] = 0;
        const int q = group_quota(dir, v2);
        if (q && (!best || q < best)) best = q;
        if (n <= n_mount) return best;
        while (n > n_mount && dir[n - 1] != '/') n--;
        if (n > n_mount) n--; /* the slash */
    }
}

/* Whether the comma-separated list of controllers at s, n names `cpu`. */
static bool names_cpu(const char *s, size_t n) {
    for (size_t i = 0; i < n;) {
        size_t end = i;
        while (end < n && s[end] != ',') end++;
        if (end - i == 3 && !memcmp(s + i, "cpu", 3)) return true;
        i = end + 1;
    }
    return false;
}

int cpu_quota(const char *root) {
    char path[PATH_BYTES] = "", text[TEXT_BYTES], mount[PATH_BYTES] = "";
    if (!append(path, root, strlen(root)) || !append(path, "/proc/self/cgroup", 17) ||
        !read_text(path, text) || !append(mount, root, strlen(root)) ||
        !append(mount, "/sys/fs/cgroup", 14))
        return 0;
    int best = 0;
    /* lines "id:controllers:/group"; v2 has id 0 and no controllers */
    for (const char *line = text; *line;) {
        const char *end = strchr(line, '\n');
        if (!end) end = line + strlen(line);
        const char *c1 = memchr(line, ':', (size_t)(end - line));
        const char *c2 = c1 ? memchr(c1 + 1, ':', (size_t)(end - c1 - 1)) : NULL;
        if (c2) {
            const bool v2 = c2 == c1 + 1;
            const size_t n_mount = strlen(mount);
            if (v2 || names_cpu(c1 + 1, (size_t)(c2 - c1 - 1))) {
                if (!v2 && !append(mount, "/cpu", 4)) return best;
                const int q = tightest(mount, c2 + 1, (size_t)(end - c2 - 1), v2);
                mount[n_mount] = 0;
                if (q && (!best || q < best)) best = q;
            }
        }
        line = *end ? end + 1 : end;
    }
    return best;
}

int cpu_count(void) {
    cpu_set_t set[8]; /* 8192 CPUs: the kernel's largest mask */
    int n = 1;
    if (sched_getaffinity(0, sizeof set, set) == 0) n = CPU_COUNT_S(sizeof set, set);
    const int quota = cpu_quota("");
    if (quota && quota < n) n = quota;
    return n > 1 ? n : 1;
}
