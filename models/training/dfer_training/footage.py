# SPDX-License-Identifier: MPL-2.0
"""Frame by frame over a video, in the runtime's way: detect, follow in a tracking window, align, encode."""

import subprocess
from pathlib import Path

import cv2
import numpy as np

from . import crop, metrics
from .common import need
from .facedet import MIRRORED

DETECT = (192, 320)
TRACK = 96


def frames(path: Path):
    """RGB frames [h, w, 3] uint8 and their times in seconds. Needs the programs ffmpeg and ffprobe."""
    need(path, "a video")
    probe = subprocess.run(["ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries",
                            "stream=width,height,r_frame_rate", "-of", "csv=p=0", str(path)],
                           capture_output=True, text=True, check=True).stdout.strip().rstrip(",").split(",")
    width, height = int(probe[0]), int(probe[1])
    top, bottom = probe[2].split("/")
    rate = float(top) / float(bottom)
    pipe = subprocess.Popen(["ffmpeg", "-v", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"],
                            stdout=subprocess.PIPE)
    count, size = 0, width * height * 3
    while len(data := pipe.stdout.read(size)) == size:
        yield np.frombuffer(data, np.uint8).reshape(height, width, 3), count / rate
        count += 1
    pipe.wait()


def letterbox(image: np.ndarray) -> tuple[np.ndarray, float]:
    h, w = image.shape[:2]
    scale = min(DETECT[1] / w, DETECT[0] / h)
    size = (round(w * scale), round(h * scale))
    out = np.zeros((*DETECT, 3), np.uint8)
    out[:size[1], :size[0]] = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
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


class Chain:
    """Detector and encoder as functions, whatever runs them: `detect(image, least)` -> (boxes, landmarks, scores) of one
    RGB picture, `encode(crops [n, S, S] uint8)` -> logits [n, 7]."""

    def __init__(self, detect, encode, template, place, size: int, threshold: float):
        self.detect, self.encode, self.size, self.threshold = detect, encode, size, threshold
        self.template, self.place = np.asarray(template), np.asarray(place)

    def find(self, image: np.ndarray) -> np.ndarray | None:
        """The box of the largest face of a picture, in pixels."""
        small, scale = letterbox(image)
        boxes, _, _ = self.detect(small, self.threshold)
        return boxes[int((boxes[:, 3] - boxes[:, 1]).argmax())] / scale if len(boxes) else None

    def follow(self, image: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, np.ndarray, float] | None:
        """The face that is expected at `box`: box, landmarks (pixels), score. Seen twice, as it is and mirrored."""
        view, m = window(image, box)
        back = lambda p: (p - m[:, 2]) / m[0, 0]
        seen = []
        for mirrored in (False, True):
            boxes, marks, scores = self.detect(np.ascontiguousarray(view[:, ::-1]) if mirrored else view, 0.6 * self.threshold)
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

    def video(self, path: Path) -> list[dict]:
        """One row a frame: time, and for a face its box, score and probabilities [7]."""
        rows, box = [], None
        for image, time in frames(path):
            row = {"time": time}
            box = self.find(image) if box is None else box
            found = None if box is None else self.follow(image, box)
            box = None if found is None else found[0]
            if found is not None:
                grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
                picture = crop.aligned(grey, found[1], self.template, self.size)
                row |= {"box": found[0], "landmarks": found[1], "score": found[2], "crop": picture}
            rows.append(row)
        seen = [r for r in rows if "crop" in r]
        if seen:
            for row, p in zip(seen, metrics.softmax(self.encode(np.stack([r["crop"] for r in seen])))):
                row["probabilities"] = p
        return rows
