/* compile_options.c - options of `compile` and `opt` that speak of passes and schemes. */
#include <string.h>

#include "driver/compile.h"

static bool find_pass(const char *name, size_t n, const char *option, arena *mem, diag *d,
                      pass_id *out) {
    if (pass_find((str){name, n}, out)) return true;
    text all = {.mem = mem};
    for (int i = 0; i < PASS_COUNT; i++)
        text_printf(&all, "%s%s", i ? ", " : "", pass_table[i].name);
    diag_error(d, DIAG_OPTION_VALUE, (diag_loc){0}, "option %s: no pass is called '%.*s'", option,
               (int)n, name);
    diag_note(d, (diag_loc){0}, "passes: %s", all.buf.at);
    return false;
}

/* Names separated by commas, in any number of options -> bit set; "all" where it is allowed. */
static bool pass_set(const opt_texts *o, const char *option, bool all_allowed, arena *mem, diag *d,
                     uint32_t *out) {
    for (int i = 0; i < o->n; i++)
        for (const char *at = o->v[i];; at++) {
            const size_t n = strcspn(at, ",");
            pass_id id;
            if (all_allowed && str_is((str){at, n}, "all")) *out |= (1u << PASS_COUNT) - 1;
            else if (!find_pass(at, n, option, mem, d, &id)) return false;
            else *out |= 1u << id;
            at += n;
            if (!*at) break;
        }
    return true;
}

bool compile_read_pass_options(compile *c) {
    const options *o = c->o;
    pass_options *p = &c->passes;
    *p = pass_default_options();
    p->max_tokens = c->max_tokens;
    p->max_rows = c->max_tokens;
    p->limit = o->pass_limit.given ? (int)o->pass_limit.v : -1;
    p->verify_each = p->verify_each || o->verify_each.v;
    p->time_passes = o->time_passes.v;
    p->print_out = stderr;
    pass_id stop;
    if (o->stop_after.given) {
        if (!find_pass(o->stop_after.v, strlen(o->stop_after.v), "--stop-after", c->mem, c->d,
                       &stop))
            return false;
        p->stop_after = (int)stop;
    }
    return pass_set(&o->disable_pass, "--disable-pass", false, c->mem, c->d, &p->disabled) &&
           pass_set(&o->print_after, "--print-after", true, c->mem, c->d, &p->print_after);
}

bool compile_set_scheme(compile *c) {
    const options *o = c->o;
    bool is_auto = true;
    scheme *s = &c->passes.scheme;
    if (o->quant.given && !scheme_parse(str_of(o->quant.v), s, &is_auto))
        return diag_error(
            c->d, DIAG_OPTION_VALUE, (diag_loc){0},
            "option --quant: no scheme is called '%s' (expected auto, f32, bf16, f16 or "
            "w4a16-gN)",
            o->quant.v);
    if (!o->quant.given || is_auto) *s = scheme_auto(c->model.graph);
    if (o->kv_dtype.given) s->kv_dtype = o->kv_dtype.v == KV_WORD_f32 ? DT_f32 : DT_bf16;
    return true;
}
