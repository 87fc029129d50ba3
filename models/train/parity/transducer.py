"""Transducers: tiny Parakeet RNNT and TDT models in plain PyTorch, as published, with golden data.

    pip install torch numpy librosa onnx onnxruntime        (versions: requirements.txt)
    python transducer.py --bench DIR    # a TDT of 8 million parameters for .ci/bench/recognisers.py
    python transducer.py          # writes ../../parity/tiny-rnnt, tiny-tdt and ../../asr/transducer/testdata

A FastConformer encoder (nemo.py), a prediction network of an embedding and an LSTM (Graves 2012), a joint network, and for
TDT durations beside the tokens (Xu et al. 2023). The graphs have the inputs and outputs of NeMo's export. The weights are
random, the last layer's biases such that every token is likely somewhere. The golden tokens and times are those of the
greedy loops below, over the modules, one piece at a time.
"""
import argparse
import json
from pathlib import Path

import numpy as np
import torch
from torch import nn

import nemo

HERE = nemo.HERE
PARITY, TESTDATA = HERE / "../../parity", HERE / "../../asr/transducer/testdata"
SPANS = [(0.5, 2.66), (3.41, 4.4), (7.635, 9.3), (11.69, 15.0)]
PIECES = ["<unk>", "▁", "▁the", "▁a", "▁in", "▁of", "▁and", "s", "t", "e", "ing", "n", "o", "i", "r", "d", "l", "er", "u", "m"]
MOST = 4  # symbols a step


class DecoderJoint(nn.Module):
    """One step of prediction and joint network, as NeMo exports them."""

    def __init__(self, size, tokens, durations, hidden=12, layers=2):
        super().__init__()
        self.hidden, self.layers, self.blank = hidden, layers, tokens
        self.embedding = nn.Embedding(tokens + 1, hidden, padding_idx=tokens)  # the blank begins, as zeros
        self.lstm = nn.LSTM(hidden, hidden, layers)
        self.encoded, self.predicted = nn.Linear(size, 16), nn.Linear(hidden, 16)
        self.out = nn.Linear(16, tokens + 1 + durations)

    def forward(self, encoder_outputs, targets, target_length, input_states_1, input_states_2):
        y, (h, c) = self.lstm(self.embedding(targets).transpose(0, 1), (input_states_1, input_states_2))
        joined = self.encoded(encoder_outputs.transpose(1, 2)).unsqueeze(2) + self.predicted(y.transpose(0, 1)).unsqueeze(1)
        return self.out(torch.relu(joined)), target_length + 0, h, c


def greedy(decoder, encoded, durations):
    """encoded [size, steps] -> tokens, their steps and durations, and the logits of every step taken."""
    t, emitted, last = 0, 0, decoder.blank
    states = [torch.zeros(decoder.layers, 1, decoder.hidden)] * 2
    tokens, steps, lasting, seen = [], [], [], []
    while t < encoded.shape[1]:
        logits, _, *after = decoder(encoded[None, :, t:t + 1], torch.tensor([[last]]), torch.tensor([1]), *states)
        logits = logits[0, 0, 0]
        seen.append(logits)
        k = int(logits[:decoder.blank + 1].argmax())
        skip = durations[int(logits[decoder.blank + 1:].argmax())] if durations else 0
        if k != decoder.blank:
            tokens.append(k)
            steps.append(t)
            lasting.append(skip)
            states, last = after, k
            emitted += 1
        if skip > 0:
            t, emitted = t + skip, 0
        elif k == decoder.blank or emitted >= MOST:
            t, emitted = t + 1, 0
    return tokens, steps, lasting, torch.stack(seen)


def spread(decoder, sounds, encoder, durations):
    """Sets the last biases so that every output is likely somewhere, and the blank often."""
    for _ in range(3):
        seen = torch.cat([greedy(decoder, encoder(x[None], torch.tensor([x.shape[1]]))[0][0], durations)[3] for x in sounds])
        decoder.out.bias -= seen.mean(0)
        decoder.out.bias[0] -= 50
        decoder.out.bias[decoder.blank] += .9 * seen[:, 1:decoder.blank].std()


