/* open_artifact.c - the one place that loads an artifact's code into this process. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "driver/driver.h"
#include "driver/read_artifact.h"
#include "runtime/artifact_file.h"

bool read_artifact(const char *path, arena *mem, diag *d, rt_file **out) {
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        const bool no_room = errno == ENOMEM || errno == EMFILE || errno == ENFILE;
        return diag_error(d, no_room ? DIAG_FILE_RESOURCES : DIAG_ARTIFACT_MISSING,
                          (diag_loc){.file = path}, "cannot be opened (%s)", strerror(errno));
    }
    struct stat st;
    if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
        close(fd);
        return diag_error(d, DIAG_ARTIFACT_MISSING, (diag_loc){.file = path},
                          "a folder, not an artifact ('p4c compile' makes one of a checkpoint)");
    }
    rt_file *f = arena_new(mem, rt_file);
    rt_damage why;
    if (rt_file_open_fd(f, fd, &why)) return *out = f, true;
    close(fd);
    char what[256];
    rt_damage_text(&why, what, sizeof what);
    return diag_error(d, DIAG_ARTIFACT_OPEN, (diag_loc){.file = path}, "%s", what);
}

bool read_section(const rt_file *f, const char *path, const char *name, arena *mem, diag *d,
                  str *out) {
    const rt_section *s = rt_section_find(&f->header, name);
    *out = (str){"", 0};
    if (!s) return true;
    char *at = arena_get(mem, s->bytes + 1, 64);
    rt_damage why;
    *out = (str){at, s->bytes};
    if (rt_file_read(f, s, 0, at, s->bytes, &why)) return true;
    char what[256];
    rt_damage_text(&why, what, sizeof what);
    return diag_error(d, DIAG_ARTIFACT_OPEN, (diag_loc){.file = path}, "%s", what);
}

void close_artifact(rt_file *f) { close(f->fd); }

/* Reports why the dynamic loader refused, as far as its words, which are all it gives, tell: in
 * English, as nothing here calls setlocale. */
static void loader_error(const char *path, diag *d, const char *why) {
    const bool mapping = strstr(why, "failed to map segment") != NULL;
    struct statvfs fs;
    if (mapping && statvfs(path, &fs) == 0 && fs.f_flag & ST_NOEXEC) {
        diag_error(d, DIAG_ARTIFACT_OPEN, (diag_loc){.file = path},
                   "code on this file system must not be run (it is mounted noexec)");
        return;
    }
    const bool no_memory = mapping || strstr(why, strerror(ENOMEM)) || strstr(why, "out of memory");
    diag_error(d, no_memory ? DIAG_RUN_NO_MEMORY : DIAG_ARTIFACT_OPEN, (diag_loc){.file = path},
               "the dynamic loader refuses it");
    diag_note(d, (diag_loc){0}, "%s", why);
}

const p4c_api *open_artifact(const char *path, arena *mem, diag *d) {
    /* the dynamic loader trusts ELF headers and maps what is not there: look at them first */
    rt_file *f;
    if (!read_artifact(path, mem, d, &f)) return NULL;
    close_artifact(f);
    /* a name without a slash would be looked for in the library path */
    const char *full = strchr(path, '/') ? path : arena_printf(mem, "./%s", path);
    void *handle = dlopen(full, RTLD_NOW | RTLD_LOCAL);
    /* where glibc runs short of memory its first words may be about anything, such as a file that
     * does not exist: a second try works, or says so */
    if (!handle) handle = dlopen(full, RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
        loader_error(path, d, dlerror());
        return NULL;
    }
    /* a function pointer from an object pointer: POSIX promises it, C does not */
    p4c_get_api_fn *get = NULL;
    void *symbol = dlsym(handle, "p4c_get_api");
    memcpy(&get, &symbol, sizeof get);
    const p4c_api *api = get ? get(P4C_API_VERSION) : NULL;
    if (api) return api;
    diag_error(d, DIAG_ARTIFACT_OPEN, (diag_loc){.file = path}, "no API of version %u",
               P4C_API_VERSION);
    return NULL;
}
