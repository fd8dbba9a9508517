#!/usr/bin/env python3
"""Speed of p4c's tokenizer against tiktoken (PyPI), one thread each, over the same generated text.

    python3 -m venv V && V/bin/pip install tiktoken
    cmake --build BUILD --target tokenizer_speed golden_tokenizers       (a Release build)
    V/bin/python bench/bench_tokenizer.py --build BUILD --ranks FOLDER_WITH_*.tiktoken [--mb 100] [--rounds 3]

The text (fixed seed) is cut into pieces of about a megabyte; for each piece the two take turns, and CPU time is
counted, so that other load on the machine hits both alike or not at all.  Both must give the same ids.  Printed:
MB/s of each, and the ratio p4c / tiktoken as min, median, max over the pieces of all rounds.
"""
import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time

import tiktoken
from tiktoken.load import load_tiktoken_bpe

CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
WORD = r"[^\r\n\p{L}\p{N}]?"
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
# as in tiktoken_ext/openai_public.py
PATTERNS = {
    "cl100k": r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
    "o200k": f"{WORD}{UPPER}*{LOWER}+{CONTRACTIONS}?|{WORD}{UPPER}+{LOWER}*{CONTRACTIONS}?|"
    r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
}
TOKENIZERS = {"cl100k": "tokenizer-phi4", "o200k": "tokenizer-phi4-mini"}


class Text:
    """Mixed text: about half prose, then code, numbers, CJK, emoji, white space."""

    SYLLABLES = "ba ko ri ten mu la so vi ner ust qua or".split()

    def __init__(self, words, seed):
        self.rng = random.Random(seed)
        self.words = words
        self.weights, total = [], 0.0
        for rank in range(len(words)):  # Zipf
            total += 1 / (rank + 10)
            self.weights.append(total)

    def draw(self, n):
        rng = self.rng
        drawn = rng.choices(self.words, cum_weights=self.weights, k=n)
        return ["".join(rng.choices(self.SYLLABLES, k=rng.randint(2, 5))) if rng.random() < 0.05 else w for w in drawn]

    def prose(self):
        rng, sentences = self.rng, []
        for _ in range(rng.randint(3, 8)):
            words = self.draw(rng.randint(5, 18))
            words = [w + rng.choice(["'s", "n't", "'ll", ",", ";"]) if rng.random() < 0.05 else w for w in words]
            sentences.append(" ".join(words).capitalize() + rng.choice("...!?:"))
        return " ".join(sentences) + "\n\n"

    def code(self):
        rng, lines = self.rng, []
        for _ in range(rng.randint(4, 14)):
            a, b, c = self.draw(3)
            line = rng.choice(
                [
                    f"if ({a}_{b} != {c}) {{",
                    f"for (int i = 0; i < n_{a}; i++) {b}[i] += {c}(i, {rng.randint(0, 999)});",
                    f"return {a}.{b}({c});",
                    f"# {a} {b} {c}",
                    f"def {a}{b.capitalize()}(self, {c}=None):",
                    f"\t{a} = {b!r}",
                ]
            )
            lines.append(" " * 4 * rng.randint(0, 4) + line)
        return "\n".join(lines) + "\n"

    def numbers(self):
        rng = self.rng
        some = " ".join(str(rng.randint(0, 10 ** rng.randint(1, 12))) for _ in range(rng.randint(3, 20)))
        return f"{some} {rng.random():.6f}, 20{rng.randint(10, 30)}-0{rng.randint(1, 9)}-{rng.randint(10, 28)}\r\n"

    def cjk(self):
        rng = self.rng
        pick = lambda: chr(rng.randint(0x4E00, 0x5FFF) if rng.random() < 0.8 else rng.randint(0x3041, 0x3096))
        return "".join(pick() for _ in range(rng.randint(10, 60))) + "\u3002"

    def emoji(self):
        return "".join(chr(self.rng.randint(0x1F600, 0x1F64F)) for _ in range(self.rng.randint(1, 6))) + " "

    def space(self):
        return self.rng.choice(["   ", " \t ", "\n\n\n", " " * self.rng.randint(2, 40), "\r\n\r\n"])

    def piece(self, n_bytes):
        kinds = [self.prose, self.code, self.numbers, self.cjk, self.emoji, self.space]
        parts, n = [], 0
        while n < n_bytes:
            part = self.rng.choices(kinds, [50, 22, 8, 10, 5, 5])[0]()
            parts.append(part)
            n += len(part.encode())
        return "".join(parts)


def words_of(ranks):
    """Lower-case words among the tokens, the common ones first."""
    tokens = (t.decode("utf-8", "ignore").strip() for t, _ in sorted(ranks.items(), key=lambda item: item[1]))
    return [w for w in tokens if w.isascii() and w.isalpha() and w.islower()][:20000]


def fnv(ids):
    h = 0xCBF29CE484222325
    for i in ids:
        h = (h ^ i) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{h:x}"


def spread(values):
    return f"min {min(values):.2f}  median {statistics.median(values):.2f}  max {max(values):.2f}"


def compare(name, args):
    ranks = load_tiktoken_bpe(os.path.join(args.ranks, f"{name}_base.tiktoken"))
    theirs = tiktoken.Encoding(name, pat_str=PATTERNS[name], mergeable_ranks=ranks, special_tokens={})
    text = Text(words_of(ranks), seed=20240817)
    folder = os.path.join(args.build, "tests", "golden-tokenizers", TOKENIZERS[name])
    speed = os.path.join(args.build, "tests", "tokenizer_speed")
    ours = subprocess.Popen([speed, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    ratios, our_mb_s, their_mb_s, n_total = [], [], [], 0
    with tempfile.TemporaryDirectory() as temp:
        path = os.path.join(temp, "piece.txt")
        for _ in range(args.mb):
            piece = text.piece(1_000_000)
            data = piece.encode()
            n_total += len(data)
            with open(path, "wb") as f:
                f.write(data)
            for round_no in range(args.rounds):
                start = time.process_time()
                ids = theirs.encode_ordinary(piece)
                their_s = time.process_time() - start
                print(path, file=ours.stdin, flush=True)
                our_s, n_ids, our_hash = ours.stdout.readline().split()
                if int(n_ids) != len(ids) or (round_no == 0 and fnv(ids) != our_hash):
                    sys.exit(f"{name}: the ids differ")
                ratios.append(their_s / float(our_s))
                our_mb_s.append(len(data) / 1e6 / float(our_s))
                their_mb_s.append(len(data) / 1e6 / their_s)
    ours.stdin.close()
    ours.wait()
    print(f"{name}: {n_total / 1e6:.0f} MB, {args.rounds} rounds, same ids")
    print(f"  p4c      MB/s  {spread(our_mb_s)}")
    print(f"  tiktoken MB/s  {spread(their_mb_s)}")
    print(f"  ratio          {spread(ratios)}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", required=True)
    parser.add_argument("--ranks", required=True)
    parser.add_argument("--mb", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    for name in PATTERNS:
        compare(name, args)


main()