def make(name, mels, durations, seed):
    torch.manual_seed(seed)
    folder = PARITY / name
    folder.mkdir(parents=True, exist_ok=True)
    TESTDATA.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("".join(f"{t} {i}\n" for i, t in enumerate([*PIECES, "<blk>"])))
    encoder = nemo.lively(nemo.Encoder(mels))
    decoder = DecoderJoint(encoder.size, len(PIECES), len(durations)).eval()
    with torch.no_grad():
        for p in decoder.parameters():
            if p.dim() > 1:
                p.mul_(2.5)
        sounds = [nemo.features(nemo.speech(*span), mels) for span in SPANS]
        spread(decoder, sounds, encoder, durations)
        facts, encodings, logits = [], [], []
        for span, x in zip(SPANS, sounds):
            encoded, steps = encoder(x[None], torch.tensor([x.shape[1]]))
            tokens, at, lasting, seen = greedy(decoder, encoded[0], durations)
            facts.append({"span": span, "steps": int(steps[0]), "tokens": tokens, "at": at, "durations": lasting,
                          "runs": len(seen)})
            encodings.append(encoded[0].numpy().ravel())
            logits.append(seen.numpy().ravel())
            print(name, tokens, at, lasting)
    np.concatenate(encodings).astype("<f4").tofile(TESTDATA / f"{name}.encoded.f32")
    np.concatenate(logits).astype("<f4").tofile(TESTDATA / f"{name}.logits.f32")
    (TESTDATA / f"{name}.json").write_text(json.dumps(facts) + "\n")
    write(folder, encoder, decoder, mels, durations)
    verify(folder, sounds, encodings, facts)


def bench(folder):
    torch.manual_seed(41)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("".join(f"▁t{i} {i}\n" for i in range(1024)) + "<blk> 1024\n")
    encoder = nemo.lively(nemo.Encoder(128, size=256, heads=4, layers=6, channels=64, kernel=9))
    decoder = DecoderJoint(256, 1024, 5, hidden=320, layers=2).eval()
    sounds = [nemo.features(nemo.speech(*span), 128) for span in SPANS[:2]]
    with torch.no_grad():
        spread(decoder, sounds, encoder, [0, 1, 2, 3, 4])
    write(folder, encoder, decoder, 128, [0, 1, 2, 3, 4])


def write(folder, encoder, decoder, mels, durations):
    states = torch.zeros(decoder.layers, 2, decoder.hidden)
    with torch.no_grad():
        torch.onnx.export(
            encoder, (torch.zeros(2, mels, 128), torch.tensor([128, 100])), str(folder / "encoder-model.onnx"),
            input_names=["audio_signal", "length"], output_names=["outputs", "encoded_lengths"], opset_version=17, dynamo=False,
            dynamic_axes={"audio_signal": {0: "batch", 2: "frames"}, "length": {0: "batch"}, "outputs": {0: "batch", 2: "steps"},
                          "encoded_lengths": {0: "batch"}})
        torch.onnx.export(
            decoder, (torch.zeros(2, encoder.size, 1), torch.zeros(2, 1, dtype=torch.int32), torch.ones(2, dtype=torch.int32), states, states),
            str(folder / "decoder_joint-model.onnx"), opset_version=17, dynamo=False,
            input_names=["encoder_outputs", "targets", "target_length", "input_states_1", "input_states_2"],
            output_names=["outputs", "prednet_lengths", "output_states_1", "output_states_2"],
            dynamic_axes={"encoder_outputs": {0: "batch", 2: "steps"}, "targets": {0: "batch", 1: "tokens"}, "target_length": {0: "batch"},
                          "input_states_1": {1: "batch"}, "input_states_2": {1: "batch"}, "outputs": {0: "batch", 1: "steps", 2: "tokens"},
                          "prednet_lengths": {0: "batch"}, "output_states_1": {1: "batch"}, "output_states_2": {1: "batch"}})
    nemo.manifest(folder, f"""
schema: earshot.model/1
name: {folder.name}
version: 1
task: transcript
family: transducer
licence: Apache-2.0
precision: fp32
languages: [en]
files:
FILES
sessions: [encoder-model.onnx, decoder_joint-model.onnx]
inputs:
  - {{name: audio_signal, type: float32, shape: [batch, "{mels}", frames]}}
  - {{name: length, type: int64, shape: [batch]}}
outputs:
  - {{name: outputs, type: float32, shape: [batch, "{encoder.size}", steps]}}
  - {{name: encoded_lengths, type: int64, shape: [batch]}}
frontend: {{kind: nemo, mels: {mels}}}
batch: {{max_items: 8, max_cost: 160, alone: true}}
parameters:
  max_symbols: {MOST}
{f"  durations: {durations}" if durations else ""}
""")


def verify(folder, sounds, encodings, facts):
    """The encoder's graph says what the module says."""
    import onnxruntime
    session = onnxruntime.InferenceSession(str(folder / "encoder-model.onnx"), providers=["CPUExecutionProvider"])
    for x, want, f in zip(sounds, encodings, facts):
        got, steps = session.run(None, {"audio_signal": x[None].numpy(), "length": np.array([x.shape[1]], np.int64)})
        assert steps[0] == f["steps"] and np.abs(got.ravel() - want).max() < 1e-3
    print(folder.name, sum(p.stat().st_size for p in folder.iterdir()), "bytes")


if __name__ == "__main__":
    torch.set_num_threads(1)
    parse = argparse.ArgumentParser()
    parse.add_argument("--bench", type=Path)
    options = parse.parse_args()
    if options.bench:
        bench(options.bench)
    else:
        make("tiny-rnnt", 80, [], 31)
        make("tiny-tdt", 128, [0, 1, 2, 3, 4], 37)
