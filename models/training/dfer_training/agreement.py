# SPDX-License-Identifier: MPL-2.0
"""Prediction agreement: of several clips with one another, and with the label.

RDFER (arXiv 2502.16129) tells three kinds of training samples apart: clips agree on the label = clean; agree on
another class = noisy; disagree = hard. The thresholds here come from the distribution of agreement itself.
"""

import numpy as np

CLEAN, HARD, NOISY = 0, 1, 2


def agreement(p: np.ndarray) -> np.ndarray:
    """1 - mean pairwise Jensen-Shannon divergence (bits) of distributions p [N, K, C]: [N] in 0..1."""
    n, k, _ = p.shape
    if k < 2:
        return np.ones(n)
    total = np.zeros(n)
    for i in range(k):
        for j in range(i + 1, k):
            m = 0.5 * (p[:, i] + p[:, j])
            total += 0.5 * (_relative(p[:, i], m) + _relative(p[:, j], m))
    return np.clip(1 - total / (k * (k - 1) / 2), 0, 1)


def _relative(p, m):
    return np.where(p > 0, p * np.log2(np.maximum(p, 1e-12) / np.maximum(m, 1e-12)), 0).sum(1)


def otsu(values: np.ndarray, bins: int = 128) -> float:
    """The threshold that best separates `values` into two groups (Otsu, 1979: largest variance between them)."""
    if len(values) == 0:
        raise ValueError("no values to separate")
    counts, edges = np.histogram(values, bins)
    middle = (edges[:-1] + edges[1:]) / 2
    low = np.cumsum(counts)
    mass = np.cumsum(counts * middle)
    high = low[-1] - low
    with np.errstate(invalid="ignore", divide="ignore"):
        between = low * high * (mass / low - (mass[-1] - mass) / high) ** 2
    between = np.nan_to_num(between[:-1])
    best = np.flatnonzero(between == between.max())
    return float(edges[1:-1][best].mean())


def evidence(p: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """[N] how strongly the clips p [N, K, C] agree on something else than the label, -1 (on the label) .. 1.

    Agreement times the margin of the best other class over the label, in the mean of the clips.
    """
    mean = p.mean(1)
    rows = np.arange(len(labels))
    own = mean[rows, labels]
    others = mean.copy()
    others[rows, labels] = 0
    return agreement(p) * (others.max(1) - own)


def verdicts(p: np.ndarray, labels: np.ndarray, threshold: float | None = None, power: float = 1.0):
    """Verdict [N] (CLEAN, HARD, NOISY), agreement [N] and the threshold between agreeing and disagreeing.

    `power` sharpens the distributions first: a network that learns from many wrong labels is unsure of everything.

    A clip set agrees when its agreement, weighted by how far its mean is from undecided, exceeds the
    threshold (Otsu's, unless given).
    """
    p = p ** power / (p ** power).sum(2, keepdims=True)
    mean = p.mean(1)
    together = agreement(p) * mean.max(1)
    threshold = otsu(together) if threshold is None else threshold
    agrees = together >= threshold
    right = mean.argmax(1) == labels
    return np.where(~agrees, HARD, np.where(right, CLEAN, NOISY)), agreement(p), threshold


def revise(p: np.ndarray, labels: np.ndarray, targets: np.ndarray, power: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """What samples are to be taught after their clips answered p [N, K, C]: targets [N, C] and weights [N].

    Clean samples as they are; noisy ones weaker, and with the clips' own answer as target, sharpened (squared, as DivideMix does, arXiv
    2002.07394); hard ones stronger. Of the samples on which clips agree a share r is noisy; as much doubt is due to
    the labels of hard ones, on which nobody can tell: r of their target is the answer, and they are strengthened the less.
    """
    verdict = verdicts(p, labels, power=power)[0]
    noisy, hard = verdict == NOISY, verdict == HARD
    answer = p.mean(1) ** 2
    answer /= answer.sum(1, keepdims=True)
    r = noisy.sum() / max(1, (~hard).sum())
    doubted = np.where(hard[:, None], (1 - r) * targets + r * answer, targets)
    return np.where(noisy[:, None], answer, doubted), np.where(hard, 1.3 - 0.6 * r, np.where(noisy, 0.7, 1.0))
