/* The text form: print -> parse -> print is the identity; docs/IR.md shows the op table as it is.
 */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "ir/ir.h"
#include "tests/unit/unit.h"

static str print_graph(const ir_graph *g, arena *mem) {
    text t = {.mem = mem};
    ir_print(g, &t);
    return text_str(&t);
}

/* Prints, reads and prints again; false with the texts on stdout where something differs. */
static bool round_trips(str source, const char *path) {
    arena *mem = arena_open();
    diag d = {.mem = mem};
    const ir_graph *g = ir_parse(source, path, mem, &d), *again = NULL;
    str first = {0}, second = {0};
    if (g) {
        first = print_graph(g, mem);
        again = ir_parse(first, "printed", mem, &d);
    }
    if (again) second = print_graph(again, mem);
    const bool same = again && str_eq(first, second) && ir_count(g) == ir_count(again);
    if (!same) {
        diag_print(&d, stdout);
        printf("%s:\n" STR_FMT "\nand again:\n" STR_FMT "\n", path, STR_ARG(first),
               STR_ARG(second));
    }
    arena_close(mem);
    return same;
}

/* ---- forms ---- */

/* Each line is printed as it stands. */
static const char CANONICAL[] =
    "file 0 \"model-1.safetensors\" {bytes=123456789}\n"
    "file 1 \"with \\\"quotes\\\", \\\\, \\x0a and \\xc3\\xa9\"\n"
    "%0 = input {role=\"ids\"} : i32[T]\n"
    "%1 = input {role=\"rows\"} : i32[R]\n"
    "%2 = input {role=\"seqs\"} : seqs\n"
    "%3 = input {role=\"kv\"} : bf16[40,10,128]@kv\n"
    "%4 = weight \"model.embed_tokens.weight\" {file=0, data=128+5120} : bf16[20,128]\n"
    "%5 = weight {seed=18446744073709551615} : i4<g128,zp,perm>[7680,5120]\n"
    "%6 = weight \"q\" {file=0, data=0+1024, scales=1024+32, scales_dtype=f16, zeros=2000+8, "
    "perm=3000+512} : "
    "i4<g128,zp,perm>[16,128]@gptq\n"
    "%7 = weight \"none\" : f32[3]\n"
    "%8 = weight \"p\" {file=1, data=0+8192, order=\"swiglu\"} : bf16[16,128]@r16k2\n"
    "%10 = rope_table {theta=250000, rot=4, factors=[1, 0.1], by=1.19} : f32[16384,4]\n"
    "%200 = embed %4, %0 : f32[T,128]\n"
    "%11 = weight {seed=0} : f16[128]\n"
    "%12 = rmsnorm %200, %11 {eps=1e-05} : f32[T,128]\n"
    "%13 = dequant %6 : f32[16,128]\n"
    "%14 = matmul %12, %13 : f32[T,16]\n"
    "%15 = quant %4 {to=i4, group=-1} : i4<g-1>[20,128]\n"
    "%16 = pack %15 {layout=r16k8} : i4<g-1>[20,128]@r16k8\n"
    "%17 = act %12, %16 {act=i16} : i16<g-1>[T,128]@act\n"
    "%18 = linear %17, %16 {kernel=\"linear_i4\", at=4096} : f32[T,20]\n"
    "%19 = act %12 {act=i16, group=32} : i16<g32>[T,128]@act\n"
    "%20 = slice %18 {begin=0, size=8} : f32[T,8]\n"
    "%21 = input {role=\"scores\"} : f32[T,4,16]\n"
    "%22 = select_rows %14, %1 : f32[R,16]\n"
    "return %22, %3\n";

static void test_canonical(void) {
    arena *mem = arena_open();
    diag d = {.mem = mem};
    const ir_graph *g = ir_parse(str_of(CANONICAL), "canonical", mem, &d);
    if (!g) diag_print(&d, stdout);
    CU_ASSERT_PTR_NOT_NULL_FATAL(g);
    const str got = print_graph(g, mem);
    /* shortest decimals: 250000 prints as the formatter's 2.5e+05 and reads back the same */
    CU_ASSERT(round_trips(got, "canonical"));
    text want = {.mem = mem};
    const char *at = strstr(CANONICAL, "250000");
    text_add(&want, (str){CANONICAL, (size_t)(at - CANONICAL)});
    text_cat(&want, "2.5e+05");
    text_cat(&want, at + 6);
    CU_ASSERT_STRING_EQUAL(got.at, want.buf.at);
    CU_ASSERT_EQUAL(g->next_id, 201);
    CU_ASSERT_STRING_EQUAL(g->file[1].path, "with \"quotes\", \\, \n and \xc3\xa9");
    CU_ASSERT(g->first->line == 3 && g->last->line == 25);
    arena_close(mem);
}

/* Blanks, comments, missing types and other spellings of the same graph. */
static void test_free_form(void) {
    arena *mem = arena_open();
    diag d = {.mem = mem};
    const ir_graph *g = ir_parse(
        STR("; a comment\n%3=input{role=\"\\x78\"}:f32 [ T , 4 ]; another\r\n"
            "%1 =\tsilu %3\n\n%2 = add %1,\n   %3 {\n at=-0, kernel=\"\" }\nreturn\n%2 , %2 ; end"),
        "free", mem, &d);
    if (!g) diag_print(&d, stdout);
    CU_ASSERT_PTR_NOT_NULL_FATAL(g);
    CU_ASSERT_STRING_EQUAL(print_graph(g, mem).at,
                           "%3 = input {role=\"x\"} : f32[T,4]\n%1 = silu %3 : f32[T,4]\n"
                           "%2 = add %1, %3 {at=0, kernel=\"\"} : f32[T,4]\nreturn %2, %2\n");
    CU_ASSERT(g->last->line == 5 && g->last->n_use == 2);
    arena_close(mem);
}

