/* value.h - trees of JSON values: what a chat is handed to the template renderer in.
 *
 *     rt_region r;
 *     rt_region_init(&r, mem, RT_NO_LIMIT);
 *     rt_value messages = rt_list_new(&r), m = rt_map_new(&r);
 *     bool ok = rt_map_put(&r, m, "role", rt_text_new(&r, "user", 4, RT_FROM_CALLER)) && ...
 *     rt_region_free(&r);                                    frees every value made in it
 *
 * Values are 16 bytes and passed by value; what they point at lives in a region.  Lists and maps
 * are references: copies of a value share them.  Each text knows which of its bytes came from the
 * caller (DESIGN.md section 8): those may not form special tokens when the rendered text is
 * tokenized.  Nothing here recurses; nesting is bounded by RT_VALUE_DEPTH.
 */
#ifndef P4C_RUNTIME_VALUE_H
#define P4C_RUNTIME_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/alloc.h"

/* ---- region: bump memory freed at once ---- */

#define RT_NO_LIMIT SIZE_MAX

typedef enum rt_region_state {
    RT_REGION_ok,
    RT_REGION_no_memory, /* the hooks gave NULL */
    RT_REGION_limit,     /* more than the limit was asked for */
} rt_region_state;

typedef struct rt_region {
    const rt_alloc *mem;
    void *chunk; /* newest; each starts with a pointer to the one before */
    size_t used, cap;
    size_t total, limit;   /* bytes taken from the hooks */
    rt_region_state state; /* sticky: once not ok, every request fails */
} rt_region;

void rt_region_init(rt_region *r, const rt_alloc *mem, size_t limit);
void rt_region_free(rt_region *r);
/* n bytes (0 is allowed) aligned for any type, not zeroed; NULL: see r->state. */
void *rt_region_get(rt_region *r, size_t n);
/* n * size bytes; NULL also where the product overflows. */
void *rt_region_array(rt_region *r, size_t n, size_t size);
/* Room for one more behind n items; moves the array where it is full.  NULL: see r->state. */
void *rt_region_grown(rt_region *r, void *at, size_t n, size_t *cap, size_t size);

/* ---- values ---- */

enum {
    RT_VALUE_DEPTH = 100,       /* lists and maps within each other */
    RT_VALUE_BIG_DIGITS = 4300, /* of an integer beyond 64 bits; Python's limit too */
};

typedef enum rt_kind {
    RT_KIND_missing, /* no value: an unset variable, a failed call */
    RT_KIND_none,
    RT_KIND_bool,
    RT_KIND_int,
    RT_KIND_big, /* an integer beyond 64 bits: its digits, as a text; no arithmetic */
    RT_KIND_float,
    RT_KIND_text,
    RT_KIND_list,
    RT_KIND_tuple, /* a list by another name; JSON has none */
    RT_KIND_map,
    RT_KIND_vm, /* from here on: kinds that only the template renderer makes */
} rt_kind;

typedef struct rt_value rt_value;

/* UTF-8.  mask, where there is one, has a byte for each byte of `at`: 1 for the caller's. */
typedef struct rt_text {
    const char *at;
    size_t n;
    const uint8_t *mask; /* NULL: all bytes are as `taint` says */
    int64_t n_chars;     /* -1: not counted yet */
    uint8_t taint;
    uint8_t markup; /* a Markup string of jinja2 (from `safe` and `escape`) */
} rt_text;

typedef struct rt_list {
    rt_value *at;
    size_t n, cap;
    uint32_t depth; /* 1 + the deepest item's */
} rt_list;

/* In order of insertion. */
typedef struct rt_map {
    rt_value *keys, *values;
    uint64_t *hashes;
    size_t n, cap;
    uint32_t *index; /* 1 + position, 0 free; open addressing; none for small maps */
    size_t n_index;
    uint32_t depth;
} rt_map;

struct rt_value {
    uint32_t kind; /* rt_kind, or one of the renderer's */
    uint32_t sub;  /* the renderer's */
    union {
        bool boolean;
        int64_t integer;
        double real;
        rt_text *text;
        rt_list *list;
        rt_map *map;
        void *other;
    };
};

typedef enum rt_origin {
    RT_FROM_TEMPLATE = 0, /* may form special tokens */
    RT_FROM_CALLER = 1,
} rt_origin;

static inline rt_value rt_missing(void) { return (rt_value){.kind = RT_KIND_missing}; }
static inline rt_value rt_none(void) { return (rt_value){.kind = RT_KIND_none}; }
static inline rt_value rt_bool(bool b) { return (rt_value){.kind = RT_KIND_bool, .boolean = b}; }
static inline rt_value rt_int(int64_t i) { return (rt_value){.kind = RT_KIND_int, .integer = i}; }
static inline rt_value rt_float(double d) { return (rt_value){.kind = RT_KIND_float, .real = d}; }

/* A copy of n bytes, which must be UTF-8.  Kind missing: memory ended (r->state says so) or the
 * bytes are no UTF-8. */
rt_value rt_text_new(rt_region *r, const char *at, size_t n, rt_origin origin);
/* The same without a copy and without a check: the bytes outlive the value. */
rt_value rt_text_ref(rt_region *r, const char *at, size_t n, rt_origin origin);
/* Digits with an optional minus; int where it fits 64 bits. */
rt_value rt_integer_new(rt_region *r, const char *digits, size_t n);

rt_value rt_list_new(rt_region *r);
rt_value rt_map_new(rt_region *r);
/* False where memory ended or nesting would pass RT_VALUE_DEPTH.  v of kind missing is refused,
 * so that constructors can be nested in the call.  v is complete: what is added to a list or map
 * that is part of another one does not count in the outer one's depth. */
bool rt_list_add(rt_region *r, rt_value list, rt_value v);
/* Adds or replaces (the place of a key that is there stays). */
bool rt_map_set(rt_region *r, rt_value map, rt_value key, rt_value v);
bool rt_map_put(rt_region *r, rt_value map, const char *key, rt_value v); /* key: the template's */
/* Position of the key, -1 where it is not there. */
int64_t rt_map_find(const rt_map *m, rt_value key);
int64_t rt_map_find_name(const rt_map *m, const char *name);

uint32_t rt_value_depth(rt_value v); /* 0 for what is no list or map */

/* ---- keys: what Python calls hash and == of hashable values ---- */

bool rt_text_equal(const rt_text *a, const rt_text *b);
/* == of none, bool, numbers (1 == 1.0 == true), texts and tuples of such; other kinds are equal
 * where they are the same object. */
bool rt_key_equal(rt_value a, rt_value b);
uint64_t rt_key_hash(rt_value v);
/* a == b and a < b where both are bool, int, big or float; exact over the whole range. */
int rt_number_compare(rt_value a, rt_value b); /* -1, 0, 1; 2: not ordered (nan) */
static inline bool rt_is_number(rt_value v) {
    return v.kind >= RT_KIND_bool && v.kind <= RT_KIND_float;
}

#endif
