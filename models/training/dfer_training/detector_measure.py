# SPDX-License-Identifier: MPL-2.0
"""Recall, false positives and landmark error of the detector on facedet's val split.

Every photograph is shown in the shape that the runtime would show it in. Scored: faces of 5 % of the photograph's height
and more. A detection matches at an overlap of 0.5; one on an ignore box or on a smaller face counts neither way.
"""

import numpy as np
import torch

from . import facedet, search
from .detector_loss import decode

MEAN, STD = 127.5, 64.0
# A cell has a say in where a face lies at this part of the score that a face needs.
VOTE = 0.5
SCORES = tuple(round(0.05 * i, 2) for i in range(2, 20))
SEARCHED = SCORES[6:16]
FINE = tuple(round(0.4 + 0.01 * i, 2) for i in range(31))
ALARMS = 0.05
"""False alarms a photograph at which recall is asked for."""


def iou(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    inter = np.clip(high - low, 0, None).prod(1)
    area = lambda b: (b[..., 2:] - b[..., :2]).prod(-1)
    return inter / np.maximum(area(box) + area(boxes) - inter, 1e-6)


def merge(boxes: np.ndarray, marks: np.ndarray, scores: np.ndarray, least: float, limit: float = 0.4) -> tuple:
    """Each face once, best first: boxes [n, 4], landmarks [n, 5, 2], scores [n] of faces that score `least`.

    Cells that overlap a face's best cell by more than `limit` are averaged, weighted by score (BlazeFace, arXiv
    1907.05047): the mean moves far less from picture to picture than the best cell alone.
    """
    free, out = np.argsort(-scores, kind="stable"), []
    while len(free) and scores[free[0]] >= least:
        one = iou(boxes[free[0]], boxes[free]) > limit
        one[0] = True
        cells, weight = free[one], scores[free[one]] / scores[free[one]].sum()
        out.append((weight @ boxes[cells], np.tensordot(weight, marks[cells], 1), scores[free[0]]))
        free = free[~one]
    if not out:
        return np.zeros((0, 4)), np.zeros((0, 5, 2)), np.zeros(0)
    return tuple(np.stack(column) for column in zip(*out))


@torch.no_grad()
def detect(network, images: np.ndarray, device, least: float = 0.1) -> list[tuple]:
    """Detections of uint8 [B, H, W, 3] RGB pictures: per picture (boxes [n, 4], landmarks [n, 5, 2], scores [n])."""
    x = ((torch.from_numpy(images).permute(0, 3, 1, 2).float() - MEAN) / STD).to(device)
    logits, boxes, marks = decode(network.eval()(x.contiguous(memory_format=torch.channels_last)))
    scores, out = logits.sigmoid().cpu().numpy(), []
    boxes, marks = boxes.cpu().numpy(), marks.cpu().numpy()
    for s, b, m in zip(scores, boxes, marks):
        some = s >= VOTE * least
        out.append(merge(b[some], m[some], s[some], least))
    return out


def curve(photos: list, found: list, least: float = 0.05, scores: tuple = SCORES) -> dict:
    """Recall and false alarms over score thresholds, and how well boxes and landmarks lie.

    `found`: per photograph its boxes, landmarks and scores in the photograph's pixels, best first.
    """
    hits, wrong, errors, faces, ious = [], [], [], 0, []
    for photo, (boxes, marks, values) in zip(photos, found):
        tall = photo.boxes[:, 3] - photo.boxes[:, 1] >= least * photo.size[1]
        scale = min(a / b for a, b in zip(search.frame_for(photo.size), photo.size))
        faces += int(tall.sum())
        taken = np.zeros(len(photo.boxes), bool)
        for box, mark, score in zip(boxes, marks, values):
            over = iou(box, photo.boxes) * ~taken if len(photo.boxes) else np.zeros(0)
            if len(over) and over.max() >= 0.5:
                k = int(over.argmax())
                taken[k] = True
                if tall[k]:
                    hits.append(score)
                    ious.append(over[k])
                    high = photo.boxes[k, 3] - photo.boxes[k, 1]
                    if high * scale >= 20:
                        errors.append(np.linalg.norm(mark - photo.landmarks[k], axis=1).mean() / high)
            elif not neither(box, photo.ignored):
                wrong.append(score)
    hits, wrong = np.array(hits), np.array(wrong)
    rows = [{"score": s, "recall": float((hits >= s).sum() / max(1, faces)),
             "false_per_image": float((wrong >= s).sum() / len(photos))} for s in scores]
    return {"faces": faces, "photographs": len(photos), "curve": rows, "landmark_error": float(np.mean(errors or [1])),
            "mean_iou": float(np.mean(ious or [0]))}


def measure(network, photos: list, device, least: float = 0.05) -> dict:
    """`curve` of one look at every whole photograph."""
    found = []
    for photo in photos:
        image, scale = search.letterbox(photo.levels[0], search.frame_for(photo.size))
        boxes, marks, scores = detect(network, image[None], device)[0]
        found.append((boxes / scale, marks / scale, scores))
    return curve(photos, found, least)


def both_looks(network, photos: list, device, thresholds: tuple = SEARCHED) -> list:
    """What the plugin's search in two looks sees in every photograph, for `search_curve`."""
    one = lambda image, low: detect(network, image[None], device, low)[0]
    return [search.looks(one, p.levels[0], search.SUGGEST * min(thresholds)) for p in photos]


def search_curve(seen: list, photos: list, least: float = 0.05, thresholds: tuple = SEARCHED) -> list[dict]:
    """Recall and false alarms of the search at every threshold, by the labels of `photos`."""
    rows = []
    for threshold in thresholds:
        faces = [search.decide(s, threshold) for s in seen]
        columns = [tuple(np.array([f[k] for f in some]) for k in range(3)) for some in faces]
        rows += curve(photos, columns, least, (threshold,))["curve"]
    return rows


def at_alarms(seen: list, photos: list, most: float = ALARMS) -> dict:
    """The row of `search_curve` at the lowest threshold, in steps of 0.01, with at most `most` false alarms a photograph."""
    rows = search_curve(seen, photos, thresholds=FINE)
    return next((row for row in rows if row["false_per_image"] <= most), rows[-1]) | {"asked": most}


def neither(box: np.ndarray, ignored: np.ndarray) -> bool:
    """Whether a detection lies on an ignore box: overlap of 0.3, or half of the detection inside it."""
    if not len(ignored):
        return False
    low, high = np.maximum(box[:2], ignored[:, :2]), np.minimum(box[2:], ignored[:, 2:])
    inside = np.clip(high - low, 0, None).prod(1) / max(1e-6, float((box[2:] - box[:2]).prod()))
    return bool((iou(box, ignored) >= 0.3).any() or (inside >= 0.5).any())


def measure_windows(network, photos: list, device, seed: int = 7, side: int = 96, count: int = 384) -> dict:
    """Tracking windows: share of faces found (score 0.5, overlap 0.5) and landmark error, random offsets and rolls."""
    composer = facedet.Composer(photos, np.random.default_rng(seed))
    found, errors, total = 0, [], 0
    for start in range(0, count, 64):
        canvases = [composer.window(side) for _ in range(64)]
        for canvas, (boxes, marks, scores) in zip(canvases, detect(network, np.stack([c.image for c in canvases]), device, 0.5)):
            for truth, points in zip(canvas.boxes, canvas.landmarks):
                if truth[3] - truth[1] < 24:
                    continue
                total += 1
                over = iou(truth, boxes) if len(boxes) else np.zeros(1)
                if over.max() >= 0.5:
                    found += 1
                    errors.append(np.linalg.norm(marks[over.argmax()] - points, axis=1).mean() / (truth[3] - truth[1]))
    return {"faces": total, "recall": round(found / max(1, total), 4), "landmark_error": round(float(np.mean(errors or [1])), 4)}
