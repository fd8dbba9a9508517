/* progress.c - see progress.h. */
#include "app/progress.h"

#include <stdio.h>
#include <unistd.h>

#include "app/machine.h"

enum { BAR = 30, COLUMNS = 79 };

void progress_start(progress *p, const char *what, uint64_t total, progress_unit unit,
                    bool wanted) {
    *p = (progress){.unit = unit, .total = total};
    if (!wanted || !total || !isatty(STDERR_FILENO)) return;
    p->what = what;
    p->start_ns = machine_ns();
}

/* "12.3 MB": powers of 1000, as disks and networks are sold. */
static void print_amount(progress_unit unit, double v, char *out, int n) {
    static const char *const SCALE[] = {"", "k", "M", "G", "T"};
    int s = 0;
    while (v >= 999.5 && s < 4) v /= 1000, s++;
    snprintf(out, (size_t)n, "%.*f %s%s", s && v < 99.5 ? 1 : 0, v, SCALE[s],
             unit == PROGRESS_BYTES ? "B" : "");
}

void progress_line(const progress *p, uint64_t done, uint64_t ns, char *out, int n) {
    if (done > p->total) done = p->total;
    const double share = (double)done / (double)p->total, seconds = (double)ns * 1e-9;
    char bar[BAR + 1], rate[32], left[32] = "";
    const int full = (int)(share * BAR);
    for (int i = 0; i < BAR; i++) bar[i] = i < full ? '#' : '.';
    bar[BAR] = 0;
    print_amount(p->unit, seconds > 0 ? (double)done / seconds : 0, rate, sizeof rate);
    if (done) {
        const double wait = seconds * (1 - share) / share;
        snprintf(left, sizeof left, "%d:%02d left", (int)(wait / 60), (int)wait % 60);
    }
    snprintf(out, (size_t)(n < COLUMNS + 1 ? n : COLUMNS + 1), "%.18s [%s] %3d%% %s/s %s", p->what,
             bar, (int)(share * 100), rate, left);
}

void progress_set(progress *p, uint64_t done) {
    if (!p->what) return;
    const uint64_t now = machine_ns();
    if (now - p->start_ns < 1000000000u || now - p->drawn_ns < 100000000u) return;
    p->drawn_ns = now;
    char line[COLUMNS + 1];
    progress_line(p, done, now - p->start_ns, line, sizeof line);
    fprintf(stderr, "\r%-*s", COLUMNS, line);
    fflush(stderr);
}

void progress_end(progress *p) {
    if (p->what && p->drawn_ns) fprintf(stderr, "\r%*s\r", COLUMNS, "");
    p->what = NULL;
}
