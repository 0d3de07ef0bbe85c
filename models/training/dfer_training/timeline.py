# SPDX-License-Identifier: MPL-2.0
"""Stage `head-footage`: the shipped networks over videos, as the runtime uses them: a decision every 0.2 s.

Detector, alignment, encoder at 15 pictures a second, windows of 2.56 s, five clips, agreement.
"""

import json
import tomllib
from pathlib import Path

import numpy as np
import torch

from . import CLASSES, common, evaluate, head as head_stage, sampling
from .export import session
from .head_measure import Calibration

# What a viewer says of real footage: class, from, to (seconds).
SAID = {"sad-to-happy.mp4": [("sad", 1.0, 5.0), ("happy", 11.5, 19.5)], "neutral-to-happy.mp4": [("happy", 1.6, 2.4)]}
EVERY = 0.2


class OnnxHead:
    """head.onnx and its model.toml: clip logits [K, 7] of a window of embeddings [n, D]."""

    def __init__(self, models: Path):
        folder = models / "expression"
        self.toml = tomllib.loads((folder / "model.toml").read_text())
        self.session = session(folder / "head.onnx")
        self.calibration = Calibration(**{key.replace("-", "_"): value for key, value in self.toml["calibration"].items()})

    def __call__(self, window: np.ndarray) -> np.ndarray:
        frames = torch.from_numpy(np.repeat(window[None], len(sampling.PARTS), 0)).float()
        length = torch.full((len(frames),), len(window))
        part = torch.tensor(sampling.PARTS)
        index = sampling.synopsis(length, part)
        synopsis = sampling.take(frames, index)
        detail = np.zeros((len(frames), sampling.MOMENTS, sampling.DETAIL, frames.shape[2]), np.float32)
        moments = self.session.run(["moments"], {"synopsis": synopsis.numpy(), "detail": detail})[0]
        keys = torch.gather(index, 1, sampling.key_moments(torch.from_numpy(moments)))
        detail = sampling.take(frames, sampling.detail(length, part, keys)).numpy()
        return self.session.run(["logits"], {"synopsis": synopsis.numpy(), "detail": detail})[0]


def timeline(times: np.ndarray, embeddings: np.ndarray, head: OnnxHead) -> list[dict]:
    """Decisions over one face: `times` [n] (seconds) on the grid of 15 a second, `embeddings` [n, D]."""
    window, rate = head.toml["sampling"]["window"], head.toml["sampling"]["rate"]
    rows, due = [], times[0] + 0.8
    for i, t in enumerate(times):
        if t + 1e-6 < due:
            continue
        due = t + EVERY
        first = int(np.searchsorted(times, t - window - 0.5 / rate))
        logits = head(embeddings[first:i + 1])[None]
        mean, agree = head.calibration.mean(logits)[0], head.calibration.agreement(logits)[0]
        rows.append({"time": round(float(t), 2), "label": CLASSES[int(mean.argmax())], "probability": round(float(mean.max()), 3),
                     "agreement": round(float(agree), 3), "probabilities": [round(float(v), 3) for v in mean]})
    return rows


def watch(tool, encoder, head: OnnxHead, path: Path) -> list[dict]:
    """The timeline of the largest face of a video."""
    rate = head.toml["sampling"]["rate"]
    seen = [r for r in tool.video(path) if "crop" in r]
    # The first picture of every slot of the grid, as the engine keeps them.
    slots = {}
    for row in seen:
        slots.setdefault(int(row["time"] * rate + 1e-6), row)
    rows = list(slots.values())
    if len(rows) < 2:
        return []
    return timeline(np.array([r["time"] for r in rows]), encoder.both(np.stack([r["crop"] for r in rows]))[0], head)


def expected(path: Path) -> list[tuple[str, float, float]]:
    """What is to be seen: from SAID, or from the truth beside a rendered clip (spans of a second and more)."""
    truth = path.with_suffix(".json")
    if truth.exists():
        spans = json.loads(truth.read_text())["spans"]
        return [(s["label"], s["start"], s["end"]) for s in spans if s["end"] - s["start"] >= 1]
    return SAID.get(path.name, [])


def score(rows: list[dict], spans, gates: dict) -> list[dict]:
    """Per span: share of decisions with its label, and share held back by the gates; decisions from 0.6 s
    after its start (a window has to fill) to 0.3 s after its end."""
    out = []
    for label, start, end in spans:
        inside = [r for r in rows if start + 0.6 <= r["time"] <= end + 0.3]
        held = [r["agreement"] < gates["min-agreement"] or r["probability"] < gates["min-confidence"] for r in inside]
        out.append({"label": label, "from": start, "to": end, "decisions": len(inside),
                    "right": float(np.mean([r["label"] == label for r in inside])) if inside else None,
                    "held-back": float(np.mean(held)) if inside else None})
    return out


def main(argv: list[str]) -> None:
    p = common.parser("head-footage", __doc__)
    p.add_argument("videos", nargs="+", type=Path)
    p.add_argument("--no-store", action="store_true", help="only print")
    args = p.parse_args(argv)
    common.setup(args)
    log = common.Log(args.work / "head-footage.log")
    tool, encoder, head = evaluate.chain(args.models), evaluate.OnnxEncoder(args.models), OnnxHead(args.models)
    whole = {}
    for path in args.videos:
        rows = watch(tool, encoder, head, common.need(path, "a video"))
        whole[path.name] = {"spans": score(rows, expected(path), head.toml["calibration"]), "timeline": rows}
        log(f"{path.name}: {whole[path.name]['spans']}")
        for row in rows:
            log(f"  {row['time']:6.2f} {row['label']:9} {row['probability']:.2f} agreement {row['agreement']:.2f}")
    if not args.no_store:
        head_stage.store(args.models / "metrics-head.json", "footage", {"command": "python -m dfer_training head-footage VIDEOS", "videos": whole})
