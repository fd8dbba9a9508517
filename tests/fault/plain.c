/* plain.c - commands that work and commands that are refused, with nothing injected: in builds with
 * sanitizers these report what is left in memory. */
#include "base/file.h"
#include "tests/fault/harness.h"

static void check(fault *f, const char *may, fault_run r) {
    r.plain = true;
    fault_wish_none(f);
    const fault_end e = fault_do(f, &r);
    const char *what = arena_printf(f->mem, "%s %s %s", path_base(r.argv[0]), r.argv[1], r.argv[2]);
    fault_check(f, what, &e, may, FILE_whole);
}

#define CHECK(may, ...) check(f, may, (fault_run){.argv = {__VA_ARGS__}})

void fault_plain(fault *f) {
    const char *none = path_join(f->mem, f->dir, "none"), *own = f->artifact, *p4c = f->p4c;
    const char *shard = path_join(f->mem, f->checkpoint, "model.safetensors");
    CHECK("0", p4c, "compile", f->checkpoint, "-o", own);
    CHECK("0", p4c, "compile", f->checkpoint, "--emit", "ir");
    CHECK("0", p4c, "inspect", own, "--check");
    CHECK("0", p4c, "inspect", f->checkpoint, "--json");
    CHECK("0", p4c, "tokenize", f->checkpoint, "-p", "Hello <|end|> you");
    CHECK("0", p4c, "tokenize", own, "--decode", "1,2,3");
    CHECK("0", p4c, "run", own, "--ids", "1,2,3", "-n", "4", "--json");
    CHECK("0", p4c, "run", own, "-p", "Hello", "-n", "4", "--stop", "a");
    CHECK("0", own, "-p", "Hello", "-n", "4", "--temp", "1", "--stats");
    CHECK("0", own, "--help", "");
    CHECK("2", p4c, "compile", f->checkpoint, "-o", own, "--quant", "nothing");
    CHECK("2", p4c, "compile", f->checkpoint, "--emit", "ir", "--no-such-option");
    CHECK("2", p4c, "run", own, "--ids", "1,999999");
    CHECK("2", own, "--ids", "1,2,3", "--temp", "-1");
    CHECK("3", p4c, "compile", none, "-o", own);
    CHECK("3", p4c, "compile", shard, "-o", own);
    CHECK("3", p4c, "run", none, "-p", "Hello");
    CHECK("3", p4c, "tokenize", none, "-p", "Hello");
    CHECK("4", p4c, "inspect", shard, "--check");
    CHECK("4", p4c, "run", shard, "-p", "Hello");
    CHECK("5", p4c, "compile", f->checkpoint, "-o", own, "--target", "pdp11");
    CHECK("6", p4c, "compile", f->checkpoint, "-o", f->dir);
    CHECK("6", own, "--ids", "1,2", "-n", "1", "--logits-out", f->dir);
}
