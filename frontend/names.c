/* names.c - builds tensor names from the patterns of names.def. */
#include "frontend/names.h"

#include <string.h>

static const char *const PATTERN[ROLE_COUNT] = {
#define ROLE(name, pattern) [ROLE_##name] = pattern,
#include "frontend/names.def"
};

static const char *const SUFFIX[PART_COUNT] = {
#define PART(name, suffix) [PART_##name] = suffix,
#include "frontend/names.def"
};

const char *fe_module_name(fe_role role, int64_t layer, arena *mem) {
    const char *pattern = PATTERN[role], *hole = strchr(pattern, '#');
    if (!hole) return pattern;
    return arena_printf(mem, "%.*s%lld%s", (int)(hole - pattern), pattern, (long long)layer,
                        hole + 1);
}

const char *fe_part_name(const char *module, fe_part part, arena *mem) {
    return arena_printf(mem, "%s.%s", module, SUFFIX[part]);
}
