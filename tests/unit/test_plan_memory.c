/* test_plan_memory.c - places in the arena: sound, small, aligned; and the checker sees what is not
 * sound. */
#include "passes/pass.h"

#include "tests/support/random_graph.h"
#include "tests/support/tiny_phi.h"
#include "unit.h"

typedef struct planned {
    arena *mem;
    diag d;
    ir_graph *g;
    pass_options options;
    uint64_t arena_bytes;
    bool ok;
} planned;

static planned *plan(ir_graph *g, arena *mem, diag *d, const char *quant, uint32_t disabled,
                     int64_t T) {
    planned *p = arena_new(mem, planned);
    *p = (planned){.mem = mem, .d = {.mem = mem}, .g = g, .options = pass_default_options()};
    CU_ASSERT_PTR_NOT_NULL_FATAL(g);
    bool is_auto;
    CU_ASSERT_FATAL(scheme_parse(str_of(quant), &p->options.scheme, &is_auto));
    if (is_auto) p->options.scheme = scheme_auto(g);
    p->options.disabled = disabled;
    p->options.max_tokens = T;
    p->options.max_rows = T > 4 ? 4 : T;
    arena *scratch = arena_open();
    pass_ctx px = {.diag = d, .mem = mem, .scratch = scratch, .options = &p->options};
    p->ok = pass_run_all(g, &px, HAS_DENSE_OPS);
    p->arena_bytes = px.arena_bytes;
    arena_close(scratch);
    return p;
}

static bool is_sound(const planned *p) {
    arena *scratch = arena_open();
    const ir_op *a = NULL, *b = NULL;
    const bool ok =
        pass_plan_is_sound(p->g, p->options.max_tokens, p->options.max_rows, scratch, &a, &b);
    CU_ASSERT_EQUAL(ok, !a && !b);
    arena_close(scratch);
    return ok;
}

static int64_t bytes_of(const planned *p, const ir_op *op) {
    return ir_type_bytes(&op->type, p->options.max_tokens, p->options.max_rows);
}

/* Aligned, inside the arena, and only what belongs there. */
static void check_places(const planned *p) {
    uint64_t end = 0;
    for (const ir_op *op = p->g->first; op; op = op->next) {
        const ir_attr *at = ir_find_attr(op, ATTR_at);
        CU_ASSERT_EQUAL(at != NULL, pass_in_arena(p->g, op));
        if (!at) continue;
        CU_ASSERT_EQUAL(at->i64 % 64, 0);
        const uint64_t op_end = (uint64_t)(at->i64 + bytes_of(p, op));
        if (op_end > end) end = op_end;
    }
    CU_ASSERT(end <= p->arena_bytes && p->arena_bytes < end + 64);
    CU_ASSERT_PTR_NULL(ir_find_attr(p->g->out[0], ATTR_at)); /* the caller's buffer */
}

static void test_models(void) {
    static const char *const SCHEMES[] = {"auto", "f32", "w4a16-g16"};
    for (int i = 0; i < 3; i++)
        for (uint32_t off = 0; off < 2 + PASS_COUNT; off++) {
            if (off >= 2 && !pass_table[off - 2].optional) continue;
            uint32_t all = 0;
            for (pass_id id = 0; id < PASS_COUNT; id++)
                all |= (uint32_t)pass_table[id].optional << id;
            arena *mem = arena_open();
            diag d = {.mem = mem};
            tiny_phi t = tiny_phi_default();
            t.unfused = off % 2;
            t.ffn = 67;
            const planned *p = plan(tiny_phi_build(&t, mem, &d), mem, &d, SCHEMES[i],
                                    off == 0   ? 0
                                    : off == 1 ? all
                                               : 1u << (off - 2),
                                    7);
            CU_ASSERT_FATAL(p->ok);
            CU_ASSERT(is_sound(p));
            check_places(p);
            arena_close(mem);
        }
}

static void test_random_graphs(void) {
    for (uint64_t seed = 0; seed < 60; seed++) {
        arena *mem = arena_open();
        diag d = {.mem = mem};
        const random_graph r = random_graph_make(seed, mem, &d);
        uint32_t off = 0;
        for (pass_id id = 0; id < PASS_COUNT; id++)
            off |= (uint32_t)(pass_table[id].optional && seed >> id & 1) << id;
        const planned *p = plan(r.g, mem, &d, "auto", off, 1 + (int64_t)(seed % 9));
        CU_ASSERT_FATAL(p->ok);
        CU_ASSERT(is_sound(p));
        check_places(p);
        arena_close(mem);
    }
}

static ir_op *op_number(const planned *p, op_kind kind, int n) {
    for (ir_op *op = p->g->first; op; op = op->next)
        if (op->kind == kind && n-- == 0) return op;
    return NULL;
}

static int64_t place(const ir_op *op) { return ir_i64(op, ATTR_at); }

static planned *plan_tiny(arena *mem, diag *d, uint32_t disabled) {
    const tiny_phi t = tiny_phi_default();
    return plan(tiny_phi_build(&t, mem, d), mem, d, "auto", disabled, 8);
}

/* The residual stream stays where embed put it, through all layers. */
static void test_in_place(void) {
    arena *mem = arena_open();
    diag d = {.mem = mem};
    const planned *p = plan_tiny(mem, &d, 0);
    const int64_t home = place(op_number(p, OP_embed, 0));
    int n = 0;
    for (const ir_op *op = p->g->first; op; op = op->next) {
        if (op->kind != OP_linear || op->n_in != 3) continue;
        CU_ASSERT_EQUAL(place(op), home);
        n++;
    }
    CU_ASSERT_EQUAL(n, 4);
    arena_close(mem);
}

