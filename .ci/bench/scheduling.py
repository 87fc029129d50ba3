"""Measures package gpu's scheduling on one device and prints markdown: the built-in models on what the sample's episodes
give them to do, recorded once.

    python .ci/bench/scheduling.py [--device cpu] [--rounds 3] [--episodes 64]

Wants the built program, and Go. The two sides of each ratio take turns in one run, and the ratio is the median of the
turns. On the CPU it is by the processors' time (user and system), on a GPU by the clock.
"""
import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = pathlib.Path(os.environ.get("EARSHOT_CACHE", ROOT / ".cache")).resolve()
EARSHOT = str(ROOT / "bin" / "earshot")
HEADING = "## Scheduling"
ENV = {**os.environ, "EARSHOT_CACHE": str(CACHE)}


def output(*command, **kw):
    return subprocess.run([str(c) for c in command], check=True, stdout=subprocess.PIPE, text=True, env=ENV, **kw).stdout


def figures(line):
    """A benchmark's metrics by their units."""
    return {unit: float(value) for value, unit in re.findall(r"([\d.e+-]+) (\S*[^\d\s]\S*)", line)}


def measure(device, kept):
    """Measures what the models need of a device, into the folder; gives models bench's JSON."""
    return json.loads(output(EARSHOT, "models", "bench", "--device", device, "--state", kept, "-o", "json"))


class Benchmarks:
    """Runs the Go benchmarks of cmd/earshot, built once."""

    def __init__(self, device, kept, rounds, episodes, seconds):
        self.test = kept / "scheduling.test"
        self.flags = [f"-bench.devices={'cpu' if device == 'cpu' else 'cuda'}", f"-bench.profiles={kept / 'profiles.json'}", f"-bench.rounds={rounds}",
                      f"-bench.episodes={episodes}", f"-bench.seconds={seconds}"]
        output("go", "test", "-c", "-o", self.test, "./cmd/earshot", cwd=ROOT)

    def run(self, name, *flags):
        out = output(self.test, "-test.run=^$", "-test.timeout=2h", "-test.benchtime=1x", f"-test.bench=^{name}$", *self.flags, *flags, cwd=ROOT / "cmd" / "earshot")
        return {m[1]: figures(m[2]) for m in re.finditer(r"^Benchmark\w+?(?:/([\w-]+?))?(?:-\d+)?\s+1\s(.*)$", out, re.M)}


def own_time():
    """What the scheduler itself takes of the processors for an item: medians of three runs."""
    out = output("go", "test", "-run", "^$", "-bench", "Scheduling", "-benchtime", "1000000x", "-count", "3", "./gpu", cwd=ROOT)
    found = {}
    for waiting, line in re.findall(r"^BenchmarkScheduling/waiting=(\d+)\S*\s+\d+\s(.*)$", out, re.M):
        found.setdefault(int(waiting), []).append(figures(line))
    return {w: {u: statistics.median(r[u] for r in runs) for u in runs[0]} for w, runs in found.items()}


