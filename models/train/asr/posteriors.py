"""Runs the exported network over the dev or test recordings, for models/train/asr/wer to decode.

    posteriors.py --work DIR --model FOLDER

Writes DIR/posteriors-<dev|test>-<seen|unseen>.bin; for each recording a line of JSON
{"written", "steps", "classes"}, then steps * classes float32 log-probabilities, little endian.
Pieces are padded as the Go runner pads them.
"""
import argparse
import json
from pathlib import Path

import numpy as np
import onnxruntime
from speech import held

BUCKET = 64  # models/asr's


def main():
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--work", type=Path, required=True)
    parse.add_argument("--model", type=Path, required=True)
    args = parse.parse_args()
    session = onnxruntime.InferenceSession(str(args.model / "model.onnx"), providers=["CPUExecutionProvider"])
    for part in ("dev", "test"):
        for voice, recordings in held(args.work, part).items():
            with open(args.work / f"posteriors-{part}-{voice}.bin", "wb") as out:
                for written, x in recordings:
                    batch = np.zeros((2, -(-len(x) // BUCKET) * BUCKET, 64), np.float32)
                    batch[0, :len(x)] = x
                    logp = session.run(None, {"logmel": batch})[0][0, :-(-len(x) // 4)]
                    out.write(json.dumps({"written": written, "steps": logp.shape[0], "classes": logp.shape[1]}).encode() + b"\n")
                    out.write(logp.astype("<f4").tobytes())


if __name__ == "__main__":
    main()
