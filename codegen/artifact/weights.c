/* weights.c - fills windows of section "weights"; threads fill ahead, one writes. */
#include "codegen/artifact/weights.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "base/half.h"
#include "ir/const.h"
#include "ir/layout.h"

enum { MAX_THREADS = 8, ROWS_AT_ONCE = 256, ALIGN = 64 };

/* A run of equal units: blocks of 16 packed rows, or rows of a plain matrix.  A unit is made whole,
 * so one that crosses the edge of a window is made twice. */
typedef struct item {
    const ir_op *op;
    uint64_t offset, bytes; /* in the section */
    uint64_t unit;          /* bytes */
    const uint8_t *raw;     /* the bytes themselves, where they need no work */
} item;

struct art_weights {
    item *item; /* ascending, apart */
    int n_items;
    uint64_t n_bytes;
};

/* ---- what there is ---- */

static item packed_item(const cg_weight *c) {
    return (item){c->op, c->offset, c->bytes, (uint64_t)ir_packed_block_bytes(c->op), NULL};
}

static item plain_item(const cg_weight *c) {
    const ir_type *t = &c->op->type;
    const ir_dtype stored = cg_stored_dtype(c->op);
    const uint64_t columns = (uint64_t)t->dim[t->rank - 1];
    item it = {c->op, c->offset, c->bytes, columns * (uint64_t)ir_dtype_info[stored].bits / 8,
               NULL};
    if (c->op->kind == OP_weight && c->op->source.kind == SOURCE_file && stored == t->dtype)
        it.raw = c->op->graph->file[c->op->source.file].at + c->op->source.data.offset;
    return it;
}

art_weights *art_weights_prepare(const cg_program *program, arena *mem, diag *d) {
    art_weights *w = arena_new(mem, art_weights);
    w->item = arena_array(mem, item, 2 * program->n_weights);
    w->n_bytes = program->weights_bytes;
    for (int i = 0; i < program->n_weights; i++) {
        const cg_weight *c = &program->weight[i];
        item it = ir_layout_is_packed(c->op->type.layout) ? packed_item(c) : plain_item(c);
        if (it.bytes % it.unit) UNREACHABLE("size of a weight in the program");
        w->item[w->n_items++] = it;
        if (!c->perm_bytes) continue;
        ir_groups g;
        if (!ir_const_groups(c->op, mem, d, &g)) return NULL;
        w->item[w->n_items++] =
            (item){c->op, c->perm_offset, c->perm_bytes, c->perm_bytes, (const uint8_t *)g.column};
    }
    for (int i = 0; i < w->n_items; i++)
        if (w->item[i].offset + w->item[i].bytes >
            (i + 1 < w->n_items ? w->item[i + 1].offset : w->n_bytes))
            UNREACHABLE("weights of the program overlap");
    return w;
}

/* ---- values ---- */

/* Rows [row0, row0 + n) of a plain constant in the element type it is stored in. */
static void fill_rows(const ir_op *op, int64_t row0, int64_t n, float *values, uint8_t *out) {
    const ir_dtype stored = cg_stored_dtype(op);
    const int64_t n_values = n * op->type.dim[op->type.rank - 1];
    ir_const_rows(op, row0, n, values);
    if (stored == DT_f32) {
        memcpy(out, values, (size_t)n_values * sizeof *values);
        return;
    }
    if (stored != DT_f16 && stored != DT_bf16) UNREACHABLE("element type of a plain constant");
    for (int64_t i = 0; i < n_values; i++, out += 2) {
        const uint16_t h = stored == DT_f16 ? f32_to_f16(values[i]) : f32_to_bf16(values[i]);
        memcpy(out, &h, sizeof h);
    }
}

