/* conditions.c - what users meet: inputs that are missing, unreadable or change, outputs that
 * cannot be written, full disks, closed streams. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "tests/fault/harness.h"

/* ---- inputs ---- */

/* root reads and writes everything, but for this */
static void without_override(void *context) {
    (void)context;
    prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0);
    prctl(PR_CAPBSET_DROP, CAP_DAC_READ_SEARCH, 0, 0, 0);
}

static const char *const FILES[] = {
    "config.json",           "model.safetensors",       "tokenizer.json", "generation_config.json",
    "tokenizer_config.json", "special_tokens_map.json",
};

/* A copy of the checkpoint that a test may spoil. */
static const char *own_checkpoint(fault *f) {
    const char *own = path_join(f->mem, f->dir, "own");
    const char *to = path_join(f->mem, own, path_base(f->checkpoint)); /* the model's name */
    const char *command = arena_printf(f->mem, "mkdir '%s' && cp -r '%s' '%s' && chmod -R u+w '%s'",
                                       own, f->checkpoint, to, to);
    if (system(command) != 0) fault_expect(f, false, "the checkpoint", "it cannot be copied");
    return to;
}

static void refuse(fault *f, const char *what, const char *dir, const char *may) {
    const fault_run r = {.argv = {f->p4c, "compile", dir, "-o", f->artifact},
                         .prepare = without_override};
    fault_wish_none(f);
    const fault_end e = fault_do(f, &r);
    fault_check(f, what, &e, may, FILE_whole);
}

typedef enum spoil { SPOIL_unreadable, SPOIL_folder, SPOIL_fifo, SPOIL_loop, SPOIL_empty } spoil;

static void spoil_file(fault *f, const char *dir, const char *name, spoil how) {
    static const char *const SAYS[] = {"unreadable", "a folder", "a pipe", "a link to itself",
                                       "empty"};
    const char *path = path_join(f->mem, dir, name), *aside = path_join(f->mem, f->dir, "aside");
    bool ok = rename(path, aside) == 0;
    if (how == SPOIL_folder) ok = ok && mkdir(path, 0777) == 0;
    else if (how == SPOIL_fifo) ok = ok && mkfifo(path, 0666) == 0;
    else if (how == SPOIL_loop) ok = ok && symlink(name, path) == 0;
    else ok = ok && close(open(path, O_WRONLY | O_CREAT, how == SPOIL_empty ? 0666 : 0)) == 0;
    const char *what = arena_printf(f->mem, "%s is %s", name, SAYS[how]);
    if (fault_expect(f, ok, what, "it cannot be made")) refuse(f, what, dir, "3");
    remove(path);
    if (rename(aside, path) != 0) fault_expect(f, false, what, "it cannot be put back");
}

/* The shard is cut while it is mapped: when its header is read, and when its weights are packed. */
static void cut_shard(fault *f, const char *dir) {
    static const struct {
        int call;
        int64_t at;
    } STOPS[] = {{CALL_mmap_file, 1}, {CALL_calloc, 1}, {CALL_memfd_create, 1}, {CALL_pipe2, 2}};
    const char *shard = path_join(f->mem, dir, "model.safetensors");
    const fault_run r = {.argv = {f->p4c, "compile", dir, "-o", f->artifact}};
    fault_end end;
    str bytes;
    if (!file_read(shard, 1 << 24, f->mem, f->d, &bytes)) return;
    fault_wish_none(f);
    bool stopped = fault_session(f, &r, (inject_set)1 << STOPS[0].call, STOPS[0].at, &end);
    for (size_t i = 0; stopped && i < COUNT_OF(STOPS); i++) {
        const char *what = arena_printf(f->mem, "the shard is cut before %s %lld",
                                        fault_call_name(STOPS[i].call), (long long)STOPS[i].at);
        truncate(shard, 100);
        const fault_end e = fault_copy(f);
        fault_check(f, what, &e, "3", FILE_whole);
        const int fd = open(shard, O_WRONLY);
        if (write(fd, bytes.at, bytes.n) != (ssize_t)bytes.n)
            fault_expect(f, false, what, "it cannot be restored");
        close(fd);
        if (i + 1 < COUNT_OF(STOPS))
            stopped = fault_go(f, (inject_set)1 << STOPS[i + 1].call, STOPS[i + 1].at, &end);
    }
    if (!fault_expect(f, stopped, "cut shard", "a stop was not reached")) return;
    fault_go(f, 0, 0, &end);
    fault_check(f, "compile of the restored shard", &end, "0", FILE_whole);
}

