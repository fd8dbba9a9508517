/* golden.c - reads golden.safetensors; compares rows of logits. */
#include "tests/golden/golden.h"

#include <math.h>
#include <string.h>

static const st_tensor *find(const st_file *f, const char *name, const char *what, arena *mem) {
    const char *full = arena_printf(mem, "%s.%s", name, what);
    for (size_t i = 0; i < f->n_tensors; i++)
        if (strcmp(f->tensor[i].name, full) == 0) return &f->tensor[i];
    return NULL;
}

static int32_t *ids_of(const golden_case *c, const st_tensor *t, arena *mem) {
    int32_t *ids = arena_array(mem, int32_t, t->dim[0]);
    for (int64_t i = 0; i < t->dim[0]; i++) {
        int64_t v;
        memcpy(&v, c->file.at + t->range.offset + 8 * i, sizeof v);
        ids[i] = (int32_t)v;
    }
    return ids;
}

static bool is_rows(const st_tensor *t, int64_t V) {
    return t->dtype == DT_f32 && t->rank == 2 && (!V || t->dim[1] == V);
}

static bool read_prompt(const golden_case *c, const st_file *f, const char *name, arena *mem,
                        golden_prompt *p) {
    const st_tensor *ids = find(f, name, "input_ids", mem);
    const st_tensor *logits = find(f, name, "logits", mem);
    const st_tensor *last = find(f, name, "logits_last8", mem);
    const st_tensor *more = find(f, name, "generated_ids", mem);
    const st_tensor *more_logits = find(f, name, "generated_logits", mem);
    if (!logits) logits = last;
    if (!logits || !is_rows(logits, 0) || ids->dtype != DT_i64 || ids->rank != 1) return false;
    p->name = name;
    p->V = logits->dim[1];
    p->n_prompt = p->n_tokens = ids->dim[0];
    p->ids = ids_of(c, ids, mem);
    p->n_rows = logits->dim[0];
    p->first_row = p->n_prompt - p->n_rows;
    if (p->first_row < 0 || (!last && p->first_row)) return false;
    const int64_t n_more = more ? more->dim[0] : 0;
    if (n_more && (!more_logits || !is_rows(more_logits, p->V) || more_logits->dim[0] != n_more))
        return false;

    /* row 0 of generated_logits is the prompt's last one over again */
    const int64_t n_new = n_more ? n_more - 1 : 0, row_bytes = p->V * (int64_t)sizeof(float);
    float *want = arena_array(mem, float, (p->n_rows + n_new) * p->V);
    memcpy(want, c->file.at + logits->range.offset, logits->range.bytes);
    p->want = want;
    if (!n_more) return true;
    p->generated = ids_of(c, more, mem);
    p->n_generated = n_more;
    int32_t *all = arena_array(mem, int32_t, p->n_prompt + n_new);
    memcpy(all, p->ids, (size_t)p->n_prompt * sizeof *all);
    memcpy(all + p->n_prompt, p->generated, (size_t)n_new * sizeof *all);
    p->ids = all;
    memcpy(want + p->n_rows * p->V, c->file.at + more_logits->range.offset + row_bytes,
           (size_t)(n_new * row_bytes));
    p->n_tokens += n_new;
    p->n_rows += n_new;
    return true;
}

bool golden_open(const char *dir, arena *mem, diag *d, golden_case *out) {
    const char *path = arena_printf(mem, "%s/golden/golden.safetensors", dir);
    st_file f;
    *out = (golden_case){0};
    if (!file_map(path, mem, d, &out->file)) return false;
    if (!st_read(out->file.at, out->file.n_bytes, path, mem, d, &f)) {
        golden_close(out);
        return false;
    }
    out->prompt = arena_array(mem, golden_prompt, f.n_tensors);
    for (size_t i = 0; i < f.n_tensors; i++) {
        const str name = str_of(f.tensor[i].name);
        if (!str_ends(name, ".input_ids")) continue;
        const char *prompt = arena_copy(mem, name.at, name.n - strlen(".input_ids"));
        if (read_prompt(out, &f, prompt, mem, &out->prompt[out->n_prompts++])) continue;
        golden_close(out);
        return diag_error(d, DIAG_GOLDEN, (diag_loc){.file = path}, "prompt '%s' is not complete",
                          prompt);
    }
    return true;
}

void golden_close(golden_case *c) { file_unmap(&c->file); }

static int64_t argmax(const float *x, int64_t n) {
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        if (x[i] > x[best]) best = i;
    return best;
}

static double margin_of(const float *x, int64_t n) {
    const int64_t best = argmax(x, n);
    double next = -INFINITY;
    for (int64_t i = 0; i < n; i++)
        if (i != best && (double)x[i] > next) next = (double)x[i];
    return (double)x[best] - next;
}

/* log of the sum of exp(x), in double */
static double log_sum(const float *x, int64_t n) {
    const double top = (double)x[argmax(x, n)];
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += exp((double)x[i] - top);
    return top + log(sum);
}

void golden_compare(const golden_prompt *p, const float *got, double margin, golden_distance *sum) {
    for (int64_t r = 0; r < p->n_rows; r++) {
        const float *a = p->want + r * p->V, *b = got + r * p->V;
        const double la = log_sum(a, p->V), lb = log_sum(b, p->V);
        double kl = 0;
        for (int64_t i = 0; i < p->V; i++) {
            const double diff = fabs((double)a[i] - (double)b[i]);
            /* written so that a NaN counts as the worst */
            if (!(diff <= sum->max_abs)) sum->max_abs = isnan(diff) ? INFINITY : diff;
            kl += exp((double)a[i] - la) * (((double)a[i] - la) - ((double)b[i] - lb));
        }
        sum->mean_kl += kl;
        sum->n_rows++;
        sum->n_argmax += argmax(a, p->V) == argmax(b, p->V) || margin_of(a, p->V) <= margin;
        /* generated token t follows position n_prompt - 1 + t */
        const int64_t t = p->first_row + r - (p->n_prompt - 1);
        if (t < 0 || t >= p->n_generated) continue;
        sum->n_greedy++;
        sum->n_equal += argmax(b, p->V) == p->generated[t];
    }
}

void golden_finish(golden_distance *sum) {
    if (sum->n_rows) sum->mean_kl /= (double)sum->n_rows;
}
