"""Speaks sentences with Debian's synthesisers: espeak-ng, flite and festival."""
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import soundfile
import soxr

SPEECH_RMS = 10 ** (-23 / 20)


def command(voice, text, wav):
    """The command and its standard input that speak text into the file wav.

    voice is espeak:NAME:WORDS_PER_MINUTE:PITCH, flite:NAME:STRETCH[:F0] or festival:NAME.
    """
    engine, name, *settings = voice.split(":")
    if engine == "espeak":
        speed, pitch = settings
        return ["espeak-ng", "-v", name, "-s", speed, "-p", pitch, "-w", str(wav), text], ""
    if engine == "flite":
        stretch, *f0 = settings
        options = ["--setf", f"duration_stretch={stretch}"]
        if f0:
            options += ["--setf", f"int_f0_target_mean={f0[0]}"]
        return ["flite", "-voice", name, *options, "-t", text, "-o", str(wav)], ""
    if engine == "festival":
        scheme = f'(voice_{name})(utt.save.wave (utt.synth (Utterance Text "{text}")) "{wav}" \'riff)'
        return ["festival", "--pipe"], scheme
    raise SystemExit(f"voice {voice!r}: no engine {engine!r} (has espeak, flite, festival)")


def trim(samples, rate):
    """samples without the silence at both ends: what lies 45 dB below the peak, in steps of 5 ms."""
    step = rate // 200
    frames = np.abs(samples[: len(samples) // step * step]).reshape(-1, step).max(axis=1)
    heard = np.flatnonzero(frames > np.abs(samples).max() * 10 ** (-45 / 20))
    return samples[heard[0] * step:(heard[-1] + 1) * step]


def speak(voice, text, rate):
    """text as mono samples at rate, trimmed, at SPEECH_RMS."""
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "speech.wav"
        arguments, stdin = command(voice, text, wav)
        subprocess.run(arguments, input=stdin, text=True, check=True, capture_output=True)
        samples, own = soundfile.read(wav, dtype="float64")
    samples = soxr.resample(trim(samples - samples.mean(), own), own, rate, quality="VHQ")
    edge = rate // 200
    samples[:edge] *= np.linspace(0, 1, edge)
    samples[-edge:] *= np.linspace(1, 0, edge)
    return samples * SPEECH_RMS / np.sqrt(np.mean(samples ** 2))
