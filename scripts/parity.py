#!/usr/bin/env python3
# SPDX-License-Identifier: MPL-2.0
"""Does the program show a face to the networks as the training recipe does?

Runs `dfer evaluate --faces frame` over a split of FER+ and the recipe's own code (`models/training`) over the same pictures
with the same networks, and compares WAR and every answer: the whole classifier (encoder and head), and the encoder's own
answer (the recipe's figure "frame"), which the program is given as a clip network. The recipe enlarges pictures in floating
point, the program's crops are bytes: with the recipe's crops rounded to bytes, too, the answers have to be the same. Exit status 1
when a WAR differs by more than 0.3 points, or anything with rounded crops. Needs the recipe's Python packages (`models/training/README.md`) and a built `dfer`.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "models" / "training"))
from dfer_training import CLASSES, evaluate, ferplus, metrics, timeline  # noqa: E402

ALLOWED, ROUNDED = 0.3, 1e-3
"""Points of WAR; of any probability, when both sides have the same crops."""


def crops(images: np.ndarray, size: int) -> np.ndarray:
    """The pictures as the program shows them to the network: enlarged, and rounded to bytes."""
    x = F.interpolate(torch.from_numpy(images)[:, None].float(), (size, size), mode="bilinear", align_corners=False)
    return (x + 0.5).floor().clamp(0, 255).byte().numpy()[:, 0]


def tree(faces: ferplus.Faces, data: Path, split: str, root: Path) -> None:
    """ROOT/CLASS/picture, as links."""
    for label, name in zip(faces.labels, faces.names):
        source = data / name if (data / name).exists() else data / split / name
        target = root / CLASSES[label] / source.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(source.resolve())


def encoder_model(models: Path, folder: Path) -> None:
    """The encoder's own answer to the first frame of a clip, as a network of kind "clip"."""
    import onnx
    from onnx import TensorProto, compose, helper

    toml = tomllib.loads((models / "expression" / "model.toml").read_text())
    size, classes = toml["input"]["size"], len(toml["classes"])
    encoder = onnx.load(models / "expression" / "encoder.onnx")
    first = helper.make_graph(
        [helper.make_node("Gather", ["clip", "first"], ["frame"], axis=1)], "first",
        [helper.make_tensor_value_info("clip", TensorProto.FLOAT, [1, 2, 1, size, size])],
        [helper.make_tensor_value_info("frame", TensorProto.FLOAT, [1, 1, size, size])],
        [helper.make_tensor("first", TensorProto.INT64, [], [0])])
    first = helper.make_model(first, opset_imports=encoder.opset_import, ir_version=encoder.ir_version)
    whole = compose.merge_models(first, encoder, io_map=[("frame", "face")], outputs=["logits"])
    assert whole.graph.output[0].type.tensor_type.shape.dim[1].dim_value == classes
    onnx.save(whole, folder / "encoder-alone.onnx")
    digest = hashlib.sha256((folder / "encoder-alone.onnx").read_bytes()).hexdigest()
    figure = toml["input"]
    (folder / "model.toml").write_text(f"""schema = "dfer-model/1"
kind = "clip"
name = "encoder-alone"
classes = {json.dumps(toml["classes"])}
[input]
size = {size}
channels = "gray"
mean = {figure["mean"]}
std = {figure["std"]}
layout = "BTCHW"
[sampling]
frames = 2
rate = {toml["sampling"]["rate"]}
window = {toml["sampling"]["window"]}
synopsis = 2
moments = 0
detail = 0
[graphs.clip]
file = "encoder-alone.onnx"
sha256 = "{digest}"
input = "clip"
output = "logits"
""")


def program(dfer: Path, root: Path, model: Path, jobs: int, scratch: Path) -> dict[str, np.ndarray]:
    """Probabilities by the picture's file name, as `dfer evaluate` gives them."""
    out = scratch / "evaluation.json"
    subprocess.run([dfer, "evaluate", "--layout", "class-folders", "--faces", "frame", "--jobs", str(jobs), "--model", model,
                    "--json", out, root], check=True, stdout=subprocess.DEVNULL)
    return {Path(p["sample"]).name: np.array(p["probabilities"]) for p in json.loads(out.read_text())["predictions"]}


def compare(what: str, ours: np.ndarray, theirs: np.ndarray, labels: np.ndarray, rounded: bool) -> bool:
    """Prints one line; whether both sides are near enough."""
    (war, uar), (recipe_war, recipe_uar) = (metrics.war_uar(p.argmax(1), labels) for p in (ours, theirs))
    gap = 100 * (war - recipe_war)
    far = np.abs(ours - theirs).max(1)
    print(f"{what}: program WAR {100 * war:.2f} UAR {100 * uar:.2f}, recipe WAR {100 * recipe_war:.2f} UAR {100 * recipe_uar:.2f}, "
          f"WAR differs by {gap:+.2f} points; {int((ours.argmax(1) != theirs.argmax(1)).sum())} of {len(labels)} answers differ; "
          f"probabilities differ by {far.mean():.4f} on average, {np.quantile(far, 0.99):.4f} at the 99th percentile, {far.max():.4f} at most")
    return far.max() <= ROUNDED if rounded else abs(gap) <= ALLOWED


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("ferplus", type=Path, help="unzipped FER+: labels.csv and its pictures")
    p.add_argument("--split", default="test")
    p.add_argument("--dfer", type=Path, default=ROOT / "target" / "release" / "dfer")
    p.add_argument("--models", type=Path, default=ROOT / "models")
    p.add_argument("--every", type=int, default=1, help="only every n-th picture")
    p.add_argument("--jobs", type=int, default=os.cpu_count())
    p.add_argument("--only", choices=["whole", "encoder"], help="one of the two comparisons")
    args = p.parse_args()
    faces = ferplus.load(args.ferplus, args.split)
    faces = ferplus.Faces(*(field[::args.every] for field in (faces.images, faces.votes, faces.labels, faces.names)))
    encoder, head = evaluate.OnnxEncoder(args.models), timeline.OnnxHead(args.models)
    views = {False: encoder.both(faces.images), True: encoder.both(crops(faces.images, encoder.size))}
    near = True
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        root, alone = scratch / "set", scratch / "encoder-alone"
        alone.mkdir()
        tree(faces, args.ferplus, args.split, root)
        run = lambda model: (lambda seen: np.stack([seen[Path(n).name] for n in faces.names]))(
            program(args.dfer, root, model, args.jobs, scratch))
        if args.only != "encoder":
            ours = run(args.models / "expression")
            for rounded, (embeddings, _) in views.items():
                clips = np.stack([head(np.repeat(e[None], 7, 0)) for e in embeddings])
                near &= compare(f"encoder and head{rounded * ', crops rounded'}", ours, head.calibration.mean(clips), faces.labels, rounded)
        if args.only != "whole":
            encoder_model(args.models, alone)
            ours = run(alone)
            for rounded, (_, logits) in views.items():
                near &= compare(f"encoder alone{rounded * ', crops rounded'}", ours, metrics.softmax(logits.astype(np.float64)), faces.labels, rounded)
    return 0 if near else 1


if __name__ == "__main__":
    sys.exit(main())
