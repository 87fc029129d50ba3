"""Trains the punctuation model: which mark stands after each word of a recogniser's text, and which case it has.

    python train.py --pack ../../pack/earshot-punctuation --net WORK/punctuation.pt        (about ten minutes of one core)

The texts are put together to stretches of talk, heard with word errors, and given pauses. Nothing of them is spoken:
pauses are drawn so that they tell much, and lie often enough for the model to read the words too.
"""
import argparse
import json
import math
import random
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

import company
import graph
import texts
from mishear import Mishearing
from network import FEATURES, LONGEST, ROWS, Net, features
from texts import CAPITALISED, LOWER, QUESTION, STOP, UNKNOWN, UPPER

# How many of the stretches of a batch come from each source.
SHARES = {"prose": 9, "talk": 8, "fortunes": 9, "examples": 2}
STRETCH = 110  # words
BATCH = 28


class Reader:
    """Makes what the network reads of passages: words misheard, names exchanged, letters spelled, pauses."""

    def __init__(self, seed, vocabulary):
        self.random = random.Random(seed)
        self.hear = Mishearing(seed, vocabulary)
        self.names, self.double = texts.names()
        self.small = texts.lowercase()

    def misheard(self, passage, rate):
        """The passage with about so many of its words wrong; a mark stays where it was said. What is heard in place of
        a word has no case of its own."""
        out = []
        for word, mark, case in passage:
            heard = self.hear.hear([word], rate) if rate else [word]
            if not heard:
                if out and mark > out[-1][1]:
                    out[-1] = (out[-1][0], mark, out[-1][2])
                continue
            out += [(w, 0, case if w == word else UNKNOWN) for w in heard]
            out[-1] = (out[-1][0], mark, out[-1][2])
        return out

    def renamed(self, passage):
        """The passage with some of its names exchanged for others, and initials spelled."""
        out = []
        for word, mark, case in passage:
            if case == CAPITALISED and len(word) > 2 and word not in self.small and self.random.random() < 0.35:
                possessive = "'s" if word.endswith("'s") else ""
                word = self.random.choice(self.names if self.random.random() < 0.9 else self.double) + possessive
            if case == UPPER and len(word) < 5 and self.random.random() < 0.5:
                out += [(letter, 0, UPPER) for letter in word[:-1]] + [(word[-1], mark, UPPER)]
            else:
                out.append((word, mark, case))
        return out

    def pauses(self, passage):
        """Seconds after each word: a talker's pace, pauses within clauses, at commas and longer ones at ends, with much
        overlap; a fifth of talkers pause without regard to what they say, as where words are pasted together, and some
        read without a halt, at commas as long as at ends, as synthesisers do."""
        r = self.random
        pace = math.exp(r.gauss(0, 0.45))
        blind, reading = r.random() < 0.2, r.random() < 0.25
        halting = 0 if reading else r.uniform(0.02, 0.12)
        found = []
        for _, mark, _ in passage:
            kind = r.choices((0, 1, 2), (0.8, 0.1, 0.1))[0] if blind else min(mark, 1 if reading else 2)
            if kind == 0:
                s = abs(r.gauss(0, 0.03)) if r.random() > halting else math.exp(r.gauss(math.log(0.25), 0.6))
            elif kind == 1:
                s = math.exp(r.gauss(math.log(0.2), 0.7)) if r.random() < 0.75 else abs(r.gauss(0, 0.05))
            else:
                s = math.exp(r.gauss(math.log(0.45), 0.6)) if r.random() < 0.88 else abs(r.gauss(0, 0.08))
            found.append(min(LONGEST, round(s * pace / 0.04) * 0.04))  # the recogniser's steps
        found[-1] = LONGEST
        return found


