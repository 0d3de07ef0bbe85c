# SPDX-License-Identifier: MPL-2.0
"""The temporal head: sampling as the runtime does it, agreement, targets, the exported graph."""

import numpy as np
import onnxruntime
import pytest
import torch

from dfer_training import agreement, ferplus, head_measure, pseudo, sampling, syndfer, temporal
from dfer_training.nets import Encoder


def test_key_moments_are_apart_in_order_and_always_enough():
    # The cases of the runtime's own test.
    pick = lambda scores, count: sampling.key_moments(torch.tensor([scores]), count)[0].tolist()
    assert pick([0.0, 5.0, 4.9, 1.0, 3.0, 0.5, 0.2, 2.0], 3) == [1, 4, 7]
    assert pick([1.0] * 16, 4) == [0, 2, 4, 6]
    assert pick([3.0, 2.0, 1.0], 3) == [0, 1, 2]


def test_synopsis_and_detail_stay_inside_the_part():
    for n in (1, 5, 12, 39):
        length = torch.tensor([n])
        for part in sampling.PARTS:
            p = torch.tensor([part])
            index = sampling.synopsis(length, p)
            low, high = part[0] * (n - 1), part[1] * (n - 1)
            assert index.shape == (1, 16) and (index.diff() >= 0).all()
            assert index.min() >= np.floor(low) and index.max() <= np.ceil(high)
            detail = sampling.detail(length, p, index[:, [0, 4, 9, 15]])
            assert detail.shape == (1, 4, 4) and detail.min() >= np.floor(low) and detail.max() <= np.ceil(high)
            if n == 39:
                assert (detail.diff(dim=2) == 1).all()


def test_synopsis_times_by_hand():
    # 39 frames, whole window: step 38 / 16 = 2.375.
    index = sampling.synopsis(torch.tensor([39]), torch.tensor([[0.0, 1.0, 0.0]]))[0]
    assert index[:5].tolist() == [0, 2, 5, 7, 9]


def test_agreement_by_hand():
    same = np.full((1, 5, 7), 1 / 7)
    assert agreement.agreement(same)[0] == pytest.approx(1)
    apart = np.zeros((1, 2, 7))
    apart[0, 0, 0] = apart[0, 1, 3] = 1
    assert agreement.agreement(apart)[0] == pytest.approx(0)
    half = np.array([[[1, 0], [0.5, 0.5]]])
    # JSD of (1, 0) and (1/2, 1/2) is 0.311 bits.
    assert agreement.agreement(half)[0] == pytest.approx(1 - 0.31128, abs=1e-4)


def test_verdicts_tell_three_kinds_apart():
    sure = lambda k: np.tile(np.where(np.arange(7) == k, 0.94, 0.01), (5, 1))
    torn = np.stack([sure(k)[0] for k in (0, 1, 2, 0, 3)])
    p = np.stack([sure(0)] * 6 + [sure(1)] * 3 + [torn] * 3)
    verdict, _, _ = agreement.verdicts(p, np.zeros(12, int))
    assert verdict.tolist() == [agreement.CLEAN] * 6 + [agreement.NOISY] * 3 + [agreement.HARD] * 3
    evidence = agreement.evidence(p, np.zeros(12, int))
    assert evidence[6:9].min() > evidence[9:].max() > evidence[:6].max()


def test_otsu_splits_two_heaps():
    rng = np.random.default_rng(0)
    t = agreement.otsu(np.concatenate([rng.normal(0.3, 0.05, 500), rng.normal(0.9, 0.03, 300)]))
    assert 0.45 < t < 0.82
    with pytest.raises(ValueError, match="no values"):
        agreement.otsu(np.array([]))


def test_target_follows_key_frames_and_goes_blank_when_covered():
    truth = torch.zeros(1, 20, 7)
    truth[:, :12, 2] = 1
    truth[:, 12:, 0] = 1
    whole = torch.tensor([[0.0, 1.0, 0.0]])
    goal = pseudo.target(truth, torch.zeros(1, 20), torch.tensor([20]), whole)[0]
    assert goal.sum() == pytest.approx(1, abs=1e-5) and goal[0] > 0.7
    early = pseudo.target(truth, torch.zeros(1, 20), torch.tensor([20]), torch.tensor([[0.0, 0.5, 0.0]]))[0]
    assert early[2] > 0.95
    hidden = pseudo.target(truth, torch.ones(1, 20), torch.tensor([20]), whole)[0]
    assert hidden.max() < 0.3


