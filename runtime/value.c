/* value.c - regions, JSON values, hash maps in order of insertion. */
#include "runtime/value.h"

#include <string.h>

#include "runtime/utf8.h"
#include "runtime/value_number.h"

/* ---- region ---- */

enum { ALIGN = 16, FIRST_CHUNK = 8 << 10, LAST_CHUNK = 1 << 20 };

void rt_region_init(rt_region *r, const rt_alloc *mem, size_t limit) {
    *r = (rt_region){.mem = mem, .limit = limit};
}

void rt_region_free(rt_region *r) {
    void *chunk = r->chunk;
    while (chunk) {
        void *before;
        memcpy(&before, chunk, sizeof before);
        r->mem->free(r->mem->ctx, chunk);
        chunk = before;
    }
    rt_region_init(r, r->mem, r->limit);
}

static bool add_chunk(rt_region *r, size_t n) {
    size_t size = r->total < LAST_CHUNK ? (r->total ? r->total : FIRST_CHUNK) : LAST_CHUNK;
    if (__builtin_add_overflow(n, (size_t)ALIGN, &n)) n = SIZE_MAX;
    if (size < n) size = n;
    if (size > r->limit - r->total) {
        if (n > r->limit - r->total) {
            r->state = RT_REGION_limit;
            return false;
        }
        size = n;
    }
    void *chunk = r->mem->alloc(r->mem->ctx, size);
    if (!chunk) {
        r->state = RT_REGION_no_memory;
        return false;
    }
    memcpy(chunk, &r->chunk, sizeof r->chunk);
    r->chunk = chunk;
    r->used = ALIGN;
    r->cap = size;
    r->total += size;
    return true;
}

void *rt_region_get(rt_region *r, size_t n) {
    if (r->state != RT_REGION_ok) return NULL;
    if (!r->chunk || n > r->cap - r->used)
        if (!add_chunk(r, n)) return NULL;
    void *at = (char *)r->chunk + r->used;
    const size_t left = r->cap - r->used;
    const size_t padded = (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    r->used += padded < left ? padded : left;
    return at;
}

void *rt_region_array(rt_region *r, size_t n, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes)) bytes = SIZE_MAX;
    return rt_region_get(r, bytes);
}

void *rt_region_grown(rt_region *r, void *at, size_t n, size_t *cap, size_t size) {
    if (n < *cap) return at;
    const size_t want = *cap ? *cap * 2 : 4;
    void *bigger = rt_region_array(r, want, size);
    if (!bigger) return NULL;
    if (n) memcpy(bigger, at, n * size);
    *cap = want;
    return bigger;
}

/* ---- texts and numbers ---- */

rt_value rt_text_ref(rt_region *r, const char *at, size_t n, rt_origin origin) {
    rt_text *t = rt_region_get(r, sizeof *t);
    if (!t) return rt_missing();
    *t = (rt_text){.at = at, .n = n, .n_chars = -1, .taint = (uint8_t)origin};
    return (rt_value){.kind = RT_KIND_text, .text = t};
}

static bool is_utf8(const char *at, size_t n) {
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        i += rt_utf8_next((const uint8_t *)at + i, n - i, &cp);
        if (cp == RT_UTF8_BAD) return false;
    }
    return true;
}

rt_value rt_text_new(rt_region *r, const char *at, size_t n, rt_origin origin) {
    if (!is_utf8(at, n)) return rt_missing();
    char *copy = rt_region_get(r, n);
    if (!copy) return rt_missing();
    if (n) memcpy(copy, at, n);
    return rt_text_ref(r, copy, n, origin);
}

rt_value rt_integer_new(rt_region *r, const char *digits, size_t n) {
    const bool minus = n && digits[0] == '-';
    size_t i = minus ? 1 : 0;
    while (i + 1 < n && digits[i] == '0') i++;
    const size_t first = i;
    int64_t v = 0;
    bool fits = true;
    for (; i < n && fits; i++) {
        const int d = digits[i] - '0';
        fits = !__builtin_mul_overflow(v, 10, &v) &&
               !(minus ? __builtin_sub_overflow(v, d, &v) : __builtin_add_overflow(v, d, &v));
    }
    if (fits) return rt_int(v);
    if (n - first > RT_VALUE_BIG_DIGITS) return rt_missing();
    char *copy = rt_region_get(r, n - first + 1);
    if (!copy) return rt_missing();
    copy[0] = '-';
    memcpy(copy + 1, digits + first, n - first);
    rt_value big = minus ? rt_text_ref(r, copy, n - first + 1, RT_FROM_TEMPLATE)
                         : rt_text_ref(r, copy + 1, n - first, RT_FROM_TEMPLATE);
    if (big.kind == RT_KIND_text) big.kind = RT_KIND_big;
    return big;
}

/* ---- equality and hash ---- */

bool rt_text_equal(const rt_text *a, const rt_text *b) {
    return a->n == b->n && (!a->n || memcmp(a->at, b->at, a->n) == 0);
}

