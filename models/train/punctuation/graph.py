"""Writes the punctuation model's folder of the pack: the network as ONNX, its weights as fp16, and model.yaml."""
import hashlib

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper

from network import FEATURES, LONGEST, REACH, ROWS
from texts import CASES, MARKS

WORDS = 64 + 2 * 16  # of a window: those that are answered for, and the context on either side

MANIFEST = """schema: earshot.model/1
name: earshot-punctuation
version: 1
task: punctuation
family: hashed-sequence
licence: Apache-2.0
precision: fp16
languages: [en]
files: {{model.onnx: {sha}}}
sessions: [model.onnx]
inputs:
  - {{name: ids, type: int64, shape: [batch, "{words}", "{features}"]}}
  - {{name: pauses, type: float32, shape: [batch, "{words}"]}}
outputs:
  - {{name: marks, type: float32, shape: [batch, "{words}", "{marks}"]}}
  - {{name: cases, type: float32, shape: [batch, "{words}", "{cases}"]}}
batch: {{max_items: 32}}
parameters: {{rows: {rows}, words: {words}, context_words: {context}, longest_pause: {longest:g}}}
"""


def halved(graph):
    """Large weights become fp16, each with a Cast that onnxruntime folds when it loads."""
    casts, kept = [], []
    for weight in graph.initializer:
        if weight.data_type != TensorProto.FLOAT or np.prod(weight.dims) < 256:
            kept.append(weight)
            continue
        kept.append(numpy_helper.from_array(numpy_helper.to_array(weight).astype(np.float16), weight.name + "16"))
        casts.append(helper.make_node("Cast", [weight.name + "16"], [weight.name], to=TensorProto.FLOAT))
    nodes = casts + list(graph.node)
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(kept)
    graph.node.extend(nodes)


def check(net, path):
    """Raises where the file does not answer as the network does, or an answer depends on the batch."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    r = np.random.default_rng(3)
    ids = r.integers(1, ROWS, (9, WORDS, FEATURES))
    ids[4, 60:] = 0
    pauses = r.uniform(0, LONGEST, (9, WORDS)).astype(np.float32)
    run = lambda n: session.run(None, {"ids": ids[:n], "pauses": pauses[:n]})
    whole = run(9)
    with torch.no_grad():
        want = net(torch.from_numpy(ids), torch.from_numpy(pauses))
    worst = max(np.abs(a - b.numpy()).max() for a, b in zip(whole, want))
    if worst > 0.05:
        raise SystemExit(f"{path} differs from torch by {worst}")
    for n in (2, 3, 4, 8):
        if not all(np.array_equal(a, b[:n]) for a, b in zip(run(n), whole)):
            raise SystemExit(f"{path}: an item's output depends on its batch ({n} and 9 items)")
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB, differs from torch by {worst:.1e}, batches of 2 to 9 agree bit by bit")


def export(net, pack):
    pack.mkdir(parents=True, exist_ok=True)
    path = pack / "model.onnx"
    net.eval()
    inputs = (torch.ones(2, WORDS, FEATURES, dtype=torch.int64), torch.zeros(2, WORDS))
    torch.onnx.export(net, inputs, str(path), input_names=["ids", "pauses"], output_names=["marks", "cases"], opset_version=17, dynamo=False,
                      dynamic_axes={name: {0: "batch"} for name in ("ids", "pauses", "marks", "cases")})
    model = onnx.load(str(path))
    model.doc_string = ""
    for node in model.graph.node:
        node.doc_string = ""
    halved(model.graph)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    check(net, path)
    if REACH > 16:
        raise SystemExit(f"the network sees {REACH} words on either side, more than a window's context")
    sha = hashlib.sha256(path.read_bytes()).hexdigest()
    (pack / "model.yaml").write_text(MANIFEST.format(sha=sha, words=WORDS, features=FEATURES, marks=len(MARKS), cases=len(CASES), rows=ROWS,
                                                     context=16, longest=LONGEST))
