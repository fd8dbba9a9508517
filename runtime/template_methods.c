/* template_methods.c - methods of Python's str, list, tuple and dict, and of jinja2's loop and
 * cycler; what changes its object is refused, as by the immutable sandbox. */
#include <string.h>

#include "runtime/template_unicode.h"
#include "runtime/template_vm.h"
#include "runtime/utf8.h"

/* ---- arguments ---- */

static bool want_text(tvm *vm, rt_value v, const char *what) {
    if (v.kind == RT_KIND_text) return true;
    if (v.kind == TV_undefined) tv_undefined_error(vm, v);
    else tv_fail(vm, "%s: expected a string, not %s", what, tv_type_name(v));
    return false;
}

static bool want_int(tvm *vm, rt_value v, int64_t other, int64_t *out) {
    *out = other;
    if (v.kind == RT_KIND_missing) return true;
    if (!tv_is_integer(v)) {
        tv_fail(vm, "'%s' object cannot be interpreted as an integer", tv_type_name(v));
        return false;
    }
    *out = tv_integer(v);
    return true;
}

static bool no_arguments(tvm *vm, const tv_args *a, const char *what) {
    return tv_bind(vm, a, what, "", 0, NULL);
}

/* ---- str: case and white space ---- */

#define CASE_METHOD(name, to)                                                                      \
    static rt_value text_##name(tvm *vm, const tv_args *a) {                                       \
        return no_arguments(vm, a, #name) ? tv_convert(vm, a->in.text, to) : rt_missing();         \
    }
CASE_METHOD(upper, TV_UPPER)
CASE_METHOD(lower, TV_LOWER)
CASE_METHOD(title, TV_TITLE)
CASE_METHOD(capitalize, TV_CAPITALIZE)
CASE_METHOD(swapcase, TV_SWAPCASE)
CASE_METHOD(casefold, TV_CASEFOLD)
#undef CASE_METHOD

static rt_value strip(tvm *vm, const tv_args *a, bool left, bool right) {
    rt_value chars;
    if (!tv_bind(vm, a, "strip", "chars", 0, &chars)) return rt_missing();
    return tv_strip(vm, a->in.text, chars, left, right);
}
static rt_value text_strip(tvm *vm, const tv_args *a) { return strip(vm, a, true, true); }
static rt_value text_lstrip(tvm *vm, const tv_args *a) { return strip(vm, a, true, false); }
static rt_value text_rstrip(tvm *vm, const tv_args *a) { return strip(vm, a, false, true); }

static rt_value justify(tvm *vm, const tv_args *a, char side) {
    rt_value v[2];
    int64_t width;
    if (!tv_bind(vm, a, "a justifying method", "width fillchar", 1, v) ||
        !want_int(vm, v[0], 0, &width))
        return rt_missing();
    const rt_text *fill = NULL;
    if (v[1].kind != RT_KIND_missing) {
        if (!want_text(vm, v[1], "fillchar")) return rt_missing();
        fill = v[1].text;
        if (tv_chars(vm, v[1].text) != 1)
            return tv_fail(vm, "The fill character must be exactly one character long");
    }
    const int64_t pad = width - tv_chars(vm, a->in.text);
    if (side == 'c') return tv_center(vm, a->in.text, width, fill);
    if (pad <= 0) return a->in;
    return tv_pad(vm, a->in.text, side == 'r' ? pad : 0, side == 'l' ? pad : 0, fill);
}
static rt_value text_center(tvm *vm, const tv_args *a) { return justify(vm, a, 'c'); }
static rt_value text_ljust(tvm *vm, const tv_args *a) { return justify(vm, a, 'l'); }
static rt_value text_rjust(tvm *vm, const tv_args *a) { return justify(vm, a, 'r'); }

