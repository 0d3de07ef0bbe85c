# SPDX-License-Identifier: MPL-2.0
"""Clips out of cached embeddings: parts of the window, synopsis, key moments, detail. The runtime's rules, in batches.

Frames lie on a grid of 1/15 s; a window of n frames spans the times 0 .. n - 1 in steps of the grid.
Source of synopsis and key re-sampling: RDFER (arXiv 2502.16129).
"""

import torch

SYNOPSIS, MOMENTS, DETAIL = 16, 4, 4
PARTS = ((0.0, 1.0, 0.0), (0.4, 1.0, 0.5), (0.0, 0.7, 0.25), (0.2, 0.9, 0.75), (0.1, 1.0, 0.4))
"""Start and end (fractions of the window) and phase (steps of the synopsis) of the clips of a decision."""

SCALES, TURN = (1.0, 1.05, 0.95, 1.1, 0.9), 3
"""By what crops are enlarged in turn (`scales` of model.toml), and for how many frames (a fifth of a second) each holds.
What stages head and head-robustness keep in WORK/banks was cropped so: empty it after a change."""


def turns(count: int) -> list[int]:
    """Which of SCALES each of `count` frames is shown at."""
    return [t // TURN % len(SCALES) for t in range(count)]


def _nearest(t: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
    """Index of the frame nearest to time t (grid steps), the earlier of two equally near."""
    return torch.ceil(t - 0.5 - 1e-6).long().clamp(min=0).minimum(length - 1)


def span(length: torch.Tensor, part: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Start and end times [B] of parts [B, 3] of windows with `length` [B] frames."""
    last = (length - 1).float()
    return part[:, 0] * last, part[:, 1] * last


def synopsis(length: torch.Tensor, part: torch.Tensor) -> torch.Tensor:
    """Frame indices [B, 16]: the i-th nearest to start + (i + phase) * step."""
    start, end = span(length, part)
    step = (end - start) / SYNOPSIS
    t = start[:, None] + (torch.arange(SYNOPSIS)[None] + part[:, 2:3]) * step[:, None]
    return _nearest(t, length[:, None])


def key_moments(scores: torch.Tensor, count: int = MOMENTS) -> torch.Tensor:
    """Indices [B, count], ascending, of the best of `scores` [B, N]; neighbours of a chosen one wait until nothing else is left."""
    free = scores.double()
    taken = torch.zeros_like(free)
    position = torch.arange(scores.shape[1])[None]
    for _ in range(count):
        # Excluded neighbours stay behind every free one; chosen ones behind everything.
        best = (free - 1e9 * taken).argmax(1, keepdim=True)
        near = (position - best).abs()
        taken = torch.where(near == 1, torch.maximum(taken, torch.ones_like(taken)), taken)
        taken = torch.where(near == 0, torch.full_like(taken, 1e9), taken)
    return (taken > 1e8).float().topk(count, 1).indices.sort(1).values


def uniform_moments(batch: int) -> torch.Tensor:
    """The key moments of a network without key re-sampling: evenly spread positions [B, 4]."""
    return torch.tensor([2, 6, 10, 14])[None].expand(batch, MOMENTS)


def detail(length: torch.Tensor, part: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """Frame indices [B, 4, 4] around key frames `key` [B, 4]: two before to one after, moved to stay inside the part."""
    start, end = span(length, part)
    latest = torch.maximum(end - (DETAIL - 1), start)
    first = torch.minimum(torch.maximum(key.float() - DETAIL // 2, start[:, None]), latest[:, None])
    t = (first[:, :, None] + torch.arange(DETAIL)).minimum(end[:, None, None])
    return _nearest(t, length[:, None, None])


def take(frames: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """frames [B, T, D] at index [B, ...] -> [B, ..., D]."""
    flat = index.reshape(len(index), -1)
    out = torch.gather(frames, 1, flat[:, :, None].expand(-1, -1, frames.shape[2]))
    return out.reshape(*index.shape, frames.shape[2])


def random_parts(generator: torch.Generator, batch: int) -> torch.Tensor:
    """Training clips [B, 3]: at least 60 % of the window, any phase; some the whole window as at run time."""
    width = 0.6 + 0.4 * torch.rand(batch, generator=generator)
    whole = torch.rand(batch, generator=generator) < 0.2
    width = torch.where(whole, torch.ones(batch), width)
    start = (1 - width) * torch.rand(batch, generator=generator)
    return torch.stack([start, start + width, torch.rand(batch, generator=generator)], 1)
