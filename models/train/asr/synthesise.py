"""Speaks the texts: shards of log-mel features for training, and the dev and test recordings.

    synthesise.py --work DIR train --until HH:MM [--job 0 --jobs 2]    (run one process per job)
    synthesise.py --work DIR held

train: DIR/speech/<job>-<shard>.npy, log-mel of augmented speech [frames, 64] float16, utterances end to
end, and .json beside it: a list of [frames, written text, voice]. Shards that exist are kept, so a
stopped run goes on. The second pass over the texts speaks each again, in another voice.
held: DIR/held.npz and held.json: dev and test sentences, each in a trained voice and in the voice
that training never hears, int16 at 16 kHz, not augmented.
fixture: FOLDER/heldout.pcm16 and heldout.json for the Go tests: four test sentences in the voice that
training never hears, with pauses, as [start, end, text] in seconds.
"""
import argparse
import json
import os
import random
import sys
import tempfile
from datetime import datetime, timezone
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
import numpy as np  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from augment import augment  # noqa: E402
from common.logmel import logmel  # noqa: E402
from voices import HELD_OUT, Voice, choose_voice, samples_16k, speak, speak_festival  # noqa: E402

SHARD = 600          # utterances
LONGEST_WORDS = 24   # of an utterance made by joining sentences
SHORTEST, LONGEST = 8000, 16000 * 12  # samples


def sentences(path):
    return [tuple(line.split("\t")) for line in path.read_text().splitlines()]


def joined(pairs, choose):
    """Some sentences are followed by another in the same breath, as in a piece of real speech."""
    utterances, at = [], 0
    while at < len(pairs):
        written, spoken = pairs[at]
        at += 1
        while at < len(pairs) and choose.random() < .3 and len((written + " " + pairs[at][0]).split()) <= LONGEST_WORDS:
            written += " " + pairs[at][0]
            spoken = spoken.rstrip(" .,;:") + choose.choice([". ", ", "]) + pairs[at][1]
            at += 1
        utterances.append((written, spoken))
    return utterances


def speak_all(items, folder):
    """items: (written, spoken, voice). Yields (written, voice, samples, rate); festival's come in one go."""
    by_voice = {}
    for written, spoken, voice in items:
        if voice.engine == "festival":
            by_voice.setdefault(voice, []).append((written, spoken))
            continue
        try:
            yield written, voice, *speak(voice, spoken, folder)
        except Exception as problem:  # an engine that fails on one sentence must not end the night's run
            print(f"{voice} on {spoken!r}: {problem}", file=sys.stderr)
    for voice, pairs in by_voice.items():
        for (written, _), spoken in zip(pairs, speak_festival(voice.name, [s for _, s in pairs], folder)):
            if spoken is not None:
                yield written, voice, *spoken


def make_shard(pairs, seed, folder):
    choose, noise, voices = random.Random(seed), np.random.default_rng(seed), []
    features, facts = [], []
    items = [(written, spoken, choose_voice(choose)) for written, spoken in joined(pairs, choose)]
    for written, voice, samples, rate in speak_all(items, folder):
        faster = choose.uniform(.86, 1.16) if choose.random() < .8 else 1.0
        samples = samples_16k(samples, rate, faster)
        if choose.random() < .2:
            voices = [*voices[-39:], samples]
        if SHORTEST <= len(samples) <= LONGEST:
            features.append(logmel(augment(samples, choose, noise, voices)).astype(np.float16))
            facts.append([len(features[-1]), written, f"{voice.engine} {voice.name}"])
    return np.concatenate(features), facts


def train(work, job, jobs, until):
    out = work / "speech"
    out.mkdir(exist_ok=True)
    mine = sentences(work / "texts/train.txt")[job::jobs]
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        for turn in range(2):
            for start in range(0, len(mine), SHARD):
                shard = turn * (1 + len(mine) // SHARD) + start // SHARD
                name = out / f"{job}-{shard:03d}"
                if name.with_suffix(".json").exists():
                    continue
                if datetime.now(timezone.utc).strftime("%H:%M") >= until:
                    return
                features, facts = make_shard(mine[start:start + SHARD], 1000 * shard + job, folder)
                with open(f"{name}.tmp", "wb") as file:
                    np.save(file, features)
                os.replace(f"{name}.tmp", f"{name}.npy")
                name.with_suffix(".json").write_text(json.dumps(facts))
                print(f"job {job} shard {shard}: {len(facts)} utterances, {len(features) / 360000:.2f} h", flush=True)


def held(work):
    choose, sounds, facts = random.Random(7), {}, []
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        for part in ("dev", "test"):
            for written, spoken in sentences(work / f"texts/{part}.txt"):
                for voice in (choose_voice(choose), Voice("flite", HELD_OUT)):
                    for _, _, samples, rate in speak_all([(written, spoken, voice)], folder):
                        name = f"{part}-{'unseen' if voice.name == HELD_OUT else 'seen'}-{len(facts):04d}"
                        sounds[name] = (samples_16k(samples, rate) * 32767).astype(np.int16)
                        facts.append([name, written, f"{voice.engine} {voice.name}"])
    np.savez(work / "held.npz", **sounds)
    (work / "held.json").write_text(json.dumps(facts))
    print(f"{len(facts)} recordings, {sum(map(len, sounds.values())) / 16000 / 60:.1f} min")


def fixture(work, folder):
    long_ones = [pair for pair in sentences(work / "texts/test.txt") if len(pair[0].split()) >= 8][:4]
    sound, facts = [np.zeros(8000, np.float32)], []
    with tempfile.TemporaryDirectory() as scratch:
        for written, spoken in long_ones:
            start = sum(map(len, sound)) / 16000
            sound.append(samples_16k(*speak(Voice("flite", HELD_OUT), spoken, scratch)))
            facts.append([start, sum(map(len, sound)) / 16000, written])
            sound.append(np.zeros(12000, np.float32))
    (np.concatenate(sound) * 32767).astype("<i2").tofile(folder / "heldout.pcm16")
    (folder / "heldout.json").write_text(json.dumps(facts, indent=1) + "\n")


def main():
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--work", type=Path, required=True)
    parse.add_argument("what", choices=["train", "held", "fixture"])
    parse.add_argument("--folder", type=Path, help="of the fixture")
    parse.add_argument("--job", type=int, default=0)
    parse.add_argument("--jobs", type=int, default=1)
    parse.add_argument("--until", default="24:00", help="UTC, HH:MM: no shard starts later")
    args = parse.parse_args()
    if args.what == "held":
        held(args.work)
    elif args.what == "fixture":
        fixture(args.work, args.folder)
    else:
        train(args.work, args.job, args.jobs, args.until)


if __name__ == "__main__":
    main()
