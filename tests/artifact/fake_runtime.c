/* fake_runtime.c - stands for runtime/ and app/ in tests of the artifact's form: an interface with
 * one working entry, and a program that does what its first argument says.
 */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/app.h"
#include "runtime/abi.h"
#include "runtime/artifact_file.h"

/* The section of that name in this very artifact. */
static p4c_status get_section(const p4c_model *model, const char *name, const void **data,
                              size_t *n_bytes, p4c_error *error) {
    (void)model, (void)error;
    const rt_header *h = (const rt_header *)(const void *)p4c_data;
    const rt_section *s = rt_section_find(h, name);
    if (!s) return P4C_ERR_NOT_THERE;
    *data = p4c_data + s->offset;
    *n_bytes = s->bytes;
    return P4C_OK;
}

const p4c_api *p4c_get_api(uint32_t version) {
    static const p4c_api api = {
        .version = P4C_API_VERSION, .size = sizeof api, .get_section = get_section};
    return version == P4C_API_VERSION ? &api : NULL;
}

__attribute__((destructor)) static void say_destroyed(void) {
    if (getenv("FAKE_TALKS")) puts("destructor");
}

static char buffered[1 << 16]; /* .bss between the code and the data segment */

static int check_data(void) {
    rt_damage why;
    char line[200];
    if (rt_data_check(p4c_data, &why)) {
        puts("data is whole");
        return 0;
    }
    rt_damage_text(&why, line, sizeof line);
    puts(line);
    return 4;
}

static void *add_one(void *p) {
    *(int *)p += 1;
    return p;
}

static void *speak_last(void *main_thread) {
    pthread_join(*(pthread_t *)main_thread, NULL);
    puts("main thread is gone");
    return NULL;
}

static int leave_by_pthread_exit(void) {
    static pthread_t self, other;
    self = pthread_self();
    if (pthread_create(&other, NULL, speak_last, &self) != 0) return 1;
    pthread_exit(NULL);
}

static int count_in_thread(void) {
    int n = 41;
    pthread_t t;
    if (pthread_create(&t, NULL, add_one, &n) != 0 || pthread_join(t, NULL) != 0) return 1;
    printf("%d %.3f\n", n, exp((double)n / 42));
    return 0;
}

int app_main(const p4c_api *api, int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    setvbuf(stdout, buffered, _IOFBF, sizeof buffered);
    if (strcmp(what, "data") == 0) return check_data();
    if (strcmp(what, "thread") == 0) return count_in_thread();
    if (strcmp(what, "pthread_exit") == 0) return leave_by_pthread_exit();
    int64_t n = 0;
    void *const operand[] = {&n};
    p4c_image.variants[0].kernels[0].fn(NULL, operand, 7, 0, 1, NULL);
    printf("%d arguments, kernel says %d, version %u\n", argc - 1, (int)n, api->version);
    return argc > 1 ? atoi(argv[1]) : 0;
}
