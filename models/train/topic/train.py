"""Trains earshot-topics: hashed words of a window of talk -> 28 probabilities. export.py makes models/pack/earshot-topics of it.

Texts are made on the fly. Most are sentences of one to three topics (hand-written ones, WordNet glosses and examples,
carriers filled with the topic's words) among talk without a topic, the others passages of prose or stretches of them;
all are misheard as a recogniser would. One model varies much with the texts it happened to see; the mean of several
logits does not, and since logits are linear in a row of the table, the mean is stored as one table.
A minute of one core for each seed where nothing else runs.
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

ROWS, WIDTH = 1 << 15, 64
WINDOW = 160  # words in a window of a transcript
POOL = 24000  # texts of one seed
BATCH = 128
DROP = 0.55  # share of a window's features left out: no single word may decide
REST = -3.3  # logits of words that the model does not know: 1 in 28, below every threshold; a learnt bias ends at 1 in 3
PROSE = (0.25, 0.15)  # share of the texts that are made of passages, by turns: seeds that differ err differently


class Net(torch.nn.Module):
    """logits = (sum of weighted rows) W + REST."""

    def __init__(self, table, classes):
        super().__init__()
        self.table = torch.nn.Parameter(torch.tensor(table))
        self.out = torch.nn.Linear(table.shape[1], classes, bias=False)

    def forward(self, ids, offsets, weights):
        h = torch.nn.functional.embedding_bag(ids, self.table, offsets, per_sample_weights=weights, mode="sum")
        return self.out(h) + REST

    def folded(self):
        """What each row adds to each logit f32[rows, classes], and the bias f32[classes]."""
        return self.table.detach() @ self.out.weight.detach().T, torch.full((len(self.out.weight),), REST)


class Texts:
    def __init__(self, topics, chat, neutral, seed, prose):
        self.topics, self.chat, self.neutral, self.prose = topics, chat, neutral, prose
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
        return self.of_passages() if self.random.random() < self.prose else self.of_sentences()

    def stretch(self, passage):
        """The words of a passage, nearly half the time only 12 to 30 of them in a row."""
        w, rnd = words(passage), self.random
        if len(w) > 18 and rnd.random() < 0.45:
            n = rnd.randint(12, min(30, len(w)))
            start = rnd.randrange(len(w) - n + 1)
            w = w[start:start + n]
        return w

    def of_passages(self):
        rnd = self.random
        k = rnd.choices([0, 1, 2], [0.1, 0.75, 0.15])[0]
        chosen = rnd.sample(range(len(self.topics)), k)
        parts = [t for t in chosen for _ in range(rnd.choices([1, 2, 3], [6, 2, 1])[0] if k == 1 else 1)]
        parts += [None] * (rnd.choice([1, 1, 2, 3]) if k == 0 else rnd.random() < 0.25)
        text, share, total = [], np.zeros(len(self.topics), np.float32), 0
        for t in parts:
            if t is None:
                w = self.stretch(rnd.choice(self.chat)) if rnd.random() < 0.75 else words(rnd.choice(self.neutral))
            else:
                topic = self.topics[t]
                w = words(self.sentence(topic)) if rnd.random() < 0.12 else self.stretch(rnd.choice(topic.passages))
                share[t] += len(w)
            total += len(w)
            text.append(w)
        rnd.shuffle(text)
        flat = self.mishearing.hear([w for s in text for w in s], rnd.choice([0, 0, 0.1, 0.2]))
        return flat, share / max(total, 1)

    def of_sentences(self):
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


def encode(text):
    """The rows of a text's features and their weights, in ascending order of rows."""
    return weigh(counts([stem(w) for w in text], ROWS)) or [(0, 0.0)]


def bag(batch):
    """Encoded texts one behind the other: ids i64[n], where each begins i64[batch], weights f32[n]."""
    flat = np.concatenate(batch)
    offsets = np.cumsum([0] + [len(x) for x in batch[:-1]])
    return torch.from_numpy(flat[:, 0].astype(np.int64)), torch.from_numpy(offsets), torch.from_numpy(flat[:, 1].astype(np.float32))


def train(topics, chat, neutral, start, steps, seed, prose):
    """One model, its table begun as start f32[ROWS, WIDTH]."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    make = Texts(topics, chat, neutral, seed, prose)
    pool = [(np.array(encode(text)), share) for text, share in (make.make() for _ in range(POOL))]
    model = Net(start, len(topics))
    anchor = model.table.detach().clone()
    opt = torch.optim.Adam([{"params": [model.table], "lr": 0.01}, {"params": model.out.parameters(), "lr": 0.02}])
    sched = torch.optim.lr_scheduler.OneCycleLR(opt, [0.01, 0.02], total_steps=steps)
    loss_sum = 0
    for step in range(1, steps + 1):
        pairs = make.random.sample(pool, BATCH)
        ids, offsets, weights = bag([x for x, _ in pairs])
        weights = weights * (torch.rand(weights.shape) >= DROP) / (1 - DROP) ** 0.5
        share = torch.tensor(np.stack([s for _, s in pairs]))
        target = (share >= 0.2).float()
        certain = ((share == 0) | (share >= 0.2)).float()
        # A topic's words on either side of 1 in 28 would otherwise teach mostly "no".
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            model(ids, offsets, weights), target * 0.97 + 0.002, weight=certain * (1 + 2 * target))
        loss = loss + 2e-7 * (model.table - anchor).pow(2).sum()
        opt.zero_grad()
        loss.backward()
        opt.step()
        sched.step()
        loss_sum += loss.item()
        if step % 300 == 0:
            print(f"seed {seed}, step {step}: {loss_sum / 300:.4f}", flush=True)
            loss_sum = 0
    return model


if __name__ == "__main__":
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--steps", type=int, default=900)
    parse.add_argument("--seeds", type=int, nargs="+", default=range(1, 7))
    parse.add_argument("--out", type=Path, required=True, help="folder for the weights, a file for each seed (torch)")
    args = parse.parse_args()
    topics, chat, neutral, net = material.load()
    start = gloss_vectors(net, ROWS, WIDTH)
    args.out.mkdir(parents=True, exist_ok=True)
    for seed in args.seeds:
        model = train(topics, chat, neutral, start, args.steps, seed, PROSE[seed % len(PROSE)])
        torch.save(model.folded(), args.out / f"{seed}.pt")
