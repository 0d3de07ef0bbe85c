# SPDX-License-Identifier: MPL-2.0
"""FER+ protocol, augmentation, crop, sampling, figures, checkpoints and the exported encoder."""

import json

import cv2
import numpy as np
import pytest
import torch

from dfer_training import align, augment, common, crop, encoder, export, facedet, ferplus, graph, metrics, robustness
from dfer_training.nets import Encoder, multiply_adds


def test_protocol_keeps_and_labels_as_written():
    #       neutral happy surprise sad angry disgust fear contempt unknown nf
    rows = [[0, 9, 0, 0, 0, 0, 0, 0, 1, 0],   # happy
            [4, 0, 0, 4, 2, 0, 0, 0, 0, 0],   # tie neutral-sad: kept, and sad stands before neutral
            [1, 0, 0, 2, 0, 0, 0, 5, 2, 0],   # contempt leads: left out
            [0, 0, 3, 0, 0, 0, 3, 3, 1, 0],   # first maximum is surprise: kept
            [0, 0, 0, 0, 0, 0, 0, 0, 5, 5]]   # unknown: left out
    assert ferplus.protocol(np.array(rows, np.float32)).tolist() == [0, 1, -1, 4, -1]


def test_a_majority_is_more_than_half_of_the_votes_that_are_not_single():
    rows = np.array([[5, 5, 0, 0, 0, 0, 0, 0, 0, 0], [5, 3, 1, 1, 0, 0, 0, 0, 0, 0], [4, 3, 2, 1, 0, 0, 0, 0, 0, 0]], np.float32)
    assert ferplus.majority(rows).tolist() == [False, True, False]


def test_taggers_asked_again_agree_where_they_were_of_one_mind():
    rows = np.array([[0, 10, 0, 0, 0, 0, 0, 0, 0, 0], [5, 5, 0, 0, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0, 9, 0]], np.float32)
    again = ferplus.asked_again(rows, ferplus.protocol(rows), rounds=400)
    assert (again[:, 0] == 0).all() and 0.3 < (again[:, 1] == 0).mean() < 0.8
    # Votes that all fall on no class leave the label.
    assert set(again[:, 2]) <= {-1, 2}


def test_loading_a_tiny_set(tmp_path):
    (tmp_path / "valid").mkdir()
    cv2.imwrite(str(tmp_path / "valid" / "a.png"), np.full((48, 48), 9, np.uint8))
    (tmp_path / "labels.csv").write_text("file,split," + ",".join(ferplus.COLUMNS) + "\nvalid/a.png,valid,6,2,0,0,0,0,0,1,1,0\n")
    faces = ferplus.load(tmp_path, "valid")
    assert faces.labels.tolist() == [2] and np.allclose(faces.votes, [[.25, 0, .75, 0, 0, 0, 0]]) and faces.images[0, 0, 0] == 9
    cv2.imwrite(str(tmp_path / "valid" / "a.png"), np.zeros((40, 48), np.uint8))
    with pytest.raises(ValueError, match="48x48"):
        ferplus.load(tmp_path, "valid")


def test_augmented_faces_have_the_shape_and_range_and_repeat():
    x = torch.rand(24, 1, 64, 64)
    one, two = (augment.faces(x, 48, torch.Generator().manual_seed(3), torch.arange(24) % 2 == 0) for _ in range(2))
    assert one.shape == (24, 1, 48, 48) and torch.equal(one, two)
    assert 0 <= one.min() and one.max() <= 1 and not torch.equal(one[0], one[1])


def test_warp_without_change_is_the_identity_and_flip_mirrors():
    x, n = torch.rand(2, 1, 32, 32), torch.zeros(2)
    assert torch.allclose(augment.warp(x, 32, n, n + 1, torch.zeros(2, 2)), x, atol=1e-5)
    mirrored = augment.warp(x, 32, n, n + 1, torch.zeros(2, 2), flip=torch.tensor([True, False]))
    assert torch.allclose(mirrored[0], x[0].flip(-1), atol=1e-5) and torch.allclose(mirrored[1], x[1], atol=1e-5)


