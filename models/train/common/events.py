"""From a sound model's probabilities to events, as models/sound does it, and the F1 of segments of a second."""
import numpy as np

STEP = .08  # seconds
# (offset, smooth, min_length, max_gap) of a label, as in the manifest; DEFAULT for the rest.
DEFAULT = (.6, .4, .5, .8)
PARAMETERS = {"Music": (.6, .4, .8, 1.0), "Silence": (.6, .1, 1.0, .1), "Speech": (.6, .2, .3, 1.0),
              "Telephone": (.6, .4, .5, 2.5), "Noise": (.6, .4, 1.0, .8)}


def smooth(p, seconds):
    """A centred mean. p: [scenes, steps]"""
    half = int(seconds / STEP / 2)
    if not half:
        return p
    total = np.cumsum(np.pad(p, ((0, 0), (half + 1, half)), mode="edge").astype(np.float64), 1)
    return (total[:, 2 * half + 1:] - total[:, :-2 * half - 1]) / (2 * half + 1)


def active(p, name, threshold):
    """[scenes, steps] of probabilities -> where the events are."""
    offset, width, shortest, gap = PARAMETERS.get(name, DEFAULT)
    out = np.zeros(p.shape, bool)
    for row, track in zip(out, smooth(p, width)):
        on, runs = False, []
        for i, v in enumerate(track):
            if not on and v >= threshold:
                on = True
                if not (runs and (i - runs[-1][1]) * STEP <= gap + 1e-9):
                    runs.append([i, i])
            elif on and v < threshold * offset:
                on = False
            if on:
                runs[-1][1] = i + 1
        for start, end in runs:
            if (end - start) * STEP >= shortest - 1e-9:
                row[start:end] = True
    return out


def segments_of_truth(truth):
    """Every 40 ms, [scenes, steps] -> every second: 1 where the sound is at any time, 0 where at none, 2 not to be judged."""
    t = truth[:, :truth.shape[1] // 25 * 25].reshape(len(truth), -1, 25)
    return np.where((t == 1).any(2), 1, np.where((t == 2).any(2), 2, 0))


def segments(found):
    """Every 80 ms -> every second, true where the sound is at any time."""
    seconds = (np.arange(found.shape[1]) * STEP + STEP / 2).astype(int)
    return np.stack([found[:, seconds == s].any(1) for s in range(int(found.shape[1] * STEP))], 1)


def f1(truth, found):
    """-> F1, precision, recall of what is judged."""
    hit, wrong, missed = (found & (truth == 1)).sum(), (found & (truth == 0)).sum(), (~found & (truth == 1)).sum()
    return float(2 * hit / max(1, 2 * hit + wrong + missed)), float(hit / max(1, hit + wrong)), float(hit / max(1, hit + missed))


def segment_f1(truth, p, name, threshold):
    """truth: [scenes, steps of 40 ms], p: [scenes, steps of 80 ms], both of one label."""
    return f1(segments_of_truth(truth), segments(active(p, name, threshold)))
