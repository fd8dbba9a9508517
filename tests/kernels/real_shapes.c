/* real_shapes.c - the linear kernels at the shapes of Phi-4 (hidden 5120, FFN 17920, 40 query and
 * 10 key/value heads of 128), compiled and run in this process, against the interpreter on the
 * graph before any pass.
 *
 * Each graph is one product with what is fused around it: activations come from embedding tables,
 * weights from seeds.  A step of 5 tokens, then one of 1; for each instruction set that this CPU
 * has, all of which must agree bit for bit, as must a token alone and among others.  More tokens at
 * these shapes take too long here.
 *
 * Bounds are on max |difference| of a row, relative to the root mean square of what is right there.
 * A product of exact activations is one chain of float32 additions: 3 sqrt(K) half ulps, where
 * about 1.7 were measured.  The others are three times what was measured: rounding activations to
 * bf16 or to 16-bit integers, and keys and values to bf16.
 *
 *     real_shapes [name of one graph] */
#include <math.h>
#include <string.h>
#include <time.h>

#include "base/cpuinfo.h"
#include "base/half.h"
#include "ir/interp.h"
#include "passes/pass.h"
#include "tests/support/compiled.h"

enum { D = 5120, F = 17920, H = 40, G = 10, E = 128, V = 16, MAX_T = 5, CAPACITY = 64 };

typedef struct shape shape;
typedef ir_op *build_fn(const shape *s, ir_graph *g);

struct shape {
    const char *name;
    build_fn *build;    /* gives f32[T, n_out] */
    const char *kernel; /* how the name of the plan's kernel begins */
    int64_t n_out, k;
    ir_dtype weight;
    double bound;     /* 0: 3 sqrt(k) half ulps */
    bool zeros, perm; /* i4, in groups of 128 */
    bool kv_bf16;
};

/* ---- graphs ---- */

static ir_op *seeded(ir_graph *g, const char *name, ir_type type) {
    return ir_add_weight(g, name, type, (ir_source){.kind = SOURCE_seed, .seed = g->next_id + 7u});
}

static ir_op *find_input(ir_graph *g, const char *role) {
    for (ir_op *op = g->first; op; op = op->next)
        if (op->kind == OP_input && strcmp(ir_str(op, ATTR_role), role) == 0) return op;
    UNREACHABLE("no such input");
}

/* Rows of a table in bf16, which every kind of kernel but the 16-bit integer one takes exactly. */
static ir_op *activations(ir_graph *g, int64_t k) {
    ir_op *const table = seeded(g, "table", IR_TYPE(DT_bf16, V, k));
    return ir_add(g, OP_embed, 2, (ir_op *[]){table, find_input(g, "ids")}, 0, NULL);
}

static ir_op *normed(ir_graph *g, ir_op *x) {
    ir_op *const w = seeded(g, "norm", IR_TYPE(DT_f32, x->type.dim[1]));
    return ir_add(g, OP_rmsnorm, 2, (ir_op *[]){x, w}, 1, (ir_attr[]){IR_F64(eps, 1e-5)});
}

static ir_op *product(const shape *s, ir_graph *g, ir_op *x, int64_t n) {
    ir_type type = IR_TYPE(s->weight, n, x->type.dim[1]);
    if (s->weight == DT_i4) type.group = 128;
    type.zeros = s->zeros;
    type.perm = s->perm;
    ir_op *w = seeded(g, s->name, type);
    if (s->weight == DT_i4) w = ir_add(g, OP_dequant, 1, &w, 0, NULL);
    return ir_add(g, OP_matmul, 2, (ir_op *[]){x, w}, 0, NULL);
}

static ir_op *slice(ir_graph *g, ir_op *x, int64_t begin, int64_t size) {
    return ir_add(g, OP_slice, 1, &x, 2, (ir_attr[]){IR_I64(begin, begin), IR_I64(size, size)});
}