/* The artifact is cut while it is mapped.  (One that is run as a program cannot be: ETXTBSY.) */
static void cut_artifact(fault *f) {
    static const char WHAT[] = "the artifact is cut while p4c runs it";
    const fault_run r = {
        .argv = {f->p4c, "run", f->artifact, "--ids", "1,2,3", "-n", "9", "--greedy", "-t1"}};
    fault_end end;
    fault_wish_none(f);
    if (!fault_session(f, &r, (inject_set)1 << CALL_write, 1, &end)) {
        fault_expect(f, false, WHAT, "it wrote nothing");
        return;
    }
    const off_t cuts[] = {(off_t)f->whole.n - 4096, 4096, 0};
    for (size_t i = 0; i < COUNT_OF(cuts); i++) { /* each cuts more */
        if (truncate(f->artifact, cuts[i]) != 0) fault_expect(f, false, WHAT, "it cannot be cut");
        const fault_end e = fault_copy(f);
        fault_check_text(f, WHAT, &e, "4");
    }
    fault_stop(f); /* what it wrote to its own pages was cut off, too */
}

/* Inputs of `run`: argv without the program. */
static void refuse_run(fault *f, const char *what, const char *artifact, const char *file,
                       const char *may) {
    const fault_run r = {.argv = {f->p4c, "run", artifact, "-f", file, "-n", "1"},
                         .prepare = without_override};
    fault_wish_none(f);
    const fault_end e = fault_do(f, &r);
    fault_check(f, what, &e, may, FILE_whole);
    fault_expect(f, e.out.n == 0, what, "it wrote something");
}

void fault_inputs(fault *f) {
    const char *dir = own_checkpoint(f), *none = path_join(f->mem, f->dir, "none");
    const char *config = path_join(f->mem, dir, "config.json");
    refuse(f, "no such folder", none, "3");
    refuse(f, "a file instead of the folder", config, "3");
    refuse(f, "an empty folder", f->tmp, "3");
    for (size_t i = 0; i < COUNT_OF(FILES); i++)
        for (int how = SPOIL_unreadable; how <= SPOIL_empty; how++)
            spoil_file(f, dir, FILES[i], (spoil)how);
    chmod(dir, 0);
    refuse(f, "an unreadable folder", dir, "3");
    chmod(dir, 0600);
    refuse(f, "a folder that cannot be entered", dir, "3");
    chmod(dir, 0700);
    cut_shard(f, dir);

    refuse_run(f, "no artifact", none, config, "3");
    refuse_run(f, "a folder as artifact", f->tmp, config, "34");
    refuse_run(f, "a text as artifact", config, config, "4");
    refuse_run(f, "no prompt file", f->artifact, none, "3");
    refuse_run(f, "a folder as prompt", f->artifact, f->tmp, "3");
    chmod(config, 0);
    refuse_run(f, "an unreadable prompt", f->artifact, config, "3");
    chmod(f->artifact, 0);
    refuse_run(f, "an unreadable artifact", f->artifact, config, "3");
    chmod(f->artifact, 0755);

    cut_artifact(f);
}

/* ---- outputs ---- */

static void refuse_output(fault *f, const char *what, const char *path) {
    const fault_run r = {.argv = {f->p4c, "compile", f->checkpoint, "-o", path},
                         .prepare = without_override};
    fault_wish_none(f);
    const fault_end e = fault_do(f, &r);
    fault_check(f, what, &e, "6", FILE_any);
    const fault_run ir = {.argv = {f->p4c, "compile", f->checkpoint, "--emit", "ir", "-o", path},
                          .prepare = without_override};
    const fault_end e2 = fault_do(f, &ir);
    fault_check(f, arena_printf(f->mem, "%s (--emit ir)", what), &e2, "6", FILE_any);
    const fault_run logits = {
        .argv = {f->artifact, "--ids", "1,2", "-n", "0", "--logits-out", path},
        .prepare = without_override};
    const fault_end e3 = fault_do(f, &logits);
    fault_check(f, arena_printf(f->mem, "%s (--logits-out)", what), &e3, "6", FILE_any);
}

static void places(fault *f) {
    const char *sealed = path_join(f->mem, f->dir, "sealed");
    mkdir(sealed, 0555);
    refuse_output(f, "the output is a folder", f->dir);
    refuse_output(f, "a missing folder", path_join(f->mem, f->dir, "none/x.so"));
    refuse_output(f, "a folder that may not be written", path_join(f->mem, sealed, "x.so"));
    refuse_output(f, "below a file", path_join(f->mem, f->artifact, "x.so"));
    mkfifo(path_join(f->mem, f->dir, "pipe"), 0666);
    refuse_output(f, "a pipe", path_join(f->mem, f->dir, "pipe"));
}

