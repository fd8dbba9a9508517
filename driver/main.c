/* main.c - p4c: finds the command, reads its options, runs it. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "codegen/codegen.h"
#include "driver/driver.h"

static command_fn *const COMMANDS[CMD_COUNT] = {
#define COMMAND(name, operands, min, max, meaning) [CMD_##name] = cmd_##name,
#define EXAMPLE(command, arguments, what)
#include "app/commands.def"
#undef COMMAND
#undef EXAMPLE
};

static void put_err(const char *s) {
    if (write(STDERR_FILENO, s, strlen(s)) < 0) return; /* nothing left to tell it to */
}

static void on_out_of_memory(size_t wanted) {
    (void)wanted;
    put_err("p4c: out of memory [E0006]\n");
    file_remove_temporaries();
    logits_remove_temporary();
    _exit(EXIT_RESOURCES);
}

/* Ends as the signal would, but without files left behind. */
static void on_end(int number) {
    file_remove_temporaries();
    signal(number, SIG_DFL);
    raise(number);
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#define SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#else
#define SANITIZED 0
#endif

static void prepare(void) {
    arena_set_oom(on_out_of_memory);
    cpu_catch_llvm_errors();
}

/* Ahead of main, because LLVM's constructors allocate thousands of times; but not ahead of a
 * sanitizer's runtime. */
#if !SANITIZED
__attribute__((section(".preinit_array"), used)) static void (*before_libraries)(void) = prepare;
#endif

static void on_crash(int number) {
    char line[] = "p4c: a bug in p4c, or code of a damaged artifact: signal 00\n";
    line[sizeof line - 4] = (char)('0' + number / 10);
    line[sizeof line - 3] = (char)('0' + number % 10);
    put_err(line);
    file_remove_temporaries();
    _exit(EXIT_BUG);
}

static void catch_signals(void) {
    static const int ENDS[] = {SIGINT, SIGTERM, SIGHUP};
    /* a sanitizer's report says more than our line */
    static const int CRASHES[] = {SIGSEGV, SIGILL, SIGFPE, SIGABRT};
    for (size_t i = 0; i < COUNT_OF(ENDS); i++)
        if (signal(ENDS[i], on_end) == SIG_IGN) signal(ENDS[i], SIG_IGN); /* nohup */
    for (size_t i = 0; !SANITIZED && i < COUNT_OF(CRASHES); i++) signal(CRASHES[i], on_crash);
}

static bool print_version(bool json, arena *mem, diag *d) {
    text t = {.mem = mem};
    text_printf(&t, json ? "{\"version\":\"%s\"}\n" : "p4c %s\n", P4C_VERSION);
    return app_print(&t, d);
}

static int run_command(options *o, int argc, char **argv, arena *mem, diag *d) {
    if (!options_parse(o, argc, argv, mem, d)) return EXIT_USAGE;
    if (o->version.v) return print_version(o->json.v, mem, d) ? EXIT_DONE : EXIT_RESOURCES;
    if (!o->help.v) return COMMANDS[o->command](o, mem, d);
    text t = {.mem = mem};
    options_help(o, &t);
    return app_print(&t, d) ? EXIT_DONE : EXIT_RESOURCES;
}

/* Commands that other programs have. */
static const struct {
    const char *name, *why;
} FOREIGN_COMMANDS[] = {
    {"generate", "'p4c run FILE -p TEXT' generates text"},
    {"chat", "'p4c run FILE' without a prompt is a chat"},
    {"quantize", "'p4c compile DIR -o FILE --quant w4a16-g128' makes 4-bit weights"},
    {"convert", "'p4c compile DIR -o FILE' reads a Hugging Face checkpoint as it is"},
    {"build", "'p4c compile DIR -o FILE' compiles a model"},
    {"serve", "there is no server"},
    {"detokenize", "'p4c tokenize FILE --decode 1,2,3' prints the text of ids"},
};

static int unknown_command(const char *name, diag *d) {
    struct stat st;
    diag_error(d, DIAG_COMMAND_UNKNOWN, (diag_loc){0}, "unknown command '%s'", name);
    const char *near = options_nearest_command(name);
    if (near) diag_note(d, (diag_loc){0}, "did you mean 'p4c %s'?", near);
    for (size_t i = 0; i < COUNT_OF(FOREIGN_COMMANDS); i++)
        if (!strcmp(name, FOREIGN_COMMANDS[i].name))
            diag_note(d, (diag_loc){0}, "%s", FOREIGN_COMMANDS[i].why);
    if (near || stat(name, &st) != 0) return EXIT_USAGE;
    if (S_ISDIR(st.st_mode))
        diag_note(d, (diag_loc){0}, "'p4c compile %s -o FILE' compiles a checkpoint", name);
    else diag_note(d, (diag_loc){0}, "'p4c run %s -p TEXT' runs an artifact", name);
    return EXIT_USAGE;
}

static bool is_one_of(const char *word, const char *a, const char *b, const char *c) {
    return !strcmp(word, a) || !strcmp(word, b) || !strcmp(word, c);
}

static int start(int argc, char **argv, arena *mem, diag *d) {
    const char *word = argc > 1 ? argv[1] : "";
    text t = {.mem = mem};
    options_list_commands(&t);
    if (argc < 2) {
        fputs(t.buf.at, stderr);
        return EXIT_USAGE;
    }
    const bool is_help = is_one_of(word, "--help", "-h", "help") || !strcmp(word, "-help");
    if (is_help && argc == 2) return app_print(&t, d) ? EXIT_DONE : EXIT_RESOURCES;
    if (is_one_of(word, "--version", "-version", "version") || !strcmp(word, "-V"))
        return print_version(argc > 2 && !strcmp(argv[2], "--json"), mem, d) ? EXIT_DONE
                                                                             : EXIT_RESOURCES;
    options o = {0};
    const char *name = is_help ? argv[2] : word;
    if (!options_find_command(name, &o.command)) return unknown_command(name, d);
    o.program = arena_printf(mem, "p4c %s", name);
    char *help[] = {"--help"};
    return is_help ? run_command(&o, 1, help, mem, d) : run_command(&o, argc - 2, argv + 2, mem, d);
}

int main(int argc, char **argv) {
    if (SANITIZED) prepare();
    app_hold_streams();
    catch_signals();
    arena *mem = arena_open();
    diag d = {.mem = mem};
    const int status = app_finish(&d, start(argc, argv, mem, &d));
    arena_close(mem);
    return status;
}
