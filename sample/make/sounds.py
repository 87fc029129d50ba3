"""Makes sounds out of noise and sines: applause, a telephone, laughter, a dog, a bird, rain.

Every function takes (seconds, rate, random) and gives stereo samples of shape [2, frames] with a
peak near one; a sound may end before its seconds do, in silence.
"""
import numpy as np
from scipy.signal import butter, fftconvolve, lfilter, sosfilt

AUDIOSET = {
    "Speech": "/m/09x0r", "Music": "/m/04rlf", "Silence": "/m/028v0c", "Applause": "/m/028ght",
    "Telephone": "/m/07cx4", "Laughter": "/m/01j3sz", "Dog": "/m/0bt9lr", "Bird": "/m/015p6", "Rain": "/m/06mb1",
}


def band(low, high, rate, order=2):
    """A Butterworth band-pass between low and high Hz, as second-order sections."""
    return butter(order, [low, min(high, 0.45 * rate)], "band", fs=rate, output="sos")


def place(track, mono, at, pan):
    """Adds mono to track from frame `at` on; pan runs from -1 (left) to 1 (right), at equal power."""
    end = min(track.shape[1], at + len(mono))
    if end > at:
        angle = (pan + 1) * np.pi / 4
        track[:, at:end] += np.outer([np.cos(angle), np.sin(angle)], mono[: end - at])


def room(track, rate, seconds, wet, random):
    """track with the echoes of a room whose sound dies away by 60 dB in `seconds`, one echo for each ear."""
    length = int(seconds * rate)
    decay = np.exp(-6.9 * np.arange(length) / length)
    echoed = [fftconvolve(ear, random.standard_normal(length) * decay)[: track.shape[1]] for ear in track]
    echoed = np.array(echoed)
    return track + echoed * wet * np.abs(track).max() / (np.abs(echoed).max() + 1e-12)


def peak(track):
    """track scaled to a peak of one."""
    return track / np.abs(track).max()


def envelope(frames, rate, rise, fall):
    """Ones with a linear rise and a raised-cosine fall, in seconds."""
    shape = np.ones(frames)
    up, down = min(frames, int(rise * rate)), min(frames, int(fall * rate))
    shape[:up] *= np.linspace(0, 1, up)
    shape[frames - down:] *= 0.5 + 0.5 * np.cos(np.linspace(0, np.pi, down))
    return shape


def applause(seconds, rate, random):
    """Some forty people, each clapping at a pace and a pitch of their own."""
    track = np.zeros((2, int(seconds * rate)))
    for _ in range(40):
        pace, centre, pan = random.uniform(3.2, 5.2), random.uniform(800, 2600), random.uniform(-0.9, 0.9)
        shape = band(centre * 0.6, centre * 1.7, rate)
        at = random.uniform(0, 0.6)
        while at < seconds:
            length = int(0.03 * rate)
            clap = sosfilt(shape, random.standard_normal(length)) * np.exp(-np.arange(length) / (0.006 * rate))
            place(track, clap * random.uniform(0.4, 1), int(at * rate), pan)
            at += random.normal(1 / pace, 0.02)
    return peak(room(track, rate, 0.7, 0.2, random) * envelope(track.shape[1], rate, 0.4, 1.5))


def telephone(seconds, rate, random):
    """A bell of two gongs that a hammer strikes twenty times a second: rings of 1.6 s, pauses of 0.9 s."""
    track = np.zeros((2, int(seconds * rate)))
    partials = [(1.0, 1.0), (1.52, 0.6), (2.61, 0.5), (3.87, 0.35), (5.2, 0.2)]
    time = np.arange(int(0.5 * rate)) / rate
    gongs = [sum(level * np.sin(2 * np.pi * base * ratio * time) * np.exp(-time * (6 + 2 * ratio))
                 for ratio, level in partials if base * ratio < 0.45 * rate) for base in (1130.0, 1395.0)]
    strike = 0
    while strike / 20 < seconds:
        at = strike / 20
        if at % 2.5 < 1.6:
            place(track, gongs[strike % 2] * random.uniform(0.85, 1), int(at * rate), 0.15 if strike % 2 else -0.15)
        strike += 1
    return peak(room(track, rate, 0.3, 0.1, random) * envelope(track.shape[1], rate, 0.005, 0.3))


def voiced(pitch, formants, rate, random):
    """A sung tone: pulses at pitch (Hz for each frame) and breath, through resonators of (Hz, width)."""
    phase = np.cumsum(pitch) / rate
    source = 2 * (phase % 1) - 1 + 0.35 * random.standard_normal(len(pitch))
    tone = np.zeros(len(pitch))
    for centre, width in formants:
        radius = np.exp(-np.pi * width / rate)
        tone += lfilter([1 - radius], [1, -2 * radius * np.cos(2 * np.pi * centre / rate), radius ** 2], source)
    return tone


