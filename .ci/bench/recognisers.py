"""Measures CTC and transducer recognisers, one thread each, by turns in one run, by
the processors' time. What counts are the ratios. Prints markdown.

    pip install torch numpy onnxruntime transformers librosa         (models/train/parity/requirements.txt)
    python models/train/parity/ctc.py --bench DIR/ctc                # a small wav2vec 2.0
    python models/train/parity/transducer.py --bench DIR/tdt         # a small Parakeet TDT
    python .ci/bench/recognisers.py --ctc DIR/ctc --tdt DIR/tdt [--rounds 3]

Python's side is a loop over onnxruntime in the way of onnx-asr, one piece after another: features (numpy, torch), the run,
the likeliest tokens. The n-gram decoder runs over the built-in model's posteriors of the sample feed's English episodes, cut
where their truth says, at the beam that ships, others and 500; loading the grammar counts.
"""
import argparse
import json
import os
import pathlib
import re
import resource
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = pathlib.Path(os.environ.get("EARSHOT_CACHE", ROOT / ".cache"))
sys.path[:0] = [str(ROOT / "models/train/common"), str(ROOT / "models/train/parity")]

import numpy as np
import onnxruntime

import nemo
from logmel import cmvn, logmel

RATE, SECONDS = 16000, 5
BUCKET = 64  # frames: models/asr's


