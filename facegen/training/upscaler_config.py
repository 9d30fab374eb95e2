"""What a training recipe of a plain super-resolution network may say: SRGAN's and the U-net's."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from facegen.data.split import DataConfig
from facegen.models.srgan import SRGANConfig, SRGANDiscriminator, SRGANDiscriminatorConfig
from facegen.models.unet import GridConfig, UNetConfig
from facegen.training.config import (
    AdversarialKind,
    FeatureLoss,
    OptimizerConfig,
    RunConfig,
    Strict,
    Weight,
    check_labels,
)
from facegen.training.pairs import PairConfig
from facegen.training.schedules import WeightSchedule

EVER = 2**62
"""Images after which no weight changes any more."""


class UpscalerLoss(FeatureLoss):
    """Weights of the losses; 0 leaves one away."""

    pixel_kind: Literal["l1", "mse"] = "l1"
    pixel: Weight = WeightSchedule(start=0.0)
    """Of the pixels' distance."""
    feature: float = Field(default=1.0, ge=0)
    kind: AdversarialKind = "non-saturating"
    """Of the discriminator; "non-saturating" is cross-entropy."""
    adversarial: Weight = WeightSchedule(start=1e-3)
    """Of what `teacher` says; 0 from beginning to end trains without a discriminator."""
    teacher: Literal["logits", "means", "pairs"] = "logits"
    """What the generator gets from the discriminator: its adversarial loss; instead of it how far the means of the
    activations on real and on upscaled pictures are apart (feature matching, Salimans et al. 2016); or how far the
    activations are apart pair by pair (the VAE-GAN's learned distance, Larsen et al. 2016)."""
    real_label: float = Field(default=1.0, gt=0.5, le=1)
    """One-sided label smoothing, for the losses that have labels."""
    fake_label: float = Field(default=0.0, ge=0, lt=0.25)
    """Labels of upscaled pictures are drawn evenly between 0 and twice this."""
    replay: int = Field(default=0, ge=0)
    """Upscaled pictures that are kept, with their low-res ones, to be shown to the discriminator again."""
    historical: float = Field(default=0.0, ge=0)
    """Weight of historical averaging of the generator."""

    @property
    def judged(self) -> bool:
        """Whether there is a discriminator."""
        return self.adversarial(0) > 0 or self.adversarial(EVER) > 0

    @model_validator(mode="after")
    def _choices_fit(self) -> UpscalerLoss:
        if not self.feature:
            for seen, when in ((0, "at first"), (EVER, "at the end")):
                if not self.pixel(seen) and not self.adversarial(seen):
                    raise ValueError(f"pixel, feature and adversarial are all 0 {when}: nothing teaches the generator")
        if self.replay and not self.judged:
            raise ValueError("replay is for a discriminator, and adversarial is 0")
        check_labels(self.kind, real_label=(self.real_label, 1), fake_label=(self.fake_label, 0))
        return self


class _Upscaler(Strict):
    """What both recipes say."""

    side: int = Field(default=256, ge=16)
    """Pictures whose shorter side is longer are reduced to it before crops are cut; smaller ones are taken as they are,
    down to the crop."""
    data: DataConfig = DataConfig()
    pairs: PairConfig = PairConfig()
    loss: UpscalerLoss = UpscalerLoss()
    optimizer: OptimizerConfig = OptimizerConfig(learning_rate=1e-4, betas=(0.9, 0.999))
    run: RunConfig = RunConfig()

    def check_crop(self, scale: int, least: int) -> None:
        """Refuse a crop that does not fit the pictures, the scale and what the networks can see."""
        crop = self.pairs.crop
        if crop > self.side:
            raise ValueError(f"pairs.crop is {crop}, expected at most side = {self.side}")
        if crop % scale:
            raise ValueError(f"pairs.crop is {crop}, expected a multiple of generator.scale = {scale}")
        if crop < least:
            raise ValueError(f"pairs.crop is {crop}, expected at least {least} for this generator and discriminator")


class SRGANRecipe(_Upscaler):
    """pipelines/train/srgan-4x.toml"""

    kind: Literal["srgan"]
    generator: SRGANConfig = SRGANConfig()
    discriminator: SRGANDiscriminatorConfig = SRGANDiscriminatorConfig()

    @model_validator(mode="after")
    def _parts_fit(self) -> SRGANRecipe:
        net = self.generator
        self.check_crop(net.scale, max(net.scale * (net.end_kernel // 2 + 1), SRGANDiscriminator.SMALLEST))
        return self


class UNetRecipe(_Upscaler):
    """pipelines/train/unet-2x.toml"""

    kind: Literal["unet"]
    generator: UNetConfig = UNetConfig()
    discriminator: GridConfig = GridConfig()

    @model_validator(mode="after")
    def _parts_fit(self) -> UNetRecipe:
        self.check_crop(self.generator.scale, 2 ** len(self.discriminator.widths))
        return self
