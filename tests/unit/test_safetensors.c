/* Each rule of the format, broken once. */
#include "frontend/safetensors.h"

#include <string.h>

#include "tests/support/st_writer.h"
#include "tests/unit/unit.h"

static void good_files_are_read(void) {
    arena *mem = arena_open();
    diag d = {.mem = mem};
    st_file f;
    const str s =
        st_file_of(mem,
                   "{\"__metadata__\":{\"format\":\"pt\"},"
                   "\"b\":{\"dtype\":\"F16\",\"shape\":[2,3],\"data_offsets\":[8,20]},"
                   "\"a\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[0,8],\"x\":1},"
                   "\"none\":{\"dtype\":\"F32\",\"shape\":[0,7],\"data_offsets\":[8,8]},"
                   "\"odd\":{\"dtype\":\"F8_E4M3\",\"shape\":[1],\"data_offsets\":[20,21]},"
                   "\"four\":{\"dtype\":\"F4\",\"shape\":[4],\"data_offsets\":[21,23]}}   ",
                   23);
    CU_ASSERT_FATAL(st_read((const uint8_t *)s.at, s.n, "f", mem, &d, &f));
    CU_ASSERT_EQUAL(f.n_tensors, 5);
    CU_ASSERT_STRING_EQUAL(f.tensor[0].name, "a");
    CU_ASSERT(f.tensor[0].dtype == DT_i64 && f.tensor[0].rank == 0);
    CU_ASSERT_STRING_EQUAL(f.tensor[1].name, "none");
    CU_ASSERT(f.tensor[1].range.bytes == 0 && f.tensor[1].rank == 2 && f.tensor[1].dim[1] == 7);
    const st_tensor *b = &f.tensor[2];
    CU_ASSERT(b->dtype == DT_f16 && b->dim[0] == 2 && b->dim[1] == 3 && b->range.bytes == 12);
    CU_ASSERT_EQUAL(s.at[b->range.offset], 8); /* byte 8 of the data */
    CU_ASSERT(f.tensor[3].dtype == DT_COUNT && !strcmp(f.tensor[3].dtype_name, "F8_E4M3"));
    const str empty = st_file_of(mem, "{}", 0);
    CU_ASSERT(st_read((const uint8_t *)empty.at, empty.n, "f", mem, &d, &f) && f.n_tensors == 0);
    CU_ASSERT_EQUAL(d.n_errors, 0);
    arena_close(mem);
}

#define T(shape, offsets)                                                                          \
    "{\"a\":{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":" offsets "}}"

static const struct {
    const char *header;
    size_t n_data;
    diag_code code;
    const char *said;
} BAD[] = {
    {"", 0, DIAG_ST_HEADER, "no JSON object"},
    {"   ", 0, DIAG_ST_HEADER, "no JSON object"},
    {"[]", 0, DIAG_ST_HEADER, "no JSON object"},
    {" {}", 0, DIAG_ST_HEADER, "no JSON object"},
    {"{}\n", 0, DIAG_ST_HEADER, "no JSON object"}, /* padding is blanks, nothing else */
    {"{}x", 0, DIAG_ST_HEADER, "no JSON object"},
    {"{} {}", 0, DIAG_JSON_SYNTAX, "behind the value"},
    {"{\"a\":1,\"a\":1}", 0, DIAG_JSON_SYNTAX, "duplicate"},
    {"{\"a\":1}", 0, DIAG_ST_TENSOR, "no object"},
    {"{\"__metadata__\":[]}", 0, DIAG_ST_HEADER, "__metadata__"},
    {"{\"__metadata__\":{\"a\":1}}", 0, DIAG_ST_HEADER, "__metadata__"},
    {"{\"a\":{\"shape\":[],\"data_offsets\":[0,4]}}", 4, DIAG_ST_TENSOR, "'dtype'"},
    {"{\"a\":{\"dtype\":\"F33\",\"shape\":[],\"data_offsets\":[0,4]}}", 4, DIAG_ST_TENSOR,
     "unknown dtype 'F33'"},
    {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, DIAG_ST_TENSOR, "'shape'"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[]}}", 4, DIAG_ST_TENSOR, "'data_offsets' is missing"},
    {T("7", "[0,4]"), 4, DIAG_ST_TENSOR, "'shape' is no list"},
    {T("[-1]", "[0,4]"), 4, DIAG_ST_TENSOR, "negative"},
    {T("[1.5]", "[0,4]"), 4, DIAG_ST_TENSOR, "no integer"},
    {T("[\"1\"]", "[0,4]"), 4, DIAG_ST_TENSOR, "no integer"},
    {T("[1e300]", "[0,4]"), 4, DIAG_ST_TENSOR, "too large"},
    {T("[1,1,1,1,1,1,1,1,1]", "[0,4]"), 4, DIAG_ST_TENSOR, "more than 8"},
    {T("[4294967296,4294967296]", "[0,0]"), 0, DIAG_ST_TENSOR, "overflows"},
    {T("[4294967296,268435456]", "[0,0]"), 0, DIAG_ST_TENSOR, "overflows"}, /* times 32 bits */
    {T("[1]", "[0]"), 4, DIAG_ST_TENSOR, "no pair"},
    {T("[1]", "[0,4,4]"), 4, DIAG_ST_TENSOR, "no pair"},
    {T("[1]", "4"), 4, DIAG_ST_TENSOR, "no pair"},
    {T("[1]", "[-4,0]"), 4, DIAG_ST_TENSOR, "no pair"},
    {T("[1]", "[0,4.5]"), 4, DIAG_ST_TENSOR, "no pair"},
    {T("[1]", "[0,1e300]"), 4, DIAG_ST_TENSOR, "no pair"},
    {T("[1]", "[4,0]"), 4, DIAG_ST_TENSOR, "begin behind"},
    {T("[1]", "[0,4]"), 3, DIAG_ST_TENSOR, "beyond the file"},
    {T("[1]", "[9007199254740988,9007199254740992]"), 3, DIAG_ST_TENSOR, "beyond the file"},
    {T("[2]", "[0,4]"), 4, DIAG_ST_TENSOR, "found 4 bytes, expected 8"},
    {"{\"a\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,2]}}", 2, DIAG_ST_TENSOR,
     "whole number of bytes"},
    {T("[1]", "[4,8]"), 8, DIAG_ST_COVER, "a hole"},
    {T("[1]", "[0,4]"), 5, DIAG_ST_COVER, "trailing"},
    {"{}", 1, DIAG_ST_COVER, "trailing"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
     "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[2,6]}}",
     6, DIAG_ST_COVER, "overlap"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
     "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}",
     4, DIAG_ST_COVER, "overlap"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
     "\"b\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[2,2]}}",
     4, DIAG_ST_COVER, "overlap"},
};

