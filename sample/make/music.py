"""Composes the music of the sample: short pieces, written as MIDI and played by fluidsynth."""
import struct
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

TICKS = 480
SOUND_FONT = "/usr/share/sounds/sf2/FluidR3_GM.sf2"
SCALES = {"major": [0, 2, 4, 5, 7, 9, 11], "minor": [0, 2, 3, 5, 7, 8, 10]}
SNARE, KICK, HAT, CRASH = 38, 36, 42, 49


@dataclass
class Piece:
    """A bar-by-bar loop. chords: one scale degree a bar; tune: (degree or None, beats), over the whole loop."""
    key: int
    scale: str
    tempo: int
    beats: int
    chords: list
    tune: list
    lead: int
    accompaniment: int
    bass: int
    drums: bool = False
    broken: bool = True


PIECES = {
    "march": Piece(60, "major", 116, 4, [0, 3, 4, 0, 5, 1, 4, 0], [
        (0, 1), (0, .5), (1, .5), (2, 2), (5, 1), (4, .5), (3, .5), (2, 2), (1, 1), (2, 1), (3, 1), (4, 1), (4, 3), (None, 1),
        (5, 1.5), (6, .5), (7, 2), (3, 1), (5, 1), (4, 2), (6, 1), (4, 1), (5, 1), (6, 1), (7, 3), (None, 1)],
        56, 60, 58, drums=True, broken=False),
    "waltz": Piece(65, "major", 138, 3, [0, 0, 4, 4, 1, 4, 0, 0], [
        (2, 2), (4, 1), (7, 3), (6, 2), (5, 1), (4, 3), (1, 2), (3, 1), (6, 2), (5, 1), (4, 1), (2, 1), (0, 1), (0, 3)],
        71, 0, 32),
    "stars": Piece(57, "minor", 72, 4, [0, 5, 2, 6], [
        (4, 3), (7, 1), (9, 4), (8, 2), (6, 2), (4, 3), (None, 1)], 11, 88, 89),
    "office": Piece(62, "major", 104, 4, [0, 5, 3, 4], [
        (4, .5), (None, .5), (4, .5), (5, .5), (7, 1), (5, 1), (4, 1.5), (2, .5), (0, 2),
        (3, .5), (3, .5), (5, 1), (7, 1), (8, 1), (6, 2), (4, 2)], 4, 25, 33, drums=True),
    "guitar": Piece(64, "minor", 96, 4, [0, 6, 5, 4], [
        (4, 1), (3, .5), (2, .5), (0, 2), (1, 1), (2, .5), (3, .5), (1, 2), (2, 1), (1, .5), (0, .5), (-2, 2),
        (1, 1), (3, 1), (4, 2)], 24, 25, 32),
    "piano": Piece(55, "major", 84, 4, [0, 2, 3, 4], [
        (4, 2), (2, 1), (4, 1), (6, 3), (4, 1), (5, 2), (7, 2), (6, 2), (4, 2)], 0, 48, 43),
    "musette": Piece(57, "minor", 150, 3, [0, 0, 3, 3, 4, 4, 0, 0], [
        (4, 1), (7, 1), (6, 1), (4, 3), (5, 1), (7, 1), (8, 1), (7, 3), (6, 1), (5, 1), (4, 1), (3, 1), (1, 1), (3, 1),
        (2, 1), (1, 1), (2, 1), (0, 3)], 21, 24, 32),
    "jingle": Piece(67, "major", 152, 4, [0, 4], [
        (4, .5), (4, .5), (7, 1), (6, .5), (7, .5), (9, 1), (8, .5), (6, .5), (7, 1), (11, 2)], 9, 80, 36, drums=True),
}


def pitch(piece, degree):
    """The MIDI number of a scale degree; 7 is the octave above 0."""
    return piece.key + 12 * (degree // 7) + SCALES[piece.scale][degree % 7]


def notes(piece, seconds):
    """The piece's notes, repeated until they fill the time: (beat, beats, channel, key, velocity)."""
    total, length = seconds * piece.tempo / 60, len(piece.chords) * piece.beats
    for start in range(0, int(total) + 1, length):
        at = float(start)
        for degree, beats in piece.tune:
            if degree is not None:
                yield at, beats * 0.95, 0, pitch(piece, degree) + 12, 104
            at += beats
        for bar, root in enumerate(piece.chords):
            first = start + bar * piece.beats
            yield first, piece.beats * 0.9, 2, pitch(piece, root) - 24, 92
            triad = [pitch(piece, root + step) for step in (0, 2, 4)]
            for beat in range(piece.beats):
                keys = [triad[beat % 3]] if piece.broken else triad
                for key in keys:
                    yield first + beat, 0.9, 1, key, 70
                    if piece.broken:
                        yield first + beat + 0.5, 0.45, 1, triad[(beat + 1) % 3] + 12, 58
                if piece.drums:
                    yield first + beat, 0.2, 9, KICK if beat % 2 == 0 else SNARE, 88
                    yield first + beat + 0.5, 0.1, 9, HAT, 66
            if piece.drums and bar == 0:
                yield first, 1, 9, CRASH, 80


def variable(number):
    """MIDI's variable-length quantity: seven bits a byte, the high bit on all but the last."""
    out = [number & 0x7F]
    while number := number >> 7:
        out.insert(0, number & 0x7F | 0x80)
    return bytes(out)


def midi(piece, seconds):
    """The piece as a standard MIDI file, format 0: the tune right, the accompaniment left, the bass between."""
    events = [(0, 0, b"\xff\x51\x03" + struct.pack(">I", 60_000_000 // piece.tempo)[1:])]
    for channel, (program, pan) in enumerate([(piece.lead, 110), (piece.accompaniment, 18), (piece.bass, 64)]):
        events += [(0, 0, bytes([0xC0 | channel, program])), (0, 0, bytes([0xB0 | channel, 10, pan]))]
    for beat, beats, channel, key, velocity in notes(piece, seconds):
        events.append((int(beat * TICKS), 2, bytes([0x90 | channel, key, velocity])))
        events.append((int((beat + beats) * TICKS), 1, bytes([0x80 | channel, key, 0])))
    track, now = b"", 0
    for tick, _, message in sorted(events):
        track += variable(tick - now) + message
        now = tick
    track += b"\x00\xff\x2f\x00"
    return b"MThd" + struct.pack(">IHHH", 6, 0, 1, TICKS) + b"MTrk" + struct.pack(">I", len(track)) + track


def play(name, seconds, rate):
    """A piece as samples of shape [2, frames], peak one, fading out over its last 1.2 s."""
    with tempfile.TemporaryDirectory() as folder:
        score, wav = Path(folder) / "score.mid", Path(folder) / "music.wav"
        score.write_bytes(midi(PIECES[name], seconds))
        subprocess.run(["fluidsynth", "-ni", "-q", "-r", str(rate), "-g", "0.6", "-O", "s16", "-F", str(wav), SOUND_FONT,
                        str(score)], check=True, capture_output=True)
        samples = soundfile.read(wav, dtype="float64")[0].T
    heard = np.flatnonzero(np.abs(samples).max(axis=0) > 1e-3)[0]
    frames, fade = int(seconds * rate), int(1.2 * rate)
    samples = np.pad(samples[:, heard:heard + frames], [(0, 0), (0, max(0, frames - samples.shape[1] + heard))])
    samples[:, -fade:] *= np.cos(np.linspace(0, np.pi / 2, fade)) ** 2
    return samples / np.abs(samples).max()
