/* cmd_verify.c - `p4c verify`: an artifact against reference logits.
 *
 * A golden folder holds golden.safetensors: for each prompt NAME input_ids [n], logits [n, vocab]
 * (or logits_last8 [8, vocab]: the last positions), generated_ids [m] and generated_logits [m,
 * vocab], greedy with end tokens ignored; and cases.json, whose `measured` says how far another
 * implementation's bf16 run was. tests/golden/README.md explains the numbers and where the bounds
 * come from.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "driver/verify.h"

#include "app/progress.h"
#include "base/file.h"
#include "base/json.h"
#include "frontend/safetensors.h"

enum { CHUNK_ROWS = 64, LAST_ROWS = 8 };

/* ---- the folder ---- */

typedef struct golden_case {
    const char *name;
    int64_t n_ids, n_rows, first_row; /* rows of logits: positions first_row .. n_ids - 1 */
    int32_t *ids;
    const float *logits;
    int64_t n_greedy;
    int32_t *greedy;
    const float *greedy_logits; /* NULL: margins are not known */
} golden_case;

typedef vec(golden_case) golden_cases;

typedef struct golden {
    const char *path, *cases_path;
    mapped_file file;
    st_file st;
    golden_cases cases;
    double bf16_mean_kl; /* of cases.json; negative: not there */
} golden;

static bool golden_error(const golden *g, const char *tensor, diag *d, const char *what) {
    return diag_error(d, DIAG_GOLDEN, (diag_loc){.file = g->path, .tensor = tensor}, "%s", what);
}

static const st_tensor *find(const golden *g, const char *prompt, size_t n, const char *part) {
    for (size_t i = 0; i < g->st.n_tensors; i++) {
        const char *name = g->st.tensor[i].name;
        if (!strncmp(name, prompt, n) && name[n] == '.' && !strcmp(name + n + 1, part))
            return &g->st.tensor[i];
    }
    return NULL;
}

static bool read_ids(const golden *g, const st_tensor *t, int64_t vocab, arena *mem, diag *d,
                     int64_t *n, int32_t **out) {
    if (t->dtype != DT_i64 || t->rank != 1 || t->dim[0] < 1)
        return golden_error(g, t->name, d, "wrong type or shape (expected I64 [n])");
    *n = t->dim[0];
    *out = arena_array(mem, int32_t, *n);
    for (int64_t i = 0; i < *n; i++) {
        int64_t id;
        memcpy(&id, g->file.at + t->range.offset + (uint64_t)i * 8, 8);
        if (id < 0 || id >= vocab)
            return diag_error(d, DIAG_GOLDEN_FIT, (diag_loc){.file = g->path, .tensor = t->name},
                              "token id %lld is not in the model's vocabulary of %lld",
                              (long long)id, (long long)vocab);
        (*out)[i] = (int32_t)id;
    }
    return true;
}

static bool read_logits(const golden *g, const st_tensor *t, int64_t vocab, diag *d,
                        int64_t *n_rows, const float **out) {
    if (t->dtype != DT_f32 || t->rank != 2)
        return golden_error(g, t->name, d, "wrong type or shape (expected F32 [n, vocabulary])");
    if (t->dim[1] != vocab)
        return diag_error(d, DIAG_GOLDEN_FIT, (diag_loc){.file = g->path, .tensor = t->name},
                          "made with another model: rows of %lld logits, the artifact has %lld",
                          (long long)t->dim[1], (long long)vocab);
    const uint8_t *at = g->file.at + t->range.offset;
    if ((uintptr_t)at % _Alignof(float))
        return golden_error(g, t->name, d, "data not aligned to 4 bytes");
    *n_rows = t->dim[0];
    *out = (const float *)(const void *)at;
    return true;
}