def section(device="cpu", heading=HEADING, rounds=3, episodes=64, seconds=0.25):
    """The rows as markdown, models bench's JSON, and the folder with the profiles."""
    kept = CACHE / "bench" / f"scheduling-{device.replace(':', '')}"
    kept.mkdir(parents=True, exist_ok=True)
    load = os.getloadavg()[0]
    bench = measure(device, kept)
    go = Benchmarks(device, kept, rounds, episodes, seconds)
    models = go.run("BenchmarkModels")
    half = {slots: go.run("BenchmarkHalfOfTheModels", f"-bench.slots={slots}", f"-bench.rounds={(rounds + 1) // 2}")[None] for slots in (episodes, 16)}
    memory = go.run("BenchmarkMemoryOfHalfTheModels")[None] if device == "cpu" else None
    live = go.run("BenchmarkLiveBesideBacklog")[None]
    by, other = ("cpu", "clock") if device == "cpu" else ("clock", "cpu")
    named = {"cpu": "processors' time", "clock": "clock"}
    lines = [f"""{heading}

On {time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {load:.1f} processes running or waiting at the start, on {device}. What the sample's episodes give the built-in models to do is recorded once and replayed, {episodes} episodes at least where not said otherwise; the sides of a ratio take turns in one run. Targets in brackets.

### Each model, many episodes' items waiting

Beside the same runner in a bare loop over onnxruntime at its best size of batch, as many goroutines as there are leases; and beside one item a run through the same scheduler. By the {named[by]}; in brackets by the {named[other]}, which on a shared machine tells less.

| model | × bare loop (≥ 0.95) | loop's batch | scheduler's batch, mean | loop, an item | scheduler, an item | × one item a run |
|---|---|---|---|---|---|---|"""]
    for name, m in models.items():
        lines.append(f"| {name} | {m[f'x-loop-{by}']:.2f} ({m[f'x-loop-{other}']:.2f}) | {m['loop-batch']:.0f} | {m['mean-batch']:.1f} | {m['loop-µs/item']:.4g} µs | {m['µs/item']:.4g} µs | {m[f'x-single-{by}']:.2f} ({m[f'x-single-{other}']:.2f}) |")
    lines.append(f"""
### Memory for half of the models

{episodes} episodes, each through one of four copies of all models (the built-in ones together are hardly more than the largest of them takes while it opens), in memory for half of their weights and {'an arena for the largest batch that a profile calls best' if device == 'cpu' else 'arenas'}, against all resident.

| episodes at a time | budget | all models' weights | × all resident (≥ 0.90) | loads | least recently used: × all resident | its loads | × fewer loads (≥ 5) |
|---|---|---|---|---|---|---|---|""")
    for slots, h in half.items():
        lines.append(f"| {slots} | {h['budget-MiB']:.1f} MiB, of it {h['arena-MiB']:.1f} arena | {h['all-weights-MiB']:.1f} MiB | {h[f'x-all-{by}']:.2f} (by the {named[other]} {h[f'x-all-{other}']:.2f}) | {h['loads']:.0f} | {h[f'lru-x-all-{by}']:.2f} ({h[f'lru-x-all-{other}']:.2f}) | {h['lru-loads']:.0f} | {h['lru-loads'] / h['loads']:.1f} |")
    if memory:
        lines.append(f"""
What the process held beside Go's memory at most, looked at every 50 ms, over what it held before it had opened a model: {memory['used-MiB']:.1f} MiB resident in a budget of {memory['budget-MiB']:.1f} MiB ({memory['used-MiB'] / memory['budget-MiB']:.2f}, ≤ 1; what onnxruntime takes for itself is in it).""")
    lines.append(f"""
### Live work beside a saturating backlog

Over what the same item, and the same episode along its longest path, waits on the idle scheduler. {live['items']:.0f} live items of {live['episodes']:.0f} episodes, {episodes} backlog episodes at a time; by the clock.

| | p50 | p99 | longest batch | p99 in batches (episode ≤ 1) |
|---|---|---|---|---|
| item | {live['item-p50-ms']:.1f} ms | {live['item-p99-ms']:.1f} ms | {live['longest-batch-ms']:.1f} ms | {live['item-p99-ms'] / live['longest-batch-ms']:.2f} |
| episode | {live['episode-p50-ms']:.1f} ms | {live['episode-p99-ms']:.1f} ms | | {live['episode-p99-ms'] / live['longest-batch-ms']:.2f} |""")
    if device == "cpu":
        lines.append("""
### The scheduler itself

A runner that does nothing, batches of 16; by the processors' time.

| items waiting | an item (≤ 5 µs) | garbage an item | allocations an item |
|---|---|---|---|""")
        for waiting, m in own_time().items():
            lines.append(f"| {waiting:,} | {m['cpu-ns/op'] / 1e3:.1f} µs | {m['B/op']:.0f} B | {m['allocs/op']:.0f} |")
    return "\n".join(lines) + "\n", bench, kept


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--device", default="cpu", help="cpu or cuda:0")
    p.add_argument("--rounds", type=int, default=3, help="how often the sides take turns")
    p.add_argument("--episodes", type=int, default=64, help="episodes that wait")
    p.add_argument("--seconds", type=float, default=0.25, help="of work for one model in a turn, at least")
    o = p.parse_args()
    print(section(o.device, rounds=o.rounds, episodes=o.episodes, seconds=o.seconds)[0])


if __name__ == "__main__":
    main()
