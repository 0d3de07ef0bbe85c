#!/usr/bin/env python3
# SPDX-License-Identifier: MPL-2.0
"""A clip network of one's own, from PyTorch to a folder that `dferfilter model=FOLDER` takes.

    pip install torch onnx onnxruntime
    python examples/own_network.py my-network [--weights my-network.pt]

Without --weights the network is untrained: it shows the way, and its answers mean nothing.
"""

import argparse
import hashlib
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import nn

# What the network was trained with, in the order of its outputs. All of it goes into model.toml.
CLASSES = ["happy", "sad", "neutral", "angry", "surprise", "disgust", "fear"]
SIZE = 112  # pixels of the square crop
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]  # of red, green, blue from 0 to 1
SYNOPSIS, MOMENTS, DETAIL = 8, 2, 4  # 8 frames over the whole clip, 4 around each of 2 key moments
FRAMES = SYNOPSIS + MOMENTS * DETAIL  # given in order of time

TOML = """\
schema = "dfer-model/1"
kind = "clip"
name = "{name}"
classes = {classes}

[input]
size = {size}
channels = "rgb"
mean = {mean}
std = {std}
layout = "BTCHW"

[sampling]
rate = 15.0
window = 2.56
frames = {frames}
synopsis = {synopsis}
moments = {moments}
detail = {detail}

[graphs.clip]
file = "network.onnx"
sha256 = "{sha256}"
input = "clip"
output = "logits"
"""


class Network(nn.Module):
    """Put your own here. It takes [B, T, C, H, W] and answers logits [B, classes], before any soft-max."""

    def __init__(self):
        super().__init__()
        layers, width = [], 3
        for wider in (8, 16, 32):
            layers += [nn.Conv3d(width, wider, 3, stride=(1, 2, 2), padding=1), nn.BatchNorm3d(wider), nn.ReLU()]
            width = wider
        self.layers = nn.Sequential(*layers)
        self.answer = nn.Linear(width, len(CLASSES))

    def forward(self, clip):
        features = self.layers(clip.transpose(1, 2))  # Conv3d wants [B, C, T, H, W]
        return self.answer(features.mean((2, 3, 4)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="is made; network.onnx and model.toml in it are replaced")
    parser.add_argument("--weights", type=Path, help="state dict of Network, as torch.save(network.state_dict(), FILE) writes it")
    args = parser.parse_args()

    torch.manual_seed(1)
    network = Network()
    if args.weights:  # <- YOUR TRAINED WEIGHTS
        network.load_state_dict(torch.load(args.weights, map_location="cpu", weights_only=True))
    else:
        print("No --weights: the network is untrained, its answers mean nothing.")
    network.eval()  # batch norm and dropout as at run time

    args.folder.mkdir(parents=True, exist_ok=True)
    file = args.folder / "network.onnx"
    clip = torch.randn(1, FRAMES, 3, SIZE, SIZE)
    # dynamo=False: the older exporter, which needs no onnxscript and keeps the weights inside the file, as the contract asks.
    # A free batch is not needed: with it dfertrtfilter runs clips of several streams at once.
    warnings.simplefilter("ignore", DeprecationWarning)
    free = {"clip": {0: "batch"}, "logits": {0: "batch"}}
    torch.onnx.export(network, (clip,), file, input_names=["clip"], output_names=["logits"],
                      dynamic_axes=free, opset_version=17, dynamo=False)

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    with torch.no_grad():
        for clips in (clip, torch.randn(3, *clip.shape[1:])):
            want, got = network(clips).numpy(), session.run(["logits"], {"clip": clips.numpy()})[0]
            np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4)
    print("ONNX Runtime answers as PyTorch does.")

    text = TOML.format(
        name=args.folder.resolve().name, classes=str(CLASSES).replace("'", '"'), size=SIZE, mean=MEAN, std=STD,
        frames=FRAMES, synopsis=SYNOPSIS, moments=MOMENTS, detail=DETAIL, sha256=hashlib.sha256(file.read_bytes()).hexdigest())
    (args.folder / "model.toml").write_text(text, encoding="utf-8")

    print(f"""Written: {file} and {args.folder / "model.toml"}. Next, in the folder of the plugin:

target/release/dfer models {args.folder}
GST_PLUGIN_PATH=target/release gst-launch-1.0 -q filesrc location=media/demo.mp4 ! decodebin ! videoconvert ! \\
  dferfilter mode=sync model={args.folder} ! dferrecorder location=records.jsonl detail=decisions ! fakesink""")


if __name__ == "__main__":
    main()
