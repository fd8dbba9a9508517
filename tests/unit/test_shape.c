/* The type that every op gives, and operands and attributes that it does not take. */
#include <string.h>

#include "ir/ir.h"
#include "tests/unit/unit.h"

/* Values of all kinds that the lines below read. */
static const char VALUES[] = "%0 = input {role=\"ids\"} : i32[T]\n"
                             "%1 = input {role=\"rows\"} : i32[R]\n"
                             "%2 = input {role=\"seqs\"} : seqs\n"
                             "%3 = input {role=\"kv\"} : bf16[2,2,6]@kv\n"
                             "%4 = input {role=\"x\"} : f32[T,24]\n"
                             "%5 = input {role=\"few\"} : f32[R,24]\n"
                             "%6 = input {role=\"k\"} : f32[T,12]\n"
                             "%7 = weight {seed=1} : f32[24]\n"
                             "%8 = weight {seed=1} : bf16[48,24]\n"
                             "%9 = weight {seed=1} : i4<g8,zp>[48,24]\n"
                             "%10 = weight {seed=1} : i4<g8,perm>[24,24]\n"
                             "%11 = rope_table {theta=10, rot=4} : f32[9,4]\n"
                             "%12 = attn_scores %4, %3, %2 {layer=0, heads=4}\n"
                             "%13 = pack %10 {layout=r16k8}\n"
                             "%14 = act %4, %13 {act=i16}\n"
                             "%15 = weight {seed=1} : f16[24]\n"
                             "%16 = weight {seed=1} : i4<g8>[24,24]\n"
                             "%17 = weight {seed=1} : f32[7,23]\n";

typedef struct shape_case {
    const char *line, *want; /* want: the type; E0405: refused with that code */
} shape_case;

