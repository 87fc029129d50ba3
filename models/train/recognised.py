"""Writes a file of passages as the built-in recogniser hears them from a voice that no model was trained on (flite's rms).

    make build && python recognised.py topic/test.txt topic/recognised.txt

Lines that begin with # or [ stay, and so does a label before a passage ("A: "). Needs Debian's flite.
"""
import json
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]


def heard(texts, folder):
    """What bin/earshot says that each text said."""
    files = []
    for i, text in enumerate(texts):
        files.append(folder / f"{i:04}.wav")
        subprocess.run(["flite", "-voice", "rms", "-t", text, "-o", files[-1]], check=True)
    out = subprocess.run([ROOT / "bin" / "earshot", "enrich", "--language", "en", "--state", folder / "state", *files],
                         check=True, capture_output=True, text=True, cwd=ROOT).stdout
    decoder, at, found = json.JSONDecoder(), 0, {}
    while at < len(out):
        record, at = decoder.raw_decode(out, at)
        found[record["episode"]["title"]] = " ".join(s["text"] for s in (record.get("transcript") or {"segments": []})["segments"])
        at += len(out[at:]) - len(out[at:].lstrip())
    return [found[f.stem] for f in files]


def main():
    source, target = map(pathlib.Path, sys.argv[1:])
    lines = [l for l in source.read_text().splitlines() if l]
    parts = [("", l, "") if l[0] in "#[" else (*re.match(r"((?:[A-Z]: )?)(.*)", l).groups()[:1], "", re.sub(r"^[A-Z]: ", "", l)) for l in lines]
    with tempfile.TemporaryDirectory() as folder:
        said = iter(heard([text for _, _, text in parts if text], pathlib.Path(folder)))
    target.write_text("".join(f"{label}{kept}{next(said) if text else ''}\n" for label, kept, text in parts))


if __name__ == "__main__":
    main()
