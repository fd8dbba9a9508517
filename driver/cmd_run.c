/* cmd_run.c - `run` and `bench`: the programs that every artifact has, on one that p4c has loaded.
 */
#include "app/machine.h"
#include "driver/driver.h"

static int on_artifact(int (*program)(app *a), const options *o, arena *mem, diag *d) {
    const uint64_t begin = machine_ns();
    app a = {.path = o->operand[0], .o = o, .mem = mem, .d = d};
    a.api = open_artifact(a.path, mem, d);
    if (!a.api) return EXIT_BAD_ARTIFACT;
    a.load_ns = machine_ns() - begin;
    return program(&a);
}

int cmd_run(const options *o, arena *mem, diag *d) { return on_artifact(app_run, o, mem, d); }

int cmd_bench(const options *o, arena *mem, diag *d) { return on_artifact(app_bench, o, mem, d); }
