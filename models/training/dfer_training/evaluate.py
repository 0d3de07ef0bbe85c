# SPDX-License-Identifier: MPL-2.0
"""Stage `evaluate`: measures the exported networks and writes models/metrics.json, the source of the model card.

Everything is measured on the ONNX files that are shipped, by ONNX Runtime on one thread. Nothing is chosen on a test
split: the detector's threshold comes from val, the temperatures from valid.
"""

import json
import time
import tomllib
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from . import CLASSES, common, facedet, ferplus, footage, metrics, robustness
from .detector_measure import at_alarms, both_looks, measure, measure_windows, search_curve
from .export import session

# What a viewer says: class, from, to (seconds). From the footage's own description.
EXPECTED = {"sad-to-happy.mp4": [("sad", 0.5, 5.5), ("happy", 11.0, 19.5)],
            "neutral-to-happy.mp4": [("neutral", 0.0, 0.4), ("happy", 0.8, 2.4)]}


class OnnxDetector:
    """The shipped detector with the interface of `nets.Detector` (score logits), one picture at a time."""

    def __init__(self, models: Path):
        self.session, self.toml = session(models / "face" / "detector.onnx"), tomllib.loads((models / "face" / "model.toml").read_text())
        self.threshold = self.toml["score-threshold"]
        self.names = [f"{kind}_{s}" for s in (8, 16, 32) for kind in ("score", "geometry")]

    def eval(self):
        return self

    def __call__(self, x: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
        rows = [self.session.run(self.names, {"image": x[i:i + 1].contiguous().numpy()}) for i in range(len(x))]
        merged = [torch.from_numpy(np.concatenate(column)) for column in zip(*rows)]
        return [(torch.logit(merged[i], 1e-7), merged[i + 1]) for i in (0, 2, 4)]


class OnnxEncoder:
    """The shipped encoder: crops [N, S, S] uint8 -> embeddings [N, D] and logits [N, 7]."""

    def __init__(self, models: Path):
        self.toml = tomllib.loads((models / "expression" / "model.toml").read_text())
        self.session = session(models / "expression" / "encoder.onnx")
        self.size, self.mean, self.std = self.toml["input"]["size"], self.toml["input"]["mean"][0], self.toml["input"]["std"][0]

    def both(self, images: np.ndarray, change=None) -> tuple[np.ndarray, np.ndarray]:
        embeddings, logits = [], []
        for start in range(0, len(images), 128):
            x = torch.from_numpy(images[start:start + 128])[:, None].float() / 255
            if x.shape[-1] != self.size:
                x = F.interpolate(x, (self.size,) * 2, mode="bilinear", align_corners=False)
            x = change(x) if change else x
            x = ((x - self.mean) / self.std).numpy()
            for i in range(len(x)):
                e, l = self.session.run(["embedding", "logits"], {"face": x[i:i + 1]})
                embeddings.append(e[0])
                logits.append(l[0])
        return np.stack(embeddings), np.stack(logits)

    def __call__(self, images: np.ndarray, change=None) -> np.ndarray:
        return self.both(images, change)[1]


def milliseconds(run, count: int = 100) -> float:
    """The fastest of `count` runs after ten to warm up: the one that other programs on the machine disturbed least."""
    times = []
    for i in range(count + 10):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return round(1e3 * min(times[10:]), 3)


def detector_figures(args, log) -> dict:
    network, labels = OnnxDetector(args.models), args.labels or args.data / "facedet"
    val = facedet.load(labels, args.images or labels, "val")
    device = torch.device("cpu")
    out = measure(network, val, device)
    out["score_threshold"] = network.threshold
    seen = both_looks(network, val, device)
    out["search"], out["at_alarms"] = search_curve(seen, val), at_alarms(seen, val)
    if args.review:
        photos = facedet.reviewed(val, args.review)
        out["reviewed"], out["reviewed_at_alarms"] = search_curve(seen, photos), at_alarms(seen, photos)
    out["windows_96"] = measure_windows(network, val, device)
    out["windows_64"] = measure_windows(network, val, device, side=64)
    frame, window = (np.zeros((1, 3, *s), np.float32) for s in ((192, 320), (96, 96)))
    out["onnxruntime_ms"] = {"192x320": milliseconds(lambda: network.session.run(None, {"image": frame})),
                             "96x96": milliseconds(lambda: network.session.run(None, {"image": window}))}
    log(f"detector: {out['faces']} faces, windows {out['windows_96']}")
    return out


def scores(logits: np.ndarray, labels: np.ndarray, temperature: float) -> dict:
    guess = logits.argmax(1)
    war, uar = metrics.war_uar(guess, labels)
    return {"count": len(labels), "war": war, "uar": uar, "recall": dict(zip(CLASSES, metrics.recalls(guess, labels).tolist())),
            "confusion": metrics.confusion(guess, labels).tolist(), "ece": metrics.ece(metrics.softmax(logits, temperature), labels),
            "reliability": metrics.reliability(metrics.softmax(logits, temperature), labels)}


def encoder_figures(args, log) -> dict:
    network, root = OnnxEncoder(args.models), args.ferplus or args.data / "ferplus"
    faces = {split: ferplus.load(root, split) for split in ("valid", "test")}
    aligned = {split: np.load(common.need(args.work / f"aligned-{split}.npz", "aligned FER+ (stage align)")) for split in faces}
    views = {split: {"frame": f.images, "aligned": aligned[split]["images"]} for split, f in faces.items()}
    logits = {(s, v): network(images) for s, of in views.items() for v, images in of.items()}
    temperature = metrics.fit_temperature(logits["valid", "aligned"], faces["valid"].labels)
    out: dict = {"temperature": temperature, "found": {s: float(a["found"].mean()) for s, a in aligned.items()}}
    for (split, view), values in logits.items():
        out.setdefault(split, {})[view] = scores(values, faces[split].labels, temperature)
        log(f"encoder {split} {view}: WAR {100 * out[split][view]['war']:.2f} UAR {100 * out[split][view]['uar']:.2f}")
    out["taggers"] = {split: taggers(faces[split], logits[split, "aligned"].argmax(1)) for split in faces}
    out["robustness"] = disturbed(network, views["test"]["aligned"], faces["test"].labels, logits["test", "aligned"], temperature)
    turned = robustness.yaw(aligned["test"]["landmarks"]).abs().numpy()
    ok = aligned["test"]["found"]
    for name, low, high in (("turned up to 10", 0, 10), ("turned 10 to 25", 10, 25), ("turned over 25", 25, 90)):
        rows = ok & (turned >= low) & (turned < high)
        guess = logits["test", "aligned"][rows].argmax(1)
        war, uar = metrics.war_uar(guess, faces["test"].labels[rows])
        out.setdefault("yaw", []).append({"what": name, "count": int(rows.sum()), "war": war, "uar": uar})
    face = np.zeros((1, 1, network.size, network.size), np.float32)
    out["onnxruntime_ms"] = milliseconds(lambda: network.session.run(None, {"face": face}))
    return out


def taggers(faces: ferplus.Faces, guess: np.ndarray) -> list[dict]:
    """Accuracy of the answers where the taggers were of one mind and where not, and what other taggers would score."""
    most, share = ferplus.majority(faces.tally), faces.tally.max(1) / faces.tally.sum(1)
    rows = []
    for name, mine in (("all", share >= 0), ("majority", most), ("over half of all votes", share > 0.5),
                       ("at most half of all votes", share <= 0.5)):
        war, uar = metrics.war_uar(guess[mine], faces.labels[mine])
        rows.append({"what": name, "count": int(mine.sum()), "war": war, "uar": uar})
    again = [metrics.war_uar(labels, faces.labels) for labels in ferplus.asked_again(faces.tally, faces.labels)]
    war, uar = np.mean(again, 0)
    return rows + [{"what": "other taggers", "count": len(guess), "war": float(war), "uar": float(uar)}]


def disturbed(network: OnnxEncoder, images: np.ndarray, labels: np.ndarray, plain: np.ndarray, temperature: float) -> list[dict]:
    """Accuracy under each disturbance, share of answers it changes, mean top probability, share under 0.4 (abstained); `plain`:
    the logits of the pictures as they are, the first row."""
    rows, first = [], plain.argmax(1)
    for name, change in robustness.CHANGES.items():
        values = network(images, change) if rows else plain
        guess, top = values.argmax(1), metrics.softmax(values, temperature).max(1)
        war, uar = metrics.war_uar(guess, labels)
        rows.append({"what": name, "count": len(labels), "war": war, "uar": uar, "changed": float((guess != first).mean()),
                     "confidence": float(top.mean()), "abstained": float((top < 0.4).mean())})
    return rows


def chain(models: Path) -> footage.Chain:
    """Detector and encoder as they are shipped, for videos."""
    from .detector_measure import detect
    finder, encoder = OnnxDetector(models), OnnxEncoder(models)
    place = encoder.toml["crop"]
    one = lambda image, least: detect(finder, image[None], torch.device("cpu"), least)[0]
    return footage.Chain(one, encoder, place["template"], place["box"], encoder.size, finder.threshold, place["scales"])


def footage_figures(args, log) -> dict:
    if not args.media:
        log("footage: not measured without --media")
        return {}
    tool, out = chain(args.models), {}
    for path in sorted(common.need(args.media, "the footage").glob("*.m[op][v4]")):
        rows = tool.video(path)
        seen = [r for r in rows if "probabilities" in r]
        row: dict = {"frames": len(rows), "with_face": len(seen) / max(1, len(rows))}
        for name, start, end in EXPECTED.get(path.name, []):
            inside = [r for r in seen if start <= r["time"] <= end]
            right = [CLASSES[int(r["probabilities"].argmax())] == name for r in inside]
            row.setdefault("expected", []).append({"label": name, "from": start, "to": end, "frames": len(inside),
                                                   "share": float(np.mean(right)) if right else 0.0})
        if seen:
            row["seconds"] = [{"second": s, "label": CLASSES[int(p.argmax())], "probability": float(p.max())}
                              for s in range(int(rows[-1]["time"]) + 1)
                              if len(q := [r["probabilities"] for r in seen if s <= r["time"] < s + 1])
                              for p in [np.mean(q, 0)]]
        out[path.name] = row
        log(f"{path.name}: face in {100 * row['with_face']:.1f} % of {len(rows)} frames {row.get('expected', '')}")
    return out


def merge(path: Path, section: str, figures: dict, command: str) -> None:
    """Sets one section of metrics.json, or drops it for want of `figures`; the others stay."""
    whole = json.loads(path.read_text()) if path.exists() else {"schema": "dfer-metrics/1"}
    whole[section] = {"command": command} | figures
    if not figures:
        del whole[section]
    common.write_text(path, json.dumps(whole, indent=1) + "\n")


def main(argv: list[str]) -> None:
    p = common.parser("evaluate", __doc__)
    p.add_argument("--only", default="detector,encoder,footage,head", help="sections to measure")
    p.add_argument("--labels", type=Path, help="folder of facedet's labels.jsonl (default: DATA/facedet)")
    p.add_argument("--images", type=Path, help="folder of its unzipped train and val (default: as --labels)")
    p.add_argument("--review", type=Path, help="labels of facedet's val split in which a person saw no face; measured without them, too")
    p.add_argument("--ferplus", type=Path, help="unzipped FER+ (default: DATA/ferplus)")
    p.add_argument("--media", type=Path, help="folder of the footage with known course (default: none; figures of earlier networks are dropped)")
    args = p.parse_args(argv)
    common.setup(args)
    log = common.Log(args.work / "evaluate.log")
    sections = {"detector": detector_figures, "encoder": encoder_figures, "footage": footage_figures}
    for name in args.only.split(","):
        if name == "head":
            from . import head
            figures = head.evaluate(args, log)
        elif name in sections:
            figures = sections[name](args, log)
        else:
            raise ValueError(f"there is no section '{name}': it is one of {', '.join([*sections, 'head'])}")
        review = f" --review {args.review}" if args.review and name == "detector" else ""
        merge(args.models / "metrics.json", name, figures, f"python -m dfer_training evaluate --only {name}{review}")
