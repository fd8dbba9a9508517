/* rewrite.c - matching by trying every choice of operand order; replacing in program order.
 *
 * A pattern has few commutative ops, so a bit mask says for each whether its operands are swapped,
 * and all masks are tried: no backtracking, and a match that exists is found.
 */
#include "passes/rewrite.h"

#include <assert.h>
#include <string.h>

typedef struct matcher {
    unsigned swapped; /* bit i: the i-th commutative op of the pattern takes its operands swapped */
    int n_comm;       /* commutative ops seen */
    rw_match *out;
} matcher;

static int n_operands(const rw_pat *p) {
    int n = 0;
    while (n < RW_MAX_IN && p->in[n]) n++;
    return n;
}

static bool bind(matcher *m, int var, ir_op *op) {
    if (!var) return true;
    assert(var <= RW_MAX_VARS);
    ir_op **at = &m->out->var[var - 1];
    if (*at && *at != op) return false;
    *at = op;
    return true;
}

/* Recursion is over the pattern, which is a constant of ours. */
static bool match(matcher *m, const rw_pat *p, ir_op *op, bool is_root) {
    if (p->any) return bind(m, p->var, op);
    const unsigned traits = ir_op_info[p->op].traits;
    const bool swap = traits & COMM && m->swapped >> m->n_comm++ & 1;
    if (op->kind != p->op || op->n_in != n_operands(p)) return false;
    if (!is_root && !p->shared && !(traits & CONST) && op->n_use != 1) return false;
    if (!bind(m, p->var, op)) return false;
    for (int i = 0; i < op->n_in; i++)
        if (!match(m, p->in[i], op->in[swap ? 1 - i : i], false)) return false;
    return true;
}

static int count_comm(const rw_pat *p) {
    if (p->any) return 0;
    int n = ir_op_info[p->op].traits & COMM ? 1 : 0;
    for (int i = 0; i < n_operands(p); i++) n += count_comm(p->in[i]);
    return n;
}

/* Dead ops wait in a list that is linked through their notes. */
void rw_erase(ir_graph *g, ir_op *op) {
    assert(op->n_use == 0 && op->kind != OP_input);
    op->note = NULL;
    for (ir_op *dead = op; dead;) {
        ir_op *const gone = dead;
        ir_op *waiting = gone->note;
        ir_op **const in = gone->in;
        const int n_in = gone->n_in;
        ir_erase(g, gone);
        gone->note = NULL;
        for (int i = 0; i < n_in; i++) {
            bool twice = false;
            for (int j = 0; j < i; j++) twice |= in[j] == in[i];
            if (twice || in[i]->n_use || in[i]->kind == OP_input) continue;
            in[i]->note = waiting;
            waiting = in[i];
        }
        dead = waiting;
    }
}

/* What the rule makes of op, with the first operand order for which it makes something; NULL:
 * nothing. */
static ir_op *build(ir_graph *g, const rw_rule *rule, ir_op *op) {
    if (op->kind != rule->pattern->op) return NULL;
    const int n_comm = count_comm(rule->pattern);
    assert(n_comm <= RW_MAX_COMM);
    for (unsigned swapped = 0; swapped < 1u << n_comm; swapped++) {
        rw_match found = {.root = op};
        matcher m = {.swapped = swapped, .out = &found};
        if (!match(&m, rule->pattern, op, true)) continue;
        g->at = op;
        ir_op *const with = rule->build(g, &found);
        if (with) return with;
    }
    return NULL;
}

static bool apply_first(ir_graph *g, const rw_rule *rules, size_t n_rules, ir_op *op) {
    ir_op *with = NULL;
    for (size_t r = 0; r < n_rules && !with; r++) with = build(g, &rules[r], op);
    if (!with) return false;
    ir_replace(g, op, with);
    rw_erase(g, op);
    return true;
}

int rw_apply(ir_graph *g, const rw_rule *rules, size_t n_rules) {
    ir_op *const was = g->at;
    int n = 0, n_before;
    do {
        n_before = n;
        /* what dies with a root stands before it, so `next` stays valid */
        for (ir_op *op = g->first, *next; op; op = next) {
            next = op->next;
            n += apply_first(g, rules, n_rules, op);
        }
    } while (n > n_before);
    g->at = was;
    return n;
}

static void unlink_op(ir_graph *g, ir_op *op) {
    *(op->prev ? &op->prev->next : &g->first) = op->next;
    *(op->next ? &op->next->prev : &g->last) = op->prev;
}

static void link_before(ir_graph *g, ir_op *op, ir_op *at) {
    op->prev = at->prev;
    op->next = at;
    *(at->prev ? &at->prev->next : &g->first) = op;
    at->prev = op;
}

static bool is_declaration(const ir_op *op) { return op->kind == OP_input || ir_is_const(op); }

ir_op *rw_first_computed(const ir_graph *g) {
    ir_op *op = g->first;
    while (op && is_declaration(op)) op = op->next;
    return op;
}

void rw_constants_first(ir_graph *g) {
    ir_op *const first = rw_first_computed(g);
    for (ir_op *op = first, *next; op; op = next) {
        next = op->next;
        if (!is_declaration(op)) continue;
        unlink_op(g, op);
        link_before(g, op, first);
    }
}

void rw_index(ir_graph *g, arena *scratch) {
    int n = 0;
    for (ir_op *op = g->first; op; op = op->next) {
        rw_info *const info = arena_new(scratch, rw_info);
        info->index = n++;
        info->user = op->n_use ? arena_array(scratch, ir_op *, op->n_use) : NULL;
        op->note = info;
        for (int i = 0; i < op->n_in; i++) {
            rw_info *const of = op->in[i]->note;
            of->user[of->n_users++] = op;
        }
    }
}

int rw_order_operand(const ir_op *act) {
    const int last = act->n_in - 1;
    return last > 0 && act->in[last]->type.dtype == DT_i4 ? last : 0;
}

bool rw_is_bare_linear(const ir_op *op) {
    return op->kind == OP_linear && strcmp(ir_str_or(op, ATTR_epilogue, "none"), "none") == 0;
}
