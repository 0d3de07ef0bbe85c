# SPDX-License-Identifier: MPL-2.0
"""Stage `export`: checkpoints -> ONNX graphs, model.toml files with their hashes, and reference tensors."""

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from . import CLASSES, common, crop, detector, encoder, graph, sampling
from .detector_measure import MEAN, STD
from .nets import Detector, Encoder

TOLERANCE = 1e-4

DETECTOR_TOML = """\
# Face detector: boxes (hairline to chin) and five landmarks. Made by `python -m dfer_training export`.
schema = "dfer-model/1"
kind = "detector"
name = "dfer-face"
strides = [8, 16, 32]
score-threshold = {threshold}

[input]
size = [192, 320]
track-size = 96
channels = "rgb"
mean = [{mean}, {mean}, {mean}]
std = [{std}, {std}, {std}]
layout = "NCHW"

[graphs.detector]
file = "detector.onnx"
sha256 = "{hash}"
"""

EXPRESSION_TOML = """\
# Facial expression over time: frame encoder and temporal head. Made by `python -m dfer_training export`.
schema = "dfer-model/1"
kind = "factored"
name = "dfer-7"
classes = [{classes}]

[input]
size = {size}
channels = "gray"
mean = [{mean}]
std = [{std}]
layout = "NCHW"

# Unit coordinates of the crop: where the five landmarks and, for want of them, the face box go.
[crop]
template = [{template}]
box = [{box}]
# The crop is enlarged by these in turn, a fifth of a second each.
scales = [{scales}]

[sampling]
rate = 15.0
window = 2.56
synopsis = 16
moments = 4
detail = 4

[calibration]
temperature = 1.0
min-agreement = 0.6
min-confidence = 0.4

[graphs.encoder]
file = "encoder.onnx"
sha256 = "{hash}"
"""


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def set_value(text: str, table: str, key: str, value: str) -> str:
    """`text` of a TOML file with `key` of `[table]` set to `value` (TOML source); table or key are appended if missing.

    A line-wise edit: the file's other stages' values and its comments stay as they are.
    """
    lines, where = text.rstrip("\n").split("\n"), None
    for i, line in enumerate(lines):
        if match := re.fullmatch(r"\[(.+)\]", line.strip()):
            if where == table:
                lines.insert(last + 1, f"{key} = {value}")
                return "\n".join(lines) + "\n"
            where = match[1]
            last = i
        elif where == table and re.match(rf"{re.escape(key)}\s*=", line):
            lines[i] = f"{key} = {value}"
            return "\n".join(lines) + "\n"
        elif line.strip():
            last = i
    if where != table:
        lines += ["", f"[{table}]"]
    return "\n".join(lines + [f"{key} = {value}"]) + "\n"


def session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def check(path: Path, inputs: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> float:
    """Largest difference between PyTorch's outputs and ONNX Runtime's; a ValueError above `TOLERANCE`."""
    found = session(path).run(list(expected), inputs)
    worst = max(float(np.abs(f - e).max()) for f, e in zip(found, expected.values()))
    if not worst <= TOLERANCE:
        raise ValueError(f"{path}: ONNX Runtime differs from PyTorch by {worst:.2e}, {TOLERANCE:.0e} is allowed")
    return worst


def write_reference(path: Path, inputs: dict[str, np.ndarray], outputs: dict[str, np.ndarray]) -> None:
    """JSON with the shapes and the numbers (seven digits) of a network's inputs and outputs."""
    def table(tensors: dict) -> str:
        rows = [f'  "{name}": {{"shape": {json.dumps(list(v.shape))}, "data": ['
                + ", ".join(f"{float(x):.7g}" for x in v.ravel()) + "]}" for name, v in tensors.items()]
        return "{\n" + ",\n".join(rows) + "\n }"

    common.write_text(path, f'{{\n "inputs": {table(inputs)},\n "outputs": {table(outputs)}\n}}\n')


def smooth_noise(shape: tuple, seed: int) -> np.ndarray:
    """Random pictures with structure at several scales, in about -2..2: what the reference tensors are made of."""
    g, out = torch.Generator().manual_seed(seed), 0
    for cells in (4, 8, 16, shape[-1]):
        x = torch.randn(*shape[:2], cells, cells, generator=g)
        out = out + 0.6 * torch.nn.functional.interpolate(x, shape[2:], mode="bilinear", align_corners=False)
    return out.numpy().astype(np.float32)


def save(model, path: Path) -> None:
    """Writes the graph with a free first dimension: it is a batch of any size, of which tract takes one at a time."""
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString())


