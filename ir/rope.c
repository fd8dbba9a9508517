/* rope.c - numbers of OP_rope_table.  Source: modeling_phi3.py and modeling_rope_utils.py of
 * transformers; angles in float64 instead move the logits of long prompts, so every step rounds to
 * float32 as there. */
#include "ir/rope.h"

#include <math.h>

float rope_table_at(const ir_op *table, int64_t position, int64_t k) {
    const int64_t rot = ir_i64(table, ATTR_rot), half = rot / 2, j = k % half;
    const float exponent = (float)(2 * j) / (float)rot;
    float divisor = (float)pow((double)(float)ir_f64(table, ATTR_theta), (double)exponent);
    const ir_attr *factors = ir_find_attr(table, ATTR_factors);
    if (factors) divisor = (float)factors->f64s.at[j] * divisor;
    const float frequency = 1.0f / divisor;
    const float angle = (float)position * frequency;
    const float turned = k < half ? (float)cos((double)angle) : (float)sin((double)angle);
    const ir_attr *by = ir_find_attr(table, ATTR_by);
    return by ? turned * (float)by->f64 : turned;
}
