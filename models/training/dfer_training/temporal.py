# SPDX-License-Identifier: MPL-2.0
"""The temporal head: a dual-stream hierarchical network (after RDFER, arXiv 2502.16129) over cached embeddings.

The long stream looks at the synopsis, scores its moments and gates the short stream, which looks at dense
detail around the key moments and at the movement in it (differences of consecutive embeddings). Temporal
mixing is convolution, not recurrence: the same quality here, and faster in every runtime.
"""

import numpy as np
import onnx
import torch
from torch import nn
from torch.nn import functional as F

from . import sampling
from .graph import Graph


class Head(nn.Module):
    """synopsis [B, 16, D], detail [B, 4, 4, D] -> logits, long, short [B, C], moments [B, 16].

    `dual` False: the long stream alone. `keys` False: no key expression re-sampling, i.e. every moment
    counts the same and the detail is taken at evenly spread positions.
    """

    def __init__(self, features: int, classes: int = 7, width: int = 96, move: int = 32, dual: bool = True, keys: bool = True, drop: float = 0.2):
        super().__init__()
        self.dual, self.keys = dual, keys
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))
        self.project = nn.Linear(features, width)
        self.mix1, self.mix2 = nn.Linear(3 * width, width), nn.Linear(3 * width, width)
        self.moment = nn.Linear(width, 1)
        self.answer = nn.Linear(features, classes)
        self.long = nn.Linear(2 * width, classes)
        self.per_moment = nn.Linear(width, classes)
        self.drop = nn.Dropout(drop)
        nn.init.zeros_(self.moment.weight), nn.init.zeros_(self.moment.bias)
        if dual:
            self.look = nn.Linear(features, width)
            self.move = nn.Linear(features, move, bias=False)
            self.group = nn.Linear(width + 3 * move, width)
            self.gate = nn.Linear(2 * width, width)
            self.short_answer = nn.Linear(features, classes)
            self.short = nn.Linear(width, classes)
            self.fuse = nn.Linear(3 * width, classes)
        for layer in (self.long, getattr(self, "short", None), getattr(self, "fuse", None)):
            if layer is not None:
                nn.init.zeros_(layer.weight), nn.init.zeros_(layer.bias)

    def start(self, mean, scale, weight=None, bias=None) -> None:
        """Standardisation of the embeddings and, when given, the encoder's own answer layer as starting point."""
        self.mean.copy_(torch.as_tensor(mean)), self.scale.copy_(torch.as_tensor(scale))
        if weight is not None:
            w, b = torch.as_tensor(weight), torch.as_tensor(bias)
            for layer in [self.answer] + ([self.short_answer] if self.dual else []):
                layer.weight.data.copy_(w * self.scale)
                layer.bias.data.copy_(b + w @ self.mean)

    @staticmethod
    def around(h: torch.Tensor, reach: int) -> torch.Tensor:
        """[B, T, W] -> [B, T, 3 W]: each moment with its neighbours `reach` before and after (ends repeated)."""
        before = torch.cat([h[:, :1]] * reach + [h[:, :-reach]], 1)
        after = torch.cat([h[:, reach:]] + [h[:, -1:]] * reach, 1)
        return torch.cat([before, h, after], 2)

    def synopsis(self, synopsis: torch.Tensor):
        """Moment features [B, 16, W], scores [B, 16], summary [B, 2 W] and logits [B, C] of the long stream."""
        x = (synopsis - self.mean) / self.scale
        h = F.relu(self.project(x))
        h = h + F.relu(self.mix1(self.around(h, 1)))
        h = h + F.relu(self.mix2(self.around(h, 2)))
        scores = self.moment(h)[:, :, 0]
        attention = F.softmax(scores if self.keys else torch.zeros_like(scores), 1)[:, :, None]
        summary = torch.cat([(attention * h).sum(1), h.mean(1)], 1)
        return h, scores, summary, self.answer((attention * x).sum(1)) + self.long(self.drop(summary))

    def forward(self, synopsis: torch.Tensor, detail: torch.Tensor | None = None, aux: bool = False):
        h, scores, summary, long = self.synopsis(synopsis)
        if self.dual:
            x = (detail - self.mean) / self.scale
            looks = F.relu(self.look(x)).mean(2)
            moves = self.move(x[:, :, 1:] - x[:, :, :-1]).flatten(2)
            groups = F.relu(self.group(torch.cat([looks, moves], 2)))
            gated = torch.sigmoid(self.gate(summary)) * groups.mean(1)
            short = self.short_answer(x.mean((1, 2))) + self.short(self.drop(gated))
            logits = 0.5 * (long + short) + self.fuse(self.drop(torch.cat([summary, gated], 1)))
        else:
            logits, short = long, long
        return (logits, long, short, scores, self.per_moment(h)) if aux else (logits, long, short, scores)

    def keys_of(self, synopsis: torch.Tensor) -> torch.Tensor:
        """Positions [B, 4] of the key moments."""
        if not self.keys:
            return sampling.uniform_moments(len(synopsis))
        with torch.no_grad():
            return sampling.key_moments(self.synopsis(synopsis)[1])


