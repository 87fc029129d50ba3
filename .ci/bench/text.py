"""Measures MiniLM and the tokenizers: our Go path against Python's on the same files and texts, one thread each, by turns
in one run, in seconds of the processor. What counts are the ratios. Prints markdown.

    pip install numpy onnxruntime tokenizers                (models/train/parity/requirements.txt)
    python .ci/bench/text.py [--rounds 3]

Python's side is the loop of sentence-transformers over onnxruntime and tokenizers: sorted by length, batches padded to
their longest, tokens' mean, unit length. Texts: 96 of one to six passages of models/train/topic/test.txt.
"""
import argparse
import gzip
import json
import os
import pathlib
import re
import subprocess
import tempfile
import time

os.environ["RAYON_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = pathlib.Path(os.environ.get("EARSHOT_CACHE", ROOT / ".cache"))
GOLDEN = ROOT / "models/tokenizer/testdata"
KINDS = ["wordpiece-uncased", "bytelevel-gpt2", "bytelevel-cl100k", "metaspace-bpe", "unigram-charsmap"]


def passages():
    lines = [l.strip() for l in (ROOT / "models/train/topic/test.txt").read_text().splitlines()]
    lines = [l for l in lines if l and l[0] not in "#["]
    return [" ".join(lines[(i * 7 + k) % len(lines)] for k in range(1 + i * 5 % 6)) for i in range(96)]


def encode(session, tokenizer, texts, size):
    tokenizer.enable_truncation(256)
    tokenizer.enable_padding()
    texts = sorted(texts, key=len, reverse=True)
    vectors = []
    for i in range(0, len(texts), size):
        batch = tokenizer.encode_batch(texts[i:i + size])
        mask = np.array([e.attention_mask for e in batch])
        hidden, = session.run(None, {"input_ids": np.array([e.ids for e in batch]), "attention_mask": mask,
                                     "token_type_ids": np.array([e.type_ids for e in batch])})
        mean = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
        vectors.append(mean / np.linalg.norm(mean, axis=1, keepdims=True))
    return np.concatenate(vectors)


def python_text(size):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(CACHE / "minilm.onnx"), options, providers=["CPUExecutionProvider"])
    tokenizer, texts = Tokenizer.from_file(str(CACHE / "minilm-tokenizer.json")), passages()
    encode(session, tokenizer, texts[:16], size)
    began = time.process_time()
    encode(session, tokenizer, texts, size)
    return len(texts) / (time.process_time() - began)


def python_tokens(kind, texts):
    """Megabytes a second."""
    tokenizer = Tokenizer.from_str(gzip.decompress((GOLDEN / f"{kind}.json.gz").read_bytes()).decode())
    began = time.process_time()
    for text in texts:
        tokenizer.encode(text)
    return sum(len(t.encode()) for t in texts) / 1e6 / (time.process_time() - began)


def ours(program, package, unit):
    out = subprocess.run([program, "-test.run=^$", "-test.bench=.", "-test.benchtime=1s", "-test.cpu=1"], cwd=package,
                         check=True, capture_output=True, text=True).stdout
    return {name: float(x) for name, x in re.findall(rf"^Benchmark\w+/(\S+)\s.*?([\d.]+) {unit}", out, re.M)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    scripts = [json.loads(l) for l in gzip.decompress((GOLDEN / "strings.json.gz").read_bytes()).splitlines()][500:2500]
    best = {}

    def note(key, value):
        best[key] = max(best.get(key, 0), value)

    with tempfile.TemporaryDirectory() as scratch:
        programs = {}
        for name in ("text", "tokenizer"):
            programs[name] = pathlib.Path(scratch) / name
            subprocess.run(["go", "test", "-c", "-o", programs[name], "."], cwd=ROOT / "models" / name, check=True)
        for _ in range(options.rounds):
            for size, x in ours(programs["text"], ROOT / "models/text", "texts/cpu-s").items():
                note(("go", size), x)
            for size in (1, 16):
                note(("python", str(size)), python_text(size))
            for kind, x in ours(programs["tokenizer"], ROOT / "models/tokenizer", "MB/cpu-s").items():
                note(("go", kind), x)
            for kind in KINDS:
                note(("python", kind), python_tokens(kind, scripts))
    print("### MiniLM and the tokenizers\n\nBeside a loop in the way of sentence-transformers over onnxruntime and tokenizers, by the processor's time.\n")
    print("| MiniLM, texts a second | Go | Python, onnxruntime | ratio |\n|---|---|---|---|")
    for size in ("1", "16"):
        go, python = best["go", size], best["python", size]
        print(f"| batch {size} | {go:.1f} | {python:.1f} | {go / python:.2f} |")
    print(f"| Go batch 16 beside Python batch 1 | {best['go', '16']:.1f} | {best['python', '1']:.1f} | "
          f"{best['go', '16'] / best['python', '1']:.2f} |")
    print("\n| tokenizer, MB a second, texts of every script | Go | tokenizers (Rust) | ratio |\n|---|---|---|---|")
    for kind in KINDS:
        go, python = best["go", kind], best["python", kind]
        print(f"| {kind} | {go:.1f} | {python:.1f} | {go / python:.2f} |")


if __name__ == "__main__":
    main()
