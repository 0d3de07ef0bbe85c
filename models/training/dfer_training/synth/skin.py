# SPDX-License-Identifier: MPL-2.0
"""Procedural skin: one painted map per person over the template's frontal plane.

The map covers x in [-0.1, 0.1] and z in [0.82, 0.55] metres of the template (row 0 is the top), so it moves
with the vertices whatever the face does. Channels: 0-2 linear RGB albedo, 3 gloss, then one relief map per
group of wrinkles that an expression folds (see WRINKLES); positive relief is a lit edge, negative a furrow.
"""

import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

WIDTH, HEIGHT = 320, 432
WRINKLES = ("forehead", "glabella", "nasolabial-left", "nasolabial-right", "crow", "nose", "chin")
_X0, _X1, _Z0, _Z1 = -0.1, 0.1, 0.82, 0.55


def pixel(x, z):
    """Template coordinates (metres) to map coordinates (pixels)."""
    return (np.asarray(x) - _X0) / (_X1 - _X0) * (WIDTH - 1), (np.asarray(z) - _Z0) / (_Z1 - _Z0) * (HEIGHT - 1)


def paint(rng, tone, trait, lips, brow_colour, beard) -> np.ndarray:
    """The map [HEIGHT, WIDTH, 4 + wrinkles] of one person.

    tone: linear RGB of the skin; trait: dict of phenotype values in 0..1; lips: RGB added by make-up or None;
    brow_colour: linear RGB; beard: 0 none .. 1 full.
    """
    x, z = np.meshgrid(np.linspace(_X0, _X1, WIDTH, dtype=np.float32), np.linspace(_Z0, _Z1, HEIGHT, dtype=np.float32))
    tone = np.asarray(tone, np.float32)
    skin = np.repeat(tone[None, None], HEIGHT, 0).repeat(WIDTH, 1).copy()
    skin *= 1 + 0.10 * _noise(rng, 6)[..., None] + 0.06 * _noise(rng, 24)[..., None] + 0.04 * _noise(rng, 140)[..., None]
    red = np.array([1.08, 0.86, 0.84])
    for cx, cz, rx, rz, amount in (
        (-0.043, 0.655, 0.020, 0.018, 0.6), (0.043, 0.655, 0.020, 0.018, 0.6),
        (0, 0.657, 0.014, 0.012, 0.55), (0, 0.598, 0.018, 0.012, 0.25), (0, 0.70, 0.03, 0.008, 0.1),
    ):
        blush = amount * rng.uniform(0.3, 1.0) * _blob(x, z, cx, cz, rx, rz)
        skin *= 1 + blush[..., None] * (red - 1)
    # Eye sockets and lids are darker, more so with age.
    for side in (-1, 1):
        socket = _blob(x, z, side * 0.031, 0.700, 0.021, 0.015) + 0.7 * _blob(x, z, side * 0.029, 0.680, 0.016, 0.007)
        skin *= 1 - socket[..., None] * np.array([0.16, 0.2, 0.2]) * rng.uniform(0.5, 1.2)
        rim = np.exp(-(((x - side * 0.031) / 0.019) ** 2 + ((z - 0.6965) / 0.0085) ** 2 - 1) ** 2 * 3)
        skin *= 1 - 0.18 * rim[..., None]
    if rng.random() < 0.35:
        _freckles(rng, skin, x, z)
    _lips(rng, skin, x, z, lips)
    _brows(rng, skin, x, z, brow_colour, trait)
    if beard > 0:
        _beard(rng, skin, x, z, brow_colour, beard)
    # Nostrils.
    for side in (-1, 1):
        hole = _blob(x, z, side * 0.0085, 0.6495, 0.0045, 0.0022)
        skin *= 1 - 0.75 * np.clip(hole, 0, 1)[..., None]
    gloss = 0.35 + 0.25 * _blob(x, z, 0, 0.74, 0.05, 0.03) + 0.35 * _blob(x, z, 0, 0.667, 0.008, 0.025)
    gloss = gloss * rng.uniform(0.5, 1.3) * (1 + 0.3 * _noise(rng, 60))
    wrinkles = [relief * (0.55 + 0.7 * trait["age"]) for relief in _wrinkles(rng)]
    ageing = 0.5 * max(0.0, trait["age"] - 0.6) / 0.4
    for relief in wrinkles:
        skin *= 1 + ageing * rng.uniform(0.3, 0.8) * relief[..., None]
    return np.dstack([np.clip(skin, 0.003, 1), np.clip(gloss, 0, 1), *wrinkles]).astype(np.float32)


