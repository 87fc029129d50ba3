"""Speaks and plays the raw material once: clips of speech in all languages, and music.

usage: python corpus.py DIRECTORY [--scale 1.0] [--seed 17] [--splits train,heldout,engine] [--enough 0] [--music 1.0]

Writes DIRECTORY/{train,heldout,engine}.{pcm16,json}: clips one after another as 16-bit PCM at 16 kHz, and for each its
kind, language, voice and length. "engine" is held-out texts by a synthesiser that no training hears. --enough asks for
texts of so many characters (70 is 5 s of speech or more). About 6 minutes on one core.
"""
import argparse
import json
import pathlib
import random
import time

import numpy as np

import music
import voices


def speech(r, split, scale, enough):
    held_out = split != "train"
    texts = voices.Texts(held_out)
    if split == "engine":
        for voice, (language, encoding) in voices.FESTIVAL_ABROAD.items():
            for result in voices.festival(voice, [texts.draw(r, language, enough) for _ in range(int(40 * scale))], encoding):
                if result is not None:
                    yield language, "festival:" + voice, voices.to_tape(*result)
        return
    per, others = (50, 14) if held_out else (270, 50)
    jobs = [(c, int(scale * per * (2 if c == "en" else 1))) for c in voices.LANGUAGES]
    jobs += [(c, int(scale * others)) for c in voices.OTHERS] + ([(c, int(scale * 45)) for c in voices.OTHERS_HELD_OUT] if held_out else [])
    jobs = [language for language, count in jobs for _ in range(max(2, count))]
    r.shuffle(jobs)
    for language in jobs:
        name, x = voices.clip(r, texts, language, held_out, enough)
        yield language, name, x
    for voice in voices.FESTIVAL_HELD_OUT if held_out else voices.FESTIVAL_TRAIN:
        for result in voices.festival(voice, [texts.draw(r, "en", enough) for _ in range(int((15 if held_out else 50) * scale))]):
            if result is not None:
                yield "en", "festival:" + voice, voices.to_tape(*result, r.uniform(.9, 1.12))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("folder", type=pathlib.Path)
    p.add_argument("--scale", type=float, default=1.0)
    p.add_argument("--seed", type=int, default=17)
    p.add_argument("--splits", default="engine,heldout,train")
    p.add_argument("--enough", type=int, default=0)
    p.add_argument("--music", type=float, default=1.0, help="how much of the usual music")
    a = p.parse_args()
    a.folder.mkdir(parents=True, exist_ok=True)
    for split in a.splits.split(","):
        r, start, clips, rows = random.Random(f"{a.seed} {split}"), time.time(), [], []

        def keep(kind, language, voice, x):
            clips.append((np.clip(x, -1, 1) * 32767).astype("<i2"))
            rows.append({"kind": kind, "language": language, "voice": voice, "samples": len(x)})

        for language, voice, x in speech(r, split, a.scale, a.enough):
            if len(x) > voices.RATE:
                keep("speech", language, voice, x[:voices.RATE * 15])
        for _ in range(int({"heldout": 40, "train": 150}.get(split, 0) * a.scale * a.music)):
            keep("music", None, None, music.music(r, 20, split == "heldout"))
        np.concatenate(clips).tofile(a.folder / f"{split}.pcm16")
        (a.folder / f"{split}.json").write_text(json.dumps(rows))
        hours = {k: sum(x["samples"] for x in rows if x["kind"] == k) / voices.RATE / 3600 for k in ("speech", "music")}
        print(split, len(rows), {k: round(v, 2) for k, v in hours.items()}, "hours", f"{time.time() - start:.0f} s", flush=True)


def load(folder, split):
    """[(row, samples as int16)]"""
    rows = json.loads((pathlib.Path(folder) / f"{split}.json").read_text())
    pcm, out, start = np.memmap(pathlib.Path(folder) / f"{split}.pcm16", "<i2", "r"), [], 0
    for row in rows:
        out.append((row, pcm[start:start + row["samples"]]))
        start += row["samples"]
    return out


if __name__ == "__main__":
    main()
