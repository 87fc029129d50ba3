"""Word errors as a recogniser makes them: words dropped, put in, and mistaken for words that sound alike.

The vocabulary is WordNet's single-word lemmas with their counts in tagged text (cntlist.rev of Debian's
wordnet-base) and the words of the texts at hand. Words sound alike when their crude consonant keys agree.
"""
import random
import re
from collections import defaultdict
from itertools import accumulate
from pathlib import Path

WORDNET = Path("/usr/share/wordnet")
FUNCTION = """the a an and or but of to in on at for with from by as is was are were be been it its he she they we you
i me my your his her their our this that these those there here not no so if then than when where who what how why do
does did have has had can could will would should may might just like about into over out up down all some any more
most very one two three""".split()
CODES = [("ph", "f"), ("gh", ""), ("kn", "n"), ("wr", "r"), ("ck", "k"), ("tion", "xn"), ("sh", "x"), ("ch", "x"),
         ("th", "t"), ("qu", "kw"), ("c(?=[eiy])", "s"), ("c", "k"), ("q", "k"), ("x", "ks"), ("z", "s"), ("d", "t"),
         ("b", "p"), ("v", "f"), ("g", "k"), ("j", "x"), ("m", "n")]


def key(word):
    w = word
    for pattern, code in CODES:
        w = re.sub(pattern, code, w)
    first = "a" if w[:1] in "aeiouy" else ""
    w = re.sub("[aeiouyhw]", "", w)
    return first + re.sub(r"(.)\1+", r"\1", w)


class Mishearing:
    def __init__(self, seed, extra=()):
        self.random = random.Random(seed)
        frequent = defaultdict(int)
        for line in (WORDNET / "cntlist.rev").read_text().splitlines():
            sense, _, n = line.split()[:3]
            lemma = sense.partition("%")[0]
            if lemma.isalpha():
                frequent[lemma] += int(n)
        for pos in ("noun", "verb", "adj", "adv"):
            for line in (WORDNET / f"index.{pos}").read_text().splitlines():
                lemma = line.partition(" ")[0]
                if lemma.isalpha():
                    frequent[lemma] += 1
        for w in FUNCTION:
            frequent[w] += 3000
        for w in extra:
            frequent[w] += 1
        self.common = sorted(frequent, key=lambda w: (-frequent[w], w))[:6000]
        self.weights = list(accumulate(frequent[w] for w in self.common))
        self.alike = defaultdict(list)
        for w in sorted(frequent):
            if frequent[w] > 1 or w in FUNCTION:
                self.alike[key(w)].append(w)

    def hear(self, words, rate):
        """The words with about rate of them wrong: 2/3 mistaken, a sixth dropped, a sixth put in."""
        out = []
        for w in words:
            x = self.random.random()
            if x >= rate:
                out.append(w)
                continue
            kind = self.random.random()
            if kind < 1 / 6:
                continue
            if kind < 1 / 3:
                out.append(w)
                out.append(self.random.choices(self.common, cum_weights=self.weights)[0])
                continue
            near = [v for v in self.alike.get(key(w), ()) if v != w]
            if near and self.random.random() < 0.7:
                out.append(self.random.choice(near))
            else:
                out.append(self.random.choices(self.common, cum_weights=self.weights)[0])
        return out
