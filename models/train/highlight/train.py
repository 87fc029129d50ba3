"""Trains the highlight ranker, on episodes that it simulates.

There are no people's preferences here to learn from. What the model learns is
an editor's prior, written down in `preference`: an arc of an episode (opening,
talk, a story with its climax, questions, a close) gives the features of spans,
the prior gives each a worth, and pairs are ordered by worth plus an editor's
noise. The network learns the order, smoothly, from noisy features.

    python train.py --pack ../../pack/earshot-highlight
"""
import argparse
import hashlib
import json
import pathlib

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

NAMES = ("speech music audience position pace confidence topical loudness dynamics novelty questions personal "
         "greeting farewell pause_before pause_after soundbite length text answer advert").split()
INDEX = {name: i for i, name in enumerate(NAMES)}


def episode(rng):
    """Features [spans, 21] of one episode's candidates, and what a perfect ear would have measured."""
    spans = rng.integers(8, 60)
    position = np.sort(rng.uniform(0, 1, spans))
    climax = rng.uniform(0.3, 0.85)
    width = rng.uniform(0.05, 0.15)
    story = np.exp(-((position - climax) / width) ** 2)
    opening = np.clip(1 - position / rng.uniform(0.05, 0.15), 0, 1)
    closing = np.clip(1 - (1 - position) / rng.uniform(0.05, 0.12), 0, 1)
    has_text = float(rng.random() < 0.8)
    musical = rng.random() < 0.15
    bite = rng.random() < 0.2
    n = lambda scale: rng.normal(0, scale, spans)
    # Half of the episodes have a room that answers: a few seconds of laughter or applause, most often at the climax.
    crowd = rng.random() < 0.5
    # A span is about a minute long, but for those between advertisements or up to an answer.
    seconds = 60 + 30 * np.where(rng.random(spans) < 0.7, n(0.35), -rng.uniform(0.3, 1.5, spans))
    laughs = crowd * rng.uniform(1.5, 6, spans) / seconds * ((np.abs(position - climax) < width / 2) | (rng.random(spans) < 0.04))
    f = {
        "music": np.clip(0.5 * opening + 0.5 * closing + (rng.uniform(0.3, 0.9) if musical else 0) + n(0.08), 0, 1),
        "audience": np.clip(laughs + n(0.01), 0, 1),
        "position": position,
        "pace": np.clip(0.75 + 0.2 * story - 0.1 * opening + n(0.12), 0, 1.6),
        "confidence": np.clip(rng.uniform(0.5, 0.9) + 0.05 * story + n(0.06), 0, 1),
        "topical": np.clip(0.06 + 0.12 * story + n(0.04), 0, 1),
        "loudness": np.clip(0.25 * story - 0.1 * opening + n(0.12), -2, 2),
        "dynamics": np.clip(0.25 + 0.15 * story + n(0.1), 0, 2),
        "novelty": np.clip(0.5 + 0.15 * story + 0.1 * opening + n(0.12), 0, 1),
        "questions": np.clip(0.12 + 0.15 * story * rng.random() + n(0.06), 0, 1),
        "personal": np.clip(0.25 + 0.3 * story + n(0.12), 0, 1),
        "greeting": np.clip(0.5 * opening + 0.08 + n(0.06), 0, 1),
        "farewell": np.clip(0.5 * closing + 0.08 + n(0.06), 0, 1),
        "pause_before": np.clip(rng.exponential(0.45, spans), 0, 1),
        "pause_after": np.clip(rng.exponential(0.45, spans), 0, 1),
        "soundbite": np.clip(bite * (np.abs(position - climax) < 0.05) * rng.uniform(0.3, 1, spans), 0, 1),
        "length": np.abs(seconds - 60) / 30,
        "text": np.full(spans, has_text),
    }
    # Two in five episodes have stretches that the ad finder is not sure of; half of those are advertisements.
    maybe = (rng.random() < 0.4) * (rng.random(spans) < 0.15)
    f["advert"] = np.clip(maybe * rng.uniform(0.3, 0.8, spans) * rng.uniform(0.2, 1, spans), 0, 1)
    f["answer"] = np.where(f["audience"] > 0.02, rng.uniform(0, 1, spans), 0)
    f["speech"] = np.clip(0.95 - 0.6 * f["music"] + n(0.05), 0, 1)
    if not has_text:
        for name in "pace confidence topical novelty questions personal greeting farewell".split():
            f[name] = np.zeros(spans)
    x = np.stack([f[name] for name in NAMES], 1).astype(np.float32)
    return x, preference(f, story, opening, closing)


