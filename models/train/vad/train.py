"""Trains the speech activity model on the scenes of common/scenes.py.

usage: python train.py SCENES PACK [--minutes 8] [--threads 1]

Writes PACK/model.onnx and PACK/metrics.json; pack.py makes the manifest and the card from them.
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


def scores(truth, p, threshold):
    known = truth != 2
    hit = ((p >= threshold) & (truth == 1) & known).sum()
    wrong = ((p >= threshold) & (truth == 0) & known).sum()
    missed = ((p < threshold) & (truth == 1) & known).sum()
    return float(2 * hit / max(1, 2 * hit + wrong + missed)), float(wrong / max(1, ((truth == 0) & known).sum())), float(missed / max(1, (truth == 1).sum()))


def predict(net, x, size=32):
    net.eval()
    with torch.no_grad():
        return torch.sigmoid(torch.cat([net(torch.from_numpy(x[i:i + size].astype(np.float32))) for i in range(0, len(x), size)])).numpy()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("scenes", type=pathlib.Path)
    p.add_argument("out", type=pathlib.Path)
    p.add_argument("--minutes", type=float, default=8)
    p.add_argument("--threads", type=int, default=1)
    a = p.parse_args()
    loop.seed(1, a.threads)
    train, held = (dict(np.load(a.scenes / f"{s}.npz")) for s in ("train", "heldout"))
    net = nets.Framewise([8, 16], 64, 9, [1, 2, 4, 8, 1], 1)
    print(sum(q.numel() for q in net.parameters()), "parameters")

    def step(rows):
        x = np.stack([loop.warp(train["logmel"][i].astype(np.float32)) for i in rows])
        x = torch.from_numpy(loop.augment(x) + np.random.uniform(-1.5, 1.5, (len(rows), 1, 1)).astype(np.float32))
        y = torch.from_numpy(train["truth"][rows][..., -1])
        loss = F.binary_cross_entropy_with_logits(net(x)[..., 0].float(), (y == 1).float(), reduction="none")
        return (loss * (y != 2)).sum() / (y != 2).sum()

    # Half of the held-out scenes choose the threshold, the other half is what the card reports.
    tune, test = np.arange(len(held["logmel"])) % 2 == 0, np.arange(len(held["logmel"])) % 2 == 1
    net = loop.train(net, step, len(train["logmel"]), 16, a.minutes, 3e-3,
                     lambda n: "F1 %.4f" % scores(held["truth"][tune][..., -1], predict(n, held["logmel"][tune])[..., 0], .5)[0])
    p_tune, p_test = (predict(net, held["logmel"][k])[..., 0] for k in (tune, test))
    threshold = max(np.arange(.2, .81, .02), key=lambda t: scores(held["truth"][tune][..., -1], p_tune, t)[0])
    truth = held["truth"][test]
    f1, false_alarm, miss = scores(truth[..., -1], p_test, threshold)
    has = lambda name: truth[..., scenes.CLASSES.index(name)] == 1
    quiet = truth[..., -1] == 0
    metrics = {"threshold": round(float(threshold), 2), "f1": f1, "false_alarm": false_alarm, "miss": miss,
               "scenes": int(test.sum()), "train_scenes": len(train["logmel"]),
               "false_alarm_in": {c: float((p_test >= threshold)[has(c) & quiet].mean()) for c in scenes.CLASSES[1:] if (has(c) & quiet).any()},
               "miss_under": {c: float((p_test < threshold)[has(c) & (truth[..., -1] == 1)].mean()) for c in ("Music", "Noise", "Rain")}}
    a.out.mkdir(parents=True, exist_ok=True)
    export.export(export.Probabilities(net, "sigmoid"), a.out / "model.onnx", "speech", {0: "batch", 1: "steps"}, 1024)
    (a.out / "metrics.json").write_text(json.dumps(metrics, indent=1))
    torch.save(net.state_dict(), a.out / "net.pt")
    print(json.dumps(metrics, indent=1))


if __name__ == "__main__":
    main()
