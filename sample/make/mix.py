"""Puts a script's cues one after another on a stereo track and notes when each is heard."""
import random as chance
from dataclasses import dataclass, field

import numpy as np

import music
import sounds
import voices

# Peaks of music and sounds, beside speech at an RMS of -23 dBFS.
MUSIC_PEAK, SOUND_PEAK = 0.35, 0.4


@dataclass
class Mix:
    """The track, samples of shape [2, frames], and what is in it, with times in seconds."""
    rate: int
    track: np.ndarray
    segments: list = field(default_factory=list)
    events: list = field(default_factory=list)
    ads: list = field(default_factory=list)
    highlight: dict = field(default_factory=dict)


def seed(text):
    """A number that depends on text alone."""
    return int.from_bytes(text.encode(), "big") % (2 ** 31 - 1)


def perform(script):
    """Speaks, plays and records a script."""
    rate, gaps, out = script.rate, chance.Random(seed(script.slug)), []
    mix = Mix(rate, np.zeros((2, 0)))
    opened = {}
    now = 0

    def span(frames):
        return {"start": round(now / rate, 3), "end": round((now + frames) / rate, 3)}

    def append(part):
        nonlocal now
        out.append(part)
        now += part.shape[1]

    append(np.zeros((2, int(0.3 * rate))))
    for number, cue in enumerate(script.cues):
        if cue.kind == "mark":
            word, edge = cue.name.split()
            if edge == "begin":
                opened[word] = now
                continue
            marked = {"start": round(opened.pop(word) / rate, 3), "end": round(now / rate, 3)}
            if word == "ad":
                mix.ads.append(marked)
            else:
                mix.highlight = marked
            continue
        if cue.kind == "speech":
            mono = voices.speak(script.voices[cue.name], cue.text, rate)
            part = np.zeros((2, len(mono)))
            sounds.place(part, mono * np.sqrt(2), 0, script.pan.get(cue.name, 0))
            mix.segments.append(span(len(mono)) | {
                "text": cue.text, "speaker": cue.name, "voice": script.voices[cue.name]})
            append(part)
            append(np.zeros((2, int(gaps.uniform(0.38, 0.6) * rate))))
            continue
        if cue.kind == "pause":
            part, label = np.zeros((2, int(cue.seconds * rate))), "Silence"
        elif cue.kind == "music":
            part, label = MUSIC_PEAK * music.play(cue.name, cue.seconds, rate), "Music"
        else:
            random = np.random.default_rng(seed(f"{script.slug} {number} {cue.name}"))
            part = SOUND_PEAK * sounds.MAKERS[cue.name](cue.seconds, rate, random)
            label = cue.name.capitalize()
        if label != "Silence" or cue.seconds >= 1:
            mix.events.append({"label": label} | span(part.shape[1]))
        append(part)
        if cue.kind != "pause":
            append(np.zeros((2, int(0.35 * rate))))
    append(np.zeros((2, int(0.3 * rate))))
    mix.track = np.concatenate(out, axis=1)
    mix.events = sorted(mix.events + talk(mix.segments), key=lambda event: event["start"])
    for event in mix.events:
        event["id"] = sounds.AUDIOSET[event["label"]]
    return mix


def talk(segments):
    """The spans of speech, where neighbours less than 0.7 s apart are one."""
    spans = []
    for segment in segments:
        if spans and segment["start"] - spans[-1]["end"] < 0.7:
            spans[-1]["end"] = segment["end"]
        else:
            spans.append({"label": "Speech", "start": segment["start"], "end": segment["end"]})
    return spans
