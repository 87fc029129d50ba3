"""The punctuation model's network and its front end, which models/punctuation has the same in Go.

A word is FEATURES rows of one table, summed: itself by two hashes, its first four letters, its last three and its last
two, each with a letter before it that says which; row 0 is padding and is zero. Beside them stands the pause after the
word, in seconds up to LONGEST. Residual convolutions see REACH words on either side.
"""
import sys
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from hashed import row  # noqa: E402

ROWS, WIDTH, FEATURES = 24576, 32, 5
HIDDEN, KERNEL, DILATIONS = 96, 5, (1, 2, 3)
REACH = sum(d * (KERNEL - 1) // 2 for d in DILATIONS)
LONGEST = 2.0
MARKS, CASES = 4, 3

CACHE = {}


def features(word):
    """The table's rows of a word in lower case."""
    found = CACHE.get(word)
    if found is None:
        parts = ("w" + word, "v" + word, "p" + word[:4], "s" + word[-3:], "t" + word[-2:])
        found = CACHE[word] = [row(p, ROWS) for p in parts]
    return found


class Block(nn.Module):
    def __init__(self, dilation):
        super().__init__()
        self.norm = nn.LayerNorm(HIDDEN)
        self.conv = nn.Conv1d(HIDDEN, HIDDEN, KERNEL, padding=dilation * (KERNEL - 1) // 2, dilation=dilation)
        self.mix = nn.Linear(HIDDEN, HIDDEN)
        self.drop = nn.Dropout(0.3)

    def forward(self, x, said):
        y = (self.norm(x) * said).transpose(1, 2)  # padding is zero to its neighbours
        y = torch.relu(self.conv(y).transpose(1, 2))
        return x + self.drop(self.mix(y))


class Net(nn.Module):
    """ids i64[batch, words, FEATURES], pauses f32[batch, words] in seconds -> marks f32[batch, words, MARKS] and cases
    f32[batch, words, CASES], logits."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(ROWS, WIDTH, padding_idx=0)
        nn.init.normal_(self.table.weight, 0, 0.1)
        with torch.no_grad():
            self.table.weight[0] = 0
        self.pause = nn.Linear(2, 8)
        self.into = nn.Linear(WIDTH + 8, HIDDEN)
        self.blocks = nn.ModuleList(Block(d) for d in DILATIONS)
        self.norm = nn.LayerNorm(HIDDEN)
        self.drop = nn.Dropout(0.3)
        self.marks = nn.Linear(HIDDEN, MARKS)
        self.cases = nn.Linear(HIDDEN, CASES)

    def forward(self, ids, pauses):
        said = (ids[:, :, :1] > 0).to(pauses.dtype)
        pauses = torch.relu(pauses).unsqueeze(-1)  # the root of less than nothing is no number
        x = torch.cat([self.drop(self.table(ids).sum(2)), torch.relu(self.pause(torch.cat([pauses, torch.sqrt(pauses)], 2)))], 2)
        x = self.into(x)
        for block in self.blocks:
            x = block(x, said)
        x = self.norm(x)
        return self.marks(x), self.cases(x)
