/* Lists of ops: adding, replacing, erasing, use counts, attributes. */
#include <string.h>

#include "ir/ir.h"
#include "tests/unit/unit.h"

typedef struct bench {
    arena *mem;
    diag d;
    ir_graph *g;
} bench;

static bench *open_bench(void) {
    arena *mem = arena_open();
    bench *b = arena_new(mem, bench);
    b->mem = b->d.mem = mem;
    b->g = ir_new(mem, &b->d, "test");
    return b;
}

static ir_op *plain_input(bench *b, const char *role) {
    return ir_add_input(b->g, role, IR_TYPE(DT_f32, DIM_T, 8));
}

static ir_op *unary(bench *b, op_kind kind, ir_op *x) { return ir_add(b->g, kind, 1, &x, 0, NULL); }

static ir_op *binary(bench *b, op_kind kind, ir_op *x, ir_op *y) {
    return ir_add(b->g, kind, 2, (ir_op *[]){x, y}, 0, NULL);
}

/* Ids in list order, as a string of letters a, b, ... */
static const char *order_of(bench *b) {
    text t = {.mem = b->mem};
    const ir_op *before = NULL;
    for (const ir_op *op = b->g->first; op; before = op, op = op->next) {
        CU_ASSERT(op->prev == before);
        text_putc(&t, (char)('a' + op->id));
    }
    CU_ASSERT(b->g->last == before);
    return t.buf.at;
}

static void test_add(void) {
    bench *b = open_bench();
    ir_op *x = plain_input(b, "x"), *y = unary(b, OP_silu, x), *z = binary(b, OP_add, x, y);
    ir_add_output(b->g, z);
    ir_add_output(b->g, y);
    CU_ASSERT(x->n_use == 2 && y->n_use == 2 && z->n_use == 1);
    CU_ASSERT(x->id == 0 && y->id == 1 && z->id == 2 && ir_count(b->g) == 3);
    CU_ASSERT(z->type.dtype == DT_f32 && z->type.rank == 2 && z->type.dim[0] == DIM_T &&
              z->type.dim[1] == 8);
    CU_ASSERT(x->graph == b->g && z->in[0] == x && z->in[1] == y);
    b->g->at = y; /* before y */
    unary(b, OP_silu, x);
    unary(b, OP_silu, x);
    b->g->at = NULL;
    unary(b, OP_silu, z);
    CU_ASSERT_STRING_EQUAL(order_of(b), "adebcf");
    CU_ASSERT(ir_verify(b->g));
    arena_close(b->mem);
}

/* A mistake is reported once; what is built on it is NULL without another message. */
static void test_add_refused(void) {
    bench *b = open_bench();
    ir_op *x = plain_input(b, "x"),
          *w = ir_add_weight(b->g, "w", IR_TYPE(DT_f32, 5, 9), (ir_source){.kind = SOURCE_seed});
    ir_op *bad = binary(b, OP_matmul, x, w);
    CU_ASSERT(!bad && b->d.n_errors == 1 && b->d.first->code == DIAG_IR_TYPE);
    CU_ASSERT(!unary(b, OP_silu, bad) && b->d.n_errors == 1);
    ir_add_output(b->g, bad);
    CU_ASSERT(b->g->n_out == 0 && ir_count(b->g) == 2 && x->n_use == 0 && b->g->next_id == 2);
    CU_ASSERT(strstr(b->d.first->text, "test: in '%2 = matmul': operand 2 has 9 columns, want 8") !=
              NULL);
    CU_ASSERT(!ir_add(b->g, OP_input, 0, NULL, 0, NULL)); /* needs a type: ir_add_input */
    arena_close(b->mem);
}

static void test_replace(void) {
    bench *b = open_bench();
    ir_op *x = plain_input(b, "x"), *y = unary(b, OP_silu, x), *z = binary(b, OP_mul, y, y);
    ir_add_output(b->g, y);
    ir_op *w = plain_input(b, "w");
    b->g->at = z;
    ir_op *y2 = binary(b, OP_add, y, x); /* reads what it replaces */
    ir_replace(b->g, y, y2);
    CU_ASSERT(z->in[0] == y2 && z->in[1] == y2 && b->g->out[0] == y2 && y2->in[0] == y);
    CU_ASSERT(y->n_use == 1 && y2->n_use == 3 && x->n_use == 2);
    ir_replace(b->g, y2, y2);
    CU_ASSERT(y2->n_use == 3);
    CU_ASSERT(ir_verify(b->g));
    ir_set_in(z, 1, y);
    CU_ASSERT(z->in[1] == y && y->n_use == 2 && y2->n_use == 2 && w->n_use == 0);
    CU_ASSERT(ir_verify(b->g));
    arena_close(b->mem);
}

static void test_erase(void) {
    bench *b = open_bench();
    ir_op *x = plain_input(b, "x"), *a = unary(b, OP_silu, x), *c = unary(b, OP_silu, a),
          *d = binary(b, OP_add, c, a);
    ir_op *keep = unary(b, OP_silu, x);
    ir_add_output(b->g, keep);
    b->g->at = d;
    ir_erase(b->g, d);
    CU_ASSERT(b->g->at == keep && a->n_use == 1 &&
              c->n_use == 0); /* the place to insert moves on */
    CU_ASSERT_STRING_EQUAL(order_of(b), "abce");
    plain_input(b, "unused");
    CU_ASSERT_EQUAL(ir_erase_dead(b->g), 2); /* c, then a; inputs stay */
    CU_ASSERT_STRING_EQUAL(order_of(b), "afe");
    CU_ASSERT(x->n_use == 1 && ir_verify(b->g));
    arena_close(b->mem);
}

