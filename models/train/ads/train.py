"""Trains the ad finder: which segments of a transcript are part of an advertisement?

Episodes (texts.py) are heard with word errors and cut into segments as a recogniser cuts them. Three networks (network.py) learn
them from different seeds; the pack's scores are the mean of theirs, scaled and shifted as dev.txt likes it best.

    python train.py --pack ../../pack/earshot-ads [--test]
"""
import argparse
import hashlib
import json
import pathlib
import random

import numpy as np
import onnxruntime
import torch

import texts  # noqa: I001 (it says where the shared scripts are)
import hashed
import phrases
from glosses import gloss_vectors
from mishear import Mishearing
from network import CONTEXT, ROWS, WIDTH, Net, chain_loss, export, joined, marginals, parts
from topic.wordnet import WordNet

THRESHOLD = 0.8  # that ships: talk that is taken for an advertisement costs more than one that is missed
EVEN = 0.65  # where both cost the same, for the figures on texts and the choice of scale and bias
SIZES = (1, 1, 2, 3), (1,)  # sentences of a segment: of the figures on texts, and of a speaker who pauses after each
EPISODES = 400  # that a figure is measured on
GOLDEN = pathlib.Path(__file__).parents[2] / "ads" / "testdata" / "golden.json"


def stems(said):
    return [hashed.stem(w) for w in hashed.words(said)]


def segments(units, rng, forgetting=0.0, sizes=SIZES[0]):
    """Segments of an episode, (stems, label): some sentences of one kind, since jingles and pauses part the others."""
    out, at = [], 0
    while at < len(units):
        n = rng.choice(sizes)
        take = [u for u in units[at:at + n] if u[1] == units[at][1]]
        at += len(take)
        said = [w for s, _ in take for w in s if rng.random() >= forgetting]  # what is learnt must not hang on one word
        if said:
            out.append((said, take[0][1]))
    return out


class Studio:
    """Makes episodes of the training's texts, each sentence heard once without and three times with word errors."""

    def __init__(self, material, seed, patterns=1500):
        self.rng, hear = random.Random(seed), Mishearing(seed)
        heard = lambda s: [stems(s)] + [stems(" ".join(hear.hear(s.split(), rate))) for rate in (.1, .2, .3)]
        whole = lambda kinds: [[[heard(s) for s in passage] for passage in kind] for kind in kinds]
        self.told = whole(material.told)
        self.all = [own + more for own, more in zip(self.told, whole(material.reads))]
        self.mixed = []
        for _ in range(patterns):
            rate = self.rng.choice([0, 0, .1, .2, .3])
            units = texts.mixed(material.patterns, material.near, material.frame, material.talk, hear, self.rng, .5)
            self.mixed.append([(stems(" ".join(hear.hear(s.split(), rate))), y) for s, y in units])

    def episode(self):
        if self.rng.random() < .15:
            units = self.rng.choice(self.mixed)
        else:
            reads, talks = self.told if self.rng.random() < .75 else self.all
            units = [(self.rng.choice(versions), y) for versions, y in texts.told(reads, talks, self.rng)]
        return segments(units, self.rng, self.rng.uniform(0, .4))


