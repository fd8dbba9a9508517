/* test_options.c - the option table, its reader and the help texts. */
#include "app/options.h"

#include <string.h>

#include "app/option_table.h"
#include "tests/unit/unit.h"

/* Arguments of one command line; the arena and the messages live until the next call. */
typedef struct line {
    arena *mem;
    diag d;
    options o;
    bool ok;
} line;

static line parse(command_id command, bool is_artifact, const char *words) {
    line l = {.mem = arena_open()};
    l.d.mem = l.mem;
    l.o = (options){.command = command, .program = "prog", .is_artifact = is_artifact};
    char *argv[32];
    int argc = 0;
    char *copy = arena_strdup(l.mem, words);
    for (char *w = strtok(copy, " "); w; w = strtok(NULL, " ")) argv[argc++] = w;
    l.ok = options_parse(&l.o, argc, argv, l.mem, &l.d);
    return l;
}

static void close_line(line *l) { arena_close(l->mem); }

static void ends_with(command_id c, const char *words, diag_code code, const char *in_text) {
    line l = parse(c, false, words);
    CU_ASSERT_FALSE(l.ok);
    CU_ASSERT_EQUAL(l.d.n_errors, 1);
    CU_ASSERT_EQUAL(diag_exit_status(&l.d), EXIT_USAGE);
    CU_ASSERT_EQUAL(l.d.first->code, code);
    bool found = false;
    for (const diag_item *i = l.d.first; i; i = i->next) found |= strstr(i->text, in_text) != NULL;
    if (!found) printf("  '%s' gives '%s', want '%s'\n", words, l.d.first->text, in_text);
    CU_ASSERT(found);
    close_line(&l);
}

static void test_values(void) {
    line l = parse(CMD_run, false,
                   "m.so -p hello -n 16k --temp=0.5 --top_k 40 -t8 -vv --stop a --stop b --ids=1");
    CU_ASSERT_FALSE(l.ok); /* -p and --ids */
    close_line(&l);
    l = parse(CMD_run, false, "m.so -p hello -n 16k --temp=0.5 --top_k 40 -t8 -vv --stop a -r b");
    CU_ASSERT(l.ok);
    CU_ASSERT_STRING_EQUAL(l.o.operand[0], "m.so");
    CU_ASSERT_EQUAL(l.o.n_operands, 1);
    CU_ASSERT_STRING_EQUAL(l.o.prompt.v, "hello");
    CU_ASSERT_EQUAL(l.o.max_tokens.v, 16000);
    CU_ASSERT_EQUAL(l.o.temp.v, 0.5);
    CU_ASSERT_EQUAL(l.o.top_k.v, 40);
    CU_ASSERT_EQUAL(l.o.threads.v, 8);
    CU_ASSERT_EQUAL(l.o.verbose.v, 2);
    CU_ASSERT_EQUAL(l.o.stop.n, 2);
    CU_ASSERT_STRING_EQUAL(l.o.stop.v[1], "b");
    CU_ASSERT(l.o.progress.v && !l.o.progress.given);
    CU_ASSERT_FALSE(l.o.seed.given);
    close_line(&l);
    l = parse(CMD_bench, false, "m.so -p 128,1k -b1,7 -n 0 --no-progress --kv-bytes 2GiB");
    CU_ASSERT(l.ok);
    CU_ASSERT_EQUAL(l.o.n_prompt.n, 2);
    CU_ASSERT_EQUAL(l.o.n_prompt.v[1], 1000);
    CU_ASSERT_EQUAL(l.o.batch.v[1], 7);
    CU_ASSERT_EQUAL(l.o.n_gen.v[0], 0);
    CU_ASSERT_EQUAL(l.o.kv_bytes.v, 2ll << 30);
    CU_ASSERT_FALSE(l.o.progress.v);
    close_line(&l);
}

