#!/usr/bin/env python3
"""Writes the checkpoints of tests/fixtures: GPTQ packings that no checkpoint of tests/golden has.

    scripts/make_fixtures.py            writes tests/fixtures/<case>/ for every case
    scripts/make_fixtures.py --check    compares the files there with what would be written

Python's standard library alone.  Numbers come from SHAKE-256 of the names of case and tensor and
from integer and exactly rounded arithmetic, so the bytes are the same on every machine.

Each case is a small Phi3ForCausalLM with random weights, packed as AutoGPTQ does (the formulas are
in tests/golden/README.md and docs/IR.md, section 8), and golden/dequantized.safetensors: of every
packed matrix, under the name of its module, the first, middle and last row as float32, computed
here from the codes before they are packed.
"""
import hashlib
import json
import math
import pathlib
import struct
import sys
from dataclasses import dataclass, field

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "tests" / "fixtures"


# ---- random bytes, numbers and their storage ----


class Source:
    """A stream of random numbers that belongs to a name."""

    def __init__(self, *name):
        self.name, self.buffer, self.at, self.block = "/".join(map(str, name)), b"", 0, 0

    def byte(self):
        if self.at == len(self.buffer):
            seed = f"{self.name}#{self.block}".encode()
            self.buffer, self.at, self.block = hashlib.shake_256(seed).digest(4096), 0, self.block + 1
        self.at += 1
        return self.buffer[self.at - 1]

    def below(self, n):
        """0 .. n - 1, n <= 256, without bias."""
        while True:
            b = self.byte()
            if b < 256 // n * n:
                return b % n

    def unit(self):
        """One of 65536 numbers evenly spread in (-1, 1)."""
        return (2 * (self.byte() | self.byte() << 8) - 65535) / 65536

    def shuffle(self, items):
        for i in range(len(items) - 1, 0, -1):
            j = (self.byte() | self.byte() << 8) % (i + 1)
            items[i], items[j] = items[j], items[i]


def f32(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def store(dtype, numbers):
    """Bytes of numbers, rounded to nearest even."""
    if dtype == "F32":
        return struct.pack(f"<{len(numbers)}f", *numbers)
    if dtype == "F16":
        return struct.pack(f"<{len(numbers)}e", *numbers)
    if dtype == "I32":
        return struct.pack(f"<{len(numbers)}i", *numbers)
    halves = []
    for x in numbers:
        bits = struct.unpack("<I", struct.pack("<f", x))[0]
        halves.append((bits + 0x7FFF + (bits >> 16 & 1)) >> 16)
    return struct.pack(f"<{len(halves)}H", *halves)


def load(dtype, raw):
    if dtype == "F32":
        return struct.unpack(f"<{len(raw) // 4}f", raw)
    if dtype == "F16":
        return struct.unpack(f"<{len(raw) // 2}e", raw)
    words = struct.unpack(f"<{len(raw) // 2}H", raw)
    return tuple(struct.unpack("<f", struct.pack("<I", w << 16))[0] for w in words)


def safetensors(tensors):
    """tensors: {name: (dtype, shape, bytes)} -> the file."""
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, (dtype, shape, raw) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(raw)]}
        at += len(raw)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(raw for _, _, raw in tensors.values())


# ---- what a case is ----


@dataclass
class Matrix:
    """How one packed matrix differs from a plain symmetric one in f16."""

    zeros: str = "sym"  # sym: all 8; random: 1 .. 15; ends: 16, 1 and in between
    scales: str = "F16"
    order: str = ""  # g_idx; "": k // group.  See g_idx()
    negative: bool = True  # half of the scales


@dataclass
class Case:
    name: str
    group: int
    hidden: int = 64
    ffn: int = 96
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 16
    layers: int = 1
    vocab: int = 61
    every: Matrix = field(default_factory=Matrix)
    # a matrix by the last part of its name, or by layer too: "q_proj", "1.q_proj"
    some: dict = field(default_factory=dict)
    apart: bool = False  # q, k, v and gate, up
    plain: dict = field(default_factory=dict)  # modules left unpacked: name -> dtype
    head: str = "F16"  # dtype, "tied", or "packed"
    embed: str = "F16"  # dtype, or "packed"
    shards: int = 1
    tokenizer: bool = False
    write_g_idx: bool = True  # also where the order is the natural one
    config: dict = field(default_factory=dict)  # further keys


