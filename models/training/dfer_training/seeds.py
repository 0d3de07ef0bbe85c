# SPDX-License-Identifier: MPL-2.0
"""Stage `seeds`: how far the figures of two rebuilds lie apart that differ in their seed alone.

Takes the folders `models` of both, with the metrics.json and, where the head was trained, too, metrics-head.json that their
stages wrote, and writes metrics-seeds.json for the card.
"""

import argparse
import json
from pathlib import Path

from . import common

# How far a figure may move, as a share: what the model card promises of another seed.
ALLOWED = 0.015
COMPARED = ("war", "uar", "abstained", "share")


def detector(d: dict) -> dict[str, dict]:
    """The detector's figures on `count` labels, each a `share`: of faces found, or of the face's height by which landmarks err."""
    out = {"two looks: found at 0.05 false alarms a photograph at most": (d["faces"], d["at_alarms"]["recall"])}
    if "reviewed_at_alarms" in d:
        out["the same, but for labels that show no face"] = (d["faces"], d["reviewed_at_alarms"]["recall"])
    at_threshold = next(r for r in d["search"] if r["score"] == d["score_threshold"])
    out |= {f"two looks: found at {d['score_threshold']:.2f}": (d["faces"], at_threshold["recall"]), "landmark error": (d["faces"], d["landmark_error"])}
    for side in ("96", "64"):
        w = d[f"windows_{side}"]
        out |= {f"windows of {side}x{side}: found at score 0.5": (w["faces"], w["recall"]), f"windows of {side}x{side}: landmark error": (w["faces"], w["landmark_error"])}
    return {f"detector, {name}": {"count": count, "share": share} for name, (count, share) in out.items()}


def figures(models: Path) -> dict[str, dict]:
    """Name of a measured set -> its `count`, `war`, `uar` and, where they were measured, `ece` and `abstained`; of the detector `count` and `share`."""
    metrics = json.loads(common.need(models / "metrics.json", "the figures of stage evaluate").read_text())
    encoder = metrics["encoder"]
    out = {f"encoder, {split}, {view}": encoder[split][view] for split in ("valid", "test") for view in ("aligned", "frame")}
    # What is held back is compared where nothing is disturbed.
    disturbed = lambda r: {k: r[k] for k in ("count", "war", "uar")}
    out |= {f"encoder, test, aligned, {r['what']}": disturbed(r) for r in encoder["robustness"][1:]}
    if (path := models / "metrics-head.json").exists():
        head = json.loads(path.read_text())
        out |= {f"head, {name}": s for name, s in head["head"].items() if isinstance(s, dict)}
        for name in ("ferplus", "syndfer"):
            out |= {f"head, {name}, {r['what']}": disturbed(r) for r in head.get("robustness", {}).get(name, [])[1:]}
    if "detector" in metrics:
        out |= detector(metrics["detector"])
    return {name: {key: s[key] for key in ("count", *COMPARED, "ece") if key in s} for name, s in out.items()}


def compare(first: dict[str, dict], second: dict[str, dict]) -> list[dict]:
    """A row for every set that both have measured, on as many pictures or windows; `moved` is the largest change of a share."""
    rows = []
    for name, a in first.items():
        b = second.get(name)
        if b and a["count"] == b["count"]:
            rows.append({"what": name, "count": a["count"], "moved": max(abs(a[k] - b[k]) for k in COMPARED if k in a),
                         **{k: [a[k], b[k]] for k in (*COMPARED, "ece") if k in a}})
    if not rows:
        raise ValueError("the two folders have no figure in common: run the same stages for both")
    return rows


def main(argv: list[str]) -> None:
    p = argparse.ArgumentParser(prog="python -m dfer_training seeds", description=__doc__)
    p.add_argument("first", type=Path, help="the folder models of one rebuild")
    p.add_argument("second", type=Path, help="that of the other")
    p.add_argument("--models", type=Path, default=common.MODELS, help="where metrics-seeds.json is written (default: models/ of this checkout)")
    args = p.parse_args(argv)
    rows = compare(figures(args.first), figures(args.second))
    for row in rows:
        print(f"{row['what']:60} " + "  ".join(f"{k} {100 * row[k][0]:.1f} {100 * row[k][1]:.1f}" for k in (*COMPARED, "ece") if k in row))
    print(f"{sum(row['moved'] > ALLOWED for row in rows)} of {len(rows)} moved by more than {100 * ALLOWED:g} points")
    whole = {"command": "python -m dfer_training seeds FIRST SECOND", "allowed": ALLOWED, "rows": rows}
    common.write_text(args.models / "metrics-seeds.json", json.dumps(whole, indent=1) + "\n")
