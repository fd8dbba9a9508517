/* synth_weights.c - random tensors at disk speed.
 *
 * The 8 bytes at place i of a tensor are a function of (tensor's seed, i): SplitMix64 as a counter
 * (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).  So any thread can
 * make any piece, and pieces are cut by the file, not by the tensors.  Normal numbers come from a
 * table of 4096 quantiles.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/half.h"
#include "driver/synth.h"

enum { N_QUANTILES = 4096, PIECE_BYTES = 8 << 20, N_THREADS = 2, DATA_ALIGN = 4096 };

struct synth_source {
    uint16_t normal[N_QUANTILES]; /* bf16, deviation 0.02 */
    uint16_t norm[N_QUANTILES];   /* bf16, 1 + deviation 0.1 */
};

/* x with P(N(0, 1) < x) = p, by halving. */
static double quantile(double p) {
    double lo = -8, hi = 8;
    for (int i = 0; i < 60; i++) {
        const double mid = (lo + hi) / 2;
        if (erfc(-mid / 1.4142135623730951) / 2 < p) lo = mid;
        else hi = mid;
    }
    return (lo + hi) / 2;
}

synth_source *synth_source_new(arena *mem) {
    synth_source *s = arena_new(mem, synth_source);
    for (int i = 0; i < N_QUANTILES; i++) {
        const double x = quantile((i + 0.5) / N_QUANTILES);
        s->normal[i] = f32_to_bf16((float)(0.02 * x));
        s->norm[i] = f32_to_bf16((float)(1 + 0.1 * x));
    }
    return s;
}

static uint64_t mix(uint64_t x) {
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static uint64_t random_at(uint64_t seed, uint64_t i) {
    return mix(seed + (i + 1) * 0x9e3779b97f4a7c15u);
}

/* Four bf16 from a table, 12 bits each. */
static uint64_t four_of(const uint16_t *table, uint64_t bits) {
    return (uint64_t)table[bits & 4095] | (uint64_t)table[bits >> 12 & 4095] << 16 |
           (uint64_t)table[bits >> 24 & 4095] << 32 | (uint64_t)table[bits >> 36 & 4095] << 48;
}

/* Four f16 of either sign.  A uniform nibble minus 8 has a root mean square of 4.64: 0.02
 * needs a scale of 0.00427; these go from 0.75 to 1.25 of it. */
static uint64_t four_scales(uint64_t bits) {
    uint64_t out = 0;
    for (int j = 0; j < 4; j++) {
        const uint64_t b = bits >> 16 * j;
        const float size = 0.00427f * (0.75f + (float)(b & 1023) / 2048.0f);
        out |= (uint64_t)f32_to_f16(b & 1024 ? -size : size) << 16 * j;
    }
    return out;
}

void synth_make(const synth_source *s, const synth_tensor *t, uint64_t offset, uint64_t n,
                void *out) {
    assert(offset % 8 == 0 && n % 8 == 0 && offset + n <= t->bytes);
    const uint64_t first = offset / 8;
    uint8_t *at = out;
    for (uint64_t i = 0; i < n / 8; i++, at += 8) {
        const uint64_t bits = random_at(t->seed, first + i);
        uint64_t word = bits;
        switch (t->fill) {
        case FILL_NIBBLES:
            break;
        case FILL_NORMAL:
            word = four_of(s->normal, bits);
            break;
        case FILL_NORM:
            word = four_of(s->norm, bits);
            break;
        case FILL_ZEROS:
            word = 0x7777777777777777u;
            break;
        case FILL_SCALES:
            word = four_scales(bits);
            break;
        case FILL_G_IDX: {
            const uint64_t k = (first + i) * 2; /* two inputs, of one group */
            word = k / SYNTH_GROUP * 0x100000001u;
            break;
        }
        }
        memcpy(at, &word, 8);
    }
}

/* ---- one file ---- */

typedef struct writer {
    const synth_source *source;
    const synth_tensor *tensor;
    const uint64_t *begin; /* of each tensor in the data; begin[n] is the end */
    size_t n;
    uint64_t header_bytes;
    int fd;
    int error;     /* errno of the first failure, 0: none */
    uint64_t next; /* piece to make next */
    uint64_t done; /* bytes written */
} writer;

/* Fills bytes from .. from + n of the data. */
static void make_piece(const writer *w, uint64_t from, uint64_t n, uint8_t *out) {
    size_t lo = 0, hi = w->n - 1; /* the tensor that holds `from` */
    while (lo < hi) {
        const size_t mid = (lo + hi + 1) / 2;
        if (w->begin[mid] <= from) lo = mid;
        else hi = mid - 1;
    }
    while (n) {
        const uint64_t left = w->begin[lo + 1] - from, take = left < n ? left : n;
        synth_make(w->source, &w->tensor[lo], from - w->begin[lo], take, out);
        from += take;
        out += take;
        n -= take;
        lo++;
    }
}

static int put_at(int fd, uint64_t offset, const uint8_t *p, uint64_t n) {
    while (n) {
        const ssize_t k = pwrite(fd, p, n, (off_t)offset);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) return k ? errno : ENOSPC;
        p += k;
        offset += (uint64_t)k;
        n -= (uint64_t)k;
    }
    return 0;
}

