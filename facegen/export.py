"""Export networks as ONNX files, which other runtimes run without PyTorch; each is compared with the original first."""

from __future__ import annotations

import io
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facegen import __version__
from facegen.errors import FacegenError, FileError, MissingExtraError, UsageError
from facegen.files import replacing
from facegen.models.dcgan import DCGANConfig, DCGANGenerator
from facegen.models.jnet import JNet, JNetConfig
from facegen.models.lean import LeanJNet, can_be_lean
from facegen.ops.consistency import decibels
from facegen.weights import Card, find_weights, load_network, read_card

OPSET = 18
AGREEMENT = 60.0
"""Smallest PSNR in dB between the pictures of an exported file and PyTorch's."""


def export_onnx(weights: str, target: Path, side: int | None = None) -> float:
    """Write a network as an ONNX file for batches of any size.

    A generator turns "z", (N, z_dim) standard normal, into "image", (N, 3, H, H). A J-net turns "stack",
    (N, in_channels, side, side), RGB and guide, into "image", (N, 3, scale*side, scale*side). All but z is in [0, 1],
    and everything is float32. The file's metadata are those of `metadata`.

    Args:
        weights: name or folder of a generator or a J-net.
        side: of a J-net's input, a multiple of the side of its tiles, which is the default.
    Returns:
        PSNR in dB between the pictures of onnxruntime and of PyTorch; inf if they are equal.
    Raises:
        MissingExtraError: if onnx or onnxruntime is not installed.
        WeightsError: if the weights are missing or damaged.
        UsageError: if they belong to another kind of network, or the side does not fit.
        FacegenError: if the PSNR is below `AGREEMENT`; nothing is written.
        FileError: if the file cannot be written.
    """
    if find_spec("onnx") is None or find_spec("onnxruntime") is None:
        raise MissingExtraError("facegen export needs more packages: pip install 'facegen[export]'")
    network, card, example = _network(weights, side)
    model = _traced(network, example, metadata(card, example))
    agreement = _compare(network, torch.cat([example.flip(0), example[:1]]), model)  # another batch size
    if agreement < AGREEMENT:
        raise FacegenError(
            f"{weights}: onnxruntime's pictures agree with PyTorch's to {agreement:.1f} dB, expected at least "
            f"{AGREEMENT:g}; {target} is not written. Install another version of onnxruntime."
        )
    try:
        with replacing(target) as temporary:
            temporary.write_bytes(model)
    except OSError as error:
        raise FileError(f"{target}: cannot be written ({error.strerror}); choose another name or folder.") from None
    return agreement


def metadata(card: Card, example: Tensor) -> dict[str, str]:
    """Return the file's metadata: the network, the hash of its weights, terms of use, and the shape of its input."""
    facts: dict[str, object] = {
        "facegen": __version__, "name": card.name, "kind": card.kind, "sha256": card.sha256,
        "licence": card.licence, "limits": card.limits,
    }  # fmt: skip
    if card.kind == "jnet":
        config = JNetConfig.model_validate(card.config)
        facts |= {"scale": config.scale, "tile": config.tile, "side": example.shape[-1], "guide": card.guide or "none"}
    else:
        facts["z_dim"] = DCGANConfig.model_validate(card.config).z_dim
    return {key: str(value) for key, value in facts.items()}


class _Stage(nn.Module):
    """A generator or upscaler with output in [0, 1]."""

    def __init__(self, network: DCGANGenerator | JNet) -> None:
        super().__init__()
        self.network = LeanJNet(cast(JNet, network)) if can_be_lean(network) else network
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        image: Tensor = self.network(x)
        return (image if x.ndim == 4 else image.add(1).div(2)).clamp(0, 1)


def _network(weights: str, side: int | None) -> tuple[nn.Module, Card, Tensor]:
    """Load a network; return it with its card and two different inputs."""
    kind = read_card(find_weights(weights)).kind
    rng = torch.Generator().manual_seed(0)
    if kind == "dcgan":
        if side is not None:
            raise UsageError(f"--side {side}: {weights} draws from a latent, which has no side; leave the option out.")
        generator, card = load_network(weights, DCGANGenerator)
        return _Stage(generator), card, torch.randn(2, generator.config.z_dim, generator=rng)
    if kind != "jnet":
        raise UsageError(f"{weights}: holds a {kind}; only a dcgan (generator) or a jnet (upscaler) can be exported.")
    upscaler, card = load_network(weights, JNet)
    tile = upscaler.config.tile
    side = tile if side is None else side
    if side < tile or side % tile:
        raise UsageError(f"--side {side}: expected a multiple of {tile}, the side of the tiles of {weights}.")
    colours = torch.rand(2, upscaler.config.in_channels, 4, 4, generator=rng)
    return _Stage(upscaler), card, F.interpolate(colours, size=(side, side), mode="bilinear")


def _traced(network: nn.Module, example: Tensor, facts: dict[str, str]) -> bytes:
    """Trace the network with an example, (N, ...); return the content of the ONNX file, with `facts` as metadata.

    PyTorch's newer exporter needs another package, and twenty times as long for the same graph.
    """
    import onnx

    name, content = "stack" if example.ndim == 4 else "z", io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # about the exporter's age, and about shape checks that the trace omits
        torch.onnx.export(
            network, (example,), content,  # type: ignore[arg-type]  # it takes files in memory too
            dynamo=False, opset_version=OPSET, input_names=[name],
            output_names=["image"], dynamic_axes={name: {0: "N"}, "image": {0: "N"}},
        )  # fmt: skip
    model = onnx.load_from_string(content.getvalue())
    onnx.helper.set_model_props(model, facts)
    return bytes(model.SerializeToString())


def _compare(network: nn.Module, x: Tensor, model: bytes) -> float:
    """Return the PSNR in dB between the pictures of onnxruntime and of PyTorch."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (exported,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    with torch.no_grad():
        original = network(x).numpy()
    return decibels(float(np.square(np.asarray(exported, np.float64) - original).mean()))