/* o_proj, down_proj: with the residual */
static ir_op *build_add(const shape *s, ir_graph *g) {
    ir_op *const residual = activations(g, D), *const x = activations(g, s->k);
    return ir_add(g, OP_add, 2, (ir_op *[]){residual, product(s, g, x, D)}, 0, NULL);
}

/* gate_up_proj */
static ir_op *build_swiglu(const shape *s, ir_graph *g) {
    ir_op *const y = product(s, g, normed(g, activations(g, D)), 2 * (int64_t)F);
    ir_op *gate = slice(g, y, 0, F), *const up = slice(g, y, F, F);
    gate = ir_add(g, OP_silu, 1, &gate, 0, NULL);
    return ir_add(g, OP_mul, 2, (ir_op *[]){gate, up}, 0, NULL);
}

static ir_op *rope(ir_graph *g, ir_op *x, ir_op *table, int64_t heads) {
    return ir_add(g, OP_rope, 3, (ir_op *[]){x, table, find_input(g, "seqs")}, 3,
                  (ir_attr[]){IR_I64(heads, heads), IR_I64(head_dim, E), IR_I64(rot, E)});
}

/* qkv_proj: the result is attention plus the turned queries, so that a query shows even where it
 * sees one key; keys and values are compared in their blocks. */
static ir_op *build_rope_kv(const shape *s, ir_graph *g) {
    ir_op *const seqs = find_input(g, "seqs");
    ir_op *const table =
        ir_add_rope_table(g, CAPACITY, 2, (ir_attr[]){IR_F64(theta, 250000), IR_I64(rot, E)});
    ir_op *const y = product(s, g, normed(g, activations(g, D)), (H + 2 * G) * E);
    ir_op *const q = rope(g, slice(g, y, 0, H * E), table, H);
    ir_op *const k = rope(g, slice(g, y, H * E, G * E), table, G);
    ir_op *const v = slice(g, y, (H + G) * E, G * E);
    const ir_attr layer = IR_I64(layer, 0);
    ir_op *const kv =
        ir_add(g, OP_kv_append, 4, (ir_op *[]){find_input(g, "kv"), k, v, seqs}, 1, &layer);
    ir_op *a = ir_add(g, OP_attn_scores, 3, (ir_op *[]){q, kv, seqs}, 2,
                      (ir_attr[]){layer, IR_I64(heads, H)});
    a = ir_add(g, OP_scale, 1, &a, 1, (ir_attr[]){IR_F64(by, 1 / sqrt((double)E))});
    a = ir_add(g, OP_attn_mask, 2, (ir_op *[]){a, seqs}, 0, NULL);
    a = ir_add(g, OP_softmax, 1, &a, 0, NULL);
    a = ir_add(g, OP_attn_mix, 3, (ir_op *[]){a, kv, seqs}, 1, &layer);
    return ir_add(g, OP_add, 2, (ir_op *[]){a, q}, 0, NULL);
}

/* clang-format off */
static const shape SHAPES[] = {
    {"o-f32",        build_add,     "linear_f32_add_n5120k5120",         D,      D, DT_f32,  .bound = 0},
    {"o-f16",        build_add,     "linear_f16_add_n5120k5120",         D,      D, DT_f16,  .bound = 0},
    {"o-bf16",       build_add,     "linear_bf16_add_n5120k5120",        D,      D, DT_bf16, .bound = 0},
    {"o-i4",         build_add,     "linear_i4g128_add_n5120k5120",      D,      D, DT_i4,   .bound = 1.3e-4},
    {"down-bf16",    build_add,     "linear_bf16_add_n5120k17920",       D,      F, DT_bf16, .bound = 0},
    {"down-i4",      build_add,     "linear_i4g128_add_n5120k17920",     D,      F, DT_i4,   .bound = 9e-5, .perm = true},
    {"gate-up-bf16", build_swiglu,  "linear_bf16_swiglu_n35840k5120",    F,      D, DT_bf16, .bound = 8.6e-2},
    {"gate-up-i4",   build_swiglu,  "linear_i4g128z_swiglu_n35840k5120", F,      D, DT_i4,   .bound = 1.1e-3, .zeros = true},
    {"qkv-bf16",     build_rope_kv, "linear_bf16_rope_kv_n7680k5120",    H * E,  D, DT_bf16, .bound = 4.4e-2, .kv_bf16 = true},
    {"qkv-i4",       build_rope_kv, "linear_i4g128_rope_kv_n7680k5120",  H * E,  D, DT_i4,   .bound = 3.2e-4},
};
/* clang-format on */