static rt_value text_zfill(tvm *vm, const tv_args *a) {
    static const rt_text ZERO = {.at = "0", .n = 1};
    rt_value v;
    int64_t width;
    if (!tv_bind(vm, a, "zfill", "width", 1, &v) || !want_int(vm, v, 0, &width))
        return rt_missing();
    const rt_text *t = a->in.text;
    const int64_t pad = width - tv_chars(vm, a->in.text);
    const size_t sign = t->n && (t->at[0] == '+' || t->at[0] == '-');
    if (pad <= 0) return a->in;
    tv_text b;
    tv_text_begin(vm, &b);
    tv_add_part(&b, t, 0, sign);
    for (int64_t k = 0; k < pad && tv_work(vm, 1); k++) tv_add_text(&b, &ZERO);
    tv_add_part(&b, t, sign, t->n);
    return tv_text_end(&b);
}

static rt_value text_expandtabs(tvm *vm, const tv_args *a) {
    rt_value v;
    int64_t size, column = 0;
    if (!tv_bind(vm, a, "expandtabs", "tabsize", 0, &v) || !want_int(vm, v, 8, &size))
        return rt_missing();
    const rt_text *t = a->in.text;
    tv_text b;
    tv_text_begin(vm, &b);
    for (size_t i = 0, n; i < t->n && tv_work(vm, 1); i += n) {
        uint32_t cp;
        n = tv_next_char(t, i, &cp);
        if (cp != '\t') {
            tv_add_part(&b, t, i, i + n);
            column = cp == '\n' || cp == '\r' ? 0 : column + 1;
            continue;
        }
        const int64_t spaces = size > 0 ? size - column % size : 0;
        for (int64_t k = 0; k < spaces && tv_work(vm, 1); k++)
            tv_add_bytes(&b, " ", 1, tv_taint(t, i));
        column += spaces;
    }
    return tv_text_end(&b);
}

/* ---- str: searching ---- */

/* Where in bytes the search goes on: text[start:end] of find, count, startswith, ... in characters.
 * The caller's bytes of both ends.  false: failed, or `start` is behind the end. */
static bool search_range(tvm *vm, rt_text *t, const rt_value part[2], size_t *from, size_t *to) {
    const int64_t n = tv_chars(vm, t);
    int64_t bound[2] = {0, n};
    for (int k = 0; k < 2; k++) {
        if (part[k].kind == RT_KIND_missing || part[k].kind == RT_KIND_none) continue;
        if (!want_int(vm, part[k], 0, &bound[k])) return false;
        if (bound[k] < 0) bound[k] += n;
        if (bound[k] < 0) bound[k] = 0;
        if (k == 1 && bound[k] > n) bound[k] = n;
    }
    if (bound[0] > bound[1] || bound[0] > n) return false;
    *from = tv_offset(vm, t, bound[0]);
    *to = tv_offset(vm, t, bound[1]);
    return !vm->failed && *from <= *to;
}

static const char *find_last(tvm *vm, const char *at, size_t n, const rt_text *what) {
    if (what->n > n) return NULL;
    for (size_t i = n - what->n + 1; i-- > 0;) {
        if (!tv_work(vm, 1)) return NULL;
        if (what->n && (at[i] != what->at[0] || !tv_work(vm, what->n))) continue;
        if (!what->n || !memcmp(at + i, what->at, what->n)) return at + i;
    }
    return NULL;
}

static const char *find_first(tvm *vm, const char *at, size_t n, const rt_text *what) {
    if (!tv_work(vm, n)) return NULL;
    return what->n ? memmem(at, n, what->at, what->n) : at;
}

/* Characters before byte `to`. */
static int64_t chars_before(tvm *vm, const rt_text *t, size_t to) {
    int64_t n = 0;
    uint32_t cp;
    if (!tv_work(vm, to)) return 0;
    for (size_t i = 0; i < to; i += tv_next_char(t, i, &cp)) n++;
    return n;
}

