"""ECAPA-TDNN: tiny models of SpeechBrain's own classes for languages and for speakers, and golden data.

    pip install torch torchaudio numpy scipy onnx onnxruntime speechbrain hyperpyyaml    (versions: requirements.txt)
    python ecapa.py --bench DIR    # a model of the published size, random weights, for .ci/bench/streams.py
    python ecapa.py         # writes ../../parity/tiny-ecapa*, ../../langid/testdata and ../../speaker/testdata

The graphs take audio. Their front end is SpeechBrain's Fbank and its mean normalisation said with a convolution (the
Fourier transform of 25 ms) and a matrix product (the mel filters), for ONNX Runtime's CUDA provider has no STFT; the
rest is SpeechBrain's module with the same weights. Golden data come from SpeechBrain's Fbank, InputNormalization,
ECAPA_TDNN and Classifier, never from the graph. The sizes are those of the published recipes but for the widths:
VoxLingua107 has 60 mels and 107 languages, VoxCeleb 80 mels. Weights are random; the statistics of the batch
normalisations are those of the clip, so that the outputs differ from one second to the next.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path

sys.path.pop(0)  # this folder, whose silero.py is not the package

import numpy as np
import onnx
import onnxruntime
import torch

torch.version.cuda = None  # else torchaudio refuses a torch built for another CUDA; neither is used here
from scipy.cluster.hierarchy import fcluster, linkage
import speechbrain.lobes.models.ECAPA_TDNN as ECAPA
from speechbrain.dataio.dataio import length_to_mask
from speechbrain.lobes.features import Fbank
from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN
from speechbrain.lobes.models.Xvector import Classifier
from speechbrain.processing.features import InputNormalization

MODELS = Path(__file__).resolve().parents[2]
CLIP = MODELS / "vad/silero/testdata/clip.pcm16"
RATE = 16000
LANGUAGES = """ab Abkhazian, af Afrikaans, am Amharic, ar Arabic, as Assamese, az Azerbaijani, ba Bashkir, be Belarusian,
bg Bulgarian, bn Bengali, bo Tibetan, br Breton, bs Bosnian, ca Catalan, ceb Cebuano, cs Czech, cy Welsh, da Danish,
de German, el Greek, en English, eo Esperanto, es Spanish, et Estonian, eu Basque, fa Persian, fi Finnish, fo Faroese,
fr French, gl Galician, gn Guarani, gu Gujarati, gv Manx, ha Hausa, haw Hawaiian, hi Hindi, hr Croatian, ht Haitian,
hu Hungarian, hy Armenian, ia Interlingua, id Indonesian, is Icelandic, it Italian, iw Hebrew, ja Japanese, jw Javanese,
ka Georgian, kk Kazakh, km Khmer, kn Kannada, ko Korean, la Latin, lb Luxembourgish, ln Lingala, lo Lao, lt Lithuanian,
lv Latvian, mg Malagasy, mi Maori, mk Macedonian, ml Malayalam, mn Mongolian, mr Marathi, ms Malay, mt Maltese,
my Burmese, ne Nepali, nl Dutch, nn Norwegian Nynorsk, no Norwegian, oc Occitan, pa Panjabi, pl Polish, ps Pashto,
pt Portuguese, ro Romanian, ru Russian, sa Sanskrit, sco Scots, sd Sindhi, si Sinhala, sk Slovak, sl Slovenian,
sn Shona, so Somali, sq Albanian, sr Serbian, su Sundanese, sv Swedish, sw Swahili, ta Tamil, te Telugu, tg Tajik,
th Thai, tk Turkmen, tl Tagalog, tr Turkish, tt Tatar, uk Ukrainian, ur Urdu, uz Uzbek, vi Vietnamese, war Waray,
yi Yiddish, yo Yoruba, zh Chinese"""
LABELS = [": ".join(entry.strip().split(" ", 1)) for entry in LANGUAGES.replace("\n", " ").split(",")]


class FrontEnd(torch.nn.Module):
    """Fbank with its defaults (Hamming windows of 25 ms every 10 ms, 400 points, decibels over a floor 80 below the
    item's loudest) and the mean of each filter taken away."""

    def __init__(self, mels):
        super().__init__()
        n, k = torch.arange(400.0), torch.arange(201.0)
        self.register_buffer("n", n)
        self.register_buffer("k", k[:, None])
        self.register_buffer("window", (0.54 - 0.46 * torch.cos(2 * torch.pi * n.double() / 400)).float())
        edges = 700 * (10 ** (torch.linspace(0, 2595 * np.log10(1 + 8000 / 700), mels + 2, dtype=torch.float64) / 2595) - 1)
        band, centre = (edges[1:] - edges[:-1])[:-1], edges[1:-1]
        slope = (torch.linspace(0, 8000, 201, dtype=torch.float64)[:, None] - centre) / band
        self.register_buffer("filters", torch.clamp(torch.minimum(slope + 1, 1 - slope), min=0).float())

    def forward(self, audio):
        # The basis is made in the graph, from 600 numbers: as a tensor it would be most of the file.
        turn = self.k * self.n
        turn = (turn - 400 * torch.floor(turn / 400)) * (2 * torch.pi / 400)
        basis = (torch.cat([torch.cos(turn), -torch.sin(turn)]) * self.window)[:, None]
        spectrum = torch.nn.functional.conv1d(torch.nn.functional.pad(audio[:, None], (200, 200)), basis, stride=160)
        power = spectrum[:, :201] ** 2 + spectrum[:, 201:] ** 2
        decibels = 10 * torch.log10(torch.clamp(power.transpose(1, 2) @ self.filters, min=1e-10))
        decibels = torch.maximum(decibels, torch.amax(decibels, dim=(1, 2), keepdim=True) - 80)
        # A pool gives each mean by itself: in a reduction onnxruntime adds up a lone row in another order than several.
        return decibels - torch.nn.functional.adaptive_avg_pool1d(decibels.transpose(1, 2), 1).transpose(1, 2)


class Graph(torch.nn.Module):
    def __init__(self, front, net, classifier):
        super().__init__()
        self.front, self.net, self.classifier = front, net, classifier

    def forward(self, audio):
        embedding = self.net(self.front(audio))
        if self.classifier is None:
            return embedding[:, 0]
        return self.classifier(embedding)[:, 0], embedding[:, 0]


TINY = {"lin_neurons": 24, "channels": [12, 12, 12, 12, 36], "attention_channels": 8, "res2net_scale": 3, "se_channels": 8}
PUBLISHED = {"lin_neurons": 256, "channels": [1024, 1024, 1024, 1024, 3072], "attention_channels": 128}


def build(mels, languages, pieces, sizes=TINY):
    """SpeechBrain's modules, with the statistics of the pieces."""
    net = ECAPA_TDNN(mels, kernel_sizes=[5, 3, 3, 3, 1], dilations=[1, 2, 3, 4, 1], **sizes)
    classifier = Classifier(input_shape=[None, None, sizes["lin_neurons"]], lin_blocks=1, lin_neurons=16, out_neurons=languages) if languages else None
    fbank, normalise = Fbank(n_mels=mels, left_frames=0, right_frames=0), InputNormalization(norm_type="sentence", std_norm=False)

    def reference(audio):
        embedding = net(normalise(fbank(audio), torch.ones(len(audio))))
        return (classifier(embedding)[:, 0], embedding[:, 0]) if languages else embedding[:, 0]

    if languages:
        with torch.no_grad():
            classifier.out.w.weight.mul_(4)  # else every language is as probable as the next
    modules = [m for m in (net, classifier) if m is not None]
    for m in modules:
        for layer in m.modules():
            if isinstance(layer, torch.nn.BatchNorm1d):
                layer.momentum = None
        m.train()
    with torch.no_grad():
        for _ in range(8):
            reference(pieces)
    for m in modules:
        m.eval()
    return reference, Graph(FrontEnd(mels), net, classifier).eval()


def whole_lengths():
    """SpeechBrain's own mask of lengths would be a constant of the batch's size in a graph; all lengths are whole here."""
    ECAPA.length_to_mask = lambda length, max_len, device: (torch.arange(max_len)[None] < length[:, None]).float()


def write(folder, manifest, graph, samples, outputs, extra=()):
    folder.mkdir(parents=True, exist_ok=True)
    whole_lengths()
    torch.onnx.export(graph, (torch.zeros(2, samples),), str(folder / "model.onnx"), input_names=["audio"], output_names=outputs,
                      dynamic_axes={n: {0: "batch"} for n in ["audio", *outputs]}, opset_version=17, dynamo=False, do_constant_folding=False)
    ECAPA.length_to_mask = length_to_mask
    files = {"model.onnx": (folder / "model.onnx").read_bytes(), **dict(extra)}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    hashes = "".join(f"  {n}: {hashlib.sha256(c).hexdigest()}\n" for n, c in sorted(files.items()))
    (folder / "model.yaml").write_text(manifest.replace("FILES\n", hashes))
    return onnxruntime.InferenceSession(str(folder / "model.onnx"))


LANGUAGE = f"""# VoxLingua107's ECAPA-TDNN, small and with random weights: models/train/parity/ecapa.py.
schema: earshot.model/1
name: tiny-ecapa
version: 2
task: language
family: waveform-classifier
licence: Apache-2.0
precision: fp32
files:
FILES
sessions: [model.onnx]
inputs:
  - {{name: audio, type: float32, shape: [batch, "32000"]}}
outputs:
  - {{name: logits, type: float32, shape: [batch, "{len(LABELS)}"]}}
  - {{name: embedding, type: float32, shape: [batch, "24"]}}
batch: {{max_items: 16, max_cost: 64, alone: true}} # seconds of audio
labels_file: labels.txt
parameters:
  window_seconds: 2
  windows: 12
  min_speech: 0.6
  confidence: 0
"""
SPEAKER = """# VoxCeleb's ECAPA-TDNN, small and with random weights: models/train/parity/ecapa.py.
schema: earshot.model/1
name: tiny-speaker
version: 2
task: speakers
family: waveform-embedding
licence: Apache-2.0
precision: fp32
files:
FILES
sessions: [model.onnx]
inputs:
  - {name: audio, type: float32, shape: [batch, "24000"]}
outputs:
  - {name: embedding, type: float32, shape: [batch, "24"]}
batch: {max_items: 32, max_cost: 64, alone: true} # seconds of audio
parameters:
  threshold: 0.5
"""


def linkages():
    """scipy's average linkage over cosine distances, cut at heights: labels as they first appear."""
    rng, out = np.random.default_rng(4), []
    for n in [2, 3, 5, 8, 13, 30, 60]:
        for cut in (0.2, 0.5, 0.9):
            centres = rng.normal(size=(3, 6))
            x = (centres[rng.integers(0, 3, n)] + rng.normal(0, rng.choice([0.2, 0.8]), (n, 6))).round(3)
            labels = fcluster(linkage(x, "average", metric="cosine"), cut, "distance")
            first = {}
            out.append({"x": x.tolist(), "cut": cut, "labels": [first.setdefault(int(v), len(first)) for v in labels]})
    return out


def main():
    assert len(LABELS) == 107, len(LABELS)
    parser = argparse.ArgumentParser()
    parser.add_argument("--bench", metavar="DIR", type=Path)
    bench = parser.parse_args().bench
    torch.manual_seed(7)
    torch.set_num_threads(1)
    audio = torch.from_numpy(np.fromfile(CLIP, "<i2").astype(np.float32) / 32768)
    with torch.no_grad():
        pieces = torch.stack([audio[i:i + 2 * RATE] for i in range(0, len(audio) - 2 * RATE, RATE)])
        labels = [("labels.txt", "".join(l + "\n" for l in LABELS).encode())]
        if bench:
            _, graph = build(60, len(LABELS), pieces[:2], PUBLISHED)
            write(bench, LANGUAGE.replace('"24"', '"256"'), graph, 2 * RATE, ["logits", "embedding"], labels)
            return
        reference, graph = build(60, len(LABELS), pieces)
        session = write(MODELS / "parity/tiny-ecapa", LANGUAGE, graph, 2 * RATE, ["logits", "embedding"], labels)
        feats = InputNormalization(norm_type="sentence", std_norm=False)(Fbank(n_mels=60, left_frames=0, right_frames=0)(pieces), torch.ones(len(pieces)))
        front = (graph.front(pieces) - feats).abs().max().item()
        want = [t.numpy() for t in reference(pieces)]
        apart = [np.abs(g - w).max() for g, w in zip(session.run(None, {"audio": pieces.numpy()}), want)]
        assert front < 2e-3 and max(apart) < 1e-3, (front, apart)  # the front end's unit is a decibel
        out = MODELS / "langid/testdata"
        want[0].astype("<f4").tofile(out / "ecapa.f32")
        mean = want[0][[0, 2]].mean(0)
        best = [LABELS[i].split(":")[0] for i in np.argsort(-mean)[:5]]
        (out / "ecapa.json").write_text(json.dumps({"windows": len(pieces), "best_of_seconds_0_and_2": best}) + "\n")
        print(f"front end within {front:.1e}, logits and embedding within {apart}, {best}, spread {want[0].std(0).mean():.2f}")

        pieces = torch.stack([audio[i:i + RATE * 3 // 2] for i in range(0, len(audio) - RATE * 3 // 2, RATE)])
        reference, graph = build(80, 0, pieces)
        session = write(MODELS / "parity/tiny-speaker", SPEAKER, graph, RATE * 3 // 2, ["embedding"])
        want = reference(pieces).numpy()
        apart = np.abs(session.run(None, {"audio": pieces.numpy()})[0] - want).max()
        assert apart < 1e-3, apart
        out = MODELS / "speaker/testdata"
        out.mkdir(parents=True, exist_ok=True)
        want.astype("<f4").tofile(out / "embedding.f32")
        (out / "linkage.json").write_text(json.dumps(linkages(), separators=(",", ":")) + "\n")
        print(f"speaker embeddings within {apart:.1e}, spread {want.std(0).mean():.2f}")


if __name__ == "__main__":
    main()
