/* safetensors.c - reads and checks the header of a .safetensors file. */
#include "frontend/safetensors.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"

/* Element types of the format. */
static const struct {
    const char *name;
    int bits;
    ir_dtype dtype;
} DTYPES[] = {
    {"F64", 64, DT_f64},      {"F32", 32, DT_f32},      {"F16", 16, DT_f16},
    {"BF16", 16, DT_bf16},    {"I64", 64, DT_i64},      {"I32", 32, DT_i32},
    {"I16", 16, DT_i16},      {"I8", 8, DT_i8},         {"U8", 8, DT_u8},
    {"BOOL", 8, DT_bool},     {"U16", 16, DT_COUNT},    {"U32", 32, DT_COUNT},
    {"U64", 64, DT_COUNT},    {"C64", 64, DT_COUNT},    {"F8_E4M3", 8, DT_COUNT},
    {"F8_E5M2", 8, DT_COUNT}, {"F8_E8M0", 8, DT_COUNT}, {"F6_E2M3", 6, DT_COUNT},
    {"F6_E3M2", 6, DT_COUNT}, {"F4", 4, DT_COUNT},
};

typedef struct reader {
    const char *path;
    uint64_t data_at, n_data; /* of the file: first byte of the data, and how many */
    arena *mem;
    diag *d;
} reader;

#define ST_ERROR(r, code, tensor_name, ...)                                                        \
    diag_error((r)->d, DIAG_##code, (diag_loc){.file = (r)->path, .tensor = (tensor_name)},        \
               __VA_ARGS__)

static bool read_shape(const reader *r, const cJSON *o, st_tensor *t) {
    const cJSON *shape = json_member(o, "shape");
    if (!cJSON_IsArray(shape)) return ST_ERROR(r, ST_TENSOR, t->name, "'shape' is no list");
    const cJSON *v;
    cJSON_ArrayForEach(v, shape) {
        /* 2^53: what a JSON number holds exactly */
        if (!cJSON_IsNumber(v) || v->valuedouble < 0 || v->valuedouble > 0x1p53 ||
            v->valuedouble != (double)(int64_t)v->valuedouble)
            return ST_ERROR(r, ST_TENSOR, t->name,
                            "dimension %d of 'shape' is negative, too large or no integer",
                            t->rank);
        if (t->rank == ST_MAX_RANK)
            return ST_ERROR(r, ST_TENSOR, t->name, "more than %d dimensions in 'shape'",
                            ST_MAX_RANK);
        t->dim[t->rank++] = (int64_t)v->valuedouble;
    }
    return true;
}

/* Bytes that dtype and shape call for. */
static bool size_of(const reader *r, const st_tensor *t, int bits, uint64_t *out) {
    uint64_t n = 1;
    for (int i = 0; i < t->rank; i++)
        if (!checked_mul(n, (uint64_t)t->dim[i], &n))
            return ST_ERROR(r, ST_TENSOR, t->name, "the product of 'shape' overflows 64 bits");
    if (!checked_mul(n, (uint64_t)bits, &n))
        return ST_ERROR(r, ST_TENSOR, t->name, "the size of the shape overflows 64 bits");
    if (n % 8)
        return ST_ERROR(r, ST_TENSOR, t->name, "the size of the shape is no whole number of bytes");
    *out = n / 8;
    return true;
}

static bool read_offsets(const reader *r, const cJSON *o, st_tensor *t) {
    const cJSON *list = json_member(o, "data_offsets");
    double at[2] = {-1, -1};
    if (!list) return ST_ERROR(r, ST_TENSOR, t->name, "'data_offsets' is missing");
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) != 2)
        return ST_ERROR(r, ST_TENSOR, t->name, "'data_offsets' is no pair of integers");
    for (int i = 0; i < 2; i++) {
        const cJSON *v = cJSON_GetArrayItem(list, i);
        if (cJSON_IsNumber(v)) at[i] = v->valuedouble;
        if (!(at[i] >= 0 && at[i] <= 0x1p53) || at[i] != (double)(int64_t)at[i])
            return ST_ERROR(r, ST_TENSOR, t->name, "'data_offsets' is no pair of integers");
    }
    const uint64_t begin = (uint64_t)at[0], end = (uint64_t)at[1];
    if (begin > end)
        return ST_ERROR(r, ST_TENSOR, t->name,
                        "'data_offsets' begin behind their end (found %llu, %llu)",
                        (unsigned long long)begin, (unsigned long long)end);
    if (end > r->n_data)
        return ST_ERROR(r, ST_TENSOR, t->name,
                        "'data_offsets' end beyond the file, which may be truncated (found %llu, "
                        "expected at most %llu)",
                        (unsigned long long)end, (unsigned long long)r->n_data);
    t->range = (ir_range){r->data_at + begin, end - begin}; /* inside the file: no overflow */
    return true;
}

