"""The word 3-gram: interpolated modified Kneser-Ney (Chen & Goodman 1999), pruned, and its compact file.

    ngram.py --work DIR --out FOLDER [--exclude FOLDER]...     writes FOLDER/lm.bin, FOLDER/lexicon.bin, DIR/lm.arpa
    ngram.py --fixture FOLDER                                  writes the small model that the Go tests read

lm.bin, little endian: "EARLM\\0\\0\\1"; u32 vocabulary check, words V, bigrams B, trigrams T; f32[256] each of
bigram log-probabilities, bigram back-offs, trigram log-probabilities; f32[V] unigram log-probabilities, f32[V]
back-offs, u32[V] how many bigrams follow; u16[B] words, u8[B] probabilities, u8[B] back-offs, u16[B] how many
trigrams follow; u16[T] words, u8[T] probabilities; u32 CRC-32 of all before. Logarithms are natural. Words 0, 1,
2 are <s>, </s>, <unk>; word i + 3 is the lexicon's word i. Successors of one context are sorted by word.

lexicon.bin: "EARLX\\0\\0\\1"; u32 vocabulary check, words, bytes of text; the words, sorted, each ended by \\n; for
each word u8 pronunciations, each u8 length and that many u8 phone indices (1 to 40); u32 CRC-32.
The vocabulary check is the CRC-32 of the words' text: the two files belong together when it is equal.
"""
import argparse
import json
import math
import struct
import sys
import zlib
from collections import Counter
from pathlib import Path

import numpy as np

START, END, UNKNOWN = 0, 1, 2
FIRST_WORD = 3


def discounts(counts):
    """Modified Kneser-Ney's three discounts from the counts of counts."""
    n = Counter(min(c, 4) for c in counts)
    n1, n2, n3, n4 = (max(n[i], 1) for i in (1, 2, 3, 4))
    y = n1 / (n1 + 2 * n2)
    return [0, max(.1, 1 - 2 * y * n2 / n1), max(.2, 2 - 3 * y * n3 / n2), max(.3, 3 - 4 * y * n4 / n3)]


class Kneser:
    """Probabilities and back-offs by n-gram, words as numbers; natural logarithms."""

    def __init__(self, sentences, size):
        counts = [Counter(), Counter(), Counter()]
        for words in sentences:
            line = [START, *words, END]
            for n in (2, 3):
                for i in range(len(line) - n + 1):
                    counts[n - 1][tuple(line[i:i + n])] += 1
        self.trigrams = counts[2]
        # Lower orders count in how many contexts a word occurs, not how often (save after <s>, which has none).
        bigrams = Counter(gram[1:] for gram in counts[2])
        for gram, count in counts[1].items():
            if gram[0] == START:
                bigrams[gram] = count
        unigrams = Counter(gram[1] for gram in counts[1])
        self.bigram_counts = bigrams

        total, d = sum(unigrams.values()), discounts(unigrams.values())
        left = sum(d[min(c, 3)] for c in unigrams.values()) / total
        floor = left / (size - 1)  # every word but <s> shares what the discounts set free
        self.p1 = {w: (max(0, unigrams[w] - d[min(unigrams[w], 3)]) / total) + floor for w in range(size) if w != START}
        self.p2 = self.interpolated(bigrams, lambda gram: self.p1[gram[1]])
        self.p3 = self.interpolated(counts[2], lambda gram: self.p2[gram[1:]] if gram[1:] in self.p2 else self.p1[gram[2]])

    @staticmethod
    def interpolated(counts, lower):
        total, free, d = Counter(), Counter(), discounts(counts.values())
        for gram, count in counts.items():
            total[gram[:-1]] += count
            free[gram[:-1]] += d[min(count, 3)]
        return {gram: (count - d[min(count, 3)] + free[gram[:-1]] * lower(gram)) / total[gram[:-1]]
                for gram, count in counts.items()}

    def prune(self, bigrams, trigrams):
        """Keeps the n-grams whose loss would cost the training text most (Seymore & Rosenfeld 1996)."""
        # How well the lower order does without the n-gram, its back-off weight left out: a cheap stand-in.
        cost3 = {g: c * (math.log(self.p3[g]) - math.log(.5 * self.p2.get(g[1:], self.p1[g[2]]))) for g, c in self.trigrams.items()}
        kept3 = set(sorted(cost3, key=lambda g: (-cost3[g], g))[:trigrams])
        contexts = {g[:2] for g in kept3}
        cost2 = {g: c * (math.log(self.p2[g]) - math.log(.5 * self.p1[g[1]])) + (1e6 if g in contexts else 0)
                 for g, c in self.bigram_counts.items()}
        kept2 = set(sorted(cost2, key=lambda g: (-cost2[g], g))[:bigrams]) | contexts
        self.p3 = {g: p for g, p in self.p3.items() if g in kept3}
        self.p2 = {g: p for g, p in self.p2.items() if g in kept2}

    def backoffs(self):
        """What each context gives to the order below so that all its probabilities sum to one."""
        b1 = self.backoff(self.p2, lambda gram: self.p1[gram[1]])
        below = lambda gram: self.p2.get(gram[1:]) or math.exp(b1.get(gram[1:2], 0)) * self.p1[gram[2]]
        return b1, self.backoff(self.p3, below)

    @staticmethod
    def backoff(grams, below):
        kept, instead = Counter(), Counter()
        for gram, p in grams.items():
            kept[gram[:-1]] += p
            instead[gram[:-1]] += below(gram)
        return {context: math.log(max(1e-6, 1 - kept[context]) / max(1e-6, 1 - instead[context])) for context in kept}