/* Whole units first .. first + n. */
static void fill_units(const item *it, uint64_t first, uint64_t n, arena *scratch, uint8_t *out) {
    if (ir_layout_is_packed(it->op->type.layout)) {
        ir_pack_blocks(it->op, (int64_t)first, (int64_t)n, scratch, out);
        return;
    }
    const arena_pos mark = arena_mark(scratch);
    const uint64_t columns = (uint64_t)it->op->type.dim[it->op->type.rank - 1];
    const uint64_t at_once = n < ROWS_AT_ONCE ? n : ROWS_AT_ONCE;
    float *values = arena_array(scratch, float, at_once *columns);
    for (uint64_t done = 0; done < n; done += at_once) {
        const uint64_t now = n - done < at_once ? n - done : at_once;
        fill_rows(it->op, (int64_t)(first + done), (int64_t)now, values, out + done * it->unit);
    }
    arena_rewind(scratch, mark);
}

/* Bytes begin .. end of an item (both relative to it). */
static void fill_item(const item *it, uint64_t begin, uint64_t end, arena *scratch, uint8_t *out) {
    if (it->raw) {
        memcpy(out, it->raw + begin, end - begin);
        return;
    }
    const arena_pos mark = arena_mark(scratch);
    uint8_t *part = NULL; /* a unit of which only a part is wanted */
    while (begin < end) {
        const uint64_t unit = begin / it->unit, skip = begin % it->unit;
        const uint64_t whole = skip ? 0 : (end - begin) / it->unit;
        uint64_t n = whole * it->unit;
        if (whole) {
            fill_units(it, unit, whole, scratch, out);
        } else {
            n = end - begin < it->unit - skip ? end - begin : it->unit - skip;
            if (!part) part = arena_get(scratch, it->unit, ALIGN);
            fill_units(it, unit, 1, scratch, part);
            memcpy(out, part + skip, n);
        }
        begin += n;
        out += n;
    }
    arena_rewind(scratch, mark);
}

void art_weights_fill(const art_weights *w, uint64_t begin, uint64_t end, arena *scratch,
                      uint8_t *out) {
    memset(out, 0, end - begin);
    for (int i = 0; i < w->n_items; i++) {
        const item *it = &w->item[i];
        const uint64_t from = it->offset > begin ? it->offset : begin;
        const uint64_t to = it->offset + it->bytes < end ? it->offset + it->bytes : end;
        if (from < to)
            fill_item(it, from - it->offset, to - it->offset, scratch, out + (from - begin));
    }
}

/* ---- threads ---- */

typedef struct stream {
    const art_weights *w;
    uint64_t n_windows;
    uint64_t n_slots;
    uint8_t *slot[MAX_THREADS + 1]; /* window i is in slot i % n_slots */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* under the lock */
    bool ready[MAX_THREADS + 1];
    uint64_t next, written; /* window to fill next; windows that the sink has had */
    bool stop;
} stream;

static uint64_t window_bytes(const stream *s, uint64_t i) {
    const uint64_t left = s->w->n_bytes - i * ART_WINDOW_BYTES;
    return left < ART_WINDOW_BYTES ? left : ART_WINDOW_BYTES;
}

static void *fill_windows(void *context) {
    stream *s = context;
    arena *scratch = arena_open();
    pthread_mutex_lock(&s->lock);
    while (!s->stop && s->next < s->n_windows) {
        if (s->next >= s->written + s->n_slots) {
            pthread_cond_wait(&s->changed, &s->lock);
            continue;
        }
        const uint64_t i = s->next++;
        pthread_mutex_unlock(&s->lock);
        const uint64_t begin = i * ART_WINDOW_BYTES;
        art_weights_fill(s->w, begin, begin + window_bytes(s, i), scratch, s->slot[i % s->n_slots]);
        pthread_mutex_lock(&s->lock);
        s->ready[i % s->n_slots] = true;
        pthread_cond_broadcast(&s->changed);
    }
    pthread_mutex_unlock(&s->lock);
    arena_close(scratch);
    return NULL;
}

