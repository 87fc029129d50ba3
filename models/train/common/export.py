"""Writes a net as ONNX, and checks what the pipeline relies on: the same numbers as in torch, and the same bits for an
item in whatever batch of two or more it travels."""
import hashlib
import pathlib

import numpy as np
import onnx
import onnxruntime
import torch
import torch.nn as nn


class Probabilities(nn.Module):
    """A net whose logits leave as probabilities (sigmoid) or log-probabilities (log-softmax, at a temperature)."""

    def __init__(self, net, kind, temperature=1.0):
        super().__init__()
        self.net, self.kind, self.temperature = net, kind, temperature

    def forward(self, x):
        y = self.net(x)
        return torch.sigmoid(y) if self.kind == "sigmoid" else torch.log_softmax(y / self.temperature, -1)


def export(net, path, output, output_axes, frames):
    net = net.eval().float()
    x = torch.randn(2, frames, 64) * 3 - 5
    torch.onnx.export(net, (x,), str(path), input_names=["logmel"], output_names=[output], opset_version=17, dynamo=False,
                      dynamic_axes={"logmel": {0: "batch", 1: "frames"}, output: output_axes})
    graph = onnx.load(str(path))
    onnx.checker.check_model(graph)
    graph.doc_string = ""
    for node in graph.graph.node:
        node.doc_string = ""
    onnx.save(graph, str(path))
    check(net, path, frames)
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def check(net, path, frames):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    items = (np.random.default_rng(3).standard_normal((9, frames, 64)) * 3 - 5).astype(np.float32)
    run = lambda x: session.run(None, {"logmel": x})[0]
    whole = run(items)
    with torch.no_grad():
        reference = net(torch.from_numpy(items)).numpy()
    worst = np.abs(whole - reference).max()
    if worst > 1e-3:
        raise SystemExit(f"export: {path} differs from torch by {worst}")
    for size in (2, 3, 4, 8):
        if not np.array_equal(run(items[:size]), whole[:size]):
            raise SystemExit(f"export: {path}: an item's output depends on its batch ({size} and 9 items)")
    print(f"{path}: {pathlib.Path(path).stat().st_size / 1e6:.2f} MB, differs from torch by {worst:.1e}, batches of 2 to 9 agree bit by bit")
