"""N-gram models and CTC beam search: what KenLM and flashlight-text say.

    pip install numpy kenlm flashlight-text        (versions: requirements.txt)
    python decoding.py          # writes ../../asr/testdata/{order*.arpa.gz, order*.scores.f32.gz, decoded.json.gz}

The models are of made-up words, in two to five orders, with interpolated absolute discounts and pruning, so that they back
off at every length. The posteriors come from SplitMix64, which the Go test draws again: log-probabilities that follow a
sentence, more or less clearly. flashlight keeps
hypotheses of other histories apart where ours are one by the grammar's state, so it needs the wider beam. Its KenLM gives
logarithms to base 10, ours are natural: the weights here are ours.
"""
import gzip
import json
import math
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

import kenlm
import numpy as np
from flashlight.lib.text.decoder import (
    CriterionType, KenLM, LexiconDecoder, LexiconDecoderOptions, LexiconFreeDecoder, LexiconFreeDecoderOptions, SmearingMode, Trie)
from flashlight.lib.text.dictionary import Dictionary

TESTDATA = Path(__file__).resolve().parent / "../../asr/testdata"
LETTERS = ["<pad>", "<s>", "</s>", "<unk>", "|", *"ETAONIHSRDLUMWCFGYPBVK'XJQZ"]
BLANK, BETWEEN = 0, 4
MASK = (1 << 64) - 1


class SplitMix:
    """Steele, Lea, Flood 2014. models/asr's tests have the same."""

    def __init__(self, seed):
        self.state = seed

    def next(self):
        self.state = (self.state + 0x9e3779b97f4a7c15) & MASK
        z = self.state
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9 & MASK
        z = (z ^ z >> 27) * 0x94d049bb133111eb & MASK
        return z ^ z >> 31

    def below(self, n):
        return (self.next() >> 33) % n

    def unit(self):
        return (self.next() >> 40) / (1 << 24)


def words_of(random, n):
    words = set()
    while len(words) < n:
        words.add("".join("etaonihsrdlu"[random.below(12)] for _ in range(1 + random.below(6))))
    return sorted(words)


def corpus(random, words, lines):
    """Sentences from a random walk, so that long n-grams come back."""
    out = []
    for _ in range(lines):
        line, w = [], random.below(len(words))
        for _ in range(1 + random.below(9)):
            line.append(words[w])
            w = (w * 7 + random.below(3) * random.below(len(words)) + 3) % len(words)
        out.append(line)
    return out


def arpa(sentences, words, order, path):
    """Interpolated absolute discounting, every third n-gram that was seen once left out."""
    counts = [Counter() for _ in range(order)]
    for words_ in sentences:
        line = ["<s>", *words_, "</s>"]
        for n in range(order):
            for i in range(len(line) - n):
                counts[n][tuple(line[i:i + n + 1])] += 1
    for n in range(order - 1, 0, -1):
        contexts = {g[:-1] for g in counts[n + 1]} if n + 1 < order else set()
        suffixes = {g[1:] for g in counts[n + 1]} if n + 1 < order else set()
        counts[n] = Counter({g: c for i, (g, c) in enumerate(sorted(counts[n].items()))
                             if c > 1 or i % 3 or g in contexts or g in suffixes})
    total1 = sum(c for g, c in counts[0].items() if g != ("<s>",))
    names = ["<unk>", "<s>", "</s>", *words]
    p = [{(w,): (counts[0][(w,)] + .1) / (total1 + .1 * len(names)) for w in names}]
    p[0][("<s>",)] = 1e-99

    def prob(gram):
        while gram[:-1]:
            if gram in p[len(gram) - 1]:
                return p[len(gram) - 1][gram]
            break
        if len(gram) == 1:
            return p[0][gram]
        return back.get(gram[:-1], 1.0) * prob(gram[1:])

    back = {}
    for n in range(1, order):
        by = defaultdict(list)
        for g, c in counts[n].items():
            by[g[:-1]].append((g, c))
        p.append({})
        for context, list_ in by.items():
            total = sum(c for _, c in list_)
            free = .6 * len(list_) / total
            for g, c in list_:
                p[n][g] = (c - .6) / total + free * prob(g[1:])
            kept = sum(p[n][g] for g, _ in list_)
            below = sum(prob(g[1:]) for g, _ in list_)
            back[context] = max(1 - kept, 1e-4) / max(1 - below, 1e-4)
    with open(path, "w") as out:
        out.write("\\data\\\n" + "".join(f"ngram {n + 1}={len(p[n])}\n" for n in range(order)))
        for n in range(order):
            out.write(f"\n\\{n + 1}-grams:\n")
            for g, v in p[n].items():
                b = f"\t{math.log10(back[g]):.6f}" if g in back else ""
                out.write(f"{math.log10(v):.6f}\t{' '.join(g)}{b}\n")
        out.write("\n\\end\\\n")


def scored(random, model, words, n):
    """Natural log-probabilities of every word of n sentences, and their text."""
    known = [*words, "zz", "unheard"]  # the last two in no model
    sentences, scores = [], []
    for _ in range(n):
        line = [known[random.below(len(known))] for _ in range(1 + random.below(10))]
        sentences.append(" ".join(line))
        scores += [s * math.log(10) for s, _, _ in model.full_scores(sentences[-1])]
    return sentences, np.array(scores, "<f4")