/* Every double reads back to the same bits. */
static void test_numbers(void) {
    static const double NUMBERS[] = {0,         -0.0,
                                     1,         0.1,
                                     1.0 / 3,   1e-300,
                                     5e-324,    1.7976931348623157e308,
                                     1e-05,     250000,
                                     123456.75, -2.5,
                                     1e22,      9007199254740993.0};
    for (size_t i = 0; i < COUNT_OF(NUMBERS); i++) {
        arena *mem = arena_open();
        diag d = {.mem = mem};
        ir_graph *g = ir_new(mem, &d, "test");
        ir_op *x = ir_add_input(g, "x", IR_TYPE(DT_f32, DIM_T, 8));
        ir_add(g, OP_scale, 1, &x, 1, &IR_F64(by, NUMBERS[i]));
        const ir_graph *again = ir_parse(print_graph(g, mem), "printed", mem, &d);
        CU_ASSERT_PTR_NOT_NULL_FATAL(again);
        const double got = ir_f64(again->last, ATTR_by);
        CU_ASSERT(memcmp(&got, &NUMBERS[i], sizeof got) == 0);
        arena_close(mem);
    }
}

/* Names from checkpoints may hold anything but NUL. */
static void test_hostile_names(void) {
    arena *mem = arena_open();
    diag d = {.mem = mem};
    ir_graph *g = ir_new(mem, &d, "test");
    char all[256];
    for (int i = 0; i < 255; i++) all[i] = (char)(i + 1);
    all[255] = 0;
    ir_add_weight(g, all, IR_TYPE(DT_f32, 2), (ir_source){.kind = SOURCE_seed});
    const str once = print_graph(g, mem);
    for (size_t i = 0; i + 1 < once.n; i++)
        CU_ASSERT(once.at[i] >= 0x20 && once.at[i] < 0x7f); /* one line */
    const ir_graph *again = ir_parse(once, "printed", mem, &d);
    CU_ASSERT_PTR_NOT_NULL_FATAL(again);
    CU_ASSERT_STRING_EQUAL(again->first->name, all);
    arena_close(mem);
}

/* ---- every text file of the tests ---- */

static str read_file(const char *path, arena *mem) {
    FILE *f = fopen(path, "rb");
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    text t = {.mem = mem};
    char piece[4096];
    for (size_t n; (n = fread(piece, 1, sizeof piece, f)) > 0;) text_add(&t, (str){piece, n});
    fclose(f);
    return text_str(&t);
}

/* Graphs of an expect test: before and behind the line "; expect:". */
static bool parts_round_trip(str source, const char *path) {
    static const char MARK[] = "\n; expect:";
    const char *at = memmem(source.at, source.n, MARK, strlen(MARK));
    if (!at) return round_trips(source, path);
    const size_t n = (size_t)(at - source.at);
    return round_trips((str){source.at, n}, path) && round_trips((str){at, source.n - n}, path);
}

static int check_folder(const char *folder, int depth) {
    arena *mem = arena_open();
    DIR *dir = opendir(folder);
    int n = 0;
    CU_ASSERT_PTR_NOT_NULL_FATAL(dir);
    for (const struct dirent *e; (e = readdir(dir)) != NULL;) {
        if (e->d_name[0] == '.') continue;
        const char *path = arena_printf(mem, "%s/%s", folder, e->d_name);
        struct stat st;
        if (stat(path, &st) != 0) continue;
        if (S_ISDIR(st.st_mode) && depth < 5 && strcmp(e->d_name, "errors") != 0)
            n += check_folder(path, depth + 1);
        if (!S_ISREG(st.st_mode) || !str_ends(str_of(e->d_name), ".p4ir")) continue;
        CU_ASSERT(parts_round_trip(read_file(path, mem), path));
        n++;
    }
    closedir(dir);
    arena_close(mem);
    return n;
}

static void test_files(void) {
    const int n = check_folder(P4C_TESTS, 0);
    printf("%d files ", n);
    CU_ASSERT(n >= 5); /* the fuzzer's seeds at least */
}

/* docs/IR.md holds the op table between two marks. */
static void test_doc(void) {
    arena *mem = arena_open();
    const str doc = read_file(P4C_TESTS "/../docs/IR.md", mem);
    text table = {.mem = mem};
    ir_list_ops(&table);
    const char *begin = strstr(doc.at, "<!-- ops -->\n"),
               *end = strstr(doc.at, "<!-- end of ops -->");
    CU_ASSERT_FATAL(begin && end);
    begin += strlen("<!-- ops -->\n");
    const str shown = {begin, (size_t)(end - begin)};
    CU_ASSERT(str_eq(shown, text_str(&table)));
    if (!str_eq(shown, text_str(&table))) printf("docs/IR.md should say:\n%s", table.buf.at);
    arena_close(mem);
}

UNIT_MAIN("print", {"canonical form", test_canonical}, {"free form", test_free_form},
          {"numbers", test_numbers}, {"hostile names", test_hostile_names},
          {"all files", test_files}, {"op table of docs/IR.md", test_doc})
