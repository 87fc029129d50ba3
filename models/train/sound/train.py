"""Trains the sound event model on the scenes of common/scenes.py.

usage: python train.py SCENES... OUT [--minutes 8] [--threads 1] [--start NET.pt]

Learns from train.npz of every SCENES; under.npz is the first one's: its even scenes choose the thresholds, its odd ones
are the card's. Writes OUT/model.onnx and OUT/metrics.json; common/pack.py makes the manifest and the card from them.
"""
import argparse
import json
import pathlib
import sys

import numpy as np
import torch
import torch.nn.functional as F

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "common"))
import events
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


def main():
    p = argparse.ArgumentParser()
    p.add_argument("scenes", type=pathlib.Path, nargs="+")
    p.add_argument("out", type=pathlib.Path)
    p.add_argument("--minutes", type=float, default=8)
    p.add_argument("--wall", type=float, default=1e9, help="minutes by the clock after which training ends in any case")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--rate", type=float, default=3e-3)
    p.add_argument("--start", type=pathlib.Path, help="go on from another run's net.pt (with --minutes 0: choose thresholds anew)")
    a = p.parse_args()
    loop.seed(2, a.threads)
    shards = [dict(np.load(f / "train.npz")) for f in a.scenes]
    items = [(shard["logmel"], i) for shard in shards for i in range(len(shard["logmel"]))]
    truth = np.concatenate([pooled_truth(shard["truth"]) for shard in shards])
    held = dict(np.load(a.scenes[0] / "under.npz"))
    net = nets.Framewise([12, 24, 40], 144, 7, [1, 2, 4, 1], K, grow=2)
    print(sum(q.numel() for q in net.parameters()), "parameters")
    if a.start:
        net.load_state_dict(torch.load(a.start))
    share = (truth == 1).mean((0, 1))
    weight = torch.from_numpy(np.clip(np.sqrt(.25 / (share + 1e-4)), 1, 3).astype(np.float32))

    def step(rows):
        x = np.stack([loop.warp(items[i][0][items[i][1]].astype(np.float32), .9, 1.1) for i in rows])
        x = torch.from_numpy(loop.augment(x, times=2, longest=24) + np.random.uniform(-1.5, 1.5, (len(rows), 1, 1)).astype(np.float32))
        y = torch.from_numpy(truth[rows])
        loss = F.binary_cross_entropy_with_logits(net(x).float(), (y == 1).float(), pos_weight=weight, reduction="none")
        return (loss * (y != 2)).sum() / (y != 2).sum()

    tune, test = ({k: v[i::2] for k, v in held.items()} for i in (0, 1))
    score = lambda part, q, k, t: events.segment_f1(part["truth"][..., k], q[..., k], scenes.CLASSES[k], t)

    def report(n):
        q = predict(n, tune["logmel"])
        f = [score(tune, q, k, .5)[0] for k in range(K)]
        return f"mean {np.mean(f):.3f} " + " ".join(f"{c} {v:.2f}" for c, v in zip(scenes.CLASSES, f))

    net = loop.train(net, step, len(truth), 16, a.minutes, a.rate, report, wall=a.wall)
    p_tune, p_test = (predict(net, part["logmel"]) for part in (tune, test))
    metrics = {"scenes": len(test["logmel"]), "train_scenes": len(truth), "classes": {}}
    for k, c in enumerate(scenes.CLASSES):
        threshold = max(np.arange(.3, .91, .02), key=lambda t: score(tune, p_tune, k, t)[0])
        f1, precision, recall = score(test, p_test, k, threshold)
        metrics["classes"][c] = {"threshold": round(float(threshold), 2), "f1": f1, "precision": precision, "recall": recall}
    metrics["mean_f1"] = float(np.mean([m["f1"] for m in metrics["classes"].values()]))
    a.out.mkdir(parents=True, exist_ok=True)
    export.export(export.Probabilities(net, "sigmoid"), a.out / "model.onnx", "events", {0: "batch", 1: "steps"}, 1024)
    (a.out / "metrics.json").write_text(json.dumps(metrics, indent=1))
    torch.save(net.state_dict(), a.out / "net.pt")
    print(json.dumps(metrics))


if __name__ == "__main__":
    main()
