/* Every rule of the verifier, broken once. */
#include <string.h>

#include "ir/ir.h"
#include "tests/unit/unit.h"

typedef struct bench {
    arena *mem;
    diag d;
    ir_graph *g;
    ir_op *op[16]; /* by id */
} bench;

static bench *open_bench(const char *source) {
    arena *mem = arena_open();
    bench *b = arena_new(mem, bench);
    b->mem = b->d.mem = mem;
    b->g = ir_parse(str_of(source), "test", mem, &b->d);
    if (!b->g) diag_print(&b->d, stdout);
    CU_ASSERT_PTR_NOT_NULL_FATAL(b->g);
    for (ir_op *op = b->g->first; op; op = op->next)
        if (op->id < COUNT_OF(b->op)) b->op[op->id] = op;
    return b;
}

/* The verifier reports exactly one error, with this code and text. */
static void check(bench *b, diag_code code, const char *want) {
    CU_ASSERT(!ir_verify(b->g));
    CU_ASSERT_EQUAL_FATAL(b->d.n_errors, 1);
    CU_ASSERT_EQUAL(b->d.first->code, code);
    CU_ASSERT(strstr(b->d.first->text, want) != NULL);
    if (!strstr(b->d.first->text, want)) printf("'%s', want '%s'\n", b->d.first->text, want);
    arena_close(b->mem);
}

static const char SMALL[] = "%0 = input {role=\"x\"} : f32[T,4]\n%1 = silu %0\n%2 = add %0, %1\n%3 "
                            "= weight {seed=1} : f32[4]\n"
                            "%4 = rmsnorm %2, %3 {eps=0}\nreturn %4\n";

static void test_good(void) {
    bench *b = open_bench(SMALL);
    CU_ASSERT(ir_verify(b->g) && b->d.n_errors == 0);
    arena_close(b->mem);
    b = open_bench("");
    CU_ASSERT(ir_verify(b->g));
    arena_close(b->mem);
}

static void test_list(void) {
    bench *b = open_bench(SMALL);
    b->op[2]->prev = b->op[0];
    check(b, DIAG_IR_INVARIANT, "a broken list");
    b = open_bench(SMALL);
    b->g->last = b->op[2];
    check(b, DIAG_IR_INVARIANT, "a broken list");
    b = open_bench(SMALL);
    b->op[2]->graph = ir_new(b->mem, &b->d, "other");
    check(b, DIAG_IR_INVARIANT, "a broken list");
    b = open_bench(SMALL);
    b->op[2]->id = 1;
    check(b, DIAG_IR_INVARIANT, "given twice");
    b = open_bench(SMALL);
    b->op[2]->id = 5;
    check(b, DIAG_IR_INVARIANT, "never given");
    b = open_bench(SMALL);
    b->g->next_id = IR_MAX_OPS + 1;
    check(b, DIAG_IR_INVARIANT, "out of range");
}

static void test_operands(void) {
    bench *b = open_bench(SMALL);
    b->op[1]->in[0] = b->op[2]; /* computed later */
    check(b, DIAG_IR_INVARIANT, "operand 1 is not computed before");
    b = open_bench(SMALL);
    b->op[1]->in[0] = b->op[1];
    check(b, DIAG_IR_INVARIANT, "operand 1 is not computed before");
    b = open_bench(SMALL);
    b->op[2]->in[1] = NULL;
    check(b, DIAG_IR_INVARIANT, "operand 2 is not computed before");
    b = open_bench(SMALL);
    ir_op gone = *b->op[1];
    b->op[2]->in[1] = &gone; /* not in the list */
    check(b, DIAG_IR_INVARIANT, "operand 2 is not computed before");
}

static void test_outputs_uses(void) {
    bench *b = open_bench(SMALL);
    ir_op gone = *b->op[4];
    b->g->out[0] = &gone;
    check(b, DIAG_IR_INVARIANT, "output 1 is not in the graph");
    b = open_bench(SMALL);
    b->op[0]->n_use--;
    check(b, DIAG_IR_INVARIANT, "1 uses counted, 2 found");
    b = open_bench(SMALL);
    b->g->n_out = 0;
    check(b, DIAG_IR_INVARIANT, "1 uses counted, 0 found");
    b = open_bench(SMALL);
    b->g->n_out = IR_MAX_OUTPUTS + 1;
    check(b, DIAG_IR_INVARIANT, "out of range");
}

static void test_types(void) {
    bench *b = open_bench(SMALL);
    b->op[1]->type.dim[1] = 5;
    check(b, DIAG_IR_INVARIANT, "type f32[T,5], the op gives f32[T,4]");
    b = open_bench(SMALL);
    b->op[1]->n_in = 0;
    b->op[0]->n_use--;
    check(b, DIAG_IR_OPERANDS, "0 operands, takes 1");
    b = open_bench(SMALL);
    b->op[1]->const_depth = 1;
    check(b, DIAG_IR_INVARIANT, "depth of a constant");
    b = open_bench(SMALL);
    ir_set_attr(b->g, b->op[1], IR_I64(layer, 1));
    check(b, DIAG_IR_ATTR, "takes no attribute layer");
    b = open_bench(SMALL);
    b->op[4]->attrs[0].f64 = -1;
    check(b, DIAG_IR_ATTR, "negative");
    b = open_bench(SMALL);
    b->op[3]->type.dim[0] = 0;
    check(b, DIAG_IR_TYPE, "dimensions must be positive");
}

static void test_roles(void) {
    check(open_bench("%0 = input {role=\"x\"} : f32[T,4]\n%1 = input {role=\"x\"} : f32[T,4]"),
          DIAG_IR_REDEFINED, "test: line 2: in '%1 = input': a second input \"x\"");
}

