"""Speaks text with Debian's synthesisers: espeak-ng, flite, festival.

Voices and texts are split before anything is spoken: a held-out clip shares neither its voice (espeak's
variant or the flite/festival speaker) nor its sentence with training.
"""
import hashlib
import pathlib
import re
import subprocess
import tempfile

import numpy as np
import soundfile
import soxr

import catalogues

RATE = 16000
HERE = pathlib.Path(__file__).parent
SCRATCH = "/dev/shm" if pathlib.Path("/dev/shm").is_dir() else None

# BCP 47 -> espeak-ng's voices. Chinese goes through pinyin: espeak-ng's "cmn" spells syllables out in English.
LANGUAGES = {
    "en": ["en-us", "en-us", "en-gb", "en-gb", "en-gb-x-rp", "en-gb-scotland", "en-us-nyc", "en-gb-x-gbclan", "en-029"],
    "es": ["es", "es-419"], "fr": ["fr-fr", "fr-fr", "fr-be", "fr-ch"], "de": ["de"], "it": ["it"],
    "pt": ["pt", "pt-br"], "sv": ["sv"], "nl": ["nl"], "pl": ["pl"], "ru": ["ru"], "tr": ["tr"], "ar": ["ar"],
    "hi": ["hi"], "zh": ["cmn-latn-pinyin"], "ja": ["ja"],
}
# Languages that only teach (or test, for those held out) what "none of the above" sounds like.
OTHERS = ["hu", "cs", "el", "vi", "sw", "fa", "ka", "ta", "et", "lv", "hr", "uk", "bg", "sk", "sl", "lt", "nb", "ca", "sr", "he",
          "bn", "ms", "eu", "cy", "ml", "kn", "gu"]
OTHERS_HELD_OUT = ["fi", "ro", "id", "ko", "da"]

WORDS = {"en": "american-english", "es": "spanish", "fr": "french", "de": "ngerman", "it": "italian",
         "pt": "portuguese", "sv": "swedish", "nl": "dutch", "pl": "polish"}

VARIANTS = """adam Alex Alicia Andrea Andy Annie antonio aunty belinda benjamin boris caleb david Denis Diogo ed
edward edward2 Gene Gene2 gustave Henrique Hugo iven iven2 iven3 iven4 Jacky john Lee linda marcelo Marco Mario max
Michael michel miguel Mike Nguyen pablo paul pedro quincy rob robert robosoft robosoft3 robosoft5 steph steph2 steph3
Storm travis victor Zac anika AnxiousAndy f1 f2 f3 f4 f5 grandma grandpa klatt klatt2 klatt3 klatt4 klatt5 m1 m2 m3 m4 m5
m6 m7 m8 norbert sandro shelby""".split()
VARIANTS_HELD_OUT = ["Alicia", "Andy", "belinda", "david", "Diogo", "edward2", "Gene2", "iven3", "linda", "Mario",
                     "michel", "pedro", "robert", "steph2", "Zac", "f3", "f5", "klatt3", "m3", "m7", "shelby"]
VARIANTS_TRAIN = [v for v in VARIANTS if v not in VARIANTS_HELD_OUT]
FLITE_TRAIN, FLITE_HELD_OUT = ["slt", "awb", "kal16"], ["rms"]
FESTIVAL_TRAIN, FESTIVAL_HELD_OUT = ["ked_diphone", "cmu_us_slt_arctic_hts"], ["kal_diphone"]
# Voices of festival that no training hears, in other languages; the encoding each of them reads.
FESTIVAL_ABROAD = {"lp_diphone": ("it", "latin1"), "pc_diphone": ("it", "latin1"), "msu_ru_nsh_clunits": ("ru", "utf8"),
                   "hindi_NSK_diphone": ("hi", "utf8")}


def phrases():
    """language -> (training sentences, held-out sentences)."""
    out, section = {}, None
    for line in (HERE / "phrases.txt").read_text(encoding="utf8").splitlines():
        if line.startswith("#") or not line.strip():
            continue
        if line.startswith("["):
            section = line.strip("[]")
            continue
        if section == "other":
            code, text = line.split("\t")
            out[code] = [s.strip() for s in text.split(";")]
        else:
            out.setdefault(section, []).append(line.strip())
    return {k: ([s for i, s in enumerate(v) if i % 4 != 3], [s for i, s in enumerate(v) if i % 4 == 3])
            for k, v in out.items()}