static bool read_case(golden *g, const st_tensor *ids, int64_t vocab, arena *mem, diag *d) {
    const size_t n = strlen(ids->name) - strlen(".input_ids");
    golden_case c = {.name = arena_copy(mem, ids->name, n)};
    const st_tensor *all = find(g, ids->name, n, "logits"),
                    *last = find(g, ids->name, n, "logits_last8");
    if (!all && !last) return golden_error(g, ids->name, d, "there are ids but no logits");
    if (!read_ids(g, ids, vocab, mem, d, &c.n_ids, &c.ids) ||
        !read_logits(g, all ? all : last, vocab, d, &c.n_rows, &c.logits))
        return false;
    if (all ? c.n_rows != c.n_ids : c.n_rows > c.n_ids)
        return golden_error(g, ids->name, d, "as many ids as rows of logits expected");
    c.first_row = c.n_ids - c.n_rows;
    const st_tensor *greedy = find(g, ids->name, n, "generated_ids");
    const st_tensor *greedy_logits = find(g, ids->name, n, "generated_logits");
    if (greedy && !read_ids(g, greedy, vocab, mem, d, &c.n_greedy, &c.greedy)) return false;
    int64_t n_rows = c.n_greedy;
    if (greedy && greedy_logits &&
        !read_logits(g, greedy_logits, vocab, d, &n_rows, &c.greedy_logits))
        return false;
    if (n_rows != c.n_greedy)
        return golden_error(g, ids->name, d, "as many generated ids as rows of logits expected");
    vec_push(mem, &g->cases, c);
    return true;
}

/* Mean KL of the bf16 run among `measured`; stays negative where there is none. */
static bool read_measured(golden *g, arena *mem, diag *d) {
    str source;
    json j;
    g->bf16_mean_kl = -1;
    if (!file_exists(g->cases_path)) return true;
    if (!file_read(g->cases_path, 64 << 20, mem, d, &source) ||
        !json_parse(source, g->cases_path, mem, d, &j))
        return false;
    const cJSON *measured = json_member(j.root, "measured");
    bool ok = true;
    for (const cJSON *m = measured ? measured->child : NULL; m && ok; m = m->next)
        if (m->string && str_starts(str_of(m->string), "hf_bf16"))
            ok = json_get_f64(m, "mean_kl", 0, 100, g->cases_path, d, &g->bf16_mean_kl);
    json_free(&j);
    return ok;
}

static bool open_golden(const char *dir, int64_t vocab, arena *mem, diag *d, golden *g) {
    *g = (golden){.path = path_join(mem, dir, "golden.safetensors")};
    /* the folder itself, or the model's folder around it */
    if (!file_exists(g->path) && file_exists(path_join(mem, dir, "golden/golden.safetensors")))
        dir = path_join(mem, dir, "golden");
    g->path = path_join(mem, dir, "golden.safetensors");
    g->cases_path = path_join(mem, dir, "cases.json");
    if (!file_map(g->path, mem, d, &g->file)) return false;
    bool ok = st_read(g->file.at, g->file.n_bytes, g->path, mem, d, &g->st);
    for (size_t i = 0; ok && i < g->st.n_tensors; i++)
        if (str_ends(str_of(g->st.tensor[i].name), ".input_ids"))
            ok = read_case(g, &g->st.tensor[i], vocab, mem, d);
    if (ok && !g->cases.n) ok = golden_error(g, NULL, d, "there is no tensor NAME.input_ids");
    if (ok) ok = read_measured(g, mem, d);
    if (!ok) file_unmap(&g->file);
    return ok;
}

/* ---- distance ---- */

typedef struct distance {
    double max_abs, sum_abs, sum_kl, max_kl;
    int64_t n_rows, n_logits, n_argmax, n_argmax_clear; /* equal; equal or too close to call */
} distance;

static int64_t argmax(const float *x, int64_t n) {
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        if (x[i] > x[best]) best = i;
    return best;
}

static double log_sum_exp(const float *x, int64_t n) {
    const double top = x[argmax(x, n)];
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += exp(x[i] - top);
    return top + log(sum);
}

/* How far the largest logit is from the second. */
static double margin(const float *x, int64_t n) {
    const int64_t best = argmax(x, n);
    double second = -INFINITY;
    for (int64_t i = 0; i < n; i++)
        if (i != best && x[i] > second) second = x[i];
    return x[best] - second;
}

static void add_row(distance *s, const float *want, const float *got, int64_t n,
                    double clear_margin) {
    const double a = log_sum_exp(want, n), b = log_sum_exp(got, n);
    double kl = 0;
    for (int64_t i = 0; i < n; i++) {
        const double diff = fabs((double)want[i] - got[i]);
        /* a nan is as far as can be */
        s->max_abs = diff <= s->max_abs ? s->max_abs : diff;
        s->sum_abs += diff;
        const double lp = want[i] - a;
        kl += exp(lp) * (lp - (got[i] - b));
    }
    s->sum_kl += kl;
    s->max_kl = kl <= s->max_kl ? s->max_kl : kl;
    s->n_rows++;
    s->n_logits += n;
    const bool equal = argmax(want, n) == argmax(got, n);
    s->n_argmax += equal;
    s->n_argmax_clear += equal || margin(want, n) <= clear_margin;
}

