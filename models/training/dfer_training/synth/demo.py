# SPDX-License-Identifier: MPL-2.0
"""The plugin's demo clip: one rendered woman, neutral, then four expressions, and a board that passes her face."""

import json
import subprocess
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from . import expressions, scene
from .motion import Event, Performance
from .person import Casting

PERSON, SECONDS, RATE, SIZE = 77, 14.0, 30, (960, 540)
_BOARD = (8.9, 10.4)
# label, start, onset, apex, offset, intensity, action units
_SCRIPT = [
    ("happy", 1.4, 0.5, 1.7, 0.6, 1.0, {"mouthSmile": 1.0, "cheekSquint": 0.85, "eyeSquint": 0.35, "mouthUpperUp": 0.5, "mouthLowerDown": 0.15, "jawOpen": 0.17, "mouthDimple": 0.2}),
    ("surprise", 5.2, 0.28, 1.6, 0.6, 1.0, {"browInnerUp": 0.95, "browOuterUp": 1.05, "eyeWide": 0.95, "jawOpen": 0.62, "mouthFunnel": 0.25}),
    ("sad", 8.3, 0.8, 2.5, 0.7, 1.0, {"browInnerUp": 1.1, "browDown": 0.35, "mouthFrown": 1.1, "mouthShrugLower": 0.65, "eyeBlink": 0.1, "eyeLookDown": 0.2, "mouthPress": 0.2}),
    ("happy", 12.2, 0.4, 2.0, 0.5, 1.0, {"mouthSmile": 1.0, "cheekSquint": 0.9, "eyeSquint": 0.4, "mouthUpperUp": 0.5, "jawOpen": 0.2}),
]


def events(names):
    return [Event(label, expressions.expand(units, names), *times, intensity) for label, *times, intensity, units in _SCRIPT]


def light() -> scene.Light:
    """A window on the left, a warm lamp behind, soft sky."""
    directions = np.array([[-0.55, -0.72, 0.42], [0.8, -0.55, 0.1], [0.75, 0.55, 0.4]])
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    colours = np.array([[1.05, 1.0, 0.95], [0.26, 0.27, 0.30], [0.75, 0.62, 0.48]])
    return scene.Light(directions, colours, np.array([[0.27, 0.25, 0.24], [0.58, 0.6, 0.63]]), 0.88)


def room(width, height) -> np.ndarray:
    """A blurred room: wall, window, shelf, plant. [H, W, 3] linear RGB."""
    picture = Image.new("RGB", (width, height), (116, 122, 128))
    pen = ImageDraw.Draw(picture)
    x, y = (lambda v: v * width), (lambda v: v * height)
    for k in range(40):
        shade = 150 - k * 2
        pen.rectangle([x(k / 40), 0, x((k + 1) / 40), height], fill=(shade, shade + 3, shade + 6))
    pen.rectangle([x(0.03), y(0.05), x(0.24), y(0.62)], fill=(225, 232, 240))
    pen.rectangle([x(0.125), y(0.05), x(0.14), y(0.62)], fill=(150, 150, 148))
    pen.rectangle([x(0.72), y(0.1), x(0.98), y(0.9)], fill=(92, 74, 60))
    for row in range(4):
        pen.rectangle([x(0.735), y(0.13 + row * 0.19), x(0.965), y(0.29 + row * 0.19)], fill=(60, 48, 41))
        for k in range(7):
            tone = [(150, 70, 60), (70, 100, 130), (190, 170, 120), (80, 120, 90), (120, 90, 130), (200, 195, 185), (170, 110, 60)][(k * 3 + row) % 7]
            pen.rectangle([x(0.74 + k * 0.03), y(0.16 + row * 0.19 + (k % 3) * 0.012), x(0.763 + k * 0.03), y(0.29 + row * 0.19)], fill=tone)
    pen.ellipse([x(0.22), y(0.55), x(0.36), y(0.95)], fill=(62, 96, 60))
    picture = picture.filter(ImageFilter.GaussianBlur(width / 75))
    return (np.asarray(picture, np.float32) / 255) ** 2.2 * 0.75


