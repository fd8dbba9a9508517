#include "base/file.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/unit.h"

/* A fresh folder per test, removed at the end. */
typedef struct fixture {
    char dir[32];
    arena *mem;
    diag d;
} fixture;

static fixture set_up(void) {
    fixture f = {.dir = "/tmp/p4c-test-XXXXXX", .mem = arena_open()};
    CU_ASSERT_FATAL(mkdtemp(f.dir) != NULL);
    f.d.mem = f.mem;
    return f;
}

static void tear_down(fixture *f) {
    char command[100];
    snprintf(command, sizeof command, "rm -rf '%s'", f->dir);
    CU_ASSERT_EQUAL(system(command), 0);
    arena_close(f->mem);
}

static const char *in(fixture *f, const char *name) { return path_join(f->mem, f->dir, name); }

static void put(fixture *f, const char *name, const char *content) {
    FILE *o = fopen(in(f, name), "w");
    CU_ASSERT_FATAL(o != NULL);
    fputs(content, o);
    fclose(o);
}

static int files_in(const char *dir) {
    char command[100];
    int n = -1;
    snprintf(command, sizeof command, "ls -A '%s' | wc -l", dir);
    FILE *p = popen(command, "r");
    if (fscanf(p, "%d", &n) != 1) n = -1;
    pclose(p);
    return n;
}

static bool refused(fixture *f, bool result, diag_code code, const char *said) {
    const bool ok =
        !result && f->d.n_errors == 1 && f->d.first->code == code && strstr(f->d.first->text, said);
    if (!ok && f->d.first) printf("\n    got: %s\n", f->d.first->text);
    diag_clear(&f->d);
    return ok;
}

static void files_are_read_and_mapped(void) {
    fixture f = set_up();
    str s;
    mapped_file m;
    put(&f, "a", "hello");
    put(&f, "empty", "");
    CU_ASSERT(file_read(in(&f, "a"), 5, f.mem, &f.d, &s) && str_is(s, "hello") && s.at[5] == 0);
    CU_ASSERT(file_read(in(&f, "empty"), 5, f.mem, &f.d, &s) && s.n == 0 && s.at[0] == 0);
    CU_ASSERT(file_map(in(&f, "a"), f.mem, &f.d, &m));
    CU_ASSERT(m.n_bytes == 5 && !memcmp(m.at, "hello", 5) && !strcmp(m.path, in(&f, "a")));
    file_unmap(&m);
    CU_ASSERT(file_map(in(&f, "empty"), f.mem, &f.d, &m) && m.n_bytes == 0 && m.at);
    file_unmap(&m);
    file_unmap(&m); /* twice is harmless */
    CU_ASSERT_EQUAL(f.d.n_errors, 0);
    CU_ASSERT(file_exists(in(&f, "a")) && !file_exists(in(&f, "b")));
    tear_down(&f);
}

static void what_is_no_plain_file_is_refused(void) {
    fixture f = set_up();
    str s;
    mapped_file m;
    put(&f, "a", "hello");
    CU_ASSERT(
        refused(&f, file_read(in(&f, "no"), 9, f.mem, &f.d, &s), DIAG_FILE_OPEN, "No such file"));
    CU_ASSERT(refused(&f, file_map(in(&f, "no"), f.mem, &f.d, &m), DIAG_FILE_OPEN, "No such file"));
    CU_ASSERT(refused(&f, file_read(in(&f, "a"), 4, f.mem, &f.d, &s), DIAG_FILE_TOO_LARGE,
                      "found 5 bytes, expected at most 4"));
    CU_ASSERT(refused(&f, file_map(f.dir, f.mem, &f.d, &m), DIAG_FILE_NOT_REGULAR, "a folder"));
    CU_ASSERT(
        refused(&f, file_read("/dev/zero", 9, f.mem, &f.d, &s), DIAG_FILE_NOT_REGULAR, "device"));
    CU_ASSERT_FATAL(mkfifo(in(&f, "pipe"), 0600) == 0); /* must not wait for a writer */
    CU_ASSERT(
        refused(&f, file_read(in(&f, "pipe"), 9, f.mem, &f.d, &s), DIAG_FILE_NOT_REGULAR, "pipe"));
    tear_down(&f);
}

