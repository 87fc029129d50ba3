"""Reports the word 5-grams that training texts share with texts that must stay unseen.

    overlap.py --train texts/train.txt --train texts/prose.txt --held sample/truth --held texts/test.txt

A --held or --train argument is a file, or a folder whose .txt files are all read. Exit code 1 when
anything is shared, so that a build can stand on it.
"""
import argparse
import sys
from pathlib import Path

from words import grams, normalise


def texts(path):
    """The lines of a file, or of every .txt below a folder."""
    path = Path(path)
    files = sorted(path.rglob("*.txt")) if path.is_dir() else [path]
    return [line for file in files for line in file.read_text(errors="ignore").splitlines()]


def held_grams(paths, n=5):
    """The n-grams of the held-out texts, also across the ends of lines, where a sentence may be cut."""
    found = set()
    for path in paths:
        lines = [normalise(line).split() for line in texts(path)]
        found |= grams([word for line in lines for word in line], n)
        for line in lines:
            found |= grams(line, n)
    return found


def shares(sentence, held, n=5):
    """Whether a normalised sentence has an n-gram among held."""
    return not grams(sentence.split(), n).isdisjoint(held)


def main():
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--train", action="append", required=True)
    parse.add_argument("--held", action="append", required=True)
    parse.add_argument("--n", type=int, default=5)
    args = parse.parse_args()
    held = held_grams(args.held, args.n)
    shared = {}
    for path in args.train:
        for line in texts(path):
            for gram in grams(normalise(line).split(), args.n) & held:
                shared.setdefault(" ".join(gram), path)
    for gram, path in sorted(shared.items()):
        print(f"{path}: {gram}")
    print(f"{len(shared)} shared {args.n}-grams of {len(held)} held out", file=sys.stderr)
    sys.exit(1 if shared else 0)


if __name__ == "__main__":
    main()
