"""What happens to clean synthetic speech on its way to the features: rooms, channels, levels, noise."""
import numpy as np
from scipy.signal import butter, fftconvolve, lfilter

RATE = 16000


def reverb(x, choose, noise):
    """Exponentially decaying noise as the room's response."""
    length = int(choose.uniform(.1, .5) * RATE)
    tail = noise.standard_normal(length) * np.exp(-6.9 * np.arange(length) / length)
    tail *= choose.uniform(.06, .45) / np.sqrt((tail ** 2).sum() + 1e-9)
    tail[0] = 1
    return fftconvolve(x, tail)[:len(x)]


def chords(n, choose):
    """A few sustained tones with overtones: a stand-in for music under speech."""
    t = np.arange(n) / RATE
    out = np.zeros(n)
    length = int(choose.uniform(.3, 1.5) * RATE)
    root = choose.uniform(80, 300)
    for start in range(0, n, length):
        shift = 2 ** (choose.choice([0, 2, 5, 7, -3]) / 12)
        span = t[start:start + length]
        for interval in choose.choice([(1, 1.25, 1.5), (1, 1.2, 1.5), (1, 1.5, 2), (1, 1.334, 1.667)]):
            for overtone in range(1, choose.randint(2, 6)):
                out[start:start + length] += np.sin(2 * np.pi * root * shift * interval * overtone * span) / overtone ** 1.3
    return out


def background(n, choose, noise, voices):
    """Noise of one kind, not scaled: white, coloured, babble of earlier voices, or chords."""
    kind = choose.random()
    if kind < .30:
        return noise.standard_normal(n)
    if kind < .55:
        return lfilter([1], [1, -choose.uniform(.7, .98)], noise.standard_normal(n))
    if kind < .78 or not voices:
        return chords(n, choose)
    return sum(np.resize(choose.choice(voices), n) for _ in range(choose.randint(1, 4)))


def augment(x, choose, noise, voices):
    """samples: mono 16 kHz -> the same length. choose: random.Random; noise: numpy Generator; voices: clips for babble."""
    if choose.random() < .35:
        x = reverb(x, choose, noise)
    if choose.random() < .5:
        x = lfilter([1, choose.uniform(-.6, .6)], [1], x)
    if choose.random() < .3:
        b, a = butter(2, [choose.uniform(60, 350) / 8000, choose.uniform(3000, 7500) / 8000], "band")
        x = lfilter(b, a, x)
    x = x / (np.abs(x).max() + 1e-6) * 10 ** (-choose.uniform(2, 26) / 20)
    if choose.random() < .6:
        z = background(len(x), choose, noise, voices)
        level = np.sqrt((x ** 2).mean()) * 10 ** (-choose.uniform(8, 35) / 20)
        return x + z / (np.sqrt((z ** 2).mean()) + 1e-9) * level
    return x + noise.standard_normal(len(x)) * 10 ** (-choose.uniform(60, 90) / 20)
