"""How words sound: festlex-cmu's entries with all their variants, festival's letter-to-sound rules for the rest.

A Lexicon is a dict: word -> list of pronunciations, each a tuple of phones; the first is the one that
training labels speech with.
"""
import re
from collections import defaultdict
from pathlib import Path

PHONES = """aa ae ah ao aw ax ay b ch d dh eh er ey f g hh ih iy jh k l m n ng ow oy p r s sh t th uh uw v w y z
zh""".split()
BLANK = 0
INDEX = {phone: i + 1 for i, phone in enumerate(PHONES)}
VOWELS = {"aa", "ae", "ah", "ao", "aw", "ax", "ay", "eh", "er", "ey", "ih", "iy", "ow", "oy", "uh", "uw"}
CMU = Path("/usr/share/festival/dicts/cmu/cmudict-0.4.out")
# The dictionary's first entries for these are the stressed forms; running speech has the others.
WEAK = {"the": [("dh", "ax"), ("dh", "iy"), ("dh", "ah")], "a": [("ax",), ("ey",)],
        "to": [("t", "ax"), ("t", "uw"), ("t", "uh")], "i": [("ay",)]}


def phones_in(entry):
    return tuple(p for p in re.findall(r"[a-z]+", entry) if p in INDEX)


def dictionary():
    found = defaultdict(list)
    for line in CMU.read_text(errors="ignore").splitlines():
        entry = re.match(r'\("([^"]+)" (\S+) (\(.*)\)\s*$', line)
        if entry and (p := phones_in(entry[3])) and p not in found[entry[1]]:
            found[entry[1]].append(p)
    return found


def festival(path):
    """What pronounce.py wrote: word -> pronunciation."""
    found = {}
    for line in path.read_text().splitlines():
        entry = re.match(r'W (\S+) (?:\("[^"]*" (?:\([^()]*\)|\S+) )?(.*)$', line)
        if entry and (p := phones_in(entry[2])):
            found[entry[1]] = p
    return found


def possessive(stem):
    """The regular 's after a pronunciation."""
    if stem[-1] in {"s", "z", "sh", "zh", "ch", "jh"}:
        return stem + ("ax", "z")
    return stem + (("s",) if stem[-1] in {"p", "t", "k", "f", "th"} else ("z",))


def build(work, shortest=1):
    """The lexicon of DIR/texts/vocabulary.txt."""
    listed, spoken, lexicon = dictionary(), festival(work / "festival.txt"), {}
    for word in (work / "texts/vocabulary.txt").read_text().split():
        stem = word[:-2] if word.endswith("'s") else None
        if word in WEAK:
            lexicon[word] = WEAK[word]
        elif word in listed:
            first = [spoken[word]] if word in spoken else []
            lexicon[word] = list(dict.fromkeys(first + listed[word]))
        elif stem and (stems := listed.get(stem) or ([spoken[stem]] if stem in spoken else None)):
            lexicon[word] = [possessive(p) for p in stems]
        elif word in spoken:
            lexicon[word] = [spoken[word]]
    return {word: found for word, found in lexicon.items() if len(found[0]) >= shortest}


def labels(sentence, lexicon):
    """The phone indices of a written sentence, or None when a word has no pronunciation."""
    words, out = sentence.split(), []
    for i, word in enumerate(words):
        if word not in lexicon:
            return None
        phones = lexicon[word][0]
        following = lexicon.get(words[i + 1]) if i + 1 < len(words) else None
        if word in ("the", "to") and following and following[0][0] in VOWELS:
            phones = ("dh", "iy") if word == "the" else ("t", "uw")
        out += [INDEX[p] for p in phones]
    return out