/* A private mount of a small file system over f->out; false: not allowed here. */
static bool mount_small(fault *f, size_t n_bytes) {
    static bool is_private;
    if (!is_private && unshare(CLONE_NEWNS) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
        return false;
    is_private = true;
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) return false;
    return mount("none", f->out, "tmpfs", 0, arena_printf(f->mem, "size=%zu", n_bytes)) == 0;
}

/* Leaves about n_bytes of the small file system free. */
static void fill(fault *f, size_t size, size_t n_bytes) {
    const char *path = path_join(f->mem, f->out, "x.so"); /* it is the older artifact, too */
    const int fd = open(path, O_WRONLY | O_APPEND);
    const size_t n = size > n_bytes ? size - n_bytes : 0;
    if (fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)n) != 0)
        fault_expect(f, false, "full disk", "it cannot be filled");
    close(fd);
}

/* One stopped compile; copies of it meet disks and limits of several sizes. */
static void full_disks(fault *f) {
    const size_t n = f->whole.n, disk = n + (1 << 20);
    const fault_run r = {.argv = {f->p4c, "compile", f->checkpoint, "-o", f->artifact}};
    const size_t free_bytes[] = {0, 4096, n / 2, n - 4096};
    const int64_t limits[] = {4096, 1 << 20, 2 << 20, (int64_t)n - 1};
    fault_end end;
    fault_wish_none(f);
    const bool small = mount_small(f, disk);
    if (!small) printf("no small file system can be mounted: full disks by limits alone\n");
    fault_lay(f, FILE_old);
    if (!fault_session(f, &r, (inject_set)1 << CALL_open_write, 2, &end)) {
        fault_check(f, "compile", &end, "", FILE_old);
        return;
    }
    /* too little for p4c's next allocation, or only for the linker */
    for (int64_t memory = 16 << 20; memory < 256 << 20; memory += 24 << 20) {
        fault_wish_none(f);
        f->page->max_memory = memory;
        const fault_end e = fault_copy(f);
        fault_check(f, arena_printf(f->mem, "%lld bytes of memory", (long long)memory), &e, "06",
                    FILE_old);
        fault_lay(f, FILE_old);
    }
    for (int early = 0; early < 2; early++) { /* whether the disk can say at once that it is full */
        for (size_t i = 0; i < COUNT_OF(free_bytes); i++) {
            fault_wish(f, (inject_set)1 << CALL_fallocate, early ? 0 : 1, INJECT_EVER);
            f->page->error = EOPNOTSUPP;
            f->page->max_file = limits[i];
            fault_end e = fault_copy(f);
            fault_check(f, arena_printf(f->mem, "files may have %lld bytes", (long long)limits[i]),
                        &e, "6", FILE_old);
            f->page->max_file = 0;
            if (!small) continue;
            fault_lay(f, FILE_old);
            fill(f, disk, free_bytes[i]);
            e = fault_copy(f);
            fault_check(f, arena_printf(f->mem, "%zu bytes of the disk are free", free_bytes[i]),
                        &e, "6", FILE_old);
            fault_lay(f, FILE_old);
        }
    }
    fault_go(f, 0, 0, &end);
    fault_check(f, "compile", &end, "0", FILE_old);
    if (!small) return;
    if (mount("none", f->out, "tmpfs", MS_REMOUNT | MS_NOEXEC, NULL) == 0) {
        const fault_run run = {.argv = {f->p4c, "run", f->artifact, "--ids", "1,2", "-n", "1"}};
        const fault_end e = fault_do(f, &run);
        fault_check(f, "an artifact on a noexec file system", &e, "4", FILE_whole);
        fault_expect(f, strstr(e.err.at, "noexec") != NULL, "noexec", "it does not say so");
    }
    umount(f->out);
}

/* ---- streams ---- */

static void close_out(void *context) {
    (void)context;
    close(STDOUT_FILENO);
}

static void close_all(void *context) {
    (void)context;
    for (int fd = 0; fd <= STDERR_FILENO; fd++) close(fd);
}

/* Results that cannot be printed: /dev/full, a closed stdout, and a reader that has gone, which is
 * no error. */
