#include "base/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/unit/unit.h"

/* Texts that must pass; each is also built by cJSON. */
static const str GOOD[] = {
    STR_INIT("{}"),
    STR_INIT("[]"),
    STR_INIT("null"),
    STR_INIT("true"),
    STR_INIT("false"),
    STR_INIT("0"),
    STR_INIT("-0"),
    STR_INIT("\"\""),
    STR_INIT(" \t\r\n{ \"a\" : [ 1 , -2.5e+3 , 0.1 , 1E9, 1e-9 ] , \"b\" : { } } \n"),
    STR_INIT("[[[[[[]]]]],{\"a\":{\"a\":{\"a\":1}}}]"),
    STR_INIT("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\uD83D\\uDE00\\uffff\""),
    STR_INIT("\"\x7f \xc2\x80 \xdf\xbf \xe0\xa0\x80 \xed\x9f\xbf \xee\x80\x80 \xef\xbf\xbf "
             "\xf0\x90\x80\x80 \xf4\x8f\xbf\xbf\""),
    STR_INIT("{\"a\":1,\"b\":1,\"A\":1,\"\":1,\"ab\":1,\"\\u0061b\\u0063\":1}"),
    STR_INIT("[{\"a\":1},{\"a\":1}]"), /* the same key in two objects */
    STR_INIT("{\"a\":{\"a\":1},\"b\":1}"),
    STR_INIT("123456789012345678901234567890123456789012345678901234567890123"),
};

