/* step_cpu.h - runs one step: walks the plan with all threads.
 *
 * Every thread goes through the launches in order and computes its share of each one's work units,
 * a contiguous range that depends on the number of threads alone; threads wait for each other only
 * where the plan has a barrier.  Nothing is allocated while a step runs.
 */
#ifndef P4C_RUNTIME_STEP_CPU_H
#define P4C_RUNTIME_STEP_CPU_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/alloc.h"
#include "runtime/load.h"
#include "runtime/p4c.h"

typedef struct rt_executor rt_executor;

typedef struct rt_step_run {
    const rt_step *step;                 /* T <= max_tokens, R <= max_rows */
    float *logits;                       /* f32[R, vocab], aligned to 64 bytes; NULL where R is 0 */
    bool (*is_cancelled)(void *context); /* asked between launches, from any thread */
    void *context;
    p4c_watch_fn *watch; /* NULL: none */
    void *watch_context;
} rt_step_run;

/* The tables and the variant stay in use.  Starts the threads; makes up the weights of a model that
 * has none.  ERR_NO_MEMORY, ERR_SYSTEM. */
p4c_status rt_exec_open(const rt_alloc *mem, const rt_tables *tables, const rt_variant *variant,
                        int n_threads, rt_executor **out, p4c_error *error);
void rt_exec_close(rt_executor *x); /* NULL is allowed */

/* One at a time.  False: cancelled; nothing of the step can be used then. */
__attribute__((warn_unused_result)) bool rt_exec_run(rt_executor *x, const rt_step_run *run);

int rt_exec_threads(const rt_executor *x);
/* Work units done by each thread since open, the first n of them.  From any thread. */
void rt_exec_units(const rt_executor *x, uint64_t *units, uint32_t n);

#endif
