"""Makes the sample feed: speaks scripts/*.toml into ../feed and writes what is true of each into ../truth.

    python make.py [--only SLUG] [--out FOLDER]

Needs Debian's espeak-ng, flite, festival (festvox-kdlpc16k, festvox-us-slt-hts, festlex-cmu), fluidsynth
and fluid-soundfont-gm, and requirements.txt. The same versions give the same bytes.
"""
import argparse
import json
from email.utils import parsedate_to_datetime
from pathlib import Path

import encode
import feed
import mix
import script as scripts

HERE = Path(__file__).parent
# IAB Content Taxonomy 3.1, top level: (c) IAB Tech Lab, CC BY 3.0.
IAB = {
    "Sports": "483", "Food & Drink": "210", "Science": "464", "Business and Finance": "52", "Pets": "422",
    "Travel": "653", "Healthy Living": "223", "Fine Art": "201",
}
LANGUAGES = {"es": "Spanish", "de": "German", "fr": "French"}


def gaps(language):
    """The gaps that a record may have: no model for speakers is built in, and where nothing recognises the language,
    everything that needs a transcript."""
    always = [{"node": "speakers", "reason": "no model configured"}]
    if language not in LANGUAGES:
        return always
    without = [{"node": node, "reason": "needs the transcript"} for node in ("topics", "ads", "passages", "chapters", "keywords")]
    return [*always, {"node": "transcript", "reason": f"no recogniser for {LANGUAGES[language]}"}, *without]


def truth(script, made, measured):
    """What is true of an episode, in seconds from its first sample."""
    lufs, peak = measured
    return {
        "schema": "earshot.truth/1", "slug": script.slug, "guid": f"earshot-sampler-{script.slug}", "file": script.file,
        "title": script.title, "language": script.language, "duration": round(made.track.shape[1] / made.rate, 3),
        "sample_rate": script.rate, "channels": script.channels,
        "loudness": {"integrated_lufs": lufs, "true_peak_dbtp": peak},
        "segments": made.segments, "sound_events": made.events,
        "topics": [{"taxonomy": "iab-3.1", "id": IAB[name], "name": name} for name in script.topics],
        "ads": made.ads, "highlight": made.highlight, "expected_gaps": gaps(script.language),
    }


def make(script, out):
    """One episode: its audio and its truth, written; gives the truth."""
    made = mix.perform(script)
    path = out / "feed" / script.file
    track = made.track if script.channels == 2 else made.track.mean(axis=0, keepdims=True)
    encode.write(encode.level(track, made.rate, script.lufs), script, path)
    facts = truth(script, made, encode.loudness(path))
    (out / "truth" / f"{script.slug}.json").write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    lines = [script.title, script.description, *(segment["text"] for segment in facts["segments"])]
    (out / "truth" / f"{script.slug}.txt").write_text("\n".join(lines) + "\n")
    print(f"{script.file}: {facts['duration']:.1f} s, {path.stat().st_size} bytes, {facts['loudness']}", flush=True)
    return facts


def main():
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--only", help="make one episode again, and leave the feed as it is")
    parse.add_argument("--out", type=Path, default=HERE.parent)
    args = parse.parse_args()
    for folder in ("feed", "truth"):
        (args.out / folder).mkdir(parents=True, exist_ok=True)
    everything = [scripts.read(path) for path in (HERE / "scripts").glob("*.toml")]
    everything.sort(key=lambda script: parsedate_to_datetime(script.published), reverse=True)
    chosen = [script for script in everything if args.only in (None, script.slug)]
    facts = [make(script, args.out) for script in chosen]
    if args.only is None:
        sizes = [(args.out / "feed" / script.file).stat().st_size for script in everything]
        feed.write(zip(everything, facts, sizes), args.out / "feed" / "feed.xml")


if __name__ == "__main__":
    main()