static int compare_big(const rt_text *a, const rt_text *b) {
    const bool a_minus = a->at[0] == '-', b_minus = b->at[0] == '-';
    if (a_minus != b_minus) return a_minus ? -1 : 1;
    int c = a->n < b->n ? -1 : a->n > b->n ? 1 : memcmp(a->at, b->at, a->n);
    c = (c > 0) - (c < 0);
    return a_minus ? -c : c;
}

static int64_t integer_of(rt_value v) { return v.kind == RT_KIND_bool ? v.boolean : v.integer; }

static int compare_integer_real(int64_t i, double d) {
    if (d != d) return 2;
    if (d >= 0x1p63) return -1;
    if (d < -0x1p63) return 1;
    const int64_t whole = (int64_t)d; /* towards zero */
    if (i != whole) return i < whole ? -1 : 1;
    const double rest = d - (double)whole;
    return rest > 0 ? -1 : rest < 0 ? 1 : 0;
}

static double big_to_real(rt_value v) {
    double d = 0;
    (void)rt_number_parse(v.text->at, v.text->n, &d);
    return d;
}

int rt_number_compare(rt_value a, rt_value b) {
    if (b.kind == RT_KIND_float && a.kind != RT_KIND_float) {
        if (a.kind != RT_KIND_big) return compare_integer_real(integer_of(a), b.real);
        a = rt_float(big_to_real(a));
    }
    if (a.kind == RT_KIND_float) {
        if (b.kind != RT_KIND_float && b.kind != RT_KIND_big) {
            const int c = compare_integer_real(integer_of(b), a.real);
            return c == 2 ? 2 : -c;
        }
        const double x = a.real, y = b.kind == RT_KIND_big ? big_to_real(b) : b.real;
        return x < y ? -1 : x > y ? 1 : x == y ? 0 : 2;
    }
    if (a.kind == RT_KIND_big || b.kind == RT_KIND_big) {
        if (a.kind == b.kind) return compare_big(a.text, b.text);
        if (a.kind == RT_KIND_big) return a.text->at[0] == '-' ? -1 : 1;
        return b.text->at[0] == '-' ? 1 : -1;
    }
    const int64_t x = integer_of(a), y = integer_of(b);
    return x < y ? -1 : x > y;
}

bool rt_key_equal(rt_value a, rt_value b) {
    if (rt_is_number(a) && rt_is_number(b)) return rt_number_compare(a, b) == 0;
    if (a.kind != b.kind) return false;
    switch (a.kind) {
    case RT_KIND_none:
        return true;
    case RT_KIND_text:
        return rt_text_equal(a.text, b.text);
    case RT_KIND_tuple:
        if (a.list->n != b.list->n) return false;
        for (size_t i = 0; i < a.list->n; i++)
            if (!rt_key_equal(a.list->at[i], b.list->at[i])) return false;
        return true;
    default:
        return a.other == b.other;
    }
}

static uint64_t mix(uint64_t h, uint64_t w) {
    h = (h ^ w) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 29;
}

static uint64_t hash_bytes(uint64_t h, const char *at, size_t n) {
    for (; n >= 8; at += 8, n -= 8) {
        uint64_t w;
        memcpy(&w, at, 8);
        h = mix(h, w);
    }
    uint64_t w = n + 1;
    for (size_t i = 0; i < n; i++) w = w << 8 | (uint8_t)at[i];
    return mix(h, w);
}

static uint64_t hash_real(uint64_t h, double d) {
    if (d >= -0x1p63 && d < 0x1p63 && d == (double)(int64_t)d) return mix(h, (uint64_t)(int64_t)d);
    uint64_t bits;
    memcpy(&bits, &d, sizeof bits);
    return mix(h, bits);
}

uint64_t rt_key_hash(rt_value v) {
    /* An address that differs from run to run, where the system has it so, keeps a hostile
     * document from choosing colliding keys; order never depends on it. */
    static const char SEED;
    uint64_t h = mix(0x2545f4914f6cdd1du, (uint64_t)(uintptr_t)&SEED);
    switch (v.kind) {
    case RT_KIND_bool:
    case RT_KIND_int:
        return mix(h, (uint64_t)integer_of(v));
    case RT_KIND_float:
        return hash_real(h, v.real);
    case RT_KIND_big:
        return hash_real(h, big_to_real(v));
    case RT_KIND_text:
        return hash_bytes(h, v.text->at, v.text->n);
    case RT_KIND_tuple:
        for (size_t i = 0; i < v.list->n; i++) h = mix(h, rt_key_hash(v.list->at[i]));
        return h;
    case RT_KIND_none:
        return h;
    default:
        return mix(h, (uint64_t)(uintptr_t)v.other);
    }
}

/* ---- lists and maps ---- */

enum { SMALL_MAP = 8 };

