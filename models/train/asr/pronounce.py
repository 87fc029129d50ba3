"""Asks festival (festlex-cmu and its letter-to-sound rules) how each word of the vocabulary sounds.

    pronounce.py --work DIR [--jobs 2]

Reads DIR/texts/vocabulary.txt, writes DIR/festival.txt: one `W word (entry)` line per word. Takes
minutes, so what is there already is kept.
"""
import argparse
import subprocess
from pathlib import Path


def script(words):
    lines = ['(lex.select "cmu")']
    lines += [f'(format t "W %s %l\\n" "{word}" (lex.lookup "{word}" nil))' for word in words]
    return "\n".join(lines) + "\n"


def main():
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--work", type=Path, required=True)
    parse.add_argument("--jobs", type=int, default=2)
    args = parse.parse_args()
    found = args.work / "festival.txt"
    known = {line.split()[1] for line in found.read_text().splitlines()} if found.exists() else set()
    words = [w for w in (args.work / "texts/vocabulary.txt").read_text().split() if w not in known]
    running = []
    for job in range(args.jobs):
        program = args.work / f"festival-{job}.scm"
        program.write_text(script(words[job::args.jobs]))
        running.append(subprocess.Popen(["festival", "-b", program], stdout=subprocess.PIPE, text=True))
    with found.open("a") as out:
        for process in running:
            text, _ = process.communicate()
            if process.returncode:
                raise SystemExit(f"festival -b {process.args[-1]} failed with {process.returncode}")
            out.writelines(line + "\n" for line in text.splitlines() if line.startswith("W "))


if __name__ == "__main__":
    main()
