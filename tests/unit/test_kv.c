#include "runtime/kv.h"

#include <string.h>
#include <sys/mman.h>

#include "tests/unit/fake_model.h"
#include "tests/unit/unit.h"

enum { BYTES = 8192 + 64 };

/* Linked with --wrap=mmap: the call fails once map_left reaches 0. */
static int map_left = -1;
void *__real_mmap(void *at, size_t n, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t n, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t n, int prot, int flags, int fd, off_t offset) {
    if (map_left == 0) return MAP_FAILED;
    if (map_left > 0) map_left--;
    return __real_mmap(at, n, prot, flags, fd, offset);
}

static rt_kv *open_kv(fake_memory *memory, uint64_t limit) {
    const p4c_alloc hooks = fake_alloc(memory);
    const rt_alloc mem = {hooks.alloc, hooks.free, hooks.ctx};
    rt_kv *kv = NULL;
    CU_ASSERT_EQUAL_FATAL(rt_kv_open(&mem, BYTES, limit, &kv, NULL), P4C_OK);
    return kv;
}

static bool is_zero(const rt_kv_block *b) {
    for (int i = 0; i < BYTES; i++)
        if (b->data[i]) return false;
    return true;
}

static void blocks_come_zeroed_also_the_second_time(void) {
    fake_memory memory = {0};
    rt_kv *const kv = open_kv(&memory, 4);
    for (int round = 0; round < 3; round++) {
        rt_kv_block *b[3];
        CU_ASSERT_EQUAL_FATAL(rt_kv_take(kv, 3, b, NULL), P4C_OK);
        for (int i = 0; i < 3; i++) {
            CU_ASSERT(is_zero(b[i]));
            CU_ASSERT_EQUAL((uintptr_t)b[i]->data % 64, 0);
            memset(b[i]->data, 0xff, BYTES);
        }
        CU_ASSERT_EQUAL(rt_kv_count(kv).used, 3);
        rt_kv_drop(kv, b, 3);
        CU_ASSERT_EQUAL(rt_kv_count(kv).used, 0);
    }
    CU_ASSERT_EQUAL(rt_kv_count(kv).peak, 3);
    CU_ASSERT_EQUAL(memory.n_calls, 4); /* the pool and three blocks: places are used again */
    rt_kv_close(kv);
    CU_ASSERT_EQUAL(memory.n_live, 0);
}

static void the_bound_holds_and_both_numbers_are_told(void) {
    fake_memory memory = {0};
    rt_kv *const kv = open_kv(&memory, 4);
    rt_kv_block *b[4], *more[2];
    p4c_error error = {0};
    CU_ASSERT_EQUAL_FATAL(rt_kv_take(kv, 3, b, NULL), P4C_OK);
    CU_ASSERT_EQUAL(rt_kv_take(kv, 2, more, &error), P4C_ERR_KV_FULL);
    CU_ASSERT_EQUAL(error.found, 2);
    CU_ASSERT_EQUAL(error.limit, 1);
    CU_ASSERT_STRING_EQUAL(error.text, "2 KV blocks are wanted and 1 of 4 are left");
    CU_ASSERT_EQUAL(rt_kv_count(kv).used, 3);
    CU_ASSERT_EQUAL(rt_kv_take(kv, 1, &b[3], NULL), P4C_OK);
    rt_kv_drop(kv, b, 4);
    rt_kv_close(kv);
}

static void a_block_lives_as_long_as_someone_refers_to_it(void) {
    fake_memory memory = {0};
    rt_kv *const kv = open_kv(&memory, 2);
    rt_kv_block *b;
    CU_ASSERT_EQUAL_FATAL(rt_kv_take(kv, 1, &b, NULL), P4C_OK);
    CU_ASSERT(!rt_kv_is_shared(kv, b));
    memset(b->data, 7, BYTES);
    rt_kv_share(kv, &b, 1);
    CU_ASSERT(rt_kv_is_shared(kv, b));
    rt_kv_drop(kv, &b, 1);
    CU_ASSERT(!rt_kv_is_shared(kv, b));
    CU_ASSERT_EQUAL(b->data[BYTES - 1], 7);
    CU_ASSERT_EQUAL(rt_kv_count(kv).used, 1);
    rt_kv_drop(kv, &b, 1);
    CU_ASSERT_EQUAL(rt_kv_count(kv).used, 0);
    rt_kv_close(kv);
}

static void a_failed_take_gives_everything_back(void) {
    fake_memory memory = {0};
    rt_kv *const kv = open_kv(&memory, 8);
    rt_kv_block *b[4];
    memory.fail_at = memory.n_calls + 3;
    CU_ASSERT_EQUAL(rt_kv_take(kv, 4, b, NULL), P4C_ERR_NO_MEMORY);
    CU_ASSERT_EQUAL(rt_kv_count(kv).used, 0);
    memory.fail_at = 0;
    map_left = 1;
    CU_ASSERT_EQUAL(rt_kv_take(kv, 4, b, NULL), P4C_ERR_NO_MEMORY); /* 2 kept ones, 2 to map */
    map_left = -1;
    CU_ASSERT_EQUAL(rt_kv_count(kv).used, 0);
    CU_ASSERT_EQUAL(rt_kv_take(kv, 4, b, NULL), P4C_OK);
    for (int i = 0; i < 4; i++) CU_ASSERT(is_zero(b[i]));
    rt_kv_drop(kv, b, 4);
    rt_kv_close(kv);
    CU_ASSERT_EQUAL(memory.n_live, 0);
}

UNIT_MAIN("kv",
          {"blocks come zeroed, also the second time", blocks_come_zeroed_also_the_second_time},
          {"the bound holds", the_bound_holds_and_both_numbers_are_told},
          {"a block lives as long as someone refers to it",
           a_block_lives_as_long_as_someone_refers_to_it},
          {"a failed take gives everything back", a_failed_take_gives_everything_back})