static void every_rule_is_enforced(void) {
    for (size_t i = 0; i < COUNT_OF(BAD); i++) {
        arena *mem = arena_open();
        diag d = {.mem = mem};
        st_file f;
        const str s = st_file_of(mem, BAD[i].header, BAD[i].n_data);
        CU_ASSERT(!st_read((const uint8_t *)s.at, s.n, "f", mem, &d, &f));
        CU_ASSERT_FATAL(d.n_errors == 1);
        const bool ok = d.first->code == BAD[i].code && strstr(d.first->text, BAD[i].said);
        if (!ok) printf("\n    %zu: %s\n", i, d.first->text);
        CU_ASSERT(ok);
        arena_close(mem);
    }
}

static void lengths_are_checked_before_use(void) {
    arena *mem = arena_open();
    const str s = st_file_of(mem, "{}", 0);
    static const struct {
        uint64_t n_header, n_bytes;
        const char *said;
    } CASES[] = {
        {2, 0, "too short"},
        {2, 7, "too short"},
        {2, 9, "beyond the end"},
        {3, 10, "beyond the end"},
        {100000001, 10, "too large"},
        {UINT64_MAX, 10, "too large"},
        {UINT64_MAX - 7, 10, "too large"},
    };
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        diag d = {.mem = mem};
        st_file f;
        uint8_t bytes[10];
        memcpy(bytes, s.at, sizeof bytes);
        for (int b = 0; b < 8; b++) bytes[b] = (uint8_t)(CASES[i].n_header >> 8 * b);
        CU_ASSERT(!st_read(bytes, CASES[i].n_bytes, "f", mem, &d, &f));
        CU_ASSERT(d.first && d.first->code == DIAG_ST_HEADER &&
                  strstr(d.first->text, CASES[i].said));
    }
    arena_close(mem);
}

static void any_cut_of_a_file_is_refused(void) {
    arena *mem = arena_open();
    st_writer w = st_writer_new(mem);
    const float x[6] = {1, 2, 3, 4, 5, 6};
    st_writer_add(&w, "a", "F32", 2, (int64_t[]){2, 2}, x, 16);
    st_writer_add(&w, "b", "F32", 1, (int64_t[]){2}, x, 8);
    const str s = st_writer_done(&w);
    st_file f;
    for (size_t n = 0; n <= s.n; n++) {
        diag d = {.mem = mem};
        CU_ASSERT_EQUAL(st_read((const uint8_t *)s.at, n, "f", mem, &d, &f), n == s.n);
        CU_ASSERT_EQUAL(d.n_errors, n != s.n);
    }
    arena_close(mem);
}

UNIT_MAIN("safetensors", {"good files are read", good_files_are_read},
          {"every rule is enforced", every_rule_is_enforced},
          {"lengths are checked before use", lengths_are_checked_before_use},
          {"any cut of a file is refused", any_cut_of_a_file_is_refused})