def train(studio, vectors, steps, seed, batch=16):
    torch.manual_seed(seed)
    net = Net(vectors, dropout=.3)
    start = net.table.detach().clone()
    optimiser = torch.optim.Adam(net.parameters(), 3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for step in range(steps):
        episodes = [e for e in (studio.episode() for _ in range(batch)) if e]
        labels = torch.tensor([float(y) for e in episodes for _, y in e])
        scores = net(joined([parts([s for s, _ in e]) for e in episodes]))
        loss = .7 * chain_loss(net, scores, labels, [len(e) for e in episodes])
        loss = loss + .3 * torch.nn.functional.binary_cross_entropy_with_logits(scores[:, 0], labels)
        loss = loss + 5e-6 * (net.table - start).pow(2).sum()  # words that no training text holds stay where glosses put them
        loss = loss + 1e-4 * (net.words.pow(2).sum() + net.openings.pow(2).sum())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 20 == 19:
            print(seed, step + 1, round(loss.item(), 3), flush=True)
    return net.eval()


def measured(episode, rate, sizes=SIZES[0], seed=2):
    """Episodes that a function of a random generator and of what mishears makes, heard with so many errors a word: for each its
    parts, labels and numbers of words."""
    rng, hear = random.Random(seed), Mishearing(seed)
    out = []
    for _ in range(EPISODES):
        cut = segments([(stems(" ".join(hear.hear(s.split(), rate))), y) for s, y in episode(rng, hear)], rng, 0, sizes)
        out.append((parts([s for s, _ in cut]), np.array([y for _, y in cut]), np.array([len(s) for s, _ in cut])))
    return out


def figures(found, episodes):
    """Precision, recall and F1 of segments, and of the words in them, of each episode's probabilities."""
    out = {}
    for name, weigh in (("segments", np.ones_like), ("words", lambda n: n)):
        both, said, true = (sum(f(p >= EVEN, y) @ weigh(n) for p, (_, y, n) in zip(found, episodes))
                            for f in (lambda p, y: p * y, lambda p, y: p * 1, lambda p, y: y))
        out[name] = {"precision": round(both / max(1, said), 3), "recall": round(both / max(1, true), 3), "f1": round(2 * both / max(1, said + true), 3)}
    return out


def choose(nets, chain, episodes):
    """The scale and bias of the mean scores with the best F1 of segments: scale [2], bias [2]."""
    with torch.no_grad():
        scores = [np.mean([net(joined([p])).numpy() for net in nets], 0) for p, _, _ in episodes]
    options = [(np.array([a, c]), np.array([b, 0.])) for a in (.7, 1, 1.4, 2) for b in (0, .25, .5, .75, 1) for c in (1, 1.5, 2.25)]
    f1 = lambda o: figures([marginals(s * o[0] + o[1], chain) for s in scores], episodes)["segments"]["f1"]
    return max(options, key=f1)


def probabilities(session, segments_parts, chain):
    """Each segment's probability to be advertisement by an exported model, of the parts of an episode's segments."""
    names, feeds = [i.name for i in session.get_inputs()], {}
    for k in range(4):
        longest = max(1, max(len(s[k][0]) for s in segments_parts))
        for i in range(2):
            feeds[names[2 * k + i]] = np.stack([np.pad(s[k][i], (0, longest - len(s[k][i]))) for s in segments_parts])
    return marginals(session.run(None, feeds)[0].astype(float), chain)


def golden(session, chain):
    """Texts of an episode and their probabilities, which models/ads must find too."""
    reads, talks = texts.passages("told.txt")
    said = talks[0] + reads[0] + talks[1]
    found = probabilities(session, parts([stems(s) for s in said]), chain)
    return {"texts": said, "probabilities": [round(float(p), 6) for p in found]}


MANIFEST = """schema: earshot.model/1
name: earshot-ads
version: 4
task: ads
family: hashed-chain
licence: Apache-2.0
precision: int8
languages: [en]
files: {{model.onnx: {sha}}}
sessions: [model.onnx]
inputs:
{inputs}
outputs: [{{name: scores, type: float32, shape: [batch, "2"]}}]
batch: {{max_items: 64, max_cost: 32768}}
labels: [{{name: Advertisement, id: ad, threshold: {threshold}}}]
parameters:
  rows: {rows}
  context_words: {context}
  first: {first}
  begin: {begin}
  end: {end}
"""


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--pack", type=pathlib.Path, required=True)
    p.add_argument("--steps", type=int, default=200)
    p.add_argument("--test", action="store_true", help="measure on test.txt and on held-out patterns too")
    o = p.parse_args()
    torch.set_num_threads(1)
    material = texts.Material()
    vectors = gloss_vectors(WordNet(), ROWS, WIDTH)
    studio = Studio(material, 1)
    nets = [train(studio, vectors, o.steps, seed) for seed in (1, 2, 3)]
    chain = np.mean([n.chain.detach().numpy() for n in nets], 0).astype(float).round(3)
    passages = lambda kinds, order: lambda rng, _: order(*kinds, rng)
    dev = {(order.__name__, sizes, rate): measured(passages(material.dev, order), rate, sizes)
           for order in (texts.told, texts.magazine) for sizes in SIZES for rate in (0, .2)}
    scale, bias = choose(nets, chain, [e for episodes in dev.values() for e in episodes[:80]])
    print("scale", scale, "bias", bias, flush=True)
    o.pack.mkdir(parents=True, exist_ok=True)
    model = o.pack / "model.onnx"
    export(nets, scale, bias, model)
    inputs = "\n".join(f"  - {{name: {part}{name}, type: {kind}, shape: [batch, {part}n]}}" for part in ("", "before_", "after_", "opening_")
                       for name, kind in (("ids", "int64"), ("weights", "float32")))
    (o.pack / "model.yaml").write_text(MANIFEST.format(
        sha=hashlib.sha256(model.read_bytes()).hexdigest(), inputs=inputs, rows=ROWS, context=CONTEXT, threshold=THRESHOLD,
        **{name: round(float(x), 3) for name, x in zip(("first", "begin", "end"), chain)}))
    session = onnxruntime.InferenceSession(model)
    GOLDEN.write_text(json.dumps(golden(session, chain), indent=1) + "\n")
    show = lambda name, rate, episodes: print(name, rate, json.dumps(figures(
        [probabilities(session, e[0], chain) for e in episodes], episodes)), flush=True)
    for (order, sizes, rate), episodes in dev.items():
        show(f"dev {order} {sizes}", rate, episodes)
    if o.test:
        patterns = lambda rng, hear: texts.mixed(phrases.HELD, phrases.NEAR_HELD, material.frame, material.held, hear, rng, 0)
        for name, episode in (("passages", passages(material.test, texts.told)), ("patterns", patterns)):
            for rate in (0, .2):
                show(name, rate, measured(episode, rate))


if __name__ == "__main__":
    main()
