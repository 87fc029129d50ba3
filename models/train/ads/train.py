"""Trains the ad finder: is this stretch of a transcript part of an advertisement?

Episodes are put together from passages (reads.txt, told.txt), or from talk (WordNet's examples and glosses, fortunes, the topic
model's sentences, near misses) with advertisements in between (phrases.py), heard with word errors, and cut into segments as a
recogniser cuts them. A window is a segment with the words next to it.

    python train.py --pack ../../pack/earshot-ads
"""
import argparse
import hashlib
import importlib.util
import json
import pathlib
import random
import re
import sys

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
import hashed  # noqa: E402
import phrases  # noqa: E402
from glosses import gloss_vectors  # noqa: E402
from mishear import Mishearing  # noqa: E402
from overlap import held_grams, shares  # noqa: E402
from words import normalise  # noqa: E402
from topic.wordnet import WordNet  # noqa: E402

ROWS, WIDTH, CONTEXT = 32768, 32, 30
THRESHOLD, CARRY, BRIDGE = 0.5, 0.5, 15  # the last two as in models/ads; BRIDGE is six seconds' words


def talk():
    """Sentences that advertise nothing."""
    found = set()
    for pos in ("noun", "verb", "adj", "adv"):
        for line in open(f"/usr/share/wordnet/data.{pos}", encoding="latin1"):
            if not line.startswith("  "):
                found.update(re.findall(r'"([^"]+)"', line.split("|", 1)[-1]))
    for book in ("fortunes", "literature", "riddles"):
        found.update(re.split(r"[%.;:!?]\s", open(f"/usr/share/games/fortunes/{book}", errors="ignore").read()))
    for line in (HERE.parent / "topic" / "sentences.txt").read_text().splitlines():
        if not line.startswith(("#", "[")):
            found.add(line)
    out = sorted({normalise(s) for s in found})
    return [s for s in out if 4 <= len(s.split()) <= 25]


def passages(name):
    """Advertisements and talk as they are said, from a file of lines "A: …" and "N: …": the sentences of each."""
    found = {"A": [], "N": []}
    for line in (HERE / name).read_text().splitlines():
        kind, _, said = line.partition(": ")
        if kind in found:
            found[kind].append([s for s in (normalise(s) for s in re.split(r"(?<=[.?!])\s", said)) if s])
    return found["A"], found["N"]


def on_air(count):
    """Sentences as people say them on air, from the recogniser's templates."""
    spec = importlib.util.spec_from_file_location("spoken", HERE.parent / "asr" / "spoken.py")
    spoken = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(spoken)
    return sorted({normalise(s) for s in spoken.sentences(random.Random(5), count)})


def fill(pattern, lists, brand, rng):
    def one(m):
        if m[1] == "brand":
            return brand
        options = lists[m[1]]
        return rng.choice(options.split("|") if "|" in options else options.split())
    return re.sub(r"\{(\w+)\}", one, pattern)


def advert(lists, rng):
    """The sentences of one advertisement."""
    names = lists["brand"]
    if "|" in names:
        brand = rng.choice(names.split("|"))
    else:
        brand = " ".join(rng.sample(names.split(), rng.choice([1, 1, 2])))
    pick = lambda kind, n: rng.sample(lists[kind].splitlines(), min(n, len(lists[kind].splitlines())))
    lines = pick("opener", rng.choice([0, 1, 1])) + pick("pitch", rng.randint(1, 4)) + pick("offer", rng.randint(1, 3))
    lines += pick("closer", rng.choice([0, 1]))
    return [fill(line, lists, brand, rng) for line in lines]


def soup(hear, rng, share):
    """A sentence without grammar: so much of it selling words, the rest the language's own."""
    return " ".join(rng.choice(phrases.SELLING) if rng.random() < share else rng.choice(hear.common[:1500])
                    for _ in range(rng.randint(6, 16)))


