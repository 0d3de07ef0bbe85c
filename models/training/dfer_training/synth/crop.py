# SPDX-License-Identifier: MPL-2.0
"""Where a rendered face goes in the aligned crop that the encoder sees."""

import numpy as np


def jitter(rng, transform: np.ndarray, size: float, amount: float = 1.0) -> np.ndarray:
    """`transform` to a crop of `size` pixels followed by a small random turn, scale and shift about its centre."""
    angle, scale = rng.normal(0, 0.06 * amount), np.exp(rng.normal(0, 0.06 * amount))
    shift = rng.normal(0, 0.03 * amount, 2) * size
    c, s = np.cos(angle) * scale, np.sin(angle) * scale
    turn = np.array([[c, -s], [s, c]])
    centre = np.array([size / 2, size / 2])
    moved = np.column_stack([turn, centre + shift - turn @ centre])
    return np.column_stack([moved[:, :2] @ transform[:, :2], moved[:, :2] @ transform[:, 2] + moved[:, 2]])


def apply(transform: np.ndarray, points: np.ndarray) -> np.ndarray:
    """`points` [..., 2 or more]: x and y transformed, further columns kept."""
    out = points.copy()
    out[..., :2] = points[..., :2] @ transform[:, :2].T + transform[:, 2]
    return out
