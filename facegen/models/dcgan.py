"""The DCGAN generator (Radford et al. 2016) at 128 px, with optional skip-layer excitation (Liu et al. 2021)."""

from __future__ import annotations

from itertools import pairwise

import torch
from pydantic import BaseModel, Field, PositiveInt
from torch import Tensor, nn

from facegen.errors import ShapeError


class DCGANConfig(BaseModel, extra="forbid", frozen=True):
    """The shape of a `DCGANGenerator`, stored in the card of its weights."""

    z_dim: int = Field(default=128, ge=1)
    """Length of the latent vector z."""
    widths: tuple[PositiveInt, ...] = Field(default=(512, 512, 256, 128, 64, 32), min_length=2)
    """Channels at 4, 8, 16, ... px, up to the output's side; six entries give 128 px."""
    mapped: bool = False
    """Map z affinely to the distribution of the training pictures' latents, as found by an encoder."""
    excitation: bool = True
    """The 4 and 8 px maps gate the channels of the maps 16x larger (skip-layer excitation)."""

    @property
    def side(self) -> int:
        """Side of the output in pixels."""
        return int(4 * 2 ** (len(self.widths) - 1))


class SkipLayerExcitation(nn.Module):
    """Gates the channels of a large map by a small one, as in FastGAN."""

    def __init__(self, *, small: int, large: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(4),
            nn.Conv2d(small, large, 4),
            nn.LeakyReLU(0.1, inplace=True),
            nn.Conv2d(large, large, 1),
            nn.Sigmoid(),
        )

    def forward(self, large: Tensor, small: Tensor) -> Tensor:
        gated: Tensor = large * self.gate(small)  # (B, C, H, W) x (B, C, 1, 1)
        return gated


def _up(cin: int, cout: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ConvTranspose2d(cin, cout, 4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(cout),
        nn.LeakyReLU(0.2, inplace=True),
    )


class DCGANGenerator(nn.Module):
    """z -> 4x4 -> transposed convolutions, each doubling the side -> tanh.

    The output is in [-1, 1], as in the paper; that of `draw` is in [0, 1], as everywhere else in facegen.
    """

    latent_mean: Tensor
    latent_factor: Tensor

    REACH = 4  # an excitation spans four doublings, 16x in side

    def __init__(self, config: DCGANConfig) -> None:
        super().__init__()
        self.config = config
        w = config.widths
        if config.mapped:
            self.register_buffer("latent_mean", torch.zeros(config.z_dim))
            self.register_buffer("latent_factor", torch.eye(config.z_dim))
        self.stem = nn.Sequential(
            nn.ConvTranspose2d(config.z_dim, w[0], 4, bias=False), nn.BatchNorm2d(w[0]), nn.LeakyReLU(0.2, inplace=True)
        )
        self.ups = nn.ModuleList(_up(cin, cout) for cin, cout in pairwise(w))
        pairs = range(self.REACH, len(w)) if config.excitation else ()
        self.excite = nn.ModuleDict({str(i): SkipLayerExcitation(small=w[i - self.REACH], large=w[i]) for i in pairs})
        self.to_rgb = nn.Conv2d(w[-1], 3, 3, padding=1)
        self.apply(_init_dcgan)

    def forward(self, z: Tensor) -> Tensor:
        """Draw a picture for each row of z: (B, z_dim) standard normal -> (B, 3, side, side) in [-1, 1]."""
        if z.ndim != 2 or z.shape[1] != self.config.z_dim:
            raise ShapeError(f"DCGANGenerator: z has shape {tuple(z.shape)}, expected (B, {self.config.z_dim}).")
        return self.synthesise(self.mapped(z))

    def mapped(self, z: Tensor) -> Tensor:
        """Map (B, z_dim) standard normal z to latents, (B, z_dim); unchanged unless the config has `mapped`."""
        if not self.config.mapped:
            return z
        # Not a matmul, which autocast would compute in bfloat16.
        return self.latent_mean + (z[:, None] * self.latent_factor).sum(dim=2)

    def synthesise(self, latents: Tensor) -> Tensor:
        """Draw pictures as `forward`, from latents that are already mapped."""
        maps = [self.stem(latents[:, :, None, None])]  # (B, w0, 4, 4)
        for i, up in enumerate(self.ups, start=1):
            x = up(maps[-1])  # (B, wi, 4*2^i, 4*2^i)
            if str(i) in self.excite:
                x = self.excite[str(i)](x, maps[i - self.REACH])
            maps.append(x)
        return torch.tanh(self.to_rgb(maps[-1]))

    def draw(self, z: Tensor) -> Tensor:
        """Draw pictures as `forward`, but in [0, 1], float32."""
        return torch.clamp(self(z).float().add(1).div(2), 0, 1)


def _init_dcgan(module: nn.Module) -> None:
    """N(0, 0.02) weights and N(1, 0.02) batchnorm gains, as in the DCGAN paper."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)


def calibrate_batchnorm(generator: nn.Module, z: Tensor) -> None:
    """Measure a generator's batchnorm statistics over its pictures for (N, z_dim) z, and set it to eval mode.

    This is needed for averaged weights, as the statistics from the training belong to other weights.
    """
    norms = [m for m in generator.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # average over all batches equally
    generator.train()
    with torch.no_grad():
        for batch in torch.split(z, 32):
            generator(batch)
    generator.eval()
