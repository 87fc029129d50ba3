"""The synthetic voices: espeak-ng with its speaker variants, flite and festival.

flite's voice rms speaks in dev and test only: it is the voice that training never hears.
"""
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

HELD_OUT = "rms"

ACCENTS = ["en-us"] * 6 + ["en-gb"] * 2 + ["en-gb-x-rp", "en-gb-scotland", "en-us-nyc", "en-gb-x-gbclan", "en-gb-x-gbcwmd"]
VARIANTS = """f1 f2 f3 f4 f5 m1 m2 m3 m4 m5 m6 m7 m8 Alex Alicia Andrea Andy Annie Gene Gene2 Jacky Lee Marco Mario Michael
Mike adam anika antonio aunty belinda benjamin boris caleb david ed edward grandma grandpa iven john linda max michel
miguel norbert pablo paul pedro quincy rob robert shelby steph steph2 travis victor zac Denis Diogo Henrique Hugo Nguyen
klatt klatt2 klatt3 klatt4""".split()
FESTIVAL = ["cmu_us_slt_arctic_hts", "cmu_us_slt_arctic_hts", "ked_diphone", "ked_diphone", "kal_diphone"]


@dataclass(frozen=True)
class Voice:
    engine: str
    name: str
    speed: float = 1.0  # espeak: words per minute; flite: stretch of durations
    pitch: int = 0      # espeak: 0 to 99; flite: Hz, 0 for the voice's own


def choose_voice(choose):
    """A voice for training, drawn by choose, a random.Random."""
    draw = choose.random()
    if draw < .45:
        variant = "+" + choose.choice(VARIANTS) if choose.random() < .9 else ""
        return Voice("espeak", choose.choice(ACCENTS) + variant, choose.randint(130, 190), choose.randint(20, 80))
    if draw < .63:
        return Voice("flite", "slt", round(choose.uniform(.9, 1.25), 2))
    if draw < .81:
        return Voice("flite", "awb", round(choose.uniform(.9, 1.25), 2))
    if draw < .88:
        return Voice("flite", "kal16", round(choose.uniform(.9, 1.25), 2), choose.randint(85, 150))
    return Voice("festival", choose.choice(FESTIVAL))


def speak(voice, text, folder):
    """One text in one voice (espeak or flite): (samples float32, rate). folder: for the scratch file."""
    out = str(Path(folder) / "spoken.wav")
    if voice.engine == "espeak":
        command = ["espeak-ng", "-v", voice.name, "-s", str(int(voice.speed)), "-p", str(voice.pitch), "-w", out, text]
    else:
        command = ["flite", "-voice", voice.name, "--setf", f"duration_stretch={voice.speed}"]
        if voice.pitch:
            command += ["--setf", f"int_f0_target_mean={voice.pitch}"]
        command += ["-t", text, "-o", out]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)
    return soundfile.read(out, dtype="float32")


def speak_festival(name, texts, folder):
    """Many texts in one festival voice, which is slow to load: a list of (samples, rate), None where it failed."""
    folder = Path(folder)
    lines = [f"(voice_{name})"]
    for i, text in enumerate(texts):
        text = text.replace("\\", "").replace('"', "")
        lines.append(f'(utt.save.wave (utt.synth (Utterance Text "{text}")) "{folder}/{i}.wav" \'riff)')
    (folder / "speak.scm").write_text("\n".join(lines))
    subprocess.run(["festival", "-b", folder / "speak.scm"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=600)
    spoken = []
    for i in range(len(texts)):
        wav = folder / f"{i}.wav"
        try:
            spoken.append(soundfile.read(wav, dtype="float32"))
            wav.unlink()
        except (RuntimeError, OSError):
            spoken.append(None)
    return spoken


def samples_16k(samples, rate, faster=1.0):
    """At 16 kHz, peak 0.5; faster > 1 plays it faster and higher."""
    import soxr
    target = 16000 / faster
    if abs(rate - target) > 1:
        samples = soxr.resample(samples, rate, target, "MQ")
    return np.asarray(samples / (np.abs(samples).max() + 1e-6) * .5, np.float32)
