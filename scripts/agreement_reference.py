#!/usr/bin/env python3
# SPDX-License-Identifier: MPL-2.0
"""Prints the reference values of the unit tests of src/core/agreement.rs. Needs NumPy only."""

from itertools import combinations

import numpy as np


def entropy(p):
    p = p[p > 0]
    return float(-(p * np.log2(p)).sum())


def agreement(clips):
    """1 - mean pairwise Jensen-Shannon divergence, by entropies rather than by divergences."""
    pairs = [entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2 for p, q in combinations(clips, 2)]
    return 1 - np.mean(pairs)


three = np.array([
    [0.10, 0.20, 0.05, 0.40, 0.05, 0.10, 0.10],
    [0.05, 0.15, 0.10, 0.50, 0.05, 0.05, 0.10],
    [0.60, 0.05, 0.05, 0.10, 0.10, 0.05, 0.05],
])
print(f"three clips: {agreement(three):.7f}")
print(f"first two:   {agreement(three[:2]):.7f}")
