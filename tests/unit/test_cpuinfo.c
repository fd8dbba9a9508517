#include "base/cpuinfo.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/unit.h"

static const cpu_registers ALL = {.leaf1_ecx = 0x38401000,
                                  .leaf7_ebx = 0xd0030128,
                                  .leaf7_ecx = 1u << 11,
                                  .leaf7_1_eax = 0x30,
                                  .ext1_ecx = 1u << 5,
                                  .xcr0 = 0xe7};

static void bits_need_all_their_parts(void) {
    const uint32_t all =
        CPU_X86_64_V3 | CPU_AVX_VNNI | CPU_AVX512 | CPU_AVX512_VNNI | CPU_AVX512_BF16;
    CU_ASSERT_EQUAL(cpu_features_of(&ALL), all);
    CU_ASSERT_EQUAL(cpu_features_of(&(cpu_registers){0}), 0);
    /* each bit of the first word is needed for v3: fma movbe osxsave avx f16c */
    for (int b = 0; b < 32; b++) {
        cpu_registers r = ALL;
        if (!(r.leaf1_ecx & 1u << b)) continue;
        r.leaf1_ecx &= ~(1u << b);
        CU_ASSERT_EQUAL(cpu_features_of(&r), 0);
    }
    for (int b = 0; b < 32; b++) {
        cpu_registers r = ALL;
        if (!(r.leaf7_ebx & 1u << b)) continue;
        r.leaf7_ebx &= ~(1u << b);
        CU_ASSERT_EQUAL(cpu_features_of(&r),
                        b == 3 || b == 5 || b == 8 ? 0u : CPU_X86_64_V3 | CPU_AVX_VNNI);
    }
}

static void the_system_must_save_the_registers(void) {
    cpu_registers r = ALL;
    r.xcr0 = 0x7; /* no zmm */
    CU_ASSERT_EQUAL(cpu_features_of(&r), CPU_X86_64_V3 | CPU_AVX_VNNI);
    r.xcr0 = 0x67; /* no upper half of the 16 upper registers */
    CU_ASSERT_EQUAL(cpu_features_of(&r), CPU_X86_64_V3 | CPU_AVX_VNNI);
    r.xcr0 = 0x3; /* no ymm */
    CU_ASSERT_EQUAL(cpu_features_of(&r), 0);
}

static void single_extensions(void) {
    cpu_registers r = ALL;
    r.leaf7_ecx = 0;
    r.leaf7_1_eax = 1 << 5;
    CU_ASSERT_EQUAL(cpu_features_of(&r), CPU_X86_64_V3 | CPU_AVX512 | CPU_AVX512_BF16);
}

static void agrees_with_the_kernel(void) {
    FILE *f = fopen("/proc/cpuinfo", "r");
    if (!f) return;
    static char line[1 << 16];
    while (fgets(line, sizeof line, f) && strncmp(line, "flags", 5) != 0) {
    }
    fclose(f);
    if (strncmp(line, "flags", 5) != 0) return; /* not x86 */
    static const struct {
        const char *flag;
        uint32_t bit;
    } FLAGS[] = {{" avx2 ", CPU_X86_64_V3},
                 {" avx_vnni ", CPU_AVX_VNNI},
                 {" avx512vl ", CPU_AVX512},
                 {" avx512_vnni ", CPU_AVX512_VNNI},
                 {" avx512_bf16 ", CPU_AVX512_BF16}};
    for (size_t i = 0; i < COUNT_OF(FLAGS); i++)
        CU_ASSERT_EQUAL((cpu_features() & FLAGS[i].bit) != 0, strstr(line, FLAGS[i].flag) != NULL);
}

static void put(const char *root, const char *path, const char *content) {
    char full[512];
    snprintf(full, sizeof full, "%s%s", root, path);
    for (char *c = full + strlen(root) + 1; *c; c++)
        if (*c == '/') {
            *c = 0;
            mkdir(full, 0700);
            *c = '/';
        }
    FILE *f = fopen(full, "w");
    CU_ASSERT_FATAL(f != NULL);
    fputs(content, f);
    fclose(f);
}

static void drop(const char *root) {
    char command[600];
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    CU_ASSERT_EQUAL(system(command), 0);
}

static void quotas_of_version_2(void) {
    char root[] = "/tmp/p4c-test-XXXXXX";
    CU_ASSERT_FATAL(mkdtemp(root) != NULL);
    CU_ASSERT_EQUAL(cpu_quota(root), 0);
    put(root, "/proc/self/cgroup", "0::/a/b\n");
    CU_ASSERT_EQUAL(cpu_quota(root), 0);
    put(root, "/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    CU_ASSERT_EQUAL(cpu_quota(root), 0);
    put(root, "/sys/fs/cgroup/a/b/cpu.max", "250000 100000\n");
    CU_ASSERT_EQUAL(cpu_quota(root), 3); /* 2.5, rounded up */
    put(root, "/sys/fs/cgroup/a/cpu.max", "200000 100000\n");
    CU_ASSERT_EQUAL(cpu_quota(root), 2); /* the group above is tighter */
    put(root, "/sys/fs/cgroup/cpu.max", "10000 100000\n");
    CU_ASSERT_EQUAL(cpu_quota(root), 1);
    put(root, "/sys/fs/cgroup/cpu.max", "rubbish");
    CU_ASSERT_EQUAL(cpu_quota(root), 2);
    drop(root);
}

static void quotas_of_version_1(void) {
    char root[] = "/tmp/p4c-test-XXXXXX";
    CU_ASSERT_FATAL(mkdtemp(root) != NULL);
    put(root, "/proc/self/cgroup", "3:cpuset:/q\n2:cpu,cpuacct:/docker/x\n1:name=systemd:/q\n");
    put(root, "/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "400000\n"); /* the container sees its root */
    put(root, "/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    CU_ASSERT_EQUAL(cpu_quota(root), 4);
    put(root, "/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
    CU_ASSERT_EQUAL(cpu_quota(root), 0);
    drop(root);
}

static void the_count_follows_the_affinity(void) {
    cpu_set_t was, one;
    CU_ASSERT_FATAL(sched_getaffinity(0, sizeof was, &was) == 0);
    const int before = cpu_count();
    CU_ASSERT(before >= 1 && before <= CPU_COUNT(&was));
    int first = 0;
    while (!CPU_ISSET(first, &was)) first++;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    CU_ASSERT_FATAL(sched_setaffinity(0, sizeof one, &one) == 0);
    CU_ASSERT_EQUAL(cpu_count(), 1);
    sched_setaffinity(0, sizeof was, &was);
    CU_ASSERT_EQUAL(cpu_count(), before);
}

UNIT_MAIN("cpuinfo", {"bits need all their parts", bits_need_all_their_parts},
          {"the system must save the registers", the_system_must_save_the_registers},
          {"single extensions", single_extensions},
          {"agrees with the kernel", agrees_with_the_kernel},
          {"quotas of version 2", quotas_of_version_2},
          {"quotas of version 1", quotas_of_version_1},
          {"the count follows the affinity", the_count_follows_the_affinity})
