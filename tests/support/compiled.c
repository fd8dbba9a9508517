/* compiled.c - a planned graph as machine code in this process. */
#include "tests/support/compiled.h"

#include <dlfcn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xmmintrin.h>

#include "base/half.h"
#include "ir/const.h"
#include "ir/layout.h"

static void store_rows(const ir_op *op, arena *scratch, uint8_t *out) {
    const int64_t rows = op->type.rank == 1 ? 1 : op->type.dim[0];
    const int64_t k = op->type.dim[op->type.rank - 1];
    float *row = arena_array(scratch, float, k);
    for (int64_t r = 0; r < rows; r++) {
        ir_const_rows(op, r, 1, row);
        for (int64_t j = 0; j < k; j++) {
            const int64_t at = r * k + j;
            const uint16_t half =
                cg_stored_dtype(op) == DT_bf16 ? f32_to_bf16(row[j]) : f32_to_f16(row[j]);
            if (cg_stored_dtype(op) == DT_f32) memcpy(out + 4 * at, &row[j], 4);
            else memcpy(out + 2 * at, &half, 2);
        }
    }
}

void compiled_fill_weights(const cg_program *p, arena *scratch, diag *d, uint8_t *out) {
    for (int i = 0; i < p->n_weights; i++) {
        const cg_weight *w = &p->weight[i];
        const arena_pos mark = arena_mark(scratch);
        if (ir_layout_is_packed(w->op->type.layout))
            ir_pack_blocks(w->op, 0, ir_packed_rows(w->op) / 16, scratch, out + w->offset);
        else store_rows(w->op, scratch, out + w->offset);
        ir_groups g;
        if (w->perm_bytes && ir_const_groups(w->op, scratch, d, &g))
            memcpy(out + w->perm_offset, g.column, (size_t)w->perm_bytes);
        arena_rewind(scratch, mark);
    }
}

static bool write_object(const char *path, const cg_object *o) {
    FILE *f = fopen(path, "wb");
    const bool ok = f && fwrite(o->at, 1, o->n_bytes, f) == o->n_bytes;
    if (f) fclose(f);
    return ok;
}

static bool link_objects(const cg_objects *o, const char *dir, const char *so, arena *mem) {
    /* -zdefs: kernels call nothing, not even memset */
    const char *argv[CG_MAX_OBJECTS + 8] = {
        "ld.lld-19", "-shared", "-zdefs", "-o", so, "--defsym=p4c_test_image=p4c_image"};
    enum { N_OPTIONS = 6 };
    int n = N_OPTIONS;
    for (int i = 0; i < o->n; i++) {
        argv[n] = arena_printf(mem, "%s/%s", dir, o->object[i].name);
        if (!write_object(argv[n++], &o->object[i])) return false;
    }
    const pid_t pid = fork();
    if (pid == 0) {
        execvp(argv[0], (char *const *)argv);
        _exit(127);
    }
    int status = -1;
    const bool ok = waitpid(pid, &status, 0) == pid && status == 0;
    for (int i = N_OPTIONS; i < n; i++) unlink(argv[i]);
    return ok;
}

static uint8_t *aligned(uint64_t bytes) {
    void *p = NULL;
    if (posix_memalign(&p, 64, bytes + 64)) abort();
    memset(p, 0xa5, bytes + 64); /* nothing may depend on what was there */
    return p;
}

bool compiled_open(const cg_program *p, const cpu_options *o, arena *mem, diag *d, compiled *out) {
    *out = (compiled){.program = p};
    cg_objects objects;
    if (!cpu_compile(p, o, mem, d, &objects)) return false;
    char dir[] = "/tmp/p4c-test-XXXXXX";
    if (!mkdtemp(dir)) return false;
    const char *so = arena_printf(mem, "%s/graph.so", dir);
    if (link_objects(&objects, dir, so, mem)) out->library = dlopen(so, RTLD_NOW | RTLD_LOCAL);
    if (!out->library) fprintf(stderr, "cannot load the compiled graph: %s\n", dlerror());
    unlink(so);
    rmdir(dir);
    if (!out->library) return false;
    out->image = dlsym(out->library, "p4c_test_image");
    out->arena = aligned(p->plan.arena_bytes);
    out->scratch = aligned(p->plan.scratch_bytes);
    out->weights = aligned(p->weights_bytes);
    arena *scratch = arena_open();
    compiled_fill_weights(p, scratch, d, out->weights);
    arena_close(scratch);
    return out->image && d->n_errors == 0;
}

void compiled_close(compiled *c) {
    if (c->library) dlclose(c->library);
    free(c->arena);
    free(c->weights);
    free(c->scratch);
    *c = (compiled){0};
}

static void *operand(const compiled *c, const rt_operand *o, float *logits) {
    switch ((rt_space)o->space) {
    case RT_SPACE_arena:
        return c->arena + o->offset;
    case RT_SPACE_weights:
        return c->weights + o->offset;
    case RT_SPACE_logits:
        return logits;
    case RT_SPACE_number:
        return (void *)(uintptr_t)o->offset;
    case RT_SPACE_none:
        break;
    }
    return NULL;
}

void compiled_run(const compiled *c, unsigned v, const rt_step *step, float *logits,
                  uint64_t split) {
    const unsigned mode = _mm_getcsr();
    _mm_setcsr(mode | 0x8040); /* FTZ, DAZ */
    for (uint32_t l = 0; l < c->program->plan.n_launches; l++) {
        const rt_launch *launch = &c->program->launch[l];
        const int64_t n = launch->n_is_rows ? step->R : step->T;
        if (!n) continue;
        const rt_kernel_entry *k = &c->image->variants[v].kernels[launch->kernel[n == 1   ? 0
                                                                                 : n <= 8 ? 1
                                                                                          : 2]];
        void *arg[RT_MAX_OPERANDS] = {0};
        for (uint32_t i = 0; i < launch->n_operands; i++)
            arg[i] = operand(c, &launch->operand[i], logits);
        const int64_t units = k->per_token ? k->units * n : k->units;
        const int64_t half = (int64_t)(split % (uint64_t)(units + 1));
        k->fn(step, arg, n, half, units, c->scratch);
        k->fn(step, arg, n, 0, half, c->scratch);
    }
    _mm_setcsr(mode);
}
