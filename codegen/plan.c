/* plan.c - scheduled graph -> launches, kernels wanted, places of the constants.
 *
 * One op with a kernel is one launch.  Equal specs share a kernel: forty layers need a handful.  A
 * barrier goes before a launch that reads, or writes over, what a launch since the last barrier
 * wrote (or read). */
#include <assert.h>
#include <string.h>

#include "codegen/codegen.h"
#include "codegen/cpu/kernel.h"
#include "ir/const.h"
#include "ir/layout.h"

enum { WEIGHT_ALIGN = 64 };

typedef struct planner {
    const ir_graph *g;
    arena *mem;
    diag *d;
    cg_program *out;
    int cap_kernels, cap_weights;
    int64_t max_tokens, max_rows;
    cg_kernel_spec spec; /* of the op at hand; cleared with memset so that specs compare by bytes */
    rt_launch launch;
} planner;

/* ---- constants ---- */

static const ir_op *consumer_weight(const ir_graph *g, const ir_op *act) {
    for (const ir_op *o = g->first; o; o = o->next)
        if (o->kind == OP_linear && o->in[0] == act) return o->in[1];
    return NULL;
}

ir_dtype cg_stored_dtype(const ir_op *op) { return op->type.rank == 1 ? DT_f32 : op->type.dtype; }

static bool set_bytes(planner *p, cg_weight *w) {
    const ir_op *op = w->op;
    if (ir_layout_is_packed(op->type.layout)) {
        w->bytes = (uint64_t)(ir_packed_rows(op) / LB_LANES * ir_packed_block_bytes(op));
    } else {
        ir_type stored = op->type;
        stored.dtype = cg_stored_dtype(op);
        w->bytes = (uint64_t)ir_type_bytes(&stored, 0, 0);
    }
    if (op->type.dtype != DT_i4) return true;
    ir_groups groups;
    if (!ir_const_groups(op, p->mem, p->d, &groups)) return false;
    if (groups.column) w->perm_bytes = (uint64_t)(groups.n_groups * groups.group) * sizeof(int32_t);
    return true;
}

static cg_weight *weight_of(planner *p, const ir_op *op) {
    cg_program *out = p->out;
    for (int i = 0; i < out->n_weights; i++)
        if (out->weight[i].op == op) return &out->weight[i];
    if (out->n_weights == p->cap_weights) {
        p->cap_weights = p->cap_weights ? 2 * p->cap_weights : 64;
        cg_weight *more = arena_array(p->mem, cg_weight, p->cap_weights);
        if (out->n_weights) memcpy(more, out->weight, (size_t)out->n_weights * sizeof *more);
        out->weight = more;
    }
    cg_weight *w = &out->weight[out->n_weights];
    *w = (cg_weight){.op = op};
    if (!set_bytes(p, w)) return NULL;
    w->offset = out->weights_bytes;
    w->perm_offset = w->offset + (uint64_t)round_up((int64_t)w->bytes, WEIGHT_ALIGN);
    out->weights_bytes = w->perm_offset + (uint64_t)round_up((int64_t)w->perm_bytes, WEIGHT_ALIGN);
    out->n_weights++;
    return w;
}

/* ---- operands ---- */

static void push(planner *p, rt_space space, uint64_t offset) {
    assert(p->launch.n_operands < RT_MAX_OPERANDS);
    p->launch.operand[p->launch.n_operands++] = (rt_operand){.space = space, .offset = offset};
}

static bool push_value(planner *p, const ir_op *op) {
    if (ir_is_const(op)) {
        const cg_weight *w = weight_of(p, op);
        if (!w) return false;
        push(p, RT_SPACE_weights, w->offset);
    } else if (op == p->g->out[0]) {
        push(p, RT_SPACE_logits, 0);
    } else {
        push(p, RT_SPACE_arena, (uint64_t)ir_i64(op, ATTR_at));
    }
    return true;
}

static void push_layer(planner *p, const ir_op *op) {
    const cg_kernel_spec *s = &p->spec;
    const int64_t bytes = cg_kv_layer_bytes(s->kv_heads, s->head_dim, s->kv);
    push(p, RT_SPACE_number, (uint64_t)(ir_i64(op, ATTR_layer) * bytes));
}

static void set_kv(planner *p, const ir_op *kv) {
    p->spec.kv = kv->type.dtype;
    p->spec.kv_heads = kv->type.dim[1];
    p->spec.head_dim = kv->type.dim[2];
}

static int64_t columns(const ir_op *op) { return op->type.dim[op->type.rank - 1]; }