static const shape_case SHAPES[] = {
    /* the boundary */
    {"input {role=\"a\"} : f32[T,3,4]", "f32[T,3,4]"},
    {"input {role=\"a\"} : bf16[T,3]", "E0407"},
    {"input {role=\"a\"} : f32[T,3,S]", "E0407"},
    {"input {role=\"ids\"} : i32[R]", "E0407"},
    {"input {role=\"rows\"} : i32[T]", "E0407"},
    {"input {role=\"seqs\"} : i32[T]", "E0407"},
    {"input {role=\"kv\"} : f32[2,2,6]", "E0407"},
    {"input : f32[T]", "E0405"},
    {"weight {seed=1} : f64[3]", "f64[3]"},
    {"weight {seed=1} : i4<g-1>[3,9]", "i4<g-1>[3,9]"},
    {"weight {seed=1} : i32[3]", "E0407"},
    {"weight {seed=1} : f32[T,3]", "E0407"},
    {"weight {seed=1} : f32[2,2,2]", "E0407"},
    {"weight {seed=1} : f32[2,2,2]@kv", "E0407"},
    {"weight {seed=1, order=\"natural\"} : f32[4,4]", "E0405"},
    {"weight {seed=1, order=\"swiglu\"} : f32[4,4]@r16k1", "f32[4,4]@r16k1"},
    {"weight {seed=1, order=\"swiglu\"} : f32[5,4]@r16k1", "E0407"},
    {"weight {seed=1, order=\"rope\"} : f32[4,4]@r16k1", "E0405"},
    {"rope_table {theta=10, rot=4, factors=[1, 2], by=2} : f32[9,4]", "f32[9,4]"},
    {"rope_table {theta=10, rot=4} : f32[9,6]", "E0407"},
    {"rope_table {theta=10, rot=3} : f32[9,3]", "E0405"},
    {"rope_table {theta=0, rot=4} : f32[9,4]", "E0405"},
    {"rope_table {rot=4} : f32[9,4]", "E0405"},
    {"rope_table {theta=10, rot=4, factors=[1]} : f32[9,4]", "E0405"},
    {"rope_table {theta=10, rot=4, factors=[1, -1]} : f32[9,4]", "E0405"},
    /* plain ops */
    {"embed %8, %0", "f32[T,24]"},
    {"embed %0, %8", "E0407"},
    {"embed %9, %0", "E0407"},
    {"embed %8, %1", "E0407"},
    {"rmsnorm %4, %7 {eps=0}", "f32[T,24]"},
    {"rmsnorm %5, %15 {eps=0}", "f32[R,24]"},
    {"rmsnorm %4, %8 {eps=0}", "E0407"},
    {"rmsnorm %4, %7", "E0405"},
    {"rmsnorm %4, %7 {eps=-1}", "E0405"},
    {"rmsnorm %6, %7 {eps=0}", "E0407"},
    {"matmul %4, %8", "f32[T,48]"},
    {"matmul %5, %8", "f32[R,48]"},
    {"matmul %6, %8", "E0407"},
    {"matmul %4, %9", "E0407"},
    {"matmul %4, %4", "E0407"},
    {"matmul %4", "E0406"},
    {"dequant %9", "f32[48,24]"},
    {"dequant %8", "E0407"},
    {"dequant %4", "E0406"},
    {"slice %4 {begin=20, size=4}", "f32[T,4]"},
    {"slice %4 {begin=20, size=5}", "E0405"},
    {"slice %4 {begin=24, size=1}", "E0405"},
    {"slice %4 {begin=-1, size=1}", "E0405"},
    {"slice %4 {begin=9223372036854775807, size=9223372036854775807}", "E0405"},
    {"slice %12 {begin=0, size=1}", "E0407"},
    {"slice %4 {begin=1}", "E0405"},
    {"rope %4, %11, %2 {heads=4, head_dim=6, rot=4}", "f32[T,24]"},
    {"rope %4, %11, %2 {heads=3, head_dim=6, rot=4}", "E0407"},
    {"rope %4, %11, %2 {heads=4, head_dim=6, rot=6}", "E0407"},
    {"rope %4, %11, %2 {heads=12, head_dim=2, rot=4}", "E0405"},
    {"rope %5, %11, %2 {heads=4, head_dim=6, rot=4}", "E0407"},
    {"rope %4, %4, %2 {heads=4, head_dim=6, rot=4}", "E0407"},
    {"rope %4, %11, %0 {heads=4, head_dim=6, rot=4}", "E0407"},
    {"kv_append %3, %6, %6, %2 {layer=1}", "bf16[2,2,6]@kv"},
    {"kv_append %3, %6, %6, %2 {layer=2}", "E0405"},
    {"kv_append %3, %6, %4, %2 {layer=1}", "E0407"},
    {"kv_append %4, %6, %6, %2 {layer=1}", "E0407"},
    {"attn_scores %4, %3, %2 {layer=1, heads=4}", "f32[T,4,S]"},
    {"attn_scores %4, %3, %2 {layer=1, heads=3}", "E0405"},
    {"attn_scores %6, %3, %2 {layer=1, heads=4}", "E0407"},
    {"attn_scores %4, %4, %2 {layer=1, heads=4}", "E0407"},
    {"scale %12 {by=2}", "f32[T,4,S]"},
    {"scale %4", "E0405"},
    {"scale %9 {by=2}", "E0407"},
    {"attn_mask %12, %2 {window=3}", "f32[T,4,S]"},
    {"attn_mask %12, %2 {window=0}", "E0405"},
    {"attn_mask %4, %2", "E0407"},
    {"softmax %12", "f32[T,4,S]"},
    {"softmax %9", "E0407"},
    {"attn_mix %12, %3, %2 {layer=0}", "f32[T,24]"},
    {"attn_mix %4, %3, %2 {layer=0}", "E0407"},
    {"attn_mix %12, %3, %2", "E0405"},
    {"silu %4", "f32[T,24]"},
    {"silu %14", "E0407"},
    {"mul %4, %4", "f32[T,24]"},
    {"mul %4, %5", "E0407"},
    {"add %4, %4", "f32[T,24]"},
    {"add %7, %15", "E0407"},
    {"select_rows %4, %1", "f32[R,24]"},
    {"select_rows %4, %0", "E0407"},
    {"select_rows %5, %1", "E0407"},
    /* functions of constants */
    {"quant %8 {to=i4, group=-1}", "i4<g-1>[48,24]"},
    {"quant %8 {to=i4, group=7}", "i4<g7>[48,24]"},
    {"quant %8 {to=i4, group=0}", "E0405"},
    {"quant %8 {to=i8, group=8}", "E0405"},
    {"quant %9 {to=i4, group=8}", "E0407"},
    {"quant %4 {to=i4, group=8}", "E0406"},
    {"cast %8 {to=f16}", "f16[48,24]"},
    {"cast %7 {to=bf16}", "bf16[24]"},
    {"cast %8 {to=i4}", "E0405"},
    {"cast %9 {to=f32}", "E0407"},
    {"concat_rows %9, %16", "i4<g8,zp>[72,24]"},
    {"concat_rows %8, %8, %8", "bf16[144,24]"},
    {"concat_rows %8, %9", "E0407"},
    {"concat_rows %16, %10", "E0407"},
    {"concat_rows %13, %13", "E0407"},
    {"concat_rows %4, %4", "E0406"},
    {"concat_rows", "E0406"},
    {"pack %8 {layout=r16k2, order=\"swiglu\"}", "bf16[48,24]@r16k2"},
    {"pack %8 {layout=r16k2, order=\"rope\", heads=4, kv_heads=2, head_dim=6, rot=4}",
     "bf16[48,24]@r16k2"},
    {"pack %8 {layout=r16k2, order=\"rope\", heads=4, kv_heads=3, head_dim=6, rot=4}", "E0405"},
    {"pack %8 {layout=r16k2, order=\"rope\", heads=6, kv_heads=1, head_dim=6, rot=8}", "E0405"},
    {"pack %8 {layout=r16k2, order=\"rope\", heads=2, kv_heads=2, head_dim=6, rot=4}", "E0407"},
    {"pack %8 {layout=r16k2, order=\"shuffled\"}", "E0405"},
    {"pack %8 {layout=r16k1}", "E0407"},
    {"pack %8 {layout=plain}", "E0405"},
    {"pack %8", "E0405"},
    {"pack %7 {layout=r16k1}", "E0407"},
    {"pack %13 {layout=r16k8}", "E0407"},
    {"pack %17 {layout=r16k1, order=\"swiglu\"}", "E0407"},
    /* fused ops */
    {"act %4 {act=bf16}", "bf16[T,24]@act"},
    {"act %5, %7 {act=f32, eps=0}", "f32[R,24]@act"},
    {"act %4, %13 {act=i16}", "i16<g8,perm>[T,24]@act"},
    {"act %4, %7, %13 {act=i16, eps=0, group=8}", "i16<g8,perm>[T,24]@act"},
    {"act %4 {act=i16, group=8}", "i16<g8>[T,24]@act"},
    {"act %4 {act=i16}", "E0407"},
    {"act %4 {act=f16}", "E0407"},
    {"act %4 {act=bf16, eps=0}", "E0405"},
    {"act %4, %7 {act=bf16}", "E0405"},
    {"act %4, %13 {act=i16, group=4}", "E0405"},
    {"act %4, %8 {act=bf16}", "E0407"},
    {"act %4, %13, %13 {act=i16}", "E0407"},
    {"act %6, %13 {act=i16}", "E0407"},
    {"linear %4, %8", "f32[T,48]"},
    {"linear %4, %9", "f32[T,48]"},
    {"linear %14, %13", "f32[T,24]"},
    {"linear %14, %16", "f32[T,24]"}, /* not packed yet */
    {"linear %4, %16, %5 {epilogue=\"add\"}", "E0407"},
    {"linear %5, %16, %5 {epilogue=\"add\"}", "f32[R,24]"},
    {"linear %4, %8 {epilogue=\"swiglu\"}", "f32[T,24]"},
    {"linear %4, %8, %4 {epilogue=\"swiglu\"}", "E0406"},
    {"linear %4, %8, %11, %2, %3 {epilogue=\"rope_kv\", layer=0, heads=4, kv_heads=2, head_dim=6, "
     "rot=4}",
     "f32[T,24]"},
    {"linear %5, %8, %11, %2, %3 {epilogue=\"rope_kv\", layer=0, heads=4, kv_heads=2, head_dim=6, "
     "rot=4}",
     "E0407"},
    {"linear %4, %8, %11, %2, %3 {epilogue=\"rope_kv\", layer=0, heads=6, kv_heads=1, head_dim=6, "
     "rot=4}",
     "E0407"},
    {"linear %4, %8, %11, %2, %3 {epilogue=\"rope_kv\", layer=5, heads=4, kv_heads=2, head_dim=6, "
     "rot=4}",
     "E0405"},
    {"linear %4, %8, %11, %2 {epilogue=\"rope_kv\", layer=0, heads=4, kv_heads=2, head_dim=6, "
     "rot=4}",
     "E0406"},
    {"linear %4, %8 {epilogue=\"tanh\"}", "E0405"},
    {"linear %6, %8", "E0407"},
    {"linear %4", "E0406"},
    {"attention %4, %3, %2 {layer=0, heads=4, by=1}", "f32[T,24]"},
    {"attention %4, %3, %2 {layer=0, heads=4}", "E0405"},
    {"attention %4, %3, %2 {layer=0, heads=0, by=1}", "E0405"},
    {"swiglu %4", "f32[T,12]"},
    {"swiglu %12", "E0407"},
    {"second %4", "E0406"},
    /* every op */
    {"silu %4 {eps=1}", "E0405"},
    {"scale %4 {by=1, by=2}", "E0405"},
    {"silu %4 {kernel=\"elementwise\", at=64}", "f32[T,24]"},
};

