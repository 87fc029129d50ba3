"""NeMo's front end and a small FastConformer encoder in plain PyTorch, as published; ctc.py and transducer.py share it.

Rekesh et al. 2023 (FastConformer: three depthwise-separable convolutions of stride 2), Gulati et al. 2020 (Conformer),
Dai et al. 2019 (relative positions). Every layer looks at a piece's own frames alone, as NeMo masks them.
"""
import hashlib
import math
from pathlib import Path

import librosa
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

torch.version.cuda = None  # torchaudio, which transformers imports, refuses a torch built for another CUDA

HERE = Path(__file__).resolve().parent
SPEECH = HERE / "../../asr/testdata/heldout.pcm16"
RATE = 16000


def speech(start, end):
    """Seconds [start, end) of the held-out speech of models/asr/testdata, f32 in [-1, 1]."""
    x = np.fromfile(SPEECH, "<i2")[int(start * RATE):int(end * RATE)]
    return torch.from_numpy(x.astype(np.float32) / 32768)


def features(x, mels):
    """NeMo's AudioToMelSpectrogramPreprocessor without dither: [mels, samples // 160]."""
    bank = torch.from_numpy(librosa.filters.mel(sr=RATE, n_fft=512, n_mels=mels, norm="slaney"))
    x = torch.cat([x[:1], x[1:] - .97 * x[:-1]])
    window = F.pad(torch.hann_window(400, periodic=False), (56, 56))
    spectrum = torch.stft(x, 512, 160, 512, window, center=True, pad_mode="constant", return_complex=True)
    logmel = torch.log(bank @ spectrum.abs().square() + 2**-24)[:, :len(x) // 160]
    return (logmel - logmel.mean(1, keepdim=True)) / (logmel.std(1, keepdim=True) + 1e-5)


def within(lengths, frames):
    return torch.arange(frames).unsqueeze(0) < lengths.unsqueeze(1)


class Subsampling(nn.Module):
    def __init__(self, mels, channels, size):
        super().__init__()
        self.first = nn.Conv2d(1, channels, 3, 2, 1)
        self.depth = nn.ModuleList(nn.Conv2d(channels, channels, 3, 2, 1, groups=channels) for _ in range(2))
        self.point = nn.ModuleList(nn.Conv2d(channels, channels, 1) for _ in range(2))
        self.out = nn.Linear(channels * mels // 8, size)

    def forward(self, x, lengths):
        def masked(x):
            return x * within(lengths, x.shape[2])[:, None, :, None]
        x = masked(x.transpose(1, 2).unsqueeze(1))
        x, lengths = self.first(x), (lengths + 1) // 2
        x = masked(F.relu(x))
        for depth, point in zip(self.depth, self.point):
            x, lengths = depth(x), (lengths + 1) // 2
            x = masked(F.relu(point(masked(x))))
        return self.out(x.transpose(1, 2).flatten(2)), lengths


class Attention(nn.Module):
    def __init__(self, size, heads):
        super().__init__()
        self.heads, self.width = heads, size // heads
        self.query, self.key, self.value, self.out = (nn.Linear(size, size) for _ in range(4))
        self.position = nn.Linear(size, size, bias=False)
        self.u, self.v = (nn.Parameter(torch.randn(heads, self.width) * .3) for _ in range(2))

    def forward(self, x, positions, mask):
        split = lambda y: y.unflatten(2, (self.heads, self.width)).transpose(1, 2)
        q, k, v, p = (split(y) for y in (self.query(x), self.key(x), self.value(x), self.position(positions)))
        content = (q + self.u.unsqueeze(1)) @ k.transpose(2, 3)
        where = (q + self.v.unsqueeze(1)) @ p.transpose(2, 3)
        n = x.shape[1]  # the relative shift: row i of where begins at its column n - 1 - i
        where = F.pad(where, (1, 0)).flatten(2).unflatten(2, (2 * n, n))[:, :, 1:].flatten(2).unflatten(2, (n, 2 * n - 1))[..., :n]
        score = (content + where) / math.sqrt(self.width)
        weight = score.masked_fill(~mask[:, None, None], -1e4).softmax(-1)
        return self.out((weight @ v).transpose(1, 2).flatten(2))


class Layer(nn.Module):
    def __init__(self, size, heads, kernel):
        super().__init__()
        feed = lambda: nn.Sequential(nn.LayerNorm(size), nn.Linear(size, 2 * size), nn.SiLU(), nn.Linear(2 * size, size))
        self.feed1, self.feed2 = feed(), feed()
        self.norms = nn.ModuleList(nn.LayerNorm(size) for _ in range(3))
        self.attention = Attention(size, heads)
        self.point1, self.point2 = nn.Conv1d(size, 2 * size, 1), nn.Conv1d(size, size, 1)
        self.depth, self.batch = nn.Conv1d(size, size, kernel, padding=kernel // 2, groups=size), nn.BatchNorm1d(size)

    def forward(self, x, positions, mask):
        x = x + .5 * self.feed1(x)
        x = x + self.attention(self.norms[0](x), positions, mask)
        y = F.glu(self.point1(self.norms[1](x).transpose(1, 2)), 1) * mask[:, None]
        x = x + self.point2(F.silu(self.batch(self.depth(y)))).transpose(1, 2)
        x = x + .5 * self.feed2(x)
        return self.norms[2](x)


class Encoder(nn.Module):
    """audio_signal [B, mels, T], length [B] -> [B, size, steps], steps [B]."""

    def __init__(self, mels, size=16, heads=2, layers=2, channels=4, kernel=5):
        super().__init__()
        self.size = size
        self.subsampling = Subsampling(mels, channels, size)
        self.layers = nn.ModuleList(Layer(size, heads, kernel) for _ in range(layers))

    def positions(self, n):
        at = torch.arange(n - 1, -n, -1, dtype=torch.float32).unsqueeze(1)
        rate = torch.exp(torch.arange(0, self.size, 2, dtype=torch.float32) * -(math.log(10000.0) / self.size))
        return torch.stack([torch.sin(at * rate), torch.cos(at * rate)], -1).flatten(1).unsqueeze(0)

    def forward(self, audio_signal, length):
        x, steps = self.subsampling(audio_signal, length)
        mask, positions = within(steps, x.shape[1]), self.positions(x.shape[1])
        for layer in self.layers:
            x = layer(x, positions, mask)
        return x.transpose(1, 2), steps


def lively(module):
    """Statistics and weights as training would leave them: away from zero and one, and heard in the outputs."""
    with torch.no_grad():
        for p in module.parameters():
            if p.dim() > 1:
                p.mul_(2)
    for m in module.modules():
        if isinstance(m, nn.BatchNorm1d):
            nn.init.normal_(m.running_mean, 0, .1)
            nn.init.uniform_(m.running_var, .5, 1.5)
        if isinstance(m, (nn.LayerNorm, nn.BatchNorm1d)):
            nn.init.uniform_(m.weight, .7, 1.3)
            nn.init.normal_(m.bias, 0, .1)
    return module.eval()


def manifest(folder, text):
    """Writes model.yaml: the text with the folder's files and their hashes in place of FILES."""
    files = sorted(p for p in folder.iterdir() if p.name != "model.yaml")
    lines = "\n".join(f"  {p.name}: {hashlib.sha256(p.read_bytes()).hexdigest()}" for p in files)
    (folder / "model.yaml").write_text(text.strip().replace("FILES", lines) + "\n")