static const struct {
    str source;
    uint64_t offset;
    const char *said;
} BAD[] = {
    {STR_INIT(""), 0, "empty"},
    {STR_INIT("  "), 2, "no value"},
    {STR_INIT("\xef\xbb\xbf{}"), 0, "byte-order mark"},
    {STR_INIT("{}x"), 2, "behind the value"},
    {STR_INIT("{} {}"), 3, "behind the value"},
    {STR_INIT("{}\0"), 2, "behind the value"},
    {STR_INIT("nul"), 0, "no JSON value"},
    {STR_INIT("nulL"), 0, "no JSON value"},
    {STR_INIT("True"), 0, "no JSON value"},
    {STR_INIT("NaN"), 0, "NaN"},
    {STR_INIT("-Infinity"), 1, "digits"},
    {STR_INIT("[Infinity]"), 1, "Infinity"},
    {STR_INIT("'a'"), 0, "no JSON value"},
    {STR_INIT("01"), 1, "behind the value"},
    {STR_INIT("+1"), 0, "no JSON value"},
    {STR_INIT("-"), 1, "digits"},
    {STR_INIT(".5"), 0, "no JSON value"},
    {STR_INIT("1."), 2, "digits"},
    {STR_INIT("1e"), 2, "digits"},
    {STR_INIT("1e+"), 3, "digits"},
    {STR_INIT("0x1"), 1, "behind the value"},
    {STR_INIT("1234567890123456789012345678901234567890123456789012345678901234"), 64,
     "63 characters"},
    {STR_INIT("["), 1, "end of the file"},
    {STR_INIT("[1"), 2, "end of the file"},
    {STR_INIT("[1,"), 3, "end of the file"},
    {STR_INIT("[1,]"), 3, "no JSON value"},
    {STR_INIT("[,1]"), 1, "no JSON value"},
    {STR_INIT("[1 2]"), 3, "no comma"},
    {STR_INIT("[1}"), 2, "no comma"},
    {STR_INIT("{\"a\":1]"), 6, "no comma"},
    {STR_INIT("{"), 1, "end of the file"},
    {STR_INIT("{\"a\""), 4, "no colon"},
    {STR_INIT("{\"a\" 1}"), 5, "no colon"},
    {STR_INIT("{\"a\":}"), 5, "no JSON value"},
    {STR_INIT("{\"a\":1,}"), 7, "no quoted key"},
    {STR_INIT("{a:1}"), 1, "no quoted key"},
    {STR_INIT("{1:1}"), 1, "no quoted key"},
    {STR_INIT("{\"a\":1 // no\n}"), 7, "no comma"},
    {STR_INIT("\""), 1, "closing quote"},
    {STR_INIT("\"abc\\"), 4, "closing quote"},
    {STR_INIT("\"a\nb\""), 2, "control character"},
    {STR_INIT("\"a\tb\""), 2, "control character"},
    {STR_INIT("\"a\0b\""), 2, "NUL"},
    {STR_INIT("\"\\u0000\""), 1, "NUL"},
    {STR_INIT("{\"a\\u0000\":1}"), 3, "NUL"},
    {STR_INIT("\"\\x41\""), 1, "unknown escape"},
    {STR_INIT("\"\\\0\""), 1, "unknown escape"},
    {STR_INIT("\"\\u12G4\""), 1, "hex digits"},
    {STR_INIT("\"\\u12"), 1, "hex digits"},
    {STR_INIT("\"\\ud800\""), 1, "surrogate"},
    {STR_INIT("\"\\udc00\""), 1, "surrogate"},
    {STR_INIT("\"\\ud800\\u0041\""), 1, "surrogate"},
    {STR_INIT("\"\\ud800\\ud800\""), 1, "surrogate"},
    {STR_INIT("\"\\ud800"), 1, "surrogate"},
    {STR_INIT("\"\x80\""), 1, "UTF-8"},
    {STR_INIT("\"\xc0\x80\""), 1, "UTF-8"},
    {STR_INIT("\"\xc1\xbf\""), 1, "UTF-8"},
    {STR_INIT("\"\xe0\x9f\xbf\""), 1, "UTF-8"},
    {STR_INIT("\"\xed\xa0\x80\""), 1, "UTF-8"}, /* a surrogate */
    {STR_INIT("\"\xf0\x8f\xbf\xbf\""), 1, "UTF-8"},
    {STR_INIT("\"\xf4\x90\x80\x80\""), 1, "UTF-8"},
    {STR_INIT("\"\xf5\x80\x80\x80\""), 1, "UTF-8"},
    {STR_INIT("\"\xe2\x82\""), 1, "UTF-8"},
    {STR_INIT("\"\xe2\x82"), 1, "UTF-8"},
    {STR_INIT("\"12345678\xff\""), 9, "UTF-8"},
    {STR_INIT("{\"a\":1,\"a\":2}"), 8, "duplicate"},
    {STR_INIT("{\"ab\":1,\"\\u0061b\":2}"), 9, "duplicate"}, /* the same key, written otherwise */
    {STR_INIT("{\"\\u00e4\":1,\"\xc3\xa4\":2}"), 13, "duplicate"},
    {STR_INIT("{\"\\ud83d\\ude00\":1,\"\xf0\x9f\x98\x80\":2}"), 19, "duplicate"},
    {STR_INIT("{\"\\n\":1,\"\\u000a\":2}"), 9, "duplicate"},
    {STR_INIT("{\"\":1,\"\":2}"), 7, "duplicate"},
    {STR_INIT("{\"a\":{\"b\":[{}],\"c\":1},\"d\":1,\"a\":2}"), 29, "duplicate"},
};

static void good_texts_pass(void) {
    arena *mem = arena_open();
    diag d = {.mem = mem};
    for (size_t i = 0; i < COUNT_OF(GOOD); i++) {
        json j;
        CU_ASSERT(json_parse(GOOD[i], "f", mem, &d, &j));
        CU_ASSERT(j.root != NULL);
        json_free(&j);
    }
    if (d.first) printf("\n    got: %s\n", d.first->text);
    arena_close(mem);
}

