#!/usr/bin/env python3
# SPDX-License-Identifier: MPL-2.0
"""The figures of `dfer evaluate --json FILE` once more, by NumPy and scikit-learn, from the predictions in the same file.

Prints each figure both ways; exit status 1 when one differs. Every sample has to have an answer.
"""

import json
import sys

import numpy as np
from sklearn.metrics import accuracy_score, confusion_matrix, precision_score, recall_score


def ece(p: np.ndarray, truth: np.ndarray, bins: int = 15) -> float:
    """Guo et al. 2017: bins of equal width, each with its upper edge."""
    top, right = p.max(1), p.argmax(1) == truth
    edges = np.linspace(0, 1, bins + 1)
    inside = [(top > low) & (top <= high) for low, high in zip(edges, edges[1:])]
    return sum(m.mean() * abs(right[m].mean() - top[m].mean()) for m in inside if m.any())


def main() -> int:
    report = json.load(open(sys.argv[1], encoding="utf-8"))
    classes, rows, m = report["classes"], report["predictions"], report["metrics"]
    if any(row["answer"] is None for row in rows):
        sys.exit("a sample has no answer: such count as wrong, which scikit-learn does not know")
    truth = np.array([classes.index(row["label"]) for row in rows])
    p = np.array([row["probabilities"] for row in rows])
    guess, kinds = p.argmax(1), np.arange(len(classes))
    seen = np.isin(kinds, truth)
    recall = recall_score(truth, guess, labels=kinds, average=None, zero_division=0)
    precision = precision_score(truth, guess, labels=kinds, average=None, zero_division=0)
    ours = {"WAR": m["war"], "UAR": m["uar"], "ECE": m["ece"], "confusion": [row[:-1] for row in m["confusion"]],
            "recall": [c["recall"] or 0.0 for c in m["classes"]], "precision": [c["precision"] or 0.0 for c in m["classes"]]}
    theirs = {"WAR": accuracy_score(truth, guess), "UAR": recall[seen].mean(), "ECE": ece(p, truth),
              "confusion": confusion_matrix(truth, guess, labels=kinds), "recall": np.where(seen, recall, 0), "precision": precision}
    agreement = np.array([row["agreement"] for row in rows], float)
    if np.isfinite(agreement).all():
        right = guess == truth
        bins = np.minimum((agreement * 10).astype(int), 9)
        kept = [b for b in range(10) if (bins == b).any()]
        ours["agreement bins"] = [[b["share"], b["accuracy"]] for b in m["agreement"]]
        theirs["agreement bins"] = [[(bins == b).mean(), right[bins == b].mean()] for b in kept]
        order = np.sort(agreement)[::-1]
        ours["coverage"] = [[c["coverage"], c["accuracy"], c["min-agreement"]] for c in m["coverage"]]
        # What a threshold lets through: all who agree as much as the last that is wanted.
        least = dict.fromkeys(order[-(-len(rows) * tenth // 10) - 1] for tenth in range(10, 0, -1))
        theirs["coverage"] = [[(agreement >= t).mean(), right[agreement >= t].mean(), t] for t in least]
    same = True
    for name, value in ours.items():
        a, b = np.asarray(value, float), np.asarray(theirs[name], float)
        gap = float(np.abs(a - b).max()) if a.shape == b.shape else float("inf")
        same &= gap < 1e-9
        print(f"{name}: largest difference {gap:.1e}" + (f" ({float(a):.6f})" if a.ndim == 0 else ""))
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
