"""Figures of earshot-topics on the passages that its settings are chosen by: F1 micro and macro, top-1, top-3."""
import argparse
import random
import re
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
import material  # noqa: E402
from hashed import words  # noqa: E402
from mishear import Mishearing  # noqa: E402
from train import bag, encode  # noqa: E402


NOTHING = -30.0  # the logits of a text without a word, of which no model is asked


def passages(path, ids):
    """(words, class or -1) of each passage."""
    return [(words(p), ids.index(i) if i != "-" else -1)
            for i, found in material.read_sections(path).items() for p in found]


def load(folder):
    """The mean of the models in a folder of weights: table f32[rows, classes], bias f32[classes]."""
    found = [torch.load(f) for f in sorted(folder.glob("*.pt"))]
    return torch.stack([t for t, _ in found]).mean(0), torch.stack([b for _, b in found]).mean(0)


def recognised(path, heard_path, ids):
    """passages(path), with the words that heard_path has in their lines: none where the recogniser heard nothing."""
    lines = [(kept.strip(), found) for kept, found in zip(path.read_text().splitlines(), heard_path.read_text().splitlines(), strict=True)]
    found = [words(heard) for kept, heard in lines if kept and kept[0] not in "#["]
    return list(zip(found, [c for _, c in passages(path, ids)], strict=True))


def logits(model, texts):
    table, bias = model
    ids, offsets, weights = bag([encode(t) for t in texts])
    z = (torch.nn.functional.embedding_bag(ids, table, offsets, per_sample_weights=weights, mode="sum") + bias).numpy()
    z[[not t for t in texts]] = NOTHING
    return z


def figures(z, truth, scale, threshold):
    """Micro and macro F1 at the threshold, top-1 of passages with a topic, chit-chat left without one. A row of z
    that is all NOTHING, an empty text's, has no topics."""
    p = 1 / (1 + np.exp(-z * scale))
    told = (z > NOTHING).any(1)
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
        "top-1": np.mean([told[i] and z[i].argmax() == truth[i] for i in np.flatnonzero(topical)]),
        "top-3": np.mean([told[i] and truth[i] in z[i].argsort()[-3:] for i in np.flatnonzero(topical)]),
        "chat without topic": 1 - yes[~topical].any(1).mean(),
        "log loss": -np.mean(np.where(gold, np.log(p + 1e-9), np.log(1 - p + 1e-9)).sum(1)),
    }


def calibrate(z, truth):
    """The scale of the logits with the least log loss, then the threshold with the best micro F1 of those that
    leave at least 95 % of the chit-chat without a topic."""
    scale = min(np.arange(0.3, 3.01, 0.05), key=lambda s: figures(z, truth, s, 0.5)["log loss"])
    found = [(t, figures(z, truth, scale, t)) for t in np.arange(0.1, 0.81, 0.02)]
    quiet = [(t, f) for t, f in found if f["chat without topic"] >= 0.95]
    return float(scale), float(max(quiet, key=lambda x: x[1]["micro F1"])[0])


def settled(model):
    """Logits and classes of the dev passages, as written and as recognised: what calibrate settles on."""
    here = Path(__file__).parent
    data = passages(here / "dev.txt", class_ids()) + recognised(here / "dev.txt", here / "dev_recognised.txt", class_ids())
    return logits(model, [t for t, _ in data]), [c for _, c in data]


def labels():
    """Id and name of each topic, in the lexicon's order."""
    return re.findall(r"^\[(.*?)\] (.*)", (Path(__file__).parent / "lexicon.txt").read_text(), re.MULTILINE)


def class_ids():
    return [i for i, _ in labels()]


def heard(texts, rate, seeds=(11, 12, 13)):
    """Copies of the texts, misheard; every text by a generator of its own, so that none depends on the others."""
    mishearing, copies = Mishearing(seeds[0]), []
    for s in seeds:
        copies.append([])
        for t in texts:
            mishearing.random = random.Random(s)
            copies[-1].append(mishearing.hear(t, rate))
    return copies


if __name__ == "__main__":
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("weights", type=Path, help="folder that train.py wrote")
    args = parse.parse_args()
    model = load(args.weights)
    scale, threshold = calibrate(*settled(model))
    print("scale", scale, "threshold", threshold)
    here = Path(__file__).parent
    for name, data in (("written", passages(here / "dev.txt", class_ids())),
                       ("recognised", recognised(here / "dev.txt", here / "dev_recognised.txt", class_ids()))):
        found = figures(logits(model, [t for t, _ in data]), [c for _, c in data], scale, threshold)
        print(name, len(data), "passages", {k: round(float(v), 3) for k, v in found.items()})
