/* test_pipeline.c - what the pipeline promises of a whole model: order, options, contracts, the
 * launches that are left. */
#include "passes/pass.h"

#include "tests/support/tiny_phi.h"
#include "unit.h"

typedef struct fixture {
    arena *mem, *scratch;
    diag d;
    ir_graph *g;
    pass_options options;
    pass_ctx px;
} fixture;

static fixture *begin(const tiny_phi *p, const char *quant) {
    arena *mem = arena_open();
    fixture *f = arena_new(mem, fixture);
    f->mem = mem;
    f->scratch = arena_open();
    f->d.mem = mem;
    f->g = tiny_phi_build(p, mem, &f->d);
    CU_ASSERT_PTR_NOT_NULL_FATAL(f->g);
    f->options = pass_default_options();
    f->options.max_tokens = f->options.max_rows = 8;
    bool is_auto;
    CU_ASSERT_FATAL(scheme_parse(str_of(quant), &f->options.scheme, &is_auto));
    if (is_auto) f->options.scheme = scheme_auto(f->g);
    f->px = (pass_ctx){.diag = &f->d, .mem = mem, .scratch = f->scratch, .options = &f->options};
    return f;
}

static void end(fixture *f) {
    arena_close(f->scratch);
    arena_close(f->mem);
}

static bool run(fixture *f) {
    const bool ok = pass_run_all(f->g, &f->px, HAS_DENSE_OPS);
    if (ok) CU_ASSERT(ir_verify(f->g));
    return ok;
}

/* Kernel of each launch, in order, separated by spaces. */
static const char *launches(fixture *f) {
    text t = {.mem = f->mem};
    text_cat(&t, "");
    for (const ir_op *op = f->g->first; op; op = op->next) {
        if (!pass_op_runs(op)) continue;
        text_printf(&t, "%s%s", t.buf.n ? " " : "", ir_str_or(op, ATTR_kernel, "?"));
        if (op->kind != OP_linear) continue;
        const char *epilogue = ir_str_or(op, ATTR_epilogue, "none");
        if (strcmp(epilogue, "none") != 0) text_printf(&t, "+%s", epilogue);
    }
    return t.buf.at;
}

static const char *printed(fixture *f) {
    text t = {.mem = f->mem};
    ir_print(f->g, &t);
    return t.buf.at;
}

static tiny_phi one_layer(ir_dtype weight) {
    tiny_phi p = tiny_phi_default();
    p.layers = 1;
    p.weight = weight;
    p.group = weight == DT_i4 ? 32 : 0;
    if (weight != DT_f32) p.head = p.embed = DT_bf16;
    return p;
}

static void test_find(void) {
    pass_id id;
    CU_ASSERT(pass_find(STR("fuse-qkv"), &id) && id == PASS_fuse_qkv);
    CU_ASSERT(pass_find(STR("fuse_dequant_gemm"), &id) && id == PASS_fuse_dequant_gemm);
    CU_ASSERT_FALSE(pass_find(STR("fuse"), &id));
    CU_ASSERT_FALSE(pass_find(STR("fuse-qkvx"), &id));
    CU_ASSERT_FALSE(pass_find(STR(""), &id));
    CU_ASSERT_FALSE(pass_find(STR("plan memory"), &id));
    for (pass_id p = 0; p < PASS_COUNT; p++)
        CU_ASSERT(pass_find(str_of(pass_table[p].name), &id) && id == p);
}

static void check_launches(const tiny_phi *p, const char *quant, const char *want) {
    fixture *f = begin(p, quant);
    CU_ASSERT(run(f));
    CU_ASSERT_STRING_EQUAL(launches(f), want);
    if (strcmp(launches(f), want) != 0) printf("\n%s\n", launches(f));
    CU_ASSERT_EQUAL(f->d.n_warnings, 0);
    CU_ASSERT_EQUAL(pass_facts(f->g) &
                        (HAS_LINEAR | HAS_ATTENTION | HAS_LAYOUTS | HAS_KERNELS | HAS_PLAN),
                    HAS_LINEAR | HAS_ATTENTION | HAS_LAYOUTS | HAS_KERNELS | HAS_PLAN);
    end(f);
}

