#!/usr/bin/env python3
"""Writes cases.jsonl: random sets of added tokens over ../malformed/valid-base/tokenizer.json, with the ids and
decoded texts that the tokenizers library (0.23.3 from PyPI) gives.

    python3 make_cases.py > cases.jsonl

Each line: `set`, the members of tokenizer.json that differ from the base ("model" holds only its changed members), and
`texts`: [text, ids, decoded, decoded without special tokens].
"""
import json
import os
import random
import sys

from tokenizers import Tokenizer

HERE = os.path.dirname(os.path.abspath(__file__))
BASE = json.load(open(os.path.join(HERE, "../malformed/valid-base/tokenizer.json"), encoding="utf-8"))
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
TIKTOKEN = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
)
PARTS = ["a", "b", " ", "<", "\n", "\u00e9", "ab", "<|", "|>", "\u3000", "er"]
MORE = PARTS + ["x", "'s", "1", "\r", "th", " the", "  ", "\u0301", "\u4e2d", "  a"]


def random_set(rng):
    changed = {"added_tokens": [], "model": {"ignore_merges": rng.random() < 0.5}}
    vocab, seen = BASE["model"]["vocab"], set()
    next_id = len(vocab)
    for _ in range(rng.randint(0, 7)):
        content = "".join(rng.choice(PARTS) for _ in range(rng.randint(1, 4)))
        if content in seen:
            continue
        seen.add(content)
        flags = {k: rng.random() < 0.4 for k in ("lstrip", "rstrip", "normalized", "special")}
        token_id = vocab.get(content, next_id)
        next_id += token_id == next_id
        changed["added_tokens"].append(dict(id=token_id, content=content, single_word=False, **flags))
    how = rng.randrange(4)
    if how == 0:
        changed["pre_tokenizer"] = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    elif how < 3:
        split = json.loads(json.dumps(BASE["pre_tokenizer"]))
        split["pretokenizers"][0]["pattern"]["Regex"] = (GPT2, TIKTOKEN)[how - 1]
        changed["pre_tokenizer"] = split
    if rng.random() < 0.5:
        merges = list(BASE["model"]["merges"])
        rng.shuffle(merges)
        changed["model"]["merges"] = [m.split(" ") for m in merges] if rng.random() < 0.5 else merges
    return changed


def encode(tokenizer, text):
    try:
        return tokenizer.encode(text, add_special_tokens=False).ids
    except BaseException as error:  # where one token takes in the whole of the next, the library gives up
        if "bad split" not in str(error):
            raise
        return None


def main():
    rng = random.Random(20250101)
    for _ in range(80):
        changed = random_set(rng)
        full = json.loads(json.dumps(BASE))
        full["model"].update(changed["model"])
        full.update({k: v for k, v in changed.items() if k != "model"})
        tokenizer = Tokenizer.from_str(json.dumps(full))
        texts = []
        for _ in range(10):
            text = "".join(rng.choice(MORE) for _ in range(rng.randint(0, 20)))
            ids = encode(tokenizer, text)
            if ids is None:
                continue
            decoded = [tokenizer.decode(ids, skip_special_tokens=skip) for skip in (False, True)]
            texts.append([text, ids, *decoded])
        json.dump({"set": changed, "texts": texts}, sys.stdout, ensure_ascii=True, separators=(",", ":"))
        sys.stdout.write("\n")


main()