static void test_types(void) {
    bool seen[OP_COUNT] = {[OP_second] = true};
    for (size_t i = 0; i < COUNT_OF(SHAPES); i++) {
        arena *mem = arena_open();
        diag d = {.mem = mem};
        text t = {.mem = mem}, got = {.mem = mem};
        text_printf(&t, "%s%%99 = %s", VALUES, SHAPES[i].line);
        /* inputs named like those above are a second one: not this test's business, only ir_verify
         * minds */
        const ir_graph *g = ir_parse(text_str(&t), "shape", mem, &d);
        if (g) ir_print_type(&g->last->type, &got);
        else text_printf(&got, "E%04d", (int)d.first->code);
        CU_ASSERT_STRING_EQUAL(got.buf.at, SHAPES[i].want);
        CU_ASSERT(d.n_errors == (g ? 0 : 1));
        if (strcmp(got.buf.at, SHAPES[i].want) != 0)
            printf("%s: %s, want %s\n", SHAPES[i].line, got.buf.at, SHAPES[i].want);
        if (g) seen[g->last->kind] = true;
        arena_close(mem);
    }
    for (op_kind k = 0; k < OP_COUNT; k++) {
        CU_ASSERT(seen[k]);
        if (!seen[k]) printf("no case for %s\n", ir_op_info[k].name);
    }
}

