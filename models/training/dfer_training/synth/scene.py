# SPDX-License-Identifier: MPL-2.0
"""A person in front of a camera: pose, light, background -> picture, box and landmarks."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from . import mesh as m
from . import raster, shade
from .person import Person
from .skin import WRINKLES

_NECK = np.array([0.0, -0.035, 0.575])
_FACE = np.array([0.0, -0.115, 0.675])


@dataclass
class Light:
    """Lights [L, 3] (towards them), their colours [L, 3], ambient [2, 3] (from below, from above), exposure."""

    directions: np.ndarray
    colours: np.ndarray
    ambient: np.ndarray
    exposure: float


def random_light(rng) -> Light:
    """Soft indoor light mostly; at times hard, from the side or below, dark or too bright, coloured."""
    kind = rng.random()
    azimuth, height = rng.normal(0, 0.7), rng.uniform(0.1, 0.9)
    key, fill, sky = rng.uniform(0.8, 1.4), rng.uniform(0.05, 0.5), rng.uniform(0.35, 0.9)
    if kind < 0.18:
        azimuth, fill, sky = rng.choice([-1, 1]) * rng.uniform(1.0, 1.6), rng.uniform(0, 0.15), rng.uniform(0.1, 0.3)
    elif kind < 0.24:
        height = rng.uniform(-0.8, -0.2)
    direction = lambda a, h: np.array([np.sin(a) * np.cos(h), -np.cos(a) * np.cos(h), np.sin(h)])
    tint = lambda s: 1 + rng.normal(0, s) * np.array([1, 0.15, -1])
    colours = np.stack([key * tint(0.06), fill * tint(0.1), rng.uniform(0, 0.8) * tint(0.1)])
    directions = np.stack([direction(azimuth, height), direction(-azimuth - 0.4, 0.1), direction(np.pi + rng.uniform(-1, 1), 0.5)])
    ambient = np.stack([0.45 * sky * tint(0.08), sky * tint(0.05)])
    exposure = np.exp(rng.normal(0, 0.28)) * 0.85
    return Light(directions, np.clip(colours, 0, None), ambient, exposure)


def rotation(yaw, pitch, roll):
    """Head rotation (radians): yaw turns it to its left, pitch nods down, roll tilts it clockwise in the picture."""
    cy, sy, cp, sp, cr, sr = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll)
    turn = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    nod = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    tilt = np.array([[cr, 0, sr], [0, 1, 0], [-sr, 0, cr]])
    return tilt @ turn @ nod


class Stage:
    """Renders one person; `action` weights and the pose change from picture to picture."""

    def __init__(self, person: Person, light: Light, distance: float = 1.4):
        self.person, self.light, self.distance = person, light, distance
        self.two_sided = np.isin(person.materials, (m.HAIR, m.LASH, m.FRAME, m.CLOTH, m.MOUTH))
        self.normal = np.zeros_like(person.rest)
        self.index = {name: i for i, name in enumerate(person.action_names)}
        self.flat = person.actions.reshape(len(person.action_names), -1)
        self.camera = np.array([0.0, -distance, 0.68])
        self.buffers = {}

    def pose(self, actions: np.ndarray, angles, shift=(0, 0, 0)):
        """World vertices [V, 3] for action weights [52], (yaw, pitch, roll) and a translation (metres)."""
        p = self.person
        active = np.flatnonzero(np.abs(actions) > 1e-3)
        moved = p.rest.copy()
        if len(active):
            moved[: p.base] += (actions[active].astype(np.float32) @ self.flat[active]).reshape(-1, 3)
        turned = (moved - _NECK) @ rotation(*angles).T + _NECK
        world = moved + p.head[:, None] * (turned - moved) + np.asarray(shift)
        return world.astype(np.float32)

    def project(self, world, focal, centre):
        """[V, 3] pixels and distance: `focal` pixels per metre at the face's distance, face at `centre`."""
        depth = world[:, 1] + self.distance
        scale = focal * (self.distance + _FACE[1]) / depth
        return np.stack([
            centre[0] + (world[:, 0] - _FACE[0]) * scale,
            centre[1] - (world[:, 2] - _FACE[2]) * scale,
            depth,
        ], 1).astype(np.float32)

    def landmarks(self, points):
        """[5, 2] eye left, eye right (in the picture), nose, mouth left, mouth right of projected `points`."""
        return points[self.person.landmarks, :2].mean(1)

    def box(self, points):
        """[4] x, y, w, h of the face, hairline to chin, ear to ear (visible side)."""
        p = self.person
        face = (p.head > 0.98) & (p.template[:, 1] < -0.07) & (p.scalp < 0.0) & (p.template[:, 2] > 0.585)
        face[p.base:] = False
        low, high = points[face, :2].min(0), points[face, :2].max(0)
        return np.concatenate([low, high - low])

    def draw(self, world, points, actions, size, background, factor=2):
        """Picture [H, W, 3] uint8. `points` are in output pixels; `background` is [H, W, 3] linear RGB."""
        height, width = size
        key = (height, width, factor)
        if key not in self.buffers:
            h, w = height * factor, width * factor
            self.buffers[key] = (np.zeros((h, w), np.int32), np.zeros((h, w, 2), np.float32), np.zeros((h, w), np.float32))
        triangle, weights, depth = self.buffers[key]
        p = self.person
        scaled = points * np.array([factor, factor, 1], np.float32)
        raster.rasterise(scaled, p.faces, self.two_sided, triangle, weights, depth)
        raster.normals(world, p.faces, self.normal)
        image = background.repeat(factor, 0).repeat(factor, 1).astype(np.float32)
        light = self.light
        shade.shade(
            triangle, weights, p.faces, p.materials, world, self.normal, p.template, p.occlusion, p.scalp, p.eye_side,
            p.texture, p.colours, self.wrinkles(actions), p.lash, p.shine, p.neckline, self.opening(actions), self.camera,
            light.directions, light.colours, light.ambient, image,
        )
        out = np.zeros((height, width, 3), np.uint8)
        shade.finish(image, factor, light.exposure, out)
        return out

    def opening(self, actions) -> float:
        """How far the lips are apart, 0..1, as far as light on the teeth is concerned."""
        parts = ("jawOpen", 6.0), ("mouthUpperUpLeft", 1.2), ("mouthLowerDownLeft", 1.2), ("mouthStretchLeft", 0.5), ("noseSneerLeft", 0.3)
        return float(min(1.0, 0.08 + max(0.0, sum(w * actions[self.index[n]] for n, w in parts) - 0.2)))

    def wrinkles(self, actions):
        """How strongly each group of WRINKLES is folded by the facial actions."""
        a = lambda *names: max(0.0, sum(actions[self.index[n]] for n in names) / len(names))
        down = a("browDownLeft", "browDownRight")
        sneer = a("noseSneerLeft", "noseSneerRight")
        fold = {
            "forehead": a("browInnerUp") * 0.7 + 0.5 * a("browOuterUpLeft", "browOuterUpRight"),
            "glabella": 1.2 * down + 0.4 * sneer + 0.35 * min(down + 0.2, a("browInnerUp")),
            "nasolabial-left": 0.9 * a("mouthSmileLeft") + 0.8 * a("noseSneerLeft") + 0.6 * a("mouthUpperUpLeft") + 0.35 * a("mouthFrownLeft") + 0.4 * a("mouthStretchLeft"),
            "nasolabial-right": 0.9 * a("mouthSmileRight") + 0.8 * a("noseSneerRight") + 0.6 * a("mouthUpperUpRight") + 0.35 * a("mouthFrownRight") + 0.4 * a("mouthStretchRight"),
            "crow": 0.9 * a("cheekSquintLeft", "cheekSquintRight") + 0.6 * a("eyeSquintLeft", "eyeSquintRight"),
            "nose": 1.3 * sneer + 0.4 * down,
            "chin": 0.9 * a("mouthFrownLeft", "mouthFrownRight") + 0.7 * a("mouthShrugLower"),
        }
        return np.array([min(1.4, fold[name]) for name in WRINKLES])


def background(rng, size) -> np.ndarray:
    """A soft out-of-focus background [H, W, 3], linear RGB."""
    height, width = size
    base = rng.uniform(0.02, 0.7) * (1 + rng.normal(0, 0.15, 3))
    small = np.full((18, 32, 3), base) * (1 + 0.5 * rng.normal(0, 0.4, 3))
    small *= np.linspace(rng.uniform(0.5, 1.5), 1, 18)[:, None, None]
    for _ in range(int(rng.integers(0, 9))):
        y, x = rng.integers(0, 18), rng.integers(0, 32)
        h, w = rng.integers(1, 12), rng.integers(1, 10)
        small[y:y + h, x:x + w] = rng.uniform(0, 0.8) * (1 + rng.normal(0, 0.25, 3))
    smooth = rng.random() < 0.8
    channels = [np.asarray(Image.fromarray(small[..., k].astype(np.float32)).resize((width, height), Image.BICUBIC if smooth else Image.BILINEAR)) for k in range(3)]
    return np.clip(np.stack(channels, -1), 0.002, 1.2)