rt_value rt_list_new(rt_region *r) {
    rt_list *l = rt_region_get(r, sizeof *l);
    if (!l) return rt_missing();
    *l = (rt_list){.depth = 1};
    return (rt_value){.kind = RT_KIND_list, .list = l};
}

rt_value rt_map_new(rt_region *r) {
    rt_map *m = rt_region_get(r, sizeof *m);
    if (!m) return rt_missing();
    *m = (rt_map){.depth = 1};
    return (rt_value){.kind = RT_KIND_map, .map = m};
}

uint32_t rt_value_depth(rt_value v) {
    if (v.kind == RT_KIND_list || v.kind == RT_KIND_tuple) return v.list->depth;
    return v.kind == RT_KIND_map ? v.map->depth : 0;
}

static bool deepen(uint32_t *depth, rt_value v) {
    const uint32_t d = rt_value_depth(v) + 1;
    if (d > RT_VALUE_DEPTH) return false;
    if (d > *depth) *depth = d;
    return true;
}

bool rt_list_add(rt_region *r, rt_value list, rt_value v) {
    if (list.kind == RT_KIND_missing || v.kind == RT_KIND_missing) return false;
    rt_list *l = list.list;
    if (!deepen(&l->depth, v)) return false;
    rt_value *at = rt_region_grown(r, l->at, l->n, &l->cap, sizeof *at);
    if (!at) return false;
    l->at = at;
    at[l->n++] = v;
    return true;
}

static int64_t find_hashed(const rt_map *m, rt_value key, uint64_t hash) {
    if (!m->n_index) {
        for (size_t i = 0; i < m->n; i++)
            if (m->hashes[i] == hash && rt_key_equal(m->keys[i], key)) return (int64_t)i;
        return -1;
    }
    for (size_t s = hash & (m->n_index - 1); m->index[s]; s = (s + 1) & (m->n_index - 1)) {
        const size_t i = m->index[s] - 1;
        if (m->hashes[i] == hash && rt_key_equal(m->keys[i], key)) return (int64_t)i;
    }
    return -1;
}

int64_t rt_map_find(const rt_map *m, rt_value key) { return find_hashed(m, key, rt_key_hash(key)); }

int64_t rt_map_find_name(const rt_map *m, const char *name) {
    rt_text t = {.at = name, .n = strlen(name)};
    return rt_map_find(m, (rt_value){.kind = RT_KIND_text, .text = &t});
}

static void index_entry(rt_map *m, size_t i) {
    size_t s = m->hashes[i] & (m->n_index - 1);
    while (m->index[s]) s = (s + 1) & (m->n_index - 1);
    m->index[s] = (uint32_t)i + 1;
}

static bool grow_index(rt_region *r, rt_map *m) {
    size_t n = m->n_index ? m->n_index * 2 : 4 * SMALL_MAP;
    uint32_t *index = rt_region_array(r, n, sizeof *index);
    if (!index) return false;
    memset(index, 0, n * sizeof *index);
    m->index = index;
    m->n_index = n;
    for (size_t i = 0; i < m->n; i++) index_entry(m, i);
    return true;
}

static bool grow_map(rt_region *r, rt_map *m) {
    if (m->n < m->cap) return true;
    const size_t cap = m->cap ? m->cap * 2 : 4;
    rt_value *keys = rt_region_array(r, cap, sizeof *keys);
    rt_value *values = rt_region_array(r, cap, sizeof *values);
    uint64_t *hashes = rt_region_array(r, cap, sizeof *hashes);
    if (!keys || !values || !hashes || cap > UINT32_MAX) return false;
    if (m->n) {
        memcpy(keys, m->keys, m->n * sizeof *keys);
        memcpy(values, m->values, m->n * sizeof *values);
        memcpy(hashes, m->hashes, m->n * sizeof *hashes);
    }
    m->keys = keys;
    m->values = values;
    m->hashes = hashes;
    m->cap = cap;
    return true;
}

bool rt_map_set(rt_region *r, rt_value map, rt_value key, rt_value v) {
    if (map.kind == RT_KIND_missing || key.kind == RT_KIND_missing || v.kind == RT_KIND_missing)
        return false;
    rt_map *m = map.map;
    if (!deepen(&m->depth, v) || !deepen(&m->depth, key)) return false;
    const uint64_t hash = rt_key_hash(key);
    const int64_t at = find_hashed(m, key, hash);
    if (at >= 0) {
        m->values[at] = v;
        return true;
    }
    if (!grow_map(r, m)) return false;
    if (m->n >= SMALL_MAP && 2 * m->n >= m->n_index && !grow_index(r, m)) return false;
    m->keys[m->n] = key;
    m->values[m->n] = v;
    m->hashes[m->n] = hash;
    m->n++;
    if (m->n_index) index_entry(m, m->n - 1);
    return true;
}

bool rt_map_put(rt_region *r, rt_value map, const char *key, rt_value v) {
    return rt_map_set(r, map, rt_text_ref(r, key, strlen(key), RT_FROM_TEMPLATE), v);
}
