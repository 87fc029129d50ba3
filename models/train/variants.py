"""Makes a model's graph in another precision, beside its own: a variant for the manifest.

usage: python variants.py MODEL --precision fp16|int8 [--graph model.onnx] [--calibrate INPUTS.npz] [--items 64] [--keep NODE …] [--write]

MODEL is a model's folder. fp16 keeps float32 at the graph's edges. int8 is static: quantised weights (a scale for each output
channel) and activations whose scales are chosen once, on the inputs of --calibrate: arrays named as the graph's inputs, one item a
row (common/scenes.py writes such for models that hear: train.npz; never use what the model is measured on). It is never dynamic: there
the scale comes from the whole batch, and an item's answer would depend on the items beside it. --keep names nodes that stay as they
are, by how their names begin. The new graph, GRAPH with .fp16 or .int8 before its ending, has its items checked to be the same bits
in batches of 1 (else of 2), 3, 4 and 8; how far it is from the graph it was made of is printed, and with --write the manifest gets
its hash and its place among the variants. How much worse it does its task, the task's evaluate.py tells (--graph).

Needs PyPI's onnx==1.23.2, onnxruntime==1.32.0 and numpy==2.4.6.
"""
import argparse
import hashlib
import json
import pathlib
import re
import tempfile
import time

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

BATCH = 8  # items that are run at once to choose scales: none comes of a batch


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def kept(graph, starts):
    return [node.name for node in graph.graph.node if any(node.name.startswith(s) for s in starts)]


def half(source, out, keep):
    graph = onnx.load(str(source))
    onnx.save(convert_float_to_float16(graph, keep_io_types=True, node_block_list=kept(graph, keep)), str(out))


class Items(CalibrationDataReader):
    """A graph's inputs, some items at a time."""

    def __init__(self, inputs, axes):
        items = min(x.shape[axes[name]] for name, x in inputs.items())
        self.batches = ({name: x.take(range(i, min(i + BATCH, items)), axes[name]) for name, x in inputs.items()} for i in range(0, items, BATCH))

    def get_next(self):
        return next(self.batches, None)


def whole(source, out, keep, inputs):
    with tempfile.TemporaryDirectory() as scratch:
        ready = pathlib.Path(scratch) / "ready.onnx"
        quant_pre_process(str(source), str(ready), skip_symbolic_shape=True)
        # Processors without VNNI add pairs of products of 8 bits in 16: weights of 7 bits do not overflow there, and so every processor
        # gives the same.
        quantize_static(str(ready), str(out), Items(inputs, {x.name: item_axis(x) for x in session(source).get_inputs()}), quant_format=QuantFormat.QDQ, activation_type=QuantType.QUInt8,
                        weight_type=QuantType.QInt8, per_channel=True, reduce_range=True, op_types_to_quantize=["MatMul", "Gemm", "Conv"],
                        nodes_to_exclude=kept(onnx.load(str(ready)), keep))


def tidy(path):
    graph = onnx.load(str(path))
    OnnxModel(graph).topological_sort()
    used = {node.domain for node in graph.graph.node}
    opsets = [o for o in graph.opset_import if o.domain in used]
    del graph.opset_import[:], graph.metadata_props[:]
    graph.opset_import.extend(opsets)
    graph.doc_string = ""
    for node in graph.graph.node:
        node.doc_string = ""
    for port, old in ((p, p.type.tensor_type.elem_type) for p in [*graph.graph.input, *graph.graph.output]):
        if old in (onnx.TensorProto.FLOAT16, onnx.TensorProto.INT8):
            raise SystemExit(f"{path}: {port.name} at the graph's edge is no float32: the pipeline cannot take it")
    onnx.checker.check_model(graph)
    onnx.save(graph, str(path))


def item_axis(port):
    """Where items lie side by side: the axis that is called so, or the first."""
    return next((i for i, d in enumerate(port.shape) if isinstance(d, str) and "batch" in d.lower()), 0)


def noise(session, items=9, size=160):
    """Inputs of the graph's shapes where nothing else is given."""
    r, kinds = np.random.default_rng(3), {"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(int32)": np.int32}
    shape = lambda x: [items if i == item_axis(x) else d if isinstance(d, int) else size for i, d in enumerate(x.shape)]
    return {x.name: (r.standard_normal(shape(x)) if "float" in x.type else r.integers(0, 2, shape(x))).astype(kinds[x.type]) for x in session.get_inputs()}


