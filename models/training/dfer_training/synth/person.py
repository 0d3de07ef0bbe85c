# SPDX-License-Identifier: MPL-2.0
"""One person to be filmed: head shape, skin, eyes, hair, clothes, glasses, all from one random generator."""

from dataclasses import dataclass, field

import numpy as np

from . import mesh as m
from . import raster, skin

_EYES = np.array([0.0308, -0.1245, 0.697])
"""Template eyeball centre (left side: +x)."""


@dataclass
class Person:
    """Geometry ([V] bust, hair and accessory vertices; the first `base` follow the facial actions) and looks."""

    rest: np.ndarray
    base: int
    actions: np.ndarray
    action_names: list
    faces: np.ndarray
    materials: np.ndarray
    template: np.ndarray
    occlusion: np.ndarray
    scalp: np.ndarray
    head: np.ndarray
    eye_side: np.ndarray
    texture: np.ndarray
    colours: np.ndarray
    landmarks: np.ndarray
    lash: float
    neckline: np.ndarray
    shine: float
    traits: dict = field(default_factory=dict)
    number: int = 0


def occlusion(mesh: m.Mesh) -> np.ndarray:
    """Ambient occlusion [V] of the template: share of directions from which a vertex is seen."""
    rng = np.random.default_rng(0)
    size, hits, total = 192, np.zeros(len(mesh.positions)), np.zeros(len(mesh.positions))
    normal = np.zeros_like(mesh.positions)
    raster.normals(mesh.positions, mesh.faces, normal)
    two_sided = np.ones(len(mesh.faces), bool)
    two_sided[mesh.materials == m.LASH] = False
    faces = mesh.faces[mesh.materials != m.LASH]
    buffers = np.zeros((size, size), np.int32), np.zeros((size, size, 2), np.float32), np.zeros((size, size), np.float32)
    for _ in range(96):
        d = rng.standard_normal(3)
        d /= np.linalg.norm(d)
        u = np.cross(d, [0.3, 0.2, 0.9])
        u /= np.linalg.norm(u)
        w = np.cross(d, u)
        centred = mesh.positions - [0, -0.05, 0.62]
        points = np.stack([size / 2 + centred @ u * 300, size / 2 + centred @ w * 300, 2 - centred @ d], 1).astype(np.float32)
        raster.rasterise(points, faces, np.ones(len(faces), bool), *buffers)
        column, row = np.clip(points[:, 0].astype(int), 0, size - 1), np.clip(points[:, 1].astype(int), 0, size - 1)
        facing = np.clip(normal @ d, 0, None)
        seen = points[:, 2] < buffers[2][row, column] + 0.006
        hits += facing * seen
        total += facing
    return (hits / np.maximum(total, 1e-6)).astype(np.float32)


