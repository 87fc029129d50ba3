"""Sound events: tiny YAMNet-, CNN14- and CED-like models of the published architectures, and golden data.

    python sound.py        # writes ../../parity/tiny-{yamnet,cnn14,ced}* and ../../sound/clips/testdata

Packages: requirements.txt; and Debian's espeak-ng. The architectures are written small in PyTorch after the papers and
their published code (Plakal and Ellis, YAMNet; Kong et al., PANNs, arXiv:1912.10211; Dinkel et al., CED,
arXiv:2308.11957), since their own packages are TensorFlow or bring weights. The weights are random, the last layer
scaled so that scores vary, and each label's threshold lies in the middle of what the reference says of it.

Golden data for a scene.pcm16: MODEL.scores.f32, [windows, classes], from PyTorch's eager run over windows cut here, and
MODEL.events.json, from the rules in models/sound/events.go written again in numpy.
"""
import hashlib
import io
import json
import math
import pathlib
import subprocess
import sys
import wave

sys.path.pop(0)  # this folder's whisper.py is not the package of that name

import numpy as np
import onnxruntime
import scipy.signal
import torch
from torch import nn
from torch.nn import functional as F

torch.version.cuda = None  # torchaudio refuses a torch built for another CUDA, which nothing here uses
import torchaudio

HERE = pathlib.Path(__file__).resolve().parent
RATE = 16000
LABELS = [("/m/09x0r", "Speech"), ("/m/04rlf", "Music"), ("/m/028ght", "Applause"), ("/m/07pp_mv", "Alarm"),
          ("/m/028v0c", "Silence")]
EVENTS = {"offset": 0.9, "smooth": 0.0, "min_length": 0.3, "max_gap": 0.2}


class Spectrum(nn.Module):
    """[batch, samples] -> [batch, bins, frames]: magnitudes, from Hann windows that are not padded."""

    def __init__(self, fft, window, hop):
        super().__init__()
        self.fft, self.length, self.hop = fft, window, hop
        self.register_buffer("window", F.pad(torch.hann_window(window), (0, fft - window)))

    def forward(self, x):
        y = torch.stft(x, self.fft, self.hop, self.fft, self.window, center=False, return_complex=False)
        return y.pow(2).sum(-1)


class Separable(nn.Sequential):
    """MobileNet v1's layer: a convolution of each channel, then one across channels."""

    def __init__(self, n, m, stride):
        super().__init__(nn.Conv2d(n, n, 3, stride, 1, groups=n, bias=False), nn.BatchNorm2d(n), nn.ReLU(),
                         nn.Conv2d(n, m, 1, bias=False), nn.BatchNorm2d(m), nn.ReLU())


class Yamnet(nn.Module):
    """YAMNet: [samples] -> scores [patches, classes], embeddings, log-mel; patches of 96 frames every 48."""

    def __init__(self, classes, width=8):
        super().__init__()
        self.spectrum = Spectrum(512, 400, 160)
        bank = torchaudio.functional.melscale_fbanks(257, 125, 7500, 64, RATE)
        self.register_buffer("bank", bank)
        w = width
        self.body = nn.Sequential(nn.Conv2d(1, w, 3, 2, 1, bias=False), nn.BatchNorm2d(w), nn.ReLU(),
                                  Separable(w, 2 * w, 1), Separable(2 * w, 2 * w, 2), Separable(2 * w, 4 * w, 2))
        self.top = nn.Linear(4 * w, classes)

    def forward(self, waveform):
        # The transform takes windows of 512 samples where YAMNet's are of 400, so that the last needs 112 more.
        magnitude = self.spectrum(F.pad(waveform, (0, 112))[None]).sqrt()
        logmel = torch.log(magnitude[0].T @ self.bank + 0.001)
        count = (logmel.shape[0] - 96) // 48 + 1
        index = torch.arange(count)[:, None] * 48 + torch.arange(96)[None]
        patches = logmel[index]
        embedding = self.body(patches[:, None]).mean((2, 3))
        return torch.sigmoid(self.top(embedding)), embedding, logmel


class Block(nn.Module):
    """PANNs' ConvBlock."""

    def __init__(self, n, m):
        super().__init__()
        self.one, self.two = nn.Conv2d(n, m, 3, 1, 1, bias=False), nn.Conv2d(m, m, 3, 1, 1, bias=False)
        self.norm1, self.norm2 = nn.BatchNorm2d(m), nn.BatchNorm2d(m)

    def forward(self, x):
        x = F.relu(self.norm1(self.one(x)))
        return F.avg_pool2d(F.relu(self.norm2(self.two(x))), 2)


