"""Writes a file of passages as the built-in recogniser hears them.

    make build && python recognised.py topic/test.txt topic/recognised.txt
    make build && python recognised.py topic/passages.txt topic/heard.txt --voices 1

The voice is flite's rms, which no model was trained on; with --voices SEED each passage has one of the training's
voices instead. Lines that begin with # or [ stay, and so does a label before a passage ("A: "). Needs Debian's flite,
and espeak-ng for the training's voices.
"""
import argparse
import json
import pathlib
import random
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
BATCH = 200  # passages of one run of bin/earshot


def spoken(texts, folder, seed):
    """Files of the texts, in the order of the texts: by rms, or with a seed by voices of the training."""
    files = [folder / f"{i:04}.wav" for i in range(len(texts))]
    if seed is None:
        for text, file in zip(texts, files):
            subprocess.run(["flite", "-voice", "rms", "-t", text, "-o", file], check=True)
        return files
    sys.path.insert(0, str(pathlib.Path(__file__).parent / "asr"))
    import soundfile
    from voices import choose_voice, speak
    choose = random.Random(seed)
    for text, file in zip(texts, files):
        voice = choose_voice(choose)
        while voice.engine == "festival":  # takes seconds to load
            voice = choose_voice(choose)
        soundfile.write(file, *speak(voice, text, folder))
    return files


def heard(texts, folder, seed=None):
    """What bin/earshot says that each text said."""
    files = spoken(texts, folder, seed)
    out = subprocess.run([ROOT / "bin" / "earshot", "enrich", "--language", "en", "--state", folder / "state", *files],
                         check=True, capture_output=True, text=True, cwd=ROOT).stdout
    decoder, at, found = json.JSONDecoder(), 0, {}
    while at < len(out):
        record, at = decoder.raw_decode(out, at)
        found[record["episode"]["title"]] = " ".join(s["text"] for s in (record.get("transcript") or {"segments": []})["segments"])
        at += len(out[at:]) - len(out[at:].lstrip())
    return [found[f.stem] for f in files]


def main():
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("source", type=pathlib.Path)
    parse.add_argument("target", type=pathlib.Path)
    parse.add_argument("--voices", type=int, metavar="SEED", help="draw voices of the training")
    args = parse.parse_args()
    lines = [l for l in args.source.read_text().splitlines() if l]
    parts = [("", l, "") if l[0] in "#[" else (*re.match(r"((?:[A-Z]: )?)(.*)", l).groups()[:1], "", re.sub(r"^[A-Z]: ", "", l)) for l in lines]
    texts, said = [text for _, _, text in parts if text], []
    for i in range(0, len(texts), BATCH):
        with tempfile.TemporaryDirectory() as folder:
            seed = None if args.voices is None else args.voices + i
            said += heard(texts[i:i + BATCH], pathlib.Path(folder), seed)
        print(f"{len(said)} of {len(texts)}", flush=True)
    said = iter(said)
    args.target.write_text("".join(f"{label}{kept}{next(said) if text else ''}\n" for label, kept, text in parts))


if __name__ == "__main__":
    main()
