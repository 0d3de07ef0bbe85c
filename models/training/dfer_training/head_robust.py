# SPDX-License-Identifier: MPL-2.0
"""Stage `head-robustness`: the whole classifier under disturbances, on FER+ test (stills) and SynDFER test (sequences).

Accuracy, agreement, and the share of decisions that the gates of model.toml hold back.
"""

from pathlib import Path

import numpy as np
import torch

from . import common, encoder, ferplus, head as head_stage, head_measure, metrics, pseudo, robustness, syndfer


def row(what: str, logits: np.ndarray, labels: np.ndarray, calibration: head_measure.Calibration, first=None) -> dict:
    mean, agree = calibration.mean(logits), calibration.agreement(logits)
    war, uar = metrics.war_uar(mean.argmax(1), labels)
    held = calibration.held_back(logits)
    kept = ~held
    out = {"what": what, "count": len(labels), "war": war, "uar": uar, "agreement": float(agree.mean()), "abstained": float(held.mean()),
           "war-answered": float((mean.argmax(1) == labels)[kept].mean()) if kept.any() else None}
    if first is not None:
        out["changed"] = float((mean.argmax(1) != first).mean())
    return out


def thinned(windows, every: int):
    """The same windows when only every `every`-th picture arrived: its neighbours stand in."""
    for frames, length, *rest in windows:
        t = torch.arange(frames.shape[1])
        near = torch.ceil(t.float() / every - 0.5 - 1e-6).long().clamp(min=0) * every
        index = near[None].minimum(((length - 1) // every * every)[:, None])
        yield torch.gather(frames, 1, index[:, :, None].expand(-1, -1, frames.shape[2])), length, *rest


def stills(args, network, head, calibration, device, log) -> list[dict]:
    faces = ferplus.load(args.ferplus or args.data / "ferplus", "test")
    images = pseudo.pictures(faces, encoder.load_aligned(args.work, "test", len(faces.labels)), np.random.default_rng(0), 1.0)
    rows, first = [], None
    for name, change in robustness.CHANGES.items():
        x = torch.from_numpy(images)[:, None].float() / 255
        e = pseudo.at_every_scale(network, torch.cat([change(part) for part in x.split(512)]), device)
        logits = head_measure.answers(head, head_measure.frozen_windows(e))
        rows.append(row(name, logits, faces.labels, calibration, first))
        first = calibration.mean(logits).argmax(1) if first is None else first
        log(f"FER+ {rows[-1]}")
    return rows


def rendered(args, network, key, head, calibration, device, log) -> list[dict]:
    folder = args.sequences or args.work / "synth" / "seq"
    rows, first = [], None
    for name, change in robustness.CHANGES.items():
        cache = args.work / "banks" / f"{key}-seq-measured-{list(robustness.CHANGES).index(name)}"
        sequences = syndfer.load(folder, network, device, cache, log, lambda film: pseudo.in_turn(change(film)), ("test",))
        windows = list(head_measure.rendered_windows(sequences, "test"))
        labels, clear = head_measure.truths(windows)
        logits = head_measure.answers(head, windows)[clear]
        rows.append(row(name, logits, labels[clear], calibration, first))
        if first is None:
            first = calibration.mean(logits).argmax(1)
            slow = head_measure.answers(head, thinned(windows, 3))[clear]
            extra = [row("5 pictures a second", slow, labels[clear], calibration, first)]
            turned = np.abs(np.degrees(yaws(sequences)))[clear]
            for low, high in ((0, 15), (15, 30), (30, 90)):
                mine = (turned >= low) & (turned < high)
                if mine.any():
                    extra.append(row(f"head turned {low} to {high} degrees" if high < 90 else f"head turned over {low} degrees", logits[mine], labels[clear][mine], calibration))
        log(f"SynDFER {rows[-1]}")
    return rows + extra


def yaws(sequences) -> np.ndarray:
    """Mean yaw (radians) of every test sequence."""
    pick = sequences.rows("test").repeat(3)  # as rendered_windows
    return np.array([sequences.angles[f:f + n, 0].abs().mean() for f, n in zip(sequences.first[pick], sequences.length[pick])])


def main(argv: list[str]) -> None:
    import tomllib

    p = common.parser("head-robustness", __doc__)
    p.add_argument("--ferplus", type=Path, help="unzipped FER+ (default: DATA/ferplus)")
    p.add_argument("--encoder", type=Path, help="encoder checkpoint (default: WORK/encoder.pt)")
    p.add_argument("--sequences", type=Path, help="SynDFER sequences (default: WORK/synth/seq)")
    args = p.parse_args(argv)
    device = common.setup(args)
    log = common.Log(args.work / "head-robustness.log")
    network, key = head_stage.load_encoder(args.encoder or args.work / "encoder.pt", device)
    head, _ = head_stage.load(args.work, key)
    calibration = tomllib.loads(common.need(args.models / "expression" / "model.toml", "model.toml").read_text())["calibration"]
    calibration = head_measure.Calibration(**{key.replace("-", "_"): value for key, value in calibration.items()})
    figures = {"command": "python -m dfer_training head-robustness", "encoder": key,
               "ferplus": stills(args, network, head, calibration, device, log),
               "syndfer": rendered(args, network, key, head, calibration, device, log)}
    head_stage.store(args.models / "metrics-head.json", "robustness", figures)