def advert_or_soup(lists, hear, rng, soups):
    lines = advert(lists, rng)
    return [soup(hear, rng, rng.uniform(0.3, 0.6)) if rng.random() < soups else line for line in lines]


def forget(words, rng, rate):
    """Words without some of them: what is learnt must not hang on one, nor on which stand together."""
    return [w for w in words if rng.random() >= rate] or words[:1]


def mixed(lists, near, sentences, hear, rng, soups):
    """An episode of patterns among sentences of all kinds: each sentence, and whether it advertises."""
    units = []
    for _ in range(rng.randint(1, 3)):
        units += [(rng.choice(near) if rng.random() < 0.25 else rng.choice(sentences), 0) for _ in range(rng.randint(3, 8))]
        if rng.random() < 0.7:
            units += [(s, 1) for s in advert_or_soup(lists, hear, rng, soups)]
        if rng.random() < 0.6:
            units += [(s, 0) for s in rng.sample(phrases.FRAME_TRAIN, rng.randint(1, 3))]
        if rng.random() < soups:
            units.append((soup(hear, rng, rng.uniform(0, 0.12)), 0))
    return units


def told(reads, talks, rng):
    """An episode of whole passages, some of them advertisements."""
    units = []
    for _ in range(rng.randint(2, 4)):
        units += [(s, 0) for s in rng.choice(talks)]
        if rng.random() < 0.6:
            units += [(s, 1) for s in rng.choice(reads)]
    return units


def windows(units, hear, rng, rate, forgetting=0.0):
    """Texts of one episode's windows and whether each is an advertisement."""
    segments, at = [], 0
    while at < len(units):  # a segment is one to three sentences of one kind: jingles and pauses part the others
        n = rng.choice([1, 1, 2, 3])
        take = [u for u in units[at:at + n] if u[1] == units[at][1]]
        segments.append((hear.hear(" ".join(s for s, _ in take).split(), rate), units[at][1]))
        at += len(take)
    for i, (said, label) in enumerate(segments):
        before = segments[i - 1][0][-CONTEXT:] if i else []
        after = segments[i + 1][0][:CONTEXT] if i + 1 < len(segments) else []
        if forgetting:
            before, said, after = (forget(w, rng, forgetting) for w in (before, said, after))
        yield before, said, after, label


def encode(before, said, after):
    """Rows and weights of the segment's words, and of its neighbours'."""
    inner = hashed.counts([hashed.stem(w) for w in hashed.words(" ".join(said))], ROWS)
    outer = hashed.counts([hashed.stem(w) for w in hashed.words(" ".join(before + after))], ROWS)
    return hashed.weigh(inner), hashed.weigh(outer)


class Net(torch.nn.Module):
    """probabilities = sigmoid(out(relu(hidden([bag of the segment, bag of its neighbours]))))."""

    def __init__(self):
        super().__init__()
        self.table = torch.nn.Parameter(torch.tensor(gloss_vectors(WordNet(), ROWS, WIDTH)))
        self.hidden = torch.nn.Linear(2 * WIDTH, 16)
        self.out = torch.nn.Linear(16, 1)

    def forward(self, ids, weights, near_ids, near_weights):
        bag = lambda i, w: (self.table[i] * w.unsqueeze(-1)).sum(1)
        x = torch.cat([bag(ids, weights), bag(near_ids, near_weights)], 1)
        return self.out(torch.relu(self.hidden(x))).squeeze(1)


def tensors(bags):
    n = max(1, max(len(b) for b in bags))
    ids, weights = np.zeros((len(bags), n), np.int64), np.zeros((len(bags), n), np.float32)
    for i, b in enumerate(bags):
        for j, (row, weight) in enumerate(b):
            ids[i, j], weights[i, j] = row, weight
    return torch.from_numpy(ids), torch.from_numpy(weights)