def test_jpeg_keeps_a_flat_picture_and_loses_noise():
    assert torch.allclose(augment.jpeg(torch.full((1, 1, 16, 16), 0.5), 20), torch.full((1, 1, 16, 16), 0.5), atol=0.02)
    noise = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    assert (augment.jpeg(noise, 90) - noise).abs().mean() < 0.5 * (augment.jpeg(noise, 10) - noise).abs().mean()


def test_mix_keeps_targets_distributions():
    g = torch.Generator().manual_seed(0)
    for _ in range(30):
        _, target = augment.mix(torch.rand(8, 1, 16, 16), torch.eye(7)[torch.arange(8) % 7], g, share=1.0)
        assert torch.allclose(target.sum(1), torch.ones(8), atol=1e-5)


def test_similarity_recovers_turn_scale_and_shift():
    points = np.random.default_rng(0).normal(size=(5, 2))
    a = np.deg2rad(25)
    m = 1.7 * np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    found = crop.fit_similarity(points, points @ m.T + [3, -2])
    assert np.allclose(found, np.concatenate([m, [[3], [-2]]], 1))


def test_crops_put_landmarks_and_box_in_place():
    image = np.zeros((200, 300), np.uint8)
    template = np.array([[.3, .35], [.7, .35], [.5, .55], [.35, .75], [.65, .75]])
    marks = template * 80 + [120, 60]
    for x, y in marks:
        image[int(y) - 2:int(y) + 3, int(x) - 2:int(x) + 3] = 255
    picture = crop.aligned(image, marks, template, 40)
    for x, y in template * 40:
        assert picture[int(y), int(x)] > 180
    matrix = crop.from_box(np.array([100, 50, 180, 150]), np.array([0.1, 0.1, 0.64, 0.8]))
    assert np.allclose(matrix @ [140, 50, 1], [0.42, 0.1]) and np.allclose(matrix @ [140, 150, 1], [0.42, 0.9])


def test_shrinking_crop_averages_its_footprint():
    image = np.indices((256, 256)).sum(0) % 2 * 255
    picture = crop.draw(image.astype(np.uint8), np.array([[1, 0, 0], [0, 1, 0.0]]) / 256, 32)
    assert abs(picture.mean() - 127.5) < 2 and picture.std() < 4


def test_sampler_favours_rare_classes_as_asked():
    labels = np.repeat(np.arange(7), [900, 50, 50, 50, 50, 50, 50])
    share = lambda power: float((labels[encoder.Sampler(labels, power, "cpu").rows(torch.Generator().manual_seed(1), 20000).numpy()] == 0).mean())
    assert abs(share(1.0) - 0.75) < 0.02 and abs(share(0.0) - 1 / 7) < 0.02


def test_soft_targets_are_distributions_led_by_the_label():
    votes = torch.tensor([[0.5, 0.5, 0, 0, 0, 0, 0]])
    target = encoder.soften(votes, torch.tensor([1]))
    assert torch.allclose(target.sum(1), torch.ones(1)) and target.argmax(1).item() == 1


def test_figures_by_hand():
    truth, guess = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 2, 2])
    war, uar = metrics.war_uar(guess, truth)
    assert war == pytest.approx(4 / 6) and uar == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert metrics.confusion(guess, truth)[0, :3].tolist() == [2, 1, 0]
    p = np.array([[0.9, 0.1], [0.9, 0.1]])
    assert metrics.ece(p, np.array([0, 1])) == pytest.approx(0.4)


