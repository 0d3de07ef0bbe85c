# SPDX-License-Identifier: MPL-2.0
"""facedet: photographs with face boxes and landmarks, and the training canvases composed from them.

A canvas is 320x192 (a whole frame) or 96x96 (the runtime's tracking window around a known face).
Its targets: boxes [n, 4] as x0, y0, x1, y1, landmarks [n, 5, 2], both in canvas pixels, and ignore boxes [m, 4].
"""

import csv
import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np

from .common import need

# Left and right change places when an image is mirrored.
MIRRORED = [1, 0, 2, 4, 3]


@dataclass
class Photo:
    """One labelled photograph: mip levels [h, w, 3] RGB uint8 (each half of the one before) and its faces.

    `suspects` [n, 4] are boxes that an earlier detector took for faces and that are none.
    """

    name: str
    source: str
    levels: list[np.ndarray]
    boxes: np.ndarray
    landmarks: np.ndarray
    ignored: np.ndarray
    suspects: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.float32))

    @property
    def size(self) -> tuple[int, int]:
        h, w = self.levels[0].shape[:2]
        return w, h


@dataclass
class Canvas:
    image: np.ndarray
    boxes: list = field(default_factory=list)
    landmarks: list = field(default_factory=list)
    ignored: list = field(default_factory=list)