def check(source, out, inputs):
    """The variant's outputs do not depend on the batch; returns how it compares with the graph that it was made of."""
    old, new = session(source), session(out)
    ins, outs = {x.name: item_axis(x) for x in old.get_inputs()}, [item_axis(x) for x in old.get_outputs()]
    run = lambda s, rows: s.run(None, {name: x.take(rows, ins[name]) for name, x in inputs.items()})
    n = min([9, *(x.shape[ins[name]] for name, x in inputs.items())])
    all_rows = list(range(n))
    together, reference, alone = run(new, all_rows), run(old, all_rows), True
    for size in (1, 2, 3, 4, 8):
        for first in range(0, n - size + 1):
            rows = all_rows[first:first + size]
            same = all(np.array_equal(a, b.take(rows, axis)) for a, b, axis in zip(run(new, rows), together, outs))
            if not same and size > 1:
                raise SystemExit(f"{out}: an item's output depends on its batch (item {first} in {size}): give the variant batch.fixed, or keep the nodes that do it")
            alone &= same or size > 1

    def seconds(s):
        best = np.inf
        for _ in range(5):
            start = time.perf_counter()
            run(s, all_rows)
            best = min(best, time.perf_counter() - start)
        return best

    return {"bytes": out.stat().st_size, "of": source.stat().st_size, "alone": alone, "times_as_fast": round(seconds(old) / seconds(new), 2),
            "largest_difference": [float(f"{np.abs(a.astype(np.float64) - b).max():.3g}") for a, b in zip(together, reference)],
            "mean_difference": [float(f"{np.abs(a.astype(np.float64) - b).mean():.3g}") for a, b in zip(together, reference)]}


def write(manifest, graph, out, precision):
    """Puts the variant into the manifest, or in the place of its last one."""
    text = manifest.read_text()
    sum_ = hashlib.sha256(out.read_bytes()).hexdigest()
    text = re.sub(rf"(\n  |, )?{re.escape(out.name)}: [0-9a-f]{{64}}", "", text)
    listed = re.search(rf"(\n  |[{{,] ?){re.escape(graph)}: [0-9a-f]{{64}}", text)
    if not listed:
        raise SystemExit(f"{manifest}: {graph} is not in files")
    between = "\n  " if listed.group(1).startswith("\n") else ", "
    text = text[:listed.end()] + f"{between}{out.name}: {sum_}" + text[listed.end():]
    sessions = re.search(r"\nsessions: \[(.*)\]\n", text)
    if not sessions:
        raise SystemExit(f"{manifest}: write sessions on one line: sessions: [{graph}]")
    own = [name.strip() for name in sessions.group(1).split(",")]
    there = re.search(rf"\n  {precision}: \{{sessions: \[(.*?)\]", text)  # of another graph of the model, or an older one of this
    names = [name.strip() for name in there.group(1).split(",")] if there else list(own)
    names[own.index(graph)] = out.name
    if there:
        text = text[:there.start(1)] + ", ".join(names) + text[there.end(1):]
    elif "\nvariants:\n" in text:
        text = text.replace("\nvariants:\n", f"\nvariants:\n  {precision}: {{sessions: [{', '.join(names)}]}}\n")
    else:
        text = text[:sessions.end()] + f"variants:\n  {precision}: {{sessions: [{', '.join(names)}]}}\n" + text[sessions.end():]
    manifest.write_text(text)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model", type=pathlib.Path)
    p.add_argument("--precision", choices=["fp16", "int8"], required=True)
    p.add_argument("--graph", default="model.onnx")
    p.add_argument("--calibrate", type=pathlib.Path)
    p.add_argument("--items", type=int, default=64)
    p.add_argument("--keep", nargs="*", default=[])
    p.add_argument("--write", action="store_true")
    a = p.parse_args()
    source = a.model / a.graph
    out = source.with_suffix(f".{a.precision}.onnx")
    ports, axes = ({x.name: f(x) for x in session(source).get_inputs()} for f in (lambda x: x.type, item_axis))
    inputs = noise(session(source))
    if a.calibrate:
        held = np.load(a.calibrate)
        missing = sorted(set(ports) - set(held.files))
        if missing:
            raise SystemExit(f"{a.calibrate}: no arrays {', '.join(missing)} (has {', '.join(held.files)})")
        inputs = {name: held[name].take(range(min(a.items, held[name].shape[axes[name]])), axes[name]).astype(np.float32 if "float" in ports[name] else held[name].dtype) for name in ports}
    elif a.precision == "int8":
        raise SystemExit("int8 needs --calibrate: scales that suit noise suit nothing else")
    half(source, out, a.keep) if a.precision == "fp16" else whole(source, out, a.keep, inputs)
    tidy(out)
    print(json.dumps({"graph": str(out), **check(source, out, inputs)}))
    if a.write:
        write(a.model / "model.yaml", a.graph, out, a.precision)


if __name__ == "__main__":
    main()