def _noise(rng, cells):
    """Smooth noise of about `cells` bumps over the map's width, roughly within -1..1."""
    rows = max(2, int(cells * HEIGHT / WIDTH))
    small = Image.fromarray(rng.standard_normal((rows, max(2, cells))).astype(np.float32))
    return np.asarray(small.resize((WIDTH, HEIGHT), Image.BICUBIC)) * 0.6


def _blob(x, z, cx, cz, rx, rz):
    return np.exp(-(((x - cx) / rx) ** 2 + ((z - cz) / rz) ** 2))


def _freckles(rng, skin, x, z):
    amount = rng.uniform(0.1, 0.35)
    for _ in range(int(rng.integers(40, 140))):
        cx, cz = rng.normal(0, 0.035), rng.normal(0.67, 0.025)
        radius = rng.uniform(0.0006, 0.0013)
        px, pz = pixel(cx, cz)
        r = int(np.ceil(3 * radius / 0.2 * WIDTH))
        rows = slice(max(0, int(pz) - r), int(pz) + r + 1)
        columns = slice(max(0, int(px) - r), int(px) + r + 1)
        spot = amount * _blob(x[rows, columns], z[rows, columns], cx, cz, radius, radius)
        skin[rows, columns] *= 1 - spot[..., None] * np.array([0.6, 1.0, 1.1])


def _lips(rng, skin, x, z, lips):
    half = 0.0225
    t = np.clip(1 - (x / half) ** 2, 0, None)
    top = 0.6295 + 0.0085 * t ** 0.8 - 0.0016 * np.exp(-((x / 0.004) ** 2))
    bottom = 0.6295 - 0.0105 * t ** 0.75
    inside = np.minimum(_step((top - z) / 0.0016), _step((z - bottom) / 0.0018)) * (t > 0)
    natural = np.array([0.92, 0.60, 0.60]) if lips is None else np.asarray(lips)
    if lips is None:
        skin *= 1 + inside[..., None] * (natural * rng.uniform(0.85, 1.05) - 1)
    else:
        skin[:] = skin * (1 - 0.75 * inside[..., None]) + 0.75 * inside[..., None] * natural
    line = np.exp(-((z - 0.6293) / 0.0011) ** 2) * np.clip(t, 0, 1) ** 0.3 * (t > 0)
    skin *= 1 - 0.55 * line[..., None]


def _brows(rng, skin, x, z, colour, trait):
    male = 1 - trait["gender"] if "gender" in trait else 0.5
    thickness = rng.uniform(0.0026, 0.0042) * (0.8 + 0.5 * male)
    arch = rng.uniform(0.001, 0.0045)
    tilt = rng.normal(0, 0.0012)
    density = rng.uniform(0.75, 1.1)
    for side in (-1, 1):
        u = (side * x - 0.0115) / 0.040
        centre = 0.7135 + arch * np.sin(np.clip(u, 0, 1) * np.pi * 0.85) * 1.4 - 0.003 * np.clip(u - 0.65, 0, 1) * 2 + tilt * u
        width = thickness * np.clip(1.15 - 0.75 * u, 0.15, 1.1)
        mask = np.exp(-((z - centre) / width) ** 4) * _step(u / 0.10) * _step((1 - u) / 0.22)
        hairs = 0.85 + 0.12 * np.sin((side * x * 2600 + (z - centre) * 2200)) + 0.15 * _noise(rng, 90)
        a = np.clip(mask * density * hairs, 0, 1)[..., None]
        skin[:] = skin * (1 - a) + a * np.asarray(colour)