class Casting:
    """Makes people out of a mesh; person `number` is always the same person."""

    def __init__(self, mesh: m.Mesh):
        self.mesh = mesh
        self.occlusion = occlusion(mesh)
        skinned = mesh.faces[mesh.materials == m.SKIN]
        self.normal = np.zeros_like(mesh.positions)
        raster.normals(mesh.positions, skinned, self.normal)
        on_skin = np.zeros(len(mesh.positions), bool)
        on_skin[skinned.ravel()] = True
        self.on_skin = on_skin
        near = lambda x, z: int(np.flatnonzero(on_skin & (mesh.positions[:, 1] < -0.1))[
            np.argmin(((mesh.positions[on_skin & (mesh.positions[:, 1] < -0.1)][:, [0, 2]] - [x, z]) ** 2).sum(1))])
        nose = int(np.argmin(np.where(on_skin & (np.abs(mesh.positions[:, 0]) < 0.003) & (mesh.positions[:, 2] > 0.645), mesh.positions[:, 1], 9)))
        # Lid corners give the eye, mouth corners the mouth: points that a detector's labeller would click.
        self.landmark_vertices = np.array([
            [near(-0.0435, 0.6945), near(-0.0175, 0.6945)], [near(0.0175, 0.6945), near(0.0435, 0.6945)],
            [nose, nose], [near(-0.0212, 0.6295)] * 2, [near(0.0212, 0.6295)] * 2,
        ])

    def person(self, number: int) -> Person:
        """Person `number` (0 .. number of sampled identities - 1)."""
        mesh = self.mesh
        rng = np.random.default_rng([991, number])
        traits = dict(zip(mesh.trait_names, map(float, mesh.traits[number])))
        rest = mesh.identities[number].astype(np.float32).copy()
        eyes = [rest[mesh.eye_side == side].mean(0) for side in (1, 2)]
        rest += np.array([0, _EYES[1], _EYES[2]]) - (eyes[0] + eyes[1]) / 2
        rest = _warp(rng, rest, mesh.positions)
        male = float(traits["gender"] < 0.5)
        tone, hair, iris = _palette(rng, traits)
        grey = max(0.0, traits["age"] - 0.82) / 0.18 * rng.uniform(0.2, 1)
        hair = hair * (1 - grey) + np.array([0.55, 0.54, 0.53]) * grey
        beard = 0.0
        if male and traits["age"] > 0.62 and rng.random() < 0.5:
            beard = rng.uniform(0.12, 0.95) if rng.random() < 0.6 else rng.uniform(0.05, 0.25)
        lips = None
        if not male and traits["age"] > 0.55 and rng.random() < 0.35:
            lips = np.array([0.42, 0.06, 0.07]) * rng.uniform(0.6, 1.4)
        texture = skin.paint(rng, tone, {**traits, "gender": 1 - male}, lips, hair * 0.6, beard)

        scalp = _scalp(mesh.positions, receding=rng.uniform(0.004, 0.03) if male and rng.random() < 0.35 else rng.uniform(-0.006, 0.004))
        parts = _Parts(mesh, rest)
        style = rng.random()
        covered = style < 0.06
        bald = male and style > 0.88
        if not bald:
            thickness = rng.uniform(0.004, 0.012) if male else rng.uniform(0.008, 0.018)
            if rng.random() < 0.12:
                thickness = rng.uniform(0.02, 0.035)
            parts.shell(rng, scalp, self.normal, thickness, m.CLOTH if covered else m.HAIR)
            if not covered and rng.random() < (0.08 if male else 0.75):
                parts.curtain(rng, rng.uniform(0.48, 0.64), rng.uniform(0.01, 0.035))
        if rng.random() < 0.18:
            parts.glasses(rng)
        cloth = rng.uniform(0.02, 0.6, 3) if rng.random() < 0.6 else np.full(3, rng.uniform(0.02, 0.6))
        colours = np.stack([tone, iris, hair, cloth, rng.uniform(0.01, 0.15, 3)]).astype(np.float32)
        materials = parts.materials()
        low = np.clip((0.51 - mesh.positions[:, 2]) / 0.03, 0, 1)[:, None]
        parts.rest[0][:] += self.normal * low * 0.012
        scalp_all = np.concatenate([scalp if not bald else np.full_like(scalp, -1), np.full(parts.count - len(scalp), -1, np.float32)])
        return Person(
            rest=np.concatenate(parts.rest).astype(np.float32), base=len(mesh.positions),
            actions=mesh.actions, action_names=mesh.action_names,
            faces=np.concatenate(parts.faces).astype(np.int32), materials=materials.astype(np.int8),
            template=np.concatenate(parts.template).astype(np.float32),
            occlusion=np.concatenate([self.occlusion, np.full(parts.count - len(self.occlusion), 0.85, np.float32)]),
            scalp=scalp_all.astype(np.float32),
            head=np.concatenate([mesh.head, np.ones(parts.count - len(mesh.head), np.float32)]),
            eye_side=np.concatenate([mesh.eye_side, np.zeros(parts.count - len(mesh.head), np.int8)]),
            texture=texture, colours=colours, landmarks=self.landmark_vertices,
            neckline=np.array([rng.uniform(0.505, 0.55), rng.uniform(0.0, 0.06), rng.uniform(0.03, 0.07)]),
            lash=rng.uniform(0.15, 0.4) if male else rng.uniform(0.4, 0.9), shine=rng.uniform(0.5, 1.4),
            traits={**traits, "male": male, "beard": beard}, number=number,
        )


