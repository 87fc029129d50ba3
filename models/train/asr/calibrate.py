"""Fits the confidence of a word: logistic regression over what `wer -evidence` wrote of the dev recordings.

    calibrate.py EVIDENCE --model FOLDER

Writes the weights into the parameters of FOLDER/model.yaml; prints the fit's mean log loss beside that of a constant.
"""
import argparse
import json
from pathlib import Path

import numpy as np

NAMES = ["Phones", "Grammar", "Length", "Company", "Likeness"]


def fit(x, y, ridge=1.0):
    """Newton's method for L2-penalised logistic regression, the bias not penalised. x: [words, weights], the first column ones."""
    weights = np.zeros(x.shape[1])
    penalty = np.diag([0] + [ridge] * (x.shape[1] - 1))
    for _ in range(50):
        p = 1 / (1 + np.exp(-x @ weights))
        slope = x.T @ (y - p) - penalty @ weights
        step = np.linalg.solve((x * (p * (1 - p))[:, None]).T @ x + penalty, slope)
        weights += step
        if np.abs(step).max() < 1e-8:
            break
    return weights


def loss(p, y):
    return -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))


def main():
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("evidence")
    parse.add_argument("--model", type=Path, required=True)
    args = parse.parse_args()
    words = [json.loads(line) for line in open(args.evidence)]
    x = np.array([[1] + [word[name] for name in NAMES] for word in words])
    y = np.array([float(word["Right"]) for word in words])
    weights = fit(x, y)
    line = "  confidence: {" + ", ".join(f"{name.lower()}: {w:.4g}" for name, w in zip(["bias", *NAMES], weights)) + "}"
    manifest = args.model / "model.yaml"
    lines = [old for old in manifest.read_text().splitlines() if not old.startswith("  confidence:")]
    lines.insert(lines.index("labels:"), line)
    manifest.write_text("\n".join(lines) + "\n")
    print(f"{len(words)} words, {y.mean():.3f} right; log loss {loss(1 / (1 + np.exp(-x @ weights)), y):.4f}, a constant's {loss(y.mean(), y):.4f}")


if __name__ == "__main__":
    main()
