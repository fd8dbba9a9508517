/* diag.c - collects messages and prints them in the form of DESIGN.md section 6. */
#include "base/diag.h"

#include <stdarg.h>
#include <string.h>

#include "base/str.h"
#include "base/util.h"

typedef struct diag_row {
    diag_code code;
    exit_status status;
    const char *name, *hint;
} diag_row;

static const diag_row ROWS[] = {
#define DIAG(name, number, exit_status, hint) {DIAG_##name, exit_status, #name, hint},
#include "base/diag.def"
#undef DIAG
};

static const diag_row *row_of(diag_code code) {
    for (size_t i = 0; i < COUNT_OF(ROWS); i++)
        if (ROWS[i].code == code) return &ROWS[i];
    UNREACHABLE("a diagnostic without a row in diag.def");
}

static void add(diag *d, diag_level level, diag_code code, diag_loc at, const char *fmt,
                va_list ap) {
    text t = {.mem = d->mem};
    if (at.file) text_printf(&t, "%s: ", at.file);
    if (at.line) text_printf(&t, "line %llu: ", (unsigned long long)at.line);
    else if (at.offset) text_printf(&t, "byte %llu: ", (unsigned long long)at.offset);
    if (at.tensor) text_printf(&t, "tensor '%s': ", at.tensor);
    if (at.op) text_printf(&t, "in '%s': ", at.op);
    text_cat(&t, arena_vprintf(d->mem, fmt, ap));
    diag_item *item = arena_new(d->mem, diag_item);
    *item = (diag_item){.level = level, .code = code, .text = t.buf.at};
    /* names from files may hold anything: control characters must not reach a terminal */
    for (char *c = t.buf.at; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f) *c = '?';
    if (d->last) d->last->next = item;
    else d->first = item;
    d->last = item;
}

bool diag_error(diag *d, diag_code code, diag_loc at, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    add(d, DIAG_LEVEL_error, code, at, fmt, ap);
    va_end(ap);
    d->n_errors++;
    return false;
}

void diag_warn(diag *d, diag_code code, diag_loc at, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    add(d, DIAG_LEVEL_warning, code, at, fmt, ap);
    va_end(ap);
    d->n_warnings++;
}

void diag_note(diag *d, diag_loc at, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    add(d, DIAG_LEVEL_note, 0, at, fmt, ap);
    va_end(ap);
}

void diag_print(const diag *d, FILE *out) {
    for (const diag_item *i = d->first; i; i = i->next) {
        if (i->level == DIAG_LEVEL_note) {
            fprintf(out, "  note: %s\n", i->text);
            continue;
        }
        fprintf(out, "p4c: %s%s [%c%04d]\n", i->level == DIAG_LEVEL_warning ? "warning: " : "",
                i->text, i->level == DIAG_LEVEL_warning ? 'W' : 'E', (int)i->code);
        if (diag_hint(i->code)[0]) fprintf(out, "  hint: %s\n", diag_hint(i->code));
    }
}

void diag_clear(diag *d) {
    d->first = d->last = NULL;
    d->n_errors = d->n_warnings = 0;
}

exit_status diag_exit_status(const diag *d) {
    for (const diag_item *i = d->first; i; i = i->next)
        if (i->level == DIAG_LEVEL_error) return row_of(i->code)->status;
    return EXIT_DONE;
}

const char *diag_name(diag_code code) { return row_of(code)->name; }

const char *diag_hint(diag_code code) { return row_of(code)->hint; }
