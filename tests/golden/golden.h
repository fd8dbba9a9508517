/* golden.h - reference logits of a case folder, and how far others are from them. */
#ifndef P4C_TESTS_GOLDEN_H
#define P4C_TESTS_GOLDEN_H

#include "base/file.h"
#include "frontend/safetensors.h"

/* One prompt of golden.safetensors.  The sequence is the prompt and all generated tokens but the
 * last; row r of want, [n_rows, V], belongs to position first_row + r of it. */
typedef struct golden_prompt {
    const char *name;
    int64_t n_prompt, n_tokens;
    int32_t *ids; /* [n_tokens] */
    int64_t first_row, n_rows, V;
    const float *want;
    int64_t n_generated; /* 0: none stored */
    int32_t *generated;
} golden_prompt;

typedef struct golden_case {
    golden_prompt *prompt;
    int n_prompts;
    mapped_file file;
} golden_case;

/* DIR/golden/golden.safetensors.  Lives in mem; close the file with golden_close. */
P4C_CHECKED bool golden_open(const char *dir, arena *mem, diag *d, golden_case *out);
void golden_close(golden_case *c);

/* Distance of rows from the reference, over all positions. */
typedef struct golden_distance {
    double max_abs, mean_kl;
    int64_t n_rows, n_argmax;  /* rows; rows whose argmax is equal or whose margin is small */
    int64_t n_greedy, n_equal; /* greedy tokens; those equal */
} golden_distance;

/* got: [n_rows, V].  margin: distance of the two largest reference logits under which argmax may
 * differ.  Adds to *sum; mean_kl stays a sum until golden_finish. */
void golden_compare(const golden_prompt *p, const float *got, double margin, golden_distance *sum);
void golden_finish(golden_distance *sum);

#endif
