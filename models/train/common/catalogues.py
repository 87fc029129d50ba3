"""Sentences in many languages from the message catalogues (gettext) that Debian's programs bring along.

Only plain ones are taken: four words or more, no placeholders, markup, options or paths. Japanese is read by mecab
(with mecab-naist-jdic), since espeak-ng knows kana only. A quarter of the sentences is held out, and of those every
one that shares five words in a row (Chinese and Japanese: ten characters) with a training sentence is dropped.
"""
import gettext
import hashlib
import pathlib
import re
import subprocess
import unicodedata

FOLDER = pathlib.Path("/usr/share/locale")
PLACES = {"pt": ["pt", "pt_BR"], "zh": ["zh_CN"], "nb": ["nb", "nb_NO"], "en": ["de", "fr"]}  # English: what those translate
UNSPACED = ("zh", "ja")
MOST = 6000


def plain(text, unspaced):
    text = re.sub(r"\s+", " ", text.replace("_", "").replace("&", "")).strip()
    if re.search(r"[%<>\\{}=/|#$@*~`^\[\]+]|--|\d{3}|\.\w|:\w", text) or not 18 - 8 * unspaced <= len(text) <= 140:
        return None
    letters = sum(c.isalpha() or c.isspace() or not c.isascii() for c in text)
    if letters < .9 * len(text) or not unspaced and len(text.split()) < 4 or re.search(r"[A-Z]{3}", text):
        return None
    if unspaced and re.search(r"[A-Za-z]", text):
        return None
    return text


def kana(sentences):
    said = subprocess.run(["mecab", "-Oyomi", "-d", "/var/lib/mecab/dic/naist-jdic"], input="\n".join(sentences), capture_output=True, text=True, check=True)
    return [s for s in said.stdout.splitlines() if re.fullmatch(r"[\u3040-\u30ff、。ー・ ]{10,}", s)]


def grams(text, unspaced):
    words = "".join(c if c.isalnum() or unicodedata.category(c)[0] == "M" else " " for c in text.lower())
    w, n = (list(text), 10) if unspaced else (words.split(), 5)
    return {tuple(w[i:i + n]) for i in range(len(w) - n + 1)}


def sentences(language, other_text=()):
    """-> (training, held out); a held-out sentence shares no five words with other_text either."""
    unspaced, found = language in UNSPACED, set()
    for place in PLACES.get(language, [language]):
        for path in sorted((FOLDER / place / "LC_MESSAGES").glob("*.mo")):
            try:
                with open(path, "rb") as f:
                    messages = gettext.GNUTranslations(f)._catalog
            except (OSError, UnicodeDecodeError, ValueError):
                continue  # a catalogue of another time's encoding
            for said, text in messages.items():
                if isinstance(said, str) and isinstance(text, str) and text != said:
                    found.add(plain(said if language == "en" else text, unspaced))
    found.discard(None)
    order = sorted(found, key=lambda s: hashlib.md5(s.encode()).digest())[:MOST]
    if language == "ja":
        order = kana(order)
    train = [s for s in order if hashlib.md5(s[::-1].encode()).digest()[0] >= 64]
    known = set().union(*(grams(s, unspaced) for s in [*train, *other_text])) if order else set()
    chosen = set(train)
    return train, [s for s in order if s not in chosen and not grams(s, unspaced) & known]
