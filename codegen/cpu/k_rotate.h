/* k_rotate.h - the rotation of one pair of lanes, one formula for the fused and the plain kernel.
 */
#ifndef P4C_CODEGEN_CPU_K_ROTATE_H
#define P4C_CODEGEN_CPU_K_ROTATE_H

#include "codegen/cpu/lb.h"

/* low = x1 * c - x2 * s, high = x2 * c + x1 * s; f32 lanes */
void cpu_rotate(lb *b, lbv x1, lbv x2, lbv c, lbv s, lbv *low, lbv *high);

#endif