static void names_stay_in_their_folder(void) {
    fixture f = set_up();
    mapped_file m;
    const char *hub = in(&f, "hub");
    static const char *const DIRS[] = {"hub", "hub/blobs", "hub/snapshots", "hub/snapshots/r1"};
    for (size_t i = 0; i < COUNT_OF(DIRS); i++) CU_ASSERT_FATAL(mkdir(in(&f, DIRS[i]), 0700) == 0);
    put(&f, "hub/blobs/0123456789abcdef", "blob");
    put(&f, "hub/blobs/name", "blob");
    put(&f, "hub/a", "beside");
    const char *dir = in(&f, "hub/snapshots/r1");
    CU_ASSERT(symlink("a", in(&f, "hub/link")) == 0);
    CU_ASSERT(symlink("link", in(&f, "hub/link2")) == 0);
    CU_ASSERT(symlink("/etc/passwd", in(&f, "hub/out")) == 0);
    CU_ASSERT(symlink("../../blobs/0123456789abcdef", in(&f, "hub/snapshots/r1/good")) == 0);
    CU_ASSERT(symlink("../../blobs/name", in(&f, "hub/snapshots/r1/bad")) == 0);
    CU_ASSERT(symlink("../../blobs/../a", in(&f, "hub/snapshots/r1/up")) == 0);

    CU_ASSERT(file_map_in(hub, "a", f.mem, &f.d, &m) && !memcmp(m.at, "beside", 6));
    file_unmap(&m);
    CU_ASSERT(file_map_in(hub, "link", f.mem, &f.d, &m) && !memcmp(m.at, "beside", 6));
    file_unmap(&m);
    CU_ASSERT(file_map_in(dir, "good", f.mem, &f.d, &m) && !memcmp(m.at, "blob", 4));
    file_unmap(&m);
    static const struct {
        const char *dir, *name, *said;
    } BAD[] = {
        {"hub", "../a", "outside"},
        {"hub", "/etc/passwd", "outside"},
        {"hub", "blobs/name", "outside"},
        {"hub", "..", "outside"},
        {"hub", ".", "outside"},
        {"hub", "", "outside"},
        {"hub", "out", "symbolic link"},
        {"hub", "link2", "symbolic link"},
        {"hub/snapshots/r1", "bad", "symbolic link"},
        {"hub/snapshots/r1", "up", "symbolic link"},
        {"hub", "absent", "No such file"},
        {"nowhere", "a", "No such file"},
    };
    for (size_t i = 0; i < COUNT_OF(BAD); i++)
        CU_ASSERT(refused(&f, file_map_in(in(&f, BAD[i].dir), BAD[i].name, f.mem, &f.d, &m),
                          DIAG_FILE_OPEN, BAD[i].said));
    tear_down(&f);
}

static void a_set_is_one_range_of_addresses(void) {
    fixture f = set_up();
    static char big[FILE_SET_ALIGN + 5];
    memset(big, 'x', sizeof big - 1);
    put(&f, "a", big); /* a little more than one unit */
    put(&f, "empty", "");
    put(&f, "b", "second");
    mapped_set s;
    const char *const names[] = {"a", "empty", "b"};
    CU_ASSERT_FATAL(file_map_set(f.dir, names, 3, f.mem, &f.d, &s));
    CU_ASSERT(s.n_files == 3 && s.n_bytes == 3 * FILE_SET_ALIGN);
    CU_ASSERT(s.file[0].at == s.at && s.at[FILE_SET_ALIGN + 3] == 'x');
    CU_ASSERT_EQUAL(s.file[1].n_bytes, 0);
    CU_ASSERT(s.file[2].at == s.at + 2 * FILE_SET_ALIGN && !memcmp(s.file[2].at, "second", 6));
    file_unmap_set(&s);
    file_unmap_set(&s); /* twice is harmless */
    const char *const bad[] = {"a", "../a", "b"};
    CU_ASSERT(refused(&f, file_map_set(f.dir, bad, 3, f.mem, &f.d, &s), DIAG_FILE_OPEN, "outside"));
    const char *const absent[] = {"a", "b", "no"};
    CU_ASSERT(
        refused(&f, file_map_set(f.dir, absent, 3, f.mem, &f.d, &s), DIAG_FILE_OPEN, "/no: "));
    CU_ASSERT(file_map_set(f.dir, names + 1, 1, f.mem, &f.d, &s) && s.n_bytes == 0 && s.at);
    file_unmap_set(&s);
    CU_ASSERT(file_map_set(f.dir, names, 0, f.mem, &f.d, &s) && s.n_files == 0);
    file_unmap_set(&s);
    tear_down(&f);
}

