"""What the ad finder learns from and is measured on: passages, patterns and talk, put together to episodes.

Episodes are put together from passages (reads.txt, told.txt), or from talk (WordNet's examples and glosses, fortunes, the topic
model's sentences, near misses) with advertisements in between (phrases.py). An episode is a list of sentences, each with whether
it advertises.
"""
import importlib.util
import pathlib
import random
import re
import sys

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
import phrases  # noqa: E402
from overlap import held_grams, shares  # noqa: E402
from words import grams, normalise  # noqa: E402


def talk():
    """Sentences that advertise nothing."""
    found = set()
    for pos in ("noun", "verb", "adj", "adv"):
        for line in open(f"/usr/share/wordnet/data.{pos}", encoding="latin1"):
            if not line.startswith("  "):
                found.update(re.findall(r'"([^"]+)"', line.split("|", 1)[-1]))
    for book in ("fortunes", "literature", "riddles"):
        found.update(re.split(r"[%.;:!?]\s", open(f"/usr/share/games/fortunes/{book}", errors="ignore").read()))
    for line in (HERE.parent / "topic" / "sentences.txt").read_text().splitlines():
        if not line.startswith(("#", "[")):
            found.add(line)
    out = sorted({normalise(s) for s in found})
    return [s for s in out if 4 <= len(s.split()) <= 25]


def passages(name):
    """Advertisements and talk as they are said, from a file of lines "A: …" and "N: …": the sentences of each."""
    found = {"A": [], "N": []}
    for line in (HERE / name).read_text().splitlines():
        kind, _, said = line.partition(": ")
        if kind in found:
            found[kind].append([s for s in (normalise(s) for s in re.split(r"(?<=[.?!])\s", said)) if s])
    return found["A"], found["N"]


def on_air(count):
    """Sentences as people say them on air, from the recogniser's templates."""
    spec = importlib.util.spec_from_file_location("spoken", HERE.parent / "asr" / "spoken.py")
    spoken = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(spoken)
    return sorted({normalise(s) for s in spoken.sentences(random.Random(5), count)})


def fill(pattern, lists, brand, rng):
    def one(m):
        if m[1] == "brand":
            return brand
        options = lists[m[1]]
        return rng.choice(options.split("|") if "|" in options else options.split())
    return re.sub(r"\{(\w+)\}", one, pattern)


def advert(lists, rng):
    """The sentences of one advertisement."""
    names = lists["brand"]
    if "|" in names:
        brand = rng.choice(names.split("|"))
    else:
        brand = " ".join(rng.sample(names.split(), rng.choice([1, 1, 2])))
    pick = lambda kind, n: rng.sample(lists[kind].splitlines(), min(n, len(lists[kind].splitlines())))
    lines = pick("opener", rng.choice([0, 1, 1])) + pick("pitch", rng.randint(1, 4)) + pick("offer", rng.randint(1, 3))
    lines += pick("closer", rng.choice([0, 1]))
    return [fill(line, lists, brand, rng) for line in lines]


def soup(hear, rng, share):
    """A sentence without grammar: so much of it selling words, the rest the language's own."""
    return " ".join(rng.choice(phrases.SELLING) if rng.random() < share else rng.choice(hear.common[:1500])
                    for _ in range(rng.randint(6, 16)))


def advert_or_soup(lists, hear, rng, soups):
    lines = advert(lists, rng)
    return [soup(hear, rng, rng.uniform(0.3, 0.6)) if rng.random() < soups else line for line in lines]


def mixed(lists, near, frame, sentences, hear, rng, soups):
    """An episode of patterns among sentences of all kinds: each sentence, and whether it advertises."""
    units = []
    for _ in range(rng.randint(1, 3)):
        units += [(rng.choice(near) if rng.random() < 0.25 else rng.choice(sentences), 0) for _ in range(rng.randint(3, 8))]
        if rng.random() < 0.7:
            units += [(s, 1) for s in advert_or_soup(lists, hear, rng, soups)]
        if rng.random() < 0.6:
            units += [(s, 0) for s in rng.sample(frame, rng.randint(1, 3))]
        if rng.random() < soups:
            units.append((soup(hear, rng, rng.uniform(0, 0.12)), 0))
    return units


def told(reads, talks, rng):
    """An episode of whole passages, some of them advertisements."""
    units = []
    for _ in range(rng.randint(2, 4)):
        units += [(s, 0) for s in rng.choice(talks)]
        if rng.random() < 0.6:
            units += [(s, 1) for s in rng.choice(reads)]
    return units


def magazine(reads, talks, rng):
    """An episode as episodes.py makes them: four passages of talk and two advertisements, which may stand anywhere."""
    units = [[(s, 0) for s in talk] for talk in rng.sample(talks, 4)]
    for read in rng.sample(reads, 2):
        units.insert(rng.randrange(len(units) + 1), [(s, 1) for s in read])
    return [u for passage in units for u in passage]


class Material:
    """Texts to train on, none of which shares five words in a row with the sample feed or with a text kept for measuring."""

    def __init__(self):
        sentences = talk()
        random.Random(0).shuffle(sentences)
        self.held, sentences = sentences[:3000], sentences[3000:] + on_air(6000)
        self.dev, self.test = passages("dev.txt"), passages("test.txt")
        stay = held_grams([HERE.parents[2] / "sample" / "truth"])
        for s in self.held + phrases.NEAR_HELD + [s for kinds in (self.dev, self.test) for kind in kinds for passage in kind for s in passage]:
            stay |= grams(s.split())
        keep = lambda lines: [line for line in lines if not shares(normalise(re.sub(r"[{}]", " ", line)), stay)]
        self.talk = keep(sentences)
        self.near, self.frame = keep(phrases.NEAR_TRAIN), keep(phrases.FRAME_TRAIN)
        self.patterns = dict(phrases.TRAIN)
        for kind in ("opener", "pitch", "offer", "closer"):
            self.patterns[kind] = "\n".join(keep(phrases.TRAIN[kind].splitlines()))
        clean = lambda kind: [p for p in map(keep, kind) if p]
        self.reads, self.told = (tuple(map(clean, passages(name))) for name in ("reads.txt", "told.txt"))