/* ---- one function a family: fills spec and operands (result first, as codegen/cpu/kernel.h lists
 * them) ---- */

typedef bool plan_fn(planner *p, const ir_op *op);

static bool plan_embed(planner *p, const ir_op *op) {
    p->spec.k = columns(op);
    p->spec.weight = op->in[0]->type.dtype;
    return push_value(p, op) && push_value(p, op->in[0]);
}

static bool plan_rmsnorm(planner *p, const ir_op *op) {
    p->spec.k = columns(op);
    p->spec.eps = ir_f64(op, ATTR_eps);
    return push_value(p, op) && push_value(p, op->in[0]) && push_value(p, op->in[1]);
}

static bool plan_act(planner *p, const ir_op *op) {
    cg_kernel_spec *s = &p->spec;
    s->k = columns(op->in[0]);
    s->act = op->type.dtype;
    const bool norm = op->n_in > 1 && op->in[1]->type.rank == 1;
    s->norm = norm;
    if (norm) s->eps = ir_f64(op, ATTR_eps);
    if (!push_value(p, op) || !push_value(p, op->in[0]) || (norm && !push_value(p, op->in[1])))
        return false;
    const ir_op *packed = consumer_weight(p->g, op);
    if (!packed || packed->type.dtype != DT_i4) return true;
    ir_groups groups;
    if (!ir_const_groups(packed, p->mem, p->d, &groups)) return false;
    s->group = groups.group;
    s->n_groups = groups.n_groups;
    s->perm = groups.column != NULL;
    const cg_weight *w = weight_of(p, packed);
    if (!w) return false;
    if (s->perm) push(p, RT_SPACE_weights, w->perm_offset);
    return true;
}

static cg_epilogue epilogue_of(const ir_op *op) {
    static const char *const NAMES[] = {[EPILOGUE_none] = "none",
                                        [EPILOGUE_add] = "add",
                                        [EPILOGUE_swiglu] = "swiglu",
                                        [EPILOGUE_rope_kv] = "rope_kv"};
    const char *name = ir_str_or(op, ATTR_epilogue, "none");
    for (size_t i = 0; i < COUNT_OF(NAMES); i++)
        if (strcmp(name, NAMES[i]) == 0) return (cg_epilogue)i;
    UNREACHABLE("an epilogue that no kernel has");
}

static bool plan_linear(planner *p, const ir_op *op) {
    cg_kernel_spec *s = &p->spec;
    const ir_op *w = op->in[1];
    s->n = w->type.dim[0];
    s->k = w->type.dim[1];
    s->weight = w->type.dtype;
    s->act = op->in[0]->type.dtype;
    s->epilogue = epilogue_of(op);
    if (s->weight == DT_i4) {
        ir_groups groups;
        if (!ir_const_groups(w, p->mem, p->d, &groups)) return false;
        s->group = groups.group;
        s->n_groups = groups.n_groups;
        s->zeros = w->type.zeros;
    }
    const uint64_t macs = (uint64_t)s->n * (uint64_t)s->k;
    if (op->type.dim[0] == DIM_R) p->out->head_mac += macs;
    else p->out->mac_per_token += macs;
    if (!push_value(p, op) || !push_value(p, op->in[0]) || !push_value(p, w)) return false;
    p->out->weight_bytes_per_token += weight_of(p, w)->bytes;
    if (s->epilogue == EPILOGUE_add) return push_value(p, op->in[2]);
    if (s->epilogue != EPILOGUE_rope_kv) return true;
    s->heads = ir_i64(op, ATTR_heads);
    s->rot = ir_i64(op, ATTR_rot);
    set_kv(p, op->in[4]);
    if (!push_value(p, op->in[2])) return false;
    push_layer(p, op);
    return true;
}

static bool plan_rope(planner *p, const ir_op *op) {
    p->spec.heads = ir_i64(op, ATTR_heads);
    p->spec.head_dim = ir_i64(op, ATTR_head_dim);
    p->spec.rot = ir_i64(op, ATTR_rot);
    return push_value(p, op) && push_value(p, op->in[0]) && push_value(p, op->in[1]);
}

static bool plan_kv_append(planner *p, const ir_op *op) {
    set_kv(p, op->in[0]);
    push_layer(p, op);
    return push_value(p, op->in[1]) && push_value(p, op->in[2]);
}

