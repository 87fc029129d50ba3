"""Writes audio/feature's golden fixture: samples as 16-bit little-endian PCM, log-mel and its "cmvn" as float32.

usage: python golden.py DIRECTORY
"""
import pathlib
import sys

import numpy as np

import logmel


def main(folder):
    g = np.random.default_rng(20261123)
    t = np.arange(12345) / logmel.RATE
    x = 0.4 * np.sin(2 * np.pi * (200 + 2500 * t) * t) + 0.1 * np.sign(np.sin(2 * np.pi * 130 * t)) * (t > 0.3)
    x += g.standard_normal(len(t)) * np.where(t > 0.6, 0.1, 0.003)
    x[3000:4200] = 0
    pcm = np.clip(x * 32768, -32768, 32767).astype("<i2")
    features = logmel.logmel(pcm.astype(np.float32) / 32768)
    folder = pathlib.Path(folder)
    pcm.tofile(folder / "golden.pcm16")
    features.astype("<f4").tofile(folder / "golden.logmel.f32")
    logmel.cmvn(features).astype("<f4").tofile(folder / "golden.cmvn.f32")


if __name__ == "__main__":
    main(sys.argv[1])