/* Runs body in a child; its exit status, and what it wrote to stderr in `said`. */
static int in_child(void (*body)(fixture *), fixture *f, char *said, size_t n) {
    int fds[2], status = 0;
    CU_ASSERT_FATAL(pipe(fds) == 0);
    fflush(stdout);
    const pid_t pid = fork();
    if (pid == 0) {
        dup2(fds[1], STDERR_FILENO);
        close(fds[0]);
        body(f);
        _exit(0);
    }
    close(fds[1]);
    size_t got = 0;
    for (ssize_t r; got < n - 1 && (r = read(fds[0], said + got, n - 1 - got)) > 0;)
        got += (size_t)r;
    said[got] = 0;
    close(fds[0]);
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void read_a_shrunk_map(fixture *f) {
    mapped_file m;
    if (!file_map(in(f, "a"), f->mem, &f->d, &m) || truncate(m.path, 0) != 0) _exit(99);
    _exit(m.at[0] ? 98 : 97);
}

static void a_file_that_shrinks_ends_the_command(void) {
    fixture f = set_up();
    char said[300];
    put(&f, "a", "hello");
    CU_ASSERT_EQUAL(in_child(read_a_shrunk_map, &f, said, sizeof said), EXIT_BAD_INPUT);
    CU_ASSERT(strstr(said, "/a: ") && strstr(said, "became shorter") && strstr(said, "[E0002]"));
    tear_down(&f);
}

static void output_appears_when_complete(void) {
    fixture f = set_up();
    str s;
    put(&f, "out", "old");
    file_writer *w = file_create(in(&f, "out"), 0755, f.mem, &f.d);
    CU_ASSERT_FATAL(w != NULL);
    CU_ASSERT(file_write(w, "new-", 4) && file_write(w, "text", 4) && file_write_at(w, 0, "N", 1));
    CU_ASSERT_EQUAL(file_size(w), 8);
    CU_ASSERT(file_read(in(&f, "out"), 99, f.mem, &f.d, &s) && str_is(s, "old"));
    CU_ASSERT(file_commit(w));
    CU_ASSERT(file_read(in(&f, "out"), 99, f.mem, &f.d, &s) && str_is(s, "New-text"));
    CU_ASSERT_EQUAL(files_in(f.dir), 1);
    struct stat st;
    const mode_t mask = umask(0);
    umask(mask);
    CU_ASSERT(stat(in(&f, "out"), &st) == 0 && (st.st_mode & 0777) == (0755 & ~mask));

    w = file_create(in(&f, "out"), 0644, f.mem, &f.d); /* dropped: the older one stays */
    CU_ASSERT(w && file_write(w, "x", 1));
    file_abandon(w);
    file_abandon(NULL);
    CU_ASSERT(file_read(in(&f, "out"), 99, f.mem, &f.d, &s) && str_is(s, "New-text"));
    CU_ASSERT_EQUAL(files_in(f.dir), 1);

    w = file_create(in(&f, "fresh"), 0644, f.mem, &f.d);
    CU_ASSERT(w && file_write_at(w, 5, "x", 1) && file_commit(w)); /* a hole is zeros */
    CU_ASSERT(file_read(in(&f, "fresh"), 99, f.mem, &f.d, &s) && s.n == 6 && s.at[4] == 0);
    tear_down(&f);
}

static void die_while_writing(fixture *f) {
    file_writer *w = file_create(in(f, "out"), 0644, f->mem, &f->d);
    if (!w || !file_write(w, "half", 4)) _exit(99);
    raise(SIGKILL);
}

static void a_killed_writer_leaves_nothing(void) {
    fixture f = set_up();
    char said[100];
    CU_ASSERT_EQUAL(in_child(die_while_writing, &f, said, sizeof said), 128 + SIGKILL);
    CU_ASSERT_EQUAL(files_in(f.dir), 0);
    tear_down(&f);
}

static void fill_a_quota(fixture *f) {
    const struct rlimit limit = {4096, 4096};
    setrlimit(RLIMIT_FSIZE, &limit);
    file_writer *w = file_create(in(f, "out"), 0644, f->mem, &f->d);
    static char big[10000];
    if (!w || file_write(w, big, sizeof big)) _exit(99);
    file_abandon(w);
    if (!strstr(f->d.first->text, "File too large")) _exit(98);
    _exit((int)diag_exit_status(&f->d));
}

/* Where the file system has no unnamed files, or between naming and renaming. */
static void what_a_killed_writer_left_goes_with_the_next(void) {
    fixture f = set_up();
    put(&f, ".out.123-0.tmp", "left");
    put(&f, ".out.123-1.tmp", "another process writes it");
    put(&f, ".out.x-0.tmp", "no name of ours");
    put(&f, ".output.123-0.tmp", "of another output");
    const int fd = open(in(&f, ".out.123-1.tmp"), O_RDONLY);
    CU_ASSERT_FATAL(fd >= 0 && flock(fd, LOCK_EX) == 0);
    file_writer *w = file_create(in(&f, "out"), 0666, f.mem, &f.d);
    CU_ASSERT_FATAL(w != NULL);
    CU_ASSERT(!file_exists(in(&f, ".out.123-0.tmp")));
    CU_ASSERT(file_exists(in(&f, ".out.123-1.tmp")));
    CU_ASSERT(file_exists(in(&f, ".out.x-0.tmp")));
    CU_ASSERT(file_exists(in(&f, ".output.123-0.tmp")));
    close(fd);
    CU_ASSERT(file_write(w, "x", 1));
    CU_ASSERT(file_commit(w));
    CU_ASSERT(file_exists(in(&f, "out")));
    tear_down(&f);
}

static void a_full_quota_is_reported(void) {
    fixture f = set_up();
    char said[100];
    CU_ASSERT_EQUAL(in_child(fill_a_quota, &f, said, sizeof said), EXIT_RESOURCES);
    CU_ASSERT_EQUAL(files_in(f.dir), 0);
    tear_down(&f);
}

static void open_too_many_files(fixture *f) {
    const struct rlimit limit = {8, 8};
    setrlimit(RLIMIT_NOFILE, &limit);
    mapped_file m;
    for (int i = 0; i < 10; i++)
        if (!file_map(in(f, "a"), f->mem, &f->d, &m)) {
            if (f->d.first->code != DIAG_FILE_RESOURCES) _exit(98);
            _exit((int)diag_exit_status(&f->d));
        }
    _exit(99);
}

static void running_out_of_descriptors_is_no_bad_input(void) {
    fixture f = set_up();
    char what[100];
    put(&f, "a", "x");
    CU_ASSERT_EQUAL(in_child(open_too_many_files, &f, what, sizeof what), EXIT_RESOURCES);
    tear_down(&f);
}

static void places_that_take_no_file_are_refused(void) {
    fixture f = set_up();
    CU_ASSERT(refused(&f, file_create(in(&f, "no/out"), 0644, f.mem, &f.d) != NULL, DIAG_FILE_WRITE,
                      "No such file"));
    CU_ASSERT(refused(&f, file_create(f.dir, 0644, f.mem, &f.d) != NULL, DIAG_FILE_WRITE,
                      "no regular file"));
    CU_ASSERT(refused(&f, file_create("/dev/null", 0644, f.mem, &f.d) != NULL, DIAG_FILE_WRITE,
                      "no regular file"));
    CU_ASSERT(refused(&f, file_create(in(&f, ""), 0644, f.mem, &f.d) != NULL, DIAG_FILE_WRITE, ""));
    put(&f, "file", "");
    CU_ASSERT(refused(&f, file_create(in(&f, "file/out"), 0644, f.mem, &f.d) != NULL,
                      DIAG_FILE_WRITE, "Not a directory"));
    tear_down(&f);
}

static void paths(void) {
    arena *mem = arena_open();
    CU_ASSERT_STRING_EQUAL(path_join(mem, "a/b", "c"), "a/b/c");
    CU_ASSERT_STRING_EQUAL(path_join(mem, "a/", "c"), "a/c");
    CU_ASSERT_STRING_EQUAL(path_base("a/b/c.so"), "c.so");
    CU_ASSERT_STRING_EQUAL(path_base("c.so"), "c.so");
    CU_ASSERT_STRING_EQUAL(path_base("a/"), "");
    arena_close(mem);
}

UNIT_MAIN("file", {"files are read and mapped", files_are_read_and_mapped},
          {"what is no plain file is refused", what_is_no_plain_file_is_refused},
          {"names stay in their folder", names_stay_in_their_folder},
          {"a file that shrinks ends the command", a_file_that_shrinks_ends_the_command},
          {"a set is one range of addresses", a_set_is_one_range_of_addresses},
          {"running out of descriptors is no bad input",
           running_out_of_descriptors_is_no_bad_input},
          {"output appears when complete", output_appears_when_complete},
          {"a killed writer leaves nothing", a_killed_writer_leaves_nothing},
          {"what a killed writer left goes with the next",
           what_a_killed_writer_left_goes_with_the_next},
          {"a full quota is reported", a_full_quota_is_reported},
          {"places that take no file are refused", places_that_take_no_file_are_refused},
          {"paths", paths})