def look_twice(head: Head, frames: torch.Tensor, length: torch.Tensor, part: torch.Tensor, aux: bool = False):
    """A clip's two passes: synopsis, then detail at its key moments. frames [B, T, D], length [B], part [B, 3]."""
    index = sampling.synopsis(length, part)
    synopsis = sampling.take(frames, index)
    if not head.dual:
        return head(synopsis, None, aux)
    training = head.training
    keys = head.eval().keys_of(synopsis)
    head.train(training)
    detail = sampling.take(frames, sampling.detail(length, part, torch.gather(index, 1, keys)))
    return head(synopsis, detail, aux)


@torch.no_grad()
def decide(head: Head, frames: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
    """Logits [B, K, C] of the K clips of a decision."""
    head.eval()
    out = [look_twice(head, frames, length, torch.tensor(part).expand(len(frames), 3))[0] for part in sampling.PARTS]
    return torch.stack(out, 1)


def graph(head: Head, features: int) -> onnx.ModelProto:
    """The head as an ONNX graph, standardisation folded into the layers where that is exact."""
    if not head.dual:
        raise ValueError("only the dual-stream head has the outputs that the runtime asks for")
    g = Graph()
    ints = lambda *v: g.constant(np.array(v, np.int64), "i")
    slice_ = lambda x, axis, a, b: g.node("Slice", [x, ints(a), ints(b), ints(axis)])
    dense = lambda x, layer: _dense(g, x, layer)

    def standard(x):
        centred = g.node("Sub", [x, g.constant(head.mean.numpy(), "mean")])
        return g.node("Mul", [centred, g.constant((1 / head.scale).numpy(), "scale")])

    def around(x, reach):
        first, last = slice_(x, 1, 0, 1), slice_(x, 1, 15, 16)
        before = g.node("Concat", [first] * reach + [slice_(x, 1, 0, 16 - reach)], axis=1)
        after = g.node("Concat", [slice_(x, 1, reach, 16)] + [last] * reach, axis=1)
        return g.node("Concat", [before, x, after], axis=2)

    x = standard("synopsis")
    h = g.node("Relu", [dense(x, head.project)])
    for layer, reach in ((head.mix1, 1), (head.mix2, 2)):
        h = g.node("Add", [h, g.node("Relu", [dense(around(h, reach), layer)])])
    scores = dense(h, head.moment)
    g.node("Reshape", [scores, ints(-1, 16)], "moments")
    attention = g.node("Softmax", [scores], axis=1)
    pooled = lambda v: g.node("ReduceSum", [g.node("Mul", [v, attention]), ints(1)], keepdims=0)
    summary = g.node("Concat", [pooled(h), g.node("ReduceMean", [h], axes=[1], keepdims=0)], axis=1)
    long = g.node("Add", [dense(pooled(x), head.answer), dense(summary, head.long)], "long")

    d = standard("detail")
    looks = g.node("ReduceMean", [g.node("Relu", [dense(d, head.look)])], axes=[2], keepdims=0)
    moves = dense(g.node("Sub", [slice_(d, 2, 1, 4), slice_(d, 2, 0, 3)]), head.move)
    moves = g.node("Reshape", [moves, ints(-1, 4, 3 * head.move.out_features)])
    groups = g.node("Relu", [dense(g.node("Concat", [looks, moves], axis=2), head.group)])
    gate = g.node("Sigmoid", [dense(summary, head.gate)])
    gated = g.node("Mul", [gate, g.node("ReduceMean", [groups], axes=[1], keepdims=0)])
    mean = g.node("ReduceMean", [d], axes=[1, 2], keepdims=0)
    short = g.node("Add", [dense(mean, head.short_answer), dense(gated, head.short)], "short")
    both = g.node("Mul", [g.node("Add", [long, short]), g.constant(np.array(0.5, np.float32), "half")])
    fused = dense(g.node("Concat", [summary, gated], axis=1), head.fuse)
    g.node("Add", [both, fused], "logits")
    classes = head.answer.out_features
    return g.model(
        "head",
        {"synopsis": ["batch", 16, features], "detail": ["batch", 4, 4, features]},
        {name: ["batch", classes] for name in ("logits", "long", "short")} | {"moments": ["batch", 16]},
    )


def _dense(g: Graph, x: str, layer: nn.Linear) -> str:
    """MatMul over the last axis and bias: for tensors of any rank."""
    y = g.node("MatMul", [x, g.constant(layer.weight.detach().float().numpy().T)])
    return y if layer.bias is None else g.node("Add", [y, g.constant(layer.bias.detach().float().numpy(), "b")])


def multiply_adds(head: Head) -> float:
    """Multiply-adds of one clip in millions: the synopsis pass twice (look, then decide), the detail once."""
    size = lambda layer: layer.in_features * layer.out_features
    long = 16 * (size(head.project) + size(head.mix1) + size(head.mix2) + size(head.moment)) + size(head.answer) + size(head.long)
    short = 0
    if head.dual:
        short = 16 * size(head.look) + 12 * size(head.move) + 4 * size(head.group) + size(head.gate) + size(head.short_answer) + size(head.short) + size(head.fuse)
    return (2 * long + short) / 1e6
