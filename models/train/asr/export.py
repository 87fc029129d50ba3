"""Writes the model pack: the network as ONNX, the licences of what it was made from, and model.yaml.

    export.py --work DIR --out FOLDER [--lm-weight 0.8 --word-score 0 …]

The graph: input logmel f32[batch, frames, 64], normalised per item by the front end, frames a multiple of 8;
output logp f32[batch, frames / 4, 41]. Weights lie in the file as fp16, followed by a Cast that
onnxruntime folds when it loads: half the file, fp32 arithmetic. The export is checked against the
network that was trained, and its answers must be the same bits in batches of 2 to 16.
"""
import argparse
import re
import hashlib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from lexicon import PHONES
from network import Recogniser
from onnx import TensorProto, helper, numpy_helper

NOTICES = {"festlex-cmu (pronunciations in lexicon.bin)": "/usr/share/doc/festlex-cmu/copyright",
           "WordNet (texts that lm.bin was counted from and that were spoken)": "/usr/share/doc/wordnet-base/copyright",
           "fortunes (texts that lm.bin was counted from and that were spoken)": "/usr/share/doc/fortunes/copyright"}


def halved(model):
    """Large fp32 initialisers become fp16 ones with a Cast of the old name."""
    casts, kept = [], []
    for weight in model.graph.initializer:
        if weight.data_type != TensorProto.FLOAT or np.prod(weight.dims) < 256:
            kept.append(weight)
            continue
        values = numpy_helper.to_array(weight).astype(np.float16)
        kept.append(numpy_helper.from_array(values, weight.name + "_fp16"))
        casts.append(helper.make_node("Cast", [weight.name + "_fp16"], [weight.name], to=TensorProto.FLOAT, name=weight.name + "_cast"))
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    nodes = casts + list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model)
    return model


def check(path, network):
    """Raises when the file does not answer as the network does, or when an answer depends on the batch."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    x = np.random.default_rng(0).standard_normal((16, 320, 64)).astype(np.float32)
    with torch.no_grad():
        want = network(torch.from_numpy(x)).numpy()
    got = session.run(None, {"logmel": x})[0]
    worst = np.abs(np.exp(got) - np.exp(want)).max()
    if worst > .02:
        raise SystemExit(f"{path}: probabilities differ by {worst:.4f} from the network's")
    for size in range(2, 17):
        for start in range(0, 16 - size + 1, size):
            if not np.array_equal(session.run(None, {"logmel": x[start:start + size]})[0], got[start:start + size]):
                raise SystemExit(f"{path}: a batch of {size} gives other bits than one of 16")
    print(f"{path}: probabilities within {worst:.1e} of the network's, the same bits in batches of 2 to 16")


def manifest(folder, args):
    files = sorted(f for f in folder.iterdir() if f.name not in ("model.yaml", "README.md"))
    hashes = "\n".join(f"  {f.name}: {hashlib.sha256(f.read_bytes()).hexdigest()}" for f in files)
    labels = "\n".join(f"  - name: {name}" for name in ["blank", *PHONES])
    (folder / "model.yaml").write_text(f"""schema: earshot.model/1
name: earshot-en
version: 3
task: transcript
family: ctc-phones
licence: Apache-2.0
precision: fp32
languages: [en]
files:
{hashes}
sessions: [model.onnx]
inputs:
  - {{name: logmel, type: float32, shape: [batch, frames, "64"]}}
outputs:
  - {{name: logp, type: float32, shape: [batch, steps, "{len(PHONES) + 1}"]}}
frontend: {{kind: logmel, sample_rate: 16000, fft: 512, window: 400, hop: 160, mels: 64, min_hz: 20, max_hz: 7600, scale: htk, floor: 1.0e-6, normalise: item}}
batch: {{max_items: 16, max_cost: 160, alone: true}}
parameters:
  beam: {args.beam}
  beam_threshold: {args.beam_threshold:g}
  lm_weight: {args.lm_weight:g}
  word_score: {args.word_score:g}
  pause_steps: {args.pause_steps}
  piece_seconds: 12
  join_seconds: 0.2
  margin_seconds: 0.05
  gap_seconds: 0.5
labels:
{labels}
""")


def main():
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--work", type=Path, required=True)
    parse.add_argument("--out", type=Path, required=True)
    parse.add_argument("--beam", type=int, default=200)
    parse.add_argument("--beam-threshold", type=float, default=30)
    parse.add_argument("--lm-weight", type=float, default=.8)
    parse.add_argument("--word-score", type=float, default=0)
    parse.add_argument("--pause-steps", type=int, default=6)
    args = parse.parse_args()
    state = torch.load(args.work / "checkpoint.pt")
    network = Recogniser(len(PHONES) + 1).eval()
    network.load_state_dict(state["average"])
    args.out.mkdir(parents=True, exist_ok=True)
    path = str(args.out / "model.onnx")
    torch.onnx.export(network, (torch.randn(2, 320, 64),), path, input_names=["logmel"], output_names=["logp"],
                      dynamic_axes={"logmel": {0: "batch", 1: "frames"}, "logp": {0: "batch", 1: "steps"}},
                      opset_version=17, dynamo=False)
    onnx.save(halved(onnx.load(path)), path)
    check(path, network)
    notices = "\n\n".join(f"===== {what}\n\n{Path(file).read_text(errors='replace')}" for what, file in NOTICES.items() if Path(file).exists())
    notices = re.sub(r"https?://\S*debian\S*", "(an address at Debian)", notices)  # no package host is named in the repository
    (args.out / "LICENCES.txt").write_text(notices)
    manifest(args.out, args)
    print(f"{Path(path).stat().st_size / 1e6:.2f} MB after {state['spent'] / 60:.0f} min of training, dev phone error rates {state['error']}")


if __name__ == "__main__":
    main()
