"""CTC recognisers: tiny models of transformers' Wav2Vec2ForCTC and of NeMo's FastConformer-CTC, with golden data.

    pip install torch numpy onnx onnxruntime transformers librosa        (versions: requirements.txt)
    python ctc.py --bench DIR    # a wav2vec 2.0 of 11 million parameters for .ci/bench/recognisers.py
    python ctc.py          # writes ../../parity/tiny-wav2vec2, tiny-nemo-ctc and ../../asr/testdata/{wav2vec2,nemo-ctc}.*

The weights are random, the outputs' weights large, so that the likeliest tokens vary. The golden data are transformers'
feature extractor, network and tokenizer (words with their offsets), and for NeMo the modules of nemo.py; NeMo's greedy
search and its words are written out here.
"""
import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

import nemo

sys.path.pop(0)  # this folder, whose tokenizers.py is not the package that transformers wants
HERE = nemo.HERE
PARITY, TESTDATA = HERE / "../../parity", HERE / "../../asr/testdata"
SPANS = [(0.5, 2.66), (3.41, 4.4), (7.635, 9.3)]
LETTERS = ["<pad>", "<s>", "</s>", "<unk>", "|", *"ETAONIHSRDLUMWCFGYPBVK'XJQZ"]  # wav2vec 2.0's English vocabulary


def golden(name, inputs, logits, facts):
    # A waveform is kept by every 16th sample: they share one mean and one deviation.
    kept = [x.numpy()[::16] if x.dim() == 1 else x.numpy().ravel() for x in inputs]
    np.concatenate(kept).astype("<f4").tofile(TESTDATA / f"{name}.input.f32")
    np.concatenate([x.numpy().ravel() for x in logits]).astype("<f4").tofile(TESTDATA / f"{name}.logits.f32")
    (TESTDATA / f"{name}.json").write_text(json.dumps(facts, indent=1, ensure_ascii=False, default=int) + "\n")


def wav2vec2():
    from transformers import Wav2Vec2Config, Wav2Vec2CTCTokenizer, Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC
    torch.manual_seed(20)
    folder = PARITY / "tiny-wav2vec2"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(LETTERS)}, indent=0) + "\n")
    config = Wav2Vec2Config(
        vocab_size=len(LETTERS), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        conv_dim=[8] * 7, feat_extract_norm="layer", do_stable_layer_norm=True, conv_bias=True,
        num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4, pad_token_id=0, attn_implementation="eager")
    model = Wav2Vec2ForCTC(config).eval()
    with torch.no_grad():
        for p in model.wav2vec2.parameters():
            if p.dim() > 1:
                p.mul_(2.5)
        model.lm_head.weight.normal_(0, 1.2)
        model.lm_head.bias.normal_(0, .5)
        model.lm_head.bias[0] += 1
        model.lm_head.bias[1:4] -= 50  # no trained model says <s>, </s> or <unk>
    extract = Wav2Vec2FeatureExtractor(return_attention_mask=True)
    tokenizer = Wav2Vec2CTCTokenizer(str(folder / "vocab.json"))
    sounds = [nemo.speech(*span) for span in SPANS]
    inputs, logits, facts = [], [], []
    for span, x in zip(SPANS, sounds):
        values = extract(x.numpy(), sampling_rate=nemo.RATE, return_tensors="pt")
        with torch.no_grad():
            out = model(values.input_values, attention_mask=values.attention_mask).logits[0]
        decoded = tokenizer.decode(out.argmax(-1), output_word_offsets=True)
        best = out.argmax(-1).tolist()
        inputs.append(values.input_values[0])
        logits.append(out)
        facts.append({"span": span, "steps": len(out), "best": best, "text": decoded.text,
                      "words": [[w["word"], w["start_offset"], w["end_offset"]] for w in decoded.word_offsets]})
    golden("wav2vec2", inputs, logits, facts)

    graph(model, extract, folder)
    nemo.manifest(folder, MANIFEST)
    check(folder / "model.onnx", ["input_values", "attention_mask"],
          lambda x: (x[None].numpy(), np.ones((1, len(x)), np.int64)), inputs, logits)


def graph(model, extract, folder):
    class Graph(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, input_values, attention_mask):
            return self.model(input_values, attention_mask=attention_mask).logits

    sounds = [nemo.speech(*span).numpy() for span in SPANS[:2]]
    example = extract(sounds, sampling_rate=nemo.RATE, return_tensors="pt", padding=True)
    export(Graph(), (example.input_values, example.attention_mask.long()), folder / "model.onnx",
           ["input_values", "attention_mask"], ["logits"], {"input_values": {0: "batch", 1: "samples"},
           "attention_mask": {0: "batch", 1: "samples"}})


def bench(folder):
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC
    torch.manual_seed(21)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(LETTERS)}))
    config = Wav2Vec2Config(
        vocab_size=len(LETTERS), hidden_size=256, num_hidden_layers=8, num_attention_heads=4, intermediate_size=1024,
        conv_dim=[128] * 7, feat_extract_norm="layer", do_stable_layer_norm=True, conv_bias=True, pad_token_id=0,
        attn_implementation="eager")
    graph(Wav2Vec2ForCTC(config).eval(), Wav2Vec2FeatureExtractor(return_attention_mask=True), folder)
    nemo.manifest(folder, MANIFEST)


