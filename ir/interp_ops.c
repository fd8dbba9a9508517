/* interp_ops.c - interp_<op>() of everything but attention. */
#include "ir/interp_ops.h"

#include <math.h>
#include <string.h>

#include "ir/const.h"
#include "ir/shape.h"

int64_t interp_rows(const interp_ctx *c, const ir_type *t) {
    ir_type rows = *t;
    rows.rank--;
    return interp_count(c, &rows);
}

static int64_t columns(const interp_ctx *c, const ir_type *t) {
    const ir_type last = {.rank = 1, .dim = {t->dim[t->rank - 1]}};
    return interp_count(c, &last);
}

const float *interp_in(interp_ctx *c, const ir_op *op, int i) {
    const ir_op *in = op->in[i];
    if (!ir_is_const(in)) return c->value[in->id];
    const ir_type *t = &in->type;
    float *all = arena_array(c->scratch, float, interp_count(c, t));
    ir_const_rows(in, 0, t->rank == 1 ? 1 : t->dim[0], all);
    return all;
}

static void copy(float *to, const float *from, int64_t n) {
    if (n) memcpy(to, from, (size_t)n * sizeof *to);
}

/* ---- the boundary and constants ---- */

bool interp_input(interp_ctx *c, const ir_op *op, float *out) {
    if (!out) return true; /* ids, rows, seqs and kv are read from the step and the state */
    const char *role = ir_str(op, ATTR_role);
    for (int i = 0; i < c->step->n_named; i++)
        if (strcmp(role, c->step->name[i]) == 0)
            return copy(out, c->step->value[i], interp_count(c, &op->type)), true;
    return OP_ERROR(op, IR_STEP, "the step has no input \"%s\"", role);
}

/* Constants are read where they are used. */
#define CONSTANT(name)                                                                             \
    bool interp_##name(interp_ctx *c, const ir_op *op, float *out) {                               \
        (void)c, (void)op, (void)out;                                                              \
        return true;                                                                               \
    }
CONSTANT(weight)
CONSTANT(rope_table)
CONSTANT(dequant)
CONSTANT(quant)
CONSTANT(cast)
CONSTANT(concat_rows)
CONSTANT(pack)

/* A second result is state. */
bool interp_second(interp_ctx *c, const ir_op *op, float *out) {
    (void)c, (void)op, (void)out;
    return true;
}

bool interp_embed(interp_ctx *c, const ir_op *op, float *out) {
    const ir_op *w = op->in[0];
    const int64_t V = w->type.dim[0], D = w->type.dim[1];
    for (int64_t t = 0; t < c->step->T; t++) {
        const int32_t id = c->step->ids[t];
        if (id < 0 || id >= V)
            return OP_ERROR(op, IR_STEP, "token %d of %lld is not below %lld", id, (long long)t,
                            (long long)V);
        if (ir_is_const(w)) ir_const_rows(w, id, 1, out + t * D);
        else copy(out + t * D, c->value[w->id] + id * D, D);
    }
    return true;
}

bool interp_select_rows(interp_ctx *c, const ir_op *op, float *out) {
    const int64_t n = op->type.dim[1];
    const float *x = interp_in(c, op, 0);
    for (int64_t r = 0; r < c->step->R; r++) copy(out + r * n, x + c->step->rows[r] * n, n);
    return true;
}

/* ---- rows ---- */

static void norm_row(const float *x, const float *w, double eps, int64_t n, float *y) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)x[i] * x[i];
    const double root = sqrt(sum / (double)n + eps);
    for (int64_t i = 0; i < n; i++) y[i] = (float)(w[i] * (x[i] / root));
}

static void norm_rows(interp_ctx *c, const ir_op *op, float *out) {
    const int64_t n = columns(c, &op->type), rows = interp_rows(c, &op->type);
    const float *x = interp_in(c, op, 0), *w = interp_in(c, op, 1);
    for (int64_t r = 0; r < rows; r++) norm_row(x + r * n, w, ir_f64(op, ATTR_eps), n, out + r * n);
}

bool interp_rmsnorm(interp_ctx *c, const ir_op *op, float *out) {
    norm_rows(c, op, out);
    return true;
}

/* In what form linear takes its activations does not change their value here: f32, columns as they
 * are. */
