# SPDX-License-Identifier: MPL-2.0
"""DFEW and FERV39k: tiny trees in exactly the published layouts."""

import json

import cv2
import numpy as np
import pytest
import torch

from dfer_training import common, dataset_run, dfew, ferv39k, head, temporal
from dfer_training.nets import Encoder


def picture(path, shade):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.full((40, 40, 3), shade, np.uint8)
    cv2.circle(image, (20, 20), 9, (255 - shade, 90, shade), 3)
    assert cv2.imwrite(str(path), image)


@pytest.fixture
def dfew_tree(tmp_path):
    root = tmp_path / "DFEW"
    for split, names in (("train", range(1, 9)), ("test", range(9, 12))):
        for fold in range(1, 6):
            table = root / "EmoLabel_DataSplit" / f"{split}(single-labeled)" / f"set_{fold}.csv"
            table.parent.mkdir(parents=True, exist_ok=True)
            table.write_text("video_name,label\n" + "".join(f"{n},{n % 7 + 1}\n" for n in names))
    for n in range(1, 12):
        for k in range(3 + n % 3):
            picture(root / "Clip" / "clip_224x224" / f"{n:05d}" / f"{n:05d}_{k:05d}.jpg", 20 * n)
    return root


@pytest.fixture
def ferv_tree(tmp_path):
    root = tmp_path / "FERV39k"
    names = ["Angry", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise"]
    for split, first in (("train", 0), ("test", 100)):
        table = root / "4_setups" / "All_scenes" / f"{split}_All.csv"
        table.parent.mkdir(parents=True, exist_ok=True)
        lines = [f"Action/{name}/{first + i:04d} {name}" for i, name in enumerate(names)]
        table.write_text("\n".join(lines) + "\n")
        for i, line in enumerate(lines):
            for k in range(2):
                picture(root / "2_ClipsforFaceCrop" / line.split()[0] / f"{k:03d}.jpg", 30 * i)
    return root


def test_dfew_layout(dfew_tree):
    splits = dfew.load(dfew_tree, 3)
    assert len(splits["train"]) == 8 and len(splits["test"]) == 3
    assert [c.label for c in splits["test"]] == [9 % 7, 10 % 7, 11 % 7]
    first = splits["train"][0]
    assert first.name == "1" and len(first.pictures) == 4 and first.pictures == tuple(sorted(first.pictures))


def test_dfew_says_what_is_wrong(dfew_tree):
    with pytest.raises(ValueError, match="folds 1 to 5"):
        dfew.load(dfew_tree, 6)
    table = dfew_tree / "EmoLabel_DataSplit" / "test(single-labeled)" / "set_2.csv"
    table.write_text("video_name,label\n9,8\n")
    with pytest.raises(ValueError, match="line 2: label '8'"):
        dfew.load(dfew_tree, 2)
    table.write_text("name,label\n9,1\n")
    with pytest.raises(ValueError, match="video_name, label"):
        dfew.load(dfew_tree, 2)
    table.unlink()
    with pytest.raises(FileNotFoundError, match="test clips of fold 2"):
        dfew.load(dfew_tree, 2)
    for p in (dfew_tree / "Clip" / "clip_224x224" / "00003").iterdir():
        p.unlink()
    with pytest.raises(ValueError, match="00003: a clip without pictures"):
        dfew.load(dfew_tree, 1)


def test_ferv39k_layout(ferv_tree):
    splits = ferv39k.load(ferv_tree)
    assert [c.label for c in splits["train"]] == [3, 5, 6, 0, 2, 1, 4]
    assert splits["test"][0].name == "Action/Angry/0100" and len(splits["test"][0].pictures) == 2


def test_ferv39k_says_what_is_wrong(ferv_tree):
    table = ferv_tree / "4_setups" / "All_scenes" / "train_All.csv"
    table.write_text("Action/Angry/0000 Furious\n")
    with pytest.raises(ValueError, match="line 1: 'path class'"):
        ferv39k.load(ferv_tree)
    table.write_text("Action/Angry/0777 Angry\n")
    with pytest.raises(FileNotFoundError, match="0777"):
        ferv39k.load(ferv_tree)


@pytest.mark.parametrize("backbone", ["encoder", "resnet18"])
def test_trains_and_evaluates_every_test_clip(dfew_tree, tmp_path, backbone, monkeypatch):
    """By the shipped encoder, frozen, or a backbone of its own."""
    work = tmp_path / "work"
    command = ["--work", str(work), "--dataset", "dfew", str(dfew_tree), "--fold", "1", "--backbone", backbone, "--epochs", "2"]
    head.main(command)
    read = lambda: json.loads((work / "metrics-datasets.json").read_text())[f"dfew-1-{backbone}"]
    figures = read()
    assert figures["clips"] == 3 and np.sum(figures["confusion"]) == 3
    assert 0 <= figures["war"] <= 1 and figures["fold"] == 1
    state = common.load_checkpoint(work / f"dfew-1-{backbone}.pt")
    temporal.Head(state["features"], width=96, move=24).load_state_dict(state["head"])
    # Again: no picture is looked at, but with a fresh start.
    monkeypatch.setattr(dataset_run, "look", None)
    head.main(command)
    assert read() == figures
    with pytest.raises(TypeError):
        head.main([*command, "--fresh"])


def test_a_backbone_goes_on_after_its_last_whole_epoch(dfew_tree, tmp_path, monkeypatch):
    clips, looked, look = dfew.load(dfew_tree, 1)["train"], [], dataset_run.look

    def counted(clip, backbone):
        looked.append(clip.name)
        if len(looked) == kill_at:
            raise KeyboardInterrupt
        return look(clip, backbone)

    def run(name):
        torch.manual_seed(0)
        backbone = dataset_run.ResNet18()
        dataset_run.teach_frames(backbone, clips, 2, 1, torch.device("cpu"), print, tmp_path / f"{name}.pt")
        return backbone.state_dict()

    monkeypatch.setattr(dataset_run, "look", counted)
    kill_at = 0
    whole = run("whole")
    looked.clear()
    kill_at = len(clips) + 3
    with pytest.raises(KeyboardInterrupt):
        run("parts")
    parts = run("parts")
    assert len(looked) == kill_at + len(clips)
    assert all(torch.allclose(whole[k].float(), parts[k].float(), atol=1e-5) for k in whole)


def test_ferv39k_through_the_stage(ferv_tree, tmp_path):
    work = tmp_path / "work"
    common.save_checkpoint(work / "encoder.pt", {"average": Encoder().state_dict()})
    head.main(["--work", str(work), "--dataset", "ferv39k", str(ferv_tree), "--epochs", "1", "--encoder", str(work / "encoder.pt")])
    assert json.loads((work / "metrics-datasets.json").read_text())["ferv39k-encoder"]["clips"] == 7


def test_options_of_the_other_training_are_refused(tmp_path, capsys):
    for command, named in ((["--dataset", "dfew", str(tmp_path), "--steps", "9", "--test"], "--steps, --test"), (["--epochs", "9"], "--epochs")):
        with pytest.raises(SystemExit):
            head.main(["--work", str(tmp_path), *command])
        assert f"error: {named}: of no use" in capsys.readouterr().err


def test_unknown_dataset(tmp_path):
    with pytest.raises(ValueError, match="dfew and ferv39k, not 'other'"):
        head.main(["--work", str(tmp_path), "--dataset", "other", str(tmp_path)])
