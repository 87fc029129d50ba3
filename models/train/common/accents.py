"""Every language in the voices of others: espeak-ng's phones, timing and melody, spoken by festival's diphones and flite.

A synthesiser that speaks one language only teaches a model that its sound is that language. Here each voice speaks all
of them, as a foreigner would: for each phone the nearest of the voice's own, by place, manner and voicing, or by
height, backness and rounding; what it lacks is split (a diphthong, an affricate, a nasal vowel) or left out.
"""
import concurrent.futures
import concurrent.futures.process
import ctypes
import functools
import pathlib
import re
import subprocess
import tempfile
import unicodedata

import numpy as np
import soundfile

# IPA vowel -> height (0 close to 6 open), backness (0 front to 4 back), rounding.
VOWELS = {"i": (0, 0, 0), "y": (0, 0, 1), "ɨ": (0, 2, 0), "ʉ": (0, 2, 1), "ɯ": (0, 4, 0), "u": (0, 4, 1), "ɪ": (1, 1, 0), "ʏ": (1, 1, 1),
          "ʊ": (1, 3, 1), "e": (2, 0, 0), "ø": (2, 0, 1), "ɘ": (2, 2, 0), "ɵ": (2, 2, 1), "ɤ": (2, 4, 0), "o": (2, 4, 1), "ə": (3, 2, 0),
          "ɚ": (3, 2, 0), "ɛ": (4, 0, 0), "œ": (4, 0, 1), "ɜ": (4, 2, 0), "ɝ": (4, 2, 0), "ʌ": (5, 3, 0), "ɔ": (4, 4, 1), "æ": (5, 0, 0),
          "ɐ": (5, 2, 0), "a": (6, 2, 0), "ä": (6, 2, 0), "ɑ": (6, 4, 0), "ɒ": (6, 4, 1), "ᵻ": (1, 2, 0)}
PLACES = ["lips", "teeth", "ridge", "behind", "palate", "velum", "uvula", "throat"]
MANNERS = {"stop": 0, "affricate": 1, "fricative": 2, "approximant": 3, "lateral": 4, "trill": 5, "nasal": 6}
# IPA consonant -> place, manner, voiced.
CONSONANTS = {}
for manner, rows in {
    "stop": "p b lips|t d ridge|ʈ ɖ behind|c ɟ palate|k ɡ velum|q ɢ uvula|ʔ _ throat",
    "affricate": "pf _ lips|ts dz ridge|tʃ dʒ behind|tɕ dʑ behind|tʂ dʐ behind|cç ɟʝ palate",
    "fricative": "f v lips|ɸ β lips|θ ð teeth|s z ridge|ʃ ʒ behind|ʂ ʐ behind|ɕ ʑ behind|ç ʝ palate|x ɣ velum|χ ʁ uvula|h ɦ throat|ħ ʕ throat|ɬ ɮ ridge|_ ̝r behind",
    "approximant": "ʍ w lips|_ ʋ lips|_ ɹ ridge|_ ɻ behind|_ j palate|_ ɥ palate|_ ɰ velum",
    "lateral": "_ l ridge|_ ɭ behind|_ ʎ palate|_ ɫ velum",
    "trill": "_ r ridge|_ ɾ ridge|_ ɽ behind|_ ʀ uvula|_ ɺ ridge",
    "nasal": "_ m lips|_ ɱ lips|_ n ridge|_ ɳ behind|_ ɲ palate|_ ŋ velum|_ ɴ uvula",
}.items():
    for row in rows.split("|"):
        dull, clear, place = row.split()
        for sound, voiced in ((dull, 0), (clear, 1)):
            if sound != "_":
                CONSONANTS[sound] = (PLACES.index(place), manner, voiced)
CONSONANTS |= {"ɓ": CONSONANTS["b"], "ɗ": CONSONANTS["d"], "g": CONSONANTS["ɡ"], "ʧ": CONSONANTS["tʃ"], "ʤ": CONSONANTS["dʒ"]}
# How unlike two manners are; others are wholly unlike.
MIXED = {frozenset(p): c for p, c in ((("stop", "affricate"), 2), (("affricate", "fricative"), 1.5), (("stop", "fricative"), 2), (("approximant", "trill"), 1),
                                       (("approximant", "lateral"), 1.5), (("lateral", "trill"), 1.5), (("approximant", "fricative"), 2), (("nasal", "stop"), 3))}

ENGLISH = dict(aa="ɑ", ae="æ", ah="ʌ", ao="ɔ", aw="aʊ", ax="ə", ay="aɪ", b="b", ch="tʃ", d="d", dh="ð", eh="ɛ", er="ɝ", ey="eɪ", f="f", g="ɡ", hh="h",
               ih="ɪ", iy="i", jh="dʒ", k="k", l="l", m="m", n="n", ng="ŋ", ow="oʊ", oy="ɔɪ", p="p", r="ɹ", s="s", sh="ʃ", t="t", th="θ", uh="ʊ",
               uw="u", v="v", w="w", y="j", z="z", zh="ʒ")