static void bad_texts_are_refused_where_they_are_bad(void) {
    arena *mem = arena_open();
    for (size_t i = 0; i < COUNT_OF(BAD); i++) {
        /* at the end of a heap block, so that a read beyond it shows under AddressSanitizer */
        char *exact = malloc(BAD[i].source.n + 1);
        memcpy(exact, BAD[i].source.at, BAD[i].source.n);
        char *at_end = realloc(exact, BAD[i].source.n ? BAD[i].source.n : 1);
        uint64_t at = 0;
        const char *said = json_scan((str){at_end, BAD[i].source.n}, mem, &at);
        CU_ASSERT_FATAL(said != NULL);
        if (!strstr(said, BAD[i].said) || at != BAD[i].offset)
            printf("\n    %zu: %s at %llu\n", i, said, (unsigned long long)at);
        CU_ASSERT(strstr(said, BAD[i].said) != NULL);
        CU_ASSERT_EQUAL(at, BAD[i].offset);
        free(at_end);
    }
    CU_ASSERT_EQUAL(arena_used(mem), 0); /* scratch is given back */
    arena_close(mem);
}

static void every_prefix_of_a_text_is_refused(void) {
    arena *mem = arena_open();
    const str whole =
        STR("{\"k\\u0041\":[1,-2.5e3,\"\xc3\xa4\\ud83d\\ude00\",true,null],\"z\":{}}");
    uint64_t at;
    CU_ASSERT_PTR_NULL(json_scan(whole, mem, &at));
    for (size_t n = 0; n < whole.n; n++)
        CU_ASSERT_PTR_NOT_NULL(json_scan((str){whole.at, n}, mem, &at));
    arena_close(mem);
}

static void depth_is_bounded(void) {
    arena *mem = arena_open();
    char deep[2 * (JSON_MAX_DEPTH + 1)];
    uint64_t at;
    for (int n = JSON_MAX_DEPTH; n <= JSON_MAX_DEPTH + 1; n++) {
        memset(deep, '[', (size_t)n);
        memset(deep + n, ']', (size_t)n);
        const char *said = json_scan((str){deep, 2 * (size_t)n}, mem, &at);
        if (n == JSON_MAX_DEPTH) {
            CU_ASSERT_PTR_NULL(said);
        } else {
            CU_ASSERT(said && strstr(said, "nested") && at == JSON_MAX_DEPTH);
        }
    }
    arena_close(mem);
}

static void values_are_counted(void) {
    arena *mem = arena_open();
    text t = {.mem = mem};
    text_putc(&t, '[');
    vec_reserve(mem, &t.buf, 2 * (size_t)JSON_MAX_VALUES + 10);
    for (int i = 0; i < JSON_MAX_VALUES - 2; i++) text_cat(&t, "0,");
    text_putc(&t, '0');
    uint64_t at;
    text_putc(&t, ']'); /* with the array itself, as many as allowed */
    CU_ASSERT_PTR_NULL(json_scan(text_str(&t), mem, &at));
    t.buf.n--;
    text_cat(&t, ",0]");
    const char *said = json_scan(text_str(&t), mem, &at);
    CU_ASSERT(said && strstr(said, "four million"));
    arena_close(mem);
}

static void large_objects_are_fast(void) {
    arena *mem = arena_open();
    text t = {.mem = mem};
    vec_reserve(mem, &t.buf, 20 << 20);
    text_putc(&t, '{');
    for (int i = 0; i < 400000; i++)
        text_printf(&t, "%s\"k\\u00e9y%d\":{\"id\":%d}", i ? "," : "", i, i);
    uint64_t at;
    struct timespec a, b;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
    text_putc(&t, '}');
    CU_ASSERT_PTR_NULL(json_scan(text_str(&t), mem, &at));
    t.buf.n--;
    text_cat(&t, ",\"k\xc3\xa9y7\":0}");
    const char *said = json_scan(text_str(&t), mem, &at);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
    CU_ASSERT(said && strstr(said, "duplicate"));
    CU_ASSERT(b.tv_sec - a.tv_sec < 10); /* a quadratic set would take hours */
    arena_close(mem);
}

typedef struct fixture {
    arena *mem;
    diag d;
    json j;
} fixture;

