# SPDX-License-Identifier: MPL-2.0
"""SynDFER: sequences of aligned grey crops at 15 pictures a second, with the truth for every picture."""

from pathlib import Path

import numpy as np

from ..crop import fit_similarity
from . import crop, expressions, scene
from .degrade import Lens, Occluder
from .motion import Event, Performance
from .person import Casting
from .stills import GREY, chance, random_pose, split_of

RATE = 15.0


def script(rng, label: str, names: list, duration: float) -> list:
    """The events of a sequence whose label is `label`; one in seven has a second expression in it."""
    events = []
    if label == "neutral":
        if rng.random() < 0.3:
            other = expressions.CLASSES[rng.choice([0, 1, 3, 4, 5, 6])]
            events.append(_event(rng, other, names, rng.uniform(0, duration - 1), rng.uniform(0.05, 0.18)))
        return events
    # At least 0.3 s of the apex lie inside; the rest of the sequence is not the target expression.
    start = rng.uniform(-0.8, max(0.0, duration - 1.6))
    main = _event(rng, label, names, start, rng.uniform(0.4, 0.65) if rng.random() < 0.2 else rng.uniform(0.65, 1.1))
    main.apex = max(main.apex, 0.4 - min(0.0, start + main.onset))
    events.append(main)
    if rng.random() < 0.14:
        other = expressions.CLASSES[rng.choice([0, 1, 3, 4, 5, 6])]
        if other != label:
            later = main.start + main.onset + main.apex + 0.7 * main.offset
            brief = _event(rng, other, names, later, rng.uniform(0.4, 0.9))
            brief.apex *= 0.4
            events.append(brief)
    return events


def _event(rng, label, names, start, intensity):
    return Event(label, expressions.draw(rng, label, names), start, rng.uniform(0.15, 0.7), rng.uniform(0.4, 1.6), rng.uniform(0.2, 0.8), intensity)


def film(rng, person, label: str, names: list, size: int, template) -> dict:
    """One sequence: images [T, S, S] uint8, weights [T, 7] class intensities, occluded [T], angles [T, 3]."""
    duration = rng.uniform(2.0, 4.0)
    talking = rng.uniform(0.3, 1.0) if rng.random() < 0.25 else 0.0
    performance = Performance(
        rng, names, script(rng, label, names, duration), duration, restless=0.08, talking=talking,
        turn=np.array(random_pose(rng)) * 0.8, sway=rng.uniform(0.2, 1.8), blink_rate=rng.uniform(0.1, 0.6),
    )
    stage = scene.Stage(person, scene.random_light(rng), rng.uniform(0.7, 2.2))
    backdrop = scene.background(rng, (size, size))
    lens, tremble = Lens(rng), rng.uniform(0.001, 0.012)
    still = np.random.default_rng(rng.integers(2**32))
    occluder = path = None
    images, weights, hidden, angles = [], [], [], []
    state = rng.integers(2**32)
    for k in range(int(duration * RATE)):
        t = k / RATE
        actions = performance.actions(t)
        world = stage.pose(actions, performance.angles(t), performance.shift(t))
        points = stage.project(world, 1000.0, (0.0, 0.0))
        marks = stage.landmarks(points)
        # A detector's landmarks tremble from picture to picture.
        marks = marks + rng.normal(0, tremble * 60, marks.shape)
        transform = crop.jitter(np.random.default_rng(state), fit_similarity(marks, template * size), size, 0.8)
        points = crop.apply(transform, points).astype(np.float32)
        grey = stage.draw(world, points, actions, (size, size), backdrop) @ GREY
        if k == 0 and rng.random() < 0.2:
            occluder = Occluder(rng, size, float(np.median(grey)))
            path = _path(rng, duration)
        covered = 0.0
        if occluder is not None:
            x, y = path(t)
            grey = occluder.put(grey, x, y)
            covered = float(occluder.coverage(x, y)[size // 5:].mean())
        images.append(lens.apply(still, grey))
        weights.append(performance.weights(t))
        hidden.append(covered)
        angles.append(performance.angles(t))
    return {"images": np.array(images), "weights": np.array(weights, np.float32), "occluded": np.array(hidden, np.float32), "angles": np.array(angles, np.float32)}


def _path(rng, duration):
    """An occluder's way: in from a side, a stay, out again."""
    side, height = rng.choice([-1, 1]), rng.uniform(0.45, 1.0)
    arrive, stay = rng.uniform(-0.5, duration * 0.6), rng.uniform(0.3, 1.6)
    rest = rng.uniform(0.3, 0.7)
    times = [arrive, arrive + 0.35, arrive + 0.35 + stay, arrive + 0.7 + stay]
    places = [rest + side * 1.3, rest, rest, rest + side * 1.3]
    return lambda t: (float(np.interp(t, times, places)), height + 0.03 * np.sin(3 * t))


def render(casting: Casting, out: Path, template: np.ndarray, per_person: int = 5, held_out: int = 5, size: int = 64, seed: int = 3, log=print):
    """Sequences of everybody, faces aligned on `template` [5, 2], into `out`/part-NNN.npz (35 people each); existing files are kept.
    `per_person` of each of those who are trained on, `held_out` of each of the others.

    Arrays: images [N, S, S] of all sequences end to end, lengths [n], weights [N, 7], occluded [N],
    angles [N, 3] (radians), labels [n], identity [n].
    """
    out.mkdir(parents=True, exist_ok=True)
    names, people = casting.mesh.action_names, len(casting.mesh.identities)
    for part in range(people // 35):
        path = out / f"part-{part:03d}.npz"
        if path.exists():
            continue
        films, labels, identity = [], [], []
        for number in range(part * 35, part * 35 + 35):
            rng = chance(number, seed, 3)
            person = casting.person(number)
            for label in rng.permutation(7)[:per_person if split_of(number) == "train" else held_out]:
                films.append(film(rng, person, expressions.CLASSES[label], names, size, template))
                labels.append(label)
                identity.append(number)
        arrays = {key: np.concatenate([f[key] for f in films]) for key in films[0]}
        np.savez_compressed(path.with_suffix(".partial.npz"), **arrays, lengths=[len(f["images"]) for f in films], labels=labels, identity=identity)
        path.with_suffix(".partial.npz").rename(path)
        log(f"sequences: {path.name}, {len(films)} sequences, {len(arrays['images'])} pictures")
