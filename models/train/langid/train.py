"""Trains the spoken language model on the windows of windows.py.

usage: python train.py WINDOWS OUT [--minutes 8] [--threads 1] [--start NET.pt]

Writes OUT/model.onnx and OUT/metrics.json; common/pack.py makes the manifest and the card from them.
"""
import argparse
import json
import pathlib
import sys

import numpy as np
import torch
import torch.nn.functional as F

sys.path.insert(0, str(pathlib.Path(__file__).parent))
sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "common"))
import export
import logmel
import loop
import nets
from windows import LABELS, SOURCES


def predict(net, x, size=64):
    net.eval()
    item = lambda v: np.stack([logmel.cmvn(w.astype(np.float32)) for w in v])
    with torch.no_grad():
        return torch.cat([net(torch.from_numpy(item(x[i:i + size]))) for i in range(0, len(x), size)])


def main():
    p = argparse.ArgumentParser()
    p.add_argument("windows", type=pathlib.Path)
    p.add_argument("out", type=pathlib.Path)
    p.add_argument("--minutes", type=float, default=8)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--start", type=pathlib.Path, help="go on from another run's net.pt")
    a = p.parse_args()
    loop.seed(3, a.threads)
    train, held = (dict(np.load(a.windows / f"{s}.npz")) for s in ("train", "heldout"))
    net = nets.Pooled(136, 9, [1, 2, 3, 4], len(LABELS), grow=2)
    print(sum(q.numel() for q in net.parameters()), "parameters", len(train["label"]), "windows")
    if a.start:
        net.load_state_dict(torch.load(a.start))
    label = train["label"].astype(np.int64)

    def step(rows):
        x = np.stack([logmel.cmvn(loop.warp(train["logmel"][i].astype(np.float32), .86, 1.16)) for i in rows])
        return F.cross_entropy(net(torch.from_numpy(loop.augment(x))).float(), torch.from_numpy(label[rows]), label_smoothing=.02)

    odd = np.arange(len(held["label"])) % 2 == 1
    part = lambda k: {n: v[k] for n, v in held.items()}
    tune, test = part(~odd), part(odd)

    def report(n):
        return "accuracy %.4f" % (predict(n, tune["logmel"]).argmax(1).numpy() == tune["label"]).mean()

    net = loop.train(net, step, len(label), 32, a.minutes, 2e-3, report)
    y = torch.from_numpy(tune["label"].astype(np.int64))
    logits = predict(net, tune["logmel"])
    temperature = min(np.arange(.5, 4, .05), key=lambda t: float(F.cross_entropy(logits / t, y)))
    p_tune, p_test = ((predict(net, k["logmel"]) / temperature).softmax(1).numpy() for k in (tune, test))
    und = len(LABELS) - 1

    def unknown(p, t):  # below the threshold, or "und" itself
        return (p.argmax(1) == und) | (p.max(1) < t)

    # The threshold weighs naming a foreign language against refusing a known one.
    balance = lambda t: np.mean(~unknown(p_tune, t)[tune["source"] == 0]) + np.mean(unknown(p_tune, t)[tune["source"] > 0])
    threshold = float(max(np.arange(.3, .96, .02), key=balance))
    named = test["source"] == 0
    right = p_test.argmax(1) == test["label"]
    confidence = p_test[named].max(1)
    bins = np.clip((confidence * 10).astype(int), 0, 9)
    calibration = sum(abs(confidence[bins == b].mean() - right[named][bins == b].mean()) * (bins == b).mean() for b in set(bins))

    def pooled(size, draws=400):
        """Groups of windows of one language, by several voices: accuracy of the mean log-probability, as an episode is judged."""
        g, logp, hits = np.random.default_rng(5), np.log(p_test + 1e-9), 0
        for i in range(draws):
            k = i % und
            group = g.choice(np.flatnonzero(test["label"] == k), size)
            hits += logp[group].mean(0)[:und].argmax() == k
        return hits / draws

    metrics = {"threshold": round(threshold, 2), "temperature": round(float(temperature), 2), "windows": int(len(test["label"])),
               "train_windows": len(label), "accuracy": float(right[named].mean()),
               "accuracy_clean": float(right[named & (test["snr"] > 50)].mean()), "accuracy_below_15_db": float(right[named & (test["snr"] < 15)].mean()),
               "pooled": {n: float(pooled(n)) for n in (2, 6, 12)}, "calibration_error": float(calibration), "refused_known": float(unknown(p_test, threshold)[named].mean()),
               "named_unknown": {s: float(1 - unknown(p_test, threshold)[test["source"] == k].mean()) for k, s in enumerate(SOURCES) if k},
               "languages": {c: float(right[test["label"] == k].mean()) for k, c in enumerate(LABELS)}}
    a.out.mkdir(parents=True, exist_ok=True)
    export.export(export.Probabilities(net, "softmax", float(temperature)), a.out / "model.onnx", "logp", {0: "batch"}, 400)
    (a.out / "metrics.json").write_text(json.dumps(metrics, indent=1))
    torch.save(net.state_dict(), a.out / "net.pt")
    print(json.dumps(metrics))
    confusion = np.zeros((len(LABELS), len(LABELS)), int)
    np.add.at(confusion, (test["label"], p_test.argmax(1)), 1)
    print("\n".join(f"{c:4} {row}" for c, row in zip(LABELS, confusion.tolist())))


if __name__ == "__main__":
    main()
