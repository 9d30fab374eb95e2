"""What a training recipe may say."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, NonNegativeFloat, model_validator

from facegen.data.split import DataConfig
from facegen.faces.guide import GUIDE_CHANNELS, GuideMode
from facegen.models.dcgan import DCGANConfig
from facegen.models.discriminators import PatchConfig, PlainConfig
from facegen.models.jnet import JNetConfig
from facegen.models.projected import ProjectedConfig, ProjectedDiscriminator
from facegen.training.datasets import TileConfig
from facegen.training.losses import ADVERSARIAL
from facegen.training.schedules import WeightSchedule


class Strict(BaseModel):
    """Unknown keys are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


AdversarialKind = Literal["minimax", "non-saturating", "lsgan", "hinge", "wasserstein"]


def _constant(value: Any) -> Any:
    return {"start": value} if isinstance(value, int | float) else value


Weight = Annotated[WeightSchedule, BeforeValidator(_constant)]
"""A number, or a table of start, end, fade_from and fade_to."""
Beta = Annotated[float, Field(ge=0, lt=1)]


class OptimizerConfig(Strict):
    """Adam for discriminators, Adam or Muon for the generator, at the same learning rate."""

    generator: Literal["adam", "muon"] = "adam"
    """Muon (facegen.training.muon) makes every update of a kernel orthogonal."""
    learning_rate: float = Field(default=2e-4, gt=0)
    betas: tuple[Beta, Beta] = (0.0, 0.99)
    clip_norm: float = Field(default=0.0, ge=0)
    """Length that the generator's gradient is cut to; 0 leaves it alone."""
    generator_from: int = Field(default=0, ge=0)
    """The generator is taught from so many images seen on; a new discriminator on trained weights needs some hundreds
    for itself. Those that the weights of --from have seen count as well."""


class RunConfig(Strict):
    """How long, how fast, how often."""

    batch: int = Field(default=16, ge=1)
    """Pictures of a step, over all processes."""
    images: int = Field(default=1_000_000, ge=1)
    """Stop after this many training pictures (or tiles) seen."""
    seed: int = Field(default=0, ge=0)
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """"auto" takes bfloat16 where the processor or GPU is faster in it."""
    checkpoint_minutes: float = Field(default=5, gt=0)
    preview_images: int = Field(default=4000, ge=1)
    """Draw the sample sheet every so many pictures."""
    log_images: int = Field(default=400, ge=1)
    """Average the losses into one line of stats.jsonl over so many pictures."""
    workers: int = Field(default=1, ge=0)
    """Threads that make batches ahead of their use; 0 makes each when it is asked for."""
    ema_images: float = Field(default=10_000, gt=0)
    """Half-life of the weights' moving average, in pictures; shorter at the start (a twentieth of those seen)."""

    def due(self, images_seen: int, every: int) -> bool:
        """Whether the batch that ended at `images_seen` reached another multiple of `every` images."""
        return images_seen // every > (images_seen - self.batch) // every


class DCGANLoss(Strict):
    """Stage 1: which losses and tricks, and how strong; 0 leaves one away."""

    kind: AdversarialKind = "hinge"
    real_label: float = Field(default=1.0, gt=0.5, le=1)
    """One-sided label smoothing, for the losses that have labels."""
    augment: tuple[Literal["color", "translation", "cutout"], ...] = ("color", "translation", "cutout")
    """DiffAugment policies."""
    r1: float = Field(default=0.0, ge=0)
    """Weight of the gradient penalty on real pictures (Mescheder et al. 2018)."""
    r1_interval: int = Field(default=16, ge=1)
    """It is taken every so many steps, as many times stronger."""
    gradient_penalty: float = Field(default=0.0, ge=0)
    """Weight of WGAN-GP's, 10 there."""
    feature_matching: float = Field(default=0.0, ge=0)
    historical: float = Field(default=0.0, ge=0)
    """Weight of historical averaging of the generator."""
    replay: int = Field(default=0, ge=0)
    """Drawn pictures that are kept, to be shown to the discriminator again."""
    generator_interval: int = Field(default=1, ge=1)
    """The generator is taught at every so many steps; 5 in WGAN-GP."""
    reconstruction: float = Field(default=0.0, ge=0)
    """Weight of the VAE-GAN's loss (Larsen et al. 2016): half of each batch are training pictures that an encoder found
    the latents of, and their distance to what is drawn from these, in features and in pixels, is descended. The
    other half is drawn from normal latents with the mean and covariance of those found (Ghosh et al. 2020)."""
    prior: float = Field(default=0.02, ge=0)
    """With it: weight, per nat and relative to `reconstruction`, of how far the latents found lie from N(0, 1)."""
    growing_images: int = Field(default=0, ge=0)
    """Images for each resolution of progressive growing, from 8 px on; 0 trains the full one from the start."""

    @model_validator(mode="after")
    def _labels_exist(self) -> DCGANLoss:
        check_labels(self.kind, real_label=(self.real_label, 1))
        return self


