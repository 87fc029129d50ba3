"""Collects the texts that are spoken (training, dev, test) and those that only the word 3-gram reads.

    texts.py --work DIR [--exclude FOLDER]...

Sources: WordNet's example sentences and glosses, the fortunes collection, and sentences made from
the templates of spoken.py. Writes DIR/texts/{train,dev,test,prose}.txt, one `written<TAB>spoken`
line each (prose: written alone). No line of train or prose shares five words in a row with a line
of dev or test, or with a text in an excluded folder.
"""
import argparse
import random
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from overlap import held_grams, shares  # noqa: E402
from spoken import sentences as spoken_sentences  # noqa: E402
from words import grams, normalise  # noqa: E402

WORDNET = Path("/usr/share/wordnet")
FORTUNES = Path("/usr/share/games/fortunes")
# Left out: pictures and program text, and the collections meant to offend.
NOT_PROSE = {"art", "ascii-art", "linuxcookie", "perl", "zippy", "tao", "knghtbrd", "debian"}
SPEAKABLE = re.compile(r"[A-Za-z' ,.;:!?-]+")
DEV, TEST = 200, 300


def glossaries():
    """Each WordNet gloss: the definition followed by its quoted examples."""
    for part in ("noun", "verb", "adj", "adv"):
        for line in (WORDNET / f"data.{part}").open(encoding="latin1"):
            if not line.startswith("  "):
                yield line.split("|", 1)[-1]


def examples():
    """Example sentences of WordNet as (written, spoken) pairs, 3 to 14 words."""
    for gloss in glossaries():
        for quoted in re.findall(r'"([^"]+)"', gloss):
            spoken = quoted.strip().replace("`", "'").replace("-", " ")
            if SPEAKABLE.fullmatch(spoken):
                written = normalise(spoken)
                if 3 <= len(written.split()) <= 14 and len(written) >= 12:
                    yield written, " ".join(spoken.split())


def definitions():
    for gloss in glossaries():
        for piece in re.split(r"[;:]|--", re.sub(r'"[^"]*"', "", gloss)):
            if not re.search(r"\d", piece) and len(normalise(piece).split()) >= 3:
                yield normalise(piece), " ".join(piece.replace("`", "'").split())


def fortunes():
    """Sentences of the fortunes, without the lines that name an author."""
    for file in sorted(FORTUNES.iterdir()):
        if not file.is_file() or file.suffix or file.name in NOT_PROSE:
            continue
        for quote in file.read_text(errors="ignore").split("\n%"):
            lines = [line for line in quote.splitlines() if not line.strip().startswith("--")]
            for sentence in re.split(r"(?<=[.;:!?])\s+", " ".join(lines)):
                if not re.search(r"\d", sentence) and len(normalise(sentence).split()) >= 3:
                    yield normalise(sentence), " ".join(sentence.replace("`", "'").split())


def unique(pairs):
    kept = {}
    for written, spoken in pairs:
        kept.setdefault(written, spoken)
    return kept


def main():
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--work", type=Path, required=True)
    parse.add_argument("--exclude", action="append", default=[])
    args = parse.parse_args()
    out = args.work / "texts"
    out.mkdir(parents=True, exist_ok=True)
    choose = random.Random(0)

    quoted = list(unique(sorted(examples())).items())
    choose.shuffle(quoted)
    long_enough = [pair for pair in quoted if len(pair[0].split()) >= 4]
    test, dev = long_enough[:TEST], long_enough[TEST:TEST + DEV]
    held = held_grams(args.exclude)
    for written, _ in test + dev:
        held |= grams(written.split())
    # Sentences of four words have no 5-gram: they are held out by being equal.
    unseen = {written for written, _ in test + dev}
    free = lambda written: written not in unseen and not shares(written, held)

    prose = unique(pair for source in (definitions(), fortunes()) for pair in source)
    talk = unique((normalise(line), line) for line in spoken_sentences(choose, 30000))
    speakable = [(w, s) for w, s in prose.items() if 5 <= len(w.split()) <= 22 and SPEAKABLE.fullmatch(s)]
    choose.shuffle(speakable)
    talked = list(talk.items())
    choose.shuffle(talked)
    train = [pair for pair in quoted + speakable[:12000] + talked[:5000] if free(pair[0])]
    choose.shuffle(train)
    spoken_aloud = {written for written, _ in train}
    rest = [w for w in {**prose, **talk} if free(w) and w not in spoken_aloud]

    for name, pairs in (("train", train), ("dev", dev), ("test", test)):
        (out / f"{name}.txt").write_text("".join(f"{w}\t{s}\n" for w, s in pairs))
    (out / "prose.txt").write_text("".join(w + "\n" for w in rest))
    words = sum(len(w.split()) for w, _ in train)
    print(f"train {len(train)} sentences {words} words, dev {len(dev)}, test {len(test)}; "
          f"prose {len(rest)} sentences {sum(len(w.split()) for w in rest)} words")


if __name__ == "__main__":
    main()
