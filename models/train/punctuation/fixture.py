"""Writes what torch makes of a held-out passage, which models/punctuation is held to:

    python fixture.py NET.pt ../../punctuation/testdata/reference.json
"""
import json
import random
import sys
from pathlib import Path

import texts
import torch
from network import LONGEST, REACH, Net
from train import tensors, written


def main():
    net = Net()
    net.load_state_dict(torch.load(sys.argv[1]))
    net.eval()
    _, _, test, _ = texts.collect()
    passage = test[0] + test[1]  # longer than a window of the model
    r = random.Random(5)
    pauses = [round(r.choice((0, 0, 0.04, 0.2, 0.6, 2.5)), 2) for _ in passage]
    gaps = [min(LONGEST, p) for p in pauses[:-1]] + [LONGEST]
    ids, tensor, _, _ = tensors([passage], [gaps])
    with torch.no_grad():
        marks, cases = net(ids, tensor)
    shown = written(marks[0].argmax(1).tolist(), cases[0].argmax(1).tolist())
    as_lists = lambda t: [[round(x, 4) for x in row] for row in t[0].tolist()]
    Path(sys.argv[2]).write_text(json.dumps({
        "words": texts.words(passage), "pauses": pauses, "written": texts.spell(passage, *shown), "reach": REACH,
        "ids": ids[0, :8].tolist(), "marks": as_lists(marks), "cases": as_lists(cases)}) + "\n")


if __name__ == "__main__":
    main()