def tensors(stretches, pauses, strange=None):
    """ids, pauses, and the marks and cases to learn (UNKNOWN: not told) of some stretches. strange() gives rows in place
    of a word's own, as a word has that training never held, or None."""
    n = max(map(len, stretches))
    ids = np.zeros((len(stretches), n, FEATURES), np.int64)
    gaps = np.zeros((len(stretches), n), np.float32)
    marks, cases = np.full((2, len(stretches), n), UNKNOWN, np.int64)
    for i, (stretch, gap) in enumerate(zip(stretches, pauses)):
        for j, (word, mark, case) in enumerate(stretch):
            ids[i, j], gaps[i, j], marks[i, j], cases[i, j] = features(word), gap[j], mark, case
            rows = strange and strange()
            if rows:
                ids[i, j, :2] = rows
    return tuple(map(torch.from_numpy, (ids, gaps, marks, cases)))


def written(marks, cases):
    """What is put down of the network's answers for one transcript (models/punctuation has the same): the case of what
    begins a sentence is at least a capital, and the end is an end."""
    marks, cases = list(marks), list(cases)
    marks[-1] = max(marks[-1], STOP)
    for i in range(len(cases)):
        if (i == 0 or marks[i - 1] >= STOP) and cases[i] == LOWER:
            cases[i] = CAPITALISED
    return marks, cases


def evaluate(net, transcripts, pauses, ends=0.0, questions=0.0):
    """Precision, recall and F1 of sentence ends (full stop or question mark), each mark, capitals (all, and those inside
    sentences), over some transcripts; with so much added to the logits of ends, and of question marks. A capital is due at each beginning, and elsewhere where the text has one."""
    counts = {k: [0, 0, 0] for k in ("ends", "comma", "stop", "question", "capitals", "capitals inside")}

    def count(key, found, due):
        counts[key][0] += found and due
        counts[key][1] += found
        counts[key][2] += due

    net.eval()
    with torch.no_grad():
        for transcript, gap in zip(transcripts, pauses):
            ids, gaps, _, _ = tensors([transcript], [gap])
            m, c = net(ids, gaps)
            m[..., STOP:] += ends
            m[..., QUESTION] += questions
            marks, cases = written(m[0].argmax(1).tolist(), c[0].argmax(1).tolist())
            begins = True
            for (_, mark, case), said, shown in zip(transcript, marks, cases):
                count("ends", said >= STOP, mark >= STOP)
                for key, k in (("comma", 1), ("stop", 2), ("question", 3)):
                    count(key, said == k, mark == k)
                if begins or case != UNKNOWN:
                    count("capitals", shown > LOWER, begins or case > LOWER)
                    if not begins:
                        count("capitals inside", shown > LOWER, case > LOWER)
                begins = mark >= STOP
    return {k: {"precision": round(a / max(1, b), 3), "recall": round(a / max(1, c), 3), "f1": round(2 * a / max(1, b + c), 3), "n": c}
            for k, (a, b, c) in counts.items()}


def episodes(passages, length=4):
    """Transcripts of so many passages each."""
    return [[w for p in passages[i:i + length] for w in p] for i in range(0, len(passages), length)]


def sentences(passages):
    """The sentences of some passages, each a passage of its own."""
    out = []
    for passage in passages:
        start = 0
        for i, (_, mark, _) in enumerate(passage):
            if mark >= STOP:
                out.append(passage[start:i + 1])
                start = i + 1
    return out


def choosing(dev, draws):
    """The passages to choose by, each with some draws of pauses."""
    reader = Reader(7, set())
    spoken = episodes(dev) * draws
    return spoken, [reader.pauses(t) for t in spoken]


def asking(net, dev, draws=3):
    """What added to the logit of question marks gives them the best F1: they are few, and learnt too shyly."""
    spoken, gaps = choosing(dev, draws)
    return max((evaluate(net, spoken, gaps, questions=q)["question"]["f1"], -q, q) for q in (0.0, 0.5, 1.0, 1.5, 2.0))[2]


def chosen(net, dev, draws=3):
    """The sentence ends' F1 on the passages to choose by, over some draws of pauses, and what added to the logits of ends
    is best for it."""
    spoken, gaps = choosing(dev, draws)
    return max((evaluate(net, spoken, gaps, s)["ends"]["f1"], -abs(s), s) for s in (-0.5, 0.0, 0.5, 1.0))


