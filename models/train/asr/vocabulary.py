"""The words that the recogniser knows: those of its texts, and likely ones that no text of ours has.

    vocabulary.py --work DIR

Reads DIR/texts/{train,prose}.txt, writes DIR/texts/vocabulary.txt, one word a line. The words of dev
and test are not looked at: those that are missing count as errors, as they would anywhere.
"""
import argparse
import re
from collections import Counter
from pathlib import Path

WORDNET = Path("/usr/share/wordnet")
CMU = Path("/usr/share/festival/dicts/cmu/cmudict-0.4.out")
LIMIT = 65500  # lm.bin writes words as 16 bits
ENDINGS = [("s", ""), ("es", ""), ("ies", "y"), ("ed", ""), ("ed", "e"), ("ied", "y"), ("ing", ""), ("ing", "e"), ("ly", ""),
           ("ly", "le"), ("ily", "y"), ("ally", ""), ("er", ""), ("er", "e"), ("ers", ""), ("ness", "")]
BEGINNINGS = ("un", "re", "non", "in", "over", "mis", "dis")


def dictionary():
    """The words that festlex-cmu lists."""
    return set(re.findall(r'^\("([^"]+)"', CMU.read_text(errors="ignore"), re.M))


def lemmas():
    """WordNet's single words: word -> its parts of speech."""
    found = {}
    for part in ("noun", "verb", "adj", "adv"):
        for line in (WORDNET / f"index.{part}").open(encoding="latin1"):
            word = line.split(" ", 1)[0]
            if re.fullmatch("[a-z]{3,}", word):
                found.setdefault(word, set()).add(part)
    return found


def stems(word):
    """What a word may be a regular form of."""
    for ending, instead in ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            stem = word[:len(word) - len(ending)] + instead
            yield stem
            if instead == "" and len(stem) > 4 and stem[-1] == stem[-2]:
                yield stem[:-1]
    for beginning in BEGINNINGS:
        if word.startswith(beginning) and len(word) - len(beginning) > 3:
            yield word[len(beginning):]


def regular(verb):
    """The regular forms of a verb."""
    if verb.endswith("e"):
        return [verb + "s", verb + "d", verb[:-1] + "ing"]
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return [verb[:-1] + "ies", verb[:-1] + "ied", verb + "ing"]
    return [verb + ("es" if verb.endswith(("s", "x", "z", "ch", "sh")) else "s"), verb + "ed", verb + "ing"]


def likely(read, lemma, listed):
    """Words outside `read` (word -> count), the likelier kinds first."""
    count = lambda word: max((read[stem] for stem in stems(word) if stem in lemma), default=0)
    kinds = [[word for word in lemma if word in listed],
             [word for word in listed if re.fullmatch("[a-z]{4,}", word) and count(word)],
             [form for verb, parts in lemma.items() if "verb" in parts and read[verb] > 1 for form in regular(verb)
              if not verb.endswith(tuple("bdgmnprt")) or form.endswith("s") or len(verb) > 5],  # fits, not fited
             [word for word in lemma if count(word) > 1]]
    for kind in kinds:
        yield from sorted(kind, key=lambda word: (-count(word), word))


def main():
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--work", type=Path, required=True)
    args = parse.parse_args()
    lines = {name: [line.split("\t")[0] for line in (args.work / f"texts/{name}.txt").read_text().splitlines()] for name in ("train", "prose")}
    listed = dictionary()
    # Words read only once and in no dictionary are mostly Latin names of species: not worth a pronunciation.
    read = Counter(word for line in lines["prose"] for word in line.split())
    words = {word for line in lines["train"] for word in line.split()}
    words |= {word for word, count in read.items() if count > 1 or word in listed}
    of_texts = len(words)
    read.update(word for line in lines["train"] for word in line.split())
    for word in likely(read, lemmas(), listed):
        if len(words) == LIMIT:
            break
        words.add(word)
    (args.work / "texts/vocabulary.txt").write_text("".join(word + "\n" for word in sorted(words)))
    print(f"{of_texts} words of texts and {len(words) - of_texts} others")


if __name__ == "__main__":
    main()