static fixture parsed(const char *source) {
    fixture f = {.mem = arena_open()};
    f.d.mem = f.mem;
    CU_ASSERT_FATAL(json_parse(str_of(source), "config.json", f.mem, &f.d, &f.j));
    return f;
}

static void done(fixture *f) {
    json_free(&f->j);
    arena_close(f->mem);
}

static bool refused(fixture *f, bool result, diag_code code, const char *said) {
    const bool ok =
        !result && f->d.n_errors == 1 && f->d.first->code == code && strstr(f->d.first->text, said);
    if (!ok && f->d.first) printf("\n    got: %s\n", f->d.first->text);
    diag_clear(&f->d);
    return ok;
}

static void getters_take_what_fits(void) {
    fixture f = parsed("{\"i\":-7,\"x\":1e3,\"big\":9007199254740991,\"f\":0.5,\"t\":true,\"s\":"
                       "\"a\",\"n\":null}");
    const cJSON *o = f.j.root;
    int64_t i = 0;
    double x = 0;
    bool t = false;
    const char *s = NULL;
    CU_ASSERT(json_get_i64(o, "i", -10, 10, "c", &f.d, &i) && i == -7);
    CU_ASSERT(json_get_i64(o, "x", 0, 1000, "c", &f.d, &i) && i == 1000);
    CU_ASSERT(json_get_i64(o, "big", 0, INT64_MAX, "c", &f.d, &i) && i == 9007199254740991);
    CU_ASSERT(json_get_f64(o, "f", 0, 1, "c", &f.d, &x) && x == 0.5);
    CU_ASSERT(json_opt_bool(o, "t", "c", &f.d, &t) && t);
    CU_ASSERT(json_get_str(o, "s", "c", &f.d, &s) && !strcmp(s, "a"));
    CU_ASSERT(json_opt_i64(o, "n", 0, 1, "c", &f.d, &i) &&
              i == 9007199254740991); /* left as it was */
    CU_ASSERT(json_opt_f64(o, "absent", 0, 1, "c", &f.d, &x) && x == 0.5);
    CU_ASSERT(json_opt_bool(o, "absent", "c", &f.d, &t) && t);
    CU_ASSERT(json_opt_str(o, "absent", "c", &f.d, &s) && !strcmp(s, "a"));
    CU_ASSERT_PTR_NULL(json_member(o, "n"));
    CU_ASSERT_PTR_NULL(json_member(o, "I"));
    CU_ASSERT_EQUAL(f.d.n_errors, 0);
    done(&f);
}