static rt_value find(tvm *vm, const tv_args *a, bool last, bool must) {
    rt_value v[3];
    size_t from, to;
    if (!tv_bind(vm, a, "find", "sub start end", 1, v) || !want_text(vm, v[0], "find"))
        return rt_missing();
    const rt_text *t = a->in.text;
    const char *found = NULL;
    if (search_range(vm, a->in.text, v + 1, &from, &to))
        found = last ? find_last(vm, t->at + from, to - from, v[0].text)
                     : find_first(vm, t->at + from, to - from, v[0].text);
    if (vm->failed) return rt_missing();
    if (found) return rt_int(chars_before(vm, t, (size_t)(found - t->at)));
    return must ? tv_fail(vm, "substring not found") : rt_int(-1);
}
static rt_value text_find(tvm *vm, const tv_args *a) { return find(vm, a, false, false); }
static rt_value text_rfind(tvm *vm, const tv_args *a) { return find(vm, a, true, false); }
static rt_value text_index(tvm *vm, const tv_args *a) { return find(vm, a, false, true); }
static rt_value text_rindex(tvm *vm, const tv_args *a) { return find(vm, a, true, true); }

static rt_value text_count(tvm *vm, const tv_args *a) {
    rt_value v[3];
    size_t from, to;
    int64_t n = 0;
    if (!tv_bind(vm, a, "count", "sub start end", 1, v) || !want_text(vm, v[0], "count"))
        return rt_missing();
    const rt_text *t = a->in.text, *what = v[0].text;
    if (!search_range(vm, a->in.text, v + 1, &from, &to))
        return vm->failed ? rt_missing() : rt_int(0);
    if (!what->n) return rt_int(chars_before(vm, t, to) - chars_before(vm, t, from) + 1);
    while (tv_work(vm, 16)) {
        const char *found = memmem(t->at + from, to - from, what->at, what->n);
        if (!found) break;
        if (!tv_work(vm, (size_t)(found - t->at) - from)) break;
        from = (size_t)(found - t->at) + what->n;
        n++;
    }
    return vm->failed ? rt_missing() : rt_int(n);
}

static bool matches_end(const char *at, size_t n, const rt_text *what, bool at_end) {
    if (what->n > n) return false;
    return !what->n || !memcmp(at_end ? at + n - what->n : at, what->at, what->n);
}

static rt_value ends(tvm *vm, const tv_args *a, bool at_end) {
    rt_value v[3];
    size_t from, to;
    if (!tv_bind(vm, a, at_end ? "endswith" : "startswith", "prefix start end", 1, v))
        return rt_missing();
    const bool many = v[0].kind == RT_KIND_tuple;
    if (!many && !want_text(vm, v[0], "startswith or endswith")) return rt_missing();
    const rt_value *what = many ? v[0].list->at : &v[0];
    const size_t n = many ? v[0].list->n : 1;
    const bool in_range = search_range(vm, a->in.text, v + 1, &from, &to);
    if (vm->failed) return rt_missing();
    for (size_t i = 0; i < n; i++) {
        if (!want_text(vm, what[i], "startswith or endswith")) return rt_missing();
        if (in_range && tv_work(vm, what[i].text->n) &&
            matches_end(a->in.text->at + from, to - from, what[i].text, at_end))
            return rt_bool(true);
    }
    return rt_bool(false);
}
static rt_value text_startswith(tvm *vm, const tv_args *a) { return ends(vm, a, false); }
static rt_value text_endswith(tvm *vm, const tv_args *a) { return ends(vm, a, true); }

static rt_value remove_end(tvm *vm, const tv_args *a, bool at_end) {
    rt_value v;
    const rt_text *t = a->in.text;
    if (!tv_bind(vm, a, "removeprefix", "prefix", 1, &v) || !want_text(vm, v, "removeprefix"))
        return rt_missing();
    if (!v.text->n || !matches_end(t->at, t->n, v.text, at_end)) return a->in;
    return at_end ? tv_part(vm, t, 0, t->n - v.text->n) : tv_part(vm, t, v.text->n, t->n);
}
static rt_value text_removeprefix(tvm *vm, const tv_args *a) { return remove_end(vm, a, false); }
static rt_value text_removesuffix(tvm *vm, const tv_args *a) { return remove_end(vm, a, true); }

