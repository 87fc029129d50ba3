"""Punctuated texts as the punctuation model learns them: passages of words, each with the mark after it and its case.

A passage is a list of (word, mark, case): the word in lower case with its inner apostrophes, as a recogniser writes it;
mark an index into MARKS; case an index into CASES, or UNKNOWN where the text does not tell (the first word of a sentence
is capitalised whatever it is). Colons, semicolons and dashes count as commas, exclamation marks as full stops.
"""
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from overlap import held_grams, shares  # noqa: E402
from words import grams  # noqa: E402

MARKS = ["", ",", ".", "?"]
CASES = ["lower", "capitalised", "upper"]
COMMA, STOP, QUESTION = 1, 2, 3
LOWER, CAPITALISED, UPPER, UNKNOWN = 0, 1, 2, -1

FORTUNES = Path("/usr/share/games/fortunes")
WORDNET = Path("/usr/share/wordnet")
# Prose that a person might say: not pictures, programs, definitions without verbs, logs of chats, or foreign languages.
BOOKS = """cookie drugs education ethnic food fortunes goedel humorists kids law literature love medicine men-women
miscellaneous news paradoxum people pets platitudes politics pratchett riddles science songs-poems sports startrek wisdom
work computers definitions""".split()
# A full stop after these ends no sentence.
SHORT = set("mr mrs ms dr st prof rev gen col capt lt sgt sen rep gov jr sr vs etc no vol e.g i.e a.m p.m u.s inc ltd co".split())
PIECES = re.compile(r"[A-Za-z]+(?:['’][A-Za-z]+)*")
ENDS = re.compile(r"[\"')\]*_]*$")


def case_of(word):
    letters = re.sub(r"[^A-Za-z]", "", word)
    if letters.isupper() and (len(letters) > 1 or letters != "A") and word not in ("I", "O"):
        return UPPER if len(letters) > 1 else CAPITALISED
    return CAPITALISED if letters[0].isupper() else LOWER


def read(text):
    """The passage of a text; None where it holds what is not said as it is written (figures, addresses, program text)."""
    if re.search(r"[\d<>@#$%^=+{}|\\~/]|\bi\.e|\be\.g|[^\x00-\u024f‘’“”–—…]", text):
        return None
    tokens = re.sub(r"\.\s*\.\s*\.", "…", re.sub(r"--+|[–—]", " – ", text)).split()
    passage, first = [], True
    for i, token in enumerate(tokens):
        body = ENDS.sub("", token)
        pieces = PIECES.findall(body)
        follows = next((t for t in tokens[i + 1:] if PIECES.search(t)), "")
        opens = not follows or follows.lstrip("\"'(*_[`‘“")[:1].isupper()
        mark = 0
        if body[-1:] in ",;:–":
            mark = COMMA
        elif body[-1:] in "?" and (opens or not pieces):
            mark = QUESTION
        elif body[-1:] in ".!…" and opens and not (body[-1] == "." and (body[:-1].lower() in SHORT or re.fullmatch(r"(?:[A-Z]\.)+", body))):
            mark = STOP
        if not pieces:
            if passage and mark > passage[-1][1]:
                passage[-1] = (passage[-1][0], mark, passage[-1][2])
            continue
        for j, piece in enumerate(pieces):
            case = case_of(piece)
            if first and case == CAPITALISED and piece not in ("I", "I'm", "I've", "I'd", "I'll"):
                case = UNKNOWN
            first = False
            passage.append((piece.lower().replace("’", "'"), mark if j + 1 == len(pieces) else 0, case))
        first = mark >= STOP
    if not passage:
        return None
    if passage[-1][1] < STOP:
        passage[-1] = (passage[-1][0], STOP, passage[-1][2])
    return passage


def words(passage):
    return [w for w, _, _ in passage]


def spell(passage, marks, cases):
    """The passage's words as they are written with these marks and cases."""
    forms = (lambda w: w, lambda w: w[:1].upper() + w[1:], lambda w: w.upper())
    return [forms[c](w) + MARKS[m] for (w, _, _), m, c in zip(passage, marks, cases)]


