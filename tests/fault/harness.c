/* harness.c - see harness.h. */
#include "tests/fault/harness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"

enum { MAX_SECONDS = 100, MAX_TOLD = 20, MAX_TEXT = 1 << 20 };

static const char OLD[] = "an older artifact\n";

static void give_up(const char *what) {
    fprintf(stderr, "cannot test: %s (%s)\n", what, strerror(errno));
    exit(EXIT_BUG);
}

bool fault_expect(fault *f, bool ok, const char *what, const char *wrong) {
    f->n_checks++;
    if (ok) return true;
    if (f->n_wrong++ < MAX_TOLD) printf("WRONG  %s: %s\n", what, wrong);
    return false;
}

static const char *make_dir(fault *f, const char *name) {
    const char *path = path_join(f->mem, f->dir, name);
    if (mkdir(path, 0777) != 0) give_up(path);
    return path;
}

void fault_open(fault *f, char **argv) {
    const char *base = getenv("TMPDIR");
    *f = (fault){.mem = arena_open()};
    f->d = arena_new(f->mem, diag);
    f->d->mem = f->mem;
    char *dir = arena_printf(f->mem, "%s/p4c-fault-XXXXXX", base && *base ? base : "/tmp");
    f->dir = mkdtemp(dir);
    if (!f->dir) give_up(dir);
    f->p4c = argv[0];
    f->object = strcmp(argv[1], "none") != 0 ? argv[1] : NULL;
    f->checkpoint = argv[2];
    f->out = make_dir(f, "out");
    f->tmp = make_dir(f, "tmp");
    f->artifact = path_join(f->mem, f->out, "x.so");
    const char *page = path_join(f->mem, f->dir, "page");
    const int fd = open(page, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, sizeof *f->page) != 0) give_up(page);
    f->page = mmap(NULL, sizeof *f->page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (f->page == MAP_FAILED || sem_init(&f->page->stopped, 1, 0) != 0 ||
        sem_init(&f->page->go_on, 1, 0) != 0)
        give_up(page);
}

void fault_close(fault *f) {
    fault_stop(f);
    munmap(f->page, sizeof *f->page);
    const char *command =
        arena_printf(f->mem, "chmod -R u+rwX '%s' && rm -rf '%s'", f->dir, f->dir);
    if (system(command) != 0) f->n_wrong++;
    arena_close(f->mem);
}

const char *fault_call_name(int call) {
    static const char *const NAMES[CALL_COUNT] = {
#define CALL(name, kind, error) [CALL_##name] = #name,
#include "tests/fault/inject.def"
#undef CALL
    };
    return NAMES[call];
}

inject_set fault_set(int kind) {
    static const int KINDS[CALL_COUNT] = {
#define CALL(name, kind, error) [CALL_##name] = INJECT_##kind,
#include "tests/fault/inject.def"
#undef CALL
    };
    inject_set set = 0;
    for (int i = 0; i < CALL_COUNT; i++)
        if (KINDS[i] == kind) set |= (inject_set)1 << i;
    return set;
}

