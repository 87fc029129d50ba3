"""Tokenizers: tiny tokenizer.json files of every kind, and what the tokenizers library makes of texts of every script.

    pip install tokenizers                                      (versions: requirements.txt)
    python tokenjson.py    # writes ../../tokenizer/testdata

The files are trained on sentences of this project (models/train/topic) and on made text. strings.json.gz holds 10,000
strings: words and letters drawn from every block that Python's Unicode data assigns, mixed, with emoji joined by ZWJ,
combining marks, right-to-left text, controls, private use, white space of all kinds, very long words, and special
tokens inside. NAME.json.gz is a file, NAME.sums its answers in checksums (whole they would be 30 MB): for each string
the CRC-32 of its ids as u32, and 16 bits of that of the decoded text with special tokens, a zero, and without; then for
each of the first PAIRS strings that of ids and types of the pair it makes with the next.

    python tokenjson.py NAME JSON-STRING    # prints what one file makes of one text
"""

import base64
import gzip
import json
import random
import struct
import sys
import unicodedata
import zlib
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

MODELS = Path(__file__).resolve().parents[2]
OUT = MODELS / "tokenizer" / "testdata"
COUNT, PAIRS = 10_000, 500

GPT2 = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
CL100K = (r"""(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"""
          r"""\s*[\r\n]+|\s+(?!\S)|\s+""")

SPACES = [chr(c) for c in (9, 10, 11, 12, 13, 32, 0x85, 0xA0, 0x1680, 0x2000, 0x2003, 0x2009, 0x200A, 0x2028, 0x2029,
                           0x202F, 0x205F, 0x3000)]
ODD = ["\u200b", "\u200c", "\u200d", "\ufeff", "\u00ad", "\u061c", "\u2060", "\ufffd", "\ue000", "\U000f0000", "\x00",
       "\x01", "\x1f", "\x7f", "\x9f", "\u034f", "\u180e", "\u0130", "\u01c5", "\u1e9e", "\u03a3", "\u03c2", "\u2581",
       "\ufb01", "\u212b", "\uf900", "\u3000", "\uff21", "\uff76\uff9e", "\u1100\u1161\u11a8", "\uac01", "\u0344",
       "<0x41>", "##", "@@", "</w>", "\u0120", "\u010a"]
EMOJI = ["\U0001F469\u200d\U0001F469\u200d\U0001F467\u200d\U0001F466", "\U0001F44D\U0001F3FD", "\u2764\ufe0f",
         "\U0001F1EB\U0001F1F7", "\U0001F3F4\U000E0067\U000E0062\U000E0065\U000E006E\U000E0067\U000E007F", "1\ufe0f\u20e3"]
SPECIAL = ["[CLS]", "[MASK]", "<|endoftext|>", "<s>", "</s>", " [MASK] ", "x[MASK]y", "naïve-token", "NAÏVE-TOKEN",
           "earshot", "Earshots", " earshot ", "<|en|>"]


def sentences():
    lines = []
    for name in ("dev.txt", "test.txt"):
        lines += [l.strip() for l in (MODELS / "train" / "topic" / name).read_text().splitlines() if l[:1] not in "#["]
    return lines


def assigned():
    """The assigned characters by blocks of 128, without surrogates."""
    blocks = {}
    for c in range(0x20, 0x110000):
        if unicodedata.category(chr(c)) not in ("Cn", "Cs", "Co"):
            blocks.setdefault(c >> 7, []).append(chr(c))
    return list(blocks.values())