static void add_distance(distance *s, const distance *x) {
    s->max_abs = x->max_abs <= s->max_abs ? s->max_abs : x->max_abs;
    s->max_kl = x->max_kl <= s->max_kl ? s->max_kl : x->max_kl;
    s->sum_abs += x->sum_abs;
    s->sum_kl += x->sum_kl;
    s->n_rows += x->n_rows;
    s->n_logits += x->n_logits;
    s->n_argmax += x->n_argmax;
    s->n_argmax_clear += x->n_argmax_clear;
}

/* ---- bounds ---- */

typedef struct bounds {
    double max_abs, mean_abs, mean_kl, max_kl;
    double argmax;        /* least share of equal ones */
    double clear_margin;  /* under it two logits are too close to call */
    double greedy_margin; /* a greedy token may differ where the reference's margin is under this */
} bounds;

/* tests/golden/README.md section 6: (i) float32 arithmetic, (ii) 16-bit activations */
static const bounds BOUNDS_F32 = {2e-3, INFINITY, 1e-7, INFINITY, 1, 4e-3, 0};
static const bounds BOUNDS_16 = {2.5, 0.15, 0.012, 0.3, 0.85, 0, 0.8};

static bool choose_bounds(const golden *g, const p4c_info *info, const options *o, diag *d,
                          bounds *b) {
    const bool f32 = !strcmp(info->quant, "f32") && info->kv_f32;
    *b = f32 ? BOUNDS_F32 : BOUNDS_16;
    if (!f32 && g->bf16_mean_kl >= 0) b->mean_kl = 1.2 * g->bf16_mean_kl + 1e-5;
    for (int i = 0; i < o->tol.n; i++) {
        const struct {
            const char *name;
            double *at;
        } NAMES[] = {{"max_abs", &b->max_abs},
                     {"mean_abs", &b->mean_abs},
                     {"mean_kl", &b->mean_kl},
                     {"max_kl", &b->max_kl},
                     {"argmax", &b->argmax}};
        const char *eq = strchr(o->tol.v[i], '=');
        bool known = false;
        double v = 0;
        for (size_t k = 0; eq && k < COUNT_OF(NAMES); k++) {
            if (!str_is((str){o->tol.v[i], (size_t)(eq - o->tol.v[i])}, NAMES[k].name)) continue;
            known = str_to_f64(str_of(eq + 1), &v);
            if (known) *NAMES[k].at = v;
        }
        if (!known)
            return diag_error(
                d, DIAG_OPTION_VALUE, (diag_loc){0},
                "option --tol: bad value '%s', want NAME=X with max_abs, mean_abs, mean_kl, "
                "max_kl or argmax",
                o->tol.v[i]);
    }
    return true;
}

static bool within(const bounds *b, const distance *s) {
    return s->max_abs <= b->max_abs && s->sum_abs / (double)s->n_logits <= b->mean_abs &&
           s->sum_kl / (double)s->n_rows <= b->mean_kl && s->max_kl <= b->max_kl &&
           (double)s->n_argmax_clear / (double)s->n_rows >= b->argmax;
}

/* ---- running ---- */

typedef struct result {
    distance distance;
    int64_t n_greedy_equal; /* leading tokens */
    bool greedy_ok;
} result;

/* Row by row: the logits of the positions that the folder has; the session then holds the whole
 * prompt, *last the logits of its end. */
static bool run_prompt(verify *v, const golden_case *c, p4c_session *s, double clear_margin,
                       result *r, float *last) {
    const int64_t V = v->info.vocab;
    float *rows = arena_array(v->a->mem, float, CHUNK_ROWS *V);
    for (int64_t at = 0; at < c->n_ids;) {
        const bool wanted = at >= c->first_row;
        int64_t n = min_i64(wanted ? CHUNK_ROWS : v->info.max_step_tok, c->n_ids - at);
        if (!wanted) n = min_i64(n, c->first_row - at);
        const p4c_item item = {.session = s,
                               .ids = c->ids + at,
                               .n_ids = n,
                               .logits = wanted ? P4C_LOGITS_ALL : P4C_LOGITS_NONE,
                               .out = wanted ? rows : NULL,
                               .n_out = wanted ? n * V : 0,
                               .expected_total = c->n_ids};
        p4c_error error = {0};
        if (p4c_eval(v->model, &item, 1, &error) != P4C_OK) return app_fail(v->a, &error);
        for (int64_t i = 0; wanted && i < n; i++)
            add_row(&r->distance, c->logits + (at + i - c->first_row) * V, rows + i * V, V,
                    clear_margin);
        if (wanted) memcpy(last, rows + (n - 1) * V, (size_t)V * sizeof *last);
        at += n;
        progress_set(&v->bar, v->done += (uint64_t)n);
    }
    return true;
}

