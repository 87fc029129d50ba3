"""Trains the sound event model on the scenes of common/scenes.py.

usage: python train.py SCENES OUT [--minutes 8] [--threads 1] [--start NET.pt]

Writes OUT/model.onnx and OUT/metrics.json; common/pack.py makes the manifest and the card from them.
"""
import argparse
import json
import pathlib
import sys

import numpy as np
import torch
import torch.nn.functional as F

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "common"))
import export
import loop
import nets
import scenes

K = len(scenes.CLASSES)


def pooled_truth(truth):
    """From 40 ms to the model's 80 ms: both present, both absent, or not judged."""
    t = truth[..., :K].reshape(len(truth), -1, 2, K)
    return np.where((t == 1).all(2), 1, np.where((t == 0).all(2), 0, 2)).astype(np.uint8)


def predict(net, x, size=16):
    net.eval()
    with torch.no_grad():
        return torch.sigmoid(torch.cat([net(torch.from_numpy(x[i:i + size].astype(np.float32))) for i in range(0, len(x), size)])).numpy()


def smooth(p, width):
    """A centred mean over so many steps, as models/sound does."""
    kernel, out = np.ones(width) / width, np.empty_like(p)
    for i in range(p.shape[0]):
        for c in range(p.shape[2]):
            out[i, :, c] = np.convolve(np.pad(p[i, :, c], width // 2, mode="edge"), kernel, "valid")
    return out


def f1(truth, p, threshold):
    known = truth != 2
    yes = p >= threshold
    hit, wrong, missed = (yes & (truth == 1)).sum(), (yes & (truth == 0)).sum(), (~yes & (truth == 1) & known).sum()
    return float(2 * hit / max(1, 2 * hit + wrong + missed)), float(hit / max(1, hit + wrong)), float(hit / max(1, hit + missed))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("scenes", type=pathlib.Path)
    p.add_argument("out", type=pathlib.Path)
    p.add_argument("--minutes", type=float, default=8)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--start", type=pathlib.Path, help="go on from another run's net.pt (with --minutes 0: choose thresholds anew)")
    a = p.parse_args()
    loop.seed(2, a.threads)
    train, held = (dict(np.load(a.scenes / f"{s}.npz")) for s in ("train", "heldout"))
    train["truth"], held["truth"] = pooled_truth(train["truth"]), pooled_truth(held["truth"])
    net = nets.Framewise([12, 24, 40], 144, 7, [1, 2, 4, 1], K, grow=2)
    print(sum(q.numel() for q in net.parameters()), "parameters")
    if a.start:
        net.load_state_dict(torch.load(a.start))
    share = (train["truth"] == 1).mean((0, 1))
    weight = torch.from_numpy(np.clip(np.sqrt(.25 / (share + 1e-4)), 1, 3).astype(np.float32))

    def step(rows):
        x = np.stack([loop.warp(train["logmel"][i].astype(np.float32), .94, 1.06) for i in rows])
        x = torch.from_numpy(loop.augment(x, times=2, longest=24))
        y = torch.from_numpy(train["truth"][rows])
        loss = F.binary_cross_entropy_with_logits(net(x).float(), (y == 1).float(), pos_weight=weight, reduction="none")
        return (loss * (y != 2)).sum() / (y != 2).sum()

    tune, test = np.arange(len(held["logmel"])) % 2 == 0, np.arange(len(held["logmel"])) % 2 == 1

    def report(n):
        q = predict(n, held["logmel"][tune])
        return " ".join(f"{c} {f1(held['truth'][tune][..., k], q[..., k], .5)[0]:.2f}" for k, c in enumerate(scenes.CLASSES))

    net = loop.train(net, step, len(train["logmel"]), 16, a.minutes, 3e-3, report)
    p_tune, p_test = (smooth(predict(net, held["logmel"][k]), 5) for k in (tune, test))
    metrics = {"scenes": int(test.sum()), "train_scenes": len(train["logmel"]), "classes": {}}
    for k, c in enumerate(scenes.CLASSES):
        # A sound that is claimed without need costs a record more than one that is missed: nothing below one half.
        threshold = max(np.arange(.5, .91, .02), key=lambda t: f1(held["truth"][tune][..., k], p_tune[..., k], t)[0])
        score, precision, recall = f1(held["truth"][test][..., k], p_test[..., k], threshold)
        metrics["classes"][c] = {"threshold": round(float(threshold), 2), "f1": score, "precision": precision, "recall": recall}
    metrics["mean_f1"] = float(np.mean([m["f1"] for m in metrics["classes"].values()]))
    a.out.mkdir(parents=True, exist_ok=True)
    export.export(export.Probabilities(net, "sigmoid"), a.out / "model.onnx", "events", {0: "batch", 1: "steps"}, 1024)
    (a.out / "metrics.json").write_text(json.dumps(metrics, indent=1))
    torch.save(net.state_dict(), a.out / "net.pt")
    print(json.dumps(metrics))


if __name__ == "__main__":
    main()
