# SPDX-License-Identifier: MPL-2.0
"""The networks of single frames: face detector and expression encoder.

Dense 3x3 and 1x1 convolutions only, no depthwise ones: the runtime's matrix kernels run these at 70 %
of ONNX Runtime's speed, depthwise ones at a third. Channel counts are multiples of 16 for the same reason.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F


class ConvBN(nn.Sequential):
    """Convolution, batch normalisation (folded away on export) and, unless told otherwise, ReLU."""

    def __init__(self, cin: int, cout: int, size: int = 3, stride: int = 1, relu: bool = True):
        layers = [nn.Conv2d(cin, cout, size, stride, size // 2, bias=False), nn.BatchNorm2d(cout)]
        super().__init__(*layers, *([nn.ReLU(inplace=True)] if relu else []))


class Detector(nn.Module):
    """One-shot face detector with three strides and a top-down path.

    Input [B, 3, H, W], RGB, normalised, H and W multiples of 32. Output: for every stride s of `STRIDES`
    a pair (score logits [B, 1, H/s, W/s], geometry [B, 14, H/s, W/s]). Geometry of the cell centred at c:
    box centre = c + g[0:2] s, box size = exp(g[2:4]) s, landmark k = c + g[4+2k : 6+2k] s.
    """

    STRIDES = (8, 16, 32)

    def __init__(self, widths=(16, 32, 64, 96, 128), neck: int = 48, head: int = 32):
        super().__init__()
        a, b, c, d, e = widths
        self.stem = nn.Sequential(ConvBN(3, a, 3, 2), ConvBN(a, b, 3, 2))
        self.down8 = ConvBN(b, c, 3, 2)
        # The finest map is the dear one: a 1x1 squeeze halves what its 3x3 convolution costs.
        self.more8 = nn.Sequential(ConvBN(c, c // 2, 1), ConvBN(c // 2, c, relu=False))
        self.down16 = ConvBN(c, d, 3, 2)
        self.more16 = nn.Sequential(ConvBN(d, d, relu=False))
        self.down32 = ConvBN(d, e, 3, 2)
        self.more32 = nn.Sequential(ConvBN(e, e, relu=False))
        self.lateral = nn.ModuleList(ConvBN(n, neck, 1, relu=False) for n in (c, d, e))
        self.smooth = nn.ModuleList(ConvBN(neck, head) for _ in self.STRIDES)
        self.score = nn.ModuleList(nn.Conv2d(head, 1, 1) for _ in self.STRIDES)
        self.geometry = nn.ModuleList(nn.Conv2d(head, 14, 1) for _ in self.STRIDES)
        for score, geometry in zip(self.score, self.geometry):
            # One cell in a hundred or fewer holds a face; an even start would drown the first epochs.
            nn.init.constant_(score.bias, -math.log(99))
            nn.init.normal_(geometry.weight, std=0.01)
            nn.init.zeros_(geometry.bias)
            geometry.bias.data[2:4] = 1.0

    def forward(self, x: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
        x = self.down8(self.stem(x))
        c8 = F.relu(x + self.more8(x))
        x = self.down16(c8)
        c16 = F.relu(x + self.more16(x))
        x = self.down32(c16)
        c32 = F.relu(x + self.more32(x))
        p32 = self.lateral[2](c32)
        p16 = self.lateral[1](c16) + F.interpolate(p32, scale_factor=2, mode="nearest")
        p8 = self.lateral[0](c8) + F.interpolate(p16, scale_factor=2, mode="nearest")
        out = []
        for i, p in enumerate((p8, p16, p32)):
            h = self.smooth[i](F.relu(p))
            out.append((self.score[i](h), self.geometry[i](h)))
        return out


class MirrorConvBN(nn.Module):
    """Convolution, normalisation and ReLU that commute with mirroring (group convolution, Cohen and Welling, arXiv 1602.07576).

    The channels are two halves; mirroring the picture mirrors every map and swaps the halves. That fixes half of the
    kernel by the other half, at the cost of an ordinary convolution. `lift`: the input is a picture instead.
    """

    def __init__(self, cin: int, cout: int, size: int = 3, stride: int = 1, relu: bool = True, lift: bool = False):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(cout // 2, cin, size, size))
        nn.init.kaiming_normal_(self.weight, mode="fan_out", nonlinearity="relu")
        self.norm = nn.BatchNorm2d(cout // 2)
        # An even kernel at stride 2 keeps the grid symmetric; an odd one would start at the left edge only.
        self.stride, self.padding, self.relu, self.lift = stride, (size - 1) // 2, relu, lift

    def kernel(self) -> torch.Tensor:
        """The ordinary kernel [cout, cin, k, k]."""
        mirrored = self.weight.flip(-1)
        if not self.lift:
            left, right = mirrored.chunk(2, 1)
            mirrored = torch.cat([right, left], 1)
        return torch.cat([self.weight, mirrored])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.conv2d(x, self.kernel().contiguous(memory_format=torch.channels_last), None, self.stride, self.padding)
        # Both halves share their statistics: in channels-last order they lie side by side, like a picture twice as wide.
        n, c, h, w = x.shape
        x = x.permute(0, 2, 3, 1).reshape(n, h, 2 * w, c // 2).permute(0, 3, 1, 2)
        x = self.norm(x).permute(0, 2, 3, 1).reshape(n, h, w, c).permute(0, 3, 1, 2)
        return F.relu(x, inplace=True) if self.relu else x

    def plain(self) -> ConvBN:
        """The same as an ordinary convolution and normalisation."""
        kernel = self.kernel().detach()
        out = ConvBN(kernel.shape[1], kernel.shape[0], kernel.shape[2], self.stride, self.relu)
        out[0].padding = (self.padding, self.padding)
        out[0].weight = nn.Parameter(kernel)
        for name in ("weight", "bias", "running_mean", "running_var"):
            getattr(out[1], name).data = getattr(self.norm, name).detach().repeat(2)
        out[1].eps = self.norm.eps
        return out.eval()


class MirrorResidual(nn.Module):
    """Basic block of ResNet over mirrored halves; `half` pools the picture to half its size first."""

    def __init__(self, cin: int, cout: int, half: bool = False):
        super().__init__()
        self.half = half
        self.body = nn.Sequential(MirrorConvBN(cin, cout), MirrorConvBN(cout, cout, relu=False))
        self.short = nn.Identity() if cin == cout else MirrorConvBN(cin, cout, 1, relu=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.half:
            x = F.max_pool2d(x, 2)
        return F.relu(self.short(x) + self.body(x))


class Encoder(nn.Module):
    """Residual network over one grey face: [B, 1, S, S] normalised -> (embedding [B, D], logits [B, 7]).

    A face and its mirror image give the same answer, by construction: see `MirrorConvBN`. `widths` and `depths` give
    channels and blocks of the stages; every stage but the first halves the picture. The embedding is sum and absolute
    difference of the two pooled halves of the last map (never negative).
    """

    def __init__(self, widths=(32, 64, 128, 256), depths=(1, 2, 3, 2), classes: int = 7, drop: float = 0.2):
        super().__init__()
        self.stem = MirrorConvBN(1, widths[0], 4, 2, lift=True)
        blocks, cin = [], widths[0]
        for i, (w, depth) in enumerate(zip(widths, depths)):
            for j in range(depth):
                blocks.append(MirrorResidual(cin, w, j == 0 and i > 0))
                cin = w
        self.blocks = nn.ModuleList(blocks)
        self.width = cin
        self.drop = nn.Dropout(drop)
        self.answer = nn.Linear(cin, classes)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        one, other = x.float().mean((2, 3)).chunk(2, 1)
        embedding = torch.cat([one + other, (one - other).abs()], 1)
        with torch.autocast(x.device.type, enabled=False):
            return embedding, self.answer(self.drop(embedding))


def multiply_adds(network: nn.Module, shape: tuple[int, ...]) -> float:
    """Multiply-adds of all convolutions and linear layers for one input of `shape`, in millions."""
    total = 0

    def count(module, _, out):
        nonlocal total
        if isinstance(module, MirrorConvBN):
            total += out[0].numel() * module.weight[0].numel()
        elif isinstance(module, nn.Conv2d):
            k = module.kernel_size
            total += out.numel() // out.shape[0] * module.in_channels // module.groups * k[0] * k[1]
        elif isinstance(module, nn.Linear):
            total += out.numel() // out.shape[0] * module.in_features

    hooks = [m.register_forward_hook(count) for m in network.modules()]
    training = network.training
    with torch.no_grad():
        network.eval()(torch.zeros(shape, device=next(network.parameters()).device))
    network.train(training)
    for hook in hooks:
        hook.remove()
    return total / 1e6
