"""Makes episodes of the sample's kind that nothing was trained or tuned on, for the cards of ads and highlight.

    python episodes.py FOLDER && bin/earshot eval FOLDER

With --texts ads/dev.txt, episodes to choose a model's settings by. Passages of ads/test.txt, four of talk and two
advertisements an episode, spoken by voices that the recogniser was not trained on (flite's rms, faster, slower, higher, lower)
or has heard other words of; some advertisements have a voice or jingles of their own, some neither. One passage of talk is the
highlight: somebody applauds or laughs at its end. Needs what sample/make needs.
"""
import argparse
import json
import pathlib
import random
import re
import sys

import soundfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "sample" / "make"))
import mix
from script import Cue, Script

HOSTS = ["flite:rms:1.0", "flite:rms:1.1:90", "flite:rms:0.95:115", "flite:slt:1.05"]
SELLERS = ["flite:rms:0.9:125", "flite:slt:0.95", "espeak:en-us+m3:160:45", "espeak:en-gb+f2:165:55"]
RATE = 16000


def passages(texts, kind):
    lines = texts.read_text().splitlines()
    return [re.split(r"(?<=[.?!]) ", line[3:]) for line in lines if line.startswith(kind)]


def script(slug, talks, ads, rng):
    host = rng.choice(HOSTS)
    seller = rng.choice([v for v in SELLERS if v != host])
    say = lambda who, sentences: [Cue("speech", who, text=s) for s in sentences]
    mark = lambda kind, cues: [Cue("mark", kind + " begin"), *cues, Cue("mark", kind + " end")]
    best = rng.randrange(len(talks))
    parts = []
    for i, talk in enumerate(talks):
        cues = say("host", talk)
        if i == best:
            cues = mark("highlight", cues + [Cue("sound", rng.choice(["applause", "laughter"]), rng.uniform(3, 5))])
        parts.append(cues + [Cue("pause", "Silence", rng.uniform(.3, .9))])
    for ad in ads:
        cues = say(rng.choice(["host", "seller"]), ad)
        if rng.random() < .5:
            jingle = Cue("music", "jingle", 3.2)
            cues = [jingle, *cues, jingle]
        parts.insert(rng.randrange(len(parts) + 1), mark("ad", cues))
    music = Cue("music", "march", 5)
    return Script(slug=slug, title=slug, description="", language="en", topics=[], published="", file=slug + ".wav", encoding="wav",
                  rate=RATE, channels=1, lufs=-18, voices={"host": host, "seller": seller},
                  cues=[music, *[c for part in parts for c in part], music])


def main():
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("out", type=pathlib.Path)
    parse.add_argument("--texts", type=pathlib.Path, default=HERE / "ads" / "test.txt")
    parse.add_argument("--count", type=int, default=30)
    given = parse.parse_args()
    out = given.out
    out.mkdir(parents=True, exist_ok=True)
    rng = random.Random(9)
    talks, ads = passages(given.texts, "N"), passages(given.texts, "A")
    rng.shuffle(talks)
    rng.shuffle(ads)
    for n in range(min(given.count, len(talks) // 4, len(ads) // 2)):
        made = mix.perform(script(f"held{n:02}", talks[4 * n:4 * n + 4], ads[2 * n:2 * n + 2], rng))
        soundfile.write(out / f"held{n:02}.wav", made.track.mean(0), RATE)
        truth = {"schema": "earshot.truth/1", "file": f"held{n:02}.wav", "language": "en", "segments": made.segments,
                 "ads": made.ads, "highlight": made.highlight}
        (out / f"held{n:02}.json").write_text(json.dumps(truth, indent=1) + "\n")
        print(f"held{n:02}: {made.track.shape[1] / RATE:.0f} s", flush=True)


if __name__ == "__main__":
    main()
