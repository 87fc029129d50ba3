"""Speaks and plays the raw material once: clips of speech in all languages, and music.

usage: python corpus.py DIRECTORY [--scale 1.0] [--seed 17] [--splits train,heldout,engine] [--enough 0] [--foreign 0] [--music 1.0]

Writes DIRECTORY/{train,heldout,engine}.{pcm16,json}: clips one after another as 16-bit PCM at 16 kHz, and for each its
kind, language, voice and length. "engine" is held-out texts by voices of festival that no training hears. --enough asks for
texts of so many characters (70 is 5 s of speech or more). About 6 minutes on one core.
"""
import argparse
import json
import pathlib
import random
import time

import numpy as np

import accents
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


def foreign(r, scale, enough, each):
    """Training texts by espeak-ng, and every one of them by so many voices of other languages."""
    texts, espeak, mouths = voices.Texts(False), accents.Espeak(), [*accents.DIPHONES, *accents.FLITE]
    jobs = [c for c in voices.LANGUAGES for _ in range(int(270 * scale))] + [c for c in voices.OTHERS for _ in range(int(90 * scale))]
    r.shuffle(jobs)
    waiting = {voice: [] for voice in accents.DIPHONES}

    def speak(voice):
        for (language, _), result in zip(waiting[voice], accents.festival(r, voice, [s for _, s in waiting[voice]])):
            if result is not None:
                yield language, "festival:" + voice, voices.to_tape(*result, r.uniform(.88, 1.14))
        waiting[voice].clear()

    for language in jobs:
        name = r.choice(voices.LANGUAGES.get(language, [language])) + "+" + r.choice(voices.VARIANTS_TRAIN)
        spoken = espeak.say(name, texts.draw(r, language, enough), r.randint(125, 200), r.randint(20, 85))
        if spoken is None:
            continue
        yield language, "espeak:" + name, voices.to_tape(*spoken[:2], r.uniform(.88, 1.14))
        for voice in r.sample(mouths, each):
            if voice in accents.FLITE:
                if (result := accents.flite(r, voice, spoken)) is not None:
                    yield language, "flite:" + voice, voices.to_tape(*result, r.uniform(.88, 1.14))
            else:
                waiting[voice].append((language, spoken))
                if len(waiting[voice]) == 24:
                    yield from speak(voice)
    for voice in waiting:
        yield from speak(voice)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("folder", type=pathlib.Path)
    p.add_argument("--scale", type=float, default=1.0)
    p.add_argument("--seed", type=int, default=17)
    p.add_argument("--splits", default="engine,heldout,train")
    p.add_argument("--enough", type=int, default=0)
    p.add_argument("--foreign", type=int, default=0, help="training texts are spoken by so many voices of other languages too (accents.py)")
    p.add_argument("--music", type=float, default=1.0, help="how much of the usual music")
    a = p.parse_args()
    a.folder.mkdir(parents=True, exist_ok=True)
    for split in a.splits.split(","):
        r, start, clips, rows = random.Random(f"{a.seed} {split}"), time.time(), [], []

        def keep(kind, language, voice, x):
            clips.append((np.clip(x, -1, 1) * 32767).astype("<i2"))
            rows.append({"kind": kind, "language": language, "voice": voice, "samples": len(x)})

        spoken = foreign(r, a.scale, a.enough, a.foreign) if a.foreign and split == "train" else speech(r, split, a.scale, a.enough)
        for language, voice, x in spoken:
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
