/* test_rewrite.c - patterns, rules and list helpers of passes/rewrite.h. */
#include "passes/rewrite.h"

#include "unit.h"

typedef struct fixture {
    arena *mem;
    diag d;
    ir_graph *g;
} fixture;

static fixture *begin(const char *text_form) {
    arena *mem = arena_open();
    fixture *f = arena_new(mem, fixture);
    f->mem = mem;
    f->d.mem = mem;
    f->g = ir_parse(str_of(text_form), "test", mem, &f->d);
    if (!f->g) diag_print(&f->d, stderr);
    CU_ASSERT_PTR_NOT_NULL_FATAL(f->g);
    return f;
}

static void end(fixture *f) {
    CU_ASSERT(ir_verify(f->g));
    arena_close(f->mem);
}

static int count_kind(const ir_graph *g, op_kind kind) {
    int n = 0;
    for (const ir_op *op = g->first; op; op = op->next) n += op->kind == kind;
    return n;
}

enum { X, Y, S };

static ir_op *take_x(ir_graph *g, const rw_match *m) {
    (void)g;
    return m->var[X];
}

static ir_op *take_y_if_scaled(ir_graph *g, const rw_match *m) {
    (void)g;
    return m->var[Y]->kind == OP_scale ? m->var[Y] : NULL;
}

static const rw_rule SILU_TIMES[] = {
    {"mul(silu(x), y) -> x", MATCH(mul, MATCH(silu, VAR(X)), VAR(Y)), take_x}};
static const rw_rule SAME[] = {
    {"mul(silu(x), x) -> x", MATCH(mul, MATCH(silu, VAR(X)), VAR(X)), take_x}};
static const rw_rule SHARED_SILU[] = {
    {"mul(silu(x), y) -> x", MATCH(mul, SHARED(S, silu, VAR(X)), VAR(Y)), take_x}};
static const rw_rule DECLINES[] = {
    {"add(x, scale) -> scale", MATCH(add, VAR(X), VAR(Y)), take_y_if_scaled}};
static const rw_rule SILU_OF_SILU[] = {
    {"silu(silu(x)) -> silu(x)", MATCH(silu, BIND(X, silu, VAR(Y))), take_x}};

#define TWO_INPUTS                                                                                 \
    "%0 = input {role=\"a\"} : f32[T,8]\n"                                                         \
    "%1 = input {role=\"b\"} : f32[T,8]\n"

static void test_commutes(void) {
    for (int swap = 0; swap < 2; swap++) {
        fixture *f = begin(swap ? TWO_INPUTS "%2 = silu %0\n%3 = mul %1, %2\nreturn %3\n"
                                : TWO_INPUTS "%2 = silu %0\n%3 = mul %2, %1\nreturn %3\n");
        CU_ASSERT_EQUAL(rw_apply(f->g, SILU_TIMES, 1), 1);
        CU_ASSERT_PTR_EQUAL(f->g->out[0], f->g->first);
        CU_ASSERT_EQUAL(ir_count(f->g), 2);
        end(f);
    }
}

static void test_same_value(void) {
    fixture *f = begin(TWO_INPUTS "%2 = silu %0\n%3 = mul %2, %1\nreturn %3\n");
    CU_ASSERT_EQUAL(rw_apply(f->g, SAME, 1), 0);
    end(f);
    f = begin(TWO_INPUTS "%2 = silu %0\n%3 = mul %0, %2\nreturn %3\n");
    CU_ASSERT_EQUAL(rw_apply(f->g, SAME, 1), 1);
    end(f);
}

/* The silu has another user: it would stay and be computed for nothing. */
static void test_other_users(void) {
    static const char TEXT[] =
        TWO_INPUTS "%2 = silu %0\n%3 = mul %2, %1\n%4 = add %2, %3\nreturn %4\n";
    fixture *f = begin(TEXT);
    CU_ASSERT_EQUAL(rw_apply(f->g, SILU_TIMES, 1), 0);
    end(f);
    f = begin(TEXT);
    CU_ASSERT_EQUAL(rw_apply(f->g, SHARED_SILU, 1), 1);
    CU_ASSERT_EQUAL(count_kind(f->g, OP_silu), 1);
    end(f);
    f = begin(TWO_INPUTS
              "%2 = silu %0\n%3 = mul %2, %1\nreturn %3, %2\n"); /* an output is a user */
    CU_ASSERT_EQUAL(rw_apply(f->g, SILU_TIMES, 1), 0);
    end(f);
}

static ir_op *copy_linear(ir_graph *g, const rw_match *m) {
    return ir_add(g, OP_linear, 2, (ir_op *[]){m->var[X], m->var[Y]}, 0, NULL);
}

static const rw_rule WEIGHT[] = {{"matmul(x, cast(w)) -> linear(x, w)",
                                  MATCH(matmul, VAR(X), MATCH(cast, VAR(Y))), copy_linear}};
static const rw_rule BARE_ACT[] = {{"act(x) -> x", MATCH(act, VAR(X)), take_x}};

