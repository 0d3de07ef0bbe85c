# SPDX-License-Identifier: MPL-2.0
"""Pseudo-clips of real faces: FER+ pictures that drift, fade from neutral, change, and are covered for a while.

Every picture is encoded a few times (as it is, and moved, lit, blurred, compressed a little differently; and
covered by a hand or a board). Clips are then composed among these embeddings: going from one to the next
over time is a drifting face, from a neutral picture to another one an onset. No clip is encoded twice.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from . import agreement, augment, common, encoder, ferplus, sampling, temporal
from .synth.degrade import Occluder

VERSIONS = 5
"""Embeddings a picture: the first is the picture itself, the last the covered one."""
FRAMES = 39
"""Grid frames of the longest window (2.56 s at 15 a second, both ends)."""
GLARE = 0.1
"""Of the pictures and films that are spoilt for the head, the share that is over-exposed."""


@dataclass
class Bank:
    """embeddings [R, VERSIONS, D], votes [R, 7] and label [R] of each row; row -> FER+ picture [R]."""

    embeddings: torch.Tensor
    votes: torch.Tensor
    labels: torch.Tensor
    pictures: np.ndarray


def choose(labels: np.ndarray, cap: int, seed: int) -> np.ndarray:
    """Rows of a bank: at most `cap` pictures of a class; rare classes are taken several times (other versions)."""
    rng = np.random.default_rng(seed)
    rows = []
    for k in range(7):
        mine = rng.permutation(np.flatnonzero(labels == k))
        if len(mine):
            times = min(5, max(1, int(0.35 * cap / len(mine))))
            rows.append(np.concatenate([mine[:cap]] * times))
    return np.concatenate(rows)


def versions(x: torch.Tensor, g: torch.Generator, rng) -> torch.Tensor:
    """[B, 1, S, S] in 0..1 -> [B, VERSIONS, 1, S, S]."""
    size = x.shape[-1]
    flip = augment.some(g, len(x), 0.5)
    x = torch.where(flip[:, None, None, None], x.flip(-1), x)
    out = [x]
    for k in range(1, VERSIONS - 1):
        b = len(x)
        y = augment.warp(x, size, augment.normal(g, b, 5), torch.exp(augment.normal(g, b, 0.06)), torch.randn(b, 2, generator=g) * 0.05)
        y = y ** torch.exp(augment.normal(g, b, 0.25))[:, None, None, None]
        y = augment.side_light(y, augment.uniform(g, b, 0, 6.28), augment.uniform(g, b, 0, 0.4))
        if k == 2:
            y = augment.gaussian(y, float(augment.uniform(g, 1, 0.4, 1.3)))
        if k == 3:
            y = augment.jpeg(augment.coarsen(y, float(augment.uniform(g, 1, 0.4, 0.9))), float(augment.uniform(g, 1, 20, 80)))
        out.append(y.clamp(0, 1))
    covered = []
    for picture in x[:, 0].numpy():
        thing = Occluder(rng, size, float(np.median(picture)) * 255)
        covered.append(thing.put(picture * 255, rng.uniform(0.2, 0.8), rng.uniform(0.5, 0.9)) / 255)
    out.append(torch.from_numpy(np.array(covered, np.float32))[:, None].clamp(0, 1))
    return torch.stack(out, 1)


@torch.no_grad()
def embed(network, x: torch.Tensor, device, batch: int = 64) -> torch.Tensor:
    """Pictures [N, 1, S, S] in 0..1 -> embeddings [N, D] float32."""
    out = []
    network.eval()
    for start in range(0, len(x), batch):
        with common.autocast(device):
            out.append(network(encoder.prepare(x[start:start + batch].to(device)))[0].float().cpu())
    return torch.cat(out)


def enlarge(x: torch.Tensor, scale: float) -> torch.Tensor:
    """Pictures [B, 1, S, S], everything in them `scale` times as large about the middle; beyond a picture its border is repeated."""
    b = len(x)
    return x if scale == 1 else augment.warp(x, x.shape[-1], torch.zeros(b), torch.full((b,), scale), torch.zeros(b, 2))


def in_turn(film: torch.Tensor) -> torch.Tensor:
    """A film [T, 1, S, S] as the runtime crops it: each frame enlarged by the scale whose turn it is."""
    turn = torch.tensor(sampling.turns(len(film)))
    out = film.clone()
    for k, scale in enumerate(sampling.SCALES):
        out[turn == k] = enlarge(film[turn == k], scale)
    return out


def at_every_scale(network, x: torch.Tensor, device) -> torch.Tensor:
    """Pictures [N, 1, S, S] in 0..1 -> embeddings [N, len(SCALES), D]."""
    return torch.stack([torch.cat([embed(network, enlarge(part, scale), device) for part in x.split(512)]) for scale in sampling.SCALES], 1)


def pictures(faces: ferplus.Faces, aligned, rng, share: float = 0.85) -> np.ndarray:
    """[N, S, S] uint8: the aligned crop where there is one (for `share` of the pictures), else the picture itself."""
    plain = F.interpolate(torch.from_numpy(faces.images)[:, None].float(), (encoder.SIZE,) * 2, mode="bilinear", align_corners=False)
    images = plain[:, 0].round().clamp(0, 255).to(torch.uint8).numpy()
    if aligned is not None:
        use = aligned[1] & (rng.random(len(images)) < share)
        images[use] = aligned[0][use]
    return images


def build(network, faces: ferplus.Faces, images: np.ndarray, rows: np.ndarray, device, seed: int, log=None, spoilt: float = 0.0) -> Bank:
    """Encodes all versions of `rows` of the pictures; of the share `spoilt` they are made from a badly lit, coarse or noisy one."""
    g, rng = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
    out, progress = [], common.Progress(log, "bank", len(rows)) if log else None
    for start in range(0, len(rows), 128):
        x = torch.from_numpy(images[rows[start:start + 128]])[:, None].float() / 255
        if spoilt:
            x = torch.where(augment.some(g, len(x), spoilt)[:, None, None, None], augment.expose(x, g, glare=GLARE), x)
        x = versions(x, g, rng)
        out.append(embed(network, x.flatten(0, 1), device).reshape(len(x), VERSIONS, -1).half())
        if progress:
            progress.step(start + len(x))
    return Bank(torch.cat(out), torch.from_numpy(faces.votes[rows]), torch.from_numpy(faces.labels[rows]), rows)


class Composer:
    """Draws windows of real faces from a bank."""

    def __init__(self, bank: Bank, power: float = 0.6):
        self.bank = bank
        count = torch.bincount(bank.labels, minlength=7).double().clamp(min=1)
        self.share = (count ** power / count)[bank.labels]
        self.votes, self.memory = bank.votes, []
        self.weigh(torch.ones_like(self.share))
        knots = torch.linspace(0, 4, FRAMES)
        low = knots.floor().long().clamp(max=3)
        self.between = torch.zeros(FRAMES, 5)
        self.between[torch.arange(FRAMES), low] = 1 - (knots - low)
        self.between[torch.arange(FRAMES), low + 1] += knots - low

    def revise(self, head, seed: int) -> str:
        """Prediction agreement (RDFER): asks `head` about a drifting clip set of every picture, and from now on draws hard pictures
        more often, noisy ones less often and with the answer as their target. The answers of all calls so far are averaged: what
        was said before a wrong label was learnt by heart keeps its weight. Returns what was found."""
        g = torch.Generator().manual_seed(seed)
        answers = []
        for rows in torch.arange(len(self.bank.labels)).split(512):
            logits = temporal.decide(head, self.drift(g, rows), torch.full((len(rows),), FRAMES))
            answers.append(logits.softmax(2).numpy())
        self.memory.append(np.concatenate(answers))
        labels = self.bank.labels.numpy()
        mean = np.mean(self.memory, 0)
        targets, weight = agreement.revise(mean, labels, self.votes.numpy())
        self.bank.votes = torch.from_numpy(targets).float()
        self.weigh(torch.from_numpy(weight))
        verdict = agreement.verdicts(mean, labels)[0]
        return ", ".join(f"{name} {(verdict == k).mean():.3f}" for name, k in (("clean", agreement.CLEAN), ("hard", agreement.HARD), ("noisy", agreement.NOISY)))

    def weigh(self, extra: torch.Tensor) -> None:
        """Sets how often every row is drawn: in proportion to `extra` [R] and to its class's share to the power asked for."""
        weight = self.share * extra
        self.any = weight / weight.sum()
        self.neutral = torch.where(self.bank.labels == 2, weight, torch.zeros_like(weight))
        self.other = torch.where(self.bank.labels != 2, weight, torch.zeros_like(weight))

    def drift(self, g, rows: torch.Tensor) -> torch.Tensor:
        """[B, FRAMES, D]: a picture wandering among its own versions, with a little trembling."""
        e = self.bank.embeddings[rows].float()
        b = len(rows)
        pick = torch.randint(VERSIONS - 1, (b, 5), generator=g)
        path = torch.einsum("tk,bkd->btd", self.between, e[torch.arange(b)[:, None], pick])
        one, two = (e[torch.arange(b)[:, None], torch.randint(VERSIONS - 1, (b, FRAMES), generator=g)] for _ in range(2))
        return path + (one - two) * (0.15 * torch.rand(b, 1, 1, generator=g))

    def draw(self, g: torch.Generator, batch: int):
        """frames [B, FRAMES, D], length [B], truth [B, FRAMES, 7] (a distribution a frame), covered [B, FRAMES]."""
        length = torch.randint(12, FRAMES + 1, (batch,), generator=g)
        length = torch.where(torch.rand(batch, generator=g) < 0.5, torch.full_like(length, FRAMES), length)
        kind = torch.multinomial(torch.tensor([0.45, 0.22, 0.12, 0.14, 0.07]), batch, True, generator=g)
        pick = lambda weight: torch.multinomial(weight, batch, True, generator=g)
        static, fade, change, foreign, broken = (kind == k for k in range(5))
        a, b = pick(self.any), pick(self.any)
        a = torch.where(fade, pick(self.neutral), a)
        b = torch.where(fade, pick(self.other), b)
        swap = fade & (torch.rand(batch, generator=g) < 0.35)
        a, b = torch.where(swap, b, a), torch.where(swap, a, b)
        t = torch.arange(FRAMES)[None].float()
        n = length[:, None].float()
        u = lambda low, high: torch.rand(batch, 1, generator=g) * (high - low) + low
        # Share of the second picture in every frame.
        start, rise = u(-0.1, 0.9) * n, u(2, 14)
        ramp = ((t - start) / rise).clamp(0, 1)
        ramp = ramp * ramp * (3 - 2 * ramp)
        s0 = u(0, 0.8) * n
        brief = ((t >= s0) & (t < s0 + u(0.1, 0.35) * n)).float()
        flicker = (torch.rand(batch, FRAMES, generator=g) < 0.5).float()
        mix = torch.zeros(batch, FRAMES)
        for chosen, share in ((fade | change, ramp), (foreign, brief), (broken, flicker)):
            mix = torch.where(chosen[:, None], share, mix)
        frames = torch.lerp(self.drift(g, a), self.drift(g, b), mix[:, :, None])
        truth = torch.lerp(self.bank.votes[a][:, None], self.bank.votes[b][:, None], mix[:, :, None])
        # A hand or a board for some time, or for all of it, as people hold theirs before the mouth; broken windows are
        # covered for most of it.
        covered = torch.rand(batch, generator=g) < 0.25
        long = broken | (torch.rand(batch, generator=g) < 0.4)
        width = torch.where(long[:, None], u(0.5, 1.4), u(0.1, 0.7)) * n
        c0 = torch.where(long[:, None], u(-0.4, 0.4), u(-0.2, 0.9)) * n
        cover = (((t - c0 + 1) / 2).clamp(0, 1) * ((c0 + width - t) / 2).clamp(0, 1)) * (covered | broken)[:, None]
        hidden = self.bank.embeddings[a, VERSIONS - 1].float()[:, None]
        return torch.lerp(frames, hidden, cover[:, :, None]), length, truth, cover


def target(truth: torch.Tensor, covered: torch.Tensor, length: torch.Tensor, part: torch.Tensor) -> torch.Tensor:
    """What a clip should answer [B, 7], from the truth of its frames.

    Frames that show more of an expression count more than neutral ones (the key frames are the target, the
    rest is not); a clip that is covered for long should say little.
    """
    n = length[:, None].float() - 1
    t = torch.arange(truth.shape[1])[None].float()
    inside = ((t >= part[:, :1] * n - 0.5) & (t <= part[:, 1:2] * n + 0.5) & (t <= n)).float()
    seen = inside * (1 - covered)
    weight = seen * (0.3 + (1 - truth[:, :, 2])) + 1e-6
    answer = (weight[:, :, None] * truth).sum(1) / weight.sum(1, keepdim=True)
    hidden = (inside * covered).sum(1) / inside.sum(1).clamp(min=1)
    blank = ((hidden - 0.25) / 0.5).clamp(0, 0.9)[:, None]
    return (1 - blank) * answer + blank / 7
