"""Writes models/words/testdata/features.jsonl: 2,000 texts with the words, rows and weights that hashed.py gives them."""
import json
import random
from pathlib import Path

from hashed import counts, stem, weigh, words

ROWS = 1 << 15
OUT = Path(__file__).parent.parent / "words" / "testdata" / "features.jsonl"
RANGES = [(0x20, 0x7E), (0x20, 0x7E), (0x61, 0x7A), (0xA0, 0x24F), (0x250, 0x36F), (0x370, 0x5FF), (0x900, 0x97F),
          (0x1E00, 0x206F), (0x3000, 0x30FF), (0x4E00, 0x4E80), (0xAC00, 0xAC40), (0xFE00, 0xFFFF), (0x1F600, 0x1F64F)]
ENDINGS = ["s", "es", "ies", "aies", "eies", "oes", "aes", "ees", "us", "ss", "s's", "’s", "", "ing"]


def text(rnd):
    if rnd.random() < 0.5:
        return " ".join("".join(chr(rnd.randint(97, 122)) for _ in range(rnd.randint(1, 9))) + rnd.choice(ENDINGS)
                        for _ in range(rnd.randint(0, 8)))
    runes = []
    for _ in range(rnd.randint(0, 60)):
        low, high = rnd.choice(RANGES)
        c = rnd.randint(low, high)
        runes.append(" " if rnd.random() < 0.12 else chr(c))
    return "".join(runes)


if __name__ == "__main__":
    rnd = random.Random(7)
    fixed = ["", "s", "ies", "'", "DON'T", "Straße Ærø Łódź İstanbul ſ", "x" * 40, "glasses buses churches ties trees heroes",
             "e\u0301t\u00e9", "東京 タワー、42", "gas gas gas the gas"]
    OUT.parent.mkdir(parents=True, exist_ok=True)
    with OUT.open("w", encoding="utf-8") as f:
        for t in fixed + [text(rnd) for _ in range(2000 - len(fixed))]:
            found = words(t)
            pairs = weigh(counts([stem(w) for w in found], ROWS))
            f.write(json.dumps({"text": t, "words": found, "stems": [stem(w) for w in found],
                                "rows": [r for r, _ in pairs], "weights": [round(w, 6) for _, w in pairs]},
                               ensure_ascii=False, separators=(",", ":")) + "\n")
