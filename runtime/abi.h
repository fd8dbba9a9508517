/* abi.h - what generated code, the artifact's bytes and the runtime agree on.  Data only.
 *
 * Everything here is little endian and position independent (offsets, no pointers) except rt_image
 * and rt_kernel_table, which the dynamic loader relocates.  Any change raises RT_ABI.
 * docs/ARTIFACT.md is the reference.
 *
 * Arithmetic that generated code relies on: a step runs with denormals flushed to zero (MXCSR.FTZ
 * and DAZ; FPCR.FZ), rounding to nearest even, as the bf16 dot-product instructions do; the
 * caller's mode is restored.
 */
#ifndef P4C_RUNTIME_ABI_H
#define P4C_RUNTIME_ABI_H

#include <stdint.h>

enum {
    RT_ABI = 1,
    RT_KV_BLOCK_TOK = 256, /* positions in one KV block */
    RT_LANES = 16,         /* rows of a weight block, floats of a kernel's vector */
    RT_MAX_OPERANDS = 8,
    RT_N_CLASSES = 3, /* kernels for n = 1, 2..8, 9 and more tokens (rows) */
};

/* ---- a step, as kernels see it; field order is known to codegen/cpu/lb_step.c ---- */

/* KV block, for each layer l, then each KV head g, Ep = head size rounded up to 16:
 *   K  bf16: [256/16 tiles][Ep/2][16 positions][2]   f32: [256/16][Ep][16 positions]
 *   V  [256 positions][Ep]
 * all blocks zeroed when taken from the pool, so that lanes nobody wrote hold finite numbers. */
typedef struct rt_seq {
    int64_t first_row, n_new,
        n_past;             /* tokens first_row .. +n_new of the step are positions n_past .. */
    uint8_t *const *blocks; /* block i: positions 256 i .. 256 i + 255 */
} rt_seq;

typedef struct rt_step {
    int64_t T, R;
    const int32_t *ids;  /* [T] */
    const int32_t *rows; /* [R] rows of the step whose logits are wanted */
    const int32_t *pos;  /* [T] absolute position of each token in its sequence */
    const int32_t *seq;  /* [T] index into seqs */
    const rt_seq *seqs;
    int64_t n_seqs;
} rt_step;

/* Computes work units begin .. end of a launch.  n: tokens (or rows) of this launch.  operand[i]:
 * first byte of operand i; for RT_SPACE_number the number itself.  scratch: this thread's memory,
 * 64-byte aligned, of the plan's scratch_bytes. */
typedef void rt_kernel(const rt_step *step, void *const *operand, int64_t n, int64_t begin,
                       int64_t end, void *scratch);

typedef struct rt_kernel_entry {
    rt_kernel *fn;
    int64_t units;     /* work units: a count, or for each token */
    int64_t per_token; /* 1: units is for each token of the launch */
} rt_kernel_entry;

/* Activations as linear reads them (LAYOUT_act), for one token, K = packed columns of the weight:
 *   f32   f32[K]      bf16  u16[K]
 *   i16   q = 256 hi + lo, both int8; x = scale * q;  chunks of 8 k: {hi[0..3], hi[4..7], lo[0..3],
 * lo[4..7]}, 2 K bytes; then f32 scale[groups], then i32 sum of q [groups] each token's bytes
 * rounded up to 64. */

/* ---- the plan (section "plan"): rt_plan, then launches ---- */

typedef enum rt_space {
    RT_SPACE_none,
    RT_SPACE_arena,   /* offset into the step's arena */
    RT_SPACE_weights, /* offset into section "weights" */
    RT_SPACE_logits,  /* the caller's f32[R, V] */
    RT_SPACE_number,  /* offset is the value itself: layer's first byte in a KV block */
} rt_space;

typedef struct rt_operand {
    uint32_t space, pad;
    uint64_t offset;
} rt_operand;

typedef struct rt_launch {
    uint32_t kernel[RT_N_CLASSES]; /* rows of the kernel table */
    uint32_t n_is_rows;            /* 1: the launch covers R rows, 0: T tokens */
    uint32_t barrier;              /* 1: all earlier launches must be complete on all threads */
    uint32_t op;                   /* %id of the IR op it computes */
    uint32_t n_operands,
        result; /* which operand is written (first result); RT_MAX_OPERANDS: KV blocks alone */
    rt_operand operand[RT_MAX_OPERANDS];
} rt_launch;

typedef struct rt_plan {
    uint32_t n_launches, n_kernels;
    uint32_t max_tokens, max_rows; /* T and R of a step at most */
    uint64_t arena_bytes;          /* at max_tokens, max_rows */
    uint64_t scratch_bytes;        /* for each thread */
} rt_plan;                         /* rt_launch[n_launches] follows */

/* ---- what the linker places: one table of kernels for each variant ---- */