static bool run_greedy(verify *v, const golden_case *c, p4c_session *s, const bounds *b,
                       float *logits, result *r) {
    const int64_t V = v->info.vocab;
    r->greedy_ok = true;
    for (int64_t i = 0; i < c->n_greedy; i++) {
        const int32_t id = (int32_t)argmax(logits, V);
        if (id != c->greedy[i]) {
            /* from here on the sequences differ */
            const double m = c->greedy_logits ? margin(c->greedy_logits + i * V, V) : 0;
            r->greedy_ok = m < b->greedy_margin;
            return true;
        }
        r->n_greedy_equal++;
        if (i + 1 == c->n_greedy || c->n_ids + i + 1 > (int64_t)v->info.max_seq_tok) return true;
        const p4c_item item = {.session = s,
                               .ids = &id,
                               .n_ids = 1,
                               .logits = P4C_LOGITS_LAST,
                               .out = logits,
                               .n_out = V};
        p4c_error error = {0};
        if (p4c_eval(v->model, &item, 1, &error) != P4C_OK) return app_fail(v->a, &error);
        progress_set(&v->bar, ++v->done);
    }
    return true;
}

static bool run_case(verify *v, const golden_case *c, const bounds *b, result *r) {
    const arena_pos pos = arena_mark(v->a->mem);
    float *last = arena_array(v->a->mem, float, v->info.vocab);
    p4c_session *s;
    p4c_error error = {0};
    if (p4c_session_open(v->model, &s, &error) != P4C_OK) return app_fail(v->a, &error);
    const bool ok =
        run_prompt(v, c, s, b->clear_margin, r, last) && run_greedy(v, c, s, b, last, r);
    p4c_session_close(s);
    if (ok) arena_rewind(v->a->mem, pos); /* errors live in the arena */
    return ok;
}

/* ---- results ---- */

static void json_number(text *t, const char *key, double x) {
    text_printf(t, ",\"%s\":", key);
    if (isfinite(x)) text_f64(t, x);
    else text_cat(t, "null");
}

static void json_distance(text *t, const distance *s) {
    json_number(t, "max_abs", s->max_abs);
    json_number(t, "mean_abs", s->sum_abs / (double)s->n_logits);
    json_number(t, "mean_kl", s->sum_kl / (double)s->n_rows);
    json_number(t, "max_kl", s->max_kl);
    json_number(t, "argmax_equal", (double)s->n_argmax / (double)s->n_rows);
}

static bool print_json(const verify *v, const golden *g, const bounds *b, const result *r,
                       const distance *all, bool pass) {
    text t = {.mem = v->a->mem};
    text_printf(&t, "{\"pass\":%s,\"quant\":\"%s\",\"cpu\":\"%s\",\"bounds\":{\"greedy_margin\":",
                pass ? "true" : "false", v->info.quant, v->info.cpu);
    text_f64(&t, b->greedy_margin);
    json_number(&t, "max_abs", b->max_abs);
    json_number(&t, "mean_abs", b->mean_abs);
    json_number(&t, "mean_kl", b->mean_kl);
    json_number(&t, "max_kl", b->max_kl);
    json_number(&t, "argmax", b->argmax);
    text_printf(&t, "},\"all\":{\"rows\":%lld", (long long)all->n_rows);
    json_distance(&t, all);
    text_cat(&t, "},\"cases\":[");
    for (size_t i = 0; i < g->cases.n; i++) {
        const golden_case *c = &g->cases.at[i];
        text_cat(&t, i ? ",{\"name\":" : "{\"name\":");
        app_json_string(&t, str_of(c->name));
        text_printf(&t, ",\"tokens\":%lld,\"rows\":%lld", (long long)c->n_ids,
                    (long long)c->n_rows);
        json_distance(&t, &r[i].distance);
        json_number(&t, "greedy_equal",
                    c->n_greedy ? (double)r[i].n_greedy_equal / (double)c->n_greedy : 1);
        text_printf(&t, ",\"greedy_tokens\":[%lld,%lld],\"greedy_ok\":%s}",
                    (long long)r[i].n_greedy_equal, (long long)c->n_greedy,
                    r[i].greedy_ok ? "true" : "false");
    }
    text_cat(&t, "]}\n");
    return app_print(&t, v->a->d);
}

