#include "base/map.h"

#include "tests/unit/unit.h"

static void finds_what_was_added(void) {
    arena *mem = arena_open();
    map m = {.mem = mem};
    CU_ASSERT_PTR_NULL(map_find(&m, STR("x")));
    enum { N = 50000 };
    for (int i = 0; i < N; i++)
        CU_ASSERT_FATAL(map_add(&m, str_of(arena_printf(mem, "key%d", i)), i));
    CU_ASSERT_EQUAL(m.n, N);
    for (int i = 0; i < N; i++) {
        char key[32];
        snprintf(key, sizeof key, "key%d", i);
        const int64_t *v = map_find(&m, str_of(key));
        if (!v || *v != i) CU_FAIL_FATAL("a key was lost");
    }
    CU_ASSERT_PTR_NULL(map_find(&m, STR("key50000")));
    CU_ASSERT_PTR_NULL(map_find(&m, STR("key")));
    arena_close(mem);
}

static void a_key_is_there_once(void) {
    arena *mem = arena_open();
    map m = {.mem = mem};
    CU_ASSERT(map_add(&m, STR("a"), 1));
    CU_ASSERT(!map_add(&m, STR("a"), 2));
    CU_ASSERT_EQUAL(*map_find(&m, STR("a")), 1);
    CU_ASSERT(map_add(&m, STR(""), 3)); /* the empty key is a key */
    CU_ASSERT(!map_add(&m, (str){NULL, 0}, 4));
    CU_ASSERT_EQUAL(*map_find(&m, STR("")), 3);
    CU_ASSERT(map_add(&m, (str){"a\0b", 3}, 5)); /* bytes, not C strings */
    CU_ASSERT_EQUAL(*map_find(&m, (str){"a\0b", 3}), 5);
    arena_close(mem);
}

/* vectors of the reference implementation's SipHash-1-3 with key 0, 1 .. 15 and input 0, 1 .. n - 1
 */
static void the_hash_is_siphash(void) {
    hash_key key;
    unsigned char bytes[16], in[15];
    for (int i = 0; i < 16; i++) bytes[i] = (unsigned char)i;
    for (int i = 0; i < 15; i++) in[i] = (unsigned char)i;
    memcpy(&key, bytes, sizeof key);
    CU_ASSERT_EQUAL(hash_bytes(key, (str){(char *)in, 0}), 0xabac0158050fc4dcu);
    CU_ASSERT_EQUAL(hash_bytes(key, (str){(char *)in, 15}), 0xd320d86d2a519956u);
}

static void keys_differ_between_maps(void) {
    const hash_key a = hash_random_key(), b = hash_random_key();
    CU_ASSERT(a.k[0] != b.k[0] || a.k[1] != b.k[1]);
}

UNIT_MAIN("map", {"finds what was added", finds_what_was_added},
          {"a key is there once", a_key_is_there_once},
          {"the hash is SipHash", the_hash_is_siphash},
          {"keys differ between maps", keys_differ_between_maps})
