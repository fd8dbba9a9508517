/* unit.h - what every unit test program shares: a table of cases and a main that runs them.
 *
 *     static void test_x(void) { CU_ASSERT(...); }
 *     UNIT_MAIN("module", {"x does y", test_x}, ...)
 */
#ifndef P4C_TESTS_UNIT_H
#define P4C_TESTS_UNIT_H

#include <CUnit/Basic.h>
#include <CUnit/CUnit.h>

#include "base/util.h"

typedef struct unit_case {
    const char *name;
    void (*run)(void);
} unit_case;

static inline int unit_run(const char *suite, const unit_case *cases, size_t n) {
    if (CU_initialize_registry() != CUE_SUCCESS) return 2;
    CU_pSuite s = CU_add_suite(suite, NULL, NULL);
    for (size_t i = 0; s && i < n; i++)
        if (!CU_add_test(s, cases[i].name, cases[i].run)) return 2;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    const unsigned failures = CU_get_number_of_failures();
    const unsigned run = CU_get_number_of_tests_run();
    CU_cleanup_registry();
    return failures || run != n ? 1 : 0;
}

#define UNIT_MAIN(suite, ...)                                                                      \
    int main(void) {                                                                               \
        static const unit_case CASES[] = {__VA_ARGS__};                                            \
        return unit_run(suite, CASES, COUNT_OF(CASES));                                            \
    }

#endif
