"""Figures on speech: the held-out passages spoken by flite's rms (a voice that the recogniser never heard in training),
recognised by bin/earshot, and punctuated from its words and times.

    make build && python evaluate.py NET.pt WORK

What was said is aligned with what was heard: a mark is due after the word that stands where it was said, and a word that
was misheard has no case of its own.
"""
import difflib
import json
import subprocess
import sys
from pathlib import Path

import texts
import torch
from network import LONGEST, Net
from texts import UNKNOWN
from train import evaluate

ROOT = Path(__file__).resolve().parents[3]


def records(passages, work):
    """What bin/earshot hears of each passage: its words with their times."""
    files = []
    for i, text in enumerate(passages):
        files.append(work / f"{i:03}.wav")
        subprocess.run(["flite", "-voice", "rms", "-t", text, "-o", files[-1]], check=True)
    subprocess.run([ROOT / "bin" / "earshot", "enrich", "--language", "en", "--state", work / "state", "--out", work / "out", *files],
                   check=True, capture_output=True, cwd=ROOT)
    found = {}
    for file in (work / "out" / "records").glob("*.json"):
        record = json.loads(file.read_text())
        found[record["episode"]["title"]] = [w for s in (record.get("transcript") or {"segments": []})["segments"] for w in s["words"]]
    return [found[f.stem] for f in files]


def aligned(passage, heard):
    """A passage of the words that were heard, with the marks and cases that are due, and how many words were wrong."""
    out = [(w["text"], 0, UNKNOWN) for w in heard]
    wrong = 0
    said, got = texts.words(passage), [w["text"] for w in heard]
    for kind, a, b, c, d in difflib.SequenceMatcher(None, said, got, False).get_opcodes():
        wrong += 0 if kind == "equal" else max(b - a, d - c)
        for i in range(a, b):
            at = min(c + i - a, d - 1) if d > c else c - 1
            if i == b - 1 and d > c:
                at = d - 1
            if at >= 0:
                word, mark, case = out[at]
                out[at] = (word, max(mark, passage[i][1]), passage[i][2] if kind == "equal" else case)
    return out, wrong


def silences(heard):
    return [min(LONGEST, max(0, b["start"] - a["end"])) for a, b in zip(heard, heard[1:])] + [LONGEST]


def main():
    work = Path(sys.argv[2])
    work.mkdir(parents=True, exist_ok=True)
    net = Net()
    net.load_state_dict(torch.load(sys.argv[1]))
    lines = [line for line in texts.written()["test"] if texts.read(line)]
    passages = [texts.read(line) for line in lines]
    heard = records(lines, work)
    both = [aligned(p, h) for p, h in zip(passages, heard)]
    print(f"word errors: {sum(wrong for _, wrong in both) / sum(map(len, passages)):.3f} of {sum(map(len, passages))}")
    print(json.dumps(evaluate(net, [p for p, _ in both], [silences(h) for h in heard])))


if __name__ == "__main__":
    main()
