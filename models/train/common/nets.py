"""The convolutional nets of the audio classifiers. Input: log-mel [batch, frames, 64]."""
import torch
import torch.nn as nn
import torch.nn.functional as F


class Scale(nn.Module):
    """Brings a log-mel to about zero mean and unit deviation by constants, so that loudness still shows."""

    def forward(self, x):
        return (x + 5.0) * .25


class Stem(nn.Module):
    """Two-dimensional convolutions, halving time and frequency at each, then all channels of a step as one vector."""

    def __init__(self, channels, width, mels=64):
        super().__init__()
        pairs = list(zip([1, *channels[:-1]], channels))
        self.convs = nn.ModuleList([nn.Conv2d(a, b, 3, 2, 1, bias=False) for a, b in pairs])
        self.norms = nn.ModuleList([nn.BatchNorm2d(b) for _, b in pairs])
        self.out = nn.Linear(channels[-1] * (mels >> len(channels)), width)

    def forward(self, x):
        x = x.unsqueeze(1)
        for conv, norm in zip(self.convs, self.norms):
            x = F.relu(norm(conv(x)))
        return self.out(x.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """A depthwise convolution over time, then a mix of channels, added to its input."""

    def __init__(self, width, kernel, dilation=1, grow=1, drop=.05):
        super().__init__()
        self.depth = nn.Conv1d(width, width, kernel, padding=kernel // 2 * dilation, dilation=dilation, groups=width)
        self.norm = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, width * grow), nn.Linear(width * grow, width)
        self.drop = drop

    def forward(self, x):
        y = self.depth(x.transpose(1, 2)).transpose(1, 2)
        y = self.down(F.relu(self.up(self.norm(y))))
        if self.training:  # whole channels, one mask an item: far cheaper than a mask an element
            y = y * (torch.rand(y.shape[0], 1, y.shape[2]) > self.drop).to(y.dtype) / (1 - self.drop)
        return x + y


class Framewise(nn.Module):
    """Logits for every 2**len(channels) frames: [batch, steps, classes]."""

    def __init__(self, channels, width, kernel, dilations, classes, grow=1):
        super().__init__()
        self.scale, self.stem = Scale(), Stem(channels, width)
        self.blocks = nn.ModuleList([Block(width, kernel, d, grow) for d in dilations])
        self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, classes)

    def forward(self, x):
        x = self.stem(self.scale(x))
        for b in self.blocks:
            x = b(x)
        return self.out(self.norm(x))


class Pooled(nn.Module):
    """Logits for the whole item, by attentive statistics pooling (Okabe et al. 2018): [batch, classes]."""

    def __init__(self, width, kernel, dilations, classes, grow=1, stem=128):
        super().__init__()
        self.c1, self.c2 = nn.Conv1d(64, stem, 5, 2, 2), nn.Conv1d(stem, width, 5, 2, 2)
        self.first, self.halve = Block(width, kernel, 1, grow), nn.Conv1d(width, width, 2, 2)
        self.blocks = nn.ModuleList([Block(width, kernel, d, grow) for d in dilations])
        self.norm = nn.LayerNorm(width)
        self.look, self.weigh = nn.Linear(width, 48), nn.Linear(48, width)
        self.mix, self.out = nn.Linear(2 * width, 96), nn.Linear(96, classes)

    def forward(self, x):
        x = F.relu(self.c2(F.relu(self.c1(x.transpose(1, 2))))).transpose(1, 2)
        x = self.halve(self.first(x).transpose(1, 2)).transpose(1, 2)
        for b in self.blocks:
            x = b(x)
        x = self.norm(x)
        w = self.weigh(torch.tanh(self.look(x))).softmax(1)
        mean = (w * x).sum(1)
        deviation = ((w * x * x).sum(1) - mean * mean).clamp(min=1e-4).sqrt()
        return self.out(F.relu(self.mix(torch.cat([mean, deviation], 1))))