MANIFEST = """
schema: earshot.model/1
name: tiny-wav2vec2
version: 1
task: transcript
family: ctc
licence: Apache-2.0
precision: fp32
languages: [en]
files:
FILES
sessions: [model.onnx]
inputs:
  - {name: input_values, type: float32, shape: [batch, samples]}
  - {name: attention_mask, type: int64, shape: [batch, samples]}
outputs:
  - {name: logits, type: float32, shape: [batch, steps, "32"]}
batch: {max_items: 8, max_cost: 160, alone: true}
parameters:
  lowercase: true
"""


def export(module, example, path, inputs, outputs, dynamic):
    with torch.no_grad():
        torch.onnx.export(module, example, str(path), input_names=inputs, output_names=outputs, dynamic_axes=dynamic,
                          opset_version=17, dynamo=False)


def check(path, names, feed, inputs, logits):
    """The graph says what the module says, alone and padded in a batch."""
    import onnxruntime
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for x, want in zip(inputs, logits):
        got = session.run(None, dict(zip(names, feed(x))))[0][0]
        assert got.shape == want.shape and np.abs(got - want.numpy()).max() < 1e-3, (got.shape, want.shape)
    print(path.parent.name, path.stat().st_size, "bytes")


PIECES = ["▁", "▁the", "▁a", "▁in", "▁of", "▁and", "s", "t", "e", "ing", "n", "o", "i", "r", "d", "l", "er", "a", "m", "u",
          "▁to", "ed", "c", "y", "p", "b", "g", "f", "w", "v", "'", "k", "▁that", "h", "▁is"]


class NeMoCTC(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.encoder = nemo.Encoder(80)
        self.decoder = nn.Conv1d(self.encoder.size, classes, 1)

    def forward(self, audio_signal, length):
        encoded, _ = self.encoder(audio_signal, length)
        return self.decoder(encoded).transpose(1, 2).log_softmax(-1)


def nemo_words(best, blank):
    """Greedy search: repeats joined, blanks left out; the pieces' words with their first and last step."""
    words, before = [], blank
    for step, k in enumerate(best):
        if k != blank and k != before:
            piece = PIECES[k]
            if piece.startswith("▁") or not words:
                words.append(["", step, 0])
            words[-1][0] += piece.replace("▁", "")
        if k != blank:
            words[-1][2] = step + 1
        before = k
    out = []
    for i, w in enumerate(words):
        if w[0]:
            out.append(w)
    return out


def nemo_ctc():
    torch.manual_seed(22)
    folder = PARITY / "tiny-nemo-ctc"
    folder.mkdir(parents=True, exist_ok=True)
    tokens = ["<unk>", *PIECES]
    global_pieces = tokens + ["<blk>"]
    (folder / "vocab.txt").write_text("".join(f"{t} {i}\n" for i, t in enumerate(global_pieces)))
    model = nemo.lively(NeMoCTC(len(global_pieces)))
    with torch.no_grad():
        model.decoder.weight.normal_(0, 1.2)
        x = nemo.features(nemo.speech(*SPANS[0]), 80)
        usual = model.encoder(x[None], torch.tensor([x.shape[1]]))[0].mean(2)[0]
        model.decoder.bias.copy_(-model.decoder.weight[:, :, 0] @ usual)  # no token is likely everywhere
        model.decoder.bias[-1] += 1
        model.decoder.bias[0] -= 50
    inputs, logits, facts = [], [], []
    for span in SPANS:
        x = nemo.features(nemo.speech(*span), 80)
        with torch.no_grad():
            out = model(x[None], torch.tensor([x.shape[1]]))[0]
        best = out.argmax(-1).tolist()
        words = nemo_words([k - 1 if k < len(tokens) else len(PIECES) for k in best], len(PIECES))
        inputs.append(x)
        logits.append(out)
        facts.append({"span": span, "steps": len(out), "best": best, "text": " ".join(w[0] for w in words), "words": words})
    golden("nemo-ctc", inputs, logits, facts)
    x = torch.zeros(2, 80, 128)
    export(model, (x, torch.tensor([128, 100])), folder / "model.onnx", ["audio_signal", "length"], ["logprobs"],
           {"audio_signal": {0: "batch", 2: "frames"}, "length": {0: "batch"}})
    nemo.manifest(folder, f"""
schema: earshot.model/1
name: tiny-nemo-ctc
version: 1
task: transcript
family: ctc
licence: Apache-2.0
precision: fp32
languages: [en]
files:
FILES
sessions: [model.onnx]
inputs:
  - {{name: audio_signal, type: float32, shape: [batch, "80", frames]}}
  - {{name: length, type: int64, shape: [batch]}}
outputs:
  - {{name: logprobs, type: float32, shape: [batch, steps, "{len(global_pieces)}"]}}
frontend: {{kind: nemo, mels: 80}}
batch: {{max_items: 8, max_cost: 160, alone: true}}
parameters:
  blank: last
  subsampling: 8
""")
    check(folder / "model.onnx", ["audio_signal", "length"],
          lambda x: (x[None].numpy(), np.array([x.shape[1]], np.int64)), inputs, logits)


if __name__ == "__main__":
    torch.set_num_threads(1)
    parse = argparse.ArgumentParser()
    parse.add_argument("--bench", type=Path)
    options = parse.parse_args()
    if options.bench:
        bench(options.bench)
    else:
        wav2vec2()
        nemo_ctc()