/* Knuth's MMIX constants; the low bits are poor and not used */
uint32_t fault_random(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

/* ---- programs ---- */

void fault_wish(fault *f, inject_set set, int64_t from, int64_t to) {
    inject_page *p = f->page;
    p->counted = set;
    p->from = from;
    p->to = to;
    p->error = p->signal = p->no_unnamed = 0;
    p->max_file = p->max_memory = p->max_piece = 0;
    p->track = 1;
}

void fault_wish_none(fault *f) { fault_wish(f, 0, 0, 0); }

static const char *text_path(fault *f, int fd) {
    return path_join(f->mem, f->dir, fd == STDOUT_FILENO ? "stdout" : "stderr");
}

static void redirect(const char *path, int flags, int to) {
    const int fd = open(path, flags, 0600);
    if (fd < 0 || dup2(fd, to) < 0) _exit(127);
    close(fd);
}

static void clear_results(fault *f) {
    inject_page *p = f->page;
    p->n_seen = p->n_failed = p->n_left = 0;
    p->was_normal = 0;
    p->left[0] = 0;
    truncate(text_path(f, STDOUT_FILENO), 0);
    truncate(text_path(f, STDERR_FILENO), 0);
}

pid_t fault_start(fault *f, const fault_run *r) {
    const char *out = text_path(f, STDOUT_FILENO), *err = text_path(f, STDERR_FILENO);
    clear_results(f);
    const pid_t pid = fork();
    if (pid < 0) give_up("fork");
    if (pid) return pid;
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    redirect(r->in ? r->in : "/dev/null", O_RDONLY, STDIN_FILENO);
    if (r->out_fd) dup2(r->out_fd, STDOUT_FILENO);
    else redirect(out, O_WRONLY | O_CREAT | O_APPEND, STDOUT_FILENO);
    redirect(err, O_WRONLY | O_CREAT | O_APPEND, STDERR_FILENO);
    setenv("TMPDIR", f->tmp, 1);
    if (!r->plain && f->object) {
        setenv("P4C_INJECT", path_join(f->mem, f->dir, "page"), 1);
        setenv("LD_PRELOAD", f->object, 1);
    }
    if (r->prepare) r->prepare(r->context);
    char *argv[FAULT_MAX_ARGS];
    for (int i = 0; i < FAULT_MAX_ARGS; i++) argv[i] = (char *)(uintptr_t)r->argv[i];
    execv(argv[0], argv);
    _exit(127);
}

static str read_text(fault *f, int fd) {
    str s = {"", 0};
    if (!file_read(text_path(f, fd), MAX_TEXT, f->mem, f->d, &s)) diag_clear(f->d);
    return s;
}

static fault_end end_of(fault *f, int wait_status) {
    fault_end e = {.out = read_text(f, STDOUT_FILENO), .err = read_text(f, STDERR_FILENO)};
    e.by_signal = WIFSIGNALED(wait_status);
    e.status = e.by_signal ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
    return e;
}

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static struct timespec soon(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_nsec += 50000000;
    if (t.tv_nsec >= 1000000000) t.tv_nsec -= 1000000000, t.tv_sec++;
    return t;
}

static void hangs(fault *f, pid_t pid) {
    fault_expect(f, false, "a program", "it hangs");
    kill(pid, SIGKILL);
}

fault_end fault_wait(fault *f, pid_t pid) {
    sigset_t set;
    int status;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD); /* blocked by main, so that it can be waited for */
    const double begin = seconds();
    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (seconds() - begin > MAX_SECONDS) {
            hangs(f, pid);
            waitpid(pid, &status, 0);
            break;
        }
        sigtimedwait(&set, NULL, &(struct timespec){.tv_nsec = 50000000});
    }
    return end_of(f, status);
}

fault_end fault_do(fault *f, const fault_run *r) { return fault_wait(f, fault_start(f, r)); }

/* ---- sessions ---- */

/* Until the program stops, or a copy of it has ended.  False: the program itself ended. */
static bool wait_for_stop(fault *f, fault_end *end) {
    const double begin = seconds();
    int status;
    for (;;) {
        const struct timespec until = soon();
        if (sem_timedwait(&f->page->stopped, &until) == 0) return true;
        if (waitpid(f->program, &status, WNOHANG) == f->program) break;
        if (seconds() - begin < MAX_SECONDS) continue;
        hangs(f, f->page->command == INJECT_fork && f->page->copy ? f->page->copy : f->program);
        f->page->copy = 0;
    }
    f->program = 0;
    *end = end_of(f, status);
    return false;
}

bool fault_session(fault *f, const fault_run *r, inject_set stop, int64_t at, fault_end *end) {
    f->page->stop = stop;
    f->page->stop_at = at;
    f->page->command = INJECT_go;
    f->program = fault_start(f, r);
    return wait_for_stop(f, end);
}

bool fault_go(fault *f, inject_set stop, int64_t at, fault_end *end) {
    fault_wish_none(f);
    clear_results(f);
    f->page->stop = stop;
    f->page->stop_at = at;
    f->page->command = INJECT_go;
    sem_post(&f->page->go_on);
    return wait_for_stop(f, end);
}

void fault_stop(fault *f) {
    if (!f->program) return;
    kill(f->program, SIGKILL);
    waitpid(f->program, NULL, 0);
    f->program = 0;
}

fault_end fault_copy(fault *f) {
    fault_end end;
    clear_results(f);
    f->page->copy = 0;
    f->page->command = INJECT_fork;
    sem_post(&f->page->go_on);
    if (!wait_for_stop(f, &end)) {
        errno = 0;
        give_up("the program that is copied has ended");
    }
    return end_of(f, f->page->status);
}

/* ---- checks ---- */

void fault_lay(fault *f, fault_file state) {
    unlink(f->artifact);
    if (state != FILE_old) return;
    FILE *file = fopen(f->artifact, "wb");
    if (!file || fwrite(OLD, 1, sizeof OLD, file) != sizeof OLD || fclose(file) != 0)
        give_up(f->artifact);
}