CZECH = {"a": "ä", "a:": "äː", "b": "b", "c": "ts", "c~": "tʃ", "ch": "x", "d": "d", "d~": "ɟ", "dz": "dz", "dz~": "dʒ", "e": "ɛ", "e:": "ɛː", "f": "f",
         "g": "ɡ", "h": "ɦ", "i": "ɪ", "i:": "iː", "j": "j", "k": "k", "l": "l", "m": "m", "n": "n", "n*": "ŋ", "n~": "ɲ", "o": "o", "o:": "oː", "p": "p",
         "r": "r", "s": "s", "s~": "ʃ", "t": "t", "t~": "c", "u": "u", "u:": "uː", "v": "v", "z": "z", "z~": "ʒ"}
FINNISH = {"a": "ä", "a:": "äː", "e": "e", "e:": "eː", "i": "i", "i:": "iː", "o": "o", "o:": "oː", "u": "u", "u:": "uː", "y": "y", "y:": "yː", "@": "æ",
           "@:": "æː", "7": "ø", "7:": "øː", "p": "p", "t": "t", "k": "k", "b": "b", "d": "d", "g": "ɡ", "f": "f", "s": "s", "S": "ʃ", "h": "h", "v": "ʋ",
           "j": "j", "l": "l", "r": "r", "m": "m", "n": "n", "N": "ŋ"}
VOICES = pathlib.Path("/usr/share/festival/voices")
# Festival's voices that speak here: phones, the phone of silence, the usual pitch in Hz, the diphones there are.
DIPHONES = {"ked_diphone": (ENGLISH, "pau", 105, "english/ked_diphone/group/kedlpc16k.group"),
            "czech_ph": (CZECH, "#", 110, "czech/czech_ph/group/ph.group"), "czech_dita": (CZECH, "#", 215, "czech/czech_dita/group/dita.group"),
            "czech_krb": (CZECH, "#", 190, "czech/czech_krb/group/krb.group"), "czech_machac": (CZECH, "#", 110, "czech/czech_machac/group/machac.group"),
            "hy_fi_mv_diphone": (FINNISH, "#", 105, "finnish/hy_fi_mv_diphone/group/mvlpc.group"),
            "suo_fi_lj_diphone": (FINNISH, "#", 190, "finnish/suo_fi_lj_diphone/group/ljlpc.group")}
FLITE = ["slt", "awb", "kal16"]


class Event(ctypes.Structure):
    """espeak_EVENT of espeak-ng's speak_lib.h."""
    _fields_ = [("type", ctypes.c_int), ("unique", ctypes.c_uint), ("text_position", ctypes.c_int), ("length", ctypes.c_int),
                ("milliseconds", ctypes.c_int), ("sample", ctypes.c_int), ("user", ctypes.c_void_p), ("name", ctypes.c_char * 8)]


class Voice(ctypes.Structure):
    """espeak_VOICE."""
    _fields_ = [("name", ctypes.c_char_p), ("languages", ctypes.c_char_p), ("identifier", ctypes.c_char_p), ("kind", ctypes.c_ubyte * 4),
                ("score", ctypes.c_int), ("spare", ctypes.c_void_p)]


@functools.cache
def library():
    lib = ctypes.CDLL("libespeak-ng.so.1")
    rate = lib.espeak_Initialize(2, 0, None, 3)  # synchronous; phones as events, in IPA
    heard = {"pcm": [], "phones": []}

    def keep(samples, count, events):
        if samples and count > 0:
            heard["pcm"].append(np.ctypeslib.as_array(samples, (count,)).copy())
        i = 0
        while events[i].type:
            if events[i].type == 7:
                heard["phones"].append((events[i].sample / rate, events[i].name.decode("utf8", "ignore")))
            i += 1
        return 0

    callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(Event))(keep)
    lib.espeak_SetSynthCallback(callback)
    return lib, rate, heard, callback


def say(voice, text, speed, pitch):
    """-> samples, rate, [(seconds, phone in IPA)]; for a process of its own, since espeak-ng crashes on a few texts."""
    lib, rate, heard, _ = library()
    heard["pcm"].clear()
    heard["phones"].clear()
    if lib.espeak_SetVoiceByName(voice.encode()) and lib.espeak_SetVoiceByProperties(ctypes.byref(Voice(languages=voice.encode()))):
        raise ValueError(f"accents: espeak-ng has no voice {voice}")
    lib.espeak_SetParameter(1, speed, 0)
    lib.espeak_SetParameter(3, pitch, 0)
    text = text.encode() + b"\0"
    lib.espeak_Synth(text, len(text), 0, 1, 0, 1, None, None)
    return np.concatenate(heard["pcm"]).astype(np.float32) / 32768, rate, list(heard["phones"])


