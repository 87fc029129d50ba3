"""The ad finder's network: two scores for each segment of an episode, and a chain over the segments that smooths them.

A segment's parts are its words, CONTEXT words before it and CONTEXT after it as bags of hashed features (hashed.py), and what it
opens with: "^" before each of its first OPENING stems, "^" before the first two together, "^^" before the first, of weight 0.5.
The scores are log-odds: that the segment advertises, and that advertisement begins or ends with it. The chain over talk and
advertisement (Lafferty, McCallum and Pereira 2001) is models/ads/chain.go in Go.
"""
import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch.nn.functional import embedding_bag

import hashed

ROWS, WIDTH, HIDDEN, CONTEXT, OPENING = 32768, 32, 16, 60, 4
NEARNESS = 4  # brings products of two vectors to the size of a vector


def bag(stems):
    """Rows and weights of a bag of stems, two arrays."""
    pairs = hashed.weigh(hashed.counts(stems, ROWS))
    return np.array([r for r, _ in pairs], np.int64), np.array([w for _, w in pairs], np.float32)


def opening(stems):
    """Rows and weights of what a segment opens with."""
    first = stems[:OPENING]
    names = ["^" + " ".join(first[:2]), "^^" + first[0], *["^" + w for w in first]]
    return np.array([hashed.row(name, ROWS) for name in names], np.int64), np.full(len(names), .5, np.float32)


def parts(segments):
    """Each segment's four parts. Segments are lists of stems, none empty."""
    flat, at, out = [w for s in segments for w in s], 0, []
    for s in segments:
        end = at + len(s)
        out.append((bag(s), bag(flat[max(0, at - CONTEXT):at]), bag(flat[end:end + CONTEXT]), opening(s)))
        at = end
    return out


def joined(episodes):
    """The parts of the segments of episodes as arguments of embedding_bag: rows, weights, offsets of each part."""
    out = []
    for k in range(4):
        bags = [s[k] for e in episodes for s in e]
        offsets = np.cumsum([0] + [len(rows) for rows, _ in bags])[:-1]
        out.append(tuple(torch.from_numpy(np.concatenate(x)) for x in ([b[0] for b in bags], [b[1] for b in bags])) + (torch.from_numpy(offsets),))
    return out


class Net(torch.nn.Module):
    """Scores [segments, 2]. chain are log potentials, against talk or no change: of a first segment that is advertisement, of
    advertisement after talk, of talk after advertisement."""

    def __init__(self, vectors, dropout):
        super().__init__()
        self.table = torch.nn.Parameter(torch.tensor(vectors))
        self.words = torch.nn.Parameter(torch.zeros(ROWS, 1))
        self.openings = torch.nn.Parameter(torch.zeros(ROWS, 1))
        self.hidden = torch.nn.ModuleList([torch.nn.Linear(3 * WIDTH, HIDDEN) for _ in range(2)])
        self.out = torch.nn.ModuleList([torch.nn.Linear(HIDDEN, 1) for _ in range(2)])
        self.drop = torch.nn.Dropout(dropout)
        self.chain = torch.nn.Parameter(torch.tensor([-2., -1.2, -.8]))

    def forward(self, batch):
        of = lambda part, table: embedding_bag(part[0], table, part[2], per_sample_weights=part[1], mode="sum")
        inner, before, after = (of(part, self.table) for part in batch[:3])
        views = [inner, before, after], [NEARNESS * before * (inner + after), before, inner]
        layers = [out(self.drop(torch.relu(hidden(self.drop(torch.cat(x, 1)))))) for x, hidden, out in zip(views, self.hidden, self.out)]
        return torch.cat(layers, 1) + torch.cat([of(batch[0], self.words), of(batch[3], self.openings)], 1)


def padded(values, lengths):
    """Values [segments] as [episodes, longest], zeros after the last of each."""
    return torch.nn.utils.rnn.pad_sequence(torch.split(values, lengths), batch_first=True)


def potentials(chain, stack=np.stack):
    """The potentials of the states at the start [2], and from each to each [2, 2]."""
    first, begin, end = chain
    none = 0 * first
    return stack([none, first]), stack([stack([none, begin]), stack([end, none])])


def chain_loss(net, scores, labels, lengths):
    """The negative log-likelihood of the labels under the chain, per segment."""
    ad, change, y = (padded(v, lengths) for v in (scores[:, 0], scores[:, 1], labels))
    inside = padded(torch.ones(len(labels)), lengths)
    state, emission = y.long(), torch.stack([torch.zeros_like(ad), ad], 2)
    start, transitions = potentials(net.chain, torch.stack)
    all_paths = start + emission[:, 0]
    path = start[state[:, 0]] + ad[:, 0] * y[:, 0]
    for t in range(1, ad.shape[1]):
        step = transitions + change[:, t].view(-1, 1, 1) * (1 - torch.eye(2))
        longer = torch.logsumexp(all_paths.unsqueeze(2) + step, 1) + emission[:, t]
        all_paths = torch.where(inside[:, t:t + 1] > 0, longer, all_paths)
        was, now = state[:, t - 1], state[:, t]
        path = path + inside[:, t] * (transitions[was, now] + change[:, t] * (was != now) + ad[:, t] * y[:, t])
    return (torch.logsumexp(all_paths, 1) - path).sum() / len(labels)


