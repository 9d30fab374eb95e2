"""The training recipes: their tables, keys, defaults and limits."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, model_validator

from facegen.data.split import DataConfig
from facegen.faces.guide import GUIDE_CHANNELS, GuideMode
from facegen.models.dcgan import DCGANConfig
from facegen.models.discriminators import PatchConfig, PlainConfig
from facegen.models.jnet import JNetConfig
from facegen.models.projected import ProjectedConfig, ProjectedDiscriminator
from facegen.models.srgan import SRGANConfig, SRGANDiscriminator, SRGANDiscriminatorConfig
from facegen.models.unet import GridConfig, UNetConfig
from facegen.training.datasets import PairConfig
from facegen.training.losses import ADVERSARIAL, AdversarialKind, Weight, WeightSchedule
from facegen.training.tiles import TileConfig

Beta = Annotated[float, Field(ge=0, lt=1)]


class Strict(BaseModel):
    """Refuses unknown keys; its values cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class LabelledLoss(Strict):
    """The adversarial loss, and its labels."""

    kind: AdversarialKind = "hinge"
    real_label: float = Field(default=1.0, gt=0.5, le=1)
    """Below 1: one-sided label smoothing, for losses that have labels."""

    @model_validator(mode="after")
    def _labels_are_used(self) -> Self:
        for name, field in type(self).model_fields.items():
            label = getattr(self, name)
            if name.endswith("_label") and label != field.default and not ADVERSARIAL[self.kind].labels:
                raise ValueError(f"{name} is {label}, but {self.kind} has no labels")
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
            for seen, when in ((0, "at first"), (math.inf, "at the end")):
                if not self.pixel(seen) and not self.adversarial(seen):
                    raise ValueError(f"pixel, feature and adversarial are all 0 {when}: nothing teaches the generator")
        if self.replay and not self.adversarial.used:
            raise ValueError("replay is for a discriminator, and adversarial is 0")
        return self


class OptimizerConfig(Strict):
    """Adam for discriminators, Adam or Muon for the generator, at the same learning rate."""

    generator: Literal["adam", "muon"] = "adam"
    """Muon (facegen.training.muon) makes every update of a kernel orthogonal."""
    learning_rate: float = Field(default=2e-4, gt=0)
    betas: tuple[Beta, Beta] = (0.0, 0.99)
    clip_norm: float = Field(default=0.0, ge=0)
    """The generator's gradient is shortened to this length; 0 leaves it unchanged."""
    warmup: float = Field(default=0.0, ge=0, lt=1)
    """Share of the run over which the learning rate rises from 0."""
    decay_from: float = Field(default=1.0, ge=0, le=1)
    """From this share of the run on, the learning rate falls, on half a cosine, to `decay_to` times what it was."""
    decay_to: float = Field(default=0.03, ge=0, le=1)
    generator_from: int = Field(default=0, ge=0)
    """The generator trains from this many images on: before trained weights go on with a new discriminator, that
    needs some hundreds alone. Images that the weights of --from have seen count too."""

    def rate(self, course: float) -> float:
        """The learning rate at a share of the run, in 0..1."""
        if course < self.warmup:
            return self.learning_rate * max(course / self.warmup, 0.02)
        if course <= self.decay_from:
            return self.learning_rate
        fallen = (1 - math.cos(math.pi * (course - self.decay_from) / (1 - self.decay_from))) / 2
        return self.learning_rate * (1 + (self.decay_to - 1) * fallen)


class RunConfig(Strict):
    """How long a run is, and how often it saves and reports."""

    batch: int = Field(default=16, ge=1)
    """Pictures per step, over all processes."""
    images: int = Field(default=1_000_000, ge=1)
    """Stop after this many pictures (or tiles)."""
    seed: int = Field(default=0, ge=0)
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """"auto" takes bfloat16 where the processor or GPU is faster in it."""
    checkpoint_minutes: float = Field(default=5, gt=0)
    preview_images: int = Field(default=4000, ge=1)
    """Draw the sample sheet every this many pictures."""
    log_images: int = Field(default=400, ge=1)
    """Average the losses over this many pictures into one line of stats.jsonl."""
    ema_images: float = Field(default=10_000, gt=0)
    """Half-life of the weights' moving average, in pictures; at most a twentieth of the pictures seen."""

    @model_validator(mode="before")
    @classmethod
    def _without_workers(cls, values: Any) -> Any:
        """Ignore `workers`, a key in recipes of version 0.1."""
        return {k: v for k, v in values.items() if k != "workers"} if isinstance(values, dict) else values

    def due(self, images_seen: int, every: int) -> bool:
        """True if the batch that ended at `images_seen` reached another multiple of `every` images."""
        return images_seen // every > (images_seen - self.batch) // every


