# SPDX-License-Identifier: MPL-2.0
"""The plugin's two looks at a picture (`src/core/find.rs`, `refine.rs`): what the whole picture suggests is looked at again, enlarged.

`detect(image, least)` -> (boxes, landmarks, scores) of one RGB picture, whatever runs the network.
"""

import cv2
import numpy as np

from . import crop
from .facedet import MIRRORED

FRAME = (320, 192)
MULTIPLE = 32
TRACK = 96
DETAIL = 2
SURE = 1.5
SUGGEST = 0.3
FOLLOW = 0.6
MOST = 16


def frame_for(size: tuple) -> tuple[int, int]:
    """Width and height of what the network sees first of a picture of `size`: the shape, in multiples of 32, that shows it
    largest at the cost of 320x192 and a fifteenth of it at most."""
    most, best = FRAME[0] * FRAME[1] * 16 // 15, None
    for width in range(MULTIPLE, most // MULTIPLE + 1, MULTIPLE):
        needed = -(-width * size[1] // (size[0] * MULTIPLE)) * MULTIPLE
        height = min(needed, most // width // MULTIPLE * MULTIPLE)
        worth = min(width / size[0], height / size[1]), -width * height
        if best is None or worth > best[0]:
            best = worth, (width, height)
    return best[1]


def letterbox(image: np.ndarray, size: tuple = FRAME) -> tuple[np.ndarray, float]:
    """The whole picture at the top left of a black canvas of `size` (width, height), and its scale."""
    h, w = image.shape[:2]
    scale = min(size[0] / w, size[1] / h)
    inner = (max(1, round(w * scale)), max(1, round(h * scale)))
    out = np.zeros((size[1], size[0], 3), np.uint8)
    out[:inner[1], :inner[0]] = cv2.resize(image, inner, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    return out, scale


def window(image: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The tracking window around a box, 2.4 times its height, and the matrix from picture to window pixels."""
    side = 2.4 * (box[3] - box[1])
    m = np.array([[1, 0, side / 2 - (box[0] + box[2]) / 2], [0, 1, side / 2 - (box[1] + box[3]) / 2]]) / side
    return np.stack([crop.draw(np.ascontiguousarray(image[..., c]), m, TRACK) for c in range(3)], -1), m * TRACK


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes."""
    inter = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod()
    return float(inter / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - inter))


def follow(detect, image: np.ndarray, box: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray, float] | None:
    """The face that is expected at `box`: box, landmarks (pixels), score. Seen twice, as it is and mirrored."""
    view, m = window(image, box)
    back = lambda p: (p - m[:, 2]) / m[0, 0]
    seen = []
    for mirrored in (False, True):
        boxes, marks, scores = detect(np.ascontiguousarray(view[:, ::-1]) if mirrored else view, least)
        if mirrored:
            boxes = np.array([TRACK, 0, TRACK, 0]) + boxes[:, [2, 1, 0, 3]] * np.array([-1, 1, -1, 1])
            marks = (np.array([TRACK, 0]) + marks * np.array([-1, 1]))[:, MIRRORED]
        found = [(back(b.reshape(2, 2)).reshape(4), back(p), float(s)) for b, p, s in zip(boxes, marks, scores)]
        near = [f for f in found if overlap(f[0], box) > 0.15]
        if near:
            seen.append(max(near, key=lambda f: f[2] * overlap(f[0], box)))
    if len(seen) == 2 and overlap(seen[0][0], seen[1][0]) > 0.5:
        return tuple((a + b) / 2 for a, b in zip(*seen))
    return max(seen, key=lambda f: f[2] * overlap(f[0], box), default=None)


def looks(detect, image: np.ndarray, least: float) -> list[tuple]:
    """(face, face again or None) of everything that scores `least` at first; a face is box, landmarks, score."""
    size = frame_for(image.shape[1::-1])
    fine, scale = letterbox(image, (size[0] * DETAIL, size[1] * DETAIL))
    small = cv2.resize(fine, size, interpolation=cv2.INTER_AREA)
    home = lambda face: face and (face[0] / scale, face[1] / scale, float(face[2]))
    first = [(b * DETAIL, m * DETAIL, s) for b, m, s in zip(*detect(small, least))]
    return [(home(face), home(follow(detect, fine, face[0], FOLLOW * least / SUGGEST))) for face in first]


def decide(seen: list[tuple], threshold: float) -> list[tuple]:
    """The faces among `looks` at a score threshold: those the first look is sure of and, of the rest, those both looks
    together speak for."""
    out = [f for f, _ in seen if f[2] >= SURE * threshold]
    doubtful = [(f, g) for f, g in seen if SUGGEST * threshold <= f[2] < SURE * threshold][:MOST]
    both = [(*g[:2], (f[2] + g[2]) / 2) for f, g in doubtful if g]
    for face in sorted((f for f in both if f[2] >= threshold), key=lambda f: -f[2]):
        if not any(overlap(face[0], f[0]) > 0.5 for f in out):
            out.append(face)
    return out


def find(detect, image: np.ndarray, threshold: float) -> list[tuple]:
    """Faces of a picture: boxes, landmarks (pixels) and scores, those sure at once first."""
    return decide(looks(detect, image, SUGGEST * threshold), threshold)
