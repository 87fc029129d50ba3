"""Writes MiniLM as ONNX from its PyTorch weights, with nothing but Python itself.

    python3 .ci/minilm.py model.safetensors model.onnx

The weights are those of BertModel in the layout of safetensors (8 bytes of header length, a JSON header, raw tensors);
the graph is BERT's encoder (Devlin et al. 2018) in opset 17: input_ids, attention_mask, token_type_ids i64[batch, tokens]
-> last_hidden_state f32[batch, tokens, 384]. The same weights give the same bytes, whatever writes them.
"""

import json
import struct
import sys

LAYERS, HEADS, HIDDEN, EPSILON = 6, 12, 384, 1e-12
FLOAT, INT64 = 1, 7


# Protocol buffers by hand: fields of onnx.proto by number.
def varint(n):
    n &= (1 << 64) - 1
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def number(field, n):
    return varint(field << 3) + varint(n)


def block(field, content):
    content = content.encode() if isinstance(content, str) else content
    return varint(field << 3 | 2) + varint(len(content)) + content


def attribute(name, value):
    if isinstance(value, float):
        return block(5, block(1, name) + varint(2 << 3 | 5) + struct.pack("<f", value) + number(20, 1))
    if isinstance(value, int):
        return block(5, block(1, name) + number(3, value) + number(20, 2))
    return block(5, block(1, name) + b"".join(number(8, v) for v in value) + number(20, 7))


def tensor(name, kind, shape, raw):
    return b"".join(number(1, d) for d in shape) + number(2, kind) + block(8, name) + block(9, raw)


def port(name, kind, shape):
    dims = b"".join(block(1, block(2, d) if isinstance(d, str) else number(1, d)) for d in shape)
    return block(1, name) + block(2, block(1, number(1, kind) + block(2, dims)))


class Graph:
    def __init__(self, weights):
        self.weights, self.nodes, self.initializers, self.used, self.names = weights, [], [], set(), 0

    def node(self, op, *inputs, output=None, **attributes):
        self.names += 1
        output = output or f"{op.lower()}_{self.names}"
        self.nodes.append(block(1, b"".join(block(1, i) for i in inputs) + block(2, output) + block(4, op) +
                                b"".join(attribute(k, v) for k, v in attributes.items())))
        return output

    def weight(self, name):
        if name not in self.used:
            self.used.add(name)
            dtype, shape, raw = self.weights[name]
            if dtype != "F32":
                raise SystemExit(f"minilm: {name} is {dtype}, want F32")
            self.initializers.append(block(5, tensor(name, FLOAT, shape, raw)))
        return name

    def constant(self, values, kind=INT64, shape=None):
        name = f"constant_{len(self.initializers)}"
        raw = struct.pack(f"<{len(values)}{'q' if kind == INT64 else 'f'}", *values)
        self.initializers.append(block(5, tensor(name, kind, [len(values)] if shape is None else shape, raw)))
        return name

    def scalar(self, value):
        return self.constant([value], FLOAT, [])

    def linear(self, x, name):
        # onnxruntime folds the transposition when it opens the file.
        turned = self.node("Transpose", self.weight(name + ".weight"), perm=[1, 0])
        return self.node("Add", self.node("MatMul", x, turned), self.weight(name + ".bias"))

    def norm(self, x, name, output=None):
        return self.node("LayerNormalization", x, self.weight(name + ".weight"), self.weight(name + ".bias"),
                         output=output, axis=-1, epsilon=EPSILON)


def build(weights):
    g = Graph(weights)
    length = g.node("Gather", g.node("Shape", "input_ids"), g.constant([1]), axis=0)
    positions = g.node("Slice", g.weight("embeddings.position_embeddings.weight"), g.constant([0]), length, g.constant([0]))
    x = g.node("Add", g.node("Gather", g.weight("embeddings.word_embeddings.weight"), "input_ids"),
               g.node("Gather", g.weight("embeddings.token_type_embeddings.weight"), "token_type_ids"))
    x = g.norm(g.node("Add", x, positions), "embeddings.LayerNorm")
    seen = g.node("Unsqueeze", g.node("Cast", "attention_mask", to=FLOAT), g.constant([1, 2]))
    hidden = g.node("Mul", g.node("Sub", g.scalar(1.0), seen), g.scalar(-3.4028234663852886e38))
    heads, whole = g.constant([0, 0, HEADS, HIDDEN // HEADS]), g.constant([0, 0, HIDDEN])
    scale, half, one, root = (g.scalar(v) for v in ((HIDDEN / HEADS) ** -0.5, 0.5, 1.0, 2 ** 0.5))
    for i in range(LAYERS):
        at = f"encoder.layer.{i}."
        part = lambda name, perm: g.node("Transpose", g.node("Reshape", g.linear(x, at + "attention.self." + name), heads), perm=perm)
        q, k, v = part("query", [0, 2, 1, 3]), part("key", [0, 2, 3, 1]), part("value", [0, 2, 1, 3])
        scores = g.node("Add", g.node("Mul", g.node("MatMul", q, k), scale), hidden)
        mixed = g.node("MatMul", g.node("Softmax", scores, axis=-1), v)
        mixed = g.node("Reshape", g.node("Transpose", mixed, perm=[0, 2, 1, 3]), whole)
        x = g.norm(g.node("Add", g.linear(mixed, at + "attention.output.dense"), x), at + "attention.output.LayerNorm")
        wide = g.linear(x, at + "intermediate.dense")
        gate = g.node("Add", g.node("Erf", g.node("Div", wide, root)), one)
        wide = g.node("Mul", g.node("Mul", wide, gate), half)
        x = g.norm(g.node("Add", g.linear(wide, at + "output.dense"), x), at + "output.LayerNorm",
                   output="last_hidden_state" if i == LAYERS - 1 else None)
    inputs = [port(name, INT64, ["batch", "tokens"]) for name in ("input_ids", "attention_mask", "token_type_ids")]
    graph = (b"".join(g.nodes) + block(2, "minilm") + b"".join(g.initializers) + b"".join(block(11, p) for p in inputs) +
             block(12, port("last_hidden_state", FLOAT, ["batch", "tokens", HIDDEN])))
    return number(1, 8) + block(2, "earshot") + block(7, graph) + block(8, block(1, "") + number(2, 17))


def read(path):
    with open(path, "rb") as f:
        content = f.read()
    (size,) = struct.unpack_from("<Q", content)
    header = json.loads(content[8:8 + size])
    header.pop("__metadata__", None)
    rest = memoryview(content)[8 + size:]
    return {name: (t["dtype"], t["shape"], bytes(rest[slice(*t["data_offsets"])])) for name, t in header.items()}


if __name__ == "__main__":
    with open(sys.argv[2], "wb") as f:
        f.write(build(read(sys.argv[1])))
