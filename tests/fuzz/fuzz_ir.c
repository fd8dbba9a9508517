/* fuzz_ir.c - any text as a graph.  What is read prints to text that reads back the same; what
 * verifies also with a file of arbitrary bytes behind its weights can be run and packed. */
#include <stdlib.h>
#include <string.h>

#include "ir/const.h"
#include "ir/interp.h"
#include "ir/layout.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

enum { SMALL = 2048, T = 3, R = 2, FILE_BYTES = 1 << 16 };

static bool is_digit(uint8_t c) { return c >= '0' && c <= '9'; }

/* Half of the time another number in place of one: other operands, sizes and attributes in text
 * that still parses. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed) {
    static const char *const NUMBERS[] = {"0",  "1",  "2",   "3",   "4",          "6",    "7",
                                          "8",  "9",  "12",  "16",  "17",         "20",   "24",
                                          "32", "48", "64",  "128", "-1",         "10",   "11",
                                          "13", "14", "224", "512", "1073741824", "62000"};
    size_t at = size ? (seed >> 8) % size : 0, n = 0;
    while (at < size && !is_digit(data[at])) at++;
    while (at > 0 && is_digit(data[at - 1])) at--;
    while (at + n < size && is_digit(data[at + n])) n++;
    const char *number = NUMBERS[seed % COUNT_OF(NUMBERS)];
    const size_t length = strlen(number);
    if (seed >> 31 || !n || size - n + length > max_size)
        return LLVMFuzzerMutate(data, size, max_size);
    memmove(data + at + length, data + at + n, size - at - n);
    memcpy(data + at, number, length);
    return size - n + length;
}

static void check_text(const ir_graph *g, arena *mem, diag *d) {
    text first = {.mem = mem}, second = {.mem = mem};
    ir_print(g, &first);
    const ir_graph *again = ir_parse(text_str(&first), "printed", mem, d);
    if (!again) abort();
    ir_print(again, &second);
    if (!str_eq(text_str(&first), text_str(&second))) abort();
}

/* Values that together fit in memory, of a graph short enough to run thousands of times. */
static bool is_small(const ir_graph *g) {
    int n_ops = 0;
    for (const ir_op *op = g->first; op; op = op->next) {
        int64_t n = 1;
        for (int i = 0; i < op->type.rank; i++) {
            const int64_t dim = op->type.dim[i];
            if (dim > SMALL) return false;
            n *= dim < 0 ? 8 : dim;
        }
        if (n > 4 * SMALL || ++n_ops > 64) return false;
        /* one head's lanes, layers and rows of padding multiply beyond the type */
        if (op->type.layout == LAYOUT_kv && op->type.dim[0] > 64) return false;
    }
    return true;
}

/* Weights read the text itself, over and over. */
static void map_files(ir_graph *g, const uint8_t *data, size_t size, arena *mem) {
    uint8_t *bytes = arena_array(mem, uint8_t, FILE_BYTES);
    for (size_t i = 0; i < FILE_BYTES && size; i++) bytes[i] = data[(i * 7) % size];
    /* and column orders that are in range, near the end */
    for (size_t i = 0; i < 4096; i++)
        bytes[FILE_BYTES - 4096 + i] = i % 4 ? 0 : (uint8_t)(i / 4 % 2);
    for (int i = 0; i < g->n_files; i++) {
        g->file[i].at = bytes;
        g->file[i].n_bytes = FILE_BYTES;
    }
}

static void pack_all(const ir_graph *g, arena *mem) {
    for (const ir_op *op = g->first; op; op = op->next) {
        if (!ir_is_const(op) || !ir_layout_is_packed(op->type.layout)) continue;
        const int64_t n_blocks = ir_packed_rows(op) / IR_BLOCK_ROWS,
                      bytes = ir_packed_block_bytes(op);
        if (n_blocks > 256) continue;
        ir_pack_blocks(op, 0, n_blocks, mem, arena_array(mem, uint8_t, n_blocks *bytes));
    }
}

static void run(const ir_graph *g, arena *mem) {
    const int32_t ids[T] = {0, 1, 0}, rows[R] = {2, 0};
    const interp_seq seqs[] = {{0, 2, 0, 1}, {2, 1, 0, 0}};
    const char *names[64];
    const float *values[64];
    const float *zeros = arena_array(mem, float, 16 * SMALL);
    int n = 0;
    for (const ir_op *op = g->first; op; op = op->next) {
        if (op->kind != OP_input) continue;
        names[n] = ir_str(op, ATTR_role);
        values[n++] = zeros;
    }
    arena *scratch = arena_open();
    const interp_step step = {.T = T,
                              .R = R,
                              .ids = ids,
                              .rows = rows,
                              .seqs = seqs,
                              .n_seqs = 2,
                              .n_named = n,
                              .name = names,
                              .value = values};
    if (!interp_run(g, interp_state_new(mem, 2), &step, scratch, NULL, NULL, NULL) &&
        !g->diag->n_errors)
        abort();
    arena_close(scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    arena *mem = arena_open();
    diag d = {.mem = mem};
    ir_graph *g = ir_parse((str){(const char *)data, size}, "fuzz", mem, &d);
    if (!g && d.n_errors != 1) abort(); /* refused: said once why */
    if (g) {
        check_text(g, mem, &d);
        for (const ir_op *op = g->first; op; op = op->next)
            if (ir_type_bytes(&op->type, 512, 512) < 0) abort();
        map_files(g, data, size, mem);
        if (is_small(g) && ir_verify(g) && ir_weights_ready(g)) {
            pack_all(g, mem);
            run(g, mem);
        }
    }
    arena_close(mem);
    return 0;
}
