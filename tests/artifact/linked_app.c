/* linked_app.c - a program linked with two artifacts, called one and two. */
#include <stdio.h>
#include <string.h>

#include "runtime/p4c.h"

const p4c_api *one_get_api(uint32_t version);
const p4c_api *two_get_api(uint32_t version);

static int config_is(const p4c_api *api, const char *want) {
    const void *text;
    size_t n;
    return api->get_section(NULL, "config", &text, &n, NULL) == P4C_OK && n == strlen(want) &&
           memcmp(text, want, n) == 0;
}

int main(void) {
    const p4c_api *one = one_get_api(P4C_API_VERSION), *two = two_get_api(P4C_API_VERSION);
    const int ok = one != two && config_is(one, "config of one") &&
                   config_is(two, "config of two") &&
                   (p4c_get_api(P4C_API_VERSION) == one || p4c_get_api(P4C_API_VERSION) == two);
    puts(ok ? "both answer" : "mixed up");
    return !ok;
}
