/* eval.h - new tokens of any number of sessions, cut into steps. */
#ifndef P4C_RUNTIME_EVAL_H
#define P4C_RUNTIME_EVAL_H

#include "runtime/model.h"
#include "runtime/p4c.h"

/* p4c_eval. */
p4c_status rt_eval(p4c_model *m, const p4c_item *items, size_t n_items, p4c_error *error);

/* The arrays of a step; opened and closed with the model. */
p4c_status rt_step_room_open(const rt_alloc *mem, const rt_tables *tables, rt_step_room *out,
                             p4c_error *error);
void rt_step_room_close(const rt_alloc *mem, const rt_tables *tables, rt_step_room *room);

#endif