def marginals(scores, chain):
    """Each segment's probability to be advertisement, of scores [segments, 2] of one episode."""
    n, other = len(scores), 1 - np.eye(2)
    start, transitions = potentials(chain)
    emission = np.stack([np.zeros(n), scores[:, 0]], 1)
    forward, backward = np.zeros((n, 2)), np.zeros((n, 2))
    forward[0] = start + emission[0]
    for i in range(1, n):
        forward[i] = np.logaddexp.reduce(forward[i - 1][:, None] + transitions + scores[i, 1] * other, axis=0) + emission[i]
    for i in range(n - 2, -1, -1):
        backward[i] = np.logaddexp.reduce(transitions + scores[i + 1, 1] * other + (emission[i + 1] + backward[i + 1])[None, :], axis=1)
    both = forward + backward
    return np.exp(both[:, 1] - np.logaddexp.reduce(both, axis=1))


def export(nets, scale, bias, path):
    """Writes the mean of the nets' scores as one graph: scale [2] times it, plus bias [2]. The tables are in 8 bits, a factor a
    column."""
    array = lambda t: t.detach().numpy()
    table = np.concatenate([array(n.table) for n in nets] + [array(n.words) for n in nets] + [array(n.openings) for n in nets], 1)
    factor = np.abs(table).max(0) / 127
    k, width = len(nets), len(nets) * WIDTH
    weights = [numpy_helper.from_array(np.rint(table / factor).astype(np.int8), "table8"), numpy_helper.from_array(factor.astype(np.float32), "factor"),
               numpy_helper.from_array(scale.astype(np.float32), "scale"), numpy_helper.from_array(bias.astype(np.float32), "bias")]
    constant = lambda name, v: weights.append(numpy_helper.from_array(np.array(v, np.int64), name))
    for name, v in (("axis1", [1]), ("axis2", [2]), ("at0", [0]), ("at1", [width]), ("at2", [width + k]), ("at3", [width + 2 * k])):
        constant(name, v)
    nodes = []
    node = lambda op, inputs, output, **more: nodes.append(helper.make_node(op, inputs, [output], **more))
    for p in ("", "before_", "after_", "opening_"):
        node("Gather", ["table8", p + "ids"], p + "rows8")
        node("Cast", [p + "rows8"], p + "rows", to=TensorProto.FLOAT)
        node("Unsqueeze", [p + "weights", "axis2"], p + "w")
        node("Mul", [p + "rows", p + "w"], p + "weighed")
        node("ReduceSum", [p + "weighed", "axis1"], p + "sum", keepdims=0)
        node("Mul", [p + "sum", "factor"], p + "bag")
        node("Slice", [p + "bag", "at0", "at1", "axis1"], p + "vector")
    node("Slice", ["bag", "at1", "at2", "axis1"], "by_words")
    node("Slice", ["opening_bag", "at2", "at3", "axis1"], "by_opening")
    node("Add", ["vector", "after_vector"], "onwards")
    node("Mul", ["before_vector", "onwards"], "alike")
    for which, x, linear in ((0, ["vector", "before_vector", "after_vector"], "by_words"), (1, ["alike", "before_vector", "vector"], "by_opening")):
        w, v = np.zeros((k * HIDDEN, 3 * width), np.float32), np.zeros((1, k * HIDDEN), np.float32)
        for i, n in enumerate(nets):
            own = slice(i * HIDDEN, (i + 1) * HIDDEN)
            for j in range(3):
                w[own, j * width + i * WIDTH:j * width + (i + 1) * WIDTH] = array(n.hidden[which].weight)[:, j * WIDTH:(j + 1) * WIDTH]
            v[0, own] = array(n.out[which].weight)[0] / k
        if which == 1:
            w[:, :width] *= NEARNESS
        b, c = np.concatenate([array(n.hidden[which].bias) for n in nets]), np.mean([array(n.out[which].bias) for n in nets], 0)
        weights += [numpy_helper.from_array(x.astype(np.float32), f"{name}{which}") for name, x in (("w", w), ("b", b), ("v", v), ("c", c))]
        node("Concat", x, f"x{which}", axis=1)
        node("Gemm", [f"x{which}", f"w{which}", f"b{which}"], f"h{which}", transB=1)
        node("Relu", [f"h{which}"], f"r{which}")
        node("Gemm", [f"r{which}", f"v{which}", f"c{which}"], f"deep{which}", transB=1)
        node("ReduceMean", [linear], f"flat{which}", axes=[1], keepdims=1)
        node("Add", [f"deep{which}", f"flat{which}"], f"score{which}")
    node("Concat", ["score0", "score1"], "mean", axis=1)
    node("Mul", ["mean", "scale"], "scaled")
    node("Add", ["scaled", "bias"], "scores")
    v = helper.make_tensor_value_info
    inputs = [v(p + name, kind, ["batch", p + "n"]) for p in ("", "before_", "after_", "opening_")
              for name, kind in (("ids", TensorProto.INT64), ("weights", TensorProto.FLOAT))]
    graph = helper.make_graph(nodes, "ads", inputs, [v("scores", TensorProto.FLOAT, ["batch", 2])], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
