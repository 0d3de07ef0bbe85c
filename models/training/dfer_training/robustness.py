# SPDX-License-Identifier: MPL-2.0
"""The disturbances of the card's robustness table, applied to crops (float [B, 1, S, S], 0..1)."""


import torch

from . import augment


def _full(x: torch.Tensor, value: float) -> torch.Tensor:
    return torch.full((len(x),), value)


def _half(x: torch.Tensor, box: tuple[float, float, float, float]) -> torch.Tensor:
    return augment.cover(x, torch.tensor(box).expand(len(x), 4), _full(x, 0.35))


CHANGES = {
    "as it is": lambda x: x,
    "mirrored": lambda x: x.flip(-1),
    "dark (a fifth of the light)": lambda x: (x * 0.2 * 255).round() / 255,
    "bright (1.8 times, clipped)": lambda x: (x * 1.8).clamp(0, 1),
    "side light (0.2 to 1.8 times)": lambda x: augment.side_light(x, _full(x, 0.0), _full(x, 0.8)),
    "blur (sigma 1.5 of 64 pixels)": lambda x: augment.gaussian(x, 1.5),
    "JPEG 20": lambda x: augment.jpeg(x, 20),
    "quarter resolution": lambda x: augment.coarsen(x, 0.25),
    "left half covered": lambda x: _half(x, (0, 0, 0.5, 1)),
    "lower half covered": lambda x: _half(x, (0, 0.55, 1, 1)),
    "noise (sigma 0.06)": lambda x: (x + 0.06 * torch.randn(x.shape, generator=torch.Generator().manual_seed(9))).clamp(0, 1),
    "rolled by 20 degrees": lambda x: augment.warp(x, x.shape[-1], _full(x, 20.0), _full(x, 1.0), torch.zeros(len(x), 2)),
    "10 % tighter on each side": lambda x: augment.warp(x, x.shape[-1], _full(x, 0.0), _full(x, 1.25), torch.zeros(len(x), 2)),
}


def yaw(landmarks) -> "torch.Tensor":
    """Rough yaw in degrees from five landmarks [N, 5, 2]: how far the nose lies from the middle between the eyes.

    The nose tip stands about 0.6 eye distances before the plane of the eyes, so it moves by 0.6 tan(yaw) of it.
    """
    marks = torch.as_tensor(landmarks, dtype=torch.float64)
    across = marks[:, 1] - marks[:, 0]
    length = across.norm(dim=1).clamp(min=1e-6)
    nose = marks[:, 2] - (marks[:, 0] + marks[:, 1]) / 2
    return torch.rad2deg(torch.atan((nose * across).sum(1) / length ** 2 / 0.6))