def quantise(values, zero=False):
    """256 levels with equal shares of the values: (f32[256] ascending, u8 codes). zero: one level is exactly 0."""
    values = np.asarray(values, np.float64)
    levels = np.unique(np.quantile(values, (np.arange(255) + .5) / 255)) if len(values) else np.zeros(1)
    if zero:
        levels = np.unique(np.append(levels, 0))
    middles = (levels[1:] + levels[:-1]) / 2
    table = np.full(256, levels[-1], np.float32)
    table[:len(levels)] = levels
    return table, np.searchsorted(middles, values).astype(np.uint8)


def lm_file(model, size, check):
    b1, b2 = model.backoffs()
    grams2, grams3 = sorted(model.p2), sorted(model.p3)
    followers1, followers2 = Counter(g[0] for g in grams2), Counter(g[:2] for g in grams3)
    log2, codes2 = quantise([math.log(model.p2[g]) for g in grams2])
    back2, back_codes = quantise([b2.get(g, 0) for g in grams2], zero=True)
    log3, codes3 = quantise([math.log(model.p3[g]) for g in grams3])
    body = b"EARLM\0\0\1" + struct.pack("<4I", check, size, len(grams2), len(grams3))
    for part in (log2, back2, log3,
                 np.array([math.log(model.p1[w]) if w != START else -99 for w in range(size)], "<f4"),
                 np.array([b1.get((w,), 0) for w in range(size)], "<f4"),
                 np.array([followers1[w] for w in range(size)], "<u4"),
                 np.array([g[1] for g in grams2], "<u2"), codes2, back_codes,
                 np.array([followers2[g] for g in grams2], "<u2"),
                 np.array([g[2] for g in grams3], "<u2"), codes3):
        body += part.tobytes()
    return body + struct.pack("<I", zlib.crc32(body))


def arpa(model, names, path):
    b1, b2 = model.backoffs()
    log10 = lambda p: f"{math.log10(p):.6f}"
    with open(path, "w") as out:
        out.write(f"\\data\\\nngram 1={len(names)}\nngram 2={len(model.p2)}\nngram 3={len(model.p3)}\n\n\\1-grams:\n")
        for w, name in enumerate(names):
            out.write(f"{log10(model.p1[w]) if w != START else -99}\t{name}\t{b1.get((w,), 0) / math.log(10):.6f}\n")
        out.write("\n\\2-grams:\n")
        for gram in sorted(model.p2):
            back = "" if gram[1] == END else f"\t{b2.get(gram, 0) / math.log(10):.6f}"
            out.write(f"{log10(model.p2[gram])}\t{' '.join(names[w] for w in gram)}{back}\n")
        out.write("\n\\3-grams:\n")
        for gram in sorted(model.p3):
            out.write(f"{log10(model.p3[gram])}\t{' '.join(names[w] for w in gram)}\n")
        out.write("\n\\end\\\n")


