"""Mixes ten-second scenes with a truth every 40 ms, for speech activity and sound events.

usage: python scenes.py CORPUS OUT [--train 3000] [--heldout 500] [--under 400] [--seed 5]

Writes OUT/{train,heldout,under}.npz: logmel f16 [scenes, 1024, 64], truth u8 [scenes, 256, classes] with 0 absent,
1 present, 2 not to be judged (masked by something louder, or at an edge); classes are CLASSES in order, and the last
column is speech as the activity detector is to find it (short pauses are not speech). The held-out split uses the
corpus' held-out clips and the outer ranges of the sounds' parameters; "under" is made of the same, as issue 4 asks:
one or two sounds 0 to 20 dB below speech, and a fifth of the scenes without speech; half of the training scenes are
such too. Training sounds are also played faster or slower, by up to a third.
"""
import argparse
import pathlib
import random
import time

import numpy as np
import soxr

import corpus
import logmel
import room
import sounds

CLASSES = ["Speech", "Music", "Silence", *sounds.GENERATORS]
FRAMES, STEP = 1024, 640
SAMPLES = (FRAMES - 1) * logmel.HOP + logmel.WINDOW
STEPS = FRAMES // 4
MASKED_DB, SILENCE_DB, HISS_DB = -22, -62, -50


def envelope(x):
    """Level of each 40 ms in dB below full scale."""
    x = np.pad(x, (0, max(0, STEPS * STEP - len(x))))[:STEPS * STEP].reshape(STEPS, STEP)
    return 10 * np.log10(np.mean(np.square(x, dtype=np.float64), 1) + 1e-12)


def close_gaps(active, longest):
    out, last = active.copy(), None
    for i, a in enumerate(active):
        if a:
            if last is not None and i - last - 1 <= longest:
                out[last:i] = True
            last = i
    return out