class _Parts:
    """Collects vertices and triangles of bust, hair and accessories."""

    def __init__(self, mesh, rest):
        self.rest, self.template, self.faces = [rest], [mesh.positions], [mesh.faces]
        self.mesh, self.kinds, self.count = mesh, [mesh.materials.astype(int)], len(rest)

    def materials(self):
        return np.concatenate(self.kinds)

    def _add(self, rest, template, faces, material):
        self.rest.append(rest)
        self.template.append(template)
        self.faces.append(faces + self.count)
        self.kinds.append(np.full(len(faces), material))
        self.count += len(rest)

    def shell(self, rng, scalp, normal, thickness, material):
        """Hair or a cap: the scalp's triangles pushed outwards."""
        mesh, rest = self.mesh, self.rest[0]
        chosen = (scalp[mesh.faces].max(1) > 0.0) & (mesh.materials == m.SKIN)
        used, index = np.unique(mesh.faces[chosen], return_inverse=True)
        t = mesh.positions[used]
        lift = skin._step((scalp[used] + 0.002) / 0.03) * thickness
        lift = lift * (1 + rng.uniform(0, 1.2) * np.clip((t[:, 2] - 0.74) / 0.06, 0, 1))
        wave = rng.uniform(0, 0.35) * np.sin(t @ rng.normal(0, 120, 3) + rng.uniform(0, 6)) + rng.uniform(0, 0.2) * np.sin(t @ rng.normal(0, 300, 3))
        offset = normal[used] * (lift * (1 + wave) + 0.0008)[:, None]
        self._add(rest[used] + offset, t, index.reshape(-1, 3), material)

    def curtain(self, rng, low, flare):
        """Long hair: a sheet around the sides and the back of the head, down to height `low`."""
        mesh, rest = self.mesh, self.rest[0]
        head = rest[(mesh.positions[:, 2] > 0.70) & (mesh.positions[:, 2] < 0.75) & (mesh.head > 0.99)]
        rx = np.abs(head[:, 0]).max() + 0.006
        y0, y1 = head[:, 1].max() + 0.008, head[:, 1].min()
        cy = 0.45 * y0 + 0.55 * y1
        open_front = rng.uniform(1.25, 1.6)
        angle = np.linspace(-np.pi / 2 + open_front, 1.5 * np.pi - open_front, 40)
        height = np.linspace(0, 1, 14)
        a, h = np.meshgrid(angle, height)
        wave = 1 + 0.03 * np.sin(a * rng.integers(6, 14) + h * rng.uniform(0, 8))
        spread = (1 + flare / 0.1 * h * np.sin(h * 2.2)) * wave
        x = rx * np.cos(a) * spread
        y = cy + (y0 - cy) * np.sin(a) * spread
        z = 0.765 - (0.765 - low) * h
        x = x * np.sqrt(np.clip(1 - np.clip((z - 0.72) / 0.09, 0, 1) ** 2, 0.05, 1))
        points = np.stack([x, y, z], -1).reshape(-1, 3).astype(np.float32)
        self._add(points, points.copy(), _grid(14, 40), m.HAIR)

    def glasses(self, rng):
        """A thin frame around each eye, a bridge and two temples."""
        rest, mesh = self.rest[0], self.mesh
        front = -0.154 + rng.uniform(-0.004, 0.001)
        rx, rz, power = rng.uniform(0.022, 0.027), rng.uniform(0.015, 0.022), rng.uniform(0.5, 1.0)
        bar = rng.uniform(0.0012, 0.0035)
        a = np.linspace(0, 2 * np.pi, 25)[:-1]
        shape = lambda r, q: np.sign(q) * np.abs(q) ** power * r
        for side in (-1, 1):
            ring = []
            for extra in (0, bar):
                x = side * 0.032 + shape(rx + extra, np.cos(a))
                z = 0.693 + shape(rz + extra, np.sin(a))
                ring.append(np.stack([x, np.full_like(x, front) + 2.5 * np.clip(np.abs(x) - 0.03, 0, 1) ** 1.3, z], 1))
            points = np.concatenate(ring)
            k = np.arange(24)
            n = (k + 1) % 24
            self._add(points, points.copy(), np.concatenate([np.stack([k, n, k + 24], 1), np.stack([n, n + 24, k + 24], 1)]), m.FRAME)
            outer = np.abs(rest[(np.abs(mesh.positions[:, 2] - 0.70) < 0.01) & (mesh.head > 0.99) & (mesh.positions[:, 1] < -0.06), 0]).max() + 0.002
            bars = np.array([[side * (0.032 + rx), front + 0.004, 0.697], [side * (0.032 + rx), front + 0.004, 0.697 + bar],
                             [side * outer, -0.06, 0.70], [side * outer, -0.06, 0.70 + bar]])
            self._add(bars, bars.copy(), np.array([[0, 1, 2], [1, 3, 2]]), m.FRAME)
        bridge = np.array([[-0.011, front, 0.698], [0.011, front, 0.698], [-0.011, front, 0.698 + bar], [0.011, front, 0.698 + bar]])
        self._add(bridge, bridge.copy(), np.array([[0, 1, 2], [1, 3, 2]]), m.FRAME)