def lexicon_file(lexicon, index):
    words = sorted(lexicon)
    text = "".join(word + "\n" for word in words).encode()
    check = zlib.crc32(text)
    body = b"EARLX\0\0\1" + struct.pack("<3I", check, len(words), len(text)) + text
    for word in words:
        body += bytes([len(lexicon[word])])
        for phones in lexicon[word]:
            body += bytes([len(phones), *(index[p] for p in phones)])
    return body + struct.pack("<I", zlib.crc32(body)), check


def numbered(sentences, words):
    number = {word: i + FIRST_WORD for i, word in enumerate(words)}
    return [[number.get(word, UNKNOWN) for word in line.split()] for line in sentences]


def fixture(folder):
    """A 3-gram of a few lines, and what kenlm says of sentences under its ARPA file."""
    import kenlm
    lines = ["the cat sat on the mat", "the dog sat on the cat", "a dog saw the cat", "the cat saw a dog on the mat",
             "a cat and a dog", "the mat and the dog and the cat", "on the mat a dog sat", "the dog saw a mat"] * 2
    lines += ["the dog sat", "a cat saw the dog", "on a mat"]
    words = sorted({word for line in lines for word in line.split()})
    model = Kneser(numbered(lines, words), len(words) + FIRST_WORD)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "toy.lm.bin").write_bytes(lm_file(model, len(words) + FIRST_WORD, zlib.crc32("".join(w + "\n" for w in words).encode())))
    arpa(model, ["<s>", "</s>", "<unk>", *words], folder / "toy.arpa")
    scorer = kenlm.Model(str(folder / "toy.arpa"))
    asked = ["the cat sat on the mat", "a mat saw the cat", "dog dog dog", "and on", "the zebra sat on the mat", "mat", "the dog saw a cat and a dog"]
    scores = [{"sentence": s, "log": [p * math.log(10) for p, _, _ in scorer.full_scores(s)]} for s in asked]
    (folder / "toy.scores.json").write_text(json.dumps({"words": words, "scores": scores}, indent=1) + "\n")
    (folder / "toy.arpa").unlink()


def main():
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--work", type=Path)
    parse.add_argument("--out", type=Path)
    parse.add_argument("--exclude", action="append", default=[])
    parse.add_argument("--bigrams", type=int, default=420000)
    parse.add_argument("--trigrams", type=int, default=900000)
    parse.add_argument("--fixture", type=Path)
    args = parse.parse_args()
    if args.fixture:
        return fixture(args.fixture)

    from lexicon import INDEX, build
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from overlap import held_grams, shares
    lexicon = build(args.work)
    held = held_grams([*args.exclude])
    lines = [line.split("\t")[0] for name in ("train", "prose") for line in (args.work / f"texts/{name}.txt").read_text().splitlines()]
    lines = [line for line in lines if not shares(line, held)]
    packed, check = lexicon_file(lexicon, INDEX)
    words = sorted(lexicon)
    size = len(words) + FIRST_WORD
    model = Kneser(numbered(lines, words), size)
    whole = len(model.p2), len(model.p3)
    model.prune(args.bigrams, args.trigrams)
    binary = lm_file(model, size, check)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "lm.bin").write_bytes(binary)
    (args.out / "lexicon.bin").write_bytes(packed)
    arpa(model, ["<s>", "</s>", "<unk>", *words], args.work / "lm.arpa")

    import kenlm
    scorer = kenlm.Model(str(args.work / "lm.arpa"))
    for part in ("dev", "test"):
        asked = [line.split("\t")[0] for line in (args.work / f"texts/{part}.txt").read_text().splitlines()]
        asked_words = [w for line in asked for w in line.split()]
        perplexity = 10 ** (-sum(scorer.score(line) for line in asked) / (len(asked_words) + len(asked)))
        print(f"{part}: perplexity {perplexity:.0f}, not in the lexicon {sum(w not in lexicon for w in asked_words) / len(asked_words):.4f}")
    print(f"{len(lines)} sentences, {sum(len(line.split()) for line in lines)} words; kept {len(model.p2)} of {whole[0]} bigrams, "
          f"{len(model.p3)} of {whole[1]} trigrams; lm.bin {len(binary) / 1e6:.2f} MB, lexicon.bin {len(packed) / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
