"""VGG19 as a feature network for SRGAN's content loss. Its weights are the user's to get: nothing is downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file as load_safetensors
from torch import Tensor, nn

from facegen.errors import ShapeError, TrainingError

# (convolutions, channels) of each block of VGG19, "configuration E" of Simonyan & Zisserman 2015
BLOCKS = ((2, 64), (2, 128), (4, 256), (4, 512), (4, 512))
SMALLEST = 16  # px; the four poolings leave one place
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of RGB in [0, 1], as torchvision's weights expect it."""
RESCALING = 1 / 12.75
"""What the feature maps are multiplied by, so that the loss has the size of a pixel MSE (Ledig et al. 2017, 3.2)."""
WHERE = "Nothing is downloaded: get vgg19-dcbb9e9d.pth from https://download.pytorch.org/models/ and give its path."


class VGG19Features(nn.Module):
    """VGG19 up to the last convolution of its fifth block, the layer of SRGAN's phi_5,4, before that one's ReLU.

    Before, as ESRGAN takes it (Wang et al. 2018): after it most of the map is zero. The layers stand under
    torchvision's names, features.0 to features.34.
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
        self.features = nn.Sequential(*layers[:-2])  # the last ReLU and pooling are left away
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(3, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """The feature map of pictures.

        Args:
            x: (B, 3, H, W) in [0, 1], RGB, at least 16 px.
        Returns:
            (B, 512, H/16, W/16), negative values as well, sides rounded down.
        Raises:
            ShapeError: if the pictures are smaller, or not RGB.
        """
        if x.ndim != 4 or x.shape[1] != 3 or min(x.shape[-2:]) < SMALLEST:
            raise ShapeError(
                f"VGG19Features: pictures have shape {tuple(x.shape)}, expected (B, 3, H, W) of at least {SMALLEST} px."
            )
        features: Tensor = self.features((x - self.mean) / self.std)
        return features


def load_vgg19(path: Path) -> VGG19Features:
    """Build the network with weights from a file, in eval mode, without gradients on its parameters.

    Args:
        path: a state dict as of torchvision's vgg19, a .safetensors file or else what torch.save wrote, in single or
            half precision; further keys (the classifier's) are not looked at.
    Raises:
        TrainingError: if the file is missing, cannot be read, or is no VGG19's.
    """
    state = _read(path)
    network = VGG19Features()
    for key, own in network.state_dict().items():
        value = state.get(key)
        if not isinstance(value, Tensor):
            raise TrainingError(f"{path}: not the weights of a torchvision VGG19: {key} is missing. {WHERE}")
        if value.shape != own.shape:
            raise TrainingError(
                f"{path}: not the weights of a torchvision VGG19 without batchnorm: {key} has shape "
                f"{tuple(value.shape)}, expected {tuple(own.shape)}. {WHERE}"
            )
    network.load_state_dict({key: state[key] for key in network.state_dict()})
    return network.eval().requires_grad_(False)


def vgg_loss(network: nn.Module, a: Tensor, b: Tensor) -> Tensor:
    """SRGAN's content loss (Ledig et al. 2017, equation 5): MSE of two batches' feature maps, each divided by 12.75.

    Averaged over channels, too, as SRGAN's pixel MSE is; the paper's "rescaling factor of about 0.006" is 1/12.75^2.

    Args:
        network: a `VGG19Features`, or another from pictures to one map.
        a: (B, 3, H, W) in [0, 1]; gradients reach it alone.
        b: (B, 3, H, W) in [0, 1].
    """
    with torch.no_grad():
        wanted = network(b).float()
    return F.mse_loss(network(a).float(), wanted) * RESCALING**2


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise TrainingError(f"{path}: no such file. {WHERE}")
    try:
        if path.suffix == ".safetensors":
            return load_safetensors(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of a file of another kind nearly any comes, KeyError and AssertionError among them
        raise TrainingError(f"{path}: cannot be read as weights ({type(error).__name__}). {WHERE}") from None
    if not isinstance(state, dict):
        raise TrainingError(f"{path}: holds a {type(state).__name__}, expected a state dict. {WHERE}")
    return state
