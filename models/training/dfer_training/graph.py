# SPDX-License-Identifier: MPL-2.0
"""Writes networks of `nets` as ONNX graphs, node by node.

By hand rather than by PyTorch's exporter: batch normalisation is folded exactly, names are stable, shapes stay
symbolic where the runtime needs it, and only operators appear that tract, ONNX Runtime and TensorRT all run.
"""

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from .nets import ConvBN, Detector, Encoder, MirrorConvBN, MirrorResidual

OPSET = 17


class Graph:
    """Collects nodes and weights; every method returns the name of its output tensor."""

    def __init__(self):
        self.nodes, self.weights, self.count = [], [], 0

    def constant(self, value: np.ndarray, hint: str = "w") -> str:
        self.count += 1
        name = f"{hint}{self.count}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, kind: str, inputs: list[str], output: str | None = None, **attributes) -> str:
        self.count += 1
        output = output or f"{kind.lower()}{self.count}"
        self.nodes.append(helper.make_node(kind, inputs, [output], name=f"n_{output}", **attributes))
        return output

    def conv(self, x: str, conv: nn.Conv2d, norm: nn.BatchNorm2d | None = None, output: str | None = None) -> str:
        w = conv.weight.detach().double()
        b = conv.bias.detach().double() if conv.bias is not None else torch.zeros(len(w), dtype=torch.double)
        if norm is not None:
            scale = norm.weight.detach().double() / (norm.running_var.double() + norm.eps).sqrt()
            w = w * scale[:, None, None, None]
            b = (b - norm.running_mean.double()) * scale + norm.bias.detach().double()
        k, p = conv.kernel_size[0], conv.padding[0]
        return self.node("Conv", [x, self.constant(w.float().numpy()), self.constant(b.float().numpy(), "b")], output,
                         kernel_shape=[k, k], pads=[p] * 4, strides=list(conv.stride))

    def conv_bn(self, x: str, block: ConvBN | MirrorConvBN) -> str:
        block = block.plain() if isinstance(block, MirrorConvBN) else block
        x = self.conv(x, block[0], block[1])
        return self.node("Relu", [x]) if len(block) > 2 else x

    def add(self, a: str, b: str, relu: bool = False) -> str:
        x = self.node("Add", [a, b])
        return self.node("Relu", [x]) if relu else x

    def double(self, x: str) -> str:
        """Nearest neighbour, twice the size."""
        scales = self.constant(np.array([1, 1, 2, 2], np.float32), "scales")
        return self.node("Resize", [x, "", scales], mode="nearest", nearest_mode="floor",
                         coordinate_transformation_mode="asymmetric")

    def residual(self, x: str, block: MirrorResidual) -> str:
        if block.half:
            x = self.node("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2])
        y = self.conv_bn(self.conv_bn(x, block.body[0]), block.body[1])
        short = x if isinstance(block.short, nn.Identity) else self.conv_bn(x, block.short)
        return self.add(short, y, relu=True)

    def halves(self, x: str, width: int) -> list[str]:
        """[1, width] -> its two halves."""
        cut = lambda low, high: [self.constant(np.array([v], np.int64), "i") for v in (low, high, 1)]
        return [self.node("Slice", [x, *cut(a, b)]) for a, b in ((0, width // 2), (width // 2, width))]

    def linear(self, x: str, layer: nn.Linear, output: str | None = None) -> str:
        w, b = layer.weight.detach().float().numpy(), layer.bias.detach().float().numpy()
        return self.node("Gemm", [x, self.constant(w), self.constant(b, "b")], output, transB=1)

    def model(self, name: str, inputs: dict, outputs: dict) -> onnx.ModelProto:
        value = lambda item: helper.make_tensor_value_info(item[0], TensorProto.FLOAT, item[1])
        graph = helper.make_graph(self.nodes, name, [value(i) for i in inputs.items()],
                                  [value(o) for o in outputs.items()], self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="dfer_training")
        model.ir_version = 8
        onnx.checker.check_model(model, full_check=True)
        return model


def detector(network: Detector) -> onnx.ModelProto:
    """`image` [1, 3, height, width] -> score_S (probabilities) and geometry_S for every stride S."""
    g, n = Graph(), network.eval()
    x = "image"
    for block in n.stem:
        x = g.conv_bn(x, block)
    levels = []
    for down, more in ((n.down8, n.more8), (n.down16, n.more16), (n.down32, n.more32)):
        x = g.conv_bn(x, down)
        y = x
        for block in more:
            y = g.conv_bn(y, block)
        x = g.add(x, y, relu=True)
        levels.append(x)
    tops = [g.conv_bn(x, lateral) for x, lateral in zip(levels, n.lateral)]
    tops[1] = g.add(tops[1], g.double(tops[2]))
    tops[0] = g.add(tops[0], g.double(tops[1]))
    outputs = {}
    for top, s, smooth, score, geometry in zip(tops, n.STRIDES, n.smooth, n.score, n.geometry):
        h = g.conv_bn(g.node("Relu", [top]), smooth)
        g.node("Sigmoid", [g.conv(h, score)], f"score_{s}")
        g.conv(h, geometry, output=f"geometry_{s}")
        outputs[f"score_{s}"] = [1, 1, f"rows_{s}", f"columns_{s}"]
        outputs[f"geometry_{s}"] = [1, 14, f"rows_{s}", f"columns_{s}"]
    return g.model("detector", {"image": [1, 3, "height", "width"]}, outputs)


def encoder(network: Encoder, size: int) -> onnx.ModelProto:
    """`face` [1, 1, size, size] -> `embedding` [1, D] and `logits` [1, 7]."""
    g, n = Graph(), network.eval()
    x = g.conv_bn("face", n.stem)
    for block in n.blocks:
        x = g.residual(x, block)
    x = g.node("Flatten", [g.node("GlobalAveragePool", [x])], axis=1)
    one, other = g.halves(x, n.width)
    g.node("Concat", [g.node("Add", [one, other]), g.node("Abs", [g.node("Sub", [one, other])])], "embedding", axis=1)
    g.linear("embedding", n.answer, "logits")
    return g.model("encoder", {"face": [1, 1, size, size]}, {"embedding": [1, n.width], "logits": [1, len(n.answer.bias)]})
