# SPDX-License-Identifier: MPL-2.0
"""The head mesh: geometry, shape space and facial actions of `anny`, cached as one small npz.

`anny` (Apache-2.0 code over MakeHuman's CC0 data) takes minutes to build a model the first time, so what the
renderer needs is stored once: the bust (head, neck, upper torso, eyes, teeth, tongue, lashes), the
phenotype shape space and the 52 facial actions as plain linear deltas.

Axes: x to the head's left (image right when it looks at the camera), y backwards, z up; metres.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

SKIN, EYE, TEETH, TONGUE, LASH, HAIR, MOUTH, CLOTH, FRAME = range(9)
"""Material of a triangle."""

_HELPERS = {
    "helper-l-eye": EYE,
    "helper-r-eye": EYE,
    "helper-upper-teeth": TEETH,
    "helper-lower-teeth": TEETH,
    "helper-tongue": TONGUE,
    "helper-l-eyelashes-1": LASH,
    "helper-l-eyelashes-2": LASH,
    "helper-r-eyelashes-1": LASH,
    "helper-r-eyelashes-2": LASH,
}
_BUST = 0.36
"""Height (z, metres, in anny's template) under which the body is left out."""


@dataclass
class Mesh:
    """The bust and what moves it.

    positions: [V, 3] template; actions: [52, V, 3] deltas at weight 1; action_names: 52 ARKit names;
    faces: [F, 3] triangles; materials: [F] one of the constants above; eye_side: [V] 0 none, 1 left, 2 right;
    head: [V] share of the head's rotation that a vertex follows (0 torso .. 1 head);
    identities: [N, V, 3] rest shapes of sampled people, traits: [N, 11] their phenotype, trait_names.
    """

    positions: np.ndarray
    actions: np.ndarray
    action_names: list
    faces: np.ndarray
    materials: np.ndarray
    eye_side: np.ndarray
    head: np.ndarray
    identities: np.ndarray
    traits: np.ndarray
    trait_names: list


def load(cache: Path, people: int = 700, seed: int = 7) -> Mesh:
    """The mesh from `cache` (an npz), built with anny when it is not there yet."""
    cache = Path(cache)
    if not cache.exists():
        cache.parent.mkdir(parents=True, exist_ok=True)
        partial = cache.with_suffix(".partial.npz")
        np.savez_compressed(partial, **_build(people, seed))
        partial.rename(cache)
    data = np.load(cache, allow_pickle=False)
    return Mesh(
        **{k: data[k] for k in ("positions", "faces", "materials", "eye_side", "head", "traits")},
        actions=data["actions"].astype(np.float32),
        identities=data["identities"].astype(np.float32),
        action_names=[str(s) for s in data["action_names"]],
        trait_names=[str(s) for s in data["trait_names"]],
    )


def _build(people: int, seed: int) -> dict:
    import anny
    from anny.paths import get_anny_root_dir
    import torch

    model = anny.create_head_model(
        facial_actions=True, all_phenotypes=True, remove_unattached_vertices=False
    )
    template = model.template_vertices.numpy()
    groups = _read_groups(get_anny_root_dir() / "data" / "mpfb2" / "3dobjs" / "base.obj")

    faces, materials = [], []
    eye_side = np.zeros(len(template), np.int8)
    body = groups["body"]
    # Arms are cut at the shoulder: they would leave the picture anyway.
    centre = template[body].mean(1)
    keep = (centre[:, 2] > _BUST) & (np.abs(centre[:, 0]) < 0.24)
    faces.append(body[keep])
    materials.append(np.where(_cavity(model, body[keep]), MOUTH, SKIN))
    for name, material in _HELPERS.items():
        quads = groups[name]
        faces.append(quads)
        materials.append(np.full(len(quads), material))
        if material == EYE:
            eye_side[quads.ravel()] = 1 if "-l-" in name else 2
    faces, materials = np.concatenate(faces), np.concatenate(materials)
    used, index = np.unique(faces, return_inverse=True)
    faces = index.reshape(faces.shape)
    triangles = np.concatenate([faces[:, [0, 1, 2]], faces[:, [0, 2, 3]]])
    materials = np.concatenate([materials, materials])
    whole = (triangles[:, 0] != triangles[:, 1]) & (triangles[:, 1] != triangles[:, 2]) & (triangles[:, 0] != triangles[:, 2])

    bones = model.vertex_bone_weights.numpy()[used]
    labels = np.array(model.bone_labels)[model.vertex_bone_indices.numpy()[used]]
    share = np.vectorize({"root": 0.0, "neck01": 0.0, "neck02": 0.33, "neck03": 0.67}.get)(labels, 1.0)
    head = (bones * share).sum(1) / np.maximum(bones.sum(1), 1e-9)

    names = list(model.facial_action_labels)
    traits = _people(people, seed, list(model.phenotype_labels))
    coefficients = model.get_phenotype_blendshape_coefficients(
        **{k: torch.tensor(traits[:, i], dtype=torch.float64) for i, k in enumerate(model.phenotype_labels)}
    )
    blendshapes = model.blendshapes[:, torch.as_tensor(used)]
    identities = model.template_vertices[used] + torch.einsum("nb,bvc->nvc", coefficients, blendshapes)
    neutral = model.get_phenotype_blendshape_coefficients()
    positions = model.template_vertices[used] + torch.einsum("b,bvc->vc", neutral[0], blendshapes)
    return {
        "positions": positions.numpy().astype(np.float32),
        "actions": blendshapes[-len(names):].numpy().astype(np.float16),
        "action_names": np.array(names),
        "faces": triangles[whole].astype(np.int32),
        "materials": materials[whole].astype(np.int8),
        "eye_side": eye_side[used],
        "head": head.astype(np.float32),
        "identities": identities.numpy().astype(np.float16),
        "traits": traits.astype(np.float32),
        "trait_names": np.array(list(model.phenotype_labels)),
    }


def _cavity(model, quads: np.ndarray) -> np.ndarray:
    """Which of the body's `quads` line the mouth or the eye sockets."""
    from anny.face_segmentation import get_face_segmentation_mask

    inner = get_face_segmentation_mask(model, ["mouth_cavity", "eye_cavity.L", "eye_cavity.R"]).numpy()
    inside = {tuple(sorted(set(quad))) for quad in model.faces.numpy()[inner].tolist()}
    return np.array([tuple(sorted(set(quad))) in inside for quad in quads.tolist()])


def _people(count: int, seed: int, names: list) -> np.ndarray:
    """Phenotypes in [0, 1]: adults of all ages mostly, some children, all ancestries and their mixtures."""
    rng = np.random.default_rng(seed)
    traits = np.full((count, len(names)), 0.5)
    column = {name: i for i, name in enumerate(names)}
    traits[:, column["gender"]] = rng.beta(0.5, 0.5, count)
    child = rng.random(count) < 0.08
    traits[:, column["age"]] = np.where(child, rng.uniform(0.35, 0.5, count), rng.uniform(0.55, 1.0, count))
    for name in ("muscle", "weight", "height", "proportions"):
        traits[:, column[name]] = rng.uniform(0.1, 0.9, count)
    ancestry = rng.dirichlet([0.45] * 3, count)
    for i, name in enumerate(("african", "asian", "caucasian")):
        traits[:, column[name]] = ancestry[:, i]
    return traits


def _read_groups(path: Path) -> dict:
    """Quads (vertex indices, triangles padded by their last corner) of each group of an OBJ file."""
    groups, current = {}, None
    for line in open(path, encoding="utf-8"):
        if line.startswith("g "):
            current = groups.setdefault(line[2:].strip(), [])
        elif line.startswith("f ") and current is not None:
            corners = [int(part.split("/")[0]) - 1 for part in line.split()[1:]]
            current.append((corners + corners[-1:])[:4])
    return {name: np.array(quads) for name, quads in groups.items() if quads}
