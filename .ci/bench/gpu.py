"""Measures scheduling on a machine with an NVIDIA GPU, and puts a section with the device's name into docs/benchmarks.md.

    python3 .ci/bench/gpu.py [--device cuda:0] [--minutes 20] [--rounds 5]

Wants the driver (CUDA 13), Go, a C compiler, pip and some 4 GB of disk: onnxruntime with its CUDA provider, CUDA's
libraries and cuDNN come as packages, into the cache folder. It runs, in this order: earshot devices, models verify, models
bench (memory predicted and measured), the rows of scheduling.py, and a soak with the sample's episodes in memory that holds
half of the models. With --device cpu the same on the CPU, which tries the script out and writes nothing.
"""
import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import venv

import report
import scheduling

PACKAGE = "onnxruntime-gpu[cuda,cudnn]==1.31.1"
LIBRARY = "libonnxruntime.so.1.31.1"


def install():
    """Fetches the packages once, and names their libraries in the environment of all that runs from here on."""
    home = scheduling.CACHE / "bench" / "onnxruntime-gpu"
    if not (home / "ready").exists():
        venv.create(home, with_pip=True, clear=True)
        subprocess.run([home / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-cache-dir", PACKAGE], check=True)
        (home / "ready").touch()
    library = next(home.rglob(LIBRARY))
    folders = sorted({p.parent for p in home.rglob("nvidia/**/lib*.so*")}) + [library.parent]
    scheduling.ENV["EARSHOT_ORT_LIB"] = str(library)
    scheduling.ENV["LD_LIBRARY_PATH"] = ":".join([str(f) for f in folders] + [v for v in [os.environ.get("LD_LIBRARY_PATH")] if v])
    scheduling.ENV["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"


def earshot(*command):
    print("$ earshot", *command, flush=True)
    return scheduling.output(scheduling.EARSHOT, *command)


def half(profiles):
    """The memory that holds half of the models with the arena of each one's best batch, or the largest model while it opens."""
    needs, most = [], 0
    for p in profiles:
        if ":" in p["model"]:  # another precision, which the built-in graph does not use
            continue
        timed = [pt for pt in p["points"] if pt["p50_seconds"] > 0]
        fastest = max(pt["items"] / pt["p50_seconds"] for pt in timed)
        run = next(pt["bytes"] for pt in timed if pt["items"] / pt["p50_seconds"] >= 0.98 * fastest)
        needs.append(p["weights_bytes"] + run)
        most = max(most, max(p["weights_bytes"], p.get("opening_bytes", 0)) + run)
    return int(1.05 * max(sum(needs) / 2, most)) + (4 << 20)


def soak(kind, profiles, minutes):
    """Demos, one after another, each from nothing, in memory for half of the models. A demo ends with an error unless every
    node of every episode did what the sample's truth expects."""
    budget, rounds, evictions, outs_of_memory = half(profiles), 0, 0, 0
    end = time.monotonic() + 60 * minutes
    with tempfile.TemporaryDirectory() as tmp:
        folder = pathlib.Path(tmp)
        config = folder / "earshot.yaml"
        config.write_text(f"device: {{kind: {kind}, memory_bytes: {budget}, warm_up: never}}\nfetch: {{local_files: true}}\n")
        feed = sorted(p for p in (scheduling.ROOT / "sample" / "feed").iterdir() if p.suffix != ".xml")
        while rounds == 0 or time.monotonic() < end:
            out = folder / f"demo{rounds}"
            out.mkdir()
            (out / "profiles.json").write_text(json.dumps({"schema": "earshot.profiles/1", "profiles": profiles}))
            scheduling.output(scheduling.EARSHOT, "--config", config, "demo", "--sample", scheduling.ROOT / "sample", "--out", out, "--devices", kind, stderr=subprocess.DEVNULL)
            # The demo shows no metrics: the same files again, from nothing, for what was swapped.
            metrics, state = folder / "metrics", folder / f"state{rounds}"
            state.mkdir()
            (state / "profiles.json").write_text((out / "profiles.json").read_text())
            scheduling.output(scheduling.EARSHOT, "--config", config, "--state", state, "enrich", *feed, "--devices", kind, "--metrics", metrics, stderr=subprocess.DEVNULL)
            seen = metrics.read_text()
            evictions += sum(int(float(n)) for n in re.findall(r'^earshot_evictions_total\{.*reason="room".*\} (\S+)$', seen, re.M))
            outs_of_memory += sum(int(float(n)) for n in re.findall(r"^earshot_out_of_memory_total\{.*\} (\S+)$", seen, re.M))
            failed = sum(int(float(n)) for n in re.findall(r'^earshot_items_total\{.*outcome="failed".*\} (\S+)$', seen, re.M))
            if failed:
                sys.exit(f"soak: {failed} items failed in round {rounds}: see {metrics}")
            rounds += 1
    return f"{2 * len(feed) * rounds} episodes, none failed, in memory of {budget / 2**20:.0f} MiB, which holds half of the models: {evictions} evictions for room, {outs_of_memory} runs out of memory."


def predictions(bench, device):
    lines = ["### Memory, predicted and measured\n",
             "Weights and run, of each size of batch; the prediction is of one process, the measure of another. It holds if it is not below, and within 10 % or 2 MiB.\n",
             "| model | items | predicted | measured | ratio | holds |", "|---|---|---|---|---|---|"]
    for r in bench["runs"]:
        if r["device"] == device:
            ratio = r["predicted_bytes"] / r["measured_bytes"] if r["measured_bytes"] else float("nan")
            lines.append(f"| {r['model']} ({r['precision']}) | {r['items']} | {r['predicted_bytes'] / 2**20:.1f} MiB | {r['measured_bytes'] / 2**20:.1f} MiB | {ratio:.2f} | {'yes' if r['holds'] else '**no**'} |")
    runs = [r for r in bench["runs"] if r["device"] == device]
    return "\n".join(lines + [f"\n{sum(r['holds'] for r in runs)} of {len(runs)} hold."])


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--device", default="cuda:0", help="cuda:N, or cpu to try the script out")
    p.add_argument("--minutes", type=float, default=20, help="of the soak")
    p.add_argument("--rounds", type=int, default=5, help="how often the sides take turns")
    p.add_argument("--episodes", type=int, default=64, help="episodes that wait")
    o = p.parse_args()
    kind = "cpu" if o.device == "cpu" else "cuda"
    if kind == "cuda":
        install()
    print(earshot("devices", "--devices", kind))
    devices = json.loads(earshot("devices", "--devices", kind, "-o", "json"))
    print(earshot("models", "verify", "--device", o.device))
    section, bench, kept = scheduling.section(o.device, report.GPU, o.rounds, o.episodes)
    profiles = json.loads((kept / "profiles.json").read_text())["profiles"]
    soaked = soak(kind, profiles, o.minutes)
    text = f"""{section}
{predictions(bench, o.device)}

### Soak

{soaked}

```
{json.dumps(devices, indent=1)}
```
"""
    if kind == "cpu":
        print(text)
    else:
        report.put(report.GPU, text)


if __name__ == "__main__":
    main()