typedef struct worker {
    writer *w;
    uint8_t *piece; /* PIECE_BYTES */
} worker;

static void *work(void *p) {
    const worker *me = p;
    writer *w = me->w;
    const uint64_t total = w->begin[w->n];
    for (;;) {
        const uint64_t from = __atomic_fetch_add(&w->next, 1, __ATOMIC_RELAXED) * PIECE_BYTES;
        if (from >= total || __atomic_load_n(&w->error, __ATOMIC_RELAXED)) return NULL;
        const uint64_t n = total - from < PIECE_BYTES ? total - from : PIECE_BYTES;
        make_piece(w, from, n, me->piece);
        const int error = put_at(w->fd, w->header_bytes + from, me->piece, n);
        if (error) {
            __atomic_store_n(&w->error, error, __ATOMIC_RELAXED);
            return NULL;
        }
        /* starts the disk now, so that the sync in the end has little left */
        sync_file_range(w->fd, (off_t)(w->header_bytes + from), (off_t)n, SYNC_FILE_RANGE_WRITE);
        __atomic_fetch_add(&w->done, n, __ATOMIC_RELAXED);
    }
}

static void add_header(const synth_tensor *t, const uint64_t *begin, size_t n, text *out) {
    text_cat(out, "{\"__metadata__\":{\"format\":\"pt\"}");
    for (size_t i = 0; i < n; i++) {
        text_printf(out, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[%lld", t[i].name, t[i].dtype,
                    (long long)t[i].dim[0]);
        if (t[i].rank == 2) text_printf(out, ",%lld", (long long)t[i].dim[1]);
        text_printf(out, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)begin[i],
                    (unsigned long long)begin[i + 1]);
    }
    text_putc(out, '}');
    while ((out->buf.n + 8) % DATA_ALIGN) text_putc(out, ' ');
}

static bool write_data(writer *w, synth_tick *tick, void *context, arena *mem) {
    pthread_t thread[N_THREADS];
    worker me[N_THREADS];
    int started = 0;
    for (int i = 0; i < N_THREADS; i++) me[i] = (worker){w, arena_array(mem, uint8_t, PIECE_BYTES)};
    while (started < N_THREADS && !pthread_create(&thread[started], NULL, work, &me[started]))
        started++;
    if (!started) work(&me[0]);
    const uint64_t total = w->begin[w->n];
    while (tick && started && __atomic_load_n(&w->done, __ATOMIC_RELAXED) < total &&
           !__atomic_load_n(&w->error, __ATOMIC_RELAXED)) {
        tick(context, __atomic_load_n(&w->done, __ATOMIC_RELAXED));
        usleep(50000);
    }
    for (int i = 0; i < started; i++) pthread_join(thread[i], NULL);
    return !w->error;
}

bool synth_write_file(const char *path, const synth_source *s, const synth_tensor *t, size_t n,
                      synth_tick *tick, void *context, arena *mem, diag *d) {
    uint64_t *begin = arena_array(mem, uint64_t, n + 1);
    for (size_t i = 0; i < n; i++) begin[i + 1] = begin[i] + t[i].bytes;
    text header = {.mem = mem};
    add_header(t, begin, n, &header);
    file_writer *f = file_create(path, 0666, mem, d);
    if (!f) return false;
    uint8_t length[8];
    for (int i = 0; i < 8; i++) length[i] = (uint8_t)((uint64_t)header.buf.n >> 8 * i);
    writer w = {.source = s,
                .tensor = t,
                .begin = begin,
                .n = n,
                .header_bytes = header.buf.n + 8,
                .fd = file_fd(f)};
    bool ok = file_write(f, length, sizeof length) && file_write(f, header.buf.at, header.buf.n);
    /* a disk that is too small says so now and not after minutes */
    const int room = ok ? posix_fallocate(w.fd, 0, (off_t)(w.header_bytes + begin[n])) : 0;
    if (ok && (room == ENOSPC || room == EDQUOT || room == EFBIG))
        ok = diag_error(d, DIAG_SYNTH_DISK, (diag_loc){.file = path}, "no room for %llu bytes (%s)",
                        (unsigned long long)(w.header_bytes + begin[n]), strerror(room));
    const arena_pos pos = arena_mark(mem);
    if (ok && !write_data(&w, tick, context, mem))
        ok = diag_error(d, DIAG_SYNTH_DISK, (diag_loc){.file = path}, "cannot write (%s)",
                        strerror(w.error));
    if (ok) arena_rewind(mem, pos);
    if (ok) return file_commit(f);
    file_abandon(f);
    return false;
}