static bool plan_attention(planner *p, const ir_op *op) {
    set_kv(p, op->in[1]);
    p->spec.heads = ir_i64(op, ATTR_heads);
    p->spec.by = ir_f64(op, ATTR_by);
    p->spec.window = ir_i64_or(op, ATTR_window, 0);
    if (!push_value(p, op) || !push_value(p, op->in[0])) return false;
    push_layer(p, op);
    return true;
}

static bool plan_swiglu(planner *p, const ir_op *op) {
    p->spec.k = columns(op);
    return push_value(p, op) && push_value(p, op->in[0]);
}

static bool plan_select_rows(planner *p, const ir_op *op) {
    p->spec.k = columns(op);
    return push_value(p, op) && push_value(p, op->in[0]);
}

static bool plan_slice(planner *p, const ir_op *op) {
    p->spec.k = columns(op->in[0]);
    p->spec.begin = ir_i64(op, ATTR_begin);
    p->spec.size = ir_i64(op, ATTR_size);
    return push_value(p, op) && push_value(p, op->in[0]);
}

static bool plan_generic(planner *p, const ir_op *op) {
    p->spec.op = op->kind;
    p->spec.k = columns(op);
    if (ir_find_attr(op, ATTR_by)) p->spec.by = ir_f64(op, ATTR_by);
    if (!push_value(p, op)) return false;
    for (int i = 0; i < op->n_in; i++)
        if (!push_value(p, op->in[i])) return false;
    return true;
}

static plan_fn *const PLAN[KERNEL_COUNT] = {
    [KERNEL_embed] = plan_embed,         [KERNEL_rmsnorm] = plan_rmsnorm,
    [KERNEL_act_f32] = plan_act,         [KERNEL_act_bf16] = plan_act,
    [KERNEL_act_i16] = plan_act,         [KERNEL_linear_f32] = plan_linear,
    [KERNEL_linear_f16] = plan_linear,   [KERNEL_linear_bf16] = plan_linear,
    [KERNEL_linear_i4] = plan_linear,    [KERNEL_rope] = plan_rope,
    [KERNEL_kv_append] = plan_kv_append, [KERNEL_attention] = plan_attention,
    [KERNEL_swiglu] = plan_swiglu,       [KERNEL_select_rows] = plan_select_rows,
    [KERNEL_slice] = plan_slice,         [KERNEL_elementwise] = plan_generic,
    [KERNEL_rowwise] = plan_generic,
};

static bool has_classes(kernel_id k) {
    return k == KERNEL_linear_f32 || k == KERNEL_linear_f16 || k == KERNEL_linear_bf16 ||
           k == KERNEL_linear_i4;
}

/* ---- kernels ---- */

/* linear_i4g128_i16_add_n5120k17920__t1 and the like; the number makes every name unique */
static const char *name_of(const cg_kernel_spec *s, int number, arena *mem) {
    static const char *const CLASS[] = {"_t1", "_t8", "_tn"};
    static const char *const EPILOGUE[] = {"", "_add", "_swiglu", "_rope_kv"};
    text t = {.mem = mem};
    text_cat(&t, kernel_table[s->family].name);
    if (s->family == KERNEL_elementwise || s->family == KERNEL_rowwise)
        text_printf(&t, "_%s", ir_op_info[s->op].name);
    if (s->group) text_printf(&t, "g%d%s", (int)s->group, s->zeros ? "z" : "");
    text_cat(&t, EPILOGUE[s->epilogue]);
    if (s->n) text_printf(&t, "_n%lld", (long long)s->n);
    if (s->k) text_printf(&t, "k%lld", (long long)s->k);
    if (s->tclass >= 0) text_cat(&t, CLASS[s->tclass]);
    text_printf(&t, "__%d", number);
    return t.buf.at;
}

static uint32_t kernel_for(planner *p) {
    cg_program *out = p->out;
    for (int i = 0; i < out->n_kernels; i++)
        if (memcmp(&out->kernel[i], &p->spec, sizeof p->spec) == 0) return (uint32_t)i;
    if (out->n_kernels == p->cap_kernels) {
        p->cap_kernels = p->cap_kernels ? 2 * p->cap_kernels : 32;
        cg_kernel_spec *more = arena_array(p->mem, cg_kernel_spec, p->cap_kernels);
        const char **names = arena_array(p->mem, const char *, p->cap_kernels);
        if (out->n_kernels) {
            memcpy(more, out->kernel, (size_t)out->n_kernels * sizeof *more);
            memcpy(names, out->kernel_name, (size_t)out->n_kernels * sizeof *names);
        }
        out->kernel = more;
        out->kernel_name = names;
    }
    memcpy(&out->kernel[out->n_kernels], &p->spec, sizeof p->spec);
    out->kernel_name[out->n_kernels] = name_of(&p->spec, out->n_kernels, p->mem);
    out->plan.scratch_bytes = (uint64_t)max_i64((int64_t)out->plan.scratch_bytes,
                                                round_up(cpu_scratch_bytes(&p->spec), 64));
    return (uint32_t)out->n_kernels++;
}