typedef struct rt_variant {
    const char *name; /* "x86-64-v3", "avxvnni", "avx512vnni", "avx512bf16" */
    uint64_t needs;   /* CPU_* of base/cpuinfo.h; those of v3 alone under --soft-isa */
    const rt_kernel_entry *kernels; /* [plan.n_kernels] */
} rt_variant;

typedef struct rt_image {
    uint32_t abi, n_variants;
    const rt_variant *variants; /* best last */
} rt_image;
extern const rt_image p4c_image __attribute__((visibility("hidden")));

/* ---- the data segment: header, sections; the last PT_LOAD of the file, 2 MiB aligned ---- */

#define RT_MAGIC                                                                                   \
    "p4c\x1a"                                                                                      \
    "art\n"
#define RT_END_MAGIC                                                                               \
    "\nart\x1a"                                                                                    \
    "p4c"
enum {
    RT_MAX_SECTIONS = 32,
    RT_SECTION_ALIGN = 64,
    RT_DATA_ALIGN = 2 << 20,
    RT_HEADER_BYTES = 4096, /* rt_header and zeros: section "header" */
};

/* In file order: "elf" (the program, up to the data segment), "header", "meta", "plan",
 * "tokenizer", "template", "config", "options", "ir", "dummy" (with --load-format dummy),
 * "weights", "end"; "pad0", "pad1", ... wherever bytes are needed for alignment.  Each begins where
 * the one before ended, so that they cover the whole file.  A section may be empty.  Alignment
 * RT_SECTION_ALIGN; "weights" RT_DATA_ALIGN; none for pads. */
typedef struct rt_section {
    char name[16];          /* ends in NUL, rest zero */
    uint64_t offset, bytes; /* of the data segment; section "elf": of the file, from 0 */
    uint8_t blake3[32];     /* of the bytes; of section "header": with its own sum zeroed */
} rt_section;

typedef struct rt_header {
    char magic[8];
    uint32_t abi, n_sections;
    char version[32];                    /* of p4c */
    uint64_t data_bytes;                 /* of the whole segment */
    rt_section section[RT_MAX_SECTIONS]; /* zero from n_sections on */
} rt_header;

/* The data segment in a loaded artifact: rt_header, defined by the linker script. */
extern const uint8_t p4c_data[] __attribute__((visibility("hidden")));

/* Section "end".  Its last byte is not zero, so that a file cut anywhere is seen when it is loaded.
 */
typedef struct rt_end {
    uint64_t data_bytes; /* as in the header */
    uint8_t zero[48];
    char magic[8]; /* RT_END_MAGIC, without a NUL */
} rt_end;

/* Section "dummy": how to make up the bytes of section "weights", which is empty then
 * (runtime/dummy.h). rt_dummy entries in order of offset; bytes between them are zero. */
typedef enum rt_fill {
    RT_FILL_f32, /* any float: uniform in -b .. b */
    RT_FILL_f16,
    RT_FILL_bf16,
    RT_FILL_ones,  /* f32 near 1: norm weights */
    RT_FILL_i4,    /* LAYOUT_r16k8 */
    RT_FILL_order, /* i32 0, 1, ... group - 1, then -1: column order, no reordering */
} rt_fill;
typedef struct rt_dummy {
    uint64_t offset, bytes; /* as in section "weights" */
    uint32_t fill;
    uint32_t
        group; /* i4: columns of a packed group, a multiple of 8; order: columns of the matrix */
    uint32_t zeros; /* i4: groups have zero points */
    float scale;    /* b; i4: size of a group's scale */
} rt_dummy;

/* Section "meta". */
enum { RT_MAX_STOPS = 16 };
typedef struct rt_meta {
    uint32_t n_layers, n_heads, n_kv_heads, head_dim, hidden, ffn,
        vocab;              /* vocab: rows of the logits */
    uint32_t kv_dtype;      /* 0 bf16, 1 f32 */
    uint32_t max_seq_tok;   /* capacity of a sequence */
    uint32_t model_max_tok; /* max_position_embeddings */
    uint32_t max_batch;     /* sequences in a step at most */
    uint32_t n_stops;
    int32_t stop[RT_MAX_STOPS]; /* union of config, generation_config, tokenizer and template */
    int32_t bos, pad;           /* -1: none */
    uint64_t kv_block_bytes;
    uint64_t weight_bytes_per_token; /* weight bytes a one-token step reads, for limits */
    uint64_t mac_per_token,
        head_mac; /* multiply-adds of one token's layers; of one row of logits */
    /* generation_config */
    uint32_t do_sample, top_k; /* top_k 0: off */
    float temperature, top_p, min_p, repetition_penalty;
    uint32_t dummy; /* 1: weights are made up from dummy_seed when the artifact is loaded */
    uint32_t reserved;
    uint64_t dummy_seed;
    char model_type[32], name[96], quant[32]; /* "phi3", folder's base name, scheme */
} rt_meta;

#endif
