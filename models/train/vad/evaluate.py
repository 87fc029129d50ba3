"""Measures a speech activity model as issue 4 asks: frame F1 with music and noise at 10 dB.

usage: python evaluate.py PACK CORPUS [--scenes 60] [--graph model.int8.onnx]

Scenes of ten seconds of held-out voices with pauses, over held-out music, over steady noise, and over both, each 10 dB
below the speech; every 40 ms is judged where the truth is sure. The threshold is the manifest's.
"""
import argparse
import json
import pathlib
import re
import sys

import numpy as np
import onnxruntime

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "common"))
import corpus
import logmel
import scenes
import sounds


def loud(x):
    """RMS of the louder half: pauses do not count."""
    return np.sqrt(np.mean(np.sort(x ** 2)[len(x) // 2:])) + 1e-9


def scene(mixer, beds, db):
    talk = mixer.talk()
    layers, floor = [("Speech", talk)], np.zeros(scenes.SAMPLES)
    for bed in beds:
        x = mixer.tune() if bed == "music" else sounds.noise(mixer.draw, scenes.SAMPLES)
        x = x / loud(x) * loud(talk) * 10 ** (-db / 20)
        if bed == "music":
            layers.append(("Music", x))
        else:
            floor = floor + x
    mix = floor + sum(x for _, x in layers)
    scale = 1 / max(1, np.abs(mix).max())
    truth = mixer.truth([(c, x * scale) for c, x in layers], floor * scale, mix * scale)
    return logmel.logmel(np.round(mix * scale * 32767) / 32768), truth[:, -1]


def main():
    p = argparse.ArgumentParser()
    p.add_argument("pack", type=pathlib.Path)
    p.add_argument("corpus", type=pathlib.Path)
    p.add_argument("--scenes", type=int, default=60)
    p.add_argument("--graph", default="model.onnx")
    a = p.parse_args()
    session = onnxruntime.InferenceSession(str(a.pack / a.graph), providers=["CPUExecutionProvider"])
    threshold = float(re.search(r"threshold: ([\d.]+)\}", (a.pack / "model.yaml").read_text()).group(1))
    clips, result = corpus.load(a.corpus, "heldout"), {}
    for name, beds in (("music", ["music"]), ("noise", ["noise"]), ("music and noise", ["music", "noise"])):
        mixer, hit, wrong, missed = scenes.Mixer(clips, 77, True), 0, 0, 0
        for _ in range(a.scenes):
            x, truth = scene(mixer, beds, 10)
            said = session.run(None, {"logmel": np.stack([x, x]).astype(np.float32)})[0][0, :, 0] >= threshold
            hit, wrong, missed = hit + (said & (truth == 1)).sum(), wrong + (said & (truth == 0)).sum(), missed + (~said & (truth == 1)).sum()
        result[name] = {"f1": round(float(2 * hit / (2 * hit + wrong + missed)), 4), "precision": round(float(hit / (hit + wrong)), 4), "recall": round(float(hit / (hit + missed)), 4)}
    print(json.dumps({"scenes": a.scenes, "threshold": threshold, "at_10_db": result}))


if __name__ == "__main__":
    main()
