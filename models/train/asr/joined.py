"""Joins test (or dev) recordings to files of ten minutes, for `earshot eval`: does a long file cost words that its pieces do not?

    joined.py --work DIR --out FOLDER [--part test] [--minutes 10]

Writes FOLDER/<seen|unseen>.wav, the recordings in their order with pauses of 0.3 to 1.2 s, and .txt,
what is said; prints how many recordings each holds, which is what `wer -first` takes.
"""
import argparse
import json
import random
from pathlib import Path

import numpy as np
import soundfile


def main():
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--work", type=Path, required=True)
    parse.add_argument("--out", type=Path, required=True)
    parse.add_argument("--part", choices=["dev", "test"], default="test")
    parse.add_argument("--minutes", type=float, default=10)
    args = parse.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    sounds, facts = np.load(args.work / "held.npz"), json.loads((args.work / "held.json").read_text())
    for voice in ("seen", "unseen"):
        choose, joined, said = random.Random(11), [np.zeros(8000, np.int16)], []
        for name, written, _ in facts:
            if name.startswith(f"{args.part}-{voice}-") and sum(map(len, joined)) < args.minutes * 60 * 16000:
                joined += [sounds[name], np.zeros(int(choose.uniform(.3, 1.2) * 16000), np.int16)]
                said.append(written)
        samples = np.concatenate(joined)
        soundfile.write(args.out / f"{voice}.wav", samples, 16000)
        (args.out / f"{voice}.txt").write_text("\n".join(said) + "\n")
        print(f"{voice}: {len(said)} recordings, {len(samples) / 16000 / 60:.1f} min")


if __name__ == "__main__":
    main()
