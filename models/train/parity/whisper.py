"""Whisper: tiny models of openai-whisper's own classes in the layout of Optimum's export, and golden data.

    pip install torch numpy onnx onnxruntime openai-whisper        (versions: requirements.txt)
    python whisper.py                     # writes ../../parity/tiny-whisper* and ../../asr/whisper/testdata
    python whisper.py --bench DIR         # a model of whisper-tiny's size for .ci/bench/whispers.py

The decoders are trained for a few minutes on synthetic melodies, so that they say something other than one token for
ever: words, timestamps in pairs, an end. The encoders are random. The vocabulary is Whisper's own byte-level BPE cut
after its first 300 merges, with every special token. Golden data come from openai-whisper's log_mel_spectrogram,
DecodingTask, detect_language, find_alignment and transcribe over its own class with these weights; our graphs are
checked against that class too. Two things are replaced in the reference, and said so in docs/models.md: the tokenizer
(its own class over the cut vocabulary), and the draw of a sampled token, which is by the inverse of the cumulative
distribution at a SplitMix64 number, so that a seed gives the same tokens in Go.
"""

import argparse
import base64
import gzip
import hashlib
import json
import os
import struct
import sys
from pathlib import Path

sys.path.pop(0)  # this folder, where "whisper" is this file

import numpy as np
import onnx
import onnxruntime as ort
import torch
import whisper
import whisper.decoding
import whisper.timing
import whisper.tokenizer
from torch import nn
from torch.nn import functional as F
from whisper.model import ModelDimensions, Whisper

TRANSCRIBE = sys.modules["whisper.transcribe"]  # whisper.transcribe is the function

HERE = Path(__file__).resolve().parent
PARITY = HERE / "../../parity"
TESTDATA = HERE / "../../asr/whisper/testdata"
MERGES = 300
RATE = 16000

# ---------------------------------------------------------------- the vocabulary


def ranks(name, merges=MERGES):
    path = os.path.join(os.path.dirname(whisper.__file__), "assets", f"{name}.tiktoken")
    all_ranks = {base64.b64decode(t): int(r) for t, r in (line.split() for line in open(path) if line.strip())}
    return {t: r for t, r in all_ranks.items() if merges is None or r < 256 + merges}


class Cut:
    """openai-whisper's get_tokenizer over the cut vocabulary."""

    def __init__(self, name, languages, merges=MERGES):
        import tiktoken

        self.name, self.languages = name, languages
        self.ranks = ranks(name, merges)
        full = whisper.tokenizer.get_encoding(name, languages)
        base = len(self.ranks)
        old = min(full._special_tokens.values())
        specials = {t: i - old + base for t, i in full._special_tokens.items()}
        self.encoding = tiktoken.Encoding(
            name=f"{name}-cut", pat_str=full._pat_str, mergeable_ranks=self.ranks, special_tokens=specials,
            explicit_n_vocab=base + len(specials))
        self.size = base + len(specials)
        self.specials = specials

    def __call__(self, multilingual, *, num_languages=99, language=None, task=None):
        if not multilingual:
            language = task = None
        else:
            language, task = language or "en", task or "transcribe"
        return whisper.tokenizer.Tokenizer(
            encoding=self.encoding, num_languages=self.languages, language=language, task=task)

    def install(self):
        whisper.decoding.get_tokenizer = self
        TRANSCRIBE.get_tokenizer = self

    def json(self):
        """The vocabulary in the form of transformers' tokenizer.json."""
        table = byte_table()
        text = lambda b: "".join(table[x] for x in b)
        vocab = {text(t): r for t, r in self.ranks.items()}
        merges = []
        for token, rank in sorted(self.ranks.items(), key=lambda x: x[1]):
            if len(token) > 1:
                parts = split(self.ranks, token, rank)
                assert len(parts) == 2, token
                merges.append([text(p) for p in parts])
        added = [
            {"id": i, "content": t, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
             "special": True}
            for t, i in sorted(self.specials.items(), key=lambda x: x[1])
            if not t[2:3].isdigit()  # as the first exports: the 1501 timestamps follow <|notimestamps|> unnamed
        ]
        return {
            "version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
            "post_processor": None,
            "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "",
                      "end_of_word_suffix": "", "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                      "vocab": vocab, "merges": merges},
        }


def byte_table():
    """GPT-2's printable stand-ins for bytes."""
    keep = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    table, n = {}, 0
    for b in range(256):
        if b in keep:
            table[b] = chr(b)
        else:
            table[b] = chr(256 + n)
            n += 1
    return table


def split(rank_of, token, rank):
    """The two tokens whose merge made a token: BPE with the merges below its rank."""
    parts = [bytes([b]) for b in token]
    while True:
        best = None
        for i in range(len(parts) - 1):
            r = rank_of.get(parts[i] + parts[i + 1])
            if r is not None and r < rank and (best is None or r < best[0]):
                best = (r, i)
        if best is None:
            return parts
        i = best[1]
        parts[i:i + 2] = [parts[i] + parts[i + 1]]


# ---------------------------------------------------------------- audio that Go can make too

WORDS = " the and you that for it was with this be not on have he do can all what there how your so".split()


def melody(rng, seconds, pause=(0.3, 1.2)):
    """Notes [start, length, step, overtone step, amplitude], in samples and turns per 2^32, and the truth
    [(start, end, words)]: each word has its own pair of tones."""
    notes, truth, at = [], [], int(rng.uniform(0.0, 0.8) * RATE)
    end = int(seconds * RATE)
    while True:
        words, start = [], at
        for _ in range(rng.integers(2, 7)):
            length = int(rng.uniform(0.18, 0.4) * RATE)
            if at + length > end:
                break
            w = int(rng.integers(0, len(WORDS)))
            low = 110 + 14 * w
            high = 500 + 170 * ((w * 7) % len(WORDS))
            notes.append([at, length, int(low * 2**32 / RATE), int(high * 2**32 / RATE), int(rng.integers(3000, 9000))])
            words.append(WORDS[w])
            at += length + int(rng.uniform(0.02, 0.06) * RATE)
        if not words:
            return notes, truth
        truth.append((start / RATE, at / RATE, words))
        at += int(rng.uniform(*pause) * RATE)


