# SPDX-License-Identifier: MPL-2.0
"""Frame by frame over a video, in the runtime's way: detect, refine in a tracking window, align, encode."""

import subprocess
from pathlib import Path

import cv2
import numpy as np

from . import crop, metrics
from .common import need

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


class Chain:
    """Detector and encoder as functions, whatever runs them: `detect(image, least)` -> (boxes, landmarks, scores) of one
    RGB picture, `encode(crops [n, S, S] uint8)` -> logits [n, 7]."""

    def __init__(self, detect, encode, template, place, size: int, threshold: float):
        self.detect, self.encode, self.size, self.threshold = detect, encode, size, threshold
        self.template, self.place = np.asarray(template), np.asarray(place)

    def face(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray, float] | None:
        """The largest face of a picture: box, landmarks (pixels) and score; refined once in its tracking window."""
        small, scale = letterbox(image)
        boxes, marks, scores = self.detect(small, self.threshold)
        if not len(boxes):
            return None
        k = int((boxes[:, 3] - boxes[:, 1]).argmax())
        box, mark, score = boxes[k] / scale, marks[k] / scale, float(scores[k])
        view, m = window(image, box)
        inner, points, _ = self.detect(view, 0.3)
        if len(inner):
            j = int(np.abs(inner[:, :2] + inner[:, 2:] - TRACK).sum(1).argmin())
            back = lambda p: (p - m[:, 2]) / m[0, 0]
            box, mark = back(inner[j].reshape(2, 2)).reshape(4), back(points[j])
        return box, mark, score

    def video(self, path: Path) -> list[dict]:
        """One row a frame: time, and for a face its box, score and probabilities [7]."""
        rows = []
        for image, time in frames(path):
            row = {"time": time}
            if (found := self.face(image)) is not None:
                grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
                picture = crop.aligned(grey, found[1], self.template, self.size)
                row |= {"box": found[0], "landmarks": found[1], "score": found[2], "crop": picture}
            rows.append(row)
        seen = [r for r in rows if "crop" in r]
        if seen:
            for row, p in zip(seen, metrics.softmax(self.encode(np.stack([r["crop"] for r in seen])))):
                row["probabilities"] = p
        return rows
