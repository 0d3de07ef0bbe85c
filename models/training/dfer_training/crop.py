# SPDX-License-Identifier: MPL-2.0
"""From a face in a picture to the square grey crop that the encoder sees: the same rule as the runtime's."""

import json
import math
from pathlib import Path

import cv2
import numpy as np

from . import common


def place(path: Path, key: str) -> np.ndarray:
    """What stage align found and wrote to crop.json, in unit coordinates of the crop: a template [5, 2] (`template`, `labelled`,
    `live`) or the face box (x, y, w, h) (`box`). ValueError when the file has none, as an older stage wrote it."""
    known = json.loads(common.need(path, "what stage align found of the crop").read_text())
    if key not in known:
        raise ValueError(f"{path} says nothing of `{key}`: an older recipe wrote it; run stage align again")
    return np.array(known[key], float)


def fit_similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """2x3 matrix of the similarity (no mirror) that carries points source [n, 2] to target [n, 2] in least squares."""
    a, b = source - source.mean(0), target - target.mean(0)
    power = max(float((a ** 2).sum()), 1e-12)
    c = float((a * b).sum()) / power
    s = float((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum()) / power
    m = np.array([[c, -s], [s, c]])
    return np.concatenate([m, (target.mean(0) - m @ source.mean(0))[:, None]], 1)


def from_box(box: np.ndarray, place: np.ndarray) -> np.ndarray:
    """2x3 matrix from picture to unit square that puts the face box (x0, y0, x1, y1) on `place` (x, y, w, h).

    One scale for both axes, from the heights: the width of a detected box follows the pose too much.
    """
    scale = place[3] / max(1e-6, box[3] - box[1])
    middle = np.array([place[0] + place[2] / 2, place[1] + place[3] / 2])
    shift = middle - scale * (box[:2] + box[2:]) / 2
    return np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])


def draw(image: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """`image` [h, w] uint8 through `matrix` (picture to unit square) as [size, size].

    Coordinates are continuous (a pixel's centre is at one half). When the picture shrinks, every output pixel is
    the mean of its footprint; beyond the picture its border is repeated.
    """
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0])) * size
    fine = max(1, math.ceil(1 / scale)) if scale > 0 else 1
    m = matrix * (size * fine)
    m = np.concatenate([m[:, :2], (m[:, 2] + m[:, :2].sum(1) * 0.5 - 0.5)[:, None]], 1)
    big = cv2.warpAffine(image, m, (size * fine,) * 2, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return big if fine == 1 else cv2.resize(big, (size, size), interpolation=cv2.INTER_AREA)


def aligned(image: np.ndarray, landmarks: np.ndarray, template: np.ndarray, size: int) -> np.ndarray:
    """The crop by five landmarks (pixels) onto `template` [5, 2] (unit square)."""
    return draw(image, fit_similarity(np.asarray(landmarks, np.float64), template), size)


def boxed(image: np.ndarray, box: np.ndarray, place: np.ndarray, size: int) -> np.ndarray:
    """The crop by the face box alone, for faces without landmarks."""
    return draw(image, from_box(np.asarray(box, np.float64), place), size)
