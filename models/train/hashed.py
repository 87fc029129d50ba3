"""The text front end of the topic and ad models: normalise, stem, hash. models/words is the same in Go, bit for bit.

normalise: runes are taken one by one. A-Z become small; U+00C0 to U+024F become the ASCII letters of
models/words/fold.txt; apostrophes (' U+2019 U+02BC) and combining marks (U+0300 to U+036F) vanish;
a-z and runes from U+0370 on, except U+2000 to U+2BFF, U+3000 to U+303F, U+D800 to U+F8FF, U+FE00 to
U+FF0F and U+FFF0 to U+FFFF, stay as they are. Everything else, digits too, parts two words. A word
has at most 32 runes; what follows is cut.

stem (Harman's S stemmer, "How effective is suffixing?", 1991), for words of more than three runes,
the first rule whose ending fits: -ies, not -eies or -aies, becomes -y; -es, not -aes, -ees or -oes,
becomes -e; -s, not -us or -ss, falls away.

features: each stem w; each prefix of five runes of a stem of six runes or more, as p + "*"; each pair
of neighbouring stems, as v + " " + w. A feature's row is FNV-1a (32 bits) of its UTF-8, folded:
(h ^ h >> 15) mod rows; row 0 is padding, so what falls there is moved to 1. A row's weight is
log2(1 + n) for n occurrences, divided by the root of the sum of squares of all weights.
"""
import math
from pathlib import Path

FOLD_FILE = Path(__file__).parent.parent / "words" / "fold.txt"


def read_folds():
    folds = {}
    for line in FOLD_FILE.read_text(encoding="utf-8").splitlines():
        rune, _, letters = line.partition(" ")
        folds[rune] = letters
    return folds


FOLDS = read_folds() if FOLD_FILE.exists() else {}


def kept(rune):
    c = ord(rune)
    if c < 0x370:
        return False
    return not (0x2000 <= c <= 0x2BFF or 0x3000 <= c <= 0x303F or 0xD800 <= c <= 0xF8FF
                or 0xFE00 <= c <= 0xFF0F or 0xFFF0 <= c <= 0xFFFF)


def words(text):
    found, word = [], []
    for rune in text + " ":
        if "a" <= rune <= "z":
            word.append(rune)
        elif "A" <= rune <= "Z":
            word.append(chr(ord(rune) + 32))
        elif rune in "'\u2019\u02bc" or "\u0300" <= rune <= "\u036f":
            continue
        elif rune in FOLDS:
            word.extend(FOLDS[rune])
        elif kept(rune):
            word.append(rune)
        elif word:
            found.append("".join(word[:32]))
            word = []
    return found


def stem(w):
    if len(w) <= 3:
        return w
    if w.endswith("ies"):
        if w[-4] not in "ea":
            return w[:-3] + "y"
    if w.endswith("es"):
        if w[-3] not in "aeo":
            return w[:-1]
    if w.endswith("s") and w[-2] not in "us":
        return w[:-1]
    return w


def row(feature, rows):
    h = 2166136261
    for b in feature.encode("utf-8"):
        h = ((h ^ b) * 16777619) & 0xFFFFFFFF
    return max(1, (h ^ (h >> 15)) % rows)


def features(tokens):
    """The feature strings of stemmed tokens, in order, with repeats."""
    found = []
    last = None
    for w in tokens:
        found.append(w)
        if len(w) >= 6:
            found.append(w[:5] + "*")
        if last is not None:
            found.append(last + " " + w)
        last = w
    return found


ROWS = {}


def counts(tokens, rows):
    """Occurrences by row of some stemmed tokens."""
    n = {}
    for f in features(tokens):
        r = ROWS.get((f, rows))
        if r is None:
            r = ROWS[f, rows] = row(f, rows)
        n[r] = n.get(r, 0) + 1
    return n


def weigh(n):
    """Rows in ascending order with their weights, of unit length."""
    w = {r: math.log2(1 + k) for r, k in n.items()}
    norm = math.sqrt(sum(v * v for v in w.values())) or 1.0
    return [(r, w[r] / norm) for r in sorted(w)]


def tokens(text):
    return [stem(w) for w in words(text)]