/* keys and values of the reference, noted while the interpreter runs */
typedef struct reference {
    const ir_graph *g;
    const ir_op *k, *v;
    float *want, *key, *value; /* of a step: [T, n_out], [T, G E] */
} reference;

static ir_graph *build(const shape *s, arena *mem, diag *d) {
    ir_graph *const g = ir_new(mem, d, s->name);
    ir_add_input(g, "ids", IR_TYPE(DT_i32, DIM_T));
    ir_add_input(g, "seqs", (ir_type){.dtype = DT_seqs});
    ir_op *const rows = ir_add_input(g, "rows", IR_TYPE(DT_i32, DIM_R));
    ir_type kv = IR_TYPE(DT_f32, 1, G, E);
    kv.layout = LAYOUT_kv;
    ir_add_input(g, "kv", kv);
    ir_op *const y = s->build(s, g);
    ir_add_output(g, ir_add(g, OP_select_rows, 2, (ir_op *[]){y, rows}, 0, NULL));
    for (ir_op *op = g->first; op; op = op->next)
        if (op->kind == OP_kv_append) ir_add_output(g, op);
    return d->n_errors ? NULL : g;
}

/* ---- steps ---- */

/* Two sequences begin, with 3 and 2 tokens; then the first gets one more. */
typedef struct step_data {
    int64_t T;
    int32_t ids[MAX_T], pos[MAX_T], seq[MAX_T];
    interp_seq seqs[2];
    int n_seqs;
} step_data;
static const step_data STEPS[] = {
    {5, {3, 0, 14, 9, 5}, {0, 1, 2, 0, 1}, {0, 0, 0, 1, 1}, {{0, 3, 0, 0}, {3, 2, 0, 1}}, 2},
    {1, {14}, {3}, {0}, {{0, 1, 3, 0}}, 1},
};
enum { SAME_ROW = 2 }; /* of the first step: the token of the second */
static const int32_t ROWS[MAX_T] = {0, 1, 2, 3, 4};

static void note_kv(void *context, const ir_op *op, const float *value, int64_t n) {
    reference *r = context;
    if (op == r->k) memcpy(r->key, value, (size_t)n * sizeof *value);
    if (op == r->v) memcpy(r->value, value, (size_t)n * sizeof *value);
}

static bool interpret(reference *r, interp_state *state, const step_data *s, arena *scratch) {
    const interp_step step = {
        .T = s->T, .R = s->T, .ids = s->ids, .rows = ROWS, .seqs = s->seqs, .n_seqs = s->n_seqs};
    return interp_run(r->g, state, &step, scratch, note_kv, r, (float *[]){r->want, NULL});
}

static void execute(const compiled *c, unsigned variant, const step_data *s, uint8_t *block[2],
                    float *out) {
    rt_seq seqs[2];
    for (int i = 0; i < s->n_seqs; i++)
        seqs[i] = (rt_seq){s->seqs[i].first_row, s->seqs[i].n_new, s->seqs[i].n_past,
                           &block[s->seqs[i].id]};
    const rt_step step = {s->T, s->T, s->ids, ROWS, s->pos, s->seq, seqs, s->n_seqs};
    compiled_run(c, variant, &step, out, variant * 1000003u + (uint64_t)s->T * 57);
}