static void test_second(void) {
    arena *mem = arena_open();
    diag d = {.mem = mem};
    text t = {.mem = mem}, got = {.mem = mem};
    text_printf(&t,
                "%s%%98 = linear %%4, %%8, %%11, %%2, %%3 {epilogue=\"rope_kv\", layer=0, heads=4, "
                "kv_heads=2, "
                "head_dim=6, rot=4}\n%%99 = second %%98",
                VALUES);
    const ir_graph *g = ir_parse(text_str(&t), "second", mem, &d);
    CU_ASSERT_PTR_NOT_NULL_FATAL(g);
    ir_print_type(&g->last->type, &got);
    CU_ASSERT_STRING_EQUAL(got.buf.at, "bf16[2,2,6]@kv");
    arena_close(mem);
}

/* ---- weights in files ---- */

static void test_sources(void) {
    static const shape_case SOURCES[] = {
        {"weight {file=0, data=900+96} : bf16[6,8]", "bf16[6,8]"},
        {"weight {file=0, data=904+96} : bf16[6,8]", "bf16[6,8]"},
        {"weight {file=0, data=905+96} : bf16[6,8]", "E0409"},
        {"weight {file=0, data=0+95} : bf16[6,8]", "E0409"},
        {"weight {file=0} : bf16[6,8]", "E0409"},
        {"weight {file=2, data=0+96} : bf16[6,8]", "E0409"},
        {"weight {file=1, data=99999+96} : bf16[6,8]", "bf16[6,8]"}, /* of a size not known */
        {"weight {file=1, data=18446744073709551615+96} : bf16[6,8]", "E0409"},
        {"weight {file=0, data=0+96, zeros=0+4} : bf16[6,8]", "E0409"},
        {"weight {file=0, data=0+24} : i4<g8>[6,8]", "E0409"},
        {"weight {file=0, data=0+64, scales=64+16} : i4<g16>[8,16]@gptq", "i4<g16>[8,16]@gptq"},
        {"weight {file=0, data=0+64, scales=64+32, scales_dtype=f32} : i4<g16>[8,16]@gptq",
         "i4<g16>[8,16]@gptq"},
        {"weight {file=0, data=0+64, scales=64+32, scales_dtype=i32} : i4<g16>[8,16]@gptq",
         "E0409"},
        {"weight {file=0, data=0+64, scales=64+16, zeros=80+4, perm=0+64} : "
         "i4<g16,zp,perm>[8,16]@gptq",
         "i4<g16,zp,perm>[8,16]@gptq"},
        {"weight {file=0, data=0+64, scales=64+16, zeros=80+4} : i4<g16,zp,perm>[8,16]@gptq",
         "E0409"},
        {"weight {file=0, data=0+64, scales=64+16, perm=0+64} : i4<g16,zp,perm>[8,16]@gptq",
         "E0409"},
        {"weight {file=0, data=0+160} : i4<g16>[8,16]@r16k8", "i4<g16>[8,16]@r16k8"},
        {"weight {file=0, data=0+320, perm=0+128} : i4<g8,perm>[8,32]@r16k8", "E0409"},
        {"weight {file=0, data=0+384, perm=0+128} : i4<g8,perm>[8,32]@r16k8",
         "i4<g8,perm>[8,32]@r16k8"},
        {"weight {file=0, data=0+384, perm=0+120} : i4<g8,perm>[8,32]@r16k8", "E0409"},
        {"weight {file=0, data=0+384} : i4<g8,perm>[8,32]@r16k8", "E0409"},
        {"weight {file=0, data=0+64, order=\"swiglu\"} : f16[2,1]@r16k1", "f16[2,1]@r16k1"},
    };
    for (size_t i = 0; i < COUNT_OF(SOURCES); i++) {
        arena *mem = arena_open();
        diag d = {.mem = mem};
        text t = {.mem = mem}, got = {.mem = mem};
        text_printf(&t, "file 0 \"a\" {bytes=1000}\nfile 1 \"b\"\n%%0 = %s", SOURCES[i].line);
        const ir_graph *g = ir_parse(text_str(&t), "source", mem, &d);
        if (g) ir_print_type(&g->last->type, &got);
        else text_printf(&got, "E%04d", (int)d.first->code);
        CU_ASSERT_STRING_EQUAL(got.buf.at, SOURCES[i].want);
        if (strcmp(got.buf.at, SOURCES[i].want) != 0)
            printf("%s: %s\n", SOURCES[i].line, got.buf.at);
        arena_close(mem);
    }
}

