"""Figures on speech: the held-out passages spoken by flite's rms (a voice that the recogniser never heard in training), and
the sample feed's English episodes; recognised by bin/earshot, and punctuated from its words and times.

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


def spoken(passages, work):
    """Files of the passages, spoken."""
    files = []
    for i, text in enumerate(passages):
        files.append(work / f"{i:03}.wav")
        subprocess.run(["flite", "-voice", "rms", "-t", text, "-o", files[-1]], check=True)
    return files


def sample():
    """What is said in the sample feed's English episodes, and their files."""
    truths = [json.loads(f.read_text()) for f in sorted((ROOT / "sample" / "truth").glob("*.json"))]
    english = [t for t in truths if t["language"] == "en"]
    return [" ".join(s["text"] for s in t["segments"]) for t in english], [ROOT / "sample" / "feed" / t["file"] for t in english]


def recognised(files, work):
    """What bin/earshot hears of each file: its words with their times."""
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
    for name, said, files in (("passages", lines, spoken(lines, work)), ("sample feed", *sample())):
        passages = [texts.read(text) for text in said]
        heard = recognised(files, work / name)
        both = [aligned(p, h) for p, h in zip(passages, heard)]
        print(f"{name}: {sum(map(len, passages))} words, word errors {sum(wrong for _, wrong in both) / sum(map(len, passages)):.3f}")
        print(json.dumps(evaluate(net, [p for p, _ in both], [silences(h) for h in heard])))


if __name__ == "__main__":
    main()
