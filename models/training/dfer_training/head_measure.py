# SPDX-License-Identifier: MPL-2.0
"""Figures of the temporal head: accuracy, calibration, and what agreement tells."""

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from . import CLASSES, agreement, metrics, pseudo, sampling, temporal

BATCH = 512


def still_windows(bank: pseudo.Bank, seed: int = 11):
    """One window of a drifting picture for each row of the bank: frames come in batches (generator)."""
    composer = pseudo.Composer(bank)
    for start in range(0, len(bank.labels), BATCH):
        rows = torch.arange(start, min(start + BATCH, len(bank.labels)))
        g = torch.Generator().manual_seed(seed + start)
        yield composer.drift(g, rows), torch.full((len(rows),), pseudo.FRAMES)


def frozen_windows(embeddings: torch.Tensor):
    """Pictures at every scale [N, len(SCALES), D], each shown for the whole window: what a still looks like to the runtime."""
    for e in embeddings.split(BATCH):
        yield e[:, sampling.turns(pseudo.FRAMES)].float(), torch.full((len(e),), pseudo.FRAMES)


def mixed_windows(bank: pseudo.Bank, count: int = 6000, seed: int = 13):
    """Composed windows as in training (changes, covers, foreign stretches), with the truth of each: batches."""
    composer = pseudo.Composer(bank, power=1.0)
    for k in range(count // BATCH):
        yield composer.draw(torch.Generator().manual_seed(seed + k), BATCH)


def rendered_windows(sequences, split: str):
    """Three windows of 2.56 s (or less) of every sequence of `split`: its beginning, middle and end; batches with truth."""
    rows = sequences.rows(split)
    for start in range(0, len(rows), BATCH):
        pick = rows[start:start + BATCH].repeat(3)
        length = sequences.length[pick].clamp(max=pseudo.FRAMES)
        third = torch.arange(3).repeat_interleave(len(pick) // 3)
        offset = (sequences.length[pick] - length) * third // 2
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


@dataclass
class Calibration:
    """What model.toml says under [calibration]: of probabilities, of the distributions whose agreement is measured, and the gates."""

    temperature: float
    agreement_temperature: float
    min_agreement: float = 0.0
    min_confidence: float = 0.0

    def mean(self, logits: np.ndarray) -> np.ndarray:
        """Clip logits [N, K, 7] -> probabilities [N, 7]."""
        return distribution(logits, self.temperature).mean(1)

    def agreement(self, logits: np.ndarray) -> np.ndarray:
        """Clip logits [N, K, 7] -> agreement [N]."""
        return agreement.agreement(distribution(logits, self.agreement_temperature))

    def held_back(self, logits: np.ndarray) -> np.ndarray:
        """[N] bool: the gates keep the label back."""
        return (self.agreement(logits) < self.min_agreement) | (self.mean(logits).max(1) < self.min_confidence)


TEMPERATURES = np.exp(np.linspace(np.log(0.05), np.log(3), 60))


def calibrate(head, real: dict) -> Calibration:
    """All four numbers, on the real faces of valid. The temperature: least ECE, the worse of stills and composed windows. That of
    agreement: the softest at which agreement tells right composed windows from wrong ones as well as at the best (area under
    the ROC curve, to half a point); calibrated distributions are flat, and flat distributions agree whatever they say."""
    mixed = list(mixed_windows(real["valid"], 6000))
    labels, clear = truths(mixed)
    logits = answers(head, mixed)
    sets = [(answers(head, frozen_windows(real["valid-stills"].embeddings)), real["valid-stills"].labels.numpy()), (logits[clear], labels[clear])]
    soft = min(TEMPERATURES, key=lambda t: max(metrics.ece(distribution(z, t).mean(1), y) for z, y in sets))
    right = distribution(logits, soft).mean(1).argmax(1) == labels
    areas = {t: roc_auc_score(right, agreement.agreement(distribution(logits, t))) for t in TEMPERATURES}
    out = Calibration(float(soft), float(max(t for t, area in areas.items() if area >= max(areas.values()) - 0.005)))
    out.min_agreement, out.min_confidence = gates(out, logits, labels)
    return out


def judge(calibration: Calibration, logits: np.ndarray, labels: np.ndarray) -> dict:
    """All figures of one set of decisions: clip logits [N, K, 7]."""
    mean, agree = calibration.mean(logits), calibration.agreement(logits)
    right = mean.argmax(1) == labels
    held = calibration.held_back(logits)
    war, uar = metrics.war_uar(mean.argmax(1), labels)
    bins = []
    for low, high in ((0, 0.4), (0.4, 0.6), (0.6, 0.8), (0.8, 0.9), (0.9, 0.98), (0.98, 1.01)):
        inside = (agree >= low) & (agree < high)
        bins.append({"from": low, "to": min(high, 1.0), "count": int(inside.sum()), "accuracy": float(right[inside].mean()) if inside.any() else None})
    at = lambda mask: float(right[mask].mean()) if mask.any() else None
    return {
        "count": len(labels), "war": war, "uar": uar, "ece": metrics.ece(mean, labels),
        "recall": {c: (None if np.isnan(r) else float(r)) for c, r in zip(CLASSES, metrics.recalls(mean.argmax(1), labels))},
        "agreement": float(agree.mean()), "agreement-bins": bins,
        "agreement-tenths": tenths(agree, right),
        "accuracy-from-0.8": at(agree >= 0.8), "accuracy-below-0.6": at(agree < 0.6), "share-below-0.6": float((agree < 0.6).mean()),
        "abstained": float(held.mean()), "war-answered": at(~held),
        "agreement-auc": float(roc_auc_score(right, agree)) if 0 < right.sum() < len(right) else None,
        "reliability": metrics.reliability(mean, labels),
    }


def tenths(agree: np.ndarray, right: np.ndarray) -> list[dict]:
    """Accuracy of the least agreeing tenth of the decisions, the next tenth, and so on."""
    order = np.argsort(agree, kind="stable")
    return [{"to": float(agree[part[-1]]), "accuracy": float(right[part].mean())} for part in np.array_split(order, 10) if len(part)]


RIGHT = 2 / 3
"""How often an answer has to be right to be shown."""


def gates(calibration: Calibration, logits: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """(min-agreement, min-confidence), in steps of 0.025. min-agreement: the lowest from which on answers within 0.05, fifty of
    them and more, are right two times out of three. min-confidence: the probability at which a logistic regression on its logit
    (all windows, Platt's scaling) expects as much; answers near it alone are too few for a rule that another draw confirms."""
    mean, agree = calibration.mean(logits), calibration.agreement(logits)
    right = mean.argmax(1) == labels
    least_agreement = 0.8
    for least in np.arange(0.3, 0.8, 0.025):
        near = (agree >= least) & (agree < least + 0.05)
        if near.sum() >= 50 and right[near].mean() >= RIGHT:
            least_agreement = round(float(least), 3)
            break
    return least_agreement, round(0.025 * round(likely(mean.max(1), right) / 0.025), 3)


def likely(confidence: np.ndarray, right: np.ndarray) -> float:
    """The probability, 0.3 to 0.8, from which on answers are right `RIGHT` of the time by a logistic regression."""
    if right.all() or not right.any():
        return 0.3 if right.all() else 0.8
    logit = lambda p: np.log(p / (1 - p))
    line = LogisticRegression(C=1e6).fit(logit(np.clip(confidence, 1e-3, 1 - 1e-3))[:, None], right)
    slope, offset = float(line.coef_[0, 0]), float(line.intercept_[0])
    if slope <= 0:
        return 0.8
    return float(np.clip(1 / (1 + np.exp(-(logit(RIGHT) - offset) / slope)), 0.3, 0.8))


def figures(head, real: dict, sequences, calibration: Calibration) -> dict:
    """Every figure of the card."""
    out = {key.replace("_", "-"): value for key, value in vars(calibration).items()}
    mixed = list(mixed_windows(real["valid"]))
    labels, clear = truths(mixed)
    out["valid-mixed"] = judge(calibration, answers(head, mixed)[clear], labels[clear])
    splits = [split for split in ("valid", "test") if split in real]
    for split in splits:
        bank = real[f"{split}-stills"]
        out[f"{split}-stills"] = judge(calibration, answers(head, frozen_windows(bank.embeddings)), bank.labels.numpy())
        bank = real[split]
        out[f"{split}-drifting"] = judge(calibration, answers(head, still_windows(bank)), bank.labels.numpy())
    if "test" in real:
        mixed = list(mixed_windows(real["test"]))
        labels, clear = truths(mixed)
        out["test-mixed"] = judge(calibration, answers(head, mixed)[clear], labels[clear])
    if sequences is not None:
        for split in splits:
            windows = list(rendered_windows(sequences, split))
            labels, clear = truths(windows)
            logits, labels = answers(head, windows)[clear], labels[clear]
            film = np.concatenate([np.arange(len(batch[1])) % (len(batch[1]) // 3) + BATCH * k for k, batch in enumerate(windows)])[clear]
            out[f"syndfer-{split}"] = judge(calibration, logits, labels)
            out[f"syndfer-{split}"] |= {"films": len(np.unique(film)), "ece-by-chance": metrics.ece_by_chance(calibration.mean(logits), film)}
            if split == "valid":
                own = min(TEMPERATURES, key=lambda t: metrics.ece(distribution(logits, t).mean(1), labels))
            out[f"syndfer-{split}"] |= {"own-temperature": float(own), "own-ece": metrics.ece(distribution(logits, own).mean(1), labels)}
    return out


def lines(figures: dict) -> list[str]:
    rows = [", ".join(f"{key} {value:.3f}" for key, value in figures.items() if isinstance(value, float))]
    for name, f in figures.items():
        if isinstance(f, dict) and "war" in f:
            percent = lambda v: "-" if v is None else f"{100 * v:.1f}"
            rows.append(f"{name}: WAR {percent(f['war'])} UAR {percent(f['uar'])} ECE {f['ece']:.3f} agreement {f['agreement']:.3f}; "
                        f">=0.8: {percent(f['accuracy-from-0.8'])}, <0.6: {percent(f['accuracy-below-0.6'])} ({percent(f['share-below-0.6'])} % of all); "
                        f"answers {percent(1 - f['abstained'])} % at {percent(f['war-answered'])}, AUC of agreement {percent(f['agreement-auc'])}")
    return rows