class Espeak:
    """espeak-ng in a process that is started again when it crashes."""

    def __init__(self):
        self.pool = concurrent.futures.ProcessPoolExecutor(1)

    def say(self, *what):
        """As say, or None for a text on which espeak-ng crashes."""
        try:
            return self.pool.submit(say, *what).result()
        except concurrent.futures.process.BrokenProcessPool:
            self.pool = concurrent.futures.ProcessPoolExecutor(1)


def melody(x, rate, at):
    """The pitch in Hz at times, 0 where there is none: the peak of the autocorrelation of 40 ms."""
    n, out = int(.04 * rate), []
    for t in at:
        piece = x[max(0, int(t * rate) - n // 2):][:n]
        if len(piece) < n or np.abs(piece).max() < .01:
            out.append(0)
            continue
        spectrum = np.abs(np.fft.rfft(piece * np.hanning(n), 2 * n)) ** 2
        r = np.fft.irfft(spectrum)[:n] / np.maximum(.1, 1 - np.arange(n) / n)
        low, high = rate // 400, rate // 65
        k = low + int(np.argmax(r[low:high]))
        out.append(rate / k if r[k] > .5 * r[0] else 0)
    return np.array(out, float)


def units(name):
    """An espeak-ng phone in single sounds: [(IPA, long, marks)]; diphthongs and affricates stay one."""
    name = unicodedata.normalize("NFD", re.sub(r"\(.*?\)|[ˈˌ'\d\u0361.]", "", name)).replace("a\u0308", "ä").replace("c\u0327", "ç")
    out, i = [], 0
    while i < len(name):
        two, one = name[i:i + 2], name[i]
        if two in CONSONANTS:
            out.append([two, False, ""])
            i += 2
        elif one in VOWELS or one in CONSONANTS:
            out.append([one, False, ""])
            i += 1
        else:
            if out and one == "ː":
                out[-1][1] = True
            elif out:
                out[-1][2] += {"\u0303": "n", "ʲ": "j", "ʰ": "h"}.get(one, "")
            i += 1
    return out


def unlike(a, b):
    """How unlike two sounds of one piece are."""
    if a in VOWELS and b in VOWELS:
        (h, k, r), (g, m, s) = VOWELS[a], VOWELS[b]
        return .6 * abs(h - g) + .5 * abs(k - m) + .8 * (r != s)
    if a in CONSONANTS and b in CONSONANTS:
        (p, m, v), (q, n, w) = CONSONANTS[a], CONSONANTS[b]
        return .5 * abs(p - q) + (0 if m == n else MIXED.get(frozenset((m, n)), 6)) + .8 * (v != w) + .1 * (a != b)
    if {a, b} & {"j", "w", "ɥ"}:  # half vowels
        vowel = {"j": "i", "w": "u", "ɥ": "y"}
        return .7 + unlike(vowel.get(a, a), vowel.get(b, b)) if (a in VOWELS) != (b in VOWELS) else 20
    return 20


class Mouth:
    """A voice's own phones."""

    def __init__(self, phones, silence, pairs=None):
        self.silence, self.pairs, self.of = silence, pairs, {}
        for phone, ipa in phones.items():
            whole = units(ipa)
            self.of[phone] = ("".join(u[0] for u in whole), any(u[1] for u in whole))

    @functools.cache
    def nearest(self, sound, long):
        """The three nearest phones: [(cost, phone)]."""
        cost = {p: unlike(sound, own) + .3 * (own_long != long) for p, (own, own_long) in self.of.items() if len(own) == 1 or own in CONSONANTS}
        return sorted((c, p) for p, c in cost.items())[:3]

    @functools.cache
    def diphthong(self, first, second):
        for phone, (own, _) in self.of.items():
            if len(own) == 2 and own[0] in VOWELS and unlike(first, own[0]) + .5 * unlike(second, own[1]) < 1.6:
                return phone

    def parts(self, name):
        """An espeak-ng phone -> [(share of its time, [(cost, phone)])]."""
        sounds, out, i = units(name), [], 0
        while i < len(sounds):
            sound, long, marks = sounds[i]
            after = sounds[i + 1][0] if i + 1 < len(sounds) else ""
            if sound in VOWELS and after in VOWELS and (own := self.diphthong(sound, after)):
                out.append((1.6, [(0, own)]))
                i += 2
                continue
            options = self.nearest(sound, long)
            if len(sound) == 2 and options[0][0] > .9:  # an affricate that the voice lacks
                out += [(.5, self.nearest(sound[0], False)), (.6, self.nearest(sound[1], False))]
            else:
                out.append((1.5 if long else 1, options))
            for mark in marks:
                if mark == "j" and options[0][1] not in ("t~", "d~", "n~"):
                    out.append((.3, self.nearest("j", False)))
                elif mark == "h":
                    out.append((.4, self.nearest("h", False)))
                elif mark == "n":
                    out.append((.35, self.nearest("n", False)))
            i += 1
        total = sum(s for s, _ in out)
        return [(s / total, options) for s, options in out]

    def speak(self, phones, end):
        """[(seconds, IPA)] -> [(phone, start, seconds)]: the cheapest way that has, where it can, every diphone."""
        steps = [(.15, 0.0, [(0, self.silence)])]
        for (start, name), (stop, _) in zip(phones, [*phones[1:], (end, "")]):
            length = stop - start
            if length < .008 and not name:
                continue
            parts = self.parts(name)
            if not parts:
                if length > .07 and steps[-1][2][0][1] != self.silence:
                    steps.append((length, start, [(0, self.silence)]))
                else:
                    steps[-1] = (steps[-1][0] + length, *steps[-1][1:])
                continue
            for share, options in parts:
                steps.append((max(.03, share * length), start, options))
                start += share * length
        steps.append((.15, end, [(0, self.silence)]))
        best = [(0, None)]
        table = []
        for k, (_, _, options) in enumerate(steps):
            if k:
                before = steps[k - 1][2]
                best = [min((best[j][0] + cost + (3 if self.pairs is not None and (before[j][1], phone) not in self.pairs else 0), j)
                            for j in range(len(before))) for cost, phone in options]
            table.append(best)
        j, out = 0, []
        for k in range(len(steps) - 1, -1, -1):
            out.append((steps[k][2][j][1], steps[k][1], steps[k][0]))
            j = table[k][j][1] or 0
        return out[::-1]


@functools.cache
def mouth(voice):
    if voice in FLITE:
        return Mouth(ENGLISH, "pau")
    phones, silence, _, index = DIPHONES[voice]
    lines = (VOICES / index).read_bytes().split(b"EST_Header_End", 1)[1].split(b"\n")
    pairs = {tuple(name.rsplit("-", 1)) for line in lines[1:1 + 2000] if re.match(rb"[\x21-\x7e]+-[\x21-\x7e]+ ", line) for name in [line.split()[0].decode()]}
    return Mouth(phones, silence, pairs)


def abroad(r, voice, spoken, folder):
    """What espeak-ng spoke (samples, rate, phones), by another voice: the line of a festival script."""
    x, rate, phones = spoken
    said = mouth(voice).speak(phones, len(x) / rate)
    pitch = melody(x, rate, [start + length / 2 for _, start, length in said])
    usual, own = np.median(pitch[pitch > 0]) if (pitch > 0).any() else 100, DIPHONES[voice][2] * r.uniform(.88, 1.14)
    lively = r.uniform(.7, 1.2)
    segments = []
    for (phone, _, length), hz in zip(said, pitch):
        target = f" ({length / 2:.3f} {own * min(1.7, max(.6, (hz / usual) ** lively)):.0f})" if hz else ""
        segments.append(f'("{phone}" {length:.3f}{target})')
    return f'(unwind-protect (utt.save.wave (utt.synth (Utterance Segments ({" ".join(segments)}))) "{folder}" \'riff) nil)'


def festival(r, voice, spoken):
    """Several utterances by one festival voice -> [(samples, rate) or None]."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if pathlib.Path("/dev/shm").is_dir() else None) as folder:
        paths = [pathlib.Path(folder) / f"{i}.wav" for i in range(len(spoken))]
        script = pathlib.Path(folder) / "script.scm"
        script.write_text("\n".join([f"(voice_{voice})", *(abroad(r, voice, s, p) for s, p in zip(spoken, paths))]))
        subprocess.run(["festival", "-b", str(script)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return [soundfile.read(p, dtype="float32") if p.exists() and p.stat().st_size > 1000 else None for p in paths]


def flite(r, voice, spoken):
    """One utterance by a flite voice, with flite's own timing and melody -> (samples, rate) or None."""
    x, rate, phones = spoken
    said = [phone for phone, _, _ in mouth(voice).speak(phones, len(x) / rate)]
    with tempfile.NamedTemporaryFile(suffix=".wav", dir="/dev/shm" if pathlib.Path("/dev/shm").is_dir() else None) as f:
        done = subprocess.run(["flite", "-voice", voice, "--setf", f"duration_stretch={r.uniform(.8, 1.2):.2f}", "-p", " ".join(said), "-o", f.name],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return soundfile.read(f.name, dtype="float32") if done.returncode == 0 else None
