#!/usr/bin/env python3
# SPDX-License-Identifier: MPL-2.0
"""Writes models/reference/crop.json: crops of a drawn picture as the encoder's training data were cut out.

tests/reference.rs draws the same picture and compares what the runtime cuts out. The runtime samples twice, which blurs a
little: `slack` is the mean difference that a blur of half a crop pixel (sigma) makes. Half a pixel of shift makes more of
every crop. Needs NumPy and OpenCV.
"""

import json
import sys
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "models" / "training"))
from dfer_training import crop  # noqa: E402

WIDTH, HEIGHT, SIZE = 640, 360, 64
TEMPLATE = np.array([[0.359, 0.4072], [0.641, 0.4072], [0.5, 0.5744], [0.382, 0.7034], [0.618, 0.7034]])
# Centre, height of the face box and roll in degrees.
FACES = [(330.0, 180.0, 240.0, 0.0), (300.5, 170.25, 181.0, 12.0), (200.0, 150.0, 110.0, -25.0), (420.0, 200.0, 60.0, 8.0)]
# Height of the face box in the crop.
BOX = 0.859


def picture() -> np.ndarray:
    """Waves of several lengths and a disc with a hard edge, 0 to 255."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float64) + 0.5
    level = 128 + 50 * np.sin(x / 17) * np.cos(y / 23) + 25 * np.sin((x + 2 * y) / 6)
    level += 45 * ((x - 350) ** 2 + (y - 190) ** 2 < 40 ** 2)
    return np.floor(np.clip(level, 0, 255) + 0.5).astype(np.uint8)


def landmarks(x: float, y: float, height: float, roll: float) -> np.ndarray:
    """The template turned and scaled into the picture, then bent a little, so that no similarity fits it exactly."""
    a, side = np.deg2rad(roll), height / BOX
    turn = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    bent = np.array([[1, 0], [-1, 2], [0, -3], [2, 1], [-2, 0]]) * height / 200
    return (TEMPLATE - 0.5) @ turn.T * side + np.array([x, y]) + bent


image, rows = picture(), []
for face in FACES:
    points = landmarks(*face)
    out = crop.aligned(image, points, TEMPLATE, SIZE)
    soft = cv2.GaussianBlur(out.astype(np.float64), (0, 0), 0.5)
    rows.append({"face": face, "landmarks": points.round(4).tolist(), "crop": out.reshape(-1).tolist(),
                 "slack": round(float(np.abs(soft - out).mean()), 3)})
target = ROOT / "models" / "reference" / "crop.json"
target.write_text(json.dumps({"width": WIDTH, "height": HEIGHT, "size": SIZE, "template": TEMPLATE.tolist(), "faces": rows}) + "\n")
print(f"{target.relative_to(ROOT)}: {len(rows)} crops, {target.stat().st_size} bytes; picture's sum {int(image.sum())}")
