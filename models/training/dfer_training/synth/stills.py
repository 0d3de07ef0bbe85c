# SPDX-License-Identifier: MPL-2.0
"""Rendered stills: aligned grey crops for the encoder, and whole frames with boxes and landmarks."""

from pathlib import Path

import numpy as np

from ..crop import fit_similarity
from . import crop, expressions, scene
from .degrade import Lens, Occluder
from .person import Casting

GREY = np.array([0.299, 0.587, 0.114])


def split_of(identity):
    """"train", "valid" or "test" by the last digit of a person's number: identities never cross splits."""
    digit = np.asarray(identity) % 10
    return np.where(digit < 8, "train", np.where(digit == 8, "valid", "test"))


def chance(number: int, seed: int, held_out: int) -> np.random.Generator:
    """The random numbers by which person `number` is filmed: of `seed` for those who are trained on, of `held_out` for the
    others, so that whoever trains with another seed is measured on the same pictures."""
    return np.random.default_rng([seed if split_of(number) == "train" else held_out, number])


def soft_target(weights) -> np.ndarray:
    """[7] label distribution of a face that shows each class at `weights` [7] (0..1): weak looks neutral."""
    share = np.clip((np.asarray(weights, float) - 0.12) / 0.38, 0, 1)
    share[2] = 0
    if share.sum() > 1:
        share /= share.sum()
    share[2] = 1 - share.sum()
    return share


def mixture(rng, label: str, names: list):
    """Action weights [52], class weights [7] and the intensity of one still of `label`."""
    weights = np.zeros(7)
    actions = expressions.idle(rng, names)
    if label == "neutral":
        weights[2] = 1
        if rng.random() < 0.25:
            other = rng.choice([0, 1, 3, 4, 5, 6])
            strength = rng.uniform(0, 0.15)
            actions += strength * expressions.draw(rng, expressions.CLASSES[other], names)
        return actions, weights, 0.0
    intensity = rng.uniform(0.35, 0.6) if rng.random() < 0.25 else rng.uniform(0.6, 1.1)
    weights[expressions.CLASSES.index(label)] = min(1.0, intensity)
    actions += intensity * expressions.draw(rng, label, names)
    if rng.random() < 0.08:
        other = expressions.CLASSES[rng.choice([0, 1, 3, 4, 5, 6])]
        strength = rng.uniform(0.1, 0.4) * intensity
        weights[expressions.CLASSES.index(other)] += strength
        actions += strength * expressions.draw(rng, other, names)
    return np.clip(actions, 0, 1.4), weights, intensity


def random_pose(rng, wide: float = 1.0):
    """Yaw, pitch, roll (radians): mostly near the front, up to 45 degrees of yaw."""
    yaw = np.clip(rng.normal(0, 0.32) * wide, -0.8, 0.8)
    return yaw, np.clip(rng.normal(0, 0.14) * wide, -0.4, 0.4), rng.normal(0, 0.12)