@pytest.mark.parametrize("batch", [1, 3])
def test_exported_graph_equals_the_network(batch):
    torch.manual_seed(1)
    head = temporal.Head(32, width=16, move=8).eval()
    for p in head.parameters():
        torch.nn.init.normal_(p, std=0.2)
    head.mean.uniform_(-1, 1), head.scale.uniform_(0.5, 2)
    synopsis, detail = torch.randn(batch, 16, 32), torch.randn(batch, 4, 4, 32)
    session = onnxruntime.InferenceSession(temporal.graph(head, 32).SerializeToString())
    found = session.run(["logits", "long", "short", "moments"], {"synopsis": synopsis.numpy(), "detail": detail.numpy()})
    with torch.no_grad():
        for a, b in zip(found, head(synopsis, detail)):
            assert a.shape == tuple(b.shape) and np.abs(a - b.numpy()).max() < 1e-4
        # The moments are known before the detail is.
        other = session.run(["moments"], {"synopsis": synopsis.numpy(), "detail": 0 * detail.numpy()})[0]
        assert np.array_equal(other, found[3])


def test_single_stream_head_cannot_be_exported():
    with pytest.raises(ValueError, match="dual-stream"):
        temporal.graph(temporal.Head(32, dual=False), 32)


def test_composed_windows_are_distributions_of_the_right_shape():
    g = torch.Generator().manual_seed(0)
    rows = 40
    votes = torch.eye(7)[torch.arange(rows) % 7]
    bank = pseudo.Bank(torch.rand(rows, pseudo.VERSIONS, 8).half(), votes, torch.arange(rows) % 7, np.arange(rows))
    frames, length, truth, covered = pseudo.Composer(bank).draw(g, 64)
    assert frames.shape == (64, pseudo.FRAMES, 8) and truth.shape == (64, pseudo.FRAMES, 7)
    assert torch.allclose(truth.sum(2), torch.ones(64, pseudo.FRAMES), atol=1e-5)
    assert length.min() >= 12 and length.max() == pseudo.FRAMES
    assert covered.min() >= 0 and covered.max() <= 1 and 0.02 < covered.mean() < 0.6
    again = pseudo.Composer(bank).draw(torch.Generator().manual_seed(0), 64)
    assert torch.equal(again[0], frames)


def test_prediction_agreement_relabels_what_every_clip_denies(monkeypatch):
    labels = torch.arange(70) % 7
    shown = labels.clone()
    shown[:5] = (labels[:5] + 1) % 7  # these five carry a wrong label
    embeddings = torch.eye(7)[shown][:, None].expand(-1, pseudo.VERSIONS, -1).half()
    composer = pseudo.Composer(pseudo.Bank(embeddings, torch.eye(7)[labels], labels, np.arange(70)), power=1.0)

    def decide(head, frames, length):
        clips = (8 * frames.mean(1))[:, None].repeat(1, 5, 1)
        clips[labels == 6] = 8 * torch.eye(7)[:5]  # of these every clip says something else
        return clips

    monkeypatch.setattr(temporal, "decide", decide)
    composer.revise(None, seed=1)
    votes, drawn = composer.bank.votes, composer.any
    own, torn = torch.eye(7)[labels], labels == 6
    assert votes[:5].argmax(1).tolist() == shown[:5].tolist() and torch.equal(votes[5:][~torn[5:]], own[5:][~torn[5:]])
    # As many labels as are wrong where clips agree are doubted where they do not.
    assert (votes[torn, 6] - (1 - 5 / 60)).abs().max() < 0.01
    assert drawn[:5].max() < drawn[5] < drawn[labels == 6].min()


def test_agreement_has_a_temperature_of_its_own():
    logits = np.zeros((1, 2, 7))
    logits[0, 0, 1], logits[0, 1, 4] = 1, 1
    soft, sharp = head_measure.Calibration(2.0, 2.0), head_measure.Calibration(2.0, 0.01, min_agreement=0.5)
    assert np.allclose(soft.mean(logits), sharp.mean(logits))
    assert soft.agreement(logits)[0] > 0.9 and sharp.agreement(logits)[0] < 0.01
    assert sharp.held_back(logits)[0] and not soft.held_back(logits)[0]


def test_a_spoilt_film_is_spoilt_alike_in_every_frame_and_again():
    film = torch.rand(1, 1, 8, 8).repeat_interleave(8, 2).repeat_interleave(8, 3).expand(6, 1, 64, 64)
    seeds, worst = range(40), []
    for seed in seeds:
        one, two = (syndfer.spoil(seed)(film) for _ in range(2))
        assert one.shape == film.shape and torch.equal(one, two) and 0 <= one.min() and one.max() <= 1
        # Noise aside, which is new in every frame.
        worst.append(float((one[0] - one[5]).abs().mean()))
    assert max(worst) < 0.1 and 0.4 < np.mean(np.array(worst) < 1e-6) < 0.95
    looks = torch.stack([syndfer.spoil(seed)(film)[0] for seed in seeds])
    assert (looks - film[0]).abs().mean() > 0.05


