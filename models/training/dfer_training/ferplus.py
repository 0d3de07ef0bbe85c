# SPDX-License-Identifier: MPL-2.0
"""FER+: grey faces of 48x48 pixels with ten taggers' votes, and the seven-class protocol of the project."""

import csv
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from . import CLASSES
from .common import need

# The file's columns in its order; those of the seven classes carry our name.
COLUMNS = ("neutral", "happy", "surprise", "sad", "angry", "disgust", "fear", "contempt", "unknown", "nf")
SIZE = 48


@dataclass
class Faces:
    """images [N, 48, 48] uint8, votes [N, 7] (each row a distribution over `CLASSES`), labels [N], file names, and
    tally [N, 10]: the taggers' votes as they are in the file."""

    images: np.ndarray
    votes: np.ndarray
    labels: np.ndarray
    names: list[str]
    tally: np.ndarray


def protocol(votes: np.ndarray) -> np.ndarray:
    """Ten votes in column order [N, 10] -> label [N] in `CLASSES`, -1 for a picture that is left out.

    Kept: pictures whose first maximum over the ten columns is one of the seven classes. Label: the class with the
    most votes among the seven; a tie goes to the class that stands first in `CLASSES`.
    """
    order = [COLUMNS.index(c) for c in CLASSES]
    kept = np.isin(votes.argmax(1), order)
    return np.where(kept, votes[:, order].argmax(1), -1)


def majority(tally: np.ndarray) -> np.ndarray:
    """[N] bool: single votes aside, one column has more than half of the votes. Only these pictures are kept in the
    "majority" mode of FER+'s authors (arXiv 1608.01041), by which published figures are often measured."""
    counted = np.where(tally <= 1, 0, tally)
    return counted.max(1) > 0.5 * counted.sum(1)


def asked_again(tally: np.ndarray, labels: np.ndarray, rounds: int = 50, seed: int = 0) -> np.ndarray:
    """Labels [rounds, N] that other taggers of the same mind might have given: the votes of every picture drawn anew from
    its own votes. Where none falls on the seven classes the label stays as it was."""
    rng = np.random.default_rng(seed)
    order, votes = [COLUMNS.index(c) for c in CLASSES], tally.astype(np.float64)
    drawn = np.stack([rng.multinomial(votes.sum(1).astype(int), votes / votes.sum(1, keepdims=True))[:, order] for _ in range(rounds)])
    return np.where(drawn.sum(2) > 0, drawn.argmax(2), labels)


def load(root: Path, split: str) -> Faces:
    """The pictures of `split` (train, valid or test) that the protocol keeps, from the unzipped folder `root`."""
    names, rows = [], []
    with open(need(root / "labels.csv", "the FER+ table labels.csv"), newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        head = next(reader)
        if len(head) != 12:
            raise ValueError(f"{root / 'labels.csv'}: 12 columns are expected (file, split, ten votes), {len(head)} found")
        for row in reader:
            if row[1] == split:
                names.append(row[0])
                rows.append([float(v) for v in row[2:]])
    votes = np.array(rows, np.float32)
    labels = protocol(votes)
    keep = np.flatnonzero(labels >= 0)
    images = np.empty((len(keep), SIZE, SIZE), np.uint8)
    for i, k in enumerate(keep):
        path = root / names[k] if (root / names[k]).exists() else root / split / names[k]
        image = cv2.imread(str(need(path, "a FER+ picture")), cv2.IMREAD_GRAYSCALE)
        if image is None or image.shape != (SIZE, SIZE):
            raise ValueError(f"{path}: a grey picture of {SIZE}x{SIZE} pixels is expected")
        images[i] = image
    seven = votes[keep][:, [COLUMNS.index(c) for c in CLASSES]]
    return Faces(images, seven / seven.sum(1, keepdims=True), labels[keep], [names[k] for k in keep], votes[keep])
