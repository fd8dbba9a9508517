/* verify.h - the two halves of `p4c verify`. */
#ifndef P4C_DRIVER_VERIFY_H
#define P4C_DRIVER_VERIFY_H

#include "app/progress.h"
#include "driver/driver.h"

typedef struct verify {
    app *a;
    p4c_model *model;
    p4c_info info;
    progress bar;
    uint64_t done;
} verify;

/* Every launch of the plan against the interpreter on the IR inside the artifact.  Gives the exit
 * status. */
int verify_per_op(verify *v);

#endif
