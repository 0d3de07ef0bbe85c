# SPDX-License-Identifier: MPL-2.0
"""DFEW as published (Jiang et al., ACM MM 2020): single-labelled clips, five folds, aligned faces as folders of pictures."""

import csv
from dataclasses import dataclass
from pathlib import Path

from .common import need

_TABLES = Path("EmoLabel_DataSplit")
_CLIPS = Path("Clip") / "clip_224x224"
_PICTURES = {".jpg", ".jpeg", ".png"}


@dataclass(frozen=True)
class Clip:
    """One labelled clip: its name, its pictures in order, and its label (index into CLASSES)."""

    name: str
    pictures: tuple[Path, ...]
    label: int


def pictures_of(folder: Path) -> tuple[Path, ...]:
    """The pictures of a clip in order of their names; a folder without any is an error."""
    found = sorted(p for p in need(folder, "the folder of a clip's pictures").iterdir() if p.suffix.lower() in _PICTURES)
    if not found:
        raise ValueError(f"{folder}: a clip without pictures (.jpg or .png)")
    return tuple(found)


def load(root: Path, fold: int) -> dict[str, list[Clip]]:
    """{"train": clips, "test": clips} of `fold` (1 to 5). DFEW's labels 1 to 7 are our order plus one."""
    if not 1 <= fold <= 5:
        raise ValueError(f"DFEW has folds 1 to 5, not {fold}")
    return {split: _read(root, split, fold) for split in ("train", "test")}


def _read(root: Path, split: str, fold: int) -> list[Clip]:
    table = need(root / _TABLES / f"{split}(single-labeled)" / f"set_{fold}.csv", f"DFEW's table of the {split} clips of fold {fold}")
    clips = []
    with open(table, newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        columns = [c.strip() for c in reader.fieldnames or []]
        if columns != ["video_name", "label"]:
            raise ValueError(f"{table}: the columns video_name, label are expected, found {', '.join(columns) or 'none'}")
        for number, row in enumerate(reader, 2):
            name, label = row["video_name"].strip(), row["label"].strip()
            if label not in "1234567" or len(label) != 1:
                raise ValueError(f"{table}, line {number}: label {label!r} is not one of 1 to 7")
            # The tables write 1, the folders are called 00001.
            folder = root / _CLIPS / (name.zfill(5) if name.isdigit() else name)
            clips.append(Clip(name, pictures_of(folder), int(label) - 1))
    if not clips:
        raise ValueError(f"{table}: no clips in it")
    return clips
