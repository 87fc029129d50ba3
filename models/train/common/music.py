"""Composes at random and plays it with fluidsynth and the General MIDI sound font of Debian."""
import pathlib
import struct
import subprocess
import tempfile

import numpy as np
import soundfile

import voices

FONT = "/usr/share/sounds/sf2/FluidR3_GM.sf2"
# Every fifth instrument plays in held-out music only.
PROGRAMS = [p for p in range(0, 112) if p not in (52, 53, 54, 85, 91)]  # less the choirs: they are voices
PROGRAMS_TRAIN = [p for i, p in enumerate(PROGRAMS) if i % 5 != 2]
PROGRAMS_HELD_OUT = [p for i, p in enumerate(PROGRAMS) if i % 5 == 2]
SCALES = [(0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 7, 9), (0, 3, 5, 7, 10), (0, 2, 3, 5, 7, 9, 10)]
PROGRESSIONS = [(0, 4, 5, 3), (0, 3, 4, 0), (0, 5, 3, 4), (1, 4, 0, 0), (0, 0, 3, 4), (5, 3, 0, 4), (0, 2, 3, 4)]


def varint(n):
    out = [n & 127]
    while n > 127:
        n >>= 7
        out.append(n & 127 | 128)
    return bytes(reversed(out))


def midi(events, tempo):
    """events: (tick, bytes), 480 ticks a beat -> a standard MIDI file."""
    track, last = b"\0\xff\x51\x03" + struct.pack(">I", int(6e7 / tempo))[1:], 0
    for tick, data in sorted(events, key=lambda e: e[0]):
        track += varint(tick - last) + data
        last = tick
    track += b"\0\xff\x2f\0"
    return b"MThd" + struct.pack(">IHHH", 6, 0, 1, 480) + b"MTrk" + struct.pack(">I", len(track)) + track


def compose(r, seconds, held_out):
    programs = PROGRAMS_HELD_OUT if held_out else PROGRAMS_TRAIN
    tempo, scale, chords, key = r.uniform(60, 180), r.choice(SCALES), r.choice(PROGRESSIONS), r.randrange(12)
    beats = int(seconds * tempo / 60) + 1
    layers = [k for k, p in (("chords", .75), ("bass", .6), ("melody", .7), ("arpeggio", .35)) if r.random() < p] or ["chords"]
    drums = r.random() < .5
    events = []

    def note(channel, pitch, start, length, velocity):
        pitch = max(12, min(115, pitch))
        events.append((int(start * 480), bytes([0x90 | channel, pitch, velocity])))
        events.append((int((start + length) * 480), bytes([0x80 | channel, pitch, 0])))

    def degree(k, octave):
        return 12 * (octave + 1 + k // len(scale)) + key + scale[k % len(scale)]

    for channel, layer in enumerate(layers):
        events.append((0, bytes([0xC0 | channel, r.choice(programs)])))
        octave = {"chords": 4, "bass": 2, "melody": 5, "arpeggio": 4}[layer] + r.choice([-1, 0, 0, 0, 1])
        loud = r.randint(55, 110)
        step, walk = r.choice([.5, 1, 1, 2]), 0
        b = 0.0
        while b < beats:
            root = chords[int(b // 4) % len(chords)]
            v = max(20, min(127, loud + r.randint(-12, 12)))
            if layer == "chords":
                length = r.choice([1, 2, 4]) if step < 2 else 4
                for k in (0, 2, 4):
                    note(channel, degree(root + k, octave), b, length * .95, v)
                b += length
            elif layer == "bass":
                note(channel, degree(root + r.choice([0, 0, 0, 4]), octave), b, step * .9, v)
                b += step
            elif layer == "arpeggio":
                note(channel, degree(root + r.choice([0, 2, 4, 7]), octave), b, .45, v)
                b += .5
            else:
                walk = max(-4, min(9, walk + r.choice([-2, -1, -1, 0, 1, 1, 2])))
                length = r.choice([.5, .5, 1, 1, 2])
                if r.random() < .85:
                    note(channel, degree(root + walk, octave), b, length * .9, v)
                b += length
    if drums:
        kick, snare, hat = r.choice([(0, 2), (0, 1.5, 2), (0,)]), r.choice([(1, 3), (2,), ()]), r.choice([.5, 1, .25])
        for bar in range(0, beats, 4):
            for pitch, times in ((36, kick), (38, snare), (42, np.arange(0, 4, hat))):
                for t in times:
                    if r.random() < .93:
                        note(9, pitch, bar + float(t), .2, r.randint(50, 115))
    return midi(events, tempo)


def music(r, seconds, held_out):
    """-> mono, 16 kHz, peak 0.5."""
    if not pathlib.Path(FONT).exists():
        raise SystemExit(f"music: no sound font {FONT}: install Debian's fluid-soundfont-gm")
    with tempfile.TemporaryDirectory(dir=voices.SCRATCH) as folder:
        score, wav = pathlib.Path(folder) / "a.mid", pathlib.Path(folder) / "a.wav"
        score.write_bytes(compose(r, seconds, held_out))
        subprocess.run(["fluidsynth", "-ni", "-q", "-r", "16000", "-g", "0.6", "-R", r.choice("01"), "-C", "0", "-F", str(wav),
                        FONT, str(score)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        x, rate = soundfile.read(wav, dtype="float32")
    return voices.to_tape(x[:int(seconds * rate)], rate)
