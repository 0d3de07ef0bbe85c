# SPDX-License-Identifier: MPL-2.0
"""Stages `head` and `evaluate` from files to figures, on a tiny tree in the layouts that they read."""

import csv
import json

import cv2
import numpy as np
import pytest
import torch

from dfer_training import CLASSES, evaluate, export, ferplus, head, head_measure, head_robust
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
    # The card tells of the exported head: one on trial leaves its figures beside itself.
    head.main([*folders, "--steps", "1", "--batch", "8", "--name", "try"])
    assert json.loads((tmp_path / "models" / "metrics-head.json").read_text())["head"] == first
    assert json.loads((tmp_path / "work" / "try-figures.json").read_text())["try"]["valid-stills"]["count"] == PICTURES


@pytest.mark.parametrize("stage, options", [(evaluate, ["--only", "head"]), (export, ["--only", "head"]), (head_robust, [])])
def test_a_head_of_another_encoder_is_refused(folders, tmp_path, stage, options):
    torch.save({"encoder": "another"}, tmp_path / "work" / "head.pt")
    with pytest.raises(ValueError, match="trained on another encoder"):
        stage.main([*folders, *options])


def test_without_footage_the_figures_of_earlier_networks_go(folders, tmp_path):
    figures = tmp_path / "models" / "metrics.json"
    figures.write_text(json.dumps({"footage": {"a.mp4": {}}, "encoder": {"temperature": 1}}))
    evaluate.main([*folders, "--only", "footage"])
    assert json.loads(figures.read_text()) == {"encoder": {"temperature": 1}}


@pytest.mark.parametrize("stage", [evaluate, export, head_robust, head])
def test_a_fresh_start_is_offered_where_a_stage_resumes(folders, stage, capsys):
    with pytest.raises(SystemExit):
        stage.main([*folders, "--fresh"])
    assert "--fresh" in capsys.readouterr().err