def plain(passage):
    """As models/train/overlap.py compares texts."""
    return " ".join(words(passage))


def written():
    """prose.txt, written for this model: passages to train with, to choose by, and the fifth for the card's figures. (more.txt
    came later and is all for training.)"""
    parts = {"train": [], "dev": [], "test": []}
    for i, line in enumerate((HERE / "prose.txt").read_text().splitlines()):
        parts["test" if i % 5 == 4 else "dev" if i % 10 == 1 else "train"].append(line)
    return parts


def talk():
    """Passages of the ad finder's training: what hosts and guests say, and advertisements."""
    for name in ("reads.txt", "told.txt", "dev.txt"):
        for line in (HERE.parent / "ads" / name).read_text().splitlines():
            if re.match(r"[AN]: ", line):
                yield line[3:]


def fortunes():
    """The fortunes that are prose, without the lines that name their authors."""
    for book in BOOKS:
        if not (FORTUNES / book).exists():
            continue
        for quote in re.split(r"\n%\n", (FORTUNES / book).read_text(errors="ignore")):
            lines = [line for line in quote.splitlines() if not re.match(r"\s*--|.*\bQ:|.*\bA:", line)]
            text = " ".join(" ".join(lines).split())
            if len(text) > 40 and re.search(r"[.?!][\"')]*$", text) and not text.isupper():
                yield text


# What begins WordNet's examples that are sentences.
SUBJECT = re.compile(r"(he|she|they|we|I|it|you|there|his|her|my|their|our|this|that|these|those|don't|who|what|where|when|why|how|is|are|did|do|can) ", re.I)


def examples():
    """WordNet's examples that are sentences. The first letter tells nothing: most are small."""
    found = set()
    for part in ("noun", "verb", "adj", "adv"):
        for line in (WORDNET / f"data.{part}").open(encoding="latin1"):
            if not line.startswith("  "):
                found.update(e.strip() for e in re.findall(r'"([^"]+)"', line.split("|", 1)[-1]))
    return sorted(e for e in found if SUBJECT.match(e) and len(e.split()) >= 4)


def names():
    """Words that are only written with a capital, and those that are written with and without: Debian's word list."""
    listed = {w for w in Path("/usr/share/dict/american-english").read_text().split() if re.fullmatch("[A-Za-z]{3,}", w)}
    capital = sorted(w for w in listed if w[1:].islower() and w[0].isupper())
    return [w.lower() for w in capital if w.lower() not in listed], [w.lower() for w in capital if w.lower() in listed]


def lowercase():
    """Words that Debian's list has without a capital."""
    return {w for w in Path("/usr/share/dict/american-english").read_text().split() if w.islower()}


def collect():
    """Passages by source, of which none shares five words in a row with a held-out text: to train with; to choose by;
    the test's, all of them; and those rows of five words."""
    parts = {kind: [p for p in map(read, lines) if p] for kind, lines in written().items()}
    root = HERE.parent.parent.parent
    held = held_grams([HERE.parent / "ads" / "test.txt", HERE.parent / "topic" / "test.txt", root / "sample" / "truth"])
    for passage in parts["test"]:
        held |= grams(words(passage))
    apart = lambda passages: [p for p in passages if not shares(plain(p), held)]
    choosing = apart(parts["dev"])
    for passage in choosing:
        held |= grams(words(passage))
    sources = {
        "prose": apart(parts["train"] + list(filter(None, map(read, (HERE / "more.txt").read_text().splitlines())))),
        "talk": apart(filter(None, map(read, talk()))),
        "fortunes": apart(filter(None, map(read, fortunes()))),
        "examples": apart(filter(None, map(read, examples()))),
    }
    return sources, choosing, parts["test"], held


if __name__ == "__main__":
    sources, dev, test, _ = collect()
    for name, passages in {**sources, "dev": dev, "test": test}.items():
        print(f"{name}: {len(passages)} passages, {sum(map(len, passages))} words, {sum(m >= STOP for p in passages for _, m, _ in p)} sentences")
