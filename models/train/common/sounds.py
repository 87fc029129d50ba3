"""Sounds made from nothing: each function takes a Draw and a length and returns samples (mono, 16 kHz, peak about 0.5).

A Draw gives the parameters. Training draws them from the middle of every range, the held-out split from the
outer tenths, so that a held-out sound has parameters that no training sound had.
"""
import numpy as np
from scipy.signal import butter, fftconvolve, lfilter

import voices

RATE = 16000


class Draw:
    def __init__(self, r, g, held_out):
        self.r, self.g, self.held_out = r, g, held_out

    def between(self, low, high):
        u = self.r.random()
        u = (u / 5 if u < .5 else .8 + (u - .5) / 2.5) if self.held_out else .1 + .8 * u
        return low + (high - low) * u

    def log(self, low, high):
        return float(np.exp(self.between(np.log(low), np.log(high))))

    def chance(self, p):
        return self.r.random() < p


def level(x):
    return (x / (np.abs(x).max() + 1e-9) * .5).astype(np.float32)


def at(n):
    return np.arange(n) / RATE


def band(x, low, high, order=2):
    low, high = max(low, 20) / 8000, min(high, 7900) / 8000
    b, a = butter(order, [low, high], "band")
    return lfilter(b, a, x)


def place(out, x, start):
    start = int(start)
    if start < len(out):
        piece = x[:len(out) - start]
        out[start:start + len(piece)] += piece


def sweep(hz):
    """A phase whose frequency follows hz (one value a sample)."""
    return 2 * np.pi * np.cumsum(hz) / RATE


def strew(d, n, grain, times, spread):
    """A grain at each of the times (in samples), each at its own level: one convolution however many there are."""
    impulses = np.zeros(n)
    np.add.at(impulses, np.clip(times, 0, n - 1).astype(int), d.g.lognormal(0, spread, len(times)))
    return fftconvolve(impulses, grain)[:n]


def applause(d, n):
    """Many hands, each with its own rate and colour: band-passed bursts of a few milliseconds."""
    out = np.zeros(n)
    people, rate = int(d.log(4, 600)), d.between(2.5, 6)
    hands = min(people, 24)
    for k in range(hands):
        m = int(RATE * d.between(.006, .03))
        c = d.log(600, 3500)
        grain = band(d.g.standard_normal(m) * np.exp(-np.arange(m) / (m / d.between(3, 7))), c * .6, c * 1.8)
        own = rate * d.r.uniform(.85, 1.15)
        if people < 25:  # few hands: each claps regularly
            times = np.arange(d.r.random() / own, n / RATE, 1 / own) * RATE
            times = times + d.g.normal(0, .01 * RATE, len(times))
        else:
            times = d.g.integers(0, n, max(1, int(people / hands * own * n / RATE)))
        out += strew(d, n, grain, times, .6) * d.r.uniform(.3, 1)
    if people > 60:
        out += band(d.g.standard_normal(n), d.log(400, 900), d.log(3000, 7000), 1) * np.abs(out).mean() * d.between(.2, 1.2)
    if d.chance(.4):
        fade = np.minimum(1, at(n) / d.between(.2, 1.5)) * np.minimum(1, (n / RATE - at(n)) / d.between(.3, 2))
        out *= np.clip(fade, 0, 1)
    return level(out)


def tones(freqs, t, harmonics=0.0):
    return sum(np.sin(2 * np.pi * f * t) + harmonics * np.sin(4 * np.pi * f * t) for f in freqs)