def _grid(rows, columns):
    k = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)[None]).ravel()
    return np.concatenate([np.stack([k, k + 1, k + columns], 1), np.stack([k + 1, k + columns + 1, k + columns], 1)])


def _warp(rng, rest, template):
    """Smooth random deformation of the features: people differ in more than their phenotype."""
    for _ in range(10):
        centre = np.array([rng.uniform(-0.06, 0.06), rng.uniform(-0.16, -0.08), rng.uniform(0.59, 0.77)])
        mirrored = centre * [-1, 1, 1]
        shift = rng.normal(0, 0.0016, 3)
        radius = rng.uniform(0.018, 0.04)
        for point, push in ((centre, shift), (mirrored, shift * [-1, 1, 1])):
            weight = np.exp(-((template - point) ** 2).sum(1) / radius**2)
            rest = rest + weight[:, None] * push
    return rest.astype(np.float32)


def _scalp(template, receding):
    """Signed height [V] above the hairline (metres; positive: hair grows here)."""
    y, z = template[:, 1], template[:, 2]
    line = np.interp(
        y, [-0.165, -0.13, -0.105, -0.095, -0.085, -0.07, -0.045, -0.02, 0.0, 0.03],
        [0.772, 0.766, 0.752, 0.735, 0.700, 0.690, 0.722, 0.675, 0.635, 0.605],
    )
    line = line + receding * np.clip((-0.07 - y) / 0.05, 0, 1)
    value = z - line
    ear = (np.abs(template[:, 0]) > 0.079) & (z < 0.728) & (z > 0.64) & (y > -0.09) & (y < -0.02)
    value = np.where(ear, -0.02, value)
    return np.where(z < 0.585, -0.05, value).astype(np.float32)


def _palette(rng, traits):
    """Skin, hair and iris (linear RGB) from ancestry, with wide mixtures."""
    africa, asia, europe = (traits[k] for k in ("african", "asian", "caucasian"))
    light = np.array([0.62, 0.40, 0.31])
    tan = np.array([0.52, 0.33, 0.22])
    dark = np.array([0.13, 0.066, 0.043])
    tone = np.exp(africa * np.log(dark * rng.uniform(0.7, 1.7)) + asia * np.log(tan * rng.uniform(0.8, 1.15)) + europe * np.log(light * rng.uniform(0.7, 1.12)))
    tone = tone * rng.uniform(0.95, 1.05, 3)
    hairs = np.array([[0.008, 0.006, 0.005], [0.025, 0.014, 0.009], [0.075, 0.04, 0.02], [0.32, 0.2, 0.09], [0.19, 0.06, 0.02]])
    share = np.array([0.25, 0.3, 0.22, 0.16, 0.07]) * (europe > 0.4) + np.array([0.75, 0.2, 0.04, 0.01, 0.0]) * (europe <= 0.4)
    hair = hairs[rng.choice(5, p=share / share.sum())] * rng.uniform(0.7, 1.4)
    irises = np.array([[0.05, 0.022, 0.01], [0.11, 0.055, 0.02], [0.13, 0.2, 0.3], [0.11, 0.16, 0.08], [0.2, 0.22, 0.23]])
    iris = irises[rng.choice(5, p=[0.25, 0.25, 0.25, 0.15, 0.1])] if europe > 0.5 else irises[rng.choice(2, p=[0.7, 0.3])]
    return tone, hair, iris * rng.uniform(0.8, 1.2)
