# SPDX-License-Identifier: MPL-2.0
"""FERV39k as published (Wang et al., CVPR 2022): protocol All_scenes, face crops as folders of pictures."""

from pathlib import Path

from .common import need
from .dfew import Clip, pictures_of

_TABLES = Path("4_setups") / "All_scenes"
_CLIPS = Path("2_ClipsforFaceCrop")
_NAMES = {"happy": 0, "sad": 1, "neutral": 2, "angry": 3, "surprise": 4, "disgust": 5, "fear": 6}


def load(root: Path) -> dict[str, list[Clip]]:
    """{"train": clips, "test": clips} of the protocol over all scenes."""
    return {split: _read(root, split) for split in ("train", "test")}


def _read(root: Path, split: str) -> list[Clip]:
    table = need(root / _TABLES / f"{split}_All.csv", f"FERV39k's table of the {split} clips")
    clips = []
    for number, line in enumerate(table.read_text(encoding="utf-8-sig").splitlines(), 1):
        if not line.strip():
            continue
        # "Scene/Class/0001 Class": a path without spaces, a blank (or a comma), the class by name.
        path, _, label = line.strip().replace(",", " ").rpartition(" ")
        path = path.strip()
        if label.lower() not in _NAMES or not path:
            raise ValueError(f"{table}, line {number}: 'path class' is expected, a class of {', '.join(_NAMES)}; found {line.strip()!r}")
        clips.append(Clip(path, pictures_of(root / _CLIPS / path), _NAMES[label.lower()]))
    if not clips:
        raise ValueError(f"{table}: no clips in it")
    return clips