static bool plan_op(planner *p, const ir_op *op) {
    kernel_id family;
    if (!catalog_find(ir_str(op, ATTR_kernel), &family))
        return diag_error(p->d, DIAG_CODEGEN_NO_KERNEL, ir_loc(op), "no kernel is called '%s'",
                          ir_str(op, ATTR_kernel));
    memset(&p->spec, 0, sizeof p->spec);
    p->spec.family = family;
    p->launch = (rt_launch){.op = op->id,
                            .n_is_rows = op->type.rank && op->type.dim[0] == DIM_R,
                            .result = op->kind == OP_kv_append ? RT_MAX_OPERANDS : 0};
    if (!PLAN[family](p, op)) return false;
    for (int c = 0; c < RT_N_CLASSES; c++) {
        p->spec.tclass = has_classes(family) ? c : -1;
        p->launch.kernel[c] = kernel_for(p);
    }
    return true;
}

/* ---- barriers ---- */

typedef struct span {
    uint64_t from, to;
    bool write;
} span;

/* Bytes of the arena that a launch touches, and the KV cache as one byte beyond it. */
static int spans_of(const planner *p, const ir_op *op, span *out) {
    int n = 0;
    const uint64_t kv = p->out->plan.arena_bytes;
    for (int i = -1; i < op->n_in; i++) {
        const ir_op *v = i < 0 ? op : op->in[i];
        if (v->type.layout == LAYOUT_kv)
            out[n++] = (span){kv, kv + 1, i < 0 || op->kind == OP_linear};
        if (v->type.layout == LAYOUT_kv || ir_is_const(v) || !ir_find_attr(v, ATTR_at)) continue;
        const uint64_t at = (uint64_t)ir_i64(v, ATTR_at);
        out[n++] =
            (span){at, at + (uint64_t)ir_type_bytes(&v->type, p->max_tokens, p->max_rows), i < 0};
    }
    return n;
}

static void place_barriers(planner *p, const ir_op *const *op) {
    enum { MAX_SPANS = 256 };
    span open[MAX_SPANS], mine[RT_MAX_OPERANDS + 2];
    int n_open = 0;
    for (uint32_t l = 0; l < p->out->plan.n_launches; l++) {
        const int n = spans_of(p, op[l], mine);
        bool clash = n_open + n > MAX_SPANS;
        for (int i = 0; i < n; i++)
            for (int j = 0; j < n_open; j++)
                clash |= (mine[i].write || open[j].write) && mine[i].from < open[j].to &&
                         open[j].from < mine[i].to;
        p->out->launch[l].barrier = clash;
        if (clash) n_open = 0;
        memcpy(&open[n_open], mine, (size_t)n * sizeof *mine);
        n_open += n;
    }
}

bool cg_build_program(const ir_graph *g, uint64_t arena_bytes, int64_t max_tokens, int64_t max_rows,
                      arena *mem, diag *d, cg_program *out) {
    *out = (cg_program){.plan = {.arena_bytes = arena_bytes,
                                 .max_tokens = (uint32_t)max_tokens,
                                 .max_rows = (uint32_t)max_rows}};
    planner p = {
        .g = g, .mem = mem, .d = d, .out = out, .max_tokens = max_tokens, .max_rows = max_rows};
    const int n = ir_count(g);
    out->launch = arena_array(mem, rt_launch, n + 1);
    const ir_op **op_of = arena_array(mem, const ir_op *, n + 1);
    for (const ir_op *op = g->first; op; op = op->next) {
        if (op->kind == OP_input && op->type.layout == LAYOUT_kv)
            out->kv_block_bytes =
                (uint64_t)(op->type.dim[0] *
                           cg_kv_layer_bytes(op->type.dim[1], op->type.dim[2], op->type.dtype));
        if (!ir_find_attr(op, ATTR_kernel)) continue;
        if (!plan_op(&p, op)) return false;
        op_of[out->plan.n_launches] = op;
        out->launch[out->plan.n_launches++] = p.launch;
    }
    out->plan.n_kernels = (uint32_t)out->n_kernels;
    place_barriers(&p, op_of);
    return true;
}
