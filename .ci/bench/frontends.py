"""Times the front ends of audio/feature beside librosa's and torchaudio's, and the families of models/sound/clips beside
a loop in Python over the same graphs and audio. Prints markdown.

One thread each, by the processors' time. Each side is the fastest of many short runs, the two sides turn about, so that a
busy machine slows both.

    pip install -r models/train/parity/requirements.txt
    python .ci/bench/frontends.py [--rounds 3]
"""
import argparse
import os
import pathlib
import re
import subprocess
import sys
import time

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[name] = "1"

ROOT = pathlib.Path(__file__).resolve().parents[2]
PER_ROUND = 1  # seconds for each measurement of a round

import librosa
import numpy as np
import onnxruntime
import torch
torch.version.cuda = None  # torchaudio refuses a torch built for another CUDA, which nothing here uses
import torchaudio
import whisper.audio


def ours(package, benchmark, runs, times):
    """Milliseconds of the processors for each sub-benchmark, the least of a few short runs."""
    out = subprocess.run(["go", "test", package, "-run", "^$", "-bench", benchmark, "-benchtime", f"{runs}x", "-count", str(times), "-cpu", "1"],
                         cwd=ROOT, check=True, capture_output=True, text=True).stdout
    best = {}
    for name, ms in re.findall(r"^Benchmark\w+/(\S+)\s.*?([\d.]+) cpu-ms/op", out, re.M):
        best[name] = min(best.get(name, 1e99), float(ms))
    return best


def fastest(f):
    f()
    best, end = 1e99, time.perf_counter() + PER_ROUND
    while best == 1e99 or time.perf_counter() < end:
        began = time.process_time()
        f()
        best = min(best, (time.process_time() - began) * 1e3)
    return best


def rivals():
    """For each front end, what each library does with thirty seconds of noise."""
    x = np.random.default_rng(1).standard_normal(480000).astype(np.float32) / 10
    t = torch.from_numpy(x)

    def spectrogram(fft, window, mels, low=0, high=None, **kw):
        return torchaudio.transforms.MelSpectrogram(16000, fft, win_length=window, hop_length=160, n_mels=mels, f_min=low,
                                                    f_max=high, **kw)

    def with_librosa(fft, window, mels, **kw):
        return lambda: np.log(librosa.feature.melspectrogram(y=x, sr=16000, n_fft=fft, win_length=window, hop_length=160,
                                                             n_mels=mels, **kw) + 1e-6)

    plain = spectrogram(512, 400, 64, 20, 7600, center=False)
    emphasised = spectrogram(512, 400, 80, norm="slaney", mel_scale="slaney", pad_mode="constant")

    def nemo():
        y = torch.cat((t[:1], t[1:] - 0.97 * t[:-1]))
        y = torch.log(emphasised(y) + 2**-24)
        return (y - y.mean(1, keepdim=True)) / (y.std(1, keepdim=True) + 1e-5)

    ced, decibels = spectrogram(512, 512, 64), torchaudio.transforms.AmplitudeToDB(top_db=120)
    return {
        "logmel-64": (with_librosa(512, 400, 64, fmin=20, fmax=7600, center=False, htk=True, norm=None),
                      lambda: torch.log(plain(t) + 1e-6)),
        "whisper-80": (with_librosa(400, 400, 80), lambda: whisper.audio.log_mel_spectrogram(t, 80)),
        "whisper-128": (with_librosa(400, 400, 128), lambda: whisper.audio.log_mel_spectrogram(t, 128)),
        "nemo-80": (with_librosa(512, 400, 80), nemo),
        "ced-64": (with_librosa(512, 512, 64), lambda: decibels(ced(t))),
    }


def loops():
    """For each model and size of batch, a run over the scene five times over, as its users write it."""
    pcm = np.fromfile(ROOT / "models/sound/clips/testdata/scene.pcm16", "<i2").astype(np.float32) / 32768
    x = torch.from_numpy(np.tile(pcm, 5))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    ced = torchaudio.transforms.MelSpectrogram(16000, 512, win_length=512, hop_length=160, n_mels=64)
    decibels = torchaudio.transforms.AmplitudeToDB(top_db=120)

    def cut(x, window, hop):
        count = 1 + -(-(len(x) - window) // hop)
        return torch.nn.functional.pad(x, (0, (count - 1) * hop + window - len(x))).unfold(0, window, hop)

    def loop(name, batch, windows, features):
        session = onnxruntime.InferenceSession(ROOT / f"models/parity/{name}/model.onnx", options)
        key = session.get_inputs()[0].name

        def run():
            w = windows()
            for i in range(0, len(w), batch):
                session.run(None, {key: features(w[i:i + batch]).numpy()})
        return run

    runs = {}
    for n in (1, 8):
        # YAMNet's graph takes no batch: the item of ours, about ten seconds, is what its loop takes too.
        runs[f"tiny-yamnet/batch={n}"] = loop("tiny-yamnet", 1, lambda: cut(x, 161520, 153600), lambda w: w[0])
        runs[f"tiny-cnn14/batch={n}"] = loop(
            "tiny-cnn14", n, lambda: cut(torchaudio.functional.resample(x, 16000, 32000), 64000, 32000), lambda w: w)
        runs[f"tiny-ced/batch={n}"] = loop(
            "tiny-ced", n, lambda: cut(x, 64000, 32000), lambda w: torch.cat([decibels(ced(row[None])) for row in w]))
    return runs


def lower(into, found):
    for k, v in found.items():
        into[k] = min(into.get(k, 1e99), v)


def main():
    parse = argparse.ArgumentParser()
    parse.add_argument("--rounds", type=int, default=3)
    options = parse.parse_args()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    fronts, families = rivals(), loops()
    go, python = {}, {}
    for _ in range(options.rounds):
        lower(go, ours("./audio/feature", "ThirtySeconds", 1, 30))
        lower(go, ours("./models/sound/clips", "Tape", 1, 2))
        for name, (a, b) in fronts.items():
            lower(python, {name + "/librosa": fastest(a), name + "/torch": fastest(b)})
        lower(python, {name: fastest(f) for name, f in families.items()})
    print("### Front ends\n\nThirty seconds of audio, one thread, by the processors' time.\n")
    print("| front end | Earshot | librosa | torchaudio, openai-whisper | × librosa (≥ 3) | × torch (≥ 1) |")
    print("|---|---|---|---|---|---|")
    for name in fronts:
        a, b = python[name + "/librosa"], python[name + "/torch"]
        print(f"| {name} | {go[name]:.1f} ms | {a:.1f} ms | {b:.1f} ms | {a / go[name]:.1f} | {b / go[name]:.2f} |")
    print()
    print("### Sound events\n\nThe parity models of models/parity over 117 s of audio, one thread, by the processors' time: small, so that what is not inference counts.\n")
    print("| model | Earshot | onnxruntime in Python | × Python, same batch | × Python, batch 1 |")
    print("|---|---|---|---|---|")
    for name in families:
        alone = python[name.split("/")[0] + "/batch=1"]
        print(f"| {name} | {go[name]:.0f} ms | {python[name]:.0f} ms | {python[name] / go[name]:.2f} | {alone / go[name]:.2f} |")


if __name__ == "__main__":
    main()
