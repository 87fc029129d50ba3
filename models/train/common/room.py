"""What happens to sound on its way: rooms, microphones, telephone bands, lossy codecs' low pass."""
import numpy as np
from scipy.signal import butter, fftconvolve, lfilter

RATE = 16000


def reverb(x, r, g):
    t60 = r.uniform(.1, .7)
    n = int(t60 * RATE)
    h = g.standard_normal(n) * np.exp(-6.9 * np.arange(n) / n)
    h *= r.uniform(.06, .5) / np.sqrt((h ** 2).sum() + 1e-9)
    h[0] = 1
    return fftconvolve(x, h)[:len(x)]


def colour(x, r):
    """A microphone or a codec: tilt, band limits, low pass."""
    if r.random() < .4:
        x = lfilter([1, r.uniform(-.6, .5)], [1], x)
    k = r.random()
    if k < .12:
        b, a = butter(3, [r.uniform(200, 350) / 8000, r.uniform(3000, 3800) / 8000], "band")
        x = lfilter(b, a, x)
    elif k < .4:
        b, a = butter(r.choice([2, 4, 8]), r.uniform(3500, 7600) / 8000)
        x = lfilter(b, a, x)
    elif k < .55:
        b, a = butter(2, r.uniform(50, 250) / 8000, "high")
        x = lfilter(b, a, x)
    return x


def rms(x):
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64)) + 1e-20))