def strings(rng):
    blocks, lines = assigned(), sentences()
    marks = [chr(c) for c in range(0x300, 0x370)] + [c for b in blocks for c in b if unicodedata.category(c) == "Mn"]
    letters = [c for b in blocks for c in b if unicodedata.category(c)[0] == "L" and ord(c) < 0x3000]
    word = lambda block, n: "".join(rng.choice(block) for _ in range(n))

    def part():
        kind = rng.randrange(12)
        if kind == 0:
            return rng.choice(lines)
        if kind == 1:
            return rng.choice(SPACES) * rng.randrange(1, 4)
        if kind == 2:
            return rng.choice(ODD)
        if kind == 3:
            return rng.choice(EMOJI)
        if kind == 4:
            return rng.choice(letters) + "".join(rng.choice(marks) for _ in range(rng.randrange(1, 5)))
        if kind == 5:
            return rng.choice(SPECIAL)
        if kind == 6:
            return str(rng.randrange(10 ** rng.randrange(1, 12))) + rng.choice(["", "%", ".5", "th", "\u00bd", "\u0663"])
        if kind == 7:
            line = rng.choice(lines)
            at = rng.randrange(len(line))
            return rng.choice([str.upper, str.lower, str.title, str.swapcase])(line[at:at + rng.randrange(1, 40)])
        if kind == 8:
            return rng.choice(["don't", "I'LL", "we've", "it's", "'s", "'", "n't", "...", "?!", "--", "\u2019s", "$5", "a+b=c"])
        block = rng.choice(blocks)
        return " ".join(word(block, rng.randrange(1, 9)) for _ in range(rng.randrange(1, 4)))

    found = ["", " ", "a", "\n", "x" * 99, "x" * 100, "x" * 101, "\u00e9" * 300, "ab" * 700, "\u4e2d" * 120, " " * 50]
    # Every block of Unicode once by itself, whole.
    found += ["".join(b) for b in blocks if ord(b[0]) < 0x3400 or ord(b[0]) > 0x20000][:420]
    while len(found) < COUNT:
        found.append(rng.choice(["", "", " "]).join(part() for _ in range(rng.randrange(1, 5))))
    return found


def charsmap():
    """A compiled map in sentencepiece's format: NFKC of what is below U+3000 and of full and half width forms, spaces to
    one space, controls away. Some sequences of two characters are composed."""
    table = {}
    for c in list(range(1, 0x3001)) + list(range(0xFB00, 0xFB50)) + list(range(0xFF00, 0xFFF0)):
        s = chr(c)
        if unicodedata.category(s) in ("Cn", "Cs"):
            continue
        to = " " if s.isspace() else "" if unicodedata.category(s) == "Cc" else unicodedata.normalize("NFKC", s)
        if to != s:
            table[s.encode()] = to.encode()
    for base in "aeiouAEIOUnc":
        for mark in "\u0300\u0301\u0302\u0303\u0308\u0327":
            to = unicodedata.normalize("NFKC", base + mark)
            if len(to) == 1:
                table[(base + mark).encode()] = to.encode()
    return base64.b64encode(compiled(table)).decode()


def compiled(table):
    """A double-array trie as darts-clone lays it out, placed first fit."""
    replaced, offsets = b"", {}
    for to in sorted(set(table.values())):
        offsets[to] = len(replaced)
        replaced += to + b"\0"
    tree = {}
    for key, to in table.items():
        node = tree
        for byte in key:
            node = node.setdefault(byte, {})
        node[0] = offsets[to]
    units, taken = {}, {0}
    first = [1]

    def place(node, at, label):
        """Gives the children of the node at index at their places: base ^ label, all free."""
        labels = sorted(node)
        while first[0] in taken:
            first[0] += 1
        base = first[0] & ~0xFF
        while True:
            # The offset is relative (at ^ base) and must fit 21 bits.
            if all((base ^ l) not in taken and (base ^ l) > 0 for l in labels) and base not in used:
                break
            base += 1
        used.add(base)
        offset = at ^ base
        assert offset < 1 << 21
        units[at] = label | offset << 10 | (1 << 8 if 0 in node else 0)
        for l in labels:
            taken.add(base ^ l)
        for l in labels:
            if l == 0:
                units[base] = node[0] | 1 << 31
            else:
                place(node[l], base ^ l, l)

    used = set()
    place(tree, 0, 0)
    size = (max(units) | 0xFF) + 1
    array = struct.pack(f"<{size}I", *(units.get(i, 0) for i in range(size)))
    return struct.pack("<I", len(array)) + array + replaced


def with_added(t, *extra):
    t.add_tokens([
        AddedToken("naïve-token", normalized=True),
        AddedToken("earshot", single_word=True, normalized=True),
        *extra,
    ])


