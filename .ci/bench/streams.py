"""Measures Silero VAD and an ECAPA-TDNN: our Go path against the Python path on the same ONNX file and audio, one thread
each, by turns in one run. What counts are the ratios. Prints markdown.

    pip install torch numpy onnxruntime silero-vad          (models/train/parity/requirements.txt)
    python models/train/parity/ecapa.py --bench DIR         # an ECAPA-TDNN of the published size
    python .ci/bench/streams.py --ecapa DIR [--rounds 3]

Python's side of Silero is the package's own: get_speech_timestamps over its OnnxWrapper, one tape after another. Its side
of ECAPA is onnxruntime, one window a run, as an encoder's classify_file loop does.
"""
import argparse
import os
import pathlib
import re
import subprocess
import tempfile
import time
import warnings

import numpy as np
import onnxruntime
import torch
from silero_vad import get_speech_timestamps
from silero_vad.utils_vad import OnnxWrapper

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = pathlib.Path(os.environ.get("EARSHOT_CACHE", ROOT / ".cache"))
SILERO = ROOT / "models/vad/silero"
RATE = 16000


def compiled(folder, package):
    """A package's benchmarks as a program."""
    program = folder / package.name
    subprocess.run(["go", "test", "-c", "-o", program, "."], cwd=package, check=True)
    return program


def ours(program, package, seconds, **environment):
    """Times real time by the name of each benchmark."""
    out = subprocess.run([program, "-test.run=^$", "-test.bench=.", f"-test.benchtime={seconds}s", "-test.cpu=1"],
                         cwd=package, check=True, capture_output=True, text=True, env={**os.environ, **environment}).stdout
    return {name: float(x) for name, x in re.findall(r"^Benchmark\w+/(\S+)\s.*?([\d.]+) realtime", out, re.M)}


def clip():
    return np.fromfile(SILERO / "testdata/clip.pcm16", "<i2").astype(np.float32) / 32768


def silero_package():
    minute = torch.from_numpy(np.resize(clip(), 60 * RATE))
    model = OnnxWrapper(str(CACHE / "silero_vad.onnx"), force_onnx_cpu=True)
    began = time.process_time()
    get_speech_timestamps(minute, model)
    return 60 / (time.process_time() - began)


def ecapa_loop(folder):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
    audio, n = clip(), 20
    session.run(None, {"audio": audio[None, :2 * RATE]})
    began = time.process_time()
    for i in range(n):
        session.run(None, {"audio": audio[None, i * 4000:i * 4000 + 2 * RATE]})
    return 2 * n / (time.process_time() - began)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ecapa", type=pathlib.Path, required=True, help="what ecapa.py --bench wrote")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2, help="of each of our benchmarks, in each round")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    best = {}

    def note(name, x):
        best[name] = max(best.get(name, 0), x)

    with tempfile.TemporaryDirectory() as scratch:
        silero = compiled(pathlib.Path(scratch), SILERO)
        langid = compiled(pathlib.Path(scratch), ROOT / "models/langid")
        for _ in range(options.rounds):
            note("package", silero_package())
            for name, x in ours(silero, SILERO, options.seconds).items():
                note(name, x)
            note("loop", ecapa_loop(options.ecapa))
            for name, x in ours(langid, ROOT / "models/langid", options.seconds, EARSHOT_BENCH_MODEL=str(options.ecapa.resolve())).items():
                note("ecapa/" + name, x)
    print("### Silero VAD and ECAPA-TDNN\n\nBeside the package silero-vad's own get_speech_timestamps, and a loop over onnxruntime, by the processors' time.\n")
    print("| model | path | times real time | ratio (≥ 1.0; ≥ 1.5 where batching helps) |\n|---|---|---|---|")
    for what, name, rival in [
        ("Silero VAD 6", "package", None), ("silero_vad.onnx, 1 tape", "silero-vad/1", "package"),
        ("silero_vad.onnx, 16 tapes", "silero-vad/16", "package"),
        ("silero_vad_16k_sequence.onnx, 1 tape", "silero-vad-sequence/1", "package"),
        ("silero_vad_16k_sequence.onnx, 16 tapes", "silero-vad-sequence/16", "package"),
        ("ECAPA-TDNN, 2 s windows", "loop", None), ("1 window a run", "ecapa/1", "loop"), ("16 windows a run", "ecapa/16", "loop"),
    ]:
        path = "Earshot" if rival else {"package": "package silero-vad", "loop": "onnxruntime, Python"}[name]
        print(f"| {what} | {path} | {best[name]:.0f} | {f'{best[name] / best[rival]:.2f}' if rival else '1'} |")


if __name__ == "__main__":
    main()