static void test_shared_constant(void) {
    fixture *f = begin("%0 = input {role=\"a\"} : f32[T,8]\n"
                       "%1 = weight \"w\" {seed=1} : f32[4,8]\n"
                       "%2 = cast %1 {to=bf16}\n"
                       "%3 = matmul %0, %2\n"
                       "%4 = matmul %0, %2\n"
                       "%5 = add %3, %4\n"
                       "return %5\n");
    CU_ASSERT_EQUAL(rw_apply(f->g, WEIGHT, 1), 2);
    CU_ASSERT_EQUAL(count_kind(f->g, OP_cast), 0); /* went with its last user */
    CU_ASSERT_EQUAL(count_kind(f->g, OP_weight), 1);
    end(f);
}

static void test_operand_count(void) {
    fixture *f = begin("%0 = input {role=\"a\"} : f32[T,8]\n"
                       "%1 = weight \"n\" {seed=1} : f32[8]\n"
                       "%2 = weight \"w\" {seed=2} : f32[4,8]\n"
                       "%3 = act %0, %1 {act=f32, eps=1e-05}\n"
                       "%4 = linear %3, %2\n"
                       "return %4\n");
    CU_ASSERT_EQUAL(rw_apply(f->g, BARE_ACT, 1), 0);
    end(f);
}

/* build turns the first operand order down and takes the second. */
static void test_declines(void) {
    fixture *f = begin(TWO_INPUTS "%2 = scale %0 {by=2}\n%3 = add %2, %1\nreturn %3\n");
    CU_ASSERT_EQUAL(rw_apply(f->g, DECLINES, 1), 1);
    CU_ASSERT_EQUAL(f->g->out[0]->kind, OP_scale);
    end(f);
    f = begin(TWO_INPUTS "%2 = add %0, %1\nreturn %2\n");
    CU_ASSERT_EQUAL(rw_apply(f->g, DECLINES, 1), 0);
    end(f);
}

static void test_until_done(void) {
    fixture *f = begin("%0 = input {role=\"a\"} : f32[T,8]\n"
                       "%1 = silu %0\n%2 = silu %1\n%3 = silu %2\n%4 = silu %3\nreturn %4\n");
    CU_ASSERT_EQUAL(rw_apply(f->g, SILU_OF_SILU, 1), 3);
    CU_ASSERT_EQUAL(count_kind(f->g, OP_silu), 1);
    end(f);
}

static void test_erase(void) {
    fixture *f = begin(TWO_INPUTS "%2 = silu %0\n%3 = mul %2, %2\n%4 = add %3, %1\nreturn %1\n");
    rw_erase(f->g, f->g->last);
    CU_ASSERT_EQUAL(ir_count(f->g), 2); /* inputs stay */
    end(f);
}

static void test_constants_first(void) {
    fixture *f = begin("%0 = input {role=\"a\"} : f32[T,8]\n"
                       "%1 = silu %0\n"
                       "%2 = weight \"w\" {seed=1} : f32[8,8]\n"
                       "%3 = cast %2 {to=bf16}\n"
                       "%4 = matmul %1, %3\n"
                       "%5 = weight \"v\" {seed=2} : f32[8,8]\n"
                       "%6 = matmul %4, %5\n"
                       "return %6\n");
    rw_constants_first(f->g);
    static const uint32_t ORDER[] = {0, 2, 3, 5, 1, 4, 6};
    const ir_op *op = f->g->first;
    for (size_t i = 0; i < COUNT_OF(ORDER); i++, op = op->next) CU_ASSERT_EQUAL(op->id, ORDER[i]);
    CU_ASSERT_PTR_NULL(op);
    CU_ASSERT_EQUAL(rw_first_computed(f->g)->id, 1);
    CU_ASSERT_EQUAL(f->g->last->id, 6);
    end(f);
}

static void test_index(void) {
    fixture *f = begin(TWO_INPUTS "%2 = mul %0, %0\n%3 = add %0, %1\nreturn %2, %3\n");
    rw_index(f->g, f->mem);
    const rw_info *a = rw_info_of(f->g->first), *last = rw_info_of(f->g->last);
    CU_ASSERT_EQUAL_FATAL(a->n_users, 3);
    CU_ASSERT_EQUAL(a->user[0]->id, 2);
    CU_ASSERT_EQUAL(a->user[1]->id, 2);
    CU_ASSERT_EQUAL(a->user[2]->id, 3);
    CU_ASSERT_EQUAL(last->index, 3);
    CU_ASSERT_EQUAL(last->n_users, 0);
    end(f);
}

UNIT_MAIN("rewrite", {"commutative ops match in both orders", test_commutes},
          {"a variable used twice binds one value", test_same_value},
          {"an inner op with other users does not match, unless shared", test_other_users},
          {"an inner constant may have other users", test_shared_constant},
          {"a pattern names all operands", test_operand_count},
          {"a rule can decline", test_declines},
          {"rules apply until none matches", test_until_done},
          {"erasing takes dead operands along", test_erase},
          {"constants move to the front in order", test_constants_first},
          {"index lists users in order", test_index})
