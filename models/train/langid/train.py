"""Trains the spoken language model on the windows of windows.py.

usage: python train.py WINDOWS... OUT [--minutes 8] [--threads 1] [--start NET.pt]

Learns from train.npz of every WINDOWS; heldout.npz and engine.npz are the first one's. Half of heldout.npz chooses the
temperature and the threshold, the other half is the card's. Writes OUT/model.onnx and OUT/metrics.json; common/pack.py makes the manifest and the card from them.
"""
import argparse
import json
import pathlib
import sys

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

sys.path.insert(0, str(pathlib.Path(__file__).parent))
sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "common"))
import evaluate
import export
import logmel
import loop
import nets
import voices
from windows import LABELS


CROP = 400  # frames of a training item: a second less than a window of the pipeline
# What the net tells apart: each of the other languages too, and "" for music and noise. Those are "und" together.
CLASSES = [*voices.LANGUAGES, *voices.OTHERS, ""]


class Merged(nn.Module):
    """Log-probabilities of LABELS from logits of CLASSES: all that is no named language becomes one."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        y, named = torch.log_softmax(self.net(x), -1), len(LABELS) - 1
        return torch.cat([y[:, :named], torch.logsumexp(y[:, named:], 1, keepdim=True)], 1)


def predict(net, x, size=64):
    net.eval()
    item = lambda v: np.stack([logmel.cmvn(w.astype(np.float32)) for w in v])
    with torch.no_grad():
        return torch.cat([net(torch.from_numpy(item(x[i:i + size]))) for i in range(0, len(x), size)])


BLUR = np.array([[np.exp(-.5 * (i - j) ** 2) for j in range(64)] for i in range(64)], np.float32)
BLUR /= BLUR.sum(0)


def disguise(x):
    """Another speaker and another synthesiser: a stretched mel axis, an uneven pace, formants wider or narrower than the
    voice's own, a floor of noise. x: [frames, mels] -> [CROP, mels]."""
    u = np.random.uniform
    pace = np.cumsum(np.interp(np.arange(CROP), np.linspace(0, CROP, 6), u(.85, 1.2, 6)))
    pace *= min(1, (len(x) - 1) / pace[-1])
    x = x[(u(0, len(x) - 1 - pace[-1] + 1e-6) + pace).astype(int)]
    x = loop.warp(x.astype(np.float32), .84, 1.18)
    if u() < .6:
        x = x + u(-.5, .9) * (x @ BLUR - x)
    if u() < .5:  # some bands livelier than others
        x = x * np.interp(np.arange(64), np.linspace(0, 63, 6), u(.7, 1.3, 6)).astype(np.float32)
    if u() < .3:  # smoother in time
        x = (np.roll(x, 1, 0) + np.roll(x, -1, 0)) * .25 + x * .5
    if u() < .3:
        x = np.maximum(x, np.percentile(x, u(5, 35)) + np.random.randn(*x.shape).astype(np.float32) * .3)
    return logmel.cmvn(x.astype(np.float32))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("windows", type=pathlib.Path, nargs="+")
    p.add_argument("out", type=pathlib.Path)
    p.add_argument("--minutes", type=float, default=8)
    p.add_argument("--wall", type=float, default=1e9, help="minutes by the clock after which training ends in any case")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--rate", type=float, default=2e-3)
    p.add_argument("--und", type=float, default=1.0, help="weight of what is no named language")
    p.add_argument("--width", type=int, default=152)
    p.add_argument("--start", type=pathlib.Path, help="go on from another run's net.pt")
    a = p.parse_args()
    loop.seed(3, a.threads)
    shards = [dict(np.load(w / "train.npz")) for w in a.windows]
    items = [(shard["logmel"], i) for shard in shards for i in range(len(shard["label"]))]
    label = np.array([CLASSES.index(c) for shard in shards for c in shard["code"]])
    held, engine = (dict(np.load(a.windows[0] / f"{s}.npz")) for s in ("heldout", "engine"))
    net = nets.Pooled(a.width, 9, [1, 2, 3, 4], len(CLASSES), grow=2)
    print(sum(q.numel() for q in net.parameters()), "parameters", len(label), "windows")
    if a.start:
        net.load_state_dict(torch.load(a.start))
    weight = torch.ones(len(CLASSES))
    weight[len(LABELS) - 1:] = a.und

    def step(rows):
        x = np.stack([disguise(items[i][0][items[i][1]]) for i in rows])
        return F.cross_entropy(net(torch.from_numpy(loop.augment(x))).float(), torch.from_numpy(label[rows]), weight, label_smoothing=.02)

    odd = np.arange(len(held["label"])) % 2 == 1
    part = lambda k: {n: v[k] for n, v in held.items()}
    tune, test = part(~odd), part(odd)

    def report(n):
        n = Merged(n)
        guess, other = predict(n, tune["logmel"]).argmax(1).numpy(), predict(n, engine["logmel"]).argmax(1).numpy()
        right = guess == tune["label"]
        return "languages %.4f und %.4f other engine %.4f" % (right[tune["source"] == 0].mean(), right[tune["source"] > 0].mean(), (other == engine["label"]).mean())

    net = loop.train(net, step, len(label), 32, a.minutes, a.rate, report, wall=a.wall)
    a.out.mkdir(parents=True, exist_ok=True)
    torch.save(net.state_dict(), a.out / "net.pt")
    net = Merged(net).eval()
    y = torch.from_numpy(tune["label"].astype(np.int64))
    logits = predict(net, tune["logmel"])
    temperature = min(np.arange(.5, 4, .05), key=lambda t: float(F.cross_entropy(logits / t, y)))
    p_tune, p_test = ((predict(net, k["logmel"]) / temperature).softmax(1).numpy() for k in (tune, test))
    und = len(LABELS) - 1

    def unknown(p, t):  # below the threshold, or "und" itself
        return (p.argmax(1) == und) | (p.max(1) < t)

    # An episode that is refused has no transcript at all: at most one window in twenty of a known language may be.
    threshold = float(max(t for t in np.arange(.3, .96, .02) if np.mean(unknown(p_tune, t)[tune["source"] == 0]) <= .05))
    p_engine = (predict(net, engine["logmel"]) / temperature).log_softmax(1).numpy()
    found, abroad = evaluate.figures(np.log(p_test + 1e-9), test, threshold), evaluate.figures(p_engine, engine, threshold)
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

    metrics = {"threshold": round(threshold, 2), "temperature": round(float(temperature), 2), "train_windows": len(label), **found,
               "pooled": {n: float(pooled(n)) for n in (2, 6, 12)}, "calibration_error": float(calibration), "other_engine": abroad}
    export.export(export.Probabilities(net, "softmax", float(temperature)), a.out / "model.onnx", "logp", {0: "batch"}, 500)
    (a.out / "metrics.json").write_text(json.dumps(metrics, indent=1))
    print(json.dumps(metrics))
    confusion = np.zeros((len(LABELS), len(LABELS)), int)
    np.add.at(confusion, (test["label"], p_test.argmax(1)), 1)
    print("\n".join(f"{c:4} {row}" for c, row in zip(LABELS, confusion.tolist())))


if __name__ == "__main__":
    main()