static void test_attrs(void) {
    bench *b = open_bench();
    char role[] = "x";
    double factors[] = {1, 2};
    ir_op *x = plain_input(b, role);
    role[0] = 'y'; /* was copied */
    CU_ASSERT_STRING_EQUAL(ir_str(x, ATTR_role), "x");
    ir_op *table = ir_add_rope_table(b->g, 16, 3,
                                     (ir_attr[]){IR_F64(theta, 10),
                                                 IR_I64(rot, 4),
                                                 {.key = ATTR_factors, .f64s = {factors, 2}}});
    factors[1] = 9;
    CU_ASSERT(ir_find_attr(table, ATTR_factors)->f64s.at[1] == 2);
    CU_ASSERT(table->type.dim[0] == 16 && table->type.dim[1] == 4);
    CU_ASSERT(ir_i64(table, ATTR_rot) == 4 && ir_f64(table, ATTR_theta) == 10);
    CU_ASSERT(!ir_find_attr(table, ATTR_by) && ir_i64_or(table, ATTR_heads, -7) == -7);
    CU_ASSERT_STRING_EQUAL(ir_str_or(table, ATTR_kernel, "none"), "none");
    ir_set_attr(b->g, table, IR_STR(kernel, role));
    role[0] = 'z';
    ir_set_attr(b->g, table, IR_I64(at, 64));
    ir_set_attr(b->g, table, IR_F64(theta, 20));
    CU_ASSERT(table->n_attrs == 5 && ir_f64(table, ATTR_theta) == 20 &&
              ir_i64(table, ATTR_at) == 64);
    CU_ASSERT_STRING_EQUAL(ir_str(table, ATTR_kernel), "y");
    CU_ASSERT(ir_verify(b->g)); /* kernel and at may stand on any op */
    arena_close(b->mem);
}

static void test_const_depth(void) {
    bench *b = open_bench();
    const ir_source seed = {.kind = SOURCE_seed};
    ir_op *w = ir_add_weight(b->g, "w", IR_TYPE(DT_f32, 4, 8), seed), *x = plain_input(b, "x");
    ir_op *c = w;
    for (int i = 1; i < IR_MAX_DEPTH; i++) {
        c = ir_add(b->g, OP_cast, 1, &c, 1, &IR_I64(to, DT_bf16));
        CU_ASSERT_FATAL(c && c->const_depth == i + 1);
    }
    CU_ASSERT(w->const_depth == 1 && x->const_depth == 0);
    CU_ASSERT(ir_is_const(w) && ir_is_const(c) && !ir_is_const(x));
    CU_ASSERT(!ir_add(b->g, OP_cast, 1, &c, 1, &IR_I64(to, DT_bf16)));
    CU_ASSERT(b->d.first->code == DIAG_IR_LIMIT);
    /* longer by replacing: the depths behind follow, and the verifier sees it */
    b->g->at = w->next;
    ir_op *more = ir_add(b->g, OP_cast, 1, &w, 1, &IR_I64(to, DT_f32));
    ir_replace(b->g, w, more);
    CU_ASSERT_EQUAL(c->const_depth, IR_MAX_DEPTH + 1);
    diag_clear(&b->d);
    CU_ASSERT(!ir_verify(b->g) && b->d.first->code == DIAG_IR_LIMIT);
    ir_op *y = ir_add(b->g, OP_cast, 1, &x, 1, &IR_I64(to, DT_bf16));
    CU_ASSERT(!y && b->d.last->code == DIAG_IR_OPERANDS); /* not a constant */
    arena_close(b->mem);
}

static void test_files(void) {
    bench *b = open_bench();
    char path[] = "f0";
    for (int i = 0; i < IR_MAX_FILES; i++)
        CU_ASSERT(ir_add_file(b->g, path, NULL, (uint64_t)i) == i);
    path[0] = 'g';
    CU_ASSERT_STRING_EQUAL(b->g->file[7].path, "f0");
    CU_ASSERT(b->g->file[7].n_bytes == 7 && !b->g->file[7].at);
    CU_ASSERT(ir_add_file(b->g, path, NULL, 0) == -1 && b->d.first->code == DIAG_IR_LIMIT);
    arena_close(b->mem);
}

static void test_loc(void) {
    bench *b = open_bench();
    ir_op *x = plain_input(b, "x");
    diag_loc at = ir_loc(x);
    CU_ASSERT_STRING_EQUAL(at.file, "test");
    CU_ASSERT_STRING_EQUAL(at.op, "%0 = input");
    CU_ASSERT(at.line == 0);
    arena_close(b->mem);
}

UNIT_MAIN("graph", {"add", test_add}, {"add refused", test_add_refused}, {"replace", test_replace},
          {"erase", test_erase}, {"attributes", test_attrs},
          {"depth of constants", test_const_depth}, {"files", test_files},
          {"place of an op", test_loc})