static bool begins(str s, const char *prefix) {
    const size_t n = strlen(prefix);
    return s.n >= n && memcmp(s.at, prefix, n) == 0;
}

/* What is wrong with stderr; NULL: nothing. */
static const char *wrong_text(str err, bool failed) {
    int n_errors = 0, n_other = 0;
    for (str rest = err; rest.n;) {
        const char *newline = memchr(rest.at, '\n', rest.n);
        const str line = {rest.at, newline ? (size_t)(newline - rest.at) : rest.n};
        rest.at += line.n + (newline != NULL);
        rest.n -= line.n + (newline != NULL);
        if (!newline) return "stderr ends without a newline";
        if (begins(line, "p4c: warning: ")) continue;
        if (begins(line, "p4c: ")) n_errors++;
        else if (!begins(line, "  hint: ") && !begins(line, "  note: ")) n_other++;
    }
    if (failed && n_errors != 1) return n_errors ? "more than one error" : "no line says why";
    if (failed && n_other) return "stderr has lines that are neither error, hint nor note";
    return !failed && n_errors ? "success with an error line" : NULL;
}

bool fault_check_text(fault *f, const char *what, const fault_end *e, const char *may) {
    const bool known = !e->by_signal && e->status < 10 && strchr(may, '0' + e->status);
    const char *wrong = known ? wrong_text(e->err, e->status != 0) : "another exit status";
    if (wrong)
        wrong = arena_printf(f->mem, "%s (status %d, expected one of %s): %.*s", wrong, e->status,
                             may, (int)(e->err.n < 600 ? e->err.n : 600), e->err.at);
    return fault_expect(f, !wrong, what, wrong);
}

static const char *find_stranger(fault *f, const char *dir, const char *known) {
    DIR *d = opendir(dir);
    const char *found = NULL;
    for (struct dirent *e; d && (e = readdir(d));)
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") && strcmp(e->d_name, known))
            found = arena_printf(f->mem, "%s/%s is left behind", dir, e->d_name);
    if (d) closedir(d);
    return found;
}

bool fault_left_temporary(fault *f) {
    const char *found = find_stranger(f, f->out, "x.so");
    return found && strstr(found, "/.x.so.") && strstr(found, ".tmp");
}

static const char *wrong_file(fault *f, fault_file state) {
    str content;
    struct stat st;
    const bool there = lstat(f->artifact, &st) == 0;
    if (state == FILE_absent) return there ? "there is a file under the output's name" : NULL;
    if (!there) return "the output is missing";
    if (!file_read(f->artifact, (uint64_t)1 << 30, f->mem, f->d, &content)) {
        diag_clear(f->d);
        return "the output cannot be read";
    }
    const str want = state == FILE_old ? (str){OLD, sizeof OLD} : f->whole;
    if (content.n == want.n && memcmp(content.at, want.at, want.n) == 0) return NULL;
    return state == FILE_old ? "the older file was harmed" : "the output is not right";
}

bool fault_check_files(fault *f, const char *what, fault_file artifact) {
    const arena_pos mark = arena_mark(f->mem);
    const char *wrong = artifact == FILE_any ? NULL : wrong_file(f, artifact);
    if (!wrong) wrong = find_stranger(f, f->out, "x.so");
    if (!wrong) wrong = find_stranger(f, f->tmp, "");
    const bool ok = fault_expect(f, !wrong, what, wrong);
    if (ok) arena_rewind(f->mem, mark);
    return ok;
}

bool fault_check(fault *f, const char *what, const fault_end *e, const char *may,
                 fault_file before) {
    const bool said = fault_check_text(f, what, e, may);
    const fault_file now = e->status == 0 && before != FILE_any ? FILE_whole : before;
    const bool files = fault_check_files(f, what, now);
    const bool clean = !f->page->was_normal || !f->page->n_left;
    return fault_expect(f, clean, what, arena_printf(f->mem, "left: %s", f->page->left)) && said &&
           files;
}

bool fault_check_signal(fault *f, const char *what, const fault_end *e, int signal,
                        fault_file before) {
    const bool ended = e->status == 128 + signal && !wrong_text(e->err, false);
    const char *wrong =
        arena_printf(f->mem, "status %d, expected %d: %.*s", e->status, 128 + signal,
                     (int)(e->err.n < 600 ? e->err.n : 600), e->err.at);
    return fault_expect(f, ended, what, wrong) && fault_check_files(f, what, before);
}

bool fault_has_whole(fault *f) {
    const arena_pos mark = arena_mark(f->mem);
    const bool whole = !wrong_file(f, FILE_whole);
    arena_rewind(f->mem, mark);
    return whole;
}
