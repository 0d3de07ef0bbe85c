# SPDX-License-Identifier: MPL-2.0
"""The renderer's parts that need no head model: rasteriser, recipes, timing, occluders, cameras, the demo's truth."""

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("numba", reason="the renderer's own dependency: pip install .[render]")

from dfer_training import CLASSES
from dfer_training.synth import crop, degrade, demo, expressions, motion, raster, scene, sequences, stills

NAMES = ["jawOpen", "browInnerUp", "mouthFunnel", "mouthPucker", "mouthShrugLower", "mouthShrugUpper", "mouthRollLower", "mouthRollUpper", "mouthClose", "jawForward", "tongueOut", "cheekPuff"] + [
    part + side
    for part in ("browDown", "browOuterUp", "cheekSquint", "eyeBlink", "eyeLookDown", "eyeLookIn", "eyeLookOut", "eyeLookUp", "eyeSquint", "eyeWide", "mouthDimple",
                 "mouthFrown", "mouthLowerDown", "mouthPress", "mouthSmile", "mouthStretch", "mouthUpperUp", "noseSneer")
    for side in ("Left", "Right")]


def buffers(h, w):
    return np.zeros((h, w), np.int32), np.zeros((h, w, 2), np.float32), np.zeros((h, w), np.float32)


def test_nearer_triangle_wins_and_weights_are_barycentric():
    points = np.array([[0, 0, 2], [0, 8, 2], [8, 0, 2], [0, 0, 1], [0, 4, 1], [4, 0, 1]], np.float32)
    faces = np.array([[0, 1, 2], [3, 4, 5]], np.int32)
    triangle, weights, depth = buffers(8, 8)
    raster.rasterise(points, faces, np.zeros(2, bool), triangle, weights, depth)
    assert triangle[0, 0] == 1 and triangle[5, 1] == 0 and triangle[7, 7] == -1
    assert depth[0, 0] == pytest.approx(1) and depth[5, 1] == pytest.approx(2)
    # Pixel (x 1, y 5) has its centre at (1.5, 5.5): corner b = (0, 8), corner c = (8, 0).
    assert weights[5, 1] == pytest.approx([5.5 / 8, 1.5 / 8], abs=1e-5)
    raster.rasterise(points, faces[:, ::-1].copy(), np.zeros(2, bool), triangle, weights, depth)
    assert (triangle == -1).all()


def test_normals_point_out_of_a_tetrahedron():
    positions = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], np.float32)
    faces = np.array([[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]], np.int32)
    out = np.zeros_like(positions)
    raster.normals(positions, faces, out)
    assert np.allclose(np.abs((out * positions).sum(1)), np.sqrt(3), atol=1e-5)
    assert len(set(np.sign((out * positions).sum(1)))) == 1


def test_same_classes_everywhere():
    assert expressions.CLASSES == CLASSES


@pytest.mark.parametrize("label", CLASSES)
def test_recipes_name_known_actions_and_stay_in_range(label):
    rng = np.random.default_rng(1)
    draws = np.stack([expressions.draw(rng, label, NAMES) for _ in range(40)])
    assert draws.min() >= 0 and draws.max() <= 1.4
    assert (draws.sum() == 0) == (label == "neutral")


def test_unknown_action_is_refused():
    with pytest.raises(ValueError, match="earWiggle"):
        expressions.expand({"earWiggle": 1}, NAMES)


def test_event_has_onset_apex_offset():
    event = motion.Event("happy", np.zeros(len(NAMES)), 1.0, 0.5, 1.0, 0.5)
    assert [event.level(t) for t in (0.9, 1.5, 2.4, 3.1)] == [0, 1, 1, 0]
    assert 0 < event.level(1.2) < event.level(1.4) < 1


def test_performance_blinks_shows_its_event_and_repeats():
    make = lambda: motion.Performance(np.random.default_rng(3), NAMES, [motion.Event("happy", expressions.expand({"mouthSmile": 1}, NAMES), 1, 0.3, 1, 0.3)], 8, blink_rate=1.0)
    one, two = make(), make()
    times = np.arange(0, 8, 1 / 30)
    actions = np.stack([one.actions(t) for t in times])
    assert np.array_equal(actions, np.stack([two.actions(t) for t in times]))
    assert actions[:, NAMES.index("eyeBlinkLeft")].max() > 0.8
    assert one.weights(1.8)[0] == pytest.approx(1) and one.weights(4.0).sum() == 0


def test_weak_expressions_look_neutral():
    assert stills.soft_target([0.1, 0, 0, 0, 0, 0, 0])[2] == pytest.approx(1)
    assert stills.soft_target([0.9, 0, 0, 0, 0, 0, 0])[0] == pytest.approx(1)
    half = stills.soft_target([0, 0, 0, 0.8, 0, 0.8, 0])
    assert half[3] == pytest.approx(0.5) and half.sum() == pytest.approx(1)


def test_splits_are_by_person():
    assert list(stills.split_of([0, 17, 8, 29])) == ["train", "train", "valid", "test"]


def test_rotation_is_one():
    r = scene.rotation(0.3, -0.2, 0.1)
    assert np.allclose(r @ r.T, np.eye(3)) and np.linalg.det(r) == pytest.approx(1)


def test_jitter_keeps_the_middle_near():
    rng = np.random.default_rng(0)
    still = np.array([[1.0, 0, 0], [0, 1, 0]])
    centres = np.stack([crop.apply(crop.jitter(rng, still, 64), np.array([[32.0, 32.0]]))[0] for _ in range(300)])
    assert np.abs(centres.mean(0) - 32).max() < 1 and 1 < centres.std() < 4


