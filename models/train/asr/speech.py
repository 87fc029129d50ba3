"""Spoken utterances as training and evaluation read them."""
import json
import random
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from common.logmel import cmvn, logmel  # noqa: E402
from lexicon import labels  # noqa: E402
from overlap import shares  # noqa: E402

BUCKET = 32  # frames; few distinct shapes, so that oneDNN reuses its kernels


class Shards:
    """The utterances of DIR/speech; call again for shards that came since."""

    def __init__(self, work, lexicon, held=frozenset()):
        self.folder, self.lexicon, self.held, self.read = work / "speech", lexicon, held, set()
        self.items, self.dropped = [], 0  # (memory-mapped features, first frame, frames, labels)

    def refresh(self):
        for facts in sorted(self.folder.glob("*.json")):
            if facts in self.read:
                continue
            self.read.add(facts)
            features, at = np.load(facts.with_suffix(".npy"), mmap_mode="r"), 0
            for frames, written, _ in json.loads(facts.read_text()):
                target = None if shares(written, self.held) else labels(written, self.lexicon)
                # CTC needs a step per label and one between equal neighbours.
                if target and frames // 4 > len(target) * 1.15 + 2:
                    self.items.append((features, at, frames, target))
                else:
                    self.dropped += 1
                at += frames
        return self.items


def padded(frames):
    return -(-frames // BUCKET) * BUCKET


def batches(items, size=24000):
    """Indices of items of like length, about `size` padded frames to a batch, longest first."""
    order = sorted(range(len(items)), key=lambda i: (-padded(items[i][2]), random.random()))
    at = 0
    while at < len(order):
        count = max(1, size // padded(items[order[at]][2]))
        yield order[at:at + count]
        at += count


def warped(x, factor):
    """Moves formants: the mel axis stretched by linear interpolation."""
    channels = x.shape[1]
    place = np.clip(np.arange(channels) * factor, 0, channels - 1)
    low = place.astype(int)
    high, share = np.minimum(low + 1, channels - 1), (place - low).astype(np.float32)
    return x[:, low] * (1 - share) + x[:, high] * share


def paced(x, factor):
    """Spoken slower (factor > 1) or faster at the same pitch: the time axis stretched by linear interpolation."""
    place = np.linspace(0, len(x) - 1, round(len(x) * factor), dtype=np.float32)
    low = place.astype(int)
    high, share = np.minimum(low + 1, len(x) - 1), (place - low)[:, None]
    return x[low] * (1 - share) + x[high] * share


def talked_over(x, other, below):
    """Another recording's power under x, `below` dB weaker on average."""
    here, there = np.exp(x), np.exp(np.resize(other, x.shape))
    return np.log(here + there * (here.mean() / there.mean() * np.float32(10 ** (-below / 10))))


def narrowed(x, low, high):
    """A channel without the bands below low and from high on: only its noise is left there."""
    x, floor = x.copy(), x.min()
    for band in (x[:, :low], x[:, high:]):
        band[:] = floor + np.random.standard_normal(band.shape).astype(np.float32)
    return x


def training_item(features, at, frames):
    """Normalised log-mel of an utterance in another throat, pace, company or channel, with SpecAugment's masks (Park et al. 2019)."""
    x = np.asarray(features[at:at + frames], np.float32)
    if random.random() < .8:
        x = warped(x, random.uniform(.84, 1.16))
    if random.random() < .3:
        x = paced(x, random.uniform(.92, 1.12))
    if random.random() < .1:
        start = random.randrange(max(1, len(features) - frames))
        x = talked_over(x, np.asarray(features[start:start + frames], np.float32), random.uniform(6, 25))
    if random.random() < .05:
        x = narrowed(x, random.randint(0, 9), random.randint(44, 64))
    x, frames = cmvn(x), len(x)
    for _ in range(2):
        width = random.randint(0, 10)
        start = random.randint(0, 64 - width)
        x[:, start:start + width] = 0
    for _ in range(max(1, frames // 150)):
        width = random.randint(0, min(12, frames // 8))
        start = random.randint(0, frames - width)
        x[start:start + width] = 0
    return x


def stacked(items):
    """[frames, 64] arrays, padded with zeros to one length: [batch, frames, 64]."""
    out = np.zeros((len(items), padded(max(map(len, items))), 64), np.float32)
    for row, x in zip(out, items):
        row[:len(x)] = x
    return out


def held(work, part):
    """{'seen': [(written, log-mel normalised)], 'unseen': …} of dev or test."""
    sounds, out = np.load(work / "held.npz"), {}
    for name, written, _ in json.loads((work / "held.json").read_text()):
        which, voice, _ = name.split("-")
        if which == part:
            out.setdefault(voice, []).append((written, cmvn(logmel(sounds[name] / np.float32(32767)))))
    return out


def distance(a, b):
    """Levenshtein distance of two sequences."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        above, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (x != y))
    return row[-1]
