"""Cuts a corpus' clips into windows of five seconds with rooms, noise, music and band limits baked in.

usage: python windows.py CORPUS OUT [--splits engine,heldout,train] [--passes 2] [--beds CORPUS]

Writes OUT/{engine,heldout,train}.npz: logmel f16 [windows, 500, 64], label u8 (index into LABELS; the last, "und", is
music, noise, or a language that the model does not name), code (the language, "" for none), source u8 (what it was: see SOURCES), snr f32 (dB of speech over what was added).
"""
import argparse
import hashlib
import pathlib
import random
import sys
import time

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "common"))
import corpus
import logmel
import room
import sounds
import voices

FRAMES = 500
SAMPLES = (FRAMES - 1) * logmel.HOP + logmel.WINDOW
LABELS = [*voices.LANGUAGES, "und"]
SOURCES = ["named", "other language in training", "other language held out", "music", "noise"]


def window(r, x):
    x = x.astype(np.float32) / 32768
    if len(x) < SAMPLES:
        x = np.tile(np.concatenate([x, np.zeros(1600, np.float32)]), SAMPLES // len(x) + 1)
    start = r.randrange(0, len(x) - SAMPLES + 1)
    return x[start:start + SAMPLES]


def soil(x, r, g, draw, music):
    """-> samples, SNR in dB."""
    if r.random() < .3:
        x = room.reverb(x, r, g)
    level, snr = room.rms(x), 60.0
    if r.random() < .55:
        k = r.random()
        added = window(r, r.choice(music)) if k < .35 else sounds.noise(draw, SAMPLES)
        snr = r.uniform(3, 35)
        x = x + added / room.rms(added) * level * 10 ** (-snr / 20)
    x = room.colour(x, r)
    x = x / (np.abs(x).max() + 1e-6) * 10 ** (-r.uniform(1, 24) / 20)
    return x + g.standard_normal(SAMPLES) * 10 ** (-r.uniform(60, 95) / 20), snr


def main():
    p = argparse.ArgumentParser()
    p.add_argument("corpus", type=pathlib.Path)
    p.add_argument("out", type=pathlib.Path)
    p.add_argument("--passes", type=int, default=2, help="windows cut from each training clip")
    p.add_argument("--splits", default="engine,heldout,train")
    p.add_argument("--beds", type=pathlib.Path, help="the corpus whose music is laid under speech, if not this one")
    a = p.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)
    for split in a.splits.split(","):
        held_out, started = split != "train", time.time()
        r, g = random.Random(f"{a.corpus.name} {split}"), np.random.default_rng(31 + held_out + hash_of(a.corpus.name))
        draw, clips = sounds.Draw(r, g, held_out), corpus.load(a.corpus, split)
        music = [x for row, x in (corpus.load(a.beds, "heldout" if held_out else "train") if a.beds else clips) if row["kind"] == "music"]
        own = [row for row, _ in clips if row["kind"] == "music"]
        features, label, code, source, snrs = [], [], [], [], []

        def keep(x, k, s, language=""):
            x, snr = soil(x, r, g, draw, music)
            features.append(logmel.logmel(np.round(np.clip(x, -1, 1) * 32767) / 32768).astype(np.float16))
            label.append(k)
            code.append(language)
            source.append(s)
            snrs.append(snr)

        for _ in range(1 if held_out else a.passes):
            for row, x in clips:
                language = row["language"]
                if row["kind"] == "music":
                    keep(window(r, x), len(LABELS) - 1, 3)
                elif language in voices.LANGUAGES:
                    keep(window(r, x), LABELS.index(language), 0, language)
                else:
                    keep(window(r, x), len(LABELS) - 1, 2 if language in voices.OTHERS_HELD_OUT else 1, language)
            for _ in range(len(own) // 2):
                name = r.choice([k for k in sounds.GENERATORS if k != "Laughter"])
                keep(sounds.GENERATORS[name](draw, SAMPLES), len(LABELS) - 1, 4)
        np.savez(a.out / f"{split}.npz", logmel=np.stack(features), label=np.array(label, np.uint8), code=np.array(code),
                 source=np.array(source, np.uint8), snr=np.array(snrs, np.float32))
        print(split, len(features), "windows", f"{time.time() - started:.0f} s", flush=True)


def hash_of(text):
    return int.from_bytes(hashlib.md5(text.encode()).digest()[:4], "little")


if __name__ == "__main__":
    main()
