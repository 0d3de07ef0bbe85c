# SPDX-License-Identifier: MPL-2.0
"""Figures of the temporal head: accuracy, calibration, and what agreement tells."""

import numpy as np
import torch

from . import CLASSES, agreement, metrics, pseudo, temporal

BATCH = 512


def still_windows(bank: pseudo.Bank, seed: int = 11):
    """One window of a drifting picture for each row of the bank: frames come in batches (generator)."""
    composer = pseudo.Composer(bank)
    for start in range(0, len(bank.labels), BATCH):
        rows = torch.arange(start, min(start + BATCH, len(bank.labels)))
        g = torch.Generator().manual_seed(seed + start)
        yield composer.drift(g, rows), torch.full((len(rows),), pseudo.FRAMES)


def frozen_windows(bank: pseudo.Bank):
    """The picture itself, 39 times: what a still looks like to the runtime."""
    for start in range(0, len(bank.labels), BATCH):
        e = bank.embeddings[start:start + BATCH, 0].float()
        yield e[:, None].expand(-1, pseudo.FRAMES, -1), torch.full((len(e),), pseudo.FRAMES)


def mixed_windows(bank: pseudo.Bank, count: int = 6000, seed: int = 13):
    """Composed windows as in training (changes, covers, foreign stretches), with the truth of each: batches."""
    composer = pseudo.Composer(bank, power=1.0)
    for k in range(count // BATCH):
        yield composer.draw(torch.Generator().manual_seed(seed + k), BATCH)


def rendered_windows(sequences, split: str):
    """The last 2.56 s (or all) of every sequence of `split`, batches with truth."""
    rows = sequences.rows(split)
    for start in range(0, len(rows), BATCH):
        pick = rows[start:start + BATCH]
        length = sequences.length[pick].clamp(max=pseudo.FRAMES)
        # In the middle of the slack: neither always the end nor the start of the performance.
        offset = (sequences.length[pick] - length) // 2
        frames, truth, covered = sequences.window(pick, offset, length, pseudo.FRAMES)
        yield frames, length, truth, covered


def answers(head, windows) -> np.ndarray:
    """Clip logits [N, K, 7] over batches of (frames, length, ...)."""
    return np.concatenate([temporal.decide(head, batch[0], batch[1]).numpy() for batch in windows])


def truths(windows) -> tuple[np.ndarray, np.ndarray]:
    """Class [N] of windows with truth (largest share of the whole window's target), and whether it is worth judging:
    windows that are mostly covered have no truth."""
    labels, clear = [], []
    for frames, length, truth, covered in windows:
        goal = pseudo.target(truth, covered, length, torch.tensor([[0.0, 1.0, 0.0]]).expand(len(length), 3))
        labels.append(goal.argmax(1).numpy())
        clear.append((goal.max(1).values > 0.25).numpy())
    return np.concatenate(labels), np.concatenate(clear)


def distribution(logits: np.ndarray, temperature: float) -> np.ndarray:
    """Calibrated clip distributions [N, K, 7]."""
    return metrics.softmax(logits.astype(np.float64), temperature)


def temperature(head, real: dict, allowed: float = 0.04) -> float:
    """The sharpest temperature of which the mean of the clips' distributions keeps its ECE on valid within `allowed`, for stills
    and for composed windows; the one of least ECE when there is none.

    Sharp clips, because agreement of flat distributions is high whatever they say: it could not tell anything.
    """
    mixed = list(mixed_windows(real["valid"], 3000))
    sets = [(answers(head, frozen_windows(real["valid-stills"])), real["valid-stills"].labels.numpy()), (answers(head, mixed), truths(mixed)[0])]
    errors = {t: max(metrics.ece(distribution(z, t).mean(1), labels) for z, labels in sets) for t in np.exp(np.linspace(np.log(0.25), np.log(3), 80))}
    good = [t for t, error in errors.items() if error <= allowed]
    return float(min(good) if good else min(errors, key=errors.get))


def judge(p: np.ndarray, labels: np.ndarray) -> dict:
    """All figures of one set of decisions: p [N, K, 7] calibrated."""
    mean, agree = p.mean(1), agreement.agreement(p)
    right = mean.argmax(1) == labels
    war, uar = metrics.war_uar(mean.argmax(1), labels)
    bins = []
    for low, high in ((0, 0.6), (0.6, 0.8), (0.8, 0.9), (0.9, 0.95), (0.95, 0.98), (0.98, 1.01)):
        inside = (agree >= low) & (agree < high)
        bins.append({"from": low, "to": min(high, 1.0), "count": int(inside.sum()), "accuracy": float(right[inside].mean()) if inside.any() else None})
    at = lambda mask: float(right[mask].mean()) if mask.any() else None
    return {
        "count": len(labels), "war": war, "uar": uar, "ece": metrics.ece(mean, labels),
        "recall": {c: (None if np.isnan(r) else float(r)) for c, r in zip(CLASSES, metrics.recalls(mean.argmax(1), labels))},
        "agreement": float(agree.mean()), "agreement-bins": bins,
        "agreement-tenths": tenths(agree, right),
        "accuracy-from-0.8": at(agree >= 0.8), "accuracy-below-0.6": at(agree < 0.6), "share-below-0.6": float((agree < 0.6).mean()),
        "reliability": metrics.reliability(mean, labels),
    }


def tenths(agree: np.ndarray, right: np.ndarray) -> list[dict]:
    """Accuracy of the least agreeing tenth of the decisions, the next tenth, and so on."""
    order = np.argsort(agree, kind="stable")
    return [{"to": float(agree[part[-1]]), "accuracy": float(right[part].mean())} for part in np.array_split(order, 10) if len(part)]


def gates(p: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """(min-agreement, min-confidence): the agreement that all but the least agreeing twentieth of the windows reach, and the
    lowest probability, 0.3 to 0.6 in steps of 0.05, next to which answers are right at least half of the time."""
    mean, agree = p.mean(1), agreement.agreement(p)
    right, top = mean.argmax(1) == labels, mean.max(1)
    confidence = 0.6
    for c in np.arange(0.3, 0.61, 0.05):
        near = (top >= c) & (top < c + 0.05)
        if near.sum() >= 20 and right[near].mean() >= 0.5:
            confidence = float(c)
            break
    return round(float(np.clip(np.quantile(agree, 0.05), 0.5, 0.95)), 2), round(confidence, 2)


def figures(head, real: dict, sequences, t: float) -> tuple[dict, tuple[float, float]]:
    """Every figure, and the gates chosen on valid."""
    mixed = list(mixed_windows(real["valid"]))
    labels, clear = truths(mixed)
    p = distribution(answers(head, mixed), t)
    out = {"temperature": t, "valid-mixed": judge(p[clear], labels[clear])}
    chosen = gates(p, labels)
    out["gates"] = {"min-agreement": chosen[0], "min-confidence": chosen[1]}
    splits = [split for split in ("valid", "test") if split in real]
    for split in splits:
        bank = real[f"{split}-stills"]
        out[f"{split}-stills"] = judge(distribution(answers(head, frozen_windows(bank)), t), bank.labels.numpy())
        bank = real[split]
        out[f"{split}-drifting"] = judge(distribution(answers(head, still_windows(bank)), t), bank.labels.numpy())
    if "test" in real:
        mixed = list(mixed_windows(real["test"]))
        labels, clear = truths(mixed)
        out["test-mixed"] = judge(distribution(answers(head, mixed), t)[clear], labels[clear])
    if sequences is not None:
        for split in splits:
            windows = list(rendered_windows(sequences, split))
            labels, clear = truths(windows)
            out[f"syndfer-{split}"] = judge(distribution(answers(head, windows), t)[clear], labels[clear])
    return out, chosen


def lines(figures: dict) -> list[str]:
    rows = [f"temperature {figures['temperature']:.3f}, gates {figures['gates']}"]
    for name, f in figures.items():
        if isinstance(f, dict) and "war" in f:
            percent = lambda v: "-" if v is None else f"{100 * v:.1f}"
            rows.append(f"{name}: WAR {percent(f['war'])} UAR {percent(f['uar'])} ECE {f['ece']:.3f} agreement {f['agreement']:.3f}; "
                        f">=0.8: {percent(f['accuracy-from-0.8'])}, <0.6: {percent(f['accuracy-below-0.6'])} ({percent(f['share-below-0.6'])} % of all)")
    return rows