def laughter(seconds, rate, random):
    """Three people who laugh: bursts of ha, five a second, each lower and softer than the one before."""
    track = np.zeros((2, int(seconds * rate)))
    people = [(150, 1.0, -0.5), (235, 1.15, 0.1), (190, 1.07, 0.6)]
    for base, size, pan in people:
        at, burst = random.uniform(0, 0.25), 0
        formants = [(850 * size, 110), (1350 * size, 130), (2700 * size, 200), (3800 * size, 300)]
        while at < seconds - 0.2:
            length = int(random.uniform(0.1, 0.13) * rate)
            fade = 1.35 - 0.75 * min(1, burst / 9)
            pitch = base * fade * np.linspace(1.12, 0.9, length)
            ha = voiced(pitch, formants, rate, random) * envelope(length, rate, 0.03, 0.06)
            breath = sosfilt(band(900, 4500, rate), random.standard_normal(int(0.07 * rate)))
            place(track, 0.12 * breath * np.abs(ha).max(), int((at - 0.05) * rate) if at > 0.05 else 0, pan)
            place(track, ha * (1.1 - 0.07 * min(burst, 9)), int(at * rate), pan)
            at += random.uniform(0.19, 0.22)
            burst += 1
            if burst > 10:
                at, burst = at + random.uniform(0.25, 0.45), 0
    return peak(room(track, rate, 0.3, 0.12, random) * envelope(track.shape[1], rate, 0.02, 0.5))


def dog(seconds, rate, random):
    """Barks: a rough voice that jumps up and drops within a fifth of a second, in twos and threes."""
    track = np.zeros((2, int(seconds * rate)))
    at, bark = 0.02, 0
    while at < seconds - 0.25:
        length = int(random.uniform(0.16, 0.21) * rate)
        turn = np.linspace(0, 1, length)
        pitch = random.uniform(0.93, 1.07) * (330 + 420 * np.exp(-((turn - 0.3) / 0.28) ** 2))
        rough = 1 + 0.5 * np.sin(2 * np.pi * 75 * turn * length / rate)
        tone = voiced(pitch, [(620, 200), (1250, 250), (2300, 500), (3400, 700)], rate, random) * rough
        place(track, tone * envelope(length, rate, 0.012, 0.11), int(at * rate), 0.1)
        bark += 1
        at += 0.75 if bark % 3 == 0 else random.uniform(0.3, 0.36)
    return peak(room(track, rate, 0.25, 0.1, random))


def bird(seconds, rate, random):
    """Two birds that answer each other with trills and whistles between 2.5 and 6 kHz."""
    track = np.zeros((2, int(seconds * rate)))
    at, turn = 0.05, 0
    while at < seconds - 0.4:
        pan, base = (-0.7, 3100) if turn % 2 == 0 else (0.7, 4200)
        for _ in range(random.integers(3, 7)):
            length = int(random.uniform(0.05, 0.12) * rate)
            sweep = base * random.uniform(0.9, 1.15) * (1 + random.choice([-0.2, 0.25]) * np.linspace(0, 1, length) ** 2)
            sweep *= 1 + 0.03 * np.sin(2 * np.pi * 45 * np.arange(length) / rate)
            chirp = np.sin(2 * np.pi * np.cumsum(sweep) / rate) * np.hanning(length)
            place(track, chirp, int(at * rate), pan)
            at += length / rate + random.uniform(0.02, 0.05)
            if at > seconds - 0.2:
                break
        at += random.uniform(0.1, 0.25)
        turn += 1
    return peak(room(track, rate, 0.4, 0.06, random))


def rain(seconds, rate, random):
    """A hiss of many far drops, a little different at each ear, and near drops on leaves."""
    frames = int(seconds * rate)
    hiss = np.array([sosfilt(band(500, 9000, rate, 1), random.standard_normal(frames)) for _ in range(2)])
    track = 0.35 * hiss / np.abs(hiss).max()
    for _ in range(int(45 * seconds)):
        length = int(0.02 * rate)
        time = np.arange(length) / rate
        drop = np.sin(2 * np.pi * random.uniform(1500, 5000) * time) * np.exp(-time * 350)
        place(track, drop * random.uniform(0.05, 0.3), int(random.uniform(0, seconds) * rate), random.uniform(-1, 1))
    return peak(track * envelope(frames, rate, 0.5, 0.8))


MAKERS = {"applause": applause, "telephone": telephone, "laughter": laughter, "dog": dog, "bird": bird, "rain": rain}
