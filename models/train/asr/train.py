"""Trains the acoustic model: CTC over phones, until a time of day.

    LD_PRELOAD=libtcmalloc_minimal.so.4 train.py --work DIR --until HH:MM [--exclude FOLDER]... [--bf16 1]

Reads DIR/speech (new shards are taken up between passes), writes DIR/checkpoint.pt every few minutes
and goes on from it when started again. The learning rate is warmed up and falls to nothing over the
time from the first start to --until, so a shared machine changes how much is heard, not the shape of
the schedule. Prints the phone error rate on the dev recordings with each checkpoint.
"""
import argparse
import math
import os
import random
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import torch
from lexicon import BLANK, PHONES, build, labels
from network import Recogniser
from speech import Shards, batches, distance, held, stacked, training_item
from torch import nn

from overlap import held_grams  # speech puts its folder on the path

PEAK = 2e-3
WARM = .08  # of the whole time


def seconds_until(clock):
    """From now to the next HH:MM in UTC."""
    now = datetime.now(timezone.utc)
    end = now.replace(hour=int(clock[:2]), minute=int(clock[3:]), second=0, microsecond=0)
    return ((end if end > now else end + timedelta(days=1)) - now).total_seconds()


def rate(progress):
    if progress < WARM:
        return PEAK * (progress / WARM + .01)
    return PEAK * (.5 + .5 * math.cos(math.pi * (progress - WARM) / (1 - WARM))) + 1e-5


def greedy(logp):
    """The best path's phones: steps collapsed, blanks dropped."""
    path, out, last = logp.argmax(-1).tolist(), [], BLANK
    for label in path:
        if label != last and label != BLANK:
            out.append(label)
        last = label
    return out


def phone_error_rate(network, recordings, lexicon):
    network.eval()
    wrong = total = 0
    with torch.no_grad():
        for start in range(0, len(recordings), 25):
            group = recordings[start:start + 25]
            logp = network(torch.from_numpy(stacked([x for _, x in group])))
            for (written, x), row in zip(group, logp):
                target = labels(written, lexicon)
                if target:
                    wrong += distance(target, greedy(row[:-(-len(x) // Recogniser.STRIDE)]))
                    total += len(target)
    network.train()
    return wrong / total


def save(path, state):
    torch.save(state, f"{path}.tmp")
    os.replace(f"{path}.tmp", path)


def main():
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--work", type=Path, required=True)
    parse.add_argument("--until", required=True, help="UTC, HH:MM")
    parse.add_argument("--exclude", action="append", default=[])
    parse.add_argument("--bf16", type=int, default=1)
    parse.add_argument("--minutes-per-checkpoint", type=float, default=5)
    args = parse.parse_args()
    torch.set_num_threads(2)
    torch.manual_seed(0)
    random.seed(0)

    lexicon = build(args.work)
    shards = Shards(args.work, lexicon, held_grams(args.exclude))
    recordings = held(args.work, "dev")
    network = Recogniser(len(PHONES) + 1)
    optimiser = torch.optim.AdamW(network.parameters(), PEAK, betas=(.9, .98), weight_decay=.01)
    ctc = nn.CTCLoss(blank=BLANK, zero_infinity=True)
    checkpoint, spent, step, frames = args.work / "checkpoint.pt", 0.0, 0, 0
    if checkpoint.exists():
        state = torch.load(checkpoint)
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        spent, step, frames = state["spent"], state["step"], state["frames"]
    total, began, before = spent + seconds_until(args.until), time.monotonic(), spent
    saved, losses, first = spent, [], step == 0

    while spent < total:
        items = shards.refresh()
        plan = list(batches(items))
        # Short utterances first teach the alignment; afterwards any order.
        plan.sort(key=lambda b: items[b[0]][2] + random.uniform(0, 80)) if first else random.shuffle(plan)
        first = False
        print(f"{len(items)} utterances, {sum(i[2] for i in items) / 360000:.1f} h ({shards.dropped} dropped)", flush=True)
        for batch in plan:
            for group in optimiser.param_groups:
                group["lr"] = rate(spent / total)
            xs = [training_item(*items[i][:3]) for i in batch]
            ys = [items[i][3] for i in batch]
            with torch.autocast("cpu", torch.bfloat16, enabled=bool(args.bf16)):
                logp = network(torch.from_numpy(stacked(xs)))
            loss = ctc(logp.transpose(0, 1), torch.tensor(sum(ys, [])), torch.tensor([-(-len(x) // 4) for x in xs]),
                       torch.tensor([len(y) for y in ys]))
            optimiser.zero_grad()
            loss.backward()
            if torch.isfinite(nn.utils.clip_grad_norm_(network.parameters(), 2.0)):
                optimiser.step()
            step, frames, spent = step + 1, frames + sum(map(len, xs)), before + time.monotonic() - began
            losses = [*losses[-49:], loss.item()]
            if step % 50 == 0:
                print(f"{spent / 60:.1f} min, step {step}, loss {np.mean(losses):.3f}, {frames / 6000 / spent:.2f} h/min", flush=True)
            if spent - saved > 60 * args.minutes_per_checkpoint or spent >= total:
                saved = spent
                error = {voice: phone_error_rate(network, pairs, lexicon) for voice, pairs in recordings.items()}
                print(f"dev at {spent / 60:.1f} min: phone error rate " +
                      ", ".join(f"{voice} {e:.3f}" for voice, e in error.items()), flush=True)
                save(checkpoint, {"network": network.state_dict(), "optimiser": optimiser.state_dict(), "spent": spent,
                                  "step": step, "frames": frames, "error": error})
            if spent >= total:
                break


if __name__ == "__main__":
    main()
