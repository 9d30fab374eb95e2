"""The [loss] tables of the training recipes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, model_validator

from facegen.models.projected import ProjectedDiscriminator
from facegen.training.losses import ADVERSARIAL, Weight, WeightSchedule

EVER = 2**62  # images; no weight changes after so many
AdversarialKind = Literal["minimax", "non-saturating", "lsgan", "hinge", "wasserstein"]


class Strict(BaseModel):
    """Refuses unknown keys; values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


RealLabel = Annotated[float, Field(gt=0.5, le=1)]
"""Label of real pictures: below 1, one-sided label smoothing, for the losses that have labels."""


class DCGANLoss(Strict):
    """Stage 1: losses and tricks with their weights; 0 switches one off."""

    kind: AdversarialKind = "hinge"
    real_label: RealLabel = 1.0
    augment: tuple[Literal["color", "translation", "cutout"], ...] = ("color", "translation", "cutout")
    """DiffAugment policies."""
    r1: float = Field(default=0.0, ge=0)
    """Weight of the gradient penalty on real pictures (Mescheder et al. 2018)."""
    r1_interval: int = Field(default=16, ge=1)
    """R1 is computed every this many steps, and weighed as many times more."""
    gradient_penalty: float = Field(default=0.0, ge=0)
    """Weight of WGAN-GP's penalty; 10 in the paper."""
    feature_matching: float = Field(default=0.0, ge=0)
    historical: float = Field(default=0.0, ge=0)
    """Weight of historical averaging of the generator."""
    replay: int = Field(default=0, ge=0)
    """Generated pictures that are kept, to show them to the discriminator again."""
    generator_interval: int = Field(default=1, ge=1)
    """The generator trains every this many steps; 5 in WGAN-GP."""
    reconstruction: float = Field(default=0.0, ge=0)
    """Weight of the VAE-GAN's loss (Larsen et al. 2016): the distance of half of the training pictures, in features and
    pixels, from those generated of the latents that an encoder finds in them. The other half is generated from normal
    latents of the same mean and covariance (Ghosh et al. 2020), and is what the discriminator sees."""
    prior: float = Field(default=0.02, ge=0)
    """Weight of the latents' divergence from N(0, 1), per nat and relative to `reconstruction`."""
    growing_images: int = Field(default=0, ge=0)
    """Images per resolution of progressive growing, from 8 px on; 0 trains the full resolution from the start."""

    @model_validator(mode="after")
    def _labels_exist(self) -> DCGANLoss:
        check_labels(self.kind, real_label=(self.real_label, 1))
        return self


class FeatureLoss(Strict):
    """Distance of pictures in the features of a frozen network."""

    feature: float = Field(default=2.0, ge=0)
    feature_weights: tuple[NonNegativeFloat, ...] = Field(default=(1.0, 1.0, 0.5, 0.5, 0.5), min_length=1, max_length=5)
    """Weight of each map of the network, from stride 2 on."""
    features: tuple[Literal["lite0", "lite1"], ...] = Field(default=("lite0",), min_length=1)
    """EfficientNets whose distances are averaged; not lite2, which `facegen evaluate` measures with."""
    vgg19: Path | None = None
    """File of VGG19's weights: the feature loss is then SRGAN's, on block5_conv4, instead of the EfficientNets'."""


class JNetLoss(FeatureLoss):
    """Weights of the J-net's losses; 0 switches one off."""

    kind: AdversarialKind = "hinge"
    real_label: RealLabel = 1.0
    adversarial: Weight = WeightSchedule(start=0.2)
    """Weight of the PatchGAN."""
    projected: Weight = WeightSchedule(start=0.0)
    """Weight of an additional projected discriminator; 0 from beginning to end leaves it out."""
    pooled_l1: Weight = WeightSchedule(start=50.0)
    pooled_side: int = Field(default=32, ge=1)
    """For pooled_l1: side that both tiles are average-pooled to; the tile's own side makes it L1 of all pixels."""
    crop: int = Field(default=128, ge=32)
    """Side of the random crop of the tile that the discriminators and the feature loss see."""

    @model_validator(mode="after")
    def _choices_fit(self) -> JNetLoss:
        if self.projected.used and self.crop < ProjectedDiscriminator.SMALLEST:
            raise ValueError(f"crop is {self.crop}; projected needs at least {ProjectedDiscriminator.SMALLEST} px")
        check_labels(self.kind, real_label=(self.real_label, 1))
        return self


class UpscalerLoss(FeatureLoss):
    """Weights of the losses of SRGAN and the U-net; 0 switches one off."""

    pixel_kind: Literal["l1", "mse"] = "l1"
    pixel: Weight = WeightSchedule(start=0.0)
    """Weight of the pixels' distance."""
    feature: float = Field(default=1.0, ge=0)
    kind: AdversarialKind = "non-saturating"
    """Loss of the discriminator; "non-saturating" is cross-entropy."""
    adversarial: Weight = WeightSchedule(start=1e-3)
    """Weight of the `teacher`'s loss; 0 from beginning to end trains without a discriminator."""
    teacher: Literal["logits", "means", "pairs"] = "logits"
    """The generator's loss from the discriminator: "logits", the adversarial loss; "means", the distance of the mean
    activations on real and upscaled pictures (feature matching, Salimans et al. 2016); "pairs", the distance of the
    activations pair by pair (the VAE-GAN's learned distance, Larsen et al. 2016)."""
    real_label: RealLabel = 1.0
    fake_label: float = Field(default=0.0, ge=0, lt=0.25)
    """Labels of upscaled pictures are drawn evenly between 0 and twice this."""
    replay: int = Field(default=0, ge=0)
    """Upscaled pictures that are kept, with their low-res ones, to show them to the discriminator again."""
    historical: float = Field(default=0.0, ge=0)
    """Weight of historical averaging of the generator."""

    @model_validator(mode="after")
    def _choices_fit(self) -> UpscalerLoss:
        if not self.feature:
            for seen, when in ((0, "at first"), (EVER, "at the end")):
                if not self.pixel(seen) and not self.adversarial(seen):
                    raise ValueError(f"pixel, feature and adversarial are all 0 {when}: nothing teaches the generator")
        if self.replay and not self.adversarial.used:
            raise ValueError("replay is for a discriminator, and adversarial is 0")
        check_labels(self.kind, real_label=(self.real_label, 1), fake_label=(self.fake_label, 0))
        return self


def check_labels(kind: AdversarialKind, **labels: tuple[float, float]) -> None:
    """Refuse a label that differs from its default, given second, where the loss has no labels."""
    for name, (label, plain) in labels.items():
        if label != plain and not ADVERSARIAL[kind].labels:
            raise ValueError(f"{name} is {label}, but {kind} knows no labels")