def telephone(d, n):
    t = at(n)
    kind = d.r.choice(["bell", "bell", "warble", "warble", "ringback", "dial", "busy", "dtmf", "melody"])
    if kind == "bell":
        beat = d.between(15, 28)
        partials = [d.log(900, 1800)]
        partials += [partials[0] * k * d.r.uniform(.97, 1.03) for k in (1.27, 2.1, 2.9, 3.8)]
        out, strike = np.zeros(n), int(RATE * .3)
        bell = sum(np.sin(2 * np.pi * f * at(strike)) * np.exp(-at(strike) * d.between(8, 25) * (1 + i * .4)) / (1 + i * .6)
                   for i, f in enumerate(partials))
        for k in np.arange(0, n / RATE, 1 / beat):
            place(out, bell * d.r.uniform(.8, 1), k * RATE)
        gate = cadence(d, t, [(.4, .2, .4, 2), (2, 4), (1, 2), (.8, .5)])
        tail = np.exp(-at(int(.25 * RATE)) * 14)
        gate = fftconvolve(gate, tail / tail.sum())[:n]
        x = out * gate
    elif kind == "warble":
        a = d.log(550, 2400)
        b, rate = a * d.between(1.15, 1.5), d.between(8, 26)
        square = np.sign(np.sin(2 * np.pi * rate * t))
        hz = np.where(square > 0, a, b)
        x = np.sin(sweep(hz)) + d.between(0, .5) * np.sign(np.sin(sweep(hz)))
        x = x * cadence(d, t, [(1, 1), (1.2, 2), (.4, .2, .4, 1), (.6, .6)])
    elif kind == "ringback":
        x = tones(d.r.choice([(440, 480), (400, 450), (425,), (400, 425)]), t) * cadence(d, t, [(2, 4), (.4, .2, .4, 2), (1, 3)])
    elif kind == "dial":
        x = tones(d.r.choice([(350, 440), (425,), (400,), (440,)]), t, d.between(0, .2))
    elif kind == "busy":
        x = tones(d.r.choice([(480, 620), (425,), (400,)]), t) * cadence(d, t, [(.5, .5), (.25, .25), (.375, .375)])
    elif kind == "dtmf":
        x, k = np.zeros(n), d.r.random() * .2
        on, off = d.between(.06, .2), d.between(.04, .2)
        while k < n / RATE:
            s = at(int(on * RATE))
            place(x, tones((d.r.choice([697, 770, 852, 941]), d.r.choice([1209, 1336, 1477])), s), k * RATE)
            k += on + off
    else:
        x, k, base = np.zeros(n), 0, d.log(600, 1300)
        notes = [base * 2 ** (d.r.choice([0, 2, 4, 5, 7, 9, 12]) / 12) for _ in range(d.r.randint(3, 6))]
        on = d.between(.07, .16)
        i = 0
        while k < n / RATE:
            s = at(int(on * RATE))
            place(x, np.sign(np.sin(2 * np.pi * notes[i % len(notes)] * s)) * np.exp(-s * d.between(2, 10)), k * RATE)
            i += 1
            k += on * 1.05 if i % (2 * len(notes)) else on + d.between(.3, 1)
    if d.chance(.3):
        x = band(x, 300, 3400)
    return level(x)


def cadence(d, t, patterns):
    """0/1 with one of the on/off patterns, somewhat stretched, starting with "on"."""
    pattern = np.array(d.r.choice(patterns)) * d.between(.7, 1.2)
    edges = np.concatenate([[0], np.cumsum(pattern)])
    phase = t % edges[-1]
    return ((np.searchsorted(edges, phase, side="right") - 1) % 2 == 0).astype(float)


def bird(d, n):
    out, t = np.zeros(n), 0.0
    gap, base, span = d.log(.05, .8), d.log(2000, 5500), d.between(.1, .6)
    kind = d.r.choice(["up", "down", "arch", "trill", "whistle"])
    length = d.log(.04, .35)
    while t < n / RATE:
        for _ in range(d.r.randint(1, 6)):
            m = max(int(length * d.r.uniform(.7, 1.3) * RATE), 200)
            u = np.linspace(0, 1, m)
            shape = {"up": u, "down": 1 - u, "arch": np.sin(np.pi * u), "trill": .5 + .5 * np.sin(2 * np.pi * d.between(15, 45) * u * m / RATE),
                     "whistle": .2 * np.sin(np.pi * u)}[kind]
            hz = base * (1 + span * (shape - .5)) * d.r.uniform(.95, 1.05)
            x = np.sin(sweep(np.clip(hz, 800, 7600))) * np.sin(np.pi * u) ** d.between(.5, 2)
            x = x + d.between(0, .3) * np.sin(2 * sweep(np.clip(hz, 800, 3700))) * np.sin(np.pi * u)
            place(out, x * d.r.uniform(.4, 1), t * RATE)
            t += m / RATE + d.r.uniform(.3, 1) * min(gap, .15)
        t += gap * d.r.uniform(.6, 2.2)
    return level(out)