static void streams_of(fault *f, const char *what, fault_run r) {
    int ends[2];
    fault_wish_none(f);
    r.out_fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    fault_end e = fault_do(f, &r);
    fault_check(f, arena_printf(f->mem, "%s > /dev/full", what), &e, "6", FILE_whole);
    close(r.out_fd);
    r.out_fd = 0;
    r.prepare = close_out;
    e = fault_do(f, &r);
    fault_check(f, arena_printf(f->mem, "%s >&-", what), &e, "6", FILE_whole);
    r.prepare = close_all;
    e = fault_do(f, &r);
    fault_expect(f, e.status == 6, arena_printf(f->mem, "%s <&- >&- 2>&-", what),
                 "another exit status");
    r.prepare = NULL;
    if (pipe2(ends, O_CLOEXEC) != 0) return;
    close(ends[0]);
    r.out_fd = ends[1];
    e = fault_do(f, &r);
    close(ends[1]);
    const char *name = arena_printf(f->mem, "%s | true", what);
    fault_check(f, name, &e, "0", FILE_whole);
    fault_expect(f, e.err.n == 0, name, "it is not quiet");
}

static void streams(fault *f) {
    streams_of(f, "artifact", (fault_run){.argv = {f->artifact, "--ids", "1,2,3", "-n", "4"}});
    streams_of(f, "artifact --json",
               (fault_run){.argv = {f->artifact, "--ids", "1,2,3", "-n", "4", "--json"}});
    streams_of(f, "artifact --help", (fault_run){.argv = {f->artifact, "--help"}});
    streams_of(f, "p4c run",
               (fault_run){.argv = {f->p4c, "run", f->artifact, "-p", "Hello", "-n", "4"}});
    streams_of(f, "p4c inspect", (fault_run){.argv = {f->p4c, "inspect", f->artifact}});
    streams_of(f, "p4c --help", (fault_run){.argv = {f->p4c, "--help"}});
    streams_of(f, "p4c compile --emit ir",
               (fault_run){.argv = {f->p4c, "compile", f->checkpoint, "--emit", "ir", "-q"}});
    streams_of(f, "p4c tokenize",
               (fault_run){.argv = {f->p4c, "tokenize", f->checkpoint, "-p", "Hello"}});

    /* files must not take the numbers of closed streams, to which messages go */
    const fault_run compile = {.argv = {f->p4c, "compile", f->checkpoint, "-o", f->artifact},
                               .prepare = close_all};
    fault_lay(f, FILE_absent);
    fault_wish_none(f);
    const fault_end e = fault_do(f, &compile);
    fault_check(f, "p4c compile <&- >&- 2>&-", &e, "0", FILE_absent);
}

/* ---- limits from the start ---- */

typedef struct limits {
    int resource;
    rlim_t to;
} limits;

static void set_limit(void *context) {
    const limits *l = context;
    setrlimit((__rlimit_resource_t)l->resource, &(struct rlimit){l->to, l->to});
}

/* More and more of a resource, until the program works.  Where there is too little even for the
 * dynamic loader, it says so. */
static void until_it_works(fault *f, fault_run r, const char *what, limits l, rlim_t step) {
    static const char LOADER[] = "error while loading shared libraries";
    int n_refused = 0;
    r.prepare = set_limit;
    r.context = &l;
    r.plain = true;
    fault_wish_none(f);
    for (;; l.to += step) {
        const char *name = arena_printf(f->mem, "%s with %llu", what, (unsigned long long)l.to);
        const fault_end e = fault_do(f, &r);
        if (e.status == 127 && strstr(e.err.at, LOADER)) continue;
        if (e.by_signal && !e.err.n && !n_refused) continue; /* the kernel could not start it */
        const bool ok = fault_check(f, name, &e, "06", FILE_whole);
        if (e.status == 0 || !ok) break;
        n_refused++;
    }
    fault_expect(f, n_refused > 0, what, "nothing was refused");
}

void fault_limits(fault *f) {
    enum { MB = 1 << 20 };
    const limits memory = {RLIMIT_AS, 4 * MB}, files = {RLIMIT_NOFILE, 4};
    const fault_run own = {.argv = {f->artifact, "--ids", "1,2,3", "-n", "4", "--greedy"}};
    const fault_run loaded = {.argv = {f->p4c, "run", f->artifact, "--ids", "1,2,3", "-n", "4"}};
    const fault_run compile = {.argv = {f->p4c, "compile", f->checkpoint, "-o", f->artifact}};
    until_it_works(f, own, "memory of the artifact", memory, MB / 2);
    until_it_works(f, loaded, "memory of p4c run", memory, 5 * MB);
    until_it_works(f, compile, "memory of p4c compile", memory, 22 * MB);
    until_it_works(f, compile, "files of p4c compile", files, 8);
}

void fault_output(fault *f) {
    places(f);
    streams(f);
    full_disks(f);
}
