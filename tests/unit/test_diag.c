#include "base/diag.h"

#include <string.h>

#include "base/util.h"
#include "tests/unit/unit.h"

static const char *printed(const diag *d, arena *mem) {
    char *at = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&at, &n);
    diag_print(d, f);
    fclose(f);
    const char *copy = arena_copy(mem, at, n);
    free(at);
    return copy;
}

static void the_form_is_that_of_the_design(void) {
    arena *mem = arena_open();
    diag d = {.mem = mem};
    CU_ASSERT_EQUAL(diag_exit_status(&d), EXIT_DONE);
    CU_ASSERT(!diag_error(&d, DIAG_JSON_MISSING, (diag_loc){.file = "a/config.json", .line = 3},
                          "'%s' is missing", "hidden_size"));
    diag_note(&d, (diag_loc){.tensor = "x.weight"}, "here");
    CU_ASSERT_STRING_EQUAL(printed(&d, mem),
                           "p4c: a/config.json: line 3: 'hidden_size' is missing [E0012]\n"
                           "  note: tensor 'x.weight': here\n");
    CU_ASSERT_EQUAL(diag_exit_status(&d), EXIT_BAD_INPUT);
    diag_clear(&d);
    CU_ASSERT_EQUAL(d.n_errors, 0);
    CU_ASSERT_STRING_EQUAL(printed(&d, mem), "");
    arena_close(mem);
}

static void warnings_do_not_fail(void) {
    arena *mem = arena_open();
    diag d = {.mem = mem};
    diag_warn(&d, DIAG_FILE_OPEN, (diag_loc){.file = "f", .offset = 16, .op = "%1"}, "odd");
    CU_ASSERT_EQUAL(diag_exit_status(&d), EXIT_DONE);
    CU_ASSERT_EQUAL(d.n_warnings, 1);
    CU_ASSERT_STRING_EQUAL(printed(&d, mem), "p4c: warning: f: byte 16: in '%1': odd [W0001]\n");
    diag_error(&d, DIAG_FILE_WRITE, (diag_loc){0}, "first");
    diag_error(&d, DIAG_FILE_OPEN, (diag_loc){0}, "second");
    CU_ASSERT_EQUAL(diag_exit_status(&d), EXIT_RESOURCES); /* of the first error */
    arena_close(mem);
}

static void control_characters_do_not_reach_a_terminal(void) {
    arena *mem = arena_open();
    diag d = {.mem = mem};
    diag_error(&d, DIAG_FILE_OPEN, (diag_loc){.tensor = "a\x1b[31m\nb\x7f"}, "x");
    CU_ASSERT_STRING_EQUAL(d.first->text, "tensor 'a?[31m?b?': x");
    arena_close(mem);
}

static void every_code_has_its_own_number_and_name(void) {
    static const struct {
        diag_code code;
        const char *name;
        int status;
    } ROWS[] = {
#define DIAG(name, number, exit_status, hint) {DIAG_##name, #name, exit_status},
#include "base/diag.def"
#undef DIAG
    };
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        CU_ASSERT_STRING_EQUAL(diag_name(ROWS[i].code), ROWS[i].name);
        CU_ASSERT_PTR_NOT_NULL(diag_hint(ROWS[i].code));
        CU_ASSERT(ROWS[i].code > 0 && ROWS[i].code < 1000);
        for (size_t j = 0; j < i; j++) CU_ASSERT_NOT_EQUAL(ROWS[i].code, ROWS[j].code);
    }
}

UNIT_MAIN("diag", {"the form is that of the design", the_form_is_that_of_the_design},
          {"warnings do not fail", warnings_do_not_fail},
          {"control characters do not reach a terminal",
           control_characters_do_not_reach_a_terminal},
          {"every code has its own number and name", every_code_has_its_own_number_and_name})