static void test_spellings(void) {
    static const char *const SAME[] = {
        "d --max-seq-len 4096", "d -max-seq-len=4096",    "d --max_seq_len 4K", "d -c 4096",
        "d --ctx-size 4096",    "d --max_model_len=4KiB",
    };
    for (size_t i = 0; i < COUNT_OF(SAME); i++) {
        line l = parse(CMD_compile, false, SAME[i]);
        CU_ASSERT(l.ok && l.o.max_seq_len.v == 4096);
        close_line(&l);
    }
    line l = parse(CMD_compile, false, "d -S -print-after-all");
    CU_ASSERT(l.ok && l.o.emit.v == EMIT_WORD_asm && l.o.print_after.n == 1);
    CU_ASSERT_STRING_EQUAL(l.o.print_after.v[0], "all");
    close_line(&l);
    l = parse(CMD_run, false, "--no-stats --no-do-sample --model m.so -");
    CU_ASSERT(l.ok && l.o.greedy.v && l.o.stats.given && !l.o.stats.v);
    CU_ASSERT_EQUAL(l.o.n_operands, 2);
    CU_ASSERT_STRING_EQUAL(l.o.operand[0], "m.so");
    CU_ASSERT_STRING_EQUAL(l.o.operand[1], "-");
    close_line(&l);
    l = parse(CMD_run, false, "--stats=off -n -1 -- m.so");
    CU_ASSERT(l.ok && !l.o.stats.v && l.o.max_tokens.v == -1);
    close_line(&l);
    l = parse(CMD_run, false, "m.so -p=-n --temp 0 --greedy");
    CU_ASSERT(l.ok);
    CU_ASSERT_STRING_EQUAL(l.o.prompt.v, "-n");
    close_line(&l);
    l = parse(CMD_run, true, "-p x");
    CU_ASSERT(l.ok && l.o.n_operands == 0);
    close_line(&l);
    l = parse(CMD_tokenize, false, "d --chat f.json");
    CU_ASSERT(l.ok && l.o.chat_file.given && !l.o.chat.given);
    close_line(&l);
}

static void test_words(void) {
    static const struct {
        command_id c;
        const char *words;
        int want;
        size_t offset;
    } CASES[] = {
        {CMD_compile, "d --emit ir", EMIT_WORD_ir, offsetof(options, emit)},
        {CMD_compile, "d --emit llvm", EMIT_WORD_llvm, offsetof(options, emit)},
        {CMD_compile, "d --emit asm", EMIT_WORD_asm, offsetof(options, emit)},
        {CMD_compile, "d --emit obj", EMIT_WORD_obj, offsetof(options, emit)},
        {CMD_compile, "d --kv-cache-dtype bf16", KV_WORD_bf16, offsetof(options, kv_dtype)},
        {CMD_compile, "d --kv-cache-dtype f32", KV_WORD_f32, offsetof(options, kv_dtype)},
        {CMD_compile, "d --load-format auto", LOAD_WORD_auto, offsetof(options, load_format)},
        {CMD_compile, "d --load-format dummy", LOAD_WORD_dummy, offsetof(options, load_format)},
        {CMD_synth, "phi-4 --format bf16", FORMAT_WORD_bf16, offsetof(options, format)},
        {CMD_synth, "phi-4 --format gptq", FORMAT_WORD_gptq, offsetof(options, format)},
    };
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        line l = parse(CASES[i].c, false, CASES[i].words);
        const opt_word *w = (const opt_word *)((const char *)&l.o + CASES[i].offset);
        CU_ASSERT(l.ok && w->given && w->v == CASES[i].want);
        close_line(&l);
    }
}

