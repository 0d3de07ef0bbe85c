# SPDX-License-Identifier: MPL-2.0
"""Stage `align`: our detector finds the landmarks of FER+, their mean becomes the template that FER+ is aligned on.

FER+ pictures are tight crops, so each is set into a wider canvas first, as it is and mirrored; the answers of all views
in which a face was found are averaged. Whoever else places faces, by landmarks that were come by in another way, gets a
template of its own (`counterpart`), so that all faces come to lie alike.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from . import common, crop, facedet, ferplus, search
from .detector_measure import detect
from .nets import Detector

SIDE = 96
SIZE = 64
"""Side of the aligned pictures."""
# Width of the picture inside the canvas of 96: the face comes to 40 to 60 pixels, what tracking windows hold.
WIDTHS = (56,)
SURE = 0.6
"""Score of a face whose landmarks may shape a template."""


def canvas(image: np.ndarray, width: int) -> np.ndarray:
    """[48, 48] grey -> [96, 96, 3], the picture in the middle, its border repeated and blurred around it."""
    big = cv2.resize(image, (width, width), interpolation=cv2.INTER_LINEAR)
    before = (SIDE - width) // 2
    after = SIDE - width - before
    out = cv2.copyMakeBorder(big, before, after, before, after, cv2.BORDER_REPLICATE)
    soft = cv2.GaussianBlur(out, (0, 0), 4)
    soft[before:before + width, before:before + width] = big
    return np.repeat(soft[..., None], 3, 2)


def find(network, images: np.ndarray, device, least: float = 0.3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Landmarks [N, 5, 2] and boxes [N, 4] in unit coordinates of the pictures, and scores [N] (0: no face found)."""
    marks, boxes, weight = np.zeros((len(images), 5, 2)), np.zeros((len(images), 4)), np.zeros(len(images))
    best = np.zeros(len(images))
    for width in WIDTHS:
        for mirrored in (False, True):
            for start in range(0, len(images), 64):
                views = np.stack([canvas(i, width) for i in images[start:start + 64]])
                views = np.ascontiguousarray(views[:, :, ::-1]) if mirrored else views
                with common.autocast(device):
                    answers = detect(network, views, device, least)
                for k, (box, mark, score) in enumerate(answers, start):
                    if not len(score):
                        continue
                    box, mark = box[0].copy(), mark[0]
                    if mirrored:
                        box[[0, 2]] = SIDE - box[[2, 0]]
                        mark = (np.array([SIDE, 0]) + mark * np.array([-1, 1]))[facedet.MIRRORED]
                    low = (SIDE - width) // 2
                    marks[k] += score[0] * (mark - low) / width
                    boxes[k] += score[0] * (box - low) / width
                    weight[k] += score[0]
                    best[k] = max(best[k], score[0])
    safe = np.maximum(weight, 1e-9)
    return marks / safe[:, None, None], boxes / safe[:, None], best


def frontal(marks: np.ndarray) -> np.ndarray:
    """Which of the faces with landmarks [N, 5, 2] have the nose between the eyes: [N]."""
    eyes = marks[:, 1, 0] - marks[:, 0, 0]
    middle = (marks[:, 0, 0] + marks[:, 1, 0]) / 2
    return np.abs(marks[:, 2, 0] - middle) < 0.2 * np.maximum(eyes, 1e-6)


def symmetric(marks: np.ndarray) -> np.ndarray:
    """Landmarks [5, 2] (unit square), averaged with their mirror image."""
    return (marks + (np.array([1, 0]) + marks * np.array([-1, 1]))[facedet.MIRRORED]) / 2


