"""Whisper: where openai-whisper's three vocabularies have their tokens.

    pip install openai-whisper        (versions: requirements.txt)
    python layouts.py                 # writes ../../asr/whisper/testdata/layouts.json

For each (English-only, multilingual, multilingual with Cantonese as large-v3 has it): the ids of all tokens that are
no text but the timestamps, the first and the last timestamp, the size, and what is never said: those ids with the bytes
of the text tokens among them, and the ids of " -" and " '" with theirs. tokenizer.json files of that shape are made of
it in the tests, since the whole vocabulary would be 2 MB.
"""

import base64
import json
import sys
from pathlib import Path

sys.path.pop(0)  # this folder, where "whisper" is another file

import whisper.decoding
import whisper.tokenizer

OUT = Path(__file__).resolve().parents[2] / "asr/whisper/testdata/layouts.json"


def suppressed(tokenizer):
    task = object.__new__(whisper.decoding.DecodingTask)  # without a model: the rule asks for the tokenizer alone
    task.options, task.tokenizer = whisper.decoding.DecodingOptions(), tokenizer
    return list(task._get_suppress_tokens())


def main():
    layouts = []
    for name, multilingual, languages in (
            ("english", False, 99), ("multilingual", True, 99), ("multilingual-v3", True, 100)):
        t = whisper.tokenizer.get_tokenizer(multilingual, num_languages=languages)
        special = {s: i for s, i in t.special_tokens.items() if not s[2].isdigit()}
        quiet = suppressed(t)
        text = sorted({i for i in quiet if i < t.eot} | {t.encode(" ")[0]})
        layouts.append({
            "name": name, "multilingual": multilingual, "special": special,
            "first_timestamp": t.timestamp_begin, "last_timestamp": t.special_tokens["<|30.00|>"],
            "size": t.encoding.n_vocab, "suppress": quiet, "blank": [t.encode(" ")[0], t.eot],
            "languages": list(whisper.tokenizer.LANGUAGES)[:languages],
            "text": {str(i): base64.b64encode(t.encoding.decode_single_token_bytes(i)).decode() for i in text},
        })
    rows = ",\n".join(json.dumps(l) for l in layouts)
    OUT.write_text(f"[\n{rows}\n]\n")


main()