static bool read_tensor(const reader *r, const cJSON *o, st_tensor *t) {
    t->name = arena_strdup(r->mem, o->string);
    if (!cJSON_IsObject(o))
        return ST_ERROR(r, ST_TENSOR, t->name, "its entry in the header is no object");
    const cJSON *dtype = json_member(o, "dtype");
    if (!cJSON_IsString(dtype)) return ST_ERROR(r, ST_TENSOR, t->name, "'dtype' is no string");
    size_t i = 0;
    while (i < COUNT_OF(DTYPES) && strcmp(DTYPES[i].name, dtype->valuestring) != 0) i++;
    if (i == COUNT_OF(DTYPES))
        return ST_ERROR(r, ST_TENSOR, t->name, "unknown dtype '%s'", dtype->valuestring);
    t->dtype = DTYPES[i].dtype;
    t->dtype_name = DTYPES[i].name;
    uint64_t want = 0;
    if (!read_shape(r, o, t) || !read_offsets(r, o, t) || !size_of(r, t, DTYPES[i].bits, &want))
        return false;
    if (t->range.bytes != want)
        return ST_ERROR(r, ST_TENSOR, t->name,
                        "its size does not match its shape and dtype (found %llu bytes, expected "
                        "%llu)",
                        (unsigned long long)t->range.bytes, (unsigned long long)want);
    return true;
}

static bool check_metadata(const reader *r, const cJSON *o) {
    bool strings = cJSON_IsObject(o);
    const cJSON *v;
    if (strings) cJSON_ArrayForEach(v, o) strings &= cJSON_IsString(v) != 0;
    return strings ||
           ST_ERROR(r, ST_HEADER, NULL, "__metadata__ in the header must map strings to strings");
}

static int by_offset(const void *a, const void *b) {
    const ir_range *x = &((const st_tensor *)a)->range, *y = &((const st_tensor *)b)->range;
    if (x->offset != y->offset) return x->offset < y->offset ? -1 : 1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

/* The tensors, sorted, must lie end to end and fill the data. */
static bool check_cover(const reader *r, const st_file *f) {
    uint64_t at = r->data_at;
    for (size_t i = 0; i < f->n_tensors; i++) {
        const st_tensor *t = &f->tensor[i];
        if (t->range.offset != at)
            return ST_ERROR(r, ST_COVER, t->name,
                            t->range.offset < at
                                ? "its offsets overlap those of another tensor (begin at %llu, "
                                  "expected %llu)"
                                : "a hole in the data before its offsets (begin at %llu, expected "
                                  "%llu)",
                            (unsigned long long)(t->range.offset - r->data_at),
                            (unsigned long long)(at - r->data_at));
        at += t->range.bytes;
    }
    return at == r->data_at + r->n_data ||
           ST_ERROR(r, ST_COVER, NULL,
                    "trailing bytes that no tensor covers (the tensors' size is %llu, the data's "
                    "%llu)",
                    (unsigned long long)(at - r->data_at), (unsigned long long)r->n_data);
}

static bool read_tensors(const reader *r, const cJSON *root, st_file *out) {
    if (!cJSON_IsObject(root)) return ST_ERROR(r, ST_HEADER, NULL, "the header is no JSON object");
    const cJSON *o;
    size_t n = 0;
    cJSON_ArrayForEach(o, root) n++;
    out->tensor = arena_array(r->mem, st_tensor, n);
    cJSON_ArrayForEach(o, root) {
        if (strcmp(o->string, "__metadata__") == 0) {
            if (!check_metadata(r, o)) return false;
        } else if (!read_tensor(r, o, &out->tensor[out->n_tensors++])) {
            return false;
        }
    }
    if (out->n_tensors) qsort(out->tensor, out->n_tensors, sizeof *out->tensor, by_offset);
    return check_cover(r, out);
}

bool st_read(const uint8_t *at, uint64_t n_bytes, const char *path, arena *mem, diag *d,
             st_file *out) {
    reader r = {.path = path, .mem = mem, .d = d};
    *out = (st_file){0};
    if (n_bytes < 8)
        return ST_ERROR(&r, ST_HEADER, NULL,
                        "the file is too short for a header (found %llu bytes, expected at least "
                        "8): empty or truncated",
                        (unsigned long long)n_bytes);
    uint64_t n_header = 0;
    for (int i = 7; i >= 0; i--) n_header = n_header << 8 | at[i];
    if (n_header > ST_MAX_HEADER_BYTES)
        return ST_ERROR(&r, ST_HEADER, NULL,
                        "the header is too large (found a length of %llu bytes, expected at most "
                        "%d)",
                        (unsigned long long)n_header, ST_MAX_HEADER_BYTES);
    if (n_header > n_bytes - 8)
        return ST_ERROR(&r, ST_HEADER, NULL,
                        "the header's length reaches beyond the end of the file, which may be "
                        "truncated (found %llu, expected at most %llu)",
                        (unsigned long long)n_header, (unsigned long long)(n_bytes - 8));
    str header = {(const char *)at + 8, n_header};
    while (header.n && header.at[header.n - 1] == ' ') header.n--;
    if (!header.n || header.at[0] != '{' || header.at[header.n - 1] != '}')
        return ST_ERROR(&r, ST_HEADER, NULL,
                        "the header is no JSON object (it must begin with '{' and end with '}' "
                        "and blanks)");
    r.data_at = 8 + n_header;
    r.n_data = n_bytes - r.data_at;
    json j;
    if (!json_parse(header, path, mem, d, &j)) return false;
    const bool ok = read_tensors(&r, j.root, out);
    json_free(&j);
    return ok;
}