/* ---- str: splitting and joining ---- */

/* Bytes from .. to as an item; in front of the others when splitting from the right. */
static bool add_piece(tvm *vm, rt_value l, const rt_text *t, size_t from, size_t to) {
    return tv_steps(vm, 1) && tv_push(vm, l, tv_part(vm, t, from, to));
}

static rt_value reversed(tvm *vm, rt_value l) {
    const rt_value out = tv_list(vm);
    if (l.kind == RT_KIND_missing) return l;
    for (size_t i = l.list->n; i-- > 0;)
        if (!tv_push(vm, out, l.list->at[i])) return rt_missing();
    return out;
}

static rt_value split_at(tvm *vm, const rt_text *t, const rt_text *sep, int64_t most, bool right) {
    const rt_value l = tv_list(vm);
    size_t from = 0, to = t->n;
    if (vm->failed) return l;
    for (; most > 0; most--) {
        const char *found = right ? find_last(vm, t->at, to, sep)
                                  : memmem(t->at + from, t->n - from, sep->at, sep->n);
        if (vm->failed) return rt_missing();
        if (!found) break;
        const size_t at = (size_t)(found - t->at);
        if (!tv_work(vm, right ? 0 : at - from) ||
            !(right ? add_piece(vm, l, t, at + sep->n, to) : add_piece(vm, l, t, from, at)))
            return rt_missing();
        if (right) to = at;
        else from = at + sep->n;
    }
    if (!add_piece(vm, l, t, from, to)) return rt_missing();
    return right ? reversed(vm, l) : l;
}

static size_t skip_spaces(const rt_text *t, size_t i, bool spaces) {
    uint32_t cp;
    while (i < t->n) {
        const size_t n = tv_next_char(t, i, &cp);
        if (rt_uni_is_space(cp) != spaces) break;
        i += n;
    }
    return i;
}

static rt_value split_words(tvm *vm, const rt_text *t, int64_t most) {
    const rt_value l = tv_list(vm);
    size_t i = skip_spaces(t, 0, true);
    if (vm->failed || !tv_work(vm, t->n)) return rt_missing();
    for (; i < t->n && most > 0; most--) {
        const size_t end = skip_spaces(t, i, false);
        if (!add_piece(vm, l, t, i, end)) return rt_missing();
        i = skip_spaces(t, end, true);
    }
    if (i == t->n) return l;
    const rt_value rest = tv_strip(vm, &(rt_text){.at = t->at + i, .n = t->n - i, .n_chars = -1},
                                   rt_none(), false, true);
    if (vm->failed || !add_piece(vm, l, t, i, i + rest.text->n)) return rt_missing();
    return l;
}

/* From the right: words are found from the left first. */
static rt_value rsplit_words(tvm *vm, const rt_text *t, int64_t most) {
    const rt_value all = split_words(vm, t, INT64_MAX), l = tv_list(vm);
    if (vm->failed || (int64_t)all.list->n <= most) return all;
    const size_t n = all.list->n, kept = (size_t)most;
    const rt_text *last = all.list->at[n - kept - 1].text;
    const size_t from = (size_t)(all.list->at[0].text->at - t->at);
    if (!add_piece(vm, l, t, from, (size_t)(last->at - t->at) + last->n)) return rt_missing();
    for (size_t i = n - kept; i < n; i++)
        if (!tv_push(vm, l, all.list->at[i])) return rt_missing();
    return l;
}

static rt_value split(tvm *vm, const tv_args *a, bool right) {
    rt_value v[2];
    int64_t most;
    if (!tv_bind(vm, a, "split", "sep maxsplit", 0, v) || !want_int(vm, v[1], -1, &most))
        return rt_missing();
    if (most < 0) most = INT64_MAX;
    if (v[0].kind == RT_KIND_missing || v[0].kind == RT_KIND_none)
        return right ? rsplit_words(vm, a->in.text, most) : split_words(vm, a->in.text, most);
    if (!want_text(vm, v[0], "split")) return rt_missing();
    if (!v[0].text->n) return tv_fail(vm, "empty separator");
    return split_at(vm, a->in.text, v[0].text, most, right);
}
static rt_value text_split(tvm *vm, const tv_args *a) { return split(vm, a, false); }
static rt_value text_rsplit(tvm *vm, const tv_args *a) { return split(vm, a, true); }