def posteriors(random, tokens, classes, blank):
    """Log-probabilities [steps, classes] that follow tokens, more or less clearly."""
    clear = 1 + 6 * random.unit()
    path = []
    for i, t in enumerate(tokens):
        if i and tokens[i - 1] == t or random.below(2):
            path.append(blank)
        path += [t] * (1 + random.below(2))
    rows = np.empty((len(path), classes))
    for step, t in enumerate(path):
        for c in range(classes):
            rows[step, c] = 3 * random.unit() + (clear if c == t else 0)
    return (rows - np.log(np.exp(rows).sum(1, keepdims=True))).astype(np.float32)


def decode(decoder, rows):
    return decoder.decode(rows.ctypes.data, *rows.shape)


def lexicon_decoder(words, lm, o, add):
    trie = Trie(len(LETTERS), BETWEEN)
    index = {t: i for i, t in enumerate(LETTERS)}
    dictionary = Dictionary()
    for w in [*words, "<unk>"]:
        dictionary.add_entry(w)
    kenlm_ = KenLM(lm, dictionary)
    alone = kenlm.Model(lm)  # what a word's beginning promises, by its unigram as in our search: the same is pruned
    for w in words:
        at = dictionary.get_index(w)
        trie.insert([*(index[c] for c in w.upper()), BETWEEN], at, alone.score(w, bos=False, eos=False))
    trie.smear(SmearingMode.MAX)
    options = LexiconDecoderOptions(
        beam_size=1000 if add else 4000, beam_size_token=len(LETTERS), beam_threshold=100., lm_weight=o["lm"] * math.log(10), word_score=o["word"],
        unk_score=-math.inf, sil_score=o["silence"], log_add=add, criterion_type=CriterionType.CTC)
    decoder = LexiconDecoder(options, trie, kenlm_, BETWEEN, BLANK, dictionary.get_index("<unk>"), [], False)
    return decoder, dictionary, kenlm_


def free_decoder(tokens, lm, o, add):
    dictionary = Dictionary()
    for t in tokens:
        dictionary.add_entry(t)
    kenlm_ = KenLM(lm, dictionary)
    options = LexiconFreeDecoderOptions(
        beam_size=1000 if add else 4000, beam_size_token=len(tokens), beam_threshold=100., lm_weight=o["lm"] * math.log(10), sil_score=0.,
        log_add=add, criterion_type=CriterionType.CTC)
    return LexiconFreeDecoder(options, kenlm_, -1, BLANK, []), dictionary, kenlm_


def main():
    random = SplitMix(2026)
    words = words_of(random, 60)
    scratch = Path(tempfile.mkdtemp())
    for order in (2, 3, 4, 5):
        text = corpus(random, words, 260)
        path = scratch / f"order{order}.arpa"
        arpa(text, words, order, path)
        sentences, scores = scored(random, kenlm.Model(str(path)), words, 1300)
        (TESTDATA / f"order{order}.arpa.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
        facts = "\n".join(sentences).encode() + b"\n"
        (TESTDATA / f"order{order}.scores.gz").write_bytes(gzip.compress(facts + scores.tobytes(), mtime=0))

    cases = []
    for n in range(240):
        seed = 9000 + n
        free, add = n % 3 == 2, n % 4 == 3
        random = SplitMix(seed)
        o = {"lm": .25 + random.unit(), "word": 2 * random.unit() - 1, "silence": random.unit() - .5}
        order = 2 + random.below(4)
        if free:
            tokens = ["<blank>", *words[:20]]
            said = [1 + random.below(20) for _ in range(1 + random.below(8))]
            rows = posteriors(random, said, len(tokens), 0)
            decoder, dictionary, keep = free_decoder(tokens, str(scratch / f"order{order}.arpa"), o, add)
            best = decode(decoder, rows)[0]
            found, before = [], 0
            for t in best.tokens[1:-1]:
                if t != before and t != 0:
                    found.append(tokens[t])
                before = t
        else:
            said = []
            for _ in range(1 + random.below(5)):
                said += [LETTERS.index(c) for c in words[random.below(len(words))].upper()] + [BETWEEN]
            rows = posteriors(random, said, len(LETTERS), BLANK)
            decoder, dictionary, keep = lexicon_decoder(words, str(scratch / f"order{order}.arpa"), o, add)
            best = decode(decoder, rows)[0]
            found = [dictionary.get_entry(w) for w in best.words if w >= 0]
        cases.append({"seed": seed, "free": free, "sum": add, "order": order, "words": found, "score": best.score})
    payload = json.dumps({"words": words, "cases": cases}).encode()
    (TESTDATA / "decoded.json.gz").write_bytes(gzip.compress(payload, mtime=0))
    print(len(cases), "utterances,", sum(len(c["words"]) for c in cases), "words,", sum(not c["words"] for c in cases), "empty")


if __name__ == "__main__":
    main()
