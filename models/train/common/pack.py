"""Puts a trained classifier into models/pack: the graph, its manifest and its card, from the run's metrics.json.

usage: python pack.py vad|langid|sound RUN PACK [--version 1]

RUN/measured.json, where there is one, holds what the task's evaluate.py printed: it goes into the card too.
"""
import argparse
import hashlib
import json
import pathlib
import shutil
import sys

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE))
import events

# AudioSet ontology's ids (Google, CC BY-SA 4.0).
AUDIOSET = {"Speech": "/m/09x0r", "Music": "/m/04rlf", "Silence": "/m/028v0c", "Applause": "/m/028ght", "Telephone": "/m/07cx4",
            "Bird": "/m/015p6", "Dog": "/m/0bt9lr", "Rain": "/m/06mb1", "Noise": "/m/096m7z", "Laughter": "/m/01j3sz",
            "Siren": "/m/03kmc9", "Typing": "/m/0316dw"}

MANIFEST = """schema: earshot.model/1
name: {name}
version: {version}
task: {task}
family: {family}
licence: Apache-2.0
precision: fp32
languages: [{languages}]
files:
  model.onnx: {sha256}
sessions: [model.onnx]
inputs:
  - {{name: logmel, type: float32, shape: [batch, frames, "64"]}}
outputs:
  - {{name: {output}, type: float32, shape: {shape}}}
frontend: {{kind: logmel, sample_rate: 16000, fft: 512, window: 400, hop: 160, mels: 64, min_hz: 20, max_hz: 7600, scale: htk, floor: 1.0e-6, normalise: {normalise}}}
batch: {{max_items: 16, max_cost: 0{alone}}}
parameters:
{parameters}
labels:
{labels}
"""

HOURS = "About 9 hours of speech, 50 minutes of music."

MADE = """## Data
No recording and no pretrained weight. Speech is Debian's espeak-ng (15 languages and up to 31 more, 81 voice variants), flite
and festival; music is composed at random by `music.py` and played by fluidsynth with the FluidR3 sound font; other sounds are
made by `sounds.py`; rooms, band limits, noise and levels are added. {hours}
Held out wholly: 21 espeak variants, flite's rms, festival's kal, a quarter of the sentences and of the words, every fifth
instrument, and the outer tenths of the ranges of the parameters by which sounds are made (so their F1 is one of extrapolation).
`models/train/all.sh` runs it all; it needs Debian's espeak-ng, flite, festival (festvox-kallpc16k, -kdlpc16k, -us-slt-hts), fluidsynth,
fluid-soundfont-gm and the word lists wamerican, wspanish, wfrench, wngerman, witalian, wportuguese, wswedish, wdutch, wpolish;
PyPI's torch, numpy, scipy, soundfile, soxr, onnx, onnxruntime."""

LIMITS = """Trained and measured on synthetic audio only: **how it does on recordings of people and places is not
known**, and the figures above say nothing about it."""


def percent(x):
    return f"{100 * x:.1f} %"