@torch.no_grad()
def export_detector(checkpoint: Path, models: Path, threshold: float, log: common.Log) -> None:
    network = Detector()
    network.load_state_dict(common.load_checkpoint(common.need(checkpoint, "the detector's checkpoint"))["average"])
    common.save_weights(models / "training" / "checkpoints" / "detector.pt", network)
    path = models / "face" / "detector.onnx"
    save(graph.detector(network), path)

    def run(x: np.ndarray) -> dict[str, np.ndarray]:
        heads = network.eval()(torch.from_numpy(x))
        return {f"{kind}_{s}": value.numpy() for (score, geometry), s in zip(heads, network.STRIDES)
                for kind, value in (("score", score.sigmoid()), ("geometry", geometry))}

    worst = max(check(path, {"image": x}, run(x)) for x in (smooth_noise((1, 3, 192, 320), 1), smooth_noise((1, 3, 96, 96), 2)))
    x = smooth_noise((1, 3, 64, 64), 3)
    write_reference(models / "reference" / "detector.json", {"image": x}, run(x))
    common.write_text(models / "face" / "model.toml", DETECTOR_TOML.format(
        mean=MEAN / 255, std=round(STD / 255, 9), threshold=threshold, hash=digest(path)))
    log(f"{path}: {path.stat().st_size / 1e6:.2f} MB, ONNX Runtime within {worst:.1e} of PyTorch")


@torch.no_grad()
def export_encoder(checkpoint: Path, crop_file: Path, models: Path, log: common.Log) -> None:
    network = Encoder()
    network.load_state_dict(common.load_checkpoint(common.need(checkpoint, "the encoder's checkpoint"))["average"])
    network.eval()
    shift = common.need(checkpoint.with_name(f"{checkpoint.stem}-shift.json"), "the shift of the logits, which stage encoder writes at its end,")
    common.save_weights(models / "training" / "checkpoints" / "encoder.pt", network)
    # The head does not see it, it works on embeddings.
    network.answer.bias += torch.tensor(json.loads(shift.read_text()))
    path, toml = models / "expression" / "encoder.onnx", models / "expression" / "model.toml"
    save(graph.encoder(network, encoder.SIZE), path)
    worst = 0.0
    for seed in (4, 5):
        x = smooth_noise((1, 1, encoder.SIZE, encoder.SIZE), seed)
        embedding, logits = (v.numpy() for v in network(torch.from_numpy(x)))
        worst = max(worst, check(path, {"face": x}, {"embedding": embedding, "logits": logits}))
    write_reference(models / "reference" / "encoder.json", {"face": x}, {"embedding": embedding, "logits": logits})
    numbers = lambda row: ", ".join(f"{v:.4f}" for v in row)
    template, box = ", ".join(f"[{numbers(p)}]" for p in crop.place(crop_file, "live")), numbers(crop.place(crop_file, "box"))
    scales = ", ".join(map(str, sampling.SCALES))
    if toml.exists():
        text = toml.read_text()
        for table, key, value in (("crop", "template", f"[{template}]"), ("crop", "box", f"[{box}]"), ("crop", "scales", f"[{scales}]"),
                                  ("graphs.encoder", "file", '"encoder.onnx"'),
                                  ("graphs.encoder", "sha256", f'"{digest(path)}"')):
            text = set_value(text, table, key, value)
    else:
        text = EXPRESSION_TOML.format(classes=", ".join(f'"{c}"' for c in CLASSES), size=encoder.SIZE, mean=encoder.MEAN,
                                      std=encoder.STD, template=template, box=box, scales=scales, hash=digest(path))
    common.write_text(toml, text)
    log(f"{path}: {path.stat().st_size / 1e6:.2f} MB, ONNX Runtime within {worst:.1e} of PyTorch")


def main(argv: list[str]) -> None:
    p = common.parser("export", __doc__)
    p.add_argument("--only", default="detector,encoder,head", help="which of detector, encoder, head (default: all)")
    p.add_argument("--encoder", type=Path, help="the encoder that the head was trained on (default: WORK/encoder.pt)")
    p.add_argument("--threshold", type=float, default=0.5, help="the detector's score threshold, chosen on val")
    args = p.parse_args(argv)
    common.setup(args)
    log = common.Log(args.work / "export.log")
    only = args.only.split(",")
    if args.encoder and "encoder" in only:
        p.error("--encoder goes with --only head: the encoder exported is that of WORK")
    if "detector" in only:
        export_detector(args.work / "detector.pt", args.models, args.threshold, log)
    if "encoder" in only:
        export_encoder(args.work / "encoder.pt", args.work / "crop.json", args.models, log)
    if "head" in only:
        from . import head
        head.export(args, log)
