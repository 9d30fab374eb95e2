"""The [loss] tables of the training recipes."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, model_validator

from facegen.models.projected import ProjectedDiscriminator
from facegen.training.losses import ADVERSARIAL, Weight, WeightSchedule

EVER = 2**62  # images seen; every weight has reached its end
AdversarialKind = Literal["minimax", "non-saturating", "lsgan", "hinge", "wasserstein"]


class Strict(BaseModel):
    """Refuses unknown keys; its values cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class LabelledLoss(Strict):
    """The adversarial loss, and the discriminator's label of real pictures."""

    kind: AdversarialKind = "hinge"
    real_label: float = Field(default=1.0, gt=0.5, le=1)
    """Below 1: one-sided label smoothing, for losses that have labels."""

    @model_validator(mode="after")
    def _real_label_is_used(self) -> Self:
        check_label(self.kind, "real_label", self.real_label, 1)
        return self


class DCGANLoss(LabelledLoss):
    """Stage 1: losses and tricks with their weights; 0 switches one off."""

    augment: tuple[Literal["color", "translation", "cutout"], ...] = ("color", "translation", "cutout")
    """DiffAugment policies."""
    r1: float = Field(default=0.0, ge=0)
    """Weight of the gradient penalty on real pictures (Mescheder et al. 2018)."""
    r1_interval: int = Field(default=16, ge=1)
    """R1 is computed every this many steps, with a weight as many times larger."""
    gradient_penalty: float = Field(default=0.0, ge=0)
    """Weight of WGAN-GP's penalty; 10 in the paper."""
    feature_matching: float = Field(default=0.0, ge=0)
    historical: float = Field(default=0.0, ge=0)
    """Weight of historical averaging of the generator."""
    replay: int = Field(default=0, ge=0)
    """Number of generated pictures that are kept, to be shown to the discriminator again."""
    generator_interval: int = Field(default=1, ge=1)
    """The generator trains every this many steps; 5 in WGAN-GP."""
    reconstruction: float = Field(default=0.0, ge=0)
    """Weight of the VAE-GAN's loss (Larsen et al. 2016): an encoder finds the latents of half of the training pictures,
    and what the generator makes of these is compared with the originals, in features and pixels. The other half of the
    generated pictures, which the discriminator sees, comes from random latents of the same mean and covariance (Ghosh
    et al. 2020)."""
    prior: float = Field(default=0.02, ge=0)
    """Weight of the found latents' divergence from N(0, 1), per nat and relative to `reconstruction`."""
    growing_images: int = Field(default=0, ge=0)
    """Images per resolution of progressive growing, from 8 px on; 0 trains the full resolution from the start."""


class FeatureLoss(Strict):
    """Distance of pictures in the features of a frozen network."""

    feature: float = Field(default=2.0, ge=0)
    feature_weights: tuple[NonNegativeFloat, ...] = Field(default=(1.0, 1.0, 0.5, 0.5, 0.5), min_length=1, max_length=5)
    """Weight of each of the network's maps, from stride 2 on."""
    features: tuple[Literal["lite0", "lite1"], ...] = Field(default=("lite0",), min_length=1)
    """EfficientNets whose distances are averaged; not lite2, which `facegen evaluate` measures with."""
    vgg19: Path | None = None
    """File of VGG19's weights. If it is given, the feature loss is SRGAN's, on block5_conv4."""


class JNetLoss(LabelledLoss, FeatureLoss):
    """Weights of the J-net's losses; 0 switches one off."""

    adversarial: Weight = WeightSchedule(start=0.2)
    """Weight of the PatchGAN."""
    projected: Weight = WeightSchedule(start=0.0)
    """Weight of an additional projected discriminator; there is none if this is always 0."""
    pooled_l1: Weight = WeightSchedule(start=50.0)
    pooled_side: int = Field(default=32, ge=1)
    """Side that both tiles are average-pooled to for pooled_l1; the tile's side makes it the L1 of all pixels."""
    crop: int = Field(default=128, ge=32)
    """Side of the random crop of the tile that the discriminators and the feature loss see."""

    @model_validator(mode="after")
    def _crop_is_large_enough(self) -> Self:
        if self.projected.used and self.crop < ProjectedDiscriminator.SMALLEST:
            raise ValueError(f"crop is {self.crop}; projected needs at least {ProjectedDiscriminator.SMALLEST} px")
        return self


class UpscalerLoss(LabelledLoss, FeatureLoss):
    """Weights of the losses of SRGAN and the U-net; 0 switches one off."""

    pixel_kind: Literal["l1", "mse"] = "l1"
    pixel: Weight = WeightSchedule(start=0.0)
    """Weight of the distance between pixels."""
    feature: float = Field(default=1.0, ge=0)
    kind: AdversarialKind = "non-saturating"
    """Loss of the discriminator; "non-saturating" is cross-entropy."""
    adversarial: Weight = WeightSchedule(start=1e-3)
    """Weight of the `teacher`'s loss; there is no discriminator if this is always 0."""
    teacher: Literal["logits", "means", "pairs"] = "logits"
    """The generator's loss from the discriminator: "logits", the adversarial loss; "means", the distance of the mean
    activations on real and upscaled pictures (feature matching, Salimans et al. 2016); "pairs", the distance of the
    activations pair by pair (the VAE-GAN's learned distance, Larsen et al. 2016)."""
    fake_label: float = Field(default=0.0, ge=0, lt=0.25)
    """Labels of upscaled pictures are drawn evenly between 0 and twice this."""
    replay: int = Field(default=0, ge=0)
    """Number of upscaled pictures that are kept, with their low-res ones, to be shown to the discriminator again."""
    historical: float = Field(default=0.0, ge=0)
    """Weight of historical averaging of the generator."""

    @model_validator(mode="after")
    def _choices_fit(self) -> Self:
        if not self.feature:
            for seen, when in ((0, "at first"), (EVER, "at the end")):
                if not self.pixel(seen) and not self.adversarial(seen):
                    raise ValueError(f"pixel, feature and adversarial are all 0 {when}: nothing teaches the generator")
        if self.replay and not self.adversarial.used:
            raise ValueError("replay is for a discriminator, and adversarial is 0")
        check_label(self.kind, "fake_label", self.fake_label, 0)
        return self


def check_label(kind: AdversarialKind, name: str, label: float, default: float) -> None:
    """Refuse a label that is not the default if the loss has no labels."""
    if label != default and not ADVERSARIAL[kind].labels:
        raise ValueError(f"{name} is {label}, but {kind} has no labels")