def board(frame: np.ndarray, t: float, centre, face: float) -> np.ndarray:
    """A grey clapper-like board that crosses the face from right to left during _BOARD."""
    if not _BOARD[0] <= t <= _BOARD[1]:
        return frame
    progress = (t - _BOARD[0]) / (_BOARD[1] - _BOARD[0])
    # In, a short stay, out.
    path = np.interp(progress, [0, 0.3, 0.7, 1], [2.4, 0.05, -0.05, -2.4])
    height, width = frame.shape[:2]
    layer = Image.new("RGBA", (width, height), (0, 0, 0, 0))
    pen = ImageDraw.Draw(layer)
    half_w, half_h = face * 0.72, face * 0.52
    corners = np.array([[-half_w, -half_h], [half_w, -half_h], [half_w, half_h], [-half_w, half_h]])
    angle = 0.09 * np.sin(t * 3)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    at = lambda points: [tuple(p) for p in (np.asarray(points) @ turn.T + np.array([centre[0] + path * face, centre[1] + 0.1 * face]))]
    pen.polygon(at(corners), fill=(54, 62, 70, 255))
    pen.polygon(at(corners * 0.93), fill=(74, 84, 93, 255))
    for k in range(6):
        left = -half_w * 0.9 + k * half_w * 0.3
        pen.polygon(at([[left, -half_h * 0.86], [left + half_w * 0.15, -half_h * 0.86], [left + half_w * 0.28, -half_h * 0.6], [left + half_w * 0.13, -half_h * 0.6]]), fill=(214, 216, 214, 255))
    layer = layer.filter(ImageFilter.GaussianBlur(2.2))
    return np.asarray(Image.alpha_composite(Image.fromarray(frame).convert("RGBA"), layer).convert("RGB"))


def render(casting: Casting, out: Path, still: float | None = None) -> None:
    """Writes `out` (mp4, needs ffmpeg with libx264) and its truth beside it (json), or one still (png) at a time."""
    names = casting.mesh.action_names
    person = casting.person(PERSON)
    person.colours[3] = (0.035, 0.10, 0.13)
    person.neckline[:] = 0.535, 0.02, 0.05
    person.lash = 0.45
    rng = np.random.default_rng(5)
    performance = Performance(rng, names, events(names), SECONDS, restless=0.03, sway=0.75, blink_rate=0.35)
    performance.looks = [look for look in performance.looks if abs(look[1]) < 0.3]
    stage = scene.Stage(person, light(), 1.1)
    width, height = SIZE
    backdrop = room(width + 16, height)
    centre = (width * 0.48, height * 0.50)

    def frame(t):
        actions = performance.actions(t)
        world = stage.pose(actions, performance.angles(t), performance.shift(t))
        points = stage.project(world, height / 0.34, centre)
        x, y, w, h = stage.box(points)
        image = stage.draw(world, points, actions, (height, width), backdrop[:, 8: 8 + width], factor=2)
        image = board(image, t, (x + w / 2, y + h / 2), h)
        noise = np.random.default_rng(int(t * 1000)).normal(0, 1.2, image.shape)
        return np.clip(image + noise, 0, 255).astype(np.uint8)

    if still is not None:
        Image.fromarray(frame(still)).save(out)
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    command = ["ffmpeg", "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(RATE), "-i", "-",
               "-c:v", "libx264", "-preset", "slow", "-crf", "23", "-pix_fmt", "yuv420p", "-movflags", "+faststart", str(out)]
    encoder = subprocess.Popen(command, stdin=subprocess.PIPE)
    for k in range(int(SECONDS * RATE)):
        encoder.stdin.write(frame(k / RATE).tobytes())
    encoder.stdin.close()
    if encoder.wait():
        raise RuntimeError("ffmpeg could not write the demo clip")
    out.with_suffix(".json").write_text(json.dumps(truth(), indent=1) + "\n")


def truth() -> dict:
    """Label per time span (seconds): an expression counts while it shows at least half of its apex."""
    spans, last = [], 0.0
    for label, start, onset, apex, offset, _, _ in _SCRIPT:
        begin, end = start + onset / 2, min(SECONDS, start + onset + apex + offset / 2)
        if begin > last:
            spans.append({"start": round(last, 2), "end": round(begin, 2), "label": "neutral"})
        spans.append({"start": round(begin, 2), "end": round(end, 2), "label": label})
        last = end
    if last < SECONDS:
        spans.append({"start": round(last, 2), "end": SECONDS, "label": "neutral"})
    return {"file": "demo.mp4", "rendered": True, "size": list(SIZE), "rate": RATE, "spans": spans,
            "occluded": [{"start": round(_BOARD[0] + 0.3, 2), "end": round(_BOARD[1] - 0.3, 2), "by": "board"}]}
