"""Figures of earshot-topics on passages that it never saw: F1 micro and macro, top-1, clean and misheard."""
import argparse
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
import material  # noqa: E402
from hashed import words  # noqa: E402
from mishear import Mishearing  # noqa: E402
from train import Net, bag, encode  # noqa: E402


def passages(path, ids):
    """(words, class or -1) of each passage."""
    return [(words(p), ids.index(i) if i != "-" else -1)
            for i, found in material.read_sections(path).items() for p in found]


def logits(model, texts):
    out = []
    with torch.no_grad():
        for t in texts:
            ids, weights = bag([encode(t) or [(0, 0.0)]])
            out.append(model(ids, weights)[0].numpy())
    return np.stack(out)


def figures(z, truth, scale, threshold):
    """Micro and macro F1 at the threshold, top-1 of passages with a topic, chit-chat left without one."""
    p = 1 / (1 + np.exp(-z * scale))
    yes = p >= threshold
    gold = np.zeros_like(yes)
    for i, t in enumerate(truth):
        if t >= 0:
            gold[i, t] = True
    tp, fp, fn = (yes & gold).sum(0), (yes & ~gold).sum(0), (~yes & gold).sum(0)
    topical = np.array([t >= 0 for t in truth])
    f1 = 2 * tp / np.maximum(2 * tp + fp + fn, 1)
    return {
        "micro F1": 2 * tp.sum() / (2 * tp.sum() + fp.sum() + fn.sum()),
        "macro F1": f1.mean(),
        "precision": tp.sum() / max(1, (tp + fp).sum()),
        "recall": tp.sum() / (tp + fn).sum(),
        "top-1": np.mean([z[i].argmax() == truth[i] for i in np.flatnonzero(topical)]),
        "top-3": np.mean([truth[i] in z[i].argsort()[-3:] for i in np.flatnonzero(topical)]),
        "chat without topic": 1 - yes[~topical].any(1).mean(),
        "log loss": -np.mean(np.where(gold, np.log(p + 1e-9), np.log(1 - p + 1e-9)).sum(1)),
    }


def calibrate(z, truth):
    """The scale of the logits with the least log loss, then the threshold with the best micro F1 of those that
    leave at least 85 % of the chit-chat without a topic."""
    scale = min(np.arange(0.3, 3.01, 0.05), key=lambda s: figures(z, truth, s, 0.5)["log loss"])
    found = [(t, figures(z, truth, scale, t)) for t in np.arange(0.1, 0.81, 0.02)]
    quiet = [(t, f) for t, f in found if f["chat without topic"] >= 0.85]
    return float(scale), float(max(quiet, key=lambda x: x[1]["micro F1"])[0])


def settled(model):
    """Logits and classes of the dev passages, clean and misheard: what calibrate settles on."""
    ids = [l[1:].partition("]")[0] for l in (Path(__file__).parent / "lexicon.txt").read_text().splitlines() if l.startswith("[")]
    data = passages(Path(__file__).parent / "dev.txt", ids)
    texts, truth = [t for t, _ in data], [c for _, c in data]
    copies = [texts, *heard(texts, 0.2, seeds=(31, 32))]
    return np.concatenate([logits(model, t) for t in copies]), truth * len(copies)


def heard(texts, rate, seeds=(11, 12, 13)):
    return [[Mishearing(s).hear(t, rate) for t in texts] for s in seeds]


if __name__ == "__main__":
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("weights", type=Path)
    parse.add_argument("--texts", type=Path, default=Path(__file__).parent / "dev.txt")
    args = parse.parse_args()
    ids = [l[1:].partition("]")[0] for l in (Path(__file__).parent / "lexicon.txt").read_text().splitlines() if l.startswith("[")]
    state = torch.load(args.weights)
    model = Net(state["table"].numpy(), len(ids))
    model.load_state_dict(state)
    data = passages(args.texts, ids)
    texts, truth = [t for t, _ in data], [c for _, c in data]
    z = logits(model, texts)
    scale, threshold = calibrate(*settled(model))
    show = lambda f: {k: round(float(v), 3) for k, v in f.items()}  # noqa: E731
    print(len(texts), "passages; scale", scale, "threshold", threshold)
    print("clean", show(figures(z, truth, scale, threshold)))
    for t in heard(texts, 0.2, seeds=(11,)):
        print("20% wrong", show(figures(logits(model, t), truth, scale, threshold)))
    for t, c, row in zip(texts, truth, z):
        if c >= 0 and row.argmax() != c:
            print(ids[c], "as", [ids[k] for k in row.argsort()[::-1][:3]], " ".join(t[:9]))