def load(root: Path, images: Path, split: str) -> list[Photo]:
    """All photographs of a split. `root` holds labels.jsonl, `images` the unzipped folders train and val."""
    cv2.setNumThreads(1)
    photos = []
    with open(need(root / "labels.jsonl", "the facedet labels"), encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            if row["split"] != split:
                continue
            image = cv2.imread(str(need(images / row["file"], "a facedet image")))
            if image is None:
                raise ValueError(f"{images / row['file']} is not a readable image")
            levels = [cv2.cvtColor(image, cv2.COLOR_BGR2RGB)]
            while min(levels[-1].shape[:2]) >= 48:
                h, w = levels[-1].shape[:2]
                levels.append(cv2.resize(levels[-1], (w // 2, h // 2), interpolation=cv2.INTER_AREA))
            faces = [f for f in row["faces"] if not f["ignore"]]
            corners = lambda fs: np.array([[x, y, x + w, y + h] for x, y, w, h in (f["box"] for f in fs)],
                                          np.float32).reshape(-1, 4)
            photos.append(Photo(row["file"], row["source"], levels, corners(faces),
                                np.array([f["landmarks"] for f in faces], np.float32).reshape(-1, 5, 2),
                                corners([f for f in row["faces"] if f["ignore"]])))
    return photos


def reviewed(photos: list[Photo], review: Path) -> list[Photo]:
    """`photos` with the labels that `review` lists as ignore boxes: who looked at them saw no face there.

    A CSV of file, x, y, width, height (pixels) and what there is instead. Raises ValueError for a label that is not there.
    """
    listed: dict[str, list] = {}
    with open(need(review, "the review of labels"), newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            x, y, w, h = (float(row[key]) for key in ("x", "y", "width", "height"))
            listed.setdefault(row["file"], []).append([x, y, x + w, y + h])
    out = []
    for photo in photos:
        boxes = np.array(listed.pop(photo.name, []), np.float32).reshape(-1, 1, 4)
        same = np.abs(boxes - photo.boxes).max(2) < 0.2
        if not same.any(1).all():
            raise ValueError(f"{review} lists a face of {photo.name} that its labels have not")
        none = same.any(0)
        out.append(replace(photo, boxes=photo.boxes[~none], landmarks=photo.landmarks[~none],
                           ignored=np.concatenate([photo.ignored, photo.boxes[none]])))
    if listed:
        raise ValueError(f"{review} lists {next(iter(listed))}, which is not among the photographs")
    return out


def similarity(scale: float, degrees: float, source: tuple, target: tuple) -> np.ndarray:
    """2x3 matrix that turns and scales around `source` and carries it to `target`."""
    a = np.deg2rad(degrees)
    c, s = scale * np.cos(a), scale * np.sin(a)
    return np.array([[c, -s, target[0] - c * source[0] + s * source[1]],
                     [s, c, target[1] - s * source[0] - c * source[1]]], np.float32)


def turned_boxes(boxes: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Boxes after a similarity: the bounds of the turned ellipse that each box holds (a face is about that)."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2 @ matrix[:, :2].T + matrix[:, 2]
    half = (boxes[:, 2:] - boxes[:, :2]) / 2
    extent = np.sqrt((half ** 2) @ (matrix[:, :2].T ** 2))
    return np.concatenate([centre - extent, centre + extent], 1)


class Composer:
    """Makes training canvases. One numpy generator drives every choice, so a seed gives the same canvases."""

    def __init__(self, photos: list[Photo], rng: np.random.Generator):
        self.photos, self.rng = photos, rng
        self.with_face = [p for p in photos if len(p.boxes)]
        self.without = [p for p in photos if not len(p.boxes) and not len(p.ignored)]
        self.suspicious = [p for p in photos if len(p.suspects)]

    def pick(self, among: list[Photo]) -> Photo:
        return among[self.rng.integers(len(among))]

    def place(self, canvas: Canvas, photo: Photo, matrix: np.ndarray, region=None, fill=None) -> None:
        """Draws `photo` through `matrix` into `region` (x0, y0, x1, y1) of the canvas and adds its labels.

        `fill`: None keeps the canvas around the photograph, "edge" repeats its border, a number is a grey level.
        """
        h, w = canvas.image.shape[:2]
        x0, y0, x1, y1 = region or (0, 0, w, h)
        scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
        level = 0
        while scale < 0.6 and level + 1 < len(photo.levels):
            scale, level = scale * 2, level + 1
        source = photo.levels[level]
        # Half-pixel centres on both sides, and the true ratio of the (rounded) mip level.
        full_w, full_h = photo.size
        ratio = np.diag([full_w / source.shape[1], full_h / source.shape[0]]).astype(np.float32)
        m = np.concatenate([matrix[:, :2] @ ratio, matrix[:, 2:]], 1)
        m[:, 2] += m[:, :2].sum(1) * 0.5 - 0.5 - np.array([x0, y0])
        size = (x1 - x0, y1 - y0)
        view = canvas.image[y0:y1, x0:x1]
        if fill == "edge":
            view[:] = cv2.warpAffine(source, m, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        elif fill is not None:
            view[:] = cv2.warpAffine(source, m, size, flags=cv2.INTER_LINEAR, borderValue=(fill,) * 3)
        else:
            cv2.warpAffine(source, m, size, dst=view, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_TRANSPARENT)
            if not view.flags["C_CONTIGUOUS"]:
                canvas.image[y0:y1, x0:x1] = view
        self.label(canvas, photo, matrix, (x0, y0, x1, y1))

    def label(self, canvas: Canvas, photo: Photo, matrix: np.ndarray, region: tuple) -> None:
        low, high = np.array(region[:2], np.float32), np.array(region[2:], np.float32)
        for box in turned_boxes(photo.ignored, matrix):
            self.ignore(canvas, box, low, high)
        landmarks = photo.landmarks @ matrix[:, :2].T + matrix[:, 2]
        for box, marks in zip(turned_boxes(photo.boxes, matrix), landmarks):
            shown = np.concatenate([np.maximum(box[:2], low), np.minimum(box[2:], high)])
            size, seen = box[2:] - box[:2], np.maximum(shown[2:] - shown[:2], 0)
            if seen.prod() < 0.6 * size.prod() or size[1] < 6:
                self.ignore(canvas, box, low, high)
            else:
                canvas.boxes.append(shown)
                canvas.landmarks.append(marks)

    @staticmethod
    def ignore(canvas: Canvas, box: np.ndarray, low: np.ndarray, high: np.ndarray) -> None:
        box = np.concatenate([np.maximum(box[:2], low), np.minimum(box[2:], high)])
        if (box[2:] > box[:2]).all():
            canvas.ignored.append(box)

    def background(self, width: int, height: int) -> Canvas:
        canvas = self.empty(width, height)
        if self.rng.random() < 0.25:
            self.doodle(canvas.image)
        return canvas

    def doodle(self, image: np.ndarray, place: tuple | None = None) -> None:
        """Draws what photographs lack and titles are full of: letters, discs in discs, a disc above a bar.

        A few anywhere, or one at `place`: x, y, radius.
        """
        rng, (h, w) = self.rng, image.shape[:2]
        colour = lambda: tuple(int(c) for c in rng.integers(0, 256, 3))
        for _ in range(1 if place else rng.integers(1, 5)):
            x, y = int(rng.integers(0, w)), int(rng.integers(0, h))
            r = int(np.exp(rng.uniform(np.log(4), np.log(0.3 * h))))
            if place:
                x, y, r = map(int, place)
            if rng.random() < 0.35:
                text = "".join(rng.choice(list("abcdefgijlmnoqrstu0689CDGOQS!?:")) for _ in range(rng.integers(1, 5)))
                for thick, c in ((max(3, r // 3), colour()), (max(1, r // 7), colour())):
                    cv2.putText(image, text, (x - r, y), int(rng.integers(0, 8)), r / 12, c, thick, cv2.LINE_AA)
                continue
            if rng.random() < 0.4:
                wide = int(r * rng.uniform(0.4, 1.6))
                cv2.rectangle(image, (x - wide, y + int(r * rng.uniform(0.9, 1.4))), (x + wide, y + 4 * r), colour(), -1)
            tall = rng.uniform(0.8, 1.4)
            for part in np.sort(rng.uniform(0.3, 1, rng.integers(1, 4)))[::-1]:
                start = int(rng.choice([0, 0, 180]))
                cv2.ellipse(image, (x, y), (max(1, int(r * part)), max(1, int(r * part * tall))), rng.uniform(-15, 15),
                            start, start + int(rng.choice([360, 360, 180])), colour(), -1, cv2.LINE_AA)

    def empty(self, width: int, height: int) -> Canvas:
        rng, image = self.rng, np.empty((height, width, 3), np.uint8)
        if rng.random() < 0.35:
            image[:] = rng.integers(0, 256, 3) if rng.random() < 0.5 else rng.choice([0, 0, 0, 114, 255])
            return Canvas(image)
        canvas, photo = Canvas(image), self.pick(self.without)
        w, h = photo.size
        scale = max(width / w, height / h) * rng.uniform(1, 1.6)
        spot = (rng.uniform(0, w), rng.uniform(0, h))
        spot = tuple(np.clip(spot, [width / 2 / scale, height / 2 / scale],
                             [w - width / 2 / scale + 1e-3, h - height / 2 / scale + 1e-3]))
        self.place(canvas, photo, similarity(scale, 0, spot, (width / 2, height / 2)), fill="edge")
        return canvas

    def roll(self) -> float:
        """Degrees: mostly a tilt of a few, at times up to 40."""
        return self.rng.normal(0, 6) if self.rng.random() < 0.7 else self.rng.uniform(-40, 40)

    def frame(self, width: int = 320, height: int = 192) -> Canvas:
        """A whole frame: letterboxed, one photograph at a chosen face size, or a mosaic."""
        kind = self.rng.random()
        if kind < 0.3:
            return self.letterboxed(width, height)
        if kind < 0.65:
            canvas = self.background(width, height)
            self.at_face_size(canvas, (0, 0, width, height))
            return canvas
        canvas = self.background(width, height)
        cut_x = int(width * self.rng.uniform(0.35, 0.65))
        cut_y = int(height * self.rng.uniform(0.4, 0.6)) if self.rng.random() < 0.5 else height
        for x0, x1 in ((0, cut_x), (cut_x, width)):
            for y0, y1 in ((0, cut_y), (cut_y, height)):
                if y1 > y0:
                    self.at_face_size(canvas, (x0, y0, x1, y1))
        return canvas

    def letterboxed(self, width: int, height: int) -> Canvas:
        rng, photo = self.rng, self.pick(self.with_face if self.rng.random() < 0.7 else self.photos)
        w, h = photo.size
        scale = min(width / w, height / h) * rng.uniform(0.8, 1.1)
        low = np.array([w, h]) * scale / 2
        span = np.maximum(np.array([width, height]) - 2 * low, 0)
        middle = np.where(span > 0, low + span * rng.random(2), np.array([width, height]) / 2)
        canvas = Canvas(np.empty((height, width, 3), np.uint8))
        self.place(canvas, photo, similarity(scale, rng.normal(0, 2), (w / 2, h / 2), tuple(middle)),
                   fill=float(rng.choice([0, 0, 0, 114])))
        return canvas

    def at_face_size(self, canvas: Canvas, region: tuple) -> None:
        """One photograph in a region, scaled so that one of its faces gets a height drawn log-uniformly."""
        rng = self.rng
        photo = self.pick(self.with_face if rng.random() < 0.75 else self.photos)
        x0, y0, x1, y1 = region
        if len(photo.boxes):
            box = photo.boxes[rng.integers(len(photo.boxes))]
            # Up to faces that the region cuts, as footage has that was cropped to them.
            tall = np.exp(rng.uniform(np.log(8), np.log(1.15 * min(y1 - y0, 1.2 * (x1 - x0)))))
            scale = tall / (box[3] - box[1])
            scale = min(scale, 2.5)
            source = (box[:2] + box[2:]) / 2
        else:
            w, h = photo.size
            scale = max((x1 - x0) / w, (y1 - y0) / h) * rng.uniform(0.5, 1.5)
            source, tall = np.array([w / 2, h / 2]), 0
        room = np.minimum(np.array([x1 - x0, y1 - y0]) * 0.45, tall * 0.4)
        target = np.array([rng.uniform(x0 + room[0], x1 - room[0]), rng.uniform(y0 + room[1], y1 - room[1])])
        fill = None if rng.random() < 0.5 else ("edge" if rng.random() < 0.3 else float(rng.choice([0, 114])))
        self.place(canvas, photo, similarity(scale, self.roll(), tuple(source), tuple(target)), region, fill)

    def window(self, side: int = 96) -> Canvas:
        """A tracking window: a face about side / 2.4 high, off centre by up to 30 % of itself and more. Some show nothing,
        and some what might be taken for a face, as second looks at a frame's suggestions do."""
        rng = self.rng
        canvas = self.background(side, side)
        tall = side / 2.4 * np.exp(rng.normal(0, 0.22))
        target = side / 2 + rng.uniform(-0.4, 0.4, 2) * tall
        kind = rng.random()
        if kind < 0.12:
            return canvas
        if kind < 0.18:
            self.doodle(canvas.image, (*target, tall / 2))
            return canvas
        if kind < 0.3 and self.suspicious:
            photo = self.pick(self.suspicious)
            box = photo.suspects[rng.integers(len(photo.suspects))]
        else:
            photo = self.pick(self.with_face)
            box = photo.boxes[rng.integers(len(photo.boxes))]
        scale = tall / (box[3] - box[1])
        fill = "edge" if rng.random() < 0.4 else (None if rng.random() < 0.3 else 0.0)
        degrees = rng.normal(0, 8) if rng.random() < 0.5 else rng.uniform(-38, 38)
        self.place(canvas, photo, similarity(scale, degrees, tuple((box[:2] + box[2:]) / 2), tuple(target)), fill=fill)
        return canvas

    def finish(self, canvas: Canvas) -> Canvas:
        """Mirror, light, colour, blur, noise, compression."""
        rng, image = self.rng, canvas.image
        width = image.shape[1]
        if rng.random() < 0.5:
            image = image[:, ::-1]
            canvas.boxes = [np.array([width - b[2], b[1], width - b[0], b[3]]) for b in canvas.boxes]
            canvas.ignored = [np.array([width - b[2], b[1], width - b[0], b[3]]) for b in canvas.ignored]
            canvas.landmarks = [(np.array([width, 0]) + m * np.array([-1, 1]))[MIRRORED] for m in canvas.landmarks]
        image = self.light(np.ascontiguousarray(image))
        if rng.random() < 0.2:
            sigma = rng.uniform(0.4, 1.6)
            image = cv2.GaussianBlur(image, (0, 0), sigma)
        elif rng.random() < 0.3:
            image = self.enlarged(image, max((b[3] - b[1] for b in canvas.boxes), default=60))
        if rng.random() < 0.25:
            noise = rng.normal(0, rng.uniform(2, 16), image.shape).astype(np.float32)
            image = np.clip(image + noise, 0, 255).astype(np.uint8)
        if rng.random() < 0.3:
            image = self.jpeg(image)
        canvas.image = image
        return canvas

    def enlarged(self, image: np.ndarray, tall: float) -> np.ndarray:
        """As if it had been a small picture, its largest face (`tall` pixels) 12 to 48 pixels high, before it was enlarged."""
        rng, (h, w) = self.rng, image.shape[:2]
        ratio = min(0.8, np.exp(rng.uniform(np.log(12), np.log(48))) / tall)
        small = cv2.resize(image, (max(2, round(w * ratio)), max(2, round(h * ratio))), interpolation=cv2.INTER_AREA)
        if rng.random() < 0.5:
            small = self.jpeg(small)
        return cv2.resize(small, (w, h), interpolation=cv2.INTER_LINEAR if rng.random() < 0.5 else cv2.INTER_CUBIC)

    def jpeg(self, image: np.ndarray) -> np.ndarray:
        quality = int(self.rng.integers(15, 80))
        return cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)

    def light(self, image: np.ndarray) -> np.ndarray:
        """Gamma, gain per channel and saturation as one table and one matrix; at times grey or a side light."""
        rng = self.rng
        if rng.random() < 0.8:
            gamma = np.exp(rng.normal(0, 0.35))
            gain = np.exp(rng.normal(0, 0.2)) * np.exp(rng.normal(0, 0.06, 3))
            if rng.random() < 0.12:
                gain = gain * rng.uniform(0.15, 0.5)
            x = np.linspace(0, 1, 256)[:, None] ** gamma
            table = np.clip((x - 0.5) * np.exp(rng.normal(0, 0.15)) * 255 + 127.5, 0, 255) * gain
            image = cv2.LUT(image, np.clip(table, 0, 255).astype(np.uint8)[None])
        grey = rng.random()
        if grey < 0.4:
            mono = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None].astype(np.float32)
            keep = 0.0 if grey < 0.15 else rng.uniform(0, 1.6)
            image = np.clip(mono + (image - mono) * keep, 0, 255).astype(np.uint8)
        if rng.random() < 0.12:
            h, w = image.shape[:2]
            a = rng.uniform(0, 2 * np.pi)
            ramp = (np.cos(a) * np.linspace(-1, 1, w)[None] + np.sin(a) * np.linspace(-1, 1, h)[:, None]) / 2
            image = np.clip(image * (1 + rng.uniform(0.3, 0.9) * ramp)[..., None], 0, 255).astype(np.uint8)
        return image
