# SPDX-License-Identifier: MPL-2.0
"""What stands between a face and a network: occluders, lenses, sensors, codecs. Grey pictures, float 0..255."""

import io

import numpy as np
from PIL import Image, ImageDraw, ImageFilter


class Occluder:
    """Something in front of the face: a hand, a board, a scarf. Drawn at any centre, so that it can move."""

    def __init__(self, rng, size: int, tone: float | None = None):
        self.kind = rng.choice(["hand", "board", "bar"], p=[0.55, 0.25, 0.2])
        self.size = size
        self.angle = rng.uniform(-40, 40) if self.kind != "hand" else rng.uniform(-70, 70)
        self.extent = rng.uniform(0.35, 0.65)
        self.tone = tone if tone is not None and self.kind == "hand" else rng.uniform(15, 240)
        self.fingers = int(rng.integers(3, 5))
        self.spread = rng.uniform(0.0, 0.05)
        grain = rng.standard_normal((6, 6)) * (10 if self.kind == "hand" else rng.uniform(0, 30))
        self.grain = np.asarray(Image.fromarray(grain.astype(np.float32)).resize((size, size), Image.BICUBIC))
        self.alpha, self.shade = self._draw()

    def _draw(self):
        n = self.size * 2
        mask = Image.new("L", (2 * n, 2 * n), 0)
        light = Image.new("L", (2 * n, 2 * n), 128)
        pen, tint = ImageDraw.Draw(mask), ImageDraw.Draw(light)
        e = self.extent * n
        if self.kind == "hand":
            w = e * 0.24
            for k in range(self.fingers):
                x = n + (k - (self.fingers - 1) / 2) * (w * 1.02 + self.spread * n)
                top = n - e * (0.75 - 0.12 * abs(k - self.fingers / 2 + 0.3))
                box = [x - w / 2, top, x + w / 2, n + e * 0.3]
                pen.rounded_rectangle(box, radius=w / 2, fill=255)
                tint.rounded_rectangle(box, radius=w / 2, fill=122)
                tint.rounded_rectangle([x - w * 0.25, top + w * 0.2, x + w * 0.2, n + e * 0.3], radius=w / 4, fill=150)
            palm = [n - e * 0.52, n, n + e * 0.52, n + e * 1.5]
            pen.rounded_rectangle(palm, radius=e * 0.2, fill=255)
            tint.rounded_rectangle([palm[0] + 4, palm[1], palm[2] - 4, palm[3]], radius=e * 0.2, fill=138)
        else:
            high = e * (0.8 if self.kind == "board" else 0.28)
            pen.rectangle([n - e * 1.1, n - high, n + e * 1.1, n + high], fill=255)
        mask, light = (picture.rotate(self.angle, Image.BILINEAR) for picture in (mask, light.filter(ImageFilter.GaussianBlur(2))))
        small = lambda p: np.asarray(p.resize((2 * self.size, 2 * self.size), Image.BOX), np.float32)
        return small(mask) / 255, small(light) / 128

    def coverage(self, x: float, y: float) -> np.ndarray:
        """Alpha [S, S] with the occluder's centre at (x, y) in units of the picture."""
        return self._window(self.alpha, x, y)

    def _window(self, big, x, y):
        s = self.size
        top, left = int(round(s - y * s)), int(round(s - x * s))
        out = np.zeros((s, s), np.float32)
        y0, x0 = max(0, -top), max(0, -left)
        y1, x1 = min(s, 2 * s - top), min(s, 2 * s - left)
        if y1 > y0 and x1 > x0:
            out[y0:y1, x0:x1] = big[top + y0: top + y1, left + x0: left + x1]
        return out

    def put(self, image: np.ndarray, x: float, y: float) -> np.ndarray:
        """`image` [S, S] with the occluder over it."""
        alpha = self.coverage(x, y)
        paint = np.clip(self.tone * self._window(self.shade, x, y) + self.grain, 0, 255)
        return image * (1 - alpha) + alpha * paint


class Lens:
    """The fixed part of a camera: resolution, blur, noise level, compression, tone curve, exposure.

    The exposure is set on the first picture and then kept, as in a video.
    """

    def __init__(self, rng, mild: bool = False):
        self.pixels = rng.uniform(0.5, 1.0) if rng.random() < (0.3 if mild else 0.6) else 1.0
        self.blur = max(0.0, rng.normal(0.0, 0.4 if mild else 0.55))
        self.noise = abs(rng.normal(0, 4)) if rng.random() < 0.4 else 0.0
        self.quality = int(rng.uniform(30, 95)) if rng.random() < 0.5 else 0
        self.gamma = np.exp(rng.normal(0, 0.2))
        # Cameras expose for what they see: most pictures end near the middle grey, some do not.
        self.brightness = rng.normal(128, 22) if rng.random() < 0.8 else None
        self.level = None
        self.contrast = np.exp(rng.normal(0.15, 0.2))

    def apply(self, rng, image: np.ndarray) -> np.ndarray:
        """`image` [S, S] float -> uint8 [S, S] as this camera would have given it."""
        size = image.shape[0]
        tone = 255 * (np.clip(image, 0, 255) / 255) ** self.gamma
        if self.brightness is not None:
            middle = tone[size // 4: -size // 8, size // 5: -size // 5]
            if self.level is None:
                self.level = float(middle.mean()), float(middle.std())
            mean, spread = self.level
            gain = self.contrast * np.clip(42 / max(spread, 1), 0.6, 2.2)
            tone = (tone - mean) * gain + self.brightness
        picture = Image.fromarray(np.clip(tone, 0, 255).astype(np.uint8))
        if self.blur > 0.25:
            picture = picture.filter(ImageFilter.GaussianBlur(self.blur))
        small = int(round(size * self.pixels))
        if small < size:
            picture = picture.resize((small, small), Image.BILINEAR)
        if self.noise > 0.5:
            noisy = np.asarray(picture, np.float32) + rng.normal(0, self.noise, (picture.height, picture.width))
            picture = Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))
        if self.quality:
            memory = io.BytesIO()
            picture.save(memory, "JPEG", quality=self.quality)
            picture = Image.open(io.BytesIO(memory.getvalue()))
        if small < size:
            picture = picture.resize((size, size), Image.BILINEAR)
        return np.asarray(picture, np.uint8)
