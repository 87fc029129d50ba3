"""The front end of the built-in models, in numpy: what audio/feature computes in Go.

log-mel of 16 kHz mono audio: windows of 25 ms (periodic Hann) every 10 ms, no padding, FFT of 512,
64 triangles evenly spaced on HTK's mel scale between 20 and 7600 Hz, log(power + 1e-6).
"""
import numpy as np

RATE, FFT, WINDOW, HOP, MELS, LOW_HZ, HIGH_HZ, FLOOR = 16000, 512, 400, 160, 64, 20, 7600, 1e-6

HANN = np.hanning(WINDOW + 1)[:WINDOW].astype(np.float32)


def mel_filters():
    """[mels, bins] float32."""
    mel = lambda hz: 2595 * np.log10(1 + hz / 700)
    hertz = lambda m: 700 * (10 ** (m / 2595) - 1)
    corners = hertz(np.linspace(mel(LOW_HZ), mel(HIGH_HZ), MELS + 2))
    bins = np.linspace(0, RATE / 2, FFT // 2 + 1)
    low, mid, high = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    return np.maximum(0, np.minimum((bins - low) / (mid - low), (high - bins) / (high - mid))).astype(np.float32)


FILTERS = mel_filters()


def logmel(samples):
    """samples: mono, 16 kHz, [-1, 1] -> [frames, mels] float32; shorter than a window gives one padded frame."""
    x = np.asarray(samples, np.float32)
    if len(x) < WINDOW:
        x = np.pad(x, (0, WINDOW - len(x)))
    frames = np.lib.stride_tricks.sliding_window_view(x, WINDOW)[::HOP]
    out = np.empty((len(frames), MELS), np.float32)
    for at in range(0, len(frames), 4096):  # bounded memory on long recordings
        power = np.abs(np.fft.rfft(frames[at:at + 4096] * HANN, FFT)) ** 2
        out[at:at + 4096] = np.log(power @ FILTERS.T + FLOOR)
    return out


def cmvn(x):
    """The front end's "cmvn": mean per channel, one scale for the whole item. x: [frames, mels]."""
    return (x - x.mean(0, keepdims=True)) / (x.std() + 1e-3)
