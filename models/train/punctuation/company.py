"""Where the word table starts: words by the company they keep (latent semantic analysis, Deerwester et al. 1990, over the
two words on either side, which tells nouns from verbs rather than subjects), from WordNet's glosses and the training
texts. A word that no punctuated text has then lies near those like it.
"""
import re
from collections import Counter

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import svds

from network import ROWS, WIDTH, features
from overlap import shares
from texts import WORDNET
from words import normalise

NEIGHBOURS, PLACES = 1000, (-2, -1, 1, 2)
OWN, SHARED = 0.35, 0.3  # of a word's place: in each of its own two rows, in each of those of its letters
LENGTH = 0.6


def glosses(held):
    """WordNet's definitions and examples, in small letters."""
    for part in ("noun", "verb", "adj", "adv"):
        for line in (WORDNET / f"data.{part}").open(encoding="latin1"):
            if not line.startswith("  "):
                for piece in re.split(r'[;"()]', line.split("|", 1)[-1]):
                    said = normalise(piece)
                    if said and not shares(said, held):
                        yield said.split()


def vectors(lines):
    """The words of some texts, and the place of each: f32[words, WIDTH], of length LENGTH."""
    lines = list(lines)
    counts = Counter(w for line in lines for w in line)
    column = {w: i for i, (w, _) in enumerate(counts.most_common(NEIGHBOURS))}
    word = {w: i for i, w in enumerate(counts)}
    at, near = [], []
    for line in lines:
        for i, w in enumerate(line):
            for k, place in enumerate(PLACES):
                if 0 <= i + place < len(line) and line[i + place] in column:
                    at.append(word[w])
                    near.append(column[line[i + place]] * len(PLACES) + k)
    seen = csr_matrix((np.ones(len(at), np.float32), (at, near)), shape=(len(word), NEIGHBOURS * len(PLACES)))
    total = seen.sum()
    expected = np.asarray(seen.sum(1)).ravel()[seen.nonzero()[0]] * np.asarray(seen.sum(0)).ravel()[seen.nonzero()[1]] / total
    seen.data = np.maximum(0, np.log(seen.data / expected)).astype(np.float32)  # positive pointwise mutual information
    left, strength, _ = svds(seen, k=WIDTH, random_state=1)
    placed = left * np.sqrt(strength)
    return counts, word, LENGTH * placed / np.maximum(1e-6, np.linalg.norm(placed, axis=1, keepdims=True))


def table(lines):
    """The table's start, f32[ROWS, WIDTH]: a word's own rows hold the place of the commonest that shares them, those of
    its letters the mean of all."""
    counts, word, placed = vectors(lines)
    out, most = np.zeros((ROWS, WIDTH), np.float32), np.zeros(ROWS)
    n = np.zeros(ROWS)
    for w, i in word.items():
        rows = features(w)
        for row in rows[:2]:
            if counts[w] > most[row]:
                most[row], out[row] = counts[w], OWN * placed[i]
    letters = np.zeros_like(out)
    for w, i in word.items():
        for row in features(w)[2:]:
            letters[row] += placed[i]
            n[row] += 1
    out += SHARED * letters / np.maximum(1, n)[:, None]
    out[0] = 0
    return out
