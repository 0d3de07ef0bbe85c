# SPDX-License-Identifier: MPL-2.0
"""The detector's targets, loss, decoding and measuring, on made-up faces."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from dfer_training import common, detector, facedet, graph, search
from dfer_training.detector_loss import assign, cells, decode, loss, overlap
from dfer_training.detector_measure import at_alarms, measure, merge, neither
from dfer_training.nets import Detector, multiply_adds


def photo(boxes, size=(160, 120), ignored=()):
    """A grey photograph with bright faces, width and height as in `size`."""
    image = np.full((size[1], size[0], 3), 60, np.uint8)
    for x0, y0, x1, y1 in boxes:
        image[int(y0):int(y1), int(x0):int(x1)] = 200
    marks = [[[x0 + u * (x1 - x0), y0 + v * (y1 - y0)] for u, v in
              ((.3, .4), (.7, .4), (.5, .6), (.35, .8), (.65, .8))] for x0, y0, x1, y1 in boxes]
    return facedet.Photo("x", "made", [image, image[::2, ::2].copy()], np.array(boxes, np.float32).reshape(-1, 4),
                         np.array(marks, np.float32).reshape(-1, 5, 2), np.array(ignored, np.float32).reshape(-1, 4))


def perfect(boxes, marks, height=96, width=96):
    """Heads that answer exactly with the given faces at every cell nearest to a face's centre, at stride 8."""
    heads = [(torch.full((1, 1, height // s, width // s), -8.0), torch.zeros(1, 14, height // s, width // s))
             for s in Detector.STRIDES]
    score, g = heads[0]
    for b, m in zip(boxes, marks):
        x, y = int((b[0] + b[2]) / 16), int((b[1] + b[3]) / 16)
        c = torch.tensor([(x + .5) * 8, (y + .5) * 8])
        score[0, 0, y, x] = 8.0
        g[0, 0:2, y, x] = (torch.tensor([(b[0] + b[2]) / 2, (b[1] + b[3]) / 2]) - c) / 8
        g[0, 2:4, y, x] = torch.tensor([b[2] - b[0], b[3] - b[1]]).div(8).log()
        g[0, 4:, y, x] = ((torch.tensor(m) - c) / 8).reshape(-1)
    return heads


def test_decode_follows_the_contract():
    boxes, marks = [[20.0, 30.0, 50.0, 70.0]], [[[28., 45.], [42., 45.], [35., 54.], [30., 61.], [40., 61.]]]
    logits, found, points = decode(perfect(boxes, marks))
    best = int(logits[0].argmax())
    assert torch.allclose(found[0, best], torch.tensor(boxes[0]), atol=1e-4)
    assert torch.allclose(points[0, best], torch.tensor(marks[0]), atol=1e-4)


def test_cells_are_centred_and_ordered_by_stride():
    heads = perfect([], [])
    centres, strides = cells(heads, "cpu")
    assert centres[0].tolist() == [4, 4] and centres[1].tolist() == [12, 4] and centres[12].tolist() == [4, 12]
    assert strides.tolist() == [8.0] * 144 + [16.0] * 36 + [32.0] * 9


def test_loss_is_small_for_a_perfect_answer_and_larger_for_any_other():
    boxes, marks = [[20.0, 30.0, 50.0, 70.0]], [[[28., 45.], [42., 45.], [35., 54.], [30., 61.], [40., 61.]]]
    truth, points = torch.tensor([boxes]), torch.tensor([marks])
    present, none = torch.ones(1, 1, dtype=torch.bool), (torch.zeros(1, 1, 4), torch.zeros(1, 1, dtype=torch.bool))
    good = loss(perfect(boxes, marks), truth, points, present, *none)
    moved = loss(perfect([[26.0, 30.0, 56.0, 70.0]], marks), truth, points, present, *none)
    bent = loss(perfect(boxes, (np.array(marks) + 4).tolist()), truth, points, present, *none)
    assert moved["box"] > good["box"] and bent["marks"] > good["marks"]


def test_false_alarm_on_an_ignore_box_costs_nothing():
    heads = perfect([[20.0, 30.0, 50.0, 70.0]], [np.zeros((5, 2), np.float32)])
    empty = torch.zeros(1, 1, 4), torch.zeros(1, 1, 5, 2), torch.zeros(1, 1, dtype=torch.bool)
    punished = loss(heads, *empty, torch.zeros(1, 1, 4), torch.zeros(1, 1, dtype=torch.bool))["score"]
    spared = loss(heads, *empty, torch.tensor([[[20.0, 30.0, 50.0, 70.0]]]), torch.ones(1, 1, dtype=torch.bool))["score"]
    assert spared < 0.01 * punished


def test_every_face_gets_cells_and_no_cell_two_faces():
    boxes = [[4.0, 4.0, 14.0, 16.0], [40.0, 30.0, 90.0, 92.0], [4.0, 50.0, 30.0, 84.0]]
    heads = perfect([], [])
    logits, found, _ = decode(heads)
    index = assign(logits, found, *cells(heads, "cpu"), torch.tensor([boxes + [[0.0] * 4]]), torch.tensor([[True] * 3 + [False]]))
    assert set(index[0].tolist()) == {-1, 0, 1, 2}


def test_overlap_against_hand_made_values():
    a, b = torch.tensor([0.0, 0, 10, 10]), torch.tensor([[5.0, 0, 15, 10], [10, 10, 20, 20], [0, 0, 10, 10]])
    assert torch.allclose(overlap(a, b), torch.tensor([1 / 3, 0.0, 1.0]))


def test_a_heap_is_one_face_and_every_cell_has_a_say():
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [30, 30, 40, 40], [60, 0, 70, 10]], np.float32)
    marks = np.repeat(boxes[:, None, :2], 5, 1)
    found, points, scores = merge(boxes, marks, np.array([0.6, 0.9, 0.7, 0.3]), 0.5)
    assert scores.tolist() == [0.9, 0.7]
    assert np.allclose(found[0], [0.6, 0, 10.6, 10]) and np.allclose(points[0], [0.6, 0])
    assert len(merge(boxes, marks, np.full(4, 0.2), 0.5)[0]) == 0


def test_measuring_counts_hits_false_alarms_and_neither():
    class Fixed:
        def __init__(self, heads):
            self.heads = heads

        def eval(self):
            return self

        def __call__(self, x):
            return [(s.expand(len(x), -1, -1, -1), g.expand(len(x), -1, -1, -1)) for s, g in self.heads]

    face, alarm, shrug = [20.0, 30.0, 50.0, 70.0], [100.0, 20.0, 120.0, 44.0], [130.0, 80.0, 150.0, 104.0]
    p = photo([face], (320, 192), [shrug])
    heads = perfect([face, alarm, shrug], [p.landmarks[0]] * 3, 192, 320)
    out = measure(Fixed(heads), [p], torch.device("cpu"))
    row = next(r for r in out["curve"] if r["score"] == 0.5)
    assert row == {"score": 0.5, "recall": 1.0, "false_per_image": 1.0}
    assert out["landmark_error"] < 1e-4
    assert neither(np.array(shrug), p.ignored) and not neither(np.array(alarm), p.ignored)


def test_canvases_keep_labels_on_the_faces():
    """The bright rectangles of a made photograph must lie where the composed boxes say, whatever the transform."""
    photos = [photo([[50, 30, 90, 80]]), photo([])]
    composer = facedet.Composer(photos, np.random.default_rng(3))
    seen = 0
    for _ in range(40):
        canvas = composer.window()
        assert canvas.image.shape == (96, 96, 3)
        for box, marks in zip(canvas.boxes, canvas.landmarks):
            x, y = marks[2]
            if 2 < x < 93 and 2 < y < 93:
                assert canvas.image[int(y), int(x), 0] > 150
                assert box[0] < x < box[2] and box[1] < y < box[3]
                seen += 1
    assert seen > 20


def test_mirroring_swaps_left_and_right():
    composer = facedet.Composer([photo([[50, 30, 90, 80]]), photo([])], np.random.default_rng(1))
    for _ in range(12):
        canvas = facedet.Canvas(np.zeros((96, 96, 3), np.uint8), [np.array([10., 20, 40, 60])],
                                [np.array([[18., 36], [32, 36], [25, 44], [20, 52], [30, 52]])])
        composer.finish(canvas)
        left, right = canvas.landmarks[0][0], canvas.landmarks[0][1]
        assert left[0] < right[0]
        assert canvas.boxes[0][0] < left[0] < canvas.boxes[0][2]


def test_step_n_is_the_same_wherever_a_run_starts():
    photos = [photo([[50, 30, 90, 80]]), photo([])]
    args = SimpleNamespace(seed=5, steps=3, frames=2, windows=2, composers=1)
    whole, part = list(detector.batches(photos, args, 0)), list(detector.batches(photos, args, 2))
    assert torch.equal(whole[2][0][0], part[0][0][0]) and torch.equal(whole[2][1][1], part[0][1][1])


def test_turned_box_of_a_quarter_turn_swaps_width_and_height():
    turned = facedet.turned_boxes(np.array([[0.0, 0, 20, 40]]), facedet.similarity(1.0, 90, (10, 20), (50, 50)))
    assert np.allclose(turned, [[30, 40, 70, 60]], atol=1e-4)


def test_exported_graph_answers_as_the_network_does(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    network = Detector()
    with torch.no_grad():
        network.train()(torch.randn(4, 3, 64, 64))  # statistics other than 0 and 1, so that folding is put to the test
    model = graph.detector(network)
    run = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    for shape in ((1, 3, 64, 64), (1, 3, 96, 160)):
        x = torch.randn(shape)
        with torch.no_grad():
            (score, _), _, (_, geometry) = network.eval()(x)
        found = run.run(["score_8", "geometry_32"], {"image": x.numpy()})
        assert np.abs(found[0] - score.sigmoid().numpy()).max() < 1e-4
        assert np.abs(found[1] - geometry.numpy()).max() < 1e-4
    assert multiply_adds(network, (1, 3, 192, 320)) <= 150


def test_false_faces_are_mined_once_and_shown_in_windows(tmp_path):
    class Seer(torch.nn.Module):
        """Sees a face where there is one, and another in the corner."""

        def forward(self, x):
            boxes = [[40.0, 40.0, 80.0, 80.0], [200.0, 100.0, 232.0, 132.0]]
            heads = perfect(boxes, [[[0.0, 0.0]] * 5] * 2, 192, 320)
            return [(s.expand(len(x), *s.shape[1:]), g.expand(len(x), *g.shape[1:])) for s, g in heads]

    photos = [photo([[40, 40, 80, 80]], (320, 192))]
    detector.mine(Seer(), photos, "cpu", tmp_path / "suspects.json")
    assert np.allclose(photos[0].suspects, [[200, 100, 232, 132]], atol=0.01)
    detector.mine(None, photos, "cpu", tmp_path / "suspects.json")
    assert len(photos[0].suspects) == 1
    composer = facedet.Composer(photos, np.random.default_rng(0))
    composer.without = photos
    empty = sum(not composer.window().boxes for _ in range(200))
    assert 35 <= empty <= 90, empty


def test_both_looks_decide_on_what_the_first_suggests():
    box = [100.0, 60.0, 140.0, 110.0]
    spot = [250.0, 150.0, 270.0, 175.0]
    image = photo([box], (320, 192)).levels[0]
    marks = np.zeros((5, 2))

    def detect(view, least):
        """Unsure of both in the frame, sure of what is bright in a window."""
        if view.shape[1] == 320:
            answers = [(box, 0.4), (spot, 0.4)]
        else:
            answers = [([28.0, 28.0, 68.0, 68.0], 0.9 if view[48, 48, 0] > 150 else 0.45)]
        answers = [a for a in answers if a[1] >= least]
        return np.array([a[0] for a in answers]).reshape(-1, 4), np.array([marks] * len(answers)).reshape(-1, 5, 2), np.array([a[1] for a in answers])

    faces = search.find(detect, image, 0.6)
    assert len(faces) == 1 and faces[0][2] == pytest.approx(0.65)
    assert search.overlap(faces[0][0], np.array(box)) > 0.6
    seen = search.looks(detect, image, 0.2)
    assert len(seen) == 2 and len(search.decide(seen, 0.4)) == 2
    # Of the two, which score 0.65 and 0.425, one is no face: no alarm at all from 0.43 on.
    row = at_alarms([seen], [photo([box], (320, 192))])
    assert (row["score"], row["recall"], row["false_per_image"]) == (0.43, 1, 0)


@pytest.mark.parametrize("picture, shape", [
    ((1920, 1080), (320, 192)), ((640, 480), (288, 224)), ((500, 500), (256, 256)), ((1080, 1920), (192, 320)),
    ((2560, 1080), (384, 160)), ((100_000, 10), (2048, 32)), ((1, 10_000), (32, 2048)),
])
def test_a_picture_is_shown_in_its_own_shape(picture, shape):
    """The same answers as the runtime's `frame_size_for` is tested for."""
    assert search.frame_for(picture) == shape == search.frame_for(shape)


def test_a_reviewed_label_is_neither_face_nor_background(tmp_path):
    photos = [photo([(10, 10, 50, 60), (90, 20, 130, 70)], ignored=[(0, 100, 10, 110)])]
    listed = tmp_path / "review.csv"
    listed.write_text("file,x,y,width,height,what\nx,90.0,20.0,40.0,50.0,lamp\n")
    seen, = facedet.reviewed(photos, listed)
    assert seen.boxes.tolist() == [[10, 10, 50, 60]] and len(seen.landmarks) == 1
    assert seen.ignored.tolist() == [[0, 100, 10, 110], [90, 20, 130, 70]] and len(photos[0].boxes) == 2
    for row, message in (("x,91.0,20.0,40.0,50.0,lamp", "has not|have not"), ("y,90.0,20.0,40.0,50.0,lamp", "not among")):
        listed.write_text(f"file,x,y,width,height,what\n{row}\n")
        with pytest.raises(ValueError, match=message):
            facedet.reviewed(photos, listed)
