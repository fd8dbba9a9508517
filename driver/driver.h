/* driver.h - the commands of p4c, one file each. */
#ifndef P4C_DRIVER_DRIVER_H
#define P4C_DRIVER_DRIVER_H

#include "app/app.h"
#include "app/options.h"

/* Each gives the exit status; errors are in d, and their status counts. */
typedef int command_fn(const options *o, arena *mem, diag *d);
#define COMMAND(name, operands, min, max, meaning) command_fn cmd_##name;
#define EXAMPLE(command, arguments, what)
#include "app/commands.def"
#undef COMMAND
#undef EXAMPLE

/* Loads an artifact into this process: code in it runs from here on.  NULL: reported. */
const p4c_api *open_artifact(const char *path, arena *mem, diag *d);

#endif