/* A layer's values need no more than its widest moment, whatever the number of layers. */
static void test_reuse(void) {
    uint64_t bytes[2];
    for (int i = 0; i < 2; i++) {
        arena *mem = arena_open();
        diag d = {.mem = mem};
        tiny_phi t = tiny_phi_default();
        t.layers = i ? 12 : 1;
        const planned *p = plan(tiny_phi_build(&t, mem, &d), mem, &d, "f32", 0, 8);
        bytes[i] = p->arena_bytes;
        arena_close(mem);
    }
    CU_ASSERT_EQUAL(bytes[0], bytes[1]);
    /* residual stream, and q with attention's result, or act with swiglu's result */
    CU_ASSERT(bytes[0] <= 8 * 4 * (64 + 64 + 96));
}

/* An arena grows with the tokens of a step, and what does not fit is refused. */
static void test_too_large(void) {
    arena *mem = arena_open();
    diag d = {.mem = mem};
    const tiny_phi t = tiny_phi_default();
    const planned *p = plan(tiny_phi_build(&t, mem, &d), mem, &d, "f32", 0, (int64_t)1 << 40);
    CU_ASSERT_FALSE(p->ok);
    CU_ASSERT_EQUAL(d.first->code, DIAG_PASS_ARENA);
    CU_ASSERT_EQUAL(diag_exit_status(&d), EXIT_USAGE);
    arena_close(mem);
}

static void move(planned *p, ir_op *op, const ir_op *to) {
    ir_set_attr(p->g, op, IR_I64(at, place(to)));
}

/* The checker finds each kind of clash, made by hand. */
static void test_checker(void) {
    for (int i = 0; i < 4; i++) {
        arena *mem = arena_open();
        diag d = {.mem = mem};
        uint32_t off = 1u << PASS_fuse_rope;
        if (i == 3) off |= 1u << PASS_fuse_epilogue;
        planned *p = plan_tiny(mem, &d, off);
        CU_ASSERT(is_sound(p));
        ir_op *const stream = op_number(p, OP_embed, 0), *const slice_q = op_number(p, OP_slice, 0);
        ir_op *const slice_k = op_number(p, OP_slice, 1), *const rope_k = op_number(p, OP_rope, 1);
        CU_ASSERT_FATAL(stream && slice_q && slice_k && rope_k);
        if (i == 0) move(p, slice_q, stream);  /* still read by the add */
        if (i == 1) move(p, slice_k, slice_q); /* both written at the same time */
        if (i == 2) move(p, rope_k, slice_q);  /* rope of q may still read there */
        if (i == 3)
            move(p, op_number(p, OP_add, 0), op_number(p, OP_linear, 1)); /* add is not in place */
        CU_ASSERT_FALSE(is_sound(p));
        arena_close(mem);
    }
}

/* A linear may not write over its own input, even where that is its residual too. */
static void test_own_input(void) {
    static const char TEXT[] = "%0 = input {role=\"ids\"} : i32[T]\n"
                               "%1 = weight \"e\" {seed=1} : f32[9,16]\n"
                               "%2 = weight \"w\" {seed=2} : f32[16,16]\n"
                               "%3 = embed %1, %0\n"
                               "%4 = matmul %3, %2\n"
                               "%5 = add %4, %3\n"
                               "%6 = matmul %5, %2\n"
                               "return %6\n";
    arena *mem = arena_open();
    diag d = {.mem = mem};
    planned *p = plan(ir_parse(str_of(TEXT), "test", mem, &d), mem, &d, "f32", 0, 8);
    CU_ASSERT_FATAL(p->ok);
    ir_op *const x = op_number(p, OP_embed, 0), *const sum = op_number(p, OP_linear, 0);
    CU_ASSERT_PTR_EQUAL_FATAL(sum->in[0], x); /* act was dropped */
    CU_ASSERT_PTR_EQUAL_FATAL(sum->in[2], x);
    CU_ASSERT(place(sum) != place(x));
    CU_ASSERT(is_sound(p));
    move(p, sum, x);
    CU_ASSERT_FALSE(is_sound(p));
    arena_close(mem);
}

/* Other outputs are kept to the end of the step. */
static void test_outputs_live(void) {
    static const char TEXT[] = "%0 = input {role=\"ids\"} : i32[T]\n"
                               "%1 = weight \"e\" {seed=1} : f32[9,16]\n"
                               "%2 = embed %1, %0\n"
                               "%3 = silu %2\n%4 = silu %3\n%5 = silu %4\n%6 = silu %5\n"
                               "return %6, %3\n";
    arena *mem = arena_open();
    diag d = {.mem = mem};
    planned *p = plan(ir_parse(str_of(TEXT), "test", mem, &d), mem, &d, "f32", 0, 8);
    CU_ASSERT_FATAL(p->ok);
    ir_op *const kept = p->g->out[1];
    CU_ASSERT(is_sound(p));
    for (ir_op *op = kept->next; op != p->g->out[0]; op = op->next) {
        CU_ASSERT(place(op) != place(kept));
    }
    move(p, p->g->out[0]->in[0], kept);
    CU_ASSERT_FALSE(is_sound(p));
    arena_close(mem);
}

UNIT_MAIN("plan_memory", {"models, with passes on and off", test_models},
          {"random graphs", test_random_graphs},
          {"the residual stream stays in place", test_in_place},
          {"layers reuse the arena", test_reuse}, {"a step that is too large", test_too_large},
          {"the checker finds clashes", test_checker},
          {"no result over its own input", test_own_input},
          {"other outputs live to the end", test_outputs_live})