static rt_value text_splitlines(tvm *vm, const tv_args *a) {
    rt_value keep;
    if (!tv_bind(vm, a, "splitlines", "keepends", 0, &keep)) return rt_missing();
    return tv_lines(vm, a->in.text, tv_truth(vm, keep));
}

static rt_value partition(tvm *vm, const tv_args *a, bool right) {
    rt_value v;
    if (!tv_bind(vm, a, "partition", "sep", 1, &v) || !want_text(vm, v, "partition"))
        return rt_missing();
    if (!v.text->n) return tv_fail(vm, "empty separator");
    const rt_text *t = a->in.text;
    const char *found =
        right ? find_last(vm, t->at, t->n, v.text) : find_first(vm, t->at, t->n, v.text);
    rt_value l = tv_list(vm);
    if (vm->failed) return rt_missing();
    const size_t at = found ? (size_t)(found - t->at) : right ? 0 : t->n;
    const size_t behind = found ? at + v.text->n : at;
    if (!add_piece(vm, l, t, 0, at) || !add_piece(vm, l, t, at, behind) ||
        !add_piece(vm, l, t, behind, t->n))
        return rt_missing();
    l.kind = RT_KIND_tuple;
    return l;
}
static rt_value text_partition(tvm *vm, const tv_args *a) { return partition(vm, a, false); }
static rt_value text_rpartition(tvm *vm, const tv_args *a) { return partition(vm, a, true); }

static rt_value text_join(tvm *vm, const tv_args *a) {
    rt_value v;
    if (!tv_bind(vm, a, "join", "iterable", 1, &v)) return rt_missing();
    const rt_list *l = tv_items(vm, v);
    const bool markup = a->in.text->markup;
    tv_text b;
    tv_text_begin(vm, &b);
    for (size_t i = 0; l && i < l->n && tv_steps(vm, 1); i++) {
        rt_value item = l->at[i];
        if (item.kind != RT_KIND_text && !markup)
            return tv_fail(vm, "sequence item %llu: expected str instance, %s found",
                           (unsigned long long)i, tv_type_name(item));
        if (markup) item = tv_escape(vm, item);
        if (i) tv_add_text(&b, a->in.text);
        if (!vm->failed) tv_add_text(&b, item.text);
    }
    rt_value out = tv_text_end(&b);
    if (out.kind == RT_KIND_text) out.text->markup = markup;
    return l ? out : rt_missing();
}

static rt_value text_replace(tvm *vm, const tv_args *a) {
    rt_value v[3];
    int64_t count;
    if (!tv_bind(vm, a, "replace", "old new count", 2, v) || !want_text(vm, v[0], "replace") ||
        !want_text(vm, v[1], "replace") || !want_int(vm, v[2], -1, &count))
        return rt_missing();
    const bool markup = a->in.text->markup;
    if (markup) v[1] = tv_escape(vm, v[1]);
    if (vm->failed) return rt_missing();
    rt_value out = tv_replace(vm, a->in.text, v[0].text, v[1].text, count);
    if (out.kind == RT_KIND_text) out.text->markup = markup;
    return out;
}

static rt_value text_format(tvm *vm, const tv_args *a) {
    return tv_format_braces(vm, a->in.text, a);
}
static rt_value text_format_map(tvm *vm, const tv_args *a) {
    rt_value v;
    if (!tv_bind(vm, a, "format_map", "mapping", 1, &v)) return rt_missing();
    if (v.kind != RT_KIND_map) return tv_fail(vm, "format_map wants a mapping");
    const size_t n = v.map->n;
    rt_value *named = rt_region_array(&vm->r, 2 * n, sizeof *named);
    if (!named || n > UINT32_MAX) return tv_no_memory(vm);
    for (size_t i = 0; i < n; i++) {
        named[2 * i] = v.map->keys[i];
        named[2 * i + 1] = v.map->values[i];
    }
    const tv_args inner = {.in = a->in, .named = named, .n_named = (uint32_t)n};
    return tv_format_braces(vm, a->in.text, &inner);
}