/* ---- comparing ---- */

static double row_distance(const float *got, const float *want, int64_t n) {
    double worst = 0, sum = 0;
    for (int64_t i = 0; i < n; i++) {
        const double diff = fabs((double)got[i] - (double)want[i]);
        if (!(diff <= worst)) worst = isnan(diff) ? INFINITY : diff;
        sum += (double)want[i] * (double)want[i];
    }
    return worst / sqrt(sum / (double)n);
}

static double distance(const float *got, const float *want, int64_t rows, int64_t n) {
    double worst = 0;
    for (int64_t r = 0; r < rows; r++)
        worst = fmax(worst, row_distance(got + r * n, want + r * n, n));
    return worst;
}

/* Element e of key (or value) head g at a position; layout: runtime/abi.h. */
static float kv_at(const uint8_t *block, bool bf16, int64_t g, int64_t pos, int64_t e,
                   bool is_value) {
    const int64_t bytes = bf16 ? 2 : 4, side = (int64_t)RT_KV_BLOCK_TOK * E;
    const int64_t of_tile = bf16 ? (e / 2 * 16 + pos % 16) * 2 + e % 2 : e * 16 + pos % 16;
    const int64_t at = is_value ? side + pos * E + e : pos / 16 * 16 * E + of_tile;
    const uint8_t *p = block + (2 * g * side + at) * bytes;
    float f;
    uint16_t h;
    if (bf16) return memcpy(&h, p, sizeof h), bf16_to_f32(h);
    return memcpy(&f, p, sizeof f), f;
}

/* The new tokens' keys and values. */
static double kv_distance(const shape *s, const reference *r, const step_data *st,
                          uint8_t *const block[2]) {
    float row[2][G * E];
    double worst = 0;
    for (int64_t t = 0; t < st->T; t++) {
        const uint8_t *b = block[st->seqs[st->seq[t]].id];
        for (int64_t i = 0; i < G * E; i++)
            for (int v = 0; v < 2; v++)
                row[v][i] = kv_at(b, s->kv_bf16, i / E, st->pos[t], i % E, v);
        worst = fmax(worst, row_distance(row[0], r->key + t * G * E, G * E));
        worst = fmax(worst, row_distance(row[1], r->value + t * G * E, G * E));
    }
    return worst;
}

static bool has_kernel(const cg_program *p, const char *part) {
    for (int i = 0; i < p->n_kernels; i++)
        if (strncmp(p->kernel_name[i], part, strlen(part)) == 0) return true;
    return false;
}

static bool compile(const shape *s, arena *mem, arena *scratch, diag *d, cg_program *p,
                    compiled *c) {
    ir_graph *const g = build(s, mem, d);
    if (!g) return false;
    pass_options o = pass_default_options();
    o.scheme = s->weight == DT_f32 ? (scheme){.id = SCHEME_f32} : scheme_auto(g);
    o.scheme.kv_dtype = s->kv_bf16 ? DT_bf16 : DT_f32;
    o.max_tokens = o.max_rows = MAX_T;
    pass_ctx px = {.diag = d, .mem = mem, .scratch = scratch, .options = &o};
    if (!pass_run_all(g, &px, HAS_DENSE_OPS) ||
        !cg_build_program(g, px.arena_bytes, MAX_T, MAX_T, mem, d, p))
        return false;
    if (!has_kernel(p, s->kernel)) {
        printf("%s: no kernel %s\n", s->name, s->kernel);
        for (int i = 0; i < p->n_kernels; i++) printf("  %s\n", p->kernel_name[i]);
        return false;
    }
    return compiled_open(p, &(cpu_options){.triple = "x86_64-linux-gnu"}, mem, d, c);
}

enum { MAX_VARIANTS = 8 };

typedef struct trial {
    const shape *s;
    reference ref;
    compiled code;
    uint8_t *block[MAX_VARIANTS][2];
    float *got, *first;
} trial;

