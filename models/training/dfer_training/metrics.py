# SPDX-License-Identifier: MPL-2.0
"""Figures of classification: WAR, UAR, recall per class, confusion, calibration."""

import numpy as np

from . import CLASSES


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    z = logits / temperature
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def confusion(guess: np.ndarray, truth: np.ndarray, classes: int = len(CLASSES)) -> np.ndarray:
    """[classes, classes] counts; row = truth, column = answer."""
    return np.bincount(truth * classes + guess, minlength=classes * classes).reshape(classes, classes)


def recalls(guess: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Recall per class; NaN for a class that does not occur."""
    table = confusion(guess, truth)
    with np.errstate(invalid="ignore"):
        return np.diag(table) / table.sum(1)


def war_uar(guess: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Weighted average recall (plain accuracy) and unweighted average recall over the classes that occur."""
    return float((guess == truth).mean()), float(np.nanmean(recalls(guess, truth)))


def ece(probabilities: np.ndarray, truth: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error (Guo et al., arXiv 1706.04599): |accuracy - confidence| over equal-width bins."""
    return _gap(probabilities.max(1), probabilities.argmax(1) == truth, bins)


def _gap(top: np.ndarray, right: np.ndarray, bins: int) -> float:
    index = np.minimum((top * bins).astype(int), bins - 1)
    total = 0.0
    for b in range(bins):
        if (mask := index == b).any():
            total += mask.mean() * abs(right[mask].mean() - top[mask].mean())
    return float(total)


def ece_by_chance(probabilities: np.ndarray, group: np.ndarray, bins: int = 15, draws: int = 300) -> float:
    """The ECE that as few answers show on average when each is right exactly as often as it says.

    `group` [N]: answers of the same number are right or wrong together, as those to windows of one film are.
    """
    rng, top = np.random.default_rng(0), probabilities.max(1)
    _, group = np.unique(group, return_inverse=True)
    return float(np.mean([_gap(top, rng.random(group.max() + 1)[group] < top, bins) for _ in range(draws)]))


def reliability(probabilities: np.ndarray, truth: np.ndarray, bins: int = 10) -> list[dict]:
    """Per bin of the top probability: how many, their mean probability, and how many of them were right."""
    top, right = probabilities.max(1), probabilities.argmax(1) == truth
    index = np.minimum((top * bins).astype(int), bins - 1)
    return [{"from": b / bins, "count": int((m := index == b).sum()), "confidence": float(top[m].mean()),
             "accuracy": float(right[m].mean())} for b in range(bins) if (index == b).any()]


def fit_temperature(logits: np.ndarray, truth: np.ndarray) -> float:
    """The temperature of least negative log likelihood, by golden section on a log scale between 0.2 and 5."""
    def cost(log_t: float) -> float:
        p = softmax(logits.astype(np.float64), float(np.exp(log_t)))
        return float(-np.log(p[np.arange(len(truth)), truth] + 1e-12).mean())

    low, high, ratio = np.log(0.2), np.log(5.0), (5 ** 0.5 - 1) / 2
    for _ in range(50):
        a, b = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, b) if cost(a) < cost(b) else (a, high)
    return float(np.exp((low + high) / 2))
