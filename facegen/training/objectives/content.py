"""Content losses in the features of frozen networks (EfficientNets, or VGG19 as in SRGAN), and validation by them.

The user provides VGG19's weights: nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file as load_safetensors
from torch import Tensor, nn

from facegen.arrays import RGB, to_rgb
from facegen.errors import TrainingError
from facegen.media.sheets import contact_sheet
from facegen.models.discriminators import check_pictures
from facegen.models.efficientnet import EfficientNetLite, Name, feature_loss, load_efficientnet, maps_loss
from facegen.training.config import FeatureLoss
from facegen.training.datasets import PairDataset
from facegen.training.objectives.base import placed, to_device
from facegen.training.tiles import TileDataset

# (convolutions, channels) of each block of VGG19, "configuration E" of Simonyan & Zisserman 2015
BLOCKS = ((2, 64), (2, 128), (4, 256), (4, 512), (4, 512))
SMALLEST = 16  # px; the four poolings leave one place
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and deviation of RGB in [0, 1], as torchvision's weights expect them."""
RESCALING = 1 / 12.75
"""Factor on the feature maps, so that the loss is about as large as a pixel MSE (Ledig et al. 2017, 3.2)."""
WHERE = "Nothing is downloaded: get vgg19-dcbb9e9d.pth from https://download.pytorch.org/models/ and give its path."
BATCH, VALIDATED = 8, 48
"""Pictures that `validate` upscales at a time, and in all; the sheet shows the first batch."""


class VGG19Features(nn.Module):
    """VGG19 up to the last convolution of its fifth block, SRGAN's phi_5,4, but before its ReLU.

    So does ESRGAN (Wang et al. 2018), as most of the map is zero after the ReLU. The layers have torchvision's names,
    features.0 to features.34.
    """

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        cin = 3
        for convolutions, channels in BLOCKS:
            for _ in range(convolutions):
                layers += [nn.Conv2d(cin, channels, 3, padding=1), nn.ReLU(inplace=True)]
                cin = channels
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers[:-2])  # without the last ReLU and pooling
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(3, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] to (B, 512, H/16, W/16), negative values as well, sides rounded down."""
        check_pictures("VGG19Features: pictures have", x, least=SMALLEST)
        return cast(Tensor, self.features((x - self.mean) / self.std))


def load_vgg19(path: Path) -> VGG19Features:
    """Build the network with torchvision's weights, in eval mode, without gradients on its parameters.

    The file is a .safetensors file or one by torch.save, in single or half precision; other keys (the classifier's)
    are ignored.
    """
    state = _read(path)
    network = VGG19Features()
    for key, expected in network.state_dict().items():
        value = state.get(key)
        if not isinstance(value, Tensor):
            raise TrainingError(f"{path}: not the weights of a torchvision VGG19: {key} is missing. {WHERE}")
        if value.shape != expected.shape:
            raise TrainingError(
                f"{path}: not the weights of a torchvision VGG19 without batchnorm: {key} has shape "
                f"{tuple(value.shape)}, expected {tuple(expected.shape)}. {WHERE}"
            )
    network.load_state_dict({key: state[key] for key in network.state_dict()})
    return network.eval().requires_grad_(False)


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise TrainingError(f"{path}: no such file. {WHERE}")
    try:
        if path.suffix == ".safetensors":
            return load_safetensors(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # other files raise nearly any error, KeyError and AssertionError among them
        raise TrainingError(f"{path}: cannot be read as weights ({type(error).__name__}). {WHERE}") from None
    if not isinstance(state, dict):
        raise TrainingError(f"{path}: holds a {type(state).__name__}, expected a state dict. {WHERE}")
    return state


def vgg_loss(network: nn.Module, a: Tensor, b: Tensor) -> Tensor:
    """SRGAN's content loss (Ledig et al. 2017, equation 5): MSE of two batches' feature maps, each divided by 12.75.

    Averaged over channels too, like SRGAN's pixel MSE; the paper's "rescaling factor of about 0.006" is 1/12.75^2. Both
    are (B, 3, H, W) in [0, 1]; only the first gets a gradient.
    """
    with torch.no_grad():
        wanted = network(b).float()
    return F.mse_loss(network(a).float(), wanted) * RESCALING**2


class ContentLoss:
    """The distance between pictures in the features of the recipe's frozen networks."""

    def __init__(self, loss: FeatureLoss, device: torch.device) -> None:
        self.weights = loss.feature_weights
        self.vgg = None if loss.vgg19 is None else placed(load_vgg19(loss.vgg19), device)
        names = () if self.vgg else loss.features
        self.networks: dict[Name, EfficientNetLite] = {name: placed(load_efficientnet(name), device) for name in names}

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """The distance of two (B, 3, H, W) batches in [0, 1]; only the first gets a gradient."""
        if self.vgg is not None:
            return vgg_loss(self.vgg, a, b)
        losses = [feature_loss(network, a, b, weights=self.weights) for network in self.networks.values()]
        return torch.stack(losses).mean()

    def of_maps(self, maps: Mapping[Name, Sequence[Tensor]], wanted: Mapping[Name, Sequence[Tensor]]) -> Tensor:
        """The same distance, from both batches' maps by the EfficientNets."""
        losses = [maps_loss(maps[name], wanted[name], weights=self.weights) for name in self.networks]
        return torch.stack(losses).mean()


@torch.no_grad()
def validate(
    unseen: PairDataset | TileDataset, network: nn.Module, distance: ContentLoss, device: torch.device
) -> tuple[RGB, dict[str, float]]:
    """Compare upscaled and bicubic pictures with real, unseen ones: a sheet of all three, and the mean distances."""
    sheet: list[RGB] = []
    distances = []
    for start in range(0, VALIDATED, BATCH):
        low, real = (to_device(x, device) for x in unseen.batch(start, BATCH))
        upscaled = network(low).float().clamp(0, 1)
        bicubic = F.interpolate(low[:, :3], size=real.shape[-2:], mode="bicubic", align_corners=False).clamp(0, 1)
        distances.append([distance(x, real).item() for x in (upscaled, bicubic)])
        if not start:
            sheet = [picture for row in (bicubic, upscaled, real) for picture in to_rgb(row)]
    score, base = np.mean(distances, axis=0)
    return contact_sheet(sheet, columns=BATCH), {"score": float(score), "bicubic": float(base)}