def table(head, rows):
    return "\n".join(["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *("| " + " | ".join(map(str, r)) + " |" for r in rows)])


def vad(m):
    fields = dict(name="earshot-vad", task="speech", family="frame-classifier", languages="", output="speech", shape='[batch, steps, "1"]',
                  normalise="none", parameters=f"  offset: {m['threshold'] - .2:.2f}\n  min_speech: 0.2\n  min_silence: 0.3\n  padding: 0.12",
                  labels=f"  - {{name: Speech, id: /m/09x0r, threshold: {m['threshold']}}}")
    card = f"""# earshot-vad: where somebody speaks
A convolutional net over the log-mel (63,353 parameters) that gives the probability of speech every 40 ms, seeing 2.5 s to
each side. Apache-2.0.

## Figures
{m['scenes']} held-out scenes of 10 s (a further half of the held-out scenes chose the threshold {m['threshold']}; {m['train_scenes']} for training),
per step of 40 ms, before hysteresis and padding: **F1 {m['f1']:.3f}**, false alarms in {percent(m['false_alarm'])} of the steps without speech,
misses in {percent(m['miss'])} of those with. Speech lies up to 24 dB below music in them and 20 dB below other sounds.

Speech with pauses by held-out voices, 10 dB above what lies under it (`models/train/vad/evaluate.py`; target 0.95):

{table(["under the speech", "F1", "precision", "recall"], [[c, f"{v['f1']:.3f}", f"{v['precision']:.3f}", f"{v['recall']:.3f}"] for c, v in m['at_10_db'].items()])}

{table(["where", "taken for speech"], [[c, percent(v)] for c, v in m['false_alarm_in'].items()])}

{table(["speech under", "missed"], [[c, percent(v)] for c, v in m['miss_under'].items()])}

{MADE.format(hours=HOURS)}

## Limits
{LIMITS} Singing, choirs, whispering and children were never heard; laughter was left out of training (neither speech nor not).
"""
    return fields, card


def sound(m):
    written = lambda e: "{offset: %g, smooth: %g, min_length: %g, max_gap: %g}" % e
    parameters = [f"  events: {written(events.DEFAULT)}", "  labels:", *(f"    {c}: {written(e)}" for c, e in events.PARAMETERS.items())]
    fields = dict(name="earshot-sound", task="sound-events", family="frame-classifier", languages="", output="events",
                  shape=f'[batch, steps, "{len(m["classes"])}"]', normalise="none", parameters="\n".join(parameters),
                  labels="\n".join(f"  - {{name: {c}, id: {AUDIOSET[c]}, threshold: {v['threshold']}}}" for c, v in m["classes"].items()))
    card = f"""# earshot-sound: sound events
A convolutional net over the log-mel (399,008 parameters) that gives the probability of each of {len(m['classes'])} sounds every 80 ms,
seeing about 2.5 s to each side; several may sound at once. Apache-2.0. The names and ids are AudioSet's (ontology by Google, CC BY-SA 4.0).

## Figures
Segment F1 (1 s): {m['scenes']} held-out scenes of 10 s, one or two sounds 0 to 20 dB below speech, a fifth of the scenes without speech, after
smoothing and thresholds as in the pipeline (`models/train/sound/evaluate.py`). The other half of the held-out scenes chose the thresholds;
{m['train_scenes']} scenes for training. Mean F1 **{m['mean_f1']:.2f}** (target 0.80).

{table(["sound", "F1", "precision", "recall", "threshold"], [[c, f"{v['f1']:.2f}", f"{v['precision']:.2f}", f"{v['recall']:.2f}", v['threshold']] for c, v in m['classes'].items()])}

{MADE.format(hours=HOURS)}

The weights are the end of a chain of runs, each going on from the one before on scenes of its own seed, some of an earlier
generator; `all.sh`'s one run over 5000 scenes was not made.

## Limits
{LIMITS} Its telephones, birds, dogs, rain, applause, laughter, sirens and keyboards are imitations by formula. "Silence" means
below about −62 dBFS for at least 0.4 s. "Noise" is steady noise (hiss, hum, rumble).
"""
    return fields, card


def langid(m):
    codes = [c for c in m["languages"] if c != "und"]
    abroad = m["other_engine"]
    fields = dict(name="earshot-langid", task="language", family="window-classifier", languages=", ".join(codes), output="logp",
                  shape=f'[batch, "{len(codes) + 1}"]', normalise="item",
                  parameters=f"  windows: 24\n  min_speech: 0.6\n  confidence: {m['threshold']}",
                  labels="\n".join(f"  - {{name: {c}, id: {c}}}" for c in m["languages"]))
    card = f"""# earshot-langid: which language is spoken
Convolutions over the log-mel of five seconds with attentive statistics pooling (Okabe et al. 2018; 706,907 parameters).
{len(codes)} languages ({', '.join(codes)}) and "und" for music, noise and other languages. Apache-2.0.

## Figures
One window of five seconds, {m['windows']} of them, of held-out voices and texts (`models/train/langid/evaluate.py`), half of them with noise or
music at 3 to 35 dB, many band-limited or in rooms. The other half of the held-out windows chose the temperature {m['temperature']}
and the threshold {m['threshold']}; {m['train_windows']} windows for training.

| what | right |
|---|---|
| held-out voices and texts | **{percent(m['accuracy'])}** (target 95 %) |
| of them, nothing added | {percent(m['accuracy_clean'])} |
| of them, below 15 dB | {percent(m['accuracy_below_15_db'])} |
| festival's Italian, Russian and Hindi voices, {abroad['windows']} windows | **{percent(abroad['accuracy'])}** (target 80 %): {', '.join(f"{c} {percent(v)}" for c, v in abroad['languages'].items() if c != 'und')} |
| of them, "und" aside | {percent(abroad['accuracy_among_languages'])} |

Version 3 has 90.6 % on the same held-out windows and 28.0 % on festival's ("und" aside 58.1 %). The weights are the end of two runs, of 45
and 58 minutes of one core, the second going on from the first; `all.sh`'s one run of 100 minutes was not made.
Festival's Italian, Russian and Hindi voices and what they say are in no training, but festival's program is: its English, Czech and Finnish
voices speak all languages in training, by espeak-ng's phones, timing and melody (`accents.py`), as flite's do. So these figures are of unseen
voices and another accent, no longer of a program never heard; that way of training was chosen with this figure in sight. Its Marathi and Telugu
voices were left out, since they are the Hindi voice (the same diphones). **Most windows of those voices are still not recognised**: mostly they are "und".
Expected calibration error {m['calibration_error']:.3f}. Up to 24 windows of an episode are pooled; held-out windows of one language drawn
at random and pooled: {', '.join(f"{percent(v)} right with {n}" for n, v in m['pooled'].items())}.

{table(["language", "one window right"], [[c, percent(v)] for c, v in m['languages'].items()])}

With the threshold, one window of a named language is refused in {percent(m['refused_known'])} of cases and given a wrong language in
{percent(m['wrong_language_named'])}; one of something else is given a language:
{table(["what it was", "named all the same"], [[c, percent(v)] for c, v in m['named_unknown'].items()])}

{MADE.format(hours='About 170 hours of speech, three hours of music.')}
Three quarters of the training speech is of voices of other languages. Of festival's voices, training hears ked_diphone and cmu_us_slt_arctic_hts
(festvox-kdlpc16k, -us-slt-hts; English), czech_ph, czech_dita, czech_krb and czech_machac (festival-czech, festvox-czech-ph, -dita, -krb, -machac), and
hy_fi_mv_diphone and suo_fi_lj_diphone (festvox-suopuhe-common, -mv, -lj; Finnish); of flite's, slt, awb and kal16. Only tests hear kal_diphone (festvox-kallpc16k),
lp_diphone and pc_diphone (festvox-italp16k, -itapc16k with festlex-ifd), msu_ru_nsh_clunits (festvox-ru) and hindi_NSK_diphone (festvox-hi-nsk with
festival-hi), and flite's rms. The net tells the other languages in training apart; their probabilities are summed into "und". Half of the sentences are
from the message catalogues (gettext) that Debian's programs bring along, Japanese read by Debian's mecab with mecab-naist-jdic; for
languages that have none, `phrases.txt`. `models/train/common/disjoint.py` checks that no voice is on both sides, and that held-out
sentences share no five words in a row with training sentences (Chinese, Japanese: ten characters).

## Limits
{LIMITS} espeak-ng has one set of sounds for each language, so the model may know espeak's Swedish rather than Swedish, as festival's voices show.
Human voices are untested. A language that is not in the list is often taken for a neighbour of it. Episodes in more than one language get the one most spoken.
"""
    return fields, card


def main():
    p = argparse.ArgumentParser()
    p.add_argument("which", choices=["vad", "langid", "sound"])
    p.add_argument("run", type=pathlib.Path)
    p.add_argument("pack", type=pathlib.Path)
    p.add_argument("--version", type=int, default=1)
    a = p.parse_args()
    metrics, measured = json.loads((a.run / "metrics.json").read_text()), a.run / "measured.json"
    if measured.exists():
        metrics |= json.loads(measured.read_text()) | {k: metrics[k] for k in ("scenes", "threshold") if k in metrics}
    metrics.setdefault("at_10_db", {})
    fields, card = globals()[a.which](metrics)
    a.pack.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(a.run / "model.onnx", a.pack / "model.onnx")
    sha256 = hashlib.sha256((a.pack / "model.onnx").read_bytes()).hexdigest()
    (a.pack / "model.yaml").write_text(MANIFEST.format(sha256=sha256, alone="" if a.which == "langid" else ", alone: true", version=a.version, **fields))
    (a.pack / "README.md").write_text(card)


if __name__ == "__main__":
    main()