/* Every op that is left is one launch, and these are all. */
static void test_launches(void) {
    static const char I4[] =
        "embed act_i16 linear_i4+rope_kv attention act_i16 linear_i4+add act_i16 "
        "linear_i4+swiglu act_i16 linear_i4+add select_rows act_bf16 linear_bf16";
    static const char BF16[] =
        "embed act_bf16 linear_bf16+rope_kv attention act_bf16 linear_bf16+add "
        "act_bf16 linear_bf16+swiglu act_bf16 linear_bf16+add select_rows "
        "act_bf16 linear_bf16";
    static const char F32[] = "embed act_f32 linear_f32+rope_kv attention linear_f32+add act_f32 "
                              "linear_f32+swiglu linear_f32+add select_rows act_f32 linear_f32";
    for (int unfused = 0; unfused < 2; unfused++) {
        tiny_phi p = one_layer(DT_i4);
        p.unfused = unfused;
        p.zeros = true;
        check_launches(&p, "auto", I4);
        check_launches(&p, "w4a16-g32", I4);
        check_launches(&p, "f32", F32);
        p.perm = p.one_order = true;
        check_launches(&p, "auto", I4);
        p = one_layer(DT_bf16);
        p.unfused = unfused;
        check_launches(&p, "auto", BF16);
        check_launches(&p, "w4a16-g16", I4);
        check_launches(&p, "f32", F32);
    }
}

/* Forty layers: the launches of a layer repeat. */
static void test_layers(void) {
    tiny_phi p = one_layer(DT_f32);
    p.layers = 40;
    fixture *f = begin(&p, "f32");
    CU_ASSERT(run(f));
    int n = 0;
    for (const ir_op *op = f->g->first; op; op = op->next) n += pass_op_runs(op);
    CU_ASSERT_EQUAL(n, 40 * 7 + 4);
    end(f);
}

/* With unlike g_idx nothing can be joined, and each matrix has its own activations. */
static void test_unlike_orders(void) {
    tiny_phi p = one_layer(DT_i4);
    p.unfused = p.perm = true;
    fixture *f = begin(&p, "auto");
    CU_ASSERT(run(f));
    CU_ASSERT_PTR_NOT_NULL(strstr(launches(f),
                                  "act_i16 linear_i4 act_i16 linear_i4 act_i16 linear_i4 "
                                  "rope rope kv_append attention"));
    CU_ASSERT(f->d.n_warnings > 0); /* silu and mul in loop nests, said aloud */
    end(f);
}

static void test_disable(void) {
    const tiny_phi p = one_layer(DT_f32);
    fixture *plain = begin(&p, "f32");
    CU_ASSERT(run(plain));
    for (pass_id id = 0; id < PASS_COUNT; id++) {
        fixture *f = begin(&p, "f32");
        f->options.disabled = 1u << id;
        const bool ok = run(f);
        CU_ASSERT_EQUAL(ok, pass_table[id].optional);
        if (!ok) CU_ASSERT_EQUAL(f->d.first->code, DIAG_PASS_MANDATORY);
        if (!ok) CU_ASSERT_EQUAL(diag_exit_status(&f->d), EXIT_USAGE);
        /* simplify and fuse-qkv have nothing to do in this graph */
        if (ok && id != PASS_simplify && id != PASS_fuse_qkv)
            CU_ASSERT_STRING_NOT_EQUAL(launches(f), launches(plain));
        CU_ASSERT_EQUAL(f->d.n_warnings, 0); /* left out on purpose */
        end(f);
    }
    end(plain);
}

/* limit n runs the first n passes that may be left out. */
static void test_limit(void) {
    tiny_phi p = one_layer(DT_f32);
    p.unfused = true;
    int n_optional = 0;
    uint32_t off = 0;
    for (pass_id id = 0; id < PASS_COUNT; id++) off |= (uint32_t)pass_table[id].optional << id;
    for (pass_id id = 0; id < PASS_COUNT; id++) {
        if (!pass_table[id].optional) continue;
        fixture *a = begin(&p, "f32"), *b = begin(&p, "f32");
        a->options.limit = n_optional++;
        b->options.disabled = off;
        CU_ASSERT(run(a) && run(b));
        CU_ASSERT_STRING_EQUAL(printed(a), printed(b));
        end(a);
        end(b);
        off &= ~(1u << id);
    }
    CU_ASSERT_EQUAL(n_optional, 5);
}

static void test_stop(void) {
    const tiny_phi p = one_layer(DT_f32);
    fixture *f = begin(&p, "f32");
    f->options.stop_after = PASS_fuse_attention;
    CU_ASSERT(run(f));
    const unsigned facts = pass_facts(f->g);
    CU_ASSERT(facts & HAS_ATTENTION);
    CU_ASSERT_FALSE(facts & HAS_LAYOUTS);
    end(f);
}

