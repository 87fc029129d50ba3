"""ONNX graphs of public models that are published for another framework, as models/public's manifests expect them.

    python export.py panns-cnn14 --checkpoint Cnn14_mAP=0.431.pth --labels class_labels_indices.csv --out FOLDER
    python export.py ced-tiny --labels class_labels_indices.csv --out FOLDER         # or ced-base
    python export.py voxlingua107-ecapa --out FOLDER
    python export.py yamnet --out FOLDER
    earshot models add NAME --from FOLDER

What to install is in models/public/NAME/source.yaml. Each graph is run on noise of two lengths beside the model that it
was made of, and the script fails where they differ by more than 1e-3. With --untrained the weights are random and
nothing is fetched: panns-cnn14 and voxlingua107-ecapa were exported, added and verified so. The other two need weights
that could not be fetched where this was written, and have not been run.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent


def export(model, example, longer, folder, inputs, outputs, axes):
    """Writes model.onnx and compares it with the model on both inputs."""
    import onnxruntime
    import torch

    model.eval()
    file = str(folder / "model.onnx")
    torch.onnx.export(model, (example,), file, input_names=inputs, output_names=outputs,
                      dynamic_axes={inputs[0]: axes, **{o: {0: "batch"} for o in outputs}}, opset_version=17, dynamo=False)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    for x in (example, longer):
        with torch.no_grad():
            want = model(x)
        for name, w, got in zip(outputs, want if isinstance(want, tuple) else (want,), session.run(outputs, {inputs[0]: x.numpy()})):
            apart = float(np.abs(w.numpy() - got).max())
            if not (w.shape == got.shape and apart < 1e-3):
                sys.exit(f"{name} of {tuple(x.shape)}: {got.shape}, {apart:.2g} from the model's")
    return session


def panns(a, folder):
    import torch
    from panns_inference.models import Cnn14

    net = Cnn14(sample_rate=32000, window_size=1024, hop_size=320, mel_bins=64, fmin=50, fmax=14000, classes_num=527)
    if not a.untrained:
        net.load_state_dict(torch.load(a.checkpoint, map_location="cpu")["model"])

    class Graph(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, waveform):
            return self.net(waveform)["clipwise_output"]

    export(Graph(), 0.1 * torch.randn(2, 64000), 0.1 * torch.randn(3, 96000), folder, ["waveform"], ["clipwise_output"],
           {0: "batch", 1: "samples"})


def ced(a, folder):
    import torch
    from transformers import AutoModelForAudioClassification

    net = AutoModelForAudioClassification.from_pretrained(f"mispeech/{a.name}", trust_remote_code=True)

    class Graph(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, features):
            return self.net(features).logits

    example = 10 * torch.randn(2, 64, 401)
    session = export(Graph(), example, 10 * torch.randn(3, 64, 601), folder, ["features"], ["logits"], {0: "batch", 2: "frames"})
    logits = session.run(None, {"features": example.numpy()})[0]
    if logits.min() >= 0 and logits.max() <= 1:
        print("the model gives probabilities: say `sigmoid: false` under parameters.clip in the folder's model.yaml")


def ecapa(a, folder):
    sys.path.insert(0, str(HERE / "parity"))  # which takes itself out again
    import ecapa as parity
    import torch

    if a.untrained:
        _, graph = parity.build(60, 107, 0.1 * torch.randn(4, 48000), parity.PUBLISHED)
        names = parity.LABELS
    else:
        from speechbrain.inference.classifiers import EncoderClassifier

        net = EncoderClassifier.from_hparams("speechbrain/lang-id-voxlingua107-ecapa")
        net.hparams.label_encoder.expect_len(107)
        names = [net.hparams.label_encoder.ind2lab[i] for i in range(107)]
        graph = parity.Graph(parity.FrontEnd(60), net.mods.embedding_model, net.mods.classifier)
    parity.whole_lengths()
    export(graph, 0.1 * torch.randn(2, 96000), 0.1 * torch.randn(3, 64000), folder, ["audio"], ["logits", "embedding"],
           {0: "batch", 1: "samples"})
    (folder / "labels.txt").write_text("".join(n + "\n" for n in names))


def yamnet(a, folder):
    import tensorflow_hub as hub

    saved = hub.resolve("https://tfhub.dev/google/yamnet/1")
    shutil.copy(Path(saved) / "assets" / "yamnet_class_map.csv", folder)
    subprocess.run([sys.executable, "-m", "tf2onnx.convert", "--saved-model", saved, "--output", str(folder / "model.onnx"),
                    "--opset", "13"], check=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("name", choices=["panns-cnn14", "ced-tiny", "ced-base", "voxlingua107-ecapa", "yamnet"])
    p.add_argument("--out", required=True, type=Path)
    p.add_argument("--checkpoint")
    p.add_argument("--labels")
    p.add_argument("--untrained", action="store_true")
    a = p.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)
    {"panns": panns, "ced": ced, "voxlingua107": ecapa, "yamnet": yamnet}[a.name.split("-")[0]](a, a.out)
    if a.labels:
        shutil.copy(a.labels, a.out / "class_labels_indices.csv")


main()