def train(sources, dev, held, steps, seed=1):
    """The network as it was best on the passages to choose by."""
    torch.manual_seed(seed)
    reader = Reader(seed, {w for passages in sources.values() for p in passages for w in texts.words(p)})
    r, net = reader.random, Net()
    parts = {name: sentences(passages) for name, passages in sources.items()}
    said = [texts.words(p) for passages in parts.values() for p in passages]
    with torch.no_grad():
        net.table.weight.copy_(torch.from_numpy(company.table(said + list(company.glosses(held)))))
    start = net.table.weight.detach().clone()
    mean = torch.optim.swa_utils.AveragedModel(net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.998))
    tables = [net.table.weight]
    rest = [p for n, p in net.named_parameters() if n != "table.weight"]
    optimiser = torch.optim.AdamW([{"params": tables, "lr": 2e-3, "weight_decay": 0}, {"params": rest, "lr": 1.5e-3, "weight_decay": 0.05}])
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda s: min(1, s / 100) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * s / steps))))
    names, weights = zip(*SHARES.items())
    total, best = 0.0, (0.0,)
    for step in range(steps):
        stretches, pauses = [], []
        for name in r.choices(names, weights, k=BATCH):
            # Sentences out of their order, half of the time: what follows what is not to be learnt by heart.
            pool = parts[name] if r.random() < 0.5 else sources[name]
            stretch = []
            while len(stretch) < STRETCH:
                stretch += r.choice(pool)
            stretch = stretch[:2 * STRETCH]
            stretch = reader.renamed(stretch)
            stretch = reader.misheard(stretch, r.choice((0, 0, r.uniform(0, 0.3))))
            stretches.append(stretch)
            pauses.append(reader.pauses(stretch))
        rate = r.choice((0, 0.15, 0.3))
        strange = lambda: (r.randrange(1, ROWS), r.randrange(1, ROWS)) if r.random() < rate else None
        ids, gaps, marks, cases = tensors(stretches, pauses, strange)
        net.train()
        m, c = net(ids, gaps)
        loss = F.cross_entropy(m.flatten(0, 1), marks.flatten(), ignore_index=UNKNOWN, label_smoothing=0.02)
        loss = loss + F.cross_entropy(c.flatten(0, 1), cases.flatten(), ignore_index=UNKNOWN, label_smoothing=0.01)
        loss = loss + 5e-6 * (net.table.weight - start).pow(2).sum()  # words that no text has stay where company puts them
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(rest, 1.0)
        optimiser.step()
        schedule.step()
        mean.update_parameters(net)
        total += loss.item()
        if step % 100 == 99:
            now = chosen(mean.module, dev) if step % 300 == 299 or step + 1 == steps else (0.0,)
            if now > best:
                best, kept = now, {k: v.clone() for k, v in mean.module.state_dict().items()}
            print(step + 1, round(total / 100, 4), now, flush=True)
            total = 0.0
    net.load_state_dict(kept)
    with torch.no_grad():
        net.marks.bias[STOP:] += best[2]
        net.marks.bias[QUESTION] += asking(net, dev)
    return net


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--pack", type=Path, required=True)
    p.add_argument("--net", type=Path, required=True, help="where torch's weights are kept")
    p.add_argument("--steps", type=int, default=2200)
    o = p.parse_args()
    torch.set_num_threads(1)
    sources, dev, test, held = texts.collect()
    net = train(sources, dev, held, o.steps)
    torch.save(net.state_dict(), o.net)
    graph.export(net, o.pack)
    figures = {}
    for name, passages in (("dev", dev), ("test", test)):
        for rate in (0, 0.1, 0.2):
            reader = Reader(11, set())
            heard = [reader.misheard(t, rate) for t in episodes(passages) * 4]
            figures[f"{name}, word errors {rate}"] = evaluate(net, heard, [reader.pauses(t) for t in heard])
    flat = [[0.04] * (len(t) - 1) + [LONGEST] for t in episodes(test)]
    figures["test, no pauses"] = evaluate(net, episodes(test), flat)
    for name, f in figures.items():
        print(name, json.dumps(f))


if __name__ == "__main__":
    main()
