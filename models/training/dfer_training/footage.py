# SPDX-License-Identifier: MPL-2.0
"""Frame by frame over a video, in the runtime's way: detect, follow in a tracking window, align, encode."""

import subprocess
from pathlib import Path

import cv2
import numpy as np

from . import crop, metrics, search
from .common import need


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


class Chain:
    """Detector and encoder as functions, whatever runs them: `detect(image, least)` -> (boxes, landmarks, scores) of one
    RGB picture, `encode(crops [n, S, S] uint8)` -> logits [n, 7]."""

    def __init__(self, detect, encode, template, place, size: int, threshold: float, scales=(1.0,)):
        self.detect, self.encode, self.size, self.threshold = detect, encode, size, threshold
        self.template, self.place, self.scales = np.asarray(template), np.asarray(place), scales

    def find(self, image: np.ndarray) -> np.ndarray | None:
        """The box of the largest face of a picture, in pixels."""
        return max((face[0] for face in search.find(self.detect, image, self.threshold)), key=lambda b: b[3] - b[1], default=None)

    def follow(self, image: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, np.ndarray, float] | None:
        """The face that is expected at `box`: box, landmarks (pixels), score."""
        return search.follow(self.detect, image, box, search.FOLLOW * self.threshold)

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
                scale = self.scales[int(time * 5 + 1e-6) % len(self.scales)]
                picture = crop.aligned(grey, found[1], 0.5 + scale * (self.template - 0.5), self.size)
                row |= {"box": found[0], "landmarks": found[1], "score": found[2], "crop": picture}
            rows.append(row)
        seen = [r for r in rows if "crop" in r]
        if seen:
            for row, p in zip(seen, metrics.softmax(self.encode(np.stack([r["crop"] for r in seen])))):
                row["probabilities"] = p
        return rows