def dog(d, n):
    out, t = np.zeros(n), d.r.random() * .1
    base, formant, gap = d.log(130, 650), d.log(550, 1500), d.log(.15, .8)
    while t < n / RATE:
        for _ in range(d.r.randint(1, 4)):
            m = int(RATE * d.between(.09, .28))
            u = np.linspace(0, 1, m)
            hz = base * d.r.uniform(.9, 1.1) * (1 + d.between(.2, .9) * np.sin(np.pi * np.minimum(1, u * 1.3)) - .3 * u)
            pulses = np.maximum(0, np.sin(sweep(hz))) ** 4 + d.between(.1, .5) * d.g.standard_normal(m) * .5
            x = band(pulses, formant * .6, formant * 1.6, 1) + .5 * band(pulses, formant * 1.8, formant * 3, 1) + .3 * band(pulses, base * .7, base * 2, 1)
            x *= np.minimum(1, u * 12) * np.exp(-u * d.between(2, 5))
            place(out, x * d.r.uniform(.6, 1), t * RATE)
            t += m / RATE + gap * d.r.uniform(.4, 1)
        t += d.r.uniform(.2, 1.2)
    return level(out)


def rain(d, n):
    """Drops of many sizes on something, over the hiss of those far away."""
    hiss = band(d.g.standard_normal(n), d.log(300, 1500), d.log(4500, 7800), 1)
    hiss *= 1 + .15 * np.interp(at(n), np.linspace(0, n / RATE, 8), d.g.standard_normal(8))
    drops, kinds, each = np.zeros(n), 16, d.log(60, 900) / 16
    for _ in range(kinds):
        m = int(RATE * d.between(.002, .012))
        s = at(m)
        bubble = d.log(1200, 6500) * (1 + d.between(0, .25) * s / s[-1])  # a bubble's pitch rises as it shrinks
        grain = np.sin(sweep(bubble)) * np.exp(-s * d.log(300, 1200)) + d.g.standard_normal(m) * np.exp(-s * 900) * .5
        drops += strew(d, n, grain, d.g.integers(0, n, max(1, int(each * n / RATE))), .9)
    if d.chance(.3):  # a gutter or a puddle drips
        m = int(RATE * .06)
        s = at(m)
        grain = np.sin(sweep(d.log(500, 1800) * (1 + 4 * s))) * np.exp(-s * 60)
        drops += strew(d, n, grain, np.cumsum(d.g.exponential(RATE / d.between(1.5, 6), int(6 * n / RATE) + 1)), .4) * d.between(.5, 2)
    return level(hiss / hiss.std() + drops / (drops.std() + 1e-9) * d.log(.3, 2.5))


def noise(d, n):
    kind = d.r.choice(["white", "pink", "brown", "band", "hum", "babble"])
    x = d.g.standard_normal(n)
    if kind == "pink":
        x = lfilter([.049922, -.095993, .050612, -.004408], [1, -2.494956, 2.017265, -.522189], x)
    elif kind == "brown":
        x = lfilter([1], [1, -d.between(.9, .995)], x)
    elif kind == "band":
        low = d.log(60, 1500)
        x = band(x, low, low * d.between(2, 6), 1)
    elif kind == "hum":
        f = d.r.choice([50, 60]) * d.r.uniform(.99, 1.01)
        x = sum(np.sin(2 * np.pi * f * k * at(n) + k) / k ** d.between(.5, 1.5) for k in range(1, 12)) + x * d.log(.02, .5)
    elif kind == "babble":
        x = lfilter([1], [1, -.9], x) * (1 + .4 * np.interp(at(n), np.linspace(0, n / RATE, 24), d.g.standard_normal(24)))
    return level(x)