/* ---- str: questions ---- */

static bool is_alnum(uint32_t cp) { return rt_uni_is_alpha(cp) || rt_uni_is_numeric(cp); }
static bool is_decimal(uint32_t cp) { return rt_uni_decimal(cp) >= 0; }
static bool is_ascii(uint32_t cp) { return cp < 0x80; }

static rt_value all_chars(tvm *vm, const tv_args *a, bool (*is)(uint32_t cp), bool of_empty) {
    const rt_text *t = a->in.text;
    if (!no_arguments(vm, a, "this method") || !tv_work(vm, t->n)) return rt_missing();
    for (size_t i = 0; i < t->n;) {
        uint32_t cp;
        i += tv_next_char(t, i, &cp);
        if (!is(cp)) return rt_bool(false);
    }
    return rt_bool(t->n || of_empty);
}
#define CHARS_METHOD(name, is, of_empty)                                                           \
    static rt_value text_##name(tvm *vm, const tv_args *a) {                                       \
        return all_chars(vm, a, is, of_empty);                                                     \
    }
CHARS_METHOD(isalnum, is_alnum, false)
CHARS_METHOD(isalpha, rt_uni_is_alpha, false)
CHARS_METHOD(isascii, is_ascii, true)
CHARS_METHOD(isdecimal, is_decimal, false)
CHARS_METHOD(isdigit, rt_uni_is_digit, false)
CHARS_METHOD(isnumeric, rt_uni_is_numeric, false)
CHARS_METHOD(isprintable, rt_uni_is_printable, true)
CHARS_METHOD(isspace, rt_uni_is_space, false)
#undef CHARS_METHOD

static rt_value call_test(tvm *vm, const tv_args *a, const char *name) {
    const rt_text t = {.at = name, .n = strlen(name)};
    return tv_tests[tv_find_test(&t)].fn(vm, a);
}
static rt_value text_islower(tvm *vm, const tv_args *a) { return call_test(vm, a, "lower"); }
static rt_value text_isupper(tvm *vm, const tv_args *a) { return call_test(vm, a, "upper"); }

/* Capitals follow what has no case, small letters follow letters. */
static rt_value text_istitle(tvm *vm, const tv_args *a) {
    const rt_text *t = a->in.text;
    bool cased = false, inside = false;
    if (!no_arguments(vm, a, "istitle") || !tv_work(vm, t->n)) return rt_missing();
    for (size_t i = 0; i < t->n;) {
        uint32_t cp;
        i += tv_next_char(t, i, &cp);
        const bool capital = rt_uni_is_upper(cp) || rt_uni_is_title(cp);
        const bool small = !capital && rt_uni_is_lower(cp);
        if ((capital && inside) || (small && !inside)) return rt_bool(false);
        inside = capital || small;
        cased |= inside;
    }
    return rt_bool(cased);
}

static rt_value text_isidentifier(tvm *vm, const tv_args *a) {
    const rt_text *t = a->in.text;
    if (!no_arguments(vm, a, "isidentifier") || !tv_work(vm, t->n)) return rt_missing();
    for (size_t i = 0; i < t->n;) {
        uint32_t cp;
        const bool first = i == 0;
        i += tv_next_char(t, i, &cp);
        const bool letter = cp == '_' || rt_uni_is_alpha(cp);
        if (!letter && (first || !(rt_uni_decimal(cp) >= 0 || rt_uni_is_mark(cp))))
            return rt_bool(false);
    }
    return rt_bool(t->n != 0);
}

