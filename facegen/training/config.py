"""What a training recipe may say."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from facegen.guide import GUIDE_CHANNELS, GuideMode
from facegen.models.dcgan import DCGANConfig
from facegen.models.discriminators import PatchConfig, ProjectedConfig
from facegen.models.jnet import JNetConfig
from facegen.training.datasets import DataConfig, TileConfig


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


Beta = Annotated[float, Field(ge=0, lt=1)]


class OptimizerConfig(_Strict):
    """Adam, the same for both networks."""

    learning_rate: float = Field(default=2e-4, gt=0)
    betas: tuple[Beta, Beta] = (0.0, 0.99)
    clip_norm: float = Field(default=0.0, ge=0)
    """Length that the generator's gradient is cut to; 0 leaves it alone."""


class RunConfig(_Strict):
    """How long, how fast, how often."""

    batch: int = Field(default=16, ge=1)
    images: int = Field(default=1_000_000, ge=1)
    """Stop after this many training pictures (or tiles) seen."""
    seed: int = Field(default=0, ge=0)
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """"auto" takes bfloat16 where the processor computes in it."""
    checkpoint_minutes: float = Field(default=5, gt=0)
    preview_images: int = Field(default=4000, ge=1)
    """Draw the sample sheet every so many pictures."""
    log_images: int = Field(default=400, ge=1)
    """Average the losses into one line of stats.jsonl over so many pictures."""
    ema_images: float = Field(default=10_000, gt=0)
    """Half-life of the weights' moving average, in pictures; shorter at the start (a twentieth of those seen)."""


class DCGANLoss(_Strict):
    """Stage 1: hinge loss with a projected discriminator."""

    augment: tuple[Literal["color", "translation", "cutout"], ...] = ("color", "translation", "cutout")
    """DiffAugment policies."""


class JNetLoss(_Strict):
    """Weights of the J-net's losses."""

    adversarial: float = Field(default=0.2, ge=0)
    pooled_l1: float = Field(default=50.0, ge=0)
    feature: float = Field(default=1.0, ge=0)
    feature_maps: int = Field(default=2, ge=1, le=5)
    """How many of EfficientNet-Lite0's maps, from stride 2 on, the feature loss compares."""
    feature_crop: int = Field(default=128, ge=32)
    """Side of the random crop of the tile that the feature loss looks at."""


class DCGANRecipe(_Strict):
    """pipelines/train/dcgan-128.toml"""

    kind: Literal["dcgan"]
    data: DataConfig = DataConfig()
    generator: DCGANConfig = DCGANConfig()
    discriminator: ProjectedConfig = ProjectedConfig()
    loss: DCGANLoss = DCGANLoss()
    optimizer: OptimizerConfig = OptimizerConfig()
    run: RunConfig = RunConfig()


class JNetRecipe(_Strict):
    """pipelines/train/jnet-8x.toml"""

    kind: Literal["jnet"]
    guide: GuideMode = "rgb"
    side: int = Field(default=768, ge=32)
    """Pictures are brought to this side before tiles are cut."""
    data: DataConfig = DataConfig()
    tiles: TileConfig = TileConfig()
    generator: JNetConfig = JNetConfig()
    discriminator: PatchConfig = PatchConfig()
    loss: JNetLoss = JNetLoss()
    optimizer: OptimizerConfig = OptimizerConfig()
    run: RunConfig = RunConfig()

    @model_validator(mode="after")
    def _parts_fit(self) -> JNetRecipe:
        net, planes = self.generator, 3 + GUIDE_CHANNELS[self.guide]
        inputs = {
            "generator.in_channels": net.in_channels,
            "discriminator.condition_channels": self.discriminator.condition_channels,
        }
        for key, channels in inputs.items():
            if channels != planes:
                raise ValueError(f'{key} is {channels}, expected {planes}: RGB and guide = "{self.guide}"')
        if net.scale != 8:
            raise ValueError(f"generator.scale is {net.scale}, expected 8, the step from the discriminator's input")
        if self.side < net.tile * net.scale:
            raise ValueError(f"side is {self.side}, expected at least tile x scale = {net.tile * net.scale}")
        return self
