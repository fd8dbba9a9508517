/* synth_tokenizer.c - a byte-level BPE tokenizer of any vocabulary size, made up on the spot.
 *
 * Tokens are the 256 bytes, then strings of letters: two (a blank or a letter, then a letter),
 * three, four, each by a merge of two shorter ones.  Lengths and letters tell them apart, so that
 * none is made twice; there are half a million of them.  The JSON has the form that the tokenizers
 * library writes.
 */
#include <assert.h>

#include "driver/synth.h"

enum { N_BYTES = 256, N_LETTERS = 26, N_PAIRS = 27 * 26, N_TRIPLES = N_PAIRS * N_LETTERS };

static const char CL100K[] = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|"
                             "\\\\p{N}{1,3}| ?[^\\\\s\\\\p{L}\\\\p{N}]+"
                             "[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+";
static const char O200K[] = "[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?[\\\\p{Lu}\\\\p{Lt}\\\\p{Lm}\\\\p{Lo}"
                            "\\\\p{M}]*[\\\\p{Ll}\\\\p{Lm}\\\\p{Lo}\\\\p{M}]+"
                            "(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?[\\\\p{Lu}"
                            "\\\\p{Lt}\\\\p{Lm}\\\\p{Lo}\\\\p{M}]+"
                            "[\\\\p{Ll}\\\\p{Lm}\\\\p{Lo}\\\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
                            "\\\\p{N}{1,3}| ?[^\\\\s\\\\p{L}\\\\p{N}]+"
                            "[\\\\r\\\\n/]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+";

/* Byte-level tokenizers write byte b as a printable character: itself where it is one, else the
 * next of U+0100, U+0101, ...; token i of a vocabulary in the customary order is the i-th of the
 * printable ones, then the others.  Source: GPT-2's bytes_to_unicode. */
