"""Writes the short clips that the Go tests of models/vad, langid and sound listen to, from held-out material.

usage: python fixtures.py CORPUS REPOSITORY [PACKAGE...]
"""
import pathlib
import random
import sys

import numpy as np

import corpus
import music
import sounds
import voices

RATE = 16000


def fit(x, seconds, level=.1):
    x = np.asarray(x, np.float32)[:int(seconds * RATE)]
    x = np.pad(x, (0, int(seconds * RATE) - len(x)))
    return x / (np.sqrt((x ** 2).mean()) + 1e-9) * level


def main(folder, repository, *packages):
    clips, repository = corpus.load(folder, "heldout"), pathlib.Path(repository)
    g, r = np.random.default_rng(7), random.Random(7)
    draw = sounds.Draw(r, g, True)

    def spoken(language, seconds, nth=0):
        found = [x for row, x in clips if row["language"] == language and row["samples"] > seconds * RATE and "klatt" not in row["voice"]]
        return fit(found[nth].astype(np.float32) / 32768, seconds)

    def write(package, name, parts):
        if packages and package not in packages:
            return
        x = np.concatenate(parts) + g.standard_normal(sum(map(len, parts))) * 1e-4
        path = repository / "models" / package / "testdata"
        path.mkdir(parents=True, exist_ok=True)
        (np.clip(x, -1, 1) * 32767).astype("<i2").tofile(path / f"{name}.pcm16")

    tune = music.music(r, 8, True)
    write("vad", "scene", [fit(tune, 4), spoken("en", 4), np.zeros(2 * RATE, np.float32), spoken("sv", 4) + fit(tune[-4 * RATE:], 4, .03)])
    write("sound", "scene", [fit(tune, 4), fit(sum(sounds.applause(draw, 3 * RATE) for _ in range(4)), 3), np.zeros(2 * RATE, np.float32), spoken("fr", 4)])
    for language in ("de", "es", "ja"):
        write("langid", language, [spoken(language, 5.1, n) for n in range(2)])
    write("langid", "music", [fit(music.music(r, 5, True), 5)])


if __name__ == "__main__":
    main(*sys.argv[1:])