RANDOM = Matrix(zeros="random")
CASES = [
    Case("g16", 16, layers=2),
    Case("g20-short", 20, hidden=72, ffn=40, heads=3, kv_heads=1, head_dim=24, layers=2, every=RANDOM,
         write_g_idx=False),
    Case("g24-order", 24, hidden=80, ffn=56, every=Matrix("random", order="unequal")),
    Case("g32-unlike", 32, hidden=72, ffn=88, heads=2, kv_heads=1, head_dim=24, layers=2, apart=True,
         every=Matrix("random", order="own"), head="tied"),
    Case("g64-mixed", 64, hidden=72, ffn=104, apart=True, layers=2, embed="BF16",
         some={"k_proj": Matrix("random", "BF16"), "v_proj": Matrix("ends", "F32"),
               "up_proj": Matrix("random", "F32"), "down_proj": RANDOM, "1.q_proj": RANDOM}),
    Case("g128-k40", 128, hidden=40, ffn=168, heads=4, kv_heads=4, head_dim=10, head="F32", vocab=259,
         every=RANDOM, some={"o_proj": Matrix()}),
    Case("gm1", -1, hidden=72, ffn=136, every=Matrix("ends"),
         config={"desc_act": True}),
    Case("g200", 200, hidden=40, ffn=416, heads=2, kv_heads=2, head_dim=24,
         every=Matrix("random", "F32")),
    Case("zero-16", 32, layers=2, every=Matrix("ends", "BF16"), embed="F32", head="BF16"),
    Case("f32-scales-order", 16, hidden=56, ffn=72, every=Matrix("random", "F32", "unequal")),
    Case("some-alike", 24, hidden=72, ffn=64, apart=True, every=Matrix("random", order="one"),
         some={"v_proj": Matrix("ends", order="own"), "k_proj": Matrix(order="one"),
               "o_proj": Matrix(order="crowded")}),
    Case("g64-crowded", 64, hidden=136, ffn=72, heads=2, kv_heads=1, head_dim=40,
         every=Matrix("ends", order="crowded")),
    Case("shards", 32, hidden=48, ffn=80, heads=3, kv_heads=1, layers=2, vocab=267,
         every=Matrix("random", order="unequal"), shards=5, tokenizer=True),
    Case("part-plain", 32, hidden=48, ffn=40, layers=2, embed="packed", head="packed", vocab=72,
         every=RANDOM,
         some={"lm_head": Matrix("ends", order="own")},
         plain={"0.o_proj": "BF16", "1.down_proj": "F32", "1.qkv_proj": "F16"}),
]


# ---- packed matrices ----