def opened(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def pieces():
    x = np.fromfile(ROOT / "models/asr/testdata/heldout.pcm16", "<i2").astype(np.float32) / 32768
    return [x[i * RATE:(i + SECONDS) * RATE] for i in range(8)]


def words(best, blank, tokens):
    kept = [k for i, k in enumerate(best) if k != blank and (i == 0 or best[i - 1] != k)]
    return "".join(tokens[k] for k in kept).replace("|", " ")


def ctc_loop(folder):
    session = opened(folder / "model.onnx")
    tokens = {i: t for t, i in json.loads((folder / "vocab.json").read_text()).items()}

    def one(x):
        values = ((x - x.mean()) / np.sqrt(x.var() + 1e-7))[None].astype(np.float32)
        logits = session.run(None, {"input_values": values, "attention_mask": np.ones(values.shape, np.int64)})[0][0]
        return words(logits.argmax(-1).tolist(), 0, tokens)
    return one


def tdt_loop(folder):
    import torch
    torch.set_num_threads(1)
    encoder, decoder = opened(folder / "encoder-model.onnx"), opened(folder / "decoder_joint-model.onnx")
    blank = len((folder / "vocab.txt").read_text().splitlines()) - 1
    shape = next(i.shape for i in decoder.get_inputs() if i.name == "input_states_1")

    def one(x):
        features = nemo.features(torch.from_numpy(x), 128)[None].numpy()
        encoded, steps = encoder.run(None, {"audio_signal": features, "length": np.array([features.shape[2]], np.int64)})
        states = [np.zeros((shape[0], 1, shape[2]), np.float32)] * 2
        t, emitted, tokens = 0, 0, [blank]
        while t < steps[0]:
            logits, _, *after = decoder.run(None, {
                "encoder_outputs": encoded[:, :, t:t + 1], "targets": np.array([tokens[-1:]], np.int32),
                "target_length": np.array([1], np.int32), "input_states_1": states[0], "input_states_2": states[1]})
            logits = logits.ravel()
            k, skip = int(logits[:blank + 1].argmax()), int(logits[blank + 1:].argmax())
            if k != blank:
                tokens.append(k)
                states, emitted = after, emitted + 1
            if skip > 0:
                t, emitted = t + skip, 0
            elif k == blank or emitted >= 4:
                t, emitted = t + 1, 0
        return tokens[1:]
    return one


def loop(one):
    one(pieces()[0])
    began = time.process_time()
    for x in pieces():
        one(x)
    return len(pieces()) * SECONDS / (time.process_time() - began)


def ours(program, package, seconds, **environment):
    out = subprocess.run([program, "-test.run=^$", "-test.bench=CTC|Transducer", f"-test.benchtime={seconds}s", "-test.cpu=1"],
                         cwd=package, check=True, capture_output=True, text=True, env={**os.environ, **environment}).stdout
    return {int(n): float(x) for n, x in re.findall(r"/batch-(\d+)\s.*?([\d.]+) realtime", out)}


def posteriors(path):
    """The built-in model's posteriors of the sample's English segments, for models/train/asr/wer; how many words and seconds."""
    session = opened(ROOT / "models/pack/earshot-en/model.onnx")
    count, total = 0, 0.0
    with open(path, "wb") as out:
        for truth in sorted((ROOT / "sample/truth").glob("*.json")):
            facts = json.loads(truth.read_text())
            if facts["language"] != "en":
                continue
            pcm = subprocess.run([CACHE / "ffmpeg", "-v", "error", "-i", ROOT / "sample/feed" / facts["file"], "-f", "s16le",
                                  "-ac", "1", "-ar", str(RATE), "-"], capture_output=True, check=True).stdout
            audio = np.frombuffer(pcm, "<i2").astype(np.float32) / 32768
            for s in facts["segments"]:
                said = re.sub(r"[^a-z' ]", " ", s.get("text", "").lower().replace("-", " ")).split()
                x = audio[max(0, int((s["start"] - .15) * RATE)):int((s["end"] + .15) * RATE)]
                if not said or len(x) < RATE // 2 or s.get("language", "en") != "en":
                    continue
                x = cmvn(logmel(x))
                batch = np.zeros((2, -(-len(x) // BUCKET) * BUCKET, 64), np.float32)
                batch[0, :len(x)] = x
                logp = session.run(None, {"logmel": batch})[0][0, :-(-len(x) // 4)]
                out.write(json.dumps({"written": " ".join(said), "steps": len(logp), "classes": logp.shape[1]}).encode() + b"\n")
                out.write(logp.astype("<f4").tobytes())
                count, total = count + len(said), total + len(logp) * .04
    return count, total


def ngram(scratch):
    count, total = posteriors(scratch / "sample.bin")
    wer = scratch / "wer"
    subprocess.run(["go", "build", "-o", wer, "./models/train/asr/wer"], cwd=ROOT, check=True)
    shipped = int(re.search(r"^  beam: (\d+)", (ROOT / "models/pack/earshot-en/model.yaml").read_text(), re.M)[1])
    rows = []
    for beam in sorted({50, 100, shipped, 500}):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        out = subprocess.run([wer, "-beam", str(beam), scratch / "sample.bin"], cwd=ROOT, check=True, capture_output=True, text=True,
                             env={**os.environ, "GOMAXPROCS": "1"}).stdout
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        error = re.search(r"WER ([\d.]+)", out)[1]
        rows.append(f"| {beam}{' (ships)' if beam == shipped else ''} | {float(error):.3f} | {total / spent:.0f}× |")
    return count, total, rows


def main():
    parse = argparse.ArgumentParser()
    parse.add_argument("--ctc", type=pathlib.Path, required=True)
    parse.add_argument("--tdt", type=pathlib.Path, required=True)
    parse.add_argument("--rounds", type=int, default=3)
    parse.add_argument("--seconds", type=float, default=2, help="of each of our benchmarks, in each round")
    options = parse.parse_args()
    families = {
        "ctc (wav2vec 2.0)": (ROOT / "models/asr", options.ctc, "EARSHOT_BENCH_CTC", ctc_loop),
        "transducer (TDT)": (ROOT / "models/asr/transducer", options.tdt, "EARSHOT_BENCH_TRANSDUCER", tdt_loop),
    }
    with tempfile.TemporaryDirectory() as name:
        scratch = pathlib.Path(name)
        print("### CTC and transducer recognisers\n\nA wav2vec 2.0 of 11 and a Parakeet TDT of 8 million parameters, random weights, beside a loop in the way of onnx-asr. Times real time on pieces of 5 s, by the processors' time.\n")
        print("| family | Python, one a run | Go, one a run | Go, 4 a run | Go, 8 a run | ratios (≥ 1.0; ≥ 1.5 where batching helps) |\n|---|---|---|---|---|---|")
        for family, (package, folder, variable, make) in families.items():
            program = scratch / package.name
            subprocess.run(["go", "test", "-c", "-o", program, "."], cwd=package, check=True)
            one, python, go = make(folder.resolve()), 0, {}
            for _ in range(options.rounds):
                python = max(python, loop(one))
                for n, x in ours(program, package, options.seconds, **{variable: str(folder.resolve())}).items():
                    go[n] = max(go.get(n, 0), x)
            print(f"| {family} | {python:.1f}× | {go[1]:.1f}× | {go[4]:.1f}× | {go[8]:.1f}× | "
                  + ", ".join(f"{go[n] / python:.2f}" for n in (1, 4, 8)) + " |", flush=True)
        count, total, rows = ngram(scratch)
        print(f"\n### N-gram decoding\n\nThe built-in model on the sample's English speech: {count} words in {total:.0f} s, by the processors' time, the grammar's loading included.\n")
        print("| beam | word errors | times real time (≥ 100) |\n|---|---|---|\n" + "\n".join(rows))


if __name__ == "__main__":
    main()