def template(marks: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The mean landmarks [5, 2], made symmetric, of surely found, frontal faces."""
    return symmetric(marks[(scores >= SURE) & frontal(marks)].mean(0))


def box_in_crop(marks: np.ndarray, boxes: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Where the face box (x, y, w, h) comes to lie, on average, when landmarks are carried onto the template `shape`."""
    placed = [facedet.turned_boxes(b[None], crop.fit_similarity(m, shape))[0] for m, b in zip(marks, boxes)]
    x0, y0, x1, y1 = np.median(placed, 0)
    width = x1 - x0
    return np.array([0.5 - width / 2, y0, width, y1 - y0])


def counterpart(theirs: np.ndarray, ours: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Where landmarks `theirs` [N, 5, 2] of faces should go, [5, 2] and symmetric, so that the faces lie as they do when `ours`,
    the same faces' landmarks by `find`, are carried onto `shape`. All in one picture's coordinates a face."""
    matrices = [crop.fit_similarity(marks, shape) for marks in ours]
    return symmetric(np.median([marks @ m[:, :2].T + m[:, 2] for marks, m in zip(theirs, matrices)], 0))


@dataclass
class Framing:
    """Landmarks [N, 5, 2] of photographed faces, in pixels: as labelled, as the plugin finds them (and their boxes [N, 4]:
    x0, y0, x1, y1), and as `find` does when the face is cut out as FER+'s are."""

    labelled: np.ndarray
    live: np.ndarray
    boxes: np.ndarray
    cut: np.ndarray


def photographed(network, photos: list, tight: np.ndarray, device, least: float = 60) -> Framing:
    """Frontal faces, `least` pixels high and more, that are found both ways; ValueError when there are none.
    `tight` [5, 2]: where landmarks lie in FER+'s pictures."""
    one = lambda image, low: detect(network, image[None], device, low)[0]
    rows, pictures, matrices = [], [], []
    for photo in photos:
        grey = cv2.cvtColor(photo.levels[0], cv2.COLOR_RGB2GRAY)
        for box, marks in zip(photo.boxes, photo.landmarks):
            if box[3] - box[1] < least or not frontal(marks[None])[0]:
                continue
            seen = search.follow(one, photo.levels[0], box, SURE)
            if seen:
                matrices.append(crop.fit_similarity(marks, tight))
                pictures.append(crop.draw(grey, matrices[-1], ferplus.SIZE))
                rows.append((marks, seen[1], seen[0]))
    if not rows:
        raise ValueError(f"none of the {len(photos)} photographs shows a frontal face {least:.0f} pixels high that the detector finds: "
                         "the live template needs some")
    cut, _, scores = find(network, np.stack(pictures), device)
    cut = np.stack([(c - m[:, 2]) @ np.linalg.inv(m[:, :2]).T for c, m in zip(cut, matrices)])
    return Framing(*(np.stack(column)[scores >= SURE] for column in zip(*rows)), cut[scores >= SURE])


def plausible(marks: np.ndarray, scores: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Faces whose landmarks may be trusted: found, and the crop they ask for is a turn under 45 degrees and a scale of 0.6 to 1.7."""
    good = scores >= 0.4
    for i in np.flatnonzero(good):
        m = crop.fit_similarity(marks[i], shape)
        scale, turn = np.hypot(m[0, 0], m[1, 0]), np.degrees(np.arctan2(m[1, 0], m[0, 0]))
        good[i] = 0.6 < scale < 1.7 and abs(turn) < 45
    return good


def strangers(root: Path, work: Path, size: int, least: int = 36) -> np.ndarray:
    """Aligned faces [N, size, size] of facedet's photographs, of `least` pixels in height and more, by their labelled landmarks."""
    shape = crop.place(work / "crop.json", "labelled")
    out = []
    for photo in facedet.load(root, root, "train"):
        grey = cv2.cvtColor(photo.levels[0], cv2.COLOR_RGB2GRAY)
        tall = photo.boxes[:, 3] - photo.boxes[:, 1] >= least
        out += [crop.aligned(grey, marks, shape, size) for marks in photo.landmarks[tall]]
    return np.stack(out) if out else np.zeros((0, size, size), np.uint8)


def main(argv: list[str]) -> None:
    """Writes aligned-SPLIT.npz (images [N, SIZE, SIZE], found [N], landmarks, boxes) and crop.json to the scratch folder.

    crop.json, all in unit coordinates of the crop: `template` of landmarks by `find`, `labelled` of facedet's labels, `live` of
    the plugin's landmarks and `box`, where its face boxes come to lie.
    """
    p = common.parser("align", __doc__)
    p.add_argument("--ferplus", type=Path, help="unzipped FER+ (default: DATA/ferplus)")
    p.add_argument("--facedet", type=Path, help="facedet, unzipped (default: DATA/facedet)")
    p.add_argument("--detector", type=Path, help="detector checkpoint (default: WORK/detector.pt)")
    args = p.parse_args(argv)
    device = common.setup(args)
    log, root, work = common.Log(args.work / "align.log"), args.ferplus or args.data / "ferplus", args.work
    network = Detector().to(device, memory_format=torch.channels_last)
    common.load_weights(args.detector or work / "detector.pt", network)
    for split in ("train", "valid", "test"):
        if (work / f"aligned-{split}.npz").exists():
            continue
        faces = ferplus.load(root, split)
        marks, boxes, scores = find(network, faces.images, device)
        # A template that others have built upon stays as it is.
        if split == "train" and not (work / "crop.json").exists():
            shape = template(marks, scores)
            common.write_text(work / "crop.json", json.dumps({"template": shape.tolist()}))
        shape = crop.place(work / "crop.json", "template")
        found = plausible(marks, scores, shape)
        whole = np.array([[1, 0, 0], [0, 1, 0.0]]) / ferplus.SIZE
        images = np.stack([crop.aligned(i, m * ferplus.SIZE, shape, SIZE) if ok else crop.draw(i, whole, SIZE)
                           for i, m, ok in zip(faces.images, marks, found)])
        with common.replacing(work / f"aligned-{split}.npz") as file:
            np.savez(file, images=images, found=found, landmarks=marks, boxes=boxes, scores=scores)
        log(f"aligned {split}: {found.sum()} of {len(found)} pictures ({100 * found.mean():.1f} %)")
    place = json.loads((work / "crop.json").read_text())
    if "live" not in place:
        shape = np.array(place["template"])
        with np.load(work / "aligned-train.npz") as file:
            tight = template(file["landmarks"], file["scores"])
        photos = args.facedet or args.data / "facedet"
        faces = photographed(network, facedet.load(photos, photos, "train"), tight, device)
        live = counterpart(faces.live, faces.cut, shape)
        place |= {"labelled": counterpart(faces.labelled, faces.cut, shape).tolist(), "live": live.tolist(),
                  "box": box_in_crop(faces.live, faces.boxes, live).tolist()}
        common.write_text(work / "crop.json", json.dumps(place))
        log(f"framing by {len(faces.cut)} photographed faces: {json.dumps(place)}")
