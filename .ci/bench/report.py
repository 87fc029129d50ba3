"""Measures speed and memory of the built program and writes docs/benchmarks.md.

Machines are shared and noisy: what counts are ratios against a rival in the
same run. Usage: python3 .ci/bench/report.py [--hours 6] [--rivals PYTHON] [--public | --scheduling] [--rounds 3]

With --public only the public models are measured, with --scheduling only scheduling, and the rest of the file stays. What
was measured on a GPU (gpu.py) always stays.

The other files of this folder measure a family of public models each beside its Python; they run under an interpreter with
models/train/parity/requirements.txt: PYTHON, or a venv made in the cache folder.
"""
import argparse
import json
import os
import pathlib
import platform
import re
import resource
import subprocess
import sys
import tempfile
import time
import venv

import scheduling

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = pathlib.Path(os.environ.get("EARSHOT_CACHE", ROOT / ".cache"))
EARSHOT, FFMPEG = str(ROOT / "bin" / "earshot"), str(CACHE / "ffmpeg")
FORMATS = {"mp3": ["-c:a", "libmp3lame", "-b:a", "128k"], "m4a": ["-c:a", "aac", "-b:a", "128k"],
           "ogg": ["-c:a", "libvorbis", "-b:a", "112k"], "opus": ["-c:a", "libopus", "-b:a", "96k"],
           "flac": ["-c:a", "flac"], "wav": ["-c:a", "pcm_s16le"]}


