#include "base/arena.h"

#include <setjmp.h>
#include <stdint.h>
#include <string.h>

#include "tests/unit/unit.h"

static void memory_is_zeroed_and_aligned(void) {
    arena *a = arena_open();
    for (size_t align = 1; align <= 64; align *= 2)
        for (size_t size = 0; size < 300; size += 7) {
            const unsigned char *p = arena_get(a, size, align);
            CU_ASSERT_EQUAL((uintptr_t)p % align, 0);
            for (size_t i = 0; i < size; i++)
                if (p[i]) CU_FAIL_FATAL("memory is not zero");
            memset((void *)(uintptr_t)p, 0xa5, size);
        }
    arena_close(a);
}

static void rewind_gives_the_same_place_zeroed(void) {
    arena *a = arena_open();
    arena_strdup(a, "kept");
    const arena_pos mark = arena_mark(a);
    char *p = arena_strdup(a, "dropped");
    char *big = arena_get(a, 3 << 20, 1); /* in a chunk of its own */
    big[0] = 1;
    const size_t used = arena_used(a);
    CU_ASSERT(used >= 3 << 20);
    arena_rewind(a, mark);
    CU_ASSERT(arena_used(a) < 100);
    char *q = arena_get(a, 8, 1);
    CU_ASSERT_PTR_EQUAL(p, q);
    CU_ASSERT_EQUAL(q[0], 0);
    arena_close(a);
}

static void large_allocations_keep_earlier_ones(void) {
    arena *a = arena_open();
    int *first = arena_array(a, int, 10);
    first[9] = 42;
    for (int i = 0; i < 40; i++) memset(arena_get(a, 1 << 20, 64), i, 1 << 20);
    CU_ASSERT_EQUAL(first[9], 42);
    arena_close(a);
}

static void text_is_formatted(void) {
    arena *a = arena_open();
    CU_ASSERT_STRING_EQUAL(arena_printf(a, "%d-%s", 7, "x"), "7-x");
    CU_ASSERT_STRING_EQUAL(arena_copy(a, "abcdef", 3), "abc");
    arena_close(a);
}

static jmp_buf back;
static size_t asked;
static _Noreturn void jump(size_t wanted) {
    asked = wanted;
    longjmp(back, 1);
}

static void sizes_that_overflow_are_out_of_memory(void) {
    arena *volatile a = arena_open();
    arena_set_oom((arena_oom_fn *)jump);
    if (!setjmp(back)) {
        arena_get_array(a, SIZE_MAX / 4, 8, 8);
        CU_FAIL("an overflowing product was allocated");
    }
    CU_ASSERT_EQUAL(asked, SIZE_MAX);
    if (!setjmp(back)) {
        arena_get(a, SIZE_MAX - 3, 1);
        CU_FAIL("a size near the limit was allocated");
    }
    if (!setjmp(back)) arena_out_of_memory(77);
    CU_ASSERT_EQUAL(asked, 77);
    arena_close(a);
}

UNIT_MAIN("arena", {"memory is zeroed and aligned", memory_is_zeroed_and_aligned},
          {"rewind gives the same place, zeroed", rewind_gives_the_same_place_zeroed},
          {"large allocations keep earlier ones", large_allocations_keep_earlier_ones},
          {"text is formatted", text_is_formatted},
          {"sizes that overflow are out of memory", sizes_that_overflow_are_out_of_memory})