def laughter(d, n):
    """Rhythmic bursts of voice with breath, falling in pitch and level, now and then espeak-ng's own "ha ha ha"."""
    if d.chance(.3):
        syllable = d.r.choice(["ha", "hee", "ho", "heh"])
        variant = d.r.choice(voices.VARIANTS_HELD_OUT if d.held_out else voices.VARIANTS_TRAIN)
        x, rate = voices.espeak("en-us+" + variant, " ".join([syllable] * d.r.randint(4, 9)) + "!", d.r.randint(180, 260), d.r.randint(30, 90))
        return level(voices.to_tape(x, rate, d.between(.9, 1.3))[:n])
    out, start = np.zeros(n), 0.0
    while start < n / RATE:
        base, rate, t = d.log(120, 480), d.between(3.5, 6.5), start
        f1, f2 = d.between(450, 900), d.between(1000, 2000)
        count = d.r.randint(4, 12)
        for i in range(count):
            m = int(RATE * d.between(.06, .13))
            u = np.linspace(0, 1, m)
            hz = base * (1.2 - .4 * i / count) * (1 + .25 * np.sin(np.pi * u))
            src = np.maximum(0, np.sin(sweep(hz))) ** 3 + .15 * d.g.standard_normal(m)
            x = band(src, f1 * .7, f1 * 1.4, 1) + .7 * band(src, f2 * .8, f2 * 1.3, 1) + .1 * band(d.g.standard_normal(m), 1500, 6000, 1)
            place(out, x * np.sin(np.pi * u) * (1 - .6 * i / count), t * RATE)
            puff = int(RATE * .05)
            place(out, band(d.g.standard_normal(puff), 700, 5000, 1) * np.hanning(puff) * d.between(.03, .15), (t + .8 * m / RATE) * RATE)
            t += 1 / rate * d.r.uniform(.9, 1.1)
        start = t + d.between(.1, .5) if d.chance(.7) else start + d.between(.1, .8)
    return level(out)


def siren(d, n):
    t = at(n)
    low, high = d.log(350, 900), d.log(1000, 1900)
    kind = d.r.choice(["wail", "yelp", "hilo", "civil"])
    if kind == "hilo":
        hz = np.where(np.sin(2 * np.pi * d.between(.5, 1.2) * t) > 0, low, low * d.between(1.25, 1.5))
    elif kind == "civil":
        hz = low + (high - low) * .5 * (1 - np.cos(2 * np.pi * d.between(.04, .1) * t))
    else:
        rate = d.between(.15, .6) if kind == "wail" else d.between(2, 5)
        hz = low + (high - low) * (.5 + .5 * np.sin(2 * np.pi * rate * t + d.r.random() * 6))
    if d.chance(.3):  # it drives past
        hz = hz * (1 - .06 * np.tanh((t - d.r.random() * n / RATE) * d.between(.5, 3)))
    p = sweep(hz)
    x = sum(np.sin(k * p) / k ** d.between(.7, 2.5) for k in range(1, 6)) + .02 * d.g.standard_normal(n)
    if d.chance(.3):
        x = x * np.interp(t, np.linspace(0, n / RATE, 5), 10 ** (d.g.uniform(-9, 0, 5) / 20))
    return level(x)


def typing(d, n):
    out, t, rate = np.zeros(n), 0.0, d.between(4, 12)
    colour, ring = d.log(1500, 5000), d.log(100, 500)
    while t < n / RATE:
        for gain, delay in ((1, 0), (d.between(.3, .7), d.between(.05, .1))):
            m = int(RATE * .03)
            s = at(m)
            x = d.g.standard_normal(m) * np.exp(-s * d.r.uniform(250, 600)) + .4 * np.sin(2 * np.pi * ring * s) * np.exp(-s * 150)
            place(out, band(x, colour * .4, colour * 1.6, 1) * gain * d.r.uniform(.4, 1), (t + delay) * RATE)
        t += d.g.exponential(1 / rate) * .6 + .4 / rate + (d.between(.3, 1) if d.chance(.06) else 0)
    return level(out)


# AudioSet's names and ids (ontology by Google, CC BY-SA 4.0), and what makes each here.
GENERATORS = {"Applause": applause, "Telephone": telephone, "Bird": bird, "Dog": dog, "Rain": rain, "Noise": noise,
              "Laughter": laughter, "Siren": siren, "Typing": typing}