static void test_errors(void) {
    ends_with(CMD_run, "m --tmep 1", DIAG_OPTION_UNKNOWN, "did you mean --temp?");
    ends_with(CMD_run, "m --ignore-esos", DIAG_OPTION_UNKNOWN, "did you mean --ignore-eos?");
    ends_with(CMD_run, "m --max-tok 9", DIAG_OPTION_UNKNOWN, "did you mean --max-tokens?");
    ends_with(CMD_compile, "m --quantize int4", DIAG_OPTION_UNKNOWN, "did you mean --quant?");
    ends_with(CMD_bench, "m -c 4096", DIAG_OPTION_FOREIGN, "--max-seq-len");
    ends_with(CMD_compile, "m --gpu sm_90", DIAG_OPTION_FOREIGN, "CPUs only");
    ends_with(CMD_run, "m --layers 2", DIAG_OPTION_UNKNOWN, "option of 'p4c synth'");
    ends_with(CMD_run, "m --wholly-unknown=3", DIAG_OPTION_UNKNOWN,
              "unknown option --wholly-unknown");
    ends_with(CMD_run, "m -ngl 99", DIAG_OPTION_FOREIGN, "GPU");
    ends_with(CMD_run, "m --trust_remote_code", DIAG_OPTION_FOREIGN, "never runs code");
    ends_with(CMD_run, "m --temp", DIAG_OPTION_VALUE, "a value is missing");
    ends_with(CMD_run, "m -p -n 5", DIAG_OPTION_VALUE, "write -p=-n");
    ends_with(CMD_run, "m --temp 0,5", DIAG_OPTION_VALUE, "bad value '0,5'");
    ends_with(CMD_run, "m --temp nan", DIAG_OPTION_VALUE, "bad value 'nan'");
    ends_with(CMD_run, "m --top-p 1.5", DIAG_OPTION_VALUE, "from 0 to 1");
    ends_with(CMD_run, "m --temp -1", DIAG_OPTION_VALUE, "from 0 to 1000");
    ends_with(CMD_run, "m --ids 1;2", DIAG_OPTION_VALUE, "as in 1,2,3");
    ends_with(CMD_run, "m -n 5x", DIAG_OPTION_VALUE, "bad value '5x'");
    ends_with(CMD_run, "m -n 9223372036854775807k", DIAG_OPTION_VALUE, "bad value");
    ends_with(CMD_run, "m --ids 1,,2", DIAG_OPTION_VALUE, "bad value '1,,2'");
    ends_with(CMD_run, "m --ids 1,2,", DIAG_OPTION_VALUE, "bad value '1,2,'");
    ends_with(CMD_run, "m --stats=maybe", DIAG_OPTION_VALUE, "true or false");
    ends_with(CMD_run, "m -v=3", DIAG_OPTION_VALUE, "bad value '3'");
    ends_with(CMD_compile, "m -S=x", DIAG_OPTION_VALUE, "--emit asm");
    ends_with(CMD_compile, "m --emit exe", DIAG_OPTION_VALUE, "ir|llvm|asm|obj");
    ends_with(CMD_run, "m --temp 1 --greedy", DIAG_OPTION_CONFLICT, "--greedy and --temp");
    ends_with(CMD_run, "m --temp 1 --temp 2", DIAG_OPTION_CONFLICT, "given twice");
    ends_with(CMD_run, "m --stats --no-stats", DIAG_OPTION_CONFLICT, "given twice");
    ends_with(CMD_run, "m --ids 1 --ids 2", DIAG_OPTION_CONFLICT, "given twice");
    ends_with(CMD_run, "m --chat --raw", DIAG_OPTION_CONFLICT, "--chat and --raw");
    ends_with(CMD_run, "", DIAG_OPERANDS, "missing argument");
    ends_with(CMD_run, "a - c", DIAG_OPERANDS, "'c'");
    ends_with(CMD_run, "a - c", DIAG_OPERANDS, "-p 'c'");
    ends_with(CMD_run, "a b c d e f", DIAG_OPERANDS, "'e'");
}

static void test_sizes(void) {
    static const struct {
        const char *s;
        int64_t v; /* -2: refused */
    } CASES[] = {
        {"0", 0},
        {"-1", -1},
        {"16k", 16000},
        {"16K", 16384},
        {"2GiB", 2ll << 30},
        {"2GB", 2000000000},
        {"1m", 1000000},
        {"1M", 1 << 20},
        {"8TiB", 8ll << 40},
        {"", -2},
        {"k", -2},
        {"1.5G", -2},
        {"1 k", -2},
        {"0x10", -2},
        {"1kk", -2},
        {"--1", -2},
        {"9223372036854775807", INT64_MAX},
        {"9223372036854775808", -2},
        {"9007199254740993k", 9007199254740993000},
        {"8388608TiB", -2},
    };
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        int64_t v = -2;
        const bool ok = options_size(str_of(CASES[i].s), &v);
        CU_ASSERT_EQUAL(ok, CASES[i].v != -2);
        if (ok) CU_ASSERT_EQUAL(v, CASES[i].v);
    }
}

