/* app_main.c - an artifact as a program: `run`, or `bench` as first word. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/app.h"

static void out_of_memory(size_t wanted) {
    (void)wanted;
    static const char LINE[] = "p4c: out of memory [E0804]\n";
    if (write(STDERR_FILENO, LINE, sizeof LINE - 1) < 0) _exit(EXIT_RESOURCES);
    logits_remove_temporary();
    _exit(EXIT_RESOURCES);
}

static int start(app *a, options *o, int argc, char **argv) {
    if (!options_parse(o, argc, argv, a->mem, a->d)) return EXIT_USAGE;
    text out = {.mem = a->mem};
    if (o->help.v) options_help(o, &out);
    else if (o->version.v) text_printf(&out, "p4c %s\n", P4C_VERSION);
    else return o->command == CMD_bench ? app_bench(a) : app_run(a);
    return app_print(&out, a->d) ? EXIT_DONE : EXIT_RESOURCES;
}

int app_main(const p4c_api *api, int argc, char **argv) {
    app_hold_streams();
    arena_set_oom(out_of_memory);
    arena *mem = arena_open();
    diag d = {.mem = mem};
    const char *path = argc > 0 ? argv[0] : "artifact";
    options o = {.command = CMD_run, .program = path, .is_artifact = true};
    app a = {.api = api, .path = path, .o = &o, .mem = mem, .d = &d};
    int skip = argc > 0;
    if (argc > 1 && (!strcmp(argv[1], "bench") || !strcmp(argv[1], "run"))) {
        options_find_command(argv[1], &o.command);
        o.program = arena_printf(mem, "%s %s", path, argv[1]);
        skip = 2;
    }
    const int status = app_finish(&d, start(&a, &o, argc - skip, argv + skip));
    arena_close(mem);
    return status;
}
