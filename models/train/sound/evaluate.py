"""Measures a sound event model as issue 4 asks: segment F1 (1 s), sounds mixed with speech at 0 to 20 dB.

usage: python evaluate.py PACK SCENES [--dev] [--graph model.int8.onnx]

SCENES holds under.npz of common/scenes.py. Thresholds are the manifest's. The odd scenes count; the even ones are the
development half, which chooses checkpoints and thresholds.
"""
import argparse
import json
import pathlib
import re
import sys

import numpy as np
import onnxruntime

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "common"))
import events
import scenes


def probabilities(session, logmel):
    run = lambda x: session.run(None, {"logmel": x.astype(np.float32)})[0]
    return np.concatenate([run(logmel[i:i + 8]) for i in range(0, len(logmel), 8)])


def main():
    p = argparse.ArgumentParser()
    p.add_argument("pack", type=pathlib.Path)
    p.add_argument("scenes", type=pathlib.Path)
    p.add_argument("--dev", action="store_true")
    p.add_argument("--graph", default="model.onnx")
    a = p.parse_args()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(a.pack / a.graph), options, providers=["CPUExecutionProvider"])
    thresholds = {name: float(t) for name, t in re.findall(r"- \{name: (\w+), .*threshold: ([\d.]+)\}", (a.pack / "model.yaml").read_text())}
    held = np.load(a.scenes / "under.npz")
    rows = slice(0 if a.dev else 1, None, 2)
    found, truth = probabilities(session, held["logmel"][rows]), held["truth"][rows]
    result = {c: [round(v, 3) for v in events.segment_f1(truth[..., k], found[..., k], c, thresholds[c])] for k, c in enumerate(scenes.CLASSES)}
    print(json.dumps({"scenes": len(truth), "mean_f1": round(float(np.mean([v[0] for v in result.values()])), 4),
                      "f1_precision_recall": result}))


if __name__ == "__main__":
    main()