static void test_distance(void) {
    CU_ASSERT_EQUAL(options_distance("temp", "temp", 2), 0);
    CU_ASSERT_EQUAL(options_distance("tmep", "temp", 2), 1);  /* swap */
    CU_ASSERT_EQUAL(options_distance("tem", "temp", 2), 1);   /* insert */
    CU_ASSERT_EQUAL(options_distance("tempo", "temp", 2), 1); /* delete */
    CU_ASSERT_EQUAL(options_distance("tump", "temp", 2), 1);  /* replace */
    CU_ASSERT_EQUAL(options_distance("top_k", "top-k", 2), 0);
    CU_ASSERT_EQUAL(options_distance("xyzp", "temp", 2), 3);
    CU_ASSERT_EQUAL(options_distance("", "ab", 2), 2);
    CU_ASSERT_EQUAL(options_distance("abc", "", 2), 3);
    CU_ASSERT_STRING_EQUAL(options_nearest_command("comiple"), "compile");
    CU_ASSERT_STRING_EQUAL(options_nearest_command("rnu"), "run");
    CU_ASSERT_PTR_NULL(options_nearest_command("serve"));
}

static void test_table(void) {
    /* no command has one spelling twice */
    for (int c = 0; c < CMD_COUNT; c++) {
        const char *seen[256];
        int n = 0;
        for (int i = 0; i < OPT_COUNT; i++)
            if (option_rows[i].commands >> c & 1) seen[n++] = option_rows[i].name;
        for (int i = 0; i < option_n_aliases; i++)
            if (option_rows[option_aliases[i].option].commands >> c & 1)
                seen[n++] = option_aliases[i].spelling;
        for (int i = 0; i < OPT_COUNT; i++) {
            if (!(option_rows[i].commands >> c & 1) || !option_rows[i].letter) continue;
            static char letters[OPT_COUNT][2];
            letters[i][0] = option_rows[i].letter;
            seen[n++] = letters[i];
        }
        for (int i = 0; i < n; i++)
            for (int j = 0; j < i; j++) {
                if (!strcmp(seen[i], seen[j])) printf("  twice: %s\n", seen[i]);
                CU_ASSERT_STRING_NOT_EQUAL(seen[i], seen[j]);
            }
    }
    command_id c;
    CU_ASSERT(options_find_command("verify", &c) && c == CMD_verify);
    CU_ASSERT_FALSE(options_find_command("verif", &c));
}

/* True where `word` stands in `all` with no letter, digit or dash behind it. */
static bool has_word(const char *all, const char *word) {
    const size_t n = strlen(word);
    for (const char *at = all; (at = strstr(at, word)); at++)
        if (!at[n] || strchr(" ,)\n", at[n])) return true;
    return false;
}

static void test_help(void) {
    for (int c = 0; c < CMD_COUNT; c++)
        for (int artifact = 0; artifact < 2; artifact++) {
            arena *mem = arena_open();
            const options o = {
                .command = (command_id)c, .program = "p4c x", .is_artifact = artifact};
            text t = {.mem = mem};
            options_help(&o, &t);
            int column = 0;
            for (const char *p = t.buf.at; *p; p++) {
                column = *p == '\n' ? 0 : column + 1;
                CU_ASSERT(column <= 80);
                CU_ASSERT((*p >= ' ' && *p <= '~') || *p == '\n');
            }
            for (int i = 0; i < OPT_COUNT; i++) {
                if (!(option_rows[i].commands >> c & 1) || (artifact && i == OPT_model)) continue;
                const char *no = option_rows[i].kind == OPTION_on ? "no-" : "";
                CU_ASSERT(has_word(t.buf.at, arena_printf(mem, "--%s%s", no, option_rows[i].name)));
            }
            for (int i = 0; i < option_n_aliases; i++) {
                if (!(option_rows[option_aliases[i].option].commands >> c & 1)) continue;
                CU_ASSERT(has_word(t.buf.at, arena_printf(mem, "-%s", option_aliases[i].spelling)));
            }
            CU_ASSERT_PTR_NOT_NULL(strstr(t.buf.at, "examples:"));
            arena_close(mem);
        }
    line l = parse(CMD_run, false, "--help");
    CU_ASSERT(l.ok && l.o.help.v);
    close_line(&l);
}

UNIT_MAIN("options", {"values of every kind", test_values},
          {"spellings and aliases", test_spellings},
          {"words are in the order of their constants", test_words},
          {"mistakes are reported", test_errors}, {"sizes", test_sizes},
          {"edit distance", test_distance}, {"no spelling twice", test_table},
          {"help lists everything in 80 columns", test_help})