def _beard(rng, skin, x, z, colour, amount):
    jaw = _step((0.634 - z) / 0.008) * _step((z - 0.55) / 0.02)
    jaw = np.maximum(jaw, _step((np.abs(x) - 0.052) / 0.010) * _step((0.675 - z) / 0.02))
    moustache = np.exp(-((z - 0.6425) / 0.0042) ** 4) * _step((0.028 - np.abs(x)) / 0.006)
    t = np.clip(1 - (x / 0.0235) ** 2, 0, None)
    mouth = _step((0.6295 + 0.0085 * t - z) / 0.002) * _step((z - 0.6295 + 0.012 * t) / 0.002) * (t > 0)
    mask = np.clip(np.maximum(jaw, moustache), 0, 1) * (1 - mouth)
    grain = np.clip(0.75 + 0.35 * _noise(rng, 150), 0, 1)
    a = np.clip(mask * amount * grain, 0, 0.92)[..., None]
    skin[:] = skin * (1 - a) + a * np.asarray(colour)


def _wrinkles(rng):
    """One relief map per name in WRINKLES, from strokes drawn as furrow with a lit lower edge."""
    jitter = lambda: rng.uniform(-0.0012, 0.0012)
    strokes = {name: [] for name in WRINKLES}
    for k in range(int(rng.integers(3, 5))):
        height = 0.730 + 0.0085 * k + jitter()
        strokes["forehead"].append([(a, height + 0.0025 * np.cos(a * 70) + jitter() * 0.4) for a in np.linspace(-0.042, 0.042, 9)])
    for side in (-1, 1):
        strokes["glabella"].append([(side * (0.0060 + jitter() * 0.5), 0.706), (side * 0.0068, 0.714), (side * 0.0055, 0.724)])
        strokes["nose"].append([(side * 0.004, 0.688), (side * 0.009, 0.684), (side * 0.013, 0.677)])
        strokes["nose"].append([(side * 0.003, 0.694), (side * 0.008, 0.691)])
        for k in range(3):
            strokes["crow"].append([(side * 0.051, 0.694 + 0.002 * k), (side * (0.062 + jitter()), 0.688 + 0.0065 * k)])
        strokes["crow"].append([(side * 0.018, 0.680), (side * 0.032, 0.6765), (side * 0.046, 0.6805)])
        strokes["chin"].append([(side * 0.0255, 0.6265), (side * 0.030, 0.619), (side * 0.0315, 0.611)])
    strokes["chin"].append([(-0.012, 0.6115), (0, 0.6095), (0.012, 0.6115)])
    fold = [(0.0155, 0.6605), (0.0225, 0.654), (0.0285, 0.644), (0.0320, 0.632), (0.0335, 0.622)]
    strokes["nasolabial-left"].append(fold)
    strokes["nasolabial-right"].append([(-a, b) for a, b in fold])
    return [_relief(strokes[name], 2.6 if "naso" in name else 1.7) for name in WRINKLES]


def _relief(strokes, width):
    canvas = Image.new("F", (WIDTH * 2, HEIGHT * 2), 0.0)
    draw = ImageDraw.Draw(canvas)
    for stroke in strokes:
        points = [tuple(2 * c for c in pixel(a, b)) for a, b in stroke]
        draw.line([(float(a), float(b)) for a, b in points], fill=1.0, width=int(2 * width), joint="curve")
    line = np.asarray(canvas.resize((WIDTH, HEIGHT), Image.BOX))
    soft = _blur(line, 1.8)
    wide = _blur(line, 4.0)
    lit = np.roll(wide, 4, axis=0)
    return -(0.6 * soft + 0.9 * wide) + 0.7 * lit


def _blur(image, sigma):
    return gaussian_filter(image.astype(np.float32), sigma, truncate=3)


def _step(t):
    """Smooth step from 0 to 1 over t in 0..1."""
    t = np.clip(t, 0, 1)
    return t * t * (3 - 2 * t)