def run(command, **kw):
    """Runs a command; returns wall seconds, CPU seconds of all its processes, and its peak memory in bytes."""
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen(command, stdout=kw.get("stdout", subprocess.DEVNULL), stderr=subprocess.PIPE)
    peak = 0
    while process.poll() is None:
        try:
            peak = max(peak, int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{process.pid}/status").read_text())[1]) * 1024)
        except (OSError, TypeError):
            pass
        time.sleep(0.02)
    errors = process.stderr.read().decode()
    if process.returncode:
        sys.exit(f"{' '.join(map(str, command))}: exit code {process.returncode}\n{errors}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.monotonic() - began, cpu, peak


def source(folder, minutes):
    """A stereo WAV of so many minutes, the sample's episodes one after another."""
    files = sorted(p for p in (ROOT / "sample" / "feed").iterdir() if p.suffix != ".xml")
    english = [p for p in files if p.stem in ("penalty-night", "bread-at-home", "corner-shop", "quiet-worlds", "old-dog")]
    listing = folder / "list.txt"
    parts = []
    for i, p in enumerate(english):
        parts.append(folder / f"part{i}.wav")
        run([FFMPEG, "-v", "error", "-y", "-i", p, "-ar", "44100", "-ac", "2", parts[-1]])
    listing.write_text("".join(f"file '{p}'\n" for p in parts))
    out = folder / f"source{minutes}.wav"
    run([FFMPEG, "-v", "error", "-y", "-stream_loop", "-1", "-f", "concat", "-safe", "0", "-i", listing, "-t", str(60 * minutes), out])
    return out


def decode(folder, wav, minutes):
    rows = []
    for name, options in FORMATS.items():
        path = folder / f"decode.{name}"
        run([FFMPEG, "-v", "error", "-y", "-i", wav, *options, path])
        ours, theirs = [], []
        for turn in range(2):  # in turn, so that noise hits both
            state = folder / f"state-{name}-{turn}"
            run([EARSHOT, "enrich", path, "--target", "decode", "--state", state])
            report = json.loads(subprocess.run([EARSHOT, "explain", path, "--state", state, "-o", "json"], capture_output=True, check=True).stdout)
            ours.append(next(d["ran"] for d in report["decisions"] if d["node"] == "decode") / 1e9)
            theirs.append(run([FFMPEG, "-v", "error", "-threads", "1", "-i", path, "-f", "f32le", "-ac", "1", "-ar", "16000", "-y", "/dev/null"])[0])
        us, them = min(ours), min(theirs)
        rows.append(f"| {name} | {60 * minutes / us:.0f}× | {60 * minutes / them:.0f}× | {them / us:.2f} |")
    return rows


def profile_shares(path):
    """Shares of the profile's samples by where the time went."""
    out = subprocess.run(["go", "tool", "pprof", "-traces", EARSHOT, path], capture_output=True, text=True, check=True).stdout
    shares = {"inference": 0.0, "n-gram decoding": 0.0, "audio codecs": 0.0, "rest": 0.0}
    unit = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "mins": 60.0}
    for block in re.split(r"-{10,}\+-+", out):
        m = re.match(r"\s*([\d.]+)(ns|us|µs|ms|s|mins)\s", block)
        if not m:
            continue
        cost = float(m[1]) * unit[m[2]]
        if "models/ort" in block:
            shares["inference"] += cost
        elif "models/asr.(*decoder)" in block or "models/asr.(*Decoder)" in block:
            shares["n-gram decoding"] += cost
        elif "mewkiz/flac" in block or "go-audio/wav" in block or "go-mp3" in block:
            shares["audio codecs"] += cost
        else:
            shares["rest"] += cost
    return shares


def whole(folder, path, minutes):
    profile, record = folder / f"{minutes}.prof", folder / f"{minutes}.json"
    with open(record, "wb") as out:
        wall, cpu, peak = run([EARSHOT, "enrich", path, "--state", folder / f"whole{minutes}", "--cpuprofile", profile], stdout=out)
    shares = profile_shares(profile)
    shares["audio codecs"] += max(0, cpu - sum(shares.values()))  # ffmpeg's processes are not in the profile
    total = sum(shares.values())
    words = sum(len(s["text"].split()) for s in (json.loads(record.read_text()).get("transcript") or {"segments": []})["segments"])
    return wall, peak, {k: v / total for k, v in shares.items()}, words


PUBLIC = "## Public models beside Python"
GPU = "## Scheduling on a GPU"
REPORT = ROOT / "docs" / "benchmarks.md"


def put(heading, section):
    """Puts a section of the report in the place of its last edition, or at the end."""
    text = REPORT.read_text()
    old = re.search(rf"^{re.escape(heading)}$.*?(?=^## |\Z)", text, re.M | re.S)
    begin, end = old.span() if old else (len(text), len(text))
    parts = [text[:begin].rstrip(), section.strip(), text[end:].strip()]
    REPORT.write_text("\n\n".join(p for p in parts if p) + "\n")
    print(section)

# The rivals' scripts, and where each of their models' options comes from: a script of models/train/parity.
RIVALS = {
    "frontends": {}, "whispers": {"": "whisper"}, "recognisers": {"--ctc": "ctc", "--tdt": "transducer"},
    "streams": {"--ecapa": "ecapa"}, "text": {},
}


def rivals(python, rounds):
    """The sections of the public models, each beside its Python on the same file."""
    parity, kept = ROOT / "models" / "train" / "parity", CACHE / "bench"
    if python is None:
        python = kept / "venv" / "bin" / "python"
        if not (kept / "venv" / "ready").exists():
            venv.create(kept / "venv", with_pip=True, clear=True)
            subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", parity / "requirements.txt"], check=True)
            (kept / "venv" / "ready").touch()
    sections = []
    for script, models in RIVALS.items():
        options = []
        for option, maker in models.items():
            if not (kept / maker).exists():
                subprocess.run([python, parity / f"{maker}.py", "--bench", kept / f"{maker}.part"], check=True, stdout=subprocess.DEVNULL)
                (kept / f"{maker}.part").rename(kept / maker)
            options += [o for o in (option, kept / maker) if o]
        sections.append(subprocess.run([python, ROOT / ".ci" / "bench" / f"{script}.py", *options, "--rounds", str(rounds)], check=True, capture_output=True, text=True).stdout)
    return sections


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--hours", type=float, default=6, help="length of the long episode")
    p.add_argument("--rivals", help="an interpreter with the rivals' packages")
    alone = p.add_mutually_exclusive_group()
    alone.add_argument("--public", action="store_true", help="measure the public models alone")
    alone.add_argument("--scheduling", action="store_true", help="measure scheduling alone")
    p.add_argument("--rounds", type=int, default=3, help="how often the two sides take turns")
    o = p.parse_args()
    if o.scheduling:
        put(scheduling.HEADING, scheduling.section(rounds=o.rounds)[0])
        return
    public = "\n".join([
        f"""{PUBLIC}

On {time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {platform.machine()}, {os.getloadavg()[2]:.0f} processes running or waiting at the start. The same ONNX file and audio, one thread each, by turns in one run, each side's fastest. Measured by the processors' time (user and system) that each side's process takes, not by the clock: others who share the machine then count less, though not for nothing, since they share its caches and memory too. Targets in brackets.
""", *rivals(o.rivals, o.rounds)])
    if o.public:
        put(PUBLIC, public)
        return
    on_gpu = re.search(rf"^{GPU}$.*?(?=^## |\Z)", REPORT.read_text(), re.M | re.S)[0]
    with tempfile.TemporaryDirectory() as tmp:
        folder = pathlib.Path(tmp)
        wav = source(folder, 36)
        decoding = decode(folder, wav, 36)
        episode = folder / "decode.mp3"
        wall, peak, shares, words = whole(folder, episode, 36)
        long = folder / "long.mp3"
        with open(long, "wb") as out:  # MP3 frames follow one another: so do files of them
            for _ in range(round(o.hours * 60 / 36)):
                out.write(episode.read_bytes())
        long_wall, long_peak, _, _ = whole(folder, long, int(60 * o.hours))
    idle = run([EARSHOT, "models", "list"])[2]
    text = f"""# Benchmarks

Written by `make bench` on {time.strftime('%Y-%m-%d')}: {os.cpu_count()} cores, {platform.machine()}, a shared machine. Ratios of one run mean something, seconds do not.

## Decoding to 16 kHz mono, loudness and true peak measured on the way

The decode node on a 36-minute stereo file (native PCM through the meters, and 16 kHz mono to the tape), against the same ffmpeg alone with one thread, which only decodes and resamples.

| format | earshot | ffmpeg alone | ratio |
|---|---|---|---|
{chr(10).join(decoding)}

## The whole graph on a 36-minute episode

{36 * 60 / wall:.0f}× real time ({wall:.1f} s, {words} words), built-in pack. Where the processors' time went:

| inside onnxruntime | n-gram decoding | audio codecs (ffmpeg) | everything else |
|---|---|---|---|
| {shares['inference']:.1%} | {shares['n-gram decoding']:.1%} | {shares['audio codecs']:.1%} | {shares['rest']:.1%} |

## Peak memory of the process

| nothing to do | 36 minutes | {o.hours:g} hours |
|---|---|---|
| {idle / 2**20:.0f} MiB | {peak / 2**20:.0f} MiB | {long_peak / 2**20:.0f} MiB ({o.hours * 3600 / long_wall:.0f}× real time) |

{scheduling.section(rounds=o.rounds)[0]}
{on_gpu.strip()}

{public}"""
    REPORT.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
