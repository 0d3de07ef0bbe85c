# SPDX-License-Identifier: MPL-2.0
"""Target assignment and loss of the face detector, and the decoding that the runtime repeats."""

import torch
from torch.nn import functional as F

from .nets import Detector

BIG = 1e4


def cells(heads: list, device) -> tuple[torch.Tensor, torch.Tensor]:
    """Centres [A, 2] (pixels) and strides [A] of all cells, finest stride first."""
    centres, strides = [], []
    for (score, _), s in zip(heads, Detector.STRIDES):
        h, w = score.shape[-2:]
        y, x = torch.meshgrid(torch.arange(h, device=device), torch.arange(w, device=device), indexing="ij")
        centres.append(torch.stack([x, y], -1).reshape(-1, 2).add(0.5).mul(s))
        strides.append(torch.full((h * w,), float(s), device=device))
    return torch.cat(centres), torch.cat(strides)


def decode(heads: list) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Score logits [B, A], boxes [B, A, 4] (x0, y0, x1, y1 in pixels) and landmarks [B, A, 5, 2] of all cells."""
    centres, strides = cells(heads, heads[0][0].device)
    logits = torch.cat([s.flatten(1) for s, _ in heads], 1).float()
    g = torch.cat([g.flatten(2) for _, g in heads], 2).float().transpose(1, 2)
    s = strides[None, :, None]
    middle = centres + g[..., :2] * s
    half = g[..., 2:4].clamp(-4, 5).exp() * s / 2
    marks = centres[None, :, None] + g[..., 4:].unflatten(-1, (5, 2)) * s[..., None]
    return logits, torch.cat([middle - half, middle + half], -1), marks


def overlap(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Intersection over union of boxes [..., 4] that broadcast against each other."""
    inter = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0).prod(-1)
    area = lambda x: (x[..., 2:] - x[..., :2]).clamp(min=0).prod(-1)
    return inter / (area(a) + area(b) - inter).clamp(min=1e-6)


@torch.no_grad()
def assign(logits, boxes, centres, strides, truth, present):
    """SimOTA (Ge et al., YOLOX, arXiv 2107.08430): every face claims the cells that explain it at least cost.

    truth [B, G, 4] and present [B, G] (bool, padding is False). Returns the index of the face that each cell
    is to learn [B, A], -1 for background.
    """
    t = truth[:, :, None]
    middle = (t[..., :2] + t[..., 2:]) / 2
    inside = ((centres > t[..., :2]) & (centres < t[..., 2:])).all(-1)
    near = ((centres - middle).abs() < 1.5 * strides[:, None]).all(-1)
    allowed = (inside | near) & present[..., None]
    iou = overlap(boxes[:, None], t) * allowed
    score = F.binary_cross_entropy_with_logits(logits, torch.ones_like(logits), reduction="none")
    # A cell should not be much smaller or larger than the face it explains; the term only breaks early ties.
    size = (t[..., 2:] - t[..., :2]).clamp(min=1).prod(-1).sqrt()
    fit = (size / (4 * strides)).log2().abs().clamp(max=3)
    cost = score[:, None] + 3 * -(iou + 1e-6).log() + 0.3 * fit
    cost = cost + BIG * ~(inside & near) + 100 * BIG * ~allowed
    count = iou.topk(10, -1).values.sum(-1).round().clamp(min=2).long()
    rank = cost.argsort(-1).argsort(-1)
    chosen = (rank < count[..., None]) & allowed
    # A cell that two faces claim goes to the cheaper one.
    best = torch.where(chosen, cost, torch.full_like(cost, float("inf")))
    value, index = best.min(1)
    return torch.where(value.isfinite(), index, torch.full_like(index, -1))


def loss(heads: list, truth, marks, present, ignored, shunned) -> dict[str, torch.Tensor]:
    """The three parts of the loss, each already weighted.

    truth [B, G, 4], marks [B, G, 5, 2], present [B, G], ignored [B, M, 4], shunned [B, M] (True where ignored holds a box).
    Score: quality focal loss (Li et al., arXiv 2006.04388) with the root of the overlap as target; box: distance
    IoU (Zheng et al., arXiv 1911.08287); landmarks: smooth L1 in units of the face.
    """
    centres, strides = cells(heads, truth.device)
    logits, boxes, found = decode(heads)
    index = assign(logits.detach(), boxes.detach(), centres, strides, truth, present)
    positive = index >= 0
    n = positive.sum().clamp(min=1)
    rows = torch.arange(len(truth), device=truth.device)[:, None].expand_as(index)[positive]
    box, target = boxes[positive], truth[rows, index[positive]]
    iou = overlap(box, target)
    # A large face claims up to ten cells, a tiny one two: evened out half-way, else nobody learns the tiny ones.
    claimed = torch.zeros(truth.shape[:2], device=truth.device).index_put_((rows, index[positive]), iou.new_ones(len(rows)), accumulate=True)
    even = (5 / claimed[rows, index[positive]].clamp(min=1)).sqrt()

    want = torch.zeros_like(logits)
    want[positive] = iou.detach().clamp(min=0.05).sqrt()
    probability = logits.sigmoid()
    score = F.binary_cross_entropy_with_logits(logits, want, reduction="none") * (want - probability).abs() ** 2
    quiet = ((centres > ignored[:, :, None, :2]) & (centres < ignored[:, :, None, 2:])).all(-1) & shunned[..., None]
    # A detection that mostly covers an ignore box is not to be punished either, wherever its cell lies.
    with torch.no_grad():
        cover = overlap(boxes[:, None], ignored[:, :, None]) * shunned[..., None]
        quiet = quiet.any(1) | (cover.amax(1) > 0.3 if cover.shape[1] else torch.zeros_like(positive))
    weight = (positive | ~quiet).float()
    weight[positive] = even
    score = (score * weight).sum() / n

    span = torch.maximum(box[:, 2:], target[:, 2:]) - torch.minimum(box[:, :2], target[:, :2])
    apart = ((box[:, :2] + box[:, 2:] - target[:, :2] - target[:, 2:]) / 2).square().sum(-1)
    distance = even * (1 - iou + apart / span.square().sum(-1).clamp(min=1e-6))

    size = (target[:, 2:] - target[:, :2]).prod(-1).sqrt()
    off = (found[positive] - marks[rows, index[positive]]) / size[:, None, None]
    # Landmarks of faces under 20 pixels are a guess of the teacher.
    trust = (size / 20).clamp(max=1)
    points = (F.smooth_l1_loss(off, torch.zeros_like(off), beta=0.03, reduction="none").mean((1, 2)) * trust * even)
    return {"score": 4 * score, "box": 2 * distance.sum() / n, "marks": 5 * points.sum() / n}