def preference(f, story, opening, closing):
    """An editor's worth of each span: the prior that the card states."""
    return (2.0 * story + 7.0 * f["soundbite"] + 0.8 * f["speech"] - 0.8 * f["music"] + 60 * np.minimum(f["audience"], 0.05) * f["answer"] ** 2
            - 1.6 * opening - 1.8 * closing - 4.0 * f["advert"] + 0.4 * f["pause_before"] + 0.4 * f["pause_after"]
            - 0.9 * f["length"] + 0.3 * f["personal"] + 0.3 * f["questions"] + 0.2 * f["dynamics"])


def pairs(rng, episodes):
    """Pairs of rows, the first the one that the editor, with noise, preferred."""
    a, b = [], []
    for _ in range(episodes):
        x, worth = episode(rng)
        judged = worth + rng.normal(0, 0.3, len(worth))
        i, j = rng.integers(0, len(x), (2, 40))
        keep = i != j
        i, j = i[keep], j[keep]
        first = judged[i] >= judged[j]
        a.append(x[np.where(first, i, j)])
        b.append(x[np.where(first, j, i)])
    return torch.from_numpy(np.concatenate(a)), torch.from_numpy(np.concatenate(b))


def train(seed, steps):
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    net = torch.nn.Sequential(torch.nn.Linear(len(NAMES), 24), torch.nn.Tanh(), torch.nn.Linear(24, 12), torch.nn.Tanh(),
                              torch.nn.Linear(12, 1))
    optimiser = torch.optim.AdamW(net.parameters(), 3e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        a, b = pairs(rng, 50)
        loss = torch.nn.functional.softplus(net(b) - net(a)).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return net


def evaluate(net, seed):
    """Pairwise accuracy on episodes of another seed, and how often the best span by the model is in the editor's top tenth."""
    rng = np.random.default_rng(seed)
    a, b = pairs(rng, 500)
    top = first = 0
    with torch.no_grad():
        accuracy = (net(a) > net(b)).float().mean().item()
        for _ in range(500):
            x, worth = episode(rng)
            best = net(torch.from_numpy(x)).argmax().item()
            top += (worth > worth[best]).sum() < max(1, len(worth) // 10)
            middle = np.abs(x[:, INDEX["position"]] - 0.5).argmin()  # the rival: the span in the middle
            first += (worth > worth[middle]).sum() < max(1, len(worth) // 10)
    return {"pairs": round(accuracy, 3), "top tenth": round(top / 500, 3), "top tenth, span in the middle": round(first / 500, 3)}


def export(net, path):
    layers = [m for m in net if isinstance(m, torch.nn.Linear)]
    nodes, weights, at = [], [], "features"
    for i, layer in enumerate(layers):
        weights += [numpy_helper.from_array(layer.weight.detach().numpy().astype(np.float32), f"w{i}"),
                    numpy_helper.from_array(layer.bias.detach().numpy().astype(np.float32), f"b{i}")]
        nodes.append(helper.make_node("Gemm", [at, f"w{i}", f"b{i}"], [f"h{i}"], transB=1))
        last = i == len(layers) - 1
        nodes.append(helper.make_node("Sigmoid" if last else "Tanh", [f"h{i}"], ["score" if last else f"a{i}"]))
        at = f"a{i}"
    value = lambda name, width: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", width])
    graph = helper.make_graph(nodes, "highlight", [value("features", len(NAMES))], [value("score", 1)], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


MANIFEST = """schema: earshot.model/1
name: earshot-highlight
version: 3
task: highlight
family: features
licence: Apache-2.0
precision: fp32
files: {{model.onnx: {sha}}}
sessions: [model.onnx]
inputs: [{{name: features, type: float32, shape: [batch, "{count}"]}}]
outputs: [{{name: score, type: float32, shape: [batch, "1"]}}]
batch: {{max_items: 64, max_cost: 2048}}
"""


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--pack", type=pathlib.Path, required=True)
    p.add_argument("--steps", type=int, default=6000)
    o = p.parse_args()
    torch.set_num_threads(1)
    net = train(1, o.steps)
    o.pack.mkdir(parents=True, exist_ok=True)
    export(net, o.pack / "model.onnx")
    sha = hashlib.sha256((o.pack / "model.onnx").read_bytes()).hexdigest()
    (o.pack / "model.yaml").write_text(MANIFEST.format(sha=sha, count=len(NAMES)))
    print(json.dumps(evaluate(net, 2)))


if __name__ == "__main__":
    main()
