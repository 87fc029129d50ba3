"""Measures a spoken language model as issue 4 asks: one window of five seconds of speech, held-out voices and texts, and
an engine that no training heard.

usage: python evaluate.py MODEL.onnx WINDOWS [--frames 500] [--threshold T]

WINDOWS holds heldout.npz and engine.npz of windows.py. Only the odd rows of heldout.npz count: the even ones are the
development half, which chooses checkpoints, temperature and threshold. A model of four seconds gets --frames 400.
"""
import argparse
import json
import pathlib
import sys

import numpy as np
import onnxruntime

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "common"))
import logmel
from windows import LABELS, SOURCES


def answers(session, windows, frames):
    """Log-probabilities of each window's first frames."""
    items = [logmel.cmvn(w[:frames].astype(np.float32)) for w in windows]
    return np.concatenate([session.run(None, {"logmel": np.stack(items[i:i + 16])})[0] for i in range(0, len(items), 16)])


def figures(logp, rows, threshold):
    p, und = np.exp(logp), len(LABELS) - 1
    named = rows["source"] == 0
    right = p[:, :und].argmax(1) == rows["label"]  # which language, "und" aside
    refused = (p.argmax(1) == und) | (p.max(1) < threshold)
    out = {"windows": int(len(p)), "accuracy": float((p.argmax(1) == rows["label"])[named].mean()),
           "accuracy_among_languages": float(right[named].mean()), "refused_known": float(refused[named].mean()),
           "wrong_language_named": float((~refused & ~right)[named].mean()),
           "languages": {c: round(float((p.argmax(1) == rows["label"])[rows["label"] == k].mean()), 3) for k, c in enumerate(LABELS) if (rows["label"] == k).any()}}
    for name, part in (("clean", rows["snr"] > 50), ("below_15_db", rows["snr"] < 15)):
        if (named & part).any():
            out["accuracy_" + name] = float((p.argmax(1) == rows["label"])[named & part].mean())
    out["named_unknown"] = {s: float(1 - refused[rows["source"] == k].mean()) for k, s in enumerate(SOURCES) if k and (rows["source"] == k).any()}
    return out


def main():
    p = argparse.ArgumentParser()
    p.add_argument("model", type=pathlib.Path)
    p.add_argument("windows", type=pathlib.Path)
    p.add_argument("--frames", type=int, default=500)
    p.add_argument("--threshold", type=float, default=.5)
    a = p.parse_args()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(a.model), options, providers=["CPUExecutionProvider"])
    for split in ("heldout", "engine"):
        rows = dict(np.load(a.windows / f"{split}.npz"))
        if split == "heldout":
            rows = {k: v[1::2] for k, v in rows.items()}
        print(split, json.dumps(figures(answers(session, rows["logmel"], a.frames), rows, a.threshold)), flush=True)


if __name__ == "__main__":
    main()