/* Methods with bytes or tables, which chats have no use for. */
static rt_value refuse(tvm *vm, const char *name) {
    return tv_fail(vm, "the method '%s' is not supported in chat templates", name);
}
static rt_value text_encode(tvm *vm, const tv_args *a) { return (void)a, refuse(vm, "encode"); }
static rt_value text_maketrans(tvm *vm, const tv_args *a) {
    return (void)a, refuse(vm, "maketrans");
}
static rt_value text_translate(tvm *vm, const tv_args *a) {
    return (void)a, refuse(vm, "translate");
}

/* ---- list, tuple ---- */

static rt_value list_count(tvm *vm, const tv_args *a) {
    rt_value v;
    int64_t n = 0;
    if (!tv_bind(vm, a, "count", "value", 1, &v)) return rt_missing();
    for (size_t i = 0; i < a->in.list->n && !vm->failed; i++)
        n += tv_equal(vm, a->in.list->at[i], v);
    return vm->failed ? rt_missing() : rt_int(n);
}

static rt_value list_index(tvm *vm, const tv_args *a) {
    rt_value v[3];
    int64_t from, to;
    const int64_t n = (int64_t)a->in.list->n;
    if (!tv_bind(vm, a, "index", "value start stop", 1, v) || !want_int(vm, v[1], 0, &from) ||
        !want_int(vm, v[2], n, &to))
        return rt_missing();
    if (from < 0) from = from + n < 0 ? 0 : from + n;
    if (to < 0) to += n;
    for (int64_t i = from; i < to && i < n && !vm->failed; i++)
        if (tv_equal(vm, a->in.list->at[i], v[0])) return rt_int(i);
    return tv_fail(vm, "the value is not in list");
}

static rt_value list_copy(tvm *vm, const tv_args *a) {
    return no_arguments(vm, a, "copy") ? a->in : rt_missing();
}

/* ---- dict ---- */

static rt_value map_get(tvm *vm, const tv_args *a) {
    rt_value v[2];
    if (!tv_bind(vm, a, "get", "key default", 1, v)) return rt_missing();
    if (!tv_hashable(v[0])) return tv_fail(vm, "unhashable type: '%s'", tv_type_name(v[0]));
    const int64_t i = rt_map_find(a->in.map, v[0]);
    if (i >= 0) return a->in.map->values[i];
    return v[1].kind == RT_KIND_missing ? rt_none() : v[1];
}

static rt_value view(tvm *vm, const tv_args *a, tv_view_of of) {
    if (!no_arguments(vm, a, "this method")) return rt_missing();
    return (rt_value){.kind = TV_view, .sub = of, .map = a->in.map};
}
static rt_value map_items_view(tvm *vm, const tv_args *a) { return view(vm, a, TV_ITEMS); }
static rt_value map_keys(tvm *vm, const tv_args *a) { return view(vm, a, TV_KEYS); }
static rt_value map_values(tvm *vm, const tv_args *a) { return view(vm, a, TV_VALUES); }

/* ---- loop, cycler ---- */

static rt_value loop_cycle(tvm *vm, const tv_args *a) {
    const tv_loop *l = a->in.other;
    if (a->n_named || !a->n_pos) return tv_fail(vm, "no items for cycling given");
    return a->pos[(uint64_t)(l->index0 < 0 ? 0 : l->index0) % a->n_pos];
}

static rt_value loop_changed(tvm *vm, const tv_args *a) {
    tv_loop *l = a->in.other;
    rt_value now = tv_list(vm);
    for (uint32_t k = 0; k < a->n_pos; k++)
        if (!tv_push(vm, now, a->pos[k])) return rt_missing();
    if (vm->failed) return rt_missing();
    const bool same = l->changed.kind != RT_KIND_missing && tv_equal(vm, l->changed, now);
    l->changed = now;
    return vm->failed ? rt_missing() : rt_bool(!same);
}

