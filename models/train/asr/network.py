"""The acoustic model: a small conformer that works at 80 ms and answers every 40 ms.

Input: normalised log-mel [batch, frames, 64], frames a multiple of 8. Output: log-probabilities
[batch, frames / 4, phones + 1], blank first. 6.7 M parameters.
"""
import torch
import torch.nn.functional as F
from torch import nn


class ChannelDropout(nn.Module):
    """Dropout with one mask per item and channel: much cheaper on a CPU than one per value."""

    def __init__(self, p):
        super().__init__()
        self.p = p

    def forward(self, x):
        if not self.training:
            return x
        mask = (torch.rand(x.shape[0], 1, x.shape[2]) > self.p).to(x.dtype)
        return x * (mask / (1 - self.p))


class SeparableConv(nn.Module):
    """Depthwise convolution and a feed-forward layer, as in ConvNeXt."""

    def __init__(self, width, kernel, expand, dropout):
        super().__init__()
        self.depthwise = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, expand * width), nn.Linear(expand * width, width)
        self.drop, self.gain = ChannelDropout(dropout), nn.Parameter(torch.full((width,), .3))

    def forward(self, x):
        y = self.depthwise(x.transpose(1, 2)).transpose(1, 2)
        return x + self.gain * self.drop(self.down(F.gelu(self.up(self.norm(y)))))


class Conformer(nn.Module):
    """Convolution, self-attention and feed-forward, each around a residual (Gulati et al. 2020, without the first half)."""

    def __init__(self, width, heads, kernel, dropout):
        super().__init__()
        self.heads = heads
        self.conv_norm, self.conv_in = nn.LayerNorm(width), nn.Linear(width, 2 * width)
        self.depthwise = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.conv_mid, self.conv_out = nn.LayerNorm(width), nn.Linear(width, width)
        self.attend_norm, self.qkv, self.attend_out = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.feed_norm, self.feed_in, self.feed_out = nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.drop = ChannelDropout(dropout)

    def attend(self, x):
        batch, steps, width = x.shape
        each = width // self.heads
        q, k, v = self.qkv(x).view(batch, steps, 3, self.heads, each).permute(2, 0, 3, 1, 4)
        weights = ((q * each ** -.5) @ k.transpose(-1, -2)).softmax(-1).to(v.dtype)
        return self.attend_out((weights @ v).transpose(1, 2).reshape(batch, steps, width))

    def forward(self, x):
        y = F.glu(self.conv_in(self.conv_norm(x)), -1)
        y = self.depthwise(y.transpose(1, 2)).transpose(1, 2)
        x = x + self.drop(self.conv_out(F.silu(self.conv_mid(y))))
        x = x + self.drop(self.attend(self.attend_norm(x)))
        return x + self.drop(self.feed_out(F.silu(self.feed_in(self.feed_norm(x)))))


class Recogniser(nn.Module):
    STRIDE = 4    # input frames per output step
    MULTIPLE = 8  # the number of input frames must be one of these

    def __init__(self, classes, width=256, layers=6, heads=4, kernel=11, dropout=.1, mels=64):
        super().__init__()
        self.first, self.second = nn.Conv1d(mels, 128, 5, 2, 2), nn.Conv1d(128, width, 5, 2, 2)
        self.early_norm, self.early = nn.LayerNorm(width), SeparableConv(width, 9, 2, .05)
        self.halve = nn.Linear(2 * width, width)
        self.blocks = nn.ModuleList([Conformer(width, heads, kernel, dropout) for _ in range(layers)])
        self.norm, self.widen = nn.LayerNorm(width), nn.Linear(width, 2 * width)
        self.last_norm, self.out = nn.LayerNorm(width), nn.Linear(width, classes)

    def forward(self, logmel):
        x = F.gelu(self.second(F.gelu(self.first(logmel.transpose(1, 2)))))
        x = self.early(self.early_norm(x.transpose(1, 2)))
        batch, steps, width = x.shape
        y = self.halve(x.reshape(batch, steps // 2, 2 * width))
        for block in self.blocks:
            y = block(y)
        x = x + self.widen(self.norm(y)).reshape(batch, steps, width)
        return self.out(F.gelu(self.last_norm(x))).float().log_softmax(-1)