def train(sentences, reads, talks, steps, seed=1):
    torch.manual_seed(seed)
    rng, hear = random.Random(seed), Mishearing(seed)
    net = Net()
    start = net.table.detach().clone()
    optimiser = torch.optim.Adam(net.parameters(), 4e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for step in range(steps):
        batch = []
        while len(batch) < 96:
            units = told(reads, talks, rng) if rng.random() < 0.6 else mixed(phrases.TRAIN, phrases.NEAR_TRAIN, sentences, hear, rng, 0.5)
            batch += [(encode(b, s, a), y) for b, s, a, y in windows(units, hear, rng, rng.uniform(0, 0.35), rng.uniform(0, 0.6))]
        logits = net(*tensors([x[0] for x, _ in batch]), *tensors([x[1] for x, _ in batch]))
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, torch.tensor([float(y) for _, y in batch]),
                                                                      pos_weight=torch.tensor(2.0))
        loss = loss + 5e-6 * (net.table - start).pow(2).sum()  # words that no training text holds stay where glosses put them
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 100 == 99:
            print(step + 1, round(loss.item(), 4), flush=True)
    return net


def spread(p, words):
    """Which segments the finder takes: those at the threshold, their neighbours
    from CARRY of it, and a short one between two (models/ads)."""
    took = [x >= THRESHOLD for x in p]
    for order, before in ((range(1, len(p)), -1), (range(len(p) - 2, -1, -1), 1)):
        for i in order:
            took[i] = took[i] or took[i + before] and p[i] >= CARRY * THRESHOLD
    for i in range(1, len(p) - 1):
        took[i] = took[i] or took[i - 1] and took[i + 1] and words[i] <= BRIDGE
    return took


def evaluate(net, episode, rate, seed=2):
    """Of 400 episodes that a function of a random generator and of what mishears makes: precision, recall and F1 of
    single segments at the threshold; and of the words within what the finder takes for advertisements."""
    rng, hear = random.Random(seed), Mishearing(seed)
    single, found = [0, 0, 0], [0, 0, 0]
    with torch.no_grad():
        for _ in range(400):
            batch = list(windows(episode(rng, hear), hear, rng, rate))
            bags = [encode(*w[:3]) for w in batch]
            p = torch.sigmoid(net(*tensors([x[0] for x in bags]), *tensors([x[1] for x in bags]))).tolist()
            for took, sums, weigh in (([x >= THRESHOLD for x in p], single, lambda w: 1), (spread(p, [len(w[1]) for w in batch]), found, lambda w: len(w[1]))):
                for said, w in zip(took, batch):
                    sums[0] += weigh(w) * (said and w[3])
                    sums[1] += weigh(w) * bool(said)
                    sums[2] += weigh(w) * w[3]
    figures = lambda s: {"precision": round(s[0] / max(1, s[1]), 3), "recall": round(s[0] / max(1, s[2]), 3), "f1": round(2 * s[0] / max(1, s[1] + s[2]), 3)}
    return {"word errors": rate, "segments": figures(single), "words in spans": figures(found)}


