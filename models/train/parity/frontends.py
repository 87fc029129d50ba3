"""Writes the golden data of audio/feature: what the reference libraries' own front ends give of a few signals.

usage: python frontends.py DIRECTORY        (audio/feature/testdata)

Needs the packages of requirements.txt beside it (torch, torchaudio, openai-whisper, transformers, librosa) and
Debian's espeak-ng. Whisper's features come from openai-whisper and are checked against transformers'
WhisperFeatureExtractor; CED's are torchaudio's MelSpectrogram and AmplitudeToDB as its feature extractor calls them;
NeMo's FilterbankFeatures is written here from torch and librosa operators, since NeMo itself is hundreds of packages.

A signal is NAME.pcm16; the features of kind K with M channels are NAME.K-M.f32, [channels, frames], gzipped. Frames
that only hold Whisper's padding to 30 s are left out: what the last one holds stands for them all.
"""
import gzip
import io
import pathlib
import subprocess
import sys
import wave

sys.path.pop(0)  # this folder's whisper.py is not the package of that name

import librosa
import numpy as np
import torch

torch.version.cuda = None  # torchaudio refuses a torch built for another CUDA, which nothing here uses
import torchaudio
import whisper.audio
from transformers import WhisperFeatureExtractor

RATE = 16000


def speech():
    wav = subprocess.run(
        ["espeak-ng", "--stdout", "-v", "en", "Every model hears the same second of speech."],
        check=True, capture_output=True).stdout
    with wave.open(io.BytesIO(wav)) as w:
        rate, raw = w.getframerate(), w.readframes(10**9)
    x = np.frombuffer(raw, "<i2").astype(np.float32) / 32768
    return librosa.resample(x, orig_sr=rate, target_sr=RATE)[4000:20123]


def signals():
    g = np.random.default_rng(20261124)
    impulse = np.zeros(4000, np.float32)
    impulse[1234] = 0.9
    loud = g.standard_normal(8000) * np.where(np.arange(8000) < 4000, 0.3, 0.002)
    return {
        "speech": speech(),
        "noise": loud,
        "silence": np.zeros(3200),
        "impulse": impulse,
        "hops": g.standard_normal(1600) * 0.1,  # a whole number of hops
        "short": g.standard_normal(401) * 0.1,  # two valid frames of NeMo's
    }


def nemo(x, mels, pad):
    """FilterbankFeatures.forward in eval mode: the valid frames of one item."""
    x = torch.from_numpy(x)[None]
    valid = x.shape[1] // 160 + (pad == "reflect")
    x = torch.cat((x[:, :1], x[:, 1:] - 0.97 * x[:, :-1]), dim=1)
    spectrum = torch.stft(x, 512, hop_length=160, win_length=400, center=True, pad_mode=pad,
                          window=torch.hann_window(400, periodic=False), return_complex=True)
    power = torch.sqrt(torch.view_as_real(spectrum).pow(2).sum(-1)).pow(2)
    bank = torch.tensor(librosa.filters.mel(sr=RATE, n_fft=512, n_mels=mels, fmin=0, fmax=RATE / 2, norm="slaney"))
    # In float64, since the float32 mean of digital silence is off by 2e-6, which the division by 1e-5 makes 0.2.
    y = torch.log(torch.matmul(bank, power) + 2**-24)[0, :, :valid].double()
    mean, std = y.mean(dim=1, keepdim=True), y.std(dim=1, keepdim=True)
    return ((y - mean) / (std + 1e-5)).numpy()


def ced(x, mels):
    """In float64: rounding tables and transform to float32 moves the quiet bins beside a loud one by up to 7e-4 dB."""
    torch.set_default_dtype(torch.float64)
    spectrogram = torchaudio.transforms.MelSpectrogram(
        f_min=0, sample_rate=RATE, win_length=512, center=True, n_fft=512, f_max=None, hop_length=160, n_mels=mels)
    decibels = torchaudio.transforms.AmplitudeToDB(top_db=120)
    y = decibels(spectrogram(torch.from_numpy(x)[None].double()))[0].numpy()
    torch.set_default_dtype(torch.float32)
    return y


def whisper_features(x, mels):
    """All 3000 frames, cut after the first that holds padding alone."""
    y = whisper.audio.log_mel_spectrogram(whisper.audio.pad_or_trim(x), n_mels=mels).numpy()
    other = WhisperFeatureExtractor(feature_size=mels)(x, sampling_rate=RATE).input_features[0]
    print(f"  openai-whisper and transformers differ by {np.abs(y - other).max():.2g}")
    frames = len(x) // 160 + 4
    assert y.shape[1] == 3000 and (y[:, frames:] == y[:, frames - 1:frames]).all()
    return y[:, :frames]


def main(folder):
    torch.set_num_threads(1)
    folder = pathlib.Path(folder)
    for name, x in signals().items():
        pcm = np.clip(np.round(np.asarray(x) * 32768), -32768, 32767).astype("<i2")
        x = pcm.astype(np.float32) / 32768
        pcm.tofile(folder / f"{name}.pcm16")
        print(name, len(x))
        features = {"whisper-80": whisper_features(x, 80), "whisper-128": whisper_features(x, 128),
                    "nemo-80": nemo(x, 80, "constant"), "nemo-128": nemo(x, 128, "constant"),
                    "nemo-reflect-64": nemo(x, 64, "reflect"), "ced-64": ced(x, 64)}
        for kind, y in features.items():
            with open(folder / f"{name}.{kind}.f32.gz", "wb") as f:
                f.write(gzip.compress(np.ascontiguousarray(y, "<f4").tobytes(), 9, mtime=0))


if __name__ == "__main__":
    main(sys.argv[1])