def test_spoilt_pictures_are_a_share_of_a_bank():
    faces = ferplus.Faces(np.zeros((60, 48, 48), np.uint8), np.eye(7, dtype=np.float32)[np.arange(60) % 7], np.arange(60) % 7, [""] * 60, np.eye(10)[np.arange(60) % 7])
    images = np.random.default_rng(0).integers(0, 256, (60, 64, 64), dtype=np.uint8)
    network = Encoder(widths=(8, 8, 8, 8), depths=(1, 1, 1, 1)).eval()
    build = lambda spoilt: pseudo.build(network, faces, images, np.arange(60), torch.device("cpu"), 1, spoilt=spoilt).embeddings[:, 0].float()
    # The first version is the picture, or its mirror image, which the encoder sees alike.
    plain = pseudo.embed(network, torch.from_numpy(images)[:, None].float() / 255, torch.device("cpu"))
    same = lambda e: float(((e - plain).abs().amax(1) < 0.02 * plain.abs().max()).float().mean())
    assert same(build(0.0)) == 1.0 and same(build(0.5)) < 0.9


def test_crops_are_enlarged_in_turn():
    # A bright square in the middle: its area says the scale.
    film = torch.zeros(20, 1, 64, 64)
    film[:, :, 16:48, 16:48] = 1
    area = pseudo.in_turn(film).sum((1, 2, 3)) / 32**2
    want = torch.tensor([s * s for s in sampling.SCALES]).repeat_interleave(sampling.TURN)
    assert torch.allclose(area[:15], want, atol=0.01) and torch.allclose(area[15:], want[:5], atol=0.01)
    assert torch.equal(film[:3], pseudo.in_turn(film)[:3])


def test_a_still_is_seen_at_every_scale():
    network = lambda x: (x.mean((2, 3)).expand(-1, 5), None)
    network.eval = lambda: None
    picture = torch.zeros(2, 1, 64, 64)
    picture[1, :, 16:48, 16:48] = 1
    seen = pseudo.at_every_scale(network, picture, torch.device("cpu"))
    assert seen.shape == (2, len(sampling.SCALES), 5)
    frames, length = next(head_measure.frozen_windows(seen))
    assert frames.shape == (2, pseudo.FRAMES, 5) and length.tolist() == [pseudo.FRAMES] * 2
    brightness = frames[1, ::sampling.TURN, 0]
    assert torch.equal(brightness[:5].argsort(), torch.tensor(sampling.SCALES).argsort()) and brightness[5] == brightness[0]


def test_encoded_films_are_kept_for_their_splits(tmp_path, monkeypatch):
    network = lambda x: (x.sum((2, 3)).expand(-1, 2), None)
    network.eval = lambda: None
    images = np.repeat(np.array([0, 255], np.uint8), 30)[:, None, None] * np.ones((1, 8, 8), np.uint8)
    np.savez(tmp_path / "part-000.npz", images=images, lengths=[30, 30], labels=[0, 0], identity=[0, 9], weights=np.zeros((60, 7)),
             occluded=np.zeros(60), angles=np.zeros((60, 3)))
    load = lambda only=None: syndfer.load(tmp_path, network, torch.device("cpu"), tmp_path / "kept", print, only=only).embeddings
    test = load(("test",))
    assert len(test) == 30
    # What was kept of one split is not taken for all, and all serves for one.
    both = load()
    assert len(both) == 60 and torch.equal(both[30:], test) and not torch.equal(both[:30], test)
    assert torch.equal(load(("train",)), both[:30]) and torch.equal(load(("test",)), test)
    # What was being written when a run was killed is not taken for what is kept.
    kept, = (tmp_path / "kept").iterdir()
    kept.unlink()

    def killed(file, embeddings):
        file.write(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as m, pytest.raises(KeyboardInterrupt):
        m.setattr(np, "save", killed)
        load()
    assert not kept.exists() and torch.equal(load(), both)


def test_the_gate_of_confidence_is_where_answers_are_right_two_times_out_of_three():
    rng = np.random.default_rng(1)
    confidence = rng.uniform(0.2, 0.99, 20_000)
    # Right as often as the probability says, and half as often.
    assert head_measure.likely(confidence, rng.random(20_000) < confidence) == pytest.approx(2 / 3, abs=0.02)
    assert head_measure.likely(confidence, rng.random(20_000) < confidence / 2) == 0.8
    assert head_measure.likely(confidence, np.ones(20_000, bool)) == 0.3
    assert head_measure.likely(confidence, np.zeros(20_000, bool)) == 0.8


def test_gates_come_in_steps():
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 7, 4000)
    logits = (rng.normal(0, 1, (4000, 5, 7)) + 3 * rng.random((4000, 1, 1)) * np.eye(7)[labels][:, None]).astype(np.float32)
    for gate in head_measure.gates(head_measure.Calibration(1.0, 0.5), logits, labels):
        assert 0.3 <= gate <= 0.8 and round(gate / 0.025, 6) % 1 == 0
