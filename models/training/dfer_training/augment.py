# SPDX-License-Identifier: MPL-2.0
"""Augmentation of grey faces, a whole batch at a time: geometry, light, blur, compression, occlusion.

Pictures are float [B, 1, h, w] in 0..1, on any device. Random numbers come from a torch generator of that device, so a
seed repeats a run.
"""

import functools
import math

import torch
from torch.nn import functional as F

# The luminance table of JPEG (ITU-T T.81, table K.1).
LUMA = torch.tensor([
    [16, 11, 10, 16, 24, 40, 51, 61], [12, 12, 14, 19, 26, 58, 60, 55], [14, 13, 16, 24, 40, 57, 69, 56],
    [14, 17, 22, 29, 51, 87, 80, 62], [18, 22, 37, 56, 68, 109, 103, 77], [24, 35, 55, 64, 81, 104, 113, 92],
    [49, 64, 78, 87, 103, 121, 120, 101], [72, 92, 95, 98, 112, 100, 103, 99]], dtype=torch.float32)
_k = torch.arange(8, dtype=torch.float32)
DCT = torch.cos(math.pi * (2 * _k[None] + 1) * _k[:, None] / 16) * torch.where(_k[:, None] == 0, math.sqrt(1 / 8), 0.5)


def on_its_device(change):
    """What `change(x, ...)` makes is made where `x` lies."""
    @functools.wraps(change)
    def wrapped(x, *args, **options):
        with x.device:
            return change(x, *args, **options)

    return wrapped


def uniform(g: torch.Generator, n: int, low: float, high: float) -> torch.Tensor:
    return torch.rand(n, generator=g) * (high - low) + low


def normal(g: torch.Generator, n: int, spread: float) -> torch.Tensor:
    return torch.randn(n, generator=g) * spread


@on_its_device
def warp(x: torch.Tensor, size: int, degrees, scale, shift, aspect=None, shear=None, turn=None, flip=None,
         border: str = "border") -> torch.Tensor:
    """Resamples to size x size. scale > 1 enlarges the face; shift [B, 2] in half pictures; aspect > 1 narrows it;
    turn bends the picture sideways as a turned head does (quadratic in x); flip [B] bool mirrors."""
    b = len(x)
    zero, one = torch.zeros(b), torch.ones(b)
    aspect = one if aspect is None else aspect
    shear = zero if shear is None else shear
    axis = (torch.arange(size) + 0.5) * 2 / size - 1
    y, u = torch.meshgrid(axis, axis, indexing="ij")
    u, y = u.expand(b, size, size), y.expand(b, size, size)
    col = lambda v: v[:, None, None]
    u, y = u - col(shift[:, 0]), y - col(shift[:, 1])
    a = torch.deg2rad(degrees)
    c, s = torch.cos(a) / scale, torch.sin(a) / scale
    gx = col(c) * u + col(s) * y
    gy = -col(s) * u + col(c) * y
    gx = gx * col(aspect) + gy * col(shear)
    if turn is not None:
        gx = gx + col(turn) * (gx * gx - 0.25)
    if flip is not None:
        gx = torch.where(col(flip), -gx, gx)
    return F.grid_sample(x, torch.stack([gx, gy], -1), mode="bilinear", padding_mode=border, align_corners=False)


@on_its_device
def gaussian(x: torch.Tensor, sigma: float) -> torch.Tensor:
    r = max(1, math.ceil(2.5 * sigma))
    k = torch.exp(-torch.arange(-r, r + 1, dtype=x.dtype) ** 2 / (2 * sigma * sigma))
    k, y = k / k.sum(), x.flatten(0, 1)[:, None]
    y = F.conv2d(F.pad(y, (r, r, 0, 0), mode="replicate"), k[None, None, None])
    return F.conv2d(F.pad(y, (0, 0, r, r), mode="replicate"), k[None, None, :, None]).reshape(x.shape)


def coarsen(x: torch.Tensor, ratio: float) -> torch.Tensor:
    """Down to `ratio` of the size and up again."""
    n = max(4, round(x.shape[-1] * ratio))
    return F.interpolate(F.interpolate(x, (n, n), mode="area"), x.shape[-2:], mode="bilinear", align_corners=False)