def wordpiece(lower):
    t = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    t.normalizer = normalizers.BertNormalizer(lowercase=lower, strip_accents=None)
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    t.train_from_iterator(corpus(), trainers.WordPieceTrainer(vocab_size=1400, special_tokens=special, show_progress=False))
    ids = {s: t.token_to_id(s) for s in special}
    if lower:
        t.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])])
        t.enable_truncation(48)
    else:
        t.post_processor = processors.BertProcessing(("[SEP]", ids["[SEP]"]), ("[CLS]", ids["[CLS]"]))
    t.decoder = decoders.WordPiece(cleanup=lower)
    with_added(t)
    t.add_special_tokens([AddedToken("[MASK]", lstrip=True, rstrip=lower, normalized=False)])
    return t


def bytelevel(pattern, prefix_space, whole):
    t = Tokenizer(models.BPE(ignore_merges=whole))
    if pattern:
        t.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Split(Regex(pattern), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
        t.normalizer = normalizers.NFC()
    else:
        t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space)
    t.train_from_iterator(corpus(), trainers.BpeTrainer(
        vocab_size=1200, special_tokens=["<|endoftext|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    t.decoder = decoders.ByteLevel()
    if prefix_space:  # RoBERTa
        t.add_special_tokens(["<s>", "</s>", AddedToken("[MASK]", lstrip=True)])
        t.post_processor = processors.RobertaProcessing(("</s>", t.token_to_id("</s>")), ("<s>", t.token_to_id("<s>")))
    else:
        end = t.token_to_id("<|endoftext|>")
        t.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), processors.TemplateProcessing(
            single="$A <|endoftext|>", pair="$A $B:1 <|endoftext|>:1", special_tokens=[("<|endoftext|>", end)])])
        t.add_special_tokens(["<|en|>"] + ["<|%.2f|>" % (i / 50) for i in range(20)])
    with_added(t)
    return t


def metaspace_bpe(legacy):
    alphabet = ["<unk>", "<s>", "</s>"] + ["<0x%02X>" % b for b in range(256)]
    t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    pre = pre_tokenizers.Metaspace(prepend_scheme="first")
    t.pre_tokenizer = pre
    t.train_from_iterator(corpus(), trainers.BpeTrainer(vocab_size=1200, special_tokens=alphabet, limit_alphabet=120, show_progress=False))
    t = json.loads(t.to_str())
    t["added_tokens"] = t["added_tokens"][:3]
    t = Tokenizer.from_str(json.dumps(t))
    if legacy:  # Llama's first files: the normaliser does what Metaspace does
        t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        t.pre_tokenizer = None
        t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    else:
        t.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="first")])
    t.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", 1)])
    return t


def unigram(charsmapped, byte_fallback):
    special = ["<s>", "<pad>", "</s>", "<unk>"] + (["<0x%02X>" % b for b in range(256)] if byte_fallback else [])
    t = Tokenizer(models.Unigram())
    t.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")])
    t.train_from_iterator(corpus(), trainers.UnigramTrainer(vocab_size=1000, special_tokens=special, unk_token="<unk>", show_progress=False))
    d = json.loads(t.to_str())
    d["model"]["byte_fallback"] = byte_fallback
    d["added_tokens"] = d["added_tokens"][:4]
    if charsmapped:
        d["normalizer"] = {"type": "Sequence", "normalizers": [
            {"type": "Precompiled", "precompiled_charsmap": charsmap()},
            {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "},
            {"type": "Strip", "strip_left": False, "strip_right": True}]}
        d["pre_tokenizer"] = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    t = Tokenizer.from_str(json.dumps(d))
    t.decoder = decoders.Metaspace(prepend_scheme="always")
    t.post_processor = processors.TemplateProcessing(single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    with_added(t)
    t.add_special_tokens([AddedToken("[MASK]", lstrip=True)])
    return t


def suffixed():
    """BPE with </w>, as CLIP and XLM have it, after what the other files leave out."""
    t = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>", continuing_subword_prefix=""))
    t.normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase(), normalizers.Strip()])
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Whitespace(), pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.Punctuation("contiguous"),
        pre_tokenizers.Split("e", "merged_with_previous"), pre_tokenizers.Split(Regex("[ou]"), "merged_with_next"),
        pre_tokenizers.Split(Regex(r"[a-z]+|\P{L}"), "removed", invert=True)])
    t.train_from_iterator(corpus(), trainers.BpeTrainer(vocab_size=600, special_tokens=["<unk>"], end_of_word_suffix="</w>", show_progress=False))
    t.decoder = decoders.BPEDecoder(suffix="</w>")
    with_added(t)
    return t