def words():
    """language -> (training words, held-out words), from the system's word lists where there is one."""
    out = {}
    for code, name in WORDS.items():
        path = pathlib.Path("/usr/share/dict") / name
        if not path.exists():
            raise SystemExit(f"voices: no word list {path}: install Debian's word lists (the model cards name the packages)")
        raw = path.read_bytes()
        try:
            lines = raw.decode("utf8").splitlines()
        except UnicodeDecodeError:
            lines = raw.decode("latin1").splitlines()
        held, train = [], []
        for w in lines[::len(lines) // 20000 + 1]:
            if re.fullmatch(r"[^\W\d_]{3,12}", w):
                (held if hashlib.md5(w.encode()).digest()[0] < 64 else train).append(w)
        out[code] = (train, held)
    return out


class Texts:
    """Draws something to say: sentences, sentences of message catalogues, real words in random order, numbers."""

    def __init__(self, held_out):
        self.part, self.messages = 1 if held_out else 0, {}
        self.phrases, self.words = phrases(), words()

    def catalogue(self, language):
        if language not in self.messages:
            self.messages[language] = catalogues.sentences(language, self.phrases.get(language, [[]])[0])[self.part]
        return self.messages[language]

    def draw(self, r, language, enough=0):
        """enough: how many characters at least (of a Chinese or Japanese text 2.5 times fewer)."""
        parts = [self.sentence(r, language) for _ in range(r.choice([1, 2, 2, 3]))]
        enough = enough / 2.5 if language in catalogues.UNSPACED else enough
        while sum(map(len, parts)) < enough:
            parts.append(self.sentence(r, language))
        return r.choice([". ", ", "]).join(parts)

    def sentence(self, r, language):
        written, messages = self.phrases.get(language, ([], [])), self.catalogue(language)
        sentences, k = written[self.part] or written[0], r.random()
        if k < .08:
            return " ".join(str(r.choice([r.randrange(100), r.randrange(3000)])) for _ in range(r.randint(2, 4)))
        if k < .25 and language in self.words:
            return " ".join(r.choice(self.words[language][self.part]) for _ in range(r.randint(3, 7)))
        if k < .75 and len(messages) > 5 or not sentences:
            return r.choice(messages)
        if k < .8 and self.part == 0:  # known sentences in pieces, in another order
            w = r.choice(sentences).split()
            r.shuffle(w)
            return " ".join(w)
        return r.choice(sentences)


def espeak(voice, text, speed, pitch):
    with tempfile.NamedTemporaryFile(suffix=".wav", dir=SCRATCH) as f:
        subprocess.run(["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "-w", f.name, "--", text],
                       check=True, stderr=subprocess.DEVNULL)
        return soundfile.read(f.name, dtype="float32")


def flite(voice, text, stretch, pitch):
    with tempfile.NamedTemporaryFile(suffix=".wav", dir=SCRATCH) as f:
        extra = ["--setf", f"int_f0_target_mean={pitch}"] if pitch else []
        subprocess.run(["flite", "-voice", voice, "--setf", f"duration_stretch={stretch:.2f}", *extra, "-t", text,
                        "-o", f.name], check=True, stderr=subprocess.DEVNULL)
        return soundfile.read(f.name, dtype="float32")


def festival(voice, texts, encoding="utf8"):
    """Several texts by one festival voice: its start-up costs more than its speech."""
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        script = [f"(voice_{voice})"]
        for i, text in enumerate(texts):
            text = text.replace('"', "").replace("\\", "")
            script.append(f'(unwind-protect (utt.save.wave (utt.synth (Utterance Text "{text}")) "{folder}/{i}.wav" \'riff) nil)')
        (pathlib.Path(folder) / "script.scm").write_bytes("\n".join(script).encode(encoding, "ignore"))
        subprocess.run(["festival", "-b", f"{folder}/script.scm"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        out = []
        for i in range(len(texts)):
            path = pathlib.Path(folder) / f"{i}.wav"
            out.append(soundfile.read(path, dtype="float32") if path.exists() else None)
        return out


def to_tape(x, rate, factor=1.0):
    """16 kHz, peak 0.5; factor > 1 speaks faster and higher."""
    if x.ndim > 1:
        x = x.mean(1)
    if abs(rate - RATE / factor) > 1:
        x = soxr.resample(x, rate, RATE / factor, "MQ")
    return (x / (np.abs(x).max() + 1e-6) * .5).astype(np.float32)


def clip(r, texts, language, held_out, enough=0):
    """One clip in a language -> (voice's name, samples)."""
    factor = r.uniform(.88, 1.14) if r.random() < .7 else 1.0
    if language == "en" and r.random() < .4:
        voice = r.choice(FLITE_HELD_OUT if held_out else FLITE_TRAIN)
        x, rate = flite(voice, texts.draw(r, language, enough), r.uniform(.85, 1.25), r.randint(85, 160) if voice == "kal16" else 0)
        return "flite:" + voice, to_tape(x, rate, factor)
    variant = r.choice(VARIANTS_HELD_OUT if held_out else VARIANTS_TRAIN)
    voice = r.choice(LANGUAGES.get(language, [language])) + "+" + variant
    while True:
        try:
            x, rate = espeak(voice, texts.draw(r, language, enough), r.randint(125, 200), r.randint(20, 85))
            return "espeak:" + voice, to_tape(x, rate, factor)
        except (soundfile.LibsndfileError, subprocess.CalledProcessError):
            continue  # espeak-ng crashes on a few texts: another text