def crops(casting: Casting, out: Path, count: int, template: np.ndarray, size: int = 64, seed: int = 1, log=print):
    """About `count` grey crops, aligned on `template` [5, 2], into `out`/part-NNN.npz, one file per 70 people; existing files are kept."""
    out.mkdir(parents=True, exist_ok=True)
    names = casting.mesh.action_names
    people = len(casting.mesh.identities)
    each = max(1, round(count / people))
    for part in range(0, people, 70):
        path = out / f"part-{part // 70:03d}.npz"
        if path.exists():
            continue
        rows = []
        for number in range(part, min(people, part + 70)):
            rng = chance(number, seed, 1)
            person = casting.person(number)
            order = np.resize(rng.permutation(7), each) if each < 7 else np.concatenate([rng.permutation(7) for _ in range(each // 7 + 1)])[:each]
            for label in order:
                rows.append(_crop(rng, person, names, int(label), size, template) + (number,))
        columns = [np.array(column) for column in zip(*rows)]
        keys = ("images", "labels", "targets", "intensity", "landmarks", "angles", "occluded", "identity")
        np.savez_compressed(path.with_suffix(".partial.npz"), **dict(zip(keys, columns)))
        path.with_suffix(".partial.npz").rename(path)
        log(f"stills: {path.name} {len(rows)} crops")


def unhidden(casting: Casting, template: np.ndarray, size: int = 64, seed: int = 4, turn: float = 0.25):
    """Crops [N, S, S] of every fifth person and the true landmarks [N, 5, 2] in them (unit square); nothing before the face,
    which is turned by `turn` radians at most."""
    images, landmarks = [], []
    for number in range(0, len(casting.mesh.identities), 5):
        rng = np.random.default_rng([seed, number])
        image, _, _, _, marks, angles, occluded = _crop(rng, casting.person(number), casting.mesh.action_names, number // 5 % 7, size, template)
        if occluded == 0 and abs(angles[0]) < turn:
            images.append(image)
            landmarks.append(marks)
    return np.array(images), np.array(landmarks)


def gather(folder: Path) -> None:
    """`folder`/stills-SPLIT.npz (images, targets, labels) out of the parts: what the encoder's stage reads."""
    parts = [np.load(path) for path in sorted(folder.glob("part-*.npz")) if "partial" not in path.name]
    if not parts:
        raise FileNotFoundError(f"no part-*.npz in {folder}: render the stills first")
    whole = {key: np.concatenate([part[key] for part in parts]) for key in ("images", "targets", "labels", "identity")}
    for split in ("train", "valid", "test"):
        rows = split_of(whole["identity"]) == split
        np.savez_compressed(folder / f"stills-{split}.npz", **{key: column[rows] for key, column in whole.items()})


def _crop(rng, person, names, label, size, template):
    actions, weights, intensity = mixture(rng, expressions.CLASSES[label], names)
    actions += expressions.gaze(np.clip(rng.normal(0, 0.4), -1, 1), np.clip(rng.normal(0, 0.3), -1, 1), names)
    stage = scene.Stage(person, scene.random_light(rng), rng.uniform(0.7, 2.2))
    angles = random_pose(rng)
    world = stage.pose(actions, angles)
    points = stage.project(world, 1000.0, (0.0, 0.0))
    transform = crop.jitter(rng, fit_similarity(stage.landmarks(points), template * size), size)
    points = crop.apply(transform, points).astype(np.float32)
    picture = stage.draw(world, points, actions, (size, size), scene.background(rng, (size, size)))
    grey = picture @ GREY
    occluded = 0.0
    if rng.random() < 0.12:
        occluder = Occluder(rng, size, float(np.median(grey)))
        x, y = rng.choice([rng.uniform(-0.1, 0.25), rng.uniform(0.75, 1.1)]), rng.uniform(0.3, 1.2)
        occluded = float(occluder.coverage(x, y).mean())
        grey = occluder.put(grey, x, y)
    image = Lens(rng).apply(rng, grey)
    return image, label, soft_target(weights).astype(np.float32), intensity, stage.landmarks(points) / size, np.array(angles), occluded


def frames(casting: Casting, out: Path, count: int, size=(320, 192), seed: int = 2, log=print):
    """Whole RGB pictures (`size` = width, height) with one face each: frames.npz with box [x, y, w, h] and landmarks."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / "frames.npz"
    if path.exists():
        return
    width, height = size
    names = casting.mesh.action_names
    images, boxes, landmarks, identity = [], [], [], []
    people = len(casting.mesh.identities)
    # A painted person costs as much as several pictures: five pictures of each of fewer people.
    for k in range(-(-count // 5)):
        number = k % people
        rng = np.random.default_rng([seed, k])
        person = casting.person(number)
        for _ in range(min(5, count - 5 * k)):
            actions, _, _ = mixture(rng, expressions.CLASSES[rng.integers(7)], names)
            stage = scene.Stage(person, scene.random_light(rng), rng.uniform(0.7, 2.5))
            world = stage.pose(actions, random_pose(rng, 1.2))
            tall = height * np.exp(rng.uniform(np.log(0.08), np.log(0.75)))
            centre = (rng.uniform(0.15, 0.85) * width, rng.uniform(0.3, 0.7) * height)
            points = stage.project(world, tall / 0.19, centre)
            images.append(stage.draw(world, points, actions, (height, width), scene.background(rng, (height, width))))
            boxes.append(stage.box(points))
            landmarks.append(stage.landmarks(points))
            identity.append(number)
    np.savez_compressed(path, images=np.array(images), boxes=np.array(boxes, np.float32), landmarks=np.array(landmarks, np.float32), identity=np.array(identity))
    log(f"frames: {len(images)} pictures")