#define STATE                                                                                      \
    "%0 = input {role=\"x\"} : f32[T,8]\n%1 = input {role=\"seqs\"} : seqs\n"                      \
    "%2 = input {role=\"kv\"} : f32[2,2,4]@kv\n%3 = kv_append %2, %0, %0, %1 {layer=0}\n"
#define LINEAR_STATE                                                                               \
    "%0 = input {role=\"x\"} : f32[T,8]\n%1 = input {role=\"seqs\"} : seqs\n"                      \
    "%2 = input {role=\"kv\"} : f32[2,2,4]@kv\n%3 = rope_table {theta=10, rot=4} : f32[9,4]\n"     \
    "%4 = weight {seed=1} : f32[24,8]\n"                                                           \
    "%5 = linear %0, %4, %3, %1, %2 {epilogue=\"rope_kv\", layer=0, heads=2, kv_heads=2, "         \
    "head_dim=4, rot=4}\n"

static void test_state(void) {
    bench *b = open_bench(STATE "%4 = attention %0, %3, %1 {layer=0, heads=2, by=1}\n"
                                "%5 = kv_append %3, %4, %4, %1 {layer=1}\nreturn %4, %5");
    CU_ASSERT(ir_verify(b->g));
    arena_close(b->mem);
    check(open_bench(STATE "%4 = kv_append %2, %0, %0, %1 {layer=1}"), DIAG_IR_KV,
          "operand 1 has been appended to");
    check(open_bench(STATE "%4 = attention %0, %2, %1 {layer=0, heads=2, by=1}"), DIAG_IR_KV,
          "operand 2 has been appended to");
    check(open_bench(STATE "return %2"), DIAG_IR_KV, "an output that has been appended to");
    b = open_bench(LINEAR_STATE "%6 = second %5\nreturn %5, %6");
    CU_ASSERT(ir_verify(b->g));
    arena_close(b->mem);
    check(open_bench(LINEAR_STATE "%6 = second %5\n%7 = second %5"), DIAG_IR_KV,
          "%6 is the second result already");
    check(open_bench(LINEAR_STATE "%6 = attention %0, %2, %1 {layer=0, heads=2, by=1}"), DIAG_IR_KV,
          "operand 2 has been appended to");
}

/* ---- contents of mapped files ---- */

static const char ACT_ORDER[] =
    "file 0 \"f\" {bytes=224}\n"
    "%0 = weight {file=0, data=0+64, scales=64+32, perm=96+64} : i4<g8,perm>[8,16]@gptq\n"
    "%1 = weight {file=0, data=0+64, scales=64+32, perm=160+64} : i4<g8,perm>[8,16]@gptq\n"
    "%2 = concat_rows %0, %1";

static uint8_t *map(bench *b, size_t bytes) {
    uint8_t *at = arena_array(b->mem, uint8_t, bytes);
    b->g->file[0].at = at;
    return at;
}

static void put_i32(uint8_t *at, int32_t v) { memcpy(at, &v, sizeof v); }

static void test_columns(void) {
    bench *b = open_bench(ACT_ORDER);
    CU_ASSERT(ir_verify(b->g)); /* not mapped: not looked at */
    put_i32(map(b, 224) + 160, 1);
    put_i32((uint8_t *)b->g->file[0].at + 96, 1);
    CU_ASSERT(ir_verify(b->g));
    arena_close(b->mem);

    b = open_bench(ACT_ORDER);
    put_i32(map(b, 224) + 160, 1); /* columns of %0 and %1 differ */
    check(b, DIAG_IR_PERM,
          "line 4: in '%2 = concat_rows': operand 2 has its columns in other groups");
    b = open_bench(ACT_ORDER);
    put_i32(map(b, 224) + 96, 2);
    check(b, DIAG_IR_PERM, "line 2: in '%0 = weight': column 0 is in group 2 of 2");
    b = open_bench(ACT_ORDER);
    put_i32(map(b, 224) + 96 + 60, -1);
    check(b, DIAG_IR_PERM, "column 15 is in group -1 of 2");
}

/* A packed weight's columns: every one once. */
static void test_places(void) {
    static const struct {
        int place;
        int32_t column;
        const char *message; /* NULL: fine */
    } CASES_OF_PLACES[] = {
        {23, -1, NULL},
        {23, 15, "column 15 at place 23"}, /* twice */
        {15, -1, "15 columns, want 16"},
        {23, 16, "column 16 at place 23"},
        {23, -2, "column -2 at place 23"},
        {23, INT32_MIN, "at place 23"},
    };
    for (size_t i = 0; i < COUNT_OF(CASES_OF_PLACES); i++) {
        bench *b =
            open_bench("file 0 \"f\" {bytes=500}\n"
                       "%0 = weight {file=0, data=100+288, perm=0+96} : i4<g8,perm>[8,16]@r16k8");
        uint8_t *at = map(b, 500);
        for (int p = 0; p < 24; p++) put_i32(at + 4 * p, p < 16 ? p : -1);
        put_i32(at + 4 * CASES_OF_PLACES[i].place, CASES_OF_PLACES[i].column);
        if (CASES_OF_PLACES[i].message) {
            check(b, DIAG_IR_PERM, CASES_OF_PLACES[i].message);
            continue;
        }
        CU_ASSERT(ir_verify(b->g));
        arena_close(b->mem);
    }
}

UNIT_MAIN("verify", {"good graphs", test_good}, {"list and ids", test_list},
          {"operands", test_operands}, {"outputs and uses", test_outputs_uses},
          {"types", test_types}, {"roles", test_roles}, {"state", test_state},
          {"columns", test_columns}, {"places", test_places})