bool interp_act(interp_ctx *c, const ir_op *op, float *out) {
    if (op->n_in > 1 && op->in[1]->type.rank == 1) norm_rows(c, op, out);
    else copy(out, interp_in(c, op, 0), interp_count(c, &op->type));
    return true;
}

bool interp_slice(interp_ctx *c, const ir_op *op, float *out) {
    const int64_t from = columns(c, &op->in[0]->type), n = columns(c, &op->type);
    const float *x = interp_in(c, op, 0) + ir_i64(op, ATTR_begin);
    for (int64_t r = 0; r < interp_rows(c, &op->type); r++) copy(out + r * n, x + r * from, n);
    return true;
}

void interp_softmax_row(int64_t n, float *y) {
    float largest = -INFINITY;
    double sum = 0;
    for (int64_t i = 0; i < n; i++) largest = fmaxf(largest, y[i]);
    for (int64_t i = 0; i < n; i++) { /* half of most rows is masked */
        y[i] = y[i] == -INFINITY ? 0 : (float)exp((double)y[i] - largest);
        sum += y[i];
    }
    for (int64_t i = 0; i < n; i++) y[i] = (float)(y[i] / sum);
}

bool interp_softmax(interp_ctx *c, const ir_op *op, float *out) {
    const int64_t n = columns(c, &op->type), rows = interp_rows(c, &op->type);
    copy(out, interp_in(c, op, 0), rows * n);
    for (int64_t r = 0; r < rows; r++) interp_softmax_row(n, out + r * n);
    return true;
}

/* ---- elementwise ---- */

static float silu(float x) { return (float)(x / (1 + exp(-(double)x))); }

void interp_scale_row(double by, int64_t n, float *y) {
    for (int64_t i = 0; i < n; i++) y[i] = (float)(by * y[i]);
}

bool interp_scale(interp_ctx *c, const ir_op *op, float *out) {
    const int64_t n = interp_count(c, &op->type);
    copy(out, interp_in(c, op, 0), n);
    interp_scale_row(ir_f64(op, ATTR_by), n, out);
    return true;
}

bool interp_silu(interp_ctx *c, const ir_op *op, float *out) {
    const float *x = interp_in(c, op, 0);
    for (int64_t i = 0; i < interp_count(c, &op->type); i++) out[i] = silu(x[i]);
    return true;
}

bool interp_mul(interp_ctx *c, const ir_op *op, float *out) {
    const float *a = interp_in(c, op, 0), *b = interp_in(c, op, 1);
    for (int64_t i = 0; i < interp_count(c, &op->type); i++) out[i] = a[i] * b[i];
    return true;
}

bool interp_add(interp_ctx *c, const ir_op *op, float *out) {
    const float *a = interp_in(c, op, 0), *b = interp_in(c, op, 1);
    for (int64_t i = 0; i < interp_count(c, &op->type); i++) out[i] = a[i] + b[i];
    return true;
}

static void swiglu_row(const float *x, int64_t n, float *y) { /* x: n gates, n ups */
    for (int64_t i = 0; i < n; i++) y[i] = silu(x[i]) * x[n + i];
}

bool interp_swiglu(interp_ctx *c, const ir_op *op, float *out) {
    const int64_t n = columns(c, &op->type);
    const float *x = interp_in(c, op, 0);
    for (int64_t r = 0; r < interp_rows(c, &op->type); r++)
        swiglu_row(x + 2 * r * n, n, out + r * n);
    return true;
}

/* ---- matrix products ---- */

void interp_dots(arena *scratch, const float *x, int64_t n_x, int64_t ldx, const float *w,
                 int64_t n_w, int64_t ldw, int64_t K, float *y, int64_t ldy) {
    enum { LANES = 8 }; /* rows of w side by side, so that the compiler can use vectors */
    const arena_pos mark = arena_mark(scratch);
    double *side = arena_array(scratch, double, K *LANES); /* [K][LANES] */
    for (int64_t j0 = 0; j0 < n_w; j0 += LANES) {
        const int64_t lanes = min_i64(LANES, n_w - j0);
        for (int64_t k = 0; k < K; k++)
            for (int64_t j = 0; j < LANES; j++)
                side[k * LANES + j] = j < lanes ? w[(j0 + j) * ldw + k] : 0;
        for (int64_t i = 0; i < n_x; i++) {
            double sum[LANES] = {0};
            for (int64_t k = 0; k < K; k++) {
                const double xk = x[i * ldx + k];
                for (int j = 0; j < LANES; j++) sum[j] += xk * side[k * LANES + j];
            }
            for (int64_t j = 0; j < lanes; j++) y[i * ldy + j0 + j] = (float)sum[j];
        }
    }
    arena_rewind(scratch, mark);
}

