"""Silero VAD: golden data from the package's own model and rules.

    pip install torch numpy scipy onnxruntime silero-vad        (versions: requirements.txt)
    python silero.py        # writes ../../vad/silero/testdata

No model is made: the tests run the real one, which `make setup` fetches. The clip is speech of two synthesisers, music
and noise from the clips of the other tasks. Probabilities come from the package's TorchScript model and from its ONNX
wrapper (they must agree); timestamps from its get_speech_timestamps, and for drawn tracks of probabilities and drawn
parameters from its get_speech_timestamps_from_probs.
"""

import json
import sys
from pathlib import Path

sys.path.pop(0)  # this folder, whose silero.py is this file

import numpy as np
import torch
from silero_vad import get_speech_timestamps, load_silero_vad
from silero_vad.utils_vad import get_speech_timestamps_from_probs

MODELS = Path(__file__).resolve().parents[2]
OUT = MODELS / "vad" / "silero" / "testdata"
RATE = 16000


def clip():
    """Speech, music, noise, speech over noise, silence, speech cut off: 12.3 s, no whole number of steps. Once made it
    stays, for the other tasks' clips it is cut from may change."""
    if (OUT / "clip.pcm16").exists():
        return np.fromfile(OUT / "clip.pcm16", "<i2")
    read = lambda path: np.fromfile(MODELS / path, "<i2").astype(np.float64) / 32768
    english, german, scene = read("asr/testdata/heldout.pcm16"), read("langid/testdata/de.pcm16"), read("sound/testdata/scene.pcm16")
    noise = np.random.default_rng(1).normal(0, 0.05, 3 * RATE)
    second = german[2 * RATE:4 * RATE]
    parts = [english[:int(3.2 * RATE)], scene[:2 * RATE], noise[:2 * RATE], second + noise[:len(second)] / 2,
             np.zeros(int(0.8 * RATE)), german[4 * RATE:int(6.3 * RATE) + 77]]
    return np.clip(np.round(np.concatenate(parts) * 32768), -32768, 32767).astype("<i2")


def probabilities(model, audio):
    model.reset_states()
    with torch.no_grad():
        padded = torch.nn.functional.pad(audio, (0, -len(audio) % 512))
        return np.array([model(piece, RATE).item() for piece in padded.split(512)], "<f4")


def drawn(rng):
    """A track whose probabilities stay high or low for a while, in hundredths, and parameters."""
    track, level = [], 0.1
    for _ in range(int(rng.integers(0, 160))):
        if rng.random() < 0.2:
            level = rng.choice([0.05, 0.3, 0.4, 0.5, 0.9])
        track.append(int(np.clip(round(100 * (level + rng.normal(0, 0.08))), 0, 100)))
    options = {}
    if rng.random() < 0.6:
        options = {
            "threshold": float(rng.choice([0.3, 0.5, 0.62])),
            "min_speech_duration_ms": int(rng.choice([0, 64, 250, 500])),
            "min_silence_duration_ms": int(rng.choice([0, 32, 100, 333])),
            "speech_pad_ms": int(rng.choice([0, 30, 47, 200])),
        }
        if rng.random() < 0.5:
            options["neg_threshold"] = float(rng.choice([0.1, 0.29]))
    length = max(0, len(track) * 512 - int(rng.integers(0, 511)))
    found = get_speech_timestamps_from_probs([p / 100 for p in track], audio_length_samples=length, **options)
    return {"track": track, "samples": length, "options": options, "found": [[f["start"], f["end"]] for f in found]}


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    pcm = clip()
    pcm.tofile(OUT / "clip.pcm16")
    audio = torch.from_numpy(pcm.astype(np.float32) / 32768)
    reference, wrapper = load_silero_vad(), load_silero_vad(onnx=True)
    p = probabilities(reference, audio)
    apart = np.abs(p - probabilities(wrapper, audio)).max()
    assert apart < 1e-4, apart
    p.tofile(OUT / "clip.f32")
    found = get_speech_timestamps(audio, reference)
    rng = np.random.default_rng(2)
    golden = {"clip": [[f["start"], f["end"]] for f in found], "drawn": [drawn(rng) for _ in range(120)]}
    (OUT / "timestamps.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")
    print(f"{len(pcm) / RATE:.2f} s, {len(p)} steps, wrapper within {apart:.1e}: {golden['clip']}")


main()