static bool feed_sink(stream *s, art_sink_fn *sink, void *context) {
    bool ok = true;
    for (uint64_t i = 0; i < s->n_windows && ok; i++) {
        bool *ready = &s->ready[i % s->n_slots];
        pthread_mutex_lock(&s->lock);
        while (!*ready) pthread_cond_wait(&s->changed, &s->lock);
        pthread_mutex_unlock(&s->lock);
        ok = sink(context, s->slot[i % s->n_slots], window_bytes(s, i));
        pthread_mutex_lock(&s->lock);
        *ready = false;
        s->written++;
        s->stop = !ok;
        pthread_cond_broadcast(&s->changed);
        pthread_mutex_unlock(&s->lock);
    }
    return ok;
}

bool art_weights_stream(const art_weights *w, int n_threads, arena *mem, diag *d, art_sink_fn *sink,
                        void *context) {
    const arena_pos mark = arena_mark(mem);
    stream s = {.w = w,
                .n_windows = (uint64_t)ceil_div((int64_t)w->n_bytes, ART_WINDOW_BYTES),
                .lock = PTHREAD_MUTEX_INITIALIZER,
                .changed = PTHREAD_COND_INITIALIZER};
    pthread_t thread[MAX_THREADS];
    int n = 0, wanted = n_threads > MAX_THREADS ? MAX_THREADS : n_threads, error = 0;
    if ((uint64_t)wanted > s.n_windows) wanted = (int)s.n_windows;
    s.n_slots = (uint64_t)wanted + 1;
    for (uint64_t i = 0; i < s.n_slots; i++) s.slot[i] = arena_get(mem, ART_WINDOW_BYTES, ALIGN);
    for (; n < wanted && !error; n += !error)
        error = pthread_create(&thread[n], NULL, fill_windows, &s);
    bool ok = !s.n_windows || n > 0; /* fewer threads than wanted will do */
    if (ok) ok = feed_sink(&s, sink, context);
    else
        diag_error(d, DIAG_FILE_RESOURCES, (diag_loc){0}, "cannot start a thread (%s)",
                   strerror(error));
    for (int i = 0; i < n; i++) pthread_join(thread[i], NULL);
    pthread_mutex_destroy(&s.lock);
    pthread_cond_destroy(&s.changed);
    if (ok) arena_rewind(mem, mark); /* else the message is behind the mark */
    return ok;
}

/* ---- dummy weights ---- */

static rt_dummy recipe_of(const cg_weight *c) {
    const ir_type *t = &c->op->type;
    const float columns = (float)t->dim[t->rank - 1];
    rt_dummy e = {.offset = c->offset, .bytes = c->bytes};
    /* such that a matrix keeps the size of what it multiplies: about 1 / sqrt(K) each */
    e.scale = 1.0f;
    while (e.scale * e.scale * columns > 4) e.scale /= 2;
    if (t->rank == 1) e.fill = RT_FILL_ones;
    else if (t->dtype == DT_f16) e.fill = RT_FILL_f16;
    else if (t->dtype == DT_bf16) e.fill = RT_FILL_bf16;
    else e.fill = RT_FILL_f32;
    if (t->dtype == DT_i4) {
        e.fill = RT_FILL_i4;
        e.group = (uint32_t)ir_packed_group(t);
        e.zeros = t->zeros;
        e.scale /= 8; /* of codes -8 .. 7 */
    }
    return e;
}

art_bytes art_weights_recipe(const cg_program *program, arena *mem) {
    rt_dummy *table = arena_array(mem, rt_dummy, 2 * program->n_weights);
    size_t n = 0;
    for (int i = 0; i < program->n_weights; i++) {
        const cg_weight *c = &program->weight[i];
        table[n++] = recipe_of(c);
        if (!c->perm_bytes) continue;
        table[n++] = (rt_dummy){.offset = c->perm_offset,
                                .bytes = c->perm_bytes,
                                .fill = RT_FILL_order,
                                .group = (uint32_t)c->op->type.dim[1]};
    }
    return (art_bytes){table, n * sizeof *table};
}
