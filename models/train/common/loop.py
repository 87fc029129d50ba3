"""The training loop that the classifiers share: a fixed time, AdamW, a warm-up and a cosine."""
import math
import time

import numpy as np
import torch

LOW_PRECISION = torch.bfloat16


def seed(n, threads):
    torch.manual_seed(n)
    np.random.seed(n)
    torch.set_num_threads(threads)


def train(net, step, count, batch, minutes, rate, evaluate=None, every=2.0, wall=1e9):
    """step(indices) -> loss. Draws batches from range(count), epoch by epoch, for so many minutes of processor time, or
    wall minutes by the clock if they are over sooner."""
    optimiser = torch.optim.AdamW(net.parameters(), rate, betas=(.9, .98), weight_decay=.02)
    average = {k: v.detach().clone() for k, v in net.state_dict().items()}
    began, started, used, said, steps, losses, order = time.time(), time.process_time(), 0.0, 0.0, 0, [], []
    total = minutes * 60
    net.train()
    while used < total and (p := max(used / total, (time.time() - began) / 60 / wall)) < 1:
        if len(order) < batch:
            order = np.random.permutation(count)
        now, order = order[:batch], order[batch:]
        for g in optimiser.param_groups:
            g["lr"] = rate * (p / .06 if p < .06 else .5 * (1 + math.cos(math.pi * (p - .06) / .94)) + .002)
        with torch.autocast("cpu", LOW_PRECISION):
            loss = step(now)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 2.0)
        optimiser.step()
        losses.append(loss.item())
        steps += 1
        with torch.no_grad():
            keep = min(.995, steps / (steps + 10))
            for k, v in net.state_dict().items():
                average[k] = average[k] * keep + v * (1 - keep) if v.is_floating_point() else v.clone()
        used = time.process_time() - started
        if used - said > every * 60:
            said = used
            print(f"{used / 60:.1f} min of processor time, {steps} steps, {steps * batch / count:.1f} epochs, loss {np.mean(losses[-50:]):.4f}",
                  evaluate(net) if evaluate else "", flush=True)
            net.train()
    net.load_state_dict(average)
    return net.eval()


def augment(x, bands=2, times=3, widest=10, longest=40):
    """SpecAugment on a numpy batch [batch, frames, mels]: masked bands and times take the item's mean."""
    for item in x:
        mean = item.mean()
        for _ in range(np.random.randint(0, bands + 1)):
            w = np.random.randint(0, widest)
            s = np.random.randint(0, 64 - w)
            item[:, s:s + w] = mean
        for _ in range(np.random.randint(0, times + 1)):
            w = np.random.randint(0, longest)
            s = np.random.randint(0, len(item) - w)
            item[s:s + w] = mean
    return x


WARPS = {}


def warp(x, low=.9, high=1.12):
    """Stretches an item's mel axis, as another vocal tract would. x: [frames, mels]."""
    a = round(np.random.uniform(low, high), 2)
    if a not in WARPS:
        p = np.clip(np.arange(64) * a, 0, 63)
        i = np.floor(p).astype(int)
        w = np.zeros((64, 64), np.float32)
        for c in range(64):
            w[i[c], c] += 1 - (p[c] - i[c])
            w[min(i[c] + 1, 63), c] += p[c] - i[c]
        WARPS[a] = w
    return x @ WARPS[a]
