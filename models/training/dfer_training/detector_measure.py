# SPDX-License-Identifier: MPL-2.0
"""Recall, false positives and landmark error of the detector on facedet's val split.

Every photograph is letterboxed into 320x192 as the runtime does. Scored: faces of 5 % of the photograph's height
and more. A detection matches at an overlap of 0.5; one on an ignore box or on a smaller face counts neither way.
"""

import numpy as np
import torch

from . import common, facedet
from .detector_loss import decode

MEAN, STD = 127.5, 64.0
# A cell has a say in where a face lies at this part of the score that a face needs.
VOTE = 0.5
SCORES = tuple(round(0.05 * i, 2) for i in range(2, 20))


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


def measure(network, photos: list, device, width: int = 320, height: int = 192, least: float = 0.05) -> dict:
    """The curve of recall and false positives over score thresholds, and the landmark error at the best match."""
    hits, wrong, errors, faces, ious = [], [], [], 0, []
    by_source: dict[str, list] = {}
    for start in range(0, len(photos), 16):
        some = photos[start:start + 16]
        boxed = [facedet.letterbox(p, width, height) for p in some]
        for photo, (_, scale), found in zip(some, boxed, detect(network, np.stack([b[0] for b in boxed]), device)):
            boxes, marks, scores = found
            boxes, marks = boxes / scale, marks / scale
            tall = photo.boxes[:, 3] - photo.boxes[:, 1] >= least * photo.size[1]
            faces += int(tall.sum())
            taken = np.zeros(len(photo.boxes), bool)
            rest = []
            for box, mark, score in zip(boxes, marks, scores):
                over = iou(box, photo.boxes) * ~taken if len(photo.boxes) else np.zeros(0)
                if len(over) and over.max() >= 0.5:
                    k = int(over.argmax())
                    taken[k] = True
                    if tall[k]:
                        hits.append(score)
                        ious.append(over[k])
                        by_source.setdefault(photo.source, []).append(score)
                        high = photo.boxes[k, 3] - photo.boxes[k, 1]
                        if high * scale >= 20:
                            errors.append(np.linalg.norm(mark - photo.landmarks[k], axis=1).mean() / high)
                else:
                    rest.append((box, score))
            wrong += [s for b, s in rest if not neither(b, photo.ignored)]
    hits, wrong = np.array(hits), np.array(wrong)
    curve = [{"score": s, "recall": float((hits >= s).sum() / max(1, faces)),
              "false_per_image": float((wrong >= s).sum() / len(photos))} for s in SCORES]
    return {"faces": faces, "photographs": len(photos), "curve": curve, "landmark_error": float(np.mean(errors)),
            "mean_iou": float(np.mean(ious))}


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