class Mixer:
    def __init__(self, clips, seed, held_out):
        self.r, self.g, self.held_out = random.Random(seed), np.random.default_rng(seed), held_out
        self.draw = sounds.Draw(self.r, self.g, held_out)
        self.speech = [x for row, x in clips if row["kind"] == "speech"]
        self.music = [x for row, x in clips if row["kind"] == "music"]

    def talk(self):
        """Clips one after another with pauses."""
        r, out = self.r, np.zeros(SAMPLES)
        t = r.choice([0, 0, r.uniform(0, 6)]) - r.uniform(0, 2)
        end = SAMPLES / 16000 if r.random() < .7 else r.uniform(2, 10)
        while t < end:
            x = r.choice(self.speech).astype(np.float32) / 32768
            x = x / room.rms(x) * .08 * 10 ** (r.uniform(-5, 5) / 20)
            start = int(t * 16000)
            if start < 0:
                x, start = x[-start:], 0
            sounds.place(out, x, start)
            t = start / 16000 + len(x) / 16000 + r.choice([r.uniform(.05, .5), r.uniform(.2, 1), r.uniform(.5, 3)])
        return out

    def tune(self):
        r = self.r
        x = r.choice(self.music).astype(np.float32) / 32768
        start = r.randrange(0, max(1, len(x) - SAMPLES))
        x = np.pad(x[start:start + SAMPLES], (0, max(0, SAMPLES - len(x) + start)))
        x = x / room.rms(x) * .08
        t = np.arange(SAMPLES) / 16000
        if r.random() < .45:  # an end or a beginning within the scene, often faded
            at, fade = r.uniform(1, 9), r.choice([.02, .5, 2])
            ramp = np.clip((t - at) / fade, 0, 1)
            x = x * (ramp if r.random() < .5 else 1 - ramp)
        return x

    def event(self, name):
        r = self.r
        seconds = r.choice([r.uniform(.6, 2), r.uniform(1.5, 5), r.uniform(4, 10.2)])
        pace = 1.0 if self.held_out or r.random() < .4 else float(np.exp(r.uniform(-.3, .3)))
        x = sounds.GENERATORS[name](self.draw, int(seconds * pace * 16000))
        if pace != 1:
            x = soxr.resample(x, 16000 * pace, 16000, "QQ")
        x = x / (np.sqrt(np.mean(np.sort(x ** 2)[len(x) // 2:])) + 1e-9) * .08
        out = np.zeros(SAMPLES)
        sounds.place(out, x, r.uniform(0, max(.1, 10.2 - min(seconds, 9))) * 16000)
        return out

    def under_speech(self):
        """-> layers: one or two sounds 0 to 20 dB below speech; a fifth without the speech."""
        r, layers = self.r, []
        if r.random() < .8:
            layers.append(("Speech", self.talk()))
        for name in r.sample([*sounds.GENERATORS, "Music"], r.choice([1, 1, 2])):
            x = self.tune() if name == "Music" else self.event(name)
            layers.append((name, x * 10 ** (-r.uniform(0, 20) / 20)))
        return layers

    def scene(self, under=False):
        """-> samples, truth."""
        layers = self.under_speech() if under else self.layers()
        return self.mix(layers)

    def layers(self):
        r, layers = self.r, []  # (class, samples)
        kind = r.random()
        if kind < .62:
            layers.append(("Speech", self.talk()))
            if r.random() < .4:
                layers.append(("Music", self.tune() * 10 ** (-r.uniform(-3, 24) / 20)))
            for _ in range(r.choice([0, 0, 1, 1, 2])):
                name = r.choice(list(sounds.GENERATORS))
                layers.append((name, self.event(name) * 10 ** (-r.uniform(-8, 20) / 20)))
        elif kind < .76:
            layers.append(("Music", self.tune()))
            if r.random() < .3:
                name = r.choice(list(sounds.GENERATORS))
                layers.append((name, self.event(name) * 10 ** (-r.uniform(-8, 15) / 20)))
        elif kind < .97:
            for name in r.sample(list(sounds.GENERATORS), r.choice([1, 1, 2, 3])):
                layers.append((name, self.event(name) * 10 ** (-r.uniform(0, 12) / 20)))
        return layers

    def mix(self, layers):
        r = self.r
        if r.random() < .35:
            layers = [(c, room.reverb(x, r, self.g)) for c, x in layers]
        if r.random() < .5:
            layers = [(c, room.colour(x, r)) for c, x in layers]
        gain = 10 ** (r.choice([r.uniform(-14, 10), r.uniform(-4, 8)]) / 20)
        layers = [(c, x * gain) for c, x in layers]
        floor = np.zeros(SAMPLES)
        if r.random() < .8:
            hiss = sounds.noise(self.draw, SAMPLES)
            floor = hiss / room.rms(hiss) * 10 ** (r.choice([r.uniform(-95, -60), r.uniform(-75, -45)]) / 20)
        mix = floor + sum((x for _, x in layers), np.zeros(SAMPLES))
        peak = np.abs(mix).max()
        if peak > 1:
            mix, floor = mix / peak, floor / peak
            layers = [(c, x / peak) for c, x in layers]
        return mix.astype(np.float32), self.truth(layers, floor, mix)

    def truth(self, layers, floor, mix):
        truth = np.zeros((STEPS, len(CLASSES) + 1), np.uint8)
        total = envelope(mix)
        any_active = np.zeros(STEPS, bool)
        levels = [(c, envelope(x)) for c, x in layers]
        for i, (name, e) in enumerate(levels):
            active = (e > e.max() - (32 if name == "Speech" else 38)) & (e > -68)
            others = 10 * np.log10(10 ** (envelope(floor) / 10) + sum((10 ** (o / 10) for j, (_, o) in enumerate(levels) if j != i), 1e-12))
            audible = e > others + MASKED_DB
            closed = close_gaps(active, {"Music": 20, "Speech": 12, "Telephone": 55, "Dog": 15, "Bird": 15, "Typing": 15}.get(name, 10))
            column = CLASSES.index(name)
            heard = np.where(closed, np.where(close_gaps(active & audible, 20), 1, 2), 0).astype(np.uint8)
            tail = ~closed & (e > -75) & (e > e.max() - 55)  # dying away: neither there nor gone
            heard[tail] = np.maximum(heard[tail], 2)
            merge(truth, column, heard)
            if name == "Speech":
                fine = close_gaps(active, 6)
                fine_heard = np.where(fine, np.where(close_gaps(active & audible, 6), 1, 2), 0).astype(np.uint8)
                merge(truth, len(CLASSES), fine_heard)
            if name == "Laughter":  # whether laughter is speech is not asked
                truth[closed & (truth[:, -1] == 0), -1] = 2
            any_active |= e > -72
        noise = CLASSES.index("Noise")
        hiss = envelope(floor)
        alone = hiss > total - 3
        merge(truth, noise, np.where(alone & (hiss > HISS_DB + 3), 1, np.where(hiss > HISS_DB - 8, 2, 0)).astype(np.uint8))
        silence = np.where(total < SILENCE_DB, 1, np.where(total < SILENCE_DB + 10, 2, 0)).astype(np.uint8)
        short = silence.copy()
        for i in range(STEPS):  # silence is a rest of at least 0.4 s
            short[i] = 1 if silence[i] == 1 and (window(silence, i, 10) == 1) else (2 if silence[i] else 0)
        truth[:, CLASSES.index("Silence")] = short
        return truth


def window(x, i, n):
    """1 when i lies in a run of n equal ones."""
    low, high = i, i
    while low > 0 and x[low - 1] == 1 and i - low < n:
        low -= 1
    while high < len(x) - 1 and x[high + 1] == 1 and high - i < n:
        high += 1
    return int(high - low + 1 >= n)


def merge(truth, column, heard):
    old = truth[:, column]
    truth[:, column] = np.where((old == 1) | (heard == 1), 1, np.maximum(old, heard))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("corpus", type=pathlib.Path)
    p.add_argument("out", type=pathlib.Path)
    p.add_argument("--train", type=int, default=3000)
    p.add_argument("--heldout", type=int, default=500)
    p.add_argument("--under", type=int, default=400)
    p.add_argument("--seed", type=int, default=5)
    a = p.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)
    for split, count, seed in (("heldout", a.heldout, a.seed), ("under", a.under, a.seed + 1000), ("train", a.train, a.seed + 1)):
        if not count:
            continue
        held_out = split != "train"
        mixer, start = Mixer(corpus.load(a.corpus, "heldout" if held_out else "train"), seed, held_out), time.time()
        features = np.zeros((count, FRAMES, logmel.MELS), np.float16)
        truth = np.zeros((count, STEPS, len(CLASSES) + 1), np.uint8)
        for i in range(count):
            samples, truth[i] = mixer.scene(split == "under" or split == "train" and i % 2 == 0)
            # through 16 bits, as a decoder would give them
            features[i] = logmel.logmel(np.round(samples * 32767) / 32768)
        np.savez(a.out / f"{split}.npz", logmel=features, truth=truth)
        share = {c: round(float((truth[..., k] == 1).mean()), 3) for k, c in enumerate([*CLASSES, "activity"])}
        print(split, count, "scenes", f"{time.time() - start:.0f} s", share, flush=True)


if __name__ == "__main__":
    main()