/* One step with every instruction set; *worst: largest distance so far; t->first: the logits. */
static bool run_step(trial *t, const step_data *st, double *worst) {
    const shape *s = t->s;
    const size_t bytes = (size_t)(st->T * s->n_out) * sizeof(float);
    bool ok = true, have_first = false;
    for (unsigned v = 0; v < t->code.image->n_variants; v++) {
        const rt_variant *variant = &t->code.image->variants[v];
        if (variant->needs & ~(uint64_t)cpu_features()) continue;
        memset(t->got, 0xff, bytes);
        execute(&t->code, v, st, t->block[v], t->got);
        *worst = fmax(*worst, distance(t->got, t->ref.want, st->T, s->n_out));
        if (t->ref.k) *worst = fmax(*worst, kv_distance(s, &t->ref, st, t->block[v]));
        if (!have_first) memcpy(t->first, t->got, bytes);
        if (memcmp(t->got, t->first, bytes) != 0) {
            printf("%s: %s is not bitwise equal to the first variant\n", s->name, variant->name);
            ok = false;
        }
        have_first = true;
    }
    return ok && have_first;
}

static bool check(const shape *s) {
    const double bound = s->bound > 0 ? s->bound : 3 * sqrt((double)s->k) * 0x1p-24;
    const clock_t begin = clock();
    arena *mem = arena_open(), *scratch = arena_open();
    diag d = {.mem = mem};
    trial t = {.s = s, .ref.g = build(s, mem, &d)};
    cg_program program;
    bool ok = t.ref.g && compile(s, mem, scratch, &d, &program, &t.code);
    for (const ir_op *op = ok ? t.ref.g->first : NULL; op; op = op->next)
        if (op->kind == OP_kv_append) t.ref.k = op->in[1], t.ref.v = op->in[2];
    t.ref.want = arena_array(mem, float, MAX_T * s->n_out);
    t.ref.key = arena_array(mem, float, MAX_T *G *E);
    t.ref.value = arena_array(mem, float, MAX_T *G *E);
    t.got = arena_array(mem, float, MAX_T * s->n_out);
    t.first = arena_array(mem, float, MAX_T * s->n_out);
    for (int i = 0; ok && i < 2 * MAX_VARIANTS; i++)
        t.block[i / 2][i % 2] = arena_get(mem, program.kv_block_bytes + 64, 64);
    interp_state *state = interp_state_new(mem, 2);
    double worst = 0;
    float *among_others = arena_array(mem, float, s->n_out);
    for (size_t i = 0; ok && i < COUNT_OF(STEPS); i++) {
        ok = interpret(&t.ref, state, &STEPS[i], scratch) && run_step(&t, &STEPS[i], &worst);
        const size_t bytes = (size_t)s->n_out * sizeof(float);
        if (i == 0) memcpy(among_others, t.first + SAME_ROW * s->n_out, bytes);
        else if (!t.ref.k && memcmp(among_others, t.first, bytes) != 0) {
            printf("%s: a token alone is not bitwise equal to it among others\n", s->name);
            ok = false;
        }
    }
    ok = ok && worst <= bound;
    printf("%-12s %s: max difference %.3g of %.3g, %.1f s\n", s->name, ok ? "ok" : "FAILED", worst,
           bound, (double)(clock() - begin) / CLOCKS_PER_SEC);
    fflush(stdout);
    compiled_close(&t.code);
    if (d.n_errors) diag_print(&d, stderr); /* not that the last sum is no kernel's epilogue */
    arena_close(scratch);
    arena_close(mem);
    return ok;
}

int main(int argc, char **argv) {
    int failed = 0, n = 0;
    for (size_t i = 0; i < COUNT_OF(SHAPES); i++) {
        if (argc > 1 && strcmp(argv[1], SHAPES[i].name) != 0) continue;
        failed += !check(&SHAPES[i]);
        n++;
    }
    return failed || !n ? 1 : 0;
}