static rt_value cycler_next(tvm *vm, const tv_args *a) {
    tv_cycler *c = a->in.other;
    if (!no_arguments(vm, a, "next")) return rt_missing();
    const rt_value v = c->items->at[c->next];
    c->next = (c->next + 1) % c->items->n;
    return v;
}

static rt_value cycler_reset(tvm *vm, const tv_args *a) {
    tv_cycler *c = a->in.other;
    c->next = 0;
    return no_arguments(vm, a, "reset") ? rt_none() : rt_missing();
}

/* ---- the table ---- */

typedef struct method {
    uint32_t kind;
    const char *name;
    tv_fn *fn; /* NULL: the sandbox refuses it */
} method;

static const method METHODS[] = {
#define TEXT(name) {RT_KIND_text, #name, text_##name}
    TEXT(casefold),
    TEXT(encode),
    TEXT(maketrans),
    TEXT(translate),
    TEXT(capitalize),
    TEXT(center),
    TEXT(count),
    TEXT(endswith),
    TEXT(expandtabs),
    TEXT(find),
    TEXT(format),
    TEXT(format_map),
    TEXT(index),
    TEXT(isalnum),
    TEXT(isalpha),
    TEXT(isascii),
    TEXT(isdecimal),
    TEXT(isdigit),
    TEXT(isidentifier),
    TEXT(islower),
    TEXT(isnumeric),
    TEXT(isprintable),
    TEXT(isspace),
    TEXT(istitle),
    TEXT(isupper),
    TEXT(join),
    TEXT(ljust),
    TEXT(lower),
    TEXT(lstrip),
    TEXT(partition),
    TEXT(replace),
    TEXT(removeprefix),
    TEXT(removesuffix),
    TEXT(rfind),
    TEXT(rindex),
    TEXT(rjust),
    TEXT(rpartition),
    TEXT(rsplit),
    TEXT(rstrip),
    TEXT(split),
    TEXT(splitlines),
    TEXT(startswith),
    TEXT(strip),
    TEXT(swapcase),
    TEXT(title),
    TEXT(upper),
    TEXT(zfill),
#undef TEXT
    {RT_KIND_list, "count", list_count},
    {RT_KIND_list, "index", list_index},
    {RT_KIND_list, "copy", list_copy},
    {RT_KIND_list, "append", NULL},
    {RT_KIND_list, "clear", NULL},
    {RT_KIND_list, "extend", NULL},
    {RT_KIND_list, "insert", NULL},
    {RT_KIND_list, "pop", NULL},
    {RT_KIND_list, "remove", NULL},
    {RT_KIND_list, "reverse", NULL},
    {RT_KIND_list, "sort", NULL},
    {RT_KIND_tuple, "count", list_count},
    {RT_KIND_tuple, "index", list_index},
    {RT_KIND_map, "get", map_get},
    {RT_KIND_map, "items", map_items_view},
    {RT_KIND_map, "keys", map_keys},
    {RT_KIND_map, "values", map_values},
    {RT_KIND_map, "copy", list_copy},
    {RT_KIND_map, "clear", NULL},
    {RT_KIND_map, "pop", NULL},
    {RT_KIND_map, "popitem", NULL},
    {RT_KIND_map, "setdefault", NULL},
    {RT_KIND_map, "update", NULL},
    {TV_loop, "cycle", loop_cycle},
    {TV_loop, "changed", loop_changed},
    {TV_cycler, "next", cycler_next},
    {TV_cycler, "reset", cycler_reset},
};

int64_t tv_find_method(rt_value v, const rt_text *name, bool *unsafe) {
    *unsafe = false;
    for (size_t i = 0; i < sizeof METHODS / sizeof METHODS[0]; i++) {
        const method *m = &METHODS[i];
        if (m->kind != v.kind || strlen(m->name) != name->n || memcmp(m->name, name->at, name->n))
            continue;
        *unsafe = !m->fn;
        return m->fn ? (int64_t)i : -1;
    }
    return -1;
}

rt_value tv_call_method(tvm *vm, uint32_t row, const tv_args *a) { return METHODS[row].fn(vm, a); }