@on_its_device
def jpeg(x: torch.Tensor, quality: float) -> torch.Tensor:
    """What JPEG loses at `quality` (1..100): quantised DCT of 8x8 blocks. Sides must be multiples of 8."""
    h, w = x.shape[-2:]
    factor = 5000 / quality if quality < 50 else 200 - 2 * quality
    table = ((LUMA.to(x.device) * factor + 50) / 100).floor().clamp(1, 255)
    dct = DCT.to(x.device)
    blocks = (x * 255 - 128).reshape(-1, h // 8, 8, w // 8, 8).transpose(2, 3)
    coded = ((dct @ blocks @ dct.T) / table).round() * table
    plain = (dct.T @ coded @ dct).transpose(2, 3).reshape(x.shape)
    return ((plain + 128) / 255).clamp(0, 1)


@on_its_device
def side_light(x: torch.Tensor, angle: torch.Tensor, strength: torch.Tensor) -> torch.Tensor:
    """Multiplies by a ramp 1 + strength (x cos + y sin), x and y in -1..1."""
    axis = torch.linspace(-1, 1, x.shape[-1])
    ramp = torch.cos(angle)[:, None, None] * axis[None, None] + torch.sin(angle)[:, None, None] * axis[None, :, None]
    return (x * (1 + strength[:, None, None] * ramp)[:, None]).clamp(0, 1)


@on_its_device
def cover(x: torch.Tensor, box: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Fills boxes [B, 4] (x0, y0, x1, y1 in 0..1) with `value` [B]; an empty box leaves the picture."""
    axis = (torch.arange(x.shape[-1]) + 0.5) / x.shape[-1]
    inside = lambda low, high: (axis[None] > low[:, None]) & (axis[None] < high[:, None])
    mask = inside(box[:, 1], box[:, 3])[:, :, None] & inside(box[:, 0], box[:, 2])[:, None]
    return torch.where(mask[:, None], value[:, None, None, None].expand_as(x), x)


def some(g: torch.Generator, n: int, share: float) -> torch.Tensor:
    return torch.rand(n, generator=g) < share


@on_its_device
def faces(x: torch.Tensor, size: int, g: torch.Generator, aligned: torch.Tensor, strength: float = 1.0) -> torch.Tensor:
    """The training augmentation. `aligned` [B] bool: those pictures are already placed and get less geometry.
    `strength` scales how many pictures are disturbed and how far they are bent."""
    b = len(x)
    loose = torch.where(aligned, 0.6, 1.0) * strength ** 0.5
    border = "border" if torch.rand(1, generator=g) < 0.6 else "zeros"
    x = warp(x, size, normal(g, b, 10) * loose, torch.exp(normal(g, b, 0.09) * loose),
             torch.randn(b, 2, generator=g) * 0.08 * loose[:, None], torch.exp(normal(g, b, 0.07)), normal(g, b, 0.06),
             torch.where(some(g, b, 0.3 * strength), normal(g, b, 0.2), torch.zeros(b)), some(g, b, 0.5), border)
    return occlude(expose(x, g, strength), g, strength)


@on_its_device
def expose(x: torch.Tensor, g: torch.Generator, strength: float = 1.0, glare: float = 0.0) -> torch.Tensor:
    """How well a face is seen: light, blur, coarseness, compression, noise. `strength` scales how many pictures are disturbed,
    the share `glare` is over-exposed. What a picture of several channels, such as the frames of a film, suffers is the same in
    all of them, but for the noise."""
    b = len(x)
    view = lambda v: v[:, None, None, None]
    lit = some(g, b, 0.8 * strength)
    gamma = torch.where(lit, torch.exp(normal(g, b, 0.3)), torch.ones(b))
    x = x.clamp(1e-4, 1) ** view(gamma)
    contrast = torch.where(lit, torch.exp(normal(g, b, 0.22)), torch.ones(b))
    bright = torch.where(lit, normal(g, b, 0.1), torch.zeros(b))
    gain = torch.where(some(g, b, 0.1 * strength), uniform(g, b, 0.2, 0.6), torch.ones(b))
    if glare:
        gain = torch.where(some(g, b, glare), uniform(g, b, 1.2, 2.2), gain)
    x = (((x - 0.5) * view(contrast) + 0.5 + view(bright)) * view(gain)).clamp(0, 1)
    x = side_light(x, uniform(g, b, 0, 2 * math.pi), torch.where(some(g, b, 0.3 * strength), uniform(g, b, 0.2, 0.9), torch.zeros(b)))
    for share, change in ((0.15, lambda v: gaussian(v, float(uniform(g, 1, 0.5, 2.0)))),
                          (0.15, lambda v: coarsen(v, float(uniform(g, 1, 0.22, 0.6)))),
                          (0.15, lambda v: jpeg(v, float(uniform(g, 1, 8, 60))))):
        index = some(g, b, share * strength).nonzero()[:, 0]
        if len(index):
            x = x.index_copy(0, index, change(x[index]))
    noise = torch.where(some(g, b, 0.3 * strength), uniform(g, b, 0.01, 0.08), torch.zeros(b))
    return (x + torch.randn(x.shape, generator=g) * view(noise)).clamp(0, 1)


@on_its_device
def occlude(x: torch.Tensor, g: torch.Generator, strength: float = 1.0) -> torch.Tensor:
    """A random rectangle on a third of the faces, and on one in fourteen a half of the face behind something."""
    b = len(x)
    centre, half = torch.rand(b, 2, generator=g), torch.rand(b, 2, generator=g) * 0.2 + 0.06
    half = torch.where(some(g, b, 0.35 * strength)[:, None], half, torch.zeros(b, 2))
    x = cover(x, torch.cat([centre - half, centre + half], 1), torch.rand(b, generator=g))
    side, edge = torch.randint(4, (b,), generator=g), uniform(g, b, 0.38, 0.55)
    box = torch.zeros(b, 4)
    box[:, 2:] = 1
    for k, (column, value) in enumerate(((2, edge), (0, 1 - edge), (3, edge * 0.8), (1, 1 - edge * 0.8))):
        box[:, column] = torch.where(side == k, value, box[:, column])
    box[~some(g, b, 0.07 * strength)] = 0
    return cover(x, box, torch.rand(b, generator=g))


@on_its_device
def mix(x: torch.Tensor, target: torch.Tensor, g: torch.Generator, share: float = 0.35) -> tuple[torch.Tensor, torch.Tensor]:
    """Mixup (arXiv 1710.09412) or CutMix (arXiv 1905.04899) of the batch with itself, on `share` of the batches."""
    draw = float(torch.rand(1, generator=g))
    if draw > share:
        return x, target
    other = torch.randperm(len(x), generator=g)
    part = float(torch.rand(1, generator=g)) * 0.35
    if draw < share * 0.6:
        return x.lerp(x[other], part), target.lerp(target[other], part)
    size = x.shape[-1]
    n = max(1, round(size * math.sqrt(part)))
    i, j = (int(torch.randint(size - n + 1, (1,), generator=g)) for _ in range(2))
    x = x.clone()
    x[:, :, i:i + n, j:j + n] = x[other, :, i:i + n, j:j + n]
    return x, target.lerp(target[other], n * n / size ** 2)
