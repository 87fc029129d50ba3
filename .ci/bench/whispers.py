"""Measures Whisper: our Go path against a loop in the style of transformers over onnxruntime, on the same ONNX files and
audio, one thread each, by turns in one run, by the processors' time. What counts are the ratios. Prints markdown.

    pip install torch numpy onnx onnxruntime openai-whisper         (models/train/parity/requirements.txt)
    python models/train/parity/whisper.py --bench DIR               # random weights in whisper-tiny's sizes
    python .ci/bench/whispers.py DIR [--rounds 3]

Random weights do not know when to stop: 16 windows of 30 s are given 10 to 100 tokens each, the same on both sides. The
Python loop makes a batch's log-mel (openai-whisper's, in torch), encodes it, and steps all its rows until the last is
done, as generate() does; its rules are suppressed tokens and the arg max. Ours applies all of Whisper's rules.
"""
import argparse
import json
import os
import pathlib
import re
import subprocess
import tempfile
import time

import numpy as np
import onnxruntime
import torch
import whisper

ROOT = pathlib.Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "models/asr/whisper"
ITEMS, RATE = 16, 16000


def ours(program, folder, name):
    out = subprocess.run([program, "-test.run=^$", f"-test.bench=Decode/{name}$", "-test.benchtime=1x", "-test.cpu=1"], cwd=PACKAGE,
                         check=True, capture_output=True, text=True, env={**os.environ, "EARSHOT_BENCH_WHISPER": str(folder)}).stdout
    return float(re.search(r"([\d.]+) realtime", out)[1])


class Loop:
    def __init__(self, folder):
        o = onnxruntime.SessionOptions()
        o.intra_op_num_threads = o.inter_op_num_threads = 1
        self.encoder, self.decoder = (onnxruntime.InferenceSession(str(folder / f"{n}.onnx"), o, providers=["CPUExecutionProvider"])
                                      for n in ("encoder_model", "decoder_model_merged"))
        self.config = json.loads((folder / "generation_config.json").read_text())
        self.past = {p.name: p.shape for p in self.decoder.get_inputs() if p.name.startswith("past")}
        self.outputs = [p.name for p in self.decoder.get_outputs()]

    def batch(self, samples, plan):
        mel = whisper.log_mel_spectrogram(torch.from_numpy(samples)).numpy()
        heard = self.encoder.run(None, {"input_features": mel})[0]
        c, rows = self.config, len(plan)
        ids = np.array([[c["decoder_start_token_id"], c["lang_to_id"]["<|en|>"], c["task_to_id"]["transcribe"]]] * rows)
        past = {n: np.zeros((rows, s[1], 0, s[3]), np.float32) for n, s in self.past.items()}
        done, said, cached = np.zeros(rows, bool), [[] for _ in plan], False
        while not done.all():
            r = dict(zip(self.outputs, self.decoder.run(self.outputs, {
                "input_ids": ids, "encoder_hidden_states": heard, **past, "use_cache_branch": np.array([cached])})))
            logits = r["logits"][:, -1]
            logits[:, c["suppress_tokens"]] = -np.inf
            token = logits.argmax(-1)
            for i in range(rows):
                done[i] |= len(said[i]) >= plan[i]
                if done[i]:
                    token[i] = c["eos_token_id"]
                else:
                    said[i].append(token[i])
            for n in past:
                if not cached or ".decoder." in n:
                    past[n] = r[n.replace("past_key_values", "present")]
            ids, cached = token[:, None], True
        return said

    def run(self, samples, size):
        plan = [10 + i * 37 % 91 for i in range(ITEMS)]
        began = time.process_time()
        for i in range(0, ITEMS, size):
            self.batch(np.stack([samples] * size), plan[i:i + size])
        return ITEMS * 30 / (time.process_time() - began)


def main():
    a = argparse.ArgumentParser()
    a.add_argument("folder", type=pathlib.Path)
    a.add_argument("--rounds", type=int, default=3)
    o = a.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(1)
    samples = (rng.standard_normal(30 * RATE) * 0.05).astype(np.float32)
    loop, best = Loop(o.folder), {}
    with tempfile.TemporaryDirectory() as scratch:
        program = pathlib.Path(scratch) / "whisper"
        subprocess.run(["go", "test", "-c", "-o", program, "."], cwd=PACKAGE, check=True)
        for _ in range(o.rounds):
            for size in (1, 8):
                best["python", size] = max(best.get(("python", size), 0), loop.run(samples, size))
                best["go", size] = max(best.get(("go", size), 0), ours(program, o.folder.resolve(), f"batch{size}"))
    print("### Whisper\n\nRandom weights in whisper-tiny's sizes: 16 windows of 30 s, 10 to 100 tokens each, beside a loop in the way of transformers. Times real time, by the processors' time.\n")
    print("| | Python loop | Earshot | ratio | target | beside Python, batch 1 |\n|---|---|---|---|---|---|")
    for size, target in ((1, "≥ 1.0"), (8, "≥ 1.5")):
        p, g = best["python", size], best["go", size]
        print(f"| batch {size} | {p:.1f}× | {g:.1f}× | {g / p:.2f} | {target} | {g / best['python', 1]:.2f} |")
    print("\nA batch gains little: the encoder, nearly half of the time, is the same graph on both sides; only rows of equal length step "
          "together, since an Optimum export has no mask over its cache; and each step's cache is copied out of onnxruntime.")


if __name__ == "__main__":
    main()