class FeatureLoss(Strict):
    """How far pictures are apart in the features of a frozen network."""

    feature: float = Field(default=2.0, ge=0)
    """Its weight."""
    feature_weights: tuple[NonNegativeFloat, ...] = Field(default=(1.0, 1.0, 0.5, 0.5, 0.5), min_length=1, max_length=5)
    """Of each network's maps, from stride 2 on."""
    features: tuple[Literal["lite0", "lite1"], ...] = Field(default=("lite0",), min_length=1)
    """Which EfficientNets look, on average; not lite2, which `facegen evaluate` measures with."""
    vgg19: Path | None = None
    """File of VGG19's weights: the feature loss is SRGAN's, on block5_conv4, instead of the EfficientNets'."""


class JNetLoss(FeatureLoss):
    """Weights of the J-net's losses; 0 leaves one away."""

    kind: AdversarialKind = "hinge"
    real_label: float = Field(default=1.0, gt=0.5, le=1)
    """One-sided label smoothing, for the losses that have labels."""
    adversarial: float = Field(default=0.2, ge=0)
    """Of the PatchGAN."""
    projected: float = Field(default=0.0, ge=0)
    """Of a projected discriminator beside it."""
    pooled_l1: Weight = WeightSchedule(start=50.0)
    pooled_side: int = Field(default=32, ge=1)
    """Side that upscaled and real tile are average-pooled to for it; the tile's own is the L1 of all pixels."""
    crop: int = Field(default=128, ge=32)
    """Side of the random crop of the tile that the discriminators and the feature loss look at."""

    @model_validator(mode="after")
    def _choices_fit(self) -> JNetLoss:
        if self.projected and self.crop < ProjectedDiscriminator.SMALLEST:
            raise ValueError(f"crop is {self.crop}; projected needs at least {ProjectedDiscriminator.SMALLEST} px")
        check_labels(self.kind, real_label=(self.real_label, 1))
        return self


def check_labels(kind: AdversarialKind, **labels: tuple[float, float]) -> None:
    """Refuse a label, given with the value that changes nothing, where the loss has no labels."""
    for name, (label, plain) in labels.items():
        if label != plain and not ADVERSARIAL[kind].labels:
            raise ValueError(f"{name} is {label}, but {kind} knows no labels")


class DCGANRecipe(Strict):
    """pipelines/train/dcgan-128.toml"""

    kind: Literal["dcgan"]
    data: DataConfig = DataConfig()
    generator: DCGANConfig = DCGANConfig()
    discriminator: ProjectedConfig = ProjectedConfig()
    plain: PlainConfig | None = None
    """If given, DCGAN's own discriminator takes the projected one's place."""
    loss: DCGANLoss = DCGANLoss()
    optimizer: OptimizerConfig = OptimizerConfig()
    run: RunConfig = RunConfig()

    @model_validator(mode="after")
    def _features_are_at_hand(self) -> DCGANRecipe:
        if self.plain is not None and self.loss.reconstruction:
            raise ValueError("loss.reconstruction compares features of the projected discriminator; [plain] has none")
        if self.loss.reconstruction and not self.generator.mapped:
            raise ValueError("loss.reconstruction needs generator.mapped = true, to draw where its latents are found")
        return self


class JNetRecipe(Strict):
    """pipelines/train/jnet-8x.toml"""

    kind: Literal["jnet"]
    guide: GuideMode = "rgb"
    side: int = Field(default=768, ge=32)
    """Pictures are brought to this side before tiles are cut."""
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
        inputs = {
            "generator.in_channels": net.in_channels,
            "discriminator.condition_channels": self.discriminator.condition_channels,
        }
        for key, channels in inputs.items():
            if channels != planes:
                raise ValueError(f'{key} is {channels}, expected {planes}: RGB and guide = "{self.guide}"')
        if net.scale != 8:
            raise ValueError(f"generator.scale is {net.scale}, expected 8, the step from the discriminator's input")
        upscaled, pooled = net.tile * net.scale, self.loss.pooled_side
        if upscaled % pooled:
            raise ValueError(f"loss.pooled_side is {pooled}, expected a divisor of tile x scale = {upscaled}")
        if self.side < upscaled:
            raise ValueError(f"side is {self.side}, expected at least tile x scale = {upscaled}")
        return self