/* y[rows, N] = x . w of operands 0 and 1; weights are read a few rows at a time. */
static void product(interp_ctx *c, const ir_op *op, int64_t rows, float *y) {
    enum { AT_ONCE = 64 };
    const ir_op *w = op->in[1];
    const int64_t N = w->type.dim[0], K = w->type.dim[1];
    const float *x = interp_in(c, op, 0);
    float *some = arena_array(c->scratch, float, AT_ONCE *K);
    for (int64_t n0 = 0, n; n0 < N; n0 += n) {
        n = min_i64(AT_ONCE, N - n0);
        const float *from = some;
        if (ir_is_const(w)) ir_const_rows(w, n0, n, some);
        else from = c->value[w->id] + n0 * K;
        interp_dots(c->scratch, x, rows, K, from, n, K, K, y + n0, N);
    }
}

bool interp_matmul(interp_ctx *c, const ir_op *op, float *out) {
    product(c, op, interp_rows(c, &op->type), out);
    return true;
}

/* y: f32[rows, N], the product; each gives the op's value from it */
typedef bool epilogue_fn(interp_ctx *c, const ir_op *op, const float *y, int64_t rows, float *out);

static bool epilogue_none(interp_ctx *c, const ir_op *op, const float *y, int64_t rows,
                          float *out) {
    (void)c;
    copy(out, y, rows * op->type.dim[1]);
    return true;
}

static bool epilogue_add(interp_ctx *c, const ir_op *op, const float *y, int64_t rows, float *out) {
    const float *residual = interp_in(c, op, 2);
    for (int64_t i = 0; i < rows * op->type.dim[1]; i++) out[i] = y[i] + residual[i];
    return true;
}

static bool epilogue_swiglu(interp_ctx *c, const ir_op *op, const float *y, int64_t rows,
                            float *out) {
    (void)c;
    const int64_t n = op->type.dim[1];
    for (int64_t r = 0; r < rows; r++) swiglu_row(y + 2 * r * n, n, out + r * n);
    return true;
}

static bool epilogue_rope_kv(interp_ctx *c, const ir_op *op, const float *y, int64_t rows,
                             float *out) {
    const int64_t H = ir_i64(op, ATTR_heads), G = ir_i64(op, ATTR_kv_heads);
    const int64_t E = ir_i64(op, ATTR_head_dim), N = (H + 2 * G) * E;
    float *qkv = arena_array(c->scratch, float, rows *N);
    copy(qkv, y, rows * N);
    /* query heads and key heads stand side by side and turn alike */
    if (!interp_turn(c, op, op->in[2], H + G, E, ir_i64(op, ATTR_rot), qkv, N)) return false;
    for (int64_t r = 0; r < rows; r++) copy(out + r * H * E, qkv + r * N, H * E);
    return interp_append(c, op, &op->in[4]->type, qkv + H * E, N, qkv + (H + G) * E, N);
}

bool interp_linear(interp_ctx *c, const ir_op *op, float *out) {
    static const struct {
        const char *name;
        epilogue_fn *run;
    } EPILOGUES[] = {{"none", epilogue_none},
                     {"add", epilogue_add},
                     {"swiglu", epilogue_swiglu},
                     {"rope_kv", epilogue_rope_kv}};
    const int64_t rows = interp_rows(c, &op->type);
    float *y = arena_array(c->scratch, float, rows * op->in[1]->type.dim[0]);
    product(c, op, rows, y);
    const char *name = ir_str_or(op, ATTR_epilogue, "none");
    for (size_t i = 0; i < COUNT_OF(EPILOGUES); i++)
        if (strcmp(name, EPILOGUES[i].name) == 0) return EPILOGUES[i].run(c, op, y, rows, out);
    UNREACHABLE("an epilogue that the shape rule does not know");
}
