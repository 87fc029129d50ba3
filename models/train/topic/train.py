"""Trains earshot-topics: hashed words of a window of talk -> 28 probabilities. export.py makes models/pack/earshot-topics of it.

Texts are made on the fly: sentences of one to three topics (hand-written ones, WordNet glosses and examples,
carriers filled with the topic's words) among talk without a topic, misheard as a recogniser would.
One core, about two minutes where nothing else runs.
"""
import argparse
import random
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
import material  # noqa: E402
from glosses import gloss_vectors  # noqa: E402
from hashed import counts, stem, weigh, words  # noqa: E402
from mishear import Mishearing  # noqa: E402

ROWS, WIDTH = 1 << 15, 24
WINDOW = 160  # words in a window of a transcript
POOL = 128 * 250  # texts made; later steps draw from them again


class Net(torch.nn.Module):
    """logits = (sum of weighted rows) W + b."""

    def __init__(self, table, classes):
        super().__init__()
        self.table = torch.nn.Parameter(torch.tensor(table))
        self.out = torch.nn.Linear(table.shape[1], classes)

    def forward(self, ids, weights):
        h = torch.nn.functional.embedding_bag(ids, self.table, per_sample_weights=weights, mode="sum")
        return self.out(h)


class Texts:
    def __init__(self, topics, chat, neutral, seed):
        self.topics, self.chat, self.neutral = topics, chat, neutral
        self.random = random.Random(seed)
        extra = [w for t in topics for p in t.words for w in p.split()]
        self.mishearing = Mishearing(seed, extra)

    def sentence(self, t):
        rnd, x = self.random, self.random.random()
        if x < 0.3:
            return rnd.choice(t.sentences)
        if x < 0.5 and len(t.glosses) > 30:
            return rnd.choice(t.glosses)
        s = rnd.choice(material.CARRIERS)
        while "{w}" in s:
            lexical = rnd.random() < (0.3 if len(t.lemmas) > 100 else 0)
            s = s.replace("{w}", rnd.choice(t.lemmas if lexical else t.words), 1)
        return s

    def make(self):
        """One window: its words, and the share that each topic has of it."""
        rnd = self.random
        k = rnd.choices([0, 1, 2, 3], [0.15, 0.62, 0.2, 0.03])[0]
        chosen = rnd.sample(range(len(self.topics)), k)
        sentences = rnd.choices([1, 2, 3, 4, 6, 8, 10], [1, 2, 3, 3, 3, 2, 1])[0]
        noise = rnd.uniform(0, 0.6) if k else 1
        text, share, total = [], np.zeros(len(self.topics), np.float32), 0
        for i in range(max(sentences, k)):
            if i >= k and rnd.random() < noise:
                w = words(rnd.choice(self.chat) if rnd.random() < 0.5 else rnd.choice(self.neutral))
            else:
                t = chosen[i % k] if i < k else rnd.choice(chosen)
                w = words(self.sentence(self.topics[t]))
                share[t] += len(w)
            total += len(w)
            text.append(w)
        rnd.shuffle(text)
        flat = self.mishearing.hear([w for s in text for w in s], rnd.choice([0, 0.1, 0.2, 0.3]))
        return flat, share / max(total, 1)


def bag(batch):
    n = max(len(x) for x in batch)
    ids = np.zeros((len(batch), n), np.int64)
    weights = np.zeros((len(batch), n), np.float32)
    for i, x in enumerate(batch):
        for j, (r, w) in enumerate(x):
            ids[i, j], weights[i, j] = r, w
    return torch.from_numpy(ids), torch.from_numpy(weights)


def encode(text):
    return weigh(counts([stem(w) for w in text], ROWS))


def train(topics, chat, neutral, net, steps, seed, log=True, warm=True, drop=0.0):
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    start = gloss_vectors(net, ROWS, WIDTH) if warm else np.random.default_rng(seed).normal(0, 0.05, (ROWS, WIDTH)).astype(np.float32)
    model = Net(start, len(topics))
    anchor = model.table.detach().clone()
    make = Texts(topics, chat, neutral, seed)
    opt = torch.optim.Adam([{"params": [model.table], "lr": 0.01}, {"params": model.out.parameters(), "lr": 0.02}])
    sched = torch.optim.lr_scheduler.OneCycleLR(opt, [0.01, 0.02], total_steps=steps)
    loss_sum = 0
    pool = []
    for step in range(1, steps + 1):
        if len(pool) < POOL:
            pairs = [(encode(t) or [(0, 0.0)], share) for t, share in (make.make() for _ in range(128))]
            pool += pairs
        else:
            pairs = make.random.sample(pool, 128)
        ids, weights = bag([x for x, _ in pairs])
        # A word lost here and there: no single one may decide.
        weights = weights * (torch.rand(weights.shape) >= drop) / (1 - drop) ** 0.5
        share = torch.tensor(np.stack([s for _, s in pairs]))
        target = (share >= 0.2).float()
        certain = ((share == 0) | (share >= 0.2)).float()
        logits = model(ids, weights)
        # A topic's words on either side of 1 in 28 would otherwise teach mostly "no".
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            logits, target * 0.97 + 0.002, weight=certain * (1 + 2 * target))
        loss = loss + 2e-4 * (model.table - anchor).pow(2).sum() / 1000
        opt.zero_grad()
        loss.backward()
        opt.step()
        sched.step()
        loss_sum += loss.item()
        if log and step % 200 == 0:
            print(step, round(loss_sum / 200, 4), flush=True)
            loss_sum = 0
    return model


if __name__ == "__main__":
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("--steps", type=int, default=900)
    parse.add_argument("--seed", type=int, default=1)
    parse.add_argument("--cold", action="store_true", help="start from noise, not from WordNet's glosses")
    parse.add_argument("--drop", type=float, default=0.4, help="share of a window's features left out")
    parse.add_argument("--out", type=Path, required=True, help="where the weights go (torch)")
    args = parse.parse_args()
    topics, chat, neutral, net = material.load()
    model = train(topics, chat, neutral, net, args.steps, args.seed, warm=not args.cold, drop=args.drop)
    torch.save(model.state_dict(), args.out)