static void text_row(text *t, const char *name, const distance *s) {
    text_printf(t, "%-14s %6lld %10.3g %10.3g %10.3g %10.3g %8.4f", name, (long long)s->n_rows,
                s->max_abs, s->sum_abs / (double)s->n_logits, s->sum_kl / (double)s->n_rows,
                s->max_kl, (double)s->n_argmax / (double)s->n_rows);
}

static bool print_table(const verify *v, const golden *g, const bounds *b, const result *r,
                        const distance *all, bool pass) {
    text t = {.mem = v->a->mem};
    text_printf(&t, "%-14s %6s %10s %10s %10s %10s %8s %s\n", "prompt", "rows", "max_abs",
                "mean_abs", "mean_kl", "max_kl", "argmax", "greedy");
    for (size_t i = 0; i < g->cases.n; i++) {
        text_row(&t, g->cases.at[i].name, &r[i].distance);
        text_printf(&t, " %lld/%lld%s\n", (long long)r[i].n_greedy_equal,
                    (long long)g->cases.at[i].n_greedy, r[i].greedy_ok ? "" : " FAILED");
    }
    text_row(&t, "all", all);
    text_printf(&t, "\n%-14s %6s", "bounds", "");
    const double most[] = {b->max_abs, b->mean_abs, b->mean_kl, b->max_kl};
    for (size_t i = 0; i < COUNT_OF(most); i++)
        if (isfinite(most[i])) text_printf(&t, " %10.3g", most[i]);
        else text_printf(&t, " %10s", "none");
    text_printf(&t, " %8.4f\n%s\n", b->argmax, pass ? "passed" : "FAILED");
    return app_print(&t, v->a->d);
}

static int compare(verify *v, const golden *g) {
    const options *o = v->a->o;
    bounds b;
    if (!choose_bounds(g, &v->info, o, v->a->d, &b)) return EXIT_USAGE;
    result *r = arena_array(v->a->mem, result, g->cases.n);
    uint64_t n_tokens = 0;
    for (size_t i = 0; i < g->cases.n; i++)
        n_tokens += (uint64_t)(g->cases.at[i].n_ids + g->cases.at[i].n_greedy);
    progress_start(&v->bar, "verifying", n_tokens, PROGRESS_COUNT, o->progress.v && !o->quiet.v);
    bool ok = true;
    for (size_t i = 0; ok && i < g->cases.n; i++) ok = run_case(v, &g->cases.at[i], &b, &r[i]);
    progress_end(&v->bar);
    if (!ok) return EXIT_BUG;
    distance all = {0};
    bool greedy_ok = true;
    for (size_t i = 0; i < g->cases.n; i++) {
        add_distance(&all, &r[i].distance);
        greedy_ok = greedy_ok && r[i].greedy_ok;
    }
    const bool pass = within(&b, &all) && greedy_ok;
    if (!(o->json.v ? print_json : print_table)(v, g, &b, r, &all, pass)) return EXIT_RESOURCES;
    return pass ? EXIT_DONE : EXIT_CHECK_FAILED;
}

static int verify_golden(verify *v) {
    golden g;
    if (!open_golden(v->a->o->operand[1], v->info.vocab, v->a->mem, v->a->d, &g))
        return EXIT_BAD_INPUT;
    const int status = compare(v, &g);
    file_unmap(&g.file);
    return status;
}

int cmd_verify(const options *o, arena *mem, diag *d) {
    app a = {.path = o->operand[0], .o = o, .mem = mem, .d = d};
    if (!o->per_op.v && o->n_operands < 2) {
        diag_error(d, DIAG_OPERANDS, (diag_loc){0},
                   "missing argument: a golden folder, or --per-op");
        return EXIT_USAGE;
    }
    if (o->per_op.v && o->n_operands > 1) {
        diag_error(d, DIAG_OPERANDS, (diag_loc){0}, "--per-op takes no golden folder");
        return EXIT_USAGE;
    }
    a.api = open_artifact(a.path, mem, d);
    verify v = {.a = &a};
    if (!a.api || !app_open(&a, &v.model, &v.info)) return EXIT_BAD_ARTIFACT;
    const int status = o->per_op.v ? verify_per_op(&v) : verify_golden(&v);
    p4c_close(v.model);
    return status;
}