class Cnn14(nn.Module):
    """CNN14: [batch, samples at 32 kHz] -> clipwise_output [batch, classes], embedding."""

    def __init__(self, classes, widths=(4, 6, 8, 8)):
        super().__init__()
        self.spectrum = Spectrum(1024, 1024, 320)
        self.register_buffer("bank", torchaudio.functional.melscale_fbanks(
            513, 50, 14000, 32, 32000, norm="slaney", mel_scale="slaney"))
        self.norm = nn.BatchNorm2d(32)
        self.blocks = nn.Sequential(*[Block(n, m) for n, m in zip((1,) + widths, widths)])
        self.middle, self.top = nn.Linear(widths[-1], 16), nn.Linear(16, classes)

    def forward(self, waveform):
        x = F.pad(waveform[:, None], (512, 512), mode="reflect")[:, 0]
        x = self.spectrum(x).transpose(1, 2) @ self.bank
        x = 10 * torch.log10(x.clamp(min=1e-10))
        x = self.norm(x.transpose(1, 2)[..., None]).permute(0, 3, 2, 1)
        x = self.blocks(x).mean(3)
        x = F.relu(self.middle(x.amax(2) + x.mean(2)))
        return torch.sigmoid(self.top(x)), x


class Layer(nn.Module):
    """A pre-norm transformer layer, as in ViT."""

    def __init__(self, size, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(size, 1e-6), nn.LayerNorm(size, 1e-6)
        self.qkv, self.out = nn.Linear(size, 3 * size), nn.Linear(size, size)
        self.up, self.down = nn.Linear(size, 2 * size), nn.Linear(2 * size, size)

    def forward(self, x):
        b, n, d = x.shape
        q, k, v = self.qkv(self.norm1(x)).reshape(b, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        a = (q @ k.transpose(-1, -2) / math.sqrt(d // self.heads)).softmax(-1)
        x = x + self.out((a @ v).transpose(1, 2).reshape(b, n, d))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Ced(nn.Module):
    """CED: decibels [batch, 64, frames] -> logits [batch, classes]; patches of 16 by 16, positions of time and
    frequency apart, the mean of all tokens."""

    def __init__(self, classes, size=24, depth=2, heads=3):
        super().__init__()
        self.norm = nn.BatchNorm2d(64, momentum=0.01)
        self.patch = nn.Conv2d(1, size, 16, 16)
        self.time = nn.Parameter(0.1 * torch.randn(1, size, 1, 63))
        self.frequency = nn.Parameter(0.1 * torch.randn(1, size, 4, 1))
        self.layers = nn.Sequential(*[Layer(size, heads) for _ in range(depth)])
        self.last = nn.LayerNorm(size, 1e-6)
        self.top = nn.Sequential(nn.LayerNorm(size), nn.Linear(size, classes))

    def forward(self, x):
        x = self.norm(x[:, :, :, None].permute(0, 1, 3, 2)).permute(0, 2, 1, 3)
        x = self.patch(x)
        x = x + self.time[..., :x.shape[3]] + self.frequency
        x = self.layers(x.flatten(2).transpose(1, 2))
        return self.top(self.last(x).mean(1))


def ced_features(x):
    spectrogram = torchaudio.transforms.MelSpectrogram(
        f_min=0, sample_rate=RATE, win_length=512, center=True, n_fft=512, f_max=None, hop_length=160, n_mels=64)
    decibels = torchaudio.transforms.AmplitudeToDB(top_db=120)
    return torch.cat([decibels(spectrogram(row[None])) for row in x])  # the ceiling is each clip's


def scene():
    """A sentence, a chord, noise in bursts and silence: 23.4 s."""
    wav = subprocess.run(["espeak-ng", "--stdout", "-v", "en", "The market opened quietly, and then everyone began to "
                          "talk about the weather in the north."], check=True, capture_output=True).stdout
    with wave.open(io.BytesIO(wav)) as w:
        x = np.frombuffer(w.readframes(10**9), "<i2") / 32768
        speech = scipy.signal.resample_poly(x, RATE, w.getframerate())
    g = np.random.default_rng(20261124)
    t = np.arange(6 * RATE) / RATE
    chord = sum(0.1 * np.sin(2 * np.pi * f * t) for f in (220, 277.2, 329.6, 1760)) * (0.6 + 0.4 * np.sin(9 * t))
    bursts = g.standard_normal(5 * RATE) * 0.2 * (np.sin(2 * np.pi * 1.5 * np.arange(5 * RATE) / RATE) > 0)
    x = np.concatenate([speech[:6 * RATE], chord, bursts, 0.001 * g.standard_normal(2 * RATE), speech[:4 * RATE] * 0.5])
    x = np.pad(x, (0, int(23.4 * RATE) - len(x))) if len(x) < 23.4 * RATE else x[:int(23.4 * RATE)]
    return np.clip(np.round(x * 32768), -32768, 32767).astype("<i2")


def doubled(x):
    """A tape at twice its rate by the filter that audio.Resampler's documentation names, written again in numpy: a sinc
    under a Kaiser window, 84 dB down from 1.075 of the Nyquist frequency. CNN14 hears in decibels what a resampler
    leaves above 8 kHz, so that each library's own gives other scores."""
    taps = math.ceil((math.ceil((84 - 7.95) / (14.36 * 0.15 * 0.5)) + 1) / 32) * 32
    half, beta = taps // 2, 0.1102 * (84 - 8.7)
    out = np.empty(2 * len(x))
    padded = np.pad(x, (half - 1, half))
    for phase in range(2):
        t = np.arange(taps) - half + 1 - phase / 2
        w = np.sinc(t) * np.i0(beta * np.sqrt(np.clip(1 - (t / half) ** 2, 0, 1))) * (np.abs(t) <= half)
        out[phase::2] = np.convolve(padded, (w / w.sum())[::-1], "valid")[:len(x)]
    return out


def cut(x, window, hop):
    """The windows of a tape, the last padded with silence."""
    count = 1 + max(0, math.ceil((len(x) - window) / hop))
    x = np.pad(x, (0, (count - 1) * hop + window - len(x)))
    return torch.from_numpy(np.stack([x[i * hop:i * hop + window] for i in range(count)]).astype(np.float32))


def find(p, step, duration, onset, offset, smooth, min_length, max_gap):
    """sound.Events.Find, without smoothing."""
    assert smooth == 0
    runs, on = [], False
    for i, v in enumerate(p):
        if not on and v >= onset:
            on = True
            if not runs or (i - runs[-1][1]) * step > max_gap:
                runs.append([i, i, []])
        elif on and v < onset * offset:
            on = False
        if on:
            runs[-1][1] = i + 1
            runs[-1][2].append(float(v))
    events = [(a * step, min(duration, b * step), float(np.mean(v))) for a, b, v in runs]
    return [e for e in events if e[1] > e[0] and e[1] - e[0] >= min_length]


def steps(scores, samples, window, hop):
    """A step of one hop is the mean of the windows that cover its middle."""
    out = []
    for s in range(math.ceil(samples / hop)):
        k = [k for k in range(len(scores)) if k * hop <= (s + 0.5) * hop < k * hop + window] or [len(scores) - 1]
        out.append(scores[k].astype(np.float64).mean(0))
    return np.stack(out)


def write(name, model, example, inputs, outputs, axes, scores, x, rate, window, hop, manifest):
    """One model's folder and golden data. scores: [windows, classes], probabilities."""
    folder = HERE / "../../parity" / name
    folder.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(model, (example,), folder / "model.onnx", input_names=inputs, output_names=outputs,
                      dynamic_axes=axes, opset_version=17, dynamo=False)
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    got = session.run(None, {inputs[0]: example.numpy()})[0]
    with torch.no_grad():
        want = model(example)
    want = (want if isinstance(want, torch.Tensor) else want[0]).numpy()
    print(f"{name}: onnxruntime is within {np.abs(got - want).max():.2g} of torch; "
          f"{(folder / 'model.onnx').stat().st_size} bytes; scores {scores.min():.3f} to {scores.max():.3f}")
    assert np.abs(got - want).max() < 1e-3
    testdata = HERE / "../../sound/clips/testdata"
    scores.astype("<f4").tofile(testdata / f"{name}.scores.f32")
    track, events, labels = steps(scores, len(x), window, hop), [], []
    for c, (mid, label) in enumerate(LABELS):
        threshold = round(float(track[:, c].min() + track[:, c].max()) / 2, 4)
        labels.append(f"{{threshold: {threshold}, **}}".replace("**", ", ".join(f"{k}: {v}" for k, v in EVENTS.items())))
        for start, end, confidence in find(track[:, c], hop / rate, len(x) / rate, threshold, **EVENTS):
            events.append({"label": label, "id": mid, "start": start, "end": end, "confidence": confidence})
    events.sort(key=lambda e: (e["start"], e["label"]))
    (testdata / f"{name}.events.json").write_text(json.dumps(events, indent=1) + "\n")
    csv = "index,mid,display_name\n" + "".join(f'{i},{mid},"{label}"\n' for i, (mid, label) in enumerate(LABELS))
    (folder / "class_labels_indices.csv").write_text(csv)
    hashes = "".join(f"  {f}: {hashlib.sha256((folder / f).read_bytes()).hexdigest()}\n"
                     for f in ("class_labels_indices.csv", "model.onnx"))
    own = "".join(f"    {label}: {e}\n" for (_, label), e in zip(LABELS, labels))
    (folder / "model.yaml").write_text(f"""schema: earshot.model/1
name: {name}
version: 1
task: sound-events
licence: Apache-2.0
precision: fp32
files:
{hashes}sessions: [model.onnx]
labels_file: class_labels_indices.csv
{manifest}  labels:
{own}""")


def spread(model, layer, windows, classes=len(LABELS)):
    """Gives the norms statistics and the last layer weights with which scores vary over the windows."""
    model.train()
    with torch.no_grad():
        for _ in range(20):
            model(windows)
    model.eval()
    seen = []
    hook = layer.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    with torch.no_grad():
        model(windows)
        hook.remove()
        h = torch.cat(seen)
        mean, std = h.mean(0), h.std(0) + 1e-3
        w = torch.randn(classes, h.shape[1]) / std
        w *= 1.2 / ((h - mean) @ w.T).std(0)[:, None]
        layer.weight.copy_(w)
        layer.bias.copy_(-(w @ mean) - 0.5)


def main():
    torch.manual_seed(20261124)
    torch.set_num_threads(1)
    testdata = HERE / "../../sound/clips/testdata"
    testdata.mkdir(parents=True, exist_ok=True)
    pcm = scene()
    pcm.tofile(testdata / "scene.pcm16")
    x = pcm.astype(np.float64) / 32768
    C = len(LABELS)

    window, hop = 15600, 7680
    model = Yamnet(C)
    whole = torch.from_numpy(x.astype(np.float32))
    count = 1 + math.ceil((len(whole) - window) / hop)
    whole = F.pad(whole, (0, (count - 1) * hop + window - len(whole)))
    spread(model, model.top, whole)
    with torch.no_grad():
        scores = model(whole)[0].numpy()  # as YAMNet is used: the whole recording at once
    assert len(scores) == count
    write("tiny-yamnet", model, whole, ["waveform"], ["scores", "embeddings", "log_mel_spectrogram"],
          {"waveform": {0: "samples"}, "scores": {0: "patches"}, "embeddings": {0: "patches"},
           "log_mel_spectrogram": {0: "frames"}}, scores, x, RATE, window, hop,
          f"""family: patch-waveform
inputs:
  - {{name: waveform, type: float32, shape: [samples]}}
outputs:
  - {{name: scores, type: float32, shape: [patches, "{C}"]}}
  - {{name: embeddings, type: float32, shape: [patches, "32"]}}
  - {{name: log_mel_spectrogram, type: float32, shape: [frames, "64"]}}
batch: {{max_items: 4}}
parameters:
  clip: {{window: 0.975, hop: 0.48, patches: 20, output: scores}}
  events: {{threshold: 0.5, offset: 0.9, smooth: 0, min_length: 0.3, max_gap: 0.2}}
""")

    rate, window, hop = 32000, 64000, 32000
    up = doubled(x)
    clips = cut(up, window, hop)
    model = Cnn14(C)
    spread(model, model.top, clips)
    with torch.no_grad():
        scores = model(clips)[0].numpy()
    write("tiny-cnn14", model, clips[:3], ["waveform"], ["clipwise_output", "embedding"],
          {"waveform": {0: "batch", 1: "samples"}, "clipwise_output": {0: "batch"}, "embedding": {0: "batch"}},
          scores, up, rate, window, hop,
          f"""family: clip-classifier
inputs:
  - {{name: waveform, type: float32, shape: [batch, samples]}}
outputs:
  - {{name: clipwise_output, type: float32, shape: [batch, "{C}"]}}
  - {{name: embedding, type: float32, shape: [batch, "16"]}}
batch: {{max_items: 16, alone: true}}
parameters:
  clip: {{rate: 32000, window: 2, hop: 1, output: clipwise_output}}
  events: {{threshold: 0.5, offset: 0.9, smooth: 0, min_length: 0.3, max_gap: 0.2}}
""")

    window, hop = 4 * RATE, 2 * RATE
    features = ced_features(cut(x, window, hop))
    model = Ced(C)
    spread(model, model.top[1], features)
    with torch.no_grad():
        logits = model(features)
    write("tiny-ced", model, features[:3], ["features"], ["logits"],
          {"features": {0: "batch", 2: "frames"}, "logits": {0: "batch"}}, torch.sigmoid(logits).numpy(), x, RATE,
          window, hop, f"""family: clip-classifier
inputs:
  - {{name: features, type: float32, shape: [batch, "64", frames]}}
outputs:
  - {{name: logits, type: float32, shape: [batch, "{C}"]}}
frontend: {{kind: ced, mels: 64}}
batch: {{max_items: 16}}
parameters:
  clip: {{window: 4, hop: 2, sigmoid: true}}
  events: {{threshold: 0.5, offset: 0.9, smooth: 0, min_length: 0.3, max_gap: 0.2}}
""")


if __name__ == "__main__":
    main()
