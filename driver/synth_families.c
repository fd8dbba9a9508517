/* synth_families.c - shapes, special tokens and chat templates of the families, as their published
 * config.json and tokenizer_config.json have them. */
#include <string.h>

#include "driver/synth.h"

static const synth_token PHI4_TOKENS[] = {
    {100256, NULL, true, true, true},
    {100257, "<|endoftext|>", true, true, true},
    {100258, "<|fim_prefix|>", true, true, true},
    {100259, "<|fim_middle|>", true, true, true},
    {100260, "<|fim_suffix|>", true, true, true},
    {100261, NULL, true, true, true},
    {100262, NULL, true, true, true},
    {100263, NULL, true, true, true},
    {100264, "<|im_start|>", true, true, true},
    {100265, "<|im_end|>", true, true, true},
    {100266, "<|im_sep|>", true, true, true},
    {100276, "<|endofprompt|>", true, true, true},
};

static const synth_token PHI4_MINI_TOKENS[] = {
    {199999, "<|endoftext|>", false, false, true},
    {200018, "<|endofprompt|>", false, false, true},
    {200019, "<|assistant|>", false, true, true},
    {200020, "<|end|>", false, true, true},
    {200021, "<|user|>", false, true, true},
    {200022, "<|system|>", false, true, true},
    {200023, "<|tool|>", false, true, false},
    {200024, "<|/tool|>", false, true, false},
    {200025, "<|tool_call|>", false, true, false},
    {200026, "<|/tool_call|>", false, true, false},
    {200027, "<|tool_response|>", false, true, false},
    {200028, "<|tag|>", false, true, true},
};

static const synth_token PHI3_MINI_TOKENS[] = {
    {32000, "<|endoftext|>", false, false, true},   {32001, "<|assistant|>", false, true, true},
    {32002, "<|placeholder1|>", false, true, true}, {32003, "<|placeholder2|>", false, true, true},
    {32004, "<|placeholder3|>", false, true, true}, {32005, "<|placeholder4|>", false, true, true},
    {32006, "<|system|>", false, true, true},       {32007, "<|end|>", false, true, true},
    {32008, "<|placeholder5|>", false, true, true}, {32009, "<|placeholder6|>", false, true, true},
    {32010, "<|user|>", false, true, true},
};

static const char PHI4_TEMPLATE[] =
    "{% for message in messages %}"
    "{% if (message['role'] == 'system') %}"
    "{{'<|im_start|>system<|im_sep|>' + message['content'] + '<|im_end|>'}}"
    "{% elif (message['role'] == 'user') %}"
    "{{'<|im_start|>user<|im_sep|>' + message['content'] + '<|im_end|>'}}"
    "{% elif (message['role'] == 'assistant') %}"
    "{{'<|im_start|>assistant<|im_sep|>' + message['content'] + '<|im_end|>'}}"
    "{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant<|im_sep|>' }}{% endif %}";

static const char PHI4_MINI_TEMPLATE[] =
    "{% for message in messages %}"
    "{% if message['role'] == 'system' and 'tools' in message and message['tools'] is not none %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] + '<|tool|>' + message['tools'] + "
    "'<|/tool|>' + '<|end|>' }}"
    "{% else %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% else %}{{ eos_token }}{% endif %}";

static const char PHI3_MINI_TEMPLATE[] =
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{'<|system|>\n' + message['content'] + '<|end|>\n'}}"
    "{% elif message['role'] == 'user' %}{{'<|user|>\n' + message['content'] + '<|end|>\n'}}"
    "{% elif message['role'] == 'assistant' %}"
    "{{'<|assistant|>\n' + message['content'] + '<|end|>\n'}}"
    "{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}";

static const synth_family FAMILIES[] = {
    {
        .name = "phi-4",
        .n_layers = 40,
        .hidden = 5120,
        .ffn = 17920,
        .heads = 40,
        .kv_heads = 10,
        .head_dim = 128,
        .vocab = 100352,
        .max_tok = 16384,
        .original_max_tok = 16384,
        .rope_theta = 250000,
        .partial_rotary = 1,
        .n_merges = 100000,
        .token = PHI4_TOKENS,
        .n_tokens = COUNT_OF(PHI4_TOKENS),
        .bos = 100257,
        .eos = 100265,
        .pad = 100257,
        .stop = {100257, 100265},
        .n_stops = 2,
        .bos_text = "<|endoftext|>",
        .eos_text = "<|im_end|>",
        .pad_text = "<|endoftext|>",
        .chat_template = PHI4_TEMPLATE,
    },
    {
        .name = "phi-4-mini",
        .n_layers = 32,
        .hidden = 3072,
        .ffn = 8192,
        .heads = 24,
        .kv_heads = 8,
        .head_dim = 128,
        .vocab = 200064,
        .max_tok = 131072,
        .original_max_tok = 4096,
        .rope_theta = 10000,
        .partial_rotary = 0.75,
        .longrope = true,
        .tied = true,
        .sliding_window = 262144,
        .n_merges = 199742,
        .o200k = true,
        .merges_pairs = true,
        .token = PHI4_MINI_TOKENS,
        .n_tokens = COUNT_OF(PHI4_MINI_TOKENS),
        .bos = 199999,
        .eos = 199999,
        .pad = 199999,
        .stop = {200020, 199999},
        .n_stops = 2,
        .bos_text = "<|endoftext|>",
        .eos_text = "<|endoftext|>",
        .pad_text = "<|endoftext|>",
        .chat_template = PHI4_MINI_TEMPLATE,
    },
    {
        .name = "phi-3-mini",
        .n_layers = 32,
        .hidden = 3072,
        .ffn = 8192,
        .heads = 32,
        .kv_heads = 32,
        .head_dim = 96,
        .vocab = 32064,
        .max_tok = 4096,
        .original_max_tok = 4096,
        .rope_theta = 10000,
        .partial_rotary = 1,
        .sliding_window = 2047,
        .n_merges = 31744,
        .token = PHI3_MINI_TOKENS,
        .n_tokens = COUNT_OF(PHI3_MINI_TOKENS),
        .bos = 32000,
        .eos = 32000,
        .pad = 32000,
        .stop = {32000, 32001, 32007},
        .n_stops = 3,
        .bos_text = "<|endoftext|>",
        .eos_text = "<|endoftext|>",
        .pad_text = "<|endoftext|>",
        .chat_template = PHI3_MINI_TEMPLATE,
    },
};

const synth_family *synth_find_family(const char *name) {
    for (size_t i = 0; i < COUNT_OF(FAMILIES); i++)
        if (!strcmp(FAMILIES[i].name, name)) return &FAMILIES[i];
    return NULL;
}