def g_idx(order, case, name, k, n_groups):
    """The group of each input.
    own: full groups, inputs in an order of the module's own; one: in that of its input;
    unequal: groups of unlike size; crowded: nearly all in one group, some groups empty."""
    group = case.group if case.group > 0 else k
    if not order:
        return [i // group for i in range(k)]
    like = {"self_attn.k_proj": "q_proj", "self_attn.v_proj": "q_proj", "mlp.up_proj": "gate_proj"}
    if order == "one":
        for tail, first in like.items():
            if name.endswith(tail):
                name = name[: -len(tail.split(".")[1])] + first
    source = Source(case.name, name, "g_idx")
    if order in ("own", "one"):
        list_ = [i // group for i in range(k)]
        source.shuffle(list_)
        return list_
    if order == "unequal":
        return [min(source.below(256), source.below(256)) * n_groups // 256 for _ in range(k)]
    crowd = source.below(n_groups)
    return [source.below(n_groups) // 2 if source.below(12) == 0 else crowd for _ in range(k)]


def zero_of(kind, source):
    if kind == "sym":
        return 8
    if kind == "random":
        return 1 + source.below(15)
    return (16, 1, 16, 2, 15, 9)[source.below(6)]


def pack_nibbles(n_rows, n_columns, nibble):
    """i32 [n_rows / 8, n_columns] of nibble(row, column), eight rows a word."""
    words = []
    for row in range(0, n_rows, 8):
        for column in range(n_columns):
            word = sum(nibble(row + i, column) << 4 * i for i in range(8))
            words.append(word - (1 << 32) if word >> 31 else word)
    return store("I32", words)


def packed_matrix(case, name, form, n, k):
    """-> tensors of the module, {row number: float32 values}"""
    assert n % 8 == 0 and k % 8 == 0, (case.name, name, n, k)
    n_groups = 1 if case.group < 0 else -(-k // case.group)
    groups = g_idx(form.order, case, name, k, n_groups)
    source = Source(case.name, name)
    zero = [[zero_of(form.zeros, source) for _ in range(n)] for _ in range(n_groups)]
    size = 1 / (4.6 * math.sqrt(k))
    scale = []
    for _ in range(n_groups * n):
        sign = -1 if form.negative and source.byte() & 1 else 1
        scale.append(sign * size * (1 + source.unit() / 4))
    raw_scale = store(form.scales, scale)
    scale = load(form.scales, raw_scale)
    # around the zero point as far as there are codes: -8 .. 7 steps
    code = [[min(15, max(0, zero[groups[i]][j] + (source.byte() & 15) - 8)) for j in range(n)]
            for i in range(k)]
    tensors = {
        f"{name}.qweight": ("I32", [k // 8, n], pack_nibbles(k, n, lambda i, j: code[i][j])),
        f"{name}.qzeros": ("I32", [n_groups, n // 8], b"".join(
            pack_nibbles(n, 1, lambda j, _, g=g: zero[g][j] - 1) for g in range(n_groups))),
        f"{name}.scales": (form.scales, [n_groups, n], raw_scale),
    }
    if case.write_g_idx or form.order:
        tensors[f"{name}.g_idx"] = ("I32", [k], store("I32", groups))
    rows = []
    for j in (0, n // 2, n - 1):
        rows += [f32((code[i][j] - zero[groups[i]][j]) * scale[groups[i] * n + j]) for i in range(k)]
    return tensors, ("F32", [3, k], store("F32", rows))


# ---- a checkpoint ----


def plain_matrix(case, name, dtype, n, k, deviation):
    source, bound = Source(case.name, name), deviation * math.sqrt(3)
    return {f"{name}.weight": (dtype, [n, k], store(dtype, [f32(bound * source.unit())
                                                            for _ in range(n * k)]))}


def norm(case, name):
    """Values of either sign and above 1."""
    source = Source(case.name, name)
    values = [(-1 if source.below(8) == 0 else 1) * (1 + source.unit() / 2)
              for _ in range(case.hidden)]
    return {f"{name}.weight": ("F16", [case.hidden], store("F16", values))}


def modules_of(case, layer):
    """(name, outputs, inputs) of the layer's matrices."""
    at = f"model.layers.{layer}"
    q, kv, d, f = case.heads * case.head_dim, case.kv_heads * case.head_dim, case.hidden, case.ffn
    if case.apart:
        attn = [("q_proj", q), ("k_proj", kv), ("v_proj", kv)]
        mlp = [("gate_proj", f), ("up_proj", f)]
    else:
        attn, mlp = [("qkv_proj", q + 2 * kv)], [("gate_up_proj", 2 * f)]
    return ([(f"{at}.self_attn.{name}", n, d) for name, n in attn] +
            [(f"{at}.self_attn.o_proj", d, q)] +
            [(f"{at}.mlp.{name}", n, d) for name, n in mlp] + [(f"{at}.mlp.down_proj", d, f)])


def weights_of(case):
    """-> tensors of the checkpoint, rows of the packed matrices"""
    tensors, rows = {}, {}

    def add(name, n, k):
        parts = name.split(".")
        keys = [".".join(parts[2:3] + parts[-1:]), parts[-1]]
        plain = next((case.plain[key] for key in keys if key in case.plain), None)
        if plain:
            tensors.update(plain_matrix(case, name, plain, n, k, 1 / math.sqrt(k)))
            return
        form = next((case.some[key] for key in keys if key in case.some), case.every)
        packed, rows[name] = packed_matrix(case, name, form, n, k)
        tensors.update(packed)

    d = case.hidden
    if case.embed == "packed":
        add("model.embed_tokens", case.vocab, d)
    else:
        size = 2 / math.sqrt(d) if case.head == "tied" else 1
        tensors.update(plain_matrix(case, "model.embed_tokens", case.embed, case.vocab, d, size))
    for layer in range(case.layers):
        tensors.update(norm(case, f"model.layers.{layer}.input_layernorm"))
        tensors.update(norm(case, f"model.layers.{layer}.post_attention_layernorm"))
        for name, n, k in modules_of(case, layer):
            add(name, n, k)
    tensors.update(norm(case, "model.norm"))
    if case.head == "packed":
        add("lm_head", case.vocab, d)
    elif case.head != "tied":
        tensors.update(plain_matrix(case, "lm_head", case.head, case.vocab, d, 2 / math.sqrt(d)))
    return tensors, rows


def config_of(case):
    quantization = {
        "bits": 4, "checkpoint_format": "gptq", "desc_act": bool(case.every.order),
        "group_size": case.group, "lm_head": case.head == "packed", "quant_method": "gptq",
        "sym": case.every.zeros == "sym" and not case.some,
    }
    quantization.update(case.config)
    if case.plain:
        names = [name for layer in range(case.layers) for name, _, _ in modules_of(case, layer)]
        quantization["modules_to_not_convert"] = [
            name for name in names for key in case.plain
            if name.startswith(f"model.layers.{key.split('.')[0]}.")
            and name.endswith("." + key.split(".")[1])]
    return {
        "architectures": ["Phi3ForCausalLM"], "attention_bias": False, "bos_token_id": 0,
        "eos_token_id": 1, "head_dim": case.head_dim, "hidden_act": "silu",
        "hidden_size": case.hidden, "intermediate_size": case.ffn, "max_position_embeddings": 64,
        "model_type": "phi3", "num_attention_heads": case.heads, "num_hidden_layers": case.layers,
        "num_key_value_heads": case.kv_heads, "original_max_position_embeddings": 64,
        "pad_token_id": 0, "partial_rotary_factor": 1.0,
        "quantization_config": quantization, "rms_norm_eps": 1e-05, "rope_scaling": None,
        "rope_theta": 10000.0, "sliding_window": None,
        "tie_word_embeddings": case.head == "tied", "torch_dtype": "float16",
        "use_cache": True, "vocab_size": case.vocab,
    }


def byte_level_alphabet():
    """The characters that stand for the 256 bytes in byte-level BPE (GPT-2's bytes_to_unicode)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    return {**{b: chr(b) for b in printable}, **{b: chr(256 + i) for i, b in enumerate(others)}}


def tokenizer_of():
    """Special tokens 0 and 1, then the 256 bytes; no merges."""
    special = [{"id": i, "content": text, "single_word": False, "lstrip": False, "rstrip": False,
                "normalized": False, "special": True}
               for i, text in enumerate(("<|endoftext|>", "<|end|>"))]
    vocab = {token["content"]: token["id"] for token in special}
    vocab.update({c: 2 + b for b, c in sorted(byte_level_alphabet().items())})
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
                  "use_regex": True}
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": special,
            "normalizer": None, "pre_tokenizer": byte_level, "post_processor": None,
            "decoder": byte_level,
            "model": {"type": "BPE", "dropout": None, "unk_token": None,
                      "continuing_subword_prefix": None, "end_of_word_suffix": None,
                      "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                      "vocab": vocab, "merges": []}}


def shard_files(case, tensors):
    """Tensors dealt out in turn, so that the parts of a matrix stand in different files."""
    names = [f"model-{i + 1:05}-of-{case.shards:05}.safetensors" for i in range(case.shards)]
    place = {name: names[i % case.shards] for i, name in enumerate(tensors)}
    files = {f: safetensors({t: tensors[t] for t in tensors if place[t] == f}) for f in names}
    total = sum(len(raw) for _, _, raw in tensors.values())
    files["model.safetensors.index.json"] = as_json({"metadata": {"total_size": total},
                                                     "weight_map": dict(sorted(place.items()))})
    return files


def as_json(value):
    return (json.dumps(value, indent=1, ensure_ascii=True) + "\n").encode()


def files_of(case):
    """{path in the case's folder: bytes}"""
    tensors, rows = weights_of(case)
    files = {
        "config.json": as_json(config_of(case)),
        "generation_config.json": as_json({"bos_token_id": 0, "eos_token_id": 1}),
        "golden/dequantized.safetensors": safetensors(rows),
    }
    if case.tokenizer:
        files["tokenizer.json"] = as_json(tokenizer_of())
        files["tokenizer_config.json"] = as_json({
            "bos_token": "<|endoftext|>", "eos_token": "<|end|>",
            "tokenizer_class": "GPT2TokenizerFast"})
    files.update(shard_files(case, tensors) if case.shards > 1
                 else {"model.safetensors": safetensors(tensors)})
    return files


def check(path, content):
    if not path.exists():
        return f"{path}: missing"
    return None if path.read_bytes() == content else f"{path}: differs"


def main():
    checking = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not checking:
        sys.exit(__doc__)
    wrong, total = [], 0
    for case in CASES:
        folder, files = FOLDER / case.name, files_of(case)
        size = sum(map(len, files.values()))
        assert size < 100_000, (case.name, size)
        total += size
        for name, content in files.items():
            path = folder / name
            if checking:
                wrong += filter(None, [check(path, content)])
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        there = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
        wrong += [f"{folder / name}: not of this case" for name in sorted(there - set(files))]
    assert total < 1_500_000, total
    print(f"{len(CASES)} cases, {total} bytes, {len(wrong)} files wrong")
    for line in wrong:
        print(line)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
