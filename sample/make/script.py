"""Reads an episode's script: a TOML file whose `script` is one cue a line.

    voice: a sentence.            somebody speaks
    @music NAME SECONDS           a piece of music.py
    @sound NAME SECONDS           a sound of sounds.py
    @pause SECONDS                nothing at all
    @ad begin, @ad end            an advertisement
    @highlight begin, ... end     the passage worth hearing
"""
import tomllib
from dataclasses import dataclass, field


@dataclass
class Cue:
    """One line: kind is speech, music, sound, pause or mark; name is the voice, piece, sound or mark."""
    kind: str
    name: str
    seconds: float = 0.0
    text: str = ""


@dataclass
class Script:
    """An episode before it is spoken. rate in Hz, lufs the integrated loudness to reach."""
    slug: str
    title: str
    description: str
    language: str
    topics: list
    published: str
    file: str
    encoding: str
    rate: int
    channels: int
    lufs: float
    voices: dict
    cues: list
    pan: dict = field(default_factory=dict)
    soundbite: str = ""


def parse_cue(line, voices):
    """One line of a script as a Cue; ValueError says what is wrong with it."""
    if line.startswith("@"):
        word, *arguments = line[1:].split()
        if word in ("ad", "highlight") and arguments in (["begin"], ["end"]):
            return Cue("mark", f"{word} {arguments[0]}")
        if word == "pause" and len(arguments) == 1:
            return Cue("pause", "Silence", float(arguments[0]))
        if word in ("music", "sound") and len(arguments) == 2:
            return Cue(word, arguments[0], float(arguments[1]))
        raise ValueError(f"unknown cue {line!r}")
    voice, colon, text = line.partition(":")
    if not colon or voice not in voices:
        raise ValueError(f"no voice {voice!r} for {line!r} (has {', '.join(sorted(voices))})")
    return Cue("speech", voice, text=text.strip())


def read(path):
    """The Script in a TOML file."""
    fields = tomllib.loads(path.read_text())
    lines = [line.strip() for line in fields.pop("script").splitlines() if line.strip()]
    try:
        cues = [parse_cue(line, fields["voices"]) for line in lines]
    except ValueError as error:
        raise SystemExit(f"{path}: {error}") from error
    return Script(slug=path.stem, cues=cues, **fields)