def export(net, path):
    array = lambda name, t: numpy_helper.from_array(t.detach().numpy(), name)
    half = numpy_helper.from_array(net.table.detach().numpy().astype(np.float16), "table16")
    weights = [half, array("w1", net.hidden.weight), array("b1", net.hidden.bias), array("w2", net.out.weight), array("b2", net.out.bias),
               numpy_helper.from_array(np.array([1], np.int64), "axis1"), numpy_helper.from_array(np.array([2], np.int64), "axis2")]
    nodes = [helper.make_node("Cast", ["table16"], ["table"], to=TensorProto.FLOAT)]
    for p in ("", "near_"):
        nodes += [helper.make_node("Gather", ["table", p + "ids"], [p + "rows"]),
                  helper.make_node("Unsqueeze", [p + "weights", "axis2"], [p + "w"]),
                  helper.make_node("Mul", [p + "rows", p + "w"], [p + "weighed"]),
                  helper.make_node("ReduceSum", [p + "weighed", "axis1"], [p + "bag"], keepdims=0)]
    nodes += [helper.make_node("Concat", ["bag", "near_bag"], ["x"], axis=1),
              helper.make_node("Gemm", ["x", "w1", "b1"], ["h"], transB=1), helper.make_node("Relu", ["h"], ["r"]),
              helper.make_node("Gemm", ["r", "w2", "b2"], ["logit"], transB=1), helper.make_node("Sigmoid", ["logit"], ["probability"])]
    v = helper.make_tensor_value_info
    inputs = [v("ids", TensorProto.INT64, ["batch", "features"]), v("weights", TensorProto.FLOAT, ["batch", "features"]),
              v("near_ids", TensorProto.INT64, ["batch", "near"]), v("near_weights", TensorProto.FLOAT, ["batch", "near"])]
    graph = helper.make_graph(nodes, "ads", inputs, [v("probability", TensorProto.FLOAT, ["batch", 1])], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


MANIFEST = """schema: earshot.model/1
name: earshot-ads
version: 3
task: ads
family: hashed-window
licence: Apache-2.0
precision: fp16
languages: [en]
files: {{model.onnx: {sha}}}
sessions: [model.onnx]
inputs:
  - {{name: ids, type: int64, shape: [batch, features]}}
  - {{name: weights, type: float32, shape: [batch, features]}}
  - {{name: near_ids, type: int64, shape: [batch, near]}}
  - {{name: near_weights, type: float32, shape: [batch, near]}}
outputs: [{{name: probability, type: float32, shape: [batch, "1"]}}]
batch: {{max_items: 64, max_cost: 16384}}
labels: [{{name: Advertisement, id: ad, threshold: {threshold}}}]
parameters: {{rows: {rows}, context_words: {context}}}
"""


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--pack", type=pathlib.Path, required=True)
    p.add_argument("--steps", type=int, default=2000)
    o = p.parse_args()
    torch.set_num_threads(1)
    sentences = talk()
    random.Random(0).shuffle(sentences)
    held, rest = sentences[:3000], sentences[3000:] + on_air(6000)
    stay = held_grams([HERE.parent.parent.parent / "sample" / "truth"])
    reads, talks = passages("test.txt")
    unseen = held + phrases.NEAR_HELD + [s for passage in reads + talks for s in passage]
    stay |= {g for s in unseen for g in [tuple(s.split()[i:i + 5]) for i in range(len(s.split()) - 4)]}
    rest = [s for s in rest if not shares(s, stay)]
    for kind in ("opener", "pitch", "offer", "closer"):
        lines = phrases.TRAIN[kind].splitlines()
        kept = [line for line in lines if not shares(normalise(re.sub(r"[{}]", " ", line)), stay)]
        print(f"{kind}: {len(lines) - len(kept)} patterns left out: they share five words with a held-out text", flush=True)
        phrases.TRAIN[kind] = "\n".join(kept)
    for lines in (phrases.NEAR_TRAIN, phrases.FRAME_TRAIN):
        lines[:] = [line for line in lines if not shares(normalise(line), stay)]
    written = [a + b for a, b in zip(passages("reads.txt"), passages("told.txt"))]
    own_reads, own_talks = ([[s for s in passage if not shares(s, stay)] for passage in kind] for kind in written)
    net = train(rest, own_reads, own_talks, o.steps)
    o.pack.mkdir(parents=True, exist_ok=True)
    export(net, o.pack / "model.onnx")
    sha = hashlib.sha256((o.pack / "model.onnx").read_bytes()).hexdigest()
    (o.pack / "model.yaml").write_text(MANIFEST.format(sha=sha, rows=ROWS, context=CONTEXT, threshold=THRESHOLD))
    sets = {"told": lambda rng, _: told(reads, talks, rng),
            "patterns": lambda rng, hear: mixed(phrases.HELD, phrases.NEAR_HELD, held, hear, rng, 0)}
    for name, episode in sets.items():
        for rate in (0, 0.2):
            print(name, json.dumps(evaluate(net, episode, rate)))


if __name__ == "__main__":
    main()
