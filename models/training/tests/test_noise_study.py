# SPDX-License-Identifier: MPL-2.0
"""Label noise: how it is made, and that agreement finds it where the classes are easy."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from dfer_training import agreement, noise_study, syndfer


def easy(count: int, seed: int) -> noise_study.Samples:
    """Clips of 20 embeddings: neutral at first, then the class's own direction, with noise."""
    g = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 7
    own = torch.eye(7, 16)
    frames = torch.randn(count, 20, 16, generator=g) * 0.4
    frames[:, 8:] += own[labels][:, None] * 2.5
    frames[:, :8] += own[2] * 2.5
    return noise_study.Samples(frames, torch.full((count,), 20), labels.numpy())


def test_spoiled_labels_are_as_many_and_of_the_kind_asked_for():
    labels = np.arange(700) % 7
    for kind in ("symmetric", "look-alike"):
        out = noise_study.spoil(labels, kind, 0.2, 1)
        assert (out != labels).sum() == 140 and out.min() >= 0 and out.max() <= 6
    assert all(noise_study.LOOK_ALIKE[a] == b for a, b in zip(labels[out != labels], out[out != labels]))
    assert np.array_equal(noise_study.spoil(labels, "symmetric", 0.0, 1), labels)


def test_the_method_learns_and_finds_exchanged_labels():
    train, test = easy(420, 0), easy(140, 1)
    labels = noise_study.spoil(train.labels, "symmetric", 0.3, 2)
    head, memory = noise_study.teach(train, labels, noise_study.VARIANTS["all"], seed=1, epochs=24, width=16)
    assert (test.answers(head).mean(1).argmax(1) == test.labels).mean() > 0.9
    assert roc_auc_score(labels != train.labels, agreement.evidence(memory, labels)) > 0.9


def goal_of(p):
    """Clips [K, C]: their mean, squared and made a distribution."""
    mean = p.mean(0) ** 2
    return mean / mean.sum()


def test_revise_relabels_the_noisy_and_strengthens_the_hard():
    sure = np.full((5, 7), 0.01)
    sure[:, 3] = 0.94
    torn = np.stack([np.where(np.arange(7) == k, 0.94, 0.01) for k in (0, 1, 2, 0, 4)])
    p = np.stack([sure] * 4 + [torn] * 2)
    labels = np.array([3, 3, 3, 0, 0, 1])
    goal, weight = agreement.revise(p, labels, np.eye(7)[labels])
    assert goal[0, 3] == 1 and goal[3, 3] > 0.99
    # One label of the four that clips agree on is wrong: a quarter of a hard one's target is what the clips say.
    assert goal[4, 0] == pytest.approx(0.75 + 0.25 * goal_of(torn)[0]) and weight.tolist() == pytest.approx([1, 1, 1, 0.7, 1.15, 1.15])


def test_sequences_give_windows_of_their_own_frames():
    length = torch.tensor([4, 6])
    frames = torch.arange(10, dtype=torch.float32)[:, None].repeat(1, 3)
    sequences = syndfer.Sequences(frames.half(), torch.cumsum(length, 0) - length, length, torch.eye(7)[torch.zeros(10, dtype=torch.long)],
                                  torch.zeros(10), torch.tensor([0, 1]), np.array([3, 8]), torch.zeros(10, 3))
    assert sequences.rows("train").tolist() == [0] and sequences.rows("valid").tolist() == [1]
    window, truth, covered = sequences.window(torch.tensor([0, 1]), torch.tensor([1, 2]), torch.tensor([3, 4]), 5)
    assert window[:, :, 0].tolist() == [[1, 2, 3, 3, 3], [6, 7, 8, 9, 9]]
    assert truth.shape == (2, 5, 7) and covered.shape == (2, 5)
