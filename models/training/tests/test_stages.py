# SPDX-License-Identifier: MPL-2.0
"""Stages `head` and `evaluate` from files to figures, on a tiny tree in the layouts that they read."""

import csv
import json

import cv2
import numpy as np
import pytest
import torch

from dfer_training import CLASSES, evaluate, ferplus, head, head_measure
from dfer_training.nets import Encoder

PICTURES, FRAMES = 14, 45
"""Of every split of FER+, two of each class; of every film."""


@pytest.fixture
def folders(tmp_path):
    """DATA with FER+, WORK with an encoder and three films, one of each split: the options that name them."""
    rng = np.random.default_rng(0)
    root = tmp_path / "data" / "ferplus"
    rows = []
    for split in ("train", "valid", "test"):
        (root / split).mkdir(parents=True)
        for i in range(PICTURES):
            name = f"{split}{i}.png"
            cv2.imwrite(str(root / split / name), rng.integers(0, 256, (ferplus.SIZE,) * 2, dtype=np.uint8))
            rows.append([name, split, *(10 * (column == CLASSES[i % 7]) for column in ferplus.COLUMNS)])
    with open(root / "labels.csv", "w", newline="") as file:
        csv.writer(file).writerows([["file", "split", *ferplus.COLUMNS], *rows])

    work = tmp_path / "work"
    (work / "synth" / "seq").mkdir(parents=True)
    torch.manual_seed(0)
    torch.save({"average": Encoder().state_dict()}, work / "encoder.pt")
    identity = np.array([0, 8, 9])  # train, valid, test
    weights = np.zeros((len(identity) * FRAMES, 7))
    weights[:, 0] = 1
    np.savez(work / "synth" / "seq" / "part-000.npz", lengths=np.full(3, FRAMES), labels=np.zeros(3, int), identity=identity,
             images=rng.integers(0, 256, (len(weights), 64, 64), dtype=np.uint8), weights=weights,
             occluded=np.zeros(len(weights)), angles=np.zeros((len(weights), 3)))
    models = tmp_path / "models"
    models.mkdir()
    return ["--data", str(tmp_path / "data"), "--work", str(work), "--models", str(models)]


def test_evaluation_repeats_what_stage_head_measured(folders, tmp_path, monkeypatch):
    composed = head_measure.mixed_windows
    monkeypatch.setattr(head_measure, "mixed_windows", lambda bank, count=0: composed(bank, head_measure.BATCH))
    head.main([*folders, "--steps", "2", "--batch", "8", "--revise", "1", "--test"])
    evaluate.main([*folders, "--only", "head"])
    first = json.loads((tmp_path / "models" / "metrics-head.json").read_text())["head"]
    again = json.loads((tmp_path / "models" / "metrics.json").read_text())["head"]
    sets = [name for name, value in first.items() if isinstance(value, dict)]
    assert {"valid-stills", "test-stills", "test-drifting", "test-mixed", "syndfer-valid", "syndfer-test"} <= set(sets)
    assert first["test-stills"]["count"] == PICTURES and first["syndfer-test"]["films"] == 1
    for name in sets:
        assert again[name] == first[name]


def test_a_head_of_another_encoder_is_refused(folders, tmp_path):
    torch.save({"encoder": "another"}, tmp_path / "work" / "head.pt")
    with pytest.raises(ValueError, match="trained on another encoder"):
        evaluate.main([*folders, "--only", "head"])