static void test_print_after(void) {
    const tiny_phi p = one_layer(DT_f32);
    fixture *f = begin(&p, "f32");
    char *at = NULL;
    size_t n = 0;
    f->options.print_out = open_memstream(&at, &n);
    f->options.print_after = 1u << PASS_fuse_norm | 1u << PASS_plan_memory;
    CU_ASSERT(run(f));
    fclose(f->options.print_out);
    CU_ASSERT(str_starts(str_of(at), "; after fuse-norm\n"));
    const char *second = strstr(at, "; after plan-memory\n");
    CU_ASSERT_PTR_NOT_NULL_FATAL(second);
    CU_ASSERT_STRING_EQUAL(second + strlen("; after plan-memory\n"), printed(f));
    free(at);
    end(f);
}

static void test_list_order(void) {
    const tiny_phi p = one_layer(DT_f32);
    fixture *f = begin(&p, "f32");
    CU_ASSERT_FALSE(pass_run_list(f->g, &f->px, (pass_id[]){PASS_simplify, PASS_fuse_norm}, 2));
    CU_ASSERT_EQUAL(f->d.first->code, DIAG_PASS_ORDER);
    CU_ASSERT_EQUAL(diag_exit_status(&f->d), EXIT_USAGE);
    CU_ASSERT_PTR_NOT_NULL(strstr(f->d.first->text, "fuse-norm needs a linear op"));
    diag_clear(&f->d);
    CU_ASSERT(pass_run_list(f->g, &f->px, (pass_id[]){PASS_fuse_dequant_gemm, PASS_fuse_norm}, 2));
    CU_ASSERT_EQUAL(f->px.n_changed, 3);
    end(f);
}

/* The facts are what the flags say, one op at a time. */
static void test_facts(void) {
    static const struct {
        const char *text;
        unsigned missing;
    } CASES[] = {
        {"%0 = input {role=\"x\"} : f32[T,8]\nreturn %0\n", 0},
        {"%0 = input {role=\"x\"} : f32[T,8]\n%1 = silu %0\nreturn %1\n", HAS_KERNELS},
        {"%0 = input {role=\"x\"} : f32[T,8]\n%1 = silu %0 {kernel=\"elementwise\"}\nreturn %1\n",
         0},
        {"%0 = input {role=\"x\"} : f32[T,8]\n%1 = silu %0 {kernel=\"elementwise\"}\n"
         "%2 = silu %1 {kernel=\"elementwise\"}\nreturn %2\n",
         HAS_PLAN},
        {"%0 = input {role=\"x\"} : f32[T,8]\n%1 = weight {seed=1} : f32[4,8]\n%2 = matmul %0, "
         "%1\nreturn %2\n",
         HAS_LINEAR | HAS_KERNELS},
        {"%0 = input {role=\"x\"} : f32[T,8]\n%1 = weight {seed=1} : f32[4,8]\n%2 = linear %0, "
         "%1\nreturn %2\n",
         HAS_DENSE_OPS | HAS_LAYOUTS | HAS_KERNELS},
    };
    const unsigned all =
        HAS_DENSE_OPS | HAS_LINEAR | HAS_ATTENTION | HAS_LAYOUTS | HAS_KERNELS | HAS_PLAN;
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        arena *mem = arena_open();
        diag d = {.mem = mem};
        const ir_graph *g = ir_parse(str_of(CASES[i].text), "test", mem, &d);
        CU_ASSERT_PTR_NOT_NULL_FATAL(g);
        CU_ASSERT_EQUAL(pass_facts(g), all & ~CASES[i].missing);
        arena_close(mem);
    }
}

/* Same graph, same options: same text. */
static void test_repeats(void) {
    tiny_phi p = one_layer(DT_i4);
    p.perm = p.unfused = true;
    fixture *a = begin(&p, "auto"), *b = begin(&p, "auto");
    CU_ASSERT(run(a) && run(b));
    CU_ASSERT_STRING_EQUAL(printed(a), printed(b));
    end(a);
    end(b);
}

UNIT_MAIN("pipeline", {"passes are found by name", test_find},
          {"a model becomes these launches", test_launches}, {"of every layer", test_layers},
          {"unlike column orders stay apart", test_unlike_orders},
          {"optional passes can be left out, others not", test_disable},
          {"a limit leaves out the rest", test_limit}, {"stop-after stops", test_stop},
          {"print-after prints", test_print_after},
          {"a list in a wrong order is refused", test_list_order}, {"facts of a graph", test_facts},
          {"the result is the same every time", test_repeats})
