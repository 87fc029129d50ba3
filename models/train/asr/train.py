"""Trains the acoustic model: CTC over phones, until a time of day.

    LD_PRELOAD=libtcmalloc_minimal.so.4 train.py --work DIR --until HH:MM [--exclude FOLDER]... [--again]

Reads DIR/speech (new shards are taken up between passes), writes DIR/checkpoint.pt every few minutes
and goes on from it when started again. The learning rate is warmed up and falls to nothing over the
time from the first start to --until, so a shared machine changes how much is heard, not the shape of
the schedule. --again starts such a schedule anew from the weights that there are, at --peak.
The weights that count are a running average (Polyak & Juditsky 1992) over about --average steps; the
phone error rate on the dev recordings, printed with each checkpoint, is theirs.
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

WARM = .05  # of the schedule's time


def seconds_until(clock):
    """From now to the next HH:MM in UTC."""
    now = datetime.now(timezone.utc)
    end = now.replace(hour=int(clock[:2]), minute=int(clock[3:]), second=0, microsecond=0)
    return ((end if end > now else end + timedelta(days=1)) - now).total_seconds()


def rate(peak, progress):
    if progress < WARM:
        return peak * (progress / WARM + .01)
    return peak * (.5 + .5 * math.cos(math.pi * (progress - WARM) / (1 - WARM))) + 1e-5


def greedy(logp):
    """The best path's phones: steps collapsed, blanks dropped."""
    path, out, last = logp.argmax(-1).tolist(), [], BLANK
    for label in path:
        if label != last and label != BLANK:
            out.append(label)
        last = label
    return out


def phone_error_rate(network, recordings, lexicon):
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
    return wrong / total


@torch.no_grad()
def follow(average, network, share):
    """Moves the average towards the network by a share of the way."""
    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), share)


def save(path, state):
    torch.save(state, f"{path}.tmp")
    os.replace(f"{path}.tmp", path)


def main():
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--work", type=Path, required=True)
    parse.add_argument("--until", required=True, help="UTC, HH:MM")
    parse.add_argument("--exclude", action="append", default=[])
    parse.add_argument("--bf16", type=int, default=1)
    parse.add_argument("--peak", type=float, default=2e-3, help="the highest learning rate")
    parse.add_argument("--again", action="store_true", help="a new schedule on the weights of the checkpoint")
    parse.add_argument("--average", type=float, default=300, help="steps")
    parse.add_argument("--threads", type=int, default=2)
    parse.add_argument("--minutes-per-checkpoint", type=float, default=5)
    args = parse.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    random.seed(0)

    lexicon = build(args.work)
    shards = Shards(args.work, lexicon, held_grams(args.exclude))
    recordings = held(args.work, "dev")
    network = Recogniser(len(PHONES) + 1)
    optimiser = torch.optim.AdamW(network.parameters(), args.peak, betas=(.9, .98), weight_decay=.01)
    ctc = nn.CTCLoss(blank=BLANK, zero_infinity=True)
    checkpoint, spent, step, frames, cycle = args.work / "checkpoint.pt", 0.0, 0, 0, 0.0
    average = Recogniser(len(PHONES) + 1)
    average.load_state_dict(network.state_dict())
    average.eval()
    if checkpoint.exists():
        state = torch.load(checkpoint)
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        average.load_state_dict(state.get("average", state["network"]))
        spent, step, frames, cycle = state["spent"], state["step"], state["frames"], state.get("cycle", 0.0)
        if args.again:
            cycle = spent
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
                group["lr"] = rate(args.peak, (spent - cycle) / (total - cycle))
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
            follow(average, network, 1 / min(args.average, step + 1))
            step, frames, spent = step + 1, frames + sum(map(len, xs)), before + time.monotonic() - began
            losses = [*losses[-49:], loss.item()]
            if step % 50 == 0:
                print(f"{spent / 60:.1f} min, step {step}, loss {np.mean(losses):.3f}, {frames / 6000 / spent:.2f} h/min", flush=True)
            if spent - saved > 60 * args.minutes_per_checkpoint or spent >= total:
                saved = spent
                error = {voice: phone_error_rate(average, pairs, lexicon) for voice, pairs in recordings.items()}
                print(f"dev at {spent / 60:.1f} min: phone error rate " +
                      ", ".join(f"{voice} {e:.3f}" for voice, e in error.items()), flush=True)
                save(checkpoint, {"network": network.state_dict(), "average": average.state_dict(),
                                  "optimiser": optimiser.state_dict(), "spent": spent, "cycle": cycle, "step": step,
                                  "frames": frames, "error": error})
            if spent >= total:
                break


if __name__ == "__main__":
    main()