class DCGANRecipe(Strict):
    """pipelines/train/dcgan-128.toml"""

    kind: Literal["dcgan"]
    data: DataConfig = DataConfig()
    generator: DCGANConfig = DCGANConfig()
    discriminator: ProjectedConfig = ProjectedConfig()
    plain: PlainConfig | None = None
    """If present, DCGAN's discriminator replaces the projected one."""
    loss: DCGANLoss = DCGANLoss()
    optimizer: OptimizerConfig = OptimizerConfig()
    run: RunConfig = RunConfig()

    @model_validator(mode="after")
    def _reconstruction_is_possible(self) -> DCGANRecipe:
        if self.loss.reconstruction and self.plain is not None:
            raise ValueError("loss.reconstruction compares features of the projected discriminator; [plain] has none")
        if self.loss.reconstruction and not self.generator.mapped:
            raise ValueError("loss.reconstruction needs generator.mapped = true: latents are drawn like those it finds")
        return self


class JNetRecipe(Strict):
    """pipelines/train/jnet-8x.toml"""

    kind: Literal["jnet"]
    guide: GuideMode = "rgb"
    side: int = Field(default=768, ge=32)
    """Pictures are resized to this side before tiles are cut."""
    data: DataConfig = DataConfig()
    tiles: TileConfig = TileConfig()
    generator: JNetConfig = JNetConfig()
    discriminator: PatchConfig = PatchConfig()
    projected: ProjectedConfig = ProjectedConfig()
    """The discriminator that loss.projected weighs."""
    loss: JNetLoss = JNetLoss()
    optimizer: OptimizerConfig = OptimizerConfig()
    run: RunConfig = RunConfig()

    @model_validator(mode="after")
    def _parts_fit(self) -> JNetRecipe:
        net, planes = self.generator, 3 + GUIDE_CHANNELS[self.guide]
        for key, channels in (
            ("generator.in_channels", net.in_channels - net.strength),
            ("discriminator.condition_channels", self.discriminator.condition_channels),
        ):
            if channels != planes:
                raise ValueError(f'{key} is {channels}, expected {planes}: RGB and guide = "{self.guide}"')
        if net.scale != 8:
            raise ValueError(f"generator.scale is {net.scale}, expected 8, which the discriminator is built for")
        upscaled, pooled, least = net.tile * net.scale, self.loss.pooled_side, ProjectedDiscriminator.SMALLEST
        if upscaled % pooled:
            raise ValueError(f"loss.pooled_side is {pooled}, expected a divisor of tile x scale = {upscaled}")
        if self.side < upscaled:
            raise ValueError(f"side is {self.side}, expected at least tile x scale = {upscaled}")
        if self.loss.projected.used and self.loss.crop < least:
            raise ValueError(f"loss.crop is {self.loss.crop}, expected at least {least} for loss.projected")
        return self


class _Upscaler(Strict):
    """The tables that both upscalers' recipes share."""

    side: int = Field(default=256, ge=16)
    """Pictures with a longer shorter side are reduced to this before crops are cut; smaller ones are used unchanged if
    a crop fits in."""
    data: DataConfig = DataConfig()
    pairs: PairConfig = PairConfig()
    loss: UpscalerLoss = UpscalerLoss()
    optimizer: OptimizerConfig = OptimizerConfig(learning_rate=1e-4, betas=(0.9, 0.999))
    run: RunConfig = RunConfig()

    def check_crop(self, scale: int, least: int) -> None:
        """Refuse a crop that does not fit the pictures, the scale or the networks."""
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