def test_occluder_covers_where_it_is():
    thing = degrade.Occluder(np.random.default_rng(0), 64, 120.0)
    image = np.full((64, 64), 50.0)
    assert thing.coverage(0.5, 0.6).mean() > 0.1
    assert thing.coverage(5.0, 5.0).max() == 0 and np.array_equal(thing.put(image, 5.0, 5.0), image)
    assert (thing.put(image, 0.5, 0.6) != image).mean() > 0.1


def test_lens_keeps_its_exposure():
    rng = np.random.default_rng(2)
    lens = degrade.Lens(rng)
    lens.noise = lens.quality = 0
    ramp = np.tile(np.linspace(40, 200, 64), (64, 1))
    first = lens.apply(rng, ramp)
    lens.apply(rng, ramp * 0.3)
    assert first.dtype == np.uint8 and np.array_equal(lens.apply(rng, ramp), first)


def test_demo_truth_covers_the_clip_without_gaps():
    spans = demo.truth()["spans"]
    assert spans[0]["start"] == 0 and spans[-1]["end"] == demo.SECONDS
    assert all(a["end"] == b["start"] for a, b in zip(spans, spans[1:]))
    assert {s["label"] for s in spans} >= {"neutral", "happy", "surprise", "sad"}


def test_a_stopped_rendering_goes_on_with_the_framing_it_had(tmp_path, monkeypatch):
    from dfer_training import align, common, synth

    shape = np.array([[.36, .4], [.64, .4], [.5, .57], [.38, .7], [.62, .7]])
    # The detector sees mouths higher than they are.
    seen = shape - [[0, 0], [0, 0], [0, 0], [0, .03], [0, .03]]
    monkeypatch.setattr(common, "load_weights", lambda path, network: None)
    monkeypatch.setattr(stills, "unhidden", lambda casting, template: (np.zeros((4, 64, 64), np.uint8), np.tile(shape, (4, 1, 1))))
    monkeypatch.setattr(align, "find", lambda network, images, device: (np.tile(seen, (4, 1, 1)), None, np.array([.9, .9, .9, .2])))
    (tmp_path / "d.pt").touch()
    lines = []
    first = synth.framing(SimpleNamespace(), tmp_path / "d.pt", shape, tmp_path / "a" / "template.json", lines.append)
    # So true landmarks go further apart.
    assert first[3, 1] - first[0, 1] > 0.31 and "3 stills" in lines[0]
    monkeypatch.setattr(align, "find", None)
    assert np.array_equal(first, synth.framing(None, tmp_path / "d.pt", shape, tmp_path / "a" / "template.json", lines.append))


def test_who_is_measured_on_has_more_sequences_and_begins_with_the_same(tmp_path, monkeypatch):
    def film(rng, person, label, names, size, template):
        return {"images": np.full((2, size, size), rng.integers(256), np.uint8), "weights": np.zeros((2, 7), np.float32),
                "occluded": np.zeros(2, np.float32), "angles": np.zeros((2, 3), np.float32)}

    monkeypatch.setattr(sequences, "film", film)
    casting = SimpleNamespace(mesh=SimpleNamespace(action_names=[], identities=range(35)), person=lambda number: None)
    parts = []
    for held_out in (2, 5):
        sequences.render(casting, tmp_path / str(held_out), np.zeros((5, 2)), 2, held_out, size=4, log=lambda text: None)
        with np.load(tmp_path / str(held_out) / "part-000.npz") as part:
            parts.append({key: part[key] for key in part.files})
    few, many = parts
    train = stills.split_of(many["identity"]) == "train"
    assert np.bincount(many["identity"]).tolist() == [5 if n % 10 > 7 else 2 for n in range(35)]
    assert np.array_equal(many["labels"][train], few["labels"][stills.split_of(few["identity"]) == "train"])
    of = lambda part, n: part["images"][np.repeat(part["identity"] == n, part["lengths"])]
    assert np.array_equal(of(few, 9), of(many, 9)[:4])


def test_another_seed_is_measured_on_the_same_films(tmp_path, monkeypatch):
    drawn = lambda rng: {"images": rng.integers(0, 256, (2, 4, 4), np.uint8), "weights": np.zeros((2, 7)), "occluded": np.zeros(2), "angles": np.zeros((2, 3))}
    monkeypatch.setattr(sequences, "film", lambda rng, *_: drawn(rng))
    monkeypatch.setattr(stills, "_crop", lambda rng, *_: (drawn(rng)["images"][0], 0, 0, 0, 0, 0, 0))
    casting = SimpleNamespace(mesh=SimpleNamespace(action_names=[], identities=range(70)), person=lambda number: None)
    films, crops = [], []
    for seed in (1, 2):
        sequences.render(casting, tmp_path / f"f{seed}", np.zeros((5, 2)), 1, 1, size=4, seed=seed + 2, log=lambda text: None)
        stills.crops(casting, tmp_path / f"c{seed}", 70, np.zeros((5, 2)), size=4, seed=seed, log=lambda text: None)
        films.append(np.load(tmp_path / f"f{seed}" / "part-000.npz")["images"].reshape(35, -1))
        crops.append(np.load(tmp_path / f"c{seed}" / "part-000.npz")["images"].reshape(70, -1))
    for one, two in (films, crops):
        assert np.array_equal((one == two).all(1), stills.split_of(np.arange(len(one))) != "train")