static void getters_refuse_the_rest(void) {
    fixture f = parsed("{\"i\":7,\"f\":32.5,\"big\":9007199254740992,\"huge\":1e30,\"inf\":1e999,"
                       "\"s\":\"a\",\"a\":[],\"o\":{},\"t\":true,\"n\":null}");
    const cJSON *o = f.j.root;
    int64_t i = 0;
    double x = 0;
    bool t = false;
    const char *s = NULL;
    diag *d = &f.d;
    CU_ASSERT(refused(&f, json_get_i64(o, "i", 8, 10, "c", d, &i), DIAG_JSON_RANGE,
                      "'i' is out of range (found 7, expected 8 to 10)"));
    CU_ASSERT(refused(&f, json_get_i64(o, "f", 0, 100, "c", d, &i), DIAG_JSON_TYPE,
                      "'f' is not an integer (found 32.5)"));
    CU_ASSERT(
        refused(&f, json_get_i64(o, "big", 0, INT64_MAX, "c", d, &i), DIAG_JSON_RANGE, "'big'"));
    CU_ASSERT(
        refused(&f, json_get_i64(o, "huge", 0, INT64_MAX, "c", d, &i), DIAG_JSON_RANGE, "'huge'"));
    CU_ASSERT(refused(&f, json_get_i64(o, "inf", INT64_MIN, INT64_MAX, "c", d, &i), DIAG_JSON_RANGE,
                      "'inf'"));
    CU_ASSERT(refused(&f, json_get_i64(o, "s", 0, 1, "c", d, &i), DIAG_JSON_TYPE,
                      "found a string, expected an integer"));
    CU_ASSERT(
        refused(&f, json_opt_i64(o, "t", 0, 1, "c", d, &i), DIAG_JSON_TYPE, "found true or false"));
    CU_ASSERT(
        refused(&f, json_get_i64(o, "n", 0, 1, "c", d, &i), DIAG_JSON_MISSING, "'n' is missing"));
    CU_ASSERT(
        refused(&f, json_get_f64(o, "absent", 0, 1, "c", d, &x), DIAG_JSON_MISSING, "'absent'"));
    CU_ASSERT(refused(&f, json_get_f64(o, "inf", -1e308, INFINITY, "c", d, &x), DIAG_JSON_RANGE,
                      "'inf'"));
    CU_ASSERT(refused(&f, json_get_f64(o, "f", 0, 1, "c", d, &x), DIAG_JSON_RANGE,
                      "'f' is out of range"));
    CU_ASSERT(refused(&f, json_opt_f64(o, "a", 0, 1, "c", d, &x), DIAG_JSON_TYPE,
                      "found an array, expected a number"));
    CU_ASSERT(
        refused(&f, json_opt_bool(o, "i", "c", d, &t), DIAG_JSON_TYPE, "expected true or false"));
    CU_ASSERT(refused(&f, json_get_str(o, "o", "c", d, &s), DIAG_JSON_TYPE,
                      "found an object, expected a string"));
    CU_ASSERT(refused(&f, json_get_str(o, "absent", "c", d, &s), DIAG_JSON_MISSING, "'absent'"));
    CU_ASSERT(i == 0 && x == 0 && !t && !s);
    done(&f);
}

static void the_place_of_an_error_is_named(void) {
    arena *mem = arena_open();
    diag d = {.mem = mem};
    json j;
    CU_ASSERT(!json_parse(STR("{\n \"a\": 1,\n \"a\": 2}"), "x/config.json", mem, &d, &j));
    CU_ASSERT_STRING_EQUAL(d.first->text,
                           "x/config.json: line 3: not valid JSON (found a duplicate key: it "
                           "occurs twice in one object at column 3, a)");
    CU_ASSERT_EQUAL(d.first->code, DIAG_JSON_SYNTAX);
    CU_ASSERT_PTR_NULL(j.root);
    arena_close(mem);
}

static void strings_are_written_as_json(void) {
    arena *mem = arena_open();
    text t = {.mem = mem};
    json_add_string(&t, STR("a\"\\\b\f\n\r\t\x01\x7f/\xc3\xa4\0z"));
    CU_ASSERT_STRING_EQUAL(t.buf.at, "\"a\\\"\\\\\\b\\f\\n\\r\\t\\u0001\\u007f/\xc3\xa4\\u0000z\"");
    t.buf.n = 0;
    json_add_string(&t, STR("\xff"
                            "a\xe2\x82"));
    CU_ASSERT_STRING_EQUAL(t.buf.at, "\"\xef\xbf\xbd"
                                     "a\xef\xbf\xbd\xef\xbf\xbd\"");
    t.buf.n = 0;
    json_add_string(&t, (str){NULL, 0});
    CU_ASSERT_STRING_EQUAL(t.buf.at, "\"\"");
    arena_close(mem);
}

UNIT_MAIN("json", {"good texts pass", good_texts_pass},
          {"bad texts are refused where they are bad", bad_texts_are_refused_where_they_are_bad},
          {"every prefix of a text is refused", every_prefix_of_a_text_is_refused},
          {"depth is bounded", depth_is_bounded}, {"values are counted", values_are_counted},
          {"large objects are fast", large_objects_are_fast},
          {"getters take what fits", getters_take_what_fits},
          {"getters refuse the rest", getters_refuse_the_rest},
          {"the place of an error is named", the_place_of_an_error_is_named},
          {"strings are written as JSON", strings_are_written_as_json})