def play(notes, samples, noise_seed=1):
    """Whole numbers only, so that Go plays the same bits: triangles, one over another, and faint noise."""
    out = np.zeros(samples, np.int64)
    for start, length, step, over, amplitude in notes:
        n = np.arange(min(length, samples - start), dtype=np.uint64)
        tri = lambda s: (np.abs(((n * np.uint64(s)) & np.uint64(0xFFFFFFFF)).astype(np.int64) - 2**31) >> 15) - 2**15
        out[start:start + len(n)] += (tri(step) * amplitude + tri(over) * (amplitude // 2)) >> 16
    x = np.arange(samples, dtype=np.uint64)
    with np.errstate(over="ignore"):
        out += ((mix(x + np.uint64(noise_seed) * np.uint64(1 << 32)) >> np.uint64(57)).astype(np.int64) - 64)
    return (np.clip(out, -32768, 32767).astype(np.int16) / np.float32(32768)).astype(np.float32)


def mix(z):
    """SplitMix64's output function."""
    z = (z + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


# ---------------------------------------------------------------- the model


class Tiny(Whisper):
    """openai-whisper's model, which tells its kind by Whisper's own vocabulary sizes: here it is told."""

    def __init__(self, dims, multilingual, languages):
        super().__init__(dims)
        self.multilingual, self.languages = multilingual, languages

    is_multilingual = property(lambda self: self.multilingual)
    num_languages = property(lambda self: self.languages)


def make(cut, mels, seed, d=16, heads=2, layers=2, multilingual=True):
    torch.manual_seed(seed)
    dims = ModelDimensions(mels, 1500, d, heads, layers, cut.size, 448, d, heads, layers)
    model = Tiny(dims, multilingual, cut.languages)
    with torch.no_grad():
        nn.init.normal_(model.decoder.positional_embedding, std=0.1)
        nn.init.normal_(model.decoder.token_embedding.weight, std=0.3)
        stamps = model.decoder.token_embedding.weight[cut.specials["<|0.00|>"]:]
        t = torch.arange(len(stamps)).float() / len(stamps)
        for i in range(min(d // 4, 8)):  # neighbours in time are neighbours in space, or 1501 classes take long to learn
            stamps[:, 2 * i] = torch.cos(2 * torch.pi * t * 2**i * 0.5)
            stamps[:, 2 * i + 1] = torch.sin(2 * torch.pi * t * 2**i * 0.5)
        for name, p in model.encoder.named_parameters():
            if "conv" in name and p.ndim == 3:
                p.mul_(1.5)
    return model


def sequence(tokenizer, rng, truth, multilingual, languages):
    stamp = lambda t: tokenizer.timestamp_begin + min(1500, int(round(t / 0.02)))
    tokens = [tokenizer.sot]
    if multilingual:
        tokens += [tokenizer.sot + 1 + int(rng.choice(languages)), tokenizer.transcribe]
    prompt = len(tokens)
    if not truth:
        return tokens, prompt - 1, True
    if rng.random() < 0.15:
        tokens.append(tokenizer.no_timestamps)
        for _, _, words in truth:
            for w in words:
                tokens += tokenizer.encode(" " + w)
    else:
        for start, end, words in truth:
            tokens.append(stamp(start))
            for w in words:
                tokens += tokenizer.encode(" " + w)
            tokens.append(stamp(end))
    return tokens[:440] + [tokenizer.eot], prompt - 1, False


def train(model, cut, seed, steps, mels, batch=12, clips=96):
    """Teaches the decoder alone, over the random encoder's outputs."""
    rng = np.random.default_rng(seed)
    tokenizer = cut(model.multilingual)
    heard, wanted = [], []
    for i in range(clips):
        # The louder half of the clips is "English", the rest German or French, so that there is a language to tell.
        notes, truth = melody(rng, rng.uniform(6, 30))
        language = [0, 2, 6][i % 3]
        if i % 3:
            notes = [[s, l, a * 2 if i % 3 == 1 else a // 2, b, v] for s, l, a, b, v in notes]
        if i % 12 == 11:
            notes, truth = [], []
        mel = whisper.log_mel_spectrogram(play(notes, 30 * RATE, i), mels)
        with torch.no_grad():
            heard.append(model.encoder(mel[None])[0])
        wanted.append((truth, language))
    heard = torch.stack(heard)
    opt = torch.optim.Adam(model.decoder.parameters(), lr=6e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(opt, 8e-3, total_steps=steps)
    for step in range(steps):
        pick = rng.choice(clips, batch, replace=False)
        rows, targets = [], []
        for i in pick:
            truth, language = wanted[i]
            row, keep, silent = sequence(tokenizer, rng, truth, model.multilingual, [language])
            target = row[1:]
            if silent:  # the model says at the start of the transcript that there is none
                row, target = row[:1], [tokenizer.no_speech]
            elif model.multilingual:
                target[1] = -100
            row = row[:len(target)]
            if not silent and rng.random() < 0.3:
                said = [t for t in wanted[rng.integers(0, clips)][0][:3] for w in t[2] for t in tokenizer.encode(" " + w)]
                row, target = [tokenizer.sot_prev] + said + row, [-100] * (len(said) + 1) + target
            rows.append(row[:448])
            targets.append(target[:448])
        n = max(map(len, rows))
        x = torch.tensor([r + [tokenizer.eot] * (n - len(r)) for r in rows])
        y = torch.tensor([t + [-100] * (n - len(t)) for t in targets])
        loss = F.cross_entropy(model.decoder(x, heard[pick]).flatten(0, 1), y.flatten())
        opt.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.decoder.parameters(), 1.0)
        opt.step()
        schedule.step()
        if step % 100 == 0 or step == steps - 1:
            print(f"  step {step}: loss {loss.item():.3f}", flush=True)


def adopt(model, weights, cut):
    """Takes over another model's decoder, whose vocabulary lacks the last language."""
    mine = model.state_dict()
    at = cut.specials["<|translate|>"] - 1
    for key, w in weights.items():
        if key == "decoder.token_embedding.weight":
            w = torch.cat([w[:at], w[at - 1:at], w[at:]])
        if key.startswith("decoder."):
            mine[key] = w
    model.load_state_dict(mine)


def halve(model):
    """Weights that a half-precision float holds, so that the graph's file is half as large and means the same."""
    with torch.no_grad():
        for t in list(model.parameters()) + [model.encoder.positional_embedding]:
            t.copy_(t.half().float())


# ---------------------------------------------------------------- the export


def attend(a, q, k, v, mask=None):
    """MultiHeadAttention with keys and values [batch, heads, tokens, width]; also the weights."""
    q = heads(a, a.query(q))
    w = (q * (q.shape[-1] ** -0.5)) @ k.transpose(-1, -2)
    if mask is not None:
        w = w + mask
    w = F.softmax(w, dim=-1)
    return a.out((w @ v).permute(0, 2, 1, 3).flatten(2)), w


def heads(a, x):
    return x.view(x.shape[0], -1, a.n_head, x.shape[-1] // a.n_head).permute(0, 2, 1, 3)


class Encoder(nn.Module):
    def __init__(self, encoder):
        super().__init__()
        self.e = encoder

    def forward(self, x):
        e = self.e
        x = F.gelu(e.conv2(F.gelu(e.conv1(x)))).permute(0, 2, 1) + e.positional_embedding
        for b in e.blocks:
            n = b.attn_ln(x)
            x = x + attend(b.attn, n, heads(b.attn, b.attn.key(n)), heads(b.attn, b.attn.value(n)))[0]
            x = x + b.mlp(b.mlp_ln(x))
        return e.ln_post(x)


class First(nn.Module):
    """The decoder over a whole prompt, without a past."""

    def __init__(self, decoder, cross):
        super().__init__()
        self.d, self.cross = decoder, cross

    def forward(self, ids, heard):
        d, present, crossed = self.d, [], []
        n = ids.shape[1]
        x = d.token_embedding(ids) + d.positional_embedding[:n]
        at = torch.arange(n)
        mask = torch.where(at[None, :] > at[:, None], torch.tensor(-1e9), torch.tensor(0.0))
        for b in d.blocks:
            h = b.attn_ln(x)
            k, v = heads(b.attn, b.attn.key(h)), heads(b.attn, b.attn.value(h))
            x = x + attend(b.attn, h, k, v, mask)[0]
            ck, cv = heads(b.cross_attn, b.cross_attn.key(heard)), heads(b.cross_attn, b.cross_attn.value(heard))
            y, w = attend(b.cross_attn, b.cross_attn_ln(x), ck, cv)
            x = x + y
            x = x + b.mlp(b.mlp_ln(x))
            present += [k, v, ck, cv]
            crossed.append(w)
        logits = d.ln(x) @ d.token_embedding.weight.T
        return (logits, *present, *(crossed if self.cross else []))


class Next(nn.Module):
    """The decoder's step: one token and the past."""

    def __init__(self, decoder, cross):
        super().__init__()
        self.d, self.cross = decoder, cross

    def forward(self, ids, *past):
        d, present, crossed = self.d, [], []
        t = past[0].shape[2]
        x = d.token_embedding(ids) + d.positional_embedding[t:t + ids.shape[1]]
        for i, b in enumerate(d.blocks):
            pk, pv, ck, cv = past[4 * i:4 * i + 4]
            h = b.attn_ln(x)
            k = torch.cat([pk, heads(b.attn, b.attn.key(h))], 2)
            v = torch.cat([pv, heads(b.attn, b.attn.value(h))], 2)
            x = x + attend(b.attn, h, k, v)[0]
            y, w = attend(b.cross_attn, b.cross_attn_ln(x), ck, cv)
            x = x + y
            x = x + b.mlp(b.mlp_ln(x))
            present += [k, v]
            crossed.append(w)
        logits = d.ln(x) @ d.token_embedding.weight.T
        return (logits, *present, *(crossed if self.cross else []))


def kv_names(prefix, layers, both=True):
    return [f"{prefix}.{i}.{side}.{what}" for i in range(layers)
            for side in (("decoder", "encoder") if both else ("decoder",)) for what in ("key", "value")]


def trace(module, args, inputs, outputs, axes):
    path = "/tmp/whisper-export-%d.onnx" % os.getpid()
    module.eval()
    # torch 2.15 traces attention's masks and shapes faithfully in its older exporter, with the names we give.
    torch.onnx.export(module, args, path, input_names=inputs, output_names=outputs, dynamic_axes=axes,
                      opset_version=17, dynamo=False, do_constant_folding=False)
    m = onnx.load(path)
    os.unlink(path)
    return m


def export(model, folder, cross=True, half=True):
    folder.mkdir(parents=True, exist_ok=True)
    d = model.dims
    layers, width = d.n_text_layer, d.n_text_state // d.n_text_head
    encoder = trace(Encoder(model.encoder), (torch.randn(2, d.n_mels, 3000),), ["input_features"], ["last_hidden_state"],
                    {"input_features": {0: "batch_size"}, "last_hidden_state": {0: "batch_size"}})
    kv_axes = lambda names, t: {n: {0: "batch_size", 2: t if ".decoder." in n else "encoder_sequence_length"} for n in names}
    crossed = [f"cross_attentions.{i}" for i in range(layers)] if cross else []
    ids, heard = torch.ones(2, 3, dtype=torch.long), torch.randn(2, 1500, d.n_audio_state)
    first_out = ["logits", *kv_names("present", layers), *crossed]
    first = trace(First(model.decoder, cross), (ids, heard), ["input_ids", "encoder_hidden_states"], first_out,
                  {"input_ids": {0: "batch_size", 1: "decoder_sequence_length"}, "encoder_hidden_states": {0: "batch_size"},
                   "logits": {0: "batch_size", 1: "decoder_sequence_length"}, **kv_axes(kv_names("present", layers), "n")})
    past = [torch.randn(2, d.n_text_head, 5 if ".decoder." in n else 1500, width) for n in kv_names("past", layers)]
    next_out = ["logits", *kv_names("present", layers, False), *crossed]
    step = trace(Next(model.decoder, cross), (ids[:, :1], *past), ["input_ids", *kv_names("past_key_values", layers)], next_out,
                 {"input_ids": {0: "batch_size", 1: "decoder_sequence_length"}, "logits": {0: "batch_size"},
                  **kv_axes(kv_names("past_key_values", layers), "past"), **kv_axes(kv_names("present", layers, False), "total")})
    merged = merge(first, step, layers, d, first_out, width)
    for name, m in (("encoder_model.onnx", encoder), ("decoder_model_merged.onnx", merged)):
        if half:
            shrink(m.graph)
        compact(m)
        m.ir_version = 9
        m.producer_name = "earshot models/train/parity"
        m.producer_version = ""
        del m.metadata_props[:]
        onnx.save(m, folder / name)
    return folder


def merge(first, step, layers, d, outputs, width):
    """One graph with an If over use_cache_branch, in Optimum's layout: with the cache, the encoder's keys and values
    come out empty, since the caller keeps the first step's."""
    h = onnx.helper
    shared, seen = [], {}
    branches = []
    for tag, m in (("first", first), ("step", step)):
        rename = {}
        for t in m.graph.initializer:
            key = (t.data_type, tuple(t.dims), onnx.numpy_helper.to_array(t).tobytes())
            if key not in seen:
                seen[key] = f"w{len(seen)}"
                kept = onnx.TensorProto()
                kept.CopyFrom(t)
                kept.name = seen[key]
                shared.append(kept)
            rename[t.name] = seen[key]
        nodes = []
        made = set(o for n in m.graph.node for o in n.output)
        for n in m.graph.node:
            c = onnx.NodeProto()
            c.CopyFrom(n)
            c.name = f"{tag}/{n.name}"
            c.doc_string = ""
            c.input[:] = [rename.get(i, f"{tag}/{i}" if i in made else i) for i in n.input]
            c.output[:] = [f"{tag}/{o}" for o in n.output]
            nodes.append(c)
        have = {o.name for o in m.graph.output}
        outs = []
        for name in outputs:
            if name not in have:
                empty = h.make_tensor(f"{tag}/{name}/empty", onnx.TensorProto.FLOAT, [0, d.n_text_head, 0, width], [])
                nodes.append(h.make_node("Constant", [], [f"{tag}/{name}"], value=empty))
            outs.append(h.make_tensor_value_info(f"{tag}/{name}", onnx.TensorProto.FLOAT, None))
        branches.append(h.make_graph(nodes, tag, [], outs))
    dims = {"decoder": "total_sequence_length", "encoder": "encoder_sequence_length"}
    infos = []
    for name in outputs:
        if name == "logits":
            shape = ["batch_size", "decoder_sequence_length", d.n_vocab]
        elif name.startswith("cross"):
            shape = ["batch_size", d.n_text_head, "decoder_sequence_length", "encoder_sequence_length"]
        else:
            shape = ["batch_size_out", d.n_text_head, dims[name.split(".")[2]], width]
        infos.append(h.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape))
    node = h.make_node("If", ["use_cache_branch"], outputs, name="optimum::if", then_branch=branches[1], else_branch=branches[0])
    inputs = [
        h.make_tensor_value_info("input_ids", onnx.TensorProto.INT64, ["batch_size", "decoder_sequence_length"]),
        h.make_tensor_value_info("encoder_hidden_states", onnx.TensorProto.FLOAT, ["batch_size", "encoder_sequence_length", d.n_audio_state]),
    ]
    for name in kv_names("past_key_values", layers):
        t = "past_sequence_length" if ".decoder." in name else "encoder_sequence_length_out"
        inputs.append(h.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch_size", d.n_text_head, t, width]))
    inputs.append(h.make_tensor_value_info("use_cache_branch", onnx.TensorProto.BOOL, [1]))
    graph = h.make_graph([node], "merged", inputs, infos, initializer=shared)
    return h.make_model(graph, opset_imports=[h.make_opsetid("", 17)])


class FirstWithEncoder(nn.Module):
    """The subgraph that onnxruntime's WhisperBeamSearch runs first."""

    def __init__(self, model):
        super().__init__()
        self.encoder, self.first = Encoder(model.encoder), First(model.decoder, False)

    def forward(self, mel, ids):
        heard = self.encoder(mel)
        logits, *present = self.first(ids, heard)
        order = [i for i in range(len(present)) if i % 4 < 2] + [i for i in range(len(present)) if i % 4 >= 2]
        return (logits, heard, *(present[i] for i in order))


class NextOfBeams(nn.Module):
    """The subgraph that it runs for each further token."""

    def __init__(self, model):
        super().__init__()
        self.next = Next(model.decoder, False)

    def forward(self, ids, *past):
        half = len(past) // 2
        mixed = []
        for i in range(0, half, 2):
            mixed += [past[i], past[i + 1], past[half + i], past[half + i + 1]]
        return self.next(ids, *mixed)


def export_beam_search(model, cut, folder):
    """One graph around onnxruntime's own operator com.microsoft.WhisperBeamSearch, as
    onnxruntime.transformers.models.whisper.whisper_chain writes it (which itself needs transformers' weights)."""
    h, d = onnx.helper, model.dims
    layers, width = d.n_text_layer, d.n_text_state // d.n_text_head
    kv = lambda when, side: [f"{when}_{what}_{side}_{i}" for i in range(layers) for what in ("key", "value")]
    axes = lambda names: {n: {0: "batch_size", **({2: n.split("_")[0] + "_sequence_length"} if "_self_" in n else {})} for n in names}
    ids = torch.ones(2, 3, dtype=torch.int32)
    present = kv("present", "self") + kv("present", "cross")
    first = trace(FirstWithEncoder(model), (torch.randn(2, d.n_mels, 3000), ids), ["encoder_input_ids", "decoder_input_ids"],
                  ["logits", "encoder_hidden_states", *present],
                  {"encoder_input_ids": {0: "batch_size"}, "decoder_input_ids": {0: "batch_size", 1: "sequence_length"},
                   "logits": {0: "batch_size", 1: "sequence_length"}, "encoder_hidden_states": {0: "batch_size"}, **axes(present)})
    past = kv("past", "self") + kv("past", "cross")
    tensors = [torch.randn(2, d.n_text_head, 5 if "_self_" in n else 1500, width) for n in past]
    step = trace(NextOfBeams(model), (ids[:, :1], *tensors), ["input_ids", *past], ["logits", *kv("present", "self")],
                 {"input_ids": {0: "batch_size"}, "logits": {0: "batch_size"}, **axes(past), **axes(kv("present", "self"))})
    # The operator hands all outer tensors to both subgraphs: only what both use may lie outside.
    content = lambda t: (t.data_type, tuple(t.dims), onnx.numpy_helper.to_array(t).tobytes())
    both = {content(t) for t in first.graph.initializer} & {content(t) for t in step.graph.initializer}
    shared, seen = [], {}
    for tag, m in (("first", first), ("step", step)):
        m.graph.name = "encoderdecoderinit subgraph" if tag == "first" else "decoder subgraph"
        rename = {}
        for t in list(m.graph.initializer):
            key = content(t)
            if key not in both:
                old, t.name = t.name, f"{tag}/{t.name}"
                rename[old] = t.name
                continue
            m.graph.initializer.remove(t)
            rename[t.name] = seen.setdefault(key, f"w{len(seen)}")
            if rename[t.name] not in {k.name for k in shared}:
                kept = onnx.TensorProto()
                kept.CopyFrom(t)
                kept.name = rename[t.name]
                shared.append(kept)
        edge = {p.name for p in list(m.graph.input) + list(m.graph.output)}
        for p in list(m.graph.input) + list(m.graph.output):  # the operator wants heads, width and vocabulary as numbers
            if "_self_" in p.name or "_cross_" in p.name:
                t = 1500 if "_cross_" in p.name else p.name.split("_")[0] + "_sequence_length"
                p.CopyFrom(h.make_tensor_value_info(p.name, onnx.TensorProto.FLOAT, ["batch_size", d.n_text_head, t, width]))
            elif p.name == "logits":
                p.CopyFrom(h.make_tensor_value_info(p.name, onnx.TensorProto.FLOAT, ["batch_size", "sequence_length", d.n_vocab]))
        for n in m.graph.node:
            local = lambda x: x if x == "" or x in edge else f"{tag}/{x}"
            n.name = f"{tag}/{n.name}"
            n.input[:] = [rename.get(i) or local(i) for i in n.input]
            n.output[:] = [local(o) for o in n.output]
        del m.graph.value_info[:]
    t = cut(model.multilingual)
    names = ["input_features", "max_length", "min_length", "num_beams", "num_return_sequences", "length_penalty", "repetition_penalty"]
    node = h.make_node(
        "WhisperBeamSearch", [*names, "", "", "", "decoder_input_ids"], ["sequences"], domain="com.microsoft",
        eos_token_id=t.eot, pad_token_id=t.eot, decoder_start_token_id=t.sot, translate_token_id=t.translate,
        transcribe_token_id=t.transcribe, start_of_lm_token_id=t.sot_lm, no_timestamps_token_id=t.no_timestamps,
        beginning_timestamp_token_id=t.timestamp_begin, no_repeat_ngram_size=0, early_stopping=1, model_type=2,
        decoder=step.graph, encoder=first.graph)
    one = lambda name, kind: h.make_tensor_value_info(name, kind, [1])
    inputs = [h.make_tensor_value_info("input_features", onnx.TensorProto.FLOAT, ["batch_size", d.n_mels, 3000])]
    inputs += [one(n, onnx.TensorProto.INT32) for n in names[1:5]] + [one(n, onnx.TensorProto.FLOAT) for n in names[5:]]
    inputs.append(h.make_tensor_value_info("decoder_input_ids", onnx.TensorProto.INT32, ["batch_size", "initial_sequence_length"]))
    out = h.make_tensor_value_info("sequences", onnx.TensorProto.INT32, ["batch_size", "num_return_sequences", "max_length"])
    graph = h.make_graph([node], "WhisperBeamSearch", inputs, [out], initializer=shared)
    m = h.make_model(graph, opset_imports=[h.make_opsetid("com.microsoft", 1), h.make_opsetid("", 17)])
    m.ir_version = 9
    shrink(m.graph)
    compact(m)
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(m, folder / "model.onnx")


def shrink(graph):
    """Stores large weights as half precision with a Cast, which onnxruntime folds when it loads."""
    casts = []
    for t in list(graph.initializer):
        a = onnx.numpy_helper.to_array(t)
        if a.dtype == np.float32 and a.size >= 64 and np.array_equal(a.astype(np.float16).astype(np.float32), a):
            small = onnx.numpy_helper.from_array(a.astype(np.float16), t.name + "/half")
            casts.append(onnx.helper.make_node("Cast", [small.name], [t.name], to=onnx.TensorProto.FLOAT))
            graph.initializer.remove(t)
            graph.initializer.append(small)
    nodes = list(graph.node)
    for n in nodes:
        for attribute in n.attribute:
            if attribute.HasField("g"):
                shrink(attribute.g)
    del graph.node[:]
    graph.node.extend(casts + nodes)


def compact(m):
    """Short names for all that is inside: an exporter's are most of so small a file."""
    kept = {p.name for p in list(m.graph.input) + list(m.graph.output)}
    short = {"": ""} | {n: n for n in kept}
    name = lambda n: short.setdefault(n, f"t{len(short)}")

    def visit(graph):
        if graph.input and graph is not m.graph:  # an operator looks for its subgraph's ports by name
            short.update({p.name: p.name for p in list(graph.input) + list(graph.output)})
        for t in graph.initializer:
            t.name = name(t.name)
        for n in graph.node:
            n.name = ""
            n.input[:] = [name(i) for i in n.input]
            n.output[:] = [name(o) for o in n.output]
            for a in n.attribute:
                if a.HasField("g"):
                    visit(a.g)
        for o in graph.output:
            o.name = name(o.name)

    visit(m.graph)
    del m.graph.value_info[:]


# ---------------------------------------------------------------- the folder


def generation_config(model, cut):
    tokenizer = cut(model.multilingual)
    options = whisper.DecodingOptions(language="en", fp16=False)
    suppressed = list(whisper.decoding.DecodingTask(model, options)._get_suppress_tokens())
    c = {
        "alignment_heads": [[int(l), int(h)] for l, h in model.alignment_heads.indices().T],
        "begin_suppress_tokens": [tokenizer.encode(" ")[0], tokenizer.eot],
        "bos_token_id": tokenizer.eot, "decoder_start_token_id": tokenizer.sot, "eos_token_id": tokenizer.eot,
        "is_multilingual": model.multilingual, "max_initial_timestamp_index": 50, "max_length": model.dims.n_text_ctx,
        "no_timestamps_token_id": tokenizer.no_timestamps, "pad_token_id": tokenizer.eot,
        "prev_sot_token_id": tokenizer.sot_prev, "return_timestamps": False, "suppress_tokens": suppressed,
    }
    if model.multilingual:
        codes = list(whisper.tokenizer.LANGUAGES)[:model.languages]
        c["lang_to_id"] = {f"<|{l}|>": tokenizer.sot + 1 + i for i, l in enumerate(codes)}
        c["task_to_id"] = {"transcribe": tokenizer.transcribe, "translate": tokenizer.translate}
    return c


MANIFEST = """schema: earshot.model/1
name: {name}
version: 1
task: {task}
family: {family}
licence: Apache-2.0
precision: fp32
languages: [{languages}]
files:
{files}
sessions: [{sessions}]
inputs:
{inputs}
outputs:
{outputs}
frontend: {{kind: whisper, mels: {mels}}}
batch: {{max_items: 8, alone: true}}
parameters:
{parameters}
"""


def manifest(folder, name, mels, sessions, inputs, outputs, parameters, task="transcript", family="whisper", languages="en, de, fr"):
    files = sorted(p.name for p in folder.iterdir() if p.name != "model.yaml")
    lines = [f"  {f}: {hashlib.sha256((folder / f).read_bytes()).hexdigest()}" for f in files]
    (folder / "model.yaml").write_text(MANIFEST.format(
        name=name, task=task, family=family, languages=languages, files="\n".join(lines), sessions=", ".join(sessions),
        inputs="\n".join("  - " + i for i in inputs), outputs="\n".join("  - " + o for o in outputs), mels=mels,
        parameters="\n".join("  " + p for p in parameters)))


def write_folder(model, cut, name, parameters, languages):
    folder = PARITY / name
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    export(model, folder)
    write_tokenizer(model, cut, folder)
    d = model.dims
    manifest(folder, name, d.n_mels, ["encoder_model.onnx", "decoder_model_merged.onnx"],
             [f'{{name: input_features, type: float32, shape: [batch, "{d.n_mels}", "3000"]}}'],
             [f'{{name: last_hidden_state, type: float32, shape: [batch, "1500", "{d.n_audio_state}"]}}'],
             parameters, languages=languages)
    return folder


def write_tokenizer(model, cut, folder):
    compact = {"ensure_ascii": False, "separators": (",", ":")}
    (folder / "tokenizer.json").write_text(json.dumps(cut.json(), **compact))
    (folder / "generation_config.json").write_text(json.dumps(generation_config(model, cut), indent=1))


# ---------------------------------------------------------------- golden data


class SeededCategorical:
    """Stands in for torch's Categorical in the reference: token = where the cumulative softmax passes u."""

    state = 0  # of SplitMix64: set before each attempt

    def __init__(self, logits):
        self.logits = logits

    def sample(self):
        out = []
        for row in self.logits:
            x = row.double().numpy()
            p = np.exp(x - x.max())
            p = np.cumsum(p)
            cls = SeededCategorical
            cls.state = (cls.state + 0x9E3779B97F4A7C15) & (2**64 - 1)
            u = (splitmix(cls.state) >> 11) / 2**53
            out.append(int(np.searchsorted(p, u * p[-1], side="right")))
        return torch.tensor(out)


def splitmix(z):
    m = 2**64 - 1
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & m
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & m
    return z ^ (z >> 31)


def attempt_seed(seed, window, temperature):
    """The first state of an attempt's draws: from the manifest's seed, the window's 30 s of samples, and the temperature."""
    content = hashlib.sha256(window.astype("<f4").tobytes()).digest()
    return struct.unpack("<Q", hashlib.sha256(struct.pack("<Q", seed) + content + struct.pack("<d", temperature)).digest()[:8])[0]


def golden(model, cut, name, clips, with_file, notes_file):
    """Writes testdata/NAME.json and its arrays."""
    cut.install()
    whisper.decoding.Categorical = SeededCategorical
    tokenizer = cut(model.multilingual, language="en")
    out = {"clips": [], "seed": 7}
    arrays = {}
    graph = Graphs(PARITY / name, model)
    for i, (notes, seconds) in enumerate(clips):
        samples = play(notes, int(seconds * RATE), i + 1)
        mel = whisper.log_mel_spectrogram(whisper.pad_or_trim(torch.from_numpy(samples)), model.dims.n_mels)
        heard = model.encoder(mel[None])
        assert np.abs(graph.encode(mel[None].numpy()) - heard.detach().numpy()).max() < 1e-3
        clip = {"notes": notes, "samples": len(samples), "noise": i + 1}
        if model.multilingual:
            _, probs = model.detect_language(mel)
            clip["language"] = max(probs, key=probs.get)
            clip["languages"] = {k: v for k, v in sorted(probs.items(), key=lambda x: -x[1])[:5]}
        clip["decoded"] = []
        prompts = [[], tokenizer.encode(" you can do it")]
        for prompt in prompts:
            for temperature in (0.0, 0.4, 1.0):
                for stamps in ((True, False) if temperature == 0 else (True,)):
                    padded = np.zeros(30 * RATE, np.float32)
                    padded[:len(samples)] = samples[:len(padded)]
                    SeededCategorical.state = attempt_seed(7, padded, temperature)
                    r = model.decode(mel, whisper.DecodingOptions(language="en", fp16=False, temperature=temperature,
                                                                  without_timestamps=not stamps, prompt=prompt))
                    clip["decoded"].append({
                        "prompt": prompt, "temperature": temperature, "timestamps": stamps, "tokens": r.tokens,
                        "text": r.text, "avg_logprob": r.avg_logprob, "no_speech_prob": r.no_speech_prob,
                        "compression_ratio": r.compression_ratio})
        greedy = clip["decoded"][0]["tokens"]
        text = [t for t in greedy if t < tokenizer.eot]
        clip["alignment"] = [
            {"word": w.word, "tokens": w.tokens, "start": float(w.start), "end": float(w.end), "probability": float(w.probability)}
            for w in whisper.timing.find_alignment(model, tokenizer, text, mel, 2 * int(np.ceil(len(samples) / 320)))]
        clip["alignment_frames"] = 2 * int(np.ceil(len(samples) / 320))
        if i == 0:
            arrays["mel"] = mel[:, :512].numpy()
            arrays["encoder"] = heard[0, ::10].detach().numpy()
            steps = [*tokenizer.sot_sequence, *greedy[:6]]
            logits = model.logits(torch.tensor([steps]), heard)[0].detach().numpy()
            got = graph.logits(steps, len(tokenizer.sot_sequence), heard.detach().numpy())
            assert np.abs(got - logits[len(tokenizer.sot_sequence) - 1:]).max() < 1e-3
            out["logits_tokens"] = steps
            arrays["logits"] = logits[:, ::3]
        out["clips"].append(clip)
    out["special"] = {"suppress": list(whisper.decoding.DecodingTask(model, whisper.DecodingOptions(language="en", fp16=False))._get_suppress_tokens())}
    if with_file:
        out["files"] = [transcribed(model, notes_file, **options) for options in (
            {}, {"word_timestamps": True}, {"condition_on_previous_text": False, "initial_prompt": "you can do it"},
            {"no_speech_threshold": 0.1, "logprob_threshold": -0.9})]
    TESTDATA.mkdir(parents=True, exist_ok=True)
    with gzip.GzipFile(TESTDATA / f"{name}.json.gz", "w", mtime=0) as f:
        f.write(json.dumps(out, separators=(",", ":")).encode())
    for key, a in arrays.items():
        with gzip.GzipFile(TESTDATA / f"{name}.{key}.f32.gz", "w", mtime=0) as f:
            f.write(np.ascontiguousarray(a, "<f4").tobytes())
    for c in out["clips"]:
        for r in c["decoded"][:2]:
            print(f"  {r['text'][:100]!r} lp {r['avg_logprob']:.2f} ns {r['no_speech_prob']:.3f} cr {r['compression_ratio']:.2f} n {len(r['tokens'])}")


def transcribed(model, file, **options):
    notes, seconds = file
    samples = play(notes, int(seconds * RATE), 99)
    padded = np.concatenate([samples, np.zeros(60 * RATE, np.float32)])
    decode = type(model).decode

    def seeded(self, mel, options):
        # Which window: transcribe's frame is the only one that knows.
        seek = sys._getframe(1).f_back.f_locals["seek"]
        SeededCategorical.state = attempt_seed(7, padded[seek * 160:seek * 160 + 30 * RATE], options.temperature)
        return decode(self, mel, options)

    model.__class__ = type("Seeded", (Tiny,), {"decode": seeded})
    try:
        r = whisper.transcribe(model, samples, fp16=False, **options)
    finally:
        model.__class__ = Tiny
    print(f"  {options}: {len(r['segments'])} segments, {r['language']}, temperatures {sorted({s['temperature'] for s in r['segments']})}")
    return {"notes": notes, "samples": len(samples), "noise": 99, "options": options, "language": r["language"],
            "text": r["text"], "segments": r["segments"]}


class Graphs:
    """The exported graphs in onnxruntime."""

    def __init__(self, folder, model):
        o = ort.SessionOptions()
        o.intra_op_num_threads = 1
        self.encoder = ort.InferenceSession(str(folder / "encoder_model.onnx"), o)
        self.decoder = ort.InferenceSession(str(folder / "decoder_model_merged.onnx"), o)
        d = model.dims
        self.layers, self.heads, self.width = d.n_text_layer, d.n_text_head, d.n_text_state // d.n_text_head

    def encode(self, mel):
        return self.encoder.run(["last_hidden_state"], {"input_features": mel})[0]

    def logits(self, tokens, prompt, heard):
        past = {n: np.zeros((1, self.heads, 0, self.width), np.float32) for n in kv_names("past_key_values", self.layers)}
        names = [o.name for o in self.decoder.get_outputs()]
        rows, ids, cached = [], tokens[:prompt], False
        for i in range(prompt, len(tokens) + 1):
            r = dict(zip(names, self.decoder.run(names, {
                "input_ids": np.array([ids]), "encoder_hidden_states": heard, **past, "use_cache_branch": np.array([cached])})))
            rows.append(r["logits"][0, -1])
            for n in past:
                p = r[n.replace("past_key_values", "present")]
                if ".decoder." in n or not cached:
                    past[n] = p
            ids, cached = tokens[i:i + 1], True
        return np.stack(rows)


def write_beam_search(model, cut, clips):
    """The one-Run family: its folder, and what onnxruntime's operator gives in Python; with one beam that is the
    reference's greedy decoding without its rules, which is checked."""
    name = "tiny-whisper-beam"
    folder = PARITY / name
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    export_beam_search(model, cut, folder)
    write_tokenizer(model, cut, folder)
    port = lambda n, kind, shape: f"{{name: {n}, type: {kind}, shape: [{shape}]}}"
    inputs = [port("input_features", "float32", f'batch, "{model.dims.n_mels}", "3000"')]
    inputs += [port(n, "int32", '"1"') for n in ("max_length", "min_length", "num_beams", "num_return_sequences")]
    inputs += [port(n, "float32", '"1"') for n in ("length_penalty", "repetition_penalty")]
    inputs.append(port("decoder_input_ids", "int32", "batch, prompt"))
    manifest(folder, name, model.dims.n_mels, ["model.onnx"], inputs, [port("sequences", "int32", "batch, sequences, tokens")],
             ["language: en", "beams: 3", "max_tokens: 64"], family="whisper-beam-search", languages="en")
    session = ort.InferenceSession(str(folder / "model.onnx"))
    tokenizer = cut(True, language="en")
    prompt = [*tokenizer.sot_sequence, tokenizer.no_timestamps]
    whole, real = (lambda x: np.array([x], np.int32)), (lambda x: np.array([x], np.float32))
    out = {"clips": []}
    for i, (notes, seconds) in enumerate(clips):
        samples = play(notes, int(seconds * RATE), i + 1)
        mel = whisper.log_mel_spectrogram(whisper.pad_or_trim(torch.from_numpy(samples)), model.dims.n_mels)
        clip = {"notes": notes, "samples": len(samples), "noise": i + 1, "sequences": {}}
        for beams in (1, 3):
            sequence = session.run(None, {
                "input_features": mel[None].numpy(), "max_length": whole(64), "min_length": whole(0), "num_beams": whole(beams),
                "num_return_sequences": whole(1), "length_penalty": real(1), "repetition_penalty": real(1),
                "decoder_input_ids": np.array([prompt], np.int32)})[0][0, 0].tolist()
            said = sequence[len(prompt):]
            if tokenizer.eot in said:
                said = said[:said.index(tokenizer.eot)]
            clip["sequences"][str(beams)] = said
        said, heard = list(prompt), model.encoder(mel[None])
        while len(said) < 64 and said[-1] != tokenizer.eot:
            said.append(int(model.logits(torch.tensor([said]), heard)[0, -1].argmax()))
        greedy = [t for t in said[len(prompt):] if t != tokenizer.eot]
        assert clip["sequences"]["1"] == greedy, (clip["sequences"]["1"], greedy)
        clip["text"] = tokenizer.decode([t for t in clip["sequences"]["3"] if t < tokenizer.eot]).strip()
        print(f"  {clip['text'][:100]!r}")
        out["clips"].append(clip)
    with gzip.GzipFile(TESTDATA / f"{name}.json.gz", "w", mtime=0) as f:
        f.write(json.dumps(out, separators=(",", ":")).encode())


def bench(folder):
    """whisper-tiny's sizes and vocabulary, random weights biased so that pieces end at unequal lengths."""
    cut = Cut("multilingual", 99, None)
    model = make(cut, 80, 1, d=384, heads=6, layers=4)
    with torch.no_grad():
        for p in model.decoder.parameters():
            if p.ndim == 2:
                p.mul_(0.5)
    folder.mkdir(parents=True, exist_ok=True)
    export(model, folder, cross=False, half=False)
    write_tokenizer(model, cut, folder)
    manifest(folder, "bench-whisper", 80, ["encoder_model.onnx", "decoder_model_merged.onnx"],
             ['{name: input_features, type: float32, shape: [batch, "80", "3000"]}'],
             ['{name: last_hidden_state, type: float32, shape: [batch, "1500", "384"]}'], ["language: en"])


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--bench", type=Path)
    a.add_argument("--steps", type=int, default=1500)
    a.add_argument("--only")
    a.add_argument("--cache", type=Path, help="folder to keep trained weights in between runs")
    args = a.parse_args()
    torch.set_num_threads(1)
    if args.bench:
        bench(args.bench)
        return
    rng = np.random.default_rng(20)
    clips = [(melody(rng, s)[0], s) for s in (30, 7.5, 12, 3, 21)] + [([], 10)]
    song = melody(rng, 150)[0]
    song = [n for n in song if not 60 * RATE < n[0] < 100 * RATE]  # 40 s of almost silence within
    for name, vocabulary, languages, mels, multilingual, spoken, seed in (
        ("tiny-whisper", "multilingual", 99, 80, True, "en, de, fr", 11),
        ("tiny-whisper-en", "gpt2", 99, 80, False, "en", 12),
        ("tiny-whisper-128", "multilingual", 100, 128, True, "en, de, fr", 13),
    ):
        if args.only and args.only != name:
            continue
        print(name, flush=True)
        cut = Cut(vocabulary, languages)
        cut.install()
        model = make(cut, mels, seed, multilingual=multilingual)
        kept = args.cache and args.cache / f"{name}.pt"
        if kept and kept.exists():
            model.load_state_dict(torch.load(kept))
        else:
            if name == "tiny-whisper-128":  # the decoder goes on from the first model's: one language more is all
                first = torch.load(args.cache / "tiny-whisper.pt") if args.cache else spoken_before
                adopt(model, first, cut)
                train(model, cut, seed, args.steps // 50, mels, clips=36)
            else:
                train(model, cut, seed, args.steps, mels)
            if kept:
                torch.save(model.state_dict(), kept)
        if name == "tiny-whisper":
            spoken_before = {k: v.clone() for k, v in model.state_dict().items()}
        halve(model)
        model.eval()
        with torch.no_grad():
            write_folder(model, cut, name, ["long_form: sequential" if name == "tiny-whisper" else "long_form: pieces", "seed: 7"], spoken)
            if name == "tiny-whisper":
                write_beam_search(model, cut, clips[:3])
            golden(model, cut, name, clips if name == "tiny-whisper" else clips[:3], name == "tiny-whisper", (song, 150))


if __name__ == "__main__":
    main()