def scripts():
    """Cut where the script changes; the space before each piece shows every cut in the ids."""
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.UnicodeScripts(), pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=False)])
    t.train_from_iterator(corpus(), trainers.BpeTrainer(
        vocab_size=600, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    t.decoder = decoders.ByteLevel()
    return t


def words():
    t = Tokenizer(models.WordLevel(unk_token="<unk>"))
    t.normalizer = normalizers.Sequence([normalizers.NFKD(), normalizers.Lowercase()])
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.CharDelimiterSplit(" "), pre_tokenizers.Punctuation("merged_with_previous"), pre_tokenizers.Digits()])
    t.train_from_iterator(corpus(), trainers.WordLevelTrainer(vocab_size=600, special_tokens=["<unk>"], show_progress=False))
    with_added(t)
    t.enable_truncation(7, direction="left")
    return t


def corpus():
    made = ["Über die Brücke fährt der Zug nach Köln.", "Où est la gare, s'il vous plaît ?", "Добрый вечер, как дела?",
            "こんにちは、元気ですか。", "今天天气很好。", "مرحبا كيف حالك", "שלום, מה שלומך?", "नमस्ते दुनिया", "안녕하세요 세계",
            "Γειά σου Κόσμε", "2,300 items cost $4.50 each, don't they?"] * 8
    return sentences() + made


FILES = {
    "wordpiece-uncased": lambda: wordpiece(True),
    "wordpiece-cased": lambda: wordpiece(False),
    "bytelevel-gpt2": lambda: bytelevel(None, False, False),
    "bytelevel-roberta": lambda: bytelevel(None, True, False),
    "bytelevel-split-gpt2": lambda: bytelevel(GPT2, False, False),
    "bytelevel-cl100k": lambda: bytelevel(CL100K, False, True),
    "metaspace-bpe": lambda: metaspace_bpe(False),
    "metaspace-bpe-legacy": lambda: metaspace_bpe(True),
    "unigram-nfkc-bytes": lambda: unigram(False, True),
    "unigram-charsmap": lambda: unigram(True, False),
    "bpe-suffix": suffixed,
    "wordlevel": words,
    "bytelevel-scripts": scripts,
}


def write(path, content):
    path.write_bytes(gzip.compress(content, 9, mtime=0))


def ids_sum(ids):
    return zlib.crc32(struct.pack(f"<{len(ids)}I", *ids))


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    texts = strings(random.Random(1))
    write(OUT / "strings.json.gz", ("\n".join(json.dumps(s) for s in texts) + "\n").encode())
    for name, make in FILES.items():
        said = make().to_str()
        t = Tokenizer.from_str(said)  # what the file says, not what was in memory
        write(OUT / f"{name}.json.gz", said.encode())
        golden = bytearray()
        for i, s in enumerate(texts):
            ids = t.encode(s).ids
            spoken = t.decode(ids, skip_special_tokens=False) + "\0" + t.decode(ids, skip_special_tokens=True)
            golden += struct.pack("<IH", ids_sum(ids), zlib.crc32(spoken.encode()) & 0xFFFF)
        for i in range(PAIRS):
            both = t.encode(texts[i], texts[i + 1])
            golden += struct.pack("<I", ids_sum(both.ids + both.type_ids))
        (OUT / f"{name}.sums").write_bytes(golden)
        print(name, t.get_vocab_size(with_added_tokens=True), flush=True)


if __name__ == "__main__":
    if len(sys.argv) == 3:  # NAME TEXT: what one file makes of one text (a JSON string)
        t = Tokenizer.from_str(gzip.decompress((OUT / f"{sys.argv[1]}.json.gz").read_bytes()).decode())
        ids = t.encode(json.loads(sys.argv[2])).ids
        print(ids, [t.id_to_token(i) for i in ids], repr(t.decode(ids, False)), repr(t.decode(ids)), sep="\n")
    else:
        main()