/* A mapped file has the size it has, 0 too. */
static void test_empty_file(void) {
    arena *mem = arena_open();
    diag d = {.mem = mem};
    ir_graph *g =
        ir_parse(STR("file 0 \"a\"\n%0 = weight {file=0, data=0+16} : f32[4]"), "empty", mem, &d);
    CU_ASSERT_FATAL(g && ir_verify(g));
    g->file[0].at = (const uint8_t *)"";
    CU_ASSERT(!ir_verify(g) && d.first->code == DIAG_IR_SOURCE);
    arena_close(mem);
}

/* What text cannot hold. */
static void test_not_finite(void) {
    arena *mem = arena_open();
    diag d = {.mem = mem};
    ir_graph *g = ir_new(mem, &d, "test");
    ir_op *x = ir_add_input(g, "x", IR_TYPE(DT_f32, DIM_T, 8));
    CU_ASSERT(!ir_add(g, OP_scale, 1, &x, 1, &IR_F64(by, 1 / 0.0)));
    CU_ASSERT(!ir_add(g, OP_act, 1, &x, 1, &IR_I64(act, DT_COUNT)));
    CU_ASSERT(!ir_add_input(g, NULL, IR_TYPE(DT_f32, DIM_T)));
    CU_ASSERT(d.n_errors == 3 && d.last->code == DIAG_IR_ATTR);
    arena_close(mem);
}

UNIT_MAIN("shape", {"types", test_types}, {"second", test_second}, {"sources", test_sources},
          {"empty file", test_empty_file}, {"not finite", test_not_finite})