static bool is_printable(int b) {
    return (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || (b >= 0xae && b <= 0xff);
}

static void add_code_point(text *out, int c) {
    if (c == '"' || c == '\\') text_putc(out, '\\');
    if (c < 0x80) {
        text_putc(out, (char)c);
    } else {
        text_putc(out, (char)(0xc0 | c >> 6));
        text_putc(out, (char)(0x80 | (c & 63)));
    }
}

/* The character of token i < 256. */
static int byte_token(int i) {
    int n = 0;
    for (int b = 0; b < 256; b++)
        if (is_printable(b) && n++ == i) return b;
    return 0x100 + i - n;
}

enum { BLANK = 0x120 }; /* what stands for a space */

/* The two parts of token 256 + i, and so its text. */
static void add_pair_part(text *out, int64_t i, int part) {
    const int64_t first = i % 27, second = i / 27;
    if (part == 0) add_code_point(out, first ? 'a' + (int)first - 1 : BLANK);
    else add_code_point(out, 'a' + (int)second);
}

static void add_part(text *out, int64_t i, int part) {
    if (i < N_PAIRS) {
        add_pair_part(out, i, part);
    } else if (i < N_PAIRS + N_TRIPLES) {
        i -= N_PAIRS;
        if (part == 1) add_code_point(out, 'a' + (int)(i / N_PAIRS));
        else
            for (int p = 0; p < 2; p++) add_pair_part(out, i % N_PAIRS, p);
    } else {
        i -= N_PAIRS + N_TRIPLES;
        const int64_t second = i / N_PAIRS; /* of the 676 pairs without a blank */
        assert(second < N_LETTERS * N_LETTERS);
        const int64_t pair = part == 0 ? i % N_PAIRS : second / 26 * 27 + second % 26 + 1;
        for (int p = 0; p < 2; p++) add_pair_part(out, pair, p);
    }
}

static void add_json_text(text *out, const char *s) {
    text_putc(out, '"');
    for (; *s; s++) {
        if (*s == '"' || *s == '\\') text_printf(out, "\\%c", *s);
        else if (*s == '\n') text_cat(out, "\\n");
        else text_putc(out, *s);
    }
    text_putc(out, '"');
}

/* Calls add for each added token in order of id, dummies between the named ones included. */
static void each_token(const synth_family *f, text *out,
                       void (*add)(text *out, const synth_token *t, const char *name, bool first)) {
    int dummy = 0;
    bool first = true;
    for (int i = 0; i < f->n_tokens; i++) {
        const synth_token *t = &f->token[i];
        /* phi-4 fills every id up to the last row with dummies; the others leave holes */
        const int32_t end = i + 1 < f->n_tokens ? f->token[i + 1].id : (int32_t)f->vocab;
        for (int32_t id = t->id; id < (f->token[0].text ? t->id + 1 : end); id++) {
            const bool named = id == t->id && t->text;
            const synth_token one = {id, NULL, t->lstrip, t->rstrip, t->special};
            char name[32];
            if (!named) snprintf(name, sizeof name, "<|dummy_%d|>", dummy++);
            add(out, &one, named ? t->text : name, first);
            first = false;
        }
    }
}

static const char *truth(bool b) { return b ? "true" : "false"; }

static void add_listed(text *out, const synth_token *t, const char *name, bool first) {
    text_printf(out,
                "%s\n    {\"id\": %d, \"content\": \"%s\", \"single_word\": false, \"lstrip\": %s, "
                "\"rstrip\": %s, \"normalized\": false, \"special\": %s}",
                first ? "" : ",", t->id, name, truth(t->lstrip), truth(t->rstrip),
                truth(t->special));
}

static void add_decoder_row(text *out, const synth_token *t, const char *name, bool first) {
    text_printf(out,
                "%s\n    \"%d\": {\"content\": \"%s\", \"lstrip\": %s, \"normalized\": false, "
                "\"rstrip\": %s, \"single_word\": false, \"special\": %s}",
                first ? "" : ",", t->id, name, truth(t->lstrip), truth(t->rstrip),
                truth(t->special));
}

static void add_vocab_row(text *out, const synth_token *t, const char *name, bool first) {
    (void)first;
    text_printf(out, ",\n\"%s\": %d", name, t->id);
}

void synth_tokenizer(const synth_family *f, text *out) {
    text_cat(out, "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n"
                  "  \"added_tokens\": [");
    each_token(f, out, add_listed);
    text_printf(out,
                "\n  ],\n  \"normalizer\": null,\n  \"pre_tokenizer\": {\"type\": \"Sequence\", "
                "\"pretokenizers\": [\n    {\"type\": \"Split\", \"pattern\": {\"Regex\": \"%s\"}, "
                "\"behavior\": \"%s\", \"invert\": %s},\n",
                f->o200k ? O200K : CL100K, f->o200k ? "Isolated" : "Removed", truth(!f->o200k));
    text_cat(out,
             "    {\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, "
             "\"use_regex\": false}]},\n"
             "  \"post_processor\": {\"type\": \"ByteLevel\", \"add_prefix_space\": true, "
             "\"trim_offsets\": false, \"use_regex\": true},\n"
             "  \"decoder\": {\"type\": \"ByteLevel\", \"add_prefix_space\": true, "
             "\"trim_offsets\": true, \"use_regex\": true},\n");
    text_printf(out,
                "  \"model\": {\"type\": \"BPE\", \"dropout\": null, \"unk_token\": null, "
                "\"continuing_subword_prefix\": \"\", \"end_of_word_suffix\": \"\", "
                "\"fuse_unk\": false, \"byte_fallback\": false, \"ignore_merges\": %s,\n"
                "  \"vocab\": {",
                truth(f->merges_pairs));
    for (int i = 0; i < N_BYTES; i++) {
        text_cat(out, i ? ",\n\"" : "\n\"");
        add_code_point(out, byte_token(i));
        text_printf(out, "\": %d", i);
    }
    for (int64_t i = 0; i < f->n_merges; i++) {
        text_cat(out, ",\n\"");
        add_part(out, i, 0);
        add_part(out, i, 1);
        text_printf(out, "\": %lld", (long long)(N_BYTES + i));
    }
    /* the tokenizers library counts added tokens on from the vocabulary's end: where there is a
     * hole, their ids must stand in the vocabulary */
    if (f->token[0].id > N_BYTES + f->n_merges) each_token(f, out, add_vocab_row);
    text_cat(out, "},\n  \"merges\": [");
    for (int64_t i = 0; i < f->n_merges; i++) {
        text_cat(out, i ? ",\n" : "\n");
        text_cat(out, f->merges_pairs ? "[\"" : "\"");
        add_part(out, i, 0);
        text_cat(out, f->merges_pairs ? "\", \"" : " ");
        add_part(out, i, 1);
        text_cat(out, f->merges_pairs ? "\"]" : "\"");
    }
    text_cat(out, "]}\n}\n");
}

void synth_tokenizer_config(const synth_family *f, text *out) {
    text_cat(out, "{\n  \"add_prefix_space\": false,\n  \"added_tokens_decoder\": {");
    each_token(f, out, add_decoder_row);
    text_printf(out, "\n  },\n  \"bos_token\": \"%s\",\n  \"chat_template\": ", f->bos_text);
    add_json_text(out, f->chat_template);
    text_printf(out,
                ",\n  \"clean_up_tokenization_spaces\": false,\n  \"eos_token\": \"%s\",\n"
                "  \"model_max_length\": %lld,\n  \"pad_token\": \"%s\",\n"
                "  \"tokenizer_class\": \"GPT2Tokenizer\"\n}\n",
                f->eos_text, (long long)f->max_tok, f->pad_text);
}

void synth_special_tokens(const synth_family *f, text *out) {
    text_printf(
        out, "{\n  \"bos_token\": \"%s\",\n  \"eos_token\": \"%s\",\n  \"pad_token\": \"%s\"\n}\n",
        f->bos_text, f->eos_text, f->pad_text);
}