def test_ece_by_chance_falls_with_the_number_of_independent_answers():
    top = np.random.default_rng(1).uniform(0.5, 1, 300).repeat(10)
    p = np.stack([top, 1 - top], 1)
    alone = metrics.ece_by_chance(p, np.arange(3000))
    assert alone < 0.03
    assert metrics.ece_by_chance(p, np.arange(3000) // 10) > 2 * alone
    assert metrics.ece_by_chance(np.array([[1.0, 0.0]] * 5), np.arange(5)) == 0.0


def test_temperature_undoes_a_known_scale():
    g = np.random.default_rng(0)
    logits = g.normal(size=(20000, 7)) * 2
    truth = np.array([g.choice(7, p=p) for p in metrics.softmax(logits)])
    assert metrics.fit_temperature(logits * 3, truth) == pytest.approx(3, rel=0.06)


def test_yaw_is_zero_in_front_and_signed_at_the_side():
    front = [[0, 0], [1, 0], [.5, .6], [.2, 1], [.8, 1]]
    side = [[0, 0], [1, 0], [.85, .6], [.4, 1], [.9, 1]]
    angles = robustness.yaw([front, side])
    assert abs(float(angles[0])) < 1e-6 and 25 < float(angles[1]) < 35


def test_disturbances_keep_shape_and_range():
    x = torch.rand(3, 1, 64, 64)
    for name, change in robustness.CHANGES.items():
        y = change(x)
        assert y.shape == x.shape and y.min() >= -1e-4 and y.max() <= 1 + 1e-4, name


def test_training_resumes_where_it_was_killed(tmp_path, monkeypatch):
    """Four steps in one go, and two, a kill and the rest, end in the same weights."""
    faces = ferplus.Faces(np.random.default_rng(0).integers(0, 256, (40, 48, 48), dtype=np.uint8),
                          np.eye(7, dtype=np.float32)[np.arange(40) % 7], np.arange(40) % 7, [""] * 40, np.eye(10)[np.arange(40) % 7])
    monkeypatch.setattr(encoder, "report", lambda *a: None)
    monkeypatch.setattr(encoder, "SAVE_EVERY", 1)

    def run(folder, kill_at=None):
        args = encoder.arguments(["--work", str(tmp_path / folder), "--steps", "4", "--batch", "8", "--small", "32"])
        device = common.setup(args)
        network = Encoder(widths=(8, 8, 8, 8), depths=(1, 1, 1, 1), drop=0.0)
        batches = encoder.Batches(args, faces, device)

        def killed(step, size):
            if step == kill_at:
                raise KeyboardInterrupt
            return batches(step, size)

        encoder.fit(args, network, {}, killed, faces, device, common.Log(tmp_path / folder / "log"))

    run("whole")
    with pytest.raises(KeyboardInterrupt):
        run("parts", kill_at=2)
    assert common.load_checkpoint(tmp_path / "parts" / "encoder.pt")["step"] == 2
    run("parts")
    whole, parts = (common.load_checkpoint(tmp_path / f / "encoder.pt")["network"] for f in ("whole", "parts"))
    assert all(torch.allclose(whole[k].float(), parts[k].float(), atol=1e-5) for k in whole)
    # A kill after the last step leaves no shift: the next start writes it.
    shift = tmp_path / "parts" / "encoder-shift.json"
    shift.unlink()
    run("parts")
    assert json.loads(shift.read_text()) == pytest.approx(encoder.balance(np.bincount(faces.labels) / 40).tolist())


def test_where_there_are_no_votes_the_teacher_speaks_alone(tmp_path):
    shape = {"widths": (8, 8, 8, 8), "depths": (1, 1, 1, 1)}
    common.save_checkpoint(tmp_path / "t.pt", {"average": Encoder(**shape).state_dict(), "shape": shape})
    teachers = encoder.Teachers([tmp_path / "t.pt"], torch.device("cpu"))
    x, target = torch.randn(3, 1, 64, 64), torch.eye(7)[:3]
    target[2] = 0
    taught, said = teachers.teach(x, 0.3 * target), teachers(x)
    assert torch.allclose(taught.sum(1), torch.ones(3), atol=1e-5)
    assert torch.allclose(taught[2], said[2]) and torch.allclose(taught[0], 0.3 * target[0] + 0.7 * said[0], atol=1e-6)


def test_a_crop_file_of_an_older_recipe_says_what_to_do(tmp_path):
    path = tmp_path / "crop.json"
    with pytest.raises(FileNotFoundError, match="crop.json"):
        crop.place(path, "live")
    path.write_text(json.dumps({"template": [[.36, .4]] * 5}))
    assert crop.place(path, "template").shape == (5, 2)
    with pytest.raises(ValueError, match="`live`.*align again"):
        crop.place(path, "live")


def test_a_batch_mixes_in_stills_and_faces_without_labels(tmp_path, monkeypatch):
    faces = ferplus.Faces(np.zeros((20, 48, 48), np.uint8), np.eye(7, dtype=np.float32)[np.arange(20) % 7], np.arange(20) % 7, [""] * 20, np.eye(10)[np.arange(20) % 7])
    np.savez(tmp_path / "stills.npz", images=np.full((4, 64, 64), 255, np.uint8), targets=np.eye(7, dtype=np.float32)[:4])
    (tmp_path / "crop.json").write_text(json.dumps({"labelled": [[.36, .4], [.64, .4], [.5, .57], [.38, .7], [.62, .7]]}))
    marks = [[30, 30], [70, 30], [50, 50], [35, 70], [65, 70]]
    photo = {"file": "a.png", "source": "s", "split": "train", "width": 120, "height": 100,
             "faces": [{"box": [10, 10, 80, h], "score": 0.9, "landmarks": marks, "ignore": False} for h in (80, 30)]}
    (tmp_path / "labels.jsonl").write_text(json.dumps(photo) + "\n")
    cv2.imwrite(str(tmp_path / "a.png"), np.full((100, 120, 3), 128, np.uint8))
    assert align.strangers(tmp_path, tmp_path, 64).shape == (1, 64, 64)
    args = encoder.arguments(["--work", str(tmp_path), "--batch", "400", "--stills", str(tmp_path / "stills.npz"), "--still-share", "0.2",
                              "--faces", str(tmp_path), "--face-share", "0.3", "--teacher", "t.pt", "--strength", "0"])
    placed, moved = [], augment.faces
    monkeypatch.setattr(augment, "faces", lambda x, size, g, aligned, strength: placed.append(aligned) or moved(x, size, g, aligned, strength))
    x, target = encoder.Batches(args, faces, torch.device("cpu"))(0, 64)
    assert x.shape == (400, 1, 64, 64) and target.shape == (400, 7)
    # Nothing is known of a face without label, all of a rendered one; of the rest the teachers have 0.7.
    for known, share in ((0, 0.3), (1, 0.2), (0.3, 0.5)):
        assert abs(float(torch.isclose(target.sum(1), torch.tensor(float(known)), atol=1e-4).float().mean()) - share) < 0.08
    # Stills and faces count as placed, loose stills do not.
    args.loose_stills = True
    encoder.Batches(args, faces, torch.device("cpu"))(0, 64)
    assert [abs(float(p.float().mean()) - share) < 0.08 for p, share in zip(placed, (0.5, 0.3))] == [True, True]
    with pytest.raises(SystemExit):
        encoder.arguments(["--faces", "photographs"])


def test_checkpoint_is_whole_or_absent(tmp_path):
    path = tmp_path / "a" / "x.pt"
    assert common.load_checkpoint(path) is None
    common.save_checkpoint(path, {"step": 3})
    assert common.load_checkpoint(path)["step"] == 3 and common.load_checkpoint(path, fresh=True) is None
    assert [p.name for p in path.parent.iterdir()] == ["x.pt"]
    with pytest.raises(KeyboardInterrupt):
        with common.replacing(path) as file:
            file.write(b"half")
            raise KeyboardInterrupt
    assert common.load_checkpoint(path)["step"] == 3


def test_weights_survive_half_precision(tmp_path):
    torch.manual_seed(1)
    one, two = (Encoder(widths=(8, 8, 8, 8), depths=(1, 1, 1, 1)) for _ in range(2))
    common.save_weights(tmp_path / "w.pt", one)
    common.load_weights(tmp_path / "w.pt", two)
    assert all(torch.allclose(a, b, atol=1e-3) for a, b in zip(one.state_dict().values(), two.state_dict().values()))
    with pytest.raises(FileNotFoundError, match="weights to start from"):
        common.load_weights(tmp_path / "none.pt", two)


def test_average_follows_and_smooths():
    network = torch.nn.Linear(1, 1)
    average = common.Average(network, 0.9)
    with torch.no_grad():
        network.weight.fill_(5.0)
    for _ in range(200):
        average.update(network)
    assert float(average.network.weight) == pytest.approx(5.0, abs=1e-3)


def test_a_mirrored_face_has_the_same_embedding():
    torch.manual_seed(0)
    network = Encoder(widths=(8, 16, 16, 32), depths=(1, 2, 1, 1))
    with torch.no_grad():
        network.train()(torch.randn(8, 1, 64, 64))  # statistics of normalisation that are not 0 and 1
        x = torch.randn(3, 1, 64, 64)
        (one, answer), (other, mirrored) = network.eval()(x), network(x.flip(-1))
    assert torch.allclose(one, other, atol=1e-4) and torch.allclose(answer, mirrored, atol=1e-4)
    assert not torch.allclose(one[0], one[1], atol=1e-2)


def test_exported_encoder_and_reference(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    network = Encoder()
    with torch.no_grad():
        network.train()(torch.randn(8, 1, 64, 64))
    path = tmp_path / "encoder.onnx"
    export.save(graph.encoder(network, 64), path)
    x = export.smooth_noise((1, 1, 64, 64), 1)
    with torch.no_grad():
        embedding, logits = network.eval()(torch.from_numpy(x))
    assert export.check(path, {"face": x}, {"embedding": embedding.numpy(), "logits": logits.numpy()}) <= 1e-4
    with pytest.raises(ValueError, match="differs"):
        export.check(path, {"face": x}, {"logits": logits.numpy() + 1})
    assert multiply_adds(network, (1, 1, 64, 64)) <= 140


def test_an_encoder_is_exported_with_its_shift(tmp_path):
    place = [[.36, .4], [.64, .4], [.5, .57], [.38, .7], [.62, .7]]
    (tmp_path / "crop.json").write_text(json.dumps({"live": place, "box": [.1, .1, .8, .8]}))
    torch.manual_seed(0)
    network = Encoder().eval()
    common.save_checkpoint(tmp_path / "encoder.pt", {"average": network.state_dict()})
    ship = lambda: export.export_encoder(tmp_path / "encoder.pt", tmp_path / "crop.json", tmp_path / "models", print)
    with pytest.raises(FileNotFoundError, match="encoder-shift.json"):
        ship()
    assert not (tmp_path / "models").exists()
    (tmp_path / "encoder-shift.json").write_text(json.dumps([0.5] + [0.0] * 6))
    ship()
    reference = json.loads((tmp_path / "models" / "reference" / "encoder.json").read_text())
    with torch.no_grad():
        logits = network(torch.tensor(reference["inputs"]["face"]["data"]).view(1, 1, 64, 64))[1][0]
    assert reference["outputs"]["logits"]["data"] == pytest.approx((logits + torch.tensor([0.5] + [0.0] * 6)).tolist(), abs=1e-4)


def test_values_in_toml_are_set_in_place_or_appended():
    import tomllib
    text = 'a = 1\n\n[crop]\nbox = [1] # old\n\n[calibration]\ntemperature = 1.0\n'
    text = export.set_value(text, "crop", "box", "[2]")
    text = export.set_value(text, "crop", "template", "[3]")
    text = export.set_value(text, "graphs.head", "file", '"head.onnx"')
    assert tomllib.loads(text) == {"a": 1, "crop": {"box": [2], "template": [3]}, "calibration": {"temperature": 1.0},
                                   "graphs": {"head": {"file": "head.onnx"}}}


def test_balance_helps_the_rare_and_keeps_the_whole():
    g = np.random.default_rng(0)
    labels = np.repeat(np.arange(7), [600, 400, 400, 300, 300, 60, 80])
    logits = g.normal(size=(len(labels), 7)) + 2.2 * np.eye(7)[labels]
    prior = np.bincount(labels) / len(labels)
    logits += 0.8 * np.log(prior)
    shift = encoder.balance(prior)
    before, after = (metrics.war_uar((logits + s).argmax(1), labels) for s in (0, shift))
    assert after[1] > before[1] and sum(after) > sum(before) and abs(shift.mean()) < 1e-9


def test_template_is_symmetric_and_box_follows_the_landmarks():
    g = np.random.default_rng(1)
    shape = np.array([[.3, .4], [.7, .4], [.5, .58], [.36, .75], [.64, .75]])
    marks = shape + g.normal(0, 0.01, (50, 5, 2))
    found = align.template(marks, np.ones(50))
    assert np.allclose(found, shape, atol=0.01) and np.allclose(found[0] + found[1], [1, 2 * found[0, 1]])
    boxes = np.tile([0.2, 0.1, 0.8, 0.9], (50, 1))
    smaller = 0.5 + (shape - 0.5) * 0.5
    assert np.allclose(align.box_in_crop(marks, boxes, smaller), [0.35, 0.3, 0.3, 0.4], atol=0.02)


def test_whoever_marks_faces_differently_gets_a_template_that_places_them_alike():
    g = np.random.default_rng(2)
    shape = np.array([[.3, .4], [.7, .4], [.5, .58], [.36, .75], [.64, .75]])
    ours, theirs = [], []
    for _ in range(40):
        m = facedet.similarity(g.uniform(20, 90), g.uniform(-20, 20), (0.5, 0.5), tuple(g.uniform(40, 60, 2)))
        carried = lambda points: points @ m[:, :2].T + m[:, 2]
        ours.append(carried(shape))
        # They see eyes and mouth closer together.
        theirs.append(carried(0.5 + (shape - 0.5) * 0.9))
    assert np.allclose(align.counterpart(np.array(theirs), np.array(ours), shape), 0.5 + (shape - 0.5) * 0.9, atol=1e-6)


def test_photographs_are_cut_as_ferplus_and_followed_as_by_the_plugin(monkeypatch):
    tight = np.array([[.3, .4], [.7, .4], [.5, .58], [.36, .75], [.64, .75]])
    marks = np.array([tight * 80 + 20, tight * 80 + 20, tight * 40 + 10], np.float32)
    marks[1, 2, 0] += 30
    boxes = np.array([[20, 20, 100, 100], [20, 20, 100, 100], [10, 10, 50, 50]], np.float32)
    photo = facedet.Photo("a", "s", [np.zeros((120, 120, 3), np.uint8)], boxes, marks, np.zeros((0, 4)))
    monkeypatch.setattr(align.search, "follow", lambda detect, image, box, least: (box + 1, marks[0] + 2, 0.9))
    monkeypatch.setattr(align, "find", lambda network, pictures, device: (np.tile(tight, (len(pictures), 1, 1)), None, np.ones(len(pictures))))
    faces = align.photographed(None, [photo], tight, torch.device("cpu"))
    # Neither the face that looks away nor the small one.
    assert len(faces.cut) == 1 and np.allclose(faces.cut[0], marks[0], atol=1e-3)
    assert np.allclose(faces.live[0], marks[0] + 2) and np.allclose(faces.boxes[0], boxes[0] + 1)
    with pytest.raises(ValueError, match="none of the 0 photographs"):
        align.photographed(None, [], tight, torch.device("cpu"))
